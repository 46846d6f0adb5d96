-- How long a quiet answer holds by the clock alone.


-- The next time after at that a maintenance window may open or close; NULL
-- where it never does. Looked at as if the hour were never put forward or
-- back, and where it will be before then, no further than the next half hour.
CREATE FUNCTION goosebit.window_edge(spec text, at timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    parts text[];
    zone  text;
    utc   timestamp := at AT TIME ZONE 'UTC';
    here  timestamp;
    edge  timestamp;
BEGIN
    parts := pg_catalog.regexp_match(spec,
        '([0-2]\d:[0-5]\d)-([0-2]\d:[0-5]\d)(?:\s+(\S+))?\s*$');
    IF parts IS NULL THEN
        RETURN NULL;
    END IF;
    zone := COALESCE(parts[3], 'UTC');

    BEGIN
        here := at AT TIME ZONE zone;
        SELECT min(e) INTO edge
        FROM (SELECT pg_catalog.date_trunc('day', here)
                     + d * interval '1 day' + t::time - here + utc AS e
              FROM pg_catalog.generate_series(0, 1) AS d,
                   pg_catalog.unnest(parts[1:2]) AS t) x
        WHERE e > utc;

        -- Another distance from UTC by then?
        IF (edge AT TIME ZONE 'UTC') AT TIME ZONE zone - edge <> here - utc
        THEN
            edge := LEAST(edge, pg_catalog.date_trunc('hour', utc)
                + CASE WHEN EXTRACT(minute FROM utc) < 30
                       THEN interval '30 minutes' ELSE interval '1 hour' END);
        END IF;
    EXCEPTION
        WHEN data_exception THEN
            RETURN NULL;
    END;

    RETURN edge AT TIME ZONE 'UTC';
END
$$;
COMMENT ON FUNCTION goosebit.window_edge IS
    'until when a maintenance window surely stays as it is';


-- since where a maintenance window is open then, else when it opens next; a
-- window that never does counts as open.
CREATE FUNCTION goosebit.window_opens(spec text, since timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    edge timestamptz := since;
BEGIN
    -- A week has 14 edges, and more where the hour is put forward or back.
    FOR i IN 1 .. 100 LOOP
        IF edge IS NULL OR goosebit.window_open(spec, edge) THEN
            RETURN COALESCE(edge, since);
        END IF;
        edge := goosebit.window_edge(spec, edge);
    END LOOP;
    RETURN since;
END
$$;
COMMENT ON FUNCTION goosebit.window_opens IS
    'when a maintenance window is open, from a time on';


-- When the clock alone may change a decision that does nothing, in Unix
-- milliseconds; NULL: it can't. Only two reasons come after the window was
-- asked; that of an open action has that action's. The start of a rollout is
-- journalled by tick(), which spares every poll a look at what is to come.
CREATE FUNCTION goosebit.quiet_until(d goosebit.decision, at timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF d.reason IN ('outside_window', 'concurrency') THEN
        RETURN pg_catalog.floor(1000 * EXTRACT(epoch FROM
                   goosebit.window_edge(d.maintenance_window, at)));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION goosebit.quiet_until IS
    'until when a decision holds if nothing is written';
