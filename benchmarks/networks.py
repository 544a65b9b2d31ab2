"""Networks that are no perceptrons, each as one formula on operations that every library has: `m`, which a peer's file gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

Dense = tuple[int, int]  # a matrix (in, out), and a bias


@dataclass(frozen=True)
class Network:
    """How it is computed, and trained: mse, Adam (1e-3). `products`: (rows, n, m) of all products forward, of one sample; the first
    `of_input` of them are of the input.
    """

    name: str
    note: str
    batch: int
    shape: tuple[int, ...]  # of a sample
    outputs: int
    dense: list[Dense]
    forward: Callable[[SimpleNamespace, list[Any], Any], Any]  # of m, the weights in their order, and x
    products: list[tuple[int, int, int]]
    of_input: int = 1
    scales: int = 0  # pairs of a gain and a bias behind the matrices, each as long as `width`
    width: int = 0
    words: int = 0  # x has numbers of rows of a table, the first of the weights, (words, width)
    rate: float = 1e-3
    optimizer: str = "adam"
    dtype: str = "float32"

    @property
    def flops(self) -> int:
        """The floor of a training step: products alone, three for one forward, but two where nothing before it is trained."""
        forward = [2 * self.batch * rows * n * m for rows, n, m in self.products]
        return 3 * sum(forward) - sum(forward[: self.of_input])

    @cached_property
    def weights(self) -> list[np.ndarray]:
        """The same for everyone."""
        rng = np.random.default_rng(1)
        made = [rng.standard_normal((self.words, self.width)).astype(np.float32)] if self.words else []
        for n, m in self.dense:
            r = np.sqrt(6 / (n + m))
            made += [rng.uniform(-r, r, (n, m)).astype(np.float32), np.zeros(m, np.float32)]
        for _ in range(self.scales):
            made += [np.ones(self.width, np.float32), np.zeros(self.width, np.float32)]
        return made

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """(x, y): one batch."""
        rng, shape = np.random.default_rng(0), (self.batch, *self.shape)
        x = rng.integers(0, self.words, shape) if self.words else rng.standard_normal(shape).astype(np.float32)
        return x, rng.standard_normal((self.batch, self.outputs)).astype(np.float32)


def norm(library: Any, axis: int) -> Callable[..., Any]:
    """A norm by its formula, on the functions of a library that has none."""

    def normalized(x, gain, bias):
        centered = x - library.mean(x, axis, keepdims=True)
        return centered / library.sqrt(library.mean(centered * centered, axis, keepdims=True) + 1e-5) * gain + bias

    return normalized


def _normed(kind: str) -> Callable[..., Any]:
    def forward(m, p, x):
        normalize = getattr(m, kind)
        h = m.relu(normalize(x @ p[0] + p[1], p[6], p[7]))
        h = m.relu(normalize(h @ p[2] + p[3], p[8], p[9]))
        return h @ p[4] + p[5]

    return forward


def _residual(m, p, x):
    h = x @ p[0] + p[1]
    for i in range(2, len(p) - 2, 4):
        h = h + m.silu(h @ p[i] + p[i + 1]) @ p[i + 2] + p[i + 3]
    return h @ p[-2] + p[-1]


def _attention(m, p, x):
    q, k, v = (x @ p[i] + p[i + 1] for i in (0, 2, 4))
    h = x + m.softmax(q @ m.transpose(k, (0, 2, 1)) / 32**0.5) @ v
    h = m.layer_norm(h, p[12], p[13])
    h = h + m.relu(h @ p[6] + p[7]) @ p[8] + p[9]
    return m.mean(h, 1) @ p[10] + p[11]


def _recurrent(m, p, x):
    h = m.tanh(x[:, 0] @ p[0] + p[1])
    for t in range(1, 20):
        h = m.tanh(x[:, t] @ p[0] + h @ p[2] + p[3])
    return h @ p[4] + p[5]


def _convolution(m, p, x):
    windows = m.concatenate([x[:, i : i + 60] for i in range(5)], 2)
    return m.mean(m.relu(windows @ p[0] + p[1]), 1) @ p[2] + p[3]


def _embedding(m, p, x):
    return m.relu(m.mean(m.take(p[0], x), 1) @ p[1] + p[2]) @ p[3] + p[4]


_MLP = [(64, 128), (128, 128), (128, 8)]
_HEAD = [(32, 32)] * 3 + [(32, 128), (128, 32), (32, 5)]
_BLOCKS = [(32, 64), *[(64, 64)] * 12, (64, 4)]

NETWORKS = [
    Network("layer-norm", "64-128-128-8, relu, a LayerNorm behind each", 128, (64,), 8, _MLP, _normed("layer_norm"),
            [(1, *d) for d in _MLP], scales=2, width=128),
    Network("batch-norm", "64-128-128-8, relu, a BatchNorm behind each", 128, (64,), 8, _MLP, _normed("batch_norm"),
            [(1, *d) for d in _MLP], scales=2, width=128),
    Network("residual", "32-64, six blocks of h + 64 silu 64, 4", 64, (32,), 4, _BLOCKS, _residual, [(1, *d) for d in _BLOCKS]),
    Network("attention", "one head over 16 places of 32, LayerNorm, 128 relu, mean, 5", 32, (16, 32), 5, _HEAD, _attention,
            [*[(16, *d) for d in _HEAD[:3]], (16, 32, 16), (16, 16, 32), (16, 32, 128), (16, 128, 32), (1, 32, 5)],
            of_input=3, scales=1, width=32),
    Network("recurrent", "20 steps of 8, tanh 64, 1", 32, (20, 8), 1, [(8, 64), (64, 64), (64, 1)], _recurrent,
            [(20, 8, 64), (19, 64, 64), (1, 64, 1)]),
    Network("convolution", "64 places of 4, a window of 5, 16 relu, mean, 3", 32, (64, 4), 3, [(20, 16), (16, 3)], _convolution,
            [(60, 20, 16), (1, 16, 3)]),
    Network("embedding", "12 of 1,000 words of 16, mean, 32 relu, 1", 64, (12,), 1, [(16, 32), (32, 1)], _embedding,
            [(1, 16, 32), (1, 32, 1)], of_input=0, width=16, words=1000),
]  # fmt: skip
