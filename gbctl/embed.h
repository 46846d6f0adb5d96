/*
 * What sql/ held when gbctl was built: gbctl/embed.pl writes the rest.
 */

#ifndef GBCTL_EMBED_H
#define GBCTL_EMBED_H


#include <stddef.h>


typedef enum {
    EMBED_ROLES = 0,        /* sql/roles.sql */
    EMBED_MIGRATION,        /* sql/migrations/NNNN_name.sql, by number */
    EMBED_FUNCTION,         /* sql/functions/NAME.sql, by name */
    EMBED_GRANTS            /* sql/grants.sql */
} embed_kind_e;

typedef struct {
    embed_kind_e  kind;
    int           number;       /* of a migration, else 0 */
    const char   *name;         /* of the file */
    const char   *sha256;       /* of the file's bytes, lower-case hex */
    const char   *text;         /* UTF-8, zero-terminated */
} embed_t;


/* in the order they run; ends with a NULL name */
extern const embed_t  embed_files[];

/*
 * SHA-256, in hex, over roles, functions and grants: what a database has
 * once they ran.  Row "functions" of goosebit.migration.
 */
extern const char  embed_code[];

/* number of the newest migration, 0 without any */
extern const int  embed_last;

/*
 * SHA-256, in hex, over names and digests of everything:
 * goosebit_admin.schema_version() makes the same from goosebit.migration.
 */
extern const char  embed_digest[];


#endif /* GBCTL_EMBED_H */
