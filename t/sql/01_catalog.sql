-- What every function and table must be, asked of the catalogue.

\i t/sql/lib.psql
SELECT plan(20);

CREATE VIEW t.f AS
SELECT p.oid, p.pronamespace::regnamespace::text AS schema, p.proname,
       p.oid::regprocedure::text AS signature, p.provolatile, p.prosecdef,
       p.proconfig, p.proacl, p.prosrc, p.proowner
FROM pg_proc p
WHERE p.prokind = 'f' AND p.pronamespace::regnamespace::text LIKE 'goosebit%';

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE schema <> 'goosebit' AND NOT prosecdef
$$, 'API functions are SECURITY DEFINER');

SELECT is_empty($$
    SELECT signature, proconfig FROM t.f
    WHERE schema <> 'goosebit'
      AND NOT COALESCE('search_path=pg_catalog, pg_temp' = ANY (proconfig),
                       false)
$$, 'API functions set search_path to pg_catalog, pg_temp');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE schema = 'goosebit_admin'
      AND NOT COALESCE('client_min_messages=notice' = ANY (proconfig), false)
$$, 'what gbctl may call sends nobody its plans');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE schema = 'goosebit' AND (prosecdef OR proconfig IS NOT NULL)
$$, 'inner functions run with the rights and the path of their caller');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE pg_get_userbyid(proowner) <> CASE schema
          WHEN 'goosebit_role' THEN 'goosebit_users'
          ELSE 'goosebit_owner' END
$$, 'goosebit_owner owns every function but those that make logins');

SELECT is_empty($$
    SELECT signature, a.grantee::regrole FROM t.f, aclexplode(proacl) a
    WHERE schema = 'goosebit_role'
      AND a.grantee NOT IN (proowner, 'goosebit_owner'::regrole)
$$, 'and those are called by its functions only');

SELECT is_empty($$
    SELECT signature FROM t.f, aclexplode(COALESCE(proacl,
        acldefault('f', proowner))) a
    WHERE a.grantee = 0
$$, 'PUBLIC may execute no function');

SELECT is_empty($$
    SELECT n.nspname FROM pg_namespace n, aclexplode(n.nspacl) a
    WHERE n.nspname LIKE 'goosebit%' AND a.grantee = 0
$$, 'PUBLIC has no right on a schema');

SELECT is_empty($$
    SELECT c.oid::regclass, a.grantee::regrole, a.privilege_type
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.relnamespace::regnamespace::text LIKE 'goosebit%'
      AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
      AND a.grantee <> c.relowner
$$, 'nobody but the owner has a right on a table, view or sequence');

SELECT is_empty($$
    SELECT signature, a.grantee::regrole FROM t.f, aclexplode(proacl) a
    WHERE schema = 'goosebit' AND a.grantee <> proowner
$$, 'nobody may execute inner functions');

SELECT is_empty($$
    SELECT signature, a.grantee::regrole FROM t.f, aclexplode(proacl) a
    WHERE schema = 'goosebit_ddi'
      AND a.grantee NOT IN (proowner, 'goosebit_ddi'::regrole)
$$, 'only the module may execute goosebit_ddi');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE has_function_privilege('goosebit_ddi', oid, 'execute')
          <> (schema = 'goosebit_ddi')
$$, 'the module may execute goosebit_ddi and nothing else of ours');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE schema = 'goosebit_admin'
      AND has_function_privilege('goosebit_viewer', oid, 'execute')
          <> (provolatile <> 'v' OR proname = 'software_settled')
$$, 'a viewer may what is not VOLATILE, and wait, and no more');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE schema = 'goosebit_admin'
      AND has_function_privilege('goosebit_operator', oid, 'execute')
          = (provolatile = 'v' AND proname ~ '^(tenant|user)_')
$$, 'an operator may all but change tenants and users');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE schema = 'goosebit_admin'
      AND NOT has_function_privilege('goosebit_admin', oid, 'execute')
$$, 'an administrator may all');

-- A STABLE function that writes fails at run time only where it writes, so
-- its text is read too: what it says itself, and whom it calls. A raise is no
-- write.
CREATE TEMP TABLE writers ON COMMIT DROP AS
WITH RECURSIVE w AS (
    SELECT f.oid, f.proname, f.schema FROM t.f
    WHERE pg_get_functiondef(f.oid) ~*
          '\m(INSERT INTO|DELETE FROM|UPDATE goosebit|nextval|pg_logical_emit_message|FOR UPDATE|FOR NO KEY UPDATE|FOR KEY SHARE|set_config|EXECUTE (pg_catalog\.)?format)\M|pg_(try_)?advisory'
    UNION
    SELECT f.oid, f.proname, f.schema FROM t.f
    JOIN w ON pg_get_functiondef(f.oid)
              ~ ('\m' || w.schema || '\.' || w.proname || '\(')
          AND f.oid <> w.oid
)
SELECT DISTINCT oid FROM w;

SELECT is_empty($$
    SELECT signature FROM t.f JOIN writers USING (oid)
    WHERE provolatile <> 'v'
$$, 'what writes or locks is VOLATILE');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE provolatile = 'v' AND oid NOT IN (SELECT oid FROM writers)
      AND proname <> 'fail'
$$, 'what is VOLATILE writes or locks');

SELECT is_empty($$
    SELECT signature FROM t.f
    WHERE schema IN ('goosebit_ddi', 'goosebit_admin')
      AND obj_description(oid, 'pg_proc') IS NULL
$$, 'API functions have a comment');

SELECT is_empty($$
    SELECT c.oid::regclass FROM pg_class c
    WHERE c.relnamespace = 'goosebit'::regnamespace
      AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND obj_description(c.oid, 'pg_class') IS NULL
$$, 'tables have a comment');

SELECT is_empty($$
    SELECT d.objid::regclass, d.refobjid::regprocedure
    FROM pg_depend d JOIN t.f ON f.oid = d.refobjid
    WHERE d.refclassid = 'pg_proc'::regclass
      AND d.classid IN ('pg_class'::regclass, 'pg_attrdef'::regclass,
                        'pg_constraint'::regclass, 'pg_trigger'::regclass)
$$, 'no table hangs on a function, so that functions can be reloaded');

SELECT * FROM finish();
ROLLBACK;
