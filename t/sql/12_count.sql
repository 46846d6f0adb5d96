-- How many devices there are: counted when asked, or a slice at a time.

\i t/sql/lib.psql
SELECT no_plan();

INSERT INTO goosebit.tenant (name, poll_time) VALUES ('Other', 600);
SELECT t.dev('d' || i) FROM generate_series(1, 25) i;
UPDATE goosebit.device SET state = 'error'
WHERE controller_id IN ('d3', 'd4', 'd20');
UPDATE goosebit.device SET poll_time = 3600 WHERE controller_id = 'd2';
INSERT INTO goosebit.device (tenant_id, controller_id)
SELECT id, 'e' || i FROM goosebit.tenant, generate_series(1, 7) i
WHERE name = 'Other';
-- 100 s ago: online by 600 or 3600 s, not by 60 s.
INSERT INTO goosebit.device_seen (tenant_id, device_id, seen_at)
SELECT tenant_id, id, now() - interval '100 s' FROM goosebit.device
WHERE controller_id IN ('d1', 'd2', 'e1', 'e2');
INSERT INTO goosebit.device_seen (tenant_id, device_id, seen_at)
SELECT tenant_id, id, now() FROM goosebit.device WHERE controller_id = 'd3';

CREATE FUNCTION t.counts(few int) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', t.name, c.state, c.devices, c.online)
    FROM goosebit.device_counts(NULL, 60, few) c
    JOIN goosebit.tenant t ON t.id = c.tenant_id
$$;
CREATE TABLE t.right (row text);
INSERT INTO t.right VALUES ('Acme registered 22 1'), ('Acme error 3 1'),
    ('Other unknown 7 2');

SELECT bag_eq('SELECT t.counts(0)', 'TABLE t.right', 'nobody counts: exact');

-- Slices of 10 of 32 devices.
SELECT is(goosebit.devices_count(now(), 60, 10), 10, 'a slice');
SELECT bag_eq('SELECT t.counts(0)', 'TABLE t.right', 'still exact');
SELECT is(goosebit.devices_count(now(), 60, 10), 10, 'the next');
UPDATE goosebit.tick_state SET ran_at = now();
UPDATE pg_class SET reltuples = 1000000
WHERE oid = 'goosebit.device'::regclass;
SELECT is((SELECT sum(devices) FROM goosebit.device_counts(NULL, 60, 99)),
    20::numeric, 'a large fleet is not counted by who asks');
SELECT is((SELECT count(counted_at) FROM goosebit.device_counts(NULL, 60, 99)),
    0::bigint, 'and says that this is not all of it');
UPDATE pg_class SET reltuples = -1 WHERE oid = 'goosebit.device'::regclass;
UPDATE goosebit.tick_state SET ran_at = '-infinity';
SELECT is(goosebit.devices_count(now(), 60, 10), 10, 'and the next');
SELECT is((SELECT sum(devices) FROM goosebit.device_count), 0::numeric,
    'half a count is none');
SELECT is(goosebit.devices_count(now(), 60, 10), 2, 'the last one');
SELECT bag_eq('SELECT t.counts(0)', 'TABLE t.right', 'counted');

SELECT t.set('d1', $$state = 'finished'$$), t.set('d3', $$state = 'running'$$);
SELECT bag_eq('SELECT t.counts(0)', 'TABLE t.right', 'as of then');
SELECT bag_eq('SELECT t.counts(32)', $$VALUES
    ('Acme registered 21 1'), ('Acme error 2 0'), ('Acme finished 1 0'),
    ('Acme running 1 1'), ('Other unknown 7 2')$$, 'few are counted when asked');
SELECT results_eq(
    $$SELECT devices, online FROM goosebit.device_counts(t.tid(), 3600, 32)
      WHERE state = 'finished'$$,
    'VALUES (1::bigint, 1::bigint)', 'of one tenant, with a poll time');
SELECT is(goosebit.devices_count(now() + interval '9 s', 60, 99), 0,
    'not counted again at once');

UPDATE goosebit.device SET state = 'running' WHERE state = 'error';
SELECT is(goosebit.devices_count(now() + interval '10 s', 60, 99), 32,
    'but ten seconds later');
SELECT bag_eq('SELECT t.counts(0)', $$VALUES
    ('Acme registered 21 1'), ('Acme finished 1 0'), ('Acme running 3 1'),
    ('Other unknown 7 2')$$, 'a state that nobody has is gone');
SELECT is((SELECT counted_at FROM goosebit.device_counts(t.tid(), 60, 0)
    LIMIT 1), now() + interval '10 s', 'says how old it is');

DELETE FROM goosebit.device WHERE controller_id = 'd5';
UPDATE goosebit.tick_state SET counted_at = now() - interval '2 hours';
SELECT bag_eq('SELECT t.counts(0)', $$VALUES
    ('Acme registered 20 1'), ('Acme finished 1 0'), ('Acme running 3 1'),
    ('Other unknown 7 2')$$, 'not where tick has stopped for an hour');

-- Rollouts, together with the devices: the newest 20 that run where there are
-- more than few. Device d1 has had one, d2 has it open, d3 has failed.
SELECT t.sw('0.9') AS old, t.sw('2.0.0') AS sw \gset
SELECT t.rollout(:old) AS r0, t.rollout(:sw) AS r1 \gset
SELECT t.rollout(:sw, 'other') FROM generate_series(1, 19);
UPDATE goosebit.rollout SET filter = 'sw_version<1.5', filter_ops = '{<}',
    filter_fields = '{sw_version}', filter_values = '{1.5}' WHERE id = :r1;
UPDATE goosebit.device SET sw_version = '2.0' WHERE controller_id = 'd7';
INSERT INTO goosebit.action (tenant_id, device_id, id, software_id, version,
    cause, cause_id, state, ended_at)
SELECT t.tid(), (t.row(c)).id, n, :sw, '2.0.0', 'rollout', :r1, s,
       CASE WHEN s <> 'running' THEN now() END
FROM (VALUES ('d1', 11, 'finished'), ('d2', 12, 'error'),
             ('d2', 13, 'running'), ('d3', 14, 'error')) AS v (c, n, s);

CREATE FUNCTION t.rollouts(kept boolean) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT c::text FROM goosebit.rollout_counts(t.tid(), ARRAY(
        SELECT x.id FROM goosebit.rollouts_running(t.tid()) x), kept) c
$$;
CREATE FUNCTION t.count_all(few int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    slices int := 0;
BEGIN
    UPDATE goosebit.tick_state SET counted_at = '-infinity';
    WHILE goosebit.devices_count(now(), 60, 10, few) = 10 LOOP
        slices := slices + 1;
    END LOOP;
    RETURN slices;
END $$;

SELECT is(t.count_all(25), 3, 'nobody has more than few');
SELECT is_empty('TABLE goosebit.rollout_count', 'no rollout is counted');
SELECT is(t.count_all(23), 3, 'one tenant has');
SELECT bag_eq('SELECT t.rollouts(true)', 'SELECT t.rollouts(false)',
    'rollouts counted in slices are counted as at once');
SELECT is((SELECT concat_ws(' ', targeted, waiting, running, success, failure)
    FROM goosebit.rollout_counts(t.tid(), ARRAY[:r1], true)), '23 20 1 1 1',
    'which is right');
SELECT is((SELECT count(DISTINCT rollout_id)::int FROM goosebit.rollout_count),
    20, 'no more than 20 of a tenant');
SELECT is((SELECT concat_ws(' ', state, targeted, waiting)
    FROM goosebit.rollout_counts(t.tid(), ARRAY[:r0], true)), 'running',
    'of others nothing is known');

UPDATE goosebit.rollout SET state = 'paused' WHERE id = :r1;
SELECT t.rollout(:sw) AS r2 \gset
SELECT is((SELECT targeted FROM goosebit.rollout_counts(t.tid(), ARRAY[:r2],
    true)), NULL, 'a new one has not been counted');
SELECT t.count_all(23);
SELECT is((SELECT targeted FROM goosebit.rollout_counts(t.tid(), ARRAY[:r2],
    true)), 24::bigint, 'now it has');
SELECT is_empty(format('SELECT FROM goosebit.rollout_count
    WHERE rollout_id = %s', :r1), 'one that no longer runs is forgotten');

-- Results of the last hour: kept as of ten seconds before a count, and gone on
-- from there. A row an action: when it ended, seconds before now.
DELETE FROM goosebit.action;
CREATE FUNCTION t.ended(id int, ago int, state text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO goosebit.action (tenant_id, device_id, id, software_id,
        version, cause, cause_id, state, ended_at)
    VALUES (t.tid(), (t.row('d1')).id, id, 1, '1', 'assigned', 1, state,
            now() - ago * interval '1 second')
$$;
CREATE FUNCTION t.results(kept boolean) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.state, r.results)
    FROM goosebit.results(t.tid(), CASE WHEN kept THEN
        (SELECT counted_at FROM goosebit.tick_state) END) r
    WHERE r.results > 0
$$;
SELECT t.ended(21, 3700, 'error'), t.ended(22, 3500, 'error'),
       t.ended(23, 700, 'finished'), t.ended(24, 301, 'finished'),
       t.ended(25, 300, 'canceled'), t.ended(26, 5, 'finished');
CREATE TABLE t.hour (row text);
INSERT INTO t.hour VALUES ('error 1'), ('finished 3'), ('canceled 1');
SELECT bag_eq('SELECT t.results(false)', 'TABLE t.hour', 'an hour''s results');
SELECT t.count_all(25);
SELECT is_empty('TABLE goosebit.result_count', 'of few they are not kept');

-- Five minutes ago all but the last had ended, and what then was fresh enough
-- to be in it is older than an hour by now.
UPDATE goosebit.tick_state SET counted_at = now() - interval '290 s';
SELECT goosebit.results_count(now() - interval '290 s', 23);
SELECT bag_eq('TABLE goosebit.result_count', $$VALUES
    (t.tid(), 'error', 2::bigint), (t.tid(), 'finished', 2)$$,
    'of many they are, up to ten seconds before');
SELECT bag_eq('SELECT t.results(true)', 'TABLE t.hour',
    'what has ended since is added, what is too old taken off');
UPDATE goosebit.result_count SET results = 1000 WHERE state = 'finished';
SELECT bag_eq('SELECT t.results(true)', $$VALUES ('error 1'),
    ('finished 1001'), ('canceled 1')$$, 'the rest is not counted again');
UPDATE goosebit.tick_state SET counted_at = now() - interval '1 hour';
SELECT bag_eq('SELECT t.results(true)', 'TABLE t.hour',
    'a count of more than an hour ago is no help');
SELECT t.count_all(23);
SELECT bag_eq('SELECT t.results(true)', 'TABLE t.hour', 'a new one is');
SELECT is((SELECT sum(results) FROM goosebit.result_count), 4::numeric,
    'and has replaced the old one');

SELECT * FROM finish();
ROLLBACK;
