"""Operations along an axis whose order counts, such as time: shifts, differences, running sums."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.base import checks
from lamina.graph.lift import make, operation
from lamina.graph.tensor import FLOATS, Tensor
from lamina.ops.axes import Axis, axes_of, axis_of, members
from lamina.ops.constants import arange
from lamina.ops.elementwise import cast, mod
from lamina.ops.products import matmul
from lamina.ops.reductions import _with_last
from lamina.ops.shapes import _part, concatenate, expand_dims, pad, reshape, take, transpose


@operation(1)
def roll(x: Tensor, shift: int | Sequence[int], axis: Axis = None) -> Tensor:
    """x shifted by so many places along the axes; what leaves at one end comes in at the other. By default all rows are one.

    shift: a whole number, or one for each axis. Errors: ValueError for an axis that x lacks, and for another number of shifts.

    >>> lm.roll([1, 2, 3, 4], 1), lm.roll([[1, 2, 3], [4, 5, 6]], -1, axis=1)
    (array([4, 1, 2, 3]), array([[2, 3, 1],
           [5, 6, 4]]))
    """
    if axis is None:
        return reshape(roll(reshape(x, -1), shift, 0), x.shape)
    axes = axes_of(axis, x.ndim, "roll")
    several = members(shift)
    shifts = [shift] * len(axes) if several is None else several
    if len(shifts) != len(axes):
        raise ValueError(
            f"[roll] expected a shift for each of the {len(axes)} axes, got {checks.brief(shift)}; pass so many, or one"
        )
    for at, places in zip(axes, shifts, strict=True):
        x = _rolled(x, checks.integer("roll", "shift", places, None), at)
    return x


def _rolled(x: Tensor, shift: int, axis: int) -> Tensor:
    n = x.shape[axis]
    if not isinstance(n, int):
        return take(x, mod(arange(n) - shift, n), axis)  # type: ignore[no-any-return]
    first = -shift % n if n else 0
    return concatenate([_part(x, axis, first, None), _part(x, axis, None, first)], axis) if first else x


@operation(1)
def diff(x: Tensor, n: int = 1, axis: int = -1) -> Tensor:
    """The differences x[i + 1] - x[i] along the axis, which is one shorter; of these again, n times in all.

    Errors: ValueError for an axis that x lacks, and for n below 0.

    >>> lm.diff([1, 4, 9, 16]), lm.diff([1, 4, 9, 16], 2)
    (array([3, 5, 7]), array([2, 2]))
    """
    at = axis_of(axis, x.ndim, "diff")
    n, length = checks.integer("diff", "n", n, 0), x.shape[at]
    for _ in range(min(n, length) if isinstance(length, int) else n):  # of nothing nothing is left
        x = make("sub", [_part(x, at, 1, None), _part(x, at, None, -1)])
    return x


@operation(1)
def cumsum(x: Tensor, axis: int | None = None) -> Tensor:
    """The running sums y[i] = x[0] + .. + x[i] along the axis; by default all rows are one, as in NumPy.

    Of n numbers each is added log2 n times, and the error grows as that. An axis of free length is a product with a triangle:
    n^2 numbers, one of which that is not finite reaches all sums. Errors: ValueError for an axis that x lacks.

    >>> lm.cumsum([1, 2, 3]), lm.cumsum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    (array([1, 3, 6]), array([[1., 2.],
           [4., 6.]]))
    """
    if axis is None:
        x, axis = reshape(x, -1), 0
    at = axis_of(axis, x.ndim, "cumsum")
    x = cast(x, "int64") if x.dtype == "bool" else x
    n, reach = x.shape[at], 1
    if not isinstance(n, int):
        return _by_triangle(x, at)
    while reach < n:  # y[i] = x[i - reach + 1] + .. + x[i]: sums of twice as many are two of these
        widths = [(reach, 0) if a == at else (0, 0) for a in range(x.ndim)]
        x = x + pad(_part(x, at, None, -reach), widths)
        reach *= 2
    return x


def _by_triangle(x: Tensor, axis: int) -> Tensor:
    places = expand_dims(arange(x.shape[axis]), 0)
    triangle = cast(make("le", [transpose(places), places]), x.dtype if x.dtype in FLOATS else "float64")
    back = [*range(axis), x.ndim - 1, *range(axis, x.ndim - 1)]
    return cast(transpose(matmul(_with_last(x, axis), triangle), back), x.dtype)
