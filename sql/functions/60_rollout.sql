-- Rollouts as they are shown: counted from devices and actions, so that no
-- count can drift.


-- The rollout of a feed that decides for a hardware: the newest that fits it
-- and counts (running or paused, and its time has come). besides is one to
-- take as counting whatever its state, to show whom it would have reached.
CREATE FUNCTION goosebit.rollout_deciding(tenant_id int, feed text,
                                          hw_model text, hw_revision text,
                                          at timestamptz,
                                          besides int DEFAULT NULL)
RETURNS int
LANGUAGE sql STABLE
AS $$
    SELECT r.id
    FROM goosebit.rollout r
    WHERE r.tenant_id = $1
      AND r.feed = $2
      AND (r.state <> 'aborted' AND (r.start_at IS NULL OR r.start_at <= $5)
           OR r.id = $6)
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


-- Devices that a rollout targets now: of its feed, in mode rollout, with
-- hardware that its software fits, unless a newer rollout decides for them
-- and this one never started.
CREATE FUNCTION goosebit.rollout_devices(tenant_id int, rollout_id int)
RETURNS TABLE (device_id bigint, action_id int, outcome text)
LANGUAGE sql STABLE
AS $$
    WITH r AS MATERIALIZED (
        SELECT x.*, s.version
        FROM goosebit.rollout x
        JOIN goosebit.software s
          ON s.tenant_id = x.tenant_id AND s.id = x.software_id
        WHERE x.tenant_id = $1 AND x.id = $2
    ), last AS MATERIALIZED (
        SELECT DISTINCT ON (a.device_id) a.device_id, a.id, a.state,
               a.generation
        FROM goosebit.action a
        WHERE a.tenant_id = $1 AND a.cause = 'rollout' AND a.cause_id = $2
        ORDER BY a.device_id, a.id DESC
    ), device AS MATERIALIZED (
        SELECT d.id, d.hw_model, d.hw_revision, d.sw_version
        FROM r
        JOIN goosebit.device d
          ON d.tenant_id = r.tenant_id AND d.feed = r.feed
        WHERE d.mode = 'rollout'
    ), hardware AS MATERIALIZED (
        -- Judged once a kind of hardware and version, not once a device.
        SELECT k.hw_model, k.hw_revision,
               goosebit.software_fits(r.tenant_id, r.software_id, k.hw_model,
                                      k.hw_revision) AS fits,
               goosebit.rollout_deciding(r.tenant_id, r.feed, k.hw_model,
                   k.hw_revision, pg_catalog.now(), r.id) = r.id AS decides
        FROM r, (SELECT DISTINCT d.hw_model, d.hw_revision FROM device d) k
    ), version AS MATERIALIZED (
        SELECT k.sw_version,
               goosebit.version_same(k.sw_version, r.version) AS same
        FROM r, (SELECT DISTINCT d.sw_version FROM device d) k
    )
    SELECT d.id, l.id,
           goosebit.rollout_outcome(l.state, l.generation < r.generation,
                                    v.same)
    FROM r
    CROSS JOIN device d
    JOIN hardware h
      ON h.hw_model = d.hw_model AND h.hw_revision = d.hw_revision
    LEFT JOIN version v ON v.sw_version = d.sw_version
    LEFT JOIN last l ON l.device_id = d.id
    WHERE h.fits AND (h.decides OR l.id IS NOT NULL)
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
LANGUAGE sql STABLE
AS $$
    SELECT CASE
               WHEN r.state <> 'running' THEN r.state
               WHEN r.start_at > pg_catalog.now() THEN 'scheduled'
               WHEN c.targeted > 0 AND c.waiting = 0 AND c.running = 0
               THEN 'finished'
               ELSE 'running' END,
           c.*
    FROM goosebit.rollout r
    CROSS JOIN (
        SELECT pg_catalog.count(*) AS targeted,
               pg_catalog.count(*) FILTER (WHERE d.outcome = 'waiting')
                   AS waiting,
               pg_catalog.count(*) FILTER (WHERE d.outcome = 'running')
                   AS running,
               pg_catalog.count(*) FILTER (WHERE d.outcome = 'success'),
               pg_catalog.count(*) FILTER (WHERE d.outcome = 'failure'),
               pg_catalog.count(*) FILTER (WHERE d.outcome = 'rejected'),
               pg_catalog.count(*) FILTER (WHERE d.outcome = 'canceled')
        FROM goosebit.rollout_devices($1, $2) d) c
    WHERE r.tenant_id = $1 AND r.id = $2
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
