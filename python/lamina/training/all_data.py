"""fit for optimizers that take all data at once: an epoch is one of their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base.turns import building
from lamina.callbacks import EarlyStopping
from lamina.callbacks.base import as_list
from lamina.models.chunks import parts
from lamina.models.figures import amounts
from lamina.models.objective import OutputMetric
from lamina.models.steps import evaluate_checked
from lamina.models.totals import Part
from lamina.optim.full_batch import FullBatch
from lamina.training import problems
from lamina.training.samples import Samples, check_that_something_counts
from lamina.training.sources import BatchDone, Outcome, is_finite

if TYPE_CHECKING:
    from lamina.models.model import Model


class AllData:
    """The source of a fit whose epochs are steps of a FullBatch optimizer."""

    def __init__(self, model: Model, samples: Samples, metrics: dict[str, OutputMetric]):
        self.model, self.samples, self.metrics = model, samples, metrics

    def prepare(self) -> None:
        check_that_something_counts(self.model, amounts(self.model, self.samples.data))
        with building:  # state and network are those of the same weights
            self.model.programs.check_thawed()
            optimizer = self.model.programs.bind_optimizer()
            assert isinstance(optimizer, FullBatch)
            build = problems.squared_errors if optimizer.needs_residuals else problems.loss_and_gradient
            network, problem = build(self.model, self.samples, optimizer)
        self.descent = optimizer.begin(network, problem)

    def batches(self) -> int:
        return 1

    def flops(self) -> float:
        return 0.0  # it runs several programs, as often as its line search asks

    def epoch(self, number: int, batch_done: BatchDone | None, poll: Callable[[int], bool], done: Part) -> Outcome:
        self._losses = done.losses
        if not len(done.losses):
            if not self.descent.is_of(self.model.programs.trainable):  # a callback has frozen some
                self.prepare()
            with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite says so itself
                self._losses = np.array([self.descent.advance()])
            if self.descent.optimizer.stop_reason is not None:
                self.model.stop_training = True
            if batch_done is not None and is_finite(self._losses):
                batch_done(0, float(self._losses[0]))
            poll(1)
        logs: dict[str, Any] = {"loss": float(self._losses[0])}
        if self.metrics and np.isfinite(logs["loss"]):
            logs = {**evaluate_checked(self.model, *self.samples, self.metrics), **logs}
        return Outcome(self._losses, logs)

    def so_far(self) -> Part:
        return Part(self._losses, np.empty((len(self._losses), 0)))

    def fits(self, terms: int) -> bool:
        return terms == 0

    def first_bad_value(self) -> str | None:
        from lamina.report.bad_values import first_bad_value

        given = self.samples.data
        for part in map(given.rows, parts(self.model, len(given))):
            found = first_bad_value(self.model, part, self.samples.targets, training=False)
            if found is not None:
                return found
        return "one of the gradient, as a norm's at 0 (the loss is finite)"


def callbacks(model: Model, validated: bool, given: Any) -> list[Any]:
    """The user's callbacks, and the stop by validation that an optimizer brings along where they have none."""
    several = as_list(given)
    optimizer = model.objective.optimizer
    patience = optimizer.max_fail if isinstance(optimizer, FullBatch) else 0
    if not validated or not patience or any(isinstance(c, EarlyStopping) and c.monitor == "val_loss" for c in several):
        return several
    return [*several, EarlyStopping("val_loss", patience=patience)]
