-- What always holds of the rows of the hot tables, where a CHECK or a foreign
-- key would cost too much: see migrations 0003 and 0010.


-- The rule a device breaks, by the column's name, or NULL.
CREATE FUNCTION goosebit.device_broken(d goosebit.device)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN pg_catalog.octet_length((d).controller_id) NOT BETWEEN 1 AND 255
        THEN 'controller_id'
        WHEN (d).mode NOT IN ('rollout', 'latest', 'assigned', 'pinned')
        THEN 'mode'
        WHEN (d).mode_before NOT IN ('rollout', 'latest', 'assigned')
        THEN 'mode_before'
        WHEN (d).assigned_type NOT IN ('forced', 'soft', 'downloadonly')
        THEN 'assigned_type'
        WHEN (d).state NOT IN ('unknown', 'registered', 'running', 'error',
                               'finished')
        THEN 'state'
        WHEN (d).poll_time NOT BETWEEN 1 AND 86399 THEN 'poll_time'
        WHEN pg_catalog.octet_length((d).token) <> 32 THEN 'token'
        END
$$;
COMMENT ON FUNCTION goosebit.device_broken IS
    'which rule a device breaks, or NULL';


-- GB003 for a device that breaks a rule: before what an operator wants is
-- stored.
CREATE FUNCTION goosebit.device_check(d goosebit.device)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF goosebit.device_broken(d) IS NOT NULL THEN
        PERFORM goosebit.fail('GB003',
            pg_catalog.format('device "%s": its %s is not valid',
                              d.controller_id, goosebit.device_broken(d)));
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit.device_check IS
    'refuses a device that breaks a rule';


-- The same of an action. Ids: real clients fail past 2^31-1, on multiples of
-- ten, and below 11.
CREATE FUNCTION goosebit.action_broken(a goosebit.action)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN (a).id < 11 OR (a).id % 10 = 0 THEN 'id'
        WHEN (a).cause NOT IN ('rollout', 'latest', 'assigned') THEN 'cause'
        WHEN (a).type NOT IN ('forced', 'soft', 'downloadonly') THEN 'type'
        WHEN (a).state NOT IN ('open', 'running', 'awaiting_confirmation',
                               'cancelling', 'finished', 'error', 'rejected',
                               'canceled', 'superseded', 'timed_out')
        THEN 'state'
        WHEN ((a).ended_at IS NULL)
             <> ((a).state IN ('open', 'running', 'awaiting_confirmation',
                               'cancelling'))
        THEN 'ended_at'
        WHEN (a).progress NOT BETWEEN 0 AND 100 THEN 'progress'
        WHEN (a).cancel_cause NOT IN ('operator', 'abort', 'superseded')
        THEN 'cancel_cause'
        WHEN (a).final NOT IN ('finished', 'error', 'rejected', 'canceled')
        THEN 'final'
        END
$$;
COMMENT ON FUNCTION goosebit.action_broken IS
    'which rule an action breaks, or NULL';


-- Every row that breaks a rule; none, unless somebody wrote past the API.
-- Reads both tables whole.
CREATE FUNCTION goosebit.broken_rows()
RETURNS TABLE (name text, tenant_id int, id text, rule text)
LANGUAGE sql STABLE
AS $$
    SELECT 'device', d.tenant_id, d.controller_id::text,
           goosebit.device_broken(d)
    FROM goosebit.device d
    WHERE goosebit.device_broken(d) IS NOT NULL
    UNION ALL
    SELECT 'action', a.tenant_id, a.id::text, goosebit.action_broken(a)
    FROM goosebit.action a
    WHERE goosebit.action_broken(a) IS NOT NULL
    UNION ALL
    SELECT 'device', d.tenant_id, d.controller_id::text, 'open_action_id'
    FROM goosebit.device d
    LEFT JOIN goosebit.action a
      ON a.tenant_id = d.tenant_id AND a.device_id = d.id
         AND a.ended_at IS NULL
    WHERE d.open_action_id IS DISTINCT FROM a.id
    UNION ALL
    SELECT 'action', a.tenant_id, a.id::text, 'device_id'
    FROM goosebit.action a
    LEFT JOIN goosebit.device d
      ON d.tenant_id = a.tenant_id AND d.id = a.device_id
    WHERE d.id IS NULL
$$;
COMMENT ON FUNCTION goosebit.broken_rows IS
    'rows that break a rule, for tests and db check';
