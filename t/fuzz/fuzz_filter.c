/*
 * Whatever is typed as a filter: no crash; what is taken is a program that
 * leaves one answer, of UTF-8 texts, and what is not names its column.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gb_filter.h"
#include "gb_text.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check_program(const gb_filter_t *f)
{
    size_t  i, depth;

    for (i = 0, depth = 0; i < f->n; i++) {

        if (f->fields[i][0] != '\0') {
            depth++;

        } else if (strcmp(f->ops[i], "not") == 0) {
            depth += depth == 0 ? SIZE_MAX / 2 : 0;

        } else {
            depth--;
        }

        if (depth == 0 || depth > GB_FILTER_STEPS
            || !gb_text_utf8_valid(f->fields[i], strlen(f->fields[i]))
            || !gb_text_utf8_valid(f->values[i], strlen(f->values[i])))
        {
            abort();
        }
    }

    if (depth != 1) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char         *expr;
    unsigned      scope;
    gb_error_t    err;
    gb_filter_t  *f;

    expr = malloc(size + 1);

    if (expr == NULL) {
        return 0;
    }

    memcpy(expr, data, size);
    expr[size] = '\0';

    for (scope = GB_FILTER_ANY; scope <= GB_FILTER_ROLLOUT; scope++) {

        if (gb_filter_parse(expr, scope, &f, &err) == GB_OK) {
            check_program(f);

        } else if (strncmp(err.message, "column ", 7) != 0) {
            abort();
        }

        gb_filter_free(f);
    }

    free(expr);

    return 0;
}
