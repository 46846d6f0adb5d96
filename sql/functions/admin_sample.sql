-- gbctl sample load: a fleet worth looking at. Everything follows from the
-- devices' numbers and the time, so that it is the same each time.


-- A number from 0 to 99 out of a text.
CREATE FUNCTION goosebit.sample_dice(seed text)
RETURNS int
LANGUAGE sql IMMUTABLE
AS $$
    SELECT pg_catalog.mod(pg_catalog.abs(pg_catalog.hashtext(seed)), 100)
$$;
COMMENT ON FUNCTION goosebit.sample_dice IS '0 to 99, the same for the same text';


CREATE FUNCTION goosebit.sample_rollout(tenant_id int, software int,
                                        name text, feed text, state text,
                                        why text, age interval)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    r goosebit.rollout;
BEGIN
    INSERT INTO goosebit.rollout (tenant_id, software_id, name, feed, state,
        state_reason, created_at)
    VALUES (sample_rollout.tenant_id, software, sample_rollout.name,
        sample_rollout.feed, sample_rollout.state, why,
        pg_catalog.now() - age)
    RETURNING * INTO r;

    PERFORM goosebit.rollout_learn(r.tenant_id, r.id);
    PERFORM goosebit.changed('feed', sample_rollout.tenant_id, r.feed);
    RETURN r.id;
END
$$;
COMMENT ON FUNCTION goosebit.sample_rollout IS 'one rollout of the sample';


-- The log of an update so far, as SWUpdate words it.
CREATE FUNCTION goosebit.sample_log(state text, progress int)
RETURNS text[]
LANGUAGE sql IMMUTABLE
AS $$
    SELECT ARRAY['Software Update started !',
                 'Found ' || CASE WHEN $1 = 'error' THEN 'rootfs.ext4.zst'
                                  ELSE 'rootfs.ext4' END,
                 pg_catalog.format('Downloaded %s%%', $2)]
        || CASE $1
           WHEN 'finished' THEN ARRAY['Installing rootfs.ext4 to /dev/mmcblk0p3',
               'SWUPDATE successful !']
           WHEN 'error' THEN ARRAY['Installing rootfs.ext4.zst to /dev/mmcblk0p3',
               'ERROR : zstd decompress failed: Data corruption detected',
               'ERROR : SWUpdate *failed* !']
           ELSE '{}' END
$$;
COMMENT ON FUNCTION goosebit.sample_log IS 'lines of a sample device''s log';


-- An attempt of a device that began this long ago. NULL for the id of an
-- action that is not open any more.
CREATE FUNCTION goosebit.sample_action(dev goosebit.device, rollout_id int,
                                       state text, progress int, age interval)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    ended boolean := state <> 'running';
    at    timestamptz := pg_catalog.now() - age;
    nid   int := goosebit.action_id();
    s     record;
BEGIN
    SELECT x.id, x.version INTO s
    FROM goosebit.rollout r
    JOIN goosebit.software x
      ON x.tenant_id = r.tenant_id AND x.id = r.software_id
    WHERE r.tenant_id = dev.tenant_id AND r.id = rollout_id;

    INSERT INTO goosebit.action (tenant_id, device_id, id, software_id,
        version, cause, cause_id, state, progress, statuses, final,
        created_at, fetched_at, proceeding_at, heard_at, ended_at)
    VALUES (dev.tenant_id, dev.id, nid, s.id, s.version, 'rollout',
        rollout_id, sample_action.state, sample_action.progress, 1,
        CASE WHEN ended THEN sample_action.state END, at, at, at,
        pg_catalog.now(),
        CASE WHEN ended THEN at + interval '4 minutes' END);

    INSERT INTO goosebit.action_status (tenant_id, device_id, at, action_id,
        resource, execution, finished, progress, details)
    VALUES (dev.tenant_id, dev.id, at + interval '4 minutes', nid,
        'deployment', CASE WHEN ended THEN 'closed' ELSE 'proceeding' END,
        CASE sample_action.state WHEN 'finished' THEN 'success'
             WHEN 'error' THEN 'failure' ELSE 'none' END,
        sample_action.progress,
        goosebit.sample_log(sample_action.state, sample_action.progress));

    RETURN CASE WHEN ended THEN NULL ELSE nid END;
END
$$;
COMMENT ON FUNCTION goosebit.sample_action IS 'one attempt of a sample device';


-- The devices, in the order they are made.
CREATE FUNCTION goosebit.sample_fleet()
RETURNS TABLE (product text, feed text, n int, id text)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT p.product, p.feed, x.n, pg_catalog.format('sample-%s-%s', p.product,
               pg_catalog.lpad(x.n::text, 3, '0'))
    FROM (VALUES ('gateway', 'production', 240), ('camera', 'beta', 120),
                 ('sensor-hub', 'lab', 60)) AS p (product, feed, many)
    CROSS JOIN LATERAL pg_catalog.generate_series(1, p.many) AS x (n)
    ORDER BY 4
$$;
COMMENT ON FUNCTION goosebit.sample_fleet IS 'which devices the sample has';


-- How many devices this database holds, of all tenants, and whether some of the
-- sample are the tenant's.
CREATE FUNCTION goosebit_admin.sample_devices(tenant text)
RETURNS TABLE (devices bigint, loaded boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT count(*) FROM goosebit.device),
           EXISTS (SELECT FROM goosebit.device d
                   JOIN goosebit.sample_fleet() f ON f.id = d.controller_id
                   WHERE d.tenant_id = goosebit.tenant_id($1))
$$;
COMMENT ON FUNCTION goosebit_admin.sample_devices IS
    'how many devices there are already, and whether the sample is';


CREATE FUNCTION goosebit_admin.sample_ids()
RETURNS TABLE (id text)
LANGUAGE sql IMMUTABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.id FROM goosebit.sample_fleet() f
$$;
COMMENT ON FUNCTION goosebit_admin.sample_ids IS
    'ids of the devices that sample_load() makes';


-- software: by product (gateway, camera, sensor-hub) the ids of its images,
-- oldest first. A row for what it made. GB002 where a device exists already.
CREATE FUNCTION goosebit_admin.sample_load(tenant text, software jsonb)
RETURNS TABLE (kind text, count bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid    int := goosebit.tenant_id(tenant);
    sites  CONSTANT text[] := '{hamburg,lyon,porto,turin,gdansk}';
    before int;    -- the rollout of the version before
    half   int;    -- the one that is half done
    paused int;
    ended  int;
    r      record;
    dev    goosebit.device;
    open   int;
BEGIN
    PERFORM goosebit.slot_lock(tid);

    before := goosebit.sample_rollout(tid, (software #>> '{gateway,1}')::int,
        'Gateway spring release', 'production', 'running', NULL, '90 days');
    paused := goosebit.sample_rollout(tid, (software #>> '{camera,1}')::int,
        'Camera night mode', 'beta', 'paused', 'paused by sample', '3 days');
    ended := goosebit.sample_rollout(tid, (software #>> '{sensor-hub,0}')::int,
        'Sensor hub, first try', 'lab', 'aborted', 'aborted by sample',
        '20 days');
    PERFORM goosebit.sample_rollout(tid, (software #>> '{sensor-hub,1}')::int,
        'Sensor hub', 'lab', 'running', NULL, '2 days');
    half := goosebit.sample_rollout(tid, (software #>> '{gateway,2}')::int,
        'Gateway 2.0', 'production', 'running', NULL, '5 hours');

    FOR r IN
        SELECT f.*, goosebit.sample_dice(f.product || f.n) AS dice,
               goosebit.sample_dice(f.n || f.product) AS other
        FROM goosebit.sample_fleet() f
    LOOP
        INSERT INTO goosebit.device (tenant_id, controller_id, name, hw_model,
            hw_revision, sw_version, feed, mode, mode_before, state, tags,
            token, config_data_at, created_at)
        VALUES (tid, r.id,
            format('%s %s, %s', initcap(replace(r.product, '-', ' ')), r.n,
                   initcap(sites[r.n % 5 + 1])),
            r.product, CASE WHEN r.other < 70 THEN 'rev1' ELSE 'rev2' END,
            (SELECT s.version FROM goosebit.software s
             WHERE s.tenant_id = tid
               AND s.id = (software -> r.product ->> 0)::int),
            r.feed,
            CASE WHEN r.other < 3 THEN 'pinned' WHEN r.other < 6 THEN 'latest'
                 ELSE 'rollout' END,
            CASE WHEN r.other < 3 THEN 'rollout' END,
            CASE WHEN r.dice > 97 THEN 'unknown' ELSE 'registered' END,
            ARRAY[sites[r.n % 5 + 1]] || CASE WHEN r.n % 10 = 0
                                              THEN '{canary}'::text[]
                                              ELSE '{}' END,
            sha256(convert_to('sample ' || r.id, 'UTF8')),
            CASE WHEN r.dice <= 97 THEN now() - interval '120 days' END,
            now() - interval '120 days')
        ON CONFLICT (tenant_id, controller_id) DO NOTHING
        RETURNING * INTO dev;

        IF dev.id IS NULL THEN
            PERFORM goosebit.fail('GB002',
                format('device "%s": exists already', r.id));
        END IF;

        INSERT INTO goosebit.device_seen VALUES (tid, dev.id,
            now() - CASE WHEN r.dice < 85 THEN interval '1 second' * r.dice
                         ELSE interval '1 hour' * r.dice END,
            format('10.%s.%s.%s', r.n % 5, r.dice, r.n % 250 + 1));
        INSERT INTO goosebit.device_attributes VALUES (tid, dev.id,
            jsonb_build_object('hw_model', dev.hw_model, 'hw_revision',
                dev.hw_revision, 'sw_version', dev.sw_version,
                'site', sites[r.n % 5 + 1], 'region',
                CASE WHEN r.n % 5 < 3 THEN 'eu-west' ELSE 'eu-east' END,
                'serial', upper(left(md5(r.id), 8))));

        open := NULL;
        CONTINUE WHEN dev.state = 'unknown' OR dev.mode <> 'rollout';

        IF r.product = 'gateway' THEN
            PERFORM goosebit.sample_action(dev, before, 'finished', 100,
                                           interval '80 days');
            dev.state := CASE WHEN r.dice < 45 THEN 'finished'
                              WHEN r.dice < 52 THEN 'error'
                              WHEN r.dice < 57 THEN 'running'
                              ELSE 'finished' END;
            IF r.dice < 57 THEN
                open := goosebit.sample_action(dev, half, dev.state,
                    CASE dev.state WHEN 'running' THEN r.other ELSE 100 END,
                    interval '1 minute' * (r.dice * 4 + 5));
            END IF;
            dev.sw_version := (SELECT s.version FROM goosebit.software s
                WHERE s.tenant_id = tid AND s.id = (software -> 'gateway'
                    ->> CASE WHEN r.dice < 45 THEN 2 ELSE 1 END)::int);

        ELSIF r.product = 'camera' AND r.dice < 20 THEN
            dev.state := CASE WHEN r.dice < 5 THEN 'error' ELSE 'finished' END;
            PERFORM goosebit.sample_action(dev, paused, dev.state, 100,
                                           interval '1 hour' * (r.dice + 3));
            IF dev.state = 'finished' THEN
                dev.sw_version := (SELECT s.version FROM goosebit.software s
                    WHERE s.tenant_id = tid
                      AND s.id = (software #>> '{camera,1}')::int);
            END IF;

        ELSIF r.product = 'sensor-hub' AND r.dice < 30 THEN
            dev.state := 'error';
            PERFORM goosebit.sample_action(dev, ended, 'error', 100,
                                           interval '19 days');
        END IF;

        UPDATE goosebit.device d
        SET state = dev.state, sw_version = dev.sw_version,
            open_action_id = open,
            installed_action_id = (
                SELECT a.id FROM goosebit.action a
                WHERE a.tenant_id = tid AND a.device_id = d.id
                  AND a.state = 'finished'
                ORDER BY a.id DESC LIMIT 1)
        WHERE d.tenant_id = tid AND d.id = dev.id;
    END LOOP;

    PERFORM goosebit.audit_write(tid, 'sample.load', tenant, NULL,
                                 '{"devices": 420, "rollouts": 5}');

    RETURN QUERY
    VALUES ('device', 420::bigint), ('rollout', 5),
        ('action', (SELECT pg_catalog.count(*) FROM goosebit.action a
                    WHERE a.tenant_id = tid AND a.cause = 'rollout'
                      AND a.cause_id BETWEEN before AND half));
END
$$;
COMMENT ON FUNCTION goosebit_admin.sample_load IS
    'devices, rollouts and attempts over images that are registered already';
