"""The check that explain prints: one gradient of the core's beside a difference quotient of the same loss in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina.graph.flat import in_float64
from lamina.graph.tensor import FLOATS, placeholder
from lamina.losses import GaussianNLL
from lamina.trace import Trace
from lamina.trace.notation import number
from lamina.trace.record import gradient_name

Array = np.ndarray[Any, Any]

# Of the difference: its own error is h^2 times a third derivative, and 1e-16 / h of the loss by rounding; float32's 1e-7 is far
# above both. Inputs or losses that are large, or small, want another h.
STEPS = (1e-5, 1e-3, 1e-7, 1e-9)
ROUNDED = 1e-14  # of the loss: of a smaller change, by which a step would only confirm a gradient of 0, nothing is left
TOLERANCE = 1e-4  # relative: gradients are sums in float32


class Check(NamedTuple):
    """`name`[`at`] (counted from 0): the core's gradient, and (L(w + h) - L(w - h)) / 2h; `kink`: whether it is another one to the
    right of w than to its left; `stopped`: whether a stop_gradient is in the way; `cause`: what the loss does on purpose, so that
    the two are not equal.
    """

    name: str
    at: tuple[int, ...]
    gradient: float
    difference: float
    ok: bool
    kink: bool
    stopped: bool = False
    cause: str = ""


def check(trace: Trace) -> Check | None:
    """The largest gradient of the first trainable parameter, checked; None where an operation does not exist in float64."""
    name = next((n for n, s in trace.sources.items() if s["kind"] == "parameter" and gradient_name(n) in trace), None)
    if name is None:
        return None
    gradient = np.asarray(trace[gradient_name(name)], np.float64)
    index = largest(gradient)
    try:
        program, arrays, at = _widened(trace, name)
    except (ValueError, TypeError, KeyError):
        return None

    def loss(change: float) -> float:
        moved = [np.array(a, copy=True) for a in arrays]
        moved[at][index] += change
        return float(program.run(moved)[0])

    g, middle = float(gradient[index]), loss(0.0)
    tried: list[Check] = []
    for h in STEPS:
        right, left = (loss(h) - middle) / h, (middle - loss(-h)) / h
        tried.append(Check(name, index, g, (right + left) / 2, _near(g, (right + left) / 2), not _near(right, left)))
        counts = h == STEPS[0] or abs(right + left) * h > ROUNDED * abs(middle)
        if tried[-1].ok and counts:
            return tried[-1]
    return tried[0]._replace(kink=all(one.kink for one in tried), stopped=trace.origin.graph.stops(), cause=_cause(trace))


def largest(gradient: Array) -> tuple[int, ...]:
    """Where a gradient is largest, up to its sign."""
    return tuple(int(i) for i in np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape))


def _cause(trace: Trace) -> str:
    """Why the gradient is another one than the loss's on purpose: below the floor of a variance it is; '' where it is not."""
    graph, values = trace.origin.graph, trace.origin.values
    for loss, output in zip(graph.model.objective.losses, graph.model.programs.outputs, strict=True):
        if isinstance(loss, GaussianNLL):
            pred = np.asarray(values[graph.real(output.node).serial])
            if (pred[..., pred.shape[-1] // 2 :] < loss.eps).any():
                return f"a variance is below its floor {number(loss.eps)}: the gradient passes that, the loss does not see it"
    return ""


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE * max(abs(a), abs(b)) + 1e-9


def _widened(trace: Trace, name: str) -> tuple[core.Program, list[Array], int]:
    """The loss in float64 over (inputs, parameters, random numbers): program, arrays, and where among them `name` is."""
    graph, values = trace.origin.graph, trace.origin.values
    assert graph.loss is not None
    new: dict[int, core.Node] = {}
    inputs: list[core.Node] = []
    arrays: list[Array] = []
    at = -1
    for serial in sorted(graph.below([graph.loss])):
        node = graph.nodes[serial]
        if node.op in ("input", "variable", "random_uniform"):
            value = np.asarray(values[serial])
            dtype = "float64" if node.dtype in FLOATS else node.dtype
            shape = tuple(value.shape) if node.op == "variable" else node.shape
            new[serial] = placeholder(shape, dtype=dtype).node
            at = len(inputs) if trace.origin.symbols.get(serial) == name else at
            inputs.append(new[serial])
            arrays.append(value.astype(dtype))
        elif node.op == "constant":
            value = np.asarray(node.attrs["value"])
            new[serial] = core.constant(value.astype(np.float64) if value.dtype.kind == "f" else value)
        else:
            new[serial] = in_float64(node, [new[graph.real(i).serial] for i in node.inputs], node.attrs)
    return core.Program(inputs, [new[graph.loss.serial]], [], True), arrays, at
