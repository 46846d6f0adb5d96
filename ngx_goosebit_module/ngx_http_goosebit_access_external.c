/*
 * External authentication: what is remembered, else a subrequest to the URI of
 * goosebit_auth_request, else a call to external_url.
 *
 * 200 is a yes and remembered; 5xx and silence are 503, as nobody has said no;
 * all else is a no.
 */

#include "ngx_http_goosebit_access.h"


static ngx_int_t ngx_http_goosebit_access_subrequest(
    ngx_http_goosebit_access_waiter_t *waiter,
    ngx_http_goosebit_access_conf_t *acf);
static ngx_int_t ngx_http_goosebit_access_done(ngx_http_request_t *sr,
    void *data, ngx_int_t rc);
static void ngx_http_goosebit_access_unasked(ngx_http_request_t *sr,
    ngx_uint_t status);
static void ngx_http_goosebit_access_resume(ngx_http_request_t *r);
static void ngx_http_goosebit_access_expired(ngx_event_t *ev);
static void ngx_http_goosebit_access_cleanup(void *data);


void
ngx_http_goosebit_access_remembered(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth)
{
    u_char                                 key[NGX_HTTP_GOOSEBIT_ACCESS_KEY];
    ngx_http_goosebit_access_conf_t       *acf;
    ngx_http_goosebit_access_main_conf_t  *amcf;

    acf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_access_module);
    amcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_access_module);

    if (auth->token.len == 0
        || acf->cache == 0
        || (acf->request.len == 0 && amcf->remote == NULL))
    {
        return;
    }

    if (ngx_http_goosebit_access_zone_key(r, auth, key) == NGX_OK
        && ngx_http_goosebit_access_zone_find(amcf, key, acf->cache))
    {
        auth->scheme = NGX_HTTP_GOOSEBIT_AUTH_EXTERNAL;
        auth->proven = 1;
    }
}


ngx_int_t
ngx_http_goosebit_access_external(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth, ngx_http_goosebit_access_pt handler,
    void *data)
{
    ngx_pool_cleanup_t                    *cln;
    ngx_http_goosebit_access_conf_t       *acf;
    ngx_http_goosebit_access_waiter_t     *waiter;
    ngx_http_goosebit_access_main_conf_t  *amcf;

    acf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_access_module);
    amcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_access_module);

    if (auth->token.len == 0
        || (acf->request.len == 0 && amcf->remote == NULL))
    {
        return NGX_DECLINED;
    }

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_goosebit_access_waiter_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    waiter = cln->data;
    ngx_memzero(waiter, sizeof(ngx_http_goosebit_access_waiter_t));

    waiter->handler = handler;
    waiter->data = data;
    waiter->request = r;

    cln->handler = ngx_http_goosebit_access_cleanup;

    if (ngx_http_goosebit_access_zone_key(r, auth, waiter->key) != NGX_OK) {
        return NGX_ERROR;
    }

    return acf->request.len ? ngx_http_goosebit_access_subrequest(waiter, acf)
                            : ngx_http_goosebit_access_call(r, auth, waiter);
}


static void
ngx_http_goosebit_access_cleanup(void *data)
{
    ngx_http_goosebit_access_waiter_t  *waiter = data;

    if (waiter->call) {
        ngx_queue_remove(&waiter->queue);
        waiter->call = NULL;
    }

    if (waiter->timer.timer_set) {
        ngx_del_timer(&waiter->timer);
    }
}


static ngx_int_t
ngx_http_goosebit_access_subrequest(ngx_http_goosebit_access_waiter_t *waiter,
    ngx_http_goosebit_access_conf_t *acf)
{
    ngx_http_request_t          *r, *sr;
    ngx_http_post_subrequest_t  *ps;

    r = waiter->request;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = ngx_http_goosebit_access_done;
    ps->data = waiter;

    if (ngx_http_subrequest(r, &acf->request, &acf->args, &sr, ps,
                            NGX_HTTP_SUBREQUEST_WAITED)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* neither what the device has sent, nor what the service says in detail */

    sr->headers_in.content_length = NULL;
    sr->headers_in.content_length_n = -1;
    sr->headers_in.chunked = 0;

    sr->request_body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (sr->request_body == NULL) {
        return NGX_ERROR;
    }

    sr->header_only = 1;

    waiter->subrequest = sr;

    waiter->timer.handler = ngx_http_goosebit_access_expired;
    waiter->timer.data = waiter;
    waiter->timer.log = r->connection->log;

    ngx_add_timer(&waiter->timer, acf->timeout);

    return NGX_AGAIN;
}


/* twice, where NGINX makes an error page: the last time is the one */

static ngx_int_t
ngx_http_goosebit_access_done(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_http_goosebit_access_waiter_t  *waiter = data;

    waiter->status = sr->headers_out.status;

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        waiter->status = rc;
    }

    if (rc == NGX_ERROR) {
        waiter->status = NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    /* NGINX posts the parent when the subrequest has ended */

    waiter->request->write_event_handler = ngx_http_goosebit_access_resume;

    return rc;
}


/*
 * A service may refuse as it likes.  Where none was asked it is mostly the
 * directive that is wrong, and nobody would know why all devices are refused.
 */

static void
ngx_http_goosebit_access_unasked(ngx_http_request_t *sr, ngx_uint_t status)
{
    if (sr->upstream == NULL && status != NGX_HTTP_UNAUTHORIZED
        && status != NGX_HTTP_FORBIDDEN)
    {
        ngx_log_error(NGX_LOG_ERR, sr->connection->log, 0,
                      "goosebit_auth_request \"%V\" asked no service, it is "
                      "answered here with %ui", &sr->uri, status);
    }
}


static void
ngx_http_goosebit_access_resume(ngx_http_request_t *r)
{
    ngx_uint_t                             status;
    ngx_connection_t                      *c;
    ngx_http_request_t                    *sr;
    ngx_pool_cleanup_t                    *cln;
    ngx_http_goosebit_access_waiter_t     *waiter;
    ngx_http_goosebit_access_main_conf_t  *amcf;

    r->write_event_handler = ngx_http_request_empty_handler;

    waiter = NULL;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_goosebit_access_cleanup) {
            waiter = cln->data;
            break;
        }
    }

    if (waiter == NULL || waiter->subrequest == NULL) {
        return;
    }

    c = r->connection;
    sr = waiter->subrequest;
    status = waiter->status;
    waiter->subrequest = NULL;

    if (waiter->timer.timer_set) {
        ngx_del_timer(&waiter->timer);
    }

    if (waiter->expired || status == 0
        || status >= NGX_HTTP_INTERNAL_SERVER_ERROR)
    {
        status = NGX_HTTP_SERVICE_UNAVAILABLE;

    } else if (status != NGX_HTTP_OK) {
        ngx_http_goosebit_access_unasked(sr, status);
        status = NGX_HTTP_UNAUTHORIZED;

    } else {
        amcf = ngx_http_get_module_main_conf(r,
                                             ngx_http_goosebit_access_module);
        ngx_http_goosebit_access_zone_add(amcf, waiter->key);
    }

    waiter->handler(status, waiter->data);

    ngx_http_run_posted_requests(c);
}


/*
 * A subrequest can't be abandoned.  But what it waits for can be told that its
 * time is over, without another server to try.
 */

static void
ngx_http_goosebit_access_expired(ngx_event_t *ev)
{
    ngx_event_t                        *event;
    ngx_connection_t                   *c;
    ngx_http_request_t                 *r;
    ngx_resolver_ctx_t                 *resolve;
    ngx_http_upstream_t                *u;
    ngx_http_goosebit_access_waiter_t  *waiter;

    waiter = ev->data;

    r = waiter->request;
    c = r->connection;

    waiter->expired = 1;

    ngx_log_error(NGX_LOG_ERR, c->log, NGX_ETIMEDOUT,
                  "goosebit_auth_request timed out");

    u = waiter->subrequest->upstream;

    if (u && u->resolved && u->resolved->ctx) {
        resolve = u->resolved->ctx;
        resolve->state = NGX_RESOLVE_TIMEDOUT;
        resolve->handler(resolve);

    } else if (u && u->peer.connection) {
        u->peer.tries = 1;

        event = u->request_sent ? u->peer.connection->read
                                : u->peer.connection->write;

        event->timedout = 1;
        event->handler(event);
    }

    ngx_http_run_posted_requests(c);
}
