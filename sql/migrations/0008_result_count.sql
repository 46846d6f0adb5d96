-- What actions of large fleets came to in an hour, counted by tick() as devices
-- are. A status page counts on from it: of an hour in which a million devices
-- ended an update it reads what has ended since, and what is older by now.

SET LOCAL ROLE goosebit_owner;

CREATE TABLE goosebit.result_count (
    tenant_id  int NOT NULL,
    state      text NOT NULL,
    results    bigint NOT NULL,
    PRIMARY KEY (tenant_id, state)
) WITH (fillfactor = 50);
COMMENT ON TABLE goosebit.result_count IS
    'large fleets: actions that ended in the hour up to goosebit.results_upto()';

-- Until the next count: of all fleets, as who is large is the functions' to
-- say.
INSERT INTO goosebit.result_count (tenant_id, state, results)
SELECT a.tenant_id, a.state, count(*)
FROM goosebit.tick_state t
JOIN goosebit.action a
  ON a.ended_at >= t.counted_at - interval '1 hour 10 seconds'
     AND a.ended_at < t.counted_at - interval '10 seconds'
GROUP BY a.tenant_id, a.state;
