-- The journal of what can end a quiet answer, and counts of devices.

SET LOCAL ROLE goosebit_owner;

CREATE TABLE goosebit.change (
    tenant_id  int,
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    scope      text NOT NULL,
    device_id  bigint,
    feed       text
);
CREATE INDEX change_xid ON goosebit.change (xid);
COMMENT ON TABLE goosebit.change IS
    'what changed the answer to quiet polls, for an hour: see 13_change.sql';
COMMENT ON COLUMN goosebit.change.tenant_id IS 'NULL with scope all';
COMMENT ON COLUMN goosebit.change.xid IS
    'of the transaction that did it: readers see what became visible since';
COMMENT ON COLUMN goosebit.change.scope IS
    'all, tenant, feed, latest (devices of mode latest) or device';
COMMENT ON COLUMN goosebit.change.device_id IS 'of scope device';
COMMENT ON COLUMN goosebit.change.feed IS 'of scope feed';


CREATE TABLE goosebit.change_mark (
    at   timestamptz NOT NULL,
    xid  xid8 NOT NULL
);
COMMENT ON TABLE goosebit.change_mark IS
    'every few minutes: below xid nothing was under way any more';


CREATE TABLE goosebit.device_count (
    tenant_id     int NOT NULL,
    state         text NOT NULL,
    devices       bigint NOT NULL DEFAULT 0,
    online        bigint NOT NULL DEFAULT 0,
    devices_next  bigint NOT NULL DEFAULT 0,
    online_next   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, state)
) WITH (fillfactor = 50);
COMMENT ON TABLE goosebit.device_count IS
    'devices by tenant and state, as tick() last counted all of them';
COMMENT ON COLUMN goosebit.device_count.devices_next IS
    'so far in the count under way';
COMMENT ON COLUMN goosebit.device_count.online_next IS
    'so far in the count under way';


ALTER TABLE goosebit.tick_state
    ADD COLUMN change_from xid8 NOT NULL DEFAULT '0',
    ADD COLUMN count_tenant int,
    ADD COLUMN count_device bigint,
    ADD COLUMN counted_at timestamptz NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN goosebit.tick_state.change_from IS
    'rows of the journal below this may be gone';
COMMENT ON COLUMN goosebit.tick_state.count_tenant IS
    'how far the count under way has come; NULL: none is';
COMMENT ON COLUMN goosebit.tick_state.counted_at IS
    'when the last whole count of devices ended';

-- Those whose time has come since the last tick.
CREATE INDEX rollout_start ON goosebit.rollout (start_at)
    WHERE start_at IS NOT NULL;
