"""The graph of inference: `in_training` takes its second branch, and marks such as `update_state` pass their value on."""

from __future__ import annotations

from collections.abc import Sequence

from lamina import _core as core
from lamina.graph.tensor import Tensor

MARKS = ("in_training", "update_state")  # of which an inference program has one operand
EFFECTS = ("assign", "rule_update", "rule_constants")  # they write variables: without a value of their own, no part of a prediction


def resolved(outputs: Sequence[Tensor]) -> list[core.Node]:
    """The nodes that an inference program has, inputs before users: of `in_training` the second branch, of `update_state` x."""
    nodes = core.topological([t.node for t in outputs])
    if not [node for node in nodes if node.op in MARKS]:
        return nodes
    order: list[core.Node] = []
    seen: set[int] = set()
    waiting = [(t.node, False) for t in reversed(outputs)]
    while waiting:
        node, done = waiting.pop()
        if done:
            order.append(node)
        elif node.serial not in seen:
            seen.add(node.serial)
            waiting.append((node, True))
            waiting += [(below, False) for below in reversed(children(node))]
    return order


def children(node: core.Node) -> list[core.Node]:
    """What a node needs in an inference program."""
    if node.op == "in_training":
        return node.inputs[1:]
    return node.inputs[:1] if node.op == "update_state" else node.inputs


def in_inference(outputs: Sequence[Tensor], x: Tensor) -> tuple[list[Tensor], Tensor]:
    """The outputs and x as an inference program has them, in whatever program they stand."""
    known: dict[int, core.Node] = {}
    for node in resolved([*outputs, x]):
        below = [known[n.serial] for n in children(node)]
        if node.op in MARKS:
            known[node.serial] = below[0]
        elif all(new.serial == old.serial for new, old in zip(below, node.inputs, strict=True)):
            known[node.serial] = node
        else:
            known[node.serial] = core.make(node.op, below, node.attrs)
    return [Tensor(known[t.node.serial]) for t in outputs], Tensor(known[x.node.serial])
