-- Who is let in: scheme by mode by what is stored.

\i t/sql/lib.psql
SELECT no_plan();

CREATE FUNCTION t.d(token text) RETURNS bytea LANGUAGE sql AS $$
    SELECT sha256(convert_to(token, 'UTF8'))
$$;
UPDATE goosebit.tenant SET gateway_token = t.d('gate') WHERE id = t.tid();
SELECT t.dev('known'), t.dev('token'), t.dev('blocked');
SELECT t.set('token', format('token = %L', t.d('secret')));
SELECT t.set('blocked', format('token = %L, blocked = true', t.d('secret')));

-- right: the stored token; wrong: another; gate, badgate: the gateway's;
-- proven, refused: NGINX vouches, or knows better; yes, yesright: an outside
-- service said yes to another token, to the stored one; none: nothing sent.
CREATE FUNCTION t.try(cid text, cred text, auth text)
RETURNS goosebit_ddi.poll_row LANGUAGE sql AS $$
    SELECT goosebit_ddi.poll('acme', cid,
        CASE cred WHEN 'none' THEN NULL WHEN 'proven' THEN 'proven'
             WHEN 'gate' THEN 'gateway' WHEN 'badgate' THEN 'gateway'
             WHEN 'refused' THEN 'refused' WHEN 'yes' THEN 'external'
             WHEN 'yesright' THEN 'external'
             ELSE 'target' END,
        CASE cred WHEN 'right' THEN t.d('secret') WHEN 'wrong' THEN t.d('x')
             WHEN 'yesright' THEN t.d('secret') WHEN 'yes' THEN t.d('x')
             WHEN 'gate' THEN t.d('gate') WHEN 'badgate' THEN t.d('y') END,
        auth, 60, 1000)
$$;

CREATE TABLE t.rule (auth text, cred text, token int, known int, stranger int);
INSERT INTO t.rule VALUES
    ('off',      'none',    200, 200, 200),
    ('off',      'wrong',   200, 200, 200),
    ('strict',   'none',    401, 401, 401),
    ('strict',   'right',   200, 401, 401),
    ('strict',   'wrong',   401, 401, 401),
    ('strict',   'gate',    200, 200, 200),
    ('strict',   'badgate', 401, 401, 401),
    ('strict',   'proven',  200, 200, 200),
    ('lax',      'none',    401, 200, 200),
    ('lax',      'right',   200, 200, 200),
    ('lax',      'wrong',   401, 200, 200),
    ('lax',      'gate',    200, 200, 200),
    ('lax',      'badgate', 401, 200, 200),
    ('lax',      'proven',  200, 200, 200),
    ('setup',    'none',    401, 200, 200),
    ('setup',    'right',   200, 200, 200),
    ('setup',    'wrong',   401, 200, 200),
    ('setup',    'proven',  200, 200, 200),
    ('external', 'none',    401, 401, 401),
    ('external', 'right',   401, 401, 401),
    ('external', 'gate',    200, 200, 200),
    ('external', 'proven',  200, 200, 200),
    ('external', 'yes',     200, 200, 200),
    ('off',      'refused', 401, 401, 401),
    ('lax',      'refused', 401, 401, 401),
    ('setup',    'refused', 401, 401, 401),
    ('strict',   'refused', 401, 401, 401),
    ('external', 'refused', 401, 401, 401),
    ('strict',   'yes',     401, 401, 401),
    ('strict',   'yesright', 200, 401, 401),
    ('lax',      'yes',     401, 200, 200),
    (NULL,       'none',    401, 401, 401),
    ('nonsense', 'right',   401, 401, 401);
SELECT is((t.try('token', cred, auth)).status, token,
          format('%s, %s: a device with a token', auth, cred)) FROM t.rule;
SELECT is((t.try('known', cred, auth)).status, known,
          format('%s, %s: a device without', auth, cred)) FROM t.rule;
SELECT is((t.try('stranger', cred, auth)).status, stranger,
          format('%s, %s: an unknown device', auth, cred)) FROM t.rule;
SELECT is((t.try('blocked', cred, auth)).status, 401,
          format('%s, %s: a blocked device', auth, cred)) FROM t.rule;

-- Every refusal is the same row.
SELECT results_eq($$SELECT DISTINCT t.try(cid, cred, 'strict')::text
    FROM unnest('{token,known,stranger,blocked}'::text[]) cid,
         unnest('{none,wrong,badgate}'::text[]) cred$$,
    $$SELECT '(401,unauthorized,,,,,,,,,,,,,,)'$$,
    'a refusal says nothing of whom it refused');
-- In mode external every token is to be asked about outside, whosever it is.
SELECT results_eq($$SELECT DISTINCT (t.try(cid, cred, 'external')).reason
    FROM unnest('{token,known,stranger,blocked}'::text[]) cid,
         unnest('{right,wrong}'::text[]) cred$$,
    $$SELECT 'external'$$, 'external: told to ask outside');
SELECT results_eq($$SELECT DISTINCT (t.try(cid, cred, mode)).reason
    FROM unnest('{token,blocked}'::text[]) cid,
         unnest('{wrong,none,badgate,refused}'::text[]) cred,
         unnest('{strict,lax,setup}'::text[]) mode$$,
    $$SELECT 'unauthorized'$$, 'and in no other');
SELECT is((SELECT count(*) FROM goosebit.device WHERE tenant_id = t.tid()),
    3::bigint, 'and a poll creates nothing');
SELECT is((goosebit_ddi.register('acme', 'stranger', 'target', t.d('x'),
    'strict', 60, 1000)).status, 401, 'register asks again');
SELECT is((SELECT count(*) FROM goosebit.device WHERE tenant_id = t.tid()),
    3::bigint, 'and creates nothing when refused');

-- Tenants ----------------------------------------------------------------
SELECT is((goosebit_ddi.poll('nobody', 'token', NULL, NULL, 'strict', 60,
    1000)).status, 404, 'an unknown tenant is said before');
SELECT is((goosebit_ddi.poll('ACME', 'token', NULL, NULL, 'off', 60,
    1000)).tenant, 'Acme', 'any case, answered as stored');
SELECT is((goosebit_ddi.poll(NULL, NULL, NULL, NULL, NULL, NULL,
    NULL)).status, 404, 'nothing at all');
UPDATE goosebit.tenant SET auth = 'strict' WHERE id = t.tid();
SELECT is((t.try('known', 'none', 'off')).status, 401,
    'the tenant''s mode beats the configured one');
UPDATE goosebit.tenant SET auth = NULL, gateway_prefix = 'to'
WHERE id = t.tid();
SELECT is((t.try('token', 'gate', 'strict')).status, 200,
    'a gateway within its prefix');
SELECT is((t.try('known', 'gate', 'strict')).status, 401, 'and beyond');
UPDATE goosebit.tenant SET gateway_token = NULL, gateway_prefix = NULL
WHERE id = t.tid();
SELECT is((t.try('token', 'gate', 'strict')).status, 401, 'none is accepted');
INSERT INTO goosebit.tenant (name) VALUES ('Rival');
SELECT is((goosebit_ddi.poll('rival', 'token', 'target', t.d('secret'),
    'strict', 60, 1000)).status, 401, 'a token is its tenant''s');

-- setup: the first token stays -------------------------------------------
SELECT is((t.try('known', 'wrong', 'setup')).next, 'register',
    'setup wants to store the first token');
SELECT is((goosebit_ddi.register('acme', 'known', 'target', t.d('mine'),
    'setup', 60, 1000)).status, 200, 'stored');
SELECT is((t.row('known')).token, t.d('mine'), 'as a digest');
SELECT is((goosebit_ddi.register('acme', 'known', 'target', t.d('thief'),
    'setup', 60, 1000)).status, 401, 'the second is refused');
SELECT is((t.row('known')).token, t.d('mine'), 'and not stored');
SELECT is((goosebit_ddi.register('acme', 'fresh', 'target', t.d('f'),
    'setup', 60, 1000)).status, 200, 'a new device with its token');
SELECT is((t.row('fresh')).token, t.d('f'), 'has it stored');
SELECT is((goosebit_ddi.register('acme', 'laxer', 'target', t.d('f'),
    'lax', 60, 1000)).status, 200, 'lax');
SELECT is((t.row('laxer')).token, NULL, 'stores none');

-- Register ---------------------------------------------------------------
SELECT is((goosebit_ddi.register('acme', repeat('x', 256), NULL, NULL, 'off',
    60, 1000)).status, 404, 'an id past 255 bytes');
SELECT is((goosebit_ddi.register('acme', '', NULL, NULL, 'off', 60,
    1000)).status, 404, 'an empty one');
SELECT is((goosebit_ddi.register('acme', repeat('x', 255), NULL, NULL, 'off',
    60, 1000)).status, 200, '255 bytes');
SELECT is((t.ask('Fresh')).device_id <> (t.row('fresh')).id, true,
    'ids are case-sensitive');

-- Poll time --------------------------------------------------------------
SELECT is((t.ask('fresh')).poll_seconds, 10, 'ten seconds until registered');
SELECT is((goosebit_ddi.poll('acme', 'laxer', NULL, NULL, 'off', 5,
    1000)).poll_seconds, 5, 'or less');
SELECT is((t.ask('token')).poll_seconds, 60, 'the caller''s');
UPDATE goosebit.tenant SET poll_time = 300 WHERE id = t.tid();
SELECT is((t.ask('token')).poll_seconds, 300, 'the tenant''s');
SELECT t.set('token', 'poll_time = 7200');
SELECT is((t.ask('token')).poll_seconds, 7200, 'the device''s');
SELECT is(goosebit.poll_time(NULL, NULL, 90000), 86399, 'never a whole day');
SELECT is(goosebit.poll_time(NULL, NULL, 0), 1, 'never nothing');

SELECT * FROM finish();
ROLLBACK;
