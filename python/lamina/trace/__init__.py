"""net.trace(x, y): the step that would run next, line by line, with the values that the core computes. It changes nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.losses.base import Loss
from lamina.models import feed, steps
from lamina.models.programs import Target, Task
from lamina.trace.cost import size_of
from lamina.trace.graph import StepGraph, forward_graph, step_graph, steps_by_batch
from lamina.trace.record import Origin, ProgramStep, Rule, Step, Trace
from lamina.trace.rules import rule_of
from lamina.trace.run import Measured, measure, timed, unchanged, values_of
from lamina.trace.timing import attribute
from lamina.trace.write import Writer, title_of

if TYPE_CHECKING:
    from lamina.models.model import Model

__all__ = ["ProgramStep", "Rule", "Step", "Trace", "outline", "trace", "written"]


def trace(model: Model, x: Any, y: Any = None, sample_weight: Any = None, *, repeats: int | None = None) -> Trace:
    """See `Model.trace`. `repeats`: runs for the times, of which the fastest counts; 0 skips timing."""
    if y is None:
        model.ensure_built(x)
        arrays = feed.inputs(model, x)
        graph = forward_graph(model)
        with unchanged(model):
            measured = Measured(values=values_of(graph, arrays))
            if repeats != 0:
                measured.profile = timed(model.programs.predict(), arrays, repeats)
        return written(model, graph, measured, len(arrays[0]))
    batch, targets = steps.checked(model, x, y, sample_weight)
    _bind(model)
    graph = step_graph(model, Task(targets, batch.weight is not None))
    return written(model, graph, measure(graph, batch, targets, repeats), len(batch))


def outline(model: Model) -> Trace:
    """The lines without data: shapes keep the batch axis B, there are no values. With a loss, those of a training step."""
    task = _likely_task(model) if model.compiled else None
    graph = None
    if task is not None:
        try:
            _bind(model)
            graph = step_graph(model, task)
        except (ValueError, TypeError):  # a loss of one's own for a target that nobody can guess: the forward pass remains
            graph = None
    return written(model, graph or forward_graph(model), Measured(), None)


def _bind(model: Model) -> None:
    if model.programs.trainable and steps_by_batch(model):
        model.programs.bind_optimizer()


def _likely_task(model: Model) -> Task:
    """The targets that the losses most likely get: class numbers where a loss knows them."""
    targets = []
    for loss, output in zip(model.objective.losses, model.programs.outputs, strict=True):
        shape = tuple(output.shape)
        classes = loss.target_dtype == "int64" and type(loss).__call__ is Loss.__call__ and shape[-1] != 1
        expected = shape[:-1] if classes else tuple(loss.target_shape(shape))
        targets.append(Target("int64" if classes else output.dtype, tuple(n for n in expected[1:] if isinstance(n, int))))
    return Task(tuple(targets))


def written(model: Model, graph: StepGraph, measured: Measured, batch: int | None) -> Trace:
    """The lines of a graph, with what was measured."""
    from lamina import __version__

    parameters = list(model.wiring.parameters.values())
    about = {
        "title": title_of(model),
        "lamina": __version__,
        "model": type(model).__name__,
        "seed": model.seed,
        "dtype": model.dtype,
        "batch": batch,
        "training": graph.training,
        "parameters": sum(math.prod(p.variable.shape) for p in parameters),
        "parameter_bytes": sum(size_of(p.variable.shape, p.dtype) for p in parameters),
        "loss": model.objective.total(list(model.named_outputs)) if graph.loss is not None else None,
        "optimizer": repr(model.optimizer) if graph.loss is not None else None,
        "epochs_done": model.epochs_done,
    }
    made = Trace(about)
    made.model = model
    writer = Writer(graph, measured, made)
    writer.write()
    names = {serial: symbol.plain for serial, symbol in writer.symbols.of.items()}
    made.origin = Origin(graph, measured.values, names, writer.writing)
    if graph.effects and model.optimizer is not None:
        optimizer = model.optimizer
        t = optimizer.steps_of(_full_name(made, made.update[0].name)) + 1  # of the weight whose numbers are shown
        made.rule = rule_of(optimizer, float(optimizer.rate(optimizer.steps)), t, made.names)
        _slots(made, model, measured)
    elif made.backward and model.optimizer is not None and model.optimizer.all_data:
        made.rule = rule_of(model.optimizer, 0.0, model.optimizer.steps + 1, made.names)
    if measured.profile:
        made.program = attribute(measured.profile, made.steps)
    return made


def _full_name(made: Trace, name: str) -> str:
    """The parameter's name in the model."""
    return str(made.sources[name]["full_name"]) if name in made.sources else name


def _slots(made: Trace, model: Model, measured: Measured) -> None:
    """The optimizer's slots of each updated parameter, before and after."""
    assert model.optimizer is not None and made.rule is not None
    state = model.optimizer.state
    for step in made.update:
        full = _full_name(made, step.name)
        slots = {letter: state.get(f"{full}.{slot}") for letter, slot in made.rule.slots.items()}
        found = {letter: p for letter, p in slots.items() if p is not None}
        step.slots = {letter: (np.array(p.value), measured.after.get(p.variable)) for letter, p in found.items() if measured.after}
