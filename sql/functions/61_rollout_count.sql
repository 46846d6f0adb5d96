-- Rollouts as a status page shows them: of a large fleet they are counted by
-- tick() together with the devices (devices_count()), a slice at a time.


-- The newest 20 that run.
CREATE FUNCTION goosebit.rollouts_running(tenant_id int)
RETURNS TABLE (id int)
LANGUAGE sql STABLE
AS $$
    SELECT r.id FROM goosebit.rollout r
    WHERE r.tenant_id = $1 AND r.state = 'running'
      AND (r.start_at IS NULL OR r.start_at <= pg_catalog.now())
    ORDER BY r.id DESC
    LIMIT 20
$$;
COMMENT ON FUNCTION goosebit.rollouts_running IS
    'rollouts that a status page shows';


-- Begins a count: of the rollouts that run, the newest 20 of each tenant with
-- more than few devices; so a rollout is never counted by halves. Forgets the
-- counts of others.
CREATE FUNCTION goosebit.rollouts_count_begin(few int DEFAULT 10000)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    WITH wanted AS MATERIALIZED (
        SELECT t.tenant_id, r.id
        FROM (SELECT c.tenant_id FROM goosebit.device_count c
              GROUP BY c.tenant_id
              HAVING pg_catalog.sum(c.devices) > few) t
        CROSS JOIN LATERAL goosebit.rollouts_running(t.tenant_id) r
    ), gone AS (
        DELETE FROM goosebit.rollout_count c
        WHERE NOT EXISTS (SELECT FROM wanted w
                          WHERE w.tenant_id = c.tenant_id
                            AND w.id = c.rollout_id)
    )
    INSERT INTO goosebit.rollout_count (tenant_id, rollout_id, outcome)
    SELECT w.tenant_id, w.id, o.outcome
    FROM wanted w
    CROSS JOIN pg_catalog.unnest('{waiting,running,success,failure,rejected,
                                   canceled}'::text[]) AS o (outcome)
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION goosebit.rollouts_count_begin IS
    'says which rollouts the next count is of';


-- Counts on, over the devices from (tenant, device) on up to the last.
CREATE FUNCTION goosebit.rollouts_count(first_tenant int, after bigint,
                                        last_tenant int, upto bigint)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    UPDATE goosebit.rollout_count c
    SET devices_next = c.devices_next + y.devices
    FROM (SELECT x.tenant_id, pg_catalog.array_agg(DISTINCT x.rollout_id)
                     AS rollouts
          FROM goosebit.rollout_count x
          WHERE x.tenant_id BETWEEN first_tenant AND last_tenant
          GROUP BY x.tenant_id) t
    CROSS JOIN LATERAL goosebit.rollout_tally(t.tenant_id, t.rollouts,
        CASE WHEN t.tenant_id = first_tenant THEN after ELSE 0 END,
        CASE WHEN t.tenant_id = last_tenant THEN upto
             ELSE 9223372036854775807 END) y
    WHERE c.tenant_id = t.tenant_id AND c.rollout_id = y.rollout_id
      AND c.outcome = y.outcome
$$;
COMMENT ON FUNCTION goosebit.rollouts_count IS
    'adds a slice of devices to the count of rollouts';


-- Keeps a count that is complete.
CREATE FUNCTION goosebit.rollouts_count_end()
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    UPDATE goosebit.rollout_count c
    SET devices = c.devices_next, devices_next = 0
    WHERE (c.devices, c.devices_next) IS DISTINCT FROM (c.devices_next, 0)
$$;
COMMENT ON FUNCTION goosebit.rollouts_count_end IS
    'makes the count under way the one that is shown';
