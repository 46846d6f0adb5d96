/*
 * Lists and objects on stdout, in every format of -o.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
static bool out_json_list(cli_t *cli, const PGresult *res);
static const out_column_t *out_column(const out_list_t *spec,
    const char *name);
static const char *out_label(const char *name, char *buf, size_t size);


static int  out_error;          /* errno of the first write that failed */


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


bool
out_cursor(cli_t *cli, const out_list_t *spec, const char *sql, int n, ...)
{
    int            i;
    bool           ok;
    va_list        args;
    PGresult      *res;
    const char    *params[OUT_PARAMS_MAX];
    out_stream_t   stream;

    va_start(args, n);

    for (i = 0; i < n && i < OUT_PARAMS_MAX; i++) {
        params[i] = va_arg(args, const char *);
    }

    va_end(args);

    stream.cli = cli;
    stream.spec = spec;
    stream.headed = false;

    /* for what the rows are joined and sorted in, on their way */

    res = db_begin(cli) && db_run(cli, "SET LOCAL work_mem = '64MB'", 0)
          ? db_callv(cli, sql, i, params) : NULL;
    ok = res != NULL;

    PQclear(res);

    if (ok && (cli->format == CLI_JSONL || cli->format == CLI_CSV
               || cli->format == CLI_NAME))
    {
        ok = db_fetch(cli, out_row, &stream);

    } else if (ok) {
        res = db_call(cli, "FETCH ALL FROM " DB_CURSOR, 0);
        ok = res != NULL && out_list(cli, spec, res);
        PQclear(res);
    }

    return ok && db_commit(cli);
}


/* all rows of a result, which in a stream are some */

static bool
out_row(PGresult *res, void *data)
{
    int            i, row;
    char          *text;
    bool           ok;
    out_stream_t  *stream;

    stream = data;
    ok = true;

    if (stream->cli->format == CLI_JSONL) {
        return out_json_lines(stdout, res)
               || (out_finish(stream->cli) && out_nomem(stream->cli));
    }

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


void
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


bool
out_show(cli_t *cli, const out_list_t *spec, const PGresult *res)
{
    int                  i, width, len, room;
    char                *text, label[64];
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
    room = cli->format == CLI_TABLE ? out_columns() : 0;

    for (i = 0; i < PQnfields(res); i++) {
        len = (int) strlen(PQfname(res, i));
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

        printf("%-*s  %s", width,
               out_label(PQfname(res, i), label, sizeof(label)), color);

        if (color[0] != '\0') {
            printf("%s%s\n", text, out_reset(cli));

        } else {
            out_wrap(text, width + 2, width + 2, room);
        }

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


/* "hw model" for hw_model */

static const char *
out_label(const char *name, char *buf, size_t size)
{
    char  *p;

    snprintf(buf, size, "%s", name);

    for (p = buf; *p != '\0'; p++) {
        if (*p == '_') {
            *p = ' ';
        }
    }

    return buf;
}


void
out_sync(void)
{
    if (fflush(stdout) != 0 && out_error == 0) {
        out_error = errno;
    }
}


bool
out_finish(cli_t *cli)
{
    out_sync();

    if (out_error == 0 && !ferror(stdout)) {
        return true;
    }

    return cli_fail(cli, CLI_FAILED, "failed", NULL,
                    "can't write to standard output: %s",
                    strerror(out_error ? out_error : EIO));
}


bool
out_nomem(cli_t *cli)
{
    return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
}
