/*
 * The artifact directory: content-addressed, ARTIFACTS_DIR/ab/cdef…/FILENAME,
 * where abcdef… is the content's SHA-256.
 */

#ifndef GB_STORE_H
#define GB_STORE_H


#include <limits.h>
#include <stddef.h>

#include "gb_error.h"
#include "gb_hash.h"


#define GB_STORE_FILENAME_MAX  255      /* bytes */
#define GB_STORE_PATH_MAX      PATH_MAX


/*
 * Writes the path of an artifact and a closing NUL into "buf" of "size" bytes;
 * returns its length, or -1 if "sha256" is not 64 lower-case hexadecimal
 * digits, the file name is one that gb_store_filename_check() refuses, or the
 * path does not fit.  Touches no file and needs nothing but libc.
 */
int gb_store_path(const char *dir, const char *sha256, const char *filename,
    char *buf, size_t size) GB_MUST_CHECK;

/*
 * NULL if a file of this name may be stored and offered to devices, else a
 * static text that says why not ("is empty", …): it must be 1 to 255 bytes of
 * valid UTF-8 without slashes and control characters, not "." or "..", and not
 * end in ".MD5SUM", which hawkBit's MD5SUM resource would hide.
 */
const char *gb_store_filename_check(const char *filename);


typedef struct gb_store_stage_s  gb_store_stage_t;

/*
 * Storing has two steps, so that the database can have its say between them:
 *
 *     stage = gb_store_stage(dir, fd, filename, NULL, NULL, &sums, err);
 *     (register in a transaction)
 *     gb_store_publish(stage, err) or gb_store_discard(stage)
 *
 * gb_store_stage() copies the file behind "fd" from its first byte (pread(),
 * constant memory) to a temporary name in "dir", which it creates if need be,
 * hashes what it copies and syncs it to disk.  Returns a new stage, or NULL
 * with "err" set and nothing left behind.  A stage abandoned by a crash is
 * removed by the next gb_store_stage() or gb_store_clean().
 */
gb_store_stage_t *gb_store_stage(const char *dir, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums,
    gb_error_t *err) GB_MUST_CHECK;

/*
 * Renames the staged file to its final name and syncs the directories.  The
 * same content under the same name is replaced by itself, which is no error.
 * "*created" (may be NULL) tells whether it was absent before.  Frees "stage"
 * in every case; on failure nothing is left behind.  0 or the failure status.
 */
int gb_store_publish(gb_store_stage_t *stage, int *created, gb_error_t *err)
    GB_MUST_CHECK;

/* Removes the staged file and frees "stage", which may be NULL. */
void gb_store_discard(gb_store_stage_t *stage);

/*
 * Unlinks what is staged, for a process that a signal is about to end; safe in
 * its handler.
 */
void gb_store_abandon(void);

/* Both steps at once. */
int gb_store_put(const char *dir, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums, int *created,
    gb_error_t *err) GB_MUST_CHECK;

/*
 * Removes an artifact and the directories it leaves empty.  An artifact that
 * is not there is no error.  0 or the failure status.
 */
int gb_store_remove(const char *dir, const char *sha256, const char *filename,
    gb_error_t *err) GB_MUST_CHECK;

/*
 * Removes temporary files whose writer is gone (each writer holds a lock on
 * its own).  Returns how many, or the (negative) failure status.
 */
int gb_store_clean(const char *dir, gb_error_t *err) GB_MUST_CHECK;


/* an artifact: its content's SHA-256 and its name; not 0 ends the walk */
typedef int (*gb_store_walk_pt)(void *data, const char *sha256,
    const char *filename);

/*
 * Calls "cb" for each artifact in "dir", in no order; what does not lie where
 * gb_store_path() says is none.  Returns what "cb" did, or the failure status.
 */
int gb_store_walk(const char *dir, gb_store_walk_pt cb, void *data,
    gb_error_t *err) GB_MUST_CHECK;


#endif /* GB_STORE_H */
