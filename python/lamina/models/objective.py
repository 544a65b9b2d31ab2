"""What `compile` was given, resolved against a model's outputs: one loss and one weight an output, the optimizer, the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from lamina import losses, metrics, optim
from lamina.base import checks, names
from lamina.losses import Loss
from lamina.metrics import Metric
from lamina.optim import Optimizer

T = TypeVar("T")


class OutputMetric(NamedTuple):
    """A metric, and the number of the output that it measures; whether targets that it met were several labels a sample."""

    metric: Metric
    output: int
    labels: bool = False


@dataclass
class Objective:
    """Losses and their weights in the order of the outputs, the optimizer, the metrics by logged name; and how they were given."""

    losses: list[Loss]
    loss_weights: list[float]
    optimizer: Optimizer
    metrics: dict[str, OutputMetric] = field(default_factory=dict)
    given: tuple[Any, ...] = ()
    made_for: Callable[[], Any] = field(default=lambda: None)  # the network that a copy has this from, while it lives

    def __post_init__(self) -> None:
        for loss in self.losses:
            loss.__dict__["_is_made"] = True

    @classmethod
    def of(cls, outputs: Sequence[str], loss: Any, optimizer: Any, metrics_: Any = (), loss_weights: Any = None) -> Objective:
        """Checks and resolves the arguments of `compile` for outputs of these names."""
        kind = loss if isinstance(loss, type) else type(loss)
        if issubclass(kind, optim.Optimizer) or (isinstance(loss, str) and loss.lower() in optim.OPTIMIZERS):
            raise TypeError(f"[compile] expected a loss first, got the optimizer {loss!r}; write compile(loss, optimizer)")
        loss, metrics_, loss_weights = _own(loss), _own(metrics_), _own(loss_weights)
        several = per_output("loss", loss, outputs, losses.get)
        weights = per_output("loss_weights", 1.0 if loss_weights is None else loss_weights, outputs, _weight)
        if not any(weights):
            raise ValueError(f"[compile] expected loss_weights that are not all 0, got {checks.brief(loss_weights)}; raise one")
        return cls(
            several,
            weights,
            optim.get(optimizer),
            named_metrics(metrics_, outputs),
            (loss, optimizer, metrics_, loss_weights),
        )

    def total(self, outputs: Sequence[str]) -> str:
        """The loss of all outputs in words: MSE() of price + 0.5 CrossEntropy() of kind."""
        weighted = zip(self.loss_weights, self.losses, strict=True)
        terms = [repr(loss) if weight == 1 else f"{weight:g} {loss!r}" for weight, loss in weighted]
        return terms[0] if len(terms) == 1 else " + ".join(f"{t} of {name}" for t, name in zip(terms, outputs, strict=True))


def _own(given: Any) -> Any:
    """A list or a dict of the caller's, who may change it for the next fit, as it is now; what can be read once, as a list."""
    if isinstance(given, Mapping):
        return {name: _own(value) for name, value in given.items()}
    return [_own(value) for value in given] if isinstance(given, (list, Iterator)) else given


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


def named_metrics(given: Any, outputs: Sequence[str], before: Mapping[str, OutputMetric] | None = None) -> dict[str, OutputMetric]:
    """Metrics under the names that logs show, `<output>_<metric>` where there are several outputs; after those of `before`.

    `given`: a metric or several, by name or as functions, for each output; or a dict of these by the outputs' names.
    Errors: ValueError where another figure of `fit` has the name: the epoch, the loss, a metric, or these two with "val_" before.

    >>> list(named_metrics({"size": ["mae", "r2"]}, ["kind", "size"]))
    ['size_mae', 'size_r2']
    """
    named = dict(before or {})
    if type(given) is tuple and not given:
        return named
    for output, several in _by_output(given, outputs).items():
        for metric in several:
            new = OutputMetric(metrics.get(metric), outputs.index(output))
            name = metrics.name_of(metric) if len(outputs) == 1 else f"{output}_{metrics.name_of(metric)}"
            if named.setdefault(name, new) != new:
                raise _name_taken(name, "another metric", outputs)
    for name, of in _figures_of_fit(named).items():
        if name in named:
            raise _name_taken(name, of, outputs)
    return named


def _figures_of_fit(named: Iterable[str]) -> dict[str, str]:
    """The names that logs and their files have beside those of the metrics, and what each stands for."""
    training = {"loss": "the loss", **{name: repr(name) for name in named}}
    return {"loss": "the loss", "epoch": "the epoch's number"} | {
        f"val_{name}": f"{what} on the validation data" for name, what in training.items()
    }


def _name_taken(name: str, of: str, outputs: Sequence[str]) -> ValueError:
    return ValueError(
        f"[metrics] expected a name for each figure, got a metric called {name!r}, the name of {of}; write the metric as a "
        f"function (def) of another name, or set its __name__{', or rename the output' if len(outputs) > 1 else ''}"
    )


def _by_output(given: Any, outputs: Sequence[str]) -> dict[str, list[Any]]:
    """The metrics of each output."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(outputs, _several(given))
    for name in given:
        if name not in outputs:
            raise names.unknown("metrics", str(name), outputs)
    return {name: _several(given[name]) for name in outputs if name in given}


def _several(given: Any) -> list[Any]:
    if given is None:
        return []
    alone = isinstance(given, str) or callable(given) or not isinstance(given, Iterable)
    return [given] if alone else list(given)


def _weight(value: Any) -> float:
    return checks.number("compile", "loss_weights", value, 0)
