"""What a graph holds, found by walking from its outputs to its inputs: layer calls, parameters, and a name for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lamina import _core as core
from lamina.base import lengths, names
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor
from lamina.layers import Layer


def nodes_of(outputs: Iterable[Tensor]) -> list[core.Node]:
    """All nodes that the outputs need, each once, inputs before users. A node is known by its `serial`."""
    return core.topological([tensor.node for tensor in outputs])


def calls_of(nodes: Sequence[core.Node]) -> list[Any]:
    """The layer calls in the order in which they run, which is that of the nodes made from an input: a mask of Dropout has none."""
    fed: set[int] = set()
    for node in nodes:
        if node.op == "input" or any(below.serial in fed for below in node.inputs):
            fed.add(node.serial)
    calls: dict[int, Any] = {}
    for node in sorted(nodes, key=lambda node: node.serial not in fed):
        if node.scope is not None:
            calls.setdefault(id(node.scope), node.scope)
    return list(calls.values())


def with_outer(calls: Iterable[Any]) -> list[Any]:
    """The calls and those that they were made within, which may have no node of their own: outer ones before inner ones."""
    out: dict[int, Any] = {}
    for call in calls:
        chain = []
        while call is not None and id(call) not in out:
            chain.append(call)
            call = call.around
        out.update((id(one), one) for one in reversed(chain))
    return list(out.values())


class Wiring:
    """The layers and parameters of a graph under names that are unique in one model.

    Layers come in the order in which the outputs first need a call of theirs, parameters in the order of their layers; those that a
    user made directly follow. `extend` takes in what a loss brings along; a name once given never changes.
    """

    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self.parameters: dict[str, Parameter] = {}
        self.random: dict[str, Parameter] = {}  # (seed, step) of what draws random numbers
        self.awaited: dict[str, Parameter] = {}  # those of a file that wait for its loss, which is code
        self._layer_names: dict[int, str] = {}
        self._parameter_names: dict[core.Variable, str] = {}

    def extend(self, outputs: Iterable[Tensor]) -> None:
        """Names all layers and parameters below `outputs` that have no name yet."""
        nodes = nodes_of(outputs)
        for call in with_outer(calls_of(nodes)):
            self.add_layer(call.layer)
        for node in nodes:
            if node.op == "random_uniform":
                self.add_random(Parameter.of(node.inputs[0]))
        for node in nodes:
            if node.op == "variable":
                self.add_parameter(Parameter.of(node))

    def add_random(self, state: Parameter) -> None:
        """Takes in the state of a random operation."""
        if state.variable not in self._parameter_names:
            name = _numbered("random", self.random)
            self.random[name] = state
            if name in self.awaited:
                state.value = self.awaited.pop(name).value
            self._parameter_names[state.variable] = name

    def awaits(self, states: Mapping[str, Parameter]) -> None:
        """Keeps those states of a file that nothing here has."""
        self.awaited = {name: state for name, state in states.items() if name not in self.random}

    def add_layer(self, layer: Layer) -> str:
        """The layer's name in this model, given at the first sight of it; its parameters are called by it."""
        name = self.name_layer(layer)
        for local, parameter in layer.parameters.items():
            self.add_parameter(parameter, f"{name}.{local}")
        return name

    def name_layer(self, layer: Layer) -> str:
        """The layer's name alone, which it has before it has parameters."""
        if id(layer) not in self._layer_names:
            name = self._free_name(layer)
            self.layers[name] = layer
            self._layer_names[id(layer)] = name
            if layer.name is None:
                layer.name = name
        return self._layer_names[id(layer)]

    def name_of(self, layer: Layer) -> str:
        """The name of a layer that the model holds."""
        return self._layer_names[id(layer)]

    def name_of_parameter(self, parameter: Parameter) -> str:
        """The name of a parameter that the model holds."""
        return self._parameter_names[parameter.variable]

    def _free_name(self, layer: Layer) -> str:
        if layer.name is not None and layer.name not in self.layers:
            return layer.name
        if layer.name is not None and layer.named_by_user:
            raise ValueError(f"[{layer.name}] expected unique layer names, got two layers named {layer.name!r}; rename one of them")
        return _numbered(names.snake(type(layer).__name__), self.layers)

    def add_parameter(self, parameter: Parameter, name: str | None = None) -> None:
        """Takes a parameter in, under its layer's name, its own, or a number."""
        if parameter.variable in self._parameter_names:
            return
        own = name is None  # no layer's: a loss may have brought that of another network
        name = name or parameter.name or _numbered("parameter", self.parameters)
        if name in self.parameters:
            raise ValueError(
                f"[{name}] expected unique parameter names, got two parameters named {name!r}; "
                + ("rename one of them" if not own else f"rename one, or take this network's own: net.parameters.tensor({name!r})")
            )
        parameter.name = name
        self.parameters[name] = parameter
        self._parameter_names[parameter.variable] = name


@contextmanager
def unnamed_if_refused(outputs: Iterable[Tensor]) -> Iterator[None]:
    """Gives the layers and parameters below `outputs` the names back that they had, where the block raises."""
    nodes = nodes_of(outputs)
    layers = [(call.layer, call.layer.name) for call in with_outer(calls_of(nodes))]
    variables = [(node.attrs["variable"], node.attrs["variable"].name) for node in nodes if node.op == "variable"]
    try:
        yield
    except BaseException:
        for one, name in (*layers, *variables):
            one.name = name
        raise


def _numbered(stem: str, taken: Mapping[str, object]) -> str:
    number = 1
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"


def check_closed(where: str, outputs: Iterable[Tensor], inputs: Iterable[Tensor]) -> None:
    """ValueError where the outputs need an input that is not among `inputs`."""
    inputs = list(inputs)
    known = {tensor.node.serial for tensor in inputs}
    for node in nodes_of(outputs):
        if node.op == "input" and node.serial not in known:
            shapes = ", ".join(str(tensor.shape) for tensor in inputs)
            raise ValueError(
                f"[{where}] expected inputs {shapes} only, got a tensor that needs another input, of shape {Tensor(node).shape}; "
                "pass that one as an input, too, or build on the same tensors (a copied or loaded network has its own: net.inputs)"
            )


def check_apart(loss: Tensor, outputs: Iterable[Tensor]) -> None:
    """ValueError where the loss of a copy reads weights of the network that it was copied from, and would train those."""
    theirs = {node.attrs["variable"] for node in nodes_of(outputs) if node.op == "variable"}
    for node in nodes_of([loss]):
        if node.op == "variable" and node.attrs["variable"] in theirs and Parameter.of(node).trainable:
            raise ValueError(
                f"[loss] expected math on this network's own weights, got {Parameter.of(node).name} of the one that it is a copy "
                "of; compile the copy with a loss made for it, of its net.layers and net.parameters.tensor(...)"
            )


def apply(inputs: Sequence[Tensor], outputs: Sequence[Tensor], new_inputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs' math on other inputs, with the same parameters: layers are called again, single operations are made again."""
    if len(new_inputs) != len(inputs):
        raise ValueError(f"[Model] expected {len(inputs)} tensors, got {len(new_inputs)}; pass one for each input")
    new = {old.node.serial: tensor for old, tensor in zip(inputs, new_inputs, strict=True)}
    sizes: dict[str, Any] = {}  # that single operations have in their attributes: reshape to (B*T, 3)
    for old, tensor in zip(inputs, new_inputs, strict=True):
        sizes |= lengths.between(old.shape, tensor.shape)
    waiting = [tensor.node for tensor in outputs]
    while waiting:
        node = waiting[-1]
        if node.serial in new:
            waiting.pop()
            continue
        call = _call_to_repeat(node)
        needed = node.inputs if call is None else [t.node for t in call.inputs]
        missing = [n for n in needed if n.serial not in new and n.serial < node.serial]  # a file may have them in a circle
        if missing:
            waiting += missing
        elif call is not None:
            results = call.layer(*(new.get(t.node.serial, t) for t in call.inputs))
            results = results if isinstance(results, (list, tuple)) else [results]
            new.update(zip(call.outputs, results, strict=True))
        else:
            below, attrs = [new[child.serial].node for child in node.inputs], node.attrs
            resized = lengths.replaced(attrs, sizes) if sizes else attrs
            same = all(a.serial == b.serial for a, b in zip(below, node.inputs, strict=True))
            same = same and all(resized[name] is attrs[name] for name in attrs)
            try:
                new[node.serial] = Tensor(node if same else core.make(node.op, below, resized))
            except ValueError as error:  # the shapes of before are in its attributes
                raise _unlike(inputs, new_inputs, error) from error
    return [new[tensor.node.serial] for tensor in outputs]


def _unlike(inputs: Sequence[Tensor], new_inputs: Sequence[Tensor], error: ValueError) -> ValueError:
    had, got = (", ".join(str(tensor.shape) for tensor in several) for several in (inputs, new_inputs))
    return ValueError(
        f"[Model] expected tensors like those that it was built on, {had}, got {got}: {error}; reshape them, or put "
        "what depends on shapes into lm.Lambda, which is called again"
    )


def _call_to_repeat(node: core.Node) -> Any:
    """The outermost layer call that can be repeated and has the node as an output, or None."""
    found, call = None, node.scope
    while call is not None:
        if node.serial in call.outputs and _again(call.layer):
            found = call
        call = call.around
    return found


def _again(layer: Layer) -> bool:
    """Whether the layer can be called on other tensors: one that was loaded without its Python code cannot."""
    return getattr(layer, "original", None) is None
