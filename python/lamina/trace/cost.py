"""What a node costs: floating-point operations and bytes of its operands and result.

A matrix product m x k . k x n counts 2 m k n; an elementwise operation one for each element of its result, whichever function it
is; a reduction one for each element that it reads; softmax and its kin 5 for each element (max, subtract, exp, sum, divide).
Moving data costs no FLOP.
"""

from __future__ import annotations

import math

import numpy as np

from lamina import _core as core

Shape = tuple[int, ...]
ROW_COST = {"softmax": 5, "log_softmax": 5, "logsumexp": 4, "argmax": 1, "argmin": 1}
RULE_COST = {  # arithmetic operations on one weight, as the formula has them
    "sgd_plain": 2, "sgd": 4, "adam": 13, "adam_amsgrad": 14, "rmsprop": 8, "rmsprop_full": 12, "adagrad": 7, "adadelta": 13,
    "adamax": 9, "nadam": 14, "radam": 14, "rprop": 6, "lion": 9,
}  # fmt: skip


def flops(node: core.Node, operands: list[Shape], result: Shape) -> int:
    """Floating-point operations of one node."""
    kind = core.op_kind(node.op)
    if kind == "matmul":
        return 2 * math.prod(result) * operands[0][-1]
    if node.op == "rule_update":
        return RULE_COST.get(str(node.attrs["rule"]), 1) * math.prod(result)
    if kind == "elementwise":
        return 0 if node.op in ("cast", "one_hot") else math.prod(result)
    if kind == "outer":
        pairs = len(operands) // (2 if node.op == "row_outer" else 1)
        return (2 * pairs - 1) * math.prod(result)
    if kind == "reduce":
        return math.prod(operands[0])
    if kind == "row":
        return ROW_COST.get(node.op, 1) * math.prod(operands[0])
    return math.prod(operands[-1]) if node.op == "scatter_add" else 0


def size_of(shape: Shape, dtype: str) -> int:
    """Bytes."""
    return math.prod(shape) * np.dtype(dtype).itemsize
