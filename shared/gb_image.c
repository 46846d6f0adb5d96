/*
 * gb_image: tells the formats apart and holds what their parsers found.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gb_image.h"
#include "gb_rauc.h"
#include "gb_swu.h"
#include "gb_text.h"


#define GB_IMAGE_MAGIC  8


static gb_image_t *gb_image_dispatch(int fd, const gb_image_options_t *opt,
    gb_error_t *err);
static int gb_image_check_text(const char *text, const char *what,
    gb_error_t *err);


gb_image_t *
gb_image_parse(const char *path, const gb_image_options_t *opt,
    gb_error_t *err)
{
    int          fd;
    gb_image_t  *image;

    /* O_NONBLOCK: a FIFO must be refused, not waited for */

    fd = open(path, O_RDONLY|O_CLOEXEC|O_NONBLOCK);
    if (fd == -1) {
        (void) gb_error_at(err, path, 0, "%s", strerror(errno));
        return NULL;
    }

    image = gb_image_parse_fd(fd, path, opt, err);

    (void) close(fd);

    return image;
}


gb_image_t *
gb_image_parse_fd(int fd, const char *name, const gb_image_options_t *opt,
    gb_error_t *err)
{
    gb_error_t   inner;
    gb_image_t  *image;

    gb_error_clear(&inner);

    image = gb_image_dispatch(fd, opt, &inner);
    if (image == NULL) {
        (void) gb_error_at(err, name, 0, "%s", inner.message);
    }

    return image;
}


static gb_image_t *
gb_image_dispatch(int fd, const gb_image_options_t *opt, gb_error_t *err)
{
    char         head[GB_IMAGE_MAGIC], tail[GB_IMAGE_MAGIC];
    size_t       len;
    ssize_t      n;
    struct stat  st;

    if (fstat(fd, &st) == -1) {
        (void) gb_error_set(err, "%s", strerror(errno));
        return NULL;
    }

    if (!S_ISREG(st.st_mode)) {
        (void) gb_error_set(err, "not a regular file");
        return NULL;
    }

    if (st.st_size == 0) {
        (void) gb_error_set(err, "empty file");
        return NULL;
    }

    len = (size_t) (st.st_size < GB_IMAGE_MAGIC ? st.st_size : GB_IMAGE_MAGIC);

    n = pread(fd, head, len, 0);
    if (n == (ssize_t) len) {
        n = pread(fd, tail, len, st.st_size - (off_t) len);
    }

    if (n != (ssize_t) len) {
        (void) gb_error_set(err, "cannot be read: %s",
                            n == -1 ? strerror(errno) : "it shrinks");
        return NULL;
    }

    if (gb_swu_magic(head, len)) {
        return gb_swu_parse(fd, err);
    }

    if (gb_rauc_magic(head, len, tail, len, (uint64_t) st.st_size)) {
        return gb_rauc_parse(fd, opt, err);
    }

    (void) gb_error_set(err, "neither a SWUpdate image (cpio) nor a RAUC "
                        "bundle (squashfs)");
    return NULL;
}


void
gb_image_free(gb_image_t *image)
{
    size_t  i;

    if (image == NULL) {
        return;
    }

    for (i = 0; i < image->nhardware; i++) {
        free(image->hardware[i].model);
        free(image->hardware[i].revision);
    }

    free(image->hardware);
    free(image->version);
    free(image->name);
    json_decref(image->facts);
    free(image);
}


const char *
gb_image_format_name(gb_image_format_e format)
{
    switch (format) {

    case GB_IMAGE_SWU:
        return "swu";

    case GB_IMAGE_RAUC:
        return "rauc";
    }

    return "";
}


gb_image_t *
gb_image_new(gb_image_format_e format, gb_error_t *err)
{
    gb_image_t  *image;

    image = calloc(1, sizeof(gb_image_t));
    if (image == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    image->format = format;

    image->facts = json_pack("{s:{s:b,s:n},s:[]}", "signature", "present", 0,
                             "subject", "images");
    if (image->facts == NULL) {
        (void) gb_error_nomem(err);
        free(image);
        return NULL;
    }

    return image;
}


int
gb_image_add_hardware(gb_image_t *image, const char *model,
    const char *revision, gb_error_t *err)
{
    size_t                i;
    gb_image_hardware_t  *hw;

    if (gb_image_check_text(model, "hardware model", err) != GB_OK
        || gb_image_check_text(revision, "hardware revision", err) != GB_OK)
    {
        return GB_ERROR;
    }

    for (i = 0; i < image->nhardware; i++) {
        hw = &image->hardware[i];

        if (strcmp(hw->model, model) == 0
            && strcmp(hw->revision, revision) == 0)
        {
            return GB_OK;
        }
    }

    if (image->nhardware == GB_IMAGE_HARDWARE_MAX) {
        return gb_error_set(err, "more than %d compatible hardware revisions",
                            GB_IMAGE_HARDWARE_MAX);
    }

    hw = reallocarray(image->hardware, image->nhardware + 1,
                      sizeof(gb_image_hardware_t));
    if (hw == NULL) {
        return gb_error_nomem(err);
    }

    image->hardware = hw;
    hw += image->nhardware;

    hw->model = strdup(model);
    hw->revision = strdup(revision);

    if (hw->model == NULL || hw->revision == NULL) {
        free(hw->model);
        free(hw->revision);
        return gb_error_nomem(err);
    }

    image->nhardware++;

    return GB_OK;
}


int
gb_image_set_text(char **dst, const char *text, const char *what,
    gb_error_t *err)
{
    char  *copy;

    if (gb_image_check_text(text, what, err) != GB_OK) {
        return GB_ERROR;
    }

    copy = strdup(text);
    if (copy == NULL) {
        return gb_error_nomem(err);
    }

    free(*dst);
    *dst = copy;

    return GB_OK;
}


static int
gb_image_check_text(const char *text, const char *what, gb_error_t *err)
{
    size_t  len;

    len = strlen(text);

    if (len == 0) {
        return gb_error_set(err, "%s is empty", what);
    }

    if (len > GB_IMAGE_TEXT_MAX) {
        return gb_error_set(err, "%s is longer than %d bytes", what,
                            GB_IMAGE_TEXT_MAX);
    }

    if (gb_text_has_control(text, len)) {
        return gb_error_set(err, "%s holds a control character", what);
    }

    if (!gb_text_utf8_valid(text, len)) {
        return gb_error_set(err, "%s is not UTF-8", what);
    }

    return GB_OK;
}


void
gb_image_set_fact(gb_image_t *image, const char *key, json_t *value)
{
    if (value == NULL) {
        value = json_null();
    }

    (void) json_object_set_new(image->facts, key, value);
}
