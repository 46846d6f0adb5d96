-- gbctl rollout explain: why is it stuck.


-- Devices of a rollout that are not done, by kinds: those of a kind agree in
-- all that decide() reads of a device and its actions. So a million devices
-- cost as many questions as there are kinds. What decide() comes to read
-- belongs in here; t/sql/14_explain.sql compares with every device asked.
CREATE FUNCTION goosebit.rollout_kinds(r goosebit.rollout, poll_time int,
                                       at timestamptz)
RETURNS TABLE (device_id bigint, devices bigint, offline bigint,
               example text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    usual     int;
    filters   boolean;
    downgrade boolean;
BEGIN
    SELECT goosebit.poll_time(NULL, t.poll_time, rollout_kinds.poll_time)
    INTO usual
    FROM goosebit.tenant t WHERE t.id = r.tenant_id;

    SELECT COALESCE(pg_catalog.bool_or(x.filter IS NOT NULL), false),
           COALESCE(pg_catalog.bool_or(x.allow_downgrade), false)
    INTO filters, downgrade
    FROM goosebit.rollout x
    WHERE x.tenant_id = r.tenant_id AND x.feed = r.feed;

    RETURN QUERY
    WITH stuck AS MATERIALIZED (
        SELECT d.id, d.controller_id, d.hw_model, d.hw_revision, d.sw_version,
               d.force_update, d.blocked, d.config_data_at IS NULL AS raw,
               d.open_action_id, d.poll_time,
               CASE WHEN filters THEN ARRAY(
                   SELECT f.id FROM goosebit.rollout f
                   WHERE f.tenant_id = r.tenant_id AND f.feed = r.feed
                     AND f.filter IS NOT NULL AND goosebit.filter_takes(d, f)
                   ORDER BY f.id) ELSE '{}' END AS matched,
               -- of a deleted rollout: downgrade_refused() asks for it
               CASE WHEN downgrade THEN (
                   SELECT i.cause_id FROM goosebit.action i
                   WHERE i.tenant_id = d.tenant_id AND i.device_id = d.id
                     AND i.id = d.installed_action_id AND i.cause = 'rollout'
                     AND NOT EXISTS (SELECT FROM goosebit.rollout g
                                     WHERE g.tenant_id = r.tenant_id
                                       AND g.id = i.cause_id)) END AS gone
        FROM goosebit.rollout_devices(r.tenant_id, r.id) x
        JOIN goosebit.device d
          ON d.tenant_id = r.tenant_id AND d.id = x.device_id
        WHERE x.outcome <> 'success'
    ), decider AS MATERIALIZED (
        SELECT k.hw_model, k.hw_revision, k.matched, v.cause_id
        FROM (SELECT s.hw_model, s.hw_revision, s.matched,
                     pg_catalog.min(s.id) AS id
              FROM stuck s GROUP BY 1, 2, 3) k
        JOIN goosebit.device d ON d.tenant_id = r.tenant_id AND d.id = k.id
        CROSS JOIN LATERAL goosebit.target(d, at) v
    ), last AS MATERIALIZED (
        SELECT DISTINCT ON (a.device_id, a.cause_id) a.device_id, a.cause_id,
               a.state, a.generation, a.type
        FROM goosebit.action a
        WHERE a.tenant_id = r.tenant_id AND a.cause = 'rollout'
          AND a.cause_id IN (SELECT d.cause_id FROM decider d)
          AND a.state <> 'superseded' AND a.ended_at IS NOT NULL
        ORDER BY a.device_id, a.cause_id, a.id DESC
    )
    SELECT pg_catalog.min(s.id), pg_catalog.count(*),
           pg_catalog.count(*) FILTER (WHERE NOT goosebit.online(n.seen_at,
               goosebit.poll_time(s.poll_time, usual, NULL), at)),
           pg_catalog.min(s.controller_id)::text
    FROM stuck s
    JOIN decider k ON k.hw_model = s.hw_model
                  AND k.hw_revision = s.hw_revision
                  AND k.matched = s.matched
    LEFT JOIN last l ON l.device_id = s.id AND l.cause_id = k.cause_id
    LEFT JOIN goosebit.action o
      ON o.tenant_id = r.tenant_id AND o.device_id = s.id
     AND o.id = s.open_action_id AND o.ended_at IS NULL
    LEFT JOIN goosebit.device_seen n
      ON n.tenant_id = r.tenant_id AND n.device_id = s.id
    GROUP BY s.hw_model, s.hw_revision, s.matched, s.sw_version,
             s.force_update, s.blocked, s.raw, s.gone,
             l.state, l.generation, l.type,
             o.state, o.software_id, o.type, o.cancel_refused,
             o.maintenance_window;
END
$$;
COMMENT ON FUNCTION goosebit.rollout_kinds IS
    'devices of a rollout that are not done, one row a kind';


-- The reasons of decide() for every targeted device that is not done, counted:
-- which guard rail stops those, its value, what would release them; in words
-- of one of them, the example. offline: those that have stopped polling, which
-- gets nothing whatever the reason. The planner can't know how many devices
-- rollout_devices() gives; it would look each up, and sort, in twice the time.
CREATE FUNCTION goosebit_admin.rollout_explain(tenant text, rollout text,
                                               poll_time int, max_updates int)
RETURNS TABLE (reason text, devices bigint, offline bigint, example text,
               guard_rail text, value text, explanation text, release text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET enable_nestloop = off
SET enable_mergejoin = off
SET enable_sort = off
AS $$
DECLARE
    tid   int := goosebit.tenant_id(tenant);
    rid   int := goosebit.rollout_find(tid, rollout);
    bound int;
    r     goosebit.rollout;
    dev   goosebit.device;
    d     goosebit.decision;
BEGIN
    SELECT COALESCE(t.max_updates, rollout_explain.max_updates) INTO bound
    FROM goosebit.tenant t WHERE t.id = tid;
    SELECT x.* INTO r FROM goosebit.rollout x
    WHERE x.tenant_id = tid AND x.id = rid;

    FOR reason, devices, offline, example IN
        SELECT CASE WHEN x.blocked THEN 'blocked'
                    ELSE (goosebit.decide(x, bound)).reason END AS why,
               sum(k.devices)::bigint, sum(k.offline)::bigint,
               min(k.example COLLATE "C")
        FROM goosebit.rollout_kinds(r, rollout_explain.poll_time, now()) k
        JOIN goosebit.device x ON x.tenant_id = tid AND x.id = k.device_id
        GROUP BY why
        ORDER BY 2 DESC, why
    LOOP
        dev := goosebit.device_find(tid, example);
        d := goosebit.decide(dev, bound, now(), true);

        SELECT w.says, w.release INTO explanation, release
        FROM goosebit.reason_words(dev, d, now()) w;

        guard_rail := NULL;
        value := NULL;
        SELECT e.rail ->> 'rail', e.rail ->> 'detail'
        INTO guard_rail, value
        FROM jsonb_array_elements(d.rails) WITH ORDINALITY AS e (rail, i)
        WHERE NOT (e.rail ->> 'passed')::boolean
        ORDER BY e.i LIMIT 1;

        IF dev.blocked THEN
            guard_rail := 'not blocked';
            value := 'every request gets 401';
            explanation := 'It is blocked: each of its requests gets 401.';
            release := '"gbctl device unblock"';
        END IF;

        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_explain IS
    'devices that are not done, counted by what stops them';
