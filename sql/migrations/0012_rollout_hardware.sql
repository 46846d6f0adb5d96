-- As a rollout knows its software's version since 0011, so the hardware: to look
-- at software_hardware was a tenth of a poll. Patterns stay there, since they are
-- asked row by row.

SET LOCAL ROLE goosebit_owner;

ALTER TABLE goosebit.rollout
    ADD COLUMN software_hardware jsonb,
    ADD COLUMN software_patterns boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN goosebit.rollout.software_hardware IS
    'copy of software_hardware as {model: [revision, ...]}; NULL: look there';
COMMENT ON COLUMN goosebit.rollout.software_patterns IS
    'some of these revisions are patterns, or nobody knows: look there';

UPDATE goosebit.rollout r
SET software_hardware = (
        SELECT COALESCE(jsonb_object_agg(m.model, m.revisions), '{}')
        FROM (SELECT h.model, jsonb_agg(h.revision
                         ORDER BY h.revision COLLATE "C") AS revisions
              FROM goosebit.software_hardware h
              WHERE h.tenant_id = r.tenant_id
                AND h.software_id = r.software_id
              GROUP BY h.model) m),
    software_patterns = EXISTS (
        SELECT FROM goosebit.software_hardware h
        WHERE h.tenant_id = r.tenant_id AND h.software_id = r.software_id
          AND h.pattern IS NOT NULL);
