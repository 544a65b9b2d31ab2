"""A step's length: the strong Wolfe conditions, by cubics through two points (Nocedal and Wright 2006, algorithms 3.5 and 3.6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

SUFFICIENT, CURVATURE = 1e-4, 0.9  # c1, c2 of the Wolfe conditions (Nocedal and Wright 2006, chapter 3)


class Point(NamedTuple):
    """A place on the search line: step length, loss, slope along the line, gradient, weights."""

    t: float
    f: float
    slope: float
    g: Array
    theta: Array


At = Callable[[float], Point]


def search(at: At, start: Point, t: float, most: int) -> Point | None:
    """A point at(t), t > 0, that satisfies the conditions, after at most `most` looks; else the lowest one found, None if none is
    lower than `start`.
    """
    before, left = start, most
    while left > 0:
        now, left = at(t), left - 1
        if now.f > start.f + SUFFICIENT * t * start.slope or (before.t > 0 and now.f >= before.f):
            return _zoom(at, start, before, now, left)
        if abs(now.slope) <= -CURVATURE * start.slope:
            return now
        if now.slope >= 0:
            return _zoom(at, start, now, before, left)
        further = cubic_minimum(before, now)
        low, high = now.t + 0.1 * (now.t - before.t), now.t * 10
        before, t = now, min(max(further if further is not None else high, low), high)
    return before if before.f < start.f else None


def _zoom(at: At, start: Point, low: Point, high: Point, left: int) -> Point | None:
    """The interval between `low`, the lowest so far, and `high` holds a point that is wanted."""
    for _ in range(left):
        width = high.t - low.t
        if abs(width) * max(abs(start.slope), 1.0) < 1e-16 * max(abs(low.t), 1e-300):
            break
        t = cubic_minimum(low, high)
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
