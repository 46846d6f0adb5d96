/*
 * Globs as regular expressions of PostgreSQL.
 */

#include <stdbool.h>
#include <string.h>

#include "gb_filter_glob.h"
#include "gb_text.h"


static const char *gb_filter_glob_set(const char *p, char **out);
static char *gb_filter_glob_char(const char *p, size_t len, char *out);


size_t
gb_filter_glob(const char *glob, char *out)
{
    char        *start;
    size_t       len;
    const char  *p, *end;

    start = out;
    *out++ = '^';

    for (p = glob; *p != '\0'; /* void */ ) {

        if (*p == '*') {
            *out++ = '.';
            *out++ = '*';
            p += strspn(p, "*");
            continue;
        }

        if (*p == '?') {
            *out++ = '.';
            p++;
            continue;
        }

        if (*p == '[') {
            end = gb_filter_glob_set(p, &out);

            if (end == NULL) {
                return 0;
            }

            if (end != p) {
                p = end;
                continue;
            }
        }

        if (*p == '\\' && p[1] != '\0') {
            p++;
        }

        len = gb_text_utf8(p, strlen(p), NULL);
        len = len ? len : 1;
        out = gb_filter_glob_char(p, len, out);
        p += len;
    }

    *out++ = '$';
    *out++ = '\0';

    return (size_t) (out - start);
}


/*
 * The set at p, as it is but for escapes: its end, p itself where nothing
 * closes it, NULL for a range that is none.
 */

static const char *
gb_filter_glob_set(const char *p, char **out)
{
    bool         range;
    char        *o;
    size_t       len;
    uint32_t     code, low;
    const char  *start;

    start = p;
    o = *out;
    *o++ = *p++;

    if (*p == '!' || *p == '^') {
        *o++ = '^';
        p++;
    }

    low = 0;
    range = false;

    for (len = 0; *p != '\0' && (*p != ']' || len == 0); p += len) {

        /* between two others it makes a range, else it is itself */

        if (*p == '-' && low != 0 && p[1] != ']' && p[1] != '\0') {
            *o++ = '-';
            range = true;
            len = 1;
            continue;
        }

        if (*p == '\\' && p[1] != '\0') {
            p++;
        }

        len = gb_text_utf8(p, strlen(p), &code);

        if (len == 0) {
            len = 1;
            code = (unsigned char) *p;
        }

        o = gb_filter_glob_char(p, len, o);

        if (range && code < low) {
            return NULL;
        }

        low = range ? 0 : code;
        range = false;
    }

    if (*p != ']') {
        return start;
    }

    *o++ = ']';
    *out = o;

    return p + 1;
}


/* one character that stands for itself, in a set and outside */

static char *
gb_filter_glob_char(const char *p, size_t len, char *out)
{
    if (len == 1 && strchr("^$.*+?|()[]{}\\-#&=:,", *p) != NULL) {
        *out++ = '\\';
    }

    memcpy(out, p, len);

    return out + len;
}
