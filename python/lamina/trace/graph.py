"""One training step of a model as the nodes that make it up, sorted into forward, loss, backward and update."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lamina import _core as core
from lamina.base.lengths import known
from lamina.graph.inference import EFFECTS, MARKS
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import FLOATS, Tensor
from lamina.models.programs import LossGraph, Task
from lamina.models.wiring import calls_of

if TYPE_CHECKING:
    from lamina.models.model import Model


PARTS = ("slice", "reshape")
APART = ("input", "variable", "constant", "random_uniform", "host", *MARKS, *EFFECTS)  # equal nodes of these may be two values


@dataclass
class StepGraph:
    """The nodes by `serial`, which grows from operands to results; what each belongs to; and the gradient of each value."""

    model: Model
    training: bool
    inputs: list[Tensor]
    targets: list[Tensor] = field(default_factory=list)
    weight: list[Tensor] = field(default_factory=list)
    terms: list[Tensor] = field(default_factory=list)  # the loss of each output, before its weight
    loss: core.Node | None = None
    loss_root: core.Node | None = None  # as the program returns it: the loss, perhaps under a mark
    nodes: dict[int, core.Node] = field(default_factory=dict)
    section: dict[int, str] = field(default_factory=dict)
    gradients: dict[int, core.Node] = field(default_factory=dict)  # serial of a value -> dL/dvalue
    effects: list[core.Node] = field(default_factory=list)
    same: dict[int, core.Node] = field(default_factory=dict)  # serial of a part that was taken before -> that one
    states: list[tuple[core.Node, core.Node, core.Node]] = field(default_factory=list)  # (variable, its new value, update_state)

    @property
    def fed(self) -> list[core.Node]:
        """What the arrays of a batch are for, in their order."""
        return [t.node for t in (*self.inputs, *self.targets, *self.weight)]

    def real(self, node: core.Node) -> core.Node:
        """The node whose value this one passes on."""
        while (nearer := self._passes_on(node)) is not None:
            node = nearer
        return node

    def below(self, roots: Iterable[core.Node]) -> dict[int, core.Node]:
        """All nodes that the roots need in this mode; the new values of running statistics on the way go to `states`."""
        seen: dict[int, core.Node] = {}
        passed: set[int] = set()
        waiting = list(roots)
        self._note_same(waiting)
        while waiting:
            node = waiting.pop()
            if node.serial in passed:
                continue
            passed.add(node.serial)
            nearer = self._passes_on(node)
            if nearer is not None:
                waiting.append(nearer)
            else:
                seen[node.serial] = node
                waiting += node.inputs
            if node.op == "update_state" and self.training and node.serial not in self._states_seen:
                self._states_seen.add(node.serial)
                self.states.append((node.inputs[1], node.inputs[2], node))
        self.states.sort(key=lambda state: state[2].serial)  # as the step leaves them
        return seen

    def within(self, root: core.Node, section: str) -> list[core.Node]:
        """The nodes of a section that the root needs, in order: nothing of another one lies between two of them."""
        found: dict[int, core.Node] = {}
        waiting = [root]
        while waiting:
            node = self.real(waiting.pop())
            if node.serial not in found and self.section.get(node.serial) == section:
                found[node.serial] = node
                waiting += node.inputs
        return [found[s] for s in sorted(found)]

    def stops(self) -> bool:
        """Whether a stop_gradient is on the way to the loss in this mode."""
        waiting, passed = [self.loss_root] if self.loss_root is not None else [], set()
        while waiting:
            node = waiting.pop()
            if node.op == "stop_gradient":
                return True
            if node.serial not in passed:
                passed.add(node.serial)
                nearer = self._passes_on(node)
                waiting += node.inputs if nearer is None else [nearer]
        return False

    def _passes_on(self, node: core.Node) -> core.Node | None:
        """The operand whose value this node has: of marks, and of adding the zeros that a branch not taken leaves behind."""
        if node.op == "in_training":
            return node.inputs[0 if self.training else 1]
        if node.op in ("stop_gradient", "update_state", "contiguous"):
            return node.inputs[0]
        if node.serial in self.same:
            return self.same[node.serial]
        if node.op == "add":
            if node.serial not in self._added:
                ways = (node.inputs, node.inputs[::-1])
                passed = (other for zero, other in ways if other.shape == node.shape and self._is_zero(zero))
                self._added[node.serial] = next(passed, None)
            return self._added[node.serial]
        return None

    def settle(self, roots: list[core.Node]) -> None:
        """Finds what each sum passes on, operands first: the way down a deep graph is longer than Python goes."""
        for node in core.topological(roots):
            self._passes_on(node)

    def _note_same(self, roots: list[core.Node]) -> None:
        """Parts that people write anew wherever they read one: the program computes the first of equal ones. Outputs have names.

        Within the network so do derivatives, of which each repeats those before; a pass back has lines for each of its values.
        """
        self.settle(roots)
        outputs = {t.node.serial for t in self.model.programs.outputs}
        for node in sorted(core.topological(roots), key=lambda node: node.serial):
            if node.serial not in outputs and (node.op in PARTS or (self.loss_root is None and node.op not in APART)):
                part = (node.op, *(self.real(n).serial for n in node.inputs), str(node.shape), node.dtype, str(node.attrs))
                first = self._parts.setdefault(part, node)
                if first != node:
                    self.same[node.serial] = first

    def _is_zero(self, node: core.Node) -> bool:
        node = self.real(node)
        if node.serial not in self._zeros:
            if node.op == "fill":
                zero = node.attrs["value"] == 0
            elif node.op in ("broadcast_to", "reshape", "transpose", "neg", "sum", "div"):
                zero = self._is_zero(node.inputs[0])
            else:
                zero = node.op == "mul" and any(self._is_zero(i) for i in node.inputs)
            self._zeros[node.serial] = zero
        return self._zeros[node.serial]

    def __post_init__(self) -> None:
        self._states_seen: set[int] = set()
        self._zeros: dict[int, bool] = {}
        self._parts: dict[Any, core.Node] = {}
        self._added: dict[int, core.Node | None] = {}  # serial of a sum -> what it passes on

    def add(self, section: str, roots: Iterable[core.Node]) -> None:
        """Takes in what the roots need; what is new belongs to `section`."""
        for serial, node in self.below(roots).items():
            if serial not in self.nodes:
                self.nodes[serial] = node
                self.section[serial] = section

    def readers(self, section: str | None = None) -> dict[int, dict[int, core.Node]]:
        """The nodes of a section that read a value, by the value's serial and theirs."""
        found: dict[int, dict[int, core.Node]] = {}
        for node in self.ordered(section):
            for child in node.inputs:
                found.setdefault(self.real(child).serial, {})[node.serial] = node
        return found

    def calls(self) -> list[Any]:
        """The layer calls in the order in which they were made, which is that of their lines."""
        roots = [t.node for t in self.model.programs.outputs]
        nodes = core.topological(roots if self.loss_root is None else [*roots, self.loss_root])
        return calls_of(sorted(nodes, key=lambda node: node.serial))

    def ordered(self, section: str | None = None) -> list[core.Node]:
        """The nodes of a section, operands before results."""
        return [self.nodes[s] for s in sorted(self.nodes) if section is None or self.section[s] == section]


def forward_graph(model: Model, training: bool = False) -> StepGraph:
    """The outputs alone."""
    graph = StepGraph(model, training, list(model.programs.inputs))
    graph.add("forward", [t.node for t in model.programs.outputs])
    return graph


def loss_graph(model: Model, task: Task, training: bool) -> StepGraph:
    """The outputs and the loss."""
    loss: LossGraph = model.programs.loss(task)
    graph = forward_graph(model, training)
    graph.settle([loss.loss.node])
    graph.targets, graph.weight, graph.loss = loss.targets, loss.weight, graph.real(loss.loss.node)
    graph.terms, graph.loss_root = loss.terms, loss.loss.node
    graph.add("loss", [loss.loss.node])
    return graph


def step_graph(model: Model, task: Task) -> StepGraph:
    """A whole training step: the same graph, by the same rules, as the training program's. Optimizers that take all data at once
    see the network as `evaluate` does.
    """
    graph = loss_graph(model, task, steps_by_batch(model))
    trainable = model.programs.trainable
    if not trainable:
        return graph
    reached = _gradients(graph, model.programs.loss(task).loss.node, trainable)
    graph.add("backward", [slope.node for _, slope in reached])
    if not steps_by_batch(model):
        return graph
    optimizer = model.programs.bind_optimizer()
    graph.effects = [e.node for e in optimizer.effects([p for p, _ in reached], [slope for _, slope in reached])]
    states = list(graph.states)
    graph.add("update", [*graph.effects, *(node for state in states for node in state[:2])])
    return graph


def steps_by_batch(model: Model) -> bool:
    """Whether the update is part of the program: those that take all data at once (L-BFGS and its kin) run their own loop."""
    return not getattr(model.optimizer, "all_data", False)


def _gradients(graph: StepGraph, loss: core.Node, trainable: Sequence[Parameter]) -> list[tuple[Parameter, Tensor]]:
    """dL/dp for each parameter that the loss reaches; on the way, dL/dv of each value that a parameter has a part in."""
    moving = {p.node.serial for p in trainable}
    values = []
    for node in graph.ordered():
        if node.serial not in moving and any(graph.real(child).serial in moving for child in node.inputs):
            moving.add(node.serial)
            if node.dtype in FLOATS:
                values.append(node)
    found = core.grad(loss, [*(p.node for p in trainable), *values])
    graph.settle([gradient for gradient in found if gradient is not None])
    halves = {node.serial for node in graph.same.values()}  # of which `found` has what comes back by one reader
    for node, gradient in zip([*(p.node for p in trainable), *values], found, strict=True):
        if gradient is not None and node.serial not in halves:
            graph.gradients[node.serial] = graph.real(gradient)
    return [(p, Tensor(g)) for p, g in zip(trainable, found, strict=False) if g is not None]


def known_as(dim: Any, batch: int) -> int:
    """A length with every free size set to `batch`.

    >>> known_as(core.dim("B") * 2 + 1, 3), known_as(core.dim("B") * core.dim("T"), 3)
    (7, 9)
    """
    length: int = known(dim, lambda _: batch)
    return length
