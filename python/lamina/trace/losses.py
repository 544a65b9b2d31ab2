"""The built-in losses as one line each, with the line of their gradient. Other losses are shown operation by operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import _core as core
from lamina.losses import CLASSES
from lamina.trace.forms import FORMS, Form, Pattern
from lamina.trace.graph import StepGraph
from lamina.trace.notation import Equation, Part, Sym, number
from lamina.trace.symbols import HIDDEN, Symbols


class Folded:
    """A built-in loss of one output: two or three lines stand for its nodes. `index`: the output's, '' of the only one."""

    def __init__(
        self,
        symbols: Symbols,
        loss: Any,
        index: str,
        pred: core.Node,
        target: core.Node,
        term: core.Node,
        scale: float,
        slope: core.Node | None,
    ) -> None:
        self.symbols, self.graph = symbols, symbols.graph
        self.loss, self.index, self.pred, self.target, self.term, self.scale = loss, index, pred, target, term, scale
        self.members = [n for n in self.graph.within(term, "loss") if n.op not in HIDDEN]
        self.slope = slope
        self.classes = bool(loss.is_classes(tuple(pred.shape), tuple(target.shape)))
        self.form: Form = FORMS[type(loss).__name__](loss, self.classes)
        self.probability = self._find("softmax") if 2 in (*self.form.element, *self.form.where) else None
        self.slope_members = self._slope_members()

    def _find(self, op: str) -> core.Node | None:
        for node in self.graph.ordered("backward"):
            if node.op == op and self.graph.real(node.inputs[0]) == self.pred:
                return node
        return None

    def _slope_members(self) -> list[core.Node]:
        """The nodes of the backward pass that only make the gradient of the prediction."""
        made = self.graph.within(self.slope, "backward") if self.slope is not None else []
        return [n for n in made if n != self.probability and n.op not in HIDDEN]

    def hide(self) -> None:
        """The loss's own nodes get no lines; the three values that a reader looks for get names."""
        symbols = self.symbols
        for node in (*self.members, *self.slope_members):
            symbols.hidden.add(node.serial)
            symbols.of.pop(node.serial, None) if node not in (self.slope, self.term) else None
        if self.probability is not None:
            symbols.hidden.add(self.probability.serial)
            symbols.give(self.probability, Sym("P", self.index))
        for node in self.members:
            if node.op == "one_hot":
                symbols.source(node, Sym("Y", self.index))
        if self.slope is not None and self.slope == self.graph.gradients.get(self.pred.serial):
            symbols.give(self.slope, symbols.of[self.pred.serial].d if self.pred.serial in symbols.of else Sym("Z").d)

    # ---- the two lines ----

    def equation(self) -> Equation:
        """L = ..."""
        sign, element = _unsigned(self._filled(self.form.element))
        factors, left = self._factors, self.symbols.ref(self.term)
        if not factors:
            return (left, f" = {sign}mean", *((" ", *element) if _called(element) else _wrapped(element)))
        if not self._kept and not self.form.by_sample:
            element = ("mean", *_wrapped(element))
        if isinstance(element[0], str) and element[0].startswith("Σ "):
            element = tuple(p for p in (element[0][2:], *element[1:]) if p)
        return (left, f" = {sign}Σ ", *factors, " ⊙ ", *element, " / Σ ", *factors)

    def where(self) -> Equation:
        """What the letters of the two lines mean, and how classes are counted."""
        return _clauses(self._letters, self._counted)

    def slope_equation(self) -> Equation:
        """dZ = ..."""
        assert self.slope is not None
        sign, slope = _unsigned(self._filled(self.form.slope))
        factors, scale = self._factors, self.form.factor * self.scale
        if factors:
            count = () if self._kept or self.form.by_sample or self._columns == 1 else (f"{self._columns} ",)
            over: Equation = ("Σ ", *factors) if len(factors) == 1 and not count else ("(", *count, "Σ ", *factors, ")")
            slope = (*factors, " ⊙ ", *slope)
        else:
            over = ("n" if self._many else "B",)
        times = "" if scale == 1 else f"{number(scale, 6)} "
        return (self.symbols.ref(self.slope), f" = {sign}{times}", *slope, " / ", *over)

    def slope_where(self) -> Equation:
        """What n is; and, where other losses have letters too, what those of this one are."""
        return _clauses(self._letters if self.index else (), self._count())

    @property
    def _letters(self) -> Equation:
        return _clauses(self._filled(self.form.where), self._kept)

    @property
    def _counted(self) -> Equation:
        """Classes are the user's numbers, columns the math's."""
        if not self.classes:
            return ()
        columns: Equation = (" of ", self.symbols.of[self.probability.serial]) if self.probability is not None else ()
        return (self.symbols.ref(self.target), " counts from 0: class 0 is column 1", *columns)

    def _count(self) -> Equation:
        if self._factors or not self._many:
            return ()
        if self.form.by_sample:
            return (f"n = {self._columns} B, the rows of ", self.symbols.ref(self.pred))
        count = "B" if self._columns == 1 else f"{self._columns} B"
        return (f"n = {count}, the elements of ", self.symbols.ref(self.target))

    @property
    def _many(self) -> bool:
        """Whether the mean is over more than the samples."""
        return not self.form.by_sample or len(self.pred.shape) > 2

    @property
    def _factors(self) -> Equation:
        """What each loss is multiplied by: the sample's weight, and k."""
        s: Equation = tuple(self.symbols.ref(t.node) for t in self.graph.weight)
        return (*s, " ⊙ ", "k") if s and self._kept else s or (("k",) if self._kept else ())

    @property
    def _kept(self) -> Equation:
        """What k is: 1 where an element counts."""
        target = self.symbols.ref(self.target)
        if self.loss.mask_nan:
            return ("k = [", target, " is a number]")
        ignored = self.loss.ignore_index
        return ("k = [", target, f" ≠ {number(ignored)}]") if ignored is not None and self.classes else ()

    @property
    def _columns(self) -> int:
        """Losses of a sample: its elements, or its rows of classes."""
        shape = self.pred.shape[1:-1] if self.form.by_sample else self.target.shape[1:]
        return int(np.prod([n for n in shape if isinstance(n, int)], dtype=np.int64))

    def _filled(self, pattern: Pattern) -> Equation:
        symbols = self.symbols
        z, y = symbols.ref(self.pred), symbols.ref(self.target)
        p: Equation = (symbols.ref(self.probability),) if self.probability is not None else ("softmax(", z, ")")
        each: Equation = ("(", y, ")ᵢ") if self.index else (y, "ᵢ")
        places: dict[Any, Equation] = {0: (z,), 1: (y,), 2: p, 3: (Sym("Y", self.index) if self.classes else y,), 4: each}
        out: list[Part] = []
        for piece in pattern:
            out += places[piece] if isinstance(piece, int) else [piece]
        return tuple(out)


class Losses:
    """The losses of all outputs: L1, L2, ... where the total is another value than the only one; those that fold are `folded`."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols, self.graph = symbols, symbols.graph
        self.folded: list[Folded] = []
        self.total: Equation = ()  # right of L =, where L is not the loss of the only output
        self.total_members: list[core.Node] = []
        graph, objective = symbols.graph, symbols.graph.model.objective if symbols.graph.loss is not None else None
        if graph.loss is None or objective is None or graph.section.get(graph.loss.serial) != "loss":
            return
        terms = [graph.real(t.node) for t in graph.terms]
        for number_, term in enumerate(terms, 1):
            if graph.section.get(term.serial) == "loss" and term.op not in HIDDEN:
                symbols.give(term, Sym("L", str(number_)))  # the total has its name already
        self._readers, self._passing = graph.readers("loss"), graph.readers("forward")
        for place, loss in enumerate(objective.losses):
            folded = self._fold(place, loss, terms, objective.loss_weights[place])
            self.folded += [folded] if folded is not None else []
        if terms != [graph.loss] and all(term.serial in symbols.of for term in terms):
            self._sum(terms, objective.loss_weights)

    def _fold(self, place: int, loss: Any, terms: list[core.Node], scale: float) -> Folded | None:
        """The loss as a line, where it is a built-in one, of a named value that no other loss reads."""
        graph, symbols = self.graph, self.symbols
        pred, target = graph.real(graph.model.programs.outputs[place].node), graph.targets[place].node
        if type(loss) not in CLASSES.values() or type(loss).__name__ not in FORMS or pred.serial not in symbols.of:
            return None
        if graph.section.get(terms[place].serial) != "loss":
            return None
        own = {n.serial for n in graph.within(terms[place], "loss")}
        slope = own_slope(graph, pred, self._passing)
        if not own.issuperset(self._readers.get(pred.serial, ())) or (pred.serial in graph.gradients and slope is None):
            return None
        return Folded(symbols, loss, str(place + 1) if len(terms) > 1 else "", pred, target, terms[place], scale, slope)

    def _sum(self, terms: list[core.Node], scales: list[float]) -> None:
        parts: list[Part] = []
        for term, scale in zip(terms, scales, strict=True):
            parts += [*([" + "] if parts else []), *([] if scale == 1 else [f"{number(scale, 6)} "]), self.symbols.of[term.serial]]
        known = self.graph.below(terms)
        assert self.graph.loss is not None
        inside = self.graph.within(self.graph.loss, "loss")
        self.total, self.total_members = tuple(parts), [n for n in inside if n.serial not in known and n.op not in HIDDEN]

    def hide(self) -> None:
        """The nodes that lines stand for get none of their own."""
        for folded in self.folded:
            folded.hide()
        self.symbols.hidden |= {n.serial for n in self.total_members}


def _clauses(*said: Equation) -> Equation:
    """What is said of a line, one after the other."""
    parts: list[Part] = []
    for clause in filter(None, said):
        parts += [";  ", *clause] if parts else clause
    return tuple(parts)


def own_slope(graph: StepGraph, pred: core.Node, readers: dict[int, dict[int, core.Node]]) -> core.Node | None:
    """What the losses alone add to the gradient of a prediction; None where that is no node of its own.

    Other gradients come to it through the values of the forward pass that are made of it, its `readers` and theirs.
    """
    slope = graph.gradients.get(pred.serial)
    if slope is None:
        return None
    above, passed = set[int](), [pred.serial]
    while passed:
        more = readers.get(passed.pop(), {}).keys() - above
        above |= more
        passed += more
    others = {graph.gradients[serial].serial for serial in above if serial in graph.gradients}
    found, waiting = [], [slope]
    while waiting:
        node = waiting.pop()
        if not others & {n.serial for n in graph.within(node, "backward")}:
            found.append(node)
        elif node.op == "add" and node.serial not in others:
            waiting += map(graph.real, node.inputs)
    return found[0] if len(found) == 1 else None


def _unsigned(parts: Equation) -> tuple[str, Equation]:
    """A leading minus, and the rest."""
    head = parts[0] if parts else ""
    if isinstance(head, str) and head.startswith("−"):
        return "−", tuple(p for p in (head[1:], *parts[1:]) if p)
    return "", parts


def _called(parts: Equation) -> bool:
    """Whether it is one call of a function, which needs no parentheses."""
    return isinstance(parts[0], str) and parts[0].startswith(("|", "h(", "ln ", "max(", "Σ "))


def _wrapped(parts: Equation) -> Equation:
    """In parentheses, unless it is already."""
    text = "".join(p if isinstance(p, str) else "x" for p in parts)
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return parts if i == len(text) - 1 and text[0] == "(" else ("(", *parts, ")")
    return ("(", *parts, ")")
