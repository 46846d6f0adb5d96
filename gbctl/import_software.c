/*
 * Images of a gooseBit server: those that are not here yet are parsed, hashed
 * and staged as by software add, and registered as gooseBit had them.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <curl/curl.h>

#include <gb_text.h>

#include "cmd_import.h"
#include "db.h"


static bool import_software_known(import_t *im, json_t *row, const char *id,
    json_t *hardware);
static bool import_software_here(import_t *im, const json_t *image,
    const char *id);
static bool import_software_stage(import_t *im, json_t *row, const char *id,
    json_t *hardware);
static software_item_t *import_item(import_t *im);
static char *import_path(import_t *im, const char *uri, const char *sha1);
static char *import_file(const char *dir, const char *sha1, const char *name);


bool
import_software_row(json_t *row, void *data)
{
    json_t      *hardware;
    import_t    *im = data;
    const char  *id;

    id = import_str(row, "id");
    hardware = json_object_get(im->hardware, id);

    if (hardware == NULL) {
        return import_refuse(im, IMPORT_SOFTWARE, id,
                             "fits no hardware, so nothing can be made of it");
    }

    return import_software_known(im, row, id, hardware)
           || (im->cli->status == CLI_OK
               && import_software_stage(im, row, id, hardware));
}


/*
 * True where there is nothing to be read: it is here, or can't be.  False
 * with the status still CLI_OK where it is to be staged.
 */

static bool
import_software_known(import_t *im, json_t *row, const char *id,
    json_t *hardware)
{
    bool     known;
    json_t  *image;

    image = json_pack("{s:O, s:O, s:O, s:O}",
                      "version", json_object_get(row, "version"),
                      "sha1", json_object_get(row, "hash"),
                      "size", json_object_get(row, "size"),
                      "hardware", hardware);
    known = import_software_here(im, image, id);
    json_decref(image);

    return known;
}


static bool
import_software_here(import_t *im, const json_t *image, const char *id)
{
    bool       known;
    PGresult  *res;

    res = import_call(im, "SELECT * FROM goosebit_admin.import_software($1,"
                      " $2)", image);

    if (res == NULL) {
        return false;
    }

    known = true;

    if (db_value(res, 0, "id") != NULL) {
        (void) json_object_set_new(im->software, id,
                                   json_string(db_value(res, 0, "id")));
        (void) import_result(im, IMPORT_SOFTWARE, id, "kept", NULL);

    } else if (db_value(res, 0, "other") != NULL) {
        (void) import_refuse(im, IMPORT_SOFTWARE, id,
                             "software %s here has version %s for the same "
                             "hardware", db_value(res, 0, "other"),
                             import_str(image, "version"));
    } else {
        known = false;
    }

    PQclear(res);

    return known;
}


/* true also where it can't be taken, which is then said */

static bool
import_software_stage(import_t *im, json_t *row, const char *id,
    json_t *hardware)
{
    bool              ok, remote;
    char             *path, why[CLI_HELD];
    const char       *uri;
    software_item_t  *item;

    uri = import_str(row, "uri");
    remote = gb_text_http(uri) > 0;
    path = remote ? strdup(uri)
                  : import_path(im, uri, import_str(row, "hash"));

    if (path == NULL) {
        return import_refuse(im, IMPORT_SOFTWARE, id, "no file of %s%s", uri,
                             cli_has(im->cli, "artifacts")
                             ? "" : "; --artifacts names a copy");
    }

    item = import_item(im);

    if (item == NULL) {
        free(path);
        return false;
    }

    item->source = path;
    item->checked = true;               /* what it stands for here is known */

    /* a reason to fail, elsewhere, only costs this image */

    cli_hold(im->cli, why);
    ok = software_item_prepare(im->cli, item, remote);
    cli_hold(im->cli, NULL);

    if (ok && strcasecmp(item->sums.sha1, import_str(row, "hash")) == 0) {
        (void) json_object_set(item->image, "version",
                               json_object_get(row, "version"));
        (void) json_object_set(item->image, "hardware", hardware);
        (void) json_array_append(im->sources, json_object_get(row, "id"));
        im->nitems++;
        return true;
    }

    software_item_free(item);

    (void) import_refuse(im, IMPORT_SOFTWARE, id, "%s%s", ok ? path : why,
                         ok ? " is not what gooseBit registered" : "");
    free(path);

    return true;
}


/* the next free item, zeroed, or NULL after the error was reported */

static software_item_t *
import_item(import_t *im)
{
    size_t            room;
    software_item_t  *items;

    if (im->nitems == im->room) {
        room = im->room ? im->room * 2 : 16;
        items = realloc(im->items, room * sizeof(software_item_t));

        if (items == NULL) {
            (void) cli_fail(im->cli, CLI_FAILED, "failed", NULL,
                            "out of memory");
            return NULL;
        }

        im->items = items;
        im->room = room;
    }

    memset(&im->items[im->nitems], 0, sizeof(software_item_t));

    return &im->items[im->nitems];
}


/* where the bytes of a file: or s3: URI are, or NULL; new, free() */

static char *
import_path(import_t *im, const char *uri, const char *sha1)
{
    char        *path, *found;
    CURL        *curl;
    const char  *dir, *name;

    curl = curl_easy_init();
    path = curl != NULL ? curl_easy_unescape(curl, uri, 0, NULL) : NULL;
    found = NULL;

    if (path != NULL) {
        dir = cli_opt(im->cli, "artifacts");
        name = strrchr(path, '/');
        name = name != NULL ? name + 1 : path;

        if (dir != NULL) {
            found = import_file(dir, sha1, name);

            if (found == NULL) {
                found = import_file(dir, "", name);
            }
        }

        if (found == NULL && strncmp(path, "file://", 7) == 0) {
            found = import_file(path + 7, NULL, NULL);
        }
    }

    curl_free(path);
    curl_easy_cleanup(curl);

    return found;
}


/* DIR, or DIR/SHA1/NAME, if that is a file; new, free() */

static char *
import_file(const char *dir, const char *sha1, const char *name)
{
    char         *path;
    struct stat   st;

    if (asprintf(&path, name != NULL ? "%s/%s/%s" : "%s", dir, sha1, name)
        == -1)
    {
        return NULL;
    }

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        return path;
    }

    free(path);

    return NULL;
}


bool
import_software_add(import_t *im)
{
    size_t       i;
    PGresult    *res;
    const char  *id;

    for (i = 0; i < im->nitems; i++) {
        id = json_string_value(json_array_get(im->sources, i));

        /* one before it may be what it would be a conflict with */

        if (import_software_here(im, im->items[i].image, id)) {
            continue;
        }

        res = im->cli->status == CLI_OK
              ? software_item_register(im->cli, &im->items[i]) : NULL;

        if (res == NULL) {
            return false;
        }

        (void) json_object_set_new(im->software, id,
                                   json_string(db_value(res, 0, "id")));
        (void) import_result(im, IMPORT_SOFTWARE, id, "added", NULL);

        PQclear(res);
    }

    return true;
}
