/*
 * Devices seen and not yet written down.
 */

#include "gb_cache_block.h"

#include <string.h>


#define GB_CACHE_SCAN  4096             /* buckets looked at in one call */


static gb_cache_bucket_t *gb_cache_taken(gb_cache_t *cache,
    const gb_cache_seen_t *row, uint16_t *bit);


size_t
gb_cache_take(gb_cache_t *cache, gb_cache_scan_t *scan, gb_cache_seen_t *rows,
    size_t max)
{
    size_t              n;
    uint32_t            end;
    unsigned            i, run, first, last;
    gb_cache_bucket_t  *b;
    gb_cache_record_t  *record;

    n = 0;
    first = scan->part * GB_CACHE_PARTS / scan->parts;
    last = (scan->part + 1) * GB_CACHE_PARTS / scan->parts;
    end = scan->bucket + GB_CACHE_SCAN;

    for ( /* void */ ; scan->bucket < cache->nbuckets; scan->bucket++) {
        b = &gb_cache_buckets(cache)[scan->bucket];

        if (scan->bucket >= end || n + GB_CACHE_WAYS > max) {
            return n;
        }

        if (b->dirty == 0) {
            continue;
        }

        for (i = 0; i < GB_CACHE_WAYS; i++) {
            run = b->runs[i];

            if (!(b->dirty >> i & 1) || run < first || run >= last) {
                continue;
            }

            record = &b->records[i];

            rows[n].device_id = record->device_id;
            rows[n].tenant_id = record->tenant_id;
            rows[n].seen_at = record->seen;
            rows[n].family = record->family;
            rows[n].place = scan->bucket * GB_CACHE_WAYS + i;
            memcpy(rows[n].address, record->address, sizeof(rows[n].address));
            n++;

            b->taken |= (uint16_t) (1u << i);
            gb_cache_barrier();
            b->dirty &= (uint16_t) ~(1u << i);
            cache->dirty -= cache->dirty ? 1 : 0;
        }
    }

    scan->done = 1;

    return n;
}


/* where the row's record is still the one that was taken; else NULL */

static gb_cache_bucket_t *
gb_cache_taken(gb_cache_t *cache, const gb_cache_seen_t *row, uint16_t *bit)
{
    unsigned            way;
    gb_cache_bucket_t  *b;

    way = row->place % GB_CACHE_WAYS;
    b = &gb_cache_buckets(cache)[row->place / GB_CACHE_WAYS];
    *bit = (uint16_t) (1u << way);

    return ((b->taken & *bit) && b->tags[way]
            && b->records[way].device_id == row->device_id
            && b->records[way].tenant_id == row->tenant_id)
           ? b : NULL;
}


void
gb_cache_done(gb_cache_t *cache, const gb_cache_seen_t *rows, size_t n)
{
    size_t              i;
    uint16_t            bit;
    gb_cache_bucket_t  *b;

    for (i = 0; i < n; i++) {
        b = gb_cache_taken(cache, &rows[i], &bit);

        if (b) {
            b->taken &= (uint16_t) ~bit;
        }
    }
}


size_t
gb_cache_back(gb_cache_t *cache, gb_cache_seen_t *rows, size_t n)
{
    size_t              i, gone;
    uint16_t            bit;
    gb_cache_bucket_t  *b;

    gone = 0;

    for (i = 0; i < n; i++) {
        b = gb_cache_taken(cache, &rows[i], &bit);

        if (b == NULL) {
            rows[gone++] = rows[i];
            continue;
        }

        if (!(b->dirty & bit)) {
            b->dirty |= bit;
            cache->dirty++;
        }

        gb_cache_barrier();
        b->taken &= (uint16_t) ~bit;
    }

    return gone;
}


void
gb_cache_recover(gb_cache_t *cache)
{
    uint32_t            i;
    uint64_t            entries, dirty;
    unsigned            n;
    gb_cache_bucket_t  *b;

    entries = 0;
    dirty = 0;

    for (i = 0; i < cache->nbuckets; i++) {
        b = &gb_cache_buckets(cache)[i];

        b->dirty |= b->taken;
        gb_cache_barrier();
        b->taken = 0;

        for (n = 0; n < GB_CACHE_WAYS; n++) {

            if (b->tags[n]) {
                entries++;

            } else {
                b->dirty &= (uint16_t) ~(1u << n);
            }
        }

        dirty += (unsigned) __builtin_popcount(b->dirty);
    }

    cache->entries = entries;
    cache->dirty = dirty;
}


void
gb_cache_stat(gb_cache_t *cache, gb_cache_stat_t *stat)
{
    stat->places = (uint64_t) cache->nbuckets * GB_CACHE_WAYS;
    stat->entries = cache->entries;
    stat->bytes = cache->buckets + stat->entries * sizeof(gb_cache_bucket_t)
                                   / GB_CACHE_WAYS;
    stat->evictions = cache->evictions;
    stat->dirty = cache->dirty;
}
