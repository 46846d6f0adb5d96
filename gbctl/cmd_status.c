/*
 * gbctl status: the fleet on one screen.
 */

#include "cmd.h"
#include "db.h"
#include "out.h"


static bool cmd_status_run(cli_t *cli);


static const cli_verb_t  cmd_status_verbs[] = {

    { "", "", "devices by state, rollouts running, last hour's results",
      NULL, cmd_status_run, 0, 0, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_status = {
    "status", "the fleet on one screen", cmd_status_verbs
};


static bool
cmd_status_run(cli_t *cli)
{
    bool       ok;
    PGresult  *res;

    res = db_call(cli, "SELECT * FROM goosebit_admin.status($1)", 1,
                  cli->tenant);

    if (res == NULL) {
        return false;
    }

    ok = out_show(cli, NULL, res);

    PQclear(res);

    return ok;
}
