-- The polls of many devices that are due: what start() does with each, for less.

-- Takes a batch in the order of its locks, and gives a row for each element, in
-- the same order. The arrays are start()'s parameters; the others are the
-- caller's for all.
--
-- Whom a running rollout makes due without a condition of its own, such as a
-- window or a least version, is started together with the others of the kind, if
-- there is room for all of the batch. The others go to start(), one by one, after
-- it, under the locks that are held by then, and so does the second of two
-- elements of one device; who is not let in goes to poll(). From two on it costs
-- less than as many start(), with eight less than half (ci/sql-cost).
--
-- Look-ups are subqueries with OFFSET 0 for the reasons given at batch().
CREATE FUNCTION goosebit_ddi.starts(tenant text[], device text[], scheme text[],
                                    credential bytea[], auth text[],
                                    poll_time int, max_updates int,
                                    held boolean DEFAULT false)
RETURNS SETOF goosebit_ddi.poll_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n        int := pg_catalog.cardinality(device);
    k        int := 0;
    tenants  int[];
    names    text[];
    times    int[];
    devices  bigint[];
    seen     tid[];         -- where they were when they were let in
    places   tid[];         -- and are, under their locks
    rooms    boolean[];
    room     boolean;
    of       int;           -- whose room
    bound    int;
    versions text[];
    keys     text[];
    key      text;
    runs     text;          -- whose key
    done     text;
    p        goosebit_ddi.poll_row;
BEGIN
    -- Who is not let in locks nothing. caller() has the last word on those who
    -- are let in for other reasons than most.
    SELECT pg_catalog.array_agg(t.id), pg_catalog.array_agg(t.name),
           pg_catalog.array_agg(COALESCE(t.poll_time, starts.poll_time)),
           pg_catalog.array_agg(d.id), pg_catalog.array_agg(d.place)
    INTO tenants, names, times, devices, seen
    FROM pg_catalog.unnest(starts.device) WITH ORDINALITY AS u (device, i)
    LEFT JOIN LATERAL (
        SELECT x.id, x.name, x.poll_time,
               COALESCE(x.auth, starts.auth[u.i]) AS mode
        FROM goosebit.tenant x
        WHERE x.name_key = pg_catalog.lower(starts.tenant[u.i] COLLATE "C")
        OFFSET 0) t ON true
    LEFT JOIN LATERAL (
        SELECT x.id, x.ctid AS place FROM goosebit.device x
        WHERE x.tenant_id = t.id AND x.controller_id = u.device
          AND (goosebit.caller_at_once(scheme[u.i], t.mode, x.blocked)
               OR goosebit.caller_by_token(scheme[u.i], t.mode, x.blocked,
                                           credential[u.i], x.token)
               OR goosebit.caller_else(scheme[u.i], t.mode, x.blocked, x.token)
                  AND goosebit.caller_known(starts.tenant[u.i], u.device,
                                            scheme[u.i], credential[u.i],
                                            starts.auth[u.i]))
        OFFSET 0) d ON true;

    IF held THEN
        done := pg_catalog.set_config('synchronous_commit', 'off', true);
    END IF;

    -- Only starts take slots, and one at a time from here on.
    FOR i IN 1 .. n LOOP
        IF devices[i] IS NOT NULL AND tenants[i] IS DISTINCT FROM of THEN
            of := tenants[i];
            room := goosebit.slot_lock(of);
            SELECT COALESCE(t.max_updates, starts.max_updates) INTO bound
            FROM goosebit.tenant t WHERE t.id = of;
            room := bound IS NULL
                OR bound >= n
                   AND goosebit.slots_taken(of, bound - n + 1, NULL, NULL,
                                            NULL) IS NULL;
        END IF;
        rooms[i] := room;
    END LOOP;

    SELECT pg_catalog.array_agg(d.place), pg_catalog.array_agg(d.sw_version)
    INTO places, versions
    FROM pg_catalog.unnest(devices) WITH ORDINALITY AS u (id, i)
    LEFT JOIN LATERAL (
        SELECT x.ctid AS place, x.sw_version FROM goosebit.device x
        WHERE x.tenant_id = tenants[u.i] AND x.id = u.id
        OFFSET 0
        FOR NO KEY UPDATE) d ON true;

    -- Most of a batch run the same version.
    FOR i IN 1 .. n LOOP
        IF key IS NULL OR versions[i] IS DISTINCT FROM runs THEN
            runs := versions[i];
            key := goosebit.version_key(COALESCE(runs, ''));
        END IF;
        keys[i] := key;
    END LOOP;

    -- A new statement sees all that was done while locks were awaited. A row
    -- that has moved meanwhile is judged anew, by start().
    FOR p IN
        WITH f AS MATERIALIZED (
            SELECT i, x.poll_time, x.installed_action_id, r.id, r.software_id,
                   r.version, r.generation, r.type, r.deadline,
                   CASE WHEN x.mode = 'rollout' AND x.open_action_id IS NULL
                             AND x.config_data_at IS NOT NULL
                             AND NOT x.force_update AND r.state = 'running'
                             AND NOT r.confirm AND r.min_version IS NULL
                             AND r.maintenance_window IS NULL
                             AND a.state IS NULL
                             AND versions[i] IS DISTINCT FROM r.version
                             AND keys[i] COLLATE "C" < r.version_key
                             AND rooms[i] AND places[i] = seen[i]
                             AND (r.max_concurrent IS NULL
                                  OR r.max_concurrent >= n
                                     AND goosebit.slots_taken(tenants[i],
                                             NULL, 'rollout', r.id,
                                             r.max_concurrent - n + 1) IS NULL)
                             AND pg_catalog.array_position(devices,
                                                           devices[i]) = i
                        THEN goosebit.action_id() END AS action_id
            FROM pg_catalog.unnest(places) WITH ORDINALITY AS u (place, i)
            LEFT JOIN LATERAL (
                SELECT d AS row, d.mode, d.feed, d.hw_model, d.hw_revision,
                       d.open_action_id, d.config_data_at, d.force_update,
                       d.poll_time, d.installed_action_id
                FROM goosebit.device d WHERE d.ctid = u.place
                OFFSET 0) x ON true
            LEFT JOIN LATERAL (
                SELECT o.id, o.software_id, o.software_version AS version,
                       o.software_version_key AS version_key, o.generation,
                       o.type, o.confirm, o.maintenance_window,
                       COALESCE(o.deadline, 86400) AS deadline,
                       o.max_concurrent, o.software_min_version AS min_version,
                       o.state
                FROM goosebit.rollout o
                WHERE o.tenant_id = tenants[i] AND o.feed = x.feed
                  AND goosebit.rollout_takes(o, x.row, x.hw_model,
                                             x.hw_revision, pg_catalog.now())
                ORDER BY o.id DESC
                LIMIT 1) r ON true
            LEFT JOIN LATERAL goosebit.attempt_of(tenants[i], devices[i],
                r.software_id, 'rollout', r.id) a ON true
            OFFSET 0
        ), a AS (
            INSERT INTO goosebit.action (tenant_id, device_id, id, software_id,
                version, cause, cause_id, generation, forced, type, state,
                confirm, deadline)
            SELECT tenants[i], devices[i], f.action_id, f.software_id,
                   f.version, 'rollout', f.id, f.generation, false, f.type,
                   'open', false, f.deadline
            FROM f WHERE f.action_id IS NOT NULL
        ), x AS (
            UPDATE goosebit.device x SET open_action_id = f.action_id
            FROM f WHERE x.ctid = places[i] AND f.action_id IS NOT NULL
        ), c AS (
            INSERT INTO goosebit.change (scope, tenant_id, device_id)
            SELECT 'device', tenants[i], devices[i]
            FROM f WHERE f.action_id IS NOT NULL
        )
        SELECT CASE WHEN f.action_id IS NOT NULL THEN 200 END, 'open',
               tenants[i], devices[i], names[i], 'started',
               goosebit.poll_time(f.poll_time, times[i], NULL), false,
               'deploymentBase', f.action_id, f.software_id,
               f.installed_action_id, NULL::text, false, NULL::bigint, false
        FROM f
    LOOP
        k := k + 1;
        IF p.status IS NULL AND places[k] IS NULL THEN
            -- Who was not let in, or is gone, and is let in by now would take
            -- its locks behind others': it is told to come again for that.
            p := goosebit_ddi.poll(tenant[k], device[k], scheme[k],
                credential[k], auth[k], poll_time, max_updates);
        ELSIF p.status IS NULL THEN
            p := goosebit_ddi.start(tenant[k], device[k], scheme[k],
                credential[k], auth[k], poll_time, max_updates, held);
        END IF;
        RETURN NEXT p;
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.starts IS 'start() of many devices at once';
