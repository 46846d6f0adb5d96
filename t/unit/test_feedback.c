/*
 * What devices send, and what they were seen to send.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gb_feedback.h"
#include "gb_text.h"


#define BAD  "\xef\xbf\xbd"


static gb_feedback_t *
feedback(const char *body)
{
    gb_error_t      err;
    gb_feedback_t  *fb;

    gb_error_clear(&err);

    if (gb_feedback_parse(body, strlen(body), NULL, &fb, &err) != GB_OK) {
        fail_msg("%s: %s", body, err.message);
    }

    return fb;
}


static void
feedback_refused(const char *body, size_t len)
{
    int             rc;
    gb_error_t      err;
    gb_feedback_t  *fb;

    gb_error_clear(&err);

    rc = gb_feedback_parse(body, len, NULL, &fb, &err);

    if (rc != GB_ERROR || fb != NULL || err.message[0] == '\0') {
        fail_msg("taken: %s", body);
    }
}


static void
test_complete(void **state)
{
    gb_feedback_t  *fb;

    (void) state;

    fb = feedback("{\"id\":\"11\",\"time\":\"20140511T121314\",\"status\":{"
                  "\"execution\":\"closed\",\"code\":200,\"result\":{"
                  "\"finished\":\"success\",\"progress\":{\"cnt\":2,\"of\":5}"
                  "},\"details\":[\"a\",\"b\"]}}");

    assert_string_equal(fb->execution, "closed");
    assert_string_equal(fb->finished, "success");
    assert_int_equal(fb->progress, 40);
    assert_true(fb->has_code);
    assert_int_equal(fb->code, 200);
    assert_int_equal(fb->ndetails, 2);
    assert_string_equal(fb->details[0], "a");
    assert_string_equal(fb->details[1], "b");

    gb_feedback_free(fb);
    gb_feedback_free(NULL);
}


static void
test_least(void **state)
{
    gb_feedback_t  *fb;

    (void) state;

    fb = feedback("{\"status\":{\"execution\":\"proceeding\"}}");

    assert_string_equal(fb->finished, "none");
    assert_int_equal(fb->progress, -1);
    assert_false(fb->has_code);
    assert_int_equal(fb->ndetails, 0);

    gb_feedback_free(fb);
}


static void
test_words(void **state)
{
    char            body[256];
    size_t          i;
    gb_feedback_t  *fb;

    static const char *const  words[] = {
        "proceeding", "scheduled", "resumed", "download", "downloaded",
        "closed", "rejected", "canceled"
    };

    (void) state;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        snprintf(body, sizeof(body), "{\"status\":{\"execution\":\"%s\","
                 "\"result\":{\"finished\":\"failure\"}}}", words[i]);

        fb = feedback(body);
        assert_string_equal(fb->execution, words[i]);
        assert_string_equal(fb->finished, "failure");
        gb_feedback_free(fb);
    }
}


static void
test_lenient(void **state)
{
    size_t          i;
    gb_feedback_t  *fb;

    static const char *const  bodies[] = {
        "{\"id\":11,\"status\":{\"execution\":\"closed\"}}",
        "{\"id\":99999999999999999999999,\"status\":{\"execution\":\"closed\""
            "}}",
        "{\"id\":\"\",\"status\":{\"execution\":\"closed\",\"result\":null}}",
        "{\"id\":null,\"timestamp\":1e999,\"status\":{\"execution\":\"closed\""
            ",\"code\":null,\"details\":null,\"x\":[{}]}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"finished\":null,"
            "\"progress\":null}}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"progress\":[1]}}"
            "}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"progress\":\"7\""
            "}}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"progress\":{"
            "\"cnt\":0,\"of\":0}}}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"progress\":{"
            "\"cnt\":7,\"of\":5}}}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"progress\":{"
            "\"cnt\":-1,\"of\":-5}}}}",
        "{\"status\":{\"execution\":\"closed\",\"code\":\"no number\"}}",
        "{\"status\":{\"execution\":\"closed\",\"code\":5000000000}}",
        "{\"status\":{\"execution\":\"closed\",\"details\":[null]}}",
        "{\"status\":{\"execution\":\"open\",\"execution\":\"closed\"}}",
        "\xef\xbb\xbf \n{\"status\":{\"execution\":\"closed\"}}\n",
    };

    (void) state;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        fb = feedback(bodies[i]);
        assert_string_equal(fb->execution, "closed");
        assert_string_equal(fb->finished, "none");
        assert_int_equal(fb->progress, -1);
        assert_false(fb->has_code);
        assert_int_equal(fb->ndetails, 0);
        gb_feedback_free(fb);
    }
}


static void
test_refused(void **state)
{
    size_t  i;

    static const char *const  bodies[] = {
        "", "null", "[]", "7", "{", "{}", "{}}", "{\"status\":null}",
        "{\"status\":[]}", "{\"status\":\"closed\"}", "{\"status\":{}}",
        "{\"status\":{\"execution\":null}}",
        "{\"status\":{\"execution\":7}}",
        "{\"status\":{\"execution\":[\"closed\"]}}",
        "{\"status\":{\"execution\":\"Closed\"}}",
        "{\"status\":{\"execution\":\"cancelled\"}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":\"success\"}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"finished\":"
            "\"ok\"}}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"finished\":"
            "true}}}",
        "{\"status\":{\"execution\":\"closed\",\"details\":{}}}",
        "{\"status\":{\"execution\":\"closed\",\"details\":[\"a\",{}]}}",
        "{\"status\":{\"execution\":\"closed\",\"details\":[true]}}",
        "{\"status\":{\"execution\":\"closed\"},1:2}",
        "{\"status\":{\"execution\":\"closed\"},\"x\":01}",
        "{'status':{'execution':'closed'}}",
        "{\"status\":{\"execution\":\"closed\"}} x",
    };

    (void) state;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        feedback_refused(bodies[i], strlen(bodies[i]));
    }

    feedback_refused("{\"status\":{\"execution\":\"closed\"}}\0", 34);
}


/* a stack must not grow with what a device sends */

static void
test_deep(void **state)
{
    char    *body;
    size_t   i, n;

    (void) state;

    n = 1000000;
    body = malloc(n);
    assert_non_null(body);

    memset(body, '[', n);
    feedback_refused(body, n);

    for (i = 0; i + 5 <= n; i += 5) {
        memcpy(body + i, "{\"a\":", 5);
    }

    feedback_refused(body, n);

    free(body);
}


static void
test_details(void **state)
{
    gb_feedback_t  *fb;

    (void) state;

    fb = feedback("{\"status\":{\"execution\":\"closed\","
                  "\"details\":\"one\nline\"}}");
    assert_int_equal(fb->ndetails, 1);
    assert_string_equal(fb->details[0], "one\nline");
    gb_feedback_free(fb);

    fb = feedback("{\"status\":{\"execution\":\"closed\",\"details\":"
                  "[\"\\u0000\",null,\"\\ud800\",\"\xff\",7.0,\"\"]}}");
    assert_int_equal(fb->ndetails, 5);
    assert_string_equal(fb->details[0], BAD);
    assert_string_equal(fb->details[1], BAD);
    assert_string_equal(fb->details[2], BAD);
    assert_string_equal(fb->details[3], "7.0");
    assert_string_equal(fb->details[4], "");
    gb_feedback_free(fb);
}


#define SHARE(cnt, of)  "null,\"result\":{\"progress\":{\"cnt\":" cnt          \
                        ",\"of\":" of "}}"

static void
progress(const char *details, int want)
{
    char            body[512];
    gb_feedback_t  *fb;

    snprintf(body, sizeof(body),
             "{\"status\":{\"execution\":\"proceeding\",\"details\":%s}}",
             details);

    fb = feedback(body);
    assert_int_equal(fb->progress, want);
    gb_feedback_free(fb);
}


static void
test_progress(void **state)
{
    gb_feedback_t  *fb;

    (void) state;

    progress("\"Downloaded 7%\"", 7);
    progress("[\"Downloaded 0%\"]", 0);
    progress("[\"Downloaded 100%\"]", 100);
    progress("[\"Downloaded 4294967297%\"]", 100);
    progress("[\"Downloaded 10%, then Downloaded 20%.\",\"x\"]", 20);
    progress("[\"Downloaded 30%\",\"Downloaded 40%\"]", 40);
    progress("[\"Downloaded x%, Downloaded 5, Downloaded \"]", -1);
    progress("[\"Downloaded 50%\",\"Downloaded -1%\"]", 50);

    fb = feedback("{\"status\":{\"execution\":\"proceeding\",\"result\":{"
                  "\"progress\":{\"cnt\":9223372036854775806,"
                  "\"of\":9223372036854775807}},"
                  "\"details\":[\"Downloaded 7%\"]}}");
    assert_int_equal(fb->progress, 99);
    gb_feedback_free(fb);

    progress(SHARE("29", "100"), 29);
    progress(SHARE("33.3", "100"), 33);
    progress(SHARE("0.09", "0.09"), 100);
    progress(SHARE("5E-1", "1e0"), 50);
    progress(SHARE("\"2.5\"", "\"10\""), 25);
    progress(SHARE("-0.5", "1"), -1);
    progress(SHARE("1e9999", "1e9999"), -1);
    progress(SHARE("\"1.5.2\"", "9"), -1);
    progress(SHARE("\"0x1\"", "9"), -1);

    /* the member has no meaning, the text does */

    fb = feedback("{\"status\":{\"execution\":\"proceeding\",\"result\":{"
                  "\"progress\":{\"cnt\":0,\"of\":0}},"
                  "\"details\":[\"Downloaded 7%\"]}}");
    assert_int_equal(fb->progress, 7);
    gb_feedback_free(fb);
}


static char *
many_details(size_t n, const char *detail)
{
    char    *body;
    size_t   i, len;

    body = malloc(n * (strlen(detail) + 3) + 128);
    assert_non_null(body);

    len = (size_t) sprintf(body, "{\"status\":{\"execution\":\"closed\","
                           "\"details\":[");

    for (i = 0; i < n; i++) {
        len += (size_t) sprintf(body + len, "%s\"%s\"", i == 0 ? "" : ",",
                                detail);
    }

    sprintf(body + len, "]}}");

    return body;
}


static void
test_quota(void **state)
{
    char                *body, detail[4098 * 2 + 1];
    size_t               i, len;
    gb_error_t           err;
    gb_feedback_t       *fb;
    gb_feedback_quota_t  quota;

    (void) state;

    body = many_details(100, "d");
    fb = feedback(body);
    assert_int_equal(fb->ndetails, 100);
    assert_string_equal(fb->details[99], "d");
    gb_feedback_free(fb);
    free(body);

    body = many_details(112, "d");
    fb = feedback(body);
    assert_int_equal(fb->ndetails, 100);
    assert_string_equal(fb->details[98], "d");
    assert_string_equal(fb->details[99], "d [12 more dropped]");
    gb_feedback_free(fb);

    memset(&quota, 0, sizeof(quota));
    quota.details = 2;
    quota.detail = 10;

    assert_int_equal(gb_feedback_parse(body, strlen(body), &quota, &fb, &err),
                     GB_OK);
    assert_int_equal(fb->ndetails, 2);
    gb_feedback_free(fb);
    free(body);

    /* 4096 characters of two bytes stay, of 4097 a whole number goes */

    for (i = 0; i < 4097; i++) {
        memcpy(detail + 2 * i, "\xc3\xa4", 2);
    }

    detail[2 * 4096] = '\0';
    body = many_details(1, detail);
    fb = feedback(body);
    assert_string_equal(fb->details[0], detail);
    gb_feedback_free(fb);
    free(body);

    detail[2 * 4096] = '\xc3';
    detail[2 * 4097] = '\0';
    body = many_details(101, detail);
    fb = feedback(body);
    len = strlen(fb->details[0]);
    assert_int_equal(len, 2 * 4090 + 6);
    assert_string_equal(fb->details[0] + len - 6, " [cut]");
    assert_int_equal(gb_text_chars(fb->details[99], strlen(fb->details[99])),
                     4096);
    assert_true(gb_text_utf8_valid(fb->details[99],
                                   strlen(fb->details[99])));
    assert_non_null(strstr(fb->details[99], "\xa4 [cut] [1 more dropped]"));
    gb_feedback_free(fb);
    free(body);
}


static gb_config_data_t *
config_data(const char *body)
{
    gb_error_t         err;
    gb_config_data_t  *cd;

    gb_error_clear(&err);

    if (gb_config_data_parse(body, strlen(body), NULL, &cd, &err) != GB_OK) {
        fail_msg("%s: %s", body, err.message);
    }

    return cd;
}


static int
config_data_status(const char *body, size_t len)
{
    int                rc;
    gb_error_t         err;
    gb_config_data_t  *cd;

    gb_error_clear(&err);

    rc = gb_config_data_parse(body, len, NULL, &cd, &err);

    if (rc == GB_OK) {
        gb_config_data_free(cd);

    } else {
        assert_null(cd);
        assert_true(err.message[0] != '\0');
    }

    return rc;
}


static void
test_config_data(void **state)
{
    gb_config_data_t  *cd;

    (void) state;

    cd = config_data("{\"mode\":\"replace\",\"data\":{\"hw_model\":\"b\","
                     "\"n\":1.10,\"t\":true,\"f\":false,\"gone\":null,"
                     "\"e\":\"\",\"nl\":\"a\nb\xff\",\"n\":2}}");

    assert_string_equal(cd->mode, "replace");
    assert_int_equal(cd->n, 7);
    assert_string_equal(cd->keys[0], "hw_model");
    assert_string_equal(cd->values[0], "b");
    assert_string_equal(cd->keys[1], "n");
    assert_string_equal(cd->values[1], "2");
    assert_string_equal(cd->values[2], "true");
    assert_string_equal(cd->values[3], "false");
    assert_null(cd->values[4]);
    assert_string_equal(cd->values[5], "");
    assert_string_equal(cd->values[6], "a\nb" BAD);
    gb_config_data_free(cd);

    cd = config_data("{\"data\":{\"sw_version\":1.10}}");
    assert_string_equal(cd->mode, "merge");
    assert_string_equal(cd->values[0], "1.10");
    gb_config_data_free(cd);

    cd = config_data("{\"mode\":null,\"status\":{},\"id\":7,\"data\":{}}");
    assert_string_equal(cd->mode, "merge");
    assert_int_equal(cd->n, 0);
    gb_config_data_free(cd);

    cd = config_data("{\"mode\":\"remove\",\"data\":{\"a\":{},\"b\":null}}");
    assert_string_equal(cd->mode, "remove");
    assert_int_equal(cd->n, 2);
    assert_null(cd->values[0]);
    gb_config_data_free(cd);

    gb_config_data_free(NULL);
}


static void
test_config_data_refused(void **state)
{
    size_t  i;

    static const char *const  bodies[] = {
        "", "{}", "[]", "{\"data\":null}", "{\"data\":[]}",
        "{\"data\":\"x\"}", "{\"mode\":\"Merge\",\"data\":{}}",
        "{\"mode\":\"\",\"data\":{}}", "{\"mode\":7,\"data\":{}}",
        "{\"data\":{\"a\":{}}}", "{\"data\":{\"a\":[\"b\"]}}",
        "{\"data\":{\"\":\"v\"}}", "{\"data\":{\"a\\u0000\":\"v\"}}",
        "{\"data\":{\"\xff\":\"v\"}}", "{\"data\":{\"\\ud800\":\"v\"}}",
        "{\"data\":{\"a\nb\":\"v\"}}", "{\"data\":{\"\\u007f\":\"v\"}}",
        "{\"mode\":\"remove\",\"data\":{\"a\\u0000\":\"v\"}}",
        "{\"data\":{1:\"v\"}}",
    };

    (void) state;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        if (config_data_status(bodies[i], strlen(bodies[i])) != GB_ERROR) {
            fail_msg("taken: %s", bodies[i]);
        }
    }
}


/* {"data":{"KKK...":"VVV..."}} of two-byte characters */

static int
one_attribute(int keys, int values)
{
    int     i;
    char    body[2048];
    size_t  n;

    n = (size_t) sprintf(body, "{\"data\":{\"");

    for (i = 0; i < keys; i++) {
        n += (size_t) sprintf(body + n, "\xc3\xa4");
    }

    n += (size_t) sprintf(body + n, "\":\"");

    for (i = 0; i < values; i++) {
        n += (size_t) sprintf(body + n, "\xc3\xb6");
    }

    n += (size_t) sprintf(body + n, "\"}}");

    return config_data_status(body, n);
}


static int
attributes(int count)
{
    int     i;
    char    body[4096];
    size_t  n;

    n = (size_t) sprintf(body, "{\"data\":{");

    for (i = 0; i < count; i++) {
        n += (size_t) sprintf(body + n, "%s\"k%d\":\"v\"", i ? "," : "", i);
    }

    n += (size_t) sprintf(body + n, "}}");

    return config_data_status(body, n);
}


static void
test_config_data_quota(void **state)
{
    (void) state;

    assert_int_equal(one_attribute(128, 255), GB_OK);
    assert_int_equal(one_attribute(129, 255), GB_ERROR);
    assert_int_equal(one_attribute(128, 256), GB_ERROR);

    assert_int_equal(attributes(100), GB_OK);
    assert_int_equal(attributes(101), GB_QUOTA);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_lenient),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_config_data),
        cmocka_unit_test(test_config_data_refused),
        cmocka_unit_test(test_config_data_quota),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
