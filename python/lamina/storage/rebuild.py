"""The reverse of `blueprint`: a model from plain data that nobody vouches for. Everything is checked, nothing is executed."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from lamina import _core as core
from lamina import layers as layer_classes
from lamina import losses, metrics, optim
from lamina.base import checks, lengths
from lamina.graph.inference import EFFECTS
from lamina.graph.parameter import Parameter, RandomState
from lamina.graph.tensor import Tensor, placeholder
from lamina.layers import Layer, LayerCall
from lamina.layers.base import can_name
from lamina.linalg.host import RULES
from lamina.models.assembly import Parts, assemble, keep_optimizer
from lamina.models.model import Model
from lamina.models.sequential import Sequential
from lamina.optim import Optimizer
from lamina.storage.alike import difference
from lamina.storage.blueprint import (
    FORMAT,
    MODELS,
    OPTIMIZER,
    RANDOM,
    SOURCES,
    Array,
    Json,
    Loaded,
    describe_graph,
    extra_name,
    index_of,
)

Values = list[tuple[Parameter, Array]]  # what is to be written, and where

MOST_AXES = 64  # of a tensor, as the core has it
MOST_LEVELS = 250  # of calls within calls: Python's own limit comes before
MOST_TEXT = 500  # characters of an error that may quote what a file holds


class Misfit(ValueError):
    """The file is valid and belongs to another network."""


class Source(Protocol):
    """Where a blueprint finds its tensors: a file, of which only the tensors asked for are read, or bytes."""

    def names(self) -> set[str]: ...

    def get(self, name: str) -> Array: ...


def build(description: Json, source: Source, where: str, into: Model | None = None, given: tuple[Any, ...] | None = None) -> Model:
    """The model that `describe` described, or `into` made to be it; compiled with `given` where that is not None.

    Raises ValueError, in the name of `where`, for anything that does not fit together.
    """
    with damage(where):
        _check_format(description)
        kind = MODELS[description["class"]]
        model = kind.__new__(kind) if into is None else into
        if "nodes" in description:
            parts = Rebuild(description, source).parts()
        else:
            _check_names(set(), source)
            parts = Parts([_layer(item) for item in description["layers"]])
        assemble(model, description["seed"], description["dtype"], parts)
        model.epochs_done = checks.integer("load", "epochs_done", description["epochs_done"], 0, checks.UINT64)
        model.columns = _columns(description.get("columns", {}))
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
        random = _random_states(model, description)
        model.wiring.awaits(random)
        _write(model, _state(model, description, source, random))
    return model


@dataclass(frozen=True)
class Restored:
    """What a file holds for a network that is there: read and checked as a whole, and nothing of it written yet."""

    model: Model
    values: Values
    random: Mapping[str, Parameter]
    seed: int
    epochs_done: int
    extra: Any
    extra_tensors: dict[str, dict[str, Array]]

    def write(self) -> None:
        """Makes weights, optimizer state and counters the network's."""
        _write(self.model, self.values)
        self.model.wiring.awaits(self.random)
        self.model.seed, self.model.epochs_done = self.seed, self.epochs_done


def restored(model: Model, description: Json, source: Source, where: str) -> Restored:
    """Weights, optimizer state and counters of the same architecture for `model`, with `extra` and `extra_tensors`.

    Raises ValueError, in the name of `where`, for anything that does not fit; `model` is then as it was, or only built.
    """
    with damage(where):
        _check_format(description)
        _check_names(_expected(description), source)
        if not model.built:
            (first, *_) = description["inputs"].values()
            item = description["nodes"][first]
            cast(Sequential, model).build(item["shape"][1:], dtype=item["dtype"])
        _check_architecture(model, description)
        _check_math(model, description)
        _check_frozen(model, description)
        _check_optimizer(model.optimizer, description)
        values = {item["name"]: source.get(item["name"]) for item in description["parameters"]}
        extra = {
            group: {name: source.get(extra_name(group, name)) for name in arrays}
            for group, arrays in description.get("extra_tensors", {}).items()
        }
        seed, epochs_done = (checks.integer("load", name, description[name], 0, checks.UINT64) for name in ("seed", "epochs_done"))
        random = _random_states(model, description)
        fitting = _fitting(model.wiring.parameters, values) + _state(model, description, source, random, Misfit)
        return Restored(model, fitting, random, seed, epochs_done, description.get("extra"), extra)


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Whatever goes wrong while foreign data are read is one kind of error: ValueError that names the file, in a few lines."""
    try:
        yield
    except Misfit as error:
        text = str(error)  # whose end says what to do
        short = text if len(text) <= 2 * MOST_TEXT else f"{text[:MOST_TEXT]}...{text[-MOST_TEXT:]}"
        raise ValueError(f"[{where}] {short}") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        text = f"missing {error}" if isinstance(error, KeyError) else str(error)
        short = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}..."
        raise ValueError(f"[{where}] expected a saved network that fits together, got a damaged or foreign one: {short}") from error


def _check_architecture(model: Model, description: Json) -> None:
    """The same parameters, in names, shapes and types."""
    here = {name: tuple(p.shape) for name, p in model.wiring.parameters.items()}
    there = {item["name"]: tuple(item["shape"]) for item in description["parameters"]}
    for name in (*here, *there):
        mine, theirs = (f"{name} of shape {of[name]}" if name in of else f"no {name}" for of in (here, there))
        if mine != theirs:
            raise Misfit(
                f"expected a file with the parameters of this network, {mine}, got {theirs}; "
                "make the network as it was when the file was written, or pass its own file"
                + ("" if name in here else "; a loss makes its own at its first batch: net.evaluate(x, y)")
            )
    for item in description["parameters"]:
        name, own = item["name"], model.wiring.parameters[item["name"]].dtype
        if own != item["dtype"]:
            raise Misfit(
                f"expected {name} of {item['dtype']}, as in the file, got {own}; make the network with dtype={item['dtype']!r}"
            )


def _check_math(model: Model, description: Json) -> None:
    """The same operations: else what the file was trained as would be another function from here on."""
    apart = difference(describe_graph(model, {}), description)
    if apart is not None:
        here, there = apart
        raise Misfit(
            f"expected the math of the file, {there}, got {here}; make the network as it was when the file was written, or go on "
            "otherwise from the network that lm.load gives"
        )


def _check_frozen(model: Model, description: Json) -> None:
    """The same weights rest: else others would be trained from here on than those that were."""
    for item in description["parameters"]:
        name, trained = item["name"], bool(item["trainable"]) and not item.get("frozen", False)
        if trained != model.wiring.parameters[name].trainable:
            here, there = (("frozen", "trained"), ("trained", "frozen"))[not trained]
            raise Misfit(
                f"expected {name} to be {there} as in the file, got it {here}; set its layer's trainable to {trained} before"
            )


def _check_optimizer(optimizer: Optimizer | None, description: Json) -> None:
    """The same class and options, where the file has them; those that are in the state, such as the rate, come from there."""
    given = (description.get("objective") or {}).get("optimizer")
    if given is None or optimizer is None:
        return
    saved = optim.get(given)
    kind, here = type(saved).__name__, type(optimizer).__name__
    if kind != here:
        raise Misfit(f"expected the optimizer that the file is of, {kind}, got {here}; pass optimizer=lm.optim.{kind}(...)")
    own, kept = optimizer.config(), description.get("optimizer_state") or ()
    for name, value in saved.config().items():
        if name not in kept and value != own.get(name):
            raise Misfit(
                f"expected {name}={value!r}, which the optimizer of the file has, got {own.get(name)!r}; "
                f"pass optimizer=lm.optim.{saved!r}, or go on otherwise from the network that lm.load gives"
            )


def _check_format(description: Json) -> None:
    if description.get("format") != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {description.get('format')!r}; load it with the version that wrote it")
    if description.get("class") not in MODELS:
        raise ValueError(f"expected class {' or '.join(MODELS)}, got {description.get('class')!r}")


def _columns(given: Any) -> dict[str, list[str]]:
    if not isinstance(given, dict) or not all(isinstance(names, list) for names in given.values()):
        raise ValueError(f"expected lists of names as columns, got {checks.brief(given)}")
    return {where: [str(name) for name in names] for where, names in given.items()}


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
        self.calls = self._calls(description["calls"])
        self.random: dict[str, Parameter] = {}
        self.tensors: list[Tensor] = []
        for item in description["nodes"]:
            self.tensors.append(self._node(item))
        for call, item in zip(self.calls, description["calls"], strict=True):
            call.inputs, outputs = tuple(self._several(item["inputs"])), self._several(item["outputs"])
            call.outputs, call.shapes = tuple(t.node.serial for t in outputs), tuple(t.shape for t in outputs)

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


def _state(
    model: Model, description: Json, source: Source, random: Mapping[str, Parameter], misfit: type[ValueError] = ValueError
) -> Values:
    """The optimizer's state and the random states that the file holds; `misfit`: the error where another state is in it."""
    drawn = _fitting(random, {name: source.get(RANDOM + name) for name in random})
    return _optimizer_state(model, description, source, misfit) + drawn


def _optimizer_state(model: Model, description: Json, source: Source, misfit: type[ValueError]) -> Values:
    names = description.get("optimizer_state")
    optimizer = model.optimizer
    if names is None or optimizer is None:
        return []
    values = {name: source.get(OPTIMIZER + name) for name in names}
    optimizer.check_state({name: value.shape for name, value in values.items()})
    state = model.programs.bind(optimizer).state
    optimizer.make_room(values.keys(), {name: p for name, p in model.wiring.parameters.items() if p.is_weight})
    values = {name: values["clock"] for name in state if name.startswith("clock.")} | values  # a clock that is not there went along
    if set(values) != set(state):
        differences = {"without": set(state) - set(values), "with": set(values) - set(state)}
        got = " and ".join(f"{word} {', '.join(sorted(some)[:5])}" for word, some in differences.items() if some)
        raise misfit(
            f"expected the optimizer state of {optimizer!r} for the weights that are trained, got one {got}; give the optimizer "
            "the options that it had, and freeze the same layers"
        )
    if optimizer.has_constant_rate:
        checks.number("load", "lr", values["lr"], 0)
    return _fitting(state, values)


def _random_states(model: Model, description: Json) -> dict[str, Parameter]:
    """The random states of the file by name; new ones where the model has none, as of a loss that is not built yet."""
    names, known = description.get("random", []), model.wiring.random
    if names and not known.keys() <= set(names):
        raise ValueError(f"expected the random states {sorted(known)}, got {sorted(names)}")
    return {name: known[name] if name in known else RandomState() for name in names}


def _fitting(parameters: Mapping[str, Parameter], values: Mapping[str, Array]) -> Values:
    """Each value beside the parameter of its name; ValueError where one has another shape or type."""
    for name, value in values.items():
        wanted, got = (f"{one.dtype} {tuple(one.shape)}" for one in (parameters[name], value))
        if wanted != got:
            raise ValueError(f"{name}: expected {wanted}, got {got}")
    return [(parameters[name], value) for name, value in values.items()]


def _write(model: Model, values: Values) -> None:
    core.write([parameter.variable for parameter, _ in values], [value for _, value in values])
    optimizer = model.optimizer
    if optimizer is not None and not optimizer.all_data and optimizer.has_constant_rate and "lr" in optimizer.state:
        optimizer.lr = float(optimizer.state["lr"].value)  # a callback may have changed it
