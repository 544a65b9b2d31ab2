"""Losses on classes. Predictions are logits: the network ends in a plain Dense, without softmax or sigmoid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import ops
from lamina.base import checks
from lamina.graph.tensor import shown
from lamina.losses.base import ROWS, Array, Loss, MaskedLoss, Shape, first_outside

ROUNDING = 1e-3  # how far probabilities of float16 or of percent with a few digits may sum to something else than 1


class ClassLoss(Loss):
    """Base of losses whose target may be class numbers: one axis less than the logits, integers 0 .. C - 1."""

    target_dtype = "int64"
    yes_no = True

    def is_classes(self, pred_shape: Sequence[Any], target_shape: Sequence[Any]) -> bool:
        return super().is_classes(pred_shape, target_shape) and pred_shape[-1] != 1

    def target_shape(self, pred_shape: Shape) -> Shape:
        if len(pred_shape) < 2 or (isinstance(pred_shape[-1], int) and pred_shape[-1] < 2):
            raise ValueError(
                f"[{self!r}] expected logits (batch, classes) of at least 2 classes, got shape {shown(pred_shape)}; "
                "give the last layer one unit for each class, or use binary_cross_entropy for one logit"
            )
        return pred_shape

    def _check_shape(self, shape: Shape, pred_shape: Shape) -> None:
        if self.is_classes(pred_shape, shape):
            pred_shape = (*self.target_shape(pred_shape)[:-1], 2)
            shape = (*shape, 2)
        super()._check_shape(shape, pred_shape)

    def check_target(self, y: Any, pred_shape: Sequence[Any]) -> Array:
        array, pred_shape = self._numbers(y), tuple(pred_shape)
        self.target_shape(pred_shape)
        if array.ndim == len(pred_shape) and array.shape[-1:] == (1,) and pred_shape[-1] != 1:
            array = array[..., 0]  # a column of classes, as a table gives it
        classes = self.is_classes(pred_shape, array.shape)
        if classes and array.dtype.kind not in "iub":
            missing = array.dtype.kind == "f" and bool(np.isnan(array).any())
            remedy = "pass y.astype('int64')"
            if missing:
                remedy = "drop the rows without a class, or give them the number that ignore_index leaves out"
            raise TypeError(
                f"[{self!r}] expected integer classes {shown(pred_shape[:-1])} or probabilities {shown(pred_shape)}, "
                f"got shape {shown(array.shape)} of dtype {array.dtype}{' with NaN' if missing else ''}; {remedy}"
            )
        array = super().check_target(array, pred_shape)
        if not classes and array.dtype.kind != "f":
            return array.astype(np.float32)  # one-hot rows in integers
        return array.astype(np.int64) if array.dtype.kind == "b" else array

    def check_values(self, y: Array, pred_shape: Shape) -> None:
        if not self.is_classes(pred_shape, y.shape):
            self._check_probabilities(y)
        elif isinstance(classes := pred_shape[-1], int):
            self._check_classes(y, classes)
        else:  # of a batch that is compared with itself
            raise ValueError(
                f"[{self!r}] expected a known number of classes, got logits {shown(pred_shape)}; pass one-hot rows: np.eye(n)[y]"
            )

    def _check_classes(self, y: Array, classes: int) -> None:
        bad = first_outside(y, 0, classes - 1, self.ignore_index)
        if bad is not None:
            raise ValueError(
                f"[{self!r}] expected classes from 0 to {classes - 1}, got {bad[1]} at sample {bad[0]}; "
                "number the classes from 0, or "
                + (f"leave it out by ignore_index={bad[1]}" if bad[1] < 0 else "give the last layer one unit for each class")
            )

    def _check_probabilities(self, y: Array) -> None:
        bad = first_outside(y, 0, 1)
        if bad is not None:
            raise ValueError(
                f"[{self!r}] expected probabilities in [0, 1], got {bad[1]} at sample {bad[0]}; divide each row by its sum"
            )
        for start in range(0, len(y), ROWS):
            sums = y[start : start + ROWS].sum(axis=-1, dtype=np.float64)
            off = np.argwhere(abs(sums - 1) > ROUNDING)
            if len(off):
                raise ValueError(
                    f"[{self!r}] expected probabilities that sum to 1, got {sums[tuple(off[0])]:g} at sample {start + off[0][0]}; "
                    "for several true classes at once use binary_cross_entropy"
                )


class CrossEntropy(ClassLoss):
    """Cross-entropy of logits: mean over samples of -sum_j q_j ln softmax(z)_j = ln sum_j e^(z_j) - z_y for a class y.

    pred: logits (batch, ..., C). target: integer classes (batch, ...), or probabilities (batch, ..., C).
    `label_smoothing` e: q becomes (1 - e) q + e / C. `ignore_index`: samples of this class are left out, also of the metrics of
    `fit` and `evaluate` (None: there is no such class).

    Of classes it is a difference of logits, rounded as those are: near logits of 10,000 to about 0.0005 in float32. PyTorch takes
    the largest logit off before. The gradient is softmax's, which takes it off here, too.

    Errors: ValueError for classes outside 0 .. C - 1 and probabilities that do not sum to 1; TypeError for classes in floats.

    >>> round(float(lm.losses.CrossEntropy()(np.array([[2.0, 0.0]]), np.array([0]))), 4)
    0.1269
    """

    applies = ("softmax",)

    def __init__(self, *, label_smoothing: float = 0.0, ignore_index: int | None = None) -> None:
        self.label_smoothing = checks.number("losses.CrossEntropy", "label_smoothing", label_smoothing, 0, 1)
        if ignore_index is not None:
            ignore_index = checks.integer("losses.CrossEntropy", "ignore_index", ignore_index, -(2**62))
        self.ignore_index = ignore_index

    def keep(self, pred: Any, target: Any) -> Any | None:
        if self.ignore_index is None or not self.is_classes(pred.shape, target.shape):
            return None
        return ops.not_equal(target, self.ignore_index)

    def elements(self, pred: Any, target: Any) -> Any:
        e, classes = self.label_smoothing, pred.shape[-1]
        if not self.is_classes(pred.shape, target.shape):
            q = target if e == 0 else (1 - e) * target + e / classes
            return -ops.sum(q * ops.log_softmax(pred), axis=-1)
        picked = ops.sum(_picked(pred, target), axis=-1)
        if e == 0:
            return ops.logsumexp(pred, axis=-1) - picked
        return ops.logsumexp(pred, axis=-1) - (1 - e) * picked - e * ops.mean(pred, axis=-1)


def _picked(pred: Any, target: Any) -> Any:
    """The logit of each sample's class in its place, 0 elsewhere: also where others are -inf, which masks a class."""
    return ops.where(ops.one_hot(target, pred.shape[-1], "bool"), pred, ops.zeros_like(pred))


def _sigmoid_cross_entropy(pred: Any, target: Any, more: Any = None) -> Any:
    """-(1 + more) y ln s(z) - (1 - y) ln s(-z). Where y is 1/2 or more by ln s(z), elsewhere by ln s(-z) = ln s(z) - z: no digits
    of a small loss cancel. `softplus` is the same but beyond 20, where it is linear.
    """
    yes = ops.cast(target >= 0.5, str(pred.dtype))
    log = ops.activation("log_sigmoid", (2.0 * yes - 1.0) * pred)
    if more is None:
        return (yes - target) * pred - log
    added = more * target
    return (yes - target - (1.0 - yes) * added) * pred - (1.0 + added) * log


class BinaryCrossEntropy(MaskedLoss):
    """Cross-entropy of independent yes-or-no logits: mean(softplus(z) - z y) = mean(-y ln s(z) - (1 - y) ln(1 - s(z))), s the
    sigmoid.

    pred: logits of any shape. target: the same shape ((batch,) for (batch, 1)), 0, 1, or a probability.
    `pos_weight` w: the term of y is counted w times, a number or one for each column: (1 - y) z + (1 + (w - 1) y) softplus(-z).
    `mask_nan`: elements whose target is NaN are left out.

    Errors: ValueError for targets outside [0, 1].

    >>> round(float(lm.losses.BinaryCrossEntropy()(np.array([[2.0]]), np.array([[1.0]]))), 4)
    0.1269
    """

    yes_no = True
    applies = ("sigmoid",)

    def __init__(self, *, pos_weight: float | Sequence[float] | Array | None = None, mask_nan: bool = False) -> None:
        super().__init__(mask_nan=mask_nan)
        where = "losses.BinaryCrossEntropy"
        self.pos_weight: float | Array | None = None
        if isinstance(pos_weight, np.ndarray) and pos_weight.ndim == 0:
            pos_weight = pos_weight.item()
        if isinstance(pos_weight, (Sequence, np.ndarray)) and not isinstance(pos_weight, str):
            self.pos_weight = np.array([checks.number(where, f"pos_weight[{i}]", w, 0) for i, w in enumerate(pos_weight)])
        elif pos_weight is not None:
            self.pos_weight = checks.number(where, "pos_weight", pos_weight, 0)

    def elements(self, pred: Any, target: Any) -> Any:
        if self.pos_weight is None:
            return _sigmoid_cross_entropy(pred, target)
        more: Any = self.pos_weight - 1.0
        if isinstance(more, np.ndarray):
            if len(more) != pred.shape[-1]:
                raise ValueError(
                    f"[{self!r}] expected {pred.shape[-1]} weights, one for each predicted column, got {len(more)}; pass as many"
                )
            more = more.astype(str(pred.dtype))
        return _sigmoid_cross_entropy(pred, target, more)

    def check_values(self, y: Array, pred_shape: Shape) -> None:
        check_yes_no(self, y)


class Focal(ClassLoss):
    """Cross-entropy that weighs easy samples less: (1 - p_t)^gamma times the cross-entropy -ln p_t, p_t the probability of the
    truth.

    With targets of the logits' shape ((batch,) for (batch, 1)), 0 or 1: of sigmoids, mean over all elements, weighted by alpha
    where y = 1 and 1 - alpha where y = 0 (alpha=None: not weighted). With integer classes (batch, ...) for logits (batch, ..., C):
    of the softmax, mean over samples, alpha unused. `gamma` >= 0: the focusing parameter; 0 is cross-entropy. Source: Lin et al.
    2017.

    Errors: ValueError for targets outside [0, 1], or classes outside 0 .. C - 1; TypeError for classes in floats.

    >>> round(float(lm.losses.Focal()(np.array([[2.0]]), np.array([[1.0]]))), 6)
    0.000451
    """

    applies = ("sigmoid", "softmax")

    def __init__(self, gamma: float = 2.0, *, alpha: float | None = 0.25) -> None:
        self.gamma = checks.number("losses.Focal", "gamma", gamma, 0)
        self.alpha = None if alpha is None else checks.number("losses.Focal", "alpha", alpha, 0, 1)

    def target_shape(self, pred_shape: Shape) -> Shape:
        return pred_shape  # one column is fine: sigmoids

    def check_target(self, y: Any, pred_shape: Sequence[Any]) -> Array:
        y = checks.array(repr(self), y, "y")
        return super().check_target(y[:, None] if y.ndim == 1 and tuple(pred_shape)[1:] == (1,) else y, pred_shape)

    def _check_probabilities(self, y: Array) -> None:
        check_yes_no(self, y)

    def elements(self, pred: Any, target: Any) -> Any:
        if self.is_classes(pred.shape, target.shape):
            return self._softmax_elements(pred, target)
        loss = _sigmoid_cross_entropy(pred, target)
        miss = ops.sigmoid(pred) * (1.0 - target) + ops.sigmoid(-pred) * target  # 1 - p_t, without a difference of near equals
        loss = loss * self._held_back(miss)
        return loss if self.alpha is None else loss * (self.alpha * target + (1 - self.alpha) * (1.0 - target))

    def _softmax_elements(self, pred: Any, target: Any) -> Any:
        loss = ops.logsumexp(pred, axis=-1) - ops.sum(_picked(pred, target), axis=-1)
        miss = -ops.expm1(-ops.relu(loss))  # relu: rounding may leave the loss a hair below 0
        return loss * self._held_back(miss)

    def _held_back(self, miss: Any) -> Any:
        """miss^gamma, for gamma below 1 with a slope where a sure sample misses by 0."""
        return miss**self.gamma if self.gamma >= 1 else ops.maximum(miss, float(np.finfo(str(miss.dtype)).tiny)) ** self.gamma


def check_yes_no(loss: Loss, y: Array) -> None:
    """Targets of sigmoids lie in [0, 1]."""
    bad = first_outside(y, 0, 1)
    if bad is not None:
        raise ValueError(
            f"[{loss!r}] expected targets 0, 1 or between, got {bad[1]} at sample {bad[0]}; for -1 and 1 pass (y + 1) / 2"
        )
