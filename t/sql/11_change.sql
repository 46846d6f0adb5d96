-- The journal. Whatever a call changes of what a quiet device is answered has
-- to be journalled in a scope that covers that device: asked here of every
-- function of the API that writes, over devices in every situation.

\i t/sql/lib.psql
SELECT no_plan();

CREATE FUNCTION t.poll(cid text) RETURNS goosebit_ddi.poll_row
LANGUAGE sql AS $$
    SELECT p FROM goosebit_ddi.poll('acme', cid, NULL, NULL, 'setup', 60,
                                    1000) p
$$;

-- A window that is closed now.
CREATE FUNCTION t.shut() RETURNS text LANGUAGE sql AS $$
    SELECT to_char(now() AT TIME ZONE 'UTC' + interval '2 hours', 'HH24:MI-')
        || to_char(now() AT TIME ZONE 'UTC' + interval '3 hours', 'HH24:MI')
$$;

-- The fleet ----------------------------------------------------------------
SELECT t.sw('1.0.0') AS s1, t.sw('2.0.0') AS s2 \gset
SELECT t.rollout(:s2, 'back') AS back \gset
SELECT t.rollout(:s2) AS r, t.rollout(:s2, 'slow') AS slow,
       t.rollout(:s2, 'paused') AS paused, t.rollout(:s2, 'shut') AS shut,
       t.rollout(:s2, 'begun') AS begun, t.rollout(:s2, 'gone') AS gone \gset
UPDATE goosebit.rollout SET max_concurrent = 1 WHERE id = :slow;
UPDATE goosebit.rollout SET state = 'paused' WHERE id = :paused;
UPDATE goosebit.rollout SET maintenance_window = t.shut()
WHERE id IN (:shut, :back);
UPDATE goosebit.rollout SET software_id = :s1, allow_downgrade = true
WHERE id = :back;

SELECT t.dev(c, '2.0.0') FROM unnest('{same,block,token,set}'::text[]) c;
SELECT t.dev(c) FROM unnest('{held,done,canceled,moved,wrong,busy,waits,stops,
    begun,shut,none}'::text[]) c;
SELECT t.dev('latest', '2.0.0', 'latest'), t.dev('given', '2.0.0', 'assigned'),
       t.dev('pinned', '1.0.0', 'pinned');
UPDATE goosebit.device d SET feed = x.feed
FROM (VALUES ('busy', 'slow'), ('waits', 'slow'), ('stops', 'paused'),
             ('begun', 'begun'), ('shut', 'shut'), ('none', 'none'),
             ('moved', 'gone')) AS x (id, feed)
WHERE d.tenant_id = t.tid() AND d.controller_id = x.id;
SELECT t.set('given', 'assigned_software_id = ' || :s2);

SELECT t.link(c) FROM unnest('{held,done,canceled,moved,wrong,busy,begun}'
                             ::text[]) c;
SELECT t.fb('held', 'closed', 'failure'), t.fb('done', 'closed', 'success'),
       t.fb('moved', 'closed', 'success'), t.fb('wrong', 'closed', 'success'),
       t.cancel('canceled', 'operator', true);
SELECT t.set('done', $$sw_version = '1.0.0'$$),
       t.set('wrong', $$hw_model = 'other'$$),
       t.set('moved', $$feed = 'back'$$);
UPDATE goosebit.action SET maintenance_window = t.shut()
WHERE id = t.open('begun');

CREATE TABLE t.tried (verb text, sql text, changed int);

-- Runs a statement, takes it back, and names the devices whose quiet answer
-- it changed without a row that covers them.
CREATE FUNCTION t.uncovered(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    missed  text;
    changed int;
BEGIN
    DELETE FROM goosebit.change;
    CREATE TEMP TABLE before ON COMMIT DROP AS
        SELECT d.controller_id AS id, t.poll(d.controller_id) AS p
        FROM goosebit.device d WHERE d.tenant_id = t.tid();
    BEGIN
        EXECUTE what;
        SELECT string_agg(b.id || ' ' || (b.p).reason || '>' || (a.p).reason,
                          ', ' ORDER BY b.id) FILTER (WHERE NOT EXISTS (
                   SELECT FROM goosebit.change c
                   WHERE c.scope = 'all'
                      OR c.tenant_id = (b.p).tenant_id
                         AND (c.scope = 'tenant'
                              OR c.scope = 'feed' AND c.feed = (b.p).feed
                              OR c.scope = 'latest' AND (b.p).latest
                              OR c.scope = 'device'
                                 AND c.device_id = (b.p).device_id))),
               count(*)
        INTO missed, changed
        FROM before b CROSS JOIN LATERAL (SELECT t.poll(b.id) AS p) a
        WHERE (b.p).cacheable AND a.p IS DISTINCT FROM b.p
          -- A free slot is no row: readers ask for it.
          AND NOT ((b.p).reason = 'concurrency' AND (a.p).next = 'start'
                   AND goosebit.slots_free(t.tid(), (b.p).feed, 1000) > 0);
        RAISE EXCEPTION USING ERRCODE = 'XX999';
    EXCEPTION
        WHEN SQLSTATE 'XX999' THEN
            NULL;
    END;
    DROP TABLE before;
    INSERT INTO t.tried
    SELECT m[1], what, changed
    FROM regexp_matches(what, '(goosebit_(?:ddi|admin)\.\w+)\(', 'g') m;
    RETURN missed;
END $$;

SELECT bag_eq($$
    SELECT d.controller_id || ' ' || (t.poll(d.controller_id)).reason
    FROM goosebit.device d
    WHERE d.tenant_id = t.tid() AND (t.poll(d.controller_id)).cacheable
$$, $$VALUES ('begun outside_window'), ('block up_to_date'),
    ('canceled canceled'), ('done done_reports_other_version'),
    ('given up_to_date'), ('held held_after_error'), ('latest up_to_date'),
    ('moved outside_window'), ('none no_rollout'), ('pinned pinned'),
    ('same up_to_date'), ('set up_to_date'), ('shut outside_window'),
    ('stops paused'), ('token up_to_date'), ('waits concurrency'),
    ('wrong no_compatible_software')$$, 'one in each situation is quiet');

SELECT is((t.poll('busy')).cacheable, false, 'one with an offer is not');
SELECT is((t.poll('who')).cacheable, NULL, 'nor one nobody knows');
SELECT is((t.poll('same')).feed, 'default', 'mode rollout: depends on a feed');
SELECT is((t.poll('same')).latest, false, 'and not on all images');
SELECT is((t.poll('latest')).feed, NULL, 'mode latest: on no feed');
SELECT is((t.poll('latest')).latest, true, 'but on the images');
SELECT is((t.poll('pinned')).feed, NULL, 'pinned: on neither');
SELECT is((t.poll('given')).feed, NULL, 'assigned: on neither');

-- Every verb ----------------------------------------------------------------
-- :call begins a device's call; all takes in every device.
\set call '''acme'', %L, NULL, NULL, ''setup'''
SELECT array_agg(controller_id)::text AS everyone FROM goosebit.device
WHERE tenant_id = t.tid() \gset

SELECT is(t.uncovered(format(what, :'everyone')), NULL, what)
FROM unnest(ARRAY[
    $$SELECT goosebit_admin.device_set('acme', %L, 'none', NULL, NULL, '{}', '{}', NULL)$$,
    $$SELECT goosebit_admin.device_set('acme', %L, NULL, 'rollout', NULL, '{}', '{}', NULL)$$,
    $$SELECT goosebit_admin.device_set('acme', %L, NULL, 'latest', NULL, '{}', '{}', NULL)$$,
    $$SELECT goosebit_admin.device_set('acme', %L, NULL, NULL, NULL, '{}', '{}', 5)$$,
    $$SELECT goosebit_admin.device_pin('acme', %L, true)$$,
    $$SELECT goosebit_admin.device_pin('acme', %L, false)$$,
    $$SELECT goosebit_admin.device_force('acme', %L, true)$$,
    $$SELECT goosebit_admin.device_block('acme', %L, true)$$,
    $$SELECT goosebit_admin.device_cancel('acme', %L, false)$$,
    $$SELECT goosebit_admin.device_cancel('acme', %L, true)$$,
    $$SELECT goosebit_admin.device_confirm('acme', %L, true)$$,
    $$SELECT goosebit_admin.device_confirm('acme', %L, false)$$,
    $$SELECT goosebit_admin.device_autoconfirm('acme', %L, true)$$,
    $$SELECT goosebit_admin.device_delete('acme', %L)$$]) AS what;

SELECT is(t.uncovered(what), NULL, what)
FROM unnest(ARRAY[
    $$SELECT goosebit_admin.device_assign('acme', '{same,held,shut,none,pinned,given,begun}', '1.0.0', NULL, NULL)$$,
    $$SELECT goosebit_admin.device_token('acme', 'token', sha256('x'))$$,
    $$SELECT goosebit_admin.device_choose('acme', 60, NULL)$$,
    $$SELECT goosebit_admin.device_import_begin();
      INSERT INTO pg_temp.goosebit_import (line, id, mode)
      SELECT 1, controller_id, 'latest' FROM goosebit.device
      WHERE controller_id = 'same';
      SELECT goosebit_admin.device_import('acme', 'f', '{id,mode}')$$,
    $$SELECT goosebit_admin.device_add('acme', 'new', NULL, NULL, NULL, NULL, '{}')$$,
    $$SELECT goosebit_admin.software_add('acme', '{"name": "os", "version": "3.0.0", "format": "swu", "filename": "a.swu", "size": 1, "sha256": "$$ || repeat('d', 64) || $$", "sha1": "$$ || repeat('d', 40) || $$", "md5": "$$ || repeat('d', 32) || $$", "hardware": [{"model": "default", "revision": "default"}]}')$$,
    $$UPDATE goosebit.rollout SET software_id = (SELECT min(id) FROM goosebit.software WHERE tenant_id = t.tid());
      UPDATE goosebit.device SET assigned_software_id = NULL;
      UPDATE goosebit.action SET ended_at = now(), state = 'finished';
      UPDATE goosebit.device SET open_action_id = NULL;
      DELETE FROM goosebit.change;
      UPDATE before b SET p = t.poll(b.id);
      SELECT goosebit_admin.software_delete('acme', '{2.0.0}')$$,
    $$SELECT goosebit_admin.software_orphans('{x}', '{y}')$$,
    $$SELECT goosebit_admin.software_settled()$$,
    $$SELECT goosebit_admin.tenant_add('other')$$,
    $$SELECT goosebit_ddi.tenants('{fromyaml}')$$,
    $$SELECT goosebit_admin.tenant_set('acme', '{"poll_time": 5}')$$,
    $$SELECT goosebit_admin.tenant_set('acme', '{"auth": "strict"}')$$,
    $$SELECT goosebit_admin.tenant_set('acme', '{"max_updates": 0}')$$,
    $$SELECT goosebit_admin.tenant_delete('acme', true)$$,
    $$SELECT goosebit_admin.user_add('t u', 'viewer', NULL),
             goosebit_admin.user_set('t u', 'admin', NULL),
             goosebit_admin.user_delete('t u')$$,
    $$SELECT goosebit_ddi.flush()$$,
    $$SELECT goosebit_ddi.seen('{1}', '{1}', '{1}', '{x}')$$]) AS what;

SELECT is(t.uncovered(format(what, r.id)), NULL, format(what, r.feed))
FROM goosebit.rollout r, unnest(ARRAY[
    $$SELECT goosebit_admin.rollout_pause('acme', '%s', true)$$,
    $$SELECT goosebit_admin.rollout_pause('acme', '%s', false)$$,
    $$SELECT goosebit_admin.rollout_abort('acme', '%s')$$,
    $$SELECT goosebit_admin.rollout_delete('acme', '%s')$$,
    $$SELECT goosebit_admin.rollout_retry('acme', '%s')$$]) AS what
WHERE r.tenant_id = t.tid()
  AND NOT (r.feed IN ('slow', 'begun') AND what LIKE '%delete%');
SELECT is(t.uncovered($$SELECT goosebit_admin.rollout_delete('acme', '$$
                      || :gone || $$')$$), NULL,
    'a rollout''s end that forbids a downgrade in another feed');
SELECT is(t.uncovered(format($$SELECT goosebit_admin.rollout_create('acme',
    '1.0.0', '{"feed": "%s", "allow_downgrade": true}')$$, feed)), NULL,
    'a rollout of feed ' || feed)
FROM unnest('{default,none,slow,shut,back}'::text[]) AS feed;

-- An import made once more: devices are others by now, and rollouts have come.
SELECT is(t.uncovered(format($$
    INSERT INTO goosebit.audit (tenant_id, verb, object)
    SELECT tenant_id, 'device.import', controller_id FROM goosebit.device
    WHERE tenant_id = t.tid();
    SELECT goosebit_admin.import_devices('acme', jsonb_agg(jsonb_build_object(
        'id', controller_id, 'hw_model', hw_model, 'hw_revision', hw_revision,
        'sw_version', '1.0.0', 'feed', 'default', 'mode', %s, 'state', 2,
        'seen', 4102444800, 'force', false, 'tags', '[]'::jsonb)))
    FROM goosebit.device WHERE tenant_id = t.tid()$$, mode)), NULL,
    'an import of devices in mode ' || mode)
FROM generate_series(1, 4) AS mode;
SELECT is(t.uncovered(format($$SELECT goosebit_admin.import_rollouts('acme',
    '[{"source": "1", "created": "2026-01-01Z", "feed": "%s", "software": %s,
       "paused": %s}]')$$, feed, :s1, paused)), NULL,
    'an imported rollout of feed ' || feed)
FROM unnest('{default,none,shut}'::text[]) AS feed,
     unnest('{true,false}'::text[]) AS paused;

SELECT is(t.uncovered(format($$SELECT goosebit_admin.sample_load('acme',
    '{"gateway": [%1$s, %2$s, %2$s], "camera": [%1$s, %2$s],
      "sensor-hub": [%1$s, %2$s]}')$$, :s1, :s2)), NULL, 'the sample');

-- Devices' calls.
SELECT is(t.uncovered(format(what, d.controller_id, (t.act(d.controller_id)).id)),
          NULL, format(what, d.controller_id, 0))
FROM goosebit.device d, unnest(ARRAY[
    $$SELECT goosebit_ddi.register('acme', %L, 'target', sha256('t'), 'setup', 60, 1000)$$,
    $$SELECT goosebit_ddi.start('acme', %L, NULL, NULL, 'setup', 60, 1000)$$,
    $$SELECT goosebit_ddi.starts('{acme}', ARRAY[%L], '{NULL}', '{NULL}', '{setup}', 60, 1000)$$,
    $$SELECT goosebit_ddi.config_data('acme', %L, NULL, NULL, 'setup', 'merge', '{sw_version}', '{0.5.0}', NULL)$$,
    $$SELECT goosebit_ddi.config_data('acme', %L, NULL, NULL, 'setup', 'merge', '{hw_model}', '{other}', NULL)$$,
    $$SELECT goosebit_ddi.deployment_base('acme', %1$L, NULL, NULL, 'setup', %2$L, 0)$$,
    $$SELECT goosebit_ddi.feedback('acme', %1$L, NULL, NULL, 'setup', 'deployment', %2$L, 'proceeding', 'none', NULL, NULL, '{}')$$,
    $$SELECT goosebit_ddi.feedback('acme', %1$L, NULL, NULL, 'setup', 'deployment', %2$L, 'closed', 'success', NULL, NULL, '{}')$$,
    $$SELECT goosebit_ddi.feedback('acme', %1$L, NULL, NULL, 'setup', 'deployment', %2$L, 'closed', 'failure', NULL, NULL, '{}')$$,
    $$SELECT goosebit_ddi.feedback('acme', %1$L, NULL, NULL, 'setup', 'cancel', %2$L, 'closed', 'failure', NULL, NULL, '{}')$$,
    $$SELECT goosebit_ddi.batch('{acme}', ARRAY[%1$L], '{NULL}', '{NULL}', '{setup}', '{deployment}', ARRAY[%2$L]::int[], '{proceeding}', '{none}', '{NULL}', '{NULL}', '{}', '{0,0}', '{NULL}')$$,
    $$SELECT goosebit_ddi.batch('{acme}', ARRAY[%1$L], '{NULL}', '{NULL}', '{setup}', '{deployment}', ARRAY[%2$L]::int[], '{closed}', '{failure}', '{NULL}', '{NULL}', '{}', '{0,0}', '{NULL}')$$,
    $$SELECT goosebit_ddi.confirmation_feedback('acme', %1$L, NULL, NULL, 'setup', %2$L, 'confirmed', NULL, '{}')$$,
    $$SELECT goosebit_ddi.auto_confirm('acme', %L, NULL, NULL, 'setup', true, NULL, NULL)$$,
    $$SELECT goosebit_ddi.installed_version('acme', %L, NULL, NULL, 'setup', 'os', '0.1.0')$$
    ]) AS what
WHERE d.tenant_id = t.tid();

-- A slot comes free, which is no row, and the device starts elsewhere.
SELECT is(t.uncovered($$
    SELECT t.fb('busy', 'closed', 'failure');
    SELECT goosebit_ddi.start('acme', 'waits', NULL, NULL, 'setup', 60, 1000)
$$), NULL, 'the start of one that waited for a slot');
SELECT is(t.uncovered($$
    SELECT t.fb('busy', 'closed', 'failure');
    SELECT goosebit_ddi.starts('{acme}', '{waits}', '{NULL}', '{NULL}', '{setup}', 60, 1000)
$$), NULL, 'the same by starts()');

-- The clock.
SELECT is(t.uncovered($$
    UPDATE goosebit.tick_state SET ran_at = '-infinity';
    UPDATE goosebit.action SET heard_at = now() - interval '1 year';
    SELECT goosebit_ddi.tick()
$$), NULL, 'a deadline outside the window');

SELECT is_empty($$
    SELECT f FROM (
        SELECT p.pronamespace::regnamespace || '.' || p.proname AS f
        FROM pg_proc p
        WHERE p.pronamespace::regnamespace::text ~ '^goosebit_(ddi|admin)'
          AND p.provolatile = 'v') x
    WHERE f NOT IN (SELECT verb FROM t.tried)
$$, 'every function that writes has been tried: a new one belongs up there');

SELECT bag_eq($$
    SELECT verb FROM t.tried GROUP BY verb HAVING max(changed) = 0
$$, $$VALUES
    ('goosebit_admin.device_add'),      -- known by now, but answered nothing yet
    ('goosebit_admin.device_autoconfirm'),      -- only what is on offer
    ('goosebit_admin.device_choose'),           -- only locks
    ('goosebit_admin.device_confirm'),          -- the same
    ('goosebit_admin.sample_load'),             -- feeds of its own
    ('goosebit_admin.software_orphans'),
    ('goosebit_admin.software_settled'),        -- only waits
    ('goosebit_admin.tenant_add'),
    ('goosebit_admin.user_add'), ('goosebit_admin.user_delete'),
    ('goosebit_admin.user_set'),
    ('goosebit_ddi.auto_confirm'), ('goosebit_ddi.confirmation_feedback'),
    ('goosebit_ddi.deployment_base'),           -- on offer
    ('goosebit_ddi.flush'), ('goosebit_ddi.seen'), ('goosebit_ddi.tenants')
$$, 'and all but these have changed some quiet answer');

-- Until when a window lets an answer be -------------------------------------
-- Every window_edge is at most where window_open changes, over days on which
-- clocks are put forward and back.
CREATE FUNCTION t.edge_broken(spec text, since timestamptz) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    at   timestamptz := since;
    edge timestamptz;
    x    timestamptz;
BEGIN
    WHILE at < since + interval '3 days' LOOP
        edge := goosebit.window_edge(spec, at);
        IF edge IS NULL OR edge <= at OR edge > at + interval '1 day' THEN
            RETURN format('%s: %s after %s', spec, edge, at);
        END IF;
        FOR x IN SELECT generate_series(at, edge - interval '1 s',
                                        interval '10 minutes')
        LOOP
            IF goosebit.window_open(spec, x)
               <> goosebit.window_open(spec, at)
            THEN
                RETURN format('%s: %s changes before %s', spec, x, edge);
            END IF;
        END LOOP;
        at := at + interval '97 minutes';
    END LOOP;
    RETURN NULL;
END $$;

SELECT is(t.edge_broken(spec, since), NULL, spec || ' from ' || since::date)
FROM unnest('{22:00-04:00,Mon-Fri 22:00-04:00 Europe/Berlin,
    02:10-02:50 Europe/Berlin,Sun 01:45-03:15 America/New_York,
    01:00-02:20 Australia/Lord_Howe,00:00-00:00 Asia/Kathmandu}'::text[]) spec,
    unnest('{2027-03-12 00:07Z,2027-03-26 00:07Z,2027-10-02 00:07Z,
             2027-10-29 00:07Z,2027-11-05 00:07Z}'::timestamptz[]) since;
SELECT is(goosebit.window_edge('22:00-04:00 Nowhere/At_all', now()), NULL,
    'a zone that there is none of never opens');
SELECT is(goosebit.window_edge('always', now()), NULL, 'nor does nonsense');
SELECT is(to_timestamp((t.poll('shut')).valid_until / 1000.0),
    date_trunc('minute', now() + interval '2 hours'), 'until it opens');
SELECT is(to_timestamp((t.poll('begun')).valid_until / 1000.0),
    date_trunc('minute', now() + interval '2 hours'),
    'that of an open action, too');
SELECT is((t.poll('same')).valid_until, NULL, 'others for ever');

SELECT * FROM finish();
ROLLBACK;
