/*
 * What the files of gbctl rollout share.
 */

#ifndef GBCTL_CMD_ROLLOUT_H
#define GBCTL_CMD_ROLLOUT_H


#include "cli.h"


/* the verb "watch" */
bool rollout_watch(cli_t *cli);


#endif /* GBCTL_CMD_ROLLOUT_H */
