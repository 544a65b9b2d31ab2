"""What users pass as data: what must come through without a copy, conversions, checks, weights, splits, batches."""

from __future__ import annotations

import datetime
import decimal
import doctest
import re
import sys
from array import array as Buffer
from fractions import Fraction

import numpy as np
import pytest

import lamina as lm
from lamina.inputs import arrays, data
from lamina.inputs.arrays import as_array, check_finite, check_integers, check_shape
from lamina.inputs.data import Batches, Data, Spec, is_batches, prepare, split_point, unpack
from lamina.inputs.weights import class_weights

GATHERED = ["bool", "uint8", "int8", "int16", "uint16", "int32", "int64", "float32", "float64"]


# ---- arrays that are used where they lie ----


@pytest.mark.parametrize("dtype", GATHERED)
def test_gathered_types_are_not_copied(dtype):
    base = np.arange(48).reshape(8, 6).astype(dtype)
    read_only = base.view()
    read_only.flags.writeable = False
    layouts = [base, base[::2], base[:, ::-1], base.T, np.asfortranarray(base)[1:], base[:, None, :3], read_only]
    for array in layouts:
        got = as_array(array, "x")
        assert np.shares_memory(got, array)
        assert got.strides == array.strides
        assert got.dtype == dtype


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # np.matrix
def test_broadcast_and_subclasses_are_not_copied():
    wide = np.broadcast_to(np.float32(1), (10**9, 4))
    assert as_array(wide, "x").strides == (0, 0)
    matrix = np.matrix([[1.0, 2.0]])
    got = as_array(matrix, "x")
    assert type(got) is np.ndarray
    assert np.shares_memory(got, matrix)


def test_memmap_is_not_copied(tmp_path):
    file = np.memmap(tmp_path / "big", dtype=np.uint8, mode="w+", shape=(1000, 8))
    assert np.shares_memory(as_array(file, "x"), file)
    parts = Data((as_array(file, "x"),)).split(0.1)
    assert [len(part) for part in parts] == [900, 100]
    assert all(np.shares_memory(part.x[0], file) for part in parts)


HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)  # all there are


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_float16_is_read_as_numpy_reads_it(dtype):
    x, rows = lm.placeholder((None, 3), dtype), np.resize(HALVES, (1 << 16, 3))
    for given in (rows, rows[::-1, ::-1], np.asfortranarray(rows)):
        got, wanted = lm.function([x], x)(given), given.astype(dtype)
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))
    whole = lm.placeholder((None,), "int64")
    assert lm.function([whole], whole)(np.float16([-3, 0, 2048])).tolist() == [-3, 0, 2048]


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "levenbergmarquardt"])
def test_a_memmap_of_float16_is_not_copied_and_trains_as_float32(optimizer, tmp_path, rng):
    file = np.memmap(tmp_path / "half", dtype=np.float16, mode="w+", shape=(60, 4))
    file[:], file[3] = rng.normal(size=(60, 4)), [1e-7, 6e-5, -3e-6, 0]  # some of them subnormal
    assert np.shares_memory(as_array(file, "x", half=True), file)
    y, found = np.sin(np.asarray(file, "f4")[:, :1]), []
    for x in (file, file.astype("f4")):
        net = lm.Sequential(lm.Dense(5, "tanh"), lm.Readout(1), seed=0)
        net.fit(x, y, loss="mse", optimizer=optimizer, epochs=3, validation_split=0.2, verbose=0)
        figures = list(net.evaluate(x, y, metrics=["mae"]).values())
        found.append(np.concatenate([net.predict(x)[:, 0], figures, [net.fit_readout(x, y)], net.predict(x)[:, 0]]))
    np.testing.assert_array_equal(*found)
    file[50, 2] = np.nan
    with pytest.raises(ValueError, match="expected finite numbers, got nan at row 50, column 2;"):
        net.fit(file, y, verbose=0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_windows_that_overlap_are_looked_at_once(dtype, monkeypatch):
    series = np.arange(3000, dtype=dtype).reshape(1000, 3) / 3000
    windows = np.lib.stride_tricks.sliding_window_view(series, 40, axis=0)  # (961, 3, 40)
    views = [windows, windows.transpose(0, 2, 1)[5:, :, ::-1], np.broadcast_to(series, (50, 1000, 3)), series, series[::-2, :1]]
    seen = []
    with monkeypatch.context() as patched:
        patched.setattr(arrays, "chunks", lambda array: seen.append(array.size) or ())
        patched.setattr(arrays, "_limit", lambda *_: (1.0, None))
        for view in views:
            check_finite(view, "x")
    assert seen == [3000, 3000 - 15, 3000, 3000, 500]
    series[500, 1] = np.nan
    with pytest.raises(ValueError, match=r"got nan at row 461, column \(1, 39\);"):
        check_finite(windows, "x")
    with pytest.raises(ValueError, match=r"got nan at row 0, column \(500, 1\);"):
        check_finite(views[2], "x")


def test_unaligned_arrays_are_copied():
    packed = np.zeros(5, dtype=np.dtype([("flag", "u1"), ("value", "f4")]))
    packed["value"] = np.arange(5)
    got = as_array(packed["value"], "x")
    assert got.flags.aligned
    assert got.tolist() == [0, 1, 2, 3, 4]


# ---- conversions ----


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([[1, 2], [3, 4]], "int64"),
        ([[1, 2.5], [3, 4]], "float64"),
        ([True, False], "bool"),
        (range(4), "int64"),
        (np.array([1, 2], np.float16), "float32"),
        (np.array([1, 2], np.longdouble), "float64"),
        (np.array([1, 2], np.uint32), "int64"),
        (np.array([1, 2**63 - 1], np.uint64), "int64"),
        (np.array([1, 2], ">f4"), "float32"),
        (np.array([1, 2], ">i8"), "int64"),
        (np.array([1, 2, True], object), "int64"),
        (np.array([1, None, 2.5], object), "float64"),
        (np.array([1, 2**64], object), "float64"),
        ([decimal.Decimal("0.5"), Fraction(1, 4)], "float64"),
        (np.ma.masked_array([1.0, 2.0]), "float64"),
    ],
    ids=repr,
)
def test_conversions(given, dtype):
    got = as_array(given, "x")
    assert got.dtype == dtype
    assert got.dtype.isnative
    expected = [np.nan if v is None else float(v) for v in np.asarray(given, object).ravel()]
    np.testing.assert_array_equal(got.ravel().astype(float), expected)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ([], ValueError, r"at least one sample .* got shape \(0,\)"),
        (np.zeros((3, 0)), ValueError, r"got shape \(3, 0\)"),
        (None, TypeError, "one row a sample, got None"),
        (3.0, TypeError, "one row a sample, got 3.0"),
        ([[1, 2], [3]], TypeError, "rows of different lengths; pad them"),
        (["a", "b"], TypeError, r"got dtype <U1; number the categories: np.unique\(x, return_inverse=True\)\[1\]"),
        (np.array([[1.0, "Paris"]], object), TypeError, "got 'Paris' at row 0, column 1; leave that column out"),
        (np.array([np.ones(2), None], object), TypeError, r"got array.* at row 0; stack them: np.stack\(x\)"),
        (np.array(["1.5"], object), TypeError, r"got '1.5' at row 0; read the text as numbers: np.asarray\(x, float\)"),
        (["1.5", "2"], TypeError, r"got dtype <U3; read the text as numbers: np.asarray\(x, float\)"),
        (np.array([1j]), TypeError, "dtype complex128; pass x.real and x.imag"),
        (np.array(["2020-01-01"], "M8[D]"), TypeError, r"np.timedelta64\(1, 's'\)"),
        (np.array([5], "m8[s]"), TypeError, "pass seconds"),
        (np.zeros(2, [("a", "f4")]), TypeError, "take one field"),
        (np.zeros(2, "V2"), TypeError, r"pass x.astype\('float32'\)"),  # as bfloat16
        (np.array([2**63], np.uint64), ValueError, r"integers below 2\^63, got 9223372036854775808"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), ValueError, r"masked array; pass x.filled\(value\)"),
    ],
    ids=repr,
)
def test_what_is_no_number_is_an_error(given, error, match):
    with pytest.raises(error, match=r"\[x\] expected .*" + match):
        as_array(given, "x")


def test_a_date_among_objects_is_no_number():
    given = np.empty(1, object)
    given[0] = np.datetime64("2020-01-01")
    with pytest.raises(TypeError, match=r"\[x\] expected numbers, got datetime.date\(2020, 1, 1\) at row 0"):
        as_array(given, "x")


def test_array_protocols():
    class Device:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("it lives elsewhere")

    class Own:
        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 3), np.float32)

    class Sparse:
        def toarray(self):
            return np.eye(2)

    assert as_array(Own(), "x").shape == (2, 3)
    with pytest.raises(TypeError, match=r"\[x\] .* Device that NumPy cannot read: it lives elsewhere"):
        as_array(Device(), "x")
    with pytest.raises(TypeError, match=r"\[y\] expected a dense array, got Sparse; pass y.toarray\(\)"):
        as_array(Sparse(), "y")
    for call in (lm.exp, lm.Parameter, lambda x: lm.Input(2) @ x, lambda x: lm.losses.mse(x, x), lambda x: lm.linalg.solve(x, x)):
        with pytest.raises(TypeError, match=r"expected a dense array, got Sparse; pass .*\.toarray\(\)"):
            call(Sparse())


def test_buffers_are_arrays():
    x = np.arange(6, dtype=np.float32)[:, None]
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd").build(1)
    assert np.array_equal(net.predict(memoryview(x)), net.predict(x))
    for y in (memoryview(x), Buffer("f", range(6)), bytearray(range(6))):
        assert net.evaluate(memoryview(x), y) == net.evaluate(x, x)
        assert len(net.fit(memoryview(x), y, verbose=0)) == 1


def test_pandas():
    pandas = pytest.importorskip("pandas")
    block = np.arange(12, dtype=np.float32).reshape(4, 3)
    frame = pandas.DataFrame(block, columns=["a", "b", "c"])
    assert as_array(frame, "x").dtype == np.float32
    assert np.array_equal(as_array(frame, "x"), block)
    assert as_array(frame["b"], "x").tolist() == [1, 4, 7, 10]
    mixed = pandas.DataFrame({"on": [True, False], "n": [1, 2], "x": [0.5, 1.5]})
    assert as_array(mixed, "x").tolist() == [[1, 1, 0.5], [0, 2, 1.5]]
    missing = pandas.DataFrame({"n": pandas.array([1, None], dtype="Int64"), "x": [0.5, 1.5]})
    assert np.isnan(as_array(missing, "x")[1, 0])
    whole = pandas.DataFrame({"n": pandas.array([1, 2**62 + 1], dtype="Int64"), "on": pandas.array([True, False], dtype="boolean")})
    assert as_array(whole, "x").tolist() == [[1, 1], [2**62 + 1, 0]]
    assert np.isnan(as_array(missing[["n"]], "x")[1, 0])
    marks = pandas.get_dummies(pandas.Series(["a", "b"]), sparse=True)
    assert as_array(marks, "x").dtype == bool and as_array(marks.astype("Sparse[int8]"), "x").dtype == np.int8  # a byte stays one
    assert np.isnan(as_array(missing.assign(x=[None, 1.5]).astype(object), "x")).tolist() == [[False, True], [True, False]]
    with pytest.raises(TypeError, match="got 'Paris' at row 0, column 'city'; leave that column out, or number its categories"):
        as_array(pandas.DataFrame({"age": [3.0, 4.0], "city": ["Paris", "Rome"]}), "x")
    with pytest.raises(TypeError, match=r"got \{'a': 1.0.* at row 0; pass the values of each row as a list, .*DataFrame\(rows\)"):
        as_array([{"a": 1.0, "b": 2.0}], "x")
    assert as_array(pandas.Series([2, 0], dtype="category"), "y").tolist() == [2, 0]


def test_a_frame_of_pandas_own_numbers_makes_no_objects(monkeypatch):
    """One for each number would take fifty times as long, and nine times the memory."""
    pandas = pytest.importorskip("pandas")
    monkeypatch.delattr(arrays, "_from_objects")
    frame = pandas.DataFrame({"on": [True, False], "n": [1, 2], "x": [0.5, 1.5]}).convert_dtypes()
    for named in (frame, frame.set_axis(range(3), axis=1)):
        assert as_array(named, "x").tolist() == [[1, 1, 0.5], [0, 2, 1.5]]
    frame.loc[1, ["n", "x"]] = pandas.NA
    assert np.array_equal(as_array(frame, "x"), [[1, 1, 0.5], [0, np.nan, np.nan]], equal_nan=True)
    assert as_array(frame[["n"]].dropna(), "x").dtype == np.int64  # of whole numbers alone not one is rounded
    assert np.array_equal(as_array(frame[["on", "n"]], "x"), [[1, 1], [0, np.nan]], equal_nan=True)


@pytest.mark.filterwarnings("error")
def test_frames_whose_rows_stand_in_another_order_are_told():
    pandas = pytest.importorskip("pandas")
    x, y = pandas.DataFrame({"a": np.arange(6.0)}), pandas.Series(np.arange(6.0))
    with pytest.warns(UserWarning, match=r"\[y\] expected rows in the order of x's, .* pass y.loc\[x.index\], or y.to_numpy\(\)"):
        prepare(x.sample(frac=1, random_state=0), y)
    mixed = x.sample(frac=1, random_state=0)
    others = [(x[3:], y[:3]), (x, y.set_axis([0, "b", 2, 3, 4, 5])), (x, [*y])]
    others += [(x, y.set_axis([0, 0, 2, 3, 4, 5])), (x.set_axis([0, 0, 2, 3, 4, 5]), y)]
    for given in ((mixed, y.loc[mixed.index]), (mixed, y.to_numpy()), *others):
        prepare(*given)


DAYS = [datetime.date(2020, 1, 1), datetime.date(2020, 1, 4)]
TIMES = {
    "dates": (lambda pandas: pandas.Series(DAYS), "a difference in days"),
    "timestamps": (lambda pandas: pandas.Series(pandas.to_datetime(DAYS)), "a difference in days"),
    "of a zone": (lambda pandas: pandas.Series(pandas.to_datetime(DAYS).tz_localize("UTC")), "a difference in days"),
    "differences": (lambda pandas: pandas.Series(pandas.to_timedelta([0, 3], unit="s")), "seconds"),
    "of Python": (lambda pandas: pandas.Series([datetime.timedelta(seconds=n) for n in (0, 3)], dtype=object), "seconds"),
}


@pytest.mark.parametrize("name", TIMES)
def test_the_remedy_for_a_column_of_times_gives_numbers(name):
    pandas = pytest.importorskip("pandas")
    column, what = TIMES[name]
    times = column(pandas)
    with pytest.raises(TypeError, match=f"at row 0, column 't'; pass {what}: ") as error:
        as_array(pandas.DataFrame({"t": times, "v": [1.0, 2.0]}), "x")
    expression, how = str(error.value).partition(f"{what}: ")[2].split(", t = ")
    t = eval(how, {"pandas": pandas, "column": times})
    assert eval(expression, {"t": t}).tolist() == [0, 3]


class Frame:
    """What a data frame has that data are read by."""

    columns = ("age", "income")

    def __init__(self, rows):
        self.rows = np.asarray(rows, np.float64)

    def to_numpy(self):
        return self.rows


def test_a_column_with_a_name_is_called_by_it():
    net = lm.Sequential(lm.Dense(1), seed=0).build(2)
    frame, huge, third = Frame([[1, 2], [3, np.nan]]), Frame([[1, 2], [1e300, 2]]), Frame([[1, 2], [3, 0.5]])
    for call, match in (
        (lambda: prepare(frame), r"\[x\] expected finite numbers, got nan at row 1, column 'income';"),
        (lambda: prepare({"left": frame, "right": np.ones((2, 3))}, inputs=TWO), r"\[x\['left'\]\] .* row 1, column 'income';"),
        (lambda: prepare(huge, inputs=[Spec("x", (None, 2))]), "float32 can hold, got 1e[+]300 at row 1, column 'age';"),
        (lambda: prepare(third, inputs=[Spec("x", (None, 2), "int64")]), "whole numbers .* at row 1, column 'income';"),
        (lambda: net.predict(frame), r"\[x\] expected finite numbers, got nan at row 1, column 'income';"),
        (lambda: net.fit(frame, [0.0, 1.0], loss="mse", optimizer="sgd"), r"got nan at row 1, column 'income';"),
        (lambda: net.fit([(frame, [0.0, 1.0])], loss="mse", optimizer="sgd"), r"\[batch 0\] .* row 1, column 'income';"),
    ):
        with pytest.raises(ValueError, match=match):
            call()


def test_columns_of_a_frame_keep_their_order(tmp_path):
    """A frame whose columns stand in another order than those of `fit` is refused, also after loading; numbers go."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": np.arange(6.0), "size": np.arange(6.0) ** 2})
    turned = frame[["size", "age"]]

    def refused(where, call):
        message = rf"{where} expected column 'age' as number 0, .* got it as number 1; pass [xy]\[\['age', 'size'\]\]"
        with pytest.raises(ValueError, match=message):
            call()

    net = lm.Sequential(lm.Dense(2), seed=0)
    options = {"loss": "mse", "optimizer": "adam", "verbose": 0}
    refused(r"\[validation_data\] \[x\]", lambda: net.fit(frame, frame, validation_data=(turned, frame), **options))
    assert not net.columns and not net.built
    net.fit(frame, frame, validation_split=0.5, **options)
    net.fit(frame.to_numpy(), frame.to_numpy(), **options)  # which says nothing of names
    assert net.columns == {"x": ["age", "size"], "y": ["age", "size"]}
    net.save(tmp_path / "net")
    for model in (net, lm.load(tmp_path / "net")):
        refused(r"\[x\]", lambda model=model: model.predict(turned))
    refused(r"\[y\]", lambda: net.evaluate(frame, turned))
    refused(r"\[x\]", lambda: net.fit(turned, frame, verbose=0))
    twice = pandas.DataFrame(np.ones((2, 3)), columns=["a", "b", "b"])
    other = lm.Sequential(lm.Dense(2), seed=0)
    other.fit_readout(frame, frame, l2=1.0)
    refused(r"\[x\]", lambda: other.predict(turned))
    other = lm.Sequential(lm.Dense(1), seed=0)
    other.fit(twice, [0.0, 1.0], **options)
    for names in (["a", "b", "b"], ["a", "c", "b"]):
        assert other.predict(twice.set_axis(names, axis=1)).shape == (2, 1)
    same = net.predict(frame)
    with pytest.raises(ValueError, match=r"got it as number 0; if this order is meant, pass x.to_numpy\(\)"):
        net.predict(frame.set_axis(["size", "weight"], axis=1))
    for other in (frame.to_numpy(), frame.set_axis(["years", "metres"], axis=1), turned[net.columns["x"]]):
        assert np.array_equal(net.predict(other), same)
    with pytest.warns(UserWarning, match=r"\[x\] expected column 'age' as number 0, .* got 'years'; .*x.reindex\(columns=net"):
        assert np.array_equal(net.predict(frame.rename(columns={"age": "years"})), same)


def test_categories_that_fit_did_not_see_are_said():
    """get_dummies of other rows gives other columns, as many of them, perhaps."""
    pandas = pytest.importorskip("pandas")
    net = lm.Sequential(lm.Dense(1), seed=0)
    seen = pandas.get_dummies(pandas.DataFrame({"city": ["a", "b", "c"]}))
    net.fit(seen, [0.0, 1.0, 2.0], loss="mse", optimizer="sgd", verbose=0)
    other = pandas.get_dummies(pandas.DataFrame({"city": ["a", "b", "d"]}))
    with pytest.warns(UserWarning, match="expected column 'city_c' as number 2, .* got 'city_d'"):
        net.evaluate(other, [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match=r"'city_c' as number 2, .* got it as number 1; .* of categories x.reindex\("):
        net.predict(pandas.get_dummies(pandas.DataFrame({"city": ["a", "c", "d"]})))
    with pytest.raises(ValueError, match=r"'city_c' as number 2, .* of categories x.reindex\("):
        net.predict(seen.drop(columns="city_b"))
    assert net.predict(other.reindex(columns=net.columns["x"], fill_value=0))[2] == net.parameters["dense_1.bias"]


def test_columns_of_batches_keep_their_order():
    """That of earlier data, and within an epoch that of the first batch; which a prediction after it must have, too."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": np.arange(6.0), "size": np.arange(6.0) ** 2})
    turned, options = frame[["size", "age"]], {"loss": "mse", "optimizer": "adam", "verbose": 0}
    net = lm.Sequential(lm.Dense(2), seed=0)
    net.fit(frame, frame, **options)
    with pytest.raises(ValueError, match=r"\[batch 0\] \[x\] expected column 'age' as number 0"):
        net.fit([(turned, frame)], verbose=0)
    other = lm.Sequential(lm.Dense(2), seed=0)
    with pytest.raises(ValueError, match=r"\[batch 0\] \[y\]"):
        other.fit([(turned, np.full((6, 2), np.nan))], **options)
    assert not other.columns  # nothing was learned of them
    with pytest.raises(ValueError, match=r"\[batch 1\] \[y\] expected column 'age' as number 0"):
        other.fit([(frame, frame), (frame, turned)], **options)
    other.fit([(frame, frame)] * 2, **options)
    with pytest.raises(ValueError, match=r"\[validation batch 0\] \[x\] expected column 'age' as number 0"):
        lm.Sequential(lm.Dense(2)).fit([(frame, frame)], validation_data=[(turned, frame)], **options)
    assert other.columns == {"x": ["age", "size"], "y": ["age", "size"]}
    with pytest.raises(ValueError, match=r"\[x\] expected column 'age' as number 0"):
        other.predict(turned)


def test_a_target_too_large_for_the_network_stops_fit_at_once():
    y = np.zeros((8, 1))
    y[5] = 1e39
    for options in ({"y": y}, {"y": 0 * y, "validation_data": (np.ones((8, 2)), y)}):
        net = lm.Sequential(lm.Dense(1), seed=0)
        with pytest.raises(ValueError, match=r"\[y\] expected numbers that float32 can hold, got 1e\+39 at row 5"):
            net.fit(np.ones((8, 2)), **options, batch_size=2, loss="mse", optimizer="sgd", verbose=0)
        assert net.epochs_done == 0


def test_a_target_that_is_not_finite_is_named_by_its_column():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [1.0, 2.0], "size": [3.0, np.nan]})
    with pytest.raises(ValueError, match=r"\[y\] expected finite numbers, got nan at row 1, column 'size'"):
        lm.Sequential(lm.Dense(2)).fit(np.ones((2, 3)), frame, loss="mse", optimizer="adam", verbose=0)


def keep(name, **given):
    """What the remedy of the error calls `keep`."""
    data = given[name]
    with pytest.raises(ValueError, match=rf"\[{name}\] .* drop such rows of x and y alike, x\[keep\] and y\[keep\]: ") as error:
        check_finite(as_array(data, name), name, columns=arrays.column_names(data))
    return eval(str(error.value).partition("keep = ")[2], {"np": np, **given})


@pytest.mark.parametrize(
    "x",
    [
        [[1.0, 2.0], [np.nan, 2.0], [3.0, 4.0]],
        np.array([[1, 2], [None, 2], [3, 4]], object),
        np.array([1.0, np.inf, 3.0]),
        np.array([np.zeros((2, 2)), np.full((2, 2), np.nan), np.ones((2, 2))]),
    ],
    ids=["list", "objects", "one axis", "three axes"],
)
def test_the_remedy_for_missing_numbers_finds_their_rows(x):
    assert keep("x", x=x).tolist() == [True, False, True]
    assert keep("y", y=x).tolist() == [True, False, True]


def test_the_remedy_for_a_frame_with_missing_numbers_drops_its_rows():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"n": pandas.array([1, None, 3], dtype="Int64"), "v": [0.5, 1.5, 2.5]})
    rows = keep("x", x=x)
    assert x[rows].index.tolist() == [0, 2] and np.arange(3)[rows].tolist() == [0, 2]
    check_finite(as_array(x[rows], "x"), "x")


def test_a_missing_target_may_be_left_out_by_the_loss():
    for bad, masked in ((np.nan, True), (np.inf, False)):
        with pytest.raises(ValueError) as error:
            check_finite(np.array([1.0, bad]), "y")
        assert ("MSE(mask_nan=True)" in str(error.value)) == masked


def test_a_column_of_numbers_as_text_is_read_as_numbers():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"size": [1.0, 2.0], "price": ["1.5", "20"]})
    with pytest.raises(TypeError, match=r"'1.5' at row 0, column 'price'; read the text as numbers: pandas.to_numeric\(x") as error:
        as_array(x, "x")
    assert eval(str(error.value).partition("numbers: ")[2], {"pandas": pandas, "x": x}).tolist() == [1.5, 20.0]


def test_pandas_is_not_imported():
    assert "pandas" not in vars(arrays)
    source = sys.modules["lamina.inputs.arrays"].__file__
    with open(source, encoding="utf-8") as file:
        assert "import pandas" not in file.read()


def test_torch():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    assert np.shares_memory(as_array(tensor, "x"), tensor.numpy())
    with pytest.raises(TypeError, match="NumPy cannot read"):
        as_array(tensor.requires_grad_(), "x")


# ---- shapes ----


class Dim:
    """A symbolic dimension."""

    def __str__(self):
        return "B"


@pytest.mark.parametrize("batch", [None, Dim(), "B", 3])
def test_the_batch_axis_is_free(batch):
    check_shape(np.zeros((7, 4)), "x", (batch, 4))
    check_shape(np.zeros((7, 4, 9)), "x", (batch, 4, None))
    with pytest.raises(ValueError, match=r"\[x\] expected shape \(any, 5\), got \(7, 4\); pass rows of that shape.*Input\(4\)"):
        check_shape(np.zeros((7, 4)), "x", (batch, 5))


@pytest.mark.parametrize(
    ("got", "features", "remedy"),
    [
        ((4,), (4,), r"pass np\.asarray\(x\)\[None\]"),
        ((9,), (1,), r"pass x\.reshape\(len\(x\), 1\)"),
        ((9, 1), (), r"pass x\.reshape\(len\(x\)\)"),
        ((9, 8, 8), (64,), r"pass x\.reshape\(len\(x\), 64\), or put Flatten\(\)"),
        ((9, 64), (8, 8), r"pass x\.reshape\(len\(x\), 8, 8\)"),
        ((9, 3), (4,), r"pass rows of that shape, or make the model for Input\(3\)"),
        ((4, 9), (4,), r"samples are rows: pass x\.T, or make the model for Input\(9\)"),
    ],
)
def test_shape_errors_say_what_to_do(got, features, remedy):
    with pytest.raises(ValueError, match=remedy):
        check_shape(np.zeros(got), "x", (None, *features))


# ---- values ----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_number_that_is_not_finite_is_named(rng, dtype, order, bad):
    array = np.asarray(rng.standard_normal((3 * arrays.CHUNK // 16, 16)).astype(dtype), order=order)
    check_finite(array, "x")
    row = len(array) - 7
    array[row, 3] = array[row + 1, 0] = array[row, 5] = bad
    with pytest.raises(
        ValueError, match=rf"\[x\] expected finite numbers, got {bad} at row {row}, column 3; .* such rows of x and y alike, "
    ):
        check_finite(array, "x")


@pytest.mark.parametrize("n", [9, 10, 11, 55])
def test_a_large_array_is_looked_at_in_pieces(n, monkeypatch):
    monkeypatch.setattr(arrays, "PIECE", 20)
    array = np.zeros((n, 2))
    check_finite(array, "x")
    array[-1, 1] = np.nan
    with pytest.raises(ValueError, match=rf"got nan at row {n - 1}, column 1"):
        check_finite(array, "x")


def test_finite_of_other_shapes():
    for shape, index, place in [((5,), (4,), "row 4;"), ((5, 2, 3), (2, 1, 0), r"row 2, column \(1, 0\);")]:
        array = np.zeros(shape)
        array[index] = np.nan
        with pytest.raises(ValueError, match=place):
            check_finite(array, "x")
    check_finite(np.array([[1, 2]]), "x")
    check_finite(np.array([np.finfo(np.float32).max, -np.finfo(np.float32).max], np.float32), "x", "float32")
    check_finite(np.array([np.finfo(np.float64).max]), "x", "float64")


def test_numbers_too_large_for_the_input():
    check_finite(np.array([3e38, -3e38]), "x", "float32")
    with pytest.raises(ValueError, match=r"that float32 can hold, got 1e\+39 at row 1; scale it, or use dtype='float64'"):
        check_finite(np.array([0, 1e39]), "x", "float32")


def test_finite_reads_a_memmap_in_chunks(tmp_path):
    file = np.memmap(tmp_path / "big", dtype=np.float32, mode="w+", shape=(50_000, 16))
    check_finite(file, "x")
    file[40_000, 2] = np.nan
    with pytest.raises(ValueError, match="row 40000, column 2"):
        check_finite(file, "x")


def test_chunks_cover_every_row_once():
    for shape in [(1,), (10, 3), (arrays.CHUNK + 1,), (3, arrays.CHUNK * 2), (7, 5, 11)]:
        array = np.arange(np.prod(shape)).reshape(shape)
        pieces = list(arrays.chunks(array))
        assert np.array_equal(np.concatenate([block for _, block in pieces]), array)
        assert [start for start, _ in pieces] == np.cumsum([0] + [len(block) for _, block in pieces[:-1]]).tolist()
        assert all(block.size <= max(arrays.CHUNK, array[0].size) for _, block in pieces)


def test_whole_numbers():
    check_integers(np.array([[0.0, -3.0]]), "x")
    check_integers(np.array([True]), "x")
    for bad in (0.5, np.nan, np.inf, -1e19):
        with pytest.raises(
            ValueError,
            match=rf"\[x\] expected whole numbers for an integer input, got {re.escape(format(bad, 'g'))} at row 1, column 0",
        ):
            check_integers(np.array([[1.0], [bad]]), "x")


# ---- several arrays ----

TWO = [Spec("left", (None, 2)), Spec("right", (None, 3))]


def test_prepare_one_input():
    x, y = np.zeros((5, 4), np.float32), np.arange(5)
    got = prepare(x, y, inputs=[Spec("input_1", (None, 4))])
    assert np.shares_memory(got.x[0], x)
    assert np.shares_memory(got.y[0], y)
    assert got.weight is None
    assert len(got) == 5
    assert prepare({"input_1": x}, inputs=[Spec("input_1", (None, 4))]).x[0].shape == (5, 4)
    assert prepare(x).y == ()


@pytest.mark.parametrize("form", [dict, list, tuple])
def test_prepare_several(form):
    left, right = np.zeros((5, 2)), np.ones((5, 3))
    x = {"right": right, "left": left} if form is dict else form([left, right])
    y = {"b": np.arange(5), "a": np.zeros(5)} if form is dict else form([np.zeros(5), np.arange(5)])
    got = prepare(x, y, inputs=TWO, targets=("a", "b"))
    assert [a.shape for a in got.x] == [(5, 2), (5, 3)]
    assert got.y[1].tolist() == [0, 1, 2, 3, 4]


def test_prepare_errors():
    left, right = np.zeros((5, 2)), np.ones((5, 3))
    with pytest.raises(ValueError, match=r"\[x\] unknown name 'lfet'; did you mean 'left'\?"):
        prepare({"lfet": left, "right": right}, inputs=TWO)
    with pytest.raises(ValueError, match=r"\[x\] expected an array for each of left, right, got none for right"):
        prepare({"left": left}, inputs=TWO)
    with pytest.raises(ValueError, match=r"\[x\] expected 2 arrays \(left, right\), got 3 of them; pass a dict by name"):
        prepare([left, right, right], inputs=TWO)
    with pytest.raises(ValueError, match=r"\[x\] expected 2 arrays .* got ndarray"):
        prepare(left, inputs=TWO)
    with pytest.raises(ValueError, match=r"\[x\['right'\]\] expected shape \(any, 3\), got \(5, 2\)"):
        prepare([left, left], inputs=TWO)
    with pytest.raises(ValueError, match=r"got: x has 5, y has 4; pass the same samples in all of them, as rows: x\.T"):
        prepare(left, np.zeros(4))
    with pytest.raises(ValueError, match=r"x\['left'\] has 5, x\['right'\] has 2, y has 5"):
        prepare([left, right[:2]], np.zeros(5), inputs=TWO)
    left[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"\[x\['left'\]\] expected finite numbers, got nan at row 3, column 1"):
        prepare([left, right], inputs=TWO)
    with pytest.raises(ValueError, match=r"\[x\] expected whole numbers"):
        prepare([0.5], inputs=[Spec("words", (None,), "int64")])
    with pytest.raises(ValueError, match="that float32 can hold"):
        prepare([1e300], inputs=[Spec("x", (None,), "float32")])
    prepare([1e300], inputs=[Spec("x", (None,), "float64")])


def test_nan_in_a_target_is_left_to_the_loss():
    assert np.isnan(prepare([1.0], [np.nan]).y[0][0])


# ---- split ----


@pytest.mark.parametrize(
    ("n", "fraction", "first"), [(10, 0.1, 9), (10, 0.9, 1), (10, 0.7, 3), (1797, 0.2, 1438), (3, 0.5, 1), (2, 0.5, 1)]
)
def test_the_last_fraction_is_for_validation(n, fraction, first):
    assert split_point(n, fraction) == first
    x, y, w = np.arange(n), np.arange(n) * 2.0, np.ones(n)
    train, valid = Data((x,), (y,), w).split(fraction)
    assert train.x[0].tolist() == list(range(first))
    assert valid.y[0].tolist() == [2.0 * i for i in range(first, n)]
    assert len(valid.weight) == n - first
    assert np.shares_memory(train.x[0], x)
    assert np.shares_memory(valid.x[0], x)


def test_split_errors():
    for bad in (0, 1, -0.1, 1.5, float("nan"), "0.2", True):
        with pytest.raises(ValueError, match=r"\[validation_split\] expected a fraction above 0 and below 1"):
            split_point(10, bad)
    with pytest.raises(ValueError, match=r"got 1 and 0 \(0.2 of 1\)"):
        split_point(1, 0.2)
    with pytest.raises(ValueError, match="got 0 and 2"):
        split_point(2, 0.9)


# ---- weights ----


def test_balanced_class_weights():
    y = np.array([0, 0, 0, 2, 2, 4])
    got = class_weights("balanced", y)
    assert got.tolist() == [6 / (3 * 3)] * 3 + [6 / (3 * 2)] * 2 + [6 / (3 * 1)]
    assert got.sum() == pytest.approx(len(y))  # every class weighs the same, all samples together n
    for same in (y[:, None], y.astype(float), np.eye(5)[y], y.astype(np.uint8)):
        assert np.array_equal(class_weights("balanced", same), got)


def test_balanced_as_in_scikit_learn(rng):
    theirs = pytest.importorskip("sklearn.utils.class_weight")
    y = rng.integers(0, 5, 100)
    np.testing.assert_allclose(class_weights("balanced", y), theirs.compute_sample_weight("balanced", y))


def test_class_weights_by_dict_and_array():
    y = np.array([0, 2, 1, 2])
    assert class_weights({2: 3, 0: 0.5, 9: 7}, y).tolist() == [0.5, 3, 1, 3]
    assert class_weights([1, 2, 3, 4], y).tolist() == [1, 3, 2, 3]
    assert class_weights({1: 4}, np.array([[True], [False]])).tolist() == [4, 1]
    assert class_weights({1: 4}, np.array([-1, -1]), -1).tolist() == [1, 1]  # of a batch that is left out
    assert class_weights({1: 4}, np.eye(2), 0).tolist() == [1, 4]  # rows, whose zeros are no class


def test_both_weights_multiply():
    got = prepare([1.0, 2, 3], [0, 1, 1], [1, 2, 3], {1: 10.0})
    assert got.weight.tolist() == [1, 20, 30]
    assert prepare([1.0, 2], [0, 1], np.array([[1.0], [2.0]])).weight.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        ([1, 2], r"expected shape \(3,\), one number a sample, got \(2,\)"),
        ([1, -1, 1], "weights >= 0 that are not all 0, got -1 to 1"),
        ([0, 0, 0], "not all 0, got 0 to 0"),
        ([1, np.nan, 1], "expected finite numbers, got nan at row 1"),
    ],
)
def test_sample_weight_errors(weight, match):
    with pytest.raises(ValueError, match=rf"\[sample_weight\].*{match}"):
        prepare([1.0, 2, 3], sample_weight=weight)


@pytest.mark.parametrize(
    ("class_weight", "y", "match"),
    [
        ("balancd", [0, 1], "expected 'balanced', a dict or an array, got 'balancd'"),
        ({"cat": 1.0}, [0, 1], "as keys, got 'cat'"),
        ({0: -1.0}, [0, 1], "expected weights >= 0, got -1.0"),
        ([1.0], [0, 1], r"for each of 2 classes, got shape \(1,\)"),
        ({0: 1.0}, [0.5, 1], "expected a target of classes"),
        ({0: 1.0}, [-1, 1], "expected a target of classes"),
        ({0: 1.0}, None, "expected one target, got 0"),
        ({0: 1.0}, [[1, 0], [0.5, 2.5]], r"rows of 0 with one 1, got \[0.5 2.5\] in row 1 of the target; pass sample_weight"),
        ("balanced", [[0, 1], [0.1, 0.9]], r"got \[0.1 0.9\] in row 1"),
        ([1.0, 2.0], [[0, 1, 1], [0, 0, 1]], r"got \[0 1 1\] in row 0"),
        ({0: 1.0}, [[0, 1], [0, 0]], r"got \[0 0\] in row 1"),
        ({0: 1.0}, [[0, 1], [1, np.nan]], r"got \[ 1. nan\] in row 1"),
    ],
)
def test_class_weight_errors(class_weight, y, match):
    with pytest.raises(ValueError, match=rf"\[class_weight\].*{match}"):
        prepare([1.0, 2.0], y, class_weight=class_weight)


# ---- batches ----


class Loader:
    """Starts anew at each iter, as data loaders do."""

    def __len__(self):
        return 3

    def __iter__(self):
        return (([[float(i)]] * 2, [i, i]) for i in range(3))


def test_what_is_an_iterable_of_batches():
    assert is_batches(Loader())
    assert is_batches(iter([1]))
    assert is_batches(x for x in [1])
    for array in ([[1.0]], (1, 2), {"a": [1]}, np.zeros(3), range(3), "text", 3, None, memoryview(b"ab")):
        assert not is_batches(array)


def test_frames_are_not_batches():
    pandas = pytest.importorskip("pandas")
    assert not is_batches(pandas.DataFrame({"a": [1.0]}))
    assert not is_batches(pandas.Series([1.0]))


def test_batches_of_a_loader_serve_every_epoch():
    batches = Batches(Loader(), inputs=[Spec("x", (None, 1))])
    assert len(batches) == 3
    for _ in range(2):
        got = list(batches)
        assert [batch.y[0].tolist() for batch in got] == [[0, 0], [1, 1], [2, 2]]
        assert all(batch.weight is None and len(batch) == 2 for batch in got)


def test_a_generator_serves_one_epoch():
    batches = Batches(([[1.0]], [0], [2.0]) for _ in range(2))
    assert len(batches) == 0
    assert [batch.weight.tolist() for batch in batches] == [[2.0], [2.0]]
    with pytest.raises(ValueError, match="nothing is left in it after the first epoch; pass a list of batches, or an object"):
        list(batches)
    with pytest.raises(ValueError, match="it gave none"):
        list(Batches(iter([])))


def test_bad_batches_are_named():
    with pytest.raises(ValueError, match=r"\[batch 1\] expected \(x, y\) or \(x, y, sample_weight\), got 4 parts"):
        list(Batches(iter([([1.0], [0]), ([1.0], [0], [1.0], 5)])))
    with pytest.raises(ValueError, match="x has 2, y has 1"):
        list(Batches(iter([([1.0, 2.0], [0])])))


def test_batches_of_several_inputs():
    left, right = np.zeros((5, 2)), np.ones((5, 3))
    for batch in ({"left": left, "right": right}, ([left, right],), ({"right": right, "left": left}, np.zeros(5))):
        (got,) = Batches(iter([batch]), inputs=TWO)
        assert [a.shape for a in got.x] == [(5, 2), (5, 3)]


def test_unpack():
    assert unpack({"a": 1}, "d") == ({"a": 1}, None, None)
    assert unpack((1,), "d") == (1, None, None)
    assert unpack([1, 2], "d") == (1, 2, None)
    assert unpack((1, 2, 3), "d") == (1, 2, 3)
    with pytest.raises(ValueError, match=r"\[validation_data\] .* got 0 parts"):
        unpack((), "validation_data")


@pytest.mark.parametrize("module", [arrays, data], ids=lambda m: m.__name__)
def test_examples(module):
    result = doctest.testmod(module, extraglobs={"lm": lm, "np": np})
    assert result.attempted > 3
    assert result.failed == 0


def test_a_column_called_filled_hides_nothing():
    """As the method of a masked array is."""
    table = pytest.importorskip("pandas").DataFrame({"filled": [1.0, 2.0], "b": [3.0, 4.0]})
    x = lm.placeholder((None, 2))
    assert float(lm.function([x], lm.sum(x))(table)) == 10
    assert lm.metrics.mae(table, table) == 0 == float(lm.losses.mse(table, table))
    assert lm.Sequential(lm.Dense(1), seed=0).build(2).predict(table).shape == (2, 1)


def test_an_output_without_validation_targets_has_no_figure_and_all_others_theirs():
    x = lm.Input(3)
    net = lm.Model(x, {"a": lm.Dense(2)(x), "b": lm.Dense(2)(x)}, seed=0)
    net.compile([lm.losses.MSE(mask_nan=True)] * 2, "sgd", metrics={"a": ["mae"]})
    data, y = np.ones((8, 3)), np.ones((8, 2))
    history = net.fit(data, {"a": y, "b": y}, validation_data=(data, {"a": y, "b": y * np.nan}), verbose=0)
    assert np.isnan(history["val_loss"]).all() and np.isfinite(history["val_a_mae"]).all()
    with pytest.raises(ValueError, match=r"\[validation_data\] expected a target that counts"):
        net.fit(data, {"a": y, "b": y}, validation_data=(data, {"a": y * np.nan, "b": y * np.nan}), verbose=0)
