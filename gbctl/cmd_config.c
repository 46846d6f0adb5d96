/*
 * gbctl config: goosebit.yaml and GOOSEBIT_* as they are understood.
 */

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cmd.h"
#include "out.h"


typedef struct {
    cli_t     *cli;
    PGresult  *res;
} config_show_t;


static bool cmd_config_check(cli_t *cli);
static bool cmd_config_show(cli_t *cli);
static int config_row(void *data, const gb_config_entry_t *entry);
static char *config_value(const gb_config_entry_t *entry);


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
    bool           ok;
    config_show_t  show;

    static const out_list_t  spec = { "nothing", "key", NULL };

    if (!cli_config(cli, 0)) {
        return false;
    }

    show.cli = cli;
    show.res = out_make("key value:json origin");

    ok = show.res != NULL
         && gb_config_each(cli->config, false, config_row, &show) == 0
         && out_list(cli, &spec, show.res);

    PQclear(show.res);

    return ok;
}


static int
config_row(void *data, const gb_config_entry_t *entry)
{
    bool           ok;
    char          *value;
    const char    *origin;
    config_show_t *show;

    show = data;
    value = NULL;
    origin = entry->origin;

    /* see cli_config() */

    if (show->cli->db_uri != NULL && strcmp(entry->key, "db_uri") == 0) {
        origin = "--db";
    }

    if (entry->value != NULL) {
        value = config_value(entry);

        if (value == NULL) {
            return GB_NOMEM;
        }
    }

    ok = out_make_row(show->res, entry->key, value, origin);

    free(value);

    return ok ? 0 : GB_NOMEM;
}


/* as JSON, so that a number stays one and a list is a list; new */

static char *
config_value(const gb_config_entry_t *entry)
{
    char        *text;
    size_t       len;
    json_t      *value;
    const char  *p;

    switch (entry->type) {

    case GB_CONFIG_STRING:
        value = json_string(entry->value);
        break;

    case GB_CONFIG_LIST:
        value = json_array();

        for (p = entry->value; value != NULL && *p != '\0'; p += len) {
            p += strspn(p, ", ");
            len = strcspn(p, ",");
            (void) json_array_append_new(value, json_stringn(p, len));
        }

        break;

    case GB_CONFIG_INT:
    case GB_CONFIG_BOOL:
    default:
        return strdup(entry->value);
    }

    text = json_dumps(value, JSON_ENCODE_ANY);

    json_decref(value);

    return text;
}
