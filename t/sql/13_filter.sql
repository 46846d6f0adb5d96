-- Filters: a query over all devices and the poll's way for one give the same
-- answers; rollouts with a filter decide for whom they take, and are counted
-- so.

\i t/sql/lib.psql
SELECT no_plan();

CREATE FUNCTION t.f(VARIADIC steps text[]) RETURNS goosebit_admin.filter
LANGUAGE sql AS $$
    SELECT ROW(array_agg(steps[i + 1] ORDER BY i),
               array_agg(steps[i] ORDER BY i),
               array_agg(steps[i + 2] ORDER BY i))::goosebit_admin.filter
    FROM generate_series(1, cardinality(steps), 3) i
$$;
CREATE FUNCTION t.query(f goosebit_admin.filter) RETURNS text
LANGUAGE sql AS $$
    SELECT array_to_string(goosebit_admin.device_choose('acme', 60, f), ' ')
$$;
CREATE FUNCTION t.one_by_one(f goosebit_admin.filter) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    r goosebit.rollout;
BEGIN
    r.filter_ops := f.ops;
    r.filter_fields := f.fields;
    r.filter_values := f.vals;
    RETURN COALESCE((SELECT string_agg(d.controller_id, ' '
                         ORDER BY d.controller_id)
                     FROM goosebit.device d
                     WHERE d.tenant_id = t.tid()
                       AND goosebit.filter_takes(d, r)), '');
END $$;

SELECT t.dev('a'), t.dev('b', '1.10.0'), t.dev('c', 'v1.10.0-rc1'),
       t.dev('d', NULL), t.dev('e', 'odd'), t.dev('f', '1.2');
SELECT t.set('a', $$name = 'one', tags = '{lab,x1}', hw_revision = 'r10'$$),
       t.set('b', $$name = '', tags = '{x1}', hw_model = 'board'$$),
       t.set('c', $$name = '1.3', hw_revision = 'r9'$$),
       t.set('e', $$tags = '{""}', hw_revision = '2'$$);
INSERT INTO goosebit.device_attributes (tenant_id, device_id, attributes)
SELECT t.tid(), id, a::jsonb
FROM (VALUES ('a', '{"ram": "512", "k": "one"}'), ('b', '{"ram": "64"}'),
             ('c', '{"ram": "much", "k": ""}'), ('e', '{}')) AS v (c, a)
JOIN goosebit.device d ON d.controller_id = v.c;

-- Every field with every operator and values of every kind, alone, and
-- denied, as fields are not NULL-safe by themselves.
SELECT is_empty($$
    SELECT field, op, val, n, t.query(p), t.one_by_one(p)
    FROM unnest('{id,name,hw_model,hw_revision,sw_version,tag,attr.ram,attr.k,
                  attr.none}'::text[]) AS field,
         unnest('{=,!=,<,<=,>,>=,~}'::text[]) AS op,
         unnest('{"",a,b,one,1.10,1.2.0,v1.3,odd,lab,r9,100,512,much,
                  ^.*$,^.$,^1}'::text[]) AS val,
         unnest('{0,1}'::int[]) AS n,
         LATERAL (SELECT CASE n WHEN 0 THEN t.f(field, op, val)
                         ELSE t.f(field, op, val, '', 'not', '') END AS p) x
    WHERE (op IN ('=', '!=', '~') OR field <> 'tag')
      AND t.query(p) <> t.one_by_one(p)
$$, 'query and poll agree');

SELECT is(t.query(t.f('id', '=', 'a', 'tag', '=', 'x1', 'sw_version', '<',
    '1.5', '', 'and', '', '', 'or', '')), 'a', 'postfix');
SELECT is(t.one_by_one(t.f('id', '=', 'f', 'tag', '=', 'x1', 'sw_version',
    '<', '1.5', '', 'and', '', '', 'or', '')), 'a f', 'postfix, one by one');
SELECT is(t.query(NULL), 'a b c d e f', 'none is all');

-- What no parser makes.
SELECT throws_ok(format('SELECT t.query(t.f(%s))', steps), 'GB003', NULL, why)
FROM (VALUES
    ($$'idd', '=', 'a'$$, 'a field there is not'),
    ($$'id', '= 1 OR', 'a'$$, 'an operator there is not'),
    ($$'id', '=', NULL$$, 'no value'),
    ($$'tag', '<', 'a'$$, 'not for this field'),
    ($$'', 'and', ''$$, 'nothing to join'),
    ($$'', 'not', ''$$, 'nothing to deny'),
    ($$'id', '=', 'a', 'id', '=', 'b'$$, 'two answers'),
    ($$'attr', '=', 'a'$$, 'no attribute')) AS v (steps, why);
SELECT throws_ok($$SELECT goosebit_admin.rollout_create('acme', '9.0.0',
    '{"filter": "state=error"}', t.f('state', '=', 'error'))$$, 'GB003', NULL,
    'not for rollouts');
SELECT throws_ok($$SELECT goosebit_admin.rollout_create('acme', '9.0.0',
    '{"filter": "id=a"}')$$, 'GB003', NULL, 'a text without its program');

-- The newest that fits hardware and filter decides; others get the next.
SELECT t.set(c, $$hw_revision = 'default'$$) FROM unnest('{a,c,e}'::text[]) c;
SELECT t.sw('2.0.0') AS s2 \gset
SELECT t.sw('3.0.0') AS s3 \gset
SELECT t.sw('4.0.0') AS s4 \gset
CREATE FUNCTION t.by(cid text) RETURNS int LANGUAGE sql AS $$
    SELECT (goosebit.decide(t.row(cid), 1000)).cause_id
$$;
CREATE FUNCTION t.counts(rid int) RETURNS text LANGUAGE sql AS $$
    SELECT c.state || ' ' || targeted || ' ' || waiting
    FROM goosebit.rollout_counts(t.tid(), ARRAY[rid]) c
$$;
SELECT id AS r4 FROM goosebit_admin.rollout_create('acme', '4.0.0',
    '{"filter": "attr.ram=512 or sw_version=1.2"}',
    t.f('attr.ram', '=', '512', 'sw_version', '=', '1.2', '', 'or', '')) \gset
SELECT is(t.why('d'), 'no_rollout', 'a filter leaves it out');
SELECT is(t.why('b'), 'no_compatible_software', 'its hardware does not fit');
SELECT is(t.by('a'), :r4, 'by attribute');
SELECT is(t.by('f'), :r4, 'by version');
SELECT is(t.counts(:r4), 'running 2 2', 'and counted so');
UPDATE goosebit.device_attributes SET attributes = '{"ram": "64"}'
WHERE device_id = (t.row('a')).id;
SELECT is(t.why('a'), 'no_rollout', 'another attribute');
SELECT is(t.counts(:r4), 'running 1 1', 'and another count');

SELECT id AS r2 FROM goosebit_admin.rollout_create('acme', '2.0.0', '{}') \gset
SELECT is(t.by('a'), :r2, 'a newer one for all');
SELECT is(t.counts(:r4), 'running 0 0', 'leaves the older none');
SELECT id AS r3 FROM goosebit_admin.rollout_create('acme', '3.0.0',
    '{"filter": "tag=lab"}', t.f('tag', '=', 'lab')) \gset
SELECT is(t.by('a'), :r3, 'the newest that takes it');
SELECT is(t.by('d'), :r2, 'the next older for others');
SELECT is(t.counts(:r3), 'running 1 1', 'counts of the one');
SELECT is(t.counts(:r2), 'running 4 4', 'and of the other');

-- List, filter and decide() agree on every target.
CREATE FUNCTION t.listed() RETURNS TABLE (id text, target text,
                                        online boolean)
LANGUAGE plpgsql AS $$
DECLARE
    c refcursor := goosebit_admin.device_list('acme', 60);
    r record;
BEGIN
    LOOP
        FETCH c INTO r;
        EXIT WHEN NOT FOUND;
        id := r.id; target := r.target_version; online := r.online;
        RETURN NEXT;
    END LOOP;
    CLOSE c;
END $$;
SELECT bag_eq('SELECT id, target FROM t.listed()', $$
    SELECT d.controller_id::text, (goosebit.decide(d, 1000)).version
    FROM goosebit.device d WHERE d.tenant_id = t.tid()
$$, 'targets in the list');

-- So they do where several processes look through the devices.
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT bag_eq('SELECT id, target FROM t.listed()', $$
    SELECT d.controller_id::text, (goosebit.decide(d, 1000)).version
    FROM goosebit.device d WHERE d.tenant_id = t.tid()
$$, 'targets in the list, asked for in parallel');
SELECT is(p.proparallel, 'r', 'target() lets others look for the devices')
FROM pg_proc p WHERE p.oid = 'goosebit.target'::regproc;
SET LOCAL parallel_setup_cost TO DEFAULT;
SET LOCAL parallel_tuple_cost TO DEFAULT;
SET LOCAL min_parallel_table_scan_size TO DEFAULT;

-- Online is by the device's poll time, else the tenant's, else the caller's.
INSERT INTO goosebit.device_seen (tenant_id, device_id, seen_at)
SELECT d.tenant_id, d.id, now() - s.ago * interval '1 second'
FROM (VALUES ('a', 89), ('b', 90), ('c', 149), ('d', 150)) s (id, ago)
JOIN goosebit.device d ON d.controller_id = s.id
ON CONFLICT (tenant_id, device_id) DO UPDATE SET seen_at = EXCLUDED.seen_at;
SELECT t.set('c', 'poll_time = 100'), t.set('d', 'poll_time = 100');
SELECT is((SELECT string_agg(l.id, '' ORDER BY l.id) FROM t.listed() l
           WHERE l.online), 'ac', 'online: by poll times of devices');
UPDATE goosebit.tenant SET poll_time = 61 WHERE id = t.tid();
SELECT is((SELECT string_agg(l.id, '' ORDER BY l.id) FROM t.listed() l
           WHERE l.online), 'abc', 'by the tenant''s');
SELECT is(t.query(t.f('online', '=', 'true')), 'a b c', 'and in a filter');
SELECT is(t.query(t.f('online', '=', 'false')), 'd e f', 'and the others');
UPDATE goosebit.tenant SET poll_time = NULL WHERE id = t.tid();
SELECT is(t.query(t.f('target_version', '=', '3.0')), 'a',
    'and in a filter');

-- An aborted one keeps only those from going back that it was for.
SELECT t.sw('0.5.0') AS s0 \gset
SELECT goosebit_admin.rollout_abort('acme', :'r2');
SELECT goosebit_admin.rollout_abort('acme', :'r3');
SELECT is(t.by('f'), :r4, 'back to the first');
UPDATE goosebit.rollout SET allow_downgrade = true, software_id = :s0,
    software_version = NULL, software_hardware = NULL, software_patterns = true
WHERE id = :r4;
UPDATE goosebit.rollout SET filter = 'tag=lab', filter_ops = '{=}',
    filter_fields = '{tag}', filter_values = '{lab}' WHERE id = :r2;
SELECT is(t.why('f'), 'due', 'an aborted one was not for it');
SELECT t.set('f', $$tags = '{lab}'$$);
SELECT is(t.why('f'), 'downgrade_refused', 'it was');

-- At a poll.
SELECT is(t.link('a'), 'none', 'taken by none');
SELECT t.set('f', $$tags = '{}'$$);
SELECT is(t.link('f'), 'deploymentBase', 'taken');

SELECT * FROM finish();
ROLLBACK;
