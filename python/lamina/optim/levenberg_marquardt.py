"""Levenberg-Marquardt: Gauss-Newton steps with as much damping as it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import checks
from lamina.flat import FlatNetwork
from lamina.optim.full_batch import FullBatch
from lamina.optim.least_squares import LeastSquares

Array = np.ndarray[Any, Any]

FADE = 0.9  # of D from step to step: More's maximum over all steps (1.0) stays stuck, for good, at what one bad step has seen


class LevenbergMarquardt(FullBatch):
    """Steps d with (J^T J + mu D) d = -J^T e on all data at once; mu falls after a step that helps and rises until one does.

    For the loss "mse", with sample weights or without: L = sum e_r^2, e_r = (prediction - target) / sqrt(number of residuals), and
    J = de/dtheta. An epoch of `fit` is one step; pass epochs=1000, for example. The logged loss is that after the step.
    mu: the first damping (1e-3; 5e-3 with bayesian). mu_dec, mu_inc: its factors after a step that lowers L, and after one that
    does not (2). scaling: "marquardt", D is J^T J's diagonal, the largest of late (D = max(0.9 D, diagonal)), so that no weight's
    unit matters and the way through curved valleys is several times shorter;
    or "identity", D = I and mu_inc 10: MATLAB's trainlm (trainbr with `bayesian`), the quicker one where noise is fitted.

    It ends (see `stop_reason`) with "goal": L <= goal; "gradient": |dL/dtheta| < min_grad; "mu": mu > mu_max; "time": after
    max_seconds; and where validation data are given, "validation": once val_loss has not improved for max_fail epochs, with the
    best weights back.

    `bayesian`: minimizes beta sum e^2 + alpha sum w^2 and estimates both factors (MacKay), which keeps small what the data do not
    determine; afterwards `effective_parameters` says how many weights they do.

    Cost: n P^2 for n residuals and P weights, and P^3 / 3 for each damping tried; where n < P n takes P's place in it, and D = I.
    Memory: P^2, or n^2 numbers; J is never whole. Source: Marquardt 1963; More 1978 (D); Transtrum and Sethna 2012 (a small
    mu_inc); Hagan and Menhaj 1994; Foresee and Hagan 1997. Errors: ValueError for a loss other than mse.

    >>> import lamina as lm, numpy as np
    >>> x = np.linspace(-3, 3, 200)[:, None]
    >>> net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
    >>> history = net.fit(x, np.sin(x), loss="mse", optimizer=lm.optim.LevenbergMarquardt(goal=1e-8), epochs=200, verbose=0)
    >>> net.optimizer.stop_reason, bool(history.history["loss"][-1] <= 1e-8)
    ('goal', True)
    """

    needs_residuals = True

    def __init__(
        self,
        mu: float | None = None,
        *,
        mu_dec: float = 0.1,
        mu_inc: float | None = None,
        mu_max: float = 1e10,
        min_grad: float = 1e-7,
        goal: float = 0.0,
        max_seconds: float | None = None,
        max_fail: int = 6,
        scaling: str = "marquardt",
        bayesian: bool = False,
    ) -> None:
        self._limits(goal, max_seconds)
        self.bayesian = checks.flag(self._where, "bayesian", bayesian)
        self.mu = self._number("mu", (5e-3 if self.bayesian else 1e-3) if mu is None else mu, 0, open_low=True)
        self.mu_dec = self._number("mu_dec", mu_dec, 0, 1, open_low=True, open_high=True)
        self.scaling = checks.choice(self._where, "scaling", scaling, ("marquardt", "identity"))
        self.mu_inc = self._number(
            "mu_inc", (10.0 if scaling == "identity" else 2.0) if mu_inc is None else mu_inc, 1, open_low=True
        )
        self.mu_max = self._number("mu_max", mu_max, 0, open_low=True)
        self.min_grad = self._number("min_grad", min_grad, 0)
        self.max_fail = checks.integer(self._where, "max_fail", max_fail)
        self.effective_parameters: float | None = None

    def bind(self, params: Any) -> None:
        super().bind(params)
        self._vector("mu", self.mu)
        self._vector("scale", np.zeros_like(self.state["theta"].value))  # D's diagonal; 0: no step yet
        self._vector("factors", [0.0, 1.0])  # alpha, beta of the Bayesian objective; alpha 0: not estimated yet

    def start(self, network: FlatNetwork, problem: LeastSquares) -> None:
        super().start(network, problem)
        self._system: Any = None

    def advance(self) -> float:
        theta = self._network.load()
        if self._system is None:
            self._system = self._problem.linearize(theta)
        if not np.isfinite(self._system.value):
            return float("nan")
        self._loss = self._system.value
        self._step(theta)
        return float(self._loss)

    def _step(self, theta: Array) -> None:
        """Tries dampings until the objective falls; says why it stops, if it does."""
        system = self._system
        alpha, beta, objective = self._objective(theta)
        gradient = 2 * (beta * system.g + alpha * theta)
        if self._loss <= self.goal:
            self.stop_reason = "goal"
        elif np.linalg.norm(gradient) < self.min_grad * beta:
            self.stop_reason = "gradient"
        elif self._late():
            self.stop_reason = "time"
        if self.stop_reason is not None:
            self._take_over(theta)
            return
        mu = float(self.state["mu"].value)
        d = self._scale(beta)
        while mu <= self.mu_max:
            step = self._try(theta, mu * d + alpha, alpha, beta)
            if step is not None:
                moved = theta + step
                penalty = alpha * float(moved @ moved)
                loss = self._problem.value(moved, (objective - penalty) / beta)
                if beta * loss + penalty < objective:
                    self._take(moved, loss, mu)
                    return
            mu *= self.mu_inc
        self._take_over(theta, mu=min(mu, self.mu_max))
        self.stop_reason = "mu"

    def _try(self, theta: Array, shift: Array | float, alpha: float, beta: float) -> Array | None:
        try:
            d = self._system.step(shift, beta, alpha * theta)
        except np.linalg.LinAlgError:  # not positive definite in float64: more damping
            return None
        return d if np.isfinite(d).all() else None

    def _take(self, theta: Array, loss: float, mu: float) -> None:
        self._system = None  # first: an interruption after the step must not leave the old one
        self._take_over(theta, mu=max(mu * self.mu_dec, 1e-20))  # MATLAB lets it underflow
        self._loss = loss
        if loss <= self.goal:
            self.stop_reason = "goal"

    def _scale(self, beta: float) -> Array | float:
        """D's diagonal."""
        if self.scaling == "identity" or self._problem.dual:
            return 1.0
        largest = np.maximum(FADE * self.state["scale"].value, beta * self._system.diagonal)
        self.state["scale"].value = largest
        floor = 1e-12 * max(float(largest.max()), 1e-300)  # a column of zeros: a weight without effect
        return np.maximum(largest, floor)  # type: ignore[no-any-return]

    # ---- Bayesian regularization ----

    def _objective(self, theta: Array) -> tuple[float, float, float]:
        """alpha, beta, and beta L + alpha |theta|^2; (0, 1, L) where nothing is regularized.

        MacKay's estimates for L = sum e^2 / n: g = effective weights, alpha = g / (2 |theta|^2), beta = (n - g) / (2 L), and both
        divided by n / 2, which changes no minimum and keeps mu's scale.
        """
        if not self.bayesian:
            return 0.0, 1.0, self._loss
        n, size = self._problem.residuals, len(theta)
        alpha, beta = self.state["factors"].value
        effective = size if alpha == 0 else self._system.effective(beta, alpha)
        self.effective_parameters = float(effective)
        alpha = effective / max(float(theta @ theta), 1e-300) / n
        beta = max(n - effective, 1.0) / max(self._loss, 1e-300) / n
        self.state["factors"].value = np.array([alpha, beta])
        return alpha, beta, beta * self._loss + alpha * float(theta @ theta)
