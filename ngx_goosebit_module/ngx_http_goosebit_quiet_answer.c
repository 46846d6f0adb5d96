/*
 * What the zone knows of a quiet answer -> the answer, without writing again
 * what it has in common with others'.
 */

#include "ngx_http_goosebit_quiet.h"
#include "ngx_http_goosebit_accept.h"

#include "gb_text.h"


/* the end of an answer with a link, after the device's id */
#define NGX_HTTP_GOOSEBIT_BASE  "/installedBase/"
#define NGX_HTTP_GOOSEBIT_END   "\"}}}"
#define NGX_HTTP_GOOSEBIT_TAIL  (sizeof(NGX_HTTP_GOOSEBIT_BASE) - 1           \
                                 + NGX_INT64_LEN                              \
                                 + sizeof(NGX_HTTP_GOOSEBIT_END) - 1)


static ngx_int_t ngx_http_goosebit_quiet_plain(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_poll_t *poll, ngx_http_goosebit_reply_t *reply);
static ngx_int_t ngx_http_goosebit_quiet_linked(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_poll_t *poll, ngx_http_goosebit_reply_t *reply);
static ngx_uint_t ngx_http_goosebit_quiet_unreserved(ngx_str_t *device);
static ngx_http_goosebit_stem_t *ngx_http_goosebit_quiet_stem(
    ngx_http_goosebit_cache_t *cache, ngx_http_goosebit_poll_t *poll);
static ngx_uint_t ngx_http_goosebit_quiet_stem_is(
    ngx_http_goosebit_stem_t *stem, ngx_http_goosebit_poll_t *poll);
static void ngx_http_goosebit_quiet_stem_set(ngx_http_goosebit_stem_t *stem,
    ngx_http_goosebit_poll_t *poll, ngx_str_t *body);
static u_char *ngx_http_goosebit_quiet_tail(u_char *p, ngx_str_t *device,
    ngx_uint_t id);


ngx_int_t
ngx_http_goosebit_quiet_answer(ngx_http_goosebit_ddi_t *ddi,
    gb_cache_answer_t *answer)
{
    ngx_int_t                  rc;
    ngx_http_goosebit_ctx_t   *ctx;
    ngx_http_goosebit_poll_t   poll;
    ngx_http_goosebit_reply_t  reply;

    ctx = ddi->ctx;

    /* names in the zone stay as they are once they are there */

    ctx->reason.data = (u_char *) answer->reason;
    ctx->reason.len = answer->reason_len;

    ngx_memzero(&poll, sizeof(ngx_http_goosebit_poll_t));

    poll.link = &ddi->link;
    poll.seconds = answer->seconds;
    poll.installed_id = answer->installed_id;

    if (poll.installed_id) {
        if (ngx_http_goosebit_ddi_link(ddi) != NGX_OK) {
            return NGX_ERROR;
        }

        ddi->link.tenant = ctx->tenant;
    }

    if (ngx_http_goosebit_accept_cbor(ddi->type)) {
        return ngx_http_goosebit_ddi_row_quiet(ddi, &poll);
    }

    ngx_memzero(&reply, sizeof(ngx_http_goosebit_reply_t));

    reply.status = NGX_HTTP_OK;
    reply.type = ddi->type;
    reply.cacheable = 1;

    rc = poll.installed_id ? ngx_http_goosebit_quiet_linked(ddi, &poll, &reply)
                           : ngx_http_goosebit_quiet_plain(ddi, &poll, &reply);

    if (rc == NGX_DECLINED) {
        return ngx_http_goosebit_ddi_row_quiet(ddi, &poll);
    }

    return rc == NGX_OK ? ngx_http_goosebit_reply(ddi->request, &reply) : rc;
}


/*
 * Without a link the answer is the same for all who sleep for so long, and the
 * worker keeps it.  The first of those that share a place has it for good, as
 * connections may be sending it at any time.
 */

static ngx_int_t
ngx_http_goosebit_quiet_plain(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_poll_t *poll, ngx_http_goosebit_reply_t *reply)
{
    ngx_http_goosebit_memo_t  *memo;

    memo = &ddi->mcf->cache->memos[poll->seconds
                                   % NGX_HTTP_GOOSEBIT_CACHE_MEMOS];

    if (memo->seconds != (ngx_uint_t) poll->seconds) {

        if (memo->seconds
            || ngx_http_goosebit_json(ngx_cycle->pool,
                                      ngx_http_goosebit_json_poll, poll,
                                      &memo->body)
               != NGX_OK)
        {
            return NGX_DECLINED;
        }

        ngx_http_goosebit_reply_etag(NULL, &memo->body, memo->etag);
        memo->seconds = poll->seconds;
    }

    reply->body = memo->body;
    reply->etag.data = memo->etag;
    reply->etag.len = sizeof(memo->etag);

    return NGX_OK;
}


/*
 * With a link it is the device's own, but begins as those of all who came to
 * us by that address.  So the worker keeps the beginning of one that was
 * written out, up to the device's id, with its part of the ETag.
 */

static ngx_int_t
ngx_http_goosebit_quiet_linked(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_poll_t *poll, ngx_http_goosebit_reply_t *reply)
{
    u_char                    *p;
    ngx_str_t                 *device;
    ngx_pool_t                *pool;
    ngx_http_goosebit_stem_t  *stem;

    pool = ddi->request->pool;
    device = &poll->link->device;

    if (!ngx_http_goosebit_quiet_unreserved(device)) {
        return NGX_DECLINED;
    }

    stem = ngx_http_goosebit_quiet_stem(ddi->mcf->cache, poll);

    if (!ngx_http_goosebit_quiet_stem_is(stem, poll)) {

        if (ngx_http_goosebit_json(pool, ngx_http_goosebit_json_poll, poll,
                                   &reply->body)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_http_goosebit_quiet_stem_set(stem, poll, &reply->body);

        return NGX_OK;
    }

    p = ngx_pnalloc(pool, NGX_HTTP_GOOSEBIT_ETAG + stem->len + device->len
                          + NGX_HTTP_GOOSEBIT_TAIL);
    if (p == NULL) {
        return NGX_ERROR;
    }

    reply->etag.data = p;
    reply->etag.len = NGX_HTTP_GOOSEBIT_ETAG;

    reply->body.data = p + NGX_HTTP_GOOSEBIT_ETAG;

    p = ngx_cpymem(reply->body.data, stem->text, stem->len);
    p = ngx_http_goosebit_quiet_tail(p, device, poll->installed_id);

    reply->body.len = p - reply->body.data;

    ngx_http_goosebit_reply_etag(&stem->digest, &reply->body,
                                 reply->etag.data);

    return NGX_OK;
}


/* then a link has it as it is */

static ngx_uint_t
ngx_http_goosebit_quiet_unreserved(ngx_str_t *device)
{
    size_t  i;

    for (i = 0; i < device->len; i++) {
        if (!gb_text_unreserved((char) device->data[i])) {
            return 0;
        }
    }

    return 1;
}


/* the place of one; whoever came last has it */

static ngx_http_goosebit_stem_t *
ngx_http_goosebit_quiet_stem(ngx_http_goosebit_cache_t *cache,
    ngx_http_goosebit_poll_t *poll)
{
    ngx_uint_t  n;
    ngx_str_t  *base, *tenant;

    base = &poll->link->base;
    tenant = &poll->link->tenant;

    n = poll->seconds + 7 * base->len + 13 * tenant->len
        + 31 * poll->link->prefix.len;

    if (base->len) {
        n += base->data[base->len - 1];
    }

    if (tenant->len) {
        n += 17 * tenant->data[tenant->len - 1];
    }

    return &cache->stems[n % NGX_HTTP_GOOSEBIT_CACHE_MEMOS];
}


static ngx_uint_t
ngx_http_goosebit_quiet_stem_is(ngx_http_goosebit_stem_t *stem,
    ngx_http_goosebit_poll_t *poll)
{
    u_char                    *p;
    ngx_http_goosebit_link_t  *link;

    link = poll->link;
    p = stem->names;

    return stem->seconds == (ngx_uint_t) poll->seconds
           && stem->base == link->base.len
           && stem->prefix == link->prefix.len
           && stem->tenant == link->tenant.len
           && ngx_memcmp(p, link->base.data, stem->base) == 0
           && ngx_memcmp(p + stem->base, link->prefix.data, stem->prefix) == 0
           && ngx_memcmp(p + stem->base + stem->prefix, link->tenant.data,
                         stem->tenant)
              == 0;
}


/* not where it is too long, or ends otherwise than ours would */

static void
ngx_http_goosebit_quiet_stem_set(ngx_http_goosebit_stem_t *stem,
    ngx_http_goosebit_poll_t *poll, ngx_str_t *body)
{
    u_char                    *p, *end;
    size_t                     len;
    ngx_str_t                  text;
    ngx_http_goosebit_link_t  *link;
    u_char                     tail[NGX_HTTP_GOOSEBIT_CACHE_STEM
                                    + NGX_HTTP_GOOSEBIT_TAIL];

    link = poll->link;
    len = link->base.len + link->prefix.len + link->tenant.len;

    if (len > sizeof(stem->names)
        || link->device.len > NGX_HTTP_GOOSEBIT_CACHE_STEM)
    {
        return;
    }

    end = ngx_http_goosebit_quiet_tail(tail, &link->device,
                                       poll->installed_id);
    len = end - tail;

    if (len > body->len
        || body->len - len > sizeof(stem->text)
        || ngx_memcmp(body->data + body->len - len, tail, len) != 0)
    {
        return;
    }

    stem->seconds = poll->seconds;
    stem->base = link->base.len;
    stem->prefix = link->prefix.len;
    stem->tenant = link->tenant.len;

    p = ngx_cpymem(stem->names, link->base.data, link->base.len);
    p = ngx_cpymem(p, link->prefix.data, link->prefix.len);
    ngx_memcpy(p, link->tenant.data, link->tenant.len);

    stem->len = body->len - len;
    ngx_memcpy(stem->text, body->data, stem->len);

    text.data = stem->text;
    text.len = stem->len;
    ngx_http_goosebit_reply_etag_stem(&stem->digest, &text);
}


static u_char *
ngx_http_goosebit_quiet_tail(u_char *p, ngx_str_t *device, ngx_uint_t id)
{
    u_char  *digit;
    u_char   number[NGX_INT64_LEN];

    digit = number + sizeof(number);

    do {
        *--digit = (u_char) ('0' + id % 10);
        id /= 10;
    } while (id);

    p = ngx_cpymem(p, device->data, device->len);
    p = ngx_cpymem(p, NGX_HTTP_GOOSEBIT_BASE,
                   sizeof(NGX_HTTP_GOOSEBIT_BASE) - 1);
    p = ngx_cpymem(p, digit, number + sizeof(number) - digit);

    return ngx_cpymem(p, NGX_HTTP_GOOSEBIT_END,
                      sizeof(NGX_HTTP_GOOSEBIT_END) - 1);
}
