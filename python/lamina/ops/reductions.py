"""Operations along axes: sums, means, extremes, and what makes a whole row new, such as softmax.

`axis`: a whole number (negative ones count from the end), several, or None for all; ValueError for an axis that x lacks.
`keepdims`: whether the axes stay, with length 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lamina.base import checks
from lamina.base.calls import explained
from lamina.graph.lift import make, operation
from lamina.graph.tensor import Tensor
from lamina.ops.axes import Axis, axes_of, axis_of
from lamina.ops.elementwise import like
from lamina.ops.shapes import expand_dims, squeeze


def _over(x: Tensor, axis: Axis, keepdims: bool, where: str) -> dict[str, Any]:
    """What is summed over, as attributes of a node."""
    return {"axes": axes_of(axis, x.ndim, where), "keepdims": checks.flag(where, "keepdims", keepdims)}


@operation(1)
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes (all by default); keepdims leaves them with length 1. Errors: ValueError for an axis that x lacks.

    >>> lm.sum([[1, 2], [3, 4]], axis=0)
    array([4, 6])
    """
    return make("sum", [x], **_over(x, axis, keepdims, "sum"))


@operation(1)
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest along the axes (all by default); equal ones share the gradient.

    Errors: ValueError for an axis that x lacks, and for one without elements.

    >>> lm.max([[1, 2], [3, 4]], axis=1)
    array([2, 4])
    """
    return make("max", [x], **_over(x, axis, keepdims, "max"))


@operation(1)
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest along the axes (all by default); equal ones share the gradient.

    Errors: ValueError for an axis that x lacks, and for one without elements.

    >>> lm.min([[1, 2], [3, 4]], axis=1)
    array([1, 3])
    """
    return make("min", [x], **_over(x, axis, keepdims, "min"))


def _count(x: Tensor, axes: Sequence[int]) -> Tensor:
    dtype = x.dtype if x.dtype.startswith("float") else "float32"
    shape = [x.shape[a] for a in axes]
    total = 1
    for length in shape:
        if not isinstance(length, int):
            return make("size", [], shape=tuple(shape), dtype=dtype)
        total *= length
    return make("fill", [], shape=(), value=float(total), dtype=dtype)


@operation(1)
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes (all by default): sum / count, in float32 of whole numbers. Of no elements: nan.

    Errors: ValueError for an axis that x lacks.

    >>> lm.mean([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([2., 3.])
    """
    over = _over(x, axis, keepdims, "mean")
    return make("div", [make("sum", [x], **over), _count(x, over["axes"])])


@operation(1)
def var(x: Tensor, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The variance over the axes (all by default): sum (x - mean)^2 / (count - ddof). Errors: ValueError for an axis that x lacks.

    >>> lm.var([1.0, 3.0]), lm.var([1.0, 3.0], ddof=1)
    (array(1.), array(2.))
    """
    return _variance(x, checks.number("var", "ddof", ddof), **_over(x, axis, keepdims, "var"))


def _variance(x: Tensor, ddof: float, axes: list[int], keepdims: bool) -> Tensor:
    count = _count(x, axes)
    centre = make("div", [make("sum", [x], axes=axes, keepdims=True), count])
    distance = make("sub", [x, centre])
    total = make("sum", [make("mul", [distance, distance])], axes=axes, keepdims=keepdims)
    if ddof:  # the divisor is not below 0: then the result is infinite or NaN, as in NumPy
        count = make("maximum", [make("sub", [count, like(ddof, count)]), like(0.0, count)])
    return make("div", [total, count])


@operation(1)
def std(x: Tensor, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The standard deviation over the axes, the square root of `var`; where it is 0, so is its gradient.

    Errors: ValueError for an axis that x lacks.

    >>> lm.std([[1.0, 3.0], [2.0, 6.0]], axis=1)
    array([1., 2.])
    """
    variance = _variance(x, checks.number("std", "ddof", ddof), **_over(x, axis, keepdims, "std"))
    none = make("eq", [variance, like(0.0, variance)])
    return make("where", [none, variance, make("sqrt", [make("where", [none, like(1.0, variance), variance])])])


@operation(1)
def norm(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The Euclidean length over the axes: sqrt(sum x^2); its gradient at 0 is nan. Errors: ValueError for an axis that x lacks.

    >>> lm.norm([3.0, 4.0])
    array(5.)
    """
    return make("sqrt", [make("sum", [make("mul", [x, x])], **_over(x, axis, keepdims, "norm"))])


@explained
def size(x: Any, axis: Axis = None) -> Any:
    """The number of elements over the axes (all by default), as a float that follows the batch size.

    Errors: ValueError for an axis that x lacks.

    >>> lm.size(np.zeros((4, 3))), lm.size(np.zeros((4, 3)), axis=0)
    (12.0, 4.0)
    """
    if not isinstance(x, Tensor):
        shape = checks.array("size", x).shape
        return float(math.prod(shape[a] for a in axes_of(axis, len(shape), "size")))
    return _count(x, axes_of(axis, x.ndim, "size"))


def _goes_by_rows(x: Tensor, axis: int) -> bool:
    """Whether one pass along the last axis is the way. Along others, operations on whole rows are faster; a length that is free may
    turn out as 0, which has no largest.
    """
    return axis == x.ndim - 1 or not isinstance(x.shape[axis], int)


def _with_last(x: Tensor, axis: int) -> Tensor:
    """x with this axis moved last."""
    order = [a for a in range(x.ndim) if a != axis] + [axis]
    return x if axis == x.ndim - 1 else make("transpose", [x], axes=order)


def _along(op: str, x: Tensor, axis: int) -> Tensor:
    """`op` along the last axis, of x with this one there meanwhile."""
    y = make(op, [_with_last(x, axis)])
    back = [*range(axis), x.ndim - 1, *range(axis, x.ndim - 1)]
    return y if axis == x.ndim - 1 else make("transpose", [y], axes=back)


def _check_elements(where: str, x: Tensor, axis: int) -> None:
    if x.shape[axis] == 0:
        raise ValueError(f"[{where}] expected an axis with elements, got axis {axis} of shape {x.shape}; choose another axis")


def _most(x: Tensor, axis: int, where: str) -> Tensor:
    """The largest along the axis, which stays. Shifted by it, x has the same softmax and the same gradient of it."""
    _check_elements(where, x, axis)
    x = make("cast", [x], dtype="float32") if not x.dtype.startswith("float") else x
    return make("stop_gradient", [make("max", [x], axes=[axis], keepdims=True)])


@operation(1)
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x / sum e^x along the axis: positive and summing to 1, whatever the size of x. Errors: ValueError for an axis that x lacks.

    >>> lm.softmax([0.0, np.log(3.0)])
    array([0.25, 0.75])
    """
    at = axis_of(axis, x.ndim, "softmax")
    if _goes_by_rows(x, at):
        return _along("softmax", x, at)
    powers = make("exp", [make("sub", [x, _most(x, at, "softmax")])])
    return make("div", [powers, make("sum", [powers], axes=[at], keepdims=True)])


@operation(1)
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log sum e^x along the axis. Errors: ValueError for an axis that x lacks.

    >>> lm.log_softmax([0.0, 0.0]).round(3)
    array([-0.693, -0.693])
    """
    at = axis_of(axis, x.ndim, "log_softmax")
    if _goes_by_rows(x, at):
        return _along("log_softmax", x, at)
    below = make("sub", [x, _most(x, at, "log_softmax")])
    return make("sub", [below, make("log", [make("sum", [make("exp", [below])], axes=[at], keepdims=True)])])


@operation(1)
def logsumexp(x: Tensor, axis: int = -1, keepdims: bool = False) -> Tensor:
    """log sum e^x along the axis, without overflow. Errors: ValueError for an axis that x lacks.

    >>> lm.logsumexp([[1000.0, 1000.0]]).round(3)
    array([1000.693])
    """
    at, keepdims = axis_of(axis, x.ndim, "logsumexp"), checks.flag("logsumexp", "keepdims", keepdims)
    if _goes_by_rows(x, at):
        y = make("logsumexp", [_with_last(x, at)])
        return expand_dims(y, at) if keepdims else y
    most = _most(x, at, "logsumexp")
    shift = make("where", [make("lt", [make("abs", [most]), like(math.inf, most)]), most, like(0.0, most)])
    total = make("sum", [make("exp", [make("sub", [x, shift])])], axes=[at], keepdims=keepdims)
    return make("add", [make("log", [total]), shift if keepdims else squeeze(shift, at)])


@operation(1)
def argmax(x: Tensor, axis: int = -1) -> Tensor:
    """Where along the axis the largest stands (the first of equals), int64; no gradient. Errors: ValueError for an axis x lacks.

    >>> lm.argmax([[1, 5, 2], [7, 0, 7]])
    array([1, 0])
    """
    return _place("argmax", x, axis)


@operation(1)
def argmin(x: Tensor, axis: int = -1) -> Tensor:
    """Where along the axis the smallest stands (the first of equals), int64; no gradient. Errors: ValueError for an axis x lacks.

    >>> lm.argmin([[1, 5, 2], [7, 0, 7]])
    array([0, 1])
    """
    return _place("argmin", x, axis)


def _place(op: str, x: Tensor, axis: int) -> Tensor:
    at = axis_of(axis, x.ndim, op)
    _check_elements(op, x, at)
    return make(op, [_with_last(x, at)])
