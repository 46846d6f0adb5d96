-- Version order, the same as gb_version_compare() in C; both run
-- t/vectors/versions.tsv.
--
-- A version is [vV]?N(.N){0,3}(-PRE)?(+BUILD)?; everything else is text.


-- A number without leading zeros that sorts by bytes: its count of digits, then
-- the digits.
CREATE FUNCTION goosebit.version_number(digits text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.lpad(pg_catalog.length($1)::text, 6, '0') || $1
$$;
COMMENT ON FUNCTION goosebit.version_number IS
    'decimal digits as a text that sorts by bytes';


-- A key whose bytes sort as versions do. Text: "0" and the text. A version:
-- "1", the four numbers, then "~" for a release or "-" and the pre-release
-- identifiers. "!" ends an identifier and sorts below every character one may
-- hold, so that a shorter list comes first.
CREATE FUNCTION goosebit.version_key(version text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    numbers text := version;
    parts   text[];
    part    text;
    pre     text;
    key     text;
BEGIN
    -- Nearly all are nothing but numbers and need not be taken apart.
    -- No capturing groups: with them the match takes a hundred times as long.
    IF version COLLATE "C" !~ '^[0-9]+(?:[.][0-9]+){0,3}$' THEN
        IF version COLLATE "C" !~ ('^[vV]?[0-9]+(?:[.][0-9]+){0,3}'
            || '(?:-[0-9A-Za-z-]+(?:[.][0-9A-Za-z-]+)*)?'
            || '(?:[+][0-9A-Za-z-]+(?:[.][0-9A-Za-z-]+)*)?$')
        THEN
            RETURN '0' || version;
        END IF;

        key := pg_catalog.ltrim(pg_catalog.split_part(version, '+', 1), 'vV');
        numbers := pg_catalog.split_part(key, '-', 1);
        pre := pg_catalog.substr(key,
                                 NULLIF(pg_catalog.strpos(key, '-'), 0) + 1);
    END IF;

    -- One by one: an expression is set up once, which is most of its cost.
    key := '1';
    parts := pg_catalog.string_to_array(numbers, '.');
    FOR i IN 1 .. 4 LOOP
        part := pg_catalog.ltrim(COALESCE(parts[i], ''), '0');
        key := key || goosebit.version_number(part);
    END LOOP;

    IF pre IS NULL THEN
        RETURN key || '~';
    END IF;

    key := key || '-';
    FOREACH part IN ARRAY pg_catalog.string_to_array(pre, '.') LOOP
        IF part COLLATE "C" ~ '^[0-9]+$' THEN
            key := key || '1'
                || goosebit.version_number(pg_catalog.ltrim(part, '0')) || '!';
        ELSE
            key := key || '2' || part || '!';
        END IF;
    END LOOP;

    RETURN key;
END
$$;
COMMENT ON FUNCTION goosebit.version_key IS
    'a key whose bytes sort as versions do';


CREATE FUNCTION goosebit.version_compare(a text, b text)
RETURNS int
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    ka text COLLATE "C" := goosebit.version_key(a);
    kb text COLLATE "C" := goosebit.version_key(b);
BEGIN
    RETURN CASE WHEN ka < kb THEN -1 WHEN ka > kb THEN 1 ELSE 0 END;
END
$$;
COMMENT ON FUNCTION goosebit.version_compare IS
    '-1, 0 or 1 as a is older than, level with or newer than b';


-- Equal text needs no parsing: that is nearly every poll.
CREATE FUNCTION goosebit.version_same(a text, b text)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    IF a = b THEN
        RETURN true;
    END IF;
    RETURN goosebit.version_compare(a, b) = 0
       AND (pg_catalog.strpos(a, '+') > 0) = (pg_catalog.strpos(b, '+') > 0)
       AND pg_catalog.split_part(a, '+', 2) = pg_catalog.split_part(b, '+', 2);
END
$$;
COMMENT ON FUNCTION goosebit.version_same IS
    'up to date: equal text, or level and of the same build';
