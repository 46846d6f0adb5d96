/*
 * Parses filter expressions into postfix programs.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gb_filter.h"
#include "gb_filter_field.h"
#include "gb_filter_glob.h"
#include "gb_text.h"


typedef struct {
    const char         *start;
    const char         *p;          /* where it reads */
    gb_filter_scope_e   scope;
    unsigned            depth;
    gb_filter_t        *filter;
    char               *room;       /* for the program's texts, large enough */
    gb_error_t         *err;
} gb_filter_parser_t;


static int gb_filter_or(gb_filter_parser_t *ps);
static int gb_filter_and(gb_filter_parser_t *ps);
static int gb_filter_not(gb_filter_parser_t *ps);
static int gb_filter_comparison(gb_filter_parser_t *ps);
static int gb_filter_field(gb_filter_parser_t *ps,
    const gb_filter_field_t **field, const char **name);
static int gb_filter_op(gb_filter_parser_t *ps,
    const gb_filter_field_t *field, const char **op);
static int gb_filter_value(gb_filter_parser_t *ps,
    const gb_filter_field_t *field, const char *op, const char **value);
static int gb_filter_text(gb_filter_parser_t *ps, const char **text);
static int gb_filter_quoted(gb_filter_parser_t *ps);
static int gb_filter_step(gb_filter_parser_t *ps, const char *at,
    const char *op, const char *field, const char *value);
static bool gb_filter_take(gb_filter_parser_t *ps, const char *word);
static size_t gb_filter_word(const char *s);
static void gb_filter_blanks(gb_filter_parser_t *ps);
static int gb_filter_fail(gb_filter_parser_t *ps, const char *at,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));


int
gb_filter_parse(const char *expr, gb_filter_scope_e scope,
    gb_filter_t **filter, gb_error_t *err)
{
    int                 rc;
    size_t              len, room;
    gb_filter_parser_t  ps;

    *filter = NULL;
    len = strlen(expr);

    if (len > GB_FILTER_BYTES) {
        return gb_error_set(err, "column %d: the expression is longer than "
                            "%d bytes", GB_FILTER_BYTES + 1,
                            GB_FILTER_BYTES);
    }

    if (!gb_text_utf8_valid(expr, len)) {
        return gb_error_set(err, "column 1: the expression is not valid "
                            "UTF-8");
    }

    /* a glob stands there as typed and, at most doubled, translated */

    room = 3 * len + GB_FILTER_STEPS * GB_FILTER_MORE;

    memset(&ps, 0, sizeof(gb_filter_parser_t));

    ps.filter = calloc(1, sizeof(gb_filter_t) + room);

    if (ps.filter == NULL) {
        return gb_error_nomem(err);
    }

    ps.start = expr;
    ps.p = expr;
    ps.scope = scope;
    ps.room = (char *) (ps.filter + 1);
    ps.err = err;

    rc = gb_filter_or(&ps);

    if (rc == GB_OK && *ps.p != '\0') {
        rc = *ps.p == ')'
             ? gb_filter_fail(&ps, ps.p, "\")\" closes nothing")
             : gb_filter_fail(&ps, ps.p, "expected \"and\" or \"or\"; a "
                              "value with blanks or operators needs quotes");
    }

    if (rc != GB_OK) {
        gb_filter_free(ps.filter);
        return rc;
    }

    *filter = ps.filter;

    return GB_OK;
}


void
gb_filter_free(gb_filter_t *filter)
{
    free(filter);
}


static int
gb_filter_or(gb_filter_parser_t *ps)
{
    const char  *at;

    if (gb_filter_and(ps) != GB_OK) {
        return GB_ERROR;
    }

    for (at = ps->p; gb_filter_take(ps, "or"); at = ps->p) {
        if (gb_filter_and(ps) != GB_OK
            || gb_filter_step(ps, at, "or", "", "") != GB_OK)
        {
            return GB_ERROR;
        }
    }

    return GB_OK;
}


static int
gb_filter_and(gb_filter_parser_t *ps)
{
    const char  *at;

    if (gb_filter_not(ps) != GB_OK) {
        return GB_ERROR;
    }

    for (at = ps->p; gb_filter_take(ps, "and"); at = ps->p) {
        if (gb_filter_not(ps) != GB_OK
            || gb_filter_step(ps, at, "and", "", "") != GB_OK)
        {
            return GB_ERROR;
        }
    }

    return GB_OK;
}


static int
gb_filter_not(gb_filter_parser_t *ps)
{
    int          rc;
    const char  *at;

    gb_filter_blanks(ps);
    at = ps->p;

    if (*at != '(' && !gb_filter_take(ps, "not")) {
        return gb_filter_comparison(ps);
    }

    if (++ps->depth > GB_FILTER_DEPTH) {
        return gb_filter_fail(ps, at, "nested deeper than %d",
                              GB_FILTER_DEPTH);
    }

    if (*at == '(') {
        ps->p++;
        rc = gb_filter_or(ps);

        if (rc == GB_OK && *ps->p != ')') {
            return gb_filter_fail(ps, ps->p, *ps->p == '\0'
                                  ? "the \"(\" is not closed"
                                  : "expected \")\", \"and\" or \"or\"");
        }

        ps->p += rc == GB_OK;
        gb_filter_blanks(ps);

    } else {
        rc = gb_filter_not(ps) == GB_OK
             ? gb_filter_step(ps, at, "not", "", "") : GB_ERROR;
    }

    ps->depth--;

    return rc;
}


static int
gb_filter_comparison(gb_filter_parser_t *ps)
{
    const char               *at, *name, *op, *value;
    const gb_filter_field_t  *field;

    at = ps->p;
    name = op = value = NULL;
    field = NULL;

    if (gb_filter_field(ps, &field, &name) != GB_OK
        || gb_filter_op(ps, field, &op) != GB_OK
        || gb_filter_value(ps, field, op, &value) != GB_OK)
    {
        return GB_ERROR;
    }

    gb_filter_blanks(ps);

    return gb_filter_step(ps, at, op, name, value);
}


static int
gb_filter_field(gb_filter_parser_t *ps, const gb_filter_field_t **field,
    const char **name)
{
    char         why[GB_FILTER_WHY];
    size_t       len;
    const char  *at, *rest;

    at = ps->p;
    len = gb_filter_word(at);

    if (len == 0) {
        return gb_filter_fail(ps, at, at == ps->start && *at == '\0'
                              ? "the expression is empty"
                              : "expected a field, as in feed=prod");
    }

    if (len >= 5 && memcmp(at, "attr.", 5) == 0) {
        *field = &gb_filter_attr;
        *name = ps->room;
        memcpy(ps->room, "attr.", 5);
        ps->room += 5;
        ps->p += 5;

        if (gb_filter_text(ps, &rest) != GB_OK) {
            return GB_ERROR;
        }

        return rest[0] != '\0'
               ? GB_OK
               : gb_filter_fail(ps, at, "\"attr.\" needs an attribute's "
                                "name");
    }

    *field = gb_filter_field_find(at, len, why);

    if (*field == NULL) {
        return gb_filter_fail(ps, at, "%s", why);
    }

    *name = (*field)->name;

    if (ps->scope == GB_FILTER_ROLLOUT && !(*field)->rollout) {
        return gb_filter_fail(ps, at, "a rollout can't look at \"%s\", only "
                              "at id, name, hw_model, hw_revision, "
                              "sw_version, tag and attr.NAME", *name);
    }

    ps->p += len;

    return GB_OK;
}


static int
gb_filter_op(gb_filter_parser_t *ps, const gb_filter_field_t *field,
    const char **op)
{
    size_t       i;
    const char  *at;

    /* longer ones first */
    static const char *const  ops[] = {
        "!=", "<=", ">=", "=", "<", ">", "~", NULL
    };

    gb_filter_blanks(ps);
    at = ps->p;

    for (i = 0; ops[i] != NULL; i++) {
        if (strncmp(at, ops[i], strlen(ops[i])) == 0) {
            break;
        }
    }

    if (ops[i] == NULL) {
        return gb_filter_fail(ps, at, "expected = != < <= > >= or ~");
    }

    *op = ops[i];
    ps->p += strlen(ops[i]);

    return gb_filter_field_takes(field, *op)
           ? GB_OK
           : gb_filter_fail(ps, at, "\"%s\" can't be compared by %s",
                            field->name, *op);
}


static int
gb_filter_value(gb_filter_parser_t *ps, const gb_filter_field_t *field,
    const char *op, const char **value)
{
    char         why[GB_FILTER_WHY];
    size_t       len;
    const char  *at, *text;

    gb_filter_blanks(ps);
    at = ps->p;
    len = gb_filter_word(at);

    if ((len == 3 && strncasecmp(at, "and", 3) == 0)
        || (len == 2 && strncasecmp(at, "or", 2) == 0)
        || (len == 3 && strncasecmp(at, "not", 3) == 0)
        || (len == 0 && *at != '"' && *at != '\''))
    {
        return gb_filter_fail(ps, at, "expected a value; quotes hold any, "
                              "\"\" is none");
    }

    if (gb_filter_text(ps, &text) != GB_OK) {
        return GB_ERROR;
    }

    *value = text;

    if (*op != '~') {
        return gb_filter_field_value(field, op, value, &ps->room, why)
               == GB_OK ? GB_OK : gb_filter_fail(ps, at, "%s", why);
    }

    *value = ps->room;
    len = gb_filter_glob(text, ps->room);

    if (len == 0) {
        return gb_filter_fail(ps, at, "the glob has a range that ends before "
                              "it begins");
    }

    ps->room += len;

    return GB_OK;
}


/* the word or quoted text that comes next; *text is the program's */

static int
gb_filter_text(gb_filter_parser_t *ps, const char **text)
{
    size_t  len;

    *text = ps->room;

    if (*ps->p == '"' || *ps->p == '\'') {
        return gb_filter_quoted(ps);
    }

    len = gb_filter_word(ps->p);
    memcpy(ps->room, ps->p, len);
    ps->p += len;
    ps->room += len;
    *ps->room++ = '\0';

    return GB_OK;
}


static int
gb_filter_quoted(gb_filter_parser_t *ps)
{
    char         quote;
    const char  *at;

    at = ps->p;
    quote = *ps->p++;

    for ( /* void */ ; *ps->p != '\0'; ps->p++) {

        if (*ps->p == quote && *++ps->p != quote) {
            *ps->room++ = '\0';
            return GB_OK;
        }

        *ps->room++ = *ps->p;
    }

    return gb_filter_fail(ps, at, "the quote is not closed");
}


static int
gb_filter_step(gb_filter_parser_t *ps, const char *at, const char *op,
    const char *field, const char *value)
{
    gb_filter_t  *f;

    f = ps->filter;

    if (f->n == GB_FILTER_STEPS) {
        return gb_filter_fail(ps, at, "more than %d comparisons and joints",
                              GB_FILTER_STEPS);
    }

    f->ops[f->n] = op;
    f->fields[f->n] = field;
    f->values[f->n++] = value;

    return GB_OK;
}


/* steps over the word, whatever its case, and blanks around it */

static bool
gb_filter_take(gb_filter_parser_t *ps, const char *word)
{
    size_t  len;

    gb_filter_blanks(ps);
    len = strlen(word);

    if (gb_filter_word(ps->p) != len || strncasecmp(ps->p, word, len) != 0) {
        return false;
    }

    ps->p += len;
    gb_filter_blanks(ps);

    return true;
}


/* bytes up to what ends a word; "!" does in "!=" only */

static size_t
gb_filter_word(const char *s)
{
    size_t  len;

    len = strcspn(s, " \t\r\n()=!<>~\"'");

    while (s[len] == '!' && s[len + 1] != '=') {
        len += 1 + strcspn(s + len + 1, " \t\r\n()=!<>~\"'");
    }

    return len;
}


static void
gb_filter_blanks(gb_filter_parser_t *ps)
{
    ps->p += strspn(ps->p, " \t\r\n");
}


static int
gb_filter_fail(gb_filter_parser_t *ps, const char *at, const char *fmt, ...)
{
    char     text[256];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    (void) gb_error_set(ps->err, "column %zu: %s",
                        gb_text_chars(ps->start, (size_t) (at - ps->start))
                        + 1, text);

    return GB_ERROR;
}
