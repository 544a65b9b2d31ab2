"""Nodes that NumPy's LAPACK computes: a table of functions by name, each with its gradient as math over tensors.

A rule's `compute(*arrays, **options)` returns an array, its `gradient(y, dy, i)` the tensor dL/d(input i), made of other
operations, so that it can be differentiated again. A node has one result: where a function has several, as a decomposition its
factors, they are nodes of their own that share one call of LAPACK (`shared`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina.graph.tensor import Tensor

Array = np.ndarray[Any, Any]
Gradient = Callable[[Tensor, Tensor, int], Tensor | None]


class Rule(NamedTuple):
    """How a host operation is computed, and its gradient (None where it has none)."""

    compute: Callable[..., Array]
    gradient: Gradient | None


RULES: dict[str, Rule] = {}


def define(name: str, compute: Callable[..., Array], gradient: Gradient | None) -> None:
    """Enters an operation into the table."""
    RULES[name] = Rule(compute, gradient)


def host(name: str, inputs: Sequence[Tensor], shape: Sequence[Any], dtype: str | None = None, **options: Any) -> Tensor:
    """The node of one operation of the table; its dtype is that of the first input unless said otherwise."""
    attrs = {
        "name": name,
        "shape": tuple(shape),
        "dtype": dtype or inputs[0].dtype,
        **options,
    }
    return Tensor(core.make("host", [t.node for t in inputs], attrs))


def operands(y: Tensor) -> list[Tensor]:
    """The inputs of a host node."""
    return [Tensor(node) for node in y.node.inputs]


def _compute(name: str, options: dict[str, Any], inputs: list[Array], output: Array) -> None:
    with np.errstate(all="ignore"):  # infinity in a result says itself that it overflows; other overflows are errors
        output[...] = RULES[name].compute(*inputs, **options)


def _gradient(y: core.Node, dy: core.Node, i: int) -> core.Node | None:
    rule = RULES[y.attrs["name"]].gradient
    result = None if rule is None else rule(Tensor(y), Tensor(dy), i)
    return None if result is None else result.node


core.set_host(_compute, _gradient)

# ---- One call of LAPACK for all results of a function ----

Kept = tuple[Any, tuple[Array, ...]]  # function and matrix, with every bit of it; and the results

_MOST_BYTES = 16 << 20  # a larger matrix takes long enough to decompose that its factors are better computed twice than kept
_kept: deque[Kept] = deque(maxlen=8)


def shared(decompose: Callable[[Array], tuple[Array, ...]], a: Array) -> tuple[Array, ...]:
    """decompose(a), remembered for the nodes of the other results, which ask for the same matrix next."""
    if a.nbytes > _MOST_BYTES:
        return decompose(a)
    asked = decompose, a.shape, a.tobytes()  # compared, not hashed: that takes as long as LAPACK
    for known, results in reversed(list(_kept)):
        if known == asked:
            return results
    results = decompose(a)
    _kept.append((asked, results))
    with suppress(IndexError):  # another thread has forgotten the rest
        while sum(map(_bytes_of, list(_kept))) > 4 * _MOST_BYTES:
            _kept.popleft()
    return results


def _bytes_of(kept: Kept) -> int:
    (*_, matrix), results = kept
    return len(matrix) + sum(array.nbytes for array in results)
