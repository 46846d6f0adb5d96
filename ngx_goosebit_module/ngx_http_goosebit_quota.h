/*
 * quota: how much a device may send; the directive goosebit_quota.
 */

#ifndef NGX_HTTP_GOOSEBIT_QUOTA_H
#define NGX_HTTP_GOOSEBIT_QUOTA_H


#include "ngx_http_goosebit.h"


/* sets conf, a ngx_http_goosebit_quota_t; what is not named stays 0 */
char *ngx_http_goosebit_quota(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* NGX_HTTP_GOOSEBIT_QUOTA_H */
