/*
 * gb_config_data: the attributes a device sends about itself.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gb_feedback.h"
#include "gb_text.h"


#define GB_CONFIG_DATA_ATTRIBUTES  100
#define GB_CONFIG_DATA_KEY         128
#define GB_CONFIG_DATA_VALUE       255


static const char *gb_config_data_mode(const json_t *mode);
static int gb_config_data_fill(gb_config_data_t *cd, json_t *data,
    const gb_feedback_quota_t *quota, gb_error_t *err);
static int gb_config_data_key(gb_config_data_t *cd, const char *key,
    size_t max, gb_error_t *err);
static int gb_config_data_value(gb_config_data_t *cd, const json_t *value,
    size_t max, gb_error_t *err);


int
gb_config_data_parse(const char *body, size_t len,
    const gb_feedback_quota_t *quota, gb_config_data_t **out,
    gb_error_t *err)
{
    int      rc;
    json_t  *root;

    *out = NULL;

    rc = gb_feedback_json(body, len, &root, err);
    if (rc != GB_OK) {
        return rc;
    }

    rc = gb_config_data_tree(root, quota, out, err);

    json_decref(root);

    return rc;
}


int
gb_config_data_tree(const json_t *root, const gb_feedback_quota_t *quota,
    gb_config_data_t **out, gb_error_t *err)
{
    int                rc;
    json_t            *data;
    size_t             max, n;
    const char        *mode;
    gb_config_data_t  *cd;

    *out = NULL;

    max = quota != NULL && quota->attributes != 0 ? quota->attributes
                                                  : GB_CONFIG_DATA_ATTRIBUTES;

    mode = gb_config_data_mode(json_object_get(root, "mode"));
    if (mode == NULL) {
        return gb_error_set(err, "\"mode\" must be merge, replace or remove");
    }

    data = json_object_get(root, "data");
    if (!json_is_object(data)) {
        return gb_error_set(err, "\"data\" must be an object");
    }

    n = json_object_size(data);
    if (n > max) {
        gb_error_set(err, "%zu attributes, %zu are allowed", n, max);
        return GB_QUOTA;
    }

    cd = calloc(1, sizeof(gb_config_data_t));
    if (cd == NULL) {
        return gb_error_nomem(err);
    }

    cd->mode = mode;

    rc = gb_config_data_fill(cd, data, quota, err);

    if (rc != GB_OK) {
        gb_config_data_free(cd);
        return rc;
    }

    *out = cd;

    return GB_OK;
}


void
gb_config_data_free(gb_config_data_t *cd)
{
    size_t  i;

    if (cd == NULL) {
        return;
    }

    for (i = 0; i < cd->n; i++) {
        free(cd->keys[i]);
        free(cd->values[i]);
    }

    free(cd->keys);
    free(cd->values);
    free(cd);
}


static const char *
gb_config_data_mode(const json_t *mode)
{
    size_t       i;
    const char  *s;

    static const char *const  modes[] = { "merge", "replace", "remove" };

    if (mode == NULL || json_is_null(mode)) {
        return modes[0];
    }

    s = json_string_value(mode);

    for (i = 0; s != NULL && i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(s, modes[i]) == 0) {
            return modes[i];
        }
    }

    return NULL;
}


static int
gb_config_data_fill(gb_config_data_t *cd, json_t *data,
    const gb_feedback_quota_t *quota, gb_error_t *err)
{
    int          rc;
    size_t       n, kmax, vmax;
    json_t      *value;
    const char  *key;

    kmax = quota != NULL && quota->key != 0 ? quota->key
                                            : GB_CONFIG_DATA_KEY;
    vmax = quota != NULL && quota->value != 0 ? quota->value
                                              : GB_CONFIG_DATA_VALUE;

    n = json_object_size(data);

    cd->keys = calloc(n + 1, sizeof(char *));
    cd->values = calloc(n + 1, sizeof(char *));

    if (cd->keys == NULL || cd->values == NULL) {
        return gb_error_nomem(err);
    }

    json_object_foreach(data, key, value) {
        rc = gb_config_data_key(cd, key, kmax, err);

        if (rc == GB_OK && strcmp(cd->mode, "remove") != 0) {
            rc = gb_config_data_value(cd, value, vmax, err);
        }

        if (rc != GB_OK) {
            return rc;
        }
    }

    return GB_OK;
}


/*
 * U+FFFD stands where gb_text_clean() found something unfit.  A value may
 * keep it, but two keys could become one.
 */

static int
gb_config_data_key(gb_config_data_t *cd, const char *key, size_t max,
    gb_error_t *err)
{
    size_t  len;

    len = strlen(key);

    if (len == 0) {
        return gb_error_set(err, "an attribute without a name");
    }

    if (gb_text_chars(key, len) > max) {
        return gb_error_set(err, "attribute \"%.32s...\": the name is longer "
                            "than %zu characters", key, max);
    }

    if (gb_text_has_control(key, len) || strstr(key, "\xef\xbf\xbd")) {
        return gb_error_set(err, "attribute \"%s\": control characters or "
                            "bad UTF-8 in the name", key);
    }

    cd->keys[cd->n] = strdup(key);

    if (cd->keys[cd->n] == NULL) {
        return gb_error_nomem(err);
    }

    cd->n++;

    return GB_OK;
}


/* the last key's value: Jackson reads any scalar as a string */

static int
gb_config_data_value(gb_config_data_t *cd, const json_t *value, size_t max,
    gb_error_t *err)
{
    char         number[64];
    const char  *s, *key;

    key = cd->keys[cd->n - 1];

    switch (json_typeof(value)) {

    case JSON_STRING:
        s = json_string_value(value);
        break;

    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%lld",
                 (long long) json_integer_value(value));
        s = number;
        break;

    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(value));
        s = number;
        break;

    case JSON_TRUE:
        s = "true";
        break;

    case JSON_FALSE:
        s = "false";
        break;

    case JSON_NULL:
        return GB_OK;

    case JSON_OBJECT:
    case JSON_ARRAY:
    default:
        return gb_error_set(err, "attribute \"%s\": not a string", key);
    }

    if (gb_text_chars(s, strlen(s)) > max) {
        return gb_error_set(err, "attribute \"%s\": the value is longer than "
                            "%zu characters", key, max);
    }

    cd->values[cd->n - 1] = strdup(s);

    if (cd->values[cd->n - 1] == NULL) {
        return gb_error_nomem(err);
    }

    return GB_OK;
}
