"""The samples of a fit, checked before any is used: targets that their losses take, weights of classes, numbers that an Embedding
knows; and warnings of what trains, and is wrong all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina.activations import sigmoid, tanh
from lamina.base import checks
from lamina.base.elsewhere import SCALE
from lamina.inputs import data
from lamina.inputs.arrays import check_finite
from lamina.inputs.data import Data
from lamina.inputs.weights import class_number, weights
from lamina.layers import BatchNorm, Dense, Embedding
from lamina.losses import MSE
from lamina.losses.base import first_outside
from lamina.models import feed
from lamina.models.programs import Target
from lamina.models.steps import goes_by_rows
from lamina.models.wiring import calls_of, nodes_of

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]

FLAT, SOME = 10, 100  # the slope of tanh there is 8e-9, of sigmoid 5e-5; rows that are looked at
FAR = 20  # targets of 10 have up to 4 times the least loss of Levenberg-Marquardt and L-BFGS, of 30 up to 3,000 times
IMPROBABLE = 1e-3  # that shuffled rows are split like this


class Samples(NamedTuple):
    """Checked data, and what a program must know of the targets."""

    data: Data
    targets: tuple[Target, ...]


def training_samples(model: Model, given: Data, class_weight: Any) -> Samples:
    """The data of a fit with the weights of its classes, and with targets that can be learned."""
    if class_weight is not None:
        given = with_class_weights(model, given, class_weight)
        if not np.any(given.weight):
            raise no_class_counts(class_weight)
    return with_finite_targets(model, given)


def check_indices(model: Model, given: Data) -> None:
    """A number that an Embedding has no row for: else a batch in the middle of an epoch would say so."""
    if all(t.dtype != "int64" for t in model.inputs):
        return
    labels = data.labels(list(model.named_inputs), "x")
    fed = {t.node.serial: (where, array) for t, where, array in zip(model.inputs, labels, given.x, strict=True)}
    for call in calls_of(nodes_of(model.outputs)):
        if not isinstance(call.layer, Embedding) or call.inputs[0].node.serial not in fed:
            continue
        where, array = fed[call.inputs[0].node.serial]
        most = call.layer.num_embeddings - 1
        outside = first_outside(array, 0, most)
        if outside is not None:
            row, number = outside
            raise ValueError(
                f"[{where}] expected numbers from 0 to {most} for {call.layer.name}, got {number} in row {row}; correct them, or "
                "give the Embedding more rows"
            )


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
    fed = {t.node.serial: array for t, array in zip(model.inputs, given.x, strict=True)}
    calls = [] if model.epochs_done else calls_of(nodes_of(model.outputs))
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
    if flat and model.objective.optimizer.all_data and isinstance(model.objective.losses[0], MSE) and goes_by_rows(model):
        _warn_of_large_targets(model, given, flat[0].layer.activation.__name__)


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


def _size(y: Array) -> float:
    """The mean of |y| over what is there in some rows; 0 where nothing is."""
    some = np.abs(np.asarray(y[:SOME], np.float64))
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
        if np.count_nonzero(held) == 1 < len(kinds):
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


def with_class_weights(model: Model, given: Data, class_weight: Any) -> Data:
    """Each sample's weight times that of its class."""
    _check_classes(model, class_weight)
    loss, output = model.objective.losses[0], model.outputs[0]
    for y in given.y[:1]:
        if y.ndim > 1 and loss.is_classes(output.shape, y.shape):
            raise ValueError(
                f"[class_weight] expected a class for each sample, got several: classes of shape {y.shape}; pass sample_weight, or "
                "weigh them in a loss of your own"
            )
    weight = weights(given.weight, class_weight, given.y, len(given), loss.ignore_index)
    return replace(given, weight=weight)


def _check_classes(model: Model, class_weight: Any) -> None:
    """A weight for a class that the network cannot predict is a mistake."""
    if len(model.outputs) > 1:
        return  # of one target alone: `weights` says so
    units = model.outputs[0].shape[-1] if model.outputs[0].ndim > 1 else 1
    if not isinstance(units, int) or not isinstance(class_weight, Mapping):
        return
    unknown = [label for label in class_weight if class_number(label) >= max(units, 2)]
    if unknown:
        raise ValueError(f"[class_weight] expected classes from 0 to {max(units, 2) - 1}, got {unknown[0]}; leave it out")


def no_class_counts(class_weight: Any) -> ValueError:
    """The error where all samples are of classes whose weight is 0: there is nothing to learn from."""
    return ValueError(
        f"[class_weight] expected a class with a weight above 0 among the samples, got {checks.brief(class_weight)}; raise one"
    )


def with_finite_targets(model: Model, given: Data) -> Samples:
    """The data with targets that their losses have checked, finite unless a loss leaves out what is not."""
    samples = Samples(*feed.with_targets(model, given))
    labels = data.labels(model.output_names, "y")
    for where, loss, output, y in zip(labels, model.objective.losses, model.outputs, samples.data.y, strict=True):
        if not loss.mask_nan:
            check_finite(y, where, output.dtype, given.columns.get(where))
    return samples


def check_that_something_counts(model: Model, counted: Sequence[Array | None], where: str = "fit") -> None:
    """ValueError where an output has no target to learn from: its loss would be 0 or NaN. counted: as `amounts` gives it, or one
    for all outputs.
    """
    for name, amount in zip(model.output_names, counted, strict=False):
        if amount is not None and not amount.any():
            raise nothing_counts(where, name)


def nothing_counts(where: str, output: str) -> ValueError:
    """The error where an output has no target to learn from, or to be judged by."""
    return ValueError(
        f"[{where}] expected a target that counts for output {output!r}, got none: each is NaN, left out, or weighs 0; pass "
        "samples that have one"
    )
