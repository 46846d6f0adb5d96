/*
 * RAUC bundles: a squashfs with "manifest.raucm", then a CMS signature, then
 * its length as 8 bytes, big-endian.
 * Source: RAUC's docs/reference.rst ("Manifest", "Bundle Formats").
 */

#ifndef GB_RAUC_H
#define GB_RAUC_H


#include <stddef.h>
#include <stdint.h>

#include "gb_error.h"
#include "gb_image.h"


#define GB_RAUC_MANIFEST_MAX   (256 * 1024)     /* bytes; RAUC has the same */
#define GB_RAUC_SIGNATURE_MAX  (64 * 1024)      /* bytes of CMS; likewise */


/*
 * Whether a file of these first and last bytes (up to 8 are looked at) may be
 * a bundle: squashfs' magic, or, as crypt bundles start with cipher text, a
 * believable signature length at the end of "size" bytes.
 */
int gb_rauc_magic(const void *head, size_t headlen, const void *tail,
    size_t taillen, uint64_t size);

/* As gb_image_parse_fd(). */
gb_image_t *gb_rauc_parse(int fd, const gb_image_options_t *opt,
    gb_error_t *err) GB_MUST_CHECK;

/*
 * Reads a manifest alone ("len" bytes, need not end in NUL) into "image".
 * 0 or the failure status.
 */
int gb_rauc_parse_manifest(gb_image_t *image, const char *text, size_t len,
    const gb_image_options_t *opt, gb_error_t *err) GB_MUST_CHECK;

/*
 * Splits a compatible into hardware and adds it to "image": at its last "-" or
 * space when what follows holds a digit and starts with "rev", "r", "v" or a
 * digit ("my-board-rev4.2"), else it is the model, of revision "default"; a
 * pattern (gb_image_options_t) replaces this rule.  0 or the failure status.
 */
int gb_rauc_add_compatible(gb_image_t *image, const char *compatible,
    const gb_image_options_t *opt, gb_error_t *err) GB_MUST_CHECK;


#endif /* GB_RAUC_H */
