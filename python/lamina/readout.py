"""The last linear layer solved exactly: ridge regression on the features that the rest of the network makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core as core
from lamina import checks, feed, steps
from lamina.layers import Dense
from lamina.linalg.errors import LinAlgError
from lamina.linalg.solving import substitute

if TYPE_CHECKING:
    from lamina.model import Model

Array = np.ndarray[Any, Any]


def fit_readout(model: Model, x: Any, y: Any, l2: float, sample_weight: Any) -> float:
    """See `Model.fit_readout`."""
    l2 = checks.number("fit_readout", "l2", l2, 0)
    given = feed.samples(model, x, y, sample_weight)
    model.ensure_built(x)
    layer, program = _features(model)
    target = np.asarray(given.y[0], np.float64).reshape(len(given), -1)
    if target.shape[1] != layer.units:
        raise ValueError(f"[fit_readout] expected targets with {layer.units} columns, got {target.shape[1]}; one for each output")
    weight = np.ones(len(given)) if given.weight is None else np.asarray(given.weight, np.float64)
    weight = weight / weight.sum()
    width = int(layer.weight.shape[0])
    solver = Ridge(width, layer.units, layer.use_bias)
    for start in range(0, len(given), steps.CHUNK):
        rows = slice(start, start + steps.CHUNK)
        part = program.run([a[rows] for a in given.x])[0].astype(np.float64)
        solver.add(part, target[rows], weight[rows])
    w, b, error = solver.solve(l2)
    layer.weight.value = w
    if layer.use_bias:
        layer.bias.value = b
    return error


def _features(model: Model) -> tuple[Dense, core.Program]:
    """The linear layer that gives the output, and a program for what goes into it."""
    if len(model.outputs) != 1:
        raise ValueError(f"[fit_readout] expected a network with one output, got {len(model.outputs)}")
    call = model.outputs[0].node.scope
    layer = None if call is None else call.layer
    if not isinstance(layer, Dense) or layer.activation(1.5) != 1.5 or len(model.outputs[0].shape) != 2:
        raise ValueError(
            "[fit_readout] expected a last layer Dense(units) without an activation, got "
            f"{'an operation' if layer is None else repr(layer)}; put the activation into the loss, or use fit"
        )
    return layer, core.Program([t.node for t in model.inputs], [call.inputs[0].node])


class Ridge:
    """min sum_i w_i |f_i W + b - y_i|^2 + l2 |W|^2 over rows that come in parts, by Householder QR: F^T F is never formed.

    Only the triangle R of [F 1 y] sqrt(w) is kept; each part of rows is put below it and made triangular again.
    """

    def __init__(self, width: int, outputs: int, bias: bool):
        self.width, self.bias = width, bias
        self._r: Array = np.zeros((0, width + int(bias) + outputs))

    def add(self, features: Array, targets: Array, weight: Array) -> None:
        """More rows."""
        one = np.ones((len(features), int(self.bias)))
        rows = np.concatenate([one, features, targets], axis=1) * np.sqrt(weight)[:, None]  # the bias first: it has no ridge
        self._r = _triangle(np.concatenate([self._r, rows]))

    def solve(self, l2: float) -> tuple[Array, Array, float]:
        """W (in, out), b (out,), and the mean squared error."""
        n, first = self.width + int(self.bias), int(self.bias)
        outputs = self._r.shape[1] - n
        if l2:
            ridge = np.zeros((self.width, self._r.shape[1]))
            ridge[:, first:n] = np.sqrt(l2) * np.eye(self.width)
            r = _triangle(np.concatenate([self._r, ridge]))
        else:
            r = self._r
        square = r[:n, :n]
        diagonal = np.abs(np.diagonal(square))
        if len(square) < n or diagonal.min(initial=np.inf) <= n * np.finfo(np.float64).eps * diagonal.max(initial=0):
            condition = float(np.linalg.cond(square)) if len(square) == n else float("inf")
            raise LinAlgError(
                f"[fit_readout] expected features that are independent, got a condition number of {condition:.3g}; pass l2=1e-6, "
                "say, or more rows"
            )
        solution = substitute(square, r[:n, n:], lower=False)
        error = self._r[:, :n] @ solution - self._r[:, n:]
        bias = solution[0] if self.bias else np.zeros(outputs)
        return solution[first:], bias, float(np.square(error).sum() / outputs)


def _triangle(rows: Array) -> Array:
    """R of the QR decomposition."""
    r: Any = np.linalg.qr(rows, mode="r")
    return r  # type: ignore[no-any-return]
