"""What all of linear algebra asks of its operands: floats, matrices, square ones; stacks that broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.base import checks
from lamina.graph.lift import constant
from lamina.graph.tensor import Tensor


def axes(x: Tensor, least: int, where: str) -> Tensor:
    """x, if it has that many axes."""
    if x.ndim < least:
        expected = ("a vector (.., n)", "a matrix (.., m, n)")[least - 1]
        raise ValueError(f"[{where}] expected {expected}, got shape {x.shape}; add an axis with reshape or expand_dims")
    return x


def floating(x: Tensor) -> Tensor:
    """x in floats: whole numbers become float64, as in NumPy."""
    return x if x.dtype.startswith("float") else ops.cast(x, "float64")


def sized(x: Tensor, where: str) -> Tensor:
    """x, if it is a stack of matrices of known size."""
    if not all(isinstance(n, int) for n in axes(x, 2, where).shape[-2:]):
        remedy = "only leading axes may be None: give the placeholder the matrix's size"
        raise ValueError(f"[{where}] expected a matrix (.., m, n) of known size, got shape {x.shape}; {remedy}")
    return x


def matrix(x: Tensor, where: str) -> Tensor:
    """x as a stack of matrices of known size, in floats."""
    return floating(sized(x, where))


def cutoff(a: Tensor, rcond: float | None, where: str) -> float:
    """Up to which part of the largest singular value others count as 0: rcond, by default max(m, n) eps."""
    if rcond is None:
        return max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)  # type: ignore[no-any-return]
    return checks.number(where, "rcond", rcond, 0)


def square(x: Tensor, where: str) -> Tensor:
    """x as a stack of square matrices, in floats."""
    x = matrix(x, where)
    if x.shape[-1] != x.shape[-2]:
        others = {"inv": "use lstsq or pinv", "solve": "use lstsq or pinv", "cond": "take p None, 2 or -2"}
        remedy = f"{others[where]} for others" if where in others else "pass a square one"
        raise ValueError(f"[{where}] expected a square matrix (.., n, n), got shape {x.shape}; {remedy}")
    return x


def swap(x: Tensor) -> Tensor:
    """Each matrix of a stack transposed."""
    n = x.ndim
    return ops.transpose(x, (*range(n - 2), n - 1, n - 2))


def for_matrices(x: Tensor) -> Tensor:
    """A number for each matrix of a stack, with the two axes that these have more."""
    return ops.expand_dims(ops.expand_dims(x, -1), -1)


def same_stack(a: Tensor, b: Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Two stacks of matrices with their leading axes broadcast, in one dtype."""
    if a.dtype != b.dtype:
        a, b = ops.cast(a, "float64"), ops.cast(b, "float64")
    batch = leading_axes(a, b, where)
    return _spread(a, batch), _spread(b, batch)


def leading_axes(a: Tensor, b: Tensor, where: str, own: tuple[int, int] = (2, 2)) -> list[Any]:
    """Those of both, broadcast: all but the last two, or as many as each one's `own`."""
    left, right = ([*x.shape[: x.ndim - n]] for x, n in zip((a, b), own, strict=True))
    length = max(len(left), len(right))
    left, right = [1] * (length - len(left)) + left, [1] * (length - len(right)) + right
    batch: list[Any] = []
    for i, j in zip(left, right, strict=True):
        if i != j and i != 1 and j != 1:
            raise ValueError(f"[{where}] {a.shape} and {b.shape}: expected equal leading axes, or 1, got {i} and {j}; reshape one")
        batch.append(j if i == 1 else i)
    return batch


def _spread(x: Tensor, batch: list[Any]) -> Tensor:
    shape = (*batch, *x.shape[-2:])
    return x if shape == tuple(x.shape) else ops.broadcast_to(x, shape)


def system(a: Tensor, b: Tensor, where: str) -> tuple[Tensor, Tensor, bool]:
    """Both sides as stacks of matrices of one batch and one dtype, and whether b was a vector. Of b's columns there may be any
    number, as many as a batch has samples: X^T.
    """
    given, vector = b.shape, b.ndim == 1
    b = floating(axes(ops.expand_dims(b, -1) if vector else b, 2, where))
    if b.shape[-2] != a.shape[-2]:
        remedy = f"give b one row, or number, for each row of A: ({a.shape[-2]},) or (.., {a.shape[-2]}, k)"
        raise ValueError(f"[{where}] expected b with {a.shape[-2]} rows for A of shape {a.shape}, got shape {given}; {remedy}")
    a, b = same_stack(a, b, where)
    return a, b, vector


def _below(x: Tensor, k: int) -> np.ndarray[Any, Any]:
    m, n = x.shape[-2:]
    return np.tri(m, n, k, dtype=bool)


def lower(x: Tensor, k: int = 0) -> Tensor:
    """The lower triangle up to the k-th diagonal, zeros above."""
    return ops.where(constant(_below(x, k)), x, ops.zeros_like(x))


def upper(x: Tensor, k: int = 0) -> Tensor:
    """The upper triangle from the k-th diagonal on, zeros below."""
    return ops.where(constant(~_below(x, k - 1)), x, ops.zeros_like(x))


def identity(m: int, dtype: str, n: int | None = None) -> Tensor:
    """The identity matrix, or its first n columns, as a constant."""
    return constant(np.eye(m, n, dtype=dtype))


def by_columns(x: Tensor, s: Tensor) -> Tensor:
    """x diag(s): each column times its number."""
    return ops.multiply(x, ops.expand_dims(s, -2))


def safe_reciprocal(d: Tensor, size: Tensor) -> Tensor:
    """1 / d, and 0 where |d| is nothing but rounding beside numbers of this size."""
    tiny = ops.less_equal(ops.abs(d), size * (16 * float(np.finfo(d.dtype).eps)))
    one = ops.ones_like(d)
    return ops.where(tiny, ops.zeros_like(d), one / ops.where(tiny, one, d))  # type: ignore[no-any-return]
