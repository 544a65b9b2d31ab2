"""A trace as an HTML table: static, without a script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from lamina.explain.notes import inputs, note, shapes_of
from lamina.trace import Trace, outline
from lamina.trace.notation import Equation, Sym
from lamina.trace.record import SECTIONS

if TYPE_CHECKING:
    from lamina.models.model import Model

HEADS = ("", "equation", "shapes", "FLOP", "values")
CELL = "text-align:left;padding:2px 10px;white-space:nowrap"
TRANSPOSED = "<sup>T</sup>"
NUMBER = CELL.replace("left", "right")


def equation_html(equation: Equation) -> str:
    """The equation with subscripts and the transpose sign."""
    return "".join(_symbol(part) if isinstance(part, Sym) else escape(part).replace("ᵀ", TRANSPOSED) for part in equation)


def _symbol(symbol: Sym) -> str:
    sub = f"<sub>{escape(symbol.sub)}</sub>" if symbol.sub else ""
    return f"{symbol.prefix}<i>{escape(symbol.name)}</i>{sub}{TRANSPOSED if symbol.transposed else ''}"


def table(trace: Trace) -> str:
    """One row a step, a heading a section, over the update its rule; a column of values where there are any."""
    heads = HEADS if any(step.values is not None for step in trace) else HEADS[:-1]
    styles = [NUMBER if head in ("", "FLOP") else CELL for head in heads]
    rows = ["".join(f'<th style="{style}">{head}</th>' for head, style in zip(heads, styles, strict=True))]
    for section in SECTIONS:
        steps, rule = trace.section(section), trace.rule if section == "update" else None
        if steps or rule is not None:
            name = section if rule is None else f"update by {escape(rule.title)}"
            rows.append(f'<th colspan="{len(heads)}" style="{CELL}">{name}</th>')
        if rule is not None:
            said = "<br>".join(escape(line) for line in [*rule.written, ",  ".join(rule.settings)] if line)
            rows.append(f'<td></td><td colspan="{len(heads) - 1}" style="{CELL}">{said}</td>')
        for step in steps:
            cells = (
                str(step.number),
                equation_html(step.equation) + (f"<br>{equation_html(step.where)}" if step.where else ""),
                escape(shapes_of(step)),
                f"{step.flops:,}",
                escape(note(trace, step)).replace("  ", " &#160;"),
            )
            rows.append("".join(f'<td style="{style}">{cell}</td>' for cell, style in zip(cells, styles, strict=False)))
    title = "<br>".join(map(escape, [trace.about["title"], *inputs(trace)])).replace("  ", " &#160;")
    return f"<table><caption>{title}</caption>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def network(model: Model) -> str:
    """The network's table; where it is built, its equations for any batch."""
    head = f"<pre>{escape(model.summary())}</pre>"
    return head + (table(outline(model)) if model.built else "")
