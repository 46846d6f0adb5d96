/*
 * config: goosebit.yaml and GOOSEBIT_* variables, as the master reads them at
 * (re)load.
 */

#ifndef NGX_HTTP_GOOSEBIT_CONFIG_H
#define NGX_HTTP_GOOSEBIT_CONFIG_H


#include "ngx_http_goosebit.h"


/* Sets config and what comes from it; logs what is wrong, with its line. */
ngx_int_t ngx_http_goosebit_config_load(ngx_conf_t *cf,
    ngx_http_goosebit_main_conf_t *mcf);

/*
 * NGX_CONF_OK if no NAME=VALUE of the directive's arguments, the first of which
 * is number FIRST, comes twice; what does is logged.
 */
char *ngx_http_goosebit_config_once(ngx_conf_t *cf, ngx_uint_t first);

/* "FILE:LINE" of the directive that is read, for messages */
char *ngx_http_goosebit_config_here(ngx_conf_t *cf);

/*
 * Where the setting that text starts with comes from, for messages: "FILE:7"
 * or the variable's name; NULL: a default, or out of memory.
 */
char *ngx_http_goosebit_config_origin(ngx_conf_t *cf, gb_config_t *config,
    const char *text);


#endif /* NGX_HTTP_GOOSEBIT_CONFIG_H */
