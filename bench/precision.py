"""What `matmul_precision` costs and brings here: errors, speeds, and training curves of each word beside each other.

    python bench/precision.py                                                      # a look, on the terminal
    python bench/precision.py --write docs/precision.md --chart docs/precision.svg # the page and its picture
    python bench/precision.py --only errors speeds                                 # of errors speeds curves

Reads tests/cases.py and recipes.py (the value ranges), bench_affine.py (the products), examples/mnist10k.py (network
and data) and fusednet.bench; the picture needs matplotlib.

a) An error is of one element, against float64, over the sum of the absolute values of its terms: what cancels in a sum
   is not the product's fault. Products of two float32 numbers are exact in float64.
b) Words take turns, round by round, and the best round of each counts; so do the machine's rates.
c) Curves are means over seeds. A word that gives the same bits as another gives the same curve.
"""

import argparse
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench_affine import PRODUCTS, product

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]

import cases  # noqa: E402
import mnist10k  # noqa: E402
import recipes  # noqa: E402

import fusednet as fn  # noqa: E402
from fusednet import backends  # noqa: E402
from fusednet.backends.table import PRECISIONS, Activation  # noqa: E402
from fusednet.bench import ceilings, text  # noqa: E402

SIZES = (
    *((size, size, size) for size in (64, 128, 256, 512, 1024, 2048)),
    *((128, 784, 512), (128, 512, 512), (512, 1024, 2048), (512, 2048, 2048), (4096, 512, 512)),
)
"""(m, k, n): squares, and layers of the jobs mnist, wide and bigbatch."""

LEAST_ROUNDS = 4

LARGE = 193
"""Rows, columns and depth of a product that is large enough for bfloat16 units."""

MATRICES = {"affine_fwd": ("x", "w"), "affine_bwd_dx": ("dy", "w"), "affine_bwd_dw": ("x", "dy")}
COLORS = {"highest": "#c0392b", "high": "#2471a3", "medium": "#27ae60"}
SECTIONS = ("errors", "speeds", "curves")


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


# ---- errors ----------------------------------------------------------------------------------------------------------


def factors(case: cases.Case) -> tuple[np.ndarray, np.ndarray]:
    """The two matrices of the case's product, as they are multiplied."""
    first, second = (recipes.values(case, np.float32)[name] for name in MATRICES[case.kernel])
    return {"affine_fwd": (first, second), "affine_bwd_dx": (first, second.T), "affine_bwd_dw": (first.T, second)}[
        case.kernel]


def multiplied(table, case: cases.Case, precision: int) -> np.ndarray:
    """The product by the table's kernel, with nothing fused to it."""
    drawn, (a, b) = recipes.values(case, np.float32), factors(case)
    out, given = np.empty((a.shape[0], b.shape[1]), np.float32), [drawn[name] for name in MATRICES[case.kernel]]
    kind = int(Activation.LINEAR)
    if case.kernel == "affine_fwd":
        table.affine_fwd(out, None, *given, None, kind, 0.0, precision)
    elif case.kernel == "affine_bwd_dx":
        table.affine_bwd_dx(out, *given, None, kind, 0.0, 1.0, precision)
    else:
        table.affine_bwd_dw(out, None, *given, precision)
    return out


def error(got: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """The largest error of an element, over the sum of the absolute values of its terms."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    size = np.abs(a) @ np.abs(b)
    far = np.abs(got - a @ b)
    return float(np.divide(far, size, out=np.where(far > 0, np.inf, 0.0), where=size > 0).max(initial=0.0))


def value_ranges() -> dict[str, list[cases.Case]]:
    """The cases of the three products by what their numbers are; not those with NaN, which have no error.

    With each kernel's first of each kind comes one of a size at which every word does what it may.
    """
    found: dict[str, list[cases.Case]] = {}
    for case in cases.CASES:
        if case.kernel not in MATRICES or not all(case.sizes.values()):
            continue
        drawn = {case.values.get(name, "normal") for name in MATRICES[case.kernel]}
        name = "normal" if drawn == {"normal"} else ", ".join(sorted(drawn - {"normal"}))
        if "number" in name:
            continue
        listed, case = found.setdefault(name, []), replace(case, absent=frozenset({"z", "b", "s", "db"}))
        if case.kernel not in {other.kernel for other in listed}:
            listed.append(replace(case, name=f"{name}-{LARGE}", sizes=dict.fromkeys(case.sizes, LARGE)))
        listed.append(case)
    return found


def errors() -> list[list[str]]:
    table = backends.current()
    rows = [["numbers", "products", *(f'"{word}"' for word in PRECISIONS), "NumPy's BLAS"]]
    with np.errstate(all="ignore"):
        for name, listed in value_ranges().items():
            say(f"errors: {name}")
            worst = [0.0] * (len(PRECISIONS) + 1)
            for case in listed:
                a, b = factors(case)
                made = [multiplied(table, case, code) for code in range(len(PRECISIONS))]
                worst = [max(w, error(got, a, b)) for w, got in zip(worst, [*made, a @ b], strict=True)]
            rows.append([name.replace("_", " "), str(len(listed)), *(f"{w:.1e}" if w else "0" for w in worst)])
    return rows


# ---- speeds ----------------------------------------------------------------------------------------------------------


def best_times(size: tuple[int, int, int], seconds: float) -> list[float]:
    """Seconds of all three products of a layer together, for each word; measured for so many seconds."""
    table, best = backends.current(), np.full((len(PRODUCTS), len(PRECISIONS)), np.inf)
    calls = []
    for kernel in PRODUCTS:
        job = product(kernel, size, "float32")
        calls.append([(job.function(table), replace(job, parameters={"precision": code}).arguments())
                      for code in range(len(PRECISIONS))])
    number, rounds, end = max(1, int(1e9 / (2.0 * np.prod(size)))), 0, time.perf_counter() + seconds
    while rounds < LEAST_ROUNDS or time.perf_counter() < end:  # a turn takes some milliseconds, or is one call
        rounds += 1
        for i, words in enumerate(calls):
            for code, (function, arguments) in enumerate(words):
                begin = time.perf_counter()
                for _ in range(number):
                    function(*arguments)
                best[i, code] = min(best[i, code], (time.perf_counter() - begin) / number)
    return best.sum(axis=0).tolist()


def speeds(counts: list[int], seconds: float) -> tuple[list[list[str]], dict[int, tuple[float, float]]]:
    """The table, and the machine's rates by number of threads: of float32, and of bfloat16 numbers or 0."""
    rates, before = {}, fn.get_num_threads()
    rows = [["m x k x n", "threads", *(f'"{word}"' for word in PRECISIONS), "of the peak",
             *(f'"{word}", times' for word in PRECISIONS[1:])]]
    for threads in counts:
        team, probes, taken = ceilings.Ceilings(threads), ("fma", "dot"), {}
        best = dict.fromkeys(probes, 0.0)
        team.best("fma", "float32", rounds=100)  # a new team first has to be spread over the processors
        fn.set_num_threads(threads)
        for size in SIZES:
            say(f"speeds: {size}, {text.threads(threads)}")
            best |= {what: max(best[what], team.best(what, "float32")) for what in probes[: 1 + team.units]}
            taken[size] = best_times(size, seconds)
        rates[threads] = best["fma"], best["dot"]
        for size, times in taken.items():
            flop = 6.0 * np.prod(size)
            rows.append(["x".join(map(str, size)), str(threads), *(f"{flop / t / 1e9:.0f}" for t in times),
                         f"{flop / times[0] / best['fma']:.0%}", *(f"{times[0] / t:.2f}x" for t in times[1:])])
    fn.set_num_threads(before)
    return rows, rates


# ---- curves ----------------------------------------------------------------------------------------------------------


class Curves:
    """Training losses and test accuracies of the example's network: arrays (seeds, epochs) by word."""

    def __init__(self, data: Path, seeds: int, epochs: int):
        self.loss: dict[str, np.ndarray] = {}
        self.accuracy: dict[str, np.ndarray] = {}
        self.seconds: dict[str, float] = {}
        x, y, x_test, y_test = mnist10k.load(data)
        losses = {word: np.zeros((seeds, epochs)) for word in PRECISIONS}
        scores = {word: np.zeros((seeds, epochs)) for word in PRECISIONS}
        before = fn.get_matmul_precision()
        try:
            for seed in range(seeds):
                for word in PRECISIONS:
                    say(f"curves: {word}, seed {seed}")
                    fn.set_matmul_precision(word)
                    history = mnist10k.build(seed).fit(x, y, batch_size=mnist10k.BATCH, epochs=epochs,
                                                       validation_data=(x_test, y_test))
                    losses[word][seed] = history.history["loss"]
                    scores[word][seed] = history.history["val_accuracy"]
                    self.seconds[word] = min(self.seconds.get(word, np.inf), *history.time)
        finally:
            fn.set_matmul_precision(before)
        self.loss, self.accuracy = losses, scores

    def rows(self) -> list[list[str]]:
        rows = [["", "training loss", "test accuracy", "lowest to highest", "fastest epoch", "bits as"]]
        for i, word in enumerate(PRECISIONS):
            last = 100 * self.accuracy[word][:, -1]
            same = next((f'"{other}"' for other in PRECISIONS[:i] if (self.loss[other] == self.loss[word]).all()), "")
            rows.append([f'"{word}"', f"{self.loss[word][:, -1].mean():.4f}", f"{last.mean():.2f} %",
                         f"{last.min():.2f} to {last.max():.2f} %", text.seconds(self.seconds[word]), same])
        return rows if any(row[-1] for row in rows[1:]) else [row[:-1] for row in rows]

    def draw(self, path: Path) -> None:
        """Three pictures beside each other: means over seeds, and thin lines for the least and the most."""
        import matplotlib
        from matplotlib.figure import Figure

        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fusednet", "font.size": 10})
        figure = Figure(figsize=(10.5, 3.3), layout="constrained")
        seeds, epochs = self.loss[PRECISIONS[0]].shape
        usual = self.loss["highest"].mean(axis=0)
        told = (
            ("training loss", self.loss),
            ('loss over the mean of "highest", %',
             {w: 100 * (self.loss[w] / usual - 1) for w in PRECISIONS}),
            ("test accuracy, %", {w: 100 * self.accuracy[w] for w in PRECISIONS}),
        )
        for axes, (title, curves) in zip(figure.subplots(1, 3), told, strict=True):
            for i, word in enumerate(PRECISIONS):
                line, at = curves[word], np.arange(1, epochs + 1)
                for end in (line.min(axis=0), line.max(axis=0)):
                    axes.plot(at, end, color=COLORS[word], linewidth=0.6)
                # the widest below: lines that lie on each other are all seen
                axes.plot(at, line.mean(axis=0), color=COLORS[word], label=f'"{word}"', linewidth=(5, 3, 1.2)[i])
            axes.set_title(title, fontsize=11)
            axes.set_xlabel("epoch")
            axes.grid(color="#e2e2e2")
            axes.set_xlim(1, epochs)
        figure.axes[0].set_yscale("log")
        ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2) if usual.min() / 1.1 <= tick <= usual.max() * 1.1]
        figure.axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        figure.axes[0].set_yticks([], minor=True)
        figure.axes[0].legend(frameon=False)
        figure.suptitle(f"mnist10k, {seeds} seeds: mean, least and most", fontsize=11)
        figure.savefig(path, format="svg", metadata={"Date": None})
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


# ---- the page --------------------------------------------------------------------------------------------------------


def same_bits(word: str) -> bool:
    """Whether a large product is the same to the last bit with that word as with "highest"."""
    case = cases.Case("affine_fwd", "bits", dict.fromkeys("mnk", LARGE), absent=frozenset({"z", "b"}))
    made = [multiplied(backends.current(), case, PRECISIONS.index(name)) for name in ("highest", word)]
    return bool((made[0] == made[1]).all())


def statement(rates: dict[int, tuple[float, float]]) -> str:
    """What the words do on this processor, and why, from its measured rates."""
    single, fast = rates[min(rates)]
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    units = [name for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")) if flag in flags]
    there = f"This processor has units for bfloat16 numbers: {' and '.join(units)}." if units else (
        "This processor has no units for bfloat16 numbers that its system tells of.")
    if not fast:
        return f"{there} fusednet uses none here: all three words are float32 arithmetic.\n"
    matrix = backends.current().isa == "amx_bf16"
    rate = (f"measured at {fast / single:.2f} times the rate of float32 multiply-adds ({fast / 1e9:.0f} beside "
            f"{single / 1e9:.0f} GFLOP/s, {text.threads(min(rates))})")
    medium = ('- `"medium"` rounds both factors to bfloat16 (8 significant bits) and sums in float32. The units take '
              "numbers below float32's normal range as 0.\n")
    small = "- Small products, in which rounding costs more than it saves, are float32 arithmetic whatever the word.\n"
    bits = f"with {'the same bits as' if same_bits('high') else 'other bits than'} `\"highest\"`"
    if matrix:
        return (
            f"{there} fusednet uses AMX, the matrix unit, {rate} with numbers that stay in its registers; it is slower "
            "with numbers from memory.\n\n"
            '- `"highest"` takes each factor in three bfloat16 parts, which have all of its 24 bits, and the six '
            f"largest of the nine products: at best {fast / single / 6:.2f} times the speed of float32 multiply-adds. "
            "Products of mostly zeros are float32 multiply-adds, which leave them out.\n"
            f'- `"high"` takes two parts and three products: at best {fast / single / 3:.2f} times, {bits}.\n'
            f'{medium}'
            '- In `"highest"` and `"high"`, rows and columns whose largest number is below 2^-48 or above 2^56, or not '
            "finite, are float32 arithmetic: their parts would be below or above what the unit can hold.\n"
            f"{small}"
        )
    return (
        f"{there} fusednet uses AVX512-BF16, whose instruction was {rate}.\n\n"
        f"{medium}"
        '- `"high"` may split each factor in two bfloat16 parts and take three products in the place of one: on these '
        f"units at best {fast / single / 3:.2f} times the speed of float32, and less exact. "
        f"{'So it' if same_bits('high') else 'It'} is {'' if same_bits('high') else 'not '}float32 arithmetic here, "
        f"{bits}.\n"
        '- `"highest"` is float32 arithmetic. As exact a product of bfloat16 parts takes three parts and six products: '
        f"at best {fast / single / 6:.2f} times the speed.\n"
        f"{small}"
    )


LEGENDS = {
    "errors": "The largest error of an element against float64, over the sum of the absolute values of its terms, in "
              "all products of the kernel case list (`tests/cases.py`), by the kind of their numbers; forward and both "
              "gradients. Half a unit in the last place of 1 is 6.0e-08 in float32, 3.9e-03 in bfloat16.",
    "speeds": "The three products of a layer (forward and both gradients) together, without what is fused to them; "
              "words in turns, the best round of each. In GFLOP/s, a multiply-add being two operations; the share that "
              '"highest" reaches of the measured rate of float32 multiply-adds; and how many times its speed the '
              "others reach.",
    "curves": "The network of `examples/mnist10k.py` (784-256-128-10, batch norm, dropout, Adam) after its last epoch, "
              "means over seeds; the test accuracy also of the worst and of the best seed.",
}
TITLES = {"errors": "Error", "speeds": "Speed", "curves": "Training"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, ceilings.all_threads()}))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each size (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=mnist10k.EPOCHS)
    parser.add_argument("--data", type=Path, default=mnist10k.DATA, help="mnist10k.npz (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="needs all sections")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="the curves")
    given = parser.parse_args()
    if given.write and set(given.only) != set(SECTIONS):
        parser.error("--write makes a page of all sections; leave --only out")
    if given.chart and "curves" not in given.only:
        parser.error("--chart draws the curves, which --only leaves out")
    made, rates, curves = {}, {}, None
    if "errors" in given.only:
        made["errors"] = errors()
    if "speeds" in given.only:
        made["speeds"], rates = speeds(given.threads, given.seconds)
    if "curves" in given.only:
        curves = Curves(given.data, given.seeds, given.epochs)
        made["curves"] = curves.rows()
    for section, rows in made.items():
        print(f"{TITLES[section]}\n\n{text.plain(rows)}")
    if rates:
        print(statement(rates), end="")
    if given.chart:
        curves.draw(given.chart)
    if given.write:
        command = f"python bench/precision.py {shlex.join(sys.argv[1:])}"
        picture = f"![Training curves]({given.chart.name})\n\n" if given.chart else ""
        parts = [
            "# matmul_precision\n",
            f"Written by `{command}`; not edited by hand.\n",
            "\n".join(f"- {name}: {words}" for name, words in ceilings.facts().items()) + "\n",
            statement(rates),
            *(f"## {TITLES[name]}\n\n{LEGENDS[name]}\n\n{picture if name == 'curves' else ''}{text.markdown(rows)}"
              for name, rows in made.items()),
        ]  # fmt: skip
        given.write.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
