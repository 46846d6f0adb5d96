/*
 * gbctl config: goosebit.yaml and GOOSEBIT_* as they are understood.
 */

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cmd.h"
#include "out.h"


static bool cmd_config_check(cli_t *cli);
static bool cmd_config_show(cli_t *cli);
static int config_row(void *data, const gb_config_entry_t *entry);


static const cli_verb_t  cmd_config_verbs[] = {

    { "check", "", "look for wrong keys and values", NULL,
      cmd_config_check, 0, 0, 0 },

    { "show", "", "effective values and where each came from", NULL,
      cmd_config_show, 0, 0, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_config = {
    "config", "goosebit.yaml and GOOSEBIT_* variables", cmd_config_verbs
};


static bool
cmd_config_check(cli_t *cli)
{
    bool         ok;
    size_t       i;
    PGresult    *res;
    const char  *kind;

    static const out_list_t  spec = { "nothing to say", "text", NULL };

    if (!cli_config(cli, GB_CONFIG_KEEP)) {
        return false;
    }

    res = out_make("kind text");
    ok = res != NULL;

    for (i = 0; ok && i < cli->config->nnotes; i++) {

        kind = cli->config->notes[i].kind == GB_CONFIG_NOTE_ERROR ? "error"
               : cli->config->notes[i].kind == GB_CONFIG_NOTE_WARNING
                 ? "warning" : "ignored";

        ok = out_make_row(res, kind, cli->config->notes[i].text);
    }

    ok = ok && (cli->config->nnotes == 0 && cli->format == CLI_TABLE
                ? true : out_list(cli, &spec, res));

    PQclear(res);

    if (!ok) {
        return false;
    }

    if (cli->config->nerrors > 0) {
        return cli_fail(cli, CLI_FAILED, "invalid", NULL,
                        "%s: %zu error%s", cli->config->file
                        ? cli->config->file : "environment",
                        cli->config->nerrors,
                        cli->config->nerrors > 1 ? "s" : "");
    }

    cli_note(cli, "%s: ok", cli->config->file ? cli->config->file
                                              : "no file, defaults");

    return true;
}


static bool
cmd_config_show(cli_t *cli)
{
    bool       ok;
    PGresult  *res;

    static const out_list_t  spec = { "nothing", "key", NULL };

    if (!cli_config(cli, 0)) {
        return false;
    }

    res = out_make("key value:json origin");

    ok = res != NULL
         && gb_config_each(cli->config, false, config_row, res) == 0
         && out_list(cli, &spec, res);

    PQclear(res);

    return ok;
}


/* the value as JSON has it, so that a number stays one */

static int
config_row(void *data, const gb_config_entry_t *entry)
{
    bool     ok;
    char    *text;
    json_t  *value;

    value = NULL;
    text = NULL;

    if (entry->value != NULL) {

        if (entry->type == GB_CONFIG_STRING
            || entry->type == GB_CONFIG_LIST)
        {
            value = json_string(entry->value);
            text = json_dumps(value, JSON_ENCODE_ANY);

        } else {
            text = strdup(entry->value);
        }
    }

    ok = (text != NULL || entry->value == NULL)
         && out_make_row(data, entry->key, text, entry->origin);

    json_decref(value);
    free(text);

    return ok ? 0 : -1;
}
