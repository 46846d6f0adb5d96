-- batch(): whatever devices say and read at once comes to the same as one by
-- one, and is not locked in another order.

\i t/sql/lib.psql
SELECT no_plan();

SELECT t.sw('2.0.0') AS s2 \gset
SELECT t.sw('3.0.0') \gset
CREATE TABLE t.feed AS
SELECT f, t.rollout(:s2, f) AS r
FROM unnest('{forced,soft,downloadonly,confirm,window}'::text[]) AS f;
UPDATE goosebit.rollout r SET
    type = CASE WHEN f IN ('soft', 'downloadonly') THEN f ELSE 'forced' END,
    confirm = f = 'confirm',
    maintenance_window = CASE f WHEN 'window' THEN '00:00-00:00' END
FROM t.feed WHERE feed = f;
CREATE FUNCTION t.d(token text) RETURNS bytea LANGUAGE sql AS $$
    SELECT sha256(convert_to(token, 'UTF8'))
$$;
UPDATE goosebit.tenant SET gateway_token = t.d('gate') WHERE id = t.tid();

CREATE FUNCTION t.any(VARIADIC of_these text[]) RETURNS text LANGUAGE sql AS $$
    SELECT of_these[1 + floor(random() * cardinality(of_these))]
$$;

-- A device on its way, and how far it is.
CREATE FUNCTION t.make(cid text, feed text, stage text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM t.dev(cid), t.set(cid, format('feed = %L, force_update = true',
                                          feed));
    IF stage = 'registered' THEN
        RETURN;
    END IF;
    PERFORM t.link(cid);
    IF stage IN ('fetched', 'cancelling') THEN
        PERFORM t.fetch(cid);
    ELSIF stage <> 'open' THEN
        PERFORM t.fb(cid, CASE stage WHEN 'finished' THEN 'closed'
                          ELSE stage END, pct => 30);
    END IF;
    IF stage = 'cancelling' THEN
        PERFORM t.cancel(cid);
    END IF;
END $$;

-- What they say: of the k-th device, on both sides alike.
CREATE TABLE t.said (n int PRIMARY KEY, k int, tenant text, scheme text,
    credential bytea, auth text, resource text, own boolean, execution text,
    finished text, progress int, code int, details text[], most int);

CREATE FUNCTION t.say(n int, k int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO t.said
    SELECT n, k, t.any('acme', 'ACME', 'acme', 'acme', 'nobody'),
        t.any(NULL, NULL, 'target', 'gateway', 'proven', 'refused',
              'external'),
        t.d(t.any(NULL, 'gate', 'secret', 'secret')),
        t.any('off', 'off', 'off', 'strict', 'lax', 'setup', 'external'),
        t.any('deployment', 'deployment', 'deployment', 'cancel', NULL, NULL),
        CASE t.any('own', 'own', 'own', 'none', 'lock') WHEN 'own' THEN true
             WHEN 'none' THEN false END,
        t.any('proceeding', 'proceeding', 'closed', 'closed', 'scheduled',
              'download', 'resumed', 'downloaded', 'rejected', 'canceled',
              'exploded', NULL),
        t.any('none', 'none', 'success', 'success', 'failure', NULL),
        t.any(NULL, NULL, '-3', '55', '999')::int, t.any(NULL, '7')::int,
        t.any(NULL, '{}', '{one}', '{one,NULL,"Downloaded 42%"}')::text[],
        t.any(NULL, NULL, '1', '2')::int
$$;

-- Who says it on this side, and about which action.
CREATE VIEW t.who AS
SELECT side, s.*, format('%s-%s', side, k) AS cid,
       CASE WHEN own THEN COALESCE((t.act(format('%s-%s', side, k))).id, 11)
            WHEN NOT own THEN 11 END AS aid
FROM unnest('{a,b}'::text[]) AS side, t.said s;

-- Who sends only itself, to be locked, has nothing else to say.
CREATE FUNCTION t.batched() RETURNS SETOF goosebit_ddi.base_row
LANGUAGE sql AS $$
    SELECT x.* FROM (
        SELECT array_agg(tenant ORDER BY n) AS t, array_agg(cid ORDER BY n) AS d,
               array_agg(scheme ORDER BY n) AS s,
               array_agg(credential ORDER BY n) AS c,
               array_agg(auth ORDER BY n) AS a,
               array_agg(resource ORDER BY n) AS r,
               array_agg(aid ORDER BY n) AS i,
               array_agg(execution ORDER BY n) AS e,
               array_agg(finished ORDER BY n) AS f,
               array_agg(progress ORDER BY n) AS p,
               array_agg(code ORDER BY n) AS o,
               array_agg(most ORDER BY n) AS m,
               ARRAY(SELECT l FROM t.who w, unnest(w.details)
                     WITH ORDINALITY AS l (l, i) WHERE w.side = 'a'
                     ORDER BY n, i) AS l,
               0 || array_agg(ends ORDER BY n) AS ends
        FROM (SELECT *, (sum(COALESCE(cardinality(details), 0))
                         OVER (ORDER BY n))::int AS ends
              FROM t.who WHERE side = 'a') w) w,
        goosebit_ddi.batch(t, d, s, c, a, r, i, e, f, p, o, l, ends, m) x
$$;

CREATE FUNCTION t.one_by_one() RETURNS SETOF goosebit_ddi.base_row
LANGUAGE plpgsql AS $$
DECLARE
    w t.who;
BEGIN
    FOR w IN SELECT * FROM t.who WHERE side = 'b' ORDER BY n LOOP
        IF w.aid IS NULL THEN
            RETURN NEXT NULL;
        ELSIF w.resource IS NULL THEN
            RETURN NEXT goosebit_ddi.deployment_base(w.tenant, w.cid, w.scheme,
                w.credential, w.auth, w.aid, 0);
        ELSE
            RETURN NEXT goosebit.batch_told(goosebit_ddi.feedback(w.tenant,
                w.cid, w.scheme, w.credential, w.auth, w.resource, w.aid,
                w.execution, w.finished, w.progress, w.code, w.details,
                w.most));
        END IF;
    END LOOP;
END $$;

-- Answers, by what is the same on both sides: that of an action is its own.
-- Columns that a kind of call does not have are not looked at.
CREATE FUNCTION t.answers(r goosebit_ddi.base_row[]) RETURNS text[]
LANGUAGE sql AS $$
    SELECT array_agg(concat_ws('|', s.k, COALESCE(x.status::text, 'none'),
               x.reason, x.tenant_id, x.device_id = (t.row('a-' || s.k)).id
               OR x.device_id = (t.row('b-' || s.k)).id, x.tenant, x.message,
               x.changed, CASE WHEN s.resource IS NULL
               THEN concat_ws('|', x.action_id IN ((t.act('a-' || s.k)).id,
                        (t.act('b-' || s.k)).id), x.download, x.update,
                        x.maintenance_window, x.software_id, x.version, x.name,
                        x.filename, x.size, x.sha1, x.md5, x.sha256, x.uri,
                        x.action_status, x.history) END)
           ORDER BY s.n)
    FROM unnest(r) WITH ORDINALITY AS x
    JOIN t.said s ON s.n = x.ordinality
$$;

-- All that is stored of one side's devices.
CREATE FUNCTION t.stored(side text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws('|', split_part(d.controller_id, '-', 2), d.state,
        d.sw_version, d.force_update, d.open_action_id = a.id,
        d.installed_action_id = a.id, a.state, a.final, a.statuses, a.progress,
        now() - a.fetched_at, now() - a.proceeding_at, now() - a.heard_at,
        now() - a.ended_at, a.cancel_refused, a.confirmed_by,
        (SELECT count(*) FROM goosebit.action_status s
         WHERE s.device_id = d.id AND s.id >= d.log_from),
        (SELECT string_agg(concat_ws(',', s.action_id = a.id, s.resource,
             s.execution, s.finished, s.progress, s.code, s.details), ' '
             ORDER BY s.id)
         FROM goosebit.action_status s WHERE s.device_id = d.id),
        (SELECT count(*) FROM goosebit.change c WHERE c.device_id = d.id))
    FROM goosebit.device d
    LEFT JOIN goosebit.action a ON a.tenant_id = d.tenant_id
        AND a.device_id = d.id
    WHERE d.controller_id LIKE side || '-%'
$$;

-- Forty at a time, of thirty devices; half of them as most are.
CREATE FUNCTION t.round(seed float) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    feed  text;
    stage text;
    a     text[];
    b     text[];
BEGIN
    PERFORM setseed(seed);
    DELETE FROM goosebit.action_status;
    DELETE FROM goosebit.action;
    DELETE FROM goosebit.device;
    TRUNCATE t.said;
    FOR k IN 1 .. 30 LOOP
        feed := t.any('forced', 'forced', 'forced', 'soft', 'downloadonly',
                      'downloadonly', 'confirm', 'window', 'window');
        stage := t.any('registered', 'open', 'open', 'open', 'fetched',
                       'proceeding', 'proceeding', 'proceeding', 'download',
                       'download', 'cancelling', 'finished', 'rejected');
        PERFORM t.make('a-' || k, feed, stage), t.make('b-' || k, feed, stage);
        IF random() < 0.3 THEN
            PERFORM t.set(s || '-' || k, format('token = %L', t.d('secret')))
            FROM unnest('{a,b}'::text[]) AS s;
        ELSIF random() < 0.1 THEN
            PERFORM t.set(s || '-' || k, 'blocked = true')
            FROM unnest('{a,b}'::text[]) AS s;
        END IF;
    END LOOP;
    UPDATE goosebit.action SET heard_at = now() - interval '1 hour',
        fetched_at = fetched_at - interval '2 hours',
        proceeding_at = proceeding_at - interval '3 hours';
    PERFORM t.say(n, 1 + floor(random() * 30)::int)
    FROM generate_series(1, 40) AS n;
    UPDATE t.said SET tenant = 'acme', scheme = NULL, auth = 'off', own = true
    WHERE random() < 0.7;

    -- Who reads has no more to say than which action.
    UPDATE t.said SET execution = NULL, finished = NULL, progress = NULL,
        code = NULL, details = NULL, most = NULL
    WHERE resource IS NULL;

    a := t.answers(ARRAY(SELECT x FROM t.batched() AS x));
    b := t.answers(ARRAY(SELECT x FROM t.one_by_one() AS x));
    RETURN NEXT is(a, b, format('answers, seed %s', seed));
    RETURN NEXT is((SELECT string_agg(x, E'\n' ORDER BY x)
                    FROM t.stored('a') x),
                   (SELECT string_agg(x, E'\n' ORDER BY x)
                    FROM t.stored('b') x), format('stored, seed %s', seed));
    RETURN NEXT ok((SELECT count(*) FROM unnest(a) AS x WHERE x LIKE '%|200|%')
                   BETWEEN 8 AND 38, 'some are taken, and some are not');
END $$;

SELECT t.round(n / 100.0) FROM generate_series(1, 25) AS n;

SELECT * FROM finish();
ROLLBACK;
