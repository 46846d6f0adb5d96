/*
 * gbctl user: operators, who are PostgreSQL login roles.
 *
 * A password never leaves this program: what goes to the server is the SCRAM
 * verifier that PostgreSQL keeps.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "db.h"
#include "live.h"
#include "out.h"


#define USER_PASSWORD_MAX  1024


static bool cmd_user_add(cli_t *cli);
static bool cmd_user_delete(cli_t *cli);
static bool cmd_user_list(cli_t *cli);
static bool cmd_user_set(cli_t *cli);
static bool user_put(cli_t *cli, const char *sql, const char *rights);
static bool user_check(cli_t *cli);
static bool user_password(cli_t *cli, char *password);
static bool user_line(cli_t *cli, char *password);


#define USER_PASSWORD                                                         \
    { "no-password", 0, NULL,                                                 \
      "none: peer or certificate authentication lets them in", 0 },           \
    { "password", 0, "-", "take the password from standard input", 0 }

static const cli_option_t  user_add_options[] = {
    USER_PASSWORD,
    { "rights", 0, "R", "viewer, operator or admin (viewer)", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_option_t  user_set_options[] = {
    USER_PASSWORD,
    { "rights", 0, "R", "viewer, operator or admin", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_verb_t  cmd_user_verbs[] = {

    { "add", "NAME", "make a PostgreSQL login with rights here",
      user_add_options, cmd_user_add, 1, 1, CLI_DRY },

    { "delete", "NAME", "drop a login that \"user add\" made", NULL,
      cmd_user_delete, 1, 1, CLI_DRY },

    { "list", "", "roles with rights here", NULL, cmd_user_list, 0, 0, 0 },

    { "set", "NAME", "change rights, or the password", user_set_options,
      cmd_user_set, 1, 1, CLI_DRY },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_user = {
    "user", "operators and their rights", cmd_user_verbs
};

static const out_list_t  user_spec = { "no users", "name", NULL };


static bool
cmd_user_list(cli_t *cli)
{
    return out_query(cli, &user_spec,
                     "SELECT * FROM goosebit_admin.user_list()", 0);
}


static bool
cmd_user_add(cli_t *cli)
{
    const char  *rights;

    rights = cli_opt(cli, "rights");

    return user_put(cli, "SELECT user_name AS name, user_rights AS rights"
                    " FROM goosebit_admin.user_add($1, $2, $3)",
                    rights ? rights : "viewer");
}


static bool
cmd_user_set(cli_t *cli)
{
    if (!cli_has(cli, "rights") && !cli_has(cli, "password")
        && !cli_has(cli, "no-password"))
    {
        return cli_usage(cli, "nothing is to be set: give --rights, "
                         "--password - or --no-password");
    }

    return user_put(cli, "SELECT user_name AS name, user_rights AS rights"
                    " FROM goosebit_admin.user_set($1, $2, $3)",
                    cli_opt(cli, "rights"));
}


static bool
user_put(cli_t *cli, const char *sql, const char *rights)
{
    bool         ok;
    char         password[USER_PASSWORD_MAX], *verifier;
    PGresult    *res;
    const char  *param;

    if (!cli_opt_word(cli, "rights", "viewer|operator|admin")
        || !user_check(cli) || !db_connect(cli, DB_THIS_SCHEMA)
        || !user_password(cli, password))
    {
        return false;
    }

    param = cli_has(cli, "no-password") && strcmp(cli->verb->name, "set") == 0
            ? "" : NULL;
    verifier = NULL;

    if (password[0] != '\0') {
        verifier = PQencryptPasswordConn(db_conn(cli), password,
                                         cli->argv[0], "scram-sha-256");
        explicit_bzero(password, sizeof(password));

        if (verifier == NULL) {
            return db_fail(cli, NULL);
        }

        param = verifier;
    }

    res = db_call(cli, sql, 3, cli->argv[0], rights, param);

    PQfreemem(verifier);

    ok = res != NULL && out_show(cli, &user_spec, res);

    PQclear(res);

    return ok;
}


static bool
user_check(cli_t *cli)
{
    const char  *text;

    text = cli_opt(cli, "password");

    if (text != NULL && strcmp(text, "-") != 0) {
        return cli_usage(cli, "option \"--password\" takes only -, so that no "
                         "password stands in a list of processes");
    }

    return text == NULL || !cli_has(cli, "no-password")
           || cli_usage(cli, "--password and --no-password exclude each "
                        "other");
}


/* what is set, "" where no password is */

static bool
user_password(cli_t *cli, char *password)
{
    bool         same;
    char         again[USER_PASSWORD_MAX];
    const char  *text;

    password[0] = '\0';
    text = cli_opt(cli, "password");

    if (text != NULL && !isatty(STDIN_FILENO)) {
        return user_line(cli, password);
    }

    if (text == NULL
        && (cli_has(cli, "no-password") || cli->dry_run
            || strcmp(cli->verb->name, "add") != 0
            || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)))
    {
        return true;
    }

    if (!live_secret(cli, text ? "password: " : "password (none: empty): ",
                     password, USER_PASSWORD_MAX)
        || (password[0] != '\0'
            && !live_secret(cli, "once more: ", again, sizeof(again))))
    {
        return false;
    }

    same = password[0] == '\0' || strcmp(password, again) == 0;
    explicit_bzero(again, sizeof(again));

    return same || cli_fail(cli, CLI_FAILED, "invalid", NULL,
                            "the passwords differ");
}


static bool
user_line(cli_t *cli, char *password)
{
    if (fgets(password, USER_PASSWORD_MAX, stdin) != NULL) {
        password[strcspn(password, "\r\n")] = '\0';
    }

    return password[0] != '\0'
           || cli_fail(cli, CLI_FAILED, "invalid", NULL,
                       "no password on standard input");
}


static bool
cmd_user_delete(cli_t *cli)
{
    bool   ok;
    char  *name;

    name = out_clean(cli->argv[0]);
    ok = db_rehearse(cli, "SELECT goosebit_admin.user_delete($1)", 1,
                     cli->argv[0])
         && cli_confirm(cli, "delete user \"%s\"?", name ? name : "?");
    free(name);

    return ok
           && out_query(cli, &user_spec, "SELECT user_name AS name"
                        " FROM goosebit_admin.user_delete($1)", 1,
                        cli->argv[0]);
}
