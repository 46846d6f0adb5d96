#!/usr/bin/perl
# The pool in good order: classes, batches, limits, statements prepared anew.
use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $config = { mode => 'merge', data => { hw_model => 'm', sw_version => '1' } };
my $lock = 'begin; lock table goosebit.tenant in access exclusive mode';

# Time-outs, ours and PostgreSQL's, are for others below: what waits here waits
# for what holds it, on a slow machine as well.
my $s = stack(workers => 1, database => 'connections=2 queue=10', patient => 1,
    yaml => "poll_time: 00:00:30\n", pg => "log_statement = 'all'\n");


sub put_config {
    my ($id, $to) = @_;
    my $http = ($to // $s)->http;
    $http->send_request('PUT', ddi($id, 'configData'), json => $config);
    return $http;
}


sub poll {
    my ($id) = @_;
    my $http = $s->http;
    $http->send_request('GET', ddi($id));
    return $http;
}


sub statuses {
    my %n;
    $n{ ($_->response // { status => 'none' })->{status} }++ for @_;
    return \%n;
}


# Once in three seconds the page asks SQL: before a lock is taken, so as not to
# wait behind it.
sub db { $s->get('/status')->{json}{db} }


# A write that holds the gate, as a session holds its row. Returns the session
# and the write.
sub gate {
    my $psql = $s->psql;
    my $ran = $s->value('select ran_at from goosebit.tick_state');
    $psql->query(q{begin; select from goosebit.device
        where controller_id = 'd1' for update});
    my $write = put_config('d1');
    ok(wait_for(sub { $s->value(q{select count(*) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%config_data(%'}) }),
        'a write waits for its row');
    is($s->get(ddi('d1'))->{status}, 200, 'a read does not wait behind it');
    ok(wait_for(sub { $s->value("select ran_at > '$ran'
        from goosebit.tick_state") eq 't' }), 'nor does what the worker does');
    return ($psql, $write);
}


is($s->get(ddi("d$_"))->{status}, 200, "device d$_ registers") for 1 .. 16;
like($s->pg_log, qr/execute goosebit_poll: SELECT/, 'statements are prepared');
ok(wait_for(sub { db()->{connections} == 2 }), 'two connections');

# ---- a turn's queries share the connections

{
    my $psql = $s->psql;
    db();
    $psql->send($lock)->result;
    my @c = map { poll("d$_") } 1 .. 8;
    ok(wait_for(sub { db()->{busy} >= 8 }), 'eight polls are in flight on one');
    $psql->send('rollback')->result;
    is_deeply(statuses(@c), { 200 => 8 }, 'and all are answered');
}

# ---- writes: gated, batched, repeated one by one where one fails

$s->sql(<<'SQL');
create function public.refuse() returns trigger language plpgsql as
$$ begin raise exception 'not %', new.controller_id; end $$;
create trigger refuse before update on goosebit.device for each row
    when (new.controller_id = 'd7') execute function public.refuse();
SQL

{
    my ($psql, @c) = gate();
    my $before = db()->{batches};
    push @c, map { put_config("d$_") } 2 .. 8;
    ok(wait_for(sub { db()->{queued} == 7 }), 'seven more wait behind it');
    $psql->send('rollback')->result;

    my @status = map { $_->response->{status} } @c;
    is_deeply(\@status, [200, 200, 200, 200, 200, 200, 503, 200],
        'one that fails does not take its batch along');
    is(db()->{batches}, $before + 1, 'it was one batch');
    is($s->value(q{select count(*) from goosebit.device
        where hw_model = 'm'}), 7, 'seven are stored');
    like($s->error_log, qr/goosebit_config_data failed: not d7/,
        'the log has the reason');
    $s->sql('drop trigger refuse on goosebit.device');
}

# ---- the wait queue is bounded

{
    my ($psql, $first) = gate();
    my @c = map { put_config("d$_") } 2 .. 16;
    my $can = IO::Select->new(map { $_->{sock} } @c);
    ok(wait_for(sub { (() = $can->can_read(0)) == 15 - 10 }),
        'those that find no room are refused at once');
    my %ready = map { $_ => 1 } $can->can_read(0);
    my @full = grep { $ready{$_->{sock}} } @c;
    my $r = $full[0]->response;
    is($r->{status}, 503, 'with 503');
    like($r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'and Retry-After');
    $psql->send('rollback')->result;
    is_deeply(statuses($first, grep { !$ready{$_->{sock}} } @c), { 200 => 11 },
        'the others are answered');
    is_deeply(statuses(@full[1 .. $#full]), { 503 => 4 }, 'each once');
    like($s->error_log, qr/queue=10 is full/, 'the log says so');
}

# ---- time-outs: ours, and PostgreSQL's

{
    my $n = stack(with => $s, workers => 1, database => 'timeout=2s');
    my $psql = $s->psql;
    is($n->get(ddi('d1'))->{status}, 200, 'timeout=2s');
    $psql->send($lock)->result;
    my $start = time;
    my $beside = $n->http;
    $beside->send_request('GET', ddi('d2'));
    my $r = $n->get(ddi('d1'));
    my $took = time - $start;
    is($r->{status}, 503, 'a poll that takes too long: 503');
    is($beside->response->{status}, 503, 'and one beside it');
    ok($r->{headers}{'retry-after'}, 'with Retry-After');
    ok($took > 1.5, "after two seconds ($took)");
    like($n->error_log, qr/goosebit_poll timed out\n/, 'by our clock');
    is(() = $n->error_log =~ /goosebit_poll timed out/g, 2, 'both of them');
    unlike($n->error_log, qr/timed out before it was sent/, 'both were sent');
    is($n->get('/status')->{status}, 200, 'the status page is there');
    $psql->send('rollback')->result;
    ok(wait_for(sub { $n->get(ddi('d1'))->{status} == 200 }), 'then 200 again');
    $n->stop;
}

{
    $s->sql(q{alter role goosebit_ddi set statement_timeout = '300ms'});
    my $n = stack(with => $s, workers => 1, database => 'timeout=60s');
    my $psql = $s->psql;
    $psql->send($lock)->result;
    is($n->get(ddi('d1'))->{status}, 503, 'statement_timeout: 503');
    like($n->error_log,
        qr/goosebit_poll failed: canceling statement due to statement time/,
        'is logged');
    $psql->send('rollback')->result;
    ok(wait_for(sub { $n->get(ddi('d1'))->{status} == 200 }), 'then 200 again');
    $n->stop;
    $s->sql(q{alter role goosebit_ddi set statement_timeout = '5s'});
}

# ---- clients that leave

{
    my $psql = $s->psql;
    db();
    $psql->send($lock)->result;
    my @c = map { poll("d$_") } 1 .. 6;
    ok(wait_for(sub { db()->{busy} >= 6 }), 'six polls are in flight');
    $_->close for @c[0, 2, 4];
    ok(wait_for(sub { (() = $s->access_log =~ /" 499 /g) == 3 }),
        'three leave');
    $psql->send('rollback')->result;
    is_deeply(statuses(@c[1, 3, 5]), { 200 => 3 }, 'three are answered');
    is($s->get(ddi('d1'))->{status}, 200, 'and all goes on');
    is(db()->{connections}, 2, 'on the same connections');
}

# ---- functions that change under running connections

{
    my $pids = sub {
        join ' ', map { $_->[0] } $s->sql(q{select pid from pg_stat_activity
            where usename = 'goosebit_ddi' order by 1})
    };
    my $before = $pids->();

    $s->sql('alter type goosebit_ddi.poll_row add attribute extra int');
    my @c = map { poll("d$_") } 1 .. 8;
    is_deeply(statuses(@c), { 200 => 8 }, 'the row has changed: 200');
    unlike($s->error_log, qr/cached plan/, 'without an error in the log');
    is($s->get(ddi('d2'))->{status}, 200, 'prepared anew: 200');
    is($pids->(), $before, 'on the same connections');

    # The function fits it no more, once it is compiled anew.
    $s->sql('alter type goosebit_ddi.poll_row drop attribute extra');
    is($s->get(ddi('d2'))->{status}, 200, 'it is as it was: 200');

    $s->sql('alter function goosebit_ddi.poll rename to away');
    my $r = $s->get(ddi('d1'));
    is($r->{status}, 503, 'a function is not there: 503');
    unlike($r->{body}, qr/goosebit_ddi|function/, 'the device sees no SQL');
    $s->sql('alter function goosebit_ddi.away rename to poll');
    is($s->get(ddi('d1'))->{status}, 200, 'and is again: 200');
    is($pids->(), $before, 'still on the same connections');
}

# ---- functions that a migration replaces under a call

{
    my $m = stack(workers => 1, fsync => 'off', patient => 1);
    my @ids = qw(m1 m2 m3);
    is($m->get(ddi($_))->{status}, 200, "$_ registers") for @ids;
    is($m->put(ddi('m1', 'configData'), json => $config)->{status}, 200,
        'the functions have been called');

    my ($holder, $migration) = ($m->psql, $m->psql);
    my @sql = map { slurp($_) } sort(glob 'sql/functions/*.sql'),
        'sql/grants.sql';
    $migration->query(join "\n", 'begin;', @sql);
    $holder->query(q{begin; select from goosebit.device for update});

    my @c = map { put_config($_, $m) } @ids;
    ok(wait_for(sub { $m->value(q{select count(*) from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%config_data(%'}) }),
        'messages are half way');
    $migration->query('commit');
    $holder->query('rollback');
    is_deeply(statuses(@c), { 200 => 3 }, 'they are taken, begun again');
    like($m->pg_log, qr/ERROR:.*\b(?:OID|type|function)\b/,
        'though PostgreSQL could not end them');
}

# ---- prepare=off, one connection for all

{
    my $one = stack(workers => 1, database => 'connections=1 prepare=off',
        pg => "log_statement = 'all'\n");
    is($one->get(ddi('p1'))->{status}, 200, 'prepare=off: poll');
    is($one->put(ddi('p1', 'configData'), json => $config)->{status}, 200,
        'configData');
    is($one->get(ddi('p1'))->{json}{config}{polling}{sleep}, '00:01:00',
        'and the poll after it');
    is($one->get('/status')->{json}{db}{connections}, 1, 'one connection');
    unlike($one->pg_log, qr/execute goosebit_/, 'no statement is prepared');
}

done_testing;
