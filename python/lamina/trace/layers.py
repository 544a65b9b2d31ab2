"""Names for what happens inside BatchNorm, LayerNorm, Dropout, Embedding and Concatenate, and a norm's backward pass as the line
of a textbook.

A norm: mu mean, v variance, s = sqrt(v + eps), H = (x - mu) / s, N = gamma H + beta; for the means over all samples (BatchNorm) or
over the features of one (LayerNorm)

    dx = (dH - mean dH - H mean(dH H)) / s

Dropout: D = M x / (1 - p), M the mask. Embedding: E = V[x], so dV = onehot(x)^T dE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lamina import _core as core
from lamina.layers import BatchNorm, Concatenate, Dropout, Embedding, LayerNorm
from lamina.trace.graph import StepGraph
from lamina.trace.notation import Equation, Part, Sym

LETTERS = {Concatenate: "C", BatchNorm: "N", LayerNorm: "N", Dropout: "D", Embedding: "E"}


@dataclass
class Norm:
    """The named values of one call of a norm layer."""

    x: core.Node
    centered: core.Node
    spread: core.Node  # s
    inverse: core.Node  # 1 / s
    shape: core.Node  # H
    out: core.Node  # N
    layer: Any
    past: core.Node | None = None  # what reaches x past the norm, and is added
    line: Equation = ()  # right side of dx, but for that
    members: list[core.Node] = field(default_factory=list)  # the nodes that this line stands for, dx the last


def name_inside(symbols: Any) -> list[Norm]:
    """Gives the names; returns the norms found."""
    graph: StepGraph = symbols.graph
    numbers: dict[str, dict[int, int]] = {}
    norms = []
    made = {node.serial: node for node in core.topological([t.node for t in graph.model.programs.outputs])}
    for call in graph.calls():
        letter = LETTERS.get(type(call.layer))
        out = next((graph.real(made[s]) for s in call.outputs if s in made), None) if letter else None
        if letter is None or out is None or out.scope is not call:
            continue
        known = numbers.setdefault(letter, {})
        index = str(known.setdefault(id(call.layer), len(known) + 1))
        if letter == "N":
            norm = _norm(symbols, call, out, index)
            norms += [norm] if norm is not None else []
        elif letter == "D" and out.op == "where":
            symbols.give(graph.real(out.inputs[0]), Sym("M", index))
            symbols.give(out, Sym("D", index))
        elif letter == "C" and out.op == "concatenate":
            symbols.give(out, Sym("C", index))
        elif letter == "E" and out.op == "take":
            symbols.source(call.layer.parameters["weight"].node, Sym("V", index))
            symbols.give(out, Sym("E", index))
    return norms


def _norm(symbols: Any, call: Any, out: core.Node, index: str) -> Norm | None:
    """Recognizes y = (x - mean) (1 / sqrt(var + eps)), then w y + b."""
    seen = symbols.behind
    y = out
    if call.layer.affine:
        if out.op != "add" or seen(out.inputs[0]).op != "mul":
            return None
        y = seen(seen(out.inputs[0]).inputs[0])
    if y.op != "mul" or seen(y.inputs[1]).op != "div":
        return None
    centered, inverse = (seen(n) for n in y.inputs)
    spread = seen(inverse.inputs[1])
    if centered.op != "sub" or spread.op != "sqrt" or seen(spread.inputs[0]).op != "add":
        return None
    mean, variance = seen(centered.inputs[1]), seen(seen(spread.inputs[0]).inputs[0])
    names = {"weight": "γ", "bias": "β", "running_mean": "running_mean", "running_var": "running_var"}
    for local, parameter in call.layer.parameters.items():
        if parameter.node.serial in symbols.graph.nodes:
            symbols.source(parameter.node, Sym(names[local], index))
    for node, letter in ((mean, "μ"), (variance, "v"), (spread, "s")):
        if node.op != "variable":
            symbols.give(node, Sym(letter, index))
    symbols.give(y, Sym("H" if y is not out else "N", index))
    symbols.give(out, Sym("N", index))
    return Norm(symbols.graph.real(centered.inputs[0]), centered, spread, inverse, y, out, call.layer)


def fold(symbols: Any, norm: Norm, readers: dict[int, dict[int, core.Node]]) -> bool:
    """Finds the nodes that make dx from dH, and writes the one line that stands for them; False where they do more than that."""
    graph: StepGraph = symbols.graph
    flow, result = graph.gradients.get(norm.shape.serial), graph.gradients.get(norm.x.serial)
    if flow is None or result is None or flow.serial not in symbols.of or not graph.training:
        return False
    inside, others = _made_of(graph, norm, flow, result)
    members = [inside[s] for s in sorted(inside)]
    if not members or len(others) > 1 or any(readers.get(s, {}).keys() - inside for s, n in inside.items() if n != result):
        return False
    if others and not _only_added(graph, inside, next(iter(others.values())), result):
        return False
    d, h, s = (symbols.ref(n) for n in (flow, norm.shape, norm.spread))
    line: tuple[Part, ...] = ("(", d, " − mean ", d, " − ", h, " ⊙ mean(", d, " ⊙ ", h, ")) / ", s)
    norm.past, norm.line, norm.members = next(iter(others.values()), None), line, members
    return True


def _made_of(graph: StepGraph, norm: Norm, flow: core.Node, result: core.Node) -> tuple[dict[int, core.Node], dict[int, core.Node]]:
    """The nodes of the norm's call that dx is made of, down to dH; and of other gradients those that reach x past the norm."""
    inside: dict[int, core.Node] = {}
    others: dict[int, core.Node] = {}
    waiting = [result]
    while waiting:
        node = graph.real(waiting.pop())
        if node.serial in inside or node == flow or graph.section.get(node.serial) != "backward":
            continue
        if node.scope is not norm.out.scope:
            if core.op_kind(node.op) != "source":
                others[node.serial] = node
            continue
        inside[node.serial] = node
        waiting += node.inputs
    if any(n.op == "add" and flow in map(graph.real, n.inputs) for n in inside.values()):
        others[flow.serial] = flow  # it reaches x past the norm as well
    return inside, others


def _only_added(graph: StepGraph, inside: dict[int, core.Node], other: core.Node, result: core.Node) -> bool:
    """Whether `other` reaches `result` by additions alone, once."""
    node = other
    while node != result:
        readers = [n for n in inside.values() if n.op == "add" or node != other]
        readers = [n for n in readers if any(graph.real(i) == node for i in n.inputs)]
        if len(readers) != 1 or readers[0].op != "add":
            return False
        node = readers[0]
    return True
