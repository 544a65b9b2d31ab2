"""The inverse Hessian of L-BFGS: the last pairs of differences of weights and gradients, and H g from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.tensor import placeholder

Array = np.ndarray[Any, Any]

STEEP = 1e-10  # of |s| |y|: a pair whose s.y is no larger says nothing about curvature
LONG, LARGE = 1e28, 1e8  # |s| or |y|, and a factor of theirs, at most: sums of their products stay within float32


class Pairs:
    """The last m pairs (s, y) as rows of one matrix W, and H g by two products with it instead of 4 m vector operations.

    H g = gamma g + S^T p + Y^T q;  with R = triu(S Y^T), D its diagonal, gamma = s.y / y.y of the last pair:
    u = R^-1 S g,  p = R^-T ((D + gamma Y Y^T) u - gamma Y g),  q = -gamma u
    The last columns of S Y^T and Y Y^T are what W g has changed by. W is in float32: reading it is what a step costs besides the
    gradient, and H is an estimate; the sums over the pairs are in float64. A pair that is too long for float32 goes in shorter:
    (a s, a y) gives the same H. The products with W are programs: beside a step of the network on the same threads, OpenBLAS's own
    threads would get in the way.
    """

    def __init__(self, most: int, size: int):
        self._most = most
        self._memory: Array = np.empty((2 * most, 2, size), np.float32)
        self._products: Array = np.empty((2, 2 * most, 2 * most))
        self._kept = (0, 0)  # from where to where the pairs lie
        w, left, right = (placeholder(shape, "float32") for shape in ((None, size), (1, None), (size, 1)))
        self._combine, self._project = (
            core.Program([a.node, b.node], [ops.matmul(a, b).node], []) for a, b in ((left, w), (w, right))
        )

    def __len__(self) -> int:
        return self._kept[1] - self._kept[0]

    def look(self, g: Array) -> None:
        """The gradient where the next step starts; `largest` is max |g|."""
        self._g, self._wg = g, self._times(*self._kept, g)

    def add(self, s: Array, g: Array) -> None:
        """Takes in a step and the gradient after it, unless they show no positive curvature; the oldest pair goes."""
        y = g - self._g
        with np.errstate(over="ignore", invalid="ignore"):  # not finite: nothing is known about curvature
            sy, yy, ss = float(s @ y), float(y @ y), float(s @ s)
        if not sy > STEEP * math.sqrt(ss * yy):
            self.look(g)
            return
        excess = _excess(math.sqrt(max(ss, yy)), LONG)
        if excess > 1:
            if math.sqrt(min(ss, yy)) / excess < 1 / LONG:  # nothing in float32 beside the other
                self.look(g)
                return
            s, y, sy, yy = s / excess, y / excess, sy / excess / excess, yy / excess / excess
        first, last = self._kept
        first += int(len(self) == self._most)
        n = last - first
        if last == len(self._memory):  # slid to the end: back to the front, once in `most` steps
            self._memory[:n], self._products[:, :n, :n] = self._memory[first:], self._products[:, first:, first:]
            first, last = 0, n
        self._memory[last] = s, y
        wg = self._times(first, last + 1, g)
        s_change, y_change = (wg[:-1] - self._wg[len(self._wg) - n :]).T / excess
        yy_all, inverse = self._products[:, first : last + 1, first : last + 1]
        yy_all[-1, :-1] = yy_all[:-1, -1] = y_change
        inverse[-1, :-1], inverse[:-1, -1] = 0.0, inverse[:-1, :-1] @ s_change / -sy  # a triangle's part inverts that part
        yy_all[-1, -1], inverse[-1, -1] = yy, 1.0 / sy
        self._g, self._wg, self._kept = g, wg, (first, last + 1)

    def direction(self) -> Array:
        """-H g."""
        if not len(self):
            return -self._g
        yy, inverse = self._products[:, slice(*self._kept), slice(*self._kept)]
        gamma = 1.0 / (inverse[-1, -1] * yy[-1, -1])
        sg, yg = self._wg.T
        factors = np.empty((len(self), 2))
        with np.errstate(over="ignore", invalid="ignore"):
            u = inverse @ sg
            factors[:, 0] = (gamma * (yg - yy @ u) - u / inverse.diagonal()) @ inverse
            factors[:, 1] = gamma * u
            flat = factors.ravel()
            length = math.sqrt(flat @ flat)
        if not math.isfinite(length):
            return -self._g
        excess = _excess(length, LARGE)
        if excess > 1:
            flat /= excess
        rows = self._combine.run([flat.astype(np.float32)[None], self._rows(*self._kept)])[0][0]
        d: Array = (rows if excess == 1 else rows.astype(np.float64) * excess) - gamma * self._g
        return d

    def arrays(self) -> tuple[Array, Array]:
        """(2, n, P): s and y; (2, n, n): Y Y^T, R^-1."""
        kept = slice(*self._kept)
        return self._memory[kept].swapaxes(0, 1), self._products[:, kept, kept]

    def load(self, pairs: Array, products: Array) -> None:
        """Takes up what `arrays` gave."""
        n = pairs.shape[1]
        self._memory[:n], self._products[:, :n, :n] = pairs.swapaxes(0, 1), products
        self._kept = (0, n)

    def _rows(self, first: int, end: int) -> Array:
        return self._memory[first:end].reshape(2 * (end - first), self._memory.shape[2])

    def _times(self, first: int, end: int, g: Array) -> Array:
        """(n, 2): s.g and y.g of each pair; g goes in as numbers up to 1, so that y.g does not leave float32's range."""
        self.largest = float(np.abs(g).max(initial=0))
        scale = self.largest if 0 < self.largest < math.inf else 1.0
        products = self._project.run([self._rows(first, end), (g / scale).astype(np.float32)[:, None]])[0]
        return products.astype(np.float64).reshape(-1, 2) * scale


def _excess(length: float, most: float) -> float:
    """The power of two by which what is longer than `most` is divided; 1 where it is not."""
    return math.ldexp(1.0, math.ceil(math.log2(length / most))) if length > most else 1.0
