/*
 * object_stream: an artifact in the object store -> its bytes, by a location
 * that proxies, or a URL.
 *
 * The internal redirect clears the contexts of modules, not the pool; so what
 * is kept in ngx_http_goosebit_ctx_t is there for the variables that sign, in
 * subrequests of the slice module as well, and for the filter.
 */

#include "ngx_http_goosebit_object.h"
#include "ngx_http_goosebit_metrics.h"
#include "ngx_http_goosebit_reply.h"


static ngx_int_t ngx_http_goosebit_object_uri(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *uri);
static ngx_int_t ngx_http_goosebit_object_key(
    ngx_http_goosebit_object_main_conf_t *omcf, ngx_http_request_t *r);
static ngx_int_t ngx_http_goosebit_object_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_object_authorization(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_object_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_goosebit_object_accept(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object);
static ngx_int_t ngx_http_goosebit_object_right(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object, ngx_str_t *range);
static off_t ngx_http_goosebit_object_range(ngx_str_t *range, off_t *size);
static void ngx_http_goosebit_object_refuse(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object, ngx_uint_t status);
static ngx_int_t ngx_http_goosebit_object_body(ngx_http_request_t *r,
    ngx_chain_t *in);


typedef enum {
    NGX_HTTP_GOOSEBIT_OBJECT_URI = 0,
    NGX_HTTP_GOOSEBIT_OBJECT_HOST,
    NGX_HTTP_GOOSEBIT_OBJECT_DATE,
    NGX_HTTP_GOOSEBIT_OBJECT_PAYLOAD
} ngx_http_goosebit_object_variable_e;


/*
 * Not cacheable: a download may take longer than a signature is good for, and
 * each of its slices is signed when it is asked for.
 */

static ngx_http_variable_t  ngx_http_goosebit_object_vars[] = {

    { ngx_string("goosebit_object_uri"), NULL,
      ngx_http_goosebit_object_variable, NGX_HTTP_GOOSEBIT_OBJECT_URI,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_object_host"), NULL,
      ngx_http_goosebit_object_variable, NGX_HTTP_GOOSEBIT_OBJECT_HOST,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_object_date"), NULL,
      ngx_http_goosebit_object_variable, NGX_HTTP_GOOSEBIT_OBJECT_DATE,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_object_content_sha256"), NULL,
      ngx_http_goosebit_object_variable, NGX_HTTP_GOOSEBIT_OBJECT_PAYLOAD,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("goosebit_object_authorization"), NULL,
      ngx_http_goosebit_object_authorization, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_goosebit_object_stream(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a)
{
    ngx_int_t                         rc;
    ngx_http_goosebit_ctx_t          *ctx;
    ngx_http_goosebit_object_t       *object;
    ngx_http_goosebit_object_conf_t  *ocf;

    ocf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_object_module);
    ctx = ngx_http_goosebit_ctx_get(r);

    object = ngx_pcalloc(r->pool, sizeof(ngx_http_goosebit_object_t));
    if (object == NULL) {
        return NGX_ERROR;
    }

    object->artifact = *a;

    rc = ngx_http_goosebit_object_uri(r, a, &object->uri);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_goosebit_object_ranges(r, object) != NGX_OK) {
        return NGX_ERROR;
    }

    /*
     * Nothing that the device sent is for the bucket: neither its credentials
     * nor conditions on our ETag, nor what would have to be signed.  NGINX's
     * filters find the conditions by pointers of their own.
     */

    if (ngx_list_init(&r->headers_in.headers, r->pool, 1,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->object = object;

    if (ocf->store.data[0] == '@') {
        (void) ngx_http_named_location(r, &ocf->store);

    } else {
        (void) ngx_http_internal_redirect(r, &ocf->store, NULL);
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


ngx_int_t
ngx_http_goosebit_object_url(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *url)
{
    int                                    n;
    ngx_int_t                              rc;
    ngx_str_t                              uri;
    gb_s3_request_t                        request;
    ngx_http_goosebit_object_conf_t       *ocf;
    ngx_http_goosebit_object_main_conf_t  *omcf;
    char                                   buf[GB_S3_URL];

    ocf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_object_module);
    omcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_object_module);

    rc = ngx_http_goosebit_object_uri(r, a, &uri);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(&request, sizeof(gb_s3_request_t));
    request.method = (r->method == NGX_HTTP_HEAD) ? "HEAD" : "GET";
    request.uri = (char *) uri.data;
    request.time = ngx_time();

    if (ngx_http_goosebit_object_key(omcf, r) != NGX_OK) {
        return NGX_ERROR;
    }

    n = gb_s3_presign(&omcf->s3, &omcf->key, &request, (unsigned) ocf->ttl,
                      buf, sizeof(buf));
    if (n < 0) {
        return NGX_DECLINED;
    }

    url->len = n;
    url->data = ngx_pnalloc(r->pool, n);
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(url->data, buf, n);

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_object_uri(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *uri)
{
    int                                    n;
    ngx_http_goosebit_object_main_conf_t  *omcf;
    char                                   buf[GB_S3_URI];

    omcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_object_module);

    n = gb_s3_object(&omcf->s3, (char *) a->sha256.data,
                     (char *) a->filename.data, buf, sizeof(buf));
    if (n < 0) {
        return NGX_DECLINED;
    }

    uri->len = n;
    uri->data = ngx_pnalloc(r->pool, n + 1);
    if (uri->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(uri->data, buf, n + 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_object_key(ngx_http_goosebit_object_main_conf_t *omcf,
    ngx_http_request_t *r)
{
    if (gb_s3_key(&omcf->s3, &omcf->key, ngx_time()) != GB_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "artifact: no key to sign with");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_goosebit_object_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_goosebit_object_vars; v->name.len; v++) {
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
ngx_http_goosebit_object_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_goosebit_ctx_t               *ctx;
    ngx_http_goosebit_object_t            *object;
    ngx_http_goosebit_object_main_conf_t  *omcf;

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx == NULL || ctx->object == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    object = ctx->object;
    omcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_object_module);

    switch (data) {

    case NGX_HTTP_GOOSEBIT_OBJECT_URI:
        v->data = object->uri.data;
        break;

    case NGX_HTTP_GOOSEBIT_OBJECT_HOST:
        v->data = (u_char *) omcf->s3.host;
        break;

    case NGX_HTTP_GOOSEBIT_OBJECT_DATE:
        v->data = ngx_pnalloc(r->pool, GB_S3_DATE);
        if (v->data == NULL) {
            return NGX_ERROR;
        }

        gb_s3_date(ngx_time(), (char *) v->data);
        break;

    default: /* NGX_HTTP_GOOSEBIT_OBJECT_PAYLOAD */
        v->data = (u_char *) GB_S3_UNSIGNED;
    }

    v->len = ngx_strlen(v->data);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* of the request that is about to be sent, whose method the cache may change */

static ngx_int_t
ngx_http_goosebit_object_authorization(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    int                                    n;
    gb_s3_request_t                        request;
    ngx_http_goosebit_ctx_t               *ctx;
    ngx_http_goosebit_object_t            *object;
    ngx_http_goosebit_object_main_conf_t  *omcf;

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx == NULL || ctx->object == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    object = ctx->object;
    omcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_object_module);

    ngx_memzero(&request, sizeof(gb_s3_request_t));
    request.uri = (char *) object->uri.data;
    request.time = ngx_time();
    request.method = (r->method == NGX_HTTP_HEAD
                      && !(r->upstream && r->upstream->method.len))
                     ? "HEAD" : "GET";

    v->data = ngx_pnalloc(r->pool, GB_S3_AUTHORIZATION);

    if (v->data == NULL
        || ngx_http_goosebit_object_key(omcf, r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    n = gb_s3_authorization(&omcf->s3, &omcf->key, &request, (char *) v->data,
                            GB_S3_AUTHORIZATION);
    if (n < 0) {
        return NGX_ERROR;
    }

    v->len = n;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


void
ngx_http_goosebit_object_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_goosebit_object_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_goosebit_object_body;
}


/*
 * The first filter of all: the slice module, conditions and ranges see what a
 * file would have.  What is refused here becomes an empty answer in the filter
 * of NGINX's error pages.
 */

static ngx_int_t
ngx_http_goosebit_object_filter(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_uint_t                   status;
    ngx_http_goosebit_ctx_t     *ctx;
    ngx_http_goosebit_object_t  *object;

    ctx = ngx_http_goosebit_ctx_get(r);

    if (ctx == NULL || ctx->object == NULL) {
        return ngx_http_next_header_filter(r);
    }

    object = ctx->object;
    status = r->headers_out.status;

    if (status == NGX_HTTP_OK || status == NGX_HTTP_PARTIAL_CONTENT) {
        rc = ngx_http_goosebit_object_accept(r, object);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            return ngx_http_next_header_filter(r);
        }

        /* nor shall it be kept until someone has put it right */

        if (r->upstream) {
            r->upstream->cacheable = 0;
        }

        if (r != r->main) {
            return NGX_ERROR;
        }

        status = 0;
    }

    /* a slice that fails ends the download: the slice module sees to that */

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    /* once there are bytes, it is NGINX's own filters that refuse */

    if (object->accepted && (status == NGX_HTTP_PRECONDITION_FAILED
                             || status == NGX_HTTP_RANGE_NOT_SATISFIABLE))
    {
        return ngx_http_next_header_filter(r);
    }

    ngx_http_goosebit_object_refuse(r, object, status);

    return ngx_http_next_header_filter(r);
}


/* NGX_DECLINED: it is not what was registered */

static ngx_int_t
ngx_http_goosebit_object_accept(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object)
{
    off_t       length;
    ngx_str_t   range;
    ngx_uint_t  status;

    status = r->headers_out.status;
    length = r->headers_out.content_length_n;

    ngx_str_null(&range);

    if (status == NGX_HTTP_PARTIAL_CONTENT && r->headers_out.content_range) {
        range = r->headers_out.content_range->value;
    }

    if (ngx_http_goosebit_object_right(r, object, &range) != NGX_OK) {
        return NGX_DECLINED;
    }

    object->from = r;
    object->left = length;

    /* the store's own headers are nobody's business */

    ngx_http_clean_header(r);

    if (ngx_http_goosebit_artifact_head(r, &object->artifact) != NGX_OK) {
        return NGX_ERROR;
    }

    if (status == NGX_HTTP_PARTIAL_CONTENT) {
        r->headers_out.status = status;
        r->headers_out.content_length_n = length;

        r->headers_out.content_range =
                   ngx_http_goosebit_reply_header(r, "Content-Range", &range);
        if (r->headers_out.content_range == NULL) {
            return NGX_ERROR;
        }
    }

    if (r != r->main) {
        return NGX_OK;
    }

    object->accepted = 1;

    return ngx_http_goosebit_metrics_download(r);
}


/* Without a length that fits, a body that was cut off would look whole. */

static ngx_int_t
ngx_http_goosebit_object_right(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object, ngx_str_t *range)
{
    off_t  size, length;

    size = r->headers_out.content_length_n;
    length = size;

    if (r->headers_out.status == NGX_HTTP_PARTIAL_CONTENT) {
        length = ngx_http_goosebit_object_range(range, &size);
    }

    if (size != (off_t) object->artifact.size) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "artifact: the store has %O bytes of \"%V\" instead "
                      "of %L", size, &object->uri, object->artifact.size);
        return NGX_DECLINED;
    }

    if (length != r->headers_out.content_length_n) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "artifact: the store's Content-Length %O of \"%V\" is "
                      "not that of \"%V\"",
                      r->headers_out.content_length_n, &object->uri, range);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* the length of "bytes FROM-TO/SIZE"; a size of -1: it is something else */

static off_t
ngx_http_goosebit_object_range(ngx_str_t *range, off_t *size)
{
    off_t    from, to;
    u_char  *p, *dash, *slash, *last;

    *size = -1;

    p = range->data + 6;
    last = range->data + range->len;

    if (range->len < 7 || ngx_strncmp(range->data, "bytes ", 6) != 0) {
        return -1;
    }

    dash = ngx_strlchr(p, last, '-');
    slash = dash ? ngx_strlchr(dash, last, '/') : NULL;

    if (slash == NULL) {
        return -1;
    }

    from = ngx_atoof(p, dash - p);
    to = ngx_atoof(dash + 1, slash - dash - 1);
    *size = ngx_atoof(slash + 1, last - slash - 1);

    return (from < 0 || to < from) ? -1 : to - from + 1;
}


/* status is what the store or the way to it said; 0: that was logged */

static void
ngx_http_goosebit_object_refuse(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object, ngx_uint_t status)
{
    if (status) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "artifact: %ui instead of \"%V\" from the store%s",
                      status, &object->uri,
                      status < NGX_HTTP_INTERNAL_SERVER_ERROR
                      ? " (\"gbctl software verify\" asks it why)" : "");
    }

    ngx_http_clean_header(r);

    r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;

    if (r->err_status) {
        r->err_status = NGX_HTTP_SERVICE_UNAVAILABLE;
    }
}


/*
 * A slice that the store has cut off ends as a whole one does, and the slice
 * module, below, would go on with the next: the device would get a hole.
 */

static ngx_int_t
ngx_http_goosebit_object_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                 *cl;
    ngx_http_goosebit_ctx_t     *ctx;
    ngx_http_goosebit_object_t  *object;

    ctx = ngx_http_goosebit_ctx_get(r);
    object = ctx ? ctx->object : NULL;
    if (object == NULL || object->from == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (r == object->from) {
        for (cl = in; cl; cl = cl->next) {
            object->left -= ngx_buf_size(cl->buf);
        }

    } else if (r == r->main && object->from->done && object->left > 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "artifact: the download ends, as the store has left "
                      "out %O bytes of \"%V\"", object->left, &object->uri);
        return NGX_ERROR;
    }

    return ngx_http_next_body_filter(r, in);
}
