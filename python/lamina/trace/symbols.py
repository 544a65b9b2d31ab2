"""Which symbol stands for which node: X, W1, b1, Z1, A1, P, L, dW1 for dense layers; layers' and parameters' names for the rest."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lamina import _core as core
from lamina.graph.parameter import Parameter
from lamina.layers import Activation, Dense
from lamina.trace.graph import StepGraph
from lamina.trace.layers import Norm, name_inside
from lamina.trace.notation import Part, Sym, in_formula

HIDDEN = ("input", "variable", "constant", "fill", "size")  # sources: no line of their own
ARITHMETIC: dict[str, Callable[..., float]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "neg": operator.neg, "cast": lambda n: n,
}  # fmt: skip
LETTERS = {"weight": "W", "bias": "b"}


class Symbols:
    """Names for the nodes of one step. `ref(node)` is how a node is written where it is an operand."""

    def __init__(self, graph: StepGraph) -> None:
        self.graph = graph
        self.of: dict[int, Sym] = {}  # a node's serial -> its symbol
        self.serials: dict[Sym, int] = {}  # the other way round
        self.hidden: set[int] = set()  # nodes inside a line that says it all
        self.dense: list[tuple[str, Any, core.Node, core.Node]] = []  # (index, call, product, Z)
        self.sources: dict[str, core.Node] = {}  # plain name -> an input or variable
        self._taken = {"B", "n", "t", "w", "g"}  # the batch, the elements of Y, the step, and what a rule is written with
        self._primes = Counter[Sym]()  # how many the last symbol of a name had
        self._free: set[int] = set()  # serials of the sources
        self._literals: dict[int, float | None] = {}
        for node in graph.ordered():  # operands first, as in StepGraph.settle
            self.literal(node)
        self._next = 1
        self._name_inputs()
        self._name_dense()
        self.norms: list[Norm] = name_inside(self)
        self._name_parameters()
        self._name_layers()
        self._name_operands()
        self._name_gradients()

    # ---- giving names ----

    def give(self, node: core.Node, symbol: Sym) -> Sym:
        """Names a node, with primes where the name is taken."""
        if node.serial in self.of:
            return self.of[node.serial]
        wanted = symbol
        symbol = symbol._replace(name=symbol.name + "′" * self._primes[wanted])
        while symbol.plain in self._taken:
            symbol = symbol._replace(name=symbol.name + "′")
            self._primes[wanted] += 1
        self._taken.add(symbol.plain)
        self.of[node.serial] = symbol
        self.serials[symbol] = node.serial
        return symbol

    def fresh(self, node: core.Node) -> Sym:
        """The node's symbol, or the next T."""
        if node.serial not in self.of:
            while f"T{self._next}" in self._taken:
                self._next += 1
            self.give(node, Sym("T", str(self._next)))
        return self.of[node.serial]

    def source(self, node: core.Node, symbol: Sym) -> None:
        """Names an input, a variable or a constant."""
        self.sources[self.give(node, symbol).plain] = node
        self._free.add(node.serial)

    def _name_inputs(self) -> None:
        graph = self.graph
        for letter, tensors in (("X", graph.inputs), ("Y", graph.targets)):
            for i, tensor in enumerate(tensors, 1):
                letter_ = "y" if letter == "Y" and (tensor.ndim == 1 or tensor.dtype == "int64") else letter  # class numbers
                self.source(tensor.node, Sym(letter_, str(i) if len(tensors) > 1 else ""))
        for tensor in graph.weight:
            self.source(tensor.node, Sym("s"))

    def _name_dense(self) -> None:
        graph, numbers = self.graph, dict[int, int]()
        for call, product, z in self._dense_calls():
            index = str(numbers.setdefault(id(call.layer), len(numbers) + 1))
            for local in ("weight", "bias")[: 1 + call.layer.use_bias]:
                self.source(call.layer.parameters[local].node, Sym(LETTERS[local], index))
            self.give(z, Sym("Z", index))
            self.dense.append((index, call, product, z))
            out = next((graph.nodes[s] for s in call.outputs[:1] if s in graph.nodes), None)
            if out is not None:  # the value of the call's first output is a node of this step
                self.give(out, Sym("A", index))
        readers, lines = graph.readers(), {z.serial for _, _, _, z in self.dense}
        for _, _, product, z in self.dense:
            if z is not product and readers[product.serial].keys() <= lines:  # others, as X W of one's own, read it by a name
                self.hidden.add(product.serial)

    def _dense_calls(self) -> Iterator[tuple[Any, core.Node, core.Node]]:
        """The calls of dense layers, each with its X W, and with that plus the bias."""
        graph = self.graph
        products: dict[tuple[int, int], core.Node] = {}  # (id of a call, serial of a factor) -> the first product
        sums: dict[tuple[int, int], tuple[core.Node, core.Node]] = {}  # (id of a call, serial of a term) -> (the other, the sum)
        for node in graph.ordered():
            if node.op == "matmul":
                products.setdefault((id(node.scope), graph.real(node.inputs[1]).serial), node)
            elif node.op == "add":
                for term, other in zip(node.inputs, node.inputs[::-1], strict=True):
                    sums.setdefault((id(node.scope), term.serial), (graph.real(other), node))
        for call in graph.calls():
            if not isinstance(call.layer, Dense):
                continue
            parameters = call.layer.parameters
            weight = parameters["weight"].node
            product = products.get((id(call), weight.serial))
            z = product
            if call.layer.use_bias and (id(call), parameters["bias"].node.serial) in sums:
                other, total = sums[id(call), parameters["bias"].node.serial]
                # Of two calls on the same tensor the product is the first one's: equal nodes are one.
                if other.op == "matmul" and graph.real(other.inputs[1]) == weight and product in (None, other):
                    product, z = other, total
            if product is not None and z is not None:
                yield call, product, z

    def _name_parameters(self) -> None:
        model = self.graph.model
        states = {**(model.optimizer.state if model.optimizer is not None else {}), **model.wiring.random}
        names = {p.variable: name for name, p in states.items()}
        for node in self.graph.ordered():
            if node.op == "variable" and node.serial not in self.of:
                self.source(node, Sym(names.get(node.attrs["variable"]) or Parameter.of(node).name or "state"))

    def _name_layers(self) -> None:
        z_of = {z.serial: index for index, _, _, z in self.dense}
        wiring = self.graph.model.wiring
        named = {id(layer): name for name, layer in wiring.layers.items()}
        if self.graph.loss is not None and self.graph.loss.op not in HIDDEN:
            self.give(self.graph.loss, Sym("L"))  # before a layer that is called so
        made = [t.node for t in self.graph.model.programs.outputs]
        training = self.graph.below(made)
        behind = ((node, self.graph.real(node)) for node in core.topological(made))
        through = {node.serial: real for node, real in behind if real.scope is node.scope}  # outputs that pass one on, as Dropout's
        for call in self.graph.calls():
            for serial in call.outputs:
                out = training.get(serial) or through.get(serial)
                if out is None or out.serial in self.of or out.op in HIDDEN:
                    continue
                index = z_of.get(out.inputs[0].serial) if isinstance(call.layer, Activation) and out.inputs else None
                self.give(out, Sym("A", index) if index else Sym(named.get(id(call.layer), "layer")))
        for name, tensor in self.graph.model.named_outputs.items():  # those made by operations outside of layers
            out = self.graph.real(tensor.node)
            if self.shown(out):
                self.give(out, Sym(name))

    def _name_operands(self) -> None:
        """U2: what the second dense layer reads, where operations outside of layers make it."""
        reads = Counter(self.graph.real(i).serial for node in self.graph.nodes.values() for i in node.inputs)
        for index, _, product, _ in self.dense:
            read = self.behind(product.inputs[0])
            if self.shown(read):
                near = self.graph.real(product.inputs[0])
                one = near.op == "reshape" and read.op == "slice" and len(near.shape) < len(read.shape)  # x[:, 0]
                if one and reads[read.serial] == 1:
                    self.hidden.add(read.serial)
                    read = near
                self.give(read, Sym("U", index))

    def _name_gradients(self) -> None:
        graph = self.graph
        for serial in sorted(graph.gradients, reverse=True):  # near the loss first: what passes on unchanged keeps that name
            gradient = graph.gradients[serial]
            if gradient.serial not in graph.nodes or graph.section[gradient.serial] != "backward":
                continue
            if serial in self.of and gradient.op not in HIDDEN:
                self.give(gradient, self.of[serial].d)

    # ---- reading names ----

    def ref(self, node: core.Node) -> Part:
        """How the node is written as an operand: its symbol, the symbol transposed, or a number."""
        node = self.graph.real(node)
        if node.serial in self.of:
            return self.of[node.serial]
        if node.op == "constant":
            value = np.asarray(node.attrs["value"])
            if value.size == 1:
                return in_formula(value.item(), 6)
            return self._constant(node)
        if node.op == "fill":
            return in_formula(node.attrs["value"], 6)
        if node.op == "size":
            return _product(node.attrs["shape"])
        literal = self.literal(node)
        if literal is not None:
            return in_formula(literal, 6)
        inner = self.seen_through(node)
        if inner is not None:
            return self.ref(inner)
        if flips(node):
            below = self.ref(node.inputs[0])
            return below.T if isinstance(below, Sym) else below
        return self.fresh(node)

    def behind(self, node: core.Node) -> core.Node:
        """What a reader sees of the node: through marks, broadcasts and the like."""
        node = self.graph.real(node)
        while node.serial not in self.of and (inner := self.seen_through(node)) is not None:
            node = self.graph.real(inner)
        return node

    def _constant(self, node: core.Node) -> Sym:
        """An array that stands in the math as it is: K1, K2, .."""
        number_ = 1
        while f"K{number_}" in self._taken:
            number_ += 1
        symbol = Sym("K", str(number_))
        self.source(node, symbol)
        return symbol

    def literal(self, node: core.Node) -> float | None:
        """The number that a node is, where it is made of numbers alone."""
        node = self.graph.real(node)
        if node.serial not in self._literals:
            self._literals[node.serial] = self._literal(node)
        return self._literals[node.serial]

    def _literal(self, node: core.Node) -> float | None:
        if node.op == "constant":
            value = np.asarray(node.attrs["value"])
            return float(value.item()) if value.size == 1 else None
        if node.op == "fill":
            return float(node.attrs["value"])
        if node.op not in ARITHMETIC and self.seen_through(node) is None:
            return None
        numbers = [n for n in map(self.literal, node.inputs) if n is not None]
        if len(numbers) < len(node.inputs):
            return None
        return float(ARITHMETIC[node.op](*numbers)) if node.op in ARITHMETIC else numbers[0]

    def seen_through(self, node: core.Node) -> core.Node | None:
        """What a broadcast, or a reshape that only adds axes of length 1, shows."""
        if node.op == "broadcast_to":
            return node.inputs[0]
        if node.op == "reshape" and _lengths(node.shape) == _lengths(node.inputs[0].shape):
            return node.inputs[0]
        return None

    def shown(self, node: core.Node) -> bool:
        """Whether the node has a line of its own."""
        if node.serial in self.hidden or node.op in HIDDEN or node.op == "rule_constants" or node.serial in self._free:
            return False
        if node.serial in self.of:
            return True
        return self.literal(node) is None and self.seen_through(node) is None and not flips(node)


def flips(node: core.Node) -> bool:
    """Whether a node is the transpose of a matrix (or of each matrix in a stack)."""
    axes = list(node.attrs["axes"]) if node.op == "transpose" else []
    n = len(axes)
    return n >= 2 and axes == [*range(n - 2), n - 1, n - 2]


def _lengths(shape: Any) -> list[Any]:
    return [n for n in shape if n != 1]


def _product(shape: Any) -> str:
    """A number of elements: 24, B, (3 B), (3 (B − 1))."""
    factor = 1
    symbols = []
    for n in shape:
        if isinstance(n, int):
            factor *= n
        else:
            written = str(n).replace("*", "").replace("-", " − ").replace("+", " + ")
            symbols.append(written if written.isalpha() else f"({written})")
    if not symbols:
        return str(factor)
    out = " ".join([*([str(factor)] if factor != 1 else []), *symbols])
    return out if len(symbols) == 1 and factor == 1 else f"({out})"
