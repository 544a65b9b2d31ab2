"""fit for optimizers that take all data at once: an epoch is one of their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core as core
from lamina.callbacks import EarlyStopping
from lamina.callbacks.base import as_list
from lamina.flat import FlatNetwork
from lamina.function import grad
from lamina.losses import MSE
from lamina.objective import OutputMetric
from lamina.optim.full_batch import FullBatch
from lamina.optim.least_squares import LeastSquares
from lamina.programs import Task
from lamina.sources import BatchDone, Outcome, Part, Samples
from lamina.steps import CHUNK, evaluate_checked, parts
from lamina.tensor import Tensor

if TYPE_CHECKING:
    from lamina.model import Model

Array = np.ndarray[Any, Any]

ONE = np.ones(1)  # the share of an epoch's only batch


class AllData:
    """The source of a fit whose epochs are steps of a FullBatch optimizer."""

    def __init__(self, model: Model, samples: Samples, metrics: dict[str, OutputMetric]):
        self.model, self.samples, self.metrics = model, samples, metrics

    def prepare(self) -> None:
        optimizer = self.model.programs.bind_optimizer()
        assert isinstance(optimizer, FullBatch)
        self._optimizer = optimizer
        build = self._squares if optimizer.needs_residuals else self._loss
        optimizer.start(*build(optimizer))

    def batches(self) -> int:
        return 1

    def flops(self) -> float:
        return 0.0  # it runs several programs, as often as its line search asks

    def epoch(self, number: int, batch_done: BatchDone | None, poll: Callable[[int], bool], done: Part) -> Outcome:
        self._losses = done.losses
        if not len(done.losses):
            self._losses = np.array([self._optimizer.advance()])
            if self._optimizer.stop_reason is not None:
                self.model.stop_training = True
            if batch_done is not None and np.isfinite(self._losses).all():
                batch_done(0, float(self._losses[0]))
            poll(1)
        loss = self._losses[0]
        named: dict[str, Any] = {}
        if self.metrics and np.isfinite(loss):
            figures = evaluate_checked(self.model, *self.samples, self.metrics, CHUNK)
            named = {name: value for name, value in figures.items() if name != "loss"}
        return Outcome(self._losses, ONE, named)

    def so_far(self) -> Part:
        return Part(self._losses)

    def first_bad_value(self) -> str | None:
        from lamina.bad_values import first_bad_value

        for part in parts(self.samples.data, CHUNK):
            found = first_bad_value(self.model, part, self.samples.targets, training=False)
            if found is not None:
                return found
        return None

    # ---- problems ----

    def _network(self, optimizer: FullBatch, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> FlatNetwork:
        return FlatNetwork(inputs, outputs, self.model.programs.trainable, optimizer.state["theta"], optimizer.state["clock"])

    def _squares(self, optimizer: FullBatch) -> tuple[FlatNetwork, LeastSquares]:
        model, given = self.model, self.samples.data
        for loss in model.objective.losses:
            if type(loss) is not MSE:
                raise ValueError(
                    f"[optim.{type(optimizer).__name__}] expected the loss 'mse', got {loss!r}; other losses train with LBFGS"
                )
        bayesian = bool(getattr(optimizer, "bayesian", False))
        network = self._network(optimizer, model.inputs, model.outputs)
        targets, scales = [], []
        for loss, factor, y in zip(model.objective.losses, model.objective.loss_weights, given.y, strict=True):
            target = np.asarray(y, np.float64).reshape(len(y), -1)
            scale = self._shares(target, loss.keep(target, target)) * factor
            targets.append(np.where(scale > 0, target, 0.0))
            scales.append(np.sqrt(scale))
        return network, LeastSquares(
            network, given.x, np.concatenate(targets, 1), np.concatenate(scales, 1), may_be_dual=not bayesian
        )

    def _shares(self, target: Array, keep: Any) -> Array:
        """What each square counts in the loss, as `losses.base.reduce` has it."""
        weight = self.samples.data.weight
        each = np.ones(len(target)) if weight is None else np.asarray(weight, np.float64)
        shares = np.repeat(each[:, None], target.shape[1], axis=1) * (1.0 if keep is None else np.asarray(keep, np.float64))
        return shares / max(float(shares.sum()), 1e-300)

    def _loss(self, optimizer: FullBatch) -> tuple[FlatNetwork, Any]:
        model, given = self.model, self.samples.data
        graph = model.programs.loss(Task(self.samples.targets, given.weight is not None))
        network = self._network(optimizer, [*model.inputs, *graph.targets, *graph.weight], [graph.loss])
        loss, theta = network.outputs[0], network.theta
        program = core.Program([t.node for t in network.inputs], [loss.node, grad(loss, theta).node])
        sources = [np.ascontiguousarray(a, _dtype(t.dtype)) for a, t in zip((*given.x, *given.y), network.inputs, strict=False)]
        if given.weight is not None:
            sources.append(np.asarray(given.weight, np.float64))

        def value(at: Array) -> tuple[float, Array]:
            theta.value = at
            f, g = program.run(sources)
            return float(f), g

        return network, value


def _dtype(name: str) -> Any:
    return np.dtype(name)


def callbacks(model: Model, validated: bool, given: Any) -> list[Any]:
    """The user's callbacks, and the stop by validation that an optimizer brings along."""
    several = as_list(given)
    patience = getattr(model.objective.optimizer, "max_fail", None)
    if not validated or patience is None or any(isinstance(c, EarlyStopping) for c in several):
        return several
    return [*several, StopByValidation(model, patience)]


class StopByValidation(EarlyStopping):
    """EarlyStopping that tells the optimizer."""

    def __init__(self, model: Model, patience: int):
        super().__init__("val_loss", patience=patience)
        self._of = model

    def on_fit_end(self) -> None:
        optimizer = self._of.objective.optimizer
        if self.stopped_epoch is not None and isinstance(optimizer, FullBatch) and optimizer.stop_reason is None:
            optimizer.stop_reason = "validation"
        super().on_fit_end()
