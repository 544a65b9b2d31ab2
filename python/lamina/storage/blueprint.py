"""A model as plain data: the graph as a list of operations, the tensors by name. What a file holds; nothing in it is code.

{"format": 1, "class", "dtype", "seed", "epochs_done", "columns": {"x": [name]} or absent,
 "parameters": [{"name", "dtype", "shape", "trainable", "frozen"?}],
 "layers": [{"name", "class", "config" or null, "parameters": {local name: name}}],
 "calls": [{"layer": index, "inputs": [node], "outputs": [node], "around": index of an earlier call or absent}],
 "nodes": [{"op", "in": [node], "attrs"?, "call"?: index}],        a node's number is its place in the list; of an input "shape" and
   "dtype", of a variable the name of its "parameter" or its "random" state, of a constant that of its "tensor"
 "stack": [layer index], of a Sequential those that it was given, or absent,
 "inputs": {name: node}, "outputs": {name: node},
 "objective": {"loss", "optimizer", "metrics", "loss_weights", "lost_metrics"?} or absent; null where it is code of the user's;
   metrics: [name or [name, options]], of several outputs by their names; lost_metrics: the names of those that are such code
 "optimizer_state": [name] or absent, "random": [name] or absent, "extra" and "extra_tensors": what `io.save` was given}
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import layers as layer_classes
from lamina import losses, metrics, optim
from lamina.base import checks
from lamina.base.config import Configured, all_built_in, plain
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor
from lamina.layers import Layer
from lamina.models.model import Model
from lamina.models.objective import Objective
from lamina.models.sequential import Sequential
from lamina.models.wiring import calls_of, nodes_of, with_outer
from lamina.optim import Optimizer

Array = np.ndarray[Any, Any]
Json = dict[str, Any]

FORMAT = 1
CONSTANT, OPTIMIZER, RANDOM, EXTRA = "~constant/", "~optimizer/", "~random/", "~extra/"
MODELS: dict[str, type[Model]] = {"Model": Model, "Sequential": Sequential}
SOURCES = {"input", "variable", "constant"}


def describe(model: Model, *, optimizer: bool = False) -> tuple[Json, dict[str, Array]]:
    """The description of a model and its tensors, named as in a file."""
    tensors: dict[str, Array] = {}
    model.build_as_called()
    variables = {name: p.variable for name, p in model.wiring.parameters.items()} if model.built else {}
    kind = "Sequential" if isinstance(model, Sequential) else "Model"
    description: Json = {
        "format": FORMAT,
        "class": kind,
        "dtype": model.dtype,
        "seed": model.seed,
        "epochs_done": model.epochs_done,
    }
    if model.columns:
        description["columns"] = model.columns
    if model.built:
        description |= describe_graph(model, tensors)
    else:
        description["layers"] = _describe_unbuilt(model.layers)
    kept = model.optimizer
    if kept is not None:
        description["objective"] = (
            _describe_objective(model.objective, model.output_names) if model.compiled else _without_loss(kept)
        )
        if optimizer and model.built:
            state = model.programs.bind(kept).state
            description["optimizer_state"] = list(state)
            variables |= {OPTIMIZER + name: slot.variable for name, slot in state.items()}
    if states := model.wiring.random | model.wiring.awaited:  # predictions may draw as well
        description["random"] = list(states)
        variables |= {RANDOM + name: state.variable for name, state in states.items()}
    values = core.read(list(variables.values()))  # all between the same two steps
    return description, {name: dense(value) for name, value in zip(variables, values, strict=True)} | tensors


def _describe_objective(objective: Objective, outputs: list[str]) -> Json:
    """The arguments of `compile`."""
    loss, _, _, loss_weights = objective.given
    several: dict[str, list[Any]] = {output: [] for output in outputs}
    lost = []
    for name, (metric, k, _) in objective.metrics.items():
        kept = _portable_metric(metric)
        if kept is None:
            lost.append(name)
        else:
            several[outputs[k]].append(kept)
    return {
        "loss": _portable(loss),
        "optimizer": _portable(objective.optimizer),  # with the options that it has by now
        "metrics": several if len(outputs) > 1 else several[outputs[0]],
        "loss_weights": loss_weights,
        **({"lost_metrics": lost} if lost else {}),
    }


def _portable_metric(metric: metrics.Metric) -> Any:
    """The name of one of our metrics, [name, options] of one with options by `functools.partial`; None for code of the user's."""
    options, args = (metric.keywords, metric.args) if isinstance(metric, partial) else ({}, ())
    if not metrics.built_in(metric) or args or not _is_json(options):
        return None
    return [metrics.name_of(metric), options] if options else metrics.name_of(metric)


def _without_loss(optimizer: Optimizer) -> Json:
    """The same of a loaded model whose loss is Python code."""
    return {"loss": None, "optimizer": _portable(optimizer), "metrics": [], "loss_weights": None}


def extra_name(group: str, name: str) -> str:
    """How the file calls a tensor of `extra_tensors`."""
    return f"{EXTRA}{group}/{name}"


def describe_graph(model: Model, tensors: dict[str, Array]) -> Json:
    """What the description of a built model says of its graph; the arrays in it are added to `tensors`."""
    wiring = model.wiring
    # As they were made: two calls that leave something in one parameter follow one another in that order.
    nodes = sorted(nodes_of([*model.inputs, *model.outputs]), key=lambda node: node.serial)
    number = {node.serial: i for i, node in enumerate(nodes)}
    calls = with_outer(calls_of(nodes))
    call_number = {id(call): i for i, call in enumerate(calls)}
    layers = list(wiring.layers.items())
    layer_number = {id(layer): i for i, (_, layer) in enumerate(layers)}

    def entry(node: core.Node) -> Json:
        item: Json = {"op": node.op, "in": [number[n.serial] for n in node.inputs]}
        if node.op == "input":
            item |= {"shape": [_encode(d) for d in node.shape], "dtype": node.dtype}
        elif node.op == "variable":
            name = wiring.name_of_parameter(Parameter.of(node))
            item["parameter" if name in wiring.parameters else "random"] = name
        elif node.op == "constant":
            item["tensor"] = f"{CONSTANT}{len(tensors)}"
            tensors[item["tensor"]] = dense(node.attrs["value"])
        elif node.attrs:
            item["attrs"] = {key: _encode(value) for key, value in node.attrs.items()}
        if node.scope is not None:
            item["call"] = call_number[id(node.scope)]
        return item

    return {
        "parameters": [_describe_parameter(name, p) for name, p in wiring.parameters.items()],
        "layers": [_describe_layer(name, layer, wiring.name_of_parameter) for name, layer in layers],
        **({"stack": [layer_number[id(layer)] for layer in model.layers]} if isinstance(model, Sequential) else {}),
        "calls": [
            {
                "layer": layer_number[id(c.layer)],
                "inputs": [number[t.node.serial] for t in c.inputs if t.node.serial in number],
                "outputs": [number[s] for s in c.outputs if s in number],
                **({} if c.around is None else {"around": call_number[id(c.around)]}),
            }
            for c in calls
        ],
        "nodes": [entry(node) for node in nodes],
        "inputs": {name: number[t.node.serial] for name, t in model.named_inputs.items()},
        "outputs": {name: number[t.node.serial] for name, t in model.named_outputs.items()},
    }


def _describe_parameter(name: str, p: Parameter) -> Json:
    frozen = {"frozen": True} if p.is_weight and not p.trainable else {}
    return {"name": name, "dtype": p.dtype, "shape": list(p.shape), "trainable": p.is_weight, **frozen}


def _describe_layer(name: str, layer: Layer, name_of: Any) -> Json:
    return {
        "name": name,
        "class": class_name(layer),
        "config": _portable_config(layer),
        "parameters": {local: name_of(p) for local, p in layer.parameters.items()},
    }


def _describe_unbuilt(layers: Sequence[Layer]) -> list[Json]:
    """What makes them anew: nothing that they have beside their constructors' arguments, not even a place in the network twice."""
    for layer in layers:
        if _portable_config(layer) is None:
            raise ValueError(
                f"[save] expected built-in layers in a network that is not built, got {layer!r}; "
                "build the network first: its graph is then saved"
            )
        if layer.built or layer.parameters or not layer.trainable or sum(other is layer for other in layers) > 1:
            raise ValueError(
                f"[save] expected new layers in a network that is not built, got {layer!r}, which has weights, is frozen or is "
                "there twice; build the network first: net.build((features,))"
            )
    return [{"name": layer.name, "class": class_name(layer), "config": _portable_config(layer)} for layer in layers]


def class_name(layer: Layer) -> str:
    """The name of the layer's class; of a loaded layer, the one it had."""
    return layer.original if isinstance(layer, Loaded) else type(layer).__name__


def _portable_config(layer: Layer) -> Json | None:
    """The constructor's arguments of a built-in layer if JSON can hold them and it can be made of them anew."""
    known = layer_classes.CLASSES.get(type(layer).__name__)
    if type(layer) is not known or not all_built_in(layer):
        return None
    return _made_again(layer.config(), type(layer).from_config)


def _made_again(described: Json, make: Callable[[Json], Any]) -> Json | None:
    """What JSON can hold and the object can be made of; None where it cannot, as with a layer in place of an activation."""
    try:
        make(described)
    except (TypeError, ValueError):
        return None
    return described if _is_json(described) else None


def _portable(value: Any) -> Any:
    """A loss or an optimizer as JSON, or None where Python code of the user's is in it."""
    if isinstance(value, Mapping):
        items = {str(k): _portable(v) for k, v in value.items()}
        return None if None in items.values() else items
    if isinstance(value, (list, tuple)):
        several = [_portable(v) for v in value]
        return None if None in several else several
    if isinstance(value, type) and issubclass(value, Configured):
        value = value()  # as `compile` makes it
    if isinstance(value, Configured):
        get = losses.get if isinstance(value, losses.Loss) else optim.get
        return _made_again(plain(value), get) if all_built_in(value) else None
    return value if value is None or _is_json(value) else None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _encode(value: Any) -> Any:
    """An attribute as JSON: symbolic dims as {"dim": "2*B"}, infinities and NaN as {"float": "inf"}."""
    if isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, (list, tuple)):
        return [_encode(v) for v in value]
    return {"dim": str(value)}


def index_of(number: Any, items: Sequence[Any]) -> int:
    """A number that a description gives for one of `items`; ValueError where it is none."""
    if type(number) is not int or not 0 <= number < len(items):
        raise ValueError(f"expected a number from 0 to {len(items) - 1}, got {checks.brief(number)}")
    return number


def dense(value: Any) -> Array:
    """A copy in C order, which is what a file holds."""
    return np.array(value, order="C", copy=True)


class Loaded(Layer):
    """A layer whose Python code the file does not hold: its math is in the graph, and it cannot be called on other tensors."""

    def __init__(self, original: str):
        self.original = original

    def forward(self, *inputs: Tensor) -> Tensor:
        raise TypeError(
            f"expected a layer with code, got one that was loaded without it (class {self.original}); call the whole network"
        )

    def __repr__(self) -> str:
        return f"{self.original}(...)"
