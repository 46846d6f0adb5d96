/*
 * Counters in shared memory.  What only goes up is one figure for all; what
 * goes down again is one a worker, so that a killed worker takes its own along.
 */

#include "ngx_http_goosebit_metrics_zone.h"


#define NGX_HTTP_GOOSEBIT_ZONE_SIZE  (32 * 4096)


static ngx_int_t ngx_http_goosebit_metrics_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_uint_t ngx_http_goosebit_metrics_alive(
    ngx_http_goosebit_worker_t *worker);
static void ngx_http_goosebit_metrics_downloaded(void *data);
static ngx_http_goosebit_cache_e ngx_http_goosebit_metrics_poll(
    ngx_http_goosebit_ctx_t *ctx);
static ngx_uint_t ngx_http_goosebit_metrics_complete(ngx_http_request_t *r,
    off_t sent);


static ngx_str_t  ngx_http_goosebit_metrics_endpoints[] = {
    ngx_string("other"),
    ngx_string("poll"),
    ngx_string("configData"),
    ngx_string("deploymentBase"),
    ngx_string("deploymentBase_feedback"),
    ngx_string("cancelAction"),
    ngx_string("cancelAction_feedback"),
    ngx_string("installedBase"),
    ngx_string("installedBase_version"),
    ngx_string("confirmationBase"),
    ngx_string("confirmationBase_action"),
    ngx_string("confirmationBase_feedback"),
    ngx_string("activateAutoConfirm"),
    ngx_string("deactivateAutoConfirm"),
    ngx_string("artifacts"),
    ngx_string("artifact"),
    ngx_string("md5sum")
};


static ngx_str_t  ngx_http_goosebit_metrics_caches[] = {
    ngx_null_string,
    ngx_string("HIT"),
    ngx_string("MISS"),
    ngx_string("STALE"),
    ngx_string("BYPASS")
};


/* the last counts all others */
const ngx_uint_t  ngx_http_goosebit_metrics_statuses[] = {
    200, 206, 302, 304, 400, 401, 403, 404, 405, 406, 408, 410, 412, 413, 414,
    415, 416, 429, 499, 500, 503, 0
};


ngx_int_t
ngx_http_goosebit_metrics_zone(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf)
{
    ngx_str_t  name = ngx_string("goosebit_metrics");

    mcf->metrics_zone = ngx_shared_memory_add(cf, &name,
                                              NGX_HTTP_GOOSEBIT_ZONE_SIZE,
                                              &ngx_http_goosebit_module);
    if (mcf->metrics_zone == NULL) {
        return NGX_ERROR;
    }

    mcf->metrics_zone->init = ngx_http_goosebit_metrics_init_zone;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_metrics_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t           *shpool;
    ngx_http_goosebit_zone_t  *zone;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    /* a reload keeps what was counted, unless by a module of another build */

    zone = data;

    if (zone == NULL && shm_zone->shm.exists) {
        zone = shpool->data;
    }

    if (zone && zone->layout == sizeof(ngx_http_goosebit_zone_t)) {
        shm_zone->data = zone;
        return NGX_OK;
    }

    zone = ngx_slab_calloc(shpool, sizeof(ngx_http_goosebit_zone_t));
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->layout = sizeof(ngx_http_goosebit_zone_t);

    shpool->data = zone;
    shm_zone->data = zone;

    return NGX_OK;
}


ngx_http_goosebit_metrics_t *
ngx_http_goosebit_metrics_init(ngx_cycle_t *cycle,
    ngx_http_goosebit_main_conf_t *mcf)
{
    ngx_uint_t                    i;
    ngx_atomic_uint_t             pid;
    ngx_http_goosebit_worker_t   *worker;
    ngx_http_goosebit_metrics_t  *metrics;

    if (mcf->metrics_zone == NULL || mcf->metrics_zone->data == NULL) {
        return NULL;
    }

    metrics = ngx_pcalloc(cycle->pool, sizeof(ngx_http_goosebit_metrics_t));
    if (metrics == NULL) {
        return NULL;
    }

    metrics->zone = mcf->metrics_zone->data;
    metrics->worker = &metrics->none;

    for (i = 0; i < NGX_HTTP_GOOSEBIT_WORKERS; i++) {
        worker = &metrics->zone->workers[i];
        pid = worker->pid;

        if (!ngx_http_goosebit_metrics_alive(worker)
            && ngx_atomic_cmp_set(&worker->pid, pid, ngx_pid))
        {
            ngx_memzero(worker->gauges, sizeof(worker->gauges));
            metrics->worker = worker;
            break;
        }
    }

    return metrics;
}


void
ngx_http_goosebit_metrics_exit(ngx_http_goosebit_metrics_t *metrics)
{
    metrics->worker->pid = 0;

    if (metrics->devices_pool) {
        ngx_destroy_pool(metrics->devices_pool);
    }
}


static ngx_uint_t
ngx_http_goosebit_metrics_alive(ngx_http_goosebit_worker_t *worker)
{
    if (worker->pid == 0) {
        return 0;
    }

    return kill((pid_t) worker->pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}


void
ngx_http_goosebit_metrics_count(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_counter_e counter, uint64_t n)
{
    if (metrics) {
        (void) ngx_atomic_fetch_add(&metrics->zone->counters[counter],
                                    (ngx_atomic_int_t) n);
    }
}


void
ngx_http_goosebit_metrics_gauge(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_gauge_e gauge, ngx_int_t change)
{
    if (metrics) {
        metrics->worker->gauges[gauge] += change;
    }
}


void
ngx_http_goosebit_metrics_set(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_gauge_e gauge, ngx_uint_t value)
{
    if (metrics) {
        metrics->worker->gauges[gauge] = value;
    }
}


void
ngx_http_goosebit_metrics_snapshot(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_zone_t *copy, ngx_uint_t *gauges)
{
    ngx_uint_t                   i, n;
    ngx_http_goosebit_worker_t  *worker;

    *copy = *metrics->zone;

    ngx_memzero(gauges, NGX_HTTP_GOOSEBIT_GAUGES * sizeof(ngx_uint_t));

    for (i = 0; i < NGX_HTTP_GOOSEBIT_WORKERS; i++) {
        worker = &copy->workers[i];

        if (!ngx_http_goosebit_metrics_alive(worker)) {
            continue;
        }

        for (n = 0; n < NGX_HTTP_GOOSEBIT_GAUGES; n++) {
            gauges[n] += worker->gauges[n];
        }
    }
}


ngx_int_t
ngx_http_goosebit_metrics_download(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_goosebit_metrics_downloaded;
    cln->data = mcf;

    ngx_http_goosebit_metrics_gauge(mcf->metrics,
                                    NGX_HTTP_GOOSEBIT_DOWNLOADS_ACTIVE, 1);

    return NGX_OK;
}


static void
ngx_http_goosebit_metrics_downloaded(void *data)
{
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = data;

    ngx_http_goosebit_metrics_gauge(mcf->metrics,
                                    NGX_HTTP_GOOSEBIT_DOWNLOADS_ACTIVE, -1);
}


ngx_str_t *
ngx_http_goosebit_metrics_endpoint(ngx_http_goosebit_endpoint_e endpoint)
{
    return &ngx_http_goosebit_metrics_endpoints[endpoint];
}


ngx_str_t *
ngx_http_goosebit_metrics_cache(ngx_http_goosebit_ctx_t *ctx)
{
    return &ngx_http_goosebit_metrics_caches[
                                   ngx_http_goosebit_metrics_poll(ctx)];
}


/* a poll of which nobody says otherwise has not met a cache */

static ngx_http_goosebit_cache_e
ngx_http_goosebit_metrics_poll(ngx_http_goosebit_ctx_t *ctx)
{
    if (ctx->cache_status == NGX_HTTP_GOOSEBIT_CACHE_NONE
        && ctx->endpoint == NGX_HTTP_GOOSEBIT_POLL)
    {
        return NGX_HTTP_GOOSEBIT_CACHE_BYPASS;
    }

    return ctx->cache_status;
}


ngx_int_t
ngx_http_goosebit_metrics_log_handler(ngx_http_request_t *r)
{
    off_t                           sent;
    ngx_uint_t                      status, i;
    ngx_http_goosebit_ctx_t        *ctx;
    ngx_http_goosebit_zone_t       *zone;
    ngx_http_goosebit_main_conf_t  *mcf;

    ctx = ngx_http_goosebit_ctx_get(r);
    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);

    if (ctx == NULL || mcf->metrics == NULL) {
        return NGX_OK;
    }

    zone = mcf->metrics->zone;
    status = r->err_status ? r->err_status : r->headers_out.status;

    for (i = 0; i < NGX_HTTP_GOOSEBIT_STATUSES - 1; i++) {
        if (ngx_http_goosebit_metrics_statuses[i] == status) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&zone->requests[ctx->endpoint][i], 1);

    if (ctx->endpoint == NGX_HTTP_GOOSEBIT_POLL) {
        i = ngx_http_goosebit_metrics_poll(ctx);
        (void) ngx_atomic_fetch_add(&zone->polls[i], 1);
    }

    if (ctx->endpoint == NGX_HTTP_GOOSEBIT_ARTIFACT && !r->header_only
        && (status == NGX_HTTP_OK || status == NGX_HTTP_PARTIAL_CONTENT))
    {
        sent = r->connection->sent - r->header_size;

        if (sent > 0) {
            ngx_http_goosebit_metrics_count(mcf->metrics,
                                            NGX_HTTP_GOOSEBIT_DOWNLOAD_BYTES,
                                            sent);
        }

        if (ngx_http_goosebit_metrics_complete(r, sent)) {
            (void) ngx_atomic_fetch_add(
                   &zone->counters[NGX_HTTP_GOOSEBIT_DOWNLOADS_COMPLETE], 1);
        }
    }

    return NGX_OK;
}


/* all of the body was sent, and it holds the file's last byte */

static ngx_uint_t
ngx_http_goosebit_metrics_complete(ngx_http_request_t *r, off_t sent)
{
    off_t             n, end;
    u_char           *p, *last;
    ngx_table_elt_t  *range;

    if (r->headers_out.content_length_n < 0
        || sent < r->headers_out.content_length_n)
    {
        return 0;
    }

    range = r->headers_out.content_range;

    if (range == NULL) {
        return r->headers_out.status == NGX_HTTP_OK;
    }

    /* "bytes 0-99/100", as NGINX or this module has written it */

    p = range->value.data;
    last = p + range->value.len;
    n = 0;
    end = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p >= '0' && *p <= '9') {
            n = n * 10 + (*p - '0');
            continue;
        }

        if (*p == '/') {
            end = n + 1;
        }

        n = 0;
    }

    return n && n == end;
}
