/*
 * gbctl db: what schema a database has, and the one of this gbctl into it.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd_db.h"
#include "db.h"
#include "embed.h"
#include "out.h"


/* "goosebit", as the bytes of a bigint */
#define DB_LOCK  "7453301714058373492"


static const char *schema_damage(schema_t *state);
static bool schema_rights(cli_t *cli, schema_t *state);
static bool schema_record(cli_t *cli, const char *name, const char *sha256);
static bool schema_scripts(cli_t *cli, int applied);
static bool schema_pending(const embed_t *file, int applied);
static bool schema_wait_note(cli_t *cli);
static bool schema_script(cli_t *cli, const embed_t *file, bool *locked);
static bool schema_script_fail(cli_t *cli, const embed_t *file,
    const PGresult *res);


#define SCHEMA_ROLES                                                         \
    " FROM pg_catalog.pg_roles WHERE rolname IN ('goosebit_owner',"           \
    " 'goosebit_ddi', 'goosebit_viewer', 'goosebit_operator',"                \
    " 'goosebit_admin', 'goosebit_users')"

static const char  schema_roles_sql[] =
    "SELECT rolname" SCHEMA_ROLES " ORDER BY rolname";

/* A dump holds no roles, and where they were not there, no owners or rights. */

static const char  schema_rights_sql[] =
    "SELECT (SELECT count(*)" SCHEMA_ROLES
    "   AND (rolname <> 'goosebit_ddi' OR rolconfig IS NOT NULL)) = 6"
    " AND (SELECT count(*) FROM pg_catalog.pg_auth_members"
    "   WHERE (roleid::regrole::text, member::regrole::text) IN"
    "   (('goosebit_viewer', 'goosebit_operator'),"
    "   ('goosebit_operator', 'goosebit_admin'))) >= 2"
    " AND (SELECT count(*) FROM pg_catalog.pg_namespace"
    "   WHERE (nspname, nspowner::regrole::text) IN"
    "   (('goosebit', 'goosebit_owner'), ('goosebit_ddi', 'goosebit_owner'),"
    "   ('goosebit_admin', 'goosebit_owner'),"
    "   ('goosebit_role', 'goosebit_users'))"
    "   AND (nspacl IS NOT NULL OR nspname = 'goosebit')) = 4"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c"
    "   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "   WHERE n.nspname = 'goosebit' AND c.relkind IN ('r', 'p', 'v', 'S')"
    "   AND c.relowner::regrole::text <> 'goosebit_owner')"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc p"
    "   JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    "   WHERE n.nspname IN ('goosebit_ddi', 'goosebit_admin')"
    "   AND (p.proacl IS NULL"
    "   OR p.proowner::regrole::text <> 'goosebit_owner'))";


/*
 * Begins the one transaction of a run, which holds the lock: a session's would
 * stay behind with a pooler's server when gbctl has gone.
 */

bool
schema_lock(cli_t *cli)
{
    bool       got;
    PGresult  *res;

    if (!db_begin(cli)) {
        return false;
    }

    res = db_call(cli, "SELECT pg_catalog.pg_try_advisory_xact_lock($1::int8)",
                  1, DB_LOCK);

    if (res == NULL) {
        return false;
    }

    got = PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);

    if (got) {
        return true;
    }

    cli_note(cli, "waiting for another gbctl db to end");

    return db_run(cli, "SELECT pg_catalog.pg_advisory_xact_lock($1::int8)", 1,
                  DB_LOCK);
}


/*
 * From the table, where that may be: functions can be another version's.  Who
 * wants to CHANGE the schema must be one who may.
 */

bool
schema_read(cli_t *cli, schema_t *state, bool change)
{
    int          i;
    bool         none, table;
    PGresult    *res;
    const char  *name;

    memset(state, 0, sizeof(schema_t));

    res = db_call(cli, "SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
                  " FROM pg_catalog.pg_class c"
                  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                  " WHERE n.nspname = 'goosebit' AND c.relname = 'migration'"
                  " AND c.relkind = 'r'", 0);

    if (res == NULL) {
        return false;
    }

    none = PQntuples(res) == 0;
    table = change || (!none && PQgetvalue(res, 0, 0)[0] == 't');
    PQclear(res);

    if (none) {
        return true;
    }

    state->rows = table
                  ? db_call(cli, "SELECT name, sha256 FROM goosebit.migration"
                            " ORDER BY name COLLATE \"C\"", 0)
                  : db_call(cli, "SELECT name, sha256"
                            " FROM goosebit_admin.schema_migrations()", 0);

    if (state->rows == NULL) {
        return false;
    }

    for (i = 0; i < PQntuples(state->rows); i++) {
        name = PQgetvalue(state->rows, i, 0);

        if (strcmp(name, "functions") == 0) {
            state->code = strcmp(PQgetvalue(state->rows, i, 1), embed_code)
                          == 0;

        } else if (atoi(name) > state->applied) {
            state->applied = atoi(name);
        }
    }

    name = schema_damage(state);
    state->damaged = name ? strdup(name) : NULL;

    return schema_rights(cli, state);
}


static bool
schema_rights(cli_t *cli, schema_t *state)
{
    PGresult  *res;

    res = db_call(cli, schema_rights_sql, 0);

    if (res == NULL) {
        return false;
    }

    state->rights = PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);

    return true;
}


/*
 * Every applied migration that is known here must be the one that was
 * applied, and none before the newest may be missing.
 */

static const char *
schema_damage(schema_t *state)
{
    int             i;
    const embed_t  *e;

    for (e = embed_files; e->name != NULL; e++) {

        if (e->kind != EMBED_MIGRATION || e->number > state->applied) {
            continue;
        }

        for (i = 0; i < PQntuples(state->rows); i++) {
            if (strcmp(PQgetvalue(state->rows, i, 0), e->name) == 0) {
                break;
            }
        }

        if (i == PQntuples(state->rows)
            || strcmp(PQgetvalue(state->rows, i, 1), e->sha256) != 0)
        {
            return e->name;
        }
    }

    return NULL;
}


void
schema_free(schema_t *state)
{
    PQclear(state->rows);
    free(state->damaged);
}


bool
schema_refuse_damaged(cli_t *cli, const schema_t *state)
{
    if (state->damaged == NULL) {
        return true;
    }

    return cli_fail(cli, CLI_FAILED, "damaged",
                    "a migration never changes once it was applied; use the "
                    "gbctl of the version that applied it",
                    "the database was migrated with another %s",
                    state->damaged);
}


bool
schema_apply(cli_t *cli, int applied, PGresult *made)
{
    bool            ok;
    const embed_t  *e;

    ok = schema_scripts(cli, applied);

    for (e = embed_files; ok && e->name != NULL; e++) {
        if (schema_pending(e, applied) && e->kind == EMBED_MIGRATION) {
            ok = schema_record(cli, e->name, e->sha256)
                 && (made == NULL
                     || out_make_row(made, "migration", e->name));
        }
    }

    return ok && schema_record(cli, "functions", embed_code)
           && (made == NULL || out_make_row(made, "functions", "all"));
}


static bool
schema_record(cli_t *cli, const char *name, const char *sha256)
{
    return db_run(cli, "INSERT INTO goosebit.migration (name, sha256)"
                  " VALUES ($1, $2) ON CONFLICT (name) DO UPDATE"
                  " SET sha256 = excluded.sha256,"
                  " applied_at = excluded.applied_at", 2, name, sha256);
}


/*
 * Whoever waits for a table is in the way of all who come later: behind a
 * backup no device would be answered before it ends.  Hence only short waits,
 * again and again; what was locked before is given back between them.  They are
 * longer than PostgreSQL's deadlock_timeout, after which an autovacuum makes
 * way.
 */

static bool
schema_scripts(cli_t *cli, int applied)
{
    bool            ok, locked, told;
    const embed_t  *e;

    static const struct timespec  pause = { 3, 0 };

    ok = db_run(cli, "SET LOCAL lock_timeout = '2s'", 0)
         && db_run(cli, "SAVEPOINT scripts", 0);

    for (told = false; ok; told = true) {
        locked = false;

        for (e = embed_files; ok && e->name != NULL; e++) {
            ok = !schema_pending(e, applied) || schema_script(cli, e, &locked);
        }

        if (!locked) {
            break;
        }

        ok = db_run(cli, "ROLLBACK TO scripts", 0)
             && (told || schema_wait_note(cli));

        (void) nanosleep(&pause, NULL);
    }

    return ok && db_run(cli, "SET LOCAL lock_timeout = 0", 0);
}


static bool
schema_pending(const embed_t *file, int applied)
{
    return file->kind != EMBED_MIGRATION || file->number > applied;
}


/* whose transaction it is, most likely: the oldest */

static bool
schema_wait_note(cli_t *cli)
{
    PGresult  *res;

    res = db_call(cli,
                  "SELECT a.pid, coalesce(nullif(a.application_name, ''),"
                  " a.backend_type) FROM pg_catalog.pg_stat_activity a"
                  " WHERE a.pid <> pg_catalog.pg_backend_pid()"
                  " AND EXISTS (SELECT FROM pg_catalog.pg_locks l"
                  " JOIN pg_catalog.pg_class c ON c.oid = l.relation"
                  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                  " WHERE l.pid = a.pid AND n.nspname ~ '^goosebit')"
                  " ORDER BY a.xact_start LIMIT 1", 0);

    if (res == NULL) {
        return false;
    }

    if (PQntuples(res) == 0) {
        cli_note(cli, "tables are in use: trying again");

    } else {
        cli_note(cli, "waiting for \"%s\" (pid %s), which uses the tables, to "
                 "end; devices are served meanwhile",
                 PQgetvalue(res, 0, 1), PQgetvalue(res, 0, 0));
    }

    PQclear(res);

    return true;
}


/* LOCKED: nothing is reported, for it may be tried again */

static bool
schema_script(cli_t *cli, const embed_t *file, bool *locked)
{
    bool         ok;
    PGresult    *res;
    const char  *state;

    /* without parameters, for a script holds many statements */

    res = PQexec(db_conn(cli), file->text);
    ok = PQresultStatus(res) == PGRES_COMMAND_OK
         || PQresultStatus(res) == PGRES_TUPLES_OK
         || PQresultStatus(res) == PGRES_EMPTY_QUERY;

    if (!ok) {
        state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
        *locked = state != NULL && strcmp(state, "55P03") == 0;

        if (!*locked) {
            (void) schema_script_fail(cli, file, res);
        }
    }

    PQclear(res);

    return ok;
}


static bool
schema_script_fail(cli_t *cli, const embed_t *file, const PGresult *res)
{
    int          at, line;
    char         where[16];
    const char  *state, *message, *position, *p;

    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    position = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);

    if (state == NULL || strcmp(state, "42501") == 0
        || strcmp(state, "25006") == 0)
    {
        return db_fail(cli, res);
    }

    line = 1;
    at = position ? atoi(position) : 0;

    for (p = file->text; *p != '\0' && at > 1; p++) {
        at -= ((unsigned char) *p & 0xc0) != 0x80;
        line += *p == '\n';
    }

    where[0] = '\0';

    if (position != NULL) {
        snprintf(where, sizeof(where), "%d:", line);
    }

    return cli_fail(cli, CLI_FAILED, "failed", NULL, "%s:%s %s (%s)",
                    file->name, where, message ? message : "no message",
                    state);
}


PGresult *
schema_roles(cli_t *cli)
{
    return db_call(cli, schema_roles_sql, 0);
}


bool
schema_tenants(cli_t *cli, PGresult *made)
{
    int        i;
    bool       ok;
    char      *names;
    PGresult  *res;

    names = db_array(cli->config->ntenant,
                     (const char *const *) cli->config->tenant);

    if (names == NULL) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    res = db_call(cli, "SELECT n FROM unnest($1::text[])"
                  " WITH ORDINALITY AS u (n, i) WHERE NOT EXISTS"
                  " (SELECT FROM goosebit.tenant t"
                  " WHERE t.name_key = pg_catalog.lower(n COLLATE \"C\"))"
                  " ORDER BY i", 1, names);

    free(names);

    ok = res != NULL;

    for (i = 0; ok && i < PQntuples(res); i++) {
        ok = db_run(cli, "SELECT goosebit_admin.tenant_add($1)", 1,
                    PQgetvalue(res, i, 0))
             && out_make_row(made, "tenant", PQgetvalue(res, i, 0));
    }

    PQclear(res);

    return ok;
}
