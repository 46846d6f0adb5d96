/*
 * gb_cbor: CBOR to a tree.  libcbor cuts the bytes into items and allocates
 * nothing; the tree grows here, by what has really come and never by what a
 * length claims.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cbor.h>
#include <jansson.h>

#include "gb_cbor.h"
#include "gb_cbor_value.h"


/* an open map or array; a map counts its keys, too */
typedef struct {
    json_t  *value;         /* borrowed: its parent or the root has it */
    char    *key;           /* of the value that is due; own */
    size_t   left;
    bool     map;
    bool     indefinite;
} gb_cbor_level_t;


/* a string that comes in chunks */
typedef enum {
    GB_CBOR_WHOLE = 0,
    GB_CBOR_TEXT,
    GB_CBOR_BYTES
} gb_cbor_chunks_e;


typedef struct {
    json_t            *root;
    gb_cbor_level_t    levels[GB_CBOR_DEPTH];
    unsigned           depth;
    size_t             items;
    size_t             len;         /* of the body */
    bool               tagged;      /* a tag waits for its item */
    bool               done;
    int                rc;
    gb_error_t        *err;

    gb_cbor_chunks_e   chunks;
    char              *text;
    size_t             text_len;
} gb_cbor_t;


static void gb_cbor_parse(gb_cbor_t *c, const unsigned char *p, size_t len);
static void gb_cbor_fail(gb_cbor_t *c, const char *why);
static void gb_cbor_nomem(gb_cbor_t *c);
static bool gb_cbor_add(gb_cbor_t *c, json_t *value, bool key);
static bool gb_cbor_key(gb_cbor_t *c, gb_cbor_level_t *level, json_t *value,
    bool key);
static void gb_cbor_open(gb_cbor_t *c, bool map, bool indefinite,
    uint64_t size);
static void gb_cbor_close(gb_cbor_t *c);
static void gb_cbor_chunks(gb_cbor_t *c, gb_cbor_chunks_e chunks);
static void gb_cbor_chunk(gb_cbor_t *c, gb_cbor_chunks_e chunks,
    const unsigned char *p, size_t len);
static void gb_cbor_string(gb_cbor_t *c, gb_cbor_chunks_e chunks,
    const unsigned char *p, size_t len);
static void gb_cbor_scalar(gb_cbor_t *c, json_t *value, bool key);

static void gb_cbor_on_uint8(void *ctx, uint8_t n);
static void gb_cbor_on_uint16(void *ctx, uint16_t n);
static void gb_cbor_on_uint32(void *ctx, uint32_t n);
static void gb_cbor_on_uint64(void *ctx, uint64_t n);
static void gb_cbor_on_negint8(void *ctx, uint8_t n);
static void gb_cbor_on_negint16(void *ctx, uint16_t n);
static void gb_cbor_on_negint32(void *ctx, uint32_t n);
static void gb_cbor_on_negint64(void *ctx, uint64_t n);
static void gb_cbor_on_bytes_start(void *ctx);
static void gb_cbor_on_bytes(void *ctx, cbor_data p, size_t len);
static void gb_cbor_on_text_start(void *ctx);
static void gb_cbor_on_text(void *ctx, cbor_data p, size_t len);
static void gb_cbor_on_array_start(void *ctx);
static void gb_cbor_on_array(void *ctx, size_t size);
static void gb_cbor_on_map_start(void *ctx);
static void gb_cbor_on_map(void *ctx, size_t size);
static void gb_cbor_on_tag(void *ctx, uint64_t tag);
static void gb_cbor_on_float(void *ctx, float f);
static void gb_cbor_on_double(void *ctx, double d);
static void gb_cbor_on_null(void *ctx);
static void gb_cbor_on_boolean(void *ctx, bool b);
static void gb_cbor_on_break(void *ctx);


static const struct cbor_callbacks  gb_cbor_callbacks = {
    .uint8 = gb_cbor_on_uint8,
    .uint16 = gb_cbor_on_uint16,
    .uint32 = gb_cbor_on_uint32,
    .uint64 = gb_cbor_on_uint64,
    .negint8 = gb_cbor_on_negint8,
    .negint16 = gb_cbor_on_negint16,
    .negint32 = gb_cbor_on_negint32,
    .negint64 = gb_cbor_on_negint64,
    .byte_string_start = gb_cbor_on_bytes_start,
    .byte_string = gb_cbor_on_bytes,
    .string_start = gb_cbor_on_text_start,
    .string = gb_cbor_on_text,
    .indef_array_start = gb_cbor_on_array_start,
    .array_start = gb_cbor_on_array,
    .indef_map_start = gb_cbor_on_map_start,
    .map_start = gb_cbor_on_map,
    .tag = gb_cbor_on_tag,
    .float2 = gb_cbor_on_float,
    .float4 = gb_cbor_on_float,
    .float8 = gb_cbor_on_double,
    .undefined = gb_cbor_on_null,
    .null = gb_cbor_on_null,
    .boolean = gb_cbor_on_boolean,
    .indef_break = gb_cbor_on_break
};


int
gb_cbor_load(const char *body, size_t len, json_t **root, gb_error_t *err)
{
    unsigned   i;
    gb_cbor_t  c;

    memset(&c, 0, sizeof(c));

    c.rc = GB_OK;
    c.err = err;
    c.len = len;

    *root = NULL;

    gb_cbor_parse(&c, (const unsigned char *) body, len);

    for (i = 0; i < c.depth; i++) {
        free(c.levels[i].key);
    }

    free(c.text);

    if (c.rc == GB_OK && !json_is_object(c.root)) {
        c.rc = gb_error_set(err, "the body must be a CBOR map");
    }

    if (c.rc != GB_OK) {
        json_decref(c.root);
        return c.rc;
    }

    *root = c.root;

    return GB_OK;
}


static void
gb_cbor_parse(gb_cbor_t *c, const unsigned char *p, size_t len)
{
    size_t                      pos;
    struct cbor_decoder_result  result;

    for (pos = 0; !c->done && c->rc == GB_OK; pos += result.read) {

        memset(&result, 0, sizeof(result));

        if (pos == len) {
            c->rc = gb_error_set(c->err, "not CBOR: ends after %zu bytes",
                                 len);
            break;
        }

        result = cbor_stream_decode(p + pos, len - pos, &gb_cbor_callbacks,
                                    c);

        if (result.status != CBOR_DECODER_FINISHED && c->rc == GB_OK) {
            c->rc = gb_error_set(c->err, "not CBOR: byte %zu: %s", pos,
                                 result.status == CBOR_DECODER_NEDATA
                                 ? "cut off" : "no such item");
        }
    }

    if (c->rc == GB_OK && pos != len) {
        c->rc = gb_error_set(c->err, "not CBOR: more after byte %zu", pos);
    }
}


/* the first reason stands */

static void
gb_cbor_fail(gb_cbor_t *c, const char *why)
{
    if (c->rc == GB_OK) {
        c->rc = gb_error_set(c->err, "not CBOR: %s", why);
    }
}


static void
gb_cbor_nomem(gb_cbor_t *c)
{
    if (c->rc == GB_OK) {
        c->rc = gb_error_nomem(c->err);
    }
}


/*
 * Puts value, a new reference that is taken, where it is due; "key" says that
 * it may be one.  False where the parsing has failed.
 */

static bool
gb_cbor_add(gb_cbor_t *c, json_t *value, bool key)
{
    int               rc;
    gb_cbor_level_t  *level;

    if (value == NULL) {
        gb_cbor_nomem(c);

    } else if (c->chunks != GB_CBOR_WHOLE) {
        gb_cbor_fail(c, "a string has parts that are none");

    } else if (++c->items > GB_CBOR_ITEMS) {
        gb_cbor_fail(c, "too many items");
    }

    if (c->rc != GB_OK) {
        json_decref(value);
        return false;
    }

    c->tagged = false;

    if (c->depth == 0) {
        c->root = value;
        c->done = true;
        return true;
    }

    level = &c->levels[c->depth - 1];

    if (!level->indefinite) {
        level->left--;
    }

    if (level->map && level->key == NULL) {
        return gb_cbor_key(c, level, value, key);
    }

    if (level->map) {
        rc = json_object_set_new_nocheck(level->value, level->key, value);
        free(level->key);
        level->key = NULL;

    } else {
        rc = json_array_append_new(level->value, value);
    }

    if (rc != 0) {
        gb_cbor_nomem(c);
        return false;
    }

    return true;
}


static bool
gb_cbor_key(gb_cbor_t *c, gb_cbor_level_t *level, json_t *value, bool key)
{
    if (!key) {
        gb_cbor_fail(c, "a key that is neither text nor a number");

    } else {
        level->key = strdup(json_string_value(value));

        if (level->key == NULL) {
            gb_cbor_nomem(c);
        }
    }

    json_decref(value);

    return c->rc == GB_OK;
}


static void
gb_cbor_open(gb_cbor_t *c, bool map, bool indefinite, uint64_t size)
{
    json_t           *value;
    gb_cbor_level_t  *level;

    /* an item takes a byte at least */

    if (size > c->len) {
        gb_cbor_fail(c, "a map or array that is cut off");
        return;
    }

    if (c->depth == GB_CBOR_DEPTH) {
        gb_cbor_fail(c, "too deep");
        return;
    }

    value = map ? json_object() : json_array();

    if (!gb_cbor_add(c, value, false)) {
        return;
    }

    level = &c->levels[c->depth++];

    level->value = value;
    level->key = NULL;
    level->map = map;
    level->indefinite = indefinite;
    level->left = (size_t) (map ? size * 2 : size);

    c->done = false;

    gb_cbor_close(c);
}


/* all levels that have what they said */

static void
gb_cbor_close(gb_cbor_t *c)
{
    gb_cbor_level_t  *level;

    while (c->rc == GB_OK && c->depth != 0) {
        level = &c->levels[c->depth - 1];

        if (level->indefinite || level->left != 0) {
            return;
        }

        c->depth--;
    }

    c->done = true;
}


static void
gb_cbor_chunks(gb_cbor_t *c, gb_cbor_chunks_e chunks)
{
    if (c->chunks != GB_CBOR_WHOLE) {
        gb_cbor_fail(c, "a string within a string");
        return;
    }

    c->chunks = chunks;
    c->tagged = false;
    c->text_len = 0;
}


/* a whole string, or the next part of one */

static void
gb_cbor_chunk(gb_cbor_t *c, gb_cbor_chunks_e chunks, const unsigned char *p,
    size_t len)
{
    if (c->chunks == GB_CBOR_WHOLE) {
        gb_cbor_string(c, chunks, p, len);
        return;
    }

    if (c->chunks != chunks || c->tagged) {
        gb_cbor_fail(c, "a string has parts of another kind");
        return;
    }

    /* all of the body's strings fit: their heads are not needed */

    if (c->text == NULL) {
        c->text = malloc(c->len);

        if (c->text == NULL) {
            gb_cbor_nomem(c);
            return;
        }
    }

    memcpy(c->text + c->text_len, p, len);
    c->text_len += len;
}


static void
gb_cbor_string(gb_cbor_t *c, gb_cbor_chunks_e chunks, const unsigned char *p,
    size_t len)
{
    if (chunks == GB_CBOR_TEXT) {
        gb_cbor_scalar(c, gb_cbor_text(p, len), true);

    } else {
        gb_cbor_scalar(c, gb_cbor_base64(p, len), false);
    }
}


/* takes value, a new reference; NULL: out of memory */

static void
gb_cbor_scalar(gb_cbor_t *c, json_t *value, bool key)
{
    if (gb_cbor_add(c, value, key)) {
        gb_cbor_close(c);
    }
}


static void
gb_cbor_on_uint8(void *ctx, uint8_t n)
{
    gb_cbor_on_uint64(ctx, n);
}


static void
gb_cbor_on_uint16(void *ctx, uint16_t n)
{
    gb_cbor_on_uint64(ctx, n);
}


static void
gb_cbor_on_uint32(void *ctx, uint32_t n)
{
    gb_cbor_on_uint64(ctx, n);
}


static void
gb_cbor_on_uint64(void *ctx, uint64_t n)
{
    gb_cbor_scalar(ctx, gb_cbor_uint(n), true);
}


static void
gb_cbor_on_negint8(void *ctx, uint8_t n)
{
    gb_cbor_on_negint64(ctx, n);
}


static void
gb_cbor_on_negint16(void *ctx, uint16_t n)
{
    gb_cbor_on_negint64(ctx, n);
}


static void
gb_cbor_on_negint32(void *ctx, uint32_t n)
{
    gb_cbor_on_negint64(ctx, n);
}


static void
gb_cbor_on_negint64(void *ctx, uint64_t n)
{
    gb_cbor_scalar(ctx, gb_cbor_negint(n), true);
}


static void
gb_cbor_on_bytes_start(void *ctx)
{
    gb_cbor_chunks(ctx, GB_CBOR_BYTES);
}


static void
gb_cbor_on_bytes(void *ctx, cbor_data p, size_t len)
{
    gb_cbor_chunk(ctx, GB_CBOR_BYTES, p, len);
}


static void
gb_cbor_on_text_start(void *ctx)
{
    gb_cbor_chunks(ctx, GB_CBOR_TEXT);
}


static void
gb_cbor_on_text(void *ctx, cbor_data p, size_t len)
{
    gb_cbor_chunk(ctx, GB_CBOR_TEXT, p, len);
}


static void
gb_cbor_on_array_start(void *ctx)
{
    gb_cbor_open(ctx, false, true, 0);
}


static void
gb_cbor_on_array(void *ctx, size_t size)
{
    gb_cbor_open(ctx, false, false, size);
}


static void
gb_cbor_on_map_start(void *ctx)
{
    gb_cbor_open(ctx, true, true, 0);
}


static void
gb_cbor_on_map(void *ctx, size_t size)
{
    gb_cbor_open(ctx, true, false, size);
}


static void
gb_cbor_on_tag(void *ctx, uint64_t tag)
{
    gb_cbor_t  *c = ctx;

    (void) tag;

    c->tagged = true;
}


static void
gb_cbor_on_float(void *ctx, float f)
{
    gb_cbor_scalar(ctx, gb_cbor_real(f, true), false);
}


static void
gb_cbor_on_double(void *ctx, double d)
{
    gb_cbor_scalar(ctx, gb_cbor_real(d, false), false);
}


static void
gb_cbor_on_null(void *ctx)
{
    gb_cbor_scalar(ctx, json_null(), false);
}


static void
gb_cbor_on_boolean(void *ctx, bool b)
{
    gb_cbor_scalar(ctx, json_boolean(b), false);
}


static void
gb_cbor_on_break(void *ctx)
{
    gb_cbor_t         *c = ctx;
    gb_cbor_level_t   *level;
    gb_cbor_chunks_e   chunks;

    chunks = c->chunks;

    if (chunks != GB_CBOR_WHOLE) {
        c->chunks = GB_CBOR_WHOLE;
        gb_cbor_string(c, chunks, (unsigned char *) c->text, c->text_len);
        return;
    }

    level = c->depth != 0 ? &c->levels[c->depth - 1] : NULL;

    if (level == NULL || !level->indefinite || level->key != NULL
        || c->tagged)
    {
        gb_cbor_fail(c, "a break where none may be");
        return;
    }

    c->depth--;

    gb_cbor_close(c);
}
