/*
 * auth: who is asking.  What was sent is digested here; SQL decides.
 */

#ifndef NGX_HTTP_GOOSEBIT_AUTH_H
#define NGX_HTTP_GOOSEBIT_AUTH_H


#include "ngx_http_goosebit.h"
#include "ngx_http_goosebit_pg.h"


#define NGX_HTTP_GOOSEBIT_DIGEST  32        /* bytes of SHA-256 */


typedef struct {
    ngx_str_t    scheme;        /* "target", "gateway"; data NULL: neither */
    ngx_str_t    credential;    /* points to digest; data NULL: none */
    u_char       digest[NGX_HTTP_GOOSEBIT_DIGEST];
} ngx_http_goosebit_auth_t;


/*
 * Reads "Authorization: TargetToken T" and "GatewayToken T" (hawkBit's
 * security tokens; the scheme in any case, RFC 9110, 11.1).  Any other scheme,
 * or no token, is no credential.  The token itself is neither kept nor logged.
 * auth must stay where it is while a query borrows it.
 */
void ngx_http_goosebit_auth(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth);

/* the five parameters that every device call starts with */
void ngx_http_goosebit_auth_add(ngx_http_goosebit_pg_query_t *q,
    ngx_http_goosebit_main_conf_t *mcf, ngx_http_goosebit_ctx_t *ctx,
    ngx_http_goosebit_auth_t *auth);


#endif /* NGX_HTTP_GOOSEBIT_AUTH_H */
