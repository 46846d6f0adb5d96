/*
 * A worker's pool of PostgreSQL connections on NGINX's event loop.
 *
 *     q = ngx_http_goosebit_pg_create(r->pool, NGX_HTTP_GOOSEBIT_CALL_POLL);
 *     if (q == NULL) { return NGX_HTTP_INTERNAL_SERVER_ERROR; }
 *
 *     ngx_http_goosebit_pg_add_text(q, &ctx->tenant);     in the call's order
 *     ...
 *     q->ctx = ctx;                                       adds up db_time
 *     q->tenant = ctx->tenant; q->device = ctx->device;   the batch's order
 *     q->handler = handler;
 *     q->data = r;
 *     ngx_http_goosebit_pg_submit(mcf->pg, q);
 *
 * The handler is called exactly once, never from inside submit(), unless the
 * query is detached before or its pool is destroyed (then never).  After a
 * request's handler ran, NGINX's posted requests are the handler's to run:
 * finalize the request, then ngx_http_run_posted_requests(c).
 *
 * All of this is one worker's, in one thread.
 */

#ifndef NGX_HTTP_GOOSEBIT_PG_H
#define NGX_HTTP_GOOSEBIT_PG_H


#include "ngx_http_goosebit.h"
#include "ngx_http_goosebit_call.h"


typedef struct ngx_http_goosebit_pg_query_s  ngx_http_goosebit_pg_query_t;


/* borrowed: gone, with all that points into it, when the handler returns */
typedef struct {
    ngx_uint_t                     status;  /* 200: res holds rows; else the
                                               HTTP status to answer with */
    ngx_uint_t                     retry_after;     /* seconds, with a 503 */
    PGresult                      *res;     /* NULL unless status is 200 */
    ngx_uint_t                     first;   /* of res: row 0 of this query's */
    ngx_uint_t                     rows;
} ngx_http_goosebit_pg_result_t;


typedef void (*ngx_http_goosebit_pg_handler_pt)(
    ngx_http_goosebit_pg_result_t *result, void *data);


/* a caller sets the first five fields, and reads none of the others */
struct ngx_http_goosebit_pg_query_s {
    ngx_http_goosebit_pg_handler_pt   handler;
    void                             *data;
    ngx_http_goosebit_ctx_t          *ctx;      /* may be NULL */
    ngx_str_t                         tenant;   /* borrowed; write and start */
    ngx_str_t                         device;   /* are sorted by them */

    ngx_queue_t                       queue;    /* waiting, sent or failed */
    ngx_queue_t                       live;     /* by deadline */

    const ngx_http_goosebit_call_t   *call;
    ngx_http_goosebit_call_e          index;    /* of call */
    ngx_pool_t                       *pool;
    ngx_pool_cleanup_t               *cleanup;
    ngx_http_goosebit_pg_t           *pg;       /* NULL: not submitted */
    void                             *entry;    /* sent, on a connection */
    ngx_uint_t                        row;      /* of the entry's result, if
                                                   it has others' too */

    ngx_msec_t                        deadline;
    uint64_t                          start;    /* microseconds */
    ngx_uint_t                        number;   /* in order of submission */
    ngx_uint_t                        status;   /* of a failed one */

    ngx_uint_t                        nparams;
    const char                       *values[NGX_HTTP_GOOSEBIT_CALL_PARAMS];
    int                               lengths[NGX_HTTP_GOOSEBIT_CALL_PARAMS];
    u_char                            ints[NGX_HTTP_GOOSEBIT_CALL_PARAMS][8];

    unsigned                          invalid:1;    /* a parameter failed */
    unsigned                          waiting:1;    /* in a wait queue */
    unsigned                          retried:1;    /* once, after a loss */
    unsigned                          prepared:1;   /* once, anew */
    unsigned                          alone:1;      /* after its batch failed */
};


/*
 * A query in pool's memory, detached by itself when pool is destroyed; NULL:
 * out of memory.
 */
ngx_http_goosebit_pg_query_t *ngx_http_goosebit_pg_create(ngx_pool_t *pool,
    ngx_http_goosebit_call_e call);

/*
 * Parameters, appended in the call's order.  Text and bytes are borrowed until
 * the handler is called or the query detached; text is UTF-8 without NUL,
 * else the call is answered with 400.  A NULL pointer, or a string whose data
 * is NULL, is SQL's NULL (an array of no elements is '{}').  A parameter that
 * does not fit the call, or memory that is not there, makes the whole query
 * answer 500.
 */
void ngx_http_goosebit_pg_add_text(ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *value);
void ngx_http_goosebit_pg_add_bytes(ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *value);
void ngx_http_goosebit_pg_add_int(ngx_http_goosebit_pg_query_t *q,
    int32_t value);
void ngx_http_goosebit_pg_add_bigint(ngx_http_goosebit_pg_query_t *q,
    int64_t value);
void ngx_http_goosebit_pg_add_null(ngx_http_goosebit_pg_query_t *q);

/* copied; an element whose data is NULL is NULL */
void ngx_http_goosebit_pg_add_texts(ngx_http_goosebit_pg_query_t *q,
    ngx_str_t *values, ngx_uint_t n);
void ngx_http_goosebit_pg_add_ints(ngx_http_goosebit_pg_query_t *q,
    int32_t *values, ngx_uint_t n);
void ngx_http_goosebit_pg_add_bigints(ngx_http_goosebit_pg_query_t *q,
    int64_t *values, ngx_uint_t n);

/*
 * A new query like q, whose handler has been called, with another text as its
 * n-th parameter (from 0): its memory is q's, as is what was borrowed for it.
 */
ngx_http_goosebit_pg_query_t *ngx_http_goosebit_pg_repeat(
    ngx_http_goosebit_pg_query_t *q, ngx_uint_t n, ngx_str_t *value);

/* never fails: what is wrong reaches the handler, in a later event */
void ngx_http_goosebit_pg_submit(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_pg_query_t *q);

/*
 * The handler will not be called.  A query that was not sent is dropped; one
 * that was is finished by PostgreSQL and its result thrown away.
 */
void ngx_http_goosebit_pg_detach(ngx_http_goosebit_pg_query_t *q);


/*
 * Columns by name.  Each answers NGX_OK, NGX_DECLINED for NULL, NGX_ERROR for
 * a column that is missing or of another type.  text and bytes point into the
 * result (not zero-terminated as far as a caller should rely on it); texts of
 * an array point into it too, the array's elements are ngx_str_t in pool.
 */
ngx_int_t ngx_http_goosebit_pg_text(ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t row, const char *column, ngx_str_t *value);
ngx_int_t ngx_http_goosebit_pg_bigint(ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t row, const char *column, int64_t *value);
ngx_int_t ngx_http_goosebit_pg_texts(ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t row, const char *column, ngx_pool_t *pool, ngx_array_t **value);

/* the same of row 0; for anything but a value: dflt */
ngx_int_t ngx_http_goosebit_pg_int(ngx_http_goosebit_pg_result_t *result,
    const char *column, ngx_int_t dflt);
ngx_flag_t ngx_http_goosebit_pg_bool(ngx_http_goosebit_pg_result_t *result,
    const char *column);

/* row 0, copied to pool with a zero after it; empty for NULL */
ngx_int_t ngx_http_goosebit_pg_copy(ngx_http_goosebit_pg_result_t *result,
    const char *column, ngx_pool_t *pool, ngx_str_t *value);


/* PostgreSQL is known to be gone: a submit would be answered 503 */
ngx_uint_t ngx_http_goosebit_pg_down(ngx_http_goosebit_pg_t *pg);


/*
 * Of configuration, in the master: db->conninfo to names, hosts and keywords.
 * May block for names; says in the log what is wrong.
 */
ngx_int_t ngx_http_goosebit_pg_host_conf(ngx_conf_t *cf,
    ngx_http_goosebit_database_t *db);

/* of process start and end */
ngx_http_goosebit_pg_t *ngx_http_goosebit_pg_init(ngx_cycle_t *cycle,
    ngx_http_goosebit_main_conf_t *mcf);
void ngx_http_goosebit_pg_exit(ngx_http_goosebit_pg_t *pg);

/*
 * handler is called when the worker begins to stop gracefully, and may
 * submit: the connections close when all is answered.
 */
void ngx_http_goosebit_pg_on_exiting(ngx_http_goosebit_pg_t *pg,
    void (*handler)(void *data), void *data);


#endif /* NGX_HTTP_GOOSEBIT_PG_H */
