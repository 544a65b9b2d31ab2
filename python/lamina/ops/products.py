"""Products of vectors and matrices."""

from __future__ import annotations

from lamina.graph.lift import make, make_called, operation
from lamina.graph.tensor import FLOATS, Tensor
from lamina.ops.shapes import reshape


@operation(2, transposes=True)
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product c[.., i, j] = sum_k a[.., i, k] b[.., k, j]; leading axes broadcast, a vector is a row or a column.

    a: (.., m, k), b: (.., k, n). Where both hold whole numbers the product is float64, exact up to 2^53. Errors: ValueError for
    numbers, and where the two k, or the leading axes, do not fit.

    >>> lm.matmul([[1.0, 2.0], [3.0, 4.0]], [[10.0], [1.0]])
    array([[12.],
           [34.]])
    """
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"[matmul] {a.shape}, {b.shape}: expected vectors or matrices, got a number; use * for numbers")
    return _product("matmul", a, b)


def _product(name: str, a: Tensor, b: Tensor) -> Tensor:
    if a.dtype not in FLOATS and b.dtype not in FLOATS:
        a, b = make("cast", [a], dtype="float64"), make("cast", [b], dtype="float64")
    own, other = a.shape[-1], b.shape[0 if b.ndim == 1 else -2]
    if 1 in (a.ndim, b.ndim) and isinstance(own, int) and isinstance(other, int) and own != other:  # as the user's shapes are
        place = "only axis" if b.ndim == 1 else "next to last"
        raise ValueError(
            f"[{name}] {a.shape}, {b.shape}: the last axis of the left, {own}, must equal the {place} of the right, {other}; "
            "make them equal" + ", or transpose the matrix" * (a.ndim + b.ndim > 2)
        )
    left = reshape(a, (1, a.shape[0])) if a.ndim == 1 else a
    right = reshape(b, (b.shape[0], 1)) if b.ndim == 1 else b
    c = make_called(name, "matmul", [left, right])
    if a.ndim == 1 or b.ndim == 1:
        shape = list(c.shape)
        if b.ndim == 1:
            del shape[-1]
        if a.ndim == 1:
            del shape[-1 if b.ndim == 1 else -2]
        c = make("reshape", [c], shape=tuple(shape))
    return c


@operation(2, transposes=True)
def dot(a: Tensor, b: Tensor) -> Tensor:
    """NumPy's dot of vectors and matrices: sum_k a[.., k] b[k, ..]; a number scales.

    Products of whole numbers as in `matmul`. Errors: ValueError for a stack of matrices as b, and where the two k differ.

    >>> lm.dot([1.0, 2.0], [3.0, 4.0])
    array(11.)
    """
    if a.ndim == 0 or b.ndim == 0:
        return make("mul", [a, b])
    if b.ndim > 2:
        raise ValueError(
            f"[dot] {a.shape}, {b.shape}: expected vectors or matrices, got a stack; use matmul for stacks of matrices"
        )
    return _product("dot", a, b)


@operation(2)
def outer(a: Tensor, b: Tensor) -> Tensor:
    """The outer product c[i, j] = a[i] b[j] of two vectors, (m,) and (n,); other shapes are taken as their rows end to end.

    >>> lm.outer([1, 2], [3, 4, 5])
    array([[ 3,  4,  5],
           [ 6,  8, 10]])
    """
    return make("mul", [reshape(a, (-1, 1)), reshape(b, (1, -1))])
