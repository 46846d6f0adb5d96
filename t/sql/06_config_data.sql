-- configData: modes, limits, and what it means for hardware and version.

\i t/sql/lib.psql
SELECT no_plan();

CREATE FUNCTION t.cd(cid text, m text, k text[], v text[])
RETURNS int LANGUAGE sql AS $$
    SELECT (goosebit_ddi.config_data('acme', cid, NULL, NULL, 'off', m, k,
                                     v)).status
$$;
CREATE FUNCTION t.attr(cid text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT attributes FROM goosebit.device_attributes
    WHERE tenant_id = t.tid() AND device_id = (t.row(cid)).id
$$;
-- N attributes of that length.
CREATE FUNCTION t.many(n int, len int DEFAULT 3) RETURNS text[]
LANGUAGE sql AS $$
    SELECT array_agg(lpad(i::text, len, 'k')) FROM generate_series(1, n) i
$$;

SELECT t.ask('d');
SELECT is((t.row('d')).state, 'unknown', 'unknown until it says what it is');
SELECT is(t.cd('d', NULL, '{hw_model,hw_revision,sw_version,mac}',
    '{board,rev2,1.2.3,00:11}'), 200, 'no mode is merge');
SELECT is((t.row('d')).state, 'registered', 'registered');
SELECT is(((t.row('d')).hw_model, (t.row('d')).hw_revision,
    (t.row('d')).sw_version)::text, '(board,rev2,1.2.3)', 'what it is');
SELECT is((t.ask('d')).config_data, false, 'it is asked no more');
SELECT is(t.cd('d', 'merge', '{mac,site}', '{00:22,hall}'), 200, 'merge');
SELECT is(t.attr('d'), '{"hw_model":"board","hw_revision":"rev2",
    "sw_version":"1.2.3","mac":"00:22","site":"hall"}', 'merged');
SELECT is(t.cd('d', 'remove', '{mac,nothing}', NULL), 200, 'remove');
SELECT is(t.attr('d') ? 'mac', false, 'removed');
SELECT is((t.row('d')).sw_version, '1.2.3', 'the rest stays');
SELECT is(t.cd('d', 'remove', '{hw_revision}', NULL), 200, 'remove hardware');
SELECT is((t.row('d')).hw_revision, 'default', 'is default again');
SELECT is(t.cd('d', 'replace', '{hw_boardname,sw_version}', '{nano,2}'), 200,
    'replace');
SELECT is(t.attr('d'), '{"hw_boardname":"nano","sw_version":"2"}', 'replaced');
SELECT is((t.row('d')).hw_model, 'nano', 'hw_boardname names the model, too');
SELECT is(t.cd('d', 'merge', '{hw_model}', '{pico}'), 200, 'both');
SELECT is((t.row('d')).hw_model, 'pico', 'hw_model wins');
SELECT is(t.cd('d', 'replace', NULL, NULL), 200, 'nothing at all');
SELECT is((t.row('d')).hw_model, 'default', 'is default');

-- The version after an update is the action's, not an old attribute's.
SELECT t.cd('d', 'merge', '{hw_model,sw_version}', '{board,1.2.3}');
SELECT t.set('d', $$sw_version = '9.9'$$);
SELECT t.cd('d', 'merge', '{site}', '{yard}');
SELECT is((t.row('d')).sw_version, '9.9', 'not said, not changed');
SELECT t.cd('d', 'merge', '{sw_version}', '{1.2.3}');
SELECT is((t.row('d')).sw_version, '1.2.3', 'said, changed');

-- Limits: all or nothing.
SELECT t.ask('l'), t.cd('l', 'merge', '{a}', '{b}');
SELECT is(t.cd('l', 'merge', t.many(99), t.many(99)), 200, 'a hundred');
SELECT is(t.cd('l', 'merge', '{one-more}', '{x}'), 429, 'and no more');
SELECT is(t.cd('l', 'merge', '{kk1}', '{x}'), 200, 'changing one is fine');
SELECT is(t.cd('l', 'replace', t.many(101), t.many(101)), 429, 'replace');
SELECT is((SELECT count(*) FROM jsonb_object_keys(t.attr('l'))), 100::bigint,
    'nothing of it was stored');
SELECT is(t.cd('l', 'replace', ARRAY[repeat('k', 128)],
    ARRAY[repeat('ü', 255)]), 200, 'the longest, in characters');
SELECT is(t.cd('l', 'merge', ARRAY[repeat('k', 129)], '{x}'), 400,
    'a key too long');
SELECT is(t.cd('l', 'merge', '{good,k}', ARRAY['x', repeat('v', 256)]), 400,
    'a value too long');
SELECT is(t.attr('l') ? 'good', false, 'takes the good one with it');
SELECT is(t.cd('l', 'merge', '{""}', '{x}'), 400, 'an empty key');
SELECT is(t.cd('l', 'merge', '{a,b}', '{x}'), 400, 'a value missing');
SELECT is(t.cd('l', 'mix', '{a}', '{x}'), 400, 'an unknown mode');
SELECT is(t.cd('l', 'merge', '{k,k}', '{one,two}'), 200, 'a key twice');
SELECT is(t.attr('l') ->> 'k', 'two', 'is its last value');
SELECT is(t.cd('stranger', 'merge', '{a}', '{x}'), 404, 'an unknown device');
SELECT is((goosebit_ddi.config_data('acme', 'l', NULL, NULL, 'off', 'merge',
    '{}', '{}')).message, 'Updated swupdate data.', 'gooseBit''s words');

-- The same again writes nothing.
SELECT t.cd('d', 'merge', '{hw_model}', '{board}');
SELECT d.ctid AS before FROM goosebit.device d
WHERE d.id = (t.row('d')).id \gset
SELECT t.cd('d', 'merge', '{hw_model}', '{board}');
SELECT is((SELECT d.ctid::text FROM goosebit.device d
    WHERE d.id = (t.row('d')).id), :'before', 'sent again: not written');

SELECT * FROM finish();
ROLLBACK;
