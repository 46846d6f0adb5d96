/*
 * gb_csv: reads CSV (RFC 4180) row by row, in memory for one row.
 *
 * Rows end with CRLF or LF, the last may lack it.  A field in quotes may hold
 * commas, line ends and doubled quotes.  A byte order mark and empty lines are
 * passed over.  Fields are UTF-8 without NUL; every row has as many as the
 * first.
 */

#ifndef GB_CSV_H
#define GB_CSV_H


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "gb_error.h"


#define GB_CSV_ROW     (1 << 20)    /* bytes of a row */
#define GB_CSV_FIELDS  1024         /* of a row */


typedef struct {
    FILE        *fp;            /* borrowed */
    const char  *name;          /* of the file, for errors; borrowed */
    uint64_t     bytes;         /* read so far */
    int          line;          /* where the row began, from 1 */
    size_t       n;             /* fields of the row */
    const char  *fields[GB_CSV_FIELDS];

    /* private */
    char        *text;
    size_t       len;
    size_t       size;
    size_t       starts[GB_CSV_FIELDS];
    size_t       columns;       /* fields of the first row, 0 before it */
    int          next;          /* line that comes next */
} gb_csv_t;


/* ready to read; gb_csv_done() frees what it comes to hold */
void gb_csv_init(gb_csv_t *csv, FILE *fp, const char *name);
void gb_csv_done(gb_csv_t *csv);

/*
 * The next row: fields and n are valid until the next call.  GB_DECLINED at
 * the end; GB_ERROR with "NAME:LINE: …"; GB_NOMEM.
 */
int gb_csv_row(gb_csv_t *csv, gb_error_t *err) GB_MUST_CHECK;


#endif /* GB_CSV_H */
