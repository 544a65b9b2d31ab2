"""Metrics against loops that follow the definitions word by word, and against numbers worked out by hand."""

from __future__ import annotations

import doctest
import functools
import math
import re
import warnings
from fractions import Fraction

import numpy as np
import pytest

import lamina as lm
from lamina import metrics

# ---- oracles: plain Python, one sample at a time ----


def classes_of(rows):
    return [max(range(len(row)), key=lambda c: (row[c], -c)) for row in rows]


def accuracy_oracle(true, pred, weight):
    rows = zip(true, classes_of(pred), weight, strict=True)
    return sum(w for t, p, w in rows if t == p) / sum(weight)


def top_k_oracle(true, pred, weight, k):
    hit = 0.0
    for t, row, w in zip(true, pred, weight, strict=True):
        best_first = sorted(range(len(row)), key=lambda c: (-row[c], c))
        hit += w * (t in best_first[:k])
    return hit / sum(weight)


def tallies(true, pred, weight, c):
    hit = sum(w for t, p, w in zip(true, pred, weight, strict=True) if t == c and p == c)
    said = sum(w for p, w in zip(pred, weight, strict=True) if p == c)
    real = sum(w for t, w in zip(true, weight, strict=True) if t == c)
    return hit, said, real


def ratio(above, below):
    return above / below if below else 0.0


PER_CLASS = {
    "precision": lambda hit, said, real: ratio(hit, said),
    "recall": lambda hit, said, real: ratio(hit, real),
    "f1": lambda hit, said, real: ratio(2 * hit, said + real),
}


def averaged_oracle(name, true, pred, weight, classes, average):
    each = [tallies(true, pred, weight, c) for c in range(classes)]
    value = PER_CLASS[name]
    if average == "micro":
        return value(*(sum(t[i] for t in each) for i in range(3)))
    values = [value(*t) for t in each]
    if average == "none":
        return values
    if average == "binary":
        return values[1]
    if average == "weighted":
        return sum(v * t[2] for v, t in zip(values, each, strict=True)) / sum(t[2] for t in each)
    seen = [v for v, t in zip(values, each, strict=True) if t[1] or t[2]]
    return sum(seen) / len(seen)


def auc_oracle(positive, score, weight):
    above = below = 0.0
    for p, s, w in zip(positive, score, weight, strict=True):
        for q, r, v in zip(positive, score, weight, strict=True):
            if p and not q:
                above += w * v * (1.0 if s > r else 0.5 if s == r else 0.0)
                below += w * v
    return above / below if below else math.nan


def r2_oracle(true, pred, weight):
    values = []
    for column in range(true.shape[1]):
        t, p = true[:, column], pred[:, column]
        mean = sum(w * a for w, a in zip(weight, t, strict=True)) / sum(weight)
        left = sum(w * (a - b) ** 2 for w, a, b in zip(weight, t, p, strict=True))
        total = sum(w * (a - mean) ** 2 for w, a in zip(weight, t, strict=True))
        values.append(1 - left / total)
    return sum(values) / len(values)


ERRORS = {
    "mae": lambda t, p: abs(t - p),
    "mse": lambda t, p: (t - p) ** 2,
    "rmse": lambda t, p: (t - p) ** 2,  # of which the root is taken at the end
    "mape": lambda t, p: abs(t - p) / max(abs(t), 2.0**-52),
    "msle": lambda t, p: (math.log(1 + t) - math.log(1 + p)) ** 2,
}


def error_oracle(name, true, pred, weight):
    rows = zip(true, pred, weight, strict=True)
    total = sum(w * ERRORS[name](t, p) for row, other, w in rows for t, p in zip(row, other, strict=True))
    mean = total / len(true[0]) / sum(weight)
    return math.sqrt(mean) if name == "rmse" else mean


REGRESSION = {*ERRORS, "r2"}
ORACLES = {"accuracy", "top_k", "precision", "recall", "f1", "roc_auc", "confusion_matrix"} | REGRESSION


def test_every_metric_has_an_oracle():
    assert set(metrics.names()) == ORACLES


# ---- data ----


@pytest.fixture(params=["plain", "weighted"])
def many(request, rng):
    """40 samples of 4 classes with ties, logits on a coarse grid; class 3 is never true."""
    logits = rng.integers(-3, 4, (40, 4)) / 2
    labels = rng.integers(0, 3, 40)
    weight = rng.integers(0, 5, 40) / 4 if request.param == "weighted" else None
    return labels, logits, weight


@pytest.fixture(params=["plain", "weighted"])
def two(request, rng):
    logits = rng.integers(-4, 5, 50) / 2
    labels = (logits + rng.standard_normal(50) > 0).astype(np.int64)
    weight = rng.random(50) if request.param == "weighted" else None
    return labels, logits, weight


def ones(weight, n):
    return [1.0] * n if weight is None else list(weight)


# ---- classification ----


def test_accuracy(many):
    labels, logits, weight = many
    assert metrics.accuracy(labels, logits, weight) == pytest.approx(accuracy_oracle(labels, logits, ones(weight, 40)), abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_top_k(many, k):
    labels, logits, weight = many
    expected = top_k_oracle(labels, logits, ones(weight, 40), k)
    assert metrics.top_k(labels, logits, weight, k=k) == pytest.approx(expected, abs=1e-12)


def test_top_1_is_accuracy_even_with_ties(many):
    labels, logits, weight = many
    assert metrics.top_k(labels, logits, weight, k=1) == metrics.accuracy(labels, logits, weight)
    assert metrics.top_k(labels, np.zeros((40, 4)), k=1) == np.mean(labels == 0)


@pytest.mark.parametrize("name", sorted(PER_CLASS))
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "none"])
def test_averages_over_classes(many, name, average):
    labels, logits, weight = many
    expected = averaged_oracle(name, labels, classes_of(logits), ones(weight, 40), 4, average)
    np.testing.assert_allclose(metrics.get(name)(labels, logits, weight, average=average), expected, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(PER_CLASS))
def test_two_classes_measure_class_one(two, name):
    labels, logits, weight = two
    predicted = [int(z > 0) for z in logits]
    expected = averaged_oracle(name, labels, predicted, ones(weight, 50), 2, "binary")
    metric = metrics.get(name)
    assert metric(labels, logits, weight) == pytest.approx(expected, rel=1e-12)
    assert metric(labels[:, None], logits[:, None], weight) == pytest.approx(expected, rel=1e-12)
    assert metric(labels, np.stack([np.zeros(50), logits], axis=1), weight) == pytest.approx(expected, rel=1e-12)
    assert metric(labels, np.array(predicted), weight) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", sorted(PER_CLASS))
def test_nothing_below_the_line_gives_zero(name):
    metric = metrics.get(name)
    assert metric([0, 0], [-1.0, -1.0]) == 0.0
    assert metric([0, 1], [[9.0, 0, 0], [0, 9.0, 0]], average="none").tolist() == [1.0, 1.0, 0.0]
    assert metric([0, 1], [[9.0, 0, 0], [0, 9.0, 0]]) == 1.0  # class 2 occurs nowhere and stays out of the mean
    assert metric([[1, 1], [0, 1]], [[-1.0, -1.0], [-1.0, -1.0]], average="micro") == 0.0


def test_confusion_matrix(many):
    labels, logits, weight = many
    expected = np.zeros((4, 4))
    for t, p, w in zip(labels, classes_of(logits), ones(weight, 40), strict=True):
        expected[t, p] += w
    got = metrics.confusion_matrix(labels, logits, weight)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert got.dtype == (np.int64 if weight is None else np.float64)
    assert metrics.confusion_matrix([0, 0], [0, 0]).tolist() == [[2, 0], [0, 0]]


def test_roc_auc_of_two_classes(two):
    labels, logits, weight = two
    expected = auc_oracle(labels == 1, logits, ones(weight, 50))
    assert metrics.roc_auc(labels, logits, weight) == pytest.approx(expected, rel=1e-12)
    assert metrics.roc_auc(labels, logits[:, None], weight) == pytest.approx(expected, rel=1e-12)
    assert metrics.roc_auc(labels, np.stack([logits, 3 * logits], axis=1), weight) == pytest.approx(expected, rel=1e-12)


def test_roc_auc_of_more_classes_ranks_probabilities(many):
    labels, logits, weight = many
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p = np.round(p, 12)  # rows that are equal but for their order must tie
    each = [auc_oracle(labels == c, p[:, c], ones(weight, 40)) for c in range(3)]
    assert metrics.roc_auc(labels, p, weight) == pytest.approx(np.mean(each), rel=1e-12)
    shifted = np.round(np.log(p), 9) + 7.0
    assert metrics.roc_auc(labels, shifted, weight) == pytest.approx(np.mean(each), rel=0.02)  # ties differ by rounding


def test_roc_auc_of_logits_is_that_of_their_softmax(rng):
    logits, labels = rng.standard_normal((60, 3)) * 2, rng.integers(0, 3, 60)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.mean([auc_oracle(labels == c, p[:, c], [1.0] * 60) for c in range(3)])
    assert metrics.roc_auc(labels, logits) == pytest.approx(expected, rel=1e-12)
    assert metrics.roc_auc(labels, p) == pytest.approx(expected, rel=1e-12)


def test_roc_auc_does_not_saturate():
    """Both probabilities of class 1 are 1.0 in float64, the logits still differ."""
    assert metrics.roc_auc([0, 1], [[0.0, 40.0, 0.0], [0.0, 41.0, 0.0]]) == 1.0


def test_roc_auc_of_equal_logits_is_a_tie():
    """A class beside one as large, and the same logits in another order: equal probabilities, which rank alike to the last bit."""
    ties = np.array([[1.0, 1, 0], [0, 1, 1], [1, 1, 0], [0, 1, 1]])
    assert metrics.roc_auc([1, 0, 1, 2], ties) == 0.5
    logits = np.array([0.1, -0.7, 0.4, 1.3])
    turned = logits[[0, 3, 1, 2]]
    assert metrics.roc_auc([0, 1], np.stack([logits, turned])) == (0.5 + 1) / 2  # of class 0, and of class 1
    assert metrics.roc_auc([0, 1], np.stack([turned, logits])) == (0.5 + 0) / 2
    for rest in np.random.default_rng(0).normal(size=(20, 9)):  # whose sum has other roundings backwards
        assert metrics.roc_auc([0, 1], [[0.0, *rest], [0.0, *rest[::-1]]]) == (0.5 + (rest[8] > rest[0])) / 2


def test_roc_auc_of_two_columns_is_that_of_their_difference():
    assert metrics.roc_auc([0, 1], [[5.0, 1.0], [-5.0, 0.0]]) == 1.0


def test_roc_auc_without_both_kinds_is_nan():
    assert math.isnan(metrics.roc_auc([1, 1], [0.0, 1.0]))
    assert metrics.roc_auc([0, 1], [[3.0, 0.0, 1.0], [0.0, 3.0, 1.0]]) == 1.0  # class 2 stays out of the mean


# ---- regression ----


@pytest.mark.parametrize("weighted", [False, True])
def test_regression(rng, weighted):
    true, pred = rng.uniform(-0.9, 3.0, (20, 3)), rng.uniform(-0.9, 3.0, (20, 3))
    weight = rng.random(20) if weighted else None
    w = ones(weight, 20)
    for name in ERRORS:
        assert metrics.get(name)(true, pred, weight) == pytest.approx(error_oracle(name, true, pred, w), rel=1e-12)
    assert metrics.r2(true, pred, weight) == pytest.approx(r2_oracle(true, pred, w), rel=1e-12)


def test_regression_by_exact_fractions():
    true, pred, weight = [1, 2, 4, 7], [2, 2, 3, 9], [1, 2, 3, 4]
    total = sum(weight)
    error = [Fraction(a - b) for a, b in zip(true, pred, strict=True)]
    mse = sum(w * e * e for w, e in zip(weight, error, strict=True)) / total
    mean = Fraction(sum(w * a for w, a in zip(weight, true, strict=True)), total)
    spread = sum(w * (a - mean) ** 2 for w, a in zip(weight, true, strict=True)) / total
    assert metrics.mse(true, pred, weight) == pytest.approx(float(mse), rel=1e-14)
    assert metrics.mae(true, pred, weight) == pytest.approx(
        float(sum(w * abs(e) for w, e in zip(weight, error, strict=True)) / total)
    )
    assert metrics.r2(true, pred, weight) == pytest.approx(float(1 - mse / spread), rel=1e-14)


def test_a_column_and_a_vector_do_not_broadcast(rng):
    true, pred = rng.standard_normal(9), rng.standard_normal((9, 1))
    assert metrics.mse(true, pred) == pytest.approx(np.mean((true - pred[:, 0]) ** 2), rel=1e-12)
    with pytest.raises(ValueError, match=r"\[mse\] expected y_true and y_pred of one shape, got \(9, 2\) and \(9, 3\)"):
        metrics.mse(np.zeros((9, 2)), np.zeros((9, 3)))
    with pytest.raises(ValueError, match="one shape"):
        metrics.mse(np.zeros((9, 2, 3)), np.zeros((9, 3, 2)))


def test_r2_of_an_output_that_is_constant_where_it_weighs():
    """A row that weighs nothing makes it no variable one."""
    y, p = np.array([0.1, 0.1, 0.1, 5.0]), np.array([0.1, 0.1, 0.2, 7.0])
    weight = np.array([1.0, 1.0, 1.0, 0.0])
    assert metrics.r2(y, p, weight) == metrics.r2(y[:3], p[:3]) == 0.0
    assert metrics.r2(y, np.append(y[:3], 9.0), weight) == 1.0


def test_r2_of_a_constant():
    tenth = np.full(7, 0.1)  # the mean of 0.1 is rounded
    assert metrics.r2(tenth, tenth) == 1.0
    assert metrics.r2(tenth, tenth + 1e-3) == 0.0
    assert metrics.r2([[1.0, 1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 2.0]]) == 1.0


def test_regression_metrics_hand_nan_on():
    for name in REGRESSION:
        assert math.isnan(metrics.get(name)([1.0, 2.0], [np.nan, 2.0]))
        assert math.isnan(metrics.get(name)([np.nan, 2.0], [1.0, 2.0]))
    assert math.isnan(metrics.r2([1.0, 1.0], [np.nan, 1.0]))


def test_errors_of_numbers_at_the_edges():
    assert metrics.mape([0.0, 2.0], [0.0, 3.0]) == 0.25 and metrics.mape([0.0], [1.0]) == 2.0**52
    with pytest.raises(ValueError, match=r"\[msle\] expected y_true above -1, got -1; measure rmse or mae"):
        metrics.msle([0.0, -1.0], [0.0, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a network that is not trained yet may predict anything
        assert metrics.msle([0.0], [-1.0]) == math.inf and math.isnan(metrics.msle([0.0], [-2.0]))


def test_the_root_of_a_mean_square_is_of_all_rows(rng):
    """Of batches, too, it is no mean of their roots."""
    x, y, weight = rng.standard_normal((50, 3)), 10 * rng.standard_normal((50, 2)) ** 3, rng.random(50)
    net = lm.Sequential(lm.Dense(2), seed=0).compile("mse", "sgd", ["rmse", "mse"])
    batches = [(x[i : i + 16], y[i : i + 16], weight[i : i + 16]) for i in range(0, 50, 16)]
    for figures in (net.evaluate(x, y, sample_weight=weight, batch_size=16), net.evaluate(batches)):
        assert figures["rmse"] == pytest.approx(math.sqrt(np.average((net.predict(x) - y) ** 2, axis=0, weights=weight).mean()))
        assert figures["rmse"] == pytest.approx(math.sqrt(figures["mse"]), rel=1e-12)
    history = net.fit(batches, validation_data=batches, verbose=0)
    assert history["val_rmse"][0] == pytest.approx(math.sqrt(history["val_loss"][0]), rel=1e-6)


# ---- what predictions and truths may look like ----


def test_targets_may_be_one_hot_or_probabilities(many):
    labels, logits, weight = many
    one_hot = np.eye(4)[labels]
    smooth = 0.9 * one_hot + 0.1 / 4
    for name in ("accuracy", "top_k", "precision", "recall", "f1", "roc_auc"):
        metric = metrics.get(name)
        expected = metric(labels, logits, weight)
        for truth in (one_hot, smooth.astype(np.float16), labels[:, None], labels.astype(np.float32), labels.tolist()):
            assert metric(truth, logits, weight) == expected, name


def test_soft_binary_targets_and_threshold():
    assert metrics.accuracy([0.9, 0.2, 0.5], [1.0, -1.0, -1.0]) == 1.0
    assert metrics.accuracy([True, False], [0.7, 0.2], threshold=0.5) == 1.0
    assert metrics.accuracy([1, 0], [0.0, 0.0]) == 0.5  # 0 is not above the threshold


def test_signs_are_the_classes_of_one_column():
    x = np.linspace(-1, 1, 12)[:, None]
    bits, signs = (x[:, 0] > 0.2).astype(int), np.where(x[:, 0] > 0.2, 1, -1)
    for name in ("accuracy", "precision", "recall", "f1", "roc_auc", "confusion_matrix"):
        metric = metrics.get(name)
        assert np.array_equal(metric(signs, x), metric(bits, x))
        assert np.array_equal(metric(signs, signs[::-1]), metric(bits, bits[::-1]))
    net = lm.Sequential(lm.Dense(1), seed=0).compile("hinge", "sgd", metrics=["accuracy"])
    assert 0 <= net.fit(x, signs, verbose=0).history["accuracy"][0] <= 1
    with pytest.raises(ValueError, match="expected classes 0..1 in y_true"):
        metrics.accuracy([-1, 0, 1], x[:3])
    with pytest.raises(ValueError, match="expected classes 0..2 in y_true"):
        metrics.accuracy([-1, 1], np.eye(3)[:2])
    assert metrics.accuracy([1, 1, 1, 1], [2, 1, 0, 2]) == 0.25  # classes, not signs


def test_sequences_count_every_step(rng):
    logits, labels, weight = rng.standard_normal((5, 7, 3)), rng.integers(0, 3, (5, 7)), rng.random(5)
    flat = logits.reshape(35, 3), labels.reshape(35)
    assert metrics.accuracy(labels, logits) == metrics.accuracy(flat[1], flat[0])
    assert metrics.accuracy(np.eye(3)[labels], logits) == metrics.accuracy(flat[1], flat[0])
    assert metrics.accuracy(labels, logits, weight) == pytest.approx(
        metrics.accuracy(flat[1], flat[0], np.repeat(weight, 7)), rel=1e-12
    )
    assert metrics.top_k(labels, logits, weight, k=2) == pytest.approx(
        metrics.top_k(flat[1], flat[0], np.repeat(weight, 7), k=2), rel=1e-12
    )


def test_results_are_plain_floats(two):
    labels, logits, weight = two
    for name in ("accuracy", "precision", "recall", "f1", "roc_auc", *REGRESSION):
        assert type(metrics.get(name)(labels, logits.astype(np.float32), weight)) is float


# ---- errors ----


@pytest.mark.parametrize("name", sorted(ORACLES - {"top_k"}))
def test_errors_of_all(name):
    metric = metrics.get(name)
    with pytest.raises(ValueError, match=rf"\[{name}\] expected"):
        metric([], [])
    with pytest.raises(ValueError, match=rf"\[{name}\] expected"):
        metric([0, 1, 0], [0.0, 1.0])
    with pytest.raises(ValueError, match="finite sample weights >= 0"):
        metric([0, 1], [0.0, 1.0], [0.0, 0.0])
    with pytest.raises(ValueError, match="finite sample weights >= 0"):
        metric([0, 1], [0.0, 1.0], [-1.0, 2.0])
    with pytest.raises(ValueError, match=r"for each of 2 samples, got shape \(3,\)"):
        metric([0, 1], [0.0, 1.0], [1.0, 1.0, 1.0])
    with pytest.raises(TypeError, match="expected numbers in y_pred"):
        metric([0, 1], ["a", "b"])


@pytest.mark.parametrize("name", sorted(ORACLES - REGRESSION))
def test_errors_of_classification(name):
    metric = metrics.get(name)
    with pytest.raises(ValueError, match=r"expected classes 0\.\.2 in y_true .* got 3 in sample 1"):
        metric([0, 3], np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"got -1 in sample 0"):
        metric([-1, 0], np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"integer classes in y_true, got 0.5 in sample 1"):
        metric([0.0, 0.5], np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"NaN \(first in sample 1\)"):
        metric([0, 1], [[0.0, 1.0, 2.0], [np.nan, 0.0, 0.0]])
    with pytest.raises(ValueError, match=r"sum to 1 .* got 1\.5 in sample 0"):
        metric([[1, 0.5, 0], [1, 0, 0]], np.zeros((2, 3)))


def test_rows_beside_classes_are_checked_as_beside_scores():
    assert metrics.accuracy([[1, 0, 0], [0, 1, 0]], [0, 2]) == 0.5
    for pred in ([1, 2], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]):
        with pytest.raises(ValueError, match=r"\[accuracy\] expected rows of y_true that sum to 1 .*, got 1\.5 in sample 0"):
            metrics.accuracy([[1, 0.5, 0], [0, 1, 1]], pred)
    with pytest.raises(ValueError, match=r"\[accuracy\] expected rows of y_true that sum to 1 .*, got 2 in sample 0"):
        metrics.accuracy([[1, 1, 0], [0, 1, 1]], [1, 2])


LABELS = ("accuracy", "precision", "recall", "f1", "roc_auc")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LABELS)
def test_of_several_labels_each_column_counts_by_itself(name, weighted, rng):
    """As the same metric of one column after the other; "micro" as of all columns in one."""
    metric = metrics.get(name)
    true, pred = rng.random((40, 3)) < 0.4, rng.normal(size=(40, 3))
    weight = rng.random(40) if weighted else None
    each = [metric(t, p, weight) for t, p in zip(true.T, pred.T, strict=True)]
    assert metric(true, pred, weight) == pytest.approx(np.mean(each), rel=1e-12)
    assert metric(true[:, :2], pred[:, :2], weight) == pytest.approx(np.mean(each[:2]), rel=1e-12)
    if name not in ("accuracy", "roc_auc"):
        assert metric(true, pred, weight, average="none") == pytest.approx(each, rel=1e-12)
        whole = None if weight is None else np.repeat(weight, 3)
        one = metric(true.ravel(), pred.ravel(), whole)
        assert metric(true, pred, weight, average="micro") == pytest.approx(one, rel=1e-12)
        assert metric(true, pred > 0, weight) == pytest.approx(np.mean(each), rel=1e-12)
        with pytest.raises(ValueError, match=r"two classes for average='binary', got 3 labels"):
            metric(true, pred, average="binary")
    masked = rng.random((40, 3)) < 0.3
    kept = [metric(t[k], p[k]) for t, p, k in zip(true.T, pred.T, ~masked.T, strict=True)]
    mean = np.average(kept, weights=(~masked).sum(axis=0) if name == "accuracy" else None)
    assert metric(true, pred, (~masked).astype(float)) == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("source", ["arrays", "batches"])
def test_a_network_of_several_labels_logs_their_metrics(source, rng):
    """What its loss leaves out counts in no metric; a sigmoid at the end moves the threshold."""
    x, y = rng.normal(size=(40, 5)), (rng.random((40, 3)) < 0.4).astype(float)
    y[rng.random(y.shape) < 0.2] = np.nan
    net = lm.Sequential(lm.Dense(3), seed=0, dtype="float64").compile(lm.losses.BinaryCrossEntropy(mask_nan=True), "sgd", LABELS)
    before = net.build(5).predict(x)
    given = {"x": x, "y": y, "batch_size": 40} if source == "arrays" else {"x": [(x, y)]}
    last = net.fit(**given, shuffle=False, verbose=0).last()
    there = ~np.isnan(y)
    assert last["accuracy"] == pytest.approx(np.mean((y == 1)[there] == (before > 0)[there]))
    each = [metrics.f1(t[k], p[k]) for t, p, k in zip(y.T, before.T, there.T, strict=True)]
    assert last["f1"] == pytest.approx(np.mean(each))
    ends = lm.Sequential(net, lm.Activation("sigmoid"), dtype="float64").build(5)
    whole = np.nan_to_num(y)
    assert ends.evaluate(x, whole, metrics="accuracy")["accuracy"] == net.evaluate(x, whole)["accuracy"]


def test_other_errors():
    with pytest.raises(ValueError, match=r"\[top_k\] expected k >= 1, got 0"):
        metrics.top_k([0], [[1.0, 0.0]], k=0)
    with pytest.raises(ValueError, match=r"\[top_k\] expected y_pred \(n, C\)"):
        metrics.top_k([0], [1.0])
    with pytest.raises(ValueError, match="two classes for average='binary', got 3"):
        metrics.f1([0], [[1.0, 0.0, 0.0]], average="binary")
    with pytest.raises(ValueError, match=r"\[f1\] expected average to be one of"):
        metrics.f1([0], [1.0], average="mean")
    for metric in (metrics.accuracy, metrics.precision, metrics.recall, metrics.f1, metrics.confusion_matrix):
        with pytest.raises(ValueError, match=rf"\[{metric.__name__}\] expected threshold to be a finite number, got nan"):
            metric([0, 1], [0.2, 0.7], threshold=math.nan)
    with pytest.raises(ValueError, match=r"classes 0, 1, \.\.\. in y_pred, got -1"):
        metrics.accuracy([0, 1], np.array([0, -1]))
    for metric in (metrics.accuracy, metrics.f1, metrics.roc_auc):
        for value in (-0.3, 1.7, math.nan):  # beside a probability, so that it is no wrong class
            with pytest.raises(ValueError, match=rf"expected classes 0 and 1, or probabilities, .* got {value} in sample 1; .*mae"):
                metric([0.4, value, 1.0], [0.0, 1.0, 2.0])


# ---- by name ----


def test_get():
    def own(y_true, y_pred, sample_weight=None):
        return 0.0

    assert metrics.get("f1") is metrics.f1
    assert metrics.get(own) is own
    with pytest.raises(ValueError, match=r"\[metrics\] unknown name 'acuracy'; did you mean 'accuracy'\?"):
        metrics.get("acuracy")
    with pytest.raises(TypeError, match="a name or a function, got 3"):
        metrics.get(3)  # type: ignore[arg-type]


def test_weights_go_to_a_metric_by_name():
    """As scikit-learn's take them."""

    def own(y_true, y_pred, *, sample_weight=None):
        return metrics.mae(y_true, y_pred, sample_weight)

    x, y, weight = np.ones((4, 2)), np.arange(4.0), np.array([1.0, 0.0, 2.0, 0.0])
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd", [own, "mae"])
    figures = net.evaluate(x, y, sample_weight=weight)
    assert figures["own"] == figures["mae"] == pytest.approx(metrics.mae(y[::2], net.predict(x[::2])[:, 0], [1.0, 2.0]))
    assert "own" in net.fit(x, y, sample_weight=weight, verbose=0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("steps", [(), (3,)], ids=["samples", "sequences"])
def test_what_the_loss_ignores_is_no_part_of_a_metric(steps, weighted, rng):
    x, y = rng.standard_normal((20, *steps, 4)), rng.integers(-1, 3, (20, *steps))
    weight = rng.random(20) if weighted else None
    net = lm.Sequential(lm.Dense(3), seed=0).compile(lm.losses.CrossEntropy(ignore_index=-1), "sgd", ["accuracy", "f1"])
    figures, known = net.evaluate(x, y, sample_weight=weight), y != -1
    each = None if weight is None else np.broadcast_to(weight[:, None], (20, 3))[known] if steps else weight[known]
    expected = metrics.accuracy(y[known], net.predict(x)[known], each)
    assert figures["accuracy"] == pytest.approx(expected, rel=1e-12) and 0 < expected < 1
    history = net.fit(x, y, validation_data=(x, y, weight), verbose=0)
    assert history.names() == ["loss", "accuracy", "f1", "val_loss", "val_accuracy", "val_f1"]


MASKED = {"columns": (20, 3), "one column": (20, 1), "sequences": (20, 2, 3)}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", MASKED)
def test_targets_that_the_loss_masks_are_no_part_of_a_metric(shape, weighted, rng):
    size = MASKED[shape]
    x, y = rng.standard_normal((*size[:-1], 4)), rng.standard_normal(size)
    y[rng.random(size) < 0.3] = np.nan
    y[3] = np.nan
    weight = rng.random(20) if weighted else None
    net = lm.Sequential(lm.Dense(size[-1]), seed=0, dtype="float64")
    net.compile(lm.losses.MSE(mask_nan=True), "sgd", ["mae", "mse", "rmse", "mape", "r2"])
    figures, prediction, there = net.evaluate(x, y, sample_weight=weight), net.predict(x), ~np.isnan(y)
    each = np.broadcast_to((np.ones(20) if weight is None else weight).reshape(-1, *[1] * (y.ndim - 1)), size)
    assert figures["mse"] == pytest.approx(figures["loss"], rel=1e-12)
    assert figures["mae"] == pytest.approx(np.average(abs(prediction - y)[there], weights=each[there]), rel=1e-12)
    assert figures["rmse"] == pytest.approx(math.sqrt(figures["loss"]), rel=1e-12)
    assert figures["mape"] == pytest.approx(np.average(abs(prediction / y - 1)[there], weights=each[there]), rel=1e-12)
    columns = [(y.reshape(20, -1)[:, k], prediction.reshape(20, -1)[:, k]) for k in range(y[0].size)]
    alone = [metrics.r2(t[~np.isnan(t)], p[~np.isnan(t)], None if weight is None else weight[~np.isnan(t)]) for t, p in columns]
    assert figures["r2"] == pytest.approx(np.mean(alone), rel=1e-12)
    batches = [(x[i : i + 7], y[i : i + 7], *(() if weight is None else (weight[i : i + 7],))) for i in range(0, 20, 7)]
    for given in ({"x": x, "y": y, "sample_weight": weight}, {"x": batches}):
        history = net.fit(**given, validation_data=(x, y), verbose=0)
        assert all(np.isfinite(history[name]).all() for name in history.names()) and "val_r2" in history


def test_a_metric_of_ones_own_gets_the_samples_that_have_a_target(rng):
    x, seen = rng.standard_normal((6, 2)), []

    def own(y_true, y_pred, sample_weight=None):
        seen.append((y_true.copy(), None if sample_weight is None else sample_weight.copy()))
        return float(len(y_pred))

    y = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, np.nan], [4.0, 5.0], [np.nan, np.nan], [6.0, 7.0]])
    net = lm.Sequential(lm.Dense(2), seed=0).compile(lm.losses.MAE(mask_nan=True), "sgd", own)
    assert net.evaluate(x, y)["own"] == net.evaluate(x, y, sample_weight=np.arange(1.0, 7))["own"] == 4
    for y_true, _ in seen:
        np.testing.assert_array_equal(y_true, y[[0, 2, 3, 5]])
    assert seen[0][1] is None and seen[1][1].tolist() == [1, 3, 4, 6]


@pytest.mark.parametrize("loss", [lm.losses.MSE(mask_nan=True), lm.losses.CrossEntropy(ignore_index=-1)], ids=repr)
def test_where_nothing_counts_there_is_no_figure(loss):
    masked = loss.mask_nan
    x, y = np.ones((4, 2)), np.full((4, 3), np.nan) if masked else np.full(4, -1)
    net = lm.Sequential(lm.Dense(3), seed=0).compile(loss, "sgd", "mae" if masked else "accuracy")
    assert all(np.isnan(value) for value in net.evaluate(x, y).values())
    with pytest.raises(ValueError, match="expected a target that counts for output 'output', got none"):
        net.fit(x, y, verbose=0)
    with pytest.warns(UserWarning, match="expected a target that counts for output 'output', got none"):
        found = net.fit([(x, y)], verbose=0)  # of batches, another one may have some
    assert math.isnan(found["mae" if masked else "accuracy"][0])


def test_a_training_part_that_weighs_nothing_is_refused(rng):
    """Its loss would be 0 / 0, and weight decay alone would move the weights."""
    net = lm.Sequential(lm.Dense(2), seed=0).compile("mse", lm.optim.Adam(0.1, weight_decay=0.1)).build(3)
    before = net.parameters["dense_1.weight"]
    weight = np.where(np.arange(10) < 8, 0.0, 1.0)
    with pytest.raises(ValueError, match="expected a target that counts for output 'output', got none"):
        net.fit(rng.normal(size=(10, 3)), np.ones((10, 2)), sample_weight=weight, validation_split=0.2, verbose=0)
    assert np.array_equal(net.parameters["dense_1.weight"], before)


def test_weights_of_elements(rng):
    y, p, w = rng.standard_normal((8, 3)), rng.standard_normal((8, 3)), rng.random((8, 3))
    assert metrics.mae(y, p, w) == pytest.approx(np.average(abs(y - p), weights=w), rel=1e-12)
    assert metrics.mse(y, p, np.ones((8, 3))) == pytest.approx(metrics.mse(y, p), rel=1e-12)
    assert metrics.r2(y, p, w) == pytest.approx(np.mean([metrics.r2(y[:, k], p[:, k], w[:, k]) for k in range(3)]), rel=1e-12)
    w[:, 1] = 0  # a column that nothing is known of
    assert metrics.r2(y, p, w) == pytest.approx(np.mean([metrics.r2(y[:, k], p[:, k], w[:, k]) for k in (0, 2)]), rel=1e-12)
    for bad in (np.zeros((8, 3)), -w, np.where(w > 0, np.nan, w)):
        with pytest.raises(ValueError, match=r"\[mae\] expected finite sample weights >= 0 that are not all 0"):
            metrics.mae(y, p, bad)
    with pytest.raises(ValueError, match="expected a sample_weight for each of 8 samples"):
        metrics.mae(y, p, w[:, :2])


@pytest.mark.parametrize("way", ["arrays", "class weights", "batches", "weighted batches", "validation", "evaluate"])
def test_a_metric_without_weights_is_refused_where_there_are_some(way):
    x, y, weight = np.ones((4, 2)), np.arange(4) % 2, np.arange(4.0)

    def own(y_true, y_pred):
        return 0.0

    net = lm.Sequential(lm.Dense(2), seed=0).compile("cross_entropy", "sgd", own)
    given = {
        "arrays": {"x": x, "y": y, "sample_weight": weight},
        "class weights": {"x": x, "y": y, "class_weight": {0: 2.0}},
        "batches": {"x": [(x, y)], "class_weight": {0: 2.0}},
        "weighted batches": {"x": [(x, y, weight)]},
        "validation": {"x": x, "y": y, "validation_data": (x, y, weight)},
        "evaluate": {"x": x, "y": y, "sample_weight": weight},
    }[way]
    with pytest.raises(
        TypeError, match=r"\[metrics\] expected a function .*sample_weight=None\) as 'own', .* got \(y_true, y_pred\)"
    ):
        net.evaluate(**given) if way == "evaluate" else net.fit(**given, verbose=0)
    assert net.optimizer.steps == 0
    assert net.fit(x, y, verbose=0)["own"] == net.evaluate(x, y)["own"] == 0


def test_a_metric_that_does_not_fit_its_target_is_found_before_the_first_step(rng):
    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 1))
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
    for metric in ("accuracy", functools.partial(metrics.top_k, k=2)):
        for data, held_out in (((x, y), None), (([(x, y)],), (x, y))):
            with pytest.raises(ValueError, match=r"\[(accuracy|top_k)\] expected"):
                net.fit(*data, metrics=["mae", metric], validation_data=held_out, verbose=0)
    assert net.optimizer.steps == 0


def test_a_metric_that_raises_says_what_it_was_called_with(rng):
    """Its exception is the user's own; the note stands below it, where Python has notes."""

    def likeness(scores, label):  # as PyTorch's are
        return scores.softmax(1)

    def alone(y_true):
        return 0.0

    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))
    net = lm.Sequential(lm.Dense(2), seed=0).compile("mse", "sgd")
    for metric, kind in ((likeness, AttributeError), (alone, TypeError)):
        note = f"[metrics] {metric.__name__!r} was called with y_true (8, 2) and y_pred (8, 2), NumPy arrays, in this order"
        for run in (net.evaluate, functools.partial(net.fit, verbose=0)):
            with pytest.raises(kind) as raised:
                run(x, y, metrics=[metric])
            assert getattr(raised.value, "__notes__", [note]) == [note]


def test_each_figure_has_a_name_of_its_own():
    """A metric never takes the place of another figure of the logs: it is an error before anything runs."""
    x, y = np.linspace(-1, 1, 24).reshape(8, 3), np.arange(8) % 3

    def called(name):
        def metric(y_true, y_pred, sample_weight=None):
            return 0.0

        metric.__name__ = name
        return metric

    top_2, other = functools.partial(metrics.top_k, k=2), functools.partial(metrics.top_k, k=3)
    for several, of in (
        ([called("loss")], "the loss;"),
        ([called("epoch")], "the epoch's number"),
        ([called("val_loss")], "the loss on the validation data"),
        (["accuracy", called("val_accuracy")], "'accuracy' on the validation data"),
        ([called("val_accuracy"), "accuracy"], "'accuracy' on the validation data"),
        ([lambda y, p: 1.0, lambda y, p: 2.0], "another metric"),
        ([top_2, other], "another metric"),
        ([top_2, "top_k"], "another metric"),
    ):
        net = lm.Sequential(lm.Dense(3), seed=0)
        with pytest.raises(ValueError, match=rf"\[metrics\] expected .*, got a metric called '.*', the name of {of}.*__name__"):
            net.compile("cross_entropy", "sgd", several)
        net.compile("cross_entropy", "sgd", several[:-1])
        for call in (net.fit, net.evaluate):
            with pytest.raises(ValueError, match=f"the name of {of}"):
                call(x, y, metrics=several)
        assert not net.built
    other.__name__ = "top_3"
    net.compile("cross_entropy", "sgd", [top_2, other, "accuracy"])
    assert list(net.evaluate(x, y, metrics=[top_2, "accuracy"])) == ["loss", "top_k", "top_3", "accuracy"]
    net.compile("cross_entropy", "sgd", [called("val_top_k"), called("time"), called("lr")])
    assert list(net.evaluate(x, y)) == ["loss", "val_top_k", "time", "lr"]  # nothing else has these names


def test_a_name_with_the_outputs_before_it_is_looked_at_as_a_whole():
    x = lm.Input(3)
    net = lm.Model(x, {"val": lm.Dense(1)(x), "kind": lm.Dense(1)(x)})

    def loss(y_true, y_pred, sample_weight=None):
        return 0.0

    net.compile("mse", "sgd", {"kind": loss})
    with pytest.raises(ValueError, match="'val_loss', the name of the loss on the validation data; .* or rename the output"):
        net.compile("mse", "sgd", {"val": loss})


def test_name_of_and_direction():
    assert metrics.name_of("r2") == metrics.name_of("R2") == "r2" and metrics.get("MAE") is metrics.mae
    assert metrics.name_of(functools.partial(metrics.top_k, k=3)) == "top_k"
    for name in metrics.names():
        better = None if name == "confusion_matrix" else "min" if name in ERRORS else "max"
        assert metrics.direction(name) == metrics.direction(f"val_{name}") == better
    assert metrics.direction("val_loss") == metrics.direction("out_1_loss") == "min"
    assert metrics.direction("gloss") is metrics.direction("inaccuracy") is None


# ---- against scikit-learn, where it is installed ----


THEIRS = {
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_log_error",
    "r2": "r2_score",
}


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_the_name_of_scikit_learn_is_understood(name):
    with pytest.raises(ValueError, match=f"did you mean '{name}'"):
        metrics.get(THEIRS[name])


def test_scikit_learn_agrees(rng):
    theirs = pytest.importorskip("sklearn.metrics")
    logits, labels, weight = rng.standard_normal((200, 4)), rng.integers(0, 4, 200), rng.random(200)
    predicted = logits.argmax(axis=1)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for average in ("macro", "micro", "weighted"):
        for name in PER_CLASS:
            expected = getattr(theirs, f"{name}_score")(labels, predicted, average=average, sample_weight=weight)
            assert metrics.get(name)(labels, logits, weight, average=average) == pytest.approx(expected, rel=1e-10)
    assert metrics.accuracy(labels, logits, weight) == pytest.approx(theirs.accuracy_score(labels, predicted, sample_weight=weight))
    assert metrics.top_k(labels, logits, weight, k=2) == pytest.approx(
        theirs.top_k_accuracy_score(labels, logits, k=2, sample_weight=weight)
    )
    assert metrics.roc_auc(labels, logits) == pytest.approx(theirs.roc_auc_score(labels, p, multi_class="ovr"), rel=1e-10)
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, logits), theirs.confusion_matrix(labels, predicted))
    true, pred, weight = rng.uniform(-0.5, 3.0, (50, 2)), rng.uniform(-0.5, 3.0, (50, 2)), weight[:50]
    true[3] = 0.0  # which an absolute percentage is of
    for name, score in THEIRS.items():
        k = slice(1) if name == "rmse" else slice(None)  # of several outputs theirs is the mean of the roots
        expected = getattr(theirs, score)(true[:, k], pred[:, k], sample_weight=weight)
        assert metrics.get(name)(true[:, k], pred[:, k], weight) == pytest.approx(expected, rel=1e-12)


def test_examples():
    results = [doctest.testmod(m, extraglobs={"lm": lm, "np": np}) for m in (metrics, metrics.classification, metrics.regression)]
    assert sum(result.attempted for result in results) > 10
    assert sum(result.failed for result in results) == 0


def test_probabilities_beside_the_threshold_of_logits_warn():
    with pytest.warns(UserWarning, match=r"\[f1\] expected logits, got numbers from 0 to 1 alone.*threshold=0\.5"):
        metrics.f1([0, 1, 1], [0.2, 0.7, 0.9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.f1([0, 1, 1], [0.2, 0.7, 0.9], threshold=0.5)
        metrics.f1([0, 1, 1], [-0.2, 0.7, 0.9])
        metrics.f1([0, 1, 1], [0.0, 1.0, 1.0])


def test_many_classes_need_no_matrix_of_all_pairs():
    """200,001 squared would be 320 GB."""
    y, pred = np.array([0, 1, 200_000, 200_000]), np.array([0, 2, 200_000, 1])
    assert metrics.precision(y, pred, average="micro") == 0.5 and metrics.f1(y, y) == 1.0
    each = metrics.recall(y, pred, average="none")
    assert each.shape == (200_001,) and each[[0, 1, 2, 200_000]].tolist() == [1, 0, 0, 0.5]


@pytest.mark.parametrize("batches", [False, True])
def test_rows_with_one_label_each_are_labels_where_another_set_of_the_fit_has_several(batches):
    x, several, single = np.zeros((6, 3)), np.array([[1, 1, 1], [0, 0, 0], [0, 1, 0]] * 2), np.eye(3)[[0, 1, 2, 0, 1, 2]]

    def given(y):
        return [(x[:3], y[:3]), (x[3:], y[3:])] if batches else (x, y)

    def val_accuracy(first, later):
        net = lm.Sequential(lm.Dense(3, weight_init="zeros", bias_init="zeros"), seed=0)
        data = (given(first),) if batches else given(first)
        options = {"loss": "binary_cross_entropy", "optimizer": lm.optim.SGD(0.0), "metrics": ["accuracy"], "verbose": 0}
        logs = net.fit(*data, validation_data=given(later), **options).history
        assert net.evaluate(*data, metrics=["accuracy"])["accuracy"] == logs["accuracy"][0] or first is single
        return logs["accuracy"][0], logs["val_accuracy"][0]

    assert val_accuracy(several, single) == (5 / 9, 2 / 3)  # of labels, all of which are predicted to be 0
    assert val_accuracy(single, single) == (1 / 3, 1 / 3)  # of classes
    if not batches:
        assert val_accuracy(single, several) == (2 / 3, 5 / 9)


def test_labels_of_a_fit_are_weighted_by_sample_also_where_each_row_has_one():
    x, several, single = np.zeros((3, 3)), np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]]), np.eye(3)
    net = lm.Sequential(lm.Dense(3, weight_init="zeros", bias_init="zeros"), seed=0)
    net.compile("binary_cross_entropy", lm.optim.SGD(0.0), ["precision"])
    weight = np.array([1.0, 2.0, 3.0])
    logs = net.fit(x, several, validation_data=(x, single, weight), metrics=["accuracy"], verbose=0).history
    assert (logs["val_accuracy"][0], logs["val_precision"][0]) == (2 / 3, 0)


@pytest.mark.parametrize(
    ("join", "shape"), [(lambda h: lm.mean(h, axis=0), "(1,)"), (lambda h: lm.concatenate([h, h], 0), "(8, 1)")]
)
def test_metrics_of_outputs_that_have_other_rows_than_the_batch(join, shape):
    x = lm.Input(4)
    net = lm.Model(x, join(lm.Dense(1)(x)))
    net.compile(lambda p, _: lm.mean(p**2), "sgd", metrics=["mae"])
    with pytest.raises(ValueError, match=re.escape(f"expect outputs with one row for each sample, got {shape} for 4 samples")):
        net.fit(np.ones((8, 4)), np.ones((8, 1)), batch_size=4, verbose=0)
