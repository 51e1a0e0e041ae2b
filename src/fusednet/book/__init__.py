"""The from-scratch code of 'Deep Learning from Scratch' on the native engine: its names, its words, its numbers.

The modules have the names of the book's ``common`` package: ``from common.layers import *`` becomes
``from fusednet.book.layers import *``, and nothing else changes. ``python -m fusednet.book SCRIPT`` runs a script as it
is. docs/book.md tells what is the same and what was mended.

a) Layers and optimizers are thin: checks, then kernels of the table in use (``fusednet.backends.current``).
b) `Trainer` gives whole runs to the engine (`_plan.py`) where network and optimizer are unmodified; the numbers are the
   same on both roads.
"""

from fusednet.book._arrays import get_dtype, set_dtype

__all__ = ["get_dtype", "set_dtype"]
