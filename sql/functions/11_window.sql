-- Maintenance windows: "[DAYS] HH:MM-HH:MM [ZONE]", DAYS as Mon-Fri or Sat,Sun,
-- ZONE a time zone's name (UTC without). A window past midnight belongs to the
-- day it begins on; from and until the same time is the whole day.


CREATE TYPE goosebit.time_window AS (
    days   boolean[],       -- Monday is 1
    since  time,
    until  time,
    zone   text
);
COMMENT ON TYPE goosebit.time_window IS 'a maintenance window, read';


-- Reads a window, its zone aside. 22023 and others of class 22 for what is
-- none: window_check() shows their messages.
CREATE FUNCTION goosebit.window_read(spec text)
RETURNS goosebit.time_window
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    names  CONSTANT text[] := '{mon,tue,wed,thu,fri,sat,sun}';
    w      goosebit.time_window;
    parts  text[];
    part   text;
    bounds text[];
    a      int;
    b      int;
BEGIN
    parts := pg_catalog.regexp_match(spec,
        '^\s*(?:([A-Za-z,-]+)\s+)?((?:[01]\d|2[0-3]):[0-5]\d|24:00)-'
        || '((?:[01]\d|2[0-3]):[0-5]\d|24:00)'
        || '(?:\s+(\S+))?\s*$');
    IF parts IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'no window such as '
            || '22:00-04:00 or "Mon-Fri 22:00-04:00 Europe/Berlin"';
    END IF;

    w.days := '{f,f,f,f,f,f,f}';
    FOREACH part IN ARRAY pg_catalog.string_to_array(
        pg_catalog.lower(COALESCE(parts[1], 'mon-sun')), ',')
    LOOP
        bounds := pg_catalog.string_to_array(part, '-');
        a := pg_catalog.array_position(names, bounds[1]);
        b := pg_catalog.array_position(names, COALESCE(bounds[2], bounds[1]));
        IF a IS NULL OR b IS NULL OR pg_catalog.cardinality(bounds) > 2 THEN
            RAISE invalid_parameter_value USING MESSAGE =
                pg_catalog.format('"%s" is no day such as Mon or Mon-Fri',
                                  part);
        END IF;
        LOOP
            w.days[a] := true;
            EXIT WHEN a = b;
            a := a % 7 + 1;
        END LOOP;
    END LOOP;

    w.since := parts[2]::time;
    w.until := parts[3]::time;
    w.zone := COALESCE(parts[4], 'UTC');
    RETURN w;
END
$$;
COMMENT ON FUNCTION goosebit.window_read IS
    'a maintenance window as its parts, or an error of class 22';


-- Whether a maintenance window is open. NULL: always. What can't be read is
-- closed: writers check before they store.
CREATE FUNCTION goosebit.window_open(spec text, at timestamptz)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    w     goosebit.time_window;
    here  timestamp;
    today int;
BEGIN
    IF spec IS NULL THEN
        RETURN true;
    END IF;

    -- Its own block, since catching an error costs a subtransaction.
    BEGIN
        w := goosebit.window_read(spec);
        here := at AT TIME ZONE w.zone;
        today := EXTRACT(isodow FROM here);

        IF w.since < w.until THEN
            RETURN w.days[today] AND here::time >= w.since
                   AND here::time < w.until;
        END IF;
        RETURN (w.days[today] AND here::time >= w.since)
            OR (w.days[(today + 5) % 7 + 1] AND here::time < w.until);
    EXCEPTION
        WHEN data_exception THEN
            RETURN false;
    END;
END
$$;
COMMENT ON FUNCTION goosebit.window_open IS
    'whether a maintenance window is open at a time; NULL always is';


-- Before a window is stored: GB007 for what can't be read, and for a zone that
-- no time zone is named by. "UTC+2" and the like would be taken, and mean two
-- hours west. NULL passes.
CREATE FUNCTION goosebit.window_check(spec text)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    w goosebit.time_window;
BEGIN
    IF spec IS NULL THEN
        RETURN;
    END IF;

    IF goosebit.text_broken(spec) IS NOT NULL THEN
        PERFORM goosebit.fail('GB007',
            'window: ' || goosebit.text_broken(spec));
    END IF;

    BEGIN
        w := goosebit.window_read(spec);
    EXCEPTION
        WHEN data_exception THEN
            PERFORM goosebit.fail('GB007', pg_catalog.format('window "%s": %s',
                                                             spec, SQLERRM));
    END;

    IF NOT EXISTS (SELECT FROM pg_catalog.pg_timezone_names z
                   WHERE pg_catalog.lower(z.name) = pg_catalog.lower(w.zone))
    THEN
        PERFORM goosebit.fail('GB007', pg_catalog.format(
            'window "%s": there is no time zone "%s"', spec, w.zone),
            'zones have names such as Europe/Berlin; without one it is UTC');
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit.window_check IS
    'refuses a maintenance window that can''t be read';
