"""lm.linalg: matrices without an answer, wrong arguments, nothing and nan, numbers that overflow or are in odd units."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import lamina as lm
from lamina import linalg as la
from matrices import normal, rng, well

scipy_linalg = pytest.importorskip("scipy.linalg")

SQUARE = lm.placeholder((2, 2), "float64")


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
    with pytest.raises(
        la.LinAlgError, match=r"\[inv\] the matrix is singular to working precision: .* of a float32 result is right"
    ):
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
    """Infinity says it itself; of what would be nan there is a LinAlgError, but in plain products and substitution."""
    plain = ("matrix_power", "solve_triangular")  # infinity times 0
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
                    result = program(a)
                except la.LinAlgError:
                    continue
                assert name in plain or program is not programs[0] or not np.isnan(result).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("f", [la.lstsq, lambda a, b: la.lstsq(a, b, ridge=0.1), lambda a, b: la.solve(a[:3], b[:3])])
def test_what_is_not_finite_on_the_right_stays_in_its_column(f, value, rng):
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    want = f(a, b)
    b[1, 1] = value
    got = f(a, b)
    np.testing.assert_allclose(got[:, ::2], want[:, ::2], rtol=1e-12)
    assert not np.isfinite(got[:, 1]).any()
