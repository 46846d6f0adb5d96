/*
 * Reads CSV row by row.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gb_csv.h"
#include "gb_text.h"


static int gb_csv_field(gb_csv_t *csv, int c, int *end, gb_error_t *err);
static int gb_csv_quoted(gb_csv_t *csv, int *end, gb_error_t *err);
static int gb_csv_put(gb_csv_t *csv, int c, gb_error_t *err);
static int gb_csv_get(gb_csv_t *csv);
static int gb_csv_skip(gb_csv_t *csv);
static int gb_csv_finish(gb_csv_t *csv, gb_error_t *err);


void
gb_csv_init(gb_csv_t *csv, FILE *fp, const char *name)
{
    memset(csv, 0, sizeof(gb_csv_t));

    csv->fp = fp;
    csv->name = name;
    csv->next = 1;
}


void
gb_csv_done(gb_csv_t *csv)
{
    free(csv->text);
    csv->text = NULL;
}


int
gb_csv_row(gb_csv_t *csv, gb_error_t *err)
{
    int  c, rc;

    csv->n = 0;
    csv->len = 0;

    c = gb_csv_skip(csv);
    csv->line = csv->next;

    if (c == EOF) {
        return ferror(csv->fp)
               ? gb_error_at(err, csv->name, 0, "%s", strerror(errno))
               : GB_DECLINED;
    }

    for ( /* void */ ; /* void */ ; c = gb_csv_get(csv)) {

        if (csv->n == GB_CSV_FIELDS) {
            return gb_error_at(err, csv->name, csv->line,
                               "more than %d fields", GB_CSV_FIELDS);
        }

        csv->starts[csv->n++] = csv->len;
        rc = gb_csv_field(csv, c, &c, err);

        if (rc == GB_OK) {
            rc = gb_csv_put(csv, '\0', err);
        }

        if (rc != GB_OK) {
            return rc;
        }

        if (c != ',') {
            break;
        }
    }

    csv->next += c == '\n';

    return gb_csv_finish(csv, err);
}


/* what ends it is ',', '\n' or EOF */

static int
gb_csv_field(gb_csv_t *csv, int c, int *end, gb_error_t *err)
{
    int  rc;

    if (c == '"') {
        return gb_csv_quoted(csv, end, err);
    }

    for ( /* void */ ; c != ',' && c != '\n' && c != EOF;
         c = gb_csv_get(csv))
    {
        if (c == '"') {
            return gb_error_at(err, csv->name, csv->next,
                               "a quote inside of a field that has none "
                               "around it");
        }

        rc = gb_csv_put(csv, c, err);

        if (rc != GB_OK) {
            return rc;
        }
    }

    /* the CR of the line's end, not of the field */

    if (c == '\n' && csv->len > csv->starts[csv->n - 1]
        && csv->text[csv->len - 1] == '\r')
    {
        csv->len--;
    }

    *end = c;

    return GB_OK;
}


static int
gb_csv_quoted(gb_csv_t *csv, int *end, gb_error_t *err)
{
    int  c, rc, from;

    from = csv->next;

    for ( ;; ) {
        c = gb_csv_get(csv);

        if (c == EOF) {
            return gb_error_at(err, csv->name, from,
                               "a quote is not closed");
        }

        if (c == '"') {
            c = gb_csv_get(csv);

            if (c != '"') {
                break;
            }
        }

        csv->next += c == '\n';
        rc = gb_csv_put(csv, c, err);

        if (rc != GB_OK) {
            return rc;
        }
    }

    if (c == '\r') {
        c = gb_csv_get(csv);

        if (c == ',') {
            c = '\r';
        }
    }

    if (c != ',' && c != '\n' && c != EOF) {
        return gb_error_at(err, csv->name, csv->next,
                           "text behind a closing quote");
    }

    *end = c;

    return GB_OK;
}


static int
gb_csv_put(gb_csv_t *csv, int c, gb_error_t *err)
{
    char    *text;
    size_t   size;

    if (csv->len == csv->size) {

        if (csv->size >= GB_CSV_ROW) {
            return gb_error_at(err, csv->name, csv->line,
                               "longer than %d bytes", GB_CSV_ROW);
        }

        size = csv->size ? csv->size * 2 : 4096;
        text = realloc(csv->text, size);

        if (text == NULL) {
            return gb_error_nomem(err);
        }

        csv->text = text;
        csv->size = size;
    }

    csv->text[csv->len++] = (char) c;

    return GB_OK;
}


static int
gb_csv_get(gb_csv_t *csv)
{
    int  c;

    c = getc_unlocked(csv->fp);
    csv->bytes += c != EOF;

    return c;
}


/* the first character behind a byte order mark and empty lines */

static int
gb_csv_skip(gb_csv_t *csv)
{
    int  c;

    c = gb_csv_get(csv);

    if (csv->bytes == 1 && c == 0xef) {

        /* never the first byte of what could be meant */

        if (gb_csv_get(csv) == 0xbb && gb_csv_get(csv) == 0xbf) {
            c = gb_csv_get(csv);
        } else {
            c = 0xef;
        }
    }

    for ( /* void */ ; c == '\n' || c == '\r'; c = gb_csv_get(csv)) {
        csv->next += c == '\n';
    }

    return c;
}


static int
gb_csv_finish(gb_csv_t *csv, gb_error_t *err)
{
    size_t  i, end;

    if (csv->columns == 0) {
        csv->columns = csv->n;
    }

    if (csv->n != csv->columns) {
        return gb_error_at(err, csv->name, csv->line,
                           "%zu fields, the first line has %zu", csv->n,
                           csv->columns);
    }

    for (i = 0; i < csv->n; i++) {
        csv->fields[i] = csv->text + csv->starts[i];
        end = (i + 1 < csv->n ? csv->starts[i + 1] : csv->len) - 1;

        if (strlen(csv->fields[i]) != end - csv->starts[i]
            || !gb_text_utf8_valid(csv->fields[i], end - csv->starts[i]))
        {
            return gb_error_at(err, csv->name, csv->line,
                               "field %zu is not valid UTF-8", i + 1);
        }
    }

    return GB_OK;
}
