"""Derivatives of each sample apart, from one pass over the batch: per-sample gradients, and the rows of a Jacobian.

A graph is samplewise where no node mixes samples of the batch. Then dL/dz of L = sum_b y_b holds in sample b's rows what it gives
alone, and the derivative of y_b by a weight follows from where the weight is used: z = a W gives the outer product of a_b and dz_b.

A sample has one row of each node, or as many as another, one after the other: of (B*T, k) sample b has the rows b T to b T + T - 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

from lamina import _core as core
from lamina import ops
from lamina.base import lengths
from lamina.graph.function import grad
from lamina.graph.inference import MARKS, children, resolved
from lamina.graph.tensor import FLOATS, Tensor


class Outer(NamedTuple):
    """dy_b/dW = a_b^T d_b, for a: (B, n) and d: (B, m), left unmultiplied."""

    a: Tensor
    d: Tensor


Rows = Tensor | Outer  # dy_b/dw of shape (B, *w.shape), or its factors


def batched(node: core.Node) -> bool:
    """Whether the node has a row for each sample: a length that is not known."""
    return _varies(node.shape)


def _varies(shape: Sequence[Any]) -> bool:
    return bool([n for n in shape if not isinstance(n, int)])  # every node is asked, and any(..) takes three times as long


def is_samplewise(nodes: Sequence[core.Node]) -> bool:
    """Whether each node's rows of sample b depend on that sample of the inputs alone; False where this cannot be shown."""
    return mixing(nodes) is None


def mixing(nodes: Sequence[core.Node]) -> core.Node | None:
    """The first node that could not be shown to keep samples apart: those that the last one has along its first axis."""
    batch = next(iter(nodes[-1].shape), 1)
    sizes = lengths.free(batch)
    return next((node for node in nodes if not (_of_others(node, sizes) if node.op == "size" else _keeps_apart(node, batch))), None)


def is_mean(y: Tensor) -> bool:
    """Whether a number is a mean of what each sample has by itself, scaled, shifted, or added to another one: then that of all
    samples follows from those of parts. False where this cannot be shown.
    """
    return _is_mean(y.node)


def _is_mean(node: core.Node) -> bool:
    below = children(node)
    if batched(node):
        return False
    if _is_settled(node):
        return True
    if node.op in ("add", "sub", "neg", "in_training", "update_state") or (node.op == "cast" and node.dtype in FLOATS):
        return all(map(_is_mean, below))
    if node.op in ("mul", "div") and any(map(_is_settled, below[node.op == "div" :])):
        return all(map(_is_mean, below))
    if node.op == "sum" and not batched(below[0]):
        return _is_mean(below[0])
    if node.op == "div" and below[0].op == "sum" and below[1].op == "size":
        terms = below[0].inputs[0]
        counts = _counts_samples(below[1], lengths.free(next(iter(terms.shape), 1)))
        return counts and is_samplewise(resolved([Tensor(terms)]))
    return False


def _counts_samples(size: core.Node, batch: set[str]) -> bool:
    """Whether a number of elements is a multiple of that of the samples: of twice as many, twice as much."""
    of_samples = [n for n in size.attrs["shape"] if lengths.free(n) & batch]
    if len(of_samples) != 1:
        return False

    def where(samples: int) -> int:
        return int(lengths.known(of_samples[0], lambda name: samples if name in batch else 1))

    return where(2) == 2 * where(1)


def _is_settled(node: core.Node) -> bool:
    """Whether it is the same for any samples."""
    return not any(n.op in ("input", "size") or batched(n) for n in resolved([Tensor(node)]))


def _of_others(node: core.Node, sizes: set[str]) -> bool:
    """Whether a number of elements has nothing to do with how many samples there are."""
    return all(sizes.isdisjoint(lengths.free(n)) for n in node.attrs["shape"])


def _keeps_apart(node: core.Node, batch: Any) -> bool:
    if node.op == "reshape" and all(_are_parts(s[:1], batch) for s in (node.shape, node.inputs[0].shape)):
        return True  # each sample's elements stay together, and in their order
    return _keeps_rows(node)


def _are_parts(first: Sequence[Any], batch: Any) -> bool:
    """Whether a first axis of this length has as many rows of each sample."""
    try:
        return bool(first) and _varies(first) and bool(core.split_size(first[0], batch))
    except ValueError:
        return False


def _keeps_rows(node: core.Node) -> bool:
    """Whether row r depends on row r of the operands alone."""
    op, shape = node.op, node.shape
    below = [s for s in (n.shape for n in children(node)) if _varies(s)]  # the shapes of those with a row for each sample
    if not _varies(shape):
        return not below
    if isinstance(shape[0], int):
        return False
    if any(s[0] != shape[0] for s in below):
        return False
    aligned = all(len(s) == len(shape) for s in below)
    kind = core.op_kind(op)
    if kind == "outer" or op in ("input", "fill", "random_uniform"):
        return True
    if kind in ("elementwise", "mode") or op in ("broadcast_to", "contiguous"):
        return aligned
    if kind == "row":
        return len(node.inputs[0].shape) > 1
    if op == "matmul":
        return aligned and all(len(n.shape) > 2 for n in node.inputs[1:] if batched(n))
    attrs = node.attrs
    if kind == "reduce":
        return bool(0 not in attrs.get("axes", [attrs.get("axis")]))
    if kind == "host":
        return all(len(s) > 2 for s in below)
    if op == "transpose":
        return bool(attrs["axes"][0] == 0)
    if op == "slice":
        return bool(attrs["step"][0] == 1)  # as long as x: all of it
    if op == "concatenate":
        return bool(attrs["axis"] != 0)
    if op == "take":
        return not batched(node.inputs[1 if attrs["axis"] else 0])
    return op in ("reshape", "pad")


def sample_rows(y: Tensor, weights: Sequence[Tensor]) -> list[Rows] | None:
    """dy_b/dw for each weight, from y: (B,), one number a sample. None where samples mix, or a weight is used in a way that has no
    rule here.
    """
    return rows_by_use(y, weights) if is_samplewise(resolved([y])) else None


def rows_by_use(y: Tensor, weights: Sequence[Tensor]) -> list[Rows] | None:
    """The same for a y that is known to be samplewise."""
    uses: dict[int, list[core.Node]] = {w.node.serial: [] for w in weights}
    made: list[Tensor] = []  # of weights alone, such as the transposed one that a derivative has
    for node in resolved([y]):
        used = {n.serial for n in children(node)} & uses.keys() if node.dtype in FLOATS else ()
        for serial in used:
            uses[serial].append(node)
        if used and not batched(node):
            uses[node.serial] = []
            made.append(Tensor(node))
    users = list({node.serial: node for several in uses.values() for node in several if batched(node)}.values())
    deltas = grad(ops.sum(y), [Tensor(node) for node in users]) if users else []
    rows: dict[int, Rows] = {node.serial: d for node, d in zip(users, deltas, strict=True)}
    for w in (*reversed(made), *weights):
        parts: list[Rows] = []
        for node in uses[w.node.serial]:
            part = _of_samples(_by_use(w, node, rows[node.serial]), y.shape[0])
            if part is None:
                return None
            parts.append(part)
        rows[w.node.serial] = _total(parts) if parts else ops.full((y.shape[0], *w.shape), 0.0, w.dtype)
    return [rows[w.node.serial] for w in weights]


def each_alone(y: Tensor) -> Tensor | None:
    """(B k,): the elements of a samplewise y, (B, k), each from a copy of its sample, so that one backward pass goes through all of
    them. None where something is drawn, which copies would draw apart.
    """
    batch, k = y.shape

    def longer(length: Any) -> Any:
        return lengths.known(length, lambda name: core.dim(name) * (k if name in lengths.free(batch) else 1))

    def copied(t: Tensor) -> Tensor:
        return ops.reshape(ops.broadcast_to(t, (batch, k, *t.shape[2:])), (longer(batch), *t.shape[2:]))

    known: dict[int, core.Node] = {}
    for node in resolved([y]):
        if node.op == "random_uniform":
            return None
        below = [known[n.serial] for n in children(node)]
        if not batched(node):
            known[node.serial] = node
        elif node.op == "input":
            known[node.serial] = copied(ops.expand_dims(Tensor(node), 1)).node
        elif node.op in MARKS:
            known[node.serial] = below[0]
        else:
            attrs = {name: tuple(map(longer, a)) if isinstance(a, tuple) else a for name, a in node.attrs.items()}
            known[node.serial] = core.make(node.op, below, attrs)
    return ops.sum(Tensor(known[y.node.serial]) * copied(ops.eye(k, y.dtype)[None]), 1)


def _total(parts: list[Rows]) -> Rows:
    """The sum; that of outer products as a product of their factors, a sample's one above the other."""
    if len(parts) == 1:
        return parts[0]
    factors = [part for part in parts if isinstance(part, Outer)]
    if len(factors) < 2:
        return reduce(operator.add, map(multiplied, parts))
    batch = factors[0].a.shape[0]
    a, d = (ops.reshape(ops.concatenate(several, 1), (batch, len(several), -1)) for several in zip(*factors, strict=True))
    return reduce(operator.add, [part for part in parts if isinstance(part, Tensor)], _summed(Outer(a, d), batch))


def multiplied(rows: Rows) -> Tensor:
    """dy_b/dw as one tensor (B, *w.shape)."""
    if isinstance(rows, Tensor):
        return rows
    return Tensor(core.make("row_outer", [rows.a.node, rows.d.node], {}))


def _of_samples(rows: Rows | None, batch: Any) -> Rows | None:
    """The sum over each sample's rows, where it has several."""
    if rows is None:
        return None
    if isinstance(rows, Outer):
        return rows if rows.a.shape[0] == batch else _summed(rows, batch)
    if rows.shape[0] == batch:
        return rows
    return ops.sum(ops.reshape(rows, (batch, -1, *rows.shape[1:])), 1)


def _summed(rows: Outer, batch: Any) -> Tensor:
    """a_b^T d_b for the matrices of each sample's rows."""
    a, d = (t if t.ndim == 3 and t.shape[0] == batch else ops.reshape(t, (batch, -1, t.shape[-1])) for t in rows)
    return ops.matmul(ops.transpose(a, (0, 2, 1)), d)


def _by_use(w: Tensor, node: core.Node, rows: Rows) -> Rows | None:
    """What one use of a weight gives, for each row of the node; of one made of weights, for each sample. rows: dy/dnode."""
    if node.op == "transpose" and w.ndim == 2:
        return Outer(rows.d, rows.a) if isinstance(rows, Outer) else ops.transpose(rows, (0, 2, 1))
    delta = multiplied(rows)
    if node.op == "matmul" and batched(node):
        return _by_product(w, [Tensor(n) for n in node.inputs], delta)
    if node.op == "reshape":
        return ops.reshape(delta, (delta.shape[0], *w.shape))
    if node.op == "broadcast_to" or (core.op_kind(node.op) == "elementwise" and w.ndim <= len(node.shape)):
        return _by_element(w, node, delta)
    return None if batched(node) else _by_copies(w, node, delta)


def _by_product(w: Tensor, factors: list[Tensor], delta: Tensor) -> Rows | None:
    place = int(factors[1].node.serial == w.node.serial)
    other = factors[1 - place]
    if w.ndim != 2 or not batched(other.node):
        return None
    if place == 1:
        return Outer(other, delta) if other.ndim == 2 else _summed(Outer(other, delta), other.shape[0])
    return ops.matmul(delta, ops.transpose(other, (0, 2, 1))) if other.ndim == 3 else None


def _by_element(w: Tensor, node: core.Node, delta: Tensor) -> Tensor | None:
    """The node again with a copy of the weight for each sample, and the gradient by these."""
    ndim, batch = delta.ndim, delta.shape[0]
    if w.ndim == ndim and w.shape[0] != 1:
        return None
    rest = w.shape[1:] if w.ndim == ndim else w.shape
    shape = (batch, *(1 for _ in range(ndim - 1 - len(rest))), *rest)
    if node.op == "add" and shape == delta.shape and batched(node):  # a bias
        return ops.reshape(delta, (batch, *w.shape))
    copies = ops.broadcast_to(ops.reshape(w, (1, *shape[1:])), shape)
    inputs = [copies.node if n.serial == w.node.serial else n for n in node.inputs]
    again = Tensor(core.make(node.op, inputs, {"shape": delta.shape} if node.op == "broadcast_to" else node.attrs))
    return ops.reshape(grad(again, copies, delta), (batch, *w.shape))


def _by_copies(w: Tensor, node: core.Node, delta: Tensor) -> Tensor | None:
    """Of a node made of weights: that of a copy of the weight for each sample, and the gradient by these."""
    op, batch = node.op, delta.shape[0]
    if op == "stop_gradient":
        return ops.full((batch, *w.shape), 0.0, delta.dtype)
    if core.op_kind(op) not in ("row", "reduce") and op not in ("slice", "pad", "take", "transpose", "concatenate", "matmul"):
        return None
    several = {n.serial: ops.broadcast_to(Tensor(n)[None], (batch, *n.shape)) for n in node.inputs if n.dtype in FLOATS}
    if len({t.ndim for t in several.values()}) > 1:  # a product of several matrices and one
        return None
    copies, inputs = several[w.node.serial], [several.get(n.serial, Tensor(n)).node for n in node.inputs]
    first = {"start": 0, "stop": batch, "step": 1, "low": 0, "high": 0, "interior": 0}
    attrs = {name: type(a)((first[name], *a)) if name in first else a for name, a in node.attrs.items()}
    if "axis" in attrs:
        attrs["axis"] += 1
    if "axes" in attrs:
        attrs["axes"] = [*([0] if op == "transpose" else []), *(axis + 1 for axis in attrs["axes"])]
    return grad(Tensor(core.make(op, inputs, attrs)), copies, delta)


def flattened(rows: Rows) -> Tensor:
    """dy_b/dw as (B, size)."""
    whole = multiplied(rows)
    return ops.reshape(whole, (whole.shape[0], math.prod(whole.shape[1:])))
