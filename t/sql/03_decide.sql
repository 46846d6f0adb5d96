-- Who gets what and why not: each rule of the desired state.

\i t/sql/lib.psql
SELECT no_plan();

-- Rollouts ---------------------------------------------------------------
SELECT t.dev('a');
SELECT is(t.why('a'), 'no_rollout', 'a feed without rollouts');
SELECT t.sw('2.0.0') AS s2 \gset
SELECT t.sw('3.0.0', 'other') AS other \gset
SELECT t.rollout(:other) AS r_other \gset
SELECT is(t.why('a'), 'no_compatible_software', 'none that fits');
SELECT t.rollout(:s2) AS r2 \gset
SELECT is(t.why('a'), 'due', 'one that fits');
SELECT is((goosebit.decide(t.row('a'), 1000)).cause_id, :r2, 'which one');

SELECT t.dev('fed'); SELECT t.set('fed', $$feed = 'beta'$$);
SELECT is(t.why('fed'), 'no_rollout', 'another feed''s rollout is not its own');

UPDATE goosebit.rollout SET start_at = now() + interval '1 hour'
WHERE id = :r2;
SELECT is(t.why('a'), 'no_compatible_software', 'scheduled does not count');
SELECT is(t.why('a', 1000, now() + interval '2 hours'), 'due', 'until then');

-- The module's polls share transactions.
UPDATE goosebit.rollout SET start_at = clock_timestamp() + interval '1 hour'
WHERE id = :r2;
SELECT is((goosebit_ddi.poll('Acme', 'a', NULL, NULL, 'off', 60, 1000)).reason,
    'no_compatible_software', 'its hour has not come');
UPDATE goosebit.rollout SET start_at = clock_timestamp() WHERE id = :r2;
SELECT is((goosebit_ddi.poll('Acme', 'a', NULL, NULL, 'off', 60, 1000)).next,
    'start', 'and comes in a transaction that began before');
UPDATE goosebit.rollout SET start_at = NULL WHERE id = :r2;

SELECT t.dev('same', '2.0.0');
SELECT is(t.why('same'), 'up_to_date', 'equal text');
SELECT t.dev('level', 'v2.0');
SELECT is(t.why('level'), 'up_to_date', 'level');
SELECT t.dev('build', '2.0.0+b7');
SELECT is(t.why('build'), 'due', 'another build is not up to date');
SELECT t.dev('blank', NULL);
SELECT is(t.why('blank'), 'due', 'an unknown version is older than all');
SELECT t.dev('newer', '2.1.0');
SELECT is(t.why('newer'), 'downgrade_refused', 'a rollout does not go back');
UPDATE goosebit.rollout SET allow_downgrade = true WHERE id = :r2;
SELECT is(t.why('newer'), 'due', 'unless it may');

-- The newest that fits decides; aborted ones don't, nor make it go back.
SELECT t.sw('2.5.0') AS s25 \gset
SELECT t.rollout(:s25) AS r25 \gset
SELECT is((goosebit.decide(t.row('a'), 1000)).software_id, :s25, 'the newest');
UPDATE goosebit.rollout SET state = 'paused' WHERE id = :r25;
SELECT is(t.why('a'), 'paused', 'paused: nothing starts');
SELECT is((goosebit.decide(t.row('a'), 1000)).software_id, :s25,
    'and the older does not step in');
SELECT t.set('a', 'force_update = true');
SELECT is(t.why('a'), 'paused', 'force does not start a paused one');
SELECT t.set('a', 'force_update = false');
UPDATE goosebit.rollout SET state = 'aborted' WHERE id = :r25;
SELECT is((goosebit.decide(t.row('a'), 1000)).software_id, :s2,
    'aborted: the older decides');
SELECT t.dev('got25', '2.5.0');
SELECT is(t.why('got25'), 'downgrade_refused',
    'an abort makes no older rollout downgrade, though that one may');
DELETE FROM goosebit.rollout WHERE id = :r25;
SELECT is(t.why('got25'), 'due', 'without the abort it may');
UPDATE goosebit.rollout SET allow_downgrade = false WHERE id = :r2;

SELECT t.dev('only'); SELECT t.set('only', $$feed = 'x'$$);
SELECT t.rollout(:s2, 'x') AS rx \gset
UPDATE goosebit.rollout SET state = 'aborted' WHERE id = :rx;
SELECT is(t.why('only'), 'aborted', 'nothing but an aborted one');

-- A deleted rollout that had updated the device is remembered by its action.
UPDATE goosebit.rollout SET state = 'running', allow_downgrade = true
WHERE id = :rx;
SELECT t.rollout(:s25, 'x') AS rx2 \gset
SELECT t.link('only'); SELECT t.fb('only', 'closed', 'success');
SELECT is((t.row('only')).sw_version, '2.5.0', 'updated by the newer');
DELETE FROM goosebit.rollout WHERE id = :rx2;
SELECT is(t.why('only'), 'downgrade_refused',
    'nor does a deletion make the older one downgrade');

-- Hardware ---------------------------------------------------------------
SELECT t.sw('4.0', 'board', '#RE:^v[12]\.[0-9]+$') AS sre \gset
SELECT ok(goosebit.software_fits(t.tid(), :sre, 'board', 'v2.13'), '#RE:');
SELECT ok(NOT goosebit.software_fits(t.tid(), :sre, 'board', 'v3.1'),
    '#RE: that does not match');
SELECT ok(NOT goosebit.software_fits(t.tid(), :sre, 'Board', 'v2.1'),
    'models are case-sensitive');
SELECT t.sw('4.1', 'board', '#RE:rev') AS sre2 \gset
SELECT ok(goosebit.software_fits(t.tid(), :sre2, 'board', 'my-rev-2'),
    'found anywhere, as regexec does');
SELECT ok(NOT goosebit.software_fits(t.tid(), :sre2, 'board', '#RE:re'),
    'a revision is not a pattern');
SELECT throws_ok($$SELECT t.sw('4.2', 'board', '#RE:a(b')$$, '2201B', NULL,
    'a pattern that does not compile is never stored');
SELECT throws_ok($$SELECT t.sw('4.3', 'board', '#RE:((a{255}){255}){255}')$$,
    '2201B', NULL, 'nor one that is too complex');
SELECT lives_ok($$SELECT t.sw('4.4', 'board', '#RE:(a)\1')$$,
    'a back-reference of basic expressions is none here');
SELECT t.dev('latest0', '0.1', 'latest');
SELECT t.set('latest0', $$hw_model = 'nothing'$$);
SELECT is(t.why('latest0'), 'no_compatible_software', 'latest: none fits');

-- Latest -----------------------------------------------------------------
SELECT t.sw('1.9.0', 'lat'), t.sw('1.10.0', 'lat') AS l110,
       t.sw('2.0.0-rc.1', 'lat') AS lrc, t.sw('9.9', 'lat', 'b') \gset
SELECT t.dev('latest', '1.10.0', 'latest');
SELECT t.set('latest', $$hw_model = 'lat'$$);
SELECT is((goosebit.decide(t.row('latest'), 9)).software_id, :lrc,
    'latest is the highest version that fits');
SELECT is(t.why('latest'), 'due', 'which is newer');
SELECT t.set('latest', $$sw_version = '2.0.0'$$);
SELECT is(t.why('latest'), 'downgrade_refused', 'latest never goes back');
SELECT t.set('latest', 'force_update = true');
SELECT is(t.why('latest'), 'downgrade_refused', 'nor when forced');

-- Assigned and pinned ----------------------------------------------------
SELECT t.dev('as', '5.0', 'assigned');
SELECT is(t.why('as'), 'no_assignment', 'mode assigned without software');
SELECT t.set('as', 'assigned_software_id = ' || :s2 || ', assignment = 1');
SELECT is(t.why('as'), 'due', 'an assignment may go back');
SELECT is((t.ask('as')).link, 'deploymentBase', 'it is offered');
SELECT t.fb('as', 'closed', 'success');
SELECT is(t.why('as'), 'up_to_date', 'once');
SELECT t.set('as', $$sw_version = '5.0'$$);
SELECT is(t.why('as'), 'done_reports_other_version',
    'done is done, whatever the device reports later');
SELECT t.set('as', 'assignment = 2');
SELECT is(t.why('as'), 'due', 'the same software assigned again is new');
SELECT t.set('as', $$hw_model = 'another'$$);
SELECT is(t.why('as'), 'no_compatible_software', 'hardware changed since');
SELECT t.dev('pin', '1.0', 'pinned');
SELECT is(t.why('pin'), 'pinned', 'pinned');
SELECT t.set('pin', 'force_update = true');
SELECT is(t.why('pin'), 'pinned', 'force has nothing to install then');

-- Least version ----------------------------------------------------------
SELECT t.sw('3.0.0', 'min', 'default', '2.0.0') AS smin \gset
SELECT t.dev('min', '1.9.9', 'latest');
SELECT t.set('min', $$hw_model = 'min'$$);
SELECT is(t.why('min'), 'version_too_old', 'below the least version');
SELECT t.set('min', $$sw_version = '2.0'$$);
SELECT is(t.why('min'), 'due', 'at it');

-- Holds ------------------------------------------------------------------
SELECT t.dev('h');
SELECT t.link('h'); SELECT t.fb('h', 'closed', 'failure');
SELECT is(t.why('h'), 'held_after_error', 'held after an error');
SELECT is(t.link('h'), 'none', 'and not offered');
UPDATE goosebit.rollout SET generation = generation + 1 WHERE id = :r2;
SELECT is(t.why('h'), 'due', 'retry releases it');
SELECT t.link('h'); SELECT t.fb('h', 'closed', 'failure');
SELECT is(t.why('h'), 'held_after_error', 'once more, not for ever');
SELECT t.set('h', 'force_update = true');
SELECT is(t.why('h'), 'due', 'force releases it');
SELECT t.link('h');
SELECT ok((t.act('h')).forced, 'a forced attempt');
SELECT t.fb('h', 'rejected');
SELECT ok(NOT (t.row('h')).force_update, 'any final status clears force');
SELECT is(t.why('h'), 'held_after_error', 'rejected holds, too');
SELECT t.set('h', 'force_update = true');
SELECT t.link('h'); SELECT is(t.cancel('h', 'operator', true), 'ended',
    'cancelled at once');
SELECT is(t.why('h'), 'canceled', 'an operator''s cancel holds');
SELECT ok(NOT (t.row('h')).force_update, 'and clears force');
SELECT t.rollout(:s25) AS rnew \gset
SELECT is(t.why('h'), 'due', 'a changed target is not held');
DELETE FROM goosebit.rollout WHERE id = :rnew;
SELECT is(t.why('h'), 'canceled', 'the old one still is');

SELECT t.dev('done');
SELECT t.link('done'); SELECT t.fb('done', 'closed', 'success');
SELECT t.set('done', $$sw_version = '1.0.0'$$);
SELECT is(t.why('done'), 'done_reports_other_version', 'a rollout''s, too');
UPDATE goosebit.rollout SET generation = generation + 1 WHERE id = :r2;
SELECT is(t.why('done'), 'done_reports_other_version',
    'retry is for those that failed');
SELECT t.set('done', 'force_update = true');
SELECT is(t.why('done'), 'due', 'force installs it again');
SELECT t.set('done', $$sw_version = '2.0.0'$$);
SELECT is(t.why('done'), 'due', 'even an equal version');

-- Registration -----------------------------------------------------------
SELECT is((t.ask('new')).config_data, true, 'a new device is asked for data');
SELECT is(t.why('new'), 'not_registered', 'and gets nothing before');
SELECT t.set('done', 'force_update = false');

-- Concurrency ------------------------------------------------------------
SELECT t.dev('c1'); SELECT t.dev('c2'); SELECT t.dev('c3');
SELECT count(*)::int AS busy FROM goosebit.action
WHERE tenant_id = t.tid() AND ended_at IS NULL \gset
SELECT is((t.ask('c1', :busy + 1)).link, 'deploymentBase', 'the last slot');
SELECT is(t.why('c2', :busy + 1), 'concurrency', 'the tenant''s bound');
SELECT is((t.ask('c2', :busy + 1)).link, NULL, 'nothing is offered past it');
SELECT is(t.why('c2', 0), 'concurrency', 'a bound of nothing');
SELECT is(t.why('c2', NULL), 'due', 'no bound');
UPDATE goosebit.tenant SET max_updates = :busy + 2 WHERE id = t.tid();
-- The reason of c2, by all that ask decide() with a bound of the caller's.
PREPARE of_c2(int) AS
SELECT (goosebit_ddi.poll('acme', 'c2', NULL, NULL, 'off', 60, $1)).reason,
    (goosebit_admin.device_show('acme', 'c2', 60, $1)).reason,
    (goosebit_admin.device_explain('acme', 'c2', 60, $1, 'off')).reason,
    (SELECT string_agg(reason, ' ')
     FROM goosebit_admin.rollout_explain('acme', :'r2', 60, $1)
     WHERE reason IN ('due', 'concurrency'));
SELECT results_eq('EXECUTE of_c2(0)', $$VALUES ('due', 'due', 'due', 'due')$$,
    'the tenant''s own bound beats the caller''s');
UPDATE goosebit.tenant SET max_updates = 0 WHERE id = t.tid();
SELECT results_eq('EXECUTE of_c2(1000)',
    $$VALUES ('concurrency', 'concurrency', 'concurrency', 'concurrency')$$,
    'also where it is less');
SELECT is((goosebit_ddi.start('acme', 'c2', NULL, NULL, 'off', 60, 1000)).reason,
    'concurrency', 'and under the locks');
UPDATE goosebit.tenant SET max_updates = NULL WHERE id = t.tid();
UPDATE goosebit.rollout SET max_concurrent = 1 WHERE id = :r2;
SELECT is(t.why('c2'), 'concurrency', 'the rollout''s bound');
SELECT t.fb('c1', 'closed', 'success');
SELECT is(t.why('c2'), 'due', 'an end frees the slot');
UPDATE goosebit.rollout SET max_concurrent = NULL WHERE id = :r2;

-- Supersession -----------------------------------------------------------
SELECT t.dev('s');
SELECT is(t.link('s'), 'deploymentBase', 'offered');
SELECT t.open('s') AS first \gset
SELECT t.rollout(:s25) AS r3 \gset
SELECT is(t.why('s'), 'superseded', 'its target changed');
SELECT is(t.link('s'), 'deploymentBase', 'not fetched: the new one at once');
SELECT isnt(t.open('s'), :first, 'another action');
SELECT is((SELECT state FROM goosebit.action WHERE id = :first),
    'superseded', 'the old one is superseded');
SELECT is(t.fetch('s'), 200, 'fetched');
SELECT t.open('s') AS second \gset
DELETE FROM goosebit.rollout WHERE id = :r3;
SELECT is(t.link('s'), 'cancelAction', 'fetched: the device is asked');
SELECT is(t.link('s'), 'cancelAction', 'until it answers');
SELECT is(t.fb('s', 'closed', 'success', 'cancel'), 200, 'it agrees');
SELECT is((t.act('s')).state, 'superseded', 'superseded, not canceled');
SELECT is(t.link('s'), 'deploymentBase', 'the target of now');
SELECT is((t.act('s')).software_id, :s2, 'which is the older rollout''s');
SELECT t.fetch('s');
SELECT t.set('s', $$mode = 'pinned', mode_before = 'rollout'$$);
SELECT is(t.link('s'), 'cancelAction', 'pinned under an open action');
SELECT is(t.fb('s', 'closed', 'failure', 'cancel'), 200, 'it refuses');
SELECT is(t.link('s'), 'deploymentBase', 'the update goes on');
SELECT is(t.cancel('s'), 'refused', 'and is not asked again');
SELECT t.fb('s', 'closed', 'success');

SELECT t.dev('p'); SELECT t.link('p'); SELECT t.fetch('p');
UPDATE goosebit.rollout SET state = 'paused' WHERE id = :r2;
SELECT is(t.link('p'), 'deploymentBase', 'paused: what is open goes on');
SELECT t.rollout(:s25) AS r4 \gset
UPDATE goosebit.rollout SET state = 'paused' WHERE id = :r4;
SELECT is(t.link('p'), 'deploymentBase', 'whoever''s it is');
DELETE FROM goosebit.rollout WHERE id = :r4;
SELECT is(t.fb('p', 'closed', 'success'), 200, 'to its end');
UPDATE goosebit.rollout SET state = 'running' WHERE id = :r2;

SELECT t.dev('up'); SELECT t.link('up'); SELECT t.fetch('up');
SELECT t.set('up', $$sw_version = '2.0.0'$$);
SELECT is(t.link('up'), 'deploymentBase',
    'a device that reports the new version before success goes on');

SELECT t.dev('fs'); SELECT t.set('fs', 'force_update = true');
SELECT t.link('fs');
SELECT t.cancel('fs', 'superseded');
SELECT ok((t.row('fs')).force_update, 'supersession leaves force');
SELECT is(t.why('fs'), 'due', 'and holds nothing');

-- Download only ----------------------------------------------------------
UPDATE goosebit.rollout SET type = 'downloadonly' WHERE id = :r2;
SELECT t.dev('dl'); SELECT t.link('dl');
SELECT is((goosebit_ddi.deployment_base('acme', 'dl', NULL, NULL, 'off',
    (t.act('dl')).id, 0)).update, 'skip', 'downloadonly is update skip');
SELECT is(t.fb('dl', 'downloaded'), 200, 'downloaded');
SELECT is((t.act('dl')).state, 'finished', 'ends it');
SELECT is((t.row('dl')).sw_version, '1.0.0', 'and leaves the version');
SELECT is(t.why('dl'), 'downloaded', 'that target is done');
SELECT is(t.fb('dl', 'closed', 'success'), 200, 'closed after it is the same');
UPDATE goosebit.rollout SET type = 'soft' WHERE id = :r2;
SELECT t.dev('soft'); SELECT t.link('soft');
SELECT is((goosebit_ddi.deployment_base('acme', 'soft', NULL, NULL, 'off',
    (t.act('soft')).id, 0)).update, 'attempt', 'soft is attempt');
UPDATE goosebit.rollout SET type = 'forced' WHERE id = :r2;

-- Confirmation -----------------------------------------------------------
UPDATE goosebit.rollout SET confirm = true WHERE id = :r2;
SELECT t.dev('cf');
SELECT is(t.link('cf'), 'confirmationBase', 'waits for a yes');
SELECT is(t.why('cf'), 'awaiting_confirmation', 'and says so');
SELECT is(t.fetch('cf'), 404, 'no deployment before');
SELECT t.dev('cf2'); SELECT t.set('cf2', 'auto_confirm = true');
SELECT is(t.link('cf2'), 'deploymentBase', 'or says yes by itself');
UPDATE goosebit.rollout SET confirm = false WHERE id = :r2;

-- Windows ----------------------------------------------------------------
SELECT ok(goosebit.window_open(spec, at) = want, spec || ' at ' || at)
FROM (VALUES
    ('22:00-04:00', '2026-11-23 23:00Z'::timestamptz, true),
    ('22:00-04:00', '2026-11-23 03:59Z', true),
    ('22:00-04:00', '2026-11-23 04:00Z', false),
    ('Mon-Fri 22:00-04:00', '2026-11-23 03:00Z', false), -- Sunday night
    ('Mon-Fri 22:00-04:00', '2026-11-28 03:00Z', true),  -- Friday night
    ('Mon-Fri 22:00-04:00 Europe/Berlin', '2026-11-23 21:30Z', true),
    ('Mon-Fri 22:00-04:00 Europe/Berlin', '2026-11-23 20:30Z', false),
    ('Sat,Sun 08:00-20:00', '2026-11-22 12:00Z', true),
    ('Sat,Sun 08:00-20:00', '2026-11-23 12:00Z', false),
    ('Fri-Mon 08:00-20:00', '2026-11-23 12:00Z', true),
    ('08:00-20:00 Nowhere/Land', '2026-11-23 12:00Z', false),
    ('29:00-20:00', '2026-11-23 12:00Z', false),
    ('now and then', '2026-11-23 12:00Z', false)) AS w (spec, at, want);
SELECT ok(goosebit.window_open(NULL, now()), 'no window is always open');
SELECT lives_ok(format('SELECT goosebit.window_check(%L)', spec),
    COALESCE(spec, 'none') || ' may be stored')
FROM unnest('{22:00-04:00,"Mon-Fri 22:00-04:00 Europe/Berlin",
              " sat,SUN 00:00-24:00 utc",NULL}'::text[]) AS w (spec);
SELECT throws_ok(format('SELECT goosebit.window_check(%L)', spec), 'GB007',
    NULL, spec || ' may not')
FROM unnest('{"",x,22:00,25:00-01:00,22:60-01:00,"Mon- 22:00-04:00",
              "Tag 22:00-04:00","22:00-04:00 Nowhere/Land",
              "22:00-04:00 UTC+2"}'::text[]) AS w (spec);
UPDATE goosebit.rollout SET maintenance_window = 'shut' WHERE id = :r2;
SELECT t.dev('w');
SELECT is(t.why('w'), 'outside_window', 'nothing starts outside');
UPDATE goosebit.rollout SET maintenance_window = '00:00-00:00' WHERE id = :r2;
SELECT is(t.link('w'), 'deploymentBase', 'it does inside');
UPDATE goosebit.action SET maintenance_window = 'shut'
WHERE id = t.open('w');
SELECT is(t.link('w'), 'none', 'not offered outside while it has not started');
SELECT t.fb('w', 'proceeding');
SELECT is(t.link('w'), 'deploymentBase', 'what has started goes on');
UPDATE goosebit.rollout SET maintenance_window = NULL WHERE id = :r2;

-- Explain ----------------------------------------------------------------
SELECT results_eq(
    $$SELECT rail FROM goosebit.decide_explain(t.row('done'), 0)
      WHERE NOT passed$$,
    $$VALUES ('other version'), ('not done or held'), ('concurrency')$$,
    'explain asks every rail, decide stops at the first');
SELECT is((SELECT e.rail FROM goosebit.decide_explain(d, 0)
               WITH ORDINALITY AS e (rail, passed, detail, n)
           WHERE NOT e.passed ORDER BY n LIMIT 1),
    CASE (goosebit.decide(d, 0)).reason
        WHEN 'up_to_date' THEN 'other version'
        WHEN 'held_after_error' THEN 'not done or held'
        WHEN 'canceled' THEN 'not done or held'
        WHEN 'downloaded' THEN 'not done or held'
        WHEN 'done_reports_other_version' THEN 'not done or held'
        WHEN 'downgrade_refused' THEN 'no downgrade'
        WHEN 'version_too_old' THEN 'least version'
        WHEN 'superseded' THEN 'target'
        WHEN 'concurrency' THEN 'concurrency'
        WHEN 'not_registered' THEN 'registered'
        WHEN 'open' THEN NULL WHEN 'running' THEN NULL
        WHEN 'awaiting_confirmation' THEN NULL
        ELSE 'target' END,
    'the first rail in the way is the reason: ' || d.controller_id)
FROM goosebit.device d WHERE d.tenant_id = t.tid();

-- What a rollout knows of its software -----------------------------------
UPDATE goosebit.rollout SET state = 'running', max_concurrent = NULL;
CREATE TABLE t.asked AS
SELECT d.id, goosebit.decide(d, 1000) AS answer FROM goosebit.device d;
SELECT cmp_ok(count(*)::int, '>', 3, 'some versions were looked up')
FROM t.asked WHERE (answer).cause = 'rollout';
SELECT goosebit.rollout_learn(r.tenant_id, r.id) FROM goosebit.rollout r;
SELECT is(goosebit.decide(d, 1000), a.answer,
    'the same where its rollout knows them: ' || d.controller_id)
FROM t.asked a JOIN goosebit.device d USING (id);

SELECT t.sw('9.0.0', 'odd "one"', 'r1') AS s9 \gset
INSERT INTO goosebit.software_hardware
    (tenant_id, software_id, model, revision, version_key)
VALUES (t.tid(), :s9, 'odd "one"', '#RE:^x[0-9]$', '');
SELECT t.rollout(:s9, 'odd') AS r9 \gset
SELECT goosebit.rollout_learn(t.tid(), :r9);
SELECT t.dev('odd');
CREATE FUNCTION t.odd(model text, rev text) RETURNS text LANGUAGE sql AS $$
    SELECT t.set('odd', format('feed = ''odd'', hw_model = %L, '
                               'hw_revision = %L', model, rev));
    SELECT t.why('odd');
$$;
SELECT is(t.odd('odd "one"', 'r1'), 'due', 'exactly what it knows');
SELECT is(t.odd('odd "one"', 'x7'), 'due', 'a pattern is looked up');
SELECT is(t.odd('odd "one"', 'r2'), 'no_compatible_software', 'neither');
SELECT is(t.odd('r1', 'r1'), 'no_compatible_software', 'another model');

SELECT * FROM finish();
ROLLBACK;
