/*
 * Identities that NGINX has proven: a client certificate, or what a trusted
 * proxy says of one in hawkBit's headers; and who issued it.
 *
 * hawkBit (SecurityHeaderAuthenticator) compares the header with the
 * controller id and looks for one of the tenant's issuer hashes in
 * X-Ssl-Issuer-Hash-1, -2 and so on until one is missing.  There the proxy
 * computes the hash; here NGINX is the proxy, so it is computed from the
 * certificate.  Unlike there, an identity that does not hold is refused and
 * no token looked at.
 */

#include "ngx_http_goosebit_access.h"

#include <openssl/x509.h>


#define NGX_HTTP_GOOSEBIT_ACCESS_HASH     8     /* digits */
#define NGX_HTTP_GOOSEBIT_ACCESS_ISSUERS  16    /* headers looked at */


/* of one TLS connection */
typedef struct {
    ngx_str_t  hash;                    /* empty: nothing is proven */
    u_char     digits[NGX_HTTP_GOOSEBIT_ACCESS_HASH + 1];
} ngx_http_goosebit_access_issuer_t;


static ngx_uint_t ngx_http_goosebit_access_listed(ngx_str_t *list,
    ngx_str_t *hash);
static ngx_int_t ngx_http_goosebit_access_sent(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_goosebit_access_sent_issuer(ngx_http_request_t *r,
    ngx_http_goosebit_access_conf_t *acf, ngx_str_t *list);
static ngx_int_t ngx_http_goosebit_access_issuer(ngx_http_request_t *r,
    ngx_str_t *hash);
static X509 *ngx_http_goosebit_access_cert(ngx_http_request_t *r,
    ngx_uint_t *verified);
static ngx_uint_t ngx_http_goosebit_access_here(ngx_http_request_t *r);
static void ngx_http_goosebit_access_issuer_hash(ngx_connection_t *c,
    ngx_http_goosebit_access_issuer_t *issuer);
static ngx_int_t ngx_http_goosebit_access_issuer_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_access_cn_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_goosebit_access_cn(ngx_http_request_t *r,
    X509_NAME *name, ngx_str_t *cn);
static ngx_int_t ngx_http_goosebit_access_token_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);


/* once for all, as an index can't be given back */
static int  ngx_http_goosebit_access_ssl_index = -1;


static ngx_http_variable_t  ngx_http_goosebit_access_vars[] = {

    { ngx_string("goosebit_issuer_hash"), NULL,
      ngx_http_goosebit_access_issuer_variable, 0, 0, 0 },

    { ngx_string("goosebit_token"), NULL,
      ngx_http_goosebit_access_token_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* as hawkBit's guides name it, who make it by a map: theirs wins */

    { ngx_string("ssl_client_s_dn_cn"), NULL,
      ngx_http_goosebit_access_cn_variable, 0,
      NGX_HTTP_VAR_CHANGEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_goosebit_access_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_goosebit_access_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    if (ngx_http_goosebit_access_ssl_index == -1) {
        ngx_http_goosebit_access_ssl_index = SSL_get_ex_new_index(0, NULL,
                                                             NULL, NULL, NULL);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_goosebit_access_identity(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth)
{
    ngx_int_t                         rc;
    ngx_str_t                         id, list, hash;
    ngx_uint_t                        own, verified;
    ngx_http_goosebit_ctx_t          *ctx;
    ngx_http_goosebit_access_conf_t  *acf;

    acf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_access_module);

    ngx_str_null(&id);
    ngx_str_null(&hash);
    rc = NGX_OK;
    own = 0;

    if (acf->client_id) {
        if (ngx_http_complex_value(r, acf->client_id, &id) != NGX_OK) {
            return NGX_ERROR;
        }

        own = id.len ? 1 : 0;
    }

    if (id.len == 0 && acf->header.len) {
        rc = ngx_http_goosebit_access_sent(r, &acf->header, &id);
    }

    if (rc == NGX_OK && id.len == 0) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_goosebit_ctx_get(r);

    verified = 1;

    if (own) {

        /* "ssl_verify_client optional_no_ca" lets any certificate in */

        X509_free(ngx_http_goosebit_access_cert(r, &verified));
    }

    if (rc != NGX_OK
        || !verified
        || id.len != ctx->device.len
        || ngx_memcmp(id.data, ctx->device.data, id.len) != 0)
    {
        goto refuse;
    }

    if (acf->issuer_hash) {
        if (ngx_http_complex_value(r, acf->issuer_hash, &list) != NGX_OK) {
            return NGX_ERROR;
        }

        if (own) {
            rc = ngx_http_goosebit_access_issuer(r, &hash);

            if (rc == NGX_OK && !ngx_http_goosebit_access_listed(&list, &hash))
            {
                rc = NGX_DECLINED;
            }

        } else {
            rc = ngx_http_goosebit_access_sent_issuer(r, acf, &list);
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            goto refuse;
        }
    }

    ngx_http_goosebit_auth_known(auth, NGX_HTTP_GOOSEBIT_AUTH_PROVEN);
    auth->proven = 1;

    return NGX_OK;

refuse:

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "client's identity \"%V\" is not taken for \"%V\" of \"%V\" "
                  "(issuer \"%V\")", &id, &ctx->device, &ctx->tenant, &hash);

    ngx_http_goosebit_auth_known(auth, NGX_HTTP_GOOSEBIT_AUTH_REFUSED);

    return NGX_OK;
}


/* list is written as hawkBit's: "," or ";" between, blanks do not matter */

static ngx_uint_t
ngx_http_goosebit_access_listed(ngx_str_t *list, ngx_str_t *hash)
{
    u_char  *p, *end, *start;

    if (hash->len == 0) {
        return 0;
    }

    p = list->data;
    end = list->data + list->len;

    while (p < end) {

        while (p < end && (*p == ',' || *p == ';' || *p == ' ')) {
            p++;
        }

        start = p;

        while (p < end && *p != ',' && *p != ';' && *p != ' ') {
            p++;
        }

        if ((size_t) (p - start) == hash->len
            && ngx_strncasecmp(start, hash->data, hash->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * NGX_ERROR: more than one.  A proxy replaces the header, so one that comes
 * twice has come past it.
 */

static ngx_int_t
ngx_http_goosebit_access_sent(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    ngx_str_null(value);

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (header[i].key.len != name->len
                || ngx_strncasecmp(header[i].key.data, name->data, name->len)
                   != 0)
            {
                continue;
            }

            if (value->data) {
                return NGX_ERROR;
            }

            *value = header[i].value;
        }
    }

    return NGX_OK;
}


/* an empty one is the end, too: what comes after it, a device may have sent */

static ngx_int_t
ngx_http_goosebit_access_sent_issuer(ngx_http_request_t *r,
    ngx_http_goosebit_access_conf_t *acf, ngx_str_t *list)
{
    u_char      *p;
    ngx_str_t    name, hash;
    ngx_uint_t   i;

    p = ngx_pnalloc(r->pool, acf->issuers.len + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    name.data = p;
    p = ngx_cpymem(p, acf->issuers.data, acf->issuers.len);

    for (i = 1; i <= NGX_HTTP_GOOSEBIT_ACCESS_ISSUERS; i++) {
        name.len = ngx_sprintf(p, "%ui", i) - name.data;

        if (ngx_http_goosebit_access_sent(r, &name, &hash) != NGX_OK
            || hash.len == 0)
        {
            break;
        }

        if (ngx_http_goosebit_access_listed(list, &hash)) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* NGX_DECLINED: there is no certificate whose issuer is known */

static ngx_int_t
ngx_http_goosebit_access_issuer(ngx_http_request_t *r, ngx_str_t *hash)
{
    SSL                                *ssl;
    ngx_connection_t                   *c;
    ngx_http_goosebit_access_issuer_t  *issuer;

    if (r->connection->ssl == NULL) {
        return NGX_DECLINED;
    }

    ssl = r->connection->ssl->connection;
    issuer = SSL_get_ex_data(ssl, ngx_http_goosebit_access_ssl_index);

    if (issuer == NULL) {

        /* of HTTP/2, the connection itself and not its stream */

        c = ngx_ssl_get_connection(ssl);

        issuer = ngx_pcalloc(c->pool,
                             sizeof(ngx_http_goosebit_access_issuer_t));
        if (issuer == NULL) {
            return NGX_ERROR;
        }

        ngx_http_goosebit_access_issuer_hash(c, issuer);

        if (SSL_set_ex_data(ssl, ngx_http_goosebit_access_ssl_index, issuer)
            != 1)
        {
            return NGX_ERROR;
        }
    }

    *hash = issuer->hash;

    return hash->len ? NGX_OK : NGX_DECLINED;
}


/*
 * The issuer has to be one of the certificates that NGINX was told to trust,
 * and its key must have signed the device's.  A name alone proves nothing: any
 * trusted authority may issue an intermediate one with another's name, and
 * names can be made to have any hash.
 */

static void
ngx_http_goosebit_access_issuer_hash(ngx_connection_t *c,
    ngx_http_goosebit_access_issuer_t *issuer)
{
    X509            *cert, *ca;
    X509_STORE      *store;
    X509_STORE_CTX  *ctx;

    if (SSL_get_verify_result(c->ssl->connection) != X509_V_OK) {
        return;
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return;
    }

    ca = NULL;
    ctx = X509_STORE_CTX_new();
    store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(c->ssl->connection));

    if (ctx && X509_STORE_CTX_init(ctx, store, cert, NULL) == 1
        && X509_STORE_CTX_get1_issuer(&ca, ctx, cert) == 1
        && X509_verify(cert, X509_get0_pubkey(ca)) == 1)
    {
        issuer->hash.data = issuer->digits;
        issuer->hash.len = ngx_sprintf(issuer->digits, "%08xD",
                                 (uint32_t) X509_NAME_hash_ex(
                                                X509_get_issuer_name(cert),
                                                NULL, NULL, NULL))
                           - issuer->digits;
    }

    X509_free(ca);
    X509_STORE_CTX_free(ctx);
    X509_free(cert);

    ERR_clear_error();
}


static ngx_int_t
ngx_http_goosebit_access_issuer_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t  rc;
    ngx_str_t  hash;

    rc = ngx_http_goosebit_access_issuer(r, &hash);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = hash.len;
    v->data = hash.data;

    return NGX_OK;
}


/* owned by the caller; NULL (and verified) where there is none */

static X509 *
ngx_http_goosebit_access_cert(ngx_http_request_t *r, ngx_uint_t *verified)
{
    SSL   *ssl;
    X509  *cert;

    *verified = 1;

    if (r->connection->ssl == NULL) {
        return NULL;
    }

    ssl = r->connection->ssl->connection;
    cert = SSL_get_peer_certificate(ssl);

    if (cert) {
        *verified = SSL_get_verify_result(ssl) == X509_V_OK
                    && ngx_http_goosebit_access_here(r);
    }

    return cert;
}


/*
 * Whether it was this server that asked for the certificate.  Who sends no
 * server name in TLS may name any server in Host, and has shown the default one
 * a certificate that its authorities have signed; NGINX refuses such requests
 * only where there was a name, and the server verifies, too.
 */

static ngx_uint_t
ngx_http_goosebit_access_here(ngx_http_request_t *r)
{
#if (NGX_HTTP_SSL)

    ngx_http_conf_ctx_t      *ctx;
    ngx_http_ssl_srv_conf_t  *sscf;

    sscf = ngx_http_get_module_srv_conf(r, ngx_http_ssl_module);

    if (sscf->ssl.ctx == NULL) {

        /* it has no certificate of its own: all that is the default one's */

        ctx = r->http_connection->addr_conf->default_server->ctx;
        sscf = ctx->srv_conf[ngx_http_ssl_module.ctx_index];
    }

    return sscf->verify
           && SSL_get_SSL_CTX(r->connection->ssl->connection)
              == sscf->ssl.ctx;

#else

    return 0;

#endif
}


static ngx_int_t
ngx_http_goosebit_access_cn_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    X509        *cert;
    ngx_int_t    rc;
    ngx_str_t    cn;
    ngx_uint_t   verified;

    ngx_str_null(&cn);
    rc = NGX_OK;

    cert = ngx_http_goosebit_access_cert(r, &verified);

    if (cert && verified) {
        rc = ngx_http_goosebit_access_cn(r, X509_get_subject_name(cert), &cn);
    }

    X509_free(cert);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (cn.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = cn.len;
    v->data = cn.data;

    return NGX_OK;
}


/* several names are none: which of them is meant is not guessed */

static ngx_int_t
ngx_http_goosebit_access_cn(ngx_http_request_t *r, X509_NAME *name,
    ngx_str_t *cn)
{
    int      i, n;
    u_char  *text;

    i = X509_NAME_get_index_by_NID(name, NID_commonName, -1);

    if (i < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, i) >= 0) {
        return NGX_OK;
    }

    n = ASN1_STRING_to_UTF8(&text,
               X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
    if (n < 0) {
        ERR_clear_error();
        return NGX_OK;
    }

    cn->data = ngx_pnalloc(r->pool, n + 1);

    if (cn->data) {
        cn->len = n;
        ngx_memcpy(cn->data, text, n);
    }

    OPENSSL_free(text);

    return cn->data ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_goosebit_access_token_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_goosebit_auth_t  auth;

    ngx_http_goosebit_auth(r->main, &auth);

    if (auth.token.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = auth.token.len;
    v->data = auth.token.data;

    return NGX_OK;
}
