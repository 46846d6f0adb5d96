/*
 * What the files of gbctl db share.
 */

#ifndef GBCTL_CMD_DB_H
#define GBCTL_CMD_DB_H


#include <libpq-fe.h>

#include "cli.h"


/*
 * Adds a row (kind, tenant, object, damage) to FOUND for each thing in the
 * database, or in the store beside it, that is not as it must be.  False
 * after an error was reported.
 */
bool db_check_rows(cli_t *cli, PGresult *found)
    __attribute__((warn_unused_result));
/* STRAYS: of these rows, how many are files of no software: no damage */
bool db_check_files(cli_t *cli, PGresult *found, int *strays)
    __attribute__((warn_unused_result));


#endif /* GBCTL_CMD_DB_H */
