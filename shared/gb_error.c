/*
 * gb_error: one line of text in the caller's own memory.
 */

#include <stdio.h>
#include <string.h>

#include "gb_error.h"
#include "gb_text.h"


static void gb_error_one_line(char *s);
static bool gb_error_half(const char *s, size_t len);


int
gb_error_set(gb_error_t *err, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    gb_error_vat(err, NULL, 0, fmt, args);
    va_end(args);

    return GB_ERROR;
}


int
gb_error_at(gb_error_t *err, const char *file, int line, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    gb_error_vat(err, file, line, fmt, args);
    va_end(args);

    return GB_ERROR;
}


int
gb_error_vat(gb_error_t *err, const char *file, int line, const char *fmt,
    va_list args)
{
    int     n;
    char    text[GB_ERROR_MESSAGE];
    size_t  len;

    if (err == NULL) {
        return GB_ERROR;
    }

    /* the arguments may point into *err: format aside first */

    if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
        text[0] = '\0';
    }

    if (file == NULL || file[0] == '\0') {
        file = "";
        line = 0;
    }

    if (file != err->file) {
        (void) snprintf(err->file, sizeof(err->file), "%s", file);
        gb_error_one_line(err->file);
    }

    err->line = line > 0 ? line : 0;

    n = 0;

    if (err->line != 0) {
        n = snprintf(err->message, sizeof(err->message), "%s:%d: ",
                     err->file, err->line);

    } else if (err->file[0] != '\0') {
        n = snprintf(err->message, sizeof(err->message), "%s: ", err->file);
    }

    len = strnlen(text, sizeof(err->message) - (size_t) n - 1);
    memcpy(err->message + n, text, len);
    err->message[n + len] = '\0';

    gb_error_one_line(err->message);

    return GB_ERROR;
}


int
gb_error_nomem(gb_error_t *err)
{
    gb_error_set(err, "out of memory");

    return GB_NOMEM;
}


void
gb_error_clear(gb_error_t *err)
{
    if (err != NULL) {
        err->message[0] = '\0';
        err->file[0] = '\0';
        err->line = 0;
    }
}


/*
 * Control characters become blanks, so that what a device or a file says can
 * neither forge a second line nor drive a terminal; bytes that are not UTF-8
 * become '?', but half a character left at the end by a cut goes away.
 */

static void
gb_error_one_line(char *s)
{
    char    *p;
    size_t   n, len, skip;

    len = strlen(s);

    for (p = s; len != 0; p += skip, len -= skip) {
        n = gb_text_utf8(p, len, NULL);
        skip = n == 0 ? 1 : n;

        if (n == 1 && gb_text_has_control(p, 1)) {
            *p = ' ';

        } else if (n == 0 && len < 4 && gb_error_half(p, len)) {
            *p = '\0';
            return;

        } else if (n == 0) {
            *p = '?';
        }
    }
}


static bool
gb_error_half(const char *s, size_t len)
{
    size_t  i;

    for (i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return false;
        }
    }

    return (s[0] & 0xc0) == 0xc0;
}
