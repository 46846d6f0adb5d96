/*
 * Remote software: read once over http or https by libcurl.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "cmd_software.h"
#include "out.h"


typedef struct {
    store_sink_pt    sink;
    void            *data;
} software_url_t;

typedef struct {
    FILE            *fp;
    int              error;     /* errno of a write */
} software_temporary_t;


static CURLcode software_perform(CURL *curl, const char *url,
    software_url_t *u, out_progress_t *bar, char *error);
static int software_url_failed(const char *shown, const char *error,
    long status, gb_error_t *err);
static size_t software_url_write(char *buf, size_t size, size_t n,
    void *data);
static int software_xfer(void *data, curl_off_t total, curl_off_t done,
    curl_off_t utotal, curl_off_t udone);
static int software_no_temporary(cli_t *cli, int error);
static bool software_fetch_write(void *data, const char *bytes, size_t len);
static char *software_url_shown(const char *url);


int
software_read_url(const char *url, store_sink_pt sink, void *data,
    out_progress_t *bar, gb_error_t *err)
{
    int              rc;
    char             error[CURL_ERROR_SIZE], *shown;
    long             status;
    CURL            *curl;
    CURLcode         code;
    software_url_t   u = { sink, data };

    shown = software_url_shown(url);
    if (shown == NULL) {
        return gb_error_set(err, "not a URL");
    }

    error[0] = '\0';
    status = 0;
    curl = curl_easy_init();
    code = curl != NULL ? software_perform(curl, url, &u, bar, error)
                        : CURLE_OUT_OF_MEMORY;
    rc = GB_OK;

    if (curl != NULL) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    }

    if (code != CURLE_OK) {
        rc = software_url_failed(shown, error[0] ? error
                                        : curl_easy_strerror(code),
                                 status, err);

    } else if (status != 200) {

        /* "not yet" (202) or a choice (300) comes with a page, no image */

        snprintf(error, sizeof(error), "the server answered %ld, not 200",
                 status);
        rc = software_url_failed(shown, error, status, err);
    }

    curl_easy_cleanup(curl);
    curl_free(shown);

    return rc;
}


static int
software_url_failed(const char *shown, const char *error, long status,
    gb_error_t *err)
{
    (void) gb_error_set(err, "%s: %s", shown, error);

    return status == 404 || status == 410 ? GB_DECLINED : GB_ERROR;
}


int
software_fetch(cli_t *cli, const char *url)
{
    int              fd, rc;
    gb_error_t       err;
    out_progress_t  *bar;

    software_temporary_t  t = { tmpfile(), 0 };

    if (t.fp == NULL) {
        return software_no_temporary(cli, errno);
    }

    bar = out_progress_start(cli, "downloading", 0);
    rc = software_read_url(url, software_fetch_write, &t, bar, &err);
    out_progress_end(bar);

    fd = -1;

    if (t.error != 0) {
        (void) software_no_temporary(cli, t.error);

    } else if (rc != GB_OK) {
        cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s", err.message);

    } else if (fflush(t.fp) != 0
               || (fd = fcntl(fileno(t.fp), F_DUPFD_CLOEXEC, 3)) < 0)
    {
        (void) software_no_temporary(cli, errno);
    }

    fclose(t.fp);

    return fd;
}


static int
software_no_temporary(cli_t *cli, int error)
{
    cli_fail(cli, CLI_FAILED, "io_error", NULL,
             "no temporary file in " P_tmpdir ": %s", strerror(error));

    return -1;
}


static bool
software_fetch_write(void *data, const char *bytes, size_t len)
{
    software_temporary_t  *t = data;

    if (fwrite(bytes, 1, len, t->fp) == len) {
        return true;
    }

    t->error = errno;

    return false;
}


static CURLcode
software_perform(CURL *curl, const char *url, software_url_t *u,
    out_progress_t *bar, char *error)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, software_url_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, u);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, software_xfer);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, bar);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);

    return curl_easy_perform(curl);
}


static size_t
software_url_write(char *buf, size_t size, size_t n, void *data)
{
    software_url_t  *u = data;

    return u->sink(u->data, buf, size * n) ? size * n : 0;
}


static int
software_xfer(void *data, curl_off_t total, curl_off_t done,
    curl_off_t utotal, curl_off_t udone)
{
    (void) utotal;
    (void) udone;

    out_progress_total(data, (uint64_t) total);
    out_progress_step(data, (uint64_t) done);

    return 0;
}


/* the URL without user and password; curl_free() */

static char *
software_url_shown(const char *url)
{
    char   *shown;
    CURLU  *parts;

    shown = NULL;
    parts = curl_url();

    if (parts != NULL
        && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK)
    {
        curl_url_set(parts, CURLUPART_USER, NULL, 0);
        curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0);
        curl_url_get(parts, CURLUPART_URL, &shown, 0);
    }

    curl_url_cleanup(parts);

    return shown;
}


char *
software_url_filename(const char *url)
{
    char   *path, *slash, *filename;
    CURLU  *parts;

    path = NULL;
    filename = NULL;
    parts = curl_url();

    if (parts != NULL
        && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK
        && curl_url_get(parts, CURLUPART_PATH, &path, CURLU_URLDECODE)
           == CURLUE_OK)
    {
        slash = strrchr(path, '/');
        filename = strdup(slash != NULL ? slash + 1 : path);
    }

    curl_free(path);
    curl_url_cleanup(parts);

    return filename;
}
