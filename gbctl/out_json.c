/*
 * Rows as JSON lines, written as they come: a tree for each of a million
 * rows would cost more than all the rest.
 */

#include <stdlib.h>
#include <string.h>

#include "out_value.h"


#define OUT_HEAD  80            /* a name has at most 63 bytes */
#define OUT_PART  8192


/* text on its way to a file: stdio takes as long for a byte as for many */
typedef struct {
    FILE    *fp;
    size_t   len;
    char     text[OUT_PART];
} out_part_t;

/* what all rows have in common */
typedef struct {
    char         text[OUT_HEAD];
    size_t       len;
    out_class_e  class;
} out_head_t;


static out_head_t *out_json_heads(const PGresult *res);
static bool out_json_row(out_part_t *part, const PGresult *res, int row,
    const out_head_t *heads);
static bool out_json_value(out_part_t *part, const PGresult *res, int row,
    int i, out_class_e class);
static void out_json_string(out_part_t *part, const char *s);
static void out_json_escape(out_part_t *part, unsigned char c);
static inline void out_put(out_part_t *part, const char *text, size_t len);
static void out_flush(out_part_t *part);


bool
out_json_lines(FILE *fp, const PGresult *res)
{
    int          row;
    bool         ok;
    out_head_t  *heads;
    out_part_t   part;

    heads = out_json_heads(res);
    ok = heads != NULL;
    part.fp = fp;
    part.len = 0;

    for (row = 0; ok && row < PQntuples(res); row++) {
        ok = out_json_row(&part, res, row, heads) && !ferror(fp);
    }

    out_flush(&part);
    free(heads);

    return ok && !ferror(fp);
}


/* {"first": and ,"next": -- the names are our SQL's, nothing to escape */

static out_head_t *
out_json_heads(const PGresult *res)
{
    int          i;
    out_head_t  *heads;

    heads = calloc((size_t) PQnfields(res) + 1, sizeof(out_head_t));

    for (i = 0; heads != NULL && i < PQnfields(res); i++) {
        snprintf(heads[i].text, OUT_HEAD, "%c\"%s\":", i ? ',' : '{',
                 PQfname(res, i));
        heads[i].len = strlen(heads[i].text);
        heads[i].class = out_class(PQftype(res, i));
    }

    return heads;
}


static bool
out_json_row(out_part_t *part, const PGresult *res, int row,
    const out_head_t *heads)
{
    int  i;

    for (i = 0; i < PQnfields(res); i++) {
        out_put(part, heads[i].text, heads[i].len);

        if (PQgetisnull(res, row, i)) {
            out_put(part, "null", 4);

        } else if (!out_json_value(part, res, row, i, heads[i].class)) {
            return false;
        }
    }

    out_put(part, "}\n", 2);

    return true;
}


static bool
out_json_value(out_part_t *part, const PGresult *res, int row, int i,
    out_class_e class)
{
    bool         ok;
    char         time[64];
    json_t      *json;
    const char  *value;

    value = PQgetvalue(res, row, i);

    switch (class) {

    case OUT_CLASS_BOOL:
        out_put(part, value[0] == 't' ? "true" : "false",
                value[0] == 't' ? 4 : 5);
        return true;

    case OUT_CLASS_INTEGER:
        out_put(part, value, (size_t) PQgetlength(res, row, i));
        return true;

    case OUT_CLASS_TIME:

        if (strstr(value, "infinity") != NULL) {
            out_put(part, "null", 4);
        } else {
            out_json_string(part, out_rfc3339(value, time, sizeof(time)));
        }

        return true;

    case OUT_CLASS_TEXT:
        out_json_string(part, value);
        return true;

    case OUT_CLASS_TREE:
    default:
        out_flush(part);
        json = out_value_json(PQftype(res, i), value);
        ok = json != NULL && json_dumpf(json, part->fp,
                                   JSON_COMPACT | JSON_ENCODE_ANY) == 0;
        json_decref(json);
        return ok;
    }
}


static void
out_json_string(out_part_t *part, const char *s)
{
    const unsigned char  *p;

    out_put(part, "\"", 1);

    for ( /* void */ ; *s != '\0'; s = (const char *) p) {

        for (p = (const unsigned char *) s;
             *p >= 0x20 && *p != '"' && *p != '\\'; p++)
        {
            /* void */
        }

        out_put(part, s, (size_t) (p - (const unsigned char *) s));

        if (*p != '\0') {
            out_json_escape(part, *p++);
        }
    }

    out_put(part, "\"", 1);
}


static void
out_json_escape(out_part_t *part, unsigned char c)
{
    char  text[8];

    snprintf(text, sizeof(text), c < 0x20 ? "\\u%04X" : "\\%c", c);
    out_put(part, text, strlen(text));
}


static inline void
out_put(out_part_t *part, const char *text, size_t len)
{
    if (len > OUT_PART - part->len) {
        out_flush(part);

        if (len > OUT_PART) {
            fwrite(text, 1, len, part->fp);
            return;
        }
    }

    memcpy(part->text + part->len, text, len);
    part->len += len;
}


static void
out_flush(out_part_t *part)
{
    fwrite(part->text, 1, part->len, part->fp);
    part->len = 0;
}
