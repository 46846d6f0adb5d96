-- Who is asking.

CREATE TYPE goosebit.caller AS (
    status       int,      -- 200, 401, 404
    reason       text,     -- of 401 and 404
    tenant_id    int,
    tenant       text,     -- as stored
    poll_time    int,      -- of the tenant, or NULL
    max_updates  int,      -- of the tenant, or NULL
    next         text,     -- register: unknown, or its first token to store
    device_id    bigint,   -- NULL: unknown
    dev          goosebit.device    -- if asked for
);
COMMENT ON TYPE goosebit.caller IS
    'what caller() answers; with 401 and 404 the rest is NULL';


-- Finds tenant and device and checks the credential. Everyone refused gets
-- the same 401, known or not. Digests are compared, so timing tells nothing
-- of a token. whole asks for the device's row: most need but its id, or read it
-- again under its lock, and a row costs to hand on.
-- Two look-ups, not a join: a plan made while tables are small lives on when
-- they have grown, and that of a join may then read them whole.
--
-- scheme is NULL, target, gateway, proven (NGINX vouches: client certificate,
-- trusted header), refused (it knows better) or external (an outside service
-- said yes to this token). auth is the configured mode; the tenant's own beats
-- it. In mode external a token is answered 401 with reason external, which
-- asks the module to ask outside and come again; in the others a yes from
-- outside says nothing, and the token is looked at.
CREATE FUNCTION goosebit.caller(tenant text, device text, scheme text,
                                credential bytea, auth text,
                                whole boolean DEFAULT false)
RETURNS goosebit.caller
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    t      record;
    d      record;
    mode   text;
    passed boolean;
    next   text;
BEGIN
    SELECT x.id, x.name, x.auth, x.poll_time, x.max_updates,
           x.gateway_token, x.gateway_prefix
    INTO t
    FROM goosebit.tenant x
    WHERE x.name_key = pg_catalog.lower(caller.tenant COLLATE "C");

    IF NOT FOUND THEN
        RETURN ROW(404, 'not_found', NULL, NULL, NULL, NULL, NULL,
                   NULL, NULL)::goosebit.caller;
    END IF;

    SELECT x.id, x.token, x.blocked, CASE WHEN whole THEN x END AS dev INTO d
    FROM goosebit.device x
    WHERE x.tenant_id = t.id AND x.controller_id = caller.device;

    mode := COALESCE(t.auth, caller.auth);

    -- Before anything of the device is looked at.
    IF mode = 'external' AND scheme = 'target' THEN
        RETURN ROW(401, 'external', NULL, NULL, NULL, NULL, NULL,
                   NULL, NULL)::goosebit.caller;
    END IF;

    -- Each expression is set up anew in each transaction, those that are not
    -- reached are not. NULL, as for a mode that is none, lets nobody in.
    IF d.blocked OR scheme = 'refused' THEN
        passed := false;
    ELSIF mode = 'off' OR scheme = 'proven' THEN
        passed := true;
    ELSIF scheme = 'gateway' AND credential = t.gateway_token
          AND (t.gateway_prefix IS NULL
               OR pg_catalog.starts_with(caller.device, t.gateway_prefix))
    THEN
        passed := true;
    ELSIF mode = 'external' THEN
        passed := scheme = 'external';
    ELSIF mode IN ('lax', 'setup') AND d.token IS NULL THEN
        passed := true;
    ELSIF mode IN ('strict', 'lax', 'setup') THEN
        passed := scheme IN ('target', 'external') AND credential = d.token;
    END IF;

    IF passed IS NOT TRUE THEN
        RETURN ROW(401, 'unauthorized', NULL, NULL, NULL, NULL, NULL,
                   NULL, NULL)::goosebit.caller;
    END IF;

    IF d.id IS NULL THEN
        next := 'register';
    ELSIF mode = 'setup' AND d.token IS NULL AND credential IS NOT NULL
          AND scheme IN ('target', 'external')
    THEN
        next := 'register';
    END IF;

    RETURN ROW(200, NULL, t.id, t.name, t.poll_time, t.max_updates,
               next, d.id, d.dev)::goosebit.caller;
END
$$;
COMMENT ON FUNCTION goosebit.caller IS
    'tenant, device and whether the credential lets it in';
