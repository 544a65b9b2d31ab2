"""The last linear layer solved exactly: ridge regression on the features that the rest of the network makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from lamina import _core as core
from lamina import activations
from lamina.base import checks
from lamina.graph.tensor import Tensor
from lamina.inputs import data
from lamina.inputs.arrays import check_finite
from lamina.layers import Dense
from lamina.linalg import LinAlgError, solve_triangular
from lamina.linalg.errors import limit
from lamina.models import feed
from lamina.models.chunks import parts

if TYPE_CHECKING:
    from lamina.inputs.data import Data
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]

LARGEST = 1e150  # of a target: its square, and a mean of some of them, are numbers of float64


def fit_readout(model: Model, x: Any, y: Any, l2: float | None, sample_weight: Any) -> float:
    """See `Model.fit_readout`."""
    if l2 is not None:
        l2 = checks.number("fit_readout", "l2", l2, 0)
    model.ensure_built(x)
    given = feed.samples(model, x, y, sample_weight)
    layers, program = _features(model)
    labels = data.labels(model.output_names, "y")
    targets = [_target(layer, t, where) for layer, t, where in zip(layers, given.y, labels, strict=True)]
    weight = np.ones(len(given)) if given.weight is None else np.asarray(given.weight, np.float64)
    weight = weight / weight.max()  # the sum of large ones is infinite
    weight /= weight.sum()
    solvers = [Ridge(int(layer.weight.shape[0]), layer.units, layer.use_bias) for layer in layers]
    for rows in parts(model, len(given)):
        for solver, part, target in zip(solvers, program.run([a[rows] for a in given.x]), targets, strict=True):
            solver.add(part, target[rows], weight[rows])
    solved = [s.solve(getattr(layer, "l2", 0.0) if l2 is None else l2) for s, layer in zip(solvers, layers, strict=True)]
    for layer, found in zip(layers, solved, strict=True):
        _check_held(layer, *found)
    for layer, (w, b) in zip(layers, solved, strict=True):
        layer.weight.value = w
        if layer.use_bias:
            layer.bias.value = b
    model.columns = {**model.columns, **given.columns}
    return _error(model, given, targets, weight)


def _features(model: Model) -> tuple[list[Dense], core.Program]:
    """The linear layers that give the outputs, and a program for what goes into them."""
    calls = [out.node.scope for out in model.outputs]
    layers: list[Any] = [None if call is None else call.layer for call in calls]
    _check_last(layers, model.outputs)
    features = [call.inputs[0].node for call in calls]
    solved = {p.node.serial: layer.name for layer in layers for p in layer.parameters.values()}
    for node in core.topological(features):
        if node.serial in solved:
            raise ValueError(
                f"[fit_readout] expected features that do not depend on the last layer, got weights of {solved[node.serial]!r} in "
                "them; use fit, or make a layer of its own for the end"
            )
    return layers, core.Program([t.node for t in model.inputs], features)


def _check_last(layers: list[Any], outputs: tuple[Tensor, ...]) -> None:
    """ValueError unless each output comes from a linear layer of its own, which may change."""
    for layer, out in zip(layers, outputs, strict=True):
        linear = _is_linear(layer)
        if not linear or len(out.shape) != 2:
            got = f"an output of shape {out.shape}" if linear else "an operation" if layer is None else repr(layer)
            raise ValueError(
                "[fit_readout] expected a last layer Readout(units) or Dense(units) without an activation, and an output "
                f"(B, units), got {got}; put an activation into the loss, or use fit"
            )
        if layers.count(layer) > 1:
            raise ValueError(f"[fit_readout] expected a last layer for each output, got {layer.name!r} for several; use fit")
        if not all(p.trainable for p in layer.parameters.values()):
            raise ValueError(
                f"[fit_readout] expected a last layer that may change, got {layer.name!r} with trainable=False; "
                "set its trainable to True"
            )


def _is_linear(layer: Any) -> bool:
    return isinstance(layer, Dense) and type(layer).forward is Dense.forward and layer.activation is activations.linear


def _target(layer: Dense, y: Array, where: str) -> Array:
    """(n, units) in float64."""
    units = layer.units
    if units > 1 and y.shape in ((len(y),), (len(y), 1)) and y.dtype.kind in "iub":
        if y.min() < 0 or y.max() >= units:
            raise ValueError(
                f"[fit_readout] expected classes from 0 to {units - 1}, got {y.min()} to {y.max()}; use Readout(classes)"
            )
        one_hot: Array = np.eye(units)[y.reshape(-1).astype(np.int64)]
        return one_hot
    check_finite(y, where, layer.weight.dtype)
    target: Array = y.astype(np.float64).reshape(len(y), -1)
    if target.shape[1] != units:
        raise ValueError(
            f"[fit_readout] expected targets with {units} columns, got {target.shape[1]} of {y.dtype}; pass one for each output, "
            "or classes as integers"
        )
    largest = np.abs(target).max()
    if largest > LARGEST:
        raise ValueError(f"[{where}] expected targets whose squares float64 can hold, got the size {largest:g}; divide them by it")
    return target


def _check_held(layer: Dense, w: Array, b: Array) -> None:
    """ValueError for a solution that the layer's type cannot hold."""
    largest = max(np.abs(a).max(initial=0) for a in (w, b))
    if not largest <= float(np.finfo(layer.weight.dtype).max):
        raise ValueError(
            f"[fit_readout] expected weights that {layer.weight.dtype} can hold, got the size {largest:g} for {layer.name!r}; "
            "scale the data to sizes near 1"
        )


def _error(model: Model, given: Data, targets: list[Array], weight: Array) -> float:
    """The mean squared error of what the network now predicts, weighted; of several outputs the sum."""
    total, run = 0.0, model.programs.predict().run
    for rows in parts(model, len(given)):
        for prediction, target in zip(run([a[rows] for a in given.x]), targets, strict=True):
            total += float((weight[rows] @ np.square(prediction - target[rows])).mean())
    return total


class Ridge:
    """min sum_i w_i |f_i W + b - y_i|^2 + l2 |W|^2 over rows that come in parts, by Householder QR: F^T F is never formed.

    Only the triangle R of [1 F y] sqrt(w) is kept; each part of rows is put below it and made triangular again.
    """

    def __init__(self, width: int, outputs: int, bias: bool):
        self.width, self.bias = width, bias
        self._r: Array = np.zeros((0, width + int(bias) + outputs))

    def add(self, features: Array, targets: Array, weight: Array) -> None:
        """More rows. Errors: ValueError for features that are NaN or infinite."""
        if not np.isfinite(features).all():
            raise ValueError("[fit_readout] expected finite features, got NaN or infinity; look at what the layers before make")
        one = np.ones((len(features), int(self.bias)))
        rows = np.concatenate([one, features, targets], axis=1, dtype=np.float64)  # the bias first: it has no ridge
        self._r = _triangle(np.concatenate([self._r, rows * np.sqrt(weight)[:, None]]))

    def solve(self, l2: float) -> tuple[Array, Array]:
        """W (in, out) and b (out,)."""
        n, first = self.width + int(self.bias), int(self.bias)
        r = self._r
        if l2:
            ridge = np.zeros((self.width, r.shape[1]))
            ridge[:, first:n] = np.sqrt(l2) * np.eye(self.width)
            r = _triangle(np.concatenate([r, ridge]))
        sizes = np.abs(r[:n, :n]).max(axis=0, initial=0)
        square = r[:n, :n] / np.where(sizes > 0, sizes, 1)  # what unit a feature has says nothing of how near it is to others
        with np.errstate(over="ignore", invalid="ignore"):
            sides, condition = _substituted(square, r[:n, n:])
            most = limit(np.float64) / n  # so much is left of equal columns by the rounding of n of them
            if condition > most:
                self._dependent(condition, most, float(sizes[first:].max(initial=0)))
            solution = sides / sizes[:, None]
        return solution[first:], solution[0] if self.bias else np.zeros(r.shape[1] - n)

    def _dependent(self, condition: float, most: float, size: float) -> NoReturn:
        what = "features and bias" if self.bias else "features"
        raise LinAlgError(
            f"[fit_readout] expected {what} that are independent, got columns that are not to working precision: condition number "
            f"{condition:.3g} at one length, and beyond {most:.2g} no digit of a float64 result is right; pass "
            f"l2={1e-6 * (size * size or 1):.1g}, say, or more rows"
        )


def _substituted(square: Array, sides: Array) -> tuple[Array, float]:
    """R^-1 B of a triangle R, and R's condition number |R| |R^-1| in the 1-norm, as `linalg.inv` judges it."""
    n = square.shape[1]
    if len(square) < n or not np.diagonal(square).all():
        return sides, float("inf")
    solved = solve_triangular(square, np.concatenate([sides, np.eye(n)], axis=1))
    norms = [np.abs(a).sum(axis=0).max(initial=0) for a in (square, solved[:, sides.shape[1] :])]
    return solved[:, : sides.shape[1]], float(np.nan_to_num(norms[0] * norms[1], nan=np.inf))


def _triangle(rows: Array) -> Array:
    """R of the QR decomposition."""
    r: Any = np.linalg.qr(rows, mode="r")
    return r  # type: ignore[no-any-return]
