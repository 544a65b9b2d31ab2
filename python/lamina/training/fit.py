"""fit: the loop over epochs. An epoch over arrays is one call of the core; everything around it happens between epochs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core as core
from lamina import schedules
from lamina.base import checks
from lamina.callbacks import CallbackList
from lamina.callbacks.base import steering
from lamina.inputs import data
from lamina.inputs.data import Batches, Data
from lamina.losses.base import FunctionLoss
from lamina.models import feed
from lamina.models.figures import amounts, example_figures
from lamina.models.objective import OutputMetric, named_metrics
from lamina.models.steps import evaluate_batches, evaluate_checked, state_of
from lamina.models.totals import Part, Totals
from lamina.optim.full_batch import FullBatch
from lamina.training.cautions import warn_of_flat_neurons, warn_of_single_rows, warn_of_sorted_rows, warn_of_targets_out_of_reach
from lamina.training.history import History
from lamina.training.progress import Progress, how
from lamina.training.samples import (
    Samples,
    check_indices,
    check_that_something_counts,
    nothing_counts,
    training_samples,
    with_finite_targets,
)
from lamina.training.sources import ArraySource, BatchDone, BatchSource, Outcome, Source, is_finite

if TYPE_CHECKING:
    from lamina.models.model import Model


BUILT_IN = tuple(schedules.CLASSES.values())  # one of the user's own is not asked before its time
BATCH_SIZE = 32  # where none is given
MOST_EPOCHS = 100_000  # whose rates are looked at; a fit without an end has more
VANISHED = 1e-9  # of the largest rate: a cosine over 10,000 epochs has 2.5e-8 at the beginning of the last


@dataclass
class Run:
    """One call of fit, ready to start."""

    model: Model
    source: Source
    validate: Callable[[], dict[str, Any]] | None  # the figures of the validation data
    metrics: dict[str, OutputMetric]
    example: dict[str, Any]  # of the figures that are known to fit: our metrics on predictions of 0
    epochs: int
    verbose: int | None
    settings: dict[str, Any]
    history: History = field(default_factory=History)
    _hooks: CallbackList = field(init=False)
    _part: Part = field(default_factory=Part, init=False)  # of the epoch that is going on
    _before: core.Snapshot | None = None
    _within_epoch: bool = False
    _rate: str = ""  # the learning rate that the training began with
    _asked: int = 0  # the epochs of the fit that is taken up

    def prepare(self, callbacks: Any, resume: str | None) -> None:
        """Every check that can fail; nothing is trained yet."""
        self._hooks = CallbackList(callbacks, self.model, alone=True)
        try:
            self._hooks.check_logs(self._example_logs())
            self.source.prepare()
            self._rate = repr(self.model.objective.optimizer.lr)
            stopped = resume is not None and self._resume(resume)
        except BaseException:
            self._hooks.release()
            raise
        self.model.stop_training, self.model.history = stopped, self.history
        if stopped and len(self.history) < self.epochs > self._asked:  # the same fit again has what it had
            checks.warn(
                f"[resume] expected a training to go on with, got one that was stopped after epoch {len(self.history)} of "
                f"{self.epochs}; to train on, fit the network that lm.load gives, without resume"
            )
        self._warn_of_a_rate_that_ends()

    def _warn_of_a_rate_that_ends(self) -> None:
        """A schedule of epochs, where it counts batches, is soon over: nothing would be learned in the rest, without a word."""
        optimizer, batches = self.model.objective.optimizer, self.source.batches()
        first = len(self.history)
        if optimizer.has_constant_rate or type(optimizer.lr) not in BUILT_IN or self.epochs - first > MOST_EPOCHS:
            return
        done = optimizer.steps - len(self._part.losses)
        rates = optimizer.rate(done + batches * np.arange(self.epochs - first)) if batches else np.empty(0)
        ended = rates <= VANISHED * rates.max(initial=0.0)
        if ended.any() and ended[-1]:
            epoch = int(np.argmax(ended))
            length = f"{done + batches * len(rates)} steps" + (f", {done} of them done," if done else "")
            checks.warn(
                f"[fit] expected a rate to learn with in every epoch, got {optimizer.lr!r}, which gives {rates[epoch]:.3g} from "
                f"epoch {first + epoch + 1} of {self.epochs} on; its steps are batches, of which an epoch has {batches}: "
                f"one of {length} is as long as this fit",
            )

    def train(self) -> History:
        """Trains to the end, the stop, or the interruption."""
        hooks = self._hooks
        samples, flops = self.settings.get("samples", 0), self.source.flops
        with Progress(self.epochs, self.source.batches(), self.verbose, samples=samples, flops=flops) as progress:
            try:
                hooks.on_fit_begin(self._write)
                self._loop(hooks, progress)
            except KeyboardInterrupt:
                self.history.interrupted = True
                if self.verbose != 0:
                    said = f"interrupted after {len(self.history)} epochs; the network can be used, and trained on"
                    with contextlib.suppress(OSError):
                        print(said, file=sys.stderr)
            finally:
                hooks.on_fit_end()
        if self.model.stop_training and not self.history.interrupted:
            progress.say(hooks.said or self._reason())
        return self.history

    def _reason(self) -> str:
        """Why an optimizer that ends fits ended this one."""
        optimizer = self.model.objective.optimizer
        why = optimizer.stop_reason if isinstance(optimizer, FullBatch) else None
        return f"stopped after epoch {len(self.history)}: {why}" if why else ""

    def _loop(self, hooks: CallbackList, progress: Progress) -> None:
        for epoch in range(len(self.history), self.epochs):
            if self.model.stop_training:
                break
            hooks.on_epoch_begin(epoch)
            progress.begin_epoch(epoch)
            batch_done = (lambda batch, loss: hooks.on_batch_end(batch, {"loss": loss})) if hooks.needs_batches else None
            self._within_epoch = True
            outcome = self._epoch(epoch, batch_done, progress.update)
            self._within_epoch = False
            self.model.epochs_done += 1
            self.history.append(outcome.logs)
            if self.validate is not None:
                self.history.amend({f"val_{name}": value for name, value in self.validate().items()})
            logs = self.history.last()
            progress.end_epoch(logs)
            hooks.on_epoch_end(epoch, logs)

    def _snapshot(self) -> core.Snapshot:
        """The values of all parameters, streams of random numbers and of the optimizer's state, as they are now."""
        variables = [p.variable for p in state_of(self.model)]
        if self._before is None or not self._before.is_of(variables):
            self._before = core.Snapshot(variables)
        self._before.take()
        return self._before

    def _epoch(self, epoch: int, batch_done: BatchDone | None, poll: Callable[[int], bool]) -> Outcome:
        before = None if self.model.objective.optimizer.all_data else self._snapshot()  # those stay where they are
        built = self.model.built
        done, self._part = self._part, Part()
        outcome = self.source.epoch(self.model.epochs_done, batch_done, poll, done)
        if is_finite(outcome.losses):
            return outcome
        batch = len(outcome.losses) - 1
        try:
            bad = self.source.first_bad_value()
        finally:
            if before is not None:
                before.restore()
        kept = "the parameters from before this epoch are back"
        if before is None or not built:  # an iterable's first batch builds a network
            kept = "the parameters are those from before this step"
        raise FloatingPointError(
            f"[fit] expected a finite loss, got {outcome.losses[batch]} at batch {batch + 1} of epoch {epoch + 1}, counted from 1; "
            + (f"first bad value: {bad}; " if bad else "")
            + f"{kept}. Look for extreme values in the data, {self.model.objective.optimizer.against_overflow}"
        )

    def _example_logs(self) -> dict[str, Any]:
        logs = {"loss": 0.0, **dict.fromkeys(self.metrics, 0.0), **self.example}
        return logs if self.validate is None else {**logs, **{f"val_{name}": value for name, value in logs.items()}}

    # ---- checkpoints ----

    def _write(self, path: str) -> None:
        """A checkpoint: the model, its optimizer, and all that this run needs to go on as if it had never stopped."""
        from lamina.storage.io import save

        plain, arrays = self._hooks.state()
        figures, figure_arrays = self.history.state()
        done = self.source.so_far() if self._within_epoch else Part()
        state = {
            "settings": self.settings,
            "history": figures,
            "callbacks": plain,
            "stopped": self.model.stop_training,
            "stop_reason": getattr(self.model.optimizer, "stop_reason", None),
            "outputs": len(done.predictions),
            "optimizer": type(self.model.optimizer).__name__,
            "rate": self._rate,
            "epochs": self.epochs,
        }
        part = {"losses": done.losses, "terms": done.terms} | {f"predictions/{i}": p for i, p in enumerate(done.predictions)}
        groups = {"callbacks": arrays, "history": figure_arrays, "part": part}
        save(self.model, path, optimizer=True, extra=state, extra_tensors=groups)

    def _resume(self, path: str) -> bool:
        """Takes up a checkpoint, once nothing in it can be refused any more; whether that training had been stopped."""
        from lamina.storage.foreign import damage
        from lamina.storage.io import restored

        where = f"resume {checks.cut(path)}"
        saved = restored(self.model, path, where)
        state, tensors = saved.extra, saved.extra_tensors
        settings = state.get("settings") if isinstance(state, dict) else None
        if not isinstance(settings, dict):
            raise ValueError(
                f"[resume] expected a file of lm.callbacks.Checkpoint, got a saved network, {path}; load it with lm.load"
            )
        if settings != self.settings:
            there, here = _apart(settings, self.settings)
            raise ValueError(f"[resume] expected the settings of the checkpoint, {there}, got {here}; pass the same")
        kind, here = state.get("optimizer"), type(self.model.optimizer).__name__
        if kind not in (None, here):  # of two of the user's own
            raise ValueError(
                f"[resume] expected the optimizer that the file is of, {checks.brief(kind)}, got {here}; pass the same"
            )
        with damage(where):
            stopped = checks.flag("load", "stopped", state["stopped"])
            self._asked = checks.integer("load", "epochs", state.get("epochs", 0), 0)
            reason = state.get("stop_reason")
            self._part = _part(state["outputs"], tensors["part"], self.source)
            self.history.load_state(state["history"], tensors.get("history", {}))
            classes = steering(state["callbacks"])
        if self.metrics and len(self._part.losses) and not self._part.predictions:
            raise ValueError(
                f"[resume] expected no metrics, as in the checkpoint, which was written within an epoch, got "
                f"{', '.join(self.metrics)}; pass them from the next epoch on"
            )
        self._hooks.check_classes(classes)
        with damage(where):
            self._hooks.load_state(state["callbacks"], tensors.get("callbacks", {}))
        saved.write()
        self._check_rate(state)
        if isinstance(optimizer := self.model.optimizer, FullBatch):
            optimizer.stop_reason = None if reason is None else str(reason)
        return stopped

    def _check_rate(self, state: Mapping[str, Any]) -> None:
        """A rate that is a number is the file's, which a callback may have changed, whatever is given."""
        optimizer, given = self.model.objective.optimizer, self._rate
        self._rate = str(state.get("rate", given))
        if optimizer.has_constant_rate and given not in (self._rate, repr(optimizer.lr)):
            checks.warn(
                f"[resume] expected the learning rate that the training began with, {self._rate}, got {given}; the file's goes on: "
                "for another one pass lm.callbacks.LambdaCallback(on_fit_begin=lambda: setattr(net.optimizer, 'lr', rate))"
            )


def _apart(there: dict[str, Any], here: dict[str, Any]) -> Iterator[str]:
    """The settings in which two fits differ, of each."""
    names = [name for name in there | here if not (name in there and name in here and there[name] == here[name])]
    for settings in (there, here):
        yield ", ".join(f"{name}={checks.brief(settings[name])}" if name in settings else f"no {name}" for name in names)


def _part(outputs: Any, arrays: Mapping[str, Any], source: Source) -> Part:
    """The part of an epoch that a checkpoint holds."""
    losses = arrays["losses"]
    terms = arrays.get("terms", np.empty((len(losses), 0)))
    fits = losses.ndim == 1 and terms.ndim == 2 and len(terms) == len(losses)
    if not fits or (len(losses) and not source.fits(terms.shape[1])):
        raise ValueError(f"expected a loss for each batch, and for each output, got shapes {losses.shape} and {terms.shape}")
    return Part(losses, terms, [arrays[f"predictions/{i}"] for i in range(checks.integer("load", "outputs", outputs, 0))])


def fit(
    model: Model,
    x: Any,
    y: Any,
    *,
    loss: Any,
    optimizer: Any,
    loss_weights: Any,
    epochs: int,
    batch_size: int,
    validation_data: Any,
    validation_split: float,
    sample_weight: Any,
    class_weight: Any,
    metrics: Any,
    callbacks: Any,
    shuffle: bool,
    resume: str | os.PathLike[str] | None,
    verbose: int | None,
) -> History:
    """See `Model.fit`."""
    epochs = checks.integer("fit", "epochs", epochs, 0)
    batch_size = checks.integer("fit", "batch_size", batch_size)
    shuffle = checks.flag("fit", "shuffle", shuffle)
    resume = None if resume is None else checks.path("fit", "resume", resume)
    how(verbose, None)  # refuses what verbose cannot be
    with model.unless_refused(loss_too=model.compiled or resume is not None):  # else they stay, as `compile` would have set them
        _compile(model, loss, optimizer, loss_weights)
        for one in model.objective.losses:
            if isinstance(one, FunctionLoss):
                one.warn_of_changes()
        chosen = named_metrics(metrics, model.output_names, model.objective.metrics)
        settings = {"batch_size": batch_size, "shuffle": shuffle, "loss": [repr(one) for one in model.objective.losses]}
        if any(weight != 1 for weight in model.objective.loss_weights):
            settings["loss_weights"] = list(model.objective.loss_weights)
        if y is None and data.may_be_batches(x):
            if batch_size != BATCH_SIZE:
                checks.warn(f"[fit] expected no batch_size for batches, which stay as they come, got {batch_size}; leave it out")
            source, held_out = _batches(model, x, chosen, sample_weight, class_weight, validation_split), None
            example: dict[str, Any] = {}
            columns = model.columns
        else:
            given, held_out = _split(feed.samples(model, x, y, sample_weight), validation_split, validation_data)
            columns = {**model.columns, **given.columns}
            model.ensure_built(given.x[0])  # a Model is built, and has no use for it
            samples = training_samples(model, given, class_weight)
            example = example_figures(model, chosen, samples.data)
            source = _source(model, samples, chosen, batch_size, shuffle)
            check_indices(model, samples.data)
            warn_of_single_rows(model, batch_size)
            warn_of_flat_neurons(model, samples.data)
            warn_of_targets_out_of_reach(model, samples.data)
            settings["samples"] = len(given)
        validate, validation = _validation(model, held_out, validation_data, columns, chosen)
        if validation is not None:
            if held_out is not None:
                warn_of_sorted_rows(model, samples.data, validation.data)
            example |= example_figures(model, chosen, validation.data)
        if model.objective.optimizer.all_data:
            from lamina.training.all_data import callbacks as with_stops

            callbacks = with_stops(model, validate is not None, callbacks)
        run = Run(model, source, validate, chosen, example, epochs, verbose, settings)
        run.prepare(callbacks, resume)
        model.columns = columns
    return run.train()


def _batches(
    model: Model, x: Any, metrics: dict[str, OutputMetric], sample_weight: Any, class_weight: Any, validation_split: float
) -> Source:
    if sample_weight is not None or validation_split:
        raise ValueError(
            "[fit] expected batches without sample_weight and validation_split, got one; put weights into them: (x, y, w)"
        )
    if isinstance(class_weight, str):
        raise ValueError(
            f"[class_weight] expected {{class: weight}} for batches, got {checks.brief(class_weight)}; how often a class occurs in "
            "all data no batch tells: count the classes and pass n / (classes * count) for each"
        )
    return BatchSource(model, feed.batches(model, x), metrics, class_weight)


def _source(model: Model, samples: Samples, metrics: dict[str, OutputMetric], batch_size: int, shuffle: bool) -> Source:
    if not model.objective.optimizer.all_data:
        return ArraySource(model, samples, metrics, min(batch_size, len(samples.data)), shuffle)
    from lamina.training.all_data import AllData

    if batch_size != BATCH_SIZE and batch_size < len(samples.data):
        kind = type(model.objective.optimizer).__name__
        checks.warn(f"[fit] expected no batch_size for {kind}, whose steps take all rows, got {batch_size}; leave it out")
    return AllData(model, samples, metrics)


def _compile(model: Model, loss: Any, optimizer: Any, loss_weights: Any) -> None:
    """Compiles with what was given; the same words again keep the optimizer and its state."""
    if loss is None and optimizer is None and loss_weights is None and model.compiled:
        return
    before = model.objective.given if model.compiled else (None, model.optimizer, (), None)
    given = (loss, optimizer, None, loss_weights)
    loss, optimizer, metrics_, weights = (b if a is None else a for a, b in zip(given, before, strict=True))
    for name, value in (("loss", loss), ("optimizer", optimizer)):
        if value is None:
            a, example = {"loss": ("a", "'mse'"), "optimizer": ("an", "'adam'")}[name]
            raise ValueError(f"[fit] expected {a} {name}, got none; pass {name}={example}, for example, or call compile first")
    if not model.compiled or not all(map(_same, (loss, optimizer, weights), (before[0], before[1], before[3]))):
        model.compile(loss, optimizer, metrics_, loss_weights=weights)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is b or (isinstance(a, (str, Real)) and isinstance(b, (str, Real)) and a == b)


def _split(given: Data, fraction: float, validation_data: Any) -> tuple[Data, Data | None]:
    if isinstance(fraction, (int, float)) and fraction == 0:
        return given, None
    if validation_data is not None:
        raise ValueError("[fit] expected validation_data or validation_split, got both; leave one out")
    return given.split(fraction)


def _validation(
    model: Model,
    held_out: Data | None,
    validation_data: Any,
    columns: Mapping[str, Sequence[str]],
    metrics: dict[str, OutputMetric],
) -> tuple[Callable[[], dict[str, Any]] | None, Samples | None]:
    """What gives the figures of the validation data, and the samples where these are arrays; None for what there is not."""
    if held_out is None and validation_data is None:
        return None, None
    several = data.is_batches(validation_data) or data.is_list_of_batches(validation_data, len(model.inputs))
    if held_out is None and several:
        held = feed.batches(model, validation_data, where="validation_data", each="validation batch")
        return partial(_evaluate_batches, model, held, metrics), None
    samples = _validation_samples(model, held_out, validation_data, columns)
    return partial(evaluate_checked, model, *samples, metrics), samples


def _evaluate_batches(model: Model, batches: Batches, metrics: dict[str, OutputMetric]) -> dict[str, Any]:
    totals = Totals(model, metrics, apart=True)
    logs = evaluate_batches(batches, totals, with_finite_targets)
    if not np.any(totals.shares):  # of some outputs alone, val_loss is NaN
        raise nothing_counts("validation_data", model.output_names[0])
    return logs


def _validation_samples(model: Model, held_out: Data | None, validation_data: Any, columns: Mapping[str, Sequence[str]]) -> Samples:
    if held_out is None:
        x, y, weight = data.unpack(validation_data, "validation_data", list(model.named_inputs))
        if y is None:
            raise TypeError(
                f"[validation_data] expected (x, y) or (x, y, sample_weight), got {type(validation_data).__name__}; "
                "pass its targets, too, or an iterable of such batches, which starts anew at each epoch"
            )
        with data.within("validation_data"):
            model.ensure_built(x)
            held_out = feed.samples(model, x, y, weight)
            for where, names in held_out.columns.items():
                data.check_order(columns, where, names)
    where = "validation_split" if validation_data is None else "validation_data"
    with data.within(where):
        samples = with_finite_targets(model, held_out)
    counted = amounts(model, samples.data)
    if all(amount is not None and not amount.any() for amount in counted):  # of some outputs alone, val_loss is NaN
        check_that_something_counts(model, counted, where)
    return samples
