"""Decompositions: Cholesky, LU, QR, singular values, symmetric eigenvalues. LAPACK through NumPy; gradients as math.

Gradient formulas: L, QR, eigh and SVD after M. Seeger, A. Hetzel, Z. Dai, N. Lawrence, Auto-Differentiating Linear Algebra (2017);
Cholesky also I. Murray, Differentiation of the Cholesky decomposition (2016); SVD J. Townsend, Differentiating the Singular Value
Decomposition (2016); all rest on M. Giles, An extended collection of matrix derivative results (2008).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lamina import ops
from lamina.graph.lift import constant, operation
from lamina.graph.tensor import Tensor
from lamina.linalg.errors import check_finite, not_positive_definite
from lamina.linalg.host import define, host, operands, shared
from lamina.linalg.shapes import by_columns, for_matrices, identity, lower, matrix, safe_reciprocal, square, swap, upper
from lamina.linalg.triangular import divide_by_factor, solve_triangular

Array = np.ndarray[Any, Any]


class LU(NamedTuple):
    """A = P L U."""

    P: Any
    L: Any
    U: Any


class QR(NamedTuple):
    """A = Q R."""

    Q: Any
    R: Any


class SVD(NamedTuple):
    """A = U diag(S) Vh."""

    U: Any
    S: Any
    Vh: Any


class Eigh(NamedTuple):
    """A = V diag(w) V^T."""

    eigenvalues: Any
    eigenvectors: Any


# ---- Cholesky ----


@operation(1)
def cholesky(a: Tensor) -> Tensor:
    """L with A = L L^T, lower triangular, of a symmetric positive definite A: (.., n, n); only A's lower triangle is read.

    Its gradient is symmetric, as if A's two triangles moved together.
    Errors: LinAlgError with the smallest eigenvalue where A is not positive definite.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.cholesky(np.array([[4.0, 2.0], [2.0, 2.0]]))
    array([[2., 0.],
           [1., 1.]])
    """
    a = square(a, "cholesky")
    return host("cholesky", [a], a.shape)


def _cholesky(a: Array) -> Array:
    check_finite("cholesky", a)
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        not_positive_definite("cholesky", a)


def _cholesky_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """sym(L^-T phi(L^T dL) L^-1), phi: the lower triangle with its diagonal halved."""
    product = swap(y) @ dy
    phi = (lower(product) + lower(product, -1)) * 0.5
    half = solve_triangular(y, phi, lower=True, transposed=True)  # L^-T phi
    whole = swap(solve_triangular(y, swap(half), lower=True, transposed=True))  # .. L^-1
    return (whole + swap(whole)) * 0.5


define("cholesky", _cholesky, _cholesky_gradient)

# ---- LU ----


@operation(1)
def lu(a: Tensor) -> Any:
    """(P, L, U) with A = P L U: a permutation, a lower triangle with ones on its diagonal, an upper one; partial pivoting.

    A: (.., m, n); L: (.., m, k), U: (.., k, n), k = min(m, n). P has no gradient; it is constant where no two candidates for a
    pivot are equal, and there the gradients of L and U are right. They need a U (its first k columns) that can be inverted
    up to rounding (8 eps); others raise LinAlgError.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.lu(np.array([[1.0, 2.0], [2.0, 2.0]])).U
    array([[2., 2.],
           [0., 1.]])
    """
    a = matrix(a, "lu")
    m, n = a.shape[-2:]
    k = min(m, n)
    packed = host("lu", [a], a.shape)
    order = host("lu_order", [a], a.shape[:-1], "int64")
    return LU(swap(_one_hot(order, m, a.dtype)), lower(packed, -1)[..., :, :k] + identity(m, a.dtype, k), upper(packed)[..., :k, :])


def _one_hot(order: Tensor, m: int, dtype: str) -> Tensor:
    return ops.cast(ops.equal(ops.expand_dims(order, -1), constant(np.arange(m))), dtype)


def _refused_lu(a: Array) -> Array:
    """The core decomposes whatever is finite and has the shape that `lu` gives it."""
    check_finite("lu", a)
    raise ValueError(f"[lu] expected a matrix and room for its factors, got one of shape {a.shape}; the file is damaged")


def _lu_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """Of the square part: P L^-T [tril(L^T dL, -1) + triu(dU U^T)] U^-T. Rows below it: dL2 U^-T; columns beside it: L^-T dU2."""
    m, n = y.shape[-2:]
    k = min(m, n)
    head, d = y[..., :k, :k], dy[..., :k, :k]
    left = lower(head, -1) + identity(k, y.dtype)
    right = upper(head)
    d_lower, d_upper = lower(d, -1), upper(d)
    below = beside = None
    if m > k:
        below = swap(divide_by_factor("lu", right, swap(dy[..., k:, :])))  # dL2 U^-T
        d_upper = d_upper - upper(swap(y[..., k:, :]) @ below)
    if n > k:
        beside = solve_triangular(left, dy[..., :, k:], lower=True, transposed=True, unit_diagonal=True)  # L^-T dU2
        d_lower = d_lower - lower(beside @ swap(y[..., :, k:]), -1)
    inner = lower(swap(left) @ d_lower, -1) + upper(d_upper @ swap(right))
    inner = solve_triangular(left, inner, lower=True, transposed=True, unit_diagonal=True)
    whole = swap(divide_by_factor("lu", right, swap(inner)))
    if below is not None:
        whole = ops.concatenate([whole, below], -2)
    if beside is not None:
        whole = ops.concatenate([whole, beside], -1)
    order = host("lu_order", operands(y), y.shape[:-1], "int64")
    return swap(_one_hot(order, m, y.dtype)) @ whole


define("lu", _refused_lu, _lu_gradient)
define("lu_order", _refused_lu, None)

# ---- QR ----


@operation(1)
def qr(a: Tensor) -> Any:
    """(Q, R) with A = Q R: orthonormal columns and an upper triangle. A: (.., m, n); Q: (.., m, k), R: (.., k, n), k = min(m, n).

    The gradient exists where A's first k columns are independent up to rounding (8 eps); elsewhere it raises LinAlgError.

    >>> import lamina as lm, numpy as np
    >>> np.abs(lm.linalg.qr(np.array([[3.0], [4.0]])).R)
    array([[5.]])
    """
    a = matrix(a, "qr")
    m, n = a.shape[-2:]
    k = min(m, n)
    return QR(host("qr_q", [a], (*a.shape[:-1], k)), host("qr_r", [a], (*a.shape[:-2], k, n)))


def _decompose_qr(a: Array) -> tuple[Array, Array]:
    check_finite("qr", a)
    q, r = np.linalg.qr(a)
    return q, r


def _qr_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """(dQ + Q copyltu(R dR^T - dQ^T Q)) R^-T for the first k columns; those beside them, A2 = Q R2: Q dR2, and dQ += A2 dR2^T."""
    (a,) = operands(y)
    q, r = qr(a)
    k = q.shape[-1]
    wide = a.shape[-1] > k
    d_q: Tensor | None = dy
    d_r: Tensor | None = None
    beside: Tensor | None = None
    if y.node.attrs["name"] == "qr_r":
        d_q, d_r = None, dy[..., :, :k] if wide else dy
        if wide:
            beside = q @ dy[..., :, k:]
            d_q = a[..., :, k:] @ swap(dy[..., :, k:])
    elif wide:
        beside = ops.zeros_like(a[..., :, k:])
    r = r[..., :, :k] if wide else r
    middle: Tensor | None = None if d_r is None else r @ swap(d_r)
    if d_q is not None:
        middle = -(swap(d_q) @ q) if middle is None else middle - swap(d_q) @ q
    assert middle is not None
    whole = q @ (lower(middle) + swap(lower(middle, -1)))
    whole = whole if d_q is None else d_q + whole
    whole = swap(divide_by_factor("qr", r, swap(whole)))
    return whole if beside is None else ops.concatenate([whole, beside], -1)


define("qr_q", lambda a: shared(_decompose_qr, a)[0], _qr_gradient)
define("qr_r", lambda a: shared(_decompose_qr, a)[1], _qr_gradient)

# ---- Singular values ----


@operation(1)
def svd(a: Tensor) -> Any:
    """(U, S, Vh) with A = U diag(S) Vh, S descending. A: (.., m, n); U: (.., m, k), S: (.., k), Vh: (.., k, n), k = min(m, n).

    S has a gradient everywhere. Those of U and Vh hold terms 1 / (s_j^2 - s_i^2) and 1 / s_i. Where two singular values are equal,
    or one is 0, up to rounding, such a term is left out: right for what depends on their common space alone, as a projection onto
    it, wrong for U f(diag(S)) Vh, whose derivative is the limit of such terms; compute that from A. The second derivatives of S
    are made of the gradients of U and Vh, and leave out the same.
    Errors: LinAlgError where A is not finite.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.svd(np.array([[3.0, 0.0], [0.0, 4.0]])).S
    array([4., 3.])
    """
    a = matrix(a, "svd")
    k = min(a.shape[-2:])
    u = host("svd_u", [a], (*a.shape[:-1], k))
    return SVD(u, host("svd_s", [a], (*a.shape[:-2], k)), host("svd_vh", [a], (*a.shape[:-2], k, a.shape[-1])))


@operation(1)
def singular_values(a: Tensor) -> Tensor:
    """The singular values alone, descending: half the work, and a gradient everywhere; second derivatives as in `svd`.

    A: (.., m, n). Errors: LinAlgError where A is not finite.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.singular_values(np.array([[3.0, 0.0], [0.0, 4.0]]))
    array([4., 3.])
    """
    return values(a, "singular_values")


def values(a: Tensor, of: str) -> Tensor:
    """`singular_values` within another function, whose name the errors have."""
    a = matrix(a, of)
    return host("singular_values", [a], (*a.shape[:-2], min(a.shape[-2:])), **({} if of == "singular_values" else {"of": of}))


def _decompose_svd(a: Array) -> tuple[Array, Array, Array]:
    check_finite("svd", a)
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return u, s, vh


def _singular_values(a: Array, of: str = "singular_values") -> Array:
    check_finite(of, a)
    return np.linalg.svd(a, compute_uv=False)


def _values_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """U diag(dS) Vh"""
    u, _s, vh = svd(operands(y)[0])
    return by_columns(u, dy) @ vh  # type: ignore[no-any-return]


def _basis_gradient(u: Tensor, s: Tensor, vh: Tensor, du: Tensor) -> Tensor:
    """What dU adds: [U (F . (U^T dU - dU^T U)) + (I - U U^T) dU diag(1/S)] Vh, F_ij = s_j / (s_j^2 - s_i^2)."""
    if 0 in s.shape:  # no largest s
        return u @ vh
    row, column = ops.expand_dims(s, -2), ops.expand_dims(s, -1)
    size = ops.max(s, -1, keepdims=True)
    size_of_both = ops.expand_dims(size, -1)
    f = safe_reciprocal(row - column, size_of_both) * (row * safe_reciprocal(row + column, size_of_both))  # not s / s^2
    product = swap(u) @ du
    inner = u @ (f * (product - swap(product)))
    if u.shape[-2] > u.shape[-1]:
        inner = inner + by_columns(du - u @ product, safe_reciprocal(s, size))
    return inner @ vh


def _u_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    u, s, vh = svd(operands(y)[0])
    return _basis_gradient(u, s, vh, dy)


def _vh_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """The same for A^T, whose U is V."""
    u, s, vh = svd(operands(y)[0])
    return swap(_basis_gradient(swap(vh), s, swap(u), swap(dy)))


define("svd_u", lambda a: shared(_decompose_svd, a)[0], _u_gradient)
define("svd_s", lambda a: shared(_decompose_svd, a)[1], _values_gradient)
define("svd_vh", lambda a: shared(_decompose_svd, a)[2], _vh_gradient)
define("singular_values", _singular_values, _values_gradient)


def nuclear(a: Tensor, of: str) -> Tensor:
    """The sum of the singular values, within the function of the name `of`. Its gradient is U Vh, the polar factor."""
    return host("nuclear", [a], a.shape[:-2], of=of)


def _nuclear_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    (a,) = operands(y)
    return for_matrices(dy) * host("polar", [a], a.shape)


def _polar(a: Array) -> Array:
    u, _s, vh = shared(_decompose_svd, a)
    return u @ vh


def _polar_gradient(y: Tensor, d: Tensor, _: int) -> Tensor:
    """U [(U^T d V - V^T d^T U) / (s_i + s_j)] Vh + (I - U U^T) d V diag(1/S) Vh + U diag(1/S) U^T d (I - V V^T)"""
    u, s, vh = svd(operands(y)[0])
    if 0 in s.shape:
        return ops.zeros_like(d)  # type: ignore[no-any-return]
    size = ops.max(s, -1, keepdims=True)
    inverse = safe_reciprocal(s, size)
    left, right = swap(u) @ d, d @ swap(vh)
    both = left @ swap(vh)
    sums = ops.expand_dims(s, -2) + ops.expand_dims(s, -1)
    whole = (u @ ((both - swap(both)) * safe_reciprocal(sums, ops.expand_dims(size, -1)))) @ vh
    beside = by_columns(right - u @ both, inverse) @ vh + by_columns(u, inverse) @ (left - both @ vh)
    return whole + beside if d.shape[-2] != d.shape[-1] else whole  # type: ignore[no-any-return]


define("nuclear", lambda a, of: _singular_values(a, of).sum(-1), _nuclear_gradient)
define("polar", _polar, _polar_gradient)

# ---- Symmetric eigenvalues ----


@operation(1)
def eigh(a: Tensor) -> Any:
    """(w, V) with A = V diag(w) V^T of a symmetric A: (.., n, n), eigenvalues ascending; only A's lower triangle is read.

    Its gradient is symmetric. That of V holds terms 1 / (w_j - w_i); between equal eigenvalues they are left out, as in `svd`. The
    second derivatives of w are made of the gradient of V, and leave out the same: at A = I those of sum(log(w)) are 0 off the
    diagonal. `slogdet` of A, sums of its squares and the like have theirs there.

    >>> import lamina as lm, numpy as np
    >>> lm.linalg.eigh(np.array([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
    array([1., 3.])
    """
    a = square(a, "eigh")
    return Eigh(host("eigh_values", [a], a.shape[:-1]), host("eigh_vectors", [a], a.shape))


def _decompose_eigh(a: Array) -> tuple[Array, Array]:
    check_finite("eigh", a)
    w, v = np.linalg.eigh(a)
    return w, v


def _eigenvalues_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """V diag(dw) V^T"""
    v = eigh(operands(y)[0]).eigenvectors
    return by_columns(v, dy) @ swap(v)


def _eigenvectors_gradient(y: Tensor, dy: Tensor, _: int) -> Tensor:
    """sym(V (F . V^T dV) V^T), F_ij = 1 / (w_j - w_i)"""
    w, v = eigh(operands(y)[0])
    if 0 in w.shape:  # no largest w
        return ops.zeros_like(v)  # type: ignore[no-any-return]
    size = ops.expand_dims(ops.max(ops.abs(w), -1, keepdims=True), -1)
    f = safe_reciprocal(ops.expand_dims(w, -2) - ops.expand_dims(w, -1), size)
    whole: Tensor = v @ (f * (swap(v) @ dy)) @ swap(v)
    return (whole + swap(whole)) * 0.5


define("eigh_values", lambda a: shared(_decompose_eigh, a)[0], _eigenvalues_gradient)
define("eigh_vectors", lambda a: shared(_decompose_eigh, a)[1], _eigenvectors_gradient)
