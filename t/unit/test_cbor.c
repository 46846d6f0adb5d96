/*
 * CBOR to the trees that JSON bodies have, and our texts to CBOR.  Where a
 * table's bytes are RFC 8949's own (appendix A), the value is, too.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "gb_cbor.h"
#include "gb_feedback.h"


#define BAD  "\xef\xbf\xbd"


typedef struct {
    const char  *hex;
    const char  *json;      /* NULL: refused */
} cbor_case_t;


static size_t
unhex(const char *hex, char *out)
{
    size_t        n;
    unsigned int  byte;

    for (n = 0; sscanf(hex, "%2x", &byte) == 1; hex += 2) {
        out[n++] = (char) byte;
    }

    return n;
}


/* the value of the one member of {"a": ...} */

static void
check_value(const cbor_case_t *c)
{
    int          rc;
    char         body[1024], *text;
    size_t       len;
    json_t      *root;
    gb_error_t   err;

    memcpy(body, "\xa1\x61" "a", 3);
    len = 3 + unhex(c->hex, body + 3);

    gb_error_clear(&err);

    rc = gb_cbor_load(body, len, &root, &err);

    if (c->json == NULL) {
        if (rc != GB_ERROR || root != NULL || err.message[0] == '\0') {
            fail_msg("taken: %s", c->hex);
        }

        return;
    }

    if (rc != GB_OK) {
        fail_msg("%s: %s", c->hex, err.message);
    }

    text = json_dumps(json_object_get(root, "a"),
                      JSON_ENCODE_ANY | JSON_COMPACT);
    assert_non_null(text);

    if (strcmp(text, c->json) != 0) {
        fail_msg("%s: %s instead of %s", c->hex, text, c->json);
    }

    free(text);
    json_decref(root);
}


static void
check_values(const cbor_case_t *c, size_t n)
{
    for ( /* void */ ; n != 0; c++, n--) {
        check_value(c);
    }
}


#define check_table(table)                                                    \
    check_values(table, sizeof(table) / sizeof(table[0]))


static void
test_numbers(void **state)
{
    static const cbor_case_t  table[] = {
        { "00", "\"0\"" },
        { "01", "\"1\"" },
        { "17", "\"23\"" },
        { "1818", "\"24\"" },
        { "1903e8", "\"1000\"" },
        { "1a000f4240", "\"1000000\"" },
        { "1b000000e8d4a51000", "\"1000000000000\"" },
        { "1bffffffffffffffff", "\"18446744073709551615\"" },
        { "20", "\"-1\"" },
        { "3863", "\"-100\"" },
        { "3903e7", "\"-1000\"" },
        { "3a000f423f", "\"-1000000\"" },
        { "3bffffffffffffffff", "\"-18446744073709551616\"" },
        { "f90000", "\"0\"" },
        { "f93c00", "\"1\"" },
        { "f93e00", "\"1.5\"" },
        { "f97bff", "\"65504\"" },
        { "f90001", "\"5.9604645e-08\"" },
        { "f9c400", "\"-4\"" },
        { "f97c00", "\"Infinity\"" },
        { "f97e00", "\"NaN\"" },
        { "f9fc00", "\"-Infinity\"" },
        { "fa3f8ccccd", "\"1.1\"" },
        { "fa47c35000", "\"1e+05\"" },
        { "fb3ff199999999999a", "\"1.1\"" },
        { "fb3fd5555555555555", "\"0.3333333333333333\"" },
        { "fb7ff0000000000000", "\"Infinity\"" },
        { "fb7e37e43c8800759c", "\"1e+300\"" },
        { "c11a514b67b0", "\"1363896240\"" },
        { "c1c2d9d9f705", "\"5\"" },
        { "1c", NULL },
        { "1f", NULL },
        { "18", NULL },
        { "1900", NULL },
        { "1a000000", NULL },
        { "1b00000000000000", NULL },
        { "3f", NULL },
        { "f93c", NULL },
        { "fa3f8ccc", NULL },
        { "fb3ff1999999", NULL },
        { "c1", NULL }
    };

    (void) state;

    check_table(table);
}


static void
test_scalars(void **state)
{
    static const cbor_case_t  table[] = {
        { "f4", "false" },
        { "f5", "true" },
        { "f6", "null" },
        { "f7", "null" },
        { "60", "\"\"" },
        { "6161", "\"a\"" },
        { "6449455446", "\"IETF\"" },
        { "62225c", "\"\\\"\\\\\"" },
        { "62c3bc", "\"\xc3\xbc\"" },
        { "63e6b0b4", "\"\xe6\xb0\xb4\"" },
        { "64f0908591", "\"\xf0\x90\x85\x91\"" },
        { "630a0d09", "\"\\n\\r\\t\"" },
        { "780161", "\"a\"" },
        { "79000161", "\"a\"" },
        { "7a0000000161", "\"a\"" },
        { "7b000000000000000161", "\"a\"" },
        { "6100", "\"" BAD "\"" },
        { "63610062", "\"a" BAD "b\"" },
        { "61ff", "\"" BAD "\"" },
        { "62c328", "\"" BAD "(\"" },
        { "62c0af", "\"" BAD BAD "\"" },
        { "63eda080", "\"" BAD BAD BAD "\"" },
        { "64f4908080", "\"" BAD BAD BAD BAD "\"" },
        { "7fff", "\"\"" },
        { "7f60ff", "\"\"" },
        { "7f657374726561646d696e67ff", "\"streaming\"" },
        { "7f61c361bcff", "\"\xc3\xbc\"" },
        { "7f61c3ff", "\"" BAD "\"" },
        { "40", "\"\"" },
        { "4401020304", "\"AQIDBA==\"" },
        { "43010203", "\"AQID\"" },
        { "42ffee", "\"/+4=\"" },
        { "5fff", "\"\"" },
        { "5f42010243030405ff", "\"AQIDBAU=\"" },
        { "61", NULL },
        { "626100", "\"a" BAD "\"" },
        { "6261", NULL },
        { "7f", NULL },
        { "7f6161", NULL },
        { "7f01ff", NULL },
        { "7f4101ff", NULL },
        { "5f6101ff", NULL },
        { "7f7f6161ffff", NULL },
        { "7fc06161ff", NULL },
        { "7f80ff", NULL },
        { "7ff6ff", NULL },
        { "7bffffffffffffffff61", NULL },
        { "7b7fffffffffffffff61", NULL },
        { "5bffffffffffffffff61", NULL },
        { "7c", NULL },
        { "41", NULL },
        { "ff", NULL },
        { "f8", NULL },
        { "f820", NULL },
        { "f8ff", NULL },
        { "f0", NULL },
        { "e0", NULL },
        { "fc", NULL }
    };

    (void) state;

    check_table(table);
}


static void
test_containers(void **state)
{
    static const cbor_case_t  table[] = {
        { "80", "[]" },
        { "83010203", "[\"1\",\"2\",\"3\"]" },
        { "8301820203820405", "[\"1\",[\"2\",\"3\"],[\"4\",\"5\"]]" },
        { "9fff", "[]" },
        { "9f018202039f0405ffff", "[\"1\",[\"2\",\"3\"],[\"4\",\"5\"]]" },
        { "83018202039f0405ff", "[\"1\",[\"2\",\"3\"],[\"4\",\"5\"]]" },
        { "a0", "{}" },
        { "a201020304", "{\"1\":\"2\",\"3\":\"4\"}" },
        { "a26161016162820203", "{\"a\":\"1\",\"b\":[\"2\",\"3\"]}" },
        { "826161a161626163", "[\"a\",{\"b\":\"c\"}]" },
        { "bfff", "{}" },
        { "bf61610161629f0203ffff", "{\"a\":\"1\",\"b\":[\"2\",\"3\"]}" },
        { "bf6346756ef563416d7421ff", "{\"Fun\":true,\"Amt\":\"-2\"}" },
        { "a261610161616162", "{\"a\":\"b\"}" },
        { "a17f61616162ff01", "{\"ab\":\"1\"}" },
        { "a16100f6", "{\"" BAD "\":null}" },
        { "a12001", "{\"-1\":\"1\"}" },
        { "c0a1c06161c001", "{\"a\":\"1\"}" },
        { "98020102", "[\"1\",\"2\"]" },
        { "990001f6", "[null]" },
        { "8101" "f6", NULL },
        { "81", NULL },
        { "8201", NULL },
        { "9f", NULL },
        { "9f01", NULL },
        { "9fc0ff", NULL },
        { "a1", NULL },
        { "a16161", NULL },
        { "a1616101ff", NULL },
        { "bf6161ff", NULL },
        { "bf616101", NULL },
        { "bfc0ff", NULL },
        { "a1f601", NULL },
        { "a1f401", NULL },
        { "a1410101", NULL },
        { "a15f4101ff01", NULL },
        { "a18001", NULL },
        { "a1a001", NULL },
        { "a1f93c0001", NULL },
        { "9bffffffffffffffff", NULL },
        { "9b7fffffffffffffff01", NULL },
        { "bbffffffffffffffff", NULL },
        { "bb8000000000000000", NULL },
        { "9a7fffffff", NULL },
        { "ba7fffffff6161", NULL }
    };

    (void) state;

    check_table(table);
}


static void
refused(const char *body, size_t len)
{
    json_t      *root;
    gb_error_t   err;

    gb_error_clear(&err);

    assert_int_equal(gb_cbor_load(body, len, &root, &err), GB_ERROR);
    assert_null(root);
    assert_string_not_equal(err.message, "");
}


static void
test_bodies(void **state)
{
    size_t       n;
    json_t      *root;
    gb_error_t   err;

    static const char  doc[] = "\xbf\x61" "a\x83\x01\x7f\x61" "x\xff\xf9"
                               "\x3c\x00\x61" "b\xa1\x61" "c\xf5\xff";

    (void) state;

    refused("", 0);
    refused("\x80", 1);
    refused("\xf6", 1);
    refused("\x61" "a", 2);
    refused("{\"a\":1}", 7);
    refused("\xa0\xa0", 2);
    refused("\xa0\xff", 2);
    refused("\xc0", 1);

    /* whole it is taken, cut off anywhere it is not, nor with more */

    assert_int_equal(gb_cbor_load(doc, sizeof(doc) - 1, &root, &err), GB_OK);
    assert_int_equal(json_object_size(root), 2);
    json_decref(root);

    for (n = 0; n < sizeof(doc) - 1; n++) {
        refused(doc, n);
    }

    refused(doc, sizeof(doc));
}


/* GB_CBOR_DEPTH maps within each other are taken, one more is not */

static void
test_depth(void **state)
{
    char         body[4 * GB_CBOR_DEPTH + 8];
    size_t       len;
    unsigned     i, depth;
    json_t      *root;
    gb_error_t   err;

    (void) state;

    for (depth = GB_CBOR_DEPTH; depth <= GB_CBOR_DEPTH + 1; depth++) {
        len = 0;

        for (i = 1; i < depth; i++) {
            memcpy(body + len, "\xa1\x61" "a", 3);
            len += 3;
        }

        body[len++] = (char) 0xa0;

        if (depth > GB_CBOR_DEPTH) {
            refused(body, len);
            continue;
        }

        assert_int_equal(gb_cbor_load(body, len, &root, &err), GB_OK);
        json_decref(root);
    }
}


/* {"a": [1, 1, ...]}: the map, the key, the array and its members */

static void
test_items(void **state)
{
    char        *body;
    size_t       n;
    json_t      *root;
    gb_error_t   err;

    (void) state;

    for (n = GB_CBOR_ITEMS - 3; n <= GB_CBOR_ITEMS - 2; n++) {
        body = malloc(n + 5);
        assert_non_null(body);

        memcpy(body, "\xa1\x61" "a\x9f", 4);
        memset(body + 4, 1, n);
        body[n + 4] = (char) 0xff;

        if (n == GB_CBOR_ITEMS - 2) {
            refused(body, n + 5);

        } else {
            assert_int_equal(gb_cbor_load(body, n + 5, &root, &err), GB_OK);
            assert_int_equal(json_array_size(json_object_get(root, "a")), n);
            json_decref(root);
        }

        free(body);
    }
}


/* the readers of JSON bodies take CBOR's trees as they are */

static void
test_readers(void **state)
{
    json_t            *root;
    gb_error_t         err;
    gb_feedback_t     *fb;
    gb_config_data_t  *cd;

    static const char  closed[] =
        "\xa1\x66" "status\xa4\x69" "execution\x66" "closed\x64" "code\x38\x63"
        "\x66" "result\xa2\x68" "finished\x67" "success\x68" "progress\xa2"
        "\x63" "cnt\x02\x62" "of\x05\x67" "details\x82\x63" "one\x01";

    static const char  data[] =
        "\xbf\x64" "data\xa3\x61" "a\x01\x61" "b\xfa\x3f\x8c\xcc\xcd\x61"
        "c\xf5\xff";

    (void) state;

    assert_int_equal(gb_cbor_load(closed, sizeof(closed) - 1, &root, &err),
                     GB_OK);
    assert_int_equal(gb_feedback_tree(root, NULL, &fb, &err), GB_OK);

    assert_string_equal(fb->execution, "closed");
    assert_string_equal(fb->finished, "success");
    assert_int_equal(fb->progress, 40);
    assert_true(fb->has_code);
    assert_int_equal(fb->code, -100);
    assert_int_equal(fb->ndetails, 2);
    assert_string_equal(fb->details[0], "one");
    assert_string_equal(fb->details[1], "1");

    gb_feedback_free(fb);
    json_decref(root);

    assert_int_equal(gb_cbor_load(data, sizeof(data) - 1, &root, &err),
                     GB_OK);
    assert_int_equal(gb_config_data_tree(root, NULL, &cd, &err), GB_OK);

    assert_int_equal(cd->n, 3);
    assert_string_equal(cd->values[0], "1");
    assert_string_equal(cd->values[1], "1.1");
    assert_string_equal(cd->values[2], "true");

    gb_config_data_free(cd);
    json_decref(root);
}


static void
check_dump(const char *json, const char *hex)
{
    char        want[512], *out;
    size_t      i, len, n, size;
    gb_error_t  err;

    len = unhex(hex, want);
    size = gb_cbor_dump_size(strlen(json));

    out = malloc(size);
    assert_non_null(out);

    assert_int_equal(gb_cbor_dump(json, strlen(json), out, size, &n, &err),
                     GB_OK);
    assert_int_equal(n, len);
    assert_memory_equal(out, want, len);

    free(out);

    /* in a buffer of just that size, and in none that is smaller */

    for (i = 0; i <= len; i++) {
        out = malloc(i + 1);
        assert_non_null(out);

        assert_int_equal(gb_cbor_dump(json, strlen(json), out, i, &n, &err),
                         i == len ? GB_OK : GB_ERROR);
        free(out);
    }
}


static void
test_dump(void **state)
{
    char        out[64];
    size_t      n;
    gb_error_t  err;

    (void) state;

    check_dump("{}", "a0");
    check_dump("[]", "80");
    check_dump("{\"b\":1,\"a\":[2,3]}", "a26162016161820203");
    check_dump("[0,23,24,255,256,65535,65536,4294967296]",
               "8800171818" "18ff190100" "19ffff1a00010000"
               "1b0000000100000000");
    check_dump("[-1,-24,-25,-9223372036854775808]",
               "8420373818" "3b7fffffffffffffff");
    check_dump("[true,false,null]", "83f5f4f6");
    check_dump("[1.5]", "81fb3ff8000000000000");
    check_dump("[\"\",\"\\n\\u00fc\"]", "8260630ac3bc");
    check_dump("[\"aaaaaaaaaaaaaaaaaaaaaaaa\"]",
               "817818" "616161616161616161616161"
               "616161616161616161616161");

    assert_int_equal(gb_cbor_dump("{\"a\"", 4, out, sizeof(out), &n, &err),
                     GB_ERROR);
    assert_int_equal(gb_cbor_dump("", 0, out, sizeof(out), &n, &err),
                     GB_ERROR);
}


/* what the reader makes of it is the text again, numbers apart */

static void
test_there_and_back(void **state)
{
    char        *out, *text;
    size_t       n, size;
    json_t      *root;
    gb_error_t   err;

    static const char  json[] = "{\"id\":\"11\",\"deployment\":{\"chunks\":"
        "[{\"part\":\"os\",\"size\":\"5\",\"_links\":{}},[],null,true]},"
        "\"name\":\"a\\nb\xc3\xbc\"}";

    (void) state;

    size = gb_cbor_dump_size(sizeof(json));

    out = malloc(size);
    assert_non_null(out);

    assert_int_equal(gb_cbor_dump(json, strlen(json), out, size, &n, &err),
                     GB_OK);
    assert_int_equal(gb_cbor_load(out, n, &root, &err), GB_OK);

    text = json_dumps(root, JSON_COMPACT);
    assert_string_equal(text, json);

    free(text);
    free(out);
    json_decref(root);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_there_and_back),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
