/*
 * artifact: what SQL allowed -> the bytes, or where they are.
 */

#include "ngx_http_goosebit_artifact.h"
#include "ngx_http_goosebit_ddi_json.h"
#include "ngx_http_goosebit_object.h"
#include "ngx_http_goosebit_reply.h"


static ngx_int_t ngx_http_goosebit_artifact_public(ngx_http_request_t *r,
    ngx_str_t *uri, ngx_str_t *url);
static ngx_int_t ngx_http_goosebit_artifact_redirect(ngx_http_request_t *r,
    ngx_str_t *url);


ngx_int_t
ngx_http_goosebit_artifact_row(ngx_http_request_t *r,
    ngx_http_goosebit_pg_result_t *result, ngx_http_goosebit_artifact_t *a)
{
    ngx_memzero(a, sizeof(ngx_http_goosebit_artifact_t));

    if (ngx_http_goosebit_pg_copy(result, "uri", r->pool, &a->uri)
        == NGX_ERROR
        || ngx_http_goosebit_pg_copy(result, "sha256", r->pool, &a->sha256)
           == NGX_ERROR
        || ngx_http_goosebit_pg_copy(result, "sha1", r->pool, &a->sha1)
           == NGX_ERROR
        || ngx_http_goosebit_pg_copy(result, "filename", r->pool,
                                     &a->filename)
           == NGX_ERROR)
    {
        return NGX_DECLINED;
    }

    if (a->uri.len) {
        return NGX_OK;
    }

    if (ngx_http_goosebit_pg_bigint(result, 0, "size", &a->size) != NGX_OK
        || ngx_http_goosebit_pg_bigint(result, 0, "created", &a->created)
           != NGX_OK
        || a->sha256.len == 0 || a->sha1.len == 0 || a->filename.len == 0)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_goosebit_artifact_deliver(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a)
{
    ngx_int_t                            rc;
    ngx_str_t                            url;
    ngx_http_goosebit_object_delivery_e  delivery;

    if (a->uri.len) {
        rc = ngx_http_goosebit_artifact_public(r, &a->uri, &url);

    } else {
        delivery = ngx_http_goosebit_object_delivery(r);

        if (delivery == NGX_HTTP_GOOSEBIT_OBJECT_NONE) {
            return ngx_http_goosebit_artifact_file(r, a);
        }

        if (delivery == NGX_HTTP_GOOSEBIT_OBJECT_STREAM) {
            return ngx_http_goosebit_object_stream(r, a);
        }

        rc = ngx_http_goosebit_object_url(r, a, &url);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_goosebit_artifact_redirect(r, &url);
}


/* without user and password */

static ngx_int_t
ngx_http_goosebit_artifact_public(ngx_http_request_t *r, ngx_str_t *uri,
    ngx_str_t *url)
{
    u_char     *p;
    ngx_str_t   head, tail;

    ngx_http_goosebit_json_public(uri, &head, &tail);

    url->len = head.len + tail.len;
    url->data = ngx_pnalloc(r->pool, url->len);
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(url->data, head.data, head.len);
    ngx_memcpy(p, tail.data, tail.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_artifact_redirect(ngx_http_request_t *r, ngx_str_t *url)
{
    ngx_http_goosebit_reply_t  reply;

    ngx_http_clear_location(r);

    r->headers_out.location = ngx_http_goosebit_reply_header(r, "Location",
                                                             url);
    if (r->headers_out.location == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&reply, sizeof(ngx_http_goosebit_reply_t));
    reply.status = NGX_HTTP_MOVED_TEMPORARILY;

    return ngx_http_goosebit_reply(r, &reply);
}
