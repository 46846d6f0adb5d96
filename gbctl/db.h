/*
 * One connection to PostgreSQL, and calls with parameters over it.
 *
 * A verb says what it wants in one call:
 *
 *     res = db_call(cli, "SELECT * FROM goosebit_admin.device_list($1, $2)",
 *                   2, cli->tenant, filter);
 *
 * Values never become part of the SQL text.  Errors are reported here (the
 * SQLSTATE decides code word and exit code), so the caller only returns
 * false.
 */

#ifndef GBCTL_DB_H
#define GBCTL_DB_H


#include <libpq-fe.h>

#include "cli.h"


typedef struct db_s  db_t;

typedef enum {
    DB_ANY_SCHEMA = 0,      /* db init, migrate, status */
    DB_THIS_SCHEMA          /* everything else */
} db_check_e;

/* the name that SQL functions give the cursor they open */
#define DB_CURSOR  "goosebit_list"

/* takes the next rows of a streamed result, borrowed */
typedef bool (*db_row_pt)(PGresult *res, void *data);


/*
 * Connects, unless connected already: --db, else the configuration's
 * db_uri, else PG* variables alone.  With DB_THIS_SCHEMA the schema must be
 * the one this build embeds, else CLI_NO_DB and a hint.
 */
bool db_connect(cli_t *cli, db_check_e check)
    __attribute__((warn_unused_result));

/* whether libpq can read the connection string; reports it where not */
bool db_conninfo(cli_t *cli, const char *conninfo)
    __attribute__((warn_unused_result));

/* ends an open transaction by ROLLBACK and disconnects */
void db_close(cli_t *cli);

/* cancels a running statement; may be called by a signal handler */
void db_cancel(void);

/* the libpq connection, for what has no helper here; borrowed */
PGconn *db_conn(cli_t *cli);

/*
 * Runs SQL with N text parameters (const char *, NULL is SQL's NULL),
 * connecting first if need be.  A new result (PQclear), or NULL after the
 * error was reported.  With --dry-run everything runs in one transaction
 * that is rolled back at the end.
 */
PGresult *db_call(cli_t *cli, const char *sql, int n, ...)
    __attribute__((warn_unused_result));
PGresult *db_callv(cli_t *cli, const char *sql, int n,
    const char *const *params) __attribute__((warn_unused_result));

/* the same for statements whose rows don't matter */
bool db_run(cli_t *cli, const char *sql, int n, ...)
    __attribute__((warn_unused_result));

/*
 * Runs SQL and takes it back, so that what would be refused is refused before
 * a question is asked; does nothing with --yes and --dry-run, which ask none.
 */
bool db_rehearse(cli_t *cli, const char *sql, int n, ...)
    __attribute__((warn_unused_result));

/*
 * Runs SQL and hands each row to ROW as it comes, in constant memory.  If
 * there is no row, ROW is called once with a result of none, so that it
 * learns the columns.  False after a reported error, or when ROW said so.
 */
bool db_stream(cli_t *cli, db_row_pt row, void *data, const char *sql,
    int n, const char *const *params) __attribute__((warn_unused_result));

/*
 * Hands ROW the rows of DB_CURSOR, some at a time, while the next are on
 * their way; also once none, at the end.
 */
bool db_fetch(cli_t *cli, db_row_pt row, void *data)
    __attribute__((warn_unused_result));

/*
 * COPY ... FROM STDIN: begins, takes more, ends.  With OK false the end makes
 * the statement fail, for a reason that was reported already.
 */
bool db_copy(cli_t *cli, const char *sql) __attribute__((warn_unused_result));
bool db_copy_put(cli_t *cli, const char *data, size_t len)
    __attribute__((warn_unused_result));
bool db_copy_end(cli_t *cli, bool ok) __attribute__((warn_unused_result));

/*
 * A transaction around several calls.  With --dry-run it is already open,
 * and db_commit() leaves it to be rolled back.
 */
bool db_begin(cli_t *cli) __attribute__((warn_unused_result));
bool db_commit(cli_t *cli) __attribute__((warn_unused_result));

/* reports the failed result (or connection, if RES is NULL); false */
bool db_fail(cli_t *cli, const PGresult *res);

/* the code word of a failed result: "not_found", "unreachable", … */
const char *db_code(const PGresult *res);

/* a PQnoticeReceiver for DATA a cli_t: warnings become notes */
void db_notice(void *data, const PGresult *res);

/* the literal of a text[] for a parameter; new, free() */
char *db_array(size_t n, const char *const *items);

/* the column of row ROW by name, NULL where it is SQL's NULL or absent */
const char *db_value(const PGresult *res, int row, const char *column);


#endif /* GBCTL_DB_H */
