/*
 * artifact_file: an artifact in artifacts_dir -> its bytes, by NGINX's own
 * machinery.
 */

#include "ngx_http_goosebit_artifact.h"
#include "ngx_http_goosebit_metrics.h"
#include "ngx_http_goosebit_reply.h"

#include "gb_store.h"


static ngx_int_t ngx_http_goosebit_artifact_file_path(ngx_http_request_t *r,
    ngx_http_goosebit_main_conf_t *mcf, ngx_http_goosebit_artifact_t *a,
    ngx_str_t *path);
static ngx_uint_t ngx_http_goosebit_artifact_file_open(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *path,
    ngx_open_file_info_t *of);
static ngx_int_t ngx_http_goosebit_artifact_file_send(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *path,
    ngx_open_file_info_t *of);


ngx_int_t
ngx_http_goosebit_artifact_file(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a)
{
    ngx_int_t                       rc;
    ngx_str_t                       path;
    ngx_open_file_info_t            of;
    ngx_http_goosebit_error_t       error;
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);

    rc = ngx_http_goosebit_artifact_file_path(r, mcf, a, &path);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(&error, sizeof(ngx_http_goosebit_error_t));
    error.status = ngx_http_goosebit_artifact_file_open(r, a, &path, &of);

    if (error.status != NGX_HTTP_OK) {
        return ngx_http_goosebit_reply_error(r, &error);
    }

    return ngx_http_goosebit_artifact_file_send(r, a, &path, &of);
}


static ngx_int_t
ngx_http_goosebit_artifact_file_path(ngx_http_request_t *r,
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
ngx_http_goosebit_artifact_file_open(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a, ngx_str_t *path, ngx_open_file_info_t *of)
{
    if (ngx_http_goosebit_artifact_open(r, path, of) != NGX_OK) {

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
ngx_http_goosebit_artifact_file_send(ngx_http_request_t *r,
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

    if (ngx_http_goosebit_artifact_head(r, a) != NGX_OK
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
