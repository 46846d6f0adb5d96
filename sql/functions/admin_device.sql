-- gbctl device: the fleet as a list, and one device whole.


-- One row a device. The target is asked of one device of each kind, since
-- target() reads nothing else of a device than what makes a kind here: a list
-- of a million costs as many questions as there are kinds. Where the order
-- does not need the target, only the devices shown are looked at; by id that
-- is a walk of the index. In a plan made for this call the CASEs are gone.
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
AS $$
DECLARE
    t     goosebit.tenant;
    late  boolean := sort IN ('progress', 'target_version', 'online');
    keys  jsonb := '{}';
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
    WITH page AS MATERIALIZED (
        SELECT row_number() OVER () AS n, p.*
        FROM (
            SELECT d.id AS device_id, d.controller_id, d.name, d.hw_model,
                   d.hw_revision, d.sw_version, d.feed, d.mode, d.state,
                   COALESCE(d.assigned_software_id, 0) AS assigned,
                   d.open_action_id, s.seen_at,
                   goosebit.online(s.seen_at,
                       goosebit.poll_time(d.poll_time, t.poll_time,
                                          device_list.poll_time),
                       now()) AS online
            FROM (SELECT x.*, CASE sort
                             WHEN 'name' THEN x.name
                             WHEN 'hw_model' THEN x.hw_model
                             WHEN 'hw_revision' THEN x.hw_revision
                             WHEN 'sw_version' THEN keys ->> x.sw_version
                             WHEN 'feed' THEN x.feed
                             WHEN 'mode' THEN x.mode
                             WHEN 'state' THEN x.state
                             END COLLATE "C" AS key
                  FROM goosebit.device x) d
            LEFT JOIN goosebit.device_seen s
              ON s.tenant_id = d.tenant_id AND s.device_id = d.id
            WHERE d.tenant_id = t.id
            ORDER BY
                CASE WHEN NOT descending THEN d.key END NULLS LAST,
                CASE WHEN descending THEN d.key END DESC NULLS LAST,
                CASE WHEN sort = 'last_seen' AND NOT descending
                     THEN s.seen_at END NULLS LAST,
                CASE WHEN sort = 'last_seen' AND descending
                     THEN s.seen_at END DESC NULLS LAST,
                CASE WHEN sort = 'id' AND descending
                     THEN d.controller_id END DESC,
                d.controller_id
            LIMIT CASE WHEN NOT late THEN row_limit END) p
    ), kinds AS (
        SELECT p.mode, p.feed, p.hw_model, p.hw_revision, p.assigned,
               min(p.device_id) AS device_id
        FROM page p
        GROUP BY p.mode, p.feed, p.hw_model, p.hw_revision, p.assigned
    ), targets AS MATERIALIZED (
        SELECT k.*, (goosebit.target(d, now())).version
        FROM kinds k
        JOIN goosebit.device d
          ON d.tenant_id = t.id AND d.id = k.device_id
    )
    SELECT p.controller_id, p.name, p.hw_model, p.hw_revision, p.sw_version,
           p.feed, p.mode, p.state,
           CASE WHEN a.id IS NOT NULL THEN a.progress::int
                WHEN p.state = 'finished' THEN 100 END,
           k.version, p.seen_at, p.online
    FROM page p
    LEFT JOIN targets k
      ON k.mode = p.mode AND k.feed = p.feed AND k.hw_model = p.hw_model
     AND k.hw_revision = p.hw_revision AND k.assigned = p.assigned
    LEFT JOIN goosebit.action a
      ON a.tenant_id = t.id AND a.device_id = p.device_id
     AND a.id = p.open_action_id AND a.ended_at IS NULL
    ORDER BY
        CASE WHEN sort = 'progress'
             THEN (CASE WHEN descending THEN -1 ELSE 1 END)
                  * COALESCE(a.progress,
                             CASE p.state WHEN 'finished' THEN 100 END)
             END NULLS LAST,
        CASE WHEN sort = 'online' THEN p.online <> NOT descending END,
        CASE WHEN sort = 'target_version' AND NOT descending
             THEN goosebit.version_key(k.version) COLLATE "C" END NULLS LAST,
        CASE WHEN sort = 'target_version' AND descending
             THEN goosebit.version_key(k.version) COLLATE "C" END
             DESC NULLS LAST,
        p.n
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
