/*
 * gb_cbor: CBOR (RFC 8949) to and from the trees and texts that JSON has, as
 * far as hawkBit's DDI speaks it (Jackson's CBOR data format).
 */

#ifndef GB_CBOR_H
#define GB_CBOR_H


#include <stddef.h>

#include "gb_error.h"


#define GB_CBOR_DEPTH  32       /* nested maps and arrays */
#define GB_CBOR_ITEMS  65536    /* of all levels, keys included */


struct json_t;


/*
 * Reads a body.  GB_OK and *root, a new reference to an object in which, as in
 * gb_feedback_json()'s, numbers are strings: 5 is "5", 1.5 "1.5".  Definite
 * and indefinite lengths; tags are passed over; keys are text or integers;
 * byte strings become base64 text (RFC 4648, 4), undefined becomes null, the
 * last of equal keys wins.  In text, NUL and bytes that are not UTF-8 become
 * U+FFFD (ddi.md, Feedback).  GB_ERROR: not CBOR, not a map, or more than the
 * bounds above; GB_NOMEM.  *root is NULL then.
 */
int gb_cbor_load(const char *body, size_t len, struct json_t **root,
    gb_error_t *err) GB_MUST_CHECK;

/* a buffer in which gb_cbor_dump() of a text of len bytes always fits */
#define gb_cbor_dump_size(len)  (4 * (len) + 16)

/*
 * Writes a JSON text of our own as CBOR, with definite lengths, the shortest
 * heads and members in their order.  GB_OK and *n, the bytes of out in use;
 * GB_ERROR: not JSON, or size is too small; GB_NOMEM.
 */
int gb_cbor_dump(const char *json, size_t len, char *out, size_t size,
    size_t *n, gb_error_t *err) GB_MUST_CHECK;


#endif /* GB_CBOR_H */
