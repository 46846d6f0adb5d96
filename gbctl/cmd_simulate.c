/*
 * gbctl simulate: a fleet over real HTTP.  It never opens the database.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <curl/curl.h>
#include <gb_text.h>

#include "cmd.h"
#include "out.h"
#include "sim.h"
#include "token.h"


#define SIMULATE_FILES  64      /* descriptors for all but connections */


typedef struct {
    cli_t     *cli;
    sim_t      sim;
    bool       live;            /* there is a terminal to draw on */
    double     drawn;
    uint64_t   polls;           /* at that time */
} simulate_t;


static bool cmd_simulate_run(cli_t *cli);
static bool simulate_options(cli_t *cli, sim_options_t *o, token_t *gateway,
    char *url, size_t size);
static bool simulate_number(cli_t *cli, const char *name, double max,
    const char *unit, double *value);
static bool simulate_duration(cli_t *cli, double *seconds);
static bool simulate_url(cli_t *cli, char *url, size_t size);
static bool simulate_word(cli_t *cli, const char *name, const char **value);
static bool simulate_files(cli_t *cli, long connections);
static bool simulate_stop(void *data);
static void simulate_tick(void *data);
static bool simulate_summary(cli_t *cli, const sim_t *sim);
static bool simulate_verdict(cli_t *cli, const sim_t *sim);


static const cli_option_t  simulate_option_table[] = {
    { "connections", 0, "N", "most requests at a time (100)", 0 },
    { "devices", 'n', "N", "how many devices (100)", 0 },
    { "duration", 0, "T", "end after 90s, 10m or 2h", 0 },
    { "fail", 0, "P%", "share of updates that fail (0%)", 0 },
    { "gateway-token", 0, "-",
      "speak for all devices with the token on standard input", 0 },
    { "interrupt", 0, "P%",
      "share of downloads that break off and are resumed (10%)", 0 },
    { "model", 0, "M", "hw_model they report (board)", 0 },
    { "prefix", 0, "P", "their ids begin so (sim-)", 0 },
    { "rate", 0, "R", "polls a second of all of them, not as told", 0 },
    { "revision", 0, "R", "hw_revision they report (1.0)", 0 },
    { "seed", 0, "N", "another course of chance, and other tokens (1)", 0 },
    { "sw-version", 0, "V", "sw_version they report at first (0.0.1)", 0 },
    { "tokens", 0, NULL, "each sends a token of its own", 0 },
    { "until-done", 0, NULL, "end when each has ended an update", 0 },
    { "url", 0, "U", "the server ($GOOSEBIT_URL, or port of the settings)",
      0 },
    { NULL, 0, NULL, NULL, 0 }
};

static const cli_verb_t  cmd_simulate_verbs[] = {

    { "", "", "a fleet over HTTP that polls, downloads and reports",
      simulate_option_table, cmd_simulate_run, 0, 0, CLI_STOPS },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_simulate = {
    "simulate", "a fleet of devices over real HTTP", cmd_simulate_verbs
};


static bool
cmd_simulate_run(cli_t *cli)
{
    bool           ok;
    char           url[SIM_URL_MAX], *tenant;
    token_t        gateway;
    simulate_t     s;
    sim_options_t  o;

    memset(&s, 0, sizeof(simulate_t));

    if (!simulate_options(cli, &o, &gateway, url, sizeof(url))
        || !simulate_files(cli, o.connections))
    {
        return false;
    }

    tenant = curl_easy_escape(NULL, cli->tenant, 0);
    o.tenant = tenant;

    s.cli = cli;
    s.sim.options = &o;
    s.live = isatty(STDERR_FILENO) && !cli->quiet;
    s.drawn = sim_now();

    ok = tenant != NULL
         && sim_run(&s.sim, simulate_stop, simulate_tick, &s);

    if (s.live) {
        fputs("\r\033[K", stderr);
    }

    if (!ok) {
        ok = cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");

    } else {
        ok = simulate_summary(cli, &s.sim) && simulate_verdict(cli, &s.sim);
    }

    sim_free(&s.sim);
    curl_free(tenant);

    return ok;
}


static bool
simulate_options(cli_t *cli, sim_options_t *o, token_t *gateway, char *url,
    size_t size)
{
    const char  *text;

    memset(o, 0, sizeof(sim_options_t));

    o->devices = 100;
    o->connections = 100;
    o->seed = 1;
    o->interrupt = 0.1;
    o->prefix = "sim-";
    o->model = "board";
    o->revision = "1.0";
    o->version = "0.0.1";
    o->tokens = cli_has(cli, "tokens");
    o->until_done = cli_has(cli, "until-done");

    if (!cli_opt_int(cli, "devices", 1, 1000000, &o->devices)
        || !cli_opt_int(cli, "connections", 1, 10000, &o->connections)
        || !cli_opt_int(cli, "seed", 1, 2147483647, &o->seed)
        || !simulate_number(cli, "fail", 100, "%", &o->fail)
        || !simulate_number(cli, "interrupt", 100, "%", &o->interrupt)
        || !simulate_number(cli, "rate", 1000000, "", &o->rate)
        || !simulate_duration(cli, &o->duration)
        || !simulate_word(cli, "prefix", &o->prefix)
        || !simulate_word(cli, "model", &o->model)
        || !simulate_word(cli, "revision", &o->revision)
        || !simulate_word(cli, "sw-version", &o->version)
        || !simulate_url(cli, url, size))
    {
        return false;
    }

    o->url = url;
    text = cli_opt(cli, "gateway-token");

    if (text != NULL && strcmp(text, "-") != 0) {
        return cli_usage(cli, "option \"--gateway-token\" takes only -, so "
                         "that no token stands in a list of processes");
    }

    if (text != NULL && o->tokens) {
        return cli_usage(cli, "either --tokens or --gateway-token");
    }

    if (text != NULL && !token_stdin(cli, gateway)) {
        return false;
    }

    o->gateway = text != NULL ? gateway->text : NULL;

    return true;
}


/* up to MAX, in hundredths if UNIT is a percent sign */

static bool
simulate_number(cli_t *cli, const char *name, double max, const char *unit,
    double *value)
{
    char        *end;
    double       n;
    const char  *text;

    text = cli_opt(cli, name);

    if (text == NULL) {
        return true;
    }

    n = strtod(text, &end);

    if (end == text || !(n >= 0 && n <= max)
        || (*end != '\0' && strcmp(end, unit) != 0))
    {
        return cli_usage(cli, "option \"--%s\": \"%s\" is not a number from 0"
                         " to %.0f%s", name, text, max, unit);
    }

    *value = unit[0] == '%' ? n / 100 : n;

    return true;
}


static bool
simulate_duration(cli_t *cli, double *seconds)
{
    char        *end;
    double       n, unit;
    const char  *text;

    text = cli_opt(cli, "duration");

    if (text == NULL) {
        return true;
    }

    n = strtod(text, &end);
    unit = strcmp(end, "s") == 0 || *end == '\0' ? 1
           : strcmp(end, "m") == 0 ? 60
           : strcmp(end, "h") == 0 ? 3600 : 0;

    if (end == text || unit == 0 || !(n > 0 && n < 1e6)) {
        return cli_usage(cli, "option \"--duration\": \"%s\" is not 90s, 10m "
                         "or 2h", text);
    }

    *seconds = n * unit;

    return true;
}


/* what goes into URLs and JSON as it is */

static bool
simulate_word(cli_t *cli, const char *name, const char **value)
{
    const char  *text;

    text = cli_opt(cli, name);

    if (text == NULL) {
        return true;
    }

    if (strlen(text) > 64
        || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                  "0123456789._~+-") != strlen(text))
    {
        return cli_usage(cli, "option \"--%s\": \"%s\" may have letters, "
                         "digits and ._~+-, up to 64", name, text);
    }

    *value = text;

    return true;
}


static bool
simulate_url(cli_t *cli, char *url, size_t size)
{
    size_t       len;
    const char  *text;

    text = cli_opt(cli, "url");
    text = text ? text : getenv("GOOSEBIT_URL");

    if (text != NULL && gb_text_http(text) == 0) {
        return cli_usage(cli, "\"%s\" is no http:// or https:// URL", text);
    }

    if (text == NULL && !cli_config(cli, 0)) {
        return false;
    }

    if (text != NULL) {
        snprintf(url, size, "%.1500s", text);
    } else {
        snprintf(url, size, "http://127.0.0.1:%d", cli->config->port);
    }

    for (len = strlen(url); len > 0 && url[len - 1] == '/'; len--) {
        url[len - 1] = '\0';
    }

    return true;
}


static bool
simulate_files(cli_t *cli, long connections)
{
    rlim_t         want;
    struct rlimit  limit;

    want = (rlim_t) connections + SIMULATE_FILES;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < want) {
        limit.rlim_cur = want < limit.rlim_max ? want : limit.rlim_max;

        if (want > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return cli_fail(cli, CLI_FAILED, "failed", NULL,
                            "%ld connections need more open files than the "
                            "limit of %ld", connections,
                            (long) limit.rlim_max);
        }
    }

    return true;
}


static bool
simulate_stop(void *data)
{
    (void) data;

    return cli_interrupted != 0;
}


/* one line, drawn over */

static void
simulate_tick(void *data)
{
    int             width;
    char            text[256];
    double          now;
    const sim_t    *sim;
    simulate_t     *s = data;
    struct winsize  ws;

    sim = &s->sim;
    now = sim_now();

    if (!s->live || now - s->drawn < 0.5) {
        return;
    }

    width = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0
            ? ws.ws_col : 80;

    snprintf(text, sizeof(text), "%.0fs  %.0f polls/s  p50 %.1f ms  p99 %.1f "
             "ms  known %lu  updating %lu  success %lu  failure %lu  "
             "errors %lu", now - sim->start,
             (double) (sim->polls.count - s->polls) / (now - s->drawn),
             1000 * sim_quantile(&sim->polls, 0.5),
             1000 * sim_quantile(&sim->polls, 0.99),
             sim->known, sim->updating, sim->outcomes[SIM_SUCCESS],
             sim->outcomes[SIM_FAILURE], sim->errors);

    fprintf(stderr, "\r%.*s\033[K", width - 1, text);

    s->drawn = now;
    s->polls = sim->polls.count;
}


static bool
simulate_summary(cli_t *cli, const sim_t *sim)
{
    int        n;
    bool       ok;
    char       columns[1024], text[64];
    size_t     i, len, requests;
    double     seconds;
    PGresult  *res;

    seconds = sim->end > sim->start ? sim->end - sim->start : 1;
    requests = sim->requests.count + sim->downloads + sim->resumed;

    const struct {
        const char  *column;
        double       value;
    } sums[] = {
        { "devices", (double) sim->options->devices },
        { "seconds", sim->end - sim->start },
        { "polls", (double) sim->polls.count },
        { "polls_per_second", (double) sim->polls.count / seconds },
        { "poll_p50_us", 1e6 * sim_quantile(&sim->polls, 0.5) },
        { "poll_p99_us", 1e6 * sim_quantile(&sim->polls, 0.99) },
        { "poll_max_us", 1e6 * sim->polls.max },
        { "requests", (double) requests },
        { "requests_per_second", (double) requests / seconds },
        { "request_p50_us", 1e6 * sim_quantile(&sim->requests, 0.5) },
        { "request_p99_us", 1e6 * sim_quantile(&sim->requests, 0.99) },
        { "registered", (double) sim->known },
        { "success", (double) sim->outcomes[SIM_SUCCESS] },
        { "failure", (double) sim->outcomes[SIM_FAILURE] },
        { "canceled", (double) sim->outcomes[SIM_CANCELLED] },
        { "confirmed", (double) sim->confirmed },
        { "bytes", (double) sim->bytes },
        { "resumed", (double) sim->resumed },
        { "damaged", (double) sim->damaged },
        { "refused", (double) sim->refused },
        { "errors", (double) sim->errors }
    };

    const size_t  nsums = sizeof(sums) / sizeof(sums[0]);

    for (i = 0, len = 0; i < nsums; i++) {
        len += (size_t) snprintf(columns + len, sizeof(columns) - len,
                                 "%s%s:int", i > 0 ? " " : "",
                                 sums[i].column);
    }

    res = out_make(columns);
    ok = res != NULL;

    for (i = 0; ok && i < nsums; i++) {
        n = snprintf(text, sizeof(text), "%.0f", sums[i].value);
        ok = PQsetvalue(res, 0, (int) i, text, n) != 0;
    }

    ok = ok ? out_show(cli, NULL, res)
            : cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");

    PQclear(res);

    return ok;
}


/* errors are part of the picture, unless there is nothing else in it */

static bool
simulate_verdict(cli_t *cli, const sim_t *sim)
{
    const sim_options_t  *o;

    o = sim->options;

    if (sim_missing(sim)) {
        return cli_fail(cli, CLI_FAILED, "not_found",
                        "\"gbctl tenant list\" has those there are",
                        "tenant \"%s\": not found at %s", cli->tenant,
                        o->url);
    }

    if (sim->answers + sim->refused == 0 && sim->errors > 0) {
        return cli_fail(cli, CLI_FAILED,
                        sim->requests.count == 0 ? "unreachable" : "failed",
                        NULL, "%s: %s", o->url, sim->error);
    }

    if (sim->errors > 0) {
        cli_note(cli, "the first error: %s", sim->error);
    }

    if (sim->answers == 0 && sim->refused > 0) {
        cli_note(cli, "every device was refused: --tokens and "
                 "--gateway-token are how they may ask");
    }

    return true;
}
