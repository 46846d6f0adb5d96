/*
 * gb_s3: requests to S3 and to stores that speak its language, signed with AWS
 * Signature Version 4 ("Signature Calculations for the Authorization Header"
 * and "Query String" in the S3 API reference).  No network, no clock: bytes
 * in, bytes into the caller's buffers out.
 *
 *     gb_s3_t      s3;
 *     gb_s3_key_t  key = { "" };
 *
 *     gb_s3_init(&s3, &place, &err);                      once
 *     gb_s3_key(&s3, &key, now);                          each time; cheap
 *     gb_s3_object(&s3, sha256, filename, uri, sizeof(uri));
 *     gb_s3_authorization(&s3, &key, &request, buf, sizeof(buf));
 *
 * A request is then sent to s3.host with the path and query that were signed,
 * and with the headers Host, x-amz-date (gb_s3_date), x-amz-content-sha256
 * and Authorization; these three and no others are signed, so that Range and
 * the like may be added.  What does not fit a buffer is -1, never cut.
 */

#ifndef GB_S3_H
#define GB_S3_H


#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "gb_error.h"


#define GB_S3_HOST           320    /* bytes, with the NUL, as all here */
#define GB_S3_PATH           1024
#define GB_S3_DATE           17
#define GB_S3_URI            4096   /* path of any object */
#define GB_S3_AUTHORIZATION  1024
#define GB_S3_URL            8192   /* presigned */

#define GB_S3_EXPIRES_MAX    604800 /* s */

/* x-amz-content-sha256 of a request whose body is not part of the signature */
#define GB_S3_UNSIGNED       "UNSIGNED-PAYLOAD"


/* as in goosebit.yaml; NULL where there is no value */
typedef struct {
    const char  *endpoint_url;      /* NULL or "": Amazon's own */
    const char  *bucket;
    const char  *region;
    const char  *access_key_id;
    const char  *secret_access_key;
} gb_s3_place_t;


typedef struct {
    gb_s3_place_t  place;               /* its strings stay the caller's */
    bool           tls;
    char           host[GB_S3_HOST];    /* for Host; ":port" if not usual */
    char           path[GB_S3_PATH];    /* of the bucket: "/" or "/bucket/" */
} gb_s3_t;


/* what secret, day and region come to; a secret as well */
typedef struct {
    char           day[9];              /* "20130524"; "": none yet */
    unsigned char  bytes[32];
} gb_s3_key_t;


typedef struct {
    const char  *method;
    const char  *uri;       /* encoded path, from gb_s3_object() or s3.path */
    const char  *query;     /* NULL, or "a=1&b=": names sorted, all encoded */
    const char  *payload;   /* NULL: GB_S3_UNSIGNED; or its SHA-256 in hex */
    time_t       time;
} gb_s3_request_t;


/*
 * Finds host and path of a bucket.  Without endpoint_url that is
 * BUCKET.s3.REGION.amazonaws.com, or s3.REGION.amazonaws.com/BUCKET/ where a
 * dot in the bucket's name would break the certificate.  With it, the bucket
 * is the first part of the path, unless the endpoint's host starts with
 * "BUCKET.s3." already.  0, or GB_ERROR with "err" set (no secrets in it).
 */
int gb_s3_init(gb_s3_t *s3, const gb_s3_place_t *place, gb_error_t *err)
    GB_MUST_CHECK;

/*
 * The signing key of the day that "now" is in (UTC), derived only if "key"
 * stands for another day.  0 or GB_ERROR.
 */
int gb_s3_key(const gb_s3_t *s3, gb_s3_key_t *key, time_t now) GB_MUST_CHECK;

/*
 * The path of an artifact in the bucket, "/bucket/ab/cdef…/FILENAME" encoded,
 * by the rules of gb_store_path(); its length or -1.
 */
int gb_s3_object(const gb_s3_t *s3, const char *sha256, const char *filename,
    char *buf, size_t size) GB_MUST_CHECK;

/*
 * Percent-encodes what is not A-Z a-z 0-9 - . _ ~ and, with "slashes", not
 * "/" either.  Length or -1.
 */
int gb_s3_encode(const char *s, bool slashes, char *buf, size_t size)
    GB_MUST_CHECK;

/* x-amz-date, "20130524T000000Z" */
void gb_s3_date(time_t t, char buf[GB_S3_DATE]);

/* the value of Authorization; its length or -1 */
int gb_s3_authorization(const gb_s3_t *s3, const gb_s3_key_t *key,
    const gb_s3_request_t *r, char *buf, size_t size) GB_MUST_CHECK;

/*
 * The whole URL that may be asked for by anybody, with r->method, for
 * "expires" seconds (1 to GB_S3_EXPIRES_MAX) from r->time on.  The names in
 * r->query must sort behind "X-Amz-", as response-content-type does;
 * r->payload is not looked at.  Its length or -1.
 */
int gb_s3_presign(const gb_s3_t *s3, const gb_s3_key_t *key,
    const gb_s3_request_t *r, unsigned expires, char *buf, size_t size)
    GB_MUST_CHECK;

/*
 * What all of this ends in: the signature of a canonical request, as hex.
 * 0 or GB_ERROR.
 */
int gb_s3_signature(const gb_s3_t *s3, const gb_s3_key_t *key, time_t t,
    const char *canonical, char hex[65]) GB_MUST_CHECK;


#endif /* GB_S3_H */
