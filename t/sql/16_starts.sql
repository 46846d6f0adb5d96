-- starts(): many polls at once come to the same as start() for one after the
-- other.

\i t/sql/lib.psql
SELECT no_plan();

-- What they may be offered: feeds with a rollout each, one of them with two.
SELECT t.sw('0.5.0') AS older, t.sw('2.0.0') AS s2 \gset
SELECT t.sw('2.1.0', min_v => '1.5.0') AS picky \gset
CREATE TABLE t.feed AS
SELECT f, t.rollout(CASE f WHEN 'back' THEN :older WHEN 'down' THEN :older
                    WHEN 'picky' THEN :picky ELSE :s2 END, f) AS r
FROM unnest('{plain,soft,download,confirm,shut,open,paused,gone,slow,picky,back,
    down,some,later,patient,two}'::text[]) AS f;
UPDATE goosebit.rollout r SET
    type = CASE feed WHEN 'soft' THEN 'soft' WHEN 'download'
                     THEN 'downloadonly' ELSE 'forced' END,
    confirm = feed = 'confirm',
    maintenance_window = CASE feed WHEN 'open' THEN '00:00-00:00' WHEN 'shut'
        THEN to_char(now() AT TIME ZONE 'UTC' + interval '2 hours', 'HH24:MI-')
          || to_char(now() AT TIME ZONE 'UTC' + interval '3 hours', 'HH24:MI')
        END,
    state = CASE feed WHEN 'paused' THEN 'paused' WHEN 'gone' THEN 'aborted'
                      ELSE 'running' END,
    generation = CASE feed WHEN 'patient' THEN 3 ELSE 0 END,
    allow_downgrade = feed = 'down',
    deadline = CASE feed WHEN 'patient' THEN 7 END,
    start_at = CASE feed WHEN 'later' THEN now() + interval '1 hour' END,
    filter = CASE feed WHEN 'some' THEN 'id ~ "[0-4]$"' END,
    filter_ops = CASE feed WHEN 'some' THEN '{~}'::text[] END,
    filter_fields = CASE feed WHEN 'some' THEN '{id}'::text[] END,
    filter_values = CASE feed WHEN 'some' THEN '{[0-4]$}'::text[] END;
SELECT goosebit.rollout_learn(t.tid(), r) FROM t.feed;
SELECT t.rollout(:s2, 'two') AS unlearned \gset

CREATE FUNCTION t.d(token text) RETURNS bytea LANGUAGE sql AS $$
    SELECT sha256(convert_to(token, 'UTF8'))
$$;
UPDATE goosebit.tenant SET gateway_token = t.d('gate') WHERE id = t.tid();

-- Another tenant, with a bound and a poll time of its own.
INSERT INTO goosebit.tenant (name, poll_time) VALUES ('Other', 77)
RETURNING id AS other \gset
INSERT INTO goosebit.software (tenant_id, name, version, version_key, format,
    filename, size, sha256, sha1, md5)
SELECT :other, name, version, version_key, format, filename, size, sha256, sha1,
       md5
FROM goosebit.software WHERE id = :s2
RETURNING id AS s3 \gset
INSERT INTO goosebit.software_hardware
    (tenant_id, software_id, model, revision, version_key)
SELECT :other, :s3, 'default', 'default', version_key
FROM goosebit.software WHERE id = :s3;
INSERT INTO goosebit.rollout (tenant_id, software_id) VALUES (:other, :s3);
SELECT goosebit.rollout_learn(:other, max(id)) FROM goosebit.rollout;

CREATE FUNCTION t.any(VARIADIC of_these text[]) RETURNS text LANGUAGE sql AS $$
    SELECT of_these[1 + floor(random() * cardinality(of_these))]
$$;

-- A device as most are, or with something odd about it.
CREATE FUNCTION t.make(cid text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    odd text := t.any('', '', '', 'feed', 'feed', 'feed', 'version', 'mode',
                      'past', 'past', 'past', 'set', 'set', 'set');
BEGIN
    PERFORM t.dev(cid), t.set(cid, format('feed = %L, poll_time = %L, '
        || 'auto_confirm = %L', t.any('plain', 'plain', 'slow'),
        t.any(NULL, '5'), random() < 0.5));
    IF odd = 'feed' THEN
        PERFORM t.set(cid, format('feed = %L', t.any('soft', 'download',
            'confirm', 'shut', 'open', 'paused', 'gone', 'picky', 'back',
            'down', 'some', 'later', 'patient', 'patient', 'two', 'none')));
    ELSIF odd = 'version' THEN
        PERFORM t.set(cid, format('sw_version = %L', t.any('1.6', 'v2.0',
            '2.0.0', '2.0.0+x', '3.0.0', 'text', NULL)));
    ELSIF odd = 'mode' THEN
        PERFORM t.set(cid, format('mode = %L, assigned_software_id = %L',
            t.any('latest', 'assigned', 'pinned'),
            (SELECT id FROM goosebit.software
             WHERE tenant_id = t.tid() AND version = t.any('2.0.0', '9'))));
    ELSIF odd = 'past' THEN
        PERFORM t.past(cid, t.any('open', 'failure', 'success', 'canceled',
                                  'superseded', 'other', 'elsewhere'));
    ELSIF odd = 'set' THEN
        PERFORM t.set(cid, t.any('config_data_at = NULL',
            'force_update = true', 'force_update = true',
            'hw_model = ''other''', 'hw_revision = ''r2''', 'blocked = true',
            format('token = %L', t.d('secret')),
            format('token = %L', t.d('secret'))));
    END IF;
END $$;

-- What came of its last update.
CREATE FUNCTION t.past(cid text, past text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    feed text := (t.row(cid)).feed;
BEGIN
    IF past = 'elsewhere' THEN
        PERFORM t.set(cid, 'feed = ''soft''');
    END IF;
    PERFORM t.link(cid);
    CASE past
    WHEN 'open' THEN
        NULL;
    WHEN 'other' THEN
        PERFORM t.set(cid, 'feed = ''picky'', sw_version = ''1.6''');
    WHEN 'canceled', 'superseded' THEN
        PERFORM t.cancel(cid, replace(past, 'canceled', 'operator'), true);
    WHEN 'failure' THEN
        PERFORM t.fb(cid, 'closed', past);
    ELSE
        PERFORM t.fb(cid, 'closed', 'success');
        PERFORM t.set(cid, format('sw_version = ''1.0.0'', feed = %L', feed));
    END CASE;
END $$;

CREATE TABLE t.asked (n int PRIMARY KEY, tenant text, cid text, scheme text,
    credential bytea, auth text);

-- Up to so many at a time, of eighteen devices and two who are none.
CREATE FUNCTION t.ask_all(most int) RETURNS void LANGUAGE sql AS $$
    TRUNCATE t.asked;
    INSERT INTO t.asked
    SELECT n, t.any('acme', 'ACME', 'acme', 'acme', 'nobody', 'other'),
        'd-' || 1 + floor(random() * 20),
        t.any(NULL, NULL, 'target', 'gateway', 'proven', 'refused',
              'external'),
        t.d(t.any(NULL, 'gate', 'secret', 'secret')),
        t.any('off', 'off', 'off', 'strict', 'lax', 'setup', 'external')
    FROM generate_series(1, most) AS n;
    UPDATE t.asked SET tenant = t.any('acme', 'acme', 'other'), scheme = NULL,
                       auth = 'off'
    WHERE random() < 0.7
$$;

CREATE FUNCTION t.together(bound int) RETURNS SETOF goosebit_ddi.poll_row
LANGUAGE sql AS $$
    SELECT x.* FROM (
        SELECT array_agg(tenant ORDER BY n) AS t, array_agg(cid ORDER BY n) AS d,
               array_agg(scheme ORDER BY n) AS s,
               array_agg(credential ORDER BY n) AS c,
               array_agg(auth ORDER BY n) AS a
        FROM t.asked) w, goosebit_ddi.starts(t, d, s, c, a, 60, bound) x
$$;

CREATE FUNCTION t.one_by_one(bound int) RETURNS SETOF goosebit_ddi.poll_row
LANGUAGE plpgsql AS $$
DECLARE
    w t.asked;
BEGIN
    FOR w IN SELECT * FROM t.asked ORDER BY n LOOP
        RETURN NEXT goosebit_ddi.start(w.tenant, w.cid, w.scheme, w.credential,
                                       w.auth, 60, bound);
    END LOOP;
END $$;

-- Answers; an action's number stands for whether it is the device's.
CREATE FUNCTION t.answers(r goosebit_ddi.poll_row[]) RETURNS text[]
LANGUAGE sql AS $$
    SELECT array_agg(concat_ws(' ', x.action_id = d.open_action_id,
                     x.installed_id = d.installed_action_id,
                     to_jsonb(x) - 'action_id' - 'installed_id') ORDER BY s.n)
    FROM unnest(r) WITH ORDINALITY AS x
    JOIN t.asked s ON s.n = x.ordinality
    LEFT JOIN goosebit.device d
      ON d.tenant_id = x.tenant_id AND d.controller_id = s.cid
$$;

-- All that is stored, but for the actions' numbers.
CREATE FUNCTION t.stored() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws('|',
        to_jsonb(d) - 'open_action_id' - 'installed_action_id',
        (SELECT string_agg(concat(to_jsonb(a) - 'id', a.id = d.open_action_id,
                    a.id = d.installed_action_id), ' ' ORDER BY a.id)
         FROM goosebit.action a WHERE a.tenant_id = d.tenant_id
           AND a.device_id = d.id),
        (SELECT string_agg((to_jsonb(c) - 'xid')::text, ' ' ORDER BY c::text)
         FROM goosebit.change c WHERE c.device_id = d.id)),
        E'\n' ORDER BY d.tenant_id, d.controller_id)
    FROM goosebit.device d
$$;

-- Both ways from the same start: what the first did is taken back. Others of the
-- tenant and of the slow rollout are open already, so that room runs out.
CREATE FUNCTION t.round(n int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    seed  float := n / 1000.0;
    bound int;
    a     text[];
    b     text[];
    x     text;
    y     text;
BEGIN
    PERFORM setseed(seed);
    bound := t.any(NULL, '3', '8', '10', '12', '14', '1000', '1000')::int;
    DELETE FROM goosebit.action;
    DELETE FROM goosebit.device;
    PERFORM t.make('d-' || k) FROM generate_series(1, 18) AS k;
    PERFORM t.dev('o-' || k), t.set('o-' || k, format('feed = %L',
                CASE WHEN k < 4 THEN 'slow' ELSE 'plain' END)),
            t.link('o-' || k)
    FROM generate_series(1, 6) AS k;
    INSERT INTO goosebit.device (tenant_id, controller_id, sw_version,
                                 config_data_at)
    SELECT id, 'd-' || k, '1.0.0', now()
    FROM goosebit.tenant, generate_series(1, 9) AS k WHERE name = 'Other';
    UPDATE goosebit.tenant SET max_updates = t.any(NULL, '0', '2', '9')::int,
                               auth = t.any(NULL, NULL, 'strict')
    WHERE name = 'Other';
    UPDATE goosebit.rollout
    SET max_concurrent = t.any(NULL, '4', '5', '6', '9', '50')::int
    WHERE feed = 'slow';
    UPDATE goosebit.device SET feed = 'slow'
    WHERE round.n % 3 = 0 AND feed = 'plain' AND open_action_id IS NULL;
    UPDATE goosebit.action SET created_at = now() - interval '1 hour',
        heard_at = now() - interval '1 hour';
    PERFORM t.ask_all(t.any('2', '3', '5', '8', '20')::int);
    UPDATE t.asked SET tenant = 'acme', scheme = NULL, auth = 'off'
    WHERE round.n % 3 = 0;

    BEGIN
        a := t.answers(ARRAY(SELECT p FROM t.together(bound) AS p));
        x := t.stored();
        RAISE EXCEPTION USING ERRCODE = 'GB999';
    EXCEPTION WHEN SQLSTATE 'GB999' THEN
        NULL;
    END;
    b := t.answers(ARRAY(SELECT p FROM t.one_by_one(bound) AS p));
    y := t.stored();

    RETURN NEXT is(a, b, format('answers, seed %s', seed));
    RETURN NEXT is(x, y, format('stored, seed %s', seed));
END $$;

SELECT t.round(n) FROM generate_series(1, 150) AS n;

-- Nothing above says that any were started together.
DELETE FROM goosebit.action;
DELETE FROM goosebit.device;
SELECT t.dev('d-' || n), t.set('d-' || n, $$feed = 'plain'$$)
FROM generate_series(1, 5) AS n;
TRUNCATE t.asked;
INSERT INTO t.asked SELECT n, 'acme', 'd-' || n, NULL, NULL, 'off'
FROM generate_series(1, 5) AS n;
ALTER FUNCTION goosebit_ddi.start RENAME TO start_alone;
SELECT is((SELECT string_agg(DISTINCT concat_ws('|', status, reason, next,
    link), ' ') FROM t.together(5)), '200|open|started|deploymentBase',
    'all at once, where there is just the room');
ALTER FUNCTION goosebit_ddi.start_alone RENAME TO start;

UPDATE goosebit.rollout SET software_version_key = goosebit.version_key('2.1.0')
WHERE feed = 'plain';
SELECT t.set('d-' || n, $$sw_version = '2.0.0', open_action_id = NULL$$)
FROM generate_series(1, 5) AS n;
DELETE FROM goosebit.action;
SELECT is((SELECT string_agg(DISTINCT reason, ' ') FROM t.together(5)),
    'up_to_date', 'equal text is up to date, whatever its key once was');

SELECT * FROM finish();
ROLLBACK;
