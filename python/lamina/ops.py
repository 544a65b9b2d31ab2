"""Operations with NumPy's names and semantics. Given tensors they build; given arrays they compute at once and return arrays.

Every one is a few primitive nodes of the core; gradients follow from those.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import _core
from lamina.lift import lift, make, operation
from lamina.tensor import RandomState, Tensor, dtype_name

Axis = int | Sequence[int] | None

# ---- Elementwise ----


def _unary(op: str, name: str, formula: str) -> Any:
    def build(x: Tensor) -> Tensor:
        return make(op, [x])

    return _named(build, name, 1, f"{formula}, element by element; x: any shape.")


def _binary(op: str, name: str, formula: str) -> Any:
    def build(a: Tensor, b: Tensor) -> Tensor:
        return make(op, [a, b])

    return _named(build, name, 2, f"{formula}, element by element; a, b: shapes that broadcast by NumPy's rule (else ValueError).")


def _named(build: Any, name: str, count: int, doc: str) -> Any:
    build.__name__ = build.__qualname__ = name
    build.__doc__ = doc
    return operation(count)(build)


negative = _unary("neg", "negative", "-x")
abs = _unary("abs", "abs", "|x|")
sign = _unary("sign", "sign", "-1, 0 or 1 by the sign of x; its gradient is 0")
floor = _unary("floor", "floor", "The largest whole number <= x; its gradient is 0")
exp = _unary("exp", "exp", "e^x")
expm1 = _unary("expm1", "expm1", "e^x - 1, exact for small x")
log = _unary("log", "log", "ln x; -inf at 0, nan below")
log1p = _unary("log1p", "log1p", "ln(1 + x), exact for small x")
sqrt = _unary("sqrt", "sqrt", "The square root of x; nan below 0")
sin = _unary("sin", "sin", "sin x, x in radians")
cos = _unary("cos", "cos", "cos x, x in radians")
erf = _unary("erf", "erf", "The error function 2/sqrt(pi) * integral from 0 to x of e^(-t^2) dt")
tanh = _unary("tanh", "tanh", "(e^x - e^-x) / (e^x + e^-x)")
sigmoid = _unary("sigmoid", "sigmoid", "1 / (1 + e^-x)")
relu = _unary("relu", "relu", "max(0, x), with slope 0 at 0")
add = _binary("add", "add", "a + b")
subtract = _binary("sub", "subtract", "a - b")
multiply = _binary("mul", "multiply", "a * b")
divide = _binary("div", "divide", "a / b, in floats")
maximum = _binary("maximum", "maximum", "The larger of a and b (nan if one is); equal ones share the gradient")
minimum = _binary("minimum", "minimum", "The smaller of a and b (nan if one is); equal ones share the gradient")
equal = _binary("eq", "equal", "a == b, as bool")
not_equal = _binary("ne", "not_equal", "a != b, as bool")
less = _binary("lt", "less", "a < b, as bool")
less_equal = _binary("le", "less_equal", "a <= b, as bool")
greater = _binary("gt", "greater", "a > b, as bool")
greater_equal = _binary("ge", "greater_equal", "a >= b, as bool")


@operation(1)
def square(x: Tensor) -> Tensor:
    """x^2, element by element; x: any shape."""
    return make("mul", [x, x])


@operation(2)
def power(a: Tensor, b: Tensor) -> Tensor:
    """a^b, element by element; a, b: shapes that broadcast. The gradient with respect to b is 0 where a is 0."""
    same = b.node.op == "fill" and b.ndim == 0 and b.dtype == a.dtype and a.dtype.startswith("float")  # as the result
    exponent = b.node.attrs["value"] if same else None
    if exponent == 1:
        return a
    if exponent == 2:
        return make("mul", [a, a])
    if exponent == 0.5:
        return make("sqrt", [a])
    if exponent == -1:
        return make("div", [_like(1.0, a), a])
    return make("pow", [a, b])


@operation(3)
def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where the condition holds, b elsewhere; the three shapes broadcast."""
    return make("where", [condition, a, b])


@operation(3)
def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """x held within [low, high]; the gradient passes inside the bounds, both included, and goes to the bound outside."""
    return make("clip", [x, low, high])


@operation(2)
def logical_and(a: Tensor, b: Tensor) -> Tensor:
    """a and b, as bool; numbers count as true where they are not 0."""
    return make("minimum", [_truth(a), _truth(b)])


@operation(2)
def logical_or(a: Tensor, b: Tensor) -> Tensor:
    """a or b, as bool; numbers count as true where they are not 0."""
    return make("maximum", [_truth(a), _truth(b)])


@operation(1)
def logical_not(x: Tensor) -> Tensor:
    """not x, as bool."""
    return make("eq", [x, _like(0.0, x)])


@operation(1)
def isnan(x: Tensor) -> Tensor:
    """Where x is not a number, as bool."""
    return make("ne", [x, x])


@operation(1)
def cast(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype: bool, int64 (toward zero), float32 or float64; gradients pass between floats."""
    name = dtype_name(dtype)
    return x if x.dtype == name else make("cast", [x], dtype=name)


def activation(name: str, x: Any, *params: float) -> Any:
    """An elementwise activation of the core by its name, with its hyper-parameters; see `lamina.activations`."""
    return _activation(x, name, tuple(params))


@operation(1)
def _activation(x: Tensor, name: str, params: tuple[float, ...]) -> Tensor:
    return make(name, [x], params=list(params) or _core.activation_defaults(name))


def _truth(x: Tensor) -> Tensor:
    return x if x.dtype == "bool" else make("ne", [x, _like(0.0, x)])


def _like(value: float, x: Tensor) -> Tensor:
    return make("fill", [], shape=(), value=value, dtype=x.dtype)


# ---- Reductions ----


def _axes(axis: Axis, x: Tensor, where: str) -> list[int]:
    if axis is None:
        return list(range(x.ndim))
    axes = [axis] if isinstance(axis, (int, np.integer)) else list(axis)
    return [_axis(a, x.ndim, where) for a in axes]


def _axis(axis: int, ndim: int, where: str) -> int:
    if not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim:
        raise ValueError(f"[{where}] expected an axis from {-ndim} to {ndim - 1}, got {axis}")
    return int(axis) % ndim


@operation(1)
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes (all by default); keepdims leaves them with length 1."""
    return make("sum", [x], axes=_axes(axis, x, "sum"), keepdims=keepdims)


@operation(1)
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest along the axes (all by default); equal ones share the gradient."""
    return make("max", [x], axes=_axes(axis, x, "max"), keepdims=keepdims)


@operation(1)
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest along the axes (all by default); equal ones share the gradient."""
    return make("min", [x], axes=_axes(axis, x, "min"), keepdims=keepdims)


def _count(x: Tensor, axes: Sequence[int]) -> Tensor:
    dtype = x.dtype if x.dtype.startswith("float") else "float32"
    shape = [x.shape[a] for a in axes]
    total = 1
    for length in shape:
        if not isinstance(length, int):
            return make("size", [], shape=tuple(shape), dtype=dtype)
        total *= length
    return make("fill", [], shape=(), value=float(total), dtype=dtype)


@operation(1)
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes (all by default): sum / count. Of no elements: nan."""
    axes = _axes(axis, x, "mean")
    return make("div", [make("sum", [x], axes=axes, keepdims=keepdims), _count(x, axes)])


@operation(1)
def var(x: Tensor, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The variance over the axes: sum (x - mean)^2 / (count - ddof)."""
    axes = _axes(axis, x, "var")
    count = _count(x, axes)
    centre = make("div", [make("sum", [x], axes=axes, keepdims=True), count])
    distance = make("sub", [x, centre])
    total = make("sum", [make("mul", [distance, distance])], axes=axes, keepdims=keepdims)
    return make("div", [total, make("sub", [count, _like(float(ddof), count)]) if ddof else count])


@operation(1)
def std(x: Tensor, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The standard deviation over the axes, the square root of `var`."""
    return make("sqrt", [var(x, axis, keepdims, ddof)])


@operation(1)
def norm(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The Euclidean length over the axes: sqrt(sum x^2); its gradient at 0 is nan."""
    axes = _axes(axis, x, "norm")
    return make("sqrt", [make("sum", [make("mul", [x, x])], axes=axes, keepdims=keepdims)])


def size(x: Any, axis: Axis = None) -> Any:
    """The number of elements over the axes (all by default), as a float that follows the batch size."""
    if not isinstance(x, Tensor):
        array = np.asarray(x)
        axes = range(array.ndim) if axis is None else np.atleast_1d(np.asarray(axis))
        return float(np.prod([array.shape[int(a)] for a in axes]))
    return _count(x, _axes(axis, x, "size"))


def _along_last(x: Tensor, axis: int, where: str) -> tuple[Tensor, list[int] | None]:
    """x with the axis moved last, and the order that moves it back."""
    position = _axis(axis, x.ndim, where)
    if position == x.ndim - 1:
        return x, None
    order = [a for a in range(x.ndim) if a != position] + [position]
    return make("transpose", [x], axes=order), [order.index(a) for a in range(x.ndim)]


def _row(op: str, x: Tensor, axis: int, drops: bool) -> Tensor:
    moved, back = _along_last(x, axis, op)
    y = make(op, [moved])
    return y if back is None or drops else make("transpose", [y], axes=back)


@operation(1)
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x / sum e^x along the axis: positive and summing to 1, whatever the size of x."""
    return _row("softmax", x, axis, drops=False)


@operation(1)
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log sum e^x along the axis."""
    return _row("log_softmax", x, axis, drops=False)


@operation(1)
def logsumexp(x: Tensor, axis: int = -1, keepdims: bool = False) -> Tensor:
    """log sum e^x along the axis, without overflow."""
    y = _row("logsumexp", x, axis, drops=True)
    return expand_dims(y, axis) if keepdims else y


@operation(1)
def argmax(x: Tensor, axis: int = -1) -> Tensor:
    """Where along the axis the largest stands (the first of equals), int64; no gradient."""
    return _row("argmax", x, axis, drops=True)


@operation(1)
def argmin(x: Tensor, axis: int = -1) -> Tensor:
    """Where along the axis the smallest stands (the first of equals), int64; no gradient."""
    return _row("argmin", x, axis, drops=True)


# ---- Products ----


@operation(2, turns=True)
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product c[.., i, j] = sum_k a[.., i, k] b[.., k, j]; leading axes broadcast, a vector is a row or a column."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"[matmul] {a.shape}, {b.shape}: expected vectors or matrices; use * for numbers")
    left = reshape(a, (1, a.shape[0])) if a.ndim == 1 else a
    right = reshape(b, (b.shape[0], 1)) if b.ndim == 1 else b
    c = make("matmul", [left, right])
    if a.ndim == 1 or b.ndim == 1:
        shape = list(c.shape)
        if b.ndim == 1:
            del shape[-1]
        if a.ndim == 1:
            del shape[-1 if b.ndim == 1 else -2]
        c = make("reshape", [c], shape=tuple(shape))
    return c


@operation(2, turns=True)
def dot(a: Tensor, b: Tensor) -> Tensor:
    """NumPy's dot of vectors and matrices: sum_k a[.., k] b[k, ..]."""
    if a.ndim == 0 or b.ndim == 0:
        return make("mul", [a, b])
    if b.ndim > 2:
        raise ValueError(f"[dot] {a.shape}, {b.shape}: expected vectors or matrices; use matmul for stacks of matrices")
    return matmul(a, b)  # type: ignore[no-any-return]


@operation(2)
def outer(a: Tensor, b: Tensor) -> Tensor:
    """The outer product of two vectors: c[i, j] = a[i] b[j]."""
    return make("mul", [reshape(a, (-1, 1)), reshape(b, (1, -1))])


# ---- Shapes ----


def _resolve(shape: Sequence[Any], x: Tensor, where: str) -> tuple[Any, ...]:
    """The target of a reshape with its one -1 worked out."""
    target = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    unknown = [i for i, length in enumerate(target) if isinstance(length, (int, np.integer)) and length == -1]
    if len(unknown) > 1:
        raise ValueError(f"[{where}] expected at most one -1, got {tuple(target)}")
    total: Any = 1
    for length in x.shape:
        total = length * total
    if unknown:
        rest: Any = 1
        for i, length in enumerate(target):
            if i != unknown[0]:
                rest = (_core.dim("B") if length is None else length) * rest
        target[unknown[0]] = _core.split_size(total, rest) if rest != 0 else 0
    return tuple(target)


@operation(1)
def reshape(x: Tensor, shape: Sequence[Any]) -> Tensor:
    """The same elements, row by row, in another shape; one length may be -1 (worked out), None is the batch axis."""
    target = _resolve(shape, x, "reshape")
    return x if target == x.shape else make("reshape", [x], shape=target)


@operation(1)
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in another order (reversed by default)."""
    order = [_axis(a, x.ndim, "transpose") for a in axes] if axes is not None else list(range(x.ndim))[::-1]
    return x if order == list(range(x.ndim)) else make("transpose", [x], axes=order)


@operation(1)
def broadcast_to(x: Tensor, shape: Sequence[Any]) -> Tensor:
    """x repeated to a larger shape by NumPy's rule."""
    return make("broadcast_to", [x], shape=tuple(shape))


@operation(1)
def expand_dims(x: Tensor, axis: int) -> Tensor:
    """x with an axis of length 1 more, in front of `axis`."""
    position = _axis(axis, x.ndim + 1, "expand_dims")
    return make("reshape", [x], shape=(*x.shape[:position], 1, *x.shape[position:]))


@operation(1)
def squeeze(x: Tensor, axis: Axis = None) -> Tensor:
    """x without axes of length 1 (all of them by default)."""
    axes = [i for i, n in enumerate(x.shape) if isinstance(n, int) and n == 1] if axis is None else _axes(axis, x, "squeeze")
    for a in axes:
        if x.shape[a] != 1:
            raise ValueError(f"[squeeze] axis {a} of {x.shape} has more than one element")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))  # type: ignore[no-any-return]


@operation(1)
def flip(x: Tensor, axis: Axis = None) -> Tensor:
    """x with the order along the axes reversed."""
    flipped = set(_axes(axis, x, "flip"))
    index = tuple(slice(None, None, -1) if i in flipped else slice(None) for i in range(x.ndim))
    return getitem(x, index)  # type: ignore[no-any-return]


@operation(None)
def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors one after the other along an axis; the other axes must be equal."""
    return make("concatenate", tensors, axis=_axis(axis, tensors[0].ndim, "concatenate"))


@operation(None)
def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new axis."""
    shapes = [t.shape for t in tensors]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"[stack] expected tensors of one shape, got {', '.join(map(str, shapes))}; use concatenate for others")
    position = _axis(axis, tensors[0].ndim + 1, "stack")
    return make("concatenate", [expand_dims(t, position) for t in tensors], axis=position)


@operation(1)
def pad(x: Tensor, widths: Sequence[Any]) -> Tensor:
    """x with zeros around it; widths: one (before, after) for each axis, or one pair for all."""
    pairs = [tuple(w) for w in widths] if isinstance(widths[0], (tuple, list)) else [tuple(widths)] * x.ndim
    if len(pairs) != x.ndim or any(len(p) != 2 or p[0] < 0 or p[1] < 0 for p in pairs):
        raise ValueError(f"[pad] expected (before, after) >= 0 for each of the {x.ndim} axes, got {widths}")
    return make("pad", [x], low=[p[0] for p in pairs], high=[p[1] for p in pairs], interior=[0] * x.ndim)


@operation(2)
def take(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Slices of x at the indices (int64, 0 .. length - 1; negative ones count from the end); ValueError for others."""
    if indices.dtype != "int64":
        raise TypeError(f"[take] expected whole numbers as indices, got {indices.dtype}; cast them to int64")
    return make("take", [x, indices], axis=_axis(axis, x.ndim, "take"))


@operation(1)
def one_hot(labels: Tensor, classes: int, dtype: Any = "float32") -> Tensor:
    """y[.., c] = 1 where c is the label, 0 elsewhere; labels: whole numbers 0 .. classes - 1."""
    return make("one_hot", [expand_dims(labels, -1)], classes=int(classes), dtype=dtype_name(dtype))


def getitem(x: Any, index: Any) -> Any:
    """x[index] with whole numbers, slices, None and ..., or with an integer tensor along the first axis."""
    from lamina.indexing import getitem as build

    return build(x, index)


# ---- Constants ----


def full(shape: Sequence[Any] | int, value: float, dtype: Any = "float32") -> Tensor:
    """A tensor of one value throughout."""
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    return make("fill", [], shape=sizes, value=float(value), dtype=dtype_name(dtype))


def zeros_like(x: Any) -> Any:
    """Zeros in x's shape and dtype."""
    return full(x.shape, 0.0, x.dtype) if isinstance(x, Tensor) else np.zeros_like(x)


def ones_like(x: Any) -> Any:
    """Ones in x's shape and dtype."""
    return full(x.shape, 1.0, x.dtype) if isinstance(x, Tensor) else np.ones_like(x)


def arange(n: Any, dtype: Any = "int64") -> Tensor:
    """0, 1, .., n - 1; n may be a symbolic length such as x.shape[0]."""
    return make("iota", [], shape=(n,), dtype=dtype_name(dtype))


def eye(n: int, dtype: Any = "float32") -> Tensor:
    """The identity matrix (n, n)."""
    return one_hot(arange(n), n, dtype)  # type: ignore[no-any-return]


# ---- Marks ----


def stop_gradient(x: Any) -> Any:
    """x, through which no gradient passes."""
    return make("stop_gradient", [x]) if isinstance(x, Tensor) else np.asarray(x)


def in_training(training: Any, otherwise: Any) -> Tensor:
    """The first in a training program, the second in any other; both of one shape and dtype."""
    return make("in_training", lift([training, otherwise], "in_training"))


def random_uniform(x: Tensor, state: RandomState | None = None) -> Tensor:
    """Numbers in [0, 1), one for each element of x, new at each training step and set by the network's seed."""
    state = state if state is not None else RandomState()
    dtype = x.dtype if x.dtype == "float64" else "float32"
    return make("random_uniform", [state], shape=x.shape, dtype=dtype, stream=0)


def update_state(x: Tensor, parameter: Tensor, value: Tensor) -> Tensor:
    """x; besides, each training step leaves `value` in the parameter (running statistics)."""
    return make("update_state", [x, parameter, value])


__all__ = [
    name
    for name, value in builtins.dict(globals()).items()
    if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == __name__
]
