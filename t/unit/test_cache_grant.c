#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"


static gb_cache_grant_t
grant_of(int n, int32_t software_id)
{
    gb_cache_grant_t  grant;

    memset(&grant, 0, sizeof(grant));

    grant.device_id = n + 1;
    grant.tenant_id = 1;
    grant.software_id = software_id;
    grant.size = 1000 + software_id;
    grant.created = 1700000000;
    memset(grant.sha256, 'a', sizeof(grant.sha256));
    memset(grant.sha1, 'b', sizeof(grant.sha1));
    grant.filename_len = 5;
    memcpy(grant.filename, "a.swu", 5);

    return grant;
}


static int
allow(gb_cache_t *cache, int n, int32_t software_id, uint64_t generation)
{
    gb_cache_key_t    key;
    gb_cache_grant_t  grant;

    key = cache_key(cache, n);
    grant = grant_of(n, software_id);

    return gb_cache_grant_store(cache, &key, &grant, generation,
                                cache_visit.now);
}


static int
allowed(gb_cache_t *cache, int n, int32_t software_id)
{
    gb_cache_key_t    key;
    gb_cache_grant_t  grant, want;

    key = cache_key(cache, n);
    want = grant_of(n, software_id);

    memset(&grant, 0, sizeof(grant));
    grant.software_id = software_id;
    grant.filename_len = 5;
    memcpy(grant.filename, "a.swu", 5);

    if (!gb_cache_grant_find(cache, &key, cache_visit.now, &grant)) {
        return 0;
    }

    assert_int_equal(grant.device_id, want.device_id);
    assert_int_equal(grant.tenant_id, want.tenant_id);
    assert_int_equal(grant.size, want.size);
    assert_int_equal(grant.created, want.created);
    assert_memory_equal(grant.sha256, want.sha256, sizeof(want.sha256));
    assert_memory_equal(grant.sha1, want.sha1, sizeof(want.sha1));

    return 1;
}


static void
test_found(void **state)
{
    gb_cache_t        *cache;
    gb_cache_key_t     key;
    gb_cache_grant_t   grant;

    (void) state;

    cache = cache_make(CACHE_SIZE);

    assert_int_equal(allowed(cache, 1, 7), 0);
    assert_int_equal(allow(cache, 1, 0, 1), 0);
    assert_int_equal(allow(cache, 1, 7, 1), 1);
    assert_int_equal(allowed(cache, 1, 7), 1);

    /* another device, software, credential or name */

    assert_int_equal(allowed(cache, 2, 7), 0);
    assert_int_equal(allowed(cache, 1, 8), 0);

    key = cache_key(cache, 1);
    key.credential++;
    grant = grant_of(1, 7);
    assert_int_equal(gb_cache_grant_find(cache, &key, 0, &grant), 0);

    key = cache_key(cache, 1);
    memcpy(grant.filename, "b.swu", 5);
    assert_int_equal(gb_cache_grant_find(cache, &key, 0, &grant), 0);

    cache_drop(cache, CACHE_SIZE);
}


static void
test_ended(void **state)
{
    uint64_t     next;
    gb_cache_t  *cache;

    (void) state;

    cache = cache_make(CACHE_SIZE);

    next = gb_cache_next(cache);
    assert_int_equal(allow(cache, 1, 7, 1), 1);
    gb_cache_bump_tenant(cache, 2, next);
    gb_cache_bump_feed(cache, 1, "default", 7, next);
    gb_cache_bump_device(cache, 1, 4711, next);
    assert_int_equal(allowed(cache, 1, 7), 1);

    gb_cache_bump_device(cache, 1, 2, next);
    assert_int_equal(allowed(cache, 1, 7), 0);
    assert_int_equal(allow(cache, 1, 7, 1), 0);
    gb_cache_publish(cache, next);
    assert_int_equal(allow(cache, 1, 7, next), 1);

    next = gb_cache_next(cache);
    gb_cache_bump_latest(cache, 1, next);
    assert_int_equal(allowed(cache, 1, 7), 0);
    gb_cache_publish(cache, next);
    assert_int_equal(allow(cache, 1, 7, next), 1);

    next = gb_cache_next(cache);
    gb_cache_bump_tenant(cache, 1, next);
    assert_int_equal(allowed(cache, 1, 7), 0);
    gb_cache_publish(cache, next);

    next = gb_cache_next(cache);
    gb_cache_bump_all(cache, next);
    assert_int_equal(allow(cache, 1, 7, next - 1), 0);

    cache_drop(cache, CACHE_SIZE);
}


/* more of both than there is room for: the last ones used stay */

static void
test_full(void **state)
{
    int          i, n;
    gb_cache_t  *cache;

    (void) state;

    cache = cache_make(CACHE_SIZE);

    for (i = 0; i < 5000; i++) {
        cache_visit.now++;
        assert_int_equal(allow(cache, i, 1 + i % 300, 1), 1);
        assert_int_equal(allowed(cache, i, 1 + i % 300), 1);
    }

    for (i = 0, n = 0; i < 5000; i++) {
        n += allowed(cache, i, 1 + i % 300);
    }

    cache_visit.now = CACHE_NOW;
    assert_in_range(n, 4, 200);

    cache_drop(cache, CACHE_SIZE);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_full)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("cache_grant", tests, NULL, NULL);
}
