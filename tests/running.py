"""Runs a graph that a test made: `run([y], {x: array}, training=True)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

import lamina as lm
from lamina import _core as core


def run(
    outputs: Iterable[lm.Tensor], feeds: Mapping[lm.Tensor, np.ndarray] | None = None, *, training: bool = False
) -> list[np.ndarray]:
    """The values of `outputs` for the inputs in `feeds`."""
    feeds = feeds or {}
    program = core.Program([t.node for t in feeds], [t.node for t in outputs], [], training)
    return program.run(list(feeds.values()))


def fill(layer: lm.Layer, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random values for every parameter of a layer that was called; positive ones for variances. Returns them by local name."""
    for name, p in layer.parameters.items():
        p.value = rng.uniform(0.5, 1.5, tuple(p.shape)) if name == "running_var" else rng.normal(size=tuple(p.shape))
    return {name: p.value.astype(np.float64) for name, p in layer.parameters.items()}
