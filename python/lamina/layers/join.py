"""Layers that make one tensor of several: Concatenate, Add."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.base import checks
from lamina.graph.tensor import Tensor
from lamina.layers.base import TensorLayer


class Concatenate(TensorLayer):
    """Several tensors side by side: y = [x1, x2, ...] along an axis other than the batch.

    `axis`: negative ones count from the end. Errors: ValueError for axis 0, for a single tensor, where the other axes differ.

    >>> lm.Concatenate()(lm.Input(3), lm.Input(4)).shape
    (B, 7)
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = checks.integer("Concatenate", "axis", axis, -64)
        if self.axis == 0:
            raise ValueError("[Concatenate] expected an axis of the samples, got 0, the batch axis; pass axis=-1 for the features")

    def forward(self, *inputs: Tensor) -> Any:
        _several(inputs)
        if any(x.ndim != inputs[0].ndim or not -x.ndim < self.axis < x.ndim for x in inputs):
            raise ValueError(
                f"expected tensors of equally many axes with an axis {self.axis} after the batch, got shapes "
                f"{', '.join(str(x.shape) for x in inputs)}; reshape them first"
            )
        return ops.concatenate(list(inputs), axis=self.axis)


class Add(TensorLayer):
    """The sum of several tensors of one shape: y = x1 + x2 + ...; a skip connection.

    Errors: ValueError where the shapes differ, and for a single tensor.

    >>> x = lm.Input(3)
    >>> lm.Add()(x, lm.Dense(3)(x)).shape
    (B, 3)
    """

    def forward(self, *inputs: Tensor) -> Any:
        _several(inputs)
        if any(tuple(x.shape[1:]) != tuple(inputs[0].shape[1:]) for x in inputs):
            raise ValueError(
                f"expected tensors of one shape, got {', '.join(str(x.shape) for x in inputs)}; "
                "bring them to the same features, e.g. by Dense"
            )
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total


def _several(inputs: tuple[Tensor, ...]) -> None:
    if len(inputs) < 2:
        raise ValueError(f"expected at least two tensors, got {len(inputs)}; call the layer as layer(a, b)")
