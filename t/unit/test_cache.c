#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"


static void
test_format(void **state)
{
    void             *block;
    gb_cache_t       *cache;
    gb_cache_stat_t   stat;

    (void) state;

    block = calloc(1, GB_CACHE_MIN);
    assert_null(gb_cache_format(block, GB_CACHE_MIN - 1,
                                (unsigned char *) "0123456789abcdef"));
    assert_null(gb_cache_open(block));
    free(block);

    cache = cache_make(CACHE_SIZE);
    assert_ptr_equal(gb_cache_open(cache), cache);

    gb_cache_stat(cache, &stat);
    assert_int_equal(stat.entries, 0);
    assert_in_range(stat.bytes, 1, CACHE_SIZE / 8);
    assert_in_range(stat.places, (CACHE_SIZE - stat.bytes) / 93 - 16,
                    (CACHE_SIZE - stat.bytes) / 92);
    assert_int_equal(gb_cache_generation(cache), 1);
    assert_int_equal(gb_cache_synced_at(cache), 0);

    cache_drop(cache, CACHE_SIZE);
}


static void
test_find(void **state)
{
    gb_cache_t         *cache;
    gb_cache_key_t      key, other;
    gb_cache_answer_t   answer;

    (void) state;

    cache = cache_make(CACHE_SIZE);

    assert_int_equal(cache_find(cache, 1), 0);
    assert_int_equal(cache_store(cache, 1, 1), 1);
    assert_int_equal(cache_find(cache, 1), 1);
    assert_int_equal(cache_find(cache, 2), 0);

    /* another credential finds nothing, and does not drop it either */

    key = cache_key(cache, 1);
    key.credential++;
    assert_int_equal(gb_cache_find(cache, &key, &cache_visit, 0, &answer), 0);
    assert_int_equal(gb_cache_find(cache, &key, &cache_visit, 1, &answer), 0);
    gb_cache_drop(cache, &key);
    assert_int_equal(cache_find(cache, 1), 1);

    key = cache_key(cache, 1);
    gb_cache_drop(cache, &key);
    assert_int_equal(cache_find(cache, 1), 0);

    /* "ab" + "c" is not "a" + "bc" */

    gb_cache_key(cache, "ab", 2, "c", 1, &key);
    gb_cache_key(cache, "a", 1, "bc", 2, &other);
    assert_memory_not_equal(key.id, other.id, sizeof(key.id));

    cache_drop(cache, CACHE_SIZE);
}


static void
test_time(void **state)
{
    gb_cache_t         *cache;
    gb_cache_row_t      row;
    gb_cache_key_t      key;
    gb_cache_seen_t     evicted;
    gb_cache_visit_t    later;
    gb_cache_answer_t   answer;

    (void) state;

    cache = cache_make(CACHE_SIZE);
    key = cache_key(cache, 1);
    row = cache_row(1);
    row.valid_until = CACHE_NOW + 1000;

    assert_int_equal(gb_cache_store(cache, &key, &row, 1, &cache_visit,
                                    &evicted), 1);
    later = cache_visit;
    later.now = CACHE_NOW + 999;
    assert_int_equal(gb_cache_find(cache, &key, &later, 0, &answer), 1);
    later.now = CACHE_NOW + 1000;
    assert_int_equal(gb_cache_find(cache, &key, &later, 0, &answer), 0);
    assert_int_equal(gb_cache_find(cache, &key, &later, 1, &answer), 1);

    cache_drop(cache, CACHE_SIZE);
}


/* what a bump reaches, and what it leaves alone */

static void
test_generations(void **state)
{
    uint64_t         next;
    gb_cache_t      *cache;
    gb_cache_row_t   row;
    gb_cache_key_t   key;
    gb_cache_seen_t  evicted;

    (void) state;

    cache = cache_make(CACHE_SIZE);

    next = gb_cache_next(cache);
    assert_int_equal(next, 2);

    assert_int_equal(cache_store(cache, 1, 1), 1);
    assert_int_equal(cache_find(cache, 1), 1);

    gb_cache_bump_tenant(cache, 2, next);
    gb_cache_bump_feed(cache, 1, "other", 5, next);
    gb_cache_bump_feed(cache, 2, "default", 7, next);
    gb_cache_bump_latest(cache, 1, next);
    gb_cache_bump_device(cache, 1, 4711, next);
    assert_int_equal(cache_find(cache, 1), 1);

    gb_cache_bump_feed(cache, 1, "default", 7, next);
    assert_int_equal(cache_find(cache, 1), 0);

    /* asked before the change was known: it may not have seen it */

    assert_int_equal(cache_store(cache, 1, gb_cache_generation(cache)), 0);

    assert_int_equal(gb_cache_publish(cache, next), 1);
    assert_int_equal(gb_cache_generation(cache), 2);
    assert_int_equal(cache_store(cache, 1, 1), 0);
    assert_int_equal(cache_store(cache, 1, 2), 1);
    assert_int_equal(cache_find(cache, 1), 1);

    next = gb_cache_next(cache);
    gb_cache_bump_device(cache, 1, 2, next);
    assert_int_equal(cache_find(cache, 1), 0);
    assert_int_equal(gb_cache_publish(cache, next), 1);
    assert_int_equal(cache_store(cache, 1, next), 1);

    next = gb_cache_next(cache);
    gb_cache_bump_tenant(cache, 1, next);
    assert_int_equal(cache_find(cache, 1), 0);
    assert_int_equal(gb_cache_publish(cache, next), 1);
    assert_int_equal(cache_store(cache, 1, next), 1);

    /* mode latest */

    key = cache_key(cache, 1);
    row = cache_row(1);
    row.feed = NULL;
    row.latest = 1;
    assert_int_equal(gb_cache_store(cache, &key, &row, next, &cache_visit,
                                    &evicted), 1);

    next = gb_cache_next(cache);
    gb_cache_bump_feed(cache, 1, "default", 7, next);
    assert_int_equal(cache_find(cache, 1), 1);
    gb_cache_bump_latest(cache, 1, next);
    assert_int_equal(cache_find(cache, 1), 0);
    assert_int_equal(gb_cache_publish(cache, next), 1);
    assert_int_equal(cache_store(cache, 1, next), 1);

    next = gb_cache_next(cache);
    gb_cache_bump_all(cache, next);
    assert_int_equal(cache_find(cache, 1), 0);
    assert_int_equal(gb_cache_publish(cache, next), 1);

    /* one that lags behind takes nothing back */

    assert_int_equal(gb_cache_publish(cache, 2), 0);
    assert_int_equal(gb_cache_generation(cache), next);
    gb_cache_bump_all(cache, 2);
    assert_int_equal(cache_store(cache, 1, next - 1), 0);

    /* two at a time: who comes second ends what was asked in between */

    next = gb_cache_next(cache);
    assert_int_equal(gb_cache_publish(cache, next), 1);
    assert_int_equal(cache_store(cache, 1, next), 1);
    gb_cache_bump_device(cache, 1, 2, next);
    assert_int_equal(gb_cache_publish(cache, next), 0);

    next = gb_cache_next(cache);
    gb_cache_bump_device(cache, 1, 2, next);
    assert_int_equal(gb_cache_publish(cache, next), 1);
    assert_int_equal(cache_find(cache, 1), 0);

    cache_drop(cache, CACHE_SIZE);
}


/* a device that writes: without a reading of what has changed */

static void
test_own(void **state)
{
    uint64_t        asked, next;
    gb_cache_t     *cache;
    gb_cache_key_t  key, other;

    (void) state;

    cache = cache_make(CACHE_SIZE);
    gb_cache_key(cache, "T", 1, "a", 1, &key);
    gb_cache_key(cache, "T", 1, "b", 1, &other);

    asked = gb_cache_generation(cache);
    assert_int_equal(gb_cache_key_holds(cache, &key, asked), 1);

    next = gb_cache_next(cache);
    gb_cache_bump_key(cache, &key, next);
    assert_int_equal(gb_cache_key_holds(cache, &key, asked), 0);
    assert_int_equal(gb_cache_key_holds(cache, &other, asked), 1);

    /* a reading of other changes makes the same number the present one */

    assert_int_equal(gb_cache_publish(cache, next), 1);
    assert_int_equal(gb_cache_key_holds(cache, &key, asked), 0);
    asked = gb_cache_generation(cache);
    assert_int_equal(gb_cache_key_holds(cache, &key, asked), 1);
}


static void
test_full(void **state)
{
    int                i, n, found;
    gb_cache_t        *cache;
    gb_cache_row_t     row;
    gb_cache_key_t     key;
    gb_cache_stat_t    stat;
    gb_cache_seen_t    evicted;
    gb_cache_visit_t   at;

    (void) state;

    cache = cache_make(CACHE_SIZE);
    gb_cache_stat(cache, &stat);
    n = (int) stat.places;
    at = cache_visit;

    for (i = 0; i < 4 * n; i++) {
        key = cache_key(cache, i);
        row = cache_row(i);
        at.now = CACHE_NOW + i;
        assert_int_equal(gb_cache_store(cache, &key, &row, 1, &at, &evicted),
                         1);
        gb_cache_stat(cache, &stat);

        if (stat.evictions && evicted.device_id) {

            /* a full table is as good as full, and the old go first */

            assert_true((int) stat.entries > n * 9 / 10);
            assert_true(evicted.device_id < i + 1 - n / 2);
            assert_true(evicted.seen_at == CACHE_NOW + evicted.device_id - 1);
        }
    }

    assert_in_range(stat.entries, n * 9 / 10, n);
    assert_int_equal(stat.entries + stat.evictions, 4 * n);
    assert_int_equal(stat.entries, stat.dirty);

    for (i = 4 * n - 1, found = 0; i >= 4 * n - n / 2; i--) {
        found += cache_find(cache, i);
    }

    assert_in_range(found, n / 2 * 98 / 100, n / 2);

    cache_drop(cache, CACHE_SIZE);
}


/* memory a device costs at the point where the first one has to go */

static void
test_memory(void **state)
{
    int               i;
    size_t            size;
    gb_cache_t       *cache;
    gb_cache_stat_t   stat;

    (void) state;

    size = 16 * 1024 * 1024;
    cache = cache_make(size);

    for (i = 0; /* void */ ; i++) {
        assert_int_equal(cache_store(cache, i, 1), 1);
        gb_cache_stat(cache, &stat);

        if (stat.evictions) {
            break;
        }
    }

    print_message("# %.1f bytes a device, load %.3f\n",
                  (double) size / i, (double) i / stat.places);
    assert_true(size / i <= 112);

    cache_drop(cache, size);
}


static void
test_refused(void **state)
{
    int               i;
    char              reason[32], feed[300];
    gb_cache_t       *cache;
    gb_cache_row_t    row;
    gb_cache_key_t    key;
    gb_cache_seen_t   evicted;

    (void) state;

    cache = cache_make(CACHE_SIZE);
    key = cache_key(cache, 1);

    row = cache_row(1);
    row.seconds = 1 << 17;
    assert_int_equal(gb_cache_store(cache, &key, &row, 1, &cache_visit,
                                    &evicted), 0);

    memset(feed, 'f', sizeof(feed));
    row = cache_row(1);
    row.feed = feed;
    row.feed_len = 256;
    assert_int_equal(gb_cache_store(cache, &key, &row, 1, &cache_visit,
                                    &evicted), 0);

    /* "up_to_date" is one of 63 */

    for (i = 0; i < 100; i++) {
        row = cache_row(1);
        row.reason = reason;
        row.reason_len = (size_t) snprintf(reason, sizeof(reason),
                                           "reason-%d", i);
        assert_int_equal(gb_cache_store(cache, &key, &row, 1, &cache_visit,
                                    &evicted), i < 62);
    }

    row = cache_row(1);
    row.reason = "a reason of more than 31 bytes is too long";
    row.reason_len = strlen(row.reason);
    assert_int_equal(gb_cache_store(cache, &key, &row, 1, &cache_visit,
                                    &evicted), 0);

    cache_drop(cache, CACHE_SIZE);
}


static void
test_mark(void **state)
{
    char         text[GB_CACHE_MARK + 1];
    gb_cache_t  *cache;

    (void) state;

    cache = cache_make(CACHE_SIZE);
    assert_int_equal(gb_cache_mark_get(cache, text), 0);

    gb_cache_mark_set(cache, "1:2:3", 5);
    assert_int_equal(gb_cache_mark_get(cache, text), 5);
    assert_memory_equal(text, "1:2:3", 5);

    memset(text, 'x', sizeof(text));
    gb_cache_mark_set(cache, text, GB_CACHE_MARK);
    assert_int_equal(gb_cache_mark_get(cache, text), GB_CACHE_MARK);

    /* what does not fit must not leave an older one to go on from */

    gb_cache_mark_set(cache, text, GB_CACHE_MARK + 1);
    assert_int_equal(gb_cache_mark_get(cache, text), 0);

    cache_drop(cache, CACHE_SIZE);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mark)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
