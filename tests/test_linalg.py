"""lm.linalg: values of NumPy and SciPy, gradients and second derivatives by random projection, identities, errors."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest

import lamina as lm
import reference
from lamina import _core as core
from lamina import linalg as la
from lamina.linalg import host
from lamina.linalg.host import RULES
from projection import check_gradient, check_second

scipy_linalg = pytest.importorskip("scipy.linalg")
rng = np.random.default_rng(11)

TOLERANCE = {"float32": 2e-4, "float64": 1e-10}  # eps times condition numbers of up to some 100 and sizes up to 33


def normal(*shape):
    return rng.normal(size=shape)


def well(*shape):
    """Matrices that invert well: random ones with a heavy diagonal."""
    return normal(*shape) + 3 * np.eye(*shape[-2:])


def spd(*shape):
    a = normal(*shape)
    return a @ np.swapaxes(a, -1, -2) / shape[-1] + np.eye(shape[-1])


def sym(x):
    """A symmetric matrix made from any, as tensors: LAPACK reads one triangle only."""
    return (x + la.transpose(x)) * 0.5


def batched(f, *arrays):
    """f on each matrix of a stack."""
    batch = arrays[0].shape[:-2]
    flat = [a.reshape(-1, *a.shape[-2:]) for a in arrays]
    return np.array([f(*several) for several in zip(*flat, strict=True)]).reshape(*batch, *np.shape(f(*(a[0] for a in flat))))


def scipy_norm(p):
    return lambda a: np.linalg.norm(a, p, axis=(-2, -1))


def solve_t(a, b):
    return np.linalg.solve(np.swapaxes(np.tril(a), -1, -2), b)


V, W = normal(5), normal(5)
SQUARE = lm.placeholder((2, 2), "float64")
SIZES = [1, 2, 8, 33]
VALUES = {  # name -> (ours, the oracle, arguments for a size)
    "add": (la.add, np.add, lambda n: (normal(n, n), normal(n, n))),
    "subtract": (la.subtract, np.subtract, lambda n: (normal(n, n), normal(n, n))),
    "scale": (la.scale, np.multiply, lambda n: (np.array(2.5), normal(n, n))),
    "matmul": (la.matmul, np.matmul, lambda n: (normal(3, n, n), normal(n, 2))),
    "matvec": (la.matvec, lambda a, x: np.einsum("...ij,...j->...i", a, x), lambda n: (normal(2, n, 3), normal(2, 3))),
    "dot": (la.dot, np.dot, lambda n: (normal(n), normal(n))),
    "outer": (la.outer, lambda a, b: a[..., :, None] * b[..., None, :], lambda n: (normal(2, n), normal(2, 3))),
    "kron": (la.kron, np.kron, lambda n: (normal(n, 2), normal(3, n))),
    "kron of vectors": (la.kron, np.kron, lambda n: (normal(n), normal(3))),
    "kron of a vector": (la.kron, np.kron, lambda n: (normal(n), normal(2, 3))),
    "kron by a vector": (la.kron, np.kron, lambda n: (normal(2, n), normal(3))),
    "kron batch": (
        la.kron,
        lambda a, b: np.array([np.kron(x, y) for x, y in zip(a, b, strict=True)]),
        lambda n: (normal(2, n, 2), normal(2, 3, n)),
    ),
    "transpose": (la.transpose, lambda a: np.swapaxes(a, -1, -2), lambda n: (normal(2, n, 3),)),
    "trace": (la.trace, lambda a: np.trace(a, axis1=-2, axis2=-1), lambda n: (normal(2, n, n + 1),)),
    "inv": (la.inv, np.linalg.inv, lambda n: (well(2, n, n),)),
    "pinv": (la.pinv, np.linalg.pinv, lambda n: (normal(2, n, n + 2),)),
    "solve": (la.solve, np.linalg.solve, lambda n: (well(2, n, n), normal(2, n, 3))),
    "solve vector": (la.solve, np.linalg.solve, lambda n: (well(n, n), normal(n))),
    "solve one for many": (la.solve, np.linalg.solve, lambda n: (well(n, n), normal(3, n, 2))),
    "solve_triangular": (
        la.solve_triangular,
        lambda a, b: np.linalg.solve(np.triu(a), b),
        lambda n: (spd(2, n, n), normal(2, n, 2)),
    ),
    "solve_triangular lower": (
        lambda a, b: la.solve_triangular(a, b, lower=True),
        lambda a, b: scipy_linalg.solve_triangular(a, b, lower=True),
        lambda n: (spd(n, n), normal(n)),
    ),
    "solve_triangular transposed": (
        lambda a, b: la.solve_triangular(a, b, lower=True, transposed=True),
        solve_t,
        lambda n: (spd(2, n, n), normal(2, n, 2)),
    ),
    "solve_triangular unit": (
        lambda a, b: la.solve_triangular(a, b, unit_diagonal=True),
        lambda a, b: scipy_linalg.solve_triangular(a, b, unit_diagonal=True),
        lambda n: (spd(n, n) / n, normal(n, 2)),
    ),
    "lstsq tall": (la.lstsq, lambda a, b: np.linalg.lstsq(a, b, None)[0], lambda n: (normal(n + 5, n), normal(n + 5, 2))),
    "lstsq wide": (la.lstsq, lambda a, b: np.linalg.lstsq(a, b, None)[0], lambda n: (normal(n, n + 5), normal(n))),
    "lstsq batch": (
        la.lstsq,
        lambda a, b: batched(lambda x, y: np.linalg.lstsq(x, y, None)[0], a, b),
        lambda n: (normal(2, n + 5, n), normal(2, n + 5, 2)),
    ),
    "lstsq ridge": (
        lambda a, b: la.lstsq(a, b, ridge=0.7),
        lambda a, b: np.linalg.solve(a.T @ a + 0.7 * np.eye(a.shape[1]), a.T @ b),
        lambda n: (normal(4, n), normal(4)),
    ),
    "det": (la.det, np.linalg.det, lambda n: (spd(2, n, n),)),
    "slogdet": (lambda a: la.slogdet(a).logabsdet, lambda a: np.linalg.slogdet(a)[1], lambda n: (well(2, n, n),)),
    "slogdet sign": (lambda a: la.slogdet(a).sign, lambda a: np.linalg.slogdet(a)[0], lambda n: (well(2, n, n),)),
    "cholesky": (la.cholesky, np.linalg.cholesky, lambda n: (spd(2, n, n),)),
    "lu": (lambda a: la.lu(a).L, lambda a: batched(lambda x: scipy_linalg.lu(x)[1], a), lambda n: (normal(2, n, n + 2),)),
    "lu P": (lambda a: la.lu(a).P, lambda a: batched(lambda x: scipy_linalg.lu(x)[0], a), lambda n: (normal(2, n + 2, n),)),
    "lu U": (lambda a: la.lu(a).U, lambda a: batched(lambda x: scipy_linalg.lu(x)[2], a), lambda n: (normal(2, n + 2, n),)),
    "qr": (lambda a: la.qr(a).Q, lambda a: np.linalg.qr(a)[0], lambda n: (normal(2, n + 2, n),)),
    "qr R": (lambda a: la.qr(a).R, lambda a: np.linalg.qr(a)[1], lambda n: (normal(2, n, n + 2),)),
    "svd": (lambda a: la.svd(a).S, lambda a: np.linalg.svd(a)[1], lambda n: (normal(2, n, n + 2),)),
    "singular_values": (la.singular_values, lambda a: np.linalg.svd(a)[1], lambda n: (normal(n, n + 2),)),
    "eigh": (lambda a: la.eigh(a).eigenvalues, np.linalg.eigvalsh, lambda n: (spd(2, n, n),)),
    "expm": (la.expm, scipy_linalg.expm, lambda n: (2 * normal(2, n, n) / np.sqrt(n),)),
    "expm large": (la.expm, scipy_linalg.expm, lambda n: (-5 * spd(n, n),)),
    "matrix_power": (lambda a: la.matrix_power(a, 5), lambda a: np.linalg.matrix_power(a, 5), lambda n: (normal(2, n, n) / n,)),
    "matrix_power negative": (lambda a: la.matrix_power(a, -2), lambda a: np.linalg.matrix_power(a, -2), lambda n: (spd(n, n),)),
    "matrix_power 0": (lambda a: la.matrix_power(a, 0), lambda a: np.linalg.matrix_power(a, 0), lambda n: (normal(2, n, n),)),
    "matrix_rank": (la.matrix_rank, np.linalg.matrix_rank, lambda n: (np.sign(normal(2, n, 1)) @ np.sign(normal(2, 1, n)),)),
    "cond": (la.cond, np.linalg.cond, lambda n: (well(2, n, n),)),
    **{
        f"cond {p}": (lambda a, p=p: la.cond(a, p), lambda a, p=p: np.linalg.cond(a, p), lambda n: (spd(n, n),))
        for p in (-2, 1, np.inf, "fro")
    },
    **{
        f"norm {p}": (lambda a, p=p: la.norm(a, p), scipy_norm(p), lambda n: (normal(2, n, n + 1),))
        for p in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    },
    **{
        f"vector norm {p}": (lambda a, p=p: la.norm(a, p), lambda a, p=p: np.linalg.norm(a, p), lambda n: (normal(n),))
        for p in (None, 0, 1, 2, 3, np.inf, -np.inf)
    },
    "norm axes": (
        lambda a: la.norm(a, 1, (2, 0), True),
        lambda a: np.linalg.norm(a, 1, (2, 0), True),
        lambda n: (normal(n, 2, 3),),
    ),
    "norm axis": (lambda a: la.norm(a, 1, 0), lambda a: np.linalg.norm(a, 1, 0), lambda n: (normal(n, 2),)),
}


def test_all_is_covered():
    """What is public and a function stands in the table of values."""
    names = {name for name in la.__all__ if not inspect.isclass(getattr(la, name))}
    assert names <= {key.split()[0] for key in VALUES}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", VALUES)
def test_value(name, dtype):
    """Arrays at once, and tensors through a program, at sizes around the vector width."""
    ours, oracle, arguments = VALUES[name]
    for n in SIZES:
        arrays = [np.asarray(a).astype(dtype) for a in arguments(n)]
        want = np.asarray(oracle(*(a.astype(np.float64) for a in arrays)))
        got = ours(*arrays)
        assert got.dtype == (np.dtype(dtype) if want.dtype.kind == "f" else want.dtype)
        scale = TOLERANCE[dtype] * (1 + np.abs(want).max())
        np.testing.assert_allclose(got, want, rtol=TOLERANCE[dtype], atol=scale)
        inputs = [lm.placeholder(a.shape, dtype) for a in arrays]
        built = ours(*inputs)
        assert tuple(built.shape) == want.shape
        np.testing.assert_array_equal(lm.function(inputs, built)(*arrays), got)


# ---- identities -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_identities(n, dtype):
    a = well(2, n, n).astype(dtype)
    eps, eye = np.finfo(dtype).eps, np.eye(n)
    bound = 8 * n * np.linalg.cond(a).max() * eps  # backward errors grow with n eps, the condition number carries them over
    np.testing.assert_allclose(a @ la.inv(a), np.broadcast_to(eye, a.shape), atol=bound)
    np.testing.assert_allclose(a @ la.solve(a, a), a, atol=bound * np.abs(a).max())
    close = {"rtol": 0, "atol": 30 * n * eps * np.abs(a).max()}
    p, low, up = la.lu(a)
    np.testing.assert_allclose(p @ low @ up, a, **close)
    q, r = la.qr(a)
    np.testing.assert_allclose(q @ r, a, **close)
    np.testing.assert_allclose(np.swapaxes(q, -1, -2) @ q, np.broadcast_to(eye, a.shape), **close)
    u, s, vh = la.svd(a)
    np.testing.assert_allclose(u * s[..., None, :] @ vh, a, **close)
    symmetric = a + np.swapaxes(a, -1, -2)
    w, v = la.eigh(symmetric)
    np.testing.assert_allclose(v * w[..., None, :] @ np.swapaxes(v, -1, -2), symmetric, rtol=0, atol=2 * close["atol"])
    factor = la.cholesky(spd(n, n).astype(dtype))
    assert np.array_equal(factor, np.tril(factor))


def test_det_of_a_product_and_of_an_exponential(rng):
    a, b = rng.normal(size=(2, 4, 4))
    np.testing.assert_allclose(la.det(a @ b), la.det(a) * la.det(b), rtol=1e-12)
    np.testing.assert_allclose(la.det(la.expm(a)), np.exp(la.trace(a)), rtol=1e-12)
    np.testing.assert_allclose(la.expm(a) @ la.expm(-a), np.eye(4), atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
def test_tall_products(form, dtype, rng, threads):
    """Whether B is packed for all blocks of rows at once or for each: the same bits."""
    m, n, k = 2100, 70, 1100  # more rows than one block has on any number of threads
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    a = np.asfortranarray(a) if form[0] == "t" else a
    b = np.asfortranarray(b) if form[1] == "t" else b
    threads(1)
    whole = la.matmul(a, b)
    np.testing.assert_allclose(whole, a.astype(float) @ b, rtol=0, atol=4 * k * np.finfo(dtype).eps)
    for count in (1, 2):
        threads(count)
        np.testing.assert_array_equal(la.matmul(a, b), whole)
        np.testing.assert_array_equal(la.matmul(a[250:500], b), whole[250:500])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["nn", "nt"])
def test_few_rows(form, dtype, rng, threads):
    """As one tile that reads B once, or as dot products: the same bits however columns are shared out."""
    for m in (1, 2, 3, 5, 7, 8, 9, 12, 16, 17):
        for n, k in [(5, 64), (33, 130), (333, 300), (70, 1100)]:
            a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
            b = np.asfortranarray(b) if form[1] == "t" else b
            threads(1)
            whole = la.matmul(a, b)
            np.testing.assert_allclose(whole, a.astype(float) @ b, rtol=0, atol=4 * k * np.finfo(dtype).eps)
            for count in (2, 3):
                threads(count)
                np.testing.assert_array_equal(la.matmul(a, b), whole)


def test_whole_numbers_become_float64():
    assert la.inv([[2, 0], [0, 4]]).tolist() == [[0.5, 0], [0, 0.25]]
    assert la.det(np.array([[1, 2], [3, 4]])).dtype == np.float64


def test_a_stack_of_free_length():
    a = lm.placeholder((None, 3, 3), "float64")
    f = lm.function([a], [la.inv(a), la.svd(a).S, la.trace(a), la.solve(a, np.eye(3)), lm.grad(lm.sum(la.det(a)), a)])
    for length in (1, 5):
        arrays = well(length, 3, 3)
        inverse, s, trace, solved, cofactors = f(arrays)
        np.testing.assert_allclose(inverse, np.linalg.inv(arrays), rtol=1e-12)
        np.testing.assert_allclose(solved, inverse, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(s, np.linalg.svd(arrays)[1])
        np.testing.assert_allclose(trace, np.trace(arrays, axis1=1, axis2=2))
        np.testing.assert_allclose(cofactors, np.linalg.det(arrays)[:, None, None] * np.swapaxes(inverse, 1, 2), atol=1e-12)


# ---- gradients ------------------------------------------------------------------------------------------------------------------

GRADIENTS = {
    "kron": (la.kron, [normal(2, 3), normal(3, 2)]),
    "outer": (la.outer, [normal(2, 3), normal(2, 4)]),
    "matvec": (la.matvec, [normal(2, 3, 4), normal(2, 4)]),
    "scale": (la.scale, [normal(2), normal(2, 3, 3)]),
    "trace": (la.trace, [normal(2, 3, 4)]),
    "inv": (la.inv, [well(2, 4, 4)]),
    "pinv tall": (la.pinv, [normal(5, 3)]),
    "pinv wide": (la.pinv, [normal(2, 3, 5)]),
    "pinv of lower rank": (lambda a, b: la.pinv(a @ b), [normal(5, 2), normal(2, 4)]),
    "solve": (la.solve, [well(2, 4, 4), normal(2, 4, 3)]),
    "solve vector": (la.solve, [well(4, 4), normal(4)]),
    "solve one for many": (la.solve, [well(4, 4), normal(3, 4, 2)]),
    "solve_triangular": (la.solve_triangular, [well(2, 4, 4), normal(2, 4, 3)]),
    "solve_triangular lower": (lambda a, b: la.solve_triangular(a, b, lower=True), [well(4, 4), normal(4, 3)]),
    "solve_triangular transposed": (lambda a, b: la.solve_triangular(a, b, transposed=True), [well(4, 4), normal(4, 3)]),
    "solve_triangular unit": (
        lambda a, b: la.solve_triangular(a, b, lower=True, transposed=True, unit_diagonal=True),
        [well(4, 4), normal(4)],
    ),
    "lstsq tall": (la.lstsq, [normal(6, 3), normal(6, 2)]),
    "lstsq wide": (la.lstsq, [normal(3, 6), normal(3)]),
    "lstsq batch": (la.lstsq, [normal(2, 6, 3), normal(2, 6, 1)]),
    "lstsq of lower rank": (lambda a, b, c: la.lstsq(a @ b, c), [normal(5, 2), normal(2, 4), normal(5)]),
    "lstsq ridge": (lambda a, b: la.lstsq(a, b, ridge=0.3), [normal(3, 4), normal(3, 2)]),
    "det": (la.det, [well(2, 3, 3)]),
    "slogdet": (lambda a: la.slogdet(a).logabsdet, [well(2, 3, 3)]),
    "cholesky": (lambda a: la.cholesky(a @ la.transpose(a) + np.eye(4)), [normal(2, 4, 4)]),
    "lu": (lambda a: la.lu(a)[1:], [normal(2, 4, 4)]),
    "lu tall": (lambda a: la.lu(a)[1:], [normal(6, 4)]),
    "lu wide": (lambda a: la.lu(a)[1:], [normal(4, 6)]),
    "qr": (la.qr, [normal(2, 4, 4)]),
    "qr tall": (la.qr, [normal(6, 4)]),
    "qr wide": (la.qr, [normal(3, 5)]),
    "qr Q wide": (lambda a: la.qr(a).Q, [normal(3, 5)]),
    "qr R": (lambda a: la.qr(a).R, [normal(5, 3)]),
    "svd": (la.svd, [normal(2, 4, 4)]),
    "svd tall": (la.svd, [normal(6, 4)]),
    "svd wide": (la.svd, [normal(3, 6)]),
    "svd S": (lambda a: la.svd(a).S, [normal(6, 4)]),
    "singular_values": (la.singular_values, [normal(2, 3, 4)]),
    "eigh": (lambda a: la.eigh(sym(a)), [normal(2, 4, 4)]),
    "expm": (la.expm, [normal(2, 3, 3)]),
    "matrix_power": (lambda a: la.matrix_power(a, 3), [normal(3, 3)]),
    "matrix_power negative": (lambda a: la.matrix_power(a, -3), [well(3, 3)]),
    "cond": (la.cond, [normal(4, 4)]),
    "cond 1": (lambda a: la.cond(a, 1), [normal(4, 4)]),
    **{f"norm {p}": (lambda a, p=p: la.norm(a, p), [normal(3, 4)]) for p in (None, "nuc", 1, 2, -2, np.inf)},
    **{f"vector norm {p}": (lambda a, p=p: la.norm(a, p), [normal(5)]) for p in (None, 1, 3, np.inf)},
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    check_gradient(*GRADIENTS[name], tolerance=1e-7)  # gaps between singular values of .1 magnify the stencil's error


@pytest.mark.parametrize("name", GRADIENTS)
def test_second_derivative(name):
    build, points = GRADIENTS[name]

    def squared(*xs):
        y = build(*xs)
        return [part**2 for part in y] if isinstance(y, (list, tuple)) else y**2

    check_second(squared, points, tolerance=1e-6)  # as above, squared gaps


def test_the_gradient_of_det_exists_at_a_singular_matrix():
    a = lm.placeholder((3, 3), "float64")
    m = np.array([[1.0, 2, 3], [4, 5, 6], [5, 7, 9]])
    got = lm.function([a], lm.grad(la.det(a), a))(m)
    minors = [[(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(m, i, 0), j, 1)) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(got, minors, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "n", "size"),
    [("float32", 80, 10.0), ("float32", 121, 30.0), ("float64", 121, 1e6), *((t, 3, 2.0) for t in ("float32", "float64"))],
)
def test_the_gradient_of_det_is_det_times_the_inverse_whatever_the_parts_of_the_product_are(dtype, n, size):
    """Half of the singular values are large and half small: the product of the large ones alone is beyond the type."""
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(n, n)))[0]
    values = np.where(np.arange(n) < n // 2, size, 1 / size)
    a, x = (q * values) @ q.T, lm.placeholder((n, n), dtype)
    found = lm.function(x, lm.grad(lm.linalg.det(x), x))(a.astype(dtype))
    sign, logarithm = np.linalg.slogdet(a)
    want = sign * np.exp(logarithm) * ((q / values) @ q.T)
    np.testing.assert_allclose(found, want, rtol=0, atol=4 * np.finfo(dtype).eps * size**2 * n * np.abs(want).max())


def test_equal_values_leave_out_what_is_not_determined():
    """A = I: all singular values are equal; of what does not depend on the basis the gradient is right, and nothing is nan."""
    a = lm.placeholder((3, 3), "float64")
    u, s, vh = la.svd(a)
    w, v = la.eigh(a)
    rebuilt, spectral = (u * s) @ vh, (v * w) @ v.T
    weights = normal(3, 3)
    for y in (rebuilt, spectral):
        got = lm.function([a], lm.grad(lm.sum(y * weights), a))(np.eye(3))
        assert np.isfinite(got).all()
    np.testing.assert_allclose(lm.function([a], lm.grad(lm.sum(s), a))(np.eye(3)), np.eye(3), atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5)])
@pytest.mark.parametrize("values", [[1, 1, 1], [2, 1, 1], [2, 1 + 1e-9, 1]])
def test_the_nuclear_norm_has_second_derivatives_where_singular_values_are_equal(shape, values):
    q, r = (np.linalg.qr(normal(n, 3))[0] for n in shape)
    at, v, h, a = (q * values) @ r.T, normal(*shape), 1e-5, lm.placeholder(shape, "float64")
    y = la.norm(a, "nuc")
    slope, curve = lm.function(a, lm.grad(y, a)), lm.function(a, lm.hessian_vector_product(y, a, v))
    np.testing.assert_allclose(curve(at), (slope(at + h * v) - slope(at - h * v)) / (2 * h), atol=1e-7)


def test_gradients_in_f32():
    a = lm.placeholder((4, 4), "float32")
    for build in (la.inv, la.det, la.expm, lambda x: la.qr(x).R, la.pinv):
        point = well(4, 4)
        gradient = lm.grad(lm.sum(build(a)), a)
        assert gradient.dtype == "float32"
        wide = lm.placeholder((4, 4), "float64")
        want = lm.function([wide], lm.grad(lm.sum(build(wide)), wide))(point)
        np.testing.assert_allclose(lm.function([a], gradient)(point), want, rtol=1e-3, atol=1e-4 * (1 + np.abs(want).max()))


def test_an_inverse_within_a_loss_trains():
    """A matrix is learned whose inverse is given."""
    target = np.array([[1.5, 0.2, 0], [0.1, 1.2, -0.3], [0, 0.4, 0.8]])
    w = lm.Parameter(np.eye(3), dtype="float64")
    loss = lm.sum((la.inv(w) - target) ** 2)
    step = lm.function([], loss, {w: w - 0.002 * lm.grad(loss, w)})
    losses = [float(step()) for _ in range(400)]
    assert losses[-1] < 0.05 * losses[0]


# ---- errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: la.inv(np.ones((2, 2))), ["[inv] the matrix is singular", "condition number", "pinv"]),
        (lambda: la.inv(np.stack([np.eye(2), np.ones((2, 2)), np.eye(2)])), ["[inv] matrix 1 of the batch", "add a ridge"]),
        (lambda: la.inv(scipy_linalg.hilbert(14)), ["singular to working precision", "4.5e+15"]),
        (lambda: la.solve(scipy_linalg.hilbert(14), np.ones(14)), ["[solve]", "condition number"]),
        (lambda: la.solve(np.zeros((2, 2, 3, 3)), np.ones(3)), ["matrix (0, 0) of the batch", "condition number inf"]),
        (lambda: la.solve_triangular(np.diag([1.0, 0.0]), np.ones(2)), ["[solve_triangular]", "diagonal"]),
        (
            lambda: la.cholesky(np.stack([np.eye(2), -np.eye(2)])),
            ["matrix 1 of the batch", "smallest eigenvalue -1", "greater than 1"],
        ),
        (lambda: la.inv(np.stack([np.eye(2), np.full((2, 2), np.nan)])), ["[inv]", "finite", "matrix 1 of the batch"]),
        (lambda: la.lstsq(np.full((2, 2), np.nan), np.ones(2)), ["[lstsq]", "finite"]),
        (lambda: la.cond(np.zeros((2, 2)), 1), ["[cond]", "condition number", "take p None"]),
        *(
            (lambda y=y: lm.function([SQUARE], y)(np.ones((2, 2))), [f"[{name}] the matrix is singular", "A^-"])
            for name, y in (
                ("det", lm.hessian_vector_product(la.det(SQUARE), SQUARE, np.eye(2))),
                ("slogdet", lm.grad(la.slogdet(SQUARE).logabsdet, SQUARE)),
            )
        ),
        (lambda: la.matrix_power(np.ones((2, 2)), -1), ["[matrix_power] the matrix is singular", "condition number"]),
        (lambda: la.norm(np.full((2, 2), np.nan), "nuc"), ["[norm] expected finite numbers"]),
        (lambda: la.norm(np.full((2, 2), np.nan), 2), ["[norm] expected finite numbers"]),
        *(
            (lambda f=f: getattr(la, f)(np.full((2, 2), np.nan)), [f"[{f}] expected finite numbers"])
            for f in ("matrix_rank", "singular_values", "cond", "pinv", "svd")
        ),
        (lambda: la.inv(np.stack([np.eye(2), np.eye(2) * 1e-320])), ["[inv] the inverse of matrix 1 of the batch overflows"]),
        (lambda: la.inv(np.eye(2, dtype="f") * 1e-42), ["[inv] the inverse of the matrix overflows", "the largest float32"]),
        (lambda: la.solve(np.eye(2) * 1e-320, np.ones(2)), ["[solve] the inverse of the matrix overflows", "1.8e+308"]),
        (lambda: la.pinv(np.eye(2) * 1e-320), ["[pinv] the pseudo-inverse of the matrix overflows"]),
        (lambda: la.expm(np.array([[1000.0]])), ["[expm] the exponential of the matrix overflows", "1.8e+308"]),
        (lambda: la.expm(np.array([[100.0]], "f")), ["[expm] the exponential of the matrix overflows", "3.4e+38"]),
        (lambda: la.expm(np.diag([1e200, 1e-200])), ["[expm] the exponential of the matrix overflows"]),
    ],
)
def test_matrices_without_an_answer(call, words):
    with pytest.raises(la.LinAlgError) as error:
        call()
    assert isinstance(error.value, np.linalg.LinAlgError)
    for word in words:
        assert word in str(error.value)


def equal_rows(a, i, j):
    a[j] = np.nextafter(a[i], a[i] + rng.choice([-1, 0, 1], len(a)).astype(a.dtype))
    return a


def equal_columns(a, i, j):
    return equal_rows(a, i, j).T


def one_feature_twice(a, i, j):
    x = np.concatenate([a, a[::-1] ** 2, a**3])
    x[:, j] = 3 * x[:, i] / 3
    return x.T @ x


@pytest.mark.parametrize(("name", "rows", "options"), [("solve", 3, {}), ("lstsq", 5, {}), ("lstsq", 5, {"ridge": 0.5})])
def test_as_many_right_sides_as_a_batch_has(name, rows, options):
    """A x = X^T: the columns are the samples, and a network of it trains."""
    f, a, weights = getattr(la, name), well(rows, 3), normal(3, 1)
    x = lm.placeholder((None, rows), dtype="float64")
    matrix = lm.Parameter(a, dtype="float64")
    y = f(matrix, x.T, **options)
    given = normal(7, rows)
    values, slope = lm.function([x], [y, lm.grad(lm.sum(y * weights), matrix)])(given)
    assert np.allclose(values, f(a, given.T, **options), rtol=1e-12)
    direction = normal(rows, 3)
    ahead, behind = (np.sum(f(a + h * direction, given.T, **options) * weights) for h in (1e-6, -1e-6))
    assert np.isclose(np.sum(slope * direction), (ahead - behind) / 2e-6, rtol=1e-6)
    net = lm.Model(x, y.T, dtype=None).compile("mse", "sgd")
    for n in (0, 1, 4):
        assert net.predict(normal(n, rows)).shape == (n, 3)
    first = net.train_step(given, np.ones((7, 3)))
    assert net.train_step(given, np.ones((7, 3))) < first and f"{name}(" in net.explain(given, np.ones((7, 3)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [2, 3, 6, 20])
@pytest.mark.parametrize("make", [equal_rows, equal_columns, one_feature_twice])
def test_solve_sees_what_is_singular_up_to_rounding(make, n, dtype):
    """Every pair of rows: a null vector e_i - e_j must not be one of the probes' as well."""
    seen = 0
    for i in range(n):
        for j in range(i):
            a = np.ascontiguousarray(make(normal(n, n).astype(dtype), i, j))
            if np.linalg.cond(a) > 1 / np.finfo(dtype).eps:
                seen += 1
                with pytest.raises(la.LinAlgError, match=r"\[solve\] the matrix is singular"):
                    la.solve(a, np.ones(n, dtype))
    assert seen or n < 6


def dependent(m, k):
    """The last column is the first one up to rounding."""
    a = normal(m, k)
    a[:, -1] = 3 * a[:, 0] / 3
    return a


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda x: la.qr(x).Q, r"\[qr\] factor R 1 of the batch is singular.*independent columns"),
        (lambda x: la.qr(x).R, r"\[qr\] factor R 1 of the batch is singular.*independent columns"),
        (lambda x: la.lu(x).L, r"\[lu\] factor U 1 of the batch is singular.*can be inverted"),
        (lambda x: la.lu(x).U, r"\[lu\] factor U 1 of the batch is singular.*can be inverted"),
    ],
)
def test_gradients_of_factors_refuse_dependent_columns(make, word, dtype):
    """Exactly equal ones, and equal up to rounding; in square, tall and wide matrices, and in the second derivative."""
    for m, n in ((2, 2), (4, 4), (50, 6), (4, 6), (1000, 5)) if "R" in word else ((2, 2), (4, 4), (50, 6), (4, 6)):
        k = min(m, n)
        x = lm.placeholder((2, m, n), dtype)
        first = lm.grad(lm.sum(make(x) ** 2), x)
        for f in (lm.function([x], first), lm.function([x], lm.grad(lm.sum(first**2), x))):
            for bad in (np.ones((m, k)), dependent(m, k)):
                a = np.stack([normal(m, n), normal(m, n)]).astype(dtype)
                a[1, :, :k] = bad
                with pytest.raises(la.LinAlgError, match=word):
                    f(a)
                assert np.isfinite(make(a)).all()


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_gradients_of_factors_exist_for_ill_conditioned_columns(name):
    """A float32 matrix of 100 columns with the condition number 2e5, of 8e6 that float32 tells from a singular one."""
    u, _, vh = np.linalg.svd(normal(100, 100))
    a = (u * np.geomspace(1, 5e-6, 100)) @ vh
    x = lm.placeholder(a.shape, "float32")
    assert np.isfinite(lm.function([x], lm.grad(lm.sum(getattr(la, name)(x)[-1] ** 2), x))(a)).all()


UNARY = ("inv", "pinv", "det", "slogdet", "cholesky", "lu", "qr", "svd", "singular_values", "eigh", "expm", "matrix_rank", "cond")


@pytest.mark.parametrize("name", [*UNARY, "solve", "solve_triangular", "lstsq"])
def test_nan_and_infinity_are_refused(name):
    f = getattr(la, name)
    for bad in (np.nan, np.inf):
        a = np.array([[2.0, 0.0], [0.0, bad]])
        with pytest.raises(la.LinAlgError, match="expected finite numbers, the matrix holds NaN or infinity"):
            f(a) if name in UNARY else f(a, np.ones(2))
        with pytest.raises(la.LinAlgError, match="expected finite numbers"):
            la.solve_triangular([[2.0, bad], [0.0, 1.0]], np.ones((2, 0)))


@pytest.mark.parametrize("name", [*UNARY, "trace", "transpose", "norm"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3, 3), (1, 1), (2, 1, 1)])
def test_the_smallest_matrices(name, shape):
    """Without elements, in a stack of none, of one element: what NumPy has, or a shape that follows from the definition."""
    oracle = {"transpose": lambda a: np.swapaxes(a, -1, -2), "lu": None, "expm": np.exp, "eigh": np.linalg.eigh}
    oracle |= {"trace": lambda a: np.trace(a, axis1=-2, axis2=-1), "norm": lambda a: np.linalg.norm(a, axis=(-2, -1))}
    oracle |= {"singular_values": lambda a: np.linalg.svd(a, compute_uv=False)}
    a = np.full(shape, 2.0) if shape[-1] == 1 else np.zeros(shape)
    if name == "cond" and shape == (0, 0):
        with pytest.raises(ValueError, match="expected a matrix with elements"):
            la.cond(a)
        return
    got = getattr(la, name)(a)
    if name == "lu":
        np.testing.assert_array_equal(got.P @ got.L @ got.U, a)
        return
    if name == "matrix_rank" and shape == (0, 0):
        assert got == 0
        return
    want = oracle[name](a) if name in oracle else getattr(np.linalg, name)(a)
    several = name in ("slogdet", "qr", "svd", "eigh")
    for one, other in zip(got if several else [got], want if several else [want], strict=True):
        np.testing.assert_allclose(np.abs(one), np.abs(other))
        assert one.shape == other.shape


def test_systems_of_no_equations():
    none, empty = np.zeros((0, 0)), np.zeros((0, 3, 3))
    for f in (la.solve, la.solve_triangular, la.lstsq):
        assert f(none, np.zeros(0)).shape == (0,)
        assert f(empty, np.zeros((0, 3, 2))).shape == (0, 3, 2)
    assert la.lstsq(np.zeros((2, 0, 0)), np.zeros((2, 0, 3))).shape == (2, 0, 3)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3), (3, 0), (0, 2, 2)])
@pytest.mark.parametrize("name", ["svd", "eigh", "qr", "lu"])
def test_gradients_of_factors_without_elements(name, shape):
    if name == "eigh" and shape[-1] != shape[-2]:
        return
    x = lm.placeholder(shape, "float64")
    for factor in getattr(la, name)(x)[name == "lu" :]:
        got = lm.function([x], lm.grad(lm.sum(factor**2), x))(np.zeros(shape))
        assert got.shape == shape
    twice = lm.grad(lm.sum(lm.grad(lm.sum(la.norm(x, "nuc")), x) ** 2), x)
    assert lm.function([x], twice)(np.zeros(shape)).shape == shape


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("p", [None, "fro", "nuc", 1, 2, np.inf])
def test_the_norm_of_nothing_is_0(p, shape):
    np.testing.assert_array_equal(la.norm(np.zeros(shape), p), np.zeros(shape[:-2]))
    if p not in ("fro", "nuc"):
        np.testing.assert_array_equal(la.norm(np.zeros(shape), p, 0), np.zeros(shape[1:]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_condition_number_of_zeros_is_infinite(dtype):
    a = np.stack([np.zeros((2, 2)), np.diag([4.0, 2.0]), np.diag([1.0, 0.0])]).astype(dtype)
    assert la.cond(a).tolist() == [np.inf, 2, np.inf]
    assert la.cond(a, -2).tolist() == [0, 0.5, 0]
    assert la.cond(a[0]) == np.inf
    assert la.cond(a).dtype == dtype


def test_a_program_passes_the_error_on_and_can_be_run_again():
    a = lm.placeholder((2, 2))
    f = lm.function([a], la.inv(a))
    with pytest.raises(la.LinAlgError, match="float32"):
        f(np.ones((2, 2)))
    np.testing.assert_array_equal(f(2 * np.eye(2)), 0.5 * np.eye(2))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: la.inv(np.ones((2, 3))), ValueError, "expected a square matrix"),
        (lambda: la.inv(np.ones(3)), ValueError, "expected a matrix"),
        (lambda: la.solve(np.eye(3), np.ones(2)), ValueError, r"\[solve\] expected b with 3 rows .*, got shape \(2,\); give"),
        (lambda: la.solve(np.zeros((2, 3, 3)), np.ones((4, 3, 1))), ValueError, "leading axes"),
        *(
            (lambda f=f, a=a, b=b: f(np.ones(a), np.ones(b)), ValueError, rf"\[{f.__name__}\] .* leading axes, or 1, got 2 and 4")
            for f, a, b in ((la.outer, (2, 3), (4, 3)), (la.kron, (2, 3, 3), (4, 1, 1)), (la.matvec, (2, 3, 3), (4, 3)))
        ),
        (lambda: la.norm(np.eye(2), 3), ValueError, "expected 'fro'"),
        (lambda: la.norm(np.ones(2), "fro"), ValueError, "expected a number"),
        (lambda: la.matrix_power(np.eye(2), 0.5), TypeError, "whole number"),
        *(
            (lambda bad=bad: la.lstsq(np.eye(2), np.ones(2), ridge=bad), error, r"\[lstsq\] expected ridge to be .*; pass")
            for bad, error in ((-1, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("a", TypeError), ([1, 2], TypeError))
        ),
        *(
            (lambda f=f, bad=bad: getattr(la, f)(np.eye(2), rcond=bad), error, rf"\[{f}\] expected rcond to be .*; pass")
            for f in ("pinv", "matrix_rank")
            for bad, error in ((-1, ValueError), (np.nan, ValueError), ("x", TypeError), ([1], TypeError))
        ),
        (lambda: la.lstsq(np.eye(2), np.ones(2), rcond="x"), TypeError, r"\[lstsq\] expected rcond to be .*; pass"),
        *(
            (lambda p=p: la.norm(np.eye(2), p), error, r"\[norm\] expected .* as the order of a norm, got .*; pass")
            for p, error in (([1], TypeError), (True, TypeError), (np.ones(2), TypeError), (np.nan, ValueError))
        ),
        (lambda: la.cond(np.eye(2), [1]), TypeError, r"\[cond\] expected .* as the order of a norm"),
        (lambda: la.cond(np.eye(2), 3), ValueError, r"\[cond\] expected 'fro'"),
        (
            lambda: la.inv([[1, 2], [3]]),
            ValueError,
            r"\[inv\] expected an array, or lists of equal lengths, got \[\[1, 2\], \[3\]\]; pad",
        ),
        (
            lambda: la.trace(lm.placeholder((None, 3))),
            ValueError,
            r"\[trace\] expected a matrix .* of known size, got .*; only leading",
        ),
        (lambda: la.scale(np.ones(2), np.ones((3, 3))), ValueError, r"\[scale\] expected .* shape \(3, 3\), got shape \(2,\); to"),
        (lambda: la.scale(np.ones((2, 3)), np.ones(3)), ValueError, r"\[scale\] expected .* shape \(3,\), got shape \(2, 3\); to"),
        (lambda: la.trace(["a"]), TypeError, "expected numbers"),
        (lambda: la.trace(np.ones(3)), ValueError, r"\[trace\] expected a matrix"),
        (lambda: la.outer(np.float64(3), np.ones(2)), ValueError, r"\[outer\] expected a vector"),
        (lambda: la.norm(np.float64(3)), ValueError, r"\[norm\] expected a vector"),
        (lambda: la.matvec(np.ones((2, 3)), np.ones(2)), ValueError, "expected a vector of 3 for a matrix of shape"),
        *(
            (lambda f=f: getattr(la, f)(np.ones((2, 3))), ValueError, rf"\[{f}\] expected a square")
            for f in ("det", "eigh", "expm")
        ),
    ],
)
def test_wrong_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


# ---- the table of host operations -----------------------------------------------------------------------------------------------


def test_every_host_operation_has_an_oracle():
    assert set(RULES) == set(reference.HOST), f"tests/reference.py: HOST lacks {sorted(set(RULES) - set(reference.HOST))}"


@pytest.mark.parametrize(
    "build",
    [
        lambda x: la.inv(x) @ la.pinv(x) + la.expm(x * 0.1),
        lambda x: la.solve(x, x @ x) + la.solve_triangular(x, x, lower=True, unit_diagonal=True) + la.lstsq(x, x, ridge=0.1),
        lambda x: la.det(x) * la.slogdet(x).logabsdet * la.slogdet(x).sign + la.norm(x, "nuc"),
        lambda x: la.cholesky(x @ x.T) + la.qr(x).Q @ la.qr(x).R + la.lu(x).P @ la.lu(x).L @ la.lu(x).U,
        lambda x: (la.svd(x).U * la.svd(x).S) @ la.svd(x).Vh + la.eigh(x + x.T).eigenvectors * la.eigh(x + x.T).eigenvalues,
    ],
)
def test_programs_agree_with_the_evaluator(build):
    x = lm.placeholder((4, 4), "float64", name="x")
    y = build(x)
    point = well(4, 4)
    for tensor in (y, lm.grad(lm.sum(y), x)):
        np.testing.assert_allclose(
            lm.function([x], tensor)(point), reference.evaluate_tensor(tensor, {"x": point}), rtol=1e-9, atol=1e-10
        )


@pytest.mark.parametrize("axis", [(), (0, 0), (0, 1, 1)])
def test_a_norm_takes_one_axis_or_two(axis):
    with pytest.raises(ValueError, match=r"\[norm\] expected (one axis or two|each axis once), got"):
        la.norm(np.eye(3), None, axis)


@pytest.mark.parametrize("p", [0.5, 3, 10, -1, -10])
@pytest.mark.parametrize(("dtype", "c"), [("float32", 1e-5), ("float32", 1e5), ("float64", 1e-150), ("float64", 1e150)])
def test_a_norm_of_any_order_is_as_large_as_its_vector(p, dtype, c):
    """Whatever its numbers' powers are; of equal numbers x it is n^(1/p) |x|, each of which has n^(1/p - 1) of the slope."""
    x = lm.placeholder((2, 4), dtype)
    at = np.outer([c, -3 * c], np.ones(4)).astype(dtype)
    y = la.norm(x, p, -1)
    norm, slope = lm.function(x, [y, lm.grad(lm.sum(y), x)])(at)
    np.testing.assert_allclose(norm, 4 ** (1 / p) * np.abs(at[:, 0]), rtol=TOLERANCE[dtype])
    np.testing.assert_allclose(slope, 4 ** (1 / p - 1) * np.sign(at), rtol=TOLERANCE[dtype])
    assert la.norm([0.0, 0.0], p) == 0
    assert la.norm([1.0, np.inf], p) == (np.inf if p > 0 else 1)
    assert np.isnan(la.norm([1.0, np.nan], p))


@pytest.mark.parametrize("p", [-1, -2, -np.inf])
def test_there_is_no_smallest_of_nothing(p):
    with pytest.raises(ValueError, match=r"\[norm\] expected something of which one is the smallest"):
        la.norm(np.zeros((0, 0)), p)


@pytest.mark.parametrize("axis", [2, 5, -3, (0, 2), 1.5])
def test_a_norm_refuses_axes_that_are_not_there(axis):
    with pytest.raises(ValueError, match=r"\[norm\] expected an axis from -2 to 1"):
        lm.linalg.norm(np.eye(3), None, axis)


def test_expm_refuses_what_has_no_norm():
    with pytest.raises(lm.linalg.LinAlgError, match=r"\[expm\] expected columns whose sums"):
        lm.linalg.expm(np.full((2, 2), 1e308))


@pytest.mark.parametrize(
    "a", [np.diag([1.0, 1e-20]), np.diag([1e-200, 1e200]), np.diag([1.0, 1e-20]).astype("f4"), np.array([[1.0, 1e20], [0.0, 1.0]])]
)
def test_a_matrix_in_odd_units_has_its_inverse(a):
    np.testing.assert_array_equal(la.inv(a), np.linalg.inv(a))
    b = np.array([3, 2], a.dtype)
    np.testing.assert_allclose(la.solve(a, b), np.linalg.inv(a) @ b, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_and_columns_in_odd_units_change_no_digit_and_hide_no_singular_matrix(dtype):
    """R A C with powers of two from 2^-60 to 2^60 in R and C, alone and in a stack."""
    a, eps = well(2, 9, 9).astype(dtype), np.finfo(dtype).eps
    r, c = (np.ldexp(np.ones(9, dtype), np.linspace(low, -low, 9).astype(int)) for low in (60, -30))
    odd = r[:, None] * a * c
    assert (np.linalg.cond(odd) > 1 / eps).all()
    for one, of in [(odd, a), (odd[0], a[0])]:
        for x in (la.inv(one), la.solve(one, np.eye(9, dtype=dtype))):
            np.testing.assert_allclose(x * c[:, None] * r, np.linalg.inv(of), atol=100 * eps)  # condition numbers of some 10
    a[1, 0] = a[1, 8]
    for f in (la.inv, lambda m: la.solve(m, np.ones(9, dtype))):
        with pytest.raises(la.LinAlgError, match="singular to working precision"):
            f(r[:, None] * a * c)


@pytest.mark.parametrize("low", [-60, -40])
def test_a_right_side_that_vanishes_in_other_units_gives_no_zero(low):
    """x[1] = -b[0], which beside the rows' 2^100 is less than the smallest number, or is one."""
    a, b = np.array([[2.0**100, 1], [2.0**100, 2]], "float32"), np.array([2.0**low, 0], "float32")
    if low == -60:
        with pytest.raises(la.LinAlgError, match="singular to working precision"):
            la.solve(a, b)
    else:
        np.testing.assert_allclose(la.solve(a, b)[1], -b[0], rtol=1e-6)


@pytest.mark.parametrize("values", [(1e-310, 1e200), (1e-310, 1.0)], ids=str)
def test_what_has_no_inverse_in_floats_is_an_error_without_warnings(values):
    a = np.diag(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (lm.linalg.inv, lambda a: lm.linalg.solve(a, np.ones(2))):
            with pytest.raises(lm.linalg.LinAlgError, match="singular to working precision"):
                f(a)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*UNARY, "solve", "solve_triangular", "lstsq", "matrix_power"])
def test_what_overflows_does_so_without_warnings(name, dtype):
    """Infinity in the result says it itself; of what would be nan there is a LinAlgError. Gradients, too."""
    f = getattr(la, name)
    most, least = float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)
    more = {"matrix_power": (9,)}.get(name, () if name in UNARY else (np.array([most / 2, 1], dtype),))
    x = lm.placeholder((2, 2), dtype)
    y = f(x, *more)
    y = y[-1] if isinstance(y, tuple) else y
    programs = [lm.function([x], y)] if name == "matrix_rank" else [lm.function([x], t) for t in (y, lm.grad(lm.sum(y), x))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for a in (
            np.diag([most / 2, most / 4]) + most / 8,
            np.diag([least] * 2),
            np.diag([most**0.6, most**-0.6]),
            800 * np.eye(2),
        ):
            for program in programs:
                try:
                    program(a)
                except la.LinAlgError:
                    continue


# ---- what the core computes itself -----------------------------------------------------------------------------------------------

OWN = {  # LAPACK's again from 65 rows on: all but expm and solve_triangular, and Cholesky's factor up to 512
    "inv": (la.inv, np.linalg.inv),
    "solve": (lambda a: la.solve(a, a[..., :3]), lambda a: np.linalg.solve(a, a[..., :3])),
    "det": (la.det, np.linalg.det),
    "slogdet": (lambda a: la.slogdet(a).logabsdet, lambda a: np.linalg.slogdet(a)[1]),
    "sign": (lambda a: la.slogdet(a).sign, lambda a: np.linalg.slogdet(a)[0]),
    "cholesky": (la.cholesky, np.linalg.cholesky),
    "solve_triangular": (lambda a: la.solve_triangular(a, a), lambda a: np.linalg.solve(np.triu(a), a)),
    "expm": (lambda a: la.expm(-a), lambda a: scipy_linalg.expm(-a)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OWN)
def test_the_cores_own_results(name, dtype):
    """Around its vectors and its limits; a matrix has the bits that it has in a stack, on any number of threads."""
    (ours, oracle), symmetric = OWN[name], name in ("cholesky", "solve_triangular")
    for n in (1, 2, 3, 4, 7, 9, 16, 31, 63, 64, 65):
        a = (spd(40, n, n) if symmetric else well(40, n, n) / 3).astype(dtype)
        if not symmetric:
            a[::3] = a[::3, ::-1].copy()  # rows are exchanged
        want, got = oracle(a.astype(np.float64)), ours(a)
        assert got.dtype == dtype
        size = np.abs(want).max(axis=tuple(range(1, want.ndim)), keepdims=True)
        most = 20 * np.finfo(dtype).eps * np.linalg.cond(a.astype(np.float64)).reshape(-1, *(1,) * (want.ndim - 1))
        assert (np.abs(got - want) <= most * np.maximum(size, name == "slogdet")).all(), (name, n)
        np.testing.assert_array_equal(got[7], ours(a[7]))
        threads = lm.get_num_threads()
        lm.set_num_threads(2 if threads == 1 else 1)
        try:
            np.testing.assert_array_equal(ours(a), got)
        finally:
            lm.set_num_threads(threads)


@pytest.mark.parametrize("n", [4, 33])
def test_a_matrix_has_the_bits_that_it_has_beside_others_for_which_lapack_is_asked(n):
    a, b, units = well(n, n), normal(n, 2), np.geomspace(1e-200, 1e200, n)[:, None]
    near = np.linalg.qr(normal(n, n))[0] * np.geomspace(1, 1e-15, n) @ np.linalg.qr(normal(n, n))[0]
    for other in (near, well(n, n) * units, well(n, n) * units**0.3):
        stack = np.array([a, other])
        np.testing.assert_array_equal(la.solve(stack, b)[0], la.solve(a, b))
        for f in (la.inv, la.det):
            np.testing.assert_array_equal(f(stack)[0], f(a))
    spoiled = np.array([b, np.where(np.eye(n, 2) == 1, np.nan, 0)])
    np.testing.assert_array_equal(la.solve(a, spoiled)[0], la.solve(a, b))


def test_small_systems_do_not_ask_python(monkeypatch):
    for name in ("inv", "solve", "det", "slogdet", "cholesky", "solve_triangular", "expm"):
        monkeypatch.setitem(RULES, name, RULES[name]._replace(compute=None))
    a = spd(2, 64, 64)
    for ours, oracle in OWN.values():
        np.testing.assert_allclose(ours(a), oracle(a), rtol=1e-9, atol=1e-10)
    for ours in (la.inv, la.det):
        with pytest.raises(TypeError):
            ours(spd(65, 65))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 1), (1, 5), (63, 70), (64, 65), (65, 64), (65, 65), (200, 130), (130, 200), (2, 129, 129)], ids=str
)
def test_lu_in_panels(shape, dtype):
    a, tolerance = normal(*shape).astype(dtype), shape[-1] * np.finfo(dtype).eps
    p, lower, upper = la.lu(a)
    np.testing.assert_allclose(p @ lower @ upper, a, atol=20 * tolerance)
    assert (p.sum(-1) == 1).all() and (p.sum(-2) == 1).all()
    assert (np.abs(lower) <= 1).all() and (np.triu(lower, 1) == 0).all() and (np.tril(upper, -1) == 0).all()
    assert (np.diagonal(lower, axis1=-2, axis2=-1) == 1).all()


MALFORMED = {  # shapes of inputs, of the result, its type
    "inv": [
        [(), (2, 2), "float64"],
        [((2, 2),), (3, 3), "float64"],
        [((2, 3),), (2, 3), "float64"],
        [((2, 2),), (2, 2), "float32"],
    ],
    "solve": [
        [((2, 2),), (2, 1), "float64"],
        [((2, 2), (3, 1)), (3, 1), "float64"],
        [((5, 2, 2), (2, 2, 1)), (2, 2, 1), "float64"],
    ],
    "det": [[((2, 2),), (1,), "float64"], [((4, 2, 2),), (9,), "float64"], [((2,),), (), "float64"]],
    "slogdet": [[((2, 2),), (3,), "float64"], [((2, 2),), (), "float64"]],
    "lu": [[((2, 3),), (3, 2), "float64"]],
    "lu_order": [[((3, 2),), (9,), "int64"], [((3, 2),), (3,), "float64"]],
    "cholesky": [[((2, 2), (2, 2)), (2, 2), "float64"]],
    "solve_triangular": [[((2, 2), (2,)), (2,), "float64"]],
    "expm": [[((3, 3),), (4, 4), "float64"]],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_node_of_a_file_whose_shapes_do_not_fit_is_left_to_the_host(name, monkeypatch):
    """None reads or writes beyond its arrays: there, where another thread's numbers stand, the core would not stop."""
    asked = []
    monkeypatch.setitem(RULES, name, RULES[name]._replace(compute=lambda *arrays, **_: asked.append(arrays) or 0))
    for shapes, made, dtype in MALFORMED[name]:
        inputs = [lm.placeholder(shape, "float64") for shape in shapes]
        node = core.make("host", [t.node for t in inputs], {"name": name, "options": "", "shape": made, "dtype": dtype})
        core.Program([t.node for t in inputs], [node], []).run([np.ones(shape) for shape in shapes])
        assert asked.pop() is not None and asked == []


@pytest.mark.parametrize(("name", "made", "dtype"), [("lu", (3, 2), "float64"), ("lu_order", (9,), "int64")])
def test_factors_that_a_file_has_damaged_are_an_error(name, made, dtype):
    a = lm.placeholder((2, 3), "float64")
    node = core.make("host", [a.node], {"name": name, "options": "", "shape": made, "dtype": dtype})
    with pytest.raises(ValueError, match=r"\[lu\] expected a matrix and room for its factors, got one of shape \(2, 3\)"):
        core.Program([a.node], [node], []).run([np.ones((2, 3))])


def test_lu_of_a_matrix_without_a_pivot():
    a = np.zeros((70, 70))
    a[:, 66:] = normal(70, 4)
    p, lower, upper = la.lu(a)
    np.testing.assert_allclose(p @ lower @ upper, a, atol=1e-13)


def test_subnormal_numbers_are_exact_on_every_thread(threads):
    """Also where a step of training, which has zeros for them, made the pool."""
    a = 1e-309 * normal(100_000, 4, 4)
    threads(1)
    want = la.slogdet(a).logabsdet
    net = lm.Sequential(lm.Dense(512, "relu"), lm.Dense(8), seed=0).compile("mse", "sgd")
    for count in (2, 3):  # what binds the program makes a pool, too
        threads(count)
        net.train_step(np.ones((2048, 256)), np.ones((2048, 8)))
    np.testing.assert_array_equal(la.slogdet(a).logabsdet, want)


def test_fewer_matrices_than_threads(threads):
    a = normal(2, 70, 70)
    threads(5)
    for p, lower, upper in (la.lu(a), la.lu(a[:1])):
        np.testing.assert_allclose(p @ lower @ upper, a[: len(p)], atol=1e-12)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for its threads")
def test_a_few_matrices_keep_the_pool(threads):
    threads(3)
    la.det(normal(3000, 9, 9))
    workers = {task.name for task in Path("/proc/self/task").iterdir()}
    la.det(normal(2, 64, 64))
    assert {task.name for task in Path("/proc/self/task").iterdir()} == workers


def test_determinants_leave_the_range_of_numbers_on_their_way_alone():
    np.testing.assert_allclose(la.det(np.diag([1e200, 1e200, 1e-200, 1e-200])), 1)
    np.testing.assert_allclose(la.det(np.diag([1e-200, 1e-200, 1e200, 1e200])), 1)
    assert la.det(np.diag([1e-200, 0, 1e200])) == 0
    assert la.det(np.diag([1e30, 1e30]).astype("f4")) == np.inf
    assert la.det(np.diag([1e-30, 1e-30]).astype("f4")) == 0
    np.testing.assert_array_equal(la.slogdet(np.zeros((2, 3, 3))), (np.zeros(2), np.full(2, -np.inf)))


def test_a_right_side_that_is_not_finite_spoils_its_column_alone():
    a, b = well(3, 3), normal(3, 2)
    b[1, 0] = np.nan
    for f in (la.solve, lambda a, b: la.solve_triangular(a, b, lower=True)):
        x = f(a, b)
        assert np.isnan(x[1:, 0]).all()
        np.testing.assert_allclose(x[:, 1], f(a, b[:, 1]), rtol=1e-12)


# ---- one call for all results ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["qr", "svd", "eigh"])
def test_a_function_of_several_results_is_computed_once(name, monkeypatch):
    a, kept = spd(6, 6), host._kept
    kept.clear()
    getattr(la, name)(a)
    assert len(kept) == 1
    monkeypatch.setattr(np.linalg, name, None, raising=False)  # a second call would fail
    getattr(la, name)(a)


def test_results_are_kept_and_forgotten_by_several_threads():
    """The other thread's call came while one counted what is kept: "mutated during iteration"."""

    class Result:
        @property
        def nbytes(self):
            if self.others:
                self.others = False
                host.shared(lambda a: (a,), rng.normal(size=(3, 3)))
            return 8

        others = True

    host._kept.clear()
    host.shared(lambda _: (Result(), Result()), rng.normal(size=(3, 3)))
    assert len(host._kept) == 3


@pytest.mark.parametrize("c", [1e9, 1e16, 1e20])
def test_expm_of_a_matrix_far_from_normal(c):
    np.testing.assert_allclose(lm.linalg.expm(np.array([[0.0, c], [0.0, 0.0]])), [[1, c], [0, 1]], rtol=1e-14)
    got = lm.linalg.expm(np.array([[1.0, c], [0.0, -1.0]]))
    np.testing.assert_allclose(got, [[np.e, c * np.sinh(1)], [0, 1 / np.e]], rtol=1e-13)


def test_the_gradient_of_expm_is_linear_in_that_of_the_result():
    a = lm.placeholder((2, 2), dtype="float64")
    at = np.array([[0.1, 0.2], [0.3, 0.4]])
    one, huge = (lm.function(a, lm.grad(s * lm.sum(lm.linalg.expm(a)), a))(at) for s in (1.0, 1e20))
    np.testing.assert_allclose(huge, 1e20 * one, rtol=1e-13)


@pytest.mark.parametrize("dtype, c", [("float64", 1e110), ("float64", 1e-110), ("float32", 1e-13)])
def test_gradients_of_scaled_matrices(dtype, c):
    a = lm.placeholder((3, 3), dtype=dtype)
    at = (c * np.array([[2.0, 1, 0], [0, 3, 1], [1, 0, 1]])).astype(dtype)
    by_pinv, by_inv = (lm.function(a, lm.grad(lm.sum(f(a)), a))(at) for f in (lm.linalg.pinv, lm.linalg.inv))
    np.testing.assert_allclose(by_pinv, by_inv, rtol=1e-4 if dtype == "float32" else 1e-9)


def test_the_gradient_of_singular_vectors_of_tiny_and_huge_matrices():
    s = np.array([[2.0, 1, 0], [0, 3, 1], [1, 0, 1]])
    a = lm.placeholder((3, 3), dtype="float64")
    gradient = lm.function(a, lm.grad(lm.sum(lm.linalg.svd(a).U[:, 0]), a))
    for c in (1e-200, 1e200):
        np.testing.assert_allclose(gradient(c * s) * c, gradient(s), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("dtype", "c"), [("float64", 1e-150), ("float64", 1e150), ("float32", 1e-15), ("float32", 1e15)])
def test_the_second_derivative_of_a_determinant_that_over_or_underflows(dtype, c):
    """That of 3 x 3 is linear in A: of a b c and its like."""
    at, v = np.array([[2.0, 1, 0], [0, 3, 1], [1, 0, 1]]), np.arange(9.0).reshape(3, 3) ** 2
    a = lm.placeholder((3, 3), dtype=dtype)
    f = lm.function(a, lm.hessian_vector_product(la.det(a), a, v))
    np.testing.assert_allclose(f((c * at).astype(dtype)) / c, f(at), rtol=1e-4 if dtype == "float32" else 1e-9)


def test_the_gradient_of_expm_of_an_empty_matrix_is_empty():
    a = lm.placeholder((2, 0, 0), dtype="float64")
    assert lm.function(a, lm.grad(lm.sum(lm.linalg.expm(a)), a))(np.zeros((2, 0, 0))).shape == (2, 0, 0)


def test_what_lstsq_counts_as_zero_has_no_gradient():
    a, b = lm.placeholder((2, 2), "float64"), lm.placeholder((2,), "float64")
    slope = lm.function([a, b], lm.grad(lm.sum(la.lstsq(a, b, rcond=0.1)), b))(np.diag([1.0, 1e-3]), np.ones(2))
    np.testing.assert_allclose(slope, [1.0, 0.0], atol=1e-12)


def test_what_rounding_alone_tells_apart_counts_as_equal(rng):
    wide = np.eye(2, 1000) * [[1.0], [1e-14]]
    assert la.matrix_rank(wide) == np.linalg.matrix_rank(wide) == 1
    x, c = lm.placeholder((4, 4), "float64"), rng.normal(size=(4, 4))
    v = la.eigh(x).eigenvectors[:, :2]
    f = lm.function([x], [lm.sum(c * (v @ v.T)), lm.grad(lm.sum(c * (v @ v.T)), x)])
    for q, e in zip(np.linalg.qr(rng.normal(size=(4, 4, 4)))[0], rng.normal(size=(4, 4, 4)), strict=True):
        at, way = (q * [1.0, 1.0, 3.0, 4.0]) @ q.T, e + e.T
        ends = [f(at + h * way)[0] for h in (1e-5, -1e-5)]
        np.testing.assert_allclose(np.sum(f((at + at.T) / 2)[1] * way), (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8)


def test_both_sides_of_a_system_have_the_wider_type():
    for a, b in ((np.eye(2, dtype="f"), np.full(2, 1e-50)), (np.eye(2), np.ones(2, "f"))):
        for solve in (la.solve, la.lstsq, la.solve_triangular):
            np.testing.assert_array_equal(found := solve(a, b), b)
            assert found.dtype == np.float64


def test_numbers_scale():
    assert la.kron(2.0, np.eye(2)).tolist() == la.kron(np.eye(2), 2.0).tolist() == la.scale(2.0, np.eye(2)).tolist()
    with pytest.raises(ValueError, match=r"\[scale\] expected a number or a stack of them"):
        la.scale(np.ones((2, 2)), np.ones(2))


def test_a_matrix_whose_exponential_does_not_count_has_no_gradient():
    a = lm.placeholder((2, 3, 3), dtype="float64")
    slope = lm.function(a, lm.grad(lm.sum(la.expm(a)[0]), a))(np.zeros((2, 3, 3)))
    np.testing.assert_allclose(slope, [np.ones((3, 3)), np.zeros((3, 3))])


def test_a_lower_triangle_is_solved_by_forward_substitution():
    """Rows of very different sizes: each component has its digits, and no pivot but the diagonal is taken."""
    for t, b, x in (
        ([[1e-20, 0], [1, 1]], [1e-20, 3e17], [1, 3e17]),
        ([[1e-8, 0], [1, 1]], [1e-8, 1e12], [1, 1e12 - 1]),
        ([[1e-170, 0], [1, 1e-170]], [0, 1e-170], [0, 1]),
    ):
        t, b = np.array(t), np.array(b)
        np.testing.assert_allclose(la.solve_triangular(t, b, lower=True), x, rtol=1e-15)
        np.testing.assert_allclose(la.solve_triangular(t.T.copy(), b, transposed=True), x, rtol=1e-15)
        np.testing.assert_allclose(la.solve_triangular(np.stack([np.eye(2), t]), b[:, None], lower=True)[1, :, 0], x, rtol=1e-15)
    rng = np.random.default_rng(0)
    t = np.tril(rng.normal(size=(150, 150))) + 20 * np.eye(150)
    t *= 10.0 ** rng.uniform(-12, 12, (150, 1))
    b = rng.normal(size=(150, 2)) * np.abs(t).max(1, keepdims=True)
    x = la.solve_triangular(t, b, lower=True)
    assert (np.abs(t @ x - b) <= 1e-14 * 150 * (np.abs(t) @ np.abs(x))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("unit_diagonal", [False, True])
def test_triangles_of_any_size_are_solved_to_the_last_digits(dtype, lower, transposed, unit_diagonal, threads):
    """Blocks of rows, parts of columns and what is left of either; the other triangle is not read; threads change no bit."""
    rng = np.random.default_rng(0)
    for *stack, n, k in ((1, 1), (2, 31, 8), (33, 7), (3, 2, 64, 9), (2, 65, 1), (150, 130), (300, 200), (5, 0, 3), (4, 0)):
        t = rng.normal(size=(*stack, n, n)) / max(n, 1) + 2 * np.eye(n)
        t, b = t.astype(dtype), rng.normal(size=(*stack, n, k)).astype(dtype)
        used = (np.tril if lower else np.triu)(t, 0 if not unit_diagonal else -1 if lower else 1).astype(np.float64)
        spoilt = np.where((used == 0) & ~np.eye(n, dtype=bool), np.nan, t).astype(dtype)
        used = used + np.eye(n) if unit_diagonal else used
        used = np.swapaxes(used, -2, -1) if transposed else used
        found = []
        for count in (1, 2):
            threads(count)
            options = {"lower": lower, "transposed": transposed, "unit_diagonal": unit_diagonal}
            found.append(la.solve_triangular(spoilt, b, **options))
        x = found[0]
        assert np.array_equal(*found) and x.dtype == dtype and x.shape == b.shape
        assert (np.abs(used @ x - b) <= (n + 2) * np.finfo(dtype).eps * (np.abs(used) @ np.abs(x.astype(np.float64)))).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("f", [la.lstsq, lambda a, b: la.lstsq(a, b, ridge=0.1), lambda a, b: la.solve(a[:3], b[:3])])
def test_what_is_not_finite_on_the_right_stays_in_its_column(f, value, rng):
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    want = f(a, b)
    b[1, 1] = value
    got = f(a, b)
    np.testing.assert_allclose(got[:, ::2], want[:, ::2], rtol=1e-12)
    assert not np.isfinite(got[:, 1]).any()


def test_second_derivatives_between_equal_eigenvalues_are_left_out_as_the_documentation_says():
    """Of log det A = sum log w at A = I; `slogdet` has them."""
    a, off, on = lm.placeholder((2, 2), "float64"), np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, 2.0])
    by_values, whole = lm.sum(lm.log(lm.linalg.eigh(a).eigenvalues)), lm.linalg.slogdet(a).logabsdet

    def curvature(y, direction, at):
        return lm.function([a], lm.hessian_vector_product(y, a, direction))(at)

    for direction in (off, on):
        np.testing.assert_allclose(curvature(whole, direction, np.eye(2)), -direction.T, atol=1e-12)
        np.testing.assert_allclose(
            curvature(by_values, direction, np.diag([1.0, 1.5])), curvature(whole, direction, np.diag([1.0, 1.5]))
        )
    np.testing.assert_allclose(curvature(by_values, on, np.eye(2)), -on, atol=1e-12)
    np.testing.assert_allclose(curvature(by_values, off, np.eye(2)), np.zeros((2, 2)), atol=1e-12)


def test_a_trace_reads_the_diagonal_alone():
    a, x = lm.placeholder((None, 3, 4)), np.full((2, 3, 4), np.nan)
    x[:, range(3), range(3)] = 1, 2, 3
    f = lm.function([a], la.trace(a))
    assert f(x).tolist() == [6, 6]
    assert "where" not in "+".join(f.program.steps)
