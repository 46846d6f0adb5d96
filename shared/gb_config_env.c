/*
 * gb_config_env: GOOSEBIT_* as pydantic-settings takes them: in any case, "__"
 * between section and key, JSON for a whole section, and the longer name
 * beats the section's JSON.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "gb_config_key.h"
#include "gb_text.h"


#define GB_CONFIG_PREFIX   "GOOSEBIT_"
#define GB_CONFIG_DEEPEST  4


static void gb_config_env_variable(gb_config_load_t *l, const char *variable,
    unsigned depth);
static unsigned gb_config_env_path(const char *name, size_t len, char *path);
static void gb_config_env_value(gb_config_load_t *l, const char *path,
    const char *text);
static void gb_config_env_tenant(gb_config_load_t *l, size_t key,
    const char *text);
static void gb_config_env_section(gb_config_load_t *l, const char *path,
    json_t *section);
static void gb_config_env_member(gb_config_load_t *l, const char *path,
    json_t *value);
static void gb_config_env_names(gb_config_load_t *l, size_t key,
    json_t *list);
static bool gb_config_env_text(const json_t *value, const char **text);
static json_t *gb_config_env_json(gb_config_load_t *l, const char *text,
    json_error_t *je);


const char *
gb_config_getenv(char *const *env, const char *name)
{
    size_t  len;

    len = strlen(name);

    for ( /* void */ ; env != NULL && *env != NULL; env++) {
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') {
            return (*env)[len + 1] != '\0' ? *env + len + 1 : NULL;
        }
    }

    return NULL;
}


void
gb_config_env(gb_config_load_t *l, char *const *env)
{
    unsigned      depth;
    char *const  *e;

    l->from = GB_CONFIG_FROM_ENV;
    l->line = 0;

    /* what is set first stays: the deepest names first */

    for (depth = GB_CONFIG_DEEPEST; depth != 0; depth--) {
        for (e = env; e != NULL && *e != NULL; e++) {
            if (strncasecmp(*e, GB_CONFIG_PREFIX,
                            sizeof(GB_CONFIG_PREFIX) - 1) == 0)
            {
                gb_config_env_variable(l, *e, depth);
            }
        }
    }
}


/* only if its name has that depth: 1 for PORT, 2 for DEVICE_AUTH__MODE */

static void
gb_config_env_variable(gb_config_load_t *l, const char *variable,
    unsigned depth)
{
    char         path[GB_CONFIG_PATH], name[GB_CONFIG_PATH];
    size_t       len;
    unsigned     n;
    const char  *value;

    value = strchr(variable, '=');

    if (value == NULL) {
        return;
    }

    len = value - variable;

    n = gb_config_env_path(variable, len, path);

    if (n != depth) {
        return;
    }

    /* which file, and where "gbctl simulate" goes */

    if (strncmp(variable, "GOOSEBIT_CONFIG=", len + 1) == 0
        || strncmp(variable, "GOOSEBIT_SETTINGS=", len + 1) == 0
        || strncmp(variable, "GOOSEBIT_URL=", len + 1) == 0)
    {
        return;
    }

    len = len < sizeof(name) ? len : sizeof(name) - 1;
    memcpy(name, variable, len);
    name[len] = '\0';

    l->name = name;
    gb_config_env_value(l, path, value + 1);
    l->name = NULL;
}


/* the key's path, and its depth: at most GB_CONFIG_DEEPEST, also if deeper */

static unsigned
gb_config_env_path(const char *name, size_t len, char *path)
{
    char      c;
    size_t    i, n;
    unsigned  depth;

    depth = 1;
    n = 0;

    for (i = sizeof(GB_CONFIG_PREFIX) - 1; i < len; i++) {
        c = name[i];

        /* what is too long for a path is no key, and so is its beginning */

        if (n == GB_CONFIG_PATH - 1) {
            path[0] = '.';
            break;
        }

        if (c == '_' && i + 1 < len && name[i + 1] == '_') {
            c = '.';
            i++;
            depth += depth < GB_CONFIG_DEEPEST;

        } else if (c == '.') {
            c = ' ';

        } else if (c >= 'A' && c <= 'Z') {
            c += 'a' - 'A';
        }

        path[n++] = c;
    }

    path[n] = '\0';

    return depth;
}


static void
gb_config_env_value(gb_config_load_t *l, const char *path, const char *text)
{
    char          nearest[GB_CONFIG_NEAREST];
    size_t        key;
    json_t       *section;
    json_error_t  je;

    switch (gb_config_find(path, &key)) {

    case GB_CONFIG_PATH_KEY:
        if (gb_config_keys[key].kind == GB_CONFIG_KIND_NAMES) {
            gb_config_env_tenant(l, key, text);

        } else {
            gb_config_set(l, key, text);
        }

        return;

    case GB_CONFIG_PATH_INSIDE:
        gb_config_set_any(l, key);
        return;

    case GB_CONFIG_PATH_SECTION:
        section = gb_config_env_json(l, text, &je);

        if (json_is_null(section) && strcmp(path, "storage.s3") == 0) {
            json_decref(section);
            return;
        }

        if (json_is_object(section)) {
            gb_config_env_section(l, path, section);

        } else if (section != NULL) {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                           "%s: must be a JSON object", path);

        } else {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                           "%s: must be a JSON object: column %d: %s", path,
                           je.column, je.text);
        }

        json_decref(section);
        return;

    case GB_CONFIG_PATH_UNKNOWN:
        break;
    }

    gb_config_note(l, GB_CONFIG_NOTE_IGNORED,
                   "ignored: no such key%s",
                   gb_config_nearest(path, nearest));
}


/* a JSON list or string; anything else is the name as it stands */

static void
gb_config_env_tenant(gb_config_load_t *l, size_t key, const char *text)
{
    json_t        *value;
    json_error_t   je;

    value = NULL;

    if (text[0] == '[' || text[0] == '"') {
        value = gb_config_env_json(l, text, &je);
    }

    if (json_is_array(value)) {
        gb_config_env_names(l, key, value);

    } else if (json_is_string(value)) {
        gb_config_set(l, key, json_string_value(value));

    } else if (text[0] == '[') {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s: must be a name, or a list like [\"A\", \"B\"]",
                       gb_config_keys[key].name);

    } else {
        gb_config_set(l, key, text);
    }

    json_decref(value);
}


static void
gb_config_env_section(gb_config_load_t *l, const char *path, json_t *section)
{
    char         member[GB_CONFIG_PATH];
    json_t      *value;
    const char  *name;

    json_object_foreach(section, name, value) {

        if (gb_config_full(l)) {
            return;
        }

        if (gb_config_join(member, path, name)) {
            gb_config_env_member(l, member, value);

        } else {
            gb_config_note(l, GB_CONFIG_NOTE_IGNORED,
                           "ignored in %s: \"%.40s...\"", path, name);
        }
    }
}


static void
gb_config_env_member(gb_config_load_t *l, const char *path, json_t *value)
{
    char         nearest[GB_CONFIG_NEAREST];
    size_t       key;
    const char  *text;

    switch (gb_config_find(path, &key)) {

    case GB_CONFIG_PATH_KEY:
        if (gb_config_env_text(value, &text)) {
            gb_config_set(l, key, text);

        } else {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                           "%s: must be a single value", path);
        }

        return;

    case GB_CONFIG_PATH_SECTION:
        if (json_is_object(value)) {
            gb_config_env_section(l, path, value);

        } else if (!json_is_null(value) || strcmp(path, "storage.s3") != 0) {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                           "%s: must be a JSON object", path);
        }

        return;

    case GB_CONFIG_PATH_UNKNOWN:
    case GB_CONFIG_PATH_INSIDE:
        break;
    }

    gb_config_note(l, GB_CONFIG_NOTE_IGNORED,
                   "ignored: no key \"%s\"%s", path,
                   gb_config_nearest(path, nearest));
}


static void
gb_config_env_names(gb_config_load_t *l, size_t key, json_t *list)
{
    size_t        i, n;
    const char  **names;

    n = json_array_size(list);

    names = calloc(n + 1, sizeof(char *));
    if (names == NULL) {
        l->nomem = true;
        return;
    }

    for (i = 0; i < n; i++) {
        if (!gb_config_env_text(json_array_get(list, i), &names[i])) {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                           "%s: must be a list of names",
                           gb_config_keys[key].name);
            break;
        }
    }

    if (i == n) {
        gb_config_set_names(l, key, names, n);
    }

    free(names);
}


/* numbers have become strings; NULL for null, false for what has members */

static bool
gb_config_env_text(const json_t *value, const char **text)
{
    switch (json_typeof(value)) {

    case JSON_STRING:
        *text = json_string_value(value);
        return true;

    case JSON_TRUE:
        *text = "true";
        return true;

    case JSON_FALSE:
        *text = "false";
        return true;

    case JSON_NULL:
        *text = NULL;
        return true;

    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_OBJECT:
    case JSON_ARRAY:
    default:
        return false;
    }
}


static json_t *
gb_config_env_json(gb_config_load_t *l, const char *text, json_error_t *je)
{
    char    *clean;
    size_t   n;
    json_t  *value;

    n = gb_text_clean_numbers(text, strlen(text), NULL);

    clean = malloc(n + 1);
    if (clean == NULL) {
        l->nomem = true;
        memset(je, 0, sizeof(json_error_t));
        return NULL;
    }

    (void) gb_text_clean_numbers(text, strlen(text), clean);

    value = json_loadb(clean, n, JSON_DECODE_ANY, je);

    /* jansson often has no word for a lack of memory */

    if (value == NULL && (json_error_code(je) == json_error_out_of_memory
                          || je->text[0] == '\0'))
    {
        l->nomem = true;
    }

    free(clean);

    return value;
}
