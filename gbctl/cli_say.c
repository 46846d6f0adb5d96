/*
 * Errors and notes on stderr, the settings behind them, and being interrupted.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <jansson.h>

#include "cli.h"
#include "live.h"
#include "out.h"


volatile sig_atomic_t  cli_interrupted;

void  (*volatile cli_cleanup)(void);


void
cli_abandon(void)
{
    if (cli_cleanup != NULL) {
        cli_cleanup();
    }
}


bool
cli_fail(cli_t *cli, cli_exit_e status, const char *code, const char *hint,
    const char *fmt, ...)
{
    char      message[CLI_HELD];
    json_t   *doc;
    va_list   args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);

    cli->status = status;

    if (cli->held != NULL) {
        memcpy(cli->held, message, sizeof(message));
        return false;
    }

    /* what was printed before the error must stand before it */

    live_end();
    out_progress_clear(cli->bar);
    out_sync();

    doc = NULL;

    if (cli->format == CLI_JSON) {
        doc = json_pack("{s:{s:s,s:s,s:s*}}", "error", "code", code,
                        "message", message, "hint", hint);
    }

    if (doc != NULL) {
        json_dumpf(doc, stderr, JSON_COMPACT);
        fputc('\n', stderr);
        json_decref(doc);
        return false;
    }

    fprintf(stderr, "gbctl: %s\n", message);

    if (hint != NULL) {
        fprintf(stderr, "hint: %s\n", hint);
    }

    return false;
}


void
cli_hold(cli_t *cli, char *text)
{
    cli->held = text;
    cli->status = CLI_OK;
}


bool
cli_usage(cli_t *cli, const char *fmt, ...)
{
    char     message[1024], hint[256];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);

    snprintf(hint, sizeof(hint), "try \"gbctl%s%s%s%s --help\"",
             cli->noun ? " " : "", cli->noun ? cli->noun->name : "",
             cli->verb && cli->verb->name[0] ? " " : "",
             cli->verb ? cli->verb->name : "");

    return cli_fail(cli, CLI_USAGE, "usage", hint, "%s", message);
}


const char *
cli_dry(cli_t *cli)
{
    cli->dry_told = true;

    return cli->dry_run ? "dry run: " : "";
}


void
cli_note(const cli_t *cli, const char *fmt, ...)
{
    int       n;
    char     *text, *clean;
    va_list   args;

    if (cli->quiet) {
        return;
    }

    out_progress_clear(cli->bar);
    out_sync();

    va_start(args, fmt);
    n = vasprintf(&text, fmt, args);
    va_end(args);

    if (n < 0) {
        return;
    }

    /* it may name what another server's database says */

    clean = out_clean(text);
    fprintf(stderr, "%s\n", clean ? clean : "");

    free(clean);
    free(text);
}


/*
 * --db goes the way of GOOSEBIT_DB_URI, so that both are read by one set of
 * rules; only the error has to name what the operator wrote.
 */

bool
cli_config(cli_t *cli, unsigned flags)
{
    char         *uri;
    size_t        n, size;
    const char   *message, **env;
    gb_error_t    err;

    static const char  name[] = "GOOSEBIT_DB_URI";

    if (cli->config != NULL) {
        return true;
    }

    flags |= GB_CONFIG_CWD;

    if (cli->db_uri == NULL) {
        cli->config = gb_config_load(cli->config_file, flags, &err);

    } else {
        for (n = 0; environ[n] != NULL; n++) { /* void */ }

        env = calloc(n + 2, sizeof(char *));
        size = sizeof(name) + strlen(cli->db_uri) + 1;
        uri = malloc(size);

        if (env != NULL && uri != NULL) {
            snprintf(uri, size, "%s=%s", name, cli->db_uri);
            env[0] = uri;

            for (n = 0, size = 1; environ[n] != NULL; n++) {
                if (strncasecmp(environ[n], name, sizeof(name) - 1) != 0) {
                    env[size++] = environ[n];
                }
            }

            cli->config = gb_config_load_env(cli->config_file, flags,
                                             (char *const *) env, &err);
        } else {
            (void) gb_error_nomem(&err);
        }

        free(uri);
        free(env);
    }

    if (cli->config != NULL) {
        return true;
    }

    message = err.message;

    if (cli->db_uri != NULL
        && strncmp(message, name, sizeof(name) - 1) == 0)
    {
        message += sizeof(name) - 1;

        return cli_fail(cli, CLI_USAGE, "invalid", NULL, "--db%s", message);
    }

    return cli_fail(cli, CLI_FAILED, "invalid",
                    "\"gbctl config check\" lists all that is wrong", "%s",
                    message);
}


bool
cli_no_color(void)
{
    const char  *value, *term;

    value = getenv("NO_COLOR");
    term = getenv("TERM");

    return (value != NULL && value[0] != '\0')
           || (term != NULL && strcmp(term, "dumb") == 0);
}


char *
cli_hide(const char *uri)
{
    char    *copy, *masked, *shown;
    size_t   n, len;

    n = gb_config_mask_uri(uri, NULL);
    masked = malloc(n + 1);
    copy = strdup(uri);

    if (masked == NULL || copy == NULL) {
        free(masked);
        free(copy);
        return NULL;
    }

    (void) gb_config_mask_uri(uri, masked);

    /* option values point into argv */

    shown = (char *) (uintptr_t) uri;
    len = strlen(shown);

    memset(shown, ' ', len);
    memcpy(shown, masked, n < len ? n : len);

    free(masked);

    return copy;
}
