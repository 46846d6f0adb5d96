/*
 * goosebit_ddi.changes() -> the zone.  One reading at a time; one that fails
 * is tried again from where the last good one ended, which the zone remembers
 * across workers.  Bumps and credits may come twice, and never too late.
 */

#include "ngx_http_goosebit_sync_journal.h"
#include "ngx_http_goosebit_cache.h"
#include "ngx_http_goosebit_pg.h"


#define NGX_HTTP_GOOSEBIT_JOURNAL_WAITS  256    /* scopes asked about at once */


struct ngx_http_goosebit_journal_s {
    ngx_http_goosebit_main_conf_t  *mcf;
    ngx_log_t                      *log;
    ngx_event_t                     timer;

    ngx_pool_t                     *pool;       /* of the reading under way */
    ngx_msec_t                      began;
};


static void ngx_http_goosebit_journal_timer(ngx_event_t *ev);
static ngx_int_t ngx_http_goosebit_journal_ask(
    ngx_http_goosebit_journal_t *journal);
static ngx_int_t ngx_http_goosebit_journal_waiting(
    ngx_http_goosebit_journal_t *journal, ngx_http_goosebit_pg_query_t *q);
static void ngx_http_goosebit_journal_read(
    ngx_http_goosebit_pg_result_t *result, void *data);
static ngx_int_t ngx_http_goosebit_journal_apply(
    ngx_http_goosebit_cache_t *cache, ngx_http_goosebit_pg_result_t *result);
static ngx_int_t ngx_http_goosebit_journal_row(
    ngx_http_goosebit_cache_t *cache, ngx_http_goosebit_pg_result_t *result,
    ngx_uint_t row, ngx_str_t *snapshot);
static ngx_int_t ngx_http_goosebit_journal_devices(
    ngx_http_goosebit_cache_t *cache, int32_t tenant_id, ngx_str_t *ids);


ngx_http_goosebit_journal_t *
ngx_http_goosebit_journal_init(ngx_cycle_t *cycle,
    ngx_http_goosebit_main_conf_t *mcf)
{
    ngx_http_goosebit_journal_t  *journal;

    journal = ngx_pcalloc(cycle->pool, sizeof(ngx_http_goosebit_journal_t));
    if (journal == NULL) {
        return NULL;
    }

    journal->mcf = mcf;
    journal->log = cycle->log;

    journal->timer.handler = ngx_http_goosebit_journal_timer;
    journal->timer.data = journal;
    journal->timer.log = cycle->log;
    journal->timer.cancelable = 1;

    /* until the first reading, the zone answers nobody */

    ngx_add_timer(&journal->timer, 1);

    return journal;
}


void
ngx_http_goosebit_journal_exit(ngx_http_goosebit_journal_t *journal)
{
    if (journal->timer.timer_set) {
        ngx_del_timer(&journal->timer);
    }

    if (journal->pool) {
        ngx_destroy_pool(journal->pool);
    }
}


static void
ngx_http_goosebit_journal_timer(ngx_event_t *ev)
{
    ngx_http_goosebit_journal_t  *journal;

    journal = ev->data;

    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(&journal->timer, journal->mcf->cache->sync);

    if (journal->pool || ngx_http_goosebit_pg_down(journal->mcf->pg)) {
        return;
    }

    journal->pool = ngx_create_pool(4096, journal->log);
    if (journal->pool == NULL) {
        return;
    }

    if (ngx_http_goosebit_journal_ask(journal) != NGX_OK) {
        ngx_destroy_pool(journal->pool);
        journal->pool = NULL;
    }
}


static ngx_int_t
ngx_http_goosebit_journal_ask(ngx_http_goosebit_journal_t *journal)
{
    ngx_str_t                       prev;
    ngx_http_goosebit_pg_query_t   *q;
    ngx_http_goosebit_main_conf_t  *mcf;

    mcf = journal->mcf;

    q = ngx_http_goosebit_pg_create(journal->pool,
                                    NGX_HTTP_GOOSEBIT_CALL_CHANGES);
    prev.data = ngx_pnalloc(journal->pool, GB_CACHE_MARK);

    if (q == NULL || prev.data == NULL) {
        return NGX_ERROR;
    }

    prev.len = ngx_http_goosebit_cache_mark_get(mcf->cache, prev.data);

    if (prev.len) {
        ngx_http_goosebit_pg_add_text(q, &prev);

    } else {
        ngx_http_goosebit_pg_add_null(q);
    }

    if (ngx_http_goosebit_journal_waiting(journal, q) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_goosebit_pg_add_int(q, mcf->config->max_concurrent_updates);

    q->handler = ngx_http_goosebit_journal_read;
    q->data = journal;

    journal->began = ngx_current_msec;

    ngx_http_goosebit_pg_submit(mcf->pg, q);

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_journal_waiting(ngx_http_goosebit_journal_t *journal,
    ngx_http_goosebit_pg_query_t *q)
{
    int32_t          *tenants;
    ngx_str_t        *feeds;
    ngx_uint_t        i, n;
    gb_cache_wait_t  *waits;

    n = NGX_HTTP_GOOSEBIT_JOURNAL_WAITS;

    waits = ngx_palloc(journal->pool, n * sizeof(gb_cache_wait_t));
    tenants = ngx_palloc(journal->pool, n * sizeof(int32_t));
    feeds = ngx_pcalloc(journal->pool, n * sizeof(ngx_str_t));

    if (waits == NULL || tenants == NULL || feeds == NULL) {
        return NGX_ERROR;
    }

    n = ngx_http_goosebit_cache_waiting(journal->mcf->cache, waits, n);

    for (i = 0; i < n; i++) {
        tenants[i] = waits[i].tenant_id;

        if (waits[i].feeds) {
            feeds[i].data = (u_char *) waits[i].feed;
            feeds[i].len = waits[i].feed_len;
        }
    }

    ngx_http_goosebit_pg_add_ints(q, tenants, n);
    ngx_http_goosebit_pg_add_texts(q, feeds, n);

    return NGX_OK;
}


static void
ngx_http_goosebit_journal_read(ngx_http_goosebit_pg_result_t *result,
    void *data)
{
    ngx_http_goosebit_cache_t    *cache;
    ngx_http_goosebit_journal_t  *journal;

    journal = data;
    cache = journal->mcf->cache;

    if (result->status == NGX_HTTP_OK) {

        if (ngx_http_goosebit_journal_apply(cache, result) == NGX_OK) {
            ngx_http_goosebit_cache_synced(cache, journal->began);

        } else {
            ngx_log_error(NGX_LOG_ERR, journal->log, 0,
                          "goosebit: the journal could not be read");
        }
    }

    ngx_destroy_pool(journal->pool);
    journal->pool = NULL;
}


static ngx_int_t
ngx_http_goosebit_journal_apply(ngx_http_goosebit_cache_t *cache,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t   rc;
    ngx_str_t   snapshot;
    ngx_uint_t  i;

    ngx_str_null(&snapshot);

    do {
        rc = NGX_OK;
        ngx_http_goosebit_cache_begin(cache);

        for (i = 0; i < result->rows && rc == NGX_OK; i++) {
            rc = ngx_http_goosebit_journal_row(cache, result, i, &snapshot);
        }
    } while (ngx_http_goosebit_cache_publish(cache) == NGX_AGAIN);

    if (rc != NGX_OK || snapshot.len == 0) {
        return NGX_ERROR;
    }

    /* not before all of it is in force: whoever goes on from here skips it */

    ngx_http_goosebit_cache_mark_set(cache, &snapshot);

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_journal_row(ngx_http_goosebit_cache_t *cache,
    ngx_http_goosebit_pg_result_t *result, ngx_uint_t row,
    ngx_str_t *snapshot)
{
    int64_t    tenant_id, n;
    ngx_str_t  kind, feed, ids;

    if (ngx_http_goosebit_pg_text(result, row, "kind", &kind) != NGX_OK
        || ngx_http_goosebit_pg_bigint(result, row, "tenant_id", &tenant_id)
           == NGX_ERROR
        || ngx_http_goosebit_pg_text(result, row, "feed", &feed) == NGX_ERROR
        || ngx_http_goosebit_pg_bigint(result, row, "n", &n) == NGX_ERROR
        || ngx_http_goosebit_pg_text(result, row, "devices", &ids)
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

#define ngx_http_goosebit_journal_is(s)                                       \
    (kind.len == sizeof(s) - 1                                                \
     && ngx_strncmp(kind.data, s, sizeof(s) - 1) == 0)

    if (ngx_http_goosebit_journal_is("snapshot")) {
        return ngx_http_goosebit_pg_text(result, row, "snapshot", snapshot);
    }

    if (ngx_http_goosebit_journal_is("device")) {
        return ngx_http_goosebit_journal_devices(cache, tenant_id, &ids);
    }

    if (ngx_http_goosebit_journal_is("feed") && feed.data) {
        ngx_http_goosebit_cache_bump_feed(cache, tenant_id, &feed);

    } else if (ngx_http_goosebit_journal_is("latest")) {
        ngx_http_goosebit_cache_bump_latest(cache, tenant_id);

    } else if (ngx_http_goosebit_journal_is("tenant")) {
        ngx_http_goosebit_cache_bump_tenant(cache, tenant_id);

    } else if (ngx_http_goosebit_journal_is("free")) {
        ngx_http_goosebit_cache_free(cache, tenant_id,
                                     feed.data ? &feed : NULL, n);

    } else {
        /* all, or what a newer database says */
        ngx_http_goosebit_cache_bump_all(cache);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_journal_devices(ngx_http_goosebit_cache_t *cache,
    int32_t tenant_id, ngx_str_t *ids)
{
    u_char      *p, *last;
    uint64_t     id;
    ngx_uint_t   i;

    if (ids->len % 8) {
        return NGX_ERROR;
    }

    last = ids->data + ids->len;

    for (p = ids->data; p < last; p += 8) {
        id = 0;

        for (i = 0; i < 8; i++) {
            id = id << 8 | p[i];
        }

        ngx_http_goosebit_cache_bump_device(cache, tenant_id, (int64_t) id);
    }

    return NGX_OK;
}
