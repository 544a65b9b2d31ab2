"""The equation of a single operation, for any graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import _core as core
from lamina.notation import Equation, Part, Sym, shape_text
from lamina.trace.symbols import Symbols

INFIX = {"add": " + ", "sub": " − ", "mul": " ⊙ ", "div": " / ", "pow": "^", "matmul": " "}
COMPARE = {"eq": "=", "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥"}
AROUND = {  # what stands before and after the operand
    "neg": ("−", ""), "abs": ("|", "|"), "sqrt": ("√(", ")"), "relu": ("max(0, ", ")"), "sigmoid": ("σ(", ")"),
}  # fmt: skip


def right_side(symbols: Symbols, node: core.Node) -> Equation:
    """What stands after the = of a node: its operation on the names of its operands."""
    op, attrs = node.op, node.attrs
    args: list[Part] = [symbols.ref(n) for n in node.inputs]
    if op in INFIX:
        sign = INFIX[op]
        if op == "mul" and any(isinstance(a, str) for a in args):
            args.sort(key=lambda a: isinstance(a, Sym))
            sign = " "
        return (args[0], sign, args[1])
    if op in COMPARE:
        return ("[", args[0], f" {COMPARE[op]} ", args[1], "]")
    if op in AROUND:
        before, after = AROUND[op]
        return (before, args[0], after)
    if op.endswith("_backward"):
        return slope(symbols, node, args)
    if op in ("sum", "max", "min"):
        return _reduce(op, attrs, args, len(node.inputs[0].shape))
    if op == "take":
        return (args[0], "[", args[1], "]")
    if op == "slice":
        return (args[0], f"[{_ranges(attrs)}]")
    return _call(op, attrs, args, node)


def _call(op: str, attrs: dict[str, Any], args: list[Part], node: core.Node) -> Equation:
    extra: dict[str, Callable[[], str]] = {
        "reshape": lambda: shape_text(node.shape),
        "transpose": lambda: "axes " + " ".join(str(a) for a in attrs["axes"]),
        "one_hot": lambda: str(attrs["classes"]),
        "random_uniform": lambda: shape_text(node.shape),
        "iota": lambda: shape_text(node.shape),
        "concatenate": lambda: f"axis {attrs['axis']}",
        "argmax": lambda: f"axis {attrs['axis']}" if "axis" in attrs else "",
        "clip": lambda: "",
    }
    name = {"cast": str(attrs.get("dtype", "cast")), "random_uniform": "random"}.get(op, op)
    if op == "random_uniform":
        args = []
    params = [str(p) for p in attrs.get("params", []) or []]
    tail = [t for t in ([extra[op]()] if op in extra else []) + params if t]
    parts: list[Part] = []
    for i, arg in enumerate([*args, *tail]):
        parts += [", ", arg] if i else [arg]
    return (f"{name}(", *parts, ")")


def _reduce(op: str, attrs: dict[str, Any], args: list[Part], ndim: int) -> Equation:
    axes = list(attrs["axes"])
    if len(axes) == ndim:
        return (f"{op}(", args[0], ")")
    return (f"{op}(", args[0], f", {'axis' if len(axes) == 1 else 'axes'} {' '.join(str(a) for a in axes)})")


def _ranges(attrs: dict[str, Any]) -> str:
    out = []
    for start, stop, step in zip(attrs["start"], attrs["stop"], attrs["step"], strict=True):
        out.append(f"{start}:{stop}" + ("" if step == 1 else f":{step}"))
    return ", ".join(out)


def slope(symbols: Symbols, node: core.Node, args: list[Part]) -> Equation:
    """dY ⊙ f'(Z): the derivative is written over what the core keeps, as [Z > 0] or 1 − A ⊙ A."""
    name = node.op.removesuffix("_backward")
    z, a = _in_and_out(symbols, node, name)
    if name == "relu":
        return (args[0], " ⊙ [", z or args[1], " > 0]")
    if name == "sigmoid" and a is not None:
        return (args[0], " ⊙ ", a, " ⊙ (1 − ", a, ")")
    if name == "tanh" and a is not None:
        return (args[0], " ⊙ (1 − ", a, " ⊙ ", a, ")")
    return (args[0], f" ⊙ {name}′(", z or args[1], ")")


def _in_and_out(symbols: Symbols, node: core.Node, name: str) -> tuple[Part | None, Part | None]:
    """(Z, A) of A = f(Z), whichever of the two the backward operation keeps."""
    kept = symbols.graph.real(node.inputs[1])
    if kept.op == name:
        return symbols.ref(kept.inputs[0]), symbols.ref(kept)
    for other in symbols.graph.nodes.values():
        if other.op == name and symbols.graph.real(other.inputs[0]) == kept:
            return symbols.ref(kept), symbols.ref(other)
    return None, None
