#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "fixture.h"
#include "gb_hash.h"


static void
test_known(void **state)
{
    gb_hash_t       *h;
    gb_error_t       err;
    gb_hash_sums_t   sums;

    (void) state;

    /* FIPS 180-2 and RFC 1321: "abc", in two parts */

    h = gb_hash_new(&err);
    assert_non_null(h);
    assert_int_equal(gb_hash_update(h, "a", 1, &err), GB_OK);
    assert_int_equal(gb_hash_update(h, "bc", 2, &err), GB_OK);
    assert_int_equal(gb_hash_final(h, &sums, &err), GB_OK);
    gb_hash_free(h);

    assert_int_equal(sums.size, 3);
    assert_string_equal(sums.sha256, "ba7816bf8f01cfea414140de5dae2223"
                                     "b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(sums.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_string_equal(sums.md5, "900150983cd24fb0d6963f7d28e17f72");

    gb_hash_free(NULL);
}


static void
test_empty(void **state)
{
    int             fd;
    gb_error_t      err;
    gb_hash_sums_t  sums;

    (void) state;

    fd = fixture_memfd("", 0);
    assert_int_equal(gb_hash_fd(fd, "x", NULL, NULL, &sums, &err), GB_OK);
    close(fd);

    assert_int_equal(sums.size, 0);
    assert_string_equal(sums.md5, "d41d8cd98f00b204e9800998ecf8427e");
}


typedef struct {
    unsigned  calls;
    uint64_t  done;
    uint64_t  total;
} progress_t;


static void
count_progress(void *data, uint64_t done, uint64_t total)
{
    progress_t  *p = data;

    assert_true(done >= p->done);

    p->calls++;
    p->done = done;
    p->total = total;
}


static void
test_file(void **state)
{
    int              fd;
    char            *data;
    size_t           len;
    gb_hash_t       *h;
    gb_error_t       err;
    progress_t       progress;
    gb_hash_sums_t   whole, parts;

    (void) state;

    /* not a multiple of any buffer; the descriptor stands at the end */

    len = 3 * 1024 * 1024 + 17;
    data = malloc(len);
    assert_non_null(data);
    memset(data, 'x', len);

    memset(&progress, 0, sizeof(progress_t));
    fd = fixture_memfd(data, len);
    assert_int_equal(gb_hash_fd(fd, "x", count_progress, &progress, &whole,
                                &err), GB_OK);
    close(fd);

    h = gb_hash_new(&err);
    assert_int_equal(gb_hash_update(h, data, len, &err), GB_OK);
    assert_int_equal(gb_hash_final(h, &parts, &err), GB_OK);
    gb_hash_free(h);
    free(data);

    assert_int_equal(whole.size, len);
    assert_string_equal(whole.sha256, parts.sha256);
    assert_string_equal(whole.sha1, parts.sha1);
    assert_string_equal(whole.md5, parts.md5);

    assert_int_equal(progress.calls, 4);
    assert_int_equal(progress.done, len);
    assert_int_equal(progress.total, len);
}


/* so large that MD5 is made by a thread, in parts of all sizes */

static void
test_large(void **state)
{
    char            *data;
    size_t           i, n, len, at;
    gb_hash_t       *h;
    gb_error_t       err;
    unsigned char    md[EVP_MAX_MD_SIZE];
    gb_hash_sums_t   sums;

    static const size_t  parts[] = { 1, 4194303, 1, 262144, 262145, 17, 0,
                                     3000000 };

    (void) state;

    len = 12 * 1024 * 1024 + 17;
    data = malloc(len);
    assert_non_null(data);

    for (i = 0; i < len; i++) {
        data[i] = (char) (i * 7 + i / 251);
    }

    h = gb_hash_new(&err);

    for (i = 0, at = 0; at < len; i++, at += n) {
        n = parts[i % (sizeof(parts) / sizeof(parts[0]))];
        n = n < len - at ? n : len - at;
        assert_int_equal(gb_hash_update(h, data + at, n, &err), GB_OK);
    }

    assert_int_equal(gb_hash_final(h, &sums, &err), GB_OK);
    gb_hash_free(h);

    assert_int_equal(sums.size, len);
    assert_int_equal(EVP_Digest(data, len, md, NULL, EVP_md5(), NULL), 1);

    for (i = 0; i < 16; i++) {
        assert_int_equal(strtoul((char[3]) { sums.md5[2 * i],
                                             sums.md5[2 * i + 1], 0 },
                                 NULL, 16), md[i]);
    }

    /* given up in the middle */

    h = gb_hash_new(&err);
    assert_int_equal(gb_hash_update(h, data, len, &err), GB_OK);
    assert_int_equal(gb_hash_update(h, data, len, &err), GB_OK);
    gb_hash_free(h);

    free(data);
}


static void
test_unreadable(void **state)
{
    gb_error_t      err;
    gb_hash_sums_t  sums;

    (void) state;

    assert_int_not_equal(gb_hash_fd(-1, "lost", NULL, NULL, &sums, &err),
                         GB_OK);
    assert_non_null(strstr(err.message, "lost: "));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_unreadable),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
