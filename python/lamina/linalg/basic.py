"""Vectors and matrices: products, transposes, traces, norms. All of it is ordinary operations; nothing here needs LAPACK but the
singular values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import ops
from lamina.base import checks
from lamina.graph.lift import operation
from lamina.graph.tensor import Tensor
from lamina.linalg.factors import nuclear, values
from lamina.linalg.shapes import axes, floating, leading_axes, matrix, sized, swap
from lamina.ops.axes import axes_of

add, subtract, matmul, dot = ops.add, ops.subtract, ops.matmul, ops.dot


@operation(2)
def scale(c: Tensor, x: Tensor) -> Tensor:
    """c x, a number times a vector or a matrix; c may be a stack of numbers of the leading axes' shape.

    Errors: ValueError where an axis of c has another length than that of x, and not 1.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.scale(2.0, np.eye(2))
    array([[2., 0.],
           [0., 2.]])
    """
    if c.ndim == 0:
        return ops.multiply(c, x)
    if c.ndim > x.ndim or any(i != j and 1 not in (i, j) for i, j in zip(c.shape, x.shape, strict=False)):
        raise ValueError(
            f"[scale] expected a number or a stack of them, of the leading axes of x with shape {x.shape}, got shape {c.shape}; "
            "to multiply by the last axes, use x * c"
        )
    return ops.multiply(ops.reshape(c, (*c.shape, *(1 for _ in range(x.ndim - c.ndim)))), x)


@operation(2)
def matvec(a: Tensor, x: Tensor) -> Tensor:
    """y[.., i] = sum_j a[.., i, j] x[.., j], for a: (.., m, n) and x: (.., n). Errors: ValueError for sizes that do not fit.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.matvec(np.eye(2), np.array([3.0, 4.0]))
    array([3., 4.])
    """
    a, x = axes(a, 2, "matvec"), axes(x, 1, "matvec")
    if a.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"[matvec] expected a vector of {a.shape[-1]} for a matrix of shape {a.shape}, got shape {x.shape}; pass such a one"
        )
    leading_axes(a, x, "matvec", (2, 1))
    return ops.squeeze(ops.matmul(a, ops.expand_dims(x, -1)), -1)


@operation(2)
def outer(a: Tensor, b: Tensor) -> Tensor:
    """c[.., i, j] = a[.., i] b[.., j], for vectors a: (.., m) and b: (.., n).

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.outer(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    array([[3., 4.],
           [6., 8.]])
    """
    a, b = axes(a, 1, "outer"), axes(b, 1, "outer")
    leading_axes(a, b, "outer", (1, 1))
    return ops.multiply(ops.expand_dims(a, -1), ops.expand_dims(b, -2))


@operation(2)
def kron(a: Tensor, b: Tensor) -> Tensor:
    """The Kronecker product: the block matrix of a[i, j] b, (.., m p, n q) from (.., m, n) and (.., p, q).

    A vector is a row, and two of them give a vector, a[i] b one after the other; a number scales.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.kron(np.eye(2), np.array([[1.0, 2.0]]))
    array([[1., 2., 0., 0.],
           [0., 0., 1., 2.]])
    """
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if a.ndim == 1 and b.ndim == 1:
        return ops.reshape(kron(ops.expand_dims(a, 0), b), (-1,))
    a, b = (ops.expand_dims(x, 0) if x.ndim == 1 else x for x in (a, b))
    leading_axes(a, b, "kron")
    blocks = ops.expand_dims(ops.expand_dims(a, -1), -3) * ops.expand_dims(ops.expand_dims(b, -2), -4)
    *batch, m, p, n, q = blocks.shape
    return ops.reshape(blocks, (*batch, m * p, n * q))


@operation(1)
def transpose(x: Tensor) -> Tensor:
    """x[.., j, i], each matrix of a stack transposed; a vector stays as it is.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.transpose(np.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    return swap(x) if x.ndim > 1 else x


@operation(1)
def trace(x: Tensor) -> Tensor:
    """sum_i x[.., i, i], for x: (.., m, n).

    >>> import lamina as lm, numpy as np
    >>> float(lm.linalg.trace(np.eye(3)))
    3.0
    """
    m, n = sized(x, "trace").shape[-2:]
    rows = ops.reshape(x, (*x.shape[:-2], m * n))
    return ops.sum(rows[..., : min(m, n) * (n + 1) : n + 1], -1)


@operation(1)
def norm(x: Tensor, ord: Any = None, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors or matrices.

    axis None: of the whole vector if x has one axis, else of each matrix (.., m, n) of a stack. An int: of the vectors along that
    axis; two of them: of the matrices that they span.
    ord, vectors: None or 2 (Euclidean), 1, inf, -inf, any other number p: (sum |x|^p)^(1/p).
    ord, matrices: None or "fro" (root of the sum of squares), 1 (largest column sum), inf (largest row sum), 2 (largest singular
    value), "nuc" (their sum); -1, -inf, -2: the smallest instead.
    Errors: ValueError for another ord. The gradient of a Euclidean norm at 0 is nan; where the largest ones of |x| are equal they
    share it; of equal singular values one takes it. Second derivatives of 2 and -2 are as in `svd`; those of "nuc" hold for the
    full rank.

    >>> import lamina as lm, numpy as np
    >>> float(lm.linalg.norm(np.array([[3.0, 0.0], [0.0, 4.0]]), "nuc"))
    7.0
    """
    x, ord, keepdims = floating(axes(x, 1, "norm")), order_of(ord, "norm"), checks.flag("norm", "keepdims", keepdims)
    along = axes_of(axis, x.ndim, "norm") if axis is not None else [*range(x.ndim)][-2:]
    if len(along) == 1:
        return _vector_norm(x, ord, along[0], keepdims)
    if len(along) != 2:
        raise ValueError(f"[norm] expected one axis or two, got {checks.brief(axis)} for shape {x.shape}; None takes the last two")
    order = [*(a for a in range(x.ndim) if a not in along), *along]
    y = matrix_norm(ops.transpose(x, order), ord, "norm")
    if keepdims:
        for a in sorted(along):
            y = ops.expand_dims(y, a)
    return y


def order_of(ord: Any, where: str) -> Any:
    """The order of a norm, if it is None, a name or a number; infinity counts, NaN does not."""
    if ord is None or isinstance(ord, str):
        return ord
    if isinstance(ord, bool) or not isinstance(ord, (int, float, np.integer, np.floating)):
        raise TypeError(
            f"[{where}] expected None, a number or a name as the order of a norm, got {checks.brief(ord)}; pass 2, inf or 'fro'"
        )
    if ord != ord:
        raise ValueError(f"[{where}] expected a number as the order of a norm, got nan; pass 2, or None")
    return ord


def _vector_norm(x: Tensor, ord: Any, axis: int, keepdims: bool) -> Tensor:
    if ord is None or ord == 2:
        return ops.norm(x, axis, keepdims)
    if isinstance(ord, str):
        raise ValueError(
            f"[norm] expected a number as the order of a vector's norm, got {checks.brief(ord)}; names are for matrices"
        )
    size = ops.abs(x)
    if ord == 1:
        return ops.sum(size, axis, keepdims)
    if ord in (np.inf, -np.inf):
        return _extreme(size, axis, ord, "norm", keepdims)
    if ord == 0:
        return ops.sum(ops.cast(ops.not_equal(x, 0.0), x.dtype), axis, keepdims)
    c: Any = 1.0
    if isinstance(x.shape[axis], int) and x.shape[axis]:  # else there may be no largest
        c = ops.stop_gradient(_extreme(size, axis, ord, "norm", True))  # powers of size / c are near 1 where they count
        c = ops.where(ops.logical_and(c > 0, c < np.inf), c, 1.0)
    y: Tensor = c * ops.power(ops.sum(ops.power(size / c, float(ord)), axis, True), 1 / float(ord))
    return y if keepdims else ops.squeeze(y, axis)


def _extreme(sizes: Tensor, axis: int, ord: Any, where: str, keepdims: bool = False) -> Tensor:
    """The largest, or for an ord below 0 the smallest, along an axis; the largest of no sizes is 0."""
    if sizes.shape[axis] != 0:
        return (ops.max if ord > 0 else ops.min)(sizes, axis, keepdims)
    if ord > 0:
        return ops.sum(sizes, axis, keepdims)
    raise ValueError(f"[{where}] expected something of which one is the smallest (ord {ord}), got no elements; take a positive ord")


def matrix_norm(x: Tensor, ord: Any, where: str) -> Tensor:
    """`norm` of matrices, for a function of the name `where`."""
    if ord is None or ord == "fro":
        return ops.norm(x, (-2, -1))
    if ord in (1, -1, np.inf, -np.inf):
        sums = ops.sum(ops.abs(x), -2 if abs(ord) == 1 else -1)
        return _extreme(sums, -1, ord, where)
    if ord == "nuc":
        return nuclear(matrix(x, where), where)
    if ord in (2, -2):
        s = values(x, where)
        return _extreme(s, -1, ord, where) if s.shape[-1] == 0 else s[..., 0 if ord > 0 else -1]
    raise ValueError(
        f"[{where}] expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf as the order of a matrix's norm, got {checks.brief(ord)}; "
        "take one of these; other numbers are norms of vectors, norm(x, ord, axis)"
    )
