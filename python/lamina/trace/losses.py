"""The built-in losses as one line each, with the line of their gradient. Other losses are shown operation by operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina.losses import CLASSES
from lamina.notation import Equation, Part, Sym, number
from lamina.trace.symbols import HIDDEN, Symbols

Pattern = tuple[Any, ...]  # of strings and of 0, 1, 2: the places of prediction Z, target Y, and softmax's P


class Form(NamedTuple):
    """l, the loss of an element (or of a sample, summed over its classes), and its slope dl/dZ; `where`: what letters mean."""

    element: Pattern
    slope: Pattern
    where: Pattern = ()
    by_sample: bool = False


def _mse(loss: Any, classes: bool) -> Form:
    return Form(("(", 0, " − ", 1, ")²"), ("2 (", 0, " − ", 1, ")"))


def _mae(loss: Any, classes: bool) -> Form:
    return Form(("|", 0, " − ", 1, "|"), ("sign(", 0, " − ", 1, ")"))


def _huber(loss: Any, classes: bool) -> Form:
    d = number(loss.delta)
    far = f"|e| − {number(loss.delta / 2)}" if loss.delta == 1 else f"{d} (|e| − {number(loss.delta / 2)})"
    where = (f"h(e) = e² / 2 where |e| < {d}, else {far}",)
    return Form(("h(", 0, " − ", 1, ")"), ("clip(", 0, " − ", 1, f", −{d}, {d})"), where)


def _smooth_l1(loss: Any, classes: bool) -> Form:
    if loss.beta == 0:
        return _mae(loss, classes)
    b, half = number(loss.beta), number(loss.beta / 2)
    near = "e²" if loss.beta == 0.5 else f"e² / {number(2 * loss.beta)}"
    over = "" if loss.beta == 1 else f" / {b}"
    where = (f"h(e) = {near} where |e| < {b}, else |e| − {half}",)
    inner: Pattern = ("clip(", 0, " − ", 1) if loss.beta == 1 else ("clip((", 0, " − ", 1, f"){over}")
    return Form(("h(", 0, " − ", 1, ")"), (*inner, ", −1, 1)"), where)


def _log_cosh(loss: Any, classes: bool) -> Form:
    return Form(("ln cosh(", 0, " − ", 1, ")"), ("tanh(", 0, " − ", 1, ")"))


def _quantile(loss: Any, classes: bool) -> Form:
    q, rest = number(loss.q), number(1 - loss.q)
    element = (f"({q} max(0, ", 1, " − ", 0, f") + {rest} max(0, ", 0, " − ", 1, "))")
    return Form(element, (f"({rest} [", 0, " > ", 1, f"] − {q} [", 0, " < ", 1, "])"))


def _hinge(loss: Any, classes: bool) -> Form:
    return Form(("max(0, 1 − ", 1, " ⊙ ", 0, ")"), ("−", 1, " ⊙ [", 1, " ⊙ ", 0, " < 1]"))


def _poisson(loss: Any, classes: bool) -> Form:
    full: Pattern = (" + stirling(", 1, ")") if loss.full else ()
    if loss.log_input:
        return Form(("(exp(", 0, ") − ", 1, " ⊙ ", 0, *full, ")"), ("(exp(", 0, ") − ", 1, ")"))
    eps = number(loss.eps)
    return Form(("(", 0, " − ", 1, " ⊙ ln(", 0, f" + {eps})", *full, ")"), ("(1 − ", 1, " / (", 0, f" + {eps}))"))


def _gaussian(loss: Any, classes: bool) -> Form:
    where = ("[m, v] = ", 0, f", v at least {number(loss.eps)}")
    full = f" + {number(np.log(2 * np.pi) / 2)}" if loss.full else ""
    head, tail = ("(", ")") if full else ("", "")
    element = (f"{head}(ln v + (", 1, f" − m)² / v) / 2{full}{tail}")
    return Form(element, ("[(m − ", 1, ") / v, (1 − (", 1, " − m)² / v) / (2 v)]"), where)


def _kl_div(loss: Any, classes: bool) -> Form:
    if loss.log_target:
        return Form(("Σ exp(", 1, ") ⊙ (", 1, " − ", 0, ")"), ("−exp(", 1, ")"), by_sample=True)
    return Form(("Σ ", 1, " ⊙ (ln ", 1, " − ", 0, ")"), ("−", 1), by_sample=True)


def _cross_entropy(loss: Any, classes: bool) -> Form:
    smooth = loss.label_smoothing
    if smooth == 0:
        return Form(("−ln ", 2, "[i, yᵢ]") if classes else ("−Σ ", 1, " ⊙ ln ", 2), ("(", 2, " − ", 3, ")"), by_sample=True)
    where = ("Q = ", number(1 - smooth), " ", 3, f" + {number(smooth)} / C")
    return Form(("−Σ Q ⊙ ln ", 2), ("(", 2, " − Q)"), where, by_sample=True)


def _binary(loss: Any, classes: bool) -> Form:
    if loss.pos_weight is None:
        return Form(("(ln(1 + exp(", 0, ")) − ", 0, " ⊙ ", 1, ")"), ("(σ(", 0, ") − ", 1, ")"))
    where = ("w = ", ", ".join(number(w) for w in np.atleast_1d(loss.pos_weight)))
    element = ("((1 − ", 1, ") ⊙ ", 0, " + (1 + (w − 1) ⊙ ", 1, ") ⊙ ln(1 + exp(−", 0, ")))")
    return Form(element, ("(1 − ", 1, " − (1 + (w − 1) ⊙ ", 1, ") ⊙ σ(−", 0, "))"), where)


def _focal(loss: Any, classes: bool) -> Form:
    g = number(loss.gamma)
    if classes:
        slope: Pattern = (f"((1 − p)^{g} − {g} p (1 − p)^{number(loss.gamma - 1)} ln p) ⊙ (", 2, " − ", 3, ")")
        return Form((f"−(1 − p)^{g} ln p",), slope, ("p = ", 2, "[i, yᵢ]"), by_sample=True)
    alpha = "" if loss.alpha is None else "a "
    where: Pattern = ("p = σ(", 0, ") where ", 1, " = 1, else 1 − σ(", 0, ")")
    where = where if loss.alpha is None else (*where, f"; a = {number(loss.alpha)}, else {number(1 - loss.alpha)}")
    slope = (f"{alpha}(1 − p)^{g} ⊙ ({g} p ln p + p − 1) ⊙ (2 ", 1, " − 1)")
    return Form((f"−{alpha}(1 − p)^{g} ln p",), slope, where)


FORMS: dict[str, Callable[[Any, bool], Form]] = {
    "MSE": _mse, "MAE": _mae, "Huber": _huber, "SmoothL1": _smooth_l1, "LogCosh": _log_cosh, "Quantile": _quantile, "Hinge": _hinge,
    "PoissonNLL": _poisson, "GaussianNLL": _gaussian, "KLDiv": _kl_div, "CrossEntropy": _cross_entropy,
    "BinaryCrossEntropy": _binary, "Focal": _focal,
}  # fmt: skip


class Folded:
    """A built-in loss of the only output: two or three lines stand for its nodes."""

    def __init__(self, symbols: Symbols, loss: Any, pred: core.Node, target: core.Node) -> None:
        self.symbols, self.graph = symbols, symbols.graph
        self.loss, self.pred, self.target = loss, pred, target
        self.members = [n for n in self.graph.ordered("loss") if n.op not in HIDDEN]
        self.slope = self.graph.gradients.get(pred.serial)
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
        if self.slope is None:
            return []
        made = self.graph.below([self.slope])
        skip = self.probability.serial if self.probability is not None else None
        return [n for s, n in sorted(made.items()) if self.graph.section.get(s) == "backward" and s != skip and n.op not in HIDDEN]

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

    # ---- the two lines ----

    def equation(self) -> Equation:
        """L = ..."""
        sign, element = _unsigned(self._filled(self.form.element))
        factors = self._factors
        if not factors:
            return (Sym("L"), f" = {sign}mean", *((" ", *element) if _called(element) else _wrapped(element)))
        if not self._kept and not self.form.by_sample:
            element = ("mean", *_wrapped(element))
        if isinstance(element[0], str) and element[0].startswith("Σ "):
            element = tuple(p for p in (element[0][2:], *element[1:]) if p)
        return (Sym("L"), f" = {sign}Σ ", *factors, " ⊙ ", *element, " / Σ ", *factors)

    def where(self) -> Equation:
        """What the letters of the two lines mean."""
        kept: Equation = (self._kept,) if self._kept else ()
        known = self._filled(self.form.where)
        return (*known, ";  ", *kept) if known and kept else known or kept

    def slope_equation(self) -> Equation:
        """dZ = ..."""
        assert self.slope is not None
        sign, slope = _unsigned(self._filled(self.form.slope))
        factors = self._factors
        if factors:
            count = () if self._kept or self.form.by_sample or self._columns == 1 else (f"{self._columns} ",)
            over: Equation = ("Σ ", *factors) if len(factors) == 1 and not count else ("(", *count, "Σ ", *factors, ")")
            slope = (*factors, " ⊙ ", *slope)
        else:
            over = ("n" if self._many else "B",)
        return (self.symbols.ref(self.slope), f" = {sign}", *slope, " / ", *over)

    def slope_where(self) -> Equation:
        """What n is."""
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
        s = self._weight
        return (*s, " ⊙ ", "k") if s and self._kept else s or (("k",) if self._kept else ())

    @property
    def _weight(self) -> Equation:
        return tuple(self.symbols.ref(t.node) for t in self.graph.weight)

    @property
    def _kept(self) -> str:
        """What k is: 1 where an element counts."""
        if getattr(self.loss, "mask_nan", False):
            return "k = [Y is a number]"
        ignored = getattr(self.loss, "ignore_index", None)
        return f"k = [y ≠ {number(ignored)}]" if ignored is not None and self.classes else ""

    @property
    def _columns(self) -> int:
        """Losses of a sample: its elements, or its rows of classes."""
        shape = self.pred.shape[1:-1] if self.form.by_sample else self.target.shape[1:]
        return int(np.prod([n for n in shape if isinstance(n, int)], dtype=np.int64))

    def _filled(self, pattern: Pattern) -> Equation:
        symbols = self.symbols
        z, y = symbols.ref(self.pred), symbols.ref(self.target)
        p: Equation = (symbols.ref(self.probability),) if self.probability is not None else ("softmax(", z, ")")
        places: dict[Any, Equation] = {0: (z,), 1: (y,), 2: p, 3: (Sym("Y") if self.classes else y,)}
        out: list[Part] = []
        for piece in pattern:
            out += places[piece] if isinstance(piece, int) else [piece]
        return tuple(out)


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
