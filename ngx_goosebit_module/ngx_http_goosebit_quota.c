/*
 * quota: how much a device may send.
 */

#include "ngx_http_goosebit_quota.h"


/* bodies are bounded anyway; this keeps a slip of the pen from mattering */
#define NGX_HTTP_GOOSEBIT_QUOTA_MAX  100000


char *
ngx_http_goosebit_quota(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_goosebit_main_conf_t  *mcf = conf;

    size_t                      len;
    ngx_int_t                   n;
    ngx_str_t                  *value;
    ngx_uint_t                  i, k;
    ngx_http_goosebit_quota_t  *quota;

    quota = &mcf->quota;

    struct {
        ngx_str_t   name;
        size_t     *n;
    } quotas[] = {
        { ngx_string("attributes="), &quota->body.attributes },
        { ngx_string("details="), &quota->body.details },
        { ngx_string("statuses="), &quota->statuses }
    };

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        for (k = 0; k < sizeof(quotas) / sizeof(quotas[0]); k++) {
            len = quotas[k].name.len;

            if (value[i].len > len
                && ngx_strncmp(value[i].data, quotas[k].name.data, len) == 0)
            {
                break;
            }
        }

        if (k == sizeof(quotas) / sizeof(quotas[0])) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\": expected "
                               "attributes=N, statuses=N or details=N",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        n = ngx_atoi(value[i].data + len, value[i].len - len);

        if (n == NGX_ERROR || n == 0 || n > NGX_HTTP_GOOSEBIT_QUOTA_MAX) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" must be from 1 to %d", &value[i],
                               NGX_HTTP_GOOSEBIT_QUOTA_MAX);
            return NGX_CONF_ERROR;
        }

        if (*quotas[k].n) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        *quotas[k].n = (size_t) n;
    }

    return NGX_CONF_OK;
}
