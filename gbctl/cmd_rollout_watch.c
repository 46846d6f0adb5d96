/*
 * gbctl rollout watch: a live picture on a terminal, elsewhere a line whenever
 * something changed.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd_rollout.h"
#include "db.h"
#include "live.h"
#include "out.h"


#define WATCH_DEVICES  10       /* lines of devices under the bar */
#define WATCH_BAR      40       /* columns */
#define WATCH_SHARE    10       /* of the time, at most one part looking … */
#define WATCH_PAUSE    60       /* … but a look this often, seconds */


typedef struct {
    bool   live;
    bool   over;                /* nothing more will happen, … */
    char  *why;                 /* … and it is not finished; owned */
    char  *last;                /* line printed last; owned */
    int    pause;               /* until the next look, seconds */
} watch_t;


static bool watch_look(cli_t *cli, void *data);
static int watch_pause(const struct timespec *since);
static void watch_over(watch_t *w, const PGresult *res);
static bool watch_line(cli_t *cli, watch_t *w, const PGresult *res);
static bool watch_picture(cli_t *cli, const PGresult *res);
static void watch_bar(const PGresult *res);
static bool watch_devices(cli_t *cli);
static long watch_count(const PGresult *res, const char *column);
static long watch_done(const PGresult *res);


bool
rollout_watch(cli_t *cli)
{
    bool     ok;
    watch_t  w;

    memset(&w, 0, sizeof(watch_t));

    w.live = live_begin(cli);

    do {
        ok = live_draw(cli, watch_look, &w) && out_finish(cli);
    } while (ok && !w.over && live_wait(w.pause));

    live_end();

    /* the last picture stays */

    ok = ok && (!w.live || watch_look(cli, &w));

    if (ok && (!w.over || w.why != NULL)) {
        ok = cli_fail(cli, CLI_FAILED, "not_finished", NULL,
                      "rollout \"%s\": %s", cli->argv[0],
                      w.over ? w.why : "not finished yet");
    }

    free(w.why);
    free(w.last);

    return ok;
}


static bool
watch_look(cli_t *cli, void *data)
{
    bool             ok;
    watch_t         *w;
    PGresult        *res;
    struct timespec  since;

    w = data;
    clock_gettime(CLOCK_MONOTONIC, &since);
    res = db_call(cli, "SELECT * FROM goosebit_admin.rollout_show($1, $2)",
                  2, cli->tenant, cli->argv[0]);

    if (res == NULL) {
        return false;
    }

    w->pause = watch_pause(&since);
    ok = w->live ? watch_picture(cli, res) : watch_line(cli, w, res);

    watch_over(w, res);

    PQclear(res);

    return ok;
}


/* a million devices are not counted each second */

static int
watch_pause(const struct timespec *since)
{
    double           took;
    struct timespec  now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    took = (double) (now.tv_sec - since->tv_sec)
           + (double) (now.tv_nsec - since->tv_nsec) / 1e9;

    if (took * WATCH_SHARE > WATCH_PAUSE) {
        return WATCH_PAUSE;
    }

    return 1 + (int) (took * WATCH_SHARE);
}


static void
watch_over(watch_t *w, const PGresult *res)
{
    const char  *state, *why;

    state = db_value(res, 0, "state");
    why = db_value(res, 0, "why");

    w->over = strcmp(state, "running") != 0
              && strcmp(state, "scheduled") != 0;

    free(w->why);
    w->why = w->over && strcmp(state, "finished") != 0
             ? strdup(why ? why : state) : NULL;
}


static bool
watch_line(cli_t *cli, watch_t *w, const PGresult *res)
{
    char       text[256];
    time_t     now;
    struct tm  tm;

    snprintf(text, sizeof(text), "rollout %s %s: %ld of %ld done, "
             "%ld waiting, %ld running, %ld success, %ld failure",
             db_value(res, 0, "id"), db_value(res, 0, "state"),
             watch_done(res), watch_count(res, "targeted"),
             watch_count(res, "waiting"), watch_count(res, "running"),
             watch_count(res, "success"), watch_count(res, "failure"));

    if (w->last != NULL && strcmp(w->last, text) == 0) {
        return true;
    }

    free(w->last);
    w->last = strdup(text);

    if (cli->format != CLI_TABLE && cli->format != CLI_WIDE) {
        return out_show(cli, NULL, res);
    }

    now = time(NULL);
    gmtime_r(&now, &tm);

    printf("%04d-%02d-%02dT%02d:%02d:%02dZ %s\n", tm.tm_year + 1900,
           tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, text);

    return true;
}


static bool
watch_picture(cli_t *cli, const PGresult *res)
{
    char        *name;
    const char  *color, *state;

    state = db_value(res, 0, "state");
    color = out_state_color(cli, state);
    name = out_clean(db_value(res, 0, "name"));

    printf("rollout %s", db_value(res, 0, "id"));

    if (db_value(res, 0, "name") != NULL) {
        printf(" %s", name ? name : "");
    }

    free(name);
    name = out_clean(db_value(res, 0, "feed"));

    printf(": %s%s%s  feed %s  software %s\n", color, state,
           color[0] ? out_reset(cli) : "", name ? name : "",
           db_value(res, 0, "software"));

    free(name);
    watch_bar(res);

    return watch_devices(cli);
}


static void
watch_bar(const PGresult *res)
{
    int   full;
    long  done, targeted;
    char  bar[WATCH_BAR + 1];

    targeted = watch_count(res, "targeted");
    done = watch_done(res);
    full = targeted > 0 ? (int) (WATCH_BAR * done / targeted) : 0;

    memset(bar, '-', WATCH_BAR);
    memset(bar, '#', (size_t) full);
    bar[WATCH_BAR] = '\0';

    printf("[%s] %ld of %ld\n", bar, done, targeted);
    printf("waiting %ld  running %ld  success %ld  failure %ld  rejected %ld"
           "  canceled %ld\n", watch_count(res, "waiting"),
           watch_count(res, "running"), watch_count(res, "success"),
           watch_count(res, "failure"), watch_count(res, "rejected"),
           watch_count(res, "canceled"));
}


static bool
watch_devices(cli_t *cli)
{
    int          i, n;
    char        *id;
    PGresult    *res;

    res = db_call(cli, "SELECT id, progress, state"
                  " FROM goosebit_admin.rollout_open($1, $2, $3)", 3,
                  cli->tenant, cli->argv[0], "11");

    if (res == NULL) {
        return false;
    }

    n = PQntuples(res);

    for (i = 0; i < n && i < WATCH_DEVICES; i++) {
        id = out_clean(db_value(res, i, "id"));
        printf("  %3s%%  %s  %s\n", db_value(res, i, "progress"),
               id ? id : "", db_value(res, i, "state"));
        free(id);
    }

    if (n > WATCH_DEVICES) {
        puts("  and more");
    }

    PQclear(res);

    return true;
}


static long
watch_count(const PGresult *res, const char *column)
{
    const char  *value;

    value = db_value(res, 0, column);

    return value ? strtol(value, NULL, 10) : 0;
}


static long
watch_done(const PGresult *res)
{
    return watch_count(res, "targeted") - watch_count(res, "waiting")
           - watch_count(res, "running");
}
