-- gbctl device cancel and delete: see admin_device_change.sql.


-- Where the only answer is that the devices go on, nothing was cancelled and
-- that is an error.
CREATE FUNCTION goosebit_admin.device_cancel(tenant text, devices text[],
                                             at_once boolean)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t       int := goosebit.tenant_id(tenant);
    dev     goosebit.device;
    a       goosebit.action;
    change  goosebit_admin.device_change;
    stopped boolean := false;
    refused goosebit_admin.device_change;
    done    int := 0;
BEGIN
    FOR dev IN SELECT d.* FROM goosebit.device_lock(t, devices) d LOOP
        PERFORM goosebit.progress(done, cardinality(devices));
        done := done + 1;

        SELECT x.* INTO a FROM goosebit.action x
        WHERE x.tenant_id = t AND x.device_id = dev.id
          AND x.id = dev.open_action_id;
        CONTINUE WHEN NOT FOUND;

        change := (dev.controller_id, jsonb_build_object('state', a.state),
                NULL, a.id, goosebit.action_cancel(t, dev.id, 'operator',
                                                   at_once));
        IF change.action = 'refused' THEN
            refused := change;
            change.after := change.before;
        ELSE
            stopped := true;
            SELECT jsonb_build_object('state', x.state) INTO change.after
            FROM goosebit.action x
            WHERE x.tenant_id = t AND x.device_id = dev.id AND x.id = a.id;
            PERFORM goosebit.audit_write(t, 'device.cancel',
                dev.controller_id,
                jsonb_build_object('action', a.id) || change.before,
                jsonb_build_object('action', a.id) || change.after);
        END IF;
        RETURN NEXT change;
    END LOOP;

    IF refused.id IS NOT NULL AND NOT stopped THEN
        PERFORM goosebit.fail('GB006',
            format('device "%s": refused to cancel action %s and goes on',
                   refused.id, refused.action_id),
            '--now ends the action without asking the device');
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_cancel IS
    'cancels the open action of each device that has one';


-- With all that is known of them, their history included. What others count
-- of a rollout no longer holds these devices.
CREATE FUNCTION goosebit_admin.device_delete(tenant text, devices text[])
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
DECLARE
    t    int := goosebit.tenant_id(tenant);
    part int := 10000;
    ids  bigint[];
    here bigint[];
BEGIN
    RETURN QUERY
    WITH locked AS MATERIALIZED (
        SELECT d.controller_id, d.open_action_id, jsonb_strip_nulls(
                   goosebit.device_facts(d)
                   || jsonb_build_object('sw_version', d.sw_version,
                          'hw_model', d.hw_model,
                          'hw_revision', d.hw_revision,
                          'state', d.state)) AS before
        FROM goosebit.device_lock(t, devices) d
    ), logged AS (
        INSERT INTO goosebit.audit (tenant_id, verb, object, before)
        SELECT t, 'device.delete', l.controller_id, l.before FROM locked l
    )
    SELECT l.controller_id, l.before, NULL::jsonb, l.open_action_id,
           CASE WHEN l.open_action_id IS NOT NULL THEN 'ended' END
    FROM locked l
    ORDER BY l.controller_id;

    ids := ARRAY(SELECT d.id FROM goosebit.device d
                 WHERE d.tenant_id = t AND d.controller_id = ANY (devices));

    INSERT INTO goosebit.change (scope, tenant_id, device_id)
    SELECT 'device', t, u.id FROM unnest(ids) AS u (id);

    FOR i IN 0 .. (cardinality(ids) - 1) / part LOOP
        here := ids[i * part + 1:(i + 1) * part];

        DELETE FROM goosebit.action_status s
        WHERE s.tenant_id = t AND s.device_id = ANY (here);
        DELETE FROM goosebit.device_seen s
        WHERE s.tenant_id = t AND s.device_id = ANY (here);
        DELETE FROM goosebit.device d
        WHERE d.tenant_id = t AND d.id = ANY (here);
        DELETE FROM goosebit.action a
        WHERE a.tenant_id = t AND a.device_id = ANY (here);

        PERFORM goosebit.progress((i + 1) * part, cardinality(ids));
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_delete IS
    'forgets devices and their history';
