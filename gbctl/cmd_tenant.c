/*
 * gbctl tenant: tenants, and what each sets for itself.  What it does not set
 * is as goosebit.yaml says.
 */

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cmd.h"
#include "cmd_software.h"
#include "db.h"
#include "out.h"
#include "token.h"


static bool cmd_tenant_add(cli_t *cli);
static bool cmd_tenant_delete(cli_t *cli);
static bool cmd_tenant_list(cli_t *cli);
static bool cmd_tenant_set(cli_t *cli);
static bool tenant_ask(cli_t *cli);
static bool tenant_delete_dry(cli_t *cli);
static bool tenant_sweep(cli_t *cli, const char *files);
static bool tenant_settings(cli_t *cli, json_t *settings, token_t *token);
static bool tenant_poll_time(cli_t *cli, json_t *settings);
static bool tenant_gateway(cli_t *cli, json_t *settings, token_t *token);
static bool tenant_set(cli_t *cli, const char *settings, token_t *token);
static PGresult *tenant_row(cli_t *cli, const char *name);
static bool tenant_show_once(cli_t *cli, const PGresult *res,
    const token_t *token);


#define tenant_columns                                                        \
    "name, to_char(make_interval(secs => poll_time), 'HH24:MI:SS')"           \
    " AS poll_time, auth, gateway_token, gateway_prefix,"                     \
    " max_updates, devices, created"


static const cli_option_t  tenant_delete_options[] = {

    { "force", '\0', NULL, "its devices, software and rollouts as well", 0 },

    { NULL, '\0', NULL, NULL, 0 }
};

static const cli_option_t  tenant_set_options[] = {

    { "auth", '\0', "MODE",
      "off, strict, lax, setup, external or default", 0 },

    { "gateway-prefix", '\0', "P",
      "ids a gateway may speak for begin so; \"\" for any", 0 },

    { "gateway-token", '\0', "-",
      "take the gateways' token from standard input", 0 },

    { "max-updates", '\0', "N",
      "open actions at a time, or default", 0 },

    { "new", '\0', NULL, "make a gateway token, shown this once", 0 },

    { "no-gateway-token", '\0', NULL, "let no gateway in", 0 },

    { "poll-time", '\0', "T", "HH:MM:SS, or default", 0 },

    { NULL, '\0', NULL, NULL, 0 }
};

static const cli_verb_t  cmd_tenant_verbs[] = {

    { "add", "NAME", "add a tenant", NULL, cmd_tenant_add, 1, 1, CLI_DRY },

    { "delete", "NAME", "forget a tenant that has nothing",
      tenant_delete_options, cmd_tenant_delete, 1, 1, CLI_DRY },

    { "list", "", "tenants and what they set for themselves", NULL,
      cmd_tenant_list, 0, 0, 0 },

    { "set", "NAME", "polling time, authentication, gateway token",
      tenant_set_options, cmd_tenant_set, 1, 1, CLI_DRY },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_tenant = {
    "tenant", "tenants and their settings", cmd_tenant_verbs
};

static const out_column_t  tenant_table[] = {
    { "name", NULL, OUT_AUTO, 0 },
    { "poll_time", "POLL TIME", OUT_AUTO, 0 },
    { "auth", NULL, OUT_AUTO, 0 },
    { "gateway_token", "GATEWAY", OUT_AUTO, 0 },
    { "gateway_prefix", "PREFIX", OUT_AUTO, 0 },
    { "max_updates", "MAX UPDATES", OUT_AUTO, 0 },
    { "devices", NULL, OUT_AUTO, 0 },
    { "created", NULL, OUT_AUTO, OUT_WIDE },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  tenant_list = { "no tenants", "name", tenant_table };


static bool
cmd_tenant_add(cli_t *cli)
{
    bool       ok;
    PGresult  *res;

    res = db_call(cli, "SELECT name FROM goosebit_admin.tenant_add($1)", 1,
                  cli->argv[0]);
    if (res == NULL) {
        return false;
    }

    ok = out_show(cli, NULL, res);

    PQclear(res);

    return ok;
}


/* all that a tenant has is not deleted only to see whether that would do */

static bool
tenant_ask(cli_t *cli)
{
    bool   ok, force;
    char  *name;

    force = cli_has(cli, "force");
    name = out_clean(cli->argv[0]);

    ok = db_rehearse(cli, force ? "SELECT goosebit_admin.tenant_set($1, '{}')"
                     : "SELECT goosebit_admin.tenant_delete($1, false)", 1,
                     cli->argv[0])
         && cli_confirm(cli, force
                        ? "delete tenant \"%s\" and all that it has?"
                        : "delete tenant \"%s\"?", name ? name : "?");
    free(name);

    return ok;
}


static bool
cmd_tenant_delete(cli_t *cli)
{
    bool       ok;
    PGresult  *res, *made;

    if (!cli_config(cli, 0) || !tenant_ask(cli)) {
        return false;
    }

    if (cli->dry_run) {
        return tenant_delete_dry(cli);
    }

    res = db_call(cli, "SELECT name, devices, softwares AS software,"
                  " rollouts, files"
                  " FROM goosebit_admin.tenant_delete($1, $2)", 2,
                  cli->argv[0], cli_has(cli, "force") ? "t" : "f");

    made = out_make("name devices:int software:int rollouts:int");

    ok = res != NULL && made != NULL
         && out_make_row(made, db_value(res, 0, "name"),
                         db_value(res, 0, "devices"),
                         db_value(res, 0, "software"),
                         db_value(res, 0, "rollouts"))
         && out_show(cli, NULL, made)
         && tenant_sweep(cli, db_value(res, 0, "files"));

    PQclear(res);
    PQclear(made);

    return ok;
}


/* its devices, unless that is refused */

static bool
tenant_delete_dry(cli_t *cli)
{
    bool       ok;
    PGresult  *res;

    static const out_list_t  spec = { "no devices", "id", NULL };

    ok = db_run(cli, "SAVEPOINT dry", 0);
    res = ok ? db_call(cli, "SELECT devices, softwares, rollouts"
                       " FROM goosebit_admin.tenant_delete($1, $2)", 2,
                       cli->argv[0], cli_has(cli, "force") ? "t" : "f")
             : NULL;

    ok = res != NULL && db_run(cli, "ROLLBACK TO dry", 0)
         && out_query(cli, &spec, "SELECT * FROM goosebit_admin.device_ids($1)",
                      1, cli->argv[0]);

    if (ok) {
        cli_note(cli, "%sthe tenant, its %s devices, %s software, %s rollouts "
                 "deleted", cli_dry(cli), db_value(res, 0, "devices"),
                 db_value(res, 0, "softwares"), db_value(res, 0, "rollouts"));
    }

    PQclear(res);

    return ok;
}


/* the stored files that no other tenant's software is made of */

static bool
tenant_sweep(cli_t *cli, const char *files)
{
    bool     ok;
    size_t   i;
    json_t  *list, *file;

    list = json_loads(files, 0, NULL);
    ok = true;

    json_array_foreach(list, i, file) {
        ok = software_sweep(cli,
                     json_string_value(json_object_get(file, "sha256")),
                     json_string_value(json_object_get(file, "filename")))
             && ok;
    }

    json_decref(list);

    return ok;
}


static bool
cmd_tenant_list(cli_t *cli)
{
    return out_query(cli, &tenant_list, "SELECT " tenant_columns
                     " FROM goosebit_admin.tenant_list()", 0);
}


static bool
cmd_tenant_set(cli_t *cli)
{
    bool      ok;
    char     *text;
    json_t   *settings;
    token_t   token;

    if (!cli_opt_word(cli, "auth",
                      "off|strict|lax|setup|external|default"))
    {
        return false;
    }

    token.text[0] = '\0';
    settings = json_object();
    text = NULL;

    ok = settings == NULL || tenant_settings(cli, settings, &token);

    if (ok && settings != NULL && json_object_size(settings) == 0) {
        ok = cli_usage(cli, "nothing to set");
    }

    if (ok) {
        text = settings ? json_dumps(settings, JSON_COMPACT) : NULL;

        ok = text != NULL ? tenant_set(cli, text, &token)
             : cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    free(text);
    json_decref(settings);

    return ok;
}


/* a key that is null goes back to what is configured */

static bool
tenant_settings(cli_t *cli, json_t *settings, token_t *token)
{
    long         n;
    const char  *text;

    text = cli_opt(cli, "auth");

    if (text != NULL) {
        (void) json_object_set_new(settings, "auth",
                                   strcmp(text, "default") == 0
                                   ? json_null() : json_string(text));
    }

    text = cli_opt(cli, "max-updates");

    if (text != NULL && strcmp(text, "default") == 0) {
        (void) json_object_set_new(settings, "max_updates", json_null());

    } else if (text != NULL) {
        n = 0;

        if (!cli_opt_int(cli, "max-updates", 0, 2147483647, &n)) {
            return false;
        }

        (void) json_object_set_new(settings, "max_updates", json_integer(n));
    }

    text = cli_opt(cli, "gateway-prefix");

    if (text != NULL) {
        (void) json_object_set_new(settings, "gateway_prefix",
                                   text[0] == '\0' ? json_null()
                                                   : json_string(text));
    }

    return tenant_poll_time(cli, settings)
           && tenant_gateway(cli, settings, token);
}


static bool
tenant_poll_time(cli_t *cli, json_t *settings)
{
    int          seconds;
    const char  *text;

    text = cli_opt(cli, "poll-time");

    if (text == NULL) {
        return true;
    }

    if (strcmp(text, "default") == 0) {
        (void) json_object_set_new(settings, "poll_time", json_null());
        return true;
    }

    if (gb_config_time(text, &seconds) != GB_OK) {
        return cli_usage(cli, "option \"--poll-time\": \"%s\" is not HH:MM:SS "
                         "from 00:00:01 to 23:59:59, nor default", text);
    }

    (void) json_object_set_new(settings, "poll_time", json_integer(seconds));

    return true;
}


static bool
tenant_gateway(cli_t *cli, json_t *settings, token_t *token)
{
    int          n;
    const char  *set;

    set = cli_opt(cli, "gateway-token");
    n = (set != NULL) + cli_has(cli, "new")
        + cli_has(cli, "no-gateway-token");

    if (n == 0) {
        return true;
    }

    if (n > 1) {
        return cli_usage(cli, "give one of --gateway-token -, --new and "
                         "--no-gateway-token");
    }

    if (cli_has(cli, "no-gateway-token")) {
        (void) json_object_set_new(settings, "gateway_token", json_null());
        return true;
    }

    if (set != NULL && strcmp(set, "-") != 0) {
        return cli_usage(cli, "option \"--gateway-token\" takes only -, so "
                         "that no token stands in a list of processes");
    }

    if (!(set != NULL ? token_stdin(cli, token) : token_new(cli, token))) {
        return false;
    }

    (void) json_object_set_new(settings, "gateway_token",
                               json_string(token->digest + 2));

    return true;
}


static bool
tenant_set(cli_t *cli, const char *settings, token_t *token)
{
    bool       ok;
    PGresult  *set, *row;

    set = db_call(cli, "SELECT name FROM goosebit_admin.tenant_set($1, $2)",
                  2, cli->argv[0], settings);
    if (set == NULL) {
        return false;
    }

    row = tenant_row(cli, db_value(set, 0, "name"));

    PQclear(set);

    if (row == NULL) {
        return false;
    }

    ok = cli_has(cli, "new") && !cli->dry_run
         ? tenant_show_once(cli, row, token)
         : out_show(cli, &tenant_list, row);

    PQclear(row);

    return ok;
}


static PGresult *
tenant_row(cli_t *cli, const char *name)
{
    return db_call(cli, "SELECT " tenant_columns
                   " FROM goosebit_admin.tenant_list() WHERE name = $1", 1,
                   name);
}


/* with -o name only the token, for scripts */

static bool
tenant_show_once(cli_t *cli, const PGresult *res, const token_t *token)
{
    bool       ok;
    PGresult  *made;

    static const out_list_t  spec = { NULL, "token", NULL };

    made = out_make("name gateway_prefix token");

    ok = made != NULL
         && out_make_row(made, db_value(res, 0, "name"),
                         db_value(res, 0, "gateway_prefix"), token->text)
         && out_show(cli, &spec, made);

    PQclear(made);

    if (ok) {
        cli_note(cli, "the token is shown this once and kept as a digest");
    }

    return ok;
}
