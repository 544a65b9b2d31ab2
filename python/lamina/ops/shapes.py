"""Operations that move elements and compute nothing: other shapes, orders and parts, several tensors in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import _core
from lamina.base import checks
from lamina.base.calls import explained
from lamina.base.lengths import listed
from lamina.graph.lift import as_array, constant, make, operation
from lamina.graph.tensor import Tensor, dtype_name
from lamina.ops.axes import Axis, axes_of, axis_of, members


def _resolve(shape: Sequence[Any], x: Tensor, where: str) -> tuple[Any, ...]:
    """The target of a reshape with its one -1 worked out."""
    target = list(listed(shape, where, alone=True, named=True))
    unknown = [i for i, length in enumerate(target) if isinstance(length, int) and length == -1]
    if len(unknown) > 1:
        raise ValueError(f"[{where}] expected at most one -1, got {tuple(target)}; write the others out")
    if unknown:
        known = target[: unknown[0]] + target[unknown[0] + 1 :]
        rest = math.prod(_core.dim(length or "B") if length is None or isinstance(length, str) else length for length in known)
        target[unknown[0]] = _core.split_size(math.prod(x.shape), rest) if rest != 0 else 0
    return tuple(target)


@operation(1)
def reshape(x: Tensor, shape: Sequence[Any]) -> Tensor:
    """The same elements, row by row, in another shape; one length may be -1 (worked out), None is the batch axis.

    Errors: ValueError for a second -1, and where the elements do not fill the shape.

    >>> lm.reshape([1, 2, 3, 4, 5, 6], (2, -1))
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    target = _resolve(shape, x, "reshape")
    return x if target == x.shape else make("reshape", [x], shape=target)


@operation(1)
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in another order (reversed by default). Errors: ValueError unless `axes` names each axis once.

    >>> lm.transpose([[1, 2, 3], [4, 5, 6]])
    array([[1, 4],
           [2, 5],
           [3, 6]])
    """
    order = axes_of(axes, x.ndim, "transpose") if axes is not None else list(range(x.ndim))[::-1]
    return x if order == list(range(x.ndim)) else make("transpose", [x], axes=order)


@operation(1)
def broadcast_to(x: Tensor, shape: Sequence[Any]) -> Tensor:
    """x repeated to a larger shape by NumPy's rule; an array to a free length such as t.shape[0] is a tensor of its type. Errors:
    ValueError where an axis of x has neither that length nor 1.

    >>> lm.broadcast_to([1, 2], (2, 2))
    array([[1, 2],
           [1, 2]])
    """
    return make("broadcast_to", [x], shape=listed(shape, "broadcast_to", named=True))


@operation(1)
def expand_dims(x: Tensor, axis: int) -> Tensor:
    """x with an axis of length 1 more, in front of `axis`. Errors: ValueError for a place that x does not have.

    >>> lm.expand_dims([1, 2], 0), lm.expand_dims([1, 2], -1).shape
    (array([[1, 2]]), (2, 1))
    """
    position = axis_of(axis, x.ndim + 1, "expand_dims")
    return make("reshape", [x], shape=(*x.shape[:position], 1, *x.shape[position:]))


@operation(1)
def squeeze(x: Tensor, axis: Axis = None) -> Tensor:
    """x without axes of length 1 (all of them by default). Errors: ValueError for an axis that x lacks, or of another length.

    >>> lm.squeeze([[1], [2]])
    array([1, 2])
    """
    axes = [i for i, n in enumerate(x.shape) if isinstance(n, int) and n == 1] if axis is None else axes_of(axis, x.ndim, "squeeze")
    for a in axes:
        if x.shape[a] != 1:
            raise ValueError(f"[squeeze] expected axes of length 1, got axis {a} of shape {x.shape}; leave it out")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@operation(1)
def flip(x: Tensor, axis: Axis = None) -> Tensor:
    """x with the order along the axes (all by default) reversed. Errors: ValueError for an axis that x lacks.

    >>> lm.flip([[1, 2], [3, 4]], axis=0)
    array([[3, 4],
           [1, 2]])
    """
    flipped = set(axes_of(axis, x.ndim, "flip"))
    index = tuple(slice(None, None, -1) if i in flipped else slice(None) for i in range(x.ndim))
    return getitem(x, index)  # type: ignore[no-any-return]


@operation(1)
def repeat(x: Tensor, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
    """Each slice along the axis so many times, one after the other; by default the elements, of all rows as one.

    repeats: a whole number, or one for each slice. Errors: ValueError for an axis that x lacks, and for another number of
    repeats, which that of an axis of free length always is.

    >>> lm.repeat([1, 2], 2), lm.repeat([[1, 2], [3, 4]], [1, 2], axis=0)
    (array([1, 1, 2, 2]), array([[1, 2],
           [3, 4],
           [3, 4]]))
    """
    if axis is None:
        x, axis = reshape(x, -1), 0
    at = axis_of(axis, x.ndim, "repeat")
    n = x.shape[at]
    several = members(repeats)
    counts = [checks.integer("repeat", "repeats", count, 0) for count in ([repeats] if several is None else several)]
    if len(counts) == 1:
        wide = broadcast_to(expand_dims(x, at + 1), (*x.shape[: at + 1], counts[0], *x.shape[at + 1 :]))
        return reshape(wide, (*x.shape[:at], n * counts[0], *x.shape[at + 1 :]))
    if len(counts) != n:
        raise ValueError(
            f"[repeat] expected one number, or one for each slice along axis {at} of {x.shape}, got {len(counts)}; pass so many"
        )
    return take(x, np.repeat(np.arange(n), counts), at)  # type: ignore[no-any-return]


@operation(1)
def tile(x: Tensor, reps: Sequence[Any] | int) -> Tensor:
    """x as a whole so many times along each axis; axes are counted from the last, and there are more where `reps` has more.

    reps: whole numbers, or several with free lengths such as t.shape[0] among them; ValueError for one below 0.

    >>> lm.tile([1, 2], 2), lm.tile([1, 2], (2, 1))
    (array([1, 2, 1, 2]), array([[1, 2],
           [1, 2]]))
    """
    several = members(reps)
    several = [reps] if several is None else several
    given = [r if isinstance(r, _core.Dim) else checks.integer("tile", "reps", r, 0) for r in several]
    counts = [1] * (x.ndim - len(given)) + given
    lengths = (1,) * (len(counts) - x.ndim) + x.shape
    apart: list[Any] = []  # an axis of length 1 in front of each that is repeated
    wide: list[Any] = []
    for count, n in zip(counts, lengths, strict=True):
        inner = [n] if isinstance(count, int) and count == 1 else [count, n]
        apart += [1] * (len(inner) - 1) + [n]
        wide += inner
    y = broadcast_to(reshape(x, apart), wide)
    return reshape(y, [count * n for count, n in zip(counts, lengths, strict=True)])


@operation(1)
def split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Parts of x along the axis, as a list: so many equal ones, or those between the places where it is cut.

    indices_or_sections: the number of parts, or the places. Errors: ValueError for an axis that x lacks, and for one that does not
    fall into equal parts.

    >>> lm.split([1, 2, 3, 4], 2), lm.split([1, 2, 3, 4], [1])
    ([array([1, 2]), array([3, 4])], [array([1]), array([2, 3, 4])])
    """
    at = axis_of(axis, x.ndim, "split")
    places = members(indices_or_sections)
    if places is not None:
        cuts = [checks.integer("split", "a place", n, None) for n in places]
    else:
        parts, n = checks.integer("split", "indices_or_sections", indices_or_sections), x.shape[at]
        try:
            each = _core.split_size(n, parts)
        except ValueError:
            raise ValueError(
                f"[split] expected an axis of {parts} equal parts, got axis {at} of {x.shape}; pass the places, such as [2, 3]"
            ) from None
        cuts = [each * i for i in range(1, parts)]
    ends = zip([None, *cuts], [*cuts, None], strict=True)
    return [_part(x, at, *pair) for pair in ends]


def _part(x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    return x[(slice(None),) * axis + (slice(start, stop),)]


@operation(None)
def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors one after the other along an axis. Errors: ValueError for none, and where another axis differs in length.

    >>> lm.concatenate([[1, 2], [3]])
    array([1, 2, 3])
    """
    return make("concatenate", tensors, axis=axis_of(axis, tensors[0].ndim, "concatenate"))


@operation(None)
def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, all of one shape (else ValueError), along a new axis.

    >>> lm.stack([[1, 2], [3, 4]], axis=1)
    array([[1, 3],
           [2, 4]])
    """
    shapes = [t.shape for t in tensors]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"[stack] expected tensors of one shape, got {', '.join(map(str, shapes))}; use concatenate for others")
    position = axis_of(axis, tensors[0].ndim + 1, "stack")
    return make("concatenate", [expand_dims(t, position) for t in tensors], axis=position)


@operation(1)
def pad(x: Tensor, widths: Sequence[Any]) -> Tensor:
    """x with zeros around it. widths: one (before, after) for each axis, or one pair for all; ValueError for what is neither.

    >>> lm.pad([1, 2], (1, 2))
    array([0, 1, 2, 0, 0])
    """
    widths = widths.tolist() if isinstance(widths, np.ndarray) else widths
    several = isinstance(widths, (tuple, list)) and len(widths) > 0 and isinstance(widths[0], (tuple, list))
    pairs = list(widths) if several else [widths] * x.ndim
    if len(pairs) != x.ndim or not all(isinstance(p, (tuple, list)) and len(p) == 2 for p in pairs):
        raise ValueError(
            f"[pad] expected (before, after) for each of the {x.ndim} axes, got {checks.brief(widths)}; pass (1, 2), or a pair for "
            "each"
        )
    pairs = [tuple(checks.integer("pad", "a width", n, 0) for n in p) for p in pairs]
    return make("pad", [x], low=[p[0] for p in pairs], high=[p[1] for p in pairs], interior=[0] * x.ndim)


@explained
def take(x: Any, indices: Any, axis: int = 0) -> Any:
    """Slices of x at the indices (int64, 0 .. length - 1; negative ones count from the end).

    Errors: TypeError for indices that are not whole numbers, ValueError for those outside and for an axis that x lacks.

    >>> lm.take([10, 20, 30], [2, 0, -1])
    array([30, 10, 30])
    """
    if not isinstance(indices, (Tensor, np.ndarray)):
        indices = as_array(indices, "take")
    if isinstance(x, Tensor) and not isinstance(indices, Tensor):
        indices = constant(as_array(indices, "take"))  # as whole numbers, also beside floats
    if not isinstance(x, (Tensor, np.ndarray)):
        x = as_array(x, "take")
    return _take(x, indices) if axis == 0 else _take(x, indices, axis)  # two arrays alone are found at once


@operation(2)
def _take(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    if indices.dtype != "int64":
        remedy = "write lm.where(mask, x, 0) for a mask" if indices.dtype == "bool" else "cast them to int64"
        raise TypeError(f"[take] expected whole numbers as indices, got {indices.dtype}; {remedy}")
    return make("take", [x, indices], axis=axis_of(axis, x.ndim, "take"))


@operation(1)
def one_hot(labels: Tensor, classes: int, dtype: Any = "float32") -> Tensor:
    """y[.., c] = 1 where c is the label, 0 elsewhere. labels: whole numbers 0 .. classes - 1; any other gives a row of 0.

    >>> lm.one_hot([0, 2], 3)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    count = checks.integer("one_hot", "classes", classes, 0)
    return make(
        "one_hot", [expand_dims(labels, -1)], classes=count, dtype=dtype_name(dtype, "one_hot", "pass dtype='float32', for example")
    )


@explained
def getitem(x: Any, index: Any) -> Any:
    """x[index] with whole numbers, slices, None and ..., or with an integer tensor along the first axis.

    Errors: ValueError for a place that x does not have.

    >>> lm.getitem(np.arange(6).reshape(2, 3), (0, slice(1, None)))
    array([1, 2])
    """
    from lamina.graph.indexing import getitem as build

    return build(x, index)
