-- gbctl tenant.


CREATE FUNCTION goosebit_admin.tenant_add(tenant text)
RETURNS TABLE (id int, name text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tenant IS NULL OR tenant !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' THEN
        PERFORM goosebit.fail('GB003',
            pg_catalog.format('tenant "%s": invalid name', tenant),
            'letters, digits, ".", "_" and "-", at most 64, '
            || 'a letter or digit first');
    END IF;

    INSERT INTO goosebit.tenant AS t (name) VALUES (tenant_add.tenant)
    ON CONFLICT (name_key) DO NOTHING
    RETURNING t.id, t.name INTO tenant_add.id, tenant_add.name;

    IF NOT FOUND THEN
        PERFORM goosebit.fail('GB002',
            pg_catalog.format('tenant "%s": exists already', tenant));
    END IF;

    PERFORM goosebit.audit_write(tenant_add.id, 'tenant.add', tenant_add.name,
                                 NULL, jsonb_build_object('id', tenant_add.id));
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.tenant_add IS
    'adds a tenant; GB002 if there is one of that name in any case';


CREATE FUNCTION goosebit_admin.tenant_list()
RETURNS TABLE (name text, poll_time int, auth text, gateway_token boolean,
               gateway_prefix text, max_updates int, devices bigint,
               created timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.name, t.poll_time, t.auth, t.gateway_token IS NOT NULL,
           t.gateway_prefix, t.max_updates,
           (SELECT pg_catalog.count(*) FROM goosebit.device d
            WHERE d.tenant_id = t.id),
           t.created_at
    FROM goosebit.tenant t
    ORDER BY t.name_key;
END;
COMMENT ON FUNCTION goosebit_admin.tenant_list IS
    'tenants with what they set for themselves';


-- What the audit log keeps of a tenant. Of the gateways' token only that
-- there is one.
CREATE FUNCTION goosebit.tenant_facts(t goosebit.tenant)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.jsonb_build_object(
        'poll_time', t.poll_time * interval '1 second', 'auth', t.auth,
        'gateway_token', CASE WHEN t.gateway_token IS NULL THEN 'none'
                              ELSE 'set' END,
        'gateway_prefix', t.gateway_prefix, 'max_updates', t.max_updates)
$$;
COMMENT ON FUNCTION goosebit.tenant_facts IS 'a tenant for the audit log';


-- Each key of settings that is there is set, null takes it back to the
-- configured value: poll_time (seconds), auth, gateway_token (hex SHA-256),
-- gateway_prefix, max_updates.
CREATE FUNCTION goosebit_admin.tenant_set(tenant text, settings jsonb)
RETURNS TABLE (name text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid     int := goosebit.tenant_id(tenant);
    old     goosebit.tenant;
    new     goosebit.tenant;
    unknown text;
BEGIN
    SELECT k INTO unknown FROM pg_catalog.jsonb_object_keys(settings) AS k
    WHERE k NOT IN ('poll_time', 'auth', 'gateway_token', 'gateway_prefix',
                    'max_updates');
    IF unknown IS NOT NULL THEN
        PERFORM goosebit.fail('GB003', pg_catalog.format(
            'tenant setting "%s": unknown', unknown));
    END IF;

    SELECT t.* INTO old FROM goosebit.tenant t WHERE t.id = tid FOR UPDATE;

    -- another deleted it meanwhile
    IF NOT FOUND THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('tenant "%s": not found', tenant));
    END IF;

    BEGIN
        UPDATE goosebit.tenant t
        SET poll_time = CASE WHEN settings ? 'poll_time'
                THEN (settings ->> 'poll_time')::int ELSE t.poll_time END,
            auth = CASE WHEN settings ? 'auth'
                THEN settings ->> 'auth' ELSE t.auth END,
            gateway_token = CASE WHEN settings ? 'gateway_token'
                THEN pg_catalog.decode(settings ->> 'gateway_token', 'hex')
                ELSE t.gateway_token END,
            gateway_prefix = CASE WHEN settings ? 'gateway_prefix'
                THEN settings ->> 'gateway_prefix' ELSE t.gateway_prefix END,
            max_updates = CASE WHEN settings ? 'max_updates'
                THEN (settings ->> 'max_updates')::int ELSE t.max_updates END
        WHERE t.id = tid
        RETURNING t.* INTO new;
    EXCEPTION
        WHEN check_violation OR data_exception THEN
            PERFORM goosebit.fail('GB003', pg_catalog.format(
                'tenant "%s": invalid setting', tenant),
                'poll_time is 1 to 86399 seconds; auth is off, strict, lax, '
                || 'setup or external; max_updates is 0 or more');
    END;

    PERFORM goosebit.changed('tenant', tid);

    PERFORM goosebit.audit_write(tid, 'tenant.set', new.name,
        goosebit.tenant_facts(old),
        goosebit.tenant_facts(new) || CASE
            WHEN old.gateway_token <> new.gateway_token
            THEN '{"gateway_token": "changed"}' ELSE '{}' END::jsonb);

    tenant_set.name := new.name;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.tenant_set IS
    'changes what a tenant sets for itself; null: as configured';


-- Forgets a tenant: GB004 while it has devices, software or rollouts, unless
-- with_all, which takes those along. What operators did stays on record. The
-- files, [{sha256, filename}], are then the caller's to remove, each under
-- software_orphan(). Whoever registers a device meanwhile waits for the end.
CREATE FUNCTION goosebit_admin.tenant_delete(tenant text, with_all boolean)
RETURNS TABLE (name text, devices bigint, softwares bigint, rollouts bigint,
               files jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    tid int := goosebit.tenant_id(tenant);
    old goosebit.tenant;
BEGIN
    PERFORM goosebit.store_lock();
    PERFORM goosebit.slot_lock(tid);
    SELECT t.* INTO old FROM goosebit.tenant t WHERE t.id = tid FOR UPDATE;

    IF NOT FOUND THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('tenant "%s": not found', tenant));
    END IF;

    SELECT old.name,
           (SELECT count(*) FROM goosebit.device d WHERE d.tenant_id = tid),
           (SELECT count(*) FROM goosebit.software s
            WHERE s.tenant_id = tid),
           (SELECT count(*) FROM goosebit.rollout r WHERE r.tenant_id = tid),
           (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                       'sha256', s.sha256, 'filename', s.filename)), '[]')
            FROM goosebit.software s
            WHERE s.tenant_id = tid AND s.uri IS NULL)
    INTO name, devices, softwares, rollouts, files;

    IF NOT with_all AND devices + softwares + rollouts > 0 THEN
        PERFORM goosebit.fail('GB004',
            format('tenant "%s": has %s devices, %s software, %s rollouts',
                   name, devices, softwares, rollouts),
            '--force deletes them as well');
    END IF;

    PERFORM goosebit.changed('tenant', tid);

    DELETE FROM goosebit.action_status x WHERE x.tenant_id = tid;
    DELETE FROM goosebit.device_seen x WHERE x.tenant_id = tid;
    DELETE FROM goosebit.device x WHERE x.tenant_id = tid;
    DELETE FROM goosebit.action x WHERE x.tenant_id = tid;
    DELETE FROM goosebit.rollout x WHERE x.tenant_id = tid;
    DELETE FROM goosebit.software x WHERE x.tenant_id = tid;
    DELETE FROM goosebit.device_count x WHERE x.tenant_id = tid;
    DELETE FROM goosebit.result_count x WHERE x.tenant_id = tid;
    DELETE FROM goosebit.tenant x WHERE x.id = tid;

    PERFORM goosebit.audit_write(0, 'tenant.delete', name,
        jsonb_build_object('id', tid, 'devices', devices,
                           'software', softwares, 'rollouts', rollouts)
        || goosebit.tenant_facts(old));

    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.tenant_delete IS
    'forgets a tenant, an empty one unless with_all';
