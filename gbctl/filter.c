/*
 * --filter EXPR as parameters of a call.
 */

#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "filter.h"


bool
filter_option(cli_t *cli, gb_filter_scope_e scope, filter_t *filter)
{
    int           rc;
    const char   *expr;
    gb_error_t    err;
    gb_filter_t  *f;

    memset(filter, 0, sizeof(filter_t));

    expr = cli_opt(cli, "filter");

    if (expr == NULL) {
        return true;
    }

    rc = gb_filter_parse(expr, scope, &f, &err);

    if (rc == GB_ERROR) {
        return cli_fail(cli, CLI_USAGE, "usage", NULL, "--filter, %s",
                        err.message);
    }

    if (rc == GB_OK) {
        filter->ops = db_array(f->n, f->ops);
        filter->fields = db_array(f->n, f->fields);
        filter->values = db_array(f->n, f->values);
        gb_filter_free(f);
    }

    if (filter->ops == NULL || filter->fields == NULL
        || filter->values == NULL)
    {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    return true;
}


void
filter_free(filter_t *filter)
{
    free(filter->ops);
    free(filter->fields);
    free(filter->values);
}
