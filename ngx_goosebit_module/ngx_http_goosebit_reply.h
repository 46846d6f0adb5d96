/*
 * reply: how answers leave.  Documents and errors of our own, always with
 * Content-Length and in one buffer; and a filter that puts our errors in place
 * of NGINX's HTML pages.
 */

#ifndef NGX_HTTP_GOOSEBIT_REPLY_H
#define NGX_HTTP_GOOSEBIT_REPLY_H


#include "ngx_http_goosebit.h"

#include "gb_siphash.h"


#define NGX_HTTP_GOOSEBIT_NOT_ACCEPTABLE  406
#define NGX_HTTP_GOOSEBIT_GONE            410
#define NGX_HTTP_GOOSEBIT_RETRY_AFTER     5     /* seconds */
#define NGX_HTTP_GOOSEBIT_ETAG            34    /* bytes, with its quotes */


typedef struct {
    ngx_uint_t     status;
    ngx_str_t     *type;            /* static, or in r->pool */
    ngx_str_t      body;            /* in r->pool, or static */
    ngx_str_t      etag;            /* of body and type, where it is known */
    unsigned       cacheable:1;     /* ETag, If-None-Match -> 304 */
} ngx_http_goosebit_reply_t;


typedef struct {
    ngx_uint_t     status;
    ngx_str_t      code;            /* errorCode; empty: the status's own */
    ngx_uint_t     retry_after;     /* seconds; 0: the default */
} ngx_http_goosebit_error_t;


/*
 * Both send the whole answer and return what ngx_http_finalize_request()
 * takes.  The request's own body must have been read or discarded before.
 */
ngx_int_t ngx_http_goosebit_reply(ngx_http_request_t *r,
    ngx_http_goosebit_reply_t *reply);

/*
 * A digest of the body as sent, in quotes; the same everywhere.  Bodies that
 * begin alike can share what stem makes of their beginning; else it is NULL.
 */
void ngx_http_goosebit_reply_etag(gb_siphash_stem_t *stem, ngx_str_t *body,
    u_char *etag);
void ngx_http_goosebit_reply_etag_stem(gb_siphash_stem_t *stem,
    ngx_str_t *beginning);

/*
 * {"errorCode","message"}; an empty body on artifacts (ddi.md, rule 9).  With
 * 405 comes Allow, with 429 and 503 Retry-After, with 401 WWW-Authenticate.
 */
ngx_int_t ngx_http_goosebit_reply_error(ngx_http_request_t *r,
    ngx_http_goosebit_error_t *error);

/* a response header; value in r->pool or static; NULL: out of memory */
ngx_table_elt_t *ngx_http_goosebit_reply_header(ngx_http_request_t *r,
    char *key, ngx_str_t *value);

/* postconfiguration: installs the filter for locations with this handler */
ngx_int_t ngx_http_goosebit_reply_init(ngx_conf_t *cf,
    ngx_http_handler_pt handler);


#endif /* NGX_HTTP_GOOSEBIT_REPLY_H */
