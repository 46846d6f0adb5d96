-- gbctl db check: damage that the tables' own constraints can't keep out.


-- A row for each thing that is not as it must be, in all tenants. Reads
-- devices and actions whole.
CREATE FUNCTION goosebit_admin.db_check()
RETURNS TABLE (kind text, tenant text, object text, damage text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
    SELECT x.kind, t.name, x.object, x.damage
    FROM (
        SELECT b.name AS kind, b.tenant_id, b.id AS object,
               CASE b.rule
                    WHEN 'open_action_id'
                    THEN 'its open action is not the one it has'
                    WHEN 'device_id' THEN 'is of a device that is gone'
                    ELSE b.rule || ' is not valid' END AS damage
        FROM goosebit.broken_rows() b
        UNION ALL
        SELECT 'action', a.tenant_id, a.id::text,
               format('software %s, but its rollout %s has %s',
                      a.software_id, r.id, r.software_id)
        FROM goosebit.action a
        JOIN goosebit.rollout r
          ON r.tenant_id = a.tenant_id AND r.id = a.cause_id
        WHERE a.cause = 'rollout' AND a.software_id <> r.software_id
        UNION ALL
        SELECT 'action', a.tenant_id, a.id::text,
               format('is open for software %s, which is gone',
                      a.software_id)
        FROM goosebit.action a
        LEFT JOIN goosebit.software s
          ON s.tenant_id = a.tenant_id AND s.id = a.software_id
        WHERE a.ended_at IS NULL AND s.id IS NULL
        UNION ALL
        SELECT 'rollout', r.tenant_id, r.id::text,
               'version is not that of its software'
        FROM goosebit.rollout r
        JOIN goosebit.software s
          ON s.tenant_id = r.tenant_id AND s.id = r.software_id
        WHERE r.software_version IS NOT NULL
          AND ((r.software_version, r.software_min_version)
               IS DISTINCT FROM (s.version, s.min_version)
               OR r.software_version_key
                  <> goosebit.version_key(r.software_version))
        UNION ALL
        SELECT 'rollout', r.tenant_id, r.id::text,
               'hardware is not that of its software'
        FROM goosebit.rollout r
        WHERE r.software_hardware
              <> goosebit.software_models(r.tenant_id, r.software_id)
           OR NOT r.software_patterns
              AND (r.software_hardware IS NULL
                   OR EXISTS (SELECT FROM goosebit.software_hardware h
                              WHERE h.tenant_id = r.tenant_id
                                AND h.software_id = r.software_id
                                AND h.pattern IS NOT NULL))
        UNION ALL
        SELECT 'software', s.tenant_id, s.id::text,
               'version_key is not that of its version'
        FROM goosebit.software s
        WHERE s.version_key <> goosebit.version_key(s.version)
           OR EXISTS (SELECT FROM goosebit.software_hardware h
                      WHERE h.tenant_id = s.tenant_id AND h.software_id = s.id
                        AND h.version_key <> s.version_key)) x
    LEFT JOIN goosebit.tenant t ON t.id = x.tenant_id
    ORDER BY x.kind, t.name, x.object COLLATE "C", x.damage COLLATE "C"
$$;
COMMENT ON FUNCTION goosebit_admin.db_check IS
    'what is not as it must be; none, unless somebody wrote past the API';


-- Every stored file that some software is, in all tenants, by bytes.
CREATE FUNCTION goosebit_admin.db_files()
RETURNS TABLE (sha256 text, filename text, software text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.sha256, s.filename,
           string_agg(t.name || '/' || s.id, ', ' ORDER BY t.name, s.id)
    FROM goosebit.software s
    JOIN goosebit.tenant t ON t.id = s.tenant_id
    WHERE s.uri IS NULL
    GROUP BY s.sha256, s.filename
    ORDER BY s.sha256 COLLATE "C", s.filename COLLATE "C"
$$;
COMMENT ON FUNCTION goosebit_admin.db_files IS
    'stored files, and the software they are';
