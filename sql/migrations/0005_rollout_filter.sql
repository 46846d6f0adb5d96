-- A rollout may be for some of its feed's devices only: what was typed, and
-- the program that it became (shared/gb_filter.h).

SET LOCAL ROLE goosebit_owner;

ALTER TABLE goosebit.rollout
    ADD COLUMN filter text,
    ADD COLUMN filter_ops text[],
    ADD COLUMN filter_fields text[],
    ADD COLUMN filter_values text[];
COMMENT ON COLUMN goosebit.rollout.filter IS
    'which devices it is for, as typed; NULL: all of the feed';
COMMENT ON COLUMN goosebit.rollout.filter_ops IS
    'the same as a postfix program, step by step: = != < <= > >= ~ and or not';
COMMENT ON COLUMN goosebit.rollout.filter_fields IS
    'the field each step compares, "" for and, or, not';
COMMENT ON COLUMN goosebit.rollout.filter_values IS
    'what each step compares it with';
