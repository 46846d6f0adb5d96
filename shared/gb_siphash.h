/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012), for keys of tables that a
 * client must not be able to fill at will, and for what stands there in place
 * of a token.  libcrypto has it, too, as an EVP_MAC that allocates and looks
 * its algorithm up by name for each digest: more than the digest itself.
 */

#ifndef GB_SIPHASH_H
#define GB_SIPHASH_H


#include <stddef.h>
#include <stdint.h>


#define GB_SIPHASH_KEY  16      /* bytes */


uint64_t gb_siphash(const unsigned char *key, const void *data, size_t len);

/* the variant with 128 bits, as two little-endian words */
void gb_siphash128(const unsigned char *key, const void *data, size_t len,
    uint64_t digest[2]);


/*
 * The same for texts that begin alike: gb_siphash128_stem() takes in what they
 * begin with, but for what does not fill a word at its end, and
 * gb_siphash128_rest() goes on with the rest of data, which is a whole text.
 */
typedef struct {
    uint64_t  v[4];
    size_t    len;          /* bytes taken in */
} gb_siphash_stem_t;


void gb_siphash128_stem(gb_siphash_stem_t *stem, const unsigned char *key,
    const void *data, size_t len);
void gb_siphash128_rest(const gb_siphash_stem_t *stem, const void *data,
    size_t len, uint64_t digest[2]);


#endif /* GB_SIPHASH_H */
