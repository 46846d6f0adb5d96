/*
 * gb_swu_libconfig: libconfig's syntax as a JSON tree.  libconfig 1.5 is kept
 * from what it can't bear: "@include" reads the server's files, each setting
 * is compared with all before it in its group, so that a mebibyte of them
 * takes minutes, nesting is freed recursively, and a string without an end
 * leaks.
 */

#include <stdlib.h>
#include <string.h>

#include <libconfig.h>

#include "gb_swu.h"


#define GB_SWU_SETTINGS_MAX  10000
#define GB_SWU_NESTING_MAX   64


static int gb_swu_scan_libconfig(const char *text, size_t len,
    gb_error_t *err);
static const char *gb_swu_skip_comment(const char *p, const char *end);
static json_t *gb_swu_convert(config_setting_t *setting, unsigned depth);
static json_t *gb_swu_convert_list(config_setting_t *setting, unsigned depth);


json_t *
gb_swu_libconfig(const char *text, size_t len, gb_error_t *err)
{
    char      *copy;
    json_t    *root;
    config_t   cfg;

    if (gb_swu_scan_libconfig(text, len, err) != GB_OK) {
        return NULL;
    }

    copy = strndup(text, len);
    if (copy == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    config_init(&cfg);

    /* a second lock behind the scan: below this nothing can be opened */

    config_set_include_dir(&cfg, "/dev/null");

    root = NULL;

    if (config_read_string(&cfg, copy) != CONFIG_TRUE) {
        (void) gb_error_set(err, "sw-description, line %d: %s",
                            config_error_line(&cfg), config_error_text(&cfg));
    } else {
        root = gb_swu_convert(config_root_setting(&cfg), 0);
        if (root == NULL) {
            (void) gb_error_set(err, "sw-description is nested too deeply");
        }
    }

    config_destroy(&cfg);
    free(copy);

    return root;
}


/* Refuses what libconfig must not see. */

static int
gb_swu_scan_libconfig(const char *text, size_t len, gb_error_t *err)
{
    int          line_start;
    unsigned     settings, depth;
    const char  *p, *end;

    line_start = 1;
    settings = 0;
    depth = 0;
    end = text + len;

    for (p = text; p < end; p++) {

        switch (*p) {

        case '\n':
            line_start = 1;
            continue;

        case ' ':
        case '\t':
            continue;

        case '@':
            if (line_start) {
                return gb_error_set(err, "sw-description includes another "
                                    "file");
            }

            break;

        case '"':
            for (p++; p < end && *p != '"'; p++) {
                if (*p == '\\') {
                    p++;
                }
            }

            if (p >= end) {
                return gb_error_set(err, "sw-description ends within a "
                                    "string");
            }

            break;

        case '#':
        case '/':
            p = gb_swu_skip_comment(p, end);
            break;

        case '=':
        case ':':
            settings++;
            break;

        case '{':
        case '[':
        case '(':
            depth++;
            break;

        case '}':
        case ']':
        case ')':
            depth -= (depth > 0);
            break;

        default:
            break;
        }

        line_start = 0;

        if (settings > GB_SWU_SETTINGS_MAX || depth > GB_SWU_NESTING_MAX) {
            return gb_error_set(err, "sw-description has too many %s",
                                depth > GB_SWU_NESTING_MAX ? "levels"
                                                           : "settings");
        }
    }

    return GB_OK;
}


/* Returns the comment's last byte before a line's end, or "p" if it is none. */

static const char *
gb_swu_skip_comment(const char *p, const char *end)
{
    const char  *q;

    if (*p == '/' && p + 1 < end && p[1] == '*') {
        for (q = p + 2; q + 1 < end; q++) {
            if (q[0] == '*' && q[1] == '/') {
                return q + 1;
            }
        }

        return end - 1;
    }

    if (*p == '/' && (p + 1 == end || p[1] != '/')) {
        return p;
    }

    q = memchr(p, '\n', (size_t) (end - p));

    return (q == NULL ? end : q) - 1;
}


static json_t *
gb_swu_convert(config_setting_t *setting, unsigned depth)
{
    json_t  *value;

    if (depth > GB_SWU_NESTING_MAX) {
        return NULL;
    }

    switch (config_setting_type(setting)) {

    case CONFIG_TYPE_GROUP:
    case CONFIG_TYPE_ARRAY:
    case CONFIG_TYPE_LIST:
        return gb_swu_convert_list(setting, depth);

    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return json_integer(config_setting_get_int64(setting));

    case CONFIG_TYPE_BOOL:
        return json_boolean(config_setting_get_bool(setting));

    case CONFIG_TYPE_STRING:
        /* an escape may have made something else than UTF-8 of it */
        value = json_string(config_setting_get_string(setting));
        return (value != NULL) ? value : json_null();

    default:
        /* numbers with a point mean nothing to SWUpdate, and may be NaN */
        return json_null();
    }
}


static json_t *
gb_swu_convert_list(config_setting_t *setting, unsigned depth)
{
    int                rc, i, n, group;
    json_t            *list, *value;
    config_setting_t  *elem;

    group = config_setting_is_group(setting);

    list = group ? json_object() : json_array();
    n = config_setting_length(setting);

    for (i = 0; list != NULL && i < n; i++) {
        elem = config_setting_get_elem(setting, (unsigned) i);
        value = gb_swu_convert(elem, depth + 1);

        rc = group ? json_object_set_new(list, config_setting_name(elem),
                                         value)
                   : json_array_append_new(list, value);
        if (rc != 0) {
            json_decref(list);
            return NULL;
        }
    }

    return list;
}
