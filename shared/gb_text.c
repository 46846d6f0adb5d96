/*
 * gb_text: what is done to text before anyone parses it, and UTF-8 for all.
 */

#include <string.h>
#include <strings.h>

#include "gb_text.h"


/* where gb_text_clean() stands: input, and output that may only be measured */

typedef struct {
    const char  *pos;
    const char  *end;
    char        *out;
    size_t       len;
} gb_text_cleaner_t;


static size_t gb_text_clean_all(const char *in, size_t len, char *out,
    bool numbers);
static size_t gb_text_number(const char *p, const char *end);
static const char *gb_text_digits(const char *p, const char *end);
static bool gb_text_word(char c);
static void gb_text_put(gb_text_cleaner_t *c, const char *s, size_t len);
static void gb_text_put_bad(gb_text_cleaner_t *c, size_t skip);
static void gb_text_clean_string(gb_text_cleaner_t *c);
static void gb_text_clean_escape(gb_text_cleaner_t *c);
static int gb_text_hex4(const char *p, const char *end);


size_t
gb_text_utf8(const char *s, size_t len, uint32_t *code)
{
    size_t                i, n;
    uint32_t              u;
    const unsigned char  *p;

    static const uint32_t  least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    p = (const unsigned char *) s;

    if (len == 0) {
        return 0;
    }

    if (p[0] < 0x80) {
        n = 1;
        u = p[0];

    } else if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        n = 2;
        u = p[0] & 0x1f;

    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        n = 3;
        u = p[0] & 0x0f;

    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        n = 4;
        u = p[0] & 0x07;

    } else {
        return 0;
    }

    if (n > len) {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        u = (u << 6) | (p[i] & 0x3f);
    }

    if (u < least[n] || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff)) {
        return 0;
    }

    if (code != NULL) {
        *code = u;
    }

    return n;
}


bool
gb_text_utf8_valid(const char *s, size_t len)
{
    size_t  n;

    n = gb_text_plain(s, len);
    s += n;
    len -= n;

    while (len != 0) {
        n = gb_text_utf8(s, len, NULL);
        if (n == 0) {
            return false;
        }

        s += n;
        len -= n;
    }

    return true;
}


size_t
gb_text_chars(const char *s, size_t len)
{
    size_t  n, count;

    for (count = 0; len != 0; count++) {
        n = gb_text_utf8(s, len, NULL);
        n = n == 0 ? 1 : n;

        s += n;
        len -= n;
    }

    return count;
}


size_t
gb_text_cut(const char *s, size_t len, size_t max)
{
    size_t  n, pos;

    for (pos = 0; pos < len && max != 0; max--) {
        n = gb_text_utf8(s + pos, len - pos, NULL);
        pos += n == 0 ? 1 : n;
    }

    return pos;
}


size_t
gb_text_http(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 ? 7
           : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;
}


bool
gb_text_has_control(const char *s, size_t len)
{
    size_t         i;
    unsigned char  ch;

    for (i = gb_text_plain(s, len); i < len; i++) {
        ch = (unsigned char) s[i];

        if (ch < 0x20 || ch == 0x7f) {
            return true;
        }
    }

    return false;
}


size_t
gb_text_clean(const char *in, size_t len, char *out)
{
    return gb_text_clean_all(in, len, out, false);
}


size_t
gb_text_clean_numbers(const char *in, size_t len, char *out)
{
    return gb_text_clean_all(in, len, out, true);
}


static size_t
gb_text_clean_all(const char *in, size_t len, char *out, bool numbers)
{
    char               ch;
    bool               word;
    size_t             n;
    gb_text_cleaner_t  c;

    if (len > SIZE_MAX / 6) {
        return GB_TEXT_TOO_LONG;
    }

    if (len >= 3 && memcmp(in, "\xef\xbb\xbf", 3) == 0) {
        in += 3;
        len -= 3;
    }

    c.pos = in;
    c.end = in + len;
    c.out = out;
    c.len = 0;

    word = false;

    while (c.pos < c.end) {
        n = numbers && !word ? gb_text_number(c.pos, c.end) : 0;

        if (n != 0) {
            gb_text_put(&c, "\"", 1);
            gb_text_put(&c, c.pos, n);
            gb_text_put(&c, "\"", 1);
            c.pos += n;
            continue;
        }

        ch = *c.pos;
        word = gb_text_word(ch);

        gb_text_put(&c, c.pos, 1);
        c.pos++;

        if (ch == '"') {
            gb_text_clean_string(&c);
        }
    }

    return c.len;
}


/*
 * The bytes of a complete JSON number at p (RFC 8259, 6), or 0: what runs on
 * as another word, or is followed by a colon, stays for the parser to refuse.
 */

static size_t
gb_text_number(const char *p, const char *end)
{
    const char  *start, *stop;

    start = p;

    if (p < end && *p == '-') {
        p++;
    }

    stop = gb_text_digits(p, end);

    if (stop == p || (*p == '0' && stop - p > 1)) {
        return 0;
    }

    p = stop;

    if (p < end && *p == '.') {
        stop = gb_text_digits(++p, end);

        if (stop == p) {
            return 0;
        }

        p = stop;
    }

    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;

        if (p < end && (*p == '+' || *p == '-')) {
            p++;
        }

        stop = gb_text_digits(p, end);

        if (stop == p) {
            return 0;
        }

        p = stop;
    }

    while (stop < end && memchr(" \t\r\n", *stop, 4) != NULL) {
        stop++;
    }

    if ((p < end && gb_text_word(*p)) || (stop < end && *stop == ':')) {
        return 0;
    }

    return p - start;
}


static const char *
gb_text_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }

    return p;
}


/* may stand in a number or in true, false, null */

static bool
gb_text_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
           || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' || c == '.';
}


static void
gb_text_put(gb_text_cleaner_t *c, const char *s, size_t len)
{
    if (c->out != NULL) {
        memcpy(c->out + c->len, s, len);
    }

    c->len += len;
}


static void
gb_text_put_bad(gb_text_cleaner_t *c, size_t skip)
{
    gb_text_put(c, "\xef\xbf\xbd", 3);
    c->pos += skip;
}


/* from behind the opening quote to behind the closing one */

static void
gb_text_clean_string(gb_text_cleaner_t *c)
{
    char           escape[6];
    size_t         n;
    unsigned char  ch;

    static const char  hex[] = "0123456789abcdef";

    while (c->pos < c->end) {
        ch = (unsigned char) *c->pos;

        if (ch == '"') {
            gb_text_put(c, c->pos++, 1);
            return;
        }

        if (ch == '\\') {
            gb_text_clean_escape(c);
            continue;
        }

        if (ch == '\0') {
            gb_text_put_bad(c, 1);
            continue;
        }

        if (ch < 0x20) {
            memcpy(escape, "\\u00", 4);
            escape[4] = hex[ch >> 4];
            escape[5] = hex[ch & 0x0f];

            gb_text_put(c, escape, 6);
            c->pos++;
            continue;
        }

        n = gb_text_utf8(c->pos, c->end - c->pos, NULL);

        if (n == 0) {
            gb_text_put_bad(c, 1);
            continue;
        }

        gb_text_put(c, c->pos, n);
        c->pos += n;
    }
}


static void
gb_text_clean_escape(gb_text_cleaner_t *c)
{
    int     u, low;
    size_t  n;

    if (c->end - c->pos < 2) {
        gb_text_put(c, c->pos, c->end - c->pos);
        c->pos = c->end;
        return;
    }

    u = gb_text_hex4(c->pos, c->end);

    if (u == 0 || (u >= 0xdc00 && u <= 0xdfff)) {
        gb_text_put_bad(c, 6);
        return;
    }

    n = u < 0 ? 1 : 6;

    if (u >= 0xd800 && u <= 0xdbff) {
        low = gb_text_hex4(c->pos + 6, c->end);

        if (low < 0xdc00 || low > 0xdfff) {
            gb_text_put_bad(c, 6);
            return;
        }

        n = 12;
    }

    /*
     * A backslash before a quote or another backslash hides it from the
     * scanner.  Before anything else it is copied alone, and what follows is
     * looked at again: an unknown escape is the parser's to refuse.
     */

    if (n == 1 && (c->pos[1] == '"' || c->pos[1] == '\\')) {
        n = 2;
    }

    gb_text_put(c, c->pos, n);
    c->pos += n;
}


/* the value of \uXXXX at p, or -1 */

static int
gb_text_hex4(const char *p, const char *end)
{
    int  i, ch, u;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return -1;
    }

    u = 0;

    for (i = 2; i < 6; i++) {
        ch = gb_text_lower(p[i]);

        if (ch >= '0' && ch <= '9') {
            u = u * 16 + (ch - '0');

        } else if (ch >= 'a' && ch <= 'f') {
            u = u * 16 + (ch - 'a' + 10);

        } else {
            return -1;
        }
    }

    return u;
}


size_t
gb_text_array(const char *const *items, size_t n, char *out)
{
    size_t             i, len;
    const char        *p;
    gb_text_cleaner_t  c;

    memset(&c, 0, sizeof(c));
    c.out = out;

    gb_text_put(&c, "{", 1);

    for (i = 0; i < n; i++) {
        if (i != 0) {
            gb_text_put(&c, ",", 1);
        }

        if (items[i] == NULL) {
            gb_text_put(&c, "NULL", 4);
            continue;
        }

        len = strlen(items[i]);

        if (len > (SIZE_MAX / 2 - c.len) / 4) {
            return GB_TEXT_TOO_LONG;
        }

        gb_text_put(&c, "\"", 1);

        for (p = items[i]; *p != '\0'; p++) {
            if (*p == '"' || *p == '\\') {
                gb_text_put(&c, "\\", 1);
            }

            gb_text_put(&c, p, 1);
        }

        gb_text_put(&c, "\"", 1);
    }

    gb_text_put(&c, "}", 1);

    return c.len;
}
