"""Which table of kernels runs: native, Numba or NumPy.

`select` chooses; `current` is what everything else asks. A backend that is not installed falls through to the next; one
that is installed but cannot be loaded raises, with what to type, because a silent fall from C to NumPy costs a user a
factor of twenty and nobody would notice.
"""

import importlib.util
import os

from fusednet import threads
from fusednet.backends.table import Table

NAMES = ("native", "numba", "numpy")
"""The backends, fastest first."""

_INSTALL = {
    "native": "pip install --force-reinstall --no-binary fusednet fusednet   (needs a C compiler and Python's headers)",
    "numba": "pip install 'fusednet[numba]'",
}

_current: Table | None = None


def _absent(name: str) -> bool:
    module = {"native": "fusednet._native", "numba": "numba"}.get(name)
    return module is not None and importlib.util.find_spec(module) is None


def _load(name: str) -> Table:
    try:
        if name == "native":
            from fusednet.backends.native import table
        elif name == "numba":
            from fusednet.backends.jit_numba import table
        else:
            from fusednet.backends.ref_numpy import table
    except ImportError as error:
        raise ImportError(
            f"the {name} backend is installed but cannot be loaded: {error}. To repair it: {_INSTALL[name]}. "
            f"To do without it for now: set FUSEDNET_BACKEND to one of {', '.join(n for n in NAMES if n != name)}."
        ) from error
    return table()


def available() -> tuple[str, ...]:
    """Names of the backends that are installed, fastest first."""
    return tuple(name for name in NAMES if not _absent(name))


def select(name: str | None = None) -> Table:
    """Choose the table that all of fusednet uses from now on.

    Parameters
    ----------
    name : {"native", "numba", "numpy"}, optional
        By default what the environment variable ``FUSEDNET_BACKEND`` says; without it the first installed one of
        native, Numba, NumPy.

    Returns
    -------
    Table
        The chosen table; also what `current` returns from now on.

    Raises
    ------
    ValueError
        If the name, given here or in ``FUSEDNET_BACKEND``, is no backend, or ``FUSEDNET_ISA`` names an instruction set
        that does not exist or that this processor lacks.
    ImportError
        If the backend is not installed, or is installed but cannot be loaded.
    """
    global _current
    source = "backend"
    if name is None:
        name = os.environ.get("FUSEDNET_BACKEND") or None
        source = "FUSEDNET_BACKEND"
    if name is None:
        name = available()[0]
    elif name not in NAMES:
        raise ValueError(f"{source} is {name!r}; known backends: {', '.join(NAMES)}")
    elif _absent(name):
        raise ImportError(f"the {name} backend is not installed. To install it: {_INSTALL[name]}")
    table = _load(name)
    threads.follow(table.set_threads)
    _current = table
    return table


def current() -> Table:
    """The table in use; chosen as by ``select()`` at the first call."""
    return _current if _current is not None else select()
