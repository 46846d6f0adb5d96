#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "gb_store.h"


#define ABC_REST  "7816bf8f01cfea414140de5dae2223" \
                  "b00361a396177a9cb410ff61f20015ad"
#define ABC       "ba" ABC_REST
#define ABC_DIR   "/ba/" ABC_REST


static const char *
store_dir(void)
{
    static char  dir[128];

    (void) snprintf(dir, sizeof(dir), "%s/store", fixture_dir());

    return dir;
}


/* Entries of the store's root, but for "." and "..". */

static int
store_entries(void)
{
    int             n;
    DIR            *d;
    struct dirent  *e;

    d = opendir(store_dir());
    if (d == NULL) {
        return 0;
    }

    for (n = 0; (e = readdir(d)) != NULL; ) {
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    }

    (void) closedir(d);

    return n;
}


static int
store_clean_up(void **state)
{
    (void) state;

    fixture_run("rm -rf store");

    return 0;
}


static void
test_path(void **state)
{
    int     n;
    char    buf[128], small[70];
    size_t  i;

    static const char  *const bad[] = {
        "", "ba78", ABC "0",
        "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "../../../../../../../../../../../../../../../../../../etc/passwd",
    };

    (void) state;

    n = gb_store_path("/a", ABC, "f.swu", buf, sizeof(buf));
    assert_string_equal(buf, "/a" ABC_DIR "/f.swu");
    assert_int_equal(n, strlen(buf));

    /* one byte too small, and just right */

    assert_int_equal(gb_store_path("/a", ABC, "f.swu", small, sizeof(small)),
                     -1);
    assert_int_equal(gb_store_path("/a", ABC, "f.swu", buf, (size_t) n), -1);
    assert_int_equal(gb_store_path("/a", ABC, "f.swu", buf, (size_t) n + 1),
                     n);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(gb_store_path("/a", bad[i], "f", buf, sizeof(buf)),
                         -1);
    }

    assert_int_equal(gb_store_path("/a", ABC, "..", buf, sizeof(buf)), -1);
}


static void
test_filenames(void **state)
{
    char    longest[258];
    size_t  i;

    static const char  *const bad[] = {
        "", ".", "..", "a/b", "/", "a\nb", "a\x7f", "\x01", "a.MD5SUM",
        ".md5sum", "\xff", "\xc3", "\xed\xa0\x80",
    };
    static const char  *const good[] = {
        "a.swu", "...", ".swu", "a b.raucb", "gr\xc3\xbc\xc3\x9f" "e.swu",
        "MD5SUM", "a.MD5SUM.swu", "%2e%2e%2f",
    };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_non_null(gb_store_filename_check(bad[i]));
    }

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_null(gb_store_filename_check(good[i]));
    }

    memset(longest, 'x', sizeof(longest));
    longest[255] = '\0';
    assert_null(gb_store_filename_check(longest));

    longest[255] = 'x';
    longest[256] = '\0';
    assert_non_null(gb_store_filename_check(longest));
}


static void
test_put(void **state)
{
    int              fd, created;
    char             path[256];
    gb_error_t       err;
    struct stat      st;
    gb_hash_sums_t   sums;

    (void) state;

    fd = fixture_memfd("abc", 3);

    assert_int_equal(gb_store_put(store_dir(), fd, "f.swu", NULL, NULL, &sums,
                                  &created, &err), GB_OK);
    assert_true(created);
    assert_int_equal(sums.size, 3);
    assert_string_equal(sums.sha256, ABC);

    (void) snprintf(path, sizeof(path), "%s" ABC_DIR "/f.swu", store_dir());
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);
    assert_int_equal(st.st_mode & 0777, 0644);

    /* again, and the same bytes under another name */

    assert_int_equal(gb_store_put(store_dir(), fd, "f.swu", NULL, NULL, &sums,
                                  &created, &err), GB_OK);
    assert_false(created);

    assert_int_equal(gb_store_put(store_dir(), fd, "g.swu", NULL, NULL, &sums,
                                  NULL, &err), GB_OK);
    close(fd);

    assert_int_equal(store_entries(), 1);

    assert_int_equal(gb_store_remove(store_dir(), ABC, "f.swu", &err), GB_OK);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(store_entries(), 1);

    assert_int_equal(gb_store_remove(store_dir(), ABC, "g.swu", &err), GB_OK);
    assert_int_equal(store_entries(), 0);

    assert_int_equal(gb_store_remove(store_dir(), ABC, "g.swu", &err), GB_OK);
    assert_int_not_equal(gb_store_remove(store_dir(), ABC, "..", &err),
                         GB_OK);
}


static int
store_seen(void *data, const char *sha256, const char *filename)
{
    int  *n = data;

    assert_string_equal(sha256, ABC);
    assert_true(strcmp(filename, "f.swu") == 0
                || strcmp(filename, "g h.swu") == 0);

    return ++*n == 100 ? 42 : 0;
}


static void
test_walk(void **state)
{
    int             fd, n;
    gb_error_t      err;
    gb_hash_sums_t  sums;

    (void) state;

    n = 0;
    assert_int_equal(gb_store_walk(store_dir(), store_seen, &n, &err), GB_OK);
    assert_int_equal(n, 0);

    fd = fixture_memfd("abc", 3);
    assert_int_equal(gb_store_put(store_dir(), fd, "f.swu", NULL, NULL, &sums,
                                  NULL, &err), GB_OK);
    assert_int_equal(gb_store_put(store_dir(), fd, "g h.swu", NULL, NULL,
                                  &sums, NULL, &err), GB_OK);
    close(fd);

    /* what lies elsewhere, is a link or a directory is no artifact */

    fixture_run("cd store && touch x ba/x ba/" ABC_REST "0 .gb-1 "
                "&& mkdir -p 0a/" ABC_REST "/dir 0b/short "
                "&& touch 0b/short/x && ln -s /etc/passwd 0a/" ABC_REST "/l "
                "&& ln -s ba 0c && mkdir BA && cp -r ba/* BA");

    assert_int_equal(gb_store_walk(store_dir(), store_seen, &n, &err), GB_OK);
    assert_int_equal(n, 2);

    n = 98;
    assert_int_equal(gb_store_walk(store_dir(), store_seen, &n, &err), 42);

    fixture_run("rm -rf store && touch store");
    assert_int_equal(gb_store_walk(store_dir(), store_seen, &n, &err),
                     GB_ERROR);
    assert_non_null(strstr(err.message, "/store: Not a directory"));
}


static void
test_discard(void **state)
{
    int                fd;
    gb_error_t         err;
    gb_hash_sums_t     sums;
    gb_store_stage_t  *stage;

    (void) state;

    fd = fixture_memfd("abc", 3);
    stage = gb_store_stage(store_dir(), fd, "f.swu", NULL, NULL, &sums, &err);
    close(fd);

    assert_non_null(stage);
    assert_string_equal(sums.sha256, ABC);
    assert_int_equal(store_entries(), 1);

    /* its writer lives, so a cleaner leaves it alone */

    assert_int_equal(gb_store_clean(store_dir(), &err), 0);
    assert_int_equal(store_entries(), 1);

    gb_store_discard(stage);
    assert_int_equal(store_entries(), 0);

    gb_store_discard(NULL);
}


static void
test_refused(void **state)
{
    int             fd;
    gb_error_t      err;
    gb_hash_sums_t  sums;

    (void) state;

    fd = fixture_memfd("abc", 3);

    assert_null(gb_store_stage(store_dir(), fd, "../f.swu", NULL, NULL, &sums,
                               &err));
    assert_non_null(strstr(err.message, "slash"));
    assert_int_equal(store_entries(), 0);

    assert_null(gb_store_stage("/dev/null/x", fd, "f.swu", NULL, NULL, &sums,
                               &err));
    fixture_check_line(err.message);
    close(fd);

    assert_null(gb_store_stage(store_dir(), -1, "f.swu", NULL, NULL, &sums,
                               &err));
    assert_int_equal(store_entries(), 0);
}


/* A limit on file sizes fails write() as a full disk does, half way through. */

static void
test_full_disk(void **state)
{
    int             fd, rc;
    char           *data;
    gb_error_t      err;
    struct rlimit   limit, small;
    gb_hash_sums_t  sums;

    (void) state;

    data = calloc(1, 4 * 1024 * 1024);
    assert_non_null(data);
    fd = fixture_memfd(data, 4 * 1024 * 1024);
    free(data);

    (void) signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 1024 * 1024 + 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);

    rc = gb_store_put(store_dir(), fd, "f.swu", NULL, NULL, &sums, NULL, &err);

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    close(fd);

    assert_int_not_equal(rc, GB_OK);
    assert_non_null(strstr(err.message, strerror(EFBIG)));
    assert_int_equal(store_entries(), 0);
}


static void
die_half_way(void *data, uint64_t done, uint64_t total)
{
    (void) data;

    if (done < total) {
        (void) kill(getpid(), SIGKILL);
    }
}


static void
test_killed(void **state)
{
    int             fd, status;
    char           *data;
    pid_t           pid;
    gb_error_t      err;
    gb_hash_sums_t  sums;

    (void) state;

    data = calloc(1, 4 * 1024 * 1024);
    assert_non_null(data);
    fd = fixture_memfd(data, 4 * 1024 * 1024);
    free(data);

    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        _exit(gb_store_put(store_dir(), fd, "f.swu", die_half_way, NULL,
                           &sums, NULL, &err));
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(store_entries(), 1);

    assert_int_equal(gb_store_clean(store_dir(), &err), 1);
    assert_int_equal(store_entries(), 0);
    assert_int_equal(gb_store_clean("/nonexistent", &err), 0);

    close(fd);
}


/* Storing and removing the same artifact at once must fail neither. */

static void
test_race(void **state)
{
    int             fd, i, status;
    pid_t           pid;
    gb_error_t      err;
    gb_hash_sums_t  sums;

    (void) state;

    fd = fixture_memfd("abc", 3);

    pid = fork();
    assert_true(pid >= 0);

    for (i = 0; i < 200; i++) {
        if (pid == 0) {
            if (gb_store_put(store_dir(), fd, "f.swu", NULL, NULL, &sums,
                             NULL, &err)
                != GB_OK)
            {
                _exit(1);
            }

        } else {
            assert_int_equal(gb_store_remove(store_dir(), ABC, "f.swu", &err),
                             GB_OK);
            (void) usleep(200);
        }
    }

    if (pid == 0) {
        _exit(0);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(fd);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_filenames),
        cmocka_unit_test_teardown(test_put, store_clean_up),
        cmocka_unit_test_teardown(test_walk, store_clean_up),
        cmocka_unit_test_teardown(test_discard, store_clean_up),
        cmocka_unit_test_teardown(test_refused, store_clean_up),
        cmocka_unit_test_teardown(test_full_disk, store_clean_up),
        cmocka_unit_test_teardown(test_killed, store_clean_up),
        cmocka_unit_test_teardown(test_race, store_clean_up),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
