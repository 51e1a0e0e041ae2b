/* Large products of floats rounded to bfloat16, summed in float: what `precision` allows where the processor multiplies
 * such numbers faster (FN_BF16, set by isa_<isa>.c). Read after gemm_impl.h, whose micro-kernel, panels and rectangles
 * it uses.
 *
 * a) Two neighbours in k lie together in a word of 32 bits, and one instruction adds both products to a sum. A "row" of
 *    packed A or B is thus a pair of k; to the micro-kernel a word is a float that it only moves.
 * b) Operands are rounded (to nearest, ties to even) while they are packed, so both are always packed.
 * c) Which products are done so is decided by the whole problem's shape, never by a part's: the bits do not depend on the
 *    number of threads. */

/* Copies rows [i0, i1) of A, k values from p, as words: into rows (ca == 1) or into rows of the transposed block (ra ==
 * 1), padded as fn_pack_a does. */
static void fn_pack_a_words(float *to, const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t p, int64_t k, int64_t *ra,
                            int64_t *ca)
{
    const float *from = g->a + i0 * g->ra + p * g->ca;
    const int64_t rows = i1 - i0, pairs = (k + 1) / 2;
    const int64_t ld = ((g->ca == 1 ? pairs : rows) + 15) / 16 * 16 + FN_ROW_PAD;
    if (g->ca == 1) {
        for (int64_t i = 0; i < rows; i++, from += g->ra, to += ld)
            for (int64_t q = 0; q < k; q += 32) {
                __builtin_prefetch(from + 2 * g->ra + q);
                const v_f32 low = fn_load_f32(from + q, k - q < 16 ? k - q : 16);
                const v_f32 high = k - q <= 16 ? v_set1_f32(0) : fn_load_f32(from + q + 16, k - q < 32 ? k - q - 16 : 16);
                v_store_f32(to + q / 2, v_words_f32(low, high));
            }
        *ra = ld;
        *ca = 1;
        return;
    }
    for (int64_t q = 0; q < pairs; q++, from += 2 * g->ca, to += ld)
        for (int64_t i = 0; i < rows; i += 16) {
            const int64_t count = rows - i < 16 ? rows - i : 16;
            __builtin_prefetch(from + 2 * g->ca + i);
            __builtin_prefetch(from + 3 * g->ca + i);
            const v_f32 first = fn_load_f32(from + i, count);
            const v_f32 second = 2 * q + 1 < k ? fn_load_f32(from + g->ca + i, count) : v_set1_f32(0);
            v_store_f32(to + i, v_pairs_f32(first, second));
        }
    *ra = 1;
    *ca = ld;
}

/* Copies columns [j, j + width) of B, k values from p, as words, into panels of nr columns as fn_pack_b does (panel c at
 * to + c*nr*pairs). */
static void fn_pack_b_words(float *to, const fn_product_f32 *g, int64_t j, int64_t width, int64_t nr, int64_t p, int64_t k)
{
    const int64_t pairs = (k + 1) / 2, padded = (width + nr - 1) / nr * nr;
    if (g->cb == 1) {
        for (int64_t group = 0; group < padded; group += FN_PACK_PANELS * nr) {
            const int64_t end = padded - group < FN_PACK_PANELS * nr ? padded : group + FN_PACK_PANELS * nr;
            for (int64_t q = 0; q < pairs; q++) {
                const float *from = g->b + (p + 2 * q) * g->rb + j;
                for (int64_t x = group; x < end; x += 16) {
                    const int64_t left = width - x < 0 ? 0 : width - x < 16 ? width - x : 16;
                    __builtin_prefetch(from + 4 * g->rb + x);
                    __builtin_prefetch(from + 5 * g->rb + x);
                    const v_f32 first = fn_load_f32(from + x, left);
                    const v_f32 second = 2 * q + 1 < k ? fn_load_f32(from + g->rb + x, left) : v_set1_f32(0);
                    v_store_f32(to + x / nr * nr * pairs + q * nr + x % nr, v_pairs_f32(first, second));
                }
            }
        }
        return;
    }
    for (int64_t x = 0; x < padded; x += 16) {
        const float *from = g->b + (j + x) * g->cb + p;
        float *column = to + x / nr * nr * pairs + x % nr;
        for (int64_t q = 0; q < k; q += 32) {
            float square[16 * 16] __attribute__((aligned(64)));
            for (int64_t lane = 0; lane < 16; lane++) {
                const int there = x + lane < width;
                const float *row = from + lane * g->cb + q;
                const v_f32 low = there ? fn_load_f32(row, k - q < 16 ? k - q : 16) : v_set1_f32(0);
                const v_f32 high = there && k - q > 16 ? fn_load_f32(row + 16, k - q < 32 ? k - q - 16 : 16) : v_set1_f32(0);
                v_store_f32(square + lane * 16, v_words_f32(low, high));
            }
            if (q / 2 + 16 <= pairs) {
                v_transpose_f32(column + q / 2 * nr, nr, square, 16);
            } else {
                float turned[16 * 16] __attribute__((aligned(64)));
                v_transpose_f32(turned, 16, square, 16);
                for (int64_t r = 0; q / 2 + r < pairs; r++) v_store_f32(column + (q / 2 + r) * nr, v_load_f32(turned + r * 16));
            }
        }
    }
}

/* Rows [i0, i1) by columns [j0, j1), as fn_blocked. */
static void fn_blocked_words(const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, float *scratch)
{
    const int64_t nr = FN_NV(FN_MR) * 16, mc = 6 * FN_MR, kc = 2 * FN_KC;
    const int64_t nc = FN_NC_BYTES / (FN_KC * (int64_t)sizeof(float)) / nr * nr;
    const int64_t kblocks = (g->k + kc - 1) / kc, mblocks = (i1 - i0 + mc - 1) / mc;
    float *const packed_b = scratch, *const packed_a = scratch + FN_NC_BYTES / sizeof(float);
    for (int64_t jc = j0; jc < j1; jc += nc) {
        const int64_t jend = j1 - jc < nc ? j1 : jc + nc;
        for (int64_t kb = 0; kb < kblocks; kb++) {
            const int64_t p = fn_even(g->k / 2, kblocks, kb) * 2;
            const int64_t k = (kb == kblocks - 1 ? g->k : fn_even(g->k / 2, kblocks, kb + 1) * 2) - p, pairs = (k + 1) / 2;
            fn_pack_b_words(packed_b, g, jc, jend - jc, nr, p, k);
            for (int64_t mb = 0; mb < mblocks; mb++) {
                const int64_t i = i0 + fn_even(i1 - i0, mblocks, mb), iend = i0 + fn_even(i1 - i0, mblocks, mb + 1);
                int64_t ra, ca;
                fn_pack_a_words(packed_a, g, i, iend, p, k, &ra, &ca);
                for (int64_t j = jc; j < jend; j += nr)
                    fn_panel_f32(g, fn_ukrs_words, i, iend, j, jend - j < nr ? jend - j : nr, pairs, packed_a, ra, ca,
                                 packed_b + (j - jc) * pairs, nr, kb == 0, kb == kblocks - 1, 0, NULL);
            }
        }
    }
}
