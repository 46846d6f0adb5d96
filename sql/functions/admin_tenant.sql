-- gbctl tenant, the least of it: add, list, set.


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

    PERFORM goosebit.audit_write(tenant_add.id, 'tenant.add', tenant_add.name);
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

    -- A digest is no secret to guess from, but nobody needs it in a log.
    PERFORM goosebit.audit_write(tid, 'tenant.set', new.name,
        pg_catalog.to_jsonb(old) - 'gateway_token',
        pg_catalog.to_jsonb(new) - 'gateway_token');

    tenant_set.name := new.name;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.tenant_set IS
    'changes what a tenant sets for itself; null: as configured';
