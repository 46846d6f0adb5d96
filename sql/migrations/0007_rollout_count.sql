-- What rollouts have done, counted by tick() as devices are: a status page of
-- a large fleet has nothing to read but this.

SET LOCAL ROLE goosebit_owner;

CREATE TABLE goosebit.rollout_count (
    tenant_id     int NOT NULL,
    rollout_id    int NOT NULL,
    outcome       text NOT NULL,
    devices       bigint,
    devices_next  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, rollout_id, outcome)
) WITH (fillfactor = 50);
COMMENT ON TABLE goosebit.rollout_count IS
    'running rollouts of large fleets, as tick() last counted all devices';
COMMENT ON COLUMN goosebit.rollout_count.outcome IS
    'what goosebit.rollout_outcome() answers';
COMMENT ON COLUMN goosebit.rollout_count.devices IS
    'NULL: has not been counted yet';
COMMENT ON COLUMN goosebit.rollout_count.devices_next IS
    'so far in the count under way';
