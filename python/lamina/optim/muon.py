"""Muon: momentum whose matrices are made orthogonal before the step."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.base import checks
from lamina.graph.tensor import Tensor
from lamina.optim.base import Optimizer, Rate

SMALLEST = 1e-30  # |u| that is divided by at least, whatever eps: no gradient at all is no direction
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a, b, c of a x + b x^3 + c x^5, steepest at 0 of those that keep [0, 1] near 1
MOST_STEPS = 99  # as in PyTorch: each makes the program of a step longer


class Muon(Optimizer):
    """Steps along the orthogonal matrix nearest to the momentum: b = momentum b + (1 - momentum) g, u = (1 - momentum) g + momentum
    b (Nesterov) or b, w = (1 - lr wd) w - lr sqrt(max(1, rows / columns)) O(u).

    O(u): `ns_steps` Newton-Schulz steps x = a x + (b A + c A^2) x, A = x x^T, from x = u / |u|, which bring all singular values
    near 1. For matrices only; biases and other parameters take the plain momentum step w = (1 - lr wd) w - lr u. Formulas and
    defaults are PyTorch's; but rows and columns are those of W (in, out), which lies the other way round there, so that a step of a
    W with more rows than columns is the longer one here, of one with fewer there. Source: Jordan et al. 2024.

    momentum in [0, 1): how much of b stays. nesterov: see above. ns_steps in [1, 99]: of Newton-Schulz. eps >= 0: the least |u|
    that is divided by. weight_decay wd: decoupled. lr, clip_norm, clip_value: as in `Optimizer`. Errors: ValueError for a value
    out of its bounds.

    >>> net = lm.Sequential(lm.Dense(2, bias=False), seed=0).build(2).compile("mse", lm.optim.Muon(1.0, weight_decay=0.0))
    >>> before = net.parameters["dense_1.weight"]
    >>> loss = net.train_step([[1.0, 0.0], [0.0, 1.0]], [[9.0, 0.0], [0.0, 1.0]])
    >>> np.linalg.svd(net.parameters["dense_1.weight"] - before)[1].round()  # of the step: all near 1
    array([1., 1.], dtype=float32)
    """

    slots = ("momentum_buffer",)
    decoupled = True

    def __init__(
        self,
        lr: Rate = 1e-3,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        eps: float = 1e-7,
        weight_decay: float = 0.1,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.momentum = self._number("momentum", momentum, 0, 1, open_high=True)
        self.nesterov = checks.flag(self._where, "nesterov", nesterov)
        self.ns_steps = checks.integer(self._where, "ns_steps", ns_steps, 1, MOST_STEPS)
        self.eps = self._number("eps", eps, 0)

    def update(self, w: Tensor, g: Tensor, state: dict[str, Tensor], lr: Tensor, t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        b = self.momentum * state["momentum_buffer"] + (1 - self.momentum) * g
        u: Any = (1 - self.momentum) * g + self.momentum * b if self.nesterov else b
        if w.ndim == 2:
            rows, columns = w.shape
            u = self._orthogonal(u) * max(1.0, rows / columns) ** 0.5
        return w * (1 - lr * self.weight_decay) - lr * u, {"momentum_buffer": b}

    def _orthogonal(self, u: Tensor) -> Any:
        """With all singular values near 1."""
        a, b, c = NEWTON_SCHULZ
        tall = u.shape[0] > u.shape[1]
        x = u.T if tall else u
        x = x / ops.maximum(ops.sqrt(ops.sum(ops.square(x))), max(self.eps, SMALLEST))
        for _ in range(self.ns_steps):
            square = x @ x.T
            x = a * x + (b * square + c * (square @ square)) @ x
        return x.T if tall else x
