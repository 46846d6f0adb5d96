/*
 * gbctl db: the schema that this gbctl was built with, into a database.
 */

#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "cmd_db.h"
#include "db.h"
#include "embed.h"
#include "out.h"


/* "goosebit", as the bytes of a bigint */
#define DB_LOCK  "7453301714058373492"


typedef struct {
    PGresult  *rows;        /* goosebit.migration, or NULL: no schema */
    int        applied;     /* number of the newest */
    bool       code;        /* functions and grants are this build's */
    char      *damaged;     /* what does not fit, or NULL; owned */
} schema_t;


static bool cmd_db_check(cli_t *cli);
static bool cmd_db_init(cli_t *cli);
static bool cmd_db_migrate(cli_t *cli);
static bool cmd_db_status(cli_t *cli);
static bool schema_lock(cli_t *cli);
static bool schema_read(cli_t *cli, schema_t *state, bool change);
static const char *schema_damage(schema_t *state);
static void schema_free(schema_t *state);
static bool schema_refuse_damaged(cli_t *cli, const schema_t *state);
static bool schema_apply(cli_t *cli, int applied, PGresult *made);
static bool schema_script(cli_t *cli, const embed_t *file);
static bool schema_script_fail(cli_t *cli, const embed_t *file,
    const PGresult *res);
static PGresult *schema_roles(cli_t *cli);
static bool schema_tenants(cli_t *cli, PGresult *made);


static const cli_option_t  db_check_options[] = {
    { "no-files", 0, NULL, "look at the database only", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_verb_t  cmd_db_verbs[] = {

    { "check", "", "look for damage in database and store",
      db_check_options, cmd_db_check, 0, 0, 0 },

    { "init", "", "create schema and roles in an empty database", NULL,
      cmd_db_init, 0, 0, 0 },

    { "migrate", "", "bring the schema to this version", NULL,
      cmd_db_migrate, 0, 0, 0 },

    { "status", "", "which version the schema is, and what is pending", NULL,
      cmd_db_status, 0, 0, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_db = {
    "db", "the database's schema", cmd_db_verbs
};

static const out_list_t  schema_made = { "nothing to do", "name", NULL };

static const char  schema_roles_sql[] =
    "SELECT rolname FROM pg_catalog.pg_roles"
    " WHERE rolname IN ('goosebit_owner', 'goosebit_ddi', 'goosebit_viewer',"
    " 'goosebit_operator', 'goosebit_admin', 'goosebit_users')"
    " ORDER BY rolname";


static bool
cmd_db_init(cli_t *cli)
{
    int          i, j;
    bool         ok, old;
    PGresult    *before, *after, *made;
    schema_t   state;

    if (!cli_config(cli, 0) || !db_connect(cli, DB_ANY_SCHEMA)
        || !schema_lock(cli) || !schema_read(cli, &state, true))
    {
        return false;
    }

    old = state.rows != NULL;
    schema_free(&state);

    if (old) {
        return cli_fail(cli, CLI_FAILED, "conflict",
                        "\"gbctl db migrate\" brings it up to date",
                        "the database \"%s\" has gooseBit's schema already",
                        PQdb(db_conn(cli)));
    }

    before = schema_roles(cli);
    made = out_make("kind name");
    after = NULL;

    ok = before != NULL && made != NULL && schema_apply(cli, 0, NULL)
         && (after = schema_roles(cli)) != NULL;

    for (i = 0; ok && i < PQntuples(after); i++) {

        for (j = 0; j < PQntuples(before); j++) {
            if (strcmp(PQgetvalue(after, i, 0), PQgetvalue(before, j, 0))
                == 0)
            {
                break;
            }
        }

        ok = j < PQntuples(before)
             || out_make_row(made, "role", PQgetvalue(after, i, 0));
    }

    ok = ok && out_make_row(made, "schema", "goosebit")
         && out_make_row(made, "schema", "goosebit_ddi")
         && out_make_row(made, "schema", "goosebit_admin")
         && out_make_row(made, "schema", "goosebit_role")
         && schema_tenants(cli, made) && out_list(cli, &schema_made, made);

    PQclear(before);
    PQclear(after);
    PQclear(made);

    return ok;
}


static bool
cmd_db_migrate(cli_t *cli)
{
    bool         ok;
    PGresult    *made;
    schema_t   state;

    if (!db_connect(cli, DB_ANY_SCHEMA) || !schema_lock(cli)
        || !schema_read(cli, &state, true))
    {
        return false;
    }

    if (state.rows == NULL) {
        return cli_fail(cli, CLI_NO_DB, "schema",
                        "run \"gbctl db init\" first",
                        "the database \"%s\" has not gooseBit's schema",
                        PQdb(db_conn(cli)));
    }

    made = out_make("kind name");

    if (made == NULL) {
        ok = cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");

    } else if (!schema_refuse_damaged(cli, &state)) {
        ok = false;

    } else if (state.applied > embed_last) {
        ok = cli_fail(cli, CLI_NO_DB, "schema",
                      "use the gbctl that migrated it",
                      "the database's schema %04d is newer than this "
                      "gbctl's %04d", state.applied, embed_last);

    } else if (state.applied == embed_last && state.code) {
        ok = out_list(cli, &schema_made, made);

    } else {
        ok = schema_apply(cli, state.applied, made)
             && out_list(cli, &schema_made, made);
    }

    PQclear(made);
    schema_free(&state);

    return ok;
}


static bool
cmd_db_status(cli_t *cli)
{
    int             n;
    bool            ok;
    char            version[16], newest[16], pending[16];
    PGresult       *res;
    schema_t        state;
    const char     *word;
    const embed_t  *e;

    static const out_column_t  columns[] = {
        { "state", NULL, OUT_STATE, false },
        { NULL, NULL, OUT_AUTO, false }
    };

    static const out_list_t  spec = { NULL, "state", columns };

    if (!db_connect(cli, DB_ANY_SCHEMA)
        || !schema_read(cli, &state, false))
    {
        return false;
    }

    word = state.damaged ? "damaged"
           : state.rows == NULL ? "none"
           : state.applied > embed_last ? "newer"
           : state.applied < embed_last || !state.code ? "outdated"
           : "current";

    for (e = embed_files, n = 0; e->name != NULL; e++) {
        n += e->kind == EMBED_MIGRATION && e->number > state.applied;
    }

    snprintf(version, sizeof(version), "%d", state.applied);
    snprintf(newest, sizeof(newest), "%d", embed_last);
    snprintf(pending, sizeof(pending), "%d", n);

    res = out_make("database state version:int newest:int pending:int "
                   "functions damage server");

    ok = res != NULL
         && out_make_row(res, PQdb(db_conn(cli)), word, version, newest,
                         pending, state.code ? "current" : "outdated",
                         state.damaged,
                         PQparameterStatus(db_conn(cli), "server_version"))
         && out_show(cli, &spec, res)
         && schema_refuse_damaged(cli, &state);

    PQclear(res);
    schema_free(&state);

    return ok;
}


static bool
cmd_db_check(cli_t *cli)
{
    int          n, strays;
    bool         ok;
    schema_t     state;
    PGresult    *found;

    static const out_list_t  spec = { "no damage", "object", NULL };

    if (!cli_config(cli, 0) || !db_connect(cli, DB_ANY_SCHEMA)
        || !schema_read(cli, &state, false))
    {
        return false;
    }

    strays = 0;
    found = out_make("kind tenant object damage");

    if (found == NULL) {
        ok = cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");

    } else if (state.damaged != NULL) {

        /* then nobody knows what else to expect */

        ok = out_make_row(found, "migration", NULL, state.damaged,
                          "is not the one that this gbctl has");

    } else {
        ok = db_connect(cli, DB_THIS_SCHEMA) && db_check_rows(cli, found)
             && (cli_has(cli, "no-files")
                 || db_check_files(cli, found, &strays));
    }

    ok = ok && out_list(cli, &spec, found);
    n = ok ? PQntuples(found) - strays : 0;

    PQclear(found);
    schema_free(&state);

    if (ok && strays > 0) {
        cli_note(cli, "%d file%s no software: left by a \"software add\" that "
                 "was killed, or of another database; adding the image again "
                 "takes it in", strays, strays == 1 ? " is of" : "s are of");
    }

    if (n > 0) {
        return cli_fail(cli, CLI_FAILED, "damaged", NULL,
                        n == 1 ? "%d thing is damaged"
                               : "%d things are damaged", n);
    }

    return ok;
}


/*
 * Held until the connection ends, so that it covers all transactions of a
 * run and a killed gbctl frees it.
 */

static bool
schema_lock(cli_t *cli)
{
    bool       got;
    PGresult  *res;

    res = db_call(cli, "SELECT pg_catalog.pg_try_advisory_lock($1::int8)", 1,
                  DB_LOCK);

    if (res == NULL) {
        return false;
    }

    got = PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);

    if (got) {
        return true;
    }

    cli_note(cli, "waiting for another gbctl db to end");

    return db_run(cli, "SELECT pg_catalog.pg_advisory_lock($1::int8)", 1,
                  DB_LOCK);
}


/*
 * From the table, where that may be: functions can be another version's.  Who
 * wants to CHANGE the schema must be one who may.
 */

static bool
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


static void
schema_free(schema_t *state)
{
    PQclear(state->rows);
    free(state->damaged);
}


static bool
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


/* MADE learns what was done, or is NULL */

static bool
schema_apply(cli_t *cli, int applied, PGresult *made)
{
    bool            ok;
    const embed_t  *e;

    static const char  record[] =
        "INSERT INTO goosebit.migration (name, sha256) VALUES ($1, $2)"
        " ON CONFLICT (name) DO UPDATE"
        " SET sha256 = excluded.sha256, applied_at = excluded.applied_at";

    for (e = embed_files; e->name != NULL; e++) {

        if (e->kind == EMBED_ROLES) {
            ok = db_begin(cli) && schema_script(cli, e) && db_commit(cli);

        } else if (e->kind == EMBED_MIGRATION && e->number > applied) {
            ok = db_begin(cli) && schema_script(cli, e)
                 && db_run(cli, record, 2, e->name, e->sha256)
                 && db_commit(cli)
                 && (made == NULL
                     || out_make_row(made, "migration", e->name));

        } else {
            ok = true;
        }

        if (!ok) {
            return false;
        }
    }

    /* callers see either all the old functions or all the new */

    if (!db_begin(cli)) {
        return false;
    }

    for (e = embed_files; e->name != NULL; e++) {
        if ((e->kind == EMBED_FUNCTION || e->kind == EMBED_GRANTS)
            && !schema_script(cli, e))
        {
            return false;
        }
    }

    return db_run(cli, record, 2, "functions", embed_code) && db_commit(cli)
           && (made == NULL || out_make_row(made, "functions", "all"));
}


static bool
schema_script(cli_t *cli, const embed_t *file)
{
    bool       ok;
    PGresult  *res;

    /* without parameters, for a script holds many statements */

    res = PQexec(db_conn(cli), file->text);
    ok = PQresultStatus(res) == PGRES_COMMAND_OK
         || PQresultStatus(res) == PGRES_TUPLES_OK
         || PQresultStatus(res) == PGRES_EMPTY_QUERY;

    if (!ok) {
        (void) schema_script_fail(cli, file, res);
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

    if (state == NULL || strcmp(state, "42501") == 0) {
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


static PGresult *
schema_roles(cli_t *cli)
{
    return db_call(cli, schema_roles_sql, 0);
}


/* the tenants of goosebit.yaml that migration 1 has not made */

static bool
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
