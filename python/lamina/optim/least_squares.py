"""Sums of squares of a network's errors: their value, and what a Gauss-Newton step needs, without the Jacobian as a whole.

F(theta) = sum_r e_r^2,  e = (prediction - target) * scale,  r over samples and outputs;  J = de/dtheta, g = J^T e (half of dF)

More residuals than weights: H = J^T J is summed over chunks of samples, see `normal_matrix`, and (H + mu D) d = -g solved.
Fewer: (J J^T + mu I) z = -e, d = J^T z, where J J^T is made from products of activations and of deltas, and J^T z is one gradient.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial, reduce
from typing import Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.graph.flat import FlatNetwork
from lamina.graph.function import grad
from lamina.graph.inference import resolved
from lamina.graph.parameter import Parameter
from lamina.graph.samplewise import each_alone, flattened, mixing, rows_by_use
from lamina.graph.tensor import Tensor, placeholder
from lamina.optim.normal_matrix import Columns, NormalMatrix, columns_of, diagonal_places, plain

Array = np.ndarray[Any, Any]
Pull = Callable[[Array], Array]  # J^T z for z: (n, k)

ROWS = 1024  # at once, at most, where only errors and J^T z are wanted
PIECES = 8  # of the data, after each of which a sum of squares that is too large already is given up
MOST_DUAL = 4096  # residuals up to which J J^T is taken: 128 MB
# Of P^2 numbers: what J^T J is summed in and where it stands there, J^T J, and its factor, of which the first three are halves; and
# two copies of the sums, which come and go.
MATRICES = 4
ONCE_BYTES = 1 << 23  # of a value that is computed once and read at every step: from near, or else it were as soon computed again
ROUNDED = 1e-8  # of J^T J's trace: above it alpha is far from rounding, and how many weights the data determine has six digits
LONG, USES = 1024, 16  # nodes of all outputs; of one, for each weight
MOST_WEIGHTS = 1 << 15  # P: those are 34 GB then, and P^3 / 3 multiply-adds minutes


class Squares(NamedTuple):
    """Data of a sum of squares: the inputs' arrays; targets and scales, (n, k), all outputs side by side."""

    sources: Sequence[Array]
    targets: Array
    scales: Array


class LeastSquares:
    """The problem of one network and one set of data."""

    def __init__(self, network: FlatNetwork, data: Squares, *, may_be_dual: bool = True):
        sources, targets, scales = data
        self.network = network
        self.size = int(network.theta.shape[0])
        self.dual = may_be_dual and targets.size < self.size and targets.size <= MOST_DUAL
        if not self.dual:
            check_room(self.size)
        self.residuals = int(targets.size)
        self.counted = int(np.count_nonzero(scales))  # residuals that are data: a scale of 0 leaves one out
        self._sources = [*sources, np.ascontiguousarray(targets), np.ascontiguousarray(scales)]
        self._target = placeholder((None, targets.shape[1]), "float64", "target")
        self._scale = placeholder((None, scales.shape[1]), "float64", "scale")
        flat = [ops.reshape(out, (out.shape[0], -1)) for out in network.outputs]
        self._error = (ops.concatenate(flat, 1) if len(flat) > 1 else flat[0]) - self._target
        self._error = self._error * self._scale
        mixed = mixing(resolved([self._error]))
        if mixed:
            raise ValueError(
                "[optim.LevenbergMarquardt] expected a network that treats each sample apart, got one of which that could not be "
                f"shown: {mixed.op} of shape {Tensor(mixed).shape} may mix those of a batch; train it with LBFGS or Adam"
            )
        self._inputs = [*network.inputs, self._target, self._scale]
        self._once = Once(self._inputs, self._sources)
        self._rows = even_part(len(self._sources[0]), ROWS)  # at once where only errors and J^T z are wanted
        n = len(self._sources[0])
        piece = self._rows * max(1, -(-n // (PIECES * self._rows)))
        self._pieces = [[a[start : start + piece] for a in self._sources] for start in range(0, n, piece)]
        self._value = self._program([ops.sum(ops.square(self._error)), self._error])
        self._solver = core.PositiveSystem(self.residuals if self.dual else self.size)
        self._prepare()

    def _program(self, outputs: Sequence[Tensor], effects: Sequence[core.Node] = (), more: Sequence[Tensor] = ()) -> core.Program:
        return core.Program([t.node for t in (*self._inputs, *more)], [t.node for t in outputs], list(effects))

    @cached_property
    def spread(self) -> float:
        """The length of the errors of each output's mean, the best constant; 0 where targets differ by rounding alone. Few ask."""
        targets, scales = self._sources[-2:]
        share = np.square(scales)
        mean = (share * targets).sum(axis=0) / np.maximum(share.sum(axis=0), 1e-300)
        with np.errstate(over="ignore"):
            length = float(np.linalg.norm((targets - mean) * scales))
            return length if length > 1e-14 * float(np.linalg.norm(targets * scales)) else 0.0

    @cached_property
    def _pulling(self) -> tuple[core.Program, Parameter]:
        """J^T z, summed over parts of the samples. Made at its first use: not all ask for it."""
        z = placeholder((None, self._error.shape[1]), "float64", "z")
        pulled = Parameter(np.zeros(self.size), trainable=False, dtype="float64")
        total = pulled + self.network.gradient(ops.sum(self._error * z))
        return self._program([], [core.make("assign", [pulled.node, total.node], {})], more=[z]), pulled

    def _prepare(self) -> None:
        columns = [self._error[:, k] for k in range(self._error.shape[1])]
        weights = self.network.weights
        if self.dual:
            self._prepare_dual(columns)
            return
        alone = self._each_alone()
        found = columns_of(columns if alone is None else [alone], weights)
        if found is None:  # a weight used in a way without a rule: sample by sample, each with a backward pass of its own
            row = [ops.reshape(grad(ops.sum(e), self.network.theta), (1, self.size)) for e in columns]
            self._normal, self._chunk = NormalMatrix([plain(row)]), 1
        else:
            self._normal = NormalMatrix(found, self._once) if alone is None else NormalMatrix(found)
            chunk = self._normal.chunk if alone is None else max(1, self._normal.chunk // len(columns))
            self._chunk = even_part(len(self._sources[0]), chunk)
        half = ops.sum(ops.square(self._error)) * 0.5
        slope = self.network.gradient(half)
        self._at_once = self._chunk >= len(self._sources[0])
        if self._at_once:
            self._terms = self._program([half, slope, *self._normal.terms], more=self._once.values)
            return
        self._gradient = Parameter(np.zeros(self.size), trainable=False, dtype="float64")
        summed = core.make("assign", [self._gradient.node, (self._gradient + slope).node], {})
        self._accumulate = self._program([half], [*self._normal.effects, summed], self._once.values)

    def _each_alone(self) -> Tensor | None:
        """All errors one after the other, where a backward pass for each output would make a program too long, and products of
        activations and of deltas would not be worth it, as each weight is used in many places: of a loop over steps of time.
        """
        outputs, nodes = int(self._error.shape[1]), len(resolved([self._error]))
        few = outputs == 1 or outputs * nodes < LONG or nodes < USES * len(self.network.weights)
        return None if few else each_alone(self._error)

    def _prepare_dual(self, columns: list[Tensor]) -> None:
        kernel = self._kernel(columns)
        self._row_program: core.Program | None = None
        if kernel is not None:
            self._kernel_program = self._program([self._error, kernel])
            return
        row = [ops.reshape(grad(ops.sum(e), self.network.theta), (1, self.size)) for e in columns]
        one = self._error[:, :1] * 0.0 + 1.0  # the batch of one sample, by which a row of J has a length that follows it
        self._kernel_program = self._program([self._error])
        self._row_program = self._program([ops.reshape(r, (1, self.size)) * one for r in row])

    def _kernel(self, columns: list[Tensor]) -> Tensor | None:
        """J J^T, in whose rows all samples of an output stand in turn."""
        alone = self._each_alone()
        if alone is not None:
            found = rows_by_use(alone, self.network.weights)
            if found is None:
                return None
            own = [ops.reshape(flattened(r), (self._error.shape[0], len(columns), -1)) for r in found]
            rows = ops.reshape(ops.transpose(ops.concatenate(own, 2), (1, 0, 2)), (-1, self.size))
            return _gram(rows)
        parts = columns_of(columns, self.network.weights)
        return None if parts is None else reduce(operator.add, map(_meeting, parts))

    # ---- numbers ----

    def value(self, theta: Array, limit: float = math.inf) -> float:
        """F(theta); inf where it is not finite, is not there, or not below `limit`, which a part of the data may show."""
        self.network.place(theta)
        total = 0.0
        try:
            for piece in self._pieces:
                total += _sum(self._value, piece, self._rows)
                if not total < limit:
                    return math.inf
        except np.linalg.LinAlgError:  # a matrix without an inverse, say: too far
            return math.inf
        return total

    def errors(self, theta: Array) -> tuple[float, Array]:
        """F(theta), inf where it is not there, and e: (n, k)."""
        self.network.place(theta)
        total, e = math.inf, np.empty((len(self._sources[0]), int(self._error.shape[1])))
        with suppress(np.linalg.LinAlgError):
            if len(e) <= self._rows:
                squares, e = self._value.run(self._sources)
            else:
                squares = self._value.epoch(self._sources, None, self._rows, collect=[e]).sum()
            total = float(squares)
        return total, e

    def pull(self, theta: Array, z: Array) -> Array:
        """J^T z at theta, z: (n, k)."""
        program, pulled = self._pulling
        self.network.place(theta)
        pulled.variable.write(np.zeros(self.size))
        _sum(program, [*self._sources, z], self._rows)
        total: Array = pulled.value
        return total

    def linearize(self, theta: Array) -> System:
        """H and g, or J J^T and e, at theta."""
        self.network.place(theta)
        if self.dual:
            return self._linearize_dual(theta)
        if self._at_once:
            value, g, *terms = self._terms.run(self._once.sources)
            half = float(value)
        else:
            self._normal.clear()
            self._gradient.variable.write(np.zeros(self.size))
            half = _sum(self._accumulate, self._once.sources, self._chunk)
            g, terms = self._gradient.value, self._normal.sums()
        return Primal(self._normal.matrix(terms), g, 2 * half, partial(self.pull, theta), self._solver)

    def _linearize_dual(self, theta: Array) -> Dual:
        error, *rest = self._kernel_program.run(self._sources)
        if rest:
            kernel = rest[0]
        else:
            assert self._row_program is not None
            n = len(error)
            rows = [np.empty((n, self.size)) for _ in range(error.shape[1])]
            self._row_program.epoch(self._sources, None, 1, collect=rows)
            whole = np.concatenate(rows)
            kernel = whole @ whole.T
        return Dual(kernel, error, partial(self.pull, theta), self._solver)


class Once:
    """What hangs on data alone, computed once and from then on data itself: `values`, whose numbers follow those of the inputs in
    `sources`.
    """

    def __init__(self, inputs: Sequence[Tensor], sources: Sequence[Array]):
        self._inputs, self.sources, self.values = list(inputs), list(sources), list[Tensor]()

    def __call__(self, t: Tensor) -> Tensor:
        """In place of t, (B, n): a value, or t itself where it is data already, or none, hangs on a variable, or is too large."""
        ops_below = {node.op for node in resolved([t])[:-1]}
        n, size = len(self.sources[0]), int(t.shape[1])
        if "input" not in ops_below or "variable" in ops_below or 8 * n * size > ONCE_BYTES:
            return t
        program, value = core.Program([v.node for v in (*self._inputs, *self.values)], [t.node], []), np.empty((n, size))
        program.epoch(self.sources, None, even_part(n, ROWS), collect=[value])
        self.sources.append(value)
        self.values.append(placeholder((None, size), "float64", "once"))
        return self.values[-1]


def check_room(weights: int) -> None:
    """Errors before anything is made: ValueError for more weights than it can be meant for, MemoryError where there is no room."""
    what = f"{MATRICES} times P^2 numbers for P weights, here {MATRICES * 8 * weights**2 / 1e9:.3g} GB"
    if weights > MOST_WEIGHTS:
        raise ValueError(
            f"[optim.LevenbergMarquardt] expected at most {MOST_WEIGHTS} weights, got {weights}: it keeps {what}; use LBFGS or Adam"
        )
    try:
        np.empty((MATRICES, weights, weights))
    except MemoryError as error:
        raise MemoryError(f"[optim.LevenbergMarquardt] expected room for {what}, got none; use LBFGS or Adam") from error


def even_part(n: int, most: int) -> int:
    """Of n samples, how many to take at once: up to `most`, and so many that the last part is no smaller, where that can be.

    To prepare a program for another size takes longer than to run it on a few samples.
    """
    fewest = -(-n // most)
    parts = next((p for p in range(fewest, 2 * fewest + 1) if n % p == 0), fewest)
    return -(-n // parts)


def _sum(program: core.Program, sources: Sequence[Array], rows: int) -> float:
    """A program's first result, summed over the samples, so many at once; where there are no more, by the shorter way."""
    if len(sources[0]) > rows:
        return float(program.epoch(sources, None, rows).sum())
    results = program.run(sources)
    return float(results[0]) if results else 0.0


def _meeting(columns: Columns) -> Tensor:
    """Their part of J J^T: (a a^T) * (d d^T), d of all outputs one below another."""
    a, outputs = _gram(columns.a), len(columns.d)
    if outputs == 1:
        return a * _gram(columns.d[0])
    return ops.concatenate([ops.concatenate([a] * outputs, 1)] * outputs, 0) * _gram(ops.concatenate(columns.d, 0))


def _gram(x: Tensor) -> Tensor:
    return ops.matmul(x, ops.transpose(x))


class System(ABC):
    """(J^T J + damping) d = -J^T e at one place: `value` is |e|^2, `g` the right-hand side J^T e."""

    value: float
    g: Array

    @abstractmethod
    def step(self, damping: Array | float) -> Array | None:
        """d; None where it cannot be had in float64. The damping is a diagonal where J^T J has one, else a number."""

    @abstractmethod
    def half_acceleration(self, damping: Array | float, d: Array, there: Array, errors: Array) -> Array:
        """-(J^T J + damping)^-1 J^T q, what to add to the d that `step` gave last, with this damping, where the way bends: of the
        errors (n, k) `there`, at the end of d, q = errors - (e + J d) is what the linear model did not know, half of d^2 e / dt^2
        along d.
        """

    @property
    def diagonal(self) -> Array | None:
        """J^T J's: the squared lengths of J's columns; None where only J J^T is there."""
        return None

    @property
    @abstractmethod
    def length(self) -> float:
        """|J|: the root of the sum of its squares."""


class Primal(System):
    """(scale (H + more) + diag(ridge + damping)) d = -g, H = J^T J; scale and ridge are 1 and 0 but for a regularized objective.

    h and more: the rows of the upper triangles, one after the other.
    """

    def __init__(
        self,
        h: Array,
        g: Array,
        value: float,
        pull: Pull,
        solver: core.PositiveSystem,
        *,
        more: Array | None = None,
        scale: float = 1.0,
        ridge: float = 0.0,
    ):
        self.h, self.g, self.value, self._pull, self._solver = h, g, value, pull, solver
        self._more, self._scale, self._ridge = more, scale, ridge

    def step(self, damping: Array | float) -> Array | None:
        return self._solver.solve(self.h, damping + self._ridge, -self.g, self._scale, self._more)

    def half_acceleration(self, damping: Array | float, d: Array, there: Array, errors: Array) -> Array:
        # scale J^T (e + J d) = -(damping d + ridge there), by which `step` found d
        return self._solver.again(-(self._scale * self._pull(errors) + damping * d + self._ridge * there))

    def plus(self, more: Array) -> Primal:
        """The same with H + `more`."""
        return Primal(self.h, self.g, self.value, self._pull, self._solver, more=more)

    def penalized(self, alpha: float, beta: float, theta: Array) -> Primal:
        """That of beta |e|^2 + alpha |theta|^2."""
        return Primal(self.h, beta * self.g + alpha * theta, self.value, self._pull, self._solver, scale=beta, ridge=alpha)

    @property
    def diagonal(self) -> Array:
        return self._scale * self.h.take(diagonal_places(len(self.g)))

    @property
    def length(self) -> float:
        return math.sqrt(self.h.take(diagonal_places(len(self.g))).sum())

    def effective(self, scale: float, alpha: float) -> float:
        """How many weights the data determine: tr(scale H (scale H + alpha I)^-1), n - alpha |U^-1|^2 where U^T U is the sum."""
        n = len(self.g)
        far = alpha > ROUNDED * float(self.diagonal.sum()) * scale
        if far and self._solver.solve(self.h, alpha, self.g, scale) is not None:
            inverse = core.solve_triangular(self._solver.factor(), np.eye(n), False, False, False)
            return n - alpha * float(np.square(inverse, out=inverse).sum())
        h = np.zeros((n, n))
        h[np.tri(n, dtype=bool).T] = self.h
        spectrum = np.linalg.eigvalsh(h, "U")
        spectrum[spectrum < n * np.finfo(np.float64).eps * spectrum[-1]] = 0  # rounding's, of which a large scale would make some
        return float((scale * spectrum / (scale * spectrum + alpha)).sum())


class Dual(System):
    """(K + damping I) z = -e, d = J^T z, K = J J^T."""

    def __init__(self, kernel: Array, e: Array, pull: Pull, solver: core.PositiveSystem):
        self.kernel, self._samples, self._pull, self._solver = kernel, len(e), pull, solver
        self.e: Array = e.T.ravel()  # all samples of an output in turn, as the kernel's rows are
        self.g = pull(e)
        self.value = float(self.e @ self.e)

    def step(self, damping: Array | float) -> Array | None:
        z = self._solver.solve(self.kernel, damping, -self.e)
        if z is None:
            return None
        self._z = z
        return self._back(z)

    def half_acceleration(self, damping: Array | float, d: Array, there: Array, errors: Array) -> Array:
        # e + J d = e + K z = -damping z
        return self._back(self._solver.again(-(errors.T.ravel() + damping * self._z)))

    @property
    def length(self) -> float:
        return math.sqrt(np.trace(self.kernel))

    def _back(self, z: Array) -> Array:
        """J^T z"""
        return self._pull(np.ascontiguousarray(z.reshape(-1, self._samples).T))
