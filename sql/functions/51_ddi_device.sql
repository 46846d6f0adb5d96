-- What a device says of itself and reads of its actions.

CREATE TYPE goosebit_ddi.message_row AS (
    status     int,
    reason     text,
    tenant_id  int,
    device_id  bigint,
    tenant     text,
    message    text,
    changed    boolean  -- journalled, for whoever has called to act on at once
);

CREATE TYPE goosebit_ddi.base_row AS (
    status             int,
    reason             text,
    tenant_id          int,
    device_id          bigint,
    tenant             text,
    action_id          int,
    download           text,
    update             text,
    maintenance_window text,
    software_id        int,
    version            text,
    name               text,
    filename           text,
    size               bigint,
    sha1               text,
    md5                text,
    sha256             text,
    uri                text,
    action_status      text,
    history            text[],
    message            text,       -- these two as in message_row: in a batch
    changed            boolean
);

CREATE TYPE goosebit_ddi.cancel_row AS (
    status     int,
    reason     text,
    tenant_id  int,
    device_id  bigint,
    tenant     text,
    stop_id    int
);

CREATE TYPE goosebit_ddi.artifact_row AS (
    status     int,
    reason     text,
    tenant_id  int,
    device_id  bigint,
    tenant     text,
    sha256     text,
    sha1       text,
    md5        text,
    size       bigint,
    filename   text,
    created    bigint,
    uri        text
);


-- A message's row once it is judged. Inlined.
CREATE FUNCTION goosebit.message(c goosebit.caller, status int, reason text,
                                 changed boolean DEFAULT NULL)
RETURNS goosebit_ddi.message_row
LANGUAGE sql IMMUTABLE
AS $$
    SELECT ROW(status, reason, c.tenant_id, c.device_id, c.tenant, NULL,
               changed)::goosebit_ddi.message_row
$$;
COMMENT ON FUNCTION goosebit.message IS 'an admitted caller''s message row';


-- Of whom a message is, or that it is refused. Inlined.
CREATE FUNCTION goosebit.message_from(c goosebit.caller)
RETURNS goosebit_ddi.message_row
LANGUAGE sql IMMUTABLE
AS $$
    SELECT goosebit.message(c, c.status, c.reason)
$$;
COMMENT ON FUNCTION goosebit.message_from IS
    'a message''s row, before it is judged';


-- Attributes after a configData of this mode, before the quota.
CREATE FUNCTION goosebit.attributes_apply(old jsonb, mode text, keys text[],
                                          vals text[])
RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE COALESCE(mode, 'merge')
        WHEN 'merge' THEN old || pg_catalog.jsonb_object(keys, vals)
        WHEN 'replace' THEN pg_catalog.jsonb_object(keys, vals)
        WHEN 'remove' THEN old - keys
        END
$$;
COMMENT ON FUNCTION goosebit.attributes_apply IS
    'merge, replace or remove; NULL for any other mode';


-- configData. Hardware follows the attributes as they are afterwards, the
-- version only what this message says: after an update it is the action's,
-- and an old attribute must not take it back.
CREATE FUNCTION goosebit_ddi.config_data(tenant text, device text, scheme text,
                                         credential bytea, auth text,
                                         mode text, keys text[], vals text[],
                                         max_attributes int DEFAULT NULL)
RETURNS goosebit_ddi.message_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c     goosebit.caller;
    m     goosebit_ddi.message_row;
    dev   goosebit.device;
    old   jsonb;
    new   jsonb;
    model text;
    rev   text;
    ver   text;
    news  boolean;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    m := goosebit.message_from(c);
    IF m.status <> 200 THEN
        RETURN m;
    END IF;

    keys := COALESCE(keys, '{}');
    vals := COALESCE(vals, '{}');

    SELECT x.* INTO dev FROM goosebit.device x
    WHERE x.tenant_id = c.tenant_id AND x.id = c.device_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        m.status := 404;
        m.reason := 'not_found';
        RETURN m;
    END IF;

    IF mode NOT IN ('merge', 'replace', 'remove')
       OR (mode IS DISTINCT FROM 'remove'
           AND pg_catalog.cardinality(keys) <> pg_catalog.cardinality(vals))
       OR EXISTS (SELECT FROM pg_catalog.unnest(keys) AS u (s)
                  WHERE s IS NULL
                     OR pg_catalog.length(s) NOT BETWEEN 1 AND 128)
       OR mode IS DISTINCT FROM 'remove'
          AND EXISTS (SELECT FROM pg_catalog.unnest(vals) AS u (s)
                      WHERE s IS NULL OR pg_catalog.length(s) > 255)
    THEN
        m.status := 400;
        m.reason := 'invalid';
        RETURN m;
    END IF;

    SELECT x.attributes INTO old FROM goosebit.device_attributes x
    WHERE x.tenant_id = dev.tenant_id AND x.device_id = dev.id;
    new := goosebit.attributes_apply(COALESCE(old, '{}'), mode, keys, vals);

    IF (SELECT pg_catalog.count(*) > COALESCE(max_attributes, 100)
        FROM pg_catalog.jsonb_object_keys(new))
    THEN
        m.status := 429;
        m.reason := 'quota_exceeded';
        RETURN m;
    END IF;

    news := old IS DISTINCT FROM new;
    IF news THEN
        INSERT INTO goosebit.device_attributes AS x
            (tenant_id, device_id, attributes)
        VALUES (dev.tenant_id, dev.id, new)
        ON CONFLICT (tenant_id, device_id) DO UPDATE
        SET attributes = EXCLUDED.attributes, updated_at = pg_catalog.now();
    END IF;

    -- gooseBit reads hw_boardname; hw_model wins. What is not said stays on
    -- merge and is "default" again when taken away.
    model := COALESCE(new ->> 'hw_model', new ->> 'hw_boardname',
        CASE COALESCE(mode, 'merge') WHEN 'merge' THEN dev.hw_model END,
        'default');
    rev := COALESCE(new ->> 'hw_revision',
        CASE COALESCE(mode, 'merge') WHEN 'merge' THEN dev.hw_revision END,
        'default');
    ver := dev.sw_version;
    IF mode IS DISTINCT FROM 'remove' AND 'sw_version' = ANY (keys) THEN
        ver := new ->> 'sw_version';
    END IF;

    IF dev.config_data_at IS NULL OR model <> dev.hw_model
       OR rev <> dev.hw_revision OR ver IS DISTINCT FROM dev.sw_version
    THEN
        UPDATE goosebit.device x
        SET hw_model = model,
            hw_revision = rev,
            sw_version = ver,
            config_data_at = COALESCE(x.config_data_at, pg_catalog.now()),
            state = CASE x.state WHEN 'unknown' THEN 'registered'
                                 ELSE x.state END
        WHERE x.tenant_id = dev.tenant_id AND x.id = dev.id;
        news := true;
    END IF;

    IF news AND dev.config_data_at IS NOT NULL THEN
        PERFORM goosebit.changed('device', dev.tenant_id,
                                 device_id => dev.id);
        m.changed := true;
    END IF;

    m.reason := 'config_data';
    m.message := 'Updated swupdate data.';
    RETURN m;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.config_data IS
    'stores what a device says of itself; all of it or nothing';


-- The row of who is refused, or asks for what is not there.
CREATE FUNCTION goosebit.base_none(c goosebit.caller)
RETURNS goosebit_ddi.base_row
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    b goosebit_ddi.base_row;
BEGIN
    b.status := CASE c.status WHEN 200 THEN 404 ELSE c.status END;
    b.reason := CASE c.status WHEN 200 THEN 'not_found' ELSE c.reason END;
    b.tenant_id := c.tenant_id;
    b.device_id := c.device_id;
    b.tenant := c.tenant;
    RETURN b;
END
$$;
COMMENT ON FUNCTION goosebit.base_none IS
    'deploymentBase and installedBase row without an action';


-- The document of one of the device's actions; the caller has decided that
-- it may be read. history: how many messages, newest first, -1 all, 0 none.
CREATE FUNCTION goosebit.base_answer(c goosebit.caller, a goosebit.action,
                                     history int)
RETURNS goosebit_ddi.base_row
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    s        record;
    download text;
    install  text;
    status   text;
    lines    text[];
BEGIN
    SELECT x.version, x.name, x.filename, x.size, x.sha1, x.md5, x.sha256,
           x.uri
    INTO s
    FROM goosebit.software x
    WHERE x.tenant_id = a.tenant_id AND x.id = a.software_id;

    IF NOT FOUND THEN
        RETURN goosebit.base_none(c);
    END IF;

    IF history <> 0 THEN
        lines := ARRAY (
            SELECT u.line
            FROM goosebit.action_status x,
                 pg_catalog.unnest(x.details) WITH ORDINALITY AS u (line, n)
            WHERE x.tenant_id = a.tenant_id AND x.device_id = a.device_id
              AND x.action_id = a.id AND x.at >= a.created_at
            ORDER BY x.id DESC, u.n
            LIMIT CASE WHEN history > 0 THEN history END);
        status := pg_catalog.upper(a.state);
    END IF;

    IF a.type <> 'forced' THEN
        download := CASE a.type WHEN 'soft' THEN 'attempt' END;
        install := CASE a.type WHEN 'soft' THEN 'attempt' ELSE 'skip' END;
    END IF;

    -- At once: each assignment is set up anew in each transaction.
    RETURN ROW(200, a.state, c.tenant_id, a.device_id, c.tenant, a.id,
        COALESCE(download, 'forced'), COALESCE(install, 'forced'),
        CASE WHEN a.maintenance_window IS NOT NULL THEN 'available' END,
        a.software_id, s.version, s.name, s.filename, s.size, s.sha1, s.md5,
        s.sha256, s.uri, status, lines, NULL, NULL)::goosebit_ddi.base_row;
END
$$;
COMMENT ON FUNCTION goosebit.base_answer IS
    'deploymentBase and installedBase row of an action';


-- What the device may read of its action while it is to be carried out. The
-- first read is written down, under the device's lock as whatever writes to an
-- action: from then on a cancel has to ask the device.
CREATE FUNCTION goosebit_ddi.deployment_base(tenant text, device text,
                                             scheme text, credential bytea,
                                             auth text, action_id int,
                                             history int)
RETURNS goosebit_ddi.base_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c   goosebit.caller;
    one record;
    a   goosebit.action;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    IF c.status <> 200 THEN
        RETURN goosebit.base_none(c);
    END IF;

    SELECT x AS action, x.ctid AS place INTO one FROM goosebit.action x
    WHERE x.tenant_id = c.tenant_id AND x.device_id = c.device_id
      AND x.id = deployment_base.action_id;
    a := one.action;

    IF a.state IN ('open', 'running') IS NOT TRUE THEN
        RETURN goosebit.base_none(c);
    END IF;

    IF a.fetched_at IS NULL THEN
        PERFORM FROM goosebit.device x
        WHERE x.tenant_id = c.tenant_id AND x.id = c.device_id
        FOR NO KEY UPDATE;
        UPDATE goosebit.action x SET fetched_at = pg_catalog.now()
        WHERE x.ctid = one.place;
        IF NOT FOUND THEN
            -- Changed while the lock was awaited: once more, with it.
            RETURN goosebit_ddi.deployment_base(tenant, device, scheme,
                       credential, auth, action_id, history);
        END IF;
    END IF;

    RETURN goosebit.base_answer(c, a, history);
END
$$;
COMMENT ON FUNCTION goosebit_ddi.deployment_base IS
    'the deployment of the device''s open action';


CREATE FUNCTION goosebit_ddi.installed_base(tenant text, device text,
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
      AND x.id = installed_base.action_id AND x.state = 'finished';

    IF FOUND THEN
        RETURN goosebit.base_answer(c, a, history);
    END IF;

    RETURN goosebit.base_none(c);
END
$$;
COMMENT ON FUNCTION goosebit_ddi.installed_base IS
    'the deployment of one of the device''s finished actions';


CREATE FUNCTION goosebit_ddi.cancel_action(tenant text, device text,
                                           scheme text, credential bytea,
                                           auth text, action_id int)
RETURNS goosebit_ddi.cancel_row
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c goosebit.caller;
    r goosebit_ddi.cancel_row;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    r.status := c.status;
    r.reason := c.reason;
    IF c.status <> 200 THEN
        RETURN r;
    END IF;

    r.tenant_id := c.tenant_id;
    r.device_id := c.device_id;
    r.tenant := c.tenant;

    SELECT x.id INTO r.stop_id FROM goosebit.action x
    WHERE x.tenant_id = c.tenant_id AND x.device_id = c.device_id
      AND x.id = cancel_action.action_id AND x.state = 'cancelling';

    IF FOUND THEN
        r.reason := 'cancelling';
    ELSE
        r.status := 404;
        r.reason := 'not_found';
    END IF;
    RETURN r;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.cancel_action IS
    'what the device is to stop, while it is being asked';


-- The bytes are for the device whose last action, open or not, is about this
-- software. filename NULL: whatever the software's file is.
CREATE FUNCTION goosebit_ddi.artifact(tenant text, device text, scheme text,
                                      credential bytea, auth text,
                                      software_id int, filename text)
RETURNS goosebit_ddi.artifact_row
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c       goosebit.caller;
    r       goosebit_ddi.artifact_row;
    s       record;
    last_id int;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    r.status := c.status;
    r.reason := c.reason;
    IF c.status <> 200 THEN
        RETURN r;
    END IF;

    r.tenant_id := c.tenant_id;
    r.device_id := c.device_id;
    r.tenant := c.tenant;

    -- An open action is always the newest.
    SELECT x.software_id INTO last_id FROM goosebit.action x
    WHERE x.tenant_id = c.tenant_id AND x.device_id = c.device_id
    ORDER BY x.id DESC LIMIT 1;

    SELECT x.* INTO s FROM goosebit.software x
    WHERE x.tenant_id = c.tenant_id
      AND x.id = artifact.software_id AND x.id = last_id
      AND x.filename = COALESCE(artifact.filename, x.filename);

    IF NOT FOUND THEN
        r.status := 404;
        r.reason := 'not_found';
        RETURN r;
    END IF;

    r.reason := 'artifact';
    r.sha256 := s.sha256;
    r.sha1 := s.sha1;
    r.md5 := s.md5;
    r.size := s.size;
    r.filename := s.filename;
    r.created := EXTRACT(epoch FROM s.created_at)::bigint;
    r.uri := s.uri;
    RETURN r;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.artifact IS
    'where an artifact''s bytes are, for a device that is to have them';
