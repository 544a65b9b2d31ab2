"""lm.linalg: what the core computes itself, beside LAPACK: small systems, LU in panels, triangles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina import linalg as la
from lamina.linalg.host import RULES
from matrices import normal, spd, well

scipy_linalg = pytest.importorskip("scipy.linalg")

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
        with pytest.raises(TypeError, match="'NoneType' object is not callable"):
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
        node = core.make("host", [t.node for t in inputs], {"name": name, "shape": made, "dtype": dtype})
        core.Program([t.node for t in inputs], [node], []).run([np.ones(shape) for shape in shapes])
        assert asked.pop() is not None and asked == []


@pytest.mark.parametrize(("name", "made", "dtype"), [("lu", (3, 2), "float64"), ("lu_order", (9,), "int64")])
def test_factors_that_a_file_has_damaged_are_an_error(name, made, dtype):
    a = lm.placeholder((2, 3), "float64")
    node = core.make("host", [a.node], {"name": name, "shape": made, "dtype": dtype})
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
