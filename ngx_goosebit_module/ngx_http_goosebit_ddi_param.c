/*
 * ddi_param: what a device asks or says -> the parameters of a call.
 */

#include "ngx_http_goosebit_ddi_param.h"
#include "ngx_http_goosebit_route.h"

#include <jansson.h>

#include "gb_cbor.h"
#include "gb_feedback.h"


/* characters, as in hawkBit's JpaAutoConfirmationStatus and NamedEntity */
#define NGX_HTTP_GOOSEBIT_INITIATOR_MAX  64
#define NGX_HTTP_GOOSEBIT_REMARK_MAX     512
#define NGX_HTTP_GOOSEBIT_VERSION_MAX    255


static int ngx_http_goosebit_ddi_param_tree(ngx_http_goosebit_ddi_t *ddi,
    ngx_str_t *body, json_t **root, gb_error_t *err);
static ngx_uint_t ngx_http_goosebit_ddi_param_feedback(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *resource, ngx_str_t *body);
static void ngx_http_goosebit_ddi_param_code(ngx_http_goosebit_pg_query_t *q,
    gb_feedback_t *fb);
static void ngx_http_goosebit_ddi_param_quota(ngx_http_goosebit_pg_query_t *q,
    ngx_uint_t n);
static int ngx_http_goosebit_ddi_param_text(ngx_http_goosebit_ddi_t *ddi,
    json_t *root, const char *name, ngx_uint_t required, size_t max,
    ngx_str_t *value, gb_error_t *err);
static ngx_uint_t ngx_http_goosebit_ddi_param_status(
    ngx_http_goosebit_ddi_t *ddi, int rc, gb_error_t *err);
static ngx_str_t *ngx_http_goosebit_ddi_param_strings(ngx_pool_t *pool,
    char **strings, size_t n);


void
ngx_http_goosebit_ddi_param(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_http_goosebit_call_e call)
{
    gb_config_t  *config;

    config = ddi->mcf->config;

    switch (call) {

    case NGX_HTTP_GOOSEBIT_CALL_POLL:
    case NGX_HTTP_GOOSEBIT_CALL_REGISTER:
    case NGX_HTTP_GOOSEBIT_CALL_START:
    case NGX_HTTP_GOOSEBIT_CALL_START_HELD:
        ngx_http_goosebit_pg_add_int(q, config->poll_time);
        ngx_http_goosebit_pg_add_int(q, config->max_concurrent_updates);
        break;

    case NGX_HTTP_GOOSEBIT_CALL_DEPLOYMENT_BASE:
    case NGX_HTTP_GOOSEBIT_CALL_INSTALLED_BASE:
    case NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_ACTION:
        ngx_http_goosebit_pg_add_int(q, (int32_t) ddi->id);
        ngx_http_goosebit_pg_add_int(q, (int32_t) ddi->history);
        break;

    case NGX_HTTP_GOOSEBIT_CALL_AUTO_CONFIRM:

        /* off: hawkBit reads no body */

        ngx_http_goosebit_pg_add_int(q, 0);
        ngx_http_goosebit_pg_add_null(q);
        ngx_http_goosebit_pg_add_null(q);
        break;

    case NGX_HTTP_GOOSEBIT_CALL_CANCEL_ACTION:
        ngx_http_goosebit_pg_add_int(q, (int32_t) ddi->id);
        break;

    case NGX_HTTP_GOOSEBIT_CALL_ARTIFACT:

        /* no name, in the list of artifacts: the one that there is */

        ngx_http_goosebit_pg_add_int(q, (int32_t) ddi->id);
        ngx_http_goosebit_pg_add_text(q, &ddi->ctx->filename);
        break;

    case NGX_HTTP_GOOSEBIT_CALL_CONFIG_DATA:
    case NGX_HTTP_GOOSEBIT_CALL_FEEDBACK:
    case NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_BASE:
    case NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_FEEDBACK:
    case NGX_HTTP_GOOSEBIT_CALL_INSTALLED_VERSION:
    case NGX_HTTP_GOOSEBIT_CALL_STARTS:
    case NGX_HTTP_GOOSEBIT_CALL_BATCH:
    case NGX_HTTP_GOOSEBIT_CALL_SEEN:
    case NGX_HTTP_GOOSEBIT_CALL_TENANTS:
    case NGX_HTTP_GOOSEBIT_CALL_TICK:
    case NGX_HTTP_GOOSEBIT_CALL_STATUS:
    case NGX_HTTP_GOOSEBIT_CALL_CHANGES:
    case NGX_HTTP_GOOSEBIT_CALL_FLUSH:
    case NGX_HTTP_GOOSEBIT_CALLS:
        break;
    }
}


ngx_uint_t
ngx_http_goosebit_ddi_param_config_data(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *body)
{
    int                rc;
    ngx_str_t          mode, *keys, *values;
    ngx_pool_t        *pool;
    gb_error_t         err;
    json_t            *root;
    gb_config_data_t  *cd;

    rc = ngx_http_goosebit_ddi_param_tree(ddi, body, &root, &err);

    if (rc == GB_OK) {
        rc = gb_config_data_tree(root, &ddi->mcf->quota.body, &cd, &err);
        json_decref(root);
    }

    if (rc != GB_OK) {
        return ngx_http_goosebit_ddi_param_status(ddi, rc, &err);
    }

    pool = ddi->request->pool;

    keys = ngx_http_goosebit_ddi_param_strings(pool, cd->keys, cd->n);
    values = ngx_http_goosebit_ddi_param_strings(pool, cd->values, cd->n);

    if (keys == NULL || values == NULL) {
        gb_config_data_free(cd);
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    /* mode is a literal, arrays are copied: nothing of cd is needed later */

    mode.data = (u_char *) cd->mode;
    mode.len = ngx_strlen(cd->mode);

    ngx_http_goosebit_pg_add_text(q, &mode);
    ngx_http_goosebit_pg_add_texts(q, keys, cd->n);
    ngx_http_goosebit_pg_add_texts(q, values, cd->n);
    ngx_http_goosebit_ddi_param_quota(q, ddi->mcf->quota.body.attributes);

    gb_config_data_free(cd);

    return NGX_HTTP_OK;
}


ngx_uint_t
ngx_http_goosebit_ddi_param_deployment(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *body)
{
    static ngx_str_t  resource = ngx_string("deployment");

    return ngx_http_goosebit_ddi_param_feedback(ddi, q, &resource, body);
}


ngx_uint_t
ngx_http_goosebit_ddi_param_cancel(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *body)
{
    static ngx_str_t  resource = ngx_string("cancel");

    return ngx_http_goosebit_ddi_param_feedback(ddi, q, &resource, body);
}


static ngx_uint_t
ngx_http_goosebit_ddi_param_feedback(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *resource, ngx_str_t *body)
{
    int             rc;
    ngx_str_t       execution, finished, *details;
    json_t         *root;
    gb_error_t      err;
    gb_feedback_t  *fb;

    rc = ngx_http_goosebit_ddi_param_tree(ddi, body, &root, &err);

    if (rc == GB_OK) {
        rc = gb_feedback_tree(root, &ddi->mcf->quota.body, &fb, &err);
        json_decref(root);
    }

    if (rc != GB_OK) {
        return ngx_http_goosebit_ddi_param_status(ddi, rc, &err);
    }

    details = ngx_http_goosebit_ddi_param_strings(ddi->request->pool,
                                                  fb->details, fb->ndetails);
    if (details == NULL) {
        gb_feedback_free(fb);
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    /* words are literals, the array is copied: fb is not needed later */

    execution.data = (u_char *) fb->execution;
    execution.len = ngx_strlen(fb->execution);

    finished.data = (u_char *) fb->finished;
    finished.len = ngx_strlen(fb->finished);

    ngx_http_goosebit_pg_add_text(q, resource);
    ngx_http_goosebit_pg_add_int(q, (int32_t) ddi->id);
    ngx_http_goosebit_pg_add_text(q, &execution);
    ngx_http_goosebit_pg_add_text(q, &finished);

    if (fb->progress >= 0) {
        ngx_http_goosebit_pg_add_int(q, fb->progress);

    } else {
        ngx_http_goosebit_pg_add_null(q);
    }

    ngx_http_goosebit_ddi_param_code(q, fb);
    ngx_http_goosebit_pg_add_texts(q, details, fb->ndetails);
    ngx_http_goosebit_ddi_param_quota(q, ddi->mcf->quota.statuses);

    gb_feedback_free(fb);

    return NGX_HTTP_OK;
}


ngx_uint_t
ngx_http_goosebit_ddi_param_confirmation(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *body)
{
    int             rc;
    json_t         *root;
    ngx_str_t       word, *details;
    gb_error_t      err;
    gb_feedback_t  *fb;

    rc = ngx_http_goosebit_ddi_param_tree(ddi, body, &root, &err);

    if (rc == GB_OK) {
        rc = gb_feedback_confirmation_tree(root, &ddi->mcf->quota.body, &fb,
                                           &err);
        json_decref(root);
    }

    if (rc != GB_OK) {
        return ngx_http_goosebit_ddi_param_status(ddi, rc, &err);
    }

    details = ngx_http_goosebit_ddi_param_strings(ddi->request->pool,
                                                  fb->details, fb->ndetails);
    if (details == NULL) {
        gb_feedback_free(fb);
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    word.data = (u_char *) fb->execution;
    word.len = ngx_strlen(fb->execution);

    ngx_http_goosebit_pg_add_int(q, (int32_t) ddi->id);
    ngx_http_goosebit_pg_add_text(q, &word);
    ngx_http_goosebit_ddi_param_code(q, fb);
    ngx_http_goosebit_pg_add_texts(q, details, fb->ndetails);
    ngx_http_goosebit_ddi_param_quota(q, ddi->mcf->quota.statuses);

    gb_feedback_free(fb);

    return NGX_HTTP_OK;
}


ngx_uint_t
ngx_http_goosebit_ddi_param_auto_confirm(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *body)
{
    int          rc;
    json_t      *root;
    ngx_str_t    initiator, remark;
    gb_error_t   err;

    ngx_str_null(&initiator);
    ngx_str_null(&remark);

    if (body->len) {
        rc = ngx_http_goosebit_ddi_param_tree(ddi, body, &root, &err);

        if (rc == GB_OK) {
            rc = ngx_http_goosebit_ddi_param_text(ddi, root, "initiator", 0,
                                        NGX_HTTP_GOOSEBIT_INITIATOR_MAX,
                                        &initiator, &err);

            if (rc == GB_OK) {
                rc = ngx_http_goosebit_ddi_param_text(ddi, root, "remark", 0,
                                            NGX_HTTP_GOOSEBIT_REMARK_MAX,
                                            &remark, &err);
            }

            json_decref(root);
        }

        if (rc != GB_OK) {
            return ngx_http_goosebit_ddi_param_status(ddi, rc, &err);
        }
    }

    ngx_http_goosebit_pg_add_int(q, 1);
    ngx_http_goosebit_pg_add_text(q, &initiator);
    ngx_http_goosebit_pg_add_text(q, &remark);

    return NGX_HTTP_OK;
}


ngx_uint_t
ngx_http_goosebit_ddi_param_installed(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *body)
{
    int          rc;
    json_t      *root;
    ngx_str_t    name, version;
    gb_error_t   err;

    rc = ngx_http_goosebit_ddi_param_tree(ddi, body, &root, &err);

    if (rc == GB_OK) {
        rc = ngx_http_goosebit_ddi_param_text(ddi, root, "name", 1,
                                              NGX_HTTP_GOOSEBIT_VERSION_MAX,
                                              &name, &err);

        if (rc == GB_OK) {
            rc = ngx_http_goosebit_ddi_param_text(ddi, root, "version", 1,
                                            NGX_HTTP_GOOSEBIT_VERSION_MAX,
                                            &version, &err);
        }

        json_decref(root);
    }

    if (rc != GB_OK) {
        return ngx_http_goosebit_ddi_param_status(ddi, rc, &err);
    }

    ngx_http_goosebit_pg_add_text(q, &name);
    ngx_http_goosebit_pg_add_text(q, &version);

    return NGX_HTTP_OK;
}


static void
ngx_http_goosebit_ddi_param_code(ngx_http_goosebit_pg_query_t *q,
    gb_feedback_t *fb)
{
    if (fb->has_code) {
        ngx_http_goosebit_pg_add_int(q, fb->code);

    } else {
        ngx_http_goosebit_pg_add_null(q);
    }
}


/* 0 is SQL's own default */

static void
ngx_http_goosebit_ddi_param_quota(ngx_http_goosebit_pg_query_t *q,
    ngx_uint_t n)
{
    if (n) {
        ngx_http_goosebit_pg_add_int(q, (int32_t) n);

    } else {
        ngx_http_goosebit_pg_add_null(q);
    }
}


/* a copy in r->pool, as text is borrowed until the call is answered */

static int
ngx_http_goosebit_ddi_param_text(ngx_http_goosebit_ddi_t *ddi, json_t *root,
    const char *name, ngx_uint_t required, size_t max, ngx_str_t *value,
    gb_error_t *err)
{
    int         rc;
    char       *text;
    ngx_str_t   borrowed;

    ngx_str_null(value);

    rc = gb_feedback_text(root, name, required, max, &text, err);

    if (rc != GB_OK || text == NULL) {
        return rc;
    }

    borrowed.data = (u_char *) text;
    borrowed.len = ngx_strlen(text);

    value->len = borrowed.len;
    value->data = ngx_pstrdup(ddi->request->pool, &borrowed);

    free(text);

    return value->data ? GB_OK : gb_error_nomem(err);
}


/* JSON or CBOR: one tree, one reader; *root is a new reference */

static int
ngx_http_goosebit_ddi_param_tree(ngx_http_goosebit_ddi_t *ddi,
    ngx_str_t *body, json_t **root, gb_error_t *err)
{
    return ddi->cbor ? gb_cbor_load((char *) body->data, body->len, root, err)
                     : gb_feedback_json((char *) body->data, body->len, root,
                                        err);
}


static ngx_uint_t
ngx_http_goosebit_ddi_param_status(ngx_http_goosebit_ddi_t *ddi, int rc,
    gb_error_t *err)
{
    ngx_log_error(NGX_LOG_INFO, ddi->request->connection->log, 0,
                  "client sent a body that is refused: %s", err->message);

    switch (rc) {

    case GB_QUOTA:
        return NGX_HTTP_TOO_MANY_REQUESTS;

    case GB_NOMEM:
        return NGX_HTTP_SERVICE_UNAVAILABLE;

    default:
        return NGX_HTTP_BAD_REQUEST;
    }
}


/* borrows; one too many, so that none is not NULL */

static ngx_str_t *
ngx_http_goosebit_ddi_param_strings(ngx_pool_t *pool, char **strings, size_t n)
{
    size_t      i;
    ngx_str_t  *values;

    values = ngx_palloc(pool, (n + 1) * sizeof(ngx_str_t));
    if (values == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        values[i].data = (u_char *) strings[i];
        values[i].len = strings[i] ? ngx_strlen(strings[i]) : 0;
    }

    return values;
}
