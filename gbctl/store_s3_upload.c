/*
 * Uploading to a bucket, and going on with what an earlier gbctl left: an
 * upload of the same key has the same bytes, as the key is their digest.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_s3.h"


#define STORE_S3_MIB     1048576u
#define STORE_S3_PART    (8 * STORE_S3_MIB)
#define STORE_S3_PARTS   10000          /* S3's limit */
#define STORE_S3_BUFFER  (256 * 1024)
#define STORE_S3_TRIES   3


/* where a walk through an answer in XML is */
typedef struct {
    store_t           *store;
    store_s3_stage_t  *s;
    gb_error_t        *err;
    char               key[sizeof(((store_s3_stage_t *) 0)->key)];
    char               id[STORE_S3_ID];
    unsigned long      number;
    uint64_t           size;
    char               etag[STORE_S3_ETAG];
    unsigned long      next;            /* 0: that was all */
    bool               truncated;
    bool               failed;
} store_s3_list_t;

/* a file on its way */
typedef struct {
    int              fd;
    const char      *filename;
    uint64_t         base;              /* where its present part starts */
    uint64_t         total;
    gb_progress_pt   progress;
    void            *data;
    char            *buf;
    gb_hash_t       *whole;
} store_s3_source_t;


static store_s3_stage_t *store_s3_new(store_t *store, const char *filename,
    const gb_hash_sums_t *sums, gb_error_t *err);
static int store_s3_find(store_t *store, store_s3_stage_t *s,
    gb_error_t *err);
static bool store_s3_find_element(void *data, const char *name,
    const char *text);
static int store_s3_begin(store_t *store, store_s3_stage_t *s,
    gb_error_t *err);
static bool store_s3_begin_element(void *data, const char *name,
    const char *text);
static int store_s3_list(store_t *store, store_s3_stage_t *s,
    gb_error_t *err);
static bool store_s3_list_element(void *data, const char *name,
    const char *text);
static int store_s3_send(store_t *store, store_s3_stage_t *s,
    store_s3_source_t *f, const gb_hash_sums_t *sums, gb_error_t *err);
static int store_s3_send_part(store_t *store, store_s3_stage_t *s,
    store_s3_source_t *f, size_t i, gb_error_t *err);
static int store_s3_hash(store_s3_source_t *f, uint64_t size,
    gb_hash_sums_t *sums, gb_error_t *err);
static void store_s3_sent(void *data, uint64_t sent);


void *
store_s3_stage(store_t *store, int fd, const char *filename,
    gb_progress_pt progress, void *data, gb_hash_sums_t *sums, gb_error_t *err)
{
    int                i, rc;
    store_s3_stage_t  *s;
    store_s3_source_t  f = { fd, filename, 0, sums->size, progress, data,
                             NULL, NULL };

    s = store_s3_new(store, filename, sums, err);
    if (s == NULL) {
        return NULL;
    }

    rc = GB_DECLINED;

    /* another gbctl may complete or abort the upload that this one goes on */

    for (i = 0; rc == GB_DECLINED && i < STORE_S3_TRIES; i++) {
        rc = store_s3_find(store, s, err);

        if (rc == GB_OK) {
            rc = store_s3_send(store, s, &f, sums, err);
        }
    }

    if (rc != GB_OK) {
        store_s3_free(s);
        return NULL;
    }

    return s;
}


static store_s3_stage_t *
store_s3_new(store_t *store, const char *filename,
    const gb_hash_sums_t *sums, gb_error_t *err)
{
    store_s3_stage_t  *s;

    s = calloc(1, sizeof(store_s3_stage_t));
    if (s == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    /* the same for the same file, so that parts can be found again */

    s->size = sums->size;
    s->part_size = (s->size / STORE_S3_PARTS / STORE_S3_MIB + 1)
                   * STORE_S3_MIB;

    if (s->part_size < STORE_S3_PART) {
        s->part_size = STORE_S3_PART;
    }

    s->nparts = (size_t) ((s->size + s->part_size - 1) / s->part_size);
    s->parts = calloc(s->nparts + 1, sizeof(store_s3_part_t));

    if (s->parts == NULL) {
        (void) gb_error_nomem(err);

    } else if (gb_s3_object(s3_place(store->s3), sums->sha256, filename,
                            s->uri, sizeof(s->uri)) < 0
               || gb_store_path("", sums->sha256, filename, s->key,
                                sizeof(s->key)) < 0)
    {
        (void) gb_error_set(err, "\"%s\" is not the name of an artifact",
                            filename);
    } else {
        memmove(s->key, s->key + 1, strlen(s->key));
        return s;
    }

    store_s3_free(s);

    return NULL;
}


void
store_s3_free(store_s3_stage_t *s)
{
    free(s->parts);
    free(s);
}


int
store_s3_odd(store_t *store, gb_error_t *err)
{
    return gb_error_set(err, "S3 bucket \"%s\": %s answers what S3 does not",
                        s3_place(store->s3)->place.bucket,
                        s3_place(store->s3)->host);
}


/* Takes an upload that was begun, and ends what else there is of this key. */

static int
store_s3_find(store_t *store, store_s3_stage_t *s, gb_error_t *err)
{
    int              rc;
    char             key[3 * sizeof(s->key)], query[sizeof(key) + 64];
    s3_answer_t      a;
    s3_request_t     r = { .method = "GET", .query = query };
    store_s3_list_t  list = { .store = store, .s = s, .err = err };

    s->id[0] = '\0';
    memset(s->parts, 0, s->nparts * sizeof(store_s3_part_t));

    if (gb_s3_encode(s->key, false, key, sizeof(key)) < 0) {
        return gb_error_set(err, "\"%s\" is too long", s->key);
    }

    snprintf(query, sizeof(query), "prefix=%s&uploads=", key);
    rc = s3_call(store->s3, &r, &a, err);

    if (rc == GB_OK
        && s3_xml(a.body ? a.body : "", a.len, store_s3_find_element, &list)
           != GB_OK)
    {
        rc = list.failed ? GB_ERROR : store_s3_odd(store, err);
    }

    s3_answer_free(&a);

    if (rc != GB_OK) {
        return rc;
    }

    return s->id[0] != '\0' ? store_s3_list(store, s, err)
                            : store_s3_begin(store, s, err);
}


static bool
store_s3_find_element(void *data, const char *name, const char *text)
{
    store_s3_list_t   *l = data;
    store_s3_stage_t   other;

    if (text != NULL && strcmp(name, "Key") == 0) {
        snprintf(l->key, sizeof(l->key), "%s", text);

    } else if (text != NULL && strcmp(name, "UploadId") == 0) {
        if (gb_s3_encode(text, false, l->id, sizeof(l->id)) < 0) {
            return false;
        }

    } else if (text == NULL && strcmp(name, "Upload") == 0
               && strcmp(l->key, l->s->key) == 0)
    {
        if (l->s->id[0] == '\0') {
            memcpy(l->s->id, l->id, sizeof(l->id));

        } else {
            other = *l->s;
            memcpy(other.id, l->id, sizeof(l->id));
            l->failed = store_s3_abort(l->store, &other, l->err) != GB_OK;
        }
    }

    return !l->failed;
}


static int
store_s3_begin(store_t *store, store_s3_stage_t *s, gb_error_t *err)
{
    int           rc;
    s3_answer_t   a;
    s3_request_t  r = { .method = "POST", .uri = s->uri, .query = "uploads=",
                        .text = "" };

    rc = s3_call(store->s3, &r, &a, err);

    if (rc == GB_OK
        && (s3_xml(a.body ? a.body : "", a.len, store_s3_begin_element, s)
            != GB_OK || s->id[0] == '\0'))
    {
        rc = store_s3_odd(store, err);
    }

    s3_answer_free(&a);

    return rc;
}


static bool
store_s3_begin_element(void *data, const char *name, const char *text)
{
    store_s3_stage_t  *s = data;

    return text == NULL || strcmp(name, "UploadId") != 0
           || gb_s3_encode(text, false, s->id, sizeof(s->id)) > 0;
}


/* What of it is there. */

static int
store_s3_list(store_t *store, store_s3_stage_t *s, gb_error_t *err)
{
    int              rc;
    char             query[STORE_S3_ID + 64];
    s3_answer_t      a;
    s3_request_t     r = { .method = "GET", .uri = s->uri, .query = query };
    store_s3_list_t  list = { .s = s };

    do {
        snprintf(query, sizeof(query), "part-number-marker=%lu&uploadId=%s",
                 list.next, s->id);
        list.next = 0;
        list.truncated = false;

        rc = s3_call(store->s3, &r, &a, err);

        if (rc == GB_OK
            && s3_xml(a.body ? a.body : "", a.len, store_s3_list_element,
                      &list) != GB_OK)
        {
            rc = store_s3_odd(store, err);
        }

        s3_answer_free(&a);

    } while (rc == GB_OK && list.truncated && list.next > 0
             && list.next < s->nparts);

    return rc;
}


static bool
store_s3_list_element(void *data, const char *name, const char *text)
{
    store_s3_list_t  *l = data;
    store_s3_part_t  *part;

    if (text == NULL) {
        if (strcmp(name, "Part") == 0 && l->number >= 1
            && l->number <= l->s->nparts)
        {
            part = &l->s->parts[l->number - 1];
            part->size = l->size;
            memcpy(part->etag, l->etag, sizeof(l->etag));
        }

    } else if (strcmp(name, "PartNumber") == 0) {
        l->number = strtoul(text, NULL, 10);

    } else if (strcmp(name, "Size") == 0) {
        l->size = strtoull(text, NULL, 10);

    } else if (strcmp(name, "ETag") == 0) {
        text += strspn(text, "\"");
        snprintf(l->etag, sizeof(l->etag), "%.*s",
                 (int) strcspn(text, "\""), text);

    } else if (strcmp(name, "NextPartNumberMarker") == 0) {
        l->next = strtoul(text, NULL, 10);

    } else if (strcmp(name, "IsTruncated") == 0) {
        l->truncated = strcmp(text, "true") == 0;
    }

    return true;
}


static int
store_s3_send(store_t *store, store_s3_stage_t *s, store_s3_source_t *f,
    const gb_hash_sums_t *sums, gb_error_t *err)
{
    int             rc;
    size_t          i;
    gb_hash_sums_t  whole;

    f->base = 0;
    f->buf = malloc(STORE_S3_BUFFER);
    f->whole = gb_hash_new(err);
    rc = f->buf != NULL && f->whole != NULL ? GB_OK : gb_error_nomem(err);

    for (i = 0; rc == GB_OK && i < s->nparts; i++) {
        rc = store_s3_send_part(store, s, f, i, err);
    }

    if (rc == GB_OK) {
        rc = gb_hash_final(f->whole, &whole, err);
    }

    if (rc == GB_OK && strcmp(whole.sha256, sums->sha256) != 0) {
        rc = gb_error_at(err, f->filename, 0, "changed while it was read");
        (void) !store_s3_abort(store, s, NULL);
    }

    gb_hash_free(f->whole);
    free(f->buf);

    return rc;
}


static int
store_s3_send_part(store_t *store, store_s3_stage_t *s, store_s3_source_t *f,
    size_t i, gb_error_t *err)
{
    int              rc;
    char             query[STORE_S3_ID + 64];
    s3_answer_t      a;
    gb_hash_sums_t   sums;
    store_s3_part_t *part = &s->parts[i];
    s3_request_t     r = { .method = "PUT", .uri = s->uri, .query = query,
                           .fd = f->fd, .offset = f->base,
                           .sha256 = sums.sha256, .sent = store_s3_sent,
                           .sent_data = f };

    r.size = s->size - f->base < s->part_size ? s->size - f->base
                                              : s->part_size;

    rc = store_s3_hash(f, r.size, &sums, err);
    if (rc != GB_OK) {
        return rc;
    }

    /* an ETag that is no MD5 does not match, and its part is sent again */

    if (part->size != r.size || strcmp(part->etag, sums.md5) != 0) {
        snprintf(query, sizeof(query), "partNumber=%zu&uploadId=%s", i + 1,
                 s->id);

        rc = s3_call(store->s3, &r, &a, err);

        if (rc == GB_OK && a.etag[0] == '\0') {
            rc = store_s3_odd(store, err);
        }

        part->size = r.size;
        memcpy(part->etag, a.etag, sizeof(a.etag));
        s3_answer_free(&a);
    }

    f->base += r.size;
    f->progress(f->data, f->base, f->total);

    return rc;
}


static int
store_s3_hash(store_s3_source_t *f, uint64_t size, gb_hash_sums_t *sums,
    gb_error_t *err)
{
    int         rc;
    size_t      want;
    ssize_t     n;
    uint64_t    done;
    gb_hash_t  *h;

    h = gb_hash_new(err);
    rc = h != NULL ? GB_OK : GB_NOMEM;

    for (done = 0; rc == GB_OK && done < size; done += (uint64_t) n) {
        want = size - done < STORE_S3_BUFFER ? (size_t) (size - done)
                                             : STORE_S3_BUFFER;
        do {
            n = pread(f->fd, f->buf, want, (off_t) (f->base + done));
        } while (n == -1 && errno == EINTR);

        if (n <= 0) {
            rc = gb_error_at(err, f->filename, 0, "cannot be read: %s",
                             n == 0 ? "it has become shorter"
                                    : strerror(errno));
            break;
        }

        rc = gb_hash_update(h, f->buf, (size_t) n, err);

        if (rc == GB_OK) {
            rc = gb_hash_update(f->whole, f->buf, (size_t) n, err);
        }
    }

    if (rc == GB_OK) {
        rc = gb_hash_final(h, sums, err);
    }

    gb_hash_free(h);

    return rc;
}


static void
store_s3_sent(void *data, uint64_t sent)
{
    store_s3_source_t  *f = data;

    f->progress(f->data, f->base + sent, f->total);
}
