/*
 * gb_cbor_dump: our JSON texts as CBOR.  A document has one writer, gb_json;
 * this turns what it wrote into the other form.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cbor.h>
#include <jansson.h>

#include "gb_cbor.h"


typedef struct {
    unsigned char  *p;
    unsigned char  *end;
    bool            full;
} gb_cbor_out_t;


static void gb_cbor_put(gb_cbor_out_t *o, json_t *value);
static void gb_cbor_put_text(gb_cbor_out_t *o, const char *s, size_t len);
static void gb_cbor_took(gb_cbor_out_t *o, size_t n);


int
gb_cbor_dump(const char *json, size_t len, char *out, size_t size, size_t *n,
    gb_error_t *err)
{
    json_t         *root;
    json_error_t    je;
    gb_cbor_out_t   o;

    root = json_loadb(json, len, JSON_DECODE_ANY, &je);

    if (root == NULL) {
        return json_error_code(&je) == json_error_out_of_memory
               ? gb_error_nomem(err)
               : gb_error_set(err, "not JSON: %s", je.text);
    }

    o.p = (unsigned char *) out;
    o.end = o.p + size;
    o.full = false;

    gb_cbor_put(&o, root);

    json_decref(root);

    *n = (size_t) (o.p - (unsigned char *) out);

    return o.full ? gb_error_set(err, "the buffer is too small") : GB_OK;
}


static void
gb_cbor_put(gb_cbor_out_t *o, json_t *value)
{
    size_t       i, left;
    json_t      *member;
    json_int_t   n;
    const char  *key;

    left = (size_t) (o->end - o->p);

    switch (json_typeof(value)) {

    case JSON_OBJECT:
        gb_cbor_took(o, cbor_encode_map_start(json_object_size(value), o->p,
                                              left));

        json_object_foreach(value, key, member) {
            gb_cbor_put_text(o, key, strlen(key));
            gb_cbor_put(o, member);
        }

        break;

    case JSON_ARRAY:
        gb_cbor_took(o, cbor_encode_array_start(json_array_size(value), o->p,
                                                left));

        json_array_foreach(value, i, member) {
            gb_cbor_put(o, member);
        }

        break;

    case JSON_STRING:
        gb_cbor_put_text(o, json_string_value(value),
                         json_string_length(value));
        break;

    case JSON_INTEGER:
        n = json_integer_value(value);

        gb_cbor_took(o, n < 0
                        ? cbor_encode_negint((uint64_t) (-1 - n), o->p, left)
                        : cbor_encode_uint((uint64_t) n, o->p, left));
        break;

    case JSON_REAL:
        gb_cbor_took(o, cbor_encode_double(json_real_value(value), o->p,
                                           left));
        break;

    case JSON_TRUE:
    case JSON_FALSE:
        gb_cbor_took(o, cbor_encode_bool(json_is_true(value), o->p, left));
        break;

    case JSON_NULL:
        gb_cbor_took(o, cbor_encode_null(o->p, left));
        break;

    default:
        break;
    }
}


static void
gb_cbor_put_text(gb_cbor_out_t *o, const char *s, size_t len)
{
    gb_cbor_took(o, cbor_encode_string_start(len, o->p,
                                             (size_t) (o->end - o->p)));

    if (o->full || len > (size_t) (o->end - o->p)) {
        o->full = true;
        return;
    }

    memcpy(o->p, s, len);
    o->p += len;
}


/* libcbor answers 0 where there was no room */

static void
gb_cbor_took(gb_cbor_out_t *o, size_t n)
{
    if (n == 0) {
        o->full = true;
    }

    o->p += n;
}
