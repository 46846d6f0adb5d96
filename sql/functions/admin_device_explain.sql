-- gbctl device explain: why a device is, or is not, being updated, and what
-- would change that, in words for a human.


-- An age, roughly, as one says it.
CREATE FUNCTION goosebit.age(since timestamptz, at timestamptz)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN s < 120 THEN s || ' seconds'
        WHEN s < 7200 THEN s / 60 || ' minutes'
        WHEN s < 172800 THEN s / 3600 || ' hours'
        ELSE s / 86400 || ' days' END
    FROM (SELECT GREATEST(0, EXTRACT(epoch FROM at - since))::bigint) AS x (s)
$$;
COMMENT ON FUNCTION goosebit.age IS 'an age in words';


-- The last attempt at a target, with the last thing the device said of it.
CREATE FUNCTION goosebit.last_attempt(dev goosebit.device,
                                      d goosebit.decision, at timestamptz)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.format('Action %s to %s ended as %s %s ago%s.', a.id,
               a.version, a.state, goosebit.age(a.ended_at, at),
               (SELECT ', saying "' || pg_catalog.left(
                           s.details[pg_catalog.cardinality(s.details)], 200)
                       || '"'
                FROM goosebit.action_status s
                WHERE s.tenant_id = a.tenant_id
                  AND s.device_id = a.device_id AND s.action_id = a.id
                  AND s.at >= a.created_at AND s.details <> '{}'
                ORDER BY s.id DESC LIMIT 1))
    FROM goosebit.action a
    WHERE a.tenant_id = dev.tenant_id AND a.device_id = dev.id
      AND a.software_id = d.software_id AND a.cause = d.cause
      AND a.cause_id = d.cause_id AND a.state <> 'superseded'
      AND a.ended_at IS NOT NULL
    ORDER BY a.id DESC LIMIT 1
$$;
COMMENT ON FUNCTION goosebit.last_attempt IS
    'how the last attempt at a device''s target ended, in words';


-- The words for decide()'s reasons.
CREATE FUNCTION goosebit.reason_words(dev goosebit.device,
                                      d goosebit.decision, at timestamptz)
RETURNS TABLE (says text, release text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    hw   text := dev.hw_model || ' ' || dev.hw_revision;
    runs text := COALESCE('runs ' || dev.sw_version,
                          'has not said which version it runs');
    a    goosebit.action;
BEGIN
    SELECT x.* INTO a FROM goosebit.action x
    WHERE x.tenant_id = dev.tenant_id AND x.device_id = dev.id
      AND x.id = d.action_id;

    RETURN QUERY SELECT CASE d.reason
    WHEN 'due' THEN pg_catalog.format(
        'It %s and gets %s at its next poll.', runs, d.version)
    WHEN 'open' THEN pg_catalog.format(
        'Action %s to %s is on offer for %s; the device has %s.', a.id,
        a.version, goosebit.age(a.created_at, at),
        CASE WHEN a.fetched_at IS NULL THEN 'not fetched it'
             ELSE 'fetched it and not begun' END)
    WHEN 'running' THEN pg_catalog.format(
        'Action %s to %s is at %s%%, last heard of %s ago.', a.id, a.version,
        a.progress, goosebit.age(a.heard_at, at))
    WHEN 'awaiting_confirmation' THEN pg_catalog.format(
        'Action %s to %s waits for a confirmation for %s%s.', a.id,
        a.version, goosebit.age(a.created_at, at),
        CASE WHEN a.statuses > 0 THEN '; the device has said no' END)
    WHEN 'cancelling' THEN pg_catalog.format(
        'The device is asked to cancel action %s to %s and has not answered.',
        a.id, a.version)
    WHEN 'superseded' THEN pg_catalog.format(
        'Action %s to %s is not what is wanted any more (%s) and is given up '
        'at the next poll.', a.id, a.version,
        COALESCE('that is ' || d.version, 'nothing is'))
    WHEN 'up_to_date' THEN pg_catalog.format(
        'It runs %s, which is what it should.', dev.sw_version)
    WHEN 'no_rollout' THEN pg_catalog.format(
        'No rollout is running in its feed "%s".', dev.feed)
    WHEN 'aborted' THEN pg_catalog.format(
        'The rollouts of its feed "%s" were aborted.', dev.feed)
    WHEN 'no_compatible_software' THEN CASE dev.mode
        WHEN 'rollout' THEN pg_catalog.format(
            'No rollout of its feed "%s" has software for its hardware, %s.',
            dev.feed, hw)
        WHEN 'latest' THEN pg_catalog.format(
            'No software is for its hardware, %s.', hw)
        ELSE pg_catalog.format(
            'The assigned software %s is not for its hardware, %s.',
            dev.assigned_software_id, hw) END
    WHEN 'no_assignment' THEN
        'Its mode is assigned, and no software is assigned to it.'
    WHEN 'pinned' THEN pg_catalog.format(
        'It is pinned, so it is left alone; it %s.', runs)
    WHEN 'paused' THEN pg_catalog.format(
        'Rollout %s to %s is paused%s.', d.cause_id, d.version,
        (SELECT ': ' || r.state_reason FROM goosebit.rollout r
         WHERE r.tenant_id = dev.tenant_id AND r.id = d.cause_id))
    WHEN 'held_after_error' THEN COALESCE(goosebit.last_attempt(dev, d, at),
        'The last attempt failed.') || ' It is not tried again by itself.'
    WHEN 'canceled' THEN COALESCE(goosebit.last_attempt(dev, d, at),
        'The last attempt was canceled.')
        || ' It is not tried again by itself.'
    WHEN 'done_reports_other_version' THEN pg_catalog.format(
        '%s The device %s all the same; what is done is not offered again.',
        goosebit.last_attempt(dev, d, at), runs)
    WHEN 'downloaded' THEN pg_catalog.format(
        '%s It was to be downloaded only, and is.',
        goosebit.last_attempt(dev, d, at))
    WHEN 'not_registered' THEN
        'It has not yet said what hardware and version it is (configData).'
    WHEN 'version_too_old' THEN pg_catalog.format(
        'It %s, and %s needs at least %s.', runs, d.version, d.min_version)
    WHEN 'downgrade_refused' THEN pg_catalog.format(
        'It %s, which is newer than %s, and this is no downgrade.', runs,
        d.version)
    WHEN 'outside_window' THEN pg_catalog.format(
        '%s waits for its maintenance window, %s.', COALESCE(a.version,
        d.version), COALESCE(a.maintenance_window, d.maintenance_window))
    WHEN 'concurrency' THEN pg_catalog.format(
        '%s is due, but %s.', d.version,
        (SELECT x.rail ->> 'detail'
         FROM pg_catalog.jsonb_array_elements(d.rails) AS x (rail)
         WHERE x.rail ->> 'rail' = 'concurrency'))
    ELSE d.reason END,
    CASE d.reason
    WHEN 'awaiting_confirmation' THEN 'a confirmation, by the device or '
        '"gbctl device confirm"'
    WHEN 'cancelling' THEN 'its answer, or "gbctl device cancel --now"'
    WHEN 'running' THEN pg_catalog.format(
        'its next report; silent for %s it times out',
        a.deadline * interval '1 second')
    WHEN 'up_to_date' THEN 'newer software, or "gbctl device force" to '
                           'install it again'
    WHEN 'no_rollout' THEN 'a rollout in that feed, or another feed or mode'
    WHEN 'aborted' THEN 'a new rollout'
    WHEN 'no_compatible_software' THEN
        'software for that hardware, or attributes that say another'
    WHEN 'no_assignment' THEN '"gbctl device assign", or another mode'
    WHEN 'pinned' THEN '"gbctl device unpin"'
    WHEN 'paused' THEN '"gbctl rollout resume ' || d.cause_id || '"'
    WHEN 'held_after_error' THEN '"gbctl device force", '
        || COALESCE('"gbctl rollout retry ' || CASE d.cause
                        WHEN 'rollout' THEN d.cause_id END || '", ', '')
        || 'or another target'
    WHEN 'canceled' THEN '"gbctl device force", or another target'
    WHEN 'done_reports_other_version' THEN '"gbctl device force"'
    WHEN 'downloaded' THEN '"gbctl device force", or another target'
    WHEN 'not_registered' THEN 'its configData, sent after its first poll'
    WHEN 'version_too_old' THEN 'an update to at least ' || d.min_version
    WHEN 'downgrade_refused' THEN
        '"gbctl device assign", or a rollout that allows downgrades'
    WHEN 'outside_window' THEN 'the window''s next opening'
    WHEN 'concurrency' THEN 'the end of one of the open updates'
    END;
END
$$;
COMMENT ON FUNCTION goosebit.reason_words IS
    'a reason as a sentence, and what would release it';


-- The reason is decide()'s, but for a device that is let in no more.
CREATE FUNCTION goosebit_admin.device_explain(tenant text, device text,
                                              poll_time int, max_updates int,
                                              auth text)
RETURNS TABLE (
    id text, reason text, explanation text, release text, mode text,
    feed text, sw_version text, target_version text, target_software int,
    cause text, rollout int, due boolean, action_id int, state text,
    last_seen timestamptz, online boolean, guard_rails jsonb
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t      goosebit.tenant;
    dev    goosebit.device;
    d      goosebit.decision;
    every  int;
    seen   timestamptz;
    here   boolean;
    shut   text;
    words  record;
BEGIN
    SELECT * INTO t FROM goosebit.tenant x
    WHERE x.id = goosebit.tenant_id(tenant);
    dev := goosebit.device_find(t.id, device);
    d := goosebit.decide(dev, COALESCE(t.max_updates, max_updates), now(),
                         true);
    every := goosebit.poll_time(dev.poll_time, t.poll_time,
                                device_explain.poll_time);
    SELECT s.seen_at INTO seen FROM goosebit.device_seen s
    WHERE s.tenant_id = t.id AND s.device_id = dev.id;
    here := goosebit.online(seen, every, now());

    SELECT * INTO words FROM goosebit.reason_words(dev, d, now());

    shut := CASE
        WHEN dev.blocked THEN 'It is blocked: each of its requests gets 401.'
        WHEN COALESCE(t.auth, auth) = 'strict' AND dev.token IS NULL
        THEN 'Devices need a token here and it has none: unless a gateway '
             'speaks for it, each of its requests gets 401.' END;

    RETURN QUERY
    SELECT dev.controller_id,
           CASE WHEN dev.blocked THEN 'blocked' ELSE d.reason END,
           concat_ws(' ', shut, CASE WHEN dev.blocked THEN NULL
                                     ELSE words.says END,
               CASE WHEN here OR dev.blocked THEN NULL
                    WHEN seen IS NULL THEN 'It has never been seen.'
                    ELSE format('It is offline: last seen %s ago, though it '
                                'should poll every %s.',
                                goosebit.age(seen, now()),
                                every * interval '1 second') END),
           CASE WHEN dev.blocked THEN '"gbctl device unblock"'
                ELSE words.release END,
           dev.mode, dev.feed, dev.sw_version, d.version, d.software_id,
           d.cause, CASE d.cause WHEN 'rollout' THEN d.cause_id END, d.due,
           d.action_id, dev.state, seen, here,
           goosebit.rail('[]', 'seen lately', here,
               CASE WHEN seen IS NULL THEN 'never'
                    ELSE format('%s ago, polls every %s',
                                goosebit.age(seen, now()),
                                every * interval '1 second') END)
           || d.rails;
END
$$;
COMMENT ON FUNCTION goosebit_admin.device_explain IS
    'why a device is, or is not, being updated';
