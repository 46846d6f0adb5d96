/*
 * gb_s3: where a bucket is, and where in it an artifact.
 */

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gb_s3.h"
#include "gb_store.h"
#include "gb_text.h"


#define GB_S3_BUCKET  256       /* bytes; Amazon's have up to 63 */


static int gb_s3_check(const gb_s3_place_t *place, gb_error_t *err);
static bool gb_s3_one_word(const char *s, const char *not);
static int gb_s3_amazon(gb_s3_t *s3);
static int gb_s3_endpoint(gb_s3_t *s3, gb_error_t *err);
static size_t gb_s3_usual_port(const gb_s3_t *s3, const char *host,
    size_t len);


int
gb_s3_init(gb_s3_t *s3, const gb_s3_place_t *place, gb_error_t *err)
{
    memset(s3, 0, sizeof(gb_s3_t));
    s3->place = *place;

    if (gb_s3_check(place, err) != GB_OK) {
        return GB_ERROR;
    }

    if (place->endpoint_url != NULL && place->endpoint_url[0] != '\0') {
        return gb_s3_endpoint(s3, err);
    }

    if (gb_s3_amazon(s3) < 0) {
        return gb_error_set(err, "storage.s3.bucket: too long");
    }

    return GB_OK;
}


/* What stands between slashes in a path or a credential has none itself. */

static int
gb_s3_check(const gb_s3_place_t *place, gb_error_t *err)
{
    size_t       i;
    const char  *value;

    const struct {
        const char  *name;
        const char  *value;
        const char  *not;
        size_t       max;
    } parts[] = {
        { "bucket", place->bucket, "/", 255 },
        { "region", place->region, "/", 63 },
        { "access_key_id", place->access_key_id, "/,", 255 },
        { "secret_access_key", place->secret_access_key, "", 255 }
    };

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        value = parts[i].value;

        if (value == NULL || value[0] == '\0') {
            return gb_error_set(err, "storage.s3.%s is not set",
                                parts[i].name);
        }

        if (strlen(value) > parts[i].max
            || !gb_s3_one_word(value, parts[i].not))
        {
            return gb_error_set(err, "storage.s3.%s is too long or has"
                                " characters it can't have", parts[i].name);
        }
    }

    if (place->bucket[0] == '.') {
        return gb_error_set(err, "storage.s3.bucket starts with a dot");
    }

    return GB_OK;
}


/* printable ASCII without blanks and without the characters of "not" */

static bool
gb_s3_one_word(const char *s, const char *not)
{
    for ( ; *s != '\0'; s++) {
        if (*s <= ' ' || *s >= 0x7f || strchr(not, *s) != NULL) {
            return false;
        }
    }

    return true;
}


static int
gb_s3_amazon(gb_s3_t *s3)
{
    int          n;
    bool         virtual;
    char         bucket[3 * GB_S3_BUCKET];
    const char  *top;

    s3->tls = true;
    top = strncmp(s3->place.region, "cn-", 3) == 0 ? ".cn" : "";

    /* a certificate's asterisk stands for one label */

    virtual = strspn(s3->place.bucket, "abcdefghijklmnopqrstuvwxyz0123456789-")
              == strlen(s3->place.bucket);

    n = snprintf(s3->host, sizeof(s3->host), "%s%ss3.%s.amazonaws.com%s",
                 virtual ? s3->place.bucket : "", virtual ? "." : "",
                 s3->place.region, top);

    if (n < 0 || (size_t) n >= sizeof(s3->host)) {
        return -1;
    }

    if (virtual) {
        memcpy(s3->path, "/", 2);
        return 1;
    }

    n = gb_s3_encode(s3->place.bucket, false, bucket, sizeof(bucket));

    return n < 0 ? -1 : snprintf(s3->path, sizeof(s3->path), "/%s/", bucket);
}


static int
gb_s3_endpoint(gb_s3_t *s3, gb_error_t *err)
{
    int          n;
    bool         virtual;
    char         bucket[3 * GB_S3_BUCKET];
    size_t       skip, len, path_len, blen;
    const char  *p, *path, *url;

    url = s3->place.endpoint_url;
    skip = gb_text_http(url);

    if (skip == 0) {
        return gb_error_set(err, "storage.s3.endpoint_url is not an http or "
                            "https URL");
    }

    s3->tls = skip == 8;
    p = url + skip;
    len = strcspn(p, "/?#");
    path = p + len;
    path_len = strlen(path);
    len = gb_s3_usual_port(s3, p, len);

    if (len == 0 || p[0] == ':' || len >= sizeof(s3->host)
        || memchr(p, '@', len) != NULL || strpbrk(path, "?#%") != NULL
        || !gb_s3_one_word(p, "\"<>\\^`{|}"))
    {
        return gb_error_set(err, "storage.s3.endpoint_url is more than scheme,"
                            " host, port and path");
    }

    memcpy(s3->host, p, len);
    s3->host[len] = '\0';

    while (path_len > 0 && path[path_len - 1] == '/') {
        path_len--;
    }

    blen = strlen(s3->place.bucket);
    virtual = len > blen && strncasecmp(p, s3->place.bucket, blen) == 0
              && strncasecmp(p + blen, ".s3.", 4) == 0;

    n = gb_s3_encode(s3->place.bucket, false, bucket, sizeof(bucket));

    if (n >= 0) {
        n = snprintf(s3->path, sizeof(s3->path), "%.*s/%s%s", (int) path_len,
                     path, virtual ? "" : bucket, virtual ? "" : "/");
    }

    if (n < 0 || (size_t) n >= sizeof(s3->path)) {
        return gb_error_set(err, "storage.s3.endpoint_url is too long");
    }

    return GB_OK;
}


/* Clients leave the scheme's own port out of Host, and so must we. */

static size_t
gb_s3_usual_port(const gb_s3_t *s3, const char *host, size_t len)
{
    size_t       n;
    const char  *port;

    port = s3->tls ? ":443" : ":80";
    n = strlen(port);

    return (len > n && memcmp(host + len - n, port, n) == 0) ? len - n : len;
}


int
gb_s3_object(const gb_s3_t *s3, const char *sha256, const char *filename,
    char *buf, size_t size)
{
    int     n;
    char    path[64 + GB_STORE_FILENAME_MAX + 4];
    size_t  len;

    len = strlen(s3->path) - 1;                     /* path has a slash, too */

    if (len >= size
        || gb_store_path("", sha256, filename, path, sizeof(path)) < 0)
    {
        return -1;
    }

    memcpy(buf, s3->path, len);
    n = gb_s3_encode(path, true, buf + len, size - len);

    return n < 0 ? -1 : (int) len + n;
}


int
gb_s3_encode(const char *s, bool slashes, char *buf, size_t size)
{
    bool               plain;
    size_t             n;
    unsigned char      ch;
    static const char  hex[] = "0123456789ABCDEF";

    if (size == 0) {
        return -1;
    }

    for (n = 0; *s != '\0'; s++) {
        ch = (unsigned char) *s;

        plain = (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')
                || (ch >= '0' && ch <= '9') || strchr("-._~", ch) != NULL
                || (slashes && ch == '/');

        if (size - n <= (plain ? 1 : 3)) {
            return -1;
        }

        if (plain) {
            buf[n++] = (char) ch;

        } else {
            buf[n++] = '%';
            buf[n++] = hex[ch >> 4];
            buf[n++] = hex[ch & 0x0f];
        }
    }

    buf[n] = '\0';

    return (int) n;
}
