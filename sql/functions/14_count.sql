-- How many devices there are, by tenant and state, and how many are online.
-- Of a small fleet that is counted when asked. A large one is counted by
-- tick(), a slice of it at a time, so that neither a status page nor gbctl
-- ever reads a million rows.


-- Counts on from where the last call stopped, and keeps the sums of a count
-- that is complete. poll_time is the caller's, for online. A count begins at
-- most every ten seconds.
CREATE FUNCTION goosebit.devices_count(at timestamptz, poll_time int,
                                       most int DEFAULT 5000,
                                       few int DEFAULT 10000)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    s    goosebit.tick_state;
    last record;
BEGIN
    SELECT * INTO s FROM goosebit.tick_state;

    IF s.count_tenant IS NULL THEN
        IF s.counted_at > at - interval '10 seconds' AND s.counted_at <= at
        THEN
            RETURN 0;
        END IF;
        s.count_tenant := 0;
        s.count_device := 0;
        PERFORM goosebit.rollouts_count_begin(few);
    END IF;

    WITH slice AS MATERIALIZED (
        SELECT d.tenant_id, d.id, d.state, d.poll_time
        FROM goosebit.device d
        WHERE (d.tenant_id, d.id) > (s.count_tenant, s.count_device)
        ORDER BY d.tenant_id, d.id
        LIMIT most
    ), sums AS (
        INSERT INTO goosebit.device_count AS c
            (tenant_id, state, devices_next, online_next)
        SELECT x.tenant_id, x.state, pg_catalog.count(*),
               pg_catalog.count(*) FILTER (
                   WHERE goosebit.online(e.seen_at,
                       goosebit.poll_time(x.poll_time, t.poll_time,
                                          devices_count.poll_time), at))
        FROM slice x
        JOIN goosebit.tenant t ON t.id = x.tenant_id
        LEFT JOIN goosebit.device_seen e
          ON e.tenant_id = x.tenant_id AND e.device_id = x.id
        GROUP BY x.tenant_id, x.state
        ON CONFLICT (tenant_id, state) DO UPDATE
        SET devices_next = c.devices_next + EXCLUDED.devices_next,
            online_next = c.online_next + EXCLUDED.online_next
    )
    SELECT pg_catalog.count(*) AS n,
           (pg_catalog.array_agg(x.tenant_id
                ORDER BY x.tenant_id DESC, x.id DESC))[1] AS tenant_id,
           (pg_catalog.array_agg(x.id
                ORDER BY x.tenant_id DESC, x.id DESC))[1] AS id
    INTO last
    FROM slice x;

    PERFORM goosebit.rollouts_count(s.count_tenant, s.count_device,
                                    last.tenant_id, last.id)
    WHERE last.n > 0;

    IF last.n = most THEN
        UPDATE goosebit.tick_state t
        SET count_tenant = last.tenant_id, count_device = last.id;
        RETURN last.n;
    END IF;

    UPDATE goosebit.device_count c
    SET devices = c.devices_next, online = c.online_next, devices_next = 0,
        online_next = 0
    WHERE (c.devices, c.online, c.devices_next, c.online_next)
          IS DISTINCT FROM (c.devices_next, c.online_next, 0, 0);
    PERFORM goosebit.rollouts_count_end();
    PERFORM goosebit.results_count(at, few);
    UPDATE goosebit.tick_state t
    SET count_tenant = NULL, count_device = NULL, counted_at = at;
    RETURN last.n;
END
$$;
COMMENT ON FUNCTION goosebit.devices_count IS
    'counts a slice of the devices, gives how many';


-- Devices of a tenant (NULL: of all), online by the caller's poll_time. Exact
-- while there are at most few, or while nobody counts; else as old as
-- counted_at says. Of a large fleet that has never been counted whole: as far
-- as the first count has come, and counted_at is NULL.
CREATE FUNCTION goosebit.device_counts(of_tenant int, poll_time int,
                                       few int DEFAULT 10000)
RETURNS TABLE (tenant_id int, state text, devices bigint, online bigint,
               counted_at timestamptz)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    first boolean;
BEGIN
    SELECT t.counted_at INTO counted_at FROM goosebit.tick_state t
    WHERE GREATEST(t.ran_at, t.counted_at)
          > pg_catalog.now() - interval '1 hour';

    IF FOUND THEN
        first := NOT EXISTS (SELECT FROM goosebit.device_count c
                             WHERE c.devices > 0);

        IF (SELECT COALESCE(pg_catalog.sum(c.devices), 0) > few
            FROM goosebit.device_count c
            WHERE of_tenant IS NULL OR c.tenant_id = of_tenant)
           OR first AND (SELECT t.reltuples > few FROM pg_catalog.pg_class t
                         WHERE t.oid = 'goosebit.device'::regclass)
        THEN
            RETURN QUERY
            SELECT c.tenant_id, c.state,
                   CASE WHEN first THEN c.devices_next ELSE c.devices END,
                   CASE WHEN first THEN c.online_next ELSE c.online END,
                   CASE WHEN NOT first THEN device_counts.counted_at END
            FROM goosebit.device_count c
            WHERE (c.devices > 0 OR first)
              AND (of_tenant IS NULL OR c.tenant_id = of_tenant);
            RETURN;
        END IF;
    END IF;

    RETURN QUERY
    SELECT d.tenant_id, d.state, pg_catalog.count(*),
           pg_catalog.count(*) FILTER (
               WHERE goosebit.online(e.seen_at,
                   goosebit.poll_time(d.poll_time, t.poll_time,
                                      device_counts.poll_time),
                   pg_catalog.now())),
           pg_catalog.now()
    FROM goosebit.tenant t
    JOIN goosebit.device d ON d.tenant_id = t.id
    LEFT JOIN goosebit.device_seen e
      ON e.tenant_id = d.tenant_id AND e.device_id = d.id
    WHERE of_tenant IS NULL OR t.id = of_tenant
    GROUP BY d.tenant_id, d.state;
END
$$;
COMMENT ON FUNCTION goosebit.device_counts IS
    'devices by tenant and state, and how many of them are online';
