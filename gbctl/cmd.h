/*
 * One table a noun, defined in its cmd_NOUN.c.
 */

#ifndef GBCTL_CMD_H
#define GBCTL_CMD_H


#include "cli.h"


extern const cli_noun_t  cmd_audit;
extern const cli_noun_t  cmd___complete;
extern const cli_noun_t  cmd_completion;
extern const cli_noun_t  cmd_config;
extern const cli_noun_t  cmd_db;
extern const cli_noun_t  cmd_device;
extern const cli_noun_t  cmd_import;
extern const cli_noun_t  cmd_rollout;
extern const cli_noun_t  cmd_sample;
extern const cli_noun_t  cmd_simulate;
extern const cli_noun_t  cmd_software;
extern const cli_noun_t  cmd_status;
extern const cli_noun_t  cmd_tenant;
extern const cli_noun_t  cmd_user;


#endif /* GBCTL_CMD_H */
