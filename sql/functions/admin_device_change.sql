-- gbctl device: the verbs that change devices. Each locks all the devices it
-- is given, fails as a whole, and answers with a row for each that it
-- changed; devices that were so already are left out.

CREATE TYPE goosebit_admin.device_change AS (
    id         text,
    before     jsonb,    -- the fields that changed, as they were
    after      jsonb,
    action_id  int,      -- the open action, where it was touched
    action     text      -- ended, asked, refused
);
COMMENT ON TYPE goosebit_admin.device_change IS
    'what a verb changed of a device';


-- What operators set of a device, as audit and answers show it. Of a token
-- only that there is one. No FROM, so that it is inlined.
CREATE FUNCTION goosebit.device_facts(d goosebit.device)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.jsonb_build_object(
        'name', d.name, 'feed', d.feed, 'mode', d.mode,
        'assigned_software', d.assigned_software_id,
        'assignment', d.assignment, 'type', d.assigned_type,
        'confirm', d.assigned_confirm, 'window', d.assigned_window,
        'force_update', d.force_update, 'tags', d.tags,
        'poll_time', d.poll_time * interval '1 second',
        'token', CASE WHEN d.token IS NULL THEN 'none' ELSE 'set' END,
        'blocked', d.blocked)
$$;
COMMENT ON FUNCTION goosebit.device_facts IS
    'the fields of a device that verbs change';


CREATE FUNCTION goosebit.software_version(tenant_id int, id int)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT s.version FROM goosebit.software s
    WHERE s.tenant_id = $1 AND s.id = $2
$$;
COMMENT ON FUNCTION goosebit.software_version IS
    'the version of a software, NULL where there is none';


-- Those of them in which other has not the same, and none of what both have.
-- Field by field, since two whole objects and their difference take ten times
-- as long. No FROM, as above.
CREATE FUNCTION goosebit.device_diff(d goosebit.device, other goosebit.device)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN d.name IS DISTINCT FROM other.name
                THEN pg_catalog.jsonb_build_object('name', d.name)
                ELSE '{}' END
        || CASE WHEN d.feed <> other.feed
                THEN pg_catalog.jsonb_build_object('feed', d.feed)
                ELSE '{}' END
        || CASE WHEN d.mode <> other.mode
                THEN pg_catalog.jsonb_build_object('mode', d.mode)
                ELSE '{}' END
        || CASE WHEN d.assigned_software_id
                     IS DISTINCT FROM other.assigned_software_id
                THEN pg_catalog.jsonb_build_object(
                         'assigned_software', d.assigned_software_id,
                         'assigned_version',
                         goosebit.software_version(d.tenant_id,
                                                   d.assigned_software_id))
                ELSE '{}' END
        || CASE WHEN d.assignment <> other.assignment
                THEN pg_catalog.jsonb_build_object('assignment', d.assignment)
                ELSE '{}' END
        || CASE WHEN d.assigned_type <> other.assigned_type
                THEN pg_catalog.jsonb_build_object('type', d.assigned_type)
                ELSE '{}' END
        || CASE WHEN d.assigned_confirm <> other.assigned_confirm
                THEN pg_catalog.jsonb_build_object('confirm',
                                                   d.assigned_confirm)
                ELSE '{}' END
        || CASE WHEN d.assigned_window IS DISTINCT FROM other.assigned_window
                THEN pg_catalog.jsonb_build_object('window',
                                                   d.assigned_window)
                ELSE '{}' END
        || CASE WHEN d.force_update <> other.force_update
                THEN pg_catalog.jsonb_build_object('force_update',
                                                   d.force_update)
                ELSE '{}' END
        || CASE WHEN d.tags <> other.tags
                THEN pg_catalog.jsonb_build_object('tags', d.tags)
                ELSE '{}' END
        || CASE WHEN d.poll_time IS DISTINCT FROM other.poll_time
                THEN pg_catalog.jsonb_build_object('poll_time',
                         d.poll_time * interval '1 second')
                ELSE '{}' END
        || CASE WHEN d.token IS DISTINCT FROM other.token
                THEN pg_catalog.jsonb_build_object('token',
                         CASE WHEN d.token IS NULL THEN 'none'
                              ELSE 'set' END)
                ELSE '{}' END
        || CASE WHEN d.blocked <> other.blocked
                THEN pg_catalog.jsonb_build_object('blocked', d.blocked)
                ELSE '{}' END
$$;
COMMENT ON FUNCTION goosebit.device_diff IS
    'the fields of a device that another has otherwise';


-- Some locked devices as they are wanted, with audit and journal: those that
-- become others, in the order they are wanted.
CREATE FUNCTION goosebit.device_store(tenant_id int, verb text,
                                      wanted goosebit.device[])
RETURNS TABLE (dev goosebit.device, before jsonb, after jsonb)
LANGUAGE sql VOLATILE
AS $$
    WITH written AS (
        UPDATE goosebit.device d
        SET name = w.name, feed = w.feed, mode = w.mode,
            mode_before = w.mode_before, assignment = w.assignment,
            assigned_software_id = w.assigned_software_id,
            assigned_type = w.assigned_type,
            assigned_confirm = w.assigned_confirm,
            assigned_window = w.assigned_window,
            force_update = w.force_update, tags = w.tags,
            poll_time = w.poll_time, token = w.token, blocked = w.blocked
        FROM pg_catalog.unnest($3) AS w
        JOIN goosebit.device o ON o.tenant_id = $1 AND o.id = w.id
        WHERE d.ctid = o.ctid AND o IS DISTINCT FROM w
        RETURNING d AS dev, goosebit.device_diff(o, d) AS before,
                  goosebit.device_diff(d, o)
                  || CASE WHEN d.token <> o.token
                          THEN '{"token": "changed"}' ELSE '{}' END::jsonb
                      AS after
    ), journal AS (
        INSERT INTO goosebit.change (scope, tenant_id, device_id)
        SELECT 'device', $1, (w.dev).id FROM written w
    ), logged AS (
        INSERT INTO goosebit.audit (tenant_id, verb, object, before, after)
        SELECT $1, $2, (w.dev).controller_id, w.before, w.after
        FROM written w
    )
    SELECT w.dev, w.before, w.after FROM written w
    ORDER BY (w.dev).controller_id
$$;
COMMENT ON FUNCTION goosebit.device_store IS
    'stores locked devices as they are wanted';


-- Writes locked devices as they are wanted, in order of their ids, where that
-- changes anything, with an audit row each, and supersedes open actions that
-- no longer have the target. Only what verbs set is taken from the wanted rows.
CREATE FUNCTION goosebit.device_write(tenant_id int, verb text,
                                      wanted goosebit.device[])
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    part   int := 10000;
    n      int := pg_catalog.cardinality(wanted);
    r      record;
    target goosebit.decision;
    change goosebit_admin.device_change;
BEGIN
    PERFORM goosebit.device_check(w) FROM pg_catalog.unnest(wanted) AS w
    WHERE goosebit.device_broken(w) IS NOT NULL;

    FOR i IN 0 .. (n - 1) / part LOOP

        FOR r IN
            SELECT s.* FROM goosebit.device_store(tenant_id, verb,
                wanted[i * part + 1:(i + 1) * part]) s
        LOOP
            change := ((r.dev).controller_id, r.before, r.after, NULL, NULL);

            IF (r.dev).open_action_id IS NOT NULL THEN
                target := goosebit.decide(r.dev, NULL, pg_catalog.now());
                IF target.supersede THEN
                    change.action_id := target.action_id;
                    change.action := goosebit.action_cancel(tenant_id,
                        (r.dev).id, 'superseded', false);
                END IF;
            END IF;

            RETURN NEXT change;
        END LOOP;

        PERFORM goosebit.progress((i + 1) * part, n);
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit.device_write IS
    'stores what a verb wants of locked devices, audited; supersedes';


-- What is wrong with text that operators type and others see: no control
-- characters, no empty or endless ones. NULL passes.
CREATE FUNCTION goosebit.text_broken(value text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN value = '' OR pg_catalog.octet_length(value) > 255
        THEN 'must have 1 to 255 bytes'
        WHEN value ~ '[\u0001-\u001f\u007f-\u009f]'
        THEN 'must not have control characters' END
$$;
COMMENT ON FUNCTION goosebit.text_broken IS
    'why a text can''t be a name, feed, tag or controller id, or NULL';


CREATE FUNCTION goosebit.text_check(what text, value text)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF goosebit.text_broken(value) IS NOT NULL THEN
        PERFORM goosebit.fail('GB003', pg_catalog.format('%s: %s', what,
                                           goosebit.text_broken(value)));
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit.text_check IS
    'GB003 for what can''t be a name, feed, tag or controller id';


CREATE TYPE goosebit_admin.device_added AS (
    id text, name text, feed text, mode text, tags text[], auth text
);


CREATE FUNCTION goosebit_admin.device_add(
    tenant text, device text, name text, token bytea, feed text, mode text,
    tags text[])
RETURNS SETOF goosebit_admin.device_added
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t   int := goosebit.tenant_hold(tenant);
    dev goosebit.device;
    tag text;
BEGIN
    PERFORM goosebit.text_check('device id', device);
    PERFORM goosebit.text_check('name', device_add.name);
    PERFORM goosebit.text_check('feed', device_add.feed);
    FOREACH tag IN ARRAY device_add.tags LOOP
        PERFORM goosebit.text_check('tag', tag);
    END LOOP;

    INSERT INTO goosebit.device AS x
        (tenant_id, controller_id, name, token, feed, mode, mode_before, tags)
    VALUES (t, device, device_add.name, device_add.token,
            COALESCE(device_add.feed, 'default'),
            COALESCE(device_add.mode, 'rollout'),
            CASE device_add.mode WHEN 'pinned' THEN 'rollout' END,
            ARRAY(SELECT DISTINCT u.s COLLATE "C"
                  FROM unnest(device_add.tags) AS u (s) ORDER BY 1))
    ON CONFLICT (tenant_id, controller_id) DO NOTHING
    RETURNING x.* INTO dev;

    IF dev.id IS NULL THEN
        PERFORM goosebit.fail('GB002',
            format('device "%s": exists already', device));
    END IF;
    PERFORM goosebit.device_check(dev);

    PERFORM goosebit.audit_write(t, 'device.add', device, NULL,
        jsonb_strip_nulls(goosebit.device_facts(dev)));

    RETURN QUERY
    SELECT dev.controller_id, dev.name, dev.feed, dev.mode, dev.tags,
           CASE WHEN dev.token IS NULL THEN 'none' ELSE 'token' END;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_add IS
    'registers a device beforehand; token is its SHA-256';


-- NULL leaves a field as it is; an empty name and a poll_time of 0 clear
-- theirs. Another mode than assigned or pinned ends the assignment.
CREATE FUNCTION goosebit_admin.device_set(
    tenant text, devices text[], feed text, mode text, name text,
    tags_add text[], tags_remove text[], poll_time int)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
DECLARE
    t      int := goosebit.tenant_id(tenant);
    tag    text;
    d      goosebit.device;
    wanted goosebit.device[] := '{}';
BEGIN
    PERFORM goosebit.text_check('feed', device_set.feed);
    PERFORM goosebit.text_check('name', NULLIF(device_set.name, ''));
    FOREACH tag IN ARRAY device_set.tags_add LOOP
        PERFORM goosebit.text_check('tag', tag);
    END LOOP;

    -- Field by field: jsonb_populate_record() takes many times as long.
    FOR d IN SELECT x.* FROM goosebit.device_lock(t, devices) x LOOP
        d.feed := COALESCE(device_set.feed, d.feed);
        d.name := NULLIF(COALESCE(device_set.name, d.name), '');
        d.poll_time := NULLIF(COALESCE(device_set.poll_time, d.poll_time), 0);

        IF device_set.tags_add <> '{}' OR device_set.tags_remove <> '{}' THEN
            d.tags := ARRAY(SELECT u.s COLLATE "C"
                            FROM unnest(d.tags || device_set.tags_add) AS u (s)
                            WHERE u.s <> ALL (device_set.tags_remove)
                            GROUP BY 1 ORDER BY 1);
        END IF;

        IF device_set.mode <> d.mode THEN
            d.mode_before := CASE device_set.mode WHEN 'pinned' THEN d.mode
                             END;
            IF device_set.mode NOT IN ('assigned', 'pinned') THEN
                d.assigned_software_id := NULL;
            END IF;
            d.mode := device_set.mode;
        END IF;

        wanted := array_append(wanted, d);
    END LOOP;

    RETURN QUERY
    SELECT w.* FROM goosebit.device_write(t, 'device.set', wanted) w;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_set IS
    'sets feed, mode, name, tags and poll time of devices';


-- Each assignment is a target of its own, so giving the same software again
-- tries it again. time_window: when it may start (window_read()), NULL: at any
-- time.
CREATE FUNCTION goosebit_admin.device_assign(tenant text, devices text[],
                                             software text, type text,
                                             confirm boolean,
                                             time_window text DEFAULT NULL)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
DECLARE
    t      int := goosebit.tenant_id(tenant);
    s      int := goosebit.software_hold(t, software);
    locked goosebit.device[];
    misfit goosebit.device;
BEGIN
    PERFORM goosebit.window_check(time_window);

    locked := ARRAY(SELECT d FROM goosebit.device_lock(t, devices) d);

    SELECT d.* INTO misfit FROM unnest(locked) AS d
    WHERE NOT goosebit.software_fits(t, s, d.hw_model, d.hw_revision)
    LIMIT 1;

    IF misfit.id IS NOT NULL THEN
        PERFORM goosebit.fail('GB006',
            format('device "%s": %s does not fit its hardware %s %s',
                   misfit.controller_id, goosebit.software_label(t, s),
                   misfit.hw_model, misfit.hw_revision),
            CASE WHEN misfit.config_data_at IS NULL
                 THEN 'it has not yet said what hardware it is'
                 ELSE 'software ' || s || ' is for '
                      || COALESCE((SELECT string_agg(h.model || ' '
                                                     || h.revision, ', '
                                       ORDER BY h.model, h.revision)
                                   FROM goosebit.software_hardware h
                                   WHERE h.tenant_id = t
                                     AND h.software_id = s), 'no hardware')
                 END);
    END IF;

    RETURN QUERY
    SELECT w.* FROM goosebit.device_write(t, 'device.assign', ARRAY(
        SELECT jsonb_populate_record(d, jsonb_build_object(
                   'mode', 'assigned', 'mode_before', NULL,
                   'assignment', d.assignment + 1,
                   'assigned_software_id', s,
                   'assigned_type', COALESCE(device_assign.type, 'forced'),
                   'assigned_confirm', COALESCE(confirm, false),
                   'assigned_window', time_window))
        FROM unnest(locked) AS d)) w;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_assign IS
    'mode assigned with a software that fits each device';


CREATE FUNCTION goosebit_admin.device_pin(tenant text, devices text[],
                                          pinned boolean)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
DECLARE
    t int := goosebit.tenant_id(tenant);
BEGIN
    RETURN QUERY
    SELECT w.* FROM goosebit.device_write(t,
        CASE WHEN pinned THEN 'device.pin' ELSE 'device.unpin' END, ARRAY(
        SELECT CASE
            WHEN pinned = (d.mode = 'pinned') THEN d
            WHEN pinned THEN jsonb_populate_record(d,
                jsonb_build_object('mode', 'pinned', 'mode_before', d.mode))
            ELSE jsonb_populate_record(d, jsonb_build_object('mode',
                COALESCE(d.mode_before, 'rollout'), 'mode_before', NULL))
            END
        FROM goosebit.device_lock(t, devices) d)) w;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_pin IS
    'pins devices, or puts them back to the mode before';


CREATE FUNCTION goosebit_admin.device_force(tenant text, devices text[],
                                            force boolean)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
DECLARE
    t int := goosebit.tenant_id(tenant);
BEGIN
    RETURN QUERY
    SELECT w.* FROM goosebit.device_write(t,
        CASE WHEN force THEN 'device.force' ELSE 'device.unforce' END, ARRAY(
        SELECT jsonb_populate_record(d,
                   jsonb_build_object('force_update', force))
        FROM goosebit.device_lock(t, devices) d)) w;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_force IS
    'one attempt whatever is installed, done or held; or not after all';


CREATE FUNCTION goosebit_admin.device_block(tenant text, devices text[],
                                            blocked boolean)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
DECLARE
    t int := goosebit.tenant_id(tenant);
BEGIN
    RETURN QUERY
    SELECT w.* FROM goosebit.device_write(t,
        CASE WHEN blocked THEN 'device.block' ELSE 'device.unblock' END,
        ARRAY(
        SELECT jsonb_populate_record(d,
                   jsonb_build_object('blocked', device_block.blocked))
        FROM goosebit.device_lock(t, devices) d)) w;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_block IS
    'devices that get 401 and stay known';


-- token is the SHA-256 of the new one, NULL takes it away.
CREATE FUNCTION goosebit_admin.device_token(tenant text, device text,
                                            token bytea)
RETURNS SETOF goosebit_admin.device_change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t      int := goosebit.tenant_id(tenant);
    wanted goosebit.device;
BEGIN
    SELECT d.* INTO wanted FROM goosebit.device_lock(t, ARRAY[device]) d;
    wanted.token := device_token.token;

    RETURN QUERY
    SELECT w.id, COALESCE(w.before, '{"token": "old"}'),
           COALESCE(w.after, '{"token": "new"}'), w.action_id, w.action
    FROM goosebit.device_write(t, 'device.token', ARRAY[wanted]) w;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_token IS
    'stores or clears the digest of a device''s token';
