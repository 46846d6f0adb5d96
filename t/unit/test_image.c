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
#include "gb_cms.h"
#include "gb_image.h"


static void
refused(const char *name, const char *why)
{
    char         path[256];
    gb_error_t   err;

    (void) snprintf(path, sizeof(path), "%s/%s", fixture_dir(), name);

    gb_error_clear(&err);
    assert_null(gb_image_parse(path, NULL, &err));
    fixture_check_line(err.message);
    assert_int_equal(strncmp(err.message, path, strlen(path)), 0);
    assert_non_null(strstr(err.message, why));
}


static void
test_refused(void **state)
{
    (void) state;

    fixture_run("mkdir dir; mkfifo fifo; : > empty; printf a > a; "
                "head -c 100000 /dev/zero > zeros; "
                "echo 'hsqs' > five; echo '0707' > cpio; "
                "printf '\\307\\161old' > old; ln -s loop loop");

    refused("gone", "No such file");
    refused("dir", "not a regular file");
    refused("fifo", "not a regular file");
    refused("loop", "symbolic links");
    refused("empty", "empty file");
    refused("a", "neither");
    refused("zeros", "neither");
    refused("five", "truncated");
    refused("cpio", "truncated within the first cpio header");
    refused("old", "truncated within the first cpio header");
}


/* The format is told by the bytes, whatever the name says. */

static void
test_by_magic(void **state)
{
    char         path[256];
    gb_error_t   err;
    gb_image_t  *image;

    (void) state;

    fixture_run("$F/make-swu -o really.raucb; $F/make-raucb -o really.swu");

    (void) snprintf(path, sizeof(path), "%s/really.raucb", fixture_dir());
    image = gb_image_parse(path, NULL, &err);
    assert_non_null(image);
    assert_int_equal(image->format, GB_IMAGE_SWU);
    gb_image_free(image);

    (void) snprintf(path, sizeof(path), "%s/really.swu", fixture_dir());
    image = gb_image_parse(path, NULL, &err);
    assert_non_null(image);
    assert_int_equal(image->format, GB_IMAGE_RAUC);
    gb_image_free(image);
}


static void
test_hardware(void **state)
{
    int          i;
    char         text[16], longer[300];
    gb_error_t   err;
    gb_image_t  *image;

    (void) state;

    image = gb_image_new(GB_IMAGE_SWU, &err);
    assert_non_null(image);

    /* pairs, not their texts run together */

    assert_int_equal(gb_image_add_hardware(image, "ab", "c", &err), GB_OK);
    assert_int_equal(gb_image_add_hardware(image, "a", "bc", &err), GB_OK);
    assert_int_equal(gb_image_add_hardware(image, "ab", "c", &err), GB_OK);
    assert_int_equal(image->nhardware, 2);

    memset(longer, 'x', sizeof(longer));
    longer[255] = '\0';
    assert_int_equal(gb_image_add_hardware(image, longer, "c", &err), GB_OK);
    longer[255] = 'x';
    longer[256] = '\0';
    assert_int_not_equal(gb_image_add_hardware(image, longer, "c", &err),
                         GB_OK);
    assert_non_null(strstr(err.message, "255"));

    for (i = 3; i < GB_IMAGE_HARDWARE_MAX; i++) {
        (void) snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(gb_image_add_hardware(image, "m", text, &err),
                         GB_OK);
    }

    assert_int_not_equal(gb_image_add_hardware(image, "m", "one more", &err),
                         GB_OK);
    assert_int_equal(gb_image_add_hardware(image, "ab", "c", &err), GB_OK);
    assert_int_equal(image->nhardware, GB_IMAGE_HARDWARE_MAX);

    gb_image_free(image);
    gb_image_free(NULL);
}


static void
test_cms(void **state)
{
    size_t           len;
    gb_cms_t         cms;
    gb_error_t       err;
    unsigned char   *der;

    (void) state;

    fixture_run("$F/make-key names 'Gr\xc3\xbc\xc3\x9f"
                "e, Ltd'; printf hello > m; S='openssl cms -sign -binary "
                "-nosmimecap -outform DER -in m -signer names/cert.pem "
                "-inkey names/key.pem'; $S -nodetach -out inside.der; "
                "$S -out detached.der; $S -nocerts -out nocerts.der; "
                "openssl cms -data_create -in m -outform DER -out data.der");

    der = fixture_load("inside.der", &len);
    assert_int_equal(gb_cms_parse(&cms, der, len, &err), GB_OK);
    assert_int_equal(cms.type, GB_CMS_SIGNED);
    assert_int_equal(cms.len, 5);
    assert_memory_equal(cms.content, "hello", 6);
    assert_string_equal(cms.subject,
                        "CN=Gr\xc3\xbc\xc3\x9f" "e\\, Ltd,O=Goosebit");
    gb_cms_clear(&cms);

    assert_int_not_equal(gb_cms_parse(&cms, der, len - 1, &err), GB_OK);
    gb_cms_clear(&cms);
    assert_int_not_equal(gb_cms_parse(&cms, der, 0, &err), GB_OK);
    gb_cms_clear(&cms);

    der = realloc(der, len + 1);
    assert_non_null(der);
    der[len] = 0;
    assert_int_not_equal(gb_cms_parse(&cms, der, len + 1, &err), GB_OK);
    assert_non_null(strstr(err.message, "garbage"));
    gb_cms_clear(&cms);
    free(der);

    der = fixture_load("detached.der", &len);
    assert_int_equal(gb_cms_parse(&cms, der, len, &err), GB_OK);
    assert_int_equal(cms.type, GB_CMS_DETACHED);
    assert_null(cms.content);
    gb_cms_clear(&cms);
    free(der);

    der = fixture_load("nocerts.der", &len);
    assert_int_equal(gb_cms_parse(&cms, der, len, &err), GB_OK);
    assert_string_equal(cms.subject, "");
    gb_cms_clear(&cms);
    free(der);

    der = fixture_load("data.der", &len);
    assert_int_not_equal(gb_cms_parse(&cms, der, len, &err), GB_OK);
    assert_non_null(strstr(err.message, "neither signed"));
    gb_cms_clear(&cms);
    free(der);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_by_magic),
        cmocka_unit_test(test_hardware),
        cmocka_unit_test(test_cms),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
