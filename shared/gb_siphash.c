/*
 * SipHash-2-4.
 */

#include "gb_siphash.h"

#include <string.h>


#define gb_siphash_rotl(x, n)  ((x) << (n) | (x) >> (64 - (n)))

#define gb_siphash_round(v)                                                   \
    do {                                                                      \
        v[0] += v[1];                                                         \
        v[2] += v[3];                                                         \
        v[1] = gb_siphash_rotl(v[1], 13) ^ v[0];                              \
        v[3] = gb_siphash_rotl(v[3], 16) ^ v[2];                              \
        v[0] = gb_siphash_rotl(v[0], 32);                                     \
        v[2] += v[1];                                                         \
        v[0] += v[3];                                                         \
        v[1] = gb_siphash_rotl(v[1], 17) ^ v[2];                              \
        v[3] = gb_siphash_rotl(v[3], 21) ^ v[0];                              \
        v[2] = gb_siphash_rotl(v[2], 32);                                     \
    } while (0)


static inline void gb_siphash_start(uint64_t v[4], const unsigned char *key);
static inline size_t gb_siphash_words(uint64_t v[4], const unsigned char *p,
    size_t len);
static inline void gb_siphash_word_absorb(uint64_t v[4], uint64_t word);
static inline void gb_siphash_tail(uint64_t v[4], const unsigned char *p,
    size_t n, size_t len);
static inline uint64_t gb_siphash_word(const unsigned char *p);
static inline uint64_t gb_siphash_end(uint64_t v[4]);


uint64_t
gb_siphash(const unsigned char *key, const void *data, size_t len)
{
    size_t    n;
    uint64_t  v[4];

    v[1] = 0;
    gb_siphash_start(v, key);

    n = gb_siphash_words(v, data, len);
    gb_siphash_tail(v, (const unsigned char *) data + n, len - n, len);

    v[2] ^= 0xff;

    return gb_siphash_end(v);
}


void
gb_siphash128(const unsigned char *key, const void *data, size_t len,
    uint64_t digest[2])
{
    gb_siphash_stem_t  stem;

    gb_siphash128_stem(&stem, key, data, len);
    gb_siphash128_rest(&stem, data, len, digest);
}


void
gb_siphash128_stem(gb_siphash_stem_t *stem, const unsigned char *key,
    const void *data, size_t len)
{
    stem->v[1] = 0xee;
    gb_siphash_start(stem->v, key);

    stem->len = gb_siphash_words(stem->v, data, len);
}


void
gb_siphash128_rest(const gb_siphash_stem_t *stem, const void *data, size_t len,
    uint64_t digest[2])
{
    size_t                n;
    uint64_t              v[4];
    const unsigned char  *p;

    memcpy(v, stem->v, sizeof(v));

    p = (const unsigned char *) data + stem->len;
    n = gb_siphash_words(v, p, len - stem->len);

    gb_siphash_tail(v, p + n, len - stem->len - n, len);

    v[2] ^= 0xee;
    digest[0] = gb_siphash_end(v);

    v[1] ^= 0xdd;
    digest[1] = gb_siphash_end(v);
}


/* v[1] says which variant it is */

static inline void
gb_siphash_start(uint64_t v[4], const unsigned char *key)
{
    v[1] ^= gb_siphash_word(key + 8) ^ 0x646f72616e646f6dULL;
    v[0] = gb_siphash_word(key) ^ 0x736f6d6570736575ULL;
    v[2] = gb_siphash_word(key) ^ 0x6c7967656e657261ULL;
    v[3] = gb_siphash_word(key + 8) ^ 0x7465646279746573ULL;
}


/* those of p that are whole; returns their bytes */

static inline size_t
gb_siphash_words(uint64_t v[4], const unsigned char *p, size_t len)
{
    size_t  n;

    for (n = 0; len - n >= 8; n += 8) {
        gb_siphash_word_absorb(v, gb_siphash_word(p + n));
    }

    return n;
}


/* the last n bytes, less than a word, of a text of len */

static inline void
gb_siphash_tail(uint64_t v[4], const unsigned char *p, size_t n, size_t len)
{
    unsigned char  tail[8];

    memset(tail, 0, sizeof(tail));

    if (n) {
        memcpy(tail, p, n);
    }

    tail[7] = (unsigned char) len;

    gb_siphash_word_absorb(v, gb_siphash_word(tail));
}


static inline void
gb_siphash_word_absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    gb_siphash_round(v);
    gb_siphash_round(v);
    v[0] ^= word;
}


static inline uint64_t
gb_siphash_word(const unsigned char *p)
{
    return (uint64_t) p[0] | (uint64_t) p[1] << 8 | (uint64_t) p[2] << 16
           | (uint64_t) p[3] << 24 | (uint64_t) p[4] << 32
           | (uint64_t) p[5] << 40 | (uint64_t) p[6] << 48
           | (uint64_t) p[7] << 56;
}


static inline uint64_t
gb_siphash_end(uint64_t v[4])
{
    gb_siphash_round(v);
    gb_siphash_round(v);
    gb_siphash_round(v);
    gb_siphash_round(v);

    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
