/*
 * --filter EXPR as parameters of a call.
 */

#ifndef GBCTL_FILTER_H
#define GBCTL_FILTER_H


#include <gb_filter.h>

#include "cli.h"


/* how SQL takes the three, given the numbers of their parameters */
#define FILTER_SQL(a, b, c)                                                  \
    "ROW($" #a "::text[], $" #b "::text[], $" #c "::text[])"                 \
    "::goosebit_admin.filter"


/* literals of text[], NULL where no filter was given */
typedef struct {
    char  *ops;
    char  *fields;
    char  *values;
} filter_t;


/*
 * The program of --filter.  False after a usage error, which tells the
 * column.  Free with filter_free(), also after false.
 */
bool filter_option(cli_t *cli, gb_filter_scope_e scope, filter_t *filter)
    __attribute__((warn_unused_result));
void filter_free(filter_t *filter);


#endif /* GBCTL_FILTER_H */
