"""Lamina: neural networks on CPUs, each one explicit program of linear algebra.

>>> import lamina as lm
>>> X, y = lm.datasets.digits()
>>> net = lm.Sequential(lm.Dense(32, "relu"), lm.Dense(10), seed=0)
>>> history = net.fit(X, y, loss="cross_entropy", optimizer="adam", epochs=1, verbose=False)
>>> net.predict(X[:5]).shape
(5, 10)
"""

import importlib.util
from typing import TYPE_CHECKING, Any

from lamina import _core, ops
from lamina._core import get_num_threads, isa
from lamina.base import turns as _turns  # noqa: F401  what a fork waits for
from lamina.base.threads import set_num_threads
from lamina.graph.function import Function, function, grad
from lamina.graph.parameter import Parameter, RandomState
from lamina.graph.tensor import Input, Tensor, placeholder
from lamina.ops import *  # noqa: F403
from lamina.ops import __all__ as _operations

if TYPE_CHECKING:
    from lamina import (
        activations,
        callbacks,
        datasets,
        initializers,
        linalg,
        losses,
        metrics,
        optim,
        schedules,
    )
    from lamina.graph.derivatives import gauss_newton_product, hessian_vector_product, jacobian, jacobian_vector_product
    from lamina.layers import (
        Activation,
        Add,
        BatchNorm,
        Concatenate,
        Dense,
        Dropout,
        Embedding,
        Flatten,
        Lambda,
        Layer,
        LayerNorm,
        Readout,
        Reshape,
    )
    from lamina.models.model import Model
    from lamina.models.sequential import Sequential
    from lamina.storage.io import load
    from lamina.training.history import History

__version__: str = _core.build_info["version"]

# What is imported at its first use: importing lamina itself costs little more than NumPy.
_MODULES = ("activations", "callbacks", "datasets", "initializers", "linalg", "losses", "metrics", "optim", "schedules")
_LAYERS = ("Activation", "Add", "BatchNorm", "Concatenate", "Dense", "Dropout", "Embedding", "Flatten", "Lambda", "Layer")
_LATER = dict.fromkeys((*_LAYERS, "LayerNorm", "Readout", "Reshape"), "layers")
_LATER |= {"Model": "models.model", "Sequential": "models.sequential", "History": "training.history", "load": "storage.io"}
_LATER |= dict.fromkeys(
    ("gauss_newton_product", "hessian_vector_product", "jacobian", "jacobian_vector_product"), "graph.derivatives"
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"lamina.{name}")
    if name in _LATER:
        value = getattr(importlib.import_module(f"lamina.{_LATER[name]}"), name)
        globals()[name] = value
        return value
    from lamina.base import names

    on_its_way = importlib.util.find_spec(f"{__name__}.{name}") is not None  # an import looks here first
    raise names.no_attribute(__name__, name, __all__, () if on_its_way else _MODULES)


def __dir__() -> list[str]:
    return [*sorted(__all__), *(name for name in globals() if name.startswith("__"))]


__all__ = [
    "Activation",
    "Add",
    "BatchNorm",
    "Concatenate",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Function",
    "History",
    "Input",
    "Lambda",
    "Layer",
    "LayerNorm",
    "Model",
    "Parameter",
    "RandomState",
    "Readout",
    "Reshape",
    "Sequential",
    "Tensor",
    "activations",
    "callbacks",
    "datasets",
    "function",
    "gauss_newton_product",
    "get_num_threads",
    "grad",
    "hessian_vector_product",
    "initializers",
    "isa",
    "jacobian",
    "jacobian_vector_product",
    "linalg",
    "load",
    "losses",
    "metrics",
    "ops",
    "optim",
    "placeholder",
    "schedules",
    "set_num_threads",
    *_operations,
]
