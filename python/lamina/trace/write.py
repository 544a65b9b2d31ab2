"""From the nodes of a step to the lines of a trace."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina import _core as core
from lamina.graph.inference import EFFECTS
from lamina.layers import Dense
from lamina.models.wiring import calls_of, nodes_of
from lamina.optim import Muon
from lamina.trace import cost
from lamina.trace.equations import Writing
from lamina.trace.graph import StepGraph, known_as
from lamina.trace.layers import fold as fold_norm
from lamina.trace.losses import Folded, Losses
from lamina.trace.notation import Equation, Part, Sym
from lamina.trace.record import Step, Trace
from lamina.trace.rules import clip_factor
from lamina.trace.run import Measured
from lamina.trace.symbols import HIDDEN, Symbols
from lamina.trace.terms import ROWS_SAID, of_rows

Array = np.ndarray[Any, Any]

MOST_WIDTHS = 14  # in the title of a stack of dense layers


class Writer:
    """Writes the lines of one step in order; `measured` may be empty: then shapes keep their symbols."""

    def __init__(self, graph: StepGraph, measured: Measured, trace: Trace) -> None:
        self.graph, self.measured, self.trace = graph, measured, trace
        self.symbols = Symbols(graph)
        self.losses = Losses(self.symbols)
        self.terms = {folded.term.serial: folded for folded in self.losses.folded}
        self.slopes = {f.slope.serial: f for f in self.losses.folded if f.slope is not None and f.slope_members}
        self.counted: set[int] = set()  # serials of nodes that have a line
        self.sums = self._sums()
        self.products = {z.serial: product for _, _, product, z in self.symbols.dense}
        self.batch = trace.about["batch"] or 1
        self.layers = {id(layer): name for name, layer in graph.model.wiring.layers.items()}
        self.losses.hide()
        readers = graph.readers()
        self.norms = {norm.members[-1].serial: norm for norm in self.symbols.norms if fold_norm(self.symbols, norm, readers)}
        for norm in self.norms.values():
            self.symbols.hidden |= {n.serial for n in norm.members[:-1]}
        self.bounded = self._bounded()
        self.clip = self._clip()
        self.muon = type(graph.model.optimizer) is Muon
        self.writing = Writing(self.symbols)
        self.writing.always |= {n.serial for norm in self.symbols.norms for n in (norm.centered, norm.inverse)} | self.bounded
        self.writing.never |= set(self.norms)
        states = [variable for variable, _, _ in graph.states]
        again = graph.below([value for variable, value, _ in graph.states if states.count(variable) > 1])
        self.writing.always |= {s for s in again if graph.section.get(s) == "update"}  # a line above would say what is there before

    def write(self) -> None:
        """All sections."""
        for section in ("forward", "loss", "backward"):
            for node in self.graph.ordered(section):
                self._line(node, section)
        self._parameters_first()
        self._skipped()
        of_states = self.graph.below([value for _, value, _ in self.graph.states])
        for node in self.graph.ordered("update"):
            one_line = self.muon and node not in self.clip and node.serial not in of_states  # see _orthogonal
            if node.op not in EFFECTS and not one_line:
                self._line(node, "update")
        for effect in self.graph.effects:
            if self.muon:
                self._orthogonal(effect)
            else:
                self._effect(effect)
        for variable, value, mark in self.graph.states:
            self._state(variable, value, mark)
        self._sources()
        self._say_rows()

    def _bounded(self) -> set[int]:
        """Serials of the gradients as clip_value leaves them: written out where they are read, by the rule and by clip_norm."""
        if getattr(self.graph.model.optimizer, "clip_value", None) is None:
            return set()
        clips = [n for n in self.graph.ordered("update") if n.op == "clip"]
        return {n.serial for n in clips if self.graph.section.get(self.graph.real(n.inputs[0]).serial) != "update"}

    def _clip(self) -> list[core.Node]:
        """The nodes that make the factor of clip_norm, the factor itself the last; hidden but for that one."""
        if getattr(self.graph.model.optimizer, "clip_norm", None) is None or not self.graph.effects:
            return []
        factor = next((n for n in self.graph.ordered("update") if n.op == "minimum" and n.serial not in self.symbols.of), None)
        if factor is None:
            return []
        self.symbols.give(factor, Sym("c"))
        made = [n for n in self.graph.within(factor, "update") if n.op not in HIDDEN]
        members = [n for n in made if n != factor and n.serial not in self.bounded]
        self.symbols.hidden |= {n.serial for n in members}
        return [*members, factor]

    def _clip_factor(self) -> str:
        assert self.graph.model.optimizer is not None
        return clip_factor(self.graph.model.optimizer, "all clipped gradients" if self.bounded else "all gradients")

    # ---- one line ----

    def _line(self, node: core.Node, section: str) -> None:
        symbols = self.symbols
        if node.serial in self.terms:
            return self._folded_loss(self.terms[node.serial])
        if node.serial in self.slopes:
            return self._folded_slope(self.slopes[node.serial])
        if node == self.graph.loss and self.losses.total:
            return self._add(section, (symbols.ref(node), " = ", *self.losses.total), self.losses.total_members, "loss")
        if not symbols.shown(node) or self.writing.inside(node):
            return
        if node.serial in self.products:
            return self._dense(self.products[node.serial], node)
        if node.serial in self.norms:
            norm = self.norms[node.serial]
            past = () if norm.past is None else (*self.writing.read_by(node, norm.past).parts, " + ")
            return self._add(section, (symbols.ref(node), " = ", *past, *norm.line), norm.members, "norm gradient")
        if self.clip and node == self.clip[-1]:
            return self._add(section, (Sym("c"), " = ", self._clip_factor()), self.clip, "clipping")
        term = self.writing.term(node)
        kind = self._kind(node, section)
        where: Equation = ("the numbers in ", symbols.ref(node.inputs[1]), " count from 0") if node.op == "take" else ()
        self._add(section, (symbols.fresh(node), " = ", *term.parts), list(term.nodes), kind, where=where)

    def _dense(self, product: core.Node, z: core.Node) -> None:
        ref = self.symbols.ref
        right: Equation = (ref(product.inputs[0]), " ", ref(product.inputs[1]))
        if z is not product:
            bias = z.inputs[0] if z.inputs[1] == product else z.inputs[1]
            b = ref(bias)
            right = (*right, " + 1 ", b.T if isinstance(b, Sym) else b)
        nodes = [product] if z is product else [product, z]
        self._add(self.graph.section[z.serial], (ref(z), " = ", *right), nodes, "dense")

    def _folded_loss(self, folded: Folded) -> None:
        if folded.probability is not None:
            node = folded.probability
            self._add("loss", (self.symbols.ref(node), " = softmax(", self.symbols.ref(folded.pred), ")"), [node], "probabilities")
        self._add("loss", folded.equation(), folded.members, "loss", where=folded.where())

    def _folded_slope(self, folded: Folded) -> None:
        self._add("backward", folded.slope_equation(), folded.slope_members, "loss gradient", where=folded.slope_where())

    def _effect(self, effect: core.Node) -> None:
        target = self.graph.real(effect.inputs[0])
        w = self.symbols.ref(target)
        if effect.op == "rule_update":
            g, title = self.writing.operand(effect.inputs[1]), type(self.graph.model.optimizer).__name__
            self._add("update", (w, f" ← {title}(", w, ", ", *g.parts, ")"), [*g.nodes, effect], "update", target)
            self.trace.steps[-1].nodes.append(effect.inputs[2].serial)
            self.trace.steps[-1].gradient = self.measured.values.get(self.graph.real(effect.inputs[1]).serial)
        elif effect.op == "assign":
            new = self.writing.operand(effect.inputs[1])
            self._add("update", (w, " ← ", *new.parts), [*new.nodes, effect], "update", target)

    def _orthogonal(self, effect: core.Node) -> None:
        """Muon's update of a parameter: its some forty operations in one line, which the rule over the lines explains."""
        target = self.graph.real(effect.inputs[0])
        gradient = self.graph.gradients.get(target.serial)
        if gradient is None or target.op != "variable":
            return  # a slot or the clock
        members = [n for n in self.graph.within(effect.inputs[1], "update") if n.op not in HIDDEN]
        w, given = self.symbols.ref(target), self._clipped(gradient, members)
        g = self.writing.operand(given) if given == gradient else self.writing.term(given)
        self._add("update", (w, " ← Muon(", w, ", ", *g.parts, ")"), [*members, effect], "update", target)
        self.trace.steps[-1].gradient = self.measured.values.get(given.serial)

    def _clipped(self, gradient: core.Node, members: list[core.Node]) -> core.Node:
        """The gradient as a rule gets it: within clip_value, times the factor of clip_norm."""
        factor = self.clip[-1] if self.clip else None
        for node in members:
            read = [self.symbols.behind(n) for n in node.inputs]
            if gradient in read and (node.serial in self.bounded or factor in read):
                gradient = node
        return gradient

    def _state(self, variable: core.Node, value: core.Node, mark: core.Node) -> None:
        new = self.writing.operand(value)
        self._add("update", (self.symbols.ref(variable), " ← ", *new.parts), list(new.nodes), "statistic", variable)
        self.trace.steps[-1].nodes.append(mark.serial)

    def _add(
        self,
        section: str,
        equation: Equation,
        nodes: list[core.Node],
        kind: str,
        target: core.Node | None = None,
        where: Equation = (),
    ) -> None:
        result = target if target is not None else nodes[-1]
        nodes = [n for n in nodes if n == nodes[-1] or n.serial not in self.counted]  # a line that repeats others' math
        self.counted |= {n.serial for n in nodes}
        costs = [cost.flops(n, [self._shape(i) for i in n.inputs], self._shape(n)) for n in nodes]
        operands = self._operands((*equation, *where))
        shape = self._display_shape(result)
        read = sum(cost.size_of(self._shape(n), n.dtype) for n in operands.values())
        name = equation[0].plain if isinstance(equation[0], Sym) else "T"
        step = Step(
            number=len(self.trace.steps) + 1,
            section=section,
            name=name,
            equation=equation,
            kind=kind,
            ops=[n.op for n in nodes],
            operands=list(operands),
            operand_shapes=[self._display_shape(n) for n in operands.values()],
            shape=shape,
            dtype=result.dtype,
            flops=sum(costs),
            bytes=read + cost.size_of(self._shape(result), result.dtype),
            layer=self._layer(nodes),
            where=where,
            parts=tuple(c for c in costs if c) if kind == "dense" else (),
            nodes=[n.serial for n in nodes],
        )
        product = nodes[0] if kind == "dense" else result
        if product.op == "matmul":
            step.factors = tuple(self._display_shape(self.graph.real(n)) for n in product.inputs)
        if target is None:
            step.values = self.measured.values.get(result.serial)
        else:
            step.before = self.measured.values.get(result.serial)
            step.values = self.measured.after.get(result.attrs["variable"])
        self.trace.steps.append(step)

    def _operands(self, equation: Equation) -> dict[str, core.Node]:
        """The nodes behind the symbols right of the sign, by name."""
        found: dict[str, core.Node] = {}
        for part in equation[1:]:
            if isinstance(part, Sym):
                node = self.graph.nodes.get(self.symbols.serials.get(part._replace(transposed=False), -1))
                if node is not None:
                    found[part._replace(transposed=False).plain] = node
        return found

    def _kind(self, node: core.Node, section: str) -> str:
        if section == "backward":
            of = self._gradient_of(node)
            if node.op == "matmul" and of is not None:
                return "weight gradient" if of.op == "variable" else "input gradient"
            if of is not None and of.op == "variable" and node.serial in self.sums:
                return self.sums[node.serial]
            return "activation gradient" if node.op.endswith("_backward") else "gradient" if of is not None else node.op
        if section == "forward" and node.op in core.activation_names():
            return "activation"
        return node.op

    def _gradient_of(self, node: core.Node) -> core.Node | None:
        symbol = self.symbols.of.get(node.serial)
        if symbol is None or not symbol.gradient:
            return None
        value = symbol._replace(gradient=False)
        serial = self.symbols.serials.get(value, -1)
        of = self.symbols.of.get(serial) == value and self.graph.gradients.get(serial) == node
        return self.graph.nodes[serial] if of else None

    def _sums(self) -> dict[int, str]:
        """Gradients that are sums over the rows of a matrix: 1^T dZ of what is added to every row, 1^T (dN * H) of its factor."""
        uses = {"add": "bias gradient", "mul": "scale gradient"}
        found: dict[int, str] = {}
        for node in self.graph.ordered("forward"):
            for child in node.inputs if node.op in uses else ():
                gradient = self.graph.gradients.get(self.symbols.behind(child).serial)
                if gradient is not None and _sums_rows(gradient):
                    found[gradient.serial] = uses[node.op]
        return found

    def _skipped(self) -> None:
        """The gradients of inputs that dense layers alone read: nothing needs them, and that is saved."""
        graph, of = self.graph, self.symbols.of
        found: dict[int, list[tuple[core.Node, core.Node]]] = {}  # serial of an input -> (product, Z) of each layer
        for _, _, product, z in self.symbols.dense:
            x = graph.real(product.inputs[0])
            if x.op == "input" and z.serial in graph.gradients:
                found.setdefault(x.serial, []).append((product, z))
        readers = graph.readers("forward")
        for serial, dense in found.items():
            x = graph.nodes[serial]
            if readers[serial].keys() != {product.serial for product, _ in dense}:  # what else comes back is in no line
                continue
            terms: list[Part] = []
            for product, z in dense:
                w = self.symbols.ref(product.inputs[1])
                terms += [" + " if terms else " = ", of[z.serial].d, " ", w.T if isinstance(w, Sym) else w]
            size = math.prod(self._shape(x))
            flops = sum(2 * size * self._shape(z)[-1] for _, z in dense) + (len(dense) - 1) * size
            self.trace.skipped.append({"equation": (of[serial].d, *terms), "flops": flops})

    def _parameters_first(self) -> None:
        """Gradients of parameters follow the line that they need: dZ2, dW2, db2, then dA1."""
        lines = self.trace.steps
        used = {name for line in lines if line.section == "backward" for name in line.operands}
        moved = [s for s in lines if s.kind in ("weight gradient", "bias gradient", "scale gradient") and s.name not in used]
        out = {id(s) for s in moved}
        rest = [s for s in lines if id(s) not in out]
        begun = sum(line.section != "backward" for line in lines)  # lines of sections before
        places = {line.name: i for i, line in enumerate(rest, 1)}
        behind: list[list[Step]] = [[] for _ in range(len(rest) + 1)]
        for line in sorted(moved, key=lambda s: s.kind)[::-1]:  # the bias comes last
            behind[max([begun, *(places.get(name, 0) for name in line.operands)])].append(line)
        lines[:] = behind[0] + [line for i, s in enumerate(rest, 1) for line in (s, *behind[i])]
        for place, line in enumerate(lines, 1):
            line.number = place

    def _say_rows(self) -> None:
        """The first line that lays samples and positions in rows says what that is."""
        line = next((line for line in self.trace.steps if of_rows(line.equation)), None)
        if line is not None:
            line.where = (*line.where, ";  ", ROWS_SAID) if line.where else (ROWS_SAID,)

    # ---- shapes and sources ----

    def _shape(self, node: core.Node) -> tuple[int, ...]:
        value = self.measured.values.get(node.serial)
        return tuple(known_as(n, self.batch) for n in node.shape) if value is None else value.shape

    def _display_shape(self, node: core.Node) -> tuple[Any, ...]:
        value = self.measured.values.get(node.serial)
        return tuple(node.shape) if value is None else value.shape

    def _layer(self, nodes: list[core.Node]) -> str | None:
        scope = nodes[-1].scope if nodes else None
        return self.layers.get(id(scope.layer)) if scope is not None else None

    def _sources(self) -> None:
        full = {p.variable: name for name, p in self.graph.model.wiring.parameters.items()}
        inputs = {t.node.serial: name for name, t in self.graph.model.named_inputs.items()}
        for name, node in self.symbols.sources.items():
            variable = node.attrs.get("variable") if node.op == "variable" else None
            trainable = variable is not None and variable in full and variable.trainable
            self.trace.sources[name] = {
                "kind": "input" if variable is None else "parameter" if trainable else "state",
                "full_name": full.get(variable, name)
                if variable is not None
                else node.attrs.get("name") or inputs.get(node.serial, name),
                "shape": self._display_shape(node),
                "dtype": node.dtype,
                "values": self.measured.values.get(node.serial),
            }


def _sums_rows(node: core.Node) -> bool:
    if node.op != "sum" or len(node.inputs[0].shape) < 2:
        return False
    return list(node.attrs["axes"]) == [*range(len(node.inputs[0].shape) - 1)] and not node.attrs["keepdims"]


def title_of(model: Any) -> str:
    """MLP 4 → 8 → 3, where each dense layer reads as many values as the one before makes; else the class and its number of layers.

    Of many dense layers the first and the last ones.
    """
    layers = model.wiring.layers
    sizes = list(model.programs.inputs[0].shape[1:])
    calls = calls_of(nodes_of(model.outputs))
    dense = [call.layer for call in calls if isinstance(call.layer, Dense)]  # in the order in which they run
    makes = [math.prod(n for n in sizes if isinstance(n, int)), *(layer.units for layer in dense)]
    reads = [layer.parameters["weight"].shape[0] for layer in dense]
    meet = dense and reads[:1] in ([makes[0]], sizes[-1:]) and reads[1:] == makes[1:-1]
    if meet and len(dense) >= len(layers) / 2 and _is_one_way(model, calls):
        widths = ["×".join(map(str, sizes)), *(str(layer.units) for layer in dense)]
        if len(widths) > MOST_WIDTHS:
            widths = [*widths[:6], f"… {len(widths) - 10} more …", *widths[-4:]]
        return f"MLP {' → '.join(widths)}"
    return f"{type(model).__name__} of {len(layers)} layer{'s' * (len(layers) != 1)}"


def _is_one_way(model: Any, calls: list[Any]) -> bool:
    """Whether the calls lead from the one input to the one output without branches: each reads one value, which no other reads."""
    if not len(model.programs.inputs) == len(model.programs.outputs) == 1:
        return False
    read = [t.node.serial for call in calls for t in call.inputs]
    made = {t.node.serial for t in model.programs.inputs} | {serial for call in calls for serial in call.outputs}
    return len(set(read)) == len(read) == len(calls) and made.issuperset([*read, *(t.node.serial for t in model.outputs)])
