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
      AND (goosebit.rollout_in_force(r.state, r.start_at, $6) OR r.id = $7)
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


-- What makes a kind of device: all that the rules of rollouts look at. matched
-- is one with it only where a rollout has a filter.
CREATE FUNCTION goosebit.rollout_kind(q goosebit.device_query)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT 'd.feed, d.hw_model, d.hw_revision,'
        ' COALESCE(d.sw_version, '''') AS sw_version, '
        || COALESCE(q.matched, '''{}''::int[]') || ' AS matched'
$$;
COMMENT ON FUNCTION goosebit.rollout_kind IS
    'the columns of a device that rollouts look at';


-- A query over the devices of some rollouts: of their feeds, in mode rollout.
-- after and upto: only those with such inner ids.
CREATE FUNCTION goosebit.rollout_asked(tenant_id int, rollouts int[],
                                       after bigint, upto bigint)
RETURNS goosebit.device_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    q goosebit.device_query := goosebit.device_query(tenant_id, NULL, NULL,
                                                     rollouts, after, upto);
BEGIN
    q.needs := q.matched_needs;
    q.condition := 'd.feed = ANY ($7) AND d.mode = ''rollout'''
        || CASE WHEN upto IS NULL THEN ''
                ELSE ' AND d.id > $8 AND d.id <= $9' END;
    RETURN q;
END
$$;
COMMENT ON FUNCTION goosebit.rollout_asked IS
    'a query over the devices of some rollouts in the making';


-- What a device is to a rollout, as the head of a query: r, the rollouts
-- asked for; last, their last action of each device; kind, the kinds of
-- devices; hardware, who is targeted, where its software fits and its filter
-- takes it: those that it decides for, and those that a newer one decides for
-- if it has started; version, what is there already. Rules are asked once a
-- kind of device, not once a device. Run it with USING q.vals, q.tenant_id,
-- q.keys, q.kinds, q.poll_time, rollouts, their feeds, after, upto.
CREATE FUNCTION goosebit.rollout_rules(q goosebit.device_query)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT 'WITH r AS MATERIALIZED ('
        ' SELECT x.*, s.version FROM goosebit.rollout x'
        ' JOIN goosebit.software s'
        ' ON s.tenant_id = x.tenant_id AND s.id = x.software_id'
        ' WHERE x.tenant_id = $2 AND x.id = ANY ($6)'
        '), last AS MATERIALIZED ('
        ' SELECT r.id AS rollout_id, r.feed, l.device_id, l.id, l.state,'
        ' l.generation < r.generation AS retried'
        ' FROM r CROSS JOIN LATERAL ('
        ' SELECT DISTINCT ON (a.device_id) a.device_id, a.id, a.state,'
        ' a.generation FROM goosebit.action a'
        ' WHERE a.tenant_id = $2 AND a.cause = ''rollout'''
        ' AND a.cause_id = r.id'
        || CASE WHEN q.upto IS NULL THEN ''
                ELSE ' AND a.device_id > $8 AND a.device_id <= $9' END ||
        -- as the index has it, read backwards
        ' ORDER BY a.device_id DESC, a.id DESC) l'
        '), kind AS MATERIALIZED ('
        ' SELECT ' || goosebit.rollout_kind(q)
        || ', pg_catalog.count(*) AS n' || goosebit.device_from(q)
        || ' GROUP BY 1, 2, 3, 4, 5'
        '), hardware AS MATERIALIZED ('
        ' SELECT r.id AS rollout_id, k.*, goosebit.rollout_deciding('
        'r.tenant_id, r.feed, k.hw_model, k.hw_revision, k.matched,'
        ' pg_catalog.now(), r.id) = r.id AS decides'
        ' FROM r JOIN (SELECT DISTINCT x.feed, x.hw_model, x.hw_revision,'
        ' x.matched FROM kind x) k ON k.feed = r.feed'
        ' WHERE goosebit.software_fits(r.tenant_id, r.software_id,'
        ' k.hw_model, k.hw_revision)'
        ' AND (r.filter IS NULL OR r.id = ANY (k.matched))'
        '), version AS MATERIALIZED ('
        ' SELECT r.id AS rollout_id, k.sw_version,'
        ' goosebit.version_same(k.sw_version, r.version) AS same'
        ' FROM r, (SELECT DISTINCT x.sw_version FROM kind x) k)'
$$;
COMMENT ON FUNCTION goosebit.rollout_rules IS
    'SQL for what rollouts are to each kind of device';


CREATE FUNCTION goosebit.rollout_feeds(tenant_id int, rollouts int[])
RETURNS text[]
LANGUAGE sql STABLE
AS $$
    SELECT COALESCE(pg_catalog.array_agg(DISTINCT r.feed), '{}')
    FROM goosebit.rollout r
    WHERE r.tenant_id = $1 AND r.id = ANY ($2)
$$;
COMMENT ON FUNCTION goosebit.rollout_feeds IS 'the feeds of some rollouts';


CREATE FUNCTION goosebit.rollout_devices(tenant_id int, rollout_id int)
RETURNS TABLE (device_id bigint, action_id int, outcome text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    ids int[] := ARRAY[rollout_id];
    q   goosebit.device_query := goosebit.rollout_asked(tenant_id, ids, NULL,
                                                        NULL);
BEGIN
    RETURN QUERY EXECUTE goosebit.rollout_rules(q)
        || ' SELECT d.id, l.id,'
        ' goosebit.rollout_outcome(l.state, l.retried, v.same)'
        ' FROM (SELECT d.id, ' || goosebit.rollout_kind(q)
        || goosebit.device_from(q) || ') d'
        ' JOIN hardware h ON h.hw_model = d.hw_model'
        ' AND h.hw_revision = d.hw_revision'
        || CASE WHEN q.matched IS NULL THEN ''
                ELSE ' AND h.matched = d.matched' END ||
        ' JOIN version v ON v.sw_version = d.sw_version'
        ' LEFT JOIN last l ON l.device_id = d.id'
        ' WHERE h.decides OR l.id IS NOT NULL'
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time, ids,
          goosebit.rollout_feeds(tenant_id, ids);
END
$$;
COMMENT ON FUNCTION goosebit.rollout_devices IS
    'each device a rollout targets now, and what came of it';


-- The devices of some rollouts, counted by what rollout_devices() says of
-- them: all, or those with an inner id above after and up to upto. However
-- many rollouts there are, the devices are read once by their kinds, and of
-- each rollout only its actions: a device that has one is taken off those of
-- its kind that have none.
CREATE FUNCTION goosebit.rollout_tally(tenant_id int, rollouts int[],
                                       after bigint DEFAULT NULL,
                                       upto bigint DEFAULT NULL)
RETURNS TABLE (rollout_id int, outcome text, devices bigint)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    q    goosebit.device_query := goosebit.rollout_asked(tenant_id, rollouts,
                                                         after, upto);
    kind text := 'feed, x.hw_model, x.hw_revision, x.sw_version, x.matched';
BEGIN
    RETURN QUERY EXECUTE goosebit.rollout_rules(q)
        || ', own AS MATERIALIZED ('
        ' SELECT l.rollout_id, l.state, l.retried, x.' || kind
        || ', pg_catalog.count(*) AS n'
        ' FROM last l JOIN (SELECT d.id, ' || goosebit.rollout_kind(q)
        || goosebit.device_from(q) || ') x'
        ' ON x.id = l.device_id AND x.feed = l.feed'
        ' GROUP BY l.rollout_id, l.state, l.retried, x.' || kind
        || '), x AS ('
        ' SELECT r.id AS rollout_id, NULL AS state, false AS retried, x.'
        || kind || ', x.n FROM r JOIN kind x ON x.feed = r.feed'
        ' UNION ALL'
        ' SELECT x.rollout_id, NULL, false, x.' || kind || ', - x.n FROM own x'
        ' UNION ALL'
        ' SELECT x.rollout_id, x.state, x.retried, x.' || kind
        || ', x.n FROM own x'
        ') SELECT x.rollout_id,'
        ' goosebit.rollout_outcome(x.state, x.retried, v.same),'
        ' pg_catalog.sum(x.n)::bigint'
        ' FROM x'
        ' JOIN hardware h ON h.rollout_id = x.rollout_id'
        ' AND h.hw_model = x.hw_model AND h.hw_revision = x.hw_revision'
        ' AND h.matched = x.matched'
        ' JOIN version v ON v.rollout_id = x.rollout_id'
        ' AND v.sw_version = x.sw_version'
        ' WHERE h.decides OR x.state IS NOT NULL'
        ' GROUP BY 1, 2'
    USING q.vals, q.tenant_id, q.keys, q.kinds, q.poll_time, rollouts,
          goosebit.rollout_feeds(tenant_id, rollouts), after, upto;
END
$$;
COMMENT ON FUNCTION goosebit.rollout_tally IS
    'devices of rollouts by what came of them';


-- A row a rollout: targeted = waiting + running + success + failure +
-- rejected + canceled. A running rollout is shown as finished while nothing
-- waits or runs, and as running again when a device comes later. kept: what
-- tick() counted last, NULLs where it has not yet.
CREATE FUNCTION goosebit.rollout_counts(tenant_id int, rollouts int[],
                                        kept boolean DEFAULT false)
RETURNS TABLE (rollout_id int, state text, targeted bigint, waiting bigint,
               running bigint, success bigint, failure bigint,
               rejected bigint, canceled bigint)
LANGUAGE sql STABLE
AS $$
    WITH tally AS MATERIALIZED (
        SELECT t.* FROM goosebit.rollout_tally($1, $2) t WHERE NOT $3
        UNION ALL
        SELECT u.id, 'waiting', 0 FROM pg_catalog.unnest($2) AS u (id)
        WHERE NOT $3
        UNION ALL
        SELECT c.rollout_id, c.outcome, c.devices
        FROM goosebit.rollout_count c
        WHERE $3 AND c.tenant_id = $1 AND c.rollout_id = ANY ($2)
          AND c.devices IS NOT NULL
    ), n AS (
        SELECT t.rollout_id, pg_catalog.sum(t.devices)::bigint AS targeted,
               pg_catalog.jsonb_object_agg(t.outcome, t.devices
                                           ORDER BY t.devices) AS of
        FROM tally t
        GROUP BY t.rollout_id
    )
    SELECT r.id,
           CASE
           WHEN r.state <> 'running' THEN r.state
           WHEN r.start_at > pg_catalog.now() THEN 'scheduled'
           WHEN n.targeted > 0 AND c.waiting = 0 AND c.running = 0
           THEN 'finished'
           ELSE 'running' END,
           n.targeted, c.waiting, c.running, c.success, c.failure, c.rejected,
           c.canceled
    FROM goosebit.rollout r
    LEFT JOIN n ON n.rollout_id = r.id
    LEFT JOIN LATERAL (
        SELECT COALESCE((n.of ->> 'waiting')::bigint, 0) AS waiting,
               COALESCE((n.of ->> 'running')::bigint, 0) AS running,
               COALESCE((n.of ->> 'success')::bigint, 0) AS success,
               COALESCE((n.of ->> 'failure')::bigint, 0) AS failure,
               COALESCE((n.of ->> 'rejected')::bigint, 0) AS rejected,
               COALESCE((n.of ->> 'canceled')::bigint, 0) AS canceled) c
        ON n.rollout_id IS NOT NULL
    WHERE r.tenant_id = $1 AND r.id = ANY ($2)
$$;
COMMENT ON FUNCTION goosebit.rollout_counts IS
    'states of rollouts and how many devices are where';


-- Models and revisions that an image fits, as a rollout keeps them.
CREATE FUNCTION goosebit.software_models(tenant_id int, software_id int)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT COALESCE(pg_catalog.jsonb_object_agg(m.model, m.revisions), '{}')
    FROM (SELECT h.model, pg_catalog.jsonb_agg(h.revision
                     ORDER BY h.revision COLLATE "C") AS revisions
          FROM goosebit.software_hardware h
          WHERE h.tenant_id = $1 AND h.software_id = $2
          GROUP BY h.model) m
$$;
COMMENT ON FUNCTION goosebit.software_models IS
    'the hardware of an image as {model: [revision, ...]}';


-- Copies into a new rollout what decide() asks of its software, which never
-- changes: so a poll need not look there.
CREATE FUNCTION goosebit.rollout_learn(tenant_id int, rollout_id int)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    UPDATE goosebit.rollout r
    SET software_version = s.version,
        software_version_key = s.version_key,
        software_min_version = s.min_version,
        software_hardware = goosebit.software_models(s.tenant_id, s.id),
        software_patterns = EXISTS (
            SELECT FROM goosebit.software_hardware h
            WHERE h.tenant_id = s.tenant_id AND h.software_id = s.id
              AND h.pattern IS NOT NULL)
    FROM goosebit.software s
    WHERE r.tenant_id = $1 AND r.id = $2
      AND s.tenant_id = r.tenant_id AND s.id = r.software_id
$$;
COMMENT ON FUNCTION goosebit.rollout_learn IS
    'tells a new rollout what its software is';


-- Locks a rollout by its id as typed. GB001 if there is none. The caller holds
-- the slot lock, as does who deletes one, so what was found stays.
CREATE FUNCTION goosebit.rollout_lock(tenant_id int, ref text)
RETURNS goosebit.rollout
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    r goosebit.rollout;
BEGIN
    SELECT x.* INTO STRICT r FROM goosebit.rollout x
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
