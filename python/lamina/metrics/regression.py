"""Figures of merit of predicted numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lamina.base import checks
from lamina.base.calls import explained
from lamina.metrics.values import Array, Floats, check_weights, real, weights

SMALLEST = float(np.finfo(np.float64).eps)  # that an error is divided by, as in scikit-learn


@explained
def mae(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The mean absolute error: sum(w_i |y_i - p_i|) / sum(w_i), |.| averaged over the outputs of a sample.

    >>> lm.metrics.mae([1.0, 2.0], [1.5, 2.0])
    0.25
    """
    true, pred, weight = _regression("mae", y_true, y_pred, sample_weight)
    return _mean(np.abs(pred - true), weight)


@explained
def mse(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The mean squared error: sum(w_i (y_i - p_i)^2) / sum(w_i), the square averaged over the outputs of a sample.

    >>> lm.metrics.mse([1.0, 2.0], [1.5, 2.0])
    0.125
    """
    true, pred, weight = _regression("mse", y_true, y_pred, sample_weight)
    return _mean(np.square(pred - true), weight)


@explained
def rmse(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The root of `mse`: of all outputs and all rows, not a mean of roots.

    >>> lm.metrics.rmse([1.0, 2.0], [4.0, 5.0])
    3.0
    """
    true, pred, weight = _regression("rmse", y_true, y_pred, sample_weight)
    return float(np.sqrt(_mean(np.square(pred - true), weight)))


@explained
def mape(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The mean absolute percentage error as a share, 0.25 for 25 %: the mean as in `mae` of |y_i - p_i| / max(|y_i|, 2.2e-16).

    >>> lm.metrics.mape([1.0, 2.0], [1.5, 2.0])
    0.25
    """
    true, pred, weight = _regression("mape", y_true, y_pred, sample_weight)
    return _mean(np.abs(pred - true) / np.maximum(np.abs(true), SMALLEST), weight)


@explained
def msle(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The mean squared logarithmic error: the mean as in `mse` of (log(1 + y_i) - log(1 + p_i))^2.

    Errors: ValueError for a target of -1 or below; where a prediction is below, the figure is NaN.

    >>> lm.metrics.msle([0.0, 3.0], [0.0, 3.0])
    0.0
    """
    true, pred, weight = _regression("msle", y_true, y_pred, sample_weight)
    if (true <= -1).any():
        raise ValueError(f"[msle] expected y_true above -1, got {true[true <= -1][0]:g}; measure rmse or mae")
    with np.errstate(invalid="ignore", divide="ignore"):  # of predictions
        return _mean(np.square(np.log1p(pred) - np.log1p(true)), weight)


@explained
def r2(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The share of the variance that the predictions explain.

    1 - sum(w_i (y_i - p_i)^2) / sum(w_i (y_i - mean)^2) with the weighted mean of y, for each output; then the mean over the
    outputs. 1 is perfect, 0 is as good as the mean, below 0 is worse. Of a constant output: 1 where it is met exactly, else 0.

    >>> lm.metrics.r2([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    0.5
    """
    true, pred, weight = _regression("r2", y_true, y_pred, sample_weight)
    if weight.ndim == 2:
        columns = [(k, weight[:, k] > 0) for k in range(weight.shape[1])]
        return float(np.mean([r2(true[rows, k], pred[rows, k], weight[rows, k]) for k, rows in columns if rows.any()]))
    if not weight.all():  # a row that weighs nothing does not count, nor does it make an output vary
        there = weight > 0
        true, pred, weight = true[there], pred[there], weight[there]
    share = weight / weight.sum()
    left, total = share @ np.square(true - pred), share @ np.square(true - share @ true)
    total[(true == true[0]).all(axis=0)] = 0.0  # rounding of the mean must not count as variance
    constant = np.where(left == 0, 1.0, np.where(np.isnan(left), np.nan, 0.0))
    each = np.where(total == 0, constant, 1 - left / np.where(total == 0, 1.0, total))
    return float(each.mean())


def _mean(each: Floats, weight: Floats) -> float:
    """The weighted mean over the samples, of each the mean over its outputs; or over the elements, where each has a weight."""
    total = (weight * each).sum() if weight.ndim == 2 else (weight @ each).sum() / each.shape[1]  # rows of a few numbers add slowly
    return float(total / weight.sum())


def _regression(where: str, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    true, pred = real(where, "y_true", y_true), real(where, "y_pred", y_pred)
    n = len(pred)
    if _squeezed(true) != _squeezed(pred):
        raise ValueError(f"[{where}] expected y_true and y_pred of one shape, got {true.shape} and {pred.shape}; reshape y_true")
    flat = true.reshape(n, -1), pred.reshape(n, -1)
    given = None if sample_weight is None else checks.array(where, sample_weight, "sample_weight")
    if given is not None and given.ndim > 1 and given.size == true.size > n:
        weight = real(where, "sample_weight", given).reshape(n, -1)
        check_weights(where, weight)
        return *flat, weight
    return *flat, weights(where, given, n, n)


def _squeezed(array: Array) -> tuple[int, ...]:
    return (array.shape[0], *(size for size in array.shape[1:] if size != 1))
