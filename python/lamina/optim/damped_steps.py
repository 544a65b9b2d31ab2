"""The steps of Levenberg-Marquardt: which model they follow, how much damping they take, and the Bayesian factors."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina.graph.flat import FlatNetwork
from lamina.optim.full_batch import Descent, FullBatch
from lamina.optim.least_squares import LeastSquares, Primal, System

Array = np.ndarray[Any, Any]
State = dict[str, Any]  # of the optimizer, by name, as it will be after the step

KEPT = 0.7  # of mu at most after a step that lowers L: a try costs little, and a mu that stays high costs steps
SLOW = 0.05  # of the loss: a step that takes off less is held against one that knows how the errors curve
FLAT = 1e-8  # cosine of a step and the change of the gradient from which on that change says something
MOST_CURVED = 512  # weights up to which that curvature is kept: 2 MB
WORTH = 1.3  # times what the leading model's step gains: so much makes the other one lead; with less it pauses
LONGEST = 16  # steps: pauses are of 1, 2, 4, .. of them
MU = ("mu", "mu_curved")
PLAIN = 6  # steps before the Bayesian factors are estimated (Foresee and Hagan: one; after which some nets still go to nothing)
LEARNED = 0.1  # of the first loss: there they are estimated at once, as many weights may soon fit the noise, and leave none to see
FADE = 0.97  # of h from step to step: More's maximum over all steps (1.0) stays stuck, for good, at what one bad step has seen
AHEAD = 0.5  # of a step's length, as D measures it: half of the acceleration is at most so long, as it holds near the weights alone
POWER = 0.4  # of h in D: with more, small nets end in worse minima, with less, steps gain less at first (docs/why_fast.md)
LEAST = 0.01  # of h's largest element: a weight that hardly matters here is not free to go anywhere


class Damped(FullBatch):
    """An optimizer of such steps: what they read of it."""

    mu: float
    mu_dec: float
    mu_inc: float
    mu_max: float
    min_grad: float
    scaling: str
    acceleration: bool
    bayesian: bool


class Here(NamedTuple):
    """Where a step begins: weights and loss; factors and value of alpha |theta|^2 + beta L; its model, and D's diagonal."""

    theta: Array
    loss: float
    alpha: float
    beta: float
    objective: float
    model: System
    d: Array | float


class Place(NamedTuple):
    """Where a step may end: weights, loss, and the objective there."""

    theta: Array
    loss: float
    objective: float


class DampedSteps(Descent[Damped]):
    """The steps of `LevenbergMarquardt` on one sum of squares."""

    def __init__(self, optimizer: Damped, network: FlatNetwork, problem: LeastSquares):
        super().__init__(optimizer, network)
        self.problem = problem
        self._curved = "curvature" in optimizer.state and not problem.dual
        self._system: System | None = None  # at the network's weights

    def advance(self) -> float:
        theta = self.network.load()
        if self._system is None:
            self._system = self.problem.linearize(theta)
        if not (np.isfinite(self._system.value) and np.isfinite(self._system.g).all()):
            return math.nan
        state: State = {}  # written at the end, all at once
        loss, (alpha, beta, model) = self._system.value, self._objective(self._system, theta, state)
        reason = self._reason(loss, model.g / beta)
        if reason is not None:
            return self._end(theta, loss, reason, state)
        objective = beta * loss + alpha * float(theta @ theta) if alpha else beta * loss
        here = Here(theta, loss, alpha, beta, objective, model, self._scale(model, state))
        best = self._better_of_two(here, state) if self._curved else self._descend(model, "mu", here, state)
        if best is None:
            return self._end(theta, loss, "mu", state)
        self._system = None  # first: an interruption after the step must not leave the old one
        self._take_over(best.theta, **state)
        if self._reached(best.loss):
            self.optimizer.stop_reason = "goal"
        return best.loss

    def _reason(self, loss: float, g: Array) -> str | None:
        """Why there is no step from here, if there is none."""
        if self._reached(loss):
            return "goal"
        if self._is_flat(g):
            return "gradient"
        return "time" if self._late() else None

    def _is_flat(self, g: Array) -> bool:
        """min_grad is a share of |J| s, by which |g| is bounded at the mean, where that is below 1: small units are no minimum."""
        each = self.optimizer.scaling == "diagonal"
        slopes = 2 * np.abs(g) if each else np.array(2 * math.sqrt(g @ g))
        if not (slopes < self.optimizer.min_grad).all():
            return False
        assert self._system is not None
        diagonal = self._system.diagonal if each else None
        size = (self._system.length if diagonal is None else np.sqrt(diagonal)) * self.problem.spread
        return bool((slopes < self.optimizer.min_grad * np.where(size > 0, np.minimum(size, 1.0), 1.0)).all())

    def _end(self, theta: Array, loss: float, reason: str, state: State) -> float:
        self._take_over(theta, **state)
        self.optimizer.stop_reason = reason
        return loss

    def _better_of_two(self, here: Here, state: State) -> Place | None:
        """The step of the model that leads: J^T J, or J^T J + S; where it is a small one, that of the other, if that is lower.

        The other one leads once it is worth it; as long as it is not, its pauses double. Long steps are those of J^T J.
        """
        leads, left, pause = (int(n) for n in self.optimizer.state["turns"].value.tolist())
        state["turns"] = np.array([leads, max(left - 1, 0), pause])
        first = self._descend(self._model(leads, here, state), MU[leads], here, state)
        if first is not None and first.loss <= (1 - SLOW) * here.loss:
            state["turns"] = np.array([0, 0, 1])
            return first
        if first is not None and left > 0:
            return first
        other = self._descend(self._model(1 - leads, here, state), MU[1 - leads], here, state)
        gains = [0.0 if step is None else here.loss - step.loss for step in (first, other)]
        state["turns"] = np.array([1 - leads, 0, 1] if gains[1] > WORTH * gains[0] else [leads, pause, min(2 * pause, LONGEST)])
        return other if gains[1] > gains[0] else first

    def _model(self, curved: int, here: Here, state: State) -> System:
        if not curved:
            return here.model
        assert isinstance(here.model, Primal)
        state |= {"before": np.array([here.theta, here.model.g]), "curvature": self._curvature(here.theta, here.model)}
        return here.model.plus(state["curvature"])

    def _descend(self, model: System, name: str, here: Here, state: State) -> Place | None:
        """Tries dampings until the objective falls; leaves in `state` the one to begin with at the next step."""
        options = self.optimizer
        mu = float(options.state[name].value)
        while mu <= options.mu_max:
            step = model.step(mu * here.d)
            if step is not None:
                straight = model is not here.model or not options.acceleration
                end = self._try(here.theta + step, here, here.objective) if straight else self._accelerated(mu, step, here)
                drop = here.objective - end.objective
                if drop > 0:
                    factor = max(options.mu_dec, factor_of_mu(drop, step, mu, here.d, model))
                    state[name] = max(mu * factor, 1e-20)  # MATLAB lets it underflow
                    return end
            mu *= options.mu_inc
        state[name] = options.mu
        return None

    def _accelerated(self, mu: float, step: Array, here: Here) -> Place:
        """The end of the step, or, where that is lower, of the step and half of its acceleration."""
        theta = here.theta + step
        loss, errors = self.problem.errors(theta)
        straight = Place(theta, loss, here.beta * loss + _penalty(theta, here))
        if not np.isfinite(loss):
            return straight
        half = here.model.half_acceleration(mu * here.d, step, theta, errors)
        length = math.sqrt(float(half @ (here.d * half)) / max(float(step @ (here.d * step)), 1e-300))
        if not math.isfinite(length):
            return straight
        bent = self._try(theta + half * min(1.0, AHEAD / max(length, 1e-300)), here, min(straight.objective, here.objective))
        return bent if bent.objective < straight.objective else straight

    def _try(self, theta: Array, here: Here, limit: float) -> Place:
        """What theta is worth; no less than `limit` may read as infinity."""
        penalty = _penalty(theta, here)
        loss = self.problem.value(theta, (limit - penalty) / here.beta)
        return Place(theta, loss, here.beta * loss + penalty)

    def _curvature(self, theta: Array, model: Primal) -> Array:
        """S = sum e_r d^2 e_r / dtheta^2 as far as it shows: (J^T J + S) s is the change of g over s, the way since it was taken up
        last.
        """
        curvature: Array = self.optimizer.state["curvature"].value
        before, g = self.optimizer.state["before"].value
        s, y = theta - before, model.g - g
        if g.any() and s @ y > FLAT * math.sqrt((s @ s) * (y @ y)):
            core.secant(curvature, model.h, s, y)
        return curvature

    def _scale(self, model: System, state: State) -> Array | float:
        """D's diagonal: between h, which leaves weights that matter little here too free, and I."""
        diagonal = model.diagonal
        if self.optimizer.scaling == "identity" or diagonal is None:
            return 1.0
        largest = state["scale"] = np.maximum(FADE * self.optimizer.state["scale"].value, diagonal)
        most = max(float(largest.max()), 1e-300)
        if self.optimizer.scaling == "diagonal":
            return np.where(largest > 0, largest, most)  # a weight without effect has no step, and J^T J + mu D an inverse
        return most * np.maximum(largest / most, LEAST) ** POWER

    # ---- Bayesian regularization ----

    def _objective(self, system: System, theta: Array, state: State) -> tuple[float, float, System]:
        """alpha and beta of the objective beta L + alpha |theta|^2, and its model; 0 and 1 where nothing is regularized.

        After some plain steps MacKay's estimates for L = sum e^2 / n: g = effective weights, alpha = g / (2 |theta|^2),
        beta = (n - g) / (2 L), and both divided by n / 2, which changes no minimum and keeps mu's scale. The first g is the number
        of weights, or half of n. n counts residuals of a weight above 0, each as one.
        """
        if not self.optimizer.bayesian:
            return 0.0, 1.0, system
        assert isinstance(system, Primal)
        n, (alpha, beta, effective, first) = max(self.problem.counted, 1), self.optimizer.state["factors"].value
        if alpha == 0:  # of weights that have learned nothing, alpha would hold all at 0
            first = first if effective else system.value
            learning = system.value > LEARNED * first and not self._is_flat(system.g)
            if effective < PLAIN and learning:
                state["factors"] = np.array([0.0, 1.0, effective + 1, first])
                return 0.0, 1.0, system
        effective = min(float(len(theta)), n / 2) if alpha == 0 else system.effective(beta, alpha)
        alpha = effective / max(float(theta @ theta), 1e-300) / n
        beta = max(n - effective, 1.0) / max(system.value, 1e-300) / n
        state["factors"] = np.array([alpha, beta, effective, first])
        return alpha, beta, system.penalized(alpha, beta, theta)


def _penalty(theta: Array, here: Here) -> float:
    return here.alpha * float(theta @ theta) if here.alpha else 0.0


def factor_of_mu(drop: float, step: Array, mu: float, d: Array | float, model: System) -> float:
    """After a step that took `drop` off the objective: its model, solved with mu D, promised mu step.D step - step.g."""
    promised = mu * float(step @ (d * step)) - float(step @ model.g)
    ratio = min(drop / promised, 1.0) if promised > 0 else 0.0
    return min(KEPT, 1 - (2 * ratio - 1) ** 3)
