/*
 * Whatever a device sends as CBOR: no crash, what is taken is UTF-8, and its
 * tree can be written as CBOR and read again to the same.  The same bytes go
 * through the readers of every kind of body, as CBOR and as JSON.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gb_cbor.h"
#include "gb_feedback.h"
#include "gb_text.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(const char *s)
{
    if (s != NULL && !gb_text_utf8_valid(s, strlen(s))) {
        abort();
    }
}


static void
readers(const json_t *root)
{
    char              *text;
    size_t             i;
    gb_error_t         err;
    gb_feedback_t     *fb;
    gb_config_data_t  *cd;

    if (gb_feedback_tree(root, NULL, &fb, &err) == GB_OK) {
        gb_feedback_free(fb);
    }

    if (gb_feedback_confirmation_tree(root, NULL, &fb, &err) == GB_OK) {

        for (i = 0; i < fb->ndetails; i++) {
            check(fb->details[i]);
        }

        gb_feedback_free(fb);
    }

    if (gb_config_data_tree(root, NULL, &cd, &err) == GB_OK) {
        gb_config_data_free(cd);
    }

    if (gb_feedback_text(root, "version", true, 255, &text, &err) == GB_OK) {
        check(text);
        free(text);
    }
}


static void
again(json_t *root)
{
    char        *text, *out;
    size_t       n, size;
    json_t      *copy;
    gb_error_t   err;

    text = json_dumps(root, JSON_COMPACT);
    if (text == NULL) {
        abort();
    }

    size = gb_cbor_dump_size(strlen(text));
    out = malloc(size);

    if (out == NULL
        || gb_cbor_dump(text, strlen(text), out, size, &n, &err) != GB_OK
        || gb_cbor_load(out, n, &copy, &err) != GB_OK
        || !json_equal(root, copy))
    {
        abort();
    }

    json_decref(copy);
    free(out);
    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t      *root;
    gb_error_t   err;

    if (gb_cbor_load((const char *) data, size, &root, &err) == GB_OK) {
        readers(root);
        again(root);
        json_decref(root);
    }

    if (gb_feedback_json((const char *) data, size, &root, &err) == GB_OK) {
        readers(root);
        json_decref(root);
    }

    return 0;
}
