/*
 * artifact_head: an artifact, and what an answer with its bytes is headed by,
 * wherever they come from.
 */

#ifndef NGX_HTTP_GOOSEBIT_ARTIFACT_HEAD_H
#define NGX_HTTP_GOOSEBIT_ARTIFACT_HEAD_H


#include "ngx_http_goosebit.h"


/* strings are in r->pool, and C strings as well */
typedef struct {
    ngx_str_t     sha256;       /* this and sha1 in hexadecimal */
    ngx_str_t     sha1;
    ngx_str_t     filename;
    ngx_str_t     uri;          /* of remote software; else empty */
    int64_t       size;         /* bytes */
    int64_t       created;      /* Unix seconds */
} ngx_http_goosebit_artifact_t;


/*
 * Sets status 200, length, ETag (the SHA-1 in quotes), Last-Modified, type and
 * Content-Disposition, and lets NGINX's filters see to ranges and conditions.
 * NGX_ERROR: out of memory.
 */
ngx_int_t ngx_http_goosebit_artifact_head(ngx_http_request_t *r,
    ngx_http_goosebit_artifact_t *a);


#endif /* NGX_HTTP_GOOSEBIT_ARTIFACT_HEAD_H */
