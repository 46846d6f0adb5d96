/*
 * The pipeline's other end: results, in the order sent, and what they mean for
 * who waits.
 */

#include "ngx_http_goosebit_pg_conn.h"


static ngx_int_t ngx_http_goosebit_pg_result(
    ngx_http_goosebit_pg_conn_t *conn, PGresult *res);
static void ngx_http_goosebit_pg_synced(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *sync);
static void ngx_http_goosebit_pg_answer(ngx_http_goosebit_pg_conn_t *conn,
    ngx_queue_t *queue, ngx_uint_t told);
static void ngx_http_goosebit_pg_fail_held(ngx_http_goosebit_pg_conn_t *conn);
static void ngx_http_goosebit_pg_fail_entry(
    ngx_http_goosebit_pg_entry_t *entry);
static ngx_uint_t ngx_http_goosebit_pg_count(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_pg_entry_t *sync,
    ngx_uint_t *failed);
static void ngx_http_goosebit_pg_repeat_alone(
    ngx_http_goosebit_pg_conn_t *conn);
static void ngx_http_goosebit_pg_ended(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *entry);
static ngx_http_goosebit_pg_query_t *ngx_http_goosebit_pg_whose(
    ngx_http_goosebit_pg_entry_t *entry);
static void ngx_http_goosebit_pg_who(ngx_http_goosebit_pg_conn_t *conn,
    PGresult *res);
static void ngx_http_goosebit_pg_prepared(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *entry);
static void ngx_http_goosebit_pg_error(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *entry);
static ngx_uint_t ngx_http_goosebit_pg_good(PGresult *res);
static ngx_uint_t ngx_http_goosebit_pg_state_is(PGresult *res,
    const char *state);
static ngx_uint_t ngx_http_goosebit_pg_is_stale(PGresult *res);
static ngx_uint_t ngx_http_goosebit_pg_passes(PGresult *res);


ngx_int_t
ngx_http_goosebit_pg_receive(ngx_http_goosebit_pg_conn_t *conn)
{
    PGresult    *res;
    ngx_uint_t   nulls;

    nulls = 0;

    while (!ngx_queue_empty(&conn->sent)) {

        if (PQisBusy(conn->db)) {
            return NGX_OK;
        }

        res = PQgetResult(conn->db);

        if (PQstatus(conn->db) == CONNECTION_BAD) {
            PQclear(res);
            return NGX_ERROR;
        }

        nulls = res ? 0 : nulls + 1;

        /* libpq and we must agree on what comes next */

        if (nulls > 2 || ngx_http_goosebit_pg_result(conn, res) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    conn->c->idle = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_pg_result(ngx_http_goosebit_pg_conn_t *conn, PGresult *res)
{
    const char                    *severity;
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_entry_t  *entry;

    item = ngx_queue_head(&conn->sent);
    entry = ngx_queue_data(item, ngx_http_goosebit_pg_entry_t, queue);

    if (res == NULL) {
        if (entry->type == NGX_HTTP_GOOSEBIT_PG_SYNC) {
            return NGX_OK;
        }

        ngx_queue_remove(item);

        if (entry->lasts && ngx_http_goosebit_pg_good(entry->res)) {
            ngx_http_goosebit_pg_ended(conn, entry);
            ngx_http_goosebit_pg_release(entry);
            return NGX_OK;
        }

        ngx_queue_insert_tail(&conn->ended, item);

        /* nothing goes on in a transaction that has failed */

        return entry->lasts ? ngx_http_goosebit_pg_send_end(conn) : NGX_OK;
    }

    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
        PQclear(res);

        if (entry->type != NGX_HTTP_GOOSEBIT_PG_SYNC) {
            return NGX_ERROR;
        }

        ngx_queue_remove(item);
        ngx_http_goosebit_pg_synced(conn, entry);
        ngx_http_goosebit_pg_release(entry);

        return NGX_OK;
    }

    severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity == NULL) {
        /* a pooler's own error */
        severity = PQresultErrorField(res, PG_DIAG_SEVERITY);
    }

    if (severity
        && (ngx_strcmp(severity, "FATAL") == 0
            || ngx_strcmp(severity, "PANIC") == 0))
    {
        /* the server hangs up: no answer to this query */
        PQclear(res);
        return NGX_ERROR;
    }

    if (entry->res == NULL) {
        entry->res = res;

    } else {
        PQclear(res);
    }

    return NGX_OK;
}


/*
 * The transaction is over: only now is what it wrote safe, and not even then
 * where it did not wait for the disk.
 */

static void
ngx_http_goosebit_pg_synced(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *sync)
{
    ngx_uint_t               n, failed;
    ngx_http_goosebit_pg_t  *pg;

    pg = conn->pg;

    if (sync->gated && --pg->gate_syncs == 0) {
        ngx_http_goosebit_pg_open_gate(pg);
    }

    if (pg->waiting) {
        ngx_http_goosebit_pg_post(pg);
    }

    n = ngx_http_goosebit_pg_count(conn, sync, &failed);

    if (sync->held && !failed) {
        ngx_queue_add(&conn->held, &conn->ended);
        ngx_queue_init(&conn->ended);
        return;
    }

    if (n > 1 && failed) {
        ngx_http_goosebit_pg_repeat_alone(conn);
    }

    ngx_http_goosebit_pg_answer(conn, &conn->ended, n == 1 || !failed);

    if (!sync->flush || ngx_queue_empty(&conn->held)) {
        return;
    }

    if (!failed) {
        ngx_http_goosebit_pg_answer(conn, &conn->held, 1);

    } else if (!sync->gated
               || ngx_http_goosebit_pg_send_flush(conn) != NGX_OK)
    {
        ngx_http_goosebit_pg_fail_held(conn);
    }

    /* else a transaction that failed had nothing for the disk to wait for */
}


static void
ngx_http_goosebit_pg_answer(ngx_http_goosebit_pg_conn_t *conn,
    ngx_queue_t *queue, ngx_uint_t told)
{
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_entry_t  *entry;

    while (!ngx_queue_empty(queue)) {
        item = ngx_queue_head(queue);
        ngx_queue_remove(item);

        entry = ngx_queue_data(item, ngx_http_goosebit_pg_entry_t, queue);

        if (told) {
            ngx_http_goosebit_pg_ended(conn, entry);
        }

        ngx_http_goosebit_pg_release(entry);
    }
}


/* they were committed, and may yet be lost: the devices are to ask again */

static void
ngx_http_goosebit_pg_fail_held(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_entry_t  *entry;

    while (!ngx_queue_empty(&conn->held)) {
        item = ngx_queue_head(&conn->held);
        ngx_queue_remove(item);

        entry = ngx_queue_data(item, ngx_http_goosebit_pg_entry_t, queue);

        ngx_http_goosebit_pg_fail_entry(entry);
        ngx_http_goosebit_pg_release(entry);
    }
}


static void
ngx_http_goosebit_pg_fail_entry(ngx_http_goosebit_pg_entry_t *entry)
{
    ngx_http_goosebit_pg_query_t  *q;

    while ((q = ngx_http_goosebit_pg_whose(entry)) != NULL) {
        ngx_http_goosebit_pg_fail(q, NGX_HTTP_SERVICE_UNAVAILABLE);
    }
}


/* the transaction's queries, and whether one of them or its end failed */

static ngx_uint_t
ngx_http_goosebit_pg_count(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *sync, ngx_uint_t *failed)
{
    ngx_uint_t                     n;
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_entry_t  *entry;

    n = 0;
    *failed = (sync->res != NULL);

    for (item = ngx_queue_head(&conn->ended);
         item != ngx_queue_sentinel(&conn->ended);
         item = ngx_queue_next(item))
    {
        entry = ngx_queue_data(item, ngx_http_goosebit_pg_entry_t, queue);

        if (!ngx_http_goosebit_pg_good(entry->res)) {
            *failed = 1;

        } else if (sync->res) {
            /* it was the commit that failed */
            PQclear(entry->res);
            entry->res = sync->res;
            sync->res = NULL;
        }

        n += entry->rows ? entry->rows : 1;
    }

    return n;
}


/* one statement has undone all of its batch: who it was shows one by one */

static void
ngx_http_goosebit_pg_repeat_alone(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_uint_t                     stale;
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_entry_t  *entry;
    ngx_http_goosebit_pg_query_t  *q;

    stale = 0;

    for (item = ngx_queue_head(&conn->ended);
         item != ngx_queue_sentinel(&conn->ended);
         item = ngx_queue_next(item))
    {
        entry = ngx_queue_data(item, ngx_http_goosebit_pg_entry_t, queue);

        if (ngx_http_goosebit_pg_is_stale(entry->res)
            && entry->generation == conn->generation)
        {
            stale = 1;
        }
    }

    if (stale) {
        conn->stale = 1;
    }

    for (item = ngx_queue_head(&conn->ended);
         item != ngx_queue_sentinel(&conn->ended);
         item = ngx_queue_next(item))
    {
        entry = ngx_queue_data(item, ngx_http_goosebit_pg_entry_t, queue);

        while ((q = ngx_http_goosebit_pg_whose(entry)) != NULL) {

            if (stale) {
                q->prepared = 1;

            } else {
                q->alone = 1;
            }

            ngx_http_goosebit_pg_again(q);
        }
    }
}


static void
ngx_http_goosebit_pg_ended(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *entry)
{
    ngx_http_goosebit_pg_query_t  *q;

    conn->proven = 1;
    conn->failures = 0;

    if (entry->type == NGX_HTTP_GOOSEBIT_PG_WHO) {
        ngx_http_goosebit_pg_who(conn, entry->res);
        return;
    }

    if (entry->type == NGX_HTTP_GOOSEBIT_PG_PREPARE) {
        ngx_http_goosebit_pg_prepared(conn, entry);
        return;
    }

    if (entry->type != NGX_HTTP_GOOSEBIT_PG_QUERY) {
        return;
    }

    if (!ngx_http_goosebit_pg_good(entry->res)) {
        ngx_http_goosebit_pg_error(conn, entry);
        return;
    }

    if (!conn->prepared[entry->call] && conn->pg->database->prepare) {
        /* missing when we connected, and there now */
        (void) ngx_http_goosebit_pg_send_statement(conn, entry->call);
    }

    while ((q = ngx_http_goosebit_pg_whose(entry)) != NULL) {

        if (q->row < (ngx_uint_t) PQntuples(entry->res)
            || q->index == NGX_HTTP_GOOSEBIT_CALL_STATUS)
        {
            ngx_http_goosebit_pg_finish(q, NGX_HTTP_OK, entry->res);
            continue;
        }

        ngx_log_error(NGX_LOG_ERR, conn->pg->log, 0,
                      "goosebit: %s returned no row", q->call->name);
        ngx_http_goosebit_pg_finish(q, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL);
    }
}


/* who waits for it; NULL: nobody, any more */

static ngx_http_goosebit_pg_query_t *
ngx_http_goosebit_pg_whose(ngx_http_goosebit_pg_entry_t *entry)
{
    if (ngx_queue_empty(&entry->queries)) {
        return NULL;
    }

    return ngx_queue_data(ngx_queue_head(&entry->queries),
                          ngx_http_goosebit_pg_query_t, queue);
}


/* a pooler gives out numbers of its own, with which it is asked to cancel */

static void
ngx_http_goosebit_pg_who(ngx_http_goosebit_pg_conn_t *conn, PGresult *res)
{
    uint32_t  pid;

    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1
        || PQgetlength(res, 0, 0) != sizeof(pid))
    {
        return;
    }

    ngx_memcpy(&pid, PQgetvalue(res, 0, 0), sizeof(pid));

    conn->direct = ((int) ntohl(pid) == PQbackendPID(conn->db));
}


static void
ngx_http_goosebit_pg_prepared(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *entry)
{
    if (ngx_http_goosebit_pg_good(entry->res)
        || ngx_http_goosebit_pg_state_is(entry->res, "42P05"))
    {
        /* or already there, as pgbouncer may have it */
        return;
    }

    if (entry->generation == conn->generation) {
        conn->prepared[entry->call] = 0;
    }

    ngx_log_error(NGX_LOG_WARN, conn->pg->log, 0,
                  "goosebit: could not prepare %s: %s",
                  ngx_http_goosebit_call(entry->call)->name,
                  PQresultErrorField(entry->res, PG_DIAG_MESSAGE_PRIMARY));
}


static void
ngx_http_goosebit_pg_error(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_entry_t *entry)
{
    PGresult                      *res;
    const char                    *state, *message;
    ngx_uint_t                     status, level;
    ngx_http_goosebit_pg_query_t  *q;

    q = ngx_http_goosebit_pg_whose(entry);
    res = entry->res;

    if (ngx_http_goosebit_pg_is_stale(res)) {

        if (entry->generation == conn->generation) {
            conn->stale = 1;
        }

        if (q && !q->prepared) {
            q->prepared = 1;
            ngx_http_goosebit_pg_again(q);
            return;
        }
    }

    if (ngx_http_goosebit_pg_state_is(res, "25006")) {
        /* a standby now: connect to whom the strings says is the primary */
        conn->drain = 1;
    }

    if (q && !q->retried && ngx_http_goosebit_pg_passes(res)) {
        q->retried = 1;
        q->alone = 1;
        ngx_http_goosebit_pg_again(q);
        return;
    }

    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    status = ngx_http_goosebit_call_status(state);

    /* what a device has sent is not the operator's concern */

    level = (status < NGX_HTTP_INTERNAL_SERVER_ERROR) ? NGX_LOG_INFO
                                                      : NGX_LOG_ERR;

    ngx_log_error(level, conn->pg->log, 0, "goosebit: %s failed: %s (%s)",
                  ngx_http_goosebit_call(entry->call)->name,
                  message ? message : "no result", state ? state : "");

    if (q) {
        ngx_http_goosebit_pg_finish(q, status, NULL);
    }
}


void
ngx_http_goosebit_pg_forget(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_queue_t                   *item, *queue;
    ngx_http_goosebit_pg_entry_t  *entry;
    ngx_http_goosebit_pg_query_t  *q;

    conn->open = 0;
    ngx_http_goosebit_pg_fail_held(conn);

    for ( ;; ) {
        queue = ngx_queue_empty(&conn->ended) ? &conn->sent : &conn->ended;

        if (ngx_queue_empty(queue)) {
            return;
        }

        item = ngx_queue_head(queue);
        ngx_queue_remove(item);

        entry = ngx_queue_data(item, ngx_http_goosebit_pg_entry_t, queue);
        q = ngx_http_goosebit_pg_whose(entry);

        if (q && q->call->class == NGX_HTTP_GOOSEBIT_CLASS_READ
            && !q->retried)
        {
            q->retried = 1;
            ngx_http_goosebit_pg_again(q);

        } else {
            /* it may have been committed: the device is to ask again */
            ngx_http_goosebit_pg_fail_entry(entry);
        }

        ngx_http_goosebit_pg_release(entry);
    }
}


static ngx_uint_t
ngx_http_goosebit_pg_good(PGresult *res)
{
    ExecStatusType  status;

    status = PQresultStatus(res);

    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}


static ngx_uint_t
ngx_http_goosebit_pg_state_is(PGresult *res, const char *state)
{
    const char  *is;

    is = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return is && ngx_strcmp(is, state) == 0;
}


/* after a migration, or behind a pgbouncer that does not know of them */

static ngx_uint_t
ngx_http_goosebit_pg_is_stale(PGresult *res)
{
    const char  *function;

    if (ngx_http_goosebit_pg_state_is(res, "26000")) {
        return 1;
    }

    /* "cached plan must not change result type", in whatever language */

    function = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);

    return function && ngx_strcmp(function, "RevalidateCachedQuery") == 0;
}


/*
 * What the same call need not meet again: a standby, another's locks, or that a
 * migration replaced the functions under it.  PostgreSQL has many words for
 * that one, all of schemas that don't fit (42) or of itself (XX000, "cache
 * lookup failed"), and has undone the transaction.
 */

static ngx_uint_t
ngx_http_goosebit_pg_passes(PGresult *res)
{
    const char  *state;

    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return state
           && (ngx_strcmp(state, "25006") == 0
               || ngx_strcmp(state, "40001") == 0
               || ngx_strcmp(state, "40P01") == 0
               || ngx_strcmp(state, "XX000") == 0
               || ngx_strncmp(state, "42", 2) == 0);
}
