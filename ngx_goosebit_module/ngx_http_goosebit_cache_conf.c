/*
 * cache: directives and the zone's birth.  A module of its own in the same
 * file.
 */

#include "ngx_http_goosebit_cache.h"
#include "ngx_http_goosebit_config.h"

#include <openssl/rand.h>


#define NGX_HTTP_GOOSEBIT_CACHE_SYNC   1000
#define NGX_HTTP_GOOSEBIT_CACHE_STALE  60000
#define NGX_HTTP_GOOSEBIT_CACHE_ERROR  3600000

/* the table's least, and what the slab allocator takes of it */
#define NGX_HTTP_GOOSEBIT_CACHE_SIZE   (512 * 1024)


static void *ngx_http_goosebit_cache_create_conf(ngx_conf_t *cf);
static char *ngx_http_goosebit_cache_init_conf(ngx_conf_t *cf, void *conf);
static char *ngx_http_goosebit_cache_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_goosebit_cache_time(ngx_conf_t *cf, void *post,
    void *data);
static ngx_int_t ngx_http_goosebit_cache_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_goosebit_cache_settings(ngx_conf_t *cf,
    ngx_http_goosebit_cache_t *cache, ngx_http_goosebit_main_conf_t *mcf);
static ngx_int_t ngx_http_goosebit_cache_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_goosebit_cache_table(ngx_shm_zone_t *shm_zone,
    ngx_uint_t exists);
static void ngx_http_goosebit_cache_kinds(ngx_http_goosebit_cache_t *cache);


static ngx_conf_post_t  ngx_http_goosebit_cache_time_post = {
    ngx_http_goosebit_cache_time
};


static ngx_command_t  ngx_http_goosebit_cache_commands[] = {

    { ngx_string("goosebit_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_goosebit_cache_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit_sync"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_goosebit_cache_t, sync),
      &ngx_http_goosebit_cache_time_post },

    { ngx_string("goosebit_stale"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_goosebit_cache_t, stale),
      &ngx_http_goosebit_cache_time_post },

    { ngx_string("goosebit_stale_if_error"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_goosebit_cache_t, stale_if_error),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_goosebit_cache_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_goosebit_cache_init,          /* postconfiguration */

    ngx_http_goosebit_cache_create_conf,   /* create main configuration */
    ngx_http_goosebit_cache_init_conf,     /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_goosebit_cache_module = {
    NGX_MODULE_V1,
    &ngx_http_goosebit_cache_module_ctx,   /* module context */
    ngx_http_goosebit_cache_commands,      /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_goosebit_cache_create_conf(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_http_goosebit_cache_t  *cache;

    cache = ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_cache_t));
    if (cache == NULL) {
        return NULL;
    }

    for (i = 0; i < NGX_HTTP_GOOSEBIT_CACHE_FLIGHTS; i++) {
        ngx_queue_init(&cache->flights[i]);
    }

    cache->sync = NGX_CONF_UNSET_MSEC;
    cache->stale = NGX_CONF_UNSET_MSEC;
    cache->stale_if_error = NGX_CONF_UNSET_MSEC;

    return cache;
}


static char *
ngx_http_goosebit_cache_init_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_goosebit_cache_t  *cache = conf;

    ngx_conf_init_msec_value(cache->sync, NGX_HTTP_GOOSEBIT_CACHE_SYNC);
    ngx_conf_init_msec_value(cache->stale, NGX_HTTP_GOOSEBIT_CACHE_STALE);
    ngx_conf_init_msec_value(cache->stale_if_error,
                             NGX_HTTP_GOOSEBIT_CACHE_ERROR);

    if (cache->stale <= cache->sync) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"goosebit_stale\" must be longer than "
                      "\"goosebit_sync\" in %s", cache->origin);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* goosebit_cache zone=NAME:SIZE [huge_pages=on|off] | off */

static char *
ngx_http_goosebit_cache_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_goosebit_cache_t  *cache = conf;

    u_char     *p;
    ssize_t     size;
    ngx_str_t  *value, name, s;

    value = cf->args->elts;

    if (cache->shm_zone || cache->off) {
        return "is duplicate";
    }

    if (ngx_strcmp(value[1].data, "off") == 0 && cf->args->nelts == 2) {
        cache->off = 1;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[1].data, "zone=", 5) != 0) {
        return "takes \"zone=NAME:SIZE\" or \"off\"";
    }

    if (cf->args->nelts == 3) {
        if (ngx_strcmp(value[2].data, "huge_pages=on") == 0) {
            cache->huge_pages = 1;

        } else if (ngx_strcmp(value[2].data, "huge_pages=off") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    name.data = value[1].data + 5;

    p = (u_char *) ngx_strchr(name.data, ':');

    if (p == NULL || p == name.data) {
        return "needs a zone's name and size, \"zone=NAME:SIZE\"";
    }

    name.len = p - name.data;

    s.data = p + 1;
    s.len = value[1].data + value[1].len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        return "needs a zone's name and size, \"zone=NAME:SIZE\", with k or m";
    }

    if (size < NGX_HTTP_GOOSEBIT_CACHE_SIZE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small: at least 512k",
                           &name);
        return NGX_CONF_ERROR;
    }

    cache->shm_zone = ngx_shared_memory_add(cf, &name, size,
                                            &ngx_http_goosebit_cache_module);
    if (cache->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    cache->shm_zone->init = ngx_http_goosebit_cache_init_zone;
    cache->shm_zone->data = cache;

    return NGX_CONF_OK;
}


/* goosebit_sync and goosebit_stale: which of them was the last is noted */

static char *
ngx_http_goosebit_cache_time(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *time = data;

    ngx_http_goosebit_cache_t  *cache;

    cache = ngx_http_conf_get_module_main_conf(cf,
                                               ngx_http_goosebit_cache_module);

    cache->origin = ngx_http_goosebit_config_here(cf);
    if (cache->origin == NULL) {
        return NGX_CONF_ERROR;
    }

    return *time ? NGX_CONF_OK : "must not be 0";
}


/* after ngx_http_goosebit_module's, which has read goosebit.yaml */

static ngx_int_t
ngx_http_goosebit_cache_init(ngx_conf_t *cf)
{
    ngx_http_goosebit_cache_t      *cache;
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_goosebit_module);
    cache = ngx_http_conf_get_module_main_conf(cf,
                                               ngx_http_goosebit_cache_module);

    if (mcf->config == NULL || cache->shm_zone == NULL) {
        return NGX_OK;
    }

    mcf->cache = cache;
    cache->address = mcf->config->track_device_ip ? 1 : 0;

    return ngx_http_goosebit_cache_settings(cf, cache, mcf);
}


/*
 * What enters an answer beside the database's contents, and which database it
 * is.  Old workers may go on for a while after a reload and store what they
 * were told under the old settings: nobody finds it under the new ones.
 */

static ngx_int_t
ngx_http_goosebit_cache_settings(ngx_conf_t *cf,
    ngx_http_goosebit_cache_t *cache, ngx_http_goosebit_main_conf_t *mcf)
{
    size_t  len;

    len = mcf->auth.len + mcf->database.conninfo.len + 2 * NGX_INT_T_LEN + 3;

    cache->settings.data = ngx_pnalloc(cf->pool, len);
    if (cache->settings.data == NULL) {
        return NGX_ERROR;
    }

    cache->settings.len = ngx_sprintf(cache->settings.data, "%V,%i,%i,%V",
                                      &mcf->auth,
                                      (ngx_int_t) mcf->config->poll_time,
                                      (ngx_int_t)
                                          mcf->config->max_concurrent_updates,
                                      &mcf->database.conninfo)
                          - cache->settings.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_cache_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_goosebit_cache_t  *cache;

    cache = shm_zone->data;

    cache->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    /* data: a reload, and the table goes on */

    if (ngx_http_goosebit_cache_table(shm_zone,
                                      data || shm_zone->shm.exists)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_goosebit_cache_kinds(cache);

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_cache_table(ngx_shm_zone_t *shm_zone, ngx_uint_t exists)
{
    void                       *block;
    size_t                      size;
    u_char                      secret[GB_SIPHASH_KEY];
    ngx_http_goosebit_cache_t  *cache;

    cache = shm_zone->data;

    if (exists) {
        cache->table = gb_cache_open(cache->shpool->data);

        if (cache->table == NULL) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "zone \"%V\" was laid out by another build of the "
                          "module, and NGINX has to be restarted",
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    /* all that is free, in one piece; new memory is zeroed */

    size = cache->shpool->pfree * ngx_pagesize;

    block = ngx_slab_alloc(cache->shpool, size);

    if (block == NULL || RAND_bytes(secret, sizeof(secret)) != 1) {
        return NGX_ERROR;
    }

    /* `nginx -t` has a zone of its own, beside that of the NGINX that runs */

    if (cache->huge_pages && !ngx_test_config
        && ngx_http_goosebit_cache_huge(shm_zone, block, size) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cache->table = gb_cache_format(block, size, secret);

    if (cache->table == NULL) {
        return NGX_ERROR;
    }

    cache->shpool->data = cache->table;

    return NGX_OK;
}


/* a key of its own for each kind of credential */

static void
ngx_http_goosebit_cache_kinds(ngx_http_goosebit_cache_t *cache)
{
    uint64_t    words[2], text[3];
    ngx_uint_t  kind;

    gb_siphash128(gb_cache_secret(cache->table), cache->settings.data,
                  cache->settings.len, text);

    for (kind = 0; kind < NGX_HTTP_GOOSEBIT_CACHE_KINDS; kind++) {
        text[2] = kind;

        gb_siphash128(gb_cache_secret(cache->table), text, sizeof(text),
                      words);
        ngx_memcpy(cache->kinds[kind], words, GB_SIPHASH_KEY);
    }
}
