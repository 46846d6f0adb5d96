-- Tenants, and the audit log every admin verb writes.

\i t/sql/lib.psql
SELECT no_plan();

SELECT is((SELECT name FROM goosebit_admin.tenant_add('Other')), 'Other', 'add');
SELECT throws_ok($$SELECT goosebit_admin.tenant_add('oTHER')$$, 'GB002',
    'tenant "oTHER": exists already', 'one of that name in any case');
SELECT throws_ok(format('SELECT goosebit_admin.tenant_add(%L)', n), 'GB003',
    NULL, format('%s is no name', to_jsonb(n)))
FROM unnest(ARRAY['', 'a/b', '.', ' x', repeat('x', 65), E'a\nb', 'ä']) n;
SELECT throws_ok('SELECT goosebit_admin.tenant_add(NULL)', 'GB003', NULL,
    'nor is none');
SELECT bag_has($$SELECT name FROM goosebit_admin.tenant_list()$$,
    $$VALUES ('Acme'), ('Other'), ('DEFAULT')$$, 'list');

-- By a plan that asks a condition of each row, of which there is none.
SET plan_cache_mode = force_generic_plan;
SET enable_indexscan = off; SET enable_bitmapscan = off;
SELECT throws_ok($$SELECT goosebit_admin.software_delete('Other', '{9}')$$,
    'GB001', 'software "9": not found', 'of software it has none');
RESET plan_cache_mode; RESET enable_indexscan; RESET enable_bitmapscan;

-- goosebit.yaml's
SELECT is((SELECT refused
    FROM goosebit_ddi.tenants('{Yaml,OTHER,a b,default}')), '{a b}',
    'of those in goosebit.yaml the one that is no name is answered');
SELECT bag_has($$SELECT name FROM goosebit_admin.tenant_list()$$,
    $$VALUES ('Yaml'), ('Other')$$, 'the others are there, once');
DELETE FROM goosebit.tenant WHERE name = 'Yaml';

SELECT lives_ok($$SELECT goosebit_admin.tenant_set('other',
    '{"poll_time": 30, "auth": "strict", "max_updates": 7}')$$, 'set');
SELECT is((SELECT (poll_time, auth, max_updates)::text
    FROM goosebit_admin.tenant_list() WHERE name = 'Other'), '(30,strict,7)',
    'what it says');
SELECT goosebit_admin.tenant_set('other', '{"auth": null}');
SELECT is((SELECT (poll_time, auth, max_updates)::text
    FROM goosebit_admin.tenant_list() WHERE name = 'Other'), '(30,,7)',
    'null takes one back, the rest stays');
SELECT throws_ok(format('SELECT goosebit_admin.tenant_set(%L, %L)', 'other', s),
    'GB003', NULL, s)
FROM unnest(ARRAY['{"auth": "perhaps"}', '{"poll_time": 0}',
    '{"poll_time": 86400}', '{"poll_time": "soon"}', '{"max_updates": -1}',
    '{"gateway_token": "zz"}', '{"gateway_token": "00"}',
    '{"color": "red"}']) s;
SELECT throws_ok($$SELECT goosebit_admin.tenant_set('none', '{}')$$, 'GB001',
    'tenant "none": not found', 'an unknown tenant');

SELECT results_eq($$SELECT verb, object::text, before ->> 'auth', after ->> 'auth',
        who = session_user
    FROM goosebit.audit WHERE tenant_id = (SELECT id FROM goosebit.tenant
                                           WHERE name = 'Other')
    ORDER BY id$$,
    $$VALUES ('tenant.add', 'Other', NULL, NULL, true),
             ('tenant.set', 'Other', NULL, 'strict', true),
             ('tenant.set', 'Other', 'strict', NULL, true)$$,
    'who changed what, before and after');

-- Locks in one order, and an error for what is not there.
SELECT t.dev('b'), t.dev('a'), t.dev('B');
SELECT is(ARRAY(SELECT controller_id::text
    FROM goosebit.device_lock(t.tid(), '{b,a,B}')), '{B,a,b}'::text[],
    'devices in order of their bytes');
SELECT throws_ok($$SELECT goosebit.device_lock(t.tid(), '{a,c}')$$, 'GB001',
    'device "c": not found', 'one that is missing');

SELECT * FROM finish();
ROLLBACK;
