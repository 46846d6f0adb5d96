-- Who gets what, and why not: asked by the poll, by explain and by every dry
-- run.

-- The answer of decide(). A target is (software_id, cause, cause_id).
CREATE TYPE goosebit.decision AS (
    software_id         int,      -- the target; NULL: there is none
    version             text,
    cause               text,     -- rollout, latest, assigned
    cause_id            int,      -- rollout's id, assignment number, 0
    generation          int,      -- of the rollout; older holds are released
    type                text,     -- forced, soft, downloadonly
    confirm             boolean,
    maintenance_window  text,
    deadline            int,      -- seconds of silence
    max_concurrent      int,      -- of the rollout; NULL: no bound
    min_version         text,
    allow_downgrade     boolean,
    paused              boolean,  -- nothing starts, what is open goes on
    forced              boolean,
    action_id           int,      -- the open action; NULL: there is none
    action_state        text,
    action_software_id  int,
    supersede           boolean,  -- the open action no longer has the target
    due                 boolean,  -- something to do under the locks of start()
    reason              text,     -- one word, always there
    rails               jsonb     -- when asked to explain: [{rail,passed,detail}]
);
COMMENT ON TYPE goosebit.decision IS 'what decide() answers';


-- Exact, or by the pattern of a #RE: revision. Inlined into the queries.
CREATE FUNCTION goosebit.revision_fits(wanted text, pattern text, revision text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT wanted = revision OR (pattern IS NOT NULL
                                 AND revision COLLATE "C" ~ pattern)
$$;
COMMENT ON FUNCTION goosebit.revision_fits IS
    'whether a row of software_hardware takes this revision of its model';


CREATE FUNCTION goosebit.software_fits(tenant_id int, software_id int,
                                       hw_model text, hw_revision text)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM goosebit.software_hardware h
        WHERE h.tenant_id = software_fits.tenant_id
          AND h.software_id = software_fits.software_id
          AND h.model = hw_model
          AND goosebit.revision_fits(h.revision, h.pattern, hw_revision));
END
$$;
COMMENT ON FUNCTION goosebit.software_fits IS
    'whether an image is made for this hardware';


-- Seconds between polls: the device's, its tenant's, the caller's; kept to
-- what "sleep" can say (ddi.md, rule 7).
CREATE FUNCTION goosebit.poll_time(device int, tenant int, caller int)
RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT GREATEST(1, LEAST(86399, COALESCE(device, tenant, caller, 60)))
$$;
COMMENT ON FUNCTION goosebit.poll_time IS 'effective poll interval, seconds';


CREATE FUNCTION goosebit.online(seen_at timestamptz, poll_seconds int,
                                at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT seen_at IS NOT NULL
       AND seen_at > at - poll_seconds * interval '1.5 seconds'
$$;
COMMENT ON FUNCTION goosebit.online IS
    'seen within one and a half poll intervals';


-- Whether a maintenance window is open: "[DAYS] HH:MM-HH:MM [ZONE]", DAYS as
-- Mon-Fri or Sat,Sun, ZONE a time zone's name (UTC without). A window past
-- midnight belongs to the day it begins on. NULL: always open. What can't be
-- read is closed: writers check before they store.
CREATE FUNCTION goosebit.window_open(spec text, at timestamptz)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    days    CONSTANT text[] := '{mon,tue,wed,thu,fri,sat,sun}';
    parts   text[];
    part    text;
    bounds  text[];
    open_on boolean[] := '{f,f,f,f,f,f,f}';
    here    timestamp;
    since   time;
    until   time;
    today   int;
    a       int;
    b       int;
BEGIN
    IF spec IS NULL THEN
        RETURN true;
    END IF;

    -- Its own block, since catching an error costs a subtransaction.
    BEGIN
        parts := pg_catalog.regexp_match(spec,
            '^\s*(?:([A-Za-z,-]+)\s+)?([0-2]\d:[0-5]\d)-([0-2]\d:[0-5]\d)'
            || '(?:\s+(\S+))?\s*$');
        IF parts IS NULL THEN
            RETURN false;
        END IF;

        FOREACH part IN ARRAY pg_catalog.string_to_array(
            pg_catalog.lower(COALESCE(parts[1], 'mon-sun')), ',')
        LOOP
            bounds := pg_catalog.string_to_array(part, '-');
            a := pg_catalog.array_position(days, bounds[1]);
            b := pg_catalog.array_position(days, COALESCE(bounds[2], bounds[1]));
            IF a IS NULL OR b IS NULL OR pg_catalog.cardinality(bounds) > 2 THEN
                RETURN false;
            END IF;
            LOOP
                open_on[a] := true;
                EXIT WHEN a = b;
                a := a % 7 + 1;
            END LOOP;
        END LOOP;

        here := at AT TIME ZONE COALESCE(parts[4], 'UTC');
        today := EXTRACT(isodow FROM here);
        since := parts[2]::time;
        until := parts[3]::time;

        IF since < until THEN
            RETURN open_on[today] AND here::time >= since AND here::time < until;
        END IF;
        RETURN (open_on[today] AND here::time >= since)
            OR (open_on[(today + 5) % 7 + 1] AND here::time < until);
    EXCEPTION
        WHEN data_exception THEN
            RETURN false;
    END;
END
$$;
COMMENT ON FUNCTION goosebit.window_open IS
    'whether a maintenance window is open at a time; NULL always is';


-- The target of a device, or the reason why it has none. One table a query,
-- as in caller().
CREATE FUNCTION goosebit.target(dev goosebit.device, at timestamptz)
RETURNS goosebit.decision
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d goosebit.decision;
    f record;
BEGIN
    d.paused := false;

    IF dev.mode = 'rollout' THEN
        -- The newest that counts and fits decides, paused or not.
        SELECT r.id, r.state, r.generation, r.type, r.confirm,
               r.maintenance_window, r.deadline, r.max_concurrent,
               r.allow_downgrade, r.software_id
        INTO f
        FROM goosebit.rollout r
        WHERE r.tenant_id = dev.tenant_id
          AND r.feed = dev.feed
          AND r.state <> 'aborted'
          AND (r.start_at IS NULL OR r.start_at <= at)
          AND goosebit.software_fits(r.tenant_id, r.software_id, dev.hw_model,
                                     dev.hw_revision)
        ORDER BY r.id DESC
        LIMIT 1;

        IF NOT FOUND THEN
            d.reason := goosebit.no_rollout(dev, at);
            RETURN d;
        END IF;

        d.software_id := f.software_id;
        d.cause := 'rollout';
        d.cause_id := f.id;
        d.generation := f.generation;
        d.type := f.type;
        d.confirm := f.confirm;
        d.maintenance_window := f.maintenance_window;
        d.deadline := f.deadline;
        d.max_concurrent := f.max_concurrent;
        d.allow_downgrade := f.allow_downgrade;
        d.paused := f.state = 'paused';

    ELSIF dev.mode = 'latest' THEN
        SELECT h.software_id
        INTO f
        FROM goosebit.software_hardware h
        WHERE h.tenant_id = dev.tenant_id
          AND h.model = dev.hw_model
          AND goosebit.revision_fits(h.revision, h.pattern, dev.hw_revision)
        ORDER BY h.version_key DESC, h.software_id DESC
        LIMIT 1;

        IF NOT FOUND THEN
            d.reason := 'no_compatible_software';
            RETURN d;
        END IF;

        d.software_id := f.software_id;
        d.cause := 'latest';
        d.cause_id := 0;
        d.type := 'forced';
        d.confirm := false;
        d.allow_downgrade := false;

    ELSIF dev.mode = 'assigned' THEN
        IF dev.assigned_software_id IS NULL THEN
            d.reason := 'no_assignment';
            RETURN d;
        END IF;

        IF NOT goosebit.software_fits(dev.tenant_id, dev.assigned_software_id,
                                      dev.hw_model, dev.hw_revision)
        THEN
            d.reason := 'no_compatible_software';
            RETURN d;
        END IF;

        d.software_id := dev.assigned_software_id;
        d.cause := 'assigned';
        d.cause_id := dev.assignment;
        d.type := dev.assigned_type;
        d.confirm := dev.assigned_confirm;
        d.maintenance_window := dev.assigned_window;
        d.allow_downgrade := true;

    ELSE
        d.reason := 'pinned';
        RETURN d;
    END IF;

    SELECT s.version, s.min_version INTO d.version, d.min_version
    FROM goosebit.software s
    WHERE s.tenant_id = dev.tenant_id AND s.id = d.software_id;

    d.generation := COALESCE(d.generation, 0);
    d.deadline := COALESCE(d.deadline, 86400);

    RETURN d;
END
$$;
COMMENT ON FUNCTION goosebit.target IS
    'target of a device by its mode, or the reason for none';


-- Why no rollout of its feed decides for a device.
CREATE FUNCTION goosebit.no_rollout(dev goosebit.device, at timestamptz)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    fits     boolean;
    aborted  boolean;
    counting boolean;
BEGIN
    SELECT pg_catalog.bool_or(r.state <> 'aborted'
                              AND (r.start_at IS NULL OR r.start_at <= at)),
           pg_catalog.bool_or(r.state = 'aborted')
    INTO counting, aborted
    FROM goosebit.rollout r
    WHERE r.tenant_id = dev.tenant_id AND r.feed = dev.feed;

    IF counting THEN
        RETURN 'no_compatible_software';
    END IF;

    IF aborted THEN
        RETURN 'aborted';
    END IF;

    RETURN 'no_rollout';
END
$$;
COMMENT ON FUNCTION goosebit.no_rollout IS
    'no_rollout, aborted or no_compatible_software';


-- Whether going back to an older version is refused: unless the rollout
-- allows it, and always where a newer rollout of the feed was aborted or
-- deleted, since an abort never makes an older one downgrade anyone.
CREATE FUNCTION goosebit.downgrade_refused(dev goosebit.device,
                                           d goosebit.decision)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF goosebit.version_compare(d.version, COALESCE(dev.sw_version, '')) >= 0
    THEN
        RETURN false;
    END IF;

    IF NOT d.allow_downgrade THEN
        RETURN true;
    END IF;

    IF d.cause <> 'rollout' THEN
        RETURN false;
    END IF;

    RETURN EXISTS (SELECT FROM goosebit.rollout r
                   WHERE r.tenant_id = dev.tenant_id
                     AND r.feed = dev.feed
                     AND r.id > d.cause_id
                     AND r.state = 'aborted'
                     AND goosebit.software_fits(r.tenant_id, r.software_id,
                                                dev.hw_model,
                                                dev.hw_revision))
        OR EXISTS (SELECT FROM goosebit.action a
                   WHERE a.tenant_id = dev.tenant_id
                     AND a.device_id = dev.id
                     AND a.id = dev.installed_action_id
                     AND a.cause = 'rollout'
                     AND a.cause_id > d.cause_id
                     AND NOT EXISTS (SELECT FROM goosebit.rollout r
                                     WHERE r.tenant_id = dev.tenant_id
                                       AND r.id = a.cause_id));
END
$$;
COMMENT ON FUNCTION goosebit.downgrade_refused IS
    'whether the target is older than what runs, and may not be';


-- Why the last attempt at a target keeps it from being tried again; NULL if
-- it does not. A supersession holds nothing, and a retry of the rollout
-- releases whatever older generations held, but not what is done.
CREATE FUNCTION goosebit.held(dev goosebit.device, d goosebit.decision)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    a record;
BEGIN
    SELECT x.state, x.generation, x.type INTO a
    FROM goosebit.action x
    WHERE x.tenant_id = dev.tenant_id
      AND x.device_id = dev.id
      AND x.software_id = d.software_id
      AND x.cause = d.cause
      AND x.cause_id = d.cause_id
      AND x.state <> 'superseded'
      AND x.ended_at IS NOT NULL
    ORDER BY x.id DESC
    LIMIT 1;

    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    IF a.state = 'finished' THEN
        RETURN CASE a.type WHEN 'downloadonly' THEN 'downloaded'
                           ELSE 'done_reports_other_version' END;
    END IF;

    IF a.generation < d.generation THEN
        RETURN NULL;
    END IF;

    RETURN CASE a.state WHEN 'canceled' THEN 'canceled'
                        ELSE 'held_after_error' END;
END
$$;
COMMENT ON FUNCTION goosebit.held IS
    'done or hold by the target''s last attempt, as a reason, or NULL';


-- Whether no slot is free: of the tenant over all causes, or of the rollout.
-- Counts at most as far as the bound. Exact only under slot_lock().
CREATE FUNCTION goosebit.slots_taken(dev goosebit.device, d goosebit.decision,
                                     max_updates int)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    bound int;
    taken int;
BEGIN
    SELECT COALESCE(t.max_updates, slots_taken.max_updates) INTO bound
    FROM goosebit.tenant t WHERE t.id = dev.tenant_id;

    IF bound IS NOT NULL THEN
        SELECT pg_catalog.count(*) INTO taken
        FROM (SELECT FROM goosebit.action a
              WHERE a.tenant_id = dev.tenant_id AND a.ended_at IS NULL
              LIMIT bound) x;
        IF taken >= bound THEN
            RETURN pg_catalog.format('%s of %s updates of the tenant are open',
                                     taken, bound);
        END IF;
    END IF;

    IF d.max_concurrent IS NOT NULL THEN
        SELECT pg_catalog.count(*) INTO taken
        FROM (SELECT FROM goosebit.action a
              WHERE a.tenant_id = dev.tenant_id
                AND a.cause = d.cause AND a.cause_id = d.cause_id
                AND a.ended_at IS NULL
              LIMIT d.max_concurrent) x;
        IF taken >= d.max_concurrent THEN
            RETURN pg_catalog.format('%s of %s updates of the rollout are open',
                                     taken, d.max_concurrent);
        END IF;
    END IF;

    RETURN NULL;
END
$$;
COMMENT ON FUNCTION goosebit.slots_taken IS
    'NULL while a slot is free, else which bound is reached';


-- What a device is to be told now, and why. max_updates is the caller's
-- max_concurrent_updates (NULL: none); the tenant's own beats it. With
-- explain every guard rail is asked and answers in rails; the decision is the
-- same. Reads only; start() asks again under the locks.
CREATE FUNCTION goosebit.decide(dev goosebit.device, max_updates int,
                                at timestamptz DEFAULT now(),
                                explain boolean DEFAULT false)
RETURNS goosebit.decision
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d    goosebit.decision;
    a    record;
    word text;
    note text;
BEGIN
    d := goosebit.target(dev, at);
    d.forced := dev.force_update;
    d.supersede := false;
    d.due := false;

    IF explain THEN
        d.rails := goosebit.rail('[]', 'target', d.software_id IS NOT NULL,
            CASE WHEN d.software_id IS NULL THEN d.reason
                 ELSE pg_catalog.format('software %s (%s) by %s%s',
                     d.software_id, d.version, d.cause,
                     CASE d.cause WHEN 'rollout' THEN ' ' || d.cause_id
                                  ELSE '' END) END);
    END IF;

    IF dev.open_action_id IS NOT NULL THEN
        SELECT x.id, x.state, x.software_id, x.type, x.cancel_refused,
               x.maintenance_window
        INTO a
        FROM goosebit.action x
        WHERE x.tenant_id = dev.tenant_id AND x.device_id = dev.id
          AND x.id = dev.open_action_id;
        d.action_id := a.id;
        d.action_state := a.state;
        d.action_software_id := a.software_id;

        d.supersede := a.state <> 'cancelling' AND NOT a.cancel_refused
            AND NOT d.paused
            AND (d.software_id IS NULL OR d.software_id <> a.software_id
                 OR (d.type = 'downloadonly') <> (a.type = 'downloadonly'));
        d.due := d.supersede;
        d.reason := CASE
            WHEN d.supersede THEN 'superseded'
            WHEN a.state = 'open'
                 AND NOT goosebit.window_open(a.maintenance_window, at)
            THEN 'outside_window'
            ELSE a.state END;
        IF explain THEN
            d.rails := goosebit.rail(d.rails, 'open action',
                NOT d.supersede, pg_catalog.format('action %s is %s', a.id,
                CASE WHEN d.supersede THEN 'to be superseded'
                     ELSE a.state END));
        END IF;
        RETURN d;
    END IF;

    IF dev.config_data_at IS NULL THEN
        d.reason := 'not_registered';
    END IF;
    IF explain THEN
        d.rails := goosebit.rail(d.rails, 'registered',
            dev.config_data_at IS NOT NULL, COALESCE(
            'configData since ' || dev.config_data_at, 'no configData yet'));
        d.rails := goosebit.rail(d.rails, 'not blocked', NOT dev.blocked,
            CASE WHEN dev.blocked THEN 'blocked: every request gets 401' END);
    END IF;

    IF d.software_id IS NULL THEN
        RETURN d;
    END IF;

    IF d.reason IS NULL OR explain THEN
        IF NOT d.forced
           AND goosebit.version_same(dev.sw_version, d.version)
        THEN
            d.reason := COALESCE(d.reason, 'up_to_date');
        END IF;
        IF explain THEN
            d.rails := goosebit.rail(d.rails, 'other version',
                d.forced OR goosebit.version_same(dev.sw_version, d.version)
                            IS NOT TRUE,
                pg_catalog.format('runs %s, target is %s%s',
                    COALESCE(dev.sw_version, 'an unknown version'), d.version,
                    CASE WHEN d.forced THEN ', forced' ELSE '' END));
        END IF;
    END IF;

    IF d.reason IS NULL OR explain THEN
        word := goosebit.held(dev, d);
        IF NOT d.forced AND word IS NOT NULL THEN
            d.reason := COALESCE(d.reason, word);
        END IF;
        IF explain THEN
            d.rails := goosebit.rail(d.rails, 'not done or held',
                d.forced OR word IS NULL,
                COALESCE(word, 'no attempt holds this target')
                || CASE WHEN d.forced THEN ', forced' ELSE '' END);
        END IF;
    END IF;

    IF d.paused THEN
        d.reason := COALESCE(d.reason, 'paused');
    END IF;
    IF explain THEN
        d.rails := goosebit.rail(d.rails, 'not paused', NOT d.paused,
            CASE WHEN d.paused THEN pg_catalog.format('rollout %s is paused',
                                                      d.cause_id) END);
    END IF;

    IF d.reason IS NULL OR explain THEN
        IF goosebit.version_compare(COALESCE(dev.sw_version, ''),
                                    d.min_version) < 0
        THEN
            word := 'version_too_old';
        ELSIF goosebit.downgrade_refused(dev, d) THEN
            word := 'downgrade_refused';
        ELSE
            word := NULL;
        END IF;
        d.reason := COALESCE(d.reason, word);
        IF explain THEN
            d.rails := goosebit.rail(d.rails, 'least version',
                word IS DISTINCT FROM 'version_too_old',
                COALESCE('needs at least ' || d.min_version, 'none needed'));
            d.rails := goosebit.rail(d.rails, 'no downgrade',
                word IS DISTINCT FROM 'downgrade_refused',
                CASE WHEN d.allow_downgrade THEN 'downgrade allowed' END);
        END IF;
    END IF;

    IF d.reason IS NULL OR explain THEN
        IF NOT goosebit.window_open(d.maintenance_window, at) THEN
            d.reason := COALESCE(d.reason, 'outside_window');
        END IF;
        IF explain THEN
            d.rails := goosebit.rail(d.rails, 'window',
                goosebit.window_open(d.maintenance_window, at),
                COALESCE(d.maintenance_window, 'none'));
        END IF;
    END IF;

    IF d.reason IS NULL OR explain THEN
        note := goosebit.slots_taken(dev, d, max_updates);
        IF note IS NOT NULL THEN
            d.reason := COALESCE(d.reason, 'concurrency');
        END IF;
        IF explain THEN
            d.rails := goosebit.rail(d.rails, 'concurrency', note IS NULL,
                COALESCE(note, 'a slot is free'));
        END IF;
    END IF;

    IF d.reason IS NULL THEN
        d.reason := 'due';
        d.due := true;
    END IF;

    RETURN d;
END
$$;
COMMENT ON FUNCTION goosebit.decide IS
    'target of a device and whether it is due, with the reason';


CREATE FUNCTION goosebit.rail(rails jsonb, rail text, passed boolean,
                              detail text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
    SELECT rails || pg_catalog.jsonb_build_object('rail', rail,
                        'passed', passed, 'detail', COALESCE(detail, ''))
$$;
COMMENT ON FUNCTION goosebit.rail IS 'one more answered guard rail';


-- The guard rails one row each, in the order they are asked.
CREATE FUNCTION goosebit.decide_explain(dev goosebit.device, max_updates int,
                                        at timestamptz DEFAULT now())
RETURNS TABLE (rail text, passed boolean, detail text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d goosebit.decision := goosebit.decide(dev, max_updates, at, true);
BEGIN
    RETURN QUERY
    SELECT x.rail, x.passed, x.detail
    FROM pg_catalog.jsonb_to_recordset(d.rails)
         AS x (rail text, passed boolean, detail text);
END
$$;
COMMENT ON FUNCTION goosebit.decide_explain IS
    'each guard rail of a device and how it answered';
