/*
 * What a verb asks about its options and arguments.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gb_text.h>

#include "cli.h"
#include "out.h"


#define CLI_ID_MAX  4096


typedef struct {
    cli_ids_t   *ids;
    size_t       room;
    size_t      *slots;         /* open hash table: index + 1, 0 is free */
    size_t       nslots;        /* a power of two */
} cli_set_t;


static bool cli_ids_file(cli_t *cli, cli_set_t *set, const char *name);
static bool cli_ids_add(cli_t *cli, cli_set_t *set, const char *id);
static bool cli_ids_grow(cli_set_t *set);
static size_t *cli_ids_slot(const cli_set_t *set, const char *id);


const char *
cli_opts(const cli_t *cli, const char *name, size_t i)
{
    size_t  n;

    for (n = 0; n < cli->ngiven; n++) {
        if (strcmp(cli->given[n].option->name, name) == 0 && i-- == 0) {
            return cli->given[n].value;
        }
    }

    return NULL;
}


const char *
cli_opt(const cli_t *cli, const char *name)
{
    size_t  n;

    for (n = cli->ngiven; n > 0; n--) {
        if (strcmp(cli->given[n - 1].option->name, name) == 0) {
            return cli->given[n - 1].value;
        }
    }

    return NULL;
}


bool
cli_has(const cli_t *cli, const char *name)
{
    return cli_opt(cli, name) != NULL;
}


bool
cli_opt_int(cli_t *cli, const char *name, long min, long max, long *value)
{
    long         n;
    char        *end;
    const char  *text;

    text = cli_opt(cli, name);

    if (text == NULL) {
        return true;
    }

    errno = 0;
    n = strtol(text, &end, 10);

    if (end == text || *end != '\0' || errno != 0 || n < min || n > max) {
        return cli_usage(cli, "option \"--%s\": \"%s\" is not a number from "
                         "%ld to %ld", name, text, min, max);
    }

    *value = n;

    return true;
}


bool
cli_opt_word(cli_t *cli, const char *name, const char *words)
{
    size_t       len;
    const char  *text, *p;

    text = cli_opt(cli, name);

    if (text == NULL) {
        return true;
    }

    for (p = words; /* void */ ; p += len + 1) {
        len = strcspn(p, "|");

        if (strlen(text) == len && memcmp(text, p, len) == 0) {
            return true;
        }

        if (p[len] == '\0') {
            break;
        }
    }

    return cli_usage(cli, "option \"--%s\": \"%s\" is none of %s", name,
                     text, words);
}


bool
cli_ids(cli_t *cli, int first, int end, cli_ids_t *ids)
{
    int          i;
    bool         ok;
    cli_set_t    set;
    const char  *arg;

    memset(ids, 0, sizeof(cli_ids_t));
    memset(&set, 0, sizeof(cli_set_t));

    set.ids = ids;
    ok = true;

    for (i = first; ok && i < end && i < cli->argc; i++) {
        arg = cli->argv[i];

        if (strcmp(arg, "-") == 0) {
            ok = cli_ids_file(cli, &set, NULL);

        } else if (arg[0] == '@') {
            ok = cli_ids_file(cli, &set, arg + 1);

        } else {
            ok = cli_ids_add(cli, &set, arg);
        }
    }

    free(set.slots);

    if (ok && ids->n == 0) {
        return cli_usage(cli, "no ids are given");
    }

    return ok;
}


static bool
cli_ids_file(cli_t *cli, cli_set_t *set, const char *name)
{
    FILE    *fp;
    char    *line, *id;
    bool     ok, first;
    size_t   size;
    ssize_t  n;

    if (name != NULL && name[0] == '\0') {
        return cli_usage(cli, "\"@\" names no file");
    }

    fp = name ? fopen(name, "re") : stdin;

    if (fp == NULL) {
        return cli_fail(cli, CLI_FAILED, "not_found", NULL, "%s: %s", name,
                        strerror(errno));
    }

    line = NULL;
    size = 0;
    ok = true;

    for (first = true; ok && (n = getline(&line, &size, fp)) >= 0;
         first = false)
    {
        if (!gb_text_utf8_valid(line, (size_t) n)
            || memchr(line, '\0', (size_t) n) != NULL)
        {
            ok = cli_fail(cli, CLI_FAILED, "invalid", NULL,
                          "%s: not a text file in UTF-8",
                          name ? name : "standard input");
            break;
        }

        /* spreadsheets put a byte order mark first */

        id = line + (first && strncmp(line, "\xef\xbb\xbf", 3) == 0 ? 3 : 0);
        id += strspn(id, " \t\r\n");

        for (n = (ssize_t) strlen(id);
             n > 0 && strchr("\r\n \t", id[n - 1]) != NULL; n--)
        {
            id[n - 1] = '\0';
        }

        ok = n == 0 || cli_ids_add(cli, set, id);
    }

    if (ok && ferror(fp)) {
        ok = cli_fail(cli, CLI_FAILED, "failed", NULL, "%s: %s",
                      name ? name : "standard input", strerror(errno));
    }

    free(line);

    if (name != NULL) {
        fclose(fp);
    }

    return ok;
}


static bool
cli_ids_add(cli_t *cli, cli_set_t *set, const char *id)
{
    char    *copy;
    size_t  *slot;

    if (id[0] == '\0') {
        return cli_usage(cli, "an id is empty");
    }

    if (strlen(id) > CLI_ID_MAX) {
        return cli_usage(cli, "an id is longer than %d bytes", CLI_ID_MAX);
    }

    if (set->ids->n >= set->room && !cli_ids_grow(set)) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    slot = cli_ids_slot(set, id);

    if (*slot != 0) {
        return true;
    }

    copy = strdup(id);

    if (copy == NULL) {
        return cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    set->ids->ids[set->ids->n++] = copy;
    *slot = set->ids->n;

    return true;
}


/* the table is kept at most half full */

static bool
cli_ids_grow(cli_set_t *set)
{
    char    **ids;
    size_t    i, room;

    room = set->room ? set->room * 2 : 64;
    ids = realloc(set->ids->ids, room * sizeof(char *));

    if (ids == NULL) {
        return false;
    }

    set->ids->ids = ids;

    free(set->slots);
    set->slots = calloc(room * 2, sizeof(size_t));

    if (set->slots == NULL) {
        return false;
    }

    set->room = room;
    set->nslots = room * 2;

    for (i = 0; i < set->ids->n; i++) {
        *cli_ids_slot(set, ids[i]) = i + 1;
    }

    return true;
}


static size_t *
cli_ids_slot(const cli_set_t *set, const char *id)
{
    size_t                i;
    unsigned long         h;
    const unsigned char  *p;

    h = 14695981039346656037UL;

    for (p = (const unsigned char *) id; *p != '\0'; p++) {
        h = (h ^ *p) * 1099511628211UL;
    }

    for (i = h & (set->nslots - 1);
         set->slots[i] != 0
         && strcmp(set->ids->ids[set->slots[i] - 1], id) != 0;
         i = (i + 1) & (set->nslots - 1))
    {
        /* void */
    }

    return &set->slots[i];
}


void
cli_ids_free(cli_ids_t *ids)
{
    size_t  i;

    for (i = 0; i < ids->n; i++) {
        free(ids->ids[i]);
    }

    free(ids->ids);
    memset(ids, 0, sizeof(cli_ids_t));
}


bool
cli_confirm(cli_t *cli, const char *fmt, ...)
{
    char     question[1024], answer[16];
    va_list  args;

    if (cli->yes || cli->dry_run) {
        return true;
    }

    va_start(args, fmt);
    vsnprintf(question, sizeof(question), fmt, args);
    va_end(args);

    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        return cli_fail(cli, CLI_FAILED, "refused",
                        "give --yes to do it without being asked",
                        "refused without a terminal to ask on: %s",
                        question);
    }

    out_sync();
    fprintf(stderr, "%s [y/N] ", question);

    if (fgets(answer, sizeof(answer), stdin) == NULL) {
        fputc('\n', stderr);

    } else if (answer[0] == 'y' || answer[0] == 'Y') {
        return true;
    }

    return cli_fail(cli, CLI_FAILED, "refused", NULL, "nothing was done");
}
