"""Systems of a triangle: what the gradients of factors, and systems of any matrix, are made of.

Gradient formula: M. Giles, An extended collection of matrix derivative results (2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import checks, ops
from lamina.lift import operation
from lamina.linalg.errors import check_finite, limit, singular
from lamina.linalg.host import define, host, operands, options_of
from lamina.linalg.probes import trusted
from lamina.linalg.shapes import lower, square, swap, system, upper
from lamina.tensor import Tensor

Array = np.ndarray[Any, Any]


@operation(2)
def solve_triangular(a: Tensor, b: Tensor, *, lower: bool = False, transposed: bool = False, unit_diagonal: bool = False) -> Tensor:
    """x with A x = b, or A^T x = b (`transposed`), where only one triangle of A counts: the upper one, or the `lower`.

    A: (.., n, n); b: (n,) or (.., n, k). `unit_diagonal`: ones are taken for A's diagonal.
    Errors: LinAlgError where a diagonal element is 0.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.solve_triangular(np.array([[2.0, 9.0], [1.0, 1.0]]), np.array([2.0, 2.0]), lower=True)
    array([1., 1.])
    """
    a, b, vector = system(square(a, "solve_triangular"), b, "solve_triangular")
    lower, transposed, unit_diagonal = (
        checks.flag("solve_triangular", name, value)
        for name, value in (("lower", lower), ("transposed", transposed), ("unit_diagonal", unit_diagonal))
    )
    x = host("solve_triangular", [a, b], b.shape, lower=lower, transposed=transposed, unit_diagonal=unit_diagonal)
    return ops.squeeze(x, -1) if vector else x


REMEDIES = {  # whose gradient divides by a triangle -> its name, what to do where that is singular
    "qr": ("factor R", "its gradient needs independent columns: drop some, or add a ridge below them, [A; sqrt(l) I]"),
    "lu": ("factor U", "its gradient needs a U that can be inverted: add a ridge, A + l I; det has a gradient without"),
}


_ROUNDED = 8  # rounding leaves in T up to 3.2 eps of columns that are equal: measured for 2 to 100 000 rows, 2 to 300 columns


def divide_by_factor(of: str, t: Tensor, b: Tensor) -> Tensor:
    """x with T x = b of an upper triangle T, a factor of the decomposition `of`: LinAlgError in its name where T is singular."""
    return host("solve_triangular", [t, b], b.shape, lower=False, transposed=False, unit_diagonal=False, of=of)


def _solve_triangular(a: Array, b: Array, lower: bool, transposed: bool, unit_diagonal: bool, of: str | None = None) -> Array:
    t = np.tril(a) if lower else np.triu(a)
    check_finite(of or "solve_triangular", t)
    if of is not None:
        name, remedy = REMEDIES[of]
        most = limit(t.dtype) / _ROUNDED
        t, lower = (np.swapaxes(t, -2, -1), not lower) if transposed else (t, lower)
        return trusted(of, lambda t, b: substitute(t, b, lower), t, b, remedy, most=most, name=name)
    diagonal = np.einsum("...ii->...i", t)
    if unit_diagonal:
        diagonal[...] = 1
    elif (diagonal == 0).any():
        singular("solve_triangular", t, "its diagonal holds a 0; use lstsq")
    if transposed:
        t, lower = np.swapaxes(t, -2, -1), not lower
    return substitute(t, b, lower)


_BLOCK = 64  # rows that LAPACK's general solver takes at once; between blocks it is matrix products


def substitute(t: Array, b: Array, lower: bool) -> Array:
    """Forward or backward substitution by blocks, over all matrices of a stack at once."""
    if lower:  # from its last row and column on it is an upper one, in which LAPACK finds no other pivot than the diagonal
        return np.flip(substitute(np.flip(t, (-2, -1)), np.flip(b, -2), False), -2)
    n = t.shape[-1]
    x = np.empty_like(b)
    for start in reversed(range(0, n, _BLOCK)):
        rows, done = slice(start, min(start + _BLOCK, n)), slice(min(start + _BLOCK, n), n)
        x[..., rows, :] = np.linalg.solve(t[..., rows, rows], b[..., rows, :] - t[..., rows, done] @ x[..., done, :])
    return x


def _solve_triangular_gradient(y: Tensor, dy: Tensor, i: int) -> Tensor:
    options = options_of(y)
    z = host("solve_triangular", [operands(y)[0], dy], dy.shape, **{**options, "transposed": not options["transposed"]})
    if i == 1:
        return z
    whole = -(y @ swap(z) if options["transposed"] else z @ swap(y))
    k = 1 if options["unit_diagonal"] else 0
    return lower(whole, -k) if options["lower"] else upper(whole, k)


define("solve_triangular", _solve_triangular, _solve_triangular_gradient)
