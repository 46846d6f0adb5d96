#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "gb_image.h"
#include "gb_swu.h"


#define GOOD  "software = { version = \"1.0\"; }"


/* An archive under construction; "kind" is '1' (newc) or '2' (crc). */

typedef struct {
    char     kind;
    size_t   len;
    char     data[256 * 1024];
} cpio_t;


static void
cpio_pad(cpio_t *c)
{
    while (c->len % 4 != 0) {
        c->data[c->len++] = '\0';
    }
}


static size_t
cpio_add(cpio_t *c, const char *name, const void *data, size_t len)
{
    size_t         i, at;
    unsigned       sum;

    for (i = 0, sum = 0; i < len; i++) {
        sum += ((const unsigned char *) data)[i];
    }

    at = c->len;

    assert_true(at + len + strlen(name) + 128 < sizeof(c->data));

    c->len += (size_t) sprintf(c->data + at, "07070%c%08X%08X%08X%08X%08X%08X"
                               "%08zX%08X%08X%08X%08X%08zX%08X%s", c->kind,
                               (unsigned) at, 0100644, 0, 0, 1, 0, len, 0, 0,
                               0, 0, strlen(name) + 1,
                               c->kind == '2' ? sum : 0, name)
              + 1;
    cpio_pad(c);

    memcpy(c->data + c->len, data, len);
    c->len += len;
    cpio_pad(c);

    return at;
}


static cpio_t *
cpio_new(char kind, const char *description)
{
    static cpio_t  c;

    memset(&c, 0, sizeof(cpio_t));
    c.kind = kind;

    if (description != NULL) {
        (void) cpio_add(&c, "sw-description", description,
                        strlen(description));
    }

    return &c;
}


static gb_image_t *
parse(const void *data, size_t len, gb_error_t *err)
{
    int          fd;
    gb_image_t  *image;

    gb_error_clear(err);

    fd = fixture_memfd(data, len);
    image = gb_image_parse_fd(fd, "a.swu", NULL, err);
    close(fd);

    if (image == NULL) {
        fixture_check_line(err->message);
        assert_int_equal(strncmp(err->message, "a.swu: ", 7), 0);
    }

    return image;
}


static void
refused(const void *data, size_t len, const char *why)
{
    gb_error_t   err;

    assert_null(parse(data, len, &err));

    if (strstr(err.message, why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, why);
    }
}


/* version | name | model,revision ... or the error, of a description alone */

static void
describe(const char *text, size_t len, char *out, size_t size)
{
    size_t        i, n;
    gb_error_t    err;
    gb_image_t   *image;

    gb_error_clear(&err);

    image = gb_image_new(GB_IMAGE_SWU, &err);
    assert_non_null(image);

    if (gb_swu_parse_description(image, text, len, &err) != GB_OK) {
        fixture_check_line(err.message);
        (void) snprintf(out, size, "%s", err.message);
        gb_image_free(image);
        return;
    }

    n = (size_t) snprintf(out, size, "%s|%s", image->version,
                          image->name != NULL ? image->name : "");

    for (i = 0; i < image->nhardware; i++) {
        n += (size_t) snprintf(out + n, size - n, "|%s,%s",
                               image->hardware[i].model,
                               image->hardware[i].revision);
    }

    gb_image_free(image);
}


static void
test_descriptions(void **state)
{
    char    out[1024];
    size_t  i;

    static const struct {
        const char  *text;
        const char  *expect;
    } cases[] = {
        { GOOD, "1.0||default,default" },
        { "software: { version: \"1\"; name: \"os\"; };",
          "1|os|default,default" },
        { "{\"software\": {\"version\": \"1\", \"name\": \"os\"}}",
          "1|os|default,default" },

        /* every depth, in order; a pair stands once */
        { "software = { version = \"2\"; hardware-compatibility: [\"a\"];"
          " b = { hardware-compatibility: [\"1.0\", \"#RE:^2[.]\", \"1.0\"];"
          "  stable = { hardware-compatibility: (\"3\");"
          "   main = { hardware-compatibility: [\"4\"];"
          "    deeper = { hardware-compatibility: [\"5\"]; }; }; }; }; };",
          "2||default,a|b,1.0|b,#RE:^2[.]|b,3|b,4" },
        { "{\"software\": {\"version\": \"2\", \"a.b c\": {"
          "\"hardware-compatibility\": [\"1\", \"\"]}}}", "2||a.b c,1" },

        /* links: beside, above, from the root; in circles and to nowhere */
        { "software = { version = \"1\"; common = {"
          " hardware-compatibility = [\"7\"]; }; b = { ref = \"#./common\"; };"
          " };", "1||common,7|b,7" },
        { "software = { version = \"1\"; b = { s = { m = {"
          " ref = \"#../../c\"; }; }; }; c = {"
          " hardware-compatibility = [\"7\"]; }; };", "1||b,7|c,7" },
        { "x = { hardware-compatibility = [\"8\"]; }; software = {"
          " version = \"1\"; b = { ref = \"#x\"; }; };", "1||b,8" },
        { "{\"software\": {\"version\": \"1\", \"b\": {\"ref\": \"#./c\"},"
          " \"c\": {\"ref\": \"#./b\"}, \"d\": {\"ref\": \"#./gone\"},"
          " \"e\": {\"ref\": \"#../../../x\"}, \"f\": {\"ref\": \"x\"}}}",
          "1||default,default" },

        /* comments and strings that look like what is refused */
        { "# @include \"x\"\n// @include\n/* \n@include \"x\" */\n"
          "software = { version = \"1 @include { { \\\" \"; };",
          "1 @include { { \" ||default,default" },

        { "", "sw-description is empty" },
        { " \r\n\t", "sw-description is empty" },
        { "software", "line 1: syntax error" },
        { "software = { version = \"1\"", "line 1: syntax error" },
        { "software = { version = \"1", "ends within a string" },
        { "software = { version = \"1\\", "ends within a string" },
        { "{\"software\": {", "line 1: " },
        { "{\"software\": 1}", "has no \"software\" section" },
        { "version = \"1\";", "has no \"software\" section" },
        { "software = ( \"1\" );", "has no \"software\" section" },
        { "software = { };", "the version is missing" },
        { "software = { version = 1.0; };", "the version is not a string" },
        { "{\"software\": {\"version\": null}}", "version is not a string" },
        { "software = { version = \"\"; };", "the version is empty" },
        { "software = { version = \"a\\nb\"; };", "a control character" },
        { "software = { version = \"\\xff\"; };", "the version is not a" },
        { "software = { version = \"1\"; hardware-compatibility = \"1\"; };",
          "hardware-compatibility of \"default\" is not a list" },
        { "software = { version = \"1\"; b = {"
          " hardware-compatibility = [ 1, 2 ]; }; };",
          "hardware-compatibility of \"b\" holds something" },
        { "@include \"/etc/passwd\"\n" GOOD, "includes another file" },
        { GOOD "\n \t@include \"x\"", "includes another file" },
        { "software = { version = \"1\"; version = \"2\"; };",
          "duplicate setting name" },
        { "software = { version = \"\xff\"; };", "not text in UTF-8" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        describe(cases[i].text, strlen(cases[i].text), out, sizeof(out));

        if (strstr(out, cases[i].expect) == NULL
            || (strchr(cases[i].expect, '|') != NULL
                && strcmp(out, cases[i].expect) != 0))
        {
            fail_msg("%s\ngives \"%s\", not \"%s\"", cases[i].text, out,
                     cases[i].expect);
        }
    }

    describe(GOOD "\0 ", sizeof(GOOD) + 1, out, sizeof(out));
    assert_non_null(strstr(out, "not text"));
}


/* What would cost minutes or the stack is refused at once. */

static void
test_bombs(void **state)
{
    char    *text, out[512];
    size_t   i, n;

    (void) state;

    text = malloc(2 * 1024 * 1024);
    assert_non_null(text);

    for (i = 0, n = 0; i < 60000; i++) {
        n += (size_t) sprintf(text + n, "a%zu=1;", i);
    }

    describe(text, n, out, sizeof(out));
    assert_non_null(strstr(out, "too many settings"));

    for (i = 0, n = 0; i < 200000; i++) {
        n += (size_t) sprintf(text + n, "a={");
    }

    describe(text, n, out, sizeof(out));
    assert_non_null(strstr(out, "too many"));

    memset(text, '[', 500000);
    memcpy(text, "{\"software\":", 12);
    describe(text, 500000, out, sizeof(out));
    assert_non_null(strstr(out, "line 1"));

    /* sections that link to each other multiply */

    n = (size_t) sprintf(text, "{\"software\": {\"version\": \"1\"");

    for (i = 0; i < 300; i++) {
        n += (size_t) sprintf(text + n, ", \"b%zu\": {\"ref\": \"#software\"}",
                              i);
    }

    n += (size_t) sprintf(text + n, "}}");
    describe(text, n, out, sizeof(out));
    assert_non_null(strstr(out, "too many sections"));

    /* more hardware than is kept */

    n = (size_t) sprintf(text, "software = { version = \"1\"; "
                         "hardware-compatibility = [ \"x\"");

    for (i = 0; i < 5000; i++) {
        n += (size_t) sprintf(text + n, ", \"%zu\"", i);
    }

    n += (size_t) sprintf(text + n, "]; };");
    describe(text, n, out, sizeof(out));
    assert_non_null(strstr(out, "more than 1024"));

    free(text);
}


static void
test_real(void **state)
{
    char            path[256];
    size_t          i;
    json_t         *facts;
    gb_error_t      err;
    gb_image_t     *image;

    static const char  *const made[] = {
        "newc libconfig", "newc json", "crc libconfig", "crc json",
    };

    (void) state;

    fixture_run("$F/make-key key");

    for (i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        fixture_run("set -- %s; $F/make-swu -o real.img -k key -f $1 -x $2"
                    " -V 1.2.3 -n os -H board:1.0,1.1 -H other:'#RE:^2'",
                    made[i]);

        (void) snprintf(path, sizeof(path), "%s/real.img", fixture_dir());
        image = gb_image_parse(path, NULL, &err);
        assert_non_null(image);

        assert_int_equal(image->format, GB_IMAGE_SWU);
        assert_string_equal(gb_image_format_name(image->format), "swu");
        assert_string_equal(image->version, "1.2.3");
        assert_string_equal(image->name, "os");
        assert_int_equal(image->nhardware, 3);
        assert_string_equal(image->hardware[2].revision, "#RE:^2");

        facts = json_object_get(image->facts, "signature");
        assert_true(json_is_true(json_object_get(facts, "present")));
        assert_string_equal(json_string_value(json_object_get(facts,
                                                              "subject")),
                            "CN=Goosebit test signer,O=Goosebit");

        facts = json_object_get(image->facts, "images");
        assert_int_equal(json_array_size(facts), 2);
        facts = json_array_get(facts, 0);
        assert_int_equal(json_integer_value(json_object_get(facts, "size")),
                         4096);
        gb_image_free(image);
    }

    /*
     * Debian's own swupdate takes what the fixture makes.  One at a time on a
     * machine: their notifications share an abstract socket.  Several tries,
     * since its exit code after a success is sometimes 1 on a busy machine.
     */

    fixture_run("for try in 1 2 3 4 5; do "
                "flock $(command -v swupdate) swupdate -c -i real.img "
                "-k key/cert.pem -H board:1.1 -B none -M > log 2>&1 && exit 0; "
                "done; cat log; exit 1");
}


/* Cut anywhere, or with any byte changed: one line or an image, no crash. */

static void
test_damaged(void **state)
{
    size_t           i, end, len;
    gb_error_t       err;
    gb_image_t      *image;
    unsigned char   *data;

    (void) state;

    fixture_run("$F/make-key key; $F/make-swu -o cut.swu -k key -f crc");
    data = fixture_load("cut.swu", &len);

    for (end = len; memcmp(data + end - 10, "TRAILER!!!", 10) != 0; end--) {
        /* void */
    }

    for (i = 0; i < end; i += (i % 128 < 16 ? 1 : 7)) {
        refused(data, i, i == 0 ? "empty file" : i < 4 ? "neither" : "");
    }

    image = parse(data, len, &err);
    assert_non_null(image);
    gb_image_free(image);

    for (i = 0; i < len; i += 3) {
        data[i] ^= 0x55;
        image = parse(data, len, &err);
        gb_image_free(image);
        data[i] ^= 0x55;
    }

    free(data);
}


static void
test_archives(void **state)
{
    char     *big, *at;
    size_t    pos;
    cpio_t   *c;

    (void) state;

    /* the order of members */

    c = cpio_new('1', NULL);
    (void) cpio_add(c, "firmware.img", "x", 1);
    (void) cpio_add(c, "sw-description", GOOD, strlen(GOOD));
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    refused(c->data, c->len, "first member is \"firmware.img\", not");

    c = cpio_new('1', NULL);
    (void) cpio_add(c, "./sw-description", GOOD, strlen(GOOD));
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    refused(c->data, c->len, "first member is \"./sw-description\"");

    c = cpio_new('1', NULL);
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    refused(c->data, c->len, "without members");

    c = cpio_new('1', "");
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    refused(c->data, c->len, "sw-description is empty");

    /* no end, garbage between members, a mixture, a bad header */

    c = cpio_new('1', GOOD);
    refused(c->data, c->len, "truncated");

    memcpy(c->data + c->len, "garbage!", 8);
    c->len += 8;
    (void) cpio_add(c, "a", "x", 1);
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    refused(c->data, c->len, ": no cpio header");

    c = cpio_new('1', GOOD);
    c->kind = '2';
    (void) cpio_add(c, "a", "x", 1);
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    refused(c->data, c->len, ": no cpio header");

    c = cpio_new('1', GOOD);
    pos = cpio_add(c, "a", "x", 1);
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    memcpy(c->data + pos + 54, "FFFFFFF0", 8);
    refused(c->data, c->len, "truncated within \"a\", which has 4294967280");

    memcpy(c->data + pos + 54, "0000000G", 8);
    refused(c->data, c->len, "damaged");

    memcpy(c->data + pos + 54, "00000001", 8);
    memcpy(c->data + pos + 94, "FFFFFFFF", 8);
    refused(c->data, c->len, ": no cpio header");

    memcpy(c->data + pos + 94, "00000000", 8);
    refused(c->data, c->len, ": no cpio header");

    /* a description larger than is read */

    c = cpio_new('1', GOOD);
    memcpy(c->data + 54, "00100001", 8);
    big = calloc(1, 2 * 1024 * 1024);
    assert_non_null(big);
    memcpy(big, c->data, c->len);
    refused(big, 2 * 1024 * 1024, "1048577 bytes, more than");
    free(big);

    /* check sums */

    c = cpio_new('2', GOOD);
    at = strstr(c->data + 128, "1.0");
    assert_non_null(at);
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    *at = '2';
    refused(c->data, c->len, "check sum of \"sw-description\" is wrong");

    c = cpio_new('2', GOOD);
    pos = cpio_add(c, "a", "payload", 7);
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    c->data[pos + 112] ^= 1;
    refused(c->data, c->len, "check sum of \"a\" is wrong");

    c = cpio_new('1', "software = { version = \"1\"; images: ( { filename = "
                 "\"a\"; sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a39"
                 "6177a9cb410ff61f20015ad\"; } ); };");
    (void) cpio_add(c, "a", "abd", 3);
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    refused(c->data, c->len, "\"a\" is damaged: its SHA-256");
}


static void
test_other_kinds(void **state)
{
    size_t          i, len;
    unsigned char  *data;

    static const char  *const kinds[] = { "odc", "bin", "hpodc" };

    (void) state;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        fixture_run("echo '" GOOD "' > sw-description; echo sw-description "
                    "| cpio --quiet -o -H %s > other.swu", kinds[i]);
        data = fixture_load("other.swu", &len);
        refused(data, len, "SWUpdate does not read");
        free(data);
    }

    fixture_run("echo sw-description | cpio --quiet -o -H newc | gzip "
                "> other.swu");
    data = fixture_load("other.swu", &len);
    refused(data, len, "neither a SWUpdate image");
    free(data);
}


/* What is accepted although it is unusual. */

static void
test_unusual(void **state)
{
    cpio_t      *c;
    gb_error_t   err;
    gb_image_t  *image;

    (void) state;

    /* a signature that is no CMS (SWUpdate's RSA), a file that is missing */

    c = cpio_new('1', "software = { version = \"1\"; images: ( { filename = "
                 "\"gone\"; } ); };");
    (void) cpio_add(c, "sw-description.sig", "rsa", 3);
    (void) cpio_add(c, "unused", "x", 1);
    (void) cpio_add(c, "TRAILER!!!", "", 0);
    memcpy(c->data + c->len, "trailing garbage", 16);
    c->len += 16;

    image = parse(c->data, c->len, &err);
    assert_non_null(image);
    assert_true(json_is_true(json_object_get(json_object_get(image->facts,
                                                             "signature"),
                                             "present")));
    assert_true(json_is_null(json_object_get(
                    json_array_get(json_object_get(image->facts, "images"), 0),
                    "size")));
    gb_image_free(image);

    /* the digest of an encrypted file may be that of the clear one */

    c = cpio_new('1', "software = { version = \"1\"; images: ( { filename = "
                 "\"a\"; encrypted = true; sha256 = \"ba7816bf8f01cfea414140"
                 "de5dae2223b00361a396177a9cb410ff61f20015ad\"; } ); };");
    (void) cpio_add(c, "a", "cipher", 6);
    (void) cpio_add(c, "TRAILER!!!", "", 0);

    image = parse(c->data, c->len, &err);
    assert_non_null(image);
    gb_image_free(image);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_archives),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_unusual),
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_damaged),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("swu", tests, NULL, NULL);
}
