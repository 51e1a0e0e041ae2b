/* Dropout: zeros where the random word of an element is below the threshold, the scaled input elsewhere.
 *
 * a) The words are those of base/rng.h, FN_LANES_f32 blocks at once. In the first two rounds half of the products are
 *    of words that all blocks share; they are taken once, outside the loop.
 * b) Parts are whole groups of 64 elements, in which every vector of words is used up; but where parts are given rows, a
 *    group may belong to two, each of which makes all of its words.
 * c) Dropped is exactly 0, whatever x holds there: a selection, not a product. */

#ifndef FN_DROPOUT_WORDS
#define FN_DROPOUT_WORDS

#define FN_DROPOUT_AHEAD 1024 /* elements, a few hundred cycles of work */

static const uint32_t fn_block_lane[FN_RANDOM_BLOCKS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* What the blocks of one (seed, step, op) with one high word share. */
typedef struct {
    v_u32 key0[FN_PHILOX_ROUNDS], key1[FN_PHILOX_ROUNDS];
    v_u32 first2;                   /* round 0: c3 ^ k1, joins word 2 */
    v_u32 second0, second2, second3; /* round 1: c1 ^ k0 joins word 0; hi(M0 c0) ^ k1 joins word 2; word 3 */
} fn_random_shared;

static inline void fn_random_share(fn_random_shared *s, int64_t seed, int64_t step, int64_t op, uint64_t block)
{
    const uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)((uint64_t)seed >> 32);
    for (uint32_t round = 0; round < FN_PHILOX_ROUNDS; round++) {
        s->key0[round] = v_set1_u32(k0 + round * FN_PHILOX_W0);
        s->key1[round] = v_set1_u32(k1 + round * FN_PHILOX_W1);
    }
    const uint64_t p1 = (uint64_t)FN_PHILOX_M1 * (uint32_t)step;
    s->first2 = v_set1_u32((uint32_t)((uint64_t)step >> 32) ^ k1);
    s->second0 = v_set1_u32((uint32_t)p1 ^ (k0 + FN_PHILOX_W0));
    const uint64_t p0 = (uint64_t)FN_PHILOX_M0 * ((uint32_t)(p1 >> 32) ^ fn_random_place(op, block) ^ k0);
    s->second2 = v_set1_u32((uint32_t)(p0 >> 32) ^ (k1 + FN_PHILOX_W1));
    s->second3 = v_set1_u32((uint32_t)p0);
}

/* The words of the blocks from `block` on, one in each lane. */
FN_INLINE void fn_random_lanes(v_u32 words[4], const fn_random_shared *s, uint32_t block)
{
    v_u32 high0, high1;
    const v_u32 lanes = v_add_u32(v_set1_u32(block), v_load_u32(fn_block_lane));
    const v_u32 low0 = v_mul_u32(lanes, FN_PHILOX_M0, &high0);
    v_u32 c1 = v_mul_u32(v_xor_u32(high0, s->first2), FN_PHILOX_M1, &high1);
    v_u32 c0 = v_xor_u32(high1, s->second0), c2 = v_xor_u32(low0, s->second2), c3 = s->second3;
#pragma GCC unroll 5
    for (int round = 2; round < FN_PHILOX_ROUNDS; round++) {
        const v_u32 low = v_mul_u32(c0, FN_PHILOX_M0, &high0), other = v_mul_u32(c2, FN_PHILOX_M1, &high1);
        c0 = v_xor_u32(v_xor_u32(high1, c1), s->key0[round]);
        c1 = other;
        c2 = v_xor_u32(v_xor_u32(high0, c3), s->key1[round]);
        c3 = low;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

/* The mask of a vector of words as masks of the dtype's vectors: of all lanes, or of one half of them. */
static inline m_f32 fn_word_mask_f32(m_f32 mask, int half)
{
    (void)half;
    return mask;
}
static inline m_f64 fn_word_mask_f64(m_f32 mask, int half)
{
    const v_f32 truth = v_select_f32(mask, v_set1_f32(1), v_set1_f32(0));
    return v_gt_f64(half ? v_high_f64(truth) : v_low_f64(truth), v_set1_f64(0));
}
#endif

/* One group: the `left` elements from y and x on, at most FN_RANDOM_GROUP; no test remains where left is that. */
FN_INLINE void FN_NAME(fn_dropout_group)(FN_T *y, const FN_T *x, int64_t left, const fn_random_shared *s,
                                         uint32_t block, v_u32 threshold, V scale, int stream)
{
    const V zero = VF(set1)(0);
    for (int b = 0; b < FN_RANDOM_BLOCKS; b += FN_LANES_f32) {
        v_u32 words[4];
        fn_random_lanes(words, s, block + (uint32_t)b);
#pragma GCC unroll 4
        for (int word = 0; word < 4; word++) {
            const m_f32 drop = v_below_u32(words[word], threshold);
#pragma GCC unroll 2
            for (int half = 0; half < FN_LANES_f32 / LANES; half++) {
                const int64_t i = word * FN_RANDOM_BLOCKS + b + half * LANES;
                const VM zeroed = FN_NAME(fn_word_mask)(drop, half);
                if (i + LANES <= left) {
                    /* a compiler may make one masked load of load and selection; it starts no hardware prefetch */
                    __builtin_prefetch((const void *)((uintptr_t)(x + i) + FN_DROPOUT_AHEAD * sizeof(FN_T)));
                    const V value = VF(select)(zeroed, zero, VF(mul)(scale, VF(load)(x + i)));
                    if (stream)
                        VF(stream)(y + i, value);
                    else
                        VF(store)(y + i, value);
                } else if (i < left) {
                    const V value = VF(select)(zeroed, zero, VF(mul)(scale, VF(load_part)(x + i, left - i)));
                    VF(store_part)(y + i, value, left - i);
                }
            }
        }
    }
}

/* Groups [group, end), whose blocks have one high word. */
FN_INLINE void FN_NAME(fn_dropout_groups)(const FN_NAME(fn_dropout_args) *a, int64_t group, int64_t end,
                                          uint32_t threshold, int stream)
{
    FN_T *const y = a->y; /* copies that no store can alias */
    const FN_T *const x = a->x;
    const int64_t n = a->n;
    const v_u32 limit = v_set1_u32(threshold);
    const V scale = VF(set1)(FN_C(a->scale));
    fn_random_shared shared;
    fn_random_share(&shared, a->seed, a->step, a->op, (uint64_t)group * FN_RANDOM_BLOCKS);
    for (; group < end; group++) {
        const int64_t i = group * FN_RANDOM_GROUP, left = n - i;
        const uint32_t block = (uint32_t)(group * FN_RANDOM_BLOCKS);
        if (left >= FN_RANDOM_GROUP)
            FN_NAME(fn_dropout_group)(y + i, x + i, FN_RANDOM_GROUP, &shared, block, limit, scale, stream);
        else
            FN_NAME(fn_dropout_group)(y + i, x + i, left, &shared, block, limit, scale, 0);
    }
}

/* Elements [begin, end) of one group, not all of it. */
static void FN_NAME(fn_dropout_some)(const FN_NAME(fn_dropout_args) *a, int64_t begin, int64_t end, uint32_t threshold)
{
    FN_T x[FN_RANDOM_GROUP] = {0}, y[FN_RANDOM_GROUP];
    const int64_t group = begin / FN_RANDOM_GROUP, at = begin % FN_RANDOM_GROUP;
    const uint64_t block = (uint64_t)group * FN_RANDOM_BLOCKS;
    fn_random_shared shared;
    fn_random_share(&shared, a->seed, a->step, a->op, block);
    memcpy(x + at, a->x + begin, (size_t)(end - begin) * sizeof(FN_T));
    FN_NAME(fn_dropout_group)(y, x, FN_RANDOM_GROUP, &shared, (uint32_t)block, v_set1_u32(threshold),
                              VF(set1)(FN_C(a->scale)), 0);
    memcpy(a->y + begin, y + at, (size_t)(end - begin) * sizeof(FN_T));
}

/* This part's elements: whole groups of its share, or its rows. */
static void FN_NAME(fn_dropout_split)(int64_t n, const fn_part *part, int64_t *begin, int64_t *end)
{
    if (part->rows > 0)
        fn_split_rows(n, 1, part, begin, end);
    else
        fn_split(n, FN_RANDOM_GROUP, part->index, part->count, begin, end);
}

FN_DEFINE(dropout)
{
    const uint64_t threshold = fn_random_threshold(a->rate);
    /* a lane belongs to a place in the group: vectors of y are aligned or they are not */
    const int stream = FN_STREAMS(a->n, a->y != a->x) && FN_NAME(fn_unaligned)(a->y, LANES) == 0;
    int64_t begin, end;
    FN_NAME(fn_dropout_split)(a->n, part, &begin, &end);
    if (begin >= end) return;
    if (threshold > UINT32_MAX) {
        memset(a->y + begin, 0, (size_t)(end - begin) * sizeof(FN_T));
        return;
    }
    if (begin % FN_RANDOM_GROUP) {
        const int64_t next = (begin / FN_RANDOM_GROUP + 1) * FN_RANDOM_GROUP;
        FN_NAME(fn_dropout_some)(a, begin, next < end ? next : end, (uint32_t)threshold);
        begin = next;
    }
    const int64_t rest = end < a->n && end > begin ? end % FN_RANDOM_GROUP : 0;
    int64_t group = begin / FN_RANDOM_GROUP;
    const int64_t last = (end - rest + FN_RANDOM_GROUP - 1) / FN_RANDOM_GROUP;
    while (group < last) {
        /* until the high word of the blocks changes, every 2^32 of them */
        const int64_t same = ((group >> 28) + 1) << 28, stop = same < last ? same : last;
        if (stream)
            FN_NAME(fn_dropout_groups)(a, group, stop, (uint32_t)threshold, 1);
        else
            FN_NAME(fn_dropout_groups)(a, group, stop, (uint32_t)threshold, 0);
        group = stop;
    }
    if (rest) FN_NAME(fn_dropout_some)(a, end - rest, end, (uint32_t)threshold);
    if (stream) v_fence();
}
