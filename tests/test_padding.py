"""Zeros around, between and instead of elements: by one thread and by several, the same."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core


def padded(x, low, high, interior):
    """What a node is to hold: elements one by one, a negative width cut off."""
    shape = [a + b + n + max(n - 1, 0) * i for a, b, n, i in zip(low, high, x.shape, interior, strict=True)]
    y = np.zeros(shape, x.dtype)
    for index in np.ndindex(*x.shape):
        place = tuple(a + k * (i + 1) for a, k, i in zip(low, index, interior, strict=True))
        if all(0 <= p < n for p, n in zip(place, shape, strict=True)):
            y[place] = x[index]
    return y


def program(shape, low, high, interior, dtype="float32"):
    x = lm.placeholder(shape, dtype)
    node = core.make("pad", [x.node], {"low": low, "high": high, "interior": interior})
    return core.Program([x.node], [node], [])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("shape", "low", "high", "interior"),
    [
        ((300, 70), (2, 1), (3, 4), (0, 0)),
        ((300, 70), (-7, 1), (-11, 4), (0, 0)),
        ((300, 70), (400, 0), (0, 0), (0, 0)),
        ((300, 70), (-290, 0), (500, 0), (0, 0)),
        ((300, 70), (1, 2), (2, 1), (2, 1)),
        ((300, 70), (-4, 0), (-5, 0), (2, 0)),
        ((1, 300, 70), (0, 1, 1), (0, 1, 1), (0, 0, 0)),
        ((1, 300, 70), (3, 1, 1), (0, 1, 1), (0, 0, 0)),
        ((60000,), (5,), (7,), (1,)),
        ((1, 1, 60000), (0, 0, 1), (0, 0, 1), (0, 0, 0)),
    ],
    ids=str,
)
def test_what_threads_share_is_what_one_writes(shape, low, high, interior, count, threads):
    threads(count)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    planned = program(shape, low, high, interior)
    for _ in range(2):  # in memory that holds something
        (y,) = planned.run([x])
        np.testing.assert_array_equal(y, padded(x, low, high, interior))


@pytest.mark.parametrize("dtype", ["bool", "int64", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "low", "high", "interior"),
    [
        ((), (), (), ()),
        ((0, 3), (2, 0), (1, 0), (0, 0)),
        ((3, 0), (0, 2), (0, 0), (0, 0)),
        ((3, 0), (2, 0), (2, 0), (0, 0)),
        ((3, 4), (-3, 0), (0, 0), (0, 0)),
        ((3, 4), (0, -4), (0, 0), (0, 0)),
        ((3, 4), (0, -9), (0, 9), (0, 0)),
        ((1, 1), (0, 0), (0, 0), (5, 5)),
        ((2, 3), (0, 1), (-5, 1), (3, 0)),
    ],
    ids=str,
)
def test_little_or_nothing(shape, low, high, interior, dtype, threads):
    threads(3)
    x = np.ones(shape, dtype)
    (y,) = program(shape, low, high, interior, dtype).run([x])
    np.testing.assert_array_equal(y, padded(x, low, high, interior))


def test_a_batch_is_shared(threads):
    """As its neighbours, copies and joins, are: it took as long on two threads as on one."""
    threads(2)
    x = lm.placeholder((None, 64, 64))
    planned = core.Program([x.node], [lm.pad(x, ((0, 0), (1, 1), (1, 1))).node], [])
    for batch in (64, 1, 65):
        values = np.full((batch, 64, 64), 2.0, np.float32)
        (y,) = planned.run([values])
        np.testing.assert_array_equal(y, np.pad(values, ((0, 0), (1, 1), (1, 1))))
        assert [stage["parallel"] for stage in planned.stages] == [batch > 1]
