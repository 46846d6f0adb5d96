/*
 * SWUpdate images: the first byte chooses between a whole archive, in a memfd,
 * and a description alone, which the fuzzer reaches deeper that way.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gb_image.h"
#include "gb_swu.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);


/* libconfig 1.5 forgets the string that a syntax error was found at. */

const char *
__lsan_default_suppressions(void)
{
    return "leak:strbuf_append\nleak:libconfig_\n";
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int          fd;
    gb_error_t   err;
    gb_image_t  *image;

    if (size == 0) {
        return 0;
    }

    if (data[0] & 1) {
        image = gb_image_new(GB_IMAGE_SWU, &err);

        if (gb_swu_parse_description(image, (const char *) data + 1, size - 1,
                                     &err)
            == GB_OK
            && (image->version == NULL || image->nhardware == 0))
        {
            abort();
        }

        gb_image_free(image);
        return 0;
    }

    fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd == -1
        || write(fd, data + 1, size - 1) != (ssize_t) (size - 1))
    {
        abort();
    }

    image = gb_swu_parse(fd, &err);

    if (image != NULL && (image->version == NULL || image->nhardware == 0)) {
        abort();
    }

    gb_image_free(image);
    (void) close(fd);

    return 0;
}
