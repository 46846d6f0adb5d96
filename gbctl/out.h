/*
 * Printing: a PGresult as table, wide, json, jsonl, csv or name.
 *
 * The columns of the result are the JSON keys, their types (by OID) decide
 * the JSON types: integers and floats numbers, bool, json and jsonb nested,
 * arrays of text and integers arrays, timestamptz RFC 3339 in UTC, NULL
 * null, the rest strings.  A list of out_column_t only says which of them a
 * table shows, and how.
 */

#ifndef GBCTL_OUT_H
#define GBCTL_OUT_H


#include <stdint.h>

#include <libpq-fe.h>

#include "cli.h"


typedef enum {
    OUT_AUTO = 0,           /* by the column's type */
    OUT_TEXT,
    OUT_STATE,              /* coloured by the word */
    OUT_BYTES,              /* 12.3 MiB; plain bytes in JSON */
    OUT_PERCENT,            /* 42 -> 42% */
    OUT_DURATION            /* seconds -> 1h 30m */
} out_kind_e;

#define OUT_WIDE  10        /* only with -o wide */

typedef struct {
    const char  *name;      /* of the result's column, and JSON key */
    const char  *heading;   /* NULL: the name in capitals */
    out_kind_e   kind;
    int          spare;     /* OUT_WIDE, or 0 to 9: the higher goes first
                             * where there is no room, then the further
                             * right */
} out_column_t;

typedef struct {
    const char          *empty;     /* "no devices" */
    const char          *key;       /* column of -o name; NULL: the first */
    const out_column_t  *columns;   /* ends with a NULL name; NULL: all */
} out_list_t;

typedef struct out_progress_s  out_progress_t;


/*
 * Runs SQL and prints its rows as a list; jsonl, csv and name are streamed
 * in constant memory.  This is all that a list verb needs.
 */
bool out_query(cli_t *cli, const out_list_t *spec, const char *sql, int n,
    ...) __attribute__((warn_unused_result));
bool out_queryv(cli_t *cli, const out_list_t *spec, const char *sql, int n,
    const char *const *params) __attribute__((warn_unused_result));

/* the same for SQL that opens DB_CURSOR over the rows */
bool out_cursor(cli_t *cli, const out_list_t *spec, const char *sql, int n,
    ...) __attribute__((warn_unused_result));

/* prints all rows of a result as a list: JSON is an array */
bool out_list(cli_t *cli, const out_list_t *spec, const PGresult *res);

/*
 * Prints the first row as an object: a line per column in a table.  SPEC
 * (or NULL) gives kinds and headings, columns it leaves out are shown too.
 */
bool out_show(cli_t *cli, const out_list_t *spec, const PGresult *res);

/*
 * A result made here, for what no query returns: COLUMNS are names divided
 * by blanks, "NAME:bool", "NAME:int" and "NAME:json" give a type.  A new
 * result (PQclear), or NULL; out_make_row() takes a const char * or NULL for
 * each column.
 */
PGresult *out_make(const char *columns) __attribute__((warn_unused_result));
bool out_make_row(PGresult *res, ...) __attribute__((warn_unused_result));

/*
 * Text from a database or device made safe for a terminal: control characters,
 * also those of direction, become "?" or a space, NULL "-"; new, free().
 */
char *out_clean(const char *text);

/* LABEL and TEXT, made safe, in lines of words, indented by two */
void out_words(const char *label, const char *text);

/*
 * The words of TEXT, which is safe already, and a newline: the first stands in
 * column AT, and lines that would be longer than ROOM go on INDENT columns from
 * the left.  With ROOM 0 it is one line.
 */
void out_wrap(const char *text, int at, int indent, int room);

/* columns that LEN bytes of TEXT take on a screen */
int out_width(const char *text, size_t len);

/* of the terminal that is stdout, 0 where it is none */
int out_columns(void);

/* colours by state word for stdout, "" where there is no colour */
const char *out_state_color(const cli_t *cli, const char *state);
const char *out_reset(const cli_t *cli);

/* into BUF, which is returned: "12.3 MiB", "1h 30m", RFC 3339 UTC time */
char *out_bytes(int64_t bytes, char *buf, size_t size);
char *out_duration(int64_t seconds, char *buf, size_t size);
char *out_rfc3339(const char *timestamptz, char *buf, size_t size);

/* "5m ago", "in 2h", and the local date past 30 days */
char *out_when(const char *timestamptz, char *buf, size_t size);

/*
 * A progress bar on stderr, if that is a terminal and not -q; else all
 * of these do nothing.  TOTAL and DONE are bytes; TOTAL 0 is unknown.  One at
 * a time: it is cli->bar, where calls of SQL and words find it.
 */
out_progress_t *out_progress_start(cli_t *cli, const char *label,
    uint64_t total);
/* the same of things, not of bytes */
out_progress_t *out_progress_count(cli_t *cli, const char *label,
    uint64_t total);
void out_progress_total(out_progress_t *p, uint64_t total);
void out_progress_step(out_progress_t *p, uint64_t done);
/* takes it off the terminal until the next step, for a line of words */
void out_progress_clear(out_progress_t *p);
void out_progress_end(out_progress_t *p);

/* flushes stdout, and keeps for out_finish() why that failed */
void out_sync(void);

/* flushes stdout; false (and an error) where a write failed */
bool out_finish(cli_t *cli);


#endif /* GBCTL_OUT_H */
