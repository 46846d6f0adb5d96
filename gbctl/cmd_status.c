/*
 * gbctl status: the fleet on one screen.
 */

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cmd.h"
#include "db.h"
#include "live.h"
#include "out.h"


#define STATUS_PAUSE  2         /* seconds */


static bool cmd_status_run(cli_t *cli);
static bool status_once(cli_t *cli, void *data);
static bool status_screen(cli_t *cli, const PGresult *res);
static void status_counts(const cli_t *cli, const char *title,
    const char *counts);
static bool status_table(cli_t *cli, const char *rollouts);


static const cli_option_t  status_options[] = {
    { "watch", 0, NULL, "again every two seconds, until ^C or q", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_verb_t  cmd_status_verbs[] = {

    { "", "", "devices by state, rollouts running, last hour's results",
      status_options, cmd_status_run, 0, 0, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_status = {
    "status", "the fleet on one screen", cmd_status_verbs
};


static const out_column_t  status_rollouts[] = {
    { "id", NULL, OUT_AUTO, 0 },
    { "name", NULL, OUT_AUTO, 0 },
    { "feed", NULL, OUT_AUTO, 2 },
    { "version", NULL, OUT_AUTO, 0 },
    { "targeted", "DEVICES", OUT_AUTO, 1 },
    { "waiting", "WAIT", OUT_AUTO, 0 },
    { "running", "RUN", OUT_AUTO, 0 },
    { "success", "OK", OUT_AUTO, 0 },
    { "failure", "FAILED", OUT_AUTO, 0 },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  status_list = { "no rollouts run", "id",
                                         status_rollouts };


static bool
cmd_status_run(cli_t *cli)
{
    bool  ok, live;

    if (!cli_config(cli, 0)) {
        return false;
    }

    if (!cli_has(cli, "watch")) {
        return status_once(cli, NULL);
    }

    live = live_begin(cli);

    do {
        ok = live_draw(cli, status_once, NULL) && out_finish(cli);

        if (ok && !live && cli->format == CLI_TABLE) {
            putchar('\n');
        }

    } while (ok && live_wait(STATUS_PAUSE));

    live_end();

    return ok;
}


static bool
status_once(cli_t *cli, void *data)
{
    bool       ok;
    char       poll_time[16];
    PGresult  *res;

    (void) data;

    snprintf(poll_time, sizeof(poll_time), "%d", cli->config->poll_time);

    res = db_call(cli, "SELECT tenant_name AS tenant, devices, online,"
                  " states, actions, rollouts, last_hour, counted"
                  " FROM goosebit_admin.status($1, $2)", 2, cli->tenant,
                  poll_time);

    if (res == NULL) {
        return false;
    }

    ok = cli->format == CLI_TABLE || cli->format == CLI_WIDE
         ? status_screen(cli, res) : out_show(cli, NULL, res);

    PQclear(res);

    return ok;
}


static bool
status_screen(cli_t *cli, const PGresult *res)
{
    char        *tenant, when[64];
    const char  *devices, *online, *counted;

    tenant = out_clean(db_value(res, 0, "tenant"));
    devices = db_value(res, 0, "devices");
    online = db_value(res, 0, "online");

    counted = db_value(res, 0, "counted");

    printf("%s: %s device%s, %s online", tenant ? tenant : "-",
           devices ? devices : "-",
           devices && strcmp(devices, "1") == 0 ? "" : "s",
           online ? online : "-");

    /* a big fleet: some time ago, or for the first time and not yet whole */

    if (counted == NULL) {
        printf(", being counted");

    } else if (strcmp(out_when(counted, when, sizeof(when)), "now") != 0) {
        printf(", counted %s", when);
    }

    putchar('\n');

    free(tenant);

    status_counts(cli, "Devices", db_value(res, 0, "states"));
    status_counts(cli, "Open actions", db_value(res, 0, "actions"));
    status_counts(cli, "Last hour", db_value(res, 0, "last_hour"));

    return status_table(cli, db_value(res, 0, "rollouts"));
}


/* {"error": 1, "finished": 2} on a line, each in its colour */

static void
status_counts(const cli_t *cli, const char *title, const char *counts)
{
    int          at, len, room;
    json_t      *object, *n;
    const char  *key, *color;

    object = json_loads(counts ? counts : "{}", 0, NULL);

    at = printf("%-13s", title);
    room = cli->format == CLI_TABLE ? out_columns() : 0;

    if (json_object_size(object) == 0) {
        printf(" none");
    }

    json_object_foreach(object, key, n) {
        color = json_integer_value(n) > 0 ? out_state_color(cli, key) : "";
        len = snprintf(NULL, 0, " %s %lld", key,
                       (long long) json_integer_value(n));

        if (room > 0 && at + len > room) {
            at = printf("\n%13s", "") - 1;
        }

        at += len;

        printf(" %s%s %lld%s", color, key,
               (long long) json_integer_value(n),
               color[0] ? out_reset(cli) : "");
    }

    putchar('\n');
    json_decref(object);
}


static bool
status_table(cli_t *cli, const char *rollouts)
{
    bool         ok;
    char         text[9][24];
    size_t       i, j;
    json_t      *array, *object, *value;
    PGresult    *res;
    const char  *row[9];

    array = json_loads(rollouts ? rollouts : "[]", 0, NULL);
    res = out_make("id:int name feed version targeted:int waiting:int"
                   " running:int success:int failure:int");
    ok = array != NULL && res != NULL;

    for (i = 0; ok && i < json_array_size(array); i++) {
        object = json_array_get(array, i);

        for (j = 0; status_rollouts[j].name != NULL; j++) {
            value = json_object_get(object, status_rollouts[j].name);
            row[j] = json_string_value(value);

            if (json_is_integer(value)) {
                snprintf(text[j], sizeof(text[j]), "%lld",
                         (long long) json_integer_value(value));
                row[j] = text[j];
            }
        }

        ok = out_make_row(res, row[0], row[1], row[2], row[3], row[4],
                          row[5], row[6], row[7], row[8]);
    }

    if (ok && PQntuples(res) > 0) {
        printf("\nRollouts running\n");
    }

    ok = ok && out_list(cli, &status_list, res);

    PQclear(res);
    json_decref(array);

    return ok;
}
