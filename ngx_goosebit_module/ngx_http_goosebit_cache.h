/*
 * cache: the zone in which quiet answers of all devices stand, and who may
 * have them.  What lies in it, and why it is right, is gb_cache.h's; here are
 * NGINX's memory, lock, clocks and directives.
 *
 * All take NGX_HTTP_GOOSEBIT's mcf->cache, which is NULL where there is no
 * zone.  Nothing here blocks but for the zone's mutex, which nobody holds
 * longer than some microseconds.
 */

#ifndef NGX_HTTP_GOOSEBIT_CACHE_H
#define NGX_HTTP_GOOSEBIT_CACHE_H


#include "ngx_http_goosebit.h"

#include "gb_cache.h"


/* bytes of an address as text */
#define NGX_HTTP_GOOSEBIT_CACHE_ADDRESS  NGX_INET6_ADDRSTRLEN

/* kinds of credentials: twice the schemes of _auth, at least */
#define NGX_HTTP_GOOSEBIT_CACHE_KINDS    16

/* lists of SQL calls under way; a power of two */
#define NGX_HTTP_GOOSEBIT_CACHE_FLIGHTS  512


/* answers, and beginnings of such, that a worker need not write again */
#define NGX_HTTP_GOOSEBIT_CACHE_MEMOS    61
#define NGX_HTTP_GOOSEBIT_CACHE_STEM     256        /* bytes */

/* of a tenant's name, which is ASCII */
#define NGX_HTTP_GOOSEBIT_CACHE_TENANT   64


typedef struct {
    ngx_uint_t                     seconds;         /* of sleep; 0: none */
    ngx_str_t                      body;
    u_char                         etag[34];
} ngx_http_goosebit_memo_t;


/* what answers with a link start with, up to the device's id */
typedef struct {
    ngx_uint_t                     seconds;         /* 0: none */
    size_t                         base;            /* lengths of the link's */
    size_t                         prefix;
    size_t                         tenant;
    u_char                         names[NGX_HTTP_GOOSEBIT_CACHE_STEM];
                                                    /* all three, in a row */
    size_t                         len;
    u_char                         text[NGX_HTTP_GOOSEBIT_CACHE_STEM];
    gb_siphash_stem_t              digest;
} ngx_http_goosebit_stem_t;


/* a tenant's name as it is stored, for those who spell it otherwise */
typedef struct {
    size_t                         len;             /* 0: none */
    u_char                         name[NGX_HTTP_GOOSEBIT_CACHE_TENANT];
} ngx_http_goosebit_spelling_t;


struct ngx_http_goosebit_cache_s {
    ngx_shm_zone_t                *shm_zone;        /* NULL: off */
    ngx_slab_pool_t               *shpool;
    gb_cache_t                    *table;

    ngx_msec_t                     sync;            /* goosebit_sync */
    ngx_msec_t                     stale;
    ngx_msec_t                     stale_if_error;

    char                          *origin;  /* where sync or stale was set */

    uint64_t                       next;            /* begun, not published */
    ngx_str_t                      settings;        /* what enters answers */
    u_char                         kinds[NGX_HTTP_GOOSEBIT_CACHE_KINDS]
                                        [GB_SIPHASH_KEY];
    ngx_http_goosebit_memo_t       memos[NGX_HTTP_GOOSEBIT_CACHE_MEMOS];
    ngx_http_goosebit_stem_t       stems[NGX_HTTP_GOOSEBIT_CACHE_MEMOS];
    ngx_http_goosebit_spelling_t   spellings[NGX_HTTP_GOOSEBIT_CACHE_MEMOS];
    ngx_queue_t                    flights[NGX_HTTP_GOOSEBIT_CACHE_FLIGHTS];
    unsigned                       address:1;       /* is kept */
    unsigned                       off:1;           /* was said */
    unsigned                       huge_pages:1;
};


/*
 * ---- the zone's birth.  Maps what of a block is whole huge pages anew, in
 * such, all of it present, and zeroed; a warning where there are none.  The
 * block is the zone's and not in use yet.  NGX_ERROR: the zone is spoilt.
 */
ngx_int_t ngx_http_goosebit_cache_huge(ngx_shm_zone_t *shm_zone, u_char *block,
    size_t size);


/*
 * ---- the journal's: one worker of each NGINX; two for a moment, when it is
 * reloaded.
 *
 *     began = ngx_current_msec;                       before SQL is submitted
 *     ...
 *     do {
 *         ngx_http_goosebit_cache_begin(cache);           with its result
 *         ngx_http_goosebit_cache_bump_...(cache, ...);   all that has changed
 *     } while (ngx_http_goosebit_cache_publish(cache) == NGX_AGAIN);
 *     ngx_http_goosebit_cache_synced(cache, began);
 */

void ngx_http_goosebit_cache_begin(ngx_http_goosebit_cache_t *cache);
void ngx_http_goosebit_cache_bump_all(ngx_http_goosebit_cache_t *cache);
void ngx_http_goosebit_cache_bump_tenant(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id);
void ngx_http_goosebit_cache_bump_feed(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id, ngx_str_t *feed);
void ngx_http_goosebit_cache_bump_latest(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id);
void ngx_http_goosebit_cache_bump_device(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id, int64_t device_id);
ngx_int_t ngx_http_goosebit_cache_publish(ngx_http_goosebit_cache_t *cache);

/*
 * The device has written, and it is committed: neither what is kept of it nor
 * what was asked before counts any more.  Whatever is asked from now on is kept
 * once the journal has been read again.
 */
void ngx_http_goosebit_cache_end_device(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key, int32_t tenant_id, int64_t device_id);

/* true: nothing of that has happened to what was asked in that generation */
ngx_uint_t ngx_http_goosebit_cache_counts(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key, uint64_t generation);

/* the journal was read well, at that ngx_current_msec */
void ngx_http_goosebit_cache_synced(ngx_http_goosebit_cache_t *cache,
    ngx_msec_t time);

/*
 * Where the journal was read to, for whoever reads on; of GB_CACHE_MARK
 * bytes, 0 of them: from nowhere.
 */
void ngx_http_goosebit_cache_mark_set(ngx_http_goosebit_cache_t *cache,
    ngx_str_t *mark);
size_t ngx_http_goosebit_cache_mark_get(ngx_http_goosebit_cache_t *cache,
    u_char *mark);

/* ms since then; NGX_MAX_INT32_VALUE: it never was */
ngx_msec_t ngx_http_goosebit_cache_lag(ngx_http_goosebit_cache_t *cache);

/*
 * Scopes of which devices that wait for a slot have polled since the last
 * call, at most max; and how many of them SQL is to decide about now (this
 * replaces what is left of the last call's).  feed NULL: the tenant's.
 */
ngx_uint_t ngx_http_goosebit_cache_waiting(ngx_http_goosebit_cache_t *cache,
    gb_cache_wait_t *waits, ngx_uint_t max);
void ngx_http_goosebit_cache_free(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id, ngx_str_t *feed, ngx_uint_t n);


/*
 * ---- last seen of devices that were answered from the zone, to be written
 * down by the same worker; see gb_cache_take().  Whoever is thrown out of the
 * zone before goes to the room that stores.
 */

/* when the worker starts: what an older one had taken is there again */
void ngx_http_goosebit_cache_seen_recover(ngx_http_goosebit_cache_t *cache);

/* again and again, until scan->done; max at least 16 */
ngx_uint_t ngx_http_goosebit_cache_seen_take(ngx_http_goosebit_cache_t *cache,
    gb_cache_scan_t *scan, gb_cache_seen_t *rows, ngx_uint_t max);

/* written down; or not, then rows starts with those the zone has not kept */
void ngx_http_goosebit_cache_seen_done(ngx_http_goosebit_cache_t *cache,
    gb_cache_seen_t *rows, ngx_uint_t n);
ngx_uint_t ngx_http_goosebit_cache_seen_back(ngx_http_goosebit_cache_t *cache,
    gb_cache_seen_t *rows, ngx_uint_t n);

/* text of NGX_HTTP_GOOSEBIT_CACHE_ADDRESS bytes; its length, 0: not known */
size_t ngx_http_goosebit_cache_seen_address(gb_cache_seen_t *row,
    u_char *text);

/* devices seen and not taken yet, roughly */
ngx_uint_t ngx_http_goosebit_cache_seen_pending(
    ngx_http_goosebit_cache_t *cache);


/* ---- for those who answer polls */

/*
 * tenant and device as sent; kind is twice the scheme of _auth, one more where
 * an outside service of the location's decides.  Records made under other
 * settings (goosebit.yaml, database) have other keys.
 */
void ngx_http_goosebit_cache_key(ngx_http_goosebit_cache_t *cache,
    ngx_str_t *tenant, ngx_str_t *device, ngx_uint_t kind, ngx_str_t *secret,
    gb_cache_key_t *key);

/* NGX_OK, and c's device counts as seen; NGX_DECLINED */
ngx_int_t ngx_http_goosebit_cache_find(ngx_http_goosebit_cache_t *cache,
    ngx_connection_t *c, gb_cache_key_t *key, ngx_uint_t stale,
    gb_cache_answer_t *answer);

/*
 * What was asked in that generation.  NGX_OK: stored, and the device counts as
 * seen.  An *evicted with a device_id is to be written down by the caller.
 */
ngx_int_t ngx_http_goosebit_cache_store(ngx_http_goosebit_cache_t *cache,
    ngx_connection_t *c, gb_cache_key_t *key, gb_cache_row_t *row,
    uint64_t generation, gb_cache_seen_t *evicted);

/* the answer was another: what stands there holds no more */
void ngx_http_goosebit_cache_drop(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key);

/* downloads: gb_cache_grant_find() and _store(), NGX_OK or NGX_DECLINED */
ngx_int_t ngx_http_goosebit_cache_grant_find(
    ngx_http_goosebit_cache_t *cache, gb_cache_key_t *key,
    gb_cache_grant_t *grant);
ngx_int_t ngx_http_goosebit_cache_grant_store(
    ngx_http_goosebit_cache_t *cache, gb_cache_key_t *key,
    gb_cache_grant_t *grant, uint64_t generation);

/* to be read before SQL is submitted */
uint64_t ngx_http_goosebit_cache_generation(ngx_http_goosebit_cache_t *cache);

/* where SQL calls of this worker for such keys are listed, by who asks */
ngx_queue_t *ngx_http_goosebit_cache_flights(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key);

/* for the status page */
void ngx_http_goosebit_cache_stat(ngx_http_goosebit_cache_t *cache,
    gb_cache_stat_t *stat);


extern ngx_module_t  ngx_http_goosebit_cache_module;


#endif /* NGX_HTTP_GOOSEBIT_CACHE_H */
