/*
 * Lengths of time as people type them.
 */

#include <string.h>

#include "gb_duration.h"


bool
gb_duration_parse(const char *s, size_t len, long *seconds)
{
    long         n, sum;
    size_t       i;
    const char  *unit;

    static const char  units[] = "smhdw";
    static const long  lengths[] = { 1, 60, 3600, 86400, 7 * 86400 };

    sum = 0;

    if (len == 0) {
        return false;
    }

    for (i = 0; i < len; i++) {

        if (s[i] < '0' || s[i] > '9') {
            return false;
        }

        for (n = 0; i < len && s[i] >= '0' && s[i] <= '9'; i++) {
            n = n * 10 + (s[i] - '0');

            if (n > GB_DURATION_MAX) {
                return false;
            }
        }

        unit = i < len ? memchr(units, s[i], sizeof(units) - 1) : NULL;

        if (unit == NULL) {
            return false;
        }

        if (n > (GB_DURATION_MAX - sum) / lengths[unit - units]) {
            return false;
        }

        sum += n * lengths[unit - units];
    }

    *seconds = sum;

    return true;
}
