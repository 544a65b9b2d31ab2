"""A model as plain data and back: the graph as a list of operations, the tensors by name. What a file holds; nothing in it is code.

{"format": 1, "class", "dtype", "seed", "epochs_done",
 "parameters": [{"name", "dtype", "shape", "trainable"}],
 "layers": [{"name", "class", "config" or null, "parameters": {local name: name}}],
 "calls": [{"layer": index, "inputs": [node], "outputs": [node]}],
 "nodes": [{"op", "in": [node], "attrs", "call": index or absent}],        a node's number is its place in the list
 "inputs": {name: node}, "outputs": {name: node},
 "objective": {"loss", "optimizer", "metrics", "loss_weights"} or absent, "optimizer_state": [name] or absent}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lamina import _core as core
from lamina import layers as layer_classes
from lamina import metrics
from lamina.config import Configured, plain
from lamina.layers import Layer, LayerCall
from lamina.model import Model, Sequential
from lamina.schedules import Constant
from lamina.tensor import Parameter, Tensor, placeholder
from lamina.wiring import calls_of, nodes_of

if TYPE_CHECKING:
    from lamina.io import Source

Array = np.ndarray[Any, Any]
Json = dict[str, Any]

FORMAT = 1
CONSTANT, OPTIMIZER, RANDOM, EXTRA = "~constant/", "~optimizer/", "~random/", "~extra/"
MODELS: dict[str, type[Model]] = {"Model": Model, "Sequential": Sequential}
SOURCES = {"input", "variable", "constant"}
EFFECTS = {"assign", "rule_update", "rule_constants"}  # these write variables: no part of a prediction


# ---- model -> data ----


def describe(model: Model, *, optimizer: bool = False) -> tuple[Json, dict[str, Array]]:
    """The description of a model and its tensors, named as in a file."""
    tensors = {name: dense(value) for name, value in model.parameters.items()} if model.built else {}
    kind = "Sequential" if isinstance(model, Sequential) else "Model"
    description: Json = {
        "format": FORMAT,
        "class": kind,
        "dtype": model.dtype,
        "seed": model.seed,
        "epochs_done": model.epochs_done,
    }
    if model.built:
        description |= _describe_graph(model, tensors)
    else:
        description["layers"] = [_describe_unbuilt(layer) for layer in model.layers]
    if model.compiled:
        given = _given(model)
        if given is not None:
            description["objective"] = given
            if optimizer and model.built:
                state = model.programs.bind_optimizer().state
                description["optimizer_state"] = list(state)
                tensors |= {OPTIMIZER + name: dense(slot.value) for name, slot in state.items()}
    if optimizer and model.wiring.random:
        description["random"] = list(model.wiring.random)
        tensors |= {RANDOM + name: dense(state.value) for name, state in model.wiring.random.items()}
    return description, tensors


def portable(model: Model) -> bool:
    """Whether the file can hold the loss, the optimizer and the metrics."""
    return _given(model) is not None


def _given(model: Model) -> Json | None:
    """The arguments of `compile` as JSON, or None where one is Python code of the user's."""
    given = [_portable(value) for value in model.objective.given]
    missing = [a is not None and b is None for a, b in zip(model.objective.given, given, strict=True)]
    return None if any(missing) else dict(zip(("loss", "optimizer", "metrics", "loss_weights"), given, strict=True))


def extra_name(group: str, name: str) -> str:
    """How the file calls a tensor of `extra_tensors`."""
    return f"{EXTRA}{group}/{name}"


def _describe_graph(model: Model, tensors: dict[str, Array]) -> Json:
    wiring = model.wiring
    nodes = nodes_of([*model.inputs, *model.outputs])
    number = {node.serial: i for i, node in enumerate(nodes)}
    calls = calls_of(nodes)
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
        "parameters": [
            {"name": name, "dtype": p.dtype, "shape": list(p.shape), "trainable": p.trainable}
            for name, p in wiring.parameters.items()
        ],
        "layers": [_describe_layer(name, layer, wiring.name_of_parameter) for name, layer in layers],
        "calls": [
            {
                "layer": layer_number[id(c.layer)],
                "inputs": [number[t.node.serial] for t in c.inputs if t.node.serial in number],
                "outputs": [number[s] for s in c.outputs if s in number],
            }
            for c in calls
        ],
        "nodes": [entry(node) for node in nodes],
        "inputs": {name: number[t.node.serial] for name, t in model.named_inputs.items()},
        "outputs": {name: number[t.node.serial] for name, t in model.named_outputs.items()},
    }


def _describe_layer(name: str, layer: Layer, name_of: Any) -> Json:
    return {
        "name": name,
        "class": class_name(layer),
        "config": _portable_config(layer),
        "parameters": {local: name_of(p) for local, p in layer.parameters.items()},
    }


def _describe_unbuilt(layer: Layer) -> Json:
    config = _portable_config(layer)
    if config is None:
        raise ValueError(
            f"[save] expected built-in layers in a network that is not built, got {layer!r}; "
            "build the network first: its graph is then saved"
        )
    return {"name": layer.name, "class": class_name(layer), "config": config}


def class_name(layer: Layer) -> str:
    """The name of the layer's class; of a loaded layer, the one it had."""
    return layer.original if isinstance(layer, Loaded) else type(layer).__name__


def _portable_config(layer: Layer) -> Json | None:
    """The constructor's arguments of a built-in layer if JSON can hold them: with these it can be made anew."""
    known = layer_classes.CLASSES.get(type(layer).__name__)
    return layer.config() if type(layer) is known and _is_json(layer.config()) else None


def _portable(value: Any) -> Any:
    """A loss, an optimizer or metrics as JSON, or None where Python code of the user's is in it."""
    if isinstance(value, Mapping):
        items = {str(k): _portable(v) for k, v in value.items()}
        return None if None in items.values() else items
    if isinstance(value, (list, tuple)):
        several = [_portable(v) for v in value]
        return None if None in several else several
    if isinstance(value, Configured):
        return plain(value) if _built_in(value) and _is_json(plain(value)) else None
    if callable(value):
        name = metrics.name_of(value)
        return name if name in metrics.names() and metrics.get(name) is value else None
    return value if value is None or _is_json(value) else None


def _built_in(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "lamina"


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


def dense(value: Any) -> Array:
    """A copy in C order, which is what a file holds."""
    return np.array(value, order="C", copy=True)


# ---- data -> model ----


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


def build(description: Json, source: Source, where: str, into: Model | None = None) -> Model:
    """The model that `describe` described, or `into` made to be it.

    Raises ValueError, in the name of `where`, for anything that does not fit together.
    """
    with _damage(where):
        _check_format(description)
        kind = MODELS[description["class"]]
        model = kind.__new__(kind) if into is None else into
        model._start(description["seed"], description["dtype"])
        model.epochs_done = description["epochs_done"]
        if "nodes" in description:
            Rebuild(description, source).into(model)
        else:
            _check_names(set(), source)
            Sequential.__init__(
                cast(Sequential, model), *(_layer(item) for item in description["layers"]), seed=model.seed, dtype=model.dtype
            )
        _restore_random(model, description, source)
        if "objective" in description:
            model.compile(**_objective(description["objective"]))
            _restore_optimizer(model, description, source)
    return model


def restore(model: Model, description: Json, source: Source, where: str) -> tuple[Any, dict[str, dict[str, Array]]]:
    """Writes weights, optimizer state and counters of the same architecture into `model`; returns `extra` and `extra_tensors`."""
    with _damage(where):
        _check_format(description)
        _check_names(_expected(description), source)
        if not model.built:
            (first, *_) = description["inputs"].values()
            item = description["nodes"][first]
            cast(Sequential, model).build(item["shape"][1:], dtype=item["dtype"])
        values = {item["name"]: source.get(item["name"]) for item in description["parameters"]}
        if set(values) != set(model.parameters):
            raise ValueError(
                f"expected the parameters {sorted(model.parameters)}, got {sorted(values)}; give the network its own file"
            )
        extra = {
            group: {name: source.get(extra_name(group, name)) for name in arrays}
            for group, arrays in description.get("extra_tensors", {}).items()
        }
        model.parameters.update(values)
        _restore_optimizer(model, description, source)
        _restore_random(model, description, source)
        model.seed, model.epochs_done = description["seed"], description["epochs_done"]
    return description.get("extra"), extra


@contextmanager
def _damage(where: str) -> Iterator[None]:
    """Whatever goes wrong while foreign data are read is one kind of error: ValueError that names the file."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        text = f"missing {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"[{where}] expected a saved network that fits together, got a damaged or foreign one: {text}") from error


def _check_format(description: Json) -> None:
    if description.get("format") != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {description.get('format')!r}; load it with the version that wrote it")
    if description.get("class") not in MODELS:
        raise ValueError(f"expected class {' or '.join(MODELS)}, got {description.get('class')!r}")


def _expected(description: Json) -> set[str]:
    names = [item["name"] for item in description.get("parameters", [])]
    names += [item["tensor"] for item in description.get("nodes", []) if "tensor" in item]
    names += [OPTIMIZER + name for name in description.get("optimizer_state", [])]
    names += [RANDOM + name for name in description.get("random", [])]
    names += [extra_name(group, name) for group, arrays in description.get("extra_tensors", {}).items() for name in arrays]
    if len(set(names)) != len(names):
        raise ValueError("a tensor is named twice")
    return set(names)


def _check_names(expected: set[str], source: Source) -> None:
    missing, extra = sorted(expected - source.names()), sorted(source.names() - expected)
    if missing or extra:
        raise ValueError(f"expected the tensors of the graph; missing: {missing[:5]}, not of it: {extra[:5]}")


class Rebuild:
    """Makes nodes, parameters and layers from a description."""

    def __init__(self, description: Json, source: Source):
        _check_names(_expected(description), source)
        self.description, self.source = description, source
        self.parameters = {item["name"]: self._parameter(item) for item in description["parameters"]}
        self.layers = [self._layer(item) for item in description["layers"]]
        self.calls = [LayerCall(self.layers[_index(c["layer"], self.layers)], (), ()) for c in description["calls"]]
        self.random: dict[str, Parameter] = {}
        self.tensors: list[Tensor] = []
        for item in description["nodes"]:
            self.tensors.append(self._node(item))
        for call, item in zip(self.calls, description["calls"], strict=True):
            call.inputs, outputs = tuple(self._several(item["inputs"])), self._several(item["outputs"])
            call.outputs, call.shapes = tuple(t.node.serial for t in outputs), tuple(t.shape for t in outputs)

    def into(self, model: Model) -> None:
        inputs = self._named(self.description["inputs"])
        for tensor in inputs.values():
            if tensor.node.op != "input":
                raise ValueError(f"expected an input node, got {tensor.node.op!r}")
        for layer in self.layers:
            model.wiring.add_layer(layer)
        for name, parameter in self.parameters.items():
            model.wiring.add_parameter(parameter, name)
        model._assemble(inputs, self._named(self.description["outputs"]))
        if isinstance(model, Sequential):
            model._stacked = list(self.layers)

    def _parameter(self, item: Json) -> Parameter:
        shape = tuple(item["shape"])
        value = self.source.get(item["name"])
        if value.shape != shape or str(value.dtype) != item["dtype"]:
            raise ValueError(f"{item['name']}: expected {item['dtype']} {shape}, got {value.dtype} {value.shape}")
        return Parameter(value, name=item["name"], trainable=bool(item["trainable"]), dtype=item["dtype"])

    def _layer(self, item: Json) -> Layer:
        layer = _layer(item)
        layer.restore({local: self.parameters[name] for local, name in item["parameters"].items()})
        return layer

    def _node(self, item: Json) -> Tensor:
        op = item["op"]
        if "call" in item:
            with core.scope(self.calls[_index(item["call"], self.calls)]):
                return self._make(op, item)
        return self._make(op, item)

    def _make(self, op: str, item: Json) -> Tensor:
        if op in SOURCES and item["in"]:
            raise ValueError(f"the operation {op!r} takes no inputs, got {item['in']}")
        if op == "input":
            return placeholder([_decode(d) for d in item["shape"]], dtype=item["dtype"])
        if op == "variable" and "random" in item:
            return self.random.setdefault(
                item["random"], Parameter(np.zeros(2, np.int64), name=item["random"], trainable=False, dtype="int64")
            )
        if op == "variable":
            return self.parameters[item["parameter"]]
        if op == "constant":
            return Tensor(core.constant(self.source.get(item["tensor"])))
        if op in EFFECTS:
            raise ValueError(f"the operation {op!r} is no part of a prediction")
        attrs = {key: _decode(value) for key, value in item.get("attrs", {}).items()}
        return Tensor(core.make(op, [t.node for t in self._several(item["in"])], attrs))

    def _several(self, numbers: Sequence[int]) -> list[Tensor]:
        return [self.tensors[_index(n, self.tensors)] for n in numbers]

    def _named(self, numbers: Mapping[str, int]) -> dict[str, Tensor]:
        if not numbers:
            raise ValueError("expected inputs and outputs, got none")
        return dict(zip(numbers, self._several(list(numbers.values())), strict=True))


def _index(number: Any, items: Sequence[Any]) -> int:
    if type(number) is not int or not 0 <= number < len(items):
        raise ValueError(f"expected a number from 0 to {len(items) - 1}, got {number!r}")
    return number


def _layer(item: Json) -> Layer:
    known = layer_classes.CLASSES.get(item["class"])
    layer = Loaded(str(item["class"])) if known is None or item["config"] is None else known.from_config(item["config"])
    layer.name = item["name"]
    return layer


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if "float" in value else value["dim"]
    return [_decode(v) for v in value] if isinstance(value, list) else value


def _objective(given: Json) -> Json:
    """The arguments of `compile`; names and configurations become objects there."""
    return {key: given[key] for key in ("loss", "optimizer", "metrics", "loss_weights")}


def _restore_optimizer(model: Model, description: Json, source: Source) -> None:
    names = description.get("optimizer_state")
    if names is None or not model.compiled:
        return
    state = model.programs.bind_optimizer().state
    if set(names) != set(state):
        raise ValueError(f"expected the optimizer state {sorted(state)}, got {sorted(names)}")
    values = {name: source.get(OPTIMIZER + name) for name in names}
    for name, value in values.items():
        if value.shape != tuple(state[name].shape):
            raise ValueError(f"{name}: expected shape {tuple(state[name].shape)}, got {value.shape}")
    for name, value in values.items():
        state[name].value = value
    if isinstance(model.objective.optimizer.schedule, Constant):
        model.objective.optimizer.lr = float(values["lr"])  # a callback may have changed it


def _restore_random(model: Model, description: Json, source: Source) -> None:
    names, states = description.get("random", []), model.wiring.random
    if names and set(names) != set(states):
        raise ValueError(f"expected the random states {sorted(states)}, got {sorted(names)}")
    for name in names:
        states[name].value = source.get(RANDOM + name)
