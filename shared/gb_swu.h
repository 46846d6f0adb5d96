/*
 * SWUpdate images: a cpio archive (newc or crc) whose first member is
 * "sw-description", in libconfig's syntax or JSON.
 * Source: SWUpdate 2022.12, doc/source/swupdate.rst and sw-description.rst.
 */

#ifndef GB_SWU_H
#define GB_SWU_H


#include <stddef.h>
#include <stdint.h>

#include "gb_error.h"
#include "gb_image.h"


#define GB_SWU_DESCRIPTION_MAX  (1024 * 1024)   /* bytes of sw-description */
#define GB_SWU_MEMBERS_MAX      4096


/* Whether these first bytes are a cpio archive's (any variant of it). */
int gb_swu_magic(const void *data, size_t len);

/*
 * As gb_image_parse_fd().  Every member is walked; cpio check sums and the
 * SHA-256 of the description are compared where there are any.  A file that
 * the description names and the archive lacks is no error: its "size" in the
 * fact "images" is null.
 */
gb_image_t *gb_swu_parse(int fd, gb_error_t *err) GB_MUST_CHECK;

/*
 * Reads a description alone ("len" bytes, need not end in NUL) into "image":
 * version, name, hardware, facts.  0 or the failure status.
 */
int gb_swu_parse_description(gb_image_t *image, const char *text, size_t len,
    gb_error_t *err) GB_MUST_CHECK;


/*
 * Between the parser's own files.
 */

/* Libconfig's syntax as a new JSON tree; floats become null. */
json_t *gb_swu_libconfig(const char *text, size_t len, gb_error_t *err)
    GB_MUST_CHECK;

/* Whether the description gives a SHA-256 of this member to compare. */
int gb_swu_has_digest(gb_image_t *image, const char *name);

/*
 * Notes a member's size in the facts and compares its SHA-256 (hexadecimal, or
 * NULL if not known) with the description's.  0 or the failure status.
 */
int gb_swu_check_member(gb_image_t *image, const char *name, uint64_t size,
    const char *sha256, gb_error_t *err) GB_MUST_CHECK;


#endif /* GB_SWU_H */
