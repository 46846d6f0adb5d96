/*
 * What lies in the zone of counters: for the metrics and status rooms alone.
 */

#ifndef NGX_HTTP_GOOSEBIT_METRICS_ZONE_H
#define NGX_HTTP_GOOSEBIT_METRICS_ZONE_H


#include "ngx_http_goosebit_metrics.h"


/* workers of all generations that live at a time */
#define NGX_HTTP_GOOSEBIT_WORKERS   256
#define NGX_HTTP_GOOSEBIT_STATUSES  22


typedef struct {
    ngx_atomic_t                 pid;       /* 0: nobody's */
    ngx_uint_t                   gauges[NGX_HTTP_GOOSEBIT_GAUGES];
} ngx_http_goosebit_worker_t;


typedef struct {
    size_t                       layout;    /* sizeof() of the writer's */
    ngx_atomic_t                 counters[NGX_HTTP_GOOSEBIT_COUNTERS];
    ngx_atomic_t                 polls[NGX_HTTP_GOOSEBIT_CACHE_STATES];
    ngx_atomic_t                 requests[NGX_HTTP_GOOSEBIT_ENDPOINTS]
                                         [NGX_HTTP_GOOSEBIT_STATUSES];
    ngx_http_goosebit_worker_t   workers[NGX_HTTP_GOOSEBIT_WORKERS];
} ngx_http_goosebit_zone_t;


/* devices by tenant and state */
typedef struct {
    ngx_str_t                    tenant;
    ngx_str_t                    state;
    int64_t                      devices;
} ngx_http_goosebit_devices_t;


struct ngx_http_goosebit_metrics_s {
    ngx_http_goosebit_zone_t    *zone;
    ngx_http_goosebit_worker_t  *worker;    /* our own */
    ngx_http_goosebit_worker_t   none;      /* where there was no room */

    ngx_pool_t                  *devices_pool;      /* NULL: never asked */
    ngx_array_t                  devices;   /* ngx_http_goosebit_devices_t */
    ngx_msec_t                   asked;
    ngx_http_request_t          *asking;
};


/* in the order of requests' second index; the last, 0, is any other */
extern const ngx_uint_t
    ngx_http_goosebit_metrics_statuses[NGX_HTTP_GOOSEBIT_STATUSES];

/* one consistent reading: the gauges are summed over living workers */
void ngx_http_goosebit_metrics_snapshot(ngx_http_goosebit_metrics_t *metrics,
    ngx_http_goosebit_zone_t *copy, ngx_uint_t *gauges);


#endif /* NGX_HTTP_GOOSEBIT_METRICS_ZONE_H */
