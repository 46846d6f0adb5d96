/*
 * From SQLSTATE to code word and exit code.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "db.h"
#include "out.h"


typedef struct {
    const char  *sqlstate;  /* two characters are a whole class */
    cli_exit_e   status;
    const char  *code;
} db_state_t;


static const db_state_t *db_state(const char *sqlstate);

static const char  db_read_only[] =
    "a standby? name the primary, or all with target_session_attrs=read-write";

/* the first that fits; everything else is "failed" */

static const db_state_t  db_states[] = {
    { "GB001", CLI_FAILED, "not_found" },
    { "GB002", CLI_FAILED, "conflict" },
    { "GB003", CLI_FAILED, "invalid" },
    { "GB004", CLI_FAILED, "in_use" },
    { "GB005", CLI_FAILED, "ambiguous" },
    { "GB006", CLI_FAILED, "refused" },
    { "GB007", CLI_USAGE, "usage" },
    { "42501", CLI_DENIED, "not_permitted" },
    { "3F000", CLI_NO_DB, "schema" },       /* no such schema */
    { "42883", CLI_NO_DB, "schema" },       /* no such function */
    { "42P01", CLI_NO_DB, "schema" },       /* no such table */
    { "53300", CLI_NO_DB, "unreachable" },  /* too many connections */
    { "57014", CLI_FAILED, "canceled" },
    { "57P", CLI_NO_DB, "unreachable" },    /* shut down, starting up */
    { "25006", CLI_NO_DB, "read_only" },
    { "40", CLI_FAILED, "conflict" },
    { "55P03", CLI_FAILED, "conflict" },
    { "08", CLI_NO_DB, "unreachable" },
    { "22", CLI_FAILED, "invalid" },
    { "23", CLI_FAILED, "invalid" },
    { NULL, CLI_FAILED, "failed" }
};


bool
db_fail(cli_t *cli, const PGresult *res)
{
    char               *message;
    PGconn             *conn;
    const char         *state, *text, *hint;
    const db_state_t   *s;

    conn = db_conn(cli);
    state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    hint = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_HINT) : NULL;

    if (PQstatus(conn) != CONNECTION_OK) {
        return cli_fail(cli, CLI_NO_DB, "unreachable", NULL,
                        "lost the connection to the database%s%s",
                        text ? ": " : "", text ? text : "");
    }

    /* not from the server, but libpq's own: out of memory */

    if (state == NULL) {
        state = "";
        text = PQerrorMessage(conn);
    }

    s = db_state(state);
    message = out_clean(text ? text : "no message");

    if (message == NULL) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    if (strncmp(state, "GB", 2) == 0) {
        (void) cli_fail(cli, s->status, s->code, hint, "%s", message);

    } else if (strcmp(state, "22021") == 0) {
        (void) cli_fail(cli, s->status, s->code, NULL,
                        "what is given is not valid UTF-8");

    } else if (s->status == CLI_DENIED) {
        (void) cli_fail(cli, s->status, s->code,
                        "rights come by goosebit_viewer, goosebit_operator "
                        "and goosebit_admin", "not permitted for \"%s\": %s",
                        PQuser(conn), message);

    } else {
        if (s->status == CLI_NO_DB) {
            hint = strcmp(s->code, "read_only") == 0 ? db_read_only : NULL;
        }

        (void) cli_fail(cli, s->status, s->code, hint,
                        "the database says: %s%s%s%s", message,
                        state[0] ? " (" : "", state, state[0] ? ")" : "");
    }

    free(message);

    return false;
}


const char *
db_code(const PGresult *res)
{
    const char  *state;

    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return state ? db_state(state)->code : "unreachable";
}


static const db_state_t *
db_state(const char *sqlstate)
{
    const db_state_t  *s;

    for (s = db_states; s->sqlstate != NULL; s++) {
        if (strncmp(s->sqlstate, sqlstate, strlen(s->sqlstate)) == 0) {
            break;
        }
    }

    return s;
}


void
db_notice(void *data, const PGresult *res)
{
    cli_t       *cli;
    uint64_t     done, total;
    const char  *severity, *text, *state;

    cli = data;
    severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    /* goosebit.progress() */

    if (state != NULL && strcmp(state, "GB100") == 0 && text != NULL
        && sscanf(text, "%" SCNu64 " of %" SCNu64, &done, &total) == 2)
    {
        out_progress_total(cli->bar, total);
        out_progress_step(cli->bar, done);
        return;
    }

    /* "drop cascades to …" and the like are of no interest here */

    if (severity != NULL && strcmp(severity, "WARNING") == 0
        && text != NULL)
    {
        cli_note(cli, "warning: %s", text);
    }
}
