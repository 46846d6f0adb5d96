-- confirmationBase, and what a device says is installed.

CREATE TYPE goosebit_ddi.confirmation_row AS (
    status        int,
    reason        text,
    tenant_id     int,
    device_id     bigint,
    tenant        text,
    active        boolean,
    initiator     text,
    remark        text,
    activated_at  bigint,     -- Unix milliseconds
    action_id     int         -- that waits; NULL: none does
);


-- confirmationBase; dev is NULL where the caller is refused or unknown.
CREATE FUNCTION goosebit.confirmation_answer(c goosebit.caller,
                                             dev goosebit.device)
RETURNS goosebit_ddi.confirmation_row
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    r goosebit_ddi.confirmation_row;
BEGIN
    r.tenant_id := c.tenant_id;
    r.tenant := c.tenant;

    IF dev.id IS NULL THEN
        r.status := CASE c.status WHEN 200 THEN 404 ELSE c.status END;
        r.reason := COALESCE(c.reason, 'not_found');
        RETURN r;
    END IF;

    r.status := 200;
    r.reason := 'confirmation';
    r.device_id := dev.id;
    r.active := dev.auto_confirm;

    IF dev.auto_confirm THEN
        r.initiator := dev.auto_confirm_initiator;
        r.remark := dev.auto_confirm_remark;
        r.activated_at := EXTRACT(epoch FROM dev.auto_confirm_at) * 1000;
    END IF;

    SELECT x.id INTO r.action_id FROM goosebit.action x
    WHERE x.tenant_id = dev.tenant_id AND x.device_id = dev.id
      AND x.state = 'awaiting_confirmation';

    RETURN r;
END
$$;
COMMENT ON FUNCTION goosebit.confirmation_answer IS
    'whether a device confirms by itself, and what waits for it';


CREATE FUNCTION goosebit_ddi.confirmation_base(tenant text, device text,
                                               scheme text, credential bytea,
                                               auth text)
RETURNS goosebit_ddi.confirmation_row
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c goosebit.caller;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth, true);
    RETURN goosebit.confirmation_answer(c, c.dev);
END
$$;
COMMENT ON FUNCTION goosebit_ddi.confirmation_base IS
    'state of automatic confirmation, and the action that waits';


-- What the device may read of its action before it is confirmed. That it read
-- this does not count as having fetched it: it has not begun.
CREATE FUNCTION goosebit_ddi.confirmation_action(tenant text, device text,
                                                 scheme text, credential bytea,
                                                 auth text, action_id int,
                                                 history int)
RETURNS goosebit_ddi.base_row
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c goosebit.caller;
    a goosebit.action;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    IF c.status <> 200 THEN
        RETURN goosebit.base_none(c);
    END IF;

    SELECT x.* INTO a FROM goosebit.action x
    WHERE x.tenant_id = c.tenant_id AND x.device_id = c.device_id
      AND x.id = confirmation_action.action_id
      AND x.state = 'awaiting_confirmation';

    IF FOUND THEN
        RETURN goosebit.base_answer(c, a, history);
    END IF;

    RETURN goosebit.base_none(c);
END
$$;
COMMENT ON FUNCTION goosebit_ddi.confirmation_action IS
    'the deployment of the action that waits for confirmation';


-- A yes lets the action begin, a no is written down and leaves it waiting.
-- What the device said last may come again: 200, nothing done. 404 where
-- nothing waits for an answer.
CREATE FUNCTION goosebit_ddi.confirmation_feedback(
    tenant text, device text, scheme text, credential bytea, auth text,
    action_id int, confirmation text, code int, details text[],
    max_statuses int DEFAULT NULL)
RETURNS goosebit_ddi.message_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c      goosebit.caller;
    m      goosebit_ddi.message_row;
    a      goosebit.action;
    said   text;
    most   int := COALESCE(max_statuses, 1000);
    logged bigint;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    m := goosebit.message_from(c);
    IF m.status <> 200 THEN
        RETURN m;
    END IF;

    IF confirmation IS NULL OR confirmation NOT IN ('confirmed', 'denied') THEN
        m.status := 400;
        m.reason := 'invalid';
        RETURN m;
    END IF;

    PERFORM FROM goosebit.device d
    WHERE d.tenant_id = c.tenant_id AND d.id = c.device_id
    FOR NO KEY UPDATE;
    SELECT x.* INTO a FROM goosebit.action x
    WHERE x.tenant_id = c.tenant_id AND x.device_id = c.device_id
      AND x.id = confirmation_feedback.action_id;
    m.reason := a.state;

    IF a.state = 'awaiting_confirmation' THEN
        logged := goosebit.feedback_log(a.tenant_id, a.device_id, a.id,
            CASE WHEN a.statuses >= most THEN a.created_at END, 'confirmation',
            confirmation, 'none', NULL, code, details);
        PERFORM goosebit.feedback_heard(a, logged, 'confirmation',
            confirmation, NULL, most, false);
        IF confirmation = 'confirmed' THEN
            PERFORM goosebit.action_confirm(a.tenant_id, a.device_id,
                                            'device');
            m.reason := 'open';
        END IF;
        RETURN m;
    END IF;

    SELECT s.execution INTO said
    FROM goosebit.action_status s
    WHERE s.tenant_id = a.tenant_id AND s.device_id = a.device_id
      AND s.action_id = a.id AND s.at >= a.created_at
      AND s.resource = 'confirmation'
    ORDER BY s.id DESC LIMIT 1;

    IF said IS DISTINCT FROM confirmation THEN
        m.status := 404;
        m.reason := 'not_found';
    END IF;
    RETURN m;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.confirmation_feedback IS
    'takes a device''s yes or no to the action that waits for it';


CREATE FUNCTION goosebit_ddi.auto_confirm(tenant text, device text,
                                          scheme text, credential bytea,
                                          auth text, active boolean,
                                          initiator text, remark text)
RETURNS goosebit_ddi.confirmation_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c   goosebit.caller;
    dev goosebit.device;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);

    IF c.status = 200 THEN
        SELECT d.* INTO dev FROM goosebit.device d
        WHERE d.tenant_id = c.tenant_id AND d.id = c.device_id
        FOR NO KEY UPDATE;
    END IF;

    IF dev.id IS NOT NULL THEN
        dev := goosebit.auto_confirm_set(dev.tenant_id, dev.id, active,
                                         initiator, remark);
    END IF;
    RETURN goosebit.confirmation_answer(c, dev);
END
$$;
COMMENT ON FUNCTION goosebit_ddi.auto_confirm IS
    'a device switches its automatic confirmation on or off';


-- installedBase by PUT: the version that runs, by the device's own word. No
-- action is about it.
CREATE FUNCTION goosebit_ddi.installed_version(tenant text, device text,
                                               scheme text, credential bytea,
                                               auth text, name text,
                                               version text)
RETURNS goosebit_ddi.message_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c goosebit.caller;
    m goosebit_ddi.message_row;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    m := goosebit.message_from(c);
    IF m.status <> 200 THEN
        RETURN m;
    END IF;

    IF name IS NULL OR version IS NULL
       OR pg_catalog.length(name) NOT BETWEEN 1 AND 255
       OR pg_catalog.length(version) NOT BETWEEN 1 AND 255
    THEN
        m.status := 400;
        m.reason := 'invalid';
        RETURN m;
    END IF;

    UPDATE goosebit.device d
    SET sw_version = installed_version.version
    WHERE d.tenant_id = c.tenant_id AND d.id = c.device_id
      AND d.sw_version IS DISTINCT FROM installed_version.version;
    IF FOUND THEN
        PERFORM goosebit.changed('device', c.tenant_id,
                                 device_id => c.device_id);
        m.changed := true;
    END IF;

    IF c.device_id IS NULL THEN
        m.status := 404;
        m.reason := 'not_found';
        RETURN m;
    END IF;

    m.reason := 'installed';
    m.message := 'Updated installed version.';
    RETURN m;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.installed_version IS
    'the version a device says is installed';
