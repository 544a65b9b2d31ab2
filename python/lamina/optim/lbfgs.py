"""L-BFGS: quasi-Newton steps from the last differences of weights and gradients, with a strong-Wolfe line search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lamina import checks
from lamina.flat import FlatNetwork
from lamina.optim.full_batch import FullBatch
from lamina.optim.pairs import Pairs

Array = np.ndarray[Any, Any]
Value = Callable[[Array], tuple[float, Array]]

SUFFICIENT, CURVATURE = 1e-4, 0.9  # c1, c2 of the Wolfe conditions (Nocedal and Wright 2006, chapter 3)


class Point(NamedTuple):
    """A place on the search line: step length, loss, slope along the line, gradient, weights."""

    t: float
    f: float
    slope: float
    g: Array
    theta: Array


class LBFGS(FullBatch):
    """Quasi-Newton steps d = -H g on all data at once, H from the last `history` pairs (s, y) of differences of weights and
    gradients; the step's length satisfies the strong Wolfe conditions.

    For any loss. An epoch of `fit` is one step (mostly one evaluation of loss and gradient); the logged loss is that after it. It
    ends (see `stop_reason`) with "goal": loss <= goal; "gradient": max |dL/dw| <= tol_grad; "change": the largest weight's change
    and the loss's are <= tol_change; "line": no lower loss along -H g; "time": after max_seconds. `evaluations` counts.
    history: pairs, 2 numbers of each weight's a pair. max_evaluations: of loss and gradient in the search of one step, at most.

    Source: Liu and Nocedal 1989; Byrd, Nocedal and Schnabel 1994 (H as matrices); line search: Nocedal and Wright 2006, algorithms
    3.5 and 3.6. Defaults are PyTorch's, but the line search is always on. Errors: ValueError for a negative tolerance or goal, and
    for a history or max_evaluations below 1.

    >>> import lamina as lm, numpy as np
    >>> X, y = lm.datasets.digits()
    >>> net = lm.Sequential(lm.Dense(10), seed=0)
    >>> history = net.fit(X, y, loss="cross_entropy", optimizer=lm.optim.LBFGS(), epochs=30, verbose=0)
    >>> bool(history.history["loss"][-1] < 0.1)
    True
    """

    def __init__(
        self,
        *,
        history: int = 100,
        tol_grad: float = 1e-7,
        tol_change: float = 1e-9,
        goal: float = 0.0,
        max_seconds: float | None = None,
        max_evaluations: int = 25,
    ) -> None:
        self._limits(goal, max_seconds)
        self.history = checks.integer(self._where, "history", history)
        self.tol_grad = self._number("tol_grad", tol_grad, 0)
        self.tol_change = self._number("tol_change", tol_change, 0)
        self.max_evaluations = checks.integer(self._where, "max_evaluations", max_evaluations)
        self.evaluations = 0
        self._changed = False  # whether the pairs are others than the state's

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
        elif self._changed:  # the state is what a checkpoint holds; the pairs themselves work in memory
            for name, rows in zip(("pairs", "products"), self._pairs.arrays(), strict=True):
                whole = np.zeros(tuple(self.state[name].shape), rows.dtype)
                whole[tuple(slice(0, n) for n in rows.shape)] = rows
                self.state[name].value = whole
            self.state["count"].value = float(len(self._pairs))
            self._changed = False

    def start(self, network: FlatNetwork, problem: Value) -> None:
        super().start(network, problem)
        self._at: tuple[Array, float, Array] | None = None

    def advance(self) -> float:
        theta = self._network.load()
        if self._at is None or self._at[0] is not theta:
            self._at = self._look(theta)
        _, f, g = self._at
        if not math.isfinite(f):
            return math.nan
        if f <= self.goal:
            self.stop_reason = "goal"
        elif self._pairs.largest <= self.tol_grad:
            self.stop_reason = "gradient"
        elif self._late():
            self.stop_reason = "time"
        if self.stop_reason is not None:
            self._take_over(theta)
            return f
        return self._move(theta, f, g)

    def _look(self, theta: Array) -> tuple[Array, float, Array]:
        """Where steps start from; the first one with the state's pairs, which may come from a file."""
        self.evaluations += 1
        f, g = self._problem(theta)
        if self._at is None:
            count = int(self.state["count"].value)
            self._pairs = Pairs(self.history, len(theta))
            self._pairs.load(self.state["pairs"].value[:, :count], self.state["products"].value[:, :count, :count])
        self._pairs.look(g)
        return theta, f if np.isfinite(g).all() else math.inf, g

    def _move(self, theta: Array, f: float, g: Array) -> float:
        d = self._pairs.direction()
        slope = float(d @ g)
        first = 1.0 if len(self._pairs) else min(1.0, 1.0 / max(float(np.abs(g).sum()), 1e-300))
        found = self._search(d, Point(0.0, f, slope, g, theta), first) if slope < 0 else None
        if found is None and len(self._pairs):  # rounding has spoilt H: along -g
            self._pairs, self._changed = Pairs(self.history, len(g)), True
            self._pairs.look(g)
            return self._move(theta, f, g)
        if found is None:
            self._take_over(theta)
            self.stop_reason = "line"
            return f
        step = found.t * d
        self._take_over(found.theta)
        self._pairs.add(step, found.g)
        self._at, self._changed = (found.theta, found.f, found.g), True
        if found.f <= self.goal:
            self.stop_reason = "goal"
        elif abs(f - found.f) <= self.tol_change and np.abs(step).max() <= self.tol_change:
            self.stop_reason = "change"
        return found.f

    # ---- the line search ----

    def _search(self, d: Array, start: Point, t: float) -> Point | None:
        """A point start + t d that satisfies the strong Wolfe conditions; else the lowest one found, None if none is lower."""

        def at(t: float) -> Point:
            self.evaluations += 1
            theta = start.theta + t * d
            f, g = self._problem(theta)
            slope = float(d @ g)  # finite only where g is
            finite = math.isfinite(f) and math.isfinite(slope)
            return Point(t, f, slope, g, theta) if finite else Point(t, math.inf, math.inf, g, theta)

        before, left = start, self.max_evaluations
        while left > 0:
            now, left = at(t), left - 1
            if now.f > start.f + SUFFICIENT * t * start.slope or (before.t > 0 and now.f >= before.f):
                return self._zoom(at, start, before, now, left)
            if abs(now.slope) <= -CURVATURE * start.slope:
                return now
            if now.slope >= 0:
                return self._zoom(at, start, now, before, left)
            further = cubic_minimum(before, now)
            low, high = now.t + 0.1 * (now.t - before.t), now.t * 10
            before, t = now, min(max(further if further is not None else high, low), high)
        return before if before.f < start.f else None

    def _zoom(self, at: Callable[[float], Point], start: Point, low: Point, high: Point, left: int) -> Point | None:
        """The interval between `low`, the lowest so far, and `high` holds a point that is wanted."""
        for _ in range(left):
            width = high.t - low.t
            if abs(width) * max(abs(start.slope), 1.0) < 1e-16 * max(abs(low.t), 1e-300):
                break
            t = cubic_minimum(low, high) if math.isfinite(high.f) else None
            inside = 0.1 * width  # not too near to an end: that would not shrink the interval
            bounds = sorted((low.t + inside, high.t - inside))
            now = at(min(max(t, bounds[0]), bounds[1]) if t is not None else low.t + 0.5 * width)
            if now.f > start.f + SUFFICIENT * now.t * start.slope or now.f >= low.f:
                high = now
                continue
            if abs(now.slope) <= -CURVATURE * start.slope:
                return now
            if now.slope * width >= 0:
                high = low
            low = now
        return low if low.t > 0 and low.f < start.f else None


def cubic_minimum(a: Point, b: Point) -> float | None:
    """Where the cubic through two values and slopes is lowest; None where it has no minimum (Nocedal and Wright, 3.59)."""
    if a.t == b.t or not math.isfinite(b.f) or not math.isfinite(a.f):
        return None
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return None
    d2 = math.copysign(math.sqrt(square), b.t - a.t)
    below = b.slope - a.slope + 2 * d2
    t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / below if below != 0 else None
    return t if t is not None and math.isfinite(t) else None
