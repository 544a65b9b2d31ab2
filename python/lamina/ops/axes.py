"""How an axis is given: a whole number, negative ones from the end, several, or None for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lamina.tensor import Tensor

Axis = int | Sequence[int] | None


def axes_of(axis: Axis, x: Tensor, where: str) -> list[int]:
    """The axes of x that are meant, each from 0 up; ValueError for one that x lacks."""
    if axis is None:
        return list(range(x.ndim))
    axes = axis if isinstance(axis, Iterable) else [axis]
    return [axis_of(a, x.ndim, where) for a in axes]


def axis_of(axis: int, ndim: int, where: str) -> int:
    """One axis among `ndim`, from 0 up; ValueError for one that there is not."""
    if not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim:
        raise ValueError(f"[{where}] expected an axis from {-ndim} to {ndim - 1}, got {axis}")
    return int(axis) % ndim
