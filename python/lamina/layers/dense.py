"""Layers of linear maps: Dense, Readout."""

from __future__ import annotations

import math
from typing import Any

from lamina import activations, initializers
from lamina.activations import Activation as Function
from lamina.base import checks
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor
from lamina.initializers import AnyInitializer
from lamina.layers.base import TensorLayer, features, floating, same_features


class Dense(TensorLayer):
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
