"""A trace as an HTML table: static, without a script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from lamina import notation
from lamina.explain.notes import note, shapes_of
from lamina.notation import Equation, Sym
from lamina.trace import Trace, outline

if TYPE_CHECKING:
    from lamina.model import Model

HEADS = ("", "equation", "shapes", "FLOP", "values")
CELL = "text-align:left;padding:2px 10px;white-space:nowrap"


def equation_html(equation: Equation) -> str:
    """The equation with subscripts and the transpose sign."""
    return "".join(_symbol(part) if isinstance(part, Sym) else escape(part) for part in equation)


def _symbol(symbol: Sym) -> str:
    sub = f"<sub>{escape(symbol.sub)}</sub>" if symbol.sub else ""
    return f"{symbol.prefix}<i>{escape(symbol.name)}</i>{sub}{'<sup>T</sup>' if symbol.transposed else ''}"


def table(trace: Trace) -> str:
    """One row a step, a heading a section."""
    rows = ["".join(f'<th style="{CELL}">{head}</th>' for head in HEADS)]
    for section in ("forward", "loss", "backward", "update"):
        steps = trace.section(section)
        if steps:
            rows.append(f'<th colspan="{len(HEADS)}" style="{CELL}">{section}</th>')
        for step in steps:
            cells = (
                str(step.number),
                equation_html(step.equation) + (f"<br>{equation_html(step.where)}" if step.where else ""),
                escape(shapes_of(step)),
                f"{step.flops:,}",
                escape(note(trace, step)),
            )
            rows.append("".join(f'<td style="{CELL}">{cell}</td>' for cell in cells))
    title = escape(notation.text((trace.about["title"],)))
    return f"<table><caption>{title}</caption>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def network(model: Model) -> str:
    """The network's table; where it is built, its equations for any batch."""
    head = f"<pre>{escape(model.summary())}</pre>"
    return head + (table(outline(model)) if model.built else "")
