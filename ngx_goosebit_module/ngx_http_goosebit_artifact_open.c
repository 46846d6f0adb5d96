/*
 * artifact_open: an artifact's path -> its file, open.  It stays open between
 * the ranges of a download, which spares each a fifth of its CPU, in NGINX's
 * own open_file_cache: the location's, or else one of ours, that looks each
 * second whether the file is still the same.
 */

#include "ngx_http_goosebit_artifact.h"
#include "ngx_http_goosebit_config.h"


#define NGX_HTTP_GOOSEBIT_OPEN_MAX       64     /* files, of each worker */
#define NGX_HTTP_GOOSEBIT_OPEN_INACTIVE  10     /* seconds */
#define NGX_HTTP_GOOSEBIT_OPEN_VALID     1      /* seconds */
#define NGX_HTTP_GOOSEBIT_OPEN_TICK      1000   /* milliseconds */


static ngx_http_goosebit_open_files_t *ngx_http_goosebit_artifact_open_files(
    ngx_conf_t *cf, ngx_uint_t max, time_t inactive);
static void ngx_http_goosebit_artifact_open_idle(ngx_event_t *ev);


char *
ngx_http_goosebit_artifact_open_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_goosebit_main_conf_t  *mcf = conf;

    time_t      inactive;
    ngx_int_t   max;
    ngx_str_t  *value, s;
    ngx_uint_t  i;

    if (mcf->open_files_set) {
        return "is duplicate";
    }

    mcf->open_files_set = 1;

    value = cf->args->elts;
    max = 0;
    inactive = NGX_HTTP_GOOSEBIT_OPEN_INACTIVE;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "max=", 4) == 0) {
            max = ngx_atoi(value[i].data + 4, value[i].len - 4);

            if (max > 0) {
                continue;
            }
        }

        if (ngx_strncmp(value[i].data, "inactive=", 9) == 0) {
            s.len = value[i].len - 9;
            s.data = value[i].data + 9;
            inactive = ngx_parse_time(&s, 1);

            if (inactive > 0) {
                continue;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\": expected off, or max=N "
                           "and inactive=TIME", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_goosebit_config_once(cf, 1) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (max == 0) {
        return "must have the \"max\" parameter";
    }

    mcf->open_files = ngx_http_goosebit_artifact_open_files(cf, max, inactive);

    return mcf->open_files == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}


ngx_int_t
ngx_http_goosebit_artifact_open_init(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf)
{
    if (mcf->open_files_set) {
        return NGX_OK;
    }

    mcf->open_files = ngx_http_goosebit_artifact_open_files(cf,
                                             NGX_HTTP_GOOSEBIT_OPEN_MAX,
                                             NGX_HTTP_GOOSEBIT_OPEN_INACTIVE);

    return mcf->open_files == NULL ? NGX_ERROR : NGX_OK;
}


static ngx_http_goosebit_open_files_t *
ngx_http_goosebit_artifact_open_files(ngx_conf_t *cf, ngx_uint_t max,
    time_t inactive)
{
    ngx_http_goosebit_open_files_t  *files;

    files = ngx_pcalloc(cf->pool, sizeof(ngx_http_goosebit_open_files_t));
    if (files == NULL) {
        return NULL;
    }

    files->cache = ngx_open_file_cache_init(cf->pool, max, inactive);
    if (files->cache == NULL) {
        return NULL;
    }

    files->idle.handler = ngx_http_goosebit_artifact_open_idle;
    files->idle.data = files;
    files->idle.log = &cf->cycle->new_log;
    files->idle.cancelable = 1;

    return files;
}


ngx_int_t
ngx_http_goosebit_artifact_open(ngx_http_request_t *r, ngx_str_t *path,
    ngx_open_file_info_t *of)
{
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_goosebit_main_conf_t   *mcf;
    ngx_http_goosebit_open_files_t  *files;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    ngx_memzero(of, sizeof(ngx_open_file_info_t));

    of->read_ahead = clcf->read_ahead;
    of->directio = clcf->directio;

    if (ngx_http_set_disable_symlinks(r, clcf, path, of) != NGX_OK) {
        return NGX_ERROR;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_module);
    files = mcf->open_files;

    if (clcf->open_file_cache || files == NULL) {
        of->valid = clcf->open_file_cache_valid;
        of->min_uses = clcf->open_file_cache_min_uses;
        of->errors = clcf->open_file_cache_errors;
        of->events = clcf->open_file_cache_events;

        return ngx_open_cached_file(clcf->open_file_cache, path, of, r->pool);
    }

    of->valid = NGX_HTTP_GOOSEBIT_OPEN_VALID;
    of->min_uses = 1;

    if (!files->idle.timer_set) {
        ngx_add_timer(&files->idle, NGX_HTTP_GOOSEBIT_OPEN_TICK);
    }

    return ngx_open_cached_file(files->cache, path, of, r->pool);
}


/*
 * NGINX closes one or two inactive files whenever a request is done with one,
 * so a file that was deleted would take its room on the disk for as long as
 * nobody downloads.  To be done with /dev/null has it do so, too.
 */

static void
ngx_http_goosebit_artifact_open_idle(ngx_event_t *ev)
{
    ngx_str_t                        null = ngx_string("/dev/null");
    ngx_pool_t                      *pool;
    ngx_open_file_info_t             of;
    ngx_http_goosebit_open_files_t  *files;

    files = ev->data;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, ev->log);

    if (pool != NULL) {
        ngx_memzero(&of, sizeof(ngx_open_file_info_t));
        of.valid = NGX_HTTP_GOOSEBIT_OPEN_VALID;
        of.min_uses = 1;
        of.directio = NGX_OPEN_FILE_DIRECTIO_OFF;

        (void) ngx_open_cached_file(files->cache, &null, &of, pool);
        ngx_destroy_pool(pool);
    }

    /* /dev/null itself stays */

    if (files->cache->current > 1 || pool == NULL) {
        ngx_add_timer(ev, NGX_HTTP_GOOSEBIT_OPEN_TICK);
    }
}
