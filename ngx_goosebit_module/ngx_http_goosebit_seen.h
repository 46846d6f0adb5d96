/*
 * Devices seen and not yet written: the sync room's table.
 */

#ifndef NGX_HTTP_GOOSEBIT_SEEN_H
#define NGX_HTTP_GOOSEBIT_SEEN_H


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_GOOSEBIT_SEEN_ADDRESS  (sizeof("ffff:ffff:ffff:ffff:ffff:"   \
                                               "ffff:255.255.255.255") - 1)


typedef struct {
    int64_t                         device_id;
    int64_t                         seen_at;        /* Unix, ms */
    int32_t                         tenant_id;
    u_char                          len;
    u_char                          address[NGX_HTTP_GOOSEBIT_SEEN_ADDRESS];
} ngx_http_goosebit_seen_t;


typedef struct {
    ngx_http_goosebit_seen_t       *elts;
    ngx_uint_t                      n;
    ngx_uint_t                      size;
    uint32_t                       *slots;          /* position + 1; 2 * size */
} ngx_http_goosebit_seen_table_t;


/*
 * The device's place: new (zeroed but for the ids) or not.  NULL: no memory, or
 * 65,536 devices are waiting.  The next call may move it.
 */
ngx_http_goosebit_seen_t *ngx_http_goosebit_seen_find(
    ngx_http_goosebit_seen_table_t *table, int32_t tenant_id,
    int64_t device_id, ngx_uint_t *new, ngx_log_t *log);

/* empties it, and keeps its memory */
void ngx_http_goosebit_seen_reset(ngx_http_goosebit_seen_table_t *table);

/* by tenant and device; from then on nothing can be found */
void ngx_http_goosebit_seen_sort(ngx_http_goosebit_seen_table_t *table);

void ngx_http_goosebit_seen_free(ngx_http_goosebit_seen_table_t *table);


#endif /* NGX_HTTP_GOOSEBIT_SEEN_H */
