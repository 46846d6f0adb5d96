-- Confirmation by device and operator, automatic confirmation, and
-- installedBase by PUT.

\i t/sql/lib.psql
SELECT no_plan();

SELECT t.sw('2.0.0') AS s2 \gset
SELECT t.sw('3.0.0') AS s3 \gset
SELECT t.rollout(:s2) AS r \gset
UPDATE goosebit.rollout SET confirm = true, max_concurrent = 100;

CREATE FUNCTION t.say(cid text, word text, aid int DEFAULT NULL)
RETURNS int LANGUAGE sql AS $$
    SELECT (goosebit_ddi.confirmation_feedback('acme', cid, NULL, NULL, 'off',
            COALESCE(aid, (t.act(cid)).id), word, 7, '{why}')).status
$$;

CREATE FUNCTION t.doc(cid text) RETURNS int LANGUAGE sql AS $$
    SELECT (goosebit_ddi.confirmation_action('acme', cid, NULL, NULL, 'off',
            (t.act(cid)).id, 0)).status
$$;

CREATE FUNCTION t.base(cid text) RETURNS goosebit_ddi.confirmation_row
LANGUAGE sql AS $$
    SELECT goosebit_ddi.confirmation_base('acme', cid, NULL, NULL, 'off')
$$;

CREATE FUNCTION t.auto(cid text, active boolean, who text DEFAULT NULL,
                       remark text DEFAULT NULL)
RETURNS goosebit_ddi.confirmation_row LANGUAGE sql AS $$
    SELECT goosebit_ddi.auto_confirm('acme', cid, NULL, NULL, 'off', active,
                                     who, remark)
$$;

-- A yes ------------------------------------------------------------------
SELECT t.dev('yes');
SELECT is((t.base('yes')).action_id, NULL, 'nothing waits yet');
SELECT is(t.link('yes'), 'confirmationBase', 'an action waits');
SELECT is((t.act('yes')).state, 'awaiting_confirmation', 'its state');
SELECT is((t.base('yes')).action_id, t.open('yes'), 'confirmationBase says so');
SELECT is(t.doc('yes'), 200, 'its document can be read');
SELECT is(t.fetch('yes'), 404, 'deploymentBase can''t');
SELECT is((t.act('yes')).fetched_at, NULL, 'reading it is no fetching');
SELECT is(t.say('yes', NULL), 400, 'no word');
SELECT is(t.say('yes', 'maybe'), 400, 'another word');
SELECT is(t.say('yes', 'confirmed', 77), 404, 'another action');
UPDATE goosebit.action SET heard_at = now() - interval '2 days'
WHERE id = t.open('yes');
SELECT is(t.say('yes', 'confirmed'), 200, 'confirmed');
SELECT is((t.act('yes')).state, 'open', 'open');
SELECT is((t.act('yes')).confirmed_by, 'device', 'by the device');
SELECT is((t.act('yes')).heard_at, now(), 'its deadline counts from now');
SELECT is((t.act('yes')).fetched_at, NULL, 'still not fetched');
SELECT is(t.link('yes'), 'deploymentBase', 'offered');
SELECT is(t.doc('yes'), 404, 'nothing to confirm any more');
SELECT is((t.base('yes')).action_id, NULL, 'confirmationBase has no action');
SELECT is(t.say('yes', 'confirmed'), 200, 'again');
SELECT is((SELECT count(*)::int FROM goosebit.action_status
           WHERE action_id = t.open('yes')), 1, 'written down once');
SELECT is((SELECT execution || ' ' || code || ' ' || details::text
           FROM goosebit.action_status WHERE action_id = t.open('yes')),
          'confirmed 7 {why}', 'as it was said');
SELECT is(t.say('yes', 'denied'), 404, 'too late to deny');
SELECT is(t.fetch('yes'), 200, 'fetched');
SELECT is(t.fb('yes', 'closed', 'success'), 200, 'installed');
SELECT is(t.say('yes', 'confirmed'), 200, 'once more, after all');
SELECT is((t.act('yes')).state, 'finished', 'finished all the same');

-- Outside the window: nothing is offered, and so nothing is late -----------
SELECT to_char(now() AT TIME ZONE 'UTC' + interval '2 hours', 'HH24:MI') || '-'
    || to_char(now() AT TIME ZONE 'UTC' + interval '3 hours', 'HH24:MI')
    AS later \gset
SELECT date_trunc('minute', now()) + interval '2 hours' AS opens \gset
SELECT t.dev('early'); SELECT t.link('early');
UPDATE goosebit.action SET maintenance_window = :'later', deadline = 3600
WHERE id = t.open('early');
SELECT is(t.say('early', 'confirmed'), 200, 'confirmed before the window');
SELECT is(t.link('early'), 'none', 'not offered yet');
SELECT is((t.act('early')).heard_at, :'opens', 'its deadline counts from then');
SELECT goosebit.deadlines(:'opens'::timestamptz + interval '3599 s');
SELECT is((t.act('early')).state, 'open', 'it is not late before');
SELECT goosebit.deadlines(:'opens'::timestamptz + interval '3600 s');
SELECT is((t.act('early')).state, 'timed_out', 'silent all the same');
SELECT is(goosebit.window_opens(NULL, now()), now(), 'without a window, now');
SELECT is(goosebit.window_opens('00:00-00:00', now()), now(), 'or in it');
SELECT is(goosebit.window_opens('Sat 22:00-04:00 Europe/Berlin',
    '2026-10-19 12:00+00'), '2026-10-24 20:00+00', 'days later');
SELECT is(goosebit.window_opens('Sun 03:30-04:00 Europe/Berlin',
    '2026-10-20 12:00+00'), '2026-10-25 02:30+00',
    'where the hour is put back');
SELECT is(goosebit.window_opens('always', now()), now(), 'nonsense is never');

-- A no -------------------------------------------------------------------
SELECT t.dev('no'); SELECT t.link('no');
SELECT is(t.say('no', 'denied'), 200, 'denied');
SELECT is((t.act('no')).state, 'awaiting_confirmation', 'goes on waiting');
SELECT is(t.link('no'), 'confirmationBase', 'and is asked again');
SELECT is(t.say('no', 'denied'), 200, 'denied again');
SELECT is((t.act('no')).statuses, 2, 'both written down');
SELECT goosebit.deadlines(now() + interval '10 years');
SELECT is((t.act('no')).state, 'awaiting_confirmation', 'waits for ever');
SELECT is(t.say('no', 'confirmed'), 200, 'changes its mind');
SELECT is(t.link('no'), 'deploymentBase', 'offered');

-- An operator's yes and no -----------------------------------------------
SELECT t.dev('oper'); SELECT t.link('oper');
UPDATE goosebit.action SET heard_at = now() - interval '2 days'
WHERE id = t.open('oper');
SELECT goosebit_admin.device_confirm('acme', '{oper}', true);
SELECT is((t.act('oper')).state, 'open', 'confirmed by an operator');
SELECT is((t.act('oper')).heard_at, now(), 'its deadline counts from now');
SELECT is((SELECT count(*)::int FROM goosebit_admin.device_confirm('acme',
           '{oper}', false)), 0, 'what has begun can''t be denied');
SELECT is((t.act('oper')).state, 'open', 'it goes on');
SELECT t.dev('oper2'); SELECT t.link('oper2');
SELECT goosebit_admin.device_confirm('acme', '{oper2}', false);
SELECT is((t.act('oper2')).state, 'rejected', 'denied by an operator');
SELECT is((t.act('oper2')).final, NULL, 'which is not the device''s word');
SELECT is(t.open('oper2'), NULL, 'its slot is free');
SELECT is(t.why('oper2'), 'held_after_error', 'the target is held');
SELECT is(t.say('oper2', 'confirmed'), 404, 'the device is too late');
SELECT t.cancel('oper', 'operator', true);

-- Waiting holds the slot -------------------------------------------------
UPDATE goosebit.rollout SET max_concurrent = 2;
SELECT t.dev('slot');
SELECT is(t.link('slot'), 'confirmationBase', 'the second slot');
SELECT t.dev('none');
SELECT is(t.link('none'), 'none', 'a third has none');
SELECT is(t.why('none'), 'concurrency', 'and is told why');
SELECT is((SELECT running::int FROM goosebit.rollout_counts(t.tid(), ARRAY[:r])), 2,
          'counted as running');
UPDATE goosebit.rollout SET max_concurrent = 100;

-- Cancelled, superseded --------------------------------------------------
SELECT is(t.cancel('slot'), 'asked', 'an operator cancels');
SELECT is(t.link('slot'), 'cancelAction', 'the device is asked');
SELECT is(t.say('slot', 'confirmed'), 404, 'no confirming meanwhile');
SELECT is(t.fb('slot', 'rejected', 'none', 'cancel'), 200, 'it refuses');
SELECT is((t.act('slot')).state, 'awaiting_confirmation',
          'which confirms nothing');
SELECT is(t.cancel('slot', 'operator', true), 'ended', 'now');
SELECT is(t.say('slot', 'confirmed'), 404, 'nothing waits');
SELECT is(t.doc('slot'), 404, 'nor can it be read');

SELECT t.link('none');
SELECT (t.act('none')).id AS old \gset
SELECT is(t.say('none', 'denied'), 200, 'a no');
SELECT t.rollout(:s3) AS r3 \gset
SELECT is(t.link('none'), 'deploymentBase', 'superseded without asking');
SELECT is((SELECT state FROM goosebit.action WHERE id = :old), 'superseded',
          'the old one');
SELECT is((t.act('none')).confirm, false, 'the new one needs no yes');
SELECT is(t.say('none', 'confirmed'), 404, 'and takes none');
SELECT is(t.say('none', 'denied', :old), 200, 'the last word once more');

-- Automatic --------------------------------------------------------------
UPDATE goosebit.rollout SET state = 'aborted' WHERE id = :r3;
SELECT t.dev('late'); SELECT t.link('late'); SELECT t.cancel('late');
SELECT t.auto('late', true);
SELECT is((t.act('late')).state, 'cancelling', 'on, while it is to cancel');
SELECT is(t.fb('late', 'rejected', 'none', 'cancel'), 200, 'it refuses');
SELECT is((t.act('late')).state, 'open', 'and does not wait');
SELECT is((t.act('late')).confirmed_by, 'auto', 'as all is confirmed');
SELECT t.dev('auto'); SELECT t.link('auto');
SELECT is((t.base('auto')).active, false, 'not by itself');
SELECT is((t.auto('auto', true, 'me', 'because')).status, 200, 'on');
SELECT is((t.base('auto')).initiator, 'me', 'who');
SELECT is((t.base('auto')).remark, 'because', 'why');
SELECT is((t.base('auto')).activated_at,
          (extract(epoch FROM now()) * 1000)::bigint, 'when');
SELECT is((t.act('auto')).state, 'open', 'what waited begins');
SELECT is((t.act('auto')).confirmed_by, 'auto', 'by itself');
SELECT is((t.auto('auto', true)).initiator, NULL, 'on again, by none');
SELECT is((t.auto('auto', false)).active, false, 'off');
SELECT ok(NOT t.base('auto') IS DISTINCT FROM t.auto('auto', false),
          'off again');
SELECT is((t.base('auto')).activated_at, NULL, 'leaves nothing');
SELECT is((t.base('auto')).initiator, NULL, 'of all that');
SELECT t.dev('ready'); SELECT t.auto('ready', true);
SELECT is(t.link('ready'), 'deploymentBase', 'on before: offered at once');
SELECT is((t.act('ready')).confirmed_by, 'auto', 'confirmed');
SELECT is((t.auto('nobody', true)).status, 404, 'an unknown device');
SELECT is((t.base('nobody')).status, 404, 'has no confirmationBase');
SELECT is((SELECT count(*)::int FROM goosebit.device
           WHERE controller_id = 'nobody'), 0, 'and stays unknown');

-- PUT installedBase ------------------------------------------------------
CREATE FUNCTION t.put(cid text, n text, v text) RETURNS int LANGUAGE sql AS $$
    SELECT (goosebit_ddi.installed_version('acme', cid, NULL, NULL, 'off',
                                           n, v)).status
$$;
SELECT t.dev('put');
SELECT is(t.put('put', 'os', '2.0.0'), 200, 'taken');
SELECT is((t.row('put')).sw_version, '2.0.0', 'runs it');
SELECT is(t.why('put'), 'up_to_date', 'which decides');
SELECT is(t.put('put', 'os', '2.0.0'), 200, 'again');
SELECT is(t.put('put', NULL, '1'), 400, 'no name');
SELECT is(t.put('put', 'os', NULL), 400, 'no version');
SELECT is(t.put('put', 'os', repeat('x', 256)), 400, 'too long');
SELECT is(t.put('nobody', 'os', '1'), 404, 'an unknown device');
SELECT is((t.row('put')).sw_version, '2.0.0', 'nothing changed');

-- Quotas -----------------------------------------------------------------
SELECT t.dev('quota'); SELECT t.auto('quota', true); SELECT t.link('quota');
SELECT (goosebit_ddi.feedback('acme', 'quota', NULL, NULL, 'off',
        'deployment', t.open('quota'), 'proceeding', 'none', n, NULL,
        ARRAY[n::text], 3)).status FROM generate_series(1, 5) n;
SELECT is((SELECT array_agg(details[1] ORDER BY id)
           FROM goosebit.action_status WHERE action_id = t.open('quota')),
          '{3,4,5}', 'only the newest statuses are kept');
SELECT is((goosebit_ddi.config_data('acme', 'quota', NULL, NULL, 'off',
           'merge', '{a,b,c}', '{1,2,3}', 2)).status, 429, 'attributes');
SELECT is((goosebit_ddi.config_data('acme', 'quota', NULL, NULL, 'off',
           'merge', '{a,b}', '{1,2}', 2)).status, 200, 'as many as allowed');
SELECT is((goosebit_ddi.config_data('acme', 'quota', NULL, NULL, 'off',
           'merge', '{c}', '{3}', 2)).status, 429, 'counted with the old');

SELECT * FROM finish();
ROLLBACK;
