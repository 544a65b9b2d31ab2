"""Values of every operation against NumPy, in f32 and f64, given arrays and given tensors.

A case is (operation of lamina, the same in NumPy, operands). Operands are float64; for f32 they are rounded first, so the expected
value is exact and the tolerance holds the operation alone.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
import warnings
from collections import OrderedDict

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina.graph import lift
from lamina.graph.indexing import getitem
from reference import log_softmax, logsumexp, softmax
from reference_activations import ACTIVATIONS, erf, sigmoid

SIZES = [1, 7, 8, 9, 15, 16, 17, 33]  # around the vector widths of every instruction set
DTYPES = ["float32", "float64"]
COVERED: set[str] = set()  # names of lamina.ops that some case below exercises


def covers(*names: str) -> None:
    COVERED.update(names)


def build_and_run(f, arrays, dtype=None):
    """f over placeholders of the arrays' shapes and types, run on the arrays."""
    inputs = [lm.placeholder(np.shape(a), str(np.asarray(a).dtype), name=f"x{i}") for i, a in enumerate(arrays)]
    return lm.function(inputs, f(*inputs))(*arrays)


def ulps(got, want, dtype) -> float:
    """The largest distance in units of the last place of `want` (of its type's smallest normal near zero)."""
    want = np.asarray(want, np.float64)
    got = np.asarray(got, np.float64)
    assert got.shape == want.shape, f"shape {got.shape} is not {want.shape}"
    special = ~np.isfinite(want)
    with np.errstate(over="ignore"):
        rounded = want.astype(dtype)
    special |= ~np.isfinite(rounded)
    assert np.array_equal(got[special], rounded[special].astype(np.float64), equal_nan=True), "infinities and nan differ"
    got, want, rounded = got[~special], want[~special], rounded[~special]
    with np.errstate(over="ignore"):  # above the largest number there is no next one
        unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(dtype).tiny).astype(dtype)).astype(np.float64)
    error = np.abs(got - want) / unit
    return float(error.max()) if error.size else 0.0


def check(f, want, arrays, dtype, tolerance) -> None:
    """Both paths: arrays in, arrays out; tensors in, a function out."""
    at_once = f(*arrays)
    assert isinstance(at_once, (np.ndarray, np.generic)), (
        f"given arrays, an operation returns an array, not {type(at_once).__name__}"
    )
    for result in (at_once, build_and_run(f, arrays)):
        result = np.asarray(result)
        if np.asarray(want).dtype == bool:
            assert result.dtype == bool and np.array_equal(result, want)
        else:
            assert result.dtype == np.dtype(dtype), f"result is {result.dtype}, not {dtype}"
            assert ulps(result, want, dtype) <= tolerance


def rounded(arrays, dtype):
    return [np.asarray(a).astype(dtype) for a in arrays]


def widened(arrays):
    return [a.astype(np.float64) for a in arrays]


# ---- elementwise, one operand ----------------------------------------------------------------------------------------------------

ANY, POSITIVE, ABOVE_MINUS_ONE = (-4.0, 4.0), (0.01, 9.0), (-0.9, 6.0)

# name: (NumPy, domain, ulp in f32 and f64). 0: exact; .51: correctly rounded; 2 + rounding of our own formula: 3
UNARY = {
    "negative": (np.negative, ANY, 0.0),
    "abs": (np.abs, ANY, 0.0),
    "sign": (np.sign, ANY, 0.0),
    "floor": (np.floor, ANY, 0.0),
    "square": (np.square, ANY, 0.51),
    "sqrt": (np.sqrt, POSITIVE, 0.51),
    "exp": (np.exp, (-20, 20), 2.5),
    "expm1": (np.expm1, ANY, 3.0),
    "log": (np.log, POSITIVE, 2.5),
    "log1p": (np.log1p, ABOVE_MINUS_ONE, 3.0),
    "sin": (np.sin, ANY, 2.5),
    "cos": (np.cos, ANY, 2.5),
    "arctan": (np.arctan, ANY, 2.5),
    "tanh": (np.tanh, ANY, 2.5),
    "sigmoid": (sigmoid, ANY, 2.5),
    "erf": (erf, ANY, 2.5),
    "relu": (lambda x: np.maximum(x, 0), ANY, 0.0),
}
covers(*UNARY)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, dtype, rng):
    numpy_f, (low, high), tolerance = UNARY[name]
    for n in SIZES:
        arrays = rounded([rng.uniform(low, high, n)], dtype)
        check(getattr(lm, name), numpy_f(*widened(arrays)), arrays, dtype, tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary_at_the_edges(name, dtype):
    """Zeros, infinities, nan and huge and tiny values as in IEEE/C; a zero keeps its sign where C's does."""
    big, tiny = float(np.finfo(dtype).max), float(np.finfo(dtype).tiny)
    x = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, big, -big, tiny, -tiny, tiny / 4, 1.0, -1.0, 88.0, -88.0, 89.5, -104.0], dtype
    )
    if name in {"sin", "cos"}:
        x = x[np.abs(np.nan_to_num(x, posinf=0, neginf=0)) < 1000]  # huge arguments: see the accuracy tests of the kernels
    with np.errstate(all="ignore"):
        want = UNARY[name][0](x.astype(np.float64))
        if dtype == "float64" and name in {"exp", "expm1", "square"}:
            want = getattr(np, name)(x)
    check(getattr(lm, name), want, [x], dtype, max(UNARY[name][2], 1.0))


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "erf", "arctan"])
def test_two_ulp_in_f32(name):
    """docs/promises.md: at most 2 ulp from the correctly rounded value on normals; a dense sample over all exponents."""
    bits = np.arange(0x00800000, 0x7F800000, 9973, dtype=np.uint32)
    x = np.concatenate([bits, bits | 0x80000000]).astype(np.uint32).view(np.float32)
    if name == "log":
        x = x[x > 0]
    with np.errstate(all="ignore"):
        want = UNARY[name][0](x.astype(np.float64))
    with np.errstate(over="ignore"):
        finite = np.isfinite(want.astype(np.float32)) & (np.abs(want) >= np.finfo(np.float32).tiny)
    correctly_rounded = want[finite].astype(np.float32).astype(np.float64)
    assert ulps(getattr(lm, name)(x)[finite], correctly_rounded, "float32") <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", core.activation_names())
def test_activation(name, dtype, rng):
    entry = ACTIVATIONS[name]
    for n in SIZES:
        (x,) = rounded([rng.uniform(-8, 8, n)], dtype)
        want = entry.value(x.astype(np.float64), *entry.params)
        got = lm.activation(name, x)
        assert got.dtype == np.dtype(dtype)
        # sums such as x + .044715 x^3 or 1 + erf cancel: hold the error against the operand, too
        unit = np.finfo(dtype).eps * np.maximum(np.abs(want), np.minimum(np.abs(x), 1))
        assert np.all(np.abs(got - want) <= 4 * unit)
        assert np.array_equal(build_and_run(lambda t: lm.activation(name, t), [x]), got)


@pytest.mark.parametrize("name", core.activation_names())
def test_activation_far_out(name):
    """No overflow where the formula has none: the limits at +-1000 in f32."""
    x = np.array([-1000.0, -100.0, 100.0, 1000.0], np.float32)
    want = ACTIVATIONS[name].value(x.astype(np.float64), *ACTIVATIONS[name].params)
    np.testing.assert_allclose(lm.activation(name, x), want, rtol=3e-7, atol=1e-37)


@pytest.mark.parametrize("name", [n for n in core.activation_names() if ACTIVATIONS[n].params])
def test_activation_with_its_parameter(name, rng):
    entry = ACTIVATIONS[name]
    params = tuple(1.7 * p for p in entry.params)
    x = rng.uniform(-5, 5, 33)
    np.testing.assert_allclose(lm.activation(name, x, *params), entry.value(x, *params), rtol=1e-14, atol=1e-15)


covers("activation")

# ---- elementwise, two and more operands ------------------------------------------------------------------------------------------

BINARY = {
    "add": (np.add, 0.51),
    "subtract": (np.subtract, 0.51),
    "multiply": (np.multiply, 0.51),
    "divide": (np.divide, 0.51),
    "maximum": (np.maximum, 0.0),
    "minimum": (np.minimum, 0.0),
    "equal": (np.equal, 0.0),
    "not_equal": (np.not_equal, 0.0),
    "less": (np.less, 0.0),
    "less_equal": (np.less_equal, 0.0),
    "greater": (np.greater, 0.0),
    "greater_equal": (np.greater_equal, 0.0),
}
covers(*BINARY)

BROADCASTS = [
    ((5, 17), (5, 17)),
    ((5, 17), (17,)),
    ((5, 17), (5, 1)),
    ((5, 17), ()),
    ((), (9,)),
    ((1, 17), (5, 1)),
    ((2, 1, 9), (3, 1)),
    ((2, 3, 4, 5), (3, 1, 5)),
    ((4, 1), (1, 1)),
    ((0, 3), (1, 3)),
    ((3, 0), (3, 1)),
    ((1, 33), (1, 33)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype, rng):
    numpy_f, tolerance = BINARY[name]
    shapes = [((n,), (n,)) for n in SIZES] + BROADCASTS
    for a_shape, b_shape in shapes:
        for left, right in ((a_shape, b_shape), (b_shape, a_shape)):
            arrays = rounded([np.round(rng.uniform(-4, 4, left), 1), np.round(rng.uniform(0.3, 4, right), 1)], dtype)
            check(getattr(lm, name), numpy_f(*widened(arrays)), arrays, dtype, tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exponent", [2, 3, 0.5, -1, -2, 0, 1, 1.7, -0.3])
def test_power(exponent, dtype, rng):
    for n in SIZES:
        (x,) = rounded([rng.uniform(0.2, 4, n)], dtype)
        e = float(np.asarray(exponent, dtype))
        check(
            lambda t: lm.power(t, exponent), x.astype(np.float64) ** e, [x], dtype, 8
        )  # e log x: relative error grows by |e log x|
        check(lambda t: t**exponent, x.astype(np.float64) ** e, [x], dtype, 8)


@pytest.mark.parametrize(
    ("exponent", "steps"), [(1, set()), (2, {"mul"}), (3, {"mul"}), (4, {"mul"}), (-1, {"div"}), (1.5, {"pow"})]
)
def test_small_powers_are_products(exponent, steps):
    """Also of what a product treats in its own way: zeros of both signs, infinities, NaN."""
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -2.0, 3.0], "float32")
    t = lm.placeholder(x.shape, "float32")
    y = t**exponent
    ran = set("+".join(core.Program([t.node], [y.node], [], False).steps).split("+"))
    assert ran & {"pow", "mul", "div"} == steps
    with np.errstate(all="ignore"):
        right = (x.astype(np.float64) ** exponent).astype(np.float32)  # NumPy's own in float32 is off by an ulp with AVX-512
        np.testing.assert_array_equal(lm.function([t], y)(x), right)


def test_power_of_two_tensors_and_negative_bases(rng):
    x, e = rng.uniform(0.2, 4, (3, 5)), rng.uniform(-2, 2, (5,))
    np.testing.assert_allclose(build_and_run(lm.power, [x, e]), x**e, rtol=1e-14)
    x = np.array([-2.0, -0.5, 0.0, 3.0])
    for whole in (2, 3):
        np.testing.assert_allclose(build_and_run(lambda t: t**whole, [x]), x**whole, rtol=1e-15)  # noqa: B023


covers("power")


@pytest.mark.parametrize("dtype", DTYPES)
def test_minimum_and_maximum_pass_nan_on(dtype):
    a, b = np.array([np.nan, 1, np.nan, 0], dtype), np.array([1, np.nan, np.nan, 2], dtype)
    for name in ("maximum", "minimum"):
        check(getattr(lm, name), getattr(np, name)(a, b).astype(np.float64), [a, b], dtype, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_and_clip(dtype, rng):
    for shapes in [((33,), (33,), (33,)), ((5, 1), (7,), ()), ((4, 9), (1, 9), (4, 1))]:
        c = rng.random(shapes[0]) < 0.5
        a, b = rounded([rng.normal(size=shapes[1]), rng.normal(size=shapes[2])], dtype)
        check(lm.where, np.where(c, a, b).astype(np.float64), [c, a, b], dtype, 0)
    (x,) = rounded([rng.normal(size=(5, 9))], dtype)
    lo, hi = np.asarray(-0.5, dtype), np.asarray(0.7, dtype)
    check(lambda t: lm.clip(t, -0.5, 0.7), np.clip(x, lo, hi).astype(np.float64), [x], dtype, 0)


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


def test_logic(rng):
    a, b = rng.random((2, 3, 17)) < 0.5
    for f, numpy_f in [(lm.logical_and, np.logical_and), (lm.logical_or, np.logical_or)]:
        assert np.array_equal(build_and_run(f, [a, b]), numpy_f(a, b))
        assert np.array_equal(f(a, b), numpy_f(a, b))
    assert np.array_equal(build_and_run(lm.logical_not, [a]), ~a)
    assert np.array_equal(build_and_run(lambda p, q: (p & q) | ~p, [a, b]), (a & b) | ~a)
    x = np.array([1.0, np.nan, np.inf])
    assert np.array_equal(build_and_run(lm.isnan, [x]), np.isnan(x))
    assert np.array_equal(lm.isnan(x), np.isnan(x))


covers("where", "clip", "logical_and", "logical_or", "logical_not", "isnan")


@pytest.mark.parametrize("dtype", DTYPES)
def test_arctan2(dtype, rng):
    """In all four quadrants, on the axes, and far from one another in size."""
    y, x = rounded(rng.normal(size=(2, 400)), dtype)
    y[::3] *= 1e-20 if dtype == "float32" else 1e-200
    y[:9], x[:9] = np.repeat([0, 1, -1], 3), np.tile([0, 1, -1], 3)
    check(lm.arctan2, np.arctan2(*widened([y, x])), [y, x], dtype, 3)
    check(lm.arctan2, np.arctan2(*np.broadcast_arrays(1.0, widened([x])[0])), [np.ones(1, dtype), x], dtype, 3)
    at = np.array([[1.0, np.inf], [1.0, -np.inf], [np.inf, 1.0], [np.nan, 1.0], [np.nan, 0.0], [0.0, np.nan]], dtype).T
    np.testing.assert_allclose(lm.arctan2(*at), np.arctan2(*at), rtol=1e-6)


def test_the_gradient_of_arctan2():
    """Where |x| = |y|, on the axes, and at the origin."""
    x, y = lm.placeholder((6,), "float64"), lm.placeholder((6,), "float64")
    slopes = lm.function([y, x], lm.grad(lm.sum(lm.arctan2(y, x)), [y, x]))
    at = np.array([[1.0, 1, 0, 2, -3, 0], [1, -1, -2, 0, -3, 0]])
    square = np.maximum((at**2).sum(axis=0), 1e-300)
    np.testing.assert_allclose(slopes(*at), [at[1] / square, -at[0] / square], rtol=1e-15)


covers("arctan2")


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
    "lamina's operations": np.cumsum,
    "lm.add": lambda x: operator.iadd(np.zeros((2, 3)), x),
}


@pytest.mark.parametrize("remedy", NUMPY)
def test_a_function_of_numpy_names_ours(remedy):
    with pytest.raises(TypeError, match=rf"\[numpy.*\] expected arrays, got a tensor.*{remedy}"):
        NUMPY[remedy](lm.Input(3))
    assert np.ndim(lm.Input(3)) == 2 and np.shape(lm.placeholder((4, 3))) == (4, 3)


# ---- reductions ------------------------------------------------------------------------------------------------------------------

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


covers("softmax", "log_softmax", "logsumexp")

# ---- linear algebra --------------------------------------------------------------------------------------------------------------

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


covers("einsum")

# ---- shapes ----------------------------------------------------------------------------------------------------------------------

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
    """The same number again does, 2 and 2.0 apart; another one is computed with, and one that was forgotten. So do lists."""
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
            lm.concatenate([x, x]),
            lm.stack([x, x], axis=1),
            lm.einsum("i,j->ij", x, x),
        ]

    wanted = [[0, 2], [-1.5, 3.5], [-1, 1], [0.5, 2], [3, 4], [3, 4], np.exp(1.0), [*x, *x], np.stack([x, x], 1), np.outer(x, x)]
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


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_small_power_of_an_array_is_a_product(dtype):
    x = np.array([[[0.0, 2.0, 0.1, np.inf]]], dtype)  # a shape that no other test has
    with np.errstate(divide="ignore"):
        for exponent, want in (
            (2, x * x),
            (2.0, x * x),
            (3, x * x * x),
            (4, (x * x) * (x * x)),
            (0.5, np.sqrt(x)),
            (-1, 1 / x),
            (1, x),
        ):
            assert np.array_equal(lm.power(x, exponent), want) and lm.power(x, exponent) is not x
            steps = next(reversed(lift._computations.values())).program.steps
            assert "pow" not in "+".join(steps)
    assert lm.power(np.array([2, 3]), 2).dtype == "int64"


def test_a_power_has_the_shape_and_type_of_its_operands():
    a, i = lm.placeholder(()), lm.placeholder((2,), "int64")
    for exponent in (1.0, 2.0, 0.5, -1.0, 3.0):
        assert lm.power(a, lm.full((3,), exponent)).shape == (3,)
        assert lm.power(i, exponent).dtype == "float32"
        assert lm.power(a, lm.full((), exponent, "float64")).dtype == "float64"


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

# ---- every operation has a case --------------------------------------------------------------------------------------------------

# Held elsewhere: gradients in test_gradients.py, state and randomness in test_program.py
ELSEWHERE = {"grad", "in_training", "random_uniform", "update_state", "jacobian", "function"}


def test_every_operation_has_a_case():
    names = {n for n in lm.ops.__all__ if callable(getattr(lm.ops, n)) and not isinstance(getattr(lm.ops, n), type)}
    assert names - COVERED - ELSEWHERE == set(), "operations without a case in this file"
    assert all(hasattr(lm, n) for n in names), "operations live at the top level, too"


@pytest.mark.parametrize("m", [1, 2, 4, 20])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_factor_may_be_a_broadcast_vector(m, axis):
    """Its rows or its columns lie no number apart."""
    rng = np.random.default_rng(m)
    a, v = rng.standard_normal((m, 40)), rng.standard_normal((1, 24) if axis == 0 else (40, 1))
    x, y = lm.placeholder(a.shape, dtype="float64"), lm.placeholder(v.shape, dtype="float64")
    product = lm.function([x, y], lm.matmul(x, lm.broadcast_to(y, (40, 24))))(a, v)
    np.testing.assert_allclose(product, a @ np.broadcast_to(v, (40, 24)), rtol=1e-12, atol=1e-12)


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


def test_streams_and_weights_outside_a_network_have_values_of_their_own():
    x = lm.placeholder((10000,), dtype="float64")
    a, b = lm.function(x, [lm.random_uniform(x), lm.random_uniform(x)])(np.zeros(10000))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.05
    y = lm.placeholder((1, 1000))
    first, second = lm.Dropout(0.5), lm.Dropout(0.5)
    p, q = lm.function(y, [first(y), second(y)], training=True)(np.ones((1, 1000)))
    assert 0.4 < np.mean(p == q) < 0.6
    assert lm.function(y, lm.Dense(3)(y))(np.ones((1, 1000))).all()


def test_floor_division_of_whole_numbers_is_whole():
    t = lm.placeholder((3,), dtype="int64")
    whole, back, other = lm.function(t, [t // 2, 7 // t, t // 2.5])(np.array([33554435, -7, 3]))
    assert whole.tolist() == [16777217, -4, 1] and whole.dtype == np.int64
    assert back.tolist() == [0, -1, 2]
    assert other.tolist() == [13421774, -3, 1] and other.dtype == np.float32
    ones = np.array([1, 1, 1])
    for built in (t // ones, t // [1, 1, 1], t // np.int64(1)):
        found = lm.function(t, built)(np.array([33554435, -7, 3]))
        assert found.tolist() == [33554435, -7, 3] and found.dtype == np.int64
    left = lm.function(t, ones // t)(np.array([33554435, -7, 3]))
    assert left.tolist() == [0, -1, 0] and left.dtype == np.int64
    for built in (np.floor_divide(t, 2), np.floor_divide(t, 2 * ones), np.floor_divide(t, [2, 2, 2])):
        assert lm.function(t, built)(np.array([33554435, -7, 3])).tolist() == [16777217, -4, 1]
    assert lm.function(t, np.floor_divide(ones, t))(np.array([33554435, -7, 3])).tolist() == [0, -1, 0]


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_over_nothing_is_0(dtype):
    for m, n in ((3, 4), (150, 300), (40, 2048)):
        assert np.array_equal(lm.matmul(np.ones((m, 0), dtype), np.ones((0, n), dtype)), np.zeros((m, n)))
        assert np.array_equal(lm.matmul(np.ones((0, m), dtype).T, np.ones((n, 0), dtype).T), np.zeros((m, n)))


def test_a_bound_of_a_slice_is_whatever_counts_as_a_whole_number():
    x = lm.placeholder((None, 4))
    assert x[:, np.array(1) : np.array(3)].shape[1] == 2 and x[:, np.int8(1) :].shape[1] == 3


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


def test_updates_of_a_function_are_one_value_of_its_shape_for_each_parameter():
    w = lm.Parameter(np.zeros(3), name="w")
    with pytest.raises(ValueError, match=r"\[function\] updates: expected one new value for each parameter, got two for w"):
        lm.function([], w, [(w, w + 1), (w, w + 2)])
    with pytest.raises(ValueError, match=r"updates: expected a value of shape \(3,\) for w, got one of \(\)"):
        lm.function([], w, {w: lm.sum(w)})
    lm.function([], w, {w: w + 1})()
    assert np.array_equal(w.value, np.ones(3))


@pytest.mark.parametrize("f", [lm.softmax, lm.log_softmax, lm.logsumexp])
def test_a_free_axis_may_turn_out_empty(f):
    x = lm.placeholder((None, 3))
    compiled = lm.function(x, f(x, axis=0))
    assert compiled(np.zeros((0, 3), "float32")).size in (0, 3)
    np.testing.assert_allclose(compiled(np.arange(6.0).reshape(2, 3)), f(np.arange(6.0).reshape(2, 3).T, axis=1).T, rtol=1e-6)
