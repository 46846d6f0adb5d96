/*
 * SHA-256, SHA-1 and MD5 of the same bytes in one read.
 */

#ifndef GB_HASH_H
#define GB_HASH_H


#include <stddef.h>
#include <stdint.h>

#include "gb_error.h"


/* Lower-case hexadecimal with the closing NUL, as hawkBit's "hashes" wants. */
typedef struct {
    uint64_t  size;                     /* bytes hashed */
    char      sha256[65];
    char      sha1[41];
    char      md5[33];
} gb_hash_sums_t;


/* "done" of "total" bytes; called about once a mebibyte and at the end. */
typedef void (*gb_progress_pt)(void *data, uint64_t done, uint64_t total);


typedef struct gb_hash_s  gb_hash_t;


/* A new hash for the caller to free, or NULL with "err" set. */
gb_hash_t *gb_hash_new(gb_error_t *err) GB_MUST_CHECK;

void gb_hash_free(gb_hash_t *h);

/* 0, or the failure status with "err" set; "h" can then only be freed. */
int gb_hash_update(gb_hash_t *h, const void *data, size_t len,
    gb_error_t *err) GB_MUST_CHECK;

/* Fills "sums"; "h" can then only be freed.  0 or the failure status. */
int gb_hash_final(gb_hash_t *h, gb_hash_sums_t *sums, gb_error_t *err)
    GB_MUST_CHECK;

/*
 * Hashes the whole file behind "fd" from its first byte, by pread(), in
 * constant memory.  "name" is what errors call it; "progress" may be NULL.
 * 0 or the failure status.
 */
int gb_hash_fd(int fd, const char *name, gb_progress_pt progress, void *data,
    gb_hash_sums_t *sums, gb_error_t *err) GB_MUST_CHECK;


#endif /* GB_HASH_H */
