"""Numbers and matrices that a whole matrix gives: determinants, powers, the exponential, rank, condition number.

Gradient formulas: det and slogdet: M. Giles (2008); expm: A. Al-Mohy and N. Higham, Computing the Frechet derivative of the matrix
exponential (2009).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.base import checks
from lamina.graph.function import grad
from lamina.graph.lift import operation
from lamina.graph.tensor import Tensor
from lamina.linalg.basic import matrix_norm, order_of
from lamina.linalg.errors import LinAlgError, check_finite, check_overflow
from lamina.linalg.factors import values
from lamina.linalg.host import define, host, operands
from lamina.linalg.shapes import cutoff, for_matrices, identity, matrix, square, swap
from lamina.linalg.solving import inverse

Array = np.ndarray[Any, Any]


class SLogDet(NamedTuple):
    """det A = sign e^logabsdet."""

    sign: Any
    logabsdet: Any


@operation(1)
def det(a: Tensor) -> Tensor:
    """The determinant of each matrix (.., n, n) of a stack. Its gradient, the cofactors, exists for singular matrices, too; the
    second derivative is worked out by A^-1 and raises LinAlgError for these.

    >>> import lamina as lm, numpy as np
    >>> float(lm.linalg.det(np.array([[2.0, 1.0], [0.0, 3.0]])))
    6.0
    """
    a = square(a, "det")
    return host("det", [a], a.shape[:-2])


def _det_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    (a,) = operands(y)
    return for_matrices(dy) * host("cofactors", [a], a.shape)


def _cofactors(a: Array) -> Array:
    """det(U) det(V) U diag(product of the other singular values) V^T"""
    check_finite("det", a)
    u, s, vh = np.linalg.svd(a)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return sign[..., None, None] * (u * _products_of_others(s)[..., None, :]) @ vh  # type: ignore[no-any-return]


def _products_of_others(s: Array) -> Array:
    """For each value of a row the product of the others, by mantissas and exponents: on the way to a product of usual size large
    factors alone would be infinite, and small ones 0.
    """
    n = s.shape[-1]
    parts, powers = np.frexp(np.where(np.eye(n, dtype=bool), 1, s[..., None, :].astype(np.float64)))
    power = powers.sum(axis=-1)
    while parts.shape[-1] > 1:
        if parts.shape[-1] % 2:
            parts = np.concatenate([parts, np.ones_like(parts[..., :1])], axis=-1)
        parts, powers = np.frexp(parts[..., ::2] * parts[..., 1::2])
        power = power + powers.sum(axis=-1)
    products: Array = np.ldexp(parts.sum(axis=-1), power).astype(s.dtype)
    return products


def _cofactors_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """By the derivative of det(B) B^-T, where A = c B: times c^(n-2), whatever c, as cofactors are products of n - 1 elements."""
    (a,) = operands(y)
    c = host("det_size", [a], (*a.shape[:-2], 1, 1))
    b = a / c
    formula = for_matrices(det(b)) * swap(inverse(b, "det"))
    return grad(formula, b, dy) * c ** (a.shape[-1] - 2)  # type: ignore[no-any-return]


def _det_size(a: Array) -> Array:
    """|det A|^(1/n), where that is a number above 0: of A / c the determinant neither over- nor underflows."""
    check_finite("det", a)
    c = np.exp(np.linalg.slogdet(a)[1] / max(a.shape[-1], 1))
    return np.where(c > 0, c, 1)[..., None, None]


def _det(a: Array) -> Array:
    check_finite("det", a)
    return np.linalg.det(a)  # type: ignore[no-any-return]


define("det", _det, _det_gradient)
define("cofactors", _cofactors, _cofactors_gradient)
define("det_size", _det_size, None)


@operation(1)
def slogdet(a: Tensor) -> Any:
    """(sign, log |det A|) of each matrix (.., n, n) of a stack, without overflow: (0, -inf) for a singular one.

    The gradient of log |det A| is A^-T (LinAlgError for a singular A); the sign has none.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.slogdet(-np.eye(3)).sign
    array(-1.)
    """
    a = square(a, "slogdet")
    both = host("slogdet", [a], (*a.shape[:-2], 2))
    return SLogDet(both[..., 0], both[..., 1])


def _slogdet_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    return ops.expand_dims(dy[..., 1:], -1) * swap(inverse(operands(y)[0], "slogdet"))


def _slogdet(a: Array) -> Array:
    check_finite("slogdet", a)
    return np.stack(np.linalg.slogdet(a), -1)


define("slogdet", _slogdet, _slogdet_gradient)


@operation(1)
def matrix_power(a: Tensor, n: int) -> Tensor:
    """A^n for a whole number n, by repeated squaring; A^0 = I, A^-n = (A^-1)^n. A: (.., m, m).
    Errors: TypeError for an n that is no whole number; LinAlgError for a singular A where n is negative.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.matrix_power(np.array([[1.0, 1.0], [0.0, 1.0]]), 5)
    array([[1., 5.],
           [0., 1.]])
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"[matrix_power] expected a whole number as the power, got {checks.brief(n)}; see expm for others")
    a = square(a, "matrix_power")
    if n == 0:
        return ops.broadcast_to(identity(a.shape[-1], a.dtype), a.shape)
    base, left = (inverse(a, "matrix_power") if n < 0 else a), abs(int(n))
    result: Tensor | None = None
    while left:
        if left & 1:
            result = base if result is None else result @ base
        left >>= 1
        base = base @ base if left else base
    assert result is not None
    return result


@operation(1)
def expm(a: Tensor) -> Tensor:
    """The matrix exponential I + A + A^2 / 2! + .., of each matrix (.., n, n) of a stack.

    Its gradient is the upper right block of expm [[A^T, dL], [0, A^T]].
    Errors: LinAlgError where A is not finite, or e^A overflows.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.expm(np.zeros((2, 2)))
    array([[1., 0.],
           [0., 1.]])
    """
    a = square(a, "expm")
    return host("expm", [a], a.shape)


def _expm_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    at = swap(operands(y)[0])
    n = at.shape[-1]
    if n == 0:
        return dy
    size = ops.stop_gradient(ops.max(ops.abs(dy), (-2, -1), keepdims=True))  # it is linear in dL, whose size must not scale A
    size = ops.where(size > 0, size, ops.ones_like(size))
    block = ops.concatenate(
        [ops.concatenate([at, dy / size], -1), ops.concatenate([ops.zeros_like(at), at], -1)],
        -2,
    )
    return expm(block)[..., :n, n:] * size  # type: ignore[no-any-return]


def _expm(a: Array) -> Array:
    """What the core has left, to say why."""
    check_finite("expm", a)
    if np.abs(a.astype(np.float64)).sum(axis=-2).max(initial=0) == np.inf:
        raise LinAlgError(f"[expm] expected columns whose sums of |a| are finite, got numbers up to {np.abs(a).max():g}; scale A")
    stack = a.reshape(-1, *a.shape[-2:]).astype(np.float64)
    result: Array = np.array([core.expm(one) for one in stack]).astype(a.dtype).reshape(a.shape)
    check_overflow("expm", a, result, "the exponential of")
    return result


define("expm", _expm, _expm_gradient)


@operation(1)
def matrix_rank(a: Tensor, rcond: float | None = None) -> Tensor:
    """How many singular values of each matrix (.., m, n) are above rcond (max(m, n) eps by default) times the largest; int64.

    >>> import lamina as lm, numpy as np
    >>> int(lm.linalg.matrix_rank(np.ones((3, 2))))
    1
    """
    a = matrix(a, "matrix_rank")
    cut = cutoff(a, rcond, "matrix_rank")
    if 0 in a.shape[-2:]:
        return ops.full(a.shape[:-2], 0, "int64")
    s = values(a, "matrix_rank")
    return ops.sum(ops.cast(ops.greater(s, ops.max(s, -1, keepdims=True) * cut), "int64"), -1)


@operation(1)
def cond(a: Tensor, p: Any = None) -> Tensor:
    """The condition number of each matrix of a stack: by how much A x = b can magnify a relative error.

    p None or 2: largest over smallest singular value, inf for a singular matrix, that of zeros included. p -2: the inverse of
    that. "fro", 1, inf, ..: norm(A, p) norm(A^-1, p), which needs a square A and raises LinAlgError for a singular one.

    >>> import lamina as lm, numpy as np
    >>> float(lm.linalg.cond(np.array([[4.0, 0.0], [0.0, 2.0]])))
    2.0
    """
    a, p = matrix(a, "cond"), order_of(p, "cond")
    if 0 in a.shape[-2:]:
        raise ValueError(f"[cond] expected a matrix with elements, got shape {a.shape}; norms of nothing have no quotient")
    if p is None or p in (2, -2):
        s = values(a, "cond")
        high, low = s[..., 0], s[..., -1]
        if p == -2:
            return low / ops.where(high == 0, 1.0, high)
        return ops.where(high == 0, np.inf, high / low)
    a = square(a, "cond")
    return matrix_norm(a, p, "cond") * matrix_norm(inverse(a, "cond"), p, "cond")
