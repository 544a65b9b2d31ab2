"""The numbers of a file, and where they go: the states of optimizers and of random generators, looked at before any is written."""

from __future__ import annotations

from collections.abc import Mapping

from lamina import _core as core
from lamina.base import checks
from lamina.graph.parameter import Parameter, RandomState
from lamina.models.model import Model
from lamina.storage.blueprint import OPTIMIZER, RANDOM, Array, Json
from lamina.storage.foreign import Source

Values = list[tuple[Parameter, Array]]  # what is to be written, and where


def state_values(
    model: Model, description: Json, source: Source, random: Mapping[str, Parameter], misfit: type[ValueError] = ValueError
) -> Values:
    """The optimizer's state and the random states that the file holds; `misfit`: the error where another state is in it."""
    drawn = fitting(random, {name: source.get(RANDOM + name) for name in random})
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
    return fitting(state, values)


def random_states(model: Model, description: Json) -> dict[str, Parameter]:
    """The random states of the file by name; new ones where the model has none, as of a loss that is not built yet."""
    names, known = description.get("random", []), model.wiring.random
    if names and not known.keys() <= set(names):
        raise ValueError(f"expected the random states {sorted(known)}, got {sorted(names)}")
    return {name: known[name] if name in known else RandomState() for name in names}


def fitting(parameters: Mapping[str, Parameter], values: Mapping[str, Array]) -> Values:
    """Each value beside the parameter of its name; ValueError where one has another shape or type."""
    for name, value in values.items():
        wanted, got = (f"{one.dtype} {tuple(one.shape)}" for one in (parameters[name], value))
        if wanted != got:
            raise ValueError(f"{name}: expected {wanted}, got {got}")
    return [(parameters[name], value) for name, value in values.items()]


def write_values(model: Model, values: Values) -> None:
    core.write([parameter.variable for parameter, _ in values], [value for _, value in values])
    optimizer = model.optimizer
    if optimizer is not None and not optimizer.all_data and optimizer.has_constant_rate and "lr" in optimizer.state:
        optimizer.lr = float(optimizer.state["lr"].value)  # a callback may have changed it
