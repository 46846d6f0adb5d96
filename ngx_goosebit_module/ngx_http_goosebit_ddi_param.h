/*
 * ddi_param: what a device asks or says -> the parameters of a call, after the
 * five that every call starts with.
 */

#ifndef NGX_HTTP_GOOSEBIT_DDI_PARAM_H
#define NGX_HTTP_GOOSEBIT_DDI_PARAM_H


#include "ngx_http_goosebit_ddi_row.h"


/*
 * Parses body and appends its parameters to q.  200; or the HTTP status to
 * refuse it with: 400, 429 (more than is allowed), 503 (memory).
 */
typedef ngx_uint_t (*ngx_http_goosebit_ddi_param_pt)(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *body);


/* of calls without a body */
void ngx_http_goosebit_ddi_param(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_http_goosebit_call_e call);

ngx_uint_t ngx_http_goosebit_ddi_param_config_data(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *body);
ngx_uint_t ngx_http_goosebit_ddi_param_deployment(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *body);
ngx_uint_t ngx_http_goosebit_ddi_param_installed(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *body);
ngx_uint_t ngx_http_goosebit_ddi_param_confirmation(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *body);
ngx_uint_t ngx_http_goosebit_ddi_param_auto_confirm(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *body);
ngx_uint_t ngx_http_goosebit_ddi_param_cancel(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q, ngx_str_t *body);


#endif /* NGX_HTTP_GOOSEBIT_DDI_PARAM_H */
