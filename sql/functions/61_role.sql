-- Login roles of operators: the only functions with CREATEROLE, of a role of
-- their own, and only for goosebit_admin.user_*() to call. They touch no role
-- but those that put() made, and only while such a role is no more than that:
-- else an administrator here could make themselves more elsewhere.

SET ROLE goosebit_users;

DROP SCHEMA IF EXISTS goosebit_role CASCADE;
CREATE SCHEMA goosebit_role;
COMMENT ON SCHEMA goosebit_role IS
    'makes and drops operators'' logins; for user_add() and its like';
GRANT USAGE ON SCHEMA goosebit_role TO goosebit_owner;


-- Whether put() made the role, and it may log in, has one of our three rights
-- and is nothing else.
CREATE FUNCTION goosebit_role.ours(name text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_roles r
        WHERE r.rolname = $1
          AND shobj_description(r.oid, 'pg_authid') = 'gooseBit user'
          AND r.rolcanlogin
          AND NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb
                   OR r.rolreplication OR r.rolbypassrls)
          AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_auth_members m
              WHERE m.member = r.oid
                AND m.roleid NOT IN ('goosebit_viewer'::regrole,
                                     'goosebit_operator'::regrole,
                                     'goosebit_admin'::regrole)))
$$;
COMMENT ON FUNCTION goosebit_role.ours IS
    'whether a role is one of ours and no more';


-- Makes the role if there is none; rights NULL: as they are; verifier as
-- PostgreSQL keeps it, '': no password, NULL: as it is. Who owns something in
-- any database, or was granted more, keeps the password: whoever sets it can
-- have all that.
CREATE FUNCTION goosebit_role.put(name text, rights text, verifier text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    has record;
BEGIN
    IF rights NOT IN ('viewer', 'operator', 'admin')
       OR verifier NOT SIMILAR TO 'SCRAM-SHA-256$[0-9]+:[A-Za-z0-9+/=]+$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+|'
    THEN
        RAISE EXCEPTION 'neither rights nor a verifier'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF to_regrole(quote_ident(name)) IS NULL THEN
        EXECUTE format('CREATE ROLE %I LOGIN', name);
        EXECUTE format('COMMENT ON ROLE %I IS %L', name, 'gooseBit user');
    ELSIF NOT goosebit_role.ours(name) THEN
        RAISE EXCEPTION 'role % is not one of ours', name
            USING ERRCODE = 'insufficient_privilege';
    ELSIF verifier IS NOT NULL
          AND EXISTS (SELECT FROM pg_shdepend d
                      WHERE d.refclassid = 'pg_authid'::regclass
                        AND d.refobjid = to_regrole(quote_ident(name)))
    THEN
        RAISE EXCEPTION 'role % has more than our rights', name
            USING ERRCODE = 'dependent_objects_still_exist';
    END IF;

    IF rights IS NOT NULL THEN
        FOR has IN SELECT m.roleid::regrole AS role
                   FROM pg_auth_members m
                   WHERE m.member = to_regrole(quote_ident(name))
        LOOP
            EXECUTE format('REVOKE %s FROM %I', has.role, name);
        END LOOP;
        EXECUTE format('GRANT %I TO %I', 'goosebit_' || rights, name);
    END IF;

    IF verifier IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %I PASSWORD %L', name,
                       NULLIF(verifier, ''));
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit_role.put IS
    'makes or changes a login with one of our rights';


CREATE FUNCTION goosebit_role.remove(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT goosebit_role.ours(name) THEN
        RAISE EXCEPTION 'role % is not one of ours', name
            USING ERRCODE = 'insufficient_privilege';
    END IF;

    EXECUTE format('DROP ROLE %I', name);
END
$$;
COMMENT ON FUNCTION goosebit_role.remove IS 'drops a login that put() made';


REVOKE ALL ON ALL FUNCTIONS IN SCHEMA goosebit_role FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA goosebit_role TO goosebit_owner;

SET ROLE goosebit_owner;
