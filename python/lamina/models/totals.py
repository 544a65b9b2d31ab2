"""What an iterable of batches adds up to: the loss, a mean over all that counts in them, and the metrics over all their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina.graph.tensor import Tensor
from lamina.inputs.data import Data
from lamina.losses import averages
from lamina.losses.base import FunctionLoss
from lamina.models.figures import amounts, check_takes_weights, figures
from lamina.models.objective import OutputMetric

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]


class Part(NamedTuple):
    """What the first batches of an epoch gave: all that going on in its middle needs."""

    losses: Array = np.empty(0)
    terms: Array = np.empty((0, 0))  # the loss of each output in its columns, where outputs leave out different samples
    predictions: Sequence[Array] = ()  # one array an output, where there are metrics

    def mean(self, shares: Array, weights: Sequence[float]) -> float:
        """The epoch's loss, the mean over all that counts in it, by the samples' weights if they have any.

        shares: (batches, 1), or with terms (batches, outputs).
        """
        if self.terms.shape[1]:
            return averages.over_parts(self.terms, shares, weights)
        counts = shares[:, 0]
        total = float(np.add.reduce(counts))  # once an epoch, which may be one small step
        return float(self.losses @ counts) / total if total else float("nan")


def counted(model: Model, given: Data, apart: bool | None = None) -> list[Array | None]:
    """How much each sample counts in the loss that is logged; for each output apart where one of them leaves something out."""
    each = amounts(model, given)
    if apart is None:
        apart = any(amount is not given.weight for amount in each)
    return each if apart or len(each) == 1 else [given.weight]


class _Rows(NamedTuple):
    """An output's targets in a batch, a row for each position of free lengths, and their weights."""

    y: Array
    weight: Array | None


class Totals:
    """Sums over batches: `meet` each one, then `add` what the network gave for it.

    apart: whether the loss of each output is added up by itself; None leaves that to the first batch, unless outputs have lengths
    that are free, and count more or less in the next. done: what the first batches gave already; they are met again, but not added.
    """

    def __init__(self, model: Model, metrics: dict[str, OutputMetric], *, apart: bool | None = None, done: Part | None = None):
        done = done or Part()
        self.model, self.metrics = model, metrics
        if apart is None and _lengths_are_free(model):
            apart = True
        self.apart = False if len(done.losses) and not done.terms.shape[1] else apart
        self.losses = [float(loss) for loss in done.losses]
        self._terms: list[Sequence[float]] = list(done.terms)
        self._predictions: list[Sequence[Array]] = [done.predictions] if done.predictions else []
        self.shares: list[list[float]] = []
        self._seen: list[list[_Rows]] = []

    def meet(self, batch: Data, alike: bool = False) -> None:
        """What a batch counts, and what its metrics compare with. `alike`: its samples count alike, but for their weights."""
        if not self._seen and batch.weight is not None:
            for name, (metric, *_) in self.metrics.items():
                check_takes_weights(name, metric)
        if self.model.compiled:
            each = [batch.weight] * (len(batch.y) if self.apart else 1) if alike else counted(self.model, batch, self.apart)
            if self.apart is None:
                self.apart = len(each) > 1
            self.shares.append(self._shares(batch, each))
        if self.metrics:
            self._seen.append(self._by_rows(batch))

    def _shares(self, batch: Data, each: Sequence[Array | None]) -> list[float]:
        """What a batch counts, by columns: the elements of its samples where the loss is a mean over all; another batch has more
        or fewer where lengths are free.
        """
        shares = [averages.count(len(batch), amount) for amount in each]
        if len(each) < len(batch.y):
            return shares
        return [
            share * y.size / len(y) if amount is batch.weight and not isinstance(loss, FunctionLoss) else share
            for share, amount, loss, y in zip(shares, each, self.model.objective.losses, batch.y, strict=True)
        ]

    def _by_rows(self, batch: Data) -> list[_Rows]:
        """The targets of each output for metrics over all batches, with weights where the batch has some."""
        targets = [_rows(a.copy(), t) for a, t in zip(batch.y, self.model.outputs, strict=True)]  # the next may take their place
        return [_Rows(y, None if batch.weight is None else np.repeat(batch.weight, len(y) // max(len(batch), 1))) for y in targets]

    def add(self, loss: float, terms: Sequence[Array], outputs: Sequence[Array]) -> None:
        """What the network gave for the batch met last: the loss, with `apart` each output's, and for metrics the outputs."""
        self.losses.append(loss)
        self._terms.append([float(term) for term in terms])
        if self.metrics:
            self._predictions.append([_rows(a, t) for a, t in zip(outputs, self.model.outputs, strict=True)])

    def part(self) -> Part:
        """All that was added so far."""
        terms = np.array(self._terms).reshape(len(self._terms), -1) if self.apart else np.empty((len(self.losses), 0))
        return Part(np.array(self.losses), terms, [np.concatenate(p) for p in zip(*self._predictions, strict=True)])

    def mean(self) -> float:
        """The loss over all batches."""
        return self.part().mean(np.array(self.shares), self.model.objective.loss_weights)

    def figures(self) -> dict[str, Any]:
        """The metrics over all batches."""
        if not self._seen:
            return {}
        each = list(zip(*self._seen, strict=True))
        targets = tuple(np.concatenate([rows.y for rows in of_output]) for of_output in each)
        outputs = [np.concatenate(p) for p in zip(*self._predictions, strict=True)]
        found: dict[str, Any] = {}
        for k, of_output in enumerate(each):  # one by one: outputs may have other lengths, and so other rows
            weighted = any(rows.weight is not None for rows in of_output)
            weights = [np.ones(len(rows.y)) if rows.weight is None else rows.weight for rows in of_output] if weighted else []
            metrics = {name: metric for name, metric in self.metrics.items() if metric.output == k}
            found |= figures(self.model, metrics, outputs, Data((), targets, np.concatenate(weights) if weighted else None))
            self.metrics |= metrics
        return {name: found[name] for name in self.metrics}


def _lengths_are_free(model: Model) -> bool:
    """Whether one of several outputs has an axis beside the samples whose length a batch chooses."""
    return len(model.outputs) > 1 and not all(isinstance(n, int) for output in model.outputs for n in output.shape[1:])


def _rows(array: Array, output: Tensor) -> Array:
    """With a row for each position of lengths that are free in the output: another batch may have others."""
    shape = output.shape
    free = 0 if len(shape) < 3 else max((i for i, n in enumerate(shape[:-1]) if not isinstance(n, int)), default=0)
    return array.reshape(-1, *array.shape[free + 1 :]) if free else array
