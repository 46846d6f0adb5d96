/*
 * gbctl audit: who changed what, when.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gb_duration.h>

#include "change.h"
#include "cmd.h"
#include "db.h"
#include "live.h"
#include "out.h"


#define AUDIT_LIMIT   1000      /* rows, where no other is wanted */
#define AUDIT_FOLLOW  10        /* and before what follows */


static bool cmd_audit_list(cli_t *cli);
static bool audit_follow(cli_t *cli, const char **params);
static bool audit_news(cli_t *cli, const PGresult *res);
static bool audit_table(cli_t *cli, const PGresult *res);
static char *audit_change(const PGresult *res, int row);
static bool audit_since(cli_t *cli, char *buf, size_t size);
static char *audit_time(const PGresult *res, int row, char *buf,
    size_t size);


/* parameters of audit_sql */
enum { AUDIT_SINCE = 5, AUDIT_SNAPSHOT, AUDIT_ROWS, AUDIT_PARAMS };


static const cli_option_t  audit_list_options[] = {
    { "all", 0, NULL, "of all tenants, also of those that are gone", 0 },
    { "follow", 'f', NULL, "go on until ^C", 0 },
    { "limit", 0, "N", "the newest N; 0: all (a table: 1000, -f: 10)", 0 },
    { "object", 0, "ID", "of this device, software, rollout, …", 0 },
    { "since", 0, "TIME", "a time, or an age as 2h or 7d", 0 },
    { "verb", 0, "VERB", "as device.set, or device for all of its verbs", 0 },
    { "who", 0, "ROLE", "by this login role", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_verb_t  cmd_audit_verbs[] = {

    { "list", "", "changes, newest first, with before and after",
      audit_list_options, cmd_audit_list, 0, 0, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_audit = {
    "audit", "who changed what, when", cmd_audit_verbs
};

#define audit_columns                                                         \
    "a.id, a.\"time\", a.tenant_name AS tenant, a.who, a.verb, a.object,"     \
    " a.before, a.after"

#define audit_from                                                            \
    " goosebit_admin.audit_list($1, $2, $3, $4, $5, $6, $7, $8) a "

static const char  audit_sql[] = "SELECT " audit_columns " FROM" audit_from;

/* at least one row, for the snapshot that all were taken from */

static const char  audit_news_sql[] =
    "SELECT s.snapshot, " audit_columns
    " FROM (SELECT pg_current_snapshot()::text AS snapshot) s"
    " LEFT JOIN" audit_from "ON true ORDER BY a.id";


static bool
cmd_audit_list(cli_t *cli)
{
    bool         ok, table;
    long         limit;
    char         since[64], rows[24];
    PGresult    *res;
    const char  *params[AUDIT_PARAMS];

    static const out_list_t  spec = { "no changes", "id", NULL };

    table = cli->format == CLI_TABLE || cli->format == CLI_WIDE;
    limit = cli_has(cli, "follow") ? AUDIT_FOLLOW : table ? AUDIT_LIMIT : 0;

    if (!cli_opt_int(cli, "limit", 0, 1000000000, &limit)
        || !audit_since(cli, since, sizeof(since)))
    {
        return false;
    }

    snprintf(rows, sizeof(rows), "%ld", limit);

    params[0] = cli->tenant;
    params[1] = cli_has(cli, "all") ? "t" : "f";
    params[2] = cli_opt(cli, "who");
    params[3] = cli_opt(cli, "verb");
    params[4] = cli_opt(cli, "object");
    params[AUDIT_SINCE] = since[0] ? since : NULL;
    params[AUDIT_SNAPSHOT] = NULL;
    params[AUDIT_ROWS] = limit ? rows : NULL;

    if (cli_has(cli, "follow")) {
        return audit_follow(cli, params);
    }

    if (!table) {
        return out_queryv(cli, &spec, audit_sql, AUDIT_PARAMS, params);
    }

    res = db_callv(cli, audit_sql, AUDIT_PARAMS, params);
    ok = res != NULL && audit_table(cli, res);

    if (ok && PQntuples(res) == limit && !cli_has(cli, "limit")) {
        cli_note(cli, "the newest %ld: --limit 0 lists all", limit);
    }

    PQclear(res);

    return ok;
}


/*
 * What committed since the snapshot of the call before, so that the changes
 * of a long transaction are shown, too, when they are there.
 */

static bool
audit_follow(cli_t *cli, const char **params)
{
    bool       ok;
    char      *snapshot;
    PGresult  *res;

    if (cli->format != CLI_TABLE && cli->format != CLI_WIDE
        && cli->format != CLI_JSONL)
    {
        return cli_usage(cli, "--follow goes with -o table and -o jsonl");
    }

    snapshot = NULL;

    do {
        res = db_callv(cli, audit_news_sql, AUDIT_PARAMS, params);
        ok = res != NULL && audit_news(cli, res) && out_finish(cli);

        free(snapshot);
        snapshot = ok ? strdup(db_value(res, 0, "snapshot")) : NULL;

        params[AUDIT_SNAPSHOT] = snapshot;
        params[AUDIT_ROWS] = NULL;

        PQclear(res);

    } while (snapshot != NULL && live_wait(1));

    free(snapshot);

    return false;
}


static bool
audit_news(cli_t *cli, const PGresult *res)
{
    int        row;
    bool       ok;
    char       time[64], *change, *object;
    PGresult  *line;

    for (row = 0, ok = true; ok && row < PQntuples(res); row++) {

        if (db_value(res, row, "id") == NULL) {
            continue;
        }

        if (cli->format == CLI_JSONL) {
            line = out_make("id:int time tenant who verb object before:json"
                            " after:json");
            out_rfc3339(db_value(res, row, "time"), time, sizeof(time));
            ok = line != NULL
                 && out_make_row(line, db_value(res, row, "id"), time,
                                 db_value(res, row, "tenant"),
                                 db_value(res, row, "who"),
                                 db_value(res, row, "verb"),
                                 db_value(res, row, "object"),
                                 db_value(res, row, "before"),
                                 db_value(res, row, "after"))
                 && out_list(cli, NULL, line);
            PQclear(line);
            continue;
        }

        change = audit_change(res, row);
        object = out_clean(db_value(res, row, "object"));

        printf("%s  %s  %s %s  %s\n", audit_time(res, row, time,
               sizeof(time)), db_value(res, row, "who"),
               db_value(res, row, "verb"), object ? object : "-",
               change ? change : "-");

        free(change);
        free(object);
    }

    return ok;
}


static bool
audit_table(cli_t *cli, const PGresult *res)
{
    int        row;
    bool       ok;
    char       time[64], *change;
    PGresult  *table;

    static const out_column_t  columns[] = {
        { "time", NULL, OUT_STATE, 0 },
        { "tenant", NULL, OUT_TEXT, OUT_WIDE },
        { "who", NULL, OUT_TEXT, 0 },
        { "verb", NULL, OUT_TEXT, 0 },
        { "object", NULL, OUT_TEXT, 0 },
        { "change", NULL, OUT_TEXT, 0 },
        { NULL, NULL, OUT_AUTO, 0 }
    };

    static const out_list_t  spec = { "no changes", NULL, columns };

    table = out_make("time tenant who verb object change");
    ok = table != NULL;

    for (row = 0; ok && row < PQntuples(res); row++) {
        change = audit_change(res, row);
        ok = change != NULL
             && out_make_row(table, audit_time(res, row, time, sizeof(time)),
                             db_value(res, row, "tenant"),
                             db_value(res, row, "who"),
                             db_value(res, row, "verb"),
                             db_value(res, row, "object"), change);
        free(change);
    }

    ok = ok && out_list(cli, &spec, table);

    PQclear(table);

    return ok;
}


/* in words, safe for a terminal; new, free() */

static char *
audit_change(const PGresult *res, int row)
{
    char  *text, *clean;

    text = change_text(db_value(res, row, "before"),
                       db_value(res, row, "after"));
    clean = text ? out_clean(text[0] ? text : NULL) : NULL;
    free(text);

    return clean;
}


/* to the second */

static char *
audit_time(const PGresult *res, int row, char *buf, size_t size)
{
    out_rfc3339(db_value(res, row, "time"), buf, size);

    if (strlen(buf) > 20) {
        memcpy(buf + 19, "Z", 2);
    }

    return buf;
}


/* an age, or a time of the calendar, in UTC */

static bool
audit_since(cli_t *cli, char *buf, size_t size)
{
    long         age;
    size_t       i;
    time_t       t;
    struct tm    tm;
    const char  *text, *end;

    static const char *const  forms[] = {
        "%Y-%m-%d", "%Y-%m-%d%n%H:%M", "%Y-%m-%d%n%H:%M:%S",
        "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", NULL
    };

    text = cli_opt(cli, "since");
    buf[0] = '\0';

    if (text == NULL) {
        return true;
    }

    if (gb_duration_parse(text, strlen(text), &age)) {
        t = time(NULL) - age;
        gmtime_r(&t, &tm);
        strftime(buf, size, "%Y-%m-%d %H:%M:%S+00", &tm);
        return true;
    }

    for (i = 0; forms[i] != NULL; i++) {
        memset(&tm, 0, sizeof(tm));
        end = strptime(text, forms[i], &tm);

        if (end != NULL && (strcmp(end, "") == 0 || strcmp(end, "Z") == 0)) {
            strftime(buf, size, "%Y-%m-%d %H:%M:%S+00", &tm);
            return true;
        }
    }

    return cli_usage(cli, "option \"--since\": \"%s\" is neither an age such "
                     "as 2h or 7d nor a time such as 2026-01-31T08:00Z",
                     text);
}
