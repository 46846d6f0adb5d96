/*
 * gbctl import goosebit: takes over a gooseBit 0.2.x server.
 *
 * Images are parsed and staged first, as by software add.  Then one
 * transaction registers them, rollouts and devices; rules of what is taken
 * how stand in admin_import.sql.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "cmd_import.h"
#include "db.h"
#include "out.h"
#include "token.h"


#define IMPORT_CHUNK  500       /* devices a call */


static bool import_goosebit(cli_t *cli);
static bool import_read(import_t *im);
static bool import_write(import_t *im);
static bool import_fleet(import_t *im);
static bool import_total_row(json_t *row, void *data);
static bool import_hardware_row(json_t *row, void *data);
static bool import_tag_row(json_t *row, void *data);
static bool import_user_row(json_t *row, void *data);
static bool import_rollout_row(json_t *row, void *data);
static bool import_rollouts(import_t *im);
static bool import_device_row(json_t *row, void *data);
static bool import_token(import_t *im, json_t *row);
static bool import_devices(import_t *im);
static bool import_take(import_t *im, int noun, json_t *rows,
    const char *sql);
static bool import_append(json_t *object, const char *key, json_t *value);
static bool import_summary(import_t *im);


static const cli_option_t  import_options[] = {
    { "artifacts", 0, "DIR", "a copy of gooseBit's artifacts_dir", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_verb_t  cmd_import_verbs[] = {

    { "goosebit", "URI", "devices, software, rollouts of a gooseBit 0.2.x",
      import_options, import_goosebit, 1, 1, CLI_DRY },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_import = {
    "import", "take over another server's database", cmd_import_verbs
};

static const char *const  import_nouns[] = { "software", "rollout", "device" };

static const char *const  import_results[] = {
    "added", "updated", "kept", "refused"
};


static bool
import_goosebit(cli_t *cli)
{
    bool      ok;
    char     *uri;
    size_t    i;
    import_t  im;

    memset(&im, 0, sizeof(import_t));

    im.cli = cli;
    im.hardware = json_object();
    im.software = json_object();
    im.tags = json_object();
    im.rollouts = json_array();
    im.devices = json_array();
    im.sources = json_array();
    im.list = out_make("kind id result remark");

    uri = cli_hide(cli->argv[0]);

    ok = uri != NULL && im.list != NULL
         ? cli_config(cli, 0) && db_connect(cli, DB_THIS_SCHEMA)
         : cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");

    if (ok) {
        im.source = import_source_open(cli, uri);
        ok = im.source != NULL && import_read(&im);
    }

    if (ok && !import_write(&im)) {
        software_items_undo(cli, im.items, im.nitems);
        ok = false;
    }

    ok = ok && import_summary(&im);

    for (i = 0; i < im.nitems; i++) {
        free((char *) (uintptr_t) im.items[i].source);
        software_item_free(&im.items[i]);
    }

    free(im.items);
    free(uri);
    import_source_close(im.source);
    PQclear(im.list);
    json_decref(im.hardware);
    json_decref(im.software);
    json_decref(im.tags);
    json_decref(im.rollouts);
    json_decref(im.devices);
    json_decref(im.sources);

    return ok;
}


/* what needs no lock here, the bytes of images above all */

static bool
import_read(import_t *im)
{
    return import_source_query(im->source,
               "SELECT c.software_id, h.model, h.revision"
               " FROM software_compatibility c"
               " JOIN hardware h ON h.id = c.hardware_id"
               " ORDER BY c.software_id, h.model, h.revision",
               import_hardware_row, im)

           && import_source_query(im->source,
               "SELECT t.device_id, n.name FROM device_tags t"
               " JOIN tag n ON n.id = t.tag_id",
               import_tag_row, im)

           && import_source_query(im->source,
               "SELECT id, uri, size, hash, version FROM software"
               " WHERE image_format IS NOT NULL ORDER BY id",
               import_software_row, im);
}


static bool
import_write(import_t *im)
{
    return db_begin(im->cli) && import_software_add(im)

           && import_source_query(im->source,
               "SELECT id, created_at AS created, name, feed, software_id,"
               " CASE WHEN paused THEN 'paused' END AS paused,"
               " success_count + failure_count AS counted"
               " FROM rollout"
               " ORDER BY CASE WHEN paused THEN 0 ELSE 1 END, created_at, id",
               import_rollout_row, im)
           && import_rollouts(im) && import_fleet(im)

           && import_source_query(im->source,
               "SELECT username FROM \"user\" ORDER BY username",
               import_user_row, im)

           && db_commit(im->cli);
}


static bool
import_fleet(import_t *im)
{
    bool             ok;
    out_progress_t  *bar;

    ok = import_source_query(im->source, "SELECT count(*) AS n FROM device",
                             import_total_row, im);

    bar = out_progress_count(im->cli, "devices", im->total);

    ok = ok && import_source_query(im->source,
               "SELECT d.id, d.name, h.model AS hw_model,"
               " h.revision AS hw_revision, d.sw_version, d.feed,"
               " d.update_mode AS mode, d.last_state AS state, d.progress,"
               " d.last_log AS log, d.last_seen AS seen,"
               " COALESCE(d.last_ip, d.last_ipv6) AS address,"
               " d.auth_token AS token, d.assigned_software_id AS software,"
               " CASE WHEN d.force_update THEN 'true' ELSE 'false' END"
               " AS force"
               " FROM device d JOIN hardware h ON h.id = d.hardware_id"
               " ORDER BY d.id",
               import_device_row, im)
           && import_devices(im);

    out_progress_end(bar);

    return ok;
}


static bool
import_total_row(json_t *row, void *data)
{
    import_t  *im = data;

    im->total = strtoull(import_str(row, "n"), NULL, 10);

    return true;
}


static bool
import_hardware_row(json_t *row, void *data)
{
    import_t  *im = data;

    return import_append(im->hardware, import_str(row, "software_id"),
                         json_pack("{s:O, s:O}",
                             "model", json_object_get(row, "model"),
                             "revision", json_object_get(row, "revision")));
}


static bool
import_tag_row(json_t *row, void *data)
{
    import_t  *im = data;

    return import_append(im->tags, import_str(row, "device_id"),
                         json_incref(json_object_get(row, "name")));
}


static bool
import_user_row(json_t *row, void *data)
{
    import_t  *im = data;

    cli_note(im->cli, "user %s: not taken, users here are PostgreSQL's roles",
             import_str(row, "username"));

    return true;
}


static bool
import_rollout_row(json_t *row, void *data)
{
    json_t      *software;
    import_t    *im = data;
    const char  *id;

    id = import_str(row, "software_id");
    software = json_object_get(im->software, id);

    if (software == NULL) {
        return import_refuse(im, IMPORT_ROLLOUT, import_str(row, "id"),
                             "its software %s was not taken", id);
    }

    im->counted |= strcmp(import_str(row, "counted"), "0") != 0;

    (void) json_object_set(row, "source", json_object_get(row, "id"));
    (void) json_object_set(row, "software", software);
    (void) json_object_set_new(row, "paused", json_boolean(
               json_is_string(json_object_get(row, "paused"))));

    return json_array_append(im->rollouts, row) == 0;
}


static bool
import_rollouts(import_t *im)
{
    bool  ok;

    ok = import_take(im, IMPORT_ROLLOUT, im->rollouts,
                     "SELECT source AS id, result, remark"
                     " FROM goosebit_admin.import_rollouts($1, $2)");

    if (ok && im->counted) {
        cli_note(im->cli, "rollouts: gooseBit's counts of successes and "
                 "failures are not taken, they are counted from devices");
    }

    return ok;
}


static bool
import_device_row(json_t *row, void *data)
{
    json_t      *tags, *software;
    import_t    *im = data;
    const char  *id, *wanted;

    id = import_str(row, "id");
    tags = json_object_get(im->tags, id);
    wanted = json_string_value(json_object_get(row, "software"));
    software = wanted ? json_object_get(im->software, wanted) : NULL;

    if (wanted != NULL && software == NULL) {
        cli_note(im->cli, "device %s: its assigned software %s was not taken",
                 id, wanted);
    }

    (void) json_object_set(row, "software", software ? software
                                                     : json_null());
    (void) json_object_set_new(row, "tags", tags ? json_incref(tags)
                                                 : json_array());

    return import_token(im, row)
           && json_array_append(im->devices, row) == 0
           && (json_array_size(im->devices) < IMPORT_CHUNK
               || import_devices(im));
}


/* only its digest leaves this program */

static bool
import_token(import_t *im, json_t *row)
{
    token_t      token;
    const char  *text;

    text = json_string_value(json_object_get(row, "token"));

    if (text == NULL) {
        return true;
    }

    return token_digest(im->cli, text, &token)
           && json_object_set_new(row, "token", json_string(token.digest))
              == 0;
}


static bool
import_devices(import_t *im)
{
    im->sent += json_array_size(im->devices);
    out_progress_step(im->cli->bar, im->sent);

    return import_take(im, IMPORT_DEVICE, im->devices,
                       "SELECT id, result, remark"
                       " FROM goosebit_admin.import_devices($1, $2)");
}


/* sends ROWS, which are none then, and says what came of each */

static bool
import_take(import_t *im, int noun, json_t *rows, const char *sql)
{
    int        i;
    bool       ok;
    PGresult  *res;

    res = import_call(im, sql, rows);
    ok = res != NULL;

    for (i = 0; ok && i < PQntuples(res); i++) {
        ok = import_result(im, noun, db_value(res, i, "id"),
                           db_value(res, i, "result"),
                           db_value(res, i, "remark"));
    }

    PQclear(res);
    json_array_clear(rows);

    return ok;
}


/* steals VALUE for the array under KEY */

static bool
import_append(json_t *object, const char *key, json_t *value)
{
    json_t  *array;

    array = json_object_get(object, key);

    if (array == NULL) {
        array = json_array();
        (void) json_object_set_new(object, key, array);
    }

    return json_array_append_new(array, value) == 0;
}


const char *
import_str(const json_t *row, const char *key)
{
    const char  *text;

    text = json_string_value(json_object_get(row, key));

    return text ? text : "";
}


PGresult *
import_call(import_t *im, const char *sql, const json_t *document)
{
    char      *text;
    PGresult  *res;

    text = json_dumps(document, JSON_COMPACT);

    if (text == NULL) {
        (void) cli_fail(im->cli, CLI_FAILED, "failed", NULL, "out of memory");
        return NULL;
    }

    res = db_call(im->cli, sql, 2, im->cli->tenant, text);

    free(text);

    return res;
}


bool
import_result(import_t *im, int noun, const char *id, const char *result,
    const char *remark)
{
    int    i;
    char  *shown;

    for (i = 0; i < IMPORT_RESULTS; i++) {
        im->n[noun][i] += strcmp(result, import_results[i]) == 0;
    }

    if (remark != NULL) {
        shown = out_clean(id);
        cli_note(im->cli, "%s %s: %s", import_nouns[noun], shown ? shown : "",
                 remark);
        free(shown);
    }

    return !im->cli->dry_run
           || out_make_row(im->list, import_nouns[noun], id, result, remark);
}


bool
import_refuse(import_t *im, int noun, const char *id, const char *fmt, ...)
{
    char     remark[1024];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(remark, sizeof(remark), fmt, args);
    va_end(args);

    return import_result(im, noun, id, "refused", remark);
}


static bool
import_summary(import_t *im)
{
    int        i, j;
    bool       ok;
    char       text[IMPORT_RESULTS][24];
    PGresult  *res;

    static const out_list_t  list = { "nothing to import", "id", NULL };
    static const out_list_t  sums = { "nothing", "kind", NULL };

    if (im->cli->dry_run) {
        return out_list(im->cli, &list, im->list);
    }

    res = out_make("kind added:int updated:int kept:int refused:int");
    ok = res != NULL;

    for (i = 0; ok && i < 3; i++) {

        for (j = 0; j < IMPORT_RESULTS; j++) {
            snprintf(text[j], sizeof(text[j]), "%zu", im->n[i][j]);
        }

        ok = out_make_row(res, import_nouns[i], text[IMPORT_ADDED],
                          text[IMPORT_UPDATED], text[IMPORT_KEPT],
                          text[IMPORT_REFUSED]);
    }

    ok = ok && out_list(im->cli, &sums, res);

    PQclear(res);

    return ok;
}
