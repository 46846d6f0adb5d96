/*
 * Tables that fit the terminal.
 *
 * libsmartcols draws; which columns there is room for is decided here.  A
 * first look at all cells gives the widths, then rows are drawn in blocks
 * with those widths, so that a long table takes no memory of its own.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include <libsmartcols.h>

#include "out.h"
#include "out_value.h"


#define OUT_COLUMNS_MAX  64
#define OUT_BLOCK        2000
#define OUT_GAP          2
#define OUT_SAME         3      /* is worth so much of out_column_t.spare */


typedef struct {
    int         field;          /* of the result */
    out_kind_e  kind;
    char        heading[48];
    int         width;
    int         whole;          /* width that cuts nothing */
    int         spare;
    bool        number;
    bool        same;           /* every row says the same: more to spare */
    bool        hidden;
} out_cell_t;

typedef struct {
    cli_t           *cli;
    const PGresult  *res;
    int              n;
    out_cell_t       columns[OUT_COLUMNS_MAX];
} out_table_t;


static void out_table_columns(out_table_t *t, const out_list_t *spec);
static void out_table_column(out_table_t *t, const out_column_t *column,
    int field);
static bool out_table_measure(out_table_t *t);
static void out_table_fit(out_table_t *t, int room);
static int out_table_width(const out_table_t *t);
static bool out_table_shrink(out_table_t *t, int room, int min, int first);
static bool out_table_hide(out_table_t *t, int room, int least);
static void out_table_refill(out_table_t *t, int room);
static void out_table_hidden(const out_table_t *t);
static bool out_table_block(const out_table_t *t, int row, int end);
static bool out_table_line(const out_table_t *t, struct libscols_line *ln,
    int row);
static char *out_cut(char *text, int width);


bool
out_table(cli_t *cli, const out_list_t *spec, const PGresult *res)
{
    int           row, end, rows;
    out_table_t  *t;

    rows = PQntuples(res);

    if (rows == 0) {
        cli_note(cli, "%s", spec && spec->empty ? spec->empty : "nothing");
        return true;
    }

    t = calloc(1, sizeof(out_table_t));

    if (t == NULL) {
        return out_nomem(cli);
    }

    t->cli = cli;
    t->res = res;

    out_table_columns(t, spec);

    if (!out_table_measure(t)) {
        free(t);
        return out_nomem(cli);
    }

    if (cli->format == CLI_TABLE && out_columns() > 0) {
        out_table_fit(t, out_columns());
    }

    scols_init_debug(0);

    for (row = 0; row < rows; row = end) {
        end = rows - row > OUT_BLOCK ? row + OUT_BLOCK : rows;

        if (!out_table_block(t, row, end)) {
            free(t);
            return out_nomem(cli);
        }
    }

    out_table_hidden(t);
    free(t);

    return true;
}


static void
out_table_columns(out_table_t *t, const out_list_t *spec)
{
    int                  i, field;
    const out_column_t  *c;

    if (spec == NULL || spec->columns == NULL) {

        for (i = 0; i < PQnfields(t->res); i++) {
            out_table_column(t, NULL, i);
        }

        return;
    }

    for (c = spec->columns; c->name != NULL; c++) {
        field = PQfnumber(t->res, c->name);

        if (field >= 0
            && (c->spare != OUT_WIDE || t->cli->format == CLI_WIDE))
        {
            out_table_column(t, c, field);
        }
    }
}


static void
out_table_column(out_table_t *t, const out_column_t *column, int field)
{
    char        *p;
    out_cell_t  *c;

    if (t->n == OUT_COLUMNS_MAX) {
        return;
    }

    c = &t->columns[t->n++];
    c->field = field;
    c->kind = column ? column->kind : OUT_AUTO;
    c->spare = column ? column->spare : 0;
    c->number = out_is_number(t->res, field);
    c->same = PQntuples(t->res) > 1;

    if (column != NULL && column->heading != NULL) {
        snprintf(c->heading, sizeof(c->heading), "%s", column->heading);

    } else {
        snprintf(c->heading, sizeof(c->heading), "%s",
                 PQfname(t->res, field));

        for (p = c->heading; *p != '\0'; p++) {
            if (*p == '_') {
                *p = ' ';

            } else if (*p >= 'a' && *p <= 'z') {
                *p = (char) (*p - 'a' + 'A');
            }
        }
    }

    c->width = out_width(c->heading, strlen(c->heading));
}


static bool
out_table_measure(out_table_t *t)
{
    int          i, row, width;
    char        *text;
    out_cell_t  *c;

    for (i = 0; i < t->n; i++) {
        c = &t->columns[i];

        for (row = 0; row < PQntuples(t->res); row++) {
            text = out_cell(t->res, row, c->field, c->kind);

            if (text == NULL) {
                return false;
            }

            width = out_width(text, strlen(text));
            c->width = width > c->width ? width : c->width;
            free(text);

            if (c->same && row > 0) {
                c->same = PQgetisnull(t->res, row, c->field)
                          == PQgetisnull(t->res, 0, c->field)
                          && strcmp(PQgetvalue(t->res, row, c->field),
                                    PQgetvalue(t->res, 0, c->field)) == 0;
            }
        }

        c->whole = c->width;
        c->spare += c->same ? OUT_SAME : 0;
    }

    return true;
}


/*
 * Long text is cut first; then dispensable columns go, as those that say the
 * same in every row, then any.  The first column, the id, is cut last, and
 * states are never hidden.  What room is left is filled again.
 */

static void
out_table_fit(out_table_t *t, int room)
{
    (void) (out_table_shrink(t, room, 16, 1)
            || out_table_hide(t, room, OUT_SAME)
            || out_table_shrink(t, room, 10, 1)
            || out_table_hide(t, room, 0)
            || out_table_shrink(t, room, 3, 0));

    out_table_refill(t, room);
}


static int
out_table_width(const out_table_t *t)
{
    int  i, width;

    width = -OUT_GAP;

    for (i = 0; i < t->n; i++) {
        if (!t->columns[i].hidden) {
            width += t->columns[i].width + OUT_GAP;
        }
    }

    return width;
}


static bool
out_table_shrink(out_table_t *t, int room, int min, int first)
{
    int          i, over;
    out_cell_t  *c, *widest;

    while ((over = out_table_width(t) - room) > 0) {

        widest = NULL;

        for (i = first; i < t->n; i++) {
            c = &t->columns[i];

            if (!c->hidden && c->width > min
                && (first == 0 || (!c->number && c->kind != OUT_STATE))
                && (widest == NULL || c->width > widest->width))
            {
                widest = c;
            }
        }

        if (widest == NULL) {
            return false;
        }

        widest->width--;
    }

    return true;
}


static bool
out_table_hide(out_table_t *t, int room, int least)
{
    int          i;
    out_cell_t  *c, *next;

    while (out_table_width(t) > room) {

        next = NULL;

        for (i = t->n - 1; i > 0; i--) {
            c = &t->columns[i];

            if (!c->hidden && c->kind != OUT_STATE && c->spare >= least
                && (next == NULL || c->spare > next->spare))
            {
                next = c;
            }
        }

        if (next == NULL) {
            return false;
        }

        next->hidden = true;
    }

    return true;
}


/* hidden columns that fit, then cut text; the least dispensable first */

static void
out_table_refill(out_table_t *t, int room)
{
    int          i, spare, left;
    out_cell_t  *c;

    for (spare = 0; spare < OUT_WIDE + OUT_SAME; spare++) {
        for (i = 1; i < t->n; i++) {
            c = &t->columns[i];

            if (c->hidden && c->spare == spare
                && out_table_width(t) + OUT_GAP + c->width <= room)
            {
                c->hidden = false;
            }
        }
    }

    for (spare = 0; spare < OUT_WIDE + OUT_SAME; spare++) {
        for (i = 0; i < t->n; i++) {
            c = &t->columns[i];
            left = room - out_table_width(t);

            if (!c->hidden && c->spare == spare && left > 0) {
                c->width += c->whole - c->width < left ? c->whole - c->width
                                                       : left;
            }
        }
    }
}


static void
out_table_hidden(const out_table_t *t)
{
    int     i;
    char    names[512];
    size_t  n;

    n = 0;

    for (i = 0; i < t->n && n < sizeof(names) - 1; i++) {
        if (t->columns[i].hidden) {
            n += (size_t) snprintf(names + n, sizeof(names) - n, "%s%s",
                                   n ? ", " : "",
                                   PQfname(t->res, t->columns[i].field));
        }
    }

    if (n > 0) {
        cli_note(t->cli, "no room for %s: try -o wide", names);
    }
}


static bool
out_table_block(const out_table_t *t, int row, int end)
{
    int                      i;
    bool                     ok;
    const out_cell_t        *c;
    struct libscols_line    *ln;
    struct libscols_table   *tb;

    tb = scols_new_table();

    if (tb == NULL) {
        return false;
    }

    ok = true;

    scols_table_set_stream(tb, stdout);
    scols_table_set_column_separator(tb, "  ");
    scols_table_enable_colors(tb, t->cli->color);
    scols_table_enable_noheadings(tb, row > 0);
    scols_table_set_termforce(tb, SCOLS_TERMFORCE_NEVER);

    for (i = 0; i < t->n; i++) {
        c = &t->columns[i];

        ok = ok && (c->hidden
                    || scols_table_new_column(tb, c->heading, c->width,
                               c->number ? SCOLS_FL_RIGHT : 0) != NULL);
    }

    for ( /* void */ ; ok && row < end; row++) {
        ln = scols_table_new_line(tb, NULL);
        ok = ln != NULL && out_table_line(t, ln, row);
    }

    if (ok) {
        scols_print_table(tb);
    }

    scols_unref_table(tb);

    return ok;
}


static bool
out_table_line(const out_table_t *t, struct libscols_line *ln, int row)
{
    int                i;
    char              *text;
    size_t             n;
    const char        *color;
    const out_cell_t  *c;

    n = 0;

    for (i = 0; i < t->n; i++) {
        c = &t->columns[i];

        if (c->hidden) {
            continue;
        }

        text = out_cell(t->res, row, c->field, c->kind);

        if (text == NULL) {
            return false;
        }

        color = c->kind == OUT_STATE ? out_state_color(t->cli, text) : "";

        if (color[0] != '\0') {
            scols_cell_set_color(scols_line_get_cell(ln, n), color);
        }

        text = out_cut(text, c->width);

        if (text == NULL) {
            return false;
        }

        /* takes the text */

        if (scols_line_refer_data(ln, n++, text) != 0) {
            free(text);
            return false;
        }
    }

    return true;
}


/* with "…" at the end; takes TEXT and gives a new one, or NULL */

static char *
out_cut(char *text, int width)
{
    int        w;
    char      *p, *cut;
    size_t     n;
    wchar_t    wc;
    mbstate_t  state;

    if (out_width(text, strlen(text)) <= width) {
        return text;
    }

    memset(&state, 0, sizeof(state));

    for (p = text; *p != '\0'; p += n) {
        n = mbrtowc(&wc, p, strlen(p), &state);

        if (n == (size_t) -1 || n == (size_t) -2) {
            break;
        }

        w = wcwidth(wc);
        w = w < 0 ? 4 * (int) n : w;

        if (width - w < 1) {
            break;
        }

        width -= w;
    }

    n = (size_t) (p - text);
    cut = realloc(text, n + sizeof("\xe2\x80\xa6"));

    if (cut == NULL) {
        free(text);
        return NULL;
    }

    memcpy(cut + n, "\xe2\x80\xa6", sizeof("\xe2\x80\xa6"));

    return cut;
}
