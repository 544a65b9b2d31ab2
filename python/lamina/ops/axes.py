"""How an axis is given: a whole number, negative ones from the end, several, or None for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lamina.base import checks

Axis = int | Sequence[int] | None


def axes_of(axis: Axis, ndim: int, where: str) -> list[int]:
    """The axes that are meant among `ndim`, each from 0 up; ValueError for one that there is not, and for one named twice.

    TypeError for what is neither a number nor several: a text, a dict.
    """
    if axis is None:
        return list(range(ndim))
    if isinstance(axis, (str, bytes, Mapping)):
        raise TypeError(
            f"[{where}] expected a whole number, several or None as axis, got {checks.brief(axis)}; pass axis=0, or axis=(0, 1)"
        )
    several: Any = axis if isinstance(axis, Iterable) and getattr(axis, "ndim", 1) == 1 else [axis]  # a tensor is an Iterable
    axes = [axis_of(a, ndim, where) for a in several]
    if len(set(axes)) < len(axes):
        raise ValueError(f"[{where}] expected each axis once, got {checks.brief(axis)}; leave the others out")
    return axes


def members(value: Any) -> list[Any] | None:
    """What a list, a tuple, or an array with an axis holds; None for one value.

    >>> members((1, 2)), members(np.array(3))
    ([1, 2], None)
    """
    several = isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0)
    return list(value) if several else None


def axis_of(axis: int, ndim: int, where: str) -> int:
    """One axis among `ndim`, from 0 up; ValueError for one that there is not."""
    if ndim == 0:
        raise ValueError(
            f"[{where}] expected an array with an axis {checks.brief(axis)}, got a scalar, which has none; pass an array, or no "
            "axis"
        )
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim:
        raise ValueError(f"[{where}] expected an axis from {-ndim} to {ndim - 1}, got {checks.brief(axis)}; pass one of these")
    return int(axis) % ndim
