"""Which lines of a trace each step of the program computes. The core names a fused step by its operations: matmul+add+relu."""

from __future__ import annotations

from typing import Any

from lamina import _core as core
from lamina.trace.graph import StepGraph
from lamina.trace.record import ProgramStep, Step

IDLE = ("source", "view", "mode")  # kinds of operations that compute nothing


class Matcher:
    """Finds the graph's node behind each operation of the program, by name, order and operands.

    The core's passes merge equal nodes and replace some by simpler ones: equal nodes are merged here as well, and what cannot be
    found stays without a line.
    """

    def __init__(self, graph: StepGraph, lines: list[Step]) -> None:
        self.graph = graph
        self.products = {line.nodes[0]: line.detail["matmul"] for line in lines if "matmul" in line.detail}
        self.same: dict[int, int] = {}  # serial -> serial of the first equal node
        self.equals: dict[int, list[int]] = {}
        self.waiting: dict[str, list[int]] = {}  # operation -> serials of the nodes that no step has yet
        self.operands: dict[int, set[int]] = {}
        self.done: set[int] = set()
        first: dict[Any, int] = {}
        for node in graph.ordered():
            inputs = tuple(self.same[graph.real(i).serial] for i in node.inputs if graph.real(i).serial in self.same)
            keep = node.op in ("input", "variable", "constant", "random_uniform") or core.op_kind(node.op) == "effect"
            key = node.serial if keep else (node.op, inputs, str(node.attrs))
            self.same[node.serial] = first.setdefault(key, node.serial)
            self.equals.setdefault(self.same[node.serial], []).append(node.serial)
            if self.same[node.serial] != node.serial:
                continue
            idle = core.op_kind(node.op) in IDLE
            below = {s for i in inputs for s in (self.operands.get(i, set()) if self._idle(i) else {i})}
            self.operands[node.serial] = below
            if not idle and node.op != "rule_constants":
                self.waiting.setdefault(node.op, []).append(node.serial)

    def _idle(self, serial: int) -> bool:
        node = self.graph.nodes[serial]
        return core.op_kind(node.op) in IDLE or node.op == "rule_constants"

    def take(self, op: str, flops: int, inside: set[int]) -> list[int]:
        """The serials of the next node of this operation: one that is ready, rather one that reads what this step made."""
        found: int | None = None
        rank = 0
        for serial in self.waiting.get(op, ()):
            if op == "matmul" and self.products.get(serial, flops) != flops:
                continue
            ready = self.operands[serial] <= self.done
            near = not self.operands[serial].isdisjoint(inside)
            score = 2 * near + ready  # what is fused hangs together
            if score > rank:
                found, rank = serial, score
            if score == 3:
                break
        if found is None:
            found = self._behind(op, flops)
        if found is None:
            return []
        self.waiting[op].remove(found)
        self.done.add(found)
        inside.add(found)
        return self.equals[found]

    def _behind(self, op: str, flops: int) -> int | None:
        """An operation that passes leave alone, though they replaced some before it: those have been computed in another form."""
        if op != "matmul" and op != "rule_update" and not op.endswith("_backward") and op not in core.activation_names():
            return None
        for serial in self.waiting.get(op, ()):
            if op != "matmul" or self.products.get(serial, flops) == flops:
                above = self._ancestors(serial) - self.done
                self.done |= above
                self.waiting = {name: [s for s in serials if s not in above] for name, serials in self.waiting.items()}
                return serial
        return None

    def _ancestors(self, serial: int) -> set[int]:
        seen: set[int] = set()
        waiting = list(self.operands[serial])
        while waiting:
            s = waiting.pop()
            if s not in seen:
                seen.add(s)
                waiting += self.operands.get(s, set())
        return seen


def attribute(graph: StepGraph, profile: list[dict[str, Any]], lines: list[Step]) -> list[ProgramStep]:
    """The program's steps with the lines that each computes; a line gets the time of the steps that begin with it."""
    matcher = Matcher(graph, lines)
    line_of = {serial: line for line in lines for serial in line.nodes}
    steps = []
    for index, row in enumerate(profile):
        step = ProgramStep(index, str(row["name"]), round(1e6 * float(row["seconds"]), 3), int(row["flops"]), int(row["bytes"]))
        inside: set[int] = set()
        for op in step.name.split("+"):
            for serial in matcher.take(op, step.flops, inside):
                line = line_of.get(serial)
                if line is not None and line.number not in step.lines:
                    step.lines.append(line.number)
                    line.program_steps.append(index)
        step.lines.sort()
        if step.lines:
            head = lines[step.lines[0] - 1]
            head.microseconds = round((head.microseconds or 0.0) + step.microseconds, 3)
        steps.append(step)
    return steps
