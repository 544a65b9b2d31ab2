"""A network whose weights are one vector: the same math in float64, as what trains on all data at once needs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.base import lengths
from lamina.graph.function import grad
from lamina.graph.inference import MARKS, children, resolved
from lamina.graph.lift import constant
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor

Array = np.ndarray[Any, Any]


class FlatNetwork:
    """The outputs' math on new inputs, in float64, each weight a part of `theta`; as an inference program computes it.

    The first number of `clock` counts the commits. `sizes`: what free sizes, by name, are in all data.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        parameters: Sequence[Parameter],
        theta: Parameter,
        clock: Parameter,
        sizes: Mapping[str, int] | None = None,
    ):
        self._sizes = sizes or {}
        self.parameters, self.theta, self._clock = list(parameters), theta, clock
        self.inputs = [self._like(t) for t in inputs]
        self.weights: list[Tensor] = []
        self._variables = [p.variable for p in self.parameters]
        self._places: list[tuple[slice, tuple[int, ...], str]] = []  # of each parameter in theta, its shape and dtype
        self._last: tuple[Array, list[Array]] | None = None  # theta, and the parameters' values there
        start = 0
        for p in self.parameters:
            shape = tuple(int(n) for n in p.shape)
            place = slice(start, start + math.prod(shape))
            self.weights.append(ops.reshape(theta[place], shape))
            self._places.append((place, shape, p.dtype))
            start = place.stop
        new = {old.node.serial: t.node for old, t in zip(inputs, self.inputs, strict=True)}
        new |= {p.node.serial: w.node for p, w in zip(self.parameters, self.weights, strict=True)}
        self._by_variable = {p.variable: w.node for p, w in zip(self.parameters, self.weights, strict=True)}
        for node in resolved(outputs):
            if node.serial not in new:
                new[node.serial] = self._widened(node, [new[n.serial] for n in children(node)])
        self.outputs = [Tensor(new[t.node.serial]) for t in outputs]

    def _widened(self, node: core.Node, below: list[core.Node]) -> core.Node:
        if node.op in MARKS:
            return below[0]
        if node.op == "variable":
            known = self._by_variable.get(node.attrs["variable"])
            return known if known is not None else ops.cast(Tensor(node), "float64").node if node.dtype == "float32" else node
        if node.op == "constant":
            return constant(node.attrs["value"], "float64").node if node.dtype == "float32" else node
        return in_float64(node, below, lengths.replaced(node.attrs, self._sizes))

    def _like(self, tensor: Tensor) -> Tensor:
        """An input of the same shape, float64 where it was float32."""
        attrs: dict[str, Any] = lengths.replaced({"shape": tuple(tensor.shape)}, self._sizes)
        attrs["dtype"] = "float64" if tensor.dtype == "float32" else tensor.dtype
        if tensor.name:
            attrs["name"] = tensor.name
        return Tensor(core.make("input", [], attrs))

    def gradient(self, y: Tensor) -> Tensor:
        """dy/dtheta: that by each weight, one behind the other. (By theta itself each would be padded to its length.)"""
        slopes = [ops.reshape(slope, (-1,)) for slope in grad(y, self.weights)]
        return ops.concatenate(slopes) if slopes else grad(y, self.theta)

    def place(self, theta: Array) -> None:
        """Sets the point at which programs evaluate; the network's weights are not touched."""
        self.theta.variable.write(theta)

    def load(self) -> Array:
        """theta in float64: as it was stored, where the weights are its values rounded to their dtypes, else made of the weights;
        the same array for as long as they stay.
        """
        weights = core.read(self._variables)
        if self._last is None or not _same_bits(weights, self._last[1]):
            theta = self.theta.value
            if not _same_bits(weights, self._parts(theta)):
                theta = self.theta.value = _joined(weights)
            self._last = theta, weights
        return self._last[0]

    def commit(self, theta: Array, others: Mapping[Parameter, Any]) -> None:
        """Makes `theta` the network's weights, with other values: all at once, whatever thread or Ctrl-C comes in between."""
        parts, clock = self._parts(theta), self._clock.value
        clock[0] += 1
        several = [*self._variables, self.theta.variable, self._clock.variable, *[p.variable for p in others]]
        core.write(several, [*parts, theta, clock, *others.values()])
        self._last = theta, parts

    def _parts(self, theta: Array) -> list[Array]:
        """The parameters' values where theta has these."""
        kept: dict[str, Array] = {}  # theta in each of the types that they have, once
        parts = []
        for place, shape, dtype in self._places:
            if dtype not in kept:
                kept[dtype] = theta.astype(dtype, copy=False)
            parts.append(kept[dtype][place].reshape(shape))
        return parts


def in_float64(node: core.Node, below: Sequence[core.Node], attrs: Mapping[str, Any]) -> core.Node:
    """The node's operation on other inputs, of float64 where it says that it is of float32."""
    chosen = attrs.get("dtype") or (node.dtype if node.op in ("fill", "iota", "size", "random_uniform") else None)
    return core.make(node.op, list(below), {**attrs, "dtype": "float64"} if chosen == "float32" else dict(attrs))


def _same_bits(some: Sequence[Array], others: Sequence[Array]) -> bool:
    return [a.tobytes() for a in some] == [b.tobytes() for b in others]


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate(parts, axis=None, dtype=np.float64) if parts else np.empty(0)
