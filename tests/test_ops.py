"""Operations as operators, and beside NumPy's arrays and numbers; every one has a case here or in test_ops_*.py."""

from __future__ import annotations

import importlib
import operator
from pathlib import Path

import numpy as np
import pytest

import lamina as lm
from operation_cases import COVERED, build_and_run


def test_an_axis_of_free_length_stays_in_its_place():
    x = lm.Input(3)
    assert lm.logsumexp(x, axis=0, keepdims=True).shape == (1, 3) and lm.log_softmax(x, axis=0).shape == x.shape


def test_a_number_is_of_the_widest_type_that_it_meets():
    x = lm.clip(np.ones(1, np.float32), np.zeros(1), 0.1)
    assert x.dtype == np.float64 and x == 0.1
    np.testing.assert_array_equal(lm.power([1, 2], -1), [1, 0])  # cut, as no float is there
    assert lm.maximum(lm.placeholder((2,), "bool"), np.array([True, False])).dtype == "bool"
    with pytest.raises(TypeError, match="expected numbers, got an array of uint64"):
        lm.abs(np.array([2**63], np.uint64))
    assert lm.abs(np.array([], np.uint64)).dtype == np.int64


def test_operators(rng):
    a, b = rng.uniform(1, 2, (2, 4, 4))
    cases = [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x / y,
        lambda x, y: x @ y,
        lambda x, y: -x + 2,
        lambda x, y: +x - y,
        lambda x, y: 2 - y,
        lambda x, y: 3 / y,
        lambda x, y: abs(x - y),
        lambda x, y: x.T @ y,
        lambda x, y: x.sum(axis=0) + y.mean(axis=1),
        lambda x, y: x.max(axis=1) - y.min(),
        lambda x, y: x.reshape((2, 8)) - 1,
        lambda x, y: x.transpose((1, 0)) * y,
    ]
    for f in cases:
        np.testing.assert_allclose(build_and_run(f, [a, b]), f(a, b), rtol=1e-14)
    for f in [
        lambda x, y: x < y,
        lambda x, y: x >= y,
        lambda x, y: x == y,
        lambda x, y: x != y,
        lambda x, y: x > 1.5,
        lambda x, y: x <= y,
    ]:
        assert np.array_equal(build_and_run(f, [a, b]), f(a, b))


OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "pow", "matmul", "lt", "le", "gt", "ge", "eq", "ne")


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_with_an_array_or_a_number_of_numpy_on_its_left(name, rng):
    apply = getattr(operator, name)
    a, b = rng.uniform(1, 2, (2, 4, 4))
    for left in (a, np.float64(1.5), np.array(1.5)) if name != "matmul" else (a,):
        np.testing.assert_allclose(build_and_run(lambda x, left=left: apply(left, x), [b]), apply(left, b), rtol=1e-14)


def test_reflected_operators_of_bools_and_plain_numbers(rng):
    a, b = rng.uniform(size=(2, 4)) > 0.5
    for apply in (operator.and_, operator.or_):
        assert np.array_equal(build_and_run(lambda x, f=apply: f(a, x), [b]), apply(a, b))
        assert np.array_equal(build_and_run(lambda x, f=apply: f(True, x), [b]), apply(True, b))
    assert np.array_equal(build_and_run(lambda x: 7 // x, [np.array([2.0, -2.0])]), [3, -4])


NUMPY = {  # a function of NumPy that was given a tensor -> what the error says to use
    "lm.abs": np.abs,
    "lm.mean": np.mean,
    "lm.max": np.max,
    "lm.exp": np.exp,
    "lm.sum": lambda x: np.sum(x, axis=0),
    "lm.where": lambda x: np.where(x > 0, x, 0.0),
    "lm.maximum": lambda x: np.maximum(np.zeros(3), x),
    "lm.concatenate": lambda x: np.concatenate([x, x]),
    "lm.linalg.inv": np.linalg.inv,
    "lamina's operations": np.cumprod,
    "lm.cumsum": np.cumsum,
    "lm.add": lambda x: operator.iadd(np.zeros((2, 3)), x),
}


@pytest.mark.parametrize("remedy", NUMPY)
def test_a_function_of_numpy_names_ours(remedy):
    with pytest.raises(TypeError, match=rf"\[numpy.*\] expected arrays, got a tensor.*{remedy}"):
        NUMPY[remedy](lm.Input(3))
    assert np.ndim(lm.Input(3)) == 2 and np.shape(lm.placeholder((4, 3))) == (4, 3)


# Held elsewhere: gradients in test_gradients.py, state and randomness in test_program.py
ELSEWHERE = {"grad", "in_training", "random_uniform", "update_state", "jacobian", "function"}


def test_every_operation_has_a_case():
    for file in Path(__file__).parent.glob("test_ops_*.py"):  # each says what it covers as it is read
        importlib.import_module(file.stem)
    names = {n for n in lm.ops.__all__ if callable(getattr(lm.ops, n)) and not isinstance(getattr(lm.ops, n), type)}
    assert names - COVERED - ELSEWHERE == set(), "operations without a case"
    assert all(hasattr(lm, n) for n in names), "operations live at the top level, too"


def test_streams_and_weights_outside_a_network_have_values_of_their_own():
    x = lm.placeholder((10000,), dtype="float64")
    a, b = lm.function(x, [lm.random_uniform(x), lm.random_uniform(x)])(np.zeros(10000))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.05
    y = lm.placeholder((1, 1000))
    first, second = lm.Dropout(0.5), lm.Dropout(0.5)
    p, q = lm.function(y, [first(y), second(y)], training=True)(np.ones((1, 1000)))
    assert 0.4 < np.mean(p == q) < 0.6
    assert lm.function(y, lm.Dense(3)(y))(np.ones((1, 1000))).all()


def test_truth_values_meet_as_in_numpy():
    t = lm.placeholder((3,))
    x, fixed = np.array([-1.0, 0.5, 2.0], np.float32), np.array([True, False, True])
    found = lm.function(t, [(t > 0) & (t < 1), (t < 0) | (t > 1), ~(t > 0), fixed & (t > 0), fixed | (t > 0), (t > 0) & True])(x)
    want = [(x > 0) & (x < 1), (x < 0) | (x > 1), ~(x > 0), fixed & (x > 0), fixed | (x > 0), x > 0]
    assert all(np.array_equal(a, b) and a.dtype == bool for a, b in zip(found, want, strict=True))


def test_a_free_length_is_a_number_in_math(rng):
    """As in lm.sum(x) / x.shape[0], whatever the type of what it meets."""
    x, n = lm.Input(3, dtype="float64"), lm.placeholder((None,), "int64")
    mean, twice = lm.function([x], [lm.sum(x, axis=0) / x.shape[0], 2 * x.shape[0] * x])(a := rng.normal(size=(5, 3)))
    np.testing.assert_allclose(mean, a.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(twice, 10 * a, rtol=1e-14)
    longer = lm.function([n], n + n.shape[0])(np.array([1, 2]))
    assert longer.tolist() == [3, 4] and longer.dtype == np.int64


def test_updates_of_a_function_are_one_value_of_its_shape_for_each_parameter():
    w = lm.Parameter(np.zeros(3), name="w")
    with pytest.raises(ValueError, match=r"\[function\] updates: expected one new value for each parameter, got two for w"):
        lm.function([], w, [(w, w + 1), (w, w + 2)])
    with pytest.raises(ValueError, match=r"updates: expected a value of shape \(3,\) for w, got one of \(\)"):
        lm.function([], w, {w: lm.sum(w)})
    lm.function([], w, {w: w + 1})()
    assert np.array_equal(w.value, np.ones(3))
