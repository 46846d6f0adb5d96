#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "cache.h"


gb_cache_visit_t  cache_visit = { CACHE_NOW, GB_CACHE_IPV4, { 10, 0, 0, 1 } };


gb_cache_t *
cache_make(size_t size)
{
    void                        *block;
    gb_cache_t                  *cache;
    static const unsigned char   secret[GB_SIPHASH_KEY] = "0123456789abcde";

    block = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS,
                 -1, 0);
    assert_ptr_not_equal(block, MAP_FAILED);

    cache = gb_cache_format(block, size, secret);
    assert_non_null(cache);

    return cache;
}


gb_cache_key_t
cache_key(gb_cache_t *cache, int n)
{
    char            id[32];
    gb_cache_key_t  key;

    (void) snprintf(id, sizeof(id), "device-%d", n);

    gb_cache_key(cache, "DEFAULT", 7, id, strlen(id), &key);
    key.credential = 42;

    return key;
}


gb_cache_row_t
cache_row(int n)
{
    gb_cache_row_t  row;

    memset(&row, 0, sizeof(row));

    row.device_id = n + 1;
    row.tenant_id = 1;
    row.seconds = 60;
    row.reason = "up_to_date";
    row.reason_len = 10;
    row.feed = "default";
    row.feed_len = 7;

    return row;
}


int
cache_store(gb_cache_t *cache, int n, uint64_t generation)
{
    gb_cache_row_t   row;
    gb_cache_key_t   key;
    gb_cache_seen_t  evicted;

    key = cache_key(cache, n);
    row = cache_row(n);

    return gb_cache_store(cache, &key, &row, generation, &cache_visit,
                          &evicted);
}


int
cache_find(gb_cache_t *cache, int n)
{
    gb_cache_key_t     key;
    gb_cache_answer_t  answer;

    key = cache_key(cache, n);

    if (!gb_cache_find(cache, &key, &cache_visit, 0, &answer)) {
        return 0;
    }

    assert_int_equal(answer.device_id, n + 1);
    assert_int_equal(answer.tenant_id, 1);
    assert_int_equal(answer.seconds, 60);
    assert_string_equal(answer.reason, "up_to_date");
    assert_int_equal(answer.reason_len, 10);

    return 1;
}


void
cache_drop(gb_cache_t *cache, size_t size)
{
    (void) munmap(cache, size);
}
