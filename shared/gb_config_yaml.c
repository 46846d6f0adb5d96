/*
 * gb_config_yaml: goosebit.yaml through libyaml's document tree, which keeps
 * every node's line.  Scalars are taken as text and typed by their key.
 */

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "gb_config_key.h"


typedef struct {
    gb_config_load_t  *load;
    yaml_document_t    doc;
} gb_config_yaml_t;


static void gb_config_yaml_section(gb_config_yaml_t *y, yaml_node_t *node,
    const char *section);
static void gb_config_yaml_pair(gb_config_yaml_t *y, yaml_node_t *map,
    yaml_node_pair_t *pair, const char *section);
static void gb_config_yaml_set(gb_config_yaml_t *y, const char *path,
    yaml_node_t *value, const char *section);
static void gb_config_yaml_key(gb_config_yaml_t *y, size_t key,
    yaml_node_t *value);
static void gb_config_yaml_names(gb_config_yaml_t *y, size_t key,
    yaml_node_t *list);
static bool gb_config_yaml_text(gb_config_yaml_t *y, const char *name,
    yaml_node_t *node, const char **text);
static bool gb_config_yaml_last(gb_config_yaml_t *y, yaml_node_t *map,
    yaml_node_pair_t *pair, const char *name);
static bool gb_config_yaml_null(const yaml_node_t *node);
static void gb_config_yaml_broken(gb_config_load_t *l,
    const yaml_parser_t *parser, const char *text, size_t len);


void
gb_config_yaml(gb_config_load_t *l, const char *text, size_t len)
{
    yaml_node_t       *root;
    yaml_parser_t      parser;
    yaml_document_t    rest;
    gb_config_yaml_t   y;

    memset(&y, 0, sizeof(y));
    y.load = l;
    l->line = 0;

    if (!yaml_parser_initialize(&parser)) {
        l->nomem = true;
        return;
    }

    yaml_parser_set_input_string(&parser, (const unsigned char *) text, len);

    if (!yaml_parser_load(&parser, &y.doc)) {
        gb_config_yaml_broken(l, &parser, text, len);
        yaml_parser_delete(&parser);
        return;
    }

    root = yaml_document_get_root_node(&y.doc);

    /* nothing but comments: no root; "---" alone: a null */

    if (root != NULL && !gb_config_yaml_null(root)) {
        gb_config_yaml_section(&y, root, "");
    }

    if (root != NULL) {

        if (!yaml_parser_load(&parser, &rest)) {
            gb_config_yaml_broken(l, &parser, text, len);

        } else {
            root = yaml_document_get_root_node(&rest);

            if (root != NULL) {
                l->line = (int) root->start_mark.line + 1;
                gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                               "a second document in the file");
            }

            yaml_document_delete(&rest);
        }
    }

    yaml_document_delete(&y.doc);
    yaml_parser_delete(&parser);
}


static void
gb_config_yaml_section(gb_config_yaml_t *y, yaml_node_t *node,
    const char *section)
{
    gb_config_load_t  *l;
    yaml_node_pair_t  *pair;

    l = y->load;

    if (node->type != YAML_MAPPING_NODE) {
        l->line = (int) node->start_mark.line + 1;
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: must hold \"key: value\" "
                       "pairs", section[0] == '\0' ? "the file" : section);
        return;
    }

    for (pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top && !gb_config_full(l);
         pair++)
    {
        gb_config_yaml_pair(y, node, pair, section);
    }
}


static void
gb_config_yaml_pair(gb_config_yaml_t *y, yaml_node_t *map,
    yaml_node_pair_t *pair, const char *section)
{
    char               path[GB_CONFIG_PATH];
    const char        *name;
    yaml_node_t       *key;
    gb_config_load_t  *l;

    l = y->load;

    key = yaml_document_get_node(&y->doc, pair->key);
    l->line = (int) key->start_mark.line + 1;

    name = (char *) key->data.scalar.value;

    if (key->type != YAML_SCALAR_NODE || name[0] == '\0'
        || strlen(name) != key->data.scalar.length)
    {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "a key must be a word");
        return;
    }

    if (strcmp(name, "<<") == 0) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "merge keys (\"<<\") are not taken here");
        return;
    }

    if (!gb_config_join(path, section, name)) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "unknown key \"%.40s...\"",
                       name);
        return;
    }

    if (!gb_config_yaml_last(y, map, pair, name)) {
        gb_config_note(l, GB_CONFIG_NOTE_WARNING, "%s: stands here twice, the "
                       "last one counts", path);
        return;
    }

    gb_config_yaml_set(y, path, yaml_document_get_node(&y->doc, pair->value),
                       section);
}


static void
gb_config_yaml_set(gb_config_yaml_t *y, const char *path, yaml_node_t *value,
    const char *section)
{
    char               nearest[GB_CONFIG_NEAREST];
    size_t             key;
    gb_config_load_t  *l;

    l = y->load;

    switch (gb_config_find(path, &key)) {

    case GB_CONFIG_PATH_KEY:
        gb_config_yaml_key(y, key, value);
        return;

    case GB_CONFIG_PATH_SECTION:

        /* the one section that gooseBit lets be null */

        if (strcmp(path, "storage.s3") == 0 && gb_config_yaml_null(value)) {
            return;
        }

        if (value->type == YAML_MAPPING_NODE) {
            gb_config_yaml_section(y, value, path);
            return;
        }

        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: must hold "
                       "\"key: value\" pairs%s", path,
                       gb_config_yaml_null(value)
                       ? ", or be left out" : "");
        return;

    case GB_CONFIG_PATH_UNKNOWN:
    case GB_CONFIG_PATH_INSIDE:
        break;
    }

    gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                   "unknown key \"%s\"%s%s%s",
                   path + (section[0] == '\0' ? 0 : strlen(section) + 1),
                   section[0] == '\0' ? "" : " in ", section,
                   gb_config_nearest(path, nearest));
}


static void
gb_config_yaml_key(gb_config_yaml_t *y, size_t key, yaml_node_t *value)
{
    const char        *text;
    gb_config_load_t  *l;

    l = y->load;

    if (gb_config_is_set(l, key)) {
        return;
    }

    if (gb_config_keys[key].kind == GB_CONFIG_KIND_ANY) {
        gb_config_set_any(l, key);
        return;
    }

    if (gb_config_keys[key].kind == GB_CONFIG_KIND_NAMES
        && value->type == YAML_SEQUENCE_NODE)
    {
        gb_config_yaml_names(y, key, value);
        return;
    }

    /* the value may stand on a line of its own, or at an anchor */

    l->line = (int) value->start_mark.line + 1;

    if (gb_config_yaml_text(y, gb_config_keys[key].name, value, &text)) {
        gb_config_set(l, key, text);
    }
}


static void
gb_config_yaml_names(gb_config_yaml_t *y, size_t key, yaml_node_t *list)
{
    size_t             i, n;
    const char       **names;
    yaml_node_t       *node;
    yaml_node_item_t  *items;

    items = list->data.sequence.items.start;
    n = list->data.sequence.items.top - items;

    names = calloc(n + 1, sizeof(char *));
    if (names == NULL) {
        y->load->nomem = true;
        return;
    }

    for (i = 0; i < n; i++) {
        node = yaml_document_get_node(&y->doc, items[i]);

        if (!gb_config_yaml_text(y, gb_config_keys[key].name, node,
                                 &names[i]))
        {
            break;
        }
    }

    if (i == n) {
        gb_config_set_names(y->load, key, names, n);
    }

    free(names);
}


/* a scalar's text, NULL for a null; false and a note if it is none */

static bool
gb_config_yaml_text(gb_config_yaml_t *y, const char *name, yaml_node_t *node,
    const char **text)
{
    gb_config_load_t  *l;

    l = y->load;

    if (node->type != YAML_SCALAR_NODE) {
        l->line = (int) node->start_mark.line + 1;
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: must be a single value",
                       name);
        return false;
    }

    if (strncmp((char *) node->tag, "tag:yaml.org,2002:", 18) != 0) {
        l->line = (int) node->start_mark.line + 1;
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: unknown tag \"%s\"",
                       name, (char *) node->tag);
        return false;
    }

    *text = (char *) node->data.scalar.value;

    if (strlen(*text) != node->data.scalar.length) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: a NUL in the value",
                       name);
        return false;
    }

    if (gb_config_yaml_null(node)) {
        *text = NULL;
    }

    return true;
}


/* no later pair of the mapping has the same name */

static bool
gb_config_yaml_last(gb_config_yaml_t *y, yaml_node_t *map,
    yaml_node_pair_t *pair, const char *name)
{
    yaml_node_t  *other;

    for (pair++; pair < map->data.mapping.pairs.top; pair++) {
        other = yaml_document_get_node(&y->doc, pair->key);

        if (other->type == YAML_SCALAR_NODE
            && strcmp((char *) other->data.scalar.value, name) == 0)
        {
            return false;
        }
    }

    return true;
}


static bool
gb_config_yaml_null(const yaml_node_t *node)
{
    size_t       i;
    const char  *text;

    static const char *const  words[] = { "", "~", "null", "Null", "NULL" };

    if (node->type != YAML_SCALAR_NODE
        || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
    {
        return false;
    }

    text = (const char *) node->data.scalar.value;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i], text) == 0) {
            return true;
        }
    }

    return false;
}


static void
gb_config_yaml_broken(gb_config_load_t *l, const yaml_parser_t *parser,
    const char *text, size_t len)
{
    size_t  i;

    if (parser->error == YAML_MEMORY_ERROR) {
        l->nomem = true;
        return;
    }

    l->line = (int) parser->problem_mark.line + 1;

    /* the reader (bad UTF-8, control characters) knows an offset only */

    if (parser->error == YAML_READER_ERROR) {
        l->line = 1;

        for (i = 0; i < len && i < parser->problem_offset; i++) {
            l->line += text[i] == '\n';
        }
    }

    gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s%s%s",
                   parser->context != NULL ? parser->context : "",
                   parser->context != NULL ? ": " : "",
                   parser->problem != NULL ? parser->problem : "not YAML");
}
