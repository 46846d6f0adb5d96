/*
 * gbctl software restore: the bytes of registered images back into the store,
 * where they were lost or damaged.  What is in use can't be deleted and added
 * again, and its devices have nothing else to get.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd_software.h"
#include "db.h"
#include "out.h"


static bool software_restore_file(cli_t *cli, const char *path,
    const PGresult *files, PGresult *made);
static int software_restore_find(const PGresult *files, const char *sha256,
    int row);
static bool software_restore_put(cli_t *cli, int fd, const char *filename,
    gb_hash_sums_t *sums);


bool
software_restore(cli_t *cli)
{
    int        i;
    bool       ok;
    PGresult  *files, *made;

    static const out_list_t  spec = { "nothing", "id", NULL };

    if (!cli_config(cli, 0)) {
        return false;
    }

    files = db_call(cli, "SELECT * FROM goosebit_admin.software_files($1,"
                    " NULL)", 1, cli->tenant);
    made = out_make("id:int name version filename sha256");
    ok = files != NULL && made != NULL;

    for (i = 0; ok && i < cli->argc; i++) {
        ok = software_restore_file(cli, cli->argv[i], files, made);
    }

    ok = ok && out_list(cli, &spec, made);

    PQclear(files);
    PQclear(made);

    return ok;
}


/* what it is says its digest: its name may have become another */

static bool
software_restore_file(cli_t *cli, const char *path, const PGresult *files,
    PGresult *made)
{
    int              fd, row;
    bool             ok;
    gb_error_t       err;
    gb_hash_sums_t   sums;
    out_progress_t  *bar;

    fd = software_open(cli, path);
    if (fd < 0) {
        return false;
    }

    bar = software_bar(cli, "hashing", fd);
    ok = gb_hash_fd(fd, path, software_progress, bar, &sums, &err) == GB_OK
         || cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s", err.message);
    out_progress_end(bar);

    row = ok ? software_restore_find(files, sums.sha256, 0) : -1;

    if (ok && row < 0) {
        ok = cli_fail(cli, CLI_FAILED, "not_found",
                      "\"gbctl software add\" makes one of it",
                      "%s: is no stored software's", path);
    }

    for ( ; ok && row >= 0;
          row = software_restore_find(files, sums.sha256, row + 1))
    {
        ok = software_restore_put(cli, fd, db_value(files, row, "filename"),
                                  &sums)
             && out_make_row(made, db_value(files, row, "id"),
                             db_value(files, row, "name"),
                             db_value(files, row, "version"),
                             db_value(files, row, "filename"), sums.sha256);
    }

    close(fd);

    return ok;
}


/* from ROW on; -1: there is none */

static int
software_restore_find(const PGresult *files, const char *sha256, int row)
{
    for ( ; row < PQntuples(files); row++) {
        if (db_value(files, row, "shown") == NULL
            && strcmp(db_value(files, row, "sha256"), sha256) == 0)
        {
            return row;
        }
    }

    return -1;
}


/* under the store's lock, and only if it has not been deleted meanwhile */

static bool
software_restore_put(cli_t *cli, int fd, const char *filename,
    gb_hash_sums_t *sums)
{
    int              created;
    bool             ok;
    void            *stage;
    store_t         *store;
    PGresult        *res;
    gb_error_t       err;
    gb_hash_sums_t   was = *sums;
    out_progress_t  *bar;

    store = software_store(cli);

    if (store == NULL) {
        return false;
    }

    bar = software_bar(cli, filename, fd);
    stage = store_stage(store, fd, filename, software_progress, bar, sums,
                        &err);
    out_progress_end(bar);

    if (stage == NULL) {
        return cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s", err.message);
    }

    res = NULL;
    ok = (strcmp(sums->sha256, was.sha256) == 0
          || cli_fail(cli, CLI_FAILED, "invalid", NULL,
                      "%s: changed while it was read", filename))
         && db_begin(cli)
         && (res = db_call(cli, "SELECT * FROM goosebit_admin."
                           "software_orphans(ARRAY[$1::text],"
                           " ARRAY[$2::text])", 2, sums->sha256, filename))
            != NULL
         && (PQntuples(res) == 0
             || cli_fail(cli, CLI_FAILED, "not_found", NULL,
                         "%s: its software was deleted meanwhile", filename));
    PQclear(res);

    if (!ok) {
        store_discard(store, stage);
        return false;
    }

    return (store_publish(store, stage, &created, &err) == GB_OK
            || cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s", err.message))
           && db_commit(cli);
}
