"""The callback that others derive from, the one made of functions, and the list that `fit` calls."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from lamina.base import calls, checks, elsewhere
from lamina.base.config import Configured
from lamina.base.turns import building
from lamina.schedules import Schedule

if TYPE_CHECKING:
    from lamina.models.model import Model

Logs = Mapping[str, Any]

HOOKS: dict[str, tuple[str, ...]] = {
    "on_fit_begin": (),
    "on_epoch_begin": ("epoch",),
    "on_batch_end": ("batch", "logs"),
    "on_epoch_end": ("epoch", "logs"),
    "on_fit_end": (),
}
ELSEWHERE = {  # what other libraries call, and nothing does here
    **dict.fromkeys(("on_train_begin", "on_train_start", "on_fit_start"), "on_fit_begin"),
    "on_train_end": "on_fit_end",
    **dict.fromkeys(("on_epoch_start", "on_train_epoch_start"), "on_epoch_begin"),
    **dict.fromkeys(("on_train_epoch_end", "on_validation_epoch_end", "on_validation_end", "on_test_end"), "on_epoch_end"),
    "on_train_batch_end": "on_batch_end",
}
BEFORE_A_BATCH = ("on_batch_begin", "on_batch_start", "on_train_batch_begin", "on_train_batch_start")  # when nothing is called


class Callback(Configured):
    """Base of all callbacks: override what you need.

    `self.net` is the model. `self.net.stop_training = True` ends the fit after this epoch; `self.net.optimizer.lr = ...` sets the
    learning rate; `self.net.parameters` reads and writes weights. `logs` are the epoch's figures: "loss", the metrics, and both
    with "val_" before them where there are validation data. Overriding `on_batch_end` costs a call into Python at every batch. A
    method of a hook's name in another library, or of one misspelt, is a TypeError unless your class calls it itself: nobody else
    would.

    >>> import lamina as lm
    >>> class StopAt(lm.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         self.net.stop_training = logs["loss"] < 0.1
    >>> x = np.linspace(-1, 1, 32)[:, None]
    >>> net = lm.Sequential(lm.Dense(1), seed=0)
    >>> history = net.fit(x, 2 * x, loss="mse", optimizer=lm.optim.SGD(0.5), epochs=100, callbacks=StopAt(), verbose=0)
    >>> len(history) < 100, history.last()["loss"] < 0.1
    (True, True)
    """

    net: Model
    _stays = False
    _said = ""  # why it ended the fit: a line where progress is shown
    saves = False  # one that saves is called after all others
    _unlisted = ("looks_on", "needs_batches", "saves")
    looks_on = False  # whether training goes the same way without it, whatever its state

    def on_fit_begin(self) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before the epoch."""

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        """After a batch; `logs` has its "loss"."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After the epoch and its validation."""

    def on_fit_end(self) -> None:
        """After the last epoch, also where the fit was interrupted or failed; for each callback whose `on_fit_begin` went well."""

    def check_logs(self, logs: Logs) -> None:
        """Called before the first epoch with the names that `logs` will have: the place to refuse what cannot work.

        The values are an example of their kind: 0, or an array where a metric of `lm.metrics` gives one.
        """

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep of this callback: values that JSON can hold, arrays, and dicts of these."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` returned; called before `on_fit_begin`, which must then not start anew."""

    def _function_of(self, hook: str) -> Callable[..., Any]:
        """What `fit` calls in the end where it calls the hook of this name."""
        return getattr(self, hook)  # type: ignore[no-any-return]

    @property
    def needs_batches(self) -> bool:
        """Whether `on_batch_end` does anything."""
        return type(self).on_batch_end is not Callback.on_batch_end


elsewhere.put(Callback, elsewhere.OF_CALLBACKS)


class LambdaCallback(Callback):
    """Functions as a callback: each is called as the method of its name. Errors: TypeError for what cannot be called.

    >>> seen = []
    >>> callback = lm.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    >>> x = np.ones((4, 1))
    >>> history = lm.Sequential(lm.Dense(1)).fit(x, x, loss="mse", optimizer="sgd", epochs=3, callbacks=callback, verbose=0)
    >>> seen
    [0, 1, 2]
    """

    def __init__(
        self,
        *,
        on_fit_begin: Callable[[], Any] | None = None,
        on_epoch_begin: Callable[[int], Any] | None = None,
        on_batch_end: Callable[[int, Logs], Any] | None = None,
        on_epoch_end: Callable[[int, Logs], Any] | None = None,
        on_fit_end: Callable[[], Any] | None = None,
    ):
        self._functions: dict[str, Callable[..., Any]] = {}
        given = (on_fit_begin, on_epoch_begin, on_batch_end, on_epoch_end, on_fit_end)
        for name, function in zip(HOOKS, given, strict=True):
            if function is not None and not callable(function):
                raise TypeError(
                    f"[LambdaCallback] expected a function as {name}, got {checks.brief(function)}; pass {name}=lambda ...: ..."
                )
            if function is not None:
                self._functions[name] = function

    def _function_of(self, hook: str) -> Callable[..., Any]:
        return self._functions.get(hook, super()._function_of(hook))

    def _call(self, name: str, *args: Any) -> None:
        if name in self._functions:
            self._functions[name](*args)

    def on_fit_begin(self) -> None:
        self._call("on_fit_begin")

    def on_epoch_begin(self, epoch: int) -> None:
        self._call("on_epoch_begin", epoch)

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        self._call("on_batch_end", batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._call("on_epoch_end", epoch, logs)

    def on_fit_end(self) -> None:
        self._call("on_fit_end")

    @property
    def needs_batches(self) -> bool:
        return "on_batch_end" in self._functions


_CALLED: WeakValueDictionary[int, CallbackList] = WeakValueDictionary()  # which fit calls a callback now, by its id
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CALLED.clear)


class CallbackList:
    """The callbacks of one fit, called in their order; those that save come last, so that they save what the others did.

    `callbacks`: one or several; `alone`: until `release` or `on_fit_end` no other fit may call them.
    Errors: TypeError for what is no callback; ValueError for one that is there twice, which would count each epoch twice, and for
    one of two fits at once: what it counts and keeps would be of two networks.
    """

    def __init__(self, callbacks: Callback | Iterable[Callback] | None, net: Any, *, alone: bool = False):
        several = as_list(callbacks)
        for callback in several:
            if not isinstance(callback, Callback):
                raise TypeError(f"[callbacks] expected callbacks, got {checks.brief(callback)}; {_callback_remedy(callback)}")
            check_hooks(callback)
            if sum(other is callback for other in several) > 1:
                raise ValueError(
                    f"[callbacks] expected each callback once, got the same {type(callback).__name__} twice; leave one out"
                )
        self.callbacks = sorted(several, key=lambda callback: callback.saves)
        self._begun: list[Callback] = []
        if alone:
            self._take()
        for callback in several:
            callback.net = net

    def _take(self) -> None:
        with building:  # one thread at a time
            several = [callback for callback in self.callbacks if type(callback) is not LambdaCallback]  # which knows no network
            for callback in several:
                if id(callback) in _CALLED:
                    raise ValueError(
                        f"[callbacks] expected callbacks that no other fit calls meanwhile, got {checks.brief(callback)} of one "
                        "that runs; make one for each fit"
                    )
            _CALLED.update((id(callback), self) for callback in several)

    def release(self) -> None:
        """From now on other fits may call them."""
        for callback in self.callbacks:
            if _CALLED.get(id(callback)) is self:
                del _CALLED[id(callback)]

    @property
    def needs_batches(self) -> bool:
        """Whether any callback wants to be called at every batch."""
        return any(callback.needs_batches for callback in self.callbacks)

    def check_logs(self, logs: Logs) -> None:
        """See `Callback.check_logs`."""
        for callback in self.callbacks:
            callback.check_logs(logs)

    def on_fit_begin(self, write: Callable[[str], None] | None = None) -> None:
        """Calls all, up to one that fails. `write(path)`: how a checkpoint is written, where `fit` knows more than the model."""
        for callback in self.callbacks:
            if callback.saves and write is not None:
                callback.write = write
            try:
                callback.on_fit_begin()
            except BaseException:
                _release(callback)
                raise
            self._begun.append(callback)

    def on_epoch_begin(self, epoch: int) -> None:
        """Calls all."""
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch)

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        """Calls those that need batches."""
        for callback in self.callbacks:
            if callback.needs_batches:
                callback.on_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Calls all."""
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    @property
    def said(self) -> str:
        """Why one of them ended the fit; empty where none did."""
        return next((callback._said for callback in self.callbacks if callback._said), "")

    def on_fit_end(self) -> None:
        """Calls all that began, also where one of them fails: its error comes once the others had their turn."""
        with ExitStack() as calls:
            calls.callback(self.release)
            for callback in reversed(self._begun):  # a stack calls the last one first
                calls.callback(_release, callback)
                calls.callback(callback.on_fit_end)

    def state(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """(what JSON can hold, the arrays by name) of all callbacks, for `load_state`."""
        arrays: dict[str, Any] = {}
        plain = [
            {
                "class": type(callback).__name__,
                "steers": _steers(callback),
                "state": _take_arrays(callback.state(), f"{i}", arrays),
            }
            for i, callback in enumerate(self.callbacks)
        ]
        return plain, arrays

    def check_classes(self, saved: Sequence[str]) -> None:
        """ValueError where the callbacks that steer a training are not of these classes in this order."""
        here = [type(callback).__name__ for callback in self.callbacks if _steers(callback)]
        if saved != here:
            raise ValueError(
                f"[callbacks] expected those of the checkpoint that have a state ({', '.join(saved) or 'none'}), got "
                f"{', '.join(here) or 'none'}; pass the same in the same order"
            )

    def load_state(self, plain: Sequence[Mapping[str, Any]], arrays: Mapping[str, Any]) -> None:
        """Takes up what `state` returned; ValueError as of `check_classes`. The others go on with a state of their class, if one is
        left, or begin anew.
        """
        self.check_classes(steering(plain))
        left = list(plain)
        for callback in self.callbacks:
            entry = next((entry for entry in left if entry["class"] == type(callback).__name__), None)
            if entry is not None:
                left.remove(entry)
                callback.load_state(_put_arrays(entry["state"], arrays))


def _steers(callback: Callback) -> bool:
    """Whether a training that goes on needs the state of this callback to go on as it would have."""
    return not callback.looks_on and type(callback).state is not Callback.state


def steering(plain: Sequence[Mapping[str, Any]]) -> list[str]:
    """The classes of the callbacks, of those that a checkpoint holds, without which its training cannot go on."""
    return [str(entry["class"]) for entry in plain if entry["steers"]]


def _release(callback: Callback) -> None:
    """Takes away what holds the fit, and with it all data."""
    if callback.saves:
        callback.write = None  # type: ignore[attr-defined]


def check_hooks(callback: Callback) -> None:
    """TypeError for a method that nothing would call, and for one that cannot be called with what it will get."""
    kind, where = type(callback), type(callback).__name__
    if not calls.is_ours(kind):  # ours need no check, which would cost more than a short fit
        _check_names(kind)
    for name, parameters in HOOKS.items():
        function = callback._function_of(name)
        if calls.is_ours(function):
            continue
        takes = ", ".join(parameters)
        if not callable(function):
            raise TypeError(
                f"[callbacks] expected {where}'s {name} to be a function of ({takes}), got {checks.brief(function)}; leave it out"
            )
        if signature := calls.refusing(function, *parameters):
            raise TypeError(
                f"[callbacks] expected {where}'s {name} to take ({takes}), got a function of {signature}; give it these parameters"
            )


def _check_names(kind: type[Callback]) -> None:
    """TypeError for a method of a class of the user's that nothing would call.

    One that another method calls is the user's own, and so is one beside the hook that it would be: of a class that serves two
    libraries.
    """
    own = [inspect.unwrap(f) for base in kind.__mro__ for f in vars(base).values() if inspect.isfunction(f)]
    called = {name for f in own for name in f.__code__.co_names if name != f.__name__}
    for name in dir(kind):
        if name in HOOKS or name in called or name.startswith("_") or not callable(getattr(kind, name, None)):
            continue
        if name in BEFORE_A_BATCH:
            raise TypeError(
                f"[callbacks] expected methods that fit calls, got {kind.__name__}.{name}; it calls none before a batch"
            )
        meant = ELSEWHERE.get(name) or next(iter(get_close_matches(name, HOOKS, 1, 0.85)), None)
        if meant is not None and getattr(kind, meant) is getattr(Callback, meant):
            raise TypeError(f"[callbacks] expected methods that fit calls, got {kind.__name__}.{name}; did you mean {meant}?")


def make_folder_of(path: str) -> None:
    """Makes the folder that `path` lies in, if it is not there."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)


def as_list(callbacks: Any) -> list[Any]:
    """What was given as callbacks, one or several, whether or not they are any."""
    if callbacks is None:
        return []
    alone = isinstance(callbacks, (Callback, type, str)) or not isinstance(callbacks, Iterable)
    return [callbacks] if alone else list(callbacks)


def _callback_remedy(given: Any) -> str:
    if isinstance(given, type) and issubclass(given, Callback):
        return f"write {given.__name__}() with parentheses"
    if isinstance(given, Schedule):
        return "a schedule stands where a rate does: lm.optim.Adam(schedule)"
    if callable(given):
        return "pass LambdaCallback(on_epoch_end=function)"
    return "pass objects such as EarlyStopping(), or of a class derived from Callback"


def _take_arrays(value: Any, name: str, arrays: dict[str, Any]) -> Any:
    """`value` with each array replaced by {"array": its name}; the arrays themselves go to `arrays`."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise TypeError(
                f"[callbacks] expected arrays of numbers in a state, got one of {value.dtype}; leave it out, or convert it"
            )
        while name in arrays:  # {"a/b": array, "a": {"b": array}}
            name += "'"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(
                    f"[callbacks] expected texts as the keys of a dict in a state, got {checks.brief(key)}; use str(key)"
                )
        return {"dict": {key: _take_arrays(item, f"{name}/{key}", arrays) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return [_take_arrays(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    if value is not None and not isinstance(value, (bool, int, float, str, np.generic)):
        raise TypeError(
            f"[callbacks] expected numbers, texts, arrays, lists and dicts in a state, got {checks.brief(value)}; leave it out"
        )
    return value.item() if isinstance(value, np.generic) else value


def _put_arrays(value: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if "array" in value:
            return arrays[value["array"]]
        return {key: _put_arrays(item, arrays) for key, item in value["dict"].items()}
    return [_put_arrays(item, arrays) for item in value] if isinstance(value, list) else value
