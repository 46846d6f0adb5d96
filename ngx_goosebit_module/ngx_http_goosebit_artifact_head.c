/*
 * artifact_head: what an answer with an artifact's bytes is headed by.
 */

#include "ngx_http_goosebit_artifact_head.h"
#include "ngx_http_goosebit_reply.h"


static ngx_int_t ngx_http_goosebit_artifact_disposition(
    ngx_http_request_t *r, ngx_str_t *filename);


ngx_int_t
ngx_http_goosebit_artifact_head(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a)
{
    u_char     *p;
    ngx_str_t   etag;

    etag.len = a->sha1.len + 2;
    etag.data = ngx_pnalloc(r->pool, etag.len);
    if (etag.data == NULL) {
        return NGX_ERROR;
    }

    p = etag.data;
    *p++ = '"';
    p = ngx_cpymem(p, a->sha1.data, a->sha1.len);
    *p = '"';

    r->headers_out.etag = ngx_http_goosebit_reply_header(r, "ETag", &etag);

    if (r->headers_out.etag == NULL
        || ngx_http_goosebit_artifact_disposition(r, &a->filename) != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = (off_t) a->size;
    r->headers_out.last_modified_time = (time_t) a->created;

    ngx_str_set(&r->headers_out.content_type, "application/octet-stream");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    r->allow_ranges = 1;
    r->disable_not_modified = 0;

    /* the length and the ranges are those of the bytes as they are */

#if (NGX_HTTP_GZIP)
    r->gzip_tested = 1;
    r->gzip_ok = 0;
#endif

    return NGX_OK;
}


/* RFC 6266: a plain name for all, the exact one in UTF-8 (RFC 8187) */

static ngx_int_t
ngx_http_goosebit_artifact_disposition(ngx_http_request_t *r,
    ngx_str_t *filename)
{
    size_t      i;
    u_char     *p;
    u_char      ch;
    ngx_str_t   value;
    ngx_uint_t  exact;

    static u_char  hex[] = "0123456789ABCDEF";

    value.data = ngx_pnalloc(r->pool,
                             sizeof("attachment; filename=\"\"; "
                                    "filename*=UTF-8''")
                             + 4 * filename->len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(value.data, "attachment; filename=\"",
                   sizeof("attachment; filename=\"") - 1);
    exact = 0;

    for (i = 0; i < filename->len; i++) {
        ch = filename->data[i];

        if (ch < 0x20 || ch >= 0x7f || ch == '"' || ch == '\\' || ch == '%') {
            ch = '_';
            exact = 1;
        }

        *p++ = ch;
    }

    *p++ = '"';

    if (exact) {
        p = ngx_cpymem(p, "; filename*=UTF-8''",
                       sizeof("; filename*=UTF-8''") - 1);

        for (i = 0; i < filename->len; i++) {
            ch = filename->data[i];

            if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z')
                || (ch >= 'a' && ch <= 'z') || ch == '-' || ch == '.'
                || ch == '_' || ch == '~')
            {
                *p++ = ch;
                continue;
            }

            *p++ = '%';
            *p++ = hex[ch >> 4];
            *p++ = hex[ch & 0xf];
        }
    }

    value.len = p - value.data;

    return ngx_http_goosebit_reply_header(r, "Content-Disposition", &value)
           ? NGX_OK : NGX_ERROR;
}
