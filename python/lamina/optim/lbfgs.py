"""L-BFGS: quasi-Newton steps from the last differences of weights and gradients, with a strong-Wolfe line search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lamina import _core as core
from lamina.base import checks
from lamina.graph.flat import FlatNetwork
from lamina.optim.full_batch import Descent, FullBatch
from lamina.optim.wolfe import Point, search

Array = np.ndarray[Any, Any]
Value = Callable[[Array], tuple[float, Array]]


class LBFGS(FullBatch):
    """Quasi-Newton steps d = -H g on all data at once, H from the last `history` pairs (s, y) of differences of weights and
    gradients; the step's length satisfies the strong Wolfe conditions.

    For any loss. An epoch of `fit` is one step (mostly one evaluation of loss and gradient); the logged loss is that after it. It
    ends (see `stop_reason`) with "goal": loss <= goal, any number, where there is one; "gradient": max |dL/dw| <= tol_grad;
    "change": the largest weight's change and the loss's are <= tol_change; "line": no lower loss along -H g; "time": after
    max_seconds; "validation": once val_loss has not improved for max_fail epochs, with the best weights back (an EarlyStopping of
    yours on val_loss takes that one's place); 0, the default, is never, as it may rise for long and end far lower. It is None where
    the epochs ran out, and where another callback, Ctrl-C or an error ended the fit. `evaluations` counts.
    Scale targets and inputs to about one: the tolerances are absolute numbers.
    history: pairs, 2 numbers of each weight's a pair. max_evaluations: of loss and gradient in the search of one step, at most.

    Source: Liu and Nocedal 1989; Byrd, Nocedal and Schnabel 1994 (H as matrices); line search: Nocedal and Wright 2006, algorithms
    3.5 and 3.6. Defaults are PyTorch's, but the line search is always on. Errors: ValueError for a negative tolerance, for a
    goal that is not finite, and for a history or max_evaluations below 1.

    >>> import lamina as lm, numpy as np
    >>> X, y = lm.datasets.digits()
    >>> net = lm.Sequential(lm.Dense(10), seed=0)
    >>> history = net.fit(X, y, loss="cross_entropy", optimizer=lm.optim.LBFGS(), epochs=30, verbose=0)
    >>> bool(history.history["loss"][-1] < 0.1)
    True
    """

    kept_by_state = ("history",)

    def __init__(
        self,
        *,
        history: int = 100,
        tol_grad: float = 1e-7,
        tol_change: float = 1e-9,
        goal: float | None = None,
        max_seconds: float | None = None,
        max_evaluations: int = 25,
        max_fail: int = 0,
    ) -> None:
        self._limits(max_seconds, max_fail)
        self.goal = checks.optional_number(self._where, "goal", goal)
        self.history = checks.integer(self._where, "history", history)
        self.tol_grad = self._number("tol_grad", tol_grad, 0)
        self.tol_change = self._number("tol_change", tol_change, 0)
        self.max_evaluations = checks.integer(self._where, "max_evaluations", max_evaluations)
        self.evaluations = 0
        # Pairs newer than the state's, which is what a checkpoint holds; they work in memory of their own.
        self._newer: core.CurvaturePairs | None = None

    def check_state(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        expected = (2, self.history, self.history)
        if shapes.get("products") != expected:
            raise ValueError(f"[{self._where}] expected a state with products of shape {expected}, got {shapes.get('products')}")

    def bind(self, params: Any) -> None:
        super().bind(params)
        size = int(self.state["theta"].shape[0])
        if "pairs" not in self.state:
            self._vector("count", 0.0)
            self._vector("pairs", np.zeros((2, self.history, size), np.float32))
            self._vector("products", np.zeros((2, self.history, self.history)))
        elif self._newer is not None:
            for name, rows in zip(("pairs", "products"), self._newer.arrays(), strict=True):
                whole = np.zeros(tuple(self.state[name].shape), rows.dtype)
                whole[tuple(slice(0, n) for n in rows.shape)] = rows
                self.state[name].value = whole
            self.state["count"].value = float(len(self._newer))
        self._newer = None

    def begin(self, network: FlatNetwork, problem: Value) -> QuasiNewton:
        return QuasiNewton(self, network, problem)

    def pairs(self) -> core.CurvaturePairs:
        """Those of the state."""
        count = int(self.state["count"].value)
        pairs = core.CurvaturePairs(self.history, int(self.state["theta"].shape[0]))
        pairs.take(self.state["pairs"].value[:, :count], self.state["products"].value[:, :count, :count])
        return pairs

    def keep(self, pairs: core.CurvaturePairs) -> None:
        """Takes pairs that have changed."""
        self._newer = pairs

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_newer": None}


class QuasiNewton(Descent[LBFGS]):
    """The steps of `LBFGS` on one loss, value(weights) -> (loss, gradient)."""

    def __init__(self, optimizer: LBFGS, network: FlatNetwork, value: Value):
        super().__init__(optimizer, network)
        self.value = value
        self.at: tuple[Array, float, Array] | None = None  # weights, loss and gradient of the last step's end

    def advance(self) -> float:
        theta = self.network.load()
        if self.at is None or self.at[0] is not theta:
            self.at = self._start_at(theta)
        _, f, g = self.at
        if not math.isfinite(f):
            return math.nan
        reason = self._reason(f)
        if reason is None:
            return self._move(theta, f, g)
        self._take_over(theta)
        self.optimizer.stop_reason = reason
        return f

    def _reason(self, f: float) -> str | None:
        """Why there is no step from here, if there is none."""
        if self._reached(f):
            return "goal"
        if self.pairs.largest <= self.optimizer.tol_grad:
            return "gradient"
        return "time" if self._late() else None

    def _start_at(self, theta: Array) -> tuple[Array, float, Array]:
        """Where steps start from; the first one with the state's pairs, which may come from a file."""
        f, g = self._evaluate(theta)
        if self.at is None:
            self.pairs = self.optimizer.pairs()
        self.pairs.start_at(g)
        return theta, f if np.isfinite(g).all() else math.inf, g

    def _evaluate(self, theta: Array) -> tuple[float, Array]:
        self.optimizer.evaluations += 1
        return self.value(theta)

    def _move(self, theta: Array, f: float, g: Array) -> float:
        d = self.pairs.direction()
        slope = float(d @ g)
        first = 1.0 if len(self.pairs) else min(1.0, 1.0 / max(float(np.abs(g).sum()), 1e-300))
        found = self._search(d, Point(0.0, f, slope, g, theta), first) if slope < 0 else None
        if found is None and len(self.pairs):  # H is no longer positive definite after rounding: along -g
            self.pairs = core.CurvaturePairs(self.optimizer.history, len(g))
            self.optimizer.keep(self.pairs)
            self.pairs.start_at(g)
            return self._move(theta, f, g)
        if found is None:
            self._take_over(theta)
            self.optimizer.stop_reason = "line"
            return f
        step = found.t * d
        self._take_over(found.theta)
        self.pairs.add(step, found.g)
        self.optimizer.keep(self.pairs)
        self.at = (found.theta, found.f, found.g)
        tolerance = self.optimizer.tol_change
        if self._reached(found.f):
            self.optimizer.stop_reason = "goal"
        elif abs(f - found.f) <= tolerance and np.abs(step).max() <= tolerance:
            self.optimizer.stop_reason = "change"
        return found.f

    def _search(self, d: Array, start: Point, t: float) -> Point | None:
        """A point start + t d to go to."""

        def at(t: float) -> Point:
            theta = start.theta + t * d
            try:
                f, g = self._evaluate(theta)
            except np.linalg.LinAlgError:  # a matrix without an inverse, say: too far
                return Point(t, math.inf, math.inf, start.g, theta)
            slope = float(d @ g)  # finite only where g is
            finite = math.isfinite(f) and math.isfinite(slope)
            return Point(t, f, slope, g, theta) if finite else Point(t, math.inf, math.inf, g, theta)

        return search(at, start, t, self.optimizer.max_evaluations)
