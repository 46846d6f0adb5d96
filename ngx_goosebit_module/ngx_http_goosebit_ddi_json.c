/*
 * ddi_json: row -> hawkBit document.
 *
 * What clients need of it stands in ddi.md (Clients): ids are strings, members
 * without a value are left out, deploymentBase's link ends in a query and
 * cancelAction's has none.
 */

#include "ngx_http_goosebit_ddi_json.h"


#define NGX_HTTP_GOOSEBIT_SLEEP_MIN   1
#define NGX_HTTP_GOOSEBIT_JSON_SMALL  512


#define ngx_http_goosebit_json_text(j, value)                                 \
    gb_json_string(j, (char *) (value)->data, (value)->len)

#define ngx_http_goosebit_json_part(j, value)                                 \
    gb_json_string_part(j, (char *) (value)->data, (value)->len)


static u_char *ngx_http_goosebit_json_two(u_char *p, ngx_int_t n);
static void ngx_http_goosebit_json_link(gb_json_t *j, const char *name,
    ngx_http_goosebit_link_t *link, const char *path, ngx_int_t id,
    const char *query);
static void ngx_http_goosebit_json_link_start(gb_json_t *j, const char *name,
    ngx_http_goosebit_link_t *link, const char *path);
static void ngx_http_goosebit_json_link_end(gb_json_t *j);
static void ngx_http_goosebit_json_file(gb_json_t *j,
    ngx_http_goosebit_file_t *file);
static void ngx_http_goosebit_json_file_link(gb_json_t *j, const char *name,
    ngx_http_goosebit_file_t *file, const char *suffix);
static void ngx_http_goosebit_json_history(gb_json_t *j,
    ngx_http_goosebit_deployment_t *deployment);
static void ngx_http_goosebit_json_pair(gb_json_t *j, const char *key,
    ngx_str_t *value);
static void ngx_http_goosebit_json_number(gb_json_t *j, const char *key,
    ngx_int_t id);


ngx_int_t
ngx_http_goosebit_json(ngx_pool_t *pool, ngx_http_goosebit_json_pt write,
    void *data, ngx_str_t *text)
{
    char       small[NGX_HTTP_GOOSEBIT_JSON_SMALL];
    gb_json_t  j;

    /* most fit, and are written once */

    gb_json_init(&j, small, sizeof(small));
    write(&j, data);

    if (gb_json_done(&j, &text->len) == GB_OK) {
        text->data = ngx_pnalloc(pool, text->len);
        if (text->data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(text->data, small, text->len);

        return NGX_OK;
    }

    gb_json_init(&j, NULL, 0);
    write(&j, data);

    if (gb_json_done(&j, &text->len) != GB_OK) {
        return NGX_ERROR;
    }

    text->data = ngx_pnalloc(pool, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    gb_json_init(&j, (char *) text->data, text->len);
    write(&j, data);

    return gb_json_done(&j, NULL) == GB_OK ? NGX_OK : NGX_ERROR;
}


void
ngx_http_goosebit_json_poll(gb_json_t *j, void *data)
{
    ngx_http_goosebit_poll_t  *poll = data;

    u_char     *p;
    ngx_int_t   seconds;
    ngx_uint_t  cancel;

    static const char  config[] = "{\"polling\":{\"sleep\":\"00:00:00\"}}";

    u_char  text[sizeof(config)];

    /* SWUpdate drops the whole answer at 24:00:00 (rule 7) */

    seconds = ngx_max(poll->seconds, NGX_HTTP_GOOSEBIT_SLEEP_MIN);
    seconds = ngx_min(seconds, NGX_HTTP_GOOSEBIT_SLEEP_MAX);

    /* the one thing that differs always takes its place */

    ngx_memcpy(text, config, sizeof(config));

    p = text + sizeof("{\"polling\":{\"sleep\":\"") - 1;
    p = ngx_http_goosebit_json_two(p, seconds / 3600) + 1;
    p = ngx_http_goosebit_json_two(p, seconds / 60 % 60) + 1;
    (void) ngx_http_goosebit_json_two(p, seconds % 60);

    gb_json_object_start(j);

    gb_json_key(j, "config");
    gb_json_raw(j, (char *) text, sizeof(config) - 1);

    gb_json_key(j, "_links");
    gb_json_object_start(j);

    cancel = (poll->name.len == sizeof("cancelAction") - 1
              && ngx_memcmp(poll->name.data, "cancelAction", poll->name.len)
                 == 0);

    if (poll->config_data) {
        ngx_http_goosebit_json_link(j, "configData", poll->link,
                                    "configData", 0, NULL);
    }

    if (cancel) {
        ngx_http_goosebit_json_link(j, "cancelAction", poll->link,
                                    "cancelAction/", poll->action_id, NULL);

    } else if (poll->name.len && !poll->config_data) {

        if (poll->name.data[0] == 'd') {
            ngx_http_goosebit_json_link(j, "deploymentBase", poll->link,
                                        "deploymentBase/", poll->action_id,
                                        "?c=");
        } else {
            ngx_http_goosebit_json_link(j, "confirmationBase", poll->link,
                                        "confirmationBase/", poll->action_id,
                                        "?c=");
        }
    }

    if (poll->installed_id && !poll->config_data) {
        ngx_http_goosebit_json_link(j, "installedBase", poll->link,
                                    "installedBase/", poll->installed_id,
                                    NULL);
    }

    gb_json_object_end(j);
    gb_json_object_end(j);
}


static u_char *
ngx_http_goosebit_json_two(u_char *p, ngx_int_t n)
{
    *p++ = (u_char) ('0' + n / 10);
    *p++ = (u_char) ('0' + n % 10);

    return p;
}


static void
ngx_http_goosebit_json_link(gb_json_t *j, const char *name,
    ngx_http_goosebit_link_t *link, const char *path, ngx_int_t id,
    const char *query)
{
    ngx_http_goosebit_json_link_start(j, name, link, path);

    if (id) {
        gb_json_string_int(j, id);
    }

    if (query) {

        /* any value does, and the path has to stay short (rules 3 and 12) */

        gb_json_string_part(j, query, ngx_strlen(query));
        gb_json_string_int(j, id % 10);
    }

    ngx_http_goosebit_json_link_end(j);
}


static void
ngx_http_goosebit_json_link_start(gb_json_t *j, const char *name,
    ngx_http_goosebit_link_t *link, const char *path)
{
    gb_json_key(j, name);
    gb_json_object_start(j);

    gb_json_key(j, "href");
    gb_json_string_start(j);

    ngx_http_goosebit_json_part(j, &link->base);
    ngx_http_goosebit_json_part(j, &link->prefix);
    gb_json_string_part(j, "/", 1);
    gb_json_string_uri(j, (char *) link->tenant.data, link->tenant.len);
    gb_json_string_part(j, "/controller/v1/", sizeof("/controller/v1/") - 1);
    gb_json_string_uri(j, (char *) link->device.data, link->device.len);
    gb_json_string_part(j, "/", 1);
    gb_json_string_part(j, path, ngx_strlen(path));
}


static void
ngx_http_goosebit_json_link_end(gb_json_t *j)
{
    gb_json_string_end(j);
    gb_json_object_end(j);
}


void
ngx_http_goosebit_json_deployment(gb_json_t *j, void *data)
{
    ngx_http_goosebit_deployment_t  *deployment = data;

    gb_json_object_start(j);

    ngx_http_goosebit_json_number(j, "id", deployment->action_id);

    gb_json_key(j, deployment->member);
    gb_json_object_start(j);

    ngx_http_goosebit_json_pair(j, "download", &deployment->download);
    ngx_http_goosebit_json_pair(j, "update", &deployment->update);

    if (deployment->window.len) {
        ngx_http_goosebit_json_pair(j, "maintenanceWindow",
                                    &deployment->window);
    }

    gb_json_key(j, "chunks");
    gb_json_array_start(j);
    gb_json_object_start(j);

    gb_json_member(j, "part", "os");
    ngx_http_goosebit_json_pair(j, "version", &deployment->version);
    ngx_http_goosebit_json_pair(j, "name", &deployment->name);

    gb_json_key(j, "artifacts");
    ngx_http_goosebit_json_files(j, &deployment->file);

    gb_json_object_end(j);
    gb_json_array_end(j);

    gb_json_object_end(j);

    if (deployment->history) {
        ngx_http_goosebit_json_history(j, deployment);
    }

    gb_json_object_end(j);
}


static void
ngx_http_goosebit_json_history(gb_json_t *j,
    ngx_http_goosebit_deployment_t *deployment)
{
    ngx_str_t   *message;
    ngx_uint_t   i;

    gb_json_key(j, "actionHistory");
    gb_json_object_start(j);

    ngx_http_goosebit_json_pair(j, "status", &deployment->status);

    gb_json_key(j, "messages");
    gb_json_array_start(j);

    message = deployment->history->elts;

    for (i = 0; i < deployment->history->nelts; i++) {
        ngx_http_goosebit_json_text(j, &message[i]);
    }

    gb_json_array_end(j);
    gb_json_object_end(j);
}


void
ngx_http_goosebit_json_files(gb_json_t *j, void *data)
{
    gb_json_array_start(j);
    ngx_http_goosebit_json_file(j, data);
    gb_json_array_end(j);
}


static void
ngx_http_goosebit_json_file(gb_json_t *j, ngx_http_goosebit_file_t *file)
{
    gb_json_object_start(j);

    ngx_http_goosebit_json_pair(j, "filename", &file->filename);

    gb_json_key(j, "hashes");
    gb_json_object_start(j);
    ngx_http_goosebit_json_pair(j, "sha1", &file->sha1);
    ngx_http_goosebit_json_pair(j, "md5", &file->md5);
    ngx_http_goosebit_json_pair(j, "sha256", &file->sha256);
    gb_json_object_end(j);

    gb_json_member_int(j, "size", file->size);

    gb_json_key(j, "_links");
    gb_json_object_start(j);
    ngx_http_goosebit_json_file_link(j, "download", file, NULL);
    ngx_http_goosebit_json_file_link(j, "download-http", file, NULL);
    ngx_http_goosebit_json_file_link(j, "md5sum-http", file, ".MD5SUM");
    gb_json_object_end(j);

    gb_json_object_end(j);
}


static void
ngx_http_goosebit_json_file_link(gb_json_t *j, const char *name,
    ngx_http_goosebit_file_t *file, const char *suffix)
{
    ngx_str_t  head, tail;

    if (file->uri.len && suffix == NULL) {
        ngx_http_goosebit_json_public(&file->uri, &head, &tail);

        gb_json_key(j, name);
        gb_json_object_start(j);
        gb_json_key(j, "href");
        gb_json_string_start(j);
        ngx_http_goosebit_json_part(j, &head);
        ngx_http_goosebit_json_part(j, &tail);
        ngx_http_goosebit_json_link_end(j);

        return;
    }

    ngx_http_goosebit_json_link_start(j, name, file->link,
                                      "softwaremodules/");
    gb_json_string_int(j, file->software_id);
    gb_json_string_part(j, "/artifacts/", sizeof("/artifacts/") - 1);
    gb_json_string_uri(j, (char *) file->filename.data, file->filename.len);

    if (suffix) {
        gb_json_string_part(j, suffix, ngx_strlen(suffix));
    }

    ngx_http_goosebit_json_link_end(j);
}


void
ngx_http_goosebit_json_confirmation(gb_json_t *j, void *data)
{
    ngx_http_goosebit_confirmation_t  *confirmation = data;

    const char  *name;

    gb_json_object_start(j);

    gb_json_key(j, "autoConfirm");
    gb_json_object_start(j);

    gb_json_key(j, "active");
    gb_json_bool(j, confirmation->active);

    if (confirmation->initiator.len) {
        ngx_http_goosebit_json_pair(j, "initiator", &confirmation->initiator);
    }

    if (confirmation->remark.len) {
        ngx_http_goosebit_json_pair(j, "remark", &confirmation->remark);
    }

    if (confirmation->activated_at) {
        gb_json_member_int(j, "activatedAt", confirmation->activated_at);
    }

    gb_json_object_end(j);

    gb_json_key(j, "_links");
    gb_json_object_start(j);

    name = confirmation->active ? "deactivateAutoConfirm"
                                : "activateAutoConfirm";

    ngx_http_goosebit_json_link_start(j, name, confirmation->link,
                                      "confirmationBase/");
    gb_json_string_part(j, name, ngx_strlen(name));
    ngx_http_goosebit_json_link_end(j);

    if (confirmation->action_id) {
        ngx_http_goosebit_json_link(j, "confirmationBase", confirmation->link,
                                    "confirmationBase/",
                                    confirmation->action_id, "?c=");
    }

    gb_json_object_end(j);
    gb_json_object_end(j);
}


void
ngx_http_goosebit_json_cancel(gb_json_t *j, void *data)
{
    ngx_http_goosebit_note_t  *note = data;

    gb_json_object_start(j);

    ngx_http_goosebit_json_number(j, "id", note->id);

    gb_json_key(j, "cancelAction");
    gb_json_object_start(j);
    ngx_http_goosebit_json_number(j, "stopId", note->id);
    gb_json_object_end(j);

    gb_json_object_end(j);
}


void
ngx_http_goosebit_json_id(gb_json_t *j, void *data)
{
    ngx_http_goosebit_note_t  *note = data;

    gb_json_object_start(j);
    ngx_http_goosebit_json_number(j, "id", note->id);
    gb_json_object_end(j);
}


void
ngx_http_goosebit_json_success(gb_json_t *j, void *data)
{
    ngx_http_goosebit_note_t  *note = data;

    gb_json_object_start(j);

    gb_json_key(j, "success");
    gb_json_bool(j, true);
    ngx_http_goosebit_json_pair(j, "message", &note->message);

    gb_json_object_end(j);
}


void
ngx_http_goosebit_json_error(gb_json_t *j, void *data)
{
    ngx_http_goosebit_note_t  *note = data;

    gb_json_object_start(j);

    ngx_http_goosebit_json_pair(j, "errorCode", &note->code);
    ngx_http_goosebit_json_pair(j, "message", &note->message);

    gb_json_object_end(j);
}


static void
ngx_http_goosebit_json_pair(gb_json_t *j, const char *key, ngx_str_t *value)
{
    gb_json_key(j, key);
    ngx_http_goosebit_json_text(j, value);
}


/* clients take ids as strings only (rule 4) */

static void
ngx_http_goosebit_json_number(gb_json_t *j, const char *key, ngx_int_t id)
{
    gb_json_key(j, key);
    gb_json_string_start(j);
    gb_json_string_int(j, id);
    gb_json_string_end(j);
}


void
ngx_http_goosebit_json_public(ngx_str_t *uri, ngx_str_t *head,
    ngx_str_t *tail)
{
    u_char  *p, *end, *at;

    *head = *uri;
    ngx_str_null(tail);

    end = uri->data + uri->len;
    p = ngx_strlcasestrn(uri->data, end, (u_char *) "://", 3 - 1);

    if (p == NULL) {
        return;
    }

    p += 3;
    at = NULL;

    head->len = p - uri->data;

    for ( /* void */ ; p < end; p++) {

        if (*p == '/' || *p == '?' || *p == '#') {
            break;
        }

        if (*p == '@') {
            at = p + 1;
        }
    }

    tail->data = at ? at : uri->data + head->len;
    tail->len = end - tail->data;
}
