"""The equation of a line, for any graph: operations on names, small ones written into the line that uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from typing import Any

from lamina import _core as core
from lamina.activations import FUNCTIONS
from lamina.graph.inference import EFFECTS
from lamina.graph.tensor import placeholder
from lamina.trace.notation import Equation, Part, Sym, number, shape_text, text
from lamina.trace.symbols import Symbols, flips
from lamina.trace.terms import ATOM, ROWS, Term, as_argument, as_factor, behind_a_factor, doubled, is_number, negated

INFIX = ("add", "sub", "mul", "div", "pow", "matmul")
COMPARE = {"eq": "=", "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥"}
AROUND = {  # what stands before and after the operand
    "abs": ("|", "|"), "sqrt": ("√(", ")"), "relu": ("max(0, ", ")"), "sigmoid": ("σ(", ")"), "log": ("ln(", ")"),
}  # fmt: skip
LONGEST = 40  # characters of an expression that is written into another one
LONGEST_NEW = 64  # into what a variable becomes
KINDS = ("elementwise", "reduce", "row", "random")  # of operations that may stand in the line of another one


class Writing:
    """Decides which nodes are written into the line of their only reader, and writes the lines."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols
        self.readers: dict[int, set[int]] = {}  # serial of a node -> those of the shown nodes that read it
        self.turned: set[int] = set()  # serials of what somebody reads transposed
        self.always: set[int] = set()  # serials of nodes that are written out wherever they are read
        self.never: set[int] = set()  # of those that have a line of another form
        self.draws = [n.serial for n in symbols.graph.ordered() if n.op == "random_uniform"]
        self._inside: dict[int, bool] = {}
        self._terms: dict[int, Term] = {}
        for node in symbols.graph.nodes.values():
            if node.op in EFFECTS or symbols.shown(node):
                for child in node.inputs:
                    self._note(child, node.serial)
        for _, value, mark in symbols.graph.states:
            self._note(value, mark.serial)

    def _note(self, node: core.Node, reader: int) -> None:
        node = self.symbols.graph.real(node)
        while node.serial not in self.symbols.of:
            inner = self.symbols.seen_through(node)
            if inner is None and flips(node):
                inner = node.inputs[0]
                self.turned.add(self.symbols.graph.real(inner).serial)
            if inner is None:
                break
            node = self.symbols.graph.real(inner)
        self.readers.setdefault(node.serial, set()).add(reader)

    def inside(self, node: core.Node) -> bool:
        """Whether the node has no line of its own, but stands in its reader's."""
        if node.serial not in self._inside:
            self._inside[node.serial] = self._fits_inside(node)
        return self._inside[node.serial]

    def _fits_inside(self, node: core.Node) -> bool:
        symbols, graph = self.symbols, self.symbols.graph
        if node.serial in symbols.of or node.serial in self.never or node.serial in symbols.hidden or not symbols.shown(node):
            return False
        if node.serial in self.always or self._rows(node) or self._of_sizes(node) or self._error(node):
            return True
        readers = self.readers.get(node.serial, set())
        if len(readers) != 1 or node.serial in self.turned:
            return False
        (reader,) = readers
        if core.op_kind(node.op) not in KINDS and not self._adds_up(node, reader):
            return False
        limit = LONGEST if reader in graph.nodes and graph.nodes[reader].op != "assign" else LONGEST_NEW
        if graph.section.get(node.serial) != graph.section.get(reader, "update") or reader in symbols.hidden:
            return False
        if reader in graph.nodes and graph.nodes[reader].op in ("host", "concatenate"):
            return False
        return len(text(self.term(node).parts)) <= limit

    def _adds_up(self, node: core.Node, reader: int) -> bool:
        """Whether it is one of the products of named values that sum up to a gradient: dZ2 W2^T in dA1 = dZ3 W3^T + dZ2 W2^T."""
        graph = self.symbols.graph
        if node.op != "matmul" or reader not in graph.nodes or graph.nodes[reader].op != "add":
            return False
        seen = [self.symbols.behind(n) for n in node.inputs]
        seen = [self.symbols.behind(n.inputs[0]) if flips(n) else n for n in seen]
        return all(n.serial in self.symbols.of for n in seen) and graph.section.get(node.serial) == "backward"

    def _error(self, node: core.Node) -> bool:
        """Whether it is the difference of two named values in a loss, which both passes read: Z - Y."""
        if node.op != "sub" or self.symbols.graph.section.get(node.serial) != "loss":
            return False
        return all(self.symbols.behind(n).serial in self.symbols.of for n in node.inputs)

    def _rows(self, node: core.Node) -> bool:
        """Whether it lays all positions of all samples one under the other, as the rows of one matrix."""
        if node.op != "reshape" or len(node.shape) != 2 or node.serial in self.symbols.of:
            return False
        shape = node.inputs[0].shape
        return len(shape) > 2 and shape[-1] == node.shape[-1]

    def _of_sizes(self, node: core.Node) -> bool:
        """Whether it is a number made of sizes and numbers alone, as 1 / B."""
        if len(node.shape) or core.op_kind(node.op) != "elementwise":
            return False
        below = [self.symbols.behind(n) for n in node.inputs]
        return all(n.op in ("size", "fill", "constant") or self._of_sizes(n) for n in below)

    def operand(self, node: core.Node) -> Term:
        """How a node is written where it is read."""
        behind = self.symbols.behind(node)
        if self.inside(behind):
            return self.term(behind)
        if flips(behind) and behind.serial not in self.symbols.of:
            inner = self.symbols.behind(behind.inputs[0])
            if flips(inner) and inner.serial not in self.symbols.of:
                return self.operand(inner.inputs[0])
            if self._rows(inner):
                term = self.term(inner)
                return Term((*term.parts, "ᵀ"), ATOM, term.nodes)
            term = self.operand(behind.inputs[0])
            spread = self._spread(term, behind.inputs[0], behind)
            if spread is not term or self.inside(inner):
                return Term((*spread.within(ATOM), "ᵀ"), ATOM, spread.nodes) if inner.shape else term
        part = self.symbols.ref(node)
        return Term((part,), ATOM)

    def term(self, node: core.Node) -> Term:
        """The operation itself, on its operands."""
        if node.serial not in self._terms:
            self._terms[node.serial] = self._term(node)
        return self._terms[node.serial]

    def _term(self, node: core.Node) -> Term:
        below = self.symbols.graph.real(node.inputs[0]) if node.op == "reshape" else node
        if below is not node and below.op == "slice" and below.serial in self.symbols.hidden:
            term = self.term(below)  # U = X[:, 1, :], without the axis that has one place
            return Term(term.parts, term.rank, (*term.nodes, node))
        args = [self.read_by(node, n) for n in node.inputs]
        parts, rank = self._written(node, args)
        held = {n.serial: n for arg in args for n in arg.nodes}
        return Term(parts, rank, (*held.values(), node))

    def read_by(self, reader: core.Node, node: core.Node) -> Term:
        """How a node is written as an operand of `reader`."""
        return self._across(self._spread(self.operand(node), node, reader), node, reader)

    def _across(self, term: Term, operand: core.Node, reader: core.Node) -> Term:
        """One of two vectors of which each element of the one meets all of the other: a 1ᵀ, or 1 bᵀ."""
        if core.op_kind(reader.op) != "elementwise" or len(reader.shape) != 2:
            return term
        ways = {self._stands(n) for n in reader.inputs}
        way = self._stands(operand)
        if way is None or not ways >= {"column", "row"}:
            return term
        if way == "column":
            return Term((*term.within(2), " 1ᵀ"), 2, term.nodes)
        parts = term.within(ATOM)
        turned = (parts[0].T,) if len(parts) == 1 and isinstance(parts[0], Sym) else (*parts, "ᵀ")
        return Term(("1 ", *turned), 2, term.nodes)

    def _stands(self, node: core.Node) -> str | None:
        """Whether a vector is the column of a matrix, or its row, where it is read."""
        shape, seen = list(self._kept(node).shape), self.symbols.behind(node)
        column = len(seen.shape) == 2 and seen.shape[1] == 1 and seen.shape[0] != 1 and not flips(seen)  # as Z[:, 1] is
        if (len(seen.shape) != 1 and not column) or shape == [1, 1]:
            return None
        return "column" if len(shape) == 2 and shape[1] == 1 else "row" if len(shape) == 1 or shape[0] == 1 else None

    def _spread(self, term: Term, operand: core.Node, reader: core.Node) -> Term:
        """An operand that is repeated along an axis, other than a leading one, without which it is written: as broadcast(..).

        (Of matrices it is a column, that of Z 1 for example, and goes without saying.)
        """
        operand, kept = self.symbols.graph.real(operand), self._kept(operand)
        full = list(operand.shape if kept is not operand or core.op_kind(reader.op) != "elementwise" else reader.shape)
        if len(full) < 3 or is_number(term) or not self._lacks_an_axis(kept):
            return term
        axes = _repeated(list(kept.shape), full)
        return Term(("broadcast(", *term.parts, f", {_axes(axes)})"), ATOM, term.nodes) if axes else term

    def _kept(self, node: core.Node) -> core.Node:
        """What is repeated to become the node."""
        node = self.symbols.graph.real(node)
        while node.op == "broadcast_to" and node.serial not in self.symbols.of:
            node = self.symbols.graph.real(node.inputs[0])
        return node

    def _lacks_an_axis(self, node: core.Node) -> bool:
        """Whether it is written without an axis of length 1 that it has behind others."""
        seen = self.symbols.behind(node)
        if _inner(node.shape) != _inner(seen.shape):
            return True
        if len(seen.shape) < 3 or core.op_kind(seen.op) != "elementwise" or not self.inside(seen):
            return False
        below = [self._kept(n) for n in seen.inputs]
        return any(self._lacks_an_axis(n) and not _repeated(list(n.shape), list(seen.shape)) for n in below)

    def _written(self, node: core.Node, args: list[Term]) -> tuple[Equation, int]:
        op = node.op
        if op in INFIX:
            return self._infix(node, args)
        if op == "neg":
            return negated(args[0]) or ("−", *args[0].within(2)), 2
        if op in COMPARE:
            return ("[", *args[0].parts, f" {COMPARE[op]} ", *args[1].parts, "]"), ATOM
        if op in AROUND:
            before, after = AROUND[op]
            return (before, *args[0].parts, after), ATOM
        if op.endswith("_backward"):
            return slope(self.symbols, node, args), 2
        if op in ("sum", "max", "min"):
            return self._reduce(node, args[0])
        if op == "where" and args[2].parts == ("0",):
            return (*as_factor(args[1]), " ⊙ ", *args[0].within(2)), 2
        axis = self._joined(node)
        if axis is not None:
            if op == "pad":
                zeros = [[Term(("0",), ATOM)] * bool(node.attrs[side][axis]) for side in ("low", "high")]
                args = [*zeros[0], *args, *zeros[1]]
            inner = [part for arg in args for part in (", ", *arg.parts)]
            if axis == len(node.shape) - 1:
                return ("[", *inner[1:], "]"), ATOM
            return ("concatenate(", *inner[1:], f", {_axes([axis])})"), ATOM
        if op == "scatter_add":
            return ("onehot(", *args[0].parts, ")ᵀ ", *args[1].within(3)), 2
        if op == "take":
            return (*args[0].within(ATOM), "[", *args[1].parts, "]"), ATOM
        if op == "slice":
            return (*args[0].within(ATOM), f"[{_ranges(node)}]"), ATOM
        if op == "random_uniform":
            return (f"random({self.draws.index(node.serial) + 1})" if len(self.draws) > 1 else "random",), ATOM
        if self._rows(node):
            return (f"{ROWS}(", *args[0].parts, ")"), ATOM
        return _call(op, node.attrs, args, node), ATOM

    def _joined(self, node: core.Node) -> int | None:
        """The axis along which tensors are joined, or one with zeros; None for other operations, and for what is repeated."""
        if node.op == "concatenate":
            return int(node.attrs["axis"]) % len(node.shape)
        if node.op != "pad" or any(node.attrs["interior"]) or self._held(node.inputs[0]) != list(node.inputs[0].shape):
            return None
        around = [k for k, widths in enumerate(zip(node.attrs["low"], node.attrs["high"], strict=True)) if any(widths)]
        return around[0] if len(around) == 1 else None

    def _infix(self, node: core.Node, args: list[Term]) -> tuple[Equation, int]:
        a, b = args
        if node.op == "add":
            return _sum(a, b)
        if node.op == "sub":
            return _difference(a, b), 1
        if node.op == "mul":
            return self._times(node, a, b)
        if node.op == "div":
            whole = self._mean(node, a)
            return (_over(a, b), 2) if whole is None else (whole, ATOM)
        if node.op == "pow":
            power: Equation = ("²",) if b.parts == ("2",) else ("^", *b.parts) if is_number(b) else ("^(", *b.parts, ")")
            return (*a.within(ATOM), *power), 3
        return self._product(node, a, b), 2

    def _times(self, node: core.Node, a: Term, b: Term) -> tuple[Equation, int]:
        """a ⊙ b, of which a number stands first."""
        if text(a.parts) == text(b.parts):
            return (*a.within(ATOM), "²"), 3
        small_a, small_b = (is_number(t) or not self.symbols.behind(n).shape for t, n in zip((a, b), node.inputs, strict=True))
        if small_a or small_b:
            first = small_a and (is_number(a) or not is_number(b))
            return (_scaled(a, b) if first else _scaled(b, a)), 2
        below = self._inverted(node.inputs[1])
        if below is not None:
            return _over(a, below), 2
        return (*as_factor(a), " ⊙ ", *as_factor(b)), 2

    def _product(self, node: core.Node, a: Term, b: Term) -> Equation:
        """A B, a matrix product."""
        row = node.inputs[0].shape
        ones = a.parts == ("1",) and len(row) == 2 and row[0] == 1  # a row of ones, as the sum of all rows needs it
        column = b.parts == ("1",) and node.shape[-1] == 1  # of ones, as a 1 behind a matrix is
        a = Term(("1ᵀ",), ATOM) if ones else self._summed(a, node.inputs[0], [-1])
        b = b if column else self._summed(b, node.inputs[1], [-2])
        return (*a.within(3), " ", *b.within(3))

    def _summed(self, term: Term, node: core.Node, axes: Sequence[int]) -> Term:
        """What is summed along these axes: as broadcast(..) where it is the same along one of them, which a number is not."""
        held, full = self._held(node), list(node.shape)
        if all(held[axis] == full[axis] for axis in axes) or text(term.parts).startswith("broadcast("):
            return term
        return Term(("broadcast(", *term.parts, f", {_axes(_repeated(held, full))})"), ATOM, term.nodes)

    def _held(self, node: core.Node) -> list[Any]:
        """The lengths of what is written for a node: 1 where that is repeated."""
        node = self.symbols.graph.real(node)
        n, full = len(node.shape), list(node.shape)
        if node.serial in self.symbols.of:
            return full
        if self.symbols.literal(node) is not None:
            return [1] * n
        if node.op == "broadcast_to":
            return [*([1] * n), *self._held(node.inputs[0])][-n:]
        if flips(node):
            held = self._held(node.inputs[0])
            return [*held[:-2], held[-1], held[-2]]
        if core.op_kind(node.op) != "elementwise" or not self.inside(node):
            return full
        below = [[*([1] * n), *self._held(child)][-n:] for child in node.inputs]
        return [length if any(held[k] != 1 for held in below) else 1 for k, length in enumerate(full)]

    def _inverted(self, node: core.Node) -> Term | None:
        """y, where the node is 1 / y and is written out: x (1 / y) reads x / y."""
        seen = self.symbols.behind(node)
        if seen.op != "div" or not self.inside(seen) or self.operand(seen.inputs[0]).parts != ("1",):
            return None
        return self.read_by(seen, seen.inputs[1])

    def _mean(self, node: core.Node, above: Term) -> Equation | None:
        """sum(x) / n, of all elements."""
        top = self.symbols.behind(node.inputs[0])
        if top.op != "sum" or not above.nodes or len(top.attrs["axes"]) != len(top.inputs[0].shape):
            return None
        below = self.symbols.graph.real(node.inputs[1])
        if below.op == "size" and list(below.attrs["shape"]) == list(top.inputs[0].shape):
            return ("mean(", *self.operand(top.inputs[0]).parts, ")")
        return None

    def _reduce(self, node: core.Node, arg: Term) -> tuple[Equation, int]:
        op, ndim = node.op, len(node.inputs[0].shape)
        axes = [axis % ndim for axis in node.attrs["axes"]]
        arg = self._summed(arg, node.inputs[0], axes) if op == "sum" else arg
        if len(axes) == ndim:
            return (f"{op}(", *arg.parts, ")"), ATOM
        if op == "sum" and ndim == 2:
            return (("1ᵀ ", *arg.within(3)), 2) if axes == [0] else ((*arg.within(3), " 1"), 2)
        if op == "sum" and axes == [*range(ndim - 1)]:
            return (f"1ᵀ {ROWS}(", *arg.parts, ")"), 2
        return (f"{op}(", *arg.parts, f", {_axes(axes)})"), ATOM


def _sum(a: Term, b: Term) -> tuple[Equation, int]:
    """a + b, a number last; with one sign where b has one of its own."""
    if text(a.parts) == text(b.parts):
        return doubled(a), 2
    if is_number(a):
        a, b = b, a
    if len(b.parts) and str(b.parts[0]).startswith("−"):
        return (*a.parts, " − ", str(b.parts[0])[1:], *b.parts[1:]), 1
    if rest := negated(b):
        return (*a.parts, " − ", *rest), 1
    return (*a.within(1), " + ", *b.within(1)), 1


def _difference(a: Term, b: Term) -> Equation:
    rest = negated(b)  # Y − −Z reads Y + Z
    return (*a.parts, " + ", *rest) if rest else (*a.within(1), " − ", *b.within(2))


def _over(a: Term, b: Term) -> Equation:
    ones = a.parts[-1:] == (" 1",)  # X 1 / 6 would read as one sixth of X
    return (*a.within(3 if ones else 2), " / ", *b.within(3))


def _scaled(scalar: Term, other: Term) -> Equation:
    """A number and what it multiplies."""
    plus, rest = negated(scalar) if is_number(scalar) else None, negated(other)
    if not plus or not rest:
        return (*as_factor(scalar), " ", *behind_a_factor(other, of_number=is_number(scalar)))
    if plus == ("1",):
        return rest
    return (*plus, *(rest[1:] if rest[0] == "1" and rest[1:] else (" ", *rest)))  # (−.5) (−1 / B) reads .5 / B


def _call(op: str, attrs: dict[str, Any], args: list[Term], node: core.Node) -> Equation:
    extra: dict[str, Callable[[], str]] = {
        "reshape": lambda: shape_text(node.shape),
        "transpose": lambda: _axes(attrs["axes"]),
        "one_hot": lambda: str(attrs["classes"]),
        "iota": lambda: shape_text(node.shape),
        "broadcast_to": lambda: _axes(_new_axes(node)),
    }
    name = "broadcast" if op == "broadcast_to" else str(attrs.get({"cast": "dtype", "host": "name"}.get(op, ""), op))
    params = _parameters(op, attrs.get("params", []) or [])
    tail = [t for t in ([extra[op]()] if op in extra else []) + params if t]
    parts: list[Part] = []
    for i, arg in enumerate([*(as_argument(a) for a in args), *((t,) for t in tail)]):
        parts += [", ", *arg] if i else [*arg]
    return (f"{name}(", *parts, ")")


def _parameters(op: str, given: Sequence[Any]) -> list[str]:
    """Those of an activation by name, alpha = .3, but for defaults of 1, which change nothing."""
    known = list(signature(FUNCTIONS[op]).parameters.values())[1:] if op in FUNCTIONS else []
    if len(known) != len(given):
        return [number(float(p)) for p in given]
    return [f"{p.name} = {number(float(v))}" for p, v in zip(known, given, strict=True) if not v == p.default == 1]


def _axes(axes: Iterable[int]) -> str:
    """Which axes, from 1."""
    counted = [str(axis + 1) for axis in axes]
    return f"{'axis' if len(counted) == 1 else 'axes'} {' '.join(counted)}"


def _new_axes(node: core.Node) -> list[int]:
    """Those along which a broadcast repeats its operand."""
    return _repeated(list(node.inputs[0].shape), list(node.shape))


def _repeated(old: list[Any], new: list[Any]) -> list[int]:
    """The axes of `new` along which `old` is broadcast."""
    old = [1] * (len(new) - len(old)) + old
    return [k for k, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]


def _inner(shape: Sequence[Any]) -> list[Any]:
    """A shape without the ones in front."""
    lengths = list(shape)
    return lengths[next((k for k, n in enumerate(lengths) if n != 1), len(lengths)) :]


def _ranges(node: core.Node) -> str:
    """What a slice takes of each axis, from 1, the last one included: 2, 1…3, 9…1 by −2; : for all of it."""
    out, attrs = [], node.attrs
    for start, stop, step, count, whole in zip(
        attrs["start"], attrs["stop"], attrs["step"], node.shape, node.inputs[0].shape, strict=True
    ):
        first = start + 1
        last = first + (count - 1) * step if isinstance(count, int) else stop if step == 1 else stop + 2  # of free lengths 1 and −1
        reach = f"{first}" if count == 1 else f"{first}…{last}".replace("*", "") + ("" if step == 1 else f" by {number(step)}")
        out.append(":" if step == 1 and count == whole else reach)
    return ", ".join(out)


def slope(symbols: Symbols, node: core.Node, args: Sequence[Term]) -> Equation:
    """dY ⊙ f'(Z): the derivative is written over what the core keeps, as [Z > 0] or 1 − A ⊙ A."""
    name = node.op.removesuffix("_backward")
    z, a = _in_and_out(symbols, node, name)
    flow, kept = as_factor(args[0]), args[1].parts
    if name == "relu":
        return (*flow, " ⊙ [", *((z,) if z else kept), " > 0]")
    if name == "sigmoid" and a is not None:
        return (*flow, " ⊙ ", a, " ⊙ (1 − ", a, ")")
    if name == "tanh" and a is not None:
        return (*flow, " ⊙ (1 − ", a, " ⊙ ", a, ")")
    return (*flow, f" ⊙ {name}′(", *((z,) if z else kept), ")")


def _in_and_out(symbols: Symbols, node: core.Node, name: str) -> tuple[Part | None, Part | None]:
    """(Z, A) of A = f(Z), whichever of the two the backward operation keeps; None for what has no name."""
    kept = symbols.graph.real(node.inputs[1])
    if kept.op != name or not _keeps_output(kept):
        return symbols.of.get(kept.serial), None
    return symbols.of.get(symbols.graph.real(kept.inputs[0]).serial), symbols.of.get(kept.serial)


def _keeps_output(node: core.Node) -> bool:
    """Whether an activation's gradient is made from its output: asked of the core, as in tanh(tanh(Z)) it could be either."""
    x = placeholder((1,), node.dtype).node
    y = core.make(node.op, [x], node.attrs)
    (slope,) = core.grad(y, [x], placeholder((1,), node.dtype).node)
    return slope is not None and slope.inputs[1].serial == y.serial
