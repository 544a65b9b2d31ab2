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

LINE = (-7.0, 1.5, 7.0)  # where no activation but the identity gives all back


def fit_readout(model: Model, x: Any, y: Any, l2: float | None, sample_weight: Any) -> float:
    """See `Model.fit_readout`."""
    if l2 is not None:
        l2 = checks.number("fit_readout", "l2", l2, 0)
    model.ensure_built(x)
    given = feed.samples(model, x, y, sample_weight)
    layers, program = _features(model)
    targets = [_target(layer, t, len(given)) for layer, t in zip(layers, given.y, strict=True)]
    weight = np.ones(len(given)) if given.weight is None else np.asarray(given.weight, np.float64)
    weight = weight / weight.sum()
    solvers = [Ridge(int(layer.weight.shape[0]), layer.units, layer.use_bias) for layer in layers]
    for start in range(0, len(given), steps.CHUNK):
        rows = slice(start, start + steps.CHUNK)
        for solver, part, target in zip(solvers, program.run([a[rows] for a in given.x]), targets, strict=True):
            solver.add(part.astype(np.float64), target[rows], weight[rows])
    solved = [s.solve(getattr(layer, "l2", 0.0) if l2 is None else l2) for s, layer in zip(solvers, layers, strict=True)]
    for layer, (w, b, _) in zip(layers, solved, strict=True):
        layer.weight.value = w
        if layer.use_bias:
            layer.bias.value = b
    return sum(error for *_, error in solved)


def _features(model: Model) -> tuple[list[Dense], core.Program]:
    """The linear layers that give the outputs, and a program for what goes into them."""
    calls = [out.node.scope for out in model.outputs]
    layers: list[Any] = [None if call is None else call.layer for call in calls]
    for layer, out in zip(layers, model.outputs, strict=True):
        linear = isinstance(layer, Dense) and all(float(layer.activation(v)) == v for v in LINE)
        if not linear or len(out.shape) != 2:
            raise ValueError(
                "[fit_readout] expected a last layer Readout(units) or Dense(units) without an activation, got "
                f"{'an operation' if layer is None else repr(layer)}; put the activation into the loss, or use fit"
            )
        if layers.count(layer) > 1:
            raise ValueError(f"[fit_readout] expected a last layer for each output, got {layer.name!r} for several; use fit")
    return layers, core.Program([t.node for t in model.inputs], [call.inputs[0].node for call in calls])


def _target(layer: Dense, y: Any, n: int) -> Array:
    """(n, units) in float64."""
    y, units = np.asarray(y), layer.units
    if y.ndim == 1 and units > 1 and y.dtype.kind in "iu":
        if y.min() < 0 or y.max() >= units:
            raise ValueError(
                f"[fit_readout] expected classes from 0 to {units - 1}, got {y.min()} to {y.max()}; use Readout(classes)"
            )
        one_hot: Array = np.eye(units)[y]
        return one_hot
    target: Array = y.astype(np.float64).reshape(n, -1)
    if target.shape[1] != units:
        raise ValueError(f"[fit_readout] expected targets with {units} columns, got {target.shape[1]}; one for each output")
    return target


class Ridge:
    """min sum_i w_i |f_i W + b - y_i|^2 + l2 |W|^2 over rows that come in parts, by Householder QR: F^T F is never formed.

    Only the triangle R of [F 1 y] sqrt(w) is kept; each part of rows is put below it and made triangular again.
    """

    def __init__(self, width: int, outputs: int, bias: bool):
        self.width, self.bias = width, bias
        self._r: Array = np.zeros((0, width + int(bias) + outputs))

    def add(self, features: Array, targets: Array, weight: Array) -> None:
        """More rows. Errors: ValueError for NaN or infinity."""
        for what, array in (("features", features), ("targets", targets)):
            if not np.isfinite(array).all():
                raise ValueError(f"[fit_readout] expected finite {what}, got NaN or infinity; leave such rows out")
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
