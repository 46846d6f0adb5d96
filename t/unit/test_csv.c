/*
 * RFC 4180, what people make of it, and what is refused at which line.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gb_csv.h"


/* "LINE:a|b LINE:c|d", and the error at last */

static void
read_all(const char *text, size_t len, char *got, size_t size)
{
    int          rc;
    FILE        *fp;
    size_t       i, n;
    gb_csv_t     csv;
    gb_error_t   err;

    fp = fmemopen((void *) text, len, "r");
    assert_non_null(fp);

    gb_csv_init(&csv, fp, "f.csv");

    n = 0;
    got[0] = '\0';

    while ((rc = gb_csv_row(&csv, &err)) == GB_OK) {
        n += (size_t) snprintf(got + n, size - n, "%s%d:", n ? " " : "",
                               csv.line);

        for (i = 0; i < csv.n; i++) {
            n += (size_t) snprintf(got + n, size - n, "%s%s", i ? "|" : "",
                                   csv.fields[i]);
        }
    }

    if (rc != GB_DECLINED) {
        snprintf(got + n, size - n, "%s%s", n ? " " : "", err.message);
    }

    gb_csv_done(&csv);
    fclose(fp);
}


static void
test_rows(void **state)
{
    char    got[1024];
    size_t  i;

    static const char *const  cases[][2] = {
        { "a,b\r\nc,d\r\n", "1:a|b 2:c|d" },
        { "a,b\nc,d", "1:a|b 2:c|d" },
        { "\xef\xbb\xbfid,b\n1,2\n", "1:id|b 2:1|2" },
        { "a,b\n\n\r\nc,d\n\n", "1:a|b 4:c|d" },
        { "a,b\n,\n", "1:a|b 2:|" },
        { "a\n\"\"\n", "1:a 2:" },
        { "\"a,b\",\"c\"\"d\"\n", "1:a,b|c\"d" },
        { "a,\"b\r\nc\"\r\nd,e\r\n", "1:a|b\r\nc 3:d|e" },
        { "a, b \n", "1:a| b " },
        { "a,b\rc\n", "1:a|b\rc" },
        { "a,b\r\nc\r\n", "1:a|b f.csv:2: 1 fields, the first line has 2" },
        { "a\nb,c\n", "1:a f.csv:2: 2 fields, the first line has 1" },
        { "a,b\n1,\"x\n\n", "1:a|b f.csv:2: a quote is not closed" },
        { "a,b\n1,x\"y\n", "1:a|b f.csv:2: a quote inside of a field that "
          "has none around it" },
        { "a\n\"x\"y\n", "1:a f.csv:2: text behind a closing quote" },
        { "a,b\n\"x\"\r,y\n", "1:a|b f.csv:2: text behind a closing quote" },
        { "a\n\xff\n", "1:a f.csv:2: field 1 is not valid UTF-8" },
        { "\xef\xbb\n", "f.csv:1: field 1 is not valid UTF-8" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_all(cases[i][0], strlen(cases[i][0]), got, sizeof(got));
        assert_string_equal(got, cases[i][1]);
    }

    read_all("a\nb\0c\n", 6, got, sizeof(got));
    assert_string_equal(got, "1:a f.csv:2: field 1 is not valid UTF-8");
}


static void
test_limits(void **state)
{
    char    *text, got[128];
    size_t   len;

    (void) state;

    len = 2 * GB_CSV_ROW;
    text = malloc(len);
    assert_non_null(text);

    memset(text, 'x', len);
    read_all(text, len, got, sizeof(got));
    assert_string_equal(got, "f.csv:1: longer than 1048576 bytes");

    memset(text, ',', len);
    read_all(text, len, got, sizeof(got));
    assert_string_equal(got, "f.csv:1: more than 1024 fields");

    free(text);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limits),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
