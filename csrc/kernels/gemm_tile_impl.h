/* The micro-kernel of a product: a tile of C in registers, one multiply-add per element and k, in order of k.
 * Included by gemm_impl.h, once per table and type.
 *
 * a) A tile is mr rows by nv vectors. The body below is instantiated for every (mr, nv) of the instruction set's lists
 *    (FN_UKR_LIST, FN_UKR_LIST_AHEAD, FN_UKR_LIST_WORDS, set by isa_<isa>.c), with and without a part vector at the end.
 * b) A tile of 12 rows by 2 vectors needs 12 numbers and 2 vectors of memory for 24 multiply-adds: a processor that
 *    issues four instructions a cycle has none to spare for addresses. So they are sums that it computes by itself
 *    (fn_ukr_step), or along a packed tile, constants (ra == 1). */

/* From one k of a packed tile of A to the next: whole vectors. */
#undef FN_TILE_LD
#define FN_TILE_LD ((FN_MR + LANES - 1) / LANES * LANES)
#undef FN_LINE
#define FN_LINE ((int)(64 / sizeof(FN_T)))

/* What a tile starts from and ends with. */
typedef struct {
    const FN_T *init; /* accumulators start from init[i*ldi + j]: bias (ldi 0), zeros (ldi 0), or C itself */
    int64_t ldi;
    FN_T floor;       /* C = max(C, floor): 0 is relu, -infinity nothing */
    const FN_T *mask; /* where given, C = C scale where mask[i*ldmask + j] > 0, else 0: relu's derivative */
    int64_t ldmask;
    FN_T scale;
    int unsigned_zero; /* C + 0 before floor and mask: -0 becomes 0 */
    int64_t count;    /* elements of the last vector of a row, where it is a part vector */
    int far;          /* C lies beyond L1 and L2's reach: that of the next tile is asked for */
    const FN_T *next; /* where the micro-kernel asks ahead: next[p*step] with each p */
    int64_t step;
} FN_NAME(fn_tile);

typedef void (*FN_NAME(fn_ukr))(int64_t k, const FN_T *a, int64_t ra, int64_t ca, const FN_T *b, int64_t rb, FN_T *c,
                                int64_t ldc, const FN_NAME(fn_tile) *t);

#undef FN_MULTIPLY_ADD
#if FN_BF16 && FN_IS_f32
#define FN_MULTIPLY_ADD(words, a, b, c) ((words) ? v_dot_f32(a, b, c) : v_fma_f32(a, b, c))
#else
#define FN_MULTIPLY_ADD(words, a, b, c) ((void)(words), VF(fma)(a, b, c))
#endif

/* One k of a tile: row i of A is at row[i / 5] + i % 5 `apart` + `at`, thrice `apart` being given: addresses that the
 * processor adds up. */
static inline __attribute__((always_inline)) void FN_NAME(fn_ukr_step)(
    const int mr, const int nv, const int part, const int words, V (*acc)[FN_NV_MAX], const char *const *row,
    int64_t apart, int64_t thrice, const int at, const FN_T *b, int64_t count)
{
    V y[FN_NV_MAX];
#pragma GCC unroll 8
    for (int v = 0; v < nv; v++)
        y[v] = part && v == nv - 1 ? VF(load_part)(b + v * LANES, count) : VF(load)(b + v * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        const V x = VF(set1)(*(const FN_T *)(row[i / 5] + (i % 5 == 3 ? thrice : i % 5 * apart) + at));
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) acc[i][v] = FN_MULTIPLY_ADD(words, x, y[v], acc[i][v]);
    }
}

/* c[i*ldc + j] = end(init + sum_p a[i*ra + p*ca] b[p*rb + j]), i < mr, j < nv vectors, the last one of t->count
 * elements if part. ra or ca is 1; c may be init. mr, nv, part, words and ahead are constants where it is inlined. */
static inline __attribute__((always_inline)) void FN_NAME(fn_ukr_body)(
    const int mr, const int nv, const int part, const int words, const int ahead, int64_t k, const FN_T *restrict a,
    int64_t ra, int64_t ca, const FN_T *restrict b, int64_t rb, FN_T *c, int64_t ldc, const FN_NAME(fn_tile) *t)
{
    V acc[FN_MR][FN_NV_MAX];
    if (t->ldi == 0) {
        V from[FN_NV_MAX];
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            from[v] = part && v == nv - 1 ? VF(load_part)(t->init + v * LANES, t->count) : VF(load)(t->init + v * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) acc[i][v] = from[v];
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) {
                const FN_T *from = t->init + i * t->ldi + v * LANES;
                acc[i][v] = part && v == nv - 1 ? VF(load_part)(from, t->count) : VF(load)(from);
            }
    }
    if (t->far)
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) __builtin_prefetch(c + (i + mr) * ldc + v * LANES, 1); /* the next tile's C */
    if (ra == 1) {
        const FN_T *next = ahead ? t->next : NULL;
        const int64_t step = ahead ? t->step : 0, word = sizeof(FN_T);
        const int64_t ask_a = k > FN_ASK_A ? FN_ASK_A * ca : 0, ask_b = k > FN_ASK_B ? FN_ASK_B * rb : 0;
        for (int64_t p = 0; p < k; p++) {
            const char *const row[3] = {(const char *)a, (const char *)(a + 5), (const char *)(a + 10)};
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) __builtin_prefetch(b + ask_b + v * LANES);
            for (int x = 0; FN_ASK_A > 0 && x < FN_TILE_LD; x += FN_LINE) __builtin_prefetch(a + ask_a + x);
            FN_NAME(fn_ukr_step)(mr, nv, part, words, acc, row, word, 3 * word, 0, b, t->count);
            if (ahead) {
                __builtin_prefetch(next, 0, 2);
                next += step;
            }
            a += ca;
            b += rb;
        }
    } else {
        const char *row[3] = {(const char *)a, (const char *)(a + 5 * ra), (const char *)(a + 10 * ra)};
        int64_t apart = ra * (int64_t)sizeof(FN_T), thrice = 3 * apart, p = 0;
        for (; p + 4 <= k; p += 4) {
            /* else the compiler keeps fourteen addresses, most of them in memory */
            __asm__ volatile("" : "+r"(row[0]), "+r"(row[1]), "+r"(row[2]), "+r"(apart), "+r"(thrice));
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++, b += rb)
                FN_NAME(fn_ukr_step)(mr, nv, part, words, acc, row, apart, thrice, q * (int)sizeof(FN_T), b, t->count);
            for (int r = 0; r < 3; r++) row[r] += 4 * sizeof(FN_T);
        }
        for (; p < k; p++, b += rb) {
            FN_NAME(fn_ukr_step)(mr, nv, part, words, acc, row, apart, thrice, 0, b, t->count);
            for (int r = 0; r < 3; r++) row[r] += sizeof(FN_T);
        }
    }
    const V zero = VF(set1)(0);
    if (FN_SPARSE && __builtin_expect(t->unsigned_zero, 0))
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) acc[i][v] = VF(add)(acc[i][v], zero);
    if (t->floor > -(FN_T)INFINITY || t->mask) {
        const V floor = VF(set1)(t->floor);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) acc[i][v] = VF(max)(floor, acc[i][v]);
    }
    if (t->mask) {
        const V scale = VF(set1)(t->scale);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) {
                const FN_T *from = t->mask + i * t->ldmask + v * LANES;
                const V s = part && v == nv - 1 ? VF(load_part)(from, t->count) : VF(load)(from);
                acc[i][v] = VF(select)(VF(gt)(s, zero), VF(mul)(scale, acc[i][v]), zero);
            }
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) {
            if (part && v == nv - 1)
                VF(store_part)(c + i * ldc + v * LANES, acc[i][v], t->count);
            else
                VF(store)(c + i * ldc + v * LANES, acc[i][v]);
        }
}

#define FN_WORDS 0
#define FN_AHEAD 0
#define FN_UKR(mr, nv, part) FN_NAME(fn_ukr_##mr##x##nv##x##part)
#define FN_UKR_DEFINE(mr, nv, part)                                                                           \
    static void FN_UKR(mr, nv, part)(int64_t k, const FN_T *a, int64_t ra, int64_t ca, const FN_T *b, int64_t rb, \
                                     FN_T *c, int64_t ldc, const FN_NAME(fn_tile) *t)                         \
    {                                                                                                         \
        FN_NAME(fn_ukr_body)(mr, nv, part, FN_WORDS, FN_AHEAD, k, a, ra, ca, b, rb, c, ldc, t);               \
    }
#define FN_UKR_BOTH(mr, nv) FN_UKR_DEFINE(mr, nv, 0) FN_UKR_DEFINE(mr, nv, 1)
FN_UKR_LIST(FN_UKR_BOTH)
#undef FN_UKR_BOTH

/* [mr - 1][nv - 1][part] */
static const FN_NAME(fn_ukr) FN_NAME(fn_ukrs)[FN_MR][FN_NV_MAX][2] = {
#define FN_UKR_BOTH(mr, nv) [mr - 1][nv - 1] = {FN_UKR(mr, nv, 0), FN_UKR(mr, nv, 1)},
    FN_UKR_LIST(FN_UKR_BOTH)
#undef FN_UKR_BOTH
};
#undef FN_UKR
#undef FN_AHEAD

/* Whole tiles that ask ahead, [mr - 1]; empty where the instruction set has none. */
#define FN_AHEAD 1
#define FN_UKR(mr, nv, part) FN_NAME(fn_ukr_ahead_##mr##x##nv##x##part)
#define FN_UKR_WHOLE(mr, nv) FN_UKR_DEFINE(mr, nv, 0)
FN_UKR_LIST_AHEAD(FN_UKR_WHOLE)
#undef FN_UKR_WHOLE
static const FN_NAME(fn_ukr) FN_NAME(fn_ukrs_ahead)[FN_MR] = {
    NULL,
#define FN_UKR_WHOLE(mr, nv) [mr - 1] = FN_UKR(mr, nv, 0),
    FN_UKR_LIST_AHEAD(FN_UKR_WHOLE)
#undef FN_UKR_WHOLE
};
#undef FN_UKR
#undef FN_AHEAD
#undef FN_WORDS
#if FN_BF16 && FN_IS_f32
#define FN_AHEAD 0
#define FN_WORDS 1
#define FN_UKR(mr, nv, part) fn_ukr_words_##mr##x##nv##x##part
#define FN_UKR_BOTH(mr, nv) FN_UKR_DEFINE(mr, nv, 0) FN_UKR_DEFINE(mr, nv, 1)
FN_UKR_LIST_WORDS(FN_UKR_BOTH)
#undef FN_UKR_BOTH
static const fn_ukr_f32 fn_ukrs_words[FN_MR][FN_NV_MAX][2] = {
#define FN_UKR_BOTH(mr, nv) [mr - 1][nv - 1] = {FN_UKR(mr, nv, 0), FN_UKR(mr, nv, 1)},
    FN_UKR_LIST_WORDS(FN_UKR_BOTH)
#undef FN_UKR_BOTH
};
#undef FN_UKR
#undef FN_AHEAD
#undef FN_WORDS
#endif
#undef FN_UKR_DEFINE
