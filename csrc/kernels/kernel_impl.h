/* Words in which every *_impl.h is written, for one dtype: FN_S (f32 or f64) and FN_T (float or double) are defined by
 * table_impl.h, which includes the impls once for each. No include guard on purpose.
 *
 *   V, VM, LANES      the vector, its mask, its lanes           VF(add)(a, b)    the operation for this dtype
 *   FN_NAME(x)        a helper's name for this dtype            FN_DEFINE(affine_fwd) { ... a->m ... part->index }
 *   FN_C(0.5)         a constant of FN_T                        FN_INLINE        always inlined: constant arguments
 *                                                                               of the call select its code */
#undef V
#undef VM
#undef VF
#undef LANES
#undef FN_NAME
#undef FN_DEFINE
#undef FN_C
#undef FN_INLINE

#define FN_PASTE2(a, b) a##_##b
#define FN_PASTE(a, b) FN_PASTE2(a, b)
#define FN_NAME(x) FN_PASTE(x, FN_S)
#define V FN_NAME(v)
#define VM FN_NAME(m)
#define VF(op) FN_PASTE(v_##op, FN_S)
#define LANES FN_PASTE(FN_LANES, FN_S)
#define FN_C(x) ((FN_T)(x))
#define FN_INLINE static inline __attribute__((always_inline))

/* static void fn_<name>_<dtype>(args, part), with `a` the arguments as their struct. */
#define FN_DEFINE(name)                                                                                 \
    static void FN_NAME(fn_##name##_body)(const FN_NAME(fn_##name##_args) *a, const fn_part *part);     \
    static void FN_NAME(fn_##name)(const void *args, const fn_part *part)                               \
    {                                                                                                   \
        FN_NAME(fn_##name##_body)((const FN_NAME(fn_##name##_args) *)args, part);                       \
    }                                                                                                   \
    static void FN_NAME(fn_##name##_body)(const FN_NAME(fn_##name##_args) *a, const fn_part *part)
