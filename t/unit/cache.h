/*
 * A table of quiet answers for tests: device N of the tenant 1 has N + 1 as
 * its id, depends on the feed "default" and sleeps for 60 seconds.
 */

#ifndef CACHE_H
#define CACHE_H


#include "gb_cache.h"


#define CACHE_SIZE  (1024 * 1024)
#define CACHE_NOW   1700000000000LL


extern gb_cache_visit_t  cache_visit;       /* now, from 10.0.0.1 */


gb_cache_t *cache_make(size_t size);
void cache_drop(gb_cache_t *cache, size_t size);

gb_cache_key_t cache_key(gb_cache_t *cache, int n);
gb_cache_row_t cache_row(int n);

/* 1: stored, found (and as it should be) */
int cache_store(gb_cache_t *cache, int n, uint64_t generation);
int cache_find(gb_cache_t *cache, int n);


#endif /* CACHE_H */
