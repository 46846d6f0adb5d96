/*
 * A gooseBit database to be read.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libpq-fe.h>
#include <sqlite3.h>

#include <gb_config.h>
#include <gb_text.h>

#include "db.h"
#include "import_source.h"


/* one of sqlite and pg */

struct import_source_s {
    cli_t    *cli;
    sqlite3  *sqlite;
    PGconn   *pg;
};


static bool import_open_sqlite(import_source_t *source, const char *path);
static bool import_open_pg(import_source_t *source, const char *uri);
static gb_config_t *import_config(const char *uri, gb_error_t *err);
static bool import_pg_begin(import_source_t *source);
static bool import_query_sqlite(import_source_t *source, const char *sql,
    import_row_pt row, void *data);
static bool import_query_pg(import_source_t *source, const char *sql,
    import_row_pt row, void *data);
static bool import_pg_row(const PGresult *res, import_row_pt row, void *data);
static bool import_fail(import_source_t *source, const char *message);
static json_t *import_text(const char *text);


static const char *const  import_schemes[] = {
    "postgres://", "postgresql://", "asyncpg://", "psycopg://"
};


import_source_t *
import_source_open(cli_t *cli, const char *uri)
{
    bool              ok, pg;
    size_t            i;
    import_source_t  *source;

    static const char  sqlite[] = "sqlite://";

    source = calloc(1, sizeof(import_source_t));

    if (source == NULL) {
        (void) cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
        return NULL;
    }

    source->cli = cli;
    pg = false;

    for (i = 0; i < sizeof(import_schemes) / sizeof(char *); i++) {
        pg |= strncmp(uri, import_schemes[i], strlen(import_schemes[i])) == 0;
    }

    if (pg) {
        ok = import_open_pg(source, uri);

    } else if (strncmp(uri, sqlite, sizeof(sqlite) - 1) == 0) {
        ok = import_open_sqlite(source, uri + sizeof(sqlite) - 1);

    } else if (strstr(uri, "://") != NULL) {
        ok = cli_usage(cli, "a gooseBit database is sqlite://FILE, a file, or "
                       "postgres://...");

    } else {
        ok = import_open_sqlite(source, uri);
    }

    if (!ok) {
        import_source_close(source);
        return NULL;
    }

    return source;
}


void
import_source_close(import_source_t *source)
{
    if (source == NULL) {
        return;
    }

    sqlite3_close(source->sqlite);
    PQfinish(source->pg);
    free(source);
}


static bool
import_open_sqlite(import_source_t *source, const char *path)
{
    struct stat  st;

    /* SQLite takes an empty file, and a directory until it is read */

    if (stat(path, &st) != 0) {
        return cli_fail(source->cli, CLI_FAILED, "not_found", NULL, "%s: %m",
                        path);
    }

    if (!S_ISREG(st.st_mode)) {
        return cli_fail(source->cli, CLI_FAILED, "invalid", NULL,
                        "%s: is not a file", path);
    }

    if (sqlite3_open_v2(path, &source->sqlite, SQLITE_OPEN_READONLY, NULL)
        != SQLITE_OK
        || sqlite3_busy_timeout(source->sqlite, 10000) != SQLITE_OK
        || sqlite3_exec(source->sqlite, "BEGIN", NULL, NULL, NULL)
           != SQLITE_OK)
    {
        return import_fail(source, sqlite3_errmsg(source->sqlite));
    }

    return true;
}


static bool
import_open_pg(import_source_t *source, const char *uri)
{
    gb_error_t    err;
    const char   *keys[4], *values[4];
    gb_config_t  *cf;

    cf = import_config(uri, &err);

    if (cf == NULL) {
        return cli_fail(source->cli, CLI_USAGE, "invalid", NULL,
                        "the gooseBit database's URI: %s", err.message);
    }

    if (!db_conninfo(source->cli, cf->conninfo)) {
        gb_config_free(cf);
        return false;
    }

    keys[0] = "fallback_application_name";
    values[0] = "gbctl";
    keys[1] = "dbname";
    values[1] = cf->conninfo;
    keys[2] = "client_encoding";
    values[2] = "UTF8";
    keys[3] = values[3] = NULL;

    source->pg = PQconnectdbParams(keys, values, 1);

    gb_config_free(cf);

    if (PQstatus(source->pg) != CONNECTION_OK) {
        return import_fail(source, PQerrorMessage(source->pg));
    }

    return import_pg_begin(source);
}


/* db_uri is read by the settings' own rules, without other settings */

static gb_config_t *
import_config(const char *uri, gb_error_t *err)
{
    char         *variable;
    size_t        size;
    const char   *env[2];
    gb_config_t  *cf;

    size = sizeof("GOOSEBIT_DB_URI=") + strlen(uri);
    variable = malloc(size);

    if (variable == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    snprintf(variable, size, "GOOSEBIT_DB_URI=%s", uri);
    env[0] = variable;
    env[1] = NULL;

    cf = gb_config_load_env("/dev/null", 0, (char *const *) env, err);

    free(variable);

    return cf;
}


static bool
import_pg_begin(import_source_t *source)
{
    bool       ok;
    PGresult  *res;

    res = PQexec(source->pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                 " SET LOCAL TimeZone TO 'UTC'; SET LOCAL DateStyle TO 'ISO'");
    ok = PQresultStatus(res) == PGRES_COMMAND_OK
         || import_fail(source, PQresultErrorMessage(res));

    PQclear(res);

    return ok;
}


bool
import_source_query(import_source_t *source, const char *sql,
    import_row_pt row, void *data)
{
    return source->sqlite != NULL
           ? import_query_sqlite(source, sql, row, data)
           : import_query_pg(source, sql, row, data);
}


static bool
import_query_sqlite(import_source_t *source, const char *sql,
    import_row_pt row, void *data)
{
    int            i, rc;
    bool           ok;
    json_t        *object;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(source->sqlite, sql, -1, &stmt, NULL)
        != SQLITE_OK)
    {
        return import_fail(source, sqlite3_errmsg(source->sqlite));
    }

    ok = true;
    rc = SQLITE_DONE;

    while (ok && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        object = json_object();

        for (i = 0; i < sqlite3_column_count(stmt); i++) {
            (void) json_object_set_new(object, sqlite3_column_name(stmt, i),
                import_text((const char *) sqlite3_column_text(stmt, i)));
        }

        ok = row(object, data);

        json_decref(object);
    }

    if (ok && rc != SQLITE_DONE) {
        ok = import_fail(source, sqlite3_errmsg(source->sqlite));
    }

    sqlite3_finalize(stmt);

    return ok;
}


static bool
import_query_pg(import_source_t *source, const char *sql, import_row_pt row,
    void *data)
{
    bool       ok;
    PGresult  *res;

    if (PQsendQuery(source->pg, sql) == 0
        || PQsetSingleRowMode(source->pg) == 0)
    {
        return import_fail(source, PQerrorMessage(source->pg));
    }

    ok = true;

    while ((res = PQgetResult(source->pg)) != NULL) {

        if (!ok) {
            /* the rest of a result that nobody wants */

        } else if (PQresultStatus(res) == PGRES_SINGLE_TUPLE) {
            ok = import_pg_row(res, row, data);

        } else if (PQresultStatus(res) != PGRES_TUPLES_OK) {
            ok = import_fail(source, PQresultErrorMessage(res));
        }

        PQclear(res);
    }

    return ok;
}


static bool
import_pg_row(const PGresult *res, import_row_pt row, void *data)
{
    int      i;
    bool     ok;
    json_t  *object;

    object = json_object();

    for (i = 0; i < PQnfields(res); i++) {
        (void) json_object_set_new(object, PQfname(res, i),
            import_text(PQgetisnull(res, 0, i) ? NULL
                                               : PQgetvalue(res, 0, i)));
    }

    ok = row(object, data);

    json_decref(object);

    return ok;
}


/* the first line of what the source's library says */

static bool
import_fail(import_source_t *source, const char *message)
{
    return cli_fail(source->cli, CLI_FAILED, "source",
                    "it must be of gooseBit 0.2.9 to 0.2.12",
                    "can't read the gooseBit database: %.*s",
                    (int) strcspn(message, "\n"), message);
}


static json_t *
import_text(const char *text)
{
    char    *copy, *p;
    size_t   len, n;
    json_t  *value;

    if (text == NULL) {
        return json_null();
    }

    value = json_string(text);

    if (value != NULL) {
        return value;
    }

    copy = strdup(text);

    if (copy == NULL) {
        return NULL;
    }

    for (p = copy, len = strlen(copy); len > 0; p += n, len -= n) {
        n = gb_text_utf8(p, len, NULL);

        if (n == 0) {
            *p = '?';
            n = 1;
        }
    }

    value = json_string(copy);
    free(copy);

    return value;
}
