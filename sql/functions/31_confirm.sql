-- Confirmation: an action that waits for a yes holds its slot and is not
-- offered. A device's no leaves it waiting, as hawkBit does; an operator's
-- ends it. The caller has locked the device's row.


-- The device's open action begins, if it waits; its deadline counts from now,
-- or from when its window opens, before which it is not offered. NULL: nothing
-- waited.
CREATE FUNCTION goosebit.action_confirm(tenant_id int, device_id bigint,
                                        who text)
RETURNS int
LANGUAGE sql VOLATILE
AS $$
    UPDATE goosebit.action x
    SET state = 'open', confirmed_at = pg_catalog.now(), confirmed_by = $3,
        heard_at = goosebit.window_opens(x.maintenance_window,
                                         pg_catalog.now())
    WHERE x.tenant_id = $1 AND x.device_id = $2
      AND x.state = 'awaiting_confirmation'
    RETURNING x.id
$$;
COMMENT ON FUNCTION goosebit.action_confirm IS
    'lets a device''s waiting action begin, gives its id';


-- Switches automatic confirmation. On also confirms what waits. Switching on
-- again keeps the time and takes the new words.
CREATE FUNCTION goosebit.auto_confirm_set(tenant_id int, device_id bigint,
                                          active boolean, initiator text,
                                          remark text)
RETURNS goosebit.device
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    dev goosebit.device;
BEGIN
    UPDATE goosebit.device d
    SET auto_confirm = active,
        auto_confirm_initiator = CASE WHEN active THEN initiator END,
        auto_confirm_remark = CASE WHEN active THEN remark END,
        auto_confirm_at = CASE WHEN active
            THEN COALESCE(d.auto_confirm_at, pg_catalog.now()) END
    WHERE d.tenant_id = auto_confirm_set.tenant_id
      AND d.id = auto_confirm_set.device_id
    RETURNING d.* INTO dev;

    IF active THEN
        PERFORM goosebit.action_confirm(auto_confirm_set.tenant_id,
            auto_confirm_set.device_id, 'auto');
    END IF;

    RETURN dev;
END
$$;
COMMENT ON FUNCTION goosebit.auto_confirm_set IS
    'switches automatic confirmation of a device';
