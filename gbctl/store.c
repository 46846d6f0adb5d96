/*
 * The store, and the kind of it that is a directory.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "store.h"


#define STORE_BUFFER  (128 * 1024)


static const store_ops_t  store_file_ops;


store_t *
store_open(const gb_config_t *config, gb_error_t *err)
{
    store_t  *store;

    store = calloc(1, sizeof(store_t));
    if (store == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    if (config->storage.backend == GB_CONFIG_FILESYSTEM) {
        store->ops = &store_file_ops;
        store->dir = config->artifacts_dir;

        return store;
    }

    store->ops = &store_s3_ops;
    store->s3 = s3_open(config, err);

    if (store->s3 == NULL) {
        free(store);
        return NULL;
    }

    return store;
}


void
store_close(store_t *store)
{
    if (store != NULL) {
        s3_close(store->s3);
        free(store);
    }
}


bool
store_uploads(const store_t *store)
{
    return store->s3 != NULL;
}


void *
store_stage(store_t *store, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums, gb_error_t *err)
{
    return store->ops->stage(store, fd, filename, progress, data, sums, err);
}


int
store_publish(store_t *store, void *stage, int *created, gb_error_t *err)
{
    return store->ops->publish(store, stage, created, err);
}


void
store_discard(store_t *store, void *stage)
{
    store->ops->discard(store, stage);
}


int
store_remove(store_t *store, const char *sha256, const char *filename,
    gb_error_t *err)
{
    return store->ops->remove(store, sha256, filename, err);
}


int
store_read(store_t *store, const char *sha256, const char *filename,
    store_sink_pt sink, void *data, gb_error_t *err)
{
    return store->ops->read(store, sha256, filename, sink, data, err);
}


int
store_walk(store_t *store, gb_store_walk_pt cb, void *data, gb_error_t *err)
{
    return store->ops->walk(store, cb, data, err);
}


int
store_uploads_walk(store_t *store, store_upload_pt cb, void *data,
    gb_error_t *err)
{
    return store->ops->uploads ? store->ops->uploads(store, cb, data, err)
                               : GB_OK;
}


static void *
store_file_stage(store_t *store, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums, gb_error_t *err)
{
    cli_cleanup = gb_store_abandon;

    return gb_store_stage(store->dir, fd, filename, progress, data, sums, err);
}


static int
store_file_publish(store_t *store, void *stage, int *created, gb_error_t *err)
{
    (void) store;

    return gb_store_publish(stage, created, err);
}


static void
store_file_discard(store_t *store, void *stage)
{
    (void) store;

    gb_store_discard(stage);
}


static int
store_file_remove(store_t *store, const char *sha256, const char *filename,
    gb_error_t *err)
{
    return gb_store_remove(store->dir, sha256, filename, err);
}


static int
store_file_read(store_t *store, const char *sha256, const char *filename,
    store_sink_pt sink, void *data, gb_error_t *err)
{
    int      fd, rc;
    char     path[GB_STORE_PATH_MAX], *buf;
    ssize_t  n;

    if (gb_store_path(store->dir, sha256, filename, path, sizeof(path)) < 0) {
        return gb_error_set(err, "\"%s\" is not the name of an artifact",
                            filename);
    }

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        rc = errno == ENOENT || errno == ENOTDIR ? GB_DECLINED : GB_ERROR;
        (void) gb_error_at(err, path, 0, "%s", strerror(errno));

        return rc;
    }

    buf = malloc(STORE_BUFFER);
    rc = buf != NULL ? GB_OK : gb_error_nomem(err);

    while (rc == GB_OK) {
        n = read(fd, buf, STORE_BUFFER);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == 0) {
            break;
        }

        if (n == -1) {
            rc = gb_error_at(err, path, 0, "cannot be read: %s",
                             strerror(errno));

        } else if (!sink(data, buf, (size_t) n)) {
            rc = gb_error_at(err, path, 0, "cannot be read on");
        }
    }

    free(buf);
    (void) close(fd);

    return rc;
}


static int
store_file_walk(store_t *store, gb_store_walk_pt cb, void *data,
    gb_error_t *err)
{
    return gb_store_walk(store->dir, cb, data, err);
}


static const store_ops_t  store_file_ops = {
    store_file_stage,
    store_file_publish,
    store_file_discard,
    store_file_remove,
    store_file_read,
    store_file_walk,
    NULL
};
