/* Draws of the Mersenne Twister MT19937, the numbers and the state of NumPy's `np.random.rand` (Matsumoto & Nishimura
 * 1998, "Mersenne Twister: a 623-dimensionally equidistributed uniform pseudo-random number generator", ACM TOMACS 8).
 *
 * a) The state is 624 words, and the place of the word to be drawn next. All words are made anew when the last is used
 *    up: in loops over neighbours, which compilers turn into vectors, as they do with the tempering of what is drawn.
 * b) u takes two words, (a >> 5) 2^26 + (b >> 6) over 2^53, a 53-bit number in [0, 1). It is compared before the
 *    division: by a power of 2, it rounds nothing. */

#ifndef FN_MERSENNE
#define FN_MERSENNE 624        /* words of state */
#define FN_MERSENNE_SHIFT 397  /* the m of the recurrence */
#define FN_MERSENNE_DRAWN 1024 /* words drawn at once; 4 KiB of stack */

/* The recurrence for the word before `next`: (upper bit of word, lower bits of next) times the matrix A. */
static inline uint32_t fn_mersenne_twist(uint32_t word, uint32_t next)
{
    return ((word & 0x80000000u) | (next & 0x7FFFFFFFu)) >> 1 ^ ((0u - (next & 1u)) & 0x9908B0DFu);
}

static void fn_mersenne_renew(uint32_t *key)
{
    const int left = FN_MERSENNE - FN_MERSENNE_SHIFT;
    for (int i = 0; i < left; i++) key[i] = key[i + FN_MERSENNE_SHIFT] ^ fn_mersenne_twist(key[i], key[i + 1]);
    for (int i = left; i < FN_MERSENNE - 1; i++) key[i] = key[i - left] ^ fn_mersenne_twist(key[i], key[i + 1]);
    key[FN_MERSENNE - 1] = key[FN_MERSENNE_SHIFT - 1] ^ fn_mersenne_twist(key[FN_MERSENNE - 1], key[0]);
}

/* The next `count` words; state[FN_MERSENNE] is the place. */
static void fn_mersenne_draw(uint32_t *words, int64_t count, uint32_t *state)
{
    int64_t at = state[FN_MERSENNE];
    while (count > 0) {
        if (at >= FN_MERSENNE) { /* also where somebody has set a place that there is not */
            fn_mersenne_renew(state);
            at = 0;
        }
        const int64_t some = count < FN_MERSENNE - at ? count : FN_MERSENNE - at;
        const uint32_t *const key = state + at;
        for (int64_t i = 0; i < some; i++) {
            uint32_t word = key[i];
            word ^= word >> 11;
            word ^= word << 7 & 0x9D2C5680u;
            word ^= word << 15 & 0xEFC60000u;
            words[i] = word ^ word >> 18;
        }
        words += some;
        count -= some;
        at += some;
    }
    state[FN_MERSENNE] = (uint32_t)at;
}
#endif

FN_DEFINE(uniform_above)
{
    if (part->index != 0) return;
    FN_T *const y = a->y;
    uint32_t words[FN_MERSENNE_DRAWN];
    const double limit = a->limit * 0x1p53;
    for (int64_t begin = 0; begin < a->n; begin += FN_MERSENNE_DRAWN / 2) {
        const int64_t count = a->n - begin < FN_MERSENNE_DRAWN / 2 ? a->n - begin : FN_MERSENNE_DRAWN / 2;
        fn_mersenne_draw(words, 2 * count, (uint32_t *)a->state);
        for (int64_t i = 0; i < count; i++) {
            const double u = (double)(int32_t)(words[2 * i] >> 5) * 0x1p26 + (double)(int32_t)(words[2 * i + 1] >> 6);
            y[begin + i] = u > limit ? 1 : 0;
        }
    }
}
