/*
 * gb_store_walk: what is in an artifact directory.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gb_store.h"


typedef struct {
    const char        *dir;
    gb_store_walk_pt   cb;
    void              *data;
    gb_error_t        *err;
    char               sha256[65];
} gb_store_walk_t;


static int gb_store_walk_dir(gb_store_walk_t *w, int at, const char *name,
    int level);
static int gb_store_walk_entry(gb_store_walk_t *w, int fd, const char *name,
    int level);


int
gb_store_walk(const char *dir, gb_store_walk_pt cb, void *data,
    gb_error_t *err)
{
    gb_store_walk_t  w;

    memset(&w, 0, sizeof(gb_store_walk_t));
    w.dir = dir;
    w.cb = cb;
    w.data = data;
    w.err = err;

    return gb_store_walk_dir(&w, AT_FDCWD, dir, 0);
}


/* levels: 0 the root, 1 "ab", 2 the other 62 digits */

static int
gb_store_walk_dir(gb_store_walk_t *w, int at, const char *name, int level)
{
    int             fd, rc;
    DIR            *d;
    struct dirent  *e;

    fd = openat(at, name, O_RDONLY|O_DIRECTORY|O_CLOEXEC
                          |(level > 0 ? O_NOFOLLOW : 0));
    d = fd != -1 ? fdopendir(fd) : NULL;

    if (d == NULL) {
        rc = errno;

        if (fd != -1) {
            (void) close(fd);
        }

        /* removed meanwhile, a file, or a link */

        return (rc == ENOENT || (level > 0 && (rc == ENOTDIR || rc == ELOOP)))
               ? GB_OK
               : gb_error_at(w->err, w->dir, 0, "%s", strerror(rc));
    }

    rc = GB_OK;

    while (rc == GB_OK && (e = readdir(d)) != NULL) {
        rc = gb_store_walk_entry(w, fd, e->d_name, level);
    }

    (void) closedir(d);

    return rc;
}


static int
gb_store_walk_entry(gb_store_walk_t *w, int fd, const char *name, int level)
{
    size_t       at, len;
    struct stat  st;

    if (level == 2) {
        return (gb_store_filename_check(name) == NULL
                && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0
                && S_ISREG(st.st_mode))
               ? w->cb(w->data, w->sha256, name) : GB_OK;
    }

    at = level == 0 ? 0 : 2;
    len = level == 0 ? 2 : 62;

    if (strlen(name) != len || strspn(name, "0123456789abcdef") != len) {
        return GB_OK;
    }

    memcpy(w->sha256 + at, name, len);

    return gb_store_walk_dir(w, fd, name, level + 1);
}
