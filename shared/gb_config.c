/*
 * gb_config: from the search for the file to the finished settings, and how
 * they are shown.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gb_config_key.h"


/* goosebit.yaml has 30 keys; nobody needs more, and /dev/zero never ends */
#define GB_CONFIG_FILE_SIZE  (1024 * 1024)

#define GB_CONFIG_SYSTEM     "/etc/goosebit.yaml"
#define GB_CONFIG_LOCAL      "goosebit.yaml"


extern char  **environ;


static void gb_config_defaults(gb_config_load_t *l);
static FILE *gb_config_search(gb_config_load_t *l, const char *file,
    unsigned flags, char *const *env);
static FILE *gb_config_open(gb_config_load_t *l, const char *file,
    bool must);
static void gb_config_read(gb_config_load_t *l, FILE *fp);
static char *gb_config_show(const gb_config_t *cf, const gb_config_key_t *key,
    bool secrets, bool *secret);
static char *gb_config_show_names(const gb_config_t *cf);
static char *gb_config_show_text(const gb_config_key_t *key, const char *text,
    bool secrets, bool *secret);


gb_config_t *
gb_config_load(const char *file, unsigned flags, gb_error_t *err)
{
    return gb_config_load_env(file, flags, environ, err);
}


gb_config_t *
gb_config_load_env(const char *file, unsigned flags, char *const *env,
    gb_error_t *err)
{
    FILE              *fp;
    gb_config_t       *cf;
    gb_config_load_t   l;

    memset(&l, 0, sizeof(l));

    cf = calloc(1, sizeof(gb_config_t));

    if (cf != NULL) {
        l.cf = cf;
        cf->origin = calloc(gb_config_nkeys, sizeof(gb_config_origin_t));
        cf->notes = calloc(GB_CONFIG_NOTES, sizeof(gb_config_note_t));
    }

    if (cf == NULL || cf->origin == NULL || cf->notes == NULL) {
        gb_config_free(cf);
        (void) gb_error_nomem(err);
        return NULL;
    }

    gb_config_defaults(&l);
    gb_config_env(&l, env);

    fp = gb_config_search(&l, file, flags, env);

    if (fp != NULL) {
        gb_config_read(&l, fp);
        fclose(fp);
    }

    gb_config_check(&l);
    gb_config_conninfo(&l);

    if (l.nomem) {
        (void) gb_error_nomem(err);
        gb_config_free(cf);
        return NULL;
    }

    if (cf->nerrors != 0) {

        if (err != NULL) {
            *err = l.first;
        }

        if (!(flags & GB_CONFIG_KEEP)) {
            gb_config_free(cf);
            return NULL;
        }
    }

    return cf;
}


void
gb_config_free(gb_config_t *cf)
{
    size_t                  i;
    const gb_config_key_t  *key;

    if (cf == NULL) {
        return;
    }

    for (i = 0; i < gb_config_nkeys; i++) {
        key = &gb_config_keys[i];

        if (key->kind == GB_CONFIG_KIND_TEXT
            || key->kind == GB_CONFIG_KIND_PATH
            || key->kind == GB_CONFIG_KIND_URL)
        {
            free(*(char **) ((char *) cf + key->offset));
        }

        if (cf->origin != NULL) {
            free(cf->origin[i].variable);
        }
    }

    for (i = 0; i < cf->ntenant; i++) {
        free(cf->tenant[i]);
    }

    for (i = 0; i < cf->nnotes; i++) {
        free(cf->notes[i].text);
    }

    free(cf->tenant);
    free(cf->notes);
    free(cf->origin);
    free(cf->conninfo);
    free(cf->file);
    free(cf);
}


static void
gb_config_defaults(gb_config_load_t *l)
{
    size_t  i;

    l->from = GB_CONFIG_DEFAULT;

    for (i = 0; i < gb_config_nkeys; i++) {
        if (gb_config_keys[i].value != NULL) {
            gb_config_set(l, i, gb_config_keys[i].value);
        }
    }
}


static FILE *
gb_config_search(gb_config_load_t *l, const char *file, unsigned flags,
    char *const *env)
{
    FILE  *fp;

    if (file == NULL) {
        file = gb_config_getenv(env, "GOOSEBIT_CONFIG");
    }

    if (file != NULL) {
        return gb_config_open(l, file, true);
    }

    file = gb_config_getenv(env, "GOOSEBIT_SETTINGS");

    if (file != NULL) {
        fp = gb_config_open(l, file, false);

        if (fp != NULL || l->cf->file != NULL) {
            return fp;
        }

        /* gooseBit goes on silently, too; but it's rarely meant */

        l->from = GB_CONFIG_FROM_ENV;
        l->name = "GOOSEBIT_SETTINGS";
        l->line = 0;

        gb_config_note(l, GB_CONFIG_NOTE_WARNING, "%s: no such file", file);
    }

    if (flags & GB_CONFIG_CWD) {
        fp = gb_config_open(l, GB_CONFIG_LOCAL, false);

        if (fp != NULL || l->cf->file != NULL) {
            return fp;
        }
    }

    return gb_config_open(l, GB_CONFIG_SYSTEM, false);
}


/* cf->file is set if it is there, whether or not it can be read */

static FILE *
gb_config_open(gb_config_load_t *l, const char *file, bool must)
{
    int    n;
    FILE  *fp;

    errno = 0;
    fp = fopen(file, "re");
    n = errno;

    if (fp == NULL && !must && (n == ENOENT || n == ENOTDIR)) {
        return NULL;
    }

    l->cf->file = strdup(file);
    l->nomem |= l->cf->file == NULL;

    l->from = GB_CONFIG_FROM_FILE;
    l->name = l->cf->file;
    l->line = 0;

    if (fp == NULL) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s", strerror(n));
    }

    return fp;
}


static void
gb_config_read(gb_config_load_t *l, FILE *fp)
{
    char    *text;
    size_t   n;

    text = malloc(GB_CONFIG_FILE_SIZE + 1);
    if (text == NULL) {
        l->nomem = true;
        return;
    }

    errno = 0;
    n = fread(text, 1, GB_CONFIG_FILE_SIZE + 1, fp);

    if (ferror(fp)) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s", strerror(errno));

    } else if (n > GB_CONFIG_FILE_SIZE) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "is over %d bytes long",
                       GB_CONFIG_FILE_SIZE);

    } else {
        gb_config_yaml(l, text, n);
    }

    free(text);
}


void
gb_config_note(gb_config_load_t *l, gb_config_note_e kind, const char *fmt,
    ...)
{
    char              *text;
    va_list            args;
    gb_error_t         err;
    gb_config_t       *cf;
    gb_config_note_t  *note;

    cf = l->cf;

    gb_error_clear(&err);

    va_start(args, fmt);
    (void) gb_error_vat(&err, l->name, l->line, fmt, args);
    va_end(args);

    if (kind == GB_CONFIG_NOTE_ERROR && cf->nerrors++ == 0) {
        l->first = err;
    }

    if (gb_config_full(l)) {
        return;
    }

    text = strdup(err.message);
    if (text == NULL) {
        l->nomem = true;
        return;
    }

    note = &cf->notes[cf->nnotes++];
    note->kind = kind;
    note->text = text;
}


bool
gb_config_full(const gb_config_load_t *l)
{
    return l->cf->nnotes == GB_CONFIG_NOTES;
}


int
gb_config_each(const gb_config_t *cf, bool secrets, gb_config_each_pt cb,
    void *data)
{
    int                        rc;
    char                      *value, origin[GB_ERROR_FILE + 16];
    size_t                     i;
    gb_config_entry_t          entry;
    const gb_config_key_t     *key;
    const gb_config_origin_t  *from;

    for (i = 0; i < gb_config_nkeys; i++) {
        key = &gb_config_keys[i];
        from = &cf->origin[i];

        memset(&entry, 0, sizeof(entry));
        entry.key = key->name;
        entry.from = from->from;
        entry.unused = key->kind == GB_CONFIG_KIND_ANY;

        entry.type = key->kind == GB_CONFIG_KIND_INT ? GB_CONFIG_INT
                     : key->kind == GB_CONFIG_KIND_BOOL ? GB_CONFIG_BOOL
                     : key->kind == GB_CONFIG_KIND_NAMES ? GB_CONFIG_LIST
                     : GB_CONFIG_STRING;

        if (from->from == GB_CONFIG_FROM_FILE) {
            snprintf(origin, sizeof(origin), "%.255s:%d", cf->file,
                     from->line);
            entry.origin = origin;

        } else {
            entry.origin = from->from == GB_CONFIG_FROM_ENV ? from->variable
                                                            : "default";
        }

        value = gb_config_show(cf, key, secrets, &entry.secret);

        if (value == NULL) {
            return GB_NOMEM;
        }

        entry.value = value[0] != '\0' ? value : NULL;

        if (entry.unused && from->from != GB_CONFIG_DEFAULT) {
            entry.value = key->secret ? "***" : "...";
        }

        rc = cb(data, &entry);

        free(value);

        if (rc != 0) {
            return rc;
        }
    }

    return GB_OK;
}


/* new, "" for no value */

static char *
gb_config_show(const gb_config_t *cf, const gb_config_key_t *key,
    bool secrets, bool *secret)
{
    int          n;
    char         text[16];
    const void  *field;

    field = (const char *) cf + key->offset;
    *secret = key->secret;

    switch (key->kind) {

    case GB_CONFIG_KIND_INT:
        snprintf(text, sizeof(text), "%d", *(const int *) field);
        return strdup(text);

    case GB_CONFIG_KIND_BOOL:
        return strdup(*(const bool *) field ? "true" : "false");

    case GB_CONFIG_KIND_TIME:
        n = *(const int *) field;
        snprintf(text, sizeof(text), "%02d:%02d:%02d", n / 3600 % 24,
                 n / 60 % 60, n % 60);
        return strdup(text);

    case GB_CONFIG_KIND_ENUM:
        return strdup(key->words[*(const unsigned *) field]);

    case GB_CONFIG_KIND_NAMES:
        return gb_config_show_names(cf);

    case GB_CONFIG_KIND_TEXT:
    case GB_CONFIG_KIND_PATH:
    case GB_CONFIG_KIND_URL:
        return gb_config_show_text(key, *(char *const *) field, secrets,
                                   secret);

    case GB_CONFIG_KIND_ANY:
        break;
    }

    return strdup("");
}


static char *
gb_config_show_names(const gb_config_t *cf)
{
    char    *list;
    size_t   i, len;

    len = 1;

    for (i = 0; i < cf->ntenant; i++) {
        len += strlen(cf->tenant[i]) + 2;
    }

    list = malloc(len);
    if (list == NULL) {
        return NULL;
    }

    list[0] = '\0';

    for (i = 0, len = 0; i < cf->ntenant; i++) {
        len += (size_t) sprintf(list + len, "%s%s", i == 0 ? "" : ", ",
                                cf->tenant[i]);
    }

    return list;
}


static char *
gb_config_show_text(const gb_config_key_t *key, const char *text,
    bool secrets, bool *secret)
{
    char    *masked;
    size_t   n;

    if (text == NULL) {
        *secret = false;
        return strdup("");
    }

    if (key->secret) {
        return strdup(secrets ? text : "***");
    }

    if (key->kind != GB_CONFIG_KIND_URL) {
        return strdup(text);
    }

    n = gb_config_mask_uri(text, NULL);

    masked = malloc(n + 1);
    if (masked == NULL) {
        return NULL;
    }

    (void) gb_config_mask_uri(text, masked);
    masked[n] = '\0';

    *secret = strcmp(masked, text) != 0;

    if (secrets) {
        free(masked);
        return strdup(text);
    }

    return masked;
}


const char *
gb_config_auth(const gb_config_t *cf)
{
    if (!cf->device_auth.enable) {
        return "off";
    }

    switch (cf->device_auth.mode) {

    case GB_CONFIG_AUTH_SETUP:
        return "setup";

    case GB_CONFIG_AUTH_STRICT:
        return "strict";

    case GB_CONFIG_AUTH_EXTERNAL:
        return "external";

    case GB_CONFIG_AUTH_LAX:
        return "lax";
    }

    return "strict";
}


int
gb_config_time(const char *s, int *seconds)
{
    int          i, part[3];
    const char  *p;

    for (i = 0, p = s; i < 3; i++, p += 3) {

        if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9'
            || p[2] != (i < 2 ? ':' : '\0'))
        {
            return GB_ERROR;
        }

        part[i] = (p[0] - '0') * 10 + (p[1] - '0');
    }

    if (part[0] > 23 || part[1] > 59 || part[2] > 59
        || part[0] + part[1] + part[2] == 0)
    {
        return GB_ERROR;
    }

    *seconds = part[0] * 3600 + part[1] * 60 + part[2];

    return GB_OK;
}
