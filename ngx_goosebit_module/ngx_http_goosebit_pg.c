/*
 * A worker's pool: submit, detach, answer once, deadlines, start and stop.
 */

#include "ngx_http_goosebit_pg_conn.h"


static void ngx_http_goosebit_pg_cleanup(void *data);
static void ngx_http_goosebit_pg_unlink(ngx_http_goosebit_pg_query_t *q);
static void ngx_http_goosebit_pg_deadline(ngx_event_t *ev);
static void ngx_http_goosebit_pg_set_timer(ngx_http_goosebit_pg_t *pg);
static ngx_uint_t ngx_http_goosebit_pg_retry_after(
    ngx_http_goosebit_pg_t *pg);
static uint64_t ngx_http_goosebit_pg_now(void);


ngx_http_goosebit_pg_t *
ngx_http_goosebit_pg_init(ngx_cycle_t *cycle,
    ngx_http_goosebit_main_conf_t *mcf)
{
    ngx_uint_t               i;
    ngx_pool_t              *pool;
    ngx_http_goosebit_pg_t  *pg;

    pool = ngx_create_pool(4096, cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    pg = ngx_pcalloc(pool, sizeof(ngx_http_goosebit_pg_t));
    if (pg == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    pg->pool = pool;
    pg->log = cycle->log;
    pg->mcf = mcf;
    pg->database = &mcf->database;
    pg->nconns = mcf->database.connections;

    pg->conns = ngx_pcalloc(pool, pg->nconns
                                  * sizeof(ngx_http_goosebit_pg_conn_t));
    if (pg->conns == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    for (i = 0; i < NGX_HTTP_GOOSEBIT_CLASSES; i++) {
        ngx_queue_init(&pg->wait[i]);
    }

    ngx_queue_init(&pg->failed);
    ngx_queue_init(&pg->live);
    ngx_queue_init(&pg->spare);

    pg->turn.handler = ngx_http_goosebit_pg_turn;
    pg->turn.data = pg;
    pg->turn.log = pg->log;

    pg->gate_timer.handler = ngx_http_goosebit_pg_turn;
    pg->gate_timer.data = pg;
    pg->gate_timer.log = pg->log;

    pg->timer.handler = ngx_http_goosebit_pg_deadline;
    pg->timer.data = pg;
    pg->timer.log = pg->log;

    ngx_http_goosebit_pg_host_init(pg);

    for (i = 0; i < pg->nconns; i++) {
        pg->conns[i].number = i;
        ngx_http_goosebit_pg_conn_init(pg, &pg->conns[i]);
        ngx_http_goosebit_pg_conn_later(&pg->conns[i], 1);
    }

    return pg;
}


void
ngx_http_goosebit_pg_exit(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t  i;

    for (i = 0; i < pg->nconns; i++) {
        ngx_http_goosebit_pg_conn_close(&pg->conns[i]);
    }

    ngx_http_goosebit_pg_host_exit(pg);

    if (pg->timer.timer_set) {
        ngx_del_timer(&pg->timer);
    }

    if (pg->gate_timer.timer_set) {
        ngx_del_timer(&pg->gate_timer);
    }

    if (pg->turn.posted) {
        ngx_delete_posted_event(&pg->turn);
    }

    ngx_destroy_pool(pg->pool);
}


ngx_http_goosebit_pg_query_t *
ngx_http_goosebit_pg_create(ngx_pool_t *pool, ngx_http_goosebit_call_e call)
{
    ngx_http_goosebit_pg_query_t  *q;

    q = ngx_pcalloc(pool, sizeof(ngx_http_goosebit_pg_query_t));
    if (q == NULL) {
        return NULL;
    }

    q->cleanup = ngx_pool_cleanup_add(pool, 0);
    if (q->cleanup == NULL) {
        return NULL;
    }

    q->cleanup->handler = ngx_http_goosebit_pg_cleanup;
    q->cleanup->data = q;
    q->pool = pool;
    q->index = call;
    q->call = ngx_http_goosebit_call(call);

    return q;
}


void
ngx_http_goosebit_pg_submit(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_pg_query_t *q)
{
    q->pg = pg;
    q->number = pg->number++;
    q->start = ngx_http_goosebit_pg_now();
    q->deadline = ngx_current_msec + pg->database->timeout;

    ngx_queue_insert_tail(&pg->live, &q->live);
    ngx_http_goosebit_pg_post(pg);

    if (!pg->timer.timer_set) {
        ngx_add_timer(&pg->timer, pg->database->timeout);
    }

    if (q->nparams != q->call->nparams) {
        ngx_log_error(NGX_LOG_ALERT, pg->log, 0,
                      "goosebit: %s called with %ui parameters",
                      q->call->name, q->nparams);
        q->invalid = 1;
    }

    if (q->invalid) {
        ngx_http_goosebit_pg_fail(q, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (pg->down) {
        ngx_http_goosebit_pg_fail(q, NGX_HTTP_SERVICE_UNAVAILABLE);
        return;
    }

    if (pg->waiting >= pg->database->queue) {
        ngx_log_error(NGX_LOG_WARN, pg->log, 0,
                      "goosebit: queue=%ui is full, %s refused",
                      pg->database->queue, q->call->name);
        ngx_http_goosebit_pg_fail(q, NGX_HTTP_SERVICE_UNAVAILABLE);
        return;
    }

    ngx_queue_insert_tail(&pg->wait[q->call->class], &q->queue);
    q->waiting = 1;
    pg->waiting++;

    ngx_http_goosebit_metrics_set(pg->mcf->metrics,
                                  NGX_HTTP_GOOSEBIT_DB_QUEUED, pg->waiting);
}


void
ngx_http_goosebit_pg_detach(ngx_http_goosebit_pg_query_t *q)
{
    ngx_http_goosebit_pg_t  *pg;

    pg = q->pg;

    q->cleanup->handler = NULL;

    if (pg == NULL) {
        return;
    }

    ngx_http_goosebit_pg_unlink(q);

    if (ngx_exiting) {
        ngx_http_goosebit_pg_post(pg);
    }
}


static void
ngx_http_goosebit_pg_cleanup(void *data)
{
    ngx_http_goosebit_pg_detach(data);
}


/* out of every queue; an entry that was sent goes on without it */

static void
ngx_http_goosebit_pg_unlink(ngx_http_goosebit_pg_query_t *q)
{
    ngx_http_goosebit_pg_t  *pg;

    pg = q->pg;

    if (q->entry) {
        ngx_http_goosebit_pg_unsend(q);

    } else if (q->waiting) {
        ngx_http_goosebit_pg_unwait(q);

    } else if (q->status) {
        ngx_queue_remove(&q->queue);
    }

    ngx_queue_remove(&q->live);
    q->pg = NULL;

    if (ngx_queue_empty(&pg->live) && pg->timer.timer_set) {
        ngx_del_timer(&pg->timer);
    }
}


void
ngx_http_goosebit_pg_unsend(ngx_http_goosebit_pg_query_t *q)
{
    ngx_queue_remove(&q->queue);
    q->entry = NULL;
}


void
ngx_http_goosebit_pg_unwait(ngx_http_goosebit_pg_query_t *q)
{
    ngx_queue_remove(&q->queue);
    q->waiting = 0;
    q->pg->waiting--;

    ngx_http_goosebit_metrics_set(q->pg->mcf->metrics,
                                  NGX_HTTP_GOOSEBIT_DB_QUEUED,
                                  q->pg->waiting);
}


void
ngx_http_goosebit_pg_finish(ngx_http_goosebit_pg_query_t *q,
    ngx_uint_t status, PGresult *res)
{
    uint64_t                        time;
    ngx_http_goosebit_pg_t         *pg;
    ngx_http_goosebit_metrics_t    *metrics;
    ngx_http_goosebit_pg_entry_t   *entry;
    ngx_http_goosebit_pg_result_t   result;

    pg = q->pg;
    metrics = pg->mcf->metrics;

    ngx_memzero(&result, sizeof(ngx_http_goosebit_pg_result_t));

    result.status = status;

    if (res) {
        entry = q->entry;

        result.res = res;
        result.first = q->row;
        result.rows = entry->rows ? 1 : PQntuples(res);
    }

    ngx_http_goosebit_pg_unlink(q);
    q->cleanup->handler = NULL;

    time = ngx_http_goosebit_pg_now() - q->start;

    if (q->ctx) {
        q->ctx->db_time += time;
        q->ctx->db_calls++;
    }

    ngx_http_goosebit_metrics_count(metrics, NGX_HTTP_GOOSEBIT_DB_CALLS, 1);
    ngx_http_goosebit_metrics_count(metrics,
                                    NGX_HTTP_GOOSEBIT_DB_MICROSECONDS, time);

    if (res == NULL && status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        result.retry_after = ngx_http_goosebit_pg_retry_after(pg);
        ngx_http_goosebit_metrics_count(metrics, NGX_HTTP_GOOSEBIT_DB_ERRORS,
                                        1);
    }

    q->handler(&result, q->data);
}


void
ngx_http_goosebit_pg_fail(ngx_http_goosebit_pg_query_t *q, ngx_uint_t status)
{
    if (q->entry) {
        ngx_http_goosebit_pg_unsend(q);

    } else if (q->waiting) {
        ngx_http_goosebit_pg_unwait(q);
    }

    q->status = status;
    ngx_queue_insert_tail(&q->pg->failed, &q->queue);
    ngx_http_goosebit_pg_post(q->pg);
}


void
ngx_http_goosebit_pg_again(ngx_http_goosebit_pg_query_t *q)
{
    ngx_queue_t                   *wait, *after;
    ngx_http_goosebit_pg_t        *pg;
    ngx_http_goosebit_pg_query_t  *other;

    pg = q->pg;

    if (q->entry) {
        ngx_http_goosebit_pg_unsend(q);
    }

    /* those that come again keep their order among themselves */

    wait = &pg->wait[q->call->class];

    for (after = wait; ngx_queue_next(after) != wait;
         after = ngx_queue_next(after))
    {
        other = ngx_queue_data(ngx_queue_next(after),
                               ngx_http_goosebit_pg_query_t, queue);

        if (other->number > q->number) {
            break;
        }
    }

    ngx_queue_insert_head(after, &q->queue);
    q->waiting = 1;
    pg->waiting++;

    ngx_http_goosebit_pg_post(pg);
}


void
ngx_http_goosebit_pg_post(ngx_http_goosebit_pg_t *pg)
{
    ngx_post_event(&pg->turn, &ngx_posted_events);
}


void
ngx_http_goosebit_pg_up(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t                    i;
    ngx_http_goosebit_pg_conn_t  *conn;

    if (pg->down) {
        ngx_log_error(NGX_LOG_NOTICE, pg->log, 0,
                      "goosebit: PostgreSQL is back");
        pg->down = 0;

        /* what one has found the others need not wait for */

        for (i = 0; i < pg->nconns; i++) {
            conn = &pg->conns[i];

            if (conn->state == NGX_HTTP_GOOSEBIT_PG_CLOSED) {
                ngx_http_goosebit_pg_conn_later(conn, 1 + ngx_random() % 100);
            }
        }
    }

    ngx_http_goosebit_pg_post(pg);
}


void
ngx_http_goosebit_pg_failed(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t  i;

    for (i = 0; i < pg->nconns; i++) {
        if (pg->conns[i].state == NGX_HTTP_GOOSEBIT_PG_READY) {
            return;
        }
    }

    if (!pg->down) {
        ngx_log_error(NGX_LOG_ERR, pg->log, 0,
                      "goosebit: PostgreSQL is gone");
        pg->down = 1;
        ngx_http_goosebit_pg_host_files(pg);
    }

    ngx_http_goosebit_pg_post(pg);
}


ngx_uint_t
ngx_http_goosebit_pg_down(ngx_http_goosebit_pg_t *pg)
{
    return pg->down;
}


static void
ngx_http_goosebit_pg_deadline(ngx_event_t *ev)
{
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_t        *pg;
    ngx_http_goosebit_pg_conn_t   *conn;
    ngx_http_goosebit_pg_entry_t  *entry;
    ngx_http_goosebit_pg_query_t  *q;

    pg = ev->data;

    while (!ngx_queue_empty(&pg->live)) {
        item = ngx_queue_head(&pg->live);
        q = ngx_queue_data(item, ngx_http_goosebit_pg_query_t, live);

        if ((ngx_msec_int_t) (q->deadline - ngx_current_msec) > 0) {
            break;
        }

        entry = q->entry;
        conn = entry ? entry->conn : NULL;

        ngx_log_error(NGX_LOG_ERR, pg->log, 0,
                      "goosebit: %s timed out%s", q->call->name,
                      conn ? "" : (q->waiting && !q->retried)
                      ? " before it was sent" : ", its connection was lost");

        ngx_http_goosebit_pg_finish(q, NGX_HTTP_SERVICE_UNAVAILABLE, NULL);

        /*
         * A connection that brought nothing for so long would keep all others
         * waiting behind what nobody waits for any more.
         */

        if (conn && conn->state == NGX_HTTP_GOOSEBIT_PG_READY
            && (ngx_msec_int_t) (ngx_current_msec - conn->heard)
               >= (ngx_msec_int_t) pg->database->timeout)
        {
            ngx_http_goosebit_pg_conn_lost(conn, "no answer in time");
        }
    }

    ngx_http_goosebit_pg_set_timer(pg);
    ngx_http_goosebit_pg_check_exiting(pg);
}


static void
ngx_http_goosebit_pg_set_timer(ngx_http_goosebit_pg_t *pg)
{
    ngx_msec_int_t                 delay;
    ngx_http_goosebit_pg_query_t  *q;

    if (ngx_queue_empty(&pg->live) || pg->timer.timer_set) {
        return;
    }

    q = ngx_queue_data(ngx_queue_head(&pg->live),
                       ngx_http_goosebit_pg_query_t, live);

    delay = (ngx_msec_int_t) (q->deadline - ngx_current_msec);

    ngx_add_timer(&pg->timer, (delay > 0) ? (ngx_msec_t) delay : 1);
}


void
ngx_http_goosebit_pg_on_exiting(ngx_http_goosebit_pg_t *pg,
    void (*handler)(void *data), void *data)
{
    pg->exiting = handler;
    pg->exiting_data = data;
}


void
ngx_http_goosebit_pg_check_exiting(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t  i;

    if (!ngx_exiting) {
        return;
    }

    if (!pg->told_exiting) {
        pg->told_exiting = 1;

        if (pg->exiting) {
            pg->exiting(pg->exiting_data);
        }
    }

    if (!ngx_queue_empty(&pg->live)) {
        return;
    }

    for (i = 0; i < pg->nconns; i++) {
        ngx_http_goosebit_pg_conn_close(&pg->conns[i]);
    }
}


/* spread, so that not all devices come back in one second */

static ngx_uint_t
ngx_http_goosebit_pg_retry_after(ngx_http_goosebit_pg_t *pg)
{
    return (pg->down ? 5 : 1) + ngx_random() % 5;
}


static uint64_t
ngx_http_goosebit_pg_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
