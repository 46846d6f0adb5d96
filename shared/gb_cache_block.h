/*
 * What lies in the block: for gb_cache*.c alone.
 */

#ifndef GB_CACHE_BLOCK_H
#define GB_CACHE_BLOCK_H


#include "gb_cache.h"


#define GB_CACHE_WAYS      16           /* records of a bucket */
#define GB_CACHE_REASONS   64
#define GB_CACHE_TENANTS   1024         /* slots; a power of two, as below */
#define GB_CACHE_PROBES    8
#define GB_CACHE_SECONDS   0x1ffff


/* 88 bytes; generation 0: holds nothing */
typedef struct {
    uint64_t         id[2];
    uint64_t         credential;
    uint64_t         generation;
    int64_t          valid_until;
    int64_t          device_id;
    int64_t          seen;
    int32_t          tenant_id;
    int32_t          installed_id;
    unsigned         seconds:17;
    unsigned         reason:6;
    unsigned         family:2;
    unsigned         feeds:1;
    unsigned         latest:1;
    unsigned         waiting:1;
    uint16_t         feed;              /* slot, where feeds */
    uint16_t         wait;              /* slot, where waiting */
    unsigned char    address[16];
} gb_cache_record_t;


/*
 * A cache line that says what there is, then the records.  Tag 0: empty.
 * runs are those of gb_cache_scan_t.
 */
typedef struct {
    uint16_t           tags[GB_CACHE_WAYS];
    unsigned char      runs[GB_CACHE_WAYS];
    uint16_t           dirty;           /* a bit a record, as in taken */
    uint16_t           taken;
    unsigned char      unused[12];
    gb_cache_record_t  records[GB_CACHE_WAYS];
} gb_cache_bucket_t;


typedef struct {
    int32_t          tenant_id;         /* 0: an empty place */
    uint16_t         feed;              /* slot, where feeds */
    uint8_t          feeds;
    uint8_t          len;
    uint32_t         touched;           /* Unix, s */
    uint32_t         asked;
    uint32_t         credits;
    char             name[GB_CACHE_NAME];
} gb_cache_scope_t;


/* who may have a file; 64 bytes.  generation 0: holds nothing */
typedef struct {
    uint64_t         id[2];
    uint64_t         credential;
    uint64_t         generation;
    int64_t          device_id;
    int64_t          used;              /* Unix, ms */
    int32_t          tenant_id;
    int32_t          software_id;
    uint32_t         file;              /* place */
    uint32_t         unused;
} gb_cache_leave_t;


/* a file; software_id 0: none.  Software never changes, it only goes */
typedef struct {
    int64_t          used;
    gb_cache_grant_t what;              /* but for device_id */
} gb_cache_file_t;


struct gb_cache_s {
    uint32_t         layout;
    uint32_t         record;            /* size of one */
    unsigned char    secret[GB_SIPHASH_KEY];

    uint64_t         generation;
    uint64_t         all;
    uint64_t         synced;

    uint64_t         mark_len;
    char             mark[GB_CACHE_MARK];

    uint64_t         entries;
    uint64_t         dirty;
    uint64_t         evictions;

    uint32_t         nbuckets;
    uint32_t         nfeeds;            /* powers of two, both */
    uint32_t         ndevices;
    uint32_t         nscopes;
    uint32_t         nleaves;
    uint32_t         nfiles;
    uint64_t         feeds;             /* offsets */
    uint64_t         devices;
    uint64_t         scopes;
    uint64_t         leaves;
    uint64_t         files;
    uint64_t         buckets;

    char             reasons[GB_CACHE_REASONS][GB_CACHE_REASON + 1];
    uint64_t         tenants[GB_CACHE_TENANTS];
    uint64_t         latests[GB_CACHE_TENANTS];
};


#define gb_cache_feeds(c)    ((uint64_t *) ((char *) (c) + (c)->feeds))
#define gb_cache_devices(c)  ((uint64_t *) ((char *) (c) + (c)->devices))
#define gb_cache_scopes(c)   ((gb_cache_scope_t *) ((char *) (c)              \
                                                    + (c)->scopes))
#define gb_cache_leaves(c)   ((gb_cache_leave_t *) ((char *) (c)              \
                                                    + (c)->leaves))
#define gb_cache_files(c)    ((gb_cache_file_t *) ((char *) (c) + (c)->files))
#define gb_cache_buckets(c)  ((gb_cache_bucket_t *) ((char *) (c)             \
                                                     + (c)->buckets))

/* a compiler may not move writes across; processors we know do not */
#define gb_cache_barrier()   __atomic_thread_fence(__ATOMIC_RELEASE)


/* ids come from sequences: nobody outside can choose them to collide */

static inline uint32_t
gb_cache_mix(uint64_t a, uint64_t b)
{
    uint64_t  x;

    x = (a ^ b << 40) * 0x9e3779b97f4a7c15ULL;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ULL;

    return (uint32_t) (x >> 32);
}


static inline uint64_t *
gb_cache_tenant_slot(uint64_t *slots, int32_t tenant_id)
{
    return &slots[gb_cache_mix((uint32_t) tenant_id, 0)
                  & (GB_CACHE_TENANTS - 1)];
}


static inline uint64_t *
gb_cache_device_slot(gb_cache_t *cache, int32_t tenant_id, int64_t device_id)
{
    return &gb_cache_devices(cache)[gb_cache_mix((uint64_t) device_id,
                                                 (uint32_t) tenant_id)
                                    & (cache->ndevices - 1)];
}


/* slot of a feed's name */
uint16_t gb_cache_feed_slot(gb_cache_t *cache, int32_t tenant_id,
    const char *feed, size_t len);

/* nothing that the record depends on has changed since its generation */
int gb_cache_holds(gb_cache_t *cache, const gb_cache_record_t *record);

/* the waiting record's turn has come: it is to be asked about */
int gb_cache_turn(gb_cache_t *cache, const gb_cache_record_t *record,
    int64_t now);

/* the place of a scope, a new one perhaps; GB_CACHE_NO_SCOPE: none */
#define GB_CACHE_NO_SCOPE  0xffff
uint16_t gb_cache_scope(gb_cache_t *cache, const gb_cache_row_t *row,
    uint16_t feed, int64_t now);


#endif /* GB_CACHE_BLOCK_H */
