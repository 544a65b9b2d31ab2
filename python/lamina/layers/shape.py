"""Layers that join or rearrange, without parameters: Flatten, Reshape, Concatenate, Add."""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.base import checks
from lamina.graph.tensor import Tensor
from lamina.layers.base import Layer


class Flatten(Layer):
    """All axes but the batch in one: (batch, a, b, ...) -> (batch, a b ...). Errors: ValueError where one of them is not known.

    >>> lm.Sequential(lm.Flatten()).predict([[[1.0, 2.0], [3.0, 4.0]]])
    array([[1., 2., 3., 4.]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Any:
        return ops.reshape(x, (x.shape[0], _count(x)))


class Reshape(Layer):
    """Each sample in another shape: (batch, ...) -> (batch, *shape). One size may be -1: what remains.

    The sizes may come as a tuple.

    Errors: ValueError where the number of elements does not fit, and for a size of 0 or a second -1.

    >>> lm.Sequential(lm.Reshape(2, -1)).predict([[1.0, 2.0, 3.0, 4.0]])
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)
    """

    def __init__(self, *shape: Any) -> None:
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            shape = tuple(shape[0])
        self.shape = tuple(checks.integer("Reshape", f"shape[{i}]", n, -1) for i, n in enumerate(shape))
        if 0 in self.shape or self.shape.count(-1) > 1:
            raise ValueError(f"[Reshape] expected sizes > 0 and at most one -1, got {self.shape}; leave the batch axis out")

    def forward(self, x: Tensor) -> Any:
        n, known = _count(x), math.prod(size for size in self.shape if size != -1)
        if n % known or (-1 not in self.shape and n != known):
            raise ValueError(
                f"expected samples of {known} elements for shape {self.shape}, got {n} (shape {x.shape}); change the sizes"
            )
        return ops.reshape(x, (x.shape[0], *(n // known if size == -1 else size for size in self.shape)))


class Concatenate(Layer):
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


class Add(Layer):
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


def _count(x: Tensor) -> int:
    """Elements of one sample, which must be known."""
    if x.ndim < 1 or not all(isinstance(n, int) for n in x.shape[1:]):
        raise ValueError(
            f"expected an input of shape (batch, ...) with known sizes after the batch, got {x.shape}; fix them in Input(...)"
        )
    return math.prod(x.shape[1:])
