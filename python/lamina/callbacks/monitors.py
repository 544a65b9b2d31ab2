"""Callbacks that follow one figure of the logs: stop, lower the learning rate, save."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lamina import metrics
from lamina.base import checks, names
from lamina.callbacks.base import Callback, Logs, make_folder_of
from lamina.graph.parameter import numbers
from lamina.optim.full_batch import FullBatch


class Monitor(Callback):
    """Follows one figure of the logs and remembers its best."""

    def __init__(self, monitor: str, mode: str):
        where = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(
                f"[{where}] expected the name of a figure as monitor, got {checks.brief(monitor)}; pass 'val_loss', say"
            )
        mode = checks.choice(where, "mode", mode, ("auto", "min", "max"))
        known = metrics.direction(monitor) if mode == "auto" else mode
        if known is None:
            prefix = "val_" if monitor.startswith("val_") else ""
            guess = names.nearest(monitor.removeprefix(prefix), metrics.names())
            instead = f", or monitor {prefix + guess!r}" if guess else ""
            raise ValueError(
                f"[{where}] expected mode 'min' or 'max' for {checks.brief(monitor)}, got 'auto'; say which is better{instead}"
            )
        self.monitor, self.mode = monitor, known
        self._guessed = mode == "auto" and monitor.removeprefix("val_") not in ("loss", *metrics.names())
        self.best: float | None = None
        self._resumed = False

    def _start(self) -> bool:
        """Whether a fit begins from scratch, rather than from a loaded state."""
        if self._guessed and (name := self._of_ones_own()):
            raise ValueError(
                f"[{type(self).__name__}] expected mode 'min' or 'max' for {name!r}, a metric of your own, got 'auto'; "
                "say which is better"
            )
        fresh, self._resumed = not self._resumed, False
        if fresh:
            self.best = None
        return fresh

    def _of_ones_own(self) -> str | None:
        """The name of the metric that is followed, where it is the user's and only ends like one of ours."""
        name = self.monitor.removeprefix("val_")
        known = self.net.objective.metrics.get(name)
        return None if known is None or metrics.built_in(known.metric) else name

    def _value(self, logs: Logs) -> float:
        Monitor.check_logs(self, logs)
        return float(logs[self.monitor])

    def _ahead(self, value: float, best: float) -> float:
        """By how much `value` is better than `best`."""
        return best - value if self.mode == "min" else value - best

    def check_logs(self, logs: Logs) -> None:
        if self.monitor not in logs:
            remedy = "give fit validation_data or validation_split" if self.monitor.startswith("val_") else "add it to the metrics"
            raise ValueError(
                f"[{type(self).__name__}] expected {checks.brief(self.monitor)} among the logged figures, got {', '.join(logs)}; "
                f"{remedy}, or monitor one of these"
            )
        if np.ndim(logs[self.monitor]):
            raise ValueError(
                f"[{type(self).__name__}] expected a number as {checks.brief(self.monitor)}, got an array of shape "
                f"{np.shape(logs[self.monitor])}; monitor another figure"
            )


class EarlyStopping(Monitor):
    """Ends the fit once a figure has not improved for `patience` epochs in a row, and puts the best weights back.

    An epoch improves if its figure is better than the best so far by more than `min_delta`; NaN never is. `mode`: "min", "max", or
    "auto", which knows losses and our metrics. `restore_best`: at the end of the fit, however it ended, the weights of the best
    epoch are written back (the optimizer's state is not). Afterwards: `best`, `best_epoch`, and `stopped_epoch` (None if the fit
    ran to its end); these count from 0, as the arrays of the history do. Where progress is shown, a line says that it stopped.

    Source: L. Prechelt, Early Stopping - But When? (1998). Errors: ValueError for a figure that is not logged, for mode="auto"
    where the better side is not known, for patience < 1 or min_delta < 0.

    >>> x = np.ones((8, 1))
    >>> stop = lm.callbacks.EarlyStopping("loss", patience=2, min_delta=0.1)
    >>> net = lm.Sequential(lm.Dense(1), seed=0)
    >>> history = net.fit(x, x, loss="mse", optimizer=lm.optim.SGD(0.0), epochs=50, callbacks=stop, verbose=0)  # it learns nothing
    >>> stop.best_epoch, stop.stopped_epoch, len(history)
    (0, 2, 3)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ):
        super().__init__(monitor, mode)
        self.patience = checks.integer("EarlyStopping", "patience", patience)
        self.min_delta = checks.number("EarlyStopping", "min_delta", min_delta, 0)
        self.restore_best = checks.flag("EarlyStopping", "restore_best", restore_best)
        self._reset()

    def _reset(self) -> None:
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.wait = 0
        self._weights: dict[str, Any] = {}

    def on_fit_begin(self) -> None:
        if self._start():
            self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self._value(logs)
        if not math.isnan(value) and (self.best is None or self._ahead(value, self.best) > self.min_delta):
            self.best, self.best_epoch, self.wait = value, epoch, 0
            if self.restore_best:
                self._weights = dict(self.net.parameters.items())
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.net.stop_training = True

    def on_fit_end(self) -> None:
        optimizer = self.net.optimizer
        if self.stopped_epoch is not None and self.monitor.startswith("val_") and isinstance(optimizer, FullBatch):
            optimizer.stop_reason = optimizer.stop_reason or "validation"
        if self._weights:
            self.net.parameters.update(self._weights)

    @property
    def _said(self) -> str:  # type: ignore[override]
        if self.stopped_epoch is None:
            return ""
        found = "was never a number"
        if self.best is not None and self.best_epoch is not None:
            back = ", whose weights are back" * self.restore_best
            found = f"was best in epoch {self.best_epoch + 1}, {self.best:.4g}{back}"
        return f"stopped after epoch {self.stopped_epoch + 1}: {self.monitor} {found}"

    def state(self) -> dict[str, Any]:
        figures = {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait, "stopped_epoch": self.stopped_epoch}
        return {**figures, "weights": dict(self._weights)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.best, self.best_epoch, self.wait = _number(state["best"]), state["best_epoch"], int(state["wait"])
        self.stopped_epoch = state["stopped_epoch"]
        self._weights = {name: numbers(weights, name) for name, weights in state["weights"].items()}
        self._resumed = True


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` once a figure has not improved for more than `patience` epochs.

    An epoch improves if value < best (1 - threshold) ("min"; "max": value > best (1 + threshold)); with threshold_mode="abs" if
    value < best - threshold (value > best + threshold). After a reduction, `cooldown` epochs are not counted. The rate never falls
    below `min_lr`, and a change of no more than `eps` is left out. `factor` in (0, 1); all others >= 0. All as in PyTorch.

    Errors: ValueError where the optimizer has no learning rate or its rate is a schedule, for a figure that is not logged, a value
    out of its bounds.

    >>> net = lm.Sequential(lm.Dense(1), seed=0)
    >>> slower = lm.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, threshold=1.0)  # nothing is good enough
    >>> x = np.ones((8, 1))
    >>> history = net.fit(x, x, loss="mse", optimizer=lm.optim.SGD(0.1), epochs=3, callbacks=slower, verbose=0)
    >>> net.optimizer.lr
    0.025
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
        mode: str = "auto",
    ):
        where = type(self).__name__
        super().__init__(monitor, mode)
        self.factor = checks.number(where, "factor", factor, 0, 1, open_low=True, open_high=True)
        self.patience = checks.integer(where, "patience", patience, 0)
        self.threshold = checks.number(where, "threshold", threshold, 0)
        self.threshold_mode = checks.choice(where, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = checks.integer(where, "cooldown", cooldown, 0)
        self.min_lr = checks.number(where, "min_lr", min_lr, 0)
        self.eps = checks.number(where, "eps", eps, 0)
        self._bad = self._cooling = 0

    @property
    def _optimizer(self) -> Any:
        return self.net.optimizer  # there is one: only a compiled model is fitted

    def on_fit_begin(self) -> None:
        lr = self._optimizer.lr
        if isinstance(self._optimizer, FullBatch):
            raise ValueError(
                f"[ReduceLROnPlateau] expected an optimizer with a learning rate, got {self._optimizer!r}, whose steps find "
                "their own length; leave the callback out"
            )
        if not isinstance(lr, (int, float, np.number)):
            raise ValueError(
                f"[ReduceLROnPlateau] expected an optimizer with a number as lr, got {checks.brief(lr)}; use one of the two"
            )
        if self._start():
            self._bad = self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self._value(logs)
        if not math.isnan(value) and (self.best is None or self._improves(value, self.best)):
            self.best, self._bad = value, 0
        else:
            self._bad += 1
        if self._cooling > 0:
            self._cooling, self._bad = self._cooling - 1, 0
        if self._bad > self.patience:
            self._reduce()
            self._cooling, self._bad = self.cooldown, 0

    def _improves(self, value: float, best: float) -> bool:
        if self.mode == "min":
            return value < (best * (1 - self.threshold) if self.threshold_mode == "rel" else best - self.threshold)
        return value > (best * (1 + self.threshold) if self.threshold_mode == "rel" else best + self.threshold)

    def _reduce(self) -> None:
        before = float(self._optimizer.lr)
        after = max(before * self.factor, self.min_lr)
        if before - after > self.eps:
            self._optimizer.lr = after

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "bad": self._bad, "cooling": self._cooling}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.best, self._bad, self._cooling = _number(state["best"]), int(state["bad"]), int(state["cooling"])
        self._resumed = True


class Checkpoint(Monitor):
    """Saves the model, its optimizer and the state of the training every so many epochs; `fit(resume=path)` goes on from there.

    `every_batches`: also after so many batches within an epoch, for long ones; going on there, an iterable of batches must give the
    same ones again. `path` may name the epoch (from 1) and figures: "run/{epoch:03d}-{val_loss:.3f}.safetensors"; without, the file
    is replaced each time. Missing folders are made. With `monitor`, only an epoch whose figure is better than all before is saved
    (`mode` as in EarlyStopping), of those that `every` lets through. `last` is the path last written.

    A file is replaced whole or not at all. Errors: OSError, which ends the fit, where it cannot be written; ValueError for an
    unknown field in the path or one that is an array, a figure that is not logged, `monitor` with `every_batches`.

    >>> net, x = lm.Sequential(lm.Dense(1), seed=0), np.ones((8, 1))
    >>> saver = lm.callbacks.Checkpoint("run/net-{epoch}.safetensors", every=2)
    >>> history = net.fit(x, x, loss="mse", optimizer="sgd", epochs=5, callbacks=saver, verbose=0)
    >>> saver.last, lm.load(saver.last).epochs_done
    ('run/net-4.safetensors', 4)
    """

    saves = looks_on = True
    write: Callable[[str], None] | None = None  # how a file is written, state of the training included; `fit` sets it
    _epochs = 0  # of this fit, that ended
    _wrote = False  # whether a file was written in them, or was to be

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: int = 1,
        every_batches: int | None = None,
        monitor: str | None = None,
        mode: str = "auto",
    ):
        super().__init__("loss" if monitor is None else monitor, mode)
        self.path = checks.path("Checkpoint", "path", path)
        self.every = checks.integer("Checkpoint", "every", every)
        self.every_batches = None if every_batches is None else checks.integer("Checkpoint", "every_batches", every_batches)
        self.best_only = monitor is not None
        if self.best_only and self.every_batches is not None:
            raise ValueError(
                "[Checkpoint] expected monitor or every_batches, got both: figures are those of whole epochs; use two Checkpoints"
            )
        self.last: str | None = None

    def on_fit_begin(self) -> None:
        self._epochs, self._wrote = 0, self._resumed  # from a file that was written
        self._start()
        make_folder_of(self.path.partition("{")[0])

    def on_epoch_begin(self, epoch: int) -> None:
        self._epoch = epoch

    @property
    def needs_batches(self) -> bool:
        return self.every_batches is not None

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        if self.every_batches is not None and (batch + 1) % self.every_batches == 0:
            self._save(self._epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._epochs += 1
        if (epoch + 1) % self.every == 0 and (not self.best_only or self._is_best(logs)):
            self._save(epoch, logs)

    def on_fit_end(self) -> None:
        if self._epochs and not self._wrote and self.best is None:
            epochs = f"{self._epochs} epoch{'s' * (self._epochs > 1)}"
            checks.warn(
                f"[Checkpoint] expected a file to be written, got none in {epochs} of {self!r}; lower `every`, or call net.save"
            )

    def _save(self, epoch: int, logs: Logs) -> None:
        self._wrote = True
        self.last = self._path(epoch, logs)
        make_folder_of(self.last)
        if self.write is None:
            self.net.save(self.last, optimizer=True)
        else:
            self.write(self.last)

    def _is_best(self, logs: Logs) -> bool:
        value = self._value(logs)
        best = not math.isnan(value) and (self.best is None or self._ahead(value, self.best) > 0)
        self.best = value if best else self.best
        return best

    def _path(self, epoch: int, logs: Logs) -> str:
        from string import Formatter

        figures = {"epoch": epoch + 1, **{name: value for name, value in logs.items() if name != "epoch" and not np.ndim(value)}}
        try:
            fields = {name for _, name, _, _ in Formatter().parse(self.path) if name is not None}
            wrong = [f"{name}, an array" if name in logs else name for name in sorted(fields - figures.keys())]
            if not wrong:
                return self.path.format(**figures)
        except (ValueError, LookupError) as error:
            wrong = [f"{checks.brief(self.path)}: {error}"]
        raise ValueError(
            f"[Checkpoint] expected fields of {', '.join(figures)} in the path, got {', '.join(wrong)}; "
            "write {{ and }} for plain braces"
        )

    def check_logs(self, logs: Logs) -> None:
        if self.best_only:
            super().check_logs(logs)
        self._path(0, logs if self.every_batches is None else {"loss": 0.0})  # that is all that is known within an epoch

    def state(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.best, self._resumed = _number(state["best"]), True


def _number(value: Any) -> float | None:
    """A figure of a file, or None; TypeError or ValueError for anything else."""
    return None if value is None else float(value)
