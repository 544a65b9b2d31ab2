"""Runs a graph that a test made: `run([y], {x: array}, training=True)`; the rows of a Jacobian."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

import lamina as lm
from lamina import _core as core
from lamina.graph.samplewise import flattened, sample_rows


def run(
    outputs: Iterable[lm.Tensor], feeds: Mapping[lm.Tensor, np.ndarray] | None = None, *, training: bool = False
) -> list[np.ndarray]:
    """The values of `outputs` for the inputs in `feeds`."""
    feeds = feeds or {}
    program = core.Program([t.node for t in feeds], [t.node for t in outputs], [], training)
    return program.run(list(feeds.values()))


def jacobian_rows(y: lm.Tensor, weights: Iterable[lm.Tensor]) -> lm.Tensor | None:
    """(B, P): dy_b by all weights, one after the other; None where a weight is used in a way without a rule."""
    rows = sample_rows(y, list(weights))
    return None if rows is None else lm.concatenate([flattened(row) for row in rows], 1)


def fill(layer: lm.Layer, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random values for every parameter of a layer that was called; positive ones for variances. Returns them by local name."""
    for name, p in layer.parameters.items():
        p.value = rng.uniform(0.5, 1.5, tuple(p.shape)) if name == "running_var" else rng.normal(size=tuple(p.shape))
    return {name: p.value.astype(np.float64) for name, p in layer.parameters.items()}
