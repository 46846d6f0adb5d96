-- gbctl device: the fleet as a list, and one device whole.


-- One row a device. A short list looks at the devices it shows and no others:
-- by id that is a walk of the index. A long one, and one sorted by what only
-- the target tells, asks for the target of one device of each kind, since
-- target() reads nothing else of a device than what makes a kind here: a
-- million devices cost as many questions as there are kinds. The plan is made
-- for the call, so the CASEs on parameters are gone from it; it can't know how
-- few kinds there are, and would sort the fleet to merge the two.
CREATE FUNCTION goosebit_admin.device_list(
    tenant text, poll_time int, sort text DEFAULT 'id',
    descending boolean DEFAULT false, row_limit bigint DEFAULT NULL)
RETURNS TABLE (
    id text, name text, hw_model text, hw_revision text, sw_version text,
    feed text, mode text, state text, progress int, target_version text,
    last_seen timestamptz, online boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    t    goosebit.tenant;
    long boolean := row_limit IS NULL OR row_limit > 1000
                    OR sort IN ('progress', 'target_version', 'online');
    keys jsonb := '{}';
BEGIN
    SELECT * INTO t FROM goosebit.tenant x
    WHERE x.id = goosebit.tenant_id(tenant);

    IF sort = 'sw_version' THEN
        SELECT jsonb_object_agg(v.sw_version,
                                goosebit.version_key(v.sw_version))
        INTO keys
        FROM (SELECT DISTINCT d.sw_version FROM goosebit.device d
              WHERE d.tenant_id = t.id AND d.sw_version IS NOT NULL) v;
    END IF;

    RETURN QUERY
    WITH targets AS MATERIALIZED (
        SELECT k.*, v.version,
               CASE sort WHEN 'target_version'
                         THEN goosebit.version_key(v.version) END AS key
        FROM (SELECT d.mode, d.feed, d.hw_model, d.hw_revision,
                     COALESCE(d.assigned_software_id, 0) AS assigned,
                     min(d.id) AS device_id
              FROM goosebit.device d
              WHERE long AND d.tenant_id = t.id
              GROUP BY 1, 2, 3, 4, 5) k
        JOIN goosebit.device d
          ON d.tenant_id = t.id AND d.id = k.device_id
        CROSS JOIN LATERAL goosebit.target(d, now()) v
    )
    SELECT p.controller_id, p.name, p.hw_model, p.hw_revision, p.sw_version,
           p.feed, p.mode, p.state, p.progress,
           CASE WHEN long THEN k.version
                ELSE (SELECT v.version
                      FROM goosebit.device x
                      CROSS JOIN LATERAL goosebit.target(x, now()) v
                      WHERE x.tenant_id = t.id AND x.id = p.device_id) END,
           p.seen_at,
           goosebit.online(p.seen_at,
               goosebit.poll_time(p.poll_time, t.poll_time,
                                  device_list.poll_time), now())
    FROM (
        SELECT d.*, s.seen_at,
               CASE WHEN a.id IS NOT NULL THEN a.progress::int
                    WHEN d.state = 'finished' THEN 100 END AS progress
        FROM (SELECT x.id AS device_id, x.controller_id, x.name, x.hw_model,
                     x.hw_revision, x.sw_version, x.feed, x.mode, x.state,
                     x.poll_time, x.open_action_id,
                     COALESCE(x.assigned_software_id, 0) AS assigned,
                     CASE sort
                     WHEN 'name' THEN x.name
                     WHEN 'hw_model' THEN x.hw_model
                     WHEN 'hw_revision' THEN x.hw_revision
                     WHEN 'sw_version' THEN keys ->> x.sw_version
                     WHEN 'feed' THEN x.feed
                     WHEN 'mode' THEN x.mode
                     WHEN 'state' THEN x.state
                     END COLLATE "C" AS key
              FROM goosebit.device x
              WHERE x.tenant_id = t.id) d
        LEFT JOIN goosebit.device_seen s
          ON s.tenant_id = t.id AND s.device_id = d.device_id
        LEFT JOIN goosebit.action a
          ON a.tenant_id = t.id AND a.device_id = d.device_id
         AND a.id = d.open_action_id AND a.ended_at IS NULL
        ORDER BY
            CASE WHEN NOT long AND NOT descending THEN d.key END NULLS LAST,
            CASE WHEN NOT long AND descending THEN d.key END
                DESC NULLS LAST,
            CASE WHEN NOT long AND sort = 'last_seen' AND NOT descending
                 THEN s.seen_at END NULLS LAST,
            CASE WHEN NOT long AND sort = 'last_seen' AND descending
                 THEN s.seen_at END DESC NULLS LAST,
            CASE WHEN NOT long AND sort = 'id' AND descending
                 THEN d.controller_id END DESC,
            CASE WHEN NOT long THEN d.controller_id END
        LIMIT CASE WHEN NOT long THEN row_limit END) p
    LEFT JOIN targets k
      ON k.mode = p.mode AND k.feed = p.feed AND k.hw_model = p.hw_model
     AND k.hw_revision = p.hw_revision AND k.assigned = p.assigned
    ORDER BY
        CASE WHEN NOT descending
             THEN CASE sort WHEN 'target_version' THEN k.key ELSE p.key END
                  COLLATE "C" END NULLS LAST,
        CASE WHEN descending
             THEN CASE sort WHEN 'target_version' THEN k.key ELSE p.key END
                  COLLATE "C" END DESC NULLS LAST,
        CASE WHEN sort = 'last_seen' AND NOT descending
             THEN p.seen_at END NULLS LAST,
        CASE WHEN sort = 'last_seen' AND descending
             THEN p.seen_at END DESC NULLS LAST,
        CASE WHEN sort = 'progress'
             THEN p.progress * CASE WHEN descending THEN -1 ELSE 1 END
             END NULLS LAST,
        CASE WHEN sort = 'online'
             THEN goosebit.online(p.seen_at,
                      goosebit.poll_time(p.poll_time, t.poll_time,
                                         device_list.poll_time), now())
                  <> NOT descending END,
        CASE WHEN sort = 'id' AND descending THEN p.controller_id END DESC,
        p.controller_id
    LIMIT row_limit;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_list IS
    'one row a device; sort is a column, row_limit NULL is all';


-- What the links of a poll are now, and would be once start() has done what
-- is due.
CREATE FUNCTION goosebit.poll_links(dev goosebit.device, d goosebit.decision)
RETURNS text[]
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.array_remove(ARRAY[
        CASE WHEN dev.config_data_at IS NULL THEN 'configData' END,
        CASE
            WHEN d.action_state = 'cancelling' THEN 'cancelAction'
            WHEN dev.config_data_at IS NULL THEN NULL
            WHEN d.supersede
            THEN (SELECT 'cancelAction' FROM goosebit.action a
                  WHERE a.tenant_id = dev.tenant_id AND a.device_id = dev.id
                    AND a.id = d.action_id AND a.fetched_at IS NOT NULL)
            WHEN d.action_state = 'awaiting_confirmation'
                 OR (d.due AND d.confirm AND NOT dev.auto_confirm)
            THEN 'confirmationBase'
            WHEN d.due OR (d.action_id IS NOT NULL
                           AND d.reason <> 'outside_window')
            THEN 'deploymentBase' END,
        CASE WHEN dev.config_data_at IS NOT NULL
                  AND dev.installed_action_id IS NOT NULL
             THEN 'installedBase' END], NULL)
$$;
COMMENT ON FUNCTION goosebit.poll_links IS 'which links the next poll shows';


-- One device by its controller id; GB001 if there is none.
CREATE FUNCTION goosebit.device_find(tenant_id int, device text)
RETURNS goosebit.device
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    dev goosebit.device;
BEGIN
    SELECT d.* INTO dev FROM goosebit.device d
    WHERE d.tenant_id = device_find.tenant_id AND d.controller_id = device;

    IF NOT FOUND THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('device "%s": not found', device));
    END IF;

    RETURN dev;
END
$$;
COMMENT ON FUNCTION goosebit.device_find IS 'a device''s row, or GB001';


CREATE FUNCTION goosebit_admin.device_show(tenant text, device text,
                                           poll_time int, max_updates int)
RETURNS TABLE (
    id text, name text, hw_model text, hw_revision text, sw_version text,
    feed text, mode text, state text, progress int, target_version text,
    last_seen timestamptz, online boolean, reason text, last_ip text,
    attributes jsonb, tags text[], assigned_software int,
    assigned_version text, force_update boolean, auto_confirm boolean,
    poll_time_text text, auth text, blocked boolean, open_action json,
    installed_action int, poll_links text[], registered timestamptz,
    created timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t     goosebit.tenant;
    dev   goosebit.device;
    d     goosebit.decision;
    every int;
BEGIN
    SELECT * INTO t FROM goosebit.tenant x
    WHERE x.id = goosebit.tenant_id(tenant);
    dev := goosebit.device_find(t.id, device);
    d := goosebit.decide(dev, max_updates, now());
    every := goosebit.poll_time(dev.poll_time, t.poll_time,
                                device_show.poll_time);

    RETURN QUERY
    SELECT dev.controller_id, dev.name, dev.hw_model, dev.hw_revision,
           dev.sw_version, dev.feed, dev.mode, dev.state,
           CASE WHEN a.id IS NOT NULL THEN a.progress::int
                WHEN dev.state = 'finished' THEN 100 END,
           d.version, s.seen_at, goosebit.online(s.seen_at, every, now()),
           d.reason, s.address, COALESCE(c.attributes, '{}'), dev.tags,
           dev.assigned_software_id, w.version, dev.force_update,
           dev.auto_confirm, (every * interval '1 second')::text,
           CASE WHEN dev.token IS NULL THEN 'none' ELSE 'token' END,
           dev.blocked,
           CASE WHEN a.id IS NOT NULL THEN json_build_object(
               'id', a.id, 'software', a.software_id, 'version', a.version,
               'cause', a.cause, 'state', a.state, 'progress', a.progress,
               'started', to_char(a.created_at AT TIME ZONE 'UTC',
                                  'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) END,
           dev.installed_action_id, goosebit.poll_links(dev, d),
           dev.config_data_at, dev.created_at
    FROM (VALUES (1)) AS one
    LEFT JOIN goosebit.device_seen s
      ON s.tenant_id = t.id AND s.device_id = dev.id
    LEFT JOIN goosebit.device_attributes c
      ON c.tenant_id = t.id AND c.device_id = dev.id
    LEFT JOIN goosebit.software w
      ON w.tenant_id = t.id AND w.id = dev.assigned_software_id
    LEFT JOIN goosebit.action a
      ON a.tenant_id = t.id AND a.device_id = dev.id
     AND a.id = dev.open_action_id;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_show IS
    'all that is known of one device';
