-- Who is asking.

CREATE TYPE goosebit.caller AS (
    status       int,      -- 200, 401, 404
    reason       text,
    tenant_id    int,
    tenant       text,     -- as stored
    poll_time    int,      -- of the tenant, or NULL
    next         text,     -- register: unknown, or its first token to store
    dev          goosebit.device
);
COMMENT ON TYPE goosebit.caller IS 'what caller() answers';


-- Finds tenant and device and checks the credential. Everyone refused gets
-- the same 401, known or not. Digests are compared, so timing tells nothing
-- of a token. Two look-ups, not a join: a plan made while tables are small
-- lives on when they have grown, and that of a join may then read them whole.
--
-- scheme is NULL, target, gateway, proven (NGINX vouches: client certificate,
-- trusted header), refused (it knows better) or external (an outside service
-- said yes to this token). auth is the configured mode; the tenant's own beats
-- it. In mode external a token is answered 401 with reason external, which
-- asks the module to ask outside and come again; in the others a yes from
-- outside says nothing, and the token is looked at.
CREATE FUNCTION goosebit.caller(tenant text, device text, scheme text,
                                credential bytea, auth text)
RETURNS goosebit.caller
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    c      goosebit.caller;
    t      record;
    one    record;
    dev    goosebit.device;
    mode   text;
    next   text;
    passed boolean;
BEGIN
    SELECT x.id, x.name, x.auth, x.poll_time, x.gateway_token,
           x.gateway_prefix
    INTO t
    FROM goosebit.tenant x
    WHERE x.name_key = pg_catalog.lower(caller.tenant COLLATE "C");

    IF NOT FOUND THEN
        c.status := 404;
        c.reason := 'not_found';
        RETURN c;
    END IF;

    -- As one column: what a query costs to set up grows with its columns.
    SELECT x AS dev INTO one FROM goosebit.device x
    WHERE x.tenant_id = t.id AND x.controller_id = caller.device;
    dev := one.dev;

    mode := COALESCE(t.auth, caller.auth);

    -- Before anything of the device is looked at.
    IF mode = 'external' AND scheme = 'target' THEN
        c.status := 401;
        c.reason := 'external';
        RETURN c;
    END IF;

    IF scheme = 'external' AND mode <> 'external' THEN
        scheme := 'target';
    END IF;

    -- One expression, since each is set up anew in each transaction. NULL,
    -- as for a mode that is none, lets nobody in.
    passed := CASE
        WHEN dev.blocked OR scheme = 'refused' THEN false
        WHEN mode = 'off' OR scheme = 'proven' THEN true
        WHEN scheme = 'gateway' AND credential = t.gateway_token
             AND (t.gateway_prefix IS NULL
                  OR pg_catalog.starts_with(caller.device, t.gateway_prefix))
        THEN true
        WHEN mode = 'external' THEN scheme = 'external'
        WHEN mode IN ('lax', 'setup') AND dev.token IS NULL THEN true
        WHEN mode IN ('strict', 'lax', 'setup')
        THEN scheme = 'target' AND credential = dev.token
        END;

    IF passed IS NOT TRUE THEN
        c.status := 401;
        c.reason := 'unauthorized';
        RETURN c;
    END IF;

    IF dev.id IS NULL
       OR (mode = 'setup' AND scheme = 'target' AND dev.token IS NULL
           AND credential IS NOT NULL)
    THEN
        next := 'register';
    END IF;

    c := ROW(200, NULL, t.id, t.name, t.poll_time, next,
             CASE WHEN dev.id IS NOT NULL THEN dev END);
    RETURN c;
END
$$;
COMMENT ON FUNCTION goosebit.caller IS
    'tenant, device and whether the credential lets it in';
