"""What users have as data, and what becomes of it: containers, dtypes, layouts, classes, weights, splits, messages.

a) Whatever the container, the numbers are those of a plain array; where nothing has to change, it is the user's memory.
b) pandas and polars are tested where they are installed.
c) Messages are tested in full where a user has to find a row by them.
"""

import re
from array import array
from collections import deque

import numpy as np
import pytest

from fusednet import backends, datasets
from fusednet.arrays import _BLOCK_BYTES
from fusednet.backends.table import TYPES

BASE = np.arange(12).reshape(4, 3)


def message(call, *args, **options):
    with pytest.raises((ValueError, TypeError)) as caught:
        call(*args, **options)
    return str(caught.value)


def shared(x, y):
    return np.shares_memory(x, y) and x.ctypes.data == y.ctypes.data


# ---- features: what is taken as it is --------------------------------------------------------------------------------


def wide_rows(dtype):
    a = np.zeros((4, 8), dtype)
    a[:, :3] = BASE
    return a[:, :3]


AS_THEY_ARE = {
    "contiguous": lambda dtype: BASE.astype(dtype),
    "rows that lie apart": wide_rows,
    "every other row": lambda dtype: np.repeat(BASE.astype(dtype), 2, axis=0)[::2],
    "read-only": lambda dtype: np.frombuffer(BASE.astype(dtype).tobytes(), dtype).reshape(4, 3),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", AS_THEY_ARE)
def test_what_kernels_can_read_is_not_copied(dtype, layout):
    x = AS_THEY_ARE[layout](dtype)
    given = datasets.features(x)
    assert shared(given.array, x) and given.array.strides == x.strides and given.array.dtype == dtype
    assert given.names is None and given.shape == (4, 3)
    np.testing.assert_array_equal(given.array, BASE)


def unaligned(dtype):
    raw = np.zeros(BASE.size * 8 + 1, np.uint8)
    a = raw[1 : 1 + BASE.size * np.dtype(dtype).itemsize].view(dtype).reshape(4, 3)
    a[:] = BASE
    return a


COPIED = {
    "Fortran order": lambda: np.asfortranarray(BASE.astype(np.float32)),
    "backwards": lambda: BASE[::-1, ::-1].copy()[::-1, ::-1],
    "every other column": lambda: np.repeat(BASE.astype(np.float64), 2, axis=1)[:, ::2],
    "unaligned": lambda: unaligned(np.float64),
    "other byte order": lambda: BASE.astype(">f4"),
    "other byte order, integers": lambda: BASE.astype(">i8"),
    "float16": lambda: BASE.astype(np.float16),
    "longdouble": lambda: BASE.astype(np.longdouble),
    "objects": lambda: BASE.astype(object),
    "lists": lambda: BASE.tolist(),
    "tuples of arrays": lambda: tuple(row.astype(np.float32) for row in BASE),
    "overlapping rows": lambda: np.lib.stride_tricks.as_strided(np.arange(20.0), (4, 3), (8, 8)),
    "one row for all": lambda: np.broadcast_to(np.arange(3.0), (4, 3)),
}


@pytest.mark.parametrize("what", COPIED)
def test_the_rest_is_copied_into_rows(what, backend, table):
    x = COPIED[what]()
    given = datasets.features(x).array
    expected = np.array(x, dtype=np.float64)
    assert given.dtype.name in TYPES and given.dtype.isnative and given.flags.c_contiguous and given.flags.aligned
    np.testing.assert_array_equal(given, expected)
    y = np.empty(given.shape, np.float32)
    table.gather_rows(y, given, None, None, None)
    np.testing.assert_array_equal(y, expected)


def test_dtypes_that_are_not_in_the_list():
    assert datasets.features(BASE.astype(np.float16)).array.dtype == np.float32
    assert datasets.features(BASE.astype(np.longdouble)).array.dtype == np.float64
    x = BASE % 2 == 0
    given = datasets.features(x).array
    assert given.dtype == np.uint8 and shared(given, x)
    np.testing.assert_array_equal(given, x)


def test_higher_ranks_become_rows():
    x = np.arange(24.0).reshape(4, 2, 3)
    given = datasets.features(x, width=6)
    assert shared(given.array, x) and given.array.shape == (4, 6) and given.shape == (4, 2, 3)
    np.testing.assert_array_equal(datasets.features(x.transpose(0, 2, 1)).array, x.transpose(0, 2, 1).reshape(4, 6))


def test_memmaps_are_not_read(tmp_path):
    x = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(50, 4, 4))
    given = datasets.features(x).array
    assert shared(given, x) and given.shape == (50, 16)


class Tensor:
    """An object with nothing but DLPack."""

    def __init__(self, a):
        self.a = a

    def __dlpack__(self, **options):
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.a.__dlpack_device__()


class Wrapped:
    """An object with nothing but __array__."""

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a


@pytest.mark.parametrize("container", [Tensor, Wrapped, memoryview])
def test_containers_that_share_their_memory(container):
    x = BASE.astype(np.float32)
    assert shared(datasets.features(container(x)).array, x)


@pytest.mark.parametrize(
    "x, expected",
    [
        (5.0, "x is 5.0; wanted an array, (rows, columns)"),
        (None, "x is None; wanted an array, a list or a data frame"),
        ("data.csv", "x is 'data.csv'; wanted an array, a list or a data frame"),
        ({"a": [1]}, "x is of type dict; wanted an array, a list or a data frame"),
        (np.ones(5), "x has shape (5,); wanted 2-D, (rows, columns): x.reshape(-1, 1) if it is one column, "
                     "x.reshape(1, -1) if it is one row"),
        (np.ones((0, 5)), "x has no rows (shape (0, 5))"),
        (np.ones((5, 0)), "x has no columns (shape (5, 0))"),
        (np.ones((2, 5)), "x has 5 features, the model was built for 4"),
        (np.ones((2, 5, 2)), "x has 10 features, the model was built for 4"),
        (np.ones((2, 4), complex), "x has dtype complex128; wanted real numbers"),
        (np.full((2, 4), "a"), "x has dtype <U1; wanted real numbers"),
        (np.zeros((2, 4), "M8[s]"), "x has dtype datetime64[s]; wanted real numbers"),
        (np.array([[1, 2, 3, 4], [5, None, 7, 8]], object), "x[1, 1] is None; wanted a number"),
        (np.array([[1, 2, 3, "b"]], object), "x[0, 3] is 'b'; wanted a number"),
        (np.ma.masked_array(BASE, BASE > 3), "x is a masked array; wanted one without a mask (use its filled())"),
        (iter([1]), "x is of type list_iterator; wanted an array, a list or a data frame"),
    ],
)  # fmt: skip
def test_bad_features(x, expected):
    assert message(datasets.features, x, width=4) == expected


def test_ragged_rows_and_sparse_matrices():
    assert message(datasets.features, [[1, 2], [3]]).startswith("x cannot be made an array: ")
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(BASE)
    assert message(datasets.features, sparse).startswith("x is a sparse csr_matrix; wanted a dense array")


def test_the_name_of_the_argument_is_in_the_message():
    assert message(datasets.features, np.ones((2, 3)), what="validation x", width=2).startswith("validation x has 3")


# ---- frames ----------------------------------------------------------------------------------------------------------


def test_pandas_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": [True, False]})
    given = datasets.features(frame)
    assert given.names == ("a", "b", "c") and given.array.dtype == np.float64
    np.testing.assert_array_equal(given.array, [[1, 0.5, 1], [2, np.nan, 0]])
    assert message(datasets.check_finite, given) == "x has NaN in row 1, column 1 ('b'); wanted finite numbers"

    x = np.ascontiguousarray(BASE, np.float32)
    frame = pd.DataFrame(x, copy=False)
    assert np.shares_memory(datasets.features(frame).array, x) and datasets.features(frame).names == ("0", "1", "2")

    missing = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([3, 4], "Int32")})
    np.testing.assert_array_equal(datasets.features(missing).array, [[1, 3], [np.nan, 4]])
    assert datasets.features(missing[["b"]]).array.dtype == np.int32
    missing["b"] = pd.array([True, None], "boolean")
    np.testing.assert_array_equal(datasets.features(missing).array, [[1, 1], [np.nan, np.nan]])
    twice = pd.DataFrame([[1, 2.5], [3, 4.5]], columns=["a", "a"])
    np.testing.assert_array_equal(datasets.features(twice).array, [[1, 2.5], [3, 4.5]])


def test_pandas_columns_kept_by_arrow():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {"a": pd.array([1, None], "int64[pyarrow]"), "b": pd.array([0.5, 1.5], "float[pyarrow]")}
    )
    np.testing.assert_array_equal(datasets.features(frame).array, [[1, 0.5], [np.nan, 1.5]])
    assert datasets.features(frame[["b"]]).array.dtype == np.float32
    assert message(datasets.features, frame.astype("string[pyarrow]")).startswith("x: column 'a' has dtype string")


@pytest.mark.parametrize("values", [["NEAR BAY", "INLAND"], [None, 1.5], ["2026-01-01", "2026-01-02"]])
def test_pandas_columns_that_are_not_numbers(values):
    pd = pytest.importorskip("pandas")
    column = pd.to_datetime(values) if str(values[0])[:2] == "20" else pd.Series(values, dtype=object)
    frame = pd.DataFrame({"a": [1, 2], "ocean": column})
    assert re.match(r"x: column 'ocean' has dtype \S+; wanted numbers \(encode it", message(datasets.features, frame))
    categories = frame.astype({"ocean": "category"})
    assert message(datasets.features, categories).startswith("x: column 'ocean' has dtype category; wanted numbers")


def test_polars_frames():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, 2], "b": [0.5, None], "c": [True, False]})
    given = datasets.features(frame)
    assert given.names == ("a", "b", "c")
    np.testing.assert_array_equal(given.array, [[1, 0.5, 1], [2, np.nan, 0]])
    missing = pl.DataFrame({"a": [True, None], "b": [None, 3]})
    np.testing.assert_array_equal(datasets.features(missing).array, [[1, np.nan], [np.nan, 3]])
    assert datasets.features(frame[["a"]]).array.dtype == np.int64
    assert message(datasets.features, frame.with_columns(d=pl.Series(["x", "y"]))).startswith(
        "x: column 'd' has dtype String; wanted numbers"
    )
    assert message(datasets.features, frame["a"]).startswith("x has shape (2,); wanted 2-D")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_as_y(library):
    lib = pytest.importorskip(library)
    codes, classes = datasets.labels(lib.Series(["b", "a", "b"]), 2)
    assert codes.tolist() == [1, 0, 1] and classes.tolist() == ["a", "b"]
    codes, classes = datasets.labels(lib.DataFrame({"y": ["b", "a", "b"]}), 2)
    assert codes.tolist() == [1, 0, 1] and classes.tolist() == ["a", "b"]
    assert datasets.labels(lib.Series([2, 0, 1]), 3)[0].tolist() == [2, 0, 1]
    assert datasets.labels(lib.DataFrame({"a": [1, 0], "b": [0, 1]}), 2)[0].tolist() == [0, 1]
    assert message(datasets.labels, lib.Series(["b", None, "b"]), 2) == "y has no class in row 1"
    assert datasets.targets(lib.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}), 2).tolist() == [[1, 0.5], [2, 1.5]]
    assert datasets.targets(lib.Series([1, 2]), 1).tolist() == [[1], [2]]
    assert message(datasets.targets, lib.DataFrame({"a": [1.0, float("nan")]}), 1) == (
        "y has NaN in row 1, column 0 ('a'); wanted finite numbers"
    )
    assert datasets.binary(lib.DataFrame({"a": [1, 0], "b": [True, False]}), 2)[0].tolist() == [[1, 1], [0, 0]]
    weights = datasets.weights(2, lib.Series([1, 3]))
    assert weights.tolist() == [1, 3]
    train, validation = datasets.split(4, 0.5, 0, codes=datasets.labels(lib.Series(["a", "b", "a", "b"]), 2)[0])
    assert len(train) == len(validation) == 2


def test_pandas_classes_of_other_dtypes():
    pd = pytest.importorskip("pandas")
    for series in (
        pd.Series(["b", "a"], dtype="category"),
        pd.Series(["b", "a"], dtype="string"),
        pd.Series(["b", "a"], dtype=object),
    ):
        codes, classes = datasets.labels(series, 2)
        assert codes.tolist() == [1, 0] and classes.tolist() == ["a", "b"] and classes.dtype.kind == "U"
    assert datasets.labels(pd.Series([1, 0], dtype="Int64"), 2)[0].tolist() == [1, 0]
    assert message(datasets.labels, pd.Series([1, None], dtype="Int64"), 2).startswith("y has no class in row 1")


# ---- batches ---------------------------------------------------------------------------------------------------------


class Loader:
    def __iter__(self):
        yield BASE, BASE[:, 0]


def test_what_is_an_iterator_of_batches():
    for x in (iter([1]), (batch for batch in [BASE]), Loader(), zip([1], [2], strict=True), map(abs, [1]), deque([1])):
        assert datasets.is_batches(x)
    for x in (BASE, BASE.tolist(), (1, 2), "abc", b"abc", {}, set(), range(3), None, 5, 2.0, np.float32(1)):
        assert not datasets.is_batches(x)
    for x in (Tensor(BASE), Wrapped(BASE), array("d", [1.0]), memoryview(b"abc"), np.ma.masked_array([1])):
        assert not datasets.is_batches(x)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_are_not_batches(library):
    lib = pytest.importorskip(library)
    assert not datasets.is_batches(lib.DataFrame({"a": [1]})) and not datasets.is_batches(lib.Series([1]))


# ---- NaN and infinity ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ">f8"])
@pytest.mark.parametrize("value, word", [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "-infinity")])
def test_check_finite_names_the_place(table, dtype, value, word):
    x = np.ones((20, 5), dtype)
    datasets.check_finite(x)
    x[12, 3] = value
    x[13, 0] = np.nan
    assert message(datasets.check_finite, x, "x") == f"x has {word} in row 12, column 3; wanted finite numbers"
    names = ("a", "b", "c", "age", "e")
    assert message(datasets.check_finite, x, "x", names).startswith(f"x has {word} in row 12, column 3 ('age')")
    assert message(datasets.check_finite, x[:, ::-1]).startswith(f"x has {word} in row 12, column 1;")
    assert message(datasets.check_finite, x[12:, 3], "y").startswith(f"y has {word} in row 0;")
    image = datasets.features(x.reshape(4, 5, 5))
    assert message(datasets.check_finite, image).startswith(f"x has {word} in row 2, at [2, 2, 3];")
    assert message(datasets.check_finite, x.reshape(4, 5, 5)).startswith(f"x has {word} in row 2, at [2, 2, 3];")


def test_check_finite_leaves_integers_and_empty_arrays_alone(table):
    datasets.check_finite(np.full((3, 3), 255, np.uint8))
    for shape in ((0, 3), (3, 0), (0,), (2, 0, 3)):
        datasets.check_finite(np.ones(shape))


def test_check_finite_goes_through_a_memmap_in_blocks(tmp_path, monkeypatch):
    rows = 3 * _BLOCK_BYTES // 4096 + 17
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(rows, 1024))
    blocks = []
    kernel = backends.current().find_nonfinite

    class Watched:
        @staticmethod
        def find_nonfinite(first, block):
            assert np.shares_memory(block, x) and block.nbytes <= _BLOCK_BYTES
            blocks.append(len(block))
            kernel(first, block)

    monkeypatch.setattr(backends, "current", lambda: Watched)
    datasets.check_finite(datasets.features(x))
    assert len(blocks) == 4 and sum(blocks) == rows
    x[rows - 2, 7] = np.nan
    assert message(datasets.check_finite, x).startswith(f"x has NaN in row {rows - 2}, column 7;")


# ---- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*TYPES, ">i4", "float16"])
@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_whole_numbers_are_codes(table, dtype, shape):
    y = np.array([2, 0, 1, 3, 3]).astype(dtype).reshape(shape)
    codes, classes = datasets.labels(y, 4)
    assert codes.dtype == np.int32 and codes.tolist() == [2, 0, 1, 3, 3] and classes is None


def test_labels_of_lists_and_strides():
    assert datasets.labels([1, 0], 2)[0].tolist() == [1, 0]
    assert datasets.labels(np.arange(6)[::-2], 6)[0].tolist() == [5, 3, 1]
    assert datasets.labels(np.array([1, 0.0], object), 2)[0].tolist() == [1, 0]


@pytest.mark.parametrize("make", [list, np.array, lambda y: np.array(y, object)])
def test_text_is_counted_in_sorted_order(make):
    codes, classes = datasets.labels(make(["dog", "ant", "cat", "ant"]), 3)
    assert codes.tolist() == [2, 0, 1, 0] and classes.tolist() == ["ant", "cat", "dog"] and classes.dtype.kind == "U"
    assert datasets.labels(["cat"], 3, classes)[0].tolist() == [1]
    assert message(datasets.labels, ["cat", "cow"], 3, classes) == (
        "y has 'cow' in row 1, which is none of the 3 classes ('ant', 'cat', 'dog')"
    )
    assert message(datasets.labels, [0, 1], 3, classes).startswith("y has 0 in row 0, which is none of the 3 classes")


def test_a_frame_that_is_not_there_yet_is_refused():
    class LazyFrame:
        __module__ = "polars.lazyframe.frame"

        def __getitem__(self, name):
            raise TypeError("LazyFrame is not subscriptable")

        columns = dtypes = ()

    for call in (datasets.features, lambda y: datasets.labels(y, 2)):
        assert "wanted a data frame (use its collect())" in message(call, LazyFrame())


def test_booleans_and_objects():
    codes, classes = datasets.labels([True, True], 2)
    assert codes.tolist() == [1, 1] and classes.tolist() == [False, True]
    codes, classes = datasets.labels(np.array([(1, 2), (0, 1), (1, 2), None], "O,O")[:3].astype(object), 2)
    assert codes.tolist() == [1, 0, 1] and classes.tolist() == [(0, 1), (1, 2)]


@pytest.mark.parametrize("make", [list, np.array, lambda y: np.array(y, object)])
def test_bytes_are_counted_in_sorted_order(make):
    codes, classes = datasets.labels(make([b"dog", b"ant"]), 2)
    assert codes.tolist() == [1, 0] and classes.tolist() == [b"ant", b"dog"] and classes.dtype.kind == "S"
    assert "bytes and text" in message(datasets.labels, np.array([b"a", "b"], object), 2)


def test_given_classes_need_not_be_sorted():
    codes, classes = datasets.labels([7, 3, 5, 7], 3, classes=[5, 7, 3])
    assert codes.tolist() == [1, 2, 0, 1] and classes.tolist() == [5, 7, 3]
    assert datasets.labels([7.0, 3.0], 3, classes=[5, 7, 3])[0].tolist() == [1, 2]
    assert message(datasets.labels, [3, 4], 3, classes=[5, 7, 3]).startswith("y has 4 in row 1, which is none of")
    assert message(datasets.labels, [3, 9], 3, classes=[5, 7, 3]).startswith("y has 9 in row 1, which is none of")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_one_hot_rows(dtype):
    y = np.eye(4, dtype=dtype)[[2, 0, 3]]
    codes, classes = datasets.labels(y, 4)
    assert codes.dtype == np.int32 and codes.tolist() == [2, 0, 3] and classes is None


@pytest.mark.parametrize(
    "y, expected",
    [
        ([0, 1, 4, 7], "y has 4 in row 2; wanted classes from 0 to 3 (the model has 4 outputs)"),
        ([[0], [-1]], "y has -1 in row 1; wanted classes from 0 to 3 (the model has 4 outputs)"),
        ([0, 2.5], "y has 2.5 in row 1; wanted whole numbers (one class for each row), or a column for each class"),
        ([0, np.nan], "y has no class in row 1 (it is NaN)"),
        ([0, np.inf], "y has inf in row 1; wanted whole numbers (one class for each row), or a column for each class"),
        (["a", None], "y has no class in row 1"),
        (list("abcde"), "y has 5 classes ('a', 'b', 'c', 'd', 'e'), the model has 4 outputs"),
        (list("abcdefgh"), "y has 8 classes ('a', 'b', 'c', 'd', 'e', 'f', ...), the model has 4 outputs"),
        (np.array(["a", 1], object), "y holds text and whole numbers; wanted classes of one kind"),
        (np.ones((3, 2)),
         "y has shape (3, 2); wanted (n,), one class for each row, or (n, 4), a column for each class"),
        (np.zeros((0,)), "y has no rows (shape (0,))"),
        (3, "y has shape (); wanted (n,), one class for each row, or (n, 4), a column for each class"),
        (np.zeros(3, complex), "y has dtype complex128; wanted integers, text or booleans"),
        ([[0, 0, 1, 0], [0, 1, 1, 0]], "y has 0, 1, 1, 0 in row 1; wanted one-hot rows, of zeros and one 1 "
         "(rows of probabilities need the loss 'categorical_crossentropy')"),
        ([[0, 0, 0.5, 0.5]], "y has 0.0, 0.0, 0.5, 0.5 in row 0; wanted one-hot rows, of zeros and one 1 "
         "(rows of probabilities need the loss 'categorical_crossentropy')"),
        ([[0, 0, 0, 0]], "y has 0, 0, 0, 0 in row 0; wanted one-hot rows, of zeros and one 1 "
         "(rows of probabilities need the loss 'categorical_crossentropy')"),
    ],
)  # fmt: skip
def test_bad_labels(y, expected):
    assert message(datasets.labels, y, 4) == expected


# ---- targets and binary ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets(dtype):
    for y, columns in (
        ([1, 2, 3], 1),
        ([[1], [2], [3]], 1),
        (np.asfortranarray(BASE), 3),
        (BASE.astype(">f2"), 3),
        (np.arange(24).reshape(2, 3, 4), 12),
        ([True, False], 1),
    ):
        given = datasets.targets(y, columns, dtype)
        assert given.dtype == dtype and given.flags.c_contiguous and given.shape == (len(y), columns)
        np.testing.assert_array_equal(given.ravel(), np.ravel(y))


@pytest.mark.parametrize(
    "y, columns, expected",
    [
        ([1, 2], 3, "y has shape (2,); wanted (n, 3), a column for each output"),
        (BASE, 2, "y has shape (4, 3); wanted (n, 2), a column for each output"),
        (BASE, 1, "y has shape (4, 3); wanted (n, 1), a column for each output, or (n,)"),
        ([], 1, "y has no rows (shape (0,))"),
        ([1, np.nan], 1, "y has NaN in row 1; wanted finite numbers"),
        ([[1, 2], [3, -np.inf]], 2, "y has -infinity in row 1, column 1; wanted finite numbers"),
        ([1.0, 1e300], 1, "y has infinity in row 1; wanted finite numbers"),
        (["a", "b"], 1, "y has dtype <U1; wanted real numbers"),
        (5, 1, "y has shape (); wanted (n, 1), a column for each output, or (n,)"),
    ],
)
def test_bad_targets(y, columns, expected):
    assert message(datasets.targets, y, columns) == expected


@pytest.mark.parametrize(
    "y, columns, expected, classes",
    [
        ([0, 1, 1], 1, [[0], [1], [1]], None),
        ([[0.0], [0.25]], 1, [[0], [0.25]], None),
        (np.array([0, 1], object), 1, [[0], [1]], None),
        ([True, True], 1, [[1], [1]], [False, True]),
        ([[True], [False]], 1, [[1], [0]], [False, True]),
        (["yes", "no"], 1, [[1], [0]], ["no", "yes"]),
        ([["yes"], ["no"]], 1, [[1], [0]], ["no", "yes"]),
        ([[1, 0], [1, 1]], 2, [[1, 0], [1, 1]], None),
        ([[True, False], [True, True]], 2, [[1, 0], [1, 1]], None),
    ],
)
def test_binary(y, columns, expected, classes):
    for dtype in (np.float32, np.float64):
        given, found = datasets.binary(y, columns, dtype)
        assert given.tolist() == expected and given.dtype == dtype and given.flags.c_contiguous
        assert (found if found is None else found.tolist()) == classes


def test_binary_with_given_classes():
    given, classes = datasets.binary(["no", "no"], 1, classes=["no", "yes"])
    assert given.tolist() == [[0], [0]] and classes.tolist() == ["no", "yes"]
    assert datasets.binary([5, 3], 1, classes=[3, 5])[0].tolist() == [[1], [0]]
    assert datasets.binary([True], 1, classes=[False, True])[0].tolist() == [[1]]
    assert message(datasets.binary, ["maybe"], 1, classes=["no", "yes"]).startswith("y has 'maybe' in row 0, which is")
    assert message(datasets.binary, ["a"], 1, classes=list("abc")) == "classes has 3 values; wanted 2"


@pytest.mark.parametrize(
    "y, columns, expected",
    [
        ([0, 1, 2], 1, "y has 2 in row 2; wanted 0 and 1, or numbers between"),
        ([[0, 1], [1, -0.5]], 2, "y has -0.5 in row 1, column 1; wanted 0 and 1, or numbers between"),
        ([0, np.nan], 1, "y has NaN in row 1; wanted finite numbers"),
        (["a", "a"], 1, "y has one class only ('a'); wanted two"),
        (list("abc"), 1, "y has 3 classes ('a', 'b', 'c'), but one output tells two apart; wanted two classes, or "
                         "Dense(3) with the loss 'sparse_categorical_crossentropy'"),
        ([["a", "b"]], 2, "y has shape (1, 2) and dtype <U1; wanted (n, 2), 0 and 1 for each output"),
        ([True, False], 2, "y has shape (2,); wanted (n, 2), a column for each output"),
        (np.array([], "U1"), 1, "y has no rows (shape (0,))"),
    ],
)  # fmt: skip
def test_bad_binary(y, columns, expected):
    assert message(datasets.binary, y, columns) == expected


# ---- weights ---------------------------------------------------------------------------------------------------------

CODES = np.array([0, 1, 1, 2], np.int32)


def test_weights():
    assert datasets.weights(4) is None
    assert datasets.weights(4, [1, 2, 3, 0]).tolist() == [1, 2, 3, 0]
    assert datasets.weights(4, np.ones((4, 1), np.uint8)).tolist() == [1] * 4
    assert datasets.weights(4, None, {1: 3, 2: 0.5}, CODES).tolist() == [1, 3, 3, 0.5]
    assert datasets.weights(4, [1, 2, 3, 4], {1: 3, 2: 0.5}, CODES).tolist() == [1, 6, 9, 2]
    classes = np.array(["a", "b", "c"])
    assert datasets.weights(4, None, {"b": 3}, CODES, classes, np.float64).dtype == np.float64
    assert datasets.weights(4, None, {"b": 3}, CODES, classes).tolist() == [1, 3, 3, 1]
    assert datasets.weights(4, None, {np.int64(5): 2}, CODES, outputs=6).tolist() == [1] * 4
    assert datasets.weights(4, None, {1: 2}, CODES % 2, outputs=1).tolist() == [1, 2, 2, 1]  # one sigmoid output
    assert datasets.weights(3, None, {1: 2}, CODES[[0, 0, 0]], outputs=1).tolist() == [1, 1, 1]
    assert datasets.weights(4, None, "balanced", CODES % 2, outputs=1).tolist() == [1, 1, 1, 1]
    assert datasets.weights(4, None, {True: 2}, CODES % 2, np.array([False, True])).tolist() == [1, 2, 2, 1]


def test_balanced_weights_give_each_class_the_same_sum():
    codes = np.random.default_rng(0).choice(5, 1000, p=[0.5, 0.3, 0.15, 0.05, 0])
    given = datasets.weights(1000, None, "balanced", codes, dtype=np.float64, outputs=5)
    np.testing.assert_allclose(np.bincount(codes, given, minlength=5), [250, 250, 250, 250, 0])


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"sample_weight": [1, 2]}, "sample_weight has shape (2,); wanted (4,), one for each row"),
        ({"sample_weight": np.ones((4, 2))}, "sample_weight has shape (4, 2); wanted (4,), one for each row"),
        ({"sample_weight": [1, 1, -1, 1]}, "sample_weight has -1 in row 2; wanted 0 or more"),
        ({"sample_weight": [1, 1, 1, np.nan]}, "sample_weight has NaN in row 3; wanted finite numbers"),
        ({"sample_weight": [0, 0, 0, 0]}, "the weights of all rows are 0; wanted some above 0"),
        ({"sample_weight": ["a"] * 4}, "sample_weight has dtype <U1; wanted real numbers"),
        ({"class_weight": {0: 1}}, "class_weight is given, but y holds numbers, not classes"),
        ({"class_weight": {3: 1}, "codes": CODES}, "class_weight names 3, which is none of the classes (0, 1, 2)"),
        ({"class_weight": {"d": 1}, "codes": CODES, "classes": np.array(["a", "b", "c"])},
         "class_weight names 'd', which is none of the classes ('a', 'b', 'c')"),
        ({"class_weight": {1: -2}, "codes": CODES}, "class_weight[1] is -2; wanted a finite number of at least 0"),
        ({"class_weight": {1: np.nan}, "codes": CODES}, "class_weight[1] is nan; wanted a finite number of at least 0"),
        ({"class_weight": {1: "x"}, "codes": CODES}, "class_weight[1] is 'x'; wanted a number"),
        ({"class_weight": [1, 2, 3], "codes": CODES},
         "class_weight is [1, 2, 3]; wanted a dict from class to weight, or 'balanced'"),
        ({"class_weight": "even", "codes": CODES},
         "class_weight is 'even'; wanted a dict from class to weight, or 'balanced'"),
    ],
)  # fmt: skip
def test_bad_weights(options, expected):
    assert message(datasets.weights, 4, **options) == expected


# ---- split -----------------------------------------------------------------------------------------------------------


def are_parts(train, validation, n):
    whole = np.concatenate([train, validation])
    rising = (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    return rising and train.dtype == validation.dtype == np.int64 and np.array_equal(np.sort(whole), np.arange(n))


@pytest.mark.parametrize("n, fraction", [(10, 0.2), (1797, 0.2), (7, 0.3), (2, 0.5), (1000, 0.001), (20640, 0.33)])
def test_splits_have_keras_sizes(n, fraction):
    first = int(np.floor(n * (1.0 - fraction)))  # Keras's train_validation_split
    train, validation = datasets.split(n, fraction, 0, "tail")
    assert train.tolist() == list(range(first)) and validation.tolist() == list(range(first, n))
    codes = np.arange(n) % 3
    for given in (None, codes):
        train, validation = datasets.split(n, fraction, 0, codes=given)
        assert are_parts(train, validation, n) and len(train) == first
    assert not are_parts(train, validation[:-1], n) and not are_parts(validation, validation, n)


def test_splits_follow_the_seed():
    one, same, other = (datasets.split(100, 0.2, seed)[1].tolist() for seed in (3, 3, 4))
    assert one == same != other and one != list(range(80, 100))
    codes = np.arange(100) % 7
    one, same, other = (datasets.split(100, 0.2, seed, codes=codes)[1].tolist() for seed in (3, 3, 4))
    assert one == same != other
    assert datasets.split(100, 0.2, np.random.default_rng(3), codes=codes)[1].tolist() == one


def test_random_splits_are_even():
    """Every row is as often in validation as every other."""
    codes = np.repeat([0, 1, 2], [20, 15, 5])
    for given in (None, codes):
        often = sum(np.bincount(datasets.split(40, 0.2, seed, codes=given)[1], minlength=40) for seed in range(2000))
        assert often.sum() == 16000 and np.abs(often - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


@pytest.mark.parametrize("seed", range(20))
def test_random_splits_are_stratified(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(11 if seed % 2 else 1, 60, rng.integers(2, 12))
    codes = rng.permutation(np.repeat(rng.permutation(100)[: len(counts)], counts))
    fraction = rng.choice([0.1, 0.2, 0.5, 0.8])
    n = len(codes)
    train, validation = datasets.split(n, fraction, seed, codes=codes)
    assert are_parts(train, validation, n)
    found, counts = np.unique(codes, return_counts=True)
    chosen = np.array([np.count_nonzero(codes[validation] == code) for code in found])
    exact = counts * len(validation) / n
    if seed % 2:  # each class is large enough for its share, to within a row
        assert (np.abs(chosen - exact) < 1).all() and not (np.abs(chosen + 1 - exact) < 1).all()
    assert np.count_nonzero(counts >= 2) <= min(len(train), len(validation))
    assert (chosen[counts >= 2] >= 1).all() and (chosen < counts)[counts >= 2].all()
    assert (chosen[counts == 1] == 0).all()


def test_stratified_splits_of_hard_sizes():
    codes = np.arange(10)  # one row each
    train, validation = datasets.split(10, 0.5, 0, codes=codes)
    assert are_parts(train, validation, 10) and len(validation) == 5
    codes = np.repeat(np.arange(50), 2)  # more classes than validation rows
    train, validation = datasets.split(100, 0.1, 0, codes=codes)
    assert are_parts(train, validation, 100) and len(np.unique(codes[validation])) == 10
    train, validation = datasets.split(100, 0.9, 0, codes=codes)
    assert are_parts(train, validation, 100) and len(np.unique(codes[train])) == len(train)
    codes = np.r_[np.zeros(97, int), 1, 1, 2]
    train, validation = datasets.split(100, 0.01, 0, codes=codes)
    assert codes[validation].tolist() == [0]
    train, validation = datasets.split(100, 0.02, 0, codes=codes)
    assert sorted(codes[validation]) == [0, 1] and sorted(codes[train])[-2:] == [1, 2]


@pytest.mark.parametrize(
    "n, fraction, how, expected",
    [
        (10, 0, "random", "fit: validation_split is 0; wanted a number in (0, 1)"),
        (10, 1.0, "tail", "fit: validation_split is 1; wanted a number in (0, 1)"),
        (10, -0.1, "tail", "fit: validation_split is -0.1; wanted a number in (0, 1)"),
        (10, np.nan, "tail", "fit: validation_split is nan; wanted a number in (0, 1)"),
        (10, "a", "tail", "fit: validation_split is 'a'; wanted a number"),
        (1, 0.5, "random", "fit: validation_split is 0.5, which leaves no rows of 1 for training"),
        (3, 0.9, "tail", "fit: validation_split is 0.9, which leaves no rows of 3 for training"),
        (9, 1e-17, "random", "fit: validation_split is 1e-17, which leaves no rows of 9 for validation"),
        (10, 0.5, "head", "fit: split is 'head'; known: random, tail"),
    ],
)
def test_bad_splits(n, fraction, how, expected):
    assert message(datasets.split, n, fraction, 0, how).startswith(expected)


# ---- the digits ------------------------------------------------------------------------------------------------------


def test_digits():
    x, y = datasets.load_digits()
    assert x.dtype == np.uint8 and x.shape == (1797, 64) and x.max() == 16
    assert y.dtype == np.int64 and y.shape == (1797,)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert x[0, :8].tolist() == [0, 0, 5, 13, 9, 1, 0, 0] and y[:10].tolist() == list(range(10))
    again, _ = datasets.load_digits()
    x[:] = 0
    assert again.any()


def test_digits_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets")
    theirs = sklearn.load_digits()
    x, y = datasets.load_digits()
    np.testing.assert_array_equal(x, theirs.data)
    np.testing.assert_array_equal(y, theirs.target)
