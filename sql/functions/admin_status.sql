-- What this database is, and the fleet on one screen.


-- The same digest that gbctl was built with, when nothing differs: names and
-- checksums of all migrations and of the reloaded rest, in byte order.
CREATE FUNCTION goosebit_admin.schema_version()
RETURNS TABLE (digest text, last int)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(sha256(convert_to(
               string_agg(m.name || ' ' || m.sha256, E'\n'
                          ORDER BY m.name COLLATE "C"), 'UTF8')), 'hex'),
           COALESCE(max(substring(m.name FROM '^[0-9]{4}')::int), 0)
    FROM goosebit.migration m
$$;
COMMENT ON FUNCTION goosebit_admin.schema_version IS
    'digest of the applied schema, and its newest migration';


-- The same row by row: "db status" of who may not read the table.
CREATE FUNCTION goosebit_admin.schema_migrations()
RETURNS TABLE (name text, sha256 text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.name, m.sha256 FROM goosebit.migration m
    ORDER BY m.name COLLATE "C"
$$;
COMMENT ON FUNCTION goosebit_admin.schema_migrations IS
    'checksums of what was applied';


-- One row, as cheap for a big fleet as for a small one: its devices and
-- rollouts are those of the last whole count, of which counted says how old
-- it is; NULL: the first is still under way. Open actions and results are as
-- of now. Rollouts are the newest 20 that
-- are running; of one that was not yet counted only what runs is known.
CREATE FUNCTION goosebit_admin.status(tenant text, poll_time int)
RETURNS TABLE (
    tenant_name text, devices bigint, online bigint, states json, actions json,
    rollouts json, last_hour json, counted timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET enable_sort = off
AS $$
DECLARE
    t    goosebit.tenant;
    many boolean;
BEGIN
    SELECT * INTO t FROM goosebit.tenant x
    WHERE x.id = goosebit.tenant_id(status.tenant);

    tenant_name := t.name;

    SELECT COALESCE(sum(c.devices), 0)::bigint,
           COALESCE(sum(c.online), 0)::bigint,
           json_object_agg(w.state, COALESCE(c.devices, 0) ORDER BY w.i),
           COALESCE(bool_or(c.counted_at IS DISTINCT FROM now())
                    FILTER (WHERE c.tenant_id IS NOT NULL), false),
           min(c.counted_at)
    INTO devices, online, states, many, counted
    FROM unnest('{unknown,registered,running,error,finished}'::text[])
         WITH ORDINALITY AS w (state, i)
    LEFT JOIN goosebit.device_counts(t.id, status.poll_time) c
        USING (state);

    IF NOT many THEN
        counted := now();
    END IF;

    SELECT COALESCE(json_object_agg(c.state, c.n ORDER BY c.state), '{}')
    INTO actions
    FROM (SELECT a.state, count(*) AS n
          FROM goosebit.action a
          WHERE a.tenant_id = t.id AND a.ended_at IS NULL
          GROUP BY a.state) c;

    SELECT COALESCE(json_agg(json_build_object(
               'id', r.id, 'name', r.name, 'feed', r.feed,
               'version', w.version, 'targeted', c.targeted,
               'waiting', c.waiting, 'running', COALESCE(c.running,
                   (SELECT count(*) FROM goosebit.action a
                    WHERE a.tenant_id = t.id AND a.cause = 'rollout'
                      AND a.cause_id = r.id AND a.ended_at IS NULL)),
               'success', c.success, 'failure', c.failure)
               ORDER BY r.id DESC), '[]')
    INTO rollouts
    FROM goosebit.rollout_counts(t.id,
             ARRAY(SELECT x.id FROM goosebit.rollouts_running(t.id) x),
             many) c
    JOIN goosebit.rollout r ON r.tenant_id = t.id AND r.id = c.rollout_id
    JOIN goosebit.software w
      ON w.tenant_id = r.tenant_id AND w.id = r.software_id
    WHERE c.state = 'running';

    SELECT json_object_agg(w.state, COALESCE(c.results, 0) ORDER BY w.i)
    INTO last_hour
    FROM unnest('{finished,error,rejected,canceled,timed_out}'::text[])
         WITH ORDINALITY AS w (state, i)
    LEFT JOIN goosebit.results(t.id, CASE WHEN many THEN counted END) c
        USING (state);

    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.status IS
    'devices by state, online, open actions, rollouts, last hour''s results';
