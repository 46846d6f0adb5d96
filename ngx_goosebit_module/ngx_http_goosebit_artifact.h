/*
 * artifact: what SQL allowed -> the file, by NGINX's own machinery, or a
 * redirect to where it lies.
 */

#ifndef NGX_HTTP_GOOSEBIT_ARTIFACT_H
#define NGX_HTTP_GOOSEBIT_ARTIFACT_H


#include "ngx_http_goosebit.h"
#include "ngx_http_goosebit_pg.h"


/*
 * result holds the row of goosebit_ddi.artifact with status 200; borrowed for
 * the call.  Answers with the bytes (Range, If-Range and the other conditions
 * are NGINX's filters'; ETag is the SHA-1 in quotes), or 302 to a remote uri
 * without its user and password.  A file that is missing: 404, that can't be
 * read, or is not what was registered: 503, each with one line in the log.
 * Returns what ngx_http_finalize_request() takes; NGX_DECLINED: the row is not
 * what it should be, and nothing was sent.
 */
ngx_int_t ngx_http_goosebit_artifact(ngx_http_request_t *r,
    ngx_http_goosebit_main_conf_t *mcf, ngx_http_goosebit_pg_result_t *result);


#endif /* NGX_HTTP_GOOSEBIT_ARTIFACT_H */
