/*
 * gb_config: goosebit.yaml and the GOOSEBIT_* variables, as gooseBit 0.2.9 to
 * 0.2.12 name and type them (pydantic-settings' rules; goosebit.yaml(5) says
 * where this server differs).  Used by gbctl and by nginx's master alike: no
 * globals, no exit, no output.
 *
 * The file is the first of: the one named by the caller, $GOOSEBIT_CONFIG,
 * $GOOSEBIT_SETTINGS, ./goosebit.yaml (only with GB_CONFIG_CWD),
 * /etc/goosebit.yaml.  The last three may be missing.  Environment beats file
 * beats default, key by key.
 */

#ifndef GB_CONFIG_H
#define GB_CONFIG_H


#include <stdbool.h>
#include <stddef.h>

#include "gb_error.h"
#include "gb_s3.h"


#define GB_CONFIG_CWD    0x01   /* look for ./goosebit.yaml, too (gbctl) */

/*
 * Return an object in spite of errors, so that every one of them can be
 * listed (gbctl config check): then look at nerrors.  A wrong value leaves
 * its key at the default.
 */
#define GB_CONFIG_KEEP   0x02


typedef enum {
    GB_CONFIG_AUTH_SETUP = 0,
    GB_CONFIG_AUTH_STRICT,
    GB_CONFIG_AUTH_EXTERNAL,
    GB_CONFIG_AUTH_LAX
} gb_config_auth_e;


typedef enum {
    GB_CONFIG_EXTERNAL_BEARER = 0,
    GB_CONFIG_EXTERNAL_JSON
} gb_config_external_e;


typedef enum {
    GB_CONFIG_FILESYSTEM = 0,
    GB_CONFIG_S3
} gb_config_backend_e;


typedef enum {
    GB_CONFIG_DEFAULT = 0,
    GB_CONFIG_FROM_FILE,
    GB_CONFIG_FROM_ENV
} gb_config_from_e;


typedef enum {
    GB_CONFIG_NOTE_ERROR = 0,
    GB_CONFIG_NOTE_WARNING,     /* accepted, but say so */
    GB_CONFIG_NOTE_IGNORED      /* a GOOSEBIT_* variable nobody knows */
} gb_config_note_e;


typedef struct {
    gb_config_note_e   kind;
    char              *text;    /* one line: "FILE:LINE: text" */
} gb_config_note_t;


typedef struct gb_config_origin_s  gb_config_origin_t;


/*
 * Strings belong to the object; NULL where a key has no value.  Every string
 * is valid UTF-8 without control characters.
 */
typedef struct {
    int                      port;                      /* 1-65535 */
    char                   **tenant;                    /* ntenant >= 1 */
    size_t                   ntenant;
    int                      poll_time;                 /* s, 1-86399 */
    int                      max_concurrent_updates;    /* >= 0 */
    bool                     track_device_ip;

    struct {
        bool                   enable;
        gb_config_auth_e       mode;
        char                  *external_url;    /* set in mode external */
        gb_config_external_e   external_mode;
        char                  *external_json_key;
    } device_auth;

    char                    *db_uri;            /* as written; may be NULL */
    char                    *db_ssl_crt;        /* path */
    char                    *artifacts_dir;     /* path, never NULL */

    struct {
        gb_config_backend_e    backend;

        struct {
            char              *bucket;          /* set if backend is s3 */
            char              *region;          /* never NULL */
            char              *endpoint_url;
            char              *access_key_id;
            char              *secret_access_key;
        } s3;
    } storage;

    struct {
        struct {
            bool               enable;
        } prometheus;
    } metrics;

    char                    *rauc_compatible_pattern;

    /*
     * What libpq is given: db_uri with a scheme libpq knows, without what
     * only gooseBit's own drivers know and, where db_ssl_crt is set, with
     * sslrootcert and sslmode=verify-full (as gooseBit means it); "" if both
     * are NULL (PG* variables alone).  Holds the password.
     */
    char                    *conninfo;

    char                    *file;              /* what was read, or NULL */

    gb_config_note_t        *notes;             /* in the order met */
    size_t                   nnotes;
    size_t                   nerrors;           /* > 0 only with KEEP */

    gb_config_origin_t      *origin;            /* for gb_config_each() */
} gb_config_t;


/*
 * Returns a new object, to be freed with gb_config_free(); NULL with err set
 * to the first error ("FILE:LINE: ...", or "GOOSEBIT_X: ..." for a variable).
 * file NULL searches as said above.  Relative paths in a file are relative to
 * the folder of that file.
 */
gb_config_t *gb_config_load(const char *file, unsigned flags,
    gb_error_t *err) GB_MUST_CHECK;

/* the same with another environment ("NAME=value", NULL at the end) */
gb_config_t *gb_config_load_env(const char *file, unsigned flags,
    char *const *env, gb_error_t *err) GB_MUST_CHECK;

void gb_config_free(gb_config_t *cf);


typedef enum {
    GB_CONFIG_STRING = 0,
    GB_CONFIG_INT,
    GB_CONFIG_BOOL,
    GB_CONFIG_LIST          /* value is "a, b" */
} gb_config_type_e;


typedef struct {
    const char              *key;       /* "device_auth.mode" */
    const char              *value;     /* as YAML would have it; NULL: none */
    gb_config_type_e         type;
    gb_config_from_e         from;
    const char              *origin;    /* "default", "FILE:7", "GOOSEBIT_X" */
    bool                     secret;    /* there is something to hide in it */
    bool                     unused;    /* accepted, without effect here */
} gb_config_entry_t;


typedef int (*gb_config_each_pt)(void *data, const gb_config_entry_t *entry);

/*
 * Calls cb for every key in the order of gooseBit's schema, until it
 * returns other than 0; returns that.  Unless secrets is true, a secret's
 * value is "***", and in a URI the password alone is.  entry and its strings
 * live for the call only.  GB_NOMEM without memory.
 */
int gb_config_each(const gb_config_t *cf, bool secrets, gb_config_each_pt cb,
    void *data);

/* device_auth for the SQL calls: "off", "strict", "lax", "setup", "external" */
const char *gb_config_auth(const gb_config_t *cf);

/* storage.s3 for gb_s3_init(); the strings stay the configuration's */
void gb_config_s3(const gb_config_t *cf, gb_s3_place_t *place);

/*
 * "HH:MM:SS", 00:00:01 to 23:59:59, to seconds; GB_ERROR for anything else.
 * Also for gbctl's --poll-time.
 */
int gb_config_time(const char *s, int *seconds) GB_MUST_CHECK;

/*
 * Copies a connection string (URI or keywords) with its password as "***":
 * for messages.  Returns bytes; two passes as in gb_text.h.
 */
size_t gb_config_mask_uri(const char *uri, char *out);


#endif /* GB_CONFIG_H */
