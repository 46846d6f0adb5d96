/*
 * A dense array of devices with a table of positions beside it: linear
 * probing, at most half full.
 */

#include "ngx_http_goosebit_seen.h"


#define NGX_HTTP_GOOSEBIT_SEEN_MIN  1024        /* devices */
#define NGX_HTTP_GOOSEBIT_SEEN_MAX  65536       /* devices */


static ngx_int_t ngx_http_goosebit_seen_grow(
    ngx_http_goosebit_seen_table_t *table, ngx_log_t *log);
static uint32_t *ngx_http_goosebit_seen_slot(
    ngx_http_goosebit_seen_table_t *table, int32_t tenant_id,
    int64_t device_id);
static int ngx_libc_cdecl ngx_http_goosebit_seen_compare(const void *one,
    const void *two);


ngx_http_goosebit_seen_t *
ngx_http_goosebit_seen_find(ngx_http_goosebit_seen_table_t *table,
    int32_t tenant_id, int64_t device_id, ngx_uint_t *new, ngx_log_t *log)
{
    uint32_t                  *slot;
    ngx_http_goosebit_seen_t  *seen;

    *new = 0;

    if (table->size == 0 && ngx_http_goosebit_seen_grow(table, log) != NGX_OK) {
        return NULL;
    }

    slot = ngx_http_goosebit_seen_slot(table, tenant_id, device_id);

    if (*slot) {
        return &table->elts[*slot - 1];
    }

    if (table->n == table->size) {

        if (ngx_http_goosebit_seen_grow(table, log) != NGX_OK) {
            return NULL;
        }

        slot = ngx_http_goosebit_seen_slot(table, tenant_id, device_id);
    }

    seen = &table->elts[table->n++];
    *slot = (uint32_t) table->n;
    *new = 1;

    ngx_memzero(seen, sizeof(ngx_http_goosebit_seen_t));

    seen->tenant_id = tenant_id;
    seen->device_id = device_id;

    return seen;
}


static ngx_int_t
ngx_http_goosebit_seen_grow(ngx_http_goosebit_seen_table_t *table,
    ngx_log_t *log)
{
    uint32_t                        *slot;
    ngx_uint_t                       i;
    ngx_http_goosebit_seen_t        *seen;
    ngx_http_goosebit_seen_table_t   bigger;

    if (table->size >= NGX_HTTP_GOOSEBIT_SEEN_MAX) {
        return NGX_ERROR;
    }

    bigger.n = table->n;
    bigger.size = table->size ? 2 * table->size : NGX_HTTP_GOOSEBIT_SEEN_MIN;

    bigger.elts = ngx_alloc(bigger.size * sizeof(ngx_http_goosebit_seen_t),
                            log);
    bigger.slots = ngx_calloc(2 * bigger.size * sizeof(uint32_t), log);

    if (bigger.elts == NULL || bigger.slots == NULL) {
        ngx_http_goosebit_seen_free(&bigger);
        return NGX_ERROR;
    }

    for (i = 0; i < table->n; i++) {
        seen = &bigger.elts[i];
        *seen = table->elts[i];

        slot = ngx_http_goosebit_seen_slot(&bigger, seen->tenant_id,
                                           seen->device_id);
        *slot = (uint32_t) i + 1;
    }

    ngx_http_goosebit_seen_free(table);
    *table = bigger;

    return NGX_OK;
}


/* the slot that holds the device, or the empty one where it belongs */

static uint32_t *
ngx_http_goosebit_seen_slot(ngx_http_goosebit_seen_table_t *table,
    int32_t tenant_id, int64_t device_id)
{
    uint64_t                   hash;
    ngx_uint_t                 i, mask;
    ngx_http_goosebit_seen_t  *seen;

    /* ids come from sequences: nobody outside can choose them to collide */

    hash = ((uint64_t) device_id ^ (uint64_t) tenant_id << 40)
           * 0x9e3779b97f4a7c15ULL;

    mask = 2 * table->size - 1;

    for (i = (hash >> 32) & mask; table->slots[i]; i = (i + 1) & mask) {
        seen = &table->elts[table->slots[i] - 1];

        if (seen->device_id == device_id && seen->tenant_id == tenant_id) {
            break;
        }
    }

    return &table->slots[i];
}


void
ngx_http_goosebit_seen_free(ngx_http_goosebit_seen_table_t *table)
{
    if (table->elts) {
        ngx_free(table->elts);
    }

    if (table->slots) {
        ngx_free(table->slots);
    }

    ngx_memzero(table, sizeof(ngx_http_goosebit_seen_table_t));
}


void
ngx_http_goosebit_seen_reset(ngx_http_goosebit_seen_table_t *table)
{
    table->n = 0;

    if (table->slots) {
        ngx_memzero(table->slots, 2 * table->size * sizeof(uint32_t));
    }
}


void
ngx_http_goosebit_seen_sort(ngx_http_goosebit_seen_table_t *table)
{
    ngx_qsort(table->elts, table->n, sizeof(ngx_http_goosebit_seen_t),
              ngx_http_goosebit_seen_compare);
}


static int ngx_libc_cdecl
ngx_http_goosebit_seen_compare(const void *one, const void *two)
{
    const ngx_http_goosebit_seen_t  *a, *b;

    a = one;
    b = two;

    if (a->tenant_id != b->tenant_id) {
        return (a->tenant_id < b->tenant_id) ? -1 : 1;
    }

    return (a->device_id < b->device_id) ? -1 : (a->device_id > b->device_id);
}
