/*
 * The vectors that SQL runs, too, each pair in both directions.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gb_version.h"


static void
test_vectors(void **state)
{
    int     want, got, back, n, line;
    char    buf[512], *a, *b, *sign;
    FILE   *fp;

    (void) state;

    fp = fopen("t/vectors/versions.tsv", "r");
    assert_non_null(fp);

    n = 0;

    for (line = 1; fgets(buf, sizeof(buf), fp) != NULL; line++) {
        if (buf[0] == '#' || buf[0] == '\n') {
            continue;
        }

        a = buf;
        b = strchr(a, '\t');
        assert_non_null(b);
        *b++ = '\0';
        sign = strchr(b, '\t');
        assert_non_null(sign);
        *sign++ = '\0';

        want = atoi(sign);
        got = gb_version_compare(a, strlen(a), b, strlen(b));
        back = gb_version_compare(b, strlen(b), a, strlen(a));

        if (got != want || back != -want) {
            fail_msg("line %d: \"%s\" and \"%s\": %d, back %d, not %d",
                     line, a, b, got, back, want);
        }

        n++;
    }

    fclose(fp);

    assert_true(n >= 60);
}


static void
test_order_is_total(void **state)
{
    int     i, j, k;
    size_t  n;

    static const char *const  v[] = {
        "", "text", "0-a", "0", "v1-1", "1-rc", "1+b", "1.0.0.1", "1.10",
        "2", "99999999999999999999"
    };

    (void) state;

    n = sizeof(v) / sizeof(v[0]);

    for (i = 0; i < (int) n; i++) {
        for (j = 0; j < (int) n; j++) {
            k = gb_version_compare(v[i], strlen(v[i]), v[j], strlen(v[j]));
            assert_int_equal(k, (i > j) - (i < j));
        }
    }
}


static bool
same(const char *a, const char *b)
{
    return gb_version_same(a, strlen(a), b, strlen(b));
}


static void
test_same(void **state)
{
    (void) state;

    assert_true(same("1.0.0", "1.0.0"));
    assert_true(same("v1", "1.0.0"));
    assert_true(same("1.0+b", "1.0.0+b"));
    assert_true(same("text", "text"));
    assert_true(same("", ""));

    assert_false(same("1.0+a", "1.0+b"));
    assert_false(same("1.0+a", "1.0"));
    assert_false(same("1.0-rc.1", "1.0"));
    assert_false(same("text", "Text"));
    assert_false(same("", "0"));
}


static void
test_valid(void **state)
{
    (void) state;

    assert_true(gb_version_valid("v1.2.3.4-rc.1+b.5", 17));
    assert_true(gb_version_valid("1x", 1));
    assert_false(gb_version_valid("1x", 2));
    assert_false(gb_version_valid("", 0));
    assert_false(gb_version_valid("1\0002", 3));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_order_is_total),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_valid),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
