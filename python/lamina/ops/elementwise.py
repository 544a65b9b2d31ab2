"""Operations on single elements: arithmetic, comparisons, functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lamina import _core
from lamina.base import checks, names
from lamina.base.calls import explained
from lamina.graph.lift import Operation, make, make_called, operation
from lamina.graph.tensor import FLOATS, Tensor, dtype_name

_ACTIVATIONS = {name: name for name in _core.activation_names()}


def _unary(op: str, name: str, formula: str, call: str, value: str) -> Operation[Tensor]:
    def build(x: Tensor) -> Tensor:
        return make(op, [x])

    return _function(build, name, formula, call, value)


def _function(build: Callable[[Tensor], Tensor], name: str, formula: str, call: str, value: str) -> Operation[Tensor]:
    doc = f"Element by element: {formula}. x: any shape. Errors: TypeError for what is not a number."
    return _named(build, name, 1, doc, call, value)


def _binary(op: str, name: str, formula: str, call: str, value: str) -> Operation[Tensor]:
    def build(a: Tensor, b: Tensor) -> Tensor:
        return make_called(name, op, [a, b])

    doc = f"""Element by element: {formula}. a, b: shapes that broadcast by NumPy's rule.

    Errors: ValueError for shapes that do not broadcast, TypeError for what is not a number."""
    return _named(build, name, 2, doc, call, value)


def _named(build: Callable[..., Tensor], name: str, count: int, doc: str, call: str, value: str) -> Operation[Tensor]:
    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"{doc}\n\n    >>> lm.{name}{call}\n    {value}\n    "
    return operation(count)(build)


# operation, name, formula, an example: what follows the name in a call, its value
negative = _unary("neg", "negative", "-x", "([1, -2])", "array([-1,  2])")
abs = _unary("abs", "abs", "|x|", "([1, -2])", "array([1, 2])")
sign = _unary("sign", "sign", "-1, 0 or 1 by the sign of x; its gradient is 0", "([-0.5, 0.0, 3.0])", "array([-1.,  0.,  1.])")
floor = _unary("floor", "floor", "the largest whole number <= x; its gradient is 0", "([1.5, -1.5])", "array([ 1., -2.])")
ceil = _function(
    lambda x: -floor(-x), "ceil", "the smallest whole number >= x; its gradient is 0", "([1.5, -1.5])", "array([ 2., -1.])"
)
exp = _unary("exp", "exp", "e^x", "([0.0, 1.0]).round(3)", "array([1.   , 2.718])")
expm1 = _unary("expm1", "expm1", "e^x - 1, exact for small x", "([0.0, 1e-12])", "array([0.e+00, 1.e-12])")
log = _unary("log", "log", "ln x (-inf at 0, nan below it)", "([0.0, 1.0, 2.0]).round(3)", "array([ -inf, 0.   , 0.693])")
log1p = _unary("log1p", "log1p", "ln(1 + x), exact for small x", "([0.0, 1e-12])", "array([0.e+00, 1.e-12])")
sqrt = _unary("sqrt", "sqrt", "the square root of x (nan below 0)", "([4.0, 9.0])", "array([2., 3.])")
sin = _unary("sin", "sin", "sin x, x in radians", "([0.0, np.pi / 6]).round(3)", "array([0. , 0.5])")
cos = _unary("cos", "cos", "cos x, x in radians", "([0.0, np.pi / 3]).round(3)", "array([1. , 0.5])")
arctan = _unary(
    "arctan", "arctan", "the angle in (-pi/2, pi/2) whose tangent is x", "([0.0, 1.0]).round(3)", "array([0.   , 0.785])"
)
erf = _unary(
    "erf", "erf", "the error function 2/sqrt(pi) * integral from 0 to x of e^(-t^2) dt", "([0.0, 1.0]).round(3)",
    "array([0.   , 0.843])",
)  # fmt: skip
tan = _function(lambda x: sin(x) / cos(x), "tan", "sin x / cos x, x in radians", "([0.0, np.pi / 4]).round(3)", "array([0., 1.])")
arcsin = _function(
    lambda x: arctan(x / sqrt((1 - x) * (1 + x))), "arcsin",
    "the angle in [-pi/2, pi/2] whose sine is x (nan beyond [-1, 1]); its gradient at -1 and 1 is nan", "([0.0, 1.0]).round(3)",
    "array([0.   , 1.571])",
)  # fmt: skip
arccos = _function(
    lambda x: 2 * arctan(sqrt((1 - x) / (1 + x))), "arccos",
    "the angle in [0, pi] whose cosine is x (nan beyond [-1, 1]); its gradient at -1 and 1 is nan", "([0.0, 1.0]).round(3)",
    "array([1.571, 0.   ])",
)  # fmt: skip
sinh = _function(lambda x: (expm1(x) - expm1(-x)) / 2, "sinh", "(e^x - e^-x) / 2", "([0.0, 1.0]).round(3)", "array([0.   , 1.175])")
cosh = _function(lambda x: (exp(x) + exp(-x)) / 2, "cosh", "(e^x + e^-x) / 2", "([0.0, 1.0]).round(3)", "array([1.   , 1.543])")
tanh = _unary("tanh", "tanh", "(e^x - e^-x) / (e^x + e^-x)", "([0.0, 1.0]).round(3)", "array([0.   , 0.762])")
sigmoid = _unary("sigmoid", "sigmoid", "1 / (1 + e^-x)", "([0.0, 1.0]).round(3)", "array([0.5  , 0.731])")
relu = _unary("relu", "relu", "max(0, x), with slope 0 at 0", "([-1.0, 2.0])", "array([0., 2.])")
add = _binary("add", "add", "a + b", "([1, 2], 10)", "array([11, 12])")
subtract = _binary("sub", "subtract", "a - b", "([1, 2], 10)", "array([-9, -8])")
multiply = _binary("mul", "multiply", "a * b", "([1, 2], 10)", "array([10, 20])")
divide = _binary("div", "divide", "a / b, in floats", "([1.0, 2.0], 10)", "array([0.1, 0.2])")
maximum = _binary(
    "maximum", "maximum", "the larger of a and b (nan if one is); equal ones share the gradient", "([1, 5], 3)", "array([3, 5])"
)
minimum = _binary(
    "minimum", "minimum", "the smaller of a and b (nan if one is); equal ones share the gradient", "([1, 5], 3)", "array([1, 3])"
)
equal = _binary("eq", "equal", "a == b, as bool", "([1, 2, 3], 2)", "array([False,  True, False])")
not_equal = _binary("ne", "not_equal", "a != b, as bool", "([1, 2, 3], 2)", "array([ True, False,  True])")
less = _binary("lt", "less", "a < b, as bool", "([1, 2, 3], 2)", "array([ True, False, False])")
less_equal = _binary("le", "less_equal", "a <= b, as bool", "([1, 2, 3], 2)", "array([ True,  True, False])")
greater = _binary("gt", "greater", "a > b, as bool", "([1, 2, 3], 2)", "array([False, False,  True])")
greater_equal = _binary("ge", "greater_equal", "a >= b, as bool", "([1, 2, 3], 2)", "array([False,  True,  True])")


@operation(1)
def square(x: Tensor) -> Tensor:
    """Element by element: x^2. x: any shape. Errors: TypeError for what is not a number.

    >>> lm.square([3, -4])
    array([ 9, 16])
    """
    return make("mul", [x, x])


@operation(2, numbers=(-1, 0.5, 1, 2, 3, 4))
def power(a: Tensor, b: Tensor) -> Tensor:
    """Element by element: a^b. a, b: shapes that broadcast (else ValueError). The gradient with respect to b is 0 where a is 0.

    Of whole numbers it is whole, cut towards 0, and of a tensor of them to a number below 0 a ValueError: write x ** -1.0.

    >>> lm.power([2.0, 3.0], 3)
    array([ 8., 27.])
    """
    exponent = b.node.attrs["value"] if b.node.op == "fill" and b.ndim == 0 else None
    floats = a.dtype.startswith("float")
    if exponent is not None and exponent < 0 and not floats and not b.dtype.startswith("float"):
        raise ValueError(
            f"[power] expected floats or an exponent of at least 0, got {exponent:.0f} and whole numbers, whose result would be "
            f"whole; write {exponent}"
        )
    exponent = exponent if floats and b.dtype == a.dtype else None  # as the result
    if exponent == 1:
        return a
    if exponent == 2:
        return make("mul", [a, a])
    if exponent == 0.5:
        return make("sqrt", [a])
    if exponent == -1:
        return make("div", [like(1.0, a), a])
    return make_called("power", "pow", [a, b])


@operation(2)
def mod(a: Tensor, b: Tensor) -> Tensor:
    """What is left of a by whole b: a - b floor(a / b), from 0 to b, with b's sign. Its gradient is da - floor(a / b) db.

    a, b: shapes that broadcast (else ValueError). Its error is a rounding of a: where a is whole b up to that, 0 or b may come.
    Of whole numbers it is whole. b = 0 and infinite b give nan, or the least whole number.

    >>> lm.mod([5.5, -5.5], 2.0)
    array([1.5, 0.5])
    """
    whole = a.dtype not in FLOATS and b.dtype not in FLOATS
    if whole:
        a, b = cast(a, "float64"), cast(b, "float64")
    for _ in range(2):  # a rounded quotient or product may leave the first outside
        a = a - b * floor(make_called("mod", "div", [a, b]))
    return cast(a, "int64") if whole else a


@operation(2)
def arctan2(y: Tensor, x: Tensor) -> Tensor:
    """The angle in (-pi, pi] of the point (x, y), from the x-axis: that of x + i y. Its gradient is (x dy - y dx) / (x^2 + y^2).

    y, x: shapes that broadcast (else ValueError). At the origin it is 0, with a gradient of 0; -0 counts as 0, and
    two infinities give nan.

    >>> lm.arctan2([1.0, 1.0], [1.0, -1.0]).round(3)
    array([0.785, 2.356])
    """
    zero, quarter = like(0.0, y), math.pi / 2
    sign = where(make("lt", [y, zero]), like(-1.0, y), like(1.0, y))
    steep = make_called("arctan2", "gt", [abs(y), abs(x)])
    over, under = where(steep, -x, y), where(steep, y, x)
    flat = where(make("lt", [x, zero]), sign * (2 * quarter), zero)
    nowhere = make("eq", [under, zero])
    angle = arctan(where(nowhere, 0.0 * y, over) / where(nowhere, like(1.0, y), under))  # 0 y: nan stays
    return angle + where(steep, sign * quarter, flat)


@operation(3)
def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where the condition holds, b elsewhere. The three shapes broadcast (else ValueError); numbers hold where they are not 0.

    >>> lm.where([True, False], [1, 2], -1)
    array([ 1, -1])
    """
    return make("where", [condition, a, b])


@operation(3)
def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """x held within [low, high]; the gradient passes inside the bounds, both included, and goes to the bound
    outside: to `high`, which holds, where the bounds cross.

    x, low, high: shapes that broadcast (else ValueError); -inf and inf bound nothing.

    >>> lm.clip([-1, 2, 5], 0, 3)
    array([0, 2, 3])
    """
    return make("clip", [x, low, high])


@operation(2)
def logical_and(a: Tensor, b: Tensor) -> Tensor:
    """a and b, as bool; numbers count as true where they are not 0. a, b: shapes that broadcast (else ValueError).

    >>> lm.logical_and([True, False], True)
    array([ True, False])
    """
    return make_called("logical_and", "minimum", [_truth(a), _truth(b)])


@operation(2)
def logical_or(a: Tensor, b: Tensor) -> Tensor:
    """a or b, as bool; numbers count as true where they are not 0. a, b: shapes that broadcast (else ValueError).

    >>> lm.logical_or([True, False], False)
    array([ True, False])
    """
    return make_called("logical_or", "maximum", [_truth(a), _truth(b)])


@operation(1)
def logical_not(x: Tensor) -> Tensor:
    """not x, as bool; numbers count as true where they are not 0. x: any shape.

    >>> lm.logical_not([True, False])
    array([False,  True])
    """
    return make("eq", [x, like(0.0, x)])


@operation(1)
def isnan(x: Tensor) -> Tensor:
    """Where x is not a number, as bool. x: any shape.

    >>> lm.isnan([1.0, np.nan])
    array([False,  True])
    """
    return make("ne", [x, x])


@operation(1)
def cast(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype: bool, int64 (toward zero; its ends beyond its range, the least for nan), float32 or float64 (else
    TypeError); gradients pass between floats.

    >>> lm.cast([1.7, -1.7], "int64")
    array([ 1, -1])
    """
    name = dtype_name(dtype, "cast", "pass 'float32', for example")
    return x if x.dtype == name else make("cast", [x], dtype=name)


@explained
def activation(name: str, x: Any, *params: float) -> Any:
    """An elementwise activation of the core by its name, with its hyper-parameters; see `lamina.activations`.

    Errors: ValueError for a name that the core does not have; TypeError where name and tensor are exchanged.

    >>> lm.activation("leaky_relu", [-1.0, 2.0], 0.1)
    array([-0.1,  2. ])
    """
    if isinstance(x, str) and not isinstance(name, str):
        raise TypeError(
            f"[activation] expected a name before the tensor, got {checks.brief(name)} before {checks.brief(x)}; write "
            f"lm.activation({checks.brief(x)}, x)"
        )
    return _activation(x, names.lookup("activation", name, _ACTIVATIONS), tuple(params))


@operation(1)
def _activation(x: Tensor, name: str, params: tuple[float, ...]) -> Tensor:
    return make(name, [x], params=list(params) or _core.activation_defaults(name))


def _truth(x: Tensor) -> Tensor:
    return x if x.dtype == "bool" else make("ne", [x, like(0.0, x)])


def like(value: float, x: Tensor) -> Tensor:
    """A number in x's dtype."""
    return make("fill", [], shape=(), value=value, dtype=x.dtype)
