"""What the picture shows of a trace: the tensors in the order of the equation, with the signs between them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.draw.canvas import DOTS, Box
from lamina.draw.heatmap import as_matrix
from lamina.layers import Activation, Dense
from lamina.trace import Step, Trace
from lamina.trace.notation import Equation, Sym, text
from lamina.trace.record import gradient_name
from lamina.trace.terms import ATOM, Term

Array = NDArray[Any]

INNER = ("μ", "v", "s", "M")  # means, variances, masks
LONGEST = (6, 4, 2)  # values of a part; shorter ones where two are too many
MIXES = {"matmul", "transpose", "slice", "concatenate", "take", "scatter_add", "pad", "host"}  # columns with others, or turns them
LONGEST_WRITTEN = 48  # characters of an equation with what has no name written out
MOST = 3  # dense layers drawn in full; of more, those at the ends of branches


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
    name: str  # of what is done to what it makes: relu, dropout; '' for nothing
    reads: Sym
    source: str = ""  # of the first one: what is done to the input before it


def chain(trace: Trace, fits: Callable[[list[Item]], bool] = lambda items: True, most: int = 0) -> list[Item]:
    """X . W1 + b1 = Z1 -> A1 . W2 + ...: the named values of the forward pass; behind each output its probabilities and its target.

    Of more dense layers than MOST, and of more than `fits`, those in the middle are left out: first what is no end of a branch.
    `most`: more parts never fit.
    """
    items: list[Item] = []
    for longest in LONGEST:
        parts = _parts(trace, longest)
        few = sum(part[0].kind == "dense" for part in parts) <= MOST
        kept = list(range(len(parts))) if few else sorted({0, len(parts) - 1} | _ends(trace, parts))
        while (most and len(kept) > most) or not fits(items := _items(trace, parts, set(kept))) and len(kept) > 2:
            del kept[len(kept) // 2]
        if fits(items):
            break
    return items


def _parts(trace: Trace, longest: int) -> list[list[Step]]:
    """The lines with names, in parts of `longest` at most, a dense layer first; probabilities stand behind what they are of."""
    parts: list[list[Step]] = []
    made = [step for step in trace.loss if step.kind == "probabilities"]
    for step in trace.forward:
        if not _named(step):
            continue
        if step.kind == "dense" or not parts or len(parts[-1]) >= longest:
            parts.append([])
        parts[-1] += [step, *(p for p in made if p.operands[0] == step.name)]
    return parts


def _ends(trace: Trace, parts: list[list[Step]]) -> set[int]:
    """The parts that read an input, or make an output."""
    ends = {*outputs(trace), *_inputs(trace)}
    return {i for i, part in enumerate(parts) if any(step.name in ends or ends & {*step.operands} for step in part)}


def _items(trace: Trace, parts: list[list[Step]], kept: set[int]) -> list[Item]:
    items: list[Item] = []
    left_out: list[list[Step]] = []
    for i, part in enumerate(parts):
        if i not in kept:
            left_out.append(part)
            continue
        if left_out:
            items.append(Sign(_left_out(trace, [step for out in left_out for step in out])))
        passed = left_out[-1][-1].name if left_out else ""
        left_out = []
        for step in part:
            items += _read(trace, step, items, passed)
            items += _dense(trace, step) if step.kind == "dense" else [Sign(_label(trace, step), arrow=True), _block(trace, step)]
            items += _target(trace, step, part)
            passed = ""
    _once(items)
    return items


def _left_out(trace: Trace, steps: list[Step]) -> str:
    """What is called in lines that have no room: 3 layers, 5 calls of dense_1; only dots for operations outside of layers."""
    nodes = trace.origin.graph.nodes
    found = ((step.layer, nodes[step.nodes[-1]].scope) for step in steps if step.layer and step.nodes[-1] in nodes)
    calls = {id(call): layer for layer, call in found}
    several = len(set(calls.values()))
    if not calls:
        return DOTS
    if len(calls) == several:
        return f"{DOTS} {several} layer{'s' if several > 1 else ''} {DOTS}"
    which = next(iter(calls.values())) if several == 1 else f"{several} layers"
    return f"{DOTS} {len(calls)} calls of {which} {DOTS}"


def _once(items: list[Item]) -> None:
    """A gradient stands under the first of the blocks of one tensor."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, Block) and item.symbol.plain in seen:
            item.gradient, item.kind = None, "again"
        elif isinstance(item, Block):
            seen.add(item.symbol.plain)


def _read(trace: Trace, step: Step, items: list[Item], passed: str) -> list[Item]:
    """What a step reads and what does not stand there already: other inputs, or a value of an earlier layer; dots for
    values without a name.

    `passed`: the value of the last layer that was left out, for which a sign stands.
    """
    inputs = _inputs(trace)
    wanted = [name for name in step.operands if name in inputs or ((line := line_of(trace, name)) and _named(line))]
    wanted = wanted[:1] if step.kind == "dense" else wanted
    shown = {item.symbol.plain for item in items if isinstance(item, Block)}
    last = items[-1] if items else None
    out: list[Item] = []
    more: list[Item] = [Sign(f", {DOTS}" if wanted else DOTS)] if _hidden(trace, step, bool(wanted)) else []
    if passed and passed in wanted:
        return more
    if not items:
        wanted = wanted or inputs
    elif isinstance(last, Block) and last.symbol.plain in wanted:
        wanted = [name for name in wanted if name not in shown]
        out = [Sign(",")] if wanted else []
    elif wanted:
        out = [Sign(";")]
    for name in wanted:
        out += [*([Sign(",")] if name != wanted[0] else []), _value(trace, name)]
    return [*out, *more]


def _hidden(trace: Trace, step: Step, beside: bool) -> bool:
    """Whether it reads a value without a name: `beside` named ones, or one of elsewhere that its equation does not write out."""
    nameless = [trace.step(name) for name in step.operands if not has_name(trace, name)]
    if beside:
        return bool(nameless)
    written = readable(trace, step.equation)
    return any(not step.layer or line.layer != step.layer for line in nameless) and (not written or DOTS in text(written))


def _value(trace: Trace, name: str) -> Block:
    """An input or a value, where it stands as an operand."""
    block = _source(trace, name) if name in trace.sources else _block(trace, trace.step(name))
    block.step = None
    return block


def outputs(trace: Trace) -> list[str]:
    """The names of the outputs; '' for one that is what another line shows, in another shape."""
    graph, names = trace.origin.graph, trace.origin.symbols
    return [names.get(graph.real(t.node).serial, "") for t in graph.model.programs.outputs]


def _targets(trace: Trace, output: str) -> list[str]:
    """What is compared with an output; none without a loss, several where it is given out several times."""
    graph, names = trace.origin.graph, trace.origin.symbols
    found = [names.get(t.node.serial, "") for t in graph.targets]
    return [target for name, target in zip(outputs(trace), found, strict=False) if target and name == output]


def _target(trace: Trace, step: Step, part: list[Step]) -> list[Item]:
    """What an output, or its probabilities, are compared with: the target, as rows with a 1 at the class where it is classes."""
    out = step.operands[0] if step.kind == "probabilities" else step.name
    if step.name == out and any(s.kind == "probabilities" and s.operands[0] == out for s in part):
        return []
    items: list[Item] = []
    for name in _targets(trace, out):
        shown = f"Y{name[1:]}"
        items += [Sign("vs"), Block(Sym("Y", name[1:]), trace[shown], kind="target")] if shown in trace else []
    return items


def _inputs(trace: Trace) -> list[str]:
    return [name for name, source in trace.sources.items() if source["kind"] == "input" and name.startswith("X")]


def _named(step: Step) -> bool:
    """Whether a reader knows the value by a name: not T7, nor what a norm or dropout has inside; the loss has its own place."""
    if step.symbol.name in INNER and step.symbol.sub:
        return False
    return not _nameless(step.symbol) and step.section == "forward"


def _label(trace: Trace, step: Step) -> str:
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
    if step.ops[-2:] == ["sum", "div"]:
        return "mean" if _by_a_count(trace, step) else "divide"
    return "slice" if step.ops[-2:] == ["slice", "reshape"] else step.ops[-1].replace("_", " ")


def _by_a_count(trace: Trace, step: Step) -> bool:
    """Whether the line divides by how many there are."""
    graph = trace.origin.graph
    nodes = [node for node in map(graph.nodes.get, step.nodes) if node is not None]
    division, total = (next(node for node in nodes if node.op == op) for op in ("div", "sum"))
    below = graph.real(division.inputs[1])
    while below.op in ("broadcast_to", "reshape", "cast"):
        below = graph.real(below.inputs[0])
    if below.op == "size":
        return True
    lengths = [total.inputs[0].shape[axis] for axis in total.attrs["axes"]]
    return below.op == "fill" and all(isinstance(n, int) for n in lengths) and below.attrs["value"] == math.prod(lengths)


def _words(layer: str) -> str:
    """A layer's name without its number: layer norm for layer_norm_1."""
    return re.sub(r"_\d+$", "", layer).replace("_", " ")


def _block(trace: Trace, step: Step) -> Block:
    return Block(step.symbol, trace[step.name], _gradient(trace, step.name), step)


def _gradient(trace: Trace, name: str) -> Array | None:
    gradient = gradient_name(name)
    if gradient not in trace:
        return None
    return trace[gradient]


def _source(trace: Trace, name: str) -> Block:
    return Block(Sym(name[0], name[1:]), trace[name], kind="input")


def _dense(trace: Trace, step: Step) -> list[Item]:
    symbols = [p._replace(transposed=False) for p in step.equation[1:] if isinstance(p, Sym)]
    w = symbols[1]
    out: list[Item] = [Sign("·"), Block(w, trace[w.plain], _gradient(trace, w.plain), None, "weight")]
    if len(symbols) > 2:
        b = symbols[2]
        out += [Sign("+"), Block(b, trace[b.plain], _gradient(trace, b.plain), None, "bias")]
    return [*out, Sign("="), _block(trace, step)]


def layers(trace: Trace) -> list[Layer]:
    """The dense layers for the picture of the network; none where one has more than a row a sample, or where there are branches:
    a line of columns would leave something out, or show links that there are not.
    """
    found: list[Layer] = []
    read: set[str] = set()
    forward = trace.forward
    dense = [i for i, step in enumerate(forward) if step.kind == "dense"]
    for i, end in zip(dense, [*dense[1:], len(forward)], strict=False):
        layer = _layer(trace, forward[i], forward[i + 1 : end])
        if layer is None or layer.reads.plain in read or (found and len(found[-1].outputs) != len(layer.inputs)):
            return []
        read.add(layer.reads.plain)
        if found and layer.reads.plain != found[-1].symbol.plain:  # a norm or dropout between: what the next layer reads is shown
            found[-1].outputs, found[-1].symbol = layer.inputs, layer.reads
        found.append(layer)
    if not found or not _show_output(trace, found[-1]):
        return []
    found[0].source = _functions(trace, forward[: dense[0]])
    if "P" in trace and trace["P"].shape[-1] == len(found[-1].outputs):
        last_name = ", ".join(filter(None, (found[-1].name, "softmax")))
        found[-1].outputs, found[-1].symbol, found[-1].name = trace["P"][0], Sym("P"), last_name
    return found


def _layer(trace: Trace, step: Step, behind: list[Step]) -> Layer | None:
    """A dense layer by its line and those up to the next layer; None where a sample has several rows in it."""
    reads, weight = [p for p in step.equation[1:] if isinstance(p, Sym)][:2]
    inputs = trace[reads.plain]
    if step.values is None or step.values.ndim != 2 or inputs.ndim != 2:
        return None
    active = (line for line in behind[:1] if line.symbol.name.rstrip("′") == "A" and step.name in line.operands)
    last = next(active, step)
    name = _functions(trace, _made_of(behind, step.name))
    return Layer(step.symbol.sub, trace[weight.plain], inputs[0], np.asarray(last.values)[0], last.symbol, name, reads)


def _functions(trace: Trace, lines: list[Step]) -> str:
    """What is done to values between two dense layers, in words: batch norm, relu, dropout."""
    words: list[tuple[str | None, str]] = []
    for line in lines:
        layer = trace.model.wiring.layers.get(line.layer or "")
        own = isinstance(layer, (Dense, Activation))  # of the others the lines are a part of what they do
        said = [_label(trace, line)] if own else [_words(line.layer)] if line.layer else _operations(trace, line)
        words += [(line.layer, word) for word in said if (line.layer, word) not in words[-1:]]
    return ", ".join(word for _, word in words)


def _operations(trace: Trace, line: Step) -> list[str]:
    """What a line outside of layers does."""
    label = _label(trace, line)
    return [label] if label in ("mean", "join") else [op.replace("_", " ") for op in line.ops]


def _show_output(trace: Trace, last: Layer) -> bool:
    """Puts what is made of the last neurons' values, one of each as by a function or a norm, in their place; False where the output
    is made in another way.
    """
    (name,) = outputs(trace)
    if name in ("", last.symbol.plain):
        return True
    step = line_of(trace, name)
    if step is None or step.values is None or step.values.ndim != 2 or step.values.shape[1] != len(last.outputs):
        return False
    if MIXES & {op for line in _made_of(trace.forward, last.symbol.plain) for op in line.ops}:
        return False
    last.outputs, last.symbol = step.values[0], step.symbol
    return True


def _made_of(lines: list[Step], name: str) -> list[Step]:
    """Those that have a part of this value in them."""
    known, found = {name}, []
    for step in lines:
        if known & {*step.operands}:
            known.add(step.name)
            found.append(step)
    return found


def _nameless(symbol: Sym) -> bool:
    """Whether it is one of T1, T2, ..., which have a line in explain() alone."""
    return symbol.name.startswith("T") and bool(symbol.sub)


def has_name(trace: Trace, name: str) -> bool:
    """Whether it is an input, a parameter or a value that the picture may show."""
    return name in trace.sources or not _nameless(trace.step(name).symbol)


def dotted(equation: Equation) -> Equation:
    """The equation with dots for what the picture has no names for; nothing where it names nothing else.

    >>> dotted(("Z = ", Sym("T", "1"), " + ", Sym("X")))
    ('Z = ', '⋯', ' + ', Sym(name='X', sub='', gradient=False, transposed=False))
    """
    named = [not _nameless(part) for part in equation[1:] if isinstance(part, Sym)]
    if named and not any(named):
        return ()
    return tuple(DOTS + "ᵀ" * p.transposed if isinstance(p, Sym) and _nameless(p) else p for p in equation)


def readable(trace: Trace, equation: Equation) -> Equation:
    """The equation as the picture has it: what a short line makes of named values is written out, |A - A'| for |T1|; dots for other
    values without a name.
    """
    parts: list[Any] = []
    for i, part in enumerate(equation):
        inner = _made_once(trace, part) if i and isinstance(part, Sym) and _nameless(part) else None
        turned = isinstance(part, Sym) and part.transposed
        parts += [part] if inner is None else _within(inner, equation[i - 1 : i], equation[i + 1 : i + 2], turned)
    return dotted(tuple(parts) if len(text(tuple(parts))) <= LONGEST_WRITTEN else equation)


def _made_once(trace: Trace, symbol: Sym) -> Term | None:
    """What makes a value without a name, where that has names, and letters that need no words."""
    step = trace.step(symbol._replace(transposed=False).plain)
    node = trace.origin.graph.nodes.get(step.nodes[-1])
    if node is None or step.where or any(isinstance(part, Sym) and _nameless(part) for part in step.equation[1:]):
        return None
    term: Term = trace.origin.writing.term(node)
    return term if text(term.parts) == text(step.equation[1:]).removeprefix(" = ") else None


def _within(term: Term, before: Equation, after: Equation, turned: bool) -> Equation:
    """An expression where its symbol was, in parentheses unless it has some or needs none."""
    left, right = (side[0] if side and isinstance(side[0], str) else "" for side in (before, after))
    alone = left.endswith(("(", "|", ", ")) and right.startswith((")", "|", ", ")) or (left.endswith(" = ") and not right)
    return (*term.within(ATOM if turned or not alone else 0), *(["ᵀ"] if turned else []))


def line_of(trace: Trace, name: str) -> Step | None:
    """The line of a value; None for an input or a parameter, and for what is not there."""
    return trace.step(name) if name in trace and name not in trace.sources else None


def equation_of(trace: Trace, name: str) -> Equation:
    """The equation of a value as far as it can be read."""
    step = line_of(trace, name)
    return () if step is None else readable(trace, step.equation)
