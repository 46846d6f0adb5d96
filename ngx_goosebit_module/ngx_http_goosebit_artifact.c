/*
 * artifact: what SQL allowed -> the file, or a redirect.
 */

#include "ngx_http_goosebit_artifact.h"
#include "ngx_http_goosebit_ddi_json.h"
#include "ngx_http_goosebit_metrics.h"
#include "ngx_http_goosebit_reply.h"

#include "gb_store.h"


typedef struct {
    ngx_str_t     sha256;
    ngx_str_t     sha1;
    ngx_str_t     filename;
    ngx_str_t     uri;
    int64_t       size;
    int64_t       created;      /* Unix seconds */
} ngx_http_goosebit_artifact_t;


static ngx_int_t ngx_http_goosebit_artifact_row(ngx_http_request_t *r,
    ngx_http_goosebit_pg_result_t *result, ngx_http_goosebit_artifact_t *a);
static ngx_int_t ngx_http_goosebit_artifact_redirect(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a);
static ngx_int_t ngx_http_goosebit_artifact_path(ngx_http_request_t *r,
    ngx_http_goosebit_main_conf_t *mcf, ngx_http_goosebit_artifact_t *a,
    ngx_str_t *path);
static ngx_uint_t ngx_http_goosebit_artifact_open(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *path,
    ngx_open_file_info_t *of);
static ngx_int_t ngx_http_goosebit_artifact_send(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *path,
    ngx_open_file_info_t *of);
static ngx_int_t ngx_http_goosebit_artifact_headers(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a);
static ngx_int_t ngx_http_goosebit_artifact_disposition(
    ngx_http_request_t *r, ngx_str_t *filename);


ngx_int_t
ngx_http_goosebit_artifact(ngx_http_request_t *r,
    ngx_http_goosebit_main_conf_t *mcf, ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t                      rc;
    ngx_str_t                      path;
    ngx_open_file_info_t           of;
    ngx_http_goosebit_error_t      error;
    ngx_http_goosebit_artifact_t   a;

    ngx_memzero(&a, sizeof(ngx_http_goosebit_artifact_t));

    rc = ngx_http_goosebit_artifact_row(r, result, &a);

    if (rc != NGX_OK) {
        return rc;
    }

    if (a.uri.len) {
        return ngx_http_goosebit_artifact_redirect(r, &a);
    }

    rc = ngx_http_goosebit_artifact_path(r, mcf, &a, &path);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(&error, sizeof(ngx_http_goosebit_error_t));
    error.status = ngx_http_goosebit_artifact_open(r, &a, &path, &of);

    if (error.status != NGX_HTTP_OK) {
        return ngx_http_goosebit_reply_error(r, &error);
    }

    return ngx_http_goosebit_artifact_send(r, &a, &path, &of);
}


/* copies, as the answer outlives the row */

static ngx_int_t
ngx_http_goosebit_artifact_row(ngx_http_request_t *r,
    ngx_http_goosebit_pg_result_t *result, ngx_http_goosebit_artifact_t *a)
{
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


static ngx_int_t
ngx_http_goosebit_artifact_redirect(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a)
{
    u_char                     *p;
    ngx_str_t                   head, tail, value;
    ngx_http_goosebit_reply_t   reply;

    ngx_http_goosebit_json_public(&a->uri, &head, &tail);

    value.len = head.len + tail.len;
    value.data = ngx_pnalloc(r->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(value.data, head.data, head.len);
    ngx_memcpy(p, tail.data, tail.len);

    ngx_http_clear_location(r);

    r->headers_out.location = ngx_http_goosebit_reply_header(r, "Location",
                                                             &value);
    if (r->headers_out.location == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&reply, sizeof(ngx_http_goosebit_reply_t));
    reply.status = NGX_HTTP_MOVED_TEMPORARILY;

    return ngx_http_goosebit_reply(r, &reply);
}


static ngx_int_t
ngx_http_goosebit_artifact_path(ngx_http_request_t *r,
    ngx_http_goosebit_main_conf_t *mcf, ngx_http_goosebit_artifact_t *a,
    ngx_str_t *path)
{
    int     n;
    size_t  size;

    /* directory, "/ab/", 62 digits, "/", name and a zero byte */

    size = ngx_strlen(mcf->artifacts_dir.data) + a->sha256.len
           + a->filename.len
           + sizeof("///") + 1;

    path->data = ngx_pnalloc(r->pool, size);
    if (path->data == NULL) {
        return NGX_ERROR;
    }

    n = gb_store_path((char *) mcf->artifacts_dir.data,
                      (char *) a->sha256.data, (char *) a->filename.data,
                      (char *) path->data, size);
    if (n < 0) {
        return NGX_DECLINED;
    }

    path->len = n;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_goosebit_artifact_open(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *path, ngx_open_file_info_t *of)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    ngx_memzero(of, sizeof(ngx_open_file_info_t));

    of->read_ahead = clcf->read_ahead;
    of->directio = clcf->directio;
    of->valid = clcf->open_file_cache_valid;
    of->min_uses = clcf->open_file_cache_min_uses;
    of->errors = clcf->open_file_cache_errors;
    of->events = clcf->open_file_cache_events;

    if (ngx_http_set_disable_symlinks(r, clcf, path, of) != NGX_OK) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (ngx_open_cached_file(clcf->open_file_cache, path, of, r->pool)
        != NGX_OK)
    {
        if (of->err == 0) {
            return NGX_HTTP_SERVICE_UNAVAILABLE;
        }

        ngx_log_error(NGX_LOG_ERR, r->connection->log, of->err,
                      "artifact: %s \"%V\" failed", of->failed, path);

        return (of->err == NGX_ENOENT || of->err == NGX_ENOTDIR)
               ? NGX_HTTP_NOT_FOUND : NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (!of->is_file) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "artifact: \"%V\" is not a regular file", path);
        return NGX_HTTP_NOT_FOUND;
    }

    if (of->size != (off_t) a->size) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "artifact: \"%V\" has %O bytes instead of %L",
                      path, of->size, a->size);
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    return NGX_HTTP_OK;
}


static ngx_int_t
ngx_http_goosebit_artifact_send(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *path, ngx_open_file_info_t *of)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    /* all is allocated before the header goes out */

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));
    if (b->file == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_goosebit_artifact_headers(r, a) != NGX_OK
        || ngx_http_goosebit_metrics_download(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->connection->log->action = "sending an artifact to client";

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->file_pos = 0;
    b->file_last = of->size;
    b->in_file = of->size ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    b->file->fd = of->fd;
    b->file->name = *path;
    b->file->log = r->connection->log;
    b->file->directio = of->is_directio;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_goosebit_artifact_headers(ngx_http_request_t *r,
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

    /* the length and the ranges are those of the file as it is */

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
