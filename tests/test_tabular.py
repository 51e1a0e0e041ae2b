"""Tables: reading files, finding the task, and recipes beside the scikit-learn transformers that they were learnt with.

Needs pandas and scikit-learn, and for Parquet pyarrow.
"""

import datetime
import decimal
import json
import os
import re
import warnings

import numpy as np
import pytest

from fusednet import recipe, tabular

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")


def frame(rows=400, seed=0):
    """A table with all that happens: gaps, text, bools, dates, infinities, constants, identifiers."""
    rng = np.random.default_rng(seed)
    size, room = rng.normal(50, 10, rows), rng.integers(1, 6, rows)
    town = rng.choice(["Ulm", "Bern", "Graz"], rows, p=[0.6, 0.3, 0.1]).astype(object)
    price = 3.0 * size + 20 * room + 40.0 * (town == "Bern") + rng.normal(0, 1, rows)
    table = pd.DataFrame({
        "size": size, "rooms": room, "town": town, "garden": rng.random(rows) < 0.5,
        "built": pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 9000, rows), "D"),
        "ratio": rng.normal(size=rows), "nothing": np.nan, "same": 7, "id": [f"house {i}" for i in range(rows)],
        "price": price,
    })  # fmt: skip
    table.loc[::7, "size"] = np.nan
    table.loc[::5, "town"] = None
    table.loc[3, "ratio"] = np.inf
    return table


def learn(table, target="price", task=None, drop=()):
    return recipe.learn(table, tabular.target(table, target, task), drop)


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_of_any_separator(tmp_path, separator):
    path = tmp_path / "table.csv"
    path.write_text("\ufeffa, name ,c\n1,x,2.5\n,y,3\n".replace(",", separator), encoding="utf-8")
    table = tabular.read(path)
    assert list(table.columns) == ["a", "name", "c"]
    assert table["c"].tolist() == [2.5, 3.0] and table["a"].isna().tolist() == [False, True]
    assert tabular.read(path, ("c",))["c"].tolist() == ["2.5", "3"]


def test_compressed_csv_and_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    table = frame()
    table.to_csv(tmp_path / "t.csv.gz", index=False)
    table.to_parquet(tmp_path / "t.data")  # known by its first bytes, not by its name
    assert len(tabular.read(tmp_path / "t.csv.gz")) == len(table)
    read = tabular.read(tmp_path / "t.data")
    assert list(read.columns) == list(table.columns)
    assert np.array_equal(learn(read).apply(read), learn(table).apply(table))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows below the names of its 2 columns"),
        (b"a,b\n1,2\n1,2,3\n", "cannot be read as CSV: .*line 3"),
        (b"a,b\n1,2,\n3,4,x\n", r"more values than its first line has names \(2\)"),
        (b"a,b\n1,2,3\n1,2,3\n", r"more values than its first line has names \(2\)"),
        (b"a;b\n1;2;3\n2;4;5\n", r"more values than its first line has names \(2\)"),  # 1, 2: as rows are numbered
        (b"a,b\nx,1,2\ny,3,4\n", r"more values than its first line has names \(2\)"),
        (b"a;b;a\n1;2;3\n", "two columns with the name 'a'"),
        (b"a,b\xff\n1,2\n", r"not UTF-8 text \(byte 0xff\)"),
        (b"\x7fELF\0\0", "is not text"),
        (b"PAR1 and no more", "cannot be read as Parquet"),
        (b"\x1f\x8bnot gzip", "cannot be read as CSV"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, content, message):
    if content.startswith(b"PAR1"):
        pytest.importorskip("pyarrow")
    path = tmp_path / ("t.csv.gz" if content.startswith(b"\x1f") else "t.csv")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        tabular.read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_of_the_first_line(tmp_path, separator):
    lines = [["a", '"b,c;d\te|f"', "g"], ["1", '"2,5,6"', "x"], ["3", '"4,5"', "y"]]
    (tmp_path / "t.csv").write_text("\n".join(separator.join(line) for line in lines) + "\n")
    read = tabular.read(tmp_path / "t.csv")
    assert list(read.columns) == ["a", "b,c;d\te|f", "g"] and read["b,c;d\te|f"].tolist() == ["2,5,6", "4,5"]
    (tmp_path / "t.csv").write_text("a;b;c\n1;2,5,6;x\n3;4,5;y,z\n")  # commas of other uses
    assert tabular.read(tmp_path / "t.csv").values.tolist() == [[1, "2,5,6", "x"], [3, "4,5", "y,z"]]
    (tmp_path / "t.csv").write_text("a;b\n1;2;\n3;4;\n")  # separators at the end of rows
    assert tabular.read(tmp_path / "t.csv").values.tolist() == [[1, 2], [3, 4]]
    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    assert tabular.read(tmp_path / "t.csv")["a"].tolist() == [1, 2]


def test_numbers_may_have_decimal_commas(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a; b ;c;d\n1,25;-,5;3,;x\n+2,5e-1; 1 ;;1,5\n")
    read = tabular.read(path)
    assert read[["a", "b"]].values.tolist() == [[1.25, -0.5], [0.25, 1.0]] and read["d"].tolist() == ["x", "1,5"]
    assert read["c"].isna().tolist() == [False, True] and read["c"][0] == 3
    assert tabular.read(path, ("a", "b"))["a"].tolist() == ["1,25", "+2,5e-1"]
    path.write_text("a\tb\n1,250\t2,125,000\n-3,500\t4,125\n")  # of which nobody knows what their commas are
    assert tabular.read(path)["a"].tolist() == ["1,250", "-3,500"]
    path.write_text("a;b\n1,250;0,125\n-3,500;4,125\n")  # by another column of the same file
    assert tabular.read(path).values.tolist() == [[1.25, 0.125], [-3.5, 4.125]]
    path.write_text("a;b\n1,5;123456789012345678901234567890\n2,5;123456789012345678901234567891\n")  # b: no comma
    assert len(set(tabular.read(path)["b"].tolist())) == 2
    path.write_text('a,b\n"1,5",2\n"2,5",3\n')
    assert tabular.read(path)["a"].tolist() == ["1,5", "2,5"]


@pytest.mark.parametrize(
    ("separator", "line", "names"),
    [
        (",", 'city,"Which colour? red|green|blue|none",price', ["city", "Which colour? red|green|blue|none", "price"]),
        (";", 'a; "Say ""x|y|z|w"", please";b', ["a", 'Say "x|y|z|w", please', "b"]),
        (",", '"red|green|blue|none",b', ["red|green|blue|none", "b"]),
        (",", 'a,"",b', ["a", "Unnamed: 1", "b"]),
        (";", 'a;5" x;7" y', ["a", '5" x', '7" y']),  # quotes that open nothing
    ],
)
def test_separators_within_quotes_do_not_count(tmp_path, separator, line, names):
    values = list(range(len(names)))
    (tmp_path / "t.csv").write_text(f"{line}\n{separator.join(map(str, values))}\n")
    read = tabular.read(tmp_path / "t.csv")
    assert list(read.columns) == names and read.values.tolist() == [values]


@pytest.mark.parametrize("head", ["code ,z", " code,z", '"code ",z', "code,z"])
def test_text_is_text_whatever_spaces_its_name_has(tmp_path, head):
    (tmp_path / "t.csv").write_text(f"{head}\n01,1\n01,2\n")
    assert tabular.read(tmp_path / "t.csv", ("code",))["code"].tolist() == ["01", "01"]


def test_named_levels_of_an_index_are_columns(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [0.5, 1.5, 2.5]})
    table.set_index(["a", "b"]).to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(tabular.read(tmp_path / "t.parquet"), table, check_dtype=False)
    table.iloc[::-1].to_parquet(tmp_path / "t.parquet")  # whose index has no name
    assert list(tabular.read(tmp_path / "t.parquet").columns) == ["a", "b", "c"]
    table.set_index(pd.Index([7, 8, 9], name="c")).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t.parquet has two columns with the name 'c'"):
        tabular.read(tmp_path / "t.parquet")


@pytest.mark.filterwarnings("error")
def test_numbers_too_large_to_be_standardised_name_their_column():
    table = pd.DataFrame({"a": np.arange(40.0), "large": np.linspace(-1e300, 1e300, 40), "y": np.arange(40.0) / 3})
    target = tabular.target(table, "y")
    with pytest.raises(ValueError, match=r"the column 'large' of t.csv has numbers too large .*; --drop large"):
        recipe.learn(table, target, path="t.csv")
    recipe.learn(table, target, ("large",))
    with pytest.raises(ValueError, match=r"the target 'large' of t.csv has numbers too large"):
        recipe.learn(table, tabular.target(table, "large"), path="t.csv")


def test_folders_missing_files_and_double_names(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder"):
        tabular.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        tabular.read(tmp_path / "none.csv")
    for text in ("a,a \n1,2\n", "a,a\n1,2\n", "a, a,b\n1,2,3\n", "\ufeffa,b,a\n1,2,3\n"):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"two columns with the name 'a'"):
            tabular.read(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("\ufeffa.1,,a,,NA\n1,2,3,4,5\n", encoding="utf-8")
    assert list(tabular.read(tmp_path / "t.csv").columns) == ["a.1", "Unnamed: 1", "a", "Unnamed: 3", "NA"]
    for text in ("a,a \n1,2\n", "a,b,a\n1,2,3\n", "a;b;a\n1;2;3\n", '"a", "a"\n1,2\n'):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(ValueError, match=r"two columns with the name 'a'"):
            tabular.read(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,a.1,,\n1,2,3,4\n")
    assert len(tabular.read(tmp_path / "t.csv").columns) == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_called_one(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"t.csv is a pipe, which can be read only once; wanted a CSV"):
        tabular.read(tmp_path / "t.csv")


def test_unknown_columns_name_the_nearest():
    names = ["median_income", "median_house_value", "population"]
    assert "nearest: median_house_value" in str(tabular.unknown_column("t.csv", "median_house_vlaue", names))
    assert "nearest: population" in str(tabular.unknown_column("t.csv", "POPULATION", names))
    assert "it has: median_income, median_house_value" in str(tabular.unknown_column("t.csv", "qqq", names))


# ---- the target ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "task", "why"),
    [
        (["a", "b", "c"] * 20, "classification", "text"),
        ([True, False] * 30, "classification", "True and False"),
        ([True, False, None] * 20, "classification", "True and False"),
        ([0, 1] * 30, "classification", "whole numbers"),
        ([3.0, 4.0, None] * 20, "classification", "whole numbers"),
        (list(range(60)), "regression", "whole numbers"),
        ([0.5, 1.5] * 30, "regression", "fractions"),
    ],
)
def test_the_task_is_found(values, task, why):
    target = tabular.target(pd.DataFrame({"y": values}), "y")
    assert target.task == task and why in target.why
    assert (target.classes is None) == (task == "regression")
    assert len(target.values) == len(target.rows) == sum(v is not None for v in values)


def test_the_task_can_be_said():
    table = pd.DataFrame({"y": list(range(30)) * 2})
    assert tabular.target(table, "y").task == "regression"
    assert len(tabular.target(table, "y", "classification").classes) == 30
    with pytest.raises(ValueError, match=r"holds text .* has no regression"):
        tabular.target(pd.DataFrame({"y": ["a", "b"]}), "y", "regression")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None] * 9, "has no values: all 9 rows"),
        (["a"] * 9, "is a in all rows; there"),
        ([2.5, np.inf, 2.5], "is 2.5 in all rows that have one, 1 are without it; there"),
        (["no", None, "no", None, "no"], "is no in all rows that have one, 2 are without it; there"),
        ([f"{i}" for i in range(9)], "9 different values in 9 rows"),
    ],
)
def test_targets_without_anything_to_learn_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        tabular.target(pd.DataFrame({"y": values}), "y")


# ---- recipes ---------------------------------------------------------------------------------------------------------


def test_a_recipe_is_what_scikit_learn_does():
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table, new = frame(), frame(seed=1)
    learnt = learn(table, drop=("built", "ratio"))
    new.loc[5, "town"] = "Rom"
    pipeline = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["size", "rooms", "garden"]),
        ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["town"]),
    ])
    pipeline.set_params(numbers__simpleimputer__strategy="median")
    exact = []
    for each in (table, new):
        each = each.astype({"garden": float})
        exact.append(pipeline.fit_transform(each) if each is table or not exact else pipeline.transform(each))
    order = [0, None, 1, 3, 4, 5, 6, 2]  # size, its mark, rooms, town (Bern, Graz, Ulm, missing), garden
    for each, wanted in zip((table, new), exact, strict=True):
        got = learnt.apply(each)
        assert got.dtype == np.float32 and got.shape == (len(each), learnt.inputs)
        for column, place in enumerate(order):
            right = each["size"].isna().to_numpy() if place is None else wanted[:, place]
            np.testing.assert_allclose(got[:, column], right.astype(np.float32), rtol=1e-6, atol=1e-6)
            other = np.roll(got, 1, axis=0)[:, column]
            assert not np.allclose(other, right.astype(np.float32), rtol=1e-6, atol=1e-6)
    assert not learnt.apply(new)[5, 3:7].any()  # a category that the training has not seen


def test_useless_columns_are_left_out_with_a_reason():
    learnt = learn(frame(), drop=("ratio",))
    assert learnt.left_out == {
        "ratio": "as asked for", "nothing": "no values", "same": "the same value in all rows",
        "id": "400 different texts in 400 rows",
    }  # fmt: skip
    assert [column.name for column in learnt.columns] == ["size", "rooms", "town", "garden", "built"]
    with pytest.raises(ValueError, match=r"no column to learn from beside 'price'"):
        learn(frame()[["price", "same"]])


def test_infinities_are_missing_and_all_inputs_are_finite():
    table = frame()
    learnt = learn(table)
    ratio = next(column for column in learnt.columns if column.name == "ratio")
    assert ratio.marks_missing
    assert np.isfinite(learnt.apply(table)).all()


@pytest.mark.parametrize("words", [("true", "false"), ("True", "False"), ("TRUE", "FALSE")])
def test_true_and_false_are_numbers_where_some_are_missing(tmp_path, words):
    """pandas makes Python's True of every spelling, and a column of text keeps its own: so it must not become one."""
    bits = np.arange(60) % 3
    for name, rows in (("some", bits), ("all", bits[bits < 2])):
        lines = "\n".join(f"{(*words, '')[bit]},{bit}" for bit in rows)
        (tmp_path / f"{name}.csv").write_text(f"b,y\n{lines}\n")
    table = tabular.read(tmp_path / "some.csv")
    learnt = learn(table, "y", "regression")
    assert [type(column) for column in learnt.columns] == [recipe.Number] and learnt.columns[0].marks_missing
    again = tabular.read(tmp_path / "some.csv", learnt.texts)
    x = learnt.apply(again)
    assert [len(np.unique(x[bits == bit, 0])) for bit in range(3)] == [1, 1, 1] and len(np.unique(x[bits < 2, 0])) == 2
    np.testing.assert_array_equal(x[:, 1], bits == 2)
    np.testing.assert_array_equal(learnt.apply(tabular.read(tmp_path / "all.csv", learnt.texts)), x[bits < 2])


def test_days_without_a_time_are_days():
    """As Parquet has them: Python's dates in a column of objects."""
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=i) for i in range(100)]
    table = pd.DataFrame({"day": [*days[:50], None, datetime.date(9999, 12, 31), *days[52:]], "y": np.arange(100.0)})
    learnt = learn(table, "y")
    assert [type(column) for column in learnt.columns] == [recipe.Number] and learnt.columns[0].marks_missing
    moments = table.assign(day=table["day"].astype("datetime64[s]"))
    np.testing.assert_array_equal(learnt.apply(table), learnt.apply(moments))
    assert learn(moments, "y") == learnt


def test_rare_categories_share_an_input():
    names = np.repeat([f"c{i:03}" for i in range(80)], np.r_[np.full(40, 9), np.full(40, 2)])
    table = pd.DataFrame({"c": names, "y": np.arange(len(names)) % 2})
    learnt = learn(table, "y")
    (column,) = learnt.columns
    assert column.others and column.width == recipe.MOST_CATEGORIES
    x = learnt.apply(pd.DataFrame({"c": ["c000", "never seen", None]}))
    assert x.sum(axis=1).tolist() == [1, 1, 1] and x[1:, -1].tolist() == [1, 1] and x[0, 0] == 1


def test_a_recipe_is_plain_data_and_comes_back():
    table = frame()
    learnt = learn(table)
    text = json.dumps(learnt.as_dict())
    back = recipe.Recipe.from_dict(json.loads(text))
    assert np.array_equal(back.apply(table), learnt.apply(table))
    assert back.texts == ("town",) and (back.mean, back.scale) == (learnt.mean, learnt.scale)
    with pytest.raises(ValueError, match=r"another version"):
        recipe.Recipe.from_dict({**learnt.as_dict(), "columns": [{"kind": "image", "name": "x"}]})


def test_tables_that_do_not_fit_the_recipe_are_refused():
    table = frame()
    learnt = learn(table)
    with pytest.raises(ValueError, match=r"no column 'size', which the model needs; nearest: Size"):
        learnt.apply(table.rename(columns={"size": "Size"}), "new.csv")
    with pytest.raises(ValueError, match=r"no columns 'rooms', 'town', which the model needs"):
        learnt.apply(table.drop(columns=["rooms", "town"]), "new.csv")
    words = table.astype({"rooms": object})
    words.loc[4, "rooms"] = "four"
    with pytest.raises(ValueError, match=r"the column 'rooms' of new.csv has 'four' in row 5"):
        learnt.apply(words, "new.csv")
    far = table.astype({"size": float})
    for value in (1e300, -1.7e308):
        far.loc[6, "size"] = value
        said = rf"the column 'size' of new.csv has {re.escape(f'{value:g}')} in row 7; wanted numbers nearer to"
        with warnings.catch_warnings(), pytest.raises(ValueError, match=said):
            warnings.simplefilter("error")
            learnt.apply(far, "new.csv")
    assert np.array_equal(learnt.apply(table[list(table.columns)[::-1]]), learnt.apply(table))  # any order


def test_whole_numbers_beyond_int64_stay_what_they_are():
    values = [2**63 + 1, 2**63 + 5] * 10
    for dtype in ("uint64", "UInt64"):
        target = tabular.target(pd.DataFrame({"y": pd.array(values, dtype=dtype)}), "y")
        assert target.classes.tolist() == values[:2] and target.values.tolist() == values
    for values in ([1e20, 2e20] * 10, [-1e20, 5.0] * 10):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target = tabular.target(pd.DataFrame({"y": values}), "y", "classification")
        assert target.classes.tolist() == sorted(values[:2]) and target.values.tolist() == values


def test_categories_are_those_of_whole_numbers_beside_missing_ones(tmp_path):
    """Parquet has them as floats as soon as one is missing, and pandas categories may be floats."""
    codes = np.arange(60) % 3
    learnt = learn(pd.DataFrame({"kind": codes.astype(str), "price": codes * 10.0}))
    whole = learnt.apply(pd.DataFrame({"kind": codes}), "a table")
    gap = codes.astype(float)
    gap[7] = np.nan
    found = learnt.apply(pd.DataFrame({"kind": gap}), "a table")
    others = np.arange(60) != 7
    assert np.array_equal(found[others], whole[others]) and not np.array_equal(found[7], whole[7])
    assert np.array_equal(learnt.apply(pd.DataFrame({"kind": pd.Categorical(codes.astype(float))}), "a table"), whole)


@pytest.mark.parametrize("count", [5, 200])
def test_decimals_are_numbers(count):
    values = [decimal.Decimal(f"{i % count}.25") for i in range(200)]
    found = tabular.target(pd.DataFrame({"a": range(200), "price": pd.Series(values, dtype=object)}), "price", None)
    assert found.task == "regression" and found.values.dtype == np.float64 and found.values[3] == 3.25


def test_blank_lines_of_one_column_are_rows(tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("a\n1\n\n3\n4\n\n\n")
    column = tabular.read(path)["a"]
    assert column.tolist()[0] == 1 and np.isnan(column[1]) and column.tolist()[2:] == [3, 4]
    path.write_text("\n\na\n1\n\n3\n")  # before the name they are none
    assert tabular.read(path)["a"].tolist() == [1, 3]
    path.write_text("a,b\n1,2\n\n3,4\n")
    assert len(tabular.read(path)) == 2


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zip"])
def test_packed_files_are_known_by_what_they_hold(tmp_path, ending):
    table = pd.DataFrame({"a": [1, 2], "b": [3.5, 4.5]})
    table.to_csv(tmp_path / f"table.csv.{ending}", index=False)
    path = (tmp_path / f"table.csv.{ending}").rename(tmp_path / "table.csv")
    assert tabular.read(path).equals(table)


@pytest.mark.parametrize("name", ["PK", "BZ", "BZh"])
def test_text_may_begin_as_packed_files_do(tmp_path, name):
    path = tmp_path / "table.csv"
    path.write_text(f"{name},price\n1,2\n3,4\n")
    assert list(tabular.read(path)) == [name, "price"]


def test_rows_wider_than_the_first_line_are_one_line(tmp_path):
    path = tmp_path / "comment.csv"
    path.write_text("# made by x\n1,2,3\n4,5,6\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="rows of more values than its first line has names"):
            tabular.read(path)


def test_words_of_truth_beside_another_one_are_not_blamed():
    learnt = learn(pd.DataFrame({"open": np.arange(90) % 2 == 0, "price": np.arange(90.0)}))
    with pytest.raises(ValueError, match="has 'maybe' in row 3; wanted a number"):
        learnt.apply(pd.DataFrame({"open": ["True", "False", "maybe"]}), "a table")
    same = learnt.apply(pd.DataFrame({"open": ["True", "0", "FALSE"]}), "a table")
    assert np.array_equal(same, learnt.apply(pd.DataFrame({"open": [True, False, False]}), "a table"))


def test_whole_numbers_that_no_dtype_holds_stay_apart():
    """As floats they would be one class."""
    names = [2**70, 2**70 + 1]
    table = pd.DataFrame({"a": range(60), "key": pd.Series([names[i % 2] for i in range(60)], dtype=object)})
    assert len(tabular.target(table, "key", None).classes) == 2


# ---- numbers that floats do not hold ---------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [(12345678901234567, 98765432109876543), (2**63 + 5, 2**64 - 1), (-(2**60) - 1, 7)])
def test_whole_numbers_beside_a_missing_one_keep_their_digits(tmp_path, codes):
    path = tmp_path / "codes.csv"
    path.write_text("a,code\n" + "".join(f"{i},{codes[i % 2] if i else ''}\n" for i in range(40)))
    table = tabular.read(path)
    assert set(tabular.target(table, "code").classes.tolist()) == set(codes)
    path.write_text(path.read_text() + "40,1e300\n")
    assert tabular.read(path)["code"].dtype == np.float64


def test_columns_far_from_0_are_standardised():
    rng = np.random.default_rng(0)
    table = frame().assign(far=4e15 + np.arange(400), near=rng.normal(size=400), same=[0.1] * 399 + [np.nan])
    inputs, learnt = learn(table).apply(table), learn(table)
    scales = {column.name: column.scale for column in learnt.columns if hasattr(column, "scale")}
    assert scales["far"] == pytest.approx(np.arange(400).std(), rel=1e-3) and scales["same"] == 1
    assert np.abs(inputs).max() < 20


def test_why_large_whole_numbers_are_left_out():
    table = frame().assign(large=2**60 + np.arange(400) % 60)
    assert learn(table).left_out["large"] == "whole numbers that differ by less than floats can tell"


def test_infinity_marks_what_else_is_the_same():
    table = frame().assign(flag=np.where(np.arange(400) % 3, 1.0, np.inf))
    kept = learn(table)
    assert "flag" not in kept.left_out and next(one for one in kept.columns if one.name == "flag").marks_missing


@pytest.mark.parametrize("scale, size", [(1e300, "large"), (1.7e308, "large"), (1e-200, "small")])
def test_numbers_that_cannot_be_standardised_are_said_in_one_line(scale, size):
    table = frame().assign(odd=scale * np.linspace(-1, 1, 400))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=f"'odd' .* too {size} to be standardised; --drop odd"):
            learn(table)
    table = table.assign(price=table["odd"]).drop(columns="odd")
    with pytest.raises(ValueError, match=f"target 'price' .* too {size} to be standardised"):
        learn(table)


def test_columns_known_to_be_numbers_have_decimal_commas(tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("price;x\n4,092;1\n")
    assert tabular.read(path)["price"].tolist() == ["4,092"]
    assert tabular.read(path, numbers=("price",))["price"].tolist() == [4.092]


def test_two_columns_may_not_have_the_name_na(tmp_path):
    path = tmp_path / "na.csv"
    path.write_text("NA,NA,y\n1,2,3\n")
    with pytest.raises(ValueError, match="two columns with the name 'NA'"):
        tabular.read(path)
    path.write_text(",b,\n1,2,3\n")  # without names
    assert len(tabular.read(path).columns) == 3
