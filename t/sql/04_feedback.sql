-- ddi.md's table of feedback, row by row, and what comes twice or late.

\i t/sql/lib.psql
SELECT no_plan();

SELECT t.sw('2.0.0') AS s2 \gset
SELECT t.rollout(:s2) AS r \gset

-- Each word on an open action --------------------------------------------
CREATE TABLE t.word (e text, f text, action text, device text, version text);
INSERT INTO t.word VALUES
    ('proceeding', 'none', 'running', 'running', '1.0.0'),
    ('proceeding', 'failure', 'running', 'running', '1.0.0'),
    ('scheduled', 'none', 'running', 'running', '1.0.0'),
    ('resumed', 'none', 'running', 'running', '1.0.0'),
    ('download', 'none', 'running', 'running', '1.0.0'),
    ('downloaded', 'success', 'running', 'running', '1.0.0'),
    ('closed', 'success', 'finished', 'finished', '2.0.0'),
    ('closed', 'none', 'finished', 'finished', '2.0.0'),
    ('closed', NULL, 'finished', 'finished', '2.0.0'),
    ('closed', 'failure', 'error', 'error', '1.0.0'),
    ('rejected', 'none', 'rejected', 'error', '1.0.0'),
    ('rejected', 'success', 'rejected', 'error', '1.0.0'),
    ('canceled', 'none', 'canceled', 'registered', '1.0.0');
SELECT t.dev(format('%s-%s', e, f)), t.link(format('%s-%s', e, f)) FROM t.word;
SELECT is(t.fb(format('%s-%s', e, f), e, f), 200, format('%s %s: 200', e, f))
FROM t.word;
SELECT is((t.act(format('%s-%s', e, f))).state, action,
          format('%s %s: action', e, f)) FROM t.word;
SELECT is((t.row(format('%s-%s', e, f))).state, device,
          format('%s %s: device', e, f)) FROM t.word;
SELECT is((t.row(format('%s-%s', e, f))).sw_version, version,
          format('%s %s: version', e, f)) FROM t.word;
SELECT is(t.open(format('%s-%s', e, f)) IS NULL, action <> 'running',
          format('%s %s: open', e, f)) FROM t.word;

-- The same again, and others after the device's own final ----------------
SELECT is(t.fb(format('%s-%s', e, f), e, f), 200,
          format('%s %s again: 200', e, f))
FROM t.word WHERE action <> 'running';
SELECT is((SELECT count(*) FROM goosebit.action_status s
           WHERE s.action_id = (t.act(format('%s-%s', e, f))).id), 1::bigint,
          format('%s %s again: written down once', e, f))
FROM t.word WHERE action <> 'running';
SELECT is((t.act(format('%s-%s', e, f))).state, action,
          format('%s %s again: as it was', e, f))
FROM t.word WHERE action <> 'running';
SELECT is(t.fb('closed-success', 'closed', 'none'), 200,
    'success and none are one word');
SELECT is(t.fb('closed-success', 'closed', 'failure'), 410,
    'another final status');
SELECT is(t.fb('closed-success', 'rejected'), 410, 'rejected after success');
SELECT is(t.fb('closed-failure', 'closed', 'success'), 410,
    'success after failure');
SELECT is((t.row('closed-failure')).sw_version, '1.0.0', 'changes nothing');
SELECT is(t.fb('closed-success', 'proceeding'), 200,
    'what is not final is only logged');
SELECT is((t.act('closed-success')).state, 'finished', 'and changes nothing');
SELECT is((t.act('closed-success')).progress, 100::smallint, 'nor progress');

-- Whose action -----------------------------------------------------------
SELECT t.dev('mine'); SELECT t.link('mine');
SELECT t.dev('other');
SELECT is(t.fb('other', 'proceeding', 'none', 'deployment',
    (t.act('mine')).id), 404, 'another device''s action');
SELECT is(t.fb('mine', 'proceeding', 'none', 'deployment', 999999), 404,
    'no action');
SELECT is(t.fb('mine', 'closed', 'success', 'cancel'), 404,
    'nobody asked it to cancel');
SELECT is(t.fb('mine', 'exploded'), 400, 'an unknown word');
SELECT is(t.fb('mine', 'closed', 'perhaps'), 400, 'an unknown result');
SELECT is(t.fb('mine', NULL), 400, 'no word');
SELECT is(t.fb('mine', 'closed', 'none', 'confirmation'), 400,
    'an unknown resource');
SELECT is((t.act('mine')).state, 'open', 'nothing of it counts');
SELECT is(t.fb('nobody', 'closed', 'none', 'deployment', 11), 404,
    'an unknown device');

-- Progress and the shown log ---------------------------------------------
SELECT is(t.fb('mine', 'download', 'none', 'deployment', NULL,
    '{"Downloaded 12%","Downloaded 34% of x","done"}'), 200, 'in words');
SELECT is((t.act('mine')).progress, 34::smallint, 'the last one counts');
SELECT t.fb('mine', 'download', 'none', 'deployment', NULL, '{}', 56);
SELECT is((t.act('mine')).progress, 56::smallint, 'as a number');
SELECT t.fb('mine', 'download', 'none', 'deployment', NULL, '{}', 900);
SELECT is((t.act('mine')).progress, 100::smallint, 'never past 100');
SELECT t.fb('mine', 'download', 'none', 'deployment', NULL, '{Hello}');
SELECT is((t.act('mine')).progress, 100::smallint, 'none said, none changed');
SELECT is(goosebit.feedback_progress('{"Downloaded 999%"}'), 100, 'in bounds');
SELECT is(goosebit.feedback_progress('{"Downloaded %"}'), NULL, 'no number');
SELECT t.fb('mine', 'proceeding', 'none', 'deployment', NULL, '{first}');
SELECT results_eq($$SELECT s.details FROM goosebit.action_status s
    WHERE s.device_id = (t.row('mine')).id AND s.id >= (t.row('mine')).log_from
    ORDER BY s.id$$, $$VALUES ('{first}'::text[])$$,
    'the first proceeding clears the shown log');
SELECT is((t.act('mine')).progress, 0::smallint, 'and progress');
SELECT t.fb('mine', 'proceeding', 'none', 'deployment', NULL, '{second}');
SELECT is((SELECT count(*) FROM goosebit.action_status s
    WHERE s.device_id = (t.row('mine')).id AND s.id >= (t.row('mine')).log_from),
    2::bigint, 'the next does not');
SELECT cmp_ok((SELECT count(*) FROM goosebit.action_status s
    WHERE s.action_id = (t.act('mine')).id), '>', 5::bigint,
    'nothing is lost of the action''s own');

-- A thousand statuses ----------------------------------------------------
SELECT t.dev('chatty'); SELECT t.link('chatty');
SELECT is(count(*), 1010::bigint, 'more than a thousand are taken')
FROM generate_series(1, 1010) i
WHERE t.fb('chatty', 'proceeding', 'none', 'deployment', NULL,
           ARRAY['n' || i]) = 200;
SELECT is((SELECT count(*) FROM goosebit.action_status s
    WHERE s.action_id = (t.act('chatty')).id), 1000::bigint, 'and kept');
SELECT is((SELECT details[1] FROM goosebit.action_status s
    WHERE s.action_id = (t.act('chatty')).id ORDER BY id LIMIT 1), 'n11',
    'without the oldest');
SELECT is(t.fb('chatty', 'closed', 'success'), 200, 'the final one, too');
SELECT is((t.act('chatty')).state, 'finished', 'counts');
SELECT is((t.act('chatty')).statuses, 1000, 'and no more are counted');

-- What each word of an update leaves behind --------------------------------
CREATE FUNCTION t.silent(cid text) RETURNS void LANGUAGE sql AS $$
    UPDATE goosebit.action a
    SET heard_at = now() - interval '1 hour', fetched_at = NULL
    WHERE a.id = (t.act(cid)).id
$$;
CREATE TABLE t.said (n int, cid text, e text, type text, statuses int);
INSERT INTO t.said VALUES
    (1, 'plain', 'proceeding', 'forced', 1),
    (2, 'plain', 'proceeding', 'forced', 2),
    (3, 'plain', 'closed', 'forced', 3),
    (4, 'eager', 'download', 'forced', 1),
    (5, 'eager', 'proceeding', 'forced', 2),
    (6, 'loader', 'proceeding', 'downloadonly', 1),
    (7, 'loader', 'downloaded', 'downloadonly', 2),
    (8, 'closer', 'download', 'downloadonly', 1),
    (9, 'closer', 'closed', 'downloadonly', 2);
SELECT t.dev(cid), t.link(cid), t.set(cid, 'force_update = true')
FROM (SELECT DISTINCT cid FROM t.said) x;
UPDATE goosebit.action a SET type = s.type
FROM t.said s WHERE a.id = (t.act(s.cid)).id;
CREATE FUNCTION t.tell() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    s record;
    a goosebit.action;
BEGIN
    FOR s IN SELECT * FROM t.said ORDER BY n LOOP
        PERFORM t.silent(s.cid), t.fb(s.cid, s.e, 'success');
        a := t.act(s.cid);
        RETURN NEXT is(a.heard_at, now(), s.cid || ' ' || s.e || ': heard');
        RETURN NEXT is(a.statuses, s.statuses, 'counted');
        RETURN NEXT is(a.fetched_at, CASE WHEN a.ended_at IS NULL THEN now()
                       END, 'fetched, if it goes on');
        RETURN NEXT is((t.row(s.cid)).force_update, a.ended_at IS NULL,
                       'forced until then');
    END LOOP;
END $$;
SELECT t.tell();
SELECT results_eq($$SELECT d.controller_id COLLATE "default", (t.act(controller_id)).state,
        d.state, d.sw_version, d.installed_action_id IS NOT NULL
    FROM goosebit.device d
    WHERE controller_id IN (SELECT cid FROM t.said) ORDER BY controller_id$$,
    $$VALUES ('closer', 'finished', 'finished', '1.0.0', false),
             ('eager', 'running', 'running', '1.0.0', false),
             ('loader', 'finished', 'finished', '1.0.0', false),
             ('plain', 'finished', 'finished', '2.0.0', true)$$,
    'what is only loaded is not installed');
SELECT isnt((t.act('eager')).proceeding_at, NULL, 'it proceeds');

-- Outside its window, an answer may be kept as quiet somewhere --------------
CREATE FUNCTION t.changed(cid text, e text) RETURNS boolean
LANGUAGE sql AS $$
    SELECT (goosebit_ddi.feedback('acme', cid, NULL, NULL, 'off', 'deployment',
            (t.act(cid)).id, e, 'none', NULL, NULL, '{}')).changed
$$;
SELECT t.dev('windowed'); SELECT t.link('windowed');
SELECT is(t.changed('windowed', 'proceeding'), NULL, 'no window: no change');
UPDATE goosebit.action a SET maintenance_window = '03:00-04:00'
WHERE a.id = (t.act('windowed')).id;
SELECT is(t.changed('windowed', e), true, 'in a window: ' || e)
FROM unnest('{proceeding,download,closed}'::text[]) e;
SELECT is(count(*), 4::bigint, 'each journalled, as the start was')
FROM goosebit.change c WHERE c.device_id = (t.row('windowed')).id;

-- Ended by the server ----------------------------------------------------
CREATE TABLE t.late (cid text, ended text, e text, f text, action text,
                     version text);
INSERT INTO t.late VALUES
    ('late1', 'timed_out', 'closed', 'success', 'finished', '2.0.0'),
    ('late2', 'timed_out', 'closed', 'failure', 'error', '1.0.0'),
    ('late3', 'canceled', 'closed', 'success', 'finished', '2.0.0'),
    ('late4', 'superseded', 'rejected', 'none', 'rejected', '1.0.0'),
    ('late5', 'canceled', 'canceled', 'none', 'canceled', '1.0.0'),
    ('late6', 'timed_out', 'proceeding', 'none', 'timed_out', '1.0.0');
SELECT t.dev(cid), t.link(cid) FROM t.late;
SELECT goosebit.action_end(t.tid(), (t.row(cid)).id, t.open(cid), ended)
FROM t.late;
SELECT is((t.act(cid)).state, ended, cid || ' ended') FROM t.late;
SELECT is(t.fb(cid, e, f), 200, cid || ': 200') FROM t.late;
SELECT is((t.act(cid)).state, action, cid || ': what the device said')
FROM t.late;
SELECT is((t.row(cid)).sw_version, version, cid || ': version') FROM t.late;
SELECT is(t.fb(cid, e, f), 200, cid || ': again') FROM t.late;
SELECT is(t.fb('late1', 'closed', 'failure'), 410, 'then its word stands');
SELECT is((t.row('late1')).state, 'finished', 'the device''s state follows');
SELECT is((SELECT count(*) FROM goosebit.action a
           WHERE a.device_id IN (SELECT (t.row(cid)).id FROM t.late)
             AND a.ended_at IS NULL), 0::bigint, 'no slot is taken');

-- A late word beside a new action leaves that one alone.
SELECT t.dev('two'); SELECT t.link('two'); SELECT t.fetch('two');
SELECT (t.act('two')).id AS old \gset
SELECT goosebit.action_end(t.tid(), (t.row('two')).id, :old, 'timed_out');
SELECT t.set('two', 'force_update = true');
SELECT t.link('two'); SELECT t.fb('two', 'proceeding');
SELECT is(t.fb('two', 'closed', 'failure', 'deployment', :old), 200, 'late');
SELECT is((t.row('two')).state, 'running', 'the new action''s state stays');
SELECT isnt(t.open('two'), NULL, 'it is still open');
SELECT ok((t.row('two')).force_update, 'and still forced');

-- So does a first proceeding: what is shown is the new action's.
SELECT t.dev('shown'); SELECT t.link('shown');
SELECT (t.act('shown')).id AS old \gset
SELECT t.cancel('shown', 'operator', true);
SELECT t.set('shown', 'force_update = true');
SELECT t.link('shown'); SELECT t.fb('shown', 'proceeding');
SELECT (t.row('shown')).log_from AS shown \gset
SELECT is(t.fb('shown', 'proceeding', 'none', 'deployment', :old), 200,
    'an old one begins late');
SELECT is((t.row('shown')).log_from, :shown::bigint, 'its log is not shown');

-- Cancelling -------------------------------------------------------------
CREATE TABLE t.stop (cid text, res text, e text, f text, action text);
INSERT INTO t.stop VALUES
    ('c1', 'cancel', 'closed', 'success', 'canceled'),
    ('c2', 'cancel', 'canceled', 'none', 'canceled'),
    ('c3', 'cancel', 'closed', 'failure', 'running'),
    ('c4', 'cancel', 'rejected', 'none', 'running'),
    ('c5', 'cancel', 'proceeding', 'none', 'cancelling'),
    ('c6', 'deployment', 'closed', 'success', 'finished'),
    ('c7', 'deployment', 'closed', 'failure', 'canceled'),
    ('c8', 'deployment', 'rejected', 'none', 'canceled'),
    ('c9', 'deployment', 'canceled', 'none', 'canceled'),
    ('c10', 'deployment', 'proceeding', 'none', 'cancelling');
SELECT t.dev(cid), t.link(cid), t.fetch(cid) FROM t.stop;
SELECT is(t.cancel(cid), 'asked', cid || ' asked') FROM t.stop;
SELECT is(t.link(cid), 'cancelAction', cid || ' is told') FROM t.stop;
SELECT is(t.fetch(cid), 404, cid || ': no deployment meanwhile') FROM t.stop;
SELECT is((goosebit_ddi.cancel_action('acme', cid, NULL, NULL, 'off',
           (t.act(cid)).id)).stop_id, (t.act(cid)).id, cid || ' stopId')
FROM t.stop;
SELECT is(t.fb(cid, e, f, res), 200, cid || ': 200') FROM t.stop;
SELECT is((t.act(cid)).state, action, format('%s: %s %s on %s', cid, e, f, res))
FROM t.stop;
SELECT is(t.fb(cid, e, f, res), 200, cid || ' again') FROM t.stop;
SELECT is((t.act(cid)).state, action, cid || ' again: as it was') FROM t.stop;
SELECT is((goosebit_ddi.cancel_action('acme', cid, NULL, NULL, 'off',
           (t.act(cid)).id)).status,
          CASE action WHEN 'cancelling' THEN 200 ELSE 404 END,
          cid || ': cancelAction') FROM t.stop;
SELECT is(t.why(cid), 'canceled', cid || ' holds')
FROM t.stop WHERE action = 'canceled';
SELECT is((t.row(cid)).state, 'running', cid || ': the device, too')
FROM t.stop WHERE action = 'running';
SELECT is(t.cancel('c3'), 'refused', 'not asked again for that action');
SELECT is(t.fb('c3', 'closed', 'success'), 200, 'the update went on');
SELECT is((t.row('c3')).sw_version, '2.0.0', 'to its end');
SELECT is(t.fb('c6', 'closed', 'success', 'cancel'), 200,
    'agreeing to cancel what is finished changes nothing');
SELECT is((t.act('c6')).state, 'finished', 'it stays finished');

-- One open action, whatever the code does.
SELECT throws_ok($$INSERT INTO goosebit.action (tenant_id, device_id, id,
    software_id, version, cause, cause_id, state)
    SELECT tenant_id, device_id, 1999999999, software_id, version, cause,
           cause_id, 'open' FROM goosebit.action WHERE id = t.open('two')$$,
    '23505', NULL, 'a second open action can''t be stored');

-- Ids: from 11, never a multiple of ten, to 2^31 - 1.
SELECT is(array_agg(10 + n + (n - 1) / 9 ORDER BY n),
    '{11,12,13,14,15,16,17,18,19,21,22}', 'the first ids')
FROM generate_series(1::bigint, 11) n;
SELECT cmp_ok(10 + 1932735273 + (1932735273::bigint - 1) / 9, '<=',
    2147483647::bigint, 'the last id');

-- What may be read -------------------------------------------------------
SELECT is((goosebit_ddi.installed_base('acme', 'closed-success', NULL, NULL,
    'off', (t.act('closed-success')).id, 0)).version, '2.0.0',
    'installedBase of what is finished');
SELECT is((goosebit_ddi.installed_base('acme', 'closed-failure', NULL, NULL,
    'off', (t.act('closed-failure')).id, 0)).status, 404, 'not of an error');
SELECT is((t.ask('closed-success')).installed_id,
    (t.act('closed-success')).id, 'its link');
SELECT is((goosebit_ddi.deployment_base('acme', 'mine', NULL, NULL, 'off',
    (t.act('mine')).id, 2)).history, '{second,first}', 'history, newest first');
SELECT is(cardinality((goosebit_ddi.deployment_base('acme', 'mine', NULL,
    NULL, 'off', (t.act('mine')).id, -1)).history), 6, 'all of it');
SELECT is(t.fetch('closed-success'), 404, 'no deployment of what has ended');
SELECT is((goosebit_ddi.artifact('acme', 'mine', NULL, NULL, 'off', :s2,
    '2.0.0.swu')).sha256, repeat('a', 64), 'artifact of an open action');
SELECT is((goosebit_ddi.artifact('acme', 'closed-success', NULL, NULL, 'off',
    :s2, '2.0.0.swu')).status, 200, 'of the last action');
SELECT is((goosebit_ddi.artifact('acme', 'other', NULL, NULL, 'off', :s2,
    '2.0.0.swu')).status, 404, 'not without an action');
SELECT is((goosebit_ddi.artifact('acme', 'mine', NULL, NULL, 'off', :s2,
    'x.swu')).status, 404, 'not another file');
SELECT is((goosebit_ddi.artifact('acme', 'mine', NULL, NULL, 'off', :s2,
    NULL)).filename, '2.0.0.swu', 'or whatever file it is');

SELECT * FROM finish();
ROLLBACK;
