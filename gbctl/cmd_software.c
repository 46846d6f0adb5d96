/*
 * gbctl software: the images that devices can be brought to.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "cmd.h"
#include "cmd_software.h"
#include "db.h"
#include "out.h"


static bool software_delete(cli_t *cli);
static bool software_inspect(cli_t *cli);
static bool software_inspect_show(cli_t *cli, const gb_image_t *image,
    const gb_hash_sums_t *sums);
static bool software_list(cli_t *cli);
static bool software_show(cli_t *cli);


static const cli_option_t  software_add_options[] = {
    { "min-version", 0, "V", "devices below this version don't get it", 0 },
    { "name", 0, "N", "instead of the image's own name", 0 },
    { "note", 0, "T", "a remark for those who come later", 0 },
    { "sha256", 0, "H", "refuse bytes of another SHA-256", 0 },
    { "url", 0, "URL", "devices download from there; read once now", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_option_t  software_get_options[] = {
    { "file", 'O', "FILE", "instead of its own name; - is stdout", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_option_t  software_verify_options[] = {
    { "all", 0, NULL, "all software, and what else is in the store", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_verb_t  cmd_software_verbs[] = {

    { "add", "[FILE...]", "parse, hash, store and register images",
      software_add_options, software_add, 0, CLI_ANY, CLI_DRY },

    { "delete", "SOFTWARE...", "remove what nothing uses", NULL,
      software_delete, 1, CLI_ANY, CLI_DRY },

    { "get", "SOFTWARE", "download, and check what came",
      software_get_options, software_get, 1, 1, 0 },

    { "inspect", "FILE", "parse an image without registering it", NULL,
      software_inspect, 1, 1, 0 },

    { "list", "", "all software", NULL, software_list, 0, 0, 0 },

    { "restore", "FILE...", "put back bytes that are lost or damaged", NULL,
      software_restore, 1, CLI_ANY, 0 },

    { "show", "SOFTWARE", "all about one: id, version or name:version", NULL,
      software_show, 1, 1, 0 },

    { "verify", "[SOFTWARE...]", "read stored bytes again and compare",
      software_verify_options, software_verify, 0, CLI_ANY, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_software = {
    "software", "the images devices can be brought to", cmd_software_verbs
};


static const out_column_t  software_columns[] = {
    { "id", NULL, OUT_AUTO, 0 },
    { "name", NULL, OUT_AUTO, 0 },
    { "version", NULL, OUT_AUTO, 0 },
    { "format", NULL, OUT_AUTO, 0 },
    { "size", NULL, OUT_BYTES, 0 },
    { "hardware", NULL, OUT_AUTO, 0 },
    { "devices", NULL, OUT_AUTO, 0 },
    { "rollouts", NULL, OUT_AUTO, 0 },
    { "created", NULL, OUT_AUTO, 0 },
    { "sha256", NULL, OUT_AUTO, OUT_WIDE },
    { "uri", NULL, OUT_AUTO, OUT_WIDE },
    { NULL, NULL, OUT_AUTO, 0 }
};

static const out_list_t  software_spec = { "no software", "id",
                                           software_columns };


static bool
software_list(cli_t *cli)
{
    return out_query(cli, &software_spec,
                     "SELECT * FROM goosebit_admin.software_list($1)", 1,
                     cli->tenant);
}


static bool
software_show(cli_t *cli)
{
    bool       ok;
    PGresult  *res;

    res = db_call(cli, "SELECT * FROM goosebit_admin.software_show($1, $2)",
                  2, cli->tenant, cli->argv[0]);
    if (res == NULL) {
        return false;
    }

    ok = out_show(cli, &software_spec, res);

    PQclear(res);

    return ok;
}


static bool
software_delete(cli_t *cli)
{
    int        i;
    bool       ok;
    char      *softwares;
    PGresult  *res;

    static const out_list_t  spec = { "nothing", "id", NULL };

    if (software_store(cli) == NULL) {
        return false;
    }

    softwares = db_array((size_t) cli->argc, cli->argv);
    res = db_call(cli, "SELECT * FROM goosebit_admin.software_delete($1, $2)",
                  2, cli->tenant, softwares);
    free(softwares);

    if (res == NULL) {
        return false;
    }

    ok = out_list(cli, &spec, res);

    for (i = 0; ok && !cli->dry_run && i < PQntuples(res); i++) {

        if (db_value(res, i, "uri") == NULL) {
            ok = software_sweep(cli, db_value(res, i, "sha256"),
                                db_value(res, i, "filename"));
        }
    }

    PQclear(res);

    return ok;
}


store_t *
software_store(cli_t *cli)
{
    gb_error_t  err;

    if (cli->store == NULL && cli_config(cli, 0)) {
        cli->store = store_open(cli->config, &err);

        if (cli->store == NULL) {
            cli_fail(cli, CLI_FAILED, "invalid", NULL, "%s", err.message);
        }
    }

    return cli->store;
}


bool
software_sweep(cli_t *cli, const char *sha256, const char *filename)
{
    bool         ok;
    store_t     *store;
    PGresult    *res;
    gb_error_t   err;

    store = software_store(cli);

    if (store == NULL || !db_begin(cli)) {
        return false;
    }

    res = db_call(cli, "SELECT * FROM goosebit_admin.software_orphans("
                  "ARRAY[$1::text], ARRAY[$2::text])", 2, sha256, filename);
    if (res == NULL) {
        return false;
    }

    ok = true;

    if (PQntuples(res) > 0
        && store_remove(store, sha256, filename, &err) != GB_OK)
    {
        ok = cli_fail(cli, CLI_FAILED, "io_error",
                      "\"gbctl db check --remove-files\" removes it",
                      "%s is of no software and stays in the store: %s",
                      filename, err.message);
    }

    PQclear(res);

    return db_commit(cli) && ok;
}


static bool
software_inspect(cli_t *cli)
{
    int              fd;
    bool             ok;
    gb_error_t       err;
    gb_image_t      *image;
    gb_hash_sums_t   sums;
    out_progress_t  *bar;

    if (!cli_config(cli, 0) || (fd = software_open(cli, cli->argv[0])) < 0) {
        return false;
    }

    ok = false;
    image = software_parse(cli, fd, cli->argv[0]);

    if (image != NULL) {
        bar = software_bar(cli, "hashing", fd);
        ok = gb_hash_fd(fd, cli->argv[0], software_progress, bar, &sums, &err)
             == GB_OK;
        out_progress_end(bar);

        ok = ok ? software_inspect_show(cli, image, &sums)
                : cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s",
                           err.message);
    }

    gb_image_free(image);
    close(fd);

    return ok;
}


static bool
software_inspect_show(cli_t *cli, const gb_image_t *image,
    const gb_hash_sums_t *sums)
{
    bool       ok;
    char       size[24], *hardware, *signature, *bundle;
    json_t    *facts, *list;
    PGresult  *res;

    list = software_hardware(image);
    facts = json_copy(image->facts);

    hardware = json_dumps(list, 0);
    signature = json_dumps(json_object_get(facts, "signature"),
                           JSON_ENCODE_ANY);
    json_object_del(facts, "signature");
    bundle = json_dumps(facts, 0);

    snprintf(size, sizeof(size), "%llu", (unsigned long long) sums->size);

    res = out_make("name version format size:int hardware:json sha256 sha1"
                   " md5 signature:json bundle:json");

    ok = res != NULL
         && out_make_row(res, image->name, image->version,
                         gb_image_format_name(image->format), size, hardware,
                         sums->sha256, sums->sha1, sums->md5, signature,
                         bundle)
         && out_show(cli, &software_spec, res);

    PQclear(res);
    json_decref(list);
    json_decref(facts);
    free(hardware);
    free(signature);
    free(bundle);

    return ok;
}


int
software_open(cli_t *cli, const char *path)
{
    int          fd;
    struct stat  st;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) != 0) {
        cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s: %s", path,
                 strerror(errno));

    } else if (!S_ISREG(st.st_mode)) {
        cli_fail(cli, CLI_FAILED, "invalid", NULL, "%s: not a regular file",
                 path);

    } else {
        return fd;
    }

    if (fd >= 0) {
        close(fd);
    }

    return -1;
}


gb_image_t *
software_parse(cli_t *cli, int fd, const char *name)
{
    gb_error_t          err;
    gb_image_t         *image;
    gb_image_options_t  opt;

    opt.rauc_pattern = cli->config->rauc_compatible_pattern;

    image = gb_image_parse_fd(fd, name, &opt, &err);

    if (image == NULL) {
        cli_fail(cli, CLI_FAILED, "invalid", NULL, "%s", err.message);
    }

    return image;
}


json_t *
software_hardware(const gb_image_t *image)
{
    size_t   i;
    json_t  *list;

    list = json_array();

    for (i = 0; i < image->nhardware; i++) {
        json_array_append_new(list, json_pack("{s:s, s:s}",
                              "model", image->hardware[i].model,
                              "revision", image->hardware[i].revision));
    }

    return list;
}


out_progress_t *
software_bar(cli_t *cli, const char *label, int fd)
{
    struct stat  st;

    if (fstat(fd, &st) != 0) {
        st.st_size = 0;
    }

    return out_progress_start(cli, label, (uint64_t) st.st_size);
}


void
software_progress(void *data, uint64_t done, uint64_t total)
{
    (void) total;

    out_progress_step(data, done);
}
