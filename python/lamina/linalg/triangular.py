"""Systems of a triangle: what the gradients of factors, and systems of any matrix, are made of.

Gradient formula: M. Giles, An extended collection of matrix derivative results (2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.base import checks
from lamina.graph.lift import operation
from lamina.graph.tensor import Tensor
from lamina.linalg.errors import check_finite, limit, singular
from lamina.linalg.host import define, host, operands
from lamina.linalg.probes import trusted
from lamina.linalg.shapes import lower, square, swap, system, upper

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
    "qr": ("factor R", "its gradient needs independent columns: drop some, or add a ridge r below them, [A; sqrt(r) I]"),
    "lu": ("factor U", "its gradient needs a U that can be inverted: add a ridge r, A + r I; det has a gradient without"),
}


_ROUNDED = 8  # rounding leaves in T up to 3.2 eps of columns that are equal: measured for 2 to 100 000 rows, 2 to 300 columns


def divide_by_factor(of: str, t: Tensor, b: Tensor) -> Tensor:
    """x with T x = b of an upper triangle T, a factor of the decomposition `of`: LinAlgError in its name where T is singular."""
    return host("solve_triangular", [t, b], b.shape, lower=False, transposed=False, unit_diagonal=False, of=of)


def _solve_triangular(a: Array, b: Array, lower: bool, transposed: bool, unit_diagonal: bool, of: str | None = None) -> Array:
    if of is not None:
        name, remedy = REMEDIES[of]
        most = limit(a.dtype) / _ROUNDED
        return trusted(of, lambda t, b: substitute(t, b, lower, transposed), triangle(a, lower), b, remedy, most=most, name=name)
    diagonal = np.einsum("...ii->...i", a)
    vanishes = not unit_diagonal and not diagonal.all()
    x = substitute(a, b, lower, transposed, unit_diagonal)
    # NaN and infinity elsewhere in the triangle come through to x, where there is one.
    if vanishes or not (x.size and np.isfinite(x).all() and np.isfinite(diagonal).all()):
        t = triangle(a, lower)
        check_finite("solve_triangular", t)
        if vanishes:
            singular("solve_triangular", t, "its diagonal holds a 0; use lstsq")
    return x


def triangle(a: Array, lower: bool) -> Array:
    return np.tril(a) if lower else np.triu(a)


def substitute(t: Array, b: Array, lower: bool, transposed: bool = False, unit_diagonal: bool = False) -> Array:
    """Forward or backward substitution, over all matrices of a stack."""
    return core.solve_triangular(np.ascontiguousarray(t), np.ascontiguousarray(b), lower, transposed, unit_diagonal)


def _solve_triangular_gradient(y: Tensor, dy: Tensor, i: int) -> Tensor:
    options = y.node.options
    z = host("solve_triangular", [operands(y)[0], dy], dy.shape, **{**options, "transposed": not options["transposed"]})
    if i == 1:
        return z
    whole = -(y @ swap(z) if options["transposed"] else z @ swap(y))
    k = 1 if options["unit_diagonal"] else 0
    return lower(whole, -k) if options["lower"] else upper(whole, k)


define("solve_triangular", _solve_triangular, _solve_triangular_gradient)
