/*
 * gbctl device export: a fleet as CSV, in the columns that import takes.
 */

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cmd_device.h"
#include "db.h"
#include "out.h"
#include "out_value.h"


typedef struct {
    cli_t           *cli;
    const PGresult  *names;         /* of attributes, a column each */
    bool             headed;        /* the first line is out */
} export_t;


static bool export_csv(cli_t *cli, const device_chosen_t *chosen);
static void export_head(const PGresult *res, const PGresult *names);
static bool export_rows(PGresult *res, void *data);
static char *export_tags(const PGresult *res, int row, int column);
static bool export_attributes(const export_t *ex, const char *json);


#define EXPORT_SQL                                                           \
    "SELECT goosebit_admin.device_export($1, $2, " FILTER_SQL(3, 4, 5) ")"


bool
cmd_device_export(cli_t *cli)
{
    bool             ok;
    device_chosen_t  chosen;

    static const out_list_t  spec = { "no devices", "id", NULL };

    ok = device_choose(cli, 0, &chosen);

    if (ok && (cli->format == CLI_TABLE || cli->format == CLI_WIDE
               || cli->format == CLI_CSV))
    {
        ok = export_csv(cli, &chosen);

    } else if (ok) {
        ok = out_cursor(cli, &spec, EXPORT_SQL, 5, cli->tenant,
                        chosen.poll_time, chosen.filter.ops,
                        chosen.filter.fields, chosen.filter.values);
    }

    device_chosen_free(&chosen);

    return ok;
}


/* the names of attributes and their values, of one snapshot */

static bool
export_csv(cli_t *cli, const device_chosen_t *chosen)
{
    bool         ok;
    export_t     ex;
    PGresult    *names, *res;
    const char  *params[5];

    params[0] = cli->tenant;
    params[1] = chosen->poll_time;
    params[2] = chosen->filter.ops;
    params[3] = chosen->filter.fields;
    params[4] = chosen->filter.values;

    if (!db_begin(cli)
        || !db_run(cli, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", 0)
        || !db_run(cli, "SET LOCAL work_mem = '64MB'", 0))
    {
        return false;
    }

    names = db_callv(cli, "SELECT * FROM goosebit_admin.device_attributes($1,"
                     " $2, " FILTER_SQL(3, 4, 5) ")", 5, params);
    res = names != NULL ? db_callv(cli, EXPORT_SQL, 5, params) : NULL;
    ok = res != NULL;

    PQclear(res);

    if (ok) {
        ex.cli = cli;
        ex.names = names;
        ex.headed = false;
        ok = db_fetch(cli, export_rows, &ex) && db_commit(cli);
    }

    PQclear(names);

    return ok;
}


static void
export_head(const PGresult *res, const PGresult *names)
{
    int   i, n;
    char  name[1024];

    n = PQntuples(names);

    for (i = 0; i + 1 < PQnfields(res); i++) {
        out_csv_field(PQfname(res, i), i + 2 < PQnfields(res) || n > 0
                                       ? "," : "\r\n");
    }

    for (i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "attr.%s", PQgetvalue(names, i, 0));
        out_csv_field(name, i + 1 < n ? "," : "\r\n");
    }
}


/* attributes come last */

static bool
export_rows(PGresult *res, void *data)
{
    int        i, row, last, tags;
    bool       ok;
    char      *text;
    export_t  *ex;

    ex = data;
    ok = true;
    last = PQnfields(res) - 1;
    tags = PQfnumber(res, "tags");

    if (!ex->headed) {
        export_head(res, ex->names);
        ex->headed = true;
    }

    for (row = 0; ok && row < PQntuples(res); row++) {

        for (i = 0; ok && i < last; i++) {
            text = i == tags ? export_tags(res, row, i)
                             : out_plain(res, row, i);
            ok = text != NULL;

            if (ok) {
                out_csv_field(text, i + 1 < last || PQntuples(ex->names) > 0
                                    ? "," : "\r\n");
            }

            free(text);
        }

        ok = ok && export_attributes(ex, PQgetvalue(res, row, last));
    }

    if (!ok) {
        return out_nomem(ex->cli);
    }

    return !ferror(stdout) || out_finish(ex->cli);
}


/* "a;b", or JSON where a tag holds what divides them; new */

static char *
export_tags(const PGresult *res, int row, int column)
{
    char        *text, *out;
    size_t       i, len;
    json_t      *json, *tag;
    const char  *s;

    json = out_value_json(PQftype(res, column),
                          PQgetvalue(res, row, column));
    text = json_dumps(json, JSON_COMPACT);

    if (text == NULL || json_array_size(json) == 0) {
        free(text);
        text = json ? strdup("") : NULL;
        json_decref(json);
        return text;
    }

    /* shorter than as JSON */

    out = text;
    len = 0;

    json_array_foreach(json, i, tag) {
        s = json_string_value(tag);

        if (s[0] == '[' || s[0] == '\0' || strpbrk(s, ",; \t\r\n\"\\")) {
            break;
        }
    }

    if (i == json_array_size(json)) {
        json_array_foreach(json, i, tag) {
            s = json_string_value(tag);
            len += (size_t) sprintf(out + len, "%s%s", i ? ";" : "", s);
        }
    }

    json_decref(json);

    return text;
}


static bool
export_attributes(const export_t *ex, const char *json)
{
    int          i, n;
    json_t      *tree;
    const char  *value;

    n = PQntuples(ex->names);

    if (n == 0) {
        return true;
    }

    tree = json_loads(json, 0, NULL);

    if (tree == NULL) {
        return false;
    }

    for (i = 0; i < n; i++) {
        value = json_string_value(json_object_get(tree,
                                            PQgetvalue(ex->names, i, 0)));
        out_csv_field(value ? value : "", i + 1 < n ? "," : "\r\n");
    }

    json_decref(tree);

    return true;
}
