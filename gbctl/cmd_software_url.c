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


static CURLcode software_perform(cli_t *cli, CURL *curl, const char *url,
    FILE *fp, char *error);
static int software_xfer(void *data, curl_off_t total, curl_off_t done,
    curl_off_t utotal, curl_off_t udone);
static char *software_url_shown(const char *url);


int
software_fetch(cli_t *cli, const char *url)
{
    int       fd;
    char      error[CURL_ERROR_SIZE], *shown;
    CURL     *curl;
    FILE     *fp;
    CURLcode  code;

    shown = software_url_shown(url);
    if (shown == NULL) {
        cli_fail(cli, CLI_FAILED, "invalid", NULL, "--url: not a URL");
        return -1;
    }

    fd = -1;
    error[0] = '\0';
    curl = curl_easy_init();
    fp = tmpfile();

    if (curl == NULL || fp == NULL) {
        cli_fail(cli, CLI_FAILED, "io_error", NULL,
                 "no temporary file: %s", strerror(errno));

    } else {
        code = software_perform(cli, curl, url, fp, error);

        if (code != CURLE_OK) {
            cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s: %s", shown,
                     error[0] ? error : curl_easy_strerror(code));

        } else if (fflush(fp) != 0
                   || (fd = fcntl(fileno(fp), F_DUPFD_CLOEXEC, 3)) < 0)
        {
            cli_fail(cli, CLI_FAILED, "io_error", NULL, "%s: %s", shown,
                     strerror(errno));
        }
    }

    if (fp != NULL) {
        fclose(fp);
    }

    curl_easy_cleanup(curl);
    curl_free(shown);

    return fd;
}


static CURLcode
software_perform(cli_t *cli, CURL *curl, const char *url, FILE *fp,
    char *error)
{
    CURLcode         code;
    out_progress_t  *bar;

    bar = out_progress_start(cli, "downloading", 0);

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
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, fp);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, software_xfer);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, bar);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);

    code = curl_easy_perform(curl);

    out_progress_end(bar);

    return code;
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
