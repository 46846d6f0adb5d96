/*
 * A turn of the event loop: what waits goes out, on which connection, and in
 * whose company.
 */

#include "ngx_http_goosebit_pg_conn.h"


/* more in flight would only wait inside PostgreSQL, out of our reach */
#define NGX_HTTP_GOOSEBIT_PG_DEPTH  256
#define NGX_HTTP_GOOSEBIT_PG_BATCH  256

/* larger batches are little cheaper, and not waited for */
#define NGX_HTTP_GOOSEBIT_PG_ENOUGH  32


static void ngx_http_goosebit_pg_answer_failed(ngx_http_goosebit_pg_t *pg);
static ngx_uint_t ngx_http_goosebit_pg_connect(ngx_http_goosebit_pg_t *pg);
static void ngx_http_goosebit_pg_fail_waiting(ngx_http_goosebit_pg_t *pg);
static ngx_http_goosebit_pg_conn_t *ngx_http_goosebit_pg_writer(
    ngx_http_goosebit_pg_t *pg);
static ngx_http_goosebit_pg_conn_t *ngx_http_goosebit_pg_reader(
    ngx_http_goosebit_pg_t *pg, ngx_http_goosebit_pg_conn_t *writer);
static void ngx_http_goosebit_pg_send_reads(ngx_http_goosebit_pg_t *pg);
static void ngx_http_goosebit_pg_send_solo(ngx_http_goosebit_pg_t *pg);
static ngx_uint_t ngx_http_goosebit_pg_company(ngx_http_goosebit_pg_t *pg);
static ngx_uint_t ngx_http_goosebit_pg_gathers(ngx_http_goosebit_pg_t *pg);
static void ngx_http_goosebit_pg_send_gated(ngx_http_goosebit_pg_t *pg);
static void ngx_http_goosebit_pg_send_list(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t **list, ngx_uint_t n,
    ngx_http_goosebit_pg_how_e how);
static ngx_uint_t ngx_http_goosebit_pg_both(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_class_e class);
static ngx_uint_t ngx_http_goosebit_pg_may_share(ngx_queue_t *wait);
static ngx_int_t ngx_http_goosebit_pg_choose(ngx_http_goosebit_pg_t *pg);
static ngx_uint_t ngx_http_goosebit_pg_take(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_class_e class, ngx_http_goosebit_pg_query_t **list);
static int ngx_libc_cdecl ngx_http_goosebit_pg_compare(const void *one,
    const void *two);


/* all that an event of NGINX brought goes out together */

void
ngx_http_goosebit_pg_turn(ngx_event_t *ev)
{
    ngx_http_goosebit_pg_t  *pg;

    pg = ev->data;

    if (pg->waiting && ngx_http_goosebit_pg_connect(pg)) {
        ngx_http_goosebit_pg_send_reads(pg);
        ngx_http_goosebit_pg_send_solo(pg);
        ngx_http_goosebit_pg_send_gated(pg);
    }

    ngx_http_goosebit_pg_answer_failed(pg);

    ngx_http_goosebit_metrics_set(pg->mcf->metrics,
                                  NGX_HTTP_GOOSEBIT_DB_QUEUED, pg->waiting);

    ngx_http_goosebit_pg_check_exiting(pg);
}


static void
ngx_http_goosebit_pg_answer_failed(ngx_http_goosebit_pg_t *pg)
{
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_query_t  *q;

    while (!ngx_queue_empty(&pg->failed)) {
        item = ngx_queue_head(&pg->failed);
        q = ngx_queue_data(item, ngx_http_goosebit_pg_query_t, queue);

        ngx_http_goosebit_pg_finish(q, q->status, NULL);
    }
}


/* true if a connection is ready; else what waits goes on waiting, or fails */

static ngx_uint_t
ngx_http_goosebit_pg_connect(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t                    i, on_its_way;
    ngx_http_goosebit_pg_conn_t  *conn;

    on_its_way = 0;

    for (i = 0; i < pg->nconns; i++) {
        conn = &pg->conns[i];

        if (conn->state == NGX_HTTP_GOOSEBIT_PG_READY && !conn->drain) {
            return 1;
        }

        if (conn->state != NGX_HTTP_GOOSEBIT_PG_CLOSED
            || conn->timer.timer_set)
        {
            on_its_way = 1;
        }
    }

    if (pg->down) {
        ngx_http_goosebit_pg_fail_waiting(pg);

    } else if (!on_its_way) {
        /* a worker that stops has closed them */
        ngx_http_goosebit_pg_conn_open(&pg->conns[0]);
    }

    return 0;
}


static void
ngx_http_goosebit_pg_fail_waiting(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t                     i;
    ngx_queue_t                   *item;
    ngx_http_goosebit_pg_query_t  *q;

    for (i = 0; i < NGX_HTTP_GOOSEBIT_CLASSES; i++) {
        while (!ngx_queue_empty(&pg->wait[i])) {
            item = ngx_queue_head(&pg->wait[i]);
            q = ngx_queue_data(item, ngx_http_goosebit_pg_query_t, queue);

            ngx_http_goosebit_pg_fail(q, NGX_HTTP_SERVICE_UNAVAILABLE);
        }
    }
}


/* the first that is ready writes, the others read */

static ngx_http_goosebit_pg_conn_t *
ngx_http_goosebit_pg_writer(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t                    i;
    ngx_http_goosebit_pg_conn_t  *conn;

    for (i = 0; i < pg->nconns; i++) {
        conn = &pg->conns[i];

        if (conn->state == NGX_HTTP_GOOSEBIT_PG_READY && !conn->drain) {
            return conn;
        }
    }

    return NULL;
}


static ngx_http_goosebit_pg_conn_t *
ngx_http_goosebit_pg_reader(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_pg_conn_t *writer)
{
    ngx_uint_t                    i;
    ngx_http_goosebit_pg_conn_t  *conn, *best;

    best = NULL;

    for (i = 0; i < pg->nconns; i++) {
        conn = &pg->conns[i];

        if (conn->state != NGX_HTTP_GOOSEBIT_PG_READY || conn->drain
            || conn == writer)
        {
            continue;
        }

        if (best == NULL || conn->busy < best->busy) {
            best = conn;
        }
    }

    if (best == NULL) {
        best = writer;
    }

    if (best && best->busy >= NGX_HTTP_GOOSEBIT_PG_DEPTH) {
        return NULL;
    }

    return best;
}


/*
 * Reads of one turn share a transaction, too: PL/pgSQL sets up its expressions
 * anew in each, which is a third of what a poll costs.
 */

static void
ngx_http_goosebit_pg_send_reads(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t                     n;
    ngx_http_goosebit_pg_conn_t   *conn;
    ngx_http_goosebit_pg_query_t  *list[NGX_HTTP_GOOSEBIT_PG_BATCH];

    while (!ngx_queue_empty(&pg->wait[NGX_HTTP_GOOSEBIT_CLASS_READ])) {
        conn = ngx_http_goosebit_pg_reader(pg,
                                           ngx_http_goosebit_pg_writer(pg));
        if (conn == NULL) {
            return;
        }

        n = ngx_http_goosebit_pg_take(pg, NGX_HTTP_GOOSEBIT_CLASS_READ, list);

        ngx_http_goosebit_pg_send_list(conn, list, n,
                                       NGX_HTTP_GOOSEBIT_PG_FREE);
    }
}


/*
 * What a worker itself has to write each second can take some milliseconds.
 * While devices write, it goes where nobody reads, so that they need not wait.
 */

static void
ngx_http_goosebit_pg_send_solo(ngx_http_goosebit_pg_t *pg)
{
    ngx_http_goosebit_pg_conn_t   *conn, *writer;
    ngx_http_goosebit_pg_query_t  *q;

    if (ngx_queue_empty(&pg->wait[NGX_HTTP_GOOSEBIT_CLASS_SOLO])
        || (pg->gate == NULL && ngx_http_goosebit_pg_company(pg) == 0))
    {
        return;
    }

    writer = ngx_http_goosebit_pg_writer(pg);
    conn = ngx_http_goosebit_pg_reader(pg, writer);

    if (conn == NULL || conn == writer || conn->busy) {
        return;
    }

    (void) ngx_http_goosebit_pg_take(pg, NGX_HTTP_GOOSEBIT_CLASS_SOLO, &q);

    ngx_http_goosebit_pg_send_list(conn, &q, 1, NGX_HTTP_GOOSEBIT_PG_FREE);
}


/*
 * A device that is being updated asks again as soon as it is answered.  So the
 * next batch waits for as many as were in the last one, to go with those that
 * wait already: the larger batches are, the less of a transaction, of the disk
 * and of PostgreSQL's cold caches each call has to bear.
 */

void
ngx_http_goosebit_pg_open_gate(ngx_http_goosebit_pg_t *pg)
{
    pg->gate = NULL;

    if (pg->gate_class != NGX_HTTP_GOOSEBIT_CLASS_SOLO
        && pg->gate_size > 1 && pg->database->gather)
    {
        pg->gather = ngx_min(pg->gate_size + ngx_http_goosebit_pg_company(pg),
                             NGX_HTTP_GOOSEBIT_PG_ENOUGH);
        ngx_add_timer(&pg->gate_timer, pg->database->gather);
    }

    ngx_http_goosebit_pg_post(pg);
}


/* devices that wait for the gate, as far as it matters how many */

static ngx_uint_t
ngx_http_goosebit_pg_company(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t    i, n;
    ngx_queue_t  *item, *wait;

    n = 0;

    for (i = 0; i < NGX_HTTP_GOOSEBIT_CLASSES; i++) {

        if (i != NGX_HTTP_GOOSEBIT_CLASS_START
            && i != NGX_HTTP_GOOSEBIT_CLASS_WRITE)
        {
            continue;
        }

        wait = &pg->wait[i];

        for (item = ngx_queue_head(wait);
             item != wait && n < NGX_HTTP_GOOSEBIT_PG_ENOUGH;
             item = ngx_queue_next(item))
        {
            n++;
        }
    }

    return n;
}


static ngx_uint_t
ngx_http_goosebit_pg_gathers(ngx_http_goosebit_pg_t *pg)
{
    if (!pg->gate_timer.timer_set) {
        return 0;
    }

    if (ngx_http_goosebit_pg_company(pg) < pg->gather) {
        return 1;
    }

    ngx_del_timer(&pg->gate_timer);

    return 0;
}


/*
 * All that came while the last batch was being committed goes as the next one,
 * so that a commit's wait for the disk is shared.
 *
 * Starts hold their tenant's slot lock until they are committed.  Where writes
 * wait as well, the starts' transaction goes first and does not wait for the
 * disk: the writes' commit, right behind it, does so for both, and only then
 * are those who started answered.
 */

static void
ngx_http_goosebit_pg_send_gated(ngx_http_goosebit_pg_t *pg)
{
    ngx_int_t                      class;
    ngx_uint_t                     n, both;
    ngx_http_goosebit_pg_conn_t   *conn;
    ngx_http_goosebit_pg_query_t  *list[NGX_HTTP_GOOSEBIT_PG_BATCH];

    if (pg->gate) {
        return;
    }

    conn = ngx_http_goosebit_pg_writer(pg);
    if (conn == NULL) {
        return;
    }

    class = ngx_http_goosebit_pg_choose(pg);
    if (class == NGX_DECLINED) {
        return;
    }

    if (class != NGX_HTTP_GOOSEBIT_CLASS_SOLO) {
        if (ngx_http_goosebit_pg_gathers(pg)) {
            return;
        }

        pg->gate_size = ngx_http_goosebit_pg_company(pg);
    }

    both = ngx_http_goosebit_pg_both(pg, class);

    if (both) {
        pg->gate = conn;
        pg->gate_syncs = 2;

        n = ngx_http_goosebit_pg_take(pg, NGX_HTTP_GOOSEBIT_CLASS_START, list);
        ngx_http_goosebit_pg_send_list(conn, list, n,
                                       NGX_HTTP_GOOSEBIT_PG_HELD);

        if (pg->gate == NULL) {
            return;
        }

        class = NGX_HTTP_GOOSEBIT_CLASS_WRITE;
    }

    n = ngx_http_goosebit_pg_take(pg, class, list);

    pg->gate_class = class;

    if (!both) {
        pg->gate = conn;
        pg->gate_syncs = list[0]->alone ? n : 1;
    }

    ngx_http_goosebit_pg_send_list(conn, list, n,
                                   both ? NGX_HTTP_GOOSEBIT_PG_FLUSH
                                        : NGX_HTTP_GOOSEBIT_PG_GATED);
}


/* starts and writes wait, and none that has to be repeated alone */

static ngx_uint_t
ngx_http_goosebit_pg_both(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_class_e class)
{
    return class != NGX_HTTP_GOOSEBIT_CLASS_SOLO
           && ngx_http_goosebit_pg_may_share(
                                   &pg->wait[NGX_HTTP_GOOSEBIT_CLASS_START])
           && ngx_http_goosebit_pg_may_share(
                                   &pg->wait[NGX_HTTP_GOOSEBIT_CLASS_WRITE]);
}


static ngx_uint_t
ngx_http_goosebit_pg_may_share(ngx_queue_t *wait)
{
    ngx_http_goosebit_pg_query_t  *q;

    if (ngx_queue_empty(wait)) {
        return 0;
    }

    q = ngx_queue_data(ngx_queue_head(wait), ngx_http_goosebit_pg_query_t,
                       queue);

    return !q->alone;
}


/* in one transaction, or those of a failed batch each in its own */

static void
ngx_http_goosebit_pg_send_list(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t **list, ngx_uint_t n,
    ngx_http_goosebit_pg_how_e how)
{
    ngx_uint_t  i;

    if (!list[0]->alone) {
        (void) ngx_http_goosebit_pg_send(conn, list, n, how);
        return;
    }

    for (i = 0; i < n; i++) {
        if (ngx_http_goosebit_pg_send(conn, &list[i], 1, how) != NGX_OK) {
            break;
        }
    }

    for (i++; i < n; i++) {
        ngx_http_goosebit_pg_again(list[i]);
    }
}


/* the gated classes in turn, so that none keeps the others waiting */

static ngx_int_t
ngx_http_goosebit_pg_choose(ngx_http_goosebit_pg_t *pg)
{
    ngx_uint_t  i, class;

    for (i = 1; i <= NGX_HTTP_GOOSEBIT_CLASSES; i++) {
        class = (pg->gate_class + i) % NGX_HTTP_GOOSEBIT_CLASSES;

        if (class != NGX_HTTP_GOOSEBIT_CLASS_READ
            && !ngx_queue_empty(&pg->wait[class]))
        {
            return class;
        }
    }

    return NGX_DECLINED;
}


/*
 * Those that may share a transaction, in the order in which they lock their
 * rows; or those of a failed batch, which may not.
 */

static ngx_uint_t
ngx_http_goosebit_pg_take(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_class_e class, ngx_http_goosebit_pg_query_t **list)
{
    ngx_uint_t                     n, max;
    ngx_queue_t                   *wait;
    ngx_http_goosebit_pg_query_t  *q;

    wait = &pg->wait[class];
    max = (class == NGX_HTTP_GOOSEBIT_CLASS_SOLO) ? 1
                                                  : NGX_HTTP_GOOSEBIT_PG_BATCH;

    for (n = 0; n < max && !ngx_queue_empty(wait); n++) {
        q = ngx_queue_data(ngx_queue_head(wait), ngx_http_goosebit_pg_query_t,
                           queue);

        if (n && q->alone != list[0]->alone) {
            break;
        }

        ngx_http_goosebit_pg_unwait(q);
        list[n] = q;
    }

    if (n > 1 && !list[0]->alone && class != NGX_HTTP_GOOSEBIT_CLASS_READ) {
        ngx_qsort(list, n, sizeof(ngx_http_goosebit_pg_query_t *),
                  ngx_http_goosebit_pg_compare);
    }

    return n;
}


static int ngx_libc_cdecl
ngx_http_goosebit_pg_compare(const void *one, const void *two)
{
    ngx_int_t                       rc;
    ngx_http_goosebit_pg_query_t  **a, **b;

    a = (ngx_http_goosebit_pg_query_t **) one;
    b = (ngx_http_goosebit_pg_query_t **) two;

    /* tenants match whatever their case */

    if ((*a)->tenant.len != (*b)->tenant.len) {
        return ((*a)->tenant.len < (*b)->tenant.len) ? -1 : 1;
    }

    rc = ngx_strncasecmp((*a)->tenant.data, (*b)->tenant.data,
                         (*a)->tenant.len);
    if (rc) {
        return (rc < 0) ? -1 : 1;
    }

    rc = ngx_memn2cmp((*a)->device.data, (*b)->device.data,
                      (*a)->device.len, (*b)->device.len);
    if (rc) {
        return (rc < 0) ? -1 : 1;
    }

    return ((*a)->number < (*b)->number) ? -1 : 1;
}
