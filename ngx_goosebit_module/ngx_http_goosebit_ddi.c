/*
 * ddi: one device request: checks -> call -> row -> answer.
 *
 * ddi.md wants refusals in one order: 404 of path or tenant, 405, 401, 413,
 * 415, 406, 400, 404 of a resource, 410.  Tenant and credentials are SQL's to
 * judge.  So a request that is refused here for its form asks SQL first, by a
 * poll that changes nothing, whether there is something to say before that.
 */

#include "ngx_http_goosebit_ddi.h"
#include "ngx_http_goosebit_accept.h"
#include "ngx_http_goosebit_access.h"
#include "ngx_http_goosebit_body.h"
#include "ngx_http_goosebit_ask.h"
#include "ngx_http_goosebit_ddi_param.h"
#include "ngx_http_goosebit_quiet.h"
#include "ngx_http_goosebit_route.h"


typedef struct {
    ngx_http_goosebit_call_e       call;
    ngx_http_goosebit_ddi_row_pt   row;
    ngx_http_goosebit_ddi_param_pt param;       /* NULL: no body */
    ngx_int_t                    (*quiet)(ngx_http_goosebit_ddi_t *ddi);
                                                /* NULL: always SQL */
    unsigned                       id:1;
    unsigned                       any_type:1;  /* Accept says nothing here */
} ngx_http_goosebit_ddi_endpoint_t;


static ngx_http_goosebit_ddi_t *ngx_http_goosebit_ddi_create(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_goosebit_ddi_route(ngx_http_goosebit_ddi_t *ddi);
static ngx_uint_t ngx_http_goosebit_ddi_check(ngx_http_goosebit_ddi_t *ddi);
static void ngx_http_goosebit_ddi_discard(ngx_http_request_t *r,
    ngx_uint_t status);
static void ngx_http_goosebit_ddi_body(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *body);


static ngx_http_goosebit_ddi_endpoint_t
    ngx_http_goosebit_endpoints[NGX_HTTP_GOOSEBIT_ENDPOINTS] =
{
    [NGX_HTTP_GOOSEBIT_POLL] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_POLL,
        .row = ngx_http_goosebit_ddi_row_poll,
        .quiet = ngx_http_goosebit_quiet
    },

    [NGX_HTTP_GOOSEBIT_CONFIG_DATA] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_CONFIG_DATA,
        .row = ngx_http_goosebit_ddi_row_message,
        .param = ngx_http_goosebit_ddi_param_config_data
    },

    [NGX_HTTP_GOOSEBIT_DEPLOYMENT_BASE] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_DEPLOYMENT_BASE,
        .row = ngx_http_goosebit_ddi_row_deployment,
        .id = 1
    },

    [NGX_HTTP_GOOSEBIT_DEPLOYMENT_FEEDBACK] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_FEEDBACK,
        .row = ngx_http_goosebit_ddi_row_feedback,
        .param = ngx_http_goosebit_ddi_param_deployment,
        .id = 1
    },

    [NGX_HTTP_GOOSEBIT_CANCEL_ACTION] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_CANCEL_ACTION,
        .row = ngx_http_goosebit_ddi_row_cancel,
        .id = 1
    },

    [NGX_HTTP_GOOSEBIT_CANCEL_FEEDBACK] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_FEEDBACK,
        .row = ngx_http_goosebit_ddi_row_feedback,
        .param = ngx_http_goosebit_ddi_param_cancel,
        .id = 1
    },

    [NGX_HTTP_GOOSEBIT_INSTALLED_BASE] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_INSTALLED_BASE,
        .row = ngx_http_goosebit_ddi_row_deployment,
        .id = 1
    },

    [NGX_HTTP_GOOSEBIT_INSTALLED_VERSION] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_INSTALLED_VERSION,
        .row = ngx_http_goosebit_ddi_row_message,
        .param = ngx_http_goosebit_ddi_param_installed
    },

    [NGX_HTTP_GOOSEBIT_CONFIRMATION_BASE] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_BASE,
        .row = ngx_http_goosebit_ddi_row_confirmation
    },

    [NGX_HTTP_GOOSEBIT_CONFIRMATION_ACTION] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_ACTION,
        .row = ngx_http_goosebit_ddi_row_deployment,
        .id = 1
    },

    [NGX_HTTP_GOOSEBIT_CONFIRMATION_FEEDBACK] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_FEEDBACK,
        .row = ngx_http_goosebit_ddi_row_feedback,
        .param = ngx_http_goosebit_ddi_param_confirmation,
        .id = 1
    },

    [NGX_HTTP_GOOSEBIT_CONFIRMATION_ON] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_AUTO_CONFIRM,
        .row = ngx_http_goosebit_ddi_row_confirmation,
        .param = ngx_http_goosebit_ddi_param_auto_confirm
    },

    [NGX_HTTP_GOOSEBIT_CONFIRMATION_OFF] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_AUTO_CONFIRM,
        .row = ngx_http_goosebit_ddi_row_confirmation
    },

    [NGX_HTTP_GOOSEBIT_ARTIFACTS] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_ARTIFACT,
        .row = ngx_http_goosebit_ddi_row_artifacts,
        .id = 1
    },

    [NGX_HTTP_GOOSEBIT_ARTIFACT] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_ARTIFACT,
        .row = ngx_http_goosebit_ddi_row_artifact,
        .quiet = ngx_http_goosebit_quiet_download,
        .id = 1,
        .any_type = 1
    },

    [NGX_HTTP_GOOSEBIT_MD5SUM] = {
        .call = NGX_HTTP_GOOSEBIT_CALL_ARTIFACT,
        .row = ngx_http_goosebit_ddi_row_md5sum,
        .id = 1,
        .any_type = 1
    }
};


ngx_int_t
ngx_http_goosebit_ddi_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_uint_t                         status;
    ngx_http_goosebit_ddi_t           *ddi;
    ngx_http_goosebit_ddi_endpoint_t  *endpoint;

    if (r != r->main) {

        /* a subrequest carries the URI of its parent: not a device's */

        return NGX_HTTP_NOT_FOUND;
    }

    ddi = ngx_http_goosebit_ddi_create(r);
    if (ddi == NULL) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (ddi->ctx->object) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "goosebit_object_store leads back to \"goosebit\"");
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    rc = ngx_http_goosebit_ddi_route(ddi);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_goosebit_ddi_discard(r, NGX_HTTP_NOT_FOUND);
        return ngx_http_goosebit_ask_error(ddi, NGX_HTTP_NOT_FOUND);
    }

    endpoint = &ngx_http_goosebit_endpoints[ddi->ctx->endpoint];
    ddi->row = endpoint->row;

    status = ngx_http_goosebit_ddi_check(ddi);

    if (status == NGX_HTTP_OK && endpoint->param) {
        return ngx_http_goosebit_body_read(r, ddi->max_body,
                                           ngx_http_goosebit_ddi_body);
    }

    if (status == NGX_HTTP_OK && ddi->id == NGX_HTTP_GOOSEBIT_NO_ID) {
        status = NGX_HTTP_NOT_FOUND;
    }

    ngx_http_goosebit_ddi_discard(r, status);

    if (status == NGX_HTTP_OK && endpoint->quiet) {
        rc = endpoint->quiet(ddi);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    r->main->count++;

    if (status != NGX_HTTP_OK) {
        ngx_http_goosebit_ask_refuse(ddi, status);

    } else if (ngx_http_goosebit_quiet_join(ddi) == NGX_OK) {
        ngx_http_goosebit_ask_wait(ddi);

    } else if (ngx_http_goosebit_ask(ddi, endpoint->call) != NGX_OK) {
        ngx_http_finalize_request(
            r, ngx_http_goosebit_ask_error(ddi, NGX_HTTP_SERVICE_UNAVAILABLE));
    }

    return NGX_DONE;
}


static ngx_http_goosebit_ddi_t *
ngx_http_goosebit_ddi_create(ngx_http_request_t *r)
{
    ngx_http_goosebit_ctx_t       *ctx;
    ngx_http_goosebit_ddi_t       *ddi;
    ngx_http_goosebit_loc_conf_t  *lcf;

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx == NULL) {
        ctx = ngx_http_goosebit_ctx_create(r);
        if (ctx == NULL) {
            return NULL;
        }
    }

    ddi = ngx_pcalloc(r->pool, sizeof(ngx_http_goosebit_ddi_t));
    if (ddi == NULL) {
        return NULL;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_module);

    ddi->request = r;
    ddi->ctx = ctx;
    ddi->mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);
    ddi->max_body = lcf->max_body;

    ctx->data = ddi;

    return ddi;
}


static ngx_int_t
ngx_http_goosebit_ddi_route(ngx_http_goosebit_ddi_t *ddi)
{
    ngx_int_t                      rc;
    ngx_str_t                      tenant;
    ngx_http_request_t            *r;
    ngx_http_goosebit_ctx_t       *ctx;
    ngx_http_goosebit_route_t      rt;
    ngx_http_goosebit_loc_conf_t  *lcf;

    r = ddi->request;
    ctx = ddi->ctx;

    rc = ngx_http_goosebit_route_request(r, &rt);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->endpoint = rt.endpoint;
    ctx->tenant = rt.tenant;
    ctx->device = rt.device;
    ctx->prefix = rt.prefix;
    ctx->filename = rt.filename;

    ddi->id = rt.id;

    if (rt.endpoint >= NGX_HTTP_GOOSEBIT_ARTIFACTS) {
        ctx->software_id = ngx_max(rt.id, 0);

    } else {
        ctx->action_id = ngx_max(rt.id, 0);
        ddi->history = ngx_http_goosebit_route_history(&rt.args);
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_module);

    if (lcf->tenant) {
        if (ngx_http_complex_value(r, lcf->tenant, &tenant) != NGX_OK) {
            return NGX_ERROR;
        }

        if (tenant.len != rt.tenant.len
            || ngx_strncasecmp(tenant.data, rt.tenant.data, tenant.len) != 0)
        {
            return NGX_DECLINED;
        }
    }

    rc = ngx_http_goosebit_access_identity(r, &ddi->auth);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_goosebit_auth(r, &ddi->auth);
        ngx_http_goosebit_access_remembered(r, &ddi->auth);
    }

    return NGX_OK;
}


/* what can be said by the headers alone, in ddi.md's order */

static ngx_uint_t
ngx_http_goosebit_ddi_check(ngx_http_goosebit_ddi_t *ddi)
{
    ngx_http_request_t                *r;
    ngx_http_goosebit_ddi_endpoint_t  *endpoint;

    r = ddi->request;
    endpoint = &ngx_http_goosebit_endpoints[ddi->ctx->endpoint];

    if (!(r->method & ngx_http_goosebit_route_methods(ddi->ctx->endpoint))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    if (ngx_http_goosebit_body_large(r, ddi->max_body)) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    if (endpoint->param
        && ngx_http_goosebit_accept_body(r, &ddi->cbor) != NGX_OK)
    {
        return NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
    }

    if (!endpoint->any_type
        && ngx_http_goosebit_accept(r, &ddi->type) != NGX_OK)
    {
        return NGX_HTTP_GOOSEBIT_NOT_ACCEPTABLE;
    }

    return NGX_HTTP_OK;
}


/*
 * A body that is not for us.  One that is too large, or waits for our 100, is
 * not worth reading: the connection closes after the answer.
 */

static void
ngx_http_goosebit_ddi_discard(ngx_http_request_t *r, ngx_uint_t status)
{
    if (status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        r->keepalive = 0;
    }

    if (r->headers_in.expect && !r->expect_tested && r->request_body == NULL
        && (r->headers_in.content_length_n > 0 || r->headers_in.chunked))
    {
        r->expect_tested = 1;
        r->keepalive = 0;
    }

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
}


static void
ngx_http_goosebit_ddi_body(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body)
{
    ngx_http_goosebit_ctx_t           *ctx;
    ngx_http_goosebit_ddi_t           *ddi;
    ngx_http_goosebit_pg_query_t      *q;
    ngx_http_goosebit_ddi_endpoint_t  *endpoint;

    ctx = ngx_http_goosebit_ctx_get(r);
    ddi = ctx->data;
    endpoint = &ngx_http_goosebit_endpoints[ctx->endpoint];

    if (status != NGX_HTTP_OK) {
        ngx_http_goosebit_ask_refuse(ddi, status);
        return;
    }

    q = ngx_http_goosebit_ask_query(ddi, endpoint->call);
    if (q == NULL) {
        ngx_http_finalize_request(
            r, ngx_http_goosebit_ask_error(ddi, NGX_HTTP_SERVICE_UNAVAILABLE));
        return;
    }

    status = endpoint->param(ddi, q, body);

    if (status == NGX_HTTP_OK && ddi->id == NGX_HTTP_GOOSEBIT_NO_ID) {
        status = NGX_HTTP_NOT_FOUND;
    }

    if (status != NGX_HTTP_OK) {
        ngx_http_goosebit_ask_refuse(ddi, status);
        return;
    }

    ngx_http_goosebit_pg_submit(ddi->mcf->pg, q);
}
