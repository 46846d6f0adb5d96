/*
 * quiet: polls that are answered from the zone.
 *
 * Who is asking has been found out before, as far as NGINX can know it: an
 * identity that does not hold never comes here, and what stands for a token in
 * a record is there because SQL has let that token in.
 */

#include "ngx_http_goosebit_quiet.h"
#include "ngx_http_goosebit_access.h"
#include "ngx_http_goosebit_ask.h"
#include "ngx_http_goosebit_sync.h"


static void ngx_http_goosebit_quiet_digest(ngx_http_goosebit_ddi_t *ddi,
    ngx_str_t *tenant, gb_cache_key_t *key);
static ngx_int_t ngx_http_goosebit_quiet_spell(ngx_http_goosebit_ddi_t *ddi);
static ngx_http_goosebit_spelling_t *ngx_http_goosebit_quiet_spelling(
    ngx_http_goosebit_cache_t *cache, ngx_str_t *tenant);
static ngx_int_t ngx_http_goosebit_quiet_find(ngx_http_goosebit_ddi_t *ddi,
    gb_cache_key_t *key, ngx_http_goosebit_cache_e status);
static ngx_int_t ngx_http_goosebit_quiet_row(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, gb_cache_row_t *row);
static ngx_int_t ngx_http_goosebit_quiet_cleanup_add(
    ngx_http_goosebit_quiet_t *quiet);
static void ngx_http_goosebit_quiet_cleanup(void *data);
static void ngx_http_goosebit_quiet_promote(
    ngx_http_goosebit_quiet_t *quiet);


ngx_int_t
ngx_http_goosebit_quiet(ngx_http_goosebit_ddi_t *ddi)
{
    ngx_int_t                   rc;
    ngx_msec_t                  lag;
    gb_cache_key_t              key;
    ngx_http_goosebit_cache_t  *cache;
    ngx_http_goosebit_cache_e   status;

    cache = ddi->mcf->cache;

    if (ngx_http_goosebit_quiet_key(ddi, &key) != NGX_OK) {
        return NGX_DECLINED;
    }

    lag = ngx_http_goosebit_cache_lag(cache);
    status = NGX_HTTP_GOOSEBIT_CACHE_MISS;

    if (ngx_http_goosebit_pg_down(ddi->mcf->pg)) {

        if (lag <= cache->stale_if_error) {
            status = NGX_HTTP_GOOSEBIT_CACHE_STALE;
        }

    } else if (lag <= cache->stale) {
        status = NGX_HTTP_GOOSEBIT_CACHE_HIT;
    }

    if (status != NGX_HTTP_GOOSEBIT_CACHE_MISS) {
        rc = ngx_http_goosebit_quiet_find(ddi, &key, status);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    ddi->quiet = ngx_http_goosebit_quiet_create(ddi, &key);

    return ddi->quiet ? NGX_DECLINED : NGX_ERROR;
}


ngx_int_t
ngx_http_goosebit_quiet_key(ngx_http_goosebit_ddi_t *ddi, gb_cache_key_t *key)
{
    if (ddi->mcf->cache == NULL
        || ddi->auth.scheme == NGX_HTTP_GOOSEBIT_AUTH_REFUSED
        || ngx_http_goosebit_quiet_spell(ddi) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_http_goosebit_quiet_digest(ddi, &ddi->ctx->tenant, key);

    return NGX_OK;
}


static void
ngx_http_goosebit_quiet_digest(ngx_http_goosebit_ddi_t *ddi,
    ngx_str_t *tenant, gb_cache_key_t *key)
{
    ngx_uint_t  kind;

    kind = 2 * ddi->auth.scheme;

    if (ngx_http_goosebit_access_mode(ddi->request) != &ddi->mcf->auth) {
        kind++;
    }

    ngx_http_goosebit_cache_key(ddi->mcf->cache, tenant, &ddi->ctx->device,
                                kind, &ddi->auth.secret, key);
}


void
ngx_http_goosebit_quiet_vouched(ngx_http_goosebit_ddi_t *ddi)
{
    ngx_http_goosebit_quiet_t  *quiet;

    quiet = ddi->quiet ? ddi->quiet : ddi->grant;

    if (quiet) {
        ngx_http_goosebit_quiet_digest(ddi, &quiet->tenant, &quiet->key);
    }
}


/* upper and lower case do not matter, so that it is the same tenant */

static ngx_int_t
ngx_http_goosebit_quiet_spell(ngx_http_goosebit_ddi_t *ddi)
{
    u_char                        *p;
    ngx_str_t                     *tenant;
    ngx_http_goosebit_spelling_t  *spelling;

    tenant = &ddi->ctx->tenant;
    spelling = ngx_http_goosebit_quiet_spelling(ddi->mcf->cache, tenant);

    if (spelling->len != tenant->len
        || ngx_memcmp(spelling->name, tenant->data, tenant->len) == 0
        || ngx_strncasecmp(spelling->name, tenant->data, tenant->len) != 0)
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(ddi->request->pool, tenant->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, spelling->name, tenant->len);
    tenant->data = p;

    return NGX_OK;
}


void
ngx_http_goosebit_quiet_spelled(ngx_http_goosebit_ddi_t *ddi,
    ngx_str_t *tenant)
{
    ngx_str_t                     *sent;
    ngx_http_goosebit_cache_t     *cache;
    ngx_http_goosebit_spelling_t  *spelling;

    cache = ddi->mcf->cache;
    sent = &ddi->ctx->tenant;

    if (cache == NULL
        || tenant->len > NGX_HTTP_GOOSEBIT_CACHE_TENANT
        || (tenant->len == sent->len
            && ngx_memcmp(tenant->data, sent->data, sent->len) == 0))
    {
        return;
    }

    spelling = ngx_http_goosebit_quiet_spelling(cache, tenant);

    spelling->len = tenant->len;
    ngx_memcpy(spelling->name, tenant->data, tenant->len);
}


/* the place of one; whoever came last has it */

static ngx_http_goosebit_spelling_t *
ngx_http_goosebit_quiet_spelling(ngx_http_goosebit_cache_t *cache,
    ngx_str_t *tenant)
{
    ngx_uint_t  n;

    n = 31 * tenant->len + 7 * ngx_tolower(tenant->data[0])
        + ngx_tolower(tenant->data[tenant->len - 1]);

    return &cache->spellings[n % NGX_HTTP_GOOSEBIT_CACHE_MEMOS];
}


ngx_http_goosebit_quiet_t *
ngx_http_goosebit_quiet_create(ngx_http_goosebit_ddi_t *ddi,
    gb_cache_key_t *key)
{
    ngx_http_goosebit_quiet_t  *quiet;

    quiet = ngx_pcalloc(ddi->request->pool,
                        sizeof(ngx_http_goosebit_quiet_t));
    if (quiet == NULL) {
        return NULL;
    }

    quiet->key = *key;
    quiet->tenant = ddi->ctx->tenant;
    quiet->generation = ngx_http_goosebit_cache_generation(ddi->mcf->cache);
    quiet->ddi = ddi;

    ddi->ctx->cache_status = NGX_HTTP_GOOSEBIT_CACHE_MISS;

    return quiet;
}


static ngx_int_t
ngx_http_goosebit_quiet_find(ngx_http_goosebit_ddi_t *ddi,
    gb_cache_key_t *key, ngx_http_goosebit_cache_e status)
{
    gb_cache_answer_t  answer;

    if (ngx_http_goosebit_cache_find(ddi->mcf->cache,
                                     ddi->request->connection, key,
                                     status == NGX_HTTP_GOOSEBIT_CACHE_STALE,
                                     &answer)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ddi->ctx->cache_status = status;

    if (ngx_exiting) {
        /* the zone may have been written for the last time */
        ngx_http_goosebit_sync_seen(ddi->mcf, answer.tenant_id,
                                    answer.device_id,
                                    &ddi->request->connection->addr_text);
    }

    return ngx_http_goosebit_quiet_answer(ddi, &answer);
}


ngx_int_t
ngx_http_goosebit_quiet_learn(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, ngx_uint_t status)
{
    gb_cache_row_t              row;
    gb_cache_seen_t             evicted;
    ngx_http_goosebit_cache_t  *cache;
    ngx_http_goosebit_quiet_t  *quiet;

    cache = ddi->mcf->cache;
    quiet = ddi->quiet;

    if (quiet == NULL || quiet->generation == 0) {
        return NGX_DECLINED;
    }

    if (status != NGX_HTTP_OK
        || ngx_http_goosebit_quiet_row(ddi, result, &row) != NGX_OK)
    {
        ngx_http_goosebit_cache_drop(cache, &quiet->key);
        return NGX_DECLINED;
    }

    if (ngx_http_goosebit_cache_store(cache, ddi->request->connection,
                                      &quiet->key, &row, quiet->generation,
                                      &evicted)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (evicted.device_id) {
        ngx_http_goosebit_sync_evicted(ddi->mcf, &evicted);
    }

    return NGX_OK;
}


/* NGX_OK: it may be stored; what it says is borrowed */

static ngx_int_t
ngx_http_goosebit_quiet_row(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, gb_cache_row_t *row)
{
    int64_t     tenant_id;
    ngx_int_t   rc, seconds;
    ngx_str_t   tenant, link, next, feed, reason;

    static u_char  concurrency[] = "concurrency";

    if (!ngx_http_goosebit_pg_bool(result, "cacheable")
        || ngx_http_goosebit_pg_bool(result, "config_data")
        || ngx_http_goosebit_pg_text(result, 0, "link", &link)
           != NGX_DECLINED
        || ngx_http_goosebit_pg_text(result, 0, "next", &next)
           != NGX_DECLINED
        || ngx_http_goosebit_pg_text(result, 0, "tenant", &tenant) != NGX_OK
        || ngx_http_goosebit_pg_text(result, 0, "reason", &reason) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    /* links are written as the tenant's name is stored: the record has none */

    if (tenant.len != ddi->quiet->tenant.len
        || ngx_memcmp(tenant.data, ddi->quiet->tenant.data, tenant.len) != 0)
    {
        return NGX_DECLINED;
    }

    ngx_memzero(row, sizeof(gb_cache_row_t));

    rc = ngx_http_goosebit_pg_text(result, 0, "feed", &feed);

    if (rc == NGX_ERROR) {
        return NGX_DECLINED;
    }

    if (rc == NGX_OK) {
        row->feed = (char *) feed.data;
        row->feed_len = feed.len;
    }

    seconds = ngx_http_goosebit_pg_int(result, "poll_seconds", 0);

    if (seconds <= 0
        || ngx_http_goosebit_pg_bigint(result, 0, "tenant_id", &tenant_id)
           != NGX_OK
        || ngx_http_goosebit_pg_bigint(result, 0, "device_id",
                                       &row->device_id)
           != NGX_OK
        || ngx_http_goosebit_pg_bigint(result, 0, "valid_until",
                                       &row->valid_until)
           == NGX_ERROR)
    {
        return NGX_DECLINED;
    }

    row->tenant_id = (int32_t) tenant_id;
    row->installed_id = (int32_t) ngx_http_goosebit_pg_int(result,
                                                           "installed_id", 0);
    row->seconds = (uint32_t) ngx_min(seconds, NGX_HTTP_GOOSEBIT_SLEEP_MAX);
    row->reason = (char *) reason.data;
    row->reason_len = reason.len;
    row->latest = ngx_http_goosebit_pg_bool(result, "latest") ? 1 : 0;
    row->waiting = (reason.len == sizeof(concurrency) - 1
                    && ngx_memcmp(reason.data, concurrency, reason.len) == 0);

    return NGX_OK;
}


void
ngx_http_goosebit_quiet_changed(ngx_http_goosebit_ddi_t *ddi,
    int32_t tenant_id, int64_t device_id)
{
    gb_cache_key_t  key;

    if (ngx_http_goosebit_quiet_key(ddi, &key) == NGX_OK) {
        ngx_http_goosebit_cache_end_device(ddi->mcf->cache, &key, tenant_id,
                                           device_id);
    }
}


ngx_int_t
ngx_http_goosebit_quiet_stale(ngx_http_goosebit_ddi_t *ddi)
{
    ngx_http_goosebit_cache_t  *cache;

    cache = ddi->mcf->cache;

    if (ddi->quiet == NULL
        || ngx_http_goosebit_cache_lag(cache) > cache->stale_if_error)
    {
        return NGX_DECLINED;
    }

    return ngx_http_goosebit_quiet_find(ddi, &ddi->quiet->key,
                                        NGX_HTTP_GOOSEBIT_CACHE_STALE);
}


ngx_int_t
ngx_http_goosebit_quiet_join(ngx_http_goosebit_ddi_t *ddi)
{
    ngx_queue_t                *flights, *q;
    ngx_http_goosebit_quiet_t  *quiet, *leader;

    quiet = ddi->quiet;

    if (quiet == NULL || ngx_http_goosebit_quiet_cleanup_add(quiet) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    flights = ngx_http_goosebit_cache_flights(ddi->mcf->cache, &quiet->key);

    for (q = ngx_queue_head(flights); q != flights; q = ngx_queue_next(q)) {
        leader = ngx_queue_data(q, ngx_http_goosebit_quiet_t, queue);

        /*
         * Of one location, so that outside services are the same, too; and
         * not asked before something that the device has written since.
         */

        if (ngx_memcmp(&leader->key, &quiet->key, sizeof(gb_cache_key_t)) == 0
            && leader->ddi->request->loc_conf == ddi->request->loc_conf
            && ngx_http_goosebit_cache_counts(ddi->mcf->cache, &quiet->key,
                                              leader->generation))
        {
            quiet->generation = 0;
            quiet->linked = 1;
            ngx_queue_insert_tail(&leader->followers, &quiet->queue);
            return NGX_OK;
        }
    }

    ngx_queue_init(&quiet->followers);
    ngx_queue_insert_tail(flights, &quiet->queue);
    quiet->linked = 1;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_goosebit_quiet_cleanup_add(ngx_http_goosebit_quiet_t *quiet)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(quiet->ddi->request->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_goosebit_quiet_cleanup;
    cln->data = quiet;

    return NGX_OK;
}


/* it goes: with its answer, or before; then another one asks */

static void
ngx_http_goosebit_quiet_cleanup(void *data)
{
    ngx_http_goosebit_quiet_t  *quiet = data;

    if (!quiet->linked) {
        return;
    }

    ngx_queue_remove(&quiet->queue);
    quiet->linked = 0;

    if (quiet->generation) {
        ngx_http_goosebit_quiet_promote(quiet);
    }
}


static void
ngx_http_goosebit_quiet_promote(ngx_http_goosebit_quiet_t *quiet)
{
    ngx_queue_t                *q;
    ngx_http_goosebit_ddi_t    *ddi;
    ngx_http_goosebit_quiet_t  *heir;

    if (ngx_queue_empty(&quiet->followers)) {
        return;
    }

    q = ngx_queue_head(&quiet->followers);
    heir = ngx_queue_data(q, ngx_http_goosebit_quiet_t, queue);
    ddi = heir->ddi;

    ngx_queue_remove(q);

    ngx_queue_init(&heir->followers);

    if (!ngx_queue_empty(&quiet->followers)) {
        ngx_queue_add(&heir->followers, &quiet->followers);
    }

    ngx_queue_insert_tail(ngx_http_goosebit_cache_flights(ddi->mcf->cache,
                                                          &heir->key),
                          &heir->queue);

    heir->generation = ngx_http_goosebit_cache_generation(ddi->mcf->cache);

    if (ngx_http_goosebit_ask(ddi, NGX_HTTP_GOOSEBIT_CALL_POLL) != NGX_OK) {
        ngx_http_finalize_request(
                  ddi->request,
                  ngx_http_goosebit_ask_error(ddi,
                                              NGX_HTTP_SERVICE_UNAVAILABLE));
    }
}


void
ngx_http_goosebit_quiet_land(ngx_http_goosebit_ddi_t *ddi,
    ngx_queue_t *followers)
{
    ngx_http_goosebit_quiet_t  *quiet;

    quiet = ddi->quiet;

    ngx_queue_init(followers);

    if (quiet == NULL || !quiet->linked) {
        return;
    }

    ngx_queue_remove(&quiet->queue);
    quiet->linked = 0;

    if (!ngx_queue_empty(&quiet->followers)) {
        ngx_queue_add(followers, &quiet->followers);
    }
}


ngx_http_goosebit_ddi_t *
ngx_http_goosebit_quiet_next(ngx_queue_t *followers)
{
    ngx_queue_t                *q;
    ngx_http_goosebit_quiet_t  *quiet;

    if (ngx_queue_empty(followers)) {
        return NULL;
    }

    q = ngx_queue_head(followers);
    quiet = ngx_queue_data(q, ngx_http_goosebit_quiet_t, queue);

    ngx_queue_remove(q);
    quiet->linked = 0;

    return quiet->ddi;
}
