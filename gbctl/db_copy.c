/*
 * Rows to the database by COPY.
 */

#include "db.h"


bool
db_copy(cli_t *cli, const char *sql)
{
    bool       ok;
    PGresult  *res;

    res = PQexec(db_conn(cli), sql);
    ok = PQresultStatus(res) == PGRES_COPY_IN || db_fail(cli, res);

    PQclear(res);

    return ok;
}


bool
db_copy_put(cli_t *cli, const char *data, size_t len)
{
    return PQputCopyData(db_conn(cli), data, (int) len) == 1
           || db_fail(cli, NULL);
}


bool
db_copy_end(cli_t *cli, bool ok)
{
    bool       done;
    PGresult  *res;

    if (PQputCopyEnd(db_conn(cli), ok ? NULL : "given up") != 1) {
        return ok && db_fail(cli, NULL);
    }

    done = ok;

    while ((res = PQgetResult(db_conn(cli))) != NULL) {

        if (PQresultStatus(res) != PGRES_COMMAND_OK) {
            done = done && db_fail(cli, res);
        }

        PQclear(res);
    }

    return done;
}
