-- gbctl device import and export: a fleet as a table.


-- What the caller's COPY writes to, until the end of the transaction. Owned by
-- who owns these functions: a table that the caller made could be a view
-- whose functions run with our rights.
CREATE FUNCTION goosebit_admin.device_import_begin()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CREATE TEMP TABLE goosebit_import (
        line        int NOT NULL,
        id          text COLLATE "C" NOT NULL,
        name        text,
        token       bytea,      -- SHA-256
        hw_model    text,
        hw_revision text,
        sw_version  text,
        feed        text,
        mode        text,
        tags        text[],
        attributes  jsonb       -- null takes one away
    ) ON COMMIT DROP;
    EXECUTE format('GRANT INSERT ON pg_temp.goosebit_import TO %I',
                   session_user);
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_import_begin IS
    'makes the temporary table goosebit_import';


-- Why a row can't be imported, or NULL. texts are id, name, feed; said are
-- hw_model, hw_revision, sw_version, which like attributes are what a device may
-- say: control characters, too, or an export could not be read again.
CREATE FUNCTION goosebit.csv_broken(mode text, texts text[], said text[],
                                    tags text[], attributes jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT COALESCE(
        (SELECT pg_catalog.format('%s: %s', u.what,
                                  goosebit.text_broken(u.s))
         FROM ROWS FROM (
             pg_catalog.unnest('{id,name,feed}'::text[]),
             pg_catalog.unnest(texts)) AS u (what, s)
         WHERE goosebit.text_broken(u.s) IS NOT NULL LIMIT 1),
        (SELECT u.what || ': must have at most 255 characters'
         FROM ROWS FROM (
             pg_catalog.unnest('{hw_model,hw_revision,sw_version}'::text[]),
             pg_catalog.unnest(said)) AS u (what, s)
         WHERE pg_catalog.length(u.s) > 255 LIMIT 1),
        (SELECT pg_catalog.format('tag: %s', goosebit.text_broken(u.s))
         FROM pg_catalog.unnest(tags) AS u (s)
         WHERE goosebit.text_broken(u.s) IS NOT NULL LIMIT 1),
        (SELECT pg_catalog.format('attr.%s: %s', pg_catalog.left(e.key, 40),
                    'must have at most 255 characters, its name 128')
         FROM pg_catalog.jsonb_each_text(attributes) e
         WHERE pg_catalog.length(e.key) > 128
            OR pg_catalog.length(e.value) > 255 LIMIT 1),
        CASE WHEN mode NOT IN ('rollout', 'latest', 'assigned', 'pinned')
             THEN pg_catalog.format('mode: "%s" is none of rollout, latest, '
                                    'assigned and pinned', mode) END)
$$;
COMMENT ON FUNCTION goosebit.csv_broken IS
    'why a row of a fleet can''t be imported, or NULL';


-- A device as a row of the import wants it. columns are those of the file:
-- what is no column stays. An empty name or empty tags are wanted so; another
-- empty field says nothing. With its hardware and version a device counts as
-- registered.
CREATE FUNCTION goosebit.csv_wanted(old goosebit.device, tenant_id int,
                                       columns text[], id text, name text,
                                       token bytea, hw_model text,
                                       hw_revision text, sw_version text,
                                       feed text, mode text, tags text[])
RETURNS goosebit.device
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d goosebit.device := old;
BEGIN
    d.tenant_id := tenant_id;
    d.controller_id := id;
    d.name := CASE WHEN 'name' = ANY (columns) THEN name ELSE old.name END;
    d.token := COALESCE(token, old.token);
    d.hw_model := COALESCE(hw_model, old.hw_model, 'default');
    d.hw_revision := COALESCE(hw_revision, old.hw_revision, 'default');
    d.sw_version := COALESCE(sw_version, old.sw_version);
    d.feed := COALESCE(feed, old.feed, 'default');
    d.mode := COALESCE(mode, old.mode, 'rollout');
    d.state := COALESCE(old.state, 'unknown');
    d.tags := COALESCE(CASE WHEN 'tags' = ANY (columns) THEN tags
                            ELSE old.tags END, '{}');

    IF d.mode IS DISTINCT FROM old.mode THEN
        d.mode_before := CASE d.mode WHEN 'pinned'
                                     THEN COALESCE(old.mode, 'rollout') END;
        d.assigned_software_id := CASE WHEN d.mode IN ('assigned', 'pinned')
                                       THEN old.assigned_software_id END;
    END IF;

    IF hw_model IS NOT NULL AND sw_version IS NOT NULL THEN
        d.config_data_at := COALESCE(old.config_data_at, pg_catalog.now());
        d.state := CASE d.state WHEN 'unknown' THEN 'registered'
                                ELSE d.state END;
    END IF;
    RETURN d;
END
$$;
COMMENT ON FUNCTION goosebit.csv_wanted IS
    'a device as a row of a fleet wants it';


-- GB003 unless a temporary table is one of those made here.
CREATE FUNCTION goosebit.csv_table(name text)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c
                   WHERE c.oid = pg_catalog.to_regclass('pg_temp.' || name)
                     AND c.relkind = 'r'
                     AND c.relowner = 'goosebit_owner'::regrole)
    THEN
        PERFORM goosebit.fail('GB003', 'no import has begun');
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit.csv_table IS
    'refuses a table that is not an import''s';


-- Takes what was copied to goosebit_import, and leaves the table
-- goosebit_import_done. Errors name file and line. One row.
CREATE FUNCTION goosebit_admin.device_import(tenant text, file text,
                                             columns text[])
RETURNS TABLE (added bigint, updated bigint, same bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET join_collapse_limit = 1     -- see "wanted"
AS $$
DECLARE
    t    int := goosebit.tenant_hold(tenant);
    bad  record;
    busy goosebit.device;
BEGIN
    PERFORM goosebit.csv_table('goosebit_import');
    ANALYZE pg_temp.goosebit_import;

    SELECT * INTO bad
    FROM (SELECT i.line, goosebit.csv_broken(i.mode,
                     ARRAY[i.id, i.name, i.feed],
                     ARRAY[i.hw_model, i.hw_revision, i.sw_version],
                     i.tags, i.attributes) AS why
          FROM pg_temp.goosebit_import i
          -- Only of those that a glance does not clear.
          WHERE octet_length(concat_ws('', i.id, i.name, i.hw_model,
                    i.hw_revision, i.sw_version, i.feed, i.mode, i.tags,
                    i.attributes)) > 200
             OR concat_ws('', i.id, i.name, i.feed, i.tags)
                ~ '[\u0001-\u001f\u007f-\u009f]'
             OR i.mode NOT IN ('rollout', 'latest', 'assigned', 'pinned')
             OR '' = ANY (i.tags)
          UNION ALL
          SELECT r.line, format('device "%s" stands on line %s already',
                                r.id, r.first)
          FROM (SELECT i.line, i.id, min(i.line) OVER (PARTITION BY i.id)
                       AS first
                FROM pg_temp.goosebit_import i) r
          WHERE r.line > r.first) x
    WHERE x.why IS NOT NULL
    ORDER BY x.line LIMIT 1;
    IF FOUND THEN
        PERFORM goosebit.fail('GB003',
                              format('%s:%s: %s', file, bad.line, bad.why));
    END IF;

    PERFORM FROM goosebit.device d
    JOIN pg_temp.goosebit_import i ON i.id = d.controller_id
    WHERE d.tenant_id = t
    ORDER BY d.controller_id
    FOR UPDATE OF d;

    -- Joined as written: where statistics have not yet seen a tenant, devices
    -- and attributes would be joined first, each with each.
    CREATE TEMP TABLE goosebit_import_done ON COMMIT DROP AS
    WITH wanted AS MATERIALIZED (
        SELECT o AS old, goosebit.csv_wanted(o, t, columns, i.id, i.name,
                   i.token, i.hw_model, i.hw_revision, i.sw_version, i.feed,
                   i.mode, i.tags) AS new,
               i.attributes,
               COALESCE(c.attributes, '{}') AS attributes_old,
               jsonb_strip_nulls(COALESCE(c.attributes, '{}')
                                 || COALESCE(i.attributes, '{}'))
                   AS attributes_new
        FROM pg_temp.goosebit_import i
        LEFT JOIN goosebit.device o
          ON o.tenant_id = t AND o.controller_id = i.id
        LEFT JOIN goosebit.device_attributes c
          ON c.tenant_id = t AND c.device_id = o.id
    ), stored AS (
        INSERT INTO goosebit.device AS d
            (tenant_id, controller_id, name, token, hw_model, hw_revision,
             sw_version, feed, mode, mode_before, assigned_software_id, state,
             tags, config_data_at)
        SELECT t, (w.new).controller_id, (w.new).name, (w.new).token,
               (w.new).hw_model, (w.new).hw_revision, (w.new).sw_version,
               (w.new).feed, (w.new).mode, (w.new).mode_before,
               (w.new).assigned_software_id, (w.new).state, (w.new).tags,
               (w.new).config_data_at
        FROM wanted w
        WHERE w.new IS DISTINCT FROM w.old
        ORDER BY (w.new).controller_id
        ON CONFLICT (tenant_id, controller_id) DO UPDATE
        SET name = excluded.name, token = excluded.token,
            hw_model = excluded.hw_model, hw_revision = excluded.hw_revision,
            sw_version = excluded.sw_version, feed = excluded.feed,
            mode = excluded.mode, mode_before = excluded.mode_before,
            assigned_software_id = excluded.assigned_software_id,
            state = excluded.state, tags = excluded.tags,
            config_data_at = excluded.config_data_at
        RETURNING d.controller_id, d AS dev
    )
    SELECT (w.new).controller_id AS id,
           CASE WHEN (w.old).id IS NULL THEN 'added'
                WHEN s.controller_id IS NOT NULL
                     OR w.attributes_new <> w.attributes_old THEN 'updated'
                ELSE 'same' END AS result,
           w.old, CASE WHEN s.controller_id IS NOT NULL THEN s.dev
                       ELSE w.old END AS new,
           w.attributes_old, w.attributes_new
    FROM wanted w
    LEFT JOIN stored s ON s.controller_id = (w.new).controller_id;

    -- The foreign keys of what follows are looked up one by one, by a plan
    -- made for what statistics know.
    IF (SELECT count(*) FROM pg_temp.goosebit_import_done i
        WHERE i.result = 'added') > 1000
    THEN
        ANALYZE goosebit.device;
    END IF;

    PERFORM goosebit.csv_settle(t);

    FOR busy IN SELECT (i.new).* FROM pg_temp.goosebit_import_done i
                WHERE (i.new).open_action_id IS NOT NULL
                  AND i.result <> 'same'
                ORDER BY i.id
    LOOP
        IF (goosebit.decide(busy, NULL, now())).supersede THEN
            PERFORM goosebit.action_cancel(t, busy.id, 'superseded', false);
        END IF;
    END LOOP;

    RETURN QUERY
    SELECT count(*) FILTER (WHERE i.result = 'added'),
           count(*) FILTER (WHERE i.result = 'updated'),
           count(*) FILTER (WHERE i.result = 'same')
    FROM pg_temp.goosebit_import_done i;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_import IS
    'adds and updates the devices of goosebit_import';


-- What device_import() did in this transaction: a row a device that it added
-- or updated.
CREATE FUNCTION goosebit_admin.device_imported()
RETURNS TABLE (id text, result text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM goosebit.csv_table('goosebit_import_done');

    RETURN QUERY
    SELECT i.id::text, i.result FROM pg_temp.goosebit_import_done i
    WHERE i.result <> 'same'
    ORDER BY i.id;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_imported IS
    'the devices that an import added or updated';


-- The attributes, audit and journal of an import. Many devices are one row of
-- the journal: the tenant's.
CREATE FUNCTION goosebit.csv_settle(tenant_id int)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO goosebit.device_attributes AS c
        (tenant_id, device_id, attributes)
    SELECT csv_settle.tenant_id, (i.new).id, i.attributes_new
    FROM pg_temp.goosebit_import_done i
    WHERE i.attributes_new <> i.attributes_old
    ON CONFLICT ON CONSTRAINT device_attributes_pkey DO UPDATE
    SET attributes = excluded.attributes, updated_at = pg_catalog.now();

    INSERT INTO goosebit.audit (tenant_id, verb, object, before, after)
    SELECT csv_settle.tenant_id,
           CASE i.result WHEN 'added' THEN 'device.add' ELSE 'device.set' END,
           i.id, CASE i.result WHEN 'updated' THEN c.before END, c.after
    FROM (SELECT x.id, x.result,
                 CASE x.result WHEN 'updated' THEN goosebit.csv_facts(x.old)
                     || pg_catalog.jsonb_build_object('attributes',
                                                      x.attributes_old)
                     ELSE '{}' END AS b,
                 goosebit.csv_facts(x.new)
                     || pg_catalog.jsonb_build_object('attributes',
                                                      x.attributes_new) AS a
          FROM pg_temp.goosebit_import_done x
          WHERE x.result <> 'same') i
    CROSS JOIN LATERAL (
        SELECT pg_catalog.jsonb_object_agg(e.key, e.value) AS after,
               pg_catalog.jsonb_object_agg(e.key, i.b -> e.key) AS before
        FROM pg_catalog.jsonb_each(i.a) e
        WHERE e.value IS DISTINCT FROM i.b -> e.key
          AND (i.result = 'updated' OR e.value <> 'null')) c;

    IF (SELECT pg_catalog.count(*) FROM pg_temp.goosebit_import_done i
        WHERE i.result = 'updated') > 1000
    THEN
        PERFORM goosebit.changed('tenant', csv_settle.tenant_id);
    ELSE
        INSERT INTO goosebit.change (scope, tenant_id, device_id)
        SELECT 'device', csv_settle.tenant_id, (i.new).id
        FROM pg_temp.goosebit_import_done i
        WHERE i.result = 'updated';
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit.csv_settle IS
    'what belongs to devices that were imported';


CREATE FUNCTION goosebit.csv_facts(d goosebit.device)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT goosebit.device_facts(d) || pg_catalog.jsonb_build_object(
        'hw_model', d.hw_model, 'hw_revision', d.hw_revision,
        'sw_version', d.sw_version, 'state', d.state)
$$;
COMMENT ON FUNCTION goosebit.csv_facts IS
    'the fields of a device that an import changes';


-- A cursor over the devices that the filter takes, as import takes them back.
-- Tokens are kept as digests only: there is nothing to export. Hardware that
-- was never told is left out, since with it a device would count as registered.
CREATE FUNCTION goosebit_admin.device_export(tenant text, poll_time int,
                                             filter goosebit_admin.filter)
RETURNS refcursor
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET cursor_tuple_fraction = 1
SET jit = off
AS $$
DECLARE
    list refcursor := 'goosebit_list';
    q    goosebit.device_query := goosebit.device_query(
             goosebit.tenant_id(tenant), poll_time, filter);
BEGIN
    IF 'target' = ANY (q.needs) THEN
        q := goosebit.device_kinds(q, NULL);
    END IF;

    OPEN list NO SCROLL FOR EXECUTE
        'SELECT d.controller_id AS id, d.name,'
        ' CASE WHEN d.config_data_at IS NOT NULL OR d.hw_model <> ''default'''
        ' THEN d.hw_model END AS hw_model, d.hw_revision, d.sw_version,'
        ' d.feed, d.mode, d.tags, COALESCE(c.attributes, ''{}'') AS attributes'
        || goosebit.device_from(q, '{attributes}') || ' ORDER BY 1'
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time;
    RETURN list;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_export IS
    'a cursor over devices, in the columns of an import';


CREATE FUNCTION goosebit_admin.device_attributes(
    tenant text, poll_time int, filter goosebit_admin.filter)
RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
AS $$
DECLARE
    q goosebit.device_query := goosebit.device_query(
          goosebit.tenant_id(tenant), poll_time, filter);
BEGIN
    IF 'target' = ANY (q.needs) THEN
        q := goosebit.device_kinds(q, NULL);
    END IF;

    RETURN QUERY EXECUTE
        'SELECT DISTINCT pg_catalog.jsonb_object_keys(c.attributes)'
        ' COLLATE "C"' || goosebit.device_from(q, '{attributes}')
        || ' ORDER BY 1'
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_attributes IS
    'names of the attributes that devices have';
