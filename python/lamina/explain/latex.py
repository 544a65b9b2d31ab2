"""A trace as a LaTeX document: one aligned display a section. It needs amsmath only."""

from __future__ import annotations

import re

from lamina.explain.notes import inputs, note, reason, shapes_of
from lamina.trace import Step, Trace, notation
from lamina.trace.notation import Sym, escape_text
from lamina.trace.record import SECTIONS


def document(trace: Trace, level: str) -> str:
    """A document that compiles as it is."""
    out = [
        r"\documentclass{article}",
        r"\usepackage[a4paper,landscape,margin=15mm]{geometry}",
        r"\usepackage{amsmath}",
        r"\allowdisplaybreaks",
        r"\begin{document}",
        rf"\section*{{{_text(trace.about['title'])}}}",
        r"Rows are samples; $1$ beside a matrix is a column of ones; $\mathrm{d}T = \partial L / \partial T$ has the shape of $T$; "
        r"$\odot$ is element by element; "
        "indices and axes count from 1.",
        *(rf"\par\noindent {_text(line)}".replace("  ", r" \quad ") for line in inputs(trace)),
    ]
    for section in SECTIONS:
        steps = trace.section(section)
        if steps:
            out += [rf"\subsection*{{{section.capitalize()}}}", *(_rule(trace) if section == "update" else []), r"\begin{align*}"]
            out += [" \\\\\n".join(_line(trace, step, level) for step in steps), r"\end{align*}"]
            out += [rf"\noindent ({s.number}) ${notation.latex(s.where)}$\par" for s in steps if s.where]
            whys = {reason(trace, s): s.number for s in reversed(steps) if level == "derive"}  # where each is said first
            out += [rf"\noindent {_why(*why)}\par" for why in sorted(whys.items(), key=lambda why: why[1]) if why[0]]
    if trace.backward and not trace.update:
        out += [rf"\subsection*{{Update by {_text(trace.about['optimizer'])}, on all data at once}}", *_rule(trace)]
    return "\n".join([*out, r"\end{document}", ""])


def _line(trace: Trace, step: Step, level: str) -> str:
    left = step.equation[0]
    right = notation.latex(step.equation[1:])
    beside = [shapes_of(step), *([note(trace, step)] if level != "shapes" else [])]
    tail = r" \quad ".join(rf"\text{{{_text(b)}}}" for b in beside if b)
    name = left.latex() if isinstance(left, Sym) else notation.latex((left,))
    return rf"{name} &{right} && {tail} \tag{{{step.number}}}"


def _rule(trace: Trace) -> list[str]:
    if trace.rule is None or not trace.rule.lines:
        return []
    written = [*trace.rule.given, *(f"{target} ← {formula}" for target, formula in trace.rule.lines)]
    lines = [notation.latex((line,)) for line in written]
    numbers = r", \quad ".join(notation.latex((setting,)) for setting in trace.rule.settings)
    given = [rf"\noindent with ${numbers}$\par"] if numbers else []
    return [r"\begin{gather*}", " \\\\\n".join(lines), r"\end{gather*}", *given]


def _why(why: str, number: int) -> str:
    raised = re.sub(r"\^(?:\(([^()]*)\)|(-?\w+))", "\x02\\1\\2\x03", why)
    return f"({number}) {_text(raised)}.".replace("\x02", r"$^{\text{").replace("\x03", "}}$")


def _text(line: str) -> str:
    for i, subscript in enumerate("₀₁₂₃₄₅₆₇₈₉"):
        line = line.replace(subscript, f"\x00{i}\x01")
    return escape_text(line).replace("\x01\x00", "").replace("\x00", "$_{").replace("\x01", "}$").replace("µ", r"$\mu$")
