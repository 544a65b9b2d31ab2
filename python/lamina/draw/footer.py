"""Row D: the optimizer's rule, the loss over the epochs, and where the picture comes from."""

from __future__ import annotations

import numpy as np

from lamina.draw.canvas import Box, Canvas, cut, equation_width
from lamina.report.curves import ticks
from lamina.trace import Trace
from lamina.trace.notation import Equation, number
from lamina.training.history import History

LABELS = {"loss": "training", "val_loss": "validation"}


def update(canvas: Canvas, area: Box, trace: Trace) -> None:
    """The rule's lines, one under the other, and the numbers in them."""
    heading(canvas, area, f"D  UPDATE BY {trace.rule.title}" if trace.rule else "D  UPDATE")
    if trace.rule is None:
        why = "nothing is trained" if trace.loss else "no target was given: a prediction changes nothing"
        canvas.text(area.x, area.y + 30, why, 13, fill=canvas.theme.muted)
        return
    lines: list[Equation] = [(line,) for line in trace.rule.written]
    if not lines:
        lines = _first_updates(trace)
    lines = _joined([line for line in lines if equation_width(line, 12.0) <= area.w], area.w)  # what is longer, explain() says
    pitch, size = {4: (18, 15.0), 5: (15, 12.0), 6: (14, 12.0)}.get(min(len(lines), 6), (22, 15.0))
    size = max(12.0, min(size, size * area.w / max(equation_width(line, size) for line in lines))) if lines else size
    for k, line in enumerate(lines[:6]):
        canvas.equation(area.x, area.y + 28 + pitch * k, line, size, anchor="start")
    canvas.text(area.x, area.y + 30 + pitch * len(lines[:6]), ",  ".join(trace.rule.settings), 12, fill=canvas.theme.muted)


def _first_updates(trace: Trace) -> list[Equation]:
    """The first two lines that change something, and what they read of the lines above."""
    wanted, lines, first = set[str](), list[Equation](), [step.number for step in trace.update if step.kind == "update"][:2]
    for step in reversed(trace.update):
        if step.number in first if step.kind == "update" else step.name in wanted:
            wanted.update(step.operands)
            lines.insert(0, step.equation)
    return lines


def _joined(lines: list[Equation], limit: float) -> list[Equation]:
    """Of more than four lines, the shortest neighbours side by side, as far as they fit."""
    while len(lines) > 4:
        pairs = [(*a, ";   ", *b) for a, b in zip(lines, lines[1:], strict=False)]
        k = min(range(len(pairs)), key=lambda i: equation_width(pairs[i], 12.0))
        if equation_width(pairs[k], 12.0) > limit:
            break
        lines = [*lines[:k], pairs[k], *lines[k + 2 :]]
    return lines


def heading(canvas: Canvas, area: Box, text: str) -> None:
    """The heading of a row or panel."""
    canvas.text(area.x, area.y + 4, text, 12, fill=canvas.theme.muted, bold=True)


def curve(canvas: Canvas, area: Box, history: History | None, epochs: int) -> None:
    """The loss of the last fit over its epochs; one of them is no curve."""
    theme = canvas.theme
    heading(canvas, area, "LOSS OVER THE EPOCHS")
    if history is None or "loss" not in history or len(history) < 2:
        canvas.text(area.x, area.y + 30, cut(_no_curve(history, epochs), 13, area.w), 13, fill=theme.muted)
        return
    lines = {name: np.asarray(history[name], np.float64) for name in LABELS if name in history}
    lines = {name: line for name, line in lines.items() if np.isfinite(line).any()}
    values = np.concatenate([v[np.isfinite(v)] for v in lines.values()])
    marks = ticks(min(0.0, float(values.min())), float(values.max()))
    plot = Box(area.x + 34, area.y + 16, area.w - 130, area.h - 36)
    low, high = marks[0], marks[-1]

    def y(value: float) -> float:
        return plot.bottom - (value - low) / (high - low) * plot.h

    for mark in (marks[0], marks[-1]):
        canvas.path(f"M{plot.x:.1f} {y(mark):.1f}H{plot.right:.1f}", theme.rule)
        canvas.text(plot.x - 6, y(mark) + 4, f"{mark:g}", 11, anchor="end", fill=theme.muted)
    n = len(history)
    canvas.text(plot.x, plot.bottom + 15, "1", 11, anchor="middle", fill=theme.muted)
    canvas.text(plot.right, plot.bottom + 15, str(n), 11, anchor="middle", fill=theme.muted)
    lowest = plot.bottom + 30
    for name, line in sorted(lines.items(), key=lambda item: item[1][np.isfinite(item[1])][-1]):  # from below, as their labels are
        colour = theme.colour(1.0 if name == "loss" else -1.0)
        points = [f"{plot.x + i / (n - 1) * plot.w:.1f} {y(float(v)):.1f}" for i, v in enumerate(line) if np.isfinite(v)]
        canvas.path("M" + "L".join(points), colour, 2, "" if name == "loss" else ' stroke-dasharray="6 3"')
        last = float(line[np.isfinite(line)][-1])
        lowest = min(y(last) + 4, lowest - 15)
        canvas.text(plot.right + 12, lowest, f"{LABELS[name]} {number(last, 2)}", 12, fill=colour)


def _no_curve(history: History | None, epochs: int) -> str:
    """What is said where there are not two epochs."""
    if history is None or "loss" not in history or not len(history):
        return "the fits before are not known here" if epochs else "not trained by fit yet"
    figures = ((label, float(history[name][-1])) for name, label in LABELS.items() if name in history)
    return f"the last fit was one epoch: {', '.join(f'{label} {number(value, 2)}' for label, value in figures)}"


def provenance(canvas: Canvas, area: Box, trace: Trace, path: str, arguments: str) -> None:
    """What made the picture: version, seed, sizes, times, the command, with its `arguments` behind the path."""
    heading(canvas, area, "HOW IT CAME ABOUT")
    about = trace.about
    total = sum(step.flops for step in trace)
    micro = sum(step.microseconds for step in trace.program)
    epochs = about["epochs_done"]
    facts = [
        f"lamina {about['lamina']}, seed {about['seed']}, {epochs} epoch{'s' * (epochs != 1)} trained",
        f"{about['parameters']:,} parameters, {about['parameter_bytes']:,} B; batch {about['batch']}",
        f"this step: {total:,} FLOP" + (f" in {_time(micro)}" if micro else ""),
        f'net.draw("{path}"{arguments})',
    ]
    for k, fact in enumerate(facts):
        canvas.text(
            area.x, area.y + 27 + 20 * k, cut(fact, 13, area.w), 13, fill=canvas.theme.ink if k == 3 else canvas.theme.muted
        )


def _time(micro: float) -> str:
    """17.1 µs, 129 ms, 2.5 s"""
    for unit in ("µs", "ms"):
        if micro < 999.5:
            return f"{number(micro, 3)} {unit}"
        micro /= 1000
    return f"{number(micro, 3)} s"


def legend(canvas: Canvas, right: float, y: float) -> None:
    """The colours: what is negative, zero and positive."""
    theme = canvas.theme
    wide, n = 150.0, 75
    left = right - wide - 26
    for i in range(n):
        canvas.rect(Box(left + i * wide / n, y, wide / n + 0.4, 12), theme.colour(-1 + 2 * i / (n - 1)))
    for x, label in ((left - 8, "−"), (left + wide + 8, "+")):
        canvas.text(x, y + 11, label, 14, anchor="end" if label == "−" else "start", fill=theme.muted)
    canvas.text(left + wide / 2, y + 27, "0", 11, anchor="middle", fill=theme.muted)
    canvas.text(left - 28, y + 11, "each tensor on its own scale ±s", 12, anchor="end", fill=theme.muted)


def description(trace: Trace, shown: list[str]) -> str:
    """The alternative text: what the picture shows, with its main numbers."""
    equations = "; ".join(str(step) for step in trace if step.section != "update")[:600]
    loss = f" Loss {number(float(trace['L']))}." if "L" in trace else ""
    return (
        f"Four rows. The network {trace.about['title']} with its neurons and weights; "
        f"the forward pass as heatmaps of {', '.join(shown)}; "
        f"under each its gradient; the update.{loss} {equations}"
    )
