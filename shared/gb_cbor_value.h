/*
 * gb_cbor_value: CBOR's scalars as JSON strings.  Inner header of gb_cbor.
 */

#ifndef GB_CBOR_VALUE_H
#define GB_CBOR_VALUE_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


struct json_t;


/*
 * All return a new reference, or NULL without memory.  Text: NUL and bytes
 * that are not UTF-8 become U+FFFD.  Reals: the shortest digits that read as
 * the same number, NaN, Infinity.  negint is -1 - n (RFC 8949, 3.1).
 */
struct json_t *gb_cbor_text(const unsigned char *p, size_t len);
struct json_t *gb_cbor_base64(const unsigned char *p, size_t len);
struct json_t *gb_cbor_uint(uint64_t n);
struct json_t *gb_cbor_negint(uint64_t n);
struct json_t *gb_cbor_real(double d, bool single);


#endif /* GB_CBOR_VALUE_H */
