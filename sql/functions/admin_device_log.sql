-- gbctl device log and history.


-- One row a line, oldest first: of one action, or what the device's log
-- shows, which its last start of an update cleared. A status without text is
-- a line, too. Lines up to after were seen before.
CREATE FUNCTION goosebit_admin.device_log(tenant text, device text,
                                          action int DEFAULT NULL,
                                          after bigint DEFAULT 0)
RETURNS TABLE (
    id bigint, "time" timestamptz, action_id int, resource text,
    execution text, finished text, progress int, code int, text text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t   int := goosebit.tenant_id(tenant);
    dev goosebit.device := goosebit.device_find(t, device);
    a   goosebit.action;
BEGIN
    a := goosebit.device_action(dev, action);

    RETURN QUERY
    SELECT s.id, s.at, s.action_id, s.resource, s.execution, s.finished,
           s.progress::int, s.code, u.line
    FROM goosebit.action_status s
    LEFT JOIN LATERAL unnest(s.details) WITH ORDINALITY AS u (line, n)
      ON true
    WHERE s.tenant_id = t AND s.device_id = dev.id
      AND CASE WHEN a.id IS NULL THEN s.id >= dev.log_from
               ELSE s.action_id = a.id AND s.at >= a.created_at END
      AND s.id > COALESCE(after, 0)
    ORDER BY s.id, u.n;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_log IS
    'lines of a device''s update log';


-- One of the device's actions; a NULL id is nothing, another's is GB001.
CREATE FUNCTION goosebit.device_action(dev goosebit.device, action_id int)
RETURNS goosebit.action
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    a goosebit.action;
BEGIN
    SELECT x.* INTO a FROM goosebit.action x
    WHERE x.tenant_id = dev.tenant_id AND x.device_id = dev.id
      AND x.id = device_action.action_id;

    IF a.id IS NULL AND action_id IS NOT NULL THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('device "%s": has no action %s',
                              dev.controller_id, action_id));
    END IF;

    RETURN a;
END
$$;
COMMENT ON FUNCTION goosebit.device_action IS 'an action of this device';


-- Whether the log of an action goes on. action NULL: the open one; no row
-- where there is none.
CREATE FUNCTION goosebit_admin.device_action(tenant text, device text,
                                             action int DEFAULT NULL)
RETURNS TABLE (action_id int, version text, state text, progress int,
               ended timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dev goosebit.device := goosebit.device_find(goosebit.tenant_id(tenant),
                                                device);
    a   goosebit.action := goosebit.device_action(dev,
                               COALESCE(action, dev.open_action_id));
BEGIN
    IF a.id IS NOT NULL THEN
        RETURN QUERY
        SELECT a.id, a.version, a.state, a.progress::int, a.ended_at;
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_action IS
    'state of one action, or of the open one';


-- Newest first. attempts: the how-manieth try at its target it was.
CREATE FUNCTION goosebit_admin.device_history(tenant text, device text,
                                              row_limit bigint DEFAULT NULL)
RETURNS TABLE (
    action_id int, software int, version text, cause text, rollout int,
    state text, progress int, started timestamptz, ended timestamptz,
    attempts bigint, type text, forced boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dev goosebit.device := goosebit.device_find(goosebit.tenant_id(tenant),
                                                device);
BEGIN
    RETURN QUERY
    SELECT a.id, a.software_id, a.version, a.cause,
           CASE a.cause WHEN 'rollout' THEN a.cause_id END, a.state,
           a.progress::int, a.created_at, a.ended_at,
           row_number() OVER (PARTITION BY a.software_id, a.cause, a.cause_id
                              ORDER BY a.id), a.type, a.forced
    FROM goosebit.action a
    WHERE a.tenant_id = dev.tenant_id AND a.device_id = dev.id
    ORDER BY a.id DESC
    LIMIT row_limit;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_history IS
    'the actions of a device, newest first';
