/*
 * gb_store: artifacts on disk, each whole or not there.
 *
 * Bytes go to ".gb-XXXXXX" in the artifact directory, are synced, and renamed
 * within the same file system.  Each writer holds flock() on its temporary
 * file, so that what a killed writer left can be told from a running one's.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gb_store.h"


#define GB_STORE_TMP       ".gb-"
#define GB_STORE_BUFFER    (256 * 1024)
#define GB_STORE_PROGRESS  (1024 * 1024)
#define GB_STORE_TRIES     16


struct gb_store_stage_s {
    int             fd;
    char           *dir;
    char           *filename;
    char            tmp[GB_STORE_PATH_MAX];     /* "" once it is gone */
    gb_hash_sums_t  sums;

    gb_store_stage_t *volatile  next;           /* of gb_store_stages */
};


static void gb_store_forget(gb_store_stage_t *stage);
static int gb_store_lock(const char *dir, int operation);
static void gb_store_unlock(int fd);
static int gb_store_make_dir(const char *path, gb_error_t *err);
static int gb_store_sync_dir(const char *path, gb_error_t *err);
static int gb_store_open_tmp(gb_store_stage_t *stage, gb_error_t *err);
static int gb_store_copy(gb_store_stage_t *stage, int fd,
    gb_progress_pt progress, void *data, gb_error_t *err);
static int gb_store_write(gb_store_stage_t *stage, const char *buf, size_t len,
    gb_error_t *err);
static int gb_store_rename(gb_store_stage_t *stage, const char *path,
    int *created, gb_error_t *err);
static size_t gb_store_parent(char *path);


static gb_store_stage_t *volatile  gb_store_stages;


gb_store_stage_t *
gb_store_stage(const char *dir, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums, gb_error_t *err)
{
    const char        *why;
    gb_store_stage_t  *stage;

    why = gb_store_filename_check(filename);
    if (why != NULL) {
        (void) gb_error_set(err, "file name \"%s\" %s", filename, why);
        return NULL;
    }

    /* what a killed writer left behind may be what fills the disk */

    if (gb_store_make_dir(dir, err) != GB_OK || gb_store_clean(dir, err) < 0) {
        return NULL;
    }

    stage = calloc(1, sizeof(gb_store_stage_t));
    if (stage == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    stage->next = gb_store_stages;
    gb_store_stages = stage;

    stage->fd = -1;
    stage->dir = strdup(dir);
    stage->filename = strdup(filename);

    if (stage->dir == NULL || stage->filename == NULL) {
        (void) gb_error_nomem(err);
        goto failed;
    }

    if (gb_store_open_tmp(stage, err) != GB_OK
        || gb_store_copy(stage, fd, progress, data, err) != GB_OK)
    {
        goto failed;
    }

    *sums = stage->sums;

    return stage;

failed:

    gb_store_discard(stage);

    return NULL;
}


int
gb_store_publish(gb_store_stage_t *stage, int *created, gb_error_t *err)
{
    int     rc, dummy, lock;
    char    path[GB_STORE_PATH_MAX];
    size_t  i;

    if (created == NULL) {
        created = &dummy;
    }

    lock = gb_store_lock(stage->dir, LOCK_SH);

    rc = gb_store_path(stage->dir, stage->sums.sha256, stage->filename, path,
                       sizeof(path));
    if (rc < 0) {
        rc = gb_error_at(err, stage->dir, 0, "path is too long");

    } else {
        rc = gb_store_rename(stage, path, created, err);
    }

    /* the file's directory, the two-digit one, and the root */

    for (i = 0; rc == GB_OK && i < 3; i++) {
        (void) gb_store_parent(path);
        rc = gb_store_sync_dir(path, err);
    }

    gb_store_unlock(lock);
    gb_store_discard(stage);

    return rc;
}


void
gb_store_discard(gb_store_stage_t *stage)
{
    if (stage == NULL) {
        return;
    }

    if (stage->tmp[0] != '\0') {
        (void) unlink(stage->tmp);
    }

    gb_store_forget(stage);

    if (stage->fd != -1) {
        (void) close(stage->fd);
    }

    free(stage->dir);
    free(stage->filename);
    free(stage);
}


void
gb_store_abandon(void)
{
    gb_store_stage_t  *stage;

    for (stage = gb_store_stages; stage != NULL; stage = stage->next) {
        if (stage->tmp[0] != '\0') {
            (void) unlink(stage->tmp);
        }
    }
}


static void
gb_store_forget(gb_store_stage_t *stage)
{
    gb_store_stage_t *volatile  *p;

    for (p = &gb_store_stages; *p != NULL; p = &(*p)->next) {
        if (*p == stage) {
            *p = stage->next;
            return;
        }
    }
}


int
gb_store_put(const char *dir, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums, int *created,
    gb_error_t *err)
{
    gb_store_stage_t  *stage;

    stage = gb_store_stage(dir, fd, filename, progress, data, sums, err);
    if (stage == NULL) {
        return GB_ERROR;
    }

    return gb_store_publish(stage, created, err);
}


int
gb_store_remove(const char *dir, const char *sha256, const char *filename,
    gb_error_t *err)
{
    int     rc, lock;
    char    path[GB_STORE_PATH_MAX];
    size_t  i;

    if (gb_store_path(dir, sha256, filename, path, sizeof(path)) < 0) {
        return gb_error_set(err, "\"%s\" is not the name of an artifact",
                            filename);
    }

    rc = GB_OK;
    lock = gb_store_lock(dir, LOCK_EX);

    if (unlink(path) == -1 && errno != ENOENT && errno != ENOTDIR) {
        rc = gb_error_at(err, path, 0, "cannot be removed: %s",
                         strerror(errno));
    }

    for (i = 0; rc == GB_OK && i < 2; i++) {
        (void) gb_store_parent(path);

        if (rmdir(path) == -1 && errno != ENOENT) {
            /* not empty: another file of this content, or of these digits */
            break;
        }
    }

    gb_store_unlock(lock);

    return rc;
}


int
gb_store_clean(const char *dir, gb_error_t *err)
{
    int             fd, n;
    DIR            *d;
    struct dirent  *e;

    d = opendir(dir);
    if (d == NULL) {
        if (errno == ENOENT) {
            return 0;
        }

        return gb_error_at(err, dir, 0, "%s", strerror(errno));
    }

    n = 0;

    while ((e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, GB_STORE_TMP, sizeof(GB_STORE_TMP) - 1) != 0) {
            continue;
        }

        fd = openat(dirfd(d), e->d_name, O_RDONLY|O_NOFOLLOW|O_CLOEXEC);
        if (fd == -1) {
            continue;
        }

        if (flock(fd, LOCK_EX|LOCK_NB) == 0
            && unlinkat(dirfd(d), e->d_name, 0) == 0)
        {
            n++;
        }

        (void) close(fd);
    }

    (void) closedir(d);

    return n;
}


/*
 * While one process makes directories for a file, no other may find them empty
 * and remove them.  Where directories can't be locked (-1), the file system is
 * shared with other machines and gb_store_rename()'s tries must do.
 */

static int
gb_store_lock(const char *dir, int operation)
{
    int  fd, rc;

    fd = open(dir, O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    do {
        rc = flock(fd, operation);
    } while (rc == -1 && errno == EINTR);

    return fd;
}


static void
gb_store_unlock(int fd)
{
    if (fd != -1) {
        (void) close(fd);
    }
}


static int
gb_store_make_dir(const char *path, gb_error_t *err)
{
    if (mkdir(path, 0755) == -1 && errno != EEXIST) {
        return gb_error_at(err, path, 0, "cannot be created: %s",
                           strerror(errno));
    }

    return GB_OK;
}


static int
gb_store_sync_dir(const char *path, gb_error_t *err)
{
    int  fd, rc;

    fd = open(path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    if (fd == -1) {
        if (errno == ENOENT) {
            /* already removed by another process: nothing to keep */
            return GB_OK;
        }

        return gb_error_at(err, path, 0, "%s", strerror(errno));
    }

    rc = GB_OK;

    /* EINVAL: a file system that can't, and so does not have to */

    if (fsync(fd) == -1 && errno != EINVAL) {
        rc = gb_error_at(err, path, 0, "cannot be synced: %s",
                         strerror(errno));
    }

    (void) close(fd);

    return rc;
}


static int
gb_store_open_tmp(gb_store_stage_t *stage, gb_error_t *err)
{
    int          i, n;
    struct stat  st;

    for (i = 0; i < GB_STORE_TRIES; i++) {
        n = snprintf(stage->tmp, sizeof(stage->tmp), "%s/" GB_STORE_TMP
                     "XXXXXX", stage->dir);

        if (n < 0 || (size_t) n >= sizeof(stage->tmp)) {
            stage->tmp[0] = '\0';
            return gb_error_at(err, stage->dir, 0, "path is too long");
        }

        stage->fd = mkostemp(stage->tmp, O_CLOEXEC);
        if (stage->fd == -1) {
            stage->tmp[0] = '\0';
            return gb_error_at(err, stage->dir, 0, "cannot be written: %s",
                               strerror(errno));
        }

        /* a cleaner may have come between its creation and its lock */

        if (flock(stage->fd, LOCK_EX|LOCK_NB) == 0
            && fstat(stage->fd, &st) == 0
            && st.st_nlink == 1)
        {
            return GB_OK;
        }

        (void) unlink(stage->tmp);
        (void) close(stage->fd);
        stage->fd = -1;
        stage->tmp[0] = '\0';
    }

    return gb_error_at(err, stage->dir, 0, "files can't be locked");
}


static int
gb_store_copy(gb_store_stage_t *stage, int fd, gb_progress_pt progress,
    void *data, gb_error_t *err)
{
    int           rc;
    char         *buf;
    off_t         done;
    off_t         reported;
    ssize_t       n;
    gb_hash_t    *h;
    struct stat   st;

    if (fstat(fd, &st) == -1) {
        return gb_error_at(err, stage->filename, 0, "%s", strerror(errno));
    }

    h = gb_hash_new(err);
    if (h == NULL) {
        return GB_NOMEM;
    }

    buf = malloc(GB_STORE_BUFFER);
    if (buf == NULL) {
        gb_hash_free(h);
        return gb_error_nomem(err);
    }

    rc = GB_OK;
    done = 0;
    reported = 0;

    for ( ;; ) {
        n = pread(fd, buf, GB_STORE_BUFFER, done);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            rc = gb_error_at(err, stage->filename, 0, "cannot be read: %s",
                             strerror(errno));
        }

        if (n <= 0) {
            break;
        }

        rc = gb_hash_update(h, buf, (size_t) n, err);

        if (rc == GB_OK) {
            rc = gb_store_write(stage, buf, (size_t) n, err);
        }

        if (rc != GB_OK) {
            break;
        }

        done += n;

        if (progress != NULL && done - reported >= GB_STORE_PROGRESS) {
            reported = done;
            progress(data, (uint64_t) done, (uint64_t) st.st_size);
        }
    }

    if (rc == GB_OK && done != st.st_size) {
        rc = gb_error_at(err, stage->filename, 0, "changed while it was read");
    }

    /* nginx' workers run as another user; mkostemp() allows only its own */

    if (rc == GB_OK
        && (fchmod(stage->fd, 0644) == -1 || fsync(stage->fd) == -1))
    {
        rc = gb_error_at(err, stage->dir, 0, "cannot be written: %s",
                         strerror(errno));
    }

    if (rc == GB_OK) {
        rc = gb_hash_final(h, &stage->sums, err);
    }

    if (rc == GB_OK && progress != NULL) {
        progress(data, (uint64_t) done, (uint64_t) st.st_size);
    }

    free(buf);
    gb_hash_free(h);

    return rc;
}


static int
gb_store_write(gb_store_stage_t *stage, const char *buf, size_t len,
    gb_error_t *err)
{
    ssize_t  n;

    while (len > 0) {
        n = write(stage->fd, buf, len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            return gb_error_at(err, stage->dir, 0, "cannot be written: %s",
                               strerror(errno));
        }

        buf += n;
        len -= (size_t) n;
    }

    return GB_OK;
}


static int
gb_store_rename(gb_store_stage_t *stage, const char *path, int *created,
    gb_error_t *err)
{
    int     i;
    char    outer[GB_STORE_PATH_MAX], inner[GB_STORE_PATH_MAX];

    memcpy(inner, path, strlen(path) + 1);
    (void) gb_store_parent(inner);

    memcpy(outer, inner, strlen(inner) + 1);
    (void) gb_store_parent(outer);

    /* gb_store_remove() of another machine may take the directories away */

    for (i = 0; i < GB_STORE_TRIES; i++) {
        if (gb_store_make_dir(outer, err) != GB_OK) {
            return GB_ERROR;
        }

        if (mkdir(inner, 0755) == -1 && errno != EEXIST) {
            if (errno == ENOENT) {
                continue;
            }

            break;
        }

        *created = (access(path, F_OK) == -1);

        if (rename(stage->tmp, path) == 0) {
            stage->tmp[0] = '\0';
            return GB_OK;
        }

        if (errno != ENOENT) {
            break;
        }
    }

    return gb_error_at(err, path, 0, "cannot be stored: %s", strerror(errno));
}


/* Cuts the last part off a path that has one; returns the new length. */

static size_t
gb_store_parent(char *path)
{
    char  *slash;

    slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return strlen(path);
    }

    *slash = '\0';

    return (size_t) (slash - path);
}
