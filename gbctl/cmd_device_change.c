/*
 * gbctl device: verbs over many devices, each one call and one transaction.
 */

#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "cmd.h"
#include "cmd_device.h"
#include "db.h"
#include "filter.h"
#include "out.h"


typedef struct {
    const char  *done;          /* "3 devices DONE" */
    const char  *same;          /* "2 devices SAME" are left out */
    bool         gone;          /* ask first; the table has ids only */
} device_words_t;


static bool device_change(cli_t *cli, int end, const device_words_t *words,
    const char *name, int n, ...);
static bool device_ask(cli_t *cli, const device_chosen_t *chosen);
static bool device_print(cli_t *cli, const device_words_t *words,
    const PGresult *res, const device_chosen_t *chosen);
static bool device_table(cli_t *cli, const device_words_t *words,
    const PGresult *res);
static void device_say(cli_t *cli, size_t n, const char *words);
static bool device_poll_time(cli_t *cli, char *buf, size_t size);
static bool device_check_tags(cli_t *cli);


static const out_list_t  device_change_spec = { NULL, "id", NULL };


bool
cmd_device_assign(cli_t *cli)
{
    static const device_words_t  words = { "assigned", "left", false };

    if (!cli_opt_word(cli, "type", "forced|soft|downloadonly")) {
        return false;
    }

    return device_change(cli, cli->argc - 1, &words, "device_assign", 4,
                         cli->argv[cli->argc - 1],
                         cli_opt(cli, "type"),
                         cli_has(cli, "confirm") ? "t" : "f",
                         cli_opt(cli, "window"));
}


bool
cmd_device_autoconfirm(cli_t *cli)
{
    const char  *word;

    static const device_words_t  words = { "switched", "so already", false };

    word = cli->argv[cli->argc - 1];

    if (strcmp(word, "on") != 0 && strcmp(word, "off") != 0) {
        return cli_usage(cli, "\"%s\" is neither \"on\" nor \"off\"", word);
    }

    return device_change(cli, cli->argc - 1, &words, "device_autoconfirm", 1,
                         strcmp(word, "on") == 0 ? "t" : "f");
}


bool
cmd_device_confirm(cli_t *cli)
{
    static const device_words_t  words = {
        "confirmed", "without an action that waits", false
    };

    return device_change(cli, cli->argc, &words, "device_confirm", 1, "t");
}


bool
cmd_device_deny(cli_t *cli)
{
    static const device_words_t  words = {
        "denied", "without an action that waits", false
    };

    return device_change(cli, cli->argc, &words, "device_confirm", 1, "f");
}


bool
cmd_device_block(cli_t *cli)
{
    static const device_words_t  words = {
        "blocked", "blocked already", false
    };

    return device_change(cli, cli->argc, &words, "device_block", 1, "t");
}


bool
cmd_device_unblock(cli_t *cli)
{
    static const device_words_t  words = {
        "let in again", "not blocked", false
    };

    return device_change(cli, cli->argc, &words, "device_block", 1, "f");
}


bool
cmd_device_cancel(cli_t *cli)
{
    static const device_words_t  words = {
        "with an open action", "without an open action", false
    };

    return device_change(cli, cli->argc, &words, "device_cancel", 1,
                         cli_has(cli, "now") ? "t" : "f");
}


bool
cmd_device_delete(cli_t *cli)
{
    static const device_words_t  words = { "deleted", "left", true };

    return device_change(cli, cli->argc, &words, "device_delete", 0);
}


bool
cmd_device_force(cli_t *cli)
{
    static const device_words_t  words = {
        "forced", "forced already", false
    };

    return device_change(cli, cli->argc, &words, "device_force", 1, "t");
}


bool
cmd_device_unforce(cli_t *cli)
{
    static const device_words_t  words = {
        "forced no more", "not forced", false
    };

    return device_change(cli, cli->argc, &words, "device_force", 1, "f");
}


bool
cmd_device_pin(cli_t *cli)
{
    static const device_words_t  words = {
        "pinned", "pinned already", false
    };

    return device_change(cli, cli->argc, &words, "device_pin", 1, "t");
}


bool
cmd_device_unpin(cli_t *cli)
{
    static const device_words_t  words = {
        "pinned no more", "not pinned", false
    };

    return device_change(cli, cli->argc, &words, "device_pin", 1, "f");
}


bool
cmd_device_set(cli_t *cli)
{
    bool   ok;
    char  *add, *take, seconds[16];

    static const device_words_t  words = { "changed", "so already", false };

    if (!cli_has(cli, "feed") && !cli_has(cli, "mode")
        && !cli_has(cli, "name") && !cli_has(cli, "tag")
        && !cli_has(cli, "poll-time"))
    {
        return cli_usage(cli, "nothing is to be set: give --feed, --mode, "
                         "--name, --tag or --poll-time");
    }

    if (!cli_opt_word(cli, "mode", "rollout|latest|assigned|pinned")
        || !device_poll_time(cli, seconds, sizeof(seconds))
        || !device_check_tags(cli))
    {
        return false;
    }

    add = device_tags(cli, "tag", '+');
    take = device_tags(cli, "tag", '-');

    ok = add != NULL && take != NULL
         ? device_change(cli, cli->argc, &words,
                         "device_set", 6, cli_opt(cli, "feed"),
                         cli_opt(cli, "mode"), cli_opt(cli, "name"), add,
                         take, cli_has(cli, "poll-time") ? seconds : NULL)
         : cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");

    free(add);
    free(take);

    return ok;
}


static bool
device_poll_time(cli_t *cli, char *buf, size_t size)
{
    int          seconds;
    const char  *text;

    text = cli_opt(cli, "poll-time");
    seconds = 0;

    if (text != NULL && text[0] != '\0'
        && gb_config_time(text, &seconds) != 0)
    {
        return cli_usage(cli, "option \"--poll-time\": \"%s\" is not a time "
                         "from 00:00:01 to 23:59:59", text);
    }

    snprintf(buf, size, "%d", seconds);

    return true;
}


static bool
device_check_tags(cli_t *cli)
{
    size_t       i;
    const char  *tag;

    for (i = 0; (tag = cli_opts(cli, "tag", i)) != NULL; i++) {
        if ((tag[0] != '+' && tag[0] != '-') || tag[1] == '\0') {
            return cli_usage(cli, "option \"--tag\": \"%s\" is neither +TAG "
                             "nor -TAG", tag);
        }
    }

    return true;
}


/*
 * Calls goosebit_admin.NAME(tenant, devices, ...) with N more parameters.
 * The devices are those of the first END arguments, or what --filter takes.
 */

static bool
device_change(cli_t *cli, int end, const device_words_t *words,
    const char *name, int n, ...)
{
    int              i;
    bool             ok;
    va_list          args;
    PGresult        *res;
    device_chosen_t  chosen;
    const char      *params[DEVICE_PARAMS];

    va_start(args, n);

    for (i = 0; i < n; i++) {
        params[i] = va_arg(args, const char *);
    }

    va_end(args);

    ok = device_choose(cli, end, &chosen)
         && (!words->gone || device_ask(cli, &chosen));

    if (ok) {
        res = device_call(cli, name, &chosen, n, params);
        ok = res != NULL && device_print(cli, words, res, &chosen);
        PQclear(res);
    }

    device_chosen_free(&chosen);

    return ok;
}


static bool
device_ask(cli_t *cli, const device_chosen_t *chosen)
{
    bool         ok;
    char        *id;
    PGresult    *res;
    const char  *n;

    if (chosen->array == NULL) {

        if (cli->yes || cli->dry_run) {
            return true;
        }

        res = db_call(cli, "SELECT goosebit_admin.device_count($1, $2, "
                      FILTER_SQL(3, 4, 5) ") AS n", 5, cli->tenant,
                      chosen->poll_time, chosen->filter.ops,
                      chosen->filter.fields, chosen->filter.values);

        n = res != NULL ? db_value(res, 0, "n") : "";
        ok = res != NULL
             && cli_confirm(cli, "delete what the filter takes, now %s "
                            "device%s, and their history?", n,
                            strcmp(n, "1") == 0 ? "" : "s");
        PQclear(res);
        return ok;
    }

    /* refuses what deleting would, and deletes nothing */

    if (!db_rehearse(cli, "SELECT goosebit_admin.device_set($1, $2, NULL, "
                     "NULL, NULL, '{}', '{}', NULL)", 2, cli->tenant,
                     chosen->array))
    {
        return false;
    }

    if (chosen->ids.n > 1) {
        return cli_confirm(cli, "delete %zu devices and their history?",
                           chosen->ids.n);
    }

    id = out_clean(chosen->ids.ids[0]);
    ok = cli_confirm(cli, "delete device \"%s\" and its history?",
                     id ? id : "?");
    free(id);

    return ok;
}


static bool
device_print(cli_t *cli, const device_words_t *words, const PGresult *res,
    const device_chosen_t *chosen)
{
    int          i;
    bool         ok;
    size_t       n, refused;
    const char  *action;

    n = (size_t) PQntuples(res);
    refused = 0;

    for (i = 0; i < PQntuples(res); i++) {
        action = db_value(res, i, "action");
        refused += action != NULL && strcmp(action, "refused") == 0;
    }

    if (cli->format != CLI_TABLE && cli->format != CLI_WIDE) {
        ok = out_list(cli, &device_change_spec, res);

    } else {
        ok = n == 0 || device_table(cli, words, res);
    }

    if (!ok) {
        return false;
    }

    if (n > 0) {
        device_say(cli, n, words->done);
    }

    if (chosen->ids.n > n) {
        device_say(cli, chosen->ids.n - n, words->same);

    } else if (n == 0) {
        cli_note(cli, "no device to change matches");
    }

    if (refused > 0) {
        device_say(cli, refused, "refused before and not asked again; --now "
                   "ends the actions");
    }

    return true;
}


/* columns in which nothing stands are left out */

static bool
device_table(cli_t *cli, const device_words_t *words, const PGresult *res)
{
    int           i;
    bool          ok, actions;
    char         *text;
    PGresult     *table;
    out_column_t  columns[5];

    memset(columns, 0, sizeof(columns));

    actions = false;

    for (i = 0; i < PQntuples(res); i++) {
        actions |= db_value(res, i, "action") != NULL;
    }

    columns[0].name = "id";
    columns[0].kind = OUT_TEXT;

    if (!words->gone) {
        columns[1].name = "change";

        if (actions) {
            columns[2].name = "action";
            columns[2].kind = OUT_TEXT;
            columns[3].name = "was";
            columns[3].kind = OUT_TEXT;
        }
    }

    table = out_make("id change action:int was");
    ok = table != NULL;

    for (i = 0; ok && i < PQntuples(res); i++) {
        text = change_text(db_value(res, i, "before"),
                           db_value(res, i, "after"));

        ok = text != NULL
             && out_make_row(table, db_value(res, i, "id"), text,
                             db_value(res, i, "action_id"),
                             db_value(res, i, "action"));
        free(text);
    }

    ok = ok && out_list(cli, &(out_list_t) { NULL, "id", columns }, table);

    PQclear(table);

    return ok;
}


static void
device_say(cli_t *cli, size_t n, const char *words)
{
    cli_note(cli, "%s%zu device%s %s", cli_dry(cli), n,
             n == 1 ? "" : "s", words);
}
