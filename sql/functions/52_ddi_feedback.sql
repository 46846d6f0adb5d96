-- Feedback on an action, to deploymentBase/ID/feedback and
-- cancelAction/ID/feedback: the tables of ddi.md.


-- What a status means for the action, as a state; NULL: it goes on. Only the
-- structure is judged here, not what the action is going through.
CREATE FUNCTION goosebit.feedback_outcome(execution text, finished text,
                                          type text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN execution = 'closed' AND finished = 'failure' THEN 'error'
        WHEN execution = 'closed' THEN 'finished'
        WHEN execution = 'rejected' THEN 'rejected'
        WHEN execution = 'canceled' THEN 'canceled'
        WHEN execution = 'downloaded' AND type = 'downloadonly'
        THEN 'finished'
        END
$$;
COMMENT ON FUNCTION goosebit.feedback_outcome IS
    'final state a feedback stands for, or NULL';


-- Percent from the last "Downloaded N%" among the details.
CREATE FUNCTION goosebit.feedback_progress(details text[])
RETURNS int
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    digits text;
BEGIN
    FOR i IN REVERSE COALESCE(pg_catalog.cardinality(details), 0) .. 1 LOOP
        IF pg_catalog.strpos(details[i], 'Downloaded ') > 0 THEN
            digits := pg_catalog.substring(details[i],
                                           'Downloaded ([0-9]{1,3})%');
            IF digits IS NOT NULL THEN
                RETURN LEAST(100, digits::int);
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION goosebit.feedback_progress IS
    'progress said in words by the details, or NULL';


-- Makes room for a status of an action that has as many as may be kept: the
-- oldest that is not final goes; the new one always stays.
CREATE FUNCTION goosebit.feedback_room(tenant_id int, device_id bigint,
                                       action_id int, since timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    DELETE FROM goosebit.action_status s
    WHERE s.tenant_id = feedback_room.tenant_id
      AND s.device_id = feedback_room.device_id
      AND s.at >= since
      AND s.id = (SELECT x.id FROM goosebit.action_status x
                  WHERE x.tenant_id = feedback_room.tenant_id
                    AND x.device_id = feedback_room.device_id
                    AND x.action_id = feedback_room.action_id
                    AND x.at >= since
                    AND x.execution NOT IN ('closed', 'rejected', 'canceled')
                  ORDER BY x.id LIMIT 1);
END
$$;
COMMENT ON FUNCTION goosebit.feedback_room IS
    'deletes the oldest status that may go';


-- Writes a status down and gives its id. full_since is when its action was
-- made, if that has as many as may be kept, else NULL.
CREATE FUNCTION goosebit.feedback_log(tenant_id int, device_id bigint,
                                      action_id int, full_since timestamptz,
                                      resource text, execution text,
                                      finished text, progress int, code int,
                                      details text[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    status_id bigint := pg_catalog.nextval('goosebit.action_status_seq');
BEGIN
    IF full_since IS NOT NULL THEN
        PERFORM goosebit.feedback_room(tenant_id, device_id, action_id,
                                       full_since);
    END IF;

    INSERT INTO goosebit.action_status (tenant_id, device_id, id, action_id,
        resource, execution, finished, progress, code, details)
    VALUES (tenant_id, device_id, status_id, action_id, resource, execution,
        finished, progress, code, COALESCE(details, '{}'));

    RETURN status_id;
END
$$;
COMMENT ON FUNCTION goosebit.feedback_log IS 'stores one status';


-- Takes a status that ends nothing, after it is written down, and gives the
-- action's state then: progress, running, and a first "proceeding" starts the
-- shown log anew, unless that is another action's by now. An action whose device
-- refuses to cancel goes on where it was, or begins where automatic confirmation
-- was switched on meanwhile.
CREATE FUNCTION goosebit.feedback_heard(a goosebit.action, status_id bigint,
                                        resource text, execution text,
                                        progress int, most int,
                                        refused boolean)
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    deployed  boolean := resource = 'deployment';
    first     boolean := deployed AND execution = 'proceeding'
                         AND a.proceeding_at IS NULL;
    stays     boolean := COALESCE(refused, false)
                         AND a.state = 'cancelling';
    new_state text := CASE
        WHEN deployed AND a.state = 'open' THEN 'running'
        WHEN NOT stays THEN a.state
        -- Nobody has confirmed it by refusing to cancel.
        WHEN a.confirm AND a.confirmed_at IS NULL
        THEN 'awaiting_confirmation'
        ELSE 'running' END;
    runs      boolean := new_state = 'running' AND a.state <> 'running';
BEGIN
    UPDATE goosebit.action x
    SET state = new_state,
        statuses = LEAST(most, a.statuses + 1),
        heard_at = pg_catalog.now(),
        fetched_at = CASE WHEN resource = 'confirmation' THEN a.fetched_at
                          ELSE COALESCE(a.fetched_at, pg_catalog.now()) END,
        proceeding_at = CASE WHEN first THEN pg_catalog.now()
                             ELSE a.proceeding_at END,
        cancel_refused = a.cancel_refused OR stays,
        progress = CASE
            WHEN a.ended_at IS NOT NULL THEN a.progress
            ELSE COALESCE(feedback_heard.progress,
                          CASE WHEN first THEN 0 ELSE a.progress END) END
    WHERE x.tenant_id = a.tenant_id AND x.device_id = a.device_id
      AND x.id = a.id;

    IF first OR runs THEN
        UPDATE goosebit.device d
        SET log_from = CASE
                WHEN first AND COALESCE(d.open_action_id, a.id) = a.id
                THEN status_id ELSE d.log_from END,
            state = CASE WHEN runs THEN 'running' ELSE d.state END
        WHERE d.tenant_id = a.tenant_id AND d.id = a.device_id;
    END IF;

    IF stays AND new_state = 'awaiting_confirmation' THEN
        PERFORM FROM goosebit.device d
        WHERE d.tenant_id = a.tenant_id AND d.id = a.device_id
          AND d.auto_confirm;
        IF FOUND THEN
            PERFORM goosebit.action_confirm(a.tenant_id, a.device_id, 'auto');
            new_state := 'open';
        END IF;
    END IF;
    RETURN new_state;
END
$$;
COMMENT ON FUNCTION goosebit.feedback_heard IS
    'takes a status that is not final; gives the action''s state';


-- Takes one status that is not of the usual kind, for feedback(), which holds
-- the device's lock: on cancelAction, one of an action that is not there, waits,
-- is asked to cancel or has ended, a failure or a no.
CREATE FUNCTION goosebit.feedback_unusual(c goosebit.caller, a goosebit.action,
                                          resource text, execution text,
                                          finished text, progress int,
                                          code int, details text[], most int)
RETURNS goosebit_ddi.message_row
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    m       goosebit_ddi.message_row := goosebit.message_from(c);
    outcome text;
    refused boolean := false;
    logged  bigint;
BEGIN
    finished := COALESCE(finished, 'none');

    IF resource NOT IN ('deployment', 'cancel')
       OR execution NOT IN ('proceeding', 'scheduled', 'resumed', 'download',
                            'downloaded', 'closed', 'rejected', 'canceled')
       OR finished NOT IN ('success', 'failure', 'none')
       OR resource IS NULL OR execution IS NULL
    THEN
        m.status := 400;
        m.reason := 'invalid';
        RETURN m;
    END IF;

    -- On cancelAction of an action that nobody asked to cancel there is
    -- nothing to answer.
    IF a.id IS NULL OR (resource = 'cancel' AND a.cancel_cause IS NULL
                     AND a.ended_at IS NULL)
    THEN
        m.status := 404;
        m.reason := 'not_found';
        RETURN m;
    END IF;

    outcome := goosebit.feedback_outcome(execution, finished,
        CASE resource WHEN 'deployment' THEN a.type END);

    IF resource = 'cancel' THEN
        -- Closed with success agrees to cancel; failure or rejected means
        -- that the update goes on.
        refused := outcome IN ('error', 'rejected');
        outcome := CASE WHEN outcome IN ('finished', 'canceled')
                        THEN 'canceled' END;
    ELSIF a.state = 'cancelling' AND outcome <> 'finished' THEN
        outcome := 'canceled';
    END IF;

    m.reason := a.state;

    IF a.final IS NOT NULL AND outcome IS NOT NULL THEN
        IF resource = 'deployment' AND outcome <> a.final
           AND NOT (a.final = 'canceled' AND a.cancel_cause IS NOT NULL
                    AND outcome IN ('error', 'rejected'))
        THEN
            m.status := 410;
            m.reason := 'gone';
        END IF;
        RETURN m;
    END IF;

    -- Quiet so far: ended by the server, or outside its window.
    IF a.ended_at IS NOT NULL OR a.maintenance_window IS NOT NULL THEN
        PERFORM goosebit.changed('device', a.tenant_id,
                                 device_id => a.device_id);
        m.changed := true;
    END IF;

    logged := goosebit.feedback_log(a.tenant_id, a.device_id, a.id,
        CASE WHEN a.statuses >= most THEN a.created_at END, resource,
        execution, finished, progress, code, details);

    IF outcome IS NULL THEN
        m.reason := goosebit.feedback_heard(a, logged, resource, execution,
                        progress, most, refused);
        RETURN m;
    END IF;

    m.reason := goosebit.action_end(a.tenant_id, a.device_id, a.id,
        CASE WHEN outcome = 'canceled' AND a.cancel_cause IS NOT NULL
             THEN goosebit.cancel_state(a.cancel_cause) ELSE outcome END,
        outcome, progress, LEAST(most, a.statuses + 1));
    RETURN m;
END
$$;
COMMENT ON FUNCTION goosebit.feedback_unusual IS
    'takes a status that is not of the usual kind';


-- Takes one status. 200 once it counts, and for the same final status again;
-- 404 for what is not this device's; 410 for a final status other than the
-- device's own before. All under the device's lock, so that two at once are
-- one after the other.
--
-- Every update says "proceeding", more of the kind and "closed", while its
-- action is open or runs. That is done here, as an expression is set up anew in
-- each transaction, which is most of its cost, unless it is not reached; the
-- rest is in feedback_unusual(). Rows are changed where they were found, which
-- costs less than by their keys: under the device's lock, which all that writes
-- to an action takes, they stay there.
CREATE FUNCTION goosebit_ddi.feedback(tenant text, device text, scheme text,
                                      credential bytea, auth text,
                                      resource text, action_id int,
                                      execution text, finished text,
                                      progress int, code int, details text[],
                                      max_statuses int DEFAULT NULL)
RETURNS goosebit_ddi.message_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c       goosebit.caller;
    place   tid;        -- of the device's row
    one     record;
    a       goosebit.action;
    changed boolean;
    most    int := COALESCE(max_statuses, 1000);
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    IF c.status <> 200 THEN
        RETURN goosebit.message_from(c);
    END IF;

    IF progress IS NOT NULL THEN
        progress := LEAST(100, GREATEST(0, progress));
    ELSIF pg_catalog.array_to_string(details, ' ') LIKE '%Downloaded %' THEN
        progress := goosebit.feedback_progress(details);
    END IF;

    SELECT d.ctid INTO place FROM goosebit.device d
    WHERE d.tenant_id = c.tenant_id AND d.id = c.device_id
    FOR NO KEY UPDATE;
    SELECT x AS action, x.ctid AS place INTO one FROM goosebit.action x
    WHERE x.tenant_id = c.tenant_id AND x.device_id = c.device_id
      AND x.id = feedback.action_id;
    a := one.action;

    IF (resource = 'deployment' AND a.state IN ('running', 'open')
        AND execution IN ('proceeding', 'closed', 'scheduled', 'resumed',
                          'download')
        AND finished IN ('none', 'success') AND a.type <> 'downloadonly')
       IS NOT TRUE
    THEN
        RETURN goosebit.feedback_unusual(c, a, resource, execution, finished,
                                         progress, code, details, most);
    END IF;

    -- Quiet so far: outside its window.
    IF a.maintenance_window IS NOT NULL THEN
        PERFORM goosebit.changed('device', c.tenant_id,
                                 device_id => c.device_id);
        changed := true;
    END IF;

    IF a.statuses >= most THEN
        PERFORM goosebit.feedback_room(c.tenant_id, c.device_id, action_id,
                                       a.created_at);
        a.statuses := most - 1;
    END IF;
    INSERT INTO goosebit.action_status (tenant_id, device_id, action_id,
        resource, execution, finished, progress, code, details)
    VALUES (c.tenant_id, c.device_id, action_id, resource, execution, finished,
        progress, code, COALESCE(details, '{}'));

    -- The first starts the shown log anew.
    IF execution = 'proceeding' AND a.proceeding_at IS NULL THEN
        UPDATE goosebit.action x
        SET state = 'running', statuses = a.statuses + 1,
            progress = COALESCE(feedback.progress, 0),
            fetched_at = COALESCE(x.fetched_at, pg_catalog.now()),
            proceeding_at = pg_catalog.now(), heard_at = pg_catalog.now()
        WHERE x.ctid = one.place;
        UPDATE goosebit.device d
        SET state = 'running',
            log_from = pg_catalog.currval('goosebit.action_status_seq')
        WHERE d.ctid = place;
        RETURN goosebit.message(c, 200, 'running', changed);
    END IF;

    -- What action_end() does with any end, of one that succeeds and is open.
    IF execution = 'closed' THEN
        UPDATE goosebit.action x
        SET state = 'finished', final = 'finished', statuses = a.statuses + 1,
            progress = 100,
            heard_at = pg_catalog.now(), ended_at = pg_catalog.now()
        WHERE x.ctid = one.place;
        UPDATE goosebit.device d
        SET state = 'finished', sw_version = a.version, force_update = false,
            installed_action_id = feedback.action_id, open_action_id = NULL
        WHERE d.ctid = place;
        RETURN goosebit.message(c, 200, 'finished', changed);
    END IF;

    UPDATE goosebit.action x
    SET state = 'running', statuses = a.statuses + 1,
        progress = COALESCE(feedback.progress, x.progress),
        fetched_at = COALESCE(x.fetched_at, pg_catalog.now()),
        heard_at = pg_catalog.now()
    WHERE x.ctid = one.place;
    IF a.state = 'open' THEN
        UPDATE goosebit.device d SET state = 'running'
        WHERE d.ctid = place;
    END IF;
    RETURN goosebit.message(c, 200, 'running', changed);
END
$$;
COMMENT ON FUNCTION goosebit_ddi.feedback IS
    'takes a status of an action; idempotent, counted once';
