/*
 * The writer's two passes, and its refusal of what is no JSON text.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gb_json.h"


typedef void (*document_pt)(gb_json_t *j);


/* both passes; exactly one byte too few or too many must fail */

static void
expect(document_pt document, const char *want)
{
    char       *buf;
    size_t      len, filled;
    gb_json_t   j;

    gb_json_init(&j, NULL, 0);
    document(&j);
    assert_int_equal(gb_json_done(&j, &len), GB_OK);
    assert_int_equal(len, strlen(want));

    buf = malloc(len + 1);
    assert_non_null(buf);

    gb_json_init(&j, buf, len);
    document(&j);
    assert_int_equal(gb_json_done(&j, &filled), GB_OK);
    assert_int_equal(filled, len);
    assert_memory_equal(buf, want, len);

    gb_json_init(&j, buf, len - 1);
    document(&j);
    assert_int_equal(gb_json_done(&j, NULL), GB_ERROR);

    gb_json_init(&j, buf, len + 1);
    document(&j);
    assert_int_equal(gb_json_done(&j, NULL), GB_ERROR);

    free(buf);
}


static void
refuse(document_pt document)
{
    gb_json_t  j;

    gb_json_init(&j, NULL, 0);
    document(&j);
    assert_int_equal(gb_json_done(&j, NULL), GB_ERROR);
}


static void
poll_answer(gb_json_t *j)
{
    gb_json_object_start(j);
    gb_json_key(j, "config");
    gb_json_object_start(j);
    gb_json_member(j, "sleep", "00:01:00");
    gb_json_member(j, "absent", NULL);
    gb_json_member_int(j, "n", -9223372036854775807LL - 1);
    gb_json_object_end(j);
    gb_json_key(j, "list");
    gb_json_array_start(j);
    gb_json_bool(j, true);
    gb_json_bool(j, false);
    gb_json_null(j);
    gb_json_array_start(j);
    gb_json_array_end(j);
    gb_json_object_start(j);
    gb_json_object_end(j);
    gb_json_raw(j, "{\"a\":1}", 7);
    gb_json_int(j, 7);
    gb_json_array_end(j);
    gb_json_key(j, "_links");
    gb_json_object_start(j);
    gb_json_object_end(j);
    gb_json_object_end(j);
}


static void
test_document(void **state)
{
    (void) state;

    expect(poll_answer,
           "{\"config\":{\"sleep\":\"00:01:00\",\"n\":-9223372036854775808},"
           "\"list\":[true,false,null,[],{},{\"a\":1},7],\"_links\":{}}");
}


static void
escapes(gb_json_t *j)
{
    gb_json_string(j, "a\"b\\c\n\t\0\x1f/\x7f\xc3\xa4\xff\xed\xa0\x80z\xc3",
                   19);
}


static void
test_escapes(void **state)
{
    (void) state;

    expect(escapes,
           "\"a\\\"b\\\\c\\n\\u0009\\u0000\\u001f/\x7f\xc3\xa4"
           "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"
           "\xef\xbf\xbd\"");
}


static void
link_parts(gb_json_t *j)
{
    gb_json_string_start(j);
    gb_json_string_part(j, "http://h\"/", 10);
    gb_json_string_uri(j, "a b/\xc3\xa4~-._%", 11);
    gb_json_string_part(j, "?c=", 3);
    gb_json_string_int(j, -12);
    gb_json_string_end(j);
}


static void
test_link(void **state)
{
    (void) state;

    expect(link_parts, "\"http://h\\\"/a%20b%2F%C3%A4~-._%25?c=-12\"");
}


static void
bad_empty(gb_json_t *j)
{
    (void) j;
}


static void
bad_open(gb_json_t *j)
{
    gb_json_object_start(j);
}


static void
bad_close(gb_json_t *j)
{
    gb_json_array_start(j);
    gb_json_object_end(j);
}


static void
bad_too_closed(gb_json_t *j)
{
    gb_json_int(j, 1);
    gb_json_array_end(j);
}


static void
bad_two_values(gb_json_t *j)
{
    gb_json_int(j, 1);
    gb_json_int(j, 2);
}


static void
bad_no_key(gb_json_t *j)
{
    gb_json_object_start(j);
    gb_json_int(j, 1);
    gb_json_object_end(j);
}


static void
bad_no_value(gb_json_t *j)
{
    gb_json_object_start(j);
    gb_json_key(j, "a");
    gb_json_object_end(j);
}


static void
bad_two_keys(gb_json_t *j)
{
    gb_json_object_start(j);
    gb_json_key(j, "a");
    gb_json_key(j, "b");
    gb_json_int(j, 1);
    gb_json_object_end(j);
}


static void
bad_key_in_array(gb_json_t *j)
{
    gb_json_array_start(j);
    gb_json_key(j, "a");
    gb_json_array_end(j);
}


static void
bad_part(gb_json_t *j)
{
    gb_json_string_part(j, "a", 1);
}


static void
bad_open_string(gb_json_t *j)
{
    gb_json_string_start(j);
}


static void
bad_value_in_string(gb_json_t *j)
{
    gb_json_string_start(j);
    gb_json_int(j, 1);
    gb_json_string_end(j);
}


static void
bad_depth(gb_json_t *j)
{
    int  i;

    for (i = 0; i < GB_JSON_DEPTH + 1; i++) {
        gb_json_array_start(j);
    }

    for (i = 0; i < GB_JSON_DEPTH + 1; i++) {
        gb_json_array_end(j);
    }
}


static void
test_refused(void **state)
{
    size_t  i;

    static const document_pt  bad[] = {
        bad_empty, bad_open, bad_close, bad_too_closed, bad_two_values,
        bad_no_key, bad_no_value, bad_two_keys, bad_key_in_array, bad_part,
        bad_open_string, bad_value_in_string, bad_depth
    };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refuse(bad[i]);
    }
}


static void
deepest(gb_json_t *j)
{
    int  i;

    for (i = 0; i < GB_JSON_DEPTH; i++) {
        gb_json_array_start(j);
    }

    for (i = 0; i < GB_JSON_DEPTH; i++) {
        gb_json_array_end(j);
    }
}


static void
test_deepest(void **state)
{
    (void) state;

    expect(deepest, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                    "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
}


/* measuring adds lengths: it must not wrap around */

static void
test_overflow(void **state)
{
    gb_json_t  j;

    (void) state;

    gb_json_init(&j, NULL, 0);
    gb_json_array_start(&j);
    gb_json_raw(&j, "1", SIZE_MAX - 3);
    gb_json_raw(&j, "1", 2);
    gb_json_array_end(&j);

    assert_int_equal(gb_json_done(&j, NULL), GB_ERROR);
}


/* every byte at every place of strings that are short, or not of eights */

static void
test_bytes(void **state)
{
    int        c, len, at, n;
    char       text[24], escape[8], want[40], got[40];
    size_t     filled;
    gb_json_t  j;

    (void) state;

    memset(text, 'a', sizeof(text));

    for (c = 0; c < 256; c++) {

        if (c >= 0x80) {
            strcpy(escape, "\xef\xbf\xbd");

        } else if (c == '\n') {
            strcpy(escape, "\\n");

        } else if (c == '"' || c == '\\' || c >= 0x20) {
            snprintf(escape, sizeof(escape), "%s%c",
                     c == '"' || c == '\\' ? "\\" : "", c);

        } else {
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned) c);
        }

        for (len = 1; len < (int) sizeof(text); len++) {
            for (at = 0; at < len; at++) {
                text[at] = (char) c;
                n = snprintf(want, sizeof(want), "\"%.*s%s%.*s\"", at,
                             "aaaaaaaaaaaaaaaaaaaaaaaa", escape, len - at - 1,
                             "aaaaaaaaaaaaaaaaaaaaaaaa");

                gb_json_init(&j, got, sizeof(got));
                gb_json_string(&j, text, (size_t) len);
                assert_int_equal(gb_json_done(&j, &filled), GB_OK);
                assert_int_equal(filled, n);
                assert_memory_equal(got, want, filled);
                text[at] = 'a';
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_deepest),
        cmocka_unit_test(test_overflow),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
