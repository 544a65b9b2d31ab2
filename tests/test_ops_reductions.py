"""Sums, means, extremes, places and softmax along axes, against NumPy; of nothing, of infinities, of constant numbers."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import lamina as lm
from operation_cases import DTYPES, SIZES, build_and_run, covers, rounded
from reference import log_softmax, logsumexp, softmax

AXES = ("sum", "mean", "max", "min", "var", "std", "norm", "size", "squeeze", "flip")


@pytest.mark.parametrize("name", AXES)
def test_an_axis_that_there_is_not_or_twice_names_the_operation(name):
    call = getattr(lm, name)
    for axis, expected in (
        (2, "an axis from -2 to 1, got 2"),
        (True, "an axis from -2 to 1, got True"),
        ((0, -2), "each axis once"),
    ):
        for x in (np.ones((1, 3)), lm.placeholder((1, 3))):
            with pytest.raises(ValueError, match=rf"\[{name}\] expected {expected}"):
                call(x, axis)


def test_ddof_is_a_number():
    for name in ("var", "std"):
        with pytest.raises(TypeError, match=rf"\[{name}\] expected ddof to be a finite number, got 'a'"):
            getattr(lm, name)([1.0, 2.0], ddof="a")


REDUCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "var": np.var,
    "std": np.std,
    "norm": lambda x, axis=None, keepdims=False: np.sqrt((x * x).sum(axis=axis, keepdims=keepdims)),
}
covers(*REDUCTIONS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, dtype, rng):
    shapes = [(n,) for n in SIZES] + [(5, n) for n in SIZES] + [(n, 5) for n in SIZES] + [(3, 4, 5), (1, 1), (2, 1, 3, 1), ()]
    for shape in shapes:
        (x,) = rounded([rng.normal(size=shape)], dtype)
        axes = [None, *range(-len(shape), len(shape)), *([(0, 2), (1, 2)] if len(shape) == 3 else [])]
        for axis in axes:
            for keepdims in (False, True):
                want = REDUCTIONS[name](x.astype(np.float64), axis=axis, keepdims=keepdims)
                f = lambda t: getattr(lm, name)(t, axis=axis, keepdims=keepdims)  # noqa: B023, E731
                for got in (f(x), build_and_run(f, [x])):
                    assert np.shape(got) == np.shape(want)
                    # a sum of n terms of size 1, each rounded: n eps at the worst
                    np.testing.assert_allclose(got, want, rtol=0, atol=(8 + x.size) * np.finfo(dtype).eps)


def test_reductions_of_a_long_column_and_row(rng):
    """Long enough for several tiles and partial sums."""
    x = rng.normal(size=(3000, 33)).astype(np.float32)
    for axis in (None, 0, 1):
        for name in ("sum", "max", "min", "mean"):
            want = REDUCTIONS[name](x.astype(np.float64), axis=axis)
            got = build_and_run(lambda t: getattr(lm, name)(t, axis=axis), [x])  # noqa: B023
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * math.sqrt(x.size))


def test_without_degrees_of_freedom_there_is_no_variance():
    """As NumPy has it; of a batch whose rows are known only when it runs, too."""
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for values, ddof in (([1.0, 2.0, 3.0], 4), ([1.0, 2.0, 3.0], 3), ([1.0], 2), ([1.0], 1), ([2.0, 4.0], 0.5)):
            rows = lm.placeholder((None,), "float64")
            for f, numpy_f in ((lm.var, np.var), (lm.std, np.std)):
                want = numpy_f(values, ddof=ddof)
                np.testing.assert_array_equal(f(values, ddof=ddof), want)
                np.testing.assert_array_equal(lm.function(rows, f(rows, ddof=ddof))(np.array(values)), want)


def test_the_place_in_no_elements_is_an_error_of_the_shape_that_was_given():
    for f in (lm.argmax, lm.argmin):
        with pytest.raises(ValueError, match=rf"\[{f.__name__}\] expected an axis with elements, got axis 0 of shape \(0, 3\)"):
            f(np.ones((0, 3)), 0)


def test_var_with_ddof(rng):
    x = rng.normal(size=(7, 9))
    for f, numpy_f in [(lm.var, np.var), (lm.std, np.std)]:
        np.testing.assert_allclose(build_and_run(lambda t: f(t, axis=0, ddof=1), [x]), numpy_f(x, axis=0, ddof=1), rtol=1e-13)  # noqa: B023
        np.testing.assert_allclose(f(x, axis=0, ddof=1), numpy_f(x, axis=0, ddof=1), rtol=1e-13)


def test_sum_over_nothing_is_zero():
    assert np.array_equal(build_and_run(lambda t: lm.sum(t, axis=0), [np.zeros((0, 3))]), np.zeros(3))
    assert np.array_equal(build_and_run(lambda t: lm.sum(t, axis=1), [np.zeros((0, 3))]), np.zeros(0))
    assert build_and_run(lm.sum, [np.zeros((0, 3))]) == 0
    for shape in ((3, 0), (3, 2, 0)):  # rows without elements, alone and inside an expression
        assert np.array_equal(build_and_run(lambda t: lm.sum(t, axis=-1), [np.zeros(shape)]), np.zeros(shape[:-1]))
        assert np.array_equal(build_and_run(lambda t: lm.sum(t * 2, axis=-1) + 1, [np.zeros(shape)]), np.ones(shape[:-1]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_argmax(name, dtype, rng):
    for shape in [(n,) for n in SIZES] + [(4, 9), (9, 4), (2, 3, 5)]:
        x = np.round(rng.normal(size=shape), 1).astype(dtype)  # rounded: ties, of which the first counts
        for axis in range(-len(shape), len(shape)):
            want = getattr(np, name)(x, axis=axis)
            for got in (getattr(lm, name)(x, axis=axis), build_and_run(lambda t: getattr(lm, name)(t, axis=axis), [x])):  # noqa: B023
                assert got.dtype == np.int64 and np.array_equal(got, want)


covers("argmax", "argmin")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [-1, 0])
def test_softmax_family(axis, dtype, rng):
    family = {"softmax": softmax, "log_softmax": log_softmax, "logsumexp": logsumexp}
    for name, f in family.items():
        for n in SIZES:
            for scale in (1, 30):
                (x,) = rounded([scale * rng.normal(size=(5, n))], dtype)
                wide = x.astype(np.float64)
                want = f(wide) if axis == -1 else (f(wide.T).T)
                for got in (getattr(lm, name)(x, axis=axis), build_and_run(lambda t: getattr(lm, name)(t, axis=axis), [x])):  # noqa: B023
                    assert got.dtype == np.dtype(dtype)
                    # x - max is rounded once: exp passes that on as |x - max| eps; log(1 + small) is 1 + small rounded
                    eps = float(np.finfo(dtype).eps)
                    np.testing.assert_allclose(
                        got, want, rtol=eps * 10 * (1 + scale * 4), atol=1e-37 if name == "softmax" else 4 * eps
                    )


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_there_is_no_extreme_among_nothing(name, dtype):
    """Neither where the graph knows the length nor where the batch turns out to be empty."""
    op = getattr(lm, name)
    x = lm.placeholder((None, 3), dtype)
    by_column, by_row = lm.function([x], op(x, axis=0)), lm.function([x], op(x, axis=1))
    for call in (lambda at: op(at, axis=0), by_column):
        with pytest.raises(ValueError, match=rf"\[{name}\].*(no largest or smallest among 0|no|with) elements"):
            call(np.zeros((0, 3), dtype))
    assert by_row(np.zeros((0, 3), dtype)).shape == (0,) and by_column(np.ones((2, 3), dtype)).shape == (3,)
    stack = lm.placeholder((2, None, 3), dtype)
    with pytest.raises(ValueError, match="no largest or smallest among 0 elements"):
        lm.function([stack], op(stack, axis=1))(np.zeros((2, 0, 3), dtype))


def test_softmax_of_huge_logits():
    x = np.array([[1e30, 0, -1e30], [1e4, 1e4, 1e4], [-3e38, -3e38, -3e38]], np.float32)
    np.testing.assert_allclose(lm.softmax(x), [[1, 0, 0], [1 / 3] * 3, [1 / 3] * 3], rtol=1e-6)
    assert np.all(np.isfinite(lm.logsumexp(x[1:])))


@pytest.mark.parametrize("f", [lm.softmax, lm.log_softmax, lm.logsumexp])
def test_no_axis_decides_what_infinities_give(f):
    """A row and a column are calculated another way."""
    inf, nan = np.inf, np.nan
    x = np.array([[-inf, -inf, -inf], [inf, 1, 2], [inf, -inf, inf], [nan, 1, inf], [1, -inf, 2], [3, 1, 2]], np.float32)
    for keepdims in [{}, {"keepdims": True}] if f is lm.logsumexp else [{}]:
        np.testing.assert_allclose(f(x.T.copy(), axis=0, **keepdims), f(x, axis=1, **keepdims).T, rtol=1e-6)
    whole = np.arange(6).reshape(2, 3)
    np.testing.assert_allclose(f(whole, axis=0), f(whole.T, axis=1).T, rtol=1e-6)
    with pytest.raises(ValueError, match="expected an axis with elements, got axis 0"):
        f(np.zeros((0, 3)), axis=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_of_infinities(dtype):
    rows = np.array([[-np.inf, -np.inf], [np.inf, 0], [np.inf, -np.inf], [-np.inf, 3], [np.nan, np.inf]], dtype)
    assert np.array_equal(lm.logsumexp(rows), np.array([-np.inf, np.inf, np.inf, 3, np.nan], dtype), equal_nan=True)
    assert np.array_equal(lm.logsumexp(rows[:4].T, axis=0), np.array([-np.inf, np.inf, np.inf, 3], dtype))


def test_the_gradient_of_a_standard_deviation_of_0_is_0():
    x = lm.placeholder((2, 3), dtype="float64")
    values = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
    got = lm.function(x, lm.grad(lm.sum(lm.std(x, axis=1)), x))(values)
    assert np.array_equal(got[0], np.zeros(3))
    np.testing.assert_allclose(got[1], (values[1] - values[1].mean()) / (3 * values[1].std()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_over_nothing_is_0(dtype):
    for m, n in ((3, 4), (150, 300), (40, 2048)):
        assert np.array_equal(lm.matmul(np.ones((m, 0), dtype), np.ones((0, n), dtype)), np.zeros((m, n)))
        assert np.array_equal(lm.matmul(np.ones((0, m), dtype).T, np.ones((n, 0), dtype).T), np.zeros((m, n)))


@pytest.mark.parametrize("f", [lm.softmax, lm.log_softmax, lm.logsumexp])
def test_a_free_axis_may_turn_out_empty(f):
    x = lm.placeholder((None, 3))
    compiled = lm.function(x, f(x, axis=0))
    assert compiled(np.zeros((0, 3), "float32")).size in (0, 3)
    np.testing.assert_allclose(compiled(np.arange(6.0).reshape(2, 3)), f(np.arange(6.0).reshape(2, 3).T, axis=1).T, rtol=1e-6)
