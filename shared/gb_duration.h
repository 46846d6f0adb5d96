/*
 * gb_duration: lengths of time as people type them.
 */

#ifndef GB_DURATION_H
#define GB_DURATION_H


#include <stdbool.h>
#include <stddef.h>


#define GB_DURATION_MAX  (100L * 365 * 86400)


/*
 * "90s", "2h", "1h30m", "7d", "2w" to seconds: numbers, each with a unit, at
 * most GB_DURATION_MAX together.  False for anything else.
 */
bool gb_duration_parse(const char *s, size_t len, long *seconds);


#endif /* GB_DURATION_H */
