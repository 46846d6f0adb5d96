/*
 * gbctl device: one device made beforehand, and tokens.
 */

#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "cmd_device.h"
#include "db.h"
#include "out.h"
#include "token.h"


static bool device_show_once(cli_t *cli, const PGresult *res,
    const token_t *token);


bool
cmd_device_add(cli_t *cli)
{
    bool             ok;
    char            *tags;
    PGresult        *res;
    const char      *text;
    token_t          token;

    text = cli_opt(cli, "token");

    if (text != NULL && cli_has(cli, "new-token")) {
        return cli_usage(cli, "--token and --new-token exclude each other");
    }

    if (!cli_opt_word(cli, "mode", "rollout|latest|assigned|pinned")) {
        return false;
    }

    if (cli_has(cli, "new-token")) {
        ok = token_new(cli, &token);

    } else if (text != NULL && strcmp(text, "-") == 0) {
        ok = token_stdin(cli, &token);

    } else {
        ok = text == NULL || token_take(cli, text, &token);
    }

    if (!ok) {
        return false;
    }

    tags = device_tags(cli, "tag", '\0');

    if (tags == NULL) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    res = db_call(cli, "SELECT id, name, feed, mode, to_jsonb(tags) AS tags,"
                  " auth"
                  " FROM goosebit_admin.device_add($1, $2, $3, $4, $5, $6,"
                  " $7)", 7, cli->tenant, cli->argv[0],
                  cli_opt(cli, "name"),
                  text || cli_has(cli, "new-token") ? token.digest : NULL,
                  cli_opt(cli, "feed"), cli_opt(cli, "mode"), tags);

    free(tags);

    if (res == NULL) {
        return false;
    }

    ok = cli_has(cli, "new-token") && !cli->dry_run
         ? device_show_once(cli, res, &token) : out_show(cli, NULL, res);

    PQclear(res);

    return ok;
}


bool
cmd_device_token(cli_t *cli)
{
    int              n;
    bool             ok;
    PGresult        *res;
    const char      *set;
    token_t          token;

    set = cli_opt(cli, "set");
    n = (set != NULL) + cli_has(cli, "new") + cli_has(cli, "clear");

    if (n != 1) {
        return cli_usage(cli, "give one of --new, --set - and --clear");
    }

    if (set != NULL && strcmp(set, "-") != 0) {
        return cli_usage(cli, "option \"--set\" takes only -, so that no "
                         "token stands in a list of processes");
    }

    ok = cli_has(cli, "new") ? token_new(cli, &token)
         : set != NULL ? token_stdin(cli, &token) : true;

    if (!ok) {
        return false;
    }

    res = db_call(cli, "SELECT id, CASE WHEN $3::bytea IS NULL THEN 'none'"
                  " ELSE 'token' END AS auth"
                  " FROM goosebit_admin.device_token($1, $2, $3)", 3,
                  cli->tenant, cli->argv[0],
                  cli_has(cli, "clear") ? NULL : token.digest);

    if (res == NULL) {
        return false;
    }

    if (PQntuples(res) == 0) {
        PQclear(res);
        res = out_make("id auth");
        ok = res != NULL
             && out_make_row(res, cli->argv[0],
                             cli_has(cli, "clear") ? "none" : "token")
             && out_show(cli, NULL, res);

        cli_note(cli, "it was so already");

    } else {
        ok = cli_has(cli, "new") && !cli->dry_run
             ? device_show_once(cli, res, &token) : out_show(cli, NULL, res);
    }

    PQclear(res);

    return ok;
}


/* with -o name only the token, for scripts */

static bool
device_show_once(cli_t *cli, const PGresult *res,
    const token_t *token)
{
    bool       ok;
    PGresult  *made;

    static const out_list_t  spec = { NULL, "token", NULL };

    if (PQfnumber(res, "feed") < 0) {
        made = out_make("id auth token");
        ok = made != NULL
             && out_make_row(made, db_value(res, 0, "id"),
                             db_value(res, 0, "auth"), token->text);

    } else {
        made = out_make("id name feed mode tags:json auth token");
        ok = made != NULL
             && out_make_row(made, db_value(res, 0, "id"),
                             db_value(res, 0, "name"),
                             db_value(res, 0, "feed"),
                             db_value(res, 0, "mode"),
                             db_value(res, 0, "tags"),
                             db_value(res, 0, "auth"), token->text);
    }

    ok = ok && out_show(cli, &spec, made);

    PQclear(made);

    if (ok) {
        cli_note(cli, "the token is shown this once and kept as a digest");
    }

    return ok;
}
