/*
 * gb_filter_glob: globs as regular expressions of PostgreSQL.
 */

#ifndef GB_FILTER_GLOB_H
#define GB_FILTER_GLOB_H


#include <stddef.h>


/* out needs at most twice the glob's bytes and these */
#define GB_FILTER_GLOB_MORE  3


/*
 * Writes the expression that matches what the glob does, anchored, with its
 * NUL.  The glob is UTF-8.  Returns the bytes written, or 0 for a range whose
 * end is before its beginning, which PostgreSQL would refuse.
 */
size_t gb_filter_glob(const char *glob, char *out);


#endif /* GB_FILTER_GLOB_H */
