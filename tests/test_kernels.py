"""Every case of the list on every table, and the same bits for any number of threads.

Reads cases.py, harness.py and conftest.py's `table`. `pytest tests/test_kernels.py --backend native` runs one table;
FUSEDNET_ISA forces the instruction set.
"""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, GEMM_SHAPES
from harness import check, run
from recipes import DEFAULTS, RECIPES

import fusednet
from fusednet.backends import ref_numpy
from fusednet.backends.table import CHUNK, KERNELS, LIST, Table

DTYPES = ("float32", "float64")
THREADS = (1, 2, 3, 8)
FN_STREAM_BYTES = 16 << 20
"""Of csrc/kernels/kernels.h: outputs that are larger go past the caches."""
MODULES = {"native": "native", "numba": "jit_numba"}


# The case is the outer loop: its exact result is computed once for all tables.
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernel_gives_the_exact_result_up_to_rounding(case, dtype, table):
    check(table, case, dtype)


@pytest.fixture(params=["threads", "parts"])
def divide(request, table):
    """A function that sets into how many parts calls are divided; afterwards all is as before.

    "threads" is what users have, and leaves small calls whole; "parts" divides every call whatever its size.
    """
    if table.backend == "numpy":
        pytest.skip("the NumPy table divides nothing")
    before = fusednet.get_num_threads()
    if request.param == "threads":
        yield fusednet.set_num_threads
    else:
        module = importlib.import_module(f"fusednet.backends.{MODULES[table.backend]}")
        fusednet.set_num_threads(3)
        yield module.force_parts
        module.force_parts(0)
    fusednet.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_same_bits_for_any_number_of_threads(kernel, dtype, table, divide):
    big = [case for case in CASES if case.kernel == kernel and case.big]
    odd = [case for case in CASES if case.kernel == kernel and not case.big and case.types == big[0].types][::11]
    for case in big + odd:
        bits = []
        for threads in THREADS:
            divide(threads)
            bits.append({name: array.tobytes() for name, array in run(table, case, dtype).items()})
        for threads, other in zip(THREADS[1:], bits[1:], strict=True):
            assert other == bits[0], f"{case} {dtype}: {threads} threads give other bits than 1"


STREAMED = {
    "softmax_fwd": lambda kernel, loss, out, x, y: kernel(out, x),
    "softmax_bwd": lambda kernel, loss, out, x, y: kernel(out, x, y),
    "softmax_xent_targets": lambda kernel, loss, out, x, y: kernel(loss, out, x, y, loss % 3, 0.1, 0.5),
    "sigmoid_xent": lambda kernel, loss, out, x, y: kernel(loss, out, x, y, None, 0.1, 0.7, 0.5),
    "squared_error": lambda kernel, loss, out, x, y: kernel(loss, out, x, y, None, 0.7, 0.5),
}
"""Kernels of rows whose large outputs go past the caches, by families, each called with outputs and two matrices."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [10, 64, 129, 1000])
@pytest.mark.parametrize("kernel", STREAMED)
def test_large_outputs_have_the_bits_of_small_ones(kernel, n, dtype, table, divide):
    """Past the caches and by way of them, rows in any number of parts, beginning anywhere in a cache line."""
    if table.backend != "native":
        pytest.skip("only native kernels write past the caches")
    m = FN_STREAM_BYTES // np.dtype(dtype).itemsize // n + 3
    x = np.resize(np.random.default_rng(0).standard_normal(5003).astype(dtype), (m, n))
    y = np.abs(x[::-1]) % 1
    call, function, results = STREAMED[kernel], getattr(table, kernel), []
    for parts, rows in ((1, m // 2), (1, m), (3, m)):
        divide(parts)
        out, loss = np.full(m * n + 32, 7, dtype), np.arange(m, dtype=dtype)
        matrix = out[5 : 5 + m * n].reshape(m, n)
        for begin in range(0, m, rows):
            piece = slice(begin, begin + rows)
            call(function, loss[piece], matrix[piece], x[piece], y[piece])
        results.append((out.tobytes(), loss.tobytes()))
    assert results[1] == results[0] and results[2] == results[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_moments_of_units_without_gradient_end_at_zero(decay, dtype, table):
    """Rounding would keep them at a subnormal number for ever, by which division is slow."""
    if table.backend != "native":
        pytest.skip("only native kernels promise it")
    tiny = np.finfo(dtype).tiny
    p, m, v = np.ones(67, dtype), np.linspace(-3, 3, 67).astype(dtype) * tiny, np.ones(67, dtype)
    for _ in range(40):
        table.adam_step(p, m, v, np.zeros_like(p), 0.1, 0.9, 0.999, 1e-8, 1.0, 0.0, decay, 1.0, np.inf)
    assert not m.any() and v.all() and p.all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_case_list_reaches(kernel):
    """Of every kernel: an empty and a one-element call, each optional argument there and not, every permitted alias,
    every layout, every recipe of sizes."""
    cases = [case for case in CASES if case.kernel == kernel]
    sizes = [tuple(v for k, v in case.sizes.items() if k not in ("one", "chunks", "r", "words")) for case in cases]
    assert any(0 in size for size in sizes) and any(set(size) == {1} for size in sizes)
    assert {case.layout for case in cases} >= {"plain", "padded", "offset", "padded offset"}
    for argument in KERNELS[kernel].parameters:
        if argument.optional:
            assert {argument.name in case.absent for case in cases} == {True, False}, argument.name
        if argument.name == "kind":
            assert {case.parameters["kind"] for case in cases} == set(range(11))
        if argument.dtype == "any":
            types = {case.types[argument.name] for case in cases}
            assert len(types) == (8 if kernel in ("find_outside", "gather_labels") else 10)
    names = {argument.name for argument in KERNELS[kernel].parameters}
    for case in cases:
        assert case.values.keys() <= names - case.absent and set(case.values.values()) <= RECIPES.keys(), case
    text = Path(LIST).read_text(encoding="utf-8").replace("\n * ", " ")
    aliases = _permitted_aliases(text, kernel)
    assert {case.alias for case in cases if case.alias} == aliases


def _permitted_aliases(text: str, kernel: str) -> set[tuple[str, str]]:
    """From the sentences "y may be x." and "dx may be dy or s." of the comment before the kernel, or of its section."""
    before = text[: text.index(f"FN_KERNEL({kernel},")]
    comment = before[before.rindex("/*") :]
    section = before[before.rindex("/* ---- ") :]
    if "losses" in section[:40]:
        comment += section[: section.index("*/", section.index("may be"))]
    found = re.findall(r"(\w+) may be (\w+)(?: or (\w+))?\.", comment)
    return {(output, source) for output, *sources in found for source in sources if source}


def test_every_recipe_is_used():
    assert RECIPES.keys() == {recipe for case in CASES for recipe in case.values.values()} | set(DEFAULTS.values())


def test_gemm_shapes_are_what_benchmarks_promise():
    assert {(1, 1, 1), (1024, 1024, 1024), (128, 256, 256), (64, 64, 64)} <= set(GEMM_SHAPES)
    assert any(n == 10 for _, _, n in GEMM_SHAPES) and any(k == 784 for _, k, _ in GEMM_SHAPES)
    assert any(n == 1 for _, _, n in GEMM_SHAPES) and any(m == 1 for m, _, _ in GEMM_SHAPES)


def test_table_with_a_hole_or_a_stranger_does_not_load():
    functions = dict(ref_numpy.FUNCTIONS)
    del functions["adam_step"]
    with pytest.raises(LookupError, match="missing \\['adam_step'\\]"):
        Table("numpy", functions)
    with pytest.raises(LookupError, match="not in the list \\['relu'\\]"):
        Table("numpy", {**ref_numpy.FUNCTIONS, "relu": None})


def test_chunk_is_that_of_c():
    header = Path(LIST).parents[3] / "csrc" / "kernels" / "kernels.h"
    if not header.exists():
        pytest.skip("no C sources beside an installed package")
    assert int(re.search(r"#define FN_CHUNK (\d+)", header.read_text(encoding="utf-8"))[1]) == CHUNK


# ---- the random generator --------------------------------------------------------------------------------------------

_PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
_ONES = (0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2
_ZEROS = (0,) * 4, (0,) * 2


@pytest.mark.parametrize(
    ("rounds", "counter_and_key", "words"),
    [
        (7, _ZEROS, "5f6fb709 0d893f64 4f121f81 4f730a48"),
        (7, _ONES, "5207ddc2 45165e59 4d8ee751 8c52f662"),
        (7, _PI, "4dfccaba 190a87f0 c47362ba b6b5242a"),
        (10, _ZEROS, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (10, _ONES, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (10, _PI, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_known_answers_of_random123(rounds, counter_and_key, words):
    assert [f"{int(word):08x}" for word in ref_numpy.philox4x32(*counter_and_key, rounds)] == words.split()


def test_random_words_place_blocks_as_stated():
    seed, step, op, n = 0x1234567890ABCDEF, 0xFEDCBA0987654321, 0x1BEEF, 64 * 3 + 5
    words = ref_numpy.random_words(n, seed, step - 2**64, op)
    assert len(words) == n
    for i in (0, 1, 15, 16, 17, 63, 64, 100, 191, 192, n - 1):
        block, word = i // 64 * 16 + i % 16, i % 64 // 16
        counter = (block, 0xBEEF << 16, 0x87654321, 0xFEDCBA09)
        assert words[i] == ref_numpy.philox4x32(counter, (0x90ABCDEF, 0x12345678))[word]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_dropout_drops_its_rate(rate, table):
    x = np.ones(1 << 18, np.float32)
    y = np.empty_like(x)
    table.dropout(y, x, rate, 3.0, 5, 6, 7)
    assert set(np.unique(y)) <= {0.0, 3.0}
    dropped = (y == 0).mean()
    assert dropped == rate if rate in (0.0, 1.0) else abs(dropped - rate) < 5 * np.sqrt(rate * (1 - rate) / x.size)


@pytest.mark.parametrize("change", [(6, 6, 7), (5, 7, 7), (5, 6, 8)])
def test_dropout_masks_of_other_seeds_steps_and_ops_are_independent(change, table):
    x = np.ones(1 << 16, np.float32)
    y, other = np.empty_like(x), np.empty_like(x)
    table.dropout(y, x, 0.5, 1.0, 5, 6, 7)
    table.dropout(other, x, 0.5, 1.0, *change)
    assert abs((y == other).mean() - 0.5) < 5 * np.sqrt(0.25 / x.size)
