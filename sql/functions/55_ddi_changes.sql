-- What was journalled since a reader last looked, each second from one worker
-- of every NGINX. Read by snapshot: numbers from a sequence become visible out
-- of order, and whoever goes by the highest seen misses those.


-- How many more actions may start: of a feed's rollouts, or, feed NULL, in
-- the whole tenant. NULL: no bound.
CREATE FUNCTION goosebit.slots_free(tenant_id int, feed text, max_updates int)
RETURNS int
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    bound int;
    free  int;
    feeds int;
BEGIN
    SELECT COALESCE(t.max_updates, slots_free.max_updates) INTO bound
    FROM goosebit.tenant t WHERE t.id = slots_free.tenant_id;

    IF bound IS NOT NULL THEN
        SELECT bound - pg_catalog.count(*) INTO free
        FROM (SELECT FROM goosebit.action a
              WHERE a.tenant_id = slots_free.tenant_id AND a.ended_at IS NULL
              LIMIT bound) x;
    END IF;

    IF feed IS NULL OR free <= 0 THEN
        RETURN CASE WHEN free < 0 THEN 0 ELSE free END;
    END IF;

    SELECT CASE WHEN pg_catalog.bool_or(r.max_concurrent IS NULL) THEN NULL
                ELSE pg_catalog.sum(GREATEST(0, r.max_concurrent
                    - (SELECT pg_catalog.count(*)
                       FROM (SELECT FROM goosebit.action a
                             WHERE a.tenant_id = r.tenant_id
                               AND a.cause = 'rollout' AND a.cause_id = r.id
                               AND a.ended_at IS NULL
                             LIMIT r.max_concurrent) x))) END
    INTO feeds
    FROM goosebit.rollout r
    WHERE r.tenant_id = slots_free.tenant_id AND r.feed = slots_free.feed
      AND r.state = 'running';

    RETURN LEAST(free, feeds);
END
$$;
COMMENT ON FUNCTION goosebit.slots_free IS
    'how many waiting devices of a tenant or feed may start, or NULL';


-- Which server this is, and its history: a snapshot means something there. A
-- crash takes back what was committed without waiting for the disk, and gives
-- its transaction numbers out again. It throws the statistics away, too
-- (pgstat_discard_stats()), so when they begin tells of it.
CREATE FUNCTION goosebit.changes_here()
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT c.system_identifier || ':' || pg_catalog.left(
               pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)
           || ':' || pg_catalog.date_part('epoch',
               pg_catalog.pg_stat_get_bgwriter_stat_reset_time())
    FROM pg_catalog.pg_control_system() c
$$;
COMMENT ON FUNCTION goosebit.changes_here IS
    'system identifier, timeline and last crash of the server';


-- prev is the snapshot of the call before, NULL at first. Rows, by kind:
--
--   snapshot  where to go on from next time, once all rows are applied
--   all, tenant, feed, latest
--             what is out of date
--   device    n devices of a tenant: ids of 8 bytes each, big endian
--   free      so many (n) that wait for a slot there may ask again, for those
--             of waiting_tenants and waiting_feeds (NULL: of no feed) with any
--
-- A snapshot says when it was taken, too: a rollout whose hour has come since is
-- a feed that is out of date, though nobody has written a row. So that depends
-- on no tick(), which may be late or wait for a lock. Whoever was answered
-- before that hour was so before this transaction, by the same clock.
--
-- A tenant with more than most devices is out of date as a whole, and all is
-- if there are ten times as many rows. prev is worth nothing on another
-- server or timeline, after a crash, when rows since then may be gone, or where
-- the clock has been set back: all, too.
CREATE FUNCTION goosebit_ddi.changes(prev text, waiting_tenants int[],
                                     waiting_feeds text[], max_updates int,
                                     most int DEFAULT 10000)
RETURNS TABLE (kind text, tenant_id int, feed text, n int, snapshot text,
               devices bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    here text := goosebit.changes_here();
    now  pg_snapshot := pg_current_snapshot();
    at   timestamptz := transaction_timestamp();
    old  pg_snapshot;
    seen timestamptz;
    lost boolean := true;
BEGIN
    RETURN QUERY
    SELECT 'snapshot', NULL::int, NULL::text, NULL::int,
           here || '@' || (extract(epoch FROM at) * 1000000)::bigint || '@'
           || now, NULL::bytea;

    IF prev IS NOT NULL AND starts_with(prev, here || '@') THEN
        old := split_part(prev, '@', 3)::pg_snapshot;
        seen := timestamptz 'epoch' + split_part(prev, '@', 2)::bigint
                                      * interval '1 microsecond';
        SELECT pg_snapshot_xmin(old) < t.change_from
               OR pg_snapshot_xmax(old) > pg_snapshot_xmax(now)
               OR seen > at
        INTO lost
        FROM goosebit.tick_state t;
    END IF;

    IF lost THEN
        RETURN QUERY
        SELECT 'all', NULL::int, NULL::text, NULL::int, NULL::text,
               NULL::bytea;
    ELSE
        -- xid >= xmin(old) and not visible in old, said so that a
        -- transaction that takes hours has nobody read hours of rows.
        RETURN QUERY
        WITH fresh AS MATERIALIZED (
            SELECT f.*
            FROM (SELECT c.* FROM goosebit.change c
                  WHERE c.xid >= pg_snapshot_xmax(old)
                  UNION ALL
                  SELECT c.* FROM pg_snapshot_xip(old) x
                  JOIN goosebit.change c ON c.xid = x) f
            LIMIT 10 * most + 1
        ), total AS MATERIALIZED (
            SELECT count(*) > 10 * most AS over FROM fresh
        ), device AS MATERIALIZED (
            SELECT d.tenant_id, count(*) AS n,
                   string_agg(int8send(d.device_id), '') AS ids
            FROM (SELECT DISTINCT f.tenant_id, f.device_id FROM fresh f
                  WHERE f.scope = 'device') d
            GROUP BY d.tenant_id
        )
        SELECT 'all', NULL::int, NULL::text, NULL::int, NULL::text,
               NULL::bytea
        FROM total WHERE over
        UNION ALL
        SELECT DISTINCT f.scope, f.tenant_id, f.feed, NULL::int, NULL::text,
               NULL::bytea
        FROM fresh f, total
        WHERE f.scope <> 'device' AND NOT over
        UNION ALL
        SELECT CASE WHEN d.n > most THEN 'tenant' ELSE 'device' END,
               d.tenant_id, NULL::text, d.n::int, NULL::text,
               CASE WHEN d.n <= most THEN d.ids END
        FROM device d, total
        WHERE NOT over
        UNION ALL
        SELECT DISTINCT 'feed', r.tenant_id, r.feed, NULL::int, NULL::text,
               NULL::bytea
        FROM goosebit.rollout r
        WHERE r.start_at > seen AND r.start_at <= at AND r.state <> 'aborted';
    END IF;

    IF cardinality(waiting_tenants) > 0 THEN
        RETURN QUERY
        SELECT 'free', w.t, w.f, COALESCE(s.n, 2147483647), NULL::text,
               NULL::bytea
        FROM unnest(waiting_tenants, waiting_feeds) AS w (t, f)
        CROSS JOIN LATERAL (SELECT goosebit.slots_free(w.t, w.f, max_updates)
                            AS n OFFSET 0) s
        WHERE s.n > 0 OR s.n IS NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.changes IS
    'what was journalled since a snapshot, and where slots are free';
