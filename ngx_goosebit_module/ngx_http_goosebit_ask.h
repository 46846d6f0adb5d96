/*
 * ask: one call for one device request: submit -> row -> answer.
 *
 * While a call is under way the request has a reference of its own; what
 * answers gives it back by ngx_http_finalize_request().
 */

#ifndef NGX_HTTP_GOOSEBIT_ASK_H
#define NGX_HTTP_GOOSEBIT_ASK_H


#include "ngx_http_goosebit_ddi_row.h"


/*
 * Submits a call without a body, a poll as a start where that saves a call;
 * NGX_ERROR: out of memory.
 */
ngx_int_t ngx_http_goosebit_ask(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_call_e call);

/*
 * The same not yet submitted, with the parameters that every call starts with;
 * NULL: out of memory.
 */
ngx_http_goosebit_pg_query_t *ngx_http_goosebit_ask_query(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_call_e call);

/* what a request needs that waits for a call, its own or another's */
void ngx_http_goosebit_ask_wait(ngx_http_goosebit_ddi_t *ddi);

/* asks SQL for 404 of the tenant and 401, then answers with them or status */
void ngx_http_goosebit_ask_refuse(ngx_http_goosebit_ddi_t *ddi,
    ngx_uint_t status);

/* answers with status now; for ngx_http_finalize_request() */
ngx_int_t ngx_http_goosebit_ask_error(ngx_http_goosebit_ddi_t *ddi,
    ngx_uint_t status);


/* ---- between the files of this room: of a call's row */

/* the column says word */
ngx_uint_t ngx_http_goosebit_ask_said(ngx_http_goosebit_pg_result_t *result,
    const char *column, char *word);

/* the row's own HTTP status; 0: not one row, or none that it may say */
ngx_uint_t ngx_http_goosebit_ask_status(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);

/* keeps what ctx and the zone are to know, and that the device was seen */
ngx_int_t ngx_http_goosebit_ask_learn(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, ngx_uint_t status);


#endif /* NGX_HTTP_GOOSEBIT_ASK_H */
