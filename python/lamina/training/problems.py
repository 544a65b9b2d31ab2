"""What an optimizer that sees all data at once is given of a model: its weights as one vector, and what is to become smaller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core as core
from lamina.base import lengths
from lamina.graph.flat import FlatNetwork
from lamina.graph.tensor import Tensor
from lamina.models.programs import Task
from lamina.optim import Optimizer
from lamina.optim.least_squares import Squares
from lamina.optim.mean_squares import mean_squares
from lamina.training.samples import Samples

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]
Value = Callable[[Array], tuple[float, Array]]


def squared_errors(model: Model, samples: Samples, optimizer: Optimizer) -> tuple[FlatNetwork, Squares]:
    """The network, and the data of its squared errors."""
    given, objective = samples.data, model.objective
    where = f"optim.{type(optimizer).__name__}"
    targets, scales = mean_squares(where, objective.losses, objective.loss_weights, given.y, given.weight)
    sizes: dict[str, int] = {}  # of sequences: each position of an output is an error of its own, so there is a number of them
    for t, a in zip(model.inputs, given.x, strict=True):
        sizes |= lengths.between(t.shape[1:], a.shape[1:])
    return _network(model, optimizer, model.inputs, model.outputs, sizes), Squares(given.x, targets, scales)


def loss_and_gradient(model: Model, samples: Samples, optimizer: Optimizer) -> tuple[FlatNetwork, Value]:
    """The network with its loss, and weights -> (loss, gradient)."""
    given = samples.data
    graph = model.programs.loss(Task(samples.targets, given.weight is not None))
    model.programs.slopes(graph)  # which refuses a loss that nothing could be learned from
    network = _network(model, optimizer, [*model.inputs, *graph.targets, *graph.weight], [graph.loss])
    total, theta = network.outputs[0], network.theta
    program = core.Program([t.node for t in network.inputs], [total.node, network.gradient(total).node])
    sources = [np.ascontiguousarray(a, np.dtype(t.dtype)) for a, t in zip((*given.x, *given.y), network.inputs, strict=False)]
    if given.weight is not None:
        sources.append(np.asarray(given.weight, np.float64))

    def value(at: Array) -> tuple[float, Array]:
        theta.value = at
        f, g = program.run(sources)
        return float(f), g

    return network, value


def _network(
    model: Model, optimizer: Optimizer, inputs: Sequence[Tensor], outputs: Sequence[Tensor], sizes: Mapping[str, int] | None = None
) -> FlatNetwork:
    return FlatNetwork(inputs, outputs, model.programs.trainable, optimizer.state["theta"], optimizer.state["clock"], sizes)
