"""The built-in optimizers, in order of increasing complexity. Formulas and defaults are PyTorch's.

w parameter, g its gradient (clipped; with wd w added where not said otherwise), lr the learning rate, t the number of the step from
1. Each formula is carried out by the C++ rule of the same name in `cpp/kernels/update_rules.inl`. lr, weight_decay, clip_norm and
clip_value are those of `Optimizer`, with their errors; hyper-parameters outside their bounds are a ValueError in every class. The
examples show the loss w^2, step by step, from w = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.base import checks
from lamina.optim.base import Optimizer, Rate


class SGD(Optimizer):
    """Gradient descent: w -= lr g; with momentum b = momentum b + (1 - dampening) g (first b = g), w -= lr b.

    momentum >= 0: how much of the last step stays; 0 keeps no b. dampening >= 0: lessens what a new gradient adds to b. nesterov:
    w -= lr (g + momentum b). All else as in `Optimizer`. Source: Polyak 1964, Nesterov 1983, Sutskever et al. 2013.
    Errors: ValueError for nesterov without momentum or with dampening.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.SGD(0.1))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.64, 0.41, 0.26]
    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.SGD(0.1, momentum=0.5))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.64, 0.29, 0.09]
    """

    def __init__(
        self,
        lr: Rate = 1e-3,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.momentum = self._number("momentum", momentum, 0)
        self.dampening = self._number("dampening", dampening, 0)
        self.nesterov = checks.flag(self._where, "nesterov", nesterov)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                f"[{self._where}] expected momentum > 0 and dampening 0 with nesterov=True, got momentum {self.momentum:g} and "
                f"dampening {self.dampening:g}; pass momentum=0.9"
            )
        self.rule = "sgd" if self.momentum else "sgd_plain"
        self.slots = ("momentum_buffer",) if self.momentum else ()

    def hyper(self) -> dict[str, float]:
        decay = {"weight_decay": self.weight_decay}
        if not self.momentum:
            return decay
        return {"momentum": self.momentum, "dampening": self.dampening, "nesterov": float(self.nesterov), **decay}


class Adagrad(Optimizer):
    """Rates that fall with the squares seen: s += g^2, w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).

    lr_decay >= 0: lets the rate fall by itself. eps >= 0: bounds the step while s is small. initial_accumulator_value >= 0: the
    first s. All else as in `Optimizer`. Source: Duchi et al. 2011. Errors: ValueError for a value below its bound.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.Adagrad(0.5))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.25, 0.08, 0.02]
    """

    rule = "adagrad"
    slots = ("sum",)

    def __init__(
        self,
        lr: Rate = 1e-2,
        *,
        lr_decay: float = 0.0,
        eps: float = 1e-10,
        initial_accumulator_value: float = 0.0,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.lr_decay = self._number("lr_decay", lr_decay, 0)
        self.eps = self._number("eps", eps, 0)
        self.initial_accumulator_value = self._number("initial_accumulator_value", initial_accumulator_value, 0)

    def hyper(self) -> dict[str, float]:
        return {"eps": self.eps, "weight_decay": self.weight_decay, "lr_decay": self.lr_decay}

    def slot_value(self, slot: str) -> float:
        return self.initial_accumulator_value


class RMSProp(Optimizer):
    """Gradients over their running size: v = alpha v + (1 - alpha) g^2, d = g / (sqrt(v) + eps), w -= lr d.

    alpha in [0, 1]: the decay rate of v. eps >= 0: bounds the step where v is small. momentum > 0: b = momentum b + d, w -= lr b.
    centered: v is lessened by the square of the running mean of g. All else as in `Optimizer`. Source: Hinton 2012. Errors:
    ValueError for a value out of its bounds.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.RMSProp())
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.81, 0.69, 0.61]
    """

    def __init__(
        self,
        lr: Rate = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.alpha = self._number("alpha", alpha, 0, 1)
        self.eps = self._number("eps", eps, 0)
        self.momentum = self._number("momentum", momentum, 0)
        self.centered = checks.flag(self._where, "centered", centered)
        self._full = self.momentum > 0 or self.centered
        self.rule = "rmsprop_full" if self._full else "rmsprop"
        self.slots = ("square_avg", "momentum_buffer", "grad_avg") if self._full else ("square_avg",)

    def hyper(self) -> dict[str, float]:
        plain = {"alpha": self.alpha, "eps": self.eps, "weight_decay": self.weight_decay}
        return {**plain, "momentum": self.momentum, "centered": float(self.centered)} if self._full else plain


class Adadelta(Optimizer):
    """Steps in the units of the weights: v = rho v + (1 - rho) g^2, d = sqrt(u + eps) / sqrt(v + eps) g, u = rho u + (1 - rho) d^2,
    w -= lr d.

    rho in [0, 1]: how much of v and u stays. eps > 0: sets the size of the first steps. All else as in `Optimizer`. Source: Zeiler
    2012. Errors: ValueError for a value out of its bounds.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.Adadelta(eps=1e-2))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.47, 0.18, 0.06]
    """

    rule = "adadelta"
    slots = ("square_avg", "acc_delta")

    def __init__(
        self,
        lr: Rate = 1.0,
        *,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.rho = self._number("rho", rho, 0, 1)
        self.eps = self._number("eps", eps, 0, open_low=True)

    def hyper(self) -> dict[str, float]:
        return {"rho": self.rho, "eps": self.eps, "weight_decay": self.weight_decay}


class Rprop(Optimizer):
    """Signs only, for full batches: s *= 1.2 where g keeps its sign, s *= 0.5 (and g = 0) where it turned; w -= s sign(g).

    lr: the first s. etas: the two factors, (fall, rise), fall < 1 < rise. step_sizes: the bounds of s, (smallest, largest). There
    is no weight decay. All else as in `Optimizer`. Source: Riedmiller and Braun 1993. Errors: ValueError for factors or bounds in
    another order.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.Rprop(0.1))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.81, 0.61, 0.4]
    """

    rule = "rprop"
    slots = ("prev", "step_size")

    def __init__(
        self,
        lr: Rate = 1e-2,
        *,
        etas: Sequence[float] = (0.5, 1.2),
        step_sizes: Sequence[float] = (1e-6, 50.0),
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, clip_norm=clip_norm, clip_value=clip_value)
        fall, rise = checks.numbers(self._where, "etas", etas, 2, 0, open_low=True)
        if not fall < 1 < rise:
            raise ValueError(
                f"[{self._where}] expected etas (fall, rise) with fall < 1 < rise, got {tuple(etas)}; pass e.g. (0.5, 1.2)"
            )
        low, high = checks.numbers(self._where, "step_sizes", step_sizes, 2, 0)
        if low > high:
            raise ValueError(f"[{self._where}] expected step_sizes (smallest, largest), got {tuple(step_sizes)}; exchange the two")
        self.etas, self.step_sizes = (fall, rise), (low, high)

    def hyper(self) -> dict[str, float]:
        (fall, rise), (low, high) = self.etas, self.step_sizes
        return {"eta_minus": fall, "eta_plus": rise, "step_min": low, "step_max": high}

    def slot_value(self, slot: str) -> float:
        return float(self.rate(0)) if slot == "step_size" else 0.0

    def _take_rate(self, lr: Rate) -> None:
        super()._take_rate(lr)
        for name in self._known():
            if self.steps_of(name) == 0:  # its first s is still to be used
                state = self.state[f"{name}.step_size"]
                state.value = np.full(state.shape, self.slot_value("step_size"))


class Lion(Optimizer):
    """The sign of a mean: w *= 1 - lr wd, w -= lr sign(b1 m + (1 - b1) g), m = b2 m + (1 - b2) g; the weight decay is decoupled.

    betas: b1, b2 in [0, 1), how much of m counts in a step, and stays. Every weight moves by lr: it takes a smaller one than Adam.
    All else as in `Optimizer`. Source: Chen et al. 2023. Errors: ValueError for betas out of their bounds.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.Lion(0.1))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.81, 0.64, 0.49]
    """

    rule = "lion"
    slots = ("exp_avg",)

    def __init__(
        self,
        lr: Rate = 1e-4,
        *,
        betas: Sequence[float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.betas = self._betas(betas)

    def hyper(self) -> dict[str, float]:
        return {"beta1": self.betas[0], "beta2": self.betas[1], "weight_decay": self.weight_decay}


class _Moments(Optimizer):
    """What Adam's family shares: two betas and eps."""

    slots: Sequence[str] = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        lr: Rate,
        *,
        betas: Sequence[float],
        eps: float,
        weight_decay: float,
        clip_norm: float | None,
        clip_value: float | None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.betas = self._betas(betas)
        self.eps = self._number("eps", eps, 0)

    def hyper(self) -> dict[str, float]:
        return {"beta1": self.betas[0], "beta2": self.betas[1], "eps": self.eps, "weight_decay": self.weight_decay}


class Adam(_Moments):
    """Momentum over running size: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 -
    b2^t) + eps).

    betas: b1, b2 in [0, 1), how much of m and of v stays. eps >= 0: bounds the step where v is small. amsgrad: v's largest value so
    far stands for v. eps_mode: "torch", or "keras" for w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps), as in Keras and
    scikit-learn. All else as in `Optimizer`. Source: Kingma and Ba 2014; Reddi et al. 2018.
    Errors: ValueError for a value out of its bounds, an unknown eps_mode.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.Adam(0.1))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.81, 0.64, 0.49]
    """

    _decoupled = False

    def __init__(
        self,
        lr: Rate = 1e-3,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        eps_mode: str = "torch",
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, betas=betas, eps=eps, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.amsgrad = checks.flag(self._where, "amsgrad", amsgrad)
        self.eps_mode = checks.choice(self._where, "eps_mode", eps_mode, ("torch", "keras"))
        self.rule = "adam_amsgrad" if self.amsgrad else "adam"
        self.slots = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if self.amsgrad else ("exp_avg", "exp_avg_sq")

    def hyper(self) -> dict[str, float]:
        return {**super().hyper(), "decoupled": float(self._decoupled), "eps_keras": float(self.eps_mode == "keras")}


class AdamW(Adam):
    """Adam with decoupled weight decay: w *= 1 - lr wd, then Adam's step on the gradient alone. Source: Loshchilov and Hutter 2017.

    weight_decay wd: 0.01 by default. All else, and the errors, as in `Adam`.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.AdamW(0.1, weight_decay=1.0))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.64, 0.39, 0.21]
    """

    _decoupled = True

    def __init__(
        self,
        lr: Rate = 1e-3,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        eps_mode: str = "torch",
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        keywords: dict[str, Any] = {"amsgrad": amsgrad, "eps_mode": eps_mode, "clip_norm": clip_norm, "clip_value": clip_value}
        super().__init__(lr, betas=betas, eps=eps, weight_decay=weight_decay, **keywords)


class Adamax(_Moments):
    """Adam by the largest gradient: m = b1 m + (1 - b1) g, u = max(b2 u, |g| + eps), w -= lr / (1 - b1^t) m / u.

    betas: b1, b2 in [0, 1), how much of m and of u stays. eps >= 0: keeps u from 0. All else as in `Optimizer`. Source: Kingma and
    Ba 2014. Errors: ValueError for a value out of its bounds.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.Adamax(0.1))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.81, 0.65, 0.51]
    """

    rule = "adamax"
    slots = ("exp_avg", "exp_inf")

    def __init__(
        self,
        lr: Rate = 2e-3,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, betas=betas, eps=eps, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)


class NAdam(_Moments):
    """Adam with Nesterov's momentum: mu_t = b1 (1 - 0.96^(t psi) / 2), P_t = mu_1 ... mu_t, m and v as in Adam,
    w -= lr ((1 - mu_t) / (1 - P_t) g + mu_(t+1) / (1 - P_t mu_(t+1)) m) / (sqrt(v / (1 - b2^t)) + eps).

    betas, eps: as in `Adam`; all else as in `Optimizer`. momentum_decay psi >= 0: how fast mu_t rises to b1. Source: Dozat 2016.
    Errors: ValueError for a value out of its bounds.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.NAdam(0.1))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.8, 0.67, 0.57]
    """

    rule = "nadam"

    def __init__(
        self,
        lr: Rate = 2e-3,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        momentum_decay: float = 4e-3,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, betas=betas, eps=eps, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.momentum_decay = self._number("momentum_decay", momentum_decay, 0)

    def hyper(self) -> dict[str, float]:
        return {**super().hyper(), "psi": self.momentum_decay}


class RAdam(_Moments):
    """Adam that waits for its variance: while r = rho_t <= 5 the step is lr m / (1 - b1^t), then it is Adam's, rectified by
    sqrt((r - 4)(r - 2) R / ((R - 4)(R - 2) r)), R = 2 / (1 - b2) - 1, rho_t = R - 2 t b2^t / (1 - b2^t).

    betas, eps: as in `Adam`; all else as in `Optimizer`. Source: Liu et al. 2019. Errors: ValueError for a value out of its bounds.

    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", lm.optim.RAdam(0.1))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(4)]
    [1.0, 0.64, 0.39, 0.21]
    """

    rule = "radam"

    def __init__(
        self,
        lr: Rate = 1e-3,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, betas=betas, eps=eps, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
