-- Filters of rollouts: run for one device at its poll, where a query for each
-- would cost too much. The answers are those of the queries (22_filter.sql):
-- t/sql/13_filter.sql compares the two.


CREATE FUNCTION goosebit.filter_takes(dev goosebit.device, r goosebit.rollout)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    stack boolean[] := '{}';
    n     int := 0;
BEGIN
    FOR i IN 1 .. pg_catalog.cardinality(r.filter_ops) LOOP
        CASE r.filter_ops[i]
        WHEN 'and' THEN
            n := n - 1;
            stack[n] := stack[n] AND stack[n + 1];
        WHEN 'or' THEN
            n := n - 1;
            stack[n] := stack[n] OR stack[n + 1];
        WHEN 'not' THEN
            stack[n] := NOT stack[n];
        ELSE
            n := n + 1;
            stack[n] := goosebit.filter_test(dev, r.filter_ops[i],
                            r.filter_fields[i], r.filter_values[i]);
        END CASE;
    END LOOP;

    RETURN stack[1];
END
$$;
COMMENT ON FUNCTION goosebit.filter_takes IS
    'whether a rollout''s filter takes a device';


CREATE FUNCTION goosebit.filter_test(dev goosebit.device, op text, field text,
                                     val text)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    has text COLLATE "C";
BEGIN
    IF field = 'tag' AND op = '~' THEN
        RETURN EXISTS (SELECT FROM pg_catalog.unnest(dev.tags) AS u (s)
                       WHERE u.s COLLATE "C" ~ val);
    ELSIF field = 'tag' THEN
        RETURN (CASE val WHEN '' THEN dev.tags = '{}'
                         ELSE val = ANY (dev.tags) END) = (op = '=');
    END IF;

    CASE field
    WHEN 'id' THEN has := dev.controller_id;
    WHEN 'name' THEN has := dev.name;
    WHEN 'hw_model' THEN has := dev.hw_model;
    WHEN 'hw_revision' THEN has := dev.hw_revision;
    WHEN 'sw_version' THEN has := dev.sw_version;
    ELSE
        SELECT c.attributes ->> pg_catalog.substr(field, 6) INTO has
        FROM goosebit.device_attributes c
        WHERE c.tenant_id = dev.tenant_id AND c.device_id = dev.id;
    END CASE;

    IF goosebit.filter_versions(field, op, val) THEN
        IF has IS NULL THEN
            RETURN op = '!=';
        END IF;
        has := goosebit.version_key(has);
        val := goosebit.version_key(val);
    ELSIF op IN ('=', '!=') THEN
        has := COALESCE(has, '');
    ELSIF has IS NULL THEN
        RETURN false;
    END IF;

    RETURN CASE op
        WHEN '=' THEN has = val WHEN '!=' THEN has <> val
        WHEN '<' THEN has < val WHEN '<=' THEN has <= val
        WHEN '>' THEN has > val WHEN '>=' THEN has >= val
        ELSE has ~ val END;
END
$$;
COMMENT ON FUNCTION goosebit.filter_test IS
    'one comparison of a rollout''s filter, for one device';


-- GB003 for a program that a rollout can't have. NULL passes.
CREATE FUNCTION goosebit.rollout_filter_check(f goosebit_admin.filter)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    q     goosebit.device_query;
    field text;
BEGIN
    q.keys := '{}';
    q.vals := '{}';

    FOREACH field IN ARRAY COALESCE(f.fields, '{}') LOOP
        IF field NOT IN ('', 'id', 'name', 'hw_model', 'hw_revision',
                         'sw_version', 'tag')
           AND field NOT LIKE 'attr._%'
        THEN
            PERFORM goosebit.fail('GB003', pg_catalog.format(
                'a rollout''s filter can''t look at "%s"', field));
        END IF;
        -- As if its version keys were there: nothing is asked for here.
        q.keys := q.keys || pg_catalog.jsonb_build_object('/' || field, '');
    END LOOP;

    q := goosebit.filter_add(q, f);
END
$$;
COMMENT ON FUNCTION goosebit.rollout_filter_check IS
    'refuses a filter that no rollout can have';
