/*
 * gbctl db check: rows that break a rule, files that are missing and files
 * that nobody knows.  What is in the files is "software verify"'s.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd_db.h"
#include "cmd_software.h"
#include "db.h"
#include "out.h"


typedef struct {
    PGresult  *files;           /* of the database, by bytes */
    bool      *there;           /* for each, whether the store has it */
    size_t     n;
    char     **strays;          /* "DIGEST/NAME" of others; owned */
} check_t;


typedef struct {
    PGresult  *found;
    time_t     before;          /* what began earlier is ended */
} check_uploads_t;


static PGresult *check_list(cli_t *cli);
static bool check_walk(cli_t *cli, check_t *c);
static int check_file(void *data, const char *sha256, const char *filename);
static int check_find(const PGresult *files, const char *sha256,
    const char *filename);
static bool check_missing(const check_t *c, const PGresult *after,
    PGresult *found);
static bool check_strays(cli_t *cli, check_t *c, const PGresult *after,
    PGresult *found);
static bool check_remove(cli_t *cli, const check_t *c);
static int check_upload(void *data, const char *sha256, const char *filename,
    const char *began, bool *end);


bool
db_check_rows(cli_t *cli, PGresult *found)
{
    int        row;
    bool       ok;
    PGresult  *res;

    res = db_call(cli, "SELECT * FROM goosebit_admin.db_check()", 0);
    ok = res != NULL;

    for (row = 0; ok && row < PQntuples(res); row++) {
        ok = out_make_row(found, db_value(res, row, "kind"),
                          db_value(res, row, "tenant"),
                          db_value(res, row, "object"),
                          db_value(res, row, "damage"));
    }

    PQclear(res);

    return ok;
}


/*
 * Software comes and goes meanwhile: missing is only what is in the database
 * before and after looking, nobody's only what then is in it neither time.
 */

bool
db_check_files(cli_t *cli, PGresult *found, int *strays)
{
    int        missing;
    bool       ok;
    check_t    c;
    PGresult  *after;

    memset(&c, 0, sizeof(check_t));

    after = NULL;
    c.files = check_list(cli);
    ok = c.files != NULL;

    if (ok) {
        c.there = calloc((size_t) PQntuples(c.files) + 1, sizeof(bool));
        ok = c.there != NULL
             ? check_walk(cli, &c) && (after = check_list(cli)) != NULL
             : cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    ok = ok && check_missing(&c, after, found);
    missing = PQntuples(found);

    ok = ok && check_strays(cli, &c, after, found);
    *strays = PQntuples(found) - missing;

    while (c.n > 0) {
        free(c.strays[--c.n]);
    }

    free(c.strays);
    free(c.there);
    PQclear(c.files);
    PQclear(after);

    return ok;
}


static PGresult *
check_list(cli_t *cli)
{
    return db_call(cli, "SELECT * FROM goosebit_admin.db_files()", 0);
}


static bool
check_walk(cli_t *cli, check_t *c)
{
    int          rc;
    store_t     *store;
    gb_error_t   err;

    store = software_store(cli);

    if (store == NULL) {
        return false;
    }

    memset(&err, 0, sizeof(gb_error_t));
    rc = store_walk(store, check_file, c, &err);

    return rc == GB_OK
           || cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s",
                       err.message[0] ? err.message : "out of memory");
}


static int
check_file(void *data, const char *sha256, const char *filename)
{
    int       row;
    char    **strays;
    check_t  *c;

    c = data;
    row = check_find(c->files, sha256, filename);

    if (row >= 0) {
        c->there[row] = true;
        return GB_OK;
    }

    strays = realloc(c->strays, (c->n + 1) * sizeof(char *));

    if (strays == NULL) {
        return GB_ERROR;
    }

    c->strays = strays;

    if (asprintf(&strays[c->n], "%s/%s", sha256, filename) < 0) {
        return GB_ERROR;
    }

    c->n++;

    return GB_OK;
}


/* its row, or -1 */

static int
check_find(const PGresult *files, const char *sha256, const char *filename)
{
    int  low, high, middle, order;

    low = 0;
    high = PQntuples(files) - 1;

    while (low <= high) {
        middle = (low + high) / 2;
        order = strcmp(sha256, db_value(files, middle, "sha256"));

        if (order == 0) {
            order = strcmp(filename, db_value(files, middle, "filename"));
        }

        if (order == 0) {
            return middle;
        }

        if (order < 0) {
            high = middle - 1;

        } else {
            low = middle + 1;
        }
    }

    return -1;
}


static bool
check_missing(const check_t *c, const PGresult *after, PGresult *found)
{
    int          row;
    bool         ok;
    char        *object, *damage;
    const char  *sha256, *filename;

    for (row = 0, ok = true; ok && row < PQntuples(c->files); row++) {
        sha256 = db_value(c->files, row, "sha256");
        filename = db_value(c->files, row, "filename");

        if (c->there[row] || check_find(after, sha256, filename) < 0) {
            continue;
        }

        object = NULL;
        damage = NULL;

        ok = asprintf(&object, "%s/%s", sha256, filename) >= 0
             && asprintf(&damage, "is missing, and is software %s",
                         db_value(c->files, row, "software")) >= 0
             && out_make_row(found, "file", NULL, object, damage);

        free(object);
        free(damage);
    }

    return ok;
}


static bool
check_strays(cli_t *cli, check_t *c, const PGresult *after, PGresult *found)
{
    bool         ok;
    char         sha256[65];
    size_t       i, n;
    const char  *damage;

    for (i = 0, n = 0; i < c->n; i++) {
        snprintf(sha256, sizeof(sha256), "%s", c->strays[i]);

        if (check_find(after, sha256, c->strays[i] + 65) < 0) {
            c->strays[n++] = c->strays[i];

        } else {
            free(c->strays[i]);
        }
    }

    c->n = n;
    damage = "belongs to no software";
    ok = true;

    if (cli_has(cli, "remove-files") && n > 0) {
        damage = "belongs to no software, is removed now";
        ok = check_remove(cli, c);
    }

    for (i = 0; ok && i < n; i++) {
        ok = out_make_row(found, "file", NULL, c->strays[i], damage);
    }

    return ok;
}


/* asks: with the wrong database all files are nobody's */

static bool
check_remove(cli_t *cli, const check_t *c)
{
    bool    ok;
    char    sha256[65];
    size_t  i;

    ok = cli_confirm(cli, "remove %zu stored file%s of no software of the "
                     "database \"%s\"?", c->n,
                     c->n == 1 ? " that is" : "s that are",
                     PQdb(db_conn(cli)));

    for (i = 0; ok && i < c->n; i++) {
        snprintf(sha256, sizeof(sha256), "%s", c->strays[i]);
        ok = software_sweep(cli, sha256, c->strays[i] + 65);
    }

    return ok;
}


bool
db_check_uploads(cli_t *cli, PGresult *found, long age, int *all)
{
    int               rc;
    store_t          *store;
    gb_error_t        err;
    check_uploads_t   u;

    store = software_store(cli);

    if (store == NULL) {
        return false;
    }

    memset(&err, 0, sizeof(gb_error_t));

    u.found = found;
    u.before = age < 0 ? 0 : time(NULL) - age;

    *all = PQntuples(found);
    rc = store_uploads_walk(store, check_upload, &u, &err);
    *all = PQntuples(found) - *all;

    return rc == GB_OK
           || cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s",
                       err.message[0] ? err.message : "out of memory");
}


static int
check_upload(void *data, const char *sha256, const char *filename,
    const char *began, bool *end)
{
    int               rc;
    char             *object, *what;
    struct tm         tm;
    check_uploads_t  *u = data;

    memset(&tm, 0, sizeof(struct tm));
    object = NULL;
    what = NULL;

    *end = strptime(began, "%Y-%m-%dT%H:%M:%S", &tm) != NULL
           && timegm(&tm) < u->before;

    rc = asprintf(&object, "%s/%s", sha256, filename) >= 0
         && asprintf(&what, "was begun at %s and not completed%s", began,
                     *end ? ", is ended now" : "") >= 0
         && out_make_row(u->found, "upload", NULL, object, what)
         ? GB_OK : GB_ERROR;

    free(object);
    free(what);

    return rc;
}
