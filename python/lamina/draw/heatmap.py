"""A matrix as coloured cells. Its scale, the 99th percentile of |v|, is its own and is written beside it."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.draw import png
from lamina.draw.canvas import Box, Canvas
from lamina.trace.notation import number

Array = NDArray[Any]

RECTANGLES = 32  # rows and columns up to which cells are rectangles; beyond, and where no line fits, pixels of an embedded PNG
SIGNED = 18  # px: a cell of this size shows its sign
LINED = 2  # px: a cell of this size has a line around it
TICKED = 8  # px: a cell of this size shows that it is beyond the scale
FINEST = 1.0  # px: a matrix is shrunk until its cells are this large


def as_matrix(values: Array) -> NDArray[np.float64]:
    """Any array as rows and columns: a vector is a row, further axes join the columns."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim < 2:
        return array.reshape(1, -1)
    return array.reshape(len(array), -1)


def scale_of(values: Array) -> float:
    """The 99th percentile of |v| over the finite values, which is one of them: of less than 100 the largest; 1 where all are 0.

    >>> scale_of(np.array([-2.0, 1.0, np.nan]))
    2.0
    """
    finite = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(finite, 99, method="higher")) if finite.size else 0.0
    return top or float(finite.max(initial=0.0)) or 1.0


def shrunk(matrix: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """At most rows x columns cells, each the value of its block that is largest in size, with its sign: a mean would cancel.

    >>> shrunk(np.array([[1.0, -3.0], [2.0, 0.0]]), 1, 2)
    array([[ 2., -3.]])
    """
    for axis, limit in ((0, rows), (1, columns)):
        n = matrix.shape[axis]
        if n > limit:
            cuts = np.linspace(0, n, limit + 1).astype(int)[:-1]
            low, high = np.minimum.reduceat(matrix, cuts, axis=axis), np.maximum.reduceat(matrix, cuts, axis=axis)
            matrix = np.where(np.abs(low) > np.abs(high), low, high)
    return matrix


def heatmap(canvas: Canvas, box: Box, values: Array, name: str, scale: float | None = None) -> bool:
    """Draws the matrix into the box, on its own scale unless there is another one; returns whether it was shrunk."""
    matrix = as_matrix(values)
    scale = scale_of(matrix) if scale is None else scale
    rows, columns = max(1, int(box.h / FINEST)), max(1, int(box.w / FINEST))
    cells = shrunk(matrix, rows, columns)
    name = escape(name)
    title = f"{name}: {matrix.shape[0]} x {matrix.shape[1]}, scale {number(scale)}"
    canvas.add(f'<g class="heatmap" data-name="{name}" data-scale="{scale:.9g}">')
    if max(cells.shape) <= RECTANGLES and min(box.h / cells.shape[0], box.w / cells.shape[1]) >= LINED:
        _rectangles(canvas, box, cells, scale, title)
    else:
        _pixels(canvas, box, cells, scale, title)
    canvas.rect(box, "none", canvas.theme.edge, extra=' stroke-width="1"')
    canvas.add("</g>")
    return cells.shape != matrix.shape


def _rectangles(canvas: Canvas, box: Box, cells: Array, scale: float, title: str) -> None:
    theme = canvas.theme
    h, w = box.h / cells.shape[0], box.w / cells.shape[1]
    line = f' stroke="{theme.paper}" stroke-width="{1 if min(h, w) > 6 else 0.4}"'
    canvas.add(f"<g><title>{title}</title>")
    marks: list[str] = []
    for (i, j), value in np.ndenumerate(cells):
        cell = Box(box.x + j * w, box.y + i * h, w, h)
        if not np.isfinite(value):
            canvas.rect(cell, theme.panel, extra=line)
            marks.append(f"M{cell.x:.1f} {cell.y:.1f}l{w:.1f} {h:.1f}m0 {-h:.1f}l{-w:.1f} {h:.1f}")
            continue
        level = value / scale
        canvas.rect(cell, theme.colour(level), extra=f'{line} data-v="{value:.7g}"')
        if min(h, w) >= TICKED and abs(level) > 1.0 + 1e-9:
            marks.append(f"M{cell.right - 5:.1f} {cell.y + 1.5:.1f}h3.5v3.5")
        if min(h, w) >= SIGNED and value != 0:
            _sign(canvas, cell, value > 0, abs(level))
    if marks:
        canvas.path("".join(marks), theme.ink, 1.2)
    canvas.add("</g>")


def _sign(canvas: Canvas, cell: Box, positive: bool, level: float) -> None:
    """A plus or minus in the middle of the cell, as strokes: a glyph would sit a little off."""
    strong = level > 0.62
    pen = canvas.theme.paper if strong else canvas.theme.ink
    d = f"M{cell.cx - 3:.1f} {cell.cy:.1f}h6" + (f"M{cell.cx:.1f} {cell.cy - 3:.1f}v6" if positive else "")
    canvas.path(d, pen, 1.1, ' opacity="0.75"')


def _pixels(canvas: Canvas, box: Box, cells: Array, scale: float, title: str) -> None:
    ramp = canvas.theme.ramp()
    half = len(ramp) // 2
    level = np.clip(np.nan_to_num(cells / scale, nan=0.0, posinf=1, neginf=-1), -1, 1)
    indices = half + np.rint(level * half).astype(int)
    canvas.image(box, png.uri(indices, ramp), title)
    _cross(canvas, box, cells)


def _cross(canvas: Canvas, box: Box, cells: Array) -> None:
    """An X where the first value is that is not finite."""
    if not np.isfinite(cells).all():
        i, j = np.argwhere(~np.isfinite(cells))[0]
        x, y = box.x + (j + 0.5) * box.w / cells.shape[1], box.y + (i + 0.5) * box.h / cells.shape[0]
        canvas.path(f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8", canvas.theme.ink, 1.5)


def grey(canvas: Canvas, box: Box, image: Array, title: str) -> None:
    """An image in shades of grey, its smallest value the paper's end."""
    finite = image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    level = (np.clip(np.nan_to_num(image, nan=low), low, high) - low) / ((high - low) or 1.0)
    ends = np.array(
        [[244, 245, 247], [20, 24, 29]] if canvas.theme.name == "light" else [[27, 32, 38], [240, 243, 247]], dtype=float
    )
    palette = np.linspace(ends[0], ends[1], 64).round().astype(np.uint8)
    canvas.image(box, png.uri(np.rint(level * 63), palette), title)
    _cross(canvas, box, image)
    canvas.rect(box, "none", canvas.theme.edge)
