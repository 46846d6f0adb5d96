/*
 * gbctl device: the verbs, the list and one device whole.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd.h"
#include "cmd_device.h"
#include "db.h"
#include "filter.h"
#include "out.h"


static bool cmd_device_list(cli_t *cli);
static bool cmd_device_show(cli_t *cli);
static const char *device_sort(cli_t *cli, bool *down);


#define DEVICE_FILTER  { "filter", 0, "EXPR", "the devices that match", 0 }
#define DEVICE_END     { NULL, 0, NULL, NULL, 0 }

static const cli_option_t  device_ids_options[] = {
    DEVICE_FILTER,
    DEVICE_END
};

static const cli_option_t  device_add_options[] = {
    { "feed", 0, "FEED", "its feed (default)", 0 },
    { "mode", 0, "MODE", "rollout, latest, assigned or pinned (rollout)", 0 },
    { "name", 0, "NAME", "what people call it", 0 },
    { "new-token", 0, NULL, "make a token and print it, this once", 0 },
    { "tag", 0, "TAG", "a tag", CLI_MANY },
    { "token", 0, "TOKEN", "its token; - reads it from stdin", 0 },
    DEVICE_END
};

static const cli_option_t  device_assign_options[] = {
    { "confirm", 0, NULL, "it waits to be confirmed", 0 },
    DEVICE_FILTER,
    { "type", 0, "TYPE", "forced, soft or downloadonly (forced)", 0 },
    { "window", 0, "W", "when it may start: [DAYS] HH:MM-HH:MM [ZONE]", 0 },
    DEVICE_END
};

static const cli_option_t  device_cancel_options[] = {
    DEVICE_FILTER,
    { "now", 0, NULL, "end the actions without asking the devices", 0 },
    DEVICE_END
};

static const cli_option_t  device_history_options[] = {
    { "limit", 0, "N", "only the newest N", 0 },
    DEVICE_END
};

static const cli_option_t  device_list_options[] = {
    DEVICE_FILTER,
    { "limit", 0, "N", "only the first N", 0 },
    { "sort", 0, "FIELD", "a column (id); -FIELD or \"FIELD DESC\" turns the "
      "order round", 0 },
    DEVICE_END
};

static const cli_option_t  device_log_options[] = {
    { "action", 0, "ID", "of this action only", 0 },
    { "follow", 'f', NULL, "go on until the action ends", 0 },
    DEVICE_END
};

static const cli_option_t  device_set_options[] = {
    { "feed", 0, "FEED", "serve them from this feed", 0 },
    DEVICE_FILTER,
    { "mode", 0, "MODE", "rollout, latest, assigned or pinned", 0 },
    { "name", 0, "NAME", "what people call it; \"\" takes it away", 0 },
    { "poll-time", 0, "HH:MM:SS", "time between polls; \"\": the tenant's",
      0 },
    { "tag", 0, "+TAG|-TAG", "put a tag on, take one off", CLI_MANY },
    DEVICE_END
};

static const cli_option_t  device_token_options[] = {
    { "clear", 0, NULL, "take the token away", 0 },
    { "new", 0, NULL, "make a token and print it, this once", 0 },
    { "set", 0, "-", "read the token from stdin", 0 },
    DEVICE_END
};

static const cli_verb_t  cmd_device_verbs[] = {

    { "add", "ID", "register a device beforehand", device_add_options,
      cmd_device_add, 1, 1, CLI_DRY },

    { "assign", "IDS SOFTWARE", "bring devices to one software",
      device_assign_options, cmd_device_assign, 2, CLI_ANY, CLI_DRY | CLI_IDS },

    { "autoconfirm", "IDS on|off", "confirm actions by themselves, or not",
      device_ids_options, cmd_device_autoconfirm, 2, CLI_ANY,
      CLI_DRY | CLI_IDS },

    { "block", "IDS", "let devices in no more, and keep them",
      device_ids_options, cmd_device_block, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "cancel", "IDS", "cancel the open actions", device_cancel_options,
      cmd_device_cancel, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "confirm", "IDS", "let actions that wait for it begin",
      device_ids_options, cmd_device_confirm, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "delete", "IDS", "forget devices and their history",
      device_ids_options, cmd_device_delete, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "deny", "IDS", "end actions that wait for a confirmation",
      device_ids_options, cmd_device_deny, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "explain", "ID", "why it is, or is not, being updated", NULL,
      cmd_device_explain, 1, 1, 0 },

    { "export", "", "devices as CSV, as import takes them; no tokens",
      device_ids_options, cmd_device_export, 0, 0, 0 },

    { "force", "IDS", "install the target, whatever is there or was held",
      device_ids_options, cmd_device_force, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "history", "ID", "its actions, newest first", device_history_options,
      cmd_device_history, 1, 1, 0 },

    { "import", "FILE", "add and update devices from CSV; - is stdin",
      NULL, cmd_device_import, 1, 1, CLI_DRY },

    { "list", "", "the devices of a tenant", device_list_options,
      cmd_device_list, 0, 0, 0 },

    { "log", "ID", "its update log", device_log_options, cmd_device_log, 1,
      1, 0 },

    { "pin", "IDS", "leave devices alone", device_ids_options,
      cmd_device_pin, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "set", "IDS", "set feed, mode, name, tags or poll time",
      device_set_options, cmd_device_set, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "show", "ID", "all that is known of a device", NULL, cmd_device_show,
      1, 1, 0 },

    { "token", "ID", "set or clear a device's token", device_token_options,
      cmd_device_token, 1, 1, CLI_DRY },

    { "unblock", "IDS", "let blocked devices in again", device_ids_options,
      cmd_device_unblock, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "unforce", "IDS", "undo force", device_ids_options,
      cmd_device_unforce, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { "unpin", "IDS", "put devices back to the mode before",
      device_ids_options, cmd_device_unpin, 1, CLI_ANY, CLI_DRY | CLI_IDS },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_device = {
    "device", "devices and what is wanted of them", cmd_device_verbs
};


static const out_column_t  device_columns[] = {
    { "id", NULL, OUT_TEXT, 0 },
    { "name", NULL, OUT_AUTO, OUT_WIDE },
    { "hw_model", "MODEL", OUT_AUTO, 4 },
    { "hw_revision", "REVISION", OUT_AUTO, 5 },
    { "sw_version", "VERSION", OUT_AUTO, 0 },
    { "target_version", "TARGET", OUT_AUTO, 1 },
    { "feed", NULL, OUT_AUTO, 3 },
    { "mode", NULL, OUT_AUTO, 6 },
    { "state", NULL, OUT_STATE, 0 },
    { "progress", "DONE", OUT_PERCENT, 0 },
    { "last_seen", "SEEN", OUT_TEXT, 0 },
    { "online", NULL, OUT_TEXT, 2 },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  device_spec = { "no devices", "id",
                                         device_columns };


static bool
cmd_device_list(cli_t *cli)
{
    long         limit;
    bool         ok, down;
    char         poll_time[16], rows[24];
    filter_t     filter;
    const char  *sort;

    limit = -1;
    sort = device_sort(cli, &down);

    if (sort == NULL || !cli_opt_int(cli, "limit", 0, 1000000000, &limit)
        || !cli_config(cli, 0))
    {
        return false;
    }

    snprintf(poll_time, sizeof(poll_time), "%d", cli->config->poll_time);
    snprintf(rows, sizeof(rows), "%ld", limit);

    ok = filter_option(cli, GB_FILTER_ANY, &filter)
         && out_cursor(cli, &device_spec,
                       "SELECT goosebit_admin.device_list($1, $2, $3, $4, $5,"
                       " " FILTER_SQL(6, 7, 8) ")", 8, cli->tenant, poll_time,
                       sort, down ? "t" : "f", limit < 0 ? NULL : rows,
                       filter.ops, filter.fields, filter.values);

    filter_free(&filter);

    return ok;
}


/* "-name", "name DESC" or "name": the column, NULL after a usage error */

static const char *
device_sort(cli_t *cli, bool *down)
{
    size_t       i, n, len;
    char         all[256];
    const char  *sort, *near, *words, *names[16];

    sort = cli_opt(cli, "sort");
    sort = sort ? sort : "id";
    *down = sort[0] == '-';
    sort += *down;
    len = strcspn(sort, " ");
    words = sort + len + strspn(sort + len, " ");

    for (i = 0, n = 0; device_columns[i].name != NULL; i++) {
        names[n++] = device_columns[i].name;
    }

    names[n] = NULL;

    for (i = 0; i < n; i++) {

        if (strlen(names[i]) != len || memcmp(names[i], sort, len) != 0) {
            continue;
        }

        if (*words == '\0' || strcasecmp(words, "asc") == 0) {
            return names[i];
        }

        if (strcasecmp(words, "desc") == 0) {
            *down = !*down;
            return names[i];
        }

        (void) cli_usage(cli, "option \"--sort\": after \"%s\" comes \"asc\" "
                         "or \"desc\", not \"%s\"", names[i], words);
        return NULL;
    }

    near = cli_nearest(sort, names);

    if (near != NULL) {
        (void) cli_usage(cli, "option \"--sort\": no column \"%s\", did you "
                         "mean \"%s\"?", sort, near);
        return NULL;
    }

    for (i = 0, len = 0; i < n && len < sizeof(all); i++) {
        len += (size_t) snprintf(all + len, sizeof(all) - len, "%s%s",
                                 i > 0 ? ", " : "", names[i]);
    }

    (void) cli_usage(cli, "option \"--sort\": no column \"%s\": %s", sort,
                     all);

    return NULL;
}


static bool
cmd_device_show(cli_t *cli)
{
    bool       ok;
    char       poll_time[16], updates[16];
    PGresult  *res;

    if (!cli_config(cli, 0)) {
        return false;
    }

    snprintf(poll_time, sizeof(poll_time), "%d", cli->config->poll_time);
    snprintf(updates, sizeof(updates), "%d",
             cli->config->max_concurrent_updates);

    res = db_call(cli, "SELECT id, name, hw_model, hw_revision, sw_version,"
                  " feed, mode, state, progress, target_version, last_seen,"
                  " online, reason, last_ip, attributes, tags,"
                  " assigned_software, assigned_version,"
                  " assigned_window, force_update, auto_confirm,"
                  " poll_time_text AS poll_time, auth, blocked, open_action,"
                  " installed_action, poll_links, registered, created"
                  " FROM goosebit_admin.device_show($1, $2, $3, $4)", 4,
                  cli->tenant, cli->argv[0], poll_time, updates);

    if (res == NULL) {
        return false;
    }

    ok = out_show(cli, &device_spec, res);

    PQclear(res);

    return ok;
}


char *
device_tags(const cli_t *cli, const char *option, char sign)
{
    char         *array;
    size_t        i, n;
    const char   *value, **tags;

    tags = calloc(cli->ngiven + 1, sizeof(char *));

    if (tags == NULL) {
        return NULL;
    }

    for (i = 0, n = 0; (value = cli_opts(cli, option, i)) != NULL; i++) {

        if (sign == '\0') {
            tags[n++] = value;

        } else if (value[0] == sign) {
            tags[n++] = value + 1;
        }
    }

    array = db_array(n, tags);

    free(tags);

    return array;
}
