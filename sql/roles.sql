-- Roles. Run first, on every `gbctl db init` and `db migrate`; safe to repeat.
--
--   goosebit_owner     owns every schema, table and function; nobody logs in
--   goosebit_ddi       the module's login; may execute goosebit_ddi.* only
--   goosebit_viewer    reads through goosebit_admin
--   goosebit_operator  a viewer who may change devices, software, rollouts
--   goosebit_admin     an operator who may change tenants and users
--   goosebit_users     makes their logins; owns schema goosebit_role, nobody
--                      logs in. It alone has CREATEROLE, which before
--                      PostgreSQL 16 is nearly all: so not goosebit_owner, as
--                      whom all that devices can reach runs.

SET client_min_messages = warning;

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['goosebit_owner', 'goosebit_viewer',
                                     'goosebit_operator', 'goosebit_admin']
    LOOP
        IF pg_catalog.to_regrole(role_name) IS NULL THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;

    IF pg_catalog.to_regrole('goosebit_ddi') IS NULL THEN
        CREATE ROLE goosebit_ddi LOGIN;
    END IF;

    IF pg_catalog.to_regrole('goosebit_users') IS NULL THEN
        CREATE ROLE goosebit_users NOLOGIN CREATEROLE;
    END IF;

    -- Who runs this must be able to act as both; a superuser is already. Since
    -- PostgreSQL 16 who makes a role is a member that may not.
    FOREACH role_name IN ARRAY ARRAY['goosebit_owner', 'goosebit_users'] LOOP
        IF NOT pg_catalog.pg_has_role(role_name,
               CASE WHEN pg_catalog.current_setting('server_version_num')::int
                         < 160000 THEN 'MEMBER' ELSE 'SET' END)
        THEN
            EXECUTE pg_catalog.format('GRANT %I TO %I', role_name,
                                      current_user);
        END IF;
    END LOOP;

    EXECUTE pg_catalog.format('GRANT CREATE ON DATABASE %I TO goosebit_owner,'
                              || ' goosebit_users',
                              pg_catalog.current_database());
END
$$;

GRANT goosebit_viewer TO goosebit_operator;
GRANT goosebit_operator TO goosebit_admin;

-- As PostgreSQL 16 wants it of a role that hands these on.
GRANT goosebit_viewer, goosebit_operator, goosebit_admin TO goosebit_users
    WITH ADMIN OPTION;

-- On the role, since session settings don't survive a transaction pooler.
ALTER ROLE goosebit_ddi SET statement_timeout = '5s';
ALTER ROLE goosebit_ddi SET idle_in_transaction_session_timeout = '10s';

-- The module only looks rows up by key, and its plans live as long as its
-- connections: they must be those of a big fleet, whatever the size of the
-- tables when they are made, and never be made again for each value.
ALTER ROLE goosebit_ddi SET plan_cache_mode = 'force_generic_plan';
ALTER ROLE goosebit_ddi SET enable_seqscan = off;
ALTER ROLE goosebit_ddi SET enable_hashjoin = off;
ALTER ROLE goosebit_ddi SET enable_mergejoin = off;
ALTER ROLE goosebit_ddi SET enable_bitmapscan = off;
ALTER ROLE goosebit_ddi SET jit = off;

-- What a dump brings back without roles, --no-owner, or before they are there,
-- belongs to who restored it. Functions are made anew anyway.
DO $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT pg_catalog.format('ALTER SCHEMA %I OWNER TO %I', n.nspname,
                                 o.owner)
        FROM (VALUES ('goosebit', 'goosebit_owner'),
                     ('goosebit_ddi', 'goosebit_owner'),
                     ('goosebit_admin', 'goosebit_owner'),
                     ('goosebit_role', 'goosebit_users')) AS o (name, owner)
        JOIN pg_catalog.pg_namespace n ON n.nspname = o.name
        WHERE n.nspowner <> o.owner::pg_catalog.regrole
        UNION ALL
        SELECT pg_catalog.format('ALTER TABLE goosebit.%I OWNER TO'
                                 || ' goosebit_owner', c.relname)
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'goosebit' AND c.relkind IN ('r', 'p', 'v', 'S')
          AND c.relowner <> 'goosebit_owner'::pg_catalog.regrole
          -- a column's sequence goes with its table
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                          WHERE d.classid = 'pg_catalog.pg_class'::regclass
                            AND d.objid = c.oid AND c.relkind = 'S'
                            AND d.deptype IN ('a', 'i'))
    LOOP
        EXECUTE command;
    END LOOP;
END
$$;
