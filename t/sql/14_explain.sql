-- rollout explain answers for each kind of device what decide() says of every
-- device, and the counts of rollouts what rollout_devices() does.

\i t/sql/lib.psql
SELECT plan(28);

-- A fleet that differs in all that decide() reads.
SELECT t.sw('1.0.0') AS one, t.sw('2.0.0', min_v => '0.9.0') AS two,
       t.sw('3.0.0', 'other') AS three \gset

INSERT INTO goosebit.rollout (tenant_id, software_id, feed, allow_downgrade)
VALUES (t.tid(), :one, 'default', true) RETURNING id AS older \gset
INSERT INTO goosebit.rollout (tenant_id, software_id, feed, confirm)
VALUES (t.tid(), :two, 'default', true) RETURNING id AS newer \gset

SELECT setseed(0.5);
INSERT INTO goosebit.device (tenant_id, controller_id, sw_version, hw_model,
    hw_revision, state, config_data_at, force_update, blocked)
SELECT t.tid(), format('d%s', lpad(i::text, 3, '0')),
       (ARRAY['0.5.0', '0.9.0', '1.0.0', '2.0.0', NULL])[1 + i % 5],
       CASE WHEN i % 11 = 0 THEN 'other' ELSE 'default' END, 'default',
       'registered', CASE WHEN i % 7 <> 0 THEN now() END, i % 13 = 0,
       i % 17 = 0
FROM generate_series(1, 300) i;
INSERT INTO goosebit.device_seen (tenant_id, device_id, seen_at)
SELECT t.tid(), d.id, now() - (d.id % 3) * interval '1 hour'
FROM goosebit.device d WHERE d.tenant_id = t.tid() AND d.id % 4 <> 0;

-- Past and open attempts of both rollouts, in every state.
INSERT INTO goosebit.action (tenant_id, device_id, id, software_id, version,
    cause, cause_id, generation, type, state, ended_at)
SELECT t.tid(), d.id, 11 + n + n / 9, s.software, s.version, 'rollout', s.rollout,
       n % 2, (ARRAY['forced', 'downloadonly'])[1 + n / 3 % 2], s.state,
       CASE WHEN s.state IN ('finished', 'error', 'rejected', 'canceled',
                             'timed_out', 'superseded') THEN now() END
FROM (SELECT *, row_number() OVER (ORDER BY id)::int AS n
      FROM goosebit.device WHERE tenant_id = t.tid()) d
CROSS JOIN LATERAL (
    SELECT CASE WHEN n % 2 = 0 THEN :older ELSE :newer END AS rollout,
           CASE WHEN n % 2 = 0 THEN :one ELSE :two END AS software,
           CASE WHEN n % 2 = 0 THEN '1.0.0' ELSE '2.0.0' END AS version,
           (ARRAY['finished', 'error', 'rejected', 'canceled', 'timed_out',
                  'superseded', 'open', 'running', 'awaiting_confirmation',
                  'cancelling'])[1 + n / 2 % 10] AS state) s
WHERE n % 3 <> 0;
UPDATE goosebit.device d SET open_action_id = a.id
FROM goosebit.action a
WHERE a.tenant_id = d.tenant_id AND a.device_id = d.id
  AND a.ended_at IS NULL AND d.tenant_id = t.tid();
UPDATE goosebit.device d SET installed_action_id = a.id
FROM goosebit.action a
WHERE a.tenant_id = d.tenant_id AND a.device_id = d.id
  AND a.state = 'finished' AND d.tenant_id = t.tid();

-- What a rollout's devices are told, asked one by one.
CREATE FUNCTION t.each(rid int, most int) RETURNS TABLE (reason text,
    devices bigint, offline bigint, example text) LANGUAGE sql AS $$
    SELECT x.reason, count(*), count(*) FILTER (WHERE NOT x.online),
           min(x.controller_id)
    FROM (SELECT CASE WHEN d.blocked THEN 'blocked'
                      ELSE (goosebit.decide(d, most)).reason END AS reason,
                 goosebit.online(s.seen_at, 60, now()) AS online,
                 d.controller_id
          FROM goosebit.rollout_devices(t.tid(), rid) o
          JOIN goosebit.device d
            ON d.tenant_id = t.tid() AND d.id = o.device_id
          LEFT JOIN goosebit.device_seen s
            ON s.tenant_id = d.tenant_id AND s.device_id = d.id
          WHERE o.outcome <> 'success') x
    GROUP BY 1
$$;

CREATE FUNCTION t.same(rid int, name text, most int DEFAULT 1000)
RETURNS text LANGUAGE sql AS $$
    SELECT bag_eq(format($q$SELECT reason, devices, offline, example
        FROM goosebit_admin.rollout_explain('acme', '%s', 60, %s)$q$, rid,
        most), format('SELECT * FROM t.each(%s, %s)', rid, most), name)
$$;

-- Counts, by kinds and of all rollouts at once, in whole and in parts, are
-- those of the devices one by one.
CREATE FUNCTION t.tallied(name text) RETURNS text LANGUAGE sql AS $$
    SELECT bag_eq($q$
        SELECT rollout_id, outcome, sum(devices)
        FROM (SELECT min(id) AS a, percentile_disc(0.4) WITHIN GROUP
                     (ORDER BY id) AS b, max(id) AS c
              FROM goosebit.device) d,
             (SELECT array_agg(id) AS ids FROM goosebit.rollout) r,
             LATERAL (SELECT * FROM goosebit.rollout_tally(t.tid(), ids)
                      UNION ALL
                      SELECT * FROM goosebit.rollout_tally(t.tid(), ids, a - 1, b)
                      UNION ALL
                      SELECT * FROM goosebit.rollout_tally(t.tid(), ids, b, c)
                     ) x
        GROUP BY 1, 2 HAVING sum(devices) > 0
    $q$, $q$
        SELECT r.id, x.outcome, 2 * count(*)::numeric
        FROM goosebit.rollout r,
             LATERAL goosebit.rollout_devices(t.tid(), r.id) x
        GROUP BY 1, 2
    $q$, name || ': counts')
$$;

SELECT cmp_ok((SELECT count(*) FROM t.each(:newer, 1000)), '>=', 10::bigint,
              'the fleet has many reasons');
SELECT t.same(:newer, 'the newer rollout');
SELECT t.tallied('the newer rollout');
SELECT t.same(:older, 'the older');
SELECT t.same(:newer, 'no slot is free', 1);

UPDATE goosebit.rollout SET generation = 1 WHERE id = :newer;
SELECT t.same(:newer, 'after a retry');
SELECT t.tallied('after a retry');
UPDATE goosebit.rollout SET state = 'paused', state_reason = 'paused by me'
WHERE id = :newer;
SELECT t.same(:newer, 'paused');
SELECT t.tallied('paused');
SELECT is((SELECT guard_rail || ', ' || release
           FROM goosebit_admin.rollout_explain('acme', :newer::text, 60, 9)
           WHERE reason = 'paused'),
          format('not paused, "gbctl rollout resume %s"', :newer),
          'which guard rail, and what releases it');
UPDATE goosebit.rollout SET state = 'running', filter = 'id~*5',
    filter_ops = '{~}', filter_fields = '{id}', filter_values = '{^.*5$}'
WHERE id = :newer;
SELECT t.same(:newer, 'for some of the devices');
SELECT t.tallied('for some of the devices');
SELECT t.same(:older, 'and for the others');
UPDATE goosebit.rollout SET filter = NULL, filter_ops = NULL,
    filter_fields = NULL, filter_values = NULL, type = 'downloadonly'
WHERE id = :newer;
SELECT t.same(:newer, 'of another type');
SELECT t.tallied('of another type');
UPDATE goosebit.rollout SET state = 'aborted' WHERE id = :newer;
SELECT t.same(:newer, 'aborted');
SELECT t.tallied('aborted');
SELECT t.same(:older, 'the older, when the newer is aborted');
DELETE FROM goosebit.rollout WHERE id = :newer;
SELECT t.same(:older, 'when it is deleted');
SELECT t.tallied('when it is deleted');

SELECT bag_has($$SELECT guard_rail, value, explanation, release
    FROM goosebit_admin.rollout_explain('acme', '$$ || :older || $$', 60, 1)$$,
    $$VALUES ('concurrency', '1 of 1 updates of the tenant are open',
        '1.0.0 is due, but 1 of 1 updates of the tenant are open.',
        'the end of one of the open updates')$$,
    'a guard rail with its value and what releases it');
SELECT bag_has($$SELECT reason, guard_rail, release
    FROM goosebit_admin.rollout_explain('acme', '$$ || :older || $$', 60, 1)$$,
    $$VALUES ('blocked', 'not blocked', '"gbctl device unblock"')$$,
    'of those that are let in no more');

-- One that went since it was named is not found, rather than empty; the last one,
-- too.
DELETE FROM goosebit.action;
DELETE FROM goosebit.rollout;
SELECT throws_ok(format('SELECT goosebit_admin.%s(%L, %L%s)', f.name, w.tenant,
                        w.rollout, f.rest), 'GB001', w.says,
                 f.name || ': ' || w.says)
FROM (VALUES ('rollout_explain', ', 60, 9'), ('rollout_touched', ', ''pause'''),
             ('rollout_open', ', 9')) AS f (name, rest),
     (VALUES ('acme', :newer::text,
              format('rollout "%s": not found', :newer)),
             ('gone', :older::text, 'tenant "gone": not found'))
         AS w (tenant, rollout, says);

SELECT * FROM finish();
ROLLBACK;
