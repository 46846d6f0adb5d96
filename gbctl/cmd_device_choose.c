/*
 * gbctl device: the devices a verb is for.
 */

#include <stdlib.h>
#include <string.h>

#include "cmd_device.h"
#include "db.h"
#include "out.h"


bool
device_choose(cli_t *cli, int end, device_chosen_t *chosen)
{
    memset(chosen, 0, sizeof(device_chosen_t));

    if (!cli_config(cli, 0)) {
        return false;
    }

    snprintf(chosen->poll_time, sizeof(chosen->poll_time), "%d",
             cli->config->poll_time);

    if (end == 0 || cli_has(cli, "filter")) {
        return filter_option(cli, GB_FILTER_ANY, &chosen->filter);
    }

    if (!cli_ids(cli, 0, end, &chosen->ids)) {
        return false;
    }

    chosen->array = db_array(chosen->ids.n,
                             (const char *const *) chosen->ids.ids);

    return chosen->array != NULL
           || cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
}


PGresult *
device_call(cli_t *cli, const char *name, const device_chosen_t *chosen,
    int n, const char *const *more)
{
    int              i, k;
    char             sql[512];
    size_t           len;
    PGresult        *res;
    out_progress_t  *bar;
    const char      *params[DEVICE_PARAMS + 5];

    k = 0;
    params[k++] = cli->tenant;

    if (chosen->array != NULL) {
        params[k++] = chosen->array;

    } else {
        params[k++] = chosen->poll_time;
        params[k++] = chosen->filter.ops;
        params[k++] = chosen->filter.fields;
        params[k++] = chosen->filter.values;
    }

    len = (size_t) snprintf(sql, sizeof(sql),
                            "SELECT * FROM goosebit_admin.%s($1, %s", name,
                            chosen->array ? "$2"
                            : "goosebit_admin.device_choose($1, $2, "
                              FILTER_SQL(3, 4, 5) ")");

    for (i = 0; i < n; i++) {
        params[k++] = more[i];
        len += (size_t) snprintf(sql + len, sizeof(sql) - len, ", $%d", k);
    }

    snprintf(sql + len, sizeof(sql) - len, ")");

    bar = out_progress_count(cli, "devices", 0);
    res = db_callv(cli, sql, k, params);
    out_progress_end(bar);

    return res;
}


void
device_chosen_free(device_chosen_t *chosen)
{
    free(chosen->array);
    filter_free(&chosen->filter);
    cli_ids_free(&chosen->ids);
}
