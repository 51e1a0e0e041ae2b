"""How exact products of float32 matrices are; the words are PyTorch's and JAX's.

Reads errors.py and the kernel list; read by model.py, which compiles it into plans.

a) "highest" is as exact as float32 arithmetic. "high" and "medium" allow products of bfloat16 numbers, which have 8
   significant bits instead of 24, summed in float32, where the processor multiplies those faster. Weights stay float32.
b) They allow, they do not ask: a product may be more exact than its word. "medium" rounds both factors, once. "high"
   takes each factor in two parts and three products, "highest" three and six, where that is faster: on a matrix unit
   (AMX), whose six products are as exact as float32 sums (csrc/kernels/gemm_amx_impl.h). AVX-512 BF16 doubles the rate
   at most, which three products would not win by: "high" is float32 there.
c) Small products, float64, and machines without such units are float32 and float64 arithmetic whatever the word.
"""

from fusednet import errors
from fusednet.backends.table import PRECISIONS

_default = "highest"


def code(word: str | None, where: str = "compile") -> int:
    """The code of a word; None: of the default."""
    word = _default if word is None else word
    if word not in PRECISIONS:
        raise errors.unknown(where, "matmul_precision", word, PRECISIONS)
    return PRECISIONS.index(word)


def set_matmul_precision(precision: str) -> None:
    """Say how exact the products of float32 matrices are in all models that do not say it themselves.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}
        "highest" (the default): as exact as float32 arithmetic. "high": at least 16 significant bits of each factor.
        "medium": factors may be rounded to bfloat16, about 2 to 3 decimal digits, sums are float32. Large products are
        faster so where the processor has AMX (about 1.5 and 2.6 times, docs/precision.md) or AVX-512 BF16 ("medium"
        alone, about twice).

    Raises
    ------
    ValueError
        If the word is unknown.

    See Also
    --------
    fusednet.Sequential.compile : its `matmul_precision` says it for one model.
    """
    global _default
    code(precision, "set_matmul_precision")
    _default = precision


def get_matmul_precision() -> str:
    """What `set_matmul_precision` said.

    Returns
    -------
    {"highest", "high", "medium"}
        "highest" before anything was said.
    """
    return _default
