-- The controller resource: poll, register, start.

-- Every row of goosebit_ddi starts with these five: HTTP status, reason, and
-- who it was.
CREATE TYPE goosebit_ddi.poll_row AS (
    status       int,
    reason       text,
    tenant_id    int,
    device_id    bigint,
    tenant       text,
    next         text,     -- call this first: register, start; or started
    poll_seconds int,
    config_data  boolean,
    link         text,     -- deploymentBase, cancelAction, confirmationBase
    action_id    int,
    software_id  int,
    installed_id int,
    feed         text,     -- the answer depends on its rollouts; NULL: not
    latest       boolean,  -- depends on the images there are
    valid_until  bigint,   -- Unix ms when time may change it; NULL: never
    cacheable    boolean   -- quiet: see 13_change.sql
);


-- Poll row of one that is refused, or not known yet.
CREATE FUNCTION goosebit.poll_stranger(c goosebit.caller, poll_time int)
RETURNS goosebit_ddi.poll_row
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    p goosebit_ddi.poll_row;
BEGIN
    p.status := c.status;
    p.reason := c.reason;
    p.next := c.next;
    p.device_id := c.device_id;

    IF c.status = 200 THEN
        p.reason := 'not_registered';
        p.tenant_id := c.tenant_id;
        p.tenant := c.tenant;
        p.poll_seconds := LEAST(10, goosebit.poll_time(NULL, c.poll_time,
                                        poll_stranger.poll_time));
        p.config_data := true;
    END IF;

    RETURN p;
END
$$;
COMMENT ON FUNCTION goosebit.poll_stranger IS
    'poll row of a device that is refused or unknown';


-- The answer as things stand; reads only. By the statement's clock: the module's
-- polls share transactions, and one that began before a rollout's hour must not
-- say afterwards that it has not come.
--
-- Most polls bring nothing, and what only others need is not reached then: each
-- expression is set up anew in each transaction. start() and register() end
-- with it, rather than all three with a function of less, whose call costs as
-- much as five of those.
CREATE FUNCTION goosebit_ddi.poll(tenant text, device text, scheme text,
                                  credential bytea, auth text, poll_time int,
                                  max_updates int)
RETURNS goosebit_ddi.poll_row
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c           goosebit.caller;
    dev         goosebit.device;
    d           goosebit.decision;
    next        text;
    longest     int;        -- seconds to the next poll
    link        text;
    action_id   int;        -- of the link
    software_id int;
    valid_until bigint;
    news        boolean;    -- like busy NULL, not false
    busy        boolean;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth, true);

    IF c.status <> 200 OR c.next IS NOT NULL THEN
        RETURN goosebit.poll_stranger(c, poll_time);
    END IF;

    dev := c.dev;
    d := goosebit.decide(dev, COALESCE(c.max_updates, max_updates),
                         pg_catalog.statement_timestamp());

    IF d.due THEN
        next := 'start';
        busy := true;
    ELSIF d.action_id IS NOT NULL AND d.reason <> 'outside_window'
          AND (dev.config_data_at IS NOT NULL
               OR d.action_state = 'cancelling')
    THEN
        link := CASE d.action_state
            WHEN 'cancelling' THEN 'cancelAction'
            WHEN 'awaiting_confirmation' THEN 'confirmationBase'
            ELSE 'deploymentBase' END;
        action_id := d.action_id;
        software_id := d.action_software_id;
        busy := true;
    END IF;

    -- Until it has said what it is, a device is only told to stop.
    IF dev.config_data_at IS NULL THEN
        IF link IS NULL THEN
            d.reason := 'not_registered';
        END IF;
        next := NULL;
        longest := 10;
        news := true;
        busy := true;
    END IF;

    IF d.maintenance_window IS NOT NULL AND busy IS NULL THEN
        valid_until := goosebit.quiet_until(d,
                           pg_catalog.statement_timestamp());
    END IF;

    RETURN ROW(200, d.reason, c.tenant_id, dev.id, c.tenant, next,
        LEAST(longest, goosebit.poll_time(dev.poll_time, c.poll_time,
                                          poll_time)),
        news IS TRUE, link, action_id, software_id, dev.installed_action_id,
        CASE dev.mode WHEN 'rollout' THEN dev.feed END,
        dev.mode = 'latest', valid_until, busy IS NULL)::goosebit_ddi.poll_row;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.poll IS
    'answer to a poll, or in next the write that has to come first';


-- Creates the unknown device, or stores setup's first token. Of several that
-- come at once one creates; all are then judged by what is stored.
CREATE FUNCTION goosebit_ddi.register(tenant text, device text, scheme text,
                                      credential bytea, auth text,
                                      poll_time int, max_updates int)
RETURNS goosebit_ddi.poll_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c         goosebit.caller;
    p         goosebit_ddi.poll_row;
    setup     boolean;
    new_token bytea;
    known_id  bigint;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);

    IF c.status = 200 AND c.next = 'register' THEN
        IF c.device_id IS NULL
           AND pg_catalog.octet_length(device) NOT BETWEEN 1 AND 255
        THEN
            p.status := 404;
            p.reason := 'not_found';
            RETURN p;
        END IF;

        SELECT COALESCE(t.auth, register.auth) = 'setup' INTO setup
        FROM goosebit.tenant t WHERE t.id = c.tenant_id;
        IF setup AND scheme IN ('target', 'external') THEN
            new_token := credential;
        END IF;

        IF c.device_id IS NULL THEN
            INSERT INTO goosebit.device (tenant_id, controller_id, token)
            VALUES (c.tenant_id, register.device, new_token)
            ON CONFLICT (tenant_id, controller_id) DO NOTHING;
        END IF;

        UPDATE goosebit.device d SET token = new_token
        WHERE d.tenant_id = c.tenant_id
          AND d.controller_id = register.device
          AND d.token IS NULL AND new_token IS NOT NULL
        RETURNING d.id INTO known_id;
        IF FOUND THEN
            PERFORM goosebit.changed('device', c.tenant_id,
                                     device_id => known_id);
        END IF;
    END IF;

    p := goosebit_ddi.poll(tenant, device, scheme, credential, auth, poll_time,
                           max_updates);
    IF p.device_id IS NOT NULL THEN
        p.next := NULL;
    END IF;
    RETURN p;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.register IS
    'creates an unknown device or stores its first token, then answers';


-- Decides under the slot lock and the device's, and does what is due:
-- supersedes the open action, creates the new one. Takes the slot lock before
-- the device's row. It answers all that poll does, so whoever expects that
-- much is due may ask it alone; "started" in next tells whether it was so.
-- held: the caller keeps the answer until a later commit has waited for the
-- disk, so that this one, with the slot lock, need not.
CREATE FUNCTION goosebit_ddi.start(tenant text, device text, scheme text,
                                   credential bytea, auth text, poll_time int,
                                   max_updates int,
                                   held boolean DEFAULT false)
RETURNS goosebit_ddi.poll_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c     goosebit.caller;
    p     goosebit_ddi.poll_row;
    d     goosebit.decision;
    one   record;
    dev   goosebit.device;
    done  text;
    waits boolean;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);

    IF c.status <> 200 OR c.next IS NOT NULL THEN
        RETURN goosebit.poll_stranger(c, poll_time);
    END IF;

    IF held THEN
        done := pg_catalog.set_config('synchronous_commit', 'off', true);
    END IF;

    done := goosebit.slot_lock(c.tenant_id);
    SELECT x AS dev, x.ctid AS place INTO one FROM goosebit.device x
    WHERE x.tenant_id = c.tenant_id AND x.id = c.device_id
    FOR NO KEY UPDATE;
    dev := one.dev;

    -- Twice: ending a superseded action makes room for the new one.
    FOR i IN 1 .. 2 LOOP
        EXIT WHEN dev.config_data_at IS NULL;
        d := goosebit.decide(dev, COALESCE(c.max_updates, max_updates),
                             pg_catalog.now());
        EXIT WHEN NOT d.due;
        IF d.supersede THEN
            PERFORM goosebit.action_cancel(c.tenant_id, dev.id, 'superseded',
                                           false);
        ELSE
            waits := d.confirm AND NOT dev.auto_confirm;
            RETURN ROW(200,
                CASE WHEN waits THEN 'awaiting_confirmation' ELSE 'open' END,
                c.tenant_id, dev.id, c.tenant, 'started',
                goosebit.poll_time(dev.poll_time, c.poll_time,
                                   start.poll_time),
                false,
                CASE WHEN waits THEN 'confirmationBase'
                                ELSE 'deploymentBase' END,
                goosebit.action_start(c.tenant_id, dev.id, one.place,
                                      dev.auto_confirm, d),
                d.software_id, dev.installed_action_id, NULL, false, NULL,
                false)::goosebit_ddi.poll_row;
        END IF;
        SELECT x AS dev, x.ctid AS place INTO one FROM goosebit.device x
        WHERE x.tenant_id = c.tenant_id AND x.id = c.device_id;
        dev := one.dev;
    END LOOP;

    -- Nothing was due, or it is gone: rare enough to be looked up once more.
    p := goosebit_ddi.poll(tenant, device, scheme, credential, auth, poll_time,
                           max_updates);
    p.next := NULL;
    RETURN p;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.start IS
    'starts or supersedes under the locks what a poll found due, then answers';
