-- What the actions of the last hour came to. Of a small fleet that is counted
-- when asked; of a large one tick() keeps it for the time of its last count,
-- and who asks adds what has ended since and takes off what is older by now.


-- Up to when the results are kept that a count at that time leaves: a little
-- before, so that what then was about to commit is not missed.
CREATE FUNCTION goosebit.results_upto(counted_at timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE
AS $$
    SELECT counted_at - interval '10 seconds'
$$;
COMMENT ON FUNCTION goosebit.results_upto IS
    'the end of the hour in result_count';


-- Counts them for tenants with more than few devices, by an index of what has
-- ended.
CREATE FUNCTION goosebit.results_count(at timestamptz,
                                       few int DEFAULT 10000)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    DELETE FROM goosebit.result_count;
    INSERT INTO goosebit.result_count (tenant_id, state, results)
    SELECT t.tenant_id, a.state, pg_catalog.count(*)
    FROM (SELECT c.tenant_id FROM goosebit.device_count c
          GROUP BY c.tenant_id
          HAVING pg_catalog.sum(c.devices) > few) t
    JOIN goosebit.action a
      ON a.tenant_id = t.tenant_id
         AND a.ended_at >= goosebit.results_upto(at) - interval '1 hour'
         AND a.ended_at < goosebit.results_upto(at)
    GROUP BY t.tenant_id, a.state
$$;
COMMENT ON FUNCTION goosebit.results_count IS
    'keeps what the hour before came to, of large fleets';


-- A tenant's, by the state in which they ended. counted_at: of the count to go
-- on from, NULL: none, all are counted.
CREATE FUNCTION goosebit.results(tenant_id int, counted_at timestamptz)
RETURNS TABLE (state text, results bigint)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    since timestamptz := pg_catalog.now() - interval '1 hour';
    upto  timestamptz := goosebit.results_upto(counted_at);
BEGIN
    -- Nothing of what is kept is of this hour.
    IF upto IS NULL OR upto <= since THEN
        RETURN QUERY
        SELECT a.state, pg_catalog.count(*)
        FROM goosebit.action a
        WHERE a.tenant_id = results.tenant_id AND a.ended_at >= since
        GROUP BY a.state;
        RETURN;
    END IF;

    RETURN QUERY
    SELECT x.state, GREATEST(pg_catalog.sum(x.n), 0)::bigint
    FROM (SELECT c.state, c.results AS n FROM goosebit.result_count c
          WHERE c.tenant_id = results.tenant_id
          UNION ALL
          SELECT a.state, 1 FROM goosebit.action a
          WHERE a.tenant_id = results.tenant_id AND a.ended_at >= upto
          UNION ALL
          SELECT a.state, -1 FROM goosebit.action a
          WHERE a.tenant_id = results.tenant_id
            AND a.ended_at >= upto - interval '1 hour'
            AND a.ended_at < since) x
    GROUP BY x.state;
END
$$;
COMMENT ON FUNCTION goosebit.results IS
    'actions of the last hour by the state in which they ended';
