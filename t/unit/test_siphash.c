#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "gb_siphash.h"


/* the vectors of the authors' own programme: key 00..0f, message 00..n-1 */

static void
test_known(void **state)
{
    size_t         i;
    uint64_t       digest[2];
    unsigned char  key[GB_SIPHASH_KEY], message[15];

    (void) state;

    for (i = 0; i < sizeof(key); i++) {
        key[i] = (unsigned char) i;
    }

    for (i = 0; i < sizeof(message); i++) {
        message[i] = (unsigned char) i;
    }

    assert_int_equal(gb_siphash(key, message, 0), 0x726fdb47dd0e0e31ULL);
    assert_int_equal(gb_siphash(key, message, 8), 0x93f5f5799a932462ULL);
    assert_int_equal(gb_siphash(key, message, 15), 0xa129ca6149be45e5ULL);

    gb_siphash128(key, message, 0, digest);
    assert_int_equal(digest[0], 0xe6a825ba047f81a3ULL);
    assert_int_equal(digest[1], 0x930255c71472f66dULL);
}


/* every length of the tail, against libcrypto */

static void
test_like_openssl(void **state)
{
    size_t         n, size, out;
    uint64_t       digest[2];
    EVP_MAC       *mac;
    EVP_MAC_CTX   *ctx;
    OSSL_PARAM     params[2];
    unsigned char  key[GB_SIPHASH_KEY], message[300], sum[16];

    (void) state;

    for (n = 0; n < sizeof(message); n++) {
        message[n] = (unsigned char) (n * 131 + 7);
    }

    for (n = 0; n < sizeof(key); n++) {
        key[n] = (unsigned char) (251 - n * 13);
    }

    mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    assert_non_null(mac);

    for (n = 0; n <= sizeof(message); n++) {

        for (size = 8; size <= 16; size += 8) {
            params[0] = OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE,
                                                    &size);
            params[1] = OSSL_PARAM_construct_end();

            ctx = EVP_MAC_CTX_new(mac);
            assert_int_equal(EVP_MAC_init(ctx, key, sizeof(key), params), 1);
            assert_int_equal(EVP_MAC_update(ctx, message, n), 1);
            assert_int_equal(EVP_MAC_final(ctx, sum, &out, sizeof(sum)), 1);
            EVP_MAC_CTX_free(ctx);

            if (size == 8) {
                digest[0] = gb_siphash(key, message, n);

            } else {
                gb_siphash128(key, message, n, digest);
            }

            assert_memory_equal(digest, sum, size);
        }
    }

    EVP_MAC_free(mac);
}


/* cut anywhere */

static void
test_stem(void **state)
{
    size_t             i, n, cut;
    uint64_t           digest[2], whole[2];
    unsigned char      key[GB_SIPHASH_KEY], message[40], other[40];
    gb_siphash_stem_t  stem;

    (void) state;

    memset(key, 7, sizeof(key));

    for (n = 0; n <= sizeof(message); n++) {

        for (cut = 0; cut <= n; cut++) {

            for (i = 0; i < n; i++) {
                message[i] = (unsigned char) (i * 131 + 7);
                other[i] = (unsigned char) (message[i] + (i >= cut));
            }

            gb_siphash128_stem(&stem, key, other, cut);
            assert_int_equal(stem.len, cut & ~(size_t) 7);

            gb_siphash128(key, message, n, whole);
            gb_siphash128_rest(&stem, message, n, digest);
            assert_memory_equal(digest, whole, sizeof(digest));

            gb_siphash128(key, other, n, whole);
            gb_siphash128_rest(&stem, other, n, digest);
            assert_memory_equal(digest, whole, sizeof(digest));
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_like_openssl),
        cmocka_unit_test(test_stem)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
