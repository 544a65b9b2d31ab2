"""A file's state for a network that is there: weights, optimizer state and counters, checked as a whole against what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from lamina import optim
from lamina.base import checks
from lamina.graph.parameter import Parameter
from lamina.models.model import Model
from lamina.models.sequential import Sequential
from lamina.optim import Optimizer
from lamina.storage.alike import difference
from lamina.storage.blueprint import Array, Json, describe_graph, extra_name
from lamina.storage.foreign import Misfit, Source, check_format, check_names, damage, expected_names
from lamina.storage.states import Values, fitting, random_states, state_values, write_values


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
        write_values(self.model, self.values)
        self.model.wiring.awaits(self.random)
        self.model.seed, self.model.epochs_done = self.seed, self.epochs_done


def restored(model: Model, description: Json, source: Source, where: str) -> Restored:
    """Weights, optimizer state and counters of the same architecture for `model`, with `extra` and `extra_tensors`.

    Raises ValueError, in the name of `where`, for anything that does not fit; `model` is then as it was, or only built.
    """
    with damage(where):
        check_format(description)
        check_names(expected_names(description), source)
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
        random = random_states(model, description)
        found = fitting(model.wiring.parameters, values) + state_values(model, description, source, random, Misfit)
        return Restored(model, found, random, seed, epochs_done, description.get("extra"), extra)


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
