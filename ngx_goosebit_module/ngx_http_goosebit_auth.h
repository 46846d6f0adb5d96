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


typedef enum {
    NGX_HTTP_GOOSEBIT_AUTH_NONE = 0,
    NGX_HTTP_GOOSEBIT_AUTH_TARGET,
    NGX_HTTP_GOOSEBIT_AUTH_GATEWAY,
    NGX_HTTP_GOOSEBIT_AUTH_PROVEN,          /* these three are _access's */
    NGX_HTTP_GOOSEBIT_AUTH_REFUSED,
    NGX_HTTP_GOOSEBIT_AUTH_EXTERNAL,
    NGX_HTTP_GOOSEBIT_AUTH_SCHEMES
} ngx_http_goosebit_auth_scheme_e;


typedef struct {
    ngx_http_goosebit_auth_scheme_e  scheme;
    ngx_str_t    secret;        /* as sent, in the header; len 0: none */
    ngx_str_t    token;         /* the same of "target": for an outside
                                   service alone */
    ngx_str_t    credential;    /* points to digest; data NULL: none, or not
                                   made yet */
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

/* what NGINX itself knows: no secret counts any more */
void ngx_http_goosebit_auth_known(ngx_http_goosebit_auth_t *auth,
    ngx_http_goosebit_auth_scheme_e scheme);

/* SQL's word for a scheme; data NULL for none.  Static */
ngx_str_t *ngx_http_goosebit_auth_scheme(
    ngx_http_goosebit_auth_scheme_e scheme);

/* makes the credential of the secret, where that was not done yet */
void ngx_http_goosebit_auth_digest(ngx_http_goosebit_auth_t *auth);

/*
 * The five parameters that every device call starts with; mode is the
 * configured device_auth, of which the tenant may have its own.
 */
void ngx_http_goosebit_auth_add(ngx_http_goosebit_pg_query_t *q,
    ngx_http_goosebit_ctx_t *ctx, ngx_http_goosebit_auth_t *auth,
    ngx_str_t *mode);


#endif /* NGX_HTTP_GOOSEBIT_AUTH_H */
