-- Who gets what, and why not: asked by the poll, by explain and by every dry
-- run.

-- The answer of decide(). A target is (software_id, cause, cause_id).
CREATE TYPE goosebit.decision AS (
    software_id         int,      -- the target; NULL: there is none
    version             text,
    version_key         text,     -- of version
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
    rails               jsonb     -- only when asked to explain
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


-- Whether a rollout may decide for its feed by now. Inlined into the queries.
CREATE FUNCTION goosebit.rollout_in_force(state text, start_at timestamptz,
                                          at timestamptz)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT state <> 'aborted' AND (start_at IS NULL OR start_at <= at)
$$;
COMMENT ON FUNCTION goosebit.rollout_in_force IS
    'neither aborted nor yet to start';


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


-- The target of a device, or the reason why it has none. One table a query,
-- as in caller(). Restricted, not unsafe, so that what asks for the targets of
-- many may look through the devices in parallel.
CREATE FUNCTION goosebit.target(dev goosebit.device, at timestamptz)
RETURNS goosebit.decision
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
AS $$
DECLARE
    d   goosebit.decision;
    one record;
BEGIN
    IF dev.mode = 'rollout' THEN
        -- The newest decides, paused or not.
        SELECT ROW(r.software_id, r.software_version, r.software_version_key,
                   'rollout', r.id, r.generation, r.type, r.confirm,
                   r.maintenance_window, COALESCE(r.deadline, 86400),
                   r.max_concurrent, r.software_min_version,
                   r.allow_downgrade, r.state = 'paused', NULL, NULL, NULL,
                   NULL, NULL, NULL, NULL, NULL)::goosebit.decision AS d
        INTO one
        FROM goosebit.rollout r
        WHERE r.tenant_id = dev.tenant_id
          AND r.feed = dev.feed
          AND goosebit.rollout_takes(r, dev, dev.hw_model, dev.hw_revision, at)
        ORDER BY r.id DESC
        LIMIT 1;

        IF NOT FOUND THEN
            d.reason := goosebit.no_rollout(dev, at);
            RETURN d;
        END IF;
        d := one.d;

    ELSIF dev.mode = 'latest' THEN
        SELECT h.software_id, 'latest', 0, 0, 'forced', false, 86400, false,
               false
        INTO d.software_id, d.cause, d.cause_id, d.generation, d.type,
             d.confirm, d.deadline, d.allow_downgrade, d.paused
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

    ELSIF dev.mode = 'assigned' AND dev.assigned_software_id IS NULL THEN
        d.reason := 'no_assignment';
        RETURN d;

    ELSIF dev.mode = 'assigned' THEN
        IF NOT goosebit.software_fits(dev.tenant_id, dev.assigned_software_id,
                                      dev.hw_model, dev.hw_revision)
        THEN
            d.reason := 'no_compatible_software';
            RETURN d;
        END IF;

        d.software_id := dev.assigned_software_id;
        d.cause := 'assigned';
        d.cause_id := dev.assignment;
        d.generation := 0;
        d.type := dev.assigned_type;
        d.confirm := dev.assigned_confirm;
        d.maintenance_window := dev.assigned_window;
        d.deadline := 86400;
        d.allow_downgrade := true;
        d.paused := false;

    ELSE
        d.reason := 'pinned';
        RETURN d;
    END IF;

    -- A rollout knows them.
    IF d.version IS NULL THEN
        SELECT s.version, s.version_key, s.min_version
        INTO d.version, d.version_key, d.min_version
        FROM goosebit.software s
        WHERE s.tenant_id = dev.tenant_id AND s.id = d.software_id;
    END IF;

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
BEGIN
    PERFORM FROM goosebit.rollout r
    WHERE r.tenant_id = dev.tenant_id AND r.feed = dev.feed
      AND goosebit.rollout_in_force(r.state, r.start_at, at)
    LIMIT 1;

    IF FOUND THEN
        -- What fits its hardware has a filter that leaves it out.
        PERFORM FROM goosebit.rollout r
        WHERE r.tenant_id = dev.tenant_id AND r.feed = dev.feed
          AND goosebit.rollout_in_force(r.state, r.start_at, at)
          AND r.filter IS NOT NULL
          AND goosebit.software_fits(r.tenant_id, r.software_id,
                                     dev.hw_model, dev.hw_revision)
        LIMIT 1;
        RETURN CASE WHEN FOUND THEN 'no_rollout'
                    ELSE 'no_compatible_software' END;
    END IF;

    PERFORM FROM goosebit.rollout r
    WHERE r.tenant_id = dev.tenant_id AND r.feed = dev.feed
      AND r.state = 'aborted'
    LIMIT 1;
    RETURN CASE WHEN FOUND THEN 'aborted' ELSE 'no_rollout' END;
END
$$;
COMMENT ON FUNCTION goosebit.no_rollout IS
    'no_rollout, aborted or no_compatible_software';


-- Whether going back to an older version is refused: unless the rollout
-- allows it, and always where a newer rollout of the feed was aborted or
-- deleted, since an abort never makes an older one downgrade anyone.
-- runs is the key of the version that the device runs.
CREATE FUNCTION goosebit.downgrade_refused(dev goosebit.device,
                                           d goosebit.decision, runs text)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF d.version_key COLLATE "C" >= runs COLLATE "C" THEN
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
                                                dev.hw_revision)
                     AND (r.filter IS NULL OR goosebit.filter_takes(dev, r)))
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


-- The last attempt of a device at a target. Inlined into the queries.
CREATE FUNCTION goosebit.attempt_of(tenant_id int, device_id bigint,
                                    software_id int, cause text, cause_id int)
RETURNS TABLE (state text, generation int, type text)
LANGUAGE sql STABLE
AS $$
    SELECT x.state, x.generation, x.type
    FROM goosebit.action x
    WHERE x.tenant_id = $1
      AND x.device_id = $2
      AND x.software_id = $3
      AND x.cause = $4
      AND x.cause_id = $5
      AND x.state <> 'superseded'
      AND x.ended_at IS NOT NULL
    ORDER BY x.id DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION goosebit.attempt_of IS
    'how the last attempt at a target ended';


-- Why the last attempt at a target keeps it from being tried again; NULL if
-- it does not. A supersession holds nothing, and a retry of the rollout
-- releases whatever older generations held, but not what is done.
CREATE FUNCTION goosebit.held(tenant_id int, device_id bigint, software_id int,
                              cause text, cause_id int, generation int)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    a record;
BEGIN
    SELECT x.state, x.generation, x.type INTO a
    FROM goosebit.attempt_of(tenant_id, device_id, software_id, cause,
                             cause_id) x;

    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    IF a.state = 'finished' THEN
        RETURN CASE a.type WHEN 'downloadonly' THEN 'downloaded'
                           ELSE 'done_reports_other_version' END;
    END IF;

    IF a.generation < held.generation THEN
        RETURN NULL;
    END IF;

    RETURN CASE a.state WHEN 'canceled' THEN 'canceled'
                        ELSE 'held_after_error' END;
END
$$;
COMMENT ON FUNCTION goosebit.held IS
    'done or hold by the target''s last attempt, as a reason, or NULL';


-- Whether no slot is free: of the tenant over all causes, or of the rollout.
-- Looks for the open action that is the bound's last, which costs a poll less
-- than to count. Exact only under slot_lock().
CREATE FUNCTION goosebit.slots_taken(tenant_id int, max_updates int,
                                     cause text, cause_id int,
                                     max_concurrent int)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF max_updates IS NOT NULL THEN
        PERFORM FROM goosebit.action a
        WHERE a.tenant_id = slots_taken.tenant_id AND a.ended_at IS NULL
        OFFSET GREATEST(max_updates - 1, 0) LIMIT 1;
        IF FOUND OR max_updates = 0 THEN
            RETURN pg_catalog.format(
                '%1$s of %1$s updates of the tenant are open', max_updates);
        END IF;
    END IF;

    IF max_concurrent IS NOT NULL THEN
        PERFORM FROM goosebit.action a
        WHERE a.tenant_id = slots_taken.tenant_id
          AND a.cause = slots_taken.cause
          AND a.cause_id = slots_taken.cause_id
          AND a.ended_at IS NULL
        OFFSET max_concurrent - 1 LIMIT 1;
        IF FOUND THEN
            RETURN pg_catalog.format(
                '%1$s of %1$s updates of the rollout are open',
                max_concurrent);
        END IF;
    END IF;

    RETURN NULL;
END
$$;
COMMENT ON FUNCTION goosebit.slots_taken IS
    'NULL while a slot is free, else which bound is reached';


-- runs as above.
CREATE FUNCTION goosebit.version_too_old(d goosebit.decision, runs text)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN d.min_version IS NOT NULL
       AND runs COLLATE "C" < goosebit.version_key(d.min_version) COLLATE "C";
END
$$;
COMMENT ON FUNCTION goosebit.version_too_old IS
    'below the least version that the target''s software asks for';


-- The decision where an action is open: it goes on, unless the target is
-- another by now. Same software, whatever wants it, is the same target here:
-- nobody gains from stopping it. A paused rollout stops nothing, and a device
-- that refused to cancel is not asked again.
CREATE FUNCTION goosebit.decide_open(dev goosebit.device, d goosebit.decision,
                                     at timestamptz)
RETURNS goosebit.decision
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    a record;
BEGIN
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
        AND d.paused IS NOT TRUE
        AND (d.software_id IS NULL OR d.software_id <> a.software_id
             OR (d.type = 'downloadonly') <> (a.type = 'downloadonly'));
    d.due := d.supersede;

    IF d.supersede THEN
        d.reason := 'superseded';
    ELSIF a.state = 'open'
          AND NOT goosebit.window_open(a.maintenance_window, at)
    THEN
        d.reason := 'outside_window';
        d.maintenance_window := a.maintenance_window;
    ELSE
        d.reason := a.state;
    END IF;

    RETURN d;
END
$$;
COMMENT ON FUNCTION goosebit.decide_open IS
    'decision for a device with an open action';


-- What a device is to be told now, and why. max_updates is the tenant's own
-- bound or else the caller's max_concurrent_updates (NULL: none); who asks has
-- read the tenant. Reads only; start() asks again under the locks.
-- decide_explain() asks the same guard rails, all of them.
--
-- It runs at every poll, and each expression here is set up anew in each
-- transaction: few of them, and early ends, are what makes a poll cheap. So is
-- not to hand rows on, of which each function would make a copy.
CREATE FUNCTION goosebit.decide(dev goosebit.device, max_updates int,
                                at timestamptz DEFAULT now())
RETURNS goosebit.decision
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d    goosebit.decision;
    runs text;
BEGIN
    d := goosebit.target(dev, at);

    IF dev.open_action_id IS NOT NULL THEN
        d.forced := dev.force_update;
        RETURN goosebit.decide_open(dev, d, at);
    END IF;

    d.due := false;

    IF d.software_id IS NULL OR dev.config_data_at IS NULL THEN
        IF dev.config_data_at IS NULL THEN
            d.reason := 'not_registered';
        END IF;
        RETURN d;
    END IF;

    -- Equal text needs no parsing: that is nearly every poll. Parsing costs
    -- as much as a query, so it is done once, and version_same() is asked
    -- only where it can say yes.
    IF dev.sw_version = d.version AND NOT dev.force_update THEN
        d.reason := 'up_to_date';
        RETURN d;
    END IF;

    runs := goosebit.version_key(COALESCE(dev.sw_version, ''));

    IF NOT dev.force_update THEN
        IF runs = d.version_key
           AND goosebit.version_same(dev.sw_version, d.version)
        THEN
            d.reason := 'up_to_date';
            RETURN d;
        END IF;

        d.reason := goosebit.held(dev.tenant_id, dev.id, d.software_id,
                                  d.cause, d.cause_id, d.generation);
        IF d.reason IS NOT NULL THEN
            RETURN d;
        END IF;
    END IF;

    -- Nearly every time none of these is to be asked: those of a CASE would all
    -- be set up.
    IF d.paused OR d.min_version IS NOT NULL
       OR d.maintenance_window IS NOT NULL
       OR d.version_key COLLATE "C" < runs COLLATE "C"
    THEN
        d.reason := CASE
            WHEN d.paused THEN 'paused'
            WHEN goosebit.version_too_old(d, runs) THEN 'version_too_old'
            WHEN goosebit.downgrade_refused(dev, d, runs)
            THEN 'downgrade_refused'
            WHEN NOT goosebit.window_open(d.maintenance_window, at)
            THEN 'outside_window' END;
        IF d.reason IS NOT NULL THEN
            RETURN d;
        END IF;
    END IF;

    IF goosebit.slots_taken(dev.tenant_id, max_updates, d.cause, d.cause_id,
                            d.max_concurrent) IS NOT NULL
    THEN
        d.reason := 'concurrency';
        RETURN d;
    END IF;

    d.reason := 'due';
    d.due := true;
    d.forced := dev.force_update;
    RETURN d;
END
$$;
COMMENT ON FUNCTION goosebit.decide(goosebit.device, int, timestamptz) IS
    'target of a device and whether it is due, with the reason';
