/*
 * gbctl import in two rooms: cmd_import.c has the verb and what is rows there
 * and here, import_software.c what has bytes.
 */

#ifndef GBCTL_CMD_IMPORT_H
#define GBCTL_CMD_IMPORT_H


#include <jansson.h>
#include <libpq-fe.h>

#include "cmd_software.h"
#include "import_source.h"


/* what came of each object */

typedef enum {
    IMPORT_ADDED = 0,
    IMPORT_UPDATED,
    IMPORT_KEPT,
    IMPORT_REFUSED,
    IMPORT_RESULTS
} import_result_e;

typedef struct {
    cli_t            *cli;
    import_source_t  *source;

    json_t           *hardware;     /* software's id there: [{model, …}] */
    json_t           *software;     /* id there: id here */
    json_t           *tags;         /* device's id: [names] */
    json_t           *rollouts;     /* in the order they decide */
    json_t           *devices;      /* not sent yet */
    uint64_t          sent;         /* of total */
    uint64_t          total;

    software_item_t  *items;        /* images to be added */
    json_t           *sources;      /* their ids there, in that order */
    size_t            nitems;
    size_t            room;

    bool              counted;      /* gooseBit counted a rollout's results */
    size_t            n[3][IMPORT_RESULTS];
    PGresult         *list;         /* object by object, with --dry-run */
} import_t;

enum { IMPORT_SOFTWARE = 0, IMPORT_ROLLOUT, IMPORT_DEVICE };


/* takes a row of gooseBit's software: what is not here yet is staged */
bool import_software_row(json_t *row, void *data);

/* registers what is staged, in the open transaction */
bool import_software_add(import_t *im) __attribute__((warn_unused_result));

/* the text under KEY, "" where it is null; borrowed */
const char *import_str(const json_t *row, const char *key);

/* calls SQL with tenant and document; see db_call() */
PGresult *import_call(import_t *im, const char *sql, const json_t *document)
    __attribute__((warn_unused_result));

/*
 * Counts what came of an object there, and says the remark (or NULL).  False
 * where memory is short.
 */
bool import_result(import_t *im, int noun, const char *id,
    const char *result, const char *remark);

/* the same for what is not taken, with the reason */
bool import_refuse(import_t *im, int noun, const char *id, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));


#endif /* GBCTL_CMD_IMPORT_H */
