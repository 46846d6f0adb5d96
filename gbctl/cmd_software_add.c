/*
 * gbctl software add.
 *
 * Files are parsed and staged first, so that nothing is locked while bytes
 * are copied or uploaded.  Then one transaction registers all, publishes the
 * staged files under the store's lock and commits: whoever sees the software
 * finds its file.  What fails on the way leaves neither.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <jansson.h>

#include <gb_text.h>

#include "cmd_software.h"
#include "db.h"
#include "out.h"


static void software_add_note(cli_t *cli, const software_item_t *item);
static bool software_add_options(cli_t *cli);
static bool software_add_hash(cli_t *cli, software_item_t *item, int fd);
static bool software_add_stage(cli_t *cli, software_item_t *item, int fd);
static bool software_add_check(cli_t *cli, const software_item_t *item);
static char *software_add_filename(cli_t *cli, const char *source,
    bool remote);
static json_t *software_add_json(cli_t *cli, const gb_image_t *image,
    const software_item_t *item, bool remote);
static bool software_add_all(cli_t *cli, software_item_t *items, size_t n);
static bool software_add_one(cli_t *cli, software_item_t *item,
    PGresult *made);


bool
software_add(cli_t *cli)
{
    bool              ok, remote;
    size_t            i, n;
    software_item_t  *items;

    remote = cli_has(cli, "url");
    n = remote ? 1 : (size_t) cli->argc;

    if (remote == (cli->argc > 0)) {
        return cli_usage(cli, remote ? "either files or --url, not both"
                                     : "names no file and no --url");
    }

    if (n > 1 && (cli_has(cli, "name") || cli_has(cli, "sha256"))) {
        return cli_usage(cli, "--name and --sha256 go with one file only");
    }

    if (!software_add_options(cli)) {
        return false;
    }

    if (!cli_config(cli, 0) || !db_connect(cli, DB_THIS_SCHEMA)) {
        return false;
    }

    items = calloc(n, sizeof(software_item_t));
    ok = items != NULL;

    for (i = 0; ok && i < n; i++) {
        items[i].source = remote ? cli_opt(cli, "url") : cli->argv[i];
        ok = software_item_prepare(cli, &items[i], remote);
    }

    ok = ok && software_add_all(cli, items, n);

    for (i = 0; items != NULL && i < n; i++) {
        if (ok) {
            software_add_note(cli, &items[i]);
        }

        software_item_free(&items[i]);
    }

    free(items);

    return ok;
}


/* gooseBit takes a bare squashfs as a bundle, RAUC on the device will not */

static void
software_add_note(cli_t *cli, const software_item_t *item)
{
    json_t      *signature;
    const char  *format;

    format = json_string_value(json_object_get(item->image, "format"));
    signature = json_object_get(json_object_get(item->image, "facts"),
                                "signature");

    if (format != NULL && strcmp(format, "rauc") == 0
        && !json_is_true(json_object_get(signature, "present")))
    {
        cli_note(cli, "%s has no signature: no device's RAUC installs it",
                 item->filename);
    }
}


static bool
software_add_options(cli_t *cli)
{
    const char  *sha256, *url;

    sha256 = cli_opt(cli, "sha256");
    url = cli_opt(cli, "url");

    if (sha256 != NULL
        && (strlen(sha256) != 64
            || strspn(sha256, "0123456789abcdefABCDEF") != 64))
    {
        return cli_usage(cli, "option \"--sha256\": \"%s\" is not 64 "
                         "hexadecimal digits", sha256);
    }

    /* which is not shown: it may hold a password */

    return url == NULL || gb_text_http(url) > 0
           || cli_usage(cli, "option \"--url\": neither http:// nor https://");
}


bool
software_item_prepare(cli_t *cli, software_item_t *item, bool remote)
{
    int   fd;
    bool  ok;

    item->filename = software_add_filename(cli, item->source, remote);
    if (item->filename == NULL) {
        return false;
    }

    fd = remote ? software_fetch(cli, item->source)
                : software_open(cli, item->source);
    if (fd < 0) {
        return false;
    }

    ok = software_item_read(cli, item, fd, remote);

    close(fd);

    return ok;
}


bool
software_item_read(cli_t *cli, software_item_t *item, int fd, bool remote)
{
    bool         ok, uploads;
    const char  *want;
    gb_image_t  *image;

    item->store = remote ? NULL : software_store(cli);

    if (!remote && item->store == NULL) {
        return false;
    }

    image = software_parse(cli, fd, remote ? item->filename : item->source);
    if (image == NULL) {
        return false;
    }

    uploads = !remote && store_uploads(item->store);
    ok = remote || uploads ? software_add_hash(cli, item, fd)
                           : software_add_stage(cli, item, fd);
    want = cli_opt(cli, "sha256");

    if (ok && want != NULL && strcasecmp(want, item->sums.sha256) != 0) {
        ok = cli_fail(cli, CLI_FAILED, "invalid", NULL,
                      "%s: SHA-256 is %s, not what --sha256 says",
                      item->filename, item->sums.sha256);
    }

    if (ok) {
        item->image = software_add_json(cli, image, item, remote);
        ok = item->image != NULL
             || cli_fail(cli, CLI_FAILED, "invalid", NULL,
                         "%s: can't be told in UTF-8", item->filename);
    }

    gb_image_free(image);

    if (ok && uploads && !cli->dry_run) {
        ok = (item->checked || software_add_check(cli, item))
             && software_add_stage(cli, item, fd);
    }

    return ok;
}


static bool
software_add_hash(cli_t *cli, software_item_t *item, int fd)
{
    bool             ok;
    gb_error_t       err;
    out_progress_t  *bar;

    bar = software_bar(cli, "hashing", fd);
    ok = gb_hash_fd(fd, item->filename, software_progress, bar, &item->sums,
                    &err) == GB_OK;
    out_progress_end(bar);

    return ok || cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s",
                          err.message);
}


static bool
software_add_stage(cli_t *cli, software_item_t *item, int fd)
{
    gb_error_t       err;
    out_progress_t  *bar;

    bar = software_bar(cli, item->filename, fd);
    item->stage = store_stage(item->store, fd, item->filename,
                              software_progress, bar, &item->sums, &err);
    out_progress_end(bar);

    return item->stage != NULL
           || cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s", err.message);
}


/* What is known to be a conflict is not uploaded first. */

static bool
software_add_check(cli_t *cli, const software_item_t *item)
{
    bool   ok;
    char  *text;

    text = json_dumps(item->image, JSON_COMPACT);
    ok = db_run(cli, "SELECT goosebit_admin.software_check($1, $2)", 2,
                cli->tenant, text);
    free(text);

    return ok;
}


static char *
software_add_filename(cli_t *cli, const char *source, bool remote)
{
    char        *filename;
    const char  *base, *wrong;

    base = strrchr(source, '/');
    filename = remote ? software_url_filename(source)
                      : strdup(base != NULL ? base + 1 : source);

    if (filename == NULL && remote) {
        cli_fail(cli, CLI_FAILED, "invalid",
                 "a space in it is written %20", "--url is not a URL");
        return NULL;
    }

    wrong = filename ? gb_store_filename_check(filename) : "is empty";

    if (wrong == NULL) {
        return filename;
    }

    cli_fail(cli, CLI_FAILED, "invalid", NULL, "file name \"%s\" %s",
             filename ? filename : "", wrong);
    free(filename);

    return NULL;
}


static json_t *
software_add_json(cli_t *cli, const gb_image_t *image,
    const software_item_t *item, bool remote)
{
    const char  *name;

    name = cli_opt(cli, "name");
    name = name ? name : image->name ? image->name : item->filename;

    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s*, s:s*,"
                     " s:s*, s:O, s:o}",
                     "name", name,
                     "version", image->version,
                     "format", gb_image_format_name(image->format),
                     "filename", item->filename,
                     "size", (json_int_t) item->sums.size,
                     "sha256", item->sums.sha256,
                     "sha1", item->sums.sha1,
                     "md5", item->sums.md5,
                     "uri", remote ? item->source : NULL,
                     "min_version", cli_opt(cli, "min-version"),
                     "note", cli_opt(cli, "note"),
                     "facts", image->facts,
                     "hardware", software_hardware(image));
}


static bool
software_add_all(cli_t *cli, software_item_t *items, size_t n)
{
    bool       ok;
    size_t     i;
    PGresult  *made;

    static const out_list_t  spec = { "nothing", "id", NULL };

    made = out_make("id:int version format name hardware:json sha256");

    ok = made != NULL && db_begin(cli);

    for (i = 0; ok && i < n; i++) {
        ok = software_add_one(cli, &items[i], made);
    }

    ok = ok && db_commit(cli);

    if (ok) {
        ok = out_list(cli, &spec, made);

    } else {
        software_items_undo(cli, items, n);
    }

    PQclear(made);

    return ok;
}


static bool
software_add_one(cli_t *cli, software_item_t *item, PGresult *made)
{
    bool       ok;
    PGresult  *res;

    res = software_item_register(cli, item);
    if (res == NULL) {
        return false;
    }

    ok = out_make_row(made, db_value(res, 0, "id"),
                      db_value(res, 0, "version"),
                      db_value(res, 0, "format"), db_value(res, 0, "name"),
                      db_value(res, 0, "hardware"), item->sums.sha256);

    PQclear(res);

    return ok;
}


PGresult *
software_item_register(cli_t *cli, software_item_t *item)
{
    char        *text;
    void        *stage;
    PGresult    *res;
    gb_error_t   err;

    text = json_dumps(item->image, JSON_COMPACT);
    res = db_call(cli, "SELECT * FROM goosebit_admin.software_add($1, $2)",
                  2, cli->tenant, text);
    free(text);

    if (res == NULL || item->stage == NULL || cli->dry_run) {
        return res;
    }

    stage = item->stage;
    item->stage = NULL;

    if (store_publish(item->store, stage, &item->created, &err) != GB_OK) {
        (void) cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s", err.message);
        PQclear(res);
        return NULL;
    }

    return res;
}


/*
 * The transaction failed: files published in it go again, unless somebody
 * else's software is made of them.  Where the database is gone too they stay,
 * whole and known to nobody.
 */

void
software_items_undo(cli_t *cli, software_item_t *items, size_t n)
{
    size_t      i;
    cli_exit_e  status;

    status = cli->status;
    db_close(cli);

    for (i = 0; i < n; i++) {
        if (items[i].created && status != CLI_NO_DB) {
            (void) software_sweep(cli, items[i].sums.sha256,
                                  items[i].filename);
        }
    }

    cli->status = status;
}


void
software_item_free(software_item_t *item)
{
    if (item->stage != NULL) {
        store_discard(item->store, item->stage);
    }

    json_decref(item->image);
    free(item->filename);
}
