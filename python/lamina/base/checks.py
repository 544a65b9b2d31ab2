"""Checks of hyper-parameters: each returns the value, converted, or raises an error that says where, expected, got, remedy.

`where` is what the user wrote, such as "Dense" or "optim.Adam"; `name` is the argument. All other warnings go through `warn`.
"""

from __future__ import annotations

import math
import operator
import os
import reprlib
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

INF = math.inf
UINT64 = 2**64 - 1  # the largest number that the core's counters and seeds hold

_LETTERS = 120  # of a value in an error
_repr = reprlib.Repr()  # which reads the first of a million elements only
_repr.maxlist = _repr.maxtuple = _repr.maxset = _repr.maxdict = 20
_repr.maxstring = _LETTERS
_repr.repr_int = _repr.repr_instance  # type: ignore[method-assign]  # Python refuses to write thousands of digits
_repr.maxother = 100 * _LETTERS  # of what it would cut in the middle


def brief(value: Any) -> str:
    """A value as errors quote it: on one line of bounded length, an array that is longer by its shape.

    >>> brief(np.float64(0.5)), brief(np.eye(2)), brief(np.zeros((50, 60)))
    ('0.5', 'array([[1., 0.], [0., 1.]])', 'an array of shape (50, 60)')
    """
    text = " ".join(_repr.repr(value.item() if isinstance(value, np.generic) else value).split())
    if len(text) <= _LETTERS:
        return text
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{text[: _LETTERS - 3]}..."


def cut(path: str) -> str:
    """A path as it stands before an error: of bounded length, its end in it.

    >>> cut("net.safetensors"), len(cut("net" * 1000))
    ('net.safetensors', 243)
    """
    return path if len(path) <= 3 * _LETTERS else f"{path[:_LETTERS]}...{path[-_LETTERS:]}"


def number(
    where: str, name: str, value: Any, low: float = -INF, high: float = INF, *, open_low: bool = False, open_high: bool = False
) -> float:
    """A finite number in [low, high]; `open_low` and `open_high` leave that end out.

    >>> number("Dropout", "p", 0.5, 0, 1, open_high=True)
    0.5
    """
    try:
        x = None if isinstance(value, (bool, str, bytes)) else float(value)
    except OverflowError:  # an int beyond float64
        x = INF
    except (TypeError, ValueError):
        x = None
    if x is not None and (low < x if open_low else low <= x) and (x < high if open_high else x <= high) and math.isfinite(x):
        return x
    expected = f"[{where}] expected {name} to be {_interval(low, high, open_low, open_high)}, got {brief(value)}"
    raise TypeError(f"{expected}; pass a plain number") if x is None else ValueError(f"{expected}; pass such a number")


def optional_number(where: str, name: str, value: Any, low: float = -INF, *, open_low: bool = False) -> float | None:
    """As `number`, or None.

    >>> optional_number("optim.SGD", "clip_norm", None) is None
    True
    """
    return None if value is None else number(where, name, value, low, open_low=open_low)


def integer(where: str, name: str, value: Any, low: int | None = 1, high: int | None = None) -> int:
    """A whole number of at least `low` and at most `high`, if these are given; NumPy's integers count, 3.0 and True do not.

    >>> integer("Dense", "units", 128)
    128
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        n = operator.index(value)
    except TypeError:
        least = "" if low is None else f" >= {low}"
        raise TypeError(f"[{where}] expected {name} to be a whole number{least}, got {brief(value)}; pass an int") from None
    if low is not None and n < low:
        raise ValueError(f"[{where}] expected {name} >= {low}, got {brief(n)}; pass a larger whole number")
    if high is not None and n > high:
        raise ValueError(f"[{where}] expected {name} <= {high}, got {brief(n)}; pass a smaller whole number")
    return n


def numbers(where: str, name: str, values: Any, count: int, low: float, high: float = INF, **ends: bool) -> tuple[float, ...]:
    """`count` numbers, each checked as by `number`.

    >>> numbers("optim.Adam", "betas", (0.9, 0.999), 2, 0, 1, open_high=True)
    (0.9, 0.999)
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or len(values) != count:
        raise TypeError(f"[{where}] expected {name} to be {count} numbers, got {brief(values)}; pass a tuple of {count}")
    return tuple(number(where, f"{name}[{i}]", v, low, high, **ends) for i, v in enumerate(values))


def inputs_alone(where: str, options: Mapping[str, Any], remedy: str) -> None:
    """TypeError where a network or a layer is called with an argument by its name.

    >>> inputs_alone("Sequential", {}, "net(x) predicts")
    """
    if options:
        raise TypeError(f"[{where}] expected inputs alone, got the argument {next(iter(options))!r}; {remedy}")


def flag(where: str, name: str, value: Any) -> bool:
    """True or False (NumPy's too).

    >>> flag("Dense", "bias", True)
    True
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"[{where}] expected {name} to be True or False, got {brief(value)}; pass one of the two")
    return bool(value)


def choice(where: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """One of a few words.

    >>> choice("optim.Adam", "eps_mode", "keras", ("torch", "keras"))
    'keras'
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"[{where}] expected {name} to be one of {', '.join(map(repr, choices))}, got {brief(value)}; pass one")
    return str(value)


def is_text(value: Any) -> bool:
    """Whether it is a text, and one that UTF-8 can write: half of a pair of surrogates is none.

    >>> is_text("weight"), is_text("\\ud800"), is_text(3)
    (True, False, False)
    """
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def path(where: str, name: str, value: Any) -> str:
    """The name of a file, from text or a pathlib.Path. Whole numbers are refused, which `open` would take for file descriptors.

    >>> path("load", "path", "net.safetensors")
    'net.safetensors'
    """
    try:
        text = os.fsdecode(value)
        if b"\0" not in os.fsencode(text):  # the bytes of a file have one, and no system takes it
            return text
        error: type[Exception] = ValueError
    except (TypeError, UnicodeEncodeError) as refused:
        error = TypeError if isinstance(refused, TypeError) else ValueError
    raise error(f"[{where}] expected {name} to be text or a pathlib.Path, got {brief(value)}; pass the name of a file")


def _interval(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if low == -INF and high == INF:
        return "a finite number"
    if high == INF:
        return f"a number {'>' if open_low else '>='} {low:g}"
    return f"a number in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"


def os_error(number: int | None, message: str) -> OSError:
    """The error of this number, whose class follows from it, that says this."""
    made = type(OSError(number, message))(message)
    made.errno = number
    return made


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Raises an OSError of the block again, as the same class, saying what `where` was to read and what to do.

    >>> with reading("load no/such.safetensors"):  # doctest: +ELLIPSIS
    ...     open("no/such.safetensors")
    Traceback (most recent call last):
        ...
    FileNotFoundError: [load no/such.safetensors] expected a file that can be read, got: No such ...
    """
    try:
        yield
    except OSError as error:
        remedy = "look at the path and the working folder" if isinstance(error, FileNotFoundError) else "pass another path"
        raise os_error(error.errno, f"[{where}] expected a file that can be read, got: {error.strerror}; {remedy}") from error


@contextmanager
def writing(where: str, path: Any) -> Iterator[None]:
    """Raises an OSError of the block again, as the same class, saying which file was to be written and what to do.

    >>> with writing("draw", "no/such/net.svg"):  # doctest: +ELLIPSIS
    ...     open("no/such/net.svg", "w")
    Traceback (most recent call last):
        ...
    FileNotFoundError: [draw] expected a path that can be written, got 'no/such/net.svg': No such ...
    """
    try:
        yield
    except OSError as error:
        remedy = "make its folder, or pass another path" if isinstance(error, FileNotFoundError) else "pass another path"
        said = f"[{where}] expected a path that can be written, got {brief(str(path))}: {error.strerror}; {remedy}"
        raise os_error(error.errno, said) from error


def whole(where: str, value: Any, name: str) -> None:
    """TypeError for a sparse matrix, which NumPy takes for one object, ValueError for an array of `np.ma` with masked values, or a
    list with such a row, which nothing here would leave out; `name`: what a user calls it.
    """
    if hasattr(value, "toarray"):
        raise TypeError(f"[{where}] expected a dense array, got {type(value).__name__}; pass {name}.toarray()")
    if hasattr(value, "filled") and isinstance(value, np.ma.MaskedArray) and np.any(value.mask):
        raise ValueError(f"[{where}] expected an array without masked values, got a masked array; pass {name}.filled(value)")
    several = isinstance(value, (list, tuple)) and value and isinstance(value[0], np.ndarray)
    if several and {*map(type, value)} != {np.ndarray} and any(map(np.ma.is_masked, value)):
        raise ValueError(
            f"[{where}] expected arrays without masked values, got a {type(value).__name__} with a masked array; pass "
            f"np.ma.stack({name}).filled(value)"
        )


def array(where: str, value: Any, name: str = "x") -> np.ndarray[Any, Any]:
    """Any array-like as NumPy reads it, of whatever type; `name` as for `whole`.

    Errors: ValueError for rows of several lengths and for masked values, TypeError for sparse ones and what NumPy cannot read, such
    as a tensor of another library that needs its gradient.

    >>> array("mse", [[1, 2], [3, 4]]).shape
    (2, 2)
    """
    if type(value) is np.ndarray:
        return value
    whole(where, value, name)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"[{where}] expected an array, or lists of equal lengths, got {brief(value)}; pad the shorter ones"
        ) from error
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"[{where}] expected an array, got {type(value).__name__} that NumPy cannot read: {error}") from None


def warn(message: str) -> None:
    """A UserWarning at the line of the user's that led here, whichever way: Python shows one once for each such line."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("lamina", "contextlib"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
