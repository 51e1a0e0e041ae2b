"""Docstrings of public names beside their signatures: parameters that are missing, gone, or of another default.

Reads what users import; inspects, and trains nothing.

a) A function or class of the modules in `PUBLIC` documents every parameter. A method may be one line; where it has a
   section "Parameters", the section is exact, and says what comes back.
b) An entry without a type ("As for `fit`.") stands for one that is written elsewhere; its defaults are not looked at.
c) `fusednet.book` has the book's names and arguments, which the book explains: what is documented there is exact.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator

import pytest

PUBLIC = (
    *("fusednet", "fusednet.callbacks", "fusednet.ops", "fusednet.search", "fusednet.sklearn"),
    *("fusednet.initializers", "fusednet.losses", "fusednet.optimizers", "fusednet.schedules"),  # their classes
)
BOOK = tuple(f"fusednet.book{name}" for name in (
    *("", ".functions", ".gradient", ".layers", ".multi_layer_net", ".multi_layer_net_extend", ".optimizer"),
    *(".trainer", ".util"),
))
SECTIONS = ("Parameters", "Returns", "Yields", "Raises", "Warns", "Attributes", "Notes", "Examples", "References")


def sections(doc: str) -> dict[str, list[str]]:
    """The lines of each section of a numpydoc docstring."""
    lines, found, name = inspect.cleandoc(doc).splitlines(), {}, None
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line in SECTIONS and set(below) == {"-"}:
            found[name := line] = []
        elif name is not None:
            found[name].append(line)
    return found


def entries(lines: list[str]) -> dict[str, tuple[str, int, list[str]]]:
    """By name: the type, the place among the names before it, and all these names."""
    found = {}
    for line in lines[1:]:
        if line and not line.startswith(" "):
            head, _, kind = line.partition(" : ")
            names = [name.strip().lstrip("*") for name in head.split(",")]
            found |= {name: (kind, place, names) for place, name in enumerate(names)}
    return found


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    given = inspect.signature(function).parameters
    return {name: one for name, one in given.items() if name not in ("self", "cls") and not name.startswith("_")}


def wrong_default(one: inspect.Parameter, kind: str, place: int, names: list[str]) -> str:
    """What a type says of a default that the signature does not, or nothing."""
    if not kind or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
        return ""
    said = re.search(r"\bdefault (.*)$", kind)
    if one.default is one.empty:
        return "has no default" if said or kind.endswith(", optional") else ""
    if not said:
        return f"default {one.default!r} is not said" if one.default not in (None, "", False, ()) else ""
    parts = said[1].split(" and ")
    text = parts[place] if len(parts) == len(names) else said[1]
    try:
        same = ast.literal_eval(text) == one.default
    except (SyntaxError, ValueError):
        same = text in (str(one.default), getattr(one.default, "__name__", None))
    return "" if same else f"default {text} is {one.default!r} in the signature"


def returns_something(function: Callable) -> bool:
    """Whether a value is returned, in the function itself."""
    body = [ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]]
    while body:
        for node in ast.iter_child_nodes(body.pop()):
            if isinstance(node, ast.Return) and node.value is not None:
                return True
            if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
                body.append(node)
    return False


def faults(function: Callable, *, needed: bool, returns: bool = True) -> list[str]:
    """What a docstring says otherwise than the signature."""
    doc = inspect.getdoc(function)
    if not doc:
        return ["no docstring"]
    found, wanted = sections(doc), parameters(function)
    if "Parameters" not in found and inspect.isclass(function) and "Attributes" in found:  # a record: its fields
        said = {name: ("", place, names) for name, (_, place, names) in entries(found["Attributes"]).items()
                if name in wanted}
    else:
        said = entries(found.get("Parameters", []))
    if not said and not needed:
        return []
    wrong = [f"{name} is missing" for name in wanted if name not in said]
    wrong += [f"{name} is no parameter" for name in said if name not in wanted]
    for name in said.keys() & wanted.keys():
        if problem := wrong_default(wanted[name], *said[name]):
            wrong.append(f"{name}: {problem}")
    if returns and inspect.isfunction(function) and not {"Returns", "Yields"} & found.keys():
        wrong += ["what comes back is not said"] if returns_something(function) else []
    return wrong


def public(module: str) -> Iterator[tuple[str, Callable]]:
    """Functions and classes by name; of a module without ``__all__`` those that it has itself."""
    here = importlib.import_module(module)
    own = [name for name, value in vars(here).items() if getattr(value, "__module__", "") == module and name[0] != "_"]
    for name in getattr(here, "__all__", own):
        value = getattr(here, name)
        function = inspect.isfunction(value) and (hasattr(here, "__all__") or module in BOOK)
        if function or (inspect.isclass(value) and not issubclass(value, BaseException)):
            yield f"{module}.{name}", value


def methods(cls: type) -> Iterator[tuple[str, Callable]]:
    for name, value in vars(cls).items():
        value = getattr(value, "__func__", value)
        if name[0] != "_" and inspect.isfunction(value):
            yield name, getattr(cls, name)


@pytest.mark.parametrize("module", [*PUBLIC, *BOOK])
def test_docstrings_and_signatures_say_the_same(module):
    if module == "fusednet.sklearn":
        pytest.importorskip("sklearn")
    wrong = []
    for name, value in public(module):
        ours = module in PUBLIC
        wrong += [f"{name}: {fault}" for fault in faults(value, needed=ours, returns=ours)]
        for method, function in methods(value) if inspect.isclass(value) else ():
            wrong += [f"{name}.{method}: {fault}" for fault in faults(function, needed=False, returns=ours)]
    assert wrong == []


def test_docstrings_that_are_wrong_are_seen():
    def documented(first, second=2, third=None):
        """Something.

        Parameters
        ----------
        first : int
        second : int, default 2
        third : int, optional

        Returns
        -------
        int
        """
        return first

    assert faults(documented, needed=True) == []
    right = documented.__doc__
    for old, new, fault in (
        ("first : int\n", "", "first is missing"),
        ("second", "seconds", "second is missing"),
        ("first : int\n", "first : int\n        gone : int\n", "gone is no parameter"),
        ("default 2", "default 3", "second: default 3 is 2 in the signature"),
        (", default 2", "", "second: default 2 is not said"),
        ("first : int", "first : int, optional", "first: has no default"),
        ("Returns\n        -------\n        int", "", "what comes back is not said"),
        (right, "", "no docstring"),
    ):
        documented.__doc__ = right.replace(old, new, 1)
        assert fault in faults(documented, needed=True), fault
    documented.__doc__ = "Something."
    assert faults(documented, needed=False) == []
    assert len(faults(documented, needed=True)) == 4
