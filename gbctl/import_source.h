/*
 * A gooseBit 0.2.x database to be read: an SQLite file or PostgreSQL.
 */

#ifndef GBCTL_IMPORT_SOURCE_H
#define GBCTL_IMPORT_SOURCE_H


#include <jansson.h>

#include "cli.h"


typedef struct import_source_s  import_source_t;

/*
 * Takes a row: an object of strings and nulls by column; borrowed, but may be
 * changed.  False stops, after the error was reported.
 */
typedef bool (*import_row_pt)(json_t *row, void *data);


/*
 * Opens URI for reading: sqlite://PATH or a bare path, or postgres://... as
 * in gooseBit's db_uri.  All that is read is one snapshot.  A new source, or
 * NULL after the error was reported.
 */
import_source_t *import_source_open(cli_t *cli, const char *uri)
    __attribute__((warn_unused_result));

/*
 * Runs SQL that both databases understand and hands each row to ROW, as
 * strings and nulls.  Text that is not UTF-8 gets "?" for each wrong byte.
 */
bool import_source_query(import_source_t *source, const char *sql,
    import_row_pt row, void *data) __attribute__((warn_unused_result));

/* SOURCE may be NULL */
void import_source_close(import_source_t *source);


#endif /* GBCTL_IMPORT_SOURCE_H */
