/*
 * ask: one call for one device request: submit -> row -> answer, what
 * poll wants done first, and what a refused request has to hear before.
 */

#include "ngx_http_goosebit_ask.h"
#include "ngx_http_goosebit_access.h"
#include "ngx_http_goosebit_ddi_param.h"
#include "ngx_http_goosebit_quiet.h"


/*
 * While a rollout is under way nearly every poll that comes to SQL is due, and
 * pays for two calls: one that finds that out, and start, which decides again
 * under the locks and answers whatever is so.  After so many such polls in a
 * row the next ones go to start at once; the first that was not due ends it.
 */
#define NGX_HTTP_GOOSEBIT_ASK_DUE  8


static ngx_http_goosebit_pg_query_t *ngx_http_goosebit_ask_create(
    ngx_http_goosebit_ddi_t *ddi, ngx_http_goosebit_call_e call,
    ngx_http_goosebit_pg_handler_pt handler);
static void ngx_http_goosebit_ask_submit(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q);
static void ngx_http_goosebit_ask_count_due(
    ngx_http_goosebit_pg_result_t *result);
static void ngx_http_goosebit_ask_refused(
    ngx_http_goosebit_pg_result_t *result, void *data);
static void ngx_http_goosebit_ask_result(
    ngx_http_goosebit_pg_result_t *result, void *data);
static void ngx_http_goosebit_ask_followers(ngx_http_goosebit_ddi_t *ddi,
    ngx_queue_t *followers, ngx_http_goosebit_pg_result_t *result);
static ngx_int_t ngx_http_goosebit_ask_respond(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
static ngx_int_t ngx_http_goosebit_ask_answer(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
static ngx_int_t ngx_http_goosebit_ask_follow(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
static ngx_int_t ngx_http_goosebit_ask_register(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
static ngx_int_t ngx_http_goosebit_ask_outside(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result);
static void ngx_http_goosebit_ask_again(ngx_uint_t status, void *data);
static void ngx_http_goosebit_ask_unvouched(ngx_http_goosebit_ddi_t *ddi,
    ngx_uint_t status);


/* polls of this worker in a row, up to the last, that were due */
static ngx_uint_t  ngx_http_goosebit_ask_due;


static ngx_http_goosebit_pg_query_t *
ngx_http_goosebit_ask_create(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_call_e call, ngx_http_goosebit_pg_handler_pt handler)
{
    ngx_http_goosebit_pg_query_t  *q;

    q = ngx_http_goosebit_pg_create(ddi->request->pool, call);
    if (q == NULL) {
        return NULL;
    }

    q->handler = handler;
    q->data = ddi;
    q->ctx = ddi->ctx;
    q->tenant = ddi->ctx->tenant;
    q->device = ddi->ctx->device;

    ddi->query = q;

    ngx_http_goosebit_auth_add(q, ddi->ctx, &ddi->auth,
                               ngx_http_goosebit_access_mode(ddi->request));

    return q;
}


ngx_http_goosebit_pg_query_t *
ngx_http_goosebit_ask_query(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_call_e call)
{
    return ngx_http_goosebit_ask_create(ddi, call,
                                             ngx_http_goosebit_ask_result);
}


ngx_int_t
ngx_http_goosebit_ask(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_call_e call)
{
    ngx_http_goosebit_pg_query_t  *q;

    if (call == NGX_HTTP_GOOSEBIT_CALL_POLL
        && ngx_http_goosebit_ask_due >= NGX_HTTP_GOOSEBIT_ASK_DUE)
    {
        call = NGX_HTTP_GOOSEBIT_CALL_START;
    }

    q = ngx_http_goosebit_ask_query(ddi, call);
    if (q == NULL) {
        return NGX_ERROR;
    }

    ngx_http_goosebit_ddi_param(ddi, q, call);
    ngx_http_goosebit_ask_submit(ddi, q);

    return NGX_OK;
}


static void
ngx_http_goosebit_ask_count_due(ngx_http_goosebit_pg_result_t *result)
{
    if (ngx_http_goosebit_ask_said(result, "next", "start")
        || ngx_http_goosebit_ask_said(result, "next", "started"))
    {
        ngx_http_goosebit_ask_due++;

    } else {
        ngx_http_goosebit_ask_due = 0;
    }
}


/* holds a reference of r */

void
ngx_http_goosebit_ask_refuse(ngx_http_goosebit_ddi_t *ddi, ngx_uint_t status)
{
    ngx_http_goosebit_pg_query_t  *q;

    ddi->refusal = status;

    q = ngx_http_goosebit_ask_create(ddi, NGX_HTTP_GOOSEBIT_CALL_POLL,
                                    ngx_http_goosebit_ask_refused);
    if (q == NULL) {
        ngx_http_finalize_request(ddi->request,
                                  ngx_http_goosebit_ask_error(ddi, status));
        return;
    }

    ngx_http_goosebit_ddi_param(ddi, q, NGX_HTTP_GOOSEBIT_CALL_POLL);
    ngx_http_goosebit_ask_submit(ddi, q);
}


static void
ngx_http_goosebit_ask_submit(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_query_t *q)
{
    ngx_http_goosebit_ask_wait(ddi);
    ngx_http_goosebit_pg_submit(ddi->mcf->pg, q);
}


/* a client that leaves meanwhile ends the request, and so detaches its call */

void
ngx_http_goosebit_ask_wait(ngx_http_goosebit_ddi_t *ddi)
{
    ngx_http_request_t  *r;

    r = ddi->request;

    if (r->read_event_handler == ngx_http_block_reading) {
        r->read_event_handler = ngx_http_test_reading;
    }
}


static void
ngx_http_goosebit_ask_refused(ngx_http_goosebit_pg_result_t *result,
    void *data)
{
    ngx_http_goosebit_ddi_t  *ddi = data;

    ngx_uint_t         status;
    ngx_connection_t  *c;

    c = ddi->request->connection;
    status = ddi->refusal;

    /* without a database the refusal stands: it gives nothing away */

    if (result->status == NGX_HTTP_OK) {

        switch (ngx_http_goosebit_ask_status(ddi, result)) {

        case NGX_HTTP_UNAUTHORIZED:
            if (status == NGX_HTTP_NOT_ALLOWED) {
                break;
            }

            status = NGX_HTTP_UNAUTHORIZED;

            switch (ngx_http_goosebit_ask_outside(ddi, result)) {

            case NGX_OK:
                ngx_http_run_posted_requests(c);
                return;

            case NGX_ERROR:
                status = ddi->refusal;
                break;

            default:
                break;
            }

            break;

        case NGX_HTTP_NOT_FOUND:
            status = NGX_HTTP_NOT_FOUND;
            break;

        default:
            break;
        }
    }

    ngx_http_finalize_request(ddi->request,
                              ngx_http_goosebit_ask_error(ddi, status));
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_goosebit_ask_result(ngx_http_goosebit_pg_result_t *result,
    void *data)
{
    ngx_http_goosebit_ddi_t  *ddi = data;

    ngx_int_t          rc;
    ngx_queue_t        followers;
    ngx_connection_t  *c;

    c = ddi->request->connection;

    rc = ngx_http_goosebit_ask_respond(ddi, result);

    if (rc == NGX_DONE) {
        ngx_http_run_posted_requests(c);
        return;
    }

    ngx_http_goosebit_quiet_land(ddi, &followers);
    ngx_http_goosebit_ask_followers(ddi, &followers, result);

    ngx_http_finalize_request(ddi->request, rc);
    ngx_http_run_posted_requests(c);
}


/* those who asked the same meanwhile have the same answer */

static void
ngx_http_goosebit_ask_followers(ngx_http_goosebit_ddi_t *ddi,
    ngx_queue_t *followers, ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t                 rc;
    ngx_connection_t         *c;
    ngx_http_goosebit_ddi_t  *follower;

    for ( ;; ) {
        follower = ngx_http_goosebit_quiet_next(followers);

        if (follower == NULL) {
            return;
        }

        follower->followed = ddi->followed;
        follower->external = ddi->external;

        c = follower->request->connection;

        rc = ngx_http_goosebit_ask_respond(follower, result);

        if (rc != NGX_DONE) {
            ngx_http_finalize_request(follower->request, rc);
        }

        ngx_http_run_posted_requests(c);
    }
}


/* as ngx_http_goosebit_ask_answer(), also where SQL has said nothing */

static ngx_int_t
ngx_http_goosebit_ask_respond(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t                  rc;
    ngx_http_goosebit_error_t  error;

    if (result->status == NGX_HTTP_OK) {
        return ngx_http_goosebit_ask_answer(ddi, result);
    }

    ngx_memzero(&error, sizeof(ngx_http_goosebit_error_t));

    if (result->status == NGX_HTTP_BAD_REQUEST) {
        error.status = NGX_HTTP_BAD_REQUEST;

    } else {
        rc = ngx_http_goosebit_quiet_stale(ddi);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        error.status = NGX_HTTP_SERVICE_UNAVAILABLE;
        error.retry_after = result->retry_after;
    }

    return ngx_http_goosebit_reply_error(ddi->request, &error);
}


/* NGX_DONE: another call is under way */

static ngx_int_t
ngx_http_goosebit_ask_answer(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t                  rc;
    ngx_uint_t                 status;
    ngx_http_goosebit_error_t  error;

    status = ngx_http_goosebit_ask_status(ddi, result);

    if (status == 0
        || ngx_http_goosebit_ask_learn(ddi, result, status) != NGX_OK)
    {
        return ngx_http_goosebit_ask_error(ddi, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    if (status == NGX_HTTP_UNAUTHORIZED) {

        switch (ngx_http_goosebit_ask_outside(ddi, result)) {

        case NGX_OK:
            return NGX_DONE;

        case NGX_ERROR:
            status = NGX_HTTP_SERVICE_UNAVAILABLE;
            break;

        default:
            break;
        }

        /* one word for all who are refused */

        ngx_str_null(&ddi->ctx->reason);
    }

    if (status != NGX_HTTP_OK) {
        ngx_memzero(&error, sizeof(ngx_http_goosebit_error_t));
        error.status = status;
        error.code = ddi->ctx->reason;

        return ngx_http_goosebit_reply_error(ddi->request, &error);
    }

    if (ddi->ctx->endpoint == NGX_HTTP_GOOSEBIT_POLL && !ddi->followed) {
        rc = ngx_http_goosebit_ask_follow(ddi, result);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ngx_http_goosebit_ddi_link(ddi) != NGX_OK) {
        return ngx_http_goosebit_ask_error(ddi, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    rc = ddi->row(ddi, result);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, ddi->request->connection->log, 0,
                      "the row of a goosebit_ddi function lacks columns "
                      "or values: is the database migrated?");

        return ngx_http_goosebit_ask_error(ddi, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    return rc;
}


/* a poll that has to write first names the call that does, and answers, too */

static ngx_int_t
ngx_http_goosebit_ask_follow(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t                 rc;
    ngx_http_goosebit_call_e  call;

    ngx_http_goosebit_ask_count_due(result);

    if (ngx_http_goosebit_ask_said(result, "next", "register")) {
        rc = ngx_http_goosebit_ask_register(ddi, result);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        call = NGX_HTTP_GOOSEBIT_CALL_REGISTER;

    } else if (ngx_http_goosebit_ask_said(result, "next", "start")) {
        call = NGX_HTTP_GOOSEBIT_CALL_START;

    } else {
        return NGX_DECLINED;
    }

    ddi->followed = 1;

    if (ngx_http_goosebit_ask(ddi, call) != NGX_OK) {
        return ngx_http_goosebit_ask_error(ddi, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    return NGX_DONE;
}


/* NGX_DECLINED: it may be registered; else it is refused, and answered */

static ngx_int_t
ngx_http_goosebit_ask_register(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    int64_t                    device_id;
    ngx_http_goosebit_error_t  error;

    /* a known device, whose first token is to be stored, is no stranger */

    if (ddi->auth.proven
        || ngx_http_goosebit_pg_bigint(result, 0, "device_id", &device_id)
           == NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_memzero(&error, sizeof(ngx_http_goosebit_error_t));

    error.status = ngx_http_goosebit_access_registration(ddi->request,
                                                         &error.retry_after);

    if (error.status == NGX_HTTP_OK) {
        return NGX_DECLINED;
    }

    return ngx_http_goosebit_reply_error(ddi->request, &error);
}


/*
 * Who is refused because only an outside service can say: it is asked, and
 * then the same call made again.  NGX_OK: an answer will come; NGX_DECLINED:
 * the refusal stands; NGX_ERROR: it can't be asked.
 */

static ngx_int_t
ngx_http_goosebit_ask_outside(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result)
{
    ngx_int_t  rc;

    if (ddi->external
        || !ngx_http_goosebit_ask_said(result, "reason", "external"))
    {
        return NGX_DECLINED;
    }

    ddi->external = 1;

    rc = ngx_http_goosebit_access_external(ddi->request, &ddi->auth,
                                           ngx_http_goosebit_ask_again, ddi);

    if (rc == NGX_AGAIN) {
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, ddi->request->connection->log, 0,
                      "tenant \"%V\" has external authentication, but there "
                      "is neither goosebit_auth_request nor external_url",
                      &ddi->ctx->tenant);
        return NGX_DECLINED;
    }

    return NGX_ERROR;
}


static void
ngx_http_goosebit_ask_again(ngx_uint_t status, void *data)
{
    ngx_http_goosebit_ddi_t  *ddi = data;

    ngx_queue_t                    followers;
    ngx_http_goosebit_ddi_t       *follower;
    ngx_http_goosebit_pg_query_t  *q;

    if (status == NGX_HTTP_OK) {
        ddi->auth.scheme = NGX_HTTP_GOOSEBIT_AUTH_EXTERNAL;
        ddi->auth.proven = 1;

        ngx_http_goosebit_quiet_vouched(ddi);

        q = ngx_http_goosebit_pg_repeat(ddi->query,
                                        NGX_HTTP_GOOSEBIT_AUTH_SCHEME,
                                ngx_http_goosebit_auth_scheme(
                                    ddi->auth.scheme));
        if (q) {
            ddi->query = q;
            ngx_http_goosebit_ask_submit(ddi, q);
            return;
        }

        status = NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    /* nobody who waited for this answer asks the service once more */

    ngx_http_goosebit_quiet_land(ddi, &followers);

    while ((follower = ngx_http_goosebit_quiet_next(&followers)) != NULL) {
        ngx_http_goosebit_ask_unvouched(follower, status);
    }

    ngx_http_goosebit_ask_unvouched(ddi, status);
}


static void
ngx_http_goosebit_ask_unvouched(ngx_http_goosebit_ddi_t *ddi,
    ngx_uint_t status)
{
    ngx_connection_t  *c;

    c = ddi->request->connection;

    /* as without a database: a refusal gives nothing away */

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE && ddi->refusal) {
        status = ddi->refusal;
    }

    ngx_http_finalize_request(ddi->request,
                              ngx_http_goosebit_ask_error(ddi, status));
    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_goosebit_ask_error(ngx_http_goosebit_ddi_t *ddi, ngx_uint_t status)
{
    ngx_http_goosebit_error_t  error;

    ngx_memzero(&error, sizeof(ngx_http_goosebit_error_t));
    error.status = status;

    return ngx_http_goosebit_reply_error(ddi->request, &error);
}
