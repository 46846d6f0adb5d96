/*
 * The counters as text: JSON, and what Prometheus reads.
 */

#include "ngx_http_goosebit_status.h"


#define NGX_HTTP_GOOSEBIT_STATUS_LINE  128          /* bytes, without names */


typedef struct {
    const char   *room;
    const char   *name;
    unsigned      gauge:1;      /* one of gauges, or of counters */
    unsigned      total:1;      /* it only goes up */
    ngx_uint_t    index;
    ngx_uint_t    unit;         /* so many are one of what is shown */
    const char   *help;
} ngx_http_goosebit_figure_t;


static void ngx_http_goosebit_status_json_requests(gb_json_t *j,
    ngx_http_goosebit_zone_t *zone);
static void ngx_http_goosebit_status_json_devices(gb_json_t *j,
    ngx_array_t *devices);
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

    { "db", "connections", 1, 0, NGX_HTTP_GOOSEBIT_DB_CONNECTIONS, 1,
      "Connections to PostgreSQL that are ready" },
    { "db", "busy", 1, 0, NGX_HTTP_GOOSEBIT_DB_BUSY, 1,
      "SQL calls sent and not yet answered" },
    { "db", "queued", 1, 0, NGX_HTTP_GOOSEBIT_DB_QUEUED, 1,
      "SQL calls that wait to be sent" },
    { "db", "calls", 0, 1, NGX_HTTP_GOOSEBIT_DB_CALLS, 1,
      "SQL calls answered" },
    { "db", "batches", 0, 1, NGX_HTTP_GOOSEBIT_DB_BATCHES, 1,
      "Transactions that held several SQL calls" },
    { "db", "errors", 0, 1, NGX_HTTP_GOOSEBIT_DB_ERRORS, 1,
      "SQL calls that failed" },
    { "db", "reconnects", 0, 1, NGX_HTTP_GOOSEBIT_DB_RECONNECTS, 1,
      "Connections to PostgreSQL that were lost" },
    { "db", "seconds", 0, 1, NGX_HTTP_GOOSEBIT_DB_MICROSECONDS, 1000000,
      "Time from submitting SQL calls to their results" },

    { "cache", "entries", 1, 0, NGX_HTTP_GOOSEBIT_CACHE_ENTRIES, 1,
      "Devices whose answer is in the zone" },
    { "cache", "bytes", 1, 0, NGX_HTTP_GOOSEBIT_CACHE_BYTES, 1,
      "Bytes of the zone in use" },
    { "cache", "evictions", 1, 1, NGX_HTTP_GOOSEBIT_CACHE_EVICTIONS, 1,
      "Devices thrown out of a full zone" },

    { "sync", "lag_seconds", 1, 0, NGX_HTTP_GOOSEBIT_SYNC_LAG, 1000,
      "Time since the journal of changes was read" },
    { "sync", "seen_pending", 1, 0, NGX_HTTP_GOOSEBIT_SEEN_PENDING, 1,
      "Devices whose last seen time is not written yet" },
    { "sync", "seen_lost", 0, 1, NGX_HTTP_GOOSEBIT_SEEN_LOST, 1,
      "Last seen times that could not be written" },

    { "downloads", "active", 1, 0, NGX_HTTP_GOOSEBIT_DOWNLOADS_ACTIVE, 1,
      "Artifact downloads now" },
    { "downloads", "bytes", 0, 1, NGX_HTTP_GOOSEBIT_DOWNLOAD_BYTES, 1,
      "Bytes of artifacts sent" },
    { "downloads", "complete", 0, 1, NGX_HTTP_GOOSEBIT_DOWNLOADS_COMPLETE, 1,
      "Artifacts sent to their last byte" },

    { NULL, NULL, 0, 0, 0, 1, NULL }
};


static double
ngx_http_goosebit_status_figure(ngx_http_goosebit_status_t *status,
    ngx_http_goosebit_figure_t *figure)
{
    return (double) (figure->gauge ? status->gauges[figure->index]
                                   : status->zone.counters[figure->index])
           / figure->unit;
}


void
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

        if (f->unit > 1) {
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


size_t
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


u_char *
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
                        f->total ? "counter" : "gauge", f->room, f->name,
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
