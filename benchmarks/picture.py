"""A picture of a result as SVG: for each case how many times longer than Lamina everyone takes, on a logarithmic axis."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from benchmarks.report import OURS, amount, best_peer, percent

# Colour-blind safe (Okabe and Ito), one a peer; further ways of a peer are darker or lighter ones.
COLOURS = {
    "numpy": "#0072b2", "pytorch": "#d55e00", "pytorch fused": "#e69f00", "pytorch compiled": "#a04000", "jax": "#009e73",
    "jax jit": "#00523b", "jax scan": "#56b4e9", "scikit-learn": "#cc79a7", "onnxruntime": "#7f6f00",
}  # fmt: skip
PLOT, RIGHT, ROW, TOP = 560, 190, 22, 88
LETTER = 7.0  # px: about how wide one is; sans-serif letters of 12 px have 6.7 on the average
LOW, HIGH = 0.25, 64.0  # of the axis: what takes longer is drawn at its end, with a >
SHOWN = ("training", "networks", "inference", "update", "calls")


def bars(result: dict[str, Any]) -> str:
    """The picture of a result that `python -m benchmarks` wrote: a panel for each number of threads."""
    body: list[str] = []
    y = TOP
    seen: list[str] = []
    shown = [[r for r in run["rows"] if _is_shown(r)] for run in result["runs"]]
    left = 20 + max(
        (LETTER * len(row["name"]) for rows in shown for row in rows), default=0.0
    )  # of the axis: names stand before it
    for run, rows in zip(result["runs"], shown, strict=True):
        body.append(_text(12, y, f"{run['threads']} thread{'s' * (run['threads'] != 1)}", weight="bold"))
        y += ROW
        top = y - 12
        for row in rows:
            body += _row(row, left, y, run["ceilings"])
            seen += [name for name in row["values"] if name not in seen]
            y += ROW
        body[:0] = _axis(left, top, y - ROW + 8)
        y += 34
    width, height = round(left) + PLOT + RIGHT, y
    about = result["about"]
    head = [
        _text(12, 22, "Time beside Lamina's, each in one run (right of the line: slower; the bar: the best peer)", weight="bold"),
        _text(12, 40, f"{about['processor']}, {about['date'][:10]}, commit {about['commit']}", colour="#666"),
        *_legend([name for name in seen if name != OURS]),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>{"".join(head + body)}</svg>\n'
    )


def _is_shown(row: dict[str, Any]) -> bool:
    return row["suite"] in SHOWN and row["unit"] == "s" and OURS in row["values"] and best_peer(row) is not None


def _x(left: float, ratio: float) -> float:
    return left + PLOT * math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)


def _row(row: dict[str, Any], left: float, y: float, tops: dict[str, Any]) -> list[str]:
    ours, best = row["values"][OURS], best_peer(row)
    assert best is not None
    a, b = sorted((_x(left, 1), _x(left, best[1] / ours)))
    share = percent(row, tops)
    colour = "#bfe3c9" if best[1] >= ours else "#f3c6c6"
    label = f"{amount(ours, row['unit'])}" + (f", {share:.0f} % of ceiling" if share is not None else "")
    made = [
        _text(left - 10, y, row["name"], anchor="end"),
        f'<rect x="{a:.1f}" y="{y - 11}" width="{b - a:.1f}" height="14" fill="{colour}"/>',
        _text(left + PLOT + 10, y, label, colour="#444"),
    ]
    for name, value in row["values"].items():
        if name != OURS:
            title = f"<title>{escape(name)}: {amount(value, row['unit'])}, {value / ours:.2f}x</title>"
            colour = COLOURS.get(name, "#555")
            made.append(
                f'<circle cx="{_x(left, value / ours):.1f}" cy="{y - 4}" r="5" fill="{colour}" stroke="#fff">{title}</circle>'
            )
            if value / ours > HIGH:
                made.append(_text(left + PLOT - 1, y, ">", colour=colour))
    return made


def _axis(left: float, top: float, bottom: float) -> list[str]:
    made = []
    tick = LOW
    while tick <= HIGH:
        x, strong = _x(left, tick), tick == 1
        colour = "#333" if strong else "#ddd"
        made.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}"/>')
        made.append(_text(x, bottom + 14, f"{tick:g}x", anchor="middle", colour="#666"))
        tick *= 2
    return made


def _legend(names: list[str]) -> list[str]:
    made, x = [], 12.0
    for name in names:
        made += [f'<circle cx="{x + 5}" cy="54" r="5" fill="{COLOURS.get(name, "#555")}"/>', _text(x + 14, 58, name)]
        x += 26 + 7 * len(name)
    return made


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", colour: str = "#111") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
