/*
 * access: directives and configuration of who may ask.
 */

#include "ngx_http_goosebit_access.h"


#define NGX_HTTP_GOOSEBIT_ACCESS_CACHE    60000
#define NGX_HTTP_GOOSEBIT_ACCESS_TIMEOUT  5000


static void *ngx_http_goosebit_access_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_goosebit_access_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_goosebit_access_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static void ngx_http_goosebit_access_merge_str(ngx_str_t *conf,
    ngx_str_t *prev);
static ngx_int_t ngx_http_goosebit_access_server(ngx_conf_t *cf,
    ngx_str_t *server);
static char *ngx_http_goosebit_access_header(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_goosebit_access_name(ngx_conf_t *cf,
    ngx_str_t *name, ngx_str_t *lower);
static char *ngx_http_goosebit_access_request(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_goosebit_access_ca(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_goosebit_access_limit(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_goosebit_access_not_zero(ngx_conf_t *cf, void *post,
    void *data);
static ngx_int_t ngx_http_goosebit_access_init(ngx_conf_t *cf);


static ngx_conf_post_t  ngx_http_goosebit_access_timeout_post = {
    ngx_http_goosebit_access_not_zero
};


static ngx_command_t  ngx_http_goosebit_access_commands[] = {

    { ngx_string("goosebit_client_id"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_goosebit_access_conf_t, client_id),
      NULL },

    { ngx_string("goosebit_issuer_hash"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_goosebit_access_conf_t, issuer_hash),
      NULL },

    { ngx_string("goosebit_trusted_header"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_goosebit_access_header,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit_auth_request"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_goosebit_access_request,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit_auth_ca"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_goosebit_access_ca,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit_auth_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_goosebit_access_conf_t, cache),
      NULL },

    { ngx_string("goosebit_auth_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_goosebit_access_conf_t, timeout),
      &ngx_http_goosebit_access_timeout_post },

    { ngx_string("goosebit_registration"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_goosebit_access_limit,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_goosebit_access_module_ctx = {
    ngx_http_goosebit_access_add_variables,    /* preconfiguration */
    ngx_http_goosebit_access_init,             /* postconfiguration */

    ngx_http_goosebit_access_create_main_conf, /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_goosebit_access_create_loc_conf,  /* create location
                                                  configuration */
    ngx_http_goosebit_access_merge_loc_conf    /* merge location
                                                  configuration */
};


ngx_module_t  ngx_http_goosebit_access_module = {
    NGX_MODULE_V1,
    &ngx_http_goosebit_access_module_ctx,      /* module context */
    ngx_http_goosebit_access_commands,         /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    NULL,                                      /* init module */
    NULL,                                      /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    NULL,                                      /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_str_t *
ngx_http_goosebit_access_mode(ngx_http_request_t *r)
{
    ngx_http_goosebit_main_conf_t    *mcf;
    ngx_http_goosebit_access_conf_t  *acf;

    static ngx_str_t  external = ngx_string("external");

    acf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_access_module);

    if (acf->request.len) {
        return &external;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);

    return &mcf->auth;
}


ngx_uint_t
ngx_http_goosebit_access_registration(ngx_http_request_t *r,
    ngx_uint_t *retry_after)
{
    ngx_http_goosebit_access_conf_t       *acf;
    ngx_http_goosebit_access_main_conf_t  *amcf;

    acf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_access_module);

    switch (acf->registration) {

    case NGX_HTTP_GOOSEBIT_ACCESS_ON:
        return NGX_HTTP_OK;

    case NGX_HTTP_GOOSEBIT_ACCESS_OFF:
        return NGX_HTTP_UNAUTHORIZED;

    default:
        break;
    }

    amcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_access_module);

    return ngx_http_goosebit_access_zone_take(amcf, acf->bucket, acf->rate,
                                              retry_after);
}


static void *
ngx_http_goosebit_access_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_goosebit_access_main_conf_t  *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_access_main_conf_t));
    if (amcf == NULL) {
        return NULL;
    }

    ngx_queue_init(&amcf->calls);

    return amcf;
}


static void *
ngx_http_goosebit_access_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_goosebit_access_conf_t  *acf;

    acf = ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_access_conf_t));
    if (acf == NULL) {
        return NULL;
    }

    acf->cache = NGX_CONF_UNSET_MSEC;
    acf->timeout = NGX_CONF_UNSET_MSEC;
    acf->registration = NGX_CONF_UNSET_UINT;

    return acf;
}


static char *
ngx_http_goosebit_access_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_goosebit_access_conf_t  *prev, *conf;

    prev = parent;
    conf = child;

    if (conf->client_id == NULL) {
        conf->client_id = prev->client_id;
    }

    if (conf->issuer_hash == NULL) {
        conf->issuer_hash = prev->issuer_hash;
    }

    if (conf->header.data == NULL) {
        conf->issuers = prev->issuers;
    }

    if (conf->request.data == NULL) {
        conf->args = prev->args;
    }

    if (conf->ca.data == NULL) {
        conf->ssl = prev->ssl;
    }

    ngx_http_goosebit_access_merge_str(&conf->header, &prev->header);
    ngx_http_goosebit_access_merge_str(&conf->request, &prev->request);
    ngx_http_goosebit_access_merge_str(&conf->ca, &prev->ca);

    ngx_conf_merge_msec_value(conf->cache, prev->cache,
                              NGX_HTTP_GOOSEBIT_ACCESS_CACHE);
    ngx_conf_merge_msec_value(conf->timeout, prev->timeout,
                              NGX_HTTP_GOOSEBIT_ACCESS_TIMEOUT);

    if (conf->registration == NGX_CONF_UNSET_UINT) {
        conf->rate = prev->rate;
        conf->bucket = prev->bucket;
    }

    ngx_conf_merge_uint_value(conf->registration, prev->registration,
                              NGX_HTTP_GOOSEBIT_ACCESS_ON);

    if (conf->request.len
        && ngx_http_goosebit_access_server(cf, &conf->server) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_goosebit_access_merge_str(ngx_str_t *conf, ngx_str_t *prev)
{
    if (conf->data == NULL) {
        *conf = *prev;
    }
}


/* told by its place in nginx.conf, which a reload mostly leaves as it is */

static ngx_int_t
ngx_http_goosebit_access_server(ngx_conf_t *cf, ngx_str_t *server)
{
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    server->data = ngx_pnalloc(cf->pool, ngx_strlen(cscf->file_name) + 1
                                         + NGX_INT_T_LEN);
    if (server->data == NULL) {
        return NGX_ERROR;
    }

    server->len = ngx_sprintf(server->data, "%s:%ui", cscf->file_name,
                              cscf->line)
                  - server->data;

    return NGX_OK;
}


/* goosebit_trusted_header off | NAME [ISSUERS-%d] */

static char *
ngx_http_goosebit_access_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    size_t                            len;
    ngx_str_t                        *value, issuers;
    ngx_http_goosebit_access_conf_t  *acf;

    static ngx_str_t  cn = ngx_string("X-Ssl-Issuer-Hash-%d");
    static ngx_str_t  id = ngx_string("X-Authority-%d");

    acf = conf;

    if (acf->header.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    /* in any case: it must not become the name of a header that is trusted */

    if (cf->args->nelts == 2
        && ngx_strcasecmp(value[1].data, (u_char *) "off") == 0)
    {
        ngx_str_set(&acf->header, "");
        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 3) {
        issuers = value[2];

    } else {
        issuers = (ngx_strcasecmp(value[1].data, (u_char *) "X-Controller-Id")
                   == 0) ? id : cn;
    }

    len = sizeof("%d") - 1;

    if (issuers.len <= len
        || ngx_strncmp(issuers.data + issuers.len - len, "%d", len) != 0)
    {
        return "needs a name for issuers that ends in \"%d\"";
    }

    issuers.len -= len;

    if (ngx_http_goosebit_access_name(cf, &value[1], &acf->header) != NGX_OK
        || ngx_http_goosebit_access_name(cf, &issuers, &acf->issuers)
           != NGX_OK)
    {
        return "needs the name of a header";
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_goosebit_access_name(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *lower)
{
    size_t  i;
    u_char  ch;

    if (name->len == 0) {
        return NGX_ERROR;
    }

    lower->len = name->len;
    lower->data = ngx_pnalloc(cf->pool, name->len);
    if (lower->data == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < name->len; i++) {
        ch = ngx_tolower(name->data[i]);

        if ((ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && ch != '-') {
            return NGX_ERROR;
        }

        lower->data[i] = ch;
    }

    return NGX_OK;
}


static char *
ngx_http_goosebit_access_request(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    u_char                           *p;
    ngx_str_t                        *value;
    ngx_http_goosebit_access_conf_t  *acf;

    acf = conf;

    if (acf->request.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        ngx_str_set(&acf->request, "");
        return NGX_CONF_OK;
    }

    if (value[1].data[0] != '/') {
        return "needs a URI of this server, or \"off\"";
    }

    acf->request = value[1];

    p = ngx_strlchr(value[1].data, value[1].data + value[1].len, '?');

    if (p) {
        acf->args.data = p + 1;
        acf->args.len = value[1].data + value[1].len - acf->args.data;
        acf->request.len = p - value[1].data;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_goosebit_access_ca(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                        *value;
    ngx_http_goosebit_access_conf_t  *acf;

    acf = conf;

    if (acf->ca.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs a file of certificates";
    }

    acf->ca = value[1];

    acf->ssl = ngx_http_goosebit_access_ssl(cf, &acf->ca);

    return acf->ssl ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_goosebit_access_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_int_t                         n;
    ngx_str_t                        *value;
    ngx_http_goosebit_access_conf_t  *acf;

    acf = conf;

    if (acf->registration != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        acf->registration = NGX_HTTP_GOOSEBIT_ACCESS_ON;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {
        acf->registration = NGX_HTTP_GOOSEBIT_ACCESS_OFF;
        return NGX_CONF_OK;
    }

    n = NGX_ERROR;

    if (value[1].len > sizeof("rate=/s") - 1
        && ngx_strncmp(value[1].data, "rate=", 5) == 0
        && ngx_strncmp(value[1].data + value[1].len - 2, "/s", 2) == 0)
    {
        n = ngx_atoi(value[1].data + 5, value[1].len - 7);
    }

    if (n < 1 || n > 1000000) {
        return "takes \"on\", \"off\", or \"rate=N/s\" with N from 1 to "
               "1000000";
    }

    acf->registration = NGX_HTTP_GOOSEBIT_ACCESS_RATE;
    acf->rate = n;

    if (ngx_http_goosebit_access_zone_bucket(cf, acf) != NGX_OK) {
        return "is there too often with a rate";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_goosebit_access_not_zero(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *time = data;

    return *time ? NGX_CONF_OK : "must not be 0";
}


/* after ngx_http_goosebit_module's, which has read goosebit.yaml */

static ngx_int_t
ngx_http_goosebit_access_init(ngx_conf_t *cf)
{
    ngx_http_goosebit_main_conf_t         *mcf;
    ngx_http_goosebit_access_main_conf_t  *amcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_goosebit_module);
    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_goosebit_access_module);

    if (mcf->config == NULL) {
        return NGX_OK;
    }

    if (ngx_http_goosebit_access_zone(cf, amcf) != NGX_OK
        || ngx_http_goosebit_access_remote(cf, amcf, mcf->config) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
