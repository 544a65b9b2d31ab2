"""Tensors of known values, and marks: what a tensor means to gradients, to training, to state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina._core import Dim
from lamina.base import checks
from lamina.base.calls import explained
from lamina.base.elsewhere import ARGUMENTS
from lamina.base.lengths import listed
from lamina.graph.lift import lift, make, make_called
from lamina.graph.parameter import RandomState
from lamina.graph.tensor import Tensor, dtype_name
from lamina.ops.shapes import expand_dims, one_hot

_TYPE = "pass dtype='float32', for example"


@explained
def full(shape: Sequence[Any] | int, value: float, dtype: Any = "float32") -> Tensor:
    """A tensor of one value throughout. shape: lengths, symbolic ones among them; TypeError for a dtype that tensors lack.

    >>> lm.function([], lm.full((2,), 3.0))()
    array([3., 3.], dtype=float32)
    """
    sizes = listed(shape, "full", alone=isinstance(shape, (int, np.integer)), named=True)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"[full] expected a number as value, got {checks.brief(value)}; use lm.broadcast_to for an array") from None
    return make_called("full", "fill", [], shape=sizes, value=number, dtype=dtype_name(dtype, "full", _TYPE))


@explained
def zeros_like(x: Any) -> Any:
    """Zeros in x's shape and dtype. x: a tensor or an array.

    >>> lm.zeros_like(np.array([1.0, 2.0]))
    array([0., 0.])
    """
    return full(x.shape, 0.0, x.dtype) if isinstance(x, Tensor) else np.zeros_like(checks.array("zeros_like", x))


@explained
def ones_like(x: Any) -> Any:
    """Ones in x's shape and dtype. x: a tensor or an array.

    >>> lm.ones_like(np.array([1.0, 2.0]))
    array([1., 1.])
    """
    return full(x.shape, 1.0, x.dtype) if isinstance(x, Tensor) else np.ones_like(checks.array("ones_like", x))


@explained
def arange(n: Any, dtype: Any = "int64") -> Tensor:
    """0, 1, .., n - 1; n may be a symbolic length such as x.shape[0]. TypeError for a dtype that tensors lack.

    >>> lm.function([], lm.arange(3))()
    array([0, 1, 2])
    """
    remedy = ARGUMENTS["arange.start"] if isinstance(dtype, (int, np.integer)) else _TYPE
    return make_called("arange", "iota", [], shape=(n,), dtype=dtype_name(dtype, "arange", remedy))


@explained
def eye(n: Any, dtype: Any = "float32") -> Tensor:
    """The identity matrix (n, n); n may be a symbolic length such as x.shape[0]. TypeError for a dtype that tensors lack.

    >>> lm.function([], lm.eye(2))()
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    n = n if isinstance(n, Dim) else checks.integer("eye", "n", n, 0)
    remedy = ARGUMENTS["eye.M"] if isinstance(dtype, (int, np.integer)) else _TYPE
    dtype = dtype_name(dtype, "eye", remedy)
    places = arange(n)
    if isinstance(n, Dim):
        return make("cast", [make("eq", [expand_dims(places, 1), places])], dtype=dtype)
    return one_hot(places, n, dtype) if n else full((0, 0), 0.0, dtype)


# ---- Marks ----


@explained
def stop_gradient(x: Any) -> Any:
    """x, through which no gradient passes. x: a tensor or an array.

    >>> x = lm.placeholder((2,))
    >>> lm.function([x], lm.grad(lm.sum(lm.stop_gradient(x) * x), x))([3.0, 4.0])
    array([3., 4.], dtype=float32)
    """
    return make("stop_gradient", [x]) if isinstance(x, Tensor) else checks.array("stop_gradient", x)


@explained
def in_training(training: Any, otherwise: Any) -> Tensor:
    """The first in a training program, the second in any other; both of one shape and dtype (else ValueError), one a tensor.

    >>> x = lm.Input(1)
    >>> lm.Model(x, lm.in_training(x * 0.0, x)).predict([[5.0]])
    array([[5.]], dtype=float32)
    """
    return make("in_training", lift([training, otherwise], "in_training"))


@explained
def random_uniform(x: Tensor, state: RandomState | None = None) -> Tensor:
    """Numbers in [0, 1), one for each element of x, new at each training step and set by the network's seed.

    state: whose numbers they are; one of its own by default. Errors: TypeError for an x that is no tensor.

    >>> x = lm.Input(3)
    >>> lm.random_uniform(x).shape
    (B, 3)
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"[random_uniform] expected a tensor, got {type(x).__name__}; pass one of the numbers' shape")
    state = state if state is not None else RandomState()
    dtype = x.dtype if x.dtype == "float64" else "float32"
    return make("random_uniform", [state], shape=x.shape, dtype=dtype, stream=0)


@explained
def update_state(x: Tensor, parameter: Tensor, value: Tensor) -> Tensor:
    """x; besides, each training step leaves `value` in the parameter (running statistics), which has value's shape.

    Of several calls for one parameter, each is computed from what the call made before it leaves.

    >>> x, seen = lm.Input(1), lm.Parameter([0.0], trainable=False, dtype="float32")
    >>> net = lm.Model(x, lm.Dense(1)(lm.update_state(x, seen, lm.mean(x, axis=0)))).compile("mse", "sgd")
    >>> loss = net.train_step([[1.0], [5.0]], [[0.0], [0.0]])
    >>> seen.value
    array([3.], dtype=float32)
    """
    return make("update_state", [x, parameter, value])
