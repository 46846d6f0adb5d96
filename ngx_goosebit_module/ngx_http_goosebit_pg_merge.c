/*
 * A batch's calls as one: what PostgreSQL sets up for each call is most of its
 * cost (docs/performance.md).  The call's parameters are those of start() or of
 * feedback(), as arrays where each device has its own.
 */

#include "ngx_http_goosebit_pg_conn.h"


/* for less the call of all costs more than theirs (ci/sql-cost) */
#define NGX_HTTP_GOOSEBIT_PG_STARTS_PAY  2
#define NGX_HTTP_GOOSEBIT_PG_BATCH_PAYS  3

/* parameters that every device's call begins with, and of deployment_base() */
#define NGX_HTTP_GOOSEBIT_PG_WHO_END  5
#define NGX_HTTP_GOOSEBIT_PG_ACTION   5
#define NGX_HTTP_GOOSEBIT_PG_HISTORY  6

/* of feedback() */
#define NGX_HTTP_GOOSEBIT_PG_FEEDBACK_ACTION  6


/* what is merged, and the query whose parameters it becomes */
typedef struct {
    ngx_http_goosebit_pg_query_t    *q;
    ngx_http_goosebit_pg_query_t   **list;
    ngx_uint_t                       n;
    ngx_uint_t                       held;
    const ngx_http_goosebit_call_t  *call;
} ngx_http_goosebit_pg_merge_t;


static ngx_http_goosebit_call_e ngx_http_goosebit_pg_merged(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_pg_query_t **list,
    ngx_uint_t n);
static ngx_uint_t ngx_http_goosebit_pg_merges(
    ngx_http_goosebit_pg_query_t *q);
static ngx_int_t ngx_http_goosebit_pg_merge_params(
    ngx_http_goosebit_pg_merge_t *merge);
static void ngx_http_goosebit_pg_merge_same(
    ngx_http_goosebit_pg_merge_t *merge, ngx_uint_t param);
static void ngx_http_goosebit_pg_merge_each(
    ngx_http_goosebit_pg_merge_t *merge, ngx_uint_t param);
static void ngx_http_goosebit_pg_merge_texts(
    ngx_http_goosebit_pg_merge_t *merge, ngx_uint_t param);
static ngx_str_t ngx_http_goosebit_pg_merge_value(
    ngx_http_goosebit_pg_query_t *q, ngx_uint_t param);


/*
 * It locks all of the batch's devices first, in the batch's order, so that
 * those who follow have theirs already: as if all were sent in that order.
 */

ngx_int_t
ngx_http_goosebit_pg_merge(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t **list, ngx_uint_t n,
    ngx_http_goosebit_pg_how_e how)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, prepared;
    ngx_pool_t                    *pool;
    ngx_http_goosebit_call_e       index;
    ngx_http_goosebit_pg_entry_t  *entry;
    ngx_http_goosebit_pg_merge_t   merge;

    index = ngx_http_goosebit_pg_merged(conn, list, n);
    if (index == NGX_HTTP_GOOSEBIT_CALLS) {
        return NGX_OK;
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, conn->pg->log);
    if (pool == NULL) {
        return NGX_OK;
    }

    merge.list = list;
    merge.n = n;
    merge.held = (how == NGX_HTTP_GOOSEBIT_PG_HELD);
    merge.call = ngx_http_goosebit_call(
                                  (index == NGX_HTTP_GOOSEBIT_CALL_STARTS)
                                  ? NGX_HTTP_GOOSEBIT_CALL_START
                                  : NGX_HTTP_GOOSEBIT_CALL_FEEDBACK);
    merge.q = ngx_http_goosebit_pg_create(pool, index);

    if (merge.q == NULL
        || ngx_http_goosebit_pg_merge_params(&merge) != NGX_OK)
    {
        /* each as it is, then */
        ngx_destroy_pool(pool);
        return NGX_OK;
    }

    rc = NGX_ERROR;

    entry = ngx_http_goosebit_pg_busy(conn, index);
    if (entry == NULL) {
        goto done;
    }

    entry->rows = n;
    prepared = 1;

    for (i = 0; i < n; i++) {
        if (ngx_http_goosebit_pg_merges(list[i])) {
            ngx_http_goosebit_pg_expect(entry, list[i]);
            list[i]->row = i;
            prepared &= !list[i]->prepared;
        }
    }

    rc = ngx_http_goosebit_pg_send_call(conn, index, merge.q->values,
                                        merge.q->lengths, prepared);

done:

    ngx_destroy_pool(pool);

    return rc;
}


/* the call that takes all that can be one of these, if that pays */

static ngx_http_goosebit_call_e
ngx_http_goosebit_pg_merged(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t **list, ngx_uint_t n)
{
    ngx_uint_t                i, merged, pays, starts;
    ngx_http_goosebit_call_e  index;

    starts = (list[0]->call->class == NGX_HTTP_GOOSEBIT_CLASS_START);
    index = starts ? NGX_HTTP_GOOSEBIT_CALL_STARTS
                   : NGX_HTTP_GOOSEBIT_CALL_BATCH;
    pays = starts ? NGX_HTTP_GOOSEBIT_PG_STARTS_PAY
                  : NGX_HTTP_GOOSEBIT_PG_BATCH_PAYS;

    /*
     * A database of before has no such call.  Where nothing is prepared that
     * shows each time, and the batch is repeated one by one.
     */

    if (!conn->prepared[index] && conn->pg->database->prepare) {
        return NGX_HTTP_GOOSEBIT_CALLS;
    }

    merged = 0;

    for (i = 0; i < n; i++) {
        if (!starts && !list[i]->call->locks) {
            return NGX_HTTP_GOOSEBIT_CALLS;
        }

        merged += ngx_http_goosebit_pg_merges(list[i]);
    }

    return (merged >= pays) ? index : NGX_HTTP_GOOSEBIT_CALLS;
}


/* starts, feedback, and deploymentBase without a history */

static ngx_uint_t
ngx_http_goosebit_pg_merges(ngx_http_goosebit_pg_query_t *q)
{
    static u_char  none[] = { 0, 0, 0, 0 };

    if (q->index == NGX_HTTP_GOOSEBIT_CALL_START
        || q->index == NGX_HTTP_GOOSEBIT_CALL_FEEDBACK)
    {
        return 1;
    }

    return q->index == NGX_HTTP_GOOSEBIT_CALL_DEPLOYMENT_BASE
           && ngx_memcmp(q->values[NGX_HTTP_GOOSEBIT_PG_HISTORY], none,
                         sizeof(none))
              == 0;
}


static ngx_int_t
ngx_http_goosebit_pg_merge_params(ngx_http_goosebit_pg_merge_t *merge)
{
    Oid         type;
    ngx_uint_t  i;

    for (i = 0; i < merge->call->nparams; i++) {
        type = merge->call->types[i];

        if (type == NGX_HTTP_GOOSEBIT_OID_TEXTS) {
            ngx_http_goosebit_pg_merge_texts(merge, i);

        } else if (type == merge->q->call->types[merge->q->nparams]) {
            ngx_http_goosebit_pg_merge_same(merge, i);

        } else {
            ngx_http_goosebit_pg_merge_each(merge, i);
        }
    }

    if (merge->q->index == NGX_HTTP_GOOSEBIT_CALL_STARTS) {
        ngx_http_goosebit_pg_add_int(merge->q, merge->held);
    }

    return merge->q->invalid ? NGX_ERROR : NGX_OK;
}


/* a number that all have alike, as it is of the configuration */

static void
ngx_http_goosebit_pg_merge_same(ngx_http_goosebit_pg_merge_t *merge,
    ngx_uint_t param)
{
    uint32_t  n;

    n = ngx_http_goosebit_pg_get32((u_char *) merge->list[0]->values[param]);

    ngx_http_goosebit_pg_add_int(merge->q, (int32_t) n);
}


/* an array of one value a query */

static void
ngx_http_goosebit_pg_merge_each(ngx_http_goosebit_pg_merge_t *merge,
    ngx_uint_t param)
{
    size_t       size;
    u_char      *p;
    ngx_str_t    value;
    ngx_uint_t   i;

    size = 0;

    for (i = 0; i < merge->n; i++) {
        value = ngx_http_goosebit_pg_merge_value(merge->list[i], param);
        size += 4 + value.len;
    }

    p = ngx_http_goosebit_pg_array(merge->q, 0, merge->call->types[param],
                                   merge->n, size);
    if (p == NULL) {
        return;
    }

    for (i = 0; i < merge->n; i++) {
        value = ngx_http_goosebit_pg_merge_value(merge->list[i], param);

        p = ngx_http_goosebit_pg_put32(p, value.data ? (uint32_t) value.len
                                                     : (uint32_t) -1);

        if (value.len) {
            p = ngx_cpymem(p, value.data, value.len);
        }
    }
}


/* all their arrays' elements in one, and where each one's end, after a 0 */

static void
ngx_http_goosebit_pg_merge_texts(ngx_http_goosebit_pg_merge_t *merge,
    ngx_uint_t param)
{
    size_t       size;
    u_char      *p;
    int32_t     *ends;
    ngx_str_t    value;
    ngx_uint_t   i, n;

    ends = ngx_palloc(merge->q->pool, (merge->n + 1) * sizeof(int32_t));
    if (ends == NULL) {
        merge->q->invalid = 1;
        return;
    }

    n = 0;
    size = 0;
    ends[0] = 0;

    for (i = 0; i < merge->n; i++) {
        value = ngx_http_goosebit_pg_merge_value(merge->list[i], param);
        n += ngx_http_goosebit_pg_elements(&value);
        size += value.len;
        ends[i + 1] = (int32_t) n;
    }

    p = ngx_http_goosebit_pg_array(merge->q, NGX_HTTP_GOOSEBIT_OID_TEXTS,
                                   NGX_HTTP_GOOSEBIT_OID_TEXT, n, size);
    if (p == NULL) {
        return;
    }

    for (i = 0; i < merge->n; i++) {
        value = ngx_http_goosebit_pg_merge_value(merge->list[i], param);

        if (ngx_http_goosebit_pg_elements(&value)) {
            p = ngx_cpymem(p, value.data, value.len);
        }
    }

    ngx_http_goosebit_pg_add_ints(merge->q, ends, merge->n + 1);
}


/* what q has for feedback()'s parameter, as it is sent; no data: NULL */

static ngx_str_t
ngx_http_goosebit_pg_merge_value(ngx_http_goosebit_pg_query_t *q,
    ngx_uint_t param)
{
    ngx_str_t  value;

    ngx_str_null(&value);

    if (param >= NGX_HTTP_GOOSEBIT_PG_WHO_END) {

        if (!ngx_http_goosebit_pg_merges(q)) {
            /* it only says who it is */
            return value;
        }

        if (q->index == NGX_HTTP_GOOSEBIT_CALL_DEPLOYMENT_BASE) {

            if (param != NGX_HTTP_GOOSEBIT_PG_FEEDBACK_ACTION) {
                return value;
            }

            param = NGX_HTTP_GOOSEBIT_PG_ACTION;
        }
    }

    value.data = (u_char *) q->values[param];
    value.len = q->lengths[param];

    return value;
}
