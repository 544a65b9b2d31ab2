"""Layers that bring features to mean 0 and variance 1: BatchNorm, LayerNorm."""

from __future__ import annotations

from typing import Any

from lamina import initializers, ops
from lamina.base import checks
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor
from lamina.layers.base import TensorLayer, features, floating, same_features


def _scaled(centered: Tensor, var: Tensor, eps: float) -> Any:
    """centered / sqrt(var + eps), with one division for each variance instead of each element."""
    return centered * (1 / ops.sqrt(var + eps))


class BatchNorm(TensorLayer):
    """Each feature to mean 0 and variance 1 over the batch: y = w (x - mean) / sqrt(var + eps) + b.

    While training, mean and (biased) variance are the batch's, over all axes but the last, and the running statistics follow:
    running = (1 - momentum) running + momentum batch, with the unbiased variance; one row alone has none, and leaves them as they
    are. Predicting uses the running statistics.
    x: (batch, ..., features). Parameters, all (features,): "weight" w (1 at first) and "bias" b (0) unless `affine=False`;
    "running_mean" (0) and "running_var" (1), not trained; they follow in a frozen layer, too. eps >= 0: keeps a constant feature
    from dividing by 0. momentum in [0, 1]. Source: Ioffe and Szegedy 2015. Errors: ValueError for a value out of its bounds, an
    input of another size than the first; TypeError for one that is not floating-point.

    >>> net = lm.Sequential(lm.BatchNorm(momentum=0.5)).compile("mse", "sgd")
    >>> loss = net.train_step([[1.0], [3.0]], [[0.0], [0.0]])
    >>> net.parameters["batch_norm_1.running_mean"], net.parameters["batch_norm_1.running_var"]
    (array([1.], dtype=float32), array([1.5], dtype=float32))
    """

    weight: Parameter
    bias: Parameter
    running_mean: Parameter
    running_var: Parameter

    def __init__(self, *, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        self.eps = checks.number("BatchNorm", "eps", eps, 0)
        self.momentum = checks.number("BatchNorm", "momentum", momentum, 0, 1)
        self.affine = checks.flag("BatchNorm", "affine", affine)

    def build(self, x: Tensor) -> None:
        floating(x)
        shape = (features(x),)
        if self.affine:
            self.weight = self.parameter("weight", shape, initializers.ones)
            self.bias = self.parameter("bias", shape, initializers.zeros)
        self.running_mean = self.parameter("running_mean", shape, initializers.zeros, trainable=False)
        self.running_var = self.parameter("running_var", shape, initializers.ones, trainable=False)

    def forward(self, x: Tensor) -> Any:
        same_features(x, int(self.running_mean.shape[0]))
        y = ops.in_training(self._by_batch(x), _scaled(x - self.running_mean, self.running_var, self.eps))
        return y * self.weight + self.bias if self.affine else y

    def _by_batch(self, x: Tensor) -> Any:
        rows = tuple(range(x.ndim - 1))
        mean = ops.mean(x, axis=rows)
        centered = x - mean
        var = ops.mean(ops.square(centered), axis=rows)
        n = ops.size(x, axis=rows)
        unbiased = var * ops.cast(n / ops.maximum(n - 1.0, 1.0), x.dtype)
        y = _scaled(centered, var, self.eps)
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            blended = (1 - self.momentum) * running + self.momentum * ops.stop_gradient(batch)
            y = ops.update_state(y, running, ops.where(n > 1, blended, running))
        return y


class LayerNorm(TensorLayer):
    """Each sample to mean 0 and variance 1 over its features: y = w (x - mean) / sqrt(var + eps) + b, over the last axis.

    x: (batch, ..., features). "weight" w (1 at first) and "bias" b (0): (features,), unless `affine=False`. eps >= 0: keeps a
    sample of equal features from dividing by 0. Source: Ba et al. 2016. Errors: ValueError for a negative eps, an input of another
    size than the first; TypeError for one that is not floating-point.

    >>> lm.Sequential(lm.LayerNorm(eps=0.0)).predict([[1.0, 3.0], [10.0, 30.0]])
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    weight: Parameter
    bias: Parameter

    def __init__(self, *, eps: float = 1e-5, affine: bool = True) -> None:
        self.eps = checks.number("LayerNorm", "eps", eps, 0)
        self.affine = checks.flag("LayerNorm", "affine", affine)

    def build(self, x: Tensor) -> None:
        floating(x)
        if features(x) == 1:
            checks.warn(
                "[LayerNorm] expected several features, got one, which is its own mean: the result is the same for every sample; "
                "leave it out, or take BatchNorm"
            )
        if self.affine:
            self.weight = self.parameter("weight", (features(x),), initializers.ones)
            self.bias = self.parameter("bias", (features(x),), initializers.zeros)

    def forward(self, x: Tensor) -> Any:
        same_features(x, int(self.weight.shape[0]) if self.affine else features(x))
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        var = ops.mean(ops.square(centered), axis=-1, keepdims=True)
        y = _scaled(centered, var, self.eps)
        return y * self.weight + self.bias if self.affine else y
