/*
 * Rows of last polls -> goosebit_ddi.seen().
 */

#include "ngx_http_goosebit_sync_write.h"


ngx_int_t
ngx_http_goosebit_sync_rows(ngx_pool_t *pool, ngx_uint_t n,
    ngx_http_goosebit_sync_rows_t *rows)
{
    rows->n = n;
    rows->tenants = ngx_palloc(pool, n * sizeof(int32_t));
    rows->devices = ngx_palloc(pool, n * sizeof(int64_t));
    rows->times = ngx_palloc(pool, n * sizeof(int64_t));
    rows->addresses = ngx_pcalloc(pool, n * sizeof(ngx_str_t));

    if (rows->tenants == NULL || rows->devices == NULL || rows->times == NULL
        || rows->addresses == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_http_goosebit_pg_query_t *
ngx_http_goosebit_sync_query(ngx_pool_t *pool,
    ngx_http_goosebit_sync_rows_t *rows)
{
    ngx_http_goosebit_pg_query_t  *q;

    q = ngx_http_goosebit_pg_create(pool, NGX_HTTP_GOOSEBIT_CALL_SEEN);
    if (q == NULL) {
        return NULL;
    }

    ngx_http_goosebit_pg_add_ints(q, rows->tenants, rows->n);
    ngx_http_goosebit_pg_add_bigints(q, rows->devices, rows->n);
    ngx_http_goosebit_pg_add_bigints(q, rows->times, rows->n);
    ngx_http_goosebit_pg_add_texts(q, rows->addresses, rows->n);

    return q;
}
