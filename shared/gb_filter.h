/*
 * gb_filter: which devices are meant, as an expression:
 *
 *     feed=prod and (sw_version<1.4 or not tag~'lab-*') and last_seen<7d
 *
 * EXPR   is comparisons joined by "and", "or", "not" and parentheses; "not"
 *        binds closest, "or" least.
 * FIELD  is a column of gbctl's list, "tag" or attr.NAME (attr."A B").
 * OP     is = != < <= > >= or ~, a glob: * any text, ? one character, [a-z]
 *        and [!a-z] one of a set, \ takes the next as it is.
 * VALUE  is a word, or text in " or ' where the quote itself is doubled.
 *
 * What a device does not have equals "" and is neither less nor more than
 * anything; of tags one has to match.  sw_version and target_version compare
 * as versions; hw_revision and attributes are equal as text and ordered as
 * versions.  last_seen takes an age (90s, 7d, 1h30m), or "never", which is
 * older than any.
 *
 * The result is a program in postfix order: comparisons push, "and" and "or"
 * take two and push one, "not" takes one.  SQL (goosebit.filter_sql) knows
 * the same fields and operators.
 */

#ifndef GB_FILTER_H
#define GB_FILTER_H


#include <stddef.h>

#include "gb_error.h"


#define GB_FILTER_BYTES  4096   /* of an expression */
#define GB_FILTER_DEPTH  32     /* of parentheses and "not" */
#define GB_FILTER_STEPS  128    /* of a program */


typedef enum {
    GB_FILTER_ANY = 0,
    GB_FILTER_ROLLOUT   /* only what a rollout may look at */
} gb_filter_scope_e;


/*
 * n steps.  Of a comparison: its operator, field and value, which is a
 * regular expression for ~, seconds for an age ("" is never), "true" or
 * "false", or as typed.  Else the word, "" and "".
 */
typedef struct {
    size_t       n;
    const char  *ops[GB_FILTER_STEPS];
    const char  *fields[GB_FILTER_STEPS];
    const char  *values[GB_FILTER_STEPS];
} gb_filter_t;


/*
 * A new filter, for gb_filter_free().  GB_ERROR: the message begins with
 * "column N: ", N counts characters from 1.  GB_NOMEM.
 */
int gb_filter_parse(const char *expr, gb_filter_scope_e scope,
    gb_filter_t **filter, gb_error_t *err) GB_MUST_CHECK;

/* NULL is fine */
void gb_filter_free(gb_filter_t *filter);


#endif /* GB_FILTER_H */
