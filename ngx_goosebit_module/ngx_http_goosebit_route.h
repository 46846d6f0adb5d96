/*
 * route: method and URI as sent -> endpoint and its parts.
 */

#ifndef NGX_HTTP_GOOSEBIT_ROUTE_H
#define NGX_HTTP_GOOSEBIT_ROUTE_H


#include "ngx_http_goosebit.h"


/* bytes, decoded: tenant, controller id, file name (ddi.md) */
#define NGX_HTTP_GOOSEBIT_PART_MAX  255

/* the id in the path is none that an action or a software can have */
#define NGX_HTTP_GOOSEBIT_NO_ID     -1


typedef struct {
    ngx_http_goosebit_endpoint_e   endpoint;

    /* as sent, what stands before /TENANT/controller/v1: "" or "/prefix" */
    ngx_str_t                      prefix;

    /* decoded once; point into uri, or into buf where they had escapes */
    ngx_str_t                      tenant;
    ngx_str_t                      device;
    ngx_str_t                      filename;    /* without .MD5SUM */

    ngx_int_t                      id;          /* of action or software; 0 */

    ngx_str_t                      args;        /* as sent, without "?" */
} ngx_http_goosebit_route_t;


/*
 * Pure: no request, no pool, no configuration.  Splits uri (r->unparsed_uri)
 * at its slashes as sent, then decodes each part once.  At most "skip" parts
 * may stand before the tenant (the parts of the location's own name).  buf
 * holds uri->len bytes, and may be NULL if there is no "%" in uri.
 *
 * NGX_OK; or NGX_DECLINED: no such path, which is also the answer to tenants,
 * ids and names that are empty, longer than 255 bytes, not UTF-8, or have
 * control characters, and to "." and ".." anywhere, as no link could lead back
 * there (ddi.md, Everything else).
 */
ngx_int_t ngx_http_goosebit_route(ngx_http_goosebit_route_t *rt,
    ngx_str_t *uri, u_char *buf, ngx_uint_t skip);

/*
 * The parts of a location's name, to be given as "skip"; a regular expression
 * or a named location can hide any number.
 */
ngx_uint_t ngx_http_goosebit_route_skip(ngx_str_t *location);

/* the same for r as sent to its location; NGX_ERROR: out of memory */
ngx_int_t ngx_http_goosebit_route_request(ngx_http_request_t *r,
    ngx_http_goosebit_route_t *rt);

/* NGX_HTTP_GET etc. */
ngx_uint_t ngx_http_goosebit_route_methods(
    ngx_http_goosebit_endpoint_e endpoint);

/* the Allow header's value; static */
ngx_str_t *ngx_http_goosebit_route_allow(
    ngx_http_goosebit_endpoint_e endpoint);

/* ?actionHistory=N: -1 (all), N, or 0 (none; also if absent or no number) */
ngx_int_t ngx_http_goosebit_route_history(ngx_str_t *args);


#endif /* NGX_HTTP_GOOSEBIT_ROUTE_H */
