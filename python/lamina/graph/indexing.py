"""x[index]: whole numbers, slices with any step, None, ..., and integer tensors along the first axis."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from lamina._core import Dim
from lamina.base import checks
from lamina.graph.lift import make, operation
from lamina.graph.tensor import Tensor


def getitem(x: Any, index: Any) -> Any:
    """The elements that the index names; see `lamina.ops.getitem`."""
    if _kind(index) in ("i", "u"):
        from lamina.ops import take

        return take(x, index if isinstance(index, Tensor) else np.asarray(index, np.int64))
    return _basic(x, index)


def _kind(index: Any) -> str | None:
    """Of what kind the elements of a tensor, an array or a list are, as NumPy writes it; None for what is none of these."""
    if isinstance(index, Tensor):
        return np.dtype(index.dtype).kind
    return checks.array("index", index, "index").dtype.kind if isinstance(index, (list, np.ndarray)) else None


@operation(1)
def _basic(x: Tensor, index: Any) -> Tensor:
    shape = x.shape
    items = _expand(index if isinstance(index, tuple) else (index,), len(shape))
    start: list[Any] = []
    stop: list[Any] = []
    step: list[int] = []
    kept: list[int | None] = []  # axes of the slice that stay; None: a new axis
    axis = 0
    for item in items:
        if item is None:
            kept.append(None)
            continue
        first, last, stride, drops = _one(item, shape[axis], axis, x)
        start.append(first)
        stop.append(last)
        step.append(stride)
        if not drops:
            kept.append(axis)
        axis += 1
    whole = step.count(1) == axis and all(first == 0 for first in start) and tuple(stop) == shape
    y = x if whole else make("slice", [x], start=start, stop=stop, step=step)
    if kept == list(range(axis)):
        return y
    between = y.shape
    return make("reshape", [y], shape=tuple([1 if a is None else between[a] for a in kept]))


def _expand(index: tuple[Any, ...], ndim: int) -> list[Any]:
    used = sum(1 for item in index if item is not None and item is not Ellipsis)
    if used > ndim:
        raise ValueError(f"[index] expected at most {ndim} axes, got {used}; leave out the last ones")
    items: list[Any] = []
    for item in index:
        if item is Ellipsis:
            items += [slice(None)] * (ndim - used)
            used = ndim
        else:
            items.append(item)
    return items + [slice(None)] * (ndim - used)


def _one(item: Any, length: Any, axis: int, x: Tensor) -> tuple[Any, Any, int, bool]:
    """start, stop, step of one axis, and whether the axis goes."""
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        position = item if item >= 0 else length + int(item)
        if isinstance(length, int) and not 0 <= position < length:
            raise ValueError(
                f"[index] expected {-length} to {length - 1} along axis {axis} of {x.shape}, got {checks.brief(item)}; count from 0"
            )
        return position, position + 1, 1, True
    if not isinstance(item, slice):
        raise TypeError(
            f"[index] expected whole numbers, slices, None and ..., or an integer tensor alone, got {checks.brief(item)} for axis "
            f"{axis}; " + _remedy(item, axis)
        )
    _check_slice(item, axis)
    if isinstance(length, int):
        first, last, stride = item.indices(length)
        if (last - first) * stride <= 0:
            return 0, 0, 1, False
        return first, last, stride, False
    stride = 1 if item.step is None else int(item.step)
    if stride not in (1, -1):
        raise ValueError(
            f"[index] expected a step of 1 or -1 along axis {axis}, whose length {length} is free, got {stride}; make it known"
        )
    ends = (0, length) if stride == 1 else (length - 1, -1)

    def place(bound: Any, default: Any) -> Any:
        if bound is None:
            return default
        return bound if not isinstance(bound, (int, np.integer)) or bound >= 0 else length + int(bound)

    return place(item.start, ends[0]), place(item.stop, ends[1]), stride, False


def _check_slice(item: slice, axis: int) -> None:
    for bound in (item.start, item.stop, item.step):
        if bound is not None and not isinstance(bound, Dim) and (isinstance(bound, bool) or not _is_whole(bound)):
            raise TypeError(
                f"[index] expected whole numbers in the slice of axis {axis}, got {checks.brief(bound)}; write start:stop:step"
            )
    if isinstance(item.step, (int, np.integer)) and item.step == 0:
        raise ValueError(f"[index] expected a step other than 0 in the slice of axis {axis}, got 0; leave it out for 1")


def _is_whole(bound: Any) -> bool:
    try:
        operator.index(bound)
    except TypeError:
        return False
    return True


def _remedy(item: Any, axis: int) -> str:
    kind = _kind(item)
    if kind in ("i", "u"):
        return f"write lm.take(x, i, axis={axis})"
    if kind != "b":
        return "pass one of these"
    if isinstance(item, Tensor):  # shapes are known before anything runs, and what a mask holds is not
        return "keep the shape: lm.where(mask, x, 0), or x * mask"
    return f"for a mask along one axis write lm.take(x, np.flatnonzero(mask), axis={axis})"
