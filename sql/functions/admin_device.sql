-- gbctl device: the fleet as a list, and one device whole.


-- What a list is sorted by, as SQL, or NULL.
CREATE FUNCTION goosebit.device_order(sort text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN sort IN ('sw_version', 'target_version')
                THEN '($3 ->> (' || goosebit.filter_column(sort)
                     || ')) COLLATE "C"'
                WHEN sort = 'online'
                THEN 'NOT ' || goosebit.filter_column(sort)
                WHEN sort NOT IN ('tag', 'attr')
                THEN goosebit.filter_column(sort) END
$$;
COMMENT ON FUNCTION goosebit.device_order IS 'ORDER BY of a column, or NULL';


-- A cursor over a row a device. Rows are sent as they are found, and the
-- list is kept nowhere; but who reads them has no rights on tables, so all
-- that calls functions is done here, and the rest is joins. A short list asks
-- for the targets of its own devices only: by id that is a walk of the index.
-- The cursor lives as long as the transaction.
CREATE FUNCTION goosebit_admin.device_list(
    tenant text, poll_time int, sort text DEFAULT 'id',
    descending boolean DEFAULT false, row_limit bigint DEFAULT NULL,
    filter goosebit_admin.filter DEFAULT NULL)
RETURNS refcursor
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET cursor_tuple_fraction = 1
SET jit = off
AS $$
DECLARE
    list  refcursor := 'goosebit_list';
    q     goosebit.device_query := goosebit.device_query(
              goosebit.tenant_id(tenant), poll_time, filter);
    ids   bigint[];
    needs text[] := CASE sort WHEN 'last_seen' THEN '{seen}'
                              WHEN 'online' THEN '{seen}'
                              WHEN 'progress' THEN '{action}'
                              ELSE '{}' END;
    ends  text := ' ORDER BY ' || goosebit.device_order(sort)
               || CASE WHEN sort = 'id' THEN CASE WHEN descending
                                                  THEN ' DESC' ELSE '' END
                       WHEN descending THEN ' DESC NULLS LAST, d.controller_id'
                       ELSE ' NULLS LAST, d.controller_id' END;
BEGIN
    IF ends IS NULL THEN
        PERFORM goosebit.fail('GB003', format('no column "%s"', sort));
    END IF;

    IF sort = 'sw_version' THEN
        q.keys := q.keys || goosebit.version_keys(q.tenant_id, sort);
    END IF;

    IF row_limit <= 1000 AND sort <> 'target_version'
       AND NOT 'target' = ANY (q.needs)
    THEN
        EXECUTE 'SELECT ARRAY(SELECT d.id' || goosebit.device_from(q, needs)
            || ends || ' LIMIT $6)'
        INTO ids
        USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time, row_limit;

        q := goosebit.device_kinds(q, ids);
        q.condition := 'd.id = ANY ($7)';
        q.needs := '{}';
    ELSE
        q := goosebit.device_kinds(q, NULL);
    END IF;

    OPEN list NO SCROLL FOR EXECUTE
        'SELECT d.controller_id AS id, d.name, d.hw_model, d.hw_revision,'
        ' d.sw_version, d.feed, d.mode, d.state, '
        || goosebit.filter_column('progress') || ' AS progress,'
        ' k.version AS target_version, s.seen_at AS last_seen, '
        || goosebit.filter_column('online') || ' AS online'
        || goosebit.device_from(q, '{seen,action,target}') || ends
        || ' LIMIT $6'
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time, row_limit, ids;
    RETURN list;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_list IS
    'a cursor over a row a device; sort is a column, row_limit NULL is all';


CREATE FUNCTION goosebit_admin.device_ids(tenant text)
RETURNS TABLE (id text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.controller_id
    FROM goosebit.device d
    WHERE d.tenant_id = goosebit.tenant_id($1)
    ORDER BY 1
$$;
COMMENT ON FUNCTION goosebit_admin.device_ids IS
    'ids of a tenant''s devices';


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
    assigned_version text, assigned_window text, force_update boolean,
    auto_confirm boolean,
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
    d := goosebit.decide(dev, COALESCE(t.max_updates, max_updates), now());
    every := goosebit.poll_time(dev.poll_time, t.poll_time,
                                device_show.poll_time);

    RETURN QUERY
    SELECT dev.controller_id, dev.name, dev.hw_model, dev.hw_revision,
           dev.sw_version, dev.feed, dev.mode, dev.state,
           CASE WHEN a.id IS NOT NULL THEN a.progress::int
                WHEN dev.state = 'finished' THEN 100 END,
           d.version, s.seen_at, goosebit.online(s.seen_at, every, now()),
           d.reason, s.address, COALESCE(c.attributes, '{}'), dev.tags,
           dev.assigned_software_id, w.version,
           CASE WHEN dev.assigned_software_id IS NOT NULL
                THEN dev.assigned_window END, dev.force_update,
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
