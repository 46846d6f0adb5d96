/*
 * Last seen, written behind: a device counts once a second, however often it
 * asks, and a statement writes many of them.  And what worker 0 does besides:
 * tick(), the zone's last seen, the journal.
 */

#include "ngx_http_goosebit_sync.h"
#include "ngx_http_goosebit_cache.h"
#include "ngx_http_goosebit_metrics.h"
#include "ngx_http_goosebit_pg.h"
#include "ngx_http_goosebit_seen.h"
#include "ngx_http_goosebit_sync_journal.h"
#include "ngx_http_goosebit_sync_write.h"
#include "ngx_http_goosebit_sync_zone.h"


#define NGX_HTTP_GOOSEBIT_SYNC_EVERY    1000        /* ms */
#define NGX_HTTP_GOOSEBIT_SYNC_LAST     50          /* ms, when stopping */


struct ngx_http_goosebit_sync_s {
    ngx_http_goosebit_main_conf_t  *mcf;
    ngx_log_t                      *log;
    ngx_event_t                     timer;

    ngx_http_goosebit_seen_table_t  seen;
    ngx_http_goosebit_seen_table_t  sending;
    ngx_uint_t                      sent;           /* of sending, so far */
    ngx_uint_t                      chunk;          /* on its way */
    ngx_pool_t                     *pool;           /* of the chunk */
    ngx_pool_t                     *tick_pool;      /* of a tick under way */
    ngx_uint_t                      tenants;        /* 1: those are made */

    ngx_http_goosebit_journal_t    *journal;        /* of worker 0, where */
    ngx_http_goosebit_sync_zone_t  *zone;           /* there is a zone; of the
                                                       others when they leave */
};


static void ngx_http_goosebit_sync_timer(ngx_event_t *ev);
static void ngx_http_goosebit_sync_exiting(void *data);
static void ngx_http_goosebit_sync_flush(ngx_http_goosebit_sync_t *sync);
static void ngx_http_goosebit_sync_send(ngx_http_goosebit_sync_t *sync);
static ngx_http_goosebit_pg_query_t *ngx_http_goosebit_sync_fill(
    ngx_http_goosebit_sync_t *sync);
static void ngx_http_goosebit_sync_sent(ngx_http_goosebit_pg_result_t *result,
    void *data);
static void ngx_http_goosebit_sync_restore(ngx_http_goosebit_sync_t *sync);
static void ngx_http_goosebit_sync_tick(ngx_http_goosebit_sync_t *sync);
static void ngx_http_goosebit_sync_ticked(
    ngx_http_goosebit_pg_result_t *result, void *data);
static void ngx_http_goosebit_sync_tenants(
    ngx_http_goosebit_pg_result_t *result, void *data);
static void ngx_http_goosebit_sync_gauge(ngx_http_goosebit_sync_t *sync);


ngx_http_goosebit_sync_t *
ngx_http_goosebit_sync_init(ngx_cycle_t *cycle,
    ngx_http_goosebit_main_conf_t *mcf)
{
    ngx_http_goosebit_sync_t  *sync;

    sync = ngx_pcalloc(cycle->pool, sizeof(ngx_http_goosebit_sync_t));
    if (sync == NULL) {
        return NULL;
    }

    sync->mcf = mcf;
    sync->log = cycle->log;

    sync->timer.handler = ngx_http_goosebit_sync_timer;
    sync->timer.data = sync;
    sync->timer.log = cycle->log;
    sync->timer.cancelable = 1;

    ngx_http_goosebit_pg_on_exiting(mcf->pg, ngx_http_goosebit_sync_exiting,
                                    sync);

    if (mcf->cache && ngx_worker == 0) {
        sync->journal = ngx_http_goosebit_journal_init(cycle, mcf);
        sync->zone = ngx_http_goosebit_sync_zone_init(cycle, mcf);

        if (sync->journal == NULL || sync->zone == NULL) {
            return NULL;
        }
    }

    /*
     * Workers start together, and need not write together; devices wait for
     * new tenants.
     */

    ngx_add_timer(&sync->timer, ngx_worker == 0 ? 1
                  : 1 + ngx_random() % NGX_HTTP_GOOSEBIT_SYNC_EVERY);

    return sync;
}


void
ngx_http_goosebit_sync_exit(ngx_http_goosebit_sync_t *sync)
{
    if (sync->timer.timer_set) {
        ngx_del_timer(&sync->timer);
    }

    if (sync->journal) {
        ngx_http_goosebit_journal_exit(sync->journal);
    }

    if (sync->zone) {
        ngx_http_goosebit_sync_zone_exit(sync->zone);
    }

    if (sync->pool) {
        ngx_destroy_pool(sync->pool);
    }

    if (sync->tick_pool) {
        ngx_destroy_pool(sync->tick_pool);
    }

    ngx_http_goosebit_seen_free(&sync->seen);
    ngx_http_goosebit_seen_free(&sync->sending);
}


void
ngx_http_goosebit_sync_seen(ngx_http_goosebit_main_conf_t *mcf,
    int32_t tenant_id, int64_t device_id, ngx_str_t *address)
{
    ngx_uint_t                 new;
    ngx_time_t                *tp;
    ngx_http_goosebit_seen_t  *seen;
    ngx_http_goosebit_sync_t  *sync;

    sync = mcf->sync;

    if (sync == NULL) {
        return;
    }

    seen = ngx_http_goosebit_seen_find(&sync->seen, tenant_id, device_id,
                                       &new, sync->log);

    if (seen == NULL) {
        ngx_http_goosebit_metrics_count(mcf->metrics,
                                        NGX_HTTP_GOOSEBIT_SEEN_LOST, 1);
        return;
    }

    tp = ngx_timeofday();
    seen->seen_at = (int64_t) tp->sec * 1000 + tp->msec;

    if (address && address->len
        && address->len <= NGX_HTTP_GOOSEBIT_SEEN_ADDRESS
        && mcf->config->track_device_ip)
    {
        ngx_memcpy(seen->address, address->data, address->len);
        seen->len = (u_char) address->len;
    }

    if (new) {
        ngx_http_goosebit_sync_gauge(sync);
    }

    if (ngx_exiting && sync->timer.cancelable) {
        /* the last of this worker: it must not go without writing them */
        sync->timer.cancelable = 0;
        ngx_add_timer(&sync->timer, NGX_HTTP_GOOSEBIT_SYNC_LAST);
    }
}


void
ngx_http_goosebit_sync_evicted(ngx_http_goosebit_main_conf_t *mcf,
    gb_cache_seen_t *seen)
{
    ngx_uint_t                 new;
    ngx_http_goosebit_seen_t  *own;
    ngx_http_goosebit_sync_t  *sync;

    sync = mcf->sync;

    if (sync == NULL) {
        return;
    }

    own = ngx_http_goosebit_seen_find(&sync->seen, seen->tenant_id,
                                      seen->device_id, &new, sync->log);

    if (own == NULL) {
        ngx_http_goosebit_metrics_count(mcf->metrics,
                                        NGX_HTTP_GOOSEBIT_SEEN_LOST, 1);
        return;
    }

    if (own->seen_at < seen->seen_at) {
        own->seen_at = seen->seen_at;
        own->len = (u_char) ngx_http_goosebit_cache_seen_address(seen,
                                                                own->address);
    }

    if (new) {
        ngx_http_goosebit_sync_gauge(sync);
    }
}


ngx_uint_t
ngx_http_goosebit_sync_pending(ngx_http_goosebit_sync_t *sync)
{
    return sync->seen.n + sync->sending.n - sync->sent;
}


static void
ngx_http_goosebit_sync_timer(ngx_event_t *ev)
{
    ngx_http_goosebit_sync_t  *sync;

    sync = ev->data;
    sync->timer.cancelable = 1;

    ngx_http_goosebit_sync_flush(sync);

    if (ngx_exiting) {
        return;
    }

    if (sync->zone) {
        ngx_http_goosebit_sync_zone_flush(sync->zone);
    }

    if (ngx_worker == 0) {
        ngx_http_goosebit_sync_tick(sync);
    }

    ngx_add_timer(&sync->timer, NGX_HTTP_GOOSEBIT_SYNC_EVERY);
}


static void
ngx_http_goosebit_sync_exiting(void *data)
{
    ngx_http_goosebit_sync_t  *sync;

    sync = data;

    ngx_http_goosebit_sync_flush(sync);

    /* whoever leaves last writes what came after the others had left */

    if (sync->mcf->cache && sync->zone == NULL) {
        sync->zone = ngx_http_goosebit_sync_zone_init((ngx_cycle_t *) ngx_cycle,
                                                      sync->mcf);
    }

    if (sync->zone) {
        ngx_http_goosebit_sync_zone_flush(sync->zone);
    }
}


static void
ngx_http_goosebit_sync_flush(ngx_http_goosebit_sync_t *sync)
{
    ngx_http_goosebit_seen_table_t  empty;

    if (sync->pool || sync->seen.n == 0
        || ngx_http_goosebit_pg_down(sync->mcf->pg))
    {
        return;
    }

    empty = sync->sending;
    sync->sending = sync->seen;
    sync->seen = empty;
    sync->sent = 0;

    ngx_http_goosebit_seen_reset(&sync->seen);

    /* rows are locked in one order by all workers */

    ngx_http_goosebit_seen_sort(&sync->sending);

    ngx_http_goosebit_sync_send(sync);
}


static void
ngx_http_goosebit_sync_send(ngx_http_goosebit_sync_t *sync)
{
    ngx_http_goosebit_pg_query_t  *q;

    sync->chunk = ngx_min(sync->sending.n - sync->sent,
                          NGX_HTTP_GOOSEBIT_SYNC_CHUNK);

    sync->pool = ngx_create_pool(4096, sync->log);
    if (sync->pool == NULL) {
        goto failed;
    }

    q = ngx_http_goosebit_sync_fill(sync);
    if (q == NULL) {
        goto failed;
    }

    q->handler = ngx_http_goosebit_sync_sent;
    q->data = sync;

    ngx_http_goosebit_pg_submit(sync->mcf->pg, q);

    return;

failed:

    if (sync->pool) {
        ngx_destroy_pool(sync->pool);
        sync->pool = NULL;
    }

    ngx_http_goosebit_sync_restore(sync);
}


static ngx_http_goosebit_pg_query_t *
ngx_http_goosebit_sync_fill(ngx_http_goosebit_sync_t *sync)
{
    ngx_uint_t                      i;
    ngx_http_goosebit_seen_t       *seen;
    ngx_http_goosebit_sync_rows_t   rows;

    if (ngx_http_goosebit_sync_rows(sync->pool, sync->chunk, &rows) != NGX_OK)
    {
        return NULL;
    }

    seen = &sync->sending.elts[sync->sent];

    for (i = 0; i < sync->chunk; i++) {
        rows.tenants[i] = seen[i].tenant_id;
        rows.devices[i] = seen[i].device_id;
        rows.times[i] = seen[i].seen_at;

        if (seen[i].len) {
            rows.addresses[i].data = seen[i].address;
            rows.addresses[i].len = seen[i].len;
        }
    }

    return ngx_http_goosebit_sync_query(sync->pool, &rows);
}


static void
ngx_http_goosebit_sync_sent(ngx_http_goosebit_pg_result_t *result, void *data)
{
    ngx_uint_t                 status;
    ngx_http_goosebit_sync_t  *sync;

    sync = data;
    status = result->status;

    ngx_destroy_pool(sync->pool);
    sync->pool = NULL;

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE && !ngx_exiting) {
        /* one that was written already is no harm: only newer times count */
        ngx_http_goosebit_sync_restore(sync);
        return;
    }

    if (status != NGX_HTTP_OK) {
        ngx_log_error(NGX_LOG_ERR, sync->log, 0,
                      "goosebit: the last seen times of %ui devices are lost",
                      sync->chunk);
        ngx_http_goosebit_metrics_count(sync->mcf->metrics,
                                        NGX_HTTP_GOOSEBIT_SEEN_LOST,
                                        sync->chunk);
    }

    sync->sent += sync->chunk;

    if (sync->sent < sync->sending.n) {
        ngx_http_goosebit_sync_send(sync);
        return;
    }

    sync->sending.n = 0;
    sync->sent = 0;

    ngx_http_goosebit_sync_gauge(sync);

    if (ngx_exiting) {
        ngx_http_goosebit_sync_flush(sync);
    }
}


/* what was not written waits with what came since, which is newer */

static void
ngx_http_goosebit_sync_restore(ngx_http_goosebit_sync_t *sync)
{
    ngx_uint_t                 i, new;
    ngx_http_goosebit_seen_t  *old, *seen;

    for (i = sync->sent; i < sync->sending.n; i++) {
        old = &sync->sending.elts[i];

        seen = ngx_http_goosebit_seen_find(&sync->seen, old->tenant_id,
                                           old->device_id, &new, sync->log);
        if (seen == NULL) {
            ngx_http_goosebit_metrics_count(sync->mcf->metrics,
                                            NGX_HTTP_GOOSEBIT_SEEN_LOST, 1);
            continue;
        }

        if (new) {
            *seen = *old;

        } else if (seen->len == 0) {
            ngx_memcpy(seen->address, old->address, old->len);
            seen->len = old->len;
        }
    }

    sync->sending.n = 0;
    sync->sent = 0;

    ngx_http_goosebit_sync_gauge(sync);
}


/* before the first tick: the tenants that were added to goosebit.yaml */

static void
ngx_http_goosebit_sync_tick(ngx_http_goosebit_sync_t *sync)
{
    ngx_http_goosebit_pg_query_t  *q;

    if (sync->tick_pool || ngx_http_goosebit_pg_down(sync->mcf->pg)) {
        return;
    }

    sync->tick_pool = ngx_create_pool(1024, sync->log);
    if (sync->tick_pool == NULL) {
        return;
    }

    q = ngx_http_goosebit_pg_create(sync->tick_pool,
                                    sync->tenants
                                        ? NGX_HTTP_GOOSEBIT_CALL_TICK
                                        : NGX_HTTP_GOOSEBIT_CALL_TENANTS);
    if (q == NULL) {
        ngx_destroy_pool(sync->tick_pool);
        sync->tick_pool = NULL;
        return;
    }

    if (sync->tenants) {
        ngx_http_goosebit_pg_add_int(q, sync->mcf->config->poll_time);
        q->handler = ngx_http_goosebit_sync_ticked;

    } else {
        ngx_http_goosebit_pg_add_texts(q, sync->mcf->tenants.elts,
                                       sync->mcf->tenants.nelts);
        q->handler = ngx_http_goosebit_sync_tenants;
    }

    q->data = sync;

    ngx_http_goosebit_pg_submit(sync->mcf->pg, q);
}


static void
ngx_http_goosebit_sync_ticked(ngx_http_goosebit_pg_result_t *result,
    void *data)
{
    ngx_http_goosebit_sync_t  *sync;

    sync = data;

    ngx_destroy_pool(sync->tick_pool);
    sync->tick_pool = NULL;
}


/* the answer: those that can't be made, as gbctl tenant add could not */

static void
ngx_http_goosebit_sync_tenants(ngx_http_goosebit_pg_result_t *result,
    void *data)
{
    ngx_str_t                 *name;
    ngx_uint_t                 i;
    ngx_array_t               *refused;
    ngx_http_goosebit_sync_t  *sync;

    sync = data;

    /* what went wrong in SQL would do so again, and nothing could tick */

    sync->tenants = result->status != NGX_HTTP_SERVICE_UNAVAILABLE;

    if (result->status == NGX_HTTP_OK
        && ngx_http_goosebit_pg_texts(result, 0, "refused", sync->tick_pool,
                                      &refused)
           == NGX_OK)
    {
        name = refused->elts;

        for (i = 0; i < refused->nelts; i++) {
            ngx_log_error(NGX_LOG_ERR, sync->log, 0,
                          "goosebit: tenant \"%V\" of goosebit.yaml has an "
                          "invalid name and is not served", &name[i]);
        }
    }

    ngx_http_goosebit_sync_ticked(result, data);
}


static void
ngx_http_goosebit_sync_gauge(ngx_http_goosebit_sync_t *sync)
{
    ngx_http_goosebit_metrics_set(sync->mcf->metrics,
                                  NGX_HTTP_GOOSEBIT_SEEN_PENDING,
                                  ngx_http_goosebit_sync_pending(sync));
}
