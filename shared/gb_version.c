/*
 * gb_version: no number is ever converted, digits are compared as text, so
 * that a version of any length has its place.
 */

#include <string.h>

#include "gb_version.h"


#define GB_VERSION_NUMBERS  4


typedef struct {
    const char  *start;
    size_t       len;
} gb_version_part_t;


typedef struct {
    gb_version_part_t  number[GB_VERSION_NUMBERS];  /* no leading zeros */
    gb_version_part_t  pre;
    gb_version_part_t  build;
} gb_version_t;


static bool gb_version_parse(gb_version_t *v, const char *s, size_t len);
static const char *gb_version_identifiers(const char *p, const char *end,
    gb_version_part_t *part);
static int gb_version_pre(gb_version_part_t a, gb_version_part_t b);
static gb_version_part_t gb_version_identifier(gb_version_part_t *rest);
static int gb_version_number(gb_version_part_t a, gb_version_part_t b);
static int gb_version_bytes(const char *a, size_t alen, const char *b,
    size_t blen);
static bool gb_version_numeric(gb_version_part_t part);


static inline bool
gb_version_digit(char c)
{
    return c >= '0' && c <= '9';
}


int
gb_version_compare(const char *a, size_t alen, const char *b, size_t blen)
{
    int           i, rc;
    bool          ok;
    gb_version_t  va, vb;

    ok = gb_version_parse(&va, a, alen);

    if (!gb_version_parse(&vb, b, blen)) {
        return ok ? 1 : gb_version_bytes(a, alen, b, blen);
    }

    if (!ok) {
        return -1;
    }

    for (i = 0; i < GB_VERSION_NUMBERS; i++) {
        rc = gb_version_number(va.number[i], vb.number[i]);
        if (rc != 0) {
            return rc;
        }
    }

    return gb_version_pre(va.pre, vb.pre);
}


bool
gb_version_same(const char *a, size_t alen, const char *b, size_t blen)
{
    gb_version_t  va, vb;

    if (alen == blen && (alen == 0 || memcmp(a, b, alen) == 0)) {
        return true;
    }

    return gb_version_parse(&va, a, alen) && gb_version_parse(&vb, b, blen)
           && gb_version_compare(a, alen, b, blen) == 0
           && gb_version_bytes(va.build.start, va.build.len,
                               vb.build.start, vb.build.len) == 0;
}


bool
gb_version_valid(const char *s, size_t len)
{
    gb_version_t  v;

    return gb_version_parse(&v, s, len);
}


static bool
gb_version_parse(gb_version_t *v, const char *s, size_t len)
{
    int                 i;
    const char         *p, *end;
    gb_version_part_t  *n;

    memset(v, 0, sizeof(gb_version_t));

    if (len == 0) {
        return false;
    }

    p = s;
    end = s + len;

    if (*p == 'v' || *p == 'V') {
        p++;
    }

    for (i = 0; i < GB_VERSION_NUMBERS; i++) {

        if (i != 0) {
            if (p == end || *p != '.') {
                break;
            }

            p++;
        }

        if (p == end || !gb_version_digit(*p)) {
            return false;
        }

        while (p < end && *p == '0') {
            p++;
        }

        n = &v->number[i];
        n->start = p;

        while (p < end && gb_version_digit(*p)) {
            p++;
        }

        n->len = p - n->start;
    }

    if (p < end && *p == '-') {
        p = gb_version_identifiers(p + 1, end, &v->pre);
    }

    if (p != NULL && p < end && *p == '+') {
        p = gb_version_identifiers(p + 1, end, &v->build);
    }

    return p == end;
}


/* identifiers joined by dots: returns their end, or NULL if one is empty */

static const char *
gb_version_identifiers(const char *p, const char *end,
    gb_version_part_t *part)
{
    char  c;
    bool  empty;

    empty = true;
    part->start = p;

    for ( /* void */ ; p < end; p++) {
        c = *p;

        if (gb_version_digit(c) || (c >= 'A' && c <= 'Z')
            || (c >= 'a' && c <= 'z') || c == '-')
        {
            empty = false;

        } else if (c == '.' && !empty) {
            empty = true;

        } else {
            break;
        }
    }

    part->len = p - part->start;

    return empty ? NULL : p;
}


/* SemVer 2.0, clauses 11.3 and 11.4 */

static int
gb_version_pre(gb_version_part_t a, gb_version_part_t b)
{
    int                rc;
    bool               an, bn;
    gb_version_part_t  ia, ib;

    if (a.len == 0 || b.len == 0) {
        return (a.len == 0) - (b.len == 0);
    }

    while (a.len != 0 && b.len != 0) {
        ia = gb_version_identifier(&a);
        ib = gb_version_identifier(&b);

        an = gb_version_numeric(ia);
        bn = gb_version_numeric(ib);

        if (an != bn) {
            return an ? -1 : 1;
        }

        rc = an ? gb_version_number(ia, ib)
                : gb_version_bytes(ia.start, ia.len, ib.start, ib.len);

        if (rc != 0) {
            return rc;
        }
    }

    return (a.len != 0) - (b.len != 0);
}


/* takes the first identifier off, with the dot behind it */

static gb_version_part_t
gb_version_identifier(gb_version_part_t *rest)
{
    size_t              used;
    const char         *dot;
    gb_version_part_t   first;

    first = *rest;
    used = rest->len;

    dot = memchr(rest->start, '.', rest->len);

    if (dot != NULL) {
        first.len = dot - rest->start;
        used = first.len + 1;
    }

    rest->start += used;
    rest->len -= used;

    return first;
}


static int
gb_version_number(gb_version_part_t a, gb_version_part_t b)
{
    while (a.len != 0 && *a.start == '0') {
        a.start++;
        a.len--;
    }

    while (b.len != 0 && *b.start == '0') {
        b.start++;
        b.len--;
    }

    if (a.len != b.len) {
        return a.len < b.len ? -1 : 1;
    }

    return gb_version_bytes(a.start, a.len, b.start, b.len);
}


static int
gb_version_bytes(const char *a, size_t alen, const char *b, size_t blen)
{
    int     rc;
    size_t  n;

    n = alen < blen ? alen : blen;

    rc = n == 0 ? 0 : memcmp(a, b, n);

    if (rc == 0) {
        return (alen > blen) - (alen < blen);
    }

    return rc < 0 ? -1 : 1;
}


static bool
gb_version_numeric(gb_version_part_t part)
{
    size_t  i;

    for (i = 0; i < part.len; i++) {
        if (!gb_version_digit(part.start[i])) {
            return false;
        }
    }

    return true;
}
