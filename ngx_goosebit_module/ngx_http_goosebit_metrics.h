/*
 * Counters of all workers in one zone, and the status page made of them.
 *
 * Requests are counted by themselves when they are logged, by their context's
 * endpoint, cache status and the answer's status.  A download counts as
 * complete when all of its body was sent.
 */

#ifndef NGX_HTTP_GOOSEBIT_METRICS_H
#define NGX_HTTP_GOOSEBIT_METRICS_H


#include "ngx_http_goosebit.h"


/* counted up for good */
typedef enum {
    NGX_HTTP_GOOSEBIT_DB_CALLS = 0,
    NGX_HTTP_GOOSEBIT_DB_ERRORS,            /* answered 500 or 503 */
    NGX_HTTP_GOOSEBIT_DB_RECONNECTS,
    NGX_HTTP_GOOSEBIT_DB_MICROSECONDS,      /* from submit to result */
    NGX_HTTP_GOOSEBIT_DB_BATCHES,
    NGX_HTTP_GOOSEBIT_SEEN_LOST,
    NGX_HTTP_GOOSEBIT_DOWNLOAD_BYTES,
    NGX_HTTP_GOOSEBIT_DOWNLOADS_COMPLETE,
    NGX_HTTP_GOOSEBIT_COUNTERS
} ngx_http_goosebit_counter_e;


/* what is now, a figure each worker, summed over those that live */
typedef enum {
    NGX_HTTP_GOOSEBIT_DB_CONNECTIONS = 0,   /* ready */
    NGX_HTTP_GOOSEBIT_DB_BUSY,              /* calls sent, not answered */
    NGX_HTTP_GOOSEBIT_DB_QUEUED,            /* calls waiting to be sent */
    NGX_HTTP_GOOSEBIT_SEEN_PENDING,
    NGX_HTTP_GOOSEBIT_DOWNLOADS_ACTIVE,
    NGX_HTTP_GOOSEBIT_CACHE_ENTRIES,        /* these are the zone's, and no */
    NGX_HTTP_GOOSEBIT_CACHE_BYTES,          /* worker's */
    NGX_HTTP_GOOSEBIT_CACHE_EVICTIONS,
    NGX_HTTP_GOOSEBIT_SYNC_LAG,             /* ms */
    NGX_HTTP_GOOSEBIT_GAUGES
} ngx_http_goosebit_gauge_e;


/* metrics may be NULL: nothing happens */
void ngx_http_goosebit_metrics_count(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_counter_e counter, uint64_t n);
void ngx_http_goosebit_metrics_gauge(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_gauge_e gauge, ngx_int_t change);
void ngx_http_goosebit_metrics_set(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_gauge_e gauge, ngx_uint_t value);

/* an active download until r's pool goes; NGX_ERROR: out of memory */
ngx_int_t ngx_http_goosebit_metrics_download(ngx_http_request_t *r);

/* $goosebit_endpoint: "poll", "feedback", … */
ngx_str_t *ngx_http_goosebit_metrics_endpoint(
    ngx_http_goosebit_endpoint_e endpoint);

/* $goosebit_cache_status: "HIT", … ; empty for all but polls */
ngx_str_t *ngx_http_goosebit_metrics_cache(ngx_http_goosebit_ctx_t *ctx);


/* the location's handler of goosebit_status, and of the log phase */
ngx_int_t ngx_http_goosebit_status_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_goosebit_metrics_log_handler(ngx_http_request_t *r);

/* of configuration, process start and end */
ngx_int_t ngx_http_goosebit_metrics_zone(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf);
ngx_http_goosebit_metrics_t *ngx_http_goosebit_metrics_init(
    ngx_cycle_t *cycle, ngx_http_goosebit_main_conf_t *mcf);
void ngx_http_goosebit_metrics_exit(ngx_http_goosebit_metrics_t *metrics);


#endif /* NGX_HTTP_GOOSEBIT_METRICS_H */
