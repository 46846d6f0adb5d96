/*
 * One value of a PGresult as JSON or for a human; shared by out*.c alone.
 */

#ifndef GBCTL_OUT_VALUE_H
#define GBCTL_OUT_VALUE_H


#include <jansson.h>
#include <libpq-fe.h>

#include "out.h"


/* how a type is written as JSON */
typedef enum {
    OUT_CLASS_TEXT = 0,
    OUT_CLASS_BOOL,
    OUT_CLASS_INTEGER,
    OUT_CLASS_TIME,
    OUT_CLASS_TREE              /* takes out_value_json() */
} out_class_e;


out_class_e out_class(Oid type);

/* a new value that is not NULL, or NULL without memory */
json_t *out_value_json(Oid type, const char *value);

/* each row as a line of JSON; false where one can't be written */
bool out_json_lines(FILE *fp, const PGresult *res);

/* a new object with every column of the row, or NULL without memory */
json_t *out_row_json(const PGresult *res, int row);

/* the cell as text for a table, never NULL but without memory; free() */
char *out_cell(const PGresult *res, int row, int column, out_kind_e kind);

/* the cell as machines read it (csv, name): RFC 3339 times, "" for NULL */
char *out_plain(const PGresult *res, int row, int column);

/* out_list() for -o table and -o wide */
bool out_table(cli_t *cli, const out_list_t *spec, const PGresult *res);

/* a field of CSV on stdout, in quotes where it needs them, and END */
void out_csv_field(const char *value, const char *end);

/* reports that memory ran out; false */
bool out_nomem(cli_t *cli);

/* numbers stand at the right of a table's column */
bool out_is_number(const PGresult *res, int column);


#endif /* GBCTL_OUT_VALUE_H */
