/*
 * The insides of the pool: shared by the ngx_http_goosebit_pg_* rooms alone.
 */

#ifndef NGX_HTTP_GOOSEBIT_PG_CONN_H
#define NGX_HTTP_GOOSEBIT_PG_CONN_H


#include "ngx_http_goosebit_pg.h"
#include "ngx_http_goosebit_metrics.h"


typedef struct ngx_http_goosebit_pg_conn_s  ngx_http_goosebit_pg_conn_t;


typedef enum {
    NGX_HTTP_GOOSEBIT_PG_CLOSED = 0,    /* its timer may wait to connect */
    NGX_HTTP_GOOSEBIT_PG_CONNECTING,
    NGX_HTTP_GOOSEBIT_PG_READY
} ngx_http_goosebit_pg_state_e;


typedef enum {
    NGX_HTTP_GOOSEBIT_PG_QUERY = 0,
    NGX_HTTP_GOOSEBIT_PG_WHO,
    NGX_HTTP_GOOSEBIT_PG_PREPARE,
    NGX_HTTP_GOOSEBIT_PG_DEALLOCATE,
    NGX_HTTP_GOOSEBIT_PG_SYNC
} ngx_http_goosebit_pg_entry_e;


/* how a transaction travels */
typedef enum {
    NGX_HTTP_GOOSEBIT_PG_FREE = 0,
    NGX_HTTP_GOOSEBIT_PG_GATED,
    NGX_HTTP_GOOSEBIT_PG_HELD,          /* gated, does not wait for the disk */
    NGX_HTTP_GOOSEBIT_PG_FLUSH          /* gated, waits for the last one, too */
} ngx_http_goosebit_pg_how_e;


/* one expected result of a connection, in the order sent */
typedef struct {
    ngx_queue_t                        queue;
    ngx_http_goosebit_pg_entry_e       type;
    ngx_http_goosebit_pg_conn_t       *conn;
    ngx_queue_t                        queries;     /* whose result it is; none:
                                                       detached */
    ngx_uint_t                         rows;        /* a query has one; 0: the
                                                       one query has all */
    ngx_http_goosebit_call_e           call;
    PGresult                          *res;         /* until its sync */
    ngx_uint_t                         generation;  /* of the statements */
    unsigned                           gated:1;     /* a sync of the gate's */
    unsigned                           held:1;      /* a sync after which
                                                       nothing is safe yet */
    unsigned                           flush:1;     /* a sync that makes safe
                                                       what is held */
    unsigned                           lasts:1;     /* no sync: answered at
                                                       once */
} ngx_http_goosebit_pg_entry_t;


struct ngx_http_goosebit_pg_conn_s {
    ngx_http_goosebit_pg_t            *pg;
    ngx_uint_t                         number;
    ngx_http_goosebit_pg_state_e       state;

    PGconn                            *db;
    ngx_connection_t                  *c;           /* the fd is libpq's */
    PostgresPollingStatusType          polling;
    ngx_event_t                        timer;       /* connect time-out, or
                                                       when to connect again */
    ngx_uint_t                         host;        /* tried now */
    ngx_uint_t                         tries;       /* of this walk */
    ngx_uint_t                         failures;    /* walks in a row */

    ngx_queue_t                        sent;        /* entries */
    ngx_queue_t                        ended;       /* entries, until a sync */
    ngx_queue_t                        held;        /* entries, until the disk
                                                       has what they wrote */
    ngx_uint_t                         busy;        /* queries in all three */
    ngx_msec_t                         heard;       /* from it, the last time */

    ngx_uint_t                         open;        /* reads since the last
                                                       sync */
    ngx_msec_t                         read;        /* the last that lasts */
    ngx_event_t                        end;         /* of what is open */

    ngx_uint_t                         generation;
    u_char                             prepared[NGX_HTTP_GOOSEBIT_CALLS];

    unsigned                           proven:1;    /* has answered */
    unsigned                           direct:1;    /* no pooler between */
    unsigned                           stale:1;     /* statements are: prepare
                                                       again */
    unsigned                           drain:1;     /* close when empty */
    unsigned                           writing:1;   /* waits for writable */
};


struct ngx_http_goosebit_pg_s {
    ngx_http_goosebit_main_conf_t     *mcf;
    ngx_http_goosebit_database_t      *database;
    ngx_log_t                         *log;
    ngx_pool_t                        *pool;

    ngx_http_goosebit_pg_conn_t       *conns;
    ngx_uint_t                         nconns;

    ngx_queue_t                        wait[NGX_HTTP_GOOSEBIT_CLASSES];
    ngx_uint_t                         waiting;     /* in all of wait */
    ngx_queue_t                        failed;      /* to be answered */
    ngx_queue_t                        live;        /* submitted, unanswered */
    ngx_queue_t                        spare;       /* entries */
    ngx_uint_t                         number;

    ngx_event_t                        turn;        /* posted */
    ngx_event_t                        timer;       /* next deadline */

    /* one batch at a time, of one class; or starts, then writes */
    ngx_http_goosebit_pg_conn_t       *gate;
    ngx_uint_t                         gate_syncs;
    ngx_http_goosebit_class_e          gate_class;
    ngx_uint_t                         gate_size;   /* devices it let through
                                                       the last time */
    ngx_uint_t                         gather;      /* until so many wait, */
    ngx_event_t                        gate_timer;  /* or this expires */

    /* what host= and its names stand for now */
    ngx_http_goosebit_host_t          *hosts;
    ngx_uint_t                         nhosts;
    ngx_uint_t                         host;        /* the last that worked */
    ngx_pool_t                        *hosts_pool;  /* NULL: configuration's */
    ngx_pool_t                        *new_pool;    /* while resolving */
    ngx_array_t                        new_hosts;
    ngx_uint_t                         name;        /* resolved now */
    ngx_resolver_ctx_t                *resolving;

    void                             (*exiting)(void *data);
    void                              *exiting_data;

    unsigned                           down:1;
    unsigned                           told_pooler:1;
    unsigned                           resolve:1;   /* before connecting */
    unsigned                           told_exiting:1;
};


/* _pg.c */

/* handles what was queued since, in an event of its own */
void ngx_http_goosebit_pg_post(ngx_http_goosebit_pg_t *pg);

/* answers q with its rows of res (borrowed), or status where res is NULL */
void ngx_http_goosebit_pg_finish(ngx_http_goosebit_pg_query_t *q,
    ngx_uint_t status, PGresult *res);

/* answers q with status in a later event; it waits or was sent */
void ngx_http_goosebit_pg_fail(ngx_http_goosebit_pg_query_t *q,
    ngx_uint_t status);

/* queues a query that was sent once more, before all that wait */
void ngx_http_goosebit_pg_again(ngx_http_goosebit_pg_query_t *q);

/* nothing of what was sent is q's any more */
void ngx_http_goosebit_pg_unsend(ngx_http_goosebit_pg_query_t *q);

/* no longer in a wait queue */
void ngx_http_goosebit_pg_unwait(ngx_http_goosebit_pg_query_t *q);

/* a connection is ready, or could not be made */
void ngx_http_goosebit_pg_up(ngx_http_goosebit_pg_t *pg);
void ngx_http_goosebit_pg_failed(ngx_http_goosebit_pg_t *pg);

/* connections in need of nothing close while the worker stops */
void ngx_http_goosebit_pg_check_exiting(ngx_http_goosebit_pg_t *pg);


/* _pg_turn.c */

/* the posted event */
void ngx_http_goosebit_pg_turn(ngx_event_t *ev);

/* all that the gate let through is committed, or known to have failed */
void ngx_http_goosebit_pg_open_gate(ngx_http_goosebit_pg_t *pg);


/* _pg_conn.c */

void ngx_http_goosebit_pg_conn_init(ngx_http_goosebit_pg_t *pg,
    ngx_http_goosebit_pg_conn_t *conn);

/* begins to connect, unless it does already; later, after delay */
void ngx_http_goosebit_pg_conn_open(ngx_http_goosebit_pg_conn_t *conn);
void ngx_http_goosebit_pg_conn_later(ngx_http_goosebit_pg_conn_t *conn,
    ngx_msec_t delay);

/* closes it; what it had in flight is repeated or answered, each once */
void ngx_http_goosebit_pg_conn_lost(ngx_http_goosebit_pg_conn_t *conn,
    const char *why);

/* closes it without connecting again */
void ngx_http_goosebit_pg_conn_close(ngx_http_goosebit_pg_conn_t *conn);

/* sends what libpq holds back; NGX_ERROR: the connection was lost */
ngx_int_t ngx_http_goosebit_pg_conn_flush(ngx_http_goosebit_pg_conn_t *conn);


/* _pg_send.c */

/* once, before anything is sent */
void ngx_http_goosebit_pg_send_init(ngx_http_goosebit_pg_conn_t *conn);

/* asks who is there, prepares all; NGX_ERROR: the connection is broken */
ngx_int_t ngx_http_goosebit_pg_send_first(ngx_http_goosebit_pg_conn_t *conn);

/*
 * Sends n queries in one transaction with one sync; reads that come one after
 * the other share it with those of other turns.  NGX_ERROR: the connection was
 * lost, and they were seen to.
 */
ngx_int_t ngx_http_goosebit_pg_send(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t **list, ngx_uint_t n,
    ngx_http_goosebit_pg_how_e how);

/* has the disk take all that was committed before; the same */
ngx_int_t ngx_http_goosebit_pg_send_flush(ngx_http_goosebit_pg_conn_t *conn);

/* ends the transaction of reads that is open; NGX_ERROR: as above */
ngx_int_t ngx_http_goosebit_pg_send_end(ngx_http_goosebit_pg_conn_t *conn);

/* prepares one; the same */
ngx_int_t ngx_http_goosebit_pg_send_statement(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_call_e index);

/*
 * A call's entry, without a query so far, to be sent at once; NULL: out of
 * memory.  q is whose result it will bring, or one of several.
 */
ngx_http_goosebit_pg_entry_t *ngx_http_goosebit_pg_busy(
    ngx_http_goosebit_pg_conn_t *conn, ngx_http_goosebit_call_e index);
void ngx_http_goosebit_pg_expect(ngx_http_goosebit_pg_entry_t *entry,
    ngx_http_goosebit_pg_query_t *q);

/*
 * Sends the call with its parameters, all binary; prepared: as a prepared
 * statement, if it is one.  One that met a stale statement must not meet
 * another.
 */
ngx_int_t ngx_http_goosebit_pg_send_call(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_call_e index, const char *const *values,
    const int *lengths, ngx_uint_t prepared);

/* to the spare ones; the caller has taken it from its queue */
void ngx_http_goosebit_pg_release(ngx_http_goosebit_pg_entry_t *entry);


/* _pg_value.c */

/*
 * The next parameter, of that type (0: the call's, whatever it is), as an array
 * of n elements: room for size bytes, of their lengths (put32; -1: NULL) and
 * themselves.  NULL: q is invalid, for want of memory.
 */
u_char *ngx_http_goosebit_pg_array(ngx_http_goosebit_pg_query_t *q, Oid type,
    Oid element, ngx_uint_t n, size_t size);
u_char *ngx_http_goosebit_pg_put32(u_char *p, uint32_t n);
uint32_t ngx_http_goosebit_pg_get32(const u_char *p);

/* how many elements such a parameter has; leaves their bytes in array */
ngx_uint_t ngx_http_goosebit_pg_elements(ngx_str_t *array);


/* _pg_merge.c */

/*
 * Sends those of a batch that are one call together, if that pays.  NGX_OK:
 * whatever has an entry was sent.  NGX_ERROR: as above.
 */
ngx_int_t ngx_http_goosebit_pg_merge(ngx_http_goosebit_pg_conn_t *conn,
    ngx_http_goosebit_pg_query_t **list, ngx_uint_t n,
    ngx_http_goosebit_pg_how_e how);


/* _pg_result.c */

/* takes all results that are there; NGX_ERROR: the connection is broken */
ngx_int_t ngx_http_goosebit_pg_receive(ngx_http_goosebit_pg_conn_t *conn);

/*
 * What a closed connection still expected: reads go once more, the others are
 * answered 503.
 */
void ngx_http_goosebit_pg_forget(ngx_http_goosebit_pg_conn_t *conn);


/* _pg_host.c */

/* its address is still to be found */
ngx_uint_t ngx_http_goosebit_pg_host_is_name(ngx_http_goosebit_host_t *name);

/* copies name, with the address of sa unless that is NULL */
ngx_int_t ngx_http_goosebit_pg_host_add(ngx_array_t *hosts, ngx_pool_t *pool,
    ngx_http_goosebit_host_t *name, struct sockaddr *sa, socklen_t socklen);


/* _pg_resolve.c */

/* a worker's start and end */
void ngx_http_goosebit_pg_host_init(ngx_http_goosebit_pg_t *pg);
void ngx_http_goosebit_pg_host_exit(ngx_http_goosebit_pg_t *pg);

/*
 * NGX_OK: connect now.  NGX_AGAIN: names are being resolved; each closed
 * connection is opened when that is done.
 */
ngx_int_t ngx_http_goosebit_pg_host_ready(ngx_http_goosebit_pg_t *pg);

/* starts connecting to host n of the list; NULL: out of memory */
PGconn *ngx_http_goosebit_pg_host_start(ngx_http_goosebit_pg_t *pg,
    ngx_uint_t n);

/* logs which files of the string are of no use: libpq's words hide it */
void ngx_http_goosebit_pg_host_files(ngx_http_goosebit_pg_t *pg);

/* hosts to try in one walk */
ngx_uint_t ngx_http_goosebit_pg_host_count(ngx_http_goosebit_pg_t *pg);


#endif /* NGX_HTTP_GOOSEBIT_PG_CONN_H */
