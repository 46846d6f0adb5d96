/*
 * gbctl device in rooms: cmd_device.c has the verbs' table and what
 * reads one device or all, cmd_device_choose.c which are meant,
 * cmd_device_change.c what changes many, cmd_device_import.c and
 * cmd_device_export.c a fleet as a table, cmd_device_token.c what makes one
 * and its token, cmd_device_log.c what was.
 */

#ifndef GBCTL_CMD_DEVICE_H
#define GBCTL_CMD_DEVICE_H


#include <libpq-fe.h>

#include "cli.h"
#include "filter.h"


/* the SQL function's parameters after tenant and devices */
#define DEVICE_PARAMS  8


/* IDS as an array's literal, or a filter */
typedef struct {
    char      *array;           /* NULL: the filter */
    cli_ids_t  ids;
    filter_t   filter;
    char       poll_time[16];   /* the configuration's, for SQL */
} device_chosen_t;


bool cmd_device_add(cli_t *cli);
bool cmd_device_assign(cli_t *cli);
bool cmd_device_autoconfirm(cli_t *cli);
bool cmd_device_block(cli_t *cli);
bool cmd_device_cancel(cli_t *cli);
bool cmd_device_confirm(cli_t *cli);
bool cmd_device_delete(cli_t *cli);
bool cmd_device_deny(cli_t *cli);
bool cmd_device_explain(cli_t *cli);
bool cmd_device_export(cli_t *cli);
bool cmd_device_force(cli_t *cli);
bool cmd_device_history(cli_t *cli);
bool cmd_device_import(cli_t *cli);
bool cmd_device_log(cli_t *cli);
bool cmd_device_pin(cli_t *cli);
bool cmd_device_set(cli_t *cli);
bool cmd_device_token(cli_t *cli);
bool cmd_device_unblock(cli_t *cli);
bool cmd_device_unforce(cli_t *cli);
bool cmd_device_unpin(cli_t *cli);

/*
 * The devices of the first END arguments, or of --filter; all, with neither.
 * Free with device_chosen_free(), also after false.
 */
bool device_choose(cli_t *cli, int end, device_chosen_t *chosen)
    __attribute__((warn_unused_result));
void device_chosen_free(device_chosen_t *chosen);

/*
 * Calls goosebit_admin.NAME(tenant, devices, MORE...) with N more parameters.
 * A filter is answered inside the same statement, and locks what it takes.
 * A new result, or NULL.
 */
PGresult *device_call(cli_t *cli, const char *name,
    const device_chosen_t *chosen, int n, const char *const *more)
    __attribute__((warn_unused_result));

/*
 * The values of a repeated option as a text[] literal; new, free(), NULL
 * without memory.  SIGN '+' or '-' takes only those that begin so, without
 * the sign; '\0' takes all, as they are.
 */
char *device_tags(const cli_t *cli, const char *option, char sign);


#endif /* GBCTL_CMD_DEVICE_H */
