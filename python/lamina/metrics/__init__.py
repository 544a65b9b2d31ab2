"""Figures of merit of predictions: plain functions metric(y_true, y_pred, sample_weight=None) over NumPy arrays.

Predictions are taken as a network gives them. Classification: logits or probabilities (n, C), of which the largest counts (the
first one of equals, as in argmax); one column (n, 1) or (n,) for two classes, class 1 where it is above `threshold`, which is 0
because a network gives logits (pass 0.5 for probabilities; `fit` and `evaluate` do where the network ends in a sigmoid); integers
and bools (n,) are classes already. Axes between the first and the last count as samples. The truth: integer classes (n,) or (n, 1),
or one-hot rows / probabilities (n, C), of which the largest counts; for one column 0 and 1, -1 and 1, or the probability of class
1, above 1/2. Where such rows hold 0 and 1 alone, and not each a single 1 (in one of the sets of a fit), they are several labels a
sample, each of which is there where its column is above `threshold`: `accuracy` is the share of labels that are right
(scikit-learn's counts rows without a mistake), `precision`, `recall`, `f1` and `roc_auc` are means over the labels. Regression: two
arrays of the same size and rows.

Every mean is weighted: sum(w_i v_i) / sum(w_i), with w_i = 1 unless `sample_weight` (n,) is given; for labels and regression there
may be one weight for each element, in the shape of the truth. Arithmetic is in float64.

What the loss leaves out, by `ignore_index` or `mask_nan`, `fit` and `evaluate` leave out of the metrics. With `mask_nan` that is
each sample without a target, of all metrics; and each NaN among the targets of a sample, of those of labels and regression here: a
metric of your own is given it. The figure is NaN where nothing is left.

All raise ValueError for empty data, different lengths, labels out of range and invalid weights; the classification metrics also
for NaN predictions, while in the regression metrics a NaN gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lamina.base import checks
from lamina.base import names as _names
from lamina.base.calls import explained, predicted, refusing
from lamina.base.config import Configured
from lamina.base.names import anycase, canonical
from lamina.metrics.classification import accuracy, confusion_matrix, f1, plot_confusion, precision, recall, roc_auc, top_k
from lamina.metrics.regression import mae, mape, mse, msle, r2, rmse

__all__ = ["Metric", "accuracy", "confusion_matrix", "direction", "f1", "get", "mae", "mape", "mse", "msle"]
__all__ += ["name_of", "names", "plot_confusion", "precision", "r2", "recall", "rmse", "roc_auc", "top_k"]

Metric = Callable[..., Any]

_OF_LABELS = (accuracy, precision, recall, f1, roc_auc)
_ERRORS = (mae, mape, mse, msle, rmse)  # smaller is better
METRICS: dict[str, Metric] = {metric.__name__: metric for metric in (*_OF_LABELS, top_k, *_ERRORS, r2, confusion_matrix)}


def names() -> list[str]:
    """The names of all metrics.

    >>> "accuracy" in lm.metrics.names()
    True
    """
    return list(METRICS)


@explained
def get(metric: str | Metric) -> Metric:
    """The metric of that name; a function metric(y_true, y_pred, sample_weight=None) is returned as it is.

    Errors: ValueError for an unknown name, with the nearest known one; TypeError for something that cannot be called so.

    >>> lm.metrics.get("accuracy") is lm.metrics.accuracy
    True
    """
    if isinstance(metric, str):
        return anycase("metrics", metric, METRICS)
    if not callable(metric):
        raise TypeError(f"[metrics] expected a name or a function, got {checks.brief(metric)}; pass one of {', '.join(names())}")
    if isinstance(metric, Configured) or (isinstance(metric, type) and issubclass(metric, Configured)):
        raise TypeError(
            f"[metrics] expected a function (y_true, y_pred, sample_weight=None), got {checks.brief(metric)}, which takes the "
            "prediction first; the loss is logged as 'loss', another one as lambda true, pred, sample_weight=None: "
            "float(loss(pred, true, sample_weight))"
        )
    if not built_in(metric):
        _check_takes_both(metric)
    return metric


def _check_takes_both(metric: Metric) -> None:
    """TypeError for a function that cannot be called with targets and predictions."""
    if signature := refusing(metric, 0, 0):
        raise TypeError(
            f"[metrics] expected a function (y_true, y_pred, sample_weight=None) as {name_of(metric)!r}, got {signature}; give it "
            "these parameters"
        )
    if predicted(metric) == [True, False]:
        checks.warn(
            f"[metrics] expected a function (y_true, y_pred, sample_weight=None) as {name_of(metric)!r}, got one whose first "
            "parameter is called as if it were the prediction; where their order matters, turn them"
        )


@explained
def name_of(metric: str | Metric) -> str:
    """The name under which a metric is reported: its own, or that of the function inside a `functools.partial` without one.

    >>> lm.metrics.name_of(lm.metrics.f1)
    'f1'
    """
    if isinstance(metric, str):
        return canonical(metric, METRICS)
    inner = metric if hasattr(metric, "__name__") else getattr(metric, "func", metric)
    return str(getattr(inner, "__name__", type(inner).__name__))


def built_in(metric: Metric) -> bool:
    """Whether it is one of these metrics, or one with options by `functools.partial`.

    >>> built_in(lm.metrics.f1), built_in(max)
    (True, False)
    """
    return getattr(metric, "func", metric) in METRICS.values()


def of_elements(metric: Metric) -> bool:
    """Whether it is one of ours that takes a weight for each element of the targets.

    >>> of_elements(lm.metrics.mae), of_elements(lm.metrics.top_k)
    (True, False)
    """
    return of_labels(metric) or getattr(metric, "func", metric) in (*_ERRORS, r2)


def of_labels(metric: Metric) -> bool:
    """Whether it is one of ours that takes several labels a sample, also where none has several if each element has a weight.

    >>> of_labels(lm.metrics.f1), of_labels(lm.metrics.mae)
    (True, False)
    """
    return getattr(metric, "func", metric) in _OF_LABELS


@explained
def direction(name: str) -> str | None:
    """Whether "min" or "max" of a logged figure is better: known for losses and for our metrics, else None.

    A prefix such as "val_" or an output's name with an underscore may stand before it.

    >>> lm.metrics.direction("val_loss"), lm.metrics.direction("val_accuracy"), lm.metrics.direction("cost")
    ('min', 'max', None)
    """
    if not isinstance(name, str):
        raise TypeError(f"[metrics.direction] expected the name of a figure, got {checks.brief(name)}; pass 'val_loss', say")
    if name == "loss" or name.endswith("_loss"):
        return "min"
    for known in METRICS:
        if known != "confusion_matrix" and (name == known or name.endswith(f"_{known}")):
            return "min" if METRICS[known] in _ERRORS else "max"
    return None


if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, __all__)
