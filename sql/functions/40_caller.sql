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


-- Inlined.
CREATE FUNCTION goosebit.caller_refused(status int, reason text)
RETURNS goosebit.caller
LANGUAGE sql IMMUTABLE
AS $$
    SELECT ROW(status, reason, NULL, NULL, NULL, NULL, NULL, NULL,
               NULL)::goosebit.caller
$$;
COMMENT ON FUNCTION goosebit.caller_refused IS
    'what caller() answers where nobody is let in';


-- What lets most in: NGINX vouches, or nobody is asked. Inlined, here and where
-- many are asked for at once.
CREATE FUNCTION goosebit.caller_at_once(scheme text, mode text,
                                        blocked boolean)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT blocked IS NOT TRUE
           AND (scheme = 'proven'
                OR mode = 'off' AND scheme IS DISTINCT FROM 'refused')
$$;
COMMENT ON FUNCTION goosebit.caller_at_once IS
    'whether a known tenant''s device is let in whatever its credential';


-- The same.
CREATE FUNCTION goosebit.caller_by_token(scheme text, mode text,
                                         blocked boolean, credential bytea,
                                         token bytea)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT blocked IS NOT TRUE AND mode IN ('strict', 'lax', 'setup')
           AND credential = token AND scheme IN ('target', 'external')
$$;
COMMENT ON FUNCTION goosebit.caller_by_token IS
    'whether a device''s own token lets it in';


-- And what is left: without it, and the two above, caller() says no.
CREATE FUNCTION goosebit.caller_else(scheme text, mode text, blocked boolean,
                                     token bytea)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT blocked IS NOT TRUE
           AND (scheme = 'gateway' OR mode = 'external' OR token IS NULL)
$$;
COMMENT ON FUNCTION goosebit.caller_else IS
    'whether a device may be let in though not at once nor by its token';


-- Finds tenant and device and checks the credential. Everyone refused gets
-- the same 401, known or not. Digests are compared, so timing tells nothing
-- of a token. whole asks for the device's row: most need but its id, or read it
-- again under its lock, and a row costs to hand on.
-- Two look-ups, not a join: a plan made while tables are small lives on when
-- they have grown, and that of a join may then read them whole. It would not
-- be cheaper, either.
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
    -- Of the tenant. Not a record, which costs each call a little more.
    t_id           int;
    t_name         text;
    t_poll_time    int;
    t_max_updates  int;
    t_token        bytea;
    t_prefix       text;
    mode           text;
    d              record;
    next           text;
BEGIN
    SELECT x.id, x.name, x.poll_time, x.max_updates, x.gateway_token,
           x.gateway_prefix, COALESCE(x.auth, caller.auth)
    INTO t_id, t_name, t_poll_time, t_max_updates, t_token, t_prefix, mode
    FROM goosebit.tenant x
    WHERE x.name_key = pg_catalog.lower(caller.tenant COLLATE "C");

    -- An unknown tenant has no devices.
    SELECT x.id, x.token, x.blocked, CASE WHEN whole THEN x END AS dev INTO d
    FROM goosebit.device x
    WHERE x.tenant_id = t_id AND x.controller_id = caller.device;

    -- Each expression is set up anew in each transaction, those that are not
    -- reached are not: what lets most in is asked first, at once. Each branch
    -- that lets in says whom: NULL, as for a mode that is none, lets nobody in.
    IF t_id IS NOT NULL
       AND goosebit.caller_at_once(scheme, mode, d.blocked)
    THEN
        NULL;
    ELSIF t_id IS NULL THEN
        RETURN goosebit.caller_refused(404, 'not_found');
    ELSIF mode = 'external' AND scheme = 'target' THEN
        -- Before anything of the device is looked at.
        RETURN goosebit.caller_refused(401, 'external');
    ELSIF d.blocked OR scheme = 'refused' THEN
        RETURN goosebit.caller_refused(401, 'unauthorized');
    ELSIF goosebit.caller_by_token(scheme, mode, d.blocked, credential,
                                   d.token)
    THEN
        NULL;
    ELSIF scheme = 'gateway' AND credential = t_token
          AND (t_prefix IS NULL
               OR pg_catalog.starts_with(caller.device, t_prefix))
    THEN
        NULL;
    ELSIF mode = 'external' AND scheme = 'external' THEN
        NULL;
    ELSIF mode IN ('lax', 'setup') AND d.token IS NULL THEN
        IF mode = 'setup' AND credential IS NOT NULL
           AND scheme IN ('target', 'external')
        THEN
            next := 'register';
        END IF;
    ELSE
        RETURN goosebit.caller_refused(401, 'unauthorized');
    END IF;

    RETURN ROW(200, NULL, t_id, t_name, t_poll_time, t_max_updates,
               CASE WHEN d.id IS NULL THEN 'register' ELSE next END, d.id,
               d.dev)::goosebit.caller;
END
$$;
COMMENT ON FUNCTION goosebit.caller IS
    'tenant, device and whether the credential lets it in';


CREATE FUNCTION goosebit.caller_known(tenant text, device text, scheme text,
                                      credential bytea, auth text)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    c goosebit.caller;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    RETURN c.status = 200 AND c.next IS NULL;
END
$$;
COMMENT ON FUNCTION goosebit.caller_known IS
    'whether a device is let in and there is nothing of it to store first';
