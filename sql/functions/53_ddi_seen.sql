-- What the module says and asks on its own account.


-- Last polls, a batch at a time: newest wins, whatever order batches come in.
-- Losing the last of these in a crash is fine; waiting for the disk is not.
CREATE FUNCTION goosebit_ddi.seen(tenant_ids int[], device_ids bigint[],
                                  seen_at bigint[], addresses text[])
RETURNS TABLE (rows int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);

    -- Sorted, so that two NGINX instances never wait for each other in a
    -- circle; each device once, since one statement can't update it twice.
    INSERT INTO goosebit.device_seen AS s
        (tenant_id, device_id, seen_at, address)
    SELECT DISTINCT ON (u.tenant_id, u.device_id) u.tenant_id, u.device_id,
           pg_catalog.to_timestamp(u.ms / 1000.0), u.address
    FROM ROWS FROM (pg_catalog.unnest(seen.tenant_ids),
                    pg_catalog.unnest(seen.device_ids),
                    pg_catalog.unnest(seen.seen_at),
                    pg_catalog.unnest(seen.addresses))
         AS u (tenant_id, device_id, ms, address)
    WHERE EXISTS (SELECT FROM goosebit.device d
                  WHERE d.tenant_id = u.tenant_id AND d.id = u.device_id)
    ORDER BY u.tenant_id, u.device_id, u.ms DESC
    ON CONFLICT (tenant_id, device_id) DO UPDATE
    SET seen_at = EXCLUDED.seen_at, address = EXCLUDED.address
    WHERE s.seen_at < EXCLUDED.seen_at;

    GET DIAGNOSTICS rows = ROW_COUNT;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.seen IS
    'stores last polls where newer; answers how many';


-- At each start of the module. DEFAULT is there from the first migration on:
-- where it is not, somebody has deleted it.
CREATE FUNCTION goosebit_ddi.tenants(names text[])
RETURNS TABLE (refused text[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    refused := '{}';

    FOR name IN
        SELECT n FROM pg_catalog.unnest(names) n
        WHERE pg_catalog.lower(n COLLATE "C") <> 'default'
          AND NOT EXISTS (SELECT FROM goosebit.tenant t WHERE
                          t.name_key = pg_catalog.lower(n COLLATE "C"))
    LOOP
        BEGIN
            PERFORM goosebit_admin.tenant_add(name);
        EXCEPTION
            WHEN SQLSTATE 'GB002' THEN      -- another NGINX was first
                NULL;
            WHEN SQLSTATE 'GB003' THEN
                refused := refused || name;
        END;
    END LOOP;

    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.tenants IS
    'adds the tenants of goosebit.yaml; answers those with an invalid name';


CREATE FUNCTION goosebit_ddi.status()
RETURNS TABLE (tenant text, state text, devices bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.name, c.state, c.devices
    FROM goosebit.device_counts(NULL, NULL) c
    JOIN goosebit.tenant t ON t.id = c.tenant_id
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION goosebit_ddi.status IS
    'devices by tenant and state, for goosebit_status';


-- A commit that has something to write waits until the disk has it, and all
-- that was committed before, which did not wait.
CREATE FUNCTION goosebit_ddi.flush()
RETURNS TABLE (flushed boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_catalog.pg_logical_emit_message(true, 'goosebit', '');
    flushed := true;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.flush IS
    'makes what was committed with synchronous_commit off safe';
