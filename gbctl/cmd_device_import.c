/*
 * gbctl device import: a fleet from a CSV file, copied to the database as it
 * is read, and taken over there by one call.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include <gb_csv.h>

#include "cmd_device.h"
#include "db.h"
#include "out.h"
#include "token.h"


/* after "line", in the order of the table that is copied to */
static const char *const  import_columns[] = {
    "id", "name", "token", "hw_model", "hw_revision", "sw_version", "feed",
    "mode", "tags", NULL
};

#define IMPORT_COLUMNS  9
#define IMPORT_TOKEN    2
#define IMPORT_TAGS     8
#define IMPORT_ATTR     IMPORT_COLUMNS      /* and all above */


typedef struct {
    cli_t       *cli;
    gb_csv_t     csv;
    gb_error_t   err;
    uint64_t     size;                      /* of the file, 0: unknown */

    int          kind[GB_CSV_FIELDS];       /* of each field */
    int          at[IMPORT_COLUMNS];        /* field of each column, or -1 */
    char        *names[GB_CSV_FIELDS];      /* owned: of attributes */
    char        *given;                     /* text[] of the columns */
    bool         attributes;

    char        *line;                      /* for COPY */
    size_t       len;
    FILE        *fp;
} import_t;


static bool import_open(import_t *im, FILE **fp);
static bool import_header(import_t *im);
static bool import_column(import_t *im, size_t i, const char *name);
static bool import_rows(import_t *im);
static bool import_row(import_t *im);
static bool import_value(import_t *im, int column, const char *value);
static char *import_tags(const char *value);
static char *import_attributes(const import_t *im);
static void import_copy_text(FILE *fp, const char *s);
static bool import_take(import_t *im);
static bool import_fail(import_t *im, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


bool
cmd_device_import(cli_t *cli)
{
    bool       ok;
    FILE      *fp;
    size_t     i;
    import_t  *im;

    im = calloc(1, sizeof(import_t));

    if (im == NULL) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    im->cli = cli;
    ok = import_open(im, &fp);

    if (ok) {
        gb_csv_init(&im->csv, fp, strcmp(cli->argv[0], "-") == 0
                                  ? "standard input" : cli->argv[0]);

        im->fp = open_memstream(&im->line, &im->len);

        ok = im->fp != NULL
             ? import_header(im) && db_begin(cli)
               && db_run(cli, "SELECT goosebit_admin.device_import_begin()",
                         0)
               && import_rows(im) && import_take(im)
             : cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");

        gb_csv_done(&im->csv);

        if (fp != stdin) {
            fclose(fp);
        }
    }

    if (im->fp != NULL) {
        fclose(im->fp);
    }

    for (i = 0; i < GB_CSV_FIELDS; i++) {
        free(im->names[i]);
    }

    free(im->line);
    free(im->given);
    free(im);

    return ok;
}


static bool
import_open(import_t *im, FILE **fp)
{
    struct stat   st;
    const char   *name;

    name = im->cli->argv[0];
    *fp = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");

    if (*fp == NULL) {
        return cli_fail(im->cli, CLI_FAILED,
                        errno == ENOENT ? "not_found" : "failed", NULL,
                        "%s: %s", name, strerror(errno));
    }

    if (fstat(fileno(*fp), &st) == 0 && S_ISREG(st.st_mode)) {
        im->size = (uint64_t) st.st_size;
    }

    return true;
}


static bool
import_header(import_t *im)
{
    int          rc;
    size_t       i, n;
    const char  *given[IMPORT_COLUMNS];

    for (i = 0; i < IMPORT_COLUMNS; i++) {
        im->at[i] = -1;
    }

    rc = gb_csv_row(&im->csv, &im->err);

    if (rc == GB_DECLINED) {
        return cli_fail(im->cli, CLI_FAILED, "invalid", NULL,
                        "%s: empty, not even a header line", im->csv.name);
    }

    if (rc != GB_OK) {
        return import_fail(im, NULL);
    }

    for (i = 0; i < im->csv.n; i++) {
        if (!import_column(im, i, im->csv.fields[i])) {
            return false;
        }
    }

    if (im->at[0] < 0) {
        return import_fail(im, "no column \"id\"");
    }

    for (i = 0, n = 0; i < IMPORT_COLUMNS; i++) {
        if (im->at[i] >= 0) {
            given[n++] = import_columns[i];
        }
    }

    im->given = db_array(n, given);

    return im->given != NULL
           || cli_fail(im->cli, CLI_FAILED, "failed", NULL, "out of memory");
}


static bool
import_column(import_t *im, size_t i, const char *name)
{
    int          k;
    size_t       n;
    const char  *near;

    if (strncmp(name, "attr.", 5) == 0 && name[5] != '\0') {

        for (n = 0; n < i; n++) {
            if (im->names[n] != NULL && strcmp(im->names[n], name + 5) == 0) {
                return import_fail(im, "column \"%s\" is there twice", name);
            }
        }

        im->kind[i] = IMPORT_ATTR;
        im->attributes = true;
        im->names[i] = strdup(name + 5);

        return im->names[i] != NULL
               || cli_fail(im->cli, CLI_FAILED, "failed", NULL,
                           "out of memory");
    }

    for (k = 0; import_columns[k] != NULL; k++) {

        if (strcmp(import_columns[k], name) != 0) {
            continue;
        }

        if (im->at[k] >= 0) {
            return import_fail(im, "column \"%s\" is there twice", name);
        }

        im->kind[i] = k;
        im->at[k] = (int) i;
        return true;
    }

    if (im->csv.n == 1 && name[strcspn(name, ";\t|")] != '\0') {
        return import_fail(im, "unknown column \"%s\": commas divide "
                           "columns", name);
    }

    near = cli_nearest(name, import_columns);

    return near ? import_fail(im, "unknown column \"%s\", did you mean "
                              "\"%s\"?", name, near)
                : import_fail(im, "unknown column \"%s\", not id, name, "
                              "token, hw_model, hw_revision, sw_version, "
                              "feed, mode, tags or attr.NAME", name);
}


static bool
import_rows(import_t *im)
{
    int              rc;
    bool             ok;
    out_progress_t  *bar;

    ok = db_copy(im->cli, "COPY pg_temp.goosebit_import FROM STDIN");

    if (!ok) {
        return false;
    }

    bar = out_progress_start(im->cli, "reading", im->size);

    while (ok && (rc = gb_csv_row(&im->csv, &im->err)) == GB_OK) {
        ok = import_row(im) && db_copy_put(im->cli, im->line, im->len);
        out_progress_step(bar, im->csv.bytes);
    }

    out_progress_end(bar);

    if (ok && rc != GB_DECLINED) {
        ok = import_fail(im, NULL);
    }

    return db_copy_end(im->cli, ok) && ok;
}


static bool
import_row(import_t *im)
{
    int    k;
    bool   ok;
    char  *json;

    rewind(im->fp);
    fprintf(im->fp, "%d", im->csv.line);

    ok = true;

    for (k = 0; ok && k < IMPORT_COLUMNS; k++) {
        putc('\t', im->fp);

        if (im->at[k] < 0 || im->csv.fields[im->at[k]][0] == '\0') {
            fputs("\\N", im->fp);
        } else {
            ok = import_value(im, k, im->csv.fields[im->at[k]]);
        }
    }

    if (ok && im->csv.fields[im->at[0]][0] == '\0') {
        return import_fail(im, "the id is empty");
    }

    putc('\t', im->fp);

    if (ok && im->attributes) {
        json = import_attributes(im);
        ok = json != NULL;

        if (ok) {
            import_copy_text(im->fp, json);
        }

        free(json);

    } else {
        fputs("\\N", im->fp);
    }

    putc('\n', im->fp);

    return ok && fflush(im->fp) == 0;
}


static bool
import_value(import_t *im, int column, const char *value)
{
    char     *tags;
    size_t    n;
    token_t   token;

    switch (column) {

    case IMPORT_TOKEN:

        for (n = 0; value[n] > ' ' && value[n] < 127; n++) {
            /* void */
        }

        if (value[n] != '\0' || n > TOKEN_MAX) {
            return import_fail(im, "token: 1 to %d visible ASCII characters "
                               "and no blanks", TOKEN_MAX);
        }

        if (!token_digest(im->cli, value, &token)) {
            return false;
        }

        import_copy_text(im->fp, token.digest);
        return true;

    case IMPORT_TAGS:
        tags = import_tags(value);

        if (tags == NULL) {
            return import_fail(im, "tags: neither words divided by \";\" nor "
                               "a JSON array of strings");
        }

        import_copy_text(im->fp, tags);
        free(tags);
        return true;

    default:
        import_copy_text(im->fp, value);
        return true;
    }
}


/* "a;b c" or ["a","b c"] as a literal of text[], new; NULL for neither */

static char *
import_tags(const char *value)
{
    char        *copy, *p, *array, *save;
    size_t       i, n;
    json_t      *json, *item;
    const char  *tags[128] = { NULL };

    n = 0;
    copy = NULL;
    json = NULL;

    if (value[0] == '[') {
        json = json_loads(value, 0, NULL);

        if (json == NULL || json_array_size(json) > 128) {
            json_decref(json);
            return NULL;
        }

        json_array_foreach(json, i, item) {
            if (!json_is_string(item)) {
                json_decref(json);
                return NULL;
            }

            tags[n++] = json_string_value(item);
        }

    } else {
        copy = strdup(value);
        save = NULL;

        for (p = copy ? strtok_r(copy, ",; \t\r\n", &save) : NULL; p != NULL;
             p = strtok_r(NULL, ",; \t\r\n", &save))
        {
            if (n == 128) {
                free(copy);
                return NULL;
            }

            tags[n++] = p;
        }
    }

    array = db_array(n, tags);

    free(copy);
    json_decref(json);

    return array;
}


static char *
import_attributes(const import_t *im)
{
    char    *text;
    size_t   i;
    json_t  *json;

    json = json_object();

    for (i = 0; i < im->csv.n; i++) {
        if (im->names[i] != NULL) {
            json_object_set_new(json, im->names[i],
                                im->csv.fields[i][0] != '\0'
                                ? json_string(im->csv.fields[i])
                                : json_null());
        }
    }

    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    return text;
}


static void
import_copy_text(FILE *fp, const char *s)
{
    for ( /* void */ ; *s != '\0'; s++) {

        switch (*s) {

        case '\\':
            fputs("\\\\", fp);
            break;

        case '\t':
            fputs("\\t", fp);
            break;

        case '\n':
            fputs("\\n", fp);
            break;

        case '\r':
            fputs("\\r", fp);
            break;

        default:
            putc(*s, fp);
        }
    }
}


/* which devices for machines and dry runs, how many for all */

static bool
import_take(import_t *im)
{
    bool         ok;
    cli_t       *cli;
    PGresult    *res;
    const char  *added;

    static const out_list_t  spec = { "nothing changes", "id", NULL };

    cli = im->cli;

    res = db_call(cli, "SELECT * FROM goosebit_admin.device_import($1, $2,"
                  " $3)", 3, cli->tenant, im->csv.name, im->given);

    ok = res != NULL
         && ((cli->format == CLI_TABLE && !cli->dry_run)
             || out_query(cli, &spec, "SELECT * FROM"
                          " goosebit_admin.device_imported()", 0))
         && db_commit(cli);

    if (ok) {
        added = db_value(res, 0, "added");
        cli_note(cli, "%s%s device%s added, %s updated, %s so already",
                 cli_dry(cli), added, strcmp(added, "1") == 0 ? "" : "s",
                 db_value(res, 0, "updated"), db_value(res, 0, "same"));
    }

    PQclear(res);

    return ok;
}


/* with the line, or what the reader said */

static bool
import_fail(import_t *im, const char *fmt, ...)
{
    va_list  args;

    if (fmt != NULL) {
        va_start(args, fmt);
        (void) gb_error_vat(&im->err, im->csv.name, im->csv.line, fmt, args);
        va_end(args);
    }

    return cli_fail(im->cli, CLI_FAILED, "invalid", NULL, "%s",
                    im->err.message);
}
