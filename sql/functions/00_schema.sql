-- Everything below sql/functions is reloaded whole: the API schemas are
-- dropped and made again, inner views, functions and types of schema goosebit
-- dropped. All files of one run share a transaction, so callers see either
-- the old set or the new. No table may depend on a function of ours.
--
-- Rules for every file:
-- * API functions (goosebit_ddi, goosebit_admin) state volatility, SECURITY
--   DEFINER and SET search_path = pg_catalog, pg_temp; names are qualified.
-- * Inner functions (goosebit) have neither: they run inside an API function,
--   with its rights and path, and some must be inlined.
-- * Locks in one order: the tenant's slot lock (goosebit.slot_lock), device
--   rows by (tenant, controller_id by bytes), then the device's actions.
--   Only starting an action takes the slot lock.
--
-- SQLSTATEs raised by goosebit_admin (through goosebit.fail):
--   GB001 not_found    GB002 conflict   GB003 invalid
--   GB004 in_use       GB005 ambiguous  GB006 refused
-- and of a notice, through goosebit.progress: GB100

SET client_min_messages = warning;
SET ROLE goosebit_owner;

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

DROP SCHEMA IF EXISTS goosebit_ddi CASCADE;
DROP SCHEMA IF EXISTS goosebit_admin CASCADE;

DO $$
DECLARE
    commands text[];
    command  text;
BEGIN
    SELECT array_agg(format('DROP VIEW IF EXISTS %s CASCADE', c.oid::regclass))
    INTO commands
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace = 'goosebit'::regnamespace AND c.relkind = 'v';

    FOREACH command IN ARRAY COALESCE(commands, '{}') LOOP
        EXECUTE command;
    END LOOP;

    SELECT array_agg(format('DROP FUNCTION IF EXISTS %s CASCADE',
                            p.oid::regprocedure))
    INTO commands
    FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = 'goosebit'::regnamespace;

    FOREACH command IN ARRAY COALESCE(commands, '{}') LOOP
        EXECUTE command;
    END LOOP;

    SELECT array_agg(format('DROP TYPE IF EXISTS %s CASCADE',
                            t.oid::regtype))
    INTO commands
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace = 'goosebit'::regnamespace AND c.relkind = 'c';

    FOREACH command IN ARRAY COALESCE(commands, '{}') LOOP
        EXECUTE command;
    END LOOP;
END
$$;

CREATE SCHEMA goosebit_ddi;
COMMENT ON SCHEMA goosebit_ddi IS 'what the NGINX module may call';
CREATE SCHEMA goosebit_admin;
COMMENT ON SCHEMA goosebit_admin IS 'what gbctl may call';


-- Ends an admin verb with one of the SQLSTATEs above; the message is what
-- gbctl prints after its name, the hint its second line.
CREATE FUNCTION goosebit.fail(code text, message text, hint text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF hint IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message;
    END IF;
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, HINT = hint;
END
$$;
COMMENT ON FUNCTION goosebit.fail IS 'raises an admin verb''s error';


-- Says how far a verb over many devices has come, each thousand of more than
-- that: a notice, which reaches gbctl at once, while nothing is committed.
CREATE FUNCTION goosebit.progress(done int, total int)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF done > 0 AND done % 1000 = 0 AND done < total THEN
        RAISE NOTICE USING ERRCODE = 'GB100',
            MESSAGE = pg_catalog.format('%s of %s devices', done, total);
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit.progress IS 'tells gbctl how far a verb is';


-- The id of a tenant by name, whatever its case; GB001 if there is none.
CREATE FUNCTION goosebit.tenant_id(tenant text)
RETURNS int
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found_id int;
BEGIN
    SELECT t.id INTO found_id FROM goosebit.tenant t
    WHERE t.name_key = pg_catalog.lower(tenant_id.tenant COLLATE "C");
    IF found_id IS NULL THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('tenant "%s": not found', tenant_id.tenant));
    END IF;
    RETURN found_id;
END
$$;
COMMENT ON FUNCTION goosebit.tenant_id IS 'tenant name to id, or GB001';


-- The same for who gives it something new: until the transaction ends nobody
-- deletes it. Where one is at it, waits for them. After the store's and the slot
-- lock, as tenant_delete() takes them.
CREATE FUNCTION goosebit.tenant_hold(tenant text)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found_id int;
BEGIN
    SELECT t.id INTO found_id FROM goosebit.tenant t
    WHERE t.name_key = pg_catalog.lower(tenant_hold.tenant COLLATE "C")
    FOR KEY SHARE;

    RETURN COALESCE(found_id, goosebit.tenant_id(tenant));
END
$$;
COMMENT ON FUNCTION goosebit.tenant_hold IS
    'tenant name to id, which stays until the end, or GB001';


-- One row of the audit log. Every admin verb that changes something calls it
-- once for each object it changed, in the same transaction.
CREATE FUNCTION goosebit.audit_write(tenant_id int, verb text, object text,
                                     before jsonb DEFAULT NULL,
                                     after jsonb DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    INSERT INTO goosebit.audit (tenant_id, verb, object, before, after)
    VALUES ($1, $2, $3, $4, $5)
$$;
COMMENT ON FUNCTION goosebit.audit_write IS
    'writes down who changed what, with before and after';
