"""Where the batches of an epoch come from: arrays, which the core walks through in one call, or an iterable of batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from lamina import _core as core
from lamina.base import checks, lengths
from lamina.graph.tensor import shown
from lamina.inputs import data
from lamina.inputs.arrays import room
from lamina.inputs.data import Batches, Data
from lamina.models import feed, quick, steps
from lamina.models.figures import figures
from lamina.models.objective import OutputMetric
from lamina.models.programs import Task
from lamina.models.totals import Part, Totals, counted
from lamina.training.samples import (
    Samples,
    check_that_something_counts,
    no_class_counts,
    nothing_counts,
    with_class_weights,
    with_finite_targets,
)

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]
BatchDone = Callable[[int, float], None]

POLL_SECONDS = 0.1  # between two looks at progress and Ctrl-C, where no callback is called at every batch


class Outcome(NamedTuple):
    """What an epoch gave: a loss for each batch, and the epoch's figures."""

    losses: Array
    logs: dict[str, Any]


def is_finite(losses: Array) -> bool:
    """Whether all losses of an epoch are finite: the first one that is not ends it."""
    return not len(losses) or math.isfinite(losses[-1])


class Source(Protocol):
    """Where the batches of an epoch come from."""

    def prepare(self) -> None:
        """Builds what can be built before the first epoch, so that mistakes in the loss show before anything runs."""

    def batches(self) -> int:
        """Batches in an epoch; 0: nobody knows."""

    def flops(self) -> float:
        """FLOP of a sample's share in a step; 0: nobody knows."""

    def epoch(self, number: int, batch_done: BatchDone | None, poll: Callable[[int], bool], done: Part) -> Outcome:
        """Trains one epoch from its part that is done on, up to its end or to a loss that is not finite.

        `number` counts the model's epochs from 0; `batch_done(batch, loss)` is called after each batch whose loss is finite.
        """

    def so_far(self) -> Part:
        """The part of the epoch that is done; for `batch_done` to ask."""

    def fits(self, terms: int) -> bool:
        """Whether a part of an epoch can have that many columns of terms."""

    def first_bad_value(self) -> str | None:
        """Why the last batch's loss was not finite, if it can be told."""


@dataclass
class ArraySource:
    """Arrays in memory or in a memmap: rows are gathered by the core, in an order that comes from the model's seed."""

    model: Model
    samples: Samples
    metrics: dict[str, OutputMetric]
    batch_size: int
    shuffle: bool

    def prepare(self) -> None:
        self._amounts = counted(self.model, self.samples.data)
        check_that_something_counts(self.model, self._amounts)
        self._shares = self._shares_of(None)
        if self.metrics:
            _room_for_outputs(self.model, self.samples.data.rows(slice(1)))
        self._program()

    def _program(self) -> core.Program:
        weighted, apart = self.samples.data.weight is not None, len(self._amounts) > 1
        return self.model.programs.train(Task(self.samples.targets, weighted, bool(self.metrics), apart))

    def batches(self) -> int:
        return -(-len(self.samples.data) // self.batch_size)

    def flops(self) -> float:
        return self._program().flops_per_row

    def epoch(self, number: int, batch_done: BatchDone | None, poll: Callable[[int], bool], done: Part) -> Outcome:
        n = len(self.samples.data)
        shuffled = self.shuffle and n > self.batch_size  # a batch that holds all has no order
        self._order = core.permutation(n, self.model.seed, number) if shuffled else None
        self._make_room(done)
        while self._done < self.batches() and is_finite(self._losses):
            self._train(batch_done, poll)
        now = self.so_far()
        return Outcome(now.losses, self._logs(now) if is_finite(now.losses) else {})

    def _make_room(self, done: Part) -> None:
        """For what the epoch gives, with its part that is done."""
        self._done = len(done.losses)
        self._scalars: Array = np.empty((self.batches(), 1 + self._columns))  # a batch's loss, and that of each output
        self._scalars[: self._done, 0] = done.losses
        if self._done:
            self._scalars[: self._done, 1:] = done.terms
        self._predictions: list[Array] = _room_for_outputs(self.model, self.samples.data) if self.metrics else []
        for whole, part in zip(self._predictions, done.predictions, strict=False):
            whole[: len(part)] = part

    def _logs(self, whole: Part) -> dict[str, Any]:
        """The figures of the epoch, whose predictions are in its order."""
        given, order = self.samples.data, self._order
        alike = order is None or all(amount is None for amount in self._amounts)
        shares = self._shares if alike else self._shares_of(order)
        logs: dict[str, Any] = {"loss": whole.mean(shares, self.model.objective.loss_weights)}
        if self._predictions:
            weight = given.weight if given.weight is None or order is None else given.weight[order]
            ordered = Data(given.x, given.y if order is None else tuple(y[order] for y in given.y), weight)
            logs |= figures(self.model, self.metrics, self._predictions, ordered)
        return logs

    def _train(self, batch_done: BatchDone | None, poll: Callable[[int], bool]) -> None:
        """Trains on the batches that are left, or until a callback has changed what is trained."""
        model, given, start, program = self.model, self.samples.data, self._done, self._program()
        optimizer, planned, left = model.objective.optimizer, model.programs.trained, self.batches() - start

        def after(batches: int) -> bool:
            self._done = start + batches
            loss = float(self._losses[-1])
            if batch_done is not None and math.isfinite(loss):
                batch_done(self._done - 1, loss)
            poll(self._done)
            changed = model.programs.trained is not planned
            if batch_done is not None and not changed and batches < left:
                optimizer.set_rate()
            return changed

        rows = slice(start * self.batch_size, len(given))
        part = self._order[rows] if self._order is not None else np.arange(rows.start, rows.stop) if start else None
        rates: dict[str, Any] = {}
        if batch_done is not None:  # a callback may change what follows
            optimizer.set_rate()
        elif not optimizer.has_constant_rate:
            rates = {"rate": optimizer.state["lr"].variable, "rates": optimizer.rate(optimizer.steps + np.arange(left))}
        program.epoch(
            given.arrays,
            part,
            self.batch_size,
            **rates,
            collect=[p[rows] for p in self._predictions] if self._predictions else None,
            scalars=self._scalars[start:],
            poll=after,
            poll_seconds=POLL_SECONDS if batch_done is None else 0.0,
            guarded=True,
        )

    def so_far(self) -> Part:
        rows = self._done * self.batch_size
        return Part(self._losses, self._scalars[: self._done, 1:], [p[:rows] for p in self._predictions])

    def fits(self, terms: int) -> bool:
        return terms == self._columns

    @property
    def _losses(self) -> Array:
        """Those of the batches that are done."""
        losses: Array = self._scalars[: self._done, 0]
        return losses

    @property
    def _columns(self) -> int:
        return len(self._amounts) if len(self._amounts) > 1 else 0

    def _shares_of(self, order: Array | None) -> Array:
        """What each batch counts, by columns, with the samples in that order."""
        starts = np.arange(0, len(self.samples.data), self.batch_size)
        sizes = np.minimum(self.batch_size, len(self.samples.data) - starts).astype(np.float64)
        ordered = (a if a is None or order is None else a[order] for a in self._amounts)
        return np.stack([sizes if a is None else np.add.reduceat(a.astype(np.float64), starts) for a in ordered], axis=1)

    def first_bad_value(self) -> str | None:
        from lamina.report.bad_values import first_bad_value

        rows: Any = slice((self._done - 1) * self.batch_size, self._done * self.batch_size)
        batch = self.samples.data.rows(rows if self._order is None else self._order[rows])
        return first_bad_value(self.model, batch, self.samples.targets)


def _room_for_outputs(model: Model, given: Data) -> list[Array]:
    """Memory for what the outputs give for all rows; one row's prediction tells the lengths that are free."""
    sizes: list[Any] = [out.shape[1:] for out in model.outputs]
    for out, several in zip(model.outputs, sizes, strict=True):
        if any(lengths.free(n) & lengths.free(out.shape[0]) for n in several):
            raise ValueError(f"[metrics] expected rows of one length in all batches, got {shown(out.shape)}; leave the metrics out")
    if not all(isinstance(n, int) for several in sizes for n in several):
        sizes = [a.shape[1:] for a in model.programs.predict().run([a[:1] for a in given.x])]
    return [
        room(len(given), several, out.dtype, "fit: outputs for the metrics")
        for several, out in zip(sizes, model.outputs, strict=True)
    ]


@dataclass
class BatchSource:
    """An iterable of batches: each is checked as it comes, and trained on."""

    model: Model
    source: Batches
    metrics: dict[str, OutputMetric]
    class_weight: Any

    def prepare(self) -> None:
        if self.model.built:
            self.model.programs.bind_optimizer()

    def batches(self) -> int:
        return len(self.source)

    def flops(self) -> float:
        return 0.0

    def epoch(self, number: int, batch_done: BatchDone | None, poll: Callable[[int], bool], done: Part) -> Outcome:
        self._totals = totals = Totals(self.model, self.metrics, done=done)
        collect = bool(self.metrics)
        for i, parts in enumerate(feed.each(self.model, self.source)):
            self._parts, terms = parts, 0
            taken, refusable = None, collect and not i and parts[2] is not None  # by metrics, of its weights
            if i >= len(done.losses) and self.class_weight is None and not (refusable or totals.apart):
                taken = quick.call(self.model, "train", *parts, collect=collect)
            if taken is not None:
                batch, (loss, *rest) = taken
                totals.meet(batch, alike=True)
            else:
                batch, targets = self._checked()
                totals.meet(batch)
                if i < len(done.losses):
                    continue
                apart = bool(totals.apart)
                loss, *rest = steps.step(self.model, batch, targets, collect=collect, apart=apart, guarded=True)
                self.model.columns = self.source.columns  # what the network has been trained on
                terms = len(self.model.outputs) if apart else 0
                if not apart:
                    quick.keep(self.model, "train", parts, batch, Task(targets, batch.weight is not None, collect))
            totals.add(float(loss), rest[:terms], rest[terms:])
            if not math.isfinite(loss):
                return Outcome(np.array(totals.losses), {})
            if batch_done is not None:
                batch_done(i, totals.losses[-1])
            poll(i + 1)
        if not np.any(totals.shares):
            if self.class_weight is not None:
                raise no_class_counts(self.class_weight)
            checks.warn(str(nothing_counts("fit", self.model.output_names[0])))  # of what is to come, some may
        return Outcome(np.array(totals.losses), {"loss": totals.mean(), **totals.figures()})

    def _checked(self) -> Samples:
        """The batch that came last."""
        given = feed.checked(self.model, self.source, self._parts)
        if self.class_weight is not None:
            given = with_class_weights(self.model, given, self.class_weight)
        with data.within(f"batch {self.source.count}"):
            return with_finite_targets(self.model, given)

    def so_far(self) -> Part:
        return self._totals.part()

    def fits(self, terms: int) -> bool:
        return terms in (0, len(self.model.outputs))

    def first_bad_value(self) -> str | None:
        from lamina.report.bad_values import first_bad_value

        return first_bad_value(self.model, *self._checked())
