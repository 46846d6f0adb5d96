/*
 * gbctl, the operator's command line.
 */

#include "cli.h"
#include "cmd.h"


static const cli_noun_t *const nouns[] = {
    &cmd___complete,
    &cmd_audit,
    &cmd_completion,
    &cmd_config,
    &cmd_db,
    &cmd_device,
    &cmd_import,
    &cmd_rollout,
    &cmd_sample,
    &cmd_simulate,
    &cmd_software,
    &cmd_status,
    &cmd_tenant,
    &cmd_user,
    NULL
};


int
main(int argc, char **argv)
{
    return (int) cli_main(argc, argv, nouns);
}
