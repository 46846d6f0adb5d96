-- The clock: deadlines, partitions, retention, last seen.

\i t/sql/lib.psql
SELECT no_plan();

SELECT t.sw('2.0.0') AS s2 \gset
SELECT t.rollout(:s2) AS r \gset
UPDATE goosebit.rollout SET deadline = 3600 WHERE id = :r;

-- Deadlines --------------------------------------------------------------
SELECT t.dev(c), t.link(c) FROM unnest('{silent,heard,asked,over}'::text[]) c;
UPDATE goosebit.rollout SET confirm = true WHERE id = :r;
SELECT t.dev('human'), t.link('human');
UPDATE goosebit.rollout SET confirm = false, deadline = NULL WHERE id = :r;
SELECT t.dev('day'), t.link('day');
SELECT is((t.act('silent')).deadline, 3600, 'the rollout''s deadline');
SELECT is((t.act('day')).deadline, 86400, 'a day without one');
SELECT t.fetch('asked'), t.cancel('asked');
SELECT t.fetch('over'), t.cancel('over', 'superseded');
SELECT is(goosebit.deadlines(now() + interval '3599 s'), 0, 'none yet');
UPDATE goosebit.action SET heard_at = now() + interval '2 minutes'
WHERE id = t.open('heard');
SELECT is(goosebit.deadlines(now() + interval '3600 s'), 3, 'silent too long');
SELECT is((t.act('silent')).state, 'timed_out', 'timed out');
SELECT is((t.row('silent')).state, 'error', 'an error of the device');
SELECT is(t.why('silent'), 'held_after_error', 'which holds');
SELECT is(t.open('silent'), NULL, 'and frees the slot');
SELECT is((t.act('heard')).state, 'open', 'counted from the last feedback');
SELECT is((t.act('asked')).state, 'canceled', 'an unanswered cancel');
SELECT is((t.act('over')).state, 'superseded', 'an unanswered supersession');
SELECT is(goosebit.deadlines(now() + interval '10 days'), 2, 'the rest');
SELECT is((t.act('human')).state, 'awaiting_confirmation',
    'who waits for a human has no deadline');
SELECT t.dev('said'), t.link('said');
UPDATE goosebit.action SET heard_at = now() - interval '1 year'
WHERE id = t.open('said');
SELECT t.fb('said', 'proceeding');
SELECT is((t.act('said')).heard_at, now(), 'feedback is heard');

-- tick() -----------------------------------------------------------------
UPDATE goosebit.tick_state SET ran_at = '-infinity', upkeep_at = '-infinity';
UPDATE goosebit.action SET heard_at = now() - interval '1 year'
WHERE id = t.open('said');
SELECT is((SELECT ran FROM goosebit_ddi.tick()), true, 'runs');
SELECT is((t.act('said')).state, 'timed_out', 'and ends what is overdue');
-- One of these follows its predecessor within that.
SELECT ok(EXISTS (SELECT FROM generate_series(1, 5) i,
                  LATERAL goosebit_ddi.tick(60 + 0 * i) WHERE NOT ran),
    'not twice in a second');
UPDATE goosebit.tick_state SET ran_at = ran_at - interval '1 second';
SELECT is((SELECT ran FROM goosebit_ddi.tick()), true, 'a second later');
UPDATE goosebit.tick_state SET ran_at = now() + interval '1 hour';
SELECT is((SELECT ran FROM goosebit_ddi.tick()), true,
    'a clock that was set back stops nothing');

-- Plans ------------------------------------------------------------------
SELECT t.dev('plan-' || i) FROM generate_series(1, 2000) i;
UPDATE pg_class SET relpages = 1, reltuples = 1
WHERE oid = 'goosebit.device'::regclass;
SELECT goosebit.plans_keep();
SELECT cmp_ok((SELECT reltuples::int FROM pg_class
    WHERE oid = 'goosebit.device'::regclass), '>', 1900, 'growth is noticed at once');
DELETE FROM goosebit.device WHERE controller_id LIKE 'plan-%';

-- Partitions -------------------------------------------------------------
SELECT ok(to_regclass('goosebit.action_status_'
    || to_char(now() AT TIME ZONE 'UTC', '"y"YYYY"m"MM')) IS NOT NULL,
    'this month''s partition');
SELECT ok(to_regclass('goosebit.audit_'
    || to_char((now() AT TIME ZONE 'UTC') + interval '1 month',
               '"y"YYYY"m"MM')) IS NOT NULL, 'the next month''s');
SELECT lives_ok($$SELECT goosebit.partitions_keep('audit',
    '2031-01-31 23:59Z')$$, 'at the end of a month');
SELECT ok(to_regclass('goosebit.audit_y2031m01') IS NOT NULL
      AND to_regclass('goosebit.audit_y2031m02') IS NOT NULL, 'both');
INSERT INTO goosebit.audit (tenant_id, verb, object, at)
VALUES (t.tid(), 'x', 'old', '2031-01-15'), (t.tid(), 'x', 'new', '2031-02-15'),
       (t.tid(), 'x', 'stray', '2030-06-01');
SELECT is((SELECT tableoid::regclass::text FROM goosebit.audit
    WHERE object = 'old'), 'goosebit.audit_y2031m01', 'rows find theirs');
SELECT is((SELECT tableoid::regclass::text FROM goosebit.audit
    WHERE object = 'stray'), 'goosebit.audit_default', 'or the default one');
SELECT lives_ok($$SELECT goosebit.partitions_keep('audit',
    '2030-06-10')$$, 'a month whose rows are elsewhere is left alone');
SELECT goosebit.partitions_keep('audit', '2033-01-31');
SELECT bag_eq($$SELECT object FROM goosebit.audit WHERE verb = 'x'$$,
    $$VALUES ('old'), ('new')$$, 'two years are kept, the default''s, too');
SELECT goosebit.partitions_keep('audit', '2033-02-01 00:00:01Z');
SELECT bag_eq($$SELECT object FROM goosebit.audit WHERE verb = 'x'$$,
    $$VALUES ('new')$$, 'and not longer');
SELECT is(to_regclass('goosebit.audit_y2031m01'), NULL, 'the table is gone');

-- Last seen --------------------------------------------------------------
SELECT (t.row('day')).id AS d1, (t.row('said')).id AS d2, t.tid() AS tid \gset
SELECT is((SELECT rows FROM goosebit_ddi.seen(
    ARRAY[:tid, :tid, :tid, :tid], ARRAY[:d1, :d2, :d1, 0],
    '{1700000000000,1700000000500,1700000001000,1}',
    '{10.0.0.1,::1,10.0.0.2,x}')), 2, 'each known device once');
SELECT is((SELECT (seen_at = '2023-11-14 22:13:21Z', address)::text
    FROM goosebit.device_seen WHERE device_id = :d1), '(t,10.0.0.2)',
    'its newest poll');
SELECT is((SELECT rows FROM goosebit_ddi.seen(ARRAY[:tid], ARRAY[:d1],
    '{1700000000000}', '{10.0.0.3}')), 0, 'only where newer');
SELECT is((SELECT rows FROM goosebit_ddi.seen('{}', '{}', '{}', '{}')), 0,
    'nobody');
SELECT ok(goosebit.online(now() - interval '89 s', 60, now()), 'online');
SELECT ok(NOT goosebit.online(now() - interval '90 s', 60, now()), 'no more');
SELECT ok(NOT goosebit.online(NULL, 60, now()), 'never seen');

SELECT results_eq($$SELECT state, devices FROM goosebit_ddi.status()
    WHERE tenant = 'Acme'$$,
    $$SELECT state, count(*) FROM goosebit.device WHERE tenant_id = t.tid()
      GROUP BY state ORDER BY state$$, 'devices by state');

SELECT * FROM finish();
ROLLBACK;
