/*
 * Where images are kept: the directory or the bucket of the configuration,
 * and, to be read only, any URL.  What is said of gb_store.h holds for both:
 * an image is whole or not there, named by its content.
 *
 * Nothing here reports errors; callers do, by ERR.
 */

#ifndef GBCTL_STORE_H
#define GBCTL_STORE_H


#include <stdbool.h>
#include <stddef.h>

#include <gb_config.h>
#include <gb_error.h>
#include <gb_hash.h>
#include <gb_store.h>

#include "s3.h"


typedef struct store_s  store_t;

/* takes bytes; false ends the reading, the reason is the caller's */
typedef s3_sink_pt  store_sink_pt;


/* the configuration must outlive it; store_close(), or NULL with ERR set */
store_t *store_open(const gb_config_t *config, gb_error_t *err) GB_MUST_CHECK;
void store_close(store_t *store);

/* whether staging is uploading, which needs the sums beforehand */
bool store_uploads(const store_t *store);

/*
 * Brings the file behind FD to the store, so that nobody sees it yet.  Fills
 * SUMS or, where the store uploads, holds to those it finds there.  A new
 * stage for store_publish() or store_discard(), or NULL with ERR set; an
 * upload that the network ended goes on with the next of the same file.
 */
void *store_stage(store_t *store, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums,
    gb_error_t *err) GB_MUST_CHECK;

/* makes it to be seen; frees STAGE in every case */
int store_publish(store_t *store, void *stage, int *created, gb_error_t *err)
    GB_MUST_CHECK;

/* takes back what was staged and frees STAGE */
void store_discard(store_t *store, void *stage);

/* that it is not there is no error */
int store_remove(store_t *store, const char *sha256, const char *filename,
    gb_error_t *err) GB_MUST_CHECK;

/* GB_OK, GB_DECLINED if it is not there, GB_ERROR */
int store_read(store_t *store, const char *sha256, const char *filename,
    store_sink_pt sink, void *data, gb_error_t *err) GB_MUST_CHECK;

/* everything in it that is named as images are; what CB returned, or GB_* */
int store_walk(store_t *store, gb_store_walk_pt cb, void *data,
    gb_error_t *err) GB_MUST_CHECK;

/*
 * An upload that has not ended: of a gbctl that runs, or was cut off.  BEGAN
 * is RFC 3339, UTC.  With END set it is ended, and its parts are gone.
 */
typedef int (*store_upload_pt)(void *data, const char *sha256,
    const char *filename, const char *began, bool *end);

/* all of them; a directory has none.  What CB returned, or GB_* */
int store_uploads_walk(store_t *store, store_upload_pt cb, void *data,
    gb_error_t *err) GB_MUST_CHECK;


/* what a kind of store does; of no interest outside of store*.c */
typedef struct {
    void *(*stage)(store_t *store, int fd, const char *filename,
        gb_progress_pt progress, void *data, gb_hash_sums_t *sums,
        gb_error_t *err);
    int (*publish)(store_t *store, void *stage, int *created,
        gb_error_t *err);
    void (*discard)(store_t *store, void *stage);
    int (*remove)(store_t *store, const char *sha256, const char *filename,
        gb_error_t *err);
    int (*read)(store_t *store, const char *sha256, const char *filename,
        store_sink_pt sink, void *data, gb_error_t *err);
    int (*walk)(store_t *store, gb_store_walk_pt cb, void *data,
        gb_error_t *err);
    int (*uploads)(store_t *store, store_upload_pt cb, void *data,
        gb_error_t *err);       /* NULL: never any */
} store_ops_t;

struct store_s {
    const store_ops_t  *ops;
    const char         *dir;        /* of the directory; borrowed */
    s3_t               *s3;         /* of the bucket */
};

extern const store_ops_t  store_s3_ops;


#endif /* GBCTL_STORE_H */
