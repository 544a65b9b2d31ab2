"""Operations given arrays: a call like an earlier one goes the quick way, and any other is told from it."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import lamina as lm
from lamina.graph import lift
from lamina.graph.indexing import getitem


def test_a_call_that_was_seen_before_is_told_from_others(rng):
    """By dtypes, shapes, layouts, options and their names; each call twice, as the second one is recalled."""
    a, b = rng.random((4, 4)), rng.random((4, 4))
    for x, y in [(a, b), (a.T, b), (a, b.T), (a.T, b.T), (a[::2], b), (a.astype("f4"), b.astype("f4")), (a[0], b)]:
        for _ in range(2):
            np.testing.assert_allclose(lm.matmul(x, y), x @ y, rtol=1e-5)
    for _ in range(2):
        np.testing.assert_allclose(lm.sum(a, axis=0), a.sum(0))
        np.testing.assert_allclose(lm.sum(a, axis=1), a.sum(1))
        np.testing.assert_allclose(lm.sum(a, 1), a.sum(1))
        np.testing.assert_allclose(lm.sum(a, axis=(0, 1)), a.sum())
        np.testing.assert_allclose(lm.sum(a, axis=1, keepdims=True), a.sum(1, keepdims=True))
        np.testing.assert_allclose(lm.sum(a, keepdims=True, axis=0), a.sum(0, keepdims=True))
    for slope in (0.0, -0.0, 0.0, -0.0):
        assert np.signbit(lm.activations.leaky_relu(np.array([-1.0]), slope)) != np.signbit(slope)
    for slope in (np.float32(0.0), np.float32(-0.0)):
        assert np.signbit(lm.activation("leaky_relu", [-1.0], slope)) != np.signbit(slope)


def test_an_option_that_changes_after_a_call_counts_as_it_is_now(rng):
    a, shape = rng.random((4, 6)), [2, 12]
    assert lm.reshape(a, shape).shape == lm.reshape(a, shape).shape == (2, 12)
    shape[:] = [3, 8]
    assert lm.reshape(a, shape).shape == (3, 8)


def test_options_of_any_type_are_told_apart(rng):
    """Arrays are options, too; what one call refuses, it refuses after another one's program was kept."""
    x = rng.normal(size=(2, 3))
    assert np.array_equal(lm.transpose(x, np.array([1, 0])), x.T)
    np.testing.assert_allclose(lm.sum(x, axis=np.array([0])), x.sum(0))
    for _ in range(2):
        assert np.array_equal(getitem(x, 1), x[1])
        for wrong in (True, 1.0):
            with pytest.raises(TypeError, match="expected whole numbers"):
                getitem(x, wrong)


def test_numbers_beside_arrays_go_the_quick_way(monkeypatch):
    """The same number again does, 2 and 2.0 apart; another one is computed with, and a forgotten one. Lists and parts do, too."""
    x, i = np.array([-3.0, 2.0], "f"), np.array([1, 2])

    def results():
        return [
            lm.maximum(x, 0),
            lm.add(1.5, x),
            lm.clip(x, -1, 1),
            lm.where(x > 0, x, 0.5),
            lm.add(i, 2),
            lm.add(i, 2.0),
            lm.exp(1.0),
            *lm.split(x, 2),
            lm.concatenate([x, x]),
            lm.stack([x, x], axis=1),
            lm.einsum("i,j->ij", x, x),
        ]

    wanted = [
        [0, 2],
        [-1.5, 3.5],
        [-1, 1],
        [0.5, 2],
        [3, 4],
        [3, 4],
        np.exp(1.0),
        x[:1],
        x[1:],
        [*x, *x],
        np.stack([x, x], 1),
        np.outer(x, x),
    ]
    first = results()
    with monkeypatch.context() as patch:
        patch.setattr(lift, "_computation", None)
        again = results()
    for got, known, want in zip(first, again, wanted, strict=True):
        assert got.dtype == known.dtype and np.array_equal(got, known) and np.allclose(got, want)
    assert [a.dtype for a in again[4:6]] == ["int64", "float64"]
    for number in (*range(100), 0, 1.5):
        assert np.array_equal(lm.add(x, number), x + np.float32(number))


def test_several_results_go_the_quick_way(monkeypatch, rng):
    """By their names, of the matrix of this call, in arrays of their own."""
    ways = [lm.linalg.qr, lm.linalg.svd, lm.linalg.eigh, lm.linalg.slogdet, lm.linalg.lu]
    first, second = (m @ m.T for m in rng.normal(size=(2, 3, 3)))
    before = [way(first) for way in ways]
    with monkeypatch.context() as patch:
        patch.setattr(lift, "_computation", None)
        after = [way(second) for way in ways]
    for one, other in zip(before, after, strict=True):
        assert type(other) is type(one) and not any(np.shares_memory(a, b) for a, b in zip(one, other, strict=True))
    (q, r), (u, s, vt), (w, v), (sign, size), (p, lower, upper) = after
    for product in (q @ r, u * s @ vt, v * w @ v.T, p @ lower @ upper):
        np.testing.assert_allclose(product, second, atol=1e-12)
    assert np.allclose([sign, size], np.linalg.slogdet(second))


def test_programs_of_many_shapes_are_seldom_asked_what_they_hold(monkeypatch):
    """That takes longer than to make one; of large arrays it is asked each time."""
    asked = []

    class Kept(OrderedDict):
        def values(self):
            asked.append(len(self))
            return super().values()

    monkeypatch.setattr(lift, "_computations", Kept())
    monkeypatch.setattr(lift, "_MOST_PROGRAMS", 32)
    for n in range(1, 129):
        assert lm.exp(np.zeros((1, 1, 1, 1, n))).sum() == n
        assert len(lift._computations) <= 32
    assert len(asked) <= 128 // 16
    for n in range(10_000, 10_008):
        lm.exp(np.zeros((1, 1, 1, 1, n)))
    assert len(asked) >= 8 + 7


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: lm.arange(-1), "arange"),
        (lambda: lm.arange(2.5), "arange"),
        (lambda: lm.full((-1,), 1.0), "full"),
        (lambda: lm.placeholder((2.5,)), "placeholder"),
        (lambda: lm.placeholder((True,)), "placeholder"),
    ],
)
def test_an_error_is_said_in_the_name_that_was_called(call, where):
    with pytest.raises((ValueError, TypeError), match=rf"^\[{where}\] expected "):
        call()
