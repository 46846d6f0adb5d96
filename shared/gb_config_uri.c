/*
 * gb_config_uri: db_uri between gooseBit's drivers (tortoise, asyncpg) and
 * libpq, and connection strings without their password.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gb_config_key.h"
#include "gb_text.h"


#define GB_CONFIG_MASK  "***"


typedef struct {
    char    *out;
    size_t   len;
} gb_config_out_t;


static void gb_config_put(gb_config_out_t *o, const char *s, size_t len);
static const char *gb_config_authority(const char *uri, const char **query);
static size_t gb_config_secret(const char *s);
static const char *gb_config_secret_end(const char *s, bool uri);
static size_t gb_config_libpq(gb_config_load_t *l, char *out, bool notes);
static void gb_config_libpq_uri(gb_config_load_t *l, gb_config_out_t *o,
    bool notes);
static bool gb_config_libpq_param(gb_config_load_t *l, gb_config_out_t *o,
    const char *p, size_t len);
static void gb_config_libpq_words(gb_config_load_t *l, gb_config_out_t *o);


static const char *const  gb_config_schemes[] = {
    "postgresql", "postgres", "asyncpg", "psycopg"
};


void
gb_config_check_db_uri(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text)
{
    int          n;
    size_t       i, len;
    const char  *end;

    end = strstr(text, "://");

    if (strncasecmp(text, "sqlite:", 7) == 0) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: SQLite is not served "
                       "here: name a PostgreSQL database, and take the old "
                       "data over with \"gbctl import goosebit URI\"",
                       key->name);
        return;
    }

    if (end == NULL) {
        if (strchr(text, '=') == NULL) {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: must be like "
                           "postgres://user:password@host:5432/db",
                           key->name);
        }

        return;
    }

    len = end - text;
    n = len < 32 ? (int) len : 32;

    for (i = 0; i < 4; i++) {
        if (strlen(gb_config_schemes[i]) == len
            && strncmp(gb_config_schemes[i], text, len) == 0)
        {
            return;
        }
    }

    /* a keyword string may hold "://" in a value */

    if (memchr(text, '=', len) == NULL) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: \"%.*s\" is not "
                       "PostgreSQL: must be like "
                       "postgres://user:password@host:5432/db", key->name, n,
                       text);
    }
}


void
gb_config_conninfo(gb_config_load_t *l)
{
    char    *s;
    size_t   n;

    n = gb_config_libpq(l, NULL, true);

    s = malloc(n + 1);
    if (s == NULL) {
        l->nomem = true;
        return;
    }

    (void) gb_config_libpq(l, s, false);
    s[n] = '\0';

    free(l->cf->conninfo);
    l->cf->conninfo = s;
}


size_t
gb_config_mask_uri(const char *uri, char *out)
{
    bool              is_uri;
    size_t            n;
    const char       *s, *at, *colon, *query;
    gb_config_out_t   o;

    o.out = out;
    o.len = 0;

    s = strstr(uri, "://");
    is_uri = s != NULL && strcspn(uri, "= '\"") > (size_t) (s - uri);
    s = uri;

    if (is_uri) {
        at = gb_config_authority(uri, &query);
        s = strstr(uri, "://") + 3;

        if (at != NULL) {
            colon = memchr(s, ':', at - s);

            if (colon != NULL) {
                gb_config_put(&o, uri, colon + 1 - uri);
                gb_config_put(&o, GB_CONFIG_MASK, 3);
                uri = at;
            }
        }

        gb_config_put(&o, uri, query - uri);
        s = query;
    }

    while (*s != '\0') {
        n = gb_config_secret(s);

        if (n == 0) {
            gb_config_put(&o, s++, 1);
            continue;
        }

        gb_config_put(&o, s, n);
        gb_config_put(&o, GB_CONFIG_MASK, 3);
        s = gb_config_secret_end(s + n, is_uri);
    }

    return o.len;
}


static void
gb_config_put(gb_config_out_t *o, const char *s, size_t len)
{
    if (o->out != NULL) {
        memcpy(o->out + o->len, s, len);
    }

    o->len += len;
}


/*
 * As libpq splits a URI: an '@' before the first '/' ends the user's part,
 * whatever stands in it.  Returns that '@' or NULL; *query is the first '?'
 * behind it, or the end.
 */

static const char *
gb_config_authority(const char *uri, const char **query)
{
    const char  *s, *at;

    s = strstr(uri, "://") + 3;

    at = s + strcspn(s, "@/");
    at = *at == '@' ? at : NULL;

    s = at != NULL ? at : s;
    *query = s + strcspn(s, "?");

    return at;
}


/* the bytes of "password =", "sslpassword=" ... at s, or 0 */

static size_t
gb_config_secret(const char *s)
{
    size_t  n;

    n = sizeof("password") - 1;

    if (strncasecmp(s, "password", n) != 0) {
        return 0;
    }

    n += strspn(s + n, " \t");

    if (s[n] != '=') {
        return 0;
    }

    n++;

    return n + strspn(s + n, " \t");
}


static const char *
gb_config_secret_end(const char *s, bool uri)
{
    if (uri) {
        return s + strcspn(s, "&#");
    }

    if (*s != '\'') {
        for ( /* void */ ; *s != '\0' && *s != ' ' && *s != '\t'; s++) {
            if (s[0] == '\\' && s[1] != '\0') {
                s++;
            }
        }

        return s;
    }

    for (s++; *s != '\0' && *s != '\''; s++) {
        if (s[0] == '\\' && s[1] != '\0') {
            s++;
        }
    }

    return *s == '\'' ? s + 1 : s;
}


static size_t
gb_config_libpq(gb_config_load_t *l, char *out, bool notes)
{
    size_t            i;
    const char       *uri;
    gb_config_out_t   o;

    o.out = out;
    o.len = 0;

    uri = l->cf->db_uri;

    if (uri != NULL) {
        for (i = 0; i < 4; i++) {
            if (strncmp(uri, gb_config_schemes[i],
                        strlen(gb_config_schemes[i])) == 0
                && strncmp(uri + strlen(gb_config_schemes[i]), "://", 3) == 0)
            {
                gb_config_libpq_uri(l, &o, notes);
                return o.len;
            }
        }
    }

    gb_config_libpq_words(l, &o);

    return o.len;
}


static void
gb_config_libpq_uri(gb_config_load_t *l, gb_config_out_t *o, bool notes)
{
    size_t             len;
    const char        *uri, *query, *p;
    gb_config_out_t    probe;

    static const char  hex[] = "0123456789ABCDEF";

    uri = l->cf->db_uri;

    (void) gb_config_authority(uri, &query);

    gb_config_put(o, "postgresql", 10);
    p = strstr(uri, "://");
    gb_config_put(o, p, query - p);

    len = 0;

    for (p = query; *p != '\0'; p += len) {
        p++;
        len = strcspn(p, "&");
        probe.out = NULL;
        probe.len = 0;

        if (!gb_config_libpq_param(l, &probe, p, len)) {
            if (notes) {
                gb_config_note(l, GB_CONFIG_NOTE_WARNING, "db_uri: \"%.*s\" "
                               "is without effect in this server",
                               (int) strcspn(p, "=&"), p);
            }

            continue;
        }

        if (probe.len != 0) {
            gb_config_put(o, query != NULL ? "?" : "&", 1);
            query = NULL;
            (void) gb_config_libpq_param(l, o, p, len);
        }
    }

    p = l->cf->db_ssl_crt;

    /* with a root certificate libpq would verify in spite of "none" */

    if (p == NULL || strstr(uri, "sslmode=none") != NULL) {
        return;
    }

    gb_config_put(o, query != NULL ? "?" : "&", 1);
    gb_config_put(o, "sslrootcert=", 12);

    for ( /* void */ ; *p != '\0'; p++) {
        if (strchr("/-_.~", *p) != NULL || (*p >= '0' && *p <= '9')
            || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))
        {
            gb_config_put(o, p, 1);
            continue;
        }

        gb_config_put(o, "%", 1);
        gb_config_put(o, &hex[(unsigned char) *p >> 4], 1);
        gb_config_put(o, &hex[*p & 0x0f], 1);
    }

    if (strstr(uri, "sslmode=") == NULL) {
        gb_config_put(o, "&sslmode=verify-full", 20);
    }
}


/*
 * One parameter as libpq has it (nothing at all if it is empty); false for
 * those that only gooseBit's drivers know, on which libpq would fail.
 */

static bool
gb_config_libpq_param(gb_config_load_t *l, gb_config_out_t *o, const char *p,
    size_t len)
{
    size_t  i, n;

    static const char *const  foreign[] = {
        "minsize", "maxsize", "max_queries", "schema", "timeout",
        "max_inactive_connection_lifetime", "command_timeout",
        "statement_cache_size", "max_cached_statement_lifetime",
        "max_cacheable_statement_size", "verifyflags"
    };

    n = strcspn(p, "=&");

    for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (strlen(foreign[i]) == n && strncmp(foreign[i], p, n) == 0) {
            return false;
        }
    }

    /* gooseBit's own words for sslmode come with db_ssl_crt only */

    if (l->cf->db_ssl_crt != NULL && len == 12
        && strncmp(p, "sslmode=none", len) == 0)
    {
        gb_config_put(o, "sslmode=require", 15);

    } else if (l->cf->db_ssl_crt != NULL
               && ((len == 16 && strncmp(p, "sslmode=optional", len) == 0)
                   || (len == 15 && strncmp(p, "sslmode=require", len) == 0)))
    {
        gb_config_put(o, "sslmode=verify-full", 19);

    } else {
        gb_config_put(o, p, len);
    }

    return true;
}


static void
gb_config_libpq_words(gb_config_load_t *l, gb_config_out_t *o)
{
    const char  *uri, *p;

    uri = l->cf->db_uri != NULL ? l->cf->db_uri : "";
    p = l->cf->db_ssl_crt;

    gb_config_put(o, uri, strlen(uri));

    if (p == NULL || strstr(uri, "sslrootcert") != NULL) {
        return;
    }

    if (o->len != 0) {
        gb_config_put(o, " ", 1);
    }

    if (strstr(uri, "sslmode") == NULL) {
        gb_config_put(o, "sslmode=verify-full ", 20);
    }

    gb_config_put(o, "sslrootcert='", 13);

    for ( /* void */ ; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\') {
            gb_config_put(o, "\\", 1);
        }

        gb_config_put(o, p, 1);
    }

    gb_config_put(o, "'", 1);
}
