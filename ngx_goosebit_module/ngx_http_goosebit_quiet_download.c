/*
 * Downloads that SQL has allowed before: of many Range requests only the first
 * costs a call.
 */

#include "ngx_http_goosebit_quiet.h"
#include "ngx_http_goosebit_sync.h"


static ngx_int_t ngx_http_goosebit_quiet_artifact(ngx_http_request_t *r,
    gb_cache_grant_t *grant, ngx_http_goosebit_artifact_t *a);


ngx_int_t
ngx_http_goosebit_quiet_download(ngx_http_goosebit_ddi_t *ddi)
{
    ngx_int_t                      rc;
    gb_cache_key_t                 key;
    gb_cache_grant_t               grant;
    ngx_http_request_t            *r;
    ngx_http_goosebit_ctx_t       *ctx;
    ngx_http_goosebit_cache_t     *cache;
    ngx_http_goosebit_artifact_t   artifact;

    r = ddi->request;
    ctx = ddi->ctx;
    cache = ddi->mcf->cache;

    if (ctx->filename.len > sizeof(grant.filename)
        || ngx_http_goosebit_quiet_key(ddi, &key) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    grant.software_id = (int32_t) ddi->id;
    grant.filename_len = (u_char) ctx->filename.len;
    ngx_memcpy(grant.filename, ctx->filename.data, ctx->filename.len);

    /* a journal that can't be read ends this, as without a zone */

    if (ngx_http_goosebit_cache_lag(cache) > cache->stale
        || ngx_http_goosebit_cache_grant_find(cache, &key, &grant) != NGX_OK)
    {
        ddi->grant = ngx_http_goosebit_quiet_create(ddi, &key);

        return ddi->grant ? NGX_DECLINED : NGX_ERROR;
    }

    ctx->cache_status = NGX_HTTP_GOOSEBIT_CACHE_HIT;
    ngx_str_set(&ctx->reason, "artifact");

    ngx_http_goosebit_sync_seen(ddi->mcf, grant.tenant_id, grant.device_id,
                                &r->connection->addr_text);

    if (ngx_http_goosebit_quiet_artifact(r, &grant, &artifact) != NGX_OK) {
        return NGX_ERROR;
    }

    r->main->count++;

    rc = ngx_http_goosebit_artifact_deliver(r, &artifact);

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, (rc == NGX_DECLINED) ? NGX_ERROR : rc);
    }

    return NGX_DONE;
}


/* C strings, one after the other */

static ngx_int_t
ngx_http_goosebit_quiet_artifact(ngx_http_request_t *r,
    gb_cache_grant_t *grant, ngx_http_goosebit_artifact_t *a)
{
    u_char  *p;

    ngx_memzero(a, sizeof(ngx_http_goosebit_artifact_t));

    p = ngx_pnalloc(r->pool, sizeof(grant->sha256) + sizeof(grant->sha1)
                             + grant->filename_len + 3);
    if (p == NULL) {
        return NGX_ERROR;
    }

    a->sha256.data = p;
    a->sha256.len = sizeof(grant->sha256);
    p = ngx_cpymem(p, grant->sha256, sizeof(grant->sha256));
    *p++ = '\0';

    a->sha1.data = p;
    a->sha1.len = sizeof(grant->sha1);
    p = ngx_cpymem(p, grant->sha1, sizeof(grant->sha1));
    *p++ = '\0';

    a->filename.data = p;
    a->filename.len = grant->filename_len;
    p = ngx_cpymem(p, grant->filename, grant->filename_len);
    *p = '\0';

    a->size = grant->size;
    a->created = grant->created;

    return NGX_OK;
}


void
ngx_http_goosebit_quiet_allow(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, ngx_http_goosebit_artifact_t *a)
{
    int64_t                     tenant_id;
    ngx_str_t                   tenant;
    gb_cache_grant_t            grant;
    ngx_http_goosebit_quiet_t  *quiet;

    quiet = ddi->grant;

    /* $goosebit_tenant is as stored: that is not kept here */

    if (quiet == NULL
        || a->uri.len
        || a->sha256.len != sizeof(grant.sha256)
        || a->sha1.len != sizeof(grant.sha1)
        || a->filename.len > sizeof(grant.filename)
        || ngx_http_goosebit_pg_text(result, 0, "tenant", &tenant) != NGX_OK
        || tenant.len != quiet->tenant.len
        || ngx_memcmp(tenant.data, quiet->tenant.data, tenant.len) != 0
        || ngx_http_goosebit_pg_bigint(result, 0, "tenant_id", &tenant_id)
           != NGX_OK
        || ngx_http_goosebit_pg_bigint(result, 0, "device_id",
                                       &grant.device_id)
           != NGX_OK)
    {
        return;
    }

    grant.tenant_id = (int32_t) tenant_id;
    grant.software_id = (int32_t) ddi->id;
    grant.size = a->size;
    grant.created = a->created;

    ngx_memcpy(grant.sha256, a->sha256.data, sizeof(grant.sha256));
    ngx_memcpy(grant.sha1, a->sha1.data, sizeof(grant.sha1));

    grant.filename_len = (u_char) a->filename.len;
    ngx_memcpy(grant.filename, a->filename.data, a->filename.len);

    (void) ngx_http_goosebit_cache_grant_store(ddi->mcf->cache, &quiet->key,
                                               &grant, quiet->generation);
}
