/*
 * The store that is a bucket: all but uploading.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_s3.h"


typedef struct {
    gb_store_walk_pt   cb;
    void              *data;
    int                rc;              /* what CB returned */
    const char        *want;            /* NULL, or look for this key only */
    bool               found;
    char               key[1025];
    bool               truncated;
    char               token[4096];     /* encoded */
} store_s3_walk_t;


static char *store_s3_parts_xml(const store_s3_stage_t *s);
static int store_s3_page(store_t *store, const char *query,
    store_s3_walk_t *w, gb_error_t *err);
static bool store_s3_page_element(void *data, const char *name,
    const char *text);
static void store_s3_page_key(store_s3_walk_t *w);
static int store_s3_exists(store_t *store, const char *key, gb_error_t *err);


static int
store_s3_publish(store_t *store, void *stage, int *created, gb_error_t *err)
{
    int                rc;
    char               query[STORE_S3_ID + 16], *xml;
    s3_answer_t        a;
    store_s3_stage_t  *s = stage;
    s3_request_t       r = { .method = "POST", .uri = s->uri,
                             .query = query };

    *created = 1;                   /* perhaps, even where there is an error */
    xml = store_s3_parts_xml(s);

    if (xml == NULL) {
        store_s3_free(s);
        return gb_error_nomem(err);
    }

    snprintf(query, sizeof(query), "uploadId=%s", s->id);
    r.text = xml;

    rc = s3_call(store->s3, &r, &a, err);
    s3_answer_free(&a);
    free(xml);

    /* its answer got lost, or another gbctl completed it for the same file */

    if (rc == GB_DECLINED) {
        rc = store_s3_exists(store, s->key, err);
    }

    if (rc != GB_OK) {
        (void) !store_s3_abort(store, s, NULL);
    }

    store_s3_free(s);

    return rc;
}


/* the parts in the words of CompleteMultipartUpload; new, free() */

static char *
store_s3_parts_xml(const store_s3_stage_t *s)
{
    char    *xml;
    FILE    *fp;
    size_t   i, size;

    fp = open_memstream(&xml, &size);
    if (fp == NULL) {
        return NULL;
    }

    fputs("<CompleteMultipartUpload "
          "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", fp);

    for (i = 0; i < s->nparts; i++) {
        fprintf(fp, "<Part><PartNumber>%zu</PartNumber>"
                "<ETag>\"%s\"</ETag></Part>", i + 1, s->parts[i].etag);
    }

    fputs("</CompleteMultipartUpload>", fp);

    if (fclose(fp) != 0) {
        free(xml);
        return NULL;
    }

    return xml;
}


static void
store_s3_discard(store_t *store, void *stage)
{
    (void) !store_s3_abort(store, stage, NULL);
    store_s3_free(stage);
}


int
store_s3_abort(store_t *store, store_s3_stage_t *s, gb_error_t *err)
{
    int           rc;
    char          query[STORE_S3_ID + 16];
    s3_answer_t   a;
    s3_request_t  r = { .method = "DELETE", .uri = s->uri, .query = query };

    snprintf(query, sizeof(query), "uploadId=%s", s->id);
    rc = s3_call(store->s3, &r, &a, err);
    s3_answer_free(&a);

    return rc == GB_DECLINED ? GB_OK : rc;
}


static int
store_s3_remove(store_t *store, const char *sha256, const char *filename,
    gb_error_t *err)
{
    int           rc;
    char          uri[GB_S3_URI];
    s3_answer_t   a;
    s3_request_t  r = { .method = "DELETE", .uri = uri };

    if (gb_s3_object(s3_place(store->s3), sha256, filename, uri, sizeof(uri))
        < 0)
    {
        return gb_error_set(err, "\"%s\" is not the name of an artifact",
                            filename);
    }

    rc = s3_call(store->s3, &r, &a, err);
    s3_answer_free(&a);

    return rc == GB_DECLINED ? GB_OK : rc;
}


static int
store_s3_read(store_t *store, const char *sha256, const char *filename,
    store_sink_pt sink, void *data, gb_error_t *err)
{
    int           rc;
    char          uri[GB_S3_URI];
    s3_answer_t   a;
    s3_request_t  r = { .method = "GET", .uri = uri, .sink = sink,
                        .sink_data = data };

    if (gb_s3_object(s3_place(store->s3), sha256, filename, uri, sizeof(uri))
        < 0)
    {
        return gb_error_set(err, "\"%s\" is not the name of an artifact",
                            filename);
    }

    rc = s3_call(store->s3, &r, &a, err);
    s3_answer_free(&a);

    return rc;
}


static int
store_s3_walk(store_t *store, gb_store_walk_pt cb, void *data,
    gb_error_t *err)
{
    int              rc;
    char             query[sizeof(((store_s3_walk_t *) 0)->token) + 64];
    store_s3_walk_t  w = { .cb = cb, .data = data };

    do {
        snprintf(query, sizeof(query), "%s%s%slist-type=2",
                 w.token[0] ? "continuation-token=" : "", w.token,
                 w.token[0] ? "&" : "");

        rc = store_s3_page(store, query, &w, err);

    } while (rc == GB_OK && w.truncated && w.token[0] != '\0');

    return rc;
}


static int
store_s3_exists(store_t *store, const char *key, gb_error_t *err)
{
    int              rc;
    char             prefix[3 * sizeof(((store_s3_stage_t *) 0)->key)];
    char             query[sizeof(prefix) + 32];
    store_s3_walk_t  w = { .want = key };

    if (gb_s3_encode(key, false, prefix, sizeof(prefix)) < 0) {
        return gb_error_set(err, "\"%s\" is too long", key);
    }

    snprintf(query, sizeof(query), "list-type=2&prefix=%s", prefix);
    rc = store_s3_page(store, query, &w, err);

    if (rc == GB_OK && !w.found) {
        rc = gb_error_set(err, "S3 bucket \"%s\": the upload was ended by "
                          "another program",
                          s3_place(store->s3)->place.bucket);
    }

    return rc;
}


static int
store_s3_page(store_t *store, const char *query, store_s3_walk_t *w,
    gb_error_t *err)
{
    int           rc;
    s3_answer_t   a;
    s3_request_t  r = { .method = "GET", .query = query };

    w->truncated = false;
    w->token[0] = '\0';

    rc = s3_call(store->s3, &r, &a, err);

    if (rc == GB_OK
        && s3_xml(a.body ? a.body : "", a.len, store_s3_page_element, w)
           != GB_OK)
    {
        rc = w->rc != 0 ? w->rc : store_s3_odd(store, err);
    }

    s3_answer_free(&a);

    return rc;
}


static bool
store_s3_page_element(void *data, const char *name, const char *text)
{
    store_s3_walk_t  *w = data;

    if (text == NULL) {
        if (strcmp(name, "Contents") == 0) {
            store_s3_page_key(w);
        }

    } else if (strcmp(name, "Key") == 0) {
        snprintf(w->key, sizeof(w->key), "%s", text);

    } else if (strcmp(name, "IsTruncated") == 0) {
        w->truncated = strcmp(text, "true") == 0;

    } else if (strcmp(name, "NextContinuationToken") == 0) {
        return gb_s3_encode(text, false, w->token, sizeof(w->token)) >= 0;
    }

    return w->rc == 0;
}


static void
store_s3_page_key(store_s3_walk_t *w)
{
    char         sha256[65];
    const char  *filename;

    if (w->want != NULL) {
        w->found |= strcmp(w->key, w->want) == 0;
        return;
    }

    filename = store_s3_name(w->key, sha256);

    if (filename != NULL) {
        w->rc = w->cb(w->data, sha256, filename);
    }
}


/* "ab/cdef…/FILENAME" */

const char *
store_s3_name(const char *key, char *sha256)
{
    size_t  i;

    if (strlen(key) < 67 || key[2] != '/' || key[65] != '/') {
        return NULL;
    }

    for (i = 0; i < 64; i++) {
        sha256[i] = key[i < 2 ? i : i + 1];
    }

    sha256[64] = '\0';

    return strspn(sha256, "0123456789abcdef") == 64
           && gb_store_filename_check(key + 66) == NULL ? key + 66 : NULL;
}


const store_ops_t  store_s3_ops = {
    store_s3_stage,
    store_s3_publish,
    store_s3_discard,
    store_s3_remove,
    store_s3_read,
    store_s3_walk,
    store_s3_uploads
};
