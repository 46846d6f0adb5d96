/*
 * RAUC bundles: the first byte chooses between a whole bundle, in a memfd, and
 * a manifest alone.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gb_image.h"
#include "gb_rauc.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

static gb_image_t *fuzz_manifest(const char *text, size_t len);
static gb_image_t *fuzz_bundle(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gb_image_t  *image;

    if (size == 0) {
        return 0;
    }

    if (data[0] & 1) {
        image = fuzz_manifest((const char *) data + 1, size - 1);
    } else {
        image = fuzz_bundle(data + 1, size - 1);
    }

    if (image != NULL && (image->version == NULL || image->nhardware == 0)) {
        abort();
    }

    gb_image_free(image);

    return 0;
}


/*
 * libsquashfs asks for memory by what an inode claims, takes "no" for an
 * answer, and touches only what it then reads.
 */

const char *
__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=512";
}


static gb_image_t *
fuzz_manifest(const char *text, size_t len)
{
    gb_error_t   err;
    gb_image_t  *image;

    image = gb_image_new(GB_IMAGE_RAUC, &err);

    if (gb_rauc_parse_manifest(image, text, len, NULL, &err) != GB_OK) {
        gb_image_free(image);
        return NULL;
    }

    return image;
}


static gb_image_t *
fuzz_bundle(const uint8_t *data, size_t size)
{
    int          fd;
    gb_error_t   err;
    gb_image_t  *image;

    fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd == -1 || write(fd, data, size) != (ssize_t) size) {
        abort();
    }

    image = gb_rauc_parse(fd, NULL, &err);

    (void) close(fd);

    return image;
}
