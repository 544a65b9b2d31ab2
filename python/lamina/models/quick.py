"""The quick way: arrays like those of an earlier call go to its program as they are, and the core looks at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina.base import calls
from lamina.base.turns import building
from lamina.graph.tensor import FLOATS
from lamina.inputs.data import Data, Parts
from lamina.losses.base import FunctionLoss, Loss
from lamina.models import chunks, feed
from lamina.models.figures import amounts
from lamina.models.programs import Target, Task
from lamina.optim import Optimizer

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]


def predictor(model: Model) -> Callable[[Any], Any] | None:
    """The quick way to predict, of arrays that need no look: f(x), which gives None, and does nothing, where they are not such."""
    if any(t.dtype not in FLOATS for t in model.inputs):
        return None
    return model.programs.predict().predictor(chunks.CHUNK)


@dataclass(slots=True, eq=False)
class Quick:
    """The quick way of arrays like those of a call before to the program of its task."""

    run: Callable[..., Any]  # (x, y, weight[, rates, first]); None, and nothing was done, where they are not alike
    task: Task
    asked: list[int]  # outputs whose losses look at the numbers of a target themselves

    def __call__(self, x: Any, y: Any, weight: Any) -> Any:
        """What the program gives, or None."""
        return self.run(x, y, weight)


@dataclass(slots=True, eq=False)
class QuickStep(Quick):
    """That of a training program."""

    optimizer: Optimizer

    def __call__(self, x: Any, y: Any, weight: Any) -> Any:
        return self.run(x, y, weight) if self.optimizer.has_constant_rate else self.scheduled(x, y, weight)

    def scheduled(self, x: Any, y: Any, weight: Any) -> Any:
        """`run` at the rate that the schedule has for this step."""
        found = self.run(x, y, weight, *self.optimizer.ahead)
        if found is None and self.optimizer.look_ahead():
            return self.run(x, y, weight, *self.optimizer.ahead)
        return found


def train_step(model: Model, x: Any, y: Any, weight: Any) -> float | None:
    """A step of arrays by name, or where layers are frozen, or weights given, in turns; None where it has no quick way."""
    step, weighted = model._quick_step, weight is not None
    if (step is None or step.task.weighted is not weighted) and model.built and model.compiled:
        with building:  # in which no other thread freezes a layer
            step = model._quick_step = model.programs.trained.steps.get(weighted)
    if step is None:
        return None
    loss: float | None = step(feed.in_order(x, model.named_inputs), feed.in_order(y, model.named_outputs), weight)
    return loss


def keep_step(model: Model, y: Any, task: Task) -> None:
    """Keeps the quick way of `train_step` for batches with targets like `y`, whose numbers need no look, if there is one."""
    with building:  # in which no other thread freezes a layer
        if not model.programs.is_planned(task):
            return
        model._quick_step = None
        kinds = _kinds(model, feed.in_order(y, model.named_outputs), task.targets)
        if kinds is not None:
            optimizer = model.objective.optimizer
            rate, clock = (optimizer.state[name].variable for name in ("lr", "clock"))
            step = QuickStep(model.programs.train(task).trainer(kinds, task.weighted, rate, clock), task, [], optimizer)
            model._quick_step = model.programs.trained.steps[task.weighted] = step


Kinds = list[tuple[np.dtype[Any], int, int | None]]


def _kinds(model: Model, y: Any, targets: tuple[Target, ...]) -> Kinds | None:
    """Of targets that go to the core as they are: type, axes, and, where they are class numbers, how many classes there are."""
    given = [y] if len(targets) == 1 else y if type(y) in (list, tuple) else []
    kinds: Kinds = []
    for array, target, loss, output in zip(given, targets, model.objective.losses, model.outputs, strict=False):
        if type(array) is not np.ndarray or array.ndim != len(target.shape) + 1 and (array.ndim, target.shape) != (1, (1,)):
            return None
        if not calls.is_ours(type(loss).check_target):  # which may give the core other numbers
            return None
        classes = None  # the target holds class numbers below this one: the core would take a wrong one for "no class"
        if target.dtype == "int64":
            if array.dtype.kind == "f":
                return None
            units = output.shape[-1]
            classes = units if isinstance(units, int) and not isinstance(loss, FunctionLoss) else None
        elif array.dtype.kind != "f":
            if not loss.yes_no and type(loss).check_values is not Loss.check_values:
                return None
            classes = 2 if loss.yes_no else None
        kinds.append((array.dtype, len(target.shape) + 1, classes))
    return kinds if len(kinds) == len(targets) else None


class QuickCall(NamedTuple):
    """A batch that went the quick way, and what its program gave."""

    batch: Data
    results: Any


def call(model: Model, kind: str, x: Any, y: Any, weight: Any, *, collect: bool = False, part: int = 0) -> QuickCall | None:
    """What the program gives; None, and nothing was done, where arrays like these have no quick way.

    kind: "train", of fit, "step", "evaluate" or "gradients"; part: see `chunks.drawn_for`.
    """
    if not (model.built and model.compiled):
        return None
    quick = model.programs.of(kind).ways.get((kind, weight is not None, collect))
    if quick is None:
        return None
    try:
        batch = feed.unchecked(model, x, y, weight, columns=collect or bool(quick.asked))
        given = _alone(batch.x), _alone(batch.y), batch.weight
        for k in quick.asked:
            model.objective.losses[k].check_values(batch.y[k], tuple(model.outputs[k].shape))
    except Exception:  # the checks meet it as well
        return None
    if part:
        with chunks.drawn_for(part, model, quick.task):
            results = quick(*given)
    else:
        results = quick(*given)
    return None if results is None else QuickCall(batch, results)


def keep(model: Model, kind: str, parts: Parts, batch: Data, task: Task) -> None:
    """Keeps the quick way of a batch that was given as these parts and has been through that program, if it went there as it is.

    The core looks at the numbers as well, and takes none that the checks refuse.
    """
    given = feed.unchecked(model, *parts)
    if not _went_as_given(model, given, batch):
        return
    kinds = _kinds(model, _alone(given.y), task.targets)
    if kinds is None or any(amount is not batch.weight for amount in amounts(model, batch)):
        return
    asked = _asked(model, kinds)
    if asked is None:
        return
    optimizer = model.objective.optimizer
    updates = kind in ("train", "step")
    rate, clock = (optimizer.state[name].variable if updates else None for name in ("lr", "clock"))
    inputs: Kinds = [(a.dtype, a.ndim, None) for a in batch.x]
    with building:  # in which no other thread freezes a layer
        program: core.Program = getattr(model.programs, "train" if updates else kind)(task)
        rows = chunks.CHUNK if kind == "evaluate" else 1 << 62
        run = program.trainer(kinds, task.weighted, rate, clock, inputs, rows, guarded=kind == "train")
        run = by_name(model, run) if kind == "gradients" else run
        quick = QuickStep(run, task, asked, optimizer) if updates else Quick(run, task, asked)
        model.programs.of(kind).ways[kind, task.weighted, task.collect] = quick


def _went_as_given(model: Model, given: Data, went: Data) -> bool:
    """Whether the arrays of a batch went to the program as they were given, and the core can check them."""
    arrays = [(type(a), getattr(a, "dtype", None)) for a in given.arrays]
    if arrays != [(np.ndarray, a.dtype) for a in went.arrays]:
        return False
    whole = ((t, a) for t, a in zip(model.inputs, went.x, strict=True) if t.dtype not in FLOATS)
    return all(a.dtype.kind in ("b" if t.dtype == "bool" else "iub") for t, a in whole)


def _asked(model: Model, kinds: Kinds) -> list[int] | None:
    """The outputs whose losses look at numbers that the core does not know; None where one may not count samples alike."""
    asked = []
    for k, (loss, (_, _, classes)) in enumerate(zip(model.objective.losses, kinds, strict=True)):
        if type(loss).amounts is not Loss.amounts:
            return None
        if type(loss).check_values is not Loss.check_values and (classes is None or not calls.is_ours(type(loss))):
            asked.append(k)
    return asked


def _alone(arrays: tuple[Any, ...]) -> Any:
    """The only one of them, or all."""
    return arrays[0] if len(arrays) == 1 else arrays


def by_name(model: Model, run: Callable[..., Any]) -> Callable[..., Any]:
    """A program of gradients that gives them by name, and puts back what it moves: running statistics, random counters."""
    parameters = model.wiring.parameters
    moved = [*(p for p in parameters.values() if not p.trainable), *model.wiring.random.values()]
    state, names = [p.variable for p in moved], [name for name, p in parameters.items() if p.trainable]

    def named(*given: Any) -> dict[str, Array] | None:
        with core.Section(state):
            before = core.read(state)
            try:
                results = run(*given)
            finally:
                core.write(state, before)
        return None if results is None else dict(zip(names, results, strict=True))

    return named
