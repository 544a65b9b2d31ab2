"""A trace as text: a line a step, with shapes, FLOP and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lamina.base import tables
from lamina.explain.check import Check, largest
from lamina.explain.notes import element, inputs, note, reason, shapes_of
from lamina.trace import Step, Trace, notation
from lamina.trace.notation import in_formula, number, short
from lamina.trace.record import SECTIONS, Rule, gradient_name
from lamina.trace.rules import Numbers

ROUNDED = 0.1  # of a gradient: more is no rounding of its terms
WIDEST = 52  # of the column of equations; a longer one has a line above its figures
WIDEST_NAME = 60  # of a step
SHORT = {"float32": "f32", "float64": "f64"}
LEGEND = (
    "rows are samples;  Z = X W + 1 bᵀ, 1 a column of ones;  dT = ∂L/∂T, in the shape of T;  ⊙ element by element;  "
    "(m×k)(k×n) costs 2mkn FLOP, ~: functions of losses count as one each;  indices and axes count from 1"
)


def render(trace: Trace, level: str, check: Check | None, ascii: bool = False) -> str:
    """The whole text; `level` is shapes, values or derive."""
    head, lines = _table(trace, level, ascii)
    out, said = [_title(trace), LEGEND, *inputs(trace), ""], {""}
    for section in SECTIONS:
        steps = trace.section(section)
        if not steps:
            continue
        out.append(head if section == "forward" else _head(trace, section))
        if section == "update":
            out += _rule(trace, level)
        for step in steps:
            out += lines[step.number - 1]
            more = [line for line in _more(trace, step, level) if line not in said]
            said |= {*more}
            out += [f"       {line}" for line in more]
        if section == "backward":
            out += _after_backward(trace, check, level)
    whole = "\n".join([*out, *_instead(trace), *_program(trace, level)])
    return notation.to_ascii(whole) if ascii else whole


def _table(trace: Trace, level: str, ascii: bool) -> tuple[str, list[list[str]]]:
    """The heads of the columns, and the line of each step; of one with a long equation that, and its figures below."""
    shown = 3 if level == "shapes" else 4
    rows = [("FORWARD", "shapes", "FLOP", "values")[:shown]]
    longer: dict[int, str] = {}
    for step in trace:
        equation, shapes = notation.text(step.equation, ascii), shapes_of(step)
        if len(equation) > WIDEST:
            longer[step.number], equation = equation, ""
        figures = (notation.to_ascii(shapes) if ascii else shapes, _flops(step), *([note(trace, step)] if shown == 4 else []))
        rows.append((f"{step.number:>3} {equation}", *figures))
    head, *lines = tables.text(rows, "<<><"[:shown])
    return head, [[f"{line[:4]}{longer[i]}", " " * 4 + line[4:]] if i in longer else [line] for i, line in enumerate(lines, 1)]


def _instead(trace: Trace) -> list[str]:
    """What stands for a backward pass, or an update, without lines."""
    out: list[str] = []
    if trace.loss and not trace.backward:
        out += ["BACKWARD", "    (nothing is trained, and no gradient wanted)", *_frozen(trace)]
    if trace.backward and not trace.update:
        out += [f"UPDATE  {trace.about['optimizer']} takes all data at once: no line of this program", *_rule(trace, "shapes")]
        out += [f"    {'  '.join(trace.rule.settings)}"] if trace.rule is not None and trace.rule.numbers else []
    return out


def _title(trace: Trace) -> str:
    about = trace.about
    size = about["parameter_bytes"]
    held = [p.dtype for p in trace.model.wiring.parameters.values()] or [about["dtype"]]
    kind = ", ".join(SHORT.get(dtype, dtype) for dtype in dict.fromkeys(held))
    free = dict.fromkeys(f", {n} = 1" for t in trace.model.inputs for n in t.shape[1:] if not isinstance(n, int))
    batch = f"any batch B (FLOP for one sample{''.join(free)})" if about["batch"] is None else f"batch B = {about['batch']}"
    loss = [about["loss"].replace("()", "")] if about["loss"] else []
    return "   ".join(
        [about["title"], *_activations(trace), *loss, f"{about['parameters']:,} parameters ({size:,} B {kind})", batch]
    )


def _activations(trace: Trace) -> list[str]:
    names = [getattr(getattr(layer, "activation", None), "__name__", "linear") for layer in trace.model.wiring.layers.values()]
    shown = list(dict.fromkeys(name for name in names if name not in ("linear", "<lambda>")))
    return [", ".join(shown)] if shown else []


def _head(trace: Trace, section: str) -> str:
    if section == "update" and trace.rule is not None:
        return f"UPDATE  {trace.rule.title}  {'  '.join(trace.rule.settings)}"
    return section.upper() + (" (the chain rule, from the last line to the first)" if section == "backward" else "")


def _flops(step: Step) -> str:
    if step.parts:
        return "+".join(f"{part:,}" for part in step.parts)
    return ("~" if step.kind in ("loss", "probabilities", "loss gradient") else "") + (f"{step.flops:,}" if step.flops else "")


def _more(trace: Trace, step: Step, level: str) -> Iterable[str]:
    yield notation.text(step.where)
    if level != "shapes" and step.number == 1:
        yield element(trace, step)
    if level == "derive":
        yield reason(trace, step)


def _after_backward(trace: Trace, check: Check | None, level: str) -> list[str]:
    out = [
        f"    ({notation.text(s['equation'])} is skipped: nothing needs it; that saves {s['flops']:,} FLOP)" for s in trace.skipped
    ]
    out += _frozen(trace)
    if check is not None and level != "shapes":
        where = f"{_pretty(trace, check.name)}[{','.join(str(i + 1) for i in check.at)}]"
        verdict = "ok" if check.ok else f"differs by {number(check.gradient - check.difference, 2)}"
        if not math.isfinite(check.gradient + check.difference):
            verdict = "not finite"
        elif not check.ok:
            verdict += _why_not(trace, check)
        out.append(f"    check: {where} = {number(check.gradient, 6)}   finite difference {number(check.difference, 6)} {verdict}")
    return out


def _why_not(trace: Trace, check: Check) -> str:
    """What parts a gradient and its difference quotient: what the loss does on purpose, or what may do so."""
    if check.cause:
        return f" ({check.cause})"
    apart, largest = abs(check.gradient - check.difference), max(abs(check.gradient), abs(check.difference))
    rounded = trace.about["dtype"] != "float64" and apart < ROUNDED * largest
    reasons = ["a kink nearby"] * check.kink + ["a stop_gradient"] * check.stopped + ["float32's rounding"] * rounded
    return f" ({', or '.join(reasons)}?)" if reasons else ""


def _frozen(trace: Trace) -> list[str]:
    weights = trace.model.wiring.parameters.items()
    frozen = [name for name, p in weights if p.is_weight and not p.trainable]
    return [f"    (frozen, without gradient and update: {', '.join(frozen)})"] if frozen else []


def _pretty(trace: Trace, name: str) -> str:
    """The gradient of a parameter as it is written."""
    return trace.step(gradient_name(name)).symbol.unicode()


def _rule(trace: Trace, level: str) -> list[str]:
    """The optimizer's lines; with values, the numbers of one weight in them."""
    rule = trace.rule
    if rule is None:
        return []
    out = [f"    {line}" for line in rule.written]
    if level != "shapes":
        out += _plugged(trace)
    return out


def _plugged(trace: Trace) -> list[str]:
    """The rule's lines for the weight with the largest gradient, with numbers for their letters."""
    rule = trace.rule
    step = next((s for s in trace.update if s.kind == "update" and s.values is not None), None)
    if rule is None or step is None or step.gradient is None or step.before is None or step.values is None or not rule.lines:
        return []
    at = largest(step.gradient)  # of the gradient as the rule gets it: clipped
    now, after = _numbers(rule, step, {"w": step.before[at], "g": step.gradient[at]}, step.values[at], at)
    where = f"{step.symbol.unicode()}[{','.join(str(i + 1) for i in at)}]"
    gradient = gradient_name(step.name)
    dw = f"  dw = {number(trace[gradient][at])}" if rule.given and gradient in trace else ""
    out = [f"    for {where}:  w = {number(now['w'])}{dw}  g = {number(now['g'])}  t = {int(rule.numbers['t'])}"]
    lines = rule.lines_of(step.before.ndim)
    last = {target: i for i, (target, _) in enumerate(lines)}
    for i, (target, formula) in enumerate(lines):
        known = target in after and last[target] == i
        out.append(
            f"      {target} = {substitute(formula, {**rule.numbers, **now})}" + (f" = {number(after[target])}" if known else "")
        )
        if known:
            now[target] = after[target]
    return out


def _numbers(rule: Rule, step: Step, given: Numbers, new: float, at: tuple[int, ...]) -> tuple[Numbers, Numbers]:
    """What letters stand for, of one weight: before the step, and once a line has given them another value."""
    slots = {letter: value[at] for letter, (_, value) in step.slots.items() if value is not None}
    now = {**given, **rule.before, **{letter: before[at] for letter, (before, _) in step.slots.items()}}
    after = {"w": new, **rule.now, **slots}
    if rule.lines[0][0] == "g":  # with the weight decay in it
        after["g"] = now["g"] + rule.numbers["wd"] * now["w"]
    if rule.element is None:
        return now, after
    of_slots = {rule.slots[letter]: float(value) for letter, value in slots.items()}
    made = rule.element(step.shape, now["w"], now["g"], new, of_slots)
    return now | made, after | made


def substitute(formula: str, numbers: dict[str, float]) -> str:
    """The formula with numbers for its letters.

    >>> substitute("β1·m + (1 − β1)·g", {"β1": 0.9, "m": 0.0, "g": -0.5})
    '.9·0 + (1 − .9)·(−.5)'
    """
    out, i = "", 0
    letters = sorted(numbers, key=len, reverse=True)
    while i < len(formula):
        found = next((n for n in letters if formula.startswith(n, i) and not _inside_word(formula, i, n)), None)
        if found is None:
            out += "^" + number(numbers["t"]) if formula[i] == "ᵗ" and "t" in numbers else formula[i]
            i += 1
            continue
        after = formula[i + len(found) : i + len(found) + 1]
        bare = after == ")" and out.endswith("(")
        out += number(numbers[found]) if bare else in_formula(numbers[found])
        i += len(found)
    return out


def _inside_word(formula: str, i: int, name: str) -> bool:
    before = formula[i - 1] if i else " "
    after = formula[i + len(name)] if i + len(name) < len(formula) else " "
    return (before.isascii() and before.isalpha()) or (after.isascii() and after.isalpha())


def _program(trace: Trace, level: str) -> list[str]:
    """What really runs: which lines were fused into one step, and how long it takes."""
    total = sum(step.flops for step in trace)
    out = [
        "",
        f"{total:,} FLOP in all{', beside those of inverses and decompositions' * any('host' in step.ops for step in trace)}",
    ]
    if level == "shapes" or not trace.program:
        return out
    seconds = sum(step.microseconds for step in trace.program) or 1e-9
    out[-1] += f"; {number(seconds, 3)} µs on this machine = {number(total / seconds / 1e3, 3)} GFLOP/s"
    out.append(f"PROGRAM  the {len(trace.program)} steps that run; lines in one bracket are fused")
    rows = [
        (short(step.name, WIDEST_NAME), f"{step.microseconds:8.2f} µs", f"[{_ranges(step.lines)}]" if step.lines else "")
        for step in trace.program
    ]
    return [*out, *(f"    {line}" for line in tables.text(rows, "<><"))]


def _ranges(numbers: list[int]) -> str:
    """1–3, 7"""
    groups: list[list[int]] = []
    for n in numbers:
        if groups and groups[-1][-1] == n - 1:
            groups[-1].append(n)
        else:
            groups.append([n])
    return ", ".join(str(g[0]) if len(g) == 1 else f"{g[0]}–{g[-1]}" for g in groups)
