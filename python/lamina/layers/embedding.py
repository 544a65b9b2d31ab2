"""A layer that looks vectors up: Embedding."""

from __future__ import annotations

from typing import Any

from lamina import initializers
from lamina.base import checks
from lamina.graph.lift import make
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import FLOATS, Tensor
from lamina.initializers import AnyInitializer
from lamina.layers.base import TensorLayer


class Embedding(TensorLayer):
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
