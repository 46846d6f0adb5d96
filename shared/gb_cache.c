/*
 * Finding, storing and throwing out records.
 *
 * A digest names two buckets of 16; a new record goes to the one that has
 * more room, which fills a table to nine tenths and more before the first has
 * to go.  Where both are full, the oldest seen of their 32 goes.
 */

#include "gb_cache_block.h"

#include <string.h>


static gb_cache_record_t *gb_cache_lookup(gb_cache_t *cache,
    const gb_cache_key_t *key, gb_cache_bucket_t **bucket, unsigned *way);
static gb_cache_bucket_t *gb_cache_bucket(gb_cache_t *cache,
    const gb_cache_key_t *key, unsigned second);
static uint16_t gb_cache_tag(const gb_cache_key_t *key);
static unsigned gb_cache_reason(gb_cache_t *cache, const char *name,
    size_t len);
static gb_cache_record_t *gb_cache_place(gb_cache_t *cache,
    const gb_cache_key_t *key, gb_cache_bucket_t **bucket, unsigned *way,
    gb_cache_seen_t *evicted);
static void gb_cache_evict(gb_cache_t *cache, gb_cache_bucket_t *bucket,
    unsigned way, gb_cache_seen_t *evicted);
static void gb_cache_visited(gb_cache_record_t *record,
    const gb_cache_visit_t *visit);
static void gb_cache_dirty(gb_cache_t *cache, gb_cache_bucket_t *bucket,
    unsigned way);


gb_cache_t *
gb_cache_format(void *block, size_t size, const unsigned char *secret)
{
    size_t       at, share;
    gb_cache_t  *cache;

    if (size < GB_CACHE_MIN) {
        return NULL;
    }

    cache = block;

    /* of 128 MB: 2 for devices, 2 for downloads, 1 for all the others */

    for (share = 512; share * 512 <= size / 2; share *= 2) { /* void */ }

    cache->ndevices = (uint32_t) share;
    cache->nfeeds = (uint32_t) (share / 4 > 65536 ? 65536 : share / 4);
    cache->nscopes = cache->nfeeds / 64 < 16 ? 16 : cache->nfeeds / 64;
    cache->nleaves = (uint32_t) (share / 8);
    cache->nfiles = cache->nscopes / 4 < 16 ? 16 : cache->nscopes / 4;

    at = (sizeof(gb_cache_t) + 63) & ~(size_t) 63;

    cache->feeds = at;
    at += cache->nfeeds * sizeof(uint64_t);

    cache->devices = at;
    at += cache->ndevices * sizeof(uint64_t);

    cache->scopes = at;
    at += cache->nscopes * sizeof(gb_cache_scope_t);

    at = (at + 63) & ~(size_t) 63;

    cache->leaves = at;
    at += cache->nleaves * sizeof(gb_cache_leave_t);

    cache->files = at;
    at += cache->nfiles * sizeof(gb_cache_file_t);

    at = (at + 63) & ~(size_t) 63;

    cache->buckets = at;
    cache->nbuckets = (uint32_t) ((size - at) / sizeof(gb_cache_bucket_t));

    memcpy(cache->secret, secret, GB_SIPHASH_KEY);

    cache->generation = 1;
    cache->record = sizeof(gb_cache_record_t);

    gb_cache_barrier();
    cache->layout = GB_CACHE_LAYOUT;

    return cache;
}


gb_cache_t *
gb_cache_open(void *block)
{
    gb_cache_t  *cache;

    cache = block;

    return (cache->layout == GB_CACHE_LAYOUT
            && cache->record == sizeof(gb_cache_record_t))
           ? cache : NULL;
}


const unsigned char *
gb_cache_secret(gb_cache_t *cache)
{
    return cache->secret;
}


/* the tenant's length stands before it: no two pairs make the same bytes */

void
gb_cache_key(gb_cache_t *cache, const char *tenant, size_t tenant_len,
    const char *device, size_t device_len, gb_cache_key_t *key)
{
    unsigned char  bytes[1 + 2 * 255];

    tenant_len = tenant_len > 255 ? 255 : tenant_len;
    device_len = device_len > 255 ? 255 : device_len;

    bytes[0] = (unsigned char) tenant_len;
    memcpy(bytes + 1, tenant, tenant_len);
    memcpy(bytes + 1 + tenant_len, device, device_len);

    gb_siphash128(cache->secret, bytes, 1 + tenant_len + device_len, key->id);

    /* of a big fleet neither is in any cache, and there is more to do first */

    __builtin_prefetch(gb_cache_bucket(cache, key, 0));
    __builtin_prefetch(gb_cache_bucket(cache, key, 1));
}


static gb_cache_bucket_t *
gb_cache_bucket(gb_cache_t *cache, const gb_cache_key_t *key, unsigned second)
{
    uint64_t  n;

    n = second ? key->id[1] >> 32 : key->id[1] & 0xffffffff;

    return &gb_cache_buckets(cache)[n * cache->nbuckets >> 32];
}


static uint16_t
gb_cache_tag(const gb_cache_key_t *key)
{
    uint16_t  tag;

    tag = (uint16_t) (key->id[0] >> 48);

    return tag ? tag : 1;
}


/* by device alone, whatever the credential */

static gb_cache_record_t *
gb_cache_lookup(gb_cache_t *cache, const gb_cache_key_t *key,
    gb_cache_bucket_t **bucket, unsigned *way)
{
    uint16_t            tag;
    unsigned            i, n;
    gb_cache_record_t  *record;
    gb_cache_bucket_t  *b;

    tag = gb_cache_tag(key);

    for (n = 0; n < 2; n++) {
        b = gb_cache_bucket(cache, key, n);

        for (i = 0; i < GB_CACHE_WAYS; i++) {

            if (b->tags[i] != tag) {
                continue;
            }

            record = &b->records[i];

            if (record->id[0] == key->id[0] && record->id[1] == key->id[1]) {
                *bucket = b;
                *way = i;
                return record;
            }
        }
    }

    return NULL;
}


int
gb_cache_find(gb_cache_t *cache, const gb_cache_key_t *key,
    const gb_cache_visit_t *visit, unsigned stale, gb_cache_answer_t *answer)
{
    unsigned            way;
    gb_cache_bucket_t  *bucket;
    gb_cache_record_t  *record;

    record = gb_cache_lookup(cache, key, &bucket, &way);

    if (record == NULL
        || record->credential != key->credential
        || !gb_cache_holds(cache, record))
    {
        return 0;
    }

    if (!stale) {

        if (record->valid_until && record->valid_until <= visit->now) {
            return 0;
        }

        if (record->waiting && gb_cache_turn(cache, record, visit->now)) {
            return 0;
        }
    }

    gb_cache_visited(record, visit);
    gb_cache_dirty(cache, bucket, way);

    answer->device_id = record->device_id;
    answer->tenant_id = record->tenant_id;
    answer->installed_id = record->installed_id;
    answer->seconds = record->seconds;
    answer->reason = cache->reasons[record->reason];
    answer->reason_len = strlen(answer->reason);

    return 1;
}


int
gb_cache_store(gb_cache_t *cache, const gb_cache_key_t *key,
    const gb_cache_row_t *row, uint64_t generation,
    const gb_cache_visit_t *visit, gb_cache_seen_t *evicted)
{
    unsigned            way;
    gb_cache_record_t   fresh, *record;
    gb_cache_bucket_t  *bucket;

    evicted->device_id = 0;

    memset(&fresh, 0, sizeof(gb_cache_record_t));

    fresh.id[0] = key->id[0];
    fresh.id[1] = key->id[1];
    fresh.credential = key->credential;
    fresh.generation = generation;
    fresh.valid_until = row->valid_until;
    fresh.device_id = row->device_id;
    fresh.tenant_id = row->tenant_id;
    fresh.installed_id = row->installed_id;
    fresh.seconds = row->seconds & GB_CACHE_SECONDS;
    fresh.latest = row->latest;
    fresh.waiting = row->waiting;
    fresh.reason = gb_cache_reason(cache, row->reason, row->reason_len);

    if (row->seconds > GB_CACHE_SECONDS || row->feed_len > GB_CACHE_NAME
        || (fresh.reason == 0 && row->reason_len))
    {
        return 0;
    }

    if (row->feed) {
        fresh.feeds = 1;
        fresh.feed = gb_cache_feed_slot(cache, row->tenant_id, row->feed,
                                        row->feed_len);
    }

    if (!gb_cache_holds(cache, &fresh)) {
        return 0;
    }

    if (row->waiting) {
        fresh.wait = gb_cache_scope(cache, row, fresh.feed, visit->now);

        if (fresh.wait == GB_CACHE_NO_SCOPE) {
            return 0;
        }
    }

    record = gb_cache_lookup(cache, key, &bucket, &way);

    if (record == NULL) {
        record = gb_cache_place(cache, key, &bucket, &way, evicted);
        cache->entries++;
    }

    /* a process that dies between these leaves a record that does not hold */

    fresh.generation = 0;
    gb_cache_visited(&fresh, visit);

    record->generation = 0;
    gb_cache_barrier();
    *record = fresh;
    bucket->runs[way] = (unsigned char) (row->device_id >> 12);
    gb_cache_barrier();
    bucket->tags[way] = gb_cache_tag(key);
    gb_cache_dirty(cache, bucket, way);
    gb_cache_barrier();
    record->generation = generation;

    return 1;
}


void
gb_cache_drop(gb_cache_t *cache, const gb_cache_key_t *key)
{
    unsigned            way;
    gb_cache_bucket_t  *bucket;
    gb_cache_record_t  *record;

    record = gb_cache_lookup(cache, key, &bucket, &way);

    if (record && record->credential == key->credential) {
        record->generation = 0;
    }
}


static gb_cache_record_t *
gb_cache_place(gb_cache_t *cache, const gb_cache_key_t *key,
    gb_cache_bucket_t **bucket, unsigned *way, gb_cache_seen_t *evicted)
{
    int64_t             oldest, seen;
    unsigned            i, n, room, most;
    gb_cache_bucket_t  *b;

    most = 0;

    for (n = 0; n < 2; n++) {
        b = gb_cache_bucket(cache, key, n);
        room = 0;

        for (i = 0; i < GB_CACHE_WAYS; i++) {
            room += (b->tags[i] == 0);
        }

        if (room > most) {
            most = room;
            *bucket = b;
        }
    }

    if (most) {
        for (i = 0; (*bucket)->tags[i]; i++) { /* void */ }

        *way = i;

        return &(*bucket)->records[i];
    }

    oldest = INT64_MAX;

    for (n = 0; n < 2; n++) {
        b = gb_cache_bucket(cache, key, n);

        for (i = 0; i < GB_CACHE_WAYS; i++) {
            seen = b->records[i].seen;

            if (seen < oldest) {
                oldest = seen;
                *bucket = b;
                *way = i;
            }
        }
    }

    gb_cache_evict(cache, *bucket, *way, evicted);

    return &(*bucket)->records[*way];
}


/* what was taken is in somebody's hands already, who has it back if it fails */

static void
gb_cache_evict(gb_cache_t *cache, gb_cache_bucket_t *bucket, unsigned way,
    gb_cache_seen_t *evicted)
{
    uint16_t            bit;
    gb_cache_record_t  *record;

    bit = (uint16_t) (1u << way);
    record = &bucket->records[way];

    if (bucket->dirty & bit) {
        evicted->device_id = record->device_id;
        evicted->tenant_id = record->tenant_id;
        evicted->seen_at = record->seen;
        evicted->family = record->family;
        memcpy(evicted->address, record->address, sizeof(evicted->address));

        cache->dirty -= cache->dirty ? 1 : 0;
    }

    bucket->tags[way] = 0;
    gb_cache_barrier();
    bucket->dirty &= (uint16_t) ~bit;
    bucket->taken &= (uint16_t) ~bit;

    cache->entries -= cache->entries ? 1 : 0;
    cache->evictions++;
}


static void
gb_cache_visited(gb_cache_record_t *record, const gb_cache_visit_t *visit)
{
    record->seen = visit->now;

    if (visit->family) {
        record->family = visit->family & 3;
        memcpy(record->address, visit->address, sizeof(record->address));
    }
}


static void
gb_cache_dirty(gb_cache_t *cache, gb_cache_bucket_t *bucket, unsigned way)
{
    uint16_t  bit;

    bit = (uint16_t) (1u << way);

    if (!(bucket->dirty & bit)) {
        bucket->dirty |= bit;
        cache->dirty++;
    }
}


/* 0: none, or no room for another */

static unsigned
gb_cache_reason(gb_cache_t *cache, const char *name, size_t len)
{
    char      *reason;
    unsigned   i;

    if (len == 0 || len > GB_CACHE_REASON) {
        return 0;
    }

    for (i = 1; i < GB_CACHE_REASONS; i++) {
        reason = cache->reasons[i];

        if (reason[0] == '\0') {

            /* the first byte last: until then there is nothing */

            memcpy(reason + 1, name + 1, len - 1);
            reason[len] = '\0';
            gb_cache_barrier();
            reason[0] = name[0];
            return i;
        }

        if (strncmp(reason, name, len) == 0 && reason[len] == '\0') {
            return i;
        }
    }

    return 0;
}
