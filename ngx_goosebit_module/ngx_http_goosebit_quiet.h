/*
 * quiet: polls and downloads that are answered from the zone; what of SQL's
 * answers goes there; and one SQL call for all who ask the same at a time.
 */

#ifndef NGX_HTTP_GOOSEBIT_QUIET_H
#define NGX_HTTP_GOOSEBIT_QUIET_H


#include "ngx_http_goosebit_artifact.h"
#include "ngx_http_goosebit_cache.h"
#include "ngx_http_goosebit_ddi_row.h"


/* what one that goes to SQL has to remember; in r->pool */
struct ngx_http_goosebit_quiet_s {
    gb_cache_key_t                  key;
    uint64_t                        generation;     /* 0: asked by another */
    ngx_str_t                       tenant;         /* in the key */

    ngx_http_goosebit_ddi_t        *ddi;
    ngx_queue_t                     queue;          /* of those who ask, or
                                                       follow one of them */
    ngx_queue_t                     followers;
    unsigned                        linked:1;       /* queue is in use */
};


/*
 * Answers from the zone and returns what ngx_http_finalize_request() takes.
 * NGX_DECLINED: SQL is to be asked (and ddi->quiet set, unless the zone has no
 * part in this poll); NGX_ERROR: out of memory.
 */
ngx_int_t ngx_http_goosebit_quiet(ngx_http_goosebit_ddi_t *ddi);

/*
 * NGX_OK: somebody with equal credentials asks already, and the answer will
 * be this one's, too.  NGX_DECLINED: this one asks.
 */
ngx_int_t ngx_http_goosebit_quiet_join(ngx_http_goosebit_ddi_t *ddi);

/*
 * What SQL said.  NGX_OK: it stands in the zone now, and that the device was
 * seen; NGX_DECLINED: it does not.
 */
ngx_int_t ngx_http_goosebit_quiet_learn(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, ngx_uint_t status);

/*
 * SQL said how the tenant's name is stored: from then on this worker finds in
 * the zone also what is asked of it by another spelling.
 */
void ngx_http_goosebit_quiet_spelled(ngx_http_goosebit_ddi_t *ddi,
    ngx_str_t *tenant);

/*
 * The device has written something that may end what is kept of it: it ends at
 * once here, and elsewhere when the journal is read.
 */
void ngx_http_goosebit_quiet_changed(ngx_http_goosebit_ddi_t *ddi,
    int32_t tenant_id, int64_t device_id);

/*
 * An outside service has said yes meanwhile.  What SQL says next is kept for
 * those who come with such a yes, not for whoever has the same token: the
 * service may think otherwise by then.
 */
void ngx_http_goosebit_quiet_vouched(ngx_http_goosebit_ddi_t *ddi);

/* SQL said nothing: as ngx_http_goosebit_quiet(), from what is out of date */
ngx_int_t ngx_http_goosebit_quiet_stale(ngx_http_goosebit_ddi_t *ddi);

/*
 * ddi has its answer: those who waited for it are moved to followers, an
 * uninitialised queue, and are to be had one by one; NULL: that was all.
 */
void ngx_http_goosebit_quiet_land(ngx_http_goosebit_ddi_t *ddi,
    ngx_queue_t *followers);
ngx_http_goosebit_ddi_t *ngx_http_goosebit_quiet_next(ngx_queue_t *followers);

/*
 * A download that SQL has allowed before: answered, as above, with a
 * reference of r's that is given back.  NGX_DECLINED: SQL is to be asked.
 */
ngx_int_t ngx_http_goosebit_quiet_download(ngx_http_goosebit_ddi_t *ddi);

/* what SQL allowed */
void ngx_http_goosebit_quiet_allow(ngx_http_goosebit_ddi_t *ddi,
    ngx_http_goosebit_pg_result_t *result, ngx_http_goosebit_artifact_t *a);


/* ---- between the files of this room */

/* NGX_DECLINED: the zone has no part in what this one asks */
ngx_int_t ngx_http_goosebit_quiet_key(ngx_http_goosebit_ddi_t *ddi,
    gb_cache_key_t *key);

/* what is needed once SQL has answered; NULL: out of memory */
ngx_http_goosebit_quiet_t *ngx_http_goosebit_quiet_create(
    ngx_http_goosebit_ddi_t *ddi, gb_cache_key_t *key);

/* sends it, and returns what ngx_http_finalize_request() takes */
ngx_int_t ngx_http_goosebit_quiet_answer(ngx_http_goosebit_ddi_t *ddi,
    gb_cache_answer_t *answer);


#endif /* NGX_HTTP_GOOSEBIT_QUIET_H */
