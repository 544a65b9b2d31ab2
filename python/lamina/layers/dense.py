"""Layers that map features: Dense, Readout, Activation, Embedding, Lambda."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lamina import activations, initializers
from lamina.activations import Activation as Function
from lamina.base import checks
from lamina.graph.lift import make
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import FLOATS, Tensor
from lamina.initializers import AnyInitializer
from lamina.layers.base import Layer, features, floating, same_features


class Dense(Layer):
    """Fully connected layer: y = f(x W + b).

    `units`: features of the output. `activation` f: a name, a function of a tensor, or None for none. `bias`: whether there is a b.
    x: (batch, ..., in), W "weight": (in, units), b "bias": (units,). Both start from U(-1 / sqrt(in), 1 / sqrt(in)) unless
    `weight_init` and `bias_init` say otherwise.

    Errors: ValueError for units < 1, an unknown activation, an input of another size than the first.

    >>> net = lm.Sequential(lm.Dense(1, "relu", weight_init="ones", bias_init="zeros"))
    >>> net.predict([[1.0, 2.0], [-3.0, 1.0]])
    array([[3.],
           [0.]], dtype=float32)
    """

    weight: Parameter
    bias: Parameter

    def __init__(
        self,
        units: int,
        activation: str | Function | None = None,
        *,
        bias: bool = True,
        weight_init: AnyInitializer | None = None,
        bias_init: AnyInitializer | None = None,
    ) -> None:
        self.units = checks.integer("Dense", "units", units)
        if isinstance(activation, int):
            raise TypeError(
                f"[Dense] expected an activation after units, got {activation!r}; write Dense(units), the number of units of this "
                "layer: that of its inputs comes from the data"
            )
        self.activation = activations.get(activation)
        self.use_bias = checks.flag("Dense", "bias", bias)
        self.weight_init = None if weight_init is None else initializers.get(weight_init)
        self.bias_init = None if bias_init is None else initializers.get(bias_init)

    def build(self, x: Tensor) -> None:
        floating(x)
        n = features(x)
        bound = 1 / math.sqrt(n)
        default = initializers.uniform(-bound, bound)
        self.weight = self.parameter("weight", (n, self.units), self.weight_init or default)
        if self.use_bias:
            self.bias = self.parameter("bias", (self.units,), self.bias_init or default)

    def forward(self, x: Tensor) -> Any:
        same_features(x, int(self.weight.shape[0]))
        z = x @ self.weight
        return self.activation(z + self.bias if self.use_bias else z)


class Readout(Dense):
    """The linear last layer of a network, y = x W + b, whose weights `net.fit_readout(x, y)` solves exactly.

    `l2`: the ridge that fit_readout takes unless it is given one, l2 |W|^2 beside the mean squared error. Otherwise it is a Dense:
    `fit`, `train_step` and `evaluate` treat it as one, for example from what fit_readout found. Their loss does not include the
    ridge; there the optimizer's `weight_decay` regularizes.

    Errors: ValueError for units < 1, a negative l2, an input of another size than the first.

    >>> x = np.linspace(-3, 3, 200)[:, None]
    >>> net = lm.Sequential(lm.Dense(50, "tanh"), lm.Readout(1, l2=1e-8), seed=0)
    >>> net.fit_readout(x, np.sin(x)) < 1e-4
    True
    """

    def __init__(
        self,
        units: int,
        *,
        l2: float = 0.0,
        bias: bool = True,
        weight_init: AnyInitializer | None = None,
        bias_init: AnyInitializer | None = None,
    ) -> None:
        self.units = checks.integer("Readout", "units", units)
        self.l2 = checks.number("Readout", "l2", l2, 0)
        super().__init__(units, bias=bias, weight_init=weight_init, bias_init=bias_init)


class Activation(Layer):
    """An activation as a layer: y = f(x), of x's shape.

    `activation`: a name or a function of a tensor. Errors: ValueError for an unknown name, with the nearest one.

    >>> lm.Sequential(lm.Activation("relu")).predict([[-1.0, 2.0]])
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: str | Function) -> None:
        self.activation = activations.get(activation)

    def forward(self, x: Tensor) -> Any:
        return self.activation(x)


class Embedding(Layer):
    """A vector for each of n things: y = W[i], i integers.

    `num_embeddings`: n, the rows of W "weight"; `embedding_dim`: its columns. W starts by `weight_init`, from N(0, 1)
    unless given. i: (batch, ...) of 0 .. n - 1; y: (batch, ..., embedding_dim). `dtype`: of W, float32 unless given.

    Errors: TypeError for inputs that are not integers; ValueError for numbers outside 0 .. n - 1, another dtype.

    >>> net = lm.Sequential(lm.Embedding(100, 16), seed=0)
    >>> vectors = net.predict(np.array([[7, 3, 7]]))
    >>> vectors.shape, bool((vectors[0, 0] == net.parameters["embedding_1.weight"][7]).all())
    ((1, 3, 16), True)
    """

    weight: Parameter

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, weight_init: AnyInitializer | None = None, dtype: str | None = None
    ) -> None:
        self.num_embeddings = checks.integer("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = checks.integer("Embedding", "embedding_dim", embedding_dim)
        self.weight_init = initializers.normal() if weight_init is None else initializers.get(weight_init)
        self.dtype = None if dtype is None else checks.choice("Embedding", "dtype", dtype, FLOATS)

    def build(self, x: Tensor) -> None:
        self.weight = self.parameter("weight", (self.num_embeddings, self.embedding_dim), self.weight_init)

    def forward(self, x: Tensor) -> Any:
        if x.dtype != "int64":
            raise TypeError(f"expected integers from 0 to {self.num_embeddings - 1}, got {x.dtype}; pass Input(..., dtype='int64')")
        return make("take", [self.weight, x], axis=0, from_end=False)


class Lambda(Layer):
    """A function of tensors as a layer: y = f(x). It holds no parameters; a class of your own can.

    `function`: one tensor or several -> a tensor or several. Errors: TypeError for what cannot be called, or returns no tensor.

    >>> lm.Sequential(lm.Lambda(lambda x: x ** 2)).predict([[1.0, 3.0]])
    array([[1., 9.]], dtype=float32)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"[Lambda] expected a function of tensors, got {checks.brief(function)}; pass e.g. lambda x: x ** 2")
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)
