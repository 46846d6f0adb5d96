/*
 * accept: which representation a device wants, and whether its body is one we
 * read (RFC 9110, 12.5.1 and 8.3).
 */

#ifndef NGX_HTTP_GOOSEBIT_ACCEPT_H
#define NGX_HTTP_GOOSEBIT_ACCEPT_H


#include "ngx_http_goosebit.h"


/*
 * NGX_OK and the type to answer with (static): application/hal+json where it
 * is asked for by name and not less than JSON; application/cbor where it is
 * asked for by name and more than those, or as much and before them; else
 * application/json.  No Accept header, or a malformed one, allows anything.
 * NGX_DECLINED: 406.
 */
ngx_int_t ngx_http_goosebit_accept(ngx_http_request_t *r, ngx_str_t **type);

/* whether a type of ngx_http_goosebit_accept() is CBOR; NULL is not */
ngx_uint_t ngx_http_goosebit_accept_cbor(ngx_str_t *type);

/*
 * NGX_OK: JSON, also where the type is missing, or, with *cbor set, CBOR;
 * NGX_DECLINED: 415.
 */
ngx_int_t ngx_http_goosebit_accept_body(ngx_http_request_t *r,
    ngx_uint_t *cbor);


#endif /* NGX_HTTP_GOOSEBIT_ACCEPT_H */
