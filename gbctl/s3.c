/*
 * Requests to an object store.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "s3.h"


#define S3_TRIES    5
#define S3_PAUSE    200                 /* ms, twice as much each time */
#define S3_ANSWER   (16 * 1024 * 1024)  /* bytes; a page of keys is 1 MiB */


struct s3_s {
    gb_s3_t       place;
    gb_s3_key_t   key;
    CURL         *curl;                 /* keeps its connection */
    bool          silent;               /* did not answer the last try */
};

/* one try */
typedef struct {
    const s3_request_t  *r;
    s3_answer_t         *a;
    CURL                *curl;
    struct curl_slist   *headers;
    uint64_t             sent;          /* bytes of the body */
    uint64_t            *got;           /* bytes given to the sink */
    bool                 final;         /* another try would end alike */
    char                 error[CURL_ERROR_SIZE];
} s3_try_t;

/* what a refusal says */
typedef struct {
    s3_answer_t  *a;
    char          message[256];
} s3_error_t;


static int s3_try(s3_t *s3, s3_try_t *t, gb_error_t *err);
static bool s3_headers(s3_t *s3, s3_try_t *t);
static bool s3_header_add(s3_try_t *t, const char *name, const char *value);
static void s3_options(s3_t *s3, s3_try_t *t, const char *url);
static void s3_options_body(s3_try_t *t);
static size_t s3_read(char *buf, size_t size, size_t n, void *data);
static int s3_seek(void *data, curl_off_t offset, int origin);
static size_t s3_write(char *buf, size_t size, size_t n, void *data);
static size_t s3_header(char *buf, size_t size, size_t n, void *data);
static bool s3_status_ok(long status);
static int s3_judge(s3_t *s3, s3_try_t *t, CURLcode code, gb_error_t *err);
static bool s3_error_element(void *data, const char *name, const char *text);
static bool s3_again(const s3_answer_t *a);
static void s3_pause(int try);


s3_t *
s3_open(const gb_config_t *config, gb_error_t *err)
{
    s3_t           *s3;
    gb_s3_place_t   place;

    s3 = calloc(1, sizeof(s3_t));
    if (s3 == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    gb_config_s3(config, &place);

    if (gb_s3_init(&s3->place, &place, err) != GB_OK) {
        free(s3);
        return NULL;
    }

    s3->curl = curl_easy_init();

    if (s3->curl == NULL) {
        (void) gb_error_nomem(err);
        free(s3);
        return NULL;
    }

    return s3;
}


void
s3_close(s3_t *s3)
{
    if (s3 != NULL) {
        curl_easy_cleanup(s3->curl);
        explicit_bzero(s3, sizeof(s3_t));
        free(s3);
    }
}


const gb_s3_t *
s3_place(const s3_t *s3)
{
    return &s3->place;
}


int
s3_call(s3_t *s3, const s3_request_t *r, s3_answer_t *a, gb_error_t *err)
{
    int       i, rc;
    uint64_t  got;
    s3_try_t  t;

    got = 0;
    memset(a, 0, sizeof(s3_answer_t));

    /* who was silent for all tries of one call gets one of the next */

    for (i = s3->silent ? S3_TRIES : 1; /* void */; i++) {
        s3_answer_free(a);
        memset(&t, 0, sizeof(s3_try_t));
        t.r = r;
        t.a = a;
        t.curl = s3->curl;
        t.got = &got;

        rc = s3_try(s3, &t, err);
        curl_slist_free_all(t.headers);
        s3->silent = (a->status == 0);

        if (rc != GB_ERROR || i == S3_TRIES || t.final || !s3_again(a)) {
            return rc;
        }

        s3_pause(i);
    }
}


void
s3_answer_free(s3_answer_t *a)
{
    free(a->body);
    memset(a, 0, sizeof(s3_answer_t));
}


static int
s3_try(s3_t *s3, s3_try_t *t, gb_error_t *err)
{
    int       n;
    char      url[GB_S3_URL];
    CURLcode  code;

    n = snprintf(url, sizeof(url), "%s://%s%s%s%s",
                 s3->place.tls ? "https" : "http", s3->place.host,
                 t->r->uri ? t->r->uri : s3->place.path,
                 t->r->query ? "?" : "", t->r->query ? t->r->query : "");

    if (n < 0 || (size_t) n >= sizeof(url) || !s3_headers(s3, t)) {
        t->final = true;
        return gb_error_set(err, "S3 bucket \"%s\": request cannot be signed",
                            s3->place.place.bucket);
    }

    s3_options(s3, t, url);
    code = curl_easy_perform(t->curl);

    return s3_judge(s3, t, code, err);
}


static bool
s3_headers(s3_t *s3, s3_try_t *t)
{
    char             date[GB_S3_DATE], range[64];
    char             authorization[GB_S3_AUTHORIZATION];
    gb_s3_request_t  r;

    r.method = t->r->method;
    r.uri = t->r->uri ? t->r->uri : s3->place.path;
    r.query = t->r->query;
    r.payload = t->r->sha256;
    r.time = time(NULL);

    gb_s3_date(r.time, date);

    if (gb_s3_key(&s3->place, &s3->key, r.time) != GB_OK
        || gb_s3_authorization(&s3->place, &s3->key, &r, authorization,
                               sizeof(authorization)) < 0)
    {
        return false;
    }

    if (*t->got > 0) {
        snprintf(range, sizeof(range), "bytes=%llu-",
                 (unsigned long long) *t->got);

        if (!s3_header_add(t, "Range", range)) {
            return false;
        }
    }

    return s3_header_add(t, "Host", s3->place.host)
           && s3_header_add(t, "x-amz-date", date)
           && s3_header_add(t, "x-amz-content-sha256",
                            r.payload ? r.payload : GB_S3_UNSIGNED)
           && s3_header_add(t, "Authorization", authorization)
           && s3_header_add(t, "Content-Type", "application/octet-stream");
}


static bool
s3_header_add(s3_try_t *t, const char *name, const char *value)
{
    char                line[GB_S3_AUTHORIZATION + 32];
    struct curl_slist  *list;

    snprintf(line, sizeof(line), "%s: %s", name, value);

    list = curl_slist_append(t->headers, line);
    if (list == NULL) {
        return false;
    }

    t->headers = list;

    return true;
}


static void
s3_options(s3_t *s3, s3_try_t *t, const char *url)
{
    CURL  *curl = t->curl;

    curl_easy_reset(curl);

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR,
                     s3->place.tls ? "https" : "http");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, t->r->method);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 120L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, s3_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, s3_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);

    s3_options_body(t);
}


static void
s3_options_body(s3_try_t *t)
{
    CURL  *curl = t->curl;

    if (t->r->size > 0) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                         (curl_off_t) t->r->size);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, s3_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, t);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, s3_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, t);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 256 * 1024L);

    } else if (t->r->text != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t) strlen(t->r->text));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, t->r->text);
    }
}


static size_t
s3_read(char *buf, size_t size, size_t n, void *data)
{
    ssize_t    len;
    uint64_t   left;
    s3_try_t  *t = data;

    size *= n;
    left = t->r->size - t->sent;

    if (size > left) {
        size = (size_t) left;
    }

    do {
        len = pread(t->r->fd, buf, size, (off_t) (t->r->offset + t->sent));
    } while (len == -1 && errno == EINTR);

    if (len < 0 || (len == 0 && left > 0)) {
        return CURL_READFUNC_ABORT;
    }

    t->sent += (uint64_t) len;

    if (t->r->sent != NULL) {
        t->r->sent(t->r->sent_data, t->sent);
    }

    return (size_t) len;
}


static int
s3_seek(void *data, curl_off_t offset, int origin)
{
    s3_try_t  *t = data;

    if (origin != SEEK_SET || offset < 0 || (uint64_t) offset > t->r->size) {
        return CURL_SEEKFUNC_FAIL;
    }

    t->sent = (uint64_t) offset;

    return CURL_SEEKFUNC_OK;
}


static size_t
s3_write(char *buf, size_t size, size_t n, void *data)
{
    char         *body;
    s3_try_t     *t = data;
    s3_answer_t  *a = t->a;

    size *= n;

    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &a->status);

    if (t->r->sink != NULL && s3_status_ok(a->status)) {

        /* the part asked for, or the sink would get the start twice */

        if (*t->got > 0 && a->status != 206) {
            return 0;
        }

        if (!t->r->sink(t->r->sink_data, buf, size)) {
            t->final = true;
            return 0;
        }

        *t->got += size;

        return size;
    }

    if (size > S3_ANSWER - a->len) {
        return 0;
    }

    body = realloc(a->body, a->len + size + 1);
    if (body == NULL) {
        return 0;
    }

    memcpy(body + a->len, buf, size);
    a->body = body;
    a->len += size;
    a->body[a->len] = '\0';

    return size;
}


static size_t
s3_header(char *buf, size_t size, size_t n, void *data)
{
    size_t     len;
    s3_try_t  *t = data;

    size *= n;

    if (size > 5 && strncasecmp(buf, "etag:", 5) == 0) {
        buf += 5;
        len = size - 5;

        while (len > 0 && strchr(" \t\"", buf[0]) != NULL) {
            buf++;
            len--;
        }

        while (len > 0 && strchr(" \t\"\r\n", buf[len - 1]) != NULL) {
            len--;
        }

        if (len < sizeof(t->a->etag)) {
            memcpy(t->a->etag, buf, len);
            t->a->etag[len] = '\0';
        }
    }

    return size;
}


static bool
s3_status_ok(long status)
{
    return status >= 200 && status < 300;
}


static int
s3_judge(s3_t *s3, s3_try_t *t, CURLcode code, gb_error_t *err)
{
    s3_error_t    e;
    s3_answer_t  *a = t->a;

    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &a->status);

    if (code != CURLE_OK) {
        a->status = 0;
        t->final |= code == CURLE_PEER_FAILED_VERIFICATION;

        return gb_error_set(err, "S3 bucket \"%s\": %s",
                            s3->place.place.bucket,
                            t->error[0] ? t->error : curl_easy_strerror(code));
    }

    /* completing an upload may fail after its 200 was sent */

    if (s3_status_ok(a->status)
        && (a->body == NULL || strstr(a->body, "<Error>") == NULL))
    {
        return GB_OK;
    }

    e.a = a;
    e.message[0] = '\0';

    if (a->body == NULL
        || s3_xml(a->body, a->len, s3_error_element, &e) != GB_OK
        || a->code[0] == '\0')
    {
        return gb_error_set(err, "S3 bucket \"%s\": %s answers %ld",
                            s3->place.place.bucket, s3->place.host,
                            a->status);
    }

    (void) gb_error_set(err, "S3 bucket \"%s\": %s%s%s",
                        s3->place.place.bucket, a->code,
                        e.message[0] ? ": " : "", e.message);

    return (strcmp(a->code, "NoSuchKey") == 0
            || strcmp(a->code, "NoSuchUpload") == 0) ? GB_DECLINED : GB_ERROR;
}


static bool
s3_error_element(void *data, const char *name, const char *text)
{
    s3_error_t  *e = data;

    if (text != NULL && strcmp(name, "Code") == 0) {
        snprintf(e->a->code, sizeof(e->a->code), "%s", text);

    } else if (text != NULL && strcmp(name, "Message") == 0) {
        snprintf(e->message, sizeof(e->message), "%s", text);
    }

    return true;
}


/* A server's trouble may pass; what it refuses, it will refuse again. */

static bool
s3_again(const s3_answer_t *a)
{
    return a->status == 0 || a->status >= 500 || a->status == 429
           || s3_status_ok(a->status)
           || strcmp(a->code, "RequestTimeout") == 0;
}


static void
s3_pause(int try)
{
    long             ms;
    struct timespec  ts;

    ms = S3_PAUSE << (try - 1);
    ms += (long) (getpid() + try) % (ms / 4);           /* not all at once */

    ts.tv_sec = ms / 1000;
    ts.tv_nsec = ms % 1000 * 1000000;

    (void) nanosleep(&ts, NULL);
}
