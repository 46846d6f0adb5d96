#!/usr/bin/perl
# A graceful stop writes the last poll of every device, whichever worker it
# came to and whichever of them leaves first, and also of those whose request
# was under way. A reload under load ends: who leaves writes once what is there.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;

my $devices = 600;
my %nginx = (fsync => 'off', workers => 3,
    http => "goosebit_cache zone=fleet:4m; keepalive_requests 1000000;\n",
    server => 'add_header X-Cache $goosebit_cache_status always;');
my $s = stack(%nginx);
$s->sql("insert into goosebit.device (tenant_id, controller_id, state,"
    . " config_data_at) select 1, 'd' || i, 'registered', now()"
    . " from generate_series(1, $devices) i");


sub warm {
    my $http = $s->http;
    return wait_for(sub {
        my $hit = 0;
        for my $i (1 .. $devices) {
            $hit += $http->request('GET', ddi("d$i"))->{headers}{'x-cache'}
                eq 'HIT';
        }
        return $hit == $devices;
    }, 20);
}


sub unwritten {
    my ($since, @ids) = @_;
    my $list = join ',', @ids;
    return $s->value("select string_agg(d.controller_id, ' ') from"
        . " goosebit.device d left join goosebit.device_seen s"
        . " on s.device_id = d.id where d.controller_id = any('{$list}')"
        . " and (s.seen_at is null or s.seen_at <"
        . " to_timestamp($since) - interval '10 ms')") // '';
}


sub stopped {
    my ($pid) = @_;
    return wait_for(sub { !kill 0, $pid }, 20);
}


# ---- requests that are under way when the workers are told to go

for my $round (1 .. 3) {
    ok(warm(), "round $round: all are in the zone");
    my @ids = map { "d$_" } 1 .. 24;
    my @http = map { $s->http } @ids;
    $http[$_]->write('GET ' . ddi($ids[$_]) . " HTTP/1.1\r\nHost: x\r\n")
        for 0 .. $#ids;
    sleep 1;                                # all are accepted
    my $since = time;
    my $pid = $s->pid;
    kill QUIT => $pid;
    sleep 0.3;
    my %is;
    for my $http (@http) {
        $http->write("\r\n");
        $is{$http->response('GET')->{headers}{'x-cache'}}++;
        sleep 0.02;
    }
    is_deeply(\%is, { HIT => scalar @ids }, 'each is answered from the zone');
    ok(stopped($pid), 'nginx stops');
    is(unwritten($since, @ids), '', 'and all of them are written');
    $s->nginx('start');
}


# ---- what came to two workers after the other had left

for my $round (0 .. 2) {
    ok(warm(), 'all are in the zone');
    my $pid = $s->pid;
    my @workers = sort { $a <=> $b } $s->workers;
    kill STOP => $pid;                      # it would start another
    my $since = time;
    kill QUIT => $workers[$round];
    sleep 0.3;
    my %is;
    for my $i (1 .. $devices) {
        $is{$s->get(ddi("d$i"))->{headers}{'x-cache'}}++;
    }
    is_deeply(\%is, { HIT => $devices }, 'two workers go on alone');
    kill QUIT => $pid, @workers;
    kill CONT => $pid;
    ok(stopped($pid), 'and stop');
    is(unwritten($since, map { "d$_" } 1 .. $devices), '',
        'what came to them is written');
    $s->nginx('start');
}


# ---- a reload under load: there is always something new to write

{
    ok(warm(), 'all are in the zone');
    my @old = $s->workers;
    my $load = fork // die "fork: $!\n";
    if ($load == 0) {
        open STDOUT, '>', '/dev/null';
        exec 'build/tools/gbpoll', '127.0.0.1', $s->port, 8, 8, 0,
            ddi('d'), $devices;
    }
    sleep 1;
    my $since = time;
    kill HUP => $s->pid;
    my $gone = wait_for { !grep { kill 0, $_ } @old } 6;
    ok($gone, 'who is told to go goes, under load');
    cmp_ok(time - $since, '<', 6, 'soon');
    waitpid $load, 0;
    my $pid = $s->pid;
    $since = time;
    kill QUIT => $pid;
    ok(stopped($pid), 'nginx stops');
    is(unwritten($since - 8, map { "d$_" } 1 .. $devices), '',
        'and all of them are written');
}

done_testing;
