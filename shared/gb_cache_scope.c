/*
 * What records depend on, and those who wait for a slot.
 *
 * Tenants, feeds and devices have slots by a hash: two that share one go to
 * SQL together, which costs a call and is never wrong.
 */

#include "gb_cache_block.h"

#include <string.h>


static void gb_cache_raise(uint64_t *slot, uint64_t next);
static gb_cache_scope_t *gb_cache_find_scope(gb_cache_t *cache,
    int32_t tenant_id, unsigned feeds, uint16_t feed, gb_cache_scope_t **spare);


uint64_t
gb_cache_generation(gb_cache_t *cache)
{
    return __atomic_load_n(&cache->generation, __ATOMIC_ACQUIRE);
}


uint64_t
gb_cache_next(gb_cache_t *cache)
{
    return gb_cache_generation(cache) + 1;
}


/* never lower: another process may be a generation further */

static void
gb_cache_raise(uint64_t *slot, uint64_t next)
{
    uint64_t  old;

    old = __atomic_load_n(slot, __ATOMIC_RELAXED);

    while (old < next
           && !__atomic_compare_exchange_n(slot, &old, next, 0,
                                           __ATOMIC_RELEASE, __ATOMIC_RELAXED))
    {
        /* void */
    }
}


void
gb_cache_bump_all(gb_cache_t *cache, uint64_t next)
{
    gb_cache_raise(&cache->all, next);
}


void
gb_cache_bump_tenant(gb_cache_t *cache, int32_t tenant_id, uint64_t next)
{
    gb_cache_raise(gb_cache_tenant_slot(cache->tenants, tenant_id), next);
}


void
gb_cache_bump_feed(gb_cache_t *cache, int32_t tenant_id, const char *feed,
    size_t len, uint64_t next)
{
    uint16_t  slot;

    slot = gb_cache_feed_slot(cache, tenant_id, feed, len);

    gb_cache_raise(&gb_cache_feeds(cache)[slot], next);
}


void
gb_cache_bump_latest(gb_cache_t *cache, int32_t tenant_id, uint64_t next)
{
    gb_cache_raise(gb_cache_tenant_slot(cache->latests, tenant_id), next);
}


void
gb_cache_bump_device(gb_cache_t *cache, int32_t tenant_id, int64_t device_id,
    uint64_t next)
{
    gb_cache_raise(gb_cache_device_slot(cache, tenant_id, device_id), next);
}


/* one more of the devices' slots: what shares it costs a call */

void
gb_cache_bump_key(gb_cache_t *cache, const gb_cache_key_t *key, uint64_t next)
{
    gb_cache_raise(gb_cache_device_slot(cache, 0, (int64_t) key->id[0]), next);
}


int
gb_cache_key_holds(gb_cache_t *cache, const gb_cache_key_t *key,
    uint64_t generation)
{
    return *gb_cache_device_slot(cache, 0, (int64_t) key->id[0])
           <= generation;
}


int
gb_cache_publish(gb_cache_t *cache, uint64_t next)
{
    uint64_t  old;

    old = next - 1;

    return __atomic_compare_exchange_n(&cache->generation, &old, next, 0,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}


void
gb_cache_synced(gb_cache_t *cache, uint64_t time)
{
    gb_cache_raise(&cache->synced, time);
}


uint64_t
gb_cache_synced_at(gb_cache_t *cache)
{
    return __atomic_load_n(&cache->synced, __ATOMIC_RELAXED);
}


uint16_t
gb_cache_feed_slot(gb_cache_t *cache, int32_t tenant_id, const char *feed,
    size_t len)
{
    uint64_t  hash;

    hash = gb_siphash(cache->secret, feed, len);

    return (uint16_t) (gb_cache_mix(hash, (uint32_t) tenant_id)
                       & (cache->nfeeds - 1));
}


int
gb_cache_holds(gb_cache_t *cache, const gb_cache_record_t *record)
{
    uint64_t   generation;
    uint64_t  *slot;

    generation = record->generation;

    if (generation == 0 || cache->all > generation) {
        return 0;
    }

    slot = gb_cache_tenant_slot(cache->tenants, record->tenant_id);

    if (*slot > generation) {
        return 0;
    }

    if (record->feeds && gb_cache_feeds(cache)[record->feed] > generation) {
        return 0;
    }

    if (record->latest) {
        slot = gb_cache_tenant_slot(cache->latests, record->tenant_id);

        if (*slot > generation) {
            return 0;
        }
    }

    slot = gb_cache_device_slot(cache, record->tenant_id, record->device_id);

    return *slot <= generation;
}


/* that place, or NULL and in *spare where it may be */

static gb_cache_scope_t *
gb_cache_find_scope(gb_cache_t *cache, int32_t tenant_id, unsigned feeds,
    uint16_t feed, gb_cache_scope_t **spare)
{
    uint32_t           at;
    unsigned           i;
    gb_cache_scope_t  *scope, *oldest;

    oldest = NULL;
    at = gb_cache_mix((uint32_t) tenant_id, feeds ? feed + 1u : 0);

    for (i = 0; i < GB_CACHE_PROBES; i++) {
        scope = &gb_cache_scopes(cache)[(at + i) & (cache->nscopes - 1)];

        if (scope->tenant_id == tenant_id && scope->feeds == feeds
            && scope->feed == feed)
        {
            return scope;
        }

        if (oldest == NULL
            || (oldest->tenant_id && (scope->tenant_id == 0
                                      || scope->touched < oldest->touched)))
        {
            oldest = scope;
        }
    }

    *spare = oldest;

    return NULL;
}


uint16_t
gb_cache_scope(gb_cache_t *cache, const gb_cache_row_t *row, uint16_t feed,
    int64_t now)
{
    unsigned           feeds;
    gb_cache_scope_t  *scope, *spare;

    if (row->tenant_id == 0) {
        return GB_CACHE_NO_SCOPE;
    }

    feeds = row->feed ? 1 : 0;

    scope = gb_cache_find_scope(cache, row->tenant_id, feeds, feed, &spare);

    if (scope == NULL) {

        /* records of the one that was here find somebody else's name */

        scope = spare;
        scope->tenant_id = 0;
        gb_cache_barrier();

        scope->feeds = (uint8_t) feeds;
        scope->feed = feed;
        scope->len = (uint8_t) row->feed_len;
        scope->asked = 0;
        scope->credits = 0;

        if (feeds) {
            memcpy(scope->name, row->feed, row->feed_len);
        }

        gb_cache_barrier();
        scope->tenant_id = row->tenant_id;
    }

    scope->touched = (uint32_t) (now / 1000);

    return (uint16_t) (scope - gb_cache_scopes(cache));
}


int
gb_cache_turn(gb_cache_t *cache, const gb_cache_record_t *record, int64_t now)
{
    gb_cache_scope_t  *scope;

    scope = &gb_cache_scopes(cache)[record->wait];

    if (scope->tenant_id != record->tenant_id
        || scope->feeds != record->feeds || scope->feed != record->feed)
    {
        return 1;
    }

    scope->touched = (uint32_t) (now / 1000);

    if (scope->credits) {
        scope->credits--;
        return 1;
    }

    scope->asked = 1;

    return 0;
}


size_t
gb_cache_waiting(gb_cache_t *cache, gb_cache_wait_t *waits, size_t max)
{
    size_t             n;
    uint32_t           i;
    gb_cache_scope_t  *scope;

    n = 0;

    for (i = 0; i < cache->nscopes && n < max; i++) {
        scope = &gb_cache_scopes(cache)[i];

        if (scope->tenant_id == 0 || scope->asked == 0) {
            continue;
        }

        scope->asked = 0;

        waits[n].tenant_id = scope->tenant_id;
        waits[n].feeds = scope->feeds;
        waits[n].feed_len = scope->len;
        memcpy(waits[n].feed, scope->name, scope->len);
        n++;
    }

    return n;
}


void
gb_cache_free(gb_cache_t *cache, int32_t tenant_id, const char *feed,
    size_t feed_len, uint32_t n)
{
    uint16_t           slot;
    gb_cache_scope_t  *scope, *spare;

    slot = feed ? gb_cache_feed_slot(cache, tenant_id, feed, feed_len) : 0;

    scope = gb_cache_find_scope(cache, tenant_id, feed ? 1 : 0, slot, &spare);

    if (scope) {
        scope->credits = n;
    }
}


void
gb_cache_mark_set(gb_cache_t *cache, const char *text, size_t len)
{
    cache->mark_len = 0;

    if (len > GB_CACHE_MARK) {
        return;
    }

    gb_cache_barrier();
    memcpy(cache->mark, text, len);
    gb_cache_barrier();

    cache->mark_len = len;
}


size_t
gb_cache_mark_get(gb_cache_t *cache, char *text)
{
    memcpy(text, cache->mark, cache->mark_len);

    return cache->mark_len;
}
