/*
 * What every row says, whatever was called.
 */

#include "ngx_http_goosebit_ask.h"
#include "ngx_http_goosebit_quiet.h"
#include "ngx_http_goosebit_sync.h"


ngx_uint_t
ngx_http_goosebit_ask_said(ngx_http_goosebit_pg_result_t *result,
    const char *column, char *word)
{
    ngx_str_t  value;

    ngx_str_null(&value);
    (void) ngx_http_goosebit_pg_text(result, 0, column, &value);

    return value.len == ngx_strlen(word)
           && ngx_memcmp(value.data, word, value.len) == 0;
}


ngx_uint_t
ngx_http_goosebit_ask_status(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t  status;

    status = 0;

    if (result->rows == 1) {
        status = ngx_http_goosebit_pg_int(result, "status", 0);
    }

    switch (status) {

    case NGX_HTTP_OK:
    case NGX_HTTP_BAD_REQUEST:
    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_NOT_FOUND:
    case NGX_HTTP_GOOSEBIT_GONE:
    case NGX_HTTP_TOO_MANY_REQUESTS:
        return status;

    default:
        ngx_log_error(NGX_LOG_ERR, ddi->request->connection->log, 0,
                      "a goosebit_ddi function returned %ui rows, status %i: "
                      "is the database migrated?", result->rows, status);
        return 0;
    }
}


ngx_int_t
ngx_http_goosebit_ask_learn(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, ngx_uint_t status)
{
    int64_t                   tenant_id, device_id;
    ngx_str_t                 tenant;
    ngx_uint_t                stored;
    ngx_http_request_t       *r;
    ngx_http_goosebit_ctx_t  *ctx;

    r = ddi->request;
    ctx = ddi->ctx;

    stored = (ngx_http_goosebit_quiet_learn(ddi, result, status) == NGX_OK);

    ddi->link.tenant = ctx->tenant;

    if (ngx_http_goosebit_pg_copy(result, "reason", r->pool, &ctx->reason)
        == NGX_ERROR
        || ngx_http_goosebit_pg_copy(result, "tenant", r->pool, &tenant)
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    if (tenant.len) {
        ngx_http_goosebit_quiet_spelled(ddi, &tenant);
        ctx->tenant = tenant;
        ddi->link.tenant = tenant;
    }

    if (status != NGX_HTTP_UNAUTHORIZED
        && ngx_http_goosebit_pg_bigint(result, 0, "tenant_id", &tenant_id)
           == NGX_OK
        && ngx_http_goosebit_pg_bigint(result, 0, "device_id", &device_id)
           == NGX_OK
        && (!stored || ngx_exiting))
    {
        ngx_http_goosebit_sync_seen(ddi->mcf, (int32_t) tenant_id, device_id,
                                    &r->connection->addr_text);
    }

    return NGX_OK;
}
