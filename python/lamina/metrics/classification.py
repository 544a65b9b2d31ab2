"""Figures of merit of predicted classes, and of scores that rank them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lamina.base import checks
from lamina.base.calls import explained
from lamina.metrics.values import Array, Floats, Ints, check_weights, is_column, nonempty, real, same_length, weights, whole

MOST_CLASSES = 1 << 13  # of a matrix of classes times classes: half a GB
AVERAGES = ("binary", "macro", "micro", "weighted", "none")


@explained
def accuracy(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *, threshold: float = 0.0) -> float:
    """The share of samples whose class is predicted right; of several labels a sample, the share of labels.

    sum(w_i [pred_i = true_i]) / sum(w_i)

    threshold: what one column is compared with; the class is 1 above it. 0 is for logits, 0.5 for probabilities, which `fit` and
    `evaluate` take for a network that ends in a sigmoid.

    >>> lm.metrics.accuracy([0, 1, 2], [[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [5.0, 0.0, 4.0]])
    0.6666666666666666
    """
    labels = _labels("accuracy", y_true, y_pred, sample_weight)
    if labels is not None:
        return float(np.average(labels.true == labels.above(threshold), weights=labels.weight))
    c = _classes("accuracy", y_true, y_pred, sample_weight, threshold)
    return float(np.average(c.true == c.pred, weights=c.weight))


@explained
def top_k(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *, k: int = 5) -> float:
    """The share of samples whose class is among the k largest predictions.

    sum(w_i [rank_i < k]) / sum(w_i); rank_i counts the classes with a larger prediction than the true one, and those with an equal
    one that come before it: top_k(k=1) is the accuracy, and with k >= C it is 1. `y_pred` must be (n, C).

    >>> lm.metrics.top_k([2, 0], [[0.5, 0.1, 0.4], [0.1, 0.2, 0.7]], k=2)
    0.5
    """
    k = checks.integer("top_k", "k", k)
    scores = _scores("top_k", y_pred)
    if scores.shape[1] == 1:
        raise ValueError("[top_k] expected y_pred (n, C) with C >= 2, got one column; use accuracy for two classes")
    true = _true_classes("top_k", y_true, scores, scores.shape[1])
    weight = weights("top_k", sample_weight, true.size, len(np.asarray(y_pred)))
    own = np.take_along_axis(scores, true[:, None], axis=1)
    before = np.arange(scores.shape[1]) < true[:, None]
    rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return float(np.average(rank < k, weights=weight))


@explained
def precision(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    average: str | None = None,
    threshold: float = 0.0,
) -> Any:
    """The share of those predicted to be of a class that are of it: TP / (TP + FP), 0 where nothing is predicted to be of it.

    `average` says how the classes' values become one: "binary", of class 1 alone (the default for two classes); "macro", the mean
    over the classes that occur in y_true or in the predictions, in samples that weigh more than 0 (the default for more, and for
    labels); "weighted", the mean weighted by the classes' true frequency; "micro", from the sums of TP and FP; "none", an array
    with one value a class.

    >>> lm.metrics.precision([0, 1, 1, 0], [-1.0, 2.0, 3.0, 0.5])
    0.6666666666666666
    """
    counts = _counts("precision", y_true, y_pred, sample_weight, threshold)
    return _average("precision", average, counts, counts.hits, counts.predicted)


@explained
def recall(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    average: str | None = None,
    threshold: float = 0.0,
) -> Any:
    """The share of those of a class that are predicted to be of it: TP / (TP + FN), 0 where none is of it.

    `average` as in `precision`.

    >>> lm.metrics.recall([0, 1, 1, 1], [-1.0, 2.0, 3.0, -0.5])
    0.6666666666666666
    """
    counts = _counts("recall", y_true, y_pred, sample_weight, threshold)
    return _average("recall", average, counts, counts.hits, counts.actual)


@explained
def f1(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    average: str | None = None,
    threshold: float = 0.0,
) -> Any:
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN), 0 where the class does not occur at all.

    `average` as in `precision`; the classes' F1 are averaged, not their precision and recall.

    >>> lm.metrics.f1([0, 1, 1, 1], [1.0, 2.0, 3.0, -0.5])
    0.6666666666666666
    """
    counts = _counts("f1", y_true, y_pred, sample_weight, threshold)
    return _average("f1", average, counts, 2 * counts.hits, counts.predicted + counts.actual)


@explained
def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *, threshold: float = 0.0
) -> Array:
    """How many samples of each class (row) were predicted to be of each class (column).

    M[a, b] = sum(w_i [true_i = a and pred_i = b]); (C, C), int64, or float64 with weights. Where the predictions are classes
    already, C is the largest class that occurs, plus 1, and at least 2.

    >>> lm.metrics.confusion_matrix([0, 1, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    array([[1, 0],
           [1, 1]])
    """
    c = _classes("confusion_matrix", y_true, y_pred, sample_weight, threshold)
    matrix = _matrix("confusion_matrix", c)
    return matrix.astype(np.int64) if sample_weight is None else matrix


@explained
def plot_confusion(y_true: ArrayLike, y_pred: ArrayLike, *, labels: Any = None, normalize: bool = False, ax: Any = None) -> Any:
    """Draws the confusion matrix by matplotlib (the extra `lamina[plot]`): true classes down, predicted ones across.

    labels: a name for each class. normalize: shares of each true class instead of counts. ax: the Axes to draw on; returned.
    Errors: ValueError without matplotlib, or for another number of labels than classes.
    """
    from lamina.base.plots import confusion

    normalize = checks.flag("plot_confusion", "normalize", normalize)
    return confusion(confusion_matrix(y_true, y_pred), labels, ax, normalize=normalize)


@explained
def roc_auc(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The area under the ROC curve: how likely a sample of the class scores higher than one that is not of it.

    sum over positives p and negatives q of w_p w_q ([s_p > s_q] + [s_p = s_q] / 2) / (sum of w_p * sum of w_q)

    Two classes: the score is the one column, or column 1 minus column 0. More: one class against the rest, averaged over the
    classes that have both positives and negatives; the score is the class's probability: `y_pred` itself where all rows are
    nonnegative and sum to 1, its softmax otherwise. Of several labels a sample, the mean over the labels, each by its own column.
    NaN where no class has both.

    >>> lm.metrics.roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    labels = _labels("roc_auc", y_true, y_pred, sample_weight)
    if labels is not None:
        return _mean_auc(zip(labels.true.T, labels.scores.T, labels.weight.T, strict=True))
    scores = _scores("roc_auc", y_pred)
    classes = max(2, scores.shape[1])
    true = _true_classes("roc_auc", y_true, scores, classes)
    weight = weights("roc_auc", sample_weight, true.size, len(np.asarray(y_pred)))
    if classes == 2:
        return _auc(true == 1, scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0], weight)
    scores = _rankable(scores)
    return _mean_auc((true == c, scores[:, c], weight) for c in range(classes))


def _mean_auc(several: Iterable[tuple[NDArray[np.bool_], Floats, Floats]]) -> float:
    areas = np.array([_auc(*one) for one in several])
    known = ~np.isnan(areas)
    return float(areas[known].mean()) if known.any() else float("nan")


class _Classes(NamedTuple):
    true: Ints
    pred: Ints
    weight: Floats
    classes: int  # how many there are


class _Labels(NamedTuple):
    """Several labels a sample, each of which is there or not: all of shape (samples, labels)."""

    true: NDArray[np.bool_]
    scores: Floats
    weight: Floats
    where: str

    def above(self, threshold: float) -> NDArray[np.bool_]:
        """Those that are predicted."""
        threshold = checks.number(self.where, "threshold", threshold)
        if threshold == 0:
            _warn_of_probabilities(self.where, self.scores)
        return self.scores > threshold


def _labels(where: str, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None) -> _Labels | None:
    """The labels, where the rows are some: 0 and 1 alone, not one 1 in each; or the elements have weights."""
    truth = checks.array(where, y_true, "y_true")
    if (
        truth.ndim < 2
        or truth.shape[-1] == 1
        or truth.dtype.kind not in "biuf"
        or truth.shape != np.shape(y_pred)
        or not truth.size
    ):
        return None
    each = sample_weight if sample_weight is not None and truth.shape == np.shape(sample_weight) else None
    if not are_labels(truth, each is not None):
        return None
    true = truth.reshape(-1, truth.shape[-1])
    scores = _scores(where, y_pred)
    if each is not None:
        weight = real(where, "sample_weight", each).reshape(true.shape)
        check_weights(where, weight)
    else:
        rows = weights(where, sample_weight, len(true), len(truth))
        weight = np.broadcast_to(rows[:, None], true.shape)
    return _Labels(true == 1, scores, weight, where)


def are_labels(truth: Array, alone: bool = False) -> bool:
    """Whether rows are several labels a sample: 0 and 1, not one 1 in each, or `alone` any.

    >>> are_labels(np.eye(2)), are_labels(np.ones((2, 2)))
    (False, True)
    """
    return bool(((truth == 0) | (truth == 1)).all() and (alone or (truth.sum(axis=-1) != 1).any()))


class _Counts(NamedTuple):
    hits: Floats  # TP of each class
    predicted: Floats  # TP + FP
    actual: Floats  # TP + FN
    labels: bool = False  # whether there are several a sample


def _classes(where: str, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None, threshold: float) -> _Classes:
    threshold = checks.number(where, "threshold", threshold)
    pred = checks.array(where, y_pred, "y_pred")
    if pred.dtype.kind in "biu" and is_column(pred):
        return _given_classes(where, y_true, pred, sample_weight)
    scores = _scores(where, y_pred)
    columns = scores.shape[1]
    true = _true_classes(where, y_true, scores, max(2, columns))
    if columns == 1 and threshold == 0:
        _warn_of_probabilities(where, scores)
    chosen = (scores[:, 0] > threshold).astype(np.int64) if columns == 1 else scores.argmax(axis=1)
    return _Classes(true, chosen, weights(where, sample_weight, true.size, len(pred)), max(2, columns))


def _warn_of_probabilities(where: str, scores: Floats) -> None:
    """Scores all of which are probabilities are hardly logits: they would all be of class 1."""
    if ((scores >= 0) & (scores <= 1)).all() and ((scores > 0) & (scores < 0.5)).any():
        checks.warn(
            f"[{where}] expected logits, got numbers from 0 to 1 alone, all of class 1 above the threshold 0; "
            "for probabilities pass threshold=0.5"
        )


def _given_classes(where: str, y_true: ArrayLike, pred: Array, sample_weight: ArrayLike | None) -> _Classes:
    """Predictions that are classes already."""
    pred = nonempty(where, "y_pred", pred).reshape(-1).astype(np.int64)
    truth = checks.array(where, y_true, "y_true")
    if truth.ndim == 2 and truth.shape[1] > 1:
        true = _from_rows(where, real(where, "y_true", truth))
    else:
        true = whole(where, "y_true", truth.reshape(-1))
    same_length(where, true.size, pred.size)
    if _are_signs(true) and _are_signs(pred):
        true, pred = _of_signs(true), _of_signs(pred)
    for name, classes in (("y_true", true), ("y_pred", pred)):
        if classes.min() < 0:
            raise ValueError(f"[{where}] expected classes 0, 1, ... in {name}, got {classes.min()}; number the classes from 0")
    count = max(2, int(true.max()) + 1, int(pred.max()) + 1)
    return _Classes(true, pred, weights(where, sample_weight, true.size, pred.size), count)


def _scores(where: str, y_pred: ArrayLike) -> Floats:
    """Predictions as (samples, columns)."""
    pred = real(where, "y_pred", y_pred)
    scores = pred.reshape(-1, 1) if pred.ndim == 1 else pred.reshape(-1, pred.shape[-1])
    bad = np.isnan(scores)
    if bad.any():
        first = bad.any(axis=1).argmax()
        raise ValueError(
            f"[{where}] expected numbers in y_pred, got NaN (first in sample {first}); lower the lr or scale the inputs"
        )
    return scores


def _true_classes(where: str, y_true: ArrayLike, scores: Floats, classes: int) -> Ints:
    truth = real(where, "y_true", y_true)
    columns = scores.shape[1]
    if columns > 1 and truth.ndim > 1 and truth.size == scores.size and truth.shape[-1] == columns:
        return _from_rows(where, truth.reshape(-1, columns))
    same_length(where, truth.size, len(scores))
    flat = truth.reshape(-1)
    if columns == 1 and ((flat > 0) & (flat < 1)).any():
        return _from_probabilities(where, flat)
    labels = whole(where, "y_true", flat)
    if columns == 1 and _are_signs(labels):
        labels = _of_signs(labels)
    if labels.min() < 0 or labels.max() >= classes:
        outside = int(np.argmax((labels < 0) | (labels >= classes)))
        raise ValueError(
            f"[{where}] expected classes 0..{classes - 1} in y_true ({columns} column{'s' * (columns > 1)} of predictions), "
            f"got {labels[outside]} in sample {outside}; number the classes from 0, or widen the last layer"
        )
    return labels


def _are_signs(labels: Ints) -> bool:
    """Whether two classes are numbered as a hinge loss takes them, -1 and 1; ones alone may be either's."""
    return bool((abs(labels) == 1).all())


def _of_signs(labels: Ints) -> Ints:
    return (labels > 0).astype(np.int64)


def _from_probabilities(where: str, flat: Floats) -> Ints:
    """Probabilities of class 1."""
    outside = ~((flat >= 0) & (flat <= 1))
    if outside.any():
        first = int(outside.argmax())
        raise ValueError(
            f"[{where}] expected classes 0 and 1, or probabilities, in y_true (1 column of predictions), got {flat[first]:g} in "
            f"sample {first}; for targets that are no classes measure mae, mse or r2"
        )
    return (flat > 0.5).astype(np.int64)


def _from_rows(where: str, rows: Floats) -> Ints:
    """One-hot rows, or probabilities."""
    total = rows.sum(axis=1)
    bad = ~(np.abs(total - 1) < 1e-3)  # 1e-3: float16 probabilities still pass, two labels in a row do not
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"[{where}] expected rows of y_true that sum to 1 (one-hot or probabilities), got {total[first]:g} in sample {first}; "
            f"for several labels a sample, which are 0 and 1, measure accuracy, precision, recall, f1 or roc_auc"
        )
    return np.asarray(rows.argmax(axis=1), dtype=np.int64)


def _matrix(where: str, c: _Classes) -> Floats:
    if c.classes > MOST_CLASSES:
        raise ValueError(
            f"[{where}] expected at most {MOST_CLASSES} classes, a row and a column for each, got {c.classes}; number the classes "
            "from 0 without gaps"
        )
    flat = np.bincount(c.true * c.classes + c.pred, weights=c.weight, minlength=c.classes**2)
    return flat.astype(np.float64).reshape(c.classes, c.classes)


def _counts(where: str, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None, threshold: float) -> _Counts:
    labels = _labels(where, y_true, y_pred, sample_weight)
    if labels is not None:
        w, pred = labels.weight, labels.above(threshold)
        hits, predicted, actual = ((w * of).sum(axis=0) for of in (labels.true & pred, pred, labels.true))
        return _Counts(hits, predicted, actual, labels=True)
    c = _classes(where, y_true, y_pred, sample_weight, threshold)
    if c.classes > MOST_CLASSES**2:
        raise ValueError(
            f"[{where}] expected at most {MOST_CLASSES**2} classes, got {c.classes}; number the classes from 0 without gaps"
        )

    def count(classes: Ints, weight: Floats) -> Floats:
        return np.bincount(classes, weights=weight, minlength=c.classes).astype(np.float64)

    hit = c.true == c.pred
    return _Counts(count(c.true[hit], c.weight[hit]), count(c.pred, c.weight), count(c.true, c.weight))


def _average(where: str, average: str | None, counts: _Counts, above: Floats, below: Floats) -> Any:
    """above / below of each class as one number; the zero below a line gives 0."""
    two = len(above) == 2 and not counts.labels
    how = checks.choice(where, "average", ("binary" if two else "macro") if average is None else average, AVERAGES)
    if how == "binary" and not two:
        of = "labels" if counts.labels else "classes"
        raise ValueError(f"[{where}] expected two classes for average='binary', got {len(above)} {of}; pass average='macro'")
    if how == "micro":
        return float(above.sum() / (below.sum() or 1.0))
    each = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    if how == "none":
        return each
    if how == "binary":
        return float(each[1])
    weight = counts.actual if how == "weighted" else (counts.actual + counts.predicted > 0).astype(np.float64)
    return float(np.average(each, weights=weight)) if weight.any() else 0.0


def _rankable(scores: Floats) -> Floats:
    """Probabilities as they are; of logits log(p / (1 - p)), which ranks as p = softmax does but has no ties near 1."""
    if (scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) < 1e-3).all():
        return scores
    top = scores.argmax(axis=1)[:, None]
    below = scores - np.take_along_axis(scores, top, axis=1)
    others = np.exp(below)
    np.put_along_axis(others, top, 0.0, axis=1)
    others.sort(axis=1)  # the same logits in another order have the same sum: equal probabilities are ties
    rest = others.sum(axis=1, keepdims=True)  # p of the largest class is 1 / (1 + rest)
    log_p = below - np.log1p(rest)
    with np.errstate(divide="ignore"):  # a class that is certain in float64 ranks at infinity
        odds = np.where(below == 0, -np.log(rest), log_p - np.log1p(-np.exp(log_p)))
    return np.asarray(odds, dtype=np.float64)


def _auc(positive: NDArray[np.bool_], score: Floats, weight: Floats) -> float:
    values, group = np.unique(score, return_inverse=True)
    up = np.bincount(group, weights=weight * positive, minlength=len(values))
    down = np.bincount(group, weights=weight * ~positive, minlength=len(values))
    pairs = up.sum() * down.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(down) - down  # negatives with a smaller score
    return float((up * (below + down / 2)).sum() / pairs)
