/*
 * auth: who is asking.  What was sent is digested here; SQL decides.
 */

#ifndef NGX_HTTP_GOOSEBIT_AUTH_H
#define NGX_HTTP_GOOSEBIT_AUTH_H


#include "ngx_http_goosebit.h"
#include "ngx_http_goosebit_pg.h"


#define NGX_HTTP_GOOSEBIT_DIGEST       32   /* bytes of SHA-256 */

/* which parameter of a device call the scheme is, from 0 */
#define NGX_HTTP_GOOSEBIT_AUTH_SCHEME  2


typedef struct {
    ngx_str_t    scheme;        /* "target", "gateway"; data NULL: neither;
                                   _access has "proven", "refused" and
                                   "external", too */
    ngx_str_t    credential;    /* points to digest; data NULL: none */
    ngx_str_t    token;         /* of "target", in the header: for an outside
                                   service alone */
    u_char       digest[NGX_HTTP_GOOSEBIT_DIGEST];
    unsigned     proven:1;      /* it needs no leave to register */
} ngx_http_goosebit_auth_t;


/*
 * Reads "Authorization: TargetToken T" and "GatewayToken T" (hawkBit's
 * security tokens; the scheme in any case, RFC 9110, 11.1).  Any other scheme,
 * or no token, is no credential.  The token itself is never logged.
 * auth must stay where it is while a query borrows it.
 */
void ngx_http_goosebit_auth(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth);

/*
 * The five parameters that every device call starts with; mode is the
 * configured device_auth, of which the tenant may have its own.
 */
void ngx_http_goosebit_auth_add(ngx_http_goosebit_pg_query_t *q,
    ngx_http_goosebit_ctx_t *ctx, ngx_http_goosebit_auth_t *auth,
    ngx_str_t *mode);


#endif /* NGX_HTTP_GOOSEBIT_AUTH_H */
