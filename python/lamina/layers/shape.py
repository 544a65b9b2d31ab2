"""Layers that give each sample another shape: Flatten, Reshape."""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.base import checks
from lamina.base.lengths import listed
from lamina.graph.tensor import Tensor
from lamina.layers.base import TensorLayer


class Flatten(TensorLayer):
    """All axes but the batch in one: (batch, a, b, ...) -> (batch, a b ...). Errors: ValueError where one of them is not known.

    >>> lm.Sequential(lm.Flatten()).predict([[[1.0, 2.0], [3.0, 4.0]]])
    array([[1., 2., 3., 4.]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Any:
        return ops.reshape(x, (x.shape[0], _count(x)))


class Reshape(TensorLayer):
    """Each sample in another shape: (batch, ...) -> (batch, *shape). One size may be -1: what remains.

    The sizes may come as a tuple.

    Errors: ValueError where the number of elements does not fit, and for a size of 0 or a second -1.

    >>> lm.Sequential(lm.Reshape(2, -1)).predict([[1.0, 2.0, 3.0, 4.0]])
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)
    """

    def __init__(self, *shape: Any) -> None:
        shape = listed(shape[0] if len(shape) == 1 else shape, "Reshape", alone=True)
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


def _count(x: Tensor) -> int:
    """Elements of one sample, which must be known."""
    if x.ndim < 1 or not all(isinstance(n, int) for n in x.shape[1:]):
        raise ValueError(
            f"expected an input of shape (batch, ...) with known sizes after the batch, got {x.shape}; fix them in Input(...)"
        )
    return math.prod(x.shape[1:])
