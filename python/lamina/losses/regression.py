"""Losses on real-valued targets. pred and target have the same shape, (batch, n) mostly; the result is the mean over all elements.

`mask_nan=True` leaves elements whose target is NaN out of loss, gradient and metrics. A parameter outside its bounds, and a target
whose shape does not fit, is a ValueError in every class.
"""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.base import checks
from lamina.losses.base import LIKELY, Array, Loss, MaskedLoss, Shape, first_outside


class MSE(MaskedLoss):
    """Mean squared error: mean((p - y)^2). `mask_nan`: elements whose target is NaN are left out.

    >>> float(lm.losses.MSE()(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])))
    2.0
    """

    def elements(self, pred: Any, target: Any) -> Any:
        return ops.square(pred - target)


class MAE(MaskedLoss):
    """Mean absolute error: mean(|p - y|). `mask_nan` as in `MSE`.

    >>> float(lm.losses.MAE()(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])))
    1.0
    """

    def elements(self, pred: Any, target: Any) -> Any:
        return ops.abs(pred - target)


class Huber(MaskedLoss):
    """Squared near 0, linear beyond delta: e^2 / 2 where |e| < delta, else delta (|e| - delta / 2), e = p - y. Source: Huber 1964.

    `delta` > 0: the error from which on it is linear.

    >>> float(lm.losses.Huber()(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])))
    0.75
    """

    def __init__(self, delta: float = 1.0, *, mask_nan: bool = False) -> None:
        super().__init__(mask_nan=mask_nan)
        self.delta = checks.number("losses.Huber", "delta", delta, 0, open_low=True)

    def elements(self, pred: Any, target: Any) -> Any:
        error = pred - target
        size = ops.abs(error)
        return ops.where(size < self.delta, 0.5 * ops.square(error), self.delta * (size - 0.5 * self.delta))


class SmoothL1(MaskedLoss):
    """Huber's loss over its delta: e^2 / (2 beta) where |e| < beta, else |e| - beta / 2, e = p - y. Source: Girshick 2015.

    `beta` >= 0: the error from which on it is linear; 0 is the mean absolute error.

    >>> float(lm.losses.SmoothL1(0.5)(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])))
    0.875
    """

    def __init__(self, beta: float = 1.0, *, mask_nan: bool = False) -> None:
        super().__init__(mask_nan=mask_nan)
        self.beta = checks.number("losses.SmoothL1", "beta", beta, 0)

    def elements(self, pred: Any, target: Any) -> Any:
        error = pred - target
        size = ops.abs(error)
        if self.beta == 0:
            return size
        return ops.where(size < self.beta, (0.5 / self.beta) * ops.square(error), size - 0.5 * self.beta)


class LogCosh(MaskedLoss):
    """Smooth absolute error: mean(ln cosh e), e = p - y; near 0 it is e^2 / 2, far out |e| - ln 2.

    Computed as -ln(1 - tanh^2 e) / 2 where |e| < 1, else |e| - ln(1 + tanh |e|): neither overflows, nor do digits cancel.

    >>> round(float(lm.losses.LogCosh()(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]]))), 4)
    0.6625
    """

    def elements(self, pred: Any, target: Any) -> Any:
        error = pred - target
        size, t = ops.abs(error), ops.tanh(error)
        near = size < 1.0
        log = ops.log1p(ops.where(near, -ops.square(t), ops.abs(t)))
        return ops.where(near, -0.5 * log, size - log)


class Quantile(MaskedLoss):
    """Pinball loss, whose minimum is the q-quantile: mean(max(q e, (q - 1) e)), e = y - p. Source: Koenker and Bassett 1978.

    `q`: the quantile, in (0, 1). Several quantiles are several outputs, each with its loss and the same target:
    `lm.Model(x, [low, high]).compile([Quantile(0.1), Quantile(0.9)], "adam").fit(x, [y, y])`. Errors: TypeError for several in one.

    >>> round(float(lm.losses.Quantile(0.9)(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]]))), 4)
    0.9
    """

    def __init__(self, q: float = 0.5, *, mask_nan: bool = False) -> None:
        super().__init__(mask_nan=mask_nan)
        if isinstance(q, (list, tuple)):
            raise TypeError(
                f"[losses.Quantile] expected q to be one number in (0, 1), got {checks.brief(q)}; give the network an output for "
                "each, and compile([Quantile(0.1), Quantile(0.9)], ...)"
            )
        self.q = checks.number("losses.Quantile", "q", q, 0, 1, open_low=True, open_high=True)

    def elements(self, pred: Any, target: Any) -> Any:
        error = target - pred
        return self.q * ops.relu(error) + (1 - self.q) * ops.relu(-error)  # by relu: slope 0 at the kink, as everywhere


class Hinge(MaskedLoss):
    """Margin loss of a support vector machine: mean(max(0, 1 - y p)), y in {-1, 1}. Source: Cortes and Vapnik 1995.

    Errors: ValueError for other targets, 0 among them.

    >>> float(lm.losses.Hinge()(np.array([[0.5], [-2.0]]), np.array([[1.0], [1.0]])))
    1.75
    """

    def elements(self, pred: Any, target: Any) -> Any:
        return ops.relu(1.0 - target * pred)

    def check_values(self, y: Array, pred_shape: Shape) -> None:
        bad = first_outside(abs(y.astype("float64")), 1, 1)
        if bad is not None:
            got = y[bad[0]] if y.ndim else y
            raise ValueError(f"[{self!r}] expected targets -1 or 1, got {got} at sample {bad[0]}; for 0 and 1 pass 2 * y - 1")


class PoissonNLL(MaskedLoss):
    """Negative log-likelihood of counts y ~ Poisson(rate), the constant left out: mean(e^p - y p), p = ln rate.

    `log_input=False`: p is the rate itself, mean(p - y ln(p + eps)). `full=True` adds Stirling's approximation of ln y! where y >
    1: y ln y - y + ln(2 pi y) / 2. `eps` > 0: keeps the logarithm of a rate of 0 finite. Errors: ValueError for counts below 0.

    >>> round(float(lm.losses.PoissonNLL()(np.array([[0.0]]), np.array([[3.0]]))), 4)
    1.0
    """

    def __init__(self, *, log_input: bool = True, full: bool = False, eps: float = 1e-8, mask_nan: bool = False) -> None:
        super().__init__(mask_nan=mask_nan)
        self.log_input = checks.flag("losses.PoissonNLL", "log_input", log_input)
        self.full = checks.flag("losses.PoissonNLL", "full", full)
        self.eps = checks.number("losses.PoissonNLL", "eps", eps, 0, open_low=True)

    def misfit(self, op: str) -> str | None:
        if not self.log_input or op not in ("exp", "softplus", "relu"):
            return None
        return (
            f"expected logarithms of rates, got the result of {op}; let the network end without it, or pass "
            "PoissonNLL(log_input=False)"
        )

    def elements(self, pred: Any, target: Any) -> Any:
        loss = ops.exp(pred) - target * pred if self.log_input else pred - target * ops.log(pred + self.eps)
        if not self.full:
            return loss
        y = ops.maximum(target, 1.0)  # where y <= 1 the term is 0, not ln 0
        stirling = y * ops.log(y) - y + 0.5 * ops.log(2 * math.pi * y)
        return loss + ops.where(target > 1.0, stirling, ops.zeros_like(stirling))

    def check_values(self, y: Array, pred_shape: Shape) -> None:
        bad = first_outside(y, 0, math.inf)
        if bad is not None:
            raise ValueError(
                f"[{self!r}] expected counts >= 0, got {bad[1]} at sample {bad[0]}; a Poisson variable is not negative"
            )


class GaussianNLL(MaskedLoss):
    """Negative log-likelihood of y ~ N(mean, var), both predicted: mean(ln v + (y - mean)^2 / v) / 2, v = max(var, eps).

    pred is (batch, 2 n): n means, then n variances (end the network in something positive there, such as softplus); target is
    (batch, n). As in PyTorch the floor is invisible to the gradient, which therefore can lift a variance off it. `full=True` adds
    ln(2 pi) / 2. `eps` > 0: the least variance. Source: Nix and Weigend 1994. Errors: ValueError for an odd number of predictions.

    >>> float(lm.losses.GaussianNLL()(np.array([[1.0, 1.0]]), np.array([[3.0]])))
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, mask_nan: bool = False) -> None:
        super().__init__(mask_nan=mask_nan)
        self.full = checks.flag("losses.GaussianNLL", "full", full)
        self.eps = checks.number("losses.GaussianNLL", "eps", eps, 0, open_low=True)

    def target_shape(self, pred_shape: Shape) -> Shape:
        if not pred_shape or pred_shape[-1] % 2:
            raise ValueError(
                f"[{self!r}] expected predictions of n means and n variances, got {pred_shape[-1:]} columns; "
                "give the last layer 2 units for each target"
            )
        return (*pred_shape[:-1], pred_shape[-1] // 2)

    def elements(self, pred: Any, target: Any) -> Any:
        n = pred.shape[-1] // 2
        mean, var = pred[..., :n], pred[..., n:]
        # (var - var) is 0 and carries the gradient past the floor
        v = ops.stop_gradient(ops.maximum(var, self.eps)) + (var - ops.stop_gradient(var))
        loss = 0.5 * (ops.log(v) + ops.square(mean - target) / v)
        return loss + 0.5 * math.log(2 * math.pi) if self.full else loss


class KLDiv(Loss):
    """Divergence of a predicted distribution from the target's: mean over samples of sum_j y_j (ln y_j - p_j), p log-probabilities.

    End the network in log_softmax. j runs along the last axis; the mean is over all others. Of (batch, C) this is PyTorch's
    reduction "batchmean", the one that is the mathematical divergence; of (batch, T, C) that one is T times as much, a sum over T.
    `log_target=True`: the target is log-probabilities, too. Source: Kullback and Leibler 1951. Errors: ValueError for probabilities
    outside [0, 1].

    >>> round(float(lm.losses.KLDiv()(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]))), 4)
    0.6931
    """

    def __init__(self, *, log_target: bool = False) -> None:
        self.log_target = checks.flag("losses.KLDiv", "log_target", log_target)

    def misfit(self, op: str) -> str | None:
        if op not in (*LIKELY, "add", "matmul"):
            return None
        got = "probabilities" if op in LIKELY else "logits"
        return f"expected log-probabilities, got {got}, of which it is no divergence; let the network end in log_softmax"

    def elements(self, pred: Any, target: Any) -> Any:
        if self.log_target:
            return ops.sum(ops.exp(target) * (target - pred), axis=-1)
        positive = target > 0.0
        log_target = ops.log(ops.where(positive, target, ops.ones_like(target)))  # 0 ln 0 = 0
        return ops.sum(target * (log_target - pred), axis=-1)

    def check_values(self, y: Array, pred_shape: Shape) -> None:
        bad = None if self.log_target else first_outside(y, 0, 1)
        if bad is not None:
            raise ValueError(
                f"[{self!r}] expected probabilities in [0, 1], got {bad[1]} at sample {bad[0]}; "
                "for log-probabilities pass log_target=True"
            )
