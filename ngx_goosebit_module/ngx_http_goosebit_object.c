/*
 * object: directives and configuration of the object store.
 */

#include "ngx_http_goosebit_config.h"
#include "ngx_http_goosebit_object.h"


#define NGX_HTTP_GOOSEBIT_OBJECT_TTL  3600


typedef struct {
    ngx_http_goosebit_object_conf_t  *conf;
    ngx_http_goosebit_loc_conf_t     *ddi;
} ngx_http_goosebit_object_location_t;


static void *ngx_http_goosebit_object_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_goosebit_object_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_goosebit_object_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_goosebit_object_store(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_goosebit_object_ttl(ngx_conf_t *cf, void *post,
    void *data);
static ngx_int_t ngx_http_goosebit_object_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_goosebit_object_place(ngx_conf_t *cf,
    ngx_http_goosebit_object_main_conf_t *omcf, gb_config_t *config);
static ngx_int_t ngx_http_goosebit_object_check(ngx_conf_t *cf,
    ngx_http_goosebit_object_main_conf_t *omcf, gb_config_t *config);


static ngx_conf_enum_t  ngx_http_goosebit_object_deliveries[] = {
    { ngx_string("stream"), NGX_HTTP_GOOSEBIT_OBJECT_STREAM },
    { ngx_string("redirect"), NGX_HTTP_GOOSEBIT_OBJECT_REDIRECT },
    { ngx_null_string, 0 }
};


static ngx_conf_post_t  ngx_http_goosebit_object_ttl_post = {
    ngx_http_goosebit_object_ttl
};


static ngx_command_t  ngx_http_goosebit_object_commands[] = {

    { ngx_string("goosebit_object_store"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_goosebit_object_store,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit_artifact_delivery"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_goosebit_object_conf_t, delivery),
      ngx_http_goosebit_object_deliveries },

    { ngx_string("goosebit_presign_ttl"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_goosebit_object_conf_t, ttl),
      &ngx_http_goosebit_object_ttl_post },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_goosebit_object_module_ctx = {
    ngx_http_goosebit_object_add_variables,    /* preconfiguration */
    ngx_http_goosebit_object_init,             /* postconfiguration */

    ngx_http_goosebit_object_create_main_conf, /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_goosebit_object_create_loc_conf,  /* create location
                                                  configuration */
    ngx_http_goosebit_object_merge_loc_conf    /* merge location
                                                  configuration */
};


ngx_module_t  ngx_http_goosebit_object_module = {
    NGX_MODULE_V1,
    &ngx_http_goosebit_object_module_ctx,      /* module context */
    ngx_http_goosebit_object_commands,         /* module directives */
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


ngx_http_goosebit_object_delivery_e
ngx_http_goosebit_object_delivery(ngx_http_request_t *r)
{
    ngx_http_goosebit_object_conf_t       *ocf;
    ngx_http_goosebit_object_main_conf_t  *omcf;

    omcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_object_module);

    if (!omcf->used) {
        return NGX_HTTP_GOOSEBIT_OBJECT_NONE;
    }

    ocf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_object_module);

    return ocf->delivery;
}


static void *
ngx_http_goosebit_object_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_goosebit_object_main_conf_t  *omcf;

    omcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_object_main_conf_t));
    if (omcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&omcf->locations, cf->pool, 4,
                       sizeof(ngx_http_goosebit_object_location_t))
        != NGX_OK)
    {
        return NULL;
    }

    return omcf;
}


static void *
ngx_http_goosebit_object_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_goosebit_object_conf_t  *ocf;

    ocf = ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_object_conf_t));
    if (ocf == NULL) {
        return NULL;
    }

    ocf->delivery = NGX_CONF_UNSET_UINT;
    ocf->ttl = NGX_CONF_UNSET;

    return ocf;
}


/* ngx_http_goosebit_module's is before this one: ddi is known */

static char *
ngx_http_goosebit_object_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_goosebit_loc_conf_t          *lcf;
    ngx_http_goosebit_object_conf_t       *prev, *conf;
    ngx_http_goosebit_object_location_t   *location;
    ngx_http_goosebit_object_main_conf_t  *omcf;

    prev = parent;
    conf = child;

    if (conf->store.data == NULL) {
        conf->store = prev->store;
    }

    ngx_conf_merge_uint_value(conf->delivery, prev->delivery,
                              NGX_HTTP_GOOSEBIT_OBJECT_STREAM);
    ngx_conf_merge_sec_value(conf->ttl, prev->ttl,
                             NGX_HTTP_GOOSEBIT_OBJECT_TTL);

    lcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_goosebit_module);

    if (lcf->ddi) {
        omcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_goosebit_object_module);

        location = ngx_array_push(&omcf->locations);
        if (location == NULL) {
            return NGX_CONF_ERROR;
        }

        location->conf = conf;
        location->ddi = lcf;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_goosebit_object_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                        *value;
    ngx_http_goosebit_object_conf_t  *ocf;

    ocf = conf;

    if (ocf->store.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if ((value[1].data[0] != '/' && value[1].data[0] != '@')
        || ngx_strchr(value[1].data, '?'))
    {
        return "needs the URI or the @name of a location of this server";
    }

    ocf->store = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_goosebit_object_ttl(ngx_conf_t *cf, void *post, void *data)
{
    time_t  *ttl = data;

    if (*ttl < 1 || *ttl > GB_S3_EXPIRES_MAX) {
        return "must be from 1s to 7d";
    }

    return NGX_CONF_OK;
}


/* after ngx_http_goosebit_module's, which has read goosebit.yaml */

static ngx_int_t
ngx_http_goosebit_object_init(ngx_conf_t *cf)
{
    gb_config_t                           *config;
    ngx_http_goosebit_main_conf_t         *mcf;
    ngx_http_goosebit_object_main_conf_t  *omcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_goosebit_module);
    omcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_goosebit_object_module);
    config = mcf->config;

    if (config == NULL) {
        return NGX_OK;
    }

    omcf->used = config->storage.backend == GB_CONFIG_S3;

    if (omcf->used
        && ngx_http_goosebit_object_place(cf, omcf, config) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_goosebit_object_filter_init();

    return ngx_http_goosebit_object_check(cf, omcf, config);
}


static ngx_int_t
ngx_http_goosebit_object_place(ngx_conf_t *cf,
    ngx_http_goosebit_object_main_conf_t *omcf, gb_config_t *config)
{
    gb_error_t      error;
    const char     *origin;
    gb_s3_place_t   place;

    gb_config_s3(config, &place);

    if (gb_s3_init(&omcf->s3, &place, &error) == GB_OK) {
        return NGX_OK;
    }

    /* where the key stands that is wrong, or the one that needs it */

    origin = ngx_http_goosebit_config_origin(cf, config, error.message);

    if (origin == NULL) {
        origin = ngx_http_goosebit_config_origin(cf, config, "storage.backend");
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s: %s, for storage.backend s3",
                  origin ? origin : "goosebit.yaml", error.message);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_goosebit_object_check(ngx_conf_t *cf,
    ngx_http_goosebit_object_main_conf_t *omcf, gb_config_t *config)
{
    ngx_uint_t                            i, idle;
    const char                           *origin;
    ngx_http_goosebit_loc_conf_t         *lcf;
    ngx_http_goosebit_object_conf_t      *ocf;
    ngx_http_goosebit_object_location_t  *location;

    location = omcf->locations.elts;
    idle = 0;

    for (i = 0; i < omcf->locations.nelts; i++) {
        ocf = location[i].conf;
        lcf = location[i].ddi;

        if (!omcf->used) {
            idle |= ocf->store.data != NULL;
            continue;
        }

        if (ocf->store.data
            || ocf->delivery == NGX_HTTP_GOOSEBIT_OBJECT_REDIRECT)
        {
            continue;
        }

        origin = ngx_http_goosebit_config_origin(cf, config, "storage.backend");

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"goosebit\" in %s:%ui needs \"goosebit_object_store\", "
                      "as storage.backend is s3 (%s)",
                      lcf->file, lcf->line, origin ? origin : "default");

        return NGX_ERROR;
    }

    if (idle) {
        origin = ngx_http_goosebit_config_origin(cf, config, "storage.backend");

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"goosebit_object_store\" is without effect, as "
                      "storage.backend is filesystem (%s)",
                      origin ? origin : "default");
    }

    return NGX_OK;
}
