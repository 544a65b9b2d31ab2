"""How many rows go through a network together, and what is drawn for each such part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina import _core as core
from lamina.graph.inference import resolved
from lamina.graph.samplewise import is_mean, is_samplewise
from lamina.models.programs import Target, Task

if TYPE_CHECKING:
    from lamina.models.model import Model

CHUNK = 4096  # rows at once when nobody says: activations of a few MB at usual widths


def rows_at_once(model: Model, n: int) -> int:
    """How many of n rows go through the network together where nobody says: all, where they meet in it, or it draws."""
    nodes = [] if n <= CHUNK else resolved(model.outputs)
    return CHUNK if not nodes or (is_samplewise(nodes) and not _streams(nodes)) else n


def _streams(nodes: list[core.Node]) -> list[core.Variable]:
    """Where they draw numbers from, which follow from a row's place: another part would have those of the first again."""
    return [node.inputs[0].attrs["variable"] for node in nodes if node.op == "random_uniform"]


@contextmanager
def drawn_for(part: int, model: Model, task: Task | None = None) -> Iterator[None]:
    """In here the network, or its losses, draw what is drawn for a part of the data: other numbers than for those before it."""
    known = model.programs.streams
    streams = known.get(task) if part else []
    if streams is None:
        streams = known[task] = _streams(resolved([*model.outputs, *(model.programs.loss(task).terms if task else ())]))
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


def rows_of_losses(model: Model, n: int, targets: tuple[Target, ...]) -> int:
    """The same where losses follow: a loss of one's own may be no mean over samples."""
    rows = rows_at_once(model, n)
    if n <= rows:
        return rows
    are_means = model.programs.are_means
    if targets not in are_means:
        are_means[targets] = _are_means(model, targets)
    return rows if are_means[targets] else n


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


def goes_by_rows(model: Model) -> bool:
    """Whether all inputs and outputs have the same free number of rows."""
    batch = model.inputs[0].shape[:1]
    return not isinstance(batch[0], int) and all(t.shape[:1] == batch for t in (*model.inputs, *model.outputs))
