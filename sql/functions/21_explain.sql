-- decide(), guard rail by guard rail, for explain: it shares every check.


-- The guard rails one row each, in the order decide() asks them. The first
-- that did not pass is decide()'s reason.
CREATE FUNCTION goosebit.decide_explain(dev goosebit.device, max_updates int,
                                        at timestamptz DEFAULT now())
RETURNS TABLE (rail text, passed boolean, detail text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d     goosebit.decision := goosebit.decide(dev, max_updates, at);
    word  text;
    slots text;
    same  boolean;
    runs  text := goosebit.version_key(COALESCE(dev.sw_version, ''));
BEGIN
    RETURN QUERY VALUES
        ('target', d.software_id IS NOT NULL,
         CASE WHEN d.software_id IS NULL THEN d.reason
              ELSE pg_catalog.format('software %s (%s) by %s%s',
                  d.software_id, d.version, d.cause,
                  CASE d.cause WHEN 'rollout' THEN ' ' || d.cause_id
                               ELSE '' END) END);

    IF d.action_id IS NOT NULL THEN
        RETURN QUERY VALUES ('open action', NOT d.supersede,
            pg_catalog.format('action %s is %s', d.action_id,
                CASE WHEN d.supersede THEN 'to be superseded'
                     ELSE d.action_state END));
        RETURN;
    END IF;

    RETURN QUERY VALUES
        ('registered', dev.config_data_at IS NOT NULL,
         COALESCE('configData since ' || pg_catalog.to_char(
                      dev.config_data_at AT TIME ZONE 'UTC',
                      'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                  'no configData yet')),
        ('not blocked', NOT dev.blocked,
         CASE WHEN dev.blocked THEN 'blocked: every request gets 401'
              ELSE '' END);

    IF d.software_id IS NULL THEN
        RETURN;
    END IF;

    same := goosebit.version_same(dev.sw_version, d.version) IS TRUE;
    word := goosebit.held(dev.tenant_id, dev.id, d.software_id, d.cause,
                          d.cause_id, d.generation);
    slots := goosebit.slots_taken(dev.tenant_id, max_updates, d.cause,
                                  d.cause_id, d.max_concurrent);

    RETURN QUERY VALUES
        ('other version', dev.force_update OR NOT same,
         pg_catalog.format('runs %s, target is %s%s',
             COALESCE(dev.sw_version, 'an unknown version'), d.version,
             CASE WHEN dev.force_update THEN ', forced' ELSE '' END)),
        ('not done or held', dev.force_update OR word IS NULL,
         COALESCE(word, 'no attempt holds this target')
         || CASE WHEN dev.force_update THEN ', forced' ELSE '' END),
        ('not paused', NOT d.paused,
         CASE WHEN d.paused THEN 'rollout ' || d.cause_id || ' is paused'
              ELSE '' END),
        ('least version', NOT goosebit.version_too_old(d, runs),
         COALESCE('needs at least ' || d.min_version, 'none needed')),
        ('no downgrade', NOT goosebit.downgrade_refused(dev, d, runs),
         CASE WHEN d.allow_downgrade THEN 'downgrade allowed' ELSE '' END),
        ('window', goosebit.window_open(d.maintenance_window, at),
         COALESCE(d.maintenance_window, 'none')),
        ('concurrency', slots IS NULL, COALESCE(slots, 'a slot is free'));
END
$$;
COMMENT ON FUNCTION goosebit.decide_explain IS
    'each guard rail of a device and how it answered';


CREATE FUNCTION goosebit.rail(rails jsonb, rail text, passed boolean,
                              detail text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
    SELECT rails || pg_catalog.jsonb_build_object('rail', rail,
                        'passed', passed, 'detail', COALESCE(detail, ''))
$$;
COMMENT ON FUNCTION goosebit.rail IS 'one more answered guard rail';


-- decide(), with the guard rails as [{rail, passed, detail}] in rails.
CREATE FUNCTION goosebit.decide(dev goosebit.device, max_updates int,
                                at timestamptz, explain boolean)
RETURNS goosebit.decision
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d goosebit.decision := goosebit.decide(dev, max_updates, at);
BEGIN
    IF explain THEN
        d.rails := (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(e))
                    FROM goosebit.decide_explain(dev, max_updates, at) e);
    END IF;
    RETURN d;
END
$$;
COMMENT ON FUNCTION goosebit.decide(goosebit.device, int, timestamptz, boolean)
    IS 'the decision and, when asked for, its guard rails';
