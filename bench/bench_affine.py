"""The three products of an affine layer: their share of the multiply-add rate, and their speed beside NumPy's BLAS."""

from jobs import DTYPES, Job

from fusednet.backends.table import Activation

SHARES = (((1024, 1024, 1024), 0.90), ((128, 256, 256), 0.75), ((64, 64, 64), 0.60))
"""(m, k, n) and the wanted share of the multiply-add rate."""

PRODUCTS = {"affine_fwd": "x w", "affine_bwd_dx": "dy w^T", "affine_bwd_dw": "x^T dy"}


def product(kernel: str, shape: tuple[int, int, int], dtype: str, **others) -> Job:
    """One of the products alone, of an m by k times k by n layer: no bias, no activation."""
    m, k, n = shape
    absent = frozenset({"z", "b", "s", "db"})
    others = {"flop": 2.0 * m * n * k, "name": PRODUCTS[kernel], **others}
    return Job(kernel, dtype, {"m": m, "k": k, "n": n}, absent=absent, **others)


def jobs(levels: dict[str, int], threads: int):
    """Products with a wanted share, and whole layers with all that is fused to them."""
    for dtype in DTYPES:
        for shape, share in SHARES:
            if threads > 1 and shape == (64, 64, 64):
                continue  # too little work to divide: one thread does it whatever is allowed
            for kernel in PRODUCTS:
                yield product(kernel, shape, dtype, share=share)
    for dtype in DTYPES:
        for m, k, n in ((256, 784, 512), (128, 256, 256)):
            sizes, flop = {"m": m, "k": k, "n": n}, 2.0 * m * n * k
            for kind in (Activation.RELU, Activation.TANH):
                fused = {"kind": int(kind)}
                name = kind.name.lower()
                yield Job("affine_fwd", dtype, sizes, fused, f"bias + {name}", absent=frozenset("z"), flop=flop)
                yield Job("affine_bwd_dx", dtype, sizes, fused, f"{name}'", flop=flop)
            yield Job("affine_bwd_dw", dtype, sizes, name="with db", flop=flop)


def comparisons():
    """Every shape of the case list, to be never slower than BLAS."""
    from cases import GEMM_SHAPES

    for kernel in PRODUCTS:
        for dtype in DTYPES:
            for shape in GEMM_SHAPES:
                yield product(kernel, shape, dtype, ratio=1.0)


def bench_affine(job, measure):
    measure(job)
