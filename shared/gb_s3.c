/*
 * gb_s3: the canonical request and its signature.  Where a bucket and its
 * objects are is found out in gb_s3_place.c.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "gb_s3.h"


#define GB_S3_SECRET     512
#define GB_S3_SCOPE      128
#define GB_S3_CANONICAL  (GB_S3_URL + 1024)


static int gb_s3_hmac(const void *key, size_t len, const char *text,
    unsigned char *md);
static int gb_s3_scope(const gb_s3_t *s3, time_t t, char *buf);
static int gb_s3_format(char *buf, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void gb_s3_hex(const unsigned char md[32], char hex[65]);


void
gb_s3_date(time_t t, char buf[GB_S3_DATE])
{
    struct tm  tm;

    /* a year beyond 9999 has no such date, and no server would take it */

    if (gmtime_r(&t, &tm) == NULL
        || strftime(buf, GB_S3_DATE, "%Y%m%dT%H%M%SZ", &tm) == 0)
    {
        buf[0] = '\0';
    }
}


int
gb_s3_key(const gb_s3_t *s3, gb_s3_key_t *key, time_t now)
{
    int     rc, n;
    char    date[GB_S3_DATE], secret[GB_S3_SECRET];
    size_t  i;

    const char  *steps[] = { date, s3->place.region, "s3", "aws4_request" };

    gb_s3_date(now, date);

    if (date[0] == '\0') {
        return GB_ERROR;
    }

    date[8] = '\0';

    if (strcmp(key->day, date) == 0) {
        return GB_OK;
    }

    key->day[0] = '\0';

    n = gb_s3_format(secret, sizeof(secret), "AWS4%s",
                     s3->place.secret_access_key);
    rc = n < 0 ? GB_ERROR : gb_s3_hmac(secret, (size_t) n, steps[0],
                                       key->bytes);

    for (i = 1; rc == GB_OK && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = gb_s3_hmac(key->bytes, sizeof(key->bytes), steps[i], key->bytes);
    }

    OPENSSL_cleanse(secret, sizeof(secret));

    if (rc == GB_OK) {
        memcpy(key->day, date, sizeof(key->day));
    }

    return rc;
}


int
gb_s3_authorization(const gb_s3_t *s3, const gb_s3_key_t *key,
    const gb_s3_request_t *r, char *buf, size_t size)
{
    char         date[GB_S3_DATE], scope[GB_S3_SCOPE], hex[65];
    char         canonical[GB_S3_CANONICAL];
    const char  *payload;

    static const char  signed_headers[] =
        "host;x-amz-content-sha256;x-amz-date";

    gb_s3_date(r->time, date);
    payload = r->payload ? r->payload : GB_S3_UNSIGNED;

    if (gb_s3_format(canonical, sizeof(canonical),
                     "%s\n%s\n%s\n"
                     "host:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n\n"
                     "%s\n%s",
                     r->method, r->uri, r->query ? r->query : "",
                     s3->host, payload, date, signed_headers, payload) < 0
        || gb_s3_scope(s3, r->time, scope) < 0
        || gb_s3_signature(s3, key, r->time, canonical, hex) != GB_OK)
    {
        return -1;
    }

    return gb_s3_format(buf, size, "AWS4-HMAC-SHA256 Credential=%s/%s,"
                        "SignedHeaders=%s,Signature=%s",
                        s3->place.access_key_id, scope, signed_headers, hex);
}


int
gb_s3_presign(const gb_s3_t *s3, const gb_s3_key_t *key,
    const gb_s3_request_t *r, unsigned expires, char *buf, size_t size)
{
    char         date[GB_S3_DATE], scope[GB_S3_SCOPE], hex[65];
    char         credential[1024], encoded[3 * sizeof(credential)];
    char         query[GB_S3_URL], canonical[GB_S3_CANONICAL];
    const char  *more;

    if (expires < 1 || expires > GB_S3_EXPIRES_MAX) {
        return -1;
    }

    gb_s3_date(r->time, date);
    more = r->query && r->query[0] ? r->query : NULL;

    if (gb_s3_scope(s3, r->time, scope) < 0
        || gb_s3_format(credential, sizeof(credential), "%s/%s",
                        s3->place.access_key_id, scope) < 0
        || gb_s3_encode(credential, false, encoded, sizeof(encoded)) < 0
        || gb_s3_format(query, sizeof(query),
                        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s"
                        "&X-Amz-Date=%s&X-Amz-Expires=%u"
                        "&X-Amz-SignedHeaders=host%s%s",
                        encoded, date, expires, more ? "&" : "",
                        more ? more : "") < 0
        || gb_s3_format(canonical, sizeof(canonical),
                        "%s\n%s\n%s\nhost:%s\n\nhost\n" GB_S3_UNSIGNED,
                        r->method, r->uri, query, s3->host) < 0
        || gb_s3_signature(s3, key, r->time, canonical, hex) != GB_OK)
    {
        return -1;
    }

    return gb_s3_format(buf, size, "%s://%s%s?%s&X-Amz-Signature=%s",
                        s3->tls ? "https" : "http", s3->host, r->uri, query,
                        hex);
}


int
gb_s3_signature(const gb_s3_t *s3, const gb_s3_key_t *key, time_t t,
    const char *canonical, char hex[65])
{
    char           date[GB_S3_DATE], scope[GB_S3_SCOPE], text[512], hash[65];
    unsigned char  md[32];

    gb_s3_date(t, date);

    /* the key of yesterday signs nothing today */

    if (strlen(key->day) != 8 || strncmp(key->day, date, 8) != 0
        || gb_s3_scope(s3, t, scope) < 0
        || EVP_Digest(canonical, strlen(canonical), md, NULL, EVP_sha256(),
                      NULL) != 1)
    {
        return GB_ERROR;
    }

    gb_s3_hex(md, hash);

    if (gb_s3_format(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date,
                     scope, hash) < 0
        || gb_s3_hmac(key->bytes, sizeof(key->bytes), text, md) != GB_OK)
    {
        return GB_ERROR;
    }

    gb_s3_hex(md, hex);

    return GB_OK;
}


/* "md" has 32 bytes and may be the key */

static int
gb_s3_hmac(const void *key, size_t len, const char *text, unsigned char *md)
{
    unsigned char  out[EVP_MAX_MD_SIZE];

    if (HMAC(EVP_sha256(), key, (int) len, (const unsigned char *) text,
             strlen(text), out, NULL) == NULL)
    {
        return GB_ERROR;
    }

    memcpy(md, out, 32);
    OPENSSL_cleanse(out, sizeof(out));

    return GB_OK;
}


/* "20130524/us-east-1/s3/aws4_request"; "buf" has GB_S3_SCOPE bytes */

static int
gb_s3_scope(const gb_s3_t *s3, time_t t, char *buf)
{
    char  date[GB_S3_DATE];

    gb_s3_date(t, date);

    return gb_s3_format(buf, GB_S3_SCOPE, "%.8s/%s/s3/aws4_request", date,
                        s3->place.region);
}


/* snprintf() that is -1 for what does not fit */

static int
gb_s3_format(char *buf, size_t size, const char *fmt, ...)
{
    int      n;
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(buf, size, fmt, args);
    va_end(args);

    return (n < 0 || (size_t) n >= size) ? -1 : n;
}


static void
gb_s3_hex(const unsigned char md[32], char hex[65])
{
    size_t             i;
    static const char  digits[] = "0123456789abcdef";

    for (i = 0; i < 32; i++) {
        hex[2 * i] = digits[md[i] >> 4];
        hex[2 * i + 1] = digits[md[i] & 0xf];
    }

    hex[64] = '\0';
}
