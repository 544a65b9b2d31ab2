"""lm.linalg: values of NumPy and SciPy, identities, norms, one call for several results."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import lamina as lm
import reference
from lamina import linalg as la
from lamina.linalg import host
from lamina.linalg.host import RULES
from matrices import normal, rng, spd, well

scipy_linalg = pytest.importorskip("scipy.linalg")

TOLERANCE = {"float32": 2e-4, "float64": 1e-10}  # eps times condition numbers of up to some 100 and sizes up to 33


def batched(f, *arrays):
    """f on each matrix of a stack."""
    batch = arrays[0].shape[:-2]
    flat = [a.reshape(-1, *a.shape[-2:]) for a in arrays]
    return np.array([f(*several) for several in zip(*flat, strict=True)]).reshape(*batch, *np.shape(f(*(a[0] for a in flat))))


def scipy_norm(p):
    return lambda a: np.linalg.norm(a, p, axis=(-2, -1))


def solve_t(a, b):
    return np.linalg.solve(np.swapaxes(np.tril(a), -1, -2), b)


V, W = np.random.default_rng(11).normal(size=(2, 5))
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


def test_both_sides_of_a_system_have_the_wider_type():
    for a, b in ((np.eye(2, dtype="f"), np.full(2, 1e-50)), (np.eye(2), np.ones(2, "f"))):
        for solve in (la.solve, la.lstsq, la.solve_triangular):
            np.testing.assert_array_equal(found := solve(a, b), b)
            assert found.dtype == np.float64


def test_numbers_scale():
    assert la.kron(2.0, np.eye(2)).tolist() == la.kron(np.eye(2), 2.0).tolist() == la.scale(2.0, np.eye(2)).tolist()
    with pytest.raises(ValueError, match=r"\[scale\] expected a number or a stack of them"):
        la.scale(np.ones((2, 2)), np.ones(2))


def test_a_trace_reads_the_diagonal_alone():
    a, x = lm.placeholder((None, 3, 4)), np.full((2, 3, 4), np.nan)
    x[:, range(3), range(3)] = 1, 2, 3
    f = lm.function([a], la.trace(a))
    assert f(x).tolist() == [6, 6]
    assert "where" not in "+".join(f.program.steps)
