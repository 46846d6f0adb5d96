/*
 * One reading of all counters, and the texts made of it.
 */

#ifndef NGX_HTTP_GOOSEBIT_STATUS_H
#define NGX_HTTP_GOOSEBIT_STATUS_H


#include "ngx_http_goosebit_metrics_zone.h"

#include "gb_json.h"


typedef struct {
    ngx_http_goosebit_metrics_t  *metrics;
    ngx_http_goosebit_zone_t      zone;
    ngx_uint_t                    gauges[NGX_HTTP_GOOSEBIT_GAUGES];
} ngx_http_goosebit_status_t;


/* the same reading gives the same text, so it can be measured first */
void ngx_http_goosebit_status_json(gb_json_t *j,
    ngx_http_goosebit_status_t *status);

/* bytes that are enough for the text below */
size_t ngx_http_goosebit_status_size(ngx_http_goosebit_status_t *status);

/* text format 0.0.4; returns its end */
u_char *ngx_http_goosebit_status_prometheus(u_char *p,
    ngx_http_goosebit_status_t *status);


#endif /* NGX_HTTP_GOOSEBIT_STATUS_H */
