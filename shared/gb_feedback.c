/*
 * gb_feedback: what a device says about its action.
 */

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gb_feedback.h"
#include "gb_text.h"


#define GB_FEEDBACK_DETAILS  100
#define GB_FEEDBACK_DETAIL   4096
#define GB_FEEDBACK_CUT      " [cut]"
#define GB_FEEDBACK_REAL     1e30L      /* at most, of a progress */


static int gb_feedback_result(const json_t *status, gb_feedback_t *fb,
    gb_error_t *err);
static int gb_feedback_details(const json_t *status,
    const gb_feedback_quota_t *quota, gb_feedback_t *fb, gb_error_t *err);
static char *gb_feedback_detail(const char *s, size_t len, size_t max,
    size_t dropped);
static void gb_feedback_progress(const json_t *progress, gb_feedback_t *fb);
static int gb_feedback_downloaded(const char *s, int progress);
static const char *gb_feedback_word(const json_t *value,
    const char *const *words);
static int gb_feedback_int(const json_t *value, long long *n);
static int gb_feedback_real(const json_t *value, long double *n);
static void gb_feedback_code(const json_t *status, gb_feedback_t *fb);


static const char *const  gb_feedback_executions[] = {
    "proceeding", "scheduled", "resumed", "download", "downloaded",
    "closed", "rejected", "canceled", NULL
};

static const char *const  gb_feedback_confirmations[] = {
    "confirmed", "denied", NULL
};

static const char *const  gb_feedback_finished[] = {
    "success", "failure", "none", NULL
};


int
gb_feedback_json(const char *body, size_t len, json_t **root,
    gb_error_t *err)
{
    char          *text;
    size_t         n;
    json_error_t   je;

    *root = NULL;

    n = gb_text_clean_numbers(body, len, NULL);
    if (n == GB_TEXT_TOO_LONG) {
        return gb_error_set(err, "the body is too long");
    }

    text = malloc(n + 1);
    if (text == NULL) {
        return gb_error_nomem(err);
    }

    (void) gb_text_clean_numbers(body, len, text);

    *root = json_loadb(text, n, 0, &je);

    free(text);

    if (*root == NULL) {
        /* jansson often has no word for that */

        if (json_error_code(&je) == json_error_out_of_memory
            || je.text[0] == '\0')
        {
            return gb_error_nomem(err);
        }

        return gb_error_set(err, "not JSON: line %d, column %d: %s", je.line,
                            je.column, je.text);
    }

    if (!json_is_object(*root)) {
        json_decref(*root);
        *root = NULL;

        return gb_error_set(err, "the body must be a JSON object");
    }

    return GB_OK;
}


int
gb_feedback_parse(const char *body, size_t len,
    const gb_feedback_quota_t *quota, gb_feedback_t **out, gb_error_t *err)
{
    int      rc;
    json_t  *root;

    *out = NULL;

    rc = gb_feedback_json(body, len, &root, err);
    if (rc != GB_OK) {
        return rc;
    }

    rc = gb_feedback_tree(root, quota, out, err);

    json_decref(root);

    return rc;
}


int
gb_feedback_tree(const json_t *root, const gb_feedback_quota_t *quota,
    gb_feedback_t **out, gb_error_t *err)
{
    int             rc;
    json_t         *status;
    gb_feedback_t  *fb;

    *out = NULL;

    status = json_object_get(root, "status");
    if (!json_is_object(status)) {
        return gb_error_set(err, "\"status\" must be an object");
    }

    fb = calloc(1, sizeof(gb_feedback_t));
    if (fb == NULL) {
        return gb_error_nomem(err);
    }

    fb->progress = -1;

    fb->execution = gb_feedback_word(json_object_get(status, "execution"),
                                     gb_feedback_executions);

    if (fb->execution == NULL) {
        rc = gb_error_set(err, "\"execution\" must be proceeding, scheduled, "
                          "resumed, download, downloaded, closed, rejected "
                          "or canceled");
        goto failed;
    }

    gb_feedback_code(status, fb);

    rc = gb_feedback_result(status, fb, err);
    if (rc != GB_OK) {
        goto failed;
    }

    rc = gb_feedback_details(status, quota, fb, err);
    if (rc != GB_OK) {
        goto failed;
    }

    *out = fb;

    return GB_OK;

failed:

    gb_feedback_free(fb);

    return rc;
}


void
gb_feedback_free(gb_feedback_t *fb)
{
    size_t  i;

    if (fb == NULL) {
        return;
    }

    for (i = 0; i < fb->ndetails; i++) {
        free(fb->details[i]);
    }

    free(fb->details);
    free(fb);
}


int
gb_feedback_confirmation_tree(const json_t *root,
    const gb_feedback_quota_t *quota, gb_feedback_t **out, gb_error_t *err)
{
    int             rc;
    gb_feedback_t  *fb;

    *out = NULL;

    fb = calloc(1, sizeof(gb_feedback_t));
    if (fb == NULL) {
        return gb_error_nomem(err);
    }

    fb->progress = -1;
    fb->finished = "none";

    fb->execution = gb_feedback_word(json_object_get(root, "confirmation"),
                                     gb_feedback_confirmations);

    if (fb->execution == NULL) {
        gb_feedback_free(fb);
        return gb_error_set(err,
                            "\"confirmation\" must be confirmed or denied");
    }

    gb_feedback_code(root, fb);

    rc = gb_feedback_details(root, quota, fb, err);

    if (rc != GB_OK) {
        gb_feedback_free(fb);
        return rc;
    }

    fb->progress = -1;

    *out = fb;

    return GB_OK;
}


int
gb_feedback_text(const json_t *root, const char *name, bool required,
    size_t max, char **out, gb_error_t *err)
{
    size_t       len;
    json_t      *value;
    const char  *s;

    *out = NULL;

    value = json_object_get(root, name);

    if (value == NULL || json_is_null(value)) {
        return required ? gb_error_set(err, "\"%s\" is missing", name)
                        : GB_OK;
    }

    s = json_string_value(value);
    len = s != NULL ? strlen(s) : 0;

    if (len == 0 || gb_text_chars(s, len) > max
        || gb_text_has_control(s, len))
    {
        return gb_error_set(err, "\"%s\" must be a text of 1 to %zu "
                            "characters", name, max);
    }

    *out = strdup(s);

    return *out != NULL ? GB_OK : gb_error_nomem(err);
}


static int
gb_feedback_result(const json_t *status, gb_feedback_t *fb, gb_error_t *err)
{
    json_t  *result, *finished;

    fb->finished = "none";

    result = json_object_get(status, "result");

    if (result == NULL || json_is_null(result)) {
        return GB_OK;
    }

    if (!json_is_object(result)) {
        return gb_error_set(err, "\"result\" must be an object");
    }

    gb_feedback_progress(json_object_get(result, "progress"), fb);

    finished = json_object_get(result, "finished");

    if (finished == NULL || json_is_null(finished)) {
        return GB_OK;
    }

    fb->finished = gb_feedback_word(finished, gb_feedback_finished);

    if (fb->finished == NULL) {
        return gb_error_set(err,
                            "\"finished\" must be success, failure or none");
    }

    return GB_OK;
}


static int
gb_feedback_details(const json_t *status, const gb_feedback_quota_t *quota,
    gb_feedback_t *fb, gb_error_t *err)
{
    int          shown;
    char        *text;
    size_t       i, n, texts, max, chars;
    json_t      *details, *item;
    const char  *s;

    max = quota != NULL && quota->details != 0 ? quota->details
                                               : GB_FEEDBACK_DETAILS;
    chars = quota != NULL && quota->detail != 0 ? quota->detail
                                                : GB_FEEDBACK_DETAIL;

    details = json_object_get(status, "details");

    if (details == NULL || json_is_null(details)) {
        return GB_OK;
    }

    n = json_is_array(details) ? json_array_size(details) : 1;
    texts = 0;
    shown = -1;

    for (i = 0; i < n; i++) {
        item = json_is_array(details) ? json_array_get(details, i) : details;

        if (json_is_string(item)) {
            shown = gb_feedback_downloaded(json_string_value(item), shown);
            texts++;

        } else if (!json_is_null(item)) {
            return gb_error_set(err, "\"details\" must be strings");
        }
    }

    if (fb->progress < 0) {
        fb->progress = shown;
    }

    if (texts == 0) {
        return GB_OK;
    }

    max = texts < max ? texts : max;

    fb->details = calloc(max, sizeof(char *));
    if (fb->details == NULL) {
        return gb_error_nomem(err);
    }

    for (i = 0; i < n && fb->ndetails < max; i++) {
        item = json_is_array(details) ? json_array_get(details, i) : details;

        if (!json_is_string(item)) {
            continue;
        }

        s = json_string_value(item);

        text = gb_feedback_detail(s, strlen(s), chars,
                                  fb->ndetails + 1 == max ? texts - max : 0);
        if (text == NULL) {
            return gb_error_nomem(err);
        }

        fb->details[fb->ndetails++] = text;
    }

    return GB_OK;
}


/* a copy of at most max characters, the marks among them */

static char *
gb_feedback_detail(const char *s, size_t len, size_t max, size_t dropped)
{
    int     n;
    char   *text, mark[64];
    size_t  room;

    mark[0] = '\0';
    n = 0;

    if (dropped != 0) {
        n = snprintf(mark, sizeof(mark), " [%zu more dropped]", dropped);
    }

    room = max > (size_t) n ? max - (size_t) n : 0;

    if (gb_text_chars(s, len) > room) {
        n = snprintf(mark, sizeof(mark), GB_FEEDBACK_CUT);

        if (dropped != 0) {
            n += snprintf(mark + n, sizeof(mark) - (size_t) n,
                          " [%zu more dropped]", dropped);
        }

        room = max > (size_t) n ? max - (size_t) n : 0;
        len = gb_text_cut(s, len, room);
    }

    text = malloc(len + (size_t) n + 1);

    if (text != NULL) {
        memcpy(text, s, len);
        memcpy(text + len, mark, (size_t) n + 1);
    }

    return text;
}


/* anything but a proper share of a whole is no progress, not an error */

static void
gb_feedback_progress(const json_t *progress, gb_feedback_t *fb)
{
    long double  cnt, of;

    if (gb_feedback_real(json_object_get(progress, "cnt"), &cnt) != GB_OK
        || gb_feedback_real(json_object_get(progress, "of"), &of) != GB_OK)
    {
        return;
    }

    /* the whole by itself: rounding may make 99 of 0.09 of 0.09 */

    if (of > 0 && cnt >= 0 && cnt <= of) {
        fb->progress = cnt < of ? (int) (100.0L * cnt / of) : 100;
    }
}


/* the last "Downloaded N%" of s, or what was known before */

static int
gb_feedback_downloaded(const char *s, int progress)
{
    int  n;

    while ((s = strstr(s, "Downloaded ")) != NULL) {
        s += sizeof("Downloaded ") - 1;

        if (*s < '0' || *s > '9') {
            continue;
        }

        for (n = 0; *s >= '0' && *s <= '9'; s++) {
            n = n > 100 ? n : n * 10 + (*s - '0');
        }

        if (*s == '%') {
            progress = n > 100 ? 100 : n;
        }
    }

    return progress;
}


static const char *
gb_feedback_word(const json_t *value, const char *const *words)
{
    const char  *s;

    s = json_string_value(value);

    if (s == NULL) {
        return NULL;
    }

    while (*words != NULL && strcmp(*words, s) != 0) {
        words++;
    }

    return *words;
}


/* an integer, or a string that is one: JSON's numbers come as strings */

static int
gb_feedback_int(const json_t *value, long long *n)
{
    char        *end;
    const char  *s;

    if (json_is_integer(value)) {
        *n = json_integer_value(value);
        return GB_OK;
    }

    s = json_string_value(value);

    if (s == NULL || *s == '\0' || strspn(s, "-0123456789") != strlen(s)) {
        return GB_ERROR;
    }

    errno = 0;
    *n = strtoll(s, &end, 10);

    return errno == 0 && *end == '\0' ? GB_OK : GB_ERROR;
}


/* the same of any number, as a client that divides sends 33.3 of 100 */

static int
gb_feedback_real(const json_t *value, long double *n)
{
    char        *end;
    const char  *s;

    if (json_is_integer(value)) {
        *n = (long double) json_integer_value(value);
        return GB_OK;
    }

    s = json_string_value(value);

    if (s == NULL || *s == '\0' || strspn(s, "+-.0123456789Ee") != strlen(s)) {
        return GB_ERROR;
    }

    *n = strtold(s, &end);

    return *end == '\0' && fabsl(*n) <= GB_FEEDBACK_REAL ? GB_OK : GB_ERROR;
}


static void
gb_feedback_code(const json_t *status, gb_feedback_t *fb)
{
    long long  n;

    if (gb_feedback_int(json_object_get(status, "code"), &n) == GB_OK
        && n >= INT_MIN && n <= INT_MAX)
    {
        fb->has_code = true;
        fb->code = (int) n;
    }
}
