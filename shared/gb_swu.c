/*
 * gb_swu: the archive around sw-description.  Every member is walked, its
 * cpio check sum and the description's sha256 are compared where given, so
 * that an image that no device would install is refused here.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>

#include "gb_swu.h"
#include "gb_text.h"


#define GB_SWU_HEADER         110       /* bytes of a newc header */
#define GB_SWU_BUFFER         (128 * 1024)
#define GB_SWU_NAME_MAX       1024
#define GB_SWU_SIGNATURE_MAX  (64 * 1024)


typedef struct {
    int                    fd;
    uint64_t               size;        /* of the file */
    uint64_t               pos;         /* of the next read */
    uint64_t               next;        /* where the next header must be */
    int                    error;       /* errno of a failed read */
    char                  *buf;
    struct archive        *archive;
    struct archive_entry  *entry;
    gb_image_t            *image;
    char                   magic[6];
} gb_swu_file_t;


typedef struct {
    const char            *name;        /* the archive's, until the next */
    uint32_t               size;
    uint32_t               sum;         /* "crc" archives only */
    int                    link;        /* its bytes are a link's target */
} gb_swu_member_t;


static int gb_swu_open(gb_swu_file_t *f, int fd, gb_error_t *err);
static void gb_swu_close(gb_swu_file_t *f);
static la_ssize_t gb_swu_read_cb(struct archive *a, void *data,
    const void **buf);
static la_int64_t gb_swu_skip_cb(struct archive *a, void *data,
    la_int64_t request);
static int gb_swu_read_members(gb_swu_file_t *f, gb_error_t *err);
static int gb_swu_next(gb_swu_file_t *f, gb_swu_member_t *m, gb_error_t *err);
static int gb_swu_peek(gb_swu_file_t *f, gb_swu_member_t *m, uint64_t *data,
    gb_error_t *err);
static int gb_swu_member(gb_swu_file_t *f, gb_swu_member_t *m, unsigned n,
    gb_error_t *err);
static int gb_swu_load(gb_swu_file_t *f, gb_swu_member_t *m, char **data,
    gb_error_t *err);
static int gb_swu_verify(gb_swu_file_t *f, gb_swu_member_t *m, EVP_MD_CTX *ctx,
    gb_error_t *err);
static int gb_swu_failed(gb_swu_file_t *f, const char *name, gb_error_t *err);
static int gb_swu_hex8(const char *p, uint32_t *value);


int
gb_swu_magic(const void *data, size_t len)
{
    const unsigned char  *p = data;

    /* the binary variants only to be named in the error */

    return (len >= 4 && memcmp(p, "0707", 4) == 0)
           || (len >= 2 && p[0] == 0xc7 && p[1] == 0x71)
           || (len >= 2 && p[0] == 0x71 && p[1] == 0xc7);
}


gb_image_t *
gb_swu_parse(int fd, gb_error_t *err)
{
    int            rc;
    gb_swu_file_t  f;

    memset(&f, 0, sizeof(gb_swu_file_t));

    rc = gb_swu_open(&f, fd, err);

    if (rc == GB_OK) {
        rc = gb_swu_read_members(&f, err);
    }

    gb_swu_close(&f);

    if (rc != GB_OK) {
        gb_image_free(f.image);
        return NULL;
    }

    return f.image;
}


static int
gb_swu_open(gb_swu_file_t *f, int fd, gb_error_t *err)
{
    struct stat  st;

    f->fd = fd;

    if (fstat(fd, &st) == -1
        || pread(fd, f->magic, sizeof(f->magic), 0) != sizeof(f->magic))
    {
        return gb_error_set(err, "truncated within the first cpio header");
    }

    f->size = (uint64_t) st.st_size;

    if (memcmp(f->magic, "070701", 6) != 0
        && memcmp(f->magic, "070702", 6) != 0)
    {
        return gb_error_set(err, "cpio archive of a kind that SWUpdate does "
                            "not read (make it with cpio -H newc or crc)");
    }

    f->image = gb_image_new(GB_IMAGE_SWU, err);
    if (f->image == NULL) {
        return GB_NOMEM;
    }

    gb_image_set_fact(f->image, "container",
                      json_string(f->magic[5] == '2' ? "crc" : "newc"));

    f->buf = malloc(GB_SWU_BUFFER);
    f->archive = archive_read_new();

    if (f->buf == NULL || f->archive == NULL) {
        return gb_error_nomem(err);
    }

    /* no filter: SWUpdate takes no compressed archive, so neither do we */

    if (archive_read_support_format_cpio(f->archive) != ARCHIVE_OK
        || archive_read_open2(f->archive, f, NULL, gb_swu_read_cb,
                              gb_swu_skip_cb, NULL)
           != ARCHIVE_OK)
    {
        return gb_swu_failed(f, "sw-description", err);
    }

    return GB_OK;
}


static void
gb_swu_close(gb_swu_file_t *f)
{
    if (f->archive != NULL) {
        (void) archive_read_free(f->archive);
    }

    free(f->buf);
}


static la_ssize_t
gb_swu_read_cb(struct archive *a, void *data, const void **buf)
{
    ssize_t         n;
    gb_swu_file_t  *f = data;

    do {
        n = pread(f->fd, f->buf, GB_SWU_BUFFER, (off_t) f->pos);
    } while (n == -1 && errno == EINTR);

    if (n == -1) {
        f->error = errno;
        archive_set_error(a, errno, "%s", strerror(errno));
        return ARCHIVE_FATAL;
    }

    f->pos += (uint64_t) n;
    *buf = f->buf;

    return n;
}


static la_int64_t
gb_swu_skip_cb(struct archive *a, void *data, la_int64_t request)
{
    gb_swu_file_t  *f = data;

    (void) a;

    if (request < 0 || f->pos >= f->size) {
        return 0;
    }

    if ((uint64_t) request > f->size - f->pos) {
        request = (la_int64_t) (f->size - f->pos);
    }

    f->pos += (uint64_t) request;

    return request;
}


static int
gb_swu_read_members(gb_swu_file_t *f, gb_error_t *err)
{
    int              rc;
    unsigned         n;
    gb_swu_member_t  m;

    memset(&m, 0, sizeof(gb_swu_member_t));

    for (n = 0; /* void */ ; n++) {
        rc = gb_swu_next(f, &m, err);

        if (rc == GB_DECLINED) {
            break;
        }

        if (rc != GB_OK) {
            return rc;
        }

        if (n == GB_SWU_MEMBERS_MAX) {
            return gb_error_set(err, "more than %d members",
                                GB_SWU_MEMBERS_MAX);
        }

        if (gb_swu_member(f, &m, n, err) != GB_OK) {
            return GB_ERROR;
        }
    }

    if (n == 0) {
        return gb_error_set(err, "an archive without members");
    }

    return GB_OK;
}


/* GB_DECLINED after the last member. */

static int
gb_swu_next(gb_swu_file_t *f, gb_swu_member_t *m, gb_error_t *err)
{
    int       rc;
    uint64_t  data;

    data = 0;

    if (gb_swu_peek(f, m, &data, err) != GB_OK) {
        return GB_ERROR;
    }

    rc = archive_read_next_header(f->archive, &f->entry);

    if (rc == ARCHIVE_EOF) {
        return GB_DECLINED;
    }

    if (rc != ARCHIVE_OK
        || (uint64_t) archive_read_header_position(f->archive) != f->next)
    {
        return gb_swu_failed(f, "a cpio header", err);
    }

    m->name = archive_entry_pathname(f->entry);

    if (m->name == NULL || m->name[0] == '\0') {
        return gb_error_set(err, "damaged at byte %llu: a member without a "
                            "name", (unsigned long long) f->next);
    }

    m->link = (archive_entry_filetype(f->entry) == AE_IFLNK);

    if (data > f->size || m->size > f->size - data) {
        return gb_error_set(err, "truncated within \"%s\", which has %lu "
                            "bytes", m->name, (unsigned long) m->size);
    }

    f->next = (data + m->size + 3) & ~(uint64_t) 3;

    return GB_OK;
}


/*
 * The header, before libarchive 3.6 sees it: it would look for the next one in
 * garbage, where SWUpdate stops, have gigabytes of memory for a name, let the
 * variants be mixed, and keep the check sum to itself.  "*data" is where the
 * member's bytes start.
 */

static int
gb_swu_peek(gb_swu_file_t *f, gb_swu_member_t *m, uint64_t *data,
    gb_error_t *err)
{
    char      h[GB_SWU_HEADER + 1];
    ssize_t   n;
    uint32_t  namesize;

    n = pread(f->fd, h, GB_SWU_HEADER, (off_t) f->next);
    h[GB_SWU_HEADER] = '\0';

    if (n != GB_SWU_HEADER) {
        return gb_error_set(err, "truncated within a cpio header");
    }

    if (memcmp(h, f->magic, sizeof(f->magic)) != 0
        || strspn(h, "0123456789abcdefABCDEF") != GB_SWU_HEADER
        || gb_swu_hex8(h + 54, &m->size) != GB_OK
        || gb_swu_hex8(h + 94, &namesize) != GB_OK
        || gb_swu_hex8(h + 102, &m->sum) != GB_OK
        || namesize == 0
        || namesize > GB_SWU_NAME_MAX)
    {
        return gb_error_set(err, "damaged at byte %llu: no cpio header",
                            (unsigned long long) f->next);
    }

    *data = (f->next + GB_SWU_HEADER + namesize + 3) & ~(uint64_t) 3;

    return GB_OK;
}


static int
gb_swu_member(gb_swu_file_t *f, gb_swu_member_t *m, unsigned n,
    gb_error_t *err)
{
    int          rc;
    char        *data;
    EVP_MD_CTX  *ctx;

    if (n == 0 && strcmp(m->name, "sw-description") != 0) {
        return gb_error_set(err, "the first member is \"%s\", not "
                            "\"sw-description\"", m->name);
    }

    if (n == 0 || (strcmp(m->name, "sw-description.sig") == 0
                   && m->size <= GB_SWU_SIGNATURE_MAX))
    {
        if (m->size > GB_SWU_DESCRIPTION_MAX) {
            return gb_error_set(err, "sw-description has %lu bytes, more than "
                                "%d", (unsigned long) m->size,
                                GB_SWU_DESCRIPTION_MAX);
        }

        rc = gb_swu_load(f, m, &data, err);

        if (rc == GB_OK && n == 0) {
            rc = gb_swu_parse_description(f->image, data, m->size, err);

        } else if (rc == GB_OK) {
            gb_image_set_signature(f->image, data, m->size);
        }

        free(data);

        return rc;
    }

    ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        return gb_error_nomem(err);
    }

    rc = gb_swu_verify(f, m, ctx, err);

    EVP_MD_CTX_free(ctx);

    return rc;
}


/* "*data" is the caller's to free, on failure too. */

static int
gb_swu_load(gb_swu_file_t *f, gb_swu_member_t *m, char **data,
    gb_error_t *err)
{
    uint32_t    i, sum;
    la_ssize_t  n;

    *data = malloc((size_t) m->size + 1);
    if (*data == NULL) {
        return gb_error_nomem(err);
    }

    n = archive_read_data(f->archive, *data, m->size);

    if (n != (la_ssize_t) m->size) {
        return gb_swu_failed(f, m->name, err);
    }

    (*data)[m->size] = '\0';

    if (f->magic[5] == '2') {
        for (i = 0, sum = 0; i < m->size; i++) {
            sum += (unsigned char) (*data)[i];
        }

        if (sum != m->sum) {
            return gb_error_set(err, "the cpio check sum of \"%s\" is wrong",
                                m->name);
        }
    }

    return GB_OK;
}


static int
gb_swu_verify(gb_swu_file_t *f, gb_swu_member_t *m, EVP_MD_CTX *ctx,
    gb_error_t *err)
{
    int                   rc, digest;
    char                  hex[2 * EVP_MAX_MD_SIZE + 1];
    size_t                i, len;
    uint32_t              sum;
    unsigned int          n;
    unsigned char         md[EVP_MAX_MD_SIZE];
    la_int64_t            offset;
    const void           *block;
    const unsigned char  *p;

    sum = 0;
    digest = gb_swu_has_digest(f->image, m->name);

    if (m->link || (!digest && f->magic[5] != '2')) {
        return gb_swu_check_member(f->image, m->name, m->size, NULL, err);
    }

    if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        return gb_error_set(err, "cannot hash");
    }

    for ( ;; ) {
        rc = archive_read_data_block(f->archive, &block, &len, &offset);

        if (rc == ARCHIVE_EOF) {
            break;
        }

        if (rc != ARCHIVE_OK) {
            return gb_swu_failed(f, m->name, err);
        }

        if (digest && EVP_DigestUpdate(ctx, block, len) != 1) {
            return gb_error_set(err, "cannot hash");
        }

        if (f->magic[5] == '2') {
            for (i = 0, p = block; i < len; i++) {
                sum += p[i];
            }
        }
    }

    if (f->magic[5] == '2' && sum != m->sum) {
        return gb_error_set(err, "the cpio check sum of \"%s\" is wrong",
                            m->name);
    }

    if (!digest) {
        return gb_swu_check_member(f->image, m->name, m->size, NULL, err);
    }

    if (EVP_DigestFinal_ex(ctx, md, &n) != 1) {
        return gb_error_set(err, "cannot hash");
    }

    for (i = 0; i < n; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", md[i]);
    }

    return gb_swu_check_member(f->image, m->name, m->size, hex, err);
}


static int
gb_swu_failed(gb_swu_file_t *f, const char *name, gb_error_t *err)
{
    const char  *text;

    if (f->error != 0) {
        return gb_error_set(err, "cannot be read: %s", strerror(f->error));
    }

    if (f->pos >= f->size) {
        return gb_error_set(err, "truncated within %s", name);
    }

    text = archive_error_string(f->archive);

    return gb_error_set(err, "damaged at %s: %s", name,
                        text != NULL ? text : "not a cpio archive");
}


static int
gb_swu_hex8(const char *p, uint32_t *value)
{
    int       i;
    uint32_t  v;

    for (i = 0, v = 0; i < 8; i++) {
        v <<= 4;

        if (p[i] >= '0' && p[i] <= '9') {
            v |= (uint32_t) (p[i] - '0');

        } else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f') {
            v |= (uint32_t) ((p[i] | 0x20) - 'a' + 10);

        } else {
            return GB_ERROR;
        }
    }

    *value = v;

    return GB_OK;
}
