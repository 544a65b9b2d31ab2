"""Gradients of each sample's own loss."""

from __future__ import annotations

import operator
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.base.turns import building
from lamina.graph.function import grad
from lamina.graph.samplewise import multiplied, sample_rows
from lamina.graph.tensor import Tensor
from lamina.losses import Loss
from lamina.models import steps
from lamina.models.programs import LossGraph, Target, Task

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]


def per_sample_gradients(model: Model, x: Any, y: Any) -> dict[str, Array]:
    """See `Model.per_sample_gradients`."""
    batch, targets = steps.checked(model, x, y, None)
    with building:  # in which no other thread freezes a layer
        program, together = _program(model, targets)
    names = [name for name, p in model.wiring.parameters.items() if p.trainable]
    arrays = batch.arrays
    if together:
        return dict(zip(names, program.run(arrays), strict=True))
    n = len(batch)
    parameters = model.programs.trainable
    flat = [np.empty((n, int(np.prod(p.shape))), p.dtype) for p in parameters]
    program.epoch(arrays, None, 1, collect=flat)
    return {name: rows.reshape(n, *p.shape) for name, p, rows in zip(names, parameters, flat, strict=True)}


def _program(model: Model, targets: tuple[Target, ...]) -> tuple[core.Program, bool]:
    """The program, planned at its first use; and whether it is one of a whole batch, or of a sample at a time."""
    graph = model.programs.loss(Task(targets))
    planned = model.programs.trained.per_sample
    if targets not in planned:
        planned[targets] = _plan(model, graph)
    return planned[targets]


def _plan(model: Model, graph: LossGraph) -> tuple[core.Program, bool]:
    """For a whole batch where each sample's loss is its own and each weight's use has a rule; else for a sample at a time."""
    parameters = model.programs.trainable
    inputs = graph.inputs(model.inputs)
    losses = _losses(model, graph.targets)
    rows = None if losses is None else sample_rows(losses, parameters)
    if rows is not None:
        return core.Program(inputs, [multiplied(row).node for row in rows]), True
    one = ops.full((model.inputs[0].shape[0], 1), 1.0, "float32")  # of the one sample: its gradient gets the length of the batch
    flat = [ops.reshape(g, (1, -1)) * ops.cast(one, g.dtype) for g in grad(graph.loss, parameters)]
    return core.Program(inputs, [t.node for t in flat]), False


def _losses(model: Model, targets: list[Tensor]) -> Tensor | None:
    """(B,): the loss of each sample; None where a loss says only what the whole batch has."""
    losses, scales = model.objective.losses, model.objective.loss_weights
    if not all(loss.by_elements for loss in losses):
        return None
    given = zip(losses, scales, model.outputs, targets, strict=True)
    return reduce(operator.add, (_each(loss, output, target) * scale for loss, scale, output, target in given))


def _each(loss: Loss, pred: Tensor, target: Any) -> Tensor:
    """What `loss` gives for a batch of one, for each sample of a batch."""
    losses, keep = loss.kept_elements(pred, target)
    rest = tuple(range(1, losses.ndim))
    if keep is None:
        return ops.mean(losses, rest) if rest else losses  # type: ignore[no-any-return]
    counts = ops.cast(keep, losses.dtype)
    if rest:
        losses, counts = ops.sum(losses, rest), ops.sum(counts, rest)
    mean: Tensor = losses / ops.maximum(counts, 1.0)
    return mean
