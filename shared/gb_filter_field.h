/*
 * gb_filter_field: what gb_filter's expressions compare, and with what.
 */

#ifndef GB_FILTER_FIELD_H
#define GB_FILTER_FIELD_H


#include <stdbool.h>
#include <stddef.h>

#include "gb_error.h"


#define GB_FILTER_WHY   512     /* room for a reason, which has no column */
#define GB_FILTER_MORE  24      /* a new value's bytes, at most */


typedef enum {
    GB_FILTER_TEXT = 0,
    GB_FILTER_WORD,         /* one of a few */
    GB_FILTER_VERSION,
    GB_FILTER_NUMBER,
    GB_FILTER_AGE,
    GB_FILTER_SET           /* tags */
} gb_filter_type_e;

typedef struct {
    const char         *name;
    gb_filter_type_e    type;
    bool                rollout;    /* a rollout's filter may use it */
    const char *const  *words;      /* ends with NULL */
} gb_filter_field_t;


extern const gb_filter_field_t  gb_filter_attr;


/* the field of that name, or NULL and why */
const gb_filter_field_t *gb_filter_field_find(const char *name, size_t len,
    char *why);

/* whether the operator goes with the field */
bool gb_filter_field_takes(const gb_filter_field_t *field, const char *op);

/*
 * Checks a value, for every operator but ~, and gives it the form SQL reads:
 * either *value stays, or a new one is written at *room, which moves on.
 */
int gb_filter_field_value(const gb_filter_field_t *field, const char *op,
    const char **value, char **room, char *why) GB_MUST_CHECK;


#endif /* GB_FILTER_FIELD_H */
