"""Losses against PyTorch's formulas in plain NumPy: values, gradients, weights, masks, checks of a target, and what a mistake
says.
"""

from __future__ import annotations

import copy
import json
import math
import pickle
import warnings
from dataclasses import dataclass

import numpy as np
import pytest

import lamina as lm
from lamina import losses
from lamina.losses import averages
from projection import check_gradient
from reference import log_softmax
from reference_activations import sigmoid
from running import run

TOLERANCE = {"float32": 5e-6, "float64": 1e-9}  # f64: softplus is x above 20, off by at most e^-20 = 2e-9 of 20
ROWS, COLUMNS = 9, 3

# ---- the oracles: (pred, target) -> losses of shape (batch,) or (batch, columns), not yet averaged -------------------------------


def one_hot(y, classes):
    return np.eye(classes)[y]


def cross_entropy(z, y, smoothing=0.0):
    q = one_hot(y, z.shape[-1]) if y.ndim < z.ndim else y
    return -(((1 - smoothing) * q + smoothing / z.shape[-1]) * log_softmax(z)).sum(-1)


def binary_cross_entropy(z, y, pos_weight=1.0):
    return -(pos_weight * y * np.log(sigmoid(z)) + (1 - y) * np.log(sigmoid(-z)))


def huber(p, y, delta=1.0):
    e = np.abs(p - y)
    return np.where(e < delta, 0.5 * e * e, delta * (e - 0.5 * delta))


def smooth_l1(p, y, beta=1.0):
    e = np.abs(p - y)
    return np.where(e < beta, 0.5 * e * e / beta, e - 0.5 * beta) if beta else e


def quantile(p, y, q=0.5):
    return np.maximum(q * (y - p), (q - 1) * (y - p))


def stirling(y):
    return np.where(y > 1, y * np.log(np.maximum(y, 1)) - y + 0.5 * np.log(2 * np.pi * np.maximum(y, 1)), 0)


def gaussian_nll(p, y, eps=1e-6):
    mean, var = p[..., : y.shape[-1]], np.maximum(p[..., y.shape[-1] :], eps)
    return 0.5 * (np.log(var) + (y - mean) ** 2 / var)


def kl_div(p, y):
    return np.where(y > 0, y * (np.log(np.where(y > 0, y, 1)) - p), 0).sum(-1)


def focal(z, y, gamma=2.0, alpha=0.25):
    p = sigmoid(z)
    p_t = p * y + (1 - p) * (1 - y)
    loss = binary_cross_entropy(z, y) * (1 - p_t) ** gamma
    return loss if alpha is None else (alpha * y + (1 - alpha) * (1 - y)) * loss


def softmax_focal(z, y, gamma=2.0):
    log_p = np.take_along_axis(log_softmax(z), y[..., None], -1)[..., 0]
    return -((1 - np.exp(log_p)) ** gamma) * log_p


# ---- cases -----------------------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    loss: losses.Loss
    oracle: object
    target: str = "real"  # the kind of target: see `make`
    pred: str = "real"
    kink: float | None = None  # of the loss as a function of |pred - target|


ORACLES: dict[str, list[Case]] = {
    "mse": [Case(losses.MSE(), lambda p, y: (p - y) ** 2)],
    "mae": [Case(losses.MAE(), lambda p, y: np.abs(p - y), kink=0)],
    "huber": [Case(losses.Huber(), huber, kink=1), Case(losses.Huber(0.3), lambda p, y: huber(p, y, 0.3), kink=0.3)],
    "smooth_l1": [
        Case(losses.SmoothL1(), smooth_l1, kink=1),
        Case(losses.SmoothL1(0.4), lambda p, y: smooth_l1(p, y, 0.4), kink=0.4),
        Case(losses.SmoothL1(0), lambda p, y: smooth_l1(p, y, 0), kink=0),
    ],
    "log_cosh": [Case(losses.LogCosh(), lambda p, y: np.log(np.cosh(p - y)))],
    "quantile": [Case(losses.Quantile(), quantile, kink=0), Case(losses.Quantile(0.9), lambda p, y: quantile(p, y, 0.9), kink=0)],
    "hinge": [Case(losses.Hinge(), lambda p, y: np.maximum(0, 1 - p * y), target="sign", kink=0)],  # 1 - p y = +-(p - y)
    "poisson_nll": [
        Case(losses.PoissonNLL(), lambda p, y: np.exp(p) - y * p, target="count"),
        Case(losses.PoissonNLL(full=True), lambda p, y: np.exp(p) - y * p + stirling(y), target="count"),
        Case(losses.PoissonNLL(log_input=False), lambda p, y: p - y * np.log(p + 1e-8), target="count", pred="positive"),
    ],
    "gaussian_nll": [
        Case(losses.GaussianNLL(), gaussian_nll, pred="mean and variance"),
        Case(
            losses.GaussianNLL(full=True), lambda p, y: gaussian_nll(p, y) + 0.5 * math.log(2 * math.pi), pred="mean and variance"
        ),
        Case(losses.GaussianNLL(eps=0.9), lambda p, y: gaussian_nll(p, y, 0.9), pred="mean and variance"),
    ],
    "kl_div": [
        Case(losses.KLDiv(), kl_div, target="distribution", pred="log distribution"),
        Case(
            losses.KLDiv(log_target=True),
            lambda p, y: (np.exp(y) * (y - p)).sum(-1),
            target="log distribution",
            pred="log distribution",
        ),
    ],
    "cross_entropy": [
        Case(losses.CrossEntropy(), cross_entropy, target="class"),
        Case(losses.CrossEntropy(), cross_entropy, target="distribution"),
        Case(losses.CrossEntropy(label_smoothing=0.1), lambda z, y: cross_entropy(z, y, 0.1), target="class"),
        Case(losses.CrossEntropy(label_smoothing=0.1), lambda z, y: cross_entropy(z, y, 0.1), target="distribution"),
    ],
    "binary_cross_entropy": [
        Case(losses.BinaryCrossEntropy(), binary_cross_entropy, target="bit"),
        Case(losses.BinaryCrossEntropy(), binary_cross_entropy, target="unit"),
        Case(losses.BinaryCrossEntropy(pos_weight=3.0), lambda z, y: binary_cross_entropy(z, y, 3.0), target="unit"),
        Case(
            losses.BinaryCrossEntropy(pos_weight=[1, 2, 0.5]),
            lambda z, y: binary_cross_entropy(z, y, np.array([1, 2, 0.5])),
            target="bit",
        ),
    ],
    "focal": [
        Case(losses.Focal(), focal, target="bit"),
        Case(losses.Focal(1.5, alpha=None), lambda z, y: focal(z, y, 1.5, None), target="bit"),
        Case(losses.Focal(0.0, alpha=0.6), lambda z, y: focal(z, y, 0.0, 0.6), target="bit"),
        Case(losses.Focal(), softmax_focal, target="class"),
    ],
}
CASES = [pytest.param(case, id=f"{name} {i}") for name, cases in ORACLES.items() for i, case in enumerate(cases)]


def make(kind: str, rng: np.random.Generator, leading: tuple[int, ...] = (ROWS,)) -> np.ndarray:
    shape = (*leading, COLUMNS)
    match kind:
        case "class":
            return rng.integers(COLUMNS, size=leading)
        case "bit":
            return rng.integers(2, size=shape).astype(float)
        case "sign":
            return rng.choice([-1.0, 1.0], size=shape)
        case "count":
            return rng.poisson(3, size=shape).astype(float)
        case "unit":
            return rng.random(shape)
        case "positive":
            return rng.uniform(0.2, 3, shape)
        case "distribution":
            p = rng.random(shape) * (rng.random(shape) < 0.7) + 1e-3 * (np.arange(COLUMNS) == 0)
            return p / p.sum(-1, keepdims=True)
        case "log distribution":
            return log_softmax(rng.normal(size=shape))
        case "mean and variance":
            return np.concatenate([rng.normal(size=shape), rng.uniform(0.2, 2, shape)], -1)
    return 2 * rng.normal(size=shape)


def targets(case: Case, y: np.ndarray, dtype: str) -> tuple[np.ndarray, str]:
    return (y, "int64") if case.target == "class" else (y.astype(dtype), dtype)


def numbers(case: Case, rng, dtype: str, leading: tuple[int, ...] = (ROWS,)):
    """(pred, target, type of target, the oracle's losses)"""
    pred = make(case.pred, rng, leading).astype(dtype)
    y, kind = targets(case, make(case.target, rng, leading), dtype)
    return pred, y, kind, case.oracle(pred.astype(np.float64), y if kind == "int64" else y.astype(np.float64))


def graph(pred: np.ndarray, y: np.ndarray, kind: str) -> tuple[lm.Tensor, lm.Tensor]:
    return lm.Input(*pred.shape[1:], dtype=str(pred.dtype)), lm.Input(*y.shape[1:], dtype=kind)


def test_every_loss_has_an_oracle():
    assert set(ORACLES) == set(losses.LOSSES)
    for name, cases in ORACLES.items():
        assert {type(case.loss) for case in cases} == {type(losses.get(name))}


# ---- values ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leading", [(ROWS,), (1,), (4, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_value(case, dtype, leading, rng):
    """The mean over all elements, or over all samples where an element is a whole sample."""
    pred, y, kind, want = numbers(case, rng, dtype, leading)
    p, t = graph(pred, y, kind)
    (got,) = run([case.loss(p, t)], {p: pred, t: y})
    assert got.shape == () and got.dtype == dtype
    np.testing.assert_allclose(got, want.mean(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_sample_weights(case, dtype, rng):
    """sum(w_i l_i) / sum(w_i), l_i the mean of sample i; a weight of 0 leaves a sample out."""
    pred, y, kind, want = numbers(case, rng, dtype)
    weight = rng.uniform(0, 3, ROWS).astype(dtype)
    weight[2] = 0
    p, t = graph(pred, y, kind)
    w = lm.Input(dtype=dtype)
    (got,) = run([case.loss(p, t, w)], {p: pred, t: y, w: weight})
    per_sample = want.reshape(ROWS, -1).mean(1)
    np.testing.assert_allclose(got, (weight * per_sample).sum() / weight.sum(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


# Without the variances under a floor of .9, which is hidden from the gradient: test_gaussian_floor.
SMOOTH = [c for c in CASES if c.values[0].loss.config().get("eps") != 0.9]


@pytest.mark.parametrize("case", SMOOTH)
def test_gradient(case, rng):
    pred, y, kind, _ = numbers(case, rng, "float64")
    if case.kink is not None:  # no finite difference reaches over it
        pred = np.where(np.abs(np.abs(pred - y) - case.kink) < 0.02, pred + 0.05, pred)
    weight = rng.uniform(0.5, 2, ROWS)
    check_gradient(lambda p: case.loss(p, constant(y, kind)), [pred])
    check_gradient(lambda p: case.loss(p, constant(y, kind), constant(weight, "float64")), [pred])


def constant(array: np.ndarray, dtype: str) -> lm.Tensor:
    return lm.Parameter(array, trainable=False, dtype=dtype)


@pytest.mark.parametrize("case", CASES)
def test_arrays_compute_at_once(case, rng):
    pred, y, _, want = numbers(case, rng, "float64")
    np.testing.assert_allclose(case.loss(pred, y), want.mean(), rtol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_lists_compute_as_arrays_do(case, rng):
    pred, y, _, _ = numbers(case, rng, "float64")
    weight = rng.random(len(y))
    assert case.loss(pred.tolist(), y.tolist(), weight.tolist()) == case.loss(pred, y, weight)
    assert losses.mse([1, 2], [1.0, 4.0]) == 2.0 and losses.mse([[1.0], [2.0]], [1, 4]) == 2.0


def test_large_logits_stay_finite():
    z = np.array([[1e4, -1e4, 0.0], [-300.0, 88.0, 90.0]], np.float32)
    y = np.array([1, 0])
    assert losses.cross_entropy(z, y) == pytest.approx((2e4 + 390 + math.log1p(math.exp(-2))) / 2, rel=1e-5)
    assert losses.binary_cross_entropy(z, np.ones_like(z)) == pytest.approx((1e4 + math.log(2) + 300) / 6, rel=1e-5)
    assert losses.log_cosh(z, np.zeros_like(z)) == pytest.approx((2e4 + 300 + 88 + 90 - 5 * math.log(2)) / 6, rel=1e-5)
    assert losses.focal(z, y) == pytest.approx((2e4 + 390) / 2, rel=1e-4)


def slope_of(loss, pred: np.ndarray, y: np.ndarray) -> np.ndarray:
    p, t = graph(pred, y, str(y.dtype))
    return run([lm.grad(loss(p, t), p)], {p: pred, t: y})[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_cosh_keeps_its_digits(dtype):
    """Value and slope for errors of any size; no more than 6 ulp: tanh's and log1p's, and their derivatives'."""
    e = np.concatenate([np.geomspace(1e-15, 80, 4001), np.linspace(0.9, 1.1, 999)]).astype(dtype)[:, None]
    p, y = graph(e, 0 * e, dtype)
    element = losses.LogCosh().elements(p, y)
    slope = lm.grad(lm.sum(element), p)
    wide = e.astype(np.longdouble)
    near, far = np.log1p(np.sinh(np.minimum(wide, 1)) ** 2) / 2, wide + np.log1p(np.exp(-2 * wide)) - np.log(np.longdouble(2))
    wants = [np.where(wide < 1, near, far), np.tanh(wide)]
    for got, want in zip(run([element, slope], {p: e, y: 0 * e}), wants, strict=True):
        np.testing.assert_allclose(got.astype(np.longdouble), want, rtol=6 * np.finfo(dtype).eps, atol=0)
    curvature = lm.grad(lm.sum(slope), p)
    assert (run([curvature], {p: 0 * e, y: 0 * e})[0] == 1).all()


def test_slopes_at_kinks():
    """At the kink of an absolute value or a hinge the slope is 0, as relu's; sigmoid cross-entropy at 0 has its usual slope."""
    zero = np.zeros((1, 1))
    for name in ("mae", "huber", "smooth_l1", "quantile"):
        assert slope_of(losses.get(name), zero, zero) == 0, name
    assert slope_of(losses.hinge, np.ones((1, 1)), np.ones((1, 1))) == 0
    np.testing.assert_allclose(slope_of(losses.binary_cross_entropy, zero, np.ones((1, 1))), -0.5)


def test_gaussian_floor():
    """Below the floor the loss is that of the floor, and the gradient by the variance is the one at the floor, not 0."""
    pred, y, eps = np.array([[0.0, -100.0]], np.float32), np.array([[0.01]], np.float32), 1e-2
    loss = losses.GaussianNLL(eps=eps)
    assert loss(pred, y) == pytest.approx(0.5 * (math.log(eps) + 1e-4 / eps), rel=1e-5)
    slope = slope_of(loss, pred, y)
    np.testing.assert_allclose(slope, [[-0.01 / eps, 0.5 * (1 / eps - 1e-4 / eps**2)]], rtol=1e-5)


# ---- what is left out ------------------------------------------------------------------------------------------------------------

MASKED = {
    "mse": losses.MSE,
    "mae": losses.MAE,
    "huber": losses.Huber,
    "smooth_l1": losses.SmoothL1,
    "log_cosh": losses.LogCosh,
    "quantile": losses.Quantile,
    "hinge": losses.Hinge,
    "poisson_nll": losses.PoissonNLL,
    "gaussian_nll": losses.GaussianNLL,
    "binary_cross_entropy": losses.BinaryCrossEntropy,
}


def test_every_masked_loss_is_tested():
    from lamina.losses.base import MaskedLoss

    assert {c.__name__ for c in MASKED.values()} == {n for n, c in losses.CLASSES.items() if issubclass(c, MaskedLoss)}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", MASKED)
def test_mask_nan(name, weighted, rng):
    """Elements with a NaN target count nothing: the weighted mean over the others, and no gradient."""
    case = ORACLES[name][0]
    pred, y, kind, _ = numbers(case, rng, "float64")
    y[1, 0] = y[4] = np.nan
    keep = ~np.isnan(y)
    weight = rng.uniform(0.5, 2, ROWS) if weighted else np.ones(ROWS)
    p, t = graph(pred, y, kind)
    w = lm.Input(dtype="float64")
    loss = MASKED[name](mask_nan=True)(p, t, *([w] if weighted else []))
    feeds = {p: pred, t: y, **({w: weight} if weighted else {})}
    value, slope = run([loss, lm.grad(loss, p)], feeds)
    each = np.where(keep, case.oracle(pred, np.where(keep, y, 1.0)), 0)
    np.testing.assert_allclose(value, (weight[:, None] * each).sum() / (weight[:, None] * keep).sum(), rtol=1e-9)
    assert np.all(np.isfinite(slope)) and np.all(slope[4] == 0) and slope[1, 0] == 0 and np.any(slope != 0)


def test_without_mask_a_nan_shows():
    y = np.array([[1.0], [np.nan]])
    assert np.isnan(losses.mse(np.zeros((2, 1)), y))


def test_ignore_index(rng):
    z, y = rng.normal(size=(ROWS, COLUMNS)), rng.integers(COLUMNS, size=ROWS)
    y[[0, 5]] = -100
    kept, weight = y != -100, rng.uniform(0.5, 2, ROWS)
    loss = losses.CrossEntropy(ignore_index=-100, label_smoothing=0.2)
    want = cross_entropy(z[kept], y[kept], 0.2)
    np.testing.assert_allclose(loss(z, y), want.mean(), rtol=1e-12)
    np.testing.assert_allclose(loss(z, y, weight), (weight[kept] * want).sum() / weight[kept].sum(), rtol=1e-12)
    slope = slope_of(loss, z, y)
    assert np.all(slope[~kept] == 0) and np.all(slope[kept] != 0)


def test_a_batch_that_is_left_out_whole_is_zero():
    """Not 0 / 0: a batch may by chance hold nothing that counts."""
    assert losses.CrossEntropy(ignore_index=7)(np.ones((2, 3)), np.array([7, 7])) == 0
    assert losses.MSE(mask_nan=True)(np.ones((2, 3)), np.full((2, 3), np.nan)) == 0
    assert np.all(slope_of(losses.MSE(mask_nan=True), np.ones((2, 3)), np.full((2, 3), np.nan)) == 0)
    assert losses.MSE()(np.ones((2, 3)), np.zeros((2, 3)), np.zeros(2)) == 0


def test_a_mean_over_parts_knows_nothing_of_one_that_does_not_count():
    loss, counts = np.array([[np.inf, 2.0], [3.0, 4.0]]), np.array([[0.0, 1.0], [2.0, 3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert averages.over_parts(loss, counts, [1.0, 2.0]) == 3 + 2 * 3.5
        assert math.isnan(averages.over_parts(loss, 0 * counts, [1.0, 1.0]))


def test_a_batch_whose_weights_are_all_zero_changes_nothing():
    """Of four samples two count, and a batch may hold the other two: its loss and its gradient are 0, not nan."""
    x, y = np.arange(8.0).reshape(4, 2), np.ones((4, 1))
    nets = [lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(0.01)) for _ in range(2)]
    history = nets[0].fit(x, y, epochs=2, batch_size=2, shuffle=False, sample_weight=[1, 1, 0, 0], verbose=0)
    nets[1].fit(x[:2], y[:2], epochs=2, batch_size=2, shuffle=False, verbose=0)
    for name, value in nets[0].parameters.items():
        np.testing.assert_allclose(value, nets[1].parameters[name], rtol=1e-6)
    assert np.isfinite(history.history["loss"]).all()


# ---- targets as given ------------------------------------------------------------------------------------------------------------

B = None  # the batch size in a prediction's shape: whatever is not an int
ACCEPTED = {
    "a vector for one column": ("mse", np.arange(4.0), (B, 1), (4, 1), "float32"),
    "integers": ("mse", np.arange(4), (B, 1), (4, 1), "float32"),
    "columns": ("huber", np.zeros((4, 3)), (B, 3), (4, 3), "float32"),
    "bits": ("binary_cross_entropy", np.array([True, False]), (B, 1), (2, 1), "float32"),
    "means and variances": ("gaussian_nll", np.zeros(4), (B, 2), (4, 1), "float32"),
    "classes": ("cross_entropy", np.array([0, 2, 1], np.uint8), (B, 3), (3,), "int64"),
    "a column of classes": ("cross_entropy", np.array([[0], [2], [1]]), (B, 3), (3,), "int64"),
    "two classes in bool": ("cross_entropy", np.array([True, False]), (B, 2), (2,), "int64"),
    "classes in time": ("cross_entropy", np.zeros((4, 5), int), (B, 5, 3), (4, 5), "int64"),
    "probabilities": ("cross_entropy", np.full((4, 2), 0.5), (B, 2), (4, 2), "float32"),
    "one-hot integers": ("cross_entropy", np.eye(3, dtype=int), (B, 3), (3, 3), "float32"),
    "ignored": (losses.CrossEntropy(ignore_index=-1), np.array([-1, 2]), (B, 3), (2,), "int64"),
    "focal classes": ("focal", np.array([0, 2]), (B, 3), (2,), "int64"),
    "focal bits": ("focal", np.array([0, 1]), (B, 1), (2, 1), "float32"),
    "focal rows": ("focal", np.array([[0, 1, 1]]), (B, 3), (1, 3), "float32"),
    "nan where masked": (losses.BinaryCrossEntropy(mask_nan=True), np.array([0.0, np.nan]), (B, 1), (2, 1), "float32"),
    "a function, classes": (lambda p, t: p, np.array([0, 2]), (B, 3), (2,), "int64"),
    "a function, bits": (lambda p, t: p, np.array([0, 1]), (B, 1), (2, 1), "float32"),
    "a function, integers": (lambda p, t: p, np.zeros((2, 3), int), (B, 3), (2, 3), "float32"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_check_target(name):
    loss, y, pred_shape, shape, dtype = ACCEPTED[name]
    checked = losses.get(loss).check_target(y, pred_shape)
    assert checked.shape == shape and losses.get(loss).dtype_of(checked, "float32") == dtype
    assert np.array_equal(checked.reshape(-1), y.reshape(-1), equal_nan=checked.dtype.kind == "f")


REFUSED = {
    "other columns": ("mse", np.zeros((4, 2)), (B, 3), "[MSE()] expected a target of shape (None, 3)"),
    "samples as columns": ("mse", np.zeros((1, 9)), (B, 1), "samples are rows: pass x.T and y.T; else the last layer"),
    "a vector": ("mse", np.zeros(4), (B, 3), "got (4,); cross_entropy takes classes; one number a sample"),
    "classes without their rows": ("mse", np.zeros(4, int), (B, 3), "of one unit, classes as rows are np.eye(n)[y]"),
    "images that are no rows": ("cross_entropy", np.zeros(4, int), (B, 8, 3), "the predictions: Flatten() makes one row"),
    "a column": ("mse", np.zeros((4, 1)), (B,), "drop the last axis: y[..., 0]"),
    "a missing axis": ("mse", np.zeros((4, 3)), (B, 3, 1), "add an axis: y[..., None]"),
    "text": ("mse", np.array(["a", "b"]), (B, 1), "[MSE()] expected a target of numbers, got dtype <U1"),
    "objects": ("mse", np.array([None, 1]), (B, 1), "got dtype object"),
    "odd columns": ("gaussian_nll", np.zeros((4, 1)), (B, 3), "expected predictions of n means and n variances"),
    "class too large": ("cross_entropy", np.array([0, 1, 3]), (B, 3), "expected classes from 0 to 2, got 3 at sample 2"),
    "class negative": ("cross_entropy", np.array([0, -1]), (B, 3), "from 0, or leave it out by ignore_index=-1"),
    "class not the ignored": (losses.CrossEntropy(ignore_index=-1), np.array([-1, -2]), (B, 3), "got -2 at sample 1"),
    "classes in floats": ("cross_entropy", np.array([0.0, 1.0]), (B, 3), "pass y.astype('int64')"),
    "a missing class": ("cross_entropy", np.array([0.0, np.nan]), (B, 3), "float64 with NaN; drop the rows without a class"),
    "one logit": ("cross_entropy", np.array([0, 1]), (B, 1), "use binary_cross_entropy for one logit"),
    "negative probability": (
        "cross_entropy",
        np.array([[-0.5, 1.5]]),
        (B, 2),
        "expected probabilities in [0, 1], got -0.5 at sample 0",
    ),
    "several true classes": (
        "cross_entropy",
        np.array([[1, 0, 0], [1, 1, 0]]),
        (B, 3),
        "got 2 at sample 1; for several true classes",
    ),
    "signs as bits": ("binary_cross_entropy", np.array([1, -1]), (B, 1), "got -1 at sample 1; for -1 and 1 pass (y + 1) / 2"),
    "nan as bit": ("focal", np.array([0.0, 2.0]), (B, 1), "[Focal()] expected targets 0, 1 or between, got 2.0 at sample 1"),
    "bits as signs": ("hinge", np.array([1, 0]), (B, 1), "expected targets -1 or 1, got [0] at sample 1"),
    "negative count": ("poisson_nll", np.array([1, -3]), (B, 1), "expected counts >= 0, got -3 at sample 1"),
    "not a probability": ("kl_div", np.array([[2.0, -1.0]]), (B, 2), "expected probabilities in [0, 1], got 2.0 at sample 0"),
    "late in a long target": ("cross_entropy", np.r_[np.zeros(70_000, int), 9], (B, 3), "got 9 at sample 70000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_target_refused(name):
    loss, y, pred_shape, text = REFUSED[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        losses.get(loss).check_target(y, pred_shape)
    assert text in str(caught.value)
    with pytest.raises(type(caught.value)) as called:
        losses.get(loss)(np.full((len(y), *pred_shape[1:]), 0.4), y.tolist() if y.dtype.kind == "i" else y)
    assert text.replace("(None", f"({len(y)}") in str(called.value)


def test_nothing_is_broadcast_in_the_graph():
    for name in losses.LOSSES:
        with pytest.raises(ValueError, match="expected"):
            losses.get(name)(lm.placeholder((4, 6)), lm.placeholder((4, 1)))
        with pytest.raises((ValueError, TypeError), match="expected"):  # TypeError: of classes in floats
            losses.get(name)(np.zeros((4, 6)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="expected a target of shape"):
        losses.focal(lm.placeholder((4, 1)), lm.placeholder((4,), dtype="int64"))
    assert losses.focal.check_target(np.ones((2, 3, 1)), (None, 3, 1)).shape == (2, 3, 1)


def test_a_memmap_is_not_copied(tmp_path):
    y = np.memmap(tmp_path / "y", np.float32, "w+", shape=(8, 1))
    assert np.shares_memory(losses.mse.check_target(y, (B, 1)), y)


# ---- by name, object, function ---------------------------------------------------------------------------------------------------


def test_a_scalar_loss_in_which_each_sample_meets_all_warns(rng):
    x, y = rng.normal(size=(8, 3)), rng.normal(size=8)

    def train(loss):
        return lm.Sequential(lm.Dense(1), seed=0).compile(loss, "sgd").train_step(x, y)

    for apart, shapes in (
        (lambda p, t: lm.mean((p[:, 0] - t) ** 2), r"\(B,\) and \(B, 1\)"),
        (lambda p, t: lm.sum(lm.abs(t[:, 0] - 2 * p)), r"\(B, 1\) and \(B,\)"),
        (lambda p, t: lm.mean((lm.mean(p, axis=1) - t) ** 2) + 0.1 * lm.mean(p * t), r"\(B,\) and \(B, 1\)"),
    ):
        with pytest.warns(
            UserWarning, match=rf"meet in one shape, got {shapes}, of which each sample meets all; take the same shape"
        ):
            train(apart)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for meant in (
            lambda p, t: lm.mean((p - t) ** 2),
            lambda p, t: lm.mean((p[:, 0] - t[:, 0]) ** 2),
            lambda p, t: lm.mean(lm.abs(p - lm.transpose(t))),
            lambda p, t: lm.mean((p[None, :, 0] - t) ** 2),
            lambda p, t: lm.mean((p[:, 0] * t[:, 0]) * p),  # both made of predictions
        ):
            train(meant)


def test_a_scalar_loss_of_an_array_and_a_tensor():
    target = lm.placeholder((4, 1))
    loss = losses.get(lambda p, t: lm.mean(lm.abs(p - t)))(np.ones((4, 1), np.float32), target)
    assert run([loss], {target: np.zeros((4, 1), np.float32)})[0] == 1


def test_a_function_that_returns_a_scalar_is_used_as_it_is():
    loss = losses.get(lambda p, t: lm.sum((p - t) ** 2))
    assert float(loss(np.ones((3, 2)), np.zeros((3, 2)))) == 6
    with pytest.raises(ValueError, match="expected losses per sample to weight them, got a scalar"):
        loss(np.ones((3, 2)), np.zeros((3, 2)), np.ones(3))


def test_a_function_that_returns_samples_is_averaged():
    loss = losses.get(lambda p, t: lm.sum((p - t) ** 2, axis=1))
    pred, y, w = np.arange(6.0).reshape(3, 2), np.ones((3, 2)), np.array([1.0, 0.0, 3.0])
    each = ((pred - y) ** 2).sum(1)
    assert float(loss(pred, y)) == each.mean()
    assert float(loss(pred, y, w)) == (w * each).sum() / 4


def test_a_function_takes_arrays_and_lists_as_every_loss_does():
    loss = losses.get(lambda pred, target: lm.abs(pred - target))
    assert float(loss([1.0, 2.0], [1.0, 3.0])) == 0.5
    assert float(loss(np.arange(3.0)[:, None], np.arange(3.0))) == 0  # (3,) for (3, 1) is a column, and meets no other sample
    assert float(loss(np.array([1.0, 3.0]), np.zeros(2), np.array([3.0, 1.0]))) == 1.5
    assert loss(np.ones((2, 1), np.float32), np.zeros((2, 1))).dtype == np.float32
    classes = losses.get(lambda pred, target: lm.cast(target == 1, pred.dtype) * pred[:, 0])
    assert float(classes(np.full((4, 2), 2.0), np.array([0, 1, 1, 1]))) == 1.5


@pytest.mark.parametrize("copied", [lambda loss: loss, copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_an_option_of_a_loss_stays_as_programs_have_it(copied):
    loss = copied(losses.BinaryCrossEntropy(pos_weight=[1.0, 2.0]))
    with pytest.raises(AttributeError, match=r"expected pos_weight to stay, .* got 3.0; make another one, and compile with that"):
        loss.pos_weight = 3.0
    loss.mask_nan = False  # as it is
    loss.note = "of the first run"
    assert loss.note == "of the first run"


def test_a_loss_of_unsigned_numbers():
    assert float(losses.cross_entropy(2 * np.eye(2), np.array([0, 1], "u8"))) == float(losses.cross_entropy(2 * np.eye(2), [0, 1]))
    assert lm.add(np.array([1], "u8"), 1).tolist() == [2]
    with pytest.raises(TypeError, match="expected numbers, got an array of uint64"):
        lm.exp(np.array([2**63], "u8"))


def test_a_function_must_return_a_tensor():
    with pytest.raises(TypeError, match="expected a tensor from the loss function, got None"):
        losses.get(lambda p, t: None)(np.ones((3, 2)), np.ones((3, 2)))


def test_one_prediction_and_one_target_may_be_numbers():
    for name, value in (
        ("mse", 0.25),
        ("hinge", 0.5),
        ("binary_cross_entropy", np.log1p(np.exp(-0.5))),
        ("poisson_nll", np.exp(0.5) - 0.5),
    ):
        assert float(losses.get(name)(0.5, 1)) == pytest.approx(value)
        if not name.startswith("m"):
            with pytest.raises(ValueError, match="got -3 at sample 0"):
                losses.get(name)(0.5, -3)


def test_a_loss_of_ones_own():
    class Cubic(losses.Loss):
        def elements(self, pred, target):
            return abs(pred - target) ** 3

    assert float(Cubic()(np.zeros((2, 1)), np.array([[1.0], [3.0]]), np.array([1.0, 3.0]))) == (1 + 3 * 27) / 4
    assert losses.get(Cubic) is not None and Cubic().check_target(np.zeros(2), (B, 1)).shape == (2, 1)


@pytest.mark.parametrize("arranged", [lambda t: lm.reshape(t, (-1, 3)), lambda t: lm.transpose(t, (1, 0, 2))])
def test_elements_of_a_loss_of_ones_own_may_be_arranged_in_any_way(arranged, rng):
    class Own(losses.MSE):
        def elements(self, pred, target):
            return arranged(super().elements(pred, target))

    x, y = rng.normal(size=(5, 2, 4)), rng.normal(size=(5, 2, 3))
    found, known = (
        lm.Sequential(lm.Dense(3), seed=0).compile(loss, "sgd").fit(x, y, batch_size=2, epochs=2, verbose=0).history["loss"]
        for loss in (Own(), "mse")
    )
    np.testing.assert_allclose(found, known, rtol=1e-6)
    np.testing.assert_allclose(Own()(y, 2 * y), losses.mse(y, 2 * y))


def test_options_of_a_loss_of_ones_own_stay_once_it_is_compiled():
    class Scaled(losses.Loss):
        def __init__(self, by):
            self.by = by

        def elements(self, pred, target):
            self.seen = pred
            return self.by * abs(pred - target)

    loss, x = Scaled(1.0), np.ones((2, 1))
    loss.by = 2.0
    net = lm.Sequential(lm.Dense(1, weight_init="zeros"), seed=0).compile(loss, lm.optim.SGD(0.0))
    bias = net.build(1).parameters["dense_1.bias"][0]
    assert net.train_step(x, x) == pytest.approx(2 * abs(1 - bias))
    with pytest.raises(AttributeError, match="expected by to stay, as networks may be compiled with this loss, got 3.0"):
        loss.by = 3.0
    loss.by = 2.0
    assert len(net.fit(x, x, sample_weight=[1, 2], verbose=0)) == 1  # builds the loss once more


def test_get():
    assert losses.get("mse") is losses.mse and isinstance(losses.get(losses.Huber), losses.Huber)
    for wrong, kind, text in [("mes", ValueError, "did you mean 'mse'"), (3, TypeError, "expected a name, a loss or a function")]:
        with pytest.raises(kind, match=text):
            losses.get(wrong)


@pytest.mark.parametrize("case", CASES)
def test_config(case):
    from lamina.base.config import plain

    again = losses.get(json.loads(json.dumps(plain(case.loss))))
    assert plain(again) == plain(case.loss) and type(again) is type(case.loss)


OPTIONS = {
    "delta": lambda: losses.Huber(0),
    "beta": lambda: losses.SmoothL1(-1),
    "q": lambda: losses.Quantile(1.0),
    "label_smoothing": lambda: losses.CrossEntropy(label_smoothing=1.5),
    "ignore_index": lambda: losses.CrossEntropy(ignore_index=0.5),
    "pos_weight": lambda: losses.BinaryCrossEntropy(pos_weight=-1),
    r"pos_weight\[1\]": lambda: losses.BinaryCrossEntropy(pos_weight=[1, -1]),
    "gamma": lambda: losses.Focal(-1),
    "alpha": lambda: losses.Focal(alpha=2),
    "eps": lambda: losses.GaussianNLL(eps=0),
    "mask_nan": lambda: losses.MSE(mask_nan=1),
    "log_input": lambda: losses.PoissonNLL(log_input="yes"),
    "log_target": lambda: losses.KLDiv(log_target=None),
    "3 weights, one for": lambda: losses.BinaryCrossEntropy(pos_weight=[1, 2])(np.ones((2, 3)), np.ones((2, 3))),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_option_refused(option):
    with pytest.raises((ValueError, TypeError), match=f"expected {option}"):
        OPTIONS[option]()


# ---- numbers at the ends ---------------------------------------------------------------------------------------------------------


def test_a_class_may_be_masked_by_minus_infinity():
    z, y, loss = lm.placeholder((1, 3), "float64"), np.array([1]), lm.losses.CrossEntropy()
    value, slope = lm.function([z], [loss(z, y), lm.grad(loss(z, y), z)])(np.array([[-np.inf, 0.0, 1.0]]))
    p = 1 / (1 + np.e)
    np.testing.assert_allclose(value, -np.log(p), rtol=1e-14)
    np.testing.assert_allclose(slope, [[0.0, p - 1, 1 - p]], rtol=1e-14)


@pytest.mark.parametrize("make", [lm.losses.BinaryCrossEntropy, lambda: lm.losses.Focal(0, alpha=None)], ids=["bce", "focal"])
def test_a_small_cross_entropy_keeps_its_digits(make):
    z = np.array([[8.0], [12.0], [17.0], [40.0]])
    for sign, target in ((1, 1.0), (-1, 0.0)):
        for value, want in zip(z, np.log1p(np.exp(-z)), strict=True):
            got = make()(np.array([sign * value], np.float32), np.full((1, 1), target, np.float32))
            np.testing.assert_allclose(got, want[0], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weight", [None, 2.5])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_binary_cross_entropy_keeps_its_digits(dtype, weight, target):
    """Value and slope of logits on either side of right, also beyond softplus's 20; 8 ulp: exp's 2, log1p's 3, three roundings."""
    z = np.linspace(-60, 60, 2401).astype(dtype)[:, None]
    p, y = graph(z, 0 * z, dtype)
    element = losses.BinaryCrossEntropy(pos_weight=weight).elements(p, y)
    got = run([element, lm.grad(lm.sum(element), p)], {p: z, y: np.full_like(z, target)})
    toward = z.astype(np.longdouble) * (1 - 2 * target)
    scale = np.longdouble(weight or 1.0) if target else np.longdouble(1)
    wants = [np.maximum(toward, 0) + np.log1p(np.exp(-abs(toward))), (1 - 2 * target) / (1 + np.exp(-toward))]
    for value, want in zip(got, wants, strict=True):
        np.testing.assert_allclose(value.astype(np.longdouble), scale * want, rtol=8 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
def test_focal_has_a_slope_where_a_sample_is_sure(gamma):
    z, loss = lm.placeholder((1, 2)), lm.losses.Focal(gamma)
    slopes = lm.function([z], [lm.grad(loss(z, y), z) for y in (np.array([0]), np.array([[1.0, 0.0]]))])
    for size in (20, 60, 90, 120, 1e4):
        assert all(np.isfinite(slope).all() for slope in slopes(np.array([[size, -size]], np.float32)))


@pytest.mark.parametrize("weight", [1e-29, 1e-35, 1e-300, 0.0])
def test_small_weights_weigh_as_large_ones(weight):
    assert lm.losses.MSE()(np.zeros((3, 1)), np.ones((3, 1)), np.full(3, weight)) == (weight > 0)


def test_a_loss_of_ones_own_where_each_sample_meets_all_is_refused():
    net = lm.Sequential(lm.Dense(1)).compile(lambda pred, target: (pred[:, 0] - target) ** 2, "sgd")
    with pytest.raises(ValueError, match=r"got \(B, B\) from pred \(B, 1\) and target \(B, 1\)"):
        net.train_step(np.ones((4, 2)), np.ones(4))
