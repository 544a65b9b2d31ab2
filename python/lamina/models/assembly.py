"""Networks made of their parts, as a file holds them, without a call of their constructors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor
from lamina.layers import Layer
from lamina.models.model import Model
from lamina.models.sequential import Sequential
from lamina.optim import Optimizer


class Parts(NamedTuple):
    """What a network consists of; one that is not built has its stack alone."""

    stack: list[Layer]  # the layers that a Sequential was given
    layers: Sequence[Layer] = ()
    parameters: Mapping[str, Parameter] = {}
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}


def assemble(model: Model, seed: int, dtype: str, parts: Parts) -> None:
    """Makes `model` a network of these parts; its constructor need not have been called, and what it was is gone."""
    model._start(seed, dtype)
    for layer in parts.layers:
        model.wiring.add_layer(layer)
    for name, parameter in parts.parameters.items():
        model.wiring.add_parameter(parameter, name)
    if parts.outputs:
        model._assemble(parts.inputs, parts.outputs)
    if isinstance(model, Sequential):
        model._stacked = parts.stack


def keep_optimizer(model: Model, optimizer: Optimizer) -> None:
    """Gives a network whose loss is code an optimizer with its state, until `compile` brings the loss."""
    model._kept_optimizer = optimizer


def attributes_of_user(model: Model) -> dict[str, Any]:
    """What a network has beside its parts."""
    bare = Sequential.__new__(Sequential)
    bare._start(model.seed, model.dtype)
    ours = {*vars(bare), "_stacked", "_before", "_called_on"}
    return {name: value for name, value in vars(model).items() if name not in ours}
