"""The samples of a fit, checked before any is used: targets that their losses take, weights of classes, numbers that an Embedding
knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina.base import checks
from lamina.inputs import data
from lamina.inputs.arrays import check_finite
from lamina.inputs.data import Data
from lamina.inputs.weights import class_number, weights
from lamina.layers import Embedding
from lamina.losses.base import first_outside
from lamina.models import feed
from lamina.models.programs import Target
from lamina.models.wiring import calls_of, nodes_of

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]


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
