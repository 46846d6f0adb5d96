/*
 * gbctl sample load: images are made here, and go the way of software add;
 * the fleet that has them is made in SQL.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>

#include "cmd.h"
#include "cmd_software.h"
#include "db.h"
#include "out.h"


#define SAMPLE_BYTES  (64 * 1024)   /* of an image's payload */


typedef struct {
    const char  *product;
    const char  *name;
    const char  *version;
} sample_image_t;


static bool cmd_sample_load(cli_t *cli);
static bool sample_refused(cli_t *cli);
static bool sample_stage(cli_t *cli, software_item_t *items);
static int sample_make(const sample_image_t *image);
static bool sample_member(struct archive *a, const char *name,
    const void *bytes, size_t len);
static bool sample_payload(const sample_image_t *image, unsigned char *bytes,
    char *sha256);
static bool sample_store(cli_t *cli, software_item_t *items);


/* by product, oldest first */

static const sample_image_t  sample_images[] = {
    { "gateway", "Gateway OS", "1.4.0" },
    { "gateway", "Gateway OS", "1.5.2" },
    { "gateway", "Gateway OS", "2.0.0" },
    { "camera", "Camera firmware", "3.0.2" },
    { "camera", "Camera firmware", "3.1.0-rc.1" },
    { "sensor-hub", "Sensor hub", "0.9.0" },
    { "sensor-hub", "Sensor hub", "1.0.0" }
};

#define SAMPLE_IMAGES  (sizeof(sample_images) / sizeof(sample_images[0]))

static const cli_verb_t  cmd_sample_verbs[] = {

    { "load", "", "devices, software and rollouts to look at", NULL,
      cmd_sample_load, 0, 0, CLI_DRY },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_sample = {
    "sample", "a fleet to look at", cmd_sample_verbs
};


static bool
cmd_sample_load(cli_t *cli)
{
    bool             ok;
    size_t           i;
    software_item_t  items[SAMPLE_IMAGES];

    memset(items, 0, sizeof(items));

    if (!cli_config(cli, 0) || !db_connect(cli, DB_THIS_SCHEMA)
        || sample_refused(cli))
    {
        return false;
    }

    ok = sample_stage(cli, items);

    if (ok && !sample_store(cli, items)) {
        software_items_undo(cli, items, SAMPLE_IMAGES);
        ok = false;
    }

    for (i = 0; i < SAMPLE_IMAGES; i++) {
        software_item_free(&items[i]);
    }

    return ok;
}


/* true, and said, where there is a fleet that nobody wants to see mixed */

static bool
sample_refused(cli_t *cli)
{
    bool         refused, loaded;
    PGresult    *res;
    const char  *n;

    res = db_call(cli, "SELECT * FROM goosebit_admin.sample_devices($1)", 1,
                  cli->tenant);

    if (res == NULL) {
        return true;
    }

    n = db_value(res, 0, "devices");
    loaded = strcmp(db_value(res, 0, "loaded"), "t") == 0;
    refused = loaded || (!cli->yes && strcmp(n, "0") != 0);

    if (loaded && cli->yes) {
        (void) cli_fail(cli, CLI_FAILED, "conflict",
                        "\"gbctl -t NAME sample load\" loads it into another "
                        "tenant", "tenant \"%s\" has the sample already",
                        cli->tenant);

    } else if (refused) {
        (void) cli_fail(cli, CLI_FAILED, "refused",
                        loaded ? "the sample is among them already"
                               : "--yes adds to them",
                        "the database holds devices already: %s", n);
    }

    PQclear(res);

    return refused;
}


static bool
sample_stage(cli_t *cli, software_item_t *items)
{
    int     fd;
    bool    ok;
    size_t  i;

    ok = true;

    for (i = 0; ok && i < SAMPLE_IMAGES; i++) {
        fd = sample_make(&sample_images[i]);

        ok = fd != -1
             && asprintf(&items[i].filename, "%s-%s.swu",
                         sample_images[i].product, sample_images[i].version)
                != -1;

        if (!ok) {
            items[i].filename = NULL;
            (void) cli_fail(cli, CLI_FAILED, "failed", NULL,
                            "an image can't be made: %m");
        } else {
            items[i].source = items[i].filename;
            ok = software_item_read(cli, &items[i], fd, false);
        }

        if (fd != -1) {
            close(fd);
        }
    }

    return ok;
}


/* a SWUpdate image in memory; its descriptor, or -1 */

static int
sample_make(const sample_image_t *image)
{
    int             fd, n;
    bool            ok;
    char            text[1024], sha256[65];
    unsigned char  *bytes;
    struct archive *a;

    fd = memfd_create(image->product, MFD_CLOEXEC);
    bytes = malloc(SAMPLE_BYTES);
    a = archive_write_new();

    ok = fd != -1 && bytes != NULL && a != NULL
         && sample_payload(image, bytes, sha256);

    n = snprintf(text, sizeof(text),
                 "software =\n{\n    version = \"%s\";\n    name = \"%s\";\n"
                 "    %s = {\n"
                 "        hardware-compatibility: [ \"rev1\", \"rev2\" ];\n"
                 "        images: ( { filename = \"rootfs.ext4\";\n"
                 "                    device = \"/dev/mmcblk0p3\";\n"
                 "                    type = \"raw\";\n"
                 "                    sha256 = \"%s\"; } );\n"
                 "    };\n};\n",
                 image->version, image->name, image->product, sha256);

    ok = ok && archive_write_set_format_cpio_newc(a) == ARCHIVE_OK
         && archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK
         && archive_write_open_fd(a, fd) == ARCHIVE_OK
         && sample_member(a, "sw-description", text, (size_t) n)
         && sample_member(a, "rootfs.ext4", bytes, SAMPLE_BYTES)
         && archive_write_close(a) == ARCHIVE_OK;

    archive_write_free(a);
    free(bytes);

    if (!ok && fd != -1) {
        close(fd);
        return -1;
    }

    return fd;
}


static bool
sample_member(struct archive *a, const char *name, const void *bytes,
    size_t len)
{
    bool                   ok;
    struct archive_entry  *entry;

    entry = archive_entry_new();

    if (entry == NULL) {
        return false;
    }

    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t) len);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);

    ok = archive_write_header(a, entry) == ARCHIVE_OK
         && archive_write_data(a, bytes, len) == (la_ssize_t) len;

    archive_entry_free(entry);

    return ok;
}


/* bytes that follow from product and version, and their SHA-256 */

static bool
sample_payload(const sample_image_t *image, unsigned char *bytes,
    char *sha256)
{
    int            n;
    char           seed[128];
    size_t         i;
    unsigned char  digest[EVP_MAX_MD_SIZE];

    for (i = 0; i < SAMPLE_BYTES; i += 32) {
        n = snprintf(seed, sizeof(seed), "%s %s %zu", image->product,
                     image->version, i);

        if (EVP_Digest(seed, (size_t) n, digest, NULL, EVP_sha256(), NULL)
            != 1)
        {
            return false;
        }

        memcpy(bytes + i, digest, 32);
    }

    if (EVP_Digest(bytes, SAMPLE_BYTES, digest, NULL, EVP_sha256(), NULL)
        != 1)
    {
        return false;
    }

    for (i = 0; i < 32; i++) {
        snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
    }

    return true;
}


static bool
sample_store(cli_t *cli, software_item_t *items)
{
    bool         ok;
    char        *text;
    json_t      *ids, *array;
    size_t       i;
    PGresult    *res;
    const char  *product;

    static const out_list_t  spec = { "nothing", "kind", NULL };
    static const out_list_t  list = { "no devices", "id", NULL };

    ids = json_object();
    ok = ids != NULL && db_begin(cli);

    for (i = 0; ok && i < SAMPLE_IMAGES; i++) {
        res = software_item_register(cli, &items[i]);
        ok = res != NULL;

        if (ok) {
            product = sample_images[i].product;
            array = json_object_get(ids, product);

            if (array == NULL) {
                array = json_array();
                (void) json_object_set_new(ids, product, array);
            }

            (void) json_array_append_new(array,
                       json_integer(atoi(db_value(res, 0, "id"))));
        }

        PQclear(res);
    }

    text = json_dumps(ids, JSON_COMPACT);
    res = ok ? db_call(cli, "SELECT * FROM goosebit_admin.sample_load($1, $2)",
                       2, cli->tenant, text)
             : NULL;

    ok = res != NULL && db_commit(cli)
         && (cli->dry_run
             ? out_query(cli, &list,
                         "SELECT id FROM goosebit_admin.sample_ids()", 0)
             : out_list(cli, &spec, res));

    PQclear(res);
    free(text);
    json_decref(ids);

    return ok;
}
