/*
 * A row costs PostgreSQL a third where many of one page are written at once.
 * So what few devices left since the last second is written whole; where there
 * are many, a tenth of all ids is, in order, and the next tenth a second later.
 *
 * Looking for them takes the zone's lock again and again, a while apart, so
 * that no request waits for it.
 */

#include "ngx_http_goosebit_sync_zone.h"
#include "ngx_http_goosebit_cache.h"
#include "ngx_http_goosebit_metrics.h"
#include "ngx_http_goosebit_sync.h"
#include "ngx_http_goosebit_sync_write.h"


#define NGX_HTTP_GOOSEBIT_ZONE_FEW    4096      /* devices: written whole */
#define NGX_HTTP_GOOSEBIT_ZONE_PARTS  10
#define NGX_HTTP_GOOSEBIT_ZONE_ROWS   32768     /* at most, in one go */
#define NGX_HTTP_GOOSEBIT_ZONE_LEAST  16        /* gb_cache_take() wants */
#define NGX_HTTP_GOOSEBIT_ZONE_PAUSE  2         /* ms */


struct ngx_http_goosebit_sync_zone_s {
    ngx_http_goosebit_main_conf_t  *mcf;
    ngx_log_t                      *log;
    ngx_event_t                     timer;      /* of the look-up */

    gb_cache_scan_t                 scan;
    ngx_uint_t                      part;       /* the next one */
    ngx_uint_t                      last;       /* 1: of this worker */

    gb_cache_seen_t                *rows;       /* NULL: nothing under way */
    ngx_uint_t                      n;
    ngx_uint_t                      sent;
    ngx_uint_t                      chunk;      /* on its way */
    ngx_pool_t                     *pool;       /* of the chunk */
};


static void ngx_http_goosebit_sync_zone_timer(ngx_event_t *ev);
static ngx_uint_t ngx_http_goosebit_sync_zone_look(
    ngx_http_goosebit_sync_zone_t *zone);
static void ngx_http_goosebit_sync_zone_write(
    ngx_http_goosebit_sync_zone_t *zone);
static ngx_http_goosebit_pg_query_t *ngx_http_goosebit_sync_zone_query(
    ngx_http_goosebit_sync_zone_t *zone);
static void ngx_http_goosebit_sync_zone_written(
    ngx_http_goosebit_pg_result_t *result, void *data);
static void ngx_http_goosebit_sync_zone_back(
    ngx_http_goosebit_sync_zone_t *zone);
static void ngx_http_goosebit_sync_zone_end(
    ngx_http_goosebit_sync_zone_t *zone);
static int ngx_libc_cdecl ngx_http_goosebit_sync_zone_compare(
    const void *one, const void *two);


ngx_http_goosebit_sync_zone_t *
ngx_http_goosebit_sync_zone_init(ngx_cycle_t *cycle,
    ngx_http_goosebit_main_conf_t *mcf)
{
    ngx_http_goosebit_sync_zone_t  *zone;

    zone = ngx_pcalloc(cycle->pool, sizeof(ngx_http_goosebit_sync_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    zone->mcf = mcf;
    zone->log = cycle->log;

    zone->timer.handler = ngx_http_goosebit_sync_zone_timer;
    zone->timer.data = zone;
    zone->timer.log = cycle->log;
    zone->timer.cancelable = 1;

    if (ngx_worker == 0) {
        ngx_http_goosebit_cache_seen_recover(mcf->cache);
    }

    return zone;
}


void
ngx_http_goosebit_sync_zone_exit(ngx_http_goosebit_sync_zone_t *zone)
{
    if (zone->timer.timer_set) {
        ngx_del_timer(&zone->timer);
    }

    if (zone->pool) {
        ngx_destroy_pool(zone->pool);
    }

    if (zone->rows) {
        /* who is here is the last to take: for the next start, if any */
        ngx_http_goosebit_sync_zone_back(zone);
        ngx_free(zone->rows);
    }
}


void
ngx_http_goosebit_sync_zone_flush(ngx_http_goosebit_sync_zone_t *zone)
{
    ngx_uint_t                  pending;
    ngx_http_goosebit_cache_t  *cache;

    cache = zone->mcf->cache;

    if (ngx_exiting && zone->timer.timer_set) {
        ngx_del_timer(&zone->timer);
        ngx_http_goosebit_sync_zone_timer(&zone->timer);
        return;
    }

    pending = ngx_http_goosebit_cache_seen_pending(cache);

    if (zone->rows || (pending == 0 && !ngx_exiting)
        || ngx_http_goosebit_pg_down(zone->mcf->pg))
    {
        return;
    }

    zone->rows = ngx_alloc(NGX_HTTP_GOOSEBIT_ZONE_ROWS
                           * sizeof(gb_cache_seen_t), zone->log);
    if (zone->rows == NULL) {
        return;
    }

    /* the last one goes on where there was no room for more */

    if (!zone->last) {
        ngx_memzero(&zone->scan, sizeof(gb_cache_scan_t));
        zone->scan.parts = 1;

        if (ngx_exiting) {
            zone->last = 1;

        } else if (pending > NGX_HTTP_GOOSEBIT_ZONE_FEW) {
            zone->scan.parts = NGX_HTTP_GOOSEBIT_ZONE_PARTS;
            zone->scan.part = zone->part++ % NGX_HTTP_GOOSEBIT_ZONE_PARTS;
        }
    }

    zone->n = 0;
    zone->sent = 0;

    ngx_http_goosebit_sync_zone_timer(&zone->timer);
}


static void
ngx_http_goosebit_sync_zone_timer(ngx_event_t *ev)
{
    ngx_http_goosebit_sync_zone_t  *zone;

    zone = ev->data;

    do {
        if (ngx_http_goosebit_sync_zone_look(zone)) {
            ngx_qsort(zone->rows, zone->n, sizeof(gb_cache_seen_t),
                      ngx_http_goosebit_sync_zone_compare);
            ngx_http_goosebit_sync_zone_write(zone);
            return;
        }
    } while (ngx_exiting);

    ngx_add_timer(&zone->timer, NGX_HTTP_GOOSEBIT_ZONE_PAUSE);
}


/* true: that was all, or all there is room for */

static ngx_uint_t
ngx_http_goosebit_sync_zone_look(ngx_http_goosebit_sync_zone_t *zone)
{
    zone->n += ngx_http_goosebit_cache_seen_take(zone->mcf->cache,
                                                 &zone->scan,
                                                 zone->rows + zone->n,
                                                 NGX_HTTP_GOOSEBIT_ZONE_ROWS
                                                 - zone->n);

    return zone->scan.done
           || NGX_HTTP_GOOSEBIT_ZONE_ROWS - zone->n
              < NGX_HTTP_GOOSEBIT_ZONE_LEAST;
}


static void
ngx_http_goosebit_sync_zone_write(ngx_http_goosebit_sync_zone_t *zone)
{
    ngx_http_goosebit_pg_query_t  *q;

    if (zone->sent == zone->n) {
        ngx_http_goosebit_sync_zone_end(zone);
        return;
    }

    zone->chunk = ngx_min(zone->n - zone->sent, NGX_HTTP_GOOSEBIT_SYNC_CHUNK);
    zone->pool = ngx_create_pool(4096, zone->log);

    q = zone->pool ? ngx_http_goosebit_sync_zone_query(zone) : NULL;

    if (q == NULL) {

        if (zone->pool) {
            ngx_destroy_pool(zone->pool);
            zone->pool = NULL;
        }

        ngx_http_goosebit_sync_zone_back(zone);
        return;
    }

    q->handler = ngx_http_goosebit_sync_zone_written;
    q->data = zone;

    ngx_http_goosebit_pg_submit(zone->mcf->pg, q);
}


static ngx_http_goosebit_pg_query_t *
ngx_http_goosebit_sync_zone_query(ngx_http_goosebit_sync_zone_t *zone)
{
    u_char                         *text;
    ngx_uint_t                      i;
    gb_cache_seen_t                *seen;
    ngx_http_goosebit_sync_rows_t   rows;

    text = ngx_palloc(zone->pool,
                      zone->chunk * NGX_HTTP_GOOSEBIT_CACHE_ADDRESS);

    if (text == NULL
        || ngx_http_goosebit_sync_rows(zone->pool, zone->chunk, &rows)
           != NGX_OK)
    {
        return NULL;
    }

    seen = zone->rows + zone->sent;

    for (i = 0; i < zone->chunk; i++) {
        rows.tenants[i] = seen[i].tenant_id;
        rows.devices[i] = seen[i].device_id;
        rows.times[i] = seen[i].seen_at;

        rows.addresses[i].len =
            ngx_http_goosebit_cache_seen_address(&seen[i], text);

        if (rows.addresses[i].len) {
            rows.addresses[i].data = text;
            text += rows.addresses[i].len;
        }
    }

    return ngx_http_goosebit_sync_query(zone->pool, &rows);
}


static void
ngx_http_goosebit_sync_zone_written(ngx_http_goosebit_pg_result_t *result,
    void *data)
{
    ngx_uint_t                      status;
    ngx_http_goosebit_sync_zone_t  *zone;

    zone = data;
    status = result->status;

    ngx_destroy_pool(zone->pool);
    zone->pool = NULL;

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        ngx_http_goosebit_sync_zone_back(zone);
        return;
    }

    if (status != NGX_HTTP_OK) {
        ngx_log_error(NGX_LOG_ERR, zone->log, 0,
                      "goosebit: the last seen times of %ui devices are lost",
                      zone->chunk);
        ngx_http_goosebit_metrics_count(zone->mcf->metrics,
                                        NGX_HTTP_GOOSEBIT_SEEN_LOST,
                                        zone->chunk);
    }

    ngx_http_goosebit_cache_seen_done(zone->mcf->cache,
                                      zone->rows + zone->sent, zone->chunk);
    zone->sent += zone->chunk;

    ngx_http_goosebit_sync_zone_write(zone);
}


/* not written: the zone's again, or this worker's where that has no place */

static void
ngx_http_goosebit_sync_zone_back(ngx_http_goosebit_sync_zone_t *zone)
{
    ngx_uint_t        i, n;
    gb_cache_seen_t  *rows;

    rows = zone->rows + zone->sent;

    n = ngx_http_goosebit_cache_seen_back(zone->mcf->cache, rows,
                                          zone->n - zone->sent);

    for (i = 0; i < n; i++) {
        ngx_http_goosebit_sync_evicted(zone->mcf, &rows[i]);
    }

    zone->n = 0;
    zone->sent = 0;

    if (!ngx_exiting) {
        ngx_http_goosebit_sync_zone_end(zone);
    }
}


static void
ngx_http_goosebit_sync_zone_end(ngx_http_goosebit_sync_zone_t *zone)
{
    ngx_free(zone->rows);
    zone->rows = NULL;

    /* once: others may go on answering from the zone for ever */

    if (ngx_exiting && !(zone->last && zone->scan.done)) {
        ngx_http_goosebit_sync_zone_flush(zone);
    }
}


static int ngx_libc_cdecl
ngx_http_goosebit_sync_zone_compare(const void *one, const void *two)
{
    const gb_cache_seen_t  *a, *b;

    a = one;
    b = two;

    if (a->tenant_id != b->tenant_id) {
        return (a->tenant_id < b->tenant_id) ? -1 : 1;
    }

    if (a->device_id != b->device_id) {
        return (a->device_id < b->device_id) ? -1 : 1;
    }

    return 0;
}
