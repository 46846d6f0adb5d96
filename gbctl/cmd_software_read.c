/*
 * gbctl software get, verify: the bytes of an image, read again.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd_software.h"
#include "db.h"
#include "out.h"


#define SOFTWARE_BATCH  500     /* files asked for at once */

#define SOFTWARE_WITHHELD  "its URL has a password, which is for operators"


/* bytes on their way from a store */
typedef struct {
    int              fd;        /* -1: to be hashed only */
    int              error;     /* errno of a write */
    gb_hash_t       *hash;
    uint64_t         size;
    out_progress_t  *bar;       /* NULL: not moved here */
} software_bytes_t;

/* how many were not as they should be */
typedef struct {
    int              damaged;   /* or missing */
    int              unreadable;
} software_verify_t;

/* stored files of which it is not known whose they are */
typedef struct {
    cli_t           *cli;
    PGresult        *found;     /* a row for each that is nobody's */
    size_t           n;
    char            *sha256[SOFTWARE_BATCH];
    char            *filename[SOFTWARE_BATCH];
} software_walk_t;


static void software_get_abandon(void);
static PGresult *software_files(cli_t *cli, bool all);
static int software_get_open(cli_t *cli, const char *path, char *tmp,
    size_t size);
static bool software_get_keep(cli_t *cli, int fd, const char *tmp,
    const char *path);
static bool software_withheld(PGresult *res, int row);
static int software_read(cli_t *cli, PGresult *res, int row, int fd,
    gb_error_t *err);
static bool software_take(void *data, const char *bytes, size_t len);
static bool software_verify_all(cli_t *cli, PGresult *res, PGresult *found,
    software_verify_t *v);
static bool software_verify_say(cli_t *cli, const software_verify_t *v, int n,
    const gb_error_t *err);
static bool software_verify_rest(cli_t *cli, PGresult *found,
    gb_error_t *err);
static int software_verify_file(void *data, const char *sha256,
    const char *filename);
static bool software_verify_batch(software_walk_t *w);


static char  software_get_tmp[GB_STORE_PATH_MAX];  /* "": none is written */

static const out_list_t  software_verify_spec = { "no software", "id", NULL };


bool
software_get(cli_t *cli)
{
    int          fd, rc;
    bool         ok;
    char        *tmp;
    PGresult    *res;
    const char  *path;
    gb_error_t   err;

    tmp = software_get_tmp;
    cli_cleanup = software_get_abandon;

    if (!cli_config(cli, 0) || (res = software_files(cli, false)) == NULL) {
        return false;
    }

    if (software_withheld(res, 0)) {
        (void) cli_fail(cli, CLI_DENIED, "not_permitted", NULL,
                        "software %s: %s", db_value(res, 0, "id"),
                        SOFTWARE_WITHHELD);
        PQclear(res);
        return false;
    }

    path = cli_opt(cli, "file");
    path = path != NULL ? path : db_value(res, 0, "filename");

    fd = software_get_open(cli, path, tmp, sizeof(software_get_tmp));

    if (fd < 0) {
        PQclear(res);
        return false;
    }

    rc = software_read(cli, res, 0, fd, &err);
    ok = rc == GB_OK;

    if (!ok && cli->status == CLI_OK) {
        cli_fail(cli, CLI_FAILED,
                 rc == GB_DECLINED ? "not_found"
                 : rc == GB_QUOTA ? "damaged" : "io_error",
                 NULL, "software %s: %s", db_value(res, 0, "id"),
                 err.message);
    }

    if (tmp[0] != '\0') {
        ok = ok && software_get_keep(cli, fd, tmp, path);

        if (!ok) {
            (void) unlink(tmp);
        }
    }

    if (fd != STDOUT_FILENO) {
        close(fd);
    }

    PQclear(res);

    return ok;
}


static void
software_get_abandon(void)
{
    if (software_get_tmp[0] != '\0') {
        (void) unlink(software_get_tmp);
    }
}


/* what is to be read: what the arguments name, or all */

static PGresult *
software_files(cli_t *cli, bool all)
{
    char      *softwares;
    PGresult  *res;

    softwares = all ? NULL : db_array((size_t) cli->argc, cli->argv);
    res = db_call(cli, "SELECT * FROM goosebit_admin.software_files($1, $2)",
                  2, cli->tenant, softwares);
    free(softwares);

    return res;
}


/*
 * A file beside PATH, which it will become when it is whole: "tmp" is its name,
 * "" for stdout.  What was not named with -O is not overwritten, and what is no
 * file, as /dev/null, a pipe or a link, is written to, not replaced.
 */

static int
software_get_open(cli_t *cli, const char *path, char *tmp, size_t size)
{
    int          fd;
    const char  *slash;
    struct stat  st;

    tmp[0] = '\0';

    if (cli_has(cli, "file") && strcmp(path, "-") == 0) {
        return STDOUT_FILENO;
    }

    if (!cli_has(cli, "file") && access(path, F_OK) == 0) {
        cli_fail(cli, CLI_FAILED, "conflict", "-O FILE says where to",
                 "%s: is there already", path);
        return -1;
    }

    slash = strrchr(path, '/');

    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    } else if ((size_t) snprintf(tmp, size, "%.*s.gb-XXXXXX",
                                 slash ? (int) (slash - path + 1) : 0, path)
               >= size)
    {
        errno = ENAMETOOLONG;
        fd = -1;

    } else {
        fd = mkostemp(tmp, O_CLOEXEC);
    }

    if (fd < 0) {
        cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s: %s", path,
                 strerror(errno));
    }

    return fd;
}


static bool
software_get_keep(cli_t *cli, int fd, const char *tmp, const char *path)
{
    mode_t  mask;

    mask = umask(0);
    (void) umask(mask);

    return (fchmod(fd, 0666 & ~mask) == 0 && rename(tmp, path) == 0)
           || cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s: %s", path,
                       strerror(errno));
}


/* a viewer does not get the URL that it would be read from */

static bool
software_withheld(PGresult *res, int row)
{
    return db_value(res, row, "uri") == NULL
           && db_value(res, row, "shown") != NULL;
}


/*
 * Reads what a row of software_files() stands for, to FD unless that is -1,
 * and compares.  GB_OK; GB_DECLINED: there is none; GB_QUOTA: it is another;
 * GB_ERROR: it can't be read or, with an error reported, not be written.
 */

static int
software_read(cli_t *cli, PGresult *res, int row, int fd, gb_error_t *err)
{
    int               rc;
    store_t          *store;
    const char       *uri, *sha256, *filename;
    gb_hash_sums_t    sums;
    software_bytes_t  b = { fd, 0, NULL, 0, NULL };

    if (software_withheld(res, row)) {
        return gb_error_set(err, SOFTWARE_WITHHELD);
    }

    uri = db_value(res, row, "uri");
    sha256 = db_value(res, row, "sha256");
    filename = db_value(res, row, "filename");

    store = uri == NULL ? software_store(cli) : NULL;
    b.hash = gb_hash_new(err);

    if ((uri == NULL && store == NULL) || b.hash == NULL) {
        gb_hash_free(b.hash);
        return GB_ERROR;
    }

    b.bar = out_progress_start(cli, filename,
                               strtoull(db_value(res, row, "size"), NULL, 10));

    rc = uri != NULL ? software_read_url(uri, software_take, &b, NULL, err)
                     : store_read(store, sha256, filename, software_take, &b,
                                  err);
    out_progress_end(b.bar);

    if (b.error != 0) {
        cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s: %s", filename,
                 strerror(b.error));
    }

    if (rc == GB_OK) {
        rc = gb_hash_final(b.hash, &sums, err);
    }

    if (rc == GB_OK && strcmp(sums.sha256, sha256) != 0) {
        (void) gb_error_set(err, "SHA-256 is %s, not %s", sums.sha256,
                            sha256);
        rc = GB_QUOTA;
    }

    gb_hash_free(b.hash);

    return rc;
}


static bool
software_take(void *data, const char *bytes, size_t len)
{
    ssize_t            n;
    software_bytes_t  *b = data;

    if (gb_hash_update(b->hash, bytes, len, NULL) != GB_OK) {
        return false;
    }

    b->size += len;
    out_progress_step(b->bar, b->size);

    while (b->fd >= 0 && len > 0) {
        n = write(b->fd, bytes, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }

        if (n < 0) {
            b->error = errno;
            return false;
        }

        bytes += n;
        len -= (size_t) n;
    }

    return true;
}


bool
software_verify(cli_t *cli)
{
    bool               all, ok;
    PGresult          *res, *found;
    gb_error_t         err;
    software_verify_t  v = { 0 };

    all = cli_has(cli, "all");

    if (all == (cli->argc > 0)) {
        return cli_usage(cli, all ? "either software or --all, not both"
                                  : "names no software, nor --all");
    }

    if (!cli_config(cli, 0)) {
        return false;
    }

    res = software_files(cli, all);
    found = out_make("id:int name version state where reason");

    gb_error_clear(&err);

    ok = res != NULL && found != NULL
         && software_verify_all(cli, res, found, &v)
         && (!all || software_verify_rest(cli, found, &err))
         && out_list(cli, &software_verify_spec, found)
         && software_verify_say(cli, &v, PQntuples(res), &err);

    PQclear(res);
    PQclear(found);

    return ok;
}


/* what ERR says comes after the table of what could be looked at */

static bool
software_verify_say(cli_t *cli, const software_verify_t *v, int n,
    const gb_error_t *err)
{
    char         damaged[64], unreadable[64];
    const char  *rest;

    rest = err->message[0] ? "what else is in the store is not known: " : "";
    damaged[0] = '\0';
    unreadable[0] = '\0';

    if (v->damaged > 0) {
        snprintf(damaged, sizeof(damaged), "%d of %d are not what they were%s",
                 v->damaged, n, v->unreadable || rest[0] ? ", " : "");
    }

    if (v->unreadable > 0) {
        snprintf(unreadable, sizeof(unreadable), "%d of %d can't be read%s",
                 v->unreadable, n, rest[0] ? ", " : "");
    }

    if (v->damaged == 0 && v->unreadable == 0 && rest[0] == '\0') {
        return true;
    }

    return cli_fail(cli, CLI_FAILED, v->damaged ? "damaged" : "io_error",
                    v->damaged ? "what is stored \"gbctl software restore "
                                 "FILE\" puts back" : NULL,
                    "%s%s%s%s", damaged, unreadable, rest, err->message);
}


static bool
software_verify_all(cli_t *cli, PGresult *res, PGresult *found,
    software_verify_t *v)
{
    int          i, rc;
    bool         ok;
    const char  *state, *where;
    gb_error_t   err;

    for (i = 0, ok = true; ok && i < PQntuples(res); i++) {
        rc = software_read(cli, res, i, -1, &err);

        if (cli->status != CLI_OK) {
            return false;
        }

        state = rc == GB_OK ? "ok"
                : rc == GB_DECLINED ? "missing"
                : rc == GB_QUOTA ? "damaged" : "unreadable";
        where = db_value(res, i, "shown");

        if (rc == GB_DECLINED || rc == GB_QUOTA) {
            v->damaged++;

        } else if (rc != GB_OK) {
            v->unreadable++;
        }

        ok = out_make_row(found, db_value(res, i, "id"),
                          db_value(res, i, "name"),
                          db_value(res, i, "version"), state,
                          where != NULL ? where
                                        : db_value(res, i, "filename"),
                          rc == GB_OK ? NULL : err.message);
    }

    return ok;
}


/*
 * What a gbctl left that was killed between publishing and its commit.  That
 * the store can't tell is said in ERR.
 */

static bool
software_verify_rest(cli_t *cli, PGresult *found, gb_error_t *err)
{
    int              rc;
    size_t           i;
    store_t         *store;
    software_walk_t  w = { .cli = cli, .found = found };

    store = software_store(cli);
    if (store == NULL) {
        return false;
    }

    rc = store_walk(store, software_verify_file, &w, err);
    rc = rc == GB_OK && !software_verify_batch(&w) ? GB_ERROR : rc;

    for (i = 0; i < w.n; i++) {
        free(w.sha256[i]);
        free(w.filename[i]);
    }

    if (rc != GB_OK && cli->status == CLI_OK && err->message[0] == '\0') {
        cli_fail(cli, CLI_FAILED, "failed", NULL, "out of memory");
    }

    return cli->status == CLI_OK;
}


static int
software_verify_file(void *data, const char *sha256, const char *filename)
{
    software_walk_t  *w = data;

    w->sha256[w->n] = strdup(sha256);
    w->filename[w->n] = strdup(filename);
    w->n++;

    return w->n < SOFTWARE_BATCH || software_verify_batch(w) ? GB_OK
                                                             : GB_ERROR;
}


static bool
software_verify_batch(software_walk_t *w)
{
    int        i;
    bool       ok;
    char       where[68 + GB_STORE_FILENAME_MAX], *digests, *names;
    size_t     k;
    PGresult  *res;

    digests = db_array(w->n, (const char *const *) w->sha256);
    names = db_array(w->n, (const char *const *) w->filename);
    res = NULL;

    if (db_run(w->cli, "SELECT goosebit_admin.software_settled()", 0)) {
        res = db_call(w->cli, "SELECT * FROM goosebit_admin.software_unknown("
                      "$1, $2)", 2, digests, names);
    }

    free(digests);
    free(names);

    ok = res != NULL;

    for (i = 0; ok && i < PQntuples(res); i++) {
        ok = gb_store_path("", db_value(res, i, "sha256"),
                           db_value(res, i, "filename"), where,
                           sizeof(where)) > 0
             && out_make_row(w->found, NULL, NULL, NULL, "unknown", where + 1,
                             "belongs to no software");
    }

    PQclear(res);

    for (k = 0; k < w->n; k++) {
        free(w->sha256[k]);
        free(w->filename[k]);
    }

    w->n = 0;

    return ok;
}
