#!/usr/bin/perl
# Without a database quiet devices keep their answer for goosebit_stale_if_error;
# and those who ask the same at a time share one SQL call.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Pair;
use Goosebit::Test;

# One that waits for SQL no longer than a moment and keeps answers for ever, and
# one the other way round: no test here depends on how quick this machine is.
my %common = (workers => 1,
    yaml => "device_auth:\n  enable: true\n  mode: strict\n",
    server => 'add_header X-Cache $goosebit_cache_status always;
        location = /nginx { stub_status; }');
my $s = stack(%common, database => 'timeout=2s',
    http => 'goosebit_cache zone=fleet:1m; goosebit_stale 2s;'
        . ' goosebit_stale_if_error 1h;');
my $other = stack(%common, with => $s, database => 'timeout=120s',
    http => 'goosebit_cache zone=fleet:1m; goosebit_stale 60s;'
        . ' goosebit_stale_if_error 5s;');

$s->sql(q{insert into goosebit.device (tenant_id, controller_id, token, state,
    config_data_at) select 1, d, sha256(d::bytea), 'registered', now()
    from unnest(array['a', 'b', 'late', 'blocked']) d});
$s->sql(q{insert into goosebit.device (tenant_id, controller_id, token)
    values (1, 'new', sha256('new'))});


# poll(ID, of => STACK, token => T, headers => []); {cache} is its way
sub poll {
    my ($id, %opt) = @_;
    my $r = ($opt{of} // $s)->get(ddi($id), headers => [Authorization =>
        'TargetToken ' . ($opt{token} // $id), @{$opt{headers} // []}]);
    $r->{cache} = $r->{headers}{'x-cache'};
    return $r;
}


sub warm {
    my ($id, @of) = @_;
    return ok((wait_for { poll($id, @of)->{cache} eq 'HIT' }),
        "$id is in the zone");
}


sub lag { return $_[0]->get('/status')->{json}{sync}{lag_seconds} }


sub refused {
    my ($name, $r) = @_;
    is($r->{status}, 503, "$name: 503");
    like($r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'with Retry-After');
}


# ---- one call for all who ask the same

{
    $s->sql('create sequence public.polls');
    Goosebit::Pair::before_poll($s, q{perform nextval('public.polls')});
    my $psql = $s->psql;
    $psql->query('begin; lock table goosebit.device in access exclusive mode');
    my @who = map {
        my $http = $other->http;
        $http->send_request('GET', ddi('new'),
            headers => [Authorization => 'TargetToken new']);
        $http;
    } 1 .. 20;
    my $third = $other->http;
    $third->send_request('GET', ddi('new'),
        headers => [Authorization => 'TargetToken other']);
    my $under_way = sub { $other->get('/nginx')->{body} =~ /Writing: (\d+)/;
        return $1 - 1 };
    ok((wait_for { $under_way->() == 21 }), 'all have come');
    ok((wait_for { $s->value(q{select count(*) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%poll%'}) }),
        'SQL waits');
    # The one that asks goes, with two of those that follow it.
    $who[$_]->close for 0, 5, 19;
    ok((wait_for { $under_way->() == 18 }), 'three have gone');
    $psql->query('rollback');
    my @status = map { $who[$_]->response('GET')->{status} } 1 .. 4, 6 .. 18;
    is_deeply(\@status, [(200) x 17], 'each has its answer');
    is($third->response('GET')->{status}, 401,
        'another credential has its own');
    # The first one's, the one of who took its place, the other credential's.
    cmp_ok($s->value('select last_value from public.polls'), '<=', 3,
        '20 polls are not 20 calls');
    $psql->quit;
}

# ---- who is let in no more, known before the database goes

warm($_) for qw(a blocked late);
warm($_, of => $other) for qw(a late);
$s->sql(q{update goosebit.device set blocked = true
    where controller_id = 'blocked'});
$s->gbctl(qw(device set blocked --name x));
ok((wait_for { poll('blocked')->{status} == 401 }), 'one is blocked');

# ---- no database

warm('a');
$s->pg('stop');
ok($_->wait_log(qr/PostgreSQL is gone/), 'there is no database') for $s, $other;
my $start = time;
my $r = poll('a');
is($r->{status}, 200, 'a quiet device has its answer');
is($r->{cache}, 'STALE', 'that may be out of date');
is_deeply($r->{json}, { config => { polling => { sleep => '00:01:00' } },
    _links => {} }, 'the same');
is(poll('a', headers => ['If-None-Match' => $r->{headers}{etag}])->{status},
    304, '304 as well');
refused('another token', poll('a', token => 'b'));
refused('a device that is not in the zone', poll('b'));
refused('one that was blocked', poll('blocked'));
refused('its deployment', $s->get(ddi('a', 'deploymentBase', 11),
    headers => [Authorization => 'TargetToken a']));
cmp_ok(time - $start, '<', 10, 'all at once');  # not timeout=2s for each
ok((wait_for { lag($s) > 2 }), 'goosebit_stale is over');
is(poll('a')->{cache}, 'STALE', 'which makes no difference');
cmp_ok($s->get('/status')->{json}{polls}{stale}, '>=', 3, 'they are counted');
ok((wait_for { poll('a', of => $other)->{status} == 503 }),
    'elsewhere goosebit_stale_if_error is over');
cmp_ok(lag($other), '>', 5, 'not before its time');
refused('after it', poll('a', of => $other));
$s->pg('start');
$start = time;
warm('a');
warm('late', of => $other);
cmp_ok(time - $start, '<', 20, 'soon after the database');

# ---- one that does not answer

{
    # first what would start more of them
    my $postmaster = $s->pg_pid;
    kill STOP => $postmaster;
    my @pids = ($postmaster, map { m{/(\d+)/} } grep {
        (eval { slurp($_) } // '') =~ /^\d+ \(.*\) \S $postmaster /
    } glob '/proc/[0-9]*/stat');
    kill STOP => @pids;
    is(poll('late', of => $other)->{cache}, 'HIT',
        'PostgreSQL hangs: from the zone');     # not after timeout=120s
    ok((wait_for { lag($s) > 2 }), 'goosebit_stale is over');
    $r = poll('late');
    is($r->{status}, 200, 'there is an answer still');
    is($r->{cache}, 'STALE', 'when SQL has not answered in time');
    kill CONT => @pids;
    warm('late');
}

done_testing;
