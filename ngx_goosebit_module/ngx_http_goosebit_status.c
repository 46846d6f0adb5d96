/*
 * goosebit_status: the counters as JSON or Prometheus text.  Devices by state
 * are asked of the database at most every few seconds; without it the page
 * shows the last that was known.
 */

#include "ngx_http_goosebit_metrics_zone.h"
#include "ngx_http_goosebit_pg.h"

#include "gb_json.h"


#define NGX_HTTP_GOOSEBIT_STATUS_EVERY  3000        /* ms */
#define NGX_HTTP_GOOSEBIT_STATUS_LINE   128         /* bytes, without names */


typedef struct {
    ngx_http_goosebit_metrics_t  *metrics;
    ngx_http_goosebit_zone_t      zone;
    ngx_uint_t                    gauges[NGX_HTTP_GOOSEBIT_GAUGES];
} ngx_http_goosebit_status_t;


typedef struct {
    const char   *room;
    const char   *name;
    ngx_uint_t    gauge;        /* or a counter */
    ngx_uint_t    index;
    const char   *help;
} ngx_http_goosebit_figure_t;


static ngx_int_t ngx_http_goosebit_status_ask(ngx_http_request_t *r,
    ngx_http_goosebit_main_conf_t *mcf);
static void ngx_http_goosebit_status_asked(void *data);
static void ngx_http_goosebit_status_answer(
    ngx_http_goosebit_pg_result_t *result, void *data);
static void ngx_http_goosebit_status_devices(
    ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_pg_result_t *result, ngx_log_t *log);
static ngx_int_t ngx_http_goosebit_status_copy(
    ngx_http_goosebit_pg_result_t *result, ngx_uint_t row,
    const char *column, ngx_pool_t *pool, ngx_str_t *value);
static ngx_int_t ngx_http_goosebit_status_send(ngx_http_request_t *r);
static void ngx_http_goosebit_status_json(gb_json_t *j,
    ngx_http_goosebit_status_t *status);
static void ngx_http_goosebit_status_json_requests(gb_json_t *j,
    ngx_http_goosebit_zone_t *zone);
static void ngx_http_goosebit_status_json_devices(gb_json_t *j,
    ngx_array_t *devices);
static size_t ngx_http_goosebit_status_size(
    ngx_http_goosebit_status_t *status);
static u_char *ngx_http_goosebit_status_prometheus(u_char *p,
    ngx_http_goosebit_status_t *status);
static u_char *ngx_http_goosebit_status_label(u_char *p, ngx_str_t *value);
static double ngx_http_goosebit_status_figure(
    ngx_http_goosebit_status_t *status, ngx_http_goosebit_figure_t *figure);


static ngx_str_t  ngx_http_goosebit_status_caches[] = {
    ngx_null_string,
    ngx_string("hit"),
    ngx_string("miss"),
    ngx_string("stale"),
    ngx_string("bypass")
};


/* those of one room stand together */
static ngx_http_goosebit_figure_t  ngx_http_goosebit_status_figures[] = {

    { "db", "connections", 1, NGX_HTTP_GOOSEBIT_DB_CONNECTIONS,
      "Connections to PostgreSQL that are ready" },
    { "db", "busy", 1, NGX_HTTP_GOOSEBIT_DB_BUSY,
      "SQL calls sent and not yet answered" },
    { "db", "queued", 1, NGX_HTTP_GOOSEBIT_DB_QUEUED,
      "SQL calls that wait to be sent" },
    { "db", "calls", 0, NGX_HTTP_GOOSEBIT_DB_CALLS,
      "SQL calls answered" },
    { "db", "batches", 0, NGX_HTTP_GOOSEBIT_DB_BATCHES,
      "Transactions that held several SQL calls" },
    { "db", "errors", 0, NGX_HTTP_GOOSEBIT_DB_ERRORS,
      "SQL calls that failed" },
    { "db", "reconnects", 0, NGX_HTTP_GOOSEBIT_DB_RECONNECTS,
      "Connections to PostgreSQL that were lost" },
    { "db", "seconds", 0, NGX_HTTP_GOOSEBIT_DB_MICROSECONDS,
      "Time from submitting SQL calls to their results" },

    { "sync", "seen_pending", 1, NGX_HTTP_GOOSEBIT_SEEN_PENDING,
      "Devices whose last seen time is not written yet" },
    { "sync", "seen_lost", 0, NGX_HTTP_GOOSEBIT_SEEN_LOST,
      "Last seen times that could not be written" },

    { "downloads", "active", 1, NGX_HTTP_GOOSEBIT_DOWNLOADS_ACTIVE,
      "Artifact downloads now" },
    { "downloads", "bytes", 0, NGX_HTTP_GOOSEBIT_DOWNLOAD_BYTES,
      "Bytes of artifacts sent" },
    { "downloads", "complete", 0, NGX_HTTP_GOOSEBIT_DOWNLOADS_COMPLETE,
      "Artifacts sent to their last byte" },

    { NULL, NULL, 0, 0, NULL }
};


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
    ngx_pool_cleanup_t            *cln;
    ngx_http_goosebit_pg_query_t  *q;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    q = ngx_http_goosebit_pg_create(r->pool, NGX_HTTP_GOOSEBIT_CALL_STATUS);

    if (cln == NULL || q == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_goosebit_status_asked;
    cln->data = r;

    q->handler = ngx_http_goosebit_status_answer;
    q->data = r;

    mcf->metrics->asking = r;

    ngx_http_goosebit_pg_submit(mcf->pg, q);

    r->read_event_handler = ngx_http_test_reading;
    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_goosebit_status_asked(void *data)
{
    ngx_http_request_t             *r;
    ngx_http_goosebit_main_conf_t  *mcf;

    r = data;
    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);

    if (mcf->metrics && mcf->metrics->asking == r) {
        mcf->metrics->asking = NULL;
    }
}


static void
ngx_http_goosebit_status_answer(ngx_http_goosebit_pg_result_t *result,
    void *data)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_goosebit_main_conf_t  *mcf;

    r = data;
    c = r->connection;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);

    mcf->metrics->asking = NULL;

    if (result->status == NGX_HTTP_OK) {
        ngx_http_goosebit_status_devices(mcf->metrics, result, c->log);
    }

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


static double
ngx_http_goosebit_status_figure(ngx_http_goosebit_status_t *status,
    ngx_http_goosebit_figure_t *figure)
{
    if (figure->gauge) {
        return (double) status->gauges[figure->index];
    }

    if (figure->index == NGX_HTTP_GOOSEBIT_DB_MICROSECONDS) {
        return (double) status->zone.counters[figure->index] / 1000000;
    }

    return (double) status->zone.counters[figure->index];
}


static void
ngx_http_goosebit_status_json(gb_json_t *j,
    ngx_http_goosebit_status_t *status)
{
    u_char                       buf[NGX_INT64_LEN + sizeof(".000000")];
    double                       value;
    u_char                      *last;
    const char                  *room;
    ngx_uint_t                   i;
    ngx_http_goosebit_figure_t  *f;

    gb_json_object_start(j);

    gb_json_key(j, "polls");
    gb_json_object_start(j);

    for (i = NGX_HTTP_GOOSEBIT_CACHE_HIT; i < NGX_HTTP_GOOSEBIT_CACHE_STATES;
         i++)
    {
        gb_json_member_int(j, (char *) ngx_http_goosebit_status_caches[i].data,
                           status->zone.polls[i]);
    }

    gb_json_object_end(j);

    gb_json_key(j, "requests");
    ngx_http_goosebit_status_json_requests(j, &status->zone);

    room = NULL;

    for (f = ngx_http_goosebit_status_figures; f->name; f++) {

        if (room == NULL || ngx_strcmp(room, f->room) != 0) {
            if (room) {
                gb_json_object_end(j);
            }

            room = f->room;
            gb_json_key(j, room);
            gb_json_object_start(j);
        }

        value = ngx_http_goosebit_status_figure(status, f);

        gb_json_key(j, f->name);

        if (!f->gauge && f->index == NGX_HTTP_GOOSEBIT_DB_MICROSECONDS) {
            last = ngx_sprintf(buf, "%.6f", value);
            gb_json_raw(j, (char *) buf, last - buf);

        } else {
            gb_json_int(j, (int64_t) value);
        }
    }

    gb_json_object_end(j);

    gb_json_key(j, "devices");
    ngx_http_goosebit_status_json_devices(j,
                                          status->metrics->devices_pool
                                              ? &status->metrics->devices
                                              : NULL);

    gb_json_object_end(j);
}


/* what was never asked for is left out */

static void
ngx_http_goosebit_status_json_requests(gb_json_t *j,
    ngx_http_goosebit_zone_t *zone)
{
    char        name[NGX_INT_T_LEN + 1];
    ngx_uint_t  i, n, open;

    gb_json_object_start(j);

    for (i = 0; i < NGX_HTTP_GOOSEBIT_ENDPOINTS; i++) {
        open = 0;

        for (n = 0; n < NGX_HTTP_GOOSEBIT_STATUSES; n++) {

            if (zone->requests[i][n] == 0) {
                continue;
            }

            if (!open) {
                open = 1;
                gb_json_key(j,
                         (char *) ngx_http_goosebit_metrics_endpoint(i)->data);
                gb_json_object_start(j);
            }

            if (ngx_http_goosebit_metrics_statuses[n]) {
                *ngx_sprintf((u_char *) name, "%ui",
                             ngx_http_goosebit_metrics_statuses[n])
                    = '\0';

            } else {
                ngx_memcpy(name, "other", sizeof("other"));
            }

            gb_json_member_int(j, name, zone->requests[i][n]);
        }

        if (open) {
            gb_json_object_end(j);
        }
    }

    gb_json_object_end(j);
}


/* rows come sorted by tenant */

static void
ngx_http_goosebit_status_json_devices(gb_json_t *j, ngx_array_t *devices)
{
    ngx_str_t                    *tenant;
    ngx_uint_t                    i;
    ngx_http_goosebit_devices_t  *d;

    gb_json_object_start(j);

    tenant = NULL;

    for (i = 0; devices && i < devices->nelts; i++) {
        d = devices->elts;
        d += i;

        if (tenant == NULL || tenant->len != d->tenant.len
            || ngx_memcmp(tenant->data, d->tenant.data, tenant->len) != 0)
        {
            if (tenant) {
                gb_json_object_end(j);
            }

            tenant = &d->tenant;
            gb_json_key(j, (char *) d->tenant.data);
            gb_json_object_start(j);
        }

        gb_json_member_int(j, (char *) d->state.data, d->devices);
    }

    if (tenant) {
        gb_json_object_end(j);
    }

    gb_json_object_end(j);
}


static size_t
ngx_http_goosebit_status_size(ngx_http_goosebit_status_t *status)
{
    size_t                        len;
    ngx_uint_t                    i, lines;
    ngx_http_goosebit_figure_t   *f;
    ngx_http_goosebit_devices_t  *d;

    lines = 8 + 3 * NGX_HTTP_GOOSEBIT_CACHE_STATES
            + NGX_HTTP_GOOSEBIT_ENDPOINTS * NGX_HTTP_GOOSEBIT_STATUSES;

    for (f = ngx_http_goosebit_status_figures; f->name; f++) {
        lines += 3;
    }

    len = lines * NGX_HTTP_GOOSEBIT_STATUS_LINE;

    if (status->metrics->devices_pool) {
        d = status->metrics->devices.elts;

        for (i = 0; i < status->metrics->devices.nelts; i++) {
            len += NGX_HTTP_GOOSEBIT_STATUS_LINE
                   + 2 * (d[i].tenant.len + d[i].state.len);
        }
    }

    return len;
}


static u_char *
ngx_http_goosebit_status_prometheus(u_char *p,
    ngx_http_goosebit_status_t *status)
{
    ngx_str_t                     other = ngx_string("other");
    ngx_str_t                     code;
    ngx_uint_t                    i, n;
    u_char                        buf[NGX_INT_T_LEN];
    ngx_http_goosebit_figure_t   *f;
    ngx_http_goosebit_devices_t  *d;

    for (i = NGX_HTTP_GOOSEBIT_CACHE_HIT; i < NGX_HTTP_GOOSEBIT_CACHE_STATES;
         i++)
    {
        p = ngx_sprintf(p, "# TYPE goosebit_polls_%V counter\n"
                        "goosebit_polls_%V %uA\n",
                        &ngx_http_goosebit_status_caches[i],
                        &ngx_http_goosebit_status_caches[i],
                        status->zone.polls[i]);
    }

    p = ngx_sprintf(p, "# HELP goosebit_requests Device requests answered\n"
                    "# TYPE goosebit_requests counter\n");

    for (i = 0; i < NGX_HTTP_GOOSEBIT_ENDPOINTS; i++) {
        for (n = 0; n < NGX_HTTP_GOOSEBIT_STATUSES; n++) {

            if (status->zone.requests[i][n] == 0) {
                continue;
            }

            code.data = buf;
            code.len = ngx_sprintf(buf, "%ui",
                                   ngx_http_goosebit_metrics_statuses[n])
                       - buf;

            p = ngx_sprintf(p, "goosebit_requests{endpoint=\"%V\","
                            "status=\"%V\"} %uA\n",
                            ngx_http_goosebit_metrics_endpoint(i),
                            ngx_http_goosebit_metrics_statuses[n] ? &code
                                                                  : &other,
                            status->zone.requests[i][n]);
        }
    }

    for (f = ngx_http_goosebit_status_figures; f->name; f++) {
        p = ngx_sprintf(p, "# HELP goosebit_%s_%s %s\n"
                        "# TYPE goosebit_%s_%s %s\n"
                        "goosebit_%s_%s %.6f\n",
                        f->room, f->name, f->help, f->room, f->name,
                        f->gauge ? "gauge" : "counter", f->room, f->name,
                        ngx_http_goosebit_status_figure(status, f));
    }

    if (status->metrics->devices_pool == NULL) {
        return p;
    }

    p = ngx_sprintf(p, "# HELP goosebit_devices Devices by state\n"
                    "# TYPE goosebit_devices gauge\n");

    for (i = 0; i < status->metrics->devices.nelts; i++) {
        d = status->metrics->devices.elts;
        d += i;

        p = ngx_cpymem(p, "goosebit_devices{tenant=\"",
                       sizeof("goosebit_devices{tenant=\"") - 1);
        p = ngx_http_goosebit_status_label(p, &d->tenant);
        p = ngx_cpymem(p, "\",state=\"", sizeof("\",state=\"") - 1);
        p = ngx_http_goosebit_status_label(p, &d->state);
        p = ngx_sprintf(p, "\"} %L\n", d->devices);
    }

    return p;
}


/* the text format escapes \, " and line feeds */

static u_char *
ngx_http_goosebit_status_label(u_char *p, ngx_str_t *value)
{
    u_char      ch;
    ngx_uint_t  i;

    for (i = 0; i < value->len; i++) {
        ch = value->data[i];

        if (ch == '\\' || ch == '"') {
            *p++ = '\\';
        }

        if (ch == LF) {
            *p++ = '\\';
            ch = 'n';
        }

        *p++ = ch;
    }

    return p;
}
