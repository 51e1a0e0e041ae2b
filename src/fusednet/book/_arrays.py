"""The dtype that the book's networks work in, and arrays made ready for kernels.

Read by the modules of this package only; reads nothing of it.

a) Layers work in the dtype of their weights; those without weights in float32 for float32 input, else in float64, as
   NumPy would. So the setting says only in which dtype `MultiLayerNet` and `MultiLayerNetExtend` make their weights.
b) An array that can go to a kernel as it is, is found in tens of nanoseconds; all others are converted.
"""

import numpy as np

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
_ndarray = np.ndarray
_dtype = F64


def set_dtype(dtype) -> None:
    """Let networks that are made from now on have weights of this dtype.

    Parameters
    ----------
    dtype : {"float64", "float32"} or the NumPy dtype

    Raises
    ------
    ValueError
        If it is another one.
    """
    global _dtype
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = None
    if dtype is None or wanted not in (F32, F64):  # NumPy's None is float64
        raise ValueError(f"set_dtype: dtype is {dtype!r}; wanted 'float64' or 'float32'")
    _dtype = F32 if wanted == F32 else F64


def get_dtype() -> np.dtype:
    """The dtype of the weights of networks that are made from now on; float64 unless set otherwise."""
    return _dtype


def ready(x, dtype: np.dtype) -> np.ndarray:
    """`x` in `dtype` and C-contiguous; itself, where it is so."""
    if type(x) is _ndarray and x.dtype is dtype and x.flags.c_contiguous:
        return x
    return np.asarray(x, dtype, order="C")


def natural(x) -> np.ndarray:
    """`x` as C-contiguous float32 if it is float32, else float64."""
    if type(x) is _ndarray:
        dtype = x.dtype
        if (dtype is F64 or dtype is F32) and x.flags.c_contiguous:
            return x
        return ready(x, F32 if dtype == F32 else F64)
    return ready(x, F64)
