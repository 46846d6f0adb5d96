/*
 * gb_swu_desc: sw-description.  Both syntaxes become one JSON tree, which is
 * walked as SWUpdate walks it: software, software.BOARD,
 * software.BOARD.SET.MODE, with "ref" links followed.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libconfig.h>

#include "gb_swu.h"
#include "gb_text.h"


#define GB_SWU_SETTINGS_MAX  10000
#define GB_SWU_NESTING_MAX   64
#define GB_SWU_VISITS_MAX    20000
#define GB_SWU_IMAGES_MAX    1000
#define GB_SWU_GROUP_DEPTH   4          /* software.BOARD.SET.MODE */
#define GB_SWU_PATH_MAX      20         /* SWUpdate: MAX_PARSED_NODES */
#define GB_SWU_LINKS_MAX     10         /* SWUpdate: MAX_LINKS_DEPTH */


typedef struct {
    gb_image_t   *image;
    json_t       *root;
    json_t       *images;               /* borrowed of the facts */
    json_t       *keep;                 /* owns what link paths point to */
    const char   *board;                /* NULL at software itself */
    unsigned      visits;
    gb_error_t   *err;
} gb_swu_walk_t;


typedef struct {
    const char   *node[GB_SWU_PATH_MAX];
    size_t        n;
} gb_swu_path_t;


static json_t *gb_swu_read_json(const char *text, size_t len, gb_error_t *err);
static json_t *gb_swu_read_libconfig(const char *text, size_t len,
    gb_error_t *err);
static int gb_swu_scan_libconfig(const char *text, size_t len,
    gb_error_t *err);
static const char *gb_swu_skip_comment(const char *p, const char *end);
static json_t *gb_swu_convert(config_setting_t *setting, unsigned depth);
static json_t *gb_swu_convert_list(config_setting_t *setting, unsigned depth);
static int gb_swu_read_top(gb_swu_walk_t *w, json_t *software);
static int gb_swu_walk(gb_swu_walk_t *w, const gb_swu_path_t *path);
static json_t *gb_swu_follow(gb_swu_walk_t *w, const gb_swu_path_t *path);
static int gb_swu_relink(gb_swu_walk_t *w, gb_swu_path_t *path,
    const char *ref);
static int gb_swu_hardware(gb_swu_walk_t *w, json_t *list);
static int gb_swu_images(gb_swu_walk_t *w, json_t *group, const char *key);


int
gb_swu_parse_description(gb_image_t *image, const char *text, size_t len,
    gb_error_t *err)
{
    int             rc, json;
    size_t          blank;
    json_t         *software;
    gb_swu_walk_t   w;

    if (memchr(text, '\0', len) != NULL || !gb_text_utf8_valid(text, len)) {
        return gb_error_set(err, "sw-description is not text in UTF-8");
    }

    for (blank = 0; blank < len; blank++) {
        if (strchr(" \t\r\n", text[blank]) == NULL) {
            break;
        }
    }

    if (blank == len) {
        return gb_error_set(err, "sw-description is empty");
    }

    /* libconfig's settings start with a name, so this tells them apart */

    json = (text[blank] == '{');

    memset(&w, 0, sizeof(gb_swu_walk_t));
    w.image = image;
    w.err = err;
    w.images = json_object_get(image->facts, "images");

    w.root = json ? gb_swu_read_json(text, len, err)
                  : gb_swu_read_libconfig(text, len, err);
    if (w.root == NULL) {
        return GB_ERROR;
    }

    gb_image_set_fact(image, "syntax", json_string(json ? "json"
                                                        : "libconfig"));
    w.keep = json_array();
    software = json_object_get(w.root, "software");

    if (w.keep == NULL) {
        rc = gb_error_nomem(err);

    } else if (!json_is_object(software)) {
        rc = gb_error_set(err, "sw-description has no \"software\" section");

    } else {
        rc = gb_swu_read_top(&w, software);
    }

    json_decref(w.keep);
    json_decref(w.root);

    return rc;
}


static json_t *
gb_swu_read_json(const char *text, size_t len, gb_error_t *err)
{
    json_t        *root;
    json_error_t   error;

    root = json_loadb(text, len, 0, &error);
    if (root == NULL) {
        (void) gb_error_set(err, "sw-description, line %d: %s", error.line,
                            error.text);
    }

    return root;
}


static json_t *
gb_swu_read_libconfig(const char *text, size_t len, gb_error_t *err)
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


/*
 * Refuses what libconfig must not see.  "@include" would read the server's
 * files.  Each setting is compared with all before it in its group, so that a
 * mebibyte of them would take minutes.  Nesting is freed recursively.
 */

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


static int
gb_swu_read_top(gb_swu_walk_t *w, json_t *software)
{
    json_t         *value, *boards;
    const char     *key;
    gb_swu_path_t   path;

    value = json_object_get(software, "version");

    if (!json_is_string(value)) {
        return gb_error_set(w->err, "sw-description: %s",
                            value == NULL ? "the version is missing"
                                          : "the version is not a string");
    }

    if (gb_image_set_text(&w->image->version, json_string_value(value),
                          "the version", w->err)
        != GB_OK)
    {
        return GB_ERROR;
    }

    value = json_object_get(software, "name");

    if (json_is_string(value) && json_string_length(value) > 0
        && gb_image_set_text(&w->image->name, json_string_value(value),
                             "the name", w->err)
           != GB_OK)
    {
        return GB_ERROR;
    }

    value = json_object_get(software, "description");
    gb_image_set_fact(w->image, "description",
                      json_is_string(value) ? json_incref(value) : NULL);

    boards = json_array();

    json_object_foreach(software, key, value) {
        if (json_is_object(value)) {
            (void) json_array_append_new(boards, json_string(key));
        }
    }

    gb_image_set_fact(w->image, "boards", boards);

    path.node[0] = "software";
    path.n = 1;

    if (gb_swu_walk(w, &path) != GB_OK) {
        return GB_ERROR;
    }

    if (w->image->nhardware == 0) {
        /* as gooseBit takes an image that does not say */
        return gb_image_add_hardware(w->image, "default", "default", w->err);
    }

    return GB_OK;
}


static int
gb_swu_walk(gb_swu_walk_t *w, const gb_swu_path_t *path)
{
    json_t         *group, *value;
    const char     *key;
    gb_swu_path_t   child;

    if (++w->visits > GB_SWU_VISITS_MAX) {
        return gb_error_set(w->err, "sw-description has too many sections");
    }

    group = gb_swu_follow(w, path);
    if (!json_is_object(group)) {
        /* a link into nowhere is nothing to SWUpdate, too */
        return GB_OK;
    }

    value = json_object_get(group, "hardware-compatibility");

    if ((value != NULL && gb_swu_hardware(w, value) != GB_OK)
        || gb_swu_images(w, group, "images") != GB_OK
        || gb_swu_images(w, group, "files") != GB_OK
        || gb_swu_images(w, group, "scripts") != GB_OK)
    {
        return GB_ERROR;
    }

    if (path->n == GB_SWU_GROUP_DEPTH) {
        return GB_OK;
    }

    json_object_foreach(group, key, value) {
        if (!json_is_object(value)) {
            continue;
        }

        child = *path;
        child.node[child.n++] = key;

        if (path->n == 1) {
            w->board = key;
        }

        if (gb_swu_walk(w, &child) != GB_OK) {
            return GB_ERROR;
        }

        if (path->n == 1) {
            w->board = NULL;
        }
    }

    return GB_OK;
}


/* The group at "path", or the one it links to; NULL if there is none. */

static json_t *
gb_swu_follow(gb_swu_walk_t *w, const gb_swu_path_t *path)
{
    size_t          i, links;
    json_t         *group, *ref;
    gb_swu_path_t   at;

    at = *path;

    for (links = 0; links < GB_SWU_LINKS_MAX; links++) {
        group = w->root;

        for (i = 0; i < at.n; i++) {
            group = json_object_get(group, at.node[i]);
        }

        ref = json_object_get(group, "ref");

        if (!json_is_string(ref)) {
            return group;
        }

        if (gb_swu_relink(w, &at, json_string_value(ref)) != GB_OK) {
            return NULL;
        }
    }

    return NULL;
}


/*
 * "#./x" starts beside the section that holds the link, "#../x" above that,
 * "#a/b" at the root (SWUpdate: "Using links", set_find_path()).
 */

static int
gb_swu_relink(gb_swu_walk_t *w, gb_swu_path_t *path, const char *ref)
{
    int          first;
    size_t       len;
    json_t      *token;
    const char  *p;

    if (ref[0] != '#' || path->n == 0) {
        return GB_ERROR;
    }

    path->n--;
    first = 1;

    for (p = ref + 1; *p != '\0'; p += len) {
        len = strcspn(p, "/");

        if (len == 0) {
            len = 1;
            continue;
        }

        if (len == 2 && p[0] == '.' && p[1] == '.') {
            if (path->n == 0) {
                return GB_ERROR;
            }

            path->n--;

        } else if (len != 1 || p[0] != '.') {
            if (first) {
                path->n = 0;
            }

            token = json_stringn(p, len);

            if (path->n == GB_SWU_PATH_MAX
                || json_array_append_new(w->keep, token) != 0)
            {
                return GB_ERROR;
            }

            path->node[path->n++] = json_string_value(token);
        }

        first = 0;
    }

    return GB_OK;
}


static int
gb_swu_hardware(gb_swu_walk_t *w, json_t *list)
{
    size_t       i;
    json_t      *value;
    const char  *model;

    model = (w->board != NULL) ? w->board : "default";

    if (!json_is_array(list)) {
        return gb_error_set(w->err, "sw-description: hardware-compatibility "
                            "of \"%s\" is not a list", model);
    }

    json_array_foreach(list, i, value) {
        if (!json_is_string(value)) {
            return gb_error_set(w->err, "sw-description: "
                                "hardware-compatibility of \"%s\" holds "
                                "something that is not a string", model);
        }

        if (json_string_length(value) == 0) {
            continue;
        }

        if (gb_image_add_hardware(w->image, model, json_string_value(value),
                                  w->err)
            != GB_OK)
        {
            return GB_ERROR;
        }
    }

    return GB_OK;
}


static int
gb_swu_images(gb_swu_walk_t *w, json_t *group, const char *key)
{
    size_t       i, j;
    json_t      *list, *elem, *fact;

    list = json_object_get(group, key);

    json_array_foreach(list, i, elem) {
        if (!json_is_string(json_object_get(elem, "filename"))) {
            continue;
        }

        fact = json_pack("{s:s,s:O,s:O*,s:O*,s:O*,s:O*,s:O*,s:n}",
                         "section", key,
                         "filename", json_object_get(elem, "filename"),
                         "name", json_object_get(elem, "name"),
                         "version", json_object_get(elem, "version"),
                         "type", json_object_get(elem, "type"),
                         "sha256", json_object_get(elem, "sha256"),
                         "encrypted", json_object_get(elem, "encrypted"),
                         "size");
        if (fact == NULL) {
            return gb_error_nomem(w->err);
        }

        /* sections that are linked to are met more than once */

        for (j = 0; j < json_array_size(w->images); j++) {
            if (json_equal(json_array_get(w->images, j), fact)) {
                break;
            }
        }

        if (j < json_array_size(w->images)) {
            json_decref(fact);
            continue;
        }

        if (j == GB_SWU_IMAGES_MAX) {
            json_decref(fact);
            return gb_error_set(w->err, "sw-description names more than %d "
                                "files", GB_SWU_IMAGES_MAX);
        }

        if (json_array_append_new(w->images, fact) != 0) {
            return gb_error_nomem(w->err);
        }
    }

    return GB_OK;
}
