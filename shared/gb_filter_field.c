/*
 * What filters compare, and with what.
 */

#include <stdio.h>
#include <string.h>

#include "gb_duration.h"
#include "gb_filter_field.h"
#include "gb_text.h"


#define GB_FILTER_NAME  32      /* characters of a name in an error */


static int gb_filter_field_age(const char *op, const char **value,
    char **room, char *why);
static int gb_filter_field_word(const gb_filter_field_t *field,
    const char *value, char *why);


static const char *const  gb_filter_modes[] = {
    "rollout", "latest", "assigned", "pinned", NULL
};

static const char *const  gb_filter_states[] = {
    "unknown", "registered", "running", "error", "finished", NULL
};

static const char *const  gb_filter_bools[] = { "true", "false", NULL };

const gb_filter_field_t  gb_filter_attr = {
    "attr.", GB_FILTER_TEXT, true, NULL
};

static const gb_filter_field_t  gb_filter_fields[] = {
    { "feed", GB_FILTER_TEXT, false, NULL },
    { "hw_model", GB_FILTER_TEXT, true, NULL },
    { "hw_revision", GB_FILTER_TEXT, true, NULL },
    { "id", GB_FILTER_TEXT, true, NULL },
    { "last_seen", GB_FILTER_AGE, false, NULL },
    { "mode", GB_FILTER_WORD, false, gb_filter_modes },
    { "name", GB_FILTER_TEXT, true, NULL },
    { "online", GB_FILTER_WORD, false, gb_filter_bools },
    { "progress", GB_FILTER_NUMBER, false, NULL },
    { "state", GB_FILTER_WORD, false, gb_filter_states },
    { "sw_version", GB_FILTER_VERSION, true, NULL },
    { "tag", GB_FILTER_SET, true, NULL },
    { "target_version", GB_FILTER_VERSION, false, NULL },
};

#define GB_FILTER_FIELDS                                                     \
    (sizeof(gb_filter_fields) / sizeof(gb_filter_fields[0]))


const gb_filter_field_t *
gb_filter_field_find(const char *name, size_t len, char *why)
{
    int          n;
    char         word[4 * GB_FILTER_NAME + 1];
    size_t       i;
    const char  *near, *names[GB_FILTER_FIELDS + 1];

    for (i = 0; i < GB_FILTER_FIELDS; i++) {
        names[i] = gb_filter_fields[i].name;

        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            return &gb_filter_fields[i];
        }
    }

    names[i++] = gb_filter_attr.name;

    len = gb_text_cut(name, len, GB_FILTER_NAME);
    memcpy(word, name, len);
    word[len] = '\0';

    near = gb_text_meant(word, names, i);

    if (near != NULL) {
        snprintf(why, GB_FILTER_WHY, "unknown field \"%s\", did you mean "
                 "\"%s\"?", word, near);
        return NULL;
    }

    n = snprintf(why, GB_FILTER_WHY, "unknown field \"%s\", there are ", word);

    for (i = 0; i < GB_FILTER_FIELDS; i++) {
        n += snprintf(why + n, (size_t) (GB_FILTER_WHY - n), "%s, ",
                      gb_filter_fields[i].name);
    }

    snprintf(why + n - 2, (size_t) (GB_FILTER_WHY - n + 2), " and attr.NAME");

    return NULL;
}


bool
gb_filter_field_takes(const gb_filter_field_t *field, const char *op)
{
    switch (field->type) {

    case GB_FILTER_WORD:
        return strpbrk(op, field->words == gb_filter_bools ? "<>~" : "<>")
               == NULL;

    case GB_FILTER_SET:
        return strpbrk(op, "<>") == NULL;

    case GB_FILTER_NUMBER:
    case GB_FILTER_AGE:
        return *op != '~';

    case GB_FILTER_TEXT:
    case GB_FILTER_VERSION:
    default:
        return true;
    }
}


int
gb_filter_field_value(const gb_filter_field_t *field, const char *op,
    const char **value, char **room, char *why)
{
    size_t  len;

    if (field->type == GB_FILTER_AGE) {
        return gb_filter_field_age(op, value, room, why);
    }

    if (field->type == GB_FILTER_WORD) {
        return gb_filter_field_word(field, *value, why);
    }

    if (field->type == GB_FILTER_NUMBER) {
        len = strlen(*value);

        if (len < 1 || len > 9 || strspn(*value, "0123456789") != len) {
            snprintf(why, GB_FILTER_WHY, "\"%s\" needs a number",
                     field->name);
            return GB_ERROR;
        }
    }

    return GB_OK;
}


static int
gb_filter_field_age(const char *op, const char **value, char **room,
    char *why)
{
    bool         never, equals;
    long         seconds;
    const char  *reason;

    never = strcmp(*value, "never") == 0;
    equals = strpbrk(op, "<>") == NULL;

    if (never && equals) {
        *value = "";
        return GB_OK;
    }

    if (never) {
        reason = "\"never\" goes with = and != only";

    } else if (equals) {
        reason = "an age goes with < <= > >= only, \"never\" with = and !=";

    } else if (!gb_duration_parse(*value, strlen(*value), &seconds)) {
        reason = "not an age such as 90s, 30m, 2h or 7d";

    } else {
        *value = *room;
        *room += snprintf(*room, GB_FILTER_MORE, "%ld", seconds) + 1;
        return GB_OK;
    }

    snprintf(why, GB_FILTER_WHY, "%s", reason);

    return GB_ERROR;
}


static int
gb_filter_field_word(const gb_filter_field_t *field, const char *value,
    char *why)
{
    int          n;
    size_t       i;
    const char  *near;

    for (i = 0; field->words[i] != NULL; i++) {
        if (strcmp(field->words[i], value) == 0) {
            return GB_OK;
        }
    }

    near = gb_text_meant(value, field->words, i);
    n = snprintf(why, GB_FILTER_WHY, "not a value of \"%s\"", field->name);

    if (near != NULL) {
        snprintf(why + n, (size_t) (GB_FILTER_WHY - n),
                 ", did you mean \"%s\"?", near);
        return GB_ERROR;
    }

    for (i = 0; field->words[i] != NULL; i++) {
        n += snprintf(why + n, (size_t) (GB_FILTER_WHY - n), "%s %s",
                      i ? "," : ":", field->words[i]);
    }

    return GB_ERROR;
}
