/*
 * gbctl device: what a device said, what was tried with it, and why it is
 * where it is.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "cmd.h"
#include "cmd_device.h"
#include "db.h"
#include "out.h"


#define LOG_EXECUTION  16       /* columns, one more divides from the text */


typedef struct {
    cli_t       *cli;
    const char  *action;        /* NULL: what the log shows */
    char         after[24];     /* the last line printed */
} device_log_t;


static bool log_follow(cli_t *cli, device_log_t *log);
static bool log_more(device_log_t *log);
static void log_line(const cli_t *cli, const PGresult *res, int row);
static bool explain_rails(cli_t *cli, const char *rails);


static const char  log_sql[] =
    "SELECT id, time, action_id, resource, execution, finished, progress,"
    " code, text FROM goosebit_admin.device_log($1, $2, $3, $4)";

static const out_list_t  log_spec = { "the log is empty", "text", NULL };

static const out_column_t  history_columns[] = {
    { "action_id", "ACTION", OUT_TEXT, 0 },
    { "software", NULL, OUT_AUTO, OUT_WIDE },
    { "version", NULL, OUT_AUTO, 0 },
    { "cause", NULL, OUT_AUTO, 0 },
    { "rollout", NULL, OUT_TEXT, 0 },
    { "state", NULL, OUT_STATE, 0 },
    { "progress", "DONE", OUT_PERCENT, 0 },
    { "started", NULL, OUT_TEXT, 0 },
    { "ended", NULL, OUT_TEXT, 0 },
    { "attempts", "ATTEMPT", OUT_AUTO, 0 },
    { "type", NULL, OUT_AUTO, OUT_WIDE },
    { "forced", NULL, OUT_AUTO, OUT_WIDE },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  history_spec = { "no actions",
                                          "action_id", history_columns };

static const out_column_t  explain_columns[] = {
    { "answer", NULL, OUT_STATE, 0 },
    { "rail", "GUARD RAIL", OUT_TEXT, 0 },
    { "detail", "WHY", OUT_TEXT, 0 },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  explain_spec = { NULL, "id", explain_columns };


bool
cmd_device_log(cli_t *cli)
{
    long          action;
    char          number[24];
    device_log_t  log;

    action = -1;

    if (!cli_opt_int(cli, "action", 1, 2147483647, &action)) {
        return false;
    }

    snprintf(number, sizeof(number), "%ld", action);

    log.cli = cli;
    log.action = action < 0 ? NULL : number;
    snprintf(log.after, sizeof(log.after), "0");

    if (cli_has(cli, "follow")) {

        if (cli->format != CLI_TABLE && cli->format != CLI_WIDE
            && cli->format != CLI_JSONL)
        {
            return cli_usage(cli, "--follow goes with -o table and -o jsonl");
        }

        return log_follow(cli, &log);
    }

    if (cli->format == CLI_TABLE || cli->format == CLI_WIDE) {
        return log_more(&log);
    }

    return out_query(cli, &log_spec, log_sql, 4, cli->tenant, cli->argv[0],
                     log.action, log.after);
}


/* the state is asked before the lines, so that the last ones are not lost */

static bool
log_follow(cli_t *cli, device_log_t *log)
{
    bool       ok, ended;
    char       followed[24];
    PGresult  *res;

    static const struct timespec  pause = { 1, 0 };

    followed[0] = '\0';

    for ( ;; ) {
        res = db_call(cli, "SELECT action_id, version, state, ended"
                      " FROM goosebit_admin.device_action($1, $2, $3)", 3,
                      cli->tenant, cli->argv[0],
                      followed[0] ? followed : log->action);

        if (res == NULL) {
            return false;
        }

        ended = PQntuples(res) == 0 || db_value(res, 0, "ended") != NULL;

        if (PQntuples(res) > 0) {
            snprintf(followed, sizeof(followed), "%s",
                     db_value(res, 0, "action_id"));
        }

        ok = log_more(log) && out_finish(cli);

        if (ok && ended) {
            if (PQntuples(res) == 0) {
                cli_note(cli, "no action is open");

            } else {
                cli_note(cli, "action %s to %s: %s", followed,
                         db_value(res, 0, "version"),
                         db_value(res, 0, "state"));
            }
        }

        PQclear(res);

        if (!ok || ended) {
            return ok;
        }

        (void) nanosleep(&pause, NULL);
    }
}


static bool
log_more(device_log_t *log)
{
    int        i, n;
    bool       ok;
    PGresult  *res;

    res = db_call(log->cli, log_sql, 4, log->cli->tenant,
                  log->cli->argv[0], log->action, log->after);

    if (res == NULL) {
        return false;
    }

    n = PQntuples(res);
    ok = true;

    if (log->cli->format == CLI_JSONL) {
        ok = out_list(log->cli, &log_spec, res);

    } else if (n == 0 && !cli_has(log->cli, "follow")) {
        cli_note(log->cli, "%s", log_spec.empty);

    } else {
        for (i = 0; i < n; i++) {
            log_line(log->cli, res, i);
        }
    }

    if (n > 0) {
        snprintf(log->after, sizeof(log->after), "%s",
                 db_value(res, n - 1, "id"));
    }

    PQclear(res);

    return ok;
}


static void
log_line(const cli_t *cli, const PGresult *res, int row)
{
    int          width;
    char         time[64], what[64], *text;
    const char  *execution, *finished, *progress, *color;

    out_rfc3339(db_value(res, row, "time"), time, sizeof(time));

    execution = db_value(res, row, "execution");
    finished = db_value(res, row, "finished");
    progress = db_value(res, row, "progress");

    color = strcmp(finished, "failure") == 0
            || strcmp(execution, "rejected") == 0
            ? out_state_color(cli, "error")
            : strcmp(execution, "closed") == 0
              ? out_state_color(cli, "finished") : "";

    if (strcmp(finished, "none") == 0) {
        snprintf(what, sizeof(what), "%s", execution);

    } else {
        snprintf(what, sizeof(what), "%s %s", execution, finished);
    }

    /* without text the progress is all there is to tell */

    if (db_value(res, row, "text") != NULL) {
        text = out_clean(db_value(res, row, "text"));

    } else if (progress == NULL || asprintf(&text, "%s%%", progress) < 0) {
        text = NULL;
    }

    width = text ? LOG_EXECUTION - (int) strlen(what) : 0;

    printf("%.19sZ  %s%s%s", time, color, what, color[0] ? out_reset(cli)
                                                         : "");
    if (text != NULL) {
        printf("%*s %s", width > 0 ? width : 0, "", text);
    }

    putchar('\n');
    free(text);
}


bool
cmd_device_history(cli_t *cli)
{
    long  limit;
    char  rows[24];

    limit = -1;

    if (!cli_opt_int(cli, "limit", 0, 1000000000, &limit)) {
        return false;
    }

    snprintf(rows, sizeof(rows), "%ld", limit);

    return out_query(cli, &history_spec,
                     "SELECT * FROM goosebit_admin.device_history($1, $2,"
                     " $3)", 3, cli->tenant, cli->argv[0],
                     limit < 0 ? NULL : rows);
}


bool
cmd_device_explain(cli_t *cli)
{
    bool         ok;
    char         poll_time[16], updates[16], *id;
    PGresult    *res;
    const char  *reason;

    if (!cli_config(cli, 0)) {
        return false;
    }

    snprintf(poll_time, sizeof(poll_time), "%d", cli->config->poll_time);
    snprintf(updates, sizeof(updates), "%d",
             cli->config->max_concurrent_updates);

    res = db_call(cli, "SELECT * FROM goosebit_admin.device_explain($1, $2,"
                  " $3, $4, $5)", 5, cli->tenant, cli->argv[0], poll_time,
                  updates, gb_config_auth(cli->config));

    if (res == NULL) {
        return false;
    }

    if (cli->format != CLI_TABLE && cli->format != CLI_WIDE) {
        ok = out_show(cli, NULL, res);

    } else {
        id = out_clean(db_value(res, 0, "id"));
        reason = db_value(res, 0, "reason");

        printf("%s: %s\n", id ? id : "-", reason);
        out_words("", db_value(res, 0, "explanation"));

        if (db_value(res, 0, "release") != NULL) {
            out_words("Released by: ", db_value(res, 0, "release"));
        }

        putchar('\n');
        ok = explain_rails(cli, db_value(res, 0, "guard_rails"));
        free(id);
    }

    PQclear(res);

    return ok;
}


static bool
explain_rails(cli_t *cli, const char *rails)
{
    bool       ok;
    size_t     i;
    json_t    *array, *rail;
    PGresult  *res;

    array = json_loads(rails ? rails : "[]", 0, NULL);
    res = out_make("answer rail detail");
    ok = array != NULL && res != NULL;

    json_array_foreach(array, i, rail) {
        ok = ok && out_make_row(res,
                 json_is_true(json_object_get(rail, "passed")) ? "ok"
                                                               : "stops",
                 json_string_value(json_object_get(rail, "rail")),
                 json_string_value(json_object_get(rail, "detail")));
    }

    ok = ok && out_list(cli, &explain_spec, res);

    PQclear(res);
    json_decref(array);

    return ok;
}
