-- Rollouts as they are shown: counted from devices and actions, so that no
-- count can drift.


-- The rollout of a feed that decides for a hardware: the newest that fits it
-- and counts (running or paused, and its time has come); of those with a
-- filter only the matched ones. besides is one to take as counting whatever
-- its state, to show whom it would have reached.
CREATE FUNCTION goosebit.rollout_deciding(tenant_id int, feed text,
                                          hw_model text, hw_revision text,
                                          matched int[], at timestamptz,
                                          besides int DEFAULT NULL)
RETURNS int
LANGUAGE sql STABLE
AS $$
    SELECT r.id
    FROM goosebit.rollout r
    WHERE r.tenant_id = $1
      AND r.feed = $2
      AND (r.state <> 'aborted' AND (r.start_at IS NULL OR r.start_at <= $6)
           OR r.id = $7)
      AND (r.filter IS NULL OR r.id = ANY ($5))
      AND EXISTS (
          SELECT FROM goosebit.software_hardware h
          WHERE h.tenant_id = r.tenant_id
            AND h.software_id = r.software_id
            AND h.model = $3
            AND goosebit.revision_fits(h.revision, h.pattern, $4))
    ORDER BY r.id DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION goosebit.rollout_deciding IS
    'id of the rollout that decides for a feed''s hardware, or NULL';


-- What a device is to a rollout that targets it, by its last action of it.
-- A failure of an older generation waits again: it is to be retried.
CREATE FUNCTION goosebit.rollout_outcome(action_state text, retried boolean,
                                         runs_it boolean)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN $1 IN ('open', 'running', 'awaiting_confirmation', 'cancelling')
        THEN 'running'
        WHEN $1 = 'finished' THEN 'success'
        WHEN $1 IS NULL OR $1 = 'superseded' OR $2
        THEN CASE WHEN $3 THEN 'success' ELSE 'waiting' END
        WHEN $1 IN ('error', 'timed_out') THEN 'failure'
        ELSE $1 END
$$;
COMMENT ON FUNCTION goosebit.rollout_outcome IS
    'waiting, running, success, failure, rejected or canceled';


-- The query behind rollout_devices() and rollout_counts(): device_id,
-- action_id and outcome of each device that a rollout targets now: of its
-- feed, in mode rollout, with hardware that its software fits, taken by its
-- filter, unless a newer rollout decides for them and this one never started.
-- Rules are asked once a kind of device, not once a device. Run it with
-- USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time, id, feed.
CREATE FUNCTION goosebit.rollout_query(q goosebit.device_query)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    matched text := COALESCE(q.matched, '''{}''::int[]');
    devices text;
BEGIN
    q.needs := q.matched_needs;
    q.condition := 'd.feed = $7 AND d.mode = ''rollout''';
    devices := goosebit.device_from(q);

    RETURN 'WITH r AS MATERIALIZED ('
        ' SELECT x.*, s.version FROM goosebit.rollout x'
        ' JOIN goosebit.software s'
        ' ON s.tenant_id = x.tenant_id AND s.id = x.software_id'
        ' WHERE x.tenant_id = $2 AND x.id = $6'
        '), last AS ('
        ' SELECT DISTINCT ON (a.device_id) a.device_id, a.id, a.state,'
        ' a.generation FROM goosebit.action a'
        ' WHERE a.tenant_id = $2 AND a.cause = ''rollout'''
        ' AND a.cause_id = $6 ORDER BY a.device_id, a.id DESC'
        '), kind AS MATERIALIZED ('
        ' SELECT DISTINCT d.hw_model, d.hw_revision,'
        ' COALESCE(d.sw_version, '''') AS sw_version, '
        || matched || ' AS matched' || devices ||
        '), hardware AS MATERIALIZED ('
        ' SELECT k.*, goosebit.software_fits(r.tenant_id, r.software_id,'
        ' k.hw_model, k.hw_revision)'
        ' AND (r.filter IS NULL OR r.id = ANY (k.matched)) AS fits,'
        ' goosebit.rollout_deciding(r.tenant_id, r.feed, k.hw_model,'
        ' k.hw_revision, k.matched, pg_catalog.now(), r.id) = r.id AS decides'
        ' FROM r, (SELECT DISTINCT x.hw_model, x.hw_revision, x.matched'
        ' FROM kind x) k'
        '), version AS MATERIALIZED ('
        ' SELECT k.sw_version,'
        ' goosebit.version_same(k.sw_version, r.version) AS same'
        ' FROM r, (SELECT DISTINCT x.sw_version FROM kind x) k'
        ') SELECT d.id AS device_id, l.id AS action_id,'
        ' goosebit.rollout_outcome(l.state, l.generation < r.generation,'
        ' v.same) AS outcome'
        ' FROM r CROSS JOIN (SELECT d.id, d.hw_model, d.hw_revision,'
        ' COALESCE(d.sw_version, '''') AS sw_version, '
        || matched || ' AS matched' || devices || ') d'
        ' JOIN hardware h ON h.hw_model = d.hw_model'
        ' AND h.hw_revision = d.hw_revision AND h.fits'
        || CASE WHEN q.matched IS NULL THEN ''
                ELSE ' AND h.matched = d.matched' END ||
        ' JOIN version v ON v.sw_version = d.sw_version'
        ' LEFT JOIN last l ON l.device_id = d.id'
        ' WHERE h.decides OR l.id IS NOT NULL';
END
$$;
COMMENT ON FUNCTION goosebit.rollout_query IS
    'SQL for the devices of a rollout and what came of each';


CREATE FUNCTION goosebit.rollout_devices(tenant_id int, rollout_id int)
RETURNS TABLE (device_id bigint, action_id int, outcome text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    q goosebit.device_query := goosebit.device_query(tenant_id, NULL, NULL,
                                                     rollout_id);
BEGIN
    RETURN QUERY EXECUTE goosebit.rollout_query(q)
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time, rollout_id,
          (SELECT r.feed FROM goosebit.rollout r
           WHERE r.tenant_id = $1 AND r.id = rollout_id);
END
$$;
COMMENT ON FUNCTION goosebit.rollout_devices IS
    'each device a rollout targets now, and what came of it';


-- One row: targeted = waiting + running + success + failure + rejected +
-- canceled. A running rollout is shown as finished while nothing waits or
-- runs, and as running again when a device comes later.
CREATE FUNCTION goosebit.rollout_counts(tenant_id int, rollout_id int)
RETURNS TABLE (state text, targeted bigint, waiting bigint, running bigint,
               success bigint, failure bigint, rejected bigint,
               canceled bigint)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    q goosebit.device_query := goosebit.device_query(tenant_id, NULL, NULL,
                                                     rollout_id);
    r goosebit.rollout;
    n jsonb;
BEGIN
    SELECT x.* INTO r FROM goosebit.rollout x
    WHERE x.tenant_id = $1 AND x.id = rollout_id;

    EXECUTE 'SELECT pg_catalog.jsonb_object_agg(o.outcome, o.n) FROM ('
        'SELECT x.outcome, pg_catalog.count(*) AS n FROM ('
        || goosebit.rollout_query(q) || ') x GROUP BY 1) o'
    INTO n
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time, r.id, r.feed;

    waiting := COALESCE((n ->> 'waiting')::bigint, 0);
    running := COALESCE((n ->> 'running')::bigint, 0);
    success := COALESCE((n ->> 'success')::bigint, 0);
    failure := COALESCE((n ->> 'failure')::bigint, 0);
    rejected := COALESCE((n ->> 'rejected')::bigint, 0);
    canceled := COALESCE((n ->> 'canceled')::bigint, 0);
    targeted := waiting + running + success + failure + rejected + canceled;
    state := CASE
        WHEN r.state <> 'running' THEN r.state
        WHEN r.start_at > pg_catalog.now() THEN 'scheduled'
        WHEN targeted > 0 AND waiting = 0 AND running = 0 THEN 'finished'
        ELSE 'running' END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION goosebit.rollout_counts IS
    'state of a rollout and how many devices are where';


-- Locks a rollout by its id as typed. GB001 if there is none.
CREATE FUNCTION goosebit.rollout_lock(tenant_id int, ref text)
RETURNS goosebit.rollout
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    r goosebit.rollout;
BEGIN
    SELECT x.* INTO r FROM goosebit.rollout x
    WHERE x.tenant_id = rollout_lock.tenant_id
      AND x.id = goosebit.rollout_find(rollout_lock.tenant_id, ref)
    FOR UPDATE;
    RETURN r;
END
$$;
COMMENT ON FUNCTION goosebit.rollout_lock IS 'locks and gives a rollout';


CREATE FUNCTION goosebit.rollout_find(tenant_id int, ref text)
RETURNS int
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found_id int;
BEGIN
    IF ref ~ '^[0-9]{1,10}$' AND ref::bigint <= 2147483647 THEN
        SELECT r.id INTO found_id FROM goosebit.rollout r
        WHERE r.tenant_id = rollout_find.tenant_id AND r.id = ref::int;
    END IF;

    IF found_id IS NULL THEN
        PERFORM goosebit.fail('GB001',
            pg_catalog.format('rollout "%s": not found', ref));
    END IF;
    RETURN found_id;
END
$$;
COMMENT ON FUNCTION goosebit.rollout_find IS
    'a rollout''s id as typed, or GB001';
