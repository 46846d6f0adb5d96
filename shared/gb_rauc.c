/*
 * gb_rauc: a bundle's layout, and where its manifest is.  Plain bundles have
 * it in the squashfs under a detached signature; verity and crypt bundles have
 * it inside the signature, where RAUC reads it, too (rauc: check_bundle()).
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gb_cms.h"
#include "gb_rauc.h"
#include "gb_squashfs.h"


#define GB_RAUC_TRAILER     8           /* the signature's size */
#define GB_RAUC_BLOCK       4096
#define GB_RAUC_SUPER       96          /* bytes of a squashfs super block */
#define GB_RAUC_BYTES_USED  40          /* where it tells its size */


typedef struct {
    int                        fd;
    uint64_t                   size;        /* of the file */
    uint64_t                   payload;     /* before the signature */
    uint64_t                   squashfs;    /* bytes it says, 0 if none */
    unsigned char             *sig;         /* NULL if unsigned */
    size_t                     siglen;
    gb_cms_t                   cms;
    gb_image_t                *image;
    const gb_image_options_t  *opt;
} gb_rauc_file_t;


static int gb_rauc_layout(gb_rauc_file_t *f, gb_error_t *err);
static int gb_rauc_no_signature(gb_rauc_file_t *f, gb_error_t *err);
static int gb_rauc_read_signature(gb_rauc_file_t *f, gb_error_t *err);
static int gb_rauc_read_manifest(gb_rauc_file_t *f, gb_error_t *err);
static int gb_rauc_plain(gb_rauc_file_t *f, gb_error_t *err);
static int gb_rauc_signed(gb_rauc_file_t *f, gb_error_t *err);
static int gb_rauc_check_verity(gb_rauc_file_t *f, const char *format,
    gb_error_t *err);
static const char *gb_rauc_format(gb_rauc_file_t *f);
static uint64_t gb_rauc_be64(const unsigned char *p);
static uint64_t gb_rauc_le64(const unsigned char *p);


int
gb_rauc_magic(const void *head, size_t headlen, const void *tail,
    size_t taillen, uint64_t size)
{
    uint64_t  siglen;

    if (headlen >= 4 && memcmp(head, "hsqs", 4) == 0) {
        return 1;
    }

    if (taillen < GB_RAUC_TRAILER || size < GB_RAUC_BLOCK) {
        return 0;
    }

    siglen = gb_rauc_be64((const unsigned char *) tail + taillen
                          - GB_RAUC_TRAILER);

    return siglen > 0
           && siglen <= GB_RAUC_SIGNATURE_MAX
           && siglen <= size - GB_RAUC_TRAILER;
}


gb_image_t *
gb_rauc_parse(int fd, const gb_image_options_t *opt, gb_error_t *err)
{
    int             rc;
    gb_rauc_file_t  f;

    memset(&f, 0, sizeof(gb_rauc_file_t));
    f.fd = fd;
    f.opt = opt;

    f.image = gb_image_new(GB_IMAGE_RAUC, err);
    if (f.image == NULL) {
        return NULL;
    }

    rc = gb_rauc_layout(&f, err);

    if (rc == GB_OK) {
        rc = gb_rauc_read_manifest(&f, err);
    }

    gb_cms_clear(&f.cms);
    free(f.sig);

    if (rc != GB_OK) {
        gb_image_free(f.image);
        return NULL;
    }

    return f.image;
}


static int
gb_rauc_layout(gb_rauc_file_t *f, gb_error_t *err)
{
    uint64_t       siglen;
    struct stat    st;
    unsigned char  super[GB_RAUC_SUPER], trailer[GB_RAUC_TRAILER];

    if (fstat(f->fd, &st) == -1) {
        return gb_error_set(err, "%s", strerror(errno));
    }

    f->size = (uint64_t) st.st_size;

    if (f->size < GB_RAUC_SUPER + GB_RAUC_TRAILER
        || pread(f->fd, super, sizeof(super), 0) != sizeof(super)
        || pread(f->fd, trailer, sizeof(trailer),
                 (off_t) (f->size - GB_RAUC_TRAILER))
           != sizeof(trailer))
    {
        return gb_error_set(err, "truncated: %llu bytes are no bundle",
                            (unsigned long long) f->size);
    }

    if (memcmp(super, "hsqs", 4) == 0) {
        f->squashfs = gb_rauc_le64(super + GB_RAUC_BYTES_USED);

        if (f->squashfs < GB_RAUC_SUPER) {
            return gb_error_set(err, "the squashfs super block is damaged");
        }

        if (f->squashfs > f->size) {
            return gb_error_set(err, "truncated: a squashfs of %llu bytes in "
                                "a file of %llu",
                                (unsigned long long) f->squashfs,
                                (unsigned long long) f->size);
        }
    }

    siglen = gb_rauc_be64(trailer);

    if (siglen == 0
        || siglen > GB_RAUC_SIGNATURE_MAX
        || siglen > f->size - GB_RAUC_TRAILER - f->squashfs)
    {
        return gb_rauc_no_signature(f, err);
    }

    f->siglen = (size_t) siglen;
    f->payload = f->size - GB_RAUC_TRAILER - siglen;

    return gb_rauc_read_signature(f, err);
}


/*
 * A bare squashfs has no bytes but its own and zeroes up to a whole block.
 * gooseBit takes it, so it is not refused here, though RAUC would.  Anything
 * else behind it began a signature.
 */

static int
gb_rauc_no_signature(gb_rauc_file_t *f, gb_error_t *err)
{
    ssize_t        i, n;
    unsigned char  padding[GB_RAUC_BLOCK];

    n = -1;

    if (f->squashfs != 0 && f->size - f->squashfs < GB_RAUC_BLOCK) {
        n = pread(f->fd, padding, sizeof(padding), (off_t) f->squashfs);
    }

    for (i = 0; i < n && padding[i] == 0; i++) { /* void */ }

    if (n < 0 || i < n) {
        return gb_error_set(err, "no signature at its end: not a RAUC bundle, "
                            "or truncated");
    }

    f->payload = f->size;

    return GB_OK;
}


static int
gb_rauc_read_signature(gb_rauc_file_t *f, gb_error_t *err)
{
    f->sig = malloc(f->siglen);
    if (f->sig == NULL) {
        return gb_error_nomem(err);
    }

    if (pread(f->fd, f->sig, f->siglen, (off_t) f->payload)
        != (ssize_t) f->siglen)
    {
        return gb_error_set(err, "the signature cannot be read");
    }

    if (gb_cms_parse(&f->cms, f->sig, f->siglen, err) != GB_OK) {
        return GB_ERROR;
    }

    gb_image_set_signature(f->image, f->sig, f->siglen);

    return GB_OK;
}


static int
gb_rauc_read_manifest(gb_rauc_file_t *f, gb_error_t *err)
{
    if (f->sig == NULL) {
        return gb_rauc_plain(f, err);
    }

    switch (f->cms.type) {

    case GB_CMS_DETACHED:
        return gb_rauc_plain(f, err);

    case GB_CMS_SIGNED:
        return gb_rauc_signed(f, err);

    case GB_CMS_ENVELOPED:
        break;
    }

    return gb_error_set(err, "encrypted to its recipients: the manifest can't "
                        "be read without a device's key");
}


static int
gb_rauc_plain(gb_rauc_file_t *f, gb_error_t *err)
{
    int          rc;
    char        *manifest;
    size_t       len;
    const char  *format;

    if (f->squashfs == 0) {
        return gb_error_set(err, "its payload is not a squashfs");
    }

    manifest = gb_squashfs_read(f->fd, f->payload, "manifest.raucm",
                                GB_RAUC_MANIFEST_MAX, &len, err);
    if (manifest == NULL) {
        return GB_ERROR;
    }

    rc = gb_rauc_parse_manifest(f->image, manifest, len, f->opt, err);

    free(manifest);

    if (rc != GB_OK) {
        return rc;
    }

    format = gb_rauc_format(f);

    if (strcmp(format, "plain") != 0) {
        return gb_error_set(err, "the manifest says %s, but %s", format,
                            f->sig != NULL
                            ? "the signature has no manifest"
                            : "the bundle has no signature (truncated?)");
    }

    return GB_OK;
}


static int
gb_rauc_signed(gb_rauc_file_t *f, gb_error_t *err)
{
    char        *manifest;
    size_t       len;
    const char  *format;

    if (f->cms.len > GB_RAUC_MANIFEST_MAX) {
        return gb_error_set(err, "the manifest is larger than %d bytes",
                            GB_RAUC_MANIFEST_MAX);
    }

    if (gb_rauc_parse_manifest(f->image, (char *) f->cms.content, f->cms.len,
                               f->opt, err)
        != GB_OK)
    {
        return GB_ERROR;
    }

    format = gb_rauc_format(f);

    if (strcmp(format, "plain") == 0) {
        return gb_error_set(err, "the signature holds the manifest of a plain "
                            "bundle");
    }

    if (gb_rauc_check_verity(f, format, err) != GB_OK) {
        return GB_ERROR;
    }

    if (strcmp(format, "crypt") == 0) {
        return GB_OK;
    }

    if (f->squashfs == 0) {
        return gb_error_set(err, "its payload is not a squashfs");
    }

    /* the signed one counts; this only proves that the squashfs is whole */

    manifest = gb_squashfs_read(f->fd, f->payload, "manifest.raucm",
                                GB_RAUC_MANIFEST_MAX, &len, err);
    if (manifest == NULL) {
        return GB_ERROR;
    }

    free(manifest);

    return GB_OK;
}


/* rauc: check_manifest_external() */

static int
gb_rauc_check_verity(gb_rauc_file_t *f, const char *format, gb_error_t *err)
{
    json_int_t  size;

    size = json_integer_value(json_object_get(f->image->facts,
                                              "verity_size"));

    if (size <= 0 || size % GB_RAUC_BLOCK != 0) {
        return gb_error_set(err, "the manifest of a %s bundle has no valid "
                            "verity-size", format);
    }

    if ((uint64_t) size >= f->payload
        || f->squashfs > f->payload - (uint64_t) size
        || f->payload % GB_RAUC_BLOCK != 0)
    {
        return gb_error_set(err, "truncated: %llu bytes before the signature "
                            "do not fit verity-size %llu",
                            (unsigned long long) f->payload,
                            (unsigned long long) size);
    }

    return GB_OK;
}


static const char *
gb_rauc_format(gb_rauc_file_t *f)
{
    return json_string_value(json_object_get(f->image->facts,
                                             "bundle_format"));
}


static uint64_t
gb_rauc_be64(const unsigned char *p)
{
    int       i;
    uint64_t  v;

    for (i = 0, v = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }

    return v;
}


static uint64_t
gb_rauc_le64(const unsigned char *p)
{
    int       i;
    uint64_t  v;

    for (i = 7, v = 0; i >= 0; i--) {
        v = v << 8 | p[i];
    }

    return v;
}
