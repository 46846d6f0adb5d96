/*
 * gb_cbor_value: CBOR's scalars as JSON strings.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gb_cbor_value.h"
#include "gb_text.h"


json_t *
gb_cbor_text(const unsigned char *p, size_t len)
{
    char    *text, *out;
    size_t   n, pos;
    json_t  *value;

    /* at worst each byte becomes U+FFFD, which has three */

    if (len > SIZE_MAX / 3 - 1) {
        return NULL;
    }

    text = malloc(len * 3 + 1);
    if (text == NULL) {
        return NULL;
    }

    out = text;

    for (pos = 0; pos < len; pos += n) {
        n = p[pos] != '\0'
            ? gb_text_utf8((const char *) p + pos, len - pos, NULL) : 0;

        if (n == 0) {
            memcpy(out, "\xef\xbf\xbd", 3);
            out += 3;
            n = 1;

        } else {
            memcpy(out, p + pos, n);
            out += n;
        }
    }

    value = json_stringn_nocheck(text, (size_t) (out - text));

    free(text);

    return value;
}


json_t *
gb_cbor_base64(const unsigned char *p, size_t len)
{
    char      *text, *out;
    size_t     i, n;
    json_t    *value;
    uint32_t   bits;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    if (len > SIZE_MAX / 2 - 4) {
        return NULL;
    }

    text = malloc(len / 3 * 4 + 5);
    if (text == NULL) {
        return NULL;
    }

    out = text;

    for (i = 0; i < len; i += 3) {
        n = len - i < 3 ? len - i : 3;

        bits = (uint32_t) p[i] << 16;
        bits |= n > 1 ? (uint32_t) p[i + 1] << 8 : 0;
        bits |= n > 2 ? p[i + 2] : 0;

        *out++ = digits[bits >> 18];
        *out++ = digits[(bits >> 12) & 63];
        *out++ = n > 1 ? digits[(bits >> 6) & 63] : '=';
        *out++ = n > 2 ? digits[bits & 63] : '=';
    }

    value = json_stringn_nocheck(text, (size_t) (out - text));

    free(text);

    return value;
}


json_t *
gb_cbor_uint(uint64_t n)
{
    char  text[32];

    snprintf(text, sizeof(text), "%llu", (unsigned long long) n);

    return json_string_nocheck(text);
}


json_t *
gb_cbor_negint(uint64_t n)
{
    char  text[32];

    if (n == UINT64_MAX) {
        return json_string_nocheck("-18446744073709551616");
    }

    snprintf(text, sizeof(text), "-%llu", (unsigned long long) n + 1);

    return json_string_nocheck(text);
}


json_t *
gb_cbor_real(double d, bool single)
{
    int   digits;
    char  text[64];

    if (isnan(d)) {
        return json_string_nocheck("NaN");
    }

    if (isinf(d)) {
        return json_string_nocheck(d < 0 ? "-Infinity" : "Infinity");
    }

    for (digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);

        if (single ? strtof(text, NULL) == (float) d
                   : strtod(text, NULL) == d)
        {
            break;
        }
    }

    return json_string_nocheck(text);
}
