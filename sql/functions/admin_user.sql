-- gbctl user: PostgreSQL login roles with the rights of goosebit_viewer,
-- goosebit_operator or goosebit_admin. A role that others made and granted
-- these is listed, and left to them.


-- The rights of every role that has some, directly or through a group.
CREATE FUNCTION goosebit_admin.user_list()
RETURNS TABLE (name text, rights text, login boolean, managed boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE has (role, rank) AS (
        SELECT ('goosebit_' || w.word)::regrole::oid, w.rank
        FROM unnest('{viewer,operator,admin}'::text[])
             WITH ORDINALITY AS w (word, rank)
        UNION
        SELECT m.member, h.rank
        FROM has h
        JOIN pg_catalog.pg_auth_members m ON m.roleid = h.role
    )
    SELECT r.rolname, ('{viewer,operator,admin}'::text[])[max(h.rank)],
           r.rolcanlogin, goosebit_role.ours(r.rolname)
    FROM has h
    JOIN pg_catalog.pg_roles r ON r.oid = h.role
    WHERE r.rolname !~ '^goosebit_'
    GROUP BY r.oid, r.rolname, r.rolcanlogin
    ORDER BY r.rolname COLLATE "C"
$$;
COMMENT ON FUNCTION goosebit_admin.user_list IS
    'roles with rights here; managed: user_add() made it';


-- GB001 unless there is such a user, GB006 where it is not for these verbs.
CREATE FUNCTION goosebit.user_check(name text)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    u record;
BEGIN
    SELECT x.rights, x.managed INTO u FROM goosebit_admin.user_list() x
    WHERE x.name = user_check.name;

    IF NOT FOUND THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('user "%s": not found', name));
    ELSIF NOT u.managed THEN
        PERFORM goosebit.fail('GB006',
            pg_catalog.format('user "%s": not made by "gbctl user add", or '
                              || 'made more of since', name),
            'change the role with SQL');
    END IF;

    RETURN u.rights;
END
$$;
COMMENT ON FUNCTION goosebit.user_check IS
    'rights of a user that these verbs may change';


-- verifier is SCRAM-SHA-256 as PQencryptPasswordConn() makes it, so that no
-- password is ever sent; NULL: none, for peer or certificate authentication.
CREATE FUNCTION goosebit_admin.user_add(name text, rights text,
                                        verifier text)
RETURNS TABLE (user_name text, user_rights text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM goosebit.text_check('user name', name);

    IF octet_length(name) > 63 OR name ~ '^(pg_|goosebit)'
       OR name IN ('public', 'none')
    THEN
        PERFORM goosebit.fail('GB003',
            format('user "%s": invalid name', name),
            'at most 63 bytes, neither "public" nor "none", and not '
            || 'beginning with "pg_" or "goosebit"');
    END IF;

    IF to_regrole(quote_ident(name)) IS NOT NULL THEN
        PERFORM goosebit.fail('GB002',
            format('user "%s": a role of this name exists', name),
            CASE WHEN goosebit_role.ours(name)
                 THEN '"gbctl user set" changes it'
                 ELSE 'give it rights with SQL: GRANT goosebit_' || rights
                      || ' TO ' || quote_ident(name) END);
    END IF;

    PERFORM goosebit_role.put(name, rights, verifier);
    PERFORM goosebit.audit_write(0, 'user.add', name, NULL,
        jsonb_build_object('rights', rights, 'password',
            CASE WHEN verifier IS NULL THEN 'none' ELSE 'set' END));

    RETURN QUERY SELECT name, rights;
END
$$;
COMMENT ON FUNCTION goosebit_admin.user_add IS
    'a login role with rights here; GB002 where a role has the name';


-- rights NULL and verifier NULL: as they are; verifier '': no password.
CREATE FUNCTION goosebit_admin.user_set(name text, rights text,
                                        verifier text)
RETURNS TABLE (user_name text, user_rights text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    had text := goosebit.user_check(name);
BEGIN
    IF name = session_user AND rights <> had THEN
        PERFORM goosebit.fail('GB006',
            format('user "%s": nobody changes their own rights', name));
    END IF;

    PERFORM goosebit_role.put(name, rights, verifier);
    PERFORM goosebit.audit_write(0, 'user.set', name,
        jsonb_build_object('rights', had),
        jsonb_strip_nulls(jsonb_build_object(
            'rights', COALESCE(rights, had), 'password',
            CASE WHEN verifier = '' THEN 'none'
                 WHEN verifier IS NOT NULL THEN 'changed' END)));

    RETURN QUERY SELECT name, COALESCE(rights, had);

EXCEPTION
    WHEN dependent_objects_still_exist THEN
        PERFORM goosebit.fail('GB004',
            format('user "%s": owns something or was granted more', name),
            'change the password with SQL: ALTER ROLE');
END
$$;
COMMENT ON FUNCTION goosebit_admin.user_set IS
    'rights and password of a user that user_add() made';


CREATE FUNCTION goosebit_admin.user_delete(name text)
RETURNS TABLE (user_name text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    had text := goosebit.user_check(name);
BEGIN
    IF name = session_user THEN
        PERFORM goosebit.fail('GB006',
            format('user "%s": nobody deletes themselves', name));
    END IF;

    PERFORM goosebit_role.remove(name);
    PERFORM goosebit.audit_write(0, 'user.delete', name,
                                 jsonb_build_object('rights', had));

    RETURN QUERY SELECT name;

EXCEPTION
    WHEN dependent_objects_still_exist THEN
        PERFORM goosebit.fail('GB004',
            format('user "%s": owns something or was granted more', name),
            'see "DROP OWNED" in PostgreSQL''s manual');
END
$$;
COMMENT ON FUNCTION goosebit_admin.user_delete IS
    'drops a login that user_add() made';
