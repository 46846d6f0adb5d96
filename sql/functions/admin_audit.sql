-- gbctl audit: who changed what, when.


-- The tenants whose changes are on record, and 0 for what belongs to none;
-- those that are gone by the name they had.
CREATE FUNCTION goosebit.audit_tenants()
RETURNS TABLE (id int, name text)
LANGUAGE sql STABLE
AS $$
    SELECT t.id, t.name FROM goosebit.tenant t
    UNION ALL
    SELECT 0, NULL
    UNION ALL
    SELECT (a.before ->> 'id')::int, a.object
    FROM goosebit.audit a
    WHERE a.tenant_id = 0 AND a.verb = 'tenant.delete'
$$;
COMMENT ON FUNCTION goosebit.audit_tenants IS
    'whose changes the audit log may have';


-- Newest first: of a tenant and of what belongs to none, or with everything
-- also of all others and of tenants that are gone. Conditions that are NULL
-- hold; of_verb "device" takes all of its verbs. With a snapshot only what
-- committed since it was taken: asked together with pg_current_snapshot(),
-- nothing is ever missed. Each tenant's is a walk of an index.
CREATE FUNCTION goosebit_admin.audit_list(
    tenant text, everything boolean, by_whom text, of_verb text,
    of_object text, since timestamptz, snapshot pg_snapshot, row_limit bigint)
RETURNS TABLE (id bigint, "time" timestamptz, tenant_name text, who text,
               verb text, object text, before jsonb, after jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tid int := CASE WHEN NOT everything THEN goosebit.tenant_id(tenant) END;
BEGIN
    RETURN QUERY
    SELECT a.id, a.at, t.name, a.who, a.verb, a.object, a.before, a.after
    FROM goosebit.audit_tenants() t
    CROSS JOIN LATERAL (
        SELECT x.* FROM goosebit.audit x
        WHERE x.tenant_id = t.id
          AND (by_whom IS NULL OR x.who = by_whom)
          AND (of_verb IS NULL OR x.verb = of_verb
               OR starts_with(x.verb, of_verb || '.'))
          AND (of_object IS NULL OR x.object = of_object)
          AND (since IS NULL OR x.at >= since)
          AND (snapshot IS NULL
               OR (x.xid >= pg_snapshot_xmin(snapshot)
                   AND NOT pg_visible_in_snapshot(x.xid, snapshot)))
        ORDER BY x.id DESC
        LIMIT row_limit) a
    WHERE everything OR t.id IN (tid, 0)
    ORDER BY a.id DESC
    LIMIT row_limit;
END
$$;
COMMENT ON FUNCTION goosebit_admin.audit_list IS
    'what operators changed, with before and after';
