/* Counter-based random words: Philox4x32 with 7 rounds (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as
 * easy as 1, 2, 3"). Read by the dropout kernel, whose vector form gives the same words, and by the engine.
 *
 * a) A word is a function of (seed, step, op, i) and of nothing else: no state, any order, any number of threads.
 * b) seed is the key; the counter is (block, op, step): 2^48 blocks of four words, 2^16 ops, 2^64 steps.
 * c) Elements come in groups of 64. Group g uses the 16 blocks 16 g ... 16 g + 15, and element i of the group is word
 *    i / 16 of block i % 16: a vector of blocks gives runs of neighbouring elements without a shuffle.
 * d) 7 rounds are the fewest that pass TestU01's BigCrush in the paper's table 2. */
#ifndef FN_RNG_H
#define FN_RNG_H

#include <stdint.h>

#define FN_RANDOM_GROUP 64  /* elements whose words are made together */
#define FN_RANDOM_BLOCKS 16 /* blocks of such a group */

#define FN_PHILOX_ROUNDS 7
#define FN_PHILOX_M0 UINT32_C(0xD2511F53)
#define FN_PHILOX_M1 UINT32_C(0xCD9E8D57)
#define FN_PHILOX_W0 UINT32_C(0x9E3779B9)
#define FN_PHILOX_W1 UINT32_C(0xBB67AE85)

/* The second word of the counter: bits 32 to 47 of the block, and the op. */
static inline uint32_t fn_random_place(int64_t op, uint64_t block)
{
    return ((uint32_t)(block >> 32) & 0xFFFFu) | (uint32_t)((uint64_t)op & 0xFFFFu) << 16;
}

/* The four words of a block. */
static inline void fn_random_block(uint32_t words[4], int64_t seed, int64_t step, int64_t op, uint64_t block)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)((uint64_t)seed >> 32);
    uint32_t c0 = (uint32_t)block, c1 = fn_random_place(op, block);
    uint32_t c2 = (uint32_t)step, c3 = (uint32_t)((uint64_t)step >> 32);
    for (int round = 0; round < FN_PHILOX_ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)FN_PHILOX_M0 * c0, p1 = (uint64_t)FN_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += FN_PHILOX_W0;
        k1 += FN_PHILOX_W1;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

/* The word of element i >= 0. */
static inline uint32_t fn_random_word(int64_t seed, int64_t step, int64_t op, int64_t i)
{
    const uint64_t group = (uint64_t)i / FN_RANDOM_GROUP, within = (uint64_t)i % FN_RANDOM_GROUP;
    uint32_t words[4];
    fn_random_block(words, seed, step, op, group * FN_RANDOM_BLOCKS + within % FN_RANDOM_BLOCKS);
    return words[within / FN_RANDOM_BLOCKS];
}

/* A word is below this with probability rate: round(rate 2^32), ties to even, held between 0 and 2^32. */
static inline uint64_t fn_random_threshold(double rate)
{
    const double integral = 4503599627370496.0; /* 2^52: a double beyond it has no fraction left */
    const double scaled = rate * 4294967296.0;
    if (!(scaled > 0.0)) return 0;
    if (scaled >= 4294967296.0) return UINT64_C(1) << 32;
    return (uint64_t)((scaled + integral) - integral);
}

#endif
