"""net.draw("net.svg", x, y): one picture of a network, its forward and backward pass and its update, from the numbers that run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base import checks
from lamina.base.names import lookup
from lamina.draw import footer, render
from lamina.draw.canvas import HEIGHT, WIDTH, Box, Canvas, cut
from lamina.draw.chain import Block, Item, chain, layers
from lamina.draw.graph import graph, is_chain
from lamina.draw.network import image_shape, network
from lamina.draw.tensors import (
    ARROW,
    LABELLED,
    LANE,
    UNDER,
    Route,
    backward,
    fits,
    forward,
    head,
    layout,
    meanings,
    missing,
    routes,
)
from lamina.draw.theme import THEMES
from lamina.trace import Trace, trace

if TYPE_CHECKING:
    from lamina.models.model import Model

__all__ = ["HEIGHT", "WIDTH", "draw", "picture"]

MARGIN = 40.0
WIDE = WIDTH - 2 * MARGIN  # of a row
FOOT = 122.0  # row D
TALLEST = 136.0  # heatmap of a row above another one
SQUEEZES = 8  # the last gradient moves by less than the row gets shorter
LABELS = 34.0  # under a row of heatmaps: shape and scale


def draw(model: Model, path: Any, x: Any = None, y: Any = None, *, theme: str = "light") -> None:
    """See `Model.draw`."""
    target = Path(checks.path("draw", "path", path))
    render.check_suffix(target)
    lookup("draw: theme", theme, THEMES)
    if x is None and y is not None:
        raise ValueError("[draw] expected data beside y, got None; pass some rows: net.draw('net.svg', X[:2], y[:2])")
    canvas, made = picture(model, x, y, theme=theme, path=target.name)
    shown = [item.symbol.unicode() for item in _shown(made) if isinstance(item, Block)]
    render.save(canvas.svg(title(made), footer.description(made, shown)), target)


def _shown(made: Trace) -> list[Item]:
    """What rows B and C have room for."""
    return chain(made, lambda items: fits(items, made, WIDE), int(WIDE / (ARROW + LABELLED)))  # of the smallest


def title(made: Trace) -> str:
    """The picture's title."""
    return f"{made.about['title']}: forward, backward and update as linear algebra"


def picture(model: Model, x: Any = None, y: Any = None, *, theme: str = "light", path: str = "net.svg") -> tuple[Canvas, Trace]:
    """The picture before it is written, with the labels it holds; and the trace that it shows."""
    made = trace(model, _example(model) if x is None else x, y)
    if not made.about["batch"]:
        raise ValueError("[draw] expected at least one row to show, got none; pass some rows: net.draw('net.svg', X[:2], y[:2])")
    canvas = Canvas(WIDTH, HEIGHT, THEMES[theme])
    _header(canvas, made, f"batch of {made.about['batch']}" if x is not None else "no data: an input of ones")
    items = _shown(made)
    trained = bool(made.backward)
    height = _fitted(items, made) if trained else layout(items, MARGIN, WIDE, 260.0)
    ways = routes(items, made)
    lanes = 1 + max((way.lane for way in ways), default=0)
    above = head(items, made)
    rows = above + height + LABELS + (24 + UNDER + height + 24 + lanes * LANE if trained else 0)
    top = HEIGHT - FOOT - 30 - rows
    _network(canvas, made, Box(MARGIN, 88, WIDE, top - 88 - 26))
    _rule(canvas, top - 16)
    footer.heading(canvas, Box(MARGIN, top, WIDE, 0), "B  FORWARD")
    small = forward(canvas, items, made, top + 8, height)
    if trained:
        below = top + above + height + LABELS
        _rule(canvas, below + 10)
        _backward(canvas, items, ways, made, below + 24, height)
    if small:
        which = ", ".join(small) if len(small) <= 4 else f"{len(small)} tensors"
        note = f"{which} shrunk: a cell shows the value of largest size in its block"
        canvas.text(WIDTH - MARGIN, top + 4, note, 12, anchor="end", fill=canvas.theme.muted)
    data = "" if x is None else ", x, y" if made.loss else ", x"
    _footer(canvas, made, model, path, arguments=data + ("" if theme == "light" else f', theme="{theme}"'))
    return canvas, made


def _network(canvas: Canvas, made: Trace, area: Box) -> None:
    """Row A: neurons in columns, or boxes where there are branches."""
    found = layers(made) if is_chain(made.model) else []
    what = "  for the first sample; each column on its own scale; the width and colour of a link: its weight" if found else ""
    footer.heading(canvas, area, f"A  THE NETWORK{what}")
    if not found:
        return graph(canvas, area, made)
    true = int(made["y"][0]) if "P" in made and "y" in made.sources and made["y"].ndim == 1 else None
    first = found[0].reads.plain
    network(canvas, area, found, image_shape(made[first], _input_shape(made, first)), "P" in made, true)


def _backward(canvas: Canvas, items: list[Item], ways: list[Route], made: Trace, top: float, height: float) -> None:
    """Row C, and what the letters in it mean."""
    footer.heading(canvas, Box(MARGIN, top, WIDE, 0), "C  BACKWARD: under each tensor its gradient, in the same shape")
    if said := meanings(items, ways, made):
        right = cut(said, 12, WIDE - 500)  # of the heading
        canvas.text(WIDTH - MARGIN, top + 4, right, 12, anchor="end", fill=canvas.theme.muted)
    backward(canvas, items, ways, made, top, height)


def _input_shape(made: Trace, first: str) -> tuple[int, ...] | None:
    """That of a sample, where the neurons that stand first hold the input as it is, or laid out in a row."""
    flat = first != "X" and first not in made.sources and made.step(first).ops == ["reshape"] and made.step(first).operands == ["X"]
    return tuple(int(n) for n in made.sources["X"]["shape"][1:]) if first == "X" or flat else None


def _fitted(items: list[Item], made: Trace) -> float:
    """Lays out the rows so that the loss has room beside the last gradient, where that can be; returns their height."""
    row = WIDE
    for _ in range(SQUEEZES):
        height = layout(items, MARGIN, row, TALLEST)
        over = missing(items, made, MARGIN + WIDE)
        if over <= 0:
            return height
        row -= over + 4
    return layout(items, MARGIN, WIDE, TALLEST)


def _example(model: Model) -> Any:
    """What is shown where no data are given: a sample of ones for each input; class 0 where it takes whole numbers."""
    several = []
    for t in model.programs.inputs:
        shape = [n if isinstance(n, int) else 1 for n in t.shape]
        several.append(np.full(shape, t.dtype != "int64", t.dtype))
    return several if len(several) > 1 else several[0]


def _header(canvas: Canvas, made: Trace, batch: str) -> None:
    about = made.about
    heading = cut(about["title"], 26, WIDE - 420, bold=True)  # left of the legend
    canvas.text(MARGIN, 44, heading, 26, bold=True)
    facts = [
        f"{about['parameters']:,} parameters",
        *([about["loss"].replace("()", "")] if about["loss"] else []),
        *([about["optimizer"]] if about["optimizer"] else []),
        batch,
    ]
    line = cut("  ·  ".join(facts), 13, WIDE - 200)  # left of the legend
    canvas.text(MARGIN, 64, line, 13, fill=canvas.theme.muted)
    footer.legend(canvas, WIDTH - MARGIN, 28)


def _rule(canvas: Canvas, y: float) -> None:
    canvas.path(f"M{MARGIN} {y:.1f}H{WIDTH - MARGIN}", canvas.theme.rule)


def _footer(canvas: Canvas, made: Trace, model: Any, path: str, arguments: str) -> None:
    top = HEIGHT - FOOT
    _rule(canvas, top - 14)
    footer.update(canvas, Box(MARGIN, top + 4, 560, FOOT - 20), made)
    footer.curve(canvas, Box(620, top + 4, 470, FOOT - 20), getattr(model, "history", None), made.about["epochs_done"])
    footer.provenance(canvas, Box(1150, top + 4, WIDTH - MARGIN - 1150, FOOT - 20), made, path, arguments)
