/*
 * goosebit_status: the counters as JSON or Prometheus text.  Devices by state
 * are asked of the database at most every few seconds; without it, or where it
 * takes long, the page shows the last that was known.
 */

#include "ngx_http_goosebit_cache.h"
#include "ngx_http_goosebit_metrics_zone.h"
#include "ngx_http_goosebit_pg.h"
#include "ngx_http_goosebit_status.h"


#define NGX_HTTP_GOOSEBIT_STATUS_EVERY  3000        /* ms */
#define NGX_HTTP_GOOSEBIT_STATUS_WAIT   1000


/* a page that waits for the database */
typedef struct {
    ngx_http_request_t             *request;
    ngx_http_goosebit_pg_query_t   *query;
    ngx_event_t                     late;
} ngx_http_goosebit_status_ask_t;


static ngx_int_t ngx_http_goosebit_status_ask(ngx_http_request_t *r,
    ngx_http_goosebit_main_conf_t *mcf);
static void ngx_http_goosebit_status_asked(void *data);
static void ngx_http_goosebit_status_late(ngx_event_t *ev);
static void ngx_http_goosebit_status_answer(
    ngx_http_goosebit_pg_result_t *result, void *data);
static void ngx_http_goosebit_status_finish(
    ngx_http_goosebit_status_ask_t *ask);
static void ngx_http_goosebit_status_devices(
    ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_pg_result_t *result, ngx_log_t *log);
static ngx_int_t ngx_http_goosebit_status_copy(
    ngx_http_goosebit_pg_result_t *result, ngx_uint_t row,
    const char *column, ngx_pool_t *pool, ngx_str_t *value);
static void ngx_http_goosebit_status_cache(ngx_http_goosebit_cache_t *cache,
    ngx_uint_t *gauges);
static ngx_int_t ngx_http_goosebit_status_send(ngx_http_request_t *r);


ngx_int_t
ngx_http_goosebit_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       format;
    ngx_http_goosebit_metrics_t    *metrics;
    ngx_http_goosebit_main_conf_t  *mcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);
    metrics = mcf->metrics;

    if (metrics == NULL) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (ngx_http_arg(r, (u_char *) "format", 6, &format) == NGX_OK
        && format.len == 10
        && ngx_strncmp(format.data, "prometheus", 10) == 0
        && !mcf->config->metrics.prometheus.enable)
    {
        return NGX_HTTP_NOT_FOUND;
    }

    if (metrics->asking == NULL && !ngx_http_goosebit_pg_down(mcf->pg)
        && (metrics->devices_pool == NULL
            || ngx_current_msec - metrics->asked
               >= NGX_HTTP_GOOSEBIT_STATUS_EVERY))
    {
        return ngx_http_goosebit_status_ask(r, mcf);
    }

    return ngx_http_goosebit_status_send(r);
}


static ngx_int_t
ngx_http_goosebit_status_ask(ngx_http_request_t *r,
    ngx_http_goosebit_main_conf_t *mcf)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_goosebit_pg_query_t    *q;
    ngx_http_goosebit_status_ask_t  *ask;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_goosebit_status_ask_t));
    q = ngx_http_goosebit_pg_create(r->pool, NGX_HTTP_GOOSEBIT_CALL_STATUS);

    if (cln == NULL || q == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ask = cln->data;
    ngx_memzero(ask, sizeof(ngx_http_goosebit_status_ask_t));

    ask->request = r;
    ask->query = q;
    ask->late.handler = ngx_http_goosebit_status_late;
    ask->late.data = ask;
    ask->late.log = r->connection->log;

    cln->handler = ngx_http_goosebit_status_asked;

    q->handler = ngx_http_goosebit_status_answer;
    q->data = ask;

    mcf->metrics->asking = r;

    ngx_http_goosebit_pg_submit(mcf->pg, q);
    ngx_add_timer(&ask->late, NGX_HTTP_GOOSEBIT_STATUS_WAIT);

    r->read_event_handler = ngx_http_test_reading;
    r->main->count++;

    return NGX_DONE;
}


/* it waits no more, one way or another */

static void
ngx_http_goosebit_status_asked(void *data)
{
    ngx_http_goosebit_status_ask_t  *ask = data;

    ngx_http_goosebit_main_conf_t  *mcf;

    if (ask->late.timer_set) {
        ngx_del_timer(&ask->late);
    }

    mcf = ngx_http_get_module_main_conf(ask->request,
                                        ngx_http_goosebit_module);

    if (mcf->metrics && mcf->metrics->asking == ask->request) {
        mcf->metrics->asking = NULL;
    }
}


/* who looks at the page wants to know why the database is slow */

static void
ngx_http_goosebit_status_late(ngx_event_t *ev)
{
    ngx_http_goosebit_main_conf_t   *mcf;
    ngx_http_goosebit_status_ask_t  *ask = ev->data;

    mcf = ngx_http_get_module_main_conf(ask->request,
                                        ngx_http_goosebit_module);

    ngx_http_goosebit_pg_detach(ask->query);
    mcf->metrics->asked = ngx_current_msec;

    ngx_http_goosebit_status_finish(ask);
}


static void
ngx_http_goosebit_status_answer(ngx_http_goosebit_pg_result_t *result,
    void *data)
{
    ngx_http_goosebit_main_conf_t   *mcf;
    ngx_http_goosebit_status_ask_t  *ask = data;

    mcf = ngx_http_get_module_main_conf(ask->request,
                                        ngx_http_goosebit_module);

    if (result->status == NGX_HTTP_OK) {
        ngx_http_goosebit_status_devices(mcf->metrics, result,
                                         ask->request->connection->log);
    }

    ngx_http_goosebit_status_finish(ask);
}


static void
ngx_http_goosebit_status_finish(ngx_http_goosebit_status_ask_t *ask)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ask->request;
    c = r->connection;

    ngx_http_goosebit_status_asked(ask);

    ngx_http_finalize_request(r, ngx_http_goosebit_status_send(r));
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_goosebit_status_devices(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_pg_result_t *result, ngx_log_t *log)
{
    ngx_uint_t                    i;
    ngx_pool_t                   *pool;
    ngx_array_t                   devices;
    ngx_http_goosebit_devices_t  *d;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return;
    }

    if (ngx_array_init(&devices, pool, result->rows + 1,
                       sizeof(ngx_http_goosebit_devices_t))
        != NGX_OK)
    {
        goto failed;
    }

    for (i = 0; i < result->rows; i++) {
        d = ngx_array_push(&devices);

        if (d == NULL
            || ngx_http_goosebit_status_copy(result, i, "tenant", pool,
                                             &d->tenant)
               != NGX_OK
            || ngx_http_goosebit_status_copy(result, i, "state", pool,
                                             &d->state)
               != NGX_OK
            || ngx_http_goosebit_pg_bigint(result, i, "devices", &d->devices)
               != NGX_OK)
        {
            goto failed;
        }
    }

    if (metrics->devices_pool) {
        ngx_destroy_pool(metrics->devices_pool);
    }

    metrics->devices_pool = pool;
    metrics->devices = devices;
    metrics->asked = ngx_current_msec;

    return;

failed:

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "goosebit: the devices by state could not be read");

    ngx_destroy_pool(pool);
}


static ngx_int_t
ngx_http_goosebit_status_copy(ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t row, const char *column, ngx_pool_t *pool, ngx_str_t *value)
{
    ngx_str_t  text;

    if (ngx_http_goosebit_pg_text(result, row, column, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    /* with a zero, to be a key in JSON */

    value->len = text.len;
    value->data = ngx_pnalloc(pool, text.len + 1);

    if (value->data == NULL) {
        return NGX_ERROR;
    }

    *ngx_cpymem(value->data, text.data, text.len) = '\0';

    return NGX_OK;
}


static void
ngx_http_goosebit_status_cache(ngx_http_goosebit_cache_t *cache,
    ngx_uint_t *gauges)
{
    gb_cache_stat_t  stat;

    ngx_http_goosebit_cache_stat(cache, &stat);

    gauges[NGX_HTTP_GOOSEBIT_CACHE_ENTRIES] = stat.entries;
    gauges[NGX_HTTP_GOOSEBIT_CACHE_BYTES] = stat.bytes;
    gauges[NGX_HTTP_GOOSEBIT_CACHE_EVICTIONS] = stat.evictions;
    gauges[NGX_HTTP_GOOSEBIT_SYNC_LAG] = ngx_http_goosebit_cache_lag(cache);
    gauges[NGX_HTTP_GOOSEBIT_SEEN_PENDING] += stat.dirty;
}


static ngx_int_t
ngx_http_goosebit_status_send(ngx_http_request_t *r)
{
    size_t                          len;
    ngx_int_t                       rc;
    ngx_buf_t                      *b;
    gb_json_t                       j;
    ngx_str_t                       format;
    ngx_uint_t                      prometheus;
    ngx_chain_t                     out;
    ngx_http_goosebit_status_t     *status;
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);

    status = ngx_palloc(r->pool, sizeof(ngx_http_goosebit_status_t));
    if (status == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    status->metrics = mcf->metrics;
    ngx_http_goosebit_metrics_snapshot(mcf->metrics, &status->zone,
                                       status->gauges);

    if (mcf->cache) {
        ngx_http_goosebit_status_cache(mcf->cache, status->gauges);
    }

    prometheus = ngx_http_arg(r, (u_char *) "format", 6, &format) == NGX_OK
                 && format.len == 10
                 && ngx_strncmp(format.data, "prometheus", 10) == 0;

    if (prometheus) {
        len = ngx_http_goosebit_status_size(status);

    } else {
        gb_json_init(&j, NULL, 0);
        ngx_http_goosebit_status_json(&j, status);

        if (gb_json_done(&j, &len) != GB_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (prometheus) {
        b->last = ngx_http_goosebit_status_prometheus(b->last, status);
        ngx_str_set(&r->headers_out.content_type,
                    "text/plain; version=0.0.4; charset=utf-8");

    } else {
        gb_json_init(&j, (char *) b->last, len);
        ngx_http_goosebit_status_json(&j, status);

        if (gb_json_done(&j, NULL) != GB_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        b->last += len;
        ngx_str_set(&r->headers_out.content_type, "application/json");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}
