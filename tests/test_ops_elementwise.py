"""Values of elementwise operations against NumPy, in f32 and f64, given arrays and given tensors.

A case is (operation of lamina, the same in NumPy, operands). Operands are float64; for f32 they are rounded first, so the expected
value is exact and the tolerance holds the operation alone.
"""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina.graph import lift
from operation_cases import DTYPES, SIZES, build_and_run, check, covers, rounded, ulps, widened
from reference_activations import ACTIVATIONS, erf, sigmoid

ANY, POSITIVE, ABOVE_MINUS_ONE = (-4.0, 4.0), (0.01, 9.0), (-0.9, 6.0)

# name: (NumPy, domain, ulp in f32 and f64). 0: exact; .51: correctly rounded; 2 + rounding of our own formula: 3
UNARY = {
    "negative": (np.negative, ANY, 0.0),
    "abs": (np.abs, ANY, 0.0),
    "sign": (np.sign, ANY, 0.0),
    "floor": (np.floor, ANY, 0.0),
    "ceil": (np.ceil, ANY, 0.0),
    "square": (np.square, ANY, 0.51),
    "sqrt": (np.sqrt, POSITIVE, 0.51),
    "exp": (np.exp, (-20, 20), 2.5),
    "expm1": (np.expm1, ANY, 3.0),
    "log": (np.log, POSITIVE, 2.5),
    "log1p": (np.log1p, ABOVE_MINUS_ONE, 3.0),
    "sin": (np.sin, ANY, 2.5),
    "cos": (np.cos, ANY, 2.5),
    "tan": (np.tan, ANY, 5.0),  # sin 2 + cos 2 + quotient 1
    "arcsin": (np.arcsin, (-1, 1), 5.0),  # arctan 2 + its argument's 2 + their product's growth
    "arccos": (np.arccos, (-1, 1), 5.0),
    "arctan": (np.arctan, ANY, 2.5),
    "sinh": (np.sinh, ANY, 4.0),  # expm1 3 + difference 1
    "cosh": (np.cosh, ANY, 3.5),  # exp 2.5 + sum 1
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
    if name in {"sin", "cos", "tan"}:
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["arcsin", "arccos", "sinh", "tan"])
def test_digits_are_kept_where_a_formula_could_lose_them(name, dtype, rng):
    """Near the ends of the arcs, near 0 and beside a pole."""
    near = rng.uniform(0, 1e-3, 500) * 10.0 ** -rng.uniform(0, 4, 500)
    at = {"arcsin": [near, -near, 1 - near, near - 1], "arccos": [near, 1 - near, near - 1], "sinh": [near, -near]}
    (x,) = rounded([np.concatenate(at.get(name, [near, np.pi / 2 - near]))], dtype)
    want = getattr(np, name)(x.astype(np.longdouble)).astype(np.float64)
    check(getattr(lm, name), want, [x], dtype, UNARY[name][2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_mod(dtype, rng):
    """Off by the rounding of a at most, or by b; never outside of 0 and b."""
    for size in (1, 100, 1e6):
        a, b = rounded([size * rng.normal(size=(40, 25)), rng.choice([-3.0, -0.1, 0.7, 2.0, 2 * np.pi], (25,))], dtype)
        a[0], a[1] = 3 * b, -np.nextafter(2 * b, a.dtype.type(0))
        wide, period = widened([a, b])
        for got in (lm.mod(a, b), build_and_run(lm.mod, [a, b]), build_and_run(lambda x, y: x % y, [a, b])):
            assert got.dtype == np.dtype(dtype) and np.all((got * np.sign(b) >= 0) & (np.abs(got) <= np.abs(b)))
            off = np.abs(got - np.mod(wide, period))
            assert np.all(np.minimum(off, np.abs(period) - off) <= 2 * np.finfo(dtype).eps * (np.abs(wide) + np.abs(period)))
    assert np.array_equal(lm.mod(np.array([-1e-30, 0.0, 1.0, 2.5, -2.5], dtype), 1.0), [0, 0, 0, 0.5, 0.5])


def test_mod_of_whole_numbers_and_operators(rng):
    a, b = rng.integers(-(2**53) + 1, 2**53, 999), rng.integers(1, 50, 999) * rng.choice([-1, 1], 999)
    for got in (lm.mod(a, b), build_and_run(lambda x, y: x % y, [a, b])):
        assert got.dtype == np.int64 and np.array_equal(got, a % b)
    x = np.array([-3.5, 0.5, 7.0])
    for f in (lambda t: t % 2, lambda t: 9 % t, lambda t: np.array([1.0, 2.0, 3.0]) % t, lambda t: np.float64(9) % t):
        np.testing.assert_allclose(build_and_run(f, [x]), f(x), rtol=1e-14)
    assert np.isnan(lm.mod([5.0, 5.0], [0.0, np.inf])).all()


covers("mod")
