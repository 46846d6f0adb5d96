/*
 * Rows as JSON lines, written as they come: a tree for each of a million
 * rows would cost more than all the rest.
 */

#include <string.h>

#include "out_value.h"


static bool out_json_value(FILE *fp, const PGresult *res, int row, int i);
static void out_json_string(FILE *fp, const char *s);


bool
out_json_line(FILE *fp, const PGresult *res, int row)
{
    int  i;

    putc_unlocked('{', fp);

    for (i = 0; i < PQnfields(res); i++) {

        if (i > 0) {
            putc_unlocked(',', fp);
        }

        out_json_string(fp, PQfname(res, i));
        putc_unlocked(':', fp);

        if (PQgetisnull(res, row, i)) {
            fputs("null", fp);

        } else if (!out_json_value(fp, res, row, i)) {
            return false;
        }
    }

    fputs("}\n", fp);

    return !ferror(fp);
}


static bool
out_json_value(FILE *fp, const PGresult *res, int row, int i)
{
    bool         ok;
    char         time[64];
    json_t      *json;
    const char  *value;

    value = PQgetvalue(res, row, i);

    switch (out_class(PQftype(res, i))) {

    case OUT_CLASS_BOOL:
        fputs(value[0] == 't' ? "true" : "false", fp);
        return true;

    case OUT_CLASS_INTEGER:
        fputs(value, fp);
        return true;

    case OUT_CLASS_TIME:

        if (strstr(value, "infinity") != NULL) {
            fputs("null", fp);
        } else {
            out_json_string(fp, out_rfc3339(value, time, sizeof(time)));
        }

        return true;

    case OUT_CLASS_TEXT:
        out_json_string(fp, value);
        return true;

    case OUT_CLASS_TREE:
    default:
        json = out_value_json(PQftype(res, i), value);
        ok = json != NULL
             && json_dumpf(json, fp, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
        json_decref(json);
        return ok;
    }
}


static void
out_json_string(FILE *fp, const char *s)
{
    size_t                n;
    const unsigned char  *p;

    putc_unlocked('"', fp);

    for ( /* void */ ; *s != '\0'; s += n) {

        for (p = (const unsigned char *) s;
             *p >= 0x20 && *p != '"' && *p != '\\'; p++)
        {
            /* void */
        }

        n = (size_t) (p - (const unsigned char *) s);

        if (n > 0) {
            fwrite(s, 1, n, fp);
            continue;
        }

        n = 1;

        if (*p >= 0x20) {
            putc_unlocked('\\', fp);
            putc_unlocked(*p, fp);

        } else {
            fprintf(fp, "\\u%04X", *p);
        }
    }

    putc_unlocked('"', fp);
}
