/*
 * What an outside service has allowed, and how many strangers have registered:
 * one zone for all workers.
 *
 * A yes is kept as a digest and the time it was said, in sets of four places;
 * the oldest of a set goes first, so the zone is never full and never grows.
 * What is found is judged by the time that the location allows now.
 */

#include "ngx_http_goosebit_access.h"

#include <openssl/rand.h>
#include <openssl/sha.h>


#define NGX_HTTP_GOOSEBIT_ACCESS_SETS     16384
#define NGX_HTTP_GOOSEBIT_ACCESS_WAYS     4
#define NGX_HTTP_GOOSEBIT_ACCESS_BUCKETS  64

/* tokens of a bucket are counted in thousandths */
#define NGX_HTTP_GOOSEBIT_ACCESS_TOKEN    1000


typedef struct {
    u_char                              key[NGX_HTTP_GOOSEBIT_ACCESS_KEY];
    ngx_msec_t                          said;       /* 0: an empty place */
} ngx_http_goosebit_access_yes_t;


typedef struct {
    uint64_t                            tokens;
    ngx_msec_t                          last;       /* 0: never used */
} ngx_http_goosebit_access_bucket_t;


struct ngx_http_goosebit_access_zone_s {
    size_t                              layout;     /* sizeof() of the
                                                       writer's */
    u_char                              secret[SHA256_DIGEST_LENGTH];
    ngx_http_goosebit_access_bucket_t
        buckets[NGX_HTTP_GOOSEBIT_ACCESS_BUCKETS];
    ngx_http_goosebit_access_yes_t
        sets[NGX_HTTP_GOOSEBIT_ACCESS_SETS][NGX_HTTP_GOOSEBIT_ACCESS_WAYS];
};


static ngx_int_t ngx_http_goosebit_access_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_http_goosebit_access_yes_t *ngx_http_goosebit_access_zone_set(
    ngx_http_goosebit_access_zone_t *zone, u_char *key);


ngx_int_t
ngx_http_goosebit_access_zone(ngx_conf_t *cf,
    ngx_http_goosebit_access_main_conf_t *amcf)
{
    size_t     size;
    ngx_str_t  name = ngx_string("goosebit_access");

    /* a page of the slab allocator is described by about 1/128 of it */

    size = sizeof(ngx_http_goosebit_access_zone_t);
    size += size / 32 + 16 * ngx_pagesize;

    amcf->shm_zone = ngx_shared_memory_add(cf, &name,
                                           ngx_align(size, ngx_pagesize),
                                           &ngx_http_goosebit_access_module);
    if (amcf->shm_zone == NULL) {
        return NGX_ERROR;
    }

    amcf->shm_zone->init = ngx_http_goosebit_access_zone_init;

    return NGX_OK;
}


static ngx_int_t
ngx_http_goosebit_access_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t                  *shpool;
    ngx_http_goosebit_access_zone_t  *zone;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    zone = data;

    if (zone == NULL && shm_zone->shm.exists) {
        zone = shpool->data;
    }

    if (zone && zone->layout == sizeof(ngx_http_goosebit_access_zone_t)) {
        shm_zone->data = zone;
        return NGX_OK;
    }

    zone = ngx_slab_calloc(shpool, sizeof(ngx_http_goosebit_access_zone_t));
    if (zone == NULL) {
        return NGX_ERROR;
    }

    if (RAND_bytes(zone->secret, sizeof(zone->secret)) != 1) {
        return NGX_ERROR;
    }

    zone->layout = sizeof(ngx_http_goosebit_access_zone_t);

    shpool->data = zone;
    shm_zone->data = zone;

    return NGX_OK;
}


ngx_int_t
ngx_http_goosebit_access_zone_bucket(ngx_conf_t *cf,
    ngx_http_goosebit_access_conf_t *acf)
{
    ngx_http_goosebit_access_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_goosebit_access_module);

    if (amcf->nbuckets == NGX_HTTP_GOOSEBIT_ACCESS_BUCKETS) {
        return NGX_ERROR;
    }

    acf->bucket = amcf->nbuckets++;

    return NGX_OK;
}


/* lengths stand before the parts, so that no two lists make the same bytes */

ngx_int_t
ngx_http_goosebit_access_zone_key(ngx_http_request_t *r,
    ngx_http_goosebit_auth_t *auth, u_char *key)
{
    size_t                                 size;
    u_char                                *p, *bytes, *tenant;
    u_char                                 digest[SHA256_DIGEST_LENGTH];
    ngx_str_t                             *parts[7];
    ngx_uint_t                             i;
    ngx_http_goosebit_ctx_t               *ctx;
    ngx_http_goosebit_access_conf_t       *acf;
    ngx_http_goosebit_access_zone_t       *zone;
    ngx_http_goosebit_access_main_conf_t  *amcf;

    ctx = ngx_http_goosebit_ctx_get(r);
    acf = ngx_http_get_module_loc_conf(r, ngx_http_goosebit_access_module);
    amcf = ngx_http_get_module_main_conf(r, ngx_http_goosebit_access_module);

    zone = amcf->shm_zone->data;

    ngx_http_goosebit_auth_digest(auth);

    if (auth->credential.data == NULL) {
        return NGX_ERROR;
    }

    parts[0] = acf->request.len ? &acf->request : &amcf->remote->url;
    parts[1] = &acf->args;
    parts[2] = &acf->server;
    parts[3] = &acf->ca;
    parts[4] = &ctx->tenant;
    parts[5] = &ctx->device;
    parts[6] = &auth->credential;

    size = sizeof(zone->secret);

    for (i = 0; i < 7; i++) {
        size += sizeof(size_t) + parts[i]->len;
    }

    bytes = ngx_pnalloc(r->pool, size);
    if (bytes == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(bytes, zone->secret, sizeof(zone->secret));
    tenant = NULL;

    for (i = 0; i < 7; i++) {
        p = ngx_cpymem(p, &parts[i]->len, sizeof(size_t));

        if (i == 4) {
            tenant = p;
        }

        if (parts[i]->len) {
            p = ngx_cpymem(p, parts[i]->data, parts[i]->len);
        }
    }

    /* it is matched so, and later written as stored */

    ngx_strlow(tenant, tenant, ctx->tenant.len);

    if (SHA256(bytes, size, digest) == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(key, digest, NGX_HTTP_GOOSEBIT_ACCESS_KEY);

    return NGX_OK;
}


static ngx_http_goosebit_access_yes_t *
ngx_http_goosebit_access_zone_set(ngx_http_goosebit_access_zone_t *zone,
    u_char *key)
{
    uint32_t  n;

    ngx_memcpy(&n, key, sizeof(uint32_t));

    return zone->sets[n % NGX_HTTP_GOOSEBIT_ACCESS_SETS];
}


ngx_uint_t
ngx_http_goosebit_access_zone_find(ngx_http_goosebit_access_main_conf_t *amcf,
    u_char *key, ngx_msec_t valid)
{
    ngx_uint_t                       i, found;
    ngx_msec_int_t                   age;
    ngx_slab_pool_t                 *shpool;
    ngx_http_goosebit_access_yes_t  *set;

    shpool = (ngx_slab_pool_t *) amcf->shm_zone->shm.addr;
    set = ngx_http_goosebit_access_zone_set(amcf->shm_zone->data, key);
    found = 0;

    ngx_shmtx_lock(&shpool->mutex);

    for (i = 0; i < NGX_HTTP_GOOSEBIT_ACCESS_WAYS; i++) {

        if (set[i].said == 0
            || ngx_memcmp(set[i].key, key, NGX_HTTP_GOOSEBIT_ACCESS_KEY) != 0)
        {
            continue;
        }

        /* the clocks of two workers are some milliseconds apart */

        age = (ngx_msec_int_t) (ngx_current_msec - set[i].said);
        found = age < (ngx_msec_int_t) valid;
        break;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return found;
}


void
ngx_http_goosebit_access_zone_add(ngx_http_goosebit_access_main_conf_t *amcf,
    u_char *key)
{
    ngx_uint_t                       i;
    ngx_slab_pool_t                 *shpool;
    ngx_http_goosebit_access_yes_t  *set, *yes;

    shpool = (ngx_slab_pool_t *) amcf->shm_zone->shm.addr;
    set = ngx_http_goosebit_access_zone_set(amcf->shm_zone->data, key);

    ngx_shmtx_lock(&shpool->mutex);

    yes = &set[0];

    for (i = 0; i < NGX_HTTP_GOOSEBIT_ACCESS_WAYS; i++) {

        if (ngx_memcmp(set[i].key, key, NGX_HTTP_GOOSEBIT_ACCESS_KEY) == 0) {
            yes = &set[i];
            break;
        }

        if (set[i].said == 0
            || (ngx_msec_int_t) (set[i].said - yes->said) < 0)
        {
            yes = &set[i];
        }
    }

    /* a worker that dies here leaves a place that counts as empty */

    yes->said = 0;
    ngx_memory_barrier();
    ngx_memcpy(yes->key, key, NGX_HTTP_GOOSEBIT_ACCESS_KEY);
    ngx_memory_barrier();
    yes->said = ngx_max(ngx_current_msec, 1);

    ngx_shmtx_unlock(&shpool->mutex);
}


/* a bucket holds what one second allows */

ngx_uint_t
ngx_http_goosebit_access_zone_take(ngx_http_goosebit_access_main_conf_t *amcf,
    ngx_uint_t bucket, ngx_uint_t rate, ngx_uint_t *retry_after)
{
    uint64_t                            full;
    ngx_uint_t                          status;
    ngx_msec_int_t                      passed;
    ngx_slab_pool_t                    *shpool;
    ngx_http_goosebit_access_zone_t    *zone;
    ngx_http_goosebit_access_bucket_t  *b;

    shpool = (ngx_slab_pool_t *) amcf->shm_zone->shm.addr;
    zone = amcf->shm_zone->data;

    b = &zone->buckets[bucket];
    full = (uint64_t) rate * NGX_HTTP_GOOSEBIT_ACCESS_TOKEN;
    status = NGX_HTTP_OK;

    ngx_shmtx_lock(&shpool->mutex);

    passed = (ngx_msec_int_t) (ngx_current_msec - b->last);

    if (b->last == 0 || passed >= 1000) {
        b->tokens = full;
        b->last = ngx_max(ngx_current_msec, 1);

    } else if (passed > 0) {
        b->tokens += (uint64_t) passed * rate;
        b->last = ngx_current_msec;
    }

    b->tokens = ngx_min(b->tokens, full);

    if (b->tokens >= NGX_HTTP_GOOSEBIT_ACCESS_TOKEN) {
        b->tokens -= NGX_HTTP_GOOSEBIT_ACCESS_TOKEN;

    } else {
        status = NGX_HTTP_TOO_MANY_REQUESTS;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    /* the next token is there within a second, whatever the rate */

    *retry_after = 1;

    return status;
}
