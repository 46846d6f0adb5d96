-- The journal: what can end a quiet answer that some NGINX keeps.
--
-- An answer is quiet when it offers the device nothing: registered, let in,
-- no link but installedBase. Only such are kept, and each names what it was
-- made of: its tenant, its device, the rollouts of its feed (mode rollout) or
-- the images (mode latest), and a time, valid_until. So whatever writes to one
-- of those writes a row here in the same transaction:
--
--   all      every answer: the functions themselves are others now
--   tenant   a setting of the tenant
--   feed     a rollout of the feed: made, paused, resumed, aborted, retried,
--            deleted
--   latest   an image came or went
--   device   the device's row or actions
--
-- No row is needed where no NGINX can have a quiet answer of the device: while
-- an action is on offer (the row that its start wrote has ended what was kept
-- before), and until its first configData. That is why a whole update writes
-- one row. Neither is one a slot that becomes free, or a rollout's hour that
-- comes: see changes().
--
-- t/sql/11_change.sql tries every function that writes.


-- Not for the paths that devices take often: those insert by themselves,
-- since a SQL function is planned anew in each transaction.
CREATE FUNCTION goosebit.changed(scope text, tenant_id int,
                                 feed text DEFAULT NULL,
                                 device_id bigint DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    INSERT INTO goosebit.change (scope, tenant_id, feed, device_id)
    VALUES ($1, $2, $3, $4)
$$;
COMMENT ON FUNCTION goosebit.changed IS
    'journals what may end quiet answers';


-- Forgets what is older than an hour, a few thousand rows at a time. A reader
-- whose last look is from before then is told that all may have changed. What
-- was deleted stands here, too: a last poll that was stored at that moment goes
-- now, as no other row leads to it.
CREATE FUNCTION goosebit.changes_prune(at timestamptz, most int DEFAULT 10000)
RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    gone  int;
    until xid8;
BEGIN
    IF NOT EXISTS (SELECT FROM goosebit.change_mark m
                   WHERE m.at > changes_prune.at - interval '5 minutes'
                     AND m.at <= changes_prune.at)
    THEN
        INSERT INTO goosebit.change_mark (at, xid)
        VALUES (at, pg_catalog.pg_snapshot_xmin(
                        pg_catalog.pg_current_snapshot()));
    END IF;

    SELECT m.xid INTO until FROM goosebit.change_mark m
    WHERE m.at <= changes_prune.at - interval '1 hour'
    ORDER BY m.xid DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    UPDATE goosebit.tick_state t SET change_from = until
    WHERE t.change_from < until;

    WITH pruned AS (
        DELETE FROM goosebit.change c
        WHERE c.ctid = ANY (ARRAY(SELECT o.ctid FROM goosebit.change o
                                  WHERE o.xid < until
                                  ORDER BY o.xid LIMIT most))
        RETURNING c.scope, c.tenant_id, c.device_id
    ), devices AS MATERIALIZED (
        SELECT p.tenant_id, p.device_id FROM pruned p
        WHERE p.scope = 'device'
          AND NOT EXISTS (SELECT FROM goosebit.device d
                          WHERE d.tenant_id = p.tenant_id
                            AND d.id = p.device_id)
    ), tenants AS MATERIALIZED (
        SELECT DISTINCT p.tenant_id FROM pruned p
        WHERE p.scope = 'tenant'
          AND NOT EXISTS (SELECT FROM goosebit.tenant t
                          WHERE t.id = p.tenant_id)
    ), seen_device AS (
        DELETE FROM goosebit.device_seen s USING devices x
        WHERE s.tenant_id = x.tenant_id AND s.device_id = x.device_id
    ), seen_tenant AS (
        DELETE FROM goosebit.device_seen s USING tenants x
        WHERE s.tenant_id = x.tenant_id
    )
    SELECT pg_catalog.count(*) INTO gone FROM pruned;

    IF gone < most THEN
        DELETE FROM goosebit.change_mark m WHERE m.xid <= until;
    END IF;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION goosebit.changes_prune IS
    'drops old rows of the journal, gives how many';


-- What was made by other functions may be answered otherwise now.
DO $$
BEGIN
    PERFORM goosebit.changed('all', NULL);
END
$$;
