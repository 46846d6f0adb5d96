-- Version order: the file of vectors that the C side runs as well.

\i t/sql/lib.psql
CREATE TEMP TABLE vector (a text, b text, want int) ON COMMIT DROP;
\copy vector from program 'grep -v -e "^#" -e "^$" t/vectors/versions.tsv'

SELECT plan(7 + 2 * (SELECT count(*)::int FROM vector));

SELECT ok(count(*) > 50, 'there are vectors') FROM vector;

SELECT is(goosebit.version_compare(a, b), want, format('%s and %s', a, b))
FROM vector;
SELECT is(goosebit.version_compare(b, a), -want, format('%s and %s', b, a))
FROM vector;

SELECT ok(goosebit.version_same('1.0', 'v1.0.0'), 'same when level');
SELECT ok(NOT goosebit.version_same('1.0.0+a', '1.0.0+b'),
    'level but of another build is not the same');
SELECT ok(NOT goosebit.version_same('1.0.0+a', '1.0.0'),
    'nor is a build and none');
SELECT ok(goosebit.version_same('1.0+b.1', '1.0.0+b.1'), 'same build');
SELECT ok(NOT goosebit.version_same('Edge', 'edge'), 'text is its bytes');
SELECT is(goosebit.version_same(NULL, '1'), NULL, 'unknown is not known');

SELECT * FROM finish();
ROLLBACK;
