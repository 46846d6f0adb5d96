/*
 * gbctl rollout: what a feed's devices are to run.
 */

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <gb_duration.h>

#include "cmd.h"
#include "cmd_rollout.h"
#include "db.h"
#include "filter.h"
#include "out.h"


#define ROLLOUT_DURATION_MAX  (365 * 86400L)


static bool rollout_abort(cli_t *cli);
static bool rollout_create(cli_t *cli);
static bool rollout_create_options(cli_t *cli, json_t *options);
static bool rollout_created(cli_t *cli, const PGresult *res);
static bool rollout_delete(cli_t *cli);
static bool rollout_devices(cli_t *cli);
static bool rollout_explain(cli_t *cli);
static void rollout_explain_head(const cli_t *cli, const PGresult *res);
static void rollout_explain_reason(const cli_t *cli, const PGresult *res,
    int row);
static bool rollout_list(cli_t *cli);
static bool rollout_pause(cli_t *cli);
static bool rollout_resume(cli_t *cli);
static bool rollout_retry(cli_t *cli);
static bool rollout_show(cli_t *cli);
static bool rollout_change(cli_t *cli, const out_list_t *spec,
    const char *verb, const char *sql);


static const cli_option_t  rollout_create_opts[] = {
    { "abort-at", 0, "P%", "abort at this share of failures", CLI_LATER },
    { "abort-min", 0, "N", "but not before N devices", CLI_LATER },
    { "advance-at", 0, "P%", "share of successes that ends a stage",
      CLI_LATER },
    { "allow-downgrade", 0, NULL, "older versions than the installed, too",
      0 },
    { "confirm", 0, NULL, "each device waits to be confirmed", 0 },
    { "deadline", 0, "TIME", "a silent action ends after it (24h)", 0 },
    { "feed", 0, "F", "whose devices (default)", 0 },
    { "filter", 0, "EXPR", "only devices that match", 0 },
    { "max-concurrent", 0, "N", "actions open at a time", 0 },
    { "name", 0, "N", "for those who read the list", 0 },
    { "paused", 0, NULL, "starts nothing before it is resumed", 0 },
    { "retries", 0, "N", "tries again after errors", CLI_LATER },
    { "soak", 0, "TIME", "how long a stage waits at least", CLI_LATER },
    { "software", 0, "S", "id, version or name:version", 0 },
    { "stages", 0, "P%,...", "shares of the devices, in turn", CLI_LATER },
    { "start", 0, "TIME", "counts from then on", CLI_LATER },
    { "type", 0, "TYPE", "forced, soft or downloadonly (forced)", 0 },
    { "window", 0, "W", "when devices may start", CLI_LATER },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_option_t  rollout_devices_opts[] = {
    { "state", 0, "S", "waiting, running, success, failure, rejected or"
      " canceled", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_verb_t  cmd_rollout_verbs[] = {

    { "abort", "ID", "end it for good and cancel its open actions", NULL,
      rollout_abort, 1, 1, CLI_DRY },

    { "create", "--software S", "a new one decides for its feed",
      rollout_create_opts, rollout_create, 0, 0, CLI_DRY },

    { "delete", "ID", "forget one that has nothing open", NULL,
      rollout_delete, 1, 1, CLI_DRY },

    { "devices", "ID", "its devices, and what came of each",
      rollout_devices_opts, rollout_devices, 1, 1, 0 },

    { "explain", "ID", "why is it stuck: devices not done, by reason", NULL,
      rollout_explain, 1, 1, 0 },

    { "list", "", "all rollouts, newest first", NULL, rollout_list, 0, 0, 0 },

    { "pause", "ID", "start nothing new; what is open goes on", NULL,
      rollout_pause, 1, 1, CLI_DRY },

    { "resume", "ID", "go on after a pause", NULL, rollout_resume, 1, 1,
      CLI_DRY },

    { "retry", "ID", "offer it once more to devices it failed on", NULL,
      rollout_retry, 1, 1, CLI_DRY },

    { "show", "ID", "all about one", NULL, rollout_show, 1, 1, 0 },

    { "watch", "ID", "follow it until it is finished, paused or aborted",
      NULL, rollout_watch, 1, 1, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_rollout = {
    "rollout", "what a feed's devices are to run", cmd_rollout_verbs
};


static const out_column_t  rollout_columns[] = {
    { "id", NULL, OUT_AUTO, 0 },
    { "name", NULL, OUT_AUTO, 1 },
    { "feed", NULL, OUT_AUTO, 2 },
    { "software", NULL, OUT_AUTO, 0 },
    { "state", NULL, OUT_STATE, 0 },
    { "targeted", "DEVICES", OUT_AUTO, 4 },
    { "waiting", "WAIT", OUT_AUTO, 0 },
    { "running", "RUN", OUT_AUTO, 0 },
    { "success", "OK", OUT_AUTO, 0 },
    { "failure", "FAILED", OUT_AUTO, 0 },
    { "rejected", NULL, OUT_AUTO, OUT_WIDE },
    { "canceled", NULL, OUT_AUTO, OUT_WIDE },
    { "created", NULL, OUT_AUTO, 5 },
    { "why", NULL, OUT_AUTO, 3 },
    { "deadline", NULL, OUT_DURATION, OUT_WIDE },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  rollout_spec = { "no rollouts", "id",
                                          rollout_columns };

static const out_column_t  rollout_device_columns[] = {
    { "id", "DEVICE", OUT_AUTO, 0 },
    { "state", NULL, OUT_STATE, 0 },
    { "action_id", "ACTION", OUT_AUTO, 0 },
    { "progress", NULL, OUT_PERCENT, 0 },
    { "result", NULL, OUT_AUTO, 0 },
    { "sw_version", NULL, OUT_AUTO, 0 },
    { "last_seen", NULL, OUT_AUTO, 0 },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  rollout_device_spec = { "no devices", "id",
                                                 rollout_device_columns };


static const out_column_t  rollout_state_columns[] = {
    { "id", NULL, OUT_AUTO, 0 },
    { "state", NULL, OUT_STATE, 0 },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  rollout_state_spec = { "no rollouts", "id",
                                                rollout_state_columns };


static bool
rollout_list(cli_t *cli)
{
    return out_query(cli, &rollout_spec,
                     "SELECT * FROM goosebit_admin.rollout_list($1)", 1,
                     cli->tenant);
}


static bool
rollout_show(cli_t *cli)
{
    bool       ok;
    PGresult  *res;

    res = db_call(cli, "SELECT * FROM goosebit_admin.rollout_show($1, $2)",
                  2, cli->tenant, cli->argv[0]);
    if (res == NULL) {
        return false;
    }

    ok = out_show(cli, &rollout_spec, res);

    PQclear(res);

    return ok;
}


static bool
rollout_devices(cli_t *cli)
{
    if (!cli_opt_word(cli, "state",
                      "waiting|running|success|failure|rejected|canceled"))
    {
        return false;
    }

    return out_query(cli, &rollout_device_spec,
                     "SELECT * FROM goosebit_admin.rollout_devices($1, $2,"
                     " $3)", 3, cli->tenant, cli->argv[0],
                     cli_opt(cli, "state"));
}


static bool
rollout_explain(cli_t *cli)
{
    int          row;
    bool         ok;
    char         poll_time[16], max_updates[16];
    PGresult    *res;
    const char  *params[4];

    static const char  sql[] =
        "SELECT * FROM goosebit_admin.rollout_explain($1, $2, $3, $4)";

    if (!cli_config(cli, 0)) {
        return false;
    }

    snprintf(poll_time, sizeof(poll_time), "%d", cli->config->poll_time);
    snprintf(max_updates, sizeof(max_updates), "%d",
             cli->config->max_concurrent_updates);

    params[0] = cli->tenant;
    params[1] = cli->argv[0];
    params[2] = poll_time;
    params[3] = max_updates;

    if (cli->format != CLI_TABLE && cli->format != CLI_WIDE) {
        return out_queryv(cli, NULL, sql, 4, params);
    }

    res = db_call(cli, "SELECT * FROM goosebit_admin.rollout_show($1, $2)",
                  2, params[0], params[1]);
    ok = res != NULL;

    if (ok) {
        rollout_explain_head(cli, res);
        PQclear(res);
        res = db_callv(cli, sql, 4, params);
        ok = res != NULL;
    }

    for (row = 0; ok && row < PQntuples(res); row++) {
        rollout_explain_reason(cli, res, row);
    }

    PQclear(res);

    return ok;
}


static void
rollout_explain_head(const cli_t *cli, const PGresult *res)
{
    long         targeted, success;
    const char  *state, *color, *why;

    state = db_value(res, 0, "state");
    color = out_state_color(cli, state);
    why = db_value(res, 0, "why");
    targeted = strtol(db_value(res, 0, "targeted"), NULL, 10);
    success = strtol(db_value(res, 0, "success"), NULL, 10);

    printf("rollout %s to %s: %s%s%s%s%s, %ld of %ld devices are not done\n",
           db_value(res, 0, "id"), db_value(res, 0, "software"), color,
           state, color[0] ? out_reset(cli) : "", why ? ": " : "",
           why ? why : "", targeted - success, targeted);
}


/* in the words of one device, which stands for all */

static void
rollout_explain_reason(const cli_t *cli, const PGresult *res, int row)
{
    char        *example, *text;
    const char  *devices, *offline, *rail, *value, *color;

    devices = db_value(res, row, "devices");
    offline = db_value(res, row, "offline");
    rail = db_value(res, row, "guard_rail");
    value = db_value(res, row, "value");
    example = out_clean(db_value(res, row, "example"));
    color = out_state_color(cli, db_value(res, row, "reason"));

    printf("\n%s%s%s: %s device%s", color, db_value(res, row, "reason"),
           color[0] ? out_reset(cli) : "", devices,
           strcmp(devices, "1") == 0 ? "" : "s");

    if (strcmp(offline, "0") != 0) {
        printf(", %s offline", offline);
    }

    printf("%s %s\n", strcmp(devices, "1") == 0 ? "," : ", as",
           example ? example : "-");

    out_words("", db_value(res, row, "explanation"));

    text = NULL;

    if (rail != NULL && value != NULL && value[0] != '\0'
        && asprintf(&text, "%s: %s", rail, value) < 0)
    {
        text = NULL;
    }

    if (text != NULL) {
        out_words("Guard rail, ", text);
    }

    if (db_value(res, row, "release") != NULL) {
        out_words("Released by: ", db_value(res, row, "release"));
    }

    free(text);
    free(example);
}


/*
 * Prints the id alone, for scripts; with --dry-run the devices that would
 * get it.
 */

static bool
rollout_create(cli_t *cli)
{
    bool       ok;
    char      *text;
    json_t    *options;
    filter_t   filter;
    PGresult  *res;

    if (!cli_has(cli, "software")) {
        return cli_usage(cli, "--software is missing");
    }

    if (!filter_option(cli, GB_FILTER_ROLLOUT, &filter)) {
        filter_free(&filter);
        return false;
    }

    options = json_object();

    res = NULL;
    text = rollout_create_options(cli, options)
           ? json_dumps(options, JSON_COMPACT) : NULL;
    json_decref(options);

    if (text != NULL) {
        res = db_call(cli, "SELECT * FROM goosebit_admin.rollout_create($1,"
                      " $2, $3, " FILTER_SQL(4, 5, 6) ")", 6, cli->tenant,
                      cli_opt(cli, "software"), text, filter.ops,
                      filter.fields, filter.values);
    }

    free(text);
    filter_free(&filter);

    if (res == NULL) {
        return false;
    }

    ok = rollout_created(cli, res);

    PQclear(res);

    return ok;
}


static bool
rollout_created(cli_t *cli, const PGresult *res)
{
    const char  *id;

    id = db_value(res, 0, "id");

    if (cli->dry_run) {
        return out_query(cli, &rollout_device_spec,
                         "SELECT * FROM goosebit_admin.rollout_devices($1,"
                         " $2, 'waiting')", 2, cli->tenant, id);
    }

    if (cli->format == CLI_TABLE || cli->format == CLI_WIDE) {
        printf("%s\n", id);
        return true;
    }

    return out_show(cli, NULL, res);
}


static bool
rollout_create_options(cli_t *cli, json_t *options)
{
    long         n, seconds;
    size_t       i;
    const char  *value;

    static const char *const  texts[] = {
        "feed", "filter", "name", "type", NULL
    };

    if (!cli_opt_word(cli, "type", "forced|soft|downloadonly")) {
        return false;
    }

    for (i = 0; texts[i] != NULL; i++) {
        value = cli_opt(cli, texts[i]);

        if (value != NULL
            && json_object_set_new(options, texts[i], json_string(value))
               != 0)
        {
            return cli_usage(cli, "--%s: not valid UTF-8", texts[i]);
        }
    }

    n = 0;

    if (!cli_opt_int(cli, "max-concurrent", 1, 1000000, &n)) {
        return false;
    }

    if (n > 0) {
        json_object_set_new(options, "max_concurrent", json_integer(n));
    }

    value = cli_opt(cli, "deadline");

    if (value != NULL) {
        if (!gb_duration_parse(value, strlen(value), &seconds)
            || seconds < 1 || seconds > ROLLOUT_DURATION_MAX)
        {
            return cli_usage(cli, "--deadline: \"%s\" is no duration such as"
                             " 90s, 30m, 2h or 7d", value);
        }

        json_object_set_new(options, "deadline", json_integer(seconds));
    }

    json_object_set_new(options, "allow_downgrade",
                        json_boolean(cli_has(cli, "allow-downgrade")));
    json_object_set_new(options, "confirm",
                        json_boolean(cli_has(cli, "confirm")));
    json_object_set_new(options, "paused",
                        json_boolean(cli_has(cli, "paused")));

    return true;
}


static bool
rollout_pause(cli_t *cli)
{
    return rollout_change(cli, &rollout_state_spec, "pause",
                          "SELECT * FROM goosebit_admin.rollout_pause($1, $2,"
                          " true)");
}


static bool
rollout_resume(cli_t *cli)
{
    return rollout_change(cli, &rollout_state_spec, "resume",
                          "SELECT * FROM goosebit_admin.rollout_pause($1, $2,"
                          " false)");
}


static bool
rollout_abort(cli_t *cli)
{
    static const out_list_t  spec = { "aborted, no action was open", "id",
                                      rollout_device_columns };

    return out_query(cli, &spec,
                     "SELECT * FROM goosebit_admin.rollout_abort($1, $2)", 2,
                     cli->tenant, cli->argv[0]);
}


static bool
rollout_retry(cli_t *cli)
{
    return out_query(cli, &rollout_device_spec,
                     "SELECT * FROM goosebit_admin.rollout_retry($1, $2)", 2,
                     cli->tenant, cli->argv[0]);
}


static bool
rollout_delete(cli_t *cli)
{
    static const out_list_t  spec = { "nothing", "id", NULL };

    return rollout_change(cli, &spec, "delete",
                          "SELECT * FROM goosebit_admin.rollout_delete($1,"
                          " $2)");
}


/*
 * Runs the verb. A dry run lists the devices that it would touch, unless the
 * verb is refused: it is tried, and taken back so that they are still those.
 */

static bool
rollout_change(cli_t *cli, const out_list_t *spec, const char *verb,
    const char *sql)
{
    PGresult  *res;

    if (!cli->dry_run) {
        return out_query(cli, spec, sql, 2, cli->tenant, cli->argv[0]);
    }

    if (!db_run(cli, "SAVEPOINT dry", 0)) {
        return false;
    }

    res = db_call(cli, sql, 2, cli->tenant, cli->argv[0]);

    if (res == NULL) {
        return false;
    }

    PQclear(res);

    return db_run(cli, "ROLLBACK TO dry", 0)
           && out_query(cli, &rollout_device_spec,
                        "SELECT * FROM goosebit_admin.rollout_touched($1, $2,"
                        " $3)", 3, cli->tenant, cli->argv[0], verb);
}
