"""How much each sample counts: the weights that are given, and those of its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.base import checks
from lamina.inputs.arrays import Array, as_array, check_finite, chunks


def weights(
    sample_weight: Any, class_weight: Any, targets: Sequence[Array], n: int, ignored: int | None = None, *, may_rest: bool = False
) -> Array | None:
    """One weight a sample: the product of both kinds, or None where neither is given. `ignored`: see `class_weights`."""
    if sample_weight is None and class_weight is None:
        return None
    weight = np.ones(n) if sample_weight is None else _sample_weights(sample_weight, n, may_rest)
    if class_weight is None:
        return weight
    if len(targets) != 1:
        raise ValueError(f"[class_weight] expected one target, got {len(targets)}; pass sample_weight instead")
    return np.asarray(weight * class_weights(class_weight, targets[0], ignored))


def _sample_weights(sample_weight: Any, n: int, may_rest: bool) -> Array:
    weight = as_array(sample_weight, "sample_weight")
    if weight.shape == (n, 1):
        weight = weight[:, 0]
    if weight.shape != (n,):
        raise ValueError(
            f"[sample_weight] expected shape ({n},), one number a sample, got {weight.shape}; pass one weight for each row"
        )
    check_finite(weight, "sample_weight")
    if weight.min() < 0 or (weight.max() <= 0 and not may_rest):
        raise ValueError(
            f"[sample_weight] expected weights >= 0 that are not all 0, got {weight.min():g} to {weight.max():g}; factors of "
            "either sign, such as advantages, belong into a loss of your own: a column of the target"
        )
    return weight


def class_weights(class_weight: Any, y: Array, ignored: int | None = None) -> NDArray[np.float64]:
    """The weight of each sample's class.

    `class_weight`: "balanced", n / (number of classes that occur * samples of the class); a dict from class to weight, 1 for those
    that are not in it; or an array with one weight a class. `y`: classes (n,) or (n, 1), or one-hot rows (n, C); ValueError for
    others, which have no class (values, probabilities, several classes at once). `ignored`: the class that a loss leaves out, whose
    samples weigh 1 and count in nothing.

    >>> class_weights("balanced", np.array([0, 0, 0, 1])).tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    >>> class_weights({1: 5.0}, np.array([0, 1])).tolist()
    [1.0, 5.0]
    """
    if ignored is not None and len(y) == y.size and (y == ignored).any():
        weight, kept = np.ones(len(y)), (y != ignored).reshape(-1)
        if kept.any():
            weight[kept] = class_weights(class_weight, y[kept])
        return weight
    labels = _class_labels(y)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                f"[class_weight] expected 'balanced', a dict or an array, got {checks.brief(class_weight)}; pass 'balanced'"
            )
        counts = np.bincount(labels)
        balanced: NDArray[np.float64] = len(labels) / (np.count_nonzero(counts) * counts[labels].astype(np.float64))
        return balanced
    table = np.ones(int(labels.max()) + 1)
    if isinstance(class_weight, Mapping):
        for label, weight in class_weight.items():
            value = _class_weight(weight)
            if class_number(label) < len(table):
                table[label] = value
        return table[labels]
    given = as_array(class_weight, "class_weight")
    if given.ndim != 1 or len(given) < len(table):
        raise ValueError(
            f"[class_weight] expected one weight for each of {len(table)} classes, got shape {given.shape}; add the others"
        )
    return np.array([_class_weight(weight) for weight in given])[labels]


def class_number(label: Any) -> int:
    """A key of `class_weight`, which is a class: a whole number from 0 up, else ValueError.

    >>> class_number(3)
    3
    """
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or label < 0:
        raise ValueError(f"[class_weight] expected classes 0, 1, ... as keys, got {checks.brief(label)}; number the classes from 0")
    return int(label)


def _class_weight(weight: Any) -> float:
    try:
        return checks.number("class_weight", "a weight", weight, 0)
    except ValueError:
        raise ValueError(f"[class_weight] expected weights >= 0, got {checks.brief(weight)}; pass 0 to leave a class out") from None


def _class_labels(y: Array) -> NDArray[np.int64]:
    if y.ndim == 2 and y.shape[1] > 1:
        _check_one_hot(y)
        return np.asarray(y.argmax(axis=1), dtype=np.int64)
    if y.size != len(y) or np.any(y != np.rint(y)) or y.min() < 0:
        raise ValueError(
            f"[class_weight] expected a target of classes 0, 1, ..., got {y.dtype} of shape {y.shape}; pass sample_weight instead"
        )
    return y.reshape(-1).astype(np.int64)


def _check_one_hot(y: Array) -> None:
    for start, block in chunks(y):
        off = (np.count_nonzero(block, axis=1) != 1) | (np.count_nonzero(block == 1, axis=1) != 1)  # a 1, and nothing else
        if off.any():
            row = int(np.argmax(off))
            raise ValueError(
                f"[class_weight] expected classes, or rows of 0 with one 1, got {np.array2string(block[row], threshold=6)} in row "
                f"{start + row} of the target; pass sample_weight instead"
            )
