-- Feedback and deploymentBase of many devices at once: what feedback() and
-- deployment_base() do with each, for less.

-- A row of feedback().
CREATE FUNCTION goosebit.batch_told(m goosebit_ddi.message_row)
RETURNS goosebit_ddi.base_row
LANGUAGE sql IMMUTABLE
AS $$
    SELECT ROW(m.status, m.reason, m.tenant_id, m.device_id, m.tenant, NULL,
               NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
               NULL, NULL, NULL, NULL, m.message,
               m.changed)::goosebit_ddi.base_row
$$;
COMMENT ON FUNCTION goosebit.batch_told IS 'feedback()''s row in a batch';


-- Takes a batch in the order of its locks, and gives a row for each element, in
-- the same order. The arrays are feedback()'s parameters. Who gives but an action
-- reads its deployment, with no history. Who gives none is another of the batch,
-- who writes to this device next: it is locked in its turn, and its row is
-- empty.
--
-- details has the lines of all, and ends where each one's end, after a 0.
--
-- What is of the usual kind is read, judged and written together, which costs
-- less from three on, and half as much with sixteen; what is not goes to those
-- functions one by one, after it, under the locks that are held by then. Of two
-- elements of one device the second is not, so that it comes after the first.
--
-- Each look-up is a subquery with OFFSET 0, which no plan turns inside out: so
-- locks are taken in the order given, and a table that was empty is not read
-- whole when it has grown. For the same reason what is of the usual kind has its
-- status compared with a constant: the planner takes it that one row is like
-- that, and looks each place up.
CREATE FUNCTION goosebit_ddi.batch(tenant text[], device text[], scheme text[],
                                   credential bytea[], auth text[],
                                   resource text[], action_id int[],
                                   execution text[], finished text[],
                                   progress int[], code int[], details text[],
                                   ends int[], max_statuses int[])
RETURNS SETOF goosebit_ddi.base_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants int[];
    names   text[];
    devices bigint[];
    places  tid[];
    m       goosebit_ddi.base_row;
    i       int := 0;
BEGIN
    -- Who is not let in locks nothing. caller() has the last word on those who
    -- are let in for other reasons than most. It knows the device as it was when
    -- this began: what is asked of x is asked again of a row that has changed
    -- while locks were awaited, those of the devices before it, too.
    SELECT pg_catalog.array_agg(t.id), pg_catalog.array_agg(t.name),
           pg_catalog.array_agg(d.id), pg_catalog.array_agg(d.place)
    INTO tenants, names, devices, places
    FROM pg_catalog.unnest(batch.device) WITH ORDINALITY AS u (device, n)
    LEFT JOIN LATERAL (
        SELECT x.id, x.name, COALESCE(x.auth, batch.auth[u.n]) AS mode
        FROM goosebit.tenant x
        WHERE x.name_key = pg_catalog.lower(batch.tenant[u.n] COLLATE "C")
        OFFSET 0) t ON true
    LEFT JOIN LATERAL (
        SELECT x.id, x.ctid AS place FROM goosebit.device x
        WHERE x.tenant_id = t.id AND x.controller_id = u.device
          AND (goosebit.caller_at_once(scheme[u.n], t.mode, x.blocked)
               OR goosebit.caller_by_token(scheme[u.n], t.mode, x.blocked,
                                           credential[u.n], x.token)
               OR goosebit.caller_else(scheme[u.n], t.mode, x.blocked, x.token)
                  AND (goosebit.caller(batch.tenant[u.n], u.device,
                                       scheme[u.n], credential[u.n],
                                       batch.auth[u.n])).status = 200)
        OFFSET 0
        FOR NO KEY UPDATE) d ON true;

    -- What costs is to set expressions up, once for all: so they are few, and
    -- of what needs no function.
    FOR m IN
        WITH f AS MATERIALIZED (
            SELECT u.n::int AS n, u.action_id, place, state, u.version, reads,
                   closed, first, status, lines, software,
                   CASE WHEN status = 200 AND NOT reads
                        THEN pg_catalog.nextval('goosebit.action_status_seq')
                       END AS logged,
                   tenants[n] AS tenant_id, devices[n] AS device_id,
                   CASE WHEN progress[n] IS NOT NULL
                        THEN LEAST(100, GREATEST(0, progress[n]))
                        WHEN pg_catalog.array_to_string(lines, ' ')
                             LIKE '%Downloaded %'
                        THEN goosebit.feedback_progress(lines) END AS progress
            FROM (
                SELECT n, g.action_id, a.place, a.state, a.version,
                       resource[n] IS NULL AS reads,
                       execution[n] = 'closed' AS closed,
                       execution[n] = 'proceeding' AND a.proceeding_at IS NULL
                           AS first,
                       CASE WHEN a.state IN ('running', 'open')
                                 AND (resource[n] = 'deployment'
                                      AND execution[n] IN ('proceeding',
                                          'closed', 'scheduled', 'resumed',
                                          'download')
                                      AND finished[n] IN ('none', 'success')
                                      AND a.type <> 'downloadonly'
                                      AND a.statuses
                                          < COALESCE(max_statuses[n], 1000)
                                      OR resource[n] IS NULL
                                      AND a.type = 'forced')
                                 AND a.maintenance_window IS NULL
                                 AND pg_catalog.array_position(devices,
                                                               devices[n]) = n
                            THEN 200 END AS status,
                       CASE WHEN resource[n] IS NULL
                            THEN a.software_id END AS software,
                       details[ends[n] + 1:ends[n + 1]] AS lines
                FROM pg_catalog.unnest(batch.action_id)
                     WITH ORDINALITY AS g (action_id, n)
                LEFT JOIN LATERAL (
                    SELECT x.ctid AS place, x.state, x.type, x.statuses,
                           x.version, x.maintenance_window, x.proceeding_at,
                           x.software_id
                    FROM goosebit.action x
                    WHERE x.tenant_id = tenants[g.n]
                      AND x.device_id = devices[g.n] AND x.id = g.action_id
                    OFFSET 0) a ON true
                OFFSET 0) u
        ), s AS (
            INSERT INTO goosebit.action_status (tenant_id, device_id, id,
                action_id, resource, execution, finished, progress, code,
                details)
            SELECT f.tenant_id, f.device_id, logged, f.action_id, 'deployment',
                   execution[n], finished[n], f.progress, code[n], lines
            FROM f WHERE f.status = 200 AND NOT reads
        ), a AS (
            UPDATE goosebit.action x
            SET state = CASE WHEN closed THEN 'finished'
                             WHEN reads THEN x.state ELSE 'running' END,
                final = CASE WHEN closed THEN 'finished' END,
                statuses = x.statuses + CASE WHEN reads THEN 0 ELSE 1 END,
                progress = CASE
                    WHEN closed THEN 100
                    WHEN first THEN COALESCE(f.progress, 0)
                    ELSE COALESCE(f.progress, x.progress) END,
                fetched_at = CASE
                    WHEN closed THEN x.fetched_at
                    ELSE COALESCE(x.fetched_at, pg_catalog.now()) END,
                proceeding_at = CASE WHEN first THEN pg_catalog.now()
                                     ELSE x.proceeding_at END,
                heard_at = CASE WHEN reads THEN x.heard_at
                                ELSE pg_catalog.now() END,
                ended_at = CASE WHEN closed THEN pg_catalog.now() END
            FROM f
            WHERE x.ctid = f.place AND f.status = 200
              AND (NOT reads OR x.fetched_at IS NULL)
        ), d AS (
            UPDATE goosebit.device x
            SET state = CASE WHEN closed THEN 'finished' ELSE 'running' END,
                log_from = CASE WHEN first THEN logged ELSE x.log_from END,
                sw_version = CASE WHEN closed THEN f.version
                                  ELSE x.sw_version END,
                force_update = x.force_update AND NOT closed,
                installed_action_id = CASE WHEN closed THEN f.action_id
                                           ELSE x.installed_action_id END,
                open_action_id = CASE WHEN closed THEN NULL
                                      ELSE x.open_action_id END
            FROM f
            WHERE x.ctid = places[n] AND f.status = 200 AND NOT reads
              AND (closed OR first OR f.state = 'open')
        )
        SELECT f.status,
               CASE WHEN closed THEN 'finished' WHEN reads THEN f.state
                    ELSE 'running' END,
               f.tenant_id, f.device_id, names[n], f.action_id, 'forced',
               'forced', NULL::text, f.software, s.version, s.name,
               s.filename, s.size, s.sha1, s.md5, s.sha256, s.uri, NULL::text,
               NULL::text[], NULL::text, NULL::boolean
        FROM f
        LEFT JOIN LATERAL (
            SELECT x.version, x.name, x.filename, x.size, x.sha1, x.md5,
                   x.sha256, x.uri
            FROM goosebit.software x
            WHERE x.tenant_id = f.tenant_id AND x.id = f.software
            OFFSET 0) s ON true
    LOOP
        i := i + 1;
        IF action_id[i] IS NULL THEN
            m := NULL;
        ELSIF m.status IS NULL AND resource[i] IS NULL THEN
            m := goosebit_ddi.deployment_base(tenant[i], device[i], scheme[i],
                credential[i], auth[i], action_id[i], 0);
        ELSIF m.status IS NULL THEN
            m := goosebit.batch_told(goosebit_ddi.feedback(tenant[i],
                device[i], scheme[i], credential[i], auth[i], resource[i],
                action_id[i], execution[i], finished[i], progress[i], code[i],
                details[ends[i] + 1:ends[i + 1]], max_statuses[i]));
        END IF;
        RETURN NEXT m;
    END LOOP;
END
$$;
COMMENT ON FUNCTION goosebit_ddi.batch IS
    'feedback() and deployment_base() of many devices at once';
