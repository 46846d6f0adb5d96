-- The audit log is followed as the journal is: what committed since a
-- snapshot, since ids commit out of order. And "who changed this device?" is
-- asked of years of it.

SET LOCAL ROLE goosebit_owner;

ALTER TABLE goosebit.audit
    ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
COMMENT ON COLUMN goosebit.audit.xid IS 'the transaction that wrote it';
COMMENT ON COLUMN goosebit.audit.tenant_id IS
    '0: what belongs to no tenant, as users';

CREATE INDEX audit_xid ON goosebit.audit (xid);
CREATE INDEX audit_object ON goosebit.audit (tenant_id, object, id);
