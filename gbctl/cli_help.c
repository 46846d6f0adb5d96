/*
 * --help at every level, and the word that was meant.
 */

#include <string.h>

#include <gb_text.h>

#include "cli.h"


static void cli_help_options(FILE *fp, const char *title,
    const cli_option_t *options, bool dry);
static void cli_help_words(FILE *fp, const char *text, size_t indent,
    size_t at);


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
    size_t  n;

    for (n = 0; words[n] != NULL; n++) { /* void */ }

    return gb_text_meant(word, words, n);
}
