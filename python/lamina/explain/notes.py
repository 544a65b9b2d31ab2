"""What explain says beside a line: numbers of its result, and the reason of its form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.activations import FUNCTIONS
from lamina.layers import LayerNorm
from lamina.trace import Step, Trace, notation
from lamina.trace.notation import Sym, in_formula, number, shape_text
from lamina.trace.rounding import cancels
from lamina.trace.terms import ROWS

Array = np.ndarray[Any, Any]
SHOWN = 4  # numbers of a row
TERMS = 5  # products written out in one element of Z


def inputs(trace: Trace) -> list[str]:
    """Which of several inputs is which."""
    known = {name: source for name, source in trace.sources.items() if source["kind"] == "input" and name.startswith("X")}
    called = (f"{Sym(name[:1], name[1:]).unicode()} = {source['full_name']}" for name, source in known.items())
    return ["inputs:  " + "  ".join(called)] if len(known) > 1 else []


def note(trace: Trace, step: Step) -> str:
    """Numbers that tell most about the result, in a few words."""
    value = step.values
    if value is None:
        return ""
    if step.section == "update" and step.before is not None:
        change = np.linalg.norm((np.asarray(value, np.float64) - step.before).ravel())
        return f"‖Δ{step.symbol.unicode()}‖ = {number(change)}"
    if cancels(trace, step):
        return "0 up to rounding: its terms cancel"
    if step.kind == "loss":
        return _loss_note(trace, step, value)
    if step.kind == "activation" and step.ops[-1] == "relu":
        return f"{int((value > 0).sum())} of {value.size} active"
    if step.kind == "activation gradient" and step.ops[-1] == "relu_backward":
        graph = trace.origin.graph
        z = trace.origin.values[graph.real(graph.nodes[step.nodes[-1]].inputs[1]).serial]
        return f"{int((~(z > 0)).sum())} of {value.size} blocked by ReLU"
    if step.kind == "weight gradient":
        return f"‖{step.symbol.unicode()}‖ = {number(np.linalg.norm(value.astype(np.float64).ravel()))}"
    if value.ndim == 0:
        return f"{step.symbol.unicode()} = {number(value.item())}"
    return _first(value)


def _loss_note(trace: Trace, step: Step, value: Array) -> str:
    out = f"{step.symbol.unicode()} = {number(value.item())}"
    for symbol in (symbol for symbol in _symbols(step) if symbol.name == "y"):
        classes = trace[symbol.plain]
        if classes.dtype.kind == "i":
            labels = [number(int(i)) for i in classes.ravel()[:6]]
            out = f"{symbol.unicode()} = ({', '.join(labels)}{', …' if classes.size > 6 else ''})  {out}"
    return out


def _first(value: Array) -> str:
    flat = value.reshape(-1, value.shape[-1]) if value.ndim > 1 else value[None]
    row = flat[0] if len(flat) else flat.ravel()
    shown = " ".join(number(v, 3) for v in row[:SHOWN]) + (" …" if len(row) > SHOWN else "")
    return f"row 1: {shown}" if value.ndim > 1 else shown


def element(trace: Trace, step: Step) -> str:
    """One element of Z written out: Z1[1,3] = .8*.45 + ... = .773. '' where that has no short form."""
    if step.kind != "dense" or step.values is None or step.values.ndim != 2 or not step.values.size:
        return ""
    x, w = trace[step.operands[0]], trace[step.operands[1]]
    if x.ndim != 2:
        return ""
    j = int(np.argmax(np.abs(step.values[0])))
    terms = [f"{in_formula(a, 3)}·{in_formula(b, 3)}" for a, b in zip(x[0, :TERMS], w[:TERMS, j], strict=True)]
    terms += ["…"] if x.shape[1] > TERMS else []
    terms += [in_formula(trace[step.operands[2]][j], 3)] if len(step.operands) > 2 else []
    return f"{step.symbol.unicode()}[1,{j + 1}] = {' + '.join(terms)} = {number(step.values[0, j])}"


def reason(trace: Trace, step: Step) -> str:
    """Why the line has this form: above all, where its transpose comes from."""
    return REASONS[step.kind](trace, step) if step.kind in REASONS else ""


def _dense(trace: Trace, step: Step) -> str:
    symbols = _symbols(step)
    if len(step.operand_shapes) < 2:
        return ""
    left, right, name = symbols[0].unicode(), symbols[1].unicode(), step.symbol.unicode()
    bias = f" + {symbols[2]._replace(transposed=False).unicode()}[j]" if len(symbols) > 2 else ""
    i, row = ("i", "row i") if len(step.shape) == 2 else ("…,i", "each row i")  # of more axes all but the last one are kept
    return f"{row} of {left} meets column j of {right}: {name}[{i},j] = Σ over k of {left}[{i},k] {right}[k,j]{bias}"


def _weight_gradient(trace: Trace, step: Step) -> str:
    if len(_symbols(step)) != 2 or len(step.shape) != 2:
        return ""
    left, right = _factors(step)
    across, down = step.factors
    what = f"{down[0]} samples" if down[0] in ("B", trace.about["batch"]) else f"{down[0]} rows of all samples"
    return f"{_only_fits(step, left, across, right, down)}, and it sums over the {what}"


def _input_gradient(trace: Trace, step: Step) -> str:
    symbols = _symbols(step)
    if len(symbols) != 2 or len(step.shape) != 2 or not symbols[1].transposed:
        return ""
    dz, w = (symbol.unicode() for symbol in symbols)
    flow, weight = step.operand_shapes[:2]
    return f"{_only_fits(step, dz, flow, w, weight[::-1])}: each error goes back along the weights it came through"


def _only_fits(step: Step, left: str, left_shape: tuple[Any, ...], right: str, right_shape: tuple[Any, ...]) -> str:
    """Of a gradient that is a product: what its shape says of the factors."""
    return (
        f"{step.symbol.unicode()} must be {shape_text(step.shape)} like {_of(step)}; "
        f"only {left} ({shape_text(left_shape)}) · {right} ({shape_text(right_shape)}) fits"
    )


def _sum_of_rows(trace: Trace, step: Step) -> str:
    does = "is added to every row" if step.kind == "bias gradient" else "multiplies every row, element by element"
    return f"{_of(step)} {does}, so {step.symbol.unicode()} is the sum of the rows of {_summed(step)}"


def _activation_gradient(trace: Trace, step: Step) -> str:
    where = f" of {_of(step)}" if step.symbol.gradient else ""
    said = f"the activation acts on each element{where} alone: the error is scaled by its slope there, with no matrix product"
    slope = _slope(step.ops[-1].removesuffix("_backward"))
    return f"{said}; {slope}" if slope else said


def _norm_gradient(trace: Trace, step: Step) -> str:
    layer = trace.model.wiring.layers.get(step.layer or "")
    over = "features of each sample" if isinstance(layer, LayerNorm) else "batch"
    return f"means over the {over}: mean and variance moved with every element, so the error loses its part along them"


def _gradient(trace: Trace, step: Step) -> str:
    if step.ops[-1] != "add" or not _is_sum(notation.text(step.equation[1:])):
        return ""
    return f"{_of(step)} is read in several places: what comes back from each of them adds up"


def _loss_gradient(trace: Trace, step: Step) -> str:
    named = [symbol for symbol in _symbols(step) if symbol.name in ("P", "Y")]
    if len(named) == 2 and named[0].name == "P":
        p, y = (symbol.unicode() for symbol in named)
        return f"softmax and logarithm together have the slope {p} − {y}, {y} with a 1 where the class is"
    return f"{step.symbol.unicode()} is the slope of L in each element; it has the shape of {_of(step)}"


REASONS: dict[str, Callable[[Trace, Step], str]] = {  # by the kind of a line
    "dense": _dense,
    "weight gradient": _weight_gradient,
    "input gradient": _input_gradient,
    "bias gradient": _sum_of_rows,
    "scale gradient": _sum_of_rows,
    "activation": lambda trace, step: _definition(step.ops[-1]),
    "activation gradient": _activation_gradient,
    "norm gradient": _norm_gradient,
    "gradient": _gradient,
    "loss gradient": _loss_gradient,
}


def _of(step: Step) -> str:
    """What a gradient is that of."""
    return step.symbol._replace(gradient=False).unicode()


def _symbols(step: Step) -> list[Sym]:
    """Those right of the sign."""
    return [part for part in step.equation[1:] if isinstance(part, Sym)]


def _factors(step: Step) -> list[str]:
    """The two factors of a product as they are written; the name of a layer may have spaces of its own."""
    parts = [p.unicode().replace(" ", "\0") if isinstance(p, Sym) else p for p in step.equation[1:]]
    return [factor.replace("\0", " ") for factor in "".join(parts).removeprefix(" = ").split(" ")]


def _definition(activation: str) -> str:
    """What its docstring says first: its name in words, and its formula."""
    said = getattr(FUNCTIONS.get(activation), "__doc__", None) or ""
    return said.partition("\n")[0].partition(" Source: ")[0].rstrip(".")


def _slope(activation: str) -> str:
    """What its docstring says of its slope."""
    said = getattr(FUNCTIONS.get(activation), "__doc__", None) or ""
    return said.partition("Slope: ")[2].partition("\n")[0].rstrip(".")


def _summed(step: Step) -> str:
    """What stands behind the 1^T of a sum over rows."""
    inside = notation.text(step.equation[1:]).partition("1ᵀ ")[2].removeprefix(ROWS)
    return inside[1:-1] if inside.startswith("(") and inside.endswith(")") else inside


def _is_sum(text: str) -> bool:
    """Whether several terms are added up: x² has the gradient x + x, which is written as 2 x.

    >>> _is_sum(" = dA W + dB"), _is_sum(" = 2 (Z − Y)")
    (True, False)
    """
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and text[i : i + 3] in (" + ", " − "):
            return True
    return False


def shapes_of(step: Step) -> str:
    """(2×4)(4×8) → 2×8 for a product, else the result's shape; for a gradient whose shape it has."""
    result = shape_text(step.shape)
    if not step.factors:
        return result
    out = "".join(f"({shape_text(s)})" for s in step.factors) + f" → {result}"
    return out + (f" = {_of(step)}" if step.symbol.gradient else "")
