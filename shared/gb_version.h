/*
 * gb_version: the order of versions, the same as SQL's
 * goosebit.version_compare() (t/vectors/versions.tsv is run against both).
 *
 * A version is [vV]?N(.N){0,3}(-PRE)?(+BUILD)?: N are digits of any length
 * (leading zeros ignored, missing parts 0), PRE and BUILD are identifiers
 * [0-9A-Za-z-]+ joined by dots.  This takes in SemVer 2.0 (clause 11 gives the
 * order) and SWUpdate's four numbers.  Anything else is text: lower than every
 * version, among itself ordered by bytes.
 */

#ifndef GB_VERSION_H
#define GB_VERSION_H


#include <stdbool.h>
#include <stddef.h>


/* -1, 0 or 1: a is older than, as new as, newer than b.  BUILD is ignored. */
int gb_version_compare(const char *a, size_t alen, const char *b,
    size_t blen);

/*
 * Whether a device on a needs nothing to be on b: equal text, or compare 0
 * with the same BUILD by bytes (none on both sides counts as the same).
 */
bool gb_version_same(const char *a, size_t alen, const char *b, size_t blen);

/* true for a version, false for text */
bool gb_version_valid(const char *s, size_t len);


#endif /* GB_VERSION_H */
