-- What a CHECK would say of the hot tables is seen by broken_rows(), and
-- refused where an operator asks for it.

BEGIN;
SELECT plan(22);

SELECT goosebit_admin.device_add('DEFAULT', 'a', NULL, NULL, NULL, NULL, '{}');
INSERT INTO goosebit.software (tenant_id, name, version, version_key, format,
    filename, size, sha256, sha1, md5)
VALUES (1, 's', '1', goosebit.version_key('1'), 'swu', 's', 1,
    repeat('0', 64), repeat('0', 40), repeat('0', 32));
INSERT INTO goosebit.action (tenant_id, device_id, id, software_id, version,
    cause, cause_id, state)
SELECT 1, d.id, 11, s.id, '1', 'rollout', 1, 'open'
FROM goosebit.device d, goosebit.software s;
UPDATE goosebit.device SET open_action_id = 11;

SELECT is_empty('SELECT * FROM goosebit.broken_rows()', 'all is well');

CREATE FUNCTION pg_temp.breaks(change text, rule text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE change;
    SELECT string_agg(b.rule, ',') INTO found FROM goosebit.broken_rows() b;
    RAISE EXCEPTION USING ERRCODE = 'P0099', MESSAGE = COALESCE(found, '');
EXCEPTION
    WHEN SQLSTATE 'P0099' THEN
        RETURN is(SQLERRM, rule, change);
END
$$;

SELECT pg_temp.breaks('UPDATE goosebit.device SET ' || c, r) FROM (VALUES
    ('controller_id = ''''', 'controller_id'), ('mode = ''x''', 'mode'),
    ('mode_before = ''pinned''', 'mode_before'),
    ('assigned_type = ''x''', 'assigned_type'), ('state = ''x''', 'state'),
    ('poll_time = 86400', 'poll_time'), ('token = ''x''', 'token'),
    ('open_action_id = NULL', 'open_action_id')) AS t (c, r);
SELECT pg_temp.breaks('UPDATE goosebit.action SET ' || c, r) FROM (VALUES
    ('cause = ''x''', 'cause'), ('type = ''x''', 'type'),
    ('state = ''x''', 'state'), ('state = ''finished''', 'ended_at'),
    ('progress = 101', 'progress'), ('cancel_cause = ''x''', 'cancel_cause'),
    ('final = ''open''', 'final'), ('id = 20', 'id,open_action_id'),
    ('device_id = 0', 'open_action_id,device_id')) AS t (c, r);

SELECT throws_ok($$SELECT goosebit_admin.device_add('DEFAULT', 'b', NULL,
    NULL, NULL, 'x', '{}')$$, 'GB003', 'device "b": its mode is not valid',
    'a device can''t be added so');
SELECT throws_ok($$SELECT goosebit_admin.device_set('DEFAULT', '{a}', NULL,
    'x', NULL, '{}', '{}', NULL)$$, 'GB003', NULL, 'nor set so');

-- No foreign key takes actions along with their device.
CREATE FUNCTION pg_temp.leaves(verb text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    n int;
BEGIN
    EXECUTE 'SELECT * FROM goosebit_admin.' || verb;
    SELECT count(*) INTO n FROM goosebit.action;
    RAISE EXCEPTION USING ERRCODE = 'P0099', MESSAGE = n::text;
EXCEPTION
    WHEN SQLSTATE 'P0099' THEN
        RETURN is(SQLERRM, '0', verb || ' takes actions along');
END
$$;
SELECT pg_temp.leaves($$device_delete('DEFAULT', '{a}')$$);
SELECT pg_temp.leaves($$tenant_delete('DEFAULT', true)$$);

SELECT * FROM finish();
ROLLBACK;
