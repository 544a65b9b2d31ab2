"""predict, train_step, gradients, evaluate: what `Model` hands on when it cannot be quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina.base import calls, checks
from lamina.base.turns import building
from lamina.graph.inference import resolved
from lamina.graph.samplewise import is_mean, is_samplewise
from lamina.graph.tensor import FLOATS
from lamina.inputs import data
from lamina.inputs.arrays import room
from lamina.inputs.data import Batches, Data, Parts
from lamina.losses import averages
from lamina.losses.base import FunctionLoss, Loss
from lamina.models import feed
from lamina.models.figures import amounts, figures
from lamina.models.objective import OutputMetric, named_metrics
from lamina.models.programs import Target, Task
from lamina.models.totals import Totals
from lamina.optim import Optimizer

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]

CHUNK = 4096  # rows at once when nobody says: activations of a few MB at usual widths


def rows_at_once(model: Model, n: int) -> int:
    """How many of n rows go through the network together where nobody says: all, where they meet in it, or it draws."""
    nodes = [] if n <= CHUNK else resolved(model.outputs)
    return CHUNK if not nodes or (is_samplewise(nodes) and not _streams(nodes)) else n


def _streams(nodes: list[core.Node]) -> list[core.Variable]:
    """Where they draw numbers from, which follow from a row's place: another part would have those of the first again."""
    return [node.inputs[0].attrs["variable"] for node in nodes if node.op == "random_uniform"]


@contextmanager
def _drawn_for(part: int, model: Model, task: Task | None = None) -> Iterator[None]:
    """In here the network, or its losses, draw what is drawn for a part of the data: other numbers than for those before it."""
    known, key = model.programs.others, ("streams", task)
    streams = known.get(key) if part else []
    if streams is None:
        streams = known[key] = _streams(resolved([*model.outputs, *(model.programs.loss(task).terms if task else ())]))
    if not streams:
        yield
        return
    with core.Section(streams):
        before = core.read(streams)
        try:
            core.write(streams, [state + [0, part << 24] for state in before])  # steps that no training comes to
            yield
        finally:
            core.write(streams, before)


def _rows_of_losses(model: Model, n: int, targets: tuple[Target, ...]) -> int:
    """The same for network and losses: a loss of one's own may be no mean over samples."""
    rows = rows_at_once(model, n)
    if n <= rows:
        return rows
    key = "means", targets
    if key not in model.programs.others:
        model.programs.others[key] = _are_means(model, targets)
    return rows if model.programs.others[key] else n


def _are_means(model: Model, targets: tuple[Target, ...]) -> bool:
    """Whether each output's loss is a mean over samples, which draws nothing."""
    graph, losses = model.programs.loss(Task(targets)), model.objective.losses
    return not _streams(resolved(graph.terms)) and all(
        is_samplewise(resolved([loss.kept_elements(output, target)[0]])) if loss.by_elements else is_mean(term)
        for loss, term, output, target in zip(losses, graph.terms, model.outputs, graph.targets, strict=True)
    )


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
    results = _in_chunks(model, run, arrays, n, rows) if n > rows and goes_by_rows(model) else run(arrays)
    return results[0] if len(results) == 1 else list(results)


def goes_by_rows(model: Model) -> bool:
    """Whether all inputs and outputs have the same free number of rows."""
    batch = model.inputs[0].shape[:1]
    return not isinstance(batch[0], int) and all(t.shape[:1] == batch for t in (*model.inputs, *model.outputs))


def fast_predict(model: Model) -> Callable[[Any], Any] | None:
    """The quick way of arrays that need no look: f(x), which gives None, and does nothing, where they are not such."""
    if any(t.dtype not in FLOATS for t in model.inputs):
        return None
    return model.programs.predict().predictor(CHUNK)


def _in_chunks(model: Model, run: Any, arrays: list[Array], n: int, rows: int) -> list[Array]:
    out: list[Array] = []
    for start in range(0, n, rows):
        with _drawn_for(start // rows, model):
            part = run([a[start : start + rows] for a in arrays])
        if not out:
            out = [room(n, a.shape[1:], a.dtype, "predict") for a in part]
        for whole, piece in zip(out, part, strict=True):
            whole[start : start + len(piece)] = piece
    return out


class FastStep(NamedTuple):
    """A training program that arrays like those of the last step can go to without another look; the core checks their shapes."""

    run: Callable[..., Any]  # (x, y, weight[, rates, first]); None, and nothing was done, where they are not alike
    optimizer: Optimizer
    weighted: bool

    def scheduled(self, x: Any, y: Any, weight: Any) -> Any:
        """`run` at the rate that the schedule has for this step."""
        loss = self.run(x, y, weight, *self.optimizer.ahead)
        if loss is None and self.optimizer.look_ahead():
            return self.run(x, y, weight, *self.optimizer.ahead)
        return loss


def train_step(model: Model, x: Any, y: Any, sample_weight: Any = None) -> tuple[float, Task | None]:
    """See `Model.train_step`; and what `fast_step` takes, unless another way was found."""
    quick = quickly(model, "step", x, y, sample_weight)
    if quick is not None:
        return float(quick[1][0]), None
    batch, targets = checked(model, x, y, sample_weight)
    loss, task = float(step(model, batch, targets)[0]), Task(targets, sample_weight is not None)
    if list in (type(x), type(y)):
        remember(model, "step", (x, y, sample_weight), batch, task)
    return loss, task


def fast_step(model: Model, y: Any, task: Task) -> FastStep | None:
    """The quick way for batches with targets like `y`: where arrays go to the inputs as they are."""
    kinds = _kinds(model, y, task.targets)
    if kinds is None:
        return None
    optimizer = model.objective.optimizer
    program = model.programs.train(task)
    run = program.trainer(kinds, task.weighted, optimizer.state["lr"].variable, optimizer.state["clock"].variable)
    quick = FastStep(run, optimizer, task.weighted)
    model.programs.keep_quick(task, quick)
    return quick


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


class Way(NamedTuple):
    """How arrays like those of a checked call go to its program: the core looks at them, and takes none that the checks refuse."""

    run: Callable[..., Any]
    step: FastStep | None  # where it is one
    task: Task
    asked: list[int]  # outputs whose losses look at the numbers of a target themselves


def quickly(
    model: Model, kind: str, x: Any, y: Any, weight: Any, *, collect: bool = False, part: int = 0
) -> tuple[Data, Any] | None:
    """The batch, and what its program gives; None, and nothing was done, where arrays like these are not known.

    kind: "train", of fit, "step", "evaluate" or "gradients"; part: see `_drawn_for`.
    """
    way = model.programs.others.get((kind, weight is not None, collect)) if model.built else None
    if way is None:
        return None
    try:
        batch = feed.unchecked(model, x, y, weight, columns=collect or bool(way.asked))
        given = _alone(batch.x), _alone(batch.y), batch.weight
        for k in way.asked:
            model.objective.losses[k].check_values(batch.y[k], tuple(model.outputs[k].shape))
    except Exception:  # the checks meet it as well
        return None
    run = way.run if way.step is None or way.step.optimizer.has_constant_rate else way.step.scheduled
    if part:
        with _drawn_for(part, model, way.task):
            results = run(*given)
    else:
        results = run(*given)
    return None if results is None else (batch, results)


def remember(model: Model, kind: str, parts: Parts, batch: Data, task: Task) -> None:
    """Keeps the way of a batch that was given as these parts, and has been through that program, if it went there as it is."""
    given = feed.unchecked(model, *parts)
    arrays, went = feed_list(given), feed_list(batch)
    if [(np.ndarray, a.dtype) for a in went] != [(type(a), getattr(a, "dtype", None)) for a in arrays]:
        return
    kinds = _kinds(model, _alone(given.y), task.targets)
    for t, a in zip(model.inputs, batch.x, strict=True):
        if t.dtype not in FLOATS and a.dtype.kind not in ("b" if t.dtype == "bool" else "iub"):
            return
    if kinds is None or any(amount is not batch.weight for amount in amounts(model, batch)):
        return
    asked = []
    for k, (loss, (_, _, classes)) in enumerate(zip(model.objective.losses, kinds, strict=True)):
        if type(loss).amounts is not Loss.amounts:  # others may not count alike
            return
        if type(loss).check_values is not Loss.check_values and (classes is None or not calls.is_ours(type(loss))):
            asked.append(k)
    optimizer = model.objective.optimizer
    updates = kind in ("train", "step")
    rate, clock = (optimizer.state[name].variable if updates else None for name in ("lr", "clock"))
    inputs: Kinds = [(a.dtype, a.ndim, None) for a in batch.x]
    with building:  # in which no other thread freezes a layer
        program: core.Program = getattr(model.programs, "train" if updates else kind)(task)
        rows = CHUNK if kind == "evaluate" else 1 << 62
        run = program.trainer(kinds, task.weighted, rate, clock, inputs, rows, guarded=kind == "train")
        step = FastStep(run, optimizer, task.weighted) if updates else None
        run = _by_name(model, run) if kind == "gradients" else run
        model.programs.others[kind, task.weighted, task.collect] = Way(run, step, task, asked)


def _alone(arrays: tuple[Any, ...]) -> Any:
    """The only one of them, or all."""
    return arrays[0] if len(arrays) == 1 else arrays


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
    quick = quickly(model, "gradients", x, y, sample_weight)
    if quick is not None:
        return quick[1]  # type: ignore[no-any-return]
    batch, targets = checked(model, x, y, sample_weight)
    task = Task(targets, batch.weight is not None)
    found: dict[str, Array] = _by_name(model, model.programs.gradients(task).run)(feed_list(batch))
    remember(model, "gradients", (x, y, sample_weight), batch, task)
    return found


def _by_name(model: Model, run: Callable[..., Any]) -> Callable[..., Any]:
    """A program of gradients that gives them by name, and puts back what it moves: running statistics, random counters."""
    parameters = model.wiring.parameters
    moved = [*(p for p in parameters.values() if not p.trainable), *model.wiring.random.values()]
    state, names = [p.variable for p in moved], [name for name, p in parameters.items() if p.trainable]

    def by_name(*given: Any) -> dict[str, Array] | None:
        with core.Section(state):
            before = core.read(state)
            try:
                results = run(*given)
            finally:
                core.write(state, before)
        return None if results is None else dict(zip(names, results, strict=True))

    return by_name


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
    if model.compiled and batch_size is None and (quick := quickly(model, "evaluate", x, y, sample_weight, collect=collect)):
        given, results = quick
        losses = zip(model.objective.loss_weights, map(float, results), strict=False)
        return {"loss": sum(a * loss for a, loss in losses), **figures(model, chosen, results[len(model.outputs) :], given)}
    given = feed.samples(model, x, y, sample_weight)
    model.ensure_built(x)
    if not model.compiled:
        predictions = predict(model, x, batch_size)
        return figures(model, chosen, predictions if isinstance(predictions, list) else [predictions], given)
    batch, targets = feed.with_targets(model, given)
    found = evaluate_checked(model, batch, targets, chosen, batch_size)
    remember(model, "evaluate", (x, y, sample_weight), batch, Task(targets, batch.weight is not None, collect))
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
    rows = _rows_of_losses(model, len(given), targets) if rows is None else rows
    for i, part in enumerate(map(given.rows, parts(model, len(given), rows))):
        with _drawn_for(i, model, task):
            results = program.run(feed_list(part))
        losses.append([float(loss) for loss in results[:outputs]])
        shares.append([averages.count(len(part), amount) for amount in amounts(model, part)])
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
    for i, parts in enumerate(feed.each(model, batches)):
        quick = quickly(model, "evaluate", *parts, collect=collect, part=i) if terms else None
        if quick is not None:
            batch, results = quick
            totals.meet(batch, alike=True)
        else:
            given = feed.checked(model, batches, parts)
            with data.within(f"{batches.each} {i}"):
                feed.check_that_targets_are_there(given)
                batch, targets = checked(model, given) if terms else (given, ())
            totals.meet(batch)
            task = Task(targets, batch.weight is not None, collect) if terms else None
            program = model.programs.evaluate(task) if task else model.programs.predict()
            with _drawn_for(i, model, task):
                results = program.run(feed_list(batch) if terms else list(batch.x))
            if task:
                remember(model, "evaluate", parts, batch, task)
        totals.add(0.0, results[:terms], results[terms:])
    return {**({"loss": totals.mean()} if terms else {}), **totals.figures()}
