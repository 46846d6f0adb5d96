/*
 * From argv to a handler: global options, noun, verb, its options.
 */

#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "db.h"
#include "live.h"
#include "out.h"
#include "store.h"


#ifndef GB_VERSION
#define GB_VERSION  "0.1.0"
#endif

#define CLI_BUFFER  65536       /* of stdout; stdio's own has 4096 */


static bool cli_parse(cli_t *cli, int argc, char **argv,
    const cli_noun_t *const *nouns, bool *done);
static bool cli_word(cli_t *cli, const char *arg,
    const cli_noun_t *const *nouns);
static bool cli_long(cli_t *cli, int argc, char **argv, int *i, bool *help);
static bool cli_short(cli_t *cli, int argc, char **argv, int *i, bool *help);
static bool cli_apply(cli_t *cli, const cli_option_t *option,
    const char *value);
static bool cli_apply_global(cli_t *cli, const cli_option_t *option,
    const char *value);
static bool cli_check(cli_t *cli);
static bool cli_hide_password(cli_t *cli);
static void cli_signals(const cli_t *cli);


const cli_option_t  cli_globals[] = {
    { "color", 0, NULL, "colour the output even off a terminal", 0 },
    { "config", 'c', "FILE", "goosebit.yaml to read", 0 },
    { "db", 0, "URI", "database to use instead of db_uri", 0 },
    { "dry-run", 0, NULL, "print what would change, change nothing", 0 },
    { "help", 'h', NULL, "print this help", 0 },
    { "no-color", 0, NULL, "never colour the output", 0 },
    { "output", 'o', "FORMAT", "table, wide, json, jsonl, csv or name", 0 },
    { "quiet", 'q', NULL, "no notes and no progress on stderr", 0 },
    { "tenant", 't', "NAME", "tenant to work on (DEFAULT)", 0 },
    { "version", 'V', NULL, "print the version", 0 },
    { "yes", 'y', NULL, "answer yes to every question", 0 },
    { NULL, 0, NULL, NULL, 0 }
};

static volatile sig_atomic_t  cli_stops;

static const char *const  cli_formats[] = {
    "table", "wide", "json", "jsonl", "csv", "name", NULL
};


cli_exit_e
cli_main(int argc, char **argv, const cli_noun_t *const *nouns)
{
    int     i;
    bool    done;
    cli_t   cli;

    static char  buffer[CLI_BUFFER];

    setlocale(LC_ALL, "");

    /* all text is UTF-8, whatever a bare environment says */

    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        setlocale(LC_CTYPE, "C.UTF-8");
    }

    setlocale(LC_NUMERIC, "C");

    memset(&cli, 0, sizeof(cli_t));
    cli.nouns = nouns;
    cli.tenant = "DEFAULT";
    cli.color = isatty(STDOUT_FILENO) && !cli_no_color();

    if (!isatty(STDOUT_FILENO)) {
        setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    }

    /* an error before "-o json" is seen must be JSON as well */

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-ojson") == 0
            || strcmp(argv[i], "--output=json") == 0
            || ((strcmp(argv[i], "-o") == 0
                 || strcmp(argv[i], "--output") == 0)
                && i + 1 < argc && strcmp(argv[i + 1], "json") == 0))
        {
            cli.format = CLI_JSON;
        }
    }

    cli.argv = calloc((size_t) argc + 1, sizeof(char *));
    cli.given = calloc((size_t) argc + 1, sizeof(cli_given_t));

    if (cli.argv == NULL || cli.given == NULL) {
        fputs("gbctl: out of memory\n", stderr);
        cli.status = CLI_FAILED;
        goto finish;
    }

    done = false;

    if (cli_parse(&cli, argc, argv, nouns, &done) && !done
        && cli_hide_password(&cli))
    {
        cli_signals(&cli);
        (void) cli.verb->run(&cli);

        if (cli.dry_run && !cli.dry_told && cli.status == CLI_OK) {
            cli_note(&cli, "dry run: nothing is changed");
        }
    }

    db_close(&cli);

    if (cli.status == CLI_OK) {
        (void) out_finish(&cli);
    }

    store_close(cli.store);
    gb_config_free(cli.config);

finish:

    free(cli.argv);
    free(cli.given);
    free(cli.db_copy);

    return cli.status;
}


static bool
cli_parse(cli_t *cli, int argc, char **argv, const cli_noun_t *const *nouns,
    bool *done)
{
    int          i;
    bool         help, words;
    const char  *arg;

    help = false;
    words = false;

    for (i = 1; i < argc; i++) {
        arg = argv[i];

        if (words || arg[0] != '-' || arg[1] == '\0') {

            if (cli->noun == NULL && strcmp(arg, "help") == 0) {
                help = true;
                continue;
            }

            if (!cli_word(cli, arg, nouns)) {
                return false;
            }

        } else if (strcmp(arg, "--") == 0) {
            words = true;

        } else if (arg[1] == '-') {
            if (!cli_long(cli, argc, argv, &i, &help)) {
                return false;
            }

        } else if (!cli_short(cli, argc, argv, &i, &help)) {
            return false;
        }
    }

    *done = true;

    if (cli_has(cli, "version")) {
        puts("gbctl " GB_VERSION);
        return true;
    }

    if (help) {
        cli_help(stdout, nouns, cli->noun, cli->verb);
        return true;
    }

    if (cli->noun == NULL) {
        return cli_usage(cli, "a noun and a verb are missing");
    }

    if (cli->verb == NULL) {
        return cli_usage(cli, "a verb is missing after \"%s\"",
                         cli->noun->name);
    }

    *done = false;

    return cli_check(cli);
}


/* a word is the noun, then the verb, then an argument */

static bool
cli_word(cli_t *cli, const char *arg, const cli_noun_t *const *nouns)
{
    size_t             i;
    const char        *near, *names[64];
    const cli_verb_t  *verb;

    if (cli->noun == NULL) {

        for (i = 0; nouns[i] != NULL && i < 63; i++) {
            if (strcmp(nouns[i]->name, arg) == 0) {
                cli->noun = nouns[i];
                verb = cli->noun->verbs;
                cli->verb = verb->name[0] == '\0' ? verb : NULL;
                return true;
            }

            names[i] = nouns[i]->name;
        }

        names[i] = NULL;
        near = cli_nearest(arg, names);

        return cli_usage(cli, near ? "unknown noun \"%s\", did you mean "
                                     "\"%s\"?"
                                   : "unknown noun \"%s\"%s",
                         arg, near ? near : "");
    }

    if (cli->verb == NULL) {

        verb = cli->noun->verbs;

        for (i = 0; verb[i].name != NULL && i < 63; i++) {
            if (strcmp(verb[i].name, arg) == 0) {
                cli->verb = &verb[i];
                return true;
            }

            names[i] = verb[i].name;
        }

        names[i] = NULL;
        near = cli_nearest(arg, names);

        return cli_usage(cli, near ? "unknown verb \"%s %s\", did you mean "
                                     "\"%s\"?"
                                   : "unknown verb \"%s %s\"%s",
                         cli->noun->name, arg, near ? near : "");
    }

    cli->argv[cli->argc++] = arg;

    return true;
}


/* options of the verb may be meant before the verb is known: keep order */

static const cli_option_t *
cli_find(const cli_t *cli, const char *name, size_t len, char letter)
{
    int                  table;
    const cli_option_t  *o;

    for (table = 0; table < 2; table++) {

        o = table ? cli_globals : (cli->verb ? cli->verb->options : NULL);

        for ( /* void */ ; o != NULL && o->name != NULL; o++) {
            if (letter ? o->letter == letter
                       : strncmp(o->name, name, len) == 0
                         && o->name[len] == '\0')
            {
                return o;
            }
        }
    }

    return NULL;
}


static bool
cli_long(cli_t *cli, int argc, char **argv, int *i, bool *help)
{
    size_t               n, len;
    const char          *arg, *value, *near, *names[128];
    char                 word[64];
    const cli_option_t  *o;

    arg = argv[*i] + 2;
    len = strcspn(arg, "=");
    value = arg[len] == '=' ? arg + len + 1 : NULL;

    o = cli_find(cli, arg, len, '\0');

    if (o == NULL) {
        n = 0;

        if (cli->verb != NULL && cli->verb->options != NULL) {
            for (o = cli->verb->options; o->name != NULL && n < 100; o++) {
                names[n++] = o->name;
            }
        }

        for (o = cli_globals; o->name != NULL && n < 127; o++) {
            names[n++] = o->name;
        }

        names[n] = NULL;
        snprintf(word, sizeof(word), "%.*s", (int) (len > 60 ? 60 : len),
                 arg);
        near = cli_nearest(word, names);

        return cli_usage(cli, near ? "unknown option \"--%s\", did you mean "
                                     "\"--%s\"?"
                                   : "unknown option \"--%s\"%s",
                         word, near ? near : "");
    }

    if (o->arg == NULL) {
        if (value != NULL) {
            return cli_usage(cli, "option \"--%s\" takes no value", o->name);
        }

        *help |= strcmp(o->name, "help") == 0;

        return cli_apply(cli, o, "");
    }

    if (value == NULL) {
        if (*i + 1 >= argc) {
            return cli_usage(cli, "option \"--%s\" needs a value (%s)",
                             o->name, o->arg);
        }

        value = argv[++*i];
    }

    return cli_apply(cli, o, value);
}


static bool
cli_short(cli_t *cli, int argc, char **argv, int *i, bool *help)
{
    const char          *p;
    const cli_option_t  *o;

    /* letters without a value may be joined: -qy */

    for (p = argv[*i] + 1; *p != '\0'; p++) {

        o = cli_find(cli, NULL, 0, *p);

        if (o == NULL) {
            return cli_usage(cli, "unknown option \"-%c\"", *p);
        }

        if (o->arg == NULL) {
            *help |= *p == 'h' && strcmp(o->name, "help") == 0;

            if (!cli_apply(cli, o, "")) {
                return false;
            }

            continue;
        }

        if (p[1] != '\0') {
            return cli_apply(cli, o, p[1] == '=' ? p + 2 : p + 1);
        }

        if (*i + 1 >= argc) {
            return cli_usage(cli, "option \"-%c\" needs a value (%s)", *p,
                             o->arg);
        }

        return cli_apply(cli, o, argv[++*i]);
    }

    return true;
}


static bool
cli_apply(cli_t *cli, const cli_option_t *option, const char *value)
{
    const cli_option_t  *o;

    if (option->flags & CLI_LATER) {
        return cli_fail(cli, CLI_USAGE, "not_supported", NULL,
                        "option \"--%s\" is not yet supported",
                        option->name);
    }

    for (o = cli_globals; o->name != NULL; o++) {
        if (o == option && !cli_apply_global(cli, option, value)) {
            return false;
        }
    }

    if (cli_has(cli, option->name) && option->arg != NULL
        && !(option->flags & CLI_MANY))
    {
        return cli_usage(cli, "option \"--%s\" is given twice",
                         option->name);
    }

    cli->given[cli->ngiven].option = option;
    cli->given[cli->ngiven++].value = value;

    return true;
}


static bool
cli_apply_global(cli_t *cli, const cli_option_t *option, const char *value)
{
    size_t       i;
    const char  *name, *near;

    name = option->name;

    /* a script's variable that is not set must not mean the usual database */

    if (value[0] == '\0' && option->arg != NULL) {
        return cli_usage(cli, "option \"--%s\" needs a value (%s), not \"\"",
                         name, option->arg);
    }

    if (strcmp(name, "config") == 0) {
        cli->config_file = value;

    } else if (strcmp(name, "db") == 0) {
        cli->db_uri = value;

    } else if (strcmp(name, "tenant") == 0) {
        cli->tenant = value;

    } else if (strcmp(name, "quiet") == 0) {
        cli->quiet = true;

    } else if (strcmp(name, "yes") == 0) {
        cli->yes = true;

    } else if (strcmp(name, "dry-run") == 0) {
        cli->dry_run = true;

    } else if (strcmp(name, "no-color") == 0) {
        cli->color = false;

    } else if (strcmp(name, "color") == 0) {
        cli->color = true;

    } else if (strcmp(name, "output") == 0) {

        for (i = 0; cli_formats[i] != NULL; i++) {
            if (strcmp(cli_formats[i], value) == 0) {
                cli->format = (cli_format_e) i;
                return true;
            }
        }

        near = cli_nearest(value, cli_formats);

        return cli_usage(cli, near ? "unknown output format \"%s\", did you "
                                     "mean \"%s\"?"
                                   : "unknown output format \"%s\", not "
                                     "table, wide, json, jsonl, csv or name"
                                     "%s", value, near ? near : "");
    }

    return true;
}


static bool
cli_check(cli_t *cli)
{
    bool               instead;
    const cli_verb_t  *v;

    v = cli->verb;

    if (cli->dry_run && !(v->flags & CLI_DRY)) {
        return cli_usage(cli, "\"%s%s%s\" has no dry run", cli->noun->name,
                         v->name[0] ? " " : "", v->name);
    }

    instead = (v->flags & CLI_IDS) && cli_has(cli, "filter");

    if (instead && cli->argc >= v->min_args) {
        return cli_usage(cli, "both ids and --filter are given");
    }

    if (cli->argc < v->min_args - instead) {
        return cli_usage(cli, "arguments are missing: gbctl %s%s%s %s",
                         cli->noun->name, v->name[0] ? " " : "", v->name,
                         v->synopsis);
    }

    if (cli->argc > v->max_args) {
        return cli_usage(cli, "unexpected argument \"%s\"",
                         cli->argv[v->max_args]);
    }

    return true;
}


static bool
cli_hide_password(cli_t *cli)
{
    if (cli->db_uri == NULL) {
        return true;
    }

    cli->db_copy = cli_hide(cli->db_uri);

    if (cli->db_copy == NULL) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    cli->db_uri = cli->db_copy;

    return true;
}


static void
cli_interrupt(int signo)
{
    cli_interrupted = 1;

    if (cli_stops) {
        return;
    }

    if (!live_restore() && isatty(STDERR_FILENO)) {
        (void) !write(STDERR_FILENO, "\n", 1);
    }

    /* else the server would go on, and might still commit */

    db_cancel();
    cli_abandon();

    signal(signo, SIG_DFL);
    raise(signo);
}


static void
cli_signals(const cli_t *cli)
{
    size_t            i;
    struct sigaction  sa, old;

    static const int  signals[] = { SIGINT, SIGTERM, SIGHUP };

    /*
     * A closed pipe ends gbctl like any filter, also where a parent had
     * switched the signal off.
     */

    signal(SIGPIPE, SIG_DFL);

    /* a file that grows past its bound is an error like a full disk */

    signal(SIGXFSZ, SIG_IGN);

    cli_stops = (cli->verb->flags & CLI_STOPS) != 0;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = cli_interrupt;

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {

        /* nohup and shells that run in the background had it ignored */

        if (sigaction(signals[i], NULL, &old) == 0
            && old.sa_handler != SIG_IGN)
        {
            sigaction(signals[i], &sa, NULL);
        }
    }
}
