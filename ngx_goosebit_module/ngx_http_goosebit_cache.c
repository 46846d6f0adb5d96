/*
 * cache: the zone's table under its mutex.
 */

#include "ngx_http_goosebit_cache.h"


static int64_t ngx_http_goosebit_cache_now(void);
static void ngx_http_goosebit_cache_visit(ngx_http_goosebit_cache_t *cache,
    ngx_connection_t *c, gb_cache_visit_t *visit);


void
ngx_http_goosebit_cache_begin(ngx_http_goosebit_cache_t *cache)
{
    cache->next = gb_cache_next(cache->table);
}


void
ngx_http_goosebit_cache_bump_all(ngx_http_goosebit_cache_t *cache)
{
    gb_cache_bump_all(cache->table, cache->next);
}


void
ngx_http_goosebit_cache_bump_tenant(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id)
{
    gb_cache_bump_tenant(cache->table, tenant_id, cache->next);
}


void
ngx_http_goosebit_cache_bump_feed(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id, ngx_str_t *feed)
{
    gb_cache_bump_feed(cache->table, tenant_id, (char *) feed->data, feed->len,
                       cache->next);
}


void
ngx_http_goosebit_cache_bump_latest(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id)
{
    gb_cache_bump_latest(cache->table, tenant_id, cache->next);
}


void
ngx_http_goosebit_cache_bump_device(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id, int64_t device_id)
{
    gb_cache_bump_device(cache->table, tenant_id, device_id, cache->next);
}


/*
 * The next generation, without making it the present one: that is up to who
 * reads the journal, and will come to this device's row, too.  Whoever makes
 * the same number the present one meanwhile does no harm, as all that is asked
 * under it is asked after the commit.
 */

void
ngx_http_goosebit_cache_end_device(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key, int32_t tenant_id, int64_t device_id)
{
    uint64_t  next;

    next = gb_cache_next(cache->table);

    gb_cache_bump_device(cache->table, tenant_id, device_id, next);
    gb_cache_bump_key(cache->table, key, next);
}


ngx_uint_t
ngx_http_goosebit_cache_counts(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key, uint64_t generation)
{
    return gb_cache_key_holds(cache->table, key, generation);
}


ngx_int_t
ngx_http_goosebit_cache_publish(ngx_http_goosebit_cache_t *cache)
{
    return gb_cache_publish(cache->table, cache->next) ? NGX_OK : NGX_AGAIN;
}


void
ngx_http_goosebit_cache_synced(ngx_http_goosebit_cache_t *cache,
    ngx_msec_t time)
{
    gb_cache_synced(cache->table, ngx_max(time, 1));
}


void
ngx_http_goosebit_cache_mark_set(ngx_http_goosebit_cache_t *cache,
    ngx_str_t *mark)
{
    ngx_shmtx_lock(&cache->shpool->mutex);

    gb_cache_mark_set(cache->table, (char *) mark->data, mark->len);

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


size_t
ngx_http_goosebit_cache_mark_get(ngx_http_goosebit_cache_t *cache,
    u_char *mark)
{
    size_t  len;

    ngx_shmtx_lock(&cache->shpool->mutex);

    len = gb_cache_mark_get(cache->table, (char *) mark);

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return len;
}


ngx_msec_t
ngx_http_goosebit_cache_lag(ngx_http_goosebit_cache_t *cache)
{
    uint64_t        at;
    ngx_msec_int_t  lag;

    at = gb_cache_synced_at(cache->table);

    if (at == 0) {
        return NGX_MAX_INT32_VALUE;
    }

    /* clocks of two workers are some milliseconds apart */

    lag = (ngx_msec_int_t) (ngx_current_msec - (ngx_msec_t) at);

    return ngx_max(lag, 0);
}


ngx_uint_t
ngx_http_goosebit_cache_waiting(ngx_http_goosebit_cache_t *cache,
    gb_cache_wait_t *waits, ngx_uint_t max)
{
    ngx_uint_t  n;

    ngx_shmtx_lock(&cache->shpool->mutex);

    n = gb_cache_waiting(cache->table, waits, max);

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return n;
}


void
ngx_http_goosebit_cache_free(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id, ngx_str_t *feed, ngx_uint_t n)
{
    ngx_shmtx_lock(&cache->shpool->mutex);

    gb_cache_free(cache->table, tenant_id, feed ? (char *) feed->data : NULL,
                  feed ? feed->len : 0,
                  (uint32_t) ngx_min(n, NGX_MAX_UINT32_VALUE));

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


void
ngx_http_goosebit_cache_seen_recover(ngx_http_goosebit_cache_t *cache)
{
    ngx_shmtx_lock(&cache->shpool->mutex);

    gb_cache_recover(cache->table);

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


ngx_uint_t
ngx_http_goosebit_cache_seen_take(ngx_http_goosebit_cache_t *cache,
    gb_cache_scan_t *scan, gb_cache_seen_t *rows, ngx_uint_t max)
{
    ngx_uint_t  n;

    ngx_shmtx_lock(&cache->shpool->mutex);

    n = gb_cache_take(cache->table, scan, rows, max);

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return n;
}


void
ngx_http_goosebit_cache_seen_done(ngx_http_goosebit_cache_t *cache,
    gb_cache_seen_t *rows, ngx_uint_t n)
{
    ngx_shmtx_lock(&cache->shpool->mutex);

    gb_cache_done(cache->table, rows, n);

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


ngx_uint_t
ngx_http_goosebit_cache_seen_back(ngx_http_goosebit_cache_t *cache,
    gb_cache_seen_t *rows, ngx_uint_t n)
{
    ngx_uint_t  gone;

    ngx_shmtx_lock(&cache->shpool->mutex);

    gone = gb_cache_back(cache->table, rows, n);

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return gone;
}


/* as ngx_sock_ntop() writes addr_text */

size_t
ngx_http_goosebit_cache_seen_address(gb_cache_seen_t *row, u_char *text)
{
    switch (row->family) {

    case GB_CACHE_IPV4:
        return ngx_inet_ntop(AF_INET, row->address, text,
                             NGX_HTTP_GOOSEBIT_CACHE_ADDRESS);

#if (NGX_HAVE_INET6)
    case GB_CACHE_IPV6:
        return ngx_inet6_ntop(row->address, text,
                              NGX_HTTP_GOOSEBIT_CACHE_ADDRESS);
#endif

    case GB_CACHE_UNIX:
        return ngx_cpymem(text, "unix:", 5) - text;

    default:
        return 0;
    }
}


ngx_uint_t
ngx_http_goosebit_cache_seen_pending(ngx_http_goosebit_cache_t *cache)
{
    gb_cache_stat_t  stat;

    gb_cache_stat(cache->table, &stat);

    return stat.dirty;
}


uint64_t
ngx_http_goosebit_cache_generation(ngx_http_goosebit_cache_t *cache)
{
    return gb_cache_generation(cache->table);
}


void
ngx_http_goosebit_cache_stat(ngx_http_goosebit_cache_t *cache,
    gb_cache_stat_t *stat)
{
    gb_cache_stat(cache->table, stat);
}


void
ngx_http_goosebit_cache_key(ngx_http_goosebit_cache_t *cache,
    ngx_str_t *tenant, ngx_str_t *device, ngx_uint_t kind, ngx_str_t *secret,
    gb_cache_key_t *key)
{
    gb_cache_key(cache->table, (char *) tenant->data, tenant->len,
                 (char *) device->data, device->len, key);

    key->credential = gb_siphash(cache->kinds[kind], secret->data,
                                 secret->len);
}


/* Unix, ms */

static int64_t
ngx_http_goosebit_cache_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


static void
ngx_http_goosebit_cache_visit(ngx_http_goosebit_cache_t *cache,
    ngx_connection_t *c, gb_cache_visit_t *visit)
{
    struct sockaddr_in    *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6   *sin6;
#endif

    visit->now = ngx_http_goosebit_cache_now();
    visit->family = GB_CACHE_NOWHERE;

    if (!cache->address) {
        return;
    }

    switch (c->sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) c->sockaddr;
        visit->family = GB_CACHE_IPV4;
        ngx_memcpy(visit->address, &sin->sin_addr, 4);
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) c->sockaddr;
        visit->family = GB_CACHE_IPV6;
        ngx_memcpy(visit->address, &sin6->sin6_addr, 16);
        break;
#endif

#if (NGX_HAVE_UNIX_DOMAIN)
    case AF_UNIX:
        visit->family = GB_CACHE_UNIX;
        break;
#endif

    default:
        break;
    }
}


ngx_int_t
ngx_http_goosebit_cache_find(ngx_http_goosebit_cache_t *cache,
    ngx_connection_t *c, gb_cache_key_t *key, ngx_uint_t stale,
    gb_cache_answer_t *answer)
{
    int               found;
    gb_cache_visit_t  visit;

    ngx_http_goosebit_cache_visit(cache, c, &visit);

    ngx_shmtx_lock(&cache->shpool->mutex);

    found = gb_cache_find(cache->table, key, &visit, stale ? 1 : 0, answer);

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return found ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_goosebit_cache_store(ngx_http_goosebit_cache_t *cache,
    ngx_connection_t *c, gb_cache_key_t *key, gb_cache_row_t *row,
    uint64_t generation, gb_cache_seen_t *evicted)
{
    int               stored;
    gb_cache_visit_t  visit;

    ngx_http_goosebit_cache_visit(cache, c, &visit);

    ngx_shmtx_lock(&cache->shpool->mutex);

    stored = gb_cache_store(cache->table, key, row, generation, &visit,
                            evicted);

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return stored ? NGX_OK : NGX_DECLINED;
}


void
ngx_http_goosebit_cache_drop(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key)
{
    ngx_shmtx_lock(&cache->shpool->mutex);

    gb_cache_drop(cache->table, key);

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


ngx_queue_t *
ngx_http_goosebit_cache_flights(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key)
{
    return &cache->flights[key->id[0] & (NGX_HTTP_GOOSEBIT_CACHE_FLIGHTS - 1)];
}


ngx_int_t
ngx_http_goosebit_cache_grant_find(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key, gb_cache_grant_t *grant)
{
    int  found;

    ngx_shmtx_lock(&cache->shpool->mutex);

    found = gb_cache_grant_find(cache->table, key,
                                ngx_http_goosebit_cache_now(), grant);

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return found ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_goosebit_cache_grant_store(ngx_http_goosebit_cache_t *cache,
    gb_cache_key_t *key, gb_cache_grant_t *grant, uint64_t generation)
{
    int  stored;

    ngx_shmtx_lock(&cache->shpool->mutex);

    stored = gb_cache_grant_store(cache->table, key, grant, generation,
                                  ngx_http_goosebit_cache_now());

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return stored ? NGX_OK : NGX_DECLINED;
}
