/*
 * Lists and objects on stdout, in every format of -o.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libsmartcols.h>

#include "db.h"
#include "out.h"
#include "out_value.h"


#define OUT_PARAMS_MAX  32


typedef struct {
    cli_t             *cli;
    const out_list_t  *spec;
    bool               headed;      /* csv's first line is out */
} out_stream_t;


static bool out_row(PGresult *res, void *data);
static bool out_csv_row(const PGresult *res, int row);
static void out_csv_field(const char *value, const char *end);
static bool out_json_list(cli_t *cli, const PGresult *res);
static bool out_table(cli_t *cli, const out_list_t *spec,
    const PGresult *res);
static bool out_table_fill(cli_t *cli, struct libscols_table *tb,
    const PGresult *res, const int *fields, const out_kind_e *kinds, int n);
static struct libscols_table *out_table_new(const cli_t *cli);
static const out_column_t *out_column(const out_list_t *spec,
    const char *name);
static const char *out_heading(const out_column_t *column, const char *name,
    char *buf, size_t size, bool table);
static bool out_nomem(cli_t *cli);


bool
out_query(cli_t *cli, const out_list_t *spec, const char *sql, int n, ...)
{
    int          i;
    va_list      args;
    const char  *params[OUT_PARAMS_MAX];

    va_start(args, n);

    for (i = 0; i < n && i < OUT_PARAMS_MAX; i++) {
        params[i] = va_arg(args, const char *);
    }

    va_end(args);

    return out_queryv(cli, spec, sql, i, params);
}


bool
out_queryv(cli_t *cli, const out_list_t *spec, const char *sql, int n,
    const char *const *params)
{
    bool           ok;
    PGresult      *res;
    out_stream_t   stream;

    if (cli->format == CLI_JSONL || cli->format == CLI_CSV
        || cli->format == CLI_NAME)
    {
        stream.cli = cli;
        stream.spec = spec;
        stream.headed = false;

        return db_stream(cli, out_row, &stream, sql, n, params);
    }

    res = db_callv(cli, sql, n, params);

    if (res == NULL) {
        return false;
    }

    ok = out_list(cli, spec, res);

    PQclear(res);

    return ok;
}


/* all rows of a result, which in a stream is one */

static bool
out_row(PGresult *res, void *data)
{
    int            i, row;
    char          *text;
    bool           ok;
    json_t        *json;
    out_stream_t  *stream;

    stream = data;
    ok = true;

    if (stream->cli->format == CLI_CSV && !stream->headed) {
        stream->headed = true;

        for (i = 0; i < PQnfields(res); i++) {
            out_csv_field(PQfname(res, i),
                          i + 1 < PQnfields(res) ? "," : "\r\n");
        }
    }

    for (row = 0; ok && row < PQntuples(res); row++) {

        if (stream->cli->format == CLI_CSV) {
            ok = out_csv_row(res, row);

        } else if (stream->cli->format == CLI_JSONL) {
            json = out_row_json(res, row);
            ok = json != NULL
                 && json_dumpf(json, stdout, JSON_COMPACT) == 0
                 && putchar('\n') != EOF;
            json_decref(json);

        } else {
            i = stream->spec && stream->spec->key
                ? PQfnumber(res, stream->spec->key) : 0;
            text = i < 0 ? NULL : out_plain(res, row, i);
            ok = text != NULL && puts(text) != EOF;
            free(text);
        }
    }

    /* a full disk is told by out_finish(), no use in going on */

    return ok || out_finish(stream->cli);
}


static bool
out_csv_row(const PGresult *res, int row)
{
    int    i;
    char  *text;

    for (i = 0; i < PQnfields(res); i++) {
        text = out_plain(res, row, i);

        if (text == NULL) {
            return false;
        }

        out_csv_field(text, i + 1 < PQnfields(res) ? "," : "\r\n");
        free(text);
    }

    return !ferror(stdout);
}


static void
out_csv_field(const char *value, const char *end)
{
    if (strpbrk(value, ",\"\r\n") == NULL) {
        fputs(value, stdout);

    } else {
        putchar('"');

        for ( /* void */ ; *value != '\0'; value++) {
            if (*value == '"') {
                putchar('"');
            }

            putchar(*value);
        }

        putchar('"');
    }

    fputs(end, stdout);
}


bool
out_list(cli_t *cli, const out_list_t *spec, const PGresult *res)
{
    out_stream_t  stream;

    switch (cli->format) {

    case CLI_TABLE:
    case CLI_WIDE:
        return out_table(cli, spec, res);

    case CLI_JSON:
        return out_json_list(cli, res);

    case CLI_JSONL:
    case CLI_CSV:
    case CLI_NAME:
        break;
    }

    stream.cli = cli;
    stream.spec = spec;
    stream.headed = false;

    return out_row((PGresult *) res, &stream);
}


/* row by row: a tree of a million devices would be larger than the result */

static bool
out_json_list(cli_t *cli, const PGresult *res)
{
    int      row, n;
    json_t  *json;

    n = PQntuples(res);
    fputs(n ? "[\n" : "[", stdout);

    for (row = 0; row < n; row++) {
        json = out_row_json(res, row);

        if (json == NULL) {
            return out_nomem(cli);
        }

        fputs("  ", stdout);
        json_dumpf(json, stdout, 0);
        fputs(row + 1 < n ? ",\n" : "\n", stdout);
        json_decref(json);
    }

    puts("]");

    return true;
}


static bool
out_table(cli_t *cli, const out_list_t *spec, const PGresult *res)
{
    int                     i, n, field, *fields;
    char                    heading[64];
    bool                    ok;
    out_kind_e             *kinds;
    const out_column_t     *column;
    struct libscols_table  *tb;
    struct libscols_column *cl;

    if (PQntuples(res) == 0) {
        cli_note(cli, "%s", spec && spec->empty ? spec->empty : "nothing");
        return true;
    }

    tb = out_table_new(cli);
    fields = calloc((size_t) PQnfields(res) + 1, sizeof(int));
    kinds = calloc((size_t) PQnfields(res) + 1, sizeof(out_kind_e));
    ok = tb != NULL && fields != NULL && kinds != NULL;
    n = 0;

    for (i = 0; ok && n < PQnfields(res); i++) {

        if (spec != NULL && spec->columns != NULL) {
            column = &spec->columns[i];

            if (column->name == NULL) {
                break;
            }

            field = PQfnumber(res, column->name);

            if (field < 0 || (column->wide && cli->format != CLI_WIDE)) {
                continue;
            }

        } else {
            column = NULL;
            field = i;

            if (i >= PQnfields(res)) {
                break;
            }
        }

        fields[n] = field;
        kinds[n] = column ? column->kind : OUT_AUTO;

        cl = scols_table_new_column(tb,
                 out_heading(column, PQfname(res, field), heading,
                             sizeof(heading), true), 0,
                 out_is_number(res, field) ? SCOLS_FL_RIGHT
                 : n > 0 && kinds[n] == OUT_AUTO ? SCOLS_FL_TRUNC : 0);
        ok = cl != NULL;
        n++;
    }

    ok = ok && out_table_fill(cli, tb, res, fields, kinds, n);

    if (ok) {
        scols_print_table(tb);
    }

    scols_unref_table(tb);
    free(fields);
    free(kinds);

    return ok || out_nomem(cli);
}


static bool
out_table_fill(cli_t *cli, struct libscols_table *tb, const PGresult *res,
    const int *fields, const out_kind_e *kinds, int n)
{
    int                    i, row;
    char                  *text;
    const char            *color;
    struct libscols_line  *ln;

    for (row = 0; row < PQntuples(res); row++) {
        ln = scols_table_new_line(tb, NULL);

        if (ln == NULL) {
            return false;
        }

        for (i = 0; i < n; i++) {
            text = out_cell(res, row, fields[i], kinds[i]);

            if (text == NULL) {
                return false;
            }

            color = kinds[i] == OUT_STATE ? out_state_color(cli, text) : "";

            if (color[0] != '\0') {
                scols_cell_set_color(scols_line_get_cell(ln, (size_t) i),
                                     color);
            }

            /* takes the text */

            if (scols_line_refer_data(ln, (size_t) i, text) != 0) {
                free(text);
                return false;
            }
        }
    }

    return true;
}


static struct libscols_table *
out_table_new(const cli_t *cli)
{
    struct libscols_table  *tb;

    scols_init_debug(0);

    tb = scols_new_table();

    if (tb == NULL) {
        return NULL;
    }

    scols_table_set_stream(tb, stdout);
    scols_table_set_column_separator(tb, "  ");
    scols_table_enable_colors(tb, cli->color);

    /* off a terminal nothing is cut */

    if (cli->format == CLI_WIDE || !isatty(STDOUT_FILENO)) {
        scols_table_set_termforce(tb, SCOLS_TERMFORCE_NEVER);
    }

    return tb;
}


bool
out_show(cli_t *cli, const out_list_t *spec, const PGresult *res)
{
    int                  i, width, len;
    char                *text, heading[64];
    json_t              *json;
    out_kind_e           kind;
    const char          *color;
    const out_column_t  *column;

    if (PQntuples(res) == 0) {
        return cli_fail(cli, CLI_FAILED, "not_found", NULL, "not found");
    }

    if (cli->format == CLI_JSON) {
        json = out_row_json(res, 0);

        if (json == NULL) {
            return out_nomem(cli);
        }

        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
        return true;
    }

    if (cli->format != CLI_TABLE && cli->format != CLI_WIDE) {
        return out_list(cli, spec, res);
    }

    width = 0;

    for (i = 0; i < PQnfields(res); i++) {
        len = (int) strlen(out_heading(out_column(spec, PQfname(res, i)),
                                       PQfname(res, i), heading,
                                       sizeof(heading), false));
        width = len > width ? len : width;
    }

    for (i = 0; i < PQnfields(res); i++) {
        column = out_column(spec, PQfname(res, i));
        kind = column ? column->kind : OUT_AUTO;
        text = out_cell(res, 0, i, kind);

        if (text == NULL) {
            return out_nomem(cli);
        }

        color = kind == OUT_STATE ? out_state_color(cli, text) : "";

        printf("%-*s  %s%s%s\n", width,
               out_heading(column, PQfname(res, i), heading,
                           sizeof(heading), false),
               color, text, color[0] ? out_reset(cli) : "");
        free(text);
    }

    return true;
}


static const out_column_t *
out_column(const out_list_t *spec, const char *name)
{
    const out_column_t  *c;

    c = spec ? spec->columns : NULL;

    for ( /* void */ ; c != NULL && c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }

    return NULL;
}


/* HW MODEL above a column, hw model before a line */

static const char *
out_heading(const out_column_t *column, const char *name, char *buf,
    size_t size, bool table)
{
    char  *p;

    if (table && column != NULL && column->heading != NULL) {
        return column->heading;
    }

    snprintf(buf, size, "%s", name);

    for (p = buf; *p != '\0'; p++) {
        if (*p == '_') {
            *p = ' ';

        } else if (table && *p >= 'a' && *p <= 'z') {
            *p = (char) (*p - 'a' + 'A');
        }
    }

    return buf;
}


bool
out_finish(cli_t *cli)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return true;
    }

    return cli_fail(cli, CLI_FAILED, "failed", NULL,
                    "can't write to standard output: %s",
                    strerror(errno ? errno : EIO));
}


static bool
out_nomem(cli_t *cli)
{
    return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
}
