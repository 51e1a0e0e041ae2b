/* Ceilings: what the instruction set can do at best on this machine, and the vector functions as plain loops.
 *
 * a) The multiply-add probe keeps FN_PROBE_CHAINS independent chains in registers: enough to cover the latency of every
 *    unit, few enough for sixteen registers.
 * b) The memory probes read, write or update one array in order with the widest loads and stores. `write` goes past the
 *    caches only where the array is larger than FN_STREAM_BYTES, as the kernels do.
 * c) `dot` is the same of bfloat16 pairs, two multiply-adds a lane, or of the matrix unit's registers, where there are
 *    such units.
 * d) FN_PROBE_PASS ends a pass over the array: without it a compiler may join two passes into one. */

#ifndef FN_PROBE_CHAINS
#define FN_PROBE_CHAINS 12
#define FN_PROBE_FLOP(lanes) (2 * FN_PROBE_CHAINS * 64 * (lanes))
#define FN_PROBE_SQUARES 64
#define FN_PROBE_PASS() __asm__ volatile("" ::: "memory")
#endif

static double FN_NAME(fn_probe_fma)(int64_t repeat)
{
    V acc[FN_PROBE_CHAINS];
    volatile FN_T seed = FN_C(1);
    const V a = VF(set1)(seed), b = VF(set1)(seed - FN_C(0.5));
    for (int c = 0; c < FN_PROBE_CHAINS; c++) acc[c] = VF(set1)((FN_T)c);
    for (int64_t r = 0; r < repeat; r++)
        for (int step = 0; step < 64; step++)
#pragma GCC unroll 12
            for (int c = 0; c < FN_PROBE_CHAINS; c++) acc[c] = VF(fma)(acc[c], b, a);
    V total = acc[0];
    for (int c = 1; c < FN_PROBE_CHAINS; c++) total = VF(add)(total, acc[c]);
    return (double)VF(sum)(total);
}

#if FN_BF16 && FN_IS_f32
static double fn_probe_dot_f32(int64_t repeat)
{
    V acc[FN_PROBE_CHAINS];
    volatile float seed = 1.0f;
    const V a = v_words_f32(VF(set1)(seed), VF(set1)(seed)), b = v_words_f32(VF(set1)(seed - 0.5f), VF(set1)(seed));
    for (int c = 0; c < FN_PROBE_CHAINS; c++) acc[c] = VF(set1)((float)c);
    for (int64_t r = 0; r < repeat; r++)
        for (int step = 0; step < 64; step++)
#pragma GCC unroll 12
            for (int c = 0; c < FN_PROBE_CHAINS; c++) acc[c] = v_dot_f32(a, b, acc[c]);
    V total = acc[0];
    for (int c = 1; c < FN_PROBE_CHAINS; c++) total = VF(add)(total, acc[c]);
    return (double)VF(sum)(total);
}
#endif

#if FN_AMX && FN_IS_f32
static double fn_probe_dot_f32(int64_t repeat)
{
    float a[2 * FN_WORDS] __attribute__((aligned(64))), sums[FN_ACROSS * FN_ACROSS] __attribute__((aligned(64)));
    for (int i = 0; i < 2 * FN_WORDS; i++) a[i] = 0.5f;
    fn_unit_settings before;
    fn_unit_begin(&before);
    __asm__ volatile("" ::: "memory");
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + FN_WORDS, 64);
    _tile_loadd(6, a, 64);
    _tile_loadd(7, a + FN_WORDS, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t r = 0; r < repeat * FN_PROBE_SQUARES; r += 4) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, FN_ACROSS * 4);
    fn_unit_end(&before);
    return sums[0];
}
#endif

static double FN_NAME(fn_probe_read)(const void *x, int64_t n, int64_t repeat)
{
    const FN_T *p = x;
    V acc[8];
    for (int c = 0; c < 8; c++) acc[c] = VF(set1)(0);
    for (int64_t r = 0; r < repeat; r++) {
        for (int64_t i = 0; i < n; i += 8 * LANES)
#pragma GCC unroll 8
            for (int c = 0; c < 8; c++) acc[c] = VF(max)(acc[c], VF(load)(p + i + c * LANES));
        FN_PROBE_PASS();
    }
    for (int c = 1; c < 8; c++) acc[0] = VF(add)(acc[0], acc[c]);
    return (double)VF(sum)(acc[0]);
}

static double FN_NAME(fn_probe_write)(void *y, int64_t n, int64_t repeat)
{
    FN_T *p = y;
    const int stream = n * (int64_t)sizeof(FN_T) > FN_STREAM_BYTES;
    for (int64_t r = 0; r < repeat; r++) {
        const V value = VF(set1)((FN_T)r);
        if (stream)
            for (int64_t i = 0; i < n; i += LANES) VF(stream)(p + i, value);
        else
            for (int64_t i = 0; i < n; i += 8 * LANES)
#pragma GCC unroll 8
                for (int c = 0; c < 8; c++) VF(store)(p + i + c * LANES, value);
        FN_PROBE_PASS();
    }
    v_fence();
    return (double)p[n - 1];
}

static double FN_NAME(fn_probe_update)(void *y, int64_t n, int64_t repeat)
{
    FN_T *p = y;
    const V one = VF(set1)(1);
    for (int64_t r = 0; r < repeat; r++) {
        for (int64_t i = 0; i < n; i += 8 * LANES)
#pragma GCC unroll 8
            for (int c = 0; c < 8; c++) VF(store)(p + i + c * LANES, VF(add)(VF(load)(p + i + c * LANES), one));
        FN_PROBE_PASS();
    }
    return (double)p[n - 1];
}

static void FN_NAME(fn_math_exp)(void *y, const void *x, int64_t n)
{
    FN_T *out = y;
    const FN_T *in = x;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) VF(store)(out + i, FN_NAME(fn_exp)(VF(load)(in + i)));
    if (i < n) VF(store_part)(out + i, FN_NAME(fn_exp)(VF(load_part)(in + i, n - i)), n - i);
}

static void FN_NAME(fn_math_tanh)(void *y, const void *x, int64_t n)
{
    FN_T *out = y;
    const FN_T *in = x;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) VF(store)(out + i, FN_NAME(fn_tanh)(VF(load)(in + i)));
    if (i < n) VF(store_part)(out + i, FN_NAME(fn_tanh)(VF(load_part)(in + i, n - i)), n - i);
}
