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


-- Finds tenant and device and checks the credential, in one query. Everyone
-- refused gets the same 401, known or not. Digests are compared, so timing
-- tells nothing of a token.
--
-- scheme is NULL, target, gateway or proven (NGINX vouches: client
-- certificate, trusted header, external yes). auth is the configured mode;
-- the tenant's own beats it. In mode external only NGINX's word counts.
CREATE FUNCTION goosebit.caller(tenant text, device text, scheme text,
                                credential bytea, auth text)
RETURNS goosebit.caller
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    c      goosebit.caller;
    r      record;
    mode   text;
    passed boolean;
BEGIN
    SELECT t.id, t.name, t.auth, t.poll_time, t.gateway_token,
           t.gateway_prefix, d.id AS device_id, d.token, d.blocked, d AS dev
    INTO r
    FROM goosebit.tenant t
    LEFT JOIN goosebit.device d
      ON d.tenant_id = t.id AND d.controller_id = caller.device
    WHERE t.name_key = pg_catalog.lower(caller.tenant COLLATE "C");

    IF NOT FOUND THEN
        c.status := 404;
        c.reason := 'not_found';
        RETURN c;
    END IF;

    mode := COALESCE(r.auth, caller.auth);

    passed := CASE
        WHEN scheme = 'gateway' AND credential = r.gateway_token
             AND (r.gateway_prefix IS NULL
                  OR pg_catalog.starts_with(caller.device, r.gateway_prefix))
        THEN true
        WHEN mode = 'off' OR scheme = 'proven' THEN true
        WHEN mode = 'strict' THEN scheme = 'target' AND credential = r.token
        WHEN mode IN ('lax', 'setup')
        THEN r.token IS NULL OR (scheme = 'target' AND credential = r.token)
        ELSE false END;

    IF passed IS NOT TRUE OR r.blocked THEN
        c.status := 401;
        c.reason := 'unauthorized';
        RETURN c;
    END IF;

    c.status := 200;
    c.tenant_id := r.id;
    c.tenant := r.name;
    c.poll_time := r.poll_time;

    IF r.device_id IS NULL THEN
        c.next := 'register';
        RETURN c;
    END IF;

    IF mode = 'setup' AND scheme = 'target' AND r.token IS NULL
       AND credential IS NOT NULL
    THEN
        c.next := 'register';
    END IF;
    c.dev := r.dev;

    RETURN c;
END
$$;
COMMENT ON FUNCTION goosebit.caller IS
    'tenant, device and whether the credential lets it in';
