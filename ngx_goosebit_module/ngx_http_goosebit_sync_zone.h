/*
 * Last seen of devices that the zone answered, written behind by worker 0.
 */

#ifndef NGX_HTTP_GOOSEBIT_SYNC_ZONE_H
#define NGX_HTTP_GOOSEBIT_SYNC_ZONE_H


#include "ngx_http_goosebit.h"


typedef struct ngx_http_goosebit_sync_zone_s  ngx_http_goosebit_sync_zone_t;


/* NULL: out of memory */
ngx_http_goosebit_sync_zone_t *ngx_http_goosebit_sync_zone_init(
    ngx_cycle_t *cycle, ngx_http_goosebit_main_conf_t *mcf);
void ngx_http_goosebit_sync_zone_exit(ngx_http_goosebit_sync_zone_t *zone);

/*
 * To be called each second, and when the worker begins to stop: then all of
 * the zone is written.
 */
void ngx_http_goosebit_sync_zone_flush(ngx_http_goosebit_sync_zone_t *zone);


#endif /* NGX_HTTP_GOOSEBIT_SYNC_ZONE_H */
