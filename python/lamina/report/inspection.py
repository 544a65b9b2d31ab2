"""net.inspect(x, y): values, gradients and weights by name, with the figures that tell what is wrong with a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.base import tables
from lamina.base.names import Named, lookup
from lamina.trace import Step, Trace, trace
from lamina.trace.notation import number, shape_text, to_ascii
from lamina.trace.record import gradient_name

if TYPE_CHECKING:
    from lamina.models.model import Model

Array = np.ndarray[Any, Any]

MANY = 1000  # rows: a neuron that is 0 for all of so many is dead; of a few rows it may be by chance
FLAT = 0.05  # of its largest slope: an element of tanh or sigmoid that has less counts as saturated
HEAD = ("name", "shape", "mean", "std", "largest", "gradient", "update/weight", "remark")
RECTIFIERS = ("relu", "relu6")


@dataclass(frozen=True)
class Statistics:
    """Figures of one tensor.

    `gradient_norm`: of dL/dtensor, NaN without one. `update_ratio`: norm of the step over norm of the weight. `dead`: the share of
    ReLU neurons that are 0 for each of the `rows`. `saturated`: the share of elements where tanh or sigmoid is flat.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    std: float
    largest: float
    gradient_norm: float = float("nan")
    update_ratio: float = float("nan")
    dead: float | None = None
    saturated: float | None = None
    rows: int = 0

    @property
    def remark(self) -> str:
        """What stands out, in words."""
        out = []
        if not np.isfinite(self.largest):
            out.append("not finite")
        if self.dead:
            few = "for this row" if self.rows == 1 else f"for these {self.rows} rows"
            out.append(f"{self.dead:.0%} of its neurons are {'dead' if self.rows >= MANY else f'0 {few}'}")
        if self.saturated is not None and self.saturated > 0.1:
            out.append(f"{self.saturated:.0%} saturated")
        if self.gradient_norm == 0:
            out.append("no gradient")
        return ", ".join(out)


class Inspection(Named[Statistics]):
    """Statistics by the names of a trace (W1, A1, ...), with `activations`, `gradients` and `weights`: dicts of arrays by name."""

    def __init__(self, made: Trace) -> None:
        self.trace = made
        weights = {name for name, p in made.model.wiring.parameters.items() if p.is_weight}  # frozen ones, too
        parameters = [name for name, source in made.sources.items() if source["kind"] != "input" and source["full_name"] in weights]
        values = [step.name for step in made.forward]
        self.weights = {name: made[name] for name in parameters}
        self.activations = {name: made[name] for name in values if made[name].dtype.kind == "f"}
        pairs = {name: gradient_name(name) for name in (*parameters, *values)}
        self.gradients = {name: made[gradient] for name, gradient in pairs.items() if gradient in made}
        ratios = {step.name: _ratio(step) for step in made.update if step.kind == "update"}
        self._rows = {
            name: _statistics(made, name, value, self.gradients.get(name), ratios.get(name, float("nan")))
            for name, value in {**self.activations, **self.weights}.items()
        }

    def __getitem__(self, name: str) -> Statistics:
        return lookup("inspect", name, self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return "\n".join(tables.text([HEAD, *map(_cells, self._rows.values())], "<" * len(HEAD)))

    def _repr_html_(self) -> str:
        return tables.html(HEAD, map(_cells, self._rows.values()), "<" * len(HEAD))


def inspect(model: Model, x: Any, y: Any = None) -> Inspection:
    """See `Model.inspect`."""
    return Inspection(trace(model, x, y, repeats=0))


def _cells(row: Statistics) -> tuple[str, ...]:
    figures = (row.mean, row.std, row.largest, row.gradient_norm, row.update_ratio)
    shown = tuple("" if np.isnan(v) else to_ascii(number(v, 3)) for v in figures)
    return (row.name, to_ascii(shape_text(row.shape)), *shown, row.remark)


def _statistics(made: Trace, name: str, value: Array, gradient: Array | None, ratio: float) -> Statistics:
    numbers = np.asarray(value, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # figures of what is not finite say so themselves
        mean, std = (float(numbers.mean()), float(numbers.std())) if numbers.size else (0.0, 0.0)
    step = made.step(name) if name not in made.sources else None
    return Statistics(
        name,
        value.shape,
        mean,
        std,
        float(np.abs(numbers).max(initial=0.0)),
        float("nan") if gradient is None else float(np.linalg.norm(np.asarray(gradient, np.float64).ravel())),
        ratio,
        _dead(step, numbers),
        _saturated(step, numbers),
        numbers.size // numbers.shape[-1] if numbers.ndim and numbers.size else 0,
    )


def _ratio(step: Step) -> float:
    """|new - old| / |old| of a parameter."""
    if step.values is None or step.before is None:
        return float("nan")
    old = np.asarray(step.before, np.float64)
    size = float(np.linalg.norm(old.ravel()))
    return float(np.linalg.norm((np.asarray(step.values, np.float64) - old).ravel())) / size if size else float("nan")


def _dead(step: Step | None, numbers: Array) -> float | None:
    if step is None or step.ops[-1] not in RECTIFIERS or numbers.ndim < 2 or not numbers.size:
        return None
    return float((numbers.reshape(-1, numbers.shape[-1]) <= 0).all(axis=0).mean())


def _saturated(step: Step | None, numbers: Array) -> float | None:
    """By the slope, written over the value: 1 - a^2 of tanh, 4 a (1 - a) of sigmoid."""
    if step is None or step.ops[-1] not in ("tanh", "sigmoid") or not numbers.size:
        return None
    slope = 1 - numbers**2 if step.ops[-1] == "tanh" else 4 * numbers * (1 - numbers)
    return float((slope < FLAT).mean())
