"""What the tests of operations share: sizes and types, how far values may be off, and which operations have a case."""

from __future__ import annotations

import numpy as np

import lamina as lm

SIZES = [1, 7, 8, 9, 15, 16, 17, 33]  # around the vector widths of every instruction set
DTYPES = ["float32", "float64"]
COVERED: set[str] = set()  # names of lamina.ops that some case below exercises


def covers(*names: str) -> None:
    COVERED.update(names)


def build_and_run(f, arrays, dtype=None):
    """f over placeholders of the arrays' shapes and types, run on the arrays."""
    inputs = [lm.placeholder(np.shape(a), str(np.asarray(a).dtype), name=f"x{i}") for i, a in enumerate(arrays)]
    return lm.function(inputs, f(*inputs))(*arrays)


def ulps(got, want, dtype) -> float:
    """The largest distance in units of the last place of `want` (of its type's smallest normal near zero)."""
    want = np.asarray(want, np.float64)
    got = np.asarray(got, np.float64)
    assert got.shape == want.shape, f"shape {got.shape} is not {want.shape}"
    special = ~np.isfinite(want)
    with np.errstate(over="ignore"):
        rounded = want.astype(dtype)
    special |= ~np.isfinite(rounded)
    assert np.array_equal(got[special], rounded[special].astype(np.float64), equal_nan=True), "infinities and nan differ"
    got, want, rounded = got[~special], want[~special], rounded[~special]
    with np.errstate(over="ignore"):  # above the largest number there is no next one
        unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(dtype).tiny).astype(dtype)).astype(np.float64)
    error = np.abs(got - want) / unit
    return float(error.max()) if error.size else 0.0


def check(f, want, arrays, dtype, tolerance) -> None:
    """Both paths: arrays in, arrays out; tensors in, a function out."""
    at_once = f(*arrays)
    assert isinstance(at_once, (np.ndarray, np.generic)), (
        f"given arrays, an operation returns an array, not {type(at_once).__name__}"
    )
    for result in (at_once, build_and_run(f, arrays)):
        result = np.asarray(result)
        if np.asarray(want).dtype == bool:
            assert result.dtype == bool and np.array_equal(result, want)
        else:
            assert result.dtype == np.dtype(dtype), f"result is {result.dtype}, not {dtype}"
            assert ulps(result, want, dtype) <= tolerance


def rounded(arrays, dtype):
    return [np.asarray(a).astype(dtype) for a in arrays]


def widened(arrays):
    return [a.astype(np.float64) for a in arrays]
