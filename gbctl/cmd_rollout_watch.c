/*
 * gbctl rollout watch: redrawn in place on a terminal, elsewhere a line
 * whenever something changed.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cmd_rollout.h"
#include "db.h"
#include "out.h"


#define WATCH_DEVICES  10       /* lines of devices under the bar */
#define WATCH_BAR      40       /* columns */


typedef struct {
    cli_t  *cli;
    bool    terminal;
    int     width;              /* columns */
    int     lines;              /* drawn, to be drawn over */
    char   *last;               /* what was printed last; owned */
} watch_t;


static PGresult *watch_look(watch_t *w);
static bool watch_print(watch_t *w, const PGresult *res);
static void watch_line(watch_t *w, const PGresult *res);
static bool watch_draw(watch_t *w, const PGresult *res);
static void watch_draw_bar(watch_t *w, const PGresult *res);
static bool watch_draw_devices(watch_t *w);
static void watch_row(watch_t *w, const char *color, const char *text);
static bool watch_over(cli_t *cli, const PGresult *res);
static long watch_count(const PGresult *res, const char *column);


bool
rollout_watch(cli_t *cli)
{
    bool       ok, over;
    watch_t    w;
    PGresult  *res;

    memset(&w, 0, sizeof(watch_t));

    w.cli = cli;
    w.terminal = isatty(STDOUT_FILENO) && cli->format == CLI_TABLE;

    do {
        res = watch_look(&w);
        ok = res != NULL && watch_print(&w, res);
        over = ok && strcmp(db_value(res, 0, "state"), "running") != 0
               && strcmp(db_value(res, 0, "state"), "scheduled") != 0;

        if (over) {
            ok = watch_over(cli, res);
        }

        PQclear(res);

        if (ok && !over) {
            nanosleep(&(struct timespec) { 1, 0 }, NULL);
        }

    } while (ok && !over && !cli_interrupted);

    free(w.last);

    if (ok && !over) {
        return cli_fail(cli, CLI_FAILED, "interrupted", NULL,
                        "rollout \"%s\": not finished yet", cli->argv[0]);
    }

    return ok;
}


static PGresult *
watch_look(watch_t *w)
{
    return db_call(w->cli, "SELECT * FROM goosebit_admin.rollout_show($1,"
                   " $2)", 2, w->cli->tenant, w->cli->argv[0]);
}


/* a rollout that ended in another way than it should */

static bool
watch_over(cli_t *cli, const PGresult *res)
{
    const char  *why;

    if (strcmp(db_value(res, 0, "state"), "finished") == 0) {
        return true;
    }

    why = db_value(res, 0, "why");

    return cli_fail(cli, CLI_FAILED, "not_finished", NULL,
                    "rollout \"%s\": %s", cli->argv[0],
                    why ? why : db_value(res, 0, "state"));
}


static bool
watch_print(watch_t *w, const PGresult *res)
{
    if (w->terminal) {
        return watch_draw(w, res) && out_finish(w->cli);
    }

    watch_line(w, res);

    return out_finish(w->cli);
}


static void
watch_line(watch_t *w, const PGresult *res)
{
    char    text[256];
    time_t  now;
    struct tm  tm;

    snprintf(text, sizeof(text), "rollout %s %s: %ld of %ld done, "
             "%ld waiting, %ld running, %ld success, %ld failure",
             db_value(res, 0, "id"), db_value(res, 0, "state"),
             watch_count(res, "targeted") - watch_count(res, "waiting")
             - watch_count(res, "running"), watch_count(res, "targeted"),
             watch_count(res, "waiting"), watch_count(res, "running"),
             watch_count(res, "success"), watch_count(res, "failure"));

    if (w->last != NULL && strcmp(w->last, text) == 0) {
        return;
    }

    free(w->last);
    w->last = strdup(text);

    if (w->cli->format == CLI_JSON || w->cli->format == CLI_JSONL) {
        out_show(w->cli, NULL, res);
        return;
    }

    now = time(NULL);
    gmtime_r(&now, &tm);

    printf("%04d-%02d-%02dT%02d:%02d:%02dZ %s\n", tm.tm_year + 1900,
           tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, text);
}


static bool
watch_draw(watch_t *w, const PGresult *res)
{
    int             before;
    bool            ok;
    char            text[512];
    const char     *name;
    struct winsize  size;

    w->width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0
               && size.ws_col > 0 ? size.ws_col : 80;

    before = w->lines;
    w->lines = 0;

    if (before > 0) {
        printf("\033[%dA", before);
    }

    name = db_value(res, 0, "name");

    snprintf(text, sizeof(text), "rollout %s%s%s  feed %s  software %s  %s",
             db_value(res, 0, "id"), name ? " " : "", name ? name : "",
             db_value(res, 0, "feed"), db_value(res, 0, "software"),
             db_value(res, 0, "state"));
    watch_row(w, out_state_color(w->cli, db_value(res, 0, "state")), text);

    watch_draw_bar(w, res);

    ok = watch_draw_devices(w);

    /* lines of a longer picture before */
    printf("\033[J");

    return ok;
}


static void
watch_draw_bar(watch_t *w, const PGresult *res)
{
    int   full;
    long  done, targeted;
    char  text[512], bar[WATCH_BAR + 1];

    targeted = watch_count(res, "targeted");
    done = targeted - watch_count(res, "waiting")
           - watch_count(res, "running");
    full = targeted > 0 ? (int) (WATCH_BAR * done / targeted) : 0;

    memset(bar, '-', WATCH_BAR);
    memset(bar, '#', (size_t) full);
    bar[WATCH_BAR] = '\0';

    snprintf(text, sizeof(text), "[%s] %ld of %ld", bar, done, targeted);
    watch_row(w, "", text);

    snprintf(text, sizeof(text), "waiting %ld  running %ld  success %ld"
             "  failure %ld  rejected %ld  canceled %ld",
             watch_count(res, "waiting"), watch_count(res, "running"),
             watch_count(res, "success"), watch_count(res, "failure"),
             watch_count(res, "rejected"), watch_count(res, "canceled"));
    watch_row(w, "", text);
}


static bool
watch_draw_devices(watch_t *w)
{
    int          i, n;
    char         text[512];
    PGresult    *res;
    const char  *progress;

    res = db_call(w->cli, "SELECT id, progress"
                  " FROM goosebit_admin.rollout_devices($1, $2, 'running')"
                  " LIMIT 11", 2, w->cli->tenant, w->cli->argv[0]);
    if (res == NULL) {
        return false;
    }

    n = PQntuples(res);

    for (i = 0; i < n && i < WATCH_DEVICES; i++) {
        progress = db_value(res, i, "progress");
        snprintf(text, sizeof(text), "  %3s%%  %s", progress ? progress : "0",
                 db_value(res, i, "id"));
        watch_row(w, "", text);
    }

    if (n > WATCH_DEVICES) {
        watch_row(w, "", "  and more");
    }

    PQclear(res);

    return true;
}


/* one line, cut to the terminal's width so that it stays one */

static void
watch_row(watch_t *w, const char *color, const char *text)
{
    char  *clean;

    clean = out_clean(text);

    printf("%s%.*s%s\033[K\n", color, w->width - 1, clean ? clean : "",
           color[0] ? out_reset(w->cli) : "");
    w->lines++;

    free(clean);
}


static long
watch_count(const PGresult *res, const char *column)
{
    const char  *value;

    value = db_value(res, 0, column);

    return value ? strtol(value, NULL, 10) : 0;
}
