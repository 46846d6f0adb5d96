/*
 * A call to external_url: one POST for all who ask the same at a time.  It
 * belongs to none of them, and ends by itself.
 */

#include "ngx_http_goosebit_access_call.h"

#include "gb_json.h"


static ngx_http_goosebit_access_call_t *ngx_http_goosebit_access_call_create(
    ngx_http_request_t *r, ngx_http_goosebit_auth_t *auth, u_char *key);
static ngx_int_t ngx_http_goosebit_access_call_request(
    ngx_http_goosebit_access_call_t *call, ngx_http_goosebit_ctx_t *ctx,
    ngx_str_t *token);
static void ngx_http_goosebit_access_call_document(gb_json_t *j,
    ngx_http_goosebit_access_remote_t *remote, ngx_http_goosebit_ctx_t *ctx,
    ngx_str_t *token);
static void ngx_http_goosebit_access_call_start(ngx_event_t *ev);
static void ngx_http_goosebit_access_call_timeout(ngx_event_t *ev);
static void ngx_http_goosebit_access_call_resolved(ngx_resolver_ctx_t *ctx);


ngx_int_t
ngx_http_goosebit_access_call(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth, ngx_http_goosebit_access_waiter_t *waiter)
{
    ngx_queue_t                           *q;
    ngx_http_goosebit_access_call_t       *call;
    ngx_http_goosebit_access_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_access_module);

    for (q = ngx_queue_head(&amcf->calls);
         q != ngx_queue_sentinel(&amcf->calls);
         q = ngx_queue_next(q))
    {
        call = ngx_queue_data(q, ngx_http_goosebit_access_call_t, queue);

        if (ngx_memcmp(call->key, waiter->key, NGX_HTTP_GOOSEBIT_ACCESS_KEY)
            == 0)
        {
            goto found;
        }
    }

    if (amcf->ncalls >= NGX_HTTP_GOOSEBIT_ACCESS_CALLS) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "%ui calls to external_url %V are under way, no more "
                      "are made", amcf->ncalls, &amcf->remote->name);
        return NGX_BUSY;
    }

    call = ngx_http_goosebit_access_call_create(r, auth, waiter->key);
    if (call == NULL) {
        return NGX_ERROR;
    }

found:

    waiter->call = call;
    ngx_queue_insert_tail(&call->waiters, &waiter->queue);

    return NGX_AGAIN;
}


static ngx_http_goosebit_access_call_t *
ngx_http_goosebit_access_call_create(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth, u_char *key)
{
    ngx_pool_t                            *pool;
    ngx_http_core_loc_conf_t              *clcf;
    ngx_http_goosebit_access_conf_t       *acf;
    ngx_http_goosebit_access_call_t       *call;
    ngx_http_goosebit_access_main_conf_t  *amcf;

    acf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_access_module);
    amcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_access_module);
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    call = ngx_pcalloc(pool, sizeof(ngx_http_goosebit_access_call_t));
    if (call == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    call->pool = pool;
    call->log = ngx_cycle->log;
    call->amcf = amcf;
    call->remote = amcf->remote;
    call->ssl = acf->ssl ? acf->ssl : amcf->ssl;
    call->resolver = clcf->resolver;
    call->resolver_timeout = clcf->resolver_timeout;
    call->addrs = amcf->remote->addrs;
    call->naddrs = amcf->remote->naddrs;

    ngx_memcpy(call->key, key, NGX_HTTP_GOOSEBIT_ACCESS_KEY);

    if (ngx_http_goosebit_access_call_request(call,
                                              ngx_http_goosebit_ctx_get(r),
                                              &auth->token)
        != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_queue_init(&call->waiters);
    ngx_queue_insert_tail(&amcf->calls, &call->queue);
    amcf->ncalls++;

    /* nobody is answered before this function has returned */

    call->start.data = call;
    call->start.log = call->log;
    call->start.handler = ngx_http_goosebit_access_call_start;
    ngx_post_event(&call->start, &ngx_posted_events);

    call->timer.data = call;
    call->timer.log = call->log;
    call->timer.handler = ngx_http_goosebit_access_call_timeout;
    ngx_add_timer(&call->timer, acf->timeout);

    return call;
}


static ngx_int_t
ngx_http_goosebit_access_call_request(ngx_http_goosebit_access_call_t *call,
    ngx_http_goosebit_ctx_t *ctx, ngx_str_t *token)
{
    size_t                              len, size;
    gb_json_t                           j;
    ngx_buf_t                          *b;
    ngx_http_goosebit_access_remote_t  *remote;

    static const char  headers[] = " HTTP/1.1" CRLF
                                   "Content-Type: application/json" CRLF
                                   "Accept: */*" CRLF
                                   "User-Agent: goosebit" CRLF
                                   "Connection: close" CRLF
                                   "Host: ";

    remote = call->remote;

    gb_json_init(&j, NULL, 0);
    ngx_http_goosebit_access_call_document(&j, remote, ctx, token);

    if (gb_json_done(&j, &len) != GB_OK) {
        return NGX_ERROR;
    }

    size = sizeof("POST ") - 1 + remote->uri.len + sizeof(headers) - 1
           + remote->http_host.len
           + sizeof(CRLF "Authorization: Bearer ") - 1 + token->len
           + sizeof(CRLF "Content-Length: " CRLF CRLF) - 1 + NGX_SIZE_T_LEN
           + len;

    b = ngx_create_temp_buf(call->pool, size);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_sprintf(b->last, "POST %V%s%V", &remote->uri, headers,
                          &remote->http_host);

    if (remote->json_key == NULL) {
        b->last = ngx_sprintf(b->last, CRLF "Authorization: Bearer %V",
                              token);
    }

    b->last = ngx_sprintf(b->last, CRLF "Content-Length: %uz" CRLF CRLF, len);

    gb_json_init(&j, (char *) b->last, len);
    ngx_http_goosebit_access_call_document(&j, remote, ctx, token);

    if (gb_json_done(&j, NULL) != GB_OK) {
        return NGX_ERROR;
    }

    b->last += len;
    call->request = b;

    return NGX_OK;
}


static void
ngx_http_goosebit_access_call_document(gb_json_t *j,
    ngx_http_goosebit_access_remote_t *remote, ngx_http_goosebit_ctx_t *ctx,
    ngx_str_t *token)
{
    const char  *key;

    key = remote->json_key ? remote->json_key : "";

    gb_json_object_start(j);

    if (*key) {
        gb_json_key(j, key);
        gb_json_string(j, (char *) token->data, token->len);
    }

    if (ngx_strcmp(key, "controller_id") != 0) {
        gb_json_key(j, "controller_id");
        gb_json_string(j, (char *) ctx->device.data, ctx->device.len);
    }

    if (ngx_strcmp(key, "tenant") != 0) {
        gb_json_key(j, "tenant");
        gb_json_string(j, (char *) ctx->tenant.data, ctx->tenant.len);
    }

    gb_json_object_end(j);
}


static void
ngx_http_goosebit_access_call_start(ngx_event_t *ev)
{
    ngx_resolver_ctx_t               *ctx;
    ngx_http_goosebit_access_call_t  *call;

    call = ev->data;

    if (call->naddrs) {
        ngx_http_goosebit_access_call_connect(call);
        return;
    }

    ctx = ngx_resolve_start(call->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_http_goosebit_access_call_fail(call, 0, "has no resolver");
        return;
    }

    ctx->name = call->remote->host;
    ctx->handler = ngx_http_goosebit_access_call_resolved;
    ctx->data = call;
    ctx->timeout = call->resolver_timeout;

    call->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        /* and the context is freed */
        call->resolving = NULL;
        ngx_http_goosebit_access_call_fail(call, 0, "can't be resolved");
    }
}


static void
ngx_http_goosebit_access_call_timeout(ngx_event_t *ev)
{
    ngx_http_goosebit_access_call_fail(ev->data, NGX_ETIMEDOUT, "timed out");
}


static void
ngx_http_goosebit_access_call_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t                        i;
    struct sockaddr                  *sa;
    ngx_http_goosebit_access_call_t  *call;

    call = ctx->data;

    if (ctx->state) {
        ngx_http_goosebit_access_call_fail(call, 0,
                                           ngx_resolver_strerror(ctx->state));
        return;
    }

    call->addrs = ngx_pcalloc(call->pool, ctx->naddrs * sizeof(ngx_addr_t));

    for (i = 0; call->addrs && i < ctx->naddrs; i++) {
        sa = ngx_palloc(call->pool, ctx->addrs[i].socklen);
        if (sa == NULL) {
            break;
        }

        ngx_memcpy(sa, ctx->addrs[i].sockaddr, ctx->addrs[i].socklen);
        ngx_inet_set_port(sa, call->remote->port);

        call->addrs[i].sockaddr = sa;
        call->addrs[i].socklen = ctx->addrs[i].socklen;
        call->addrs[i].name = call->remote->name;
        call->naddrs++;
    }

    ngx_resolve_name_done(ctx);
    call->resolving = NULL;

    ngx_http_goosebit_access_call_connect(call);
}


void
ngx_http_goosebit_access_call_fail(ngx_http_goosebit_access_call_t *call,
    ngx_err_t err, const char *why)
{
    ngx_log_error(NGX_LOG_ERR, call->log, err, "external_url %V %s",
                  &call->remote->name, why);

    ngx_http_goosebit_access_call_finish(call, NGX_HTTP_SERVICE_UNAVAILABLE);
}


void
ngx_http_goosebit_access_call_finish(ngx_http_goosebit_access_call_t *call,
    ngx_uint_t status)
{
    ngx_queue_t                        *q;
    ngx_http_goosebit_access_waiter_t  *waiter;

    if (status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        status = NGX_HTTP_SERVICE_UNAVAILABLE;

    } else if (status != NGX_HTTP_OK) {
        status = NGX_HTTP_UNAUTHORIZED;

    } else {
        ngx_http_goosebit_access_zone_add(call->amcf, call->key);
    }

    ngx_queue_remove(&call->queue);
    call->amcf->ncalls--;

    if (call->start.posted) {
        ngx_delete_posted_event(&call->start);
    }

    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    if (call->resolving) {
        ngx_resolve_name_done(call->resolving);
        call->resolving = NULL;
    }

    ngx_http_goosebit_access_call_close(call);

    while (!ngx_queue_empty(&call->waiters)) {
        q = ngx_queue_head(&call->waiters);
        waiter = ngx_queue_data(q, ngx_http_goosebit_access_waiter_t, queue);

        ngx_queue_remove(q);
        waiter->call = NULL;
        waiter->handler(status, waiter->data);
    }

    ngx_destroy_pool(call->pool);
}
