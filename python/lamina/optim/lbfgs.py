"""L-BFGS: quasi-Newton steps from the last differences of weights and gradients, with a strong-Wolfe line search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lamina import checks
from lamina.flat import FlatNetwork
from lamina.optim.full_batch import FullBatch

Array = np.ndarray[Any, Any]
Value = Callable[[Array], tuple[float, Array]]

SUFFICIENT, CURVATURE = 1e-4, 0.9  # c1, c2 of the Wolfe conditions (Nocedal and Wright 2006, chapter 3)
STEEP = 1e-10  # of |s| |y|: a pair whose s.y is no larger says nothing about curvature


class Point(NamedTuple):
    """A place on the search line: step length, loss, slope along the line, gradient."""

    t: float
    f: float
    slope: float
    g: Array


class LBFGS(FullBatch):
    """Quasi-Newton steps d = -H g on all data at once, H from the last `history` pairs (s, y) of differences of weights and
    gradients; the step's length satisfies the strong Wolfe conditions.

    For any loss. An epoch of `fit` is one step (mostly one evaluation of loss and gradient); the logged loss is that after it. It
    ends (see `stop_reason`) with "goal": loss <= goal; "gradient": max |dL/dw| <= tol_grad; "change": the largest weight's change
    and the loss's are <= tol_change; "line": no lower loss along -H g; "time": after max_seconds. `evaluations` counts.

    Source: Liu and Nocedal 1989; Byrd, Nocedal and Schnabel 1994 (H as matrices); line search: Nocedal and Wright 2006, algorithms
    3.5 and 3.6. Defaults are PyTorch's, but the line search is always on.

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
        self._pairs = Pairs(self.history)

    def check_state(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        expected = (3, self.history, self.history)
        if shapes.get("products") != expected:
            raise ValueError(f"[{self._where}] expected a state with products of shape {expected}, got {shapes.get('products')}")

    def bind(self, params: Any) -> None:
        super().bind(params)
        size = int(self.state["theta"].shape[0])
        if "pairs" not in self.state:
            self._vector("count", 0.0)
            self._vector("pairs", np.zeros((2, self.history, size)))
            self._vector("products", np.zeros((3, self.history, self.history)))
        elif self._pairs.changed:  # the state is what a checkpoint holds; the pairs themselves work in memory
            several = self._pairs.arrays() if len(self._pairs) else (np.zeros((2, 0, 0)), np.zeros((3, 0, 0)))
            for name, rows in zip(("pairs", "products"), several, strict=True):
                whole = np.zeros(tuple(self.state[name].shape))
                whole[tuple(slice(0, n) for n in rows.shape)] = rows
                self.state[name].value = whole
            self.state["count"].value = float(len(self._pairs))
            self._pairs.changed = False

    def start(self, network: FlatNetwork, problem: Value) -> None:
        super().start(network, problem)
        self._at: tuple[Array, float, Array] | None = None

    def _resume(self) -> None:
        """Takes the pairs up from the state, which may come from a file."""
        count = int(self.state["count"].value)
        self._pairs = Pairs(self.history)
        if count:
            self._pairs.load(self.state["pairs"].value[:, :count], self.state["products"].value[:, :count, :count])

    def advance(self) -> float:
        theta = self._network.load()
        if self._at is None:
            self._resume()
        if self._at is None or self._at[0] is not theta and not np.array_equal(self._at[0], theta):
            self._at = (theta, *self._evaluate(theta))
        _, f, g = self._at
        if not np.isfinite(f):
            return float("nan")
        if f <= self.goal:
            self.stop_reason = "goal"
        elif np.abs(g).max(initial=0) <= self.tol_grad:
            self.stop_reason = "gradient"
        elif self._late():
            self.stop_reason = "time"
        if self.stop_reason is not None:
            self._take_over(theta)
            return f
        return self._move(theta, f, g)

    def _move(self, theta: Array, f: float, g: Array) -> float:
        d = self._pairs.direction(g)
        if float(d @ g) >= 0 and len(self._pairs):
            self._forget()  # rounding has spoilt H
            d = -g
        first = 1.0 if len(self._pairs) else min(1.0, 1.0 / max(float(np.abs(g).sum()), 1e-300))
        found = self._search(theta, d, Point(0.0, f, float(d @ g), g), first)
        if found is None and len(self._pairs):
            self._forget()
            return self._move(theta, f, g)
        if found is None:
            self._take_over(theta)
            self.stop_reason = "line"
            return f
        step = found.t * d
        new = theta + step
        self._take_over(new)
        self._pairs.add(step, found.g - g)
        self._at = (new, found.f, found.g)
        if found.f <= self.goal:
            self.stop_reason = "goal"
        elif np.abs(step).max() <= self.tol_change and abs(f - found.f) <= self.tol_change:
            self.stop_reason = "change"
        return found.f

    def _forget(self) -> None:
        self._pairs = Pairs(self.history)
        self._pairs.changed = True

    def _evaluate(self, theta: Array) -> tuple[float, Array]:
        self.evaluations += 1
        f, g = self._problem(theta)
        return (f, g) if np.isfinite(f) and np.isfinite(g).all() else (float("inf"), g)

    # ---- the line search ----

    def _search(self, theta: Array, d: Array, start: Point, t: float) -> Point | None:
        """A point on theta + t d that satisfies the strong Wolfe conditions; else the lowest one found, None if none is lower."""

        def at(t: float) -> Point:
            f, g = self._evaluate(theta + t * d)
            return Point(t, f, float(d @ g) if np.isfinite(f) else float("inf"), g)

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
            t = cubic_minimum(low, high) if np.isfinite(high.f) else None
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
    if a.t == b.t or not np.isfinite(b.f) or not np.isfinite(a.f):
        return None
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return None
    d2 = np.copysign(np.sqrt(square), b.t - a.t)
    below = b.slope - a.slope + 2 * d2
    t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / below if below != 0 else None
    return float(t) if t is not None and np.isfinite(t) else None


class Pairs:
    """The last m pairs (s, y) as rows of matrices, and H g by two products with each instead of 4 m vector operations.

    H g = gamma g + S^T p + Y^T q;  with R = triu(S Y^T), D its diagonal, gamma = s.y / y.y of the last pair:
    u = R^-1 S g,  p = R^-T ((D + gamma Y Y^T) u - gamma Y g),  q = -gamma u
    """

    def __init__(self, most: int):
        self.most = most
        self.s: Array = np.empty((0, 0))
        self.y: Array = np.empty((0, 0))
        self._sy: Array = np.empty((0, 0))
        self._yy: Array = np.empty((0, 0))
        self._inverse: Array = np.empty((0, 0))  # of R
        self.changed = False
        self._memory: Array = np.empty((2, 0, 0))
        self._first = self._end = 0

    def __len__(self) -> int:
        return len(self.s)

    def add(self, s: Array, y: Array) -> None:
        """Takes a pair in, unless it shows no positive curvature; the oldest one goes."""
        if not float(s @ y) > STEEP * float(np.linalg.norm(s) * np.linalg.norm(y)):
            return
        if not len(self.s):
            self._allocate(len(s))
        drop = int(len(self) == self.most)
        self._first += drop
        if self._end == self._memory.shape[1]:  # slid to the end: back to the front, once in `most` steps
            count = self._end - self._first
            self._memory[:, :count] = self._memory[:, self._first :].copy()
            self._first, self._end = 0, count
        self._memory[:, self._end] = s, y
        self._end += 1
        self.s, self.y = self._memory[:, self._first : self._end]
        self._sy = _grown(self._sy[drop:, drop:], self.s @ y, self.y @ s)
        self._yy = _grown(self._yy[drop:, drop:], self.y @ y, self.y @ y)
        kept, r = self._inverse[drop:, drop:], self._sy[:-1, -1]  # a part of a triangle's inverse inverts that part
        self._inverse = _grown(kept, np.append(-(kept @ r), 1.0) / self._sy[-1, -1], np.zeros(len(self.s)))
        self.changed = True

    def _allocate(self, size: int) -> None:
        self._memory = np.empty((2, 2 * self.most, size))
        self._first = self._end = 0

    def arrays(self) -> tuple[Array, Array]:
        """(2, n, P): s and y; (3, n, n): S Y^T, Y Y^T, R^-1."""
        return np.array((self.s, self.y)), np.array((self._sy, self._yy, self._inverse))

    def load(self, pairs: Array, products: Array) -> None:
        """Takes up what `arrays` gave."""
        self._allocate(pairs.shape[2])
        self._end = pairs.shape[1]
        self._memory[:, : self._end] = pairs
        self.s, self.y = self._memory[:, : self._end]
        self._sy, self._yy, self._inverse = products

    def direction(self, g: Array) -> Array:
        """-H g."""
        if not len(self.s):
            return -g
        gamma = self._sy[-1, -1] / self._yy[-1, -1]
        u = self._inverse @ (self.s @ g)
        p = self._inverse.T @ (np.diagonal(self._sy) * u + gamma * (self._yy @ u - self.y @ g))
        return -(gamma * g + p @ self.s - gamma * (u @ self.y))  # type: ignore[no-any-return]


def _grown(a: Array, column: Array, row: Array) -> Array:
    """A square matrix with a column and a row more."""
    n = len(column)
    out = np.empty((n, n))
    out[: n - 1, : n - 1] = a
    out[-1], out[:, -1] = row, column
    return out
