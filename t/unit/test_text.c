/*
 * UTF-8, the leniency towards device JSON, array literals, near words; and
 * that an error is one line.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gb_error.h"
#include "gb_text.h"


#define BAD  "\xef\xbf\xbd"


typedef size_t (*clean_pt)(const char *in, size_t len, char *out);


static void
cleans(clean_pt clean, const char *in, size_t len, const char *want)
{
    char    *out;
    size_t   n;

    n = clean(in, len, NULL);
    assert_int_equal(n, strlen(want));

    /* exactly as much as measured: the sanitizer sees a byte too many */

    out = malloc(n + (n == 0));
    assert_non_null(out);
    assert_int_equal(clean(in, len, out), n);
    assert_memory_equal(out, want, n);

    free(out);
}


static void
test_utf8(void **state)
{
    size_t    i;
    uint32_t  code;

    static const struct {
        const char  *s;
        size_t       n;
        uint32_t     code;
    } good[] = {
        { "a", 1, 'a' },
        { "\x7f", 1, 0x7f },
        { "\xc2\x80", 2, 0x80 },
        { "\xdf\xbf", 2, 0x7ff },
        { "\xe0\xa0\x80", 3, 0x800 },
        { "\xed\x9f\xbf", 3, 0xd7ff },
        { "\xee\x80\x80", 3, 0xe000 },
        { "\xef\xbf\xbf", 3, 0xffff },
        { "\xf0\x90\x80\x80", 4, 0x10000 },
        { "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
    };

    static const char *const  bad[] = {
        "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41",
        "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5", "\xff"
    };

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(gb_text_utf8(good[i].s, strlen(good[i].s), &code),
                         good[i].n);
        assert_int_equal(code, good[i].code);
        assert_true(gb_text_utf8_valid(good[i].s, strlen(good[i].s)));
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(gb_text_utf8(bad[i], strlen(bad[i]), NULL), 0);
        assert_false(gb_text_utf8_valid(bad[i], strlen(bad[i])));
    }

    assert_int_equal(gb_text_utf8("", 0, NULL), 0);
    assert_true(gb_text_utf8_valid("", 0));
}


static void
test_chars(void **state)
{
    (void) state;

    assert_int_equal(gb_text_chars("a\xc3\xa4\xf0\x9f\xaa\xbf\xff", 8), 4);
    assert_int_equal(gb_text_cut("a\xc3\xa4z", 4, 0), 0);
    assert_int_equal(gb_text_cut("a\xc3\xa4z", 4, 2), 3);
    assert_int_equal(gb_text_cut("a\xc3\xa4z", 4, 9), 4);

    assert_true(gb_text_has_control("a\nb", 3));
    assert_true(gb_text_has_control("a\x7f", 2));
    assert_true(gb_text_has_control("a\0", 2));
    assert_false(gb_text_has_control("a b\xc3\xa4", 5));
}


static void
test_clean(void **state)
{
    size_t  i;

    static const struct {
        const char  *in;
        const char  *want;
    } cases[] = {
        { "{\"a\":[1,2.5e3,true]}", "{\"a\":[1,2.5e3,true]}" },
        { "", "" },
        { "\"a\nb\tc\x01\"", "\"a\\u000ab\\u0009c\\u0001\"" },
        { "\n{\t}", "\n{\t}" },
        { "\xef\xbb\xbf{}", "{}" },
        { "\"\xff\xc3\"", "\"" BAD BAD "\"" },
        { "\"\xed\xa0\x80\"", "\"" BAD BAD BAD "\"" },
        { "\xff", "\xff" },
        { "\"\\u0000\"", "\"" BAD "\"" },
        { "\"\\ud800\"", "\"" BAD "\"" },
        { "\"\\uDC00x\"", "\"" BAD "x\"" },
        { "\"\\ud800\\u0041\"", "\"" BAD "\\u0041\"" },
        { "\"\\ud800\\ud800\\udc00\"", "\"" BAD "\\ud800\\udc00\"" },
        { "\"\\ud83e\\udebf\"", "\"\\ud83e\\udebf\"" },
        { "\"\\\\u0000\"", "\"\\\\u0000\"" },
        { "\"\\\"\\u0000\"", "\"\\\"" BAD "\"" },
        { "\"\\\n\"", "\"\\\\u000a\"" },
        { "\"\\", "\"\\" },
        { "\"\\u00", "\"\\u00" },
        { "\"\\ud8", "\"\\ud8" },
        { "\"open\n", "\"open\\u000a" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleans(gb_text_clean, cases[i].in, strlen(cases[i].in),
               cases[i].want);
    }

    cleans(gb_text_clean, "\"a\0b\"", 5, "\"a" BAD "b\"");

    assert_int_equal(gb_text_clean("x", SIZE_MAX, NULL), GB_TEXT_TOO_LONG);
}


static void
test_clean_numbers(void **state)
{
    size_t  i;

    static const struct {
        const char  *in;
        const char  *want;
    } cases[] = {
        { "{\"v\":1.10}", "{\"v\":\"1.10\"}" },
        { "[-0,12,1e5,2.5E-3]", "[\"-0\",\"12\",\"1e5\",\"2.5E-3\"]" },
        { "[99999999999999999999]", "[\"99999999999999999999\"]" },
        { "[1 , 2]", "[\"1\" , \"2\"]" },
        { "\"5 6\"", "\"5 6\"" },

        /* no numbers: the parser shall refuse them as before */

        { "{1:2}", "{1:\"2\"}" },
        { "{1 :2}", "{1 :\"2\"}" },
        { "[01]", "[01]" },
        { "[1.]", "[1.]" },
        { "[.5]", "[.5]" },
        { "[+5]", "[+5]" },
        { "[-]", "[-]" },
        { "[1e]", "[1e]" },
        { "[1e+]", "[1e+]" },
        { "[1a]", "[1a]" },
        { "[a1]", "[a1]" },
        { "[0x10]", "[0x10]" },
        { "[1-2]", "[1-2]" },
        { "7", "\"7\"" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleans(gb_text_clean_numbers, cases[i].in, strlen(cases[i].in),
               cases[i].want);
    }
}


static void
test_array(void **state)
{
    char    out[64];
    size_t  n;

    static const char *const  items[] = {
        "a", "", NULL, "NULL", "q\"b\\c{,}"
    };

    static const char  want[] = "{\"a\",\"\",NULL,\"NULL\","
                                "\"q\\\"b\\\\c{,}\"}";

    (void) state;

    n = gb_text_array(items, 5, NULL);
    assert_int_equal(n, sizeof(want) - 1);
    assert_int_equal(gb_text_array(items, 5, out), n);
    assert_memory_equal(out, want, n);

    assert_int_equal(gb_text_array(NULL, 0, out), 2);
    assert_memory_equal(out, "{}", 2);
}


static void
test_nearest(void **state)
{
    unsigned  d;

    static const char *const  words[] = { "port", "poll_time", "tenant" };

    (void) state;

    assert_string_equal(gb_text_nearest("pol_time", words, 3, &d),
                        "poll_time");
    assert_int_equal(d, 1);
    assert_string_equal(gb_text_nearest("PORT", words, 3, &d), "port");
    assert_int_equal(d, 0);
    assert_string_equal(gb_text_nearest("", words, 3, &d), "port");
    assert_int_equal(d, 4);
    assert_null(gb_text_nearest("x", words, 0, NULL));
}


static void
test_http(void **state)
{
    (void) state;

    assert_int_equal(gb_text_http("http://h/"), 7);
    assert_int_equal(gb_text_http("HTTPS://h/"), 8);
    assert_int_equal(gb_text_http("Http://"), 7);
    assert_int_equal(gb_text_http("http:/h"), 0);
    assert_int_equal(gb_text_http("ftp://h"), 0);
    assert_int_equal(gb_text_http(""), 0);
}


/* near enough: a beginning, a last part, or every third letter wrong */

static void
test_meant(void **state)
{
    size_t  i;

    static const char *const  words[] = {
        "port", "poll_time", "tenant", "list", "id"
    };

    static const struct {
        const char  *word;
        const char  *meant;
    } cases[] = {
        { "po", "port" }, { "time", "poll_time" }, { "pol_tmie", "poll_time" },
        { "Prot", "port" }, { "tenan", "tenant" }, { "di", "id" },
        { "teants", "tenant" }, { "tonents", NULL }, { "past", NULL },
        { "last", "list" }, { "x", NULL }, { "", NULL }, { "p", NULL },
        { "poll-rates", NULL }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].meant == NULL) {
            assert_null(gb_text_meant(cases[i].word, words, 5));
        } else {
            assert_string_equal(gb_text_meant(cases[i].word, words, 5),
                                cases[i].meant);
        }
    }

    assert_null(gb_text_meant("port", words, 0));
}


static void
test_error(void **state)
{
    char        file[400];
    gb_error_t  err;

    (void) state;

    assert_int_equal(gb_error_set(&err, "%s: %d", "x", 7), GB_ERROR);
    assert_string_equal(err.message, "x: 7");
    assert_int_equal(err.line, 0);

    gb_error_at(&err, "a.yaml", 3, "bad \"%s\"", "\x1b[1m\n\xff");
    assert_string_equal(err.message, "a.yaml:3: bad \" [1m ?\"");
    assert_string_equal(err.file, "a.yaml");
    assert_int_equal(err.line, 3);

    gb_error_at(&err, "a.yaml", 0, "%s", err.message);
    assert_string_equal(err.message,
                        "a.yaml: a.yaml:3: bad \" [1m ?\"");

    /* cut at 511 and 255 bytes, and not within a character */

    memset(file, 'f', sizeof(file));
    memcpy(file + 254, "\xc3\xa4", 2);
    file[399] = '\0';

    gb_error_at(&err, file, 0, "%300s\xc3\xa4", "");
    assert_int_equal(strlen(err.file), 254);
    assert_int_equal(strlen(err.message), GB_ERROR_MESSAGE - 1);

    gb_error_at(&err, NULL, 9, "%510s\xc3\xa4", "");
    assert_int_equal(strlen(err.message), GB_ERROR_MESSAGE - 2);
    assert_int_equal(err.line, 0);

    assert_int_equal(gb_error_nomem(&err), GB_NOMEM);
    assert_string_equal(err.message, "out of memory");
    assert_int_equal(gb_error_set(NULL, "x"), GB_ERROR);

    gb_error_clear(&err);
    assert_string_equal(err.message, "");
}


/* every byte at every place of eight: never past one that is not plain */

static void
test_plain(void **state)
{
    int     c, at;
    char    text[17];
    size_t  n;
    bool    plain;

    (void) state;

    for (c = 0; c < 256; c++) {
        plain = (c >= 0x20 && c < 0x7f && c != '"' && c != '\\');

        for (at = 0; at < 16; at++) {
            memset(text, 'a', sizeof(text));
            text[at] = (char) c;
            n = gb_text_plain(text, 16);
            assert_int_equal(n, plain ? 16 : at / 8 * 8);
        }
    }

    assert_int_equal(gb_text_plain("abcdefg", 7), 0);
    assert_int_equal(gb_text_plain("abcdefghi", 9), 8);
}


/* ... and what looks by eights sees the ends, too */

static void
test_ends(void **state)
{
    int     c;
    char    text[24];
    bool    plain;
    size_t  at, len;

    (void) state;

    memset(text, 'a', sizeof(text));

    for (c = 0; c < 256; c++) {
        plain = (c >= 0x20 && c < 0x7f && c != '"' && c != '\\');

        for (len = 1; len <= sizeof(text); len++) {
            for (at = 0; at < len; at++) {
                text[at] = (char) c;
                assert_int_equal(gb_text_utf8_valid(text, len), c < 0x80);
                assert_int_equal(gb_text_has_control(text, len),
                                 c < 0x20 || c == 0x7f);
                assert_int_equal(gb_text_all_plain(text, len), plain);
                text[at] = 'a';
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_chars),
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_clean_numbers),
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_http),
        cmocka_unit_test(test_meant),
        cmocka_unit_test(test_error),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
