/*
 * --help at every level, and the word that was meant.
 */

#include <string.h>

#include "cli.h"


static void cli_help_options(FILE *fp, const char *title,
    const cli_option_t *options, bool dry);
static void cli_help_words(FILE *fp, const char *text, size_t indent,
    size_t at);
static size_t cli_distance(const char *a, const char *b);


void
cli_help(FILE *fp, const cli_noun_t *const *nouns, const cli_noun_t *noun,
    const cli_verb_t *verb)
{
    size_t             i;
    const cli_verb_t  *v;

    if (verb != NULL) {
        fprintf(fp, "gbctl %s%s%s: %s\n\nUsage: gbctl [OPTIONS] %s%s%s%s%s\n",
                noun->name, verb->name[0] ? " " : "", verb->name, verb->help,
                noun->name, verb->name[0] ? " " : "", verb->name,
                verb->synopsis[0] ? " " : "", verb->synopsis);

        if (verb->options != NULL && verb->options->name != NULL) {
            cli_help_options(fp, "Options", verb->options, true);
        }

        cli_help_options(fp, "Global options", cli_globals,
                         verb->flags & CLI_DRY);
        return;
    }

    if (noun != NULL) {
        fprintf(fp, "gbctl %s: %s\n\nUsage: gbctl [OPTIONS] %s VERB\n\n"
                "Verbs:\n", noun->name, noun->help, noun->name);

        for (v = noun->verbs; v->name != NULL; v++) {
            fprintf(fp, "  %-14s %s\n", v->name, v->help);
        }

        fprintf(fp, "\nMore: gbctl %s VERB --help\n", noun->name);
        return;
    }

    fputs("gbctl: administers a gooseBit update server\n\n"
          "Usage: gbctl [OPTIONS] NOUN VERB [ARGUMENTS]\n\nNouns:\n", fp);

    for (i = 0; nouns[i] != NULL; i++) {
        if (nouns[i]->name[0] != '_') {
            fprintf(fp, "  %-14s %s\n", nouns[i]->name, nouns[i]->help);
        }
    }

    cli_help_options(fp, "Global options", cli_globals, true);

    fputs("\nExit codes: 0 done, 1 refused or failed, 2 usage, 3 no database "
          "or not this\nversion's schema, 4 not permitted.\n"
          "More: gbctl NOUN --help\n", fp);
}


static void
cli_help_options(FILE *fp, const char *title, const cli_option_t *options,
    bool dry)
{
    char                 left[64], letter[8], help[256];
    const cli_option_t  *o;

    fprintf(fp, "\n%s:\n", title);

    for (o = options; o->name != NULL; o++) {

        if ((o->flags & CLI_LATER)
            || (!dry && strcmp(o->name, "dry-run") == 0))
        {
            continue;
        }

        snprintf(letter, sizeof(letter), o->letter ? "-%c," : "   ",
                 o->letter);
        snprintf(left, sizeof(left), "%s --%s%s%s", letter, o->name,
                 o->arg ? " " : "", o->arg ? o->arg : "");

        snprintf(help, sizeof(help), "%s%s", o->help,
                 o->flags & CLI_MANY ? " (may be repeated)" : "");

        fprintf(fp, "  %-28s ", left);
        cli_help_words(fp, help, 31, strlen(left) > 28 ? strlen(left) + 3
                                                       : 31);
    }
}


/* wraps before column 80; AT is where the cursor stands */

static void
cli_help_words(FILE *fp, const char *text, size_t indent, size_t at)
{
    bool    first;
    size_t  len;

    for (first = true; *text != '\0'; first = false) {
        len = strcspn(text, " ");

        if (at + !first + len > 80 && at > indent) {
            fprintf(fp, "\n%*s", (int) indent, "");
            at = indent;
            first = true;
        }

        fprintf(fp, "%s%.*s", first ? "" : " ", (int) len, text);
        at += !first + len;
        text += len;
        text += strspn(text, " ");
    }

    fputc('\n', fp);
}


const char *
cli_nearest(const char *word, const char *const *words)
{
    size_t       d, best, len;
    const char  *near;

    near = NULL;
    len = strlen(word);
    best = len / 3 + 2;

    for ( /* void */ ; *words != NULL; words++) {

        if (len >= 2 && strncmp(*words, word, len) == 0) {
            return *words;
        }

        d = cli_distance(word, *words);

        if (d < best && d < len) {
            best = d;
            near = *words;
        }
    }

    return near;
}


/* changes, with a swap of two neighbours counting as one */

static size_t
cli_distance(const char *a, const char *b)
{
    size_t  i, j, n, m, d, row[3][34];

    n = strlen(a);
    m = strlen(b);

    if (n > 32 || m > 32) {
        return 32;
    }

    for (j = 0; j <= m; j++) {
        row[0][j] = j;
    }

    for (i = 1; i <= n; i++) {
        row[i % 3][0] = i;

        for (j = 1; j <= m; j++) {
            d = row[(i - 1) % 3][j - 1] + (a[i - 1] != b[j - 1]);

            if (row[(i - 1) % 3][j] + 1 < d) {
                d = row[(i - 1) % 3][j] + 1;
            }

            if (row[i % 3][j - 1] + 1 < d) {
                d = row[i % 3][j - 1] + 1;
            }

            if (i > 1 && j > 1 && a[i - 1] == b[j - 2]
                && a[i - 2] == b[j - 1]
                && row[(i - 2) % 3][j - 2] + 1 < d)
            {
                d = row[(i - 2) % 3][j - 2] + 1;
            }

            row[i % 3][j] = d;
        }
    }

    return row[n % 3][m];
}
