"""Figures over epochs as an SVG picture: a panel a figure, training and validation in it; no library, no script, system fonts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.base.plots import TRAINING, VALIDATION

Array = NDArray[Any]

# The page's own paper may be light or dark: text has a contrast of at least 4 with white and with #111, lines one of 3 (WCAG).
INK, RULE = "#757575", 'stroke="#757575" stroke-opacity="0.35"'
WIDTH, HEIGHT = 460, 300  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 44  # its margins, which hold tick labels, the title, and the axis's name
ENTRY, LETTER = 100, 9  # px: of the legend for one line, of a letter of the title
COLUMNS = 2


def curves_svg(series: Mapping[str, Array]) -> str:
    """The picture of `series`, name -> one number an epoch; "val_<name>" shares the panel of <name>.

    It has no background, and reads on a light one as on a dark one.
    The vertical axis is logarithmic where the values are positive and span more than a factor of 30.

    >>> curves_svg({"loss": np.array([1.0, 0.5])}).count("<polyline")
    1
    """
    titles = list(dict.fromkeys(name.removeprefix("val_") for name in series))
    columns = min(COLUMNS, max(1, len(titles)))
    width, height = columns * WIDTH, max(1, math.ceil(len(titles) / columns)) * HEIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        "<title>Training curve</title>",
    ]
    for i, title in enumerate(titles):
        lines = {name: np.asarray(series[name], dtype=np.float64) for name in (title, f"val_{title}") if name in series}
        out.append(f'<g transform="translate({i % columns * WIDTH} {i // columns * HEIGHT})">')
        out += _panel(title, lines)
        out.append("</g>")
    return "\n".join([*out, "</svg>\n"])


def _panel(title: str, lines: Mapping[str, Array]) -> list[str]:
    values = np.concatenate(list(lines.values()))
    values = values[np.isfinite(values)]
    bottom, top = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    logarithmic = bottom > 1e-300 and top > 30 * bottom  # 1e-300: the tick below must not round to 0
    marks = (log_ticks if logarithmic else ticks)(bottom, top)
    scale = math.log10 if logarithmic else float
    low, high = scale(marks[0]), scale(marks[-1])
    epochs = max(len(line) for line in lines.values())

    def x(epoch: float) -> float:
        return LEFT + (epoch - 1) / max(epochs - 1, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (scale(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    unit = " (log scale)" if logarithmic else ""
    most = (WIDTH - LEFT - RIGHT - ENTRY * len(lines)) // LETTER - len(unit)
    name = title if len(title) <= most else f"{title[: most - 3]}..."
    out = [f'<text x="{LEFT}" y="20" font-size="14" font-weight="600">{escape(name + unit)}<title>{escape(title)}</title></text>']
    for mark in marks:
        out.append(f'<path d="M{LEFT} {y(mark):.1f}H{WIDTH - RIGHT}" {RULE}/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:g}</text>')
    for epoch in sorted({1} | {int(mark) for mark in ticks(1, epochs) if mark == int(mark) and 1 <= mark <= epochs}):
        out.append(f'<text x="{x(epoch):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{epoch}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">epoch</text>')
    for key, line in lines.items():
        out += _line(key, [(x(i), y(v)) if np.isfinite(v) else None for i, v in enumerate(line, 1)])
    return out + _legend(list(lines))


def _line(name: str, points: list[tuple[float, float] | None]) -> list[str]:
    """A polyline for each run of finite values; a dot where a value stands alone."""
    colour, dash = _pen(name)
    out: list[str] = []
    run: list[tuple[float, float]] = []
    for point in [*points, None]:
        if point is not None:
            run.append(point)
        elif len(run) == 1:
            out.append(f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="3" fill="{colour}"/>')
            run = []
        elif run:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in run)
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            run = []
    return out


def _legend(names: list[str]) -> list[str]:
    out = []
    for i, name in enumerate(reversed(names)):
        x = WIDTH - RIGHT - ENTRY * (i + 1)
        colour, dash = _pen(name)
        out.append(f'<path d="M{x} 16h22" stroke="{colour}" stroke-width="2"{dash}/>')
        out.append(f'<text x="{x + 28}" y="20">{"validation" if name.startswith("val_") else "training"}</text>')
    return out


def _pen(name: str) -> tuple[str, str]:
    return (VALIDATION, ' stroke-dasharray="6 3"') if name.startswith("val_") else (TRAINING, "")


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, evenly spaced by 1, 2 or 5 times a power of ten, that reach from below `low` to above `high`: 4 to 8 of them.

    >>> ticks(0.03, 0.97)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    size = max(abs(low), abs(high))
    span = high - low if high - low > 1e-9 * size else size or 1.0  # closer values would get equal labels
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(s * power for s in (1, 2, 5, 10) if span / (s * power) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that reach from below `low` to above `high`, at most 7 of them.

    >>> log_ticks(0.02, 3.0)
    [0.01, 0.1, 1.0, 10.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / 6))
    return [10.0**k for k in range(first, last + stride, stride)]
