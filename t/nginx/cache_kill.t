#!/usr/bin/perl
# Workers killed with -9 while they work in a zone that is full, and reloads
# meanwhile: the zone stays usable, and nobody has another one's answer.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $devices = 12_000;
my $s = stack(workers => 2, fsync => 'off',
    yaml => "device_auth:\n  enable: true\n  mode: strict\n",
    http => "goosebit_cache zone=fleet:512k;\n",
    server => 'add_header X-Cache $goosebit_cache_status always;');

# Each sleeps for another time, so that answers can be told apart.
$s->sql(qq{insert into goosebit.device (tenant_id, controller_id, token, state,
    config_data_at, poll_time) select 1, n, sha256(n::text::bytea),
    'registered', now(), n from generate_series(1, $devices) n});


sub seconds {
    my ($body) = @_;
    my ($h, $m, $s) = $body =~ /"sleep":"(\d\d):(\d\d):(\d\d)"/ or return -1;
    return $h * 3600 + $m * 60 + $s;
}


# Polls until END: hits, misses, and what should not have been.
sub load {
    my ($end, $out) = @_;
    my ($http, %n, @wrong);
    srand;
    while (!-e $end) {
        my $id = 1 + int(rand() < 0.7 ? rand 500 : rand $devices);
        $http //= eval { $s->http } // next;
        my $r = eval { $http->request('GET', ddi($id), headers =>
            [Authorization => "TargetToken $id"]) };
        if (!$r) {
            undef $http;
            $n{lost}++;
            next;
        }
        if ($r->{status} == 200) {
            $n{$r->{headers}{'x-cache'}}++;
            push @wrong, "$id: $r->{body}" if seconds($r->{body}) != $id;
        } elsif ($r->{status} != 503) {
            push @wrong, "$id: $r->{status}";
        }
    }
    spew($out, join "\n", (map { "$_=$n{$_}" } keys %n), @wrong);
    POSIX::_exit(0);
}


my $dir = tempdir;
my @pids = map {
    my $pid = fork // die;
    load("$dir/end", "$dir/$_") if !$pid;
    $pid;
} 1 .. 4;

ok(wait_for(sub { ($s->get('/status')->{json}{cache}{evictions} // 0) > 100 },
    120), 'the zone is full');

my $kills = $ENV{GB_ASAN} ? 30 : 60;
my $killed = 0;
ok((wait_for {
    sleep 0.03 + rand 0.15;
    my @workers = $s->workers or return 0;
    kill KILL => $workers[rand @workers] or return 0;
    kill HUP => $s->pid if ++$killed % 15 == 0;
    return $killed == $kills;
} 120), 'workers were killed') or diag $killed;

# Who is killed last may have had that question.
my $polls = sub { (eval { $s->get('/status')->{json}{polls} }) // {} };
my $before;
ok((wait_for { ($before = $polls->())->{hit} }), 'others have come');
ok((wait_for {
    my $now = $polls->();
    ($now->{hit} // 0) > $before->{hit} + 200
        && $now->{miss} > $before->{miss} + 200;
} 60), 'there are hits and misses afterwards');
spew("$dir/end", '');
waitpid $_, 0 for @pids;

my (%n, @wrong);
for my $file (map { "$dir/$_" } 1 .. 4) {
    /^(\w+)=(\d+)$/ ? $n{$1} += $2 : push @wrong, $_
        for split /\n/, slurp($file);
}
is_deeply(\@wrong, [], 'nobody had another one\'s answer')
    or diag "@wrong[0 .. 3]";
cmp_ok($n{HIT}, '>', 100, "hits ($n{HIT})");
cmp_ok($n{MISS}, '>', 100, "misses ($n{MISS})");

# ---- what is left

ok(wait_for(sub { my $r = $s->get(ddi(7), headers =>
    [Authorization => 'TargetToken 7']); $r->{headers}{'x-cache'} eq 'HIT' }),
    'the zone is in use');
{
    my $j = $s->get('/status')->{json};
    cmp_ok($j->{cache}{entries}, '<', 6000, 'no more devices than places');
    cmp_ok($j->{cache}{entries}, '>', 1000, 'nor next to none');
    ok($s->seen(60), 'all that were seen are written down');
    cmp_ok($s->value('select count(*) from goosebit.device_seen'), '>', 1000,
        'those that were thrown out, too');
}

$s->allow_log(qr/exited on signal 9/, qr/was locked by/);
done_testing;
