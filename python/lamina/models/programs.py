"""The programs of one model: predict, train, evaluate, gradients. Each is built from the same graph at its first use, then kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina import _core as core
from lamina.base import checks
from lamina.base.turns import building
from lamina.graph.function import grad
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor, placeholder
from lamina.models.objective import Objective
from lamina.models.wiring import Wiring, check_apart, check_closed
from lamina.optim import Optimizer

if TYPE_CHECKING:
    from lamina.models.quick import Quick, QuickStep

Array = np.ndarray[Any, Any]

# Sets of trained parameters whose programs one model keeps, and what those that train no longer hold for their next runs.
MOST_SETS = 4
MOST_BYTES = 64 << 20


class Target(NamedTuple):
    """What a program must know of one target: its element type, and its shape after the batch axis, where lengths may be free."""

    dtype: str
    shape: tuple[Any, ...]


class Task(NamedTuple):
    """What a training, evaluation or gradient program is built for: another task is another program."""

    targets: tuple[Target, ...]
    weighted: bool = False
    collect: bool = False  # the outputs as well
    apart: bool = False  # the loss of each output as well


class LossGraph(NamedTuple):
    """The loss as a tensor, and the inputs that it has beside the model's."""

    targets: list[Tensor]
    weight: list[Tensor]
    loss: Tensor
    terms: list[Tensor]  # of each output, before its weight

    def inputs(self, model_inputs: Sequence[Tensor]) -> list[core.Node]:
        return [tensor.node for tensor in (*model_inputs, *self.targets, *self.weight)]


@dataclass
class Planned:
    """Programs that serve together, those of one set of trained parameters or those that evaluate, and the quick ways to them."""

    programs: dict[tuple[str, Task], core.Program] = field(default_factory=dict)  # by kind
    per_sample: dict[tuple[Target, ...], tuple[core.Program, bool]] = field(default_factory=dict)  # and whether of a whole batch
    ways: dict[tuple[str, bool, bool], Quick] = field(default_factory=dict)  # by kind, with weights, with outputs
    steps: dict[bool, QuickStep] = field(default_factory=dict)  # of `train_step` with arrays, by whether with weights
    state: dict[str, int] | None = None  # the nodes' numbers of the optimizer's state that the training programs update

    @property
    def held_bytes(self) -> int:
        return sum(p.held_bytes for p in (*self.programs.values(), *(program for program, _ in self.per_sample.values())))


class Programs:
    """Builds and keeps the programs of one model. `adopt` is called with each loss, which may bring parameters of its own."""

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], wiring: Wiring, adopt: Callable[[list[Tensor]], None]):
        self.inputs, self.outputs, self.wiring = list(inputs), list(outputs), wiring
        self._adopt = adopt
        self._predict: core.Program | None = None
        self._objective: Objective | None = None
        self._forget()

    def _forget(self) -> None:
        """Nothing is planned but `predict`."""
        self._losses: dict[tuple[tuple[Target, ...], bool], LossGraph] = {}
        self._evaluation = Planned()
        self._planned: OrderedDict[tuple[int, ...], Planned] = OrderedDict()  # by what is trained, what is trained now last
        self._trained: Planned | None = None
        self.streams: dict[Task | None, list[core.Variable]] = {}  # where a prediction, or a task's losses, draw numbers from
        self.are_means: dict[tuple[Target, ...], bool] = {}  # whether each loss is a mean over samples

    def set_objective(self, objective: Objective) -> None:
        """Another loss or optimizer: all programs but `predict` are of no use any more."""
        self._forget()
        self._objective = objective

    def serve(self, objective: Objective) -> bool:
        """Whether they are those of this loss and optimizer."""
        return self._objective is objective

    def train_others(self) -> None:
        """Other parameters are trained: what was planned for them is found again, if there is something."""
        self._trained = None

    @property
    def trained(self) -> Planned:
        """What is planned for the parameters that are trained now."""
        found = self._trained
        if found is None:
            with building:
                found = self._trained = self._find_trained()
        return found

    def _find_trained(self) -> Planned:
        key = tuple([p.node.serial for p in self.trainable])
        found = self._planned.pop(key, None)
        if found is None or found.state not in (None, _serials(self.objective.optimizer)):
            found = Planned()
        while len(self._planned) >= MOST_SETS or sum(p.held_bytes for p in self._planned.values()) > MOST_BYTES:
            self._planned.popitem(last=False)
        self._planned[key] = found
        return found

    def of(self, kind: str) -> Planned:
        """What is planned of this kind: evaluations serve whatever is trained."""
        return self._evaluation if kind == "evaluate" else self.trained

    @property
    def objective(self) -> Objective:
        if self._objective is None:
            raise ValueError(
                "[Model] expected a compiled model, got one without loss and optimizer; call compile(loss, optimizer) first"
            )
        return self._objective

    @property
    def trainable(self) -> list[Parameter]:
        return [parameter for parameter in self.wiring.parameters.values() if parameter.trainable]

    def check_thawed(self) -> None:
        """ValueError where there are weights, and all rest."""
        if not self.trainable and any(p.is_weight for p in self.wiring.parameters.values()):
            raise ValueError(
                "[Model] expected something to train, got a model all of whose layers are frozen; thaw one: layer.trainable = True"
            )

    def predict(self) -> core.Program:
        """inputs -> outputs"""
        if self._predict is None:
            with building:
                if self._predict is None:
                    self._predict = core.Program([t.node for t in self.inputs], [t.node for t in self.outputs], [], False)
        return self._predict

    def train(self, task: Task) -> core.Program:
        """inputs, targets[, weight] -> loss[, losses of the outputs][, outputs]; the update as effect"""
        return self._cached("train", task, self._build_train)

    def is_planned(self, task: Task) -> bool:
        """Whether there is a program that trains now what is trained."""
        return ("train", task) in self.trained.programs

    def evaluate(self, task: Task) -> core.Program:
        """inputs, targets[, weight] -> the loss of each output, not weighted by loss_weights[, outputs]"""
        return self._cached("evaluate", task, self._build_evaluate)

    def gradients(self, task: Task) -> core.Program:
        """inputs, targets[, weight] -> dL/dp for each trainable parameter p, in a training graph"""
        return self._cached("gradients", task, self._build_gradients)

    def loss(self, task: Task) -> LossGraph:
        """The graph of the total loss, the sum over the outputs of loss_weight * loss."""
        key = (task.targets, task.weighted)
        with building:
            if key not in self._losses:
                self._losses[key] = self._build_loss(task)
                self.train_others()  # a loss may have brought parameters
            return self._losses[key]

    def slopes(self, graph: LossGraph) -> list[Tensor | None]:
        """dL/dp for each p that is trained, None where the loss does not reach it; ValueError where it reaches none."""
        nodes = core.grad(graph.loss.node, [p.node for p in self.trainable])
        if nodes and all(node is None for node in nodes):
            raise ValueError(
                "[loss] expected a loss with a gradient for at least one trainable parameter, got none: nothing would be learned; "
                "let it depend on the predictions by operations that have a slope, which lm.argmax and comparisons have not"
            )
        return [None if node is None else Tensor(node) for node in nodes]

    def _cached(self, kind: str, task: Task, build: Callable[[LossGraph, Task], core.Program]) -> core.Program:
        found = self.of(kind).programs.get((kind, task))
        if found is None:
            with building:
                graph = self.loss(task)
                found = self.of(kind).programs.get((kind, task)) or build(graph, task)
                self.of(kind).programs[kind, task] = found
        return found

    def _build_loss(self, task: Task) -> LossGraph:
        names = ["target"] if len(task.targets) == 1 else [f"target_{i}" for i, _ in enumerate(task.targets, 1)]
        targets = [placeholder(("B", *t.shape), dtype=t.dtype, name=name) for t, name in zip(task.targets, names, strict=True)]
        weight = [placeholder(("B",), dtype=self.outputs[0].dtype, name="sample_weight")] if task.weighted else []
        total: Tensor | None = None
        terms: list[Tensor] = []
        self._check_ends()
        for loss, scale, output, target in zip(
            self.objective.losses, self.objective.loss_weights, self.outputs, targets, strict=True
        ):
            term = loss(output, target, weight[0] if weight else None)
            if not isinstance(term, Tensor):
                raise TypeError(
                    f"[{loss!r}] expected a tensor from the loss function, got {type(term).__name__}; "
                    "return math over pred and target"
                )
            terms.append(term)
            term = term if scale == 1.0 else term * scale
            total = term if total is None else total + term
        assert total is not None
        graph = LossGraph(targets, weight, total, terms)
        check_closed("loss", [total], [*self.inputs, *targets, *weight])
        first = self.objective.made_for()
        if first is not None:
            check_apart(total, first.outputs)
        self._adopt([total])
        return graph

    def _check_ends(self) -> None:
        """Warns where the network ends in what its loss does not take: it trains, badly, without a word."""
        for loss, output in zip(self.objective.losses, self.outputs, strict=True):
            misfit = loss.misfit(output.node.op)
            if misfit is not None:
                checks.warn(f"[{loss!r}] {misfit}")

    def _outputs(self, losses: Sequence[Tensor], task: Task) -> list[core.Node]:
        return [t.node for t in (*losses, *(self.outputs if task.collect else ()))]

    def _build_train(self, graph: LossGraph, task: Task) -> core.Program:
        self.check_thawed()
        if not self.trainable:
            raise ValueError(
                "[Model] expected something to train, got a model without trainable parameters; add a layer such as Dense(10)"
            )
        slopes = self.slopes(graph)  # before the optimizer takes its place
        reached = [(p, slope) for p, slope in zip(self.trainable, slopes, strict=True) if slope is not None]  # as in PyTorch
        effects = self.bind_optimizer().effects([p for p, _ in reached], [slope for _, slope in reached])
        self.trained.state = _serials(self.objective.optimizer)
        losses = [graph.loss, *(graph.terms if task.apart else ())]
        return core.Program(graph.inputs(self.inputs), self._outputs(losses, task), [e.node for e in effects], True)

    def bind_optimizer(self) -> Optimizer:
        """The optimizer, with its state for the parameters that are trained."""
        return self.bind(self.objective.optimizer)

    def bind(self, optimizer: Optimizer) -> Optimizer:
        """An optimizer, with its state for the parameters that are trained."""
        with building:
            for name, parameter in self.wiring.parameters.items():
                parameter.name = name  # the optimizer's state is called by these
            optimizer.bind(self.trainable)
            return optimizer

    def _build_evaluate(self, graph: LossGraph, task: Task) -> core.Program:
        return core.Program(graph.inputs(self.inputs), self._outputs(graph.terms, task), [], False)

    def _build_gradients(self, graph: LossGraph, task: Task) -> core.Program:
        gradients = grad(graph.loss, self.trainable)
        return core.Program(graph.inputs(self.inputs), [g.node for g in gradients], [], True)


def _serials(optimizer: Optimizer) -> dict[str, int]:
    return {name: parameter.node.serial for name, parameter in optimizer.state.items()}
