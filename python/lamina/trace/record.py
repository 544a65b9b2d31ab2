"""What a trace holds: steps with equation, operands, shapes, cost and values. The schema of `to_dict` is in docs/trace.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base import checks
from lamina.base.names import lookup, unknown
from lamina.trace import notation
from lamina.trace.notation import GREEK, Equation, Sym

if TYPE_CHECKING:
    from lamina.trace.equations import Writing
    from lamina.trace.graph import StepGraph

Array = np.ndarray[Any, Any]
Shape = tuple[Any, ...]

OF_MATRICES, OF_OTHERS = ", w a matrix", ", w another tensor"  # behind a line of a rule that has two
SECTIONS = ("forward", "loss", "backward", "update")
NOT_KEPT = ("nodes", "factors", "gradient", "slots")  # of a step, by `to_dict`
SCHEMA = 1  # raised when a field of `to_dict` changes its meaning


@dataclass
class Step:
    """One line of a trace: `name` = the value that `equation` says, computed by the core.

    `section`: forward, loss, backward or update.  `kind`: what a reader calls it (dense, activation, loss, weight gradient ...).
    `where`: what those letters of the equation mean that are no tensors.  `ops`: the core's operations in it.  `operands`: their
    names, `operand_shapes` beside them.  `flops`, `bytes`: see `lamina.trace.cost`; what two lines say counts in the first.
    `microseconds`: the time of the program's steps that begin with this line, None where it is computed within an earlier one.
    `program_steps`: indices into `Trace.program`.  `values`: the result, None in a trace without data; in the update, the new
    value, with `before` the old one.
    """

    number: int
    section: str
    name: str
    equation: Equation
    kind: str
    ops: list[str]
    operands: list[str]
    operand_shapes: list[Shape]
    shape: Shape
    dtype: str
    flops: int
    bytes: int
    layer: str | None = None
    where: Equation = ()
    parts: tuple[int, ...] = ()  # FLOP of the single operations, where a line has several that count
    microseconds: float | None = None
    program_steps: list[int] = field(default_factory=list)
    values: Array | None = None
    before: Array | None = None
    # For what shows a trace: the nodes, as serials; the shapes of a product's factors; the gradient as the rule gets it; and by
    # the letter of each slot its values before and after.
    nodes: list[int] = field(default_factory=list)
    factors: tuple[Shape, ...] = ()
    gradient: Array | None = None
    slots: dict[str, tuple[Array, Array | None]] = field(default_factory=dict)

    @property
    def symbol(self) -> Sym:
        """The name as it stands in the equation."""
        head = self.equation[0]
        return head if isinstance(head, Sym) else Sym(self.name)

    def __str__(self) -> str:
        return notation.text(self.equation)


@dataclass
class ProgramStep:
    """A step of the program that really runs: several lines may be fused into it."""

    index: int
    name: str
    microseconds: float
    flops: int
    bytes: int
    lines: list[int] = field(default_factory=list)  # numbers of the trace's steps that it computes


@dataclass
class Rule:
    """The optimizer's rule: its lines as text over the symbols w, g, lr, t and the slots' letters.

    `given`: what g is of the gradient dw, where it is clipped. `conditions`: what stands behind a line that not every step takes,
    and whether it holds in this one.
    """

    name: str
    title: str
    lines: list[tuple[str, str]]  # (what changes, formula)
    slots: dict[str, str]  # letter -> slot
    numbers: dict[str, float]  # letter -> hyper-parameter; "lr", "t" among them
    before: dict[str, float] = field(default_factory=dict)  # letter -> what the rule carries from step to step
    now: dict[str, float] = field(default_factory=dict)  # letter -> what this step makes of it
    given: list[str] = field(default_factory=list)
    conditions: dict[str, bool] = field(default_factory=dict)
    # Of a rule of whole matrices: (shape, w, g, new w, new slots) of one weight -> the numbers of letters that no tensor keeps.
    element: Callable[[tuple[int, ...], float, float, float, dict[str, float]], dict[str, float]] | None = None

    @property
    def written(self) -> list[str]:
        """The lines as they are read: w ← w − lr g."""
        return [*self.given, *(f"{target} ← {formula.replace('·', ' ')}" for target, formula in self.lines)]

    def lines_of(self, ndim: int) -> list[tuple[str, str]]:
        """Those that one weight of a tensor with so many axes takes in this step; what a whole matrix makes is a number in them."""
        conditions = {OF_MATRICES: ndim == 2, OF_OTHERS: ndim != 2, **self.conditions}
        own = []
        for target, formula in self.lines:
            behind = next((said for said in conditions if formula.endswith(said)), "")
            if conditions.get(behind, True) and "(" not in target:
                own.append((target, formula.removesuffix(behind)))
        return own

    @property
    def settings(self) -> list[str]:
        """The hyper-parameters as they are read: lr = .001."""
        return [f"{letter} = {notation.number(value)}" for letter, value in self.numbers.items()]


@dataclass
class Origin:
    """What a trace was written from, for what shows it: the graph, values and names by a node's serial, and how math is written."""

    graph: StepGraph
    values: dict[int, Array]
    symbols: dict[int, str]
    writing: Writing


class Trace:
    """One step of training (or, without y, one prediction), line by line, with the values that the core computed.

    `steps`: the lines; `forward`, `loss`, `backward`, `update`: those of a section. `trace["dW1"]` is the value of that name;
    `names` says which there are: inputs, parameters, results, gradients. `program`: the steps that really run, with their times.

    >>> net = lm.Sequential(lm.Dense(3, "relu"), lm.Dense(2), seed=0).compile("cross_entropy", "sgd")
    >>> trace = net.trace(np.ones((2, 4)), np.array([0, 1]))
    >>> print(trace.steps[0])
    Z₁ = X W₁ + 1 b₁ᵀ
    >>> trace["dW1"].shape
    (4, 3)
    """

    origin: Origin  # once all lines are written

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        self.steps: list[Step] = []
        self.program: list[ProgramStep] = []
        self.rule: Rule | None = None
        self.sources: dict[str, dict[str, Any]] = {}  # name -> {"kind", "shape", "dtype", "full_name", "values"}
        self.skipped: list[dict[str, Any]] = []  # what the backward pass does not compute, as {"equation", "flops"}
        self.model: Any = None

    def section(self, name: str) -> list[Step]:
        """The lines of a section: forward, loss, backward or update; ValueError for another word."""
        if name not in SECTIONS:
            raise unknown("trace", name, SECTIONS)
        return [step for step in self.steps if step.section == name]

    @property
    def forward(self) -> list[Step]:
        """The lines from the inputs to the outputs."""
        return self.section("forward")

    @property
    def loss(self) -> list[Step]:
        """The lines from the outputs to the loss."""
        return self.section("loss")

    @property
    def backward(self) -> list[Step]:
        """The lines from the loss to the gradients."""
        return self.section("backward")

    @property
    def update(self) -> list[Step]:
        """The lines that change parameters and statistics."""
        return self.section("update")

    @property
    def names(self) -> list[str]:
        """All names that have a value."""
        return list(self.sources | self._computing)

    @cached_property
    def _computing(self) -> dict[str, Step]:
        """By name the lines that compute something new; those of an update change what is there."""
        found: dict[str, Step] = {}
        for step in self.steps:
            if step.section != "update" or step.name not in self.sources:
                found.setdefault(step.name, step)
        return found

    def step(self, name: str) -> Step:
        """The line that computes `name`; ValueError with near names for an unknown one."""
        return lookup("trace", name, self._computing)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.sources or name in self._computing)

    def _known(self, name: str) -> str:
        """The name here of what a user calls by its parameter or layer: "batch_norm_1.weight" is gamma1, "batch_norm_1" N1."""
        if name in self:
            return name
        found = [short for short, source in self.sources.items() if source["full_name"] == name]
        found += [step.name for step in self.forward if step.layer == name][-1:]
        return found[0] if found else name

    def __getitem__(self, name: str) -> Array:
        name = self._known(name)
        if name in self.sources:
            values = self.sources[name]["values"]
        elif name in self:
            values = self.step(name).values
        else:
            raise unknown("trace", name, self.names)
        if values is None:
            raise ValueError(f"[trace] expected values of {name}, got a trace without data; pass x and y: net.trace(x, y)")
        return np.asarray(values)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Any:
        return iter(self.steps)

    # ---- to be kept ----

    def to_dict(self, values: bool = True) -> dict[str, Any]:
        """The trace as lists, dicts, strings and numbers (docs/trace.md); `values=False` leaves the arrays out."""
        values = checks.flag("trace", "values", values)
        return {
            "schema": SCHEMA,
            "about": dict(self.about),
            "sources": {
                name: {k: _plain(v) for k, v in source.items() if values or k != "values"} for name, source in self.sources.items()
            },
            "steps": [_step_dict(step, values) for step in self.steps],
            "program": [vars(step) for step in self.program],
            "skipped": [{**s, "equation": notation.text(s["equation"], ascii=True)} for s in self.skipped],
        }

    def to_json(self, path: Any = None, *, values: bool = True, indent: int | None = None) -> str:
        """`to_dict` as JSON, also written to `path` if there is one. Numbers that are not finite are null."""
        path = None if path is None else checks.path("trace", "path", path)
        out = json.dumps(_finite(self.to_dict(values)), indent=indent, allow_nan=False)
        if path is not None:
            with checks.writing("trace", path), open(path, "w", encoding="utf-8") as file:
                file.write(out)
        return out

    # ---- to be seen ----

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.section(s))} {s}" for s in SECTIONS if self.section(s))
        return f"<Trace of {self.about['title']}: {counts}>"

    def _repr_html_(self) -> str:
        from lamina.explain.html import table

        return table(self)


def _step_dict(step: Step, values: bool) -> dict[str, Any]:
    out = {
        name: value
        for name, value in vars(step).items()
        if name not in NOT_KEPT and name not in ("equation", "where", "values", "before")
    }
    out["equation"] = notation.text(step.equation)
    out["ascii"] = notation.text(step.equation, ascii=True)
    out["latex"] = notation.latex(step.equation)
    out["where"] = notation.text(step.where)
    out["shape"], out["operand_shapes"] = _shape(step.shape), [_shape(s) for s in step.operand_shapes]
    out["parts"] = list(step.parts)
    if values:
        out["values"], out["before"] = _plain(step.values), _plain(step.before)
    return out


def _shape(shape: Shape) -> list[Any]:
    return [n if isinstance(n, int) else str(n) for n in shape]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return _shape(value) if isinstance(value, tuple) else value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def gradient_name(name: str) -> str:
    """What the gradient of `name` is called, as `Sym.prefix` has it: dW1, d_batch_norm_1.weight.

    >>> gradient_name("W1"), gradient_name("gamma1"), gradient_name("scale_1.weight")
    ('dW1', 'dgamma1', 'd_scale_1.weight')
    """
    stem = name.rstrip("0123456789'")
    return f"d{name}" if len(stem) == 1 or stem in GREEK.values() else f"d_{name}"
