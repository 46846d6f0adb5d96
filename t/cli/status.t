#!/usr/bin/perl
# gbctl status, and with its one row every way to print a result.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use Encode qw(decode_utf8);
use JSON::PP;

my $s = stack(nginx => 0, fsync => 'off', yaml => "poll_time: 00:01:00\n");

sub status { $s->gbctl('status', '-o', 'json', @_)->{json} }


# nobody there

my $none = status();
like(delete $none->{counted}, qr/^\d{4}-.*Z$/, 'counted now');
is_deeply($none, { tenant => 'DEFAULT', devices => 0, online => 0,
    states => { unknown => 0, registered => 0, running => 0, error => 0,
        finished => 0 },
    actions => {}, rollouts => [],
    last_hour => { finished => 0, error => 0, rejected => 0, canceled => 0,
        timed_out => 0 } }, 'an empty fleet');

my $r = $s->gbctl('status');
is($r->{exit}, 0, 'table: exit 0');
like($r->{out}, qr/\ADEFAULT: 0 devices, 0 online\n/, 'table: head');
is($r->{err}, "no rollouts run\n", 'table: says that no rollout runs');

$r = $s->gbctl('status', '-t', 'default', '-o', 'json');
is($r->{json}{tenant}, 'DEFAULT', 'tenant: case does not matter');

$r = $s->gbctl('status', '-t', 'nobody', '-o', 'json');
is($r->{exit}, 1, 'unknown tenant: exit 1');
is_deeply(decode_json($r->{err})->{error},
    { code => 'not_found', message => 'tenant "nobody": not found' },
    'unknown tenant: the error');


# a fleet: seconds since the last poll, own poll time, state

$s->sql(<<'SQL');
WITH fleet (id, ago, poll_time, state) AS (VALUES
    ('a', 10, NULL::int, 'registered'), ('b', 30, NULL, 'registered'),
    ('c', 200, NULL, 'error'), ('d', NULL, NULL, 'unknown'),
    ('e', 100, 3600, 'finished'), ('f', 10, 5, 'finished')
), made AS (
    INSERT INTO goosebit.device (tenant_id, controller_id, poll_time, state)
    SELECT 1, id, poll_time, state FROM fleet RETURNING id, controller_id
)
INSERT INTO goosebit.device_seen (tenant_id, device_id, seen_at)
SELECT 1, m.id, now() - f.ago * interval '1 second'
FROM fleet f JOIN made m ON m.controller_id = f.id
WHERE f.ago IS NOT NULL
SQL

my $is = status();
is($is->{devices}, 6, 'devices');
is_deeply($is->{states}, { unknown => 1, registered => 2, running => 0,
    error => 1, finished => 2 }, 'by state');
is($is->{online}, 3, 'online: 1.5 poll times, each its own');

$s->sql('UPDATE goosebit.tenant SET poll_time = 300 WHERE id = 1');
is(status()->{online}, 4, "online: the tenant's poll time beats the file's");


# actions and rollouts

$s->sql(<<'SQL');
INSERT INTO goosebit.software (tenant_id, name, version, version_key, format,
    filename, size, sha256, sha1, md5)
VALUES (1, 'os', '2.0', goosebit.version_key('2.0'), 'swu', 'a.swu', 1,
    repeat('a', 64), repeat('a', 40), repeat('a', 32));
INSERT INTO goosebit.software_hardware
    (tenant_id, software_id, model, revision, version_key)
VALUES (1, 1, 'default', 'default', goosebit.version_key('2.0'));
INSERT INTO goosebit.rollout (tenant_id, name, software_id, state, start_at)
VALUES (1, 'now', 1, 'running', NULL), (1, 'held', 1, 'paused', NULL),
       (1, 'later', 1, 'running', now() + interval '1 day');
INSERT INTO goosebit.action (tenant_id, device_id, id, software_id, version,
    cause, cause_id, state, ended_at)
SELECT 1, d.id, x.id, 1, '2.0', 'rollout', 1, x.state, x.at
FROM (VALUES ('a', 11, 'running', NULL::timestamptz),
             ('b', 12, 'finished', now() - interval '50 minutes'),
             ('c', 13, 'error', now() - interval '10 minutes'),
             ('d', 14, 'error', now() - interval '70 minutes'))
     AS x (device, id, state, at)
JOIN goosebit.device d ON d.tenant_id = 1 AND d.controller_id = x.device;
UPDATE goosebit.device SET open_action_id = 11 WHERE controller_id = 'a'
SQL

$is = status();
is_deeply($is->{actions}, { running => 1 }, 'open actions by state');
is_deeply($is->{last_hour}, { finished => 1, error => 1, rejected => 0,
    canceled => 0, timed_out => 0 }, 'results of the last hour, no older');
is_deeply([map { $_->{name} } @{$is->{rollouts}}], ['now'],
    'rollouts: not the paused, not the scheduled');

# a fleet too big to be counted for each look

$s->sql(<<'SQL');
BEGIN;
INSERT INTO goosebit.device_count (tenant_id, state, devices, online)
VALUES (1, 'finished', 20000, 15000), (1, 'error', 3, 2);
INSERT INTO goosebit.rollout_count (tenant_id, rollout_id, outcome, devices)
VALUES (1, 1, 'waiting', 17000), (1, 1, 'running', 0), (1, 1, 'success', 3000),
    (1, 1, 'failure', 3), (1, 2, 'success', 5);
INSERT INTO goosebit.result_count
VALUES (1, 'finished', 4001), (1, 'rejected', 5);
UPDATE goosebit.tick_state SET counted_at = now() - interval '3 minutes';
COMMIT;
SQL
$is = status();
is_deeply([@$is{qw(devices online)}], [20003, 15002], 'as they were counted');
is_deeply({ map { %$_ } @{$is->{rollouts}} }, { id => 1, name => 'now',
    feed => 'default', version => '2.0', running => 0, targeted => 20003,
    waiting => 17000, success => 3000, failure => 3 },
    'and its rollouts as well');
is_deeply($is->{last_hour}, { finished => 4001, error => 0, rejected => 5,
    canceled => 0, timed_out => 0 }, 'and the results up to then');
$s->sql("UPDATE goosebit.action SET ended_at = now() - interval '1 minute'
    WHERE id IN (12, 13)");
is_deeply(status()->{last_hour}, { finished => 4002, error => 1,
    rejected => 5, canceled => 0, timed_out => 0 }, 'and those since');
like($s->gbctl('status')->{out},
    qr/\ADEFAULT: 20003 devices, 15002 online, counted 3m ago\n/,
    'and when that was');
$s->sql('DELETE FROM goosebit.rollout_count');
is_deeply({ map { %$_ } @{status()->{rollouts}} }, { id => 1, name => 'now',
    feed => 'default', version => '2.0', running => 1, targeted => undef,
    waiting => undef, success => undef, failure => undef },
    'of one that was not counted yet, what runs');

# the first count is not complete

$s->sql(<<'SQL');
BEGIN;
UPDATE goosebit.device_count SET devices_next = devices - 1000, devices = 0
WHERE state = 'finished';
UPDATE goosebit.device_count SET devices = 0 WHERE state = 'error';
UPDATE goosebit.tick_state SET ran_at = now(), counted_at = '-infinity';
UPDATE pg_class SET reltuples = 20000 WHERE oid = 'goosebit.device'::regclass;
COMMIT;
SQL
$is = status();
is_deeply([@$is{qw(devices counted)}, $is->{rollouts}[0]{targeted}],
    [19000, undef, undef], 'as far as the first count has come');
like($s->gbctl('status')->{out},
    qr/\ADEFAULT: 19000 devices, 0 online, being counted\n/, 'says so');
$s->sql('DELETE FROM goosebit.device_count');
$s->sql("UPDATE goosebit.tick_state SET ran_at = '-infinity'");

$r = $s->gbctl('status');
like($r->{out}, qr/^Devices .*\berror 1\b/m, 'table: states');
like($r->{out}, qr/^Last hour .*\bfinished 1\b/m, 'table: last hour');
like($r->{out}, qr/^ID +NAME .*\n *1 +now +default +2\.0 /m,
    'table: the rollout');
unlike($r->{out}, qr/\e/, 'no colours off a terminal');

$r = $s->gbctl({ pty => 80 }, 'status');
like($r->{out}, qr/\e\[31merror 1\e\[0m/, 'colours on a terminal');
$s->sql("UPDATE goosebit.rollout SET name = U&'a rather longish n\\00e4me'");

for my $width (76, 50, 30) {
    my ($table) = decode_utf8($s->gbctl({ pty => $width }, 'status',
        '--no-color')->{out}) =~ /^(ID .*)/ms;
    my @too_wide = grep { length > $width && !/^no room/ }
        split /\n/, $table;
    is_deeply(\@too_wide, [], "a table fits $width columns");
}
like($s->gbctl({ pty => 50 }, 'status')->{out},
    qr/ a rather[a-z ]*\xe2\x80\xa6 /, 'long text is cut');
like($s->gbctl({ pty => 50 }, 'status')->{out},
    qr/^no room for .*: try -o wide$/m, 'and says what it left out');
unlike($s->gbctl({ pty => 80 }, 'status', '--no-color')->{out},
    qr/\e\[3/, '--no-color');
like($s->gbctl({ pty => 80, env => { NO_COLOR => '' } }, 'status')->{out},
    qr/\e\[3/, 'NO_COLOR, empty: as if it were not there');
unlike($s->gbctl({ pty => 80, env => { NO_COLOR => 1 } }, 'status')->{out},
    qr/\e\[3/, 'NO_COLOR');
unlike($s->gbctl({ pty => 80, env => { TERM => 'dumb' } }, 'status')->{out},
    qr/\e/, 'nor on a dumb terminal');


# every type and every format, by one row of them all

$s->sql(<<'SQL');
DROP FUNCTION goosebit_admin.status(text, int);
CREATE FUNCTION goosebit_admin.status(text, int)
RETURNS TABLE (tenant_name text, devices bigint, online boolean,
    states text[], actions int[], rollouts timestamptz, last_hour numeric,
    counted timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT E'a,"b"\n\u00e4\x1b[31m', 9007199254740993, true,
           ARRAY['x', NULL, 'y "z" \ ,', '', 'NULL'], '{1,-2}'::int[],
           '2026-02-28 23:59:59.5+01'::timestamptz, 1.5, NULL::timestamptz
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, '{}', 'infinity', NULL, NULL
$$
SQL

# the pretty 1.5 aside, numbers are checked as text

$r = $s->gbctl('status', '-o', 'json');
like($r->{out}, qr/"devices": 9007199254740993,/, 'json: bigint, exact');
like($r->{out}, qr/"last_hour": 1\.5\b/, 'json: numeric');
is_deeply({ %{$r->{json}}, devices => 0, last_hour => 0 }, {
    tenant => "a,\"b\"\n\x{e4}\e[31m", devices => 0, online => JSON::PP::true,
    states => ['x', undef, 'y "z" \\ ,', '', 'NULL'], actions => [1, -2],
    rollouts => '2026-02-28T22:59:59.500000Z', last_hour => 0,
    counted => undef }, 'json: by type');

my @lines = split /\n/, $s->gbctl('status', '-o', 'jsonl')->{out};
is(scalar @lines, 2, 'jsonl: a line a row');
is_deeply(decode_json($lines[1]), { tenant => undef, devices => undef,
    online => undef, states => undef, actions => [], rollouts => undef,
    last_hour => undef, counted => undef }, 'jsonl: NULL and infinity are null');

$r = $s->gbctl('status', '-o', 'csv');
is($r->{out}, "tenant,devices,online,states,actions,rollouts,last_hour,"
    . "counted\r\n"
    . "\"a,\"\"b\"\"\n\xc3\xa4\e[31m\",9007199254740993,true,"
    . '"[""x"",null,""y \""z\"" \\\\ ,"","""",""NULL""]",'
    . "\"[1,-2]\",2026-02-28T22:59:59.500000Z,1.5,\r\n,,,,[],,,\r\n", 'csv: quoted as RFC 4180 says');


$r = $s->gbctl({ pty => 80 }, 'status');
like($r->{out}, qr/^a,"b" \xc3\xa4\?\[31m: /m,
    'table: no control character of a stranger reaches the terminal');


# watching: again and again, until nobody reads

{
    local %ENV = (%ENV, %{$s->env});
    my $x = run(['sh', '-c', 'timeout 40 "$GBCTL" status --watch -o jsonl'
        . ' | head -n 2']);
    is(scalar(() = $x->{out} =~ /^\{/mg), 2, '--watch: more than once');
    is($x->{err}, '', '--watch: nothing to complain about');
}


# interrupted: the statement ends on the server, too, nothing is changed

$s->sql(<<'SQL');
DROP FUNCTION goosebit_admin.status(text, int);
CREATE FUNCTION goosebit_admin.status(text, int)
RETURNS TABLE (tenant_name text, devices int, online int, states text,
    actions text, rollouts text, last_hour text, counted text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE goosebit.tenant SET poll_time = 99;
    PERFORM pg_sleep(60);
END
$$
SQL

for my $signal ('INT', 'TERM') {
    my $pid = fork // die;
    if ($pid == 0) {
        my $e = $s->env;
        delete @ENV{grep { /^(?:PG|GOOSEBIT_)/ } keys %ENV};
        @ENV{keys %$e} = values %$e;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM);
        open STDERR, '>', '/dev/null';
        exec $ENV{GBCTL}, 'status' or die;
    }
    my $sleeping = "SELECT count(*) FROM pg_stat_activity"
        . " WHERE wait_event = 'PgSleep'";
    ok(wait_for(sub { $s->value($sleeping) == 1 }), "SIG$signal: it runs");
    kill $signal => $pid;
    waitpid $pid, 0;
    is($? & 127, { INT => 2, TERM => 15 }->{$signal},
        "SIG$signal: dies of it, as a shell expects");
    ok(wait_for(sub { $s->value($sleeping) == 0 }),
        "SIG$signal: its statement ended");
}
isnt($s->value('SELECT poll_time FROM goosebit.tenant WHERE id = 1'), 99,
    'interrupted: nothing was changed');

done_testing;
