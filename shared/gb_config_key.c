/*
 * gb_config_key: names, types and defaults are gooseBit's (its
 * settings/schema.py of 0.2.9 and 0.2.12), but for db_uri and artifacts_dir,
 * whose defaults lie in gooseBit's own folder there.
 */

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "gb_config_key.h"
#include "gb_text.h"


static void gb_config_check_tenant(gb_config_load_t *l,
    const gb_config_key_t *key, const char *text);
static void gb_config_check_http(gb_config_load_t *l,
    const gb_config_key_t *key, const char *text);
static void gb_config_check_pattern(gb_config_load_t *l,
    const gb_config_key_t *key, const char *text);
static unsigned gb_config_distance(const char *path, const char *name);
static bool gb_config_group(const char *pattern, const char *name);
static void gb_config_at(gb_config_load_t *l, const char *name);


#define gb_config_offset(field)  offsetof(gb_config_t, field)

#define gb_config_int_key(name, field, value, min, max)                       \
    { name, GB_CONFIG_KIND_INT, gb_config_offset(field), value, NULL, min,    \
      max, false, NULL }
#define gb_config_bool_key(name, field, value)                                \
    { name, GB_CONFIG_KIND_BOOL, gb_config_offset(field), value, NULL, 0, 0,  \
      false, NULL }
#define gb_config_enum_key(name, field, value, words)                         \
    { name, GB_CONFIG_KIND_ENUM, gb_config_offset(field), value, words, 0, 0, \
      false, NULL }
#define gb_config_text_key(name, kind, field, value, secret, check)           \
    { name, kind, gb_config_offset(field), value, NULL, 0, 0, secret, check }
#define gb_config_any_key(name, secret)                                       \
    { name, GB_CONFIG_KIND_ANY, 0, NULL, NULL, 0, 0, secret, NULL }


/* in the order of the enums in gb_config.h */

static const char *const  gb_config_auth_words[] = {
    "setup", "strict", "external", "lax", NULL
};

static const char *const  gb_config_external_words[] = {
    "bearer", "json", NULL
};

static const char *const  gb_config_backend_words[] = {
    "filesystem", "s3", NULL
};


const gb_config_key_t  gb_config_keys[] = {

    gb_config_int_key("port", port, "60053", 1, 65535),

    gb_config_text_key("tenant", GB_CONFIG_KIND_NAMES, tenant, "DEFAULT",
                       false, gb_config_check_tenant),

    { "poll_time", GB_CONFIG_KIND_TIME, gb_config_offset(poll_time),
      "00:01:00", NULL, 0, 0, false, NULL },

    gb_config_int_key("max_concurrent_updates", max_concurrent_updates,
                      "1000", 0, INT_MAX),

    gb_config_bool_key("device_auth.enable", device_auth.enable, "false"),
    gb_config_enum_key("device_auth.mode", device_auth.mode, "strict",
                       gb_config_auth_words),
    gb_config_text_key("device_auth.external_url", GB_CONFIG_KIND_URL,
                       device_auth.external_url, NULL, false,
                       gb_config_check_http),
    gb_config_enum_key("device_auth.external_mode",
                       device_auth.external_mode, "json",
                       gb_config_external_words),
    gb_config_text_key("device_auth.external_json_key", GB_CONFIG_KIND_TEXT,
                       device_auth.external_json_key, "token", false, NULL),

    gb_config_any_key("secret_key", true),
    gb_config_any_key("plugins", false),

    gb_config_text_key("db_uri", GB_CONFIG_KIND_URL, db_uri, NULL, false,
                       gb_config_check_db_uri),
    gb_config_text_key("db_ssl_crt", GB_CONFIG_KIND_PATH, db_ssl_crt, NULL,
                       false, NULL),
    gb_config_text_key("artifacts_dir", GB_CONFIG_KIND_PATH, artifacts_dir,
                       "/var/lib/goosebit/artifacts", false, NULL),

    gb_config_enum_key("storage.backend", storage.backend, "filesystem",
                       gb_config_backend_words),
    gb_config_text_key("storage.s3.bucket", GB_CONFIG_KIND_TEXT,
                       storage.s3.bucket, NULL, false, NULL),
    gb_config_text_key("storage.s3.region", GB_CONFIG_KIND_TEXT,
                       storage.s3.region, "us-east-1", false, NULL),
    gb_config_text_key("storage.s3.endpoint_url", GB_CONFIG_KIND_URL,
                       storage.s3.endpoint_url, NULL, false,
                       gb_config_check_http),
    gb_config_text_key("storage.s3.access_key_id", GB_CONFIG_KIND_TEXT,
                       storage.s3.access_key_id, NULL, false, NULL),
    gb_config_text_key("storage.s3.secret_access_key", GB_CONFIG_KIND_TEXT,
                       storage.s3.secret_access_key, NULL, true, NULL),

    gb_config_bool_key("metrics.prometheus.enable",
                       metrics.prometheus.enable, "false"),

    gb_config_any_key("logging", false),

    gb_config_bool_key("track_device_ip", track_device_ip, "true"),

    gb_config_text_key("rauc_compatible_pattern", GB_CONFIG_KIND_TEXT,
                       rauc_compatible_pattern, NULL, false,
                       gb_config_check_pattern),
};

const size_t  gb_config_nkeys = sizeof(gb_config_keys)
                                / sizeof(gb_config_keys[0]);


gb_config_path_e
gb_config_find(const char *path, size_t *key)
{
    size_t       i, len;
    const char  *name;

    len = strlen(path);

    for (i = 0; i < gb_config_nkeys; i++) {
        name = gb_config_keys[i].name;
        *key = i;

        if (strcmp(name, path) == 0) {
            return GB_CONFIG_PATH_KEY;
        }

        if (strncmp(name, path, len) == 0 && name[len] == '.') {
            return GB_CONFIG_PATH_SECTION;
        }

        if (gb_config_keys[i].kind == GB_CONFIG_KIND_ANY
            && strncmp(name, path, strlen(name)) == 0
            && path[strlen(name)] == '.')
        {
            return GB_CONFIG_PATH_INSIDE;
        }
    }

    return GB_CONFIG_PATH_UNKNOWN;
}


bool
gb_config_join(char *path, const char *section, const char *name)
{
    int  n;

    n = snprintf(path, GB_CONFIG_PATH, "%s%s%s", section,
                 section[0] == '\0' ? "" : ".", name);

    return n >= 0 && n < GB_CONFIG_PATH;
}


/* by its last name; the right name in another section is nearly as near */

const char *
gb_config_nearest(const char *path, char *text)
{
    size_t       i, len;
    unsigned     d, best;
    const char  *name, *nearest;

    static const char *const  sections[] = {
        "device_auth", "storage", "storage.s3", "metrics",
        "metrics.prometheus"
    };

    nearest = NULL;
    best = 0;

    for (i = 0; i < gb_config_nkeys + 5; i++) {
        name = i < gb_config_nkeys ? gb_config_keys[i].name
                                   : sections[i - gb_config_nkeys];

        d = gb_config_distance(path, name);

        if (nearest == NULL || d < best) {
            nearest = name;
            best = d;
        }
    }

    /* in a section it helps to be told of any of its keys */

    len = strcspn(path, ".");

    if (best >= 100
        && (path[len] == '\0' || strncmp(path, nearest, len + 1) != 0))
    {
        return "";
    }

    snprintf(text, GB_CONFIG_NEAREST, ", the nearest is \"%s\"", nearest);

    return text;
}


static unsigned
gb_config_distance(const char *path, const char *name)
{
    size_t       len;
    unsigned     d;
    const char  *last, *leaf;

    last = strrchr(path, '.');
    last = last == NULL ? path : last + 1;

    leaf = strrchr(name, '.');
    leaf = leaf == NULL ? name : leaf + 1;

    (void) gb_text_nearest(last, &leaf, 1, &d);

    /* little in common: then at least the section should be the same */

    len = strlen(leaf) > strlen(last) ? strlen(leaf) : strlen(last);

    if (2 * d > len) {
        d += 100;
    }

    if (strncmp(path, name, (size_t) (last - path)) != 0) {
        d += d >= 100 ? 100 : 1;

    } else if (strlen(name) - strlen(leaf) != (size_t) (last - path)) {
        d += 1;
    }

    return d;
}


static void
gb_config_check_tenant(gb_config_load_t *l,
    const gb_config_key_t *key, const char *text)
{
    size_t  len;

    if (text == NULL || text[0] == '\0') {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s: must not be empty",
                       key->name);
        return;
    }

    len = strlen(text);

    if (!gb_text_utf8_valid(text, len) || gb_text_has_control(text, len)
        || strchr(text, '/') != NULL || len > 255)
    {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR, "%s \"%s\": must be at most "
                       "255 bytes without slashes and control characters",
                       key->name, text);
    }
}


static void
gb_config_check_http(gb_config_load_t *l,
    const gb_config_key_t *key, const char *text)
{
    size_t  skip;

    skip = gb_text_http(text);

    if (skip == 0 || strchr("/?#", text[skip]) != NULL
        || strpbrk(text, " \"<>\\") != NULL)
    {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s: must be an http:// or https:// URL", key->name);
    }
}


/* which characters a pattern may have is its compiler's to say */

static void
gb_config_check_pattern(gb_config_load_t *l,
    const gb_config_key_t *key, const char *text)
{
    if (!gb_config_group(text, "hw_model")
        && !gb_config_group(text, "hw_boardname"))
    {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s: needs a group (?P<hw_model>...)", key->name);

    } else if (!gb_config_group(text, "hw_revision")) {
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "%s: needs a group (?P<hw_revision>...)", key->name);
    }
}


static bool
gb_config_group(const char *pattern, const char *name)
{
    char  python[32], perl[32];

    snprintf(python, sizeof(python), "(?P<%s>", name);
    snprintf(perl, sizeof(perl), "(?<%s>", name);

    return strstr(pattern, python) != NULL || strstr(pattern, perl) != NULL;
}


void
gb_config_check(gb_config_load_t *l)
{
    gb_s3_t         s3;
    gb_error_t      err;
    gb_config_t    *cf;
    gb_s3_place_t   place;

    cf = l->cf;
    gb_config_s3(cf, &place);

    if (cf->device_auth.mode == GB_CONFIG_AUTH_EXTERNAL) {
        gb_config_at(l, "device_auth.mode");

        if (cf->device_auth.external_url == NULL) {
            gb_config_note(l, GB_CONFIG_NOTE_ERROR, "device_auth.mode "
                           "external needs device_auth.external_url");
        }

        if (cf->device_auth.external_mode == GB_CONFIG_EXTERNAL_JSON
            && cf->device_auth.external_json_key[0] == '\0')
        {
            gb_config_at(l, "device_auth.external_json_key");
            gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                           "device_auth.external_json_key: must not be empty "
                           "with device_auth.external_mode json");
        }
    }

    if (cf->storage.backend == GB_CONFIG_S3 && cf->storage.s3.bucket == NULL) {
        gb_config_at(l, "storage.backend");
        gb_config_note(l, GB_CONFIG_NOTE_ERROR,
                       "storage.backend s3 needs storage.s3.bucket");

    } else if (cf->storage.backend == GB_CONFIG_S3
               && gb_s3_init(&s3, &place, &err) != GB_OK)
    {
        /* what else gbctl does, it can do without */

        gb_config_at(l, "storage.backend");
        gb_config_note(l, GB_CONFIG_NOTE_WARNING, "storage.backend s3 cannot "
                       "be used: %s", err.message);
    }
}


void
gb_config_s3(const gb_config_t *cf, gb_s3_place_t *place)
{
    place->endpoint_url = cf->storage.s3.endpoint_url;
    place->bucket = cf->storage.s3.bucket;
    place->region = cf->storage.s3.region;
    place->access_key_id = cf->storage.s3.access_key_id;
    place->secret_access_key = cf->storage.s3.secret_access_key;
}


/* lets the next note stand where that key got its value */

static void
gb_config_at(gb_config_load_t *l, const char *name)
{
    size_t               key;
    gb_config_origin_t  *origin;

    (void) gb_config_find(name, &key);

    origin = &l->cf->origin[key];

    l->from = origin->from;
    l->line = origin->line;
    l->name = NULL;

    if (origin->from == GB_CONFIG_FROM_FILE) {
        l->name = l->cf->file;

    } else if (origin->from == GB_CONFIG_FROM_ENV) {
        l->name = origin->variable;
    }
}
