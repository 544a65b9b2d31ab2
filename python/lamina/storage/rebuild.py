"""The reverse of `blueprint`: a model from plain data that nobody vouches for. Everything is checked, nothing is executed."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import layers as layer_classes
from lamina import losses, metrics, optim
from lamina.base import checks, lengths
from lamina.graph.inference import EFFECTS
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor, placeholder
from lamina.layers import Layer, LayerCall
from lamina.layers.base import can_name
from lamina.linalg.host import RULES
from lamina.models.assembly import Parts, assemble, keep_optimizer
from lamina.models.model import Model
from lamina.storage.blueprint import MODELS, SOURCES, Json, Loaded, index_of
from lamina.storage.foreign import Source, check_format, check_names, damage, expected_names
from lamina.storage.states import random_states, state_values, write_values

MOST_AXES = 64  # of a tensor, as the core has it
MOST_LEVELS = 250  # of calls within calls: Python's own limit comes before


def build(description: Json, source: Source, where: str, into: Model | None = None, given: tuple[Any, ...] | None = None) -> Model:
    """The model that `describe` described, or `into` made to be it; compiled with `given` where that is not None.

    Raises ValueError, in the name of `where`, for anything that does not fit together.
    """
    with damage(where):
        check_format(description)
        kind = MODELS[description["class"]]
        model = kind.__new__(kind) if into is None else into
        if "nodes" in description:
            parts = Rebuild(description, source).parts()
        else:
            check_names(set(), source)
            parts = Parts([_layer(item) for item in description["layers"]])
        assemble(model, description["seed"], description["dtype"], parts)
        model.epochs_done = checks.integer("load", "epochs_done", description["epochs_done"], 0, checks.UINT64)
        model.columns = _columns(description.get("columns", {}))
        _compile(model, description, given, where)
        random = random_states(model, description)
        model.wiring.awaits(random)
        write_values(model, state_values(model, description, source, random))
    return model


def _compile(model: Model, description: Json, given: tuple[Any, ...] | None, where: str) -> None:
    """Compiles it with `given`, else with what the file holds, as far as that is no code; says what is lost."""
    objective = description.get("objective") if given is None else None
    if objective is not None:
        given = _objective(objective)
        if given is not None:
            _say_what_is_lost(where, objective.get("lost_metrics", []))
        elif objective["optimizer"] is not None:
            keep_optimizer(model, optim.get(objective["optimizer"]))
        elif description.get("optimizer_state"):
            _say_whose_state_is_lost(where, "extra" in description)
    if given is not None:
        loss, optimizer, metrics_, loss_weights = given
        model.compile(loss, optimizer, metrics_, loss_weights=loss_weights)


def _columns(given: Any) -> dict[str, list[str]]:
    if not isinstance(given, dict) or not all(isinstance(names, list) for names in given.values()):
        raise ValueError(f"expected lists of names as columns, got {checks.brief(given)}")
    return {where: [str(name) for name in names] for where, names in given.items()}


class Rebuild:
    """Makes nodes, parameters and layers from a description."""

    def __init__(self, description: Json, source: Source):
        check_names(expected_names(description), source)
        self.description, self.source = description, source
        self.parameters = {item["name"]: self._parameter(item) for item in description["parameters"]}
        self.layers = [self._layer(item) for item in description["layers"]]
        self.calls = self._calls(description["calls"])
        self.random: dict[str, Parameter] = {}
        self.tensors: list[Tensor] = []
        for item in description["nodes"]:
            self.tensors.append(self._node(item))
        for call, item in zip(self.calls, description["calls"], strict=True):
            call.inputs = tuple(self._several(item["inputs"]))
            call.gave(self._several(item["outputs"]))

    def parts(self) -> Parts:
        inputs, outputs = self._named(self.description["inputs"]), self._named(self.description["outputs"])
        for tensor in inputs.values():
            if tensor.node.op != "input":
                raise ValueError(f"expected an input node, got {tensor.node.op!r}")
        return Parts(self._stack(), self.layers, self.parameters, inputs, outputs)

    def _stack(self) -> list[Layer]:
        """The layers that a Sequential was given; all, of files from before they were written down."""
        if "stack" not in self.description:
            return list(self.layers)
        given, calls = self.description["stack"], self.description["calls"]
        if not isinstance(given, list) or len(given) > len(self.layers) + len(calls):
            raise ValueError(f"expected the layers of the stack, got {checks.brief(given)}")
        stack = [self.layers[index_of(i, self.layers)] for i in given]
        called = {item["layer"] for item in calls if "around" not in item}
        if not called <= set(given):
            raise ValueError(f"expected all layers that are called in the stack, got {checks.brief(given)}")
        return stack

    def _parameter(self, item: Json) -> Parameter:
        shape = tuple(item["shape"])
        value = self.source.get(item["name"])
        if value.shape != shape or str(value.dtype) != item["dtype"]:
            raise ValueError(f"{item['name']}: expected {item['dtype']} {shape}, got {value.dtype} {value.shape}")
        made = Parameter(value, name=item["name"], trainable=bool(item["trainable"]), dtype=item["dtype"])
        made.trainable = made.is_weight and not item.get("frozen", False)
        return made

    def _layer(self, item: Json) -> Layer:
        layer = _layer(item)
        for local in item["parameters"]:
            if not can_name(local, layer):
                raise ValueError(f"expected a parameter's name, got {checks.brief(local)}")
        layer.restore({local: self.parameters[name] for local, name in item["parameters"].items()})
        return layer

    def _calls(self, items: Sequence[Json]) -> list[LayerCall]:
        """The calls, which get their tensors once those are made. One can be within an earlier one only: no two in each other."""
        calls: list[LayerCall] = []
        levels: list[int] = []
        for item in items:
            layer = self.layers[index_of(item["layer"], self.layers)]
            around = index_of(item["around"], calls) if "around" in item else None
            levels.append(1 if around is None else levels[around] + 1)
            if levels[-1] > MOST_LEVELS:
                raise ValueError(f"expected at most {MOST_LEVELS} calls within each other, got more")
            calls.append(LayerCall(layer, (), around=None if around is None else calls[around]))
        return calls

    def _node(self, item: Json) -> Tensor:
        op = item["op"]
        if "call" in item:
            with core.scope(self.calls[index_of(item["call"], self.calls)]):
                return self._make(op, item)
        return self._make(op, item)

    def _make(self, op: str, item: Json) -> Tensor:
        if op in SOURCES and item["in"]:
            raise ValueError(f"the operation {op!r} takes no inputs, got {item['in']}")
        if op == "input":
            return placeholder(_decode(item["shape"]), dtype=item["dtype"])
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
        if op == "fill" and "value" not in attrs:  # which the core misses when it runs
            raise ValueError("expected the value of a fill, got none")
        if op == "host" and "options" in attrs:  # as text, of files from before they had types
            attrs |= json.loads(attrs.pop("options") or "{}")
        if op == "host" and attrs.get("name") not in RULES:
            raise ValueError(f"expected a function of linear algebra, got {attrs.get('name')!r}")
        return Tensor(core.make(op, [t.node for t in self._several(item["in"])], attrs))

    def _several(self, numbers: Sequence[int]) -> list[Tensor]:
        return [self.tensors[index_of(n, self.tensors)] for n in numbers]

    def _named(self, numbers: Mapping[str, int]) -> dict[str, Tensor]:
        if not numbers:
            raise ValueError("expected inputs and outputs, got none")
        return dict(zip(numbers, self._several(list(numbers.values())), strict=True))


def _layer(item: Json) -> Layer:
    known = layer_classes.CLASSES.get(item["class"])
    layer = Loaded(str(item["class"])) if known is None or item["config"] is None else known.from_config(item["config"])
    if not isinstance(item["name"], str | None):
        raise TypeError(f"expected a layer's name, got {item['name']!r}")
    layer.name = item["name"]
    return layer


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if "float" in value else lengths.parsed(value["dim"])
    if isinstance(value, list):
        if len(value) > MOST_AXES:
            raise ValueError(f"expected at most {MOST_AXES} numbers, got {len(value)}")
        return [_decode(v) for v in value]
    return value


def _objective(item: Json) -> tuple[Any, ...] | None:
    """The arguments of `compile`, configurations made into objects; None where the loss or the optimizer is not in the file."""
    if item["loss"] is None or item["optimizer"] is None:
        return None
    return _made(item["loss"], losses.get), _made(item["optimizer"], optim.get), _metrics(item["metrics"]), item["loss_weights"]


def _metrics(given: Any) -> Any:
    """Names as they are, [name, options] as a partial of one of our functions."""
    if isinstance(given, Mapping):
        return {output: _metrics(several) for output, several in given.items()}
    return [_with_options(*one) if isinstance(one, list) else one for one in given]


def _with_options(name: str, options: Mapping[str, Any]) -> Any:
    metric = metrics.get(name)
    known = list(inspect.signature(metric).parameters)
    if not isinstance(name, str) or not set(options) <= set(known) - {"y_true", "y_pred", "sample_weight"}:
        raise ValueError(f"expected options of the metric {name!r}, got {checks.brief(options)}")
    return functools.partial(metric, **options)


def _say_what_is_lost(where: str, names: Any) -> None:
    """The names of metrics of the user's own, which the file cannot hold."""
    if names:
        checks.warn(
            f"[{where}] the file has no {', '.join(map(str, names))}: a metric of your own is code, which no file holds; "
            "give it to net.compile or net.fit again",
        )


def _say_whose_state_is_lost(where: str, checkpoint: bool) -> None:
    """An optimizer of the user's own, whose state the file holds."""
    remedy = "go on by fit(..., resume=path) of a network with that optimizer" if checkpoint else "given again, it begins anew"
    checks.warn(
        f"[{where}] the file has no optimizer for the state that is in it: one of your own, or of a rate of your own, is code, "
        f"which no file holds; {remedy}"
    )


def _made(value: Any, get: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping) and set(value) != {"class", "config"}:
        return {name: _made(one, get) for name, one in value.items()}
    if isinstance(value, list):
        return [_made(one, get) for one in value]
    return value if isinstance(value, str) else get(value)
