/*
 * gb_swu_desc: sw-description.  Both syntaxes become one JSON tree, which is
 * walked as SWUpdate walks it: software, software.BOARD,
 * software.BOARD.SET.MODE, with "ref" links followed.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gb_swu.h"
#include "gb_text.h"


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
static int gb_swu_read_top(gb_swu_walk_t *w, json_t *software);
static int gb_swu_walk(gb_swu_walk_t *w, const gb_swu_path_t *path);
static json_t *gb_swu_follow(gb_swu_walk_t *w, const gb_swu_path_t *path);
static int gb_swu_relink(gb_swu_walk_t *w, gb_swu_path_t *path,
    const char *ref);
static int gb_swu_hardware(gb_swu_walk_t *w, json_t *list);
static int gb_swu_images(gb_swu_walk_t *w, json_t *group, const char *key);
static const char *gb_swu_digest_of(json_t *fact, const char *name);


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
                  : gb_swu_libconfig(text, len, err);
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


int
gb_swu_has_digest(gb_image_t *image, const char *name)
{
    size_t   i;
    json_t  *fact;

    json_array_foreach(json_object_get(image->facts, "images"), i, fact) {
        if (gb_swu_digest_of(fact, name) != NULL) {
            return 1;
        }
    }

    return 0;
}


int
gb_swu_check_member(gb_image_t *image, const char *name, uint64_t size,
    const char *sha256, gb_error_t *err)
{
    size_t       i;
    json_t      *fact;
    const char  *filename, *wanted;

    json_array_foreach(json_object_get(image->facts, "images"), i, fact) {
        filename = json_string_value(json_object_get(fact, "filename"));

        if (filename == NULL || strcmp(filename, name) != 0) {
            continue;
        }

        (void) json_object_set_new(fact, "size",
                                   json_integer((json_int_t) size));

        wanted = gb_swu_digest_of(fact, name);

        if (sha256 != NULL && wanted != NULL
            && strcasecmp(sha256, wanted) != 0)
        {
            return gb_error_set(err, "\"%s\" is damaged: its SHA-256 is not "
                                "the one in sw-description", name);
        }
    }

    return GB_OK;
}


/* What the description says of this file, if that can be compared. */

static const char *
gb_swu_digest_of(json_t *fact, const char *name)
{
    const char  *filename, *sha256;

    filename = json_string_value(json_object_get(fact, "filename"));
    sha256 = json_string_value(json_object_get(fact, "sha256"));

    /* of an encrypted file it may be the digest of what is inside */

    if (sha256 == NULL || strcmp(filename, name) != 0
        || json_is_true(json_object_get(fact, "encrypted"))
        || strlen(sha256) != 64
        || strspn(sha256, "0123456789abcdefABCDEF") != 64)
    {
        return NULL;
    }

    return sha256;
}
