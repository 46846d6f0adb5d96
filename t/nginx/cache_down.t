#!/usr/bin/perl
# Without a database quiet devices keep their answer for goosebit_stale_if_error;
# and those who ask the same at a time share one SQL call.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(workers => 1, database => 'timeout=2s',
    yaml => "device_auth:\n  enable: true\n  mode: strict\n",
    http => "goosebit_cache zone=fleet:1m; goosebit_stale 4s; "
        . "goosebit_stale_if_error 10s;\n",
    server => 'add_header X-Cache $goosebit_cache_status always;');

$s->sql(q{insert into goosebit.device (tenant_id, controller_id, token, state,
    config_data_at) select 1, d, sha256(d::bytea), 'registered', now()
    from unnest(array['a', 'b', 'late', 'blocked']) d});
$s->sql(q{insert into goosebit.device (tenant_id, controller_id, token)
    values (1, 'new', sha256('new'))});


sub poll {
    my ($id, $token, @how) = @_;
    my $r = $s->get(ddi($id), headers =>
        [Authorization => 'TargetToken ' . ($token // $id), @how]);
    $r->{cache} = $r->{headers}{'x-cache'};
    return $r;
}


sub warm {
    my ($id) = @_;
    return ok(wait_for(sub { poll($id)->{cache} eq 'HIT' }),
        "$id is in the zone");
}


sub refused {
    my ($name, $r) = @_;
    is($r->{status}, 503, "$name: 503");
    like($r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'with Retry-After');
}


warm($_) for qw(a blocked late);

# ---- one call for all who ask the same

{
    # The status page asks SQL, too: before it is locked.
    my $calls = $s->get('/status')->{json}{db}{calls};
    my $psql = $s->psql;
    $psql->send('begin; lock table goosebit.device in access exclusive mode')
        ->result;
    my @who = map {
        my $http = $s->http;
        $http->send_request('GET', ddi('new'),
            headers => [Authorization => 'TargetToken new']);
        $http;
    } 1 .. 20;
    my $other = $s->http;
    $other->send_request('GET', ddi('new'),
        headers => [Authorization => 'TargetToken other']);
    ok(wait_for(sub { $s->value(q{select count(*) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%poll%'}) }),
        'SQL waits');
    # Until all have come: SQL calls are counted when they are answered.
    sleep 0.5;
    # The one that asks goes, with two of those that follow it.
    $who[$_]->close for 0, 5, 19;
    sleep 0.2;
    $psql->send('rollback')->result;
    my @status = map { $who[$_]->response('GET')->{status} } 1 .. 4, 6 .. 18;
    is_deeply(\@status, [(200) x 17], 'each has its answer');
    is($other->response('GET')->{status}, 401,
        'another credential has its own');
    my $more = $s->get('/status')->{json}{db}{calls} - $calls;
    # The journal and tick() are among them.
    cmp_ok($more, '<', 12, "20 polls are not 20 calls ($more)");
    $psql->quit;
}

# ---- who is let in no more, known before the database goes

$s->sql(q{update goosebit.device set blocked = true
    where controller_id = 'blocked'});
$s->gbctl(qw(device set blocked --name x));
ok(wait_for(sub { poll('blocked')->{status} == 401 }), 'one is blocked');

# ---- no database

warm('a');
warm('late');
$s->pg('stop');
my $start = time;
my $r = poll('a');
is($r->{status}, 200, 'a quiet device has its answer');
is($r->{cache}, 'STALE', 'that may be out of date');
is_deeply($r->{json}, { config => { polling => { sleep => '00:01:00' } },
    _links => {} }, 'the same');
is(poll('a', undef, 'If-None-Match' => $r->{headers}{etag})->{status}, 304,
    '304 as well');
refused('another token', poll('a', 'b'));
refused('a device that is not in the zone', poll('b'));
refused('one that was blocked', poll('blocked'));
refused('its deployment', $s->get(ddi('a', 'deploymentBase', 11),
    headers => [Authorization => 'TargetToken a']));
cmp_ok(time - $start, '<', 4, 'all at once');
sleep 5 - (time - $start);
is(poll('a')->{cache}, 'STALE', 'after goosebit_stale, too');
cmp_ok($s->get('/status')->{json}{polls}{stale}, '>=', 3, 'they are counted');
sleep 12 - (time - $start);
refused('after goosebit_stale_if_error', poll('a'));
$s->pg('start');
$start = time;
ok(wait_for(sub { poll('a')->{cache} eq 'HIT' }, 10),
    'with a database again, from the zone');
cmp_ok(time - $start, '<', 10, 'within 10 s');

# ---- one that does not answer

{
    warm('late');
    my @pids = ($s->pg_pid, map { $_->[0] } $s->sql('select pid from '
        . "pg_stat_activity where usename = 'goosebit_ddi'"));
    kill STOP => @pids;
    $start = time;
    is(poll('late')->{cache}, 'HIT', 'PostgreSQL hangs: from the zone');
    cmp_ok(time - $start, '<', 1.9, 'at once');     # timeout=2s
    sleep 4.5;
    $start = time;
    $r = poll('late');
    is($r->{status}, 200, 'after goosebit_stale');
    is($r->{cache}, 'STALE', 'when SQL has not answered in time');
    cmp_ok(time - $start, '<', 10, 'which is known after a while');
    kill CONT => @pids;
    ok(wait_for(sub { poll('late')->{cache} eq 'HIT' }, 15), 'it goes on');
}

done_testing;
