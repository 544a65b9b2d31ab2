"""predict, train_step, gradients, evaluate: what `Model` hands on when it cannot be quick."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base import checks
from lamina.graph.parameter import Parameter
from lamina.inputs import data
from lamina.inputs.arrays import room
from lamina.inputs.data import Batches, Data
from lamina.losses import averages
from lamina.models import feed, quick
from lamina.models.chunks import drawn_for, goes_by_rows, parts, rows_at_once, rows_of_losses
from lamina.models.figures import amounts, figures
from lamina.models.objective import OutputMetric, named_metrics
from lamina.models.programs import Target, Task
from lamina.models.totals import Totals

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]


def predict(model: Model, x: Any, batch_size: int | None = None) -> Any:
    """See `Model.predict`."""
    if batch_size is not None:
        checks.integer("predict", "batch_size", batch_size)
    model.ensure_built(x)
    arrays = feed.inputs(model, x)
    run = model.programs.predict().run
    n = len(arrays[0])
    rows = rows_at_once(model, n) if batch_size is None else batch_size
    results = _in_chunks(model, run, arrays, n, rows) if n > rows and goes_by_rows(model) else run(arrays)
    return results[0] if len(results) == 1 else list(results)


def _in_chunks(model: Model, run: Any, arrays: list[Array], n: int, rows: int) -> list[Array]:
    out: list[Array] = []
    for start in range(0, n, rows):
        with drawn_for(start // rows, model):
            part = run([a[start : start + rows] for a in arrays])
        if not out:
            out = [room(n, a.shape[1:], a.dtype, "predict") for a in part]
        for whole, piece in zip(out, part, strict=True):
            whole[start : start + len(piece)] = piece
    return out


def state_of(model: Model) -> list[Parameter]:
    """All that a training step may change: parameters, streams of random numbers, the optimizer's state."""
    slots = {} if model.optimizer is None else model.optimizer.state
    return [*model.wiring.parameters.values(), *model.wiring.random.values(), *slots.values()]


def train_step(model: Model, x: Any, y: Any, sample_weight: Any = None) -> float:
    """See `Model.train_step`."""
    found = quick.call(model, "step", x, y, sample_weight)
    if found is not None:
        return float(found.results[0])
    batch, targets = checked(model, x, y, sample_weight)
    loss, task = float(step(model, batch, targets)[0]), Task(targets, sample_weight is not None)
    if list in (type(x), type(y)):
        quick.keep(model, "step", (x, y, sample_weight), batch, task)
    quick.keep_step(model, y, task)
    return loss


def checked(model: Model, x: Any, y: Any, sample_weight: Any) -> tuple[Data, tuple[Target, ...]]:
    """Checked data of one call, and the model built for them."""
    _ = model.objective  # without one there is nothing to check against
    return _built(model, x, feed.samples(model, x, y, sample_weight))


def _built(model: Model, x: Any, given: Data) -> tuple[Data, tuple[Target, ...]]:
    with model.unless_refused(loss_too=False):
        model.ensure_built(x)
        return feed.with_targets(model, given)


def step(
    model: Model, batch: Data, targets: tuple[Target, ...], *, collect: bool = False, apart: bool = False, guarded: bool = False
) -> list[Array]:
    """One update from checked data: [loss, with `apart` each output's, and with `collect` the outputs before the update].

    `guarded`: a loss that is not finite ends the step before its update; all else then means nothing.
    """
    program = model.programs.train(Task(targets, batch.weight is not None, collect, apart))
    model.objective.optimizer.set_rate()
    return list(program.run(batch.arrays, guarded))


def gradients(model: Model, x: Any, y: Any, sample_weight: Any = None) -> dict[str, Array]:
    """See `Model.gradients`."""
    found = quick.call(model, "gradients", x, y, sample_weight)
    if found is not None:
        return dict(found.results)
    batch, targets = checked(model, x, y, sample_weight)
    task = Task(targets, batch.weight is not None)
    slopes: dict[str, Array] = quick.by_name(model, model.programs.gradients(task).run)(batch.arrays)
    quick.keep(model, "gradients", (x, y, sample_weight), batch, task)
    return slopes


def evaluate(model: Model, x: Any, y: Any, *, metrics: Any, sample_weight: Any, batch_size: int | None) -> dict[str, Any]:
    """See `Model.evaluate`."""
    if batch_size is not None:
        checks.integer("evaluate", "batch_size", batch_size)
    chosen = named_metrics(metrics, model.output_names, model.objective.metrics if model.compiled else None)
    if not model.compiled and not chosen:
        raise ValueError(
            "[evaluate] expected a compiled model or metrics, got neither; call compile(loss, optimizer) or pass metrics"
        )
    if y is None and data.may_be_batches(x):
        if sample_weight is not None or batch_size is not None:
            raise ValueError(
                "[evaluate] expected batches without sample_weight and batch_size, got one; put weights into them: (x, y, w)"
            )
        return evaluate_batches(feed.batches(model, x), Totals(model, chosen, apart=True))
    collect = bool(chosen)
    if model.compiled and batch_size is None and (taken := quick.call(model, "evaluate", x, y, sample_weight, collect=collect)):
        given, results = taken
        losses = zip(model.objective.loss_weights, map(float, results), strict=False)
        return {"loss": sum(a * loss for a, loss in losses), **figures(model, chosen, results[len(model.outputs) :], given)}
    given = feed.samples(model, x, y, sample_weight)
    if not model.compiled:
        model.ensure_built(x)
        predictions = predict(model, x, batch_size)
        return figures(model, chosen, predictions if isinstance(predictions, list) else [predictions], given)
    batch, targets = _built(model, x, given)
    found = evaluate_checked(model, batch, targets, chosen, batch_size)
    quick.keep(model, "evaluate", (x, y, sample_weight), batch, Task(targets, batch.weight is not None, collect))
    return found


def evaluate_checked(
    model: Model, given: Data, targets: tuple[Target, ...], metrics: dict[str, OutputMetric], rows: int | None = None
) -> dict[str, Any]:
    """The loss, a mean over all that counts in all rows (weighted by their weights), and the metrics."""
    task = Task(targets, given.weight is not None, collect=bool(metrics))
    program = model.programs.evaluate(task)
    outputs = len(model.outputs)
    losses: list[list[float]] = []
    shares: list[list[float]] = []
    predictions: list[list[Array]] = []
    rows = rows_of_losses(model, len(given), targets) if rows is None else rows
    counted = amounts(model, given)
    for i, at in enumerate(parts(model, len(given), rows)):
        part = given.rows(at)
        with drawn_for(i, model, task):
            results = program.run(part.arrays)
        losses.append([float(loss) for loss in results[:outputs]])
        shares.append([averages.count(len(part), None if each is None else each[at]) for each in counted])
        predictions.append(results[outputs:])
    whole = [np.concatenate(pieces) if len(pieces) > 1 else pieces[0] for pieces in zip(*predictions, strict=True)]
    loss = averages.over_parts(np.array(losses), np.array(shares), model.objective.loss_weights)
    return {"loss": loss, **figures(model, metrics, whole, given)}


def evaluate_batches(
    batches: Batches, totals: Totals, checked: Callable[[Model, Data], tuple[Data, tuple[Target, ...]]] = feed.with_targets
) -> dict[str, Any]:
    """The loss and the metrics over all rows of an iterable of batches, each of which goes through the network as a whole; of a
    network without a loss the metrics alone. `checked`: what looks at the targets.
    """
    model = totals.model
    terms = len(model.output_names) if model.compiled else 0
    collect = bool(totals.metrics)
    for i, given_as in enumerate(feed.each(model, batches)):
        taken = quick.call(model, "evaluate", *given_as, collect=collect, part=i) if terms else None
        if taken is not None:
            batch, results = taken
            totals.meet(batch, alike=True)
        else:
            given = feed.checked(model, batches, given_as)
            with data.within(f"{batches.each} {i}"):
                feed.check_that_targets_are_there(given)
                batch, targets = checked(model, given) if terms else (given, ())
            totals.meet(batch)
            task = Task(targets, batch.weight is not None, collect) if terms else None
            program = model.programs.evaluate(task) if task else model.programs.predict()
            with drawn_for(i, model, task):
                results = program.run(batch.arrays if terms else list(batch.x))
            if task:
                quick.keep(model, "evaluate", given_as, batch, task)
        totals.add(0.0, results[:terms], results[terms:])
    return {**({"loss": totals.mean()} if terms else {}), **totals.figures()}
