"""matmul, dot, outer and einsum against NumPy, in every layout."""

from __future__ import annotations

import re

import numpy as np
import pytest

import lamina as lm
from operation_cases import DTYPES, SIZES, build_and_run, covers, rounded

covers("softmax", "log_softmax", "logsumexp")

MATMULS = [
    *[((n, 5), (5, 3)) for n in SIZES],
    *[((5, n), (n, 3)) for n in SIZES],
    *[((5, 3), (3, n)) for n in SIZES],
    ((64, 64), (64, 64)),
    ((33, 129), (129, 70)),
    ((4, 3), (3,)),
    ((3,), (3, 4)),
    ((3,), (3,)),
    ((2, 4, 3), (3, 5)),
    ((2, 4, 3), (2, 3, 5)),
    ((2, 1, 4, 3), (5, 3, 2)),
    ((1, 4, 3), (7, 3, 1)),
    ((0, 3), (3, 4)),
    ((4, 0), (0, 3)),
    ((3, 4), (4, 0)),
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul(dtype, rng):
    for a_shape, b_shape in MATMULS:
        a, b = rounded([rng.normal(size=a_shape), rng.normal(size=b_shape)], dtype)
        want = np.matmul(a.astype(np.float64), b.astype(np.float64))
        bound = np.matmul(np.abs(a).astype(np.float64), np.abs(b).astype(np.float64))
        for got in (lm.matmul(a, b), build_and_run(lm.matmul, [a, b]), build_and_run(lambda p, q: p @ q, [a, b])):
            assert got.dtype == np.dtype(dtype) and np.shape(got) == want.shape
            k = a_shape[-1]
            assert np.all(np.abs(got - want) <= (k + 1) * np.finfo(dtype).eps * bound + np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_of_transposes(dtype, rng):
    for m, n, k in [(5, 7, 9), (17, 33, 8), (1, 16, 33), (64, 10, 70)]:
        a, b = rounded([rng.normal(size=(m, k)), rng.normal(size=(k, n))], dtype)
        want = a.astype(np.float64) @ b.astype(np.float64)
        at, bt = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
        for f, arrays in [(lambda p, q: p.T @ q, [at, b]), (lambda p, q: p @ q.T, [a, bt]), (lambda p, q: p.T @ q.T, [at, bt])]:
            np.testing.assert_allclose(build_and_run(f, arrays), want, rtol=0, atol=4 * k * np.finfo(dtype).eps)


@pytest.mark.parametrize("n", [150, 7])
@pytest.mark.parametrize("operation", [lm.matmul, lm.dot])
def test_arrays_may_lie_in_any_way(operation, n, rng):
    """Dense, transposed and sliced arrays of one shape take turns."""
    ways = [
        np.copy,
        lambda x: np.copy(x).T,
        np.transpose,
        lambda x: np.tile(x, (2, 2))[:n, :n],
        lambda x: np.repeat(x, 2, 1)[:, ::2],
    ]
    for _ in range(2):
        for first in ways:
            for second in ways:
                a, b = first(rng.normal(size=(n, n))), second(rng.normal(size=(n, n)))
                np.testing.assert_allclose(operation(a, b), a @ b, rtol=0, atol=1e-12 * n)
    with pytest.raises(ValueError, match=rf"\({n}, {n}\).*\({n + 1}, {n}\)"):
        operation(np.ones((n, n)).T, np.ones((n, n + 1)).T)


@pytest.mark.parametrize("kind", ["int64", "uint8", "bool"])
def test_products_of_whole_numbers_are_float64(kind, rng):
    a, b = (rng.integers(0, 2 if kind == "bool" else 200, size=shape).astype(kind) for shape in [(3, 4), (4, 5)])
    want = a.astype(np.float64) @ b.astype(np.float64)
    p, q = (lm.placeholder(x.shape, "int64") for x in (a, b))
    built = lm.function([p, q], p @ q)(a.astype(np.int64), b.astype(np.int64))
    for got in (lm.matmul(a, b), lm.matmul(a, b), lm.dot(a, b), lm.linalg.matmul(a.tolist(), b.tolist()), built):
        assert got.dtype == np.float64 and np.array_equal(got, want)
    assert np.array_equal(lm.linalg.matvec(a, b[:, 0]), want[:, 0])
    assert lm.matmul(a, b.astype(np.float32)).dtype == np.float32


def test_nan_and_infinity_pass_through_matmul():
    a = np.array([[0.0, 1.0], [0.0, 0.0]])
    b = np.array([[np.nan, np.inf], [1.0, 2.0]])
    with np.errstate(invalid="ignore"):
        want = a @ b
    assert np.array_equal(build_and_run(lm.matmul, [a, b]), want, equal_nan=True)


def test_dot_and_outer(rng):
    a, b = rng.normal(size=(2, 9))
    np.testing.assert_allclose(build_and_run(lm.dot, [a, b]), a @ b, rtol=1e-14)
    np.testing.assert_allclose(build_and_run(lm.outer, [a, b]), np.outer(a, b), rtol=1e-15)
    np.testing.assert_allclose(lm.dot(a, b), a @ b, rtol=1e-14)
    np.testing.assert_allclose(lm.outer(a, b), np.outer(a, b), rtol=1e-15)
    m = rng.normal(size=(9, 4))
    np.testing.assert_allclose(build_and_run(lm.dot, [a, m]), a @ m, rtol=1e-14)


covers("matmul", "dot", "outer")

LENGTHS = dict(zip("ijklbthc", (2, 3, 4, 5, 6, 7, 2, 3), strict=True))
SUMS = [
    "ij,jk->ik", "ij,jk", "ij->ji", "ij->", "ii->i", "ii", "iij->j", "iii->i", "ijij->ij", "i,i", "i,i->", "i,j->ij", "i,->i", "->",
    "bij,bjk->bik", "bthc,bkhc->bhtk", "bhtk,bkhc->bthc", "ij,ij->ij", "ij,ij->i", "ij,kj->ik", "ji,kj->ki", "ij,kl->ijkl",
    "ij,kl->i", "ijk,ijl->kl", "ij,jk,kl->il", "ij,jk,kl->", "i,ij,j", "i,i,i->i", "bij,j->bi", "ijk->kij", "ij , jk -> ik",
    "ijk,jk->i", "jk,ijk->i", "bij,ij->b", "bt,bti->i", "ij,ij,ij->",
    "...ij,...jk->...ik", "ij...,jk...->ik...", "...i->...", "i...,i...->...", "...ij,jk->...ik", "...", "...ij->...",
]  # fmt: skip


def parts_of_a_sum(subscripts, rng):
    """Operands that fit; "..." stands for two axes."""
    parts = subscripts.replace(" ", "").split("->")[0].split(",")
    return [rng.normal(size=[n for c in p.replace("...", ".") for n in ([3, 2] if c == "." else [LENGTHS[c]])]) for p in parts]


@pytest.mark.parametrize("subscripts", SUMS)
def test_einsum(subscripts, rng):
    operands = parts_of_a_sum(subscripts, rng)
    want = np.einsum(subscripts, *operands)
    for got in (lm.einsum(subscripts, *operands), build_and_run(lambda *inputs: lm.einsum(subscripts, *inputs), operands)):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    inputs = [lm.placeholder(a.shape, "float64") for a in operands]
    again = [lm.placeholder(a.shape, "float64") for a in operands]
    change = [rng.normal(size=a.shape) for a in operands]
    slopes = lm.grad(lm.sum(lm.einsum(subscripts, *inputs)), inputs)
    along = lm.function([*inputs, *again], sum(lm.sum(s * c) for s, c in zip(slopes, again, strict=True)))(*operands, *change)
    ahead, back = (
        np.einsum(subscripts, *(a + way * 1e-5 * c for a, c in zip(operands, change, strict=True))).sum() for way in (1, -1)
    )
    np.testing.assert_allclose(along, (ahead - back) / 2e-5, rtol=1e-6, atol=1e-7)


def test_any_einsum(rng):
    """Drawn by chance: operands of up to four axes of six letters, any of them in the result."""
    for _ in range(300):
        given = ["".join(rng.choice(list("ijklbt"), rng.integers(0, 5))) for _ in range(rng.integers(1, 4))]
        letters = sorted({*"".join(given)})
        result = "".join(rng.permutation(letters)[: rng.integers(0, len(letters) + 1)])
        subscripts = f"{','.join(given)}->{result}"
        operands = parts_of_a_sum(subscripts, rng)
        np.testing.assert_allclose(
            lm.einsum(subscripts, *operands), np.einsum(subscripts, *operands), rtol=1e-11, atol=1e-12, err_msg=subscripts
        )


def test_einsum_of_whole_numbers_is_float64_whatever_its_way():
    whole, truth = np.arange(6).reshape(2, 3), np.array([[True, False, True], [True, True, False]])
    for a in (whole, truth, whole.astype(np.int8)):
        for subscripts in ("ij,ij->i", "ij,kj->ik", "ij,ij->ij", "ij,ij->", "ij,kj->"):
            found = lm.einsum(subscripts, a, a)
            assert found.dtype == np.float64
            assert np.array_equal(found, np.einsum(subscripts, a.astype(float), a.astype(float)))
        assert lm.einsum("ij->ji", a).dtype == np.float64
    assert lm.einsum("ij,ij->i", whole, whole.astype(np.float32)).dtype == np.float32


def test_a_diagonal_knows_nothing_of_what_is_beside_it():
    x = np.array([[1.0, np.inf], [np.nan, 2.0]])
    assert np.array_equal(lm.einsum("ii->i", x), [1.0, 2.0]) and lm.einsum("ii", x) == 3.0


def test_einsum_repeats_axes_of_length_1_and_knows_free_lengths(rng):
    for subscripts, *shapes in (
        ("...ij,...jk->...ik", (1, 3, 4), (5, 4, 2)), ("...ij,...jk->...ik", (3, 4), (5, 4, 2)), ("...i,...i->...", (1, 4), (5, 4)),
        ("ij,ij->j", (1, 4), (5, 4)), ("ij,jk->ik", (2, 1), (3, 4)),
    ):  # fmt: skip
        operands = [rng.normal(size=shape) for shape in shapes]
        np.testing.assert_allclose(lm.einsum(subscripts, *operands), np.einsum(subscripts, *operands), rtol=1e-12)
    x, w = lm.placeholder((None, "T", 4), "float64"), lm.placeholder((4, 2, 3), "float64")
    f = lm.function([x, w], lm.einsum("btc,chd->bhtd", x, w))
    for n, t in ((2, 5), (3, 1)):
        operands = rng.normal(size=(n, t, 4)), rng.normal(size=(4, 2, 3))
        np.testing.assert_allclose(f(*operands), np.einsum("btc,chd->bhtd", *operands), rtol=1e-12)


def test_einsum_says_what_does_not_fit():
    two = np.ones((2, 3))
    for given, message in (
        (("ij,jk", two), "expected 2 operands, got 1"),
        (("ij->ik", two), "expected letters of the operands in the result, each once, got 'ik'"),
        (("ij->ii", two), "each once, got 'ii'"),
        (("ij,jk->ik", two, np.ones((4, 2))), "expected one length for letter 'j', got 3 and 4"),
        (("ijk->i", two), "expected 2 letters for an operand of 2 axes, got 'ijk'"),
        (("i1->i", two), "expected 2 letters for an operand of 2 axes, got 'i1'"),
        (("...ijk->i", two), "expected at most as many letters as axes"),
        (("...j->j", two), "expected ... in the result"),
        (("ii->i", np.ones((1, 3))), "[einsum] (1, 3): expected"),
        (("ii->i", lm.placeholder((None, None))), "expected a diagonal of one known length, got B"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            lm.einsum(*given)
    with pytest.raises(TypeError, match="expected subscripts such as 'ij,jk->ik' first"):
        lm.einsum(two, "ij")


@pytest.mark.parametrize("m", [1, 2, 4, 20])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_factor_may_be_a_broadcast_vector(m, axis):
    """Its rows or its columns lie no number apart."""
    rng = np.random.default_rng(m)
    a, v = rng.standard_normal((m, 40)), rng.standard_normal((1, 24) if axis == 0 else (40, 1))
    x, y = lm.placeholder(a.shape, dtype="float64"), lm.placeholder(v.shape, dtype="float64")
    product = lm.function([x, y], lm.matmul(x, lm.broadcast_to(y, (40, 24))))(a, v)
    np.testing.assert_allclose(product, a @ np.broadcast_to(v, (40, 24)), rtol=1e-12, atol=1e-12)
