"""What is trained and served: one row a workload."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Workload:
    """A multilayer perceptron and how it is trained. `quick`: whether a quick run has it."""

    name: str
    sizes: tuple[int, ...]
    activation: str  # tanh, relu, gelu_tanh
    loss: str  # mse, binary_cross_entropy (logits), cross_entropy (logits, class numbers)
    optimizer: str  # adam (1e-3), sgd (1e-2)
    batch: int
    dtype: str = "float32"
    quick: bool = True

    @property
    def flops(self) -> int:
        """The floor of a training step: 6 B sum(n_i n_i+1) - 2 B n_0 n_1, products alone; no input gradient is needed."""
        n = self.sizes
        return 6 * self.batch * sum(a * b for a, b in zip(n, n[1:], strict=False)) - 2 * self.batch * n[0] * n[1]

    @property
    def forward_flops(self) -> int:
        """The floor of a prediction."""
        return 2 * self.batch * sum(a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def rate(self) -> float:
        return 1e-3 if self.optimizer == "adam" else 1e-2

    @property
    def shape(self) -> str:
        return "-".join(map(str, self.sizes))

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """(x, y): one batch."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, self.sizes[0])).astype(self.dtype)
        if self.loss == "cross_entropy":
            return x, rng.integers(0, self.sizes[-1], self.batch)
        if self.loss == "binary_cross_entropy":
            return x, rng.integers(0, 2, (self.batch, self.sizes[-1])).astype(self.dtype)
        return x, rng.standard_normal((self.batch, self.sizes[-1])).astype(self.dtype)

    @cached_property
    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(W, b) of each layer, the same for everyone: W (in, out) of Glorot's range."""
        rng = np.random.default_rng(1)
        made = []
        for a, b in zip(self.sizes, self.sizes[1:], strict=False):
            r = np.sqrt(6 / (a + b))
            made.append((rng.uniform(-r, r, (a, b)).astype(self.dtype), np.zeros(b, self.dtype)))
        return made

    def with_batch(self, batch: int) -> Workload:
        return replace(self, batch=batch)


TRAINING = [
    Workload("tiny-rl", (4, 64, 64, 2), "tanh", "mse", "adam", 64),
    Workload("tabular", (30, 256, 256, 1), "relu", "binary_cross_entropy", "adam", 256),
    Workload("mnist-s", (784, 128, 10), "relu", "cross_entropy", "sgd", 32),
    Workload("mnist-m", (784, 512, 512, 10), "relu", "cross_entropy", "adam", 128),
    Workload("wide", (1024, 2048, 2048, 1000), "gelu_tanh", "cross_entropy", "adam", 256, quick=False),
    Workload("odd", (37, 61, 53, 7), "tanh", "cross_entropy", "adam", 100),
    Workload("deep-thin", (16, *[32] * 16, 4), "tanh", "mse", "adam", 128, quick=False),
    Workload("autoencoder", (784, 256, 32, 256, 784), "relu", "mse", "adam", 128, quick=False),
    Workload("double", (64, 128, 128, 8), "tanh", "mse", "adam", 128, dtype="float64", quick=False),
    Workload("large-batch", (64, 128, 128, 10), "relu", "cross_entropy", "adam", 4096, quick=False),
    Workload("one-sample", (64, 128, 10), "relu", "cross_entropy", "sgd", 1, quick=False),
]

INFERENCE = [(workload, batch) for workload in TRAINING if workload.name in ("tiny-rl", "tabular", "mnist-m") for batch in (1, 256)]
