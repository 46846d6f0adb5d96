/*
 * gb_hash: three digests fed from one read.
 *
 * MD5 takes longer than the other two together where those are instructions
 * of the processor.  So of what is large it is made beside them, by a thread.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "gb_hash.h"


#define GB_HASH_BUFFER    (128 * 1024)
#define GB_HASH_PROGRESS  (1024 * 1024)
#define GB_HASH_KINDS     3
#define GB_HASH_MD5       2             /* the last of them */

/* from which byte on MD5 is made aside, and in what pieces */
#define GB_HASH_LARGE     (4 * 1024 * 1024)
#define GB_HASH_PIECE     (256 * 1024)
#define GB_HASH_PIECES    2


typedef struct {
    pthread_t        thread;
    pthread_mutex_t  lock;              /* of all below but buf */
    pthread_cond_t   turn;
    EVP_MD_CTX      *ctx;               /* the thread's while it runs */
    uint64_t         put;               /* pieces so far */
    uint64_t         taken;
    bool             ended;
    bool             failed;
    size_t           len[GB_HASH_PIECES];
    char             buf[GB_HASH_PIECES][GB_HASH_PIECE];
} gb_hash_aside_t;

struct gb_hash_s {
    EVP_MD_CTX       *ctx[GB_HASH_KINDS];
    uint64_t          size;
    gb_hash_aside_t  *aside;            /* NULL: nobody helps */
    bool              alone;            /* nor can anybody */
};


static void gb_hash_aside_start(gb_hash_t *h);
static void *gb_hash_aside_run(void *data);
static void gb_hash_aside_put(gb_hash_aside_t *a, const char *data,
    size_t len);
static bool gb_hash_aside_end(gb_hash_t *h);
static int gb_hash_failed(gb_error_t *err);
static void gb_hash_hex(const unsigned char *in, size_t len, char *out);


gb_hash_t *
gb_hash_new(gb_error_t *err)
{
    size_t         i;
    gb_hash_t     *h;
    const EVP_MD  *md[GB_HASH_KINDS] = { EVP_sha256(), EVP_sha1(), EVP_md5() };

    h = calloc(1, sizeof(gb_hash_t));
    if (h == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    for (i = 0; i < GB_HASH_KINDS; i++) {
        h->ctx[i] = EVP_MD_CTX_new();

        if (h->ctx[i] == NULL
            || EVP_DigestInit_ex(h->ctx[i], md[i], NULL) != 1)
        {
            (void) gb_hash_failed(err);
            gb_hash_free(h);
            return NULL;
        }
    }

    return h;
}


void
gb_hash_free(gb_hash_t *h)
{
    size_t  i;

    if (h == NULL) {
        return;
    }

    (void) gb_hash_aside_end(h);

    for (i = 0; i < GB_HASH_KINDS; i++) {
        EVP_MD_CTX_free(h->ctx[i]);
    }

    free(h);
}


int
gb_hash_update(gb_hash_t *h, const void *data, size_t len, gb_error_t *err)
{
    size_t  i, n;

    if (h->aside == NULL && !h->alone && h->size >= GB_HASH_LARGE) {
        gb_hash_aside_start(h);
    }

    n = GB_HASH_KINDS;

    if (h->aside != NULL) {
        gb_hash_aside_put(h->aside, data, len);
        n = GB_HASH_MD5;
    }

    for (i = 0; i < n; i++) {
        if (EVP_DigestUpdate(h->ctx[i], data, len) != 1) {
            return gb_hash_failed(err);
        }
    }

    h->size += len;

    return GB_OK;
}


int
gb_hash_final(gb_hash_t *h, gb_hash_sums_t *sums, gb_error_t *err)
{
    char           *out[GB_HASH_KINDS];
    size_t          i;
    unsigned int    len;
    unsigned char   md[EVP_MAX_MD_SIZE];

    memset(sums, 0, sizeof(gb_hash_sums_t));

    if (!gb_hash_aside_end(h)) {
        return gb_hash_failed(err);
    }

    out[0] = sums->sha256;
    out[1] = sums->sha1;
    out[2] = sums->md5;

    for (i = 0; i < GB_HASH_KINDS; i++) {
        if (EVP_DigestFinal_ex(h->ctx[i], md, &len) != 1) {
            return gb_hash_failed(err);
        }

        gb_hash_hex(md, len, out[i]);
    }

    sums->size = h->size;

    return GB_OK;
}


int
gb_hash_fd(int fd, const char *name, gb_progress_pt progress, void *data,
    gb_hash_sums_t *sums, gb_error_t *err)
{
    int           rc;
    char         *buf;
    ssize_t       n;
    uint64_t      reported;
    gb_hash_t    *h;
    struct stat   st;

    if (fstat(fd, &st) == -1) {
        return gb_error_at(err, name, 0, "%s", strerror(errno));
    }

    h = gb_hash_new(err);
    if (h == NULL) {
        return GB_NOMEM;
    }

    buf = malloc(GB_HASH_BUFFER);
    if (buf == NULL) {
        gb_hash_free(h);
        return gb_error_nomem(err);
    }

    rc = GB_OK;
    reported = 0;

    while (rc == GB_OK) {
        n = pread(fd, buf, GB_HASH_BUFFER, (off_t) h->size);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            rc = gb_error_at(err, name, 0, "cannot be read: %s",
                             strerror(errno));
            break;
        }

        if (n == 0) {
            break;
        }

        rc = gb_hash_update(h, buf, (size_t) n, err);

        if (progress != NULL && h->size - reported >= GB_HASH_PROGRESS) {
            reported = h->size;
            progress(data, h->size, (uint64_t) st.st_size);
        }
    }

    if (rc == GB_OK) {
        rc = gb_hash_final(h, sums, err);
    }

    if (rc == GB_OK && progress != NULL) {
        progress(data, h->size, (uint64_t) st.st_size);
    }

    free(buf);
    gb_hash_free(h);

    return rc;
}


/* where there is no memory or no thread, all goes on as before */

static void
gb_hash_aside_start(gb_hash_t *h)
{
    int               rc;
    sigset_t          all, mask;
    gb_hash_aside_t  *a;

    h->alone = true;
    a = calloc(1, sizeof(gb_hash_aside_t));

    if (a == NULL) {
        return;
    }

    a->ctx = h->ctx[GB_HASH_MD5];
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->turn, NULL);

    /* signals are for the thread that their handlers expect */

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &mask);
    rc = pthread_create(&a->thread, NULL, gb_hash_aside_run, a);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);

    if (rc != 0) {
        pthread_cond_destroy(&a->turn);
        pthread_mutex_destroy(&a->lock);
        free(a);
        return;
    }

    h->aside = a;
}


static void *
gb_hash_aside_run(void *data)
{
    bool              ok;
    size_t            i;
    gb_hash_aside_t  *a = data;

    pthread_mutex_lock(&a->lock);

    for ( ;; ) {
        while (a->taken == a->put && !a->ended) {
            pthread_cond_wait(&a->turn, &a->lock);
        }

        if (a->taken == a->put) {
            break;
        }

        i = a->taken % GB_HASH_PIECES;

        pthread_mutex_unlock(&a->lock);
        ok = EVP_DigestUpdate(a->ctx, a->buf[i], a->len[i]) == 1;
        pthread_mutex_lock(&a->lock);

        a->failed |= !ok;
        a->taken++;
        pthread_cond_signal(&a->turn);
    }

    pthread_mutex_unlock(&a->lock);

    return NULL;
}


static void
gb_hash_aside_put(gb_hash_aside_t *a, const char *data, size_t len)
{
    size_t  i, n;

    for ( /* void */ ; len > 0; data += n, len -= n) {
        n = len < GB_HASH_PIECE ? len : GB_HASH_PIECE;

        pthread_mutex_lock(&a->lock);

        while (a->put - a->taken == GB_HASH_PIECES) {
            pthread_cond_wait(&a->turn, &a->lock);
        }

        i = a->put % GB_HASH_PIECES;

        pthread_mutex_unlock(&a->lock);
        memcpy(a->buf[i], data, n);
        pthread_mutex_lock(&a->lock);

        a->len[i] = n;
        a->put++;
        pthread_cond_signal(&a->turn);
        pthread_mutex_unlock(&a->lock);
    }
}


/* false where the digest could not be made */

static bool
gb_hash_aside_end(gb_hash_t *h)
{
    bool              ok;
    gb_hash_aside_t  *a;

    a = h->aside;

    if (a == NULL) {
        return true;
    }

    h->aside = NULL;

    pthread_mutex_lock(&a->lock);
    a->ended = true;
    pthread_cond_signal(&a->turn);
    pthread_mutex_unlock(&a->lock);

    pthread_join(a->thread, NULL);

    ok = !a->failed;

    pthread_cond_destroy(&a->turn);
    pthread_mutex_destroy(&a->lock);
    free(a);

    return ok;
}


static int
gb_hash_failed(gb_error_t *err)
{
    char  text[160];

    /* a FIPS build of OpenSSL has no MD5, which hawkBit's clients want */

    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();

    return gb_error_set(err, "cannot hash: %s", text);
}


static void
gb_hash_hex(const unsigned char *in, size_t len, char *out)
{
    size_t             i;
    static const char  hex[] = "0123456789abcdef";

    for (i = 0; i < len; i++) {
        *out++ = hex[in[i] >> 4];
        *out++ = hex[in[i] & 0xf];
    }

    *out = '\0';
}
