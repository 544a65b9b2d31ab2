"""lm.linalg: gradients and second derivatives by random projection, where they exist and where they do not."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import linalg as la
from matrices import begin, normal, sym, well
from projection import check_gradient, check_second

begin(0)  # whose eigenvalues are apart, and whose eigenvectors keep their signs along a finite difference
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
        np.testing.assert_allclose(lm.function([a], gradient)(point), want, rtol=1e-5, atol=1e-6 * (1 + np.abs(want).max()))


def test_an_inverse_within_a_loss_trains():
    """A matrix is learned whose inverse is given."""
    target = np.array([[1.5, 0.2, 0], [0.1, 1.2, -0.3], [0, 0.4, 0.8]])
    w = lm.Parameter(np.eye(3), dtype="float64")
    loss = lm.sum((la.inv(w) - target) ** 2)
    step = lm.function([], loss, {w: w - 0.002 * lm.grad(loss, w)})
    losses = [float(step()) for _ in range(400)]
    assert losses[-1] < 0.05 * losses[0]


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


def test_a_matrix_whose_exponential_does_not_count_has_no_gradient():
    a = lm.placeholder((2, 3, 3), dtype="float64")
    slope = lm.function(a, lm.grad(lm.sum(la.expm(a)[0]), a))(np.zeros((2, 3, 3)))
    np.testing.assert_allclose(slope, [np.ones((3, 3)), np.zeros((3, 3))])


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
