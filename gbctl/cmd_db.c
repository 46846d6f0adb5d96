/*
 * gbctl db: the schema that this gbctl was built with, into a database.
 */

#include <stdlib.h>
#include <string.h>

#include <gb_duration.h>

#include "cmd.h"
#include "cmd_db.h"
#include "db.h"
#include "embed.h"
#include "out.h"


static bool cmd_db_check(cli_t *cli);
static bool cmd_db_init(cli_t *cli);
static bool cmd_db_migrate(cli_t *cli);
static bool cmd_db_status(cli_t *cli);


static const cli_option_t  db_check_options[] = {
    { "end-uploads", 0, "AGE", "end uploads to S3 that are older, as 1d", 0 },
    { "no-files", 0, NULL, "look at the database only", 0 },
    { "remove-files", 0, NULL, "remove stored files that are of no software",
      0 },
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
         && schema_tenants(cli, made) && db_commit(cli)
         && out_list(cli, &schema_made, made);

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

    } else if (state.applied == embed_last && state.code && state.rights) {
        ok = out_list(cli, &schema_made, made);

    } else {
        ok = schema_apply(cli, state.applied, made) && db_commit(cli)
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
        { "state", NULL, OUT_STATE, 0 },
        { NULL, NULL, OUT_AUTO, 0 }
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
           : state.applied < embed_last || !state.code || !state.rights
             ? "outdated"
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
                         pending, state.code && state.rights
                                  ? "current" : "outdated",
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
    int          n, strays, uploads;
    bool         ok;
    long         age;
    schema_t     state;
    PGresult    *found;
    const char  *text;

    static const out_list_t  spec = { "no damage", "object", NULL };

    age = -1;
    text = cli_opt(cli, "end-uploads");

    if (text != NULL && !gb_duration_parse(text, strlen(text), &age)) {
        return cli_usage(cli, "option \"--end-uploads\": \"%s\" is not an "
                         "age such as 12h or 1d", text);
    }

    if (cli_has(cli, "remove-files") && cli_has(cli, "no-files")) {
        return cli_usage(cli, "either --no-files or --remove-files, not both");
    }

    if (!cli_config(cli, 0) || !db_connect(cli, DB_ANY_SCHEMA)
        || !schema_read(cli, &state, false))
    {
        return false;
    }

    strays = 0;
    uploads = 0;
    found = out_make("kind tenant object damage");

    if (found == NULL) {
        ok = cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");

    } else if (state.damaged != NULL) {

        /* then nobody knows what else to expect */

        ok = out_make_row(found, "migration", NULL, state.damaged,
                          "is not the one that this gbctl has");

    } else {
        ok = db_connect(cli, DB_THIS_SCHEMA)
             && (state.rights
                 || out_make_row(found, "schema", NULL, "goosebit",
                                 "its roles, owners or rights are lost, as of "
                                 "a restored dump: \"gbctl db migrate\" "
                                 "brings them back"))
             && db_check_rows(cli, found)
             && (cli_has(cli, "no-files")
                 || (db_check_files(cli, found, &strays)
                     && db_check_uploads(cli, found, age, &uploads)));
    }

    ok = ok && out_list(cli, &spec, found);
    n = ok ? PQntuples(found) - strays - uploads : 0;

    PQclear(found);
    schema_free(&state);

    if (ok && strays > 0 && !cli_has(cli, "remove-files")) {
        cli_note(cli, "%d file%s no software: left by a \"software add\" that "
                 "was killed or a \"delete\" that failed, or of another "
                 "database; adding the image again takes it in, "
                 "--remove-files removes all", strays,
                 strays == 1 ? " is of" : "s are of");
    }

    if (ok && uploads > 0 && age < 0) {
        cli_note(cli, "%d upload%s not ended: of a \"software add\" that runs, "
                 "or was cut off; adding the image again goes on with it, "
                 "--end-uploads 1d ends what is older", uploads,
                 uploads == 1 ? " has" : "s have");
    }

    if (n > 0) {
        return cli_fail(cli, CLI_FAILED, "damaged", NULL,
                        n == 1 ? "%d thing is damaged"
                               : "%d things are damaged", n);
    }

    return ok;
}
