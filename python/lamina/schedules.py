"""Learning rates that change with the step: a schedule stands where a learning rate does.

    lm.optim.Adam(lm.schedules.Cosine(1e-3, 5000))

A schedule is a function of step numbers: an array of them (0 is the first update) -> an array of rates. A step is one batch, never
an epoch: with n samples an epoch has ceil(n / batch_size) steps. The formulas are PyTorch's, in closed form. `lr` is the rate to
begin with, >= 0, unless a class says otherwise; an argument outside its bounds is a ValueError in every class.

One of your own is a function, `lm.optim.Adam(lambda t: 0.1 / (1 + t))`, or a subclass of `Schedule`. It is called with an array of
steps; where it does not work with one, as `lambda t: 0.1 if t < 3 else 0.01`, step by step, which takes longer. It should depend on
the step alone: with an array it is asked ahead of training, for a whole epoch or for hundreds of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base import calls, checks
from lamina.base import names as _names
from lamina.base.calls import explained
from lamina.base.config import Configured, from_plain, same

Array = np.ndarray[Any, Any]

AHEAD = 256  # steps that are evaluated at once: a schedule takes some 20 us whatever their number, a small network's step 3


class Schedule(Configured):
    """Base class. A subclass gives `rate(t)`: float64 step numbers -> rates. Called with a number, a schedule gives a number.

    `rate` gets an array, also for a single step; or one step after the other where it fails for arrays or gives another shape.

    Errors: ValueError for step numbers below 0, and where `rate` gives no single rate for a step, or one that is negative or not
    finite; TypeError where it gives no real numbers.

    >>> class Root(lm.schedules.Schedule):
    ...     def rate(self, t):
    ...         return 0.1 / np.sqrt(1 + t)
    >>> Root()([0, 3])
    array([0.1 , 0.05])
    """

    _takes_arrays = True  # False once it has failed for one
    _unlisted = ("ahead",)

    def __setattr__(self, name: str, value: Any) -> None:
        """Of one of ours an argument stays: optimizers have its rates for steps to come, and files what it was made with."""
        if self._is_made and _names.nearest(name, self._arguments, _names.SLIP) and not same(value, getattr(self, name, self)):
            raise AttributeError(
                f"[{self!r}] expected a schedule to stay as it was made, got {name} = {checks.brief(value)}; assign another one: "
                f"net.optimizer.lr = lm.schedules.{type(self).__name__}(...)"
            )
        object.__setattr__(self, name, value)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" in vars(cls):
            raise TypeError(f"[{cls.__name__}] expected a method rate(t), for arrays of steps, got __call__; call it rate")

    def __call__(self, steps: Any) -> Any:
        t = checks.array(repr(self), steps, "steps")
        try:
            if t.dtype.kind not in "biufO":  # of objects, those that are numbers
                raise TypeError
            t = t.astype(np.float64, copy=False)
        except (TypeError, ValueError):
            raise TypeError(f"[{self!r}] expected step numbers, got {checks.brief(steps)}; pass whole numbers from 0") from None
        if t.size and not t.min() >= 0:
            raise ValueError(f"[{self!r}] expected step numbers >= 0, got {t.min():g}; the first update is step 0")
        together = self._together(t)
        rates = self._one_by_one(t) if together is None else together
        if rates.dtype.kind not in "biuf":
            raise TypeError(f"[schedules] expected rates from {self!r}, got {checks.brief(rates)}; return an array of real numbers")
        if not _in_bounds(rates):
            first = np.flatnonzero(~((rates >= 0) & (rates < np.inf)))[0]
            raise ValueError(
                f"[schedules] expected finite rates >= 0 from {self!r}, got {rates.flat[first]:g} at step {t.flat[first]:g}; keep "
                "them within bounds, by np.maximum(rate, 0) for example"
            )
        return rates.astype(np.float64, copy=False)[()]  # of one step a number

    def ahead(self, step: int) -> Array:
        """The rates of this step and of those after it, as many as can be told at once without a fault in one that is to come."""
        t = np.arange(step, step + AHEAD, dtype=np.float64)
        rates = self._together(t)
        fine = rates is not None and rates.dtype.kind in "biuf" and _in_bounds(rates)
        return rates.astype(np.float64, copy=False) if rates is not None and fine else self(t[:1])

    def rate(self, t: Array) -> Array:
        """The rates at the steps `t` (float64, any shape)."""
        raise TypeError(f"[{type(self).__name__}] expected a method rate(t), got none; write one")

    def _together(self, t: Array) -> Array | None:
        """The rates of an array of steps by one call; None where `rate` does not take arrays."""
        if self._takes_arrays:
            # Of one element NumPy lets pass what it refuses of more, `if` and `int`; and a power may have another last bit.
            asked = np.repeat(t, 2) if t.size == 1 else t
            try:
                rates = np.asarray(self.rate(asked))
            except Exception:  # whatever a number's code does with an array; by itself, a step says what is wrong with it
                rates = None
            if rates is not None and rates.shape == asked.shape:
                return rates if asked is t else np.reshape(rates[:1], t.shape)
            self._takes_arrays = False
        return None

    def _one_by_one(self, t: Array) -> Array:
        rates: list[Array] = []
        for step in t.flat:
            rates.append(np.asarray(self.rate(np.asarray(step))))
            if rates[-1].shape != ():
                raise ValueError(
                    f"[schedules] expected a rate for each step from {self!r}, got shape {rates[-1].shape} for step {step:g}; "
                    "return as many numbers as steps come in"
                )
        together: Array = np.array(rates).reshape(t.shape)
        return together


def _in_bounds(rates: Array) -> bool:
    return not rates.size or bool(rates.min() >= 0 and rates.max() < np.inf)  # False for NaN, too


class Constant(Schedule):
    """The same rate at every step.

    >>> float(lm.schedules.Constant(0.1)(7))
    0.1
    """

    def __init__(self, lr: float) -> None:
        self.lr = _rate("Constant", lr)

    def rate(self, t: Array) -> Array:
        return np.full_like(t, self.lr)


class Step(Schedule):
    """Falls by a factor in regular steps: lr gamma^floor(t / every).

    `every`: steps between two falls, >= 1. `gamma`: the factor, > 0.

    >>> lm.schedules.Step(0.1, 10)([0, 10, 20]).round(4)
    array([0.1  , 0.01 , 0.001])
    """

    def __init__(self, lr: float, every: int, *, gamma: float = 0.1) -> None:
        self.lr = _rate("Step", lr)
        self.every = checks.integer("schedules.Step", "every", every)
        self.gamma = checks.number("schedules.Step", "gamma", gamma, 0, open_low=True)

    def rate(self, t: Array) -> Array:
        return self.lr * self.gamma ** np.floor(t / self.every)


class MultiStep(Schedule):
    """Falls by a factor at given steps: lr gamma^(number of milestones <= t).

    `milestones`: step numbers, none below the one before (else ValueError). `gamma`: the factor, > 0.

    >>> lm.schedules.MultiStep(0.1, [5, 20])([4, 5, 20]).round(4)
    array([0.1  , 0.01 , 0.001])
    """

    def __init__(self, lr: float, milestones: Sequence[int], *, gamma: float = 0.1) -> None:
        self.lr = _rate("MultiStep", lr)
        if isinstance(milestones, (str, bytes)) or not np.iterable(milestones):
            raise TypeError(
                f"[schedules.MultiStep] expected milestones to be step numbers, got {checks.brief(milestones)}; pass e.g. [1000, "
                "2000]"
            )
        self.milestones = [checks.integer("schedules.MultiStep", f"milestones[{i}]", m) for i, m in enumerate(milestones)]
        if self.milestones != sorted(self.milestones):
            raise ValueError(
                f"[schedules.MultiStep] expected increasing milestones, got {checks.brief(self.milestones)}; sort them"
            )
        self.gamma = checks.number("schedules.MultiStep", "gamma", gamma, 0, open_low=True)

    def rate(self, t: Array) -> Array:
        return np.asarray(self.lr * self.gamma ** np.searchsorted(self.milestones, t, side="right").astype(np.float64))


class Exponential(Schedule):
    """Falls by a factor, smoothly: lr gamma^(t / every).

    `gamma`: the factor over `every` steps, > 0.

    >>> lm.schedules.Exponential(0.1, 0.5)([0, 1, 2])
    array([0.1  , 0.05 , 0.025])
    """

    def __init__(self, lr: float, gamma: float, *, every: int = 1) -> None:
        self.lr = _rate("Exponential", lr)
        self.gamma = checks.number("schedules.Exponential", "gamma", gamma, 0, open_low=True)
        self.every = checks.integer("schedules.Exponential", "every", every)

    def rate(self, t: Array) -> Array:
        return np.asarray(self.lr * self.gamma ** (t / self.every))


class Polynomial(Schedule):
    """Falls from lr to the floor by a power of what remains: floor + (lr - floor) (1 - min(t, steps) / steps)^power.

    `steps`: until the floor is reached. `power`: > 0; 1 is a line. `floor`: the last rate, 0 .. lr.

    >>> lm.schedules.Polynomial(0.1, 4)([0, 1, 2, 4, 9]).round(4)
    array([0.1  , 0.075, 0.05 , 0.   , 0.   ])
    """

    def __init__(self, lr: float, steps: int, *, power: float = 1.0, floor: float = 0.0) -> None:
        self.lr = _rate("Polynomial", lr)
        self.steps = checks.integer("schedules.Polynomial", "steps", steps)
        self.power = checks.number("schedules.Polynomial", "power", power, 0, open_low=True)
        self.floor = checks.number("schedules.Polynomial", "floor", floor, 0, self.lr)

    def rate(self, t: Array) -> Array:
        return np.asarray(self.floor + (self.lr - self.floor) * (1 - np.minimum(t, self.steps) / self.steps) ** self.power)


class Cosine(Schedule):
    """Falls from lr to the floor along half a cosine: floor + (lr - floor) (1 + cos(pi u)) / 2, u from 0 to 1 over the steps.

    `steps`: all steps, the warm-up included; the rate then stays at the floor, 0 .. lr. `warmup` < steps: steps in which the rate
    first rises in a line, lr (t + 1) / (warmup + 1), so that no step is lost at rate 0. `restarts`: at the end jump back to lr and
    fall again, each cycle `growth` times as long as the one before (the first has steps - warmup). Source: Loshchilov and Hutter
    2016. Errors: ValueError for a rate, a floor, a growth or a number of steps out of bounds, TypeError for no number.

    >>> lm.schedules.Cosine(0.1, 4)([0, 2, 4, 9]).round(4)
    array([0.1 , 0.05, 0.  , 0.  ])
    >>> lm.schedules.Cosine(0.1, 5, warmup=1)([0, 1, 3, 5]).round(4)
    array([0.05, 0.1 , 0.05, 0.  ])
    >>> lm.schedules.Cosine(0.1, 4, restarts=True)([0, 2, 4, 6]).round(4)
    array([0.1 , 0.05, 0.1 , 0.05])
    """

    def __init__(
        self, lr: float, steps: int, *, warmup: int = 0, floor: float = 0.0, restarts: bool = False, growth: float = 1.0
    ) -> None:
        self.lr = _rate("Cosine", lr)
        self.steps = checks.integer("schedules.Cosine", "steps", steps)
        self.warmup = checks.integer("schedules.Cosine", "warmup", warmup, 0)
        if self.warmup >= self.steps:
            raise ValueError(
                f"[schedules.Cosine] expected warmup < steps = {self.steps}, got {self.warmup}; "
                "`steps` counts the warm-up: pass more"
            )
        self.floor = checks.number("schedules.Cosine", "floor", floor, 0, self.lr)
        self.restarts = checks.flag("schedules.Cosine", "restarts", restarts)
        self.growth = checks.number("schedules.Cosine", "growth", growth, 1)

    def rate(self, t: Array) -> Array:
        first = self.steps - self.warmup
        since = np.maximum(t - self.warmup, 0)
        u = self._cycle_position(since / first) if self.restarts else np.minimum(since / first, 1)
        fall = self.floor + (self.lr - self.floor) * (1 + np.cos(np.pi * u)) / 2
        return np.where(t < self.warmup, self.lr * (t + 1) / (self.warmup + 1), fall)

    def _cycle_position(self, cycles: Array) -> Array:
        """Where in its cycle each step is, in [0, 1); `cycles` is counted in lengths of the first one."""
        g = self.growth
        if g == 1:
            return np.asarray(cycles % 1)
        # The first n cycles last (g^n - 1) / (g - 1); the small term keeps a cycle's first step from rounding into the one before.
        n = np.floor(np.log(cycles * (g - 1) + 1) / np.log(g) + 1e-9)
        return np.asarray(np.maximum(cycles - (g**n - 1) / (g - 1), 0) / g**n)


class OneCycle(Schedule):
    """Rises from lr / div to lr and falls far below the start, all in one cycle. Source: Smith and Topin 2017.

    `lr`: the highest rate. `steps`: the length of the cycle; the rate then stays at its end, lr / div / final_div. `rise`: the
    share of the steps that rises, in (0, 1). `div`, `final_div` >= 1. `shape`: "cos" or "linear". The momentum stays as it is
    (PyTorch's moves it against the rate, unless cycle_momentum=False).

    >>> lm.schedules.OneCycle(0.1, 11)([0, 2, 10]).round(6)
    array([0.004   , 0.096026, 0.      ])
    """

    def __init__(
        self, lr: float, steps: int, *, rise: float = 0.3, div: float = 25.0, final_div: float = 1e4, shape: str = "cos"
    ) -> None:
        where = "schedules.OneCycle"
        self.lr = _rate("OneCycle", lr)
        self.steps = checks.integer(where, "steps", steps, 2)
        self.rise = checks.number(where, "rise", rise, 0, 1, open_low=True, open_high=True)
        self.div = checks.number(where, "div", div, 1)
        self.final_div = checks.number(where, "final_div", final_div, 1)
        self.shape = checks.choice(where, "shape", shape, ("cos", "linear"))

    def rate(self, t: Array) -> Array:
        peak, last = self.rise * self.steps - 1, self.steps - 1
        start, end = self.lr / self.div, self.lr / self.div / self.final_div
        if peak <= 0:  # too few steps to rise in
            return self._between(self.lr, end, np.minimum(t / last, 1))
        up = self._between(start, self.lr, t / peak)
        down = self._between(self.lr, end, np.minimum((t - peak) / (last - peak), 1))
        return np.where(t <= peak, up, down)

    def _between(self, a: float, b: float, u: Array) -> Array:
        share = u if self.shape == "linear" else (1 - np.cos(np.pi * u)) / 2
        return np.asarray(a + (b - a) * share)


class Warmup(Schedule):
    """Rises in a line to a rate or a schedule: factor(t) lr(t), factor = start + (1 - start) min(t, steps) / steps.

    `lr`: a number, or the schedule to warm up (it counts its steps from 0, too). `steps`: until the factor is 1. `start`: the first
    factor, 0 .. 1.

    >>> lm.schedules.Warmup(0.1, 4, start=0.2)([0, 2, 4, 9]).round(4)
    array([0.02, 0.06, 0.1 , 0.1 ])
    """

    def __init__(self, lr: float | Schedule, steps: int, *, start: float = 1 / 3) -> None:
        self.lr = get(lr)
        self.steps = checks.integer("schedules.Warmup", "steps", steps)
        self.start = checks.number("schedules.Warmup", "start", start, 0, 1)

    def rate(self, t: Array) -> Array:
        return np.asarray(self.lr(t) * (self.start + (1 - self.start) * np.minimum(t, self.steps) / self.steps))


class Function(Schedule):
    """A rate of one's own: `function(steps)`, float64 step numbers -> rates of the same shape; or one step -> its rate.

    A function that fails for an array of steps, or gives another shape, is called step by step.

    >>> Function(lambda t: 0.1 / (1 + t))([0, 1])
    array([0.1 , 0.05])
    >>> Function(lambda t: 0.1 if t < 3 else 0.01)([2, 3])
    array([0.1 , 0.01])
    """

    def __init__(self, function: Callable[[Array], Any]) -> None:
        if not callable(function) or isinstance(function, type):
            raise TypeError(
                f"[schedules] expected a function of step numbers, got {checks.brief(function)}; pass e.g. lambda t: 0.1 / (1 + t)"
            )
        if signature := calls.refusing(function, 0):
            raise TypeError(
                f"[schedules] expected a function of step numbers, got {calls.called(function)}{signature}; "
                "pass e.g. lambda t: 0.1 / (1 + t)"
            )
        self.function = function

    def rate(self, t: Array) -> Array:
        return np.asarray(self.function(t))


CLASSES: dict[str, type[Schedule]] = {
    c.__name__: c for c in (Constant, Step, MultiStep, Exponential, Polynomial, Cosine, OneCycle, Warmup)
}


def names() -> list[str]:
    """The names of all schedules, which are those of their classes.

    >>> "Cosine" in lm.schedules.names()
    True
    """
    return list(CLASSES)


@explained
def get(lr: float | Schedule | Callable[[Array], Any] | dict[str, Any]) -> Schedule:
    """The schedule behind a number, a function of step numbers, a `plain` dict; a schedule stays as it is.

    Errors: ValueError for a negative rate, TypeError for a name or a class of a schedule, which needs its numbers.

    >>> lm.schedules.get(0.1)
    Constant(0.1)
    """
    if isinstance(lr, Schedule):
        return lr
    if isinstance(lr, dict):
        return from_plain("schedules", lr, CLASSES)
    if isinstance(lr, str):
        name = _names.canonical(lr, CLASSES)
        if name not in CLASSES:
            raise _names.unknown("schedules", lr, CLASSES)
        raise TypeError(f"[schedules] expected a rate or a schedule, got the name {lr!r}; pass lm.schedules.{name}(...)")
    if isinstance(lr, type) and issubclass(lr, Schedule):
        raise TypeError(
            f"[schedules] expected a rate or a schedule, got the class {lr.__name__}; pass lm.schedules.{lr.__name__}(...)"
        )
    if _has_parameters(lr):
        raise TypeError(
            f"[schedules] expected a rate or a schedule, got {type(lr).__name__}; an optimizer gets its parameters from the "
            "network that is compiled with it: net.compile(loss, lm.optim.Adam(1e-3))"
        )
    if callable(lr):
        return Function(lr)
    return Constant(lr)


def _has_parameters(value: Any) -> bool:
    """Whether it is a network, a layer, or what a network has as its parameters."""
    return any(map(calls.is_ours, type(value).__mro__)) and (hasattr(type(value), "parameters") or hasattr(type(value), "tensor"))


def _rate(name: str, lr: Any) -> float:
    return checks.number(f"schedules.{name}", "lr", lr, 0)


if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, CLASSES, ["Schedule", "get", "names"])
