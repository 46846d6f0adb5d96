/*
 * One value of a PGresult as JSON or for a human.
 */

#include <stdlib.h>
#include <string.h>

#include "out_value.h"


#define OUT_COLUMNS  32         /* most of a result made here */

/* pg_type.dat's fixed OIDs */
#define OUT_BOOL         16
#define OUT_INT8         20
#define OUT_INT2         21
#define OUT_INT4         23
#define OUT_TEXT_TYPE    25
#define OUT_OID          26
#define OUT_JSON         114
#define OUT_FLOAT4       700
#define OUT_FLOAT8       701
#define OUT_INT4_ARRAY   1007
#define OUT_TEXT_ARRAY   1009
#define OUT_INT8_ARRAY   1016
#define OUT_TIMESTAMPTZ  1184
#define OUT_NUMERIC      1700
#define OUT_JSONB        3802


static json_t *out_array_json(const char *value, bool numbers);
static char *out_json_human(const json_t *value, int depth);
static char *out_join(char *text, const char *separator, const char *more);


PGresult *
out_make(const char *columns)
{
    int             n;
    char            names[OUT_COLUMNS][32];
    size_t          len, skip;
    PGresult       *res;
    PGresAttDesc    attrs[OUT_COLUMNS];
    const char     *type;

    memset(attrs, 0, sizeof(attrs));

    for (n = 0; *columns != '\0' && n < OUT_COLUMNS; n++) {
        skip = strcspn(columns, " ");
        len = strcspn(columns, ": ");
        type = columns + len;

        snprintf(names[n], sizeof(names[n]), "%.*s", (int) len, columns);
        attrs[n].name = names[n];
        attrs[n].typlen = -1;
        attrs[n].atttypmod = -1;
        attrs[n].typid = strncmp(type, ":bool", 5) == 0 ? OUT_BOOL
                         : strncmp(type, ":int", 4) == 0 ? OUT_INT8
                         : strncmp(type, ":json", 5) == 0 ? OUT_JSON
                         : OUT_TEXT_TYPE;

        columns += skip;
        columns += *columns == ' ';
    }

    res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    if (res != NULL && PQsetResultAttrs(res, n, attrs) == 0) {
        PQclear(res);
        return NULL;
    }

    return res;
}


bool
out_make_row(PGresult *res, ...)
{
    int       i, row;
    bool      ok;
    char     *copy;
    va_list   args;

    const char  *value;

    row = PQntuples(res);
    ok = true;

    va_start(args, res);

    for (i = 0; ok && i < PQnfields(res); i++) {
        value = va_arg(args, const char *);
        copy = value ? strdup(value) : NULL;

        ok = (value == NULL || copy != NULL)
             && PQsetvalue(res, row, i, copy,
                           copy ? (int) strlen(copy) : -1) != 0;
        free(copy);
    }

    va_end(args);

    return ok;
}


json_t *
out_row_json(const PGresult *res, int row)
{
    int      i;
    json_t  *object, *value;

    object = json_object();

    for (i = 0; object != NULL && i < PQnfields(res); i++) {

        value = PQgetisnull(res, row, i)
                ? json_null()
                : out_value_json(PQftype(res, i), PQgetvalue(res, row, i));

        /* takes the reference, and fails on a NULL value */

        if (json_object_set_new(object, PQfname(res, i), value) != 0) {
            json_decref(object);
            return NULL;
        }
    }

    return object;
}


out_class_e
out_class(Oid type)
{
    switch (type) {

    case OUT_BOOL:
        return OUT_CLASS_BOOL;

    case OUT_INT8:
    case OUT_INT2:
    case OUT_INT4:
    case OUT_OID:
        return OUT_CLASS_INTEGER;

    case OUT_TIMESTAMPTZ:
        return OUT_CLASS_TIME;

    case OUT_FLOAT4:
    case OUT_FLOAT8:
    case OUT_NUMERIC:
    case OUT_JSON:
    case OUT_JSONB:
    case OUT_INT4_ARRAY:
    case OUT_INT8_ARRAY:
    case OUT_TEXT_ARRAY:
        return OUT_CLASS_TREE;

    default:
        return OUT_CLASS_TEXT;
    }
}


json_t *
out_value_json(Oid type, const char *value)
{
    char     time[64];
    json_t  *json;

    switch (type) {

    case OUT_BOOL:
        return json_boolean(value[0] == 't');

    case OUT_INT8:
    case OUT_INT2:
    case OUT_INT4:
    case OUT_OID:
        return json_integer(strtoll(value, NULL, 10));

    case OUT_FLOAT4:
    case OUT_FLOAT8:
    case OUT_NUMERIC:

        /* NaN and Infinity are no JSON */

        json = json_loads(value, JSON_DECODE_ANY, NULL);
        return json ? json : json_null();

    case OUT_JSON:
    case OUT_JSONB:
        json = json_loads(value, JSON_DECODE_ANY, NULL);
        return json ? json : json_string(value);

    case OUT_INT4_ARRAY:
    case OUT_INT8_ARRAY:
        return out_array_json(value, true);

    case OUT_TEXT_ARRAY:
        return out_array_json(value, false);

    case OUT_TIMESTAMPTZ:

        if (strstr(value, "infinity") != NULL) {
            return json_null();
        }

        return json_string(out_rfc3339(value, time, sizeof(time)));

    default:
        return json_string(value);
    }
}


/* {a,"b,\"c",NULL}: one dimension */

static json_t *
out_array_json(const char *value, bool numbers)
{
    char    *item, *p;
    bool     quoted;
    json_t  *array, *json;

    array = json_array();
    item = malloc(strlen(value) + 1);

    if (array == NULL || item == NULL || value[0] != '{') {
        free(item);
        return array;
    }

    for (value++; *value != '}' && *value != '\0'; /* void */ ) {

        p = item;
        quoted = *value == '"';
        value += quoted;

        while (*value != '\0'
               && (quoted ? *value != '"' : *value != ',' && *value != '}'))
        {
            value += *value == '\\';
            *p++ = *value++;
        }

        *p = '\0';
        value += quoted && *value == '"';
        value += *value == ',';

        if (!quoted && strcmp(item, "NULL") == 0) {
            json = json_null();

        } else if (numbers) {
            json = json_integer(strtoll(item, NULL, 10));

        } else {
            json = json_string(item);
        }

        (void) json_array_append_new(array, json);
    }

    free(item);

    return array;
}


bool
out_is_number(const PGresult *res, int column)
{
    switch (PQftype(res, column)) {

    case OUT_INT8:
    case OUT_INT2:
    case OUT_INT4:
    case OUT_FLOAT4:
    case OUT_FLOAT8:
    case OUT_NUMERIC:
        return true;

    default:
        return false;
    }
}


char *
out_plain(const PGresult *res, int row, int column)
{
    char    *text, *value, time[64];
    json_t  *json;

    if (PQgetisnull(res, row, column)) {
        return strdup("");
    }

    value = PQgetvalue(res, row, column);

    switch (PQftype(res, column)) {

    case OUT_BOOL:
        return strdup(value[0] == 't' ? "true" : "false");

    case OUT_TIMESTAMPTZ:

        if (strstr(value, "infinity") != NULL) {
            return strdup("");
        }

        return strdup(out_rfc3339(value, time, sizeof(time)));

    case OUT_TEXT_ARRAY:
    case OUT_INT4_ARRAY:
    case OUT_INT8_ARRAY:
        json = out_value_json(PQftype(res, column), value);
        text = json_dumps(json, JSON_COMPACT);
        json_decref(json);
        return text;

    default:
        return strdup(value);
    }
}


char *
out_cell(const PGresult *res, int row, int column, out_kind_e kind)
{
    Oid      type;
    char     text[64], *human;
    json_t  *json;

    const char  *value;

    if (PQgetisnull(res, row, column)) {
        return strdup("-");
    }

    type = PQftype(res, column);
    value = PQgetvalue(res, row, column);

    switch (kind) {

    case OUT_BYTES:
        return strdup(out_bytes(strtoll(value, NULL, 10), text,
                                sizeof(text)));

    case OUT_DURATION:
        return strdup(out_duration(strtoll(value, NULL, 10), text,
                                   sizeof(text)));

    case OUT_PERCENT:
        snprintf(text, sizeof(text), "%.50s%%", value);
        return strdup(text);

    case OUT_AUTO:
    case OUT_TEXT:
    case OUT_STATE:
        break;
    }

    switch (type) {

    case OUT_BOOL:
        return strdup(value[0] == 't' ? "yes" : "no");

    case OUT_TIMESTAMPTZ:
        return strdup(out_when(value, text, sizeof(text)));

    case OUT_JSON:
    case OUT_JSONB:
    case OUT_TEXT_ARRAY:
    case OUT_INT4_ARRAY:
    case OUT_INT8_ARRAY:
        json = out_value_json(type, value);
        human = json ? out_json_human(json, 0) : NULL;
        json_decref(json);
        return human;

    default:
        return out_clean(value);
    }
}


/*
 * [{"model":"a","revision":"b"}] is "a b", ["x","y"] is "x, y",
 * {"k":"v"} is "k=v", an empty list is "-".
 */

static char *
out_json_human(const json_t *value, int depth)
{
    char        *text, *more, *clean, *pair;
    size_t       i, size;
    json_t      *member;
    const char  *key;

    switch (json_typeof(value)) {

    case JSON_ARRAY:
        text = NULL;

        json_array_foreach(value, i, member) {
            more = out_json_human(member, depth + 1);
            text = out_join(text, ", ", more);
            free(more);
        }

        return text ? text : strdup("-");

    case JSON_OBJECT:
        text = NULL;

        json_object_foreach((json_t *) value, key, member) {
            more = out_json_human(member, depth + 2);

            if (depth == 1 || more == NULL) {
                text = out_join(text, " ", more);

            } else {
                clean = out_clean(key);
                size = (clean ? strlen(clean) : 0) + strlen(more) + 2;
                pair = malloc(size);

                if (clean != NULL && pair != NULL) {
                    snprintf(pair, size, "%s=%s", clean, more);
                    text = out_join(text, ", ", pair);
                }

                free(pair);
                free(clean);
            }

            free(more);
        }

        return text ? text : strdup("-");

    case JSON_STRING:
        return out_clean(json_string_value(value));

    case JSON_NULL:
        return strdup("-");

    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
    default:
        return json_dumps(value, JSON_ENCODE_ANY);
    }
}


/* takes TEXT, returns it grown; borrows MORE */

static char *
out_join(char *text, const char *separator, const char *more)
{
    char    *grown;
    size_t   len, size;

    if (more == NULL) {
        return text;
    }

    len = text ? strlen(text) : 0;
    size = len + strlen(separator) + strlen(more) + 1;
    grown = realloc(text, size);

    if (grown == NULL) {
        return text;
    }

    snprintf(grown + len, size - len, "%s%s", len ? separator : "", more);

    return grown;
}
