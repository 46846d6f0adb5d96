/*
 * One PGconn as NGINX events: connect, read, write, lose, connect again.
 *
 * The descriptor is libpq's.  Events are level-triggered: libpq reads as much
 * as it likes at a time, and an edge would not come twice for the rest.
 */

#include "ngx_http_goosebit_pg_conn.h"
#include "gb_text.h"


#define NGX_HTTP_GOOSEBIT_PG_BACKOFF      200       /* ms, doubled each time */
#define NGX_HTTP_GOOSEBIT_PG_BACKOFF_MAX  5000

/* a TLS record is 16 KB at most, and libpq reads at least 8 KB at a time */
#define NGX_HTTP_GOOSEBIT_PG_TLS_READS    3


static ngx_int_t ngx_http_goosebit_pg_conn_start(
    ngx_http_goosebit_pg_conn_t *conn);
static void ngx_http_goosebit_pg_conn_poll(ngx_http_goosebit_pg_conn_t *conn);
static ngx_int_t ngx_http_goosebit_pg_conn_ready(
    ngx_http_goosebit_pg_conn_t *conn);
static void ngx_http_goosebit_pg_conn_next(ngx_http_goosebit_pg_conn_t *conn,
    const char *why);
static ngx_msec_t ngx_http_goosebit_pg_conn_backoff(
    ngx_http_goosebit_pg_conn_t *conn);
static ngx_int_t ngx_http_goosebit_pg_conn_attach(
    ngx_http_goosebit_pg_conn_t *conn, ngx_uint_t read, ngx_uint_t write);
static void ngx_http_goosebit_pg_conn_free(ngx_http_goosebit_pg_conn_t *conn);
static void ngx_http_goosebit_pg_conn_read_handler(ngx_event_t *rev);
static void ngx_http_goosebit_pg_conn_write_handler(ngx_event_t *wev);
static void ngx_http_goosebit_pg_conn_timer_handler(ngx_event_t *ev);
static void ngx_http_goosebit_pg_conn_notice(void *data,
    const PGresult *res);
static void ngx_http_goosebit_pg_conn_log(ngx_http_goosebit_pg_conn_t *conn,
    ngx_uint_t level, const char *why);


void
ngx_http_goosebit_pg_conn_init(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_pg_conn_t *conn)
{
    conn->pg = pg;

    ngx_queue_init(&conn->sent);
    ngx_queue_init(&conn->ended);
    ngx_queue_init(&conn->held);

    conn->timer.handler = ngx_http_goosebit_pg_conn_timer_handler;
    conn->timer.data = conn;
    conn->timer.log = pg->log;

    /* a worker that stops need not wait for it */
    conn->timer.cancelable = 1;

    ngx_http_goosebit_pg_send_init(conn);
}


void
ngx_http_goosebit_pg_conn_later(ngx_http_goosebit_pg_conn_t *conn,
    ngx_msec_t delay)
{
    ngx_add_timer(&conn->timer, delay);
}


void
ngx_http_goosebit_pg_conn_open(ngx_http_goosebit_pg_conn_t *conn)
{
    if (conn->state != NGX_HTTP_GOOSEBIT_PG_CLOSED) {
        return;
    }

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (ngx_http_goosebit_pg_host_ready(conn->pg) == NGX_AGAIN) {
        /* in case that names can't be resolved at all */
        ngx_http_goosebit_pg_conn_later(conn,
                                        conn->pg->database->connect_timeout
                                        + 1000);
        return;
    }

    conn->tries = 0;
    conn->host = conn->pg->host;

    if (ngx_http_goosebit_pg_conn_start(conn) != NGX_OK) {
        ngx_http_goosebit_pg_conn_next(conn, NULL);
    }
}


static ngx_int_t
ngx_http_goosebit_pg_conn_start(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_uint_t               n;
    ngx_http_goosebit_pg_t  *pg;

    pg = conn->pg;

    n = ngx_http_goosebit_pg_host_count(pg);
    if (n == 0) {
        return NGX_ERROR;
    }

    conn->host %= n;
    conn->state = NGX_HTTP_GOOSEBIT_PG_CONNECTING;

    conn->db = ngx_http_goosebit_pg_host_start(pg, conn->host);

    if (conn->db == NULL || PQstatus(conn->db) == CONNECTION_BAD) {
        return NGX_ERROR;
    }

    PQsetNoticeReceiver(conn->db, ngx_http_goosebit_pg_conn_notice, conn);

    ngx_add_timer(&conn->timer, pg->database->connect_timeout);

    conn->polling = PGRES_POLLING_WRITING;

    return ngx_http_goosebit_pg_conn_attach(conn, 0, 1);
}


static void
ngx_http_goosebit_pg_conn_poll(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_int_t  rc;

    /*
     * libpq may close the descriptor and open another, even with the same
     * number: what epoll knew of it is forgotten before, told anew after.
     */

    ngx_http_goosebit_pg_conn_free(conn);

    conn->polling = PQconnectPoll(conn->db);

    switch (conn->polling) {

    case PGRES_POLLING_READING:
        rc = ngx_http_goosebit_pg_conn_attach(conn, 1, 0);
        break;

    case PGRES_POLLING_WRITING:
        rc = ngx_http_goosebit_pg_conn_attach(conn, 0, 1);
        break;

    case PGRES_POLLING_OK:
        rc = ngx_http_goosebit_pg_conn_ready(conn);
        break;

    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
    default:
        rc = NGX_ERROR;
        break;
    }

    if (rc == NGX_ERROR) {
        ngx_http_goosebit_pg_conn_next(conn, NULL);
    }
}


static ngx_int_t
ngx_http_goosebit_pg_conn_ready(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_http_goosebit_pg_t  *pg;

    pg = conn->pg;

    if (PQsetnonblocking(conn->db, 1) == -1
        || PQenterPipelineMode(conn->db) == 0
        || ngx_http_goosebit_pg_conn_attach(conn, 1, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_del_timer(&conn->timer);

    conn->state = NGX_HTTP_GOOSEBIT_PG_READY;
    conn->heard = ngx_current_msec;
    conn->proven = 0;
    conn->stale = 0;
    conn->drain = 0;
    conn->c->idle = 1;

    pg->host = conn->host;

    ngx_http_goosebit_metrics_gauge(pg->mcf->metrics,
                                    NGX_HTTP_GOOSEBIT_DB_CONNECTIONS, 1);

    ngx_log_error(NGX_LOG_INFO, pg->log, 0,
                  "goosebit: connected to PostgreSQL as %ui", conn->number);

    if (ngx_http_goosebit_pg_send_first(conn) != NGX_OK) {
        ngx_http_goosebit_pg_conn_lost(conn, NULL);
        return NGX_OK;
    }

    if (ngx_http_goosebit_pg_conn_flush(conn) == NGX_OK) {
        ngx_http_goosebit_pg_up(pg);
    }

    return NGX_OK;
}


/* this host won't do: the next one now, or all of them again later */

static void
ngx_http_goosebit_pg_conn_next(ngx_http_goosebit_pg_conn_t *conn,
    const char *why)
{
    ngx_http_goosebit_pg_t  *pg;

    pg = conn->pg;

    for ( ;; ) {
        ngx_http_goosebit_pg_conn_log(conn, NGX_LOG_ERR, why);
        ngx_http_goosebit_pg_conn_close(conn);

        conn->host++;
        conn->tries++;

        if (conn->tries >= ngx_http_goosebit_pg_host_count(pg)) {
            break;
        }

        if (ngx_http_goosebit_pg_conn_start(conn) == NGX_OK) {
            return;
        }

        why = NULL;
    }

    conn->failures++;
    pg->resolve = 1;

    if (!ngx_exiting) {
        ngx_http_goosebit_pg_conn_later(conn,
                                     ngx_http_goosebit_pg_conn_backoff(conn));
    }

    ngx_http_goosebit_pg_failed(pg);
}


static ngx_msec_t
ngx_http_goosebit_pg_conn_backoff(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_msec_t  delay;

    delay = (conn->failures > 5) ? NGX_HTTP_GOOSEBIT_PG_BACKOFF_MAX
                                 : (ngx_msec_t) NGX_HTTP_GOOSEBIT_PG_BACKOFF
                                   << conn->failures;

    delay = ngx_min(delay, NGX_HTTP_GOOSEBIT_PG_BACKOFF_MAX);

    return delay / 2 + ngx_random() % (delay / 2);
}


void
ngx_http_goosebit_pg_conn_lost(ngx_http_goosebit_pg_conn_t *conn,
    const char *why)
{
    ngx_http_goosebit_pg_t  *pg;

    pg = conn->pg;

    ngx_http_goosebit_pg_conn_log(conn, NGX_LOG_ERR, why);
    ngx_http_goosebit_metrics_count(pg->mcf->metrics,
                                    NGX_HTTP_GOOSEBIT_DB_RECONNECTS, 1);

    ngx_http_goosebit_pg_conn_close(conn);

    ngx_http_goosebit_pg_post(pg);

    if (ngx_exiting) {
        return;
    }

    /* one that fails before it has ever answered must not make a loop */

    conn->failures = conn->proven ? 0 : conn->failures + 1;

    ngx_http_goosebit_pg_conn_later(conn,
                             conn->failures
                             ? ngx_http_goosebit_pg_conn_backoff(conn)
                             : 1 + (ngx_msec_t) ngx_random() % 20);
}


void
ngx_http_goosebit_pg_conn_close(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_http_goosebit_pg_t  *pg;

    pg = conn->pg;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (conn->state == NGX_HTTP_GOOSEBIT_PG_READY) {
        ngx_http_goosebit_metrics_gauge(pg->mcf->metrics,
                                        NGX_HTTP_GOOSEBIT_DB_CONNECTIONS, -1);
    }

    conn->state = NGX_HTTP_GOOSEBIT_PG_CLOSED;

    ngx_http_goosebit_pg_conn_free(conn);

    if (conn->db) {
        PQfinish(conn->db);
        conn->db = NULL;
    }

    if (pg->gate == conn) {
        pg->gate = NULL;
    }

    ngx_http_goosebit_pg_forget(conn);
}


static ngx_int_t
ngx_http_goosebit_pg_conn_attach(ngx_http_goosebit_pg_conn_t *conn,
    ngx_uint_t read, ngx_uint_t write)
{
    int                fd;
    ngx_connection_t  *c;

    fd = PQsocket(conn->db);
    if (fd == -1) {
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, conn->pg->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = conn;
    c->read->handler = ngx_http_goosebit_pg_conn_read_handler;
    c->write->handler = ngx_http_goosebit_pg_conn_write_handler;
    c->read->log = conn->pg->log;
    c->write->log = conn->pg->log;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    conn->c = c;
    conn->writing = 0;

    if (read && ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT)
                != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (write && ngx_add_event(c->write, NGX_WRITE_EVENT, NGX_LEVEL_EVENT)
                 != NGX_OK)
    {
        return NGX_ERROR;
    }

    conn->writing = write;

    return NGX_OK;
}


/* NGINX's side of the connection alone: the descriptor stays open */

static void
ngx_http_goosebit_pg_conn_free(ngx_http_goosebit_pg_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->c;

    if (c == NULL) {
        return;
    }

    conn->c = NULL;

    if (PQsocket(conn->db) == c->fd) {

        if (c->read->active) {
            (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
        }

        if (c->write->active) {
            (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
        }

    } else {
        /* libpq has closed it, and so its events are gone */
        c->read->active = 0;
        c->write->active = 0;
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    c->read->closed = 1;
    c->write->closed = 1;
    c->idle = 0;

    ngx_free_connection(c);

    c->fd = (ngx_socket_t) -1;
}


static void
ngx_http_goosebit_pg_conn_read_handler(ngx_event_t *rev)
{
    ngx_uint_t                    n;
    ngx_connection_t             *c;
    ngx_http_goosebit_pg_t       *pg;
    ngx_http_goosebit_pg_conn_t  *conn;

    c = rev->data;
    conn = c->data;
    pg = conn->pg;

    if (c->close) {
        /* the worker stops, and this one is idle */
        c->close = 0;
        ngx_http_goosebit_pg_check_exiting(pg);
        return;
    }

    if (conn->state == NGX_HTTP_GOOSEBIT_PG_CONNECTING) {
        if (conn->polling == PGRES_POLLING_READING) {
            ngx_http_goosebit_pg_conn_poll(conn);
        }

        return;
    }

    conn->heard = ngx_current_msec;

    n = PQsslInUse(conn->db) ? NGX_HTTP_GOOSEBIT_PG_TLS_READS : 1;

    while (n--) {
        if (PQconsumeInput(conn->db) == 0
            || ngx_http_goosebit_pg_receive(conn) != NGX_OK)
        {
            ngx_http_goosebit_pg_conn_lost(conn, NULL);
            ngx_http_goosebit_pg_check_exiting(pg);
            return;
        }
    }

    if (conn->drain && ngx_queue_empty(&conn->sent)) {
        ngx_http_goosebit_pg_conn_lost(conn, "the server is read-only: name "
                                     "the primary, or all with "
                                     "target_session_attrs=read-write");
        return;
    }

    if (ngx_http_goosebit_pg_conn_flush(conn) == NGX_OK) {
        ngx_http_goosebit_pg_check_exiting(pg);
    }
}


static void
ngx_http_goosebit_pg_conn_write_handler(ngx_event_t *wev)
{
    ngx_connection_t             *c;
    ngx_http_goosebit_pg_conn_t  *conn;

    c = wev->data;
    conn = c->data;

    if (conn->state == NGX_HTTP_GOOSEBIT_PG_CONNECTING) {
        if (conn->polling == PGRES_POLLING_WRITING) {
            ngx_http_goosebit_pg_conn_poll(conn);
        }

        return;
    }

    (void) ngx_http_goosebit_pg_conn_flush(conn);
}


ngx_int_t
ngx_http_goosebit_pg_conn_flush(ngx_http_goosebit_pg_conn_t *conn)
{
    int           rc;
    ngx_event_t  *wev;

    rc = PQflush(conn->db);

    wev = conn->c->write;

    if (rc == 1 && !conn->writing) {
        if (ngx_add_event(wev, NGX_WRITE_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
            rc = -1;
        }

        conn->writing = 1;
    }

    if (rc == 0 && conn->writing) {
        if (ngx_del_event(wev, NGX_WRITE_EVENT, 0) != NGX_OK) {
            rc = -1;
        }

        conn->writing = 0;
    }

    if (rc == -1) {
        ngx_http_goosebit_pg_conn_lost(conn, NULL);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_goosebit_pg_conn_timer_handler(ngx_event_t *ev)
{
    ngx_http_goosebit_pg_conn_t  *conn;

    conn = ev->data;

    if (conn->state == NGX_HTTP_GOOSEBIT_PG_CLOSED) {
        if (!ngx_exiting || conn->pg->waiting) {
            ngx_http_goosebit_pg_conn_open(conn);
        }

        return;
    }

    ngx_http_goosebit_pg_conn_next(conn, "timed out");
}


static void
ngx_http_goosebit_pg_conn_notice(void *data, const PGresult *res)
{
    ngx_http_goosebit_pg_conn_log(data, NGX_LOG_NOTICE,
                                  PQresultErrorMessage(res));
}


/*
 * Libpq's own words, which name the host, where why is NULL.  As one line, and
 * as text: of a key that can't be read libpq 15 says why from freed memory.
 */

static void
ngx_http_goosebit_pg_conn_log(ngx_http_goosebit_pg_conn_t *conn,
    ngx_uint_t level, const char *why)
{
    size_t   n;
    u_char  *p, *last, buf[512];

    if (why) {
        last = ngx_snprintf(buf, sizeof(buf), "%s (%s)", why, PQhost(conn->db));

    } else {
        why = conn->db ? PQerrorMessage(conn->db) : "no address is known";
        last = ngx_snprintf(buf, sizeof(buf), "%s", why);
    }

    while (last > buf && last[-1] == LF) {
        last--;
    }

    for (p = buf; p < last; p += n) {
        n = gb_text_utf8((char *) p, last - p, NULL);

        if (n == 0 || *p < ' ' || *p == 0x7f) {
            *p = n ? ' ' : '?';
            n = 1;
        }
    }

    ngx_log_error(level, conn->pg->log, 0,
                  "goosebit: PostgreSQL connection %ui: %*s", conn->number,
                  (size_t) (last - buf), buf);
}
