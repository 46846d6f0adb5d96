/*
 * gb_config_key: the settings as a table, and how a text becomes a value.
 * Private to gb_config*.c.
 */

#ifndef GB_CONFIG_KEY_H
#define GB_CONFIG_KEY_H


#include "gb_config.h"


/* a broken file must not fill the memory with complaints */
#define GB_CONFIG_NOTES  100

#define GB_CONFIG_PATH     256
#define GB_CONFIG_NEAREST  (GB_CONFIG_PATH + 32)


typedef enum {
    GB_CONFIG_KIND_INT = 0,
    GB_CONFIG_KIND_BOOL,
    GB_CONFIG_KIND_TIME,
    GB_CONFIG_KIND_ENUM,
    GB_CONFIG_KIND_TEXT,
    GB_CONFIG_KIND_PATH,
    GB_CONFIG_KIND_URL,
    GB_CONFIG_KIND_NAMES,
    GB_CONFIG_KIND_ANY          /* accepted in any shape, without effect */
} gb_config_kind_e;


typedef struct gb_config_key_s  gb_config_key_t;
typedef struct gb_config_load_s  gb_config_load_t;


struct gb_config_key_s {
    const char            *name;        /* sections joined by dots */
    gb_config_kind_e       kind;
    size_t                 offset;      /* in gb_config_t */
    const char            *value;       /* the default as text; NULL: none */
    const char *const     *words;       /* of an enum, by its number */
    long                   min;
    long                   max;
    bool                   secret;

    /* says what is wrong with a text: a new error in l, or nothing */
    void                 (*check)(gb_config_load_t *l,
                             const gb_config_key_t *key, const char *text);
};


extern const gb_config_key_t  gb_config_keys[];
extern const size_t           gb_config_nkeys;


struct gb_config_origin_s {
    gb_config_from_e       from;
    int                    line;
    char                  *variable;
};


/* one loading: where it stands decides what errors and origins say */

struct gb_config_load_s {
    gb_config_t           *cf;
    gb_error_t             first;       /* the first error */
    bool                   nomem;

    gb_config_from_e       from;
    const char            *name;        /* file or variable */
    int                    line;
};


/* what a path like "device_auth" or "device_auth.mode" is */

typedef enum {
    GB_CONFIG_PATH_UNKNOWN = 0,
    GB_CONFIG_PATH_SECTION,
    GB_CONFIG_PATH_KEY,
    GB_CONFIG_PATH_INSIDE       /* of a key that takes any shape */
} gb_config_path_e;

gb_config_path_e gb_config_find(const char *path, size_t *key);

/* "SECTION.name", or false if it does not fit GB_CONFIG_PATH */
bool gb_config_join(char *path, const char *section, const char *name);

/*
 * The end of a note on a path that is no key: ", the nearest is KEY" in a
 * buffer of GB_CONFIG_NEAREST bytes, or "" if none has anything in common.
 */
const char *gb_config_nearest(const char *path, char *text);

/*
 * gb_config_value.c.  Set key (its number) at the place l names, unless it is
 * set already: the variables come first, then the file.  text NULL is null.
 * What is wrong becomes a note.
 */
void gb_config_set(gb_config_load_t *l, size_t key, const char *text);
void gb_config_set_names(gb_config_load_t *l, size_t key,
    const char *const *names, size_t n);
void gb_config_set_any(gb_config_load_t *l, size_t key);

/* true if something but its default has set it */
bool gb_config_is_set(const gb_config_load_t *l, size_t key);

/* a note at the place l names */
void gb_config_note(gb_config_load_t *l, gb_config_note_e kind,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool gb_config_full(const gb_config_load_t *l);

/* what holds between keys, once all are read */
void gb_config_check(gb_config_load_t *l);

/* gb_config_yaml.c: text is the file's, l->name says which */
void gb_config_yaml(gb_config_load_t *l, const char *text, size_t len);

/* gb_config_env.c */
void gb_config_env(gb_config_load_t *l, char *const *env);
const char *gb_config_getenv(char *const *env, const char *name);

/* gb_config_uri.c */
void gb_config_check_db_uri(gb_config_load_t *l, const gb_config_key_t *key,
    const char *text);
void gb_config_conninfo(gb_config_load_t *l);


#endif /* GB_CONFIG_KEY_H */
