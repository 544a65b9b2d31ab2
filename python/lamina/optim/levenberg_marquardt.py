"""Levenberg-Marquardt: Gauss-Newton steps with as much damping as it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.base import checks
from lamina.graph.flat import FlatNetwork
from lamina.optim.damped_steps import MOST_CURVED, MU, Damped, DampedSteps
from lamina.optim.least_squares import LeastSquares, Squares


class LevenbergMarquardt(Damped):
    """Steps d with (J^T J + mu D) d = -J^T e on all data at once; mu falls with how well the linear model predicted the last step.

    For the loss "mse", with sample weights or without: L = sum e_r^2, e_r = (prediction - target) / sqrt(number of residuals), and
    J = de/dtheta. An epoch of `fit` is one step; pass epochs=1000, for example. The logged loss is that after the step.
    Scale inputs and targets to about one: tanh is flat beyond, and mu where D = I is an absolute number. Large targets need
    `net.fit_readout(x, y)` before the first fit, which solves the last layer.
    mu: the first damping; assigned later, that of the next step. By default 0.1 where D is made of J^T J's diagonal, and MATLAB's
    1e-3 with "identity", 5e-3 with `bayesian`. The present one is `state["mu"].value` (with J^T J + S, "mu_curved"). A step that
    lowers L multiplies it by 1 - (2 r - 1)^3, but no less than mu_dec and no more than 0.7, where r is the change of L over the
    one that the linear model promised; one that does not, by mu_inc, and is tried again. (trainlm's mu_inc is 10, which leaves
    three times the loss of 2 on a robot arm's surrogate after 0.2 s, and is about even where noise is fitted.)
    scaling: "marquardt", D = m (h / m)^0.4, where h is J^T J's diagonal, the largest of late (h = max(0.97 h, diagonal)), and m its
    largest element; none is taken for less than 0.01 m. So weights' units matter less, and the way through curved valleys is
    shorter than with "identity", D = I, as in MATLAB's trainlm (trainbr with `bayesian`). "diagonal", D = h, as in SciPy's
    curve_fit, is for parameters of a formula, in units of any size, and takes fewer steps there. Weights of a network that hardly
    matter here go far away with it, for good: losses after 20 and 200 steps are 1.7 and 7.6 times as high (geometric mean of 14
    problems, most of them made).
    acceleration: where the errors are curved along a step, as those at its end say, half of d^2 theta / dt^2 is added to the step,
    -(J^T J + mu D)^-1 J^T (e(theta + d) - e - J d), at most half as long as d; the lower one of the two ends is taken. A
    step takes up to half as long again; sin(x)/x needs about a third as many, a robot arm's surrogate has an eighth of the loss
    after 0.2 s.
    curvature: where a step lowers L by less than 5 %, also tries one with J^T J + S in J^T J's place and a mu of its own, and takes
    the better one. S stands for sum e_r d^2 e_r / dtheta^2, which large errors make count, and follows from the gradient's change
    over the steps. The one that has been worth it leads, and the other one is tried less and less often. It leads to lower minima
    where noise is fitted, and costs some 10 % of the time elsewhere. Up to 512 weights; not with `bayesian`, nor if n < P.

    It ends (see `stop_reason`) with "goal": L <= goal; "gradient": |dL/dtheta| < min_grad min(1, |J| s), s the deviation of the
    targets, < min_grad where that is 0 (with "diagonal" for each weight); "mu": mu > mu_max, no step lowers L; "time": after
    max_seconds; and where validation data are given, "validation": once val_loss has not improved for max_fail epochs, with the
    best weights back (an EarlyStopping of yours on val_loss takes that one's place); 6 by default, 0, never, with `bayesian`. It is
    None where the epochs ran out, and where another callback, Ctrl-C or an error ended the fit.

    `bayesian`: minimizes beta sum e^2 + alpha sum w^2 and, after six plain steps, or where L is a tenth of the first one, estimates
    both factors (MacKay), which keeps small what the data do not determine; afterwards `effective_parameters` says how many weights
    they do. Uneven weights say which errors count more in L, not how many there are: each target whose weight is above 0 (and that
    mask_nan keeps) is one observation.

    Options can be assigned, but for `curvature` and `bayesian` once it has begun: they say what the state holds.

    Cost: at most n P^2 for n residuals and P weights, and P^3 / 3 for each damping tried; where n < P n takes P's place, and
    D = I whatever `scaling` says (n <= 4096, and not with `bayesian`). Memory: at most 6 P^2, or n^2 numbers; J is never whole.
    With P^2, P is at most 32,768.
    Source: Marquardt 1963; More 1978 (D); Nielsen 1999 (mu's factor, there from 1/3 to 2); Dennis, Gay and Welsch 1981, Betts 1976
    (S); Transtrum and Sethna 2012 (acceleration; there along a tenth of d, and refused where it is long); Hagan and Menhaj 1994;
    Foresee and Hagan 1997.
    Errors: ValueError for a loss other than mse, mu outside (0, mu_max], mu_dec outside (0, 1), mu_inc <= 1, an unknown scaling,
    too many weights; MemoryError where there is no room.

    >>> import lamina as lm, numpy as np
    >>> x = np.linspace(-3, 3, 200)[:, None]
    >>> net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
    >>> history = net.fit(x, np.sin(x), loss="mse", optimizer=lm.optim.LevenbergMarquardt(goal=1e-8), epochs=200, verbose=0)
    >>> net.optimizer.stop_reason, bool(history.history["loss"][-1] <= 1e-8)
    ('goal', True)
    >>> net.optimizer.mu, bool(net.optimizer.state["mu"].value < 0.1)
    (0.1, True)
    """

    needs_residuals = True
    kept_by_state = ("curvature", "bayesian")

    def __init__(
        self,
        mu: float | None = None,
        *,
        mu_dec: float = 0.1,
        mu_inc: float = 2.0,
        mu_max: float = 1e10,
        min_grad: float = 1e-7,
        goal: float = 0.0,
        max_seconds: float | None = None,
        max_fail: int | None = None,
        scaling: str = "marquardt",
        acceleration: bool = True,
        curvature: bool = True,
        bayesian: bool = False,
    ) -> None:
        self.bayesian = checks.flag(self._where, "bayesian", bayesian)
        self._limits(max_seconds, (0 if self.bayesian else 6) if max_fail is None else max_fail)
        self.goal = self._number("goal", goal, 0)
        self.acceleration = checks.flag(self._where, "acceleration", acceleration)
        self.curvature = checks.flag(self._where, "curvature", curvature)
        self.scaling = checks.choice(self._where, "scaling", scaling, ("marquardt", "identity", "diagonal"))
        first = 5e-3 if self.bayesian else 1e-3 if self.scaling == "identity" else 0.1
        self.mu_max = self._number("mu_max", mu_max, 0, open_low=True)
        self._mu = self._first_mu = self._damping(first if mu is None else mu)
        self.mu_dec = self._number("mu_dec", mu_dec, 0, 1, open_low=True, open_high=True)
        self.mu_inc = self._number("mu_inc", mu_inc, 1, open_low=True)
        self.min_grad = self._number("min_grad", min_grad, 0)

    @property
    def mu(self) -> float:
        """The first damping, or the one assigned last: it takes effect at the next step; the present one is `state["mu"].value`."""
        return self._mu

    @mu.setter
    def mu(self, mu: float) -> None:
        self._mu = self._damping(mu)
        for name in self.state.keys() & MU:
            self.state[name].value = self._mu

    def _damping(self, mu: float) -> float:
        return self._number("mu", mu, 0, self.mu_max, open_low=True)

    def _current_arguments(self) -> dict[str, Any]:
        arguments = super()._current_arguments()
        return {**arguments, "mu": self.mu} if "mu" in arguments and self.mu != self._first_mu else arguments

    def bind(self, params: Any) -> None:
        super().bind(params)
        size = int(self.state["theta"].shape[0])
        self._vector("mu", self.mu)
        if self.curvature and not self.bayesian and size <= MOST_CURVED:
            self._vector("mu_curved", self.mu)
            self._vector("curvature", np.zeros(size * (size + 1) // 2))  # the rows of S's upper triangle
            self._vector("before", np.zeros((2, size)))  # theta and g where it was taken up last
            self._vector("turns", [0.0, 0.0, 1.0])  # 1: the curved model leads; the other one's pause now, and its next one
        self._vector("scale", np.zeros_like(self.state["theta"].value))  # D's diagonal; 0: no step yet
        # Bayesian: alpha, beta, effective weights, and the first loss; while alpha is 0, in their place the number of plain steps
        self._vector("factors", [0.0, 1.0, 0.0, 0.0])

    @property
    def effective_parameters(self) -> float | None:
        """How many weights the data determine, where the last step began; None without `bayesian`, and before the factors are."""
        alpha, _, effective, _ = self.state["factors"].value if "factors" in self.state else (0.0, 1.0, 0.0, 0.0)
        return float(effective) if alpha else None

    def begin(self, network: FlatNetwork, problem: Squares) -> DampedSteps:
        return DampedSteps(self, network, LeastSquares(network, problem, may_be_dual=not self.bayesian))
