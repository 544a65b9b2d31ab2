"""What the picture shows of a trace: the tensors in the order of the equation, with the signs between them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.draw.canvas import Box
from lamina.draw.heatmap import as_matrix
from lamina.notation import Equation, Sym
from lamina.trace import Step, Trace
from lamina.trace.record import gradient_name

Array = NDArray[Any]

INNER = ("μ", "v", "s", "M")  # means, variances, masks
MOST = 3  # dense layers drawn in full; of more, the first and the last ones


@dataclass
class Block:
    """A tensor: its values, those of its gradient, the line that computes it; `box` and `under` once it is laid out."""

    symbol: Sym
    values: Array
    gradient: Array | None = None
    step: Step | None = None
    kind: str = "value"  # input, weight, bias, value, target
    box: Box = field(default_factory=lambda: Box(0, 0, 0, 0))
    under: Box = field(default_factory=lambda: Box(0, 0, 0, 0))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The values as rows and columns."""
        return as_matrix(self.values)


@dataclass
class Sign:
    """What stands between two tensors; `arrow` for a function, with its name over it."""

    text: str
    arrow: bool = False
    x: float = 0.0


Item = Block | Sign


@dataclass
class Layer:
    """A dense layer: a line of neurons, the weights to it, and the values that its neurons show."""

    index: str
    weight: Array
    inputs: Array  # values of the neurons before it, of the first sample
    outputs: Array  # after the activation
    symbol: Sym
    name: str  # of the activation, '' for none
    reads: Sym


def chain(trace: Trace) -> list[Item]:
    """X . W1 + b1 = Z1 -> A1 . W2 + ...: the named values of the forward pass, and P and Y of the loss."""
    items: list[Item] = []
    if not any(step.kind == "dense" for step in trace.forward[:1]):
        items += [_source(trace, name) for name in trace.sources if name.startswith("X")][:1]
    steps = _elided([s for s in (*trace.forward, *trace.loss) if s.kind == "dense" or _named(s)])
    for step in steps:
        if isinstance(step, str):
            items.append(Sign(step))
        elif step.kind == "dense":
            items += _operand(trace, step, items)
            items += _dense(trace, step)
        else:
            items += [Sign(_label(step), arrow=True), _block(trace, step)]
    if "P" in trace and "Y" not in trace.sources:
        target = _one_hot(trace)
        items += [Sign("vs"), Block(Sym("Y"), target, kind="target")] if target is not None else []
    elif "Y" in trace.sources and trace.loss:
        items += [Sign("vs"), Block(Sym("Y"), trace["Y"], kind="target")]
    return items


def _named(step: Step) -> bool:
    """Whether a reader knows the value by a name: not T7, nor what a norm or dropout has inside; the loss has its own place."""
    if step.symbol.name in INNER and step.symbol.sub:
        return False
    return not _nameless(step.symbol) and step.symbol.name != "L" and step.section in ("forward", "loss")


def _elided(steps: list[Step]) -> list[Step | str]:
    """The steps, those of inner layers left out where there are too many."""
    starts = [i for i, s in enumerate(steps) if s.kind == "dense"]
    if len(starts) <= MOST:
        return list(steps[:16])
    return [*steps[: starts[1]], f"⋯ {len(starts) - 2} layers ⋯", *steps[starts[-1] :]]


def _label(step: Step) -> str:
    if step.symbol.name == "H" and step.symbol.sub:
        return "norm"
    if step.layer and step.symbol.name in ("D", "E") or (step.layer and step.kind == "div"):
        return _words(step.layer)
    if step.kind == "concatenate":
        return "join"
    if step.symbol.name == "N" and step.symbol.sub:
        return "γ, β"
    if step.layer and step.kind not in ("activation", "probabilities") and step.symbol.name == step.layer:
        return _words(step.layer)
    return step.ops[-1].replace("_", " ")


def _words(layer: str) -> str:
    """A layer's name without its number: layer norm for layer_norm_1."""
    return re.sub(r"_\d+$", "", layer).replace("_", " ")


def _block(trace: Trace, step: Step, kind: str = "value") -> Block:
    return Block(step.symbol, trace[step.name], _gradient(trace, step.name), step, kind)


def _gradient(trace: Trace, name: str) -> Array | None:
    gradient = gradient_name(name)
    if gradient not in trace:
        return None
    return trace[gradient]


def _source(trace: Trace, name: str) -> Block:
    return Block(Sym(name[0], name[1:]), trace[name], kind="input")


def _operand(trace: Trace, step: Step, items: list[Item]) -> list[Item]:
    """What a dense layer reads, where that is not what stands there already: another input, or a value of an earlier layer."""
    name = step.operands[0]
    last = items[-1] if items else None
    if isinstance(last, Sign) or (last is not None and last.symbol.plain == name):
        return []
    block = _source(trace, name) if name in trace.sources else Block(trace.step(name).symbol, trace[name], kind="again")
    return [Sign(";"), block] if items else [block]


def _dense(trace: Trace, step: Step) -> list[Item]:
    symbols = [p._replace(transposed=False) for p in step.equation[1:] if isinstance(p, Sym)]
    w = symbols[1]
    out: list[Item] = [Sign("·"), Block(w, trace[w.plain], _gradient(trace, w.plain), None, "weight")]
    if len(symbols) > 2:
        b = symbols[2]
        out += [Sign("+"), Block(b, trace[b.plain], _gradient(trace, b.plain), None, "bias")]
    return [*out, Sign("="), _block(trace, step)]


def _one_hot(trace: Trace) -> Array | None:
    names = trace.detail["symbols"]
    return next((v for serial, v in trace.detail["values"].items() if names.get(serial) == "Y"), None)


def layers(trace: Trace) -> list[Layer]:
    """The dense layers whose operands are one row a sample, for the picture of the network."""
    found: list[Layer] = []
    read: set[str] = set()
    for i, step in enumerate(trace.forward):
        if step.kind != "dense" or step.values is None or step.values.ndim != 2:
            continue
        symbols = [p for p in step.equation[1:] if isinstance(p, Sym)]
        before = trace[symbols[0].plain]
        if before.ndim != 2:
            continue
        if found and (len(found[-1].outputs) != before.shape[1] or symbols[0].plain in read):
            return []  # branches: a line of columns would show links that there are not
        read.add(symbols[0].plain)
        if found and symbols[0].plain != found[-1].symbol.plain:  # a norm or dropout between: what the next layer reads is shown
            between = _words(trace.step(symbols[0].plain).layer or "")
            found[-1].outputs, found[-1].symbol = before[0], symbols[0]
            found[-1].name = ", ".join(name for name in (found[-1].name, between) if name)
        after = trace.forward[i + 1] if i + 1 < len(trace.forward) else None
        active = after is not None and after.symbol.name == "A" and step.name in after.operands
        last = after if active and after is not None else step
        name = after.ops[-1].replace("_", " ") if active and after is not None else ""
        found.append(
            Layer(step.symbol.sub, trace[symbols[1].plain], before[0], np.asarray(last.values)[0], last.symbol, name, symbols[0])
        )
    if found and "P" in trace and trace["P"].shape[-1] == len(found[-1].outputs):
        found[-1].outputs, found[-1].symbol, found[-1].name = trace["P"][0], Sym("P"), "softmax"
    return found


def _nameless(symbol: Sym) -> bool:
    """Whether it is one of T1, T2, ..., which have a line in explain() alone."""
    return symbol.name.startswith("T") and bool(symbol.sub)


def can_be_read(equation: Equation) -> bool:
    """Whether the picture shows what the equation names."""
    return not any(isinstance(part, Sym) and _nameless(part) for part in equation)


def equation_of(trace: Trace, name: str) -> Equation | None:
    """The equation of a value, where it has one that can be read."""
    equation = trace.step(name).equation if name in trace and name not in trace.sources else None
    return equation if equation is not None and can_be_read(equation) else None
