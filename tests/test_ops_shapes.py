"""Operations that move, pick and make elements: indexing, take, reshape and their kin, one_hot, cast."""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from operation_cases import DTYPES, SIZES, build_and_run, covers

covers("einsum")

S = np.s_
SLICES = [
    S[0], S[-1], S[1:4], S[::2], S[::-1], S[4:1:-1], S[-2:0:-2], S[:, 2], S[:, ::-1], S[1, ..., 2], S[..., 0], S[:, None], S[None],
    S[3:1], S[1:3:-1],
    S[2:2], S[1:3, 1:, ::-2], S[:, -1:, :2], S[-3:], S[10:], S[::3, 1], S[..., None], S[0, 1, 2], S[:, :, 1:2], S[5::-1], S[::-3],
]  # fmt: skip


@pytest.mark.parametrize("where", SLICES, ids=str)
def test_indexing(where, rng):
    x = rng.normal(size=(6, 5, 4))
    got = build_and_run(lambda t: t[where], [x])
    assert np.shape(got) == x[where].shape and np.array_equal(got, x[where])
    assert np.array_equal(lm.getitem(x, where), x[where])


def test_indexing_by_integers(rng):
    x = rng.normal(size=(6, 5))
    rows = np.array([0, 5, 2, 2])
    assert np.array_equal(build_and_run(lambda t, i: t[i], [x, rows]), x[rows])
    assert np.array_equal(build_and_run(lambda t: t[rows], [x]), x[rows])


covers("getitem")

SHAPERS = {
    "reshape": [
        (lambda m, x: m.reshape(x, (5, 12)), (3, 4, 5)),
        (lambda m, x: m.reshape(x, (-1, 4)), (6, 2)),
        (lambda m, x: m.reshape(x, (12,)), (3, 4)),
        (lambda m, x: m.reshape(x, -1), (2, 3)),
        (lambda m, x: m.reshape(x, ()), (1, 1)),
        (lambda m, x: m.reshape(x, (0, 7)), (3, 0)),
    ],
    "transpose": [
        (lambda m, x: m.transpose(x), (3, 4)),
        (lambda m, x: m.transpose(x), (2, 3, 4)),
        (lambda m, x: m.transpose(x, (1, 2, 0)), (2, 3, 4)),
        (lambda m, x: m.transpose(x, (0, 2, 1)), (2, 17, 9)),
        (lambda m, x: m.transpose(x), (33, 17)),
    ],
    "expand_dims": [(lambda m, x, a=a: m.expand_dims(x, a), (3, 4)) for a in (0, 1, 2, -1)],
    "squeeze": [(lambda m, x: m.squeeze(x), (1, 3, 1)), (lambda m, x: m.squeeze(x, 0), (1, 3, 1))],
    "broadcast_to": [
        (lambda m, x: m.broadcast_to(x, (5, 4)), (4,)),
        (lambda m, x: m.broadcast_to(x, (2, 3, 4)), (3, 1)),
        (lambda m, x: m.broadcast_to(x, (3,)), ()),
    ],
    "flip": [(lambda m, x: m.flip(x, 0), (5, 3)), (lambda m, x: m.flip(x, 1), (5, 3)), (lambda m, x: m.flip(x, -1), (17,))],
    "roll": [
        *[(lambda m, x, s=s: m.roll(x, s), (3, 4)) for s in (0, 1, -5, 30)],
        *[(lambda m, x, s=s: m.roll(x, s, axis=1), (2, 5, 3)) for s in (0, 2, -1, 17, np.int64(-5))],
        (lambda m, x: m.roll(x, (1, -2), (0, -1)), (3, 4)),
        (lambda m, x: m.roll(x, 1, axis=(0, 1)), (3, 4)),
        (lambda m, x: m.roll(x, 3, axis=0), (0, 2)),
        (lambda m, x: m.roll(x, 3), ()),
    ],
    "repeat": [
        *[(lambda m, x, n=n: m.repeat(x, n), (3, 4)) for n in (0, 1, 3, [2])],
        *[(lambda m, x, a=a: m.repeat(x, 3, axis=a), (2, 5, 3)) for a in (0, 1, -1)],
        (lambda m, x: m.repeat(x, [2, 0, 1], axis=0), (3, 4)),
        (lambda m, x: m.repeat(x, np.array([0, 3, 1, 1]), axis=1), (3, 4)),
        (lambda m, x: m.repeat(x, [1, 0, 2, 1]), (2, 2)),
        (lambda m, x: m.repeat(x, 2), ()),
    ],
    "tile": [
        *[(lambda m, x, r=r: m.tile(x, r), (3, 4)) for r in (0, 1, 2, (2, 1), (1, 3), (2, 3), (2, 1, 1, 3), (2, 0))],
        (lambda m, x: m.tile(x, 3), (17,)),
        (lambda m, x: m.tile(x, (5, 1)), (1, 4)),
        (lambda m, x: m.tile(x, (2, 3)), ()),
    ],
    "diff": [
        (lambda m, x: m.diff(x), (3, 17)),
        *[(lambda m, x, n=n: m.diff(x, n, axis=1), (2, 5, 3)) for n in (0, 1, 2, 5, 6)],
        (lambda m, x: m.diff(x, axis=0), (1, 4)),
    ],
    "pad": [
        (lambda m, x: m.pad(x, ((1, 2), (0, 3))), (4, 5)),
        (lambda m, x: m.pad(x, ((0, 0), (1, 1))), (2, 33)),
        (lambda m, x: m.pad(x, ((2, 0),)), (3,)),
    ],
}
covers(*SHAPERS)


@pytest.mark.parametrize("name", SHAPERS)
def test_shapers(name, rng):
    for dtype in ("float32", "float64", "int64"):
        for f, shape in SHAPERS[name]:
            x = (10 * rng.normal(size=shape)).astype(dtype)
            want = f(np, x)
            for got in (f(lm, x), build_and_run(lambda t: f(lm, t), [x])):  # noqa: B023
                assert np.asarray(got).dtype == x.dtype and np.shape(got) == want.shape and np.array_equal(got, want)


def test_concatenate_and_stack(rng):
    a, b, c = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 1, 5)), rng.normal(size=(3, 0, 5))
    for parts in ([a, b], [a, b, c], [a]):
        want = np.concatenate(parts, axis=1)
        for axis in (1, -2):
            assert np.array_equal(build_and_run(lambda *ts: lm.concatenate(list(ts), axis=axis), parts), want)  # noqa: B023
            assert np.array_equal(lm.concatenate(parts, axis=axis), want)
    for axis in (0, 1, 2, -1):
        want = np.stack([a[0], a[1], a[2]], axis=axis)
        assert np.array_equal(build_and_run(lambda *ts: lm.stack(list(ts), axis=axis), [a[0], a[1], a[2]]), want)  # noqa: B023
        assert np.array_equal(lm.stack([a[0], a[1], a[2]], axis=axis), want)


def test_split(rng):
    x = rng.normal(size=(6, 4))
    for cuts, axis in ((3, 0), (1, 0), (2, 1), (4, -1), ([2], 0), ([1, 3], 1), ([], 0), ([4, 2, 9], 0), ((0, -1), 1)):
        want = np.split(x, cuts, axis)
        built = build_and_run(lambda t: lm.split(t, cuts, axis), [x])  # noqa: B023
        for got in (lm.split(x, cuts, axis), lm.split(x.tolist(), cuts, axis), built):
            assert isinstance(got, list) and len(got) == len(want)
            assert all(np.array_equal(a, b) and a.shape == b.shape for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 33, 1000])
@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "bool"])
def test_cumsum(dtype, n, rng):
    """Against sums of fractions: off by the rounding of log2 n sums at most, of n where the length is free."""
    for shape in [(n,), (3, n), (n, 5), (2, n, 3)]:
        x = (10 * rng.normal(size=shape)).astype(dtype)
        exact = np.vectorize(Fraction, otypes=[object])(x.astype(np.float64))
        for axis in (None, *range(-len(shape), len(shape))):
            want, size = (np.cumsum(v, axis).astype(np.float64) for v in (exact, np.abs(exact)))
            lengths = [None if axis is None or k == axis % len(shape) else length for k, length in enumerate(shape)]
            t = lm.placeholder(lengths if axis is not None else (None, *shape[1:]), dtype)
            count = x.size if axis is None else shape[axis]
            known, free = lm.cumsum(x, axis), lm.function(t, lm.cumsum(t, axis))(x)
            for got, sums in ((known, math.ceil(math.log2(count))), (free, count)):
                assert got.dtype == (np.int64 if dtype == "bool" else dtype) and got.shape == want.shape
                eps = np.finfo(dtype).eps / 2 if dtype in DTYPES else 0
                assert np.all(np.abs(got - want) <= (1 + sums) * eps * size)  # 1: that of the fraction


def test_the_error_of_a_cumsum_grows_as_the_logarithm_of_its_length(rng):
    """Of a hundred thousand numbers of one sign it is ten times smaller than that of sums one by one."""
    x = rng.uniform(0, 1, 100_000).astype("float32")
    exact = np.cumsum(x.astype(np.float64))
    error = np.abs(lm.cumsum(x) - exact) / exact
    assert error.max() <= 17 * np.finfo("float32").eps / 2 and 10 * error.max() < (np.abs(np.cumsum(x) - exact) / exact).max()


def test_a_cumsum_knows_nothing_of_what_comes_after():
    x = np.array([1.0, 2.0, np.inf, 3.0, np.nan, 4.0])
    assert np.array_equal(lm.cumsum(x), np.cumsum(x), equal_nan=True)
    assert np.array_equal(build_and_run(lm.cumsum, [x]), np.cumsum(x), equal_nan=True)


def test_a_cumsum_of_a_thousand_places_is_a_short_program():
    x = lm.placeholder((None, 1000))
    y = lm.cumsum(x, axis=1)
    assert len(core.dump([y.node], True)) <= 1 + 3 * 10
    assert len(core.dump([y.node, lm.grad(lm.sum(y * x), x).node], True)) <= 80


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_series_along_an_axis_of_free_length(rows, rng):
    """As along one that is known, their gradients too."""
    x = rng.normal(size=(rows, 3))
    cases = [
        *[lambda t, s=s, a=a: lm.roll(t, s, a) for s in (0, 1, -2, 9) for a in (0, (1, 0), None)],
        *[lambda t, a=a: lm.cumsum(t, a) for a in (0, None)],
        *[lambda t, n=n: lm.repeat(t, n, 0) for n in (0, 1, 3)],
        *[lambda t, r=r: lm.tile(t, r) for r in (3, (2, 1), (2, 2, 2))],
        *[lambda t, c=c: lm.concatenate(lm.split(t, c), 0) ** 2 for c in ([], [-1] if rows else [])],
        *[lambda t: lm.diff(t, axis=0)] * (rows > 0),
    ]
    free, known = lm.placeholder((None, 3), "float64"), lm.placeholder(x.shape, "float64")
    for f in cases:
        results = []
        for t in (free, known):
            y = f(t)
            slope = lm.grad(lm.sum(y * y), t)
            results.append(lm.function(t, [y, slope, lm.grad(lm.sum(slope * slope), t)])(x))
        for got, want in zip(*results, strict=True):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_rows_that_meet_in_a_series_are_predicted_at_once(rng):
    x, rows = lm.Input(3), rng.normal(size=(200, 3)).astype("float32")
    for f, numpy_f in ((lm.cumsum, np.cumsum), (lambda t, a: lm.roll(t, 5, a), lambda t, a: np.roll(t, 5, a))):
        for axis in (0, 1):
            np.testing.assert_allclose(lm.Model(x, f(x, axis)).predict(rows), numpy_f(rows, axis), rtol=1e-4, atol=1e-4)


def test_a_row_is_tiled_as_often_as_a_batch_has_rows(rng):
    x, row = lm.Input(3), lm.Parameter(rng.normal(size=3), dtype="float32")
    net = lm.Model(x, lm.tile(row, (x.shape[0], 2)) + 0 * lm.sum(x, axis=1, keepdims=True))
    assert np.array_equal(net.predict(np.ones((5, 3))), np.tile(row.value, (5, 2)))
    assert lm.tile(np.ones(2), (x.shape[0], 1)).shape[1] == 2
    halves = lm.split(lm.concatenate([x, 2 * x]), 2)
    assert [h.shape[0] for h in halves] == [x.shape[0]] * 2
    assert np.array_equal(lm.function(x, halves[1])(np.ones((4, 3))), np.full((4, 3), 2))


def test_series_say_what_does_not_fit():
    x, free = np.ones((2, 3)), lm.Input(3)
    for call, error, message in (
        (lambda: lm.roll(x, 1.5, 0), TypeError, "[roll] expected shift to be a whole number, got 1.5; pass an int"),
        (lambda: lm.roll(x, (1, 2), 0), ValueError, "[roll] expected a shift for each of the 1 axes, got (1, 2)"),
        (lambda: lm.roll(x, 1, 2), ValueError, "[roll] expected an axis from -2 to 1, got 2"),
        (lambda: lm.repeat(x, -1), ValueError, "[repeat] expected repeats >= 0, got -1"),
        (lambda: lm.repeat(x, [1, 2], 1), ValueError, "one for each slice along axis 1 of (2, 3), got 2; pass so many"),
        (lambda: lm.repeat(free, [1, 2], 0), ValueError, "one for each slice along axis 0 of (B, 3), got 2"),
        (lambda: lm.tile(x, (2, -1)), ValueError, "[tile] expected reps >= 0, got -1"),
        (lambda: lm.tile(x, 1.5), TypeError, "[tile] expected reps to be a whole number >= 0, got 1.5"),
        (lambda: lm.split(x, 2, 1), ValueError, "[split] expected an axis of 2 equal parts, got axis 1 of (2, 3); pass the places"),
        (lambda: lm.split(free, 2), ValueError, "[split] expected an axis of 2 equal parts, got axis 0 of (B, 3); pass the places"),
        (lambda: lm.split(x, 0), ValueError, "[split] expected indices_or_sections >= 1, got 0"),
        (lambda: lm.split(free, [2.5]), TypeError, "[split] expected a place to be a whole number, got 2.5"),
        (lambda: lm.diff(x, -1), ValueError, "[diff] expected n >= 0, got -1"),
        (lambda: lm.diff(3.0), ValueError, "[diff] expected an array with an axis -1, got a scalar"),
        (lambda: lm.diff(x, prepend=0), TypeError, "got the argument 'prepend'; join it before: lm.diff(lm.concatenate"),
        (lambda: lm.cumsum(x, 2), ValueError, "[cumsum] expected an axis from -2 to 1, got 2"),
        (lambda: lm.cumsum(x, dim=1), TypeError, "got the argument 'dim'; did you mean 'axis'"),
    ):  # fmt: skip
        with pytest.raises(error, match=re.escape(message)):
            call()


def test_an_array_without_axes_is_one_number():
    for op in (lm.roll, lm.repeat, lm.tile, lm.split):
        assert np.array_equal(op(np.arange(6.0), np.array(2)), op(np.arange(6.0), 2))


def test_no_difference_is_taken_of_nothing():
    """However many are asked for: each would be an operation."""
    assert lm.diff(np.ones((2, 3)), 2**70).shape == (2, 0)


covers("split", "cumsum")


def some_bits(rng, shape, dtype):
    """Any bits at all: moving is no arithmetic."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    return np.frombuffer(rng.bytes(math.prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "bool"])
def test_whatever_is_moved_keeps_its_bits(dtype, count, rng, threads):
    """Lines of every length around those that are copied as a piece, along every axis, joined, turned round and repeated."""
    threads(count)
    for lengths in [(3, 5, 7), (4, 17, 33), (2, 64, 16), (31, 1, 20), (5, 3, 2, 9), (2, 19, 4, 16), (1, 40, 40), (300, 130)]:
        x = some_bits(rng, lengths, dtype)
        axes = range(x.ndim)
        moves = {
            **{f"transpose {order}": (lambda m, t, o=order: m.transpose(t, o)) for order in itertools.permutations(axes)},
            **{f"flip {axis}": (lambda m, t, a=axis: m.flip(t, a)) for axis in axes},
            **{
                f"concatenate {axis}": (lambda m, t, a=axis: m.concatenate([t, t[:, 1:], t] if a == 1 else [t, t], a))
                for axis in axes
            },
            "broadcast": lambda m, t: m.broadcast_to(t[..., :1], t.shape),
            "every second, turned": lambda m, t: m.transpose(t[..., ::2]),
        }
        for name, move in moves.items():
            got, want = build_and_run(lambda t: move(lm, t), [x]), move(np, x)  # noqa: B023
            assert got.dtype == want.dtype and got.tobytes() == want.tobytes(), f"{name} of {lengths}"


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_take_and_its_gradient_along_any_axis(dtype, count, rng, threads):
    threads(count)
    for shape in [(5, 40), (5, 3), (4, 6, 35), (50, 2, 1), (7,)]:
        x = rng.integers(-9, 10, shape).astype(dtype)  # sums of these are exact, whatever their order
        for axis, length in enumerate(shape):
            indices = rng.integers(-length, length, (3, 4))
            want = np.take(x, indices, axis=axis)
            dy = rng.integers(-9, 10, want.shape).astype(dtype)
            gradient = np.zeros_like(x)
            np.add.at(
                np.moveaxis(gradient, axis, 0),
                indices.ravel(),
                np.moveaxis(dy.reshape(*shape[:axis], -1, *shape[axis + 1 :]), axis, 0),
            )
            assert np.array_equal(build_and_run(lambda t, i: lm.take(t, i, axis=axis), [x, indices]), want)  # noqa: B023
            got = build_and_run(lambda t, i, d: lm.grad(lm.sum(lm.take(t, i, axis=axis) * d), t), [x, indices, dy])  # noqa: B023
            assert np.array_equal(got, gradient), f"{shape} along {axis}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_take(dtype, rng):
    for n in SIZES:
        x = rng.normal(size=(6, n)).astype(dtype)
        for indices in (np.array([0, 5, 2, 2, 0]), np.array([[1, 2], [3, 3]]), np.array(4), np.zeros((0,), np.int64)):
            want = np.take(x, indices, axis=0)
            assert np.array_equal(build_and_run(lambda t, i: lm.take(t, i), [x, indices]), want)
            assert np.array_equal(lm.take(x, indices), want)
        columns = rng.integers(0, n, 5)
        assert np.array_equal(build_and_run(lambda t, i: lm.take(t, i, axis=1), [x, columns]), np.take(x, columns, axis=1))


@pytest.mark.parametrize("wrong", [[4], [0, -5], [[1, 2], [99, 0]]], ids=str)
def test_take_refuses_indices_that_are_none(wrong):
    """In a program and at once; also where only the gradient is wanted, which takes nothing."""
    x, t, i = np.arange(4.0), lm.placeholder((4,), "float64"), lm.placeholder(np.shape(wrong), "int64")
    both = lm.function([t, i], lm.take(t, i)), lm.function([t, i], lm.grad(lm.sum(lm.take(t, i)), t))
    for f in (lm.take, *both):
        with pytest.raises(ValueError, match=r"expected indices from -4 to 3, got (4|-5|99) as number \d of"):
            f(x, np.array(wrong))
    assert both[0](x, np.zeros(np.shape(wrong), np.int64)).sum() == 0
    with pytest.raises(ValueError, match="got an empty one"):
        lm.take(np.zeros((0, 3)), [0])


def test_two_wrong_indices_at_once_are_forgotten_together(threads):
    """Both are found by tasks that run side by side, and one of them is said; the next call knows of neither."""
    threads(2)
    t, i, j = lm.placeholder((1000, 256)), lm.placeholder((1000,), "int64"), lm.placeholder((1000,), "int64")
    f = lm.function([t, i, j], [lm.take(t, i), lm.take(t, j)])
    x, right = np.ones((1000, 256), np.float32), np.arange(1000)
    with pytest.raises(ValueError, match="expected indices from -1000 to 999"):
        f(x, right + 1, right + 2)
    assert all(np.array_equal(y, x) for y in f(x, right, right))


def test_one_index_may_be_a_number(rng):
    x, t = rng.normal(size=5), lm.placeholder((5,))
    for index in (3, np.int64(3), np.array(3)):
        assert lm.take(x, index) == x[3]
        assert lm.function([t], lm.take(t, index))(x) == lm.function([t], t[np.array(3)])(x) == np.float32(x[3])
    with pytest.raises(TypeError, match=r"\[take\] expected whole numbers as indices, got float64"):
        lm.take(t, 1.5)


LARGEST, SMALLEST = 2**63 - 1, -(2**63)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_beyond_int64_become_its_ends(dtype):
    """Wherever they are converted: a tensor of them, one number, a sum; and no number is the least, which is no index."""
    given = np.array([1e30, -1e30, np.inf, -np.inf, np.nan, 2.0**63, -(2.0**63), 2.0**62], dtype)
    want = [LARGEST, SMALLEST, LARGEST, SMALLEST, SMALLEST, LARGEST, SMALLEST, 2**62]
    assert lm.cast(given, "int64").tolist() == want
    assert lm.cast(np.stack([given, given], 1)[:, 1], "int64").tolist() == want
    assert [int(lm.cast(value, "int64")) for value in given] == want
    many = np.full((40, 3), 2**62)
    for options in ({"axis": 0}, {"axis": 1}, {"keepdims": True}):
        assert (lm.sum(many, **options) == LARGEST).all() and (lm.sum(-many, **options) == SMALLEST).all(), options
    assert lm.function([], lm.full((2,), 1e30, "int64"))().tolist() == [LARGEST, LARGEST]


@pytest.mark.parametrize("find", ["argmax", "argmin"])
def test_a_place_that_float32_cannot_count_to(find):
    x = np.zeros(2**24 + 8, np.float32)
    x[2**24 + 1] = 1 if find == "argmax" else -1
    assert int(getattr(lm, find)(x)) == 2**24 + 1
    free = lm.placeholder(("T",))
    assert int(lm.function([free], getattr(lm, find)(free))(x)) == 2**24 + 1


def test_one_hot_takes_as_many_classes_as_float32_counts():
    labels = lm.placeholder((1,), dtype="int64")
    of_the_most = lm.function([labels], lm.one_hot(labels, 2**24))
    assert np.flatnonzero(of_the_most(np.array([2**24 - 1]))) == [2**24 - 1]
    assert not of_the_most(np.array([2**24 + 1])).any()  # which float32 rounds to 2^24
    with pytest.raises(ValueError, match=r"\[one_hot\] expected 1 to 2\^24 classes, got 16777217"):
        lm.one_hot(labels, 2**24 + 1)


def test_one_hot_cast_and_makers(rng):
    labels = np.array([0, 3, 1, 3])
    want = np.eye(4)[labels]
    for dtype in DTYPES:
        for got in (lm.one_hot(labels, 4, dtype=dtype), build_and_run(lambda t: lm.one_hot(t, 4, dtype=dtype), [labels])):  # noqa: B023
            assert got.dtype == np.dtype(dtype) and np.array_equal(got, want)
    x = np.array([-1.7, -0.2, 0.0, 0.6, 2.9])
    for dtype in ("float32", "float64", "int64", "bool"):
        got = build_and_run(lambda t: lm.cast(t, dtype), [x])  # noqa: B023
        assert got.dtype == np.dtype(dtype) and np.array_equal(got, x.astype(dtype))
        assert np.array_equal(lm.cast(x, dtype), x.astype(dtype))
    y = rng.normal(size=(3, 4))
    assert np.array_equal(build_and_run(lambda t: lm.zeros_like(t) + lm.ones_like(t), [y]), np.ones((3, 4)))
    assert np.array_equal(build_and_run(lm.stop_gradient, [y]), y)
    made = build_and_run(lambda t: t * lm.eye(3, dtype="float64")[:, :1] + lm.full((3, 4), 2.0, dtype="float64"), [y])
    assert np.array_equal(made, y * np.eye(3)[:, :1] + 2)
    assert lm.function([], lm.eye(0, dtype="float64"))().shape == (0, 0)
    rows = lm.placeholder((None,))
    repeated = lm.broadcast_to(y, (rows.shape[0], 3, 4))
    assert np.array_equal(lm.function([rows], lm.sum(repeated, axis=0))(np.zeros(2)), 2 * y)
    free = lm.function([rows], [lm.eye(rows.shape[0]), lm.eye(2 * rows.shape[0], "bool")])
    for n in (0, 1, 3):
        assert all(np.array_equal(got, np.eye(k)) for got, k in zip(free(np.zeros(n)), (n, 2 * n), strict=True))
    assert np.array_equal(build_and_run(lambda t: t + lm.arange(4, dtype="float64"), [y]), y + np.arange(4))
    assert build_and_run(lm.size, [y]) == 12
    assert build_and_run(lambda t: lm.size(t, 1), [y]) == 4


covers(
    "concatenate", "stack", "take", "one_hot", "cast", "zeros_like", "ones_like", "stop_gradient", "eye", "full", "arange", "size"
)


def test_a_bound_of_a_slice_is_whatever_counts_as_a_whole_number():
    x = lm.placeholder((None, 4))
    assert x[:, np.array(1) : np.array(3)].shape[1] == 2 and x[:, np.int8(1) :].shape[1] == 3
