-- Actions: started under the slot lock, ended and cancelled under the lock of
-- their device's row. The caller has taken them.


-- One start at a time in a tenant, until the transaction ends. Taken before
-- any device row; see 00_schema.sql for the order. Always true: a value can
-- be assigned, which costs less than a PERFORM.
CREATE FUNCTION goosebit.slot_lock(tenant_id int)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    SELECT pg_catalog.pg_advisory_xact_lock(1196770121, $1) IS NOT NULL
$$;
COMMENT ON FUNCTION goosebit.slot_lock IS
    'serialises the starts of a tenant, so that bounds hold exactly';


-- Locks devices in the one order and gives their rows; GB001 for an id the
-- tenant does not have. Each verb over devices starts with it.
CREATE FUNCTION goosebit.device_lock(tenant_id int, devices text[])
RETURNS SETOF goosebit.device
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    missing text;
    found   bigint;
BEGIN
    RETURN QUERY
    SELECT d.* FROM goosebit.device d
    WHERE d.tenant_id = device_lock.tenant_id
      AND d.controller_id = ANY (devices)
    ORDER BY d.controller_id
    FOR UPDATE;
    GET DIAGNOSTICS found = ROW_COUNT;

    -- One may be named twice: only then, or where one is missing, look.
    IF found = pg_catalog.cardinality(devices) THEN
        RETURN;
    END IF;

    SELECT u.id INTO missing
    FROM pg_catalog.unnest(devices) AS u (id)
    WHERE NOT EXISTS (SELECT FROM goosebit.device d
                      WHERE d.tenant_id = device_lock.tenant_id
                        AND d.controller_id = u.id)
    LIMIT 1;

    IF missing IS NOT NULL THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('device "%s": not found', missing));
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit.device_lock IS
    'locks device rows in order of controller id; GB001 if one is missing';


-- The next action's id. Real clients fail past 2^31-1, on multiples of ten
-- and below 11: nine of ten numbers, from 11 on.
CREATE FUNCTION goosebit.action_id()
RETURNS int
LANGUAGE sql VOLATILE
AS $$
    SELECT ((pg_catalog.nextval('goosebit.action_seq') * 10 + 89) / 9)::int
$$;
COMMENT ON FUNCTION goosebit.action_id IS 'the next action''s id';


-- Opens the action a decision is due for. The caller holds the slot lock, the
-- device's lock, and has asked decide() under both. place is the ctid of the
-- device's row, as it is under the lock.
CREATE FUNCTION goosebit.action_start(tenant_id int, device_id bigint,
                                      place tid, auto_confirm boolean,
                                      d goosebit.decision)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    nid   int := goosebit.action_id();
    state text := 'open';
    yes   timestamptz;
BEGIN
    IF d.confirm THEN
        IF auto_confirm THEN
            yes := pg_catalog.now();
        ELSE
            state := 'awaiting_confirmation';
        END IF;
    END IF;

    INSERT INTO goosebit.action (tenant_id, device_id, id, software_id,
        version, cause, cause_id, generation, forced, type,
        maintenance_window, state, confirm, confirmed_at, confirmed_by,
        deadline)
    VALUES (action_start.tenant_id, action_start.device_id, nid,
        d.software_id, d.version, d.cause, d.cause_id, d.generation, d.forced,
        d.type, d.maintenance_window, state, d.confirm, yes,
        CASE WHEN yes IS NOT NULL THEN 'auto' END, d.deadline);

    UPDATE goosebit.device x SET open_action_id = nid WHERE x.ctid = place;

    -- Another NGINX may keep that the device waits for a slot.
    INSERT INTO goosebit.change (scope, tenant_id, device_id)
    VALUES ('device', action_start.tenant_id, action_start.device_id);

    RETURN nid;
END
$$;
COMMENT ON FUNCTION goosebit.action_start IS
    'creates the device''s open action, gives its id';


-- Ends an action, or corrects the end the server gave it. new_state is final;
-- final is the device's own word, NULL when the server ends it; with it comes
-- the progress it told, and how many statuses are kept. Every final
-- state but superseded clears force. While another action is open, the
-- device's state and force belong to that one. Where the device ends it,
-- the caller journals if need be. Gives the new state: a value can be assigned,
-- which costs less than a PERFORM.
CREATE FUNCTION goosebit.action_end(tenant_id int, device_id bigint,
                                    action_id int, new_state text,
                                    final text DEFAULT NULL,
                                    progress int DEFAULT NULL,
                                    statuses int DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    installed text;
    ended     record;
BEGIN
    UPDATE goosebit.action a
    SET state = new_state,
        final = COALESCE(action_end.final, a.final),
        progress = CASE WHEN new_state = 'finished' THEN 100
                        WHEN a.ended_at IS NOT NULL THEN a.progress
                        ELSE COALESCE(action_end.progress, a.progress) END,
        ended_at = COALESCE(a.ended_at, pg_catalog.now()),
        statuses = COALESCE(action_end.statuses, a.statuses),
        heard_at = CASE WHEN action_end.final IS NULL THEN a.heard_at
                        ELSE pg_catalog.now() END
    WHERE a.tenant_id = action_end.tenant_id
      AND a.device_id = action_end.device_id
      AND a.id = action_end.action_id
    RETURNING a.type, a.version INTO ended;

    IF new_state = 'finished' AND ended.type <> 'downloadonly' THEN
        installed := ended.version;
    END IF;

    UPDATE goosebit.device d
    SET sw_version = COALESCE(installed, d.sw_version),
        installed_action_id = CASE WHEN installed IS NULL
                                   THEN d.installed_action_id
                                   ELSE action_end.action_id END,
        state = CASE
            WHEN d.open_action_id <> action_end.action_id THEN d.state
            WHEN new_state = 'finished' THEN 'finished'
            WHEN new_state IN ('canceled', 'superseded') THEN 'registered'
            ELSE 'error' END,
        force_update = d.force_update
            AND (new_state = 'superseded'
                 OR COALESCE(d.open_action_id <> action_end.action_id, false)),
        open_action_id = CASE WHEN d.open_action_id = action_end.action_id
                              THEN NULL ELSE d.open_action_id END
    WHERE d.tenant_id = action_end.tenant_id
      AND d.id = action_end.device_id;

    IF action_end.final IS NULL THEN
        INSERT INTO goosebit.change (scope, tenant_id, device_id)
        VALUES ('device', action_end.tenant_id, action_end.device_id);
    END IF;
    RETURN new_state;
END
$$;
COMMENT ON FUNCTION goosebit.action_end IS
    'the one way an action ends: its state, the device''s, version and force';


-- Cancels the open action of a locked device. cause operator and abort end it
-- as canceled, superseded as superseded. An operator asks the device, abort
-- and supersession only one that has fetched it; at_once asks nobody.
-- Answers ended, asked, refused (the device said no before and goes on), or
-- NULL: nothing was open.
CREATE FUNCTION goosebit.action_cancel(tenant_id int, device_id bigint,
                                       cause text, at_once boolean)
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    a record;
BEGIN
    SELECT x.id, x.state, x.fetched_at, x.cancel_refused, x.cancel_cause
    INTO a
    FROM goosebit.action x
    WHERE x.tenant_id = action_cancel.tenant_id
      AND x.device_id = action_cancel.device_id
      AND x.ended_at IS NULL;

    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    IF at_once OR (cause <> 'operator' AND a.fetched_at IS NULL
                   AND a.state <> 'cancelling')
    THEN
        PERFORM goosebit.action_end(action_cancel.tenant_id,
            action_cancel.device_id, a.id,
            CASE cause WHEN 'superseded' THEN 'superseded'
                       ELSE 'canceled' END);
        RETURN 'ended';
    END IF;

    IF a.cancel_refused THEN
        RETURN 'refused';
    END IF;

    -- An operator's cancel outweighs a supersession that was asked before.
    UPDATE goosebit.action x
    SET state = 'cancelling',
        cancel_cause = CASE
            WHEN a.state = 'cancelling'
                 AND action_cancel.cause = 'superseded'
            THEN a.cancel_cause ELSE action_cancel.cause END
    WHERE x.tenant_id = action_cancel.tenant_id
      AND x.device_id = action_cancel.device_id
      AND x.id = a.id;

    PERFORM goosebit.changed('device', action_cancel.tenant_id,
                             device_id => action_cancel.device_id);
    RETURN 'asked';
END
$$;
COMMENT ON FUNCTION goosebit.action_cancel IS
    'cancels a device''s open action: ended, asked, refused, NULL';


-- What a cancelled action ends as.
CREATE FUNCTION goosebit.cancel_state(cancel_cause text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE cancel_cause WHEN 'superseded' THEN 'superseded'
                             ELSE 'canceled' END
$$;
COMMENT ON FUNCTION goosebit.cancel_state IS
    'canceled, or superseded where that was why';
