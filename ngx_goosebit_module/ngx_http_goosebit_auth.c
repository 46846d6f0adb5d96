/*
 * auth: who is asking.
 */

#include "ngx_http_goosebit_auth.h"

#include <openssl/sha.h>


typedef struct {
    ngx_str_t    word;          /* in the header */
    ngx_str_t    scheme;        /* in SQL */
} ngx_http_goosebit_scheme_t;


static ngx_http_goosebit_scheme_t  ngx_http_goosebit_schemes[] = {
    { ngx_string("TargetToken"), ngx_string("target") },
    { ngx_string("GatewayToken"), ngx_string("gateway") },
    { ngx_null_string, ngx_null_string }
};


void
ngx_http_goosebit_auth(ngx_http_request_t *r, ngx_http_goosebit_auth_t *auth)
{
    u_char                      *p, *end;
    ngx_str_t                   *value;
    ngx_http_goosebit_scheme_t  *scheme;

    ngx_str_null(&auth->scheme);
    ngx_str_null(&auth->credential);
    ngx_str_null(&auth->token);

    if (r->headers_in.authorization == NULL) {
        return;
    }

    value = &r->headers_in.authorization->value;
    end = value->data + value->len;

    for (scheme = ngx_http_goosebit_schemes; scheme->word.len; scheme++) {
        if (value->len > scheme->word.len
            && value->data[scheme->word.len] == ' '
            && ngx_strncasecmp(value->data, scheme->word.data,
                               scheme->word.len)
               == 0)
        {
            break;
        }
    }

    if (scheme->word.len == 0) {
        return;
    }

    p = value->data + scheme->word.len;

    while (p < end && *p == ' ') {
        p++;
    }

    if (p == end) {
        return;
    }

    if (SHA256(p, end - p, auth->digest) == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "SHA256() failed");
        return;
    }

    if (scheme == ngx_http_goosebit_schemes) {
        auth->token.data = p;
        auth->token.len = end - p;
    }

    auth->scheme = scheme->scheme;
    auth->credential.data = auth->digest;
    auth->credential.len = NGX_HTTP_GOOSEBIT_DIGEST;
}


void
ngx_http_goosebit_auth_add(ngx_http_goosebit_pg_query_t *q,
    ngx_http_goosebit_ctx_t *ctx, ngx_http_goosebit_auth_t *auth,
    ngx_str_t *mode)
{
    ngx_http_goosebit_pg_add_text(q, &ctx->tenant);
    ngx_http_goosebit_pg_add_text(q, &ctx->device);
    ngx_http_goosebit_pg_add_text(q, &auth->scheme);
    ngx_http_goosebit_pg_add_bytes(q, &auth->credential);
    ngx_http_goosebit_pg_add_text(q, mode);
}
