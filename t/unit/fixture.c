#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"


static char   fixture_tmp[64];
static char   fixture_programs[4096];
static pid_t  fixture_owner;


static void
fixture_remove(void)
{
    char  command[128];

    if (getpid() == fixture_owner) {
        (void) snprintf(command, sizeof(command), "rm -rf '%s'", fixture_tmp);
        assert_int_equal(system(command), 0);
    }
}


/* The checkout is where the program lies, some folders up. */

static void
fixture_find(void)
{
    char     *slash;
    ssize_t   n;

    n = readlink("/proc/self/exe", fixture_programs,
                 sizeof(fixture_programs) - 32);
    assert_true(n > 0);
    fixture_programs[n] = '\0';

    for ( ;; ) {
        slash = strrchr(fixture_programs, '/');
        assert_non_null(slash);

        strcpy(slash, "/t/lib/fixtures");

        if (access(fixture_programs, X_OK) == 0) {
            break;
        }

        *slash = '\0';
    }
}


const char *
fixture_dir(void)
{
    if (fixture_tmp[0] == '\0') {
        strcpy(fixture_tmp, "/tmp/gb-unit-XXXXXX");
        assert_non_null(mkdtemp(fixture_tmp));
        fixture_owner = getpid();
        (void) atexit(fixture_remove);
    }

    return fixture_tmp;
}


void
fixture_run(const char *fmt, ...)
{
    int      n;
    char     command[8192];
    va_list  args;

    if (fixture_programs[0] == '\0') {
        fixture_find();
    }

    /* swupdate's own files have fixed names in TMPDIR */

    n = snprintf(command, sizeof(command), "set -e; cd '%s'; F='%s'; "
                 "TMPDIR=$PWD; export TMPDIR; ",
                 fixture_dir(), fixture_programs);

    va_start(args, fmt);
    n += vsnprintf(command + n, sizeof(command) - (size_t) n, fmt, args);
    va_end(args);

    assert_true((size_t) n < sizeof(command));
    assert_int_equal(system(command), 0);
}


unsigned char *
fixture_load(const char *name, size_t *len)
{
    long            size;
    char            path[512];
    FILE           *f;
    unsigned char  *data;

    (void) snprintf(path, sizeof(path), "%s/%s", fixture_dir(), name);

    f = fopen(path, "rb");
    assert_non_null(f);

    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size = ftell(f);
    assert_true(size >= 0);
    rewind(f);

    data = malloc((size_t) size + 1);
    assert_non_null(data);

    *len = fread(data, 1, (size_t) size, f);
    assert_int_equal(*len, size);
    (void) fclose(f);

    return data;
}


int
fixture_memfd(const void *data, size_t len)
{
    int      fd;
    size_t   done;
    ssize_t  n;

    fd = memfd_create("fixture", MFD_CLOEXEC);
    assert_true(fd >= 0);

    for (done = 0; done < len; done += (size_t) n) {
        n = write(fd, (const char *) data + done, len - done);
        assert_true(n > 0);
    }

    return fd;
}


void
fixture_check_line(const char *text)
{
    const char  *p;

    assert_true(strlen(text) > 10);

    for (p = text; *p != '\0'; p++) {
        assert_true((unsigned char) *p >= 0x20 && *p != 0x7f);
    }
}
