#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

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
        cmocka_unit_test(test_unreadable),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
