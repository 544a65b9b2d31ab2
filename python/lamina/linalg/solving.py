"""Inverses, linear systems, least squares.

Gradient formulas: M. Giles, An extended collection of matrix derivative results (2008); pinv: G. Golub, V. Pereyra, The
differentiation of pseudo-inverses (1973).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina import ops
from lamina.base import checks
from lamina.graph.lift import operation
from lamina.graph.tensor import Tensor
from lamina.linalg.errors import LinAlgError, check_finite, check_overflow, limit, singular
from lamina.linalg.host import define, host, operands
from lamina.linalg.probes import equilibrated, trusted
from lamina.linalg.shapes import cutoff, identity, matrix, square, swap, system

Array = np.ndarray[Any, Any]

REMEDY = "use pinv or lstsq, or add a ridge r: A + r I"
REMEDIES = {  # where it is asked for by another function
    "cond": "take p None, 2 or -2",
    "det": "its second derivative needs A^-1: add a ridge r, A + r I",
    "slogdet": "its gradient is A^-T: add a ridge r, A + r I, or take det",
}


@operation(1)
def inv(a: Tensor) -> Tensor:
    """A^-1, of each matrix (.., n, n) of a stack. dL/dA = -A^-T dL/dA^-1 A^-T.

    Errors: LinAlgError where the condition number ||A|| ||A^-1|| (1-norm) is beyond 1 / eps, and stays so with rows and columns
    of one size each; it names the number and the matrix.
    Where A^-1 overflows, another says so.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.inv(np.array([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return inverse(a, "inv")


def inverse(a: Tensor, of: str) -> Tensor:
    """`inv` within another function, whose name the errors have."""
    a = square(a, of)
    return host("inv", [a], a.shape, **({} if of == "inv" else {"of": of}))


def _one_norm(a: Array) -> Array:
    return np.maximum.reduce(np.add.reduce(np.abs(a), -2), -1, initial=0)  # type: ignore[no-any-return]


def _inv(a: Array, of: str = "inv") -> Array:
    try:
        return _as_it_is(a, of)
    except LinAlgError:
        result = equilibrated(a, np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape))
        if result is None:
            raise
        return result


def _as_it_is(a: Array, of: str) -> Array:
    remedy = REMEDIES.get(of, REMEDY)
    try:
        result = np.linalg.inv(a)
    except np.linalg.LinAlgError:
        singular(of, a, remedy)
    conditions = _one_norm(a) * _one_norm(result)
    if not (conditions <= limit(a.dtype)).all():  # of NaN, and where A holds infinity, too
        check_finite(of, a)
        check_overflow(of, a, result, "the inverse of", most=limit(a.dtype))
        singular(of, a, remedy, conditions=conditions)
    return result


def _inv_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    transposed = swap(y)
    return -(transposed @ dy @ transposed)


define("inv", _inv, _inv_gradient)


@operation(1)
def pinv(a: Tensor, rcond: float | None = None) -> Tensor:
    """The pseudo-inverse A^+, (.., n, m) of (.., m, n): V diag(1 / s) U^T over the singular values s > rcond max s.

    rcond: max(m, n) eps by default. The gradient (Golub and Pereyra) holds while the rank stays the same.
    Errors: ValueError for an rcond that is negative or not finite; LinAlgError where A is not finite, or A^+ overflows.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.pinv(np.array([[2.0], [0.0]]))
    array([[0.5, 0. ]])
    """
    a = matrix(a, "pinv")
    return host("pinv", [a], swap(a).shape, rcond=cutoff(a, rcond, "pinv"))


def _pinv(a: Array, rcond: float) -> Array:
    check_finite("pinv", a)
    result = np.linalg.pinv(a, rcond)
    check_overflow("pinv", a, result, "the pseudo-inverse of")
    return result


def _pinv_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """-P^T dP P^T + (I - A P) dP^T P P^T + P^T P dP^T (I - P A)"""
    (a,) = operands(y)
    d, pt = swap(dy), swap(y)
    left, right = d @ y @ pt, pt @ y @ d  # each product is of the size of A times the last one's, or of 1 / A times it
    return left - (a @ y) @ left + right - right @ (y @ a) - pt @ dy @ pt


define("pinv", _pinv, _pinv_gradient)

# ---- Systems ----


@operation(2)
def solve(a: Tensor, b: Tensor) -> Tensor:
    """x with A x = b. A: (.., n, n); b: (n,), a vector, or (.., n, k), columns; the leading axes broadcast.

    With z = A^-T dL/dx: dL/db = z, dL/dA = -z x^T.
    Errors: LinAlgError where A's condition number is beyond 1 / eps, with rows and columns of one size each, too. From 17 rows on
    three random columns beside b tell (fewer than one in 700 goes unseen at the limit, none was found beyond).

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.solve(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0]))
    array([1. , 0.5])
    """
    a, b, vector = system(square(a, "solve"), b, "solve")
    x = host("solve", [a, b], (*a.shape[:-2], a.shape[-1], b.shape[-1]))
    return ops.squeeze(x, -1) if vector else x


def _solve(a: Array, b: Array) -> Array:
    try:
        return trusted("solve", np.linalg.solve, a, b, REMEDY)
    except LinAlgError:
        x = equilibrated(a, b)
        if x is None:
            raise
        return x


def _solve_gradient(y: Tensor, dy: Tensor, i: int) -> Tensor:
    z = solve(swap(operands(y)[0]), dy)
    return z if i == 1 else -(z @ swap(y))


define("solve", _solve, _solve_gradient)


@operation(2)
def lstsq(a: Tensor, b: Tensor, *, ridge: float = 0.0, rcond: float | None = None) -> Tensor:
    """The x that minimizes |A x - b|^2 + ridge |x|^2, and of several the shortest. A: (.., m, n); b: (m,) or (.., m, k).

    With a ridge r it solves the taller system [A; sqrt(r) I] x = [b; 0] and never forms A^T A. rcond: singular values below
    rcond times the largest count as 0, by default max(m, n) eps. The gradient holds while A's rank stays the same.
    Errors: ValueError for a ridge or an rcond that is negative or not finite, LinAlgError where A is not finite.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.lstsq(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]))
    array([2.])
    >>> lm.linalg.lstsq(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]), ridge=2.0)
    array([1.])
    """
    ridge = checks.number("lstsq", "ridge", ridge, 0)
    a, b, vector = system(matrix(a, "lstsq"), b, "lstsq")
    n = a.shape[-1]
    if ridge:
        pads = [(0, 0)] * (a.ndim - 2) + [(0, n), (0, 0)]
        below = ops.broadcast_to(identity(n, a.dtype) * float(np.sqrt(ridge)), (*a.shape[:-2], n, n))
        a, b = ops.concatenate([a, below], -2), ops.pad(b, pads)
    x = host("lstsq", [a, b], (*a.shape[:-2], n, b.shape[-1]), rcond=cutoff(a, rcond, "lstsq"))
    return ops.squeeze(x, -1) if vector else x


def _lstsq(a: Array, b: Array, rcond: float) -> Array:
    check_finite("lstsq", a)
    if np.isinf(b).any():
        b = np.where(np.isinf(b), np.nan, b)  # LAPACK scales b by its largest number, and an infinity would reach the other columns
    batch = a.shape[:-2]
    if not batch:
        return np.linalg.lstsq(a, b, rcond)[0]
    count = math.prod(batch)
    a, b = a.reshape(count, *a.shape[-2:]), b.reshape(count, *b.shape[-2:])
    results = [np.linalg.lstsq(one, side, rcond)[0] for one, side in zip(a, b, strict=True)]
    return np.array(results).reshape(*batch, a.shape[-1], b.shape[-1])


def _lstsq_gradient(y: Tensor, dy: Tensor, i: int) -> Tensor:
    """With P = A^+, r = b - A x: dL/db = P^T dx; dL/dA = r (P P^T dx)^T - (P^T dx) x^T + P^T x (dx - P A dx)^T."""
    a, b = operands(y)
    p = pinv(a, y.node.options["rcond"])
    db = swap(p) @ dy
    if i == 1:
        return db
    residual = b - a @ y
    whole = residual @ swap(p @ db) - db @ swap(y)
    return whole + (swap(p) @ y) @ swap(dy - p @ (a @ dy))


define("lstsq", _lstsq, _lstsq_gradient)
