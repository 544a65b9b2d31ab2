"""Levenberg-Marquardt: Gauss-Newton steps with as much damping as it takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lamina import checks
from lamina.flat import FlatNetwork
from lamina.optim.full_batch import FullBatch
from lamina.optim.least_squares import Dual, LeastSquares, Primal

Array = np.ndarray[Any, Any]

KEPT = 0.7  # of mu at most after a step that lowers L: a try costs little, and a mu that stays high costs steps
SLOW = 0.05  # of the loss: a step that takes off less is held against one that knows how the errors curve
FLAT = 1e-8  # cosine of a step and the change of the gradient from which on that change says something
MOST_CURVED = 512  # weights up to which that curvature is kept: 2 MB
WORTH = 1.3  # times what the leading model's step gains: so much makes the other one lead; with less it pauses
LONGEST = 16  # steps: pauses are of 1, 2, 4, .. of them
MU = ("mu", "mu_curved")
FADE = 0.97  # of D from step to step: More's maximum over all steps (1.0) stays stuck, for good, at what one bad step has seen
LEAST = 0.01  # of D's largest element: a weight that hardly matters here is not free to go anywhere


class Here(NamedTuple):
    """Where a step begins: weights, factors and value of alpha |theta|^2 + beta L, and D's diagonal."""

    theta: Array
    alpha: float
    beta: float
    objective: float
    d: Array | float


class Lower(NamedTuple):
    """Where a step ends."""

    theta: Array
    loss: float


class LevenbergMarquardt(FullBatch):
    """Steps d with (J^T J + mu D) d = -J^T e on all data at once; mu falls as far as the last step's prediction was right.

    For the loss "mse", with sample weights or without: L = sum e_r^2, e_r = (prediction - target) / sqrt(number of residuals), and
    J = de/dtheta. An epoch of `fit` is one step; pass epochs=1000, for example. The logged loss is that after the step.
    mu: the first damping: MATLAB's 1e-3 (5e-3 with bayesian), and 0.3 with "marquardt", which counts it in J^T J's diagonal. A step
    that lowers L multiplies it by 1 - (2 r - 1)^3, but no less than mu_dec and no more than 0.7, where r is the change of L over
    the one that the linear model promised; one that does not, by mu_inc, and is tried again. (trainlm's mu_inc is 10; with D = I
    that leaves 12 times the loss of 2 on a robot arm's surrogate after 0.2 s, and is even where noise is fitted.)
    scaling: "marquardt", D is J^T J's diagonal, the largest of late (D = max(0.97 D, diagonal)), so that weights' units hardly
    matter and the way through curved valleys is several times shorter; no element is below 0.01 of the largest, as what hardly
    matters here would else go far away, for good (robot arm and noise: steps as good as with D = I instead of worse);
    or "identity", D = I, as in MATLAB's trainlm (trainbr with `bayesian`).
    curvature: where a step lowers L by less than 5 %, also tries one with J^T J + S in J^T J's place and a mu of its own, and takes
    the better one. S stands for sum e_r d^2 e_r / dtheta^2, which large errors make count, and follows from the gradient's change
    over the steps. The one that has been worth it leads, and the other one is tried less and less often. It leads to lower minima
    where noise is fitted, and costs some 10 % of the time elsewhere. Up to 512 weights; not with `bayesian`, nor if n < P.

    It ends (see `stop_reason`) with "goal": L <= goal; "gradient": |dL/dtheta| < min_grad; "mu": mu > mu_max; "time": after
    max_seconds; and where validation data are given, "validation": once val_loss has not improved for max_fail epochs, with the
    best weights back.

    `bayesian`: minimizes beta sum e^2 + alpha sum w^2 and estimates both factors (MacKay), which keeps small what the data do not
    determine; afterwards `effective_parameters` says how many weights they do.

    Cost: at most n P^2 for n residuals and P weights, and P^3 / 3 for each damping tried; where n < P n takes P's place, and D = I.
    Memory: P^2, or n^2 numbers; J is never whole. Source: Marquardt 1963; More 1978 (D); Nielsen 1999 (mu's factor, there from
    1/3 to 2); Dennis, Gay and Welsch 1981, Betts 1976 (S); Hagan and Menhaj 1994; Foresee and Hagan 1997.
    Errors: ValueError for a loss other than mse, mu <= 0, mu_dec outside (0, 1), mu_inc <= 1, an unknown scaling.

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
        mu_inc: float = 2.0,
        mu_max: float = 1e10,
        min_grad: float = 1e-7,
        goal: float = 0.0,
        max_seconds: float | None = None,
        max_fail: int = 6,
        scaling: str = "marquardt",
        curvature: bool = True,
        bayesian: bool = False,
    ) -> None:
        self._limits(goal, max_seconds)
        self.bayesian = checks.flag(self._where, "bayesian", bayesian)
        self.curvature = checks.flag(self._where, "curvature", curvature)
        self.scaling = checks.choice(self._where, "scaling", scaling, ("marquardt", "identity"))
        first = 5e-3 if self.bayesian else 0.3 if self.scaling == "marquardt" else 1e-3
        self.mu = self._number("mu", first if mu is None else mu, 0, open_low=True)
        self.mu_dec = self._number("mu_dec", mu_dec, 0, 1, open_low=True, open_high=True)
        self.mu_inc = self._number("mu_inc", mu_inc, 1, open_low=True)
        self.mu_max = self._number("mu_max", mu_max, 0, open_low=True)
        self.min_grad = self._number("min_grad", min_grad, 0)
        self.max_fail = checks.integer(self._where, "max_fail", max_fail)
        self.effective_parameters: float | None = None

    def bind(self, params: Any) -> None:
        super().bind(params)
        size = int(self.state["theta"].shape[0])
        self._curved = self.curvature and not self.bayesian and size <= MOST_CURVED
        self._vector("mu", self.mu)
        if self._curved:
            self._vector("mu_curved", self.mu)
            self._vector("curvature", np.zeros((size, size)))
            self._vector("before", np.zeros((2, size)))  # theta and g where it was taken up last
            self._vector("turns", [0.0, 0.0, 1.0])  # 1: the curved model leads; the other one's pause now, and its next one
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
        """Goes to where the objective is lower; says why it stops, if it does."""
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
        here, state = Here(theta, alpha, beta, objective, self._scale(beta)), dict[str, Any]()
        if self._curved and not self._problem.dual:
            best = self._better_of_two(here, state)
        else:
            best = self._descend(system, "mu", here, state)
        if best is None:
            self._take_over(theta, **state)
            self.stop_reason = "mu"
            return
        self._system = None  # first: an interruption after the step must not leave the old one
        self._take_over(best.theta, **state)
        self._loss = best.loss
        if best.loss <= self.goal:
            self.stop_reason = "goal"

    def _better_of_two(self, here: Here, state: dict[str, Any]) -> Lower | None:
        """The step of the model that leads: J^T J, or J^T J + S; where it is a small one, that of the other, if that is lower.

        The other one leads once it is worth it; as long as it is not, its pauses double. Long steps are those of J^T J.
        """
        leads, left, pause = (int(n) for n in self.state["turns"].value)
        state["turns"] = np.array([leads, max(left - 1, 0), pause])
        first = self._descend(self._model(leads, here, state), MU[leads], here, state)
        if first is not None and first.loss <= (1 - SLOW) * self._loss:
            state["turns"] = np.array([0, 0, 1])
            return first
        if first is not None and left > 0:
            return first
        other = self._descend(self._model(1 - leads, here, state), MU[1 - leads], here, state)
        gains = [0.0 if step is None else self._loss - step.loss for step in (first, other)]
        state["turns"] = np.array([1 - leads, 0, 1] if gains[1] > WORTH * gains[0] else [leads, pause, min(2 * pause, LONGEST)])
        return other if gains[1] > gains[0] else first

    def _model(self, curved: int, here: Here, state: dict[str, Any]) -> Primal:
        if not curved:
            return self._system  # type: ignore[no-any-return]
        state |= {"before": np.stack([here.theta, self._system.g]), "curvature": self._curvature(here.theta)}
        return self._system.plus(state["curvature"])  # type: ignore[no-any-return]

    def _descend(self, model: Primal | Dual, name: str, here: Here, state: dict[str, Any]) -> Lower | None:
        """Tries dampings until the objective falls; leaves in `state` the one to begin with at the next step."""
        mu = float(self.state[name].value)
        while mu <= self.mu_max:
            step = self._try(model, mu, here)
            if step is not None:
                theta = here.theta + step
                penalty = here.alpha * float(theta @ theta) if here.alpha else 0.0
                loss = self._problem.value(theta, (here.objective - penalty) / here.beta)
                drop = here.objective - (here.beta * loss + penalty)
                if drop > 0:
                    state[name] = max(mu * self._factor(drop, step, mu, here, model), 1e-20)  # MATLAB lets it underflow
                    return Lower(theta, loss)
            mu *= self.mu_inc
        state[name] = self.mu
        return None

    def _factor(self, drop: float, d: Array, mu: float, here: Here, model: Primal | Dual) -> float:
        """Of mu after a step d that took `drop` off the objective: its model, solved with mu D, promised q.d less mu d.D d,
        where q is half of the gradient.
        """
        promised = mu * float(d @ (here.d * d)) - float(d @ (here.beta * model.g + here.alpha * here.theta))
        ratio = min(drop / promised, 1.0) if promised > 0 else 0.0
        return max(self.mu_dec, min(KEPT, 1 - (2 * ratio - 1) ** 3))

    @staticmethod
    def _try(model: Primal | Dual, mu: float, here: Here) -> Array | None:
        try:
            d = model.step(mu * here.d + here.alpha, here.beta, here.alpha * here.theta)
        except np.linalg.LinAlgError:  # not positive definite in float64: more damping
            return None
        return d if np.isfinite(d).all() else None

    def _curvature(self, theta: Array) -> Array:
        """S = sum e_r d^2 e_r / dtheta^2 as far as it shows: (J^T J + S) s is the change of g over s, the way since it was taken up
        last.
        """
        last: Array = self.state["curvature"].value
        before, g = self.state["before"].value
        s, y = theta - before, self._system.g - g
        along, known = float(s @ y), last @ s
        if not g.any() or along <= FLAT * float(np.linalg.norm(s) * np.linalg.norm(y)):
            return last
        missing = y - self._system.h @ s
        kept = min(1.0, abs(float(s @ missing)) / max(abs(float(s @ known)), 1e-300))
        missing -= kept * known
        other = missing / along - (float(s @ missing) / (2 * along * along)) * y
        last *= kept
        last += np.stack([other, y], axis=1) @ np.stack([y, other])
        return last

    def _scale(self, beta: float) -> Array | float:
        """D's diagonal."""
        if self.scaling == "identity" or self._problem.dual:
            return 1.0
        largest = np.maximum(FADE * self.state["scale"].value, beta * self._system.diagonal)
        self.state["scale"].value = largest
        return np.maximum(largest, LEAST * max(float(largest.max()), 1e-300))  # type: ignore[no-any-return]

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
