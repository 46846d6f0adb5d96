-- What needs a clock, called each second by every NGINX.


-- Makes the partitions of a table of history for this month and the next,
-- drops those that ended before its retention. Rows that a missing partition
-- sent to the default one stay there and age with it.
CREATE FUNCTION goosebit.partitions_keep(history text, at timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    first  timestamptz;
    name   text;
    old    record;
    oldest timestamptz;
BEGIN
    SELECT at - r.keep INTO oldest FROM goosebit.retention r
    WHERE r.history = partitions_keep.history;

    FOR i IN 0 .. 1 LOOP
        first := pg_catalog.date_trunc('month', at, 'UTC')
                 + pg_catalog.make_interval(months => i);
        first := pg_catalog.date_trunc('month', first, 'UTC');
        name := history || pg_catalog.to_char(first AT TIME ZONE 'UTC',
                                              '"_y"YYYY"m"MM');
        CONTINUE WHEN pg_catalog.to_regclass('goosebit.' || name) IS NOT NULL;

        -- A month whose rows already went to the default partition can't
        -- have its own any more: it is left as it is.
        BEGIN
            EXECUTE pg_catalog.format(
                'CREATE TABLE goosebit.%I PARTITION OF goosebit.%I '
                || 'FOR VALUES FROM (%L) TO (%L)', name, history, first,
                pg_catalog.date_trunc('month', first + interval '32 days',
                                      'UTC'));
        EXCEPTION
            WHEN check_violation THEN
                NULL;
        END;
    END LOOP;

    FOR old IN
        SELECT c.relname
        FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = pg_catalog.to_regclass('goosebit.' || history)
          AND c.relname ~ '_y[0-9]{4}m[0-9]{2}$'
          AND pg_catalog.to_date(pg_catalog.right(c.relname, 7), 'YYYY"m"MM')
              + interval '1 month' <= oldest AT TIME ZONE 'UTC'
    LOOP
        EXECUTE pg_catalog.format('DROP TABLE goosebit.%I', old.relname);
    END LOOP;

    EXECUTE pg_catalog.format('DELETE FROM goosebit.%I WHERE at < %L',
                              history || '_default', oldest);
END
$$;
COMMENT ON FUNCTION goosebit.partitions_keep IS
    'partitions of a history table: made ahead, dropped when too old';


-- Ends actions silent past their deadline. One that is being cancelled ends
-- as what it was cancelled for; one that waits for a human has no deadline.
CREATE FUNCTION goosebit.deadlines(at timestamptz)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    a     record;
    ended int := 0;
BEGIN
    FOR a IN
        SELECT d.tenant_id, d.id AS device_id, x.id
        FROM goosebit.action x
        JOIN goosebit.device d
          ON d.tenant_id = x.tenant_id AND d.id = x.device_id
        WHERE x.ended_at IS NULL
          AND x.state <> 'awaiting_confirmation'
          AND x.heard_at + x.deadline * interval '1 second' <= at
        ORDER BY d.tenant_id, d.controller_id
        LIMIT 1000
        FOR NO KEY UPDATE OF d SKIP LOCKED
    LOOP
        -- Read again: the device may have spoken before its row was locked.
        PERFORM goosebit.action_end(x.tenant_id, x.device_id, x.id,
            CASE WHEN x.state = 'cancelling'
                 THEN goosebit.cancel_state(x.cancel_cause)
                 ELSE 'timed_out' END)
        FROM goosebit.action x
        WHERE x.tenant_id = a.tenant_id AND x.device_id = a.device_id
          AND x.id = a.id AND x.ended_at IS NULL
          AND x.heard_at + x.deadline * interval '1 second' <= at;
        IF FOUND THEN
            ended := ended + 1;
        END IF;
    END LOOP;

    RETURN ended;
END
$$;
COMMENT ON FUNCTION goosebit.deadlines IS
    'ends silent actions, gives how many';


-- Plans of the module's connections live as long as those, and a plan made
-- for a handful of rows may read a whole index. So a table that has doubled
-- is looked at anew at once, which has all plans on it made again, rather
-- than when autovacuum gets to it.
CREATE FUNCTION goosebit.plans_keep()
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_catalog.pg_class c
        WHERE c.oid = ANY ('{goosebit.device,goosebit.device_attributes,
                             goosebit.device_seen,goosebit.action,
                             goosebit.rollout,goosebit.software,
                             goosebit.software_hardware,
                             goosebit.tenant}'::regclass[])
          AND pg_catalog.pg_relation_size(c.oid)
              > 8192 * (4 + 2 * GREATEST(c.relpages, 0)::bigint)
    LOOP
        EXECUTE pg_catalog.format('ANALYZE goosebit.%I', name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit.plans_keep IS
    'analyzes tables that have doubled since they last were';


-- One NGINX at a time, at most once a second; everyone else returns at once.
-- poll_time is the caller's, to tell who is online.
CREATE FUNCTION goosebit_ddi.tick(poll_time int DEFAULT NULL)
RETURNS TABLE (ran boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s      record;
    at     timestamptz := pg_catalog.clock_timestamp();
    upkeep boolean;
BEGIN
    ran := false;

    IF NOT pg_catalog.pg_try_advisory_xact_lock(1196770122, 0) THEN
        RETURN NEXT;
        RETURN;
    END IF;

    -- A little under a second: callers' clocks jitter around it.
    SELECT t.ran_at, t.upkeep_at INTO s FROM goosebit.tick_state t;
    IF s.ran_at > at - interval '0.9 seconds' AND s.ran_at <= at THEN
        RETURN NEXT;
        RETURN;
    END IF;

    PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);
    PERFORM goosebit.deadlines(at);
    PERFORM goosebit.changes_prune(at);
    PERFORM goosebit.devices_count(at, poll_time);

    upkeep := s.upkeep_at <= at - interval '1 hour' OR s.upkeep_at > at;

    -- Never waits behind a long reader: it comes again, in an hour.
    PERFORM pg_catalog.set_config('lock_timeout', '200ms', true);
    BEGIN
        PERFORM goosebit.plans_keep();
        IF upkeep THEN
            PERFORM goosebit.partitions_keep(r.history, at)
            FROM goosebit.retention r;
        END IF;
    EXCEPTION
        WHEN lock_not_available THEN
            NULL;
    END;

    UPDATE goosebit.tick_state t
    SET ran_at = at, upkeep_at = CASE WHEN upkeep THEN at ELSE t.upkeep_at END;
    ran := true;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.tick IS
    'deadlines, journal, counts, partitions; true when this call did them';


-- The first rows come before the first tick.
DO $$
BEGIN
    PERFORM goosebit.partitions_keep(r.history, pg_catalog.now())
    FROM goosebit.retention r;
END
$$;
