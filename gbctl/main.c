/*
 * gbctl, the operator's command line.
 */

#include <fcntl.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"


static void main_streams(void);


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
    main_streams();

    return (int) cli_main(argc, argv, nouns);
}


/*
 * A stream that the caller has closed would be the next file or connection
 * that is opened, and lists would be written into the database's.  Writing to
 * stdout goes on being an error.
 */

static void
main_streams(void)
{
    int  fd;

    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) == -1) {
            (void) open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
        }
    }
}
