/*
 * reply: how answers leave.
 */

#include "ngx_http_goosebit_reply.h"
#include "ngx_http_goosebit_accept.h"
#include "ngx_http_goosebit_ddi_json.h"
#include "ngx_http_goosebit_route.h"

#include "gb_cbor.h"


typedef struct {
    ngx_uint_t     status;
    ngx_str_t      code;
    ngx_str_t      message;
} ngx_http_goosebit_reason_t;


static ngx_int_t ngx_http_goosebit_reply_cbor(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_str_t *ngx_http_goosebit_reply_accepted(ngx_http_request_t *r);
static ngx_int_t ngx_http_goosebit_reply_tag(ngx_http_request_t *r,
    ngx_http_goosebit_reply_t *reply);
static ngx_int_t ngx_http_goosebit_reply_body(ngx_http_request_t *r,
    ngx_str_t *body);
static void ngx_http_goosebit_reply_type(ngx_http_request_t *r,
    ngx_str_t *type);
static ngx_http_goosebit_reason_t *ngx_http_goosebit_reply_reason(
    ngx_uint_t status);
static ngx_int_t ngx_http_goosebit_reply_advice(ngx_http_request_t *r,
    ngx_http_goosebit_ctx_t *ctx, ngx_http_goosebit_error_t *error);
static ngx_int_t ngx_http_goosebit_reply_document(ngx_http_request_t *r,
    ngx_http_goosebit_error_t *error, ngx_str_t *body);
static ngx_uint_t ngx_http_goosebit_reply_artifact(
    ngx_http_goosebit_endpoint_e endpoint);
static ngx_int_t ngx_http_goosebit_reply_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_goosebit_reply_ours(ngx_http_request_t *r);
static ngx_uint_t ngx_http_goosebit_reply_nul(ngx_http_request_t *r);


static ngx_str_t  ngx_http_goosebit_reply_json =
                                              ngx_string("application/json");
static ngx_str_t  ngx_http_goosebit_reply_scheme = ngx_string("TargetToken");


static ngx_http_goosebit_reason_t  ngx_http_goosebit_reasons[] = {

    { NGX_HTTP_BAD_REQUEST, ngx_string("invalid"),
      ngx_string("The request is malformed or says what it may not.") },

    { NGX_HTTP_UNAUTHORIZED, ngx_string("unauthorized"),
      ngx_string("Credentials are missing or not valid.") },

    { NGX_HTTP_FORBIDDEN, ngx_string("forbidden"),
      ngx_string("Access is denied.") },

    { NGX_HTTP_NOT_FOUND, ngx_string("not_found"),
      ngx_string("There is no such resource.") },

    { NGX_HTTP_NOT_ALLOWED, ngx_string("method_not_allowed"),
      ngx_string("The resource does not have this method.") },

    { NGX_HTTP_GOOSEBIT_NOT_ACCEPTABLE, ngx_string("not_acceptable"),
      ngx_string("Answers are application/json, application/hal+json "
                 "or application/cbor.") },

    { NGX_HTTP_REQUEST_TIME_OUT, ngx_string("timeout"),
      ngx_string("The request took too long to arrive.") },

    { NGX_HTTP_GOOSEBIT_GONE, ngx_string("gone"),
      ngx_string("The action has ended otherwise.") },

    { NGX_HTTP_PRECONDITION_FAILED, ngx_string("precondition_failed"),
      ngx_string("A precondition in the headers does not hold.") },

    { NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, ngx_string("too_large"),
      ngx_string("The body is larger than is allowed.") },

    { NGX_HTTP_REQUEST_URI_TOO_LARGE, ngx_string("uri_too_long"),
      ngx_string("The URI is longer than is allowed.") },

    { NGX_HTTP_UNSUPPORTED_MEDIA_TYPE, ngx_string("unsupported_media_type"),
      ngx_string("The body is neither application/json nor "
                 "application/cbor.") },

    { NGX_HTTP_TOO_MANY_REQUESTS, ngx_string("quota_exceeded"),
      ngx_string("More was sent than is allowed.") },

    { NGX_HTTP_SERVICE_UNAVAILABLE, ngx_string("unavailable"),
      ngx_string("The service is not available now; try again later.") },

    { 0, ngx_string("failed"),
      ngx_string("The request can't be answered.") }
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_handler_pt               ngx_http_goosebit_reply_handler;


ngx_int_t
ngx_http_goosebit_reply(ngx_http_request_t *r,
    ngx_http_goosebit_reply_t *reply)
{
    ngx_int_t                 rc;
    ngx_http_goosebit_ctx_t  *ctx;

    if (ngx_http_goosebit_accept_cbor(reply->type)
        && ngx_http_goosebit_reply_cbor(r, &reply->body) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx = ngx_http_goosebit_ctx_get(r);
    ctx->answered = 1;

    r->headers_out.status = reply->status;
    r->headers_out.content_length_n = reply->body.len;

    ngx_http_goosebit_reply_type(r, reply->type);

    /* small answers are never compressed, as that would chunk them */

#if (NGX_HTTP_GZIP)
    r->gzip_tested = 1;
    r->gzip_ok = 0;
#endif

    if (reply->cacheable) {

        if (ngx_http_goosebit_reply_tag(r, reply) != NGX_OK) {
            return NGX_ERROR;
        }

        /* RFC 9110, 13.1: not evaluated without a modification date */

        r->headers_in.if_modified_since = NULL;
        r->headers_in.if_unmodified_since = NULL;

    } else {
        r->disable_not_modified = 1;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_goosebit_reply_body(r, &reply->body);
}


/* documents have one writer, for JSON: this is the other form of its text */

static ngx_int_t
ngx_http_goosebit_reply_cbor(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char      *p;
    size_t       size;
    gb_error_t   err;

    size = gb_cbor_dump_size(body->len);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (gb_cbor_dump((char *) body->data, body->len, (char *) p, size,
                     &body->len, &err)
        != GB_OK)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "an answer can't be written as CBOR: %s", err.message);
        return NGX_ERROR;
    }

    body->data = p;

    return NGX_OK;
}


/* errors are JSON also for those who accept neither */

static ngx_str_t *
ngx_http_goosebit_reply_accepted(ngx_http_request_t *r)
{
    ngx_str_t  *type;

    if (ngx_http_goosebit_accept(r, &type) == NGX_OK
        && ngx_http_goosebit_accept_cbor(type))
    {
        return type;
    }

    return &ngx_http_goosebit_reply_json;
}


static ngx_int_t
ngx_http_goosebit_reply_tag(ngx_http_request_t *r,
    ngx_http_goosebit_reply_t *reply)
{
    ngx_str_t  value;

    value = reply->etag;

    if (value.len == 0) {
        value.len = NGX_HTTP_GOOSEBIT_ETAG;
        value.data = ngx_pnalloc(r->pool, value.len);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        ngx_http_goosebit_reply_etag(NULL, &reply->body, value.data);
    }

    r->headers_out.etag = ngx_http_goosebit_reply_header(r, "ETag", &value);

    return r->headers_out.etag ? NGX_OK : NGX_ERROR;
}


void
ngx_http_goosebit_reply_etag(gb_siphash_stem_t *stem, ngx_str_t *body,
    u_char *etag)
{
    uint64_t           digest[2];
    gb_siphash_stem_t  whole;

    if (stem == NULL) {
        stem = &whole;
        ngx_http_goosebit_reply_etag_stem(stem, body);
    }

    gb_siphash128_rest(stem, body->data, body->len, digest);

    *etag++ = '"';
    etag = ngx_hex_dump(etag, (u_char *) digest, sizeof(digest));
    *etag = '"';
}


/* 128 bits tell a device's own answers apart; nobody else chooses them */

void
ngx_http_goosebit_reply_etag_stem(gb_siphash_stem_t *stem,
    ngx_str_t *beginning)
{
    static const u_char  key[GB_SIPHASH_KEY] = "goosebit's etags";

    gb_siphash128_stem(stem, key, beginning->data, beginning->len);
}


static ngx_int_t
ngx_http_goosebit_reply_body(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_buf_t    *b;
    ngx_chain_t   out;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void
ngx_http_goosebit_reply_type(ngx_http_request_t *r, ngx_str_t *type)
{
    r->headers_out.content_type_len = type ? type->len : 0;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    if (type) {
        r->headers_out.content_type = *type;

    } else {
        ngx_str_null(&r->headers_out.content_type);
    }
}


ngx_table_elt_t *
ngx_http_goosebit_reply_header(ngx_http_request_t *r, char *key,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) key;
    h->key.len = ngx_strlen(key);
    h->value = *value;

    return h;
}


ngx_int_t
ngx_http_goosebit_reply_error(ngx_http_request_t *r,
    ngx_http_goosebit_error_t *error)
{
    ngx_http_goosebit_ctx_t    *ctx;
    ngx_http_goosebit_reply_t   reply;

    ctx = ngx_http_goosebit_ctx_get(r);

    ngx_memzero(&reply, sizeof(ngx_http_goosebit_reply_t));
    reply.status = error->status;

    if (ngx_http_goosebit_reply_advice(r, ctx, error) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ngx_http_goosebit_reply_artifact(ctx->endpoint)) {
        reply.type = ngx_http_goosebit_reply_accepted(r);

        if (ngx_http_goosebit_reply_document(r, error, &reply.body) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_goosebit_reply(r, &reply);
}


static ngx_http_goosebit_reason_t *
ngx_http_goosebit_reply_reason(ngx_uint_t status)
{
    ngx_http_goosebit_reason_t  *reason;

    for (reason = ngx_http_goosebit_reasons; reason->status; reason++) {
        if (reason->status == status) {
            break;
        }
    }

    return reason;
}


/* the headers an error brings along, and its name for the log */

static ngx_int_t
ngx_http_goosebit_reply_advice(ngx_http_request_t *r,
    ngx_http_goosebit_ctx_t *ctx, ngx_http_goosebit_error_t *error)
{
    ngx_str_t         value;
    ngx_uint_t        seconds;
    ngx_table_elt_t  *h;

    if (error->code.len == 0) {
        error->code = ngx_http_goosebit_reply_reason(error->status)->code;
    }

    if (ctx->reason.len == 0) {
        ctx->reason = error->code;
    }

    switch (error->status) {

    case NGX_HTTP_NOT_ALLOWED:
        value = *ngx_http_goosebit_route_allow(ctx->endpoint);

        if (value.len == 0) {
            return NGX_OK;
        }

        h = ngx_http_goosebit_reply_header(r, "Allow", &value);
        break;

    case NGX_HTTP_UNAUTHORIZED:
        if (r->headers_out.www_authenticate) {
            return NGX_OK;
        }

        h = ngx_http_goosebit_reply_header(r, "WWW-Authenticate",
                                           &ngx_http_goosebit_reply_scheme);
        r->headers_out.www_authenticate = h;
        break;

    case NGX_HTTP_TOO_MANY_REQUESTS:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        seconds = error->retry_after ? error->retry_after
                                     : NGX_HTTP_GOOSEBIT_RETRY_AFTER;

        value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        value.len = ngx_sprintf(value.data, "%ui", seconds) - value.data;
        h = ngx_http_goosebit_reply_header(r, "Retry-After", &value);
        break;

    default:
        return NGX_OK;
    }

    return h ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_goosebit_reply_document(ngx_http_request_t *r,
    ngx_http_goosebit_error_t *error, ngx_str_t *body)
{
    ngx_http_goosebit_note_t  note;

    note.code = error->code;
    note.message = ngx_http_goosebit_reply_reason(error->status)->message;

    return ngx_http_goosebit_json(r->pool, ngx_http_goosebit_json_error, &note,
                                  body);
}


/* SWUpdate pipes whatever comes from these into its installer */

static ngx_uint_t
ngx_http_goosebit_reply_artifact(ngx_http_goosebit_endpoint_e endpoint)
{
    return endpoint == NGX_HTTP_GOOSEBIT_ARTIFACT
           || endpoint == NGX_HTTP_GOOSEBIT_MD5SUM;
}


ngx_int_t
ngx_http_goosebit_reply_init(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_goosebit_reply_handler = handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_goosebit_reply_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_reply_filter(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_str_t                   body, *type;
    ngx_http_goosebit_ctx_t    *ctx;
    ngx_http_goosebit_error_t   error;
    ngx_http_goosebit_route_t   rt;

    if (r->headers_out.status < NGX_HTTP_BAD_REQUEST
        || r != r->main
        || !ngx_http_goosebit_reply_ours(r))
    {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx == NULL) {
        ctx = ngx_http_goosebit_ctx_create(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        if (ngx_http_goosebit_route_request(r, &rt) == NGX_OK) {
            ctx->endpoint = rt.endpoint;
            ctx->tenant = rt.tenant;
            ctx->device = rt.device;
        }
    }

    /* a filter further down may turn an answer of ours into a 412 */

    if (ctx->answered && !r->filter_finalize) {
        return ngx_http_next_header_filter(r);
    }

    ctx->answered = 1;

    if (ngx_http_goosebit_reply_nul(r)) {
        r->err_status = NGX_HTTP_NOT_FOUND;
        r->headers_out.status = NGX_HTTP_NOT_FOUND;
    }

    ngx_memzero(&error, sizeof(ngx_http_goosebit_error_t));
    error.status = r->headers_out.status;

    if (ngx_http_goosebit_reply_advice(r, ctx, &error) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_clear_content_length(r);
    ngx_str_null(&body);

    if (ngx_http_goosebit_reply_artifact(ctx->endpoint)) {
        ngx_http_goosebit_reply_type(r, NULL);

    } else {
        type = ngx_http_goosebit_reply_accepted(r);
        ngx_http_goosebit_reply_type(r, type);

        if (ngx_http_goosebit_reply_document(r, &error, &body) != NGX_OK
            || (ngx_http_goosebit_accept_cbor(type)
                && ngx_http_goosebit_reply_cbor(r, &body) != NGX_OK))
        {
            return NGX_ERROR;
        }
    }

    r->headers_out.content_length_n = body.len;

    rc = ngx_http_next_header_filter(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    /* the page that NGINX would send after this header is not wanted */

    rc = ngx_http_goosebit_reply_body(r, &body);
    r->header_only = 1;

    return rc;
}


/*
 * An error page of one of our locations, or of where one has led on to; or of
 * NGINX's parser, which gives up before there is a location, on what looks
 * like a device's request.
 */

static ngx_uint_t
ngx_http_goosebit_reply_ours(ngx_http_request_t *r)
{
    size_t                    len;
    u_char                   *p;
    ngx_http_goosebit_ctx_t  *ctx;

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx && ctx->object) {
        return 1;
    }

    if (r->content_handler) {
        return r->content_handler == ngx_http_goosebit_reply_handler;
    }

    if (r->phase_handler || r->internal) {
        return 0;
    }

    p = r->request_line.data;
    len = r->request_line.len;

    if (len == 0 && r->request_start && r->request_end > r->request_start) {
        p = r->request_start;
        len = r->request_end - r->request_start;
    }

    return len && ngx_strnstr(p, "/controller/v1/", len) != NULL;
}


/* to NGINX's parser %00 is malformed; for ddi.md such an id does not exist */

static ngx_uint_t
ngx_http_goosebit_reply_nul(ngx_http_request_t *r)
{
    return r->headers_out.status == NGX_HTTP_BAD_REQUEST
           && r->uri.len == 0
           && r->uri_start
           && r->uri_end > r->uri_start
           && ngx_strnstr(r->uri_start, "%00", r->uri_end - r->uri_start);
}
