/*
 * Completion: what may stand where the cursor is, from the same tables as
 * --help, and ids from the database.  Shells ask the hidden verb __complete
 * with the line's words, the last of which is being typed; it prints a
 * candidate a line, after a tab what it is.  ":files" stands for any file.
 * Nothing it fails at is ever said.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "completion.h"
#include "db.h"


typedef struct {
    cli_t               *cli;
    const char          *word;      /* being typed */
    const char          *before;    /* "--option=", as long as NBEFORE */
    int                  nbefore;
    const cli_noun_t    *noun;
    const cli_verb_t    *verb;
    const cli_option_t  *option;    /* waits for its value */
    int                  n;         /* positional arguments before */
    const cli_option_t **given;     /* before; owned */
    int                  ngiven;
} complete_t;


static bool cmd_complete(cli_t *cli);
static bool complete_word(complete_t *c, const char *word);
static void complete_given(complete_t *c, const cli_option_t *option);
static bool complete_has(const complete_t *c, const char *option);
static const cli_option_t *complete_find(const complete_t *c,
    const char *name, size_t len, char letter);
static void complete_global(complete_t *c, const cli_option_t *option,
    const char *value);
static void complete_last(complete_t *c);
static void complete_options(complete_t *c, const cli_option_t *options);
static void complete_value(complete_t *c, const cli_option_t *option);
static void complete_argument(complete_t *c);
static void complete_token(complete_t *c, const char *token, size_t len);
static void complete_words(complete_t *c, const char *words);
static void complete_ids(complete_t *c, const char *kind);
static void complete_print(complete_t *c, const char *word,
    const char *help);
static bool complete_bash(cli_t *cli);
static bool complete_fish(cli_t *cli);
static bool complete_zsh(cli_t *cli);


static const cli_verb_t  cmd_completion_verbs[] = {

    { "bash", "", "for ~/.bashrc: source <(gbctl completion bash)", NULL,
      complete_bash, 0, 0, 0 },

    { "fish", "", "for fish: gbctl completion fish | source", NULL,
      complete_fish, 0, 0, 0 },

    { "zsh", "", "for ~/.zshrc: source <(gbctl completion zsh)", NULL,
      complete_zsh, 0, 0, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd_completion = {
    "completion", "completion for shells", cmd_completion_verbs
};

static const cli_verb_t  cmd_complete_verbs[] = {
    { "", "-- WORD...", "what may stand for the last word", NULL,
      cmd_complete, 0, CLI_ANY, 0 },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const cli_noun_t  cmd___complete = {
    "__complete", "asked by completion", cmd_complete_verbs
};


/* what values of options are: words, "@KIND" of ids, or ":files" */

static const struct {
    const char  *option;
    const char  *values;
} complete_values[] = {
    { "artifacts", ":files" },
    { "auth", "off strict lax setup external default" },
    { "config", ":files" },
    { "feed", "@feed" },
    { "filter", "" },
    { "mode", "rollout latest assigned pinned" },
    { "output", "table wide json jsonl csv name" },
    { "rights", "viewer operator admin" },
    { "role", "viewer operator admin" },
    { "software", "@software" },
    { "sort", "id name hw_model hw_revision sw_version feed mode state"
      " progress target_version last_seen online" },
    { "state", "waiting running success failure rejected canceled" },
    { "tenant", "@tenant" },
    { "type", "forced soft downloadonly" }
};

#define COMPLETE_VALUES  (sizeof(complete_values) / sizeof(complete_values[0]))


static bool
cmd_complete(cli_t *cli)
{
    int         i;
    char        why[CLI_HELD];
    complete_t  c;

    memset(&c, 0, sizeof(complete_t));

    c.cli = cli;
    c.before = "";
    c.word = cli->argc > 0 ? cli->argv[cli->argc - 1] : "";
    c.given = calloc((size_t) cli->argc + 1, sizeof(cli_option_t *));

    setenv("PGCONNECT_TIMEOUT", "2", 0);
    cli->quiet = true;
    cli_hold(cli, why);

    for (i = 0; c.given != NULL && i < cli->argc - 1; i++) {
        if (!complete_word(&c, cli->argv[i])) {
            break;
        }
    }

    if (c.given != NULL && i >= cli->argc - 1) {
        complete_last(&c);
    }

    cli_hold(cli, NULL);
    free(c.given);

    return true;
}


/* takes a word before the last; false where nothing can follow */

static bool
complete_word(complete_t *c, const char *word)
{
    size_t               i, len;
    const cli_option_t  *o;

    if (c->option != NULL) {
        complete_global(c, c->option, word);
        c->option = NULL;
        return true;
    }

    if (word[0] == '-' && word[1] == '-') {
        len = strcspn(word + 2, "=");
        o = complete_find(c, word + 2, len, '\0');
        complete_given(c, o);

        if (o != NULL && o->arg != NULL && word[2 + len] == '=') {
            complete_global(c, o, word + 3 + len);

        } else if (o != NULL && o->arg != NULL) {
            c->option = o;
        }

        return true;
    }

    if (word[0] == '-' && word[1] != '\0') {

        for (word++; *word != '\0'; word++) {
            o = complete_find(c, NULL, 0, *word);
            complete_given(c, o);

            if (o != NULL && o->arg != NULL) {
                if (word[1] == '\0') {
                    c->option = o;
                } else {
                    complete_global(c, o, word + 1);
                }

                break;
            }
        }

        return true;
    }

    if (c->noun == NULL) {

        for (i = 0; c->cli->nouns[i] != NULL; i++) {
            if (strcmp(c->cli->nouns[i]->name, word) == 0) {
                c->noun = c->cli->nouns[i];
                c->verb = c->noun->verbs->name[0] == '\0' ? c->noun->verbs
                                                          : NULL;
            }
        }

        return c->noun != NULL;
    }

    if (c->verb == NULL) {

        for (i = 0; c->noun->verbs[i].name != NULL; i++) {
            if (strcmp(c->noun->verbs[i].name, word) == 0) {
                c->verb = &c->noun->verbs[i];
            }
        }

        return c->verb != NULL;
    }

    c->n++;

    return true;
}


/* each word gives one, letters may give more: the room is for the words */

static void
complete_given(complete_t *c, const cli_option_t *option)
{
    if (option != NULL && c->ngiven < c->cli->argc) {
        c->given[c->ngiven++] = option;
    }
}


static bool
complete_has(const complete_t *c, const char *option)
{
    int  i;

    for (i = 0; i < c->ngiven; i++) {
        if (strcmp(c->given[i]->name, option) == 0) {
            return true;
        }
    }

    return false;
}


static const cli_option_t *
complete_find(const complete_t *c, const char *name, size_t len, char letter)
{
    int                  table;
    const cli_option_t  *o;

    for (table = 0; table < 2; table++) {

        o = table ? cli_globals : c->verb ? c->verb->options : NULL;

        for ( /* void */ ; o != NULL && o->name != NULL; o++) {
            if (name == NULL ? o->letter == letter
                             : strncmp(o->name, name, len) == 0
                               && o->name[len] == '\0')
            {
                return o;
            }
        }
    }

    return NULL;
}


/* the line's own database and tenant are asked */

static void
complete_global(complete_t *c, const cli_option_t *option, const char *value)
{
    if (strcmp(option->name, "db") == 0) {
        c->cli->db_uri = value;

    } else if (strcmp(option->name, "config") == 0) {
        c->cli->config_file = value;

    } else if (strcmp(option->name, "tenant") == 0) {
        c->cli->tenant = value;
    }
}


static void
complete_last(complete_t *c)
{
    size_t               i, len;
    const char          *name;
    const cli_option_t  *o;

    if (c->option != NULL) {
        complete_value(c, c->option);
        return;
    }

    if (c->word[0] == '-' && c->word[1] == '-'
        && strchr(c->word, '=') != NULL)
    {
        len = strcspn(c->word, "=");
        o = complete_find(c, c->word + 2, len - 2, '\0');

        if (o != NULL && o->arg != NULL) {
            c->before = c->word;
            c->nbefore = (int) len + 1;
            c->word += len + 1;
            complete_value(c, o);
        }

        return;
    }

    if (c->word[0] == '-') {
        complete_options(c, c->verb ? c->verb->options : NULL);
        complete_options(c, cli_globals);
        return;
    }

    if (c->noun == NULL) {

        for (i = 0; c->cli->nouns[i] != NULL; i++) {
            name = c->cli->nouns[i]->name;

            if (name[0] != '_') {
                complete_print(c, name, c->cli->nouns[i]->help);
            }
        }

        return;
    }

    if (c->verb == NULL) {

        for (i = 0; c->noun->verbs[i].name != NULL; i++) {
            complete_print(c, c->noun->verbs[i].name,
                           c->noun->verbs[i].help);
        }

        return;
    }

    complete_argument(c);
}


static void
complete_options(complete_t *c, const cli_option_t *options)
{
    int                  i;
    char                 word[64];
    const cli_option_t  *o;

    for (o = options; o != NULL && o->name != NULL; o++) {

        if ((o->flags & CLI_LATER)
            || (strcmp(o->name, "dry-run") == 0 && c->verb != NULL
                && !(c->verb->flags & CLI_DRY)))
        {
            continue;
        }

        for (i = 0; i < c->ngiven && c->given[i] != o; i++) { /* void */ }

        if (i == c->ngiven || (o->flags & CLI_MANY)) {
            snprintf(word, sizeof(word), "--%s", o->name);
            complete_print(c, word, o->help);
        }
    }
}


static void
complete_value(complete_t *c, const cli_option_t *option)
{
    size_t  i;

    for (i = 0; i < COMPLETE_VALUES; i++) {
        if (strcmp(complete_values[i].option, option->name) == 0) {
            complete_words(c, complete_values[i].values);
            return;
        }
    }
}


/* what the synopsis has at this place; its last token may be repeated */

static void
complete_argument(complete_t *c)
{
    int          i;
    size_t       len, last;
    const char  *p, *before;

    before = NULL;
    last = 0;
    p = c->verb->synopsis;

    /* --filter stands for them */

    if (strncmp(p, "IDS", 3) == 0 && complete_has(c, "filter")) {
        p += 3 + strspn(p + 3, " ");
    }

    for (i = 0; *p != '\0'; i++) {
        len = strcspn(p, " ");

        /* one or more: what follows may stand here, or one more of these */

        if (i < c->n && (strncmp(p, "IDS", 3) == 0
                         || (len > 3 && strncmp(p + len - 3, "...", 3) == 0)
                         || (len > 4 && strncmp(p + len - 4, "...]", 4) == 0)))
        {
            before = p;
            last = len;
        }

        if (i == c->n) {
            complete_token(c, p, len);
            break;
        }

        p += len;
        p += strspn(p, " ");
    }

    if (before != NULL) {
        complete_token(c, before, last);
    }
}


static void
complete_token(complete_t *c, const char *token, size_t len)
{
    size_t  i;
    char    text[64];

    static const struct {
        const char  *token;
        const char  *noun;      /* NULL: any */
        const char  *values;
    } tokens[] = {
        { "FILE", NULL, ":files" },
        { "URI", "import", ":files" },
        { "SOFTWARE", NULL, "@software" },
        { "ID", "device", "@device" },
        { "ID", "rollout", "@rollout" },
        { "ID", "software", "@software" },
        { "NAME", "tenant", "@tenant" }
    };

    len = len < sizeof(text) - 1 ? len : sizeof(text) - 1;
    memcpy(text, token, len);
    text[len] = '\0';

    if (strchr(text, '|') != NULL) {

        for (i = 0; i < len; i++) {
            text[i] = strchr("|[]", text[i]) != NULL ? ' ' : text[i];
        }

        complete_words(c, text);
        return;
    }

    token = text + strspn(text, "[");

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {

        if (strncmp(token, tokens[i].token, strlen(tokens[i].token)) == 0
            && (tokens[i].noun == NULL
                || strcmp(tokens[i].noun, c->noun->name) == 0)
            && !(strcmp(c->verb->name, "add") == 0
                 && tokens[i].noun != NULL))
        {
            complete_words(c, tokens[i].values);
            return;
        }
    }
}


static void
complete_words(complete_t *c, const char *words)
{
    char    word[64];
    size_t  len;

    if (words[0] == '@') {
        complete_ids(c, words + 1);
        return;
    }

    for ( /* void */ ; *words != '\0'; words += len) {
        words += strspn(words, " ");
        len = strcspn(words, " ");

        snprintf(word, sizeof(word), "%.*s", (int) len, words);

        if (strcmp(word, ":files") == 0) {
            puts(word);
        } else if (len > 0) {
            complete_print(c, word, "");
        }
    }
}


static void
complete_ids(complete_t *c, const char *kind)
{
    int        i;
    PGresult  *res;

    res = db_call(c->cli, "SELECT word, help FROM"
                  " goosebit_admin.complete($1, $2, $3)", 3, c->cli->tenant,
                  kind, c->word);

    for (i = 0; res != NULL && i < PQntuples(res); i++) {
        complete_print(c, db_value(res, i, "word"), db_value(res, i, "help"));
    }

    PQclear(res);
}


/* if it begins as what is typed, and can stand in one line */

static void
complete_print(complete_t *c, const char *word, const char *help)
{
    if (strncmp(word, c->word, strlen(c->word)) != 0
        || word[strcspn(word, "\t\n\r")] != '\0')
    {
        return;
    }

    help = help ? help : "";

    printf("%.*s%s%s%.*s\n", c->nbefore, c->before, word, *help ? "\t" : "",
           (int) strcspn(help, "\t\n\r"), help);
}


static bool
complete_bash(cli_t *cli)
{
    (void) cli;
    fputs(completion_bash, stdout);

    return true;
}


static bool
complete_fish(cli_t *cli)
{
    (void) cli;
    fputs(completion_fish, stdout);

    return true;
}


static bool
complete_zsh(cli_t *cli)
{
    (void) cli;
    fputs(completion_zsh, stdout);

    return true;
}
