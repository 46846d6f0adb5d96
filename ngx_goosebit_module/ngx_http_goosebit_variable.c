/*
 * A request's context, and what log formats, maps and limits see of it.
 */

#include "ngx_http_goosebit_variable.h"
#include "ngx_http_goosebit_ddi.h"
#include "ngx_http_goosebit_metrics.h"
#include "ngx_http_goosebit_route.h"


typedef struct {
    ngx_http_goosebit_ctx_t  *ctx;
} ngx_http_goosebit_cleanup_t;


static void ngx_http_goosebit_ctx_cleanup(void *data);
static ngx_http_goosebit_ctx_t *ngx_http_goosebit_variable_ctx(
    ngx_http_request_t *r, ngx_http_goosebit_ctx_t *scratch);
static ngx_int_t ngx_http_goosebit_part_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_endpoint_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_cache_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_reason_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_db_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_action_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_variable(ngx_http_variable_value_t *v,
    ngx_str_t *value);


static ngx_http_variable_t  ngx_http_goosebit_vars[] = {

    { ngx_string("goosebit_tenant"), NULL,
      ngx_http_goosebit_part_variable,
      offsetof(ngx_http_goosebit_ctx_t, tenant),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_device"), NULL,
      ngx_http_goosebit_part_variable,
      offsetof(ngx_http_goosebit_ctx_t, device),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_endpoint"), NULL,
      ngx_http_goosebit_endpoint_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_cache_status"), NULL,
      ngx_http_goosebit_cache_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_reason"), NULL,
      ngx_http_goosebit_reason_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_db_time"), NULL,
      ngx_http_goosebit_db_time_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_action"), NULL,
      ngx_http_goosebit_action_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_http_goosebit_ctx_t *
ngx_http_goosebit_ctx_get(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_goosebit_ctx_t      *ctx;
    ngx_http_goosebit_cleanup_t  *keep;

    ctx = ngx_http_get_module_ctx(r, ngx_http_goosebit_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    if (r != r->main) {
        return ngx_http_goosebit_ctx_get(r->main);
    }

    /*
     * An internal redirect has cleared the contexts, not the pool.  The search
     * is made once: each slice of a download adds to that list.
     */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_goosebit_ctx_cleanup) {
            keep = cln->data;
            ngx_http_set_ctx(r, keep->ctx, ngx_http_goosebit_module);

            return keep->ctx;
        }
    }

    return NULL;
}


ngx_http_goosebit_ctx_t *
ngx_http_goosebit_ctx_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_goosebit_ctx_t      *ctx;
    ngx_http_goosebit_cleanup_t  *keep;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_goosebit_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_goosebit_cleanup_t));
    if (cln == NULL) {
        return NULL;
    }

    keep = cln->data;
    keep->ctx = ctx;

    cln->handler = ngx_http_goosebit_ctx_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_goosebit_module);

    return ctx;
}


/* only a mark by which the context is found again */

static void
ngx_http_goosebit_ctx_cleanup(void *data)
{
    ngx_http_goosebit_cleanup_t  *keep;

    keep = data;
    keep->ctx = NULL;
}


ngx_int_t
ngx_http_goosebit_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_goosebit_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_variable(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value == NULL || value->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = value->len;
    v->data = value->data;

    return NGX_OK;
}


/* limits and maps ask before the handler has run: then the URI tells */

static ngx_http_goosebit_ctx_t *
ngx_http_goosebit_variable_ctx(ngx_http_request_t *r,
    ngx_http_goosebit_ctx_t *scratch)
{
    ngx_http_goosebit_ctx_t    *ctx;
    ngx_http_core_loc_conf_t   *clcf;
    ngx_http_goosebit_route_t   rt;

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx) {
        return ctx;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->handler != ngx_http_goosebit_ddi_handler
        || ngx_http_goosebit_route_request(r, &rt) != NGX_OK)
    {
        return NULL;
    }

    ngx_memzero(scratch, sizeof(ngx_http_goosebit_ctx_t));

    scratch->endpoint = rt.endpoint;
    scratch->tenant = rt.tenant;
    scratch->device = rt.device;

    return scratch;
}


static ngx_int_t
ngx_http_goosebit_part_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_goosebit_ctx_t  *ctx, scratch;

    ctx = ngx_http_goosebit_variable_ctx(r, &scratch);

    return ngx_http_goosebit_variable(v,
                            ctx ? (ngx_str_t *) ((char *) ctx + data) : NULL);
}


static ngx_int_t
ngx_http_goosebit_endpoint_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_goosebit_ctx_t  *ctx, scratch;

    ctx = ngx_http_goosebit_variable_ctx(r, &scratch);

    return ngx_http_goosebit_variable(v,
                     ctx ? ngx_http_goosebit_metrics_endpoint(ctx->endpoint)
                         : NULL);
}


static ngx_int_t
ngx_http_goosebit_cache_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_goosebit_ctx_t  *ctx;

    ctx = ngx_http_goosebit_ctx_get(r);

    return ngx_http_goosebit_variable(v,
                              ctx ? ngx_http_goosebit_metrics_cache(ctx)
                                  : NULL);
}


static ngx_int_t
ngx_http_goosebit_reason_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_goosebit_ctx_t  *ctx;

    ctx = ngx_http_goosebit_ctx_get(r);

    return ngx_http_goosebit_variable(v, ctx ? &ctx->reason : NULL);
}


/* seconds, as $upstream_response_time has them, but to the microsecond */

static ngx_int_t
ngx_http_goosebit_db_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                 value;
    ngx_http_goosebit_ctx_t  *ctx;

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx == NULL || ctx->db_calls == 0) {
        return ngx_http_goosebit_variable(v, NULL);
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN + sizeof(".000000") - 1);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%uL.%06uL", ctx->db_time / 1000000,
                            ctx->db_time % 1000000)
                - value.data;

    return ngx_http_goosebit_variable(v, &value);
}


static ngx_int_t
ngx_http_goosebit_action_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                 value;
    ngx_http_goosebit_ctx_t  *ctx;

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx == NULL || ctx->action_id <= 0) {
        return ngx_http_goosebit_variable(v, NULL);
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%i", ctx->action_id) - value.data;

    return ngx_http_goosebit_variable(v, &value);
}
