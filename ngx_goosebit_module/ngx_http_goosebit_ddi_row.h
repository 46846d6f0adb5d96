/*
 * ddi_row: a call's row -> the answer, for each endpoint.
 */

#ifndef NGX_HTTP_GOOSEBIT_DDI_ROW_H
#define NGX_HTTP_GOOSEBIT_DDI_ROW_H


#include "ngx_http_goosebit.h"
#include "ngx_http_goosebit_auth.h"
#include "ngx_http_goosebit_ddi_json.h"
#include "ngx_http_goosebit_pg.h"
#include "ngx_http_goosebit_reply.h"


typedef struct ngx_http_goosebit_ddi_s    ngx_http_goosebit_ddi_t;
typedef struct ngx_http_goosebit_quiet_s  ngx_http_goosebit_quiet_t;


/*
 * Takes the row of a call that answered 200 (SQL's status), sends the answer
 * and returns what ngx_http_finalize_request() takes.  NGX_DECLINED: the row
 * is not what it should be, and nothing was sent.
 */
typedef ngx_int_t (*ngx_http_goosebit_ddi_row_pt)(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_pg_result_t *result);


/* one device request on its way from handler to answer; in r->pool */
struct ngx_http_goosebit_ddi_s {
    ngx_http_request_t              *request;
    ngx_http_goosebit_ctx_t         *ctx;
    ngx_http_goosebit_main_conf_t   *mcf;
    ngx_http_goosebit_ddi_row_pt     row;       /* of its endpoint */
    off_t                            max_body;

    ngx_http_goosebit_auth_t         auth;
    ngx_str_t                       *type;      /* of the answer */
    ngx_uint_t                       cbor;      /* the body is */
    ngx_int_t                        id;        /* in the path; NO_ID */
    ngx_int_t                        history;

    ngx_http_goosebit_link_t         link;
    ngx_uint_t                       refusal;   /* status, unless SQL says
                                                   what comes before */

    ngx_http_goosebit_pg_query_t    *query;     /* the last one */
    ngx_http_goosebit_quiet_t       *quiet;     /* NULL: no poll, or the zone
                                                   has no part in it */
    ngx_http_goosebit_quiet_t       *grant;     /* the same of downloads */

    unsigned                         followed:1;    /* what poll named next */
    unsigned                         external:1;    /* was asked outside */
};


/* what links start with, once; NGX_ERROR: out of memory */
ngx_int_t ngx_http_goosebit_ddi_link(ngx_http_goosebit_ddi_t *ddi);

/* a poll's answer, where it comes from no row */
ngx_int_t ngx_http_goosebit_ddi_row_quiet(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_poll_t *poll);

ngx_int_t ngx_http_goosebit_ddi_row_poll(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
ngx_int_t ngx_http_goosebit_ddi_row_message(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
ngx_int_t ngx_http_goosebit_ddi_row_deployment(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
ngx_int_t ngx_http_goosebit_ddi_row_cancel(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
ngx_int_t ngx_http_goosebit_ddi_row_feedback(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
ngx_int_t ngx_http_goosebit_ddi_row_confirmation(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
ngx_int_t ngx_http_goosebit_ddi_row_artifacts(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
ngx_int_t ngx_http_goosebit_ddi_row_artifact(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
ngx_int_t ngx_http_goosebit_ddi_row_md5sum(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);


#endif /* NGX_HTTP_GOOSEBIT_DDI_ROW_H */
