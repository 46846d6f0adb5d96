#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gb_s3.h"


#define DAY       1369353600            /* 2013-05-24T00:00:00Z */
#define EMPTY     "e3b0c44298fc1c149afbf4c8996fb924" \
                  "27ae41e4649b934ca495991b7852b855"
#define ABC_REST  "7816bf8f01cfea414140de5dae2223" \
                  "b00361a396177a9cb410ff61f20015ad"
#define ABC       "ba" ABC_REST
#define ABC_PATH  "ba/" ABC_REST


/* the bucket and the keys of Amazon's examples, of which none is real */

static const gb_s3_place_t  amazon = {
    NULL, "examplebucket", "us-east-1", "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
};


static gb_s3_t
s3_place(const char *endpoint, const char *bucket)
{
    gb_s3_t        s3;
    gb_error_t     err;
    gb_s3_place_t  place;

    place = amazon;
    place.endpoint_url = endpoint;
    place.bucket = bucket;

    assert_int_equal(gb_s3_init(&s3, &place, &err), GB_OK);

    return s3;
}


/* in Amazon's examples the host has no region */

static gb_s3_t
s3_example(gb_s3_key_t *key)
{
    gb_s3_t  s3;

    s3 = s3_place(NULL, "examplebucket");
    strcpy(s3.host, "examplebucket.s3.amazonaws.com");

    memset(key, 0, sizeof(gb_s3_key_t));
    assert_int_equal(gb_s3_key(&s3, key, DAY), GB_OK);

    return s3;
}


static void
test_published_requests(void **state)
{
    int          n;
    char         buf[GB_S3_AUTHORIZATION], want[GB_S3_AUTHORIZATION];
    size_t       i;
    gb_s3_t      s3;
    gb_s3_key_t  key;

    /*
     * S3 API reference, "Signature Calculations for the Authorization Header:
     * Transferring Payload in a Single Chunk": GET Bucket Lifecycle and GET
     * Bucket (List Objects), which sign the three headers that we sign.
     */

    const struct {
        const char  *query;
        const char  *signature;
    } t[] = {
        { "lifecycle=",
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
        { "max-keys=2&prefix=J",
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" }
    };

    (void) state;

    s3 = s3_example(&key);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        gb_s3_request_t  r = { "GET", "/", t[i].query, EMPTY, DAY };

        n = gb_s3_authorization(&s3, &key, &r, buf, sizeof(buf));

        snprintf(want, sizeof(want), "AWS4-HMAC-SHA256 Credential="
                 "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                 "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
                 "Signature=%s", t[i].signature);

        assert_string_equal(buf, want);
        assert_int_equal(n, strlen(want));
    }
}


static void
test_published_signatures(void **state)
{
    char         hex[65];
    gb_s3_t      s3;
    gb_s3_key_t  key;

    (void) state;

    s3 = s3_example(&key);

    /* the same page: GET Object, with a Range header that is signed */

    assert_int_equal(gb_s3_signature(&s3, &key, DAY,
        "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\n"
        "range:bytes=0-9\nx-amz-content-sha256:" EMPTY "\n"
        "x-amz-date:20130524T000000Z\n\n"
        "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY, hex), GB_OK);
    assert_string_equal(hex, "f0e8bdb87c964420e857bd35b5d6ed31"
                             "0bd44f0170aba48dd91039c6036bdb41");

    /* PUT Object */

    assert_int_equal(gb_s3_signature(&s3, &key, DAY,
        "PUT\n/test%24file.text\n\ndate:Fri, 24 May 2013 00:00:00 GMT\n"
        "host:examplebucket.s3.amazonaws.com\nx-amz-content-sha256:"
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n"
        "x-amz-date:20130524T000000Z\n"
        "x-amz-storage-class:REDUCED_REDUNDANCY\n\n"
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class\n"
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        hex), GB_OK);
    assert_string_equal(hex, "98ad721746da40c64f1a55b78f14c238"
                             "d841ea1380cd77a1b5971af0ece108bd");
}


static void
test_published_presigned(void **state)
{
    int              n;
    char             buf[GB_S3_URL];
    gb_s3_t          s3;
    gb_s3_key_t      key;
    gb_s3_request_t  r = { "GET", "/test.txt", NULL, NULL, DAY };

    static const char  want[] =
        "https://examplebucket.s3.amazonaws.com/test.txt"
        "?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3"
        "%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

    (void) state;

    /* S3 API reference, "Authenticating Requests: Using Query Parameters" */

    s3 = s3_example(&key);
    n = gb_s3_presign(&s3, &key, &r, 86400, buf, sizeof(buf));

    assert_string_equal(buf, want);
    assert_int_equal(n, sizeof(want) - 1);

    /* more parameters are signed, too: another signature behind them */

    r.query = "response-content-type=a%2Fb";
    assert_true(gb_s3_presign(&s3, &key, &r, 86400, buf, sizeof(buf)) > 0);
    assert_non_null(strstr(buf, "&X-Amz-SignedHeaders=host"
                                "&response-content-type=a%2Fb"
                                "&X-Amz-Signature="));
    assert_null(strstr(buf, "aeeed9bb"));

    /* a second to a week */

    r.query = NULL;
    assert_int_equal(gb_s3_presign(&s3, &key, &r, 0, buf, sizeof(buf)), -1);
    assert_true(gb_s3_presign(&s3, &key, &r, 1, buf, sizeof(buf)) > 0);
    assert_true(gb_s3_presign(&s3, &key, &r, 604800, buf, sizeof(buf)) > 0);
    assert_int_equal(gb_s3_presign(&s3, &key, &r, 604801, buf, sizeof(buf)),
                     -1);
    assert_int_equal(gb_s3_presign(&s3, &key, &r, 86400, buf, sizeof(want) - 1),
                     -1);
    assert_int_equal(gb_s3_presign(&s3, &key, &r, 86400, buf, sizeof(want)),
                     sizeof(want) - 1);
}


static void
test_key(void **state)
{
    char         hex[65], date[GB_S3_DATE];
    gb_s3_t      s3;
    gb_s3_key_t  key, other;

    (void) state;

    s3 = s3_example(&key);
    assert_string_equal(key.day, "20130524");

    /* until the last second of its day it is left alone */

    other = key;
    other.bytes[0] ^= 1;
    assert_int_equal(gb_s3_key(&s3, &other, DAY + 86399), GB_OK);
    assert_int_equal(other.bytes[0], key.bytes[0] ^ 1);

    assert_int_equal(gb_s3_key(&s3, &other, DAY + 86400), GB_OK);
    assert_string_equal(other.day, "20130525");
    assert_memory_not_equal(other.bytes, key.bytes, sizeof(key.bytes));

    /* and it signs on no other day */

    assert_int_equal(gb_s3_signature(&s3, &key, DAY + 86399, "x", hex), GB_OK);
    assert_int_equal(gb_s3_signature(&s3, &key, DAY + 86400, "x", hex),
                     GB_ERROR);
    assert_int_equal(gb_s3_signature(&s3, &key, DAY - 1, "x", hex), GB_ERROR);

    memset(&other, 0, sizeof(other));
    assert_int_equal(gb_s3_signature(&s3, &other, DAY, "x", hex), GB_ERROR);

    gb_s3_date(DAY + 3723, date);
    assert_string_equal(date, "20130524T010203Z");

    gb_s3_date((time_t) 1 << 60, date);
    assert_string_equal(date, "");
    assert_int_equal(gb_s3_key(&s3, &key, (time_t) 1 << 60), GB_ERROR);
}


static void
test_places(void **state)
{
    size_t   i;
    gb_s3_t  s3;

    const struct {
        const char  *endpoint;
        const char  *bucket;
        const char  *host;
        const char  *path;
        bool         tls;
    } t[] = {
        { NULL, "b", "b.s3.us-east-1.amazonaws.com", "/", true },
        { "", "b", "b.s3.us-east-1.amazonaws.com", "/", true },
        { NULL, "a.b", "s3.us-east-1.amazonaws.com", "/a.b/", true },
        { NULL, "Old", "s3.us-east-1.amazonaws.com", "/Old/", true },
        { "http://127.0.0.1:7070", "b", "127.0.0.1:7070", "/b/", false },
        { "http://[::1]:7070/", "b", "[::1]:7070", "/b/", false },
        { "http://s:80", "b", "s", "/b/", false },
        { "http://s:443", "b", "s:443", "/b/", false },
        { "HTTPS://s:443/", "b", "s", "/b/", true },
        { "https://s:80", "b", "s:80", "/b/", true },
        { "https://s/gateway//", "b", "s", "/gateway/b/", true },
        { "https://b.s3.eu.example.com", "b", "b.s3.eu.example.com", "/",
          true },
        { "https://b.s3.eu.example.com", "c", "b.s3.eu.example.com", "/c/",
          true },
        { "https://b.example.com", "b", "b.example.com", "/b/", true },
        { "https://s3.example.com", "s3", "s3.example.com", "/s3/", true },
        { "http://s", "a+b", "s", "/a%2Bb/", false },
    };

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        s3 = s3_place(t[i].endpoint, t[i].bucket);

        assert_string_equal(s3.host, t[i].host);
        assert_string_equal(s3.path, t[i].path);
        assert_int_equal(s3.tls, t[i].tls);
    }
}


static void
test_region_of_china(void **state)
{
    gb_s3_t        s3;
    gb_error_t     err;
    gb_s3_place_t  place;

    (void) state;

    place = amazon;
    place.region = "cn-north-1";

    assert_int_equal(gb_s3_init(&s3, &place, &err), GB_OK);
    assert_string_equal(s3.host,
                        "examplebucket.s3.cn-north-1.amazonaws.com.cn");
}


static void
test_refused(void **state)
{
    char           longest[2000];
    size_t         i;
    gb_s3_t        s3;
    gb_error_t     err;

    const struct {
        gb_s3_place_t   place;
        const char     *word;
    } t[] = {
        { { NULL, NULL, "r", "i", "s" }, "bucket is not set" },
        { { NULL, "", "r", "i", "s" }, "bucket is not set" },
        { { NULL, "b", "r", NULL, "s" }, "access_key_id is not set" },
        { { NULL, "b", "r", "i", NULL }, "secret_access_key is not set" },
        { { NULL, "b", NULL, "i", "s" }, "region is not set" },
        { { NULL, "a/b", "r", "i", "s" }, "bucket is too long or" },
        { { NULL, "..", "r", "i", "s" }, "bucket starts with a dot" },
        { { NULL, "b\xc3\xbc", "r", "i", "s" }, "bucket is too long or" },
        { { NULL, "b", "r/s", "i", "s" }, "region is too long or" },
        { { NULL, "b", "r\n", "i", "s" }, "region is too long or" },
        { { NULL, "b", "r", "i,j", "s" }, "access_key_id is too long or" },
        { { NULL, "b", "r", "i", "gehe im" }, "secret_access_key is too" },
        { { NULL, longest, "r", "i", "s" }, "bucket is too long or" },
        { { longest, "b", "r", "i", "s" }, "endpoint_url is" },
        { { "ftp://s", "b", "r", "i", "s" }, "is not an http" },
        { { "http://", "b", "r", "i", "s" }, "is more than" },
        { { "http://:80", "b", "r", "i", "s" }, "is more than" },
        { { "http://u:gehe@s", "b", "r", "i", "s" }, "is more than" },
        { { "http://s?a=gehe", "b", "r", "i", "s" }, "is more than" },
        { { "http://s/%20", "b", "r", "i", "s" }, "is more than" },
        { { "http://s/a b", "b", "r", "i", "s" }, "is more than" },
        { { "http://s\r\nA: b", "b", "r", "i", "s" }, "is more than" },
    };

    (void) state;

    memset(longest, 'a', sizeof(longest) - 1);
    memcpy(longest, "http://", 7);
    longest[sizeof(longest) - 1] = '\0';

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_int_equal(gb_s3_init(&s3, &t[i].place, &err), GB_ERROR);

        if (strstr(err.message, t[i].word) == NULL
            || strstr(err.message, "gehe") != NULL)
        {
            fail_msg("%s", err.message);
        }
    }
}


static void
test_objects(void **state)
{
    int      n;
    char     buf[GB_S3_URI], name[256];
    gb_s3_t  s3;

    static const char  want[] = "/b/" ABC_PATH "/a%20b%2B%25%C3%A9~.swu";

    (void) state;

    s3 = s3_place("http://s", "b");

    n = gb_s3_object(&s3, ABC, "a b+%\xc3\xa9~.swu", buf, sizeof(buf));
    assert_string_equal(buf, want);
    assert_int_equal(n, sizeof(want) - 1);

    assert_int_equal(gb_s3_object(&s3, ABC, "a b+%\xc3\xa9~.swu", buf,
                                  sizeof(want)), sizeof(want) - 1);
    assert_int_equal(gb_s3_object(&s3, ABC, "a b+%\xc3\xa9~.swu", buf,
                                  sizeof(want) - 1), -1);
    assert_int_equal(gb_s3_object(&s3, ABC, "x", buf, 2), -1);

    s3 = s3_place(NULL, "b");
    assert_int_equal(gb_s3_object(&s3, ABC, "x", buf, sizeof(buf)), 68);
    assert_string_equal(buf, "/" ABC_PATH "/x");

    /* the longest name there is, all of it encoded */

    memset(name, '+', 255);
    name[255] = '\0';
    assert_int_equal(gb_s3_object(&s3, ABC, name, buf, sizeof(buf)),
                     67 + 3 * 255);

    assert_int_equal(gb_s3_object(&s3, "../x", "x", buf, sizeof(buf)), -1);
    assert_int_equal(gb_s3_object(&s3, ABC, "..", buf, sizeof(buf)), -1);
    assert_int_equal(gb_s3_object(&s3, ABC, "a/b", buf, sizeof(buf)), -1);
}


static void
test_encode(void **state)
{
    char  buf[16];

    (void) state;

    assert_int_equal(gb_s3_encode("AZaz09-._~", false, buf, sizeof(buf)), 10);
    assert_string_equal(buf, "AZaz09-._~");

    assert_int_equal(gb_s3_encode("/a", true, buf, sizeof(buf)), 2);
    assert_string_equal(buf, "/a");
    assert_int_equal(gb_s3_encode("/a", false, buf, sizeof(buf)), 4);
    assert_string_equal(buf, "%2Fa");
    assert_int_equal(gb_s3_encode("/a", false, buf, 5), 4);
    assert_int_equal(gb_s3_encode("/a", false, buf, 4), -1);

    assert_int_equal(gb_s3_encode("=&\xff\x01", false, buf, sizeof(buf)), 12);
    assert_string_equal(buf, "%3D%26%FF%01");

    assert_int_equal(gb_s3_encode("", false, buf, 1), 0);
    assert_int_equal(gb_s3_encode("", false, buf, 0), -1);
}


/* A signature is never made of something that was cut. */

static void
test_too_long(void **state)
{
    char            *text, buf[GB_S3_AUTHORIZATION];
    gb_s3_t          s3;
    gb_s3_key_t      key;
    gb_s3_request_t  r = { "GET", "/", NULL, NULL, DAY };

    (void) state;

    s3 = s3_example(&key);

    assert_int_equal(gb_s3_authorization(&s3, &key, &r, buf, 100), -1);

    text = malloc(100000);
    assert_non_null(text);
    memset(text, 'a', 99999);
    text[99999] = '\0';

    r.query = text;
    assert_int_equal(gb_s3_authorization(&s3, &key, &r, buf, sizeof(buf)), -1);
    assert_int_equal(gb_s3_presign(&s3, &key, &r, 1, buf, sizeof(buf)), -1);

    free(text);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_published_requests),
        cmocka_unit_test(test_published_signatures),
        cmocka_unit_test(test_published_presigned),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_region_of_china),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_too_long),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("s3", tests, NULL, NULL);
}
