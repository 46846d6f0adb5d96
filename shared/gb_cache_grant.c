/*
 * Downloads that SQL has allowed: who may have which file, and the files.
 */

#include "gb_cache_block.h"

#include <string.h>


static int gb_cache_leave_holds(gb_cache_t *cache,
    const gb_cache_leave_t *leave);
static gb_cache_leave_t *gb_cache_leave(gb_cache_t *cache,
    const gb_cache_key_t *key, int32_t software_id, gb_cache_leave_t **oldest);
static gb_cache_file_t *gb_cache_file(gb_cache_t *cache, int32_t tenant_id,
    int32_t software_id, gb_cache_file_t **oldest);


int
gb_cache_grant_find(gb_cache_t *cache, const gb_cache_key_t *key, int64_t now,
    gb_cache_grant_t *grant)
{
    gb_cache_file_t   *file;
    gb_cache_leave_t  *leave, *oldest;

    leave = gb_cache_leave(cache, key, grant->software_id, &oldest);

    if (leave == NULL
        || leave->credential != key->credential
        || !gb_cache_leave_holds(cache, leave))
    {
        return 0;
    }

    /* its place may be another's meanwhile */

    file = &gb_cache_files(cache)[leave->file];

    if (file->what.tenant_id != leave->tenant_id
        || file->what.software_id != leave->software_id
        || file->what.filename_len != grant->filename_len
        || memcmp(file->what.filename, grant->filename, grant->filename_len)
           != 0)
    {
        return 0;
    }

    leave->used = now;
    file->used = now;

    *grant = file->what;
    grant->device_id = leave->device_id;

    return 1;
}


int
gb_cache_grant_store(gb_cache_t *cache, const gb_cache_key_t *key,
    const gb_cache_grant_t *grant, uint64_t generation, int64_t now)
{
    gb_cache_file_t   *file, *spare;
    gb_cache_leave_t   fresh, *leave, *oldest;

    memset(&fresh, 0, sizeof(gb_cache_leave_t));

    fresh.id[0] = key->id[0];
    fresh.id[1] = key->id[1];
    fresh.credential = key->credential;
    fresh.generation = generation;
    fresh.device_id = grant->device_id;
    fresh.tenant_id = grant->tenant_id;
    fresh.software_id = grant->software_id;
    fresh.used = now;

    if (grant->software_id <= 0 || !gb_cache_leave_holds(cache, &fresh)) {
        return 0;
    }

    file = gb_cache_file(cache, grant->tenant_id, grant->software_id, &spare);

    if (file == NULL) {
        file = spare;
        file->what.software_id = 0;
        gb_cache_barrier();

        file->what.tenant_id = grant->tenant_id;
        file->what.size = grant->size;
        file->what.created = grant->created;
        memcpy(file->what.sha256, grant->sha256, sizeof(grant->sha256));
        memcpy(file->what.sha1, grant->sha1, sizeof(grant->sha1));
        file->what.filename_len = grant->filename_len;
        memcpy(file->what.filename, grant->filename, grant->filename_len);
        gb_cache_barrier();
        file->what.software_id = grant->software_id;
    }

    file->used = now;
    fresh.file = (uint32_t) (file - gb_cache_files(cache));

    leave = gb_cache_leave(cache, key, grant->software_id, &oldest);

    if (leave == NULL) {
        leave = oldest;
    }

    fresh.generation = 0;
    leave->generation = 0;
    gb_cache_barrier();
    *leave = fresh;
    gb_cache_barrier();
    leave->generation = generation;

    return 1;
}


static int
gb_cache_leave_holds(gb_cache_t *cache, const gb_cache_leave_t *leave)
{
    gb_cache_record_t  record;

    /* as of a device that looks at the newest software */

    memset(&record, 0, sizeof(gb_cache_record_t));

    record.generation = leave->generation;
    record.tenant_id = leave->tenant_id;
    record.device_id = leave->device_id;
    record.latest = 1;

    return gb_cache_holds(cache, &record);
}


/* NULL, and in *oldest where it may be */

static gb_cache_leave_t *
gb_cache_leave(gb_cache_t *cache, const gb_cache_key_t *key,
    int32_t software_id, gb_cache_leave_t **oldest)
{
    uint32_t           at;
    unsigned           i;
    gb_cache_leave_t  *leave;

    *oldest = NULL;
    at = gb_cache_mix(key->id[0], (uint32_t) software_id);

    for (i = 0; i < GB_CACHE_PROBES; i++) {
        leave = &gb_cache_leaves(cache)[(at + i) & (cache->nleaves - 1)];

        if (leave->id[0] == key->id[0] && leave->id[1] == key->id[1]
            && leave->software_id == software_id)
        {
            return leave;
        }

        if (*oldest == NULL || leave->used < (*oldest)->used) {
            *oldest = leave;
        }
    }

    return NULL;
}


static gb_cache_file_t *
gb_cache_file(gb_cache_t *cache, int32_t tenant_id, int32_t software_id,
    gb_cache_file_t **oldest)
{
    uint32_t          at;
    unsigned          i;
    gb_cache_file_t  *file;

    *oldest = NULL;
    at = gb_cache_mix((uint32_t) software_id, (uint32_t) tenant_id);

    for (i = 0; i < GB_CACHE_PROBES; i++) {
        file = &gb_cache_files(cache)[(at + i) & (cache->nfiles - 1)];

        if (file->what.tenant_id == tenant_id
            && file->what.software_id == software_id)
        {
            return file;
        }

        if (*oldest == NULL || file->used < (*oldest)->used) {
            *oldest = file;
        }
    }

    return NULL;
}
