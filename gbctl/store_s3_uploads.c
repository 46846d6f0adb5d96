/*
 * Uploads to the bucket that have not ended: their parts are kept, and paid
 * for, until somebody completes or ends them.
 *
 * Pages are asked for by the last key alone, as versitygw refuses the id that
 * it gave: of two uploads of one key the second may be seen the next time.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_s3.h"


#define UPLOADS_MARKER  4096        /* encoded */


typedef struct uploads_end_s  uploads_end_t;

struct uploads_end_s {
    uploads_end_t    *next;
    store_s3_stage_t  stage;
};

typedef struct {
    store_t          *store;
    uploads_end_t    *end;          /* those that are to be ended */
    store_upload_pt   cb;
    void             *data;
    gb_error_t       *err;
    int               rc;           /* what CB or an ending came to */
    char              key[1025];
    char              id[STORE_S3_ID];
    char              began[64];
    bool              truncated;
    char              next_key[UPLOADS_MARKER];
} uploads_t;


static int uploads_page(uploads_t *u, const char *query);
static bool uploads_element(void *data, const char *name, const char *text);
static int uploads_one(uploads_t *u);
static int uploads_end(uploads_t *u, int rc);


int
store_s3_uploads(store_t *store, store_upload_pt cb, void *data,
    gb_error_t *err)
{
    int         rc;
    char       *query;
    uploads_t  *u;

    u = calloc(1, sizeof(uploads_t));
    query = malloc(UPLOADS_MARKER + 32);

    if (u == NULL || query == NULL) {
        free(u);
        free(query);
        return gb_error_nomem(err);
    }

    u->store = store;
    u->cb = cb;
    u->data = data;
    u->err = err;

    do {
        if (u->next_key[0] == '\0') {
            strcpy(query, "uploads=");

        } else {
            snprintf(query, UPLOADS_MARKER + 32, "key-marker=%s&uploads=",
                     u->next_key);
        }

        rc = uploads_page(u, query);

    } while (rc == GB_OK && u->truncated && u->next_key[0] != '\0');

    rc = uploads_end(u, rc);

    free(query);
    free(u);

    return rc;
}


static int
uploads_page(uploads_t *u, const char *query)
{
    int           rc;
    s3_answer_t   a;
    s3_request_t  r = { .method = "GET", .query = query };

    u->truncated = false;
    u->next_key[0] = '\0';

    rc = s3_call(u->store->s3, &r, &a, u->err);

    if (rc == GB_OK
        && s3_xml(a.body ? a.body : "", a.len, uploads_element, u) != GB_OK)
    {
        rc = u->rc != GB_OK ? u->rc : store_s3_odd(u->store, u->err);
    }

    s3_answer_free(&a);

    return rc;
}


static bool
uploads_element(void *data, const char *name, const char *text)
{
    uploads_t  *u = data;

    if (text == NULL) {

        if (strcmp(name, "Upload") == 0) {
            u->rc = uploads_one(u);
            u->key[0] = '\0';
            u->id[0] = '\0';
            u->began[0] = '\0';
        }

    } else if (strcmp(name, "Key") == 0) {
        snprintf(u->key, sizeof(u->key), "%s", text);

    } else if (strcmp(name, "UploadId") == 0) {
        return gb_s3_encode(text, false, u->id, sizeof(u->id)) >= 0;

    } else if (strcmp(name, "Initiated") == 0) {
        snprintf(u->began, sizeof(u->began), "%s", text);

    } else if (strcmp(name, "IsTruncated") == 0) {
        u->truncated = strcmp(text, "true") == 0;

    } else if (strcmp(name, "NextKeyMarker") == 0) {
        return gb_s3_encode(text, false, u->next_key, UPLOADS_MARKER) >= 0;
    }

    return u->rc == GB_OK;
}


static int
uploads_one(uploads_t *u)
{
    int             rc;
    bool            end;
    char            sha256[65];
    const char     *filename;
    uploads_end_t  *one;

    filename = store_s3_name(u->key, sha256);

    if (filename == NULL) {
        return GB_OK;
    }

    end = false;
    rc = u->cb(u->data, sha256, filename, u->began, &end);

    if (rc != GB_OK || !end) {
        return rc;
    }

    one = calloc(1, sizeof(uploads_end_t));

    if (one == NULL) {
        return gb_error_nomem(u->err);
    }

    one->next = u->end;
    u->end = one;

    memcpy(one->stage.id, u->id, sizeof(one->stage.id));

    return gb_s3_object(s3_place(u->store->s3), sha256, filename,
                        one->stage.uri, sizeof(one->stage.uri)) < 0
           ? store_s3_odd(u->store, u->err) : GB_OK;
}


/*
 * Not while they are listed: the next page begins behind an upload that must
 * be there.
 */

static int
uploads_end(uploads_t *u, int rc)
{
    uploads_end_t  *one;

    while ((one = u->end) != NULL) {
        u->end = one->next;

        if (rc == GB_OK) {
            rc = store_s3_abort(u->store, &one->stage, u->err);
        }

        free(one);
    }

    return rc;
}
