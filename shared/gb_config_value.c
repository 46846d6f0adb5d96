/*
 * gb_config_value: how a text, from the file or a variable, becomes the
 * value of a key: pydantic's lax rules, which gooseBit's settings follow.
 */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gb_config_key.h"
#include "gb_text.h"


/* each is compared with each */
#define GB_CONFIG_NAMES  1000


static void gb_config_value(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text);
static void gb_config_int(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text);
static void gb_config_bool(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text);
static void gb_config_enum(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text);
static void gb_config_text(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text);
static char *gb_config_path(const gb_config_load_t *l, const char *text);
static void gb_config_origin(gb_config_load_t *l, size_t key);


bool
gb_config_is_set(const gb_config_load_t *l, size_t key)
{
    return l->from != GB_CONFIG_DEFAULT
           && l->cf->origin[key].from != GB_CONFIG_DEFAULT;
}


void
gb_config_set(gb_config_load_t *l, size_t key, const char *text)
{
    if (gb_config_keys[key].kind == GB_CONFIG_KIND_NAMES) {
        gb_config_set_names(l, key, &text, 1);
        return;
    }

    if (gb_config_is_set(l, key)) {
        return;
    }

    if (gb_config_keys[key].kind == GB_CONFIG_KIND_ANY) {
        gb_config_set_any(l, key);
        return;
    }

    gb_config_value(l, &gb_config_keys[key], text);
    gb_config_origin(l, key);
}


void
gb_config_set_any(gb_config_load_t *l, size_t key)
{
    if (gb_config_is_set(l, key)) {
        return;
    }

    gb_config_note(l, GB_CONFIG_NOTE_WARNING,
                   "%s: accepted, but without effect in this server",
                   gb_config_keys[key].name);
    gb_config_origin(l, key);
}


void
gb_config_set_names(gb_config_load_t *l, size_t key,
    const char *const *names, size_t n)
{
    char         **list;
    size_t         i, k, errors;
    gb_config_t   *cf;

    if (gb_config_is_set(l, key)) {
        return;
    }

    cf = l->cf;
    errors = cf->nerrors;

    if (n == 0 || n > GB_CONFIG_NAMES) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s: %zu names, must be from 1 to %d",
                       gb_config_keys[key].name, n, GB_CONFIG_NAMES);
        n = 0;
    }

    for (i = 0; i < n && !gb_config_full(l); i++) {
        gb_config_keys[key].check(l, &gb_config_keys[key], names[i]);

        for (k = 0; k < i && names[i] != NULL; k++) {
            if (names[k] != NULL && strcasecmp(names[i], names[k]) == 0) {
                gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                               "%s \"%s\": listed twice",
                               gb_config_keys[key].name, names[i]);
                break;
            }
        }
    }

    gb_config_origin(l, key);

    if (cf->nerrors != errors) {
        return;
    }

    list = calloc(n, sizeof(char *));
    if (list == NULL) {
        l->nomem = true;
        return;
    }

    for (i = 0; i < n; i++) {
        list[i] = strdup(names[i]);
        l->nomem |= list[i] == NULL;
    }

    for (i = 0; i < cf->ntenant; i++) {
        free(cf->tenant[i]);
    }

    free(cf->tenant);

    cf->tenant = list;
    cf->ntenant = n;
}


static void
gb_config_value(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text)
{
    int  *seconds;

    if (text != NULL && (!gb_text_utf8_valid(text, strlen(text))
                         || gb_text_has_control(text, strlen(text))))
    {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s: control characters or bad UTF-8", key->name);
        return;
    }

    /* pydantic: a key without a default value may be null, no other */

    if (text == NULL && key->value != NULL) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: has no value (leave the "
                       "key out for the default, %s)", key->name, key->value);
        return;
    }

    switch (key->kind) {

    case GB_CONFIG_KIND_INT:
        gb_config_int(l, key, text);
        return;

    case GB_CONFIG_KIND_BOOL:
        gb_config_bool(l, key, text);
        return;

    case GB_CONFIG_KIND_ENUM:
        gb_config_enum(l, key, text);
        return;

    case GB_CONFIG_KIND_TIME:
        seconds = (int *) ((char *) l->cf + key->offset);

        if (gb_config_time(text, seconds) != GB_OK) {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s \"%s\": must be "
                           "HH:MM:SS between 00:00:01 and 23:59:59",
                           key->name, text);
        }

        return;

    case GB_CONFIG_KIND_TEXT:
    case GB_CONFIG_KIND_PATH:
    case GB_CONFIG_KIND_URL:
        gb_config_text(l, key, text);
        return;

    case GB_CONFIG_KIND_NAMES:
    case GB_CONFIG_KIND_ANY:
        return;
    }
}


/* as pydantic reads text: blanks around, 1_000 and 1000.0 are whole numbers */

static void
gb_config_int(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text)
{
    bool         negative, digit;
    long long    n;
    const char  *p;

    p = text + strspn(text, " ");
    negative = *p == '-';

    if (*p == '-' || *p == '+') {
        p++;
    }

    /* YAML 1.1 would read 0777 as 511: refuse rather than differ */

    if (l->from == GB_CONFIG_FROM_FILE && *p == '0' && p[1] >= '0'
        && p[1] <= '9')
    {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s \"%s\": must not begin with 0", key->name, text);
        return;
    }

    n = 0;
    digit = false;

    for ( /* void */ ; ; p++) {

        if (*p >= '0' && *p <= '9') {
            n = n > INT_MAX ? n : n * 10 + (*p - '0');
            digit = true;

        } else if (*p == '_' && digit && p[1] >= '0' && p[1] <= '9') {
            digit = false;

        } else {
            break;
        }
    }

    if (digit && p[0] == '.' && p[1] == '0') {
        p += 1 + strspn(p + 1, "0");
    }

    p += strspn(p, " ");

    if (!digit || *p != '\0') {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s \"%s\": must be a whole number", key->name, text);
        return;
    }

    n = negative ? -n : n;

    if (n < key->min || n > key->max) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s \"%s\": must be from %ld to %ld", key->name, text,
                       key->min, key->max);
        return;
    }

    *(int *) ((char *) l->cf + key->offset) = (int) n;
}


/* pydantic's words, which take in all of YAML 1.1's */

static void
gb_config_bool(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text)
{
    size_t  i;

    static const char *const  words[] = {
        "false", "true", "no", "yes", "off", "on", "0", "1",
        "f", "t", "n", "y"
    };

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(words[i], text) == 0) {
            *(bool *) ((char *) l->cf + key->offset) = i % 2;
            return;
        }
    }

    gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                   "%s \"%s\": must be true or false", key->name, text);
}


static void
gb_config_enum(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text)
{
    int     i;
    size_t  n;
    char    list[128];

    n = 0;
    list[0] = '\0';

    for (i = 0; key->words[i] != NULL; i++) {

        if (strcmp(key->words[i], text) == 0) {
            /* the enums of gb_config.h have no negative values */
            *(unsigned *) ((char *) l->cf + key->offset) = (unsigned) i;
            return;
        }

        n += (size_t) snprintf(list + n, sizeof(list) - n, "%s%s",
                               i == 0 ? "" : key->words[i + 1] ? ", " : " or ",
                               key->words[i]);
    }

    gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s \"%s\": must be %s",
                   key->name, text, list);
}


static void
gb_config_text(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text)
{
    char    *copy, **field;
    size_t   errors;

    errors = l->cf->nerrors;

    /*
     * ${X:-} of a compose file makes an empty string where nothing was
     * meant; only external_json_key's emptiness means something
     */

    if (text != NULL && text[0] == '\0') {
        if (key->value == NULL) {
            text = NULL;

        } else if (key->offset
                   != offsetof(gb_config_t, device_auth.external_json_key))
        {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: must not be empty",
                           key->name);
        }
    }

    if (text != NULL && key->check != NULL) {
        key->check(l, key, text);
    }

    if (l->cf->nerrors != errors) {
        return;
    }

    copy = NULL;

    if (text != NULL) {
        copy = key->kind == GB_CONFIG_KIND_PATH ? gb_config_path(l, text)
                                                : strdup(text);
        l->nomem |= copy == NULL;
    }

    field = (char **) ((char *) l->cf + key->offset);
    free(*field);
    *field = copy;
}


/* gbctl and nginx start in different folders, the file has only one */

static char *
gb_config_path(const gb_config_load_t *l, const char *text)
{
    char        *path;
    size_t       folder;
    const char  *slash;

    slash = l->from == GB_CONFIG_FROM_FILE ? strrchr(l->name, '/') : NULL;

    if (text[0] == '/' || slash == NULL) {
        return strdup(text);
    }

    folder = slash + 1 - l->name;
    path = malloc(folder + strlen(text) + 1);

    if (path != NULL) {
        memcpy(path, l->name, folder);
        strcpy(path + folder, text);
    }

    return path;
}


static void
gb_config_origin(gb_config_load_t *l, size_t key)
{
    gb_config_origin_t  *origin;

    origin = &l->cf->origin[key];

    origin->from = l->from;
    origin->line = l->line;

    if (l->from == GB_CONFIG_FROM_ENV) {
        free(origin->variable);
        origin->variable = strdup(l->name);
        l->nomem |= origin->variable == NULL;
    }
}
