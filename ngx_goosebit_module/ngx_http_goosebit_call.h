/*
 * The SQL calls of schema goosebit_ddi and what their errors mean in HTTP.
 */

#ifndef NGX_HTTP_GOOSEBIT_CALL_H
#define NGX_HTTP_GOOSEBIT_CALL_H


#include <ngx_config.h>
#include <ngx_core.h>

#include <libpq-fe.h>


#define NGX_HTTP_GOOSEBIT_CALL_PARAMS  14

/* PostgreSQL's oids of types (its pg_type.dat), fixed for ever */
#define NGX_HTTP_GOOSEBIT_OID_BOOL     16
#define NGX_HTTP_GOOSEBIT_OID_BYTEA    17
#define NGX_HTTP_GOOSEBIT_OID_BIGINT   20
#define NGX_HTTP_GOOSEBIT_OID_SMALLINT 21
#define NGX_HTTP_GOOSEBIT_OID_INT      23
#define NGX_HTTP_GOOSEBIT_OID_TEXT     25
#define NGX_HTTP_GOOSEBIT_OID_BYTEAS   1001
#define NGX_HTTP_GOOSEBIT_OID_INTS     1007
#define NGX_HTTP_GOOSEBIT_OID_TEXTS    1009
#define NGX_HTTP_GOOSEBIT_OID_BIGINTS  1016
#define NGX_HTTP_GOOSEBIT_OID_VARCHAR  1043


typedef enum {
    NGX_HTTP_GOOSEBIT_CALL_POLL = 0,
    NGX_HTTP_GOOSEBIT_CALL_REGISTER,
    NGX_HTTP_GOOSEBIT_CALL_START,
    NGX_HTTP_GOOSEBIT_CALL_START_HELD,
    NGX_HTTP_GOOSEBIT_CALL_STARTS,
    NGX_HTTP_GOOSEBIT_CALL_CONFIG_DATA,
    NGX_HTTP_GOOSEBIT_CALL_DEPLOYMENT_BASE,
    NGX_HTTP_GOOSEBIT_CALL_INSTALLED_BASE,
    NGX_HTTP_GOOSEBIT_CALL_CANCEL_ACTION,
    NGX_HTTP_GOOSEBIT_CALL_FEEDBACK,
    NGX_HTTP_GOOSEBIT_CALL_BATCH,
    NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_BASE,
    NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_ACTION,
    NGX_HTTP_GOOSEBIT_CALL_CONFIRMATION_FEEDBACK,
    NGX_HTTP_GOOSEBIT_CALL_AUTO_CONFIRM,
    NGX_HTTP_GOOSEBIT_CALL_INSTALLED_VERSION,
    NGX_HTTP_GOOSEBIT_CALL_ARTIFACT,
    NGX_HTTP_GOOSEBIT_CALL_SEEN,
    NGX_HTTP_GOOSEBIT_CALL_TENANTS,
    NGX_HTTP_GOOSEBIT_CALL_TICK,
    NGX_HTTP_GOOSEBIT_CALL_STATUS,
    NGX_HTTP_GOOSEBIT_CALL_CHANGES,
    NGX_HTTP_GOOSEBIT_CALL_FLUSH,
    NGX_HTTP_GOOSEBIT_CALLS
} ngx_http_goosebit_call_e;


/*
 * How a call travels.  read: at once, one sync a turn, retried once on
 * another connection.  write and start: gated batches of their own class, in
 * the order of (tenant, device); starts may share the wait for the disk with
 * writes.  solo: alone in its transaction, gated like a write, or where nobody
 * reads while devices write.
 */
typedef enum {
    NGX_HTTP_GOOSEBIT_CLASS_READ = 0,
    NGX_HTTP_GOOSEBIT_CLASS_WRITE,
    NGX_HTTP_GOOSEBIT_CLASS_START,
    NGX_HTTP_GOOSEBIT_CLASS_SOLO,
    NGX_HTTP_GOOSEBIT_CLASSES
} ngx_http_goosebit_class_e;


typedef struct {
    const char                    *name;    /* of the prepared statement */
    const char                    *sql;
    ngx_http_goosebit_class_e      class;
    unsigned                       lasts:1; /* read: its transaction may go on
                                               with others, as it writes
                                               nothing, locks no row and does
                                               not ask for now() */
    unsigned                       locks:1; /* write: its device's row, if
                                               there is one, before all else */
    ngx_uint_t                     nparams;
    Oid                            types[NGX_HTTP_GOOSEBIT_CALL_PARAMS];
} ngx_http_goosebit_call_t;


/* never NULL for a member of the enum */
const ngx_http_goosebit_call_t *ngx_http_goosebit_call(
    ngx_http_goosebit_call_e call);

/*
 * The HTTP status of a SQLSTATE (five characters; NULL: connection trouble):
 * 503 what may be gone after a while (connection, resources, locks, time-out,
 * an unmigrated database), 400 data PostgreSQL can't take, 500 the rest.
 */
ngx_uint_t ngx_http_goosebit_call_status(const char *sqlstate);


#endif /* NGX_HTTP_GOOSEBIT_CALL_H */
