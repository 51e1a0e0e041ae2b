"""``python -m fusednet.book SCRIPT [ARGS]``: an unmodified script of the book's repository on this engine.

Reads the modules of this package; is read by nobody.

a) The script's own ``common.*`` modules are loaded as they are; then the names that this package offers take the place
   of theirs. What it does not offer (convolution, pooling) stays the script's.
b) Only functions and classes that a module defines itself, or has from another ``common`` module, are replaced.
c) The script runs as by ``python SCRIPT``: as ``__main__``, with its arguments in ``sys.argv``, its folder first
   in ``sys.path``, in the folder where the command was given.
"""

import argparse
import importlib
import importlib.abc
import importlib.util
import runpy
import sys
import time
from importlib.machinery import PathFinder
from pathlib import Path

from fusednet import book
from fusednet.book import trainer

OFFERED = {
    "functions": ("identity_function", "step_function", "sigmoid", "sigmoid_grad", "relu", "relu_grad", "softmax",
                  "squared_error", "sum_squared_error", "cross_entropy_error", "softmax_loss"),
    "gradient": ("numerical_gradient", "numerical_gradient_2d"),
    "layers": ("Relu", "Sigmoid", "Affine", "SoftmaxWithLoss", "Dropout", "BatchNormalization"),
    "optimizer": ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"),
    "multi_layer_net": ("MultiLayerNet",),
    "multi_layer_net_extend": ("MultiLayerNetExtend",),
    "trainer": ("Trainer",),
    "util": ("smooth_curve", "shuffle_dataset", "im2col", "col2im"),
}
"""What takes the place of the script's, by module."""


class _Loader(importlib.abc.Loader):
    """Loads a module of the script's ``common`` and then replaces names in it."""

    def __init__(self, loader, done: dict):
        self._loader, self._done = loader, done

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._done[module.__name__] = replace(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds ``common.*`` where the script's path has it; `done` tells what was replaced, by module."""

    def __init__(self):
        self.done: dict[str, list[str]] = {}

    def find_spec(self, name, path=None, target=None):
        if not name.startswith("common."):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.done)
        return spec


def replace(module) -> list[str]:
    """Put this package's things in the place of the module's of the same names, and tell which."""
    replaced = []
    for ours, names in OFFERED.items():
        twin = importlib.import_module(f"fusednet.book.{ours}")
        for name in names:
            there = getattr(module, name, None)
            if str(getattr(there, "__module__", "")).startswith(("common.", "fusednet.book.")):
                setattr(module, name, getattr(twin, name))
                replaced.append(name)
    return sorted(replaced)


def _common(script: Path) -> Path | None:
    """The folder that has the ``common`` that the script means: its own, its parent, or the working one's parent."""
    for folder in (script.parent, script.parent.parent, Path.cwd(), Path.cwd().parent):
        if (folder / "common").is_dir():
            return folder
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fusednet.book",
        description="Run a script of 'Deep Learning from Scratch' on the native engine, as it is.",
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64",
                        help="of the weights that networks make (default float64, as the book's; float32 is faster)")
    parser.add_argument("--time", action="store_true",
                        help="print the seconds spent in Trainer.train to stderr (of the script where it has none)")
    parser.add_argument("script", metavar="SCRIPT")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="the script's own")
    return parser


def _timed(spent: list[float]):
    """Trainer.train that adds the seconds it takes to `spent`."""
    train = trainer.Trainer.train

    def timed(self):
        begin = time.perf_counter()
        try:
            return train(self)
        finally:
            spent.append(time.perf_counter() - begin)

    return timed


def main(arguments: list[str] | None = None) -> int:
    """The command; the exit status."""
    options = _parser().parse_args(arguments)
    script = Path(options.script)
    if not script.is_file():
        print(f"fusednet.book: there is no script {options.script!r}", file=sys.stderr)
        return 2
    script = script.resolve()
    folder = _common(script)
    if folder is None:
        print(f"fusednet.book: {options.script!r} has no 'common' folder beside it, above it, or above the working "
              "folder; wanted a script of the book's repository (others need no runner: import fusednet.book)",
              file=sys.stderr)
        return 2
    finder, spent = Finder(), []
    sys.meta_path.insert(0, finder)
    sys.argv = [str(script), *options.arguments]
    sys.path.insert(0, str(script.parent))
    sys.path.append(str(folder))
    before, trainer.Trainer.train = trainer.Trainer.train, _timed(spent)
    dtype = book.get_dtype()
    book.set_dtype(options.dtype)
    begin = time.perf_counter()
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        book.set_dtype(dtype)
        trainer.Trainer.train = before
        sys.meta_path.remove(finder)
        if options.time:
            what = f"Trainer.train: {sum(spent):.3f}" if spent else f"the script: {time.perf_counter() - begin:.3f}"
            print(f"seconds in {what}", file=sys.stderr)
    if not finder.done:
        print(f"fusednet.book: {options.script!r} imports nothing of {folder / 'common'}; it ran as it is",
              file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
