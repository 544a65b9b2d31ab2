"""Runs one training step and keeps everything: values before, state after, times; and leaves the model as it was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core as core
from lamina.base.turns import building
from lamina.graph.inference import EFFECTS
from lamina.inputs.data import Data
from lamina.models.programs import Target
from lamina.models.steps import state_of, step
from lamina.trace.graph import StepGraph

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]
BUDGET = 0.05  # seconds spent on timing, if one run takes less
REPEATS = 20  # runs at most; the fastest counts


@dataclass
class Measured:
    """Values by a node's serial; the value of each variable after the update; a row for each step of the program."""

    values: dict[int, Array] = field(default_factory=dict)
    after: dict[core.Variable, Array] = field(default_factory=dict)
    profile: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def unchanged(model: Model) -> Iterator[None]:
    """Whatever runs inside, all state has the bits that it had before; other threads wait."""
    state = [p.variable for p in state_of(model)]
    with building, core.Section(state):
        values = core.read(state)
        try:
            yield
        finally:
            core.write(state, values)


def values_of(graph: StepGraph, arrays: list[Array]) -> dict[int, Array]:
    """The value of every node, computed by the core; and of every input, also of one that nothing reads."""
    nodes = [node for node in graph.ordered() if node.op not in EFFECTS]
    results = core.Program(graph.fed, nodes, [], graph.training).run(arrays)
    return {node.serial: np.asarray(value) for node, value in zip([*graph.fed, *nodes], [*arrays, *results], strict=True)}


def measure(graph: StepGraph, batch: Data, targets: tuple[Target, ...], repeats: int | None) -> Measured:
    """Runs the training step of the model on a batch."""
    model = graph.model
    arrays = batch.arrays
    measured = Measured()
    with unchanged(model):
        measured.values = values_of(graph, arrays)
    if not graph.effects:
        return measured
    with unchanged(model):
        step(model, batch, targets)
        measured.after = {p.variable: np.array(p.variable.read(), copy=True) for p in state_of(model)}
    assert graph.loss_root is not None
    program = core.Program(graph.fed, [graph.loss_root], graph.effects, True)  # the training program, of the nodes shown
    with unchanged(model):
        measured.profile = timed(program, arrays, repeats)
    return measured


def timed(program: core.Program, arrays: list[Array], repeats: int | None) -> list[dict[str, Any]]:
    """The program's steps with their times: the fastest of some runs."""
    begun = time.perf_counter()
    rows = list(program.profile(arrays, 1))
    once = time.perf_counter() - begun
    more = min(REPEATS, int(BUDGET / max(once, 1e-6))) if repeats is None else repeats
    return list(program.profile(arrays, more)) if more > 1 else rows
