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
test_seen(void **state)
{
    size_t            i, n, total;
    gb_cache_t       *cache;
    gb_cache_stat_t   stat;
    gb_cache_seen_t   rows[64];
    gb_cache_scan_t   scan;
    unsigned char     got[200];

    (void) state;

    cache = cache_make(CACHE_SIZE);
    memset(got, 0, sizeof(got));

    for (i = 0; i < 200; i++) {
        assert_int_equal(cache_store(cache, (int) i, 1), 1);
    }

    memset(&scan, 0, sizeof(scan));
    scan.parts = 1;

    for (total = 0; !scan.done; total += n) {
        n = gb_cache_take(cache, &scan, rows, 64);

        for (i = 0; i < n; i++) {
            assert_in_range(rows[i].device_id, 1, 200);
            assert_int_equal(got[rows[i].device_id - 1]++, 0);
            assert_int_equal(rows[i].tenant_id, 1);
            assert_true(rows[i].seen_at == CACHE_NOW);
            assert_int_equal(rows[i].family, GB_CACHE_IPV4);
            assert_int_equal(rows[i].address[0], 10);
        }

        gb_cache_done(cache, rows, n);
    }

    assert_int_equal(total, 200);
    gb_cache_stat(cache, &stat);
    assert_int_equal(stat.dirty, 0);

    /* seen again while it is taken: dirty; back: dirty; forgotten: dirty */

    assert_int_equal(cache_find(cache, 5), 1);
    assert_int_equal(cache_find(cache, 6), 1);

    memset(&scan, 0, sizeof(scan));
    scan.parts = 1;
    assert_int_equal(gb_cache_take(cache, &scan, rows, 64), 2);
    assert_int_equal(cache_find(cache, 5), 1);
    gb_cache_done(cache, rows, 2);
    gb_cache_stat(cache, &stat);
    assert_int_equal(stat.dirty, 1);

    memset(&scan, 0, sizeof(scan));
    scan.parts = 1;
    assert_int_equal(gb_cache_take(cache, &scan, rows, 64), 1);
    assert_int_equal(rows[0].device_id, 6);
    assert_int_equal(gb_cache_back(cache, rows, 1), 0);
    gb_cache_stat(cache, &stat);
    assert_int_equal(stat.dirty, 1);

    memset(&scan, 0, sizeof(scan));
    scan.parts = 1;
    assert_int_equal(gb_cache_take(cache, &scan, rows, 64), 1);
    gb_cache_stat(cache, &stat);
    assert_int_equal(stat.dirty, 0);
    gb_cache_recover(cache);
    gb_cache_stat(cache, &stat);
    assert_int_equal(stat.dirty, 1);
    assert_int_equal(stat.entries, 200);

    cache_drop(cache, CACHE_SIZE);
}


/* taken, then thrown out, then not written: its taker has to keep it */

static void
test_seen_evicted(void **state)
{
    int               i;
    size_t            n;
    gb_cache_t       *cache;
    gb_cache_seen_t   rows[16];
    gb_cache_scan_t   scan;
    gb_cache_stat_t   stat;

    (void) state;

    cache = cache_make(CACHE_SIZE);
    assert_int_equal(cache_store(cache, 0, 1), 1);

    memset(&scan, 0, sizeof(scan));
    scan.parts = 1;
    n = gb_cache_take(cache, &scan, rows, 16);
    assert_int_equal(n, 1);

    gb_cache_stat(cache, &stat);
    cache_visit.now++;

    for (i = 1; i < (int) stat.places * 4; i++) {
        assert_int_equal(cache_store(cache, i, 1), 1);
    }

    cache_visit.now = CACHE_NOW;

    assert_int_equal(cache_find(cache, 0), 0);
    assert_int_equal(gb_cache_back(cache, rows, 1), 1);
    assert_int_equal(rows[0].device_id, 1);

    cache_drop(cache, CACHE_SIZE);
}


static void
test_parts(void **state)
{
    size_t            i, n;
    unsigned          part;
    gb_cache_t       *cache;
    gb_cache_row_t    row;
    gb_cache_key_t    key;
    gb_cache_seen_t   rows[64], evicted;
    gb_cache_scan_t   scan;

    (void) state;

    cache = cache_make(CACHE_SIZE);

    for (i = 0; i < 50; i++) {
        key = cache_key(cache, (int) i);
        row = cache_row(0);
        row.device_id = 1 + (int64_t) i * 20000;
        assert_int_equal(gb_cache_store(cache, &key, &row, 1, &cache_visit,
                                        &evicted), 1);
    }

    for (part = 0, i = 0; part < 10; part++) {
        memset(&scan, 0, sizeof(scan));
        scan.part = part;
        scan.parts = 10;
        n = 0;

        while (!scan.done) {
            n = gb_cache_take(cache, &scan, rows, 64);
            i += n;

            while (n--) {
                assert_in_range(rows[n].device_id >> 12, part * 256 / 10,
                                (part + 1) * 256 / 10 - 1);
            }
        }
    }

    assert_int_equal(i, 50);

    cache_drop(cache, CACHE_SIZE);
}


static void
test_waiting(void **state)
{
    int                 i;
    gb_cache_t         *cache;
    gb_cache_row_t      row;
    gb_cache_key_t      key;
    gb_cache_wait_t     waits[4];
    gb_cache_seen_t     evicted;
    gb_cache_answer_t   answer;

    (void) state;

    cache = cache_make(CACHE_SIZE);

    for (i = 0; i < 5; i++) {
        key = cache_key(cache, i);
        row = cache_row(i);
        row.waiting = 1;

        if (i == 4) {
            row.feed = NULL;
            row.feed_len = 0;
        }

        assert_int_equal(gb_cache_store(cache, &key, &row, 1, &cache_visit,
                                        &evicted), 1);
    }

    assert_int_equal(gb_cache_waiting(cache, waits, 4), 0);
    assert_int_equal(cache_find(cache, 0), 1);
    assert_int_equal(cache_find(cache, 1), 1);
    assert_int_equal(gb_cache_waiting(cache, waits, 4), 1);
    assert_int_equal(waits[0].tenant_id, 1);
    assert_int_equal(waits[0].feeds, 1);
    assert_int_equal(waits[0].feed_len, 7);
    assert_memory_equal(waits[0].feed, "default", 7);
    assert_int_equal(gb_cache_waiting(cache, waits, 4), 0);

    /* so many go to SQL, and no more; nobody else's */

    gb_cache_free(cache, 1, "default", 7, 2);
    gb_cache_free(cache, 1, "nobody's", 8, 9);
    assert_int_equal(cache_find(cache, 4), 1);
    assert_int_equal(cache_find(cache, 3), 0);
    assert_int_equal(cache_find(cache, 2), 0);
    assert_int_equal(cache_find(cache, 3), 1);
    gb_cache_free(cache, 1, "default", 7, 1);
    gb_cache_free(cache, 1, "default", 7, 0);
    assert_int_equal(cache_find(cache, 0), 1);

    gb_cache_free(cache, 1, NULL, 0, 1);
    key = cache_key(cache, 4);
    assert_int_equal(gb_cache_find(cache, &key, &cache_visit, 1, &answer), 1);
    assert_int_equal(cache_find(cache, 4), 0);

    cache_drop(cache, CACHE_SIZE);
}


/* more scopes than there is room for: the last ones used stay */

static void
test_scopes(void **state)
{
    int               i, n;
    char              feed[32];
    gb_cache_t       *cache;
    gb_cache_row_t    row;
    gb_cache_key_t    key;
    gb_cache_seen_t   evicted;

    (void) state;

    cache = cache_make(CACHE_SIZE);

    for (i = 0; i < 500; i++) {
        cache_visit.now += 1000;
        key = cache_key(cache, i);
        row = cache_row(i);
        row.waiting = 1;
        row.feed = feed;
        row.feed_len = (size_t) snprintf(feed, sizeof(feed), "feed-%d", i);
        assert_int_equal(gb_cache_store(cache, &key, &row, 1, &cache_visit,
                                        &evicted), 1);
    }

    for (i = 0, n = 0; i < 500; i++) {
        n += cache_find(cache, i);
    }

    cache_visit.now = CACHE_NOW;
    assert_in_range(n, 8, 24);

    cache_drop(cache, CACHE_SIZE);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_seen_evicted),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_scopes)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("cache_seen", tests, NULL, NULL);
}
