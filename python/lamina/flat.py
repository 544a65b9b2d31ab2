"""A network whose weights are one vector: the same math in float64, as what trains on all data at once needs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.lift import constant
from lamina.samplewise import children, resolved
from lamina.tensor import Parameter, Tensor

Array = np.ndarray[Any, Any]


class FlatNetwork:
    """The outputs' math on new inputs, in float64, each weight a part of `theta`; as an inference program computes it."""

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], parameters: Sequence[Parameter], theta: Parameter):
        self.parameters, self.theta = list(parameters), theta
        self.inputs = [_like(t) for t in inputs]
        self.weights: list[Tensor] = []
        self._places: list[tuple[Parameter, tuple[int, int], tuple[int, ...]]] = []
        start = 0
        for p in self.parameters:
            shape = tuple(int(n) for n in p.shape)
            end = start + math.prod(shape)
            self._places.append((p, (start, end), shape))
            self.weights.append(ops.reshape(theta[start:end], shape))
            start = end
        new = {old.node.serial: t.node for old, t in zip(inputs, self.inputs, strict=True)}
        new |= {p.node.serial: w.node for p, w in zip(self.parameters, self.weights, strict=True)}
        self._by_variable = {p.variable: w.node for p, w in zip(self.parameters, self.weights, strict=True)}
        for node in resolved(outputs):
            if node.serial not in new:
                new[node.serial] = self._widened(node, [new[n.serial] for n in children(node)])
        self.outputs = [Tensor(new[t.node.serial]) for t in outputs]

    def _widened(self, node: core.Node, below: list[core.Node]) -> core.Node:
        if node.op in ("in_training", "update_state"):
            return below[0]
        if node.op == "variable":
            known = self._by_variable.get(node.attrs["variable"])
            return known if known is not None else ops.cast(Tensor(node), "float64").node if node.dtype == "float32" else node
        if node.op == "constant":
            return constant(node.attrs["value"], "float64").node if node.dtype == "float32" else node
        attrs = dict(node.attrs)
        if attrs.get("dtype") == "float32":
            attrs["dtype"] = "float64"
        if node.op in ("fill", "iota", "size", "random_uniform") and node.dtype == "float32":
            attrs["dtype"] = "float64"
        return core.make(node.op, below, attrs)

    def read(self) -> Array:
        """The network's weights as one vector."""
        parts = [p.value.ravel() for p in self.parameters]
        return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)

    def load(self) -> Array:
        """`theta` as the network has it: with its own digits where only rounding lies between, else the weights."""
        theta = self.theta.value
        current = self.read()
        if not np.array_equal(self._rounded(theta), current):
            self.theta.value = theta = current
        return theta

    def _rounded(self, theta: Array) -> Array:
        if all(p.dtype == "float64" for p in self.parameters):
            return theta
        if all(p.dtype == "float32" for p in self.parameters):
            return theta.astype(np.float32).astype(np.float64)
        return np.concatenate([theta[a:b].astype(p.dtype) for p, (a, b), _ in self._places]).astype(np.float64)

    def commit(self, theta: Array, others: Mapping[Parameter, Any]) -> None:
        """Makes `theta` the network's weights, with other values: all at once, whatever thread or Ctrl-C comes in between."""
        values = {p: theta[a:b].reshape(shape) for p, (a, b), shape in self._places} | {self.theta: theta} | dict(others)
        core.write([p.variable for p in values], list(values.values()))


def _like(tensor: Tensor) -> Tensor:
    """An input of the same shape, float64 where it was float32."""
    attrs: dict[str, Any] = {"shape": tuple(tensor.shape), "dtype": "float64" if tensor.dtype == "float32" else tensor.dtype}
    if tensor.name:
        attrs["name"] = tensor.name
    return Tensor(core.make("input", [], attrs))
