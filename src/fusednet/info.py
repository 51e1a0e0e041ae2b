"""What is installed here, and what of it is in use: the first thing to look at when something is slow or fails.

Reads versions, the backends, the environment; changes nothing. `show` prints, and nothing else here does.
What cannot be found out is said in the place of the answer: this page must come out when all else is broken.
"""

import os
import platform
import sys

ENVIRONMENT = ("FUSEDNET_BACKEND", "FUSEDNET_ISA", "FUSEDNET_THREADS")
"""The variables that fusednet reads; there are no others."""


def _native() -> tuple[dict | None, dict | None, str | None]:
    """(instruction sets, how the module was built, why there is none)."""
    from fusednet import backends

    if "native" not in backends.available():
        return None, None, "not installed: built without a C compiler or Python's headers"
    try:
        from fusednet.backends import native

        return native.isas(), native.build_info(), None
    except Exception as error:
        return None, None, f"installed but cannot be loaded: {error}"


def _threads():
    from fusednet.threads import get_num_threads

    try:
        return get_num_threads()
    except ValueError as error:
        return f"error: {error}"


def as_dict() -> dict:
    """What `show` prints, as data.

    Returns
    -------
    dict
        fusednet, python, numpy, numba : str or None
            Versions; numba only where it has been imported.
        system, processor : str
        backend, isa : str or None
            In use; None with an `error` if none can be.
        error : str or None
            Why no backend can be used.
        backends : list of str
            Those installed, fastest first.
        isas : dict of str to bool, or None
            Instruction sets built into the native backend, best first, and whether this machine has them.
        build : dict or None
            Compiler and build type of the native backend.
        native : str or None
            Why there is no native backend.
        threads : int or str
            What kernels may use, or what is wrong with ``FUSEDNET_THREADS``.
        environment : dict of str to str or None
            The variables that fusednet reads.
    """
    import numpy

    import fusednet
    from fusednet import backends

    try:
        table, error = backends.current(), None
    except Exception as exception:
        table, error = None, f"{type(exception).__name__}: {exception}"
    isas, build, why = _native()
    numba = sys.modules.get("numba")
    return {
        "fusednet": fusednet.__version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "numpy": numpy.__version__,
        "numba": getattr(numba, "__version__", None),
        "system": platform.platform(),
        "processor": platform.machine(),
        "backend": table.backend if table else None,
        "isa": table.isa if table else None,
        "error": error,
        "backends": list(backends.available()),
        "isas": isas,
        "build": build,
        "native": why,
        "threads": _threads(),
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
    }


def _lines(facts: dict) -> list[str]:
    words = {
        "fusednet": facts["fusednet"],
        "python": facts["python"],
        "numpy": facts["numpy"],
        "numba": facts["numba"] or "not loaded",
        "system": f"{facts['system']}, {facts['processor']}",
        "backend": facts["backend"] or f"none: {facts['error']}",
        "installed": ", ".join(facts["backends"]),
        "native": facts["native"] or ", ".join(f"{key} {value}" for key, value in facts["build"].items()),
    }
    if facts["isa"]:
        words["backend"] += f", {facts['isa']}"
    if facts["isas"] is not None:
        here = [f"{name} ({'yes' if has else 'not on this machine'})" for name, has in facts["isas"].items()]
        words["instruction sets"] = ", ".join(here)
    words["threads"] = str(facts["threads"])
    for name, value in facts["environment"].items():
        words[name] = "not set" if value is None else repr(value)
    width = max(map(len, words))
    return [f"{name:<{width}}  {text}" for name, text in words.items()]


def show(file=None) -> None:
    """Print what is installed and in use: versions, backend, instruction sets, threads, environment, build.

    Parameters
    ----------
    file : file-like, optional
        Where to; standard output by default.
    """
    print("\n".join(_lines(as_dict())), file=file)


if __name__ == "__main__":  # python -m fusednet.info
    show()
