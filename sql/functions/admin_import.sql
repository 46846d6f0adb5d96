-- gbctl import goosebit: what a gooseBit 0.2.x database holds.
--
-- It can be run again, to fetch what has happened there since. What has moved
-- here meanwhile (a device that has polled later here, anything an operator
-- has changed) keeps what it has here.

CREATE TYPE goosebit.import_device AS (
    id          text,
    name        text,
    hw_model    text,
    hw_revision text,
    sw_version  text,
    feed        text,
    mode        int,       -- gooseBit's UpdateModeEnum
    state       int,       -- gooseBit's UpdateStateEnum
    progress    int,
    log         text,
    seen        bigint,    -- seconds since 1970
    address     text,
    token       bytea,     -- SHA-256
    software    int,       -- the assigned one, as it is called here
    force       boolean,
    tags        text[]
);


-- Where an image of gooseBit's stands here: id, where it is registered
-- already; other, where a different image has its version and hardware.
-- image holds version, sha1, size and hardware.
CREATE FUNCTION goosebit_admin.import_software(tenant text, image jsonb)
RETURNS TABLE (id int, other int)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid int := goosebit.tenant_id(tenant);
BEGIN
    SELECT s.id INTO id FROM goosebit.software s
    WHERE s.tenant_id = tid
      AND s.version = image ->> 'version'
      AND s.sha1 = image ->> 'sha1'
      AND s.size = (image ->> 'size')::bigint
    ORDER BY s.id
    LIMIT 1;

    IF id IS NULL THEN
        other := goosebit.software_overlap(tid, image ->> 'version',
                                           image -> 'hardware');
    END IF;

    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit_admin.import_software IS
    'whether an image to be imported is here already, or can''t be';


-- Those of the objects that are as an import left them: what operators have
-- changed or made themselves is in the audit log with other verbs.
CREATE FUNCTION goosebit.import_own(tenant_id int, noun text, objects text[])
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
    SELECT a.object
    FROM goosebit.audit a
    WHERE a.tenant_id = $1 AND a.object = ANY ($3)
      AND pg_catalog.starts_with(a.verb, $2 || '.')
    GROUP BY a.object
    HAVING pg_catalog.bool_and(a.verb = $2 || '.import')
$$;
COMMENT ON FUNCTION goosebit.import_own IS
    'objects that nobody has changed since they were imported';


-- rollouts: an array of {source, created, name, feed, software, paused} in
-- the order they are to decide, the last above all. gooseBit passes over
-- paused ones and takes any other version, also an older one, so paused ones
-- come first and all may downgrade. A row each: source, id, result (added,
-- updated, kept), remark.
CREATE FUNCTION goosebit_admin.import_rollouts(tenant text, rollouts jsonb)
RETURNS TABLE (source text, id int, result text, remark text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid int := goosebit.tenant_id(tenant);
    src record;
    old goosebit.rollout;
    new goosebit.rollout;
BEGIN
    PERFORM goosebit.slot_lock(tid);
    PERFORM goosebit.tenant_hold(tenant);

    FOR src IN
        SELECT x.source, x.created, x.name, x.feed, x.software,
               CASE WHEN x.paused THEN 'paused' ELSE 'running' END AS state,
               CASE WHEN x.paused THEN 'paused in gooseBit' END AS why
        FROM ROWS FROM (jsonb_to_recordset(rollouts) AS (source text,
                            created timestamptz, name text, feed text,
                            software int, paused boolean))
             WITH ORDINALITY AS x
        ORDER BY x.ordinality
    LOOP
        source := src.source;
        remark := NULL;

        SELECT r.* INTO old FROM goosebit.rollout r
        WHERE r.tenant_id = tid AND r.feed = src.feed
          AND r.software_id = src.software AND r.created_at = src.created
          AND r.name IS NOT DISTINCT FROM src.name
        FOR UPDATE;

        IF NOT FOUND THEN
            INSERT INTO goosebit.rollout (tenant_id, software_id, feed, name,
                state, state_reason, allow_downgrade, created_at)
            VALUES (tid, src.software, src.feed, src.name, src.state, src.why,
                    true, src.created)
            RETURNING * INTO new;
            PERFORM goosebit.rollout_learn(tid, new.id);
            result := 'added';

        ELSIF old.state = src.state
              OR NOT EXISTS (SELECT FROM goosebit.import_own(tid, 'rollout',
                                             ARRAY[old.id::text]))
        THEN
            new := old;
            result := 'kept';

        ELSE
            UPDATE goosebit.rollout r
            SET state = src.state, state_reason = src.why
            WHERE r.tenant_id = tid AND r.id = old.id
            RETURNING * INTO new;
            result := 'updated';
        END IF;

        id := new.id;

        IF result <> 'kept' THEN
            PERFORM goosebit.changed('feed', tid, new.feed);
            PERFORM goosebit.audit_write(tid, 'rollout.import', id::text,
                CASE result WHEN 'updated' THEN goosebit.rollout_json(old) END,
                goosebit.rollout_json(new));
        END IF;

        IF result <> 'kept' AND new.state = 'paused' AND EXISTS (
               SELECT FROM jsonb_to_recordset(rollouts) AS x
                   (created timestamptz, feed text, paused boolean)
               WHERE x.feed = src.feed AND NOT x.paused
                 AND x.created < src.created)
        THEN
            remark := CASE result
                WHEN 'added'
                THEN 'is paused: older ones of its feed decide and go on doing so'
                ELSE 'is paused by now: nothing starts in its feed, also of older ones'
                END;
        END IF;

        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_admin.import_rollouts IS
    'takes over rollouts, in the order they decide';


-- When a device was last seen there. gooseBit rounds to whole seconds; this
-- is the earliest it can have been, so that a poll here after it is later.
CREATE FUNCTION goosebit.import_seen(src goosebit.import_device)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE
AS $$
    SELECT pg_catalog.to_timestamp((src).seen - 0.5)
$$;
COMMENT ON FUNCTION goosebit.import_seen IS
    'when gooseBit last saw a device, or NULL';


-- Why a device can't be taken at all, or NULL.
CREATE FUNCTION goosebit.import_refused(src goosebit.import_device)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN pg_catalog.octet_length((src).id) NOT BETWEEN 1 AND 255
        THEN 'its id must have 1 to 255 bytes'
        WHEN (src).id ~ '[\u0001-\u001f\u007f-\u009f]'
        THEN 'its id has control characters'
        END
$$;
COMMENT ON FUNCTION goosebit.import_refused IS
    'why a device is not imported, or NULL';


-- The device as gooseBit has it, over what is here.
CREATE FUNCTION goosebit.import_wanted(dev goosebit.device,
                                       src goosebit.import_device)
RETURNS goosebit.device
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    new goosebit.device := dev;
BEGIN
    new.name := src.name;
    new.hw_model := src.hw_model;
    new.hw_revision := src.hw_revision;
    new.sw_version := src.sw_version;
    new.feed := COALESCE(src.feed, 'default');
    new.token := src.token;
    new.force_update := src.force;
    new.tags := ARRAY(SELECT DISTINCT u.s COLLATE "C"
                      FROM pg_catalog.unnest(src.tags) AS u (s) ORDER BY 1);

    new.mode := CASE
        WHEN src.mode = 1 THEN 'latest'
        WHEN src.mode = 3 AND src.feed IS NOT NULL THEN 'rollout'
        WHEN src.mode = 4 THEN 'assigned'
        ELSE 'pinned' END;
    new.mode_before := CASE new.mode WHEN 'pinned'
                            THEN COALESCE(dev.mode_before, 'rollout') END;
    new.assigned_software_id := CASE new.mode WHEN 'assigned'
                                     THEN src.software END;
    IF new.assigned_software_id IS DISTINCT FROM dev.assigned_software_id THEN
        new.assignment := dev.assignment + 1;
    END IF;

    new.state := CASE src.state WHEN 1 THEN 'unknown' WHEN 3 THEN 'running'
                                WHEN 4 THEN 'error' WHEN 5 THEN 'finished'
                                ELSE 'registered' END;
    IF src.state <> 1 AND new.config_data_at IS NULL THEN
        new.config_data_at := COALESCE(goosebit.import_seen(src),
                                       pg_catalog.now());
    END IF;

    RETURN new;
END
$$;
COMMENT ON FUNCTION goosebit.import_wanted IS
    'a device''s row as a gooseBit device describes it';


-- gooseBit keeps no attempts, only how the last one stands. Where that is
-- about today's target it becomes an action, with the log: one that runs goes
-- on, one that failed holds the target, one that finished is history. NULL:
-- there is none to be made.
CREATE FUNCTION goosebit.import_action(dev goosebit.device,
                                       src goosebit.import_device)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    d     goosebit.decision := goosebit.target(dev, pg_catalog.now());
    at    timestamptz := COALESCE(goosebit.import_seen(src), pg_catalog.now());
    lines text[] := pg_catalog.string_to_array(
                        pg_catalog.rtrim(src.log, E'\n'), E'\n');
    n     int := COALESCE((pg_catalog.cardinality(lines) + 99) / 100, 0);
    ended boolean := dev.state <> 'running';
    nid   int;
    since bigint;
BEGIN
    IF d.software_id IS NULL
       OR dev.state NOT IN ('running', 'error', 'finished')
       OR (dev.state = 'finished')
          <> COALESCE(goosebit.version_same(dev.sw_version, d.version), false)
       OR dev.state = 'finished' AND n = 0
    THEN
        RETURN NULL;
    END IF;

    nid := goosebit.action_id();

    INSERT INTO goosebit.action (tenant_id, device_id, id, software_id,
        version, cause, cause_id, generation, type, state, progress, deadline,
        statuses, final, created_at, fetched_at, proceeding_at, heard_at,
        ended_at)
    VALUES (dev.tenant_id, dev.id, nid, d.software_id, d.version, d.cause,
        d.cause_id, d.generation, d.type, dev.state,
        LEAST(100, GREATEST(0, COALESCE(src.progress, 0))),
        -- from now on: gooseBit knows no deadline
        d.deadline + EXTRACT(epoch FROM pg_catalog.now() - at)::int,
        LEAST(n, 1000), CASE WHEN ended THEN dev.state END, at, at, at, at,
        CASE WHEN ended THEN at END);

    WITH written AS (
        INSERT INTO goosebit.action_status (tenant_id, device_id, at,
            action_id, resource, execution, finished, details)
        SELECT dev.tenant_id, dev.id, at, nid, 'deployment',
               CASE WHEN ended AND p.i = n THEN 'closed' ELSE 'proceeding' END,
               CASE WHEN NOT ended OR p.i < n THEN 'none'
                    WHEN dev.state = 'error' THEN 'failure'
                    ELSE 'success' END,
               ARRAY(SELECT pg_catalog.left(u.line, 4096)
                     FROM pg_catalog.unnest(lines[p.i * 100 - 99 : p.i * 100])
                          WITH ORDINALITY AS u (line, o)
                     ORDER BY u.o)
        FROM pg_catalog.generate_series(GREATEST(1, n - 999), n) AS p (i)
        ORDER BY p.i
        RETURNING id)
    SELECT pg_catalog.min(w.id) INTO since FROM written w;

    UPDATE goosebit.device x
    SET open_action_id = CASE WHEN ended THEN NULL ELSE nid END,
        log_from = COALESCE(since, x.log_from)
    WHERE x.tenant_id = dev.tenant_id AND x.id = dev.id;

    RETURN nid;
END
$$;
COMMENT ON FUNCTION goosebit.import_action IS
    'the action that gooseBit''s state of a device stands for, or NULL';


-- devices: an array of goosebit.import_device. A row each: id, result (added,
-- updated, kept, refused), and a remark on what could not be taken.
CREATE FUNCTION goosebit_admin.import_devices(tenant text, devices jsonb)
RETURNS TABLE (id text, result text, remark text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tid    int := goosebit.tenant_hold(tenant);
    src    goosebit.import_device;
    old    goosebit.device;
    new    goosebit.device;
    at     timestamptz;
    seen   timestamptz;
    newest boolean;
    own    text[];
BEGIN
    own := ARRAY(SELECT o FROM goosebit.import_own(tid, 'device', ARRAY(
                     SELECT x ->> 'id' FROM jsonb_array_elements(devices) x)) o);

    FOR src IN
        SELECT x.* FROM jsonb_populate_recordset(NULL::goosebit.import_device,
                                                 devices) x
        ORDER BY x.id COLLATE "C"
    LOOP
        id := src.id;
        result := 'refused';
        remark := goosebit.import_refused(src);

        IF remark IS NOT NULL THEN
            RETURN NEXT;
            CONTINUE;
        END IF;

        INSERT INTO goosebit.device (tenant_id, controller_id)
        VALUES (tid, src.id)
        ON CONFLICT (tenant_id, controller_id) DO NOTHING;
        result := CASE WHEN FOUND THEN 'added' ELSE 'updated' END;

        SELECT d.* INTO old FROM goosebit.device d
        WHERE d.tenant_id = tid AND d.controller_id = src.id
        FOR NO KEY UPDATE;
        SELECT s.seen_at INTO seen FROM goosebit.device_seen s
        WHERE s.tenant_id = tid AND s.device_id = old.id;

        new := goosebit.import_wanted(old, src);
        at := goosebit.import_seen(src);
        newest := COALESCE(at, '-infinity') > COALESCE(seen, '-infinity');

        IF result = 'updated' THEN
            -- What a device does there is seen by its last poll there.
            IF NOT newest THEN
                new.state := old.state;
            END IF;

            IF seen > COALESCE(at, '-infinity')
               OR src.id <> ALL (own)
               OR EXISTS (SELECT FROM goosebit.action a
                          WHERE a.tenant_id = tid AND a.device_id = old.id
                            AND a.heard_at > at)
               OR NOT newest AND (new IS NOT DISTINCT FROM old
                                  OR old.open_action_id IS NOT NULL)
            THEN
                result := 'kept';
                RETURN NEXT;
                CONTINUE;
            END IF;

            -- The running one of the import before.
            PERFORM goosebit.action_cancel(tid, old.id, 'superseded', true);
        END IF;

        UPDATE goosebit.device d
        SET name = new.name, hw_model = new.hw_model,
            hw_revision = new.hw_revision, sw_version = new.sw_version,
            feed = new.feed, mode = new.mode, mode_before = new.mode_before,
            assignment = new.assignment,
            assigned_software_id = new.assigned_software_id,
            force_update = new.force_update, state = new.state,
            token = new.token, tags = new.tags,
            config_data_at = new.config_data_at
        WHERE d.tenant_id = tid AND d.id = old.id
        RETURNING d.* INTO new;
        PERFORM goosebit.device_check(new);
        IF result = 'updated' THEN
            PERFORM goosebit.changed('device', tid, NULL, new.id);
        END IF;

        INSERT INTO goosebit.device_seen (tenant_id, device_id, seen_at,
                                          address)
        SELECT tid, new.id, at, src.address
        WHERE at IS NOT NULL
        ON CONFLICT (tenant_id, device_id) DO UPDATE
        SET seen_at = EXCLUDED.seen_at, address = EXCLUDED.address;

        remark := CASE
            WHEN src.mode NOT IN (1, 2, 3, 4)
            THEN 'has no update mode: it is pinned'
            WHEN src.mode = 3 AND src.feed IS NULL
            THEN 'is in mode rollout without a feed: it is pinned'
            END;

        IF newest AND goosebit.import_action(new, src) IS NULL
           AND new.state = 'running'
        THEN
            UPDATE goosebit.device d SET state = 'registered'
            WHERE d.tenant_id = tid AND d.id = new.id;
            remark := COALESCE(remark || '; ', '')
                || 'was updating to what is not its target now';
        END IF;

        PERFORM goosebit.audit_write(tid, 'device.import', src.id,
            CASE result WHEN 'updated' THEN goosebit.device_facts(old) END,
            goosebit.device_facts(new));
        RETURN NEXT;
    END LOOP;

    -- More may follow than came before: tables are looked into by any index
    -- while they are thought to be empty, and one by tenant and feed then reads
    -- all of the tenant.
    PERFORM goosebit.plans_keep();
END
$$;
COMMENT ON FUNCTION goosebit_admin.import_devices IS
    'takes over devices, each unless it has moved here since';
