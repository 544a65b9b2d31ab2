"""One thing that a user passes as data, made into an array that an epoch can gather rows from, and checked.

Accepted: lists, NumPy arrays of any layout, numpy.memmap, pandas and polars frames and series, PyTorch tensors, anything with
`__array__`. Arrays of bool, uint8, int8, int16, uint16, int32, int64, float32 and float64 are used where they lie, in any layout,
without a copy: a memmap may be larger than memory. So is float16 that goes to a network's input. Other numbers are converted once;
what is no number is an error that names its place.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from lamina import _core as core
from lamina.base import checks

Array = NDArray[Any]

GATHERED = frozenset(np.dtype(t) for t in ("?", "u1", "i1", "i2", "u2", "i4", "i8", "f4", "f8"))  # what Program.epoch reads
HALF = np.dtype("f2")
CONVERTED = {"f2": np.float32, "u4": np.int64, "u8": np.int64}  # the smallest gathered type that holds every value (u8: checked)
CHUNK = 1 << 15  # elements that a check looks at at once: 128-256 KB stay in L2, the call costs a few percent of the scan
PIECE = 1 << 26  # elements that all threads look at at once: 256-512 MB, some hundredths of a second, then Ctrl-C is heard


# ---- conversion ----


def as_array(data: Any, where: str, *, may_be_empty: bool = False, half: bool = False) -> Array:
    """`data` as an array of a gathered type with at least one row, unless `may_be_empty`; no copy where the type allows.

    half: of float16, too, which the core gathers, and NumPy does not reckon with: for what goes to inputs alone.

    Errors: TypeError for what is no number (text, dates, complex, sparse or ragged data); ValueError for empty or masked data and
    integers beyond int64. `where` names the argument.

    >>> from lamina.inputs.arrays import as_array
    >>> as_array([[1, 2], [3, 4]], "x").dtype
    dtype('int64')
    """
    array = _read(data, where)
    if array.ndim == 0:
        raise TypeError(f"[{where}] expected an array with one row a sample, got {checks.brief(data)}; pass a list or an array")
    if array.size == 0 and not (may_be_empty and 0 not in array.shape[1:]):
        raise ValueError(
            f"[{where}] expected at least one sample and one feature, got shape {array.shape}; pass data that is not empty"
        )
    if array.dtype == object:
        array = _from_objects(array, where, column_names(data))
    if (array.dtype in GATHERED or (half and array.dtype == HALF)) and array.flags.aligned:
        return array
    return array.astype(_gathered_type(array, where))


def _read(data: Any, where: str) -> Array:
    """Any array-like as an ndarray of whatever type."""
    if type(data) is np.ndarray:
        return data
    checks.whole(where, data, where)
    try:
        return np.asarray(data.to_numpy(**_nullable(data)) if hasattr(data, "to_numpy") else data)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise TypeError(f"[{where}] expected rows of equal length, got rows of different lengths; pad them to one length") from None
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"[{where}] expected an array, got {type(data).__name__} that NumPy cannot read: {error}") from None


def _nullable(data: Any) -> dict[str, Any]:
    """Options for a frame's `to_numpy`: else it makes an object of each number where some have a type of pandas's own."""
    types = list(getattr(data, "dtypes", [])) if hasattr(data, "columns") else []
    kinds = {getattr(dtype, "kind", "O") for dtype in types}
    if all(isinstance(dtype, np.dtype) for dtype in types) or not kinds <= set("bif" if "f" not in kinds else "biuf"):
        return {}
    if "f" not in kinds and not data.isna().to_numpy().any():
        return {"dtype": np.result_type(*(getattr(t, "numpy_dtype", getattr(t, "subtype", t)) for t in set(types)))}
    return {"dtype": np.float64, "na_value": np.nan}


def _gathered_type(array: Array, where: str) -> Any:
    dtype = array.dtype.newbyteorder("=")
    if dtype in GATHERED:
        return dtype
    if dtype.kind == "u" and dtype.itemsize == 8 and array.max(initial=0) >= 2**63:
        raise ValueError(f"[{where}] expected integers below 2^63, got {array.max()}; convert it with {where}.astype(float)")
    if dtype.str[1:] in CONVERTED:
        return CONVERTED[dtype.str[1:]]
    if dtype.kind == "f":
        return np.float64
    remedies = {
        "c": f"pass {where}.real and {where}.imag as two columns",
        "M": f"pass a difference in seconds: ({where} - {where}.min()) / np.timedelta64(1, 's')",
        "m": f"pass seconds: {where} / np.timedelta64(1, 's')",
        "V": f"take one field, or stack them: np.stack([{where}[name] for name in {where}.dtype.names], axis=1)"
        if dtype.names
        else f"pass {where}.astype('float32')",  # bfloat16
    }
    if dtype.kind not in remedies and _are_numbers(array):
        remedy = f"read the text as numbers: np.asarray({where}, float)"
    else:
        remedy = remedies.get(dtype.kind, f"number the categories: np.unique({where}, return_inverse=True)[1]")
    raise TypeError(f"[{where}] expected numbers, got dtype {dtype}; {remedy}")


def _from_objects(array: Array, where: str, columns: list[str] | None) -> Array:
    """Python objects as int64 where all are integers, else as float64 with NaN for what is missing."""
    flat = array.reshape(-1)
    kinds = set(map(type, flat))
    if all(issubclass(kind, (int, np.integer)) for kind in kinds):
        with suppress(OverflowError):
            return array.astype(np.int64)
    if not any(issubclass(kind, (str, bytes, np.datetime64)) for kind in kinds):  # of which NumPy would make numbers
        with suppress(TypeError, ValueError, OverflowError):
            return array.astype(np.float64)
    numbers = np.empty(flat.size, dtype=np.float64)
    for i, value in enumerate(flat):
        try:
            if isinstance(value, (str, bytes)):
                raise TypeError
            numbers[i] = np.nan if value is None or type(value).__name__ == "NAType" else float(value)
        except (TypeError, ValueError, OverflowError):
            index = np.unravel_index(i, array.shape)
            part = f"{where}[{columns[index[1]]!r}]" if columns and len(index) == 2 else None
            raise TypeError(
                f"[{where}] expected numbers, got {checks.brief(value)} at {position(index, columns)}; "
                f"{_object_remedy(value, where, part)}"
            ) from None
    return numbers.reshape(array.shape)


def _object_remedy(value: Any, where: str, column: str | None) -> str:
    """column: how a frame's column is written."""
    if isinstance(value, dict):
        return "pass the values of each row as a list, in the order of the columns, or a frame: pandas.DataFrame(rows)[columns]"
    if isinstance(value, int):
        return "keep it below 1.8e308"
    if isinstance(value, (np.ndarray, list, tuple)):
        return f"stack them: np.stack({column or where})"
    if isinstance(value, datetime.date):
        return "pass a difference in days: (t - t.min()).dt.days, t = pandas.to_datetime(column)"
    if isinstance(value, datetime.timedelta):
        return "pass seconds: t.dt.total_seconds(), t = pandas.to_timedelta(column)"
    if isinstance(value, (str, bytes)) and _are_numbers(value):
        return f"read the text as numbers: {f'pandas.to_numeric({column})' if column else f'np.asarray({where}, float)'}"
    if where == "y":
        return "number the classes: np.unique(y, return_inverse=True)[1]"
    return "leave that column out, or number its categories"


def _are_numbers(text: Any) -> bool:
    """Whether all of the text is of numbers, of which categories would keep the order of their letters alone."""
    try:
        np.asarray(text).astype(float)
    except ValueError:
        return False
    return True


class Label(str):
    """The text of a column's name that is no text, such as a number or a tuple; it is shown as that."""

    _shown: str

    def __new__(cls, name: Any) -> Label:
        made = super().__new__(cls, str(name))
        made._shown = repr(name)
        return made

    def __repr__(self) -> str:
        return self._shown


def column_names(data: Any) -> list[str] | None:
    """What a frame calls its columns; None for what has no names, and where they are 0, 1, ..., as pandas gives them by itself.

    >>> column_names([[1.0]]) is None
    True
    """
    columns = getattr(data, "columns", None)
    if columns is None or (names := list(columns)) == list(range(len(names))):
        return None
    return [str(name) if isinstance(name, str) else Label(name) for name in names]


def position(index: Sequence[Any], columns: list[str] | None = None) -> str:
    """A place in an array in words.

    >>> position((17, 3)), position((17, 3, 2)), position((0, 1), ["age", "city"])
    ('row 17, column 3', 'row 17, column (3, 2)', "row 0, column 'city'")
    """
    row, *rest = (int(i) for i in index)
    if not rest:
        return f"row {row}"
    if len(rest) > 1:
        return f"row {row}, column ({', '.join(map(str, rest))})"
    return f"row {row}, column {repr(columns[rest[0]]) if columns else rest[0]}"


# ---- checks ----


def room(rows: int, row: Sequence[int], dtype: Any, where: str) -> NDArray[Any]:
    """An array for that many rows, not filled; MemoryError that names it where there is no room.

    >>> room(3, (2,), "float32", "predict").shape
    (3, 2)
    """
    shape = (rows, *row)
    try:
        return np.empty(shape, dtype)
    except MemoryError as error:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        raise MemoryError(f"[{where}] expected {size} bytes of memory for {dtype} {shape}, got none; pass fewer rows") from error


def check_shape(array: Array, where: str, shape: Sequence[Any]) -> None:
    """ValueError where the array does not have the expected shape; whatever is no int in it is free, as is the batch axis.

    >>> check_shape(np.zeros((7, 4)), "x", (None, 4))
    """
    expected, got = tuple(shape), array.shape
    pairs = zip(expected[1:], got[1:], strict=False)
    if len(expected) == len(got) and all(e == g for e, g in pairs if isinstance(e, (int, np.integer))):
        return
    shown = ", ".join(str(e) if i and isinstance(e, (int, np.integer)) else "any" for i, e in enumerate(expected))
    raise ValueError(f"[{where}] expected shape ({shown}), got {got}; {_shape_remedy(where, expected[1:], got)}")


def _shape_remedy(where: str, features: tuple[Any, ...], got: tuple[int, ...]) -> str:
    size = math.prod(int(f) for f in features if isinstance(f, (int, np.integer)))
    if got == features:
        return f"one sample is a batch of 1: pass np.asarray({where})[None]"
    if math.prod(got[1:]) == size:
        shape = "".join(f", {f}" for f in features)
        return f"pass {where}.reshape(len({where}){shape}), or put Flatten() or Reshape() first"
    other = f", or make the model for Input({', '.join(map(str, got[1:]))})" if got[1:] else ""
    rows = f"samples are rows: pass {where}.T" if len(got) == 2 and got[:1] == features else "pass rows of that shape"
    return rows + other


def check_finite(array: Array, where: str, dtype: str = "float64", columns: list[str] | None = None) -> None:
    """ValueError at the first NaN, infinity, or number too large for `dtype` (the input's), with its row and column.

    `columns`: their names, where they have some.

    Integers and bools pass at once. Others are read once; nothing of a large array's size is allocated.

    >>> check_finite(np.array([[0.0, 1.0], [np.nan, 2.0]]), "x")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: [x] expected finite numbers, got nan at row 1, column 0; fill it in, or drop such rows of x and y alike, ...
    """
    if array.dtype.kind != "f":
        return
    once = _each_once(array)
    if once is not None:
        with suppress(ValueError):
            return check_finite(once, where, dtype)
    if array.dtype == HALF:  # by its bits: NumPy's comparisons convert each number
        for start, block in chunks(array):
            if (block.view("u2") & 0x7FFF).max() >= 0x7C00:
                _raise_not_finite(block, start, where, float(np.finfo(HALF).max), columns)
        return
    largest, measure = _limit(array.dtype, dtype)
    if measure is not None and array.flags.c_contiguous:
        flat = array.reshape(-1)
        pieces = [flat] if flat.size <= PIECE else (flat[start : start + PIECE] for start in range(0, flat.size, PIECE))
        if all(abs(measure.run([piece])[0]) <= largest for piece in pieces):  # False for NaN, too
            return
    for start, block in chunks(array):
        if not (block.min() >= -largest and block.max() <= largest):
            _raise_not_finite(block, start, where, largest, columns)


def _each_once(array: Array) -> Array | None:
    """The elements of a view without those that it repeats: windows of a series overlap, a row may be broadcast. None of others."""
    spans: dict[int, int] = {}
    for size, stride in zip(array.shape, array.strides, strict=True):
        spans[stride] = 1 if stride == 0 else spans.get(stride, 1) + size - 1  # i s + j s = (i + j) s
    repeats = math.prod(spans.values()) < array.size
    return as_strided(array, tuple(spans.values()), tuple(spans), writeable=False) if repeats else None


_MEASURED = frozenset(np.dtype(t) for t in ("f4", "f8"))


@cache
def _limit(given: np.dtype[Any], dtype: str) -> tuple[float, core.Program | None]:
    """The largest number of an array's type that an input's type can hold, and what looks for larger ones in one pass, if any."""
    own = float(np.finfo(given).max)
    largest = min(own, float(np.finfo(dtype).max)) if dtype in ("float32", "float64") else own
    return largest, _measure(given, largest < own) if given in _MEASURED else None


@cache
def _measure(dtype: np.dtype[Any], narrowed: bool) -> core.Program:
    """What is finite where every x is, in one pass, by all threads: sum x, or max |x| where another type must hold them.

    Of large numbers the sum may be infinite as well.
    """
    x = core.make("input", [], {"shape": (None,), "dtype": dtype.name})
    of = core.make("abs", [x], {}) if narrowed else x
    return core.Program([x], [core.make("max" if narrowed else "sum", [of], {"axes": [0], "keepdims": False})], [])


def _raise_not_finite(block: Array, start: int, where: str, largest: float, columns: list[str] | None) -> None:
    first, place = _first(~(np.abs(block) <= largest), start, columns)
    value = block[first]
    if np.isfinite(value):
        raise ValueError(
            f"[{where}] expected numbers that float32 can hold, got {value:g} at {place}; scale it, or use dtype='float64'"
        )
    raise ValueError(f"[{where}] expected finite numbers, got {value} at {place}; {_missing_remedy(where, value, columns)}")


def _first(bad: Array, start: int, columns: list[str] | None) -> tuple[tuple[Any, ...], str]:
    """Of a block that begins with row `start`, the first bad place: its index, and where that is in the whole array."""
    index = np.argwhere(bad)[0]
    return tuple(index), position((index[0] + start, *index[1:]), columns)


def _missing_remedy(where: str, value: Any, columns: list[str] | None) -> str:
    """What was given may be a list, objects or a column while the array is none of these: the remedy holds for all."""
    if columns is not None and np.isnan(value):
        keep = f"{where}.notna().all(axis=1)"  # NumPy cannot read a frame with pandas.NA
    else:
        keep = f"np.isfinite(np.asarray({where}, float)).reshape(len({where}), -1).all(axis=1)"
    masked = "leave it out in fit by a loss such as MSE(mask_nan=True), " if where.startswith("y") and np.isnan(value) else ""
    return f"fill it in, {masked}or drop such rows of x and y alike, x[keep] and y[keep]: keep = {keep}"


def check_for(dtype: str, array: Array, where: str, columns: list[str] | None = None) -> None:
    """ValueError for numbers that an input of this type would change: no whole ones for int64, others than 0 and 1 for bool.

    >>> check_for("bool", np.array([0.0, 1.0]), "x")
    """
    if dtype == "int64":
        check_integers(array, where, columns)
    elif dtype == "bool" and array.dtype.kind != "b":
        for start, block in chunks(array):
            strange = (block != 0) & (block != 1)
            if strange.any():
                first, place = _first(strange, start, columns)
                raise ValueError(
                    f"[{where}] expected truth values for a bool input, got {block[first]:g} at {place}; compare: {where} != 0"
                )


def check_integers(array: Array, where: str, columns: list[str] | None = None) -> None:
    """ValueError at the first number that is no whole number of 64 bits, with its row and column: for inputs of an integer type.

    `columns`: their names, where they have some.

    >>> check_integers(np.array([1.0, 2.0]), "x")
    """
    if array.dtype.kind != "f":
        return
    for start, block in chunks(array):
        whole = (np.rint(block) == block) & (np.abs(block) < 2.0**63)  # False for NaN and infinity, too
        if not whole.all():
            first, place = _first(~whole, start, columns)
            raise ValueError(
                f"[{where}] expected whole numbers for an integer input, got {block[first]:g} at {place}; "
                "round it, or make the Input with a float dtype"
            )


def chunks(array: Array) -> Iterator[tuple[int, Array]]:
    """The array in pieces of whole rows that stay in cache, each with the number of its first row.

    >>> [(start, len(block)) for start, block in chunks(np.zeros((3, CHUNK // 2)))]
    [(0, 2), (2, 1)]
    """
    rows = max(1, CHUNK * len(array) // array.size)
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]
