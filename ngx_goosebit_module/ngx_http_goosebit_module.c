/*
 * Directives, configuration, process start and end.
 */

#include "ngx_http_goosebit_artifact.h"
#include "ngx_http_goosebit_config.h"
#include "ngx_http_goosebit_ddi.h"
#include "ngx_http_goosebit_metrics.h"
#include "ngx_http_goosebit_pg.h"
#include "ngx_http_goosebit_quota.h"
#include "ngx_http_goosebit_reply.h"
#include "ngx_http_goosebit_sync.h"
#include "ngx_http_goosebit_variable.h"


#define NGX_HTTP_GOOSEBIT_CONNECTIONS  2
#define NGX_HTTP_GOOSEBIT_QUEUE        4096
#define NGX_HTTP_GOOSEBIT_TIMEOUT      5000
#define NGX_HTTP_GOOSEBIT_GATHER       1


static void *ngx_http_goosebit_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_goosebit_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_goosebit_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_goosebit_config(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_goosebit_database(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_goosebit_database_option(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, ngx_str_t *option);
static char *ngx_http_goosebit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

static ngx_int_t ngx_http_goosebit_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_goosebit_set_database(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf);
static ngx_int_t ngx_http_goosebit_init_process(ngx_cycle_t *cycle);
static void ngx_http_goosebit_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_goosebit_commands[] = {

    { ngx_string("goosebit_config"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_goosebit_config,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit_database"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_goosebit_database,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit_quota"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_goosebit_quota,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit_open_file_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_goosebit_artifact_open_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goosebit"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_goosebit,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_goosebit_ddi_handler },

    { ngx_string("goosebit_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_goosebit,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_goosebit_status_handler },

    { ngx_string("goosebit_tenant"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_goosebit_loc_conf_t, tenant),
      NULL },

    { ngx_string("goosebit_base_url"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_goosebit_loc_conf_t, base_url),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_goosebit_module_ctx = {
    ngx_http_goosebit_add_variables,       /* preconfiguration */
    ngx_http_goosebit_init,                /* postconfiguration */

    ngx_http_goosebit_create_main_conf,    /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_goosebit_create_loc_conf,     /* create location configuration */
    ngx_http_goosebit_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_goosebit_module = {
    NGX_MODULE_V1,
    &ngx_http_goosebit_module_ctx,         /* module context */
    ngx_http_goosebit_commands,            /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_goosebit_init_process,        /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_goosebit_exit_process,        /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static char *
ngx_http_goosebit_config(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                      *value;
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = conf;

    if (mcf->config_file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    mcf->config_file = value[1];

    if (mcf->config_file.len == 0) {
        return "needs a file's name";
    }

    if (ngx_conf_full_name(cf->cycle, &mcf->config_file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_goosebit_database(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                           *rv;
    ngx_str_t                      *value;
    ngx_uint_t                      i;
    ngx_http_goosebit_database_t   *db;
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = conf;
    db = &mcf->database;

    if (mcf->database_set) {
        return "is duplicate";
    }

    mcf->database_set = 1;

    value = cf->args->elts;

    db->conninfo = value[1];
    db->origin = ngx_http_goosebit_config_here(cf);
    if (db->origin == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_goosebit_database_option(cf, db, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (db->gather > db->timeout) {
        return "has a gather that is longer than timeout: who waits alone "
               "would never be sent";
    }

    return ngx_http_goosebit_config_once(cf, 2);
}


static char *
ngx_http_goosebit_database_option(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db, ngx_str_t *option)
{
    ngx_int_t    n;
    ngx_str_t    name, value;
    u_char      *p;

    p = ngx_strlchr(option->data, option->data + option->len, '=');
    if (p == NULL) {
        goto invalid;
    }

    name.data = option->data;
    name.len = p - name.data;
    value.data = p + 1;
    value.len = option->data + option->len - value.data;

    if (ngx_strncmp(name.data, "prepare=", 8) == 0) {

        if (value.len == 2 && ngx_strncmp(value.data, "on", 2) == 0) {
            db->prepare = 1;
            return NGX_CONF_OK;
        }

        if (value.len == 3 && ngx_strncmp(value.data, "off", 3) == 0) {
            db->prepare = 0;
            return NGX_CONF_OK;
        }

        goto invalid;
    }

    if (ngx_strncmp(name.data, "connections=", 12) == 0) {
        n = ngx_atoi(value.data, value.len);

        if (n < 1 || n > 64) {
            goto invalid;
        }

        db->connections = n;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(name.data, "queue=", 6) == 0) {
        n = ngx_atoi(value.data, value.len);

        if (n < 1 || n > 1000000) {
            goto invalid;
        }

        db->queue = n;
        return NGX_CONF_OK;
    }

    n = ngx_parse_time(&value, 0);

    if (n != NGX_ERROR && ngx_strncmp(name.data, "gather=", 7) == 0) {
        db->gather = n;
        return NGX_CONF_OK;
    }

    if (n == NGX_ERROR || n == 0) {
        goto invalid;
    }

    if (ngx_strncmp(name.data, "timeout=", 8) == 0) {
        db->timeout = n;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(name.data, "connect_timeout=", 16) == 0) {
        db->connect_timeout = n;
        return NGX_CONF_OK;
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       option);

    return NGX_CONF_ERROR;
}


/* goosebit and goosebit_status: cmd->post is the handler */

static char *
ngx_http_goosebit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_goosebit_loc_conf_t   *lcf;
    ngx_http_goosebit_main_conf_t  *mcf;

    lcf = conf;

    if (lcf->file) {
        return "is duplicate: a location has one of goosebit and "
               "goosebit_status";
    }

    lcf->line = cf->conf_file->line;
    lcf->file = cf->conf_file->file.name.data;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = (ngx_http_handler_pt) cmd->post;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_goosebit_module);
    mcf->used = 1;

    return NGX_CONF_OK;
}


static void *
ngx_http_goosebit_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    mcf->database.connections = NGX_HTTP_GOOSEBIT_CONNECTIONS;
    mcf->database.queue = NGX_HTTP_GOOSEBIT_QUEUE;
    mcf->database.connect_timeout = NGX_HTTP_GOOSEBIT_TIMEOUT;
    mcf->database.timeout = NGX_HTTP_GOOSEBIT_TIMEOUT;
    mcf->database.gather = NGX_HTTP_GOOSEBIT_GATHER;
    mcf->database.prepare = 1;

    return mcf;
}


static void *
ngx_http_goosebit_create_loc_conf(ngx_conf_t *cf)
{
    /* zeroed is unset for all of it */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_loc_conf_t));
}


static char *
ngx_http_goosebit_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_core_loc_conf_t      *clcf;
    ngx_http_goosebit_loc_conf_t  *prev, *conf;

    prev = parent;
    conf = child;

    if (conf->tenant == NULL) {
        conf->tenant = prev->tenant;
    }

    if (conf->base_url == NULL) {
        conf->base_url = prev->base_url;
    }

    /*
     * The size of a body is checked by the handler: NGINX would do so before
     * it is known that the path and the credentials are right.
     */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    conf->max_body = clcf->client_max_body_size;

    /* "if" and "limit_except" are locations without a handler of their own */

    if (clcf->noname && clcf->handler == NULL && prev->ddi) {
        clcf->handler = ngx_http_goosebit_ddi_handler;
        conf->file = prev->file;
        conf->line = prev->line;
    }

    if (clcf->handler == ngx_http_goosebit_ddi_handler) {
        clcf->client_max_body_size = 0;
        conf->ddi = 1;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_goosebit_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt            *h;
    ngx_http_core_main_conf_t      *cmcf;
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_goosebit_module);

    if (!mcf->used && mcf->config_file.len == 0 && !mcf->database_set) {
        return NGX_OK;
    }

    if (ngx_http_goosebit_config_load(cf, mcf) != NGX_OK
        || ngx_http_goosebit_set_database(cf, mcf) != NGX_OK
        || ngx_http_goosebit_metrics_zone(cf, mcf) != NGX_OK
        || ngx_http_goosebit_artifact_open_init(cf, mcf) != NGX_OK
        || ngx_http_goosebit_reply_init(cf, ngx_http_goosebit_ddi_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_goosebit_metrics_log_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_set_database(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf)
{
    ngx_http_core_loc_conf_t      *clcf;
    ngx_http_goosebit_database_t  *db;

    db = &mcf->database;

    if (!mcf->database_set) {

        if (mcf->config->db_uri == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "no database: neither \"goosebit_database\" nor "
                          "db_uri in %s is set",
                          mcf->config->file ? mcf->config->file
                                            : "goosebit.yaml");
            return NGX_ERROR;
        }

        db->conninfo.data = (u_char *) mcf->config->conninfo;
        db->conninfo.len = ngx_strlen(mcf->config->conninfo);

        db->origin = ngx_http_goosebit_config_origin(cf, mcf->config,
                                                     "db_uri");
        if (db->origin == NULL) {
            return NGX_ERROR;
        }
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->resolver && clcf->resolver->connections.nelts) {
        db->resolver = clcf->resolver;
        db->resolver_timeout = clcf->resolver_timeout;
    }

    return ngx_http_goosebit_pg_host_conf(cf, db);
}


static ngx_int_t
ngx_http_goosebit_init_process(ngx_cycle_t *cycle)
{
    ngx_http_goosebit_main_conf_t  *mcf;

    /* not in the processes that look after caches */

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_goosebit_module);

    if (mcf == NULL || mcf->config == NULL) {
        return NGX_OK;
    }

    mcf->metrics = ngx_http_goosebit_metrics_init(cycle, mcf);

    mcf->pg = ngx_http_goosebit_pg_init(cycle, mcf);
    if (mcf->pg == NULL) {
        return NGX_ERROR;
    }

    mcf->sync = ngx_http_goosebit_sync_init(cycle, mcf);
    if (mcf->sync == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_goosebit_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_goosebit_module);
    if (mcf == NULL) {
        return;
    }

    if (mcf->sync) {
        ngx_http_goosebit_sync_exit(mcf->sync);
        mcf->sync = NULL;
    }

    if (mcf->pg) {
        ngx_http_goosebit_pg_exit(mcf->pg);
        mcf->pg = NULL;
    }

    if (mcf->metrics) {
        ngx_http_goosebit_metrics_exit(mcf->metrics);
        mcf->metrics = NULL;
    }
}
