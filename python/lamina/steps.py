"""predict, train_step, gradients, evaluate: what `Model` hands on when it cannot be quick."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina import checks, data, feed
from lamina.arrays import room
from lamina.data import Data
from lamina.losses.base import FunctionLoss, Loss
from lamina.metrics import Metric, built_in, of_elements
from lamina.names import refusing
from lamina.objective import OutputMetric, named_metrics
from lamina.optim import Optimizer
from lamina.programs import Target, Task
from lamina.samplewise import is_mean, is_samplewise, resolved
from lamina.tensor import Tensor, shown

if TYPE_CHECKING:
    from lamina.model import Model

Array = np.ndarray[Any, Any]

CHUNK = 4096  # rows at once when nobody says: activations of a few MB at usual widths


def rows_at_once(model: Model, n: int) -> int:
    """How many of n rows go through the network together where nobody says: all, where they meet in it."""
    return CHUNK if n <= CHUNK or is_samplewise(resolved(model.outputs)) else n


def _rows_of_losses(model: Model, n: int, targets: tuple[Target, ...]) -> int:
    """The same for network and losses: a loss of one's own may be no mean over samples."""
    rows = rows_at_once(model, n)
    if n <= rows:
        return rows
    graph, losses = model.programs.loss(Task(targets)), model.objective.losses
    means = all(
        is_samplewise(resolved([loss.kept_elements(output, target)[0]])) if loss.by_elements else is_mean(term)
        for loss, term, output, target in zip(losses, graph.terms, model.outputs, graph.targets, strict=True)
    )
    return rows if means else n


def parts(model: Model, n: int, rows: int | None = None) -> Iterator[slice]:
    """The rows that go through the network together, one part after the other."""
    rows = rows_at_once(model, n) if rows is None else rows
    return (slice(start, start + rows) for start in range(0, n, rows))


def predict(model: Model, x: Any, batch_size: int | None = None) -> Any:
    """See `Model.predict`."""
    if batch_size is not None:
        checks.integer("predict", "batch_size", batch_size)
    model.ensure_built(x)
    arrays = feed.inputs(model, x)
    run = model.programs.predict().run
    n = len(arrays[0])
    rows = rows_at_once(model, n) if batch_size is None else batch_size
    batch = model.inputs[0].shape[:1]
    by_rows = not isinstance(batch[0], int) and all(t.shape[:1] == batch for t in (*model.inputs, *model.outputs))
    results = _in_chunks(run, arrays, n, rows) if n > rows and by_rows else run(arrays)
    return results[0] if len(results) == 1 else list(results)


def _in_chunks(run: Any, arrays: list[Array], n: int, rows: int) -> list[Array]:
    out: list[Array] = []
    for start in range(0, n, rows):
        part = run([a[start : start + rows] for a in arrays])
        if not out:
            out = [room(n, a.shape[1:], a.dtype, "predict") for a in part]
        for whole, piece in zip(out, part, strict=True):
            whole[start : start + len(piece)] = piece
    return out


class FastStep(NamedTuple):
    """A training program that arrays like those of the last step can go to without another look; the core checks their shapes."""

    run: Callable[..., float | None]  # (x, y[, rates, first]); None, and nothing was done, where arrays or step are not alike
    optimizer: Optimizer

    def scheduled(self, x: Any, y: Any) -> float | None:
        """`run` at the rate that the schedule has for this step."""
        loss = self.run(x, y, *self.optimizer.ahead)
        if loss is None and self.optimizer.look_ahead():
            return self.run(x, y, *self.optimizer.ahead)
        return loss


def train_step(model: Model, x: Any, y: Any, sample_weight: Any = None) -> tuple[float, FastStep | None]:
    """See `Model.train_step`; and the way in for further batches like this one."""
    batch, targets = checked(model, x, y, sample_weight)
    loss = float(step(model, batch, targets)[0])
    return loss, fast_step(model, y, targets) if sample_weight is None else None


def fast_step(model: Model, y: Any, targets: tuple[Target, ...]) -> FastStep | None:
    """The quick way for batches with a target like `y`: where one array goes to one input as it is."""
    objective = model.objective
    one_to_one = len(model.inputs) == len(targets) == 1 and type(y) is np.ndarray and y.ndim == len(targets[0].shape) + 1
    if not one_to_one:
        return None
    classes = None  # the target holds class numbers below this one: the core would take a wrong one for "no class"
    if targets[0].dtype == "int64":
        if y.dtype != np.int64 or getattr(objective.losses[0], "ignore_index", None) is not None:
            return None
        units = model.outputs[0].shape[-1]
        classes = units if isinstance(units, int) and not isinstance(objective.losses[0], FunctionLoss) else None
    elif y.dtype.kind != "f":
        return None
    state = objective.optimizer.state
    program = model.programs.train(Task(targets))
    run = program.trainer(y.dtype, y.ndim, classes, state["lr"].variable, state["clock"].variable)
    return FastStep(run, objective.optimizer)


def checked(model: Model, x: Any, y: Any, sample_weight: Any) -> tuple[Data, tuple[Target, ...]]:
    """Checked data of one call, and the model built for them."""
    _ = model.objective  # without one there is nothing to check against
    given = feed.samples(model, x, y, sample_weight)
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
    return list(program.run(feed_list(batch), guarded))


def feed_list(batch: Data) -> list[Array]:
    """The arrays in the order in which a program takes them."""
    return [*batch.x, *batch.y, *(() if batch.weight is None else (batch.weight,))]


def gradients(model: Model, x: Any, y: Any, sample_weight: Any = None) -> dict[str, Array]:
    """See `Model.gradients`."""
    batch, targets = checked(model, x, y, sample_weight)
    program = model.programs.gradients(Task(targets, batch.weight is not None))
    moved = [*(p for p in model.wiring.parameters.values() if not p.trainable), *model.wiring.random.values()]
    state = [p.variable for p in moved]  # a training graph moves running statistics and random counters
    with core.Section(state):
        before = core.read(state)
        try:
            results = program.run(feed_list(batch))
        finally:
            core.write(state, before)
    return dict(zip((name for name, p in model.wiring.parameters.items() if p.trainable), results, strict=True))


def evaluate(model: Model, x: Any, y: Any, *, metrics: Any, sample_weight: Any, batch_size: int | None) -> dict[str, Any]:
    """See `Model.evaluate`."""
    if batch_size is not None:
        checks.integer("evaluate", "batch_size", batch_size)
    chosen = named_metrics(metrics, model.output_names, model.objective.metrics if model.compiled else None)
    given = feed.samples(model, x, y, sample_weight)
    model.ensure_built(x)
    if not model.compiled:
        if not chosen:
            raise ValueError(
                "[evaluate] expected a compiled model or metrics, got neither; call compile(loss, optimizer) or pass metrics"
            )
        predictions = predict(model, x, batch_size)
        return figures(model, chosen, predictions if isinstance(predictions, list) else [predictions], given)
    batch, targets = feed.with_targets(model, given)
    return evaluate_checked(model, batch, targets, chosen, batch_size)


def evaluate_checked(
    model: Model, given: Data, targets: tuple[Target, ...], metrics: dict[str, OutputMetric], rows: int | None = None
) -> dict[str, Any]:
    """The loss, a mean over all that counts in all rows (weighted by their weights), and the metrics."""
    program = model.programs.evaluate(Task(targets, given.weight is not None, collect=bool(metrics)))
    outputs = len(model.outputs)
    losses: list[list[float]] = []
    shares: list[list[float]] = []
    predictions: list[list[Array]] = []
    rows = _rows_of_losses(model, len(given), targets) if rows is None else rows
    for part in map(given.rows, parts(model, len(given), rows)):
        results = program.run(feed_list(part))
        losses.append([float(loss) for loss in results[:outputs]])
        shares.append([float(len(part)) if counts is None else float(counts.sum()) for counts in amounts(model, part)])
        predictions.append(results[outputs:])
    whole = [np.concatenate(pieces) if len(pieces) > 1 else pieces[0] for pieces in zip(*predictions, strict=True)]
    loss = mean_loss(np.array(losses), np.array(shares), model.objective.loss_weights)
    return {"loss": loss, **figures(model, metrics, whole, given)}


def mean_loss(losses: Array, shares: Array, weights: Sequence[float]) -> float:
    """The weighted sum of the outputs' losses, each the mean over what counts in it.

    losses, shares: (parts, outputs); where a share is 0 nothing counts, and the loss there means nothing.
    """
    if len(losses) == 1:  # as in every epoch on few samples, which is short
        each = [loss if share > 0 else float("nan") for loss, share in zip(losses[0].tolist(), shares[0].tolist(), strict=True)]
    else:
        totals = shares.sum(axis=0)
        sums = np.where(shares > 0, losses * shares, 0.0).sum(axis=0)
        each = [float(s / total) if total > 0 else float("nan") for s, total in zip(sums, totals, strict=True)]
    return sum(weight * mean for weight, mean in zip(weights, each, strict=True))


def amounts(model: Model, given: Data) -> list[Array | None]:
    """How much each sample counts in the mean that is an output's loss, for each output: its weight, times how many of its elements
    count; None where all samples count alike.
    """
    found: list[Array | None] = []
    for loss, output, y in zip(model.objective.losses, model.outputs, given.y, strict=True):
        counts = loss.counts(y, tuple(output.shape))
        found.append(given.weight if counts is None else counts if given.weight is None else given.weight * counts)
    return found


def figures(model: Model, metrics: dict[str, OutputMetric], predictions: list[Array], given: Data) -> dict[str, Any]:
    """Every metric of its output, by name, over the samples that the output's loss does not leave out."""
    losses = model.objective.losses if model.compiled else [None] * len(predictions)
    named: dict[str, Any] = {}
    for name, (metric, k) in metrics.items():
        y, prediction, weight = _counted(losses[k], metric, given.y[k], predictions[k], given.weight)
        if not len(y) or (weight is not None and not weight.any()):
            named[name] = float("nan")  # nothing counts, as in the loss
            continue
        if weight is not None:
            check_takes_weights(name, metric)
        options = _by_half(metric, model.outputs[k]) | ({} if weight is None else {"sample_weight": weight})
        with data.within(name) if len(predictions) > 1 and built_in(metric) else nullcontext():
            named[name] = _figure(name, metric, y, prediction, options)
        if not isinstance(named[name], (float, int)) and np.asarray(named[name]).dtype.kind not in "biuf":
            raise TypeError(f"[metrics] expected a number or an array from {name!r}, got {named[name]!r}; return one")
    return named


def _figure(name: str, metric: Metric, y: Array, prediction: Array, options: dict[str, Any]) -> Any:
    try:
        return metric(y, prediction, **options)
    except Exception as error:
        if not built_in(metric) and hasattr(error, "add_note"):  # from Python 3.11 on; the exception stays the user's own
            error.add_note(
                f"[metrics] {name!r} was called with y_true {shown(y.shape)} and y_pred {shown(prediction.shape)}, NumPy arrays, "
                "in this order"
            )
        raise


def _by_half(metric: Metric, output: Tensor) -> dict[str, Any]:
    """The threshold 1/2 for a metric that has one, where the network gives probabilities of class 1 and nobody chose another."""
    node = output.node
    while node.op in ("reshape", "clip", "slice", "contiguous"):  # which leave a probability what it is
        node = node.inputs[0]
    if node.op not in ("sigmoid", "hard_sigmoid") or not built_in(metric):
        return {}
    function, chosen = (metric.func, metric.keywords) if isinstance(metric, partial) else (metric, {})
    return {"threshold": 0.5} if "threshold" in inspect.signature(function).parameters.keys() - chosen.keys() else {}


def check_takes_weights(name: str, metric: Metric) -> None:
    """TypeError for a metric that cannot be called with weights."""
    if signature := refusing(metric, 0, 0, sample_weight=0):
        raise TypeError(
            f"[metrics] expected a function (y_true, y_pred, sample_weight=None) as {name!r}, as the samples have weights, got "
            f"{signature}; give it the parameter sample_weight, or leave the weights out"
        )


def _counted(
    loss: Loss | None, metric: Metric, y: Array, prediction: Array, weight: Array | None
) -> tuple[Array, Array, Array | None]:
    """Targets, predictions and weights without what the loss leaves out: the samples of a class, targets that are NaN."""
    if getattr(loss, "mask_nan", False) and y.dtype.kind == "f":
        return _without_nan(metric, y, prediction, weight)
    ignored = getattr(loss, "ignore_index", None)
    if loss is None or ignored is None or not loss.is_classes(prediction.shape, y.shape):
        return y, prediction, weight
    keep = y != ignored
    if weight is not None:
        weight = np.broadcast_to(weight.reshape(-1, *(1 for _ in y.shape[1:])), y.shape)[keep]
    return y[keep], prediction[keep], weight


def _without_nan(metric: Metric, y: Array, prediction: Array, weight: Array | None) -> tuple[Array, Array, Array | None]:
    """Without the samples that have no target; of those that have some, the others weigh 0 where the metric has such weights."""
    there = ~np.isnan(y)
    if there.all():
        return y, prediction, weight
    some = there.reshape(len(y), -1).any(axis=1)
    y, prediction, weight, there = y[some], prediction[some], None if weight is None else weight[some], there[some]
    if there.all() or not of_elements(metric) or y.shape != prediction.shape:
        return y, prediction, weight
    each = there * (1.0 if weight is None else weight.reshape(-1, *(1 for _ in y.shape[1:])))
    return np.where(there, y, 0), np.where(there, prediction, 0), each


def example_figures(model: Model, metrics: dict[str, OutputMetric], given: Data) -> dict[str, Any]:
    """Our metrics on predictions of 0: one that does not fit its target, or its samples' weights, says so before anything runs."""
    for name, (metric, _) in metrics.items() if given.weight is not None else ():
        check_takes_weights(name, metric)
    ours = {name: chosen for name, chosen in metrics.items() if built_in(chosen.metric)}
    shapes: list[Any] = [t.shape[1:] for t in model.outputs]
    if not ours or not all(isinstance(size, int) for shape in shapes for size in shape):
        return {}
    return figures(model, ours, [np.zeros((len(given), *shape), np.float32) for shape in shapes], given)
