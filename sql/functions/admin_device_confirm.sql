-- gbctl device confirm, deny, autoconfirm.


-- An operator's word on the actions that wait: a yes lets them begin, a no
-- ends them as rejected, which holds the target like an error. Devices where
-- nothing waits are left out.
CREATE FUNCTION goosebit_admin.device_confirm(tenant text, devices text[],
                                              confirmed boolean)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t      int := goosebit.tenant_id(tenant);
    dev    goosebit.device;
    change goosebit_admin.device_change;
    done   int := 0;
BEGIN
    FOR dev IN SELECT d.* FROM goosebit.device_lock(t, devices) d LOOP
        PERFORM goosebit.progress(done, cardinality(devices));
        done := done + 1;

        SELECT x.id INTO change.action_id FROM goosebit.action x
        WHERE x.tenant_id = t AND x.device_id = dev.id
          AND x.state = 'awaiting_confirmation';
        CONTINUE WHEN NOT FOUND;

        change.id := dev.controller_id;
        change.before := jsonb_build_object('state', 'awaiting_confirmation');

        IF confirmed THEN
            PERFORM goosebit.action_confirm(t, dev.id, session_user::text);
            change.after := jsonb_build_object('state', 'open');
            change.action := 'confirmed';
        ELSE
            PERFORM goosebit.action_end(t, dev.id, change.action_id,
                                        'rejected');
            change.after := jsonb_build_object('state', 'rejected');
            change.action := 'denied';
        END IF;

        PERFORM goosebit.audit_write(t,
            CASE WHEN confirmed THEN 'device.confirm' ELSE 'device.deny' END,
            change.id,
            jsonb_build_object('action', change.action_id) || change.before,
            jsonb_build_object('action', change.action_id) || change.after);
        RETURN NEXT change;
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_confirm IS
    'confirms or denies the actions that wait for it';


-- Switching on also confirms what waits, as the device's own switch does.
CREATE FUNCTION goosebit_admin.device_autoconfirm(tenant text, devices text[],
                                                  active boolean)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t      int := goosebit.tenant_id(tenant);
    dev    goosebit.device;
    change goosebit_admin.device_change;
    done   int := 0;
BEGIN
    FOR dev IN SELECT d.* FROM goosebit.device_lock(t, devices) d LOOP
        PERFORM goosebit.progress(done, cardinality(devices));
        done := done + 1;

        CONTINUE WHEN dev.auto_confirm = active;

        change := (dev.controller_id,
                   jsonb_build_object('auto_confirm', dev.auto_confirm),
                   jsonb_build_object('auto_confirm', active), NULL, NULL);

        IF active THEN
            SELECT x.id, 'confirmed' INTO change.action_id, change.action
            FROM goosebit.action x
            WHERE x.tenant_id = t AND x.device_id = dev.id
              AND x.state = 'awaiting_confirmation';
        END IF;

        PERFORM goosebit.auto_confirm_set(t, dev.id, active,
                                          session_user::text, NULL);
        PERFORM goosebit.audit_write(t, 'device.autoconfirm', change.id,
                                     change.before, change.after);
        RETURN NEXT change;
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_autoconfirm IS
    'switches automatic confirmation of devices';
