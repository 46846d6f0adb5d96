/*
 * What the files of the store that is a bucket share.
 *
 * Every image is uploaded in parts, a small one in one: an upload is seen by
 * nobody until it is completed, so that staging and publishing are two steps
 * as in a directory, and one that was cut off can go on.
 */

#ifndef GBCTL_STORE_S3_H
#define GBCTL_STORE_S3_H


#include "store.h"


#define STORE_S3_ETAG  128      /* bytes, with the NUL, as all here */
#define STORE_S3_ID    2048     /* encoded */


typedef struct {
    uint64_t  size;             /* 0: not uploaded */
    char      etag[STORE_S3_ETAG];
} store_s3_part_t;

typedef struct {
    char              key[64 + GB_STORE_FILENAME_MAX + 4];
    char              uri[GB_S3_URI];
    char              id[STORE_S3_ID];  /* of the upload; "": none */
    uint64_t          size;
    uint64_t          part_size;
    size_t            nparts;
    store_s3_part_t  *parts;
} store_s3_stage_t;


void *store_s3_stage(store_t *store, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums,
    gb_error_t *err) GB_MUST_CHECK;

/* ends an upload, its parts are gone; that it is gone already is no error */
int store_s3_abort(store_t *store, store_s3_stage_t *s, gb_error_t *err)
    GB_MUST_CHECK;

void store_s3_free(store_s3_stage_t *s);

/* see store_uploads_walk() */
int store_s3_uploads(store_t *store, store_upload_pt cb, void *data,
    gb_error_t *err) GB_MUST_CHECK;

/*
 * The file name in a key, and the digest into 65 bytes; NULL where the key is
 * no artifact's but somebody else's.
 */
const char *store_s3_name(const char *key, char *sha256);

/* sets ERR where an answer is not what S3 answers; GB_ERROR */
int store_s3_odd(store_t *store, gb_error_t *err);


#endif /* GBCTL_STORE_S3_H */
