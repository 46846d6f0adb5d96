/*
 * SWUpdate images: a cpio archive (newc or crc) whose first member is
 * "sw-description", in libconfig's syntax or JSON.
 * Source: SWUpdate 2022.12, doc/source/swupdate.rst and sw-description.rst.
 */

#ifndef GB_SWU_H
#define GB_SWU_H


#include <stddef.h>

#include "gb_error.h"
#include "gb_image.h"


#define GB_SWU_DESCRIPTION_MAX  (1024 * 1024)   /* bytes of sw-description */
#define GB_SWU_MEMBERS_MAX      4096


/* Whether these first bytes are a cpio archive's (any variant of it). */
int gb_swu_magic(const void *data, size_t len);

/*
 * As gb_image_parse_fd().  Every member's header is read, not its bytes, but
 * for sw-description and its signature; images that the description names and
 * the archive lacks are refused.
 */
gb_image_t *gb_swu_parse(int fd, gb_error_t *err)
    GB_MUST_CHECK;

/*
 * Reads a description alone ("len" bytes, need not end in NUL) into "image":
 * version, name, hardware, facts.  0 or the failure status.
 */
int gb_swu_parse_description(gb_image_t *image, const char *text, size_t len,
    gb_error_t *err) GB_MUST_CHECK;


#endif /* GB_SWU_H */
