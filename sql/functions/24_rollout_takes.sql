-- Whether a rollout of a device's feed decides for it: it is in force, its
-- software is made for the hardware, and its filter takes the device. It knows
-- its software's hardware; only patterns have to be looked up.
--
-- Inlined into the queries, for which what nearly every poll needs of the device
-- is given apart: a row costs to take apart.
CREATE FUNCTION goosebit.rollout_takes(r goosebit.rollout, dev goosebit.device,
                                       hw_model text, hw_revision text,
                                       at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $$
    SELECT goosebit.rollout_in_force((r).state, (r).start_at, at)
           AND (((r).software_hardware -> hw_model) ? hw_revision
                OR (r).software_patterns
                   AND goosebit.software_fits((r).tenant_id, (r).software_id,
                                              hw_model, hw_revision))
           AND ((r).filter IS NULL OR goosebit.filter_takes(dev, r))
$$;
COMMENT ON FUNCTION goosebit.rollout_takes IS
    'whether a rollout of its feed decides for a device';
