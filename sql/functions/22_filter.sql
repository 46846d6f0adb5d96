-- Filters: which devices are meant. shared/gb_filter.h says what expressions
-- mean and which program they become; here a program becomes the condition of
-- a query, or is run for one device.
--
-- No value and no name becomes SQL text: conditions are put together from the
-- fragments below, where each value is an element of the parameter $1.


-- A program, as gb_filter makes it; all NULL: every device.
CREATE TYPE goosebit_admin.filter AS (
    ops    text[],
    fields text[],
    vals   text[]
);
COMMENT ON TYPE goosebit_admin.filter IS 'which devices are meant';


-- Devices that have the same target: target() reads nothing else of them.
CREATE TYPE goosebit.device_kind AS (
    mode        text,
    feed        text,
    hw_model    text,
    hw_revision text,
    assigned    int,
    matched     int[],      -- rollouts with a filter that takes them
    version     text        -- of the target
);
COMMENT ON TYPE goosebit.device_kind IS 'devices that have the same target';


-- A query over devices: its texts, all of fixed fragments, and its
-- parameters. Run it with
-- USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time.
CREATE TYPE goosebit.device_query AS (
    condition text,         -- over d, and what joins says
    matched   text,         -- int[]: the filtered rollouts that take d
    needs     text[],       -- of condition: seen, action, attributes, target
    matched_needs text[],   -- of matched
    vals      text[],       -- $1
    tenant_id int,          -- $2
    keys      jsonb,        -- $3: texts and their version keys
    kinds     goosebit.device_kind[],   -- $4
    poll_time int,          -- $5: of devices that have none of their own
    after     bigint,       -- asked of devices with greater inner ids, …
    upto      bigint        -- … up to this; NULL: of all
);
COMMENT ON TYPE goosebit.device_query IS 'a query over devices in the making';


-- What stands for a field in a query; %s is an attribute's name.
CREATE FUNCTION goosebit.filter_column(field text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE field
        WHEN 'id' THEN 'd.controller_id'
        WHEN 'name' THEN 'd.name COLLATE "C"'
        WHEN 'hw_model' THEN 'd.hw_model COLLATE "C"'
        WHEN 'hw_revision' THEN 'd.hw_revision COLLATE "C"'
        WHEN 'sw_version' THEN 'd.sw_version COLLATE "C"'
        WHEN 'feed' THEN 'd.feed COLLATE "C"'
        WHEN 'mode' THEN 'd.mode COLLATE "C"'
        WHEN 'state' THEN 'd.state COLLATE "C"'
        WHEN 'progress' THEN '(CASE WHEN a.id IS NOT NULL '
            'THEN a.progress::int WHEN d.state = ''finished'' THEN 100 END)'
        WHEN 'target_version' THEN 'k.version COLLATE "C"'
        WHEN 'last_seen' THEN 's.seen_at'
        -- One condition, but what holds for most devices is worked out once.
        WHEN 'online' THEN '(CASE WHEN d.poll_time IS NULL '
            'THEN goosebit.online(s.seen_at, '
            'goosebit.poll_time(NULL, NULL, $5), pg_catalog.now()) '
            'ELSE goosebit.online(s.seen_at, '
            'goosebit.poll_time(d.poll_time, NULL, $5), pg_catalog.now()) END)'
        WHEN 'tag' THEN 'd.tags'
        WHEN 'attr' THEN '(c.attributes ->> %s) COLLATE "C"'
        END
$$;
COMMENT ON FUNCTION goosebit.filter_column IS 'a field as SQL, or NULL';


-- The condition of one comparison, never NULL: %1$s is the column, %2$s the
-- value. versions: both are version keys.
CREATE FUNCTION goosebit.filter_fragment(field text, op text,
                                         versions boolean)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN op NOT IN ('=', '!=', '<', '<=', '>', '>=', '~') THEN NULL
        WHEN field = 'tag' THEN CASE op
            WHEN '=' THEN '(CASE WHEN %2$s = '''' THEN %1$s = ''{}'' '
                          'ELSE %2$s = ANY (%1$s) END)'
            WHEN '!=' THEN '(CASE WHEN %2$s = '''' THEN %1$s <> ''{}'' '
                           'ELSE %2$s <> ALL (%1$s) END)'
            WHEN '~' THEN 'EXISTS (SELECT FROM pg_catalog.unnest(%1$s) '
                          'AS u (s) WHERE u.s COLLATE "C" ~ %2$s)'
            END
        WHEN field = 'last_seen' THEN CASE op
            WHEN '=' THEN '%1$s IS NULL'
            WHEN '!=' THEN '%1$s IS NOT NULL'
            -- An age: the younger, the later it was seen.
            WHEN '~' THEN NULL
            ELSE 'COALESCE(%1$s '
                || pg_catalog.translate(op, '<>', '><')
                || ' pg_catalog.now() - %2$s::bigint * interval ''1 second'''
                || CASE WHEN op IN ('<', '<=') THEN ', false)'
                        ELSE ', true)' END
            END
        WHEN field = 'progress' THEN CASE op
            WHEN '!=' THEN '%1$s IS DISTINCT FROM %2$s::int'
            WHEN '~' THEN NULL
            ELSE 'COALESCE(%1$s ' || op || ' %2$s::int, false)' END
        WHEN field = 'online' THEN CASE
            WHEN op IN ('=', '!=') THEN '%1$s ' || op || ' %2$s::boolean' END
        WHEN versions THEN 'COALESCE(($3 ->> (%1$s)) COLLATE "C" ' || op
            || ' %2$s, ' || (op = '!=') || ')'
        WHEN op IN ('=', '!=') AND field IN ('name', 'attr', 'sw_version',
                                             'target_version')
        THEN 'COALESCE(%1$s, '''') ' || op || ' %2$s'
        WHEN field IN ('name', 'attr', 'sw_version', 'target_version')
        THEN 'COALESCE(%1$s ' || op || ' %2$s, false)'
        ELSE '%1$s ' || op || ' %2$s' END
$$;
COMMENT ON FUNCTION goosebit.filter_fragment IS
    'a comparison as a template of SQL, or NULL for what there is not';


-- Whether a comparison is one of versions. "" is no version but absence.
CREATE FUNCTION goosebit.filter_versions(field text, op text, val text)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN op = '~' OR val = '' THEN false
        WHEN field IN ('sw_version', 'target_version') THEN true
        ELSE op IN ('<', '<=', '>', '>=')
             AND (field = 'hw_revision' OR field LIKE 'attr.%') END
$$;
COMMENT ON FUNCTION goosebit.filter_versions IS
    'whether a field is compared as a version';


-- The version keys of all that devices have in a field, by text: of all
-- devices, or of a slice.
CREATE FUNCTION goosebit.version_keys(tenant_id int, field text,
                                      after bigint DEFAULT NULL,
                                      upto bigint DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found text[];
BEGIN
    IF field = 'target_version' THEN
        found := ARRAY(SELECT DISTINCT s.version FROM goosebit.software s
                       WHERE s.tenant_id = $1);
    ELSIF field LIKE 'attr.%' THEN
        found := ARRAY(
            SELECT DISTINCT c.attributes ->> pg_catalog.substr(field, 6)
            FROM goosebit.device_attributes c
            WHERE c.tenant_id = $1
              AND c.attributes ? pg_catalog.substr(field, 6)
              AND ($4 IS NULL OR c.device_id > $3 AND c.device_id <= $4));
    ELSIF field = 'hw_revision' THEN
        found := ARRAY(SELECT DISTINCT d.hw_revision FROM goosebit.device d
                       WHERE d.tenant_id = $1
                         AND ($4 IS NULL OR d.id > $3 AND d.id <= $4));
    ELSE
        found := ARRAY(SELECT DISTINCT d.sw_version FROM goosebit.device d
                       WHERE d.tenant_id = $1
                         AND ($4 IS NULL OR d.id > $3 AND d.id <= $4));
    END IF;

    RETURN COALESCE((
        SELECT pg_catalog.jsonb_object_agg(u.v, goosebit.version_key(u.v))
        FROM pg_catalog.unnest(found) AS u (v)
        WHERE u.v IS NOT NULL), '{}');
END
$$;
COMMENT ON FUNCTION goosebit.version_keys IS
    'each text of a field and its version key';


-- A comparison into the query: as its condition. GB003 for one there is not.
CREATE FUNCTION goosebit.filter_compare(q goosebit.device_query, op text,
                                        field text, val text)
RETURNS goosebit.device_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    name     text := CASE WHEN field LIKE 'attr._%' THEN 'attr'
                          WHEN field <> 'attr' THEN field END;
    versions boolean := goosebit.filter_versions(field, op, val);
    template text := goosebit.filter_fragment(name, op, versions);
    col      text := goosebit.filter_column(name);
BEGIN
    IF template IS NULL OR col IS NULL OR val IS NULL THEN
        PERFORM goosebit.fail('GB003', pg_catalog.format(
            'a filter can''t compare "%s" by "%s"', field, op));
    END IF;

    IF name = 'attr' THEN
        q.vals := q.vals || pg_catalog.substr(field, 6);
        col := pg_catalog.format(col, pg_catalog.format('$1[%s]',
                   pg_catalog.cardinality(q.vals)));
    END IF;

    IF versions AND NOT q.keys ? ('/' || field) THEN
        q.keys := q.keys || goosebit.version_keys(q.tenant_id, field, q.after, q.upto)
               || pg_catalog.jsonb_build_object('/' || field, '');
    END IF;

    q.vals := q.vals || CASE WHEN versions THEN goosebit.version_key(val)
                             ELSE val END;
    q.needs := q.needs || CASE name
        WHEN 'last_seen' THEN 'seen' WHEN 'online' THEN 'seen'
        WHEN 'progress' THEN 'action' WHEN 'attr' THEN 'attributes'
        WHEN 'target_version' THEN 'target' ELSE 'device' END;
    q.condition := pg_catalog.format(template, col,
        pg_catalog.format('$1[%s]', pg_catalog.cardinality(q.vals)));

    RETURN q;
END
$$;
COMMENT ON FUNCTION goosebit.filter_compare IS
    'a comparison as the condition of a query';


-- A program into the query: as its condition.
CREATE FUNCTION goosebit.filter_add(q goosebit.device_query,
                                    f goosebit_admin.filter)
RETURNS goosebit.device_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    stack text[] := '{}';
    n     int := 0;
BEGIN
    FOR i IN 1 .. COALESCE(pg_catalog.cardinality(f.ops), 0) LOOP
        IF f.ops[i] IN ('and', 'or') AND n > 1 THEN
            n := n - 1;
            stack[n] := '(' || stack[n]
                     || CASE f.ops[i] WHEN 'and' THEN ' AND ' ELSE ' OR ' END
                     || stack[n + 1] || ')';
        ELSIF f.ops[i] = 'not' AND n > 0 THEN
            stack[n] := '(NOT ' || stack[n] || ')';
        ELSE
            q := goosebit.filter_compare(q, f.ops[i], f.fields[i], f.vals[i]);
            n := n + 1;
            stack[n] := q.condition;
        END IF;
    END LOOP;

    IF n > 1 THEN
        PERFORM goosebit.fail('GB003', 'a filter leaves more than one answer');
    END IF;

    q.condition := CASE WHEN n = 1 THEN stack[1] ELSE 'true' END;
    RETURN q;
END
$$;
COMMENT ON FUNCTION goosebit.filter_add IS
    'a filter as the condition of a query';


-- The program of a rollout's filter and its feed.
CREATE FUNCTION goosebit.rollout_filter(r goosebit.rollout)
RETURNS goosebit_admin.filter
LANGUAGE sql STABLE
AS $$
    SELECT ROW(r.filter_ops || '{=,and}'::text[],
               r.filter_fields || '{feed,""}'::text[],
               r.filter_values || ARRAY[r.feed, ''])::goosebit_admin.filter
$$;
COMMENT ON FUNCTION goosebit.rollout_filter IS
    'which devices a rollout with a filter is for';


-- A new query over the devices of a tenant that the filter takes. poll_time
-- is the caller's; besides are aborted rollouts to look at all the same.
CREATE FUNCTION goosebit.device_query(tenant_id int, poll_time int,
                                      f goosebit_admin.filter,
                                      besides int[] DEFAULT NULL,
                                      after bigint DEFAULT NULL,
                                      upto bigint DEFAULT NULL)
RETURNS goosebit.device_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    q     goosebit.device_query;
    own   goosebit.device_query;
    r     goosebit.rollout;
    terms text[] := '{}';
BEGIN
    q.tenant_id := device_query.tenant_id;
    q.keys := '{}';
    q.vals := '{}';
    q.needs := '{}';
    q.after := after;
    q.upto := upto;
    SELECT COALESCE(t.poll_time, device_query.poll_time) INTO q.poll_time
    FROM goosebit.tenant t WHERE t.id = device_query.tenant_id;

    q := goosebit.filter_add(q, f);
    own := q;

    FOR r IN SELECT x.* FROM goosebit.rollout x
             WHERE x.tenant_id = device_query.tenant_id
               AND x.filter IS NOT NULL
               AND (x.state <> 'aborted' OR x.id = ANY (besides))
             ORDER BY x.id
    LOOP
        q := goosebit.filter_add(q, goosebit.rollout_filter(r));
        terms := terms || pg_catalog.format('CASE WHEN %s THEN %s END',
                                            q.condition, r.id);
    END LOOP;

    IF terms <> '{}' THEN
        q.matched := 'pg_catalog.array_remove(ARRAY['
                  || pg_catalog.array_to_string(terms, ', ') || '], NULL)';
    END IF;
    q.matched_needs := q.needs;
    q.needs := own.needs;
    q.condition := own.condition;
    RETURN q;
END
$$;
COMMENT ON FUNCTION goosebit.device_query IS
    'a query over a tenant''s devices, some or all';


-- FROM and WHERE of a query. It holds what the condition needs, and more.
CREATE FUNCTION goosebit.device_from(q goosebit.device_query,
                                     more text[] DEFAULT '{}')
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT ' FROM goosebit.device d'
        || CASE WHEN 'seen' = ANY (n.needs) THEN
           ' LEFT JOIN goosebit.device_seen s'
           ' ON s.tenant_id = $2 AND s.device_id = d.id' ELSE '' END
        || CASE WHEN 'action' = ANY (n.needs) THEN
           ' LEFT JOIN goosebit.action a'
           ' ON a.tenant_id = $2 AND a.device_id = d.id'
           ' AND a.id = d.open_action_id AND a.ended_at IS NULL'
           ELSE '' END
        || CASE WHEN 'attributes' = ANY (n.needs) THEN
           ' LEFT JOIN goosebit.device_attributes c'
           ' ON c.tenant_id = $2 AND c.device_id = d.id' ELSE '' END
        || CASE WHEN 'target' = ANY (n.needs) THEN
           ' LEFT JOIN pg_catalog.unnest($4) AS k'
           ' ON k.mode = d.mode AND k.feed = d.feed'
           ' AND k.hw_model = d.hw_model AND k.hw_revision = d.hw_revision'
           ' AND k.assigned = COALESCE(d.assigned_software_id, 0)'
           || COALESCE(' AND k.matched = ' || q.matched, '') ELSE '' END
        || ' WHERE d.tenant_id = $2 AND ' || q.condition
    FROM (SELECT x.needs || CASE WHEN 'target' = ANY (x.needs)
                                 THEN q.matched_needs END AS needs
          FROM (SELECT q.needs || more AS needs) x) n
$$;
COMMENT ON FUNCTION goosebit.device_from IS 'FROM and WHERE of a query';


-- Asks for the target of one device of each kind: a million devices cost as
-- many questions as there are kinds, and are looked through by as many
-- processes as may. ids NULL: of all devices.
CREATE FUNCTION goosebit.device_kinds(q goosebit.device_query, ids bigint[])
RETURNS goosebit.device_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    every goosebit.device_query := q;
BEGIN
    every.condition := CASE WHEN ids IS NULL THEN 'true'
                            ELSE 'd.id = ANY ($6)' END;
    every.needs := q.matched_needs;

    EXECUTE 'SELECT pg_catalog.array_agg(ROW(k.mode, k.feed, k.hw_model,'
        ' k.hw_revision, k.assigned, k.matched, v.version)'
        '::goosebit.device_kind)'
        ' FROM (SELECT d.mode, d.feed, d.hw_model, d.hw_revision,'
        ' COALESCE(d.assigned_software_id, 0) AS assigned, '
        || COALESCE(q.matched, 'NULL::int[]') || ' AS matched,'
        ' min(d.id) AS device_id' || goosebit.device_from(every)
        || ' GROUP BY 1, 2, 3, 4, 5'
        || CASE WHEN q.matched IS NULL THEN '' ELSE ', 6' END || ') k'
        ' JOIN goosebit.device x ON x.tenant_id = $2 AND x.id = k.device_id'
        ' CROSS JOIN LATERAL goosebit.target(x, pg_catalog.now()) v'
    INTO q.kinds
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time, ids;

    IF NOT q.keys ? '/target_version' THEN
        q.keys := q.keys
               || goosebit.version_keys(q.tenant_id, 'target_version');
    END IF;
    RETURN q;
END
$$;
COMMENT ON FUNCTION goosebit.device_kinds IS
    'the kinds of devices and the target of each, into the query';


-- Locks the devices that a filter takes, for the verb that comes next in the
-- statement, in the order of all locks. A device that somebody changed
-- meanwhile is judged again as it is then.
CREATE FUNCTION goosebit_admin.device_choose(tenant text, poll_time int,
                                             filter goosebit_admin.filter)
RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
AS $$
DECLARE
    q   goosebit.device_query := goosebit.device_query(
            goosebit.tenant_id(tenant), poll_time, filter);
    ids text[];
BEGIN
    IF 'target' = ANY (q.needs) THEN
        q := goosebit.device_kinds(q, NULL);
    END IF;

    EXECUTE 'SELECT ARRAY(SELECT d.controller_id' || goosebit.device_from(q)
        || ' ORDER BY d.controller_id FOR UPDATE OF d)'
    INTO ids
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time;
    RETURN ids;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_choose IS
    'ids of the devices a filter takes, locked';


CREATE FUNCTION goosebit_admin.device_count(tenant text, poll_time int,
                                            filter goosebit_admin.filter)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
AS $$
DECLARE
    q goosebit.device_query := goosebit.device_query(
          goosebit.tenant_id(tenant), poll_time, filter);
    n bigint;
BEGIN
    IF 'target' = ANY (q.needs) THEN
        q := goosebit.device_kinds(q, NULL);
    END IF;

    EXECUTE 'SELECT count(*)' || goosebit.device_from(q)
    INTO n
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time;
    RETURN n;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_count IS
    'how many devices a filter takes';
