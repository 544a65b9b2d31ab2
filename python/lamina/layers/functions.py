"""Functions of tensors as layers, without parameters: Activation, Dropout, Lambda."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import activations, ops
from lamina.activations import Activation as Function
from lamina.base import checks
from lamina.graph.tensor import Tensor
from lamina.layers.base import Layer, TensorLayer, floating


class Activation(TensorLayer):
    """An activation as a layer: y = f(x), of x's shape.

    `activation`: a name or a function of a tensor. Errors: ValueError for an unknown name, with the nearest one.

    >>> lm.Sequential(lm.Activation("relu")).predict([[-1.0, 2.0]])
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: str | Function) -> None:
        self.activation = activations.get(activation)

    def forward(self, x: Tensor) -> Any:
        return self.activation(x)


class Dropout(TensorLayer):
    """Drops elements at random while training: y = x m / (1 - p), m = 0 with probability p, else 1; the identity otherwise.

    The mask is drawn anew at each step, from the model's seed. Source: Srivastava et al. 2014.
    Errors: ValueError for p outside [0, 1), TypeError for an input that is not floating-point.

    >>> net = lm.Sequential(lm.Dropout(0.5), seed=0).compile("mse", "sgd")
    >>> x = np.ones((1, 100))
    >>> np.unique(net.predict(x)), np.unique(net.trace(x, x)["D1"])  # of a training step
    (array([1.], dtype=float32), array([0., 2.], dtype=float32))
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = checks.number("Dropout", "p", p, 0, 1, open_high=True)

    def forward(self, x: Tensor) -> Any:
        floating(x)
        if self.p == 0:
            return x
        kept = ops.random_uniform(x) >= self.p
        return ops.in_training(ops.where(kept, x * (1 / (1 - self.p)), ops.zeros_like(x)), x)


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
