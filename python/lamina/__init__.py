"""Lamina: neural networks on CPUs, each one explicit program of linear algebra.

>>> import lamina as lm
>>> X, y = lm.datasets.digits()
>>> net = lm.Sequential(lm.Dense(32, "relu"), lm.Dense(10), seed=0)
>>> history = net.fit(X, y, loss="cross_entropy", optimizer="adam", epochs=1, verbose=False)
>>> net.predict(X[:5]).shape
(5, 10)
"""

from typing import Any

from lamina import _core, activations, callbacks, datasets, initializers, losses, metrics, ops, optim, schedules
from lamina._core import get_num_threads, isa, set_num_threads
from lamina.function import Function, function, grad, jacobian
from lamina.history import History
from lamina.layers import *  # noqa: F403
from lamina.layers import __all__ as _layer_names
from lamina.model import Model, Sequential
from lamina.ops import *  # noqa: F403
from lamina.ops import __all__ as _op_names
from lamina.tensor import Input, Parameter, RandomState, Tensor, placeholder

__version__: str = _core.build_info["version"]


def load(path: Any) -> Model:
    """Reads a network that `net.save(path)` wrote; see `lamina.io.load`."""
    from lamina import io

    return io.load(path)


__all__ = [
    "Function",
    "History",
    "Input",
    "Model",
    "Parameter",
    "RandomState",
    "Sequential",
    "Tensor",
    "activations",
    "callbacks",
    "datasets",
    "function",
    "get_num_threads",
    "grad",
    "initializers",
    "isa",
    "jacobian",
    "load",
    "losses",
    "metrics",
    "ops",
    "optim",
    "placeholder",
    "schedules",
    "set_num_threads",
    *_layer_names,
    *_op_names,
]
