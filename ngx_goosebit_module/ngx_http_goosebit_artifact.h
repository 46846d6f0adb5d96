/*
 * artifact: authorised by SQL -> delivered from where it lies: a file, the
 * object store, or elsewhere.  Two steps, so that who knows an artifact
 * already can take the second alone.
 */

#ifndef NGX_HTTP_GOOSEBIT_ARTIFACT_H
#define NGX_HTTP_GOOSEBIT_ARTIFACT_H


#include "ngx_http_goosebit_artifact_head.h"
#include "ngx_http_goosebit_pg.h"


/*
 * The row of goosebit_ddi.artifact with status 200, copied to r->pool.
 * NGX_DECLINED: the row is not what it should be.  NGX_ERROR: out of memory.
 */
ngx_int_t ngx_http_goosebit_artifact_row(ngx_http_request_t *r,
    ngx_http_goosebit_pg_result_t *result, ngx_http_goosebit_artifact_t *a);

/*
 * Answers a request that may have the artifact, with its bytes or a 302.  What
 * can't be had is 404 or 503 with an empty body and one line in the log.
 * Returns what ngx_http_finalize_request() takes; NGX_DECLINED: the artifact
 * is not what it should be, and nothing was sent; NGX_DONE: the request goes
 * on elsewhere, and the caller's reference to it was given back.
 */
ngx_int_t ngx_http_goosebit_artifact_deliver(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a);


/*
 * goosebit_open_file_cache, and what holds where it is not said: files that
 * stay open in a worker, in mcf->open_files.
 */
char *ngx_http_goosebit_artifact_open_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_goosebit_artifact_open_init(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf);


/* ---- between the files of this room */

ngx_int_t ngx_http_goosebit_artifact_file(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a);

/* fills of, as ngx_open_cached_file() does; r->pool closes the file */
ngx_int_t ngx_http_goosebit_artifact_open(ngx_http_request_t *r,
    ngx_str_t *path, ngx_open_file_info_t *of);


#endif /* NGX_HTTP_GOOSEBIT_ARTIFACT_H */
