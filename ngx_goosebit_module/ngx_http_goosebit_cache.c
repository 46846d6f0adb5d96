/*
 * cache: the zone's table under its mutex.
 */

#include "ngx_http_goosebit_cache.h"


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


void
ngx_http_goosebit_cache_publish(ngx_http_goosebit_cache_t *cache)
{
    gb_cache_publish(cache->table, cache->next);
}


void
ngx_http_goosebit_cache_synced(ngx_http_goosebit_cache_t *cache,
    ngx_msec_t time)
{
    gb_cache_synced(cache->table, ngx_max(time, 1));
}


ngx_msec_t
ngx_http_goosebit_cache_lag(ngx_http_goosebit_cache_t *cache)
{
    uint64_t        at;
    ngx_msec_int_t  lag;

    at = gb_cache_synced_at(cache->table);

    if (at == 0) {
        return NGX_MAX_INT_T_VALUE;
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
