"""Sums of squares of a network's errors: their value, and what a Gauss-Newton step needs, without the Jacobian as a whole.

F(theta) = sum_r e_r^2,  e = (prediction - target) * scale,  r over samples and outputs;  J = de/dtheta, g = J^T e (half of dF)

More residuals than weights: H = J^T J is summed over chunks of samples, [J e]^T [J e] at once, and (H + mu D) d = -g solved.
Fewer: (J J^T + mu I) z = -e, d = J^T z, where J J^T is made from products of activations and of deltas, and J^T z is one gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.flat import FlatNetwork
from lamina.function import grad
from lamina.linalg.solving import substitute
from lamina.samplewise import Outer, is_samplewise, jacobian_rows, resolved, sample_rows
from lamina.tensor import Tensor, placeholder

Array = np.ndarray[Any, Any]

CHUNK_BYTES = 1 << 20  # of J at once: it is written and read again while it lies in the cache
BLOCK = 32  # columns that LAPACK factors at once
MOST_DUAL = 4096  # residuals up to which J J^T is taken: 128 MB


class LeastSquares:
    """The problem of one network and one set of data. `sources`: the inputs' arrays; targets, scales: (n, k)."""

    def __init__(self, network: FlatNetwork, sources: Sequence[Array], targets: Array, scales: Array, *, may_be_dual: bool = True):
        self.network = network
        self.size = int(network.theta.shape[0])
        self.residuals = int(targets.size)
        self._sources = [*sources, np.ascontiguousarray(targets), np.ascontiguousarray(scales)]
        self._target = placeholder((None, targets.shape[1]), "float64", "target")
        self._scale = placeholder((None, scales.shape[1]), "float64", "scale")
        flat = [ops.reshape(out, (out.shape[0], -1)) for out in network.outputs]
        self._error = (ops.concatenate(flat, 1) if len(flat) > 1 else flat[0]) - self._target
        self._error = self._error * self._scale
        if not is_samplewise(resolved([self._error])):
            raise ValueError(
                "[optim.LevenbergMarquardt] expected a network that treats each sample apart, got one that mixes those of a batch; "
                "train it with LBFGS or Adam"
            )
        self._inputs = [*network.inputs, self._target, self._scale]
        self._value = self._program([ops.sum(ops.square(self._error))])
        self.dual = may_be_dual and self.residuals < self.size and self.residuals <= MOST_DUAL
        self._prepare()

    def _program(self, outputs: Sequence[Tensor], effects: Sequence[core.Node] = (), more: Sequence[Tensor] = ()) -> core.Program:
        return core.Program([t.node for t in (*self._inputs, *more)], [t.node for t in outputs], list(effects))

    def _prepare(self) -> None:
        columns = [self._error[:, k] for k in range(self._error.shape[1])]
        weights = self.network.weights
        if self.dual:
            self._prepare_dual(columns)
            return
        parts = [jacobian_rows(e, weights) for e in columns]
        self._sum = Parameter64((self.size + 1, self.size + 1))
        self._chunk = max(64, CHUNK_BYTES // (8 * (self.size + 1) * len(columns)))
        known = [part for part in parts if part is not None]
        if len(known) == len(columns):
            rows = [ops.concatenate([j, ops.expand_dims(e, 1)], 1) for j, e in zip(known, columns, strict=True)]
            products = [ops.matmul(ops.transpose(r), r) for r in rows]
        else:  # a weight used in a way without a rule: sample by sample, each with a backward pass of its own
            self._chunk = 1
            products = []
            for e in columns:
                row = ops.concatenate([grad(ops.sum(e), self.network.theta), ops.reshape(ops.sum(e), (1,))], 0)
                products.append(ops.expand_dims(row, 1) * ops.expand_dims(row, 0))
        total = products[0]
        for product in products[1:]:
            total = total + product
        effect = core.make("assign", [self._sum.node, (self._sum + total).node], {})
        self._accumulate = self._program([ops.sum(self._error)], [effect])

    def _prepare_dual(self, columns: list[Tensor]) -> None:
        kernel = self._kernel(columns)
        self._rows: core.Program | None = None
        z = placeholder((None, len(columns)), "float64", "z")
        self._pull = self._program([grad(ops.sum(self._error * z), self.network.theta)], more=[z])
        if kernel is not None:
            self._kernel_program = self._program([self._error, kernel])
            return
        row = [ops.reshape(grad(ops.sum(e), self.network.theta), (1, self.size)) for e in columns]
        one = self._error[:, :1] * 0.0 + 1.0  # the batch of one sample, by which a row of J has a length that follows it
        self._kernel_program = self._program([self._error])
        self._rows = self._program([ops.reshape(r, (1, self.size)) * one for r in row])

    def _kernel(self, columns: list[Tensor]) -> Tensor | None:
        """J J^T. One output: the sum over weights of (a a^T) * (d d^T); several: of J's rows, all samples of an output in turn."""
        if len(columns) > 1:
            parts = [jacobian_rows(e, self.network.weights) for e in columns]
            known = [part for part in parts if part is not None]
            if len(known) < len(parts):
                return None
            rows = ops.concatenate(known, 0)
            return ops.matmul(rows, ops.transpose(rows))  # type: ignore[no-any-return]
        factors = sample_rows(columns[0], self.network.weights)
        if factors is None:
            return None
        total: Any = None
        for w, f in zip(self.network.weights, factors, strict=True):
            rows = None if isinstance(f, Outer) else ops.reshape(f, (f.shape[0], int(np.prod(w.shape))))
            term = _gram(rows) if rows is not None else _gram(f[0]) * _gram(f[1])
            total = term if total is None else total + term
        return total  # type: ignore[no-any-return]

    # ---- numbers ----

    def value(self, theta: Array) -> float:
        """F(theta); inf where it is not finite."""
        self.network.theta.value = theta
        rows = max(256, CHUNK_BYTES // 1024)
        total = float(self._value.epoch(self._sources, None, rows).sum())
        return total if np.isfinite(total) else float("inf")

    def linearize(self, theta: Array) -> Primal | Dual:
        """H and g, or J J^T and e, at theta."""
        self.network.theta.value = theta
        if self.dual:
            return self._linearize_dual()
        self._sum.value = np.zeros((self.size + 1, self.size + 1))
        self._accumulate.epoch(self._sources, None, self._chunk)
        total = self._sum.value
        return Primal(total[:-1, :-1], total[:-1, -1], float(total[-1, -1]))

    def _linearize_dual(self) -> Dual:
        def pull(z: Array) -> Array:
            by_sample = np.ascontiguousarray(z.reshape(self._error.shape[1], -1).T)
            return self._pull.run([*self._sources, by_sample])[0]

        error, *rest = self._kernel_program.run(self._sources)
        if rest:
            kernel = rest[0]
        else:
            assert self._rows is not None
            n = len(error)
            rows = [np.empty((n, self.size)) for _ in range(error.shape[1])]
            self._rows.epoch(self._sources, None, 1, collect=rows)
            whole = np.concatenate(rows)
            kernel = whole @ whole.T
        return Dual(kernel, np.ascontiguousarray(error.T).ravel(), pull)


def Parameter64(shape: tuple[int, ...]) -> Any:
    """Memory for sums."""
    from lamina.tensor import Parameter

    return Parameter(np.zeros(shape), trainable=False, dtype="float64")


def _gram(x: Tensor) -> Tensor:
    return ops.matmul(x, ops.transpose(x))  # type: ignore[no-any-return]


class Primal:
    """(H + mu D) d = -g."""

    def __init__(self, h: Array, g: Array, value: float):
        self.h, self.g, self.value = h, g, value

    def step(self, shift: Array | float, scale: float = 1.0, pull: Array | float = 0.0) -> Array:
        """d with (scale H + diag(shift)) d = -(scale g + pull); LinAlgError where that is not positive definite."""
        return _solve_positive(self.h if scale == 1 else scale * self.h, shift, -(scale * self.g + pull))

    @property
    def diagonal(self) -> Array:
        """H's diagonal: the squared lengths of J's columns."""
        return np.diagonal(self.h)

    def effective(self, scale: float, alpha: float) -> float:
        """How many weights the data determine: tr(scale H (scale H + alpha I)^-1)."""
        spectrum = np.maximum(np.linalg.eigvalsh(self.h), 0) * scale
        return float((spectrum / (spectrum + alpha)).sum())


class Dual:
    """(K + mu I) z = -e, d = J^T z, K = J J^T."""

    def __init__(self, kernel: Array, e: Array, pull: Any):
        self.kernel, self.e, self._pull = kernel, e, pull
        self.g: Array = pull(e)
        self.value = float(e @ e)

    def step(self, shift: Array | float, scale: float = 1.0, pull: Array | float = 0.0) -> Array:
        """As in `Primal`, for one number as the shift, scale 1 and no pull."""
        d: Array = self._pull(_solve_positive(self.kernel, shift, -self.e))
        return d


def _solve_positive(h: Array, shift: Array | float, b: Array) -> Array:
    """(H + diag(shift))^-1 b by blocked Cholesky; LinAlgError where that is not positive definite in float64.

    LAPACK sees blocks only, which it does on one thread, and the core multiplies the rest: no number of threads changes bits,
    and a small system does not wait for a thread that another program holds up. b rides along as one more row and becomes
    L^-1 b.
    """
    n = len(h)
    a = np.empty((n + 1, n))
    a[:n], a[n] = h, b
    a.flat[: n * n : n + 1] += shift
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        a[start:end, start:end] = block = np.linalg.cholesky(a[start:end, start:end])
        below = a[end:, start:end]
        below[...] = np.linalg.solve(block, below.T).T
        if end < n:
            a[end:, end:] -= ops.matmul(below, below[: n - end].T)
    return substitute(np.tril(a[:n]).T, a[n][:, None], lower=False)[:, 0]
