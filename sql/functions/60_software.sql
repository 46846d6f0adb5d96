-- Software: found by what an operator types, and what uses it.


-- A URI as it may be shown: its password is never.
CREATE FUNCTION goosebit.uri_masked(uri text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT pg_catalog.regexp_replace(uri,
               '^([A-Za-z][A-Za-z0-9+.-]*://[^/?#@:]*):[^/?#]*@', '\1:***@')
$$;
COMMENT ON FUNCTION goosebit.uri_masked IS
    'a URI without its password, as everything shown has it';


CREATE FUNCTION goosebit.software_label(tenant_id int, software_id int)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT s.name || ':' || s.version FROM goosebit.software s
    WHERE s.tenant_id = $1 AND s.id = $2
$$;
COMMENT ON FUNCTION goosebit.software_label IS 'name:version, or NULL';


-- What an operator calls a software: its id, else a version, else
-- name:version. An id wins. GB001 for none, GB005 for several, with the list.
CREATE FUNCTION goosebit.software_find(tenant_id int, ref text)
RETURNS int
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found_ids int[];
    list      text;
BEGIN
    IF ref ~ '^[0-9]{1,10}$' AND ref::bigint <= 2147483647 THEN
        SELECT ARRAY[s.id] INTO found_ids FROM goosebit.software s
        WHERE s.tenant_id = software_find.tenant_id AND s.id = ref::int;
    END IF;

    IF found_ids IS NULL THEN
        SELECT pg_catalog.array_agg(s.id ORDER BY s.id),
               pg_catalog.string_agg(pg_catalog.format('%s (%s:%s)', s.id,
                                                       s.name, s.version),
                                     ', ' ORDER BY s.id)
        INTO found_ids, list
        FROM goosebit.software s
        WHERE s.tenant_id = software_find.tenant_id
          AND (s.version = ref OR s.name || ':' || s.version = ref);
    END IF;

    IF found_ids IS NULL THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('software "%s": not found', ref));
    END IF;

    IF pg_catalog.cardinality(found_ids) > 1 THEN
        PERFORM goosebit.fail('GB005',
            pg_catalog.format('software "%s": matches several', ref),
            'name one by its id: ' || list);
    END IF;

    RETURN found_ids[1];
END
$$;
COMMENT ON FUNCTION goosebit.software_find IS
    'id of the software that an id, version or name:version names';


-- The same for who is going to use it: until the transaction ends nobody deletes
-- it.
CREATE FUNCTION goosebit.software_hold(tenant_id int, ref text)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found_id int := goosebit.software_find(tenant_id, ref);
BEGIN
    PERFORM FROM goosebit.software s
    WHERE s.tenant_id = software_hold.tenant_id AND s.id = found_id
    FOR KEY SHARE;

    IF NOT FOUND THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('software "%s": not found', ref));
    END IF;
    RETURN found_id;
END
$$;
COMMENT ON FUNCTION goosebit.software_hold IS
    'id of a software, which stays until the end';


-- Its hardware as [{"model","revision"}], in byte order.
CREATE FUNCTION goosebit.software_hardware_json(tenant_id int, software_id int)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT COALESCE(pg_catalog.jsonb_agg(
               pg_catalog.jsonb_build_object('model', h.model,
                                             'revision', h.revision)
               ORDER BY h.model COLLATE "C", h.revision COLLATE "C"), '[]')
    FROM goosebit.software_hardware h
    WHERE h.tenant_id = $1 AND h.software_id = $2
$$;
COMMENT ON FUNCTION goosebit.software_hardware_json IS
    'what hardware an image fits, for display';


-- Serialises what changes the artifact store, in all tenants, until the
-- transaction ends: adding checks for a conflict and publishes the file,
-- removing a file checks that nothing refers to it. Taken before other locks.
-- shared: only waits for those who do.
CREATE FUNCTION goosebit.store_lock(shared boolean DEFAULT false)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    SELECT CASE WHEN $1
        THEN pg_catalog.pg_advisory_xact_lock_shared(1196770121, 0)
        ELSE pg_catalog.pg_advisory_xact_lock(1196770121, 0) END
$$;
COMMENT ON FUNCTION goosebit.store_lock IS
    'one change of the artifact store at a time';


-- Of stored files, digest and name each, those that no software of any tenant
-- is made of.
CREATE FUNCTION goosebit.software_nobodys(sha256s text[], filenames text[])
RETURNS TABLE (sha256 text, filename text)
LANGUAGE sql STABLE
AS $$
    SELECT f.sha256, f.filename
    FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))
         WITH ORDINALITY AS f (sha256, filename, n)
    WHERE NOT EXISTS (SELECT FROM goosebit.software s
                      WHERE s.sha256 = f.sha256 AND s.filename = f.filename
                        AND s.uri IS NULL)
    ORDER BY f.n
$$;
COMMENT ON FUNCTION goosebit.software_nobodys IS
    'which stored files belong to no software';


-- The software of this version that fits some of the same hardware, or NULL.
-- A pattern meets a revision it matches, and a pattern of the same text; one
-- that does not compile raises 2201B.
CREATE FUNCTION goosebit.software_overlap(tenant_id int, version text,
                                          hardware jsonb)
RETURNS int
LANGUAGE sql STABLE
AS $$
    SELECT s.id
    FROM goosebit.software s
    JOIN goosebit.software_hardware h
      ON h.tenant_id = s.tenant_id AND h.software_id = s.id
    JOIN pg_catalog.jsonb_to_recordset($3) AS n (model text, revision text)
      ON n.model = h.model
    WHERE s.tenant_id = $1
      AND s.version = $2
      AND (goosebit.revision_fits(h.revision, h.pattern, n.revision)
           OR goosebit.revision_fits(n.revision,
                  CASE WHEN pg_catalog.left(n.revision, 4) = '#RE:'
                       THEN '(?e)' || pg_catalog.substr(n.revision, 5) END,
                  h.revision))
    ORDER BY s.id
    LIMIT 1
$$;
COMMENT ON FUNCTION goosebit.software_overlap IS
    'id of another image of this version for overlapping hardware';


-- What keeps a software from being deleted, in words, or NULL.
CREATE FUNCTION goosebit.software_use(tenant_id int, software_id int)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT COALESCE(
        (SELECT 'rollout ' || r.id FROM goosebit.rollout r
         WHERE r.tenant_id = $1 AND r.software_id = $2
         ORDER BY r.id DESC LIMIT 1),
        (SELECT pg_catalog.format('the assignment of device "%s"',
                                  d.controller_id)
         FROM goosebit.device d
         WHERE d.tenant_id = $1 AND d.assigned_software_id = $2
         LIMIT 1),
        (SELECT pg_catalog.format('the open action %s', a.id)
         FROM goosebit.action a
         WHERE a.tenant_id = $1 AND a.software_id = $2
           AND a.ended_at IS NULL
         LIMIT 1))
$$;
COMMENT ON FUNCTION goosebit.software_use IS
    'what uses a software, in words, or NULL';
