/*
 * object_parts: several ranges of an object.
 *
 * NGINX makes several parts of a body that is one buffer, as a file is.  What
 * streams from the store comes in many; so the request is given one range that
 * holds all of them, and of what that brings these filters, which are below
 * NGINX's range filters, pass on the parts, in the order they come in.  NGINX
 * places the module by ngx_module_order in "config".
 */

#include "ngx_http_goosebit_object.h"


static ngx_int_t ngx_http_goosebit_object_parts_init(ngx_conf_t *cf);
static ngx_http_goosebit_object_t *ngx_http_goosebit_object_parts_of(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_goosebit_object_parts_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_goosebit_object_parts_heads(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object, off_t *len);
static ngx_int_t ngx_http_goosebit_object_parts_body(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_chain_t **ngx_http_goosebit_object_parts_cut(ngx_pool_t *pool,
    ngx_http_goosebit_object_t *object, ngx_buf_t *buf, ngx_chain_t **ll);
static ngx_chain_t **ngx_http_goosebit_object_parts_text(ngx_pool_t *pool,
    ngx_str_t *text, ngx_chain_t **ll);
static ngx_buf_t *ngx_http_goosebit_object_parts_copy(ngx_pool_t *pool,
    ngx_buf_t *buf);
static void ngx_http_goosebit_object_parts_trim(ngx_buf_t *b, off_t from,
    off_t to);
static ngx_chain_t **ngx_http_goosebit_object_parts_link(ngx_pool_t *pool,
    ngx_buf_t *b, ngx_chain_t **ll);


static ngx_http_module_t  ngx_http_goosebit_object_parts_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_goosebit_object_parts_init,   /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_goosebit_object_parts_module = {
    NGX_MODULE_V1,
    &ngx_http_goosebit_object_parts_module_ctx, /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_goosebit_object_parts_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_goosebit_object_parts_header;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_goosebit_object_parts_body;

    return NGX_OK;
}


/* NULL: not a request for several ranges */

static ngx_http_goosebit_object_t *
ngx_http_goosebit_object_parts_of(ngx_http_request_t *r)
{
    ngx_http_goosebit_ctx_t     *ctx;
    ngx_http_goosebit_object_t  *object;

    ctx = ngx_http_goosebit_ctx_get(r);
    object = ctx ? ctx->object : NULL;

    return (object && object->parts.nelts) ? object : NULL;
}


static ngx_int_t
ngx_http_goosebit_object_parts_header(ngx_http_request_t *r)
{
    off_t                        len, whole;
    ngx_int_t                    rc;
    ngx_http_goosebit_object_t  *object;

    object = ngx_http_goosebit_object_parts_of(r);

    if (object == NULL || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    if (r->headers_out.status != NGX_HTTP_PARTIAL_CONTENT
        || r->headers_out.content_range == NULL)
    {
        object->parts.nelts = 0;
        return ngx_http_next_header_filter(r);
    }

    if (ngx_http_goosebit_object_parts_heads(r, object, &len) != NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_out.content_range->hash = 0;
    r->headers_out.content_range = NULL;

    whole = r->headers_out.content_length_n;
    r->headers_out.content_length_n = len;

    rc = ngx_http_next_header_filter(r);

    /* the slice module learns from it where to end */

    r->headers_out.content_length_n = whole;

    return rc;
}


/* the same bytes as NGINX's own filter would make */

static ngx_int_t
ngx_http_goosebit_object_parts_heads(ngx_http_request_t *r,
    ngx_http_goosebit_object_t *object, off_t *len)
{
    size_t                            size;
    u_char                           *p;
    ngx_str_t                        *type;
    ngx_uint_t                        i;
    ngx_atomic_uint_t                 boundary;
    ngx_http_goosebit_object_part_t  *part;

    type = &r->headers_out.content_type;
    part = object->parts.elts;
    boundary = ngx_next_temp_number(0);

    size = sizeof(CRLF "--" CRLF "Content-Type: " CRLF
                  "Content-Range: bytes -/" CRLF CRLF)
           + NGX_ATOMIC_T_LEN + type->len + 3 * NGX_OFF_T_LEN;

    *len = 0;

    for (i = 0; i < object->parts.nelts; i++) {
        p = ngx_pnalloc(r->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        part[i].head.data = p;
        part[i].head.len = ngx_sprintf(p, CRLF "--%0muA" CRLF
                                       "Content-Type: %V" CRLF
                                       "Content-Range: bytes %O-%O/%L" CRLF
                                       CRLF,
                                       boundary, type, part[i].start,
                                       part[i].end - 1, object->artifact.size)
                           - p;

        *len += part[i].head.len + part[i].end - part[i].start;
    }

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    object->tail.data = p;
    object->tail.len = ngx_sprintf(p, CRLF "--%0muA--" CRLF, boundary) - p;

    *len += object->tail.len;

    p = ngx_pnalloc(r->pool, sizeof("multipart/byteranges; boundary=")
                             + NGX_ATOMIC_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    type->data = p;
    type->len = ngx_sprintf(p, "multipart/byteranges; boundary=%0muA",
                            boundary)
                - p;

    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_object_parts_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                    rc;
    ngx_chain_t                 *out, *cl, **ll;
    ngx_http_goosebit_object_t  *object;

    object = in ? ngx_http_goosebit_object_parts_of(r) : NULL;

    if (object == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    out = NULL;
    ll = &out;

    for (cl = in; cl; cl = cl->next) {

        if (ngx_buf_special(cl->buf)) {
            ll = ngx_http_goosebit_object_parts_link(r->pool, cl->buf, ll);

        } else {
            ll = ngx_http_goosebit_object_parts_cut(r->pool, object, cl->buf,
                                                    ll);
        }

        if (ll == NULL) {
            return NGX_ERROR;
        }
    }

    if (out == NULL) {
        return NGX_OK;
    }

    rc = ngx_http_next_body_filter(r, out);

    /* the write filter has links of its own */

    while (out) {
        cl = out;
        out = cl->next;
        ngx_free_chain(r->pool, cl);
    }

    return rc;
}


/*
 * Adds of one buffer what belongs to parts; returns where the next link goes,
 * NULL: out of memory.  The last piece is the buffer itself, which is not free
 * for others before all pieces of it are sent, as these go in order.
 */

static ngx_chain_t **
ngx_http_goosebit_object_parts_cut(ngx_pool_t *pool,
    ngx_http_goosebit_object_t *object, ngx_buf_t *buf, ngx_chain_t **ll)
{
    off_t                             first, last, from, to;
    ngx_buf_t                        *b;
    ngx_uint_t                        used;
    ngx_chain_t                     **cl;
    ngx_http_goosebit_object_part_t  *part, *end;

    first = object->offset;
    last = first + ngx_buf_size(buf);
    object->offset = last;

    part = object->parts.elts;
    end = part + object->parts.nelts;
    used = 0;

    for (part += object->part; ll && part < end; part++, object->part++) {

        if (part->start >= last) {
            break;
        }

        if (part->start >= first) {
            ll = ngx_http_goosebit_object_parts_text(pool, &part->head, ll);
        }

        from = ngx_max(part->start, first) - first;
        to = ngx_min(part->end, last) - first;
        used = part + 1 == end || part[1].start >= last;

        b = used ? buf : ngx_http_goosebit_object_parts_copy(pool, buf);

        if (b == NULL || ll == NULL) {
            return NULL;
        }

        ngx_http_goosebit_object_parts_trim(b, from, to);

        ll = ngx_http_goosebit_object_parts_link(pool, b, ll);

        if (part->end > last) {
            return ll;
        }
    }

    if (!used) {

        /* between parts: as good as sent */

        ngx_http_goosebit_object_parts_trim(buf, last - first, last - first);
        return ll;
    }

    if (part < end || ll == NULL) {
        return ll;
    }

    cl = ll;
    ll = ngx_http_goosebit_object_parts_text(pool, &object->tail, ll);

    if (ll) {
        (*cl)->buf->last_buf = buf->last_buf;
        buf->last_buf = 0;
    }

    return ll;
}


static ngx_chain_t **
ngx_http_goosebit_object_parts_text(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chain_t **ll)
{
    ngx_buf_t  *b;

    b = ngx_calloc_buf(pool);
    if (b == NULL) {
        return NULL;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;

    return ngx_http_goosebit_object_parts_link(pool, b, ll);
}


static ngx_buf_t *
ngx_http_goosebit_object_parts_copy(ngx_pool_t *pool, ngx_buf_t *buf)
{
    ngx_buf_t  *b;

    b = ngx_calloc_buf(pool);
    if (b == NULL) {
        return NULL;
    }

    b->pos = buf->pos;
    b->last = buf->last;
    b->file_pos = buf->file_pos;
    b->file_last = buf->file_last;
    b->file = buf->file;
    b->in_file = buf->in_file;
    b->temporary = buf->temporary;
    b->memory = buf->memory;
    b->mmap = buf->mmap;

    return b;
}


/* from and to count from the buffer's first byte */

static void
ngx_http_goosebit_object_parts_trim(ngx_buf_t *b, off_t from, off_t to)
{
    if (ngx_buf_in_memory(b)) {
        b->last = b->pos + (size_t) to;
        b->pos += (size_t) from;
    }

    if (b->in_file) {
        b->file_last = b->file_pos + to;
        b->file_pos += from;
    }
}


static ngx_chain_t **
ngx_http_goosebit_object_parts_link(ngx_pool_t *pool, ngx_buf_t *b,
    ngx_chain_t **ll)
{
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;
    *ll = cl;

    return &cl->next;
}
