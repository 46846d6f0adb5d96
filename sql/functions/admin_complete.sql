-- What shells complete.


-- At most 100 words of a kind (device, software, rollout, feed, tenant) that
-- begin so, with what each is. Walks indexes: a million devices cost nothing.
CREATE FUNCTION goosebit_admin.complete(tenant text, kind text, prefix text)
RETURNS TABLE (word text, help text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    tid int := goosebit.tenant_id(tenant);
BEGIN
    IF kind = 'device' THEN
        -- U+10FFFF is above all that can follow.
        RETURN QUERY
        SELECT d.controller_id::text,
               concat_ws(' ', d.name, d.sw_version, d.state)
        FROM goosebit.device d
        WHERE d.tenant_id = tid
          AND d.controller_id >= prefix
          AND d.controller_id < prefix || chr(1114111)
        ORDER BY d.controller_id
        LIMIT 100;

    ELSIF kind = 'software' THEN
        -- The version, or where several have it the id.
        RETURN QUERY
        SELECT x.w, x.label
        FROM (SELECT CASE WHEN count(*) OVER (PARTITION BY s.version) = 1
                               AND s.version !~ '^[0-9]+$'
                          THEN s.version ELSE s.id::text END AS w,
                     s.name || ':' || s.version AS label, s.version_key
              FROM goosebit.software s
              WHERE s.tenant_id = tid) x
        WHERE starts_with(x.w, prefix)
        ORDER BY x.version_key, x.w
        LIMIT 100;

    ELSIF kind = 'rollout' THEN
        RETURN QUERY
        SELECT r.id::text, concat_ws(' ', r.name, 'of feed ' || r.feed,
                   goosebit.software_label(tid, r.software_id), r.state)
        FROM goosebit.rollout r
        WHERE r.tenant_id = tid AND starts_with(r.id::text, prefix)
        ORDER BY r.id DESC
        LIMIT 100;

    ELSIF kind = 'feed' THEN
        RETURN QUERY
        SELECT DISTINCT x.f, NULL::text
        FROM (SELECT r.feed AS f FROM goosebit.rollout r
              WHERE r.tenant_id = tid
              UNION ALL VALUES ('default')) x
        WHERE starts_with(x.f, prefix)
        ORDER BY 1
        LIMIT 100;

    ELSIF kind = 'tenant' THEN
        RETURN QUERY
        SELECT t.name, NULL::text FROM goosebit.tenant t
        WHERE starts_with(t.name, prefix)
        ORDER BY 1
        LIMIT 100;
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit_admin.complete IS
    'words that begin so, for shells'' completion';
