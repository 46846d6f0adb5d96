/*
 * auth: who is asking.
 */

#include "ngx_http_goosebit_auth.h"

#include <openssl/sha.h>


static ngx_str_t  ngx_http_goosebit_auth_words[] = {
    ngx_null_string,
    ngx_string("target"),
    ngx_string("gateway"),
    ngx_string("proven"),
    ngx_string("refused"),
    ngx_string("external")
};

static ngx_str_t  ngx_http_goosebit_auth_target = ngx_string("TargetToken");
static ngx_str_t  ngx_http_goosebit_auth_gateway = ngx_string("GatewayToken");


static u_char *ngx_http_goosebit_auth_is(ngx_str_t *value, ngx_str_t *word);


void
ngx_http_goosebit_auth(ngx_http_request_t *r, ngx_http_goosebit_auth_t *auth)
{
    u_char     *p, *end;
    ngx_str_t  *value;

    ngx_http_goosebit_auth_known(auth, NGX_HTTP_GOOSEBIT_AUTH_NONE);

    if (r->headers_in.authorization == NULL) {
        return;
    }

    value = &r->headers_in.authorization->value;
    end = value->data + value->len;

    p = ngx_http_goosebit_auth_is(value, &ngx_http_goosebit_auth_target);

    if (p) {
        auth->scheme = NGX_HTTP_GOOSEBIT_AUTH_TARGET;

    } else {
        p = ngx_http_goosebit_auth_is(value, &ngx_http_goosebit_auth_gateway);

        if (p == NULL) {
            return;
        }

        auth->scheme = NGX_HTTP_GOOSEBIT_AUTH_GATEWAY;
    }

    while (p < end && *p == ' ') {
        p++;
    }

    if (p == end) {
        auth->scheme = NGX_HTTP_GOOSEBIT_AUTH_NONE;
        return;
    }

    auth->secret.data = p;
    auth->secret.len = end - p;

    if (auth->scheme == NGX_HTTP_GOOSEBIT_AUTH_TARGET) {
        auth->token = auth->secret;
    }
}


/* what comes after the word; NULL: it is another */

static u_char *
ngx_http_goosebit_auth_is(ngx_str_t *value, ngx_str_t *word)
{
    if (value->len > word->len
        && value->data[word->len] == ' '
        && (ngx_memcmp(value->data, word->data, word->len) == 0
            || ngx_strncasecmp(value->data, word->data, word->len) == 0))
    {
        return value->data + word->len;
    }

    return NULL;
}


void
ngx_http_goosebit_auth_known(ngx_http_goosebit_auth_t *auth,
    ngx_http_goosebit_auth_scheme_e scheme)
{
    auth->scheme = scheme;

    ngx_str_null(&auth->secret);
    ngx_str_null(&auth->token);
    ngx_str_null(&auth->credential);
}


ngx_str_t *
ngx_http_goosebit_auth_scheme(ngx_http_goosebit_auth_scheme_e scheme)
{
    return &ngx_http_goosebit_auth_words[scheme];
}


void
ngx_http_goosebit_auth_digest(ngx_http_goosebit_auth_t *auth)
{
    if (auth->secret.len == 0 || auth->credential.data) {
        return;
    }

    /* one-shot, of memory: it fails only where libcrypto is out of order */

    if (SHA256(auth->secret.data, auth->secret.len, auth->digest) == NULL) {
        ngx_http_goosebit_auth_known(auth, NGX_HTTP_GOOSEBIT_AUTH_NONE);
        return;
    }

    auth->credential.data = auth->digest;
    auth->credential.len = NGX_HTTP_GOOSEBIT_DIGEST;
}


void
ngx_http_goosebit_auth_add(ngx_http_goosebit_pg_query_t *q,
    ngx_http_goosebit_ctx_t *ctx, ngx_http_goosebit_auth_t *auth,
    ngx_str_t *mode)
{
    ngx_http_goosebit_auth_digest(auth);

    ngx_http_goosebit_pg_add_text(q, &ctx->tenant);
    ngx_http_goosebit_pg_add_text(q, &ctx->device);
    ngx_http_goosebit_pg_add_text(q,
                                  ngx_http_goosebit_auth_scheme(auth->scheme));
    ngx_http_goosebit_pg_add_bytes(q, &auth->credential);
    ngx_http_goosebit_pg_add_text(q, mode);
}
