/*
 * gb_feedback: what a device sends, read as leniently as ddi.md (Feedback,
 * configData, rule 10) and hawkBit's DDI 1.1 take it.  JSON goes through
 * gb_text_clean() and jansson's tree; the *_tree functions take such a tree
 * from anywhere (CBOR).
 *
 * All return GB_OK with a new object (free it with *_free), or GB_ERROR (the
 * device is told 400), GB_QUOTA (429) or GB_NOMEM (500; or 503) with err set
 * and *out NULL.  Input is borrowed for the call only; results are copies,
 * every string is valid UTF-8, NUL-terminated, and holds no other NUL.
 */

#ifndef GB_FEEDBACK_H
#define GB_FEEDBACK_H


#include <stdbool.h>
#include <stddef.h>

#include "gb_error.h"


struct json_t;


/* goosebit_quota; zero members and a NULL pointer mean the defaults */
typedef struct {
    size_t       attributes;    /* 100 a configData */
    size_t       key;           /* 128 characters */
    size_t       value;         /* 255 characters */
    size_t       details;       /* 100 a feedback, the rest is dropped */
    size_t       detail;        /* 4096 characters, the rest is cut */
} gb_feedback_quota_t;


typedef struct {
    /*
     * "proceeding", "scheduled", "resumed", "download", "downloaded",
     * "closed", "rejected" or "canceled"; static, never NULL
     */
    const char  *execution;

    /* "success", "failure" or "none" (also where absent or null); static */
    const char  *finished;

    /*
     * 0-100, or -1 if unknown: from result.progress {"cnt","of"}, else from
     * the last "Downloaded N%" in details
     */
    int          progress;

    /* status.code where it is a whole number of 32 bits */
    bool         has_code;
    int          code;

    /*
     * In the order sent, within the quota.  A cut one ends in " [cut]";
     * where some were dropped, the last ends in " [N more dropped]".
     */
    size_t       ndetails;
    char       **details;
} gb_feedback_t;


/*
 * The lenient reading alone: *root is a new reference to an object whose
 * numbers are strings (gb_text_clean_numbers()).  No GB_QUOTA.
 */
int gb_feedback_json(const char *body, size_t len, struct json_t **root,
    gb_error_t *err) GB_MUST_CHECK;


/* the body of deploymentBase/ID/feedback and cancelAction/ID/feedback */
int gb_feedback_parse(const char *body, size_t len,
    const gb_feedback_quota_t *quota, gb_feedback_t **out, gb_error_t *err)
    GB_MUST_CHECK;
int gb_feedback_tree(const struct json_t *root,
    const gb_feedback_quota_t *quota, gb_feedback_t **out, gb_error_t *err)
    GB_MUST_CHECK;
void gb_feedback_free(gb_feedback_t *fb);

/*
 * The body of confirmationBase/ID/feedback, {"confirmation", "code"?,
 * "details"?}: execution is "confirmed" or "denied", finished "none",
 * progress -1 (hawkBit's DdiConfirmationFeedback).
 */
int gb_feedback_confirmation_tree(const struct json_t *root,
    const gb_feedback_quota_t *quota, gb_feedback_t **out, gb_error_t *err)
    GB_MUST_CHECK;

/*
 * The text of one member.  *out is a copy, free() it; NULL where the member
 * is absent or null, which is an error if it is required.  At most max
 * characters; an empty one or control characters are GB_ERROR, too.
 */
int gb_feedback_text(const struct json_t *root, const char *name,
    bool required, size_t max, char **out, gb_error_t *err) GB_MUST_CHECK;


typedef struct {
    const char  *mode;          /* "merge", "replace" or "remove"; static */

    /*
     * n keys, each once (the last of equals wins), none empty or with
     * control characters.  A NULL value removes the key; numbers and
     * booleans came as their text.  With "remove" values don't matter.
     */
    size_t       n;
    char       **keys;
    char       **values;
} gb_config_data_t;


/* the body of configData: {"mode"?, "data": {...}} */
int gb_config_data_parse(const char *body, size_t len,
    const gb_feedback_quota_t *quota, gb_config_data_t **out,
    gb_error_t *err) GB_MUST_CHECK;
int gb_config_data_tree(const struct json_t *root,
    const gb_feedback_quota_t *quota, gb_config_data_t **out,
    gb_error_t *err) GB_MUST_CHECK;
void gb_config_data_free(gb_config_data_t *cd);


#endif /* GB_FEEDBACK_H */
