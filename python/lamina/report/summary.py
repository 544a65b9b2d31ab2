"""The table that `net.summary()` returns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lamina import _core as core
from lamina.base import tables
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import shown
from lamina.layers import Layer, LayerCall
from lamina.models.sequential import Sequential
from lamina.models.wiring import calls_of, nodes_of, with_outer
from lamina.storage.blueprint import class_name
from lamina.trace import cost
from lamina.trace.graph import forward_graph, known_as

if TYPE_CHECKING:
    from lamina.models.model import Model

HEAD = ("layer", "type", "output", "parameters", "bytes", "FLOP")
ALIGNS = "<<<>>>"
INDENT = "  "  # of a layer within another one


def summary(model: Model) -> str:
    """Name, type, output shape, parameters and their bytes, and the FLOP of one sample's prediction for each layer; the totals.

    Layers that another one calls stand below it, indented; its own figures are without theirs, so that columns add up.
    """
    model.build_as_called()
    calls = with_outer(calls_of(nodes_of(model.outputs)))
    shapes = _output_shapes(calls)
    flops = _flops(model) if model.built else {}
    rows = [HEAD]
    counted: set[core.Variable] = set()  # one that two layers have is the first one's
    passed = ", ".join(shown(tuple(t.shape)) for t in model.inputs)  # on by a layer of a stack that makes no node
    stacked = {id(layer) for layer in model.layers} if isinstance(model, Sequential) else set()
    for level, name, layer in _named_layers(model, calls):
        shape = shapes.get(id(layer), passed if id(layer) in stacked else "")  # one that a loss brought along has none here
        passed = passed if level else shape
        own = [p for p in layer.parameters.values() if p.variable not in counted]
        counted |= {p.variable for p in own}
        figures = (f"{_count(own):,}", f"{_bytes(own):,}", f"{flops.get(id(layer), 0):,}") if layer.built else ("", "", "")
        rows.append((INDENT * level + name, class_name(layer), shape, *figures))
    rows += [
        (name, "Parameter", shown(tuple(p.shape)), f"{_count([p]):,}", f"{_bytes([p]):,}", "")
        for name, p in model.wiring.parameters.items()
        if p.variable not in counted
    ]
    lines = tables.text(rows, ALIGNS)
    rule = "-" * len(lines[0])
    return "\n".join(
        [f"{type(model).__name__}, {model.dtype}, seed {model.seed}", lines[0], rule, *lines[1:], rule, _totals(model)]
    )


def _flops(model: Model) -> dict[int, int]:
    """id(layer) -> FLOP of all its calls in the prediction of one sample."""
    graph = forward_graph(model)
    out: dict[int, int] = {}
    for node in graph.ordered():
        if node.scope is not None:
            operands = [tuple(known_as(n, 1) for n in i.shape) for i in node.inputs]
            count = cost.flops(node, operands, tuple(known_as(n, 1) for n in node.shape))
            out[id(node.scope.layer)] = out.get(id(node.scope.layer), 0) + count
    return out


def _named_layers(model: Model, calls: Sequence[LayerCall]) -> list[tuple[int, str, Layer]]:
    """(level, name, layer) in the order of the table: a layer whose first call another one made is a level below that."""
    if not model.built:
        return [(0, layer.name or "", layer) for layer in model.layers]
    outer: dict[int, Layer | None] = {}
    for call in calls:
        outer.setdefault(id(call.layer), None if call.around is None else call.around.layer)
    inner: dict[int | None, list[tuple[str, Layer]]] = {}
    for name, layer in model.wiring.layers.items():
        around = outer.get(id(layer))
        inner.setdefault(None if around is None else id(around), []).append((name, layer))

    def below(around: int | None, level: int) -> Iterator[tuple[int, str, Layer]]:
        for name, layer in inner.get(around, ()):
            yield level, name, layer
            yield from below(id(layer), level + 1)

    return list(below(None, 0))


def _output_shapes(calls: Sequence[LayerCall]) -> dict[int, str]:
    """id(layer) -> the shape of its outputs at its first call."""
    shapes: dict[int, str] = {}
    for call in calls:
        shapes.setdefault(id(call.layer), ", ".join(map(shown, call.shapes)))
    return shapes


def _totals(model: Model) -> str:
    if not model.built:
        return "not built: shapes and parameters come with the first data, or with net.build((features,))"
    parameters = list(model.wiring.parameters.values())
    size = _bytes(parameters)
    trained = _count([p for p in parameters if p.trainable])
    rest = _count(parameters) - trained
    return f"{_count(parameters):,} parameters ({size:,} B), {f'{trained:,} trained, {rest:,} not' if rest else 'all trained'}"


def _bytes(parameters: Sequence[Parameter]) -> int:
    return sum(cost.size_of(p.variable.shape, p.dtype) for p in parameters)


def _count(parameters: Sequence[Parameter]) -> int:
    return sum(math.prod(p.variable.shape) for p in parameters)
