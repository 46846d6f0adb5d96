/*
 * gb_rauc_manifest: manifest.raucm, a GLib key file, and the hardware that its
 * compatible stands for.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PCRE2_CODE_UNIT_WIDTH  8
#include <pcre2.h>

#include "gb_rauc.h"
#include "gb_text.h"


#define GB_RAUC_LINES_MAX    10000
#define GB_RAUC_VALUE_MAX    8192
#define GB_RAUC_MATCH_LIMIT  100000


static json_t *gb_rauc_read_keyfile(const char *text, size_t len,
    gb_error_t *err);
static int gb_rauc_read_line(json_t *root, json_t **group, const char *p,
    size_t len, unsigned line, gb_error_t *err);
static json_t *gb_rauc_unescape(const char *p, size_t len);
static int gb_rauc_take(gb_image_t *image, json_t *root,
    const gb_image_options_t *opt, gb_error_t *err);
static int gb_rauc_take_bundle(gb_image_t *image, json_t *root,
    gb_error_t *err);
static void gb_rauc_take_images(gb_image_t *image, json_t *root);
static int gb_rauc_split(gb_image_t *image, const char *compatible,
    gb_error_t *err);
static int gb_rauc_match(gb_image_t *image, const char *compatible,
    const char *pattern, gb_error_t *err);
static int gb_rauc_groups(gb_image_t *image, const char *compatible,
    pcre2_code *code, pcre2_match_data *md, gb_error_t *err);


int
gb_rauc_parse_manifest(gb_image_t *image, const char *text, size_t len,
    const gb_image_options_t *opt, gb_error_t *err)
{
    int      rc;
    json_t  *root;

    if (memchr(text, '\0', len) != NULL || !gb_text_utf8_valid(text, len)) {
        return gb_error_set(err, "manifest.raucm is not text in UTF-8");
    }

    root = gb_rauc_read_keyfile(text, len, err);
    if (root == NULL) {
        return GB_ERROR;
    }

    rc = gb_rauc_take(image, root, opt, err);

    json_decref(root);

    return rc;
}


/*
 * A new object of groups, each an object of strings (Desktop Entry
 * Specification, "Basic format of the file", as GKeyFile reads it).
 */

static json_t *
gb_rauc_read_keyfile(const char *text, size_t len, gb_error_t *err)
{
    size_t       n;
    json_t      *root, *group;
    unsigned     line;
    const char  *p, *end, *nl;

    root = json_object();
    if (root == NULL) {
        (void) gb_error_nomem(err);
        return NULL;
    }

    group = NULL;
    end = text + len;

    for (p = text, line = 1; p < end; p = nl + 1, line++) {
        nl = memchr(p, '\n', (size_t) (end - p));
        if (nl == NULL) {
            nl = end;
        }

        n = (size_t) (nl - p);

        while (n > 0 && strchr(" \t\r", p[n - 1]) != NULL) {
            n--;
        }

        while (n > 0 && strchr(" \t\r", *p) != NULL) {
            p++;
            n--;
        }

        if (line > GB_RAUC_LINES_MAX) {
            (void) gb_error_set(err, "manifest.raucm has too many lines");
            goto failed;
        }

        if (n == 0 || *p == '#') {
            continue;
        }

        if (gb_rauc_read_line(root, &group, p, n, line, err) != GB_OK) {
            goto failed;
        }
    }

    return root;

failed:

    json_decref(root);

    return NULL;
}


static int
gb_rauc_read_line(json_t *root, json_t **group, const char *p, size_t len,
    unsigned line, gb_error_t *err)
{
    char         name[GB_IMAGE_TEXT_MAX + 1];
    size_t       n;
    json_t      *value;
    const char  *eq;

    if (*p == '[') {
        n = len - 1;

        if (n < 2 || p[n] != ']' || memchr(p + 1, ']', n - 1) != NULL
            || n - 1 > GB_IMAGE_TEXT_MAX)
        {
            return gb_error_set(err, "manifest.raucm, line %u: not a group",
                                line);
        }

        memcpy(name, p + 1, n - 1);
        name[n - 1] = '\0';

        /* GKeyFile merges groups of the same name */

        *group = json_object_get(root, name);

        if (*group == NULL) {
            *group = json_object();

            if (json_object_set_new(root, name, *group) != 0) {
                return gb_error_nomem(err);
            }
        }

        return GB_OK;
    }

    eq = memchr(p, '=', len);

    if (eq == NULL || eq == p) {
        return gb_error_set(err, "manifest.raucm, line %u: neither a group "
                            "nor key=value", line);
    }

    if (*group == NULL) {
        return gb_error_set(err, "manifest.raucm, line %u: a key before the "
                            "first group", line);
    }

    n = (size_t) (eq - p);

    while (n > 1 && (p[n - 1] == ' ' || p[n - 1] == '\t')) {
        n--;
    }

    len -= (size_t) (eq + 1 - p);

    if (n > GB_IMAGE_TEXT_MAX || len > GB_RAUC_VALUE_MAX) {
        return gb_error_set(err, "manifest.raucm, line %u: too long", line);
    }

    memcpy(name, p, n);
    name[n] = '\0';

    value = gb_rauc_unescape(eq + 1, len);

    if (value == NULL) {
        return gb_error_set(err, "manifest.raucm, line %u: a bad escape",
                            line);
    }

    if (json_object_set_new(*group, name, value) != 0) {
        return gb_error_nomem(err);
    }

    return GB_OK;
}


static json_t *
gb_rauc_unescape(const char *p, size_t len)
{
    char         buf[GB_RAUC_VALUE_MAX];
    size_t       i, n;
    const char  *at;

    static const char  escapes[] = "sntr\\";
    static const char  plain[] = " \n\t\r\\";

    for (i = 0; i < len && (p[i] == ' ' || p[i] == '\t'); i++) {
        /* void */
    }

    for (n = 0; i < len; i++) {
        if (p[i] != '\\') {
            buf[n++] = p[i];
            continue;
        }

        if (++i == len) {
            return NULL;
        }

        at = strchr(escapes, p[i]);
        if (at == NULL) {
            return NULL;
        }

        buf[n++] = plain[at - escapes];
    }

    return json_stringn(buf, n);
}


static int
gb_rauc_take(gb_image_t *image, json_t *root, const gb_image_options_t *opt,
    gb_error_t *err)
{
    json_t      *update;
    const char  *version, *compatible;

    update = json_object_get(root, "update");

    if (update == NULL) {
        return gb_error_set(err, "manifest.raucm has no [update] group");
    }

    version = json_string_value(json_object_get(update, "version"));
    compatible = json_string_value(json_object_get(update, "compatible"));

    if (version == NULL || compatible == NULL) {
        return gb_error_set(err, "manifest.raucm: the %s is missing",
                            version == NULL ? "version" : "compatible");
    }

    if (gb_image_set_text(&image->version, version, "the version", err)
        != GB_OK
        || gb_rauc_add_compatible(image, compatible, opt, err) != GB_OK
        || gb_rauc_take_bundle(image, root, err) != GB_OK)
    {
        return GB_ERROR;
    }

    gb_image_set_fact(image, "compatible", json_string(compatible));
    gb_image_set_fact(image, "description",
                      json_incref(json_object_get(update, "description")));
    gb_image_set_fact(image, "build",
                      json_incref(json_object_get(update, "build")));

    gb_rauc_take_images(image, root);

    return GB_OK;
}


static int
gb_rauc_take_bundle(gb_image_t *image, json_t *root, gb_error_t *err)
{
    char        *end;
    json_t      *bundle;
    long long    n;
    const char  *format, *size;

    bundle = json_object_get(root, "bundle");
    format = json_string_value(json_object_get(bundle, "format"));
    size = json_string_value(json_object_get(bundle, "verity-size"));

    if (format == NULL) {
        format = "plain";
    }

    if (strcmp(format, "plain") != 0
        && strcmp(format, "verity") != 0
        && strcmp(format, "crypt") != 0)
    {
        return gb_error_set(err, "manifest.raucm: unknown bundle format "
                            "\"%.32s\"", format);
    }

    gb_image_set_fact(image, "bundle_format", json_string(format));

    /* never the crypt-key: facts are shown */

    if (size != NULL) {
        n = strtoll(size, &end, 10);

        if (end == size || *end != '\0' || n < 0) {
            return gb_error_set(err, "manifest.raucm: verity-size is not a "
                                "number");
        }

        gb_image_set_fact(image, "verity_size", json_integer(n));
    }

    return GB_OK;
}


static void
gb_rauc_take_images(gb_image_t *image, json_t *root)
{
    json_t       *group, *fact, *images;
    long long     size;
    const char   *key, *text;

    images = json_object_get(image->facts, "images");

    json_object_foreach(root, key, group) {
        if (strncmp(key, "image.", 6) != 0) {
            continue;
        }

        text = json_string_value(json_object_get(group, "size"));
        size = (text != NULL) ? strtoll(text, NULL, 10) : -1;

        fact = json_pack("{s:s,s:O*,s:O*,s:O*,s:o?}",
                         "name", key + 6,
                         "filename", json_object_get(group, "filename"),
                         "type", json_object_get(group, "type"),
                         "sha256", json_object_get(group, "sha256"),
                         "size", size >= 0 ? json_integer(size) : NULL);

        (void) json_array_append_new(images, fact);
    }
}


int
gb_rauc_add_compatible(gb_image_t *image, const char *compatible,
    const gb_image_options_t *opt, gb_error_t *err)
{
    if (opt != NULL && opt->rauc_pattern != NULL
        && opt->rauc_pattern[0] != '\0')
    {
        return gb_rauc_match(image, compatible, opt->rauc_pattern, err);
    }

    return gb_rauc_split(image, compatible, err);
}


static int
gb_rauc_split(gb_image_t *image, const char *compatible, gb_error_t *err)
{
    char         model[GB_IMAGE_TEXT_MAX + 1];
    size_t       i, len;
    const char  *rev;

    len = strlen(compatible);

    for (i = len; i > 0; i--) {
        if (compatible[i - 1] == '-' || compatible[i - 1] == ' ') {
            break;
        }
    }

    rev = compatible + i;

    /* "rev" starts with "r": one letter tells all three */

    if (i < 2 || i - 1 > GB_IMAGE_TEXT_MAX
        || strpbrk(rev, "0123456789") == NULL
        || strchr("rRvV0123456789", rev[0]) == NULL)
    {
        return gb_image_add_hardware(image, compatible, "default", err);
    }

    memcpy(model, compatible, i - 1);
    model[i - 1] = '\0';

    return gb_image_add_hardware(image, model, rev, err);
}


static int
gb_rauc_match(gb_image_t *image, const char *compatible, const char *pattern,
    gb_error_t *err)
{
    int                   rc, code;
    size_t                at;
    pcre2_code           *re;
    pcre2_match_data     *md;
    pcre2_match_context  *ctx;
    unsigned char         text[128];

    /* anchored, \w and \d of Unicode: as Python's re.match() */

    re = pcre2_compile((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED,
                       PCRE2_UTF|PCRE2_UCP|PCRE2_ANCHORED, &code, &at, NULL);
    if (re == NULL) {
        (void) pcre2_get_error_message(code, text, sizeof(text));
        return gb_error_set(err, "rauc_compatible_pattern, character %zu: %s",
                            at + 1, (char *) text);
    }

    ctx = pcre2_match_context_create(NULL);
    md = pcre2_match_data_create_from_pattern(re, NULL);

    if (ctx == NULL || md == NULL) {
        rc = gb_error_nomem(err);

    } else {
        (void) pcre2_set_match_limit(ctx, GB_RAUC_MATCH_LIMIT);

        code = pcre2_match(re, (PCRE2_SPTR) compatible,
                           PCRE2_ZERO_TERMINATED, 0, 0, md, ctx);

        if (code == PCRE2_ERROR_NOMATCH) {
            rc = gb_image_add_hardware(image, compatible, "default", err);

        } else if (code < 0) {
            rc = gb_error_set(err, "rauc_compatible_pattern is too costly for "
                              "this compatible");

        } else {
            rc = gb_rauc_groups(image, compatible, re, md, err);
        }
    }

    pcre2_match_data_free(md);
    pcre2_match_context_free(ctx);
    pcre2_code_free(re);

    return rc;
}


static int
gb_rauc_groups(gb_image_t *image, const char *compatible, pcre2_code *code,
    pcre2_match_data *md, gb_error_t *err)
{
    int            n;
    char           out[2][GB_IMAGE_TEXT_MAX + 1];
    size_t         i, len;
    PCRE2_SIZE    *ovector;

    static const char  *const names[2] = { "hw_model", "hw_revision" };
    static const char  *const whole[2] = { NULL, "default" };

    ovector = pcre2_get_ovector_pointer(md);

    for (i = 0; i < 2; i++) {
        n = pcre2_substring_number_from_name(code, (PCRE2_SPTR) names[i]);

        if (n < 0 && i == 0) {
            return gb_error_set(err, "rauc_compatible_pattern has no group "
                                "%s", names[i]);
        }

        len = 0;

        if (n >= 0 && ovector[2 * n] != PCRE2_UNSET
            && ovector[2 * n + 1] > ovector[2 * n])
        {
            len = ovector[2 * n + 1] - ovector[2 * n];
        }

        if (len > GB_IMAGE_TEXT_MAX) {
            return gb_error_set(err, "the compatible is too long");
        }

        if (len == 0) {
            (void) snprintf(out[i], sizeof(out[i]), "%.255s",
                            whole[i] != NULL ? whole[i] : compatible);
            continue;
        }

        memcpy(out[i], compatible + ovector[2 * n], len);
        out[i][len] = '\0';
    }

    return gb_image_add_hardware(image, out[0], out[1], err);
}
