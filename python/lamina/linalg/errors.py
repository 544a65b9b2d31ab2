"""What goes wrong in linear algebra, said with the matrix, its condition number and a remedy."""

from __future__ import annotations

from functools import cache
from typing import Any, NoReturn

import numpy as np

from lamina import _core as core

Array = np.ndarray[Any, Any]


class LinAlgError(np.linalg.LinAlgError):
    """A matrix for which an operation has no answer that can be trusted: singular, ill-conditioned, not positive definite.

    It is a `numpy.linalg.LinAlgError`, and so a ValueError.

    >>> import lamina as lm
    >>> try:
    ...     lm.linalg.inv([[1.0, 2.0], [2.0, 4.0]])
    ... except lm.linalg.LinAlgError as error:
    ...     print(str(error)[:48])
    [inv] the matrix is singular to working precisio
    """


def which(a: Array, flat_index: int, name: str = "matrix") -> str:
    """How an error calls one matrix of a stack: by its index along the leading axes."""
    if a.ndim == 2:
        return f"the {name}"
    index = np.unravel_index(flat_index, a.shape[:-2])
    return f"{name} {int(index[0]) if len(index) == 1 else tuple(int(i) for i in index)} of the batch"


@cache
def limit(dtype: Any) -> float:
    """The condition number from which on no digit of a solution is right: 1 / eps."""
    return core.condition_limit(np.dtype(dtype).name)


def check_finite(where: str, a: Array) -> None:
    """LinAlgError for a matrix with NaN or infinite values: LAPACK's iterations do not end, or it answers NaN without a word."""
    if not np.isfinite(a).all():
        bad = int(np.argmin(np.isfinite(a.reshape(-1, *a.shape[-2:])).all(axis=(1, 2))))
        raise LinAlgError(f"[{where}] expected finite numbers, {which(a, bad)} holds NaN or infinity; look at where they come from")


def singular(
    where: str, a: Array, remedy: str, *, conditions: Array | None = None, most: float | None = None, name: str = "matrix"
) -> NoReturn:
    """Raises for the worst matrix of a stack by its condition numbers, of the 2-norm unless they are given; `most` was allowed, by
    default `limit`.
    """
    check_finite(where, a)
    conditions = np.atleast_1d(np.linalg.cond(a) if conditions is None else conditions).ravel()
    worst = int(np.argmax(conditions))
    raise LinAlgError(
        f"[{where}] {which(a, worst, name)} is singular to working precision: condition number {conditions[worst]:.3g}, and "
        f"beyond {most or limit(a.dtype):.2g} no digit of a {a.dtype} result is right; {remedy}"
    )


def check_overflow(where: str, a: Array, result: Array, what: str, *, most: float = np.inf, name: str = "matrix") -> None:
    """LinAlgError where a result is too large for its dtype, though no matrix's condition number is beyond `most`."""
    if np.isfinite(result).all():
        return
    lost = ~np.isfinite(result).all(axis=(-2, -1))
    if most == np.inf or np.all(np.linalg.cond(a) <= most):
        largest = f"{np.finfo(a.dtype).max:.2g}, the largest {a.dtype}"
        called = which(a, int(np.argmax(lost)), name)
        raise LinAlgError(f"[{where}] {what} {called} overflows: it goes beyond {largest}; scale the matrix first")


def not_positive_definite(where: str, a: Array) -> NoReturn:
    """Raises for the matrix of a stack with the smallest eigenvalue."""
    check_finite(where, a)
    spectrum = np.linalg.eigvalsh(a).reshape(-1, a.shape[-1])
    worst = int(np.argmin(spectrum[:, 0]))
    low, high = float(spectrum[worst, 0]), float(np.abs(spectrum[worst]).max())
    size = np.abs(spectrum[worst]).min()
    least = max(-low, high * float(np.finfo(a.dtype).eps), float(np.finfo(a.dtype).tiny))
    raise LinAlgError(
        f"[{where}] expected a positive definite matrix, {which(a, worst)} has the smallest eigenvalue {low:.3g} (largest size "
        f"{high:.3g}, condition number {high / size if size else np.inf:.3g}); add a multiple of the identity greater than "
        f"{least:.2g}, or use eigh"
    )
