/*
 * gb_json: every byte passes gb_json_put(), which measures or fills and is
 * the one place that can overflow.
 */

#include <stdio.h>
#include <string.h>

#include "gb_json.h"
#include "gb_text.h"


static void gb_json_put(gb_json_t *j, const char *s, size_t len);
static void gb_json_value(gb_json_t *j);
static void gb_json_open(gb_json_t *j, char c, bool object);
static void gb_json_close(gb_json_t *j, char c, bool object);
static void gb_json_escaped(gb_json_t *j, const char *s, size_t len);
static void gb_json_number(gb_json_t *j, int64_t n);


void
gb_json_init(gb_json_t *j, char *buf, size_t size)
{
    memset(j, 0, sizeof(gb_json_t));

    j->buf = buf;
    j->size = size;
}


int
gb_json_done(gb_json_t *j, size_t *len)
{
    if (j->failed || !j->root || j->depth != 0 || j->string) {
        return GB_ERROR;
    }

    if (j->buf != NULL && len == NULL && j->len != j->size) {
        return GB_ERROR;
    }

    if (len != NULL) {
        *len = j->len;
    }

    return GB_OK;
}


void
gb_json_object_start(gb_json_t *j)
{
    gb_json_open(j, '{', true);
}


void
gb_json_object_end(gb_json_t *j)
{
    gb_json_close(j, '}', true);
}


void
gb_json_array_start(gb_json_t *j)
{
    gb_json_open(j, '[', false);
}


void
gb_json_array_end(gb_json_t *j)
{
    gb_json_close(j, ']', false);
}


void
gb_json_key(gb_json_t *j, const char *key)
{
    uint32_t  level;

    if (j->depth == 0 || j->key || j->string) {
        j->failed = true;
        return;
    }

    level = (uint32_t) 1 << (j->depth - 1);

    if (!(j->object & level)) {
        j->failed = true;
        return;
    }

    if (j->filled & level) {
        gb_json_put(j, ",", 1);
    }

    j->filled |= level;
    j->key = true;

    gb_json_put(j, "\"", 1);
    gb_json_escaped(j, key, strlen(key));
    gb_json_put(j, "\":", 2);
}


void
gb_json_string(gb_json_t *j, const char *s, size_t len)
{
    gb_json_string_start(j);
    gb_json_escaped(j, s, len);
    gb_json_string_end(j);
}


void
gb_json_int(gb_json_t *j, int64_t n)
{
    gb_json_value(j);
    gb_json_number(j, n);
}


void
gb_json_bool(gb_json_t *j, bool b)
{
    gb_json_value(j);

    if (b) {
        gb_json_put(j, "true", 4);

    } else {
        gb_json_put(j, "false", 5);
    }
}


void
gb_json_null(gb_json_t *j)
{
    gb_json_value(j);
    gb_json_put(j, "null", 4);
}


void
gb_json_raw(gb_json_t *j, const char *s, size_t len)
{
    gb_json_value(j);
    gb_json_put(j, s, len);
}


void
gb_json_string_start(gb_json_t *j)
{
    gb_json_value(j);
    gb_json_put(j, "\"", 1);

    j->string = true;
}


void
gb_json_string_part(gb_json_t *j, const char *s, size_t len)
{
    if (!j->string) {
        j->failed = true;
        return;
    }

    gb_json_escaped(j, s, len);
}


void
gb_json_string_uri(gb_json_t *j, const char *s, size_t len)
{
    char           escape[3];
    size_t         i, run;
    unsigned char  c;

    static const char  hex[] = "0123456789ABCDEF";

    if (!j->string) {
        j->failed = true;
        return;
    }

    run = 0;

    for (i = 0; i < len; i++) {
        if (gb_text_unreserved(s[i])) {
            continue;
        }

        c = (unsigned char) s[i];

        escape[0] = '%';
        escape[1] = hex[c >> 4];
        escape[2] = hex[c & 0x0f];

        gb_json_put(j, s + run, i - run);
        gb_json_put(j, escape, 3);
        run = i + 1;
    }

    gb_json_put(j, s + run, len - run);
}


void
gb_json_string_int(gb_json_t *j, int64_t n)
{
    if (!j->string) {
        j->failed = true;
        return;
    }

    gb_json_number(j, n);
}


void
gb_json_string_end(gb_json_t *j)
{
    if (!j->string) {
        j->failed = true;
        return;
    }

    j->string = false;
    gb_json_put(j, "\"", 1);
}


void
gb_json_member(gb_json_t *j, const char *key, const char *s)
{
    if (s == NULL) {
        return;
    }

    gb_json_key(j, key);
    gb_json_string(j, s, strlen(s));
}


void
gb_json_member_int(gb_json_t *j, const char *key, int64_t n)
{
    gb_json_key(j, key);
    gb_json_int(j, n);
}


static void
gb_json_put(gb_json_t *j, const char *s, size_t len)
{
    if (j->failed) {
        return;
    }

    if (len > (j->buf != NULL ? j->size : SIZE_MAX) - j->len) {
        j->failed = true;
        return;
    }

    if (j->buf != NULL && len != 0) {
        memcpy(j->buf + j->len, s, len);
    }

    j->len += len;
}


/* whatever comes next is a value: is one allowed here, and behind a comma? */

static void
gb_json_value(gb_json_t *j)
{
    uint32_t  level;

    if (j->string) {
        j->failed = true;
        return;
    }

    if (j->depth == 0) {
        if (j->root) {
            j->failed = true;
        }

        j->root = true;
        return;
    }

    level = (uint32_t) 1 << (j->depth - 1);

    if (j->object & level) {
        if (!j->key) {
            j->failed = true;
        }

        j->key = false;
        return;
    }

    if (j->filled & level) {
        gb_json_put(j, ",", 1);
    }

    j->filled |= level;
}


static void
gb_json_open(gb_json_t *j, char c, bool object)
{
    uint32_t  level;

    gb_json_value(j);

    if (j->depth == GB_JSON_DEPTH) {
        j->failed = true;
    }

    if (j->failed) {
        return;
    }

    level = (uint32_t) 1 << j->depth++;

    j->filled &= ~level;
    j->object &= ~level;

    if (object) {
        j->object |= level;
    }

    gb_json_put(j, &c, 1);
}


static void
gb_json_close(gb_json_t *j, char c, bool object)
{
    uint32_t  level;

    if (j->depth == 0 || j->key || j->string) {
        j->failed = true;
        return;
    }

    level = (uint32_t) 1 << --j->depth;

    if (!!(j->object & level) != object) {
        j->failed = true;
        return;
    }

    gb_json_put(j, &c, 1);
}


/* runs of plain bytes go in one piece, nearly always all of it */

static void
gb_json_escaped(gb_json_t *j, const char *s, size_t len)
{
    char           escape[8];
    size_t         n, run;
    unsigned char  c;

    run = gb_text_all_plain(s, len) ? len : 0;

    while (run < len) {
        c = (unsigned char) s[run];

        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            run++;
            continue;
        }

        n = gb_text_utf8(s + run, len - run, NULL);

        if (n > 1) {
            run += n;
            continue;
        }

        gb_json_put(j, s, run);
        s += run + 1;
        len -= run + 1;
        run = 0;

        if (n == 0) {
            gb_json_put(j, "\xef\xbf\xbd", 3);

        } else if (c == '"' || c == '\\') {
            escape[0] = '\\';
            escape[1] = (char) c;
            gb_json_put(j, escape, 2);

        } else if (c == '\n') {
            gb_json_put(j, "\\n", 2);

        } else {
            snprintf(escape, sizeof(escape), "\\u%04x", c);
            gb_json_put(j, escape, 6);
        }
    }

    gb_json_put(j, s, len);
}


static void
gb_json_number(gb_json_t *j, int64_t n)
{
    char      text[20], *p;
    uint64_t  u;

    u = (n < 0) ? 0 - (uint64_t) n : (uint64_t) n;
    p = text + sizeof(text);

    do {
        *--p = (char) ('0' + u % 10);
        u /= 10;
    } while (u != 0);

    if (n < 0) {
        *--p = '-';
    }

    gb_json_put(j, p, (size_t) (text + sizeof(text) - p));
}
