/*
 * gb_text: UTF-8, the leniency towards device JSON, PostgreSQL array
 * literals, and the nearest word for a hint.  Nothing here allocates.
 *
 * Functions with "out" work in two passes: out NULL measures, a second call
 * with the same input fills out, which must hold what the first returned
 * (plus one byte if the caller wants to append a NUL: none is written).
 * Lengths are bytes unless "characters" (Unicode code points) is said.
 */

#ifndef GB_TEXT_H
#define GB_TEXT_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>


#define GB_TEXT_TOO_LONG  ((size_t) -1)


/*
 * How many bytes from s on are surely printable ASCII and neither quote nor
 * backslash, eight at a time: no more than there are, perhaps fewer.  The
 * first byte that is none leaves its high bit in bad: it is below 0x20, from
 * 0x80 on, or equal to one of three.  Borrows may add a false one above it.
 */
static inline size_t
gb_text_plain(const char *s, size_t len)
{
    size_t    n;
    uint64_t  w, bad;

    static const uint64_t  ones = 0x0101010101010101ULL;

    for (n = 0; n + 8 <= len; n += 8) {
        memcpy(&w, s + n, 8);

        bad = w | (w - 0x20 * ones)
              | ((w ^ '"' * ones) - ones)
              | ((w ^ '\\' * ones) - ones)
              | ((w ^ 0x7f * ones) - ones);

        if (bad & 0x80 * ones) {
            break;
        }
    }

    return n;
}


/*
 * Whether all of s is such bytes.  From eight on the last of them are looked
 * at at once, some of them again.
 */
static inline bool
gb_text_all_plain(const char *s, size_t len)
{
    size_t         i;
    unsigned char  c;

    if (len >= 8) {
        return len - gb_text_plain(s, len) < 8
               && gb_text_plain(s + len - 8, 8) == 8;
    }

    for (i = 0; i < len; i++) {
        c = (unsigned char) s[i];

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            return false;
        }
    }

    return true;
}


/* RFC 3986: what a URI never has to escape */
static inline bool
gb_text_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9')
           || c == '-' || c == '.' || c == '_' || c == '~';
}


/* ASCII only, whatever the locale */
static inline int
gb_text_lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}


/*
 * Reads one character of well-formed UTF-8 (RFC 3629: no surrogates, nothing
 * overlong, up to U+10FFFF).  Returns its bytes (1 to 4), or 0 where the
 * bytes are not UTF-8 or len is 0.  *code may be NULL.
 */
size_t gb_text_utf8(const char *s, size_t len, uint32_t *code);

bool gb_text_utf8_valid(const char *s, size_t len);

/* characters in s; a byte that is not UTF-8 counts as one */
size_t gb_text_chars(const char *s, size_t len);

/* how many bytes the first max characters of s take */
size_t gb_text_cut(const char *s, size_t len, size_t max);

/*
 * The bytes of "http://" or "https://" (8) at the beginning of a URL, 0 if
 * there is neither.  RFC 3986, 3.1: case does not matter.
 */
size_t gb_text_http(const char *url);

/* true if s holds a byte below 0x20, or 0x7f */
bool gb_text_has_control(const char *s, size_t len);


/*
 * Makes the JSON text of a device parseable (ddi.md, rule 10), and touches
 * only what stands inside string literals: raw control characters become
 * escapes; NUL, \u0000, lone surrogates (escaped or as bytes) and bytes that
 * are not UTF-8 become U+FFFD.  A leading byte order mark is dropped.  Broken
 * structure stays broken.  Returns the bytes of the result (at most six times
 * len), or GB_TEXT_TOO_LONG if len is over SIZE_MAX / 6.
 */
size_t gb_text_clean(const char *in, size_t len, char *out);

/*
 * The same, and every number that stands as a value becomes a string of the
 * same characters: 1.10 stays "1.10" and no number is too big, as in Jackson,
 * hawkBit's reader, where a string is wanted.
 */
size_t gb_text_clean_numbers(const char *in, size_t len, char *out);


/*
 * The literal of a PostgreSQL text[]: {"a","b\"c",NULL}.  items are C
 * strings, a NULL item is SQL's NULL.  n may be 0: {}.  Returns bytes, or
 * GB_TEXT_TOO_LONG.
 */
size_t gb_text_array(const char *const *items, size_t n, char *out);


/*
 * The word of words (n of them) with the smallest edit distance to s, case
 * ignored; NULL if n is 0.  The first of equals wins.  *distance may be NULL;
 * words and s count up to their 64th byte.
 */
const char *gb_text_nearest(const char *s, const char *const *words,
    size_t n, unsigned *distance);

/*
 * The word that was meant by s, or NULL: one that begins with it, or ends with
 * it after a "_", else the nearest, if no more than every third letter is
 * wrong.
 */
const char *gb_text_meant(const char *s, const char *const *words, size_t n);


#endif /* GB_TEXT_H */
