/*
 * Changes in words.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "change.h"


#define CHANGE_DIGEST  64       /* digits, of which few are enough */


static bool change_shown(const json_t *from, const json_t *to,
    const char *key);
static void change_value(FILE *fp, const json_t *value);


char *
change_text(const char *before, const char *after)
{
    int          pass;
    char        *text;
    FILE        *fp;
    size_t       size;
    json_t      *old, *new, *from, *to, *value;
    const char  *key;

    text = NULL;
    fp = open_memstream(&text, &size);

    if (fp == NULL) {
        return NULL;
    }

    old = json_loads(before ? before : "null", JSON_DECODE_ANY, NULL);
    new = json_loads(after ? after : "null", JSON_DECODE_ANY, NULL);

    /* with what is the same only in a second pass, where all is */

    for (pass = 0; pass < 2 && ftell(fp) == 0; pass++) {

        json_object_foreach(json_is_object(new) ? new : old, key, value) {
            from = json_object_get(old, key);
            to = json_object_get(new, key);

            if (!change_shown(old, new, key)
                || (pass == 0 && from != NULL && to != NULL
                    && json_equal(from, to)))
            {
                continue;
            }

            fprintf(fp, "%s%s%s ", ftell(fp) > 0 ? ", " : "",
                    json_is_object(new) || ftell(fp) > 0 ? "" : "was ", key);

            if (json_is_object(old)) {
                change_value(fp, from);
                fputs(json_is_object(new) ? " -> " : "", fp);
            }

            if (json_is_object(new)) {
                change_value(fp, to);
            }
        }
    }

    json_decref(old);
    json_decref(new);

    if (fclose(fp) != 0) {
        free(text);
        return NULL;
    }

    return text;
}


static bool
change_shown(const json_t *from, const json_t *to, const char *key)
{
    if (strcmp(key, "assignment") == 0) {
        return json_object_size(json_is_object(to) ? to : from) == 1;
    }

    return strcmp(key, "assigned_software") != 0
           || json_object_get(to, "assigned_version") == NULL;
}


static void
change_value(FILE *fp, const json_t *value)
{
    char    *text;
    size_t   i;
    json_t  *member;

    if (value == NULL || json_is_null(value)
        || (json_is_array(value) && json_array_size(value) == 0))
    {
        putc('-', fp);

    } else if (json_string_length(value) == CHANGE_DIGEST) {
        fprintf(fp, "%.12s...", json_string_value(value));

    } else if (json_is_string(value)) {
        fputs(json_string_value(value), fp);

    } else if (json_is_boolean(value)) {
        fputs(json_is_true(value) ? "yes" : "no", fp);

    } else if (json_is_array(value)) {

        json_array_foreach(value, i, member) {
            fputs(i ? " " : "", fp);
            change_value(fp, member);
        }

    } else {
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        fputs(text ? text : "", fp);
        free(text);
    }
}
