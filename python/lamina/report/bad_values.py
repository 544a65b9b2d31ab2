"""Why a loss is not finite: the first value of the step's program that is not, though all that it is computed from are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core as core
from lamina.inputs.arrays import position
from lamina.inputs.data import Data
from lamina.models.programs import Target, Task
from lamina.trace import notation, written
from lamina.trace.graph import StepGraph, loss_graph
from lamina.trace.run import Measured, unchanged, values_of

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]


def first_bad_value(model: Model, batch: Data, targets: tuple[Target, ...], *, training: bool = True) -> str | None:
    """In words: its equation, layer, value and place, with the parameters as they are; None where all are finite."""
    graph = loss_graph(model, Task(targets, batch.weight is not None), training)
    with unchanged(model):
        values = values_of(graph, batch.arrays)
    assert graph.loss is not None
    node = _origin(graph, graph.loss, values)
    if node is None:
        return None
    value = values[node.serial]
    index = np.argwhere(~np.isfinite(value))[0]
    place = f" at {position(index)}" if len(index) else ""
    place += " of the batch" if len(index) and not isinstance(node.shape[0], int) else ""
    return f"{_name(model, graph, node, values, len(batch))}: {value[tuple(index)]}{place}"


def _origin(graph: StepGraph, node: core.Node, values: dict[int, Array]) -> core.Node | None:
    """From a bad value down to a bad one whose operands are finite; None where the first one is finite."""
    if _finite(values[node.serial]):
        return None
    while True:
        below = [graph.real(child) for child in node.inputs]
        bad = [child for child in below if child.serial in values and not _finite(values[child.serial])]
        if not bad:
            return node
        node = min(bad, key=lambda child: child.serial)


def _finite(value: Array) -> bool:
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())


def _name(model: Model, graph: StepGraph, node: core.Node, values: dict[int, Array], rows: int) -> str:
    """`Z2 = A1 W2 + 1 b2^T (dense_2)`, `W2 (dense_2.weight)`, or the operation where no line shows it."""
    trace = written(model, graph, Measured(values=values), rows)
    for step in trace.steps:
        if node.serial in step.nodes:
            writing = trace.origin.writing
            part = notation.text(writing.term(node).parts, ascii=True) + ", in " if writing.inside(node) else ""
            return part + notation.text(step.equation, ascii=True) + (f" ({step.layer})" if step.layer else "")
    name = trace.origin.symbols.get(node.serial)
    source = trace.sources.get(name, {}) if name else {}
    return f"{name} ({source['full_name']})" if source else name or f"a result of {node.op!r}"
