"""What metrics take and check alike: real numbers, weights, lengths."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lamina.base import checks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Array = NDArray[Any]

LARGEST_WEIGHT = math.sqrt(sys.float_info.max)  # sums of such weights, and of them times an error, are in float64


def real(where: str, name: str, values: ArrayLike) -> Floats:
    """Any real numbers as float64, one row a sample."""
    array = checks.array(where, values, name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"[{where}] expected numbers in {name}, got dtype {array.dtype}; convert it with {name}.astype(float)")
    return nonempty(where, name, array).astype(np.float64, copy=False)


def nonempty(where: str, name: str, array: Array) -> Array:
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"[{where}] expected at least one sample in {name}, got shape {array.shape}; pass an array with one row a sample"
        )
    return array


def is_column(array: Array) -> bool:
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)


def same_length(where: str, true: int, pred: int) -> None:
    if true != pred:
        raise ValueError(
            f"[{where}] expected as many labels as predictions, got {true} and {pred}; pass y_true and y_pred of the same samples"
        )


def whole(where: str, name: str, values: Array) -> Ints:
    if values.dtype.kind not in "biuf":
        raise TypeError(f"[{where}] expected integer classes in {name}, got dtype {values.dtype}; number the classes from 0")
    with np.errstate(invalid="ignore"):  # of NaN and infinities, which are no integers
        labels = values.astype(np.int64)
    if (labels != values).any():
        first = int(np.argmax(labels != values))
        raise ValueError(
            f"[{where}] expected integer classes in {name}, got {values[first]:g} in sample {first}; number the classes from 0"
        )
    return labels


def weights(where: str, sample_weight: ArrayLike | None, n: int, rows: int) -> Floats:
    """One weight for each of n samples; those given for rows of several samples are repeated."""
    if sample_weight is None:
        return np.ones(n)
    if checks.array(where, sample_weight, "sample_weight").ndim == 0:
        raise ValueError(
            f"[{where}] expected a sample_weight for each of {rows} samples, got {checks.brief(sample_weight)}; pass shape "
            f"({rows},), and options by their names"
        )
    weight = real(where, "sample_weight", sample_weight)
    if weight.size not in (n, rows):
        raise ValueError(
            f"[{where}] expected a sample_weight for each of {rows} samples, got shape {weight.shape}; pass shape ({rows},)"
        )
    check_weights(where, weight)
    return np.repeat(weight.reshape(-1), n // weight.size)


def check_weights(where: str, weight: Floats) -> None:
    """Finite, not negative, and some above 0, or a ValueError; also where they are so large that their sum may not be finite."""
    if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.any()):
        raise ValueError(
            f"[{where}] expected finite sample weights >= 0 that are not all 0, got {weight.min():g} to {weight.max():g}; leave "
            "them out"
        )
    if weight.max() > LARGEST_WEIGHT:
        raise ValueError(
            f"[{where}] expected sample weights up to {LARGEST_WEIGHT:g}, got {weight.max():g}; divide them by their largest: only "
            "their ratios count"
        )
