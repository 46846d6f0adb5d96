/*
 * config: goosebit.yaml and GOOSEBIT_* variables, as the master reads them at
 * (re)load.
 */

#include "ngx_http_goosebit_config.h"


typedef struct {
    const char    *text;
    ngx_pool_t    *pool;
    char          *origin;
} ngx_http_goosebit_config_origin_t;


static ngx_int_t ngx_http_goosebit_config_env(ngx_conf_t *cf);
static ngx_int_t ngx_http_goosebit_config_file(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf);
static void ngx_http_goosebit_config_cleanup(void *data);
static ngx_int_t ngx_http_goosebit_config_values(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf);
static int ngx_http_goosebit_config_origin_of(void *data,
    const gb_config_entry_t *entry);


ngx_int_t
ngx_http_goosebit_config_load(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf)
{
    if (ngx_http_goosebit_config_env(cf) != NGX_OK
        || ngx_http_goosebit_config_file(cf, mcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_goosebit_config_values(cf, mcf);
}


/*
 * As an "env" line each: a new binary (USR2, as in an upgrade of the package)
 * gets no other variables, and would go on without the settings of these.
 */

static ngx_int_t
ngx_http_goosebit_config_env(ngx_conf_t *cf)
{
    char             **e;
    ngx_str_t         *name;
    ngx_core_conf_t   *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    for (e = environ; *e; e++) {

        if (ngx_strncasecmp((u_char *) *e, (u_char *) "GOOSEBIT_", 9) != 0) {
            continue;
        }

        name = ngx_array_push(&ccf->env);
        if (name == NULL) {
            return NGX_ERROR;
        }

        name->len = strcspn(*e, "=");
        name->data = ngx_pcalloc(cf->pool, name->len + 1);
        if (name->data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(name->data, *e, name->len);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_config_file(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf)
{
    size_t               i;
    gb_error_t           error;
    gb_config_t         *config;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    config = gb_config_load((char *) mcf->config_file.data, 0, &error);

    if (config == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s", error.message);
        return NGX_ERROR;
    }

    cln->handler = ngx_http_goosebit_config_cleanup;
    cln->data = config;

    mcf->config = config;

    for (i = 0; i < config->nnotes; i++) {
        if (config->notes[i].kind == GB_CONFIG_NOTE_WARNING) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0, "%s",
                          config->notes[i].text);
        }
    }

    return NGX_OK;
}


static void
ngx_http_goosebit_config_cleanup(void *data)
{
    gb_config_free(data);
}


static ngx_int_t
ngx_http_goosebit_config_values(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf)
{
    size_t        i;
    ngx_str_t    *tenant;
    gb_config_t  *config;

    config = mcf->config;

    if (ngx_array_init(&mcf->tenants, cf->pool, config->ntenant,
                       sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < config->ntenant; i++) {
        tenant = ngx_array_push(&mcf->tenants);
        if (tenant == NULL) {
            return NGX_ERROR;
        }

        tenant->data = (u_char *) config->tenant[i];
        tenant->len = ngx_strlen(config->tenant[i]);
    }

    mcf->auth.data = (u_char *) gb_config_auth(config);
    mcf->auth.len = ngx_strlen(mcf->auth.data);

    mcf->artifacts_dir.data = (u_char *) config->artifacts_dir;
    mcf->artifacts_dir.len = ngx_strlen(config->artifacts_dir);

    while (mcf->artifacts_dir.len > 1
           && mcf->artifacts_dir.data[mcf->artifacts_dir.len - 1] == '/')
    {
        mcf->artifacts_dir.len--;
    }

    return NGX_OK;
}


char *
ngx_http_goosebit_config_once(ngx_conf_t *cf, ngx_uint_t first)
{
    size_t       len;
    ngx_str_t   *value;
    ngx_uint_t   i, k;

    value = cf->args->elts;

    for (i = first; i < cf->args->nelts; i++) {
        len = strcspn((char *) value[i].data, "=") + 1;

        for (k = first; k < i; k++) {
            if (len <= value[i].len
                && ngx_strncmp(value[k].data, value[i].data, len) == 0)
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate parameter \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_goosebit_config_here(ngx_conf_t *cf)
{
    size_t   len;
    u_char  *origin;

    len = cf->conf_file->file.name.len + 1 + NGX_INT_T_LEN + 1;

    origin = ngx_pnalloc(cf->pool, len);
    if (origin == NULL) {
        return NULL;
    }

    ngx_sprintf(origin, "%V:%ui%Z", &cf->conf_file->file.name,
                cf->conf_file->line);

    return (char *) origin;
}


char *
ngx_http_goosebit_config_origin(ngx_conf_t *cf, gb_config_t *config,
    const char *text)
{
    ngx_http_goosebit_config_origin_t  search;

    search.text = text;
    search.pool = cf->pool;
    search.origin = NULL;

    (void) gb_config_each(config, 0, ngx_http_goosebit_config_origin_of,
                          &search);

    return search.origin;
}


static int
ngx_http_goosebit_config_origin_of(void *data, const gb_config_entry_t *entry)
{
    ngx_http_goosebit_config_origin_t  *search = data;

    size_t  len;

    if (ngx_strncmp(search->text, entry->key, ngx_strlen(entry->key)) != 0) {
        return 0;
    }

    if (entry->from != GB_CONFIG_DEFAULT) {
        len = ngx_strlen(entry->origin) + 1;

        search->origin = ngx_pnalloc(search->pool, len);

        if (search->origin) {
            ngx_memcpy(search->origin, entry->origin, len);
        }
    }

    return 1;
}
