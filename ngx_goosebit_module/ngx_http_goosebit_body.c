/*
 * body: reads, caps and flattens a request body.
 */

#include "ngx_http_goosebit_body.h"


#define NGX_HTTP_GOOSEBIT_BODY_MAX    (64 * 1024 * 1024)
#define NGX_HTTP_GOOSEBIT_BODY_FIRST  16384


typedef struct {
    u_char                     *data;
    size_t                      len;
    size_t                      size;
    size_t                      max;
    ngx_http_goosebit_body_pt   handler;

    unsigned                    shared:1;   /* read by another module before */
} ngx_http_goosebit_body_t;


static void ngx_http_goosebit_body_post(ngx_http_request_t *r);
static ngx_uint_t ngx_http_goosebit_body_collect(ngx_http_request_t *r,
    ngx_http_goosebit_body_t *body);
static ngx_uint_t ngx_http_goosebit_body_room(ngx_http_request_t *r,
    ngx_http_goosebit_body_t *body, off_t n);
static ngx_uint_t ngx_http_goosebit_body_file(ngx_http_goosebit_body_t *body,
    ngx_buf_t *b);
static void ngx_http_goosebit_body_done(ngx_http_request_t *r,
    ngx_uint_t status);


ngx_int_t
ngx_http_goosebit_body_read(ngx_http_request_t *r, off_t max,
    ngx_http_goosebit_body_pt handler)
{
    ngx_int_t                  rc;
    ngx_http_goosebit_ctx_t   *ctx;
    ngx_http_goosebit_body_t  *body;

    body = ngx_pcalloc(r->pool, sizeof(ngx_http_goosebit_body_t));
    if (body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (max <= 0 || max > NGX_HTTP_GOOSEBIT_BODY_MAX) {
        max = NGX_HTTP_GOOSEBIT_BODY_MAX;
    }

    body->max = (size_t) max;
    body->handler = handler;
    body->shared = (r->request_body != NULL);

    ctx = ngx_http_goosebit_ctx_get(r);
    ctx->body = body;

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_goosebit_body_post);

    if (rc < NGX_HTTP_SPECIAL_RESPONSE) {
        return NGX_DONE;
    }

    if (r->connection->error) {
        return rc;
    }

    /* not posted, and the reference is given back: take it again */

    r->main->count++;

    ngx_http_goosebit_body_done(r, rc);

    return NGX_DONE;
}


static void
ngx_http_goosebit_body_post(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_uint_t                 status;
    ngx_http_goosebit_ctx_t   *ctx;
    ngx_http_goosebit_body_t  *body;

    ctx = ngx_http_goosebit_ctx_get(r);
    body = ctx->body;

    for ( ;; ) {
        status = ngx_http_goosebit_body_collect(r, body);

        if (status != NGX_HTTP_OK) {
            break;
        }

        if (!r->reading_body) {
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {

            if (r->connection->error) {
                ngx_http_finalize_request(r, rc);
                return;
            }

            status = rc;
            break;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            r->read_event_handler = ngx_http_goosebit_body_post;
            return;
        }
    }

    ngx_http_goosebit_body_done(r, status);
}


static ngx_uint_t
ngx_http_goosebit_body_collect(ngx_http_request_t *r,
    ngx_http_goosebit_body_t *body)
{
    off_t         n;
    ngx_buf_t    *b;
    ngx_uint_t    status;
    ngx_chain_t  *cl, *next;

    if (r->request_body == NULL) {
        return NGX_HTTP_OK;
    }

    for (cl = r->request_body->bufs; cl; cl = next) {
        next = cl->next;
        b = cl->buf;

        n = ngx_buf_size(b);
        status = ngx_http_goosebit_body_room(r, body, n);

        if (status != NGX_HTTP_OK) {
            return status;
        }

        if (n > 0 && ngx_buf_in_memory(b)) {
            ngx_memcpy(body->data + body->len, b->pos, (size_t) n);
            body->len += (size_t) n;

        } else if (n > 0) {
            status = ngx_http_goosebit_body_file(body, b);

            if (status != NGX_HTTP_OK) {
                return status;
            }
        }

        if (!body->shared) {
            b->pos = b->last;
            ngx_free_chain(r->pool, cl);
        }
    }

    if (!body->shared) {
        r->request_body->bufs = NULL;
    }

    return NGX_HTTP_OK;
}


static ngx_uint_t
ngx_http_goosebit_body_room(ngx_http_request_t *r,
    ngx_http_goosebit_body_t *body, off_t n)
{
    u_char  *p;
    size_t   size;

    if (n == 0) {
        return NGX_HTTP_OK;
    }

    if (n > (off_t) (body->max - body->len)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "client sent a body of more than %uz bytes", body->max);
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    if ((size_t) n <= body->size - body->len) {
        return NGX_HTTP_OK;
    }

    size = ngx_max(body->size * 2, NGX_HTTP_GOOSEBIT_BODY_FIRST);

    if (body->data == NULL && r->headers_in.content_length_n >= 0) {
        size = (size_t) ngx_min(r->headers_in.content_length_n, (off_t) size);
    }

    size = ngx_max(size, body->len + (size_t) n);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (body->data) {
        ngx_memcpy(p, body->data, body->len);
        ngx_pfree(r->pool, body->data);
    }

    body->data = p;
    body->size = size;

    return NGX_HTTP_OK;
}


static ngx_uint_t
ngx_http_goosebit_body_file(ngx_http_goosebit_body_t *body, ngx_buf_t *b)
{
    off_t    offset;
    size_t   size;
    ssize_t  n;

    for (offset = b->file_pos; offset < b->file_last; offset += n) {
        size = (size_t) (b->file_last - offset);

        n = ngx_read_file(b->file, body->data + body->len, size, offset);

        if (n <= 0) {
            ngx_log_error(NGX_LOG_ERR, b->file->log, 0,
                          "reading a request body from \"%V\" failed",
                          &b->file->name);
            return NGX_HTTP_SERVICE_UNAVAILABLE;
        }

        body->len += n;
    }

    return NGX_HTTP_OK;
}


static void
ngx_http_goosebit_body_done(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_str_t                  value;
    ngx_event_t               *rev;
    ngx_http_goosebit_ctx_t   *ctx;
    ngx_http_goosebit_body_t  *body;

    ctx = ngx_http_goosebit_ctx_get(r);
    body = ctx->body;

    r->read_event_handler = ngx_http_block_reading;

    value.data = body->data;
    value.len = body->len;

    if (status != NGX_HTTP_OK) {
        rev = r->connection->read;

        if (rev->timer_set) {
            ngx_del_timer(rev);
        }

        if (status == NGX_HTTP_INTERNAL_SERVER_ERROR) {
            status = NGX_HTTP_SERVICE_UNAVAILABLE;
        }

        r->keepalive = 0;
        ngx_str_null(&value);
    }

    body->handler(r, status, &value);
}


ngx_uint_t
ngx_http_goosebit_body_large(ngx_http_request_t *r, off_t max)
{
    if (max <= 0 || max > NGX_HTTP_GOOSEBIT_BODY_MAX) {
        max = NGX_HTTP_GOOSEBIT_BODY_MAX;
    }

    return r->headers_in.content_length_n > max;
}
