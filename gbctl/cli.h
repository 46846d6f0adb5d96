/*
 * The frame of gbctl: nouns, verbs, options, errors and exit codes.
 *
 * A noun is a cmd_NOUN.c with one static table of verbs; parsing, --help and
 * the hints for mistyped words are all made from that table.  A verb's
 * handler returns true when it is done, and false after cli_fail() has told
 * the reason, once.  Only main() exits.
 */

#ifndef GBCTL_CLI_H
#define GBCTL_CLI_H


#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <gb_config.h>


typedef enum {
    CLI_OK = 0,
    CLI_FAILED,             /* refused or failed: not found, conflict, … */
    CLI_USAGE,              /* the command line is wrong */
    CLI_NO_DB,              /* unreachable, or not this version's schema */
    CLI_DENIED              /* the database role may not do this */
} cli_exit_e;


typedef enum {
    CLI_TABLE = 0,
    CLI_WIDE,
    CLI_JSON,
    CLI_JSONL,
    CLI_CSV,
    CLI_NAME
} cli_format_e;


/* flags of an option */
#define CLI_MANY   0x01     /* may be repeated; see cli_opts() */
#define CLI_LATER  0x02     /* known, refused with "not yet supported" */

/* flags of a verb */
#define CLI_DRY    0x01     /* takes --dry-run: see db_begin() */
#define CLI_STOPS  0x02     /* looks at cli_interrupted by itself */
#define CLI_IDS    0x04     /* its first arguments are IDS, or --filter */

/* for max_args: any number */
#define CLI_ANY    1000000


typedef struct cli_s  cli_t;

typedef struct {
    const char  *name;      /* without the dashes */
    char         letter;    /* '\0': none */
    const char  *arg;       /* what --help calls its value; NULL: a flag */
    const char  *help;      /* one line, lower case, no full stop */
    unsigned     flags;
} cli_option_t;

typedef struct {
    const char          *name;      /* "" : the noun is itself the verb */
    const char          *synopsis;  /* positional arguments, or "" */
    const char          *help;
    const cli_option_t  *options;   /* ends with a NULL name; or NULL */
    bool               (*run)(cli_t *cli);
    int                  min_args;  /* positional arguments */
    int                  max_args;
    unsigned             flags;
} cli_verb_t;

typedef struct {
    const char        *name;
    const char        *help;
    const cli_verb_t  *verbs;       /* alphabetical, ends with a NULL name */
} cli_noun_t;

typedef struct {
    const cli_option_t  *option;
    const char          *value;     /* "" for a flag; points into argv */
} cli_given_t;

struct cli_s {
    /* global options */
    const char         *config_file;    /* NULL: the default search */
    const char         *db_uri;         /* NULL: the configuration's */
    char               *db_copy;        /* owns db_uri, see cli.c */
    const char         *tenant;
    cli_format_e        format;
    bool                quiet;
    bool                yes;
    bool                dry_run;
    bool                dry_told;       /* see cli_dry() */
    bool                color;          /* stdout is a terminal that may */

    const cli_noun_t *const  *nouns;    /* all of them */
    const cli_noun_t   *noun;
    const cli_verb_t   *verb;
    int                 argc;           /* positional arguments after it */
    const char        **argv;

    cli_given_t        *given;
    size_t              ngiven;

    gb_config_t        *config;         /* see cli_config() */
    struct db_s        *db;             /* see db.h */
    struct store_s     *store;          /* see software_store() */
    cli_exit_e          status;         /* what main() exits with */
    char               *held;           /* see cli_hold() */
    struct out_progress_s  *bar;        /* words take it off, see out.h */
};

typedef struct {
    size_t   n;
    char   **ids;                       /* owned */
} cli_ids_t;


/* set by SIGINT, SIGTERM or SIGHUP; only verbs with CLI_STOPS live to see it */
extern volatile sig_atomic_t  cli_interrupted;

/*
 * What takes away what a verb has half written, where one of them ends gbctl:
 * called in its handler, so with no more than unlink().  NULL: nothing is.
 */
extern void (*volatile cli_cleanup)(void);

/* calls it */
void cli_abandon(void);


/*
 * Runs the command line: parses, answers --help and --version, calls the
 * handler.  NOUNS is alphabetical and ends with NULL; one whose name begins
 * with "_" is not shown.
 */
cli_exit_e cli_main(int argc, char **argv, const cli_noun_t *const *nouns);

/*
 * Reports an error once and returns false.  The message has no prefix and
 * no full stop; CODE is one snake_case word for -o json; HINT (or NULL) is
 * a line of its own.
 */
bool cli_fail(cli_t *cli, cli_exit_e status, const char *code,
    const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/*
 * From now on cli_fail() writes its message into the CLI_HELD bytes at TEXT
 * instead of to stderr, for a verb that goes on after it; with NULL no more.
 * Also takes back what the last failure did to the exit code.
 */
#define CLI_HELD  4096
void cli_hold(cli_t *cli, char *text);

/* a usage error: exit 2, with a hint to run --help */
bool cli_usage(cli_t *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * "dry run: " before a verb's own words, "" where it is none.  A dry run of
 * which no words begin so ends with words that nothing is changed.
 */
const char *cli_dry(cli_t *cli);

/* words for a human on stderr; nothing with -q */
void cli_note(const cli_t *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* the last value given for the option ("" for a flag), or NULL; borrowed */
const char *cli_opt(const cli_t *cli, const char *name);

/* true if the flag or option was given */
bool cli_has(const cli_t *cli, const char *name);

/*
 * The I-th (from 0) value of an option with CLI_MANY, or NULL past the last;
 * borrowed.
 */
const char *cli_opts(const cli_t *cli, const char *name, size_t i);

/*
 * The option's value as a whole number between MIN and MAX; *VALUE is left
 * alone where the option was not given.  False after a usage error.
 */
bool cli_opt_int(cli_t *cli, const char *name, long min, long max,
    long *value) __attribute__((warn_unused_result));

/*
 * The option's value must be one of WORDS ("forced|soft|downloadonly").
 * True also where it was not given; false after a usage error.
 */
bool cli_opt_word(cli_t *cli, const char *name, const char *words)
    __attribute__((warn_unused_result));

/*
 * NO_COLOR as https://no-color.org has it: "and not an empty string"; nor does
 * a terminal that says it is dumb know colours.
 */
bool cli_no_color(void);

/*
 * A copy of an argument that is a URI, whose password is then masked in the
 * command line, which everybody may read; new, free(), or NULL without memory.
 */
char *cli_hide(const char *uri) __attribute__((warn_unused_result));

/*
 * Collects IDS from the positional arguments FIRST..END-1: ids, @FILE, "-"
 * (stdin, one id a line).  Blank lines and duplicates are removed, order is
 * kept.  Free with cli_ids_free(), also after false.
 */
bool cli_ids(cli_t *cli, int first, int end, cli_ids_t *ids)
    __attribute__((warn_unused_result));
void cli_ids_free(cli_ids_t *ids);

/*
 * Asks "QUESTION [y/N]" on the terminal.  True with --yes, --dry-run or a
 * yes; false after an error was reported (no terminal, or the answer no).
 */
bool cli_confirm(cli_t *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/*
 * Loads goosebit.yaml and GOOSEBIT_* once into cli->config; --db stands in
 * for db_uri.  FLAGS are those of gb_config_load().
 */
bool cli_config(cli_t *cli, unsigned flags)
    __attribute__((warn_unused_result));

/*
 * The word of WORDS (ends with NULL) nearest to WORD, or NULL if none is
 * near enough to be meant; borrowed.
 */
const char *cli_nearest(const char *word, const char *const *words);

/* --help's text, from the tables; NOUN and VERB may be NULL */
void cli_help(FILE *fp, const cli_noun_t *const *nouns,
    const cli_noun_t *noun, const cli_verb_t *verb);

/* the global options' table, ends with a NULL name */
extern const cli_option_t  cli_globals[];


#endif /* GBCTL_CLI_H */
