/*
 * The word that was meant, for hints in errors.
 */

#include <string.h>

#include "gb_text.h"


#define GB_TEXT_WORD   64
#define GB_TEXT_MEANT  3        /* of so many letters one may be wrong */


static unsigned gb_text_distance(const char *a, size_t alen, const char *b,
    size_t blen);
static unsigned gb_text_min(unsigned a, unsigned b);
static bool gb_text_alike(char a, char b);


const char *
gb_text_nearest(const char *s, const char *const *words, size_t n,
    unsigned *distance)
{
    size_t       i, len;
    unsigned     d, best;
    const char  *nearest;

    nearest = NULL;
    best = 0;
    len = strnlen(s, GB_TEXT_WORD);

    for (i = 0; i < n; i++) {
        d = gb_text_distance(s, len, words[i],
                             strnlen(words[i], GB_TEXT_WORD));

        if (nearest == NULL || d < best) {
            nearest = words[i];
            best = d;
        }
    }

    if (nearest != NULL && distance != NULL) {
        *distance = best;
    }

    return nearest;
}


const char *
gb_text_meant(const char *s, const char *const *words, size_t n)
{
    size_t       i, len, longer;
    unsigned     d;
    const char  *near;

    len = strlen(s);

    for (i = 0; len >= 2 && i < n; i++) {
        if (strncmp(words[i], s, len) == 0) {
            return words[i];
        }

        near = strrchr(words[i], '_');

        if (near != NULL && strcmp(near + 1, s) == 0) {
            return words[i];
        }
    }

    near = gb_text_nearest(s, words, n, &d);

    if (near == NULL || d >= len) {
        return NULL;
    }

    longer = strlen(near) > len ? strlen(near) : len;

    return d <= 1 || d <= longer / GB_TEXT_MEANT ? near : NULL;
}


/* the edit distance, a swap of two neighbours counting as one change */

static unsigned
gb_text_distance(const char *a, size_t alen, const char *b, size_t blen)
{
    size_t    i, j;
    unsigned  cost, rows[3][GB_TEXT_WORD + 1], *row, *up, *above;

    for (j = 0; j <= blen; j++) {
        rows[0][j] = (unsigned) j;
    }

    for (i = 1; i <= alen; i++) {
        row = rows[i % 3];
        up = rows[(i + 2) % 3];
        above = rows[(i + 1) % 3];
        row[0] = (unsigned) i;

        for (j = 1; j <= blen; j++) {
            cost = up[j - 1] + !gb_text_alike(a[i - 1], b[j - 1]);
            cost = gb_text_min(cost, up[j] + 1);
            cost = gb_text_min(cost, row[j - 1] + 1);

            if (i > 1 && j > 1 && gb_text_alike(a[i - 1], b[j - 2])
                && gb_text_alike(a[i - 2], b[j - 1]))
            {
                cost = gb_text_min(cost, above[j - 2] + 1);
            }

            row[j] = cost;
        }
    }

    return rows[alen % 3][blen];
}


static unsigned
gb_text_min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}


static bool
gb_text_alike(char a, char b)
{
    return gb_text_lower(a) == gb_text_lower(b);
}
