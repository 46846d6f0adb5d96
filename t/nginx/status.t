#!/usr/bin/perl
# goosebit_status: JSON, Prometheus, and without a database.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(workers => 2, patient => 1,
    yaml => "metrics:\n  prometheus:\n    enable: true\n");

$s->get(ddi("d$_")) for 1 .. 6;
$s->get('/nothing');
$s->put(ddi('d1', 'configData'), body => '{', headers =>
    ['Content-Type' => 'application/json']);

sub page { $s->get('/status')->{json} }


# A request is counted when it has been answered, and devices are asked of the
# database: the page once this holds of it, or as it is.
sub page_with {
    my ($cond) = @_;
    my $j;
    wait_for { local $_ = $j = page(); $cond->() };
    return $j;
}

# ---- JSON

my $r = $s->get('/status');
is($r->{status}, 200, 'the page');
is($r->{headers}{'content-type'}, 'application/json', 'is JSON');
my $j = page_with(sub { $_->{polls}{bypass} == 6 && $_->{devices}{DEFAULT}
    && $_->{requests}{other}{404} && $_->{requests}{configData}{400}
    && $_->{db}{connections} == 4 });
is_deeply($j->{polls}, { hit => 0, miss => 0, stale => 0, bypass => 6 },
    'polls of all workers');
is($j->{requests}{poll}{200}, 6, 'requests by endpoint and status');
is($j->{requests}{configData}{400}, 1, 'refused ones');
is($j->{requests}{other}{404}, 1, 'and paths that are none');
is($s->get(ddi('x' x 9000))->{status}, 414, 'a line that is too long');
is(page_with(sub { $_->{requests}{other}{414} })->{requests}{other}{414}, 1,
    'is counted as that');
is($j->{db}{connections}, 4, 'connections of all workers');
is($j->{db}{errors}, 0, 'no error');
ok($j->{db}{seconds} > 0, 'time spent');
is_deeply($j->{devices}, { DEFAULT => { unknown => 6 } },
    'devices by tenant and state');
is_deeply([sort keys %$j],
    [qw(cache db devices downloads polls requests sync)], 'the rooms');

# ---- methods

$r = $s->head('/status');
is($r->{status}, 200, 'HEAD');
ok($r->{headers}{'content-length'} > 100, 'has a length');
is($s->post('/status', body => 'x')->{status}, 405, 'POST: 405');

# ---- Prometheus

$r = $s->get('/status?format=prometheus');
is($r->{status}, 200, 'as Prometheus text');
like($r->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4}, 'type');
my @bad = grep {
    !/^# (?:HELP|TYPE) goosebit_\w+ \S.*$/
        && !/^goosebit_\w+(?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? [\d.]+$/
} split /\n/, $r->{body};
is_deeply(\@bad, [], 'every line is well formed');
like($r->{body}, qr/^goosebit_polls_bypass 6$/m, 'polls');
like($r->{body}, qr/^goosebit_requests\{endpoint="poll",status="200"\} 6$/m,
    'requests');
like($r->{body}, qr/^goosebit_db_connections 4\.0+$/m, 'connections');
like($r->{body}, qr/^goosebit_devices\{tenant="DEFAULT",state="unknown"\} 6$/m,
    'devices');
like($r->{body}, qr/\n\z/, 'ends with a line feed');

# ---- a database that is slow

{
    my $psql = $s->psql;
    $psql->send('begin; lock table goosebit.tenant in access exclusive mode')
        ->result;
    sleep 3.1;                              # what is known is too old by now
    my $start = time;
    $r = $s->get('/status');
    is($r->{status}, 200, 'a slow database: the page is there');
    cmp_ok(time - $start, '<', 20, 'without waiting for its time-out');
    is($r->{json}{requests}{poll}{200}, 6, 'with the counters');
    $psql->send('rollback')->result;
    ok(wait_for(sub { page()->{devices}{DEFAULT} }),
        'and the devices again');
}

# ---- a reload keeps the counters

ok($s->reload, 'reload');
is(page()->{polls}{bypass}, 6, 'counters stay');
ok(wait_for(sub { page()->{db}{connections} == 4 }),
    'connections are those of the new workers');

# ---- asked at most every few seconds

{
    my $calls = page()->{db}{calls};
    my $http = $s->http;
    my $start = time;
    $http->request('GET', '/status') for 1 .. 50;
    my $took = time - $start;
    my $more = page()->{db}{calls} - $calls;

    # ticks and last seen times are among them
    ok($more < 12 + 4 * $took, "50 pages are not 50 calls ($more)");
}

# ---- without a database

$s->pg('stop');
my $start = time;
$r = $s->get('/status');
is($r->{status}, 200, 'without a database: 200');
ok(time - $start < 20, 'at once');      # timeout=60s
is(page_with(sub { $_->{db}{connections} == 0 })->{db}{connections}, 0,
    'no connection');
$s->get(ddi('d1')) for 1 .. 3;
$j = page_with(sub { ($_->{requests}{poll}{503} // 0) >= 3 });
is($j->{requests}{poll}{503}, 3, 'refused polls are counted');
ok($j->{db}{errors} >= 3, 'as errors, too');
$s->pg('start');
ok(wait_for(sub { page()->{db}{connections} == 4 }),
    'with a database again');

# ---- switched off

{
    my $off = stack(workers => 1, fsync => 'off');
    is($off->get('/status?format=prometheus')->{status}, 404,
        'Prometheus text only where it is switched on');
    is($off->get('/status')->{status}, 200, 'JSON always');
}

done_testing;
