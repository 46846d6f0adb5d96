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


-- Writes a status down. Of more than max_statuses (NULL: 1000) the oldest that
-- is not final goes; the new one always stays. A first "proceeding" starts
-- the shown log anew.
CREATE FUNCTION goosebit.feedback_log(a goosebit.action, resource text,
                                      execution text, finished text,
                                      progress int, code int, details text[],
                                      max_statuses int)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    most      int := COALESCE(max_statuses, 1000);
    status_id bigint := pg_catalog.nextval('goosebit.action_status_seq');
    first     boolean := resource = 'deployment' AND execution = 'proceeding'
                         AND a.proceeding_at IS NULL;
BEGIN
    IF a.statuses >= most THEN
        DELETE FROM goosebit.action_status s
        WHERE s.tenant_id = a.tenant_id AND s.device_id = a.device_id
          AND s.at >= a.created_at
          AND s.id = (SELECT x.id FROM goosebit.action_status x
                      WHERE x.tenant_id = a.tenant_id
                        AND x.device_id = a.device_id
                        AND x.action_id = a.id AND x.at >= a.created_at
                        AND x.execution NOT IN ('closed', 'rejected',
                                                'canceled')
                      ORDER BY x.id LIMIT 1);
    END IF;

    INSERT INTO goosebit.action_status (tenant_id, device_id, id, action_id,
        resource, execution, finished, progress, code, details)
    VALUES (a.tenant_id, a.device_id, status_id, a.id, resource, execution,
        finished, progress, code, COALESCE(details, '{}'));

    UPDATE goosebit.action x
    SET statuses = LEAST(most, x.statuses + 1),
        heard_at = pg_catalog.now(),
        fetched_at = CASE WHEN resource = 'confirmation' THEN x.fetched_at
                          ELSE COALESCE(x.fetched_at, pg_catalog.now()) END,
        proceeding_at = CASE WHEN first THEN pg_catalog.now()
                             ELSE x.proceeding_at END,
        state = CASE WHEN x.state = 'open' AND resource = 'deployment'
                     THEN 'running' ELSE x.state END,
        progress = CASE
            WHEN x.ended_at IS NOT NULL THEN x.progress
            ELSE COALESCE(feedback_log.progress,
                          CASE WHEN first THEN 0 ELSE x.progress END) END
    WHERE x.tenant_id = a.tenant_id AND x.device_id = a.device_id
      AND x.id = a.id;

    IF first THEN
        UPDATE goosebit.device d SET log_from = status_id
        WHERE d.tenant_id = a.tenant_id AND d.id = a.device_id;
    END IF;
END
$$;
COMMENT ON FUNCTION goosebit.feedback_log IS
    'stores one status, moves progress, clears the shown log';


-- Takes one status. 200 once it counts, and for the same final status again;
-- 404 for what is not this device's; 410 for a final status other than the
-- device's own before. All under the device's lock, so that two at once are
-- one after the other.
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
    m       goosebit_ddi.message_row;
    a       goosebit.action;
    outcome text;
    refused boolean := false;
BEGIN
    c := goosebit.caller(tenant, device, scheme, credential, auth);
    m.status := c.status;
    m.reason := c.reason;
    IF c.status <> 200 THEN
        RETURN m;
    END IF;

    m.tenant_id := c.tenant_id;
    m.device_id := (c.dev).id;
    m.tenant := c.tenant;
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

    PERFORM FROM goosebit.device d
    WHERE d.tenant_id = c.tenant_id AND d.id = (c.dev).id
    FOR NO KEY UPDATE;
    SELECT x.* INTO a FROM goosebit.action x
    WHERE x.tenant_id = c.tenant_id AND x.device_id = (c.dev).id
      AND x.id = feedback.action_id;

    -- On cancelAction of an action that nobody asked to cancel there is
    -- nothing to answer.
    IF NOT FOUND OR (resource = 'cancel' AND a.cancel_cause IS NULL
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

    progress := CASE WHEN progress IS NULL
                     THEN goosebit.feedback_progress(details)
                     ELSE LEAST(100, GREATEST(0, progress)) END;
    PERFORM goosebit.feedback_log(a, resource, execution, finished, progress,
                                  code, details, max_statuses);

    IF outcome IS NOT NULL THEN
        m.reason := CASE
            WHEN outcome = 'canceled' AND a.cancel_cause IS NOT NULL
            THEN goosebit.cancel_state(a.cancel_cause) ELSE outcome END;
        PERFORM goosebit.action_end(a.tenant_id, a.device_id, a.id, m.reason,
                                    outcome);
    ELSIF a.state = 'cancelling' AND refused THEN
        -- Nobody has confirmed it by refusing to cancel.
        m.reason := CASE WHEN a.confirm AND a.confirmed_at IS NULL
                         THEN 'awaiting_confirmation' ELSE 'running' END;
        UPDATE goosebit.action x
        SET state = m.reason, cancel_refused = true
        WHERE x.tenant_id = a.tenant_id AND x.device_id = a.device_id
          AND x.id = a.id;
    ELSIF a.state = 'open' AND resource = 'deployment' THEN
        UPDATE goosebit.device d SET state = 'running'
        WHERE d.tenant_id = a.tenant_id AND d.id = a.device_id;
        m.reason := 'running';
    END IF;

    RETURN m;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.feedback IS
    'takes a status of an action; idempotent, counted once';
