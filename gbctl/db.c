/*
 * gbctl's connection to PostgreSQL.
 */

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "db.h"
#include "embed.h"


#define DB_PARAMS_MAX  32
#define DB_FETCH       "FETCH 1000 FROM " DB_CURSOR ";"


struct db_s {
    PGconn  *conn;
    bool     began;         /* inside BEGIN */
    bool     checked;       /* the schema is this build's */
};

static int db_params(const char **params, int n, va_list args);
static bool db_open(cli_t *cli);
static bool db_open_fail(cli_t *cli, const char *message);
static bool db_check_schema(cli_t *cli);


/* for the signal handler, which has no argument */

static PGcancel *volatile  db_cancel_handle;


bool
db_connect(cli_t *cli, db_check_e check)
{
    PGresult  *res;

    if (cli->db == NULL && !db_open(cli)) {
        return false;
    }

    if (check == DB_THIS_SCHEMA && !cli->db->checked) {

        if (!db_check_schema(cli)) {
            return false;
        }

        cli->db->checked = true;
    }

    if (cli->dry_run && !cli->db->began) {
        res = PQexec(cli->db->conn, "BEGIN");

        if (PQresultStatus(res) != PGRES_COMMAND_OK) {
            (void) db_fail(cli, res);
            PQclear(res);
            return false;
        }

        PQclear(res);
        cli->db->began = true;
    }

    return true;
}


static bool
db_open(cli_t *cli)
{
    int          n;
    bool         ok;
    const char  *keys[6], *values[6];

    if (!cli_config(cli, 0) || !db_conninfo(cli, cli->config->conninfo)) {
        return false;
    }

    /* what comes before dbname is beaten by what is written in the URI */

    n = 0;

    if (getenv("PGCONNECT_TIMEOUT") == NULL) {
        keys[n] = "connect_timeout";
        values[n++] = "10";
    }

    keys[n] = "fallback_application_name";
    values[n++] = "gbctl";
    keys[n] = "dbname";
    values[n++] = cli->config->conninfo;
    keys[n] = "client_encoding";
    values[n++] = "UTF8";
    keys[n] = NULL;
    values[n] = NULL;

    /* sent with the start-up, so that they work through pgbouncer */

    setenv("PGTZ", "UTC", 1);
    setenv("PGDATESTYLE", "ISO", 1);

    cli->db = calloc(1, sizeof(db_t));

    if (cli->db == NULL) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    cli->db->conn = PQconnectdbParams(keys, values, 1);

    if (PQstatus(cli->db->conn) == CONNECTION_OK) {
        PQsetNoticeReceiver(cli->db->conn, db_notice, cli);
        db_cancel_handle = PQgetCancel(cli->db->conn);
        return true;
    }

    ok = db_open_fail(cli, PQerrorMessage(cli->db->conn));

    PQfinish(cli->db->conn);
    free(cli->db);
    cli->db = NULL;

    return ok;
}


bool
db_conninfo(cli_t *cli, const char *conninfo)
{
    char              *message;
    PQconninfoOption  *options;

    message = NULL;
    options = PQconninfoParse(conninfo, &message);

    if (options != NULL) {
        PQconninfoFree(options);
        return true;
    }

    /* libpq's parser would print the whole string, its password too */

    if (message != NULL) {
        message[strcspn(message, "\"\n")] = '\0';
    }

    (void) cli_fail(cli, CLI_USAGE, "invalid", NULL,
                    "the database URI is not valid: %s",
                    message ? message : "out of memory");
    PQfreemem(message);

    return false;
}


/* one line a host, and libpq's advice, which begins with a tab */

static bool
db_open_fail(cli_t *cli, const char *message)
{
    char    line[1024];
    size_t  n, len;

    n = 0;
    line[0] = '\0';

    for ( /* void */ ; *message != '\0'; message += len) {
        len = strcspn(message, "\n");

        if (message[0] != '\t' && len > 0 && n < sizeof(line) - 3) {
            n += (size_t) snprintf(line + n, sizeof(line) - n, "%s%.*s",
                                   n ? "; " : "", (int) len, message);
        }

        len += message[len] == '\n';
    }

    return cli_fail(cli, CLI_NO_DB, "unreachable",
                    "the database is named by --db, db_uri in goosebit.yaml "
                    "or PG* variables",
                    "can't reach the database: %s", line);
}


/*
 * The rows of goosebit.migration against what is embedded here.  Older or
 * newer makes no difference: functions and results would not fit.
 */

static bool
db_check_schema(cli_t *cli)
{
    int        rows, last;
    bool       same;
    PGresult  *res;

    static const char  hint[] = "run \"gbctl db migrate\" of this version";

    res = PQexec(cli->db->conn,
                 "SELECT digest, last FROM goosebit_admin.schema_version()");

    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        if (strcmp(db_code(res), "schema") == 0) {
            (void) cli_fail(cli, CLI_NO_DB, "schema",
                            "run \"gbctl db init\" for a new database, "
                            "\"gbctl db migrate\" for an older one",
                            "the database \"%s\" has not this version's "
                            "schema", PQdb(cli->db->conn));
        } else {
            (void) db_fail(cli, res);
        }

        PQclear(res);
        return false;
    }

    rows = PQntuples(res);

    same = rows == 1 && strcmp(PQgetvalue(res, 0, 0), embed_digest) == 0;
    last = rows == 1 ? atoi(PQgetvalue(res, 0, 1)) : 0;

    PQclear(res);

    if (same) {
        return true;
    }

    if (last > embed_last) {
        return cli_fail(cli, CLI_NO_DB, "schema",
                        "use the gbctl that migrated it",
                        "the database's schema %04d is newer than this "
                        "gbctl's %04d", last, embed_last);
    }

    if (last < embed_last) {
        return cli_fail(cli, CLI_NO_DB, "schema", hint,
                        "the database's schema %04d is older than this "
                        "gbctl's %04d", last, embed_last);
    }

    return cli_fail(cli, CLI_NO_DB, "schema", hint,
                    "the database's functions are not this gbctl's");
}


void
db_close(cli_t *cli)
{
    PGcancel  *cancel;

    if (cli->db == NULL) {
        return;
    }

    cancel = db_cancel_handle;
    db_cancel_handle = NULL;
    PQfreeCancel(cancel);

    if (cli->db->began) {
        PQclear(PQexec(cli->db->conn, "ROLLBACK"));
    }

    PQfinish(cli->db->conn);
    free(cli->db);
    cli->db = NULL;
}


void
db_cancel(void)
{
    char       text[256];
    PGcancel  *cancel;

    cancel = db_cancel_handle;

    if (cancel != NULL) {
        (void) PQcancel(cancel, text, sizeof(text));
    }
}


PGconn *
db_conn(cli_t *cli)
{
    return cli->db ? cli->db->conn : NULL;
}


PGresult *
db_callv(cli_t *cli, const char *sql, int n, const char *const *params)
{
    PGresult        *res;
    ExecStatusType   status;

    if (!db_connect(cli, cli->db ? DB_ANY_SCHEMA : DB_THIS_SCHEMA)) {
        return NULL;
    }

    res = PQexecParams(cli->db->conn, sql, n, NULL, params, NULL, NULL, 0);
    status = PQresultStatus(res);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        (void) db_fail(cli, res);
        PQclear(res);
        return NULL;
    }

    return res;
}


static int
db_params(const char **params, int n, va_list args)
{
    int  i;

    for (i = 0; i < n && i < DB_PARAMS_MAX; i++) {
        params[i] = va_arg(args, const char *);
    }

    return i;
}


PGresult *
db_call(cli_t *cli, const char *sql, int n, ...)
{
    va_list      args;
    const char  *params[DB_PARAMS_MAX];

    va_start(args, n);
    n = db_params(params, n, args);
    va_end(args);

    return db_callv(cli, sql, n, params);
}


bool
db_run(cli_t *cli, const char *sql, int n, ...)
{
    va_list      args;
    PGresult    *res;
    const char  *params[DB_PARAMS_MAX];

    va_start(args, n);
    n = db_params(params, n, args);
    va_end(args);

    res = db_callv(cli, sql, n, params);

    if (res == NULL) {
        return false;
    }

    PQclear(res);

    return true;
}


bool
db_rehearse(cli_t *cli, const char *sql, int n, ...)
{
    va_list      args;
    PGresult    *res;
    const char  *params[DB_PARAMS_MAX];

    if (cli->yes || cli->dry_run) {
        return true;
    }

    va_start(args, n);
    n = db_params(params, n, args);
    va_end(args);

    res = db_run(cli, "BEGIN", 0) ? db_callv(cli, sql, n, params) : NULL;

    if (res == NULL) {
        return false;
    }

    PQclear(res);

    return db_run(cli, "ROLLBACK", 0);
}


bool
db_stream(cli_t *cli, db_row_pt row, void *data, const char *sql, int n,
    const char *const *params)
{
    bool             ok, first;
    PGresult        *res;
    ExecStatusType   status;

    if (!db_connect(cli, cli->db ? DB_ANY_SCHEMA : DB_THIS_SCHEMA)) {
        return false;
    }

    if (PQsendQueryParams(cli->db->conn, sql, n, NULL, params, NULL, NULL, 0)
        == 0
        || PQsetSingleRowMode(cli->db->conn) == 0)
    {
        return db_fail(cli, NULL);
    }

    ok = true;
    first = true;

    while ((res = PQgetResult(cli->db->conn)) != NULL) {
        status = PQresultStatus(res);

        if (status == PGRES_SINGLE_TUPLE) {
            ok = ok && row(res, data);
            first = false;

        } else if (status == PGRES_TUPLES_OK) {
            ok = ok && (!first || row(res, data));

        } else {
            ok = ok && db_fail(cli, res);
        }

        PQclear(res);
    }

    return ok;
}


bool
db_fetch(cli_t *cli, db_row_pt row, void *data)
{
    int        rows;
    bool       ok;
    PGconn    *conn;
    PGresult  *res;

    /* several at once: between two, the server need not wait for us */

    static const char  fetch[] = DB_FETCH DB_FETCH DB_FETCH DB_FETCH
                                 DB_FETCH DB_FETCH DB_FETCH DB_FETCH;

    conn = cli->db->conn;
    ok = true;

    for (rows = 1; ok && rows > 0; /* void */ ) {

        ok = PQsendQuery(conn, fetch) || db_fail(cli, NULL);

        while (ok && (res = PQgetResult(conn)) != NULL) {
            ok = PQresultStatus(res) == PGRES_TUPLES_OK || db_fail(cli, res);

            if (ok && rows > 0) {
                rows = PQntuples(res);
                ok = row(res, data);
            }

            PQclear(res);
        }
    }

    /* what was asked for and is not wanted any more */

    while ((res = PQgetResult(conn)) != NULL) {
        PQclear(res);
    }

    return ok;
}


bool
db_begin(cli_t *cli)
{
    if (!db_connect(cli, cli->db ? DB_ANY_SCHEMA : DB_THIS_SCHEMA)) {
        return false;
    }

    if (cli->db->began) {
        return true;
    }

    cli->db->began = db_run(cli, "BEGIN", 0);

    return cli->db->began;
}


bool
db_commit(cli_t *cli)
{
    if (cli->dry_run || !cli->db->began) {
        return true;
    }

    cli->db->began = false;

    return db_run(cli, "COMMIT", 0);
}


char *
db_array(size_t n, const char *const *items)
{
    char        *array, *p;
    size_t       i, size;
    const char  *s;

    size = 3;

    for (i = 0; i < n; i++) {
        size += 2 * strlen(items[i]) + 3;
    }

    array = malloc(size);

    if (array == NULL) {
        return NULL;
    }

    p = array;
    *p++ = '{';

    for (i = 0; i < n; i++) {

        if (i > 0) {
            *p++ = ',';
        }

        *p++ = '"';

        for (s = items[i]; *s != '\0'; s++) {
            if (*s == '"' || *s == '\\') {
                *p++ = '\\';
            }

            *p++ = *s;
        }

        *p++ = '"';
    }

    *p++ = '}';
    *p = '\0';

    return array;
}


const char *
db_value(const PGresult *res, int row, const char *column)
{
    int  i;

    i = PQfnumber(res, column);

    if (i < 0 || row >= PQntuples(res) || PQgetisnull(res, row, i)) {
        return NULL;
    }

    return PQgetvalue(res, row, i);
}
