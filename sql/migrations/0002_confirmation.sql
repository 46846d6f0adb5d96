-- Confirmation: who has to say yes to an action before it is offered, who
-- did, and devices that always say yes.

SET LOCAL ROLE goosebit_owner;

ALTER TABLE goosebit.action
    ADD COLUMN confirm boolean NOT NULL DEFAULT false,
    ADD COLUMN confirmed_at timestamptz,
    ADD COLUMN confirmed_by text;
COMMENT ON COLUMN goosebit.action.confirm IS
    'was not to be offered before somebody confirmed it';
COMMENT ON COLUMN goosebit.action.confirmed_at IS
    'when it was confirmed; NULL: was not, or need not be';
COMMENT ON COLUMN goosebit.action.confirmed_by IS
    'device, auto (auto_confirm), or the operator''s login role';

-- Those that wait were all asked for.
UPDATE goosebit.action SET confirm = true
WHERE state = 'awaiting_confirmation';

ALTER TABLE goosebit.device
    ADD COLUMN auto_confirm_initiator text,
    ADD COLUMN auto_confirm_remark text,
    ADD COLUMN auto_confirm_at timestamptz;
COMMENT ON COLUMN goosebit.device.auto_confirm_initiator IS
    'who switched it on: what the device said, or the operator''s login role';
COMMENT ON COLUMN goosebit.device.auto_confirm_remark IS
    'what was remarked on switching it on';
COMMENT ON COLUMN goosebit.device.auto_confirm_at IS
    'when it was switched on';
