#!/usr/bin/perl
# A graceful stop writes the last poll of every device, whichever worker it
# came to and whichever of them leaves first, and also of those whose request
# was under way. A reload under load ends: who leaves writes once what is there.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use POSIX ();

my $devices = 600;
my %nginx = (fsync => 'off', workers => 3,
    http => "goosebit_cache zone=fleet:4m; keepalive_requests 1000000;\n",
    server => 'add_header X-Cache $goosebit_cache_status always;
        location = /nginx { stub_status; }');
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
    }, 60);
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
    return wait_for(sub { ended($pid) }, 60);
}


# Whether workers know that they are to go, as their titles say, or have gone.
sub told {
    return ok(wait_for(sub { !grep { (eval { slurp("/proc/$_/cmdline") } // '')
        =~ /worker process(?:\0|$)/ } @_ }), 'told to go');
}


# ---- requests that are under way when the workers are told to go

for my $round (1 .. 3) {
    ok(warm(), "round $round: all are in the zone");
    my @ids = map { "d$_" } 1 .. 24;
    my @http = map { $s->http } @ids;
    $http[$_]->write('GET ' . ddi($ids[$_]) . " HTTP/1.1\r\nHost: x\r\n")
        for 0 .. $#ids;
    ok((wait_for { $s->get('/nginx')->{body} =~ /Reading: 24 / }),
        'all are accepted');
    my $since = time;
    my $pid = $s->pid;
    my @workers = $s->workers;
    kill QUIT => $pid;
    told(@workers);
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
    told($workers[$round]);
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
    my $since = time;
    my $load = fork // die "fork: $!\n";
    if ($load == 0) {
        open STDOUT, '>', '/dev/null';
        exec 'build/tools/gbpoll', '127.0.0.1', $s->port, 8, 60, 0,
            ddi('d'), $devices, 1;          # each in turn
    }
    my $all = sub { return $s->get('/status')->{json}{polls}{hit} };
    my $before = $all->();
    ok((wait_for { $all->() > $before + 2 * $devices }), 'load');
    kill HUP => $s->pid;
    ok((wait_for { !grep { kill 0, $_ } @old } 40),
        'who is told to go goes, under load');
    is(waitpid($load, POSIX::WNOHANG()), 0, 'which goes on');
    kill KILL => $load;
    waitpid $load, 0;
    my $pid = $s->pid;
    kill QUIT => $pid;
    ok(stopped($pid), 'nginx stops');
    is(unwritten($since, map { "d$_" } 1 .. $devices), '',
        'and all of them are written');
}

done_testing;
