"""The shape of the tree: arrows point one way, documents name what exists, files stay short, every kernel is measured.

Reads the source tree, not the installed package; without the tree (tests of an installed wheel alone) it is skipped.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE, CSRC = ROOT / "src" / "fusednet", ROOT / "csrc"

pytestmark = pytest.mark.skipif(not (SOURCE.is_dir() and CSRC.is_dir()), reason="no source tree here")

CODE = {".py", ".pyx", ".pxi", ".pxd", ".c", ".h", ".def", ".sh", ".cmake", ".toml"}
FOLDERS = ("src", "csrc", "tests", "bench", "tools", "cmake", ".ci")


@cache
def files() -> tuple[Path, ...]:
    """All files of the project that people write, but documents."""
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    found += [ROOT / name for name in ("CMakeLists.txt", "pyproject.toml")]
    return tuple(p for p in found if p.is_file() and (p.suffix in CODE or not p.suffix or p.name == "CMakeLists.txt"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ---- arrows between Python modules -----------------------------------------------------------------------------------

ARROWS = {
    "fusednet": (),
    "fusednet._native": (),  # it reads the list through what backends.native gives it
    "fusednet.threads": (),
    "fusednet.cursor": (),
    "fusednet.fork": (),
    "fusednet.backends.table": (),
    "fusednet.backends.ref_numpy": ("fusednet.backends.table",),
    "fusednet.backends.jit_numba": ("fusednet.backends.table", "fusednet.backends.jit_numba"),
    "fusednet.backends.native": ("fusednet.backends.table", "fusednet._native"),
    "fusednet.backends.interp": ("fusednet.backends.ref_numpy", "fusednet.cursor"),
    "fusednet.backends": ("fusednet.threads", "fusednet.backends"),
    "fusednet.errors": (),
    "fusednet.arena": (),
    "fusednet.spec": ("fusednet.errors", "fusednet.initializers", "fusednet.backends.table"),
    "fusednet.losses": ("fusednet.errors",),
    "fusednet.metrics": ("fusednet.errors", "fusednet.losses"),
    "fusednet.optimizers": ("fusednet.errors", "fusednet.schedules"),
    "fusednet.precision": ("fusednet.errors", "fusednet.backends.table"),
    "fusednet.fuse": ("fusednet.spec", "fusednet.losses"),
    "fusednet.params": ("fusednet.arena", "fusednet.spec"),
    "fusednet.plan": ("fusednet.arena", "fusednet.backends.table", "fusednet.spec"),
    "fusednet.phases": ("fusednet.arena", "fusednet.backends.table", "fusednet.plan"),
    "fusednet.blocks": (
        *("fusednet.backends.table", "fusednet.fuse", "fusednet.optimizers", "fusednet.params", "fusednet.plan"),
    ),
    "fusednet.slices": ("fusednet.arena", "fusednet.fuse"),
    "fusednet.split_k": ("fusednet.fuse",),
    "fusednet.planner": (
        *("fusednet.arena", "fusednet.backends.table", "fusednet.blocks", "fusednet.fuse", "fusednet.losses"),
        *("fusednet.metrics", "fusednet.optimizers", "fusednet.params", "fusednet.phases", "fusednet.plan"),
        *("fusednet.slices", "fusednet.spec", "fusednet.split_k"),
    ),
    "fusednet.bind": ("fusednet.backends.table", "fusednet.plan"),
    "fusednet.memory": (
        *("fusednet.backends", "fusednet.initializers", "fusednet.optimizers", "fusednet.params", "fusednet.spec"),
    ),
    "fusednet.runner": (
        *("fusednet.backends", "fusednet.backends.interp", "fusednet.bind", "fusednet.cursor", "fusednet.memory"),
        *("fusednet.plan", "fusednet.threads"),
    ),
    "fusednet.predictor": (
        *("fusednet.backends", "fusednet.fork", "fusednet.memory", "fusednet.plan", "fusednet.runner"),
        "fusednet.threads",
    ),
    "fusednet.stepper": (
        *("fusednet.backends", "fusednet.cursor", "fusednet.fork", "fusednet.memory", "fusednet.plan"),
        *("fusednet.runner", "fusednet.threads"),
    ),
    "fusednet.objective": ("fusednet.runner", "fusednet.spec", "fusednet.trainer"),
    "fusednet.feed": ("fusednet.datasets", "fusednet.losses", "fusednet.plan", "fusednet.runner", "fusednet.spec"),
    "fusednet.trainer": (
        *("fusednet.callbacks", "fusednet.cursor", "fusednet.errors", "fusednet.feed", "fusednet.history"),
        *("fusednet.losses", "fusednet.plan", "fusednet.runner"),
    ),
    "fusednet.streams": ("fusednet.cursor", "fusednet.feed", "fusednet.plan", "fusednet.runner"),
    "fusednet.summary": ("fusednet.spec",),
    "fusednet.contents": (
        *("fusednet.cursor", "fusednet.io", "fusednet.losses", "fusednet.optimizers", "fusednet.params"),
        *("fusednet.spec", "fusednet.trainer"),
    ),
    "fusednet.model": (
        *("fusednet.backends", "fusednet.backends.table", "fusednet.contents", "fusednet.cursor"),
        *("fusednet.errors", "fusednet.feed", "fusednet.fuse", "fusednet.history", "fusednet.precision"),
        *("fusednet.io", "fusednet.losses", "fusednet.memory", "fusednet.metrics", "fusednet.optimizers"),
        *("fusednet.plan", "fusednet.planner", "fusednet.predictor", "fusednet.runner", "fusednet.spec"),
        *("fusednet.stepper", "fusednet.streams", "fusednet.summary", "fusednet.trainer"),
    ),
    "fusednet.loading": ("fusednet.contents", "fusednet.io", "fusednet.model"),
    "fusednet.folds": ("fusednet.errors",),
    "fusednet.pool": ("fusednet.callbacks", "fusednet.feed", "fusednet.params", "fusednet.threads"),
    "fusednet.estimators": ("fusednet.callbacks", "fusednet.pool"),
    "fusednet.many": (
        *("fusednet.callbacks", "fusednet.callbacks._progress", "fusednet.datasets", "fusednet.errors"),
        *("fusednet.estimators", "fusednet.feed", "fusednet.folds", "fusednet.model", "fusednet.pool"),
        "fusednet.trainer",
    ),
    "fusednet.ensemble": (
        *("fusednet.errors", "fusednet.fuse", "fusednet.io", "fusednet.loading", "fusednet.many", "fusednet.model"),
        "fusednet.pool",
    ),
    "fusednet.search": (
        *("fusednet.callbacks", "fusednet.callbacks._monitor", "fusednet.errors", "fusednet.estimators"),
        *("fusednet.many", "fusednet.pool", "fusednet.search"),
    ),
    "fusednet.sklearn": (
        *("fusednet.callbacks", "fusednet.estimators", "fusednet.labels", "fusednet.losses", "fusednet.model"),
        *("fusednet.objective", "fusednet.optimizers", "fusednet.pool", "fusednet.predictor", "fusednet.schedules"),
        *("fusednet.sklearn", "fusednet.spec", "fusednet.threads"),
    ),
    "fusednet.arrays": ("fusednet.backends", "fusednet.backends.table"),
    "fusednet.labels": ("fusednet.arrays", "fusednet.backends"),
    "fusednet.datasets": ("fusednet.arrays", "fusednet.labels", "fusednet.errors"),
    "fusednet.initializers": ("fusednet.errors",),
    "fusednet.schedules": ("fusednet.errors",),
    "fusednet.history": ("fusednet.errors",),
    "fusednet.callbacks": ("fusednet.history", "fusednet.errors", "fusednet.callbacks"),
    "fusednet.book": (
        *("fusednet.arena", "fusednet.backends", "fusednet.backends.interp", "fusednet.backends.table"),
        *("fusednet.bind", "fusednet.book", "fusednet.cursor", "fusednet.params", "fusednet.phases", "fusednet.plan"),
        *("fusednet.runner", "fusednet.spec", "fusednet.threads"),
    ),
    "fusednet.ops": ("fusednet.backends", "fusednet.backends.table", "fusednet.ops"),
    "fusednet.info": ("fusednet", "fusednet.threads", "fusednet.backends", "fusednet.backends.native"),
    "fusednet.bench.workers": ("fusednet",),  # scripts, which import each other by their bare names
    "fusednet.bench": (
        *("fusednet", "fusednet.backends", "fusednet.backends.native", "fusednet.bench", "fusednet.errors"),
    ),
    "fusednet.tabular": ("fusednet.errors",),
    "fusednet.recipe": ("fusednet.errors", "fusednet.tabular"),
    "fusednet.cli": (
        *("fusednet", "fusednet.backends", "fusednet.callbacks", "fusednet.cli", "fusednet.datasets"),
        *(f"fusednet.bench.{name}" for name in ("ceilings", "chart", "memory", "page", "peers", "pool", "results")),
        *("fusednet.bench.text", "fusednet.bench.training", "fusednet.bench.workloads"),
        *("fusednet.errors", "fusednet.info", "fusednet.loading", "fusednet.model", "fusednet.optimizers"),
        "fusednet.recipe",
        *("fusednet.spec", "fusednet.tabular", "fusednet.threads", "fusednet.trainer"),
    ),
    "fusednet.__main__": ("fusednet.cli",),
    "fusednet.io": (
        *("fusednet", "fusednet.errors", "fusednet.initializers", "fusednet.losses", "fusednet.optimizers"),
        *("fusednet.schedules", "fusednet.spec"),
    ),  # whose classes a file may name; fusednet for the version
}
"""What a module, or all in a package, may read; its own name stands for what is inside. The longest name that fits a
module counts."""


def modules() -> dict[str, Path]:
    """Python modules of the package by name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found["fusednet._native"] = SOURCE / "_native.pyx"
    return found


def imports(text: str, known: set[str]) -> set[str]:
    """Names of modules of the package that a module imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "fusednet"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where an arrow points"
            if node.module.split(".")[0] == "fusednet":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found.add(inner if inner in known else node.module)
    return found


def python_arrows() -> dict[str, set[str]]:
    known = modules()
    return {
        name: imports(path.read_text(encoding="utf-8"), set(known))
        for name, path in known.items()
        if path.suffix == ".py"
    }


def forbidden(arrows: dict[str, set[str]]) -> list[str]:
    """Arrows that ARROWS does not have."""
    wrong = []
    for name, targets in arrows.items():
        rule = rule_of(name)
        for target in targets - {name}:
            within = rule in ARROWS[rule] and target.startswith(rule + ".")
            if target not in ARROWS[rule] and not within:
                wrong.append(f"{name} -> {target}")
    return sorted(wrong)


def rule_of(name: str) -> str:
    """The entry of ARROWS that is a module's."""
    return max((key for key in ARROWS if name == key or name.startswith(key + ".")), key=len)


def unused(arrows: dict[str, set[str]]) -> list[str]:
    """Arrows of ARROWS that no module has."""
    there = {(rule_of(name), target) for name, targets in arrows.items() for target in targets}
    return sorted(f"{rule} -> {target}" for rule, targets in ARROWS.items() for target in targets
                  if not any(one == rule and f"{other}.".startswith(f"{target}.") for one, other in there))


FILE = r"[\w/]+\.py\b"


def headers_untrue(arrows: dict[str, set[str]], documents: dict[str, str]) -> list[str]:
    """What the first lines of modules say of files of the package that they read, or are read by, and which is not."""
    def reads_it(one: str, other: str) -> bool:
        """Whether a module, or one in that package, reads the other, or one in that."""
        inside = set().union(*(targets for name, targets in arrows.items() if f"{name}.".startswith(f"{one}.")))
        return any(f"{target}.".startswith(f"{other}.") for target in inside)

    wrong = []
    for name, document in documents.items():
        parts = name.split(".")
        for word, reads in (("[Rr]eads", True), ("[Rr]ead by", False)):
            told = re.search(rf"\b{word}\s((?:{FILE}|[^.;])*)", document)
            for file in re.findall(FILE, told[1]) if told else ():
                inner = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                folders = [".".join(parts[:i]) for i in range(1, len(parts) + 1)]
                there = [f"{folder}.{inner}" for folder in folders if f"{folder}.{inner}" in documents]
                if not any(reads_it(name, one) if reads else reads_it(one, name) for one in there):
                    wrong.append(f"{name}: {file}")
    return wrong


def cycle(arrows: dict[str, set[str]]) -> list[str]:
    """A way round from a name to itself, or nothing."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for target in sorted(arrows.get(name, ())):
            if found := walk(target, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := walk(name, []))), [])


def test_python_modules_read_only_what_they_may():
    assert forbidden(python_arrows()) == []


def test_python_modules_may_read_no_more_than_they_do():
    known = python_arrows()
    assert unused(known) == []
    known["fusednet.phases"].remove("fusednet.arena")
    assert unused(known) == ["fusednet.phases -> fusednet.arena"]


def test_headers_tell_who_reads_whom():
    known, paths = python_arrows(), modules()
    told = {name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            for name, path in paths.items() if path.suffix == ".py" and ".workers" not in name}
    assert sum("ead by" in text for text in told.values()) > 60 and headers_untrue(known, told) == []
    told["fusednet.folds"] = "Folds.\n\nReads plan.py and errors.py; read by model.py. More."
    assert headers_untrue(known, told) == ["fusednet.folds: plan.py", "fusednet.folds: model.py"]


def test_python_arrows_make_no_cycle():
    assert cycle(python_arrows()) == []


def test_wrong_arrows_are_seen():
    known = set(modules())
    text = "def f():\n    from fusednet import _native, ops\n    import fusednet.backends.native"
    assert imports(text, known) == {"fusednet.ops", "fusednet._native", "fusednet.backends.native"}
    for name, target in (
        ("fusednet.backends.jit_numba.loss", "fusednet.ops"),
        ("fusednet.backends.ref_numpy", "fusednet.backends.native"),
        ("fusednet.ops._affine", "fusednet._native"),
        ("fusednet.ops._affine", "fusednet.backends.native"),
        ("fusednet.threads", "fusednet.backends"),
        ("fusednet.backends", "fusednet.ops"),
    ):
        assert forbidden({name: {target}}) == [f"{name} -> {target}"]
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


# ---- arrows between C files ------------------------------------------------------------------------------------------

RANK = {"base": 0, "kernels": 1, "include": 2, "isa": 3, "engine": 3}
"""A file may include files of its own folder and of folders of lower rank; the list is open to all."""


def c_files() -> dict[str, Path]:
    return {path.name: path for path in sorted(CSRC.rglob("*")) if path.suffix in (".c", ".h")}


def included(text: str) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)


def test_file_names_in_csrc_are_unique():
    names = [path.name for path in CSRC.rglob("*") if path.is_file()]
    assert len(names) == len(set(names))


def test_c_includes_point_one_way():
    known = c_files()
    for name, path in known.items():
        for target in included(path.read_text(encoding="utf-8")):
            if target == "kernels.def":
                continue
            assert target in known, f"{name} includes {target}, which is not in csrc"
            here, there = path.parent.name, known[target].parent.name
            assert here == there or RANK[there] < RANK[here], f"{here}/{name} includes {there}/{target}"


def test_c_includes_make_no_cycle():
    known = c_files()
    arrows = {name: set(included(path.read_text(encoding="utf-8"))) - {name} for name, path in known.items()}
    assert cycle(arrows) == []


def test_kernels_include_no_system_header_that_they_may_not_need():
    """No printing, no allocation, no threads in a kernel: the headers for it are not there."""
    allowed = {"stdint.h", "stddef.h", "math.h", "string.h", "immintrin.h", "arm_neon.h"}
    for path in (CSRC / "kernels").iterdir():
        used = set(re.findall(r"#\s*include\s+<([^>]+)>", path.read_text(encoding="utf-8")))
        assert used <= allowed, f"{path.name} includes {sorted(used - allowed)}"


# ---- what documents name ---------------------------------------------------------------------------------------------

DOCUMENTS = (
    *("README.md", "README.ko.md", "CONTRIBUTING.md", "SECURITY.md", "docs/cli.md"),
    *("docs/architecture.md", "docs/kernels.md", "docs/files.md", "docs/search.md", "docs/sklearn.md"),
    *("docs/book.md", "docs/keras.md", "bench/README.md"),
)
ELSEWHERE = {
    "Sequential", "compile", "fit",  # what comes next
    "dw", "db", "dx", "dy", "ld_x", "m", "n", "k",  # parts of names
    "fwd", "bwd", "out", "fn_<noun>_<verb>", "<op>_<pass>", "test_<what>_<claim>", "bench_<family>", "backquotes",
    "build/neon",  # made by a command
    "common/layers.py", "common/trainer.py",  # the book's
}  # fmt: skip
"""Words in backquotes that are not names of the tree."""


@cache
def words() -> frozenset[str]:
    """Every word of the code."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in files() if path.name != Path(__file__).name)
    return frozenset(re.findall(r"\w+", text)) | {part for path in files() for part in path.parts}


def missing_names(text: str) -> list[str]:
    """Names in backquotes that exist neither as a file nor as a word of the code."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    missing = []
    for name in re.findall(r"`([^`\n]+)`", text):
        if name in ELSEWHERE or re.search(r"[\s(]", name):
            continue  # a formula or a command
        if "/" in name or re.search(r"\.(py|c|h|md|def|txt|toml|pyx|sh)$", name):
            pattern = re.sub(r"<\w+>", "*", name.rstrip("/"))
            places = (ROOT, ROOT / "src", SOURCE, SOURCE / "backends", CSRC)
            anywhere = "/" not in name and any(path.match(pattern) for path in files())
            if not anywhere and not any(any(place.glob(pattern)) for place in places):
                missing.append(name)
        elif re.fullmatch(r"[A-Za-z_][\w.]*\*?", name):
            last = re.split(r"\.", name.rstrip("*"))[-1]
            if last not in words() and not (last.startswith("_") and any(word.endswith(last) for word in words())):
                missing.append(name)
    return missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_only_what_exists(document):
    assert missing_names((ROOT / document).read_text(encoding="utf-8")) == []


def test_missing_names_are_seen():
    text = "`affine_fwd`, `fn_table_avx512`, `_avx2`, `ops/_door.py`, `csrc/base`, `vec_<isa>.h`, `bench/bench_*.py`"
    assert missing_names(text) == []
    gone = ["affine" + "_forwards", "ops/_doors.py", "csrc/bases", "vec_mmx" + ".h", "backends.choose" + "_one"]
    assert missing_names(", ".join(f"`{name}`" for name in gone)) == gone


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_of_documents_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#\s]+)\)", path.read_text(encoding="utf-8")):
        if not re.match(r"https?:", target):
            assert (path.parent / target).exists(), f"{document} links to {target}"


def test_the_example_of_docs_kernels_runs():
    text = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(example, {})


def test_documents_have_the_stated_bounds():
    """The bounds of exp and tanh in docs/kernels.md are those of the code."""
    header = (CSRC / "kernels" / "kernels.h").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    for function in ("exp", "tanh"):
        bounds = [re.search(rf"FN_ULP_{function.upper()}_{t} ([\d.]+)", header)[1] for t in ("f32", "f64")]
        assert f"| {function} | {bounds[0]} | {bounds[1]} |" in page


# ---- habits ----------------------------------------------------------------------------------------------------------

LONGEST = 800
LONG_FOR_A_REASON: dict[str, str] = {}


def test_files_are_short():
    long = {name_of(p) for p in files() if len(p.read_text(encoding="utf-8").splitlines()) > LONGEST}
    assert long == set(LONG_FOR_A_REASON)


UNFINISHED = re.compile(r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bX" + r"XX\b|^\s*#\s*if\s+0\b", re.MULTILINE)


def test_nothing_is_left_for_later_or_switched_off():
    for path in files():
        found = UNFINISHED.search(path.read_text(encoding="utf-8"))
        assert not found, f"{name_of(path)}: {found[0]}"
    assert UNFINISHED.search("x\n  # if 0\n") and UNFINISHED.search("TO" + "DO: more")


def test_files_say_what_they_are():
    """Every file opens with a comment or a docstring."""
    for path in files():
        text = path.read_text(encoding="utf-8")
        if text.strip() and path.suffix in (".py", ".c", ".h", ".def", ".pyx", ".sh", ".cmake"):
            first = "\n".join(line for line in text.splitlines()[:3] if not line.startswith(("#!", "# cython")))
            assert first.lstrip().startswith(('"""', 'r"""', "/*", "#")), f"{name_of(path)} does not say what it is"


# ---- one list, many readers ------------------------------------------------------------------------------------------


@pytest.fixture
def bench(monkeypatch):
    """The modules of bench/ that need nothing installed."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    families = ("affine", "elementwise", "batch_norm", "optimizers", "rows")
    names = ("jobs", "expressions", *(f"bench_{family}" for family in families))
    before = set(sys.modules)
    yield {name: __import__(name) for name in names}
    for name in set(sys.modules) - before:
        if name in names:
            del sys.modules[name]


def test_every_kernel_is_measured_beside_numpy(bench):
    from fusednet.backends.table import KERNELS

    levels = {"L2": 1 << 19, "memory": 1 << 26}
    families = [module for name, module in bench.items() if name.startswith("bench_")]
    assert {job.kernel for module in families for job in module.jobs(levels, 1)} == set(KERNELS)
    expressions = bench["expressions"]
    for name, kernel in KERNELS.items():
        code = getattr(expressions, name).__code__
        assert code.co_varnames[: code.co_argcount] == tuple(a.name for a in kernel.parameters), name


def test_constants_agree_across_languages():
    from fusednet.backends.table import CHUNK

    header = (CSRC / "kernels" / "kernels.h").read_text(encoding="utf-8")
    timing = (ROOT / "bench" / "timing.py").read_text(encoding="utf-8")
    assert int(re.search(r"#define FN_CHUNK (\d+)", header)[1]) == CHUNK
    stream = re.search(r"#define FN_STREAM_BYTES \((\d+) \* 1024 \* 1024\)", header)[1]
    assert re.search(r"STREAM_BYTES = (\d+) \* MB", timing)[1] == stream
    tests = (ROOT / "tests" / "test_kernels.py").read_text(encoding="utf-8")
    assert re.search(r"FN_STREAM_BYTES = (\d+) << 20", tests)[1] == stream
