/*
 * gb_squashfs: libsquashfs over a window of a file, with bounds on what a
 * malformed file system may make it read and allocate.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqfs/compressor.h>
#include <sqfs/data_reader.h>
#include <sqfs/dir_reader.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>

#include "gb_squashfs.h"


/*
 * A manifest needs some kilobytes of tables and one or two blocks.  libsquashfs
 * 1.2 allocates the fragment table (16 bytes each) by what the super block
 * says, follows directory tables to any length, and has memory for as many
 * blocks as an inode claims, which small compressed tables may fill: each two
 * reads are 8 KiB of them at most.
 */
#define GB_SQUASHFS_READ_MAX       (64 * 1024 * 1024)
#define GB_SQUASHFS_READS_MAX      20000
#define GB_SQUASHFS_FRAGMENTS_MAX  (1024 * 1024)


typedef struct {
    sqfs_file_t            file;        /* first: libsquashfs passes it */
    int                    fd;
    uint64_t               size;
    uint64_t               budget;      /* bytes it may still read */
    unsigned               reads;
} gb_squashfs_window_t;


typedef struct {
    gb_squashfs_window_t   window;
    sqfs_super_t           super;
    sqfs_compressor_t     *cmp;
    sqfs_dir_reader_t     *dirs;
    sqfs_data_reader_t    *data;
    sqfs_inode_generic_t  *root;
    sqfs_inode_generic_t  *inode;
} gb_squashfs_t;


static int gb_squashfs_open(gb_squashfs_t *fs, gb_error_t *err);
static int gb_squashfs_find(gb_squashfs_t *fs, const char *name,
    gb_error_t *err);
static char *gb_squashfs_load(gb_squashfs_t *fs, const char *name, size_t max,
    size_t *len, gb_error_t *err);
static void gb_squashfs_close(gb_squashfs_t *fs);
static int gb_squashfs_failed(int rc, const char *what, gb_error_t *err);
static int gb_squashfs_read_at(sqfs_file_t *file, sqfs_u64 offset, void *buf,
    size_t size);
static int gb_squashfs_write_at(sqfs_file_t *file, sqfs_u64 offset,
    const void *buf, size_t size);
static sqfs_u64 gb_squashfs_get_size(const sqfs_file_t *file);
static int gb_squashfs_truncate(sqfs_file_t *file, sqfs_u64 size);


char *
gb_squashfs_read(int fd, uint64_t size, const char *name, size_t max,
    size_t *len, gb_error_t *err)
{
    char           *data;
    gb_squashfs_t   fs;

    memset(&fs, 0, sizeof(gb_squashfs_t));

    fs.window.file.read_at = gb_squashfs_read_at;
    fs.window.file.write_at = gb_squashfs_write_at;
    fs.window.file.get_size = gb_squashfs_get_size;
    fs.window.file.truncate = gb_squashfs_truncate;
    fs.window.fd = fd;
    fs.window.size = size;
    fs.window.budget = GB_SQUASHFS_READ_MAX;

    data = NULL;

    if (gb_squashfs_open(&fs, err) == GB_OK
        && gb_squashfs_find(&fs, name, err) == GB_OK)
    {
        data = gb_squashfs_load(&fs, name, max, len, err);
    }

    gb_squashfs_close(&fs);

    return data;
}


static int
gb_squashfs_open(gb_squashfs_t *fs, gb_error_t *err)
{
    int                       rc;
    sqfs_file_t              *file;
    sqfs_compressor_config_t  config;

    file = &fs->window.file;

    rc = sqfs_super_read(&fs->super, file);
    if (rc != 0) {
        return gb_squashfs_failed(rc, "super block", err);
    }

    if (fs->super.bytes_used > fs->window.size) {
        return gb_error_set(err, "truncated: the squashfs is larger than its "
                            "place in the file");
    }

    if (fs->super.fragment_entry_count > GB_SQUASHFS_FRAGMENTS_MAX) {
        return gb_error_set(err, "the squashfs has too many fragments");
    }

    rc = sqfs_compressor_config_init(&config, fs->super.compression_id,
                                     fs->super.block_size,
                                     SQFS_COMP_FLAG_UNCOMPRESS);
    if (rc == 0) {
        rc = sqfs_compressor_create(&config, &fs->cmp);
    }

    if (rc != 0) {
        return gb_squashfs_failed(rc, "compressor", err);
    }

    if (fs->super.flags & SQFS_FLAG_COMPRESSOR_OPTIONS) {
        rc = fs->cmp->read_options(fs->cmp, file);
        if (rc != 0) {
            return gb_squashfs_failed(rc, "compressor's options", err);
        }
    }

    fs->dirs = sqfs_dir_reader_create(&fs->super, fs->cmp, file, 0);
    fs->data = sqfs_data_reader_create(file, fs->super.block_size, fs->cmp,
                                       0);
    if (fs->dirs == NULL || fs->data == NULL) {
        return gb_error_nomem(err);
    }

    return GB_OK;
}


static int
gb_squashfs_find(gb_squashfs_t *fs, const char *name, gb_error_t *err)
{
    int  rc;

    rc = sqfs_dir_reader_get_root_inode(fs->dirs, &fs->root);
    if (rc != 0) {
        return gb_squashfs_failed(rc, "root directory", err);
    }

    rc = sqfs_dir_reader_find_by_path(fs->dirs, fs->root, name, &fs->inode);

    if (rc == SQFS_ERROR_NO_ENTRY) {
        return gb_error_set(err, "the squashfs has no %s", name);
    }

    if (rc != 0) {
        return gb_squashfs_failed(rc, "root directory", err);
    }

    if (fs->inode->base.type != SQFS_INODE_FILE
        && fs->inode->base.type != SQFS_INODE_EXT_FILE)
    {
        return gb_error_set(err, "%s in the squashfs is not a regular file",
                            name);
    }

    return GB_OK;
}


static char *
gb_squashfs_load(gb_squashfs_t *fs, const char *name, size_t max, size_t *len,
    gb_error_t *err)
{
    int        rc;
    char      *buf;
    sqfs_s32   n;
    sqfs_u64   size;

    rc = sqfs_inode_get_file_size(fs->inode, &size);
    if (rc != 0) {
        (void) gb_squashfs_failed(rc, "directory", err);
        return NULL;
    }

    if (size == 0 || size > max) {
        (void) gb_error_set(err, size == 0 ? "%s in the squashfs is empty"
                                           : "%s in the squashfs is too large",
                            name);
        return NULL;
    }

    rc = sqfs_data_reader_load_fragment_table(fs->data, &fs->super);
    if (rc != 0) {
        (void) gb_squashfs_failed(rc, "fragment table", err);
        return NULL;
    }

    buf = malloc((size_t) size);
    if (buf == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    n = sqfs_data_reader_read(fs->data, fs->inode, 0, buf, (sqfs_u32) size);

    if (n < 0 || (sqfs_u64) n != size) {
        (void) gb_squashfs_failed(n < 0 ? n : SQFS_ERROR_CORRUPTED, name,
                                  err);
        free(buf);
        return NULL;
    }

    *len = (size_t) size;

    return buf;
}


static void
gb_squashfs_close(gb_squashfs_t *fs)
{
    sqfs_free(fs->inode);
    sqfs_free(fs->root);

    if (fs->data != NULL) {
        sqfs_destroy(fs->data);
    }

    if (fs->dirs != NULL) {
        sqfs_destroy(fs->dirs);
    }

    if (fs->cmp != NULL) {
        sqfs_destroy(fs->cmp);
    }
}


static int
gb_squashfs_failed(int rc, const char *what, gb_error_t *err)
{
    switch (rc) {

    case SQFS_ERROR_ALLOC:
        return gb_error_nomem(err);

    case SQFS_ERROR_UNSUPPORTED:
    case SFQS_ERROR_SUPER_VERSION:
        return gb_error_set(err, "a squashfs of an unsupported kind (%s)",
                            what);

    case SQFS_ERROR_IO:
        return gb_error_set(err, "the squashfs cannot be read (%s)", what);

    default:
        return gb_error_set(err, "the squashfs is damaged (%s)", what);
    }
}


static int
gb_squashfs_read_at(sqfs_file_t *file, sqfs_u64 offset, void *buf, size_t size)
{
    char                  *p = buf;
    ssize_t                n;
    gb_squashfs_window_t  *w = (gb_squashfs_window_t *) file;

    if (offset > w->size || size > w->size - offset || size > w->budget
        || ++w->reads > GB_SQUASHFS_READS_MAX)
    {
        return SQFS_ERROR_OUT_OF_BOUNDS;
    }

    w->budget -= size;

    while (size > 0) {
        n = pread(w->fd, p, size, (off_t) offset);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return SQFS_ERROR_IO;
        }

        p += n;
        offset += (sqfs_u64) n;
        size -= (size_t) n;
    }

    return 0;
}


static int
gb_squashfs_write_at(sqfs_file_t *file, sqfs_u64 offset, const void *buf,
    size_t size)
{
    (void) file;
    (void) offset;
    (void) buf;
    (void) size;

    return SQFS_ERROR_UNSUPPORTED;
}


static sqfs_u64
gb_squashfs_get_size(const sqfs_file_t *file)
{
    return ((const gb_squashfs_window_t *) file)->size;
}


static int
gb_squashfs_truncate(sqfs_file_t *file, sqfs_u64 size)
{
    (void) file;
    (void) size;

    return SQFS_ERROR_UNSUPPORTED;
}
