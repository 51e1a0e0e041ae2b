"""fusednet: dense neural networks, trained fast on CPUs.

Names are imported when they are first used, so that ``import fusednet`` costs little more than ``import numpy``.
"""

import importlib

__version__ = "0.1.0.dev0"

_MODULES = frozenset({"backends", "info", "ops"})
_MEMBERS = {"get_num_threads": "threads", "set_num_threads": "threads"}

__all__ = ["__version__", *sorted(_MODULES), *sorted(_MEMBERS)]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"fusednet.{name}")
    if name in _MEMBERS:
        value = getattr(importlib.import_module(f"fusednet.{_MEMBERS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fusednet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
