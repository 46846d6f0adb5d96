/*
 * One file out of a squashfs, through libsquashfs of squashfs-tools-ng.
 */

#ifndef GB_SQUASHFS_H
#define GB_SQUASHFS_H


#include <stddef.h>
#include <stdint.h>

#include "gb_error.h"


/*
 * Reads the regular file "name" of the squashfs that starts at the first byte
 * of "fd" and lies within "size" bytes; it may have up to "max" bytes.
 * Returns new memory (free()) of "*len" bytes, or NULL with "err" set.
 */
char *gb_squashfs_read(int fd, uint64_t size, const char *name, size_t max,
    size_t *len, gb_error_t *err) GB_MUST_CHECK;


#endif /* GB_SQUASHFS_H */
