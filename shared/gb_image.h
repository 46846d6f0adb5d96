/*
 * What an update image says about itself, whatever its format.
 */

#ifndef GB_IMAGE_H
#define GB_IMAGE_H


#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "gb_error.h"


#define GB_IMAGE_HARDWARE_MAX  1024     /* distinct (model, revision) pairs */
#define GB_IMAGE_TEXT_MAX      255      /* bytes of version, name, model … */


typedef enum {
    GB_IMAGE_SWU = 0,
    GB_IMAGE_RAUC
} gb_image_format_e;


/*
 * One hardware an image is for.  SWUpdate's revision may be a pattern, which
 * it writes as "#RE:" and a POSIX extended regular expression; it is kept so.
 */
typedef struct {
    char               *model;
    char               *revision;
} gb_image_hardware_t;


/*
 * Everything in it belongs to the image and goes with gb_image_free().  All
 * strings are valid UTF-8 without control characters.
 *
 * "facts" is a JSON object for display.  It always holds
 *   "signature": {"present": bool, "subject": S or null}, of the first signer,
 *                read, not verified;
 *   "images":    [{"name", "type", "size", "sha256", …}], in the image's order.
 * swu:  "container" ("newc" or "crc"), "description" (text or null), "syntax"
 *       ("libconfig" or "json"), "boards": [names of board sections].
 * rauc: "bundle_format" ("plain", "verity" or "crypt"), "compatible",
 *       "description", "build", "verity_size" (bytes, not of plain ones).
 */
typedef struct {
    gb_image_format_e     format;
    char                 *version;
    char                 *name;         /* NULL if the image has none */
    gb_image_hardware_t  *hardware;     /* in the order found, no pair twice */
    size_t                nhardware;    /* at least one */
    json_t               *facts;
} gb_image_t;


typedef struct {
    /*
     * The YAML's rauc_compatible_pattern: a regular expression (PCRE2) with the
     * groups hw_model and hw_revision; NULL for the built-in rule.
     */
    const char           *rauc_pattern;
} gb_image_options_t;


/*
 * Tells the format by the first bytes, never by the name, and reads what the
 * image says; a file that is shorter than it declares, or whose own check sums
 * are wrong, is refused.  Signatures are not verified.  "opt" may be NULL.
 * Returns a new image, or NULL with one clear line in "err", which begins with
 * "name" (by the first function: with the path).  The second one reads "fd" by
 * pread() and leaves it open; it must be a regular file or memfd.
 */
gb_image_t *gb_image_parse(const char *path, const gb_image_options_t *opt,
    gb_error_t *err) GB_MUST_CHECK;
gb_image_t *gb_image_parse_fd(int fd, const char *name,
    const gb_image_options_t *opt, gb_error_t *err) GB_MUST_CHECK;

/* "image" may be NULL. */
void gb_image_free(gb_image_t *image);

/* "swu" or "rauc", as the database and gbctl spell it; static. */
const char *gb_image_format_name(gb_image_format_e format);


/*
 * For the parsers of the single formats.
 */

/* An empty image with the facts "signature" and "images", or NULL. */
gb_image_t *gb_image_new(gb_image_format_e format, gb_error_t *err)
    GB_MUST_CHECK;

/*
 * Adds a pair unless it is there already; both texts are copied.  Refuses
 * texts that are empty, too long or not printable UTF-8, and more than
 * GB_IMAGE_HARDWARE_MAX pairs.  0 or the failure status.
 */
int gb_image_add_hardware(gb_image_t *image, const char *model,
    const char *revision, gb_error_t *err) GB_MUST_CHECK;

/*
 * Copies "text" to "*dst" (freeing what was there) under the same conditions;
 * errors call it "what".  0 or the failure status.
 */
int gb_image_set_text(char **dst, const char *text, const char *what,
    gb_error_t *err) GB_MUST_CHECK;

/*
 * Keeps a fact: steals "value".  A NULL value (jansson out of memory, or a
 * string that is not UTF-8) is kept as null.
 */
void gb_image_set_fact(gb_image_t *image, const char *key, json_t *value);

/*
 * Notes a CMS signature (DER) in the fact "signature", with the subject of its
 * first signer if a certificate in it tells one.
 */
void gb_image_set_signature(gb_image_t *image, const void *der, size_t len);


#endif /* GB_IMAGE_H */
