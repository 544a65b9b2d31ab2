"""J^T J of a network's errors, summed over chunks of samples, without J.

In the columns of a weight that multiplies a_b, row b of output k is the outer product of a_b and a delta d^k_b. So where two such
weights meet,

    H[(i, j), (i', j')] = sum over b of  a_bi a'_bi'  *  (sum over k of  d^k_bj d'^k_bj'),

one matrix product of products of activations and of products of deltas: all outputs meet in the second factor, and where both
weights are the same one, either factor is half of a symmetric matrix, which leaves a quarter of the work of rows times rows.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import cache, cached_property, reduce
from typing import Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina import ops
from lamina.graph.parameter import Parameter
from lamina.graph.samplewise import Outer, Rows, flattened, rows_by_use
from lamina.graph.tensor import Tensor

Array = np.ndarray[Any, Any]

CHUNK_BYTES = 1 << 20  # of factors made at once: they are written and read again while they lie in the cache
SAMPLES = 512  # of a chunk at least, as each is added to all of H
MOST_BYTES = 1 << 26  # of factors, however long they are
MOVED = 8  # multiply-adds of a matrix product that take as long as making a number and reading it once


class Columns(NamedTuple):
    """Neighbouring columns of J: row b of output k is the outer product of a_b, which may be a one, and d[k]_b."""

    a: Tensor
    d: list[Tensor]

    @property
    def shape(self) -> tuple[int, int]:
        """n and m, for a: (B, n) and d[k]: (B, m)."""
        return int(self.a.shape[1]), int(self.d[0].shape[1])


def columns_of(errors: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Columns] | None:
    """J's columns for samplewise errors (B,), one for each output. None where a weight is used in a way without a rule."""
    several = [rows_by_use(e, weights) for e in errors]
    known = [rows for rows in several if rows is not None]
    if len(known) < len(several):
        return None
    result: list[Columns] = []
    for rows in zip(*known, strict=True):
        columns = _of_weight(rows)
        if result and _same(columns.d, result[-1].d):  # a weight and its bias, which is the weight of a one
            result[-1] = Columns(ops.concatenate([result[-1].a, columns.a], 1), columns.d)
        else:
            result.append(columns)
    return result


def _of_weight(rows: Sequence[Rows]) -> Columns:
    factors = [r for r in rows if isinstance(r, Outer)]
    if len(factors) == len(rows) and len({f.a.node.serial for f in factors}) == 1:
        return Columns(factors[0].a, [f.d for f in factors])
    return plain([flattened(r) for r in rows])


def plain(rows: list[Tensor]) -> Columns:
    """The columns (B, n) of J for each output, as they are."""
    return Columns(ops.full((rows[0].shape[0], 1), 1.0, "float64"), rows)


def _same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return [t.node.serial for t in some] == [t.node.serial for t in others]


class NormalMatrix:
    """H = J^T J of the `terms` that it is put together from: those of all samples, or of `chunk` at a time, which `effects` sum.

    `once` may replace a tensor that depends on no weight by an input that holds its value.
    """

    def __init__(self, columns: Sequence[Columns], once: Callable[[Tensor], Tensor] = lambda t: t):
        columns = [Columns(once(c.a), c.d) for c in columns]
        starts = np.cumsum([0, *(math.prod(c.shape) for c in columns)])
        self.size = int(starts[-1])
        self._blocks = [
            Block(left, right, int(starts[i]), int(starts[j]), once)
            for i, left in enumerate(columns)
            for j, right in enumerate(columns[i:], start=i)
        ]
        self.terms = [b.term for b in self._blocks]
        index = np.empty((self.size, self.size), np.intp)  # where each element stands in the terms, one after the other
        first = 0
        for block in self._blocks:
            block.place(index, first)
            first += math.prod(block.term.shape)
        self._index = index[np.tri(self.size, dtype=bool).T]
        sample = 8 * max(1, sum(b.width for b in self._blocks))
        self.chunk = max(1, min(max(SAMPLES, CHUNK_BYTES // sample), MOST_BYTES // sample))

    @cached_property
    def _sums(self) -> list[Parameter]:
        return [Parameter(np.zeros(tuple(t.shape)), trainable=False, dtype="float64") for t in self.terms]

    @property
    def effects(self) -> list[core.Node]:
        """What adds the terms to their sums."""
        return [core.make("assign", [s.node, (s + t).node], {}) for s, t in zip(self._sums, self.terms, strict=True)]

    def clear(self) -> None:
        """The sums back to zero."""
        core.write([s.variable for s in self._sums], [np.zeros(tuple(s.shape)) for s in self._sums])

    def sums(self) -> list[Array]:
        """The terms of all samples since they were cleared."""
        return core.read([s.variable for s in self._sums])

    def matrix(self, terms: Sequence[Array]) -> Array:
        """H of these values of the terms: the rows of its upper triangle, one after the other, P (P + 1) / 2 numbers."""
        upper: Array = np.concatenate([np.empty(0), *terms], axis=None).take(self._index)
        return upper


class Block:
    """The part of H where some columns meet others, or themselves: `term`, of `width` numbers made for a sample."""

    def __init__(self, left: Columns, right: Columns, row: int, column: int, once: Callable[[Tensor], Tensor]):
        self._once = once
        self._shape = (*left.shape, *right.shape)
        self._rows = slice(row, row + math.prod(left.shape))
        self._columns = slice(column, column + math.prod(right.shape))
        self._order: tuple[int, ...] = ()  # of the sum's axes: 0 and 1 are n and m of the left columns, 2 and 3 of the right ones
        self._halves = False  # the sum is one of two triangles
        if factored_cost(left, right) > direct_cost(left, right):
            self.term = self._direct(left, right)
        elif left is right:
            self.term = self._halved(left)
        else:
            self.term = self._factored(left, right)

    def _direct(self, left: Columns, right: Columns) -> Tensor:
        rows, order = _outer([[left.a, d] for d in left.d], (0, 1))
        others, more = _outer([[right.a, d] for d in right.d], (2, 3))
        if left is right:
            others = rows
        elif rows[0].shape[1] > others[0].shape[1]:  # a product with few columns leaves its vectors half empty
            rows, others, order, more = others, rows, more, order
        self._order = (*order, *more)
        self.width = len(rows) * sum(int(r.shape[1]) for r in (rows[0], others[0]))
        total: Tensor = reduce(operator.add, (ops.matmul(ops.transpose(r), o) for r, o in zip(rows, others, strict=True)))
        return total

    def _factored(self, left: Columns, right: Columns) -> Tensor:
        (products,), order = _outer([[left.a, right.a]], (0, 2))
        (deltas,), more = _outer([[t for pair in zip(left.d, right.d, strict=True) for t in pair]], (1, 3))
        self._order = (*order, *more)
        return self._product(products, deltas)

    def _halved(self, columns: Columns) -> Tensor:
        self._halves = True
        products, deltas = (
            Tensor(core.make("row_outer_upper", [t.node for t in several], {})) for several in ([columns.a], columns.d)
        )
        return self._product(products, deltas)

    def _product(self, products: Tensor, deltas: Tensor) -> Tensor:
        self.width = int(products.shape[1]) + int(deltas.shape[1])
        return ops.matmul(ops.transpose(self._once(products)), deltas)

    def place(self, index: Array, first: int) -> None:
        """Writes where the elements of the block stand in the terms, if its own begins at `first`."""
        place = index[self._rows, self._columns]  # a view, as are those made of it
        if self._halves:
            n, m = self._shape[:2]
            elements = _mirrored(n)[:, None, :, None] * (m * (m + 1) // 2) + _mirrored(m)[None, :, None, :]
            np.add(elements, first, out=place.reshape(self._shape))
            return
        order = self._order
        sums = np.arange(first, first + place.size).reshape([self._shape[axis] for axis in order])
        place.reshape(self._shape).transpose(order)[:] = sums


def direct_cost(left: Columns, right: Columns) -> float:
    """Multiply-adds for a sample where J's rows are made and multiplied."""
    p, q, outputs = math.prod(left.shape), math.prod(right.shape), len(left.d)
    return outputs * (p * (p + 1) / 2 + MOVED * p if left is right else p * q + MOVED * (p + q))


def factored_cost(left: Columns, right: Columns) -> float:
    """The same where products of activations meet products of deltas."""
    (n, m), (p, q), outputs = left.shape, right.shape, len(left.d)
    products, deltas = (n * (n + 1) // 2, m * (m + 1) // 2) if left is right else (n * p, m * q)
    return products * deltas + MOVED * (products + outputs * deltas)


def _outer(several: Sequence[Sequence[Tensor]], axes: tuple[int, int]) -> tuple[list[Tensor], tuple[int, int]]:
    """The flat outer products (B, n m), each summed over pairs, and the order of their axes, the longer one last: vectors run along
    it.
    """
    n, m = (int(t.shape[1]) for t in several[0][:2])
    if n > m:
        several = [[factors[i ^ 1] for i in range(len(factors))] for factors in several]
        axes = axes[::-1]
    return [_flat_outer(factors) for factors in several], axes


def _flat_outer(factors: Sequence[Tensor]) -> Tensor:
    """The shorter rows come first: a single column multiplies the others, which costs nothing where it is a one."""
    if factors[0].shape[1] == 1:
        total: Tensor = reduce(operator.add, (x * y for x, y in zip(factors[::2], factors[1::2], strict=True)))
        return total
    product = Tensor(core.make("row_outer", [t.node for t in factors], {}))
    return ops.reshape(product, (product.shape[0], -1))


@cache
def diagonal_places(n: int) -> Array:
    """(n,): where the diagonal stands in the upper triangle of n rows, row after row."""
    at = np.arange(n, dtype=np.intp)
    places: Array = at * (2 * n + 1 - at) // 2
    return places


def _mirrored(n: int) -> Array:
    """(n, n): where each element of a symmetric matrix stands in its upper triangle, row after row."""
    at = np.arange(n, dtype=np.intp)
    row, column = np.minimum(at[:, None], at), np.maximum(at[:, None], at)
    index: Array = row * (2 * n - 1 - row) // 2 + column
    return index
