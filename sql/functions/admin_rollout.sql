-- gbctl rollout.
--
-- Whatever keeps devices from starting takes the slot lock first: after
-- "paused" or "aborted" was answered, nothing starts any more.
--
-- What only reads asks rollout_find() first, by itself: a condition below is
-- never looked at where no row comes to it.


-- Devices and actions of a large fleet are counted in hash tables: whoever asks
-- rollout_counts() says so, as the planner takes them for too many.
CREATE FUNCTION goosebit_admin.rollout_list(tenant text)
RETURNS TABLE (
    id int, name text, feed text, software text, state text, stage text,
    targeted bigint, waiting bigint, running bigint, success bigint,
    failure bigint, rejected bigint, canceled bigint, created timestamptz,
    why text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET enable_sort = off
AS $$
    SELECT r.id, r.name, r.feed,
           goosebit.software_label(r.tenant_id, r.software_id),
           c.state, NULL::text, c.targeted, c.waiting, c.running, c.success,
           c.failure, c.rejected, c.canceled, r.created_at, r.state_reason
    FROM goosebit.rollout r
    JOIN goosebit.rollout_counts(goosebit.tenant_id($1), ARRAY(
             SELECT x.id FROM goosebit.rollout x
             WHERE x.tenant_id = goosebit.tenant_id($1))) c
      ON c.rollout_id = r.id
    WHERE r.tenant_id = goosebit.tenant_id($1)
    ORDER BY r.id DESC
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_list IS
    'every rollout of a tenant, newest first';


-- One row; GB001. ended: when it was aborted.
CREATE FUNCTION goosebit_admin.rollout_show(tenant text, rollout text)
RETURNS TABLE (
    id int, name text, feed text, software text, software_id int,
    version text, state text, stage text, targeted bigint, waiting bigint,
    running bigint, success bigint, failure bigint, rejected bigint,
    canceled bigint, created timestamptz, why text, type text,
    confirm boolean, max_concurrent int, deadline int,
    allow_downgrade boolean, filter text, ended timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET enable_sort = off
AS $$
    SELECT goosebit.rollout_find(goosebit.tenant_id($1), $2);

    SELECT r.id, r.name, r.feed, s.name || ':' || s.version, s.id, s.version,
           c.state, NULL::text, c.targeted, c.waiting, c.running, c.success,
           c.failure, c.rejected, c.canceled, r.created_at, r.state_reason,
           r.type, r.confirm, r.max_concurrent, r.deadline, r.allow_downgrade,
           r.filter, r.ended_at
    FROM goosebit.rollout r
    JOIN goosebit.software s
      ON s.tenant_id = r.tenant_id AND s.id = r.software_id
    CROSS JOIN LATERAL goosebit.rollout_counts(r.tenant_id, ARRAY[r.id]) c
    WHERE r.tenant_id = goosebit.tenant_id($1)
      AND r.id = goosebit.rollout_find(goosebit.tenant_id($1), $2)
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_show IS 'all about one rollout';


-- options: feed, name, max_concurrent, deadline (seconds), type, confirm,
-- allow_downgrade, paused, filter (as typed); absent ones have their default.
-- filter is the program of the option. Gives the id.
CREATE FUNCTION goosebit_admin.rollout_create(
    tenant text, software text, options jsonb,
    filter goosebit_admin.filter DEFAULT NULL)
RETURNS TABLE (id int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid int := goosebit.tenant_hold(tenant);
    o   goosebit.rollout := jsonb_populate_record(NULL::goosebit.rollout,
                                                  options);
    new goosebit.rollout;
BEGIN
    IF (o.filter IS NULL) <> (filter IS NULL) THEN
        PERFORM goosebit.fail('GB003', 'a filter needs its program');
    END IF;
    PERFORM goosebit.rollout_filter_check(filter);
    PERFORM goosebit.text_check('feed', o.feed);
    PERFORM goosebit.text_check('name', o.name);

    INSERT INTO goosebit.rollout (tenant_id, software_id, feed, name, state,
        type, confirm, allow_downgrade, max_concurrent, deadline, filter,
        filter_ops, filter_fields, filter_values)
    VALUES (tid, goosebit.software_hold(tid, software),
        COALESCE(o.feed, 'default'), o.name,
        CASE WHEN (options ->> 'paused')::boolean THEN 'paused'
             ELSE 'running' END,
        COALESCE(o.type, 'forced'), COALESCE(o.confirm, false),
        COALESCE(o.allow_downgrade, false), o.max_concurrent, o.deadline,
        o.filter, filter.ops, filter.fields, filter.vals)
    RETURNING * INTO new;

    PERFORM goosebit.rollout_learn(tid, new.id);
    PERFORM goosebit.changed('feed', tid, new.feed);
    PERFORM goosebit.audit_write(tid, 'rollout.create', new.id::text, NULL,
                                 goosebit.rollout_json(new));
    id := new.id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_create IS
    'a feed''s new rollout, deciding from now on';


-- What the audit log keeps of a rollout.
CREATE FUNCTION goosebit.rollout_json(r goosebit.rollout)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.to_jsonb(r)
        - '{tenant_id,created_at,ended_at,start_at,filter_ops,filter_fields,
            filter_values,software_version,software_version_key,
            software_min_version,software_hardware,
            software_patterns}'::text[])
$$;
COMMENT ON FUNCTION goosebit.rollout_json IS 'a rollout for the audit log';


-- Pauses or resumes; GB001, and GB002 where it is aborted. Doing it again is
-- fine.
CREATE FUNCTION goosebit_admin.rollout_pause(tenant text, rollout text,
                                             paused boolean)
RETURNS TABLE (id int, state text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid  int := goosebit.tenant_id(tenant);
    r    goosebit.rollout;
    new  goosebit.rollout;
    want text := CASE WHEN paused THEN 'paused' ELSE 'running' END;
BEGIN
    PERFORM goosebit.slot_lock(tid);
    r := goosebit.rollout_lock(tid, rollout);

    IF r.state = 'aborted' THEN
        PERFORM goosebit.fail('GB002',
            format('rollout "%s": was aborted', rollout),
            'create a new one: an aborted rollout does not come back');
    END IF;

    IF r.state <> want THEN
        UPDATE goosebit.rollout x
        SET state = want,
            state_reason = CASE WHEN paused
                                THEN 'paused by ' || session_user END
        WHERE x.tenant_id = tid AND x.id = r.id
        RETURNING * INTO new;
        PERFORM goosebit.changed('feed', tid, new.feed);
        PERFORM goosebit.audit_write(tid,
            CASE WHEN paused THEN 'rollout.pause' ELSE 'rollout.resume' END,
            r.id::text, goosebit.rollout_json(r), goosebit.rollout_json(new));
    END IF;

    id := r.id;
    state := want;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_pause IS
    'nothing new starts while paused; what is open goes on';


-- Aborts for good and cancels its open actions: those not fetched at once,
-- the others through the device. A row a device with an open action.
CREATE FUNCTION goosebit_admin.rollout_abort(tenant text, rollout text)
RETURNS TABLE (id text, action_id int, result text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid int := goosebit.tenant_id(tenant);
    r   goosebit.rollout;
    new goosebit.rollout;
    d   goosebit.device;
BEGIN
    PERFORM goosebit.slot_lock(tid);
    r := goosebit.rollout_lock(tid, rollout);

    IF r.state <> 'aborted' THEN
        UPDATE goosebit.rollout x
        SET state = 'aborted', ended_at = now(),
            state_reason = 'aborted by ' || session_user
        WHERE x.tenant_id = tid AND x.id = r.id
        RETURNING * INTO new;
        PERFORM goosebit.changed('feed', tid, new.feed);
        PERFORM goosebit.audit_write(tid, 'rollout.abort', r.id::text,
            goosebit.rollout_json(r), goosebit.rollout_json(new));
    END IF;

    FOR d IN SELECT x.* FROM goosebit.device_lock(tid, ARRAY(
                 SELECT y.controller_id
                 FROM goosebit.action a
                 JOIN goosebit.device y
                   ON y.tenant_id = a.tenant_id AND y.id = a.device_id
                 WHERE a.tenant_id = tid AND a.cause = 'rollout'
                   AND a.cause_id = r.id AND a.ended_at IS NULL)) x
    LOOP
        -- It may have ended while its device's lock was awaited.
        CONTINUE WHEN NOT EXISTS (
            SELECT FROM goosebit.action a
            WHERE a.tenant_id = tid AND a.device_id = d.id
              AND a.id = d.open_action_id AND a.cause = 'rollout'
              AND a.cause_id = r.id);
        id := d.controller_id;
        action_id := d.open_action_id;
        result := goosebit.action_cancel(tid, d.id, 'abort', false);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_abort IS
    'ends a rollout and cancels what it has open';


-- Forgets a rollout. GB004 while it has open actions.
CREATE FUNCTION goosebit_admin.rollout_delete(tenant text, rollout text)
RETURNS TABLE (id int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid  int := goosebit.tenant_id(tenant);
    r    goosebit.rollout;
    busy bigint;
BEGIN
    PERFORM goosebit.slot_lock(tid);
    r := goosebit.rollout_lock(tid, rollout);

    SELECT count(*) INTO busy FROM goosebit.action a
    WHERE a.tenant_id = tid AND a.cause = 'rollout' AND a.cause_id = r.id
      AND a.ended_at IS NULL;

    IF busy > 0 THEN
        PERFORM goosebit.fail('GB004',
            format('rollout "%s": %s of its actions are open', rollout, busy),
            format('"gbctl rollout abort %s" cancels them', r.id));
    END IF;

    -- Devices in other feeds that run what it installed may no longer be
    -- downgraded.
    PERFORM goosebit.changed('feed', tid, r.feed);
    INSERT INTO goosebit.change (scope, tenant_id, device_id)
    SELECT 'device', tid, d.id
    FROM goosebit.action a
    JOIN goosebit.device d ON d.tenant_id = tid AND d.id = a.device_id
    WHERE a.tenant_id = tid AND a.cause = 'rollout' AND a.cause_id = r.id
      AND d.installed_action_id = a.id AND d.feed <> r.feed;

    DELETE FROM goosebit.rollout x WHERE x.tenant_id = tid AND x.id = r.id;
    PERFORM goosebit.audit_write(tid, 'rollout.delete', r.id::text,
                                 goosebit.rollout_json(r));
    id := r.id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_delete IS
    'forgets a rollout that has nothing open';


-- Releases what failed, was rejected or canceled, once more. A row a device.
CREATE FUNCTION goosebit_admin.rollout_retry(tenant text, rollout text)
RETURNS TABLE (id text, state text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
AS $$
DECLARE
    tid int := goosebit.tenant_id(tenant);
    r   goosebit.rollout;
    new goosebit.rollout;
BEGIN
    PERFORM goosebit.slot_lock(tid);
    r := goosebit.rollout_lock(tid, rollout);

    IF r.state = 'aborted' THEN
        PERFORM goosebit.fail('GB002',
            format('rollout "%s": was aborted', rollout),
            'create a new one: an aborted rollout does not come back');
    END IF;

    RETURN QUERY
    SELECT d.controller_id, x.outcome
    FROM goosebit.rollout_devices(tid, r.id) x
    JOIN goosebit.device d ON d.tenant_id = tid AND d.id = x.device_id
    WHERE x.outcome IN ('failure', 'rejected', 'canceled')
    ORDER BY d.controller_id;

    UPDATE goosebit.rollout x SET generation = x.generation + 1
    WHERE x.tenant_id = tid AND x.id = r.id
    RETURNING * INTO new;
    PERFORM goosebit.changed('feed', tid, new.feed);
    PERFORM goosebit.audit_write(tid, 'rollout.retry', r.id::text,
        goosebit.rollout_json(r), goosebit.rollout_json(new));
END
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_retry IS
    'offers a rollout again to the devices it failed on';


-- Devices a rollout targets now, with what came of it. outcome NULL: all.
CREATE FUNCTION goosebit_admin.rollout_devices(tenant text, rollout text,
                                               outcome text)
RETURNS TABLE (id text, state text, action_id int, progress int,
               sw_version text, last_seen timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
AS $$
    SELECT goosebit.rollout_find(goosebit.tenant_id($1), $2);

    SELECT d.controller_id, x.outcome, x.action_id, a.progress, d.sw_version,
           s.seen_at
    FROM goosebit.rollout_devices(goosebit.tenant_id($1),
             goosebit.rollout_find(goosebit.tenant_id($1), $2)) x
    JOIN goosebit.device d
      ON d.tenant_id = goosebit.tenant_id($1) AND d.id = x.device_id
    LEFT JOIN goosebit.action a
      ON a.tenant_id = d.tenant_id AND a.device_id = d.id
         AND a.id = x.action_id
    LEFT JOIN goosebit.device_seen s
      ON s.tenant_id = d.tenant_id AND s.device_id = d.id
    WHERE $3 IS NULL OR x.outcome = $3
    ORDER BY d.controller_id
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_devices IS
    'the devices of a rollout, one row each';


-- Whom a verb would touch, as a dry run lists them: pause and resume those that
-- wait, unless it is so already; delete all of its devices, unless it was
-- aborted and is nobody's any more.
CREATE FUNCTION goosebit_admin.rollout_touched(tenant text, rollout text,
                                               verb text)
RETURNS TABLE (id text, state text, action_id int, progress int,
               sw_version text, last_seen timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
AS $$
    SELECT goosebit.rollout_find(goosebit.tenant_id($1), $2);

    SELECT d.*
    FROM goosebit.rollout r,
         LATERAL goosebit_admin.rollout_devices($1, $2, CASE
             WHEN $3 <> 'delete' THEN 'waiting' END) d
    WHERE r.tenant_id = goosebit.tenant_id($1)
      AND r.id = goosebit.rollout_find(goosebit.tenant_id($1), $2)
      AND CASE $3 WHEN 'pause' THEN r.state = 'running'
                  WHEN 'resume' THEN r.state = 'paused'
                  ELSE r.state <> 'aborted' END
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_touched IS
    'the devices for which a verb would change something';


-- Its open actions, oldest first, for a picture of what goes on.
CREATE FUNCTION goosebit_admin.rollout_open(tenant text, rollout text,
                                            row_limit int)
RETURNS TABLE (id text, action_id int, state text, progress int)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT goosebit.rollout_find(goosebit.tenant_id($1), $2);

    SELECT d.controller_id, a.id, a.state, a.progress
    FROM goosebit.action a
    JOIN goosebit.device d
      ON d.tenant_id = a.tenant_id AND d.id = a.device_id
    WHERE a.tenant_id = goosebit.tenant_id($1)
      AND a.cause = 'rollout' AND a.ended_at IS NULL
      AND a.cause_id = goosebit.rollout_find(goosebit.tenant_id($1), $2)
    ORDER BY a.id
    LIMIT $3
$$;
COMMENT ON FUNCTION goosebit_admin.rollout_open IS
    'a rollout''s open actions';
