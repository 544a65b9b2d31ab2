"""What NumPy hands to a tensor: operators with an array on their left, which we compute; its functions, which are an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from lamina import ops
from lamina.graph.tensor import floor_divide

OPERATORS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.true_divide: ops.divide,
    np.floor_divide: floor_divide,
    np.remainder: ops.mod,
    np.power: ops.power,
    np.matmul: ops.matmul,
    np.less: ops.less,
    np.less_equal: ops.less_equal,
    np.greater: ops.greater,
    np.greater_equal: ops.greater_equal,
    np.equal: ops.equal,
    np.not_equal: ops.not_equal,
    np.bitwise_and: lambda a, b: b & a,
    np.bitwise_or: lambda a, b: b | a,
}
OURS = {"absolute": "abs", "fabs": "abs", "amax": "max", "amin": "min"}  # where NumPy's name is another one


def operator(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The tensor for `array + tensor` and its like; TypeError for any other function of NumPy."""
    if method == "__call__" and ufunc in OPERATORS and not options:
        return OPERATORS[ufunc](*inputs)
    refuse(ufunc.__name__, "numpy")


def call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What needs a shape alone, such as `numpy.ndim`; TypeError for any function that needs numbers."""
    try:
        return function.__wrapped__(*args, **kwargs)
    except TypeError:
        refuse(function.__name__, function.__module__)


def refuse(name: str, module: str) -> NoReturn:
    """The error of a function of NumPy that was given a tensor."""
    from lamina import linalg

    own = OURS.get(name, name)
    if module == "numpy.linalg" and own in linalg.__all__:
        remedy = f"use lm.linalg.{own}"
    elif own in ops.__all__:
        remedy = f"use lm.{own}"
    else:
        remedy = "write it with lamina's operations, such as lm.exp and lm.mean"
    raise TypeError(f"[{module}.{name}] expected arrays, got a tensor, which holds no numbers yet; {remedy}") from None
