"""The built-in losses as one line each, with the line of their gradient. Other losses are shown operation by operation."""

from __future__ import annotations

from typing import Any

from lamina import _core as core
from lamina.losses import CLASSES
from lamina.notation import Equation, Part, Sym
from lamina.trace.symbols import HIDDEN, Symbols

MEAN_OF = {  # mean over all elements of f(Z, Y), and its slope; ("" before or after is a symbol's place)
    "MSE": (("mean((", 0, " − ", 1, ")²)"), ("2 (", 0, " − ", 1, ") / n")),
    "MAE": (("mean |", 0, " − ", 1, "|"), ("sign(", 0, " − ", 1, ") / n")),
    "BinaryCrossEntropy": (("mean(ln(1 + exp(", 0, ")) − ", 0, " ⊙ ", 1, ")"), ("(σ(", 0, ") − ", 1, ") / n")),
    "Hinge": (("mean max(0, 1 − ", 1, " ⊙ ", 0, ")"), ("−", 1, " ⊙ [", 1, " ⊙ ", 0, " < 1] / n")),
    "LogCosh": (("mean ln cosh(", 0, " − ", 1, ")"), ("tanh(", 0, " − ", 1, ") / n")),
}  # fmt: skip


class Folded:
    """A built-in loss of the only output: two or three lines stand for its nodes."""

    def __init__(self, symbols: Symbols, loss: Any, pred: core.Node, target: core.Node) -> None:
        self.symbols, self.graph = symbols, symbols.graph
        self.loss, self.pred, self.target = loss, pred, target
        self.members = [n for n in self.graph.ordered("loss") if n.op not in HIDDEN]
        self.slope = self.graph.gradients.get(pred.serial)
        self.probability = self._find("softmax") if type(loss).__name__ == "CrossEntropy" else None
        self.slope_members = self._slope_members()

    def _find(self, op: str) -> core.Node | None:
        for node in self.graph.ordered("backward"):
            if node.op == op and self.graph.real(node.inputs[0]) == self.pred:
                return node
        return None

    def _slope_members(self) -> list[core.Node]:
        """The nodes of the backward pass that only make the gradient of the prediction."""
        if self.slope is None:
            return []
        made = self.graph.below([self.slope])
        skip = self.probability.serial if self.probability is not None else None
        return [n for s, n in sorted(made.items()) if self.graph.section.get(s) == "backward" and s != skip and n.op not in HIDDEN]

    @property
    def plain(self) -> bool:
        """Whether the loss has its textbook form: no option set, no weights."""
        return not self.graph.weight and repr(self.loss) == f"{type(self.loss).__name__}()"

    def hide(self) -> None:
        """The loss's own nodes get no lines; the three values that a reader looks for get names."""
        symbols = self.symbols
        for node in (*self.members, *self.slope_members):
            symbols.hidden.add(node.serial)
            symbols.of.pop(node.serial, None) if node not in (self.slope, self.graph.loss) else None
        if self.probability is not None:
            symbols.give(self.probability, Sym("P"))
        for node in self.members:
            if node.op == "one_hot":
                symbols.give(node, Sym("Y"))
        if self.slope is not None:
            symbols.give(self.slope, symbols.of[self.pred.serial].d if self.pred.serial in symbols.of else Sym("Z").d)

    def equation(self) -> Equation:
        """L = ..."""
        z, y = self.symbols.ref(self.pred), self.symbols.ref(self.target)
        name = type(self.loss).__name__
        if self.plain and name == "CrossEntropy":
            p: Equation = (self.symbols.ref(self.probability),) if self.probability is not None else ("softmax(", z, ")")
            return (Sym("L"), " = −mean ln ", *p, "[i, yᵢ]") if self._classes else (Sym("L"), " = −mean Σ ", y, " ⊙ ln ", *p)
        if self.plain and name in MEAN_OF:
            return (Sym("L"), " = ", *_filled(MEAN_OF[name][0], z, y))
        weights = (", ", *[self.symbols.ref(t.node) for t in self.graph.weight]) if self.graph.weight else ()
        return (Sym("L"), f" = {self.loss!r}(", z, ", ", y, *weights, ")")

    @property
    def _classes(self) -> bool:
        return bool(self.target.dtype == "int64" and len(self.target.shape) == 1)

    def slope_equation(self) -> Equation:
        """dZ = ..."""
        assert self.slope is not None
        z, y = self.symbols.ref(self.pred), self.symbols.ref(self.target)
        d = self.symbols.ref(self.slope)
        name = type(self.loss).__name__
        if self.plain and name == "CrossEntropy" and self.probability is not None and len(self.pred.shape) == 2:
            one_hot = Sym("Y") if self._classes else y
            return (d, " = (", self.symbols.ref(self.probability), " − ", one_hot, ") / B")
        if self.plain and name in MEAN_OF:
            return (d, " = ", *_filled(MEAN_OF[name][1], z, y))
        return (d, " = ∂", Sym("L"), " / ∂", z)


def _filled(pattern: tuple[Any, ...], z: Part, y: Part) -> Equation:
    return tuple((z, y)[p] if isinstance(p, int) else p for p in pattern)


def fold(symbols: Symbols) -> Folded | None:
    """The loss as a line, where it is a built-in one, alone, and not of a hidden value."""
    graph = symbols.graph
    objective = graph.model.objective
    if graph.loss is None or len(objective.losses) != 1 or objective.loss_weights != [1.0]:
        return None
    loss = objective.losses[0]
    if type(loss) not in CLASSES.values():
        return None
    pred, target = graph.real(graph.model.programs.outputs[0].node), graph.targets[0].node
    if graph.section.get(graph.loss.serial) != "loss" or pred.serial not in symbols.of:
        return None
    return Folded(symbols, loss, pred, target)
