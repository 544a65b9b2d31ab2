"""Systems of a triangle: what the gradients of factors, and systems of any matrix, are made of.

Gradient formula: M. Giles, An extended collection of matrix derivative results (2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.lift import operation
from lamina.linalg.errors import check_finite, singular
from lamina.linalg.host import define, host, operands, options_of
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
    x = host("solve_triangular", [a, b], b.shape, lower=lower, transposed=transposed, unit_diagonal=unit_diagonal)
    return ops.squeeze(x, -1) if vector else x


def _solve_triangular(a: Array, b: Array, lower: bool, transposed: bool, unit_diagonal: bool) -> Array:
    t = np.tril(a) if lower else np.triu(a)
    check_finite("solve_triangular", t)
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
    n = t.shape[-1]
    x = np.empty_like(b)
    starts = range(0, n, _BLOCK)
    for start in starts if lower else reversed(starts):
        rows, done = slice(start, min(start + _BLOCK, n)), slice(0, start) if lower else slice(min(start + _BLOCK, n), n)
        x[..., rows, :] = np.linalg.solve(t[..., rows, rows], b[..., rows, :] - t[..., rows, done] @ x[..., done, :])
    return x


def _solve_triangular_gradient(y: Tensor, dy: Tensor, i: int) -> Tensor:
    options = options_of(y)
    z = solve_triangular(operands(y)[0], dy, **{**options, "transposed": not options["transposed"]})
    if i == 1:
        return z  # type: ignore[no-any-return]
    whole = -(y @ swap(z) if options["transposed"] else z @ swap(y))
    k = 1 if options["unit_diagonal"] else 0
    return lower(whole, -k) if options["lower"] else upper(whole, k)


define("solve_triangular", _solve_triangular, _solve_triangular_gradient)
