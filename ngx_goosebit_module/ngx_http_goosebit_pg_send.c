/*
 * The pipeline's one end: statements, queries and syncs, in the order sent.
 */

#include "ngx_http_goosebit_pg_conn.h"


/* for so long, and for so many, reads share a transaction */
#define NGX_HTTP_GOOSEBIT_PG_LASTS  5       /* ms */
#define NGX_HTTP_GOOSEBIT_PG_READS  256


static ngx_http_goosebit_pg_entry_t *ngx_http_goosebit_pg_entry(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_pg_entry_e type);
static ngx_int_t ngx_http_goosebit_pg_send_own(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_pg_entry_e type,
    const char *sql);
static ngx_int_t ngx_http_goosebit_pg_send_prepare(
    ngx_http_goosebit_pg_conn_t *conn);
static ngx_int_t ngx_http_goosebit_pg_send_again(
    ngx_http_goosebit_pg_conn_t *conn);
static ngx_uint_t ngx_http_goosebit_pg_lasts(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_pg_query_t **list,
    ngx_uint_t n, ngx_http_goosebit_pg_how_e how);
static ngx_int_t ngx_http_goosebit_pg_send_open(
    ngx_http_goosebit_pg_conn_t *conn, ngx_uint_t n);
static void ngx_http_goosebit_pg_end_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_goosebit_pg_send_query(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_pg_query_t *q,
    ngx_http_goosebit_pg_how_e how);
static ngx_http_goosebit_pg_entry_t *ngx_http_goosebit_pg_send_sync(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_pg_how_e how);


void
ngx_http_goosebit_pg_send_init(ngx_http_goosebit_pg_conn_t *conn)
{
    conn->end.handler = ngx_http_goosebit_pg_end_handler;
    conn->end.data = conn;
    conn->end.log = conn->pg->log;
    conn->end.cancelable = 1;
}


static ngx_http_goosebit_pg_entry_t *
ngx_http_goosebit_pg_entry(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_e type)
{
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_t        *pg;
    ngx_http_goosebit_pg_entry_t  *entry;

    pg = conn->pg;

    if (!ngx_queue_empty(&pg->spare)) {
        item = ngx_queue_head(&pg->spare);
        ngx_queue_remove(item);
        entry = ngx_queue_data(item, ngx_http_goosebit_pg_entry_t, queue);

    } else {
        entry = ngx_palloc(pg->pool, sizeof(ngx_http_goosebit_pg_entry_t));
        if (entry == NULL) {
            return NULL;
        }
    }

    ngx_memzero(entry, sizeof(ngx_http_goosebit_pg_entry_t));

    ngx_queue_init(&entry->queries);

    entry->type = type;
    entry->conn = conn;
    entry->generation = conn->generation;

    if (ngx_queue_empty(&conn->sent)) {
        conn->heard = ngx_current_msec;
    }

    ngx_queue_insert_tail(&conn->sent, &entry->queue);
    conn->c->idle = 0;

    return entry;
}


void
ngx_http_goosebit_pg_release(ngx_http_goosebit_pg_entry_t *entry)
{
    ngx_queue_t                  *item;
    ngx_http_goosebit_pg_conn_t  *conn;

    conn = entry->conn;

    while (!ngx_queue_empty(&entry->queries)) {
        item = ngx_queue_head(&entry->queries);
        ngx_http_goosebit_pg_unsend(ngx_queue_data(item,
                                       ngx_http_goosebit_pg_query_t, queue));
    }

    if (entry->res) {
        PQclear(entry->res);
        entry->res = NULL;
    }

    if (entry->type == NGX_HTTP_GOOSEBIT_PG_QUERY) {
        conn->busy--;
        ngx_http_goosebit_metrics_gauge(conn->pg->mcf->metrics,
                                        NGX_HTTP_GOOSEBIT_DB_BUSY, -1);
    }

    ngx_queue_insert_head(&conn->pg->spare, &entry->queue);
}


/*
 * A pooler hands a server on when its transaction seems over, and knows nothing
 * of one that a flush leaves open (pgbouncer 1.18): the next client would get
 * our rows, and we those of another.  So none stays open unless the server has
 * itself the number that it was given out by.
 */

ngx_int_t
ngx_http_goosebit_pg_send_first(ngx_http_goosebit_pg_conn_t *conn)
{
    conn->direct = 0;

    if (conn->pg->database->prepare
        && ngx_http_goosebit_pg_send_own(conn, NGX_HTTP_GOOSEBIT_PG_WHO,
                                         "SELECT pg_catalog.pg_backend_pid()")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_goosebit_pg_send_prepare(conn);
}


/* a statement of nobody's, with a sync of its own */

static ngx_int_t
ngx_http_goosebit_pg_send_own(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_e type, const char *sql)
{
    if (ngx_http_goosebit_pg_entry(conn, type) == NULL) {
        return NGX_ERROR;
    }

    if (PQsendQueryParams(conn->db, sql, 0, NULL, NULL, NULL, NULL, 1) == 0) {
        return NGX_ERROR;
    }

    return ngx_http_goosebit_pg_send_sync(conn, NGX_HTTP_GOOSEBIT_PG_FREE)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_goosebit_pg_send_prepare(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_uint_t  i;

    conn->generation++;
    ngx_memzero(conn->prepared, sizeof(conn->prepared));

    if (!conn->pg->database->prepare) {
        return NGX_OK;
    }

    for (i = 0; i < NGX_HTTP_GOOSEBIT_CALLS; i++) {
        if (ngx_http_goosebit_pg_send_statement(conn, i) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* each with a sync of its own: one that is missing must not spoil the others */

ngx_int_t
ngx_http_goosebit_pg_send_statement(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_call_e index)
{
    ngx_http_goosebit_pg_entry_t    *entry;
    const ngx_http_goosebit_call_t  *call;

    call = ngx_http_goosebit_call(index);

    if (ngx_http_goosebit_pg_send_end(conn) != NGX_OK) {
        return NGX_ERROR;
    }

    entry = ngx_http_goosebit_pg_entry(conn, NGX_HTTP_GOOSEBIT_PG_PREPARE);
    if (entry == NULL) {
        return NGX_ERROR;
    }

    entry->call = index;
    conn->prepared[index] = 1;

    if (PQsendPrepare(conn->db, call->name, call->sql, call->nparams,
                      call->types)
        == 0)
    {
        return NGX_ERROR;
    }

    return ngx_http_goosebit_pg_send_sync(conn, NGX_HTTP_GOOSEBIT_PG_FREE)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_goosebit_pg_send_again(ngx_http_goosebit_pg_conn_t *conn)
{
    conn->stale = 0;

    if (!conn->direct && !conn->pg->told_pooler) {
        conn->pg->told_pooler = 1;
        ngx_log_error(NGX_LOG_WARN, conn->pg->log, 0,
                      "goosebit: statements are prepared anew, through a "
                      "connection pooler: one that pools transactions needs "
                      "prepare=off");
    }

    if (ngx_http_goosebit_pg_send_end(conn) != NGX_OK
        || ngx_http_goosebit_pg_send_own(conn,
                                         NGX_HTTP_GOOSEBIT_PG_DEALLOCATE,
                                         "DEALLOCATE ALL")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_goosebit_pg_send_prepare(conn);
}


ngx_int_t
ngx_http_goosebit_pg_send(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t **list, ngx_uint_t n,
    ngx_http_goosebit_pg_how_e how)
{
    ngx_uint_t                     i, lasts;
    ngx_http_goosebit_pg_entry_t  *entry;
    ngx_http_goosebit_pg_query_t  *q;

    if (conn->stale && ngx_http_goosebit_pg_send_again(conn) != NGX_OK) {
        goto failed;
    }

    lasts = ngx_http_goosebit_pg_lasts(conn, list, n, how);

    if (!lasts && ngx_http_goosebit_pg_send_end(conn) != NGX_OK) {
        goto failed;
    }

    if (ngx_http_goosebit_pg_merge(conn, list, n, how) != NGX_OK) {
        goto failed;
    }

    for (i = 0; i < n; i++) {
        if (list[i]->entry == NULL
            && ngx_http_goosebit_pg_send_query(conn, list[i], how) != NGX_OK)
        {
            goto failed;
        }

        entry = list[i]->entry;
        entry->lasts = lasts;
    }

    if (lasts) {
        if (ngx_http_goosebit_pg_send_open(conn, n) != NGX_OK) {
            goto failed;
        }

    } else if (ngx_http_goosebit_pg_send_sync(conn, how) == NULL) {
        goto failed;
    }

    if (n > 1) {
        ngx_http_goosebit_metrics_count(conn->pg->mcf->metrics,
                                        NGX_HTTP_GOOSEBIT_DB_BATCHES, 1);
    }

    return ngx_http_goosebit_pg_conn_flush(conn);

failed:

    /* without its sync nothing of it can have been committed */

    for (i = 0; i < n; i++) {
        q = list[i];

        if (q->retried) {
            ngx_http_goosebit_pg_fail(q, NGX_HTTP_SERVICE_UNAVAILABLE);
            continue;
        }

        q->retried = 1;
        ngx_http_goosebit_pg_again(q);
    }

    ngx_http_goosebit_pg_conn_lost(conn, NULL);

    return NGX_ERROR;
}


/*
 * Reads in quick succession go on in one transaction, each with a snapshot of
 * its own (READ COMMITTED): what PL/pgSQL sets up once in each is more than a
 * quarter of a poll.  Not through a pooler, whose server it would keep.
 */

static ngx_uint_t
ngx_http_goosebit_pg_lasts(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t **list, ngx_uint_t n,
    ngx_http_goosebit_pg_how_e how)
{
    ngx_uint_t  i;
    ngx_msec_t  before;

    if (how != NGX_HTTP_GOOSEBIT_PG_FREE || list[0]->alone
        || !conn->direct)
    {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (!list[i]->call->lasts) {
            return 0;
        }
    }

    before = conn->read;
    conn->read = ngx_current_msec;

    return ngx_current_msec - before <= NGX_HTTP_GOOSEBIT_PG_LASTS;
}


/* n more reads, whose rows are to come without an end */

static ngx_int_t
ngx_http_goosebit_pg_send_open(ngx_http_goosebit_pg_conn_t *conn, ngx_uint_t n)
{
    conn->open += n;

    if (conn->open >= NGX_HTTP_GOOSEBIT_PG_READS) {
        return ngx_http_goosebit_pg_send_end(conn);
    }

    if (!conn->end.timer_set) {
        ngx_add_timer(&conn->end, NGX_HTTP_GOOSEBIT_PG_LASTS);
    }

    return PQsendFlushRequest(conn->db) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_goosebit_pg_send_end(ngx_http_goosebit_pg_conn_t *conn)
{
    if (conn->open == 0) {
        return NGX_OK;
    }

    conn->open = 0;

    if (conn->end.timer_set) {
        ngx_del_timer(&conn->end);
    }

    return ngx_http_goosebit_pg_send_sync(conn, NGX_HTTP_GOOSEBIT_PG_FREE)
           ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_goosebit_pg_end_handler(ngx_event_t *ev)
{
    ngx_http_goosebit_pg_conn_t  *conn;

    conn = ev->data;

    if (conn->open == 0) {
        /* the connection was lost meanwhile */
        return;
    }

    if (ngx_http_goosebit_pg_send_end(conn) != NGX_OK) {
        ngx_http_goosebit_pg_conn_lost(conn, NULL);
        return;
    }

    (void) ngx_http_goosebit_pg_conn_flush(conn);
}


ngx_int_t
ngx_http_goosebit_pg_send_flush(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_http_goosebit_pg_entry_t    *sync;
    const ngx_http_goosebit_call_t  *call;

    call = ngx_http_goosebit_call(NGX_HTTP_GOOSEBIT_CALL_FLUSH);

    if (ngx_http_goosebit_pg_busy(conn, NGX_HTTP_GOOSEBIT_CALL_FLUSH) == NULL
        || PQsendQueryParams(conn->db, call->sql, 0, NULL, NULL, NULL, NULL, 1)
           == 0)
    {
        return NGX_ERROR;
    }

    sync = ngx_http_goosebit_pg_send_sync(conn, NGX_HTTP_GOOSEBIT_PG_FREE);
    if (sync == NULL) {
        return NGX_ERROR;
    }

    sync->flush = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_pg_send_query(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t *q, ngx_http_goosebit_pg_how_e how)
{
    ngx_http_goosebit_call_e       index;
    ngx_http_goosebit_pg_entry_t  *entry;

    index = (how == NGX_HTTP_GOOSEBIT_PG_HELD)
            ? NGX_HTTP_GOOSEBIT_CALL_START_HELD : q->index;

    entry = ngx_http_goosebit_pg_busy(conn, index);
    if (entry == NULL) {
        return NGX_ERROR;
    }

    ngx_http_goosebit_pg_expect(entry, q);

    return ngx_http_goosebit_pg_send_call(conn, index, q->values, q->lengths,
                                          !q->prepared);
}


ngx_int_t
ngx_http_goosebit_pg_send_call(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_call_e index, const char *const *values,
    const int *lengths, ngx_uint_t prepared)
{
    int                              rc;
    const ngx_http_goosebit_call_t  *call;

    static const int  binary[NGX_HTTP_GOOSEBIT_CALL_PARAMS] = {
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
    };

    call = ngx_http_goosebit_call(index);

    if (conn->prepared[index] && prepared) {
        rc = PQsendQueryPrepared(conn->db, call->name, call->nparams, values,
                                 lengths, binary, 1);

    } else {
        rc = PQsendQueryParams(conn->db, call->sql, call->nparams,
                               call->types, values, lengths, binary, 1);
    }

    return rc ? NGX_OK : NGX_ERROR;
}


void
ngx_http_goosebit_pg_expect(ngx_http_goosebit_pg_entry_t *entry,
    ngx_http_goosebit_pg_query_t *q)
{
    ngx_queue_insert_tail(&entry->queries, &q->queue);
    q->entry = entry;
    q->row = 0;
}


ngx_http_goosebit_pg_entry_t *
ngx_http_goosebit_pg_busy(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_call_e index)
{
    ngx_http_goosebit_pg_entry_t  *entry;

    entry = ngx_http_goosebit_pg_entry(conn, NGX_HTTP_GOOSEBIT_PG_QUERY);
    if (entry == NULL) {
        return NULL;
    }

    entry->call = index;

    conn->busy++;
    ngx_http_goosebit_metrics_gauge(conn->pg->mcf->metrics,
                                    NGX_HTTP_GOOSEBIT_DB_BUSY, 1);

    return entry;
}


static ngx_http_goosebit_pg_entry_t *
ngx_http_goosebit_pg_send_sync(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_how_e how)
{
    ngx_http_goosebit_pg_entry_t  *entry;

    entry = ngx_http_goosebit_pg_entry(conn, NGX_HTTP_GOOSEBIT_PG_SYNC);
    if (entry == NULL) {
        return NULL;
    }

    entry->gated = (how != NGX_HTTP_GOOSEBIT_PG_FREE);
    entry->held = (how == NGX_HTTP_GOOSEBIT_PG_HELD);
    entry->flush = (how == NGX_HTTP_GOOSEBIT_PG_FLUSH);

    return PQpipelineSync(conn->db) ? entry : NULL;
}
