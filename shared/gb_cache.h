/*
 * cache: quiet answers of a fleet, in one block of memory that processes
 * share.  Fixed-size records in buckets, found by a keyed digest in one of
 * two; no pointers, so that the block may lie anywhere.
 *
 * It knows neither locks nor clocks nor where the block comes from.  Callers
 * hold one lock around each function that says so; a process that is killed
 * while it holds it leaves a block that is right, if not complete: what it
 * was writing is invalid.
 *
 * What a record holds is right as long as nothing it depends on has changed.
 * A generation counts changes: whoever learns of some puts the next number on
 * all that changed, and only then makes it the present one.  A record carries
 * the generation that was present before its question was asked, and holds
 * while none of what it depends on has a higher one.
 */

#ifndef GB_CACHE_H
#define GB_CACHE_H


#include <stddef.h>
#include <stdint.h>

#include "gb_siphash.h"


#define GB_CACHE_LAYOUT   2             /* of the block */
#define GB_CACHE_MIN      (256 * 1024)  /* bytes */
#define GB_CACHE_NAME     255           /* bytes of a feed's name */
#define GB_CACHE_REASON   31            /* bytes */
#define GB_CACHE_PARTS    256           /* most of gb_cache_scan_t */
#define GB_CACHE_MARK     4096          /* bytes */


typedef struct gb_cache_s  gb_cache_t;


/* where an address comes from */
typedef enum {
    GB_CACHE_NOWHERE = 0,
    GB_CACHE_IPV4,                      /* 4 bytes */
    GB_CACHE_IPV6,                      /* 16 bytes */
    GB_CACHE_UNIX                       /* none */
} gb_cache_family_e;


/* who asks, by keyed digests */
typedef struct {
    uint64_t         id[2];             /* tenant and controller id */
    uint64_t         credential;
} gb_cache_key_t;


/* that somebody was seen */
typedef struct {
    int64_t          now;               /* Unix, ms */
    unsigned char    family;            /* gb_cache_family_e */
    unsigned char    address[16];
} gb_cache_visit_t;


/* what SQL said; names are borrowed */
typedef struct {
    int64_t          device_id;
    int64_t          valid_until;       /* Unix, ms; 0: for ever */
    int32_t          tenant_id;
    int32_t          installed_id;      /* 0: none */
    uint32_t         seconds;           /* of sleep, below 2^17 */
    const char      *reason;
    size_t           reason_len;
    const char      *feed;              /* NULL: depends on none */
    size_t           feed_len;
    unsigned         latest:1;          /* depends on the newest software */
    unsigned         waiting:1;         /* for a slot of its feed or, without
                                           one, of its tenant */
} gb_cache_row_t;


typedef struct {
    int64_t          device_id;
    int32_t          tenant_id;
    int32_t          installed_id;
    uint32_t         seconds;
    const char      *reason;            /* in the block; zero-terminated */
    size_t           reason_len;
} gb_cache_answer_t;


/* a file that a device may have; text is in hexadecimal */
typedef struct {
    int64_t          device_id;
    int64_t          size;              /* bytes */
    int64_t          created;           /* Unix, s */
    int32_t          tenant_id;
    int32_t          software_id;
    char             sha256[64];
    char             sha1[40];
    unsigned char    filename_len;
    char             filename[255];
} gb_cache_grant_t;


/* a device seen and not yet written down elsewhere */
typedef struct {
    int64_t          device_id;
    int64_t          seen_at;           /* Unix, ms */
    int32_t          tenant_id;
    uint32_t         place;             /* in the block */
    unsigned char    family;
    unsigned char    address[16];
} gb_cache_seen_t;


/*
 * A walk over what is dirty.  Ids are looked at in runs of 4,096: part of
 * parts takes every run whose number (modulo 256) lies in the part-th of so
 * many equal ranges, so rows of one part lie near each other in a table that
 * is ordered by id.
 */
typedef struct {
    unsigned         part;
    unsigned         parts;             /* 1: all of them */
    uint32_t         bucket;            /* 0 to begin with */
    unsigned         done:1;            /* all has been looked at */
} gb_cache_scan_t;


/* those who wait for a slot */
typedef struct {
    int32_t          tenant_id;
    unsigned char    feed_len;
    unsigned         feeds:1;           /* or the tenant as a whole */
    char             feed[GB_CACHE_NAME];
} gb_cache_wait_t;


typedef struct {
    uint64_t         places;            /* for records */
    uint64_t         entries;
    uint64_t         bytes;             /* of the block that hold something */
    uint64_t         evictions;
    uint64_t         dirty;             /* seen, not written down */
} gb_cache_stat_t;


/*
 * Lays out a block of zeroes, 64-byte aligned.  NULL: smaller than
 * GB_CACHE_MIN.
 */
gb_cache_t *gb_cache_format(void *block, size_t size,
    const unsigned char *secret);

/* one that was laid out before; NULL: otherwise than this code does */
gb_cache_t *gb_cache_open(void *block);

/* the block's own; for digests that shall not be guessed */
const unsigned char *gb_cache_secret(gb_cache_t *cache);

void gb_cache_key(gb_cache_t *cache, const char *tenant, size_t tenant_len,
    const char *device, size_t device_len, gb_cache_key_t *key);


/* ---- under the lock */

/*
 * 1: key's answer, and that it was seen is noted; 0: there is none that
 * holds.  Those that wait for a slot get none while some are free.  stale:
 * nobody is there to ask, so neither its time nor free slots matter.
 */
int gb_cache_find(gb_cache_t *cache, const gb_cache_key_t *key,
    const gb_cache_visit_t *visit, unsigned stale, gb_cache_answer_t *answer);

/*
 * Stores what was asked in that generation; the device counts as seen.  1:
 * stored; 0: not, as it holds no more, or has a name that does not fit.  A
 * device that was thrown out before it was written down is put in *evicted
 * (else its device_id is 0).
 */
int gb_cache_store(gb_cache_t *cache, const gb_cache_key_t *key,
    const gb_cache_row_t *row, uint64_t generation,
    const gb_cache_visit_t *visit, gb_cache_seen_t *evicted);

/* key's answer, if any, holds no more */
void gb_cache_drop(gb_cache_t *cache, const gb_cache_key_t *key);

/*
 * The same for downloads: what key's device may have of grant's tenant,
 * software and file name.  They hold while neither tenant, device nor any
 * software of the tenant changes; the last used stay.  find: 1, and all of
 * grant is filled in, or 0.  store: 1, or 0 where that holds no more.
 */
int gb_cache_grant_find(gb_cache_t *cache, const gb_cache_key_t *key,
    int64_t now, gb_cache_grant_t *grant);
int gb_cache_grant_store(gb_cache_t *cache, const gb_cache_key_t *key,
    const gb_cache_grant_t *grant, uint64_t generation, int64_t now);

/*
 * The next of what is dirty, at most max rows (16 or more), and not too many
 * looked at in one call.  They count as taken until they are done, or back:
 * then they are dirty again, and those that are in the block no more are moved
 * to the front of rows, and counted.
 */
size_t gb_cache_take(gb_cache_t *cache, gb_cache_scan_t *scan,
    gb_cache_seen_t *rows, size_t max);
void gb_cache_done(gb_cache_t *cache, const gb_cache_seen_t *rows, size_t n);
size_t gb_cache_back(gb_cache_t *cache, gb_cache_seen_t *rows, size_t n);

/*
 * For the one process that takes, when it starts: what its forerunner had
 * taken is dirty again, and counts are made anew.
 */
void gb_cache_recover(gb_cache_t *cache);

/*
 * The scopes of which records waiting for a slot were asked for since the
 * last call; at most max.
 */
size_t gb_cache_waiting(gb_cache_t *cache, gb_cache_wait_t *waits,
    size_t max);

/* so many of the scope's waiting records are not answered, from now on */
void gb_cache_free(gb_cache_t *cache, int32_t tenant_id, const char *feed,
    size_t feed_len, uint32_t n);


/*
 * A text that the reader of changes keeps here: where it stopped.  One that
 * is too long is forgotten, and the one before it, too.
 */
void gb_cache_mark_set(gb_cache_t *cache, const char *text, size_t len);
/* to text, of GB_CACHE_MARK bytes; its length, 0: there is none */
size_t gb_cache_mark_get(gb_cache_t *cache, char *text);


/* ---- without the lock */

void gb_cache_stat(gb_cache_t *cache, gb_cache_stat_t *stat);

/* before a question is asked; at least 1 */
uint64_t gb_cache_generation(gb_cache_t *cache);

/*
 * next = gb_cache_next(), any bumps of what has changed, then publish.  0:
 * another process has published meanwhile, and somebody may have asked under
 * that number before this change: all of it again, from gb_cache_next() on.
 */
uint64_t gb_cache_next(gb_cache_t *cache);
void gb_cache_bump_all(gb_cache_t *cache, uint64_t next);
void gb_cache_bump_tenant(gb_cache_t *cache, int32_t tenant_id, uint64_t next);
void gb_cache_bump_feed(gb_cache_t *cache, int32_t tenant_id,
    const char *feed, size_t len, uint64_t next);
void gb_cache_bump_latest(gb_cache_t *cache, int32_t tenant_id, uint64_t next);
void gb_cache_bump_device(gb_cache_t *cache, int32_t tenant_id,
    int64_t device_id, uint64_t next);
int gb_cache_publish(gb_cache_t *cache, uint64_t next);

/*
 * For questions of which nobody knows yet whose they are: a device ends those
 * that were asked before, and so learns whoever would share an answer to one
 * asked in that generation.  1: it counts.
 */
void gb_cache_bump_key(gb_cache_t *cache, const gb_cache_key_t *key,
    uint64_t next);
int gb_cache_key_holds(gb_cache_t *cache, const gb_cache_key_t *key,
    uint64_t generation);

/* the time (of any clock all processes share) of the last good reading */
void gb_cache_synced(gb_cache_t *cache, uint64_t time);
uint64_t gb_cache_synced_at(gb_cache_t *cache);     /* 0: never */


#endif /* GB_CACHE_H */
