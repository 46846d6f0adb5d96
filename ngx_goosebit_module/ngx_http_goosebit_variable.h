/*
 * Variables: $goosebit_tenant, $goosebit_device, …
 */

#ifndef NGX_HTTP_GOOSEBIT_VARIABLE_H
#define NGX_HTTP_GOOSEBIT_VARIABLE_H


#include "ngx_http_goosebit.h"


/* preconfiguration: adds all of them */
ngx_int_t ngx_http_goosebit_add_variables(ngx_conf_t *cf);


#endif /* NGX_HTTP_GOOSEBIT_VARIABLE_H */
