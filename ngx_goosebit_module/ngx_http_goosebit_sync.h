/*
 * Each second: what devices were seen, written behind, and worker 0's tick().
 */

#ifndef NGX_HTTP_GOOSEBIT_SYNC_H
#define NGX_HTTP_GOOSEBIT_SYNC_H


#include "ngx_http_goosebit.h"

#include "gb_cache.h"


/*
 * This device made an authorised request now.  address is text, borrowed for
 * the call (NULL or empty: not known; ignored where track_device_ip is off).
 * Never fails: with the database gone for long, what does not fit is lost.
 */
void ngx_http_goosebit_sync_seen(ngx_http_goosebit_main_conf_t *mcf,
    int32_t tenant_id, int64_t device_id, ngx_str_t *address);

/* the same of one that was seen before, and is thrown out of the zone */
void ngx_http_goosebit_sync_evicted(ngx_http_goosebit_main_conf_t *mcf,
    gb_cache_seen_t *seen);

/* devices seen and not yet written, of this worker */
ngx_uint_t ngx_http_goosebit_sync_pending(ngx_http_goosebit_sync_t *sync);


/* of process start and end */
ngx_http_goosebit_sync_t *ngx_http_goosebit_sync_init(ngx_cycle_t *cycle,
    ngx_http_goosebit_main_conf_t *mcf);
void ngx_http_goosebit_sync_exit(ngx_http_goosebit_sync_t *sync);


#endif /* NGX_HTTP_GOOSEBIT_SYNC_H */
