-- gbctl software.


-- One row a software. devices: have it assigned, or an open action on it;
-- rollouts: made of it and not deleted. Both keep it from being deleted.
CREATE FUNCTION goosebit_admin.software_list(tenant text)
RETURNS TABLE (
    id int, name text, version text, format text, size bigint, sha256 text,
    sha1 text, md5 text, hardware jsonb, uri text, created timestamptz,
    devices bigint, rollouts bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id, s.name, s.version, s.format, s.size, s.sha256, s.sha1, s.md5,
           goosebit.software_hardware_json(s.tenant_id, s.id),
           goosebit.uri_masked(s.uri), s.created_at,
           COALESCE(u.devices, 0), COALESCE(r.rollouts, 0)
    FROM goosebit.software s
    LEFT JOIN (SELECT x.software_id, count(DISTINCT x.device_id) AS devices
               FROM (SELECT d.assigned_software_id AS software_id,
                            d.id AS device_id
                     FROM goosebit.device d
                     WHERE d.tenant_id = goosebit.tenant_id($1)
                       AND d.assigned_software_id IS NOT NULL
                     UNION ALL
                     SELECT a.software_id, a.device_id
                     FROM goosebit.action a
                     WHERE a.tenant_id = goosebit.tenant_id($1)
                       AND a.ended_at IS NULL) x
               GROUP BY x.software_id) u ON u.software_id = s.id
    LEFT JOIN (SELECT y.software_id, count(*) AS rollouts
               FROM goosebit.rollout y
               WHERE y.tenant_id = goosebit.tenant_id($1)
               GROUP BY y.software_id) r ON r.software_id = s.id
    WHERE s.tenant_id = goosebit.tenant_id($1)
    ORDER BY s.name COLLATE "C", s.version_key, s.id
$$;
COMMENT ON FUNCTION goosebit_admin.software_list IS 'every software of a tenant';


-- One row, by id, version or name:version; GB001, GB005.
CREATE FUNCTION goosebit_admin.software_show(tenant text, software text)
RETURNS TABLE (
    id int, name text, version text, format text, size bigint, sha256 text,
    sha1 text, md5 text, filename text, hardware jsonb, uri text,
    min_version text, note text, created timestamptz, devices bigint,
    rollouts bigint, signature jsonb, bundle jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- by itself: where there is no software at all, the condition is not reached
    SELECT goosebit.software_find(goosebit.tenant_id($1), $2);

    SELECT l.id, l.name, l.version, l.format, l.size, l.sha256, l.sha1, l.md5,
           s.filename, l.hardware, l.uri, s.min_version, s.note, l.created,
           l.devices, l.rollouts, s.facts -> 'signature',
           s.facts - 'signature'
    FROM goosebit_admin.software_list($1) l
    JOIN goosebit.software s
      ON s.tenant_id = goosebit.tenant_id($1) AND s.id = l.id
    WHERE l.id = goosebit.software_find(goosebit.tenant_id($1), $2)
$$;
COMMENT ON FUNCTION goosebit_admin.software_show IS 'all about one software';


-- Refuses with GB002 an image, as software_add() takes it, where another of its
-- version is for some of the same hardware, and names that are none: to be asked
-- before a long upload.
CREATE FUNCTION goosebit_admin.software_check(tenant text, image jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid      int := goosebit.tenant_id(tenant);
    other    int := goosebit.software_overlap(tid, image ->> 'version',
                                              image -> 'hardware');
    named    text;
    the_same boolean;
BEGIN
    PERFORM goosebit.text_check('name', image ->> 'name');
    PERFORM goosebit.text_check('min_version', image ->> 'min_version');

    IF other IS NOT NULL THEN
        -- The id of one that came in this transaction goes with it.
        SELECT CASE WHEN s.created_at = now()
                    THEN s.filename || ', added with it,'
                    ELSE 'software ' || s.id END,
               s.sha256 = image ->> 'sha256'
        INTO named, the_same
        FROM goosebit.software s
        WHERE s.tenant_id = tid AND s.id = other;

        PERFORM goosebit.fail('GB002',
            format('%s: %s has version %s for the same hardware',
                   image ->> 'filename', named, image ->> 'version'),
            CASE WHEN the_same THEN 'it is this very file' END);
    END IF;

EXCEPTION
    WHEN invalid_regular_expression THEN
        PERFORM goosebit.fail('GB003',
            format('%s: a hardware revision is no regular expression: %s',
                   image ->> 'filename', image -> 'hardware'));
END
$$;
COMMENT ON FUNCTION goosebit_admin.software_check IS
    'refuses an image that would be a conflict';


-- Registers an image whose bytes are staged (uri null) or remote. image holds
-- name, version, format, filename, size, sha256, sha1, md5, uri, min_version,
-- note, facts, and hardware as [{"model","revision"}]. GB002 as
-- software_check(), GB003 for what can't be registered. Holds the store's lock,
-- so that the caller publishes the file before it commits.
CREATE FUNCTION goosebit_admin.software_add(tenant text, image jsonb)
RETURNS TABLE (id int, version text, format text, name text, hardware jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid int;
    new goosebit.software;
BEGIN
    PERFORM goosebit.store_lock();
    tid := goosebit.tenant_hold(tenant);

    new := jsonb_populate_record(NULL::goosebit.software,
                                 image - '{tenant_id,id,created_at}'::text[]);
    PERFORM goosebit_admin.software_check(tenant, image);

    INSERT INTO goosebit.software (tenant_id, name, version, version_key,
        format, filename, size, sha256, sha1, md5, uri, min_version, note,
        facts)
    VALUES (tid, new.name, new.version, goosebit.version_key(new.version),
        new.format, new.filename, new.size, new.sha256, new.sha1, new.md5,
        new.uri, new.min_version, new.note, COALESCE(new.facts, '{}'))
    RETURNING * INTO new;

    INSERT INTO goosebit.software_hardware (tenant_id, software_id, model,
                                            revision, version_key)
    SELECT tid, new.id, h.model, h.revision, new.version_key
    FROM jsonb_to_recordset(image -> 'hardware')
         AS h (model text, revision text);

    hardware := goosebit.software_hardware_json(tid, new.id);

    PERFORM goosebit.changed('latest', tid);
    PERFORM goosebit.audit_write(tid, 'software.add', new.id::text, NULL,
        jsonb_build_object('name', new.name, 'version', new.version,
                           'sha256', new.sha256, 'hardware', hardware));

    id := new.id;
    version := new.version;
    format := new.format;
    name := new.name;
    RETURN NEXT;

EXCEPTION
    WHEN invalid_regular_expression THEN
        PERFORM goosebit.fail('GB003',
            format('%s: a hardware revision is no regular expression: %s',
                   image ->> 'filename', image -> 'hardware'));
    WHEN check_violation OR not_null_violation OR data_exception THEN
        PERFORM goosebit.fail('GB003', format('%s: can''t be registered: %s',
                                              image ->> 'filename', SQLERRM));
END
$$;
COMMENT ON FUNCTION goosebit_admin.software_add IS
    'registers an image; one conflict or error refuses it';


-- Removes what nothing needs, all or none; GB001, GB004, GB005. Its files are
-- then the caller's to remove, each under software_orphans().
CREATE FUNCTION goosebit_admin.software_delete(tenant text, softwares text[])
RETURNS TABLE (id int, name text, version text, filename text, sha256 text,
               uri text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid int := goosebit.tenant_id(tenant);
    ref text;
    s   goosebit.software;
    use text;
BEGIN
    PERFORM goosebit.store_lock();
    PERFORM goosebit.slot_lock(tid);

    FOR ref IN SELECT DISTINCT u.x FROM unnest(softwares) AS u (x) LOOP
        SELECT x.* INTO s FROM goosebit.software x
        WHERE x.tenant_id = tid AND x.id = goosebit.software_find(tid, ref)
        FOR UPDATE;

        IF NOT FOUND THEN
            PERFORM goosebit.fail('GB001',
                format('software "%s": not found', ref));
        END IF;

        use := goosebit.software_use(tid, s.id);
        IF use IS NOT NULL THEN
            PERFORM goosebit.fail('GB004',
                format('software "%s": in use by %s', ref, use));
        END IF;

        DELETE FROM goosebit.software x
        WHERE x.tenant_id = tid AND x.id = s.id;

        PERFORM goosebit.changed('latest', tid);
        PERFORM goosebit.audit_write(tid, 'software.delete', s.id::text,
            jsonb_build_object('name', s.name, 'version', s.version,
                               'sha256', s.sha256));

        id := s.id;
        name := s.name;
        version := s.version;
        filename := s.filename;
        sha256 := s.sha256;
        uri := goosebit.uri_masked(s.uri);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_admin.software_delete IS
    'removes software that no rollout, assignment or open action uses';


-- Of stored files, digest and name each, those that no software of any tenant
-- is. Holds the store's lock until the transaction ends, so that the caller may
-- remove them.
CREATE FUNCTION goosebit_admin.software_orphans(sha256s text[],
                                                filenames text[])
RETURNS TABLE (sha256 text, filename text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM goosebit.store_lock();

    RETURN QUERY SELECT * FROM goosebit.software_nobodys($1, $2);
END
$$;
COMMENT ON FUNCTION goosebit_admin.software_orphans IS
    'which stored files belong to no software, and may be removed';


-- The same for who only looks. A file is there before its software is committed:
-- who found some calls software_settled() first, in a statement of its own, so
-- that this one sees whose they are.
CREATE FUNCTION goosebit_admin.software_unknown(sha256s text[],
                                                filenames text[])
RETURNS TABLE (sha256 text, filename text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM goosebit.software_nobodys($1, $2)
$$;
COMMENT ON FUNCTION goosebit_admin.software_unknown IS
    'which stored files belong to no software';


-- Waits for those who are changing the artifact store. grants.sql lets viewers,
-- since it does no more.
CREATE FUNCTION goosebit_admin.software_settled()
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT goosebit.store_lock(shared => true)
$$;
COMMENT ON FUNCTION goosebit_admin.software_settled IS
    'waits until nobody is between a file and its software';


-- Where the bytes of software are and what they must be; softwares NULL is all
-- of them. GB001, GB005. uri is NULL for what is stored, and where it holds a
-- password and the caller is no operator; shown is NULL for what is stored.
CREATE FUNCTION goosebit_admin.software_files(tenant text, softwares text[])
RETURNS TABLE (id int, name text, version text, filename text, size bigint,
               sha256 text, uri text, shown text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid int := goosebit.tenant_id(tenant);
    ids int[];
BEGIN
    SELECT array_agg(goosebit.software_find(tid, u.x)) INTO ids
    FROM unnest(softwares) AS u (x);

    RETURN QUERY
        SELECT s.id, s.name, s.version, s.filename, s.size, s.sha256,
               CASE WHEN pg_has_role(session_user, 'goosebit_operator',
                                     'MEMBER')
                         OR s.uri = goosebit.uri_masked(s.uri)
                    THEN s.uri END,
               goosebit.uri_masked(s.uri)
        FROM goosebit.software s
        WHERE s.tenant_id = tid
          AND (softwares IS NULL OR s.id = ANY (ids))
        ORDER BY s.id;
END
$$;
COMMENT ON FUNCTION goosebit_admin.software_files IS
    'where the bytes of software are and what they must be';
