/*
 * gb_json: writes one compact JSON text into one buffer, in two passes.
 *
 *     gb_json_t  j;
 *
 *     gb_json_init(&j, NULL, 0);              pass 1 measures
 *     document(&j, ...);
 *     if (gb_json_done(&j, &len) != GB_OK) { ... }
 *
 *     p = ngx_pnalloc(r->pool, len);
 *     gb_json_init(&j, p, len);               pass 2 fills
 *     document(&j, ...);
 *     if (gb_json_done(&j, NULL) != GB_OK) { ... }
 *
 * Commas and colons are the writer's.  Nothing returns an error on the way:
 * the first one (overflow, a key outside an object, unclosed brackets, ...)
 * sticks and gb_json_done() tells.  No NUL is written at the end.
 */

#ifndef GB_JSON_H
#define GB_JSON_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gb_error.h"


#define GB_JSON_DEPTH  32


typedef struct {
    char      *buf;         /* NULL while measuring */
    size_t     size;
    size_t     len;         /* bytes written or measured so far */
    uint32_t   object;      /* bit N: level N is an object, else an array */
    uint32_t   filled;      /* bit N: level N has a member already */
    unsigned   depth;
    bool       key;         /* a key was written, its value is due */
    bool       string;      /* between string_start and string_end */
    bool       root;        /* the one top value has begun */
    bool       failed;
} gb_json_t;


/* buf is the caller's; NULL (with size 0) measures */
void gb_json_init(gb_json_t *j, char *buf, size_t size);

/*
 * GB_OK and *len if the text is complete; len NULL: and exactly as long as the
 * buffer of a second pass.  Else, and where it is longer, GB_ERROR.
 */
int gb_json_done(gb_json_t *j, size_t *len) GB_MUST_CHECK;

void gb_json_object_start(gb_json_t *j);
void gb_json_object_end(gb_json_t *j);
void gb_json_array_start(gb_json_t *j);
void gb_json_array_end(gb_json_t *j);

/* a member's name, a C string; the next call writes its value */
void gb_json_key(gb_json_t *j, const char *key);

/*
 * Escaped as RFC 8259 (7) asks: ", \ and everything below 0x20; other UTF-8
 * stays as it is, bytes that are not UTF-8 become U+FFFD.
 */
void gb_json_string(gb_json_t *j, const char *s, size_t len);
void gb_json_int(gb_json_t *j, int64_t n);
void gb_json_bool(gb_json_t *j, bool b);
void gb_json_null(gb_json_t *j);

/* a complete JSON value, copied as it is: the caller vouches for it */
void gb_json_raw(gb_json_t *j, const char *s, size_t len);

/*
 * One string in pieces (links).  Each piece holds whole characters; _uri
 * percent-encodes all but RFC 3986's unreserved ones (A-Z a-z 0-9 - . _ ~).
 */
void gb_json_string_start(gb_json_t *j);
void gb_json_string_part(gb_json_t *j, const char *s, size_t len);
void gb_json_string_uri(gb_json_t *j, const char *s, size_t len);
void gb_json_string_int(gb_json_t *j, int64_t n);
void gb_json_string_end(gb_json_t *j);

/* key and value at once; s is a C string, NULL leaves the member out */
void gb_json_member(gb_json_t *j, const char *key, const char *s);
void gb_json_member_int(gb_json_t *j, const char *key, int64_t n);


#endif /* GB_JSON_H */
