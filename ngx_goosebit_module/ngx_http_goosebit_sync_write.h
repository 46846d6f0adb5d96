/*
 * One statement that writes down when devices were seen.
 */

#ifndef NGX_HTTP_GOOSEBIT_SYNC_WRITE_H
#define NGX_HTTP_GOOSEBIT_SYNC_WRITE_H


#include "ngx_http_goosebit_pg.h"


#define NGX_HTTP_GOOSEBIT_SYNC_CHUNK    2000        /* rows a statement */


typedef struct {
    int32_t                        *tenants;
    int64_t                        *devices;
    int64_t                        *times;          /* Unix, ms */
    ngx_str_t                      *addresses;      /* data NULL: not known */
    ngx_uint_t                      n;
} ngx_http_goosebit_sync_rows_t;


/* room for n rows in pool; addresses are zeroed.  NGX_ERROR: out of memory */
ngx_int_t ngx_http_goosebit_sync_rows(ngx_pool_t *pool, ngx_uint_t n,
    ngx_http_goosebit_sync_rows_t *rows);

/*
 * The query that writes the rows, to be given a handler and submitted; the
 * addresses' texts are borrowed until then.  NULL: out of memory.
 */
ngx_http_goosebit_pg_query_t *ngx_http_goosebit_sync_query(ngx_pool_t *pool,
    ngx_http_goosebit_sync_rows_t *rows);


#endif /* NGX_HTTP_GOOSEBIT_SYNC_WRITE_H */
