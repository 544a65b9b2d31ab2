"""Warnings of what trains, and is wrong all the same: rows without variance or sorted by class, flat neurons, far targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.activations import sigmoid, tanh
from lamina.base import checks
from lamina.base.elsewhere import SCALE
from lamina.inputs.data import Data
from lamina.layers import BatchNorm, Dense
from lamina.losses import MAE, MSE, Huber, LogCosh, Quantile, SmoothL1
from lamina.models.chunks import goes_by_rows
from lamina.models.wiring import calls_of, nodes_of
from lamina.optim import LBFGS

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]

FLAT, SOME = 10, 100  # the slope of tanh there is 8e-9, of sigmoid 5e-5; rows that are looked at
NEAR = 1e-7, 1e-3  # of 1e-8 Levenberg-Marquardt stays at up to 40 times its least loss, of 3e-4 L-BFGS at 70 times
FAR = 20  # targets of 10 have up to 4 times the least loss of Levenberg-Marquardt and L-BFGS, of 30 up to 3,000 times
IMPROBABLE = 1e-3  # that shuffled rows are split like this
RANGES = {"sigmoid": (0, 1), "softmax": (0, 1), "tanh": (-1, 1), "relu": (0, np.inf), "softplus": (0, np.inf)}


def warn_of_single_rows(model: Model, rows: int) -> None:
    """One row has no variance: a BatchNorm would train on its bias alone, and predict by the statistics of no data."""
    if rows > 1 or model.objective.optimizer.all_data:
        return
    calls = calls_of(nodes_of(model.outputs))
    if any(isinstance(call.layer, BatchNorm) and call.inputs[0].ndim == 2 for call in calls):
        checks.warn(
            "[fit] expected batches of several rows for BatchNorm, got batch_size=1: each row is its own mean; "
            "pass a larger batch_size, or take LayerNorm"
        )


def warn_of_flat_neurons(model: Model, given: Data) -> None:
    """Inputs in the hundreds: tanh and sigmoid are flat there, and a network that is new would stay at the mean of its targets."""
    if model.epochs_done:
        return
    fed = {t.node.serial: array for t, array in zip(model.inputs, given.x, strict=True)}
    calls = calls_of(nodes_of(model.outputs))
    flat = [c for c in calls if type(c.layer) is Dense and c.layer.activation in (tanh, sigmoid) and c.layer.trainable]
    for layer, x in ((c.layer, fed.get(c.inputs[0].node.serial)) for c in flat):
        if x is None:
            continue
        z = np.asarray(x[:SOME], np.float64) @ layer.weight.value + (layer.bias.value if layer.use_bias else 0)
        share = float(np.mean(np.abs(z) > FLAT))
        if share > 0.5:
            checks.warn(
                f"[fit] expected inputs of about one for {layer.name}, got such that {share:.0%} of its "
                f"{layer.activation.__name__} is flat and learns little; {SCALE}"
            )
    if model.objective.optimizer.all_data and isinstance(model.objective.losses[0], MSE):
        _warn_of_sizes(model, given, [c.layer.activation.__name__ for c in flat])


def warn_of_targets_out_of_reach(model: Model, given: Data) -> None:
    """A last activation that gives no such numbers: the network would learn its end, or, of a relu, nothing."""
    for loss, output, y in zip(model.objective.losses, model.outputs, given.y, strict=True):
        op = output.node.op
        if model.epochs_done or op not in RANGES or not isinstance(loss, (MSE, MAE, Huber, SmoothL1, LogCosh, Quantile)):
            continue
        low, high = (1, 1) if op == "softmax" and output.shape[-1] == 1 else RANGES[op]
        beyond = float(np.mean((y[:SOME] < low) | (y[:SOME] > high)))
        if beyond > 0.1:  # a few may be noise
            checks.warn(
                f"[fit] expected targets from {low} to {high}, which is what the {op} at the end gives, got {beyond:.0%} beyond; "
                "let the network end without it, or scale them"
            )


def _warn_of_sizes(model: Model, given: Data, flat: list[str]) -> None:
    """Of targets for a step on all data: `flat`, the activations of the network that get flat."""
    rule = model.objective.optimizer
    size = max(_size(y, len(y)) for y in given.y)
    if 0 < size < NEAR[isinstance(rule, LBFGS)] and getattr(rule, "scaling", "") != "diagonal":
        checks.warn(f"[fit] expected targets of about one, got such of some {size:.3g}, whose gradients all look flat; scale them")
    elif flat and goes_by_rows(model):
        _warn_of_large_targets(model, given, flat[0])


def _warn_of_large_targets(model: Model, given: Data, activation: str) -> None:
    """A step on all data is long where the last layer has to grow, and makes the layers before it flat for good."""
    size, first = _size(given.y[0]), [x[:SOME] for x in given.x]
    if size <= FAR:
        return
    predicted = model.predict(first if len(first) > 1 else first[0])
    if size > 10 * _size(predicted[0] if isinstance(predicted, list) else predicted):
        checks.warn(
            f"[fit] expected targets of about one for a new network, got such of some {size:.3g}, by which its {activation} gets "
            "flat; scale them, or call net.fit_readout(x, y) before"
        )


def _size(y: Array, rows: int = SOME) -> float:
    """The mean of |y| over what is there in so many rows; 0 where nothing is."""
    some = np.abs(np.asarray(y[:rows], np.float64))
    there = some[~np.isnan(some)]
    return float(there.mean()) if len(there) else 0.0


def warn_of_sorted_rows(model: Model, training: Data, held_out: Data) -> None:
    """Rows in the order of their classes: the last ones are not like the others, and the figures of the validation mean nothing.

    A rare class is often missing in one part of shuffled rows as well: that says nothing.
    """
    for loss, output, y, last in zip(model.objective.losses, model.outputs, training.y, held_out.y, strict=True):
        classes = output.shape[-1]
        if y.dtype.kind not in "iu" or y.ndim > 1 or not isinstance(classes, int) or not loss.is_classes(output.shape, y.shape):
            continue
        seen, held = (np.bincount(a[(a >= 0) & (a < classes)], minlength=classes) for a in (y, last))
        both, rows, kinds = seen + held, int(seen.sum() + held.sum()), np.flatnonzero(seen + held)
        new = int(held[seen == 0].max(initial=0))
        chance = len(kinds) * _chance(int(held.sum()), new, rows) if new else 1.0
        if np.count_nonzero(held) == 1:
            chance = min(chance, _chance(int(both[held > 0][0]), int(held.sum()), rows))
        if chance < IMPROBABLE:
            parts = [str(np.flatnonzero(part).tolist()) for part in (held, seen)]
            checks.warn(
                f"[validation_split] expected all classes in both parts, got {parts[0]:.60} in the last rows and {parts[1]:.60} in "
                "the others: they seem to be sorted; shuffle them before, by order = np.random.default_rng(0).permutation(len(x))",
            )


def _chance(those: int, drawn: int, rows: int) -> float:
    """That all rows which are drawn at random are among those."""
    i = np.arange(drawn)
    return float(np.prod((those - i) / (rows - i)))
