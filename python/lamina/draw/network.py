"""Row A: the network. Neurons coloured by their values for the first sample, links by their weights."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lamina.draw.canvas import DOTS, Box, Canvas, width
from lamina.draw.chain import Layer
from lamina.draw.heatmap import grey, heatmap, scale_of
from lamina.trace.notation import number

Array = NDArray[Any]

MOST, SHOWN = 64, 8  # neurons that are all drawn, and how many of more
TILE = 30.0  # px: the weights of a neuron as an image beside it
LINKS = 300
COLUMNS = 14  # lines of neurons: of more, the first and the last ones
NOT_A_NUMBER = ' stroke-dasharray="2 4"'  # a link without colour, as its weight has no sign and no size
SQUARE = 64  # a row of so many inputs, a square number, may be an image
LEVELS = 256  # shades of an image's pixels at most
ALIKE = 0.81  # of what two places of a sample differ by, neighbours' share in an image: .8 in any digit, more in rows of counts


class Column(NamedTuple):
    """A line of neurons: which are drawn, where, and their values."""

    chosen: Array  # their indices
    x: float
    ys: Array
    r: float
    values: Array
    total: int


def image_shape(rows: Array, shape: tuple[int, ...] | None) -> tuple[int, int] | None:
    """(rows, columns) of inputs that are images: of two axes, or a square number of values that are pixels. None: no inputs.

    Many tables have a square number of columns, so these have to be shades of grey, and neighbours to resemble each other.
    """
    if shape is None:
        return None
    if len(shape) == 2:
        return shape[0], shape[1]
    side = math.isqrt(rows.shape[-1])
    if rows.ndim != 2 or rows.shape[1] < SQUARE or side * side != rows.shape[1] or not (np.isfinite(rows) & (rows >= 0)).all():
        return None
    return (side, side) if _are_shades(rows) and _are_alike(rows.astype(np.float64), side) else None


def _are_shades(rows: Array) -> bool:
    """Whether the values are whole multiples of one step, more than two of them, and no more than a pixel can have."""
    levels = np.unique(np.asarray(rows, np.float64))
    if not 2 < len(levels) <= LEVELS:
        return False
    steps = levels[1:] / np.diff(levels).min()
    return bool(steps[-1] < LEVELS and np.abs(steps - np.rint(steps)).max() < 0.01)


def _are_alike(rows: Array, side: int) -> bool:
    """Whether values side by side, and one above the other, differ by less than any two of a sample do."""
    images, n = rows.reshape(-1, side, side), side * side
    near = (np.abs(np.diff(images, axis=1)).mean() + np.abs(np.diff(images, axis=2)).mean()) / 2
    weights = (2 * np.arange(1, n + 1) - n - 1) * 2 / (n * (n - 1))  # of sorted values: the mean of |a - b| over all pairs
    return bool(near < ALIKE * (np.sort(rows, axis=1) @ weights).mean())


def network(
    canvas: Canvas, area: Box, found: list[Layer], picture: tuple[int, int] | None, classes: bool, true: int | None
) -> None:
    """Draws it into the area. picture: rows and columns where the first values are an image; true: the first sample's class."""
    values = [found[0].inputs, *(layer.outputs for layer in found)]
    caption, top = area.bottom - 4, area.y + 14
    inner = Box(area.x, top, area.w, area.h - 66)
    last = len(found)
    lines = range(last + 1) if last < COLUMNS else [*range(COLUMNS // 2), *range(last + 1 - COLUMNS // 2, last + 1)]
    columns: dict[int, Column] = {}
    for k, x in zip(lines, np.linspace(inner.x + 150, inner.right - 190, len(lines)), strict=True):
        if k == 0 and picture is not None:
            columns[k] = _image(canvas, inner, float(x), values[k], picture, found[0].weight)
        else:
            size = _importance(values[k], found[k].weight if k < last else None)
            if k == last and true is not None:
                size[true] = np.inf  # the class that is right is always there
            columns[k] = _place(inner, float(x), values[k], size)
    total, drawn = _links(canvas, columns, found)
    for k, column in columns.items():
        if k or picture is None:
            _neurons(canvas, column, scale_of(values[k]))
            if k == 1 and picture is not None and column.r > 5:
                _tiles(canvas, column, found[0].weight, picture)
        if k and k - 1 not in columns:  # here some are left out
            canvas.text(
                (column.x + columns[COLUMNS // 2 - 1].x) / 2, inner.cy + 4, DOTS, 20, anchor="middle", fill=canvas.theme.muted
            )
    _captions(canvas, columns, found, caption)
    if picture is None:
        _numbers(canvas, columns[0], values[0], left=True)
    _numbers(canvas, columns[last], values[-1], left=False, classes=classes, true=true)
    if drawn < total:
        said = f"{drawn} of {total:,} links drawn: {_which(columns, found, drawn)}"
        canvas.text(area.right, area.y + 4, said, 12, anchor="end", fill=canvas.theme.muted)


def _which(columns: dict[int, Column], found: list[Layer], drawn: int) -> str:
    """Which links are drawn, of all that there are."""
    pairs = [(columns[k], columns[k + 1]) for k in columns if k + 1 in columns]
    between = sum(len(left.chosen) * len(right.chosen) for left, right in pairs)
    whole = len(pairs) == len(found) and all(len(column.chosen) == column.total for column in columns.values())
    strongest = "the strongest" + (" of each layer" if len(pairs) > 1 else "")  # each layer has a share
    if whole:
        return strongest
    return "between the neurons shown" if drawn == between else f"{strongest} between the neurons shown"


def _importance(values: Array, weight: Array | None) -> Array:
    """Sum over the next neurons of |a w|; of outputs, |a| itself. NaN comes first: it is what has to be seen."""
    size = np.abs(np.asarray(values, np.float64))
    size = size if weight is None else size * np.abs(np.asarray(weight, np.float64)).sum(axis=1)
    return np.where(np.isnan(size), np.inf, size)


def _chosen(importance: Array) -> Array:
    n = len(importance)
    return np.arange(n) if n <= MOST else np.sort(np.argsort(-importance, kind="stable")[:SHOWN])


def _place(inner: Box, x: float, values: Array, importance: Array) -> Column:
    chosen = _chosen(importance)
    n = len(chosen)
    broken = n < len(values)
    slots = n + (1 if broken else 0)
    pitch = min(44.0, inner.h / max(slots, 1))
    ys = inner.cy + (np.arange(slots) - (slots - 1) / 2) * pitch
    if broken:
        ys = np.delete(ys, n // 2)
    return Column(chosen, x, ys, max(1.6, min(15.0, 0.4 * pitch)), np.asarray(values)[chosen], len(values))


def _image(canvas: Canvas, inner: Box, x: float, values: Array, shape: tuple[int, int], weight: Array) -> Column:
    """The input as its image; links leave from the pixels that matter most, each ringed."""
    side = min(inner.h, 200.0)
    cell = side / max(shape)
    box = Box(x - shape[1] * cell / 2, inner.cy - shape[0] * cell / 2, shape[1] * cell, shape[0] * cell)
    image = np.asarray(values, np.float64).reshape(shape)
    grey(canvas, box, image, f"the first sample, {shape[0]} x {shape[1]} pixels")
    chosen = np.sort(np.argsort(-_importance(values, weight), kind="stable")[:SHOWN])
    ys = box.y + (chosen // shape[1] + 0.5) * cell
    xs = box.x + (chosen % shape[1] + 0.5) * cell
    for px, py in zip(xs, ys, strict=True):
        canvas.path(f"M{px:.1f} {py:.1f}H{box.right + 5:.1f}", canvas.theme.colour(-0.8), 1)
        canvas.circle(px, py, max(2.5, 0.2 * cell), canvas.theme.colour(-0.8), canvas.theme.paper)
        canvas.circle(box.right + 5, py, 2.5, canvas.theme.colour(-0.8))
    return Column(chosen, float(box.right) + 7, ys, 0.0, np.full(len(ys), box.cx), len(values))


def _links(canvas: Canvas, columns: dict[int, Column], found: list[Layer]) -> tuple[int, int]:
    """Lines between the drawn neurons, the strongest last; returns how many there are and how many are drawn."""
    strongest: list[tuple[float, float, str]] = []
    total = 0
    for k, layer in enumerate(found):
        weight = np.asarray(layer.weight, np.float64)
        total += weight.size
        if k not in columns or k + 1 not in columns:
            continue
        left, right, scale = columns[k], columns[k + 1], scale_of(weight)
        links: list[tuple[float, float, str]] = []
        for row, y0 in zip(left.chosen, left.ys, strict=True):
            x0 = left.x + left.r
            for column, y1 in zip(right.chosen, right.ys, strict=True):
                level = float(weight[row, column]) / scale
                x1 = right.x - right.r - (TILE + 10 if left.r == 0 and right.r > 5 else 0)
                links.append((math.inf if math.isnan(level) else abs(level), level, f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"))
        strongest += sorted(links, key=lambda link: link[0])[-(LINKS // (len(columns) - 1)) :]
    widest = min(2.8, 28.0 / math.sqrt(max(len(strongest), 1)))  # many lines are thinner, so that single ones can be told apart
    canvas.add('<g class="links">')
    for size, level, d in sorted(strongest, key=lambda link: link[0]):
        if math.isnan(level):
            canvas.path(d, canvas.theme.ink, widest, NOT_A_NUMBER)
            continue
        size = min(size, 1.0) ** 1.5
        canvas.path(
            d,
            canvas.theme.colour(math.copysign(0.35 + 0.65 * size, level)),
            0.4 + widest * size,
            f' opacity="{0.2 + 0.7 * size:.2f}"',
        )
    canvas.add("</g>")
    return total, len(strongest)


def _neurons(canvas: Canvas, column: Column, scale: float) -> None:
    theme = canvas.theme
    for index, y, value in zip(column.chosen, column.ys, column.values, strict=True):
        fill = theme.colour(float(value) / scale) if np.isfinite(value) else theme.panel
        line = f' stroke-width="{1.4 if column.r > 5 else 0.5}"><title>neuron {index + 1}: {number(float(value))}</title></circle>'
        canvas.circle(column.x, float(y), column.r, fill, theme.ink if column.r > 5 else theme.edge, line.removesuffix("</circle>"))
        canvas.parts[-1] = canvas.parts[-1].removesuffix("/>") + "</circle>"
    if len(column.chosen) < column.total:
        middle = (column.ys[len(column.ys) // 2 - 1] + column.ys[len(column.ys) // 2]) / 2
        for shift in (-6, 0, 6):
            canvas.circle(column.x, float(middle) + shift, 1.6, theme.muted)


def _tiles(canvas: Canvas, column: Column, weight: Array, shape: tuple[int, int]) -> None:
    """The weights that a neuron has for the image's pixels, as an image."""
    side = min(TILE, float(np.min(np.diff(column.ys))) - 3 if len(column.ys) > 1 else TILE)
    for index, y in zip(column.chosen, column.ys, strict=True):
        box = Box(column.x - column.r - 6 - side, float(y) - side / 2, side, side)
        heatmap(canvas, box, np.asarray(weight)[:, index].reshape(shape), f"W1[:,{index + 1}]")


def _captions(canvas: Canvas, columns: dict[int, Column], found: list[Layer], y: float) -> None:
    """Under each line of neurons its symbol, how many they are and what they compute: all in the longest form that has room."""
    noun = "input" if found[0].reads.name == "X" else "value"
    xs = [column.x if column.r else float(column.values[0]) for column in columns.values()]
    for form in (_whole, _brief, _count):
        done = [found[k - 1].name if k else found[0].source for k in columns]
        nouns = [noun if k == 0 else "neuron" for k in columns]
        texts = [form(*given) for given in zip(columns.values(), nouns, done, strict=True)]
        half = [width(text, 13) / 2 + 5 for text in texts]
        inside = xs[0] >= half[0] and xs[-1] + half[-1] <= canvas.width
        if inside and all(b - a >= ha + hb for a, b, ha, hb in zip(xs, xs[1:], half, half[1:], strict=False)):
            break
    for k, x, text in zip(columns, xs, texts, strict=True):
        canvas.equation(x, y - 18, (found[k - 1].symbol if k else found[0].reads,), 17)
        canvas.text(x, y, text, 13, anchor="middle", fill=canvas.theme.muted)


def _whole(column: Column, noun: str, function: str) -> str:
    """100 neurons, relu; 8 shown"""
    what, shown = f"{column.total:,} {noun}{'s' * (column.total != 1)}", len(column.chosen)
    if not column.r:
        return f"{what}, the {shown} that weigh most marked"
    what += f", {function}" if function else ""
    return f"{what}; {shown} shown" if shown < column.total else what


def _brief(column: Column, noun: str, function: str) -> str:
    """8 of 100, relu"""
    return _count(column, noun, function) + (f", {function}" if function else "")


def _count(column: Column, noun: str, function: str) -> str:
    """8 of 100"""
    return f"{column.total:,}" if len(column.chosen) == column.total else f"{len(column.chosen)} of {column.total:,}"


def _numbers(canvas: Canvas, column: Column, values: Array, *, left: bool, classes: bool = False, true: int | None = None) -> None:
    """The values beside the neurons, where there is room for text, else of two classes: the largest, which stands out, and the one
    that is right.
    """
    pitch = float(np.min(np.diff(column.ys))) if len(column.ys) > 1 else 40.0
    if column.r == 0:
        return
    top = int(np.argmax(values)) if classes else -1
    size = 13.0 if pitch >= 15 else 11.0
    shown = list(zip(column.chosen, column.ys, strict=True))
    if pitch < 13:
        shown = [(index, y) for index, y in shown if index in (top, true)]
        if len(shown) == 2 and shown[1][1] - shown[0][1] < 13:
            middle = (shown[0][1] + shown[1][1]) / 2
            shown = [(index, middle + way * 6.5) for (index, _), way in zip(shown, (-1, 1), strict=True)]
    for index, y in shown:
        value = _share(float(values[index])) if classes else number(float(values[index]), 3)
        if left:
            canvas.text(column.x - column.r - 10, float(y) + 4.5, value, size, anchor="end", fill=canvas.theme.muted)
        else:
            text = f"class {index}: {value}{' (true)' if index == true else ''}" if classes else value
            best = int(index) == top
            canvas.text(column.x + column.r + 10, float(y) + 4.5, text, size, fill=None if best else canvas.theme.muted, bold=best)


def _share(p: float) -> str:
    """A probability to three places."""
    return "<.001" if p < 0.0005 else f"{p:.3f}".removeprefix("0")
