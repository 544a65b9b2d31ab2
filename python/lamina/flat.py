"""A network whose weights are one vector: the same math in float64, as what trains on all data at once needs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.function import Function, function
from lamina.lift import constant
from lamina.samplewise import children, resolved
from lamina.tensor import Parameter, Tensor, placeholder

Array = np.ndarray[Any, Any]


class FlatNetwork:
    """The outputs' math on new inputs, in float64, each weight a part of `theta`; as an inference program computes it.

    The first number of `clock` counts the commits.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        parameters: Sequence[Parameter],
        theta: Parameter,
        clock: Parameter,
    ):
        self.parameters, self.theta, self._clock = list(parameters), theta, clock
        self.inputs = [_like(t) for t in inputs]
        self.weights: list[Tensor] = []
        self._new, self._parts = placeholder(tuple(theta.shape), "float64"), list[Tensor]()
        start = 0
        for p in self.parameters:
            shape = tuple(int(n) for n in p.shape)
            end = start + math.prod(shape)
            self.weights.append(ops.reshape(theta[start:end], shape))
            self._parts.append(ops.cast(ops.reshape(self._new[start:end], shape), p.dtype))
            start = end
        self._theta: Array | None = None  # as it was last
        self._differs = self._build_differs()
        self._writers: dict[tuple[Parameter, ...], Function] = {}
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

    def load(self) -> Array:
        """`theta` as the network has it: with its own digits where only rounding lies between, else the weights; the same array as
        long as they stay.
        """
        if self._theta is None or self._differs(self._theta):
            self._theta = self.theta.value
            if self._differs(self._theta):
                self._theta = self.theta.value = np.concatenate([p.value for p in self.parameters], axis=None, dtype=np.float64)
        return self._theta

    def _build_differs(self) -> Function:
        unlike = [ops.sum(ops.cast(part != p, "float64")) for part, p in zip(self._parts, self.parameters, strict=True)]
        return function([self._new], sum(unlike, start=constant(0.0, "float64")))

    def commit(self, theta: Array, others: Mapping[Parameter, Any]) -> None:
        """Makes `theta` the network's weights, with other values: all at once, whatever thread or Ctrl-C comes in between."""
        several = tuple(others)
        if several not in self._writers:
            self._writers[several] = self._build_writer(several)
        self._writers[several](theta, *others.values())
        self._theta = theta

    def _build_writer(self, others: tuple[Parameter, ...]) -> Function:
        values = [placeholder(tuple(p.shape), p.dtype) for p in others]
        later = self._clock + np.eye(1, int(self._clock.shape[0]))[0]
        new = (*self._parts, self._new, later, *values)
        return function([self._new, *values], [], zip((*self.parameters, self.theta, self._clock, *others), new, strict=True))


def _like(tensor: Tensor) -> Tensor:
    """An input of the same shape, float64 where it was float32."""
    attrs: dict[str, Any] = {"shape": tuple(tensor.shape), "dtype": "float64" if tensor.dtype == "float32" else tensor.dtype}
    if tensor.name:
        attrs["name"] = tensor.name
    return Tensor(core.make("input", [], attrs))
