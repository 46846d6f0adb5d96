/*
 * gbctl device in four rooms: cmd_device.c has the verbs' table and what
 * reads one device or all, cmd_device_change.c what changes many,
 * cmd_device_token.c what makes one and its token, cmd_device_log.c what was.
 */

#ifndef GBCTL_CMD_DEVICE_H
#define GBCTL_CMD_DEVICE_H


#include <libpq-fe.h>

#include "cli.h"


bool cmd_device_add(cli_t *cli);
bool cmd_device_assign(cli_t *cli);
bool cmd_device_autoconfirm(cli_t *cli);
bool cmd_device_block(cli_t *cli);
bool cmd_device_cancel(cli_t *cli);
bool cmd_device_confirm(cli_t *cli);
bool cmd_device_delete(cli_t *cli);
bool cmd_device_deny(cli_t *cli);
bool cmd_device_explain(cli_t *cli);
bool cmd_device_force(cli_t *cli);
bool cmd_device_history(cli_t *cli);
bool cmd_device_log(cli_t *cli);
bool cmd_device_pin(cli_t *cli);
bool cmd_device_set(cli_t *cli);
bool cmd_device_token(cli_t *cli);
bool cmd_device_unblock(cli_t *cli);
bool cmd_device_unforce(cli_t *cli);
bool cmd_device_unpin(cli_t *cli);

/*
 * The values of a repeated option as a text[] literal; new, free(), NULL
 * without memory.  SIGN '+' or '-' takes only those that begin so, without
 * the sign; '\0' takes all, as they are.
 */
char *device_tags(const cli_t *cli, const char *option, char sign);


#endif /* GBCTL_CMD_DEVICE_H */
