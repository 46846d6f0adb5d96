-- Rights, from nothing each time: PUBLIC has none, the module its API, and
-- of gbctl's API readers the STABLE and IMMUTABLE functions and the one that only
-- waits, operators the VOLATILE ones, and administrators those on tenants and
-- users.

SET ROLE goosebit_owner;

REVOKE ALL ON SCHEMA goosebit, goosebit_ddi, goosebit_admin FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA goosebit, goosebit_ddi, goosebit_admin
    FROM PUBLIC, goosebit_ddi, goosebit_viewer, goosebit_operator,
         goosebit_admin;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA goosebit FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA goosebit, goosebit_ddi, goosebit_admin
    FROM PUBLIC, goosebit_ddi, goosebit_viewer, goosebit_operator,
         goosebit_admin;

GRANT USAGE ON SCHEMA goosebit_ddi TO goosebit_ddi;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA goosebit_ddi TO goosebit_ddi;

GRANT USAGE ON SCHEMA goosebit_admin TO goosebit_viewer;

DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure::text AS signature, p.proname, p.provolatile
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'goosebit_admin'::regnamespace
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f.signature,
            CASE WHEN f.proname ~ '^(tenant|user)_' AND f.provolatile = 'v'
                 THEN 'goosebit_admin'
                 WHEN f.provolatile = 'v' AND f.proname <> 'software_settled'
                 THEN 'goosebit_operator'
                 ELSE 'goosebit_viewer' END);

        -- What they run stays theirs: PostgreSQL sends whoever sets
        -- debug_print_plan and wants such messages the plans of it, in which
        -- a token's digest can stand.
        EXECUTE format('ALTER FUNCTION %s SET client_min_messages = notice',
                       f.signature);
    END LOOP;
END
$$;

RESET ROLE;
RESET client_min_messages;
