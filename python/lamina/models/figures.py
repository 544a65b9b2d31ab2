"""Figures of an epoch or an evaluation: the loss as a mean over all that counts, and the metrics over what the loss does not leave
out.
"""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base import checks
from lamina.base.calls import refusing
from lamina.graph.tensor import Tensor, shown
from lamina.inputs import data
from lamina.inputs.data import Data
from lamina.losses.base import Loss
from lamina.metrics import Metric, built_in, of_elements, of_labels
from lamina.metrics.classification import are_labels
from lamina.models.objective import OutputMetric

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]


def amounts(model: Model, given: Data) -> list[Array | None]:
    """How much each sample counts in the mean that is an output's loss, for each output; None where all samples count alike."""
    of_outputs = zip(model.objective.losses, model.outputs, given.y, strict=True)
    return [loss.amounts(y, tuple(output.shape), given.weight) for loss, output, y in of_outputs]


def figures(model: Model, metrics: dict[str, OutputMetric], predictions: list[Array], given: Data) -> dict[str, Any]:
    """Every metric of its output, by name, over the samples that the output's loss does not leave out.

    Once targets of an output are several labels a sample, `metrics` says so: those of another set, which may have one in each row,
    are as well.
    """
    losses = model.objective.losses if model.compiled else [None] * len(predictions)
    named: dict[str, Any] = {}
    for name, chosen in metrics.items():
        metric, k, labels = chosen
        y, prediction, weight = _counted(losses[k], metric, given.y[k], predictions[k], given.weight)
        if not len(y) or (weight is not None and not weight.any()):
            named[name] = float("nan")  # nothing counts, as in the loss
            continue
        if weight is not None:
            check_takes_weights(name, metric)
        if y.ndim > 1 and y.shape == prediction.shape and of_labels(metric):
            if are_labels(y):
                metrics[name] = chosen._replace(labels=True)
            elif labels and (weight is None or weight.shape != y.shape):
                weight = _of_elements(weight, y)
        options = _by_half(metric, model.outputs[k]) | ({} if weight is None else {"sample_weight": weight})
        with data.within(name) if len(predictions) > 1 and built_in(metric) else nullcontext():
            named[name] = _figure(name, metric, y, prediction, options)
        if not isinstance(named[name], (float, int)) and np.asarray(named[name]).dtype.kind not in "biuf":
            raise TypeError(f"[metrics] expected a number or an array from {name!r}, got {checks.brief(named[name])}; return one")
    return named


class _Side(np.ndarray[Any, Any]):
    """The targets or the predictions that a metric of the user's is given, and what it makes of one of them alone.

    Where the two meet as (n,) and (n, 1), of which NumPy's rule makes (n, n), it remembers their shapes; hardly anybody means that.
    """

    side: str | None = None
    met: list[tuple[Any, Any]]  # shared by both

    def __array_finalize__(self, source: Any) -> None:
        self.side, self.met = getattr(source, "side", None), getattr(source, "met", [])

    def __array_ufunc__(self, ufunc: np.ufunc, method: Any, *inputs: Any, **options: Any) -> Any:
        sides = {a.side for a in inputs if isinstance(a, _Side)}
        options = {name: tuple(map(_plain, v)) if isinstance(v, tuple) else _plain(v) for name, v in options.items()}  # out, where
        result = getattr(ufunc, method)(*map(_plain, inputs), **options)
        if len(sides) > 1:
            shapes = [np.shape(a) for a in inputs]
            short, long = min(shapes, key=len), max(shapes, key=len)
            if long == (*short, 1) and np.shape(result) == short * 2:
                self.met.append((shapes[0], shapes[1]))
        if len(sides) > 1 or method != "__call__" or not isinstance(result, np.ndarray):
            return result
        made = result.view(_Side)
        made.side, made.met = self.side, self.met
        return made


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, _Side) else value


def _watched(name: str, metric: Metric, y: Array, prediction: Array, options: dict[str, Any]) -> Any:
    """A metric of the user's of one number a sample; warns where it takes each target with all predictions."""
    sides = [np.asarray(a).view(_Side) for a in (y, prediction)]
    met: list[tuple[Any, Any]] = []
    for array, side in zip(sides, ("true", "pred"), strict=True):
        array.side, array.met = side, met
    found = metric(*sides, **options)
    if met:
        checks.warn(
            f"[metrics] expected targets and predictions that meet in one shape in {name!r}, got {met[0][0]} and {met[0][1]}, of "
            "which each sample meets all; take the same shape of both, as in y_true.ravel() - y_pred.ravel()"
        )
    return _plain(found)


def _figure(name: str, metric: Metric, y: Array, prediction: Array, options: dict[str, Any]) -> Any:
    try:
        if len(y) > 1 and prediction.shape == (len(y), 1) and y.size == len(y) and not built_in(metric):
            return _watched(name, metric, y, prediction, options)
        return metric(y, prediction, **options)
    except Exception as error:
        if not built_in(metric) and hasattr(error, "add_note"):  # from Python 3.11 on; the exception stays the user's own
            error.add_note(
                f"[metrics] {name!r} was called with y_true {shown(y.shape)} and y_pred {shown(prediction.shape)}, NumPy arrays, "
                "in this order"
            )
        raise


def _by_half(metric: Metric, output: Tensor) -> dict[str, Any]:
    """The threshold 1/2 for a metric that has one, where the network gives probabilities of class 1 and nobody chose another."""
    node = output.node
    while node.op in ("reshape", "clip", "slice", "contiguous"):  # which leave a probability what it is
        node = node.inputs[0]
    if node.op not in ("sigmoid", "hard_sigmoid") or not built_in(metric):
        return {}
    function, chosen = (metric.func, metric.keywords) if isinstance(metric, partial) else (metric, {})
    return {"threshold": 0.5} if "threshold" in inspect.signature(function).parameters.keys() - chosen.keys() else {}


def check_takes_weights(name: str, metric: Metric) -> None:
    """TypeError for a metric that cannot be called with weights."""
    if signature := refusing(metric, 0, 0, sample_weight=0):
        raise TypeError(
            f"[metrics] expected a function (y_true, y_pred, sample_weight=None) as {name!r}, as the samples have weights, got "
            f"{signature}; give it the parameter sample_weight, or leave the weights out"
        )


def _counted(
    loss: Loss | None, metric: Metric, y: Array, prediction: Array, weight: Array | None
) -> tuple[Array, Array, Array | None]:
    """Targets, predictions and weights without what the loss leaves out: the samples of a class, targets that are NaN."""
    if loss is not None and loss.mask_nan and y.dtype.kind == "f":
        return _without_nan(metric, y, prediction, weight)
    if loss is None or loss.ignore_index is None or not loss.is_classes(prediction.shape, y.shape):
        return y, prediction, weight
    keep = y != loss.ignore_index
    if weight is not None:
        weight = _of_elements(weight, y)[keep]
    return y[keep], prediction[keep], weight


def _without_nan(metric: Metric, y: Array, prediction: Array, weight: Array | None) -> tuple[Array, Array, Array | None]:
    """Without the samples that have no target; of those that have some, the others weigh 0 where the metric has such weights."""
    there = ~np.isnan(y)
    if there.all():
        return y, prediction, weight
    some = there.reshape(len(y), -1).any(axis=1)
    y, prediction, weight, there = y[some], prediction[some], None if weight is None else weight[some], there[some]
    if there.all() or not of_elements(metric) or y.shape != prediction.shape:
        return y, prediction, weight
    return np.where(there, y, 0), np.where(there, prediction, 0), there * _of_elements(weight, y)


def _of_elements(weight: Array | None, y: Array) -> Array:
    """The samples' weights, 1 without any, in the shape of the targets."""
    return np.broadcast_to(1.0 if weight is None else weight.reshape(-1, *(1 for _ in y.shape[1:])), y.shape)


def example_figures(model: Model, metrics: dict[str, OutputMetric], given: Data) -> dict[str, Any]:
    """Our metrics on predictions of 0: one that does not fit its target, or its samples' weights, says so before anything runs."""
    for name, (metric, *_) in metrics.items() if given.weight is not None else ():
        check_takes_weights(name, metric)
    ours = {name: chosen for name, chosen in metrics.items() if built_in(chosen.metric)}
    shapes: list[Any] = [t.shape[1:] for t in model.outputs]
    if not ours or not all(isinstance(size, int) for shape in shapes for size in shape):
        return {}
    found = figures(model, ours, [np.zeros((len(given), *shape), np.float32) for shape in shapes], given)
    metrics |= ours
    return found
