"""What `compile` was given, resolved against a model's outputs: one loss and one weight an output, the optimizer, the metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lamina import checks, losses, metrics, names, optim
from lamina.losses import Loss
from lamina.metrics import Metric
from lamina.optim import Optimizer

T = TypeVar("T")


@dataclass
class Objective:
    """Losses and their weights in the order of the outputs, the optimizer, the metrics by name; and how they were given."""

    losses: list[Loss]
    loss_weights: list[float]
    optimizer: Optimizer
    metrics: dict[str, Metric] = field(default_factory=dict)
    given: tuple[Any, ...] = ()

    @classmethod
    def of(cls, outputs: Sequence[str], loss: Any, optimizer: Any, metrics_: Any = (), loss_weights: Any = None) -> Objective:
        """Checks and resolves the arguments of `compile` for outputs of these names."""
        return cls(
            per_output("loss", loss, outputs, losses.get),
            per_output("loss_weights", 1.0 if loss_weights is None else loss_weights, outputs, _weight),
            optim.get(optimizer),
            named_metrics(metrics_),
            (loss, optimizer, metrics_, loss_weights),
        )

    def for_outputs(self, outputs: Sequence[str]) -> Objective:
        """The same for other outputs: those that a network has once it is built. The optimizer, with its state, stays."""
        loss, _, metrics_, loss_weights = self.given
        made = Objective.of(outputs, loss, self.optimizer, metrics_, loss_weights)
        made.given = self.given
        return made


def per_output(what: str, value: Any, outputs: Sequence[str], convert: Callable[[Any], T]) -> list[T]:
    """One value for all outputs, or a list in their order, or a dict by their names."""
    if isinstance(value, Mapping):
        for name in value:
            if name not in outputs:
                raise names.unknown(what, str(name), outputs)
        missing = [name for name in outputs if name not in value]
        if missing:
            raise ValueError(f"[{what}] expected one for each output, got none for {', '.join(missing)}; add it to the dict")
        return [convert(value[name]) for name in outputs]
    if isinstance(value, (list, tuple)):
        if len(value) != len(outputs):
            raise ValueError(
                f"[{what}] expected {len(outputs)} (one for each output), got {len(value)}; outputs: {', '.join(outputs)}"
            )
        return [convert(v) for v in value]
    return [convert(value) for _ in outputs]


def named_metrics(given: Any) -> dict[str, Metric]:
    """A metric or several, by name or as functions, under the names that logs show.

    >>> list(named_metrics(["accuracy", "mae"]))
    ['accuracy', 'mae']
    """
    several = [given] if isinstance(given, str) or callable(given) else list(given or ())
    return {metrics.name_of(metric): metrics.get(metric) for metric in several}


def _weight(value: Any) -> float:
    return checks.number("compile", "loss_weights", value, 0)
