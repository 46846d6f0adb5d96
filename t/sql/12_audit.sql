-- Every function of goosebit_admin that changes something writes down who did
-- it, when, and what was before and after.

\i t/sql/lib.psql

-- One call of each; verb and object are what it must leave on record.
CREATE TABLE t.call (i int GENERATED ALWAYS AS IDENTITY, f text, sql text,
                     verb text, object text);
INSERT INTO t.call (f, sql, verb, object) VALUES
    ('tenant_add', $$tenant_add('Other')$$, 'tenant.add', 'Other'),
    ('tenant_set', $$tenant_set('Other', '{"poll_time": 7}')$$,
     'tenant.set', 'Other'),
    ('tenant_set', format($$tenant_set('Other', '{"gateway_token": "%s"}')$$,
        repeat('ab', 32)), 'tenant.set', 'Other'),
    ('tenant_set', format($$tenant_set('Other', '{"gateway_token": "%s"}')$$,
        repeat('cd', 32)), 'tenant.set', 'Other'),
    ('tenant_delete', $$tenant_delete('Other', false)$$, 'tenant.delete',
     'Other'),
    ('user_add', $$user_add('t audit', 'viewer', NULL)$$, 'user.add',
     't audit'),
    ('user_set', $$user_set('t audit', 'admin', NULL)$$, 'user.set',
     't audit'),
    ('user_delete', $$user_delete('t audit')$$, 'user.delete', 't audit'),
    ('software_add', $$software_add('Acme', jsonb_build_object('name', 'os',
        'version', '9', 'format', 'swu', 'filename', 'x.swu', 'size', 1,
        'sha256', repeat('1', 64), 'sha1', repeat('1', 40),
        'md5', repeat('1', 32), 'hardware',
        '[{"model": "default", "revision": "default"}]'::jsonb))$$,
     'software.add', '@software'),
    ('device_add', $$device_add('Acme', 'new', NULL, NULL, NULL, NULL,
        '{}')$$, 'device.add', 'new'),
    ('device_set', $$device_set('Acme', '{new}', 'prod', NULL, NULL, '{x}',
        '{}', NULL)$$, 'device.set', 'new'),
    ('device_assign', $$device_assign('Acme', '{new}', '9', NULL, false)$$,
     'device.assign', 'new'),
    ('device_pin', $$device_pin('Acme', '{new}', true)$$, 'device.pin',
     'new'),
    ('device_pin', $$device_pin('Acme', '{new}', false)$$, 'device.unpin',
     'new'),
    ('device_force', $$device_force('Acme', '{new}', true)$$, 'device.force',
     'new'),
    ('device_force', $$device_force('Acme', '{new}', false)$$,
     'device.unforce', 'new'),
    ('device_block', $$device_block('Acme', '{new}', true)$$, 'device.block',
     'new'),
    ('device_block', $$device_block('Acme', '{new}', false)$$,
     'device.unblock', 'new'),
    ('device_token', $$device_token('Acme', 'new', sha256('a'))$$,
     'device.token', 'new'),
    ('device_token', $$device_token('Acme', 'new', sha256('b'))$$,
     'device.token', 'new'),
    ('device_autoconfirm', $$device_autoconfirm('Acme', '{new}', true)$$,
     'device.autoconfirm', 'new'),
    ('device_import', $$device_import('Acme', 'f', '{id,feed}')$$,
     'device.set', 'new'),
    ('device_delete', $$device_delete('Acme', '{new}')$$, 'device.delete',
     'new'),
    ('import_devices', $$import_devices('Acme', '[{"id": "old",
        "hw_model": "m", "hw_revision": "1", "sw_version": "1", "feed": "x",
        "mode": 1, "state": 1, "force": false, "tags": []}]')$$,
     'device.import', 'old'),
    ('rollout_create', $$rollout_create('Acme', '9', '{"confirm": true}')$$,
     'rollout.create', '@rollout'),
    ('device_confirm', $$device_confirm('Acme', '{yes}', true)$$,
     'device.confirm', 'yes'),
    ('device_confirm', $$device_confirm('Acme', '{no}', false)$$,
     'device.deny', 'no'),
    ('device_cancel', $$device_cancel('Acme', '{yes}', true)$$,
     'device.cancel', 'yes'),
    ('rollout_pause', $$rollout_pause('Acme', '@rollout', true)$$,
     'rollout.pause', '@rollout'),
    ('rollout_pause', $$rollout_pause('Acme', '@rollout', false)$$,
     'rollout.resume', '@rollout'),
    ('rollout_retry', $$rollout_retry('Acme', '@rollout')$$,
     'rollout.retry', '@rollout'),
    ('rollout_abort', $$rollout_abort('Acme', '@rollout')$$,
     'rollout.abort', '@rollout'),
    ('rollout_delete', $$rollout_delete('Acme', '@rollout')$$,
     'rollout.delete', '@rollout'),
    ('import_rollouts', format($$import_rollouts('Acme',
        jsonb_build_array(jsonb_build_object('source', 'x', 'created', now(),
        'feed', 'other', 'software', %s, 'paused', true)))$$, '@software'),
     'rollout.import', '@rollout'),
    ('rollout_delete', $$rollout_delete('Acme', '@rollout')$$,
     'rollout.delete', '@rollout'),
    ('software_delete', $$software_delete('Acme', '{9}')$$,
     'software.delete', '@software'),
    ('import_rollouts', $$import_rollouts('Acme', jsonb_build_array(
        jsonb_build_object('source', '1', 'created', now(), 'feed', 'f',
            'software', t.sw('7'), 'paused', false)))$$,
     'rollout.import', '@rollout'),
    ('import_devices', $$import_devices('Acme', '[{"id": "old",
        "hw_model": "m", "hw_revision": "r", "mode": 3, "state": 2,
        "feed": "f", "force": false, "tags": []}]')$$,
     'device.import', 'old'),
    ('sample_load', $$sample_load('Acme', (SELECT jsonb_build_object(
        'gateway', a, 'camera', a, 'sensor-hub', a)
        FROM (SELECT jsonb_build_array(max(id), max(id), max(id)) AS a
              FROM goosebit.software) s))$$,
     'sample.load', 'Acme');

-- These lock and change nothing.
CREATE FUNCTION t.harmless() RETURNS text[] LANGUAGE sql AS $$
    SELECT '{device_choose,device_import_begin,software_orphans,
             software_settled}'::text[]
$$;

SELECT plan(23 + (SELECT count(*) FROM t.call)::int);

SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p
    WHERE p.pronamespace = 'goosebit_admin'::regnamespace
      AND p.provolatile = 'v' AND p.proname <> ALL (t.harmless())
      AND p.proname NOT IN (SELECT f FROM t.call)
$$, 'every function that changes something is called here');

SELECT t.dev(x) FROM unnest('{yes,no}'::text[]) x;
SELECT goosebit_admin.device_import_begin();
INSERT INTO pg_temp.goosebit_import (line, id, feed) VALUES (2, 'new', 'csv');


-- Does call N; what it left on record, in words, once for each object.
CREATE FUNCTION t.does(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c     record;
    newer bigint := (SELECT COALESCE(max(id), 0) FROM goosebit.audit);
    sid   text := (SELECT max(id) FROM goosebit.software
                   WHERE tenant_id = t.tid());
    rid   text;
    words text;
BEGIN
    SELECT * INTO c FROM t.call WHERE i = n;
    rid := (SELECT max(id) FROM goosebit.rollout WHERE tenant_id = t.tid());

    EXECUTE 'SELECT count(*) FROM goosebit_admin.'
            || replace(replace(c.sql, '@rollout', COALESCE(rid, '')),
                       '@software', COALESCE(sid, ''));

    IF c.f = 'rollout_create' THEN
        PERFORM t.link(x) FROM unnest('{yes,no}'::text[]) x;
    END IF;

    sid := COALESCE((SELECT max(id) FROM goosebit.software
                     WHERE tenant_id = t.tid())::text, sid);
    rid := COALESCE((SELECT max(id) FROM goosebit.rollout
                     WHERE tenant_id = t.tid())::text, rid);

    SELECT string_agg(format('%s %s%s%s', a.verb,
               CASE a.object WHEN sid THEN '@software'
                             WHEN rid THEN '@rollout' ELSE a.object END,
               CASE WHEN a.who <> session_user THEN ' by ' || a.who END,
               CASE WHEN a.before IS NOT DISTINCT FROM a.after
                    THEN ' without before and after' END), ', '
               ORDER BY a.id)
    INTO words
    FROM goosebit.audit a WHERE a.id > newer AND a.at = now();

    RETURN words;
END $$;

-- Software and rollout may have the same id.
SELECT setval('goosebit.rollout_id_seq', 1000);

SELECT is(t.does(i), verb || ' ' || object, f || ' writes down ' || verb)
FROM t.call ORDER BY i;

SELECT is((SELECT after ->> 'gateway_token' FROM goosebit.audit
           WHERE verb = 'tenant.set' ORDER BY id DESC LIMIT 1), 'changed',
          'of a gateway''s other token only that it is another');
SELECT is((SELECT before || after FROM goosebit.audit
           WHERE verb = 'device.token' ORDER BY id DESC LIMIT 1),
          '{"token": "changed"}', 'and of a device''s');
SELECT is((SELECT count(*) FROM goosebit.audit a
           WHERE a::text LIKE '%' || encode(sha256('b'), 'hex') || '%'
              OR a::text LIKE '%cdcdcd%'), 0::bigint, 'never a digest');

-- device_diff() has the fields of device_facts(), each by itself.
CREATE TABLE t.two AS
SELECT d AS a, jsonb_populate_record(d, jsonb_build_object('name', 'x',
           'feed', 'x', 'mode', 'pinned', 'assigned_software_id', t.sw('7'),
           'assignment', 7, 'assigned_type', 'soft', 'assigned_confirm', true,
           'assigned_window', 'x', 'force_update', NOT d.force_update,
           'tags', '["x"]'::jsonb, 'poll_time', 7, 'token', '\x07',
           'blocked', NOT d.blocked)) AS b
FROM (SELECT t.dev('two')) x, t.row('two') d;
SELECT is(goosebit.device_diff(a, a), '{}', 'the same: nothing') FROM t.two;
SELECT is(goosebit.device_diff(a, b) - 'assigned_version',
          goosebit.device_facts(a), 'all is otherwise: every fact, or null')
FROM t.two;
SELECT is(goosebit.device_diff(b, a), goosebit.device_facts(b)
          || '{"assigned_version": "7"}', 'and of the other')
FROM t.two;
SELECT is(goosebit.device_diff(jsonb_populate_record(a,
              jsonb_build_object(n.name, to_jsonb(b) -> n.name)), a)
          - 'assigned_version',
          goosebit.device_facts(jsonb_populate_record(a,
              jsonb_build_object(n.name, to_jsonb(b) -> n.name)))
          - ARRAY(SELECT e.key FROM jsonb_each(goosebit.device_facts(a)) e
                  WHERE e.value = goosebit.device_facts(
                      jsonb_populate_record(a, jsonb_build_object(n.name,
                          to_jsonb(b) -> n.name))) -> e.key),
          n.name || ' alone')
FROM t.two, unnest('{name,feed,mode,assigned_software_id,assignment,
    assigned_type,assigned_confirm,assigned_window,force_update,tags,
    poll_time,token,blocked}'::text[]) AS n (name);

-- More than are stored at once.
INSERT INTO goosebit.device (tenant_id, controller_id)
SELECT t.tid(), 'many-' || i FROM generate_series(1, 20001) i;
CREATE TABLE t.many AS
SELECT * FROM goosebit_admin.device_set('acme', ARRAY(
    SELECT d.controller_id::text FROM goosebit.device d
    WHERE d.controller_id ~ '^many-'), 'much', NULL, NULL, '{}', '{}', NULL);
SELECT is((SELECT count(*) FROM t.many), 20001::bigint, 'each is answered');
SELECT is((SELECT count(*) FROM goosebit.device WHERE feed = 'much'),
          20001::bigint, 'stored');
SELECT is((SELECT count(DISTINCT object) FROM goosebit.audit
           WHERE verb = 'device.set' AND after = '{"feed": "much"}'),
          20001::bigint, 'and on record');

SELECT * FROM finish();
ROLLBACK;
