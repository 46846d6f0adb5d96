/*
 * ddi_row: a call's row -> the answer, for each endpoint.
 */

#include "ngx_http_goosebit_ddi_row.h"
#include "ngx_http_goosebit_artifact.h"
#include "ngx_http_goosebit_quiet.h"


/* a text column that has to be there, and where it goes */
typedef struct {
    const char  *column;
    size_t       offset;
} ngx_http_goosebit_column_t;


static ngx_int_t ngx_http_goosebit_ddi_row_columns(
    ngx_http_goosebit_pg_result_t *result,
    ngx_http_goosebit_column_t *columns, void *data);
static ngx_int_t ngx_http_goosebit_ddi_row_file(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, ngx_int_t software_id,
    ngx_http_goosebit_file_t *file);
static void ngx_http_goosebit_ddi_row_changed(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
static ngx_int_t ngx_http_goosebit_ddi_row_document(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_json_pt write,
    void *data, ngx_uint_t cacheable);


static ngx_http_goosebit_column_t  ngx_http_goosebit_deployment_columns[] = {
    { "download", offsetof(ngx_http_goosebit_deployment_t, download) },
    { "update", offsetof(ngx_http_goosebit_deployment_t, update) },
    { "version", offsetof(ngx_http_goosebit_deployment_t, version) },
    { "name", offsetof(ngx_http_goosebit_deployment_t, name) },
    { NULL, 0 }
};

static ngx_http_goosebit_column_t  ngx_http_goosebit_file_columns[] = {
    { "filename", offsetof(ngx_http_goosebit_file_t, filename) },
    { "sha1", offsetof(ngx_http_goosebit_file_t, sha1) },
    { "md5", offsetof(ngx_http_goosebit_file_t, md5) },
    { "sha256", offsetof(ngx_http_goosebit_file_t, sha256) },
    { NULL, 0 }
};


ngx_int_t
ngx_http_goosebit_ddi_link(ngx_http_goosebit_ddi_t *ddi)
{
    u_char                        *p;
    ngx_str_t                      host, *base;
    ngx_uint_t                     https;
    ngx_connection_t              *c;
    ngx_http_request_t            *r;
    ngx_http_goosebit_loc_conf_t  *lcf;
    u_char                         addr[NGX_SOCKADDR_STRLEN];

    r = ddi->request;
    base = &ddi->link.base;

    if (base->data) {
        return NGX_OK;
    }

    ddi->link.prefix = ddi->ctx->prefix;
    ddi->link.device = ddi->ctx->device;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_module);

    if (lcf->base_url) {
        if (ngx_http_complex_value(r, lcf->base_url, base) != NGX_OK) {
            return NGX_ERROR;
        }

        while (base->len && base->data[base->len - 1] == '/') {
            base->len--;
        }

        if (base->len) {
            return NGX_OK;
        }
    }

    c = r->connection;
    https = 0;

#if (NGX_HTTP_SSL)
    https = c->ssl ? 1 : 0;
#endif

    if (r->headers_in.host && r->headers_in.host->value.len) {
        host = r->headers_in.host->value;

    } else {

        /* HTTP/1.0: the address that the device found us at */

        host.data = addr;
        host.len = NGX_SOCKADDR_STRLEN;

        if (ngx_connection_local_sockaddr(c, &host, 1) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    base->data = ngx_pnalloc(r->pool, sizeof("https://") - 1 + host.len);
    if (base->data == NULL) {
        return NGX_ERROR;
    }

    p = https ? ngx_cpymem(base->data, "https://", sizeof("https://") - 1)
              : ngx_cpymem(base->data, "http://", sizeof("http://") - 1);
    p = ngx_cpymem(p, host.data, host.len);
    base->len = p - base->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_goosebit_ddi_row_poll(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_http_goosebit_poll_t  poll;

    ngx_memzero(&poll, sizeof(ngx_http_goosebit_poll_t));

    poll.link = &ddi->link;
    poll.seconds = ngx_http_goosebit_pg_int(result, "poll_seconds", 0);
    poll.config_data = ngx_http_goosebit_pg_bool(result, "config_data");
    poll.action_id = ngx_http_goosebit_pg_int(result, "action_id", 0);
    poll.installed_id = ngx_http_goosebit_pg_int(result, "installed_id", 0);

    if (poll.seconds <= 0
        || ngx_http_goosebit_pg_text(result, 0, "link", &poll.name)
           == NGX_ERROR
        || (poll.name.len && poll.action_id <= 0))
    {
        return NGX_DECLINED;
    }

    ddi->ctx->action_id = poll.action_id;

    return ngx_http_goosebit_ddi_row_quiet(ddi, &poll);
}


ngx_int_t
ngx_http_goosebit_ddi_row_quiet(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_poll_t *poll)
{
    return ngx_http_goosebit_ddi_row_document(ddi,
                                              ngx_http_goosebit_json_poll,
                                              poll, 1);
}


/* what was written has ended the device's quiet answer, perhaps */

static void
ngx_http_goosebit_ddi_row_changed(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    int64_t  tenant_id, device_id;

    if (ngx_http_goosebit_pg_bool(result, "changed")
        && ngx_http_goosebit_pg_bigint(result, 0, "tenant_id", &tenant_id)
           == NGX_OK
        && ngx_http_goosebit_pg_bigint(result, 0, "device_id", &device_id)
           == NGX_OK)
    {
        ngx_http_goosebit_quiet_changed(ddi, (int32_t) tenant_id, device_id);
    }
}


ngx_int_t
ngx_http_goosebit_ddi_row_message(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_http_goosebit_note_t  note;

    ngx_http_goosebit_ddi_row_changed(ddi, result);

    ngx_memzero(&note, sizeof(ngx_http_goosebit_note_t));

    if (ngx_http_goosebit_pg_text(result, 0, "message", &note.message)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_http_goosebit_ddi_row_document(ddi,
                                              ngx_http_goosebit_json_success,
                                              &note, 0);
}


ngx_int_t
ngx_http_goosebit_ddi_row_deployment(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t                       software_id;
    ngx_http_goosebit_deployment_t  deployment;

    ngx_memzero(&deployment, sizeof(ngx_http_goosebit_deployment_t));

    deployment.action_id = ddi->id;
    deployment.member = (ddi->ctx->endpoint
                         == NGX_HTTP_GOOSEBIT_CONFIRMATION_ACTION)
                        ? "confirmation" : "deployment";

    software_id = ngx_http_goosebit_pg_int(result, "software_id", 0);

    if (ngx_http_goosebit_ddi_row_columns(result,
                                          ngx_http_goosebit_deployment_columns,
                                          &deployment)
        != NGX_OK
        || software_id <= 0
        || ngx_http_goosebit_ddi_row_file(ddi, result, software_id,
                                          &deployment.file)
           != NGX_OK
        || ngx_http_goosebit_pg_text(result, 0, "maintenance_window",
                                     &deployment.window)
           == NGX_ERROR)
    {
        return NGX_DECLINED;
    }

    if (ddi->history) {
        if (ngx_http_goosebit_pg_text(result, 0, "action_status",
                                      &deployment.status)
            != NGX_OK
            || ngx_http_goosebit_pg_texts(result, 0, "history",
                                          ddi->request->pool,
                                          &deployment.history)
               == NGX_ERROR)
        {
            return NGX_DECLINED;
        }

        if (deployment.history == NULL) {
            deployment.history = ngx_array_create(ddi->request->pool, 1,
                                                  sizeof(ngx_str_t));
            if (deployment.history == NULL) {
                return NGX_ERROR;
            }
        }
    }

    return ngx_http_goosebit_ddi_row_document(
               ddi, ngx_http_goosebit_json_deployment, &deployment, 0);
}


static ngx_int_t
ngx_http_goosebit_ddi_row_columns(ngx_http_goosebit_pg_result_t *result,
    ngx_http_goosebit_column_t *columns, void *data)
{
    ngx_str_t  *value;

    for ( /* void */ ; columns->column; columns++) {
        value = (ngx_str_t *) ((u_char *) data + columns->offset);

        if (ngx_http_goosebit_pg_text(result, 0, columns->column, value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_ddi_row_file(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, ngx_int_t software_id,
    ngx_http_goosebit_file_t *file)
{
    file->link = &ddi->link;
    file->software_id = software_id;

    if (ngx_http_goosebit_ddi_row_columns(result,
                                          ngx_http_goosebit_file_columns, file)
        != NGX_OK
        || ngx_http_goosebit_pg_bigint(result, 0, "size", &file->size)
           != NGX_OK
        || ngx_http_goosebit_pg_text(result, 0, "uri", &file->uri)
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    ddi->ctx->software_id = file->software_id;

    return NGX_OK;
}


ngx_int_t
ngx_http_goosebit_ddi_row_cancel(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_http_goosebit_note_t  note;

    ngx_memzero(&note, sizeof(ngx_http_goosebit_note_t));

    note.id = ngx_http_goosebit_pg_int(result, "stop_id", 0);

    if (note.id <= 0) {
        return NGX_DECLINED;
    }

    return ngx_http_goosebit_ddi_row_document(ddi,
                                              ngx_http_goosebit_json_cancel,
                                              &note, 0);
}


ngx_int_t
ngx_http_goosebit_ddi_row_feedback(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_http_goosebit_note_t  note;

    ngx_http_goosebit_ddi_row_changed(ddi, result);

    ngx_memzero(&note, sizeof(ngx_http_goosebit_note_t));

    note.id = ddi->id;

    return ngx_http_goosebit_ddi_row_document(ddi,
                                              ngx_http_goosebit_json_id,
                                              &note, 0);
}


ngx_int_t
ngx_http_goosebit_ddi_row_confirmation(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_http_goosebit_confirmation_t  confirmation;

    ngx_memzero(&confirmation, sizeof(ngx_http_goosebit_confirmation_t));

    confirmation.link = &ddi->link;
    confirmation.active = ngx_http_goosebit_pg_bool(result, "active");
    confirmation.action_id = ngx_http_goosebit_pg_int(result, "action_id", 0);

    if (ngx_http_goosebit_pg_text(result, 0, "initiator",
                                  &confirmation.initiator)
        == NGX_ERROR
        || ngx_http_goosebit_pg_text(result, 0, "remark",
                                     &confirmation.remark)
           == NGX_ERROR
        || ngx_http_goosebit_pg_bigint(result, 0, "activated_at",
                                       &confirmation.activated_at)
           == NGX_ERROR)
    {
        return NGX_DECLINED;
    }

    return ngx_http_goosebit_ddi_row_document(
               ddi, ngx_http_goosebit_json_confirmation, &confirmation, 0);
}


ngx_int_t
ngx_http_goosebit_ddi_row_artifacts(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_http_goosebit_file_t  file;

    ngx_memzero(&file, sizeof(ngx_http_goosebit_file_t));

    if (ngx_http_goosebit_ddi_row_file(ddi, result, ddi->id, &file) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_http_goosebit_ddi_row_document(ddi,
                                              ngx_http_goosebit_json_files,
                                              &file, 0);
}


ngx_int_t
ngx_http_goosebit_ddi_row_artifact(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t                     rc;
    ngx_http_goosebit_artifact_t  artifact;

    rc = ngx_http_goosebit_artifact_row(ddi->request, result, &artifact);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_goosebit_quiet_allow(ddi, result, &artifact);

    return ngx_http_goosebit_artifact_deliver(ddi->request, &artifact);
}


/* the line that md5sum(1) prints and reads */

ngx_int_t
ngx_http_goosebit_ddi_row_md5sum(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    u_char                     *p;
    ngx_http_goosebit_file_t    file;
    ngx_http_goosebit_reply_t   reply;

    static ngx_str_t  type = ngx_string("text/plain");

    ngx_memzero(&file, sizeof(ngx_http_goosebit_file_t));

    if (ngx_http_goosebit_ddi_row_file(ddi, result, ddi->id, &file) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_memzero(&reply, sizeof(ngx_http_goosebit_reply_t));

    reply.body.len = file.md5.len + file.filename.len + sizeof("  \n") - 1;
    reply.body.data = ngx_pnalloc(ddi->request->pool, reply.body.len);
    if (reply.body.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(reply.body.data, file.md5.data, file.md5.len);
    *p++ = ' ';
    *p++ = ' ';
    p = ngx_cpymem(p, file.filename.data, file.filename.len);
    *p = '\n';

    reply.status = NGX_HTTP_OK;
    reply.type = &type;

    return ngx_http_goosebit_reply(ddi->request, &reply);
}


static ngx_int_t
ngx_http_goosebit_ddi_row_document(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_json_pt write, void *data, ngx_uint_t cacheable)
{
    ngx_http_goosebit_reply_t  reply;

    ngx_memzero(&reply, sizeof(ngx_http_goosebit_reply_t));

    if (ngx_http_goosebit_json(ddi->request->pool, write, data, &reply.body)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    reply.status = NGX_HTTP_OK;
    reply.type = ddi->type;
    reply.cacheable = cacheable ? 1 : 0;

    return ngx_http_goosebit_reply(ddi->request, &reply);
}
