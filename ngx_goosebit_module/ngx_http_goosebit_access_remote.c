/*
 * external_url as the master reads it: what it says, where that is, and whom
 * to trust.
 */

#include "ngx_http_goosebit_access.h"
#include "ngx_http_goosebit_config.h"


static ngx_int_t ngx_http_goosebit_access_remote_resolve(ngx_conf_t *cf,
    ngx_http_goosebit_access_remote_t *remote, ngx_str_t *authority,
    const char *origin);


ngx_int_t
ngx_http_goosebit_access_remote(ngx_conf_t *cf,
    ngx_http_goosebit_access_main_conf_t *amcf, gb_config_t *config)
{
    char                               *origin;
    u_char                             *p, *end, *at;
    ngx_str_t                           authority;
    ngx_http_goosebit_access_remote_t  *remote;

    static ngx_str_t  none = ngx_null_string;

    if (config->device_auth.external_url == NULL) {
        return NGX_OK;
    }

    remote = ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_access_remote_t));
    if (remote == NULL) {
        return NGX_ERROR;
    }

    origin = ngx_http_goosebit_config_origin(cf, config,
                                             "device_auth.external_url");
    if (origin == NULL) {
        return NGX_ERROR;
    }

    remote->url.data = (u_char *) config->device_auth.external_url;
    remote->url.len = ngx_strlen(remote->url.data);

    if (config->device_auth.external_mode == GB_CONFIG_EXTERNAL_JSON) {
        remote->json_key = config->device_auth.external_json_key;
    }

    p = remote->url.data;
    end = p + remote->url.len;

    if (ngx_strncasecmp(p, (u_char *) "http://", 7) == 0) {
        authority.data = p + 7;

    } else if (ngx_strncasecmp(p, (u_char *) "https://", 8) == 0) {
        authority.data = p + 8;
        remote->ssl = 1;

    } else {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s: device_auth.external_url: must begin with http:// "
                      "or https://", origin);
        return NGX_ERROR;
    }

    for (p = authority.data; p < end && *p != '/' && *p != '?' && *p != '#';
         p++)
    {
        /* void */
    }

    authority.len = p - authority.data;

    at = ngx_strlchr(authority.data, p, '@');

    if (at || (p < end && *p == '#')) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s: device_auth.external_url: must have neither a user "
                      "nor a fragment", origin);
        return NGX_ERROR;
    }

    remote->name.data = remote->url.data;
    remote->name.len = p - remote->url.data;

    remote->uri.len = ngx_max((size_t) (end - p), 1);
    remote->uri.data = p;

    if (p == end || *p == '?') {
        remote->uri.len = end - p + 1;
        remote->uri.data = ngx_pnalloc(cf->pool, remote->uri.len);
        if (remote->uri.data == NULL) {
            return NGX_ERROR;
        }

        remote->uri.data[0] = '/';
        ngx_memcpy(remote->uri.data + 1, p, end - p);
    }

    remote->http_host = authority;

    if (ngx_http_goosebit_access_remote_resolve(cf, remote, &authority, origin)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (remote->ssl) {
        amcf->ssl = ngx_http_goosebit_access_ssl(cf, &none);
        if (amcf->ssl == NULL) {
            return NGX_ERROR;
        }
    }

    amcf->remote = remote;

    return NGX_OK;
}


/* at load, unless the http block has a resolver to do so when it is needed */

static ngx_int_t
ngx_http_goosebit_access_remote_resolve(ngx_conf_t *cf,
    ngx_http_goosebit_access_remote_t *remote, ngx_str_t *authority,
    const char *origin)
{
    u_char                     addr[sizeof(struct in6_addr)];
    ngx_url_t                  u;
    ngx_str_t                  host;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *authority;
    u.default_port = remote->ssl ? 443 : 80;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        goto failed;
    }

    if (u.naddrs == 0
        && (clcf->resolver == NULL || clcf->resolver->connections.nelts == 0))
    {
        ngx_memzero(&u, sizeof(ngx_url_t));

        u.url = *authority;
        u.default_port = remote->ssl ? 443 : 80;

        if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
            goto failed;
        }
    }

    remote->port = u.port;
    remote->addrs = u.addrs;
    remote->naddrs = u.naddrs;

    host = u.host;

    if (host.len > 2 && host.data[0] == '[') {
        host.data++;
        host.len -= 2;
    }

    remote->host.data = ngx_pnalloc(cf->pool, host.len + 1);
    if (remote->host.data == NULL) {
        return NGX_ERROR;
    }

    remote->host.len = host.len;
    (void) ngx_cpystrn(remote->host.data, host.data, host.len + 1);

    remote->literal = ngx_inet_addr(host.data, host.len) != INADDR_NONE;

#if (NGX_HAVE_INET6)
    if (ngx_inet6_addr(host.data, host.len, addr) == NGX_OK) {
        remote->literal = 1;
    }
#endif

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "%s: device_auth.external_url: %s in \"%V\"", origin,
                  u.err ? u.err : "invalid host", authority);

    return NGX_ERROR;
}


ngx_ssl_t *
ngx_http_goosebit_access_ssl(ngx_conf_t *cf, ngx_str_t *ca)
{
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NULL;
    }

    ssl->log = cf->log;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NULL;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    if (ca->len == 0) {
        if (SSL_CTX_set_default_verify_paths(ssl->ctx) != 1) {
            ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                          "the system's certificates can't be read");
            return NULL;
        }

        return ssl;
    }

    if (ngx_ssl_trusted_certificate(cf, ssl, ca, 9) != NGX_OK) {
        return NULL;
    }

    return ssl;
}
