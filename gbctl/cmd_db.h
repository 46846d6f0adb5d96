/*
 * What the files of gbctl db share.
 */

#ifndef GBCTL_CMD_DB_H
#define GBCTL_CMD_DB_H


#include <libpq-fe.h>

#include "cli.h"


typedef struct {
    PGresult  *rows;        /* goosebit.migration, or NULL: no schema */
    int        applied;     /* number of the newest */
    bool       code;        /* functions and grants are this build's */
    bool       rights;      /* roles, owners and grants are there */
    char      *damaged;     /* what does not fit, or NULL; owned */
} schema_t;


/* begins a transaction, in which no other gbctl changes the schema */
bool schema_lock(cli_t *cli) __attribute__((warn_unused_result));

/*
 * What is there.  Who wants to CHANGE it must be one who may.  To be freed;
 * false after an error was reported.
 */
bool schema_read(cli_t *cli, schema_t *state, bool change)
    __attribute__((warn_unused_result));
void schema_free(schema_t *state);

/* false, and an error, if a migration is not the one that this gbctl has */
bool schema_refuse_damaged(cli_t *cli, const schema_t *state)
    __attribute__((warn_unused_result));

/*
 * All after the migration APPLIED.  Within schema_lock()'s transaction, so that
 * devices find tables and functions that fit; the caller commits.  MADE learns
 * what was done, or is NULL.
 */
bool schema_apply(cli_t *cli, int applied, PGresult *made)
    __attribute__((warn_unused_result));

/* gooseBit's roles in this cluster, by name; new */
PGresult *schema_roles(cli_t *cli) __attribute__((warn_unused_result));

/* the tenants of goosebit.yaml that migration 1 has not made */
bool schema_tenants(cli_t *cli, PGresult *made)
    __attribute__((warn_unused_result));

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

/*
 * The same of uploads that have not ended, ALL of these rows no damage.  Those
 * that began more than AGE seconds ago are ended, with AGE -1 none.
 */
bool db_check_uploads(cli_t *cli, PGresult *found, long age, int *all)
    __attribute__((warn_unused_result));


#endif /* GBCTL_CMD_DB_H */
