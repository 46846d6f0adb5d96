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
#include "gb_rauc.h"


#define UPDATE  "[update]\ncompatible=b\nversion=1\n"


static gb_image_t *
parse(const void *data, size_t len, gb_error_t *err)
{
    int          fd;
    gb_image_t  *image;

    gb_error_clear(err);

    fd = fixture_memfd(data, len);
    image = gb_image_parse_fd(fd, "a.raucb", NULL, err);
    close(fd);

    if (image == NULL) {
        fixture_check_line(err->message);
        assert_int_equal(strncmp(err->message, "a.raucb: ", 9), 0);
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


static const char *
fact(gb_image_t *image, const char *key)
{
    return json_string_value(json_object_get(image->facts, key));
}


static void
test_compatible(void **state)
{
    size_t               i;
    gb_error_t           err;
    gb_image_t          *image;
    gb_image_options_t   opt;

    static const struct {
        const char  *pattern;
        const char  *compatible;
        const char  *model;
        const char  *revision;
    } cases[] = {
        { NULL, "my-board-rev4.2", "my-board", "rev4.2" },
        { NULL, "Some Board 2b", "Some Board", "2b" },
        { NULL, "raspberrypi4", "raspberrypi4", "default" },
        { NULL, "raspberrypi4-64", "raspberrypi4", "64" },
        { NULL, "board-r2", "board", "r2" },
        { NULL, "board v1.2-rc", "board v1.2-rc", "default" },
        { NULL, "board-v1", "board", "v1" },
        { NULL, "board-rev", "board-rev", "default" },
        { NULL, "board-v", "board-v", "default" },
        { NULL, "board-x1", "board-x1", "default" },
        { NULL, "board-", "board-", "default" },
        { NULL, "-1", "-1", "default" },
        { NULL, " r1", " r1", "default" },
        { NULL, "1", "1", "default" },
        { NULL, "Demo Board", "Demo Board", "default" },
        { NULL, "gr\xc3\xbcn-1", "gr\xc3\xbcn", "1" },
        { "", "board-1", "board", "1" },

        /* gooseBit 0.2.9's own, which splits raspberrypi4 as well */
        { "^(?P<hw_model>.+?)[- ]?(?P<hw_revision>\\w*[\\d.]+\\w*)?$",
          "my-board-rev4.2", "my-board", "rev4.2" },
        { "^(?P<hw_model>.+?)[- ]?(?P<hw_revision>\\w*[\\d.]+\\w*)?$",
          "Demo Board", "Demo Board", "default" },
        { "(?P<hw_model>[a-z]+)", "board-7", "board", "default" },
        { "(?<hw_model>[a-z]+)-(?<hw_revision>.*)", "board-", "board",
          "default" },
        { "x(?<hw_model>.*)", "board-x1", "board-x1", "default" },

        { "(?P<hw_revision>.*)", "b", NULL, "no group hw_model" },
        { "(", "b", NULL, "rauc_compatible_pattern, character 2: " },
        { "(?<hw_model>(a+)+)$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
          NULL, "too costly" },
        { NULL, "", NULL, "hardware model is empty" },
        { NULL, "a\tb", NULL, "control character" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        image = gb_image_new(GB_IMAGE_RAUC, &err);
        assert_non_null(image);
        opt.rauc_pattern = cases[i].pattern;

        if (gb_rauc_add_compatible(image, cases[i].compatible, &opt, &err)
            != GB_OK)
        {
            assert_null(cases[i].model);
            assert_non_null(strstr(err.message, cases[i].revision));

        } else {
            assert_non_null(cases[i].model);
            assert_int_equal(image->nhardware, 1);
            assert_string_equal(image->hardware[0].model, cases[i].model);
            assert_string_equal(image->hardware[0].revision,
                                cases[i].revision);
        }

        gb_image_free(image);
    }
}


static void
test_manifests(void **state)
{
    int          rc;
    size_t       i;
    gb_error_t   err;
    gb_image_t  *image;

    static const struct {
        const char  *text;
        const char  *expect;
    } cases[] = {
        { UPDATE, NULL },
        { "# c\n\n  [update]  \r\n compatible = b \r\nversion =1\r\n", NULL },
        { UPDATE "[hooks]\nfilename=x\n[future]\nunknown=1\n[update]\n", NULL },
        { UPDATE "description[de]=x\n", NULL },
        { "[update]\nversion=0\ncompatible=b\n[x]\n[update]\nversion=1\n",
          NULL },

        { "", "no [update] group" },
        { "[bundle]\nformat=plain\n", "no [update] group" },
        { "[update]\ncompatible=b\n", "the version is missing" },
        { "[update]\nversion=1\n", "the compatible is missing" },
        { "[update]\ncompatible=b\nversion=\n", "the version is empty" },
        { "[update]\ncompatible=\nversion=1\n", "is empty" },
        { "version=1\n" UPDATE, "line 1: a key before the first group" },
        { UPDATE "nonsense\n", "line 4: neither a group nor key=value" },
        { UPDATE "=x\n", "line 4: neither" },
        { UPDATE "[bundle\n", "line 4: not a group" },
        { UPDATE "[]\n", "line 4: not a group" },
        { UPDATE "[a]b]\n", "line 4: not a group" },
        { UPDATE "x=\\q\n", "line 4: a bad escape" },
        { UPDATE "x=\\\n", "line 4: a bad escape" },
        { "[update]\ncompatible=b\nversion=1\\n2\n", "control character" },
        { UPDATE "[bundle]\nformat=zip\n", "unknown bundle format \"zip\"" },
        { UPDATE "[bundle]\nverity-size=1x\n", "verity-size is not a" },
        { UPDATE "[bundle]\nverity-size=-1\n", "verity-size is not a" },
        { "[update]\ncompatible=\xff\nversion=1\n", "not text in UTF-8" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        image = gb_image_new(GB_IMAGE_RAUC, &err);
        assert_non_null(image);
        gb_error_clear(&err);

        rc = gb_rauc_parse_manifest(image, cases[i].text,
                                    strlen(cases[i].text), NULL, &err);

        if (rc == GB_OK) {
            assert_null(cases[i].expect);
            assert_string_equal(image->version, "1");
            assert_string_equal(image->hardware[0].model, "b");

        } else if (cases[i].expect == NULL
                   || strstr(err.message, cases[i].expect) == NULL)
        {
            fail_msg("%s\ngives \"%s\"", cases[i].text, err.message);
        }

        gb_image_free(image);
    }

    image = gb_image_new(GB_IMAGE_RAUC, &err);
    assert_int_not_equal(gb_rauc_parse_manifest(image, UPDATE "\0",
                                                sizeof(UPDATE), NULL, &err),
                         GB_OK);
    gb_image_free(image);
}


static void
test_facts(void **state)
{
    char        *text;
    json_t      *slot;
    gb_error_t   err;
    gb_image_t  *image;

    static const char  manifest[] =
        "[update]\ncompatible=b\nversion=1\ndescription=two\\swords\n"
        "build=7\n[bundle]\nformat=crypt\nverity-size=4096\ncrypt-key=5ec4e7\n"
        "[image.rootfs]\nfilename=a.ext4\nsize=12\nsha256=ab\n"
        "[image.appfs]\nfilename=b.ext4\n";

    (void) state;

    image = gb_image_new(GB_IMAGE_RAUC, &err);
    assert_int_equal(gb_rauc_parse_manifest(image, manifest,
                                            strlen(manifest), NULL, &err),
                     GB_OK);

    assert_string_equal(fact(image, "description"), "two words");
    assert_string_equal(fact(image, "build"), "7");
    assert_string_equal(fact(image, "bundle_format"), "crypt");

    slot = json_object_get(image->facts, "images");
    assert_int_equal(json_array_size(slot), 2);
    slot = json_array_get(slot, 0);
    assert_string_equal(json_string_value(json_object_get(slot, "name")),
                        "rootfs");
    assert_int_equal(json_integer_value(json_object_get(slot, "size")), 12);

    /* facts are shown: the key must not be among them */

    text = json_dumps(image->facts, 0);
    assert_null(strstr(text, "5ec4e7"));
    free(text);

    gb_image_free(image);
}


static void
test_real(void **state)
{
    size_t           i, len;
    json_t          *signature;
    gb_error_t       err;
    gb_image_t      *image;
    unsigned char   *data;

    static const char  *const formats[] = { "plain", "verity", "crypt" };

    (void) state;

    fixture_run("$F/make-key key");

    for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        fixture_run("rm -f real.raucb; $F/make-raucb -o real.raucb -k key "
                    "-V 2.0.0-rc.1 -C 'Some Board 2b' -f %s", formats[i]);

        data = fixture_load("real.raucb", &len);
        image = parse(data, len, &err);
        free(data);
        assert_non_null(image);

        assert_int_equal(image->format, GB_IMAGE_RAUC);
        assert_string_equal(gb_image_format_name(image->format), "rauc");
        assert_string_equal(image->version, "2.0.0-rc.1");
        assert_null(image->name);
        assert_int_equal(image->nhardware, 1);
        assert_string_equal(image->hardware[0].model, "Some Board");
        assert_string_equal(image->hardware[0].revision, "2b");
        assert_string_equal(fact(image, "bundle_format"), formats[i]);
        assert_string_equal(fact(image, "compatible"), "Some Board 2b");

        signature = json_object_get(image->facts, "signature");
        assert_true(json_is_true(json_object_get(signature, "present")));
        assert_string_equal(json_string_value(json_object_get(signature,
                                                              "subject")),
                            "CN=Goosebit test signer,O=Goosebit");
        gb_image_free(image);
    }

    fixture_run("$F/make-raucb -o bare.raucb -f none");
    data = fixture_load("bare.raucb", &len);
    image = parse(data, len, &err);
    assert_non_null(image);
    signature = json_object_get(image->facts, "signature");
    assert_true(json_is_false(json_object_get(signature, "present")));
    gb_image_free(image);
    free(data);

    fixture_run("$F/make-raucb -o closed.raucb -k key -f crypt -e");
    data = fixture_load("closed.raucb", &len);
    refused(data, len, "encrypted to its recipients");
    free(data);
}


/* Cut anywhere, or with bytes changed: one line or an image, no crash. */

static void
damage(const char *format, size_t whole)
{
    size_t           i, len;
    gb_error_t       err;
    gb_image_t      *image;
    unsigned char   *data;

    fixture_run("$F/make-key key; rm -f cut.raucb; "
                "$F/make-raucb -o cut.raucb -k key -s 5000 -f %s", format);
    data = fixture_load("cut.raucb", &len);

    for (i = 0; i < len; i += (i < 128 || len - i < 64 ? 1 : 97)) {
        image = parse(data, i, &err);

        /* a plain bundle cut where its squashfs ends is an unsigned one */

        if (image != NULL) {
            assert_true(whole != 0 && i <= whole && i > whole - 4096);
        }

        gb_image_free(image);
    }

    for (i = 0; i < len; i += (i < 128 || len - i < 2048 ? 1 : 13)) {
        data[i] ^= 0xff;
        image = parse(data, len, &err);
        gb_image_free(image);
        data[i] ^= 0xff;
    }

    free(data);
}


static void
test_damaged(void **state)
{
    size_t          len, whole;
    unsigned char  *data;

    (void) state;

    fixture_run("$F/make-raucb -o none.raucb -f none -s 5000");
    data = fixture_load("none.raucb", &whole);
    free(data);

    damage("plain", whole);
    damage("verity", 0);
    damage("crypt", 0);

    data = fixture_load("cut.raucb", &len);

    memset(data + len - 8, 0, 8);
    refused(data, len, "neither");
    memset(data + len - 8, 0xff, 8);
    refused(data, len, "neither");
    memcpy(data + len - 8, "\0\0\0\0\0\0\0\1", 8);
    refused(data, len, "signature is not CMS");
    free(data);
}


/*
 * Old bundles' squashfs is not padded: the signature follows at once, and cut
 * in it the file still fits into the squashfs' last block.
 */

static void
test_unpadded(void **state)
{
    size_t          i, len, used, siglen;
    gb_error_t      err;
    gb_image_t     *image;
    unsigned char  *data;

    (void) state;

    fixture_run("$F/make-key key; rm -f p.raucb; "
                "$F/make-raucb -o p.raucb -k key -s 5000 -f plain");

    data = fixture_load("p.raucb", &len);
    siglen = (size_t) data[len - 2] << 8 | data[len - 1];
    used = data[40] | (size_t) data[41] << 8 | (size_t) data[42] << 16;
    assert_true(used < len - 8 - siglen);

    memmove(data + used, data + len - 8 - siglen, siglen + 8);
    len = used + siglen + 8;

    image = parse(data, len, &err);
    assert_non_null(image);
    assert_int_equal(image->format, GB_IMAGE_RAUC);
    gb_image_free(image);

    for (i = used + 1; i < len; i++) {
        refused(data, i, "");
    }

    refused(data, len - 1, "no signature at its end");

    image = parse(data, used, &err);
    assert_non_null(image);
    gb_image_free(image);
    free(data);
}


static void
test_malformed(void **state)
{
    size_t          len, payload;
    uint64_t        used;
    unsigned char  *data;

    (void) state;

    fixture_run("$F/make-key key; "
                "$F/make-raucb -o v.raucb -k key -f verity; "
                "$F/make-raucb -o p.raucb -k key -f plain");

    data = fixture_load("v.raucb", &len);

    refused(data, 0, "empty file");
    refused(data, 3, "neither");
    refused(data, 50, "truncated: 50 bytes");
    refused(data, len / 2, "truncated");
    refused(data, len - 1, "no signature at its end");

    /* a squashfs that reaches into the hash tree behind it */

    payload = len - 8 - (((size_t) data[len - 2] << 8) | data[len - 1]);
    assert_int_equal(payload % 4096, 0);
    used = data[40] | (uint64_t) data[41] << 8 | (uint64_t) data[42] << 16;
    assert_true(used < payload - 4096);
    data[40] = (unsigned char) (payload - 100);
    data[41] = (unsigned char) ((payload - 100) >> 8);
    data[42] = (unsigned char) ((payload - 100) >> 16);
    refused(data, len, "do not fit verity-size 4096");

    /* a signature that would reach back into the squashfs */

    data[len - 2] = 0x40;
    refused(data, len, "no signature at its end");

    /* the squashfs super block: size, blocks, compressor, tables */

    memset(data + 40, 0, 8);
    refused(data, len, "super block is damaged");
    memset(data + 40, 0xff, 8);
    refused(data, len, "truncated: a squashfs of 18446744073709551615 bytes");
    free(data);

    data = fixture_load("p.raucb", &len);
    data[28] ^= 1;
    refused(data, len, "unsupported kind");
    data[28] ^= 1;
    data[20] = 99;
    refused(data, len, "unsupported kind");
    data[20] = 1;
    memset(data + 16, 0xff, 4);
    refused(data, len, "too many fragments");
    free(data);

    /* signed garbage, a signature of something else, no manifest at all */

    fixture_run("printf 'x' > x; openssl cms "
                "-sign -binary -nosmimecap -nodetach -outform DER -in x "
                "-out sig -signer key/cert.pem -inkey key/key.pem; "
                "size=$(stat -c %%s sig); { cat p.raucb | head -c 69632; "
                "cat sig; printf '\\0\\0\\0\\0\\0\\0'; printf '%%04x' $size "
                "| sed 's/../\\\\\\\\x&/g' | xargs printf; } > bad.raucb");
    data = fixture_load("bad.raucb", &len);
    refused(data, len, "manifest.raucm, line 1: neither");
    free(data);

    fixture_run("mkdir c; echo x > c/other; "
                "mksquashfs c empty.raucb -noappend -quiet > log");
    data = fixture_load("empty.raucb", &len);
    refused(data, len, "the squashfs has no manifest.raucm");
    free(data);

    fixture_run("mkdir -p d/manifest.raucm; "
                "mksquashfs d dir.raucb -noappend -quiet > log");
    data = fixture_load("dir.raucb", &len);
    refused(data, len, "is not a regular file");
    free(data);

    fixture_run("mkdir e; : > e/manifest.raucm; "
                "mksquashfs e zero.raucb -noappend -quiet > log; "
                "head -c 300000 /dev/zero > e/manifest.raucm; "
                "mksquashfs e large.raucb -noappend -quiet > log");
    data = fixture_load("zero.raucb", &len);
    refused(data, len, "is empty");
    free(data);
    data = fixture_load("large.raucb", &len);
    refused(data, len, "is too large");
    free(data);

    /* an unsigned one that must be signed */

    fixture_run("mkdir g; printf '" UPDATE "[bundle]\\nformat=verity\\n' "
                "> g/manifest.raucm; "
                "mksquashfs g unsigned.raucb -noappend -quiet > log");
    data = fixture_load("unsigned.raucb", &len);
    refused(data, len, "says verity, but the bundle has no signature");
    free(data);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_compatible),
        cmocka_unit_test(test_manifests),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_unpadded),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_damaged),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("rauc", tests, NULL, NULL);
}
