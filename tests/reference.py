"""A float64 evaluator of a dumped graph in plain NumPy: the oracle that values, gradients and updates are held against.

    nodes = core.dump(outputs, training)          # dicts: id, op, inputs, attrs, shape, dtype, and value or variable
    values = evaluate(nodes, {input id: array})   # id -> array, floats in float64 whatever the node's dtype

TABLE is keyed by op name; test_reference.py asserts that every op and activation of the core stands in it.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import lamina
from lamina import _core as core
from reference_activations import ACTIVATIONS, erf
from reference_rules import RULES


@dataclass
class Context:
    """What evaluation knows besides a node's inputs: sizes of symbolic dims, values of variables, and what was written."""

    training: bool = False
    dims: dict[str, int] = field(default_factory=dict)
    uniforms: dict[int, np.ndarray] = field(default_factory=dict)  # random_uniform node id -> its draws
    variables: dict[int, np.ndarray] = field(default_factory=dict)  # id(variable) -> value; else read from the variable
    written: dict[int, np.ndarray] = field(default_factory=dict)  # id(variable) -> value after the step
    slots_written: list = field(default_factory=list)

    def shape(self, dims) -> tuple[int, ...]:
        return tuple(self.size(d) for d in dims)

    def size(self, dim) -> int:
        return dim if isinstance(dim, (int, np.integer)) else evaluate_dim(str(dim), self.dims)


_DIM_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
    ast.Mod: operator.mod,
}


def evaluate_dim(text: str, dims: dict[str, int]) -> int:
    """`2*B + 1` with B = 3 is 7."""

    def visit(node) -> int:
        if isinstance(node, ast.BinOp):
            return _DIM_OPERATORS[type(node.op)](visit(node.left), visit(node.right))
        if isinstance(node, ast.UnaryOp):
            return -visit(node.operand)
        return dims[node.id] if isinstance(node, ast.Name) else int(node.value)

    return visit(ast.parse(text, mode="eval").body)


# ---- one function an op: (context, node, *input values) -> value -----------------------------------------------------------------


def elementwise(f: Callable) -> Callable:
    return lambda _, node, *xs: f(*xs)


def number(f: Callable) -> Callable:
    """Of numbers: a bool counts as 0 or 1."""
    return lambda _, node, *xs: f(*(x.astype(np.int64) if x.dtype == bool else x for x in map(np.asarray, xs)))


def divide(a, b):
    with np.errstate(divide="ignore", invalid="ignore"):
        return a / b


def quiet(f: Callable) -> Callable:
    def call(*xs):
        with np.errstate(all="ignore"):
            return f(*xs)

    return call


def cast(_, node, x):
    dtype = node["attrs"].get("dtype", node["dtype"])
    return x.astype(np.float64 if dtype.startswith("float") else dtype)


def reduction(f: Callable) -> Callable:
    return lambda _, node, x: f(x, axis=tuple(node["attrs"]["axes"]), keepdims=node["attrs"]["keepdims"])


def index_of_extreme(f: Callable) -> Callable:
    return lambda _, node, x: f(x, axis=node["attrs"].get("axis", -1)).astype(np.int64)


def logsumexp(x, keepdims=False):
    top = x.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        total = np.where(np.isinf(top), top, np.log(np.exp(x - top).sum(axis=-1, keepdims=True)) + top)
    return total if keepdims else total[..., 0]


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)  # x - logsumexp(x) would lose the digits of large x
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def slice_(context, node, x):
    attrs = node["attrs"]
    for axis, (start, stop, step) in enumerate(zip(attrs["start"], attrs["stop"], attrs["step"], strict=True)):
        x = np.take(x, np.arange(context.size(start), context.size(stop), step), axis=axis)
    return x


def pad(context, node, x):
    """XLA's pad: `interior` zeros between neighbours, then `low`/`high` zeros at the ends (negative: cut off)."""
    attrs = node["attrs"]
    interior = attrs.get("interior") or [0] * x.ndim
    for axis, (low, high, gap) in enumerate(zip(attrs["low"], attrs["high"], interior, strict=True)):
        x = np.moveaxis(x, axis, 0)
        n = x.shape[0]
        spread = np.zeros((max(n + max(n - 1, 0) * gap, 0), *x.shape[1:]), x.dtype)
        spread[:: gap + 1] = x
        zeros_low, zeros_high = (np.zeros((max(k, 0), *x.shape[1:]), x.dtype) for k in (low, high))
        x = np.concatenate([zeros_low, spread, zeros_high])
        x = x[max(-low, 0) : len(x) - max(-high, 0)]
        x = np.moveaxis(x, 0, axis)
    return x


def scatter_add(context, node, indices, updates):
    """zeros; out[..., idx[i], ...] += updates[..., i, ...] along `axis`, the gradient of take."""
    attrs = node["attrs"]
    axis = attrs["axis"]
    rank = indices.ndim
    updates = np.moveaxis(updates, tuple(range(axis, axis + rank)), tuple(range(rank)))  # the axes of the indices come first
    out = np.zeros((context.shape(attrs["size"])[0], *updates.shape[indices.ndim :]))
    np.add.at(out, indices, updates)
    return np.moveaxis(out, 0, axis)


def row_outer_upper(context, node, *xs):
    upper = np.triu_indices(xs[0].shape[1])
    return sum(np.einsum("bi,bj->bij", x, x)[:, upper[0], upper[1]] for x in xs)


def iota(context, node):
    attrs = node["attrs"]
    shape, axis = context.shape(node["shape"]), attrs.get("axis", 0)
    column = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(column, shape).astype(np.float64 if node["dtype"].startswith("float") else node["dtype"])


def fill(context, node):
    dtype = np.float64 if node["dtype"].startswith("float") else node["dtype"]
    return np.full(context.shape(node["shape"]), node["attrs"]["value"], dtype)


def size(context, node, *_):
    return np.float64(math.prod(context.shape(node["attrs"]["shape"])))


def random_uniform(context, node, *_):
    return context.uniforms[node["id"]]


def in_training(context, node, a, b):
    return a if context.training else b


def variable(context, node, *_):
    v = node["variable"]
    given = context.variables.get(id(v))
    return widen(v.read() if given is None else given)


def write_and_return(which: int) -> Callable:
    def write(context, node, *inputs):
        target = node["variable"] if "variable" in node else context.variable_nodes[node["inputs"][-2]]
        context.written[id(target)] = inputs[-1]
        return inputs[which]

    return write


def rule_constants(context, node, lr, clock):
    """Stands for the step's constants: here just lr, the count of this step, and the hypers by name."""
    rule = node["attrs"]["rule"]
    hypers = dict(zip(RULES[rule].hypers, node["attrs"]["hyper"], strict=True))
    return {"lr": float(lr), "t": int(np.ravel(clock)[0]) + 1, "hyper": hypers}


def rule_update(context, node, w, g, constants, *slots):
    rule = RULES[node["attrs"]["rule"]]
    state = dict(zip(rule.slots, slots, strict=True))
    new = rule.step(w, g, state, constants["lr"], constants["t"], constants["hyper"], {})
    context.slots_written.append((node["id"], state))
    return new


def activation_value(name: str) -> Callable:
    entry = ACTIVATIONS[name]
    return lambda _, node, x: entry.value(x, *(node["attrs"].get("params") or entry.params))


@functools.cache
def keeps_input(name: str) -> bool:
    """Whether the core's backward of this activation keeps x (True) or y: read off a gradient's graph."""
    x = lamina.placeholder((3,), "float64")
    gradient = lamina.grad(lamina.sum(lamina.activation(name, x)), x)
    nodes = {n["id"]: n for n in core.dump([gradient.node], True)}
    backward = next(n for n in nodes.values() if n["op"] == f"{name}_backward")
    return nodes[backward["inputs"][1]]["op"] == "input"


def activation_backward(name: str) -> Callable:
    entry = ACTIVATIONS[name]

    def backward(_, node, dy, kept):
        slope = entry.slope if keeps_input(name) else entry.slope_of_output
        return dy * slope(kept, *(node["attrs"].get("params") or entry.params))

    return backward


def triangular(a, b, lower, transposed, unit_diagonal):
    t = np.tril(a) if lower else np.triu(a)
    t = np.where(np.eye(t.shape[-1], dtype=bool), 1.0, t) if unit_diagonal else t
    return np.linalg.solve(np.swapaxes(t, -2, -1) if transposed else t, b)


def cofactors(a):
    """Element by element: the minor's determinant, signed."""
    n = a.shape[-1]
    rest = [np.delete(np.arange(n), i) for i in range(n)]
    rows = [[(-1) ** (i + j) * np.linalg.det(a[..., rest[i][:, None], rest[j]]) for j in range(n)] for i in range(n)]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def each(f: Callable) -> Callable:
    """A function of one matrix on each of a stack."""

    def call(*arrays, **options):
        if arrays[0].ndim == 2:
            return f(*arrays, **options)
        return np.array([call(*several, **options) for several in zip(*arrays, strict=True)])

    return call


def pivoted(a):
    """Rows of A in the order in which LU takes them, and L and U in one matrix, by SciPy."""
    import scipy.linalg

    p, low, up = scipy.linalg.lu(a)
    k = min(a.shape)
    packed = np.zeros_like(a)
    packed[:, :k] += np.tril(low, -1)
    packed[:k] += up
    return packed, p.argmax(axis=0)


def matrix_exponential(a):
    import scipy.linalg

    return scipy.linalg.expm(a)


HOST: dict[str, Callable] = {  # linear algebra: name -> (*input values, **options) -> value
    "inv": np.linalg.inv,
    "pinv": lambda a, rcond: np.linalg.pinv(a, rcond),
    "solve": np.linalg.solve,
    "solve_triangular": triangular,
    "lstsq": each(lambda a, b, rcond: np.linalg.pinv(a, rcond) @ b),
    "det": np.linalg.det,
    "cofactors": cofactors,
    "det_size": lambda a: (np.abs(np.linalg.det(a)) ** (1 / a.shape[-1]))[..., None, None],
    "slogdet": lambda a: np.stack(np.linalg.slogdet(a), -1),
    "cholesky": np.linalg.cholesky,
    "lu": each(lambda a: pivoted(a)[0]),
    "lu_order": each(lambda a: pivoted(a)[1]),
    "qr_q": lambda a: np.linalg.qr(a)[0],
    "qr_r": lambda a: np.linalg.qr(a)[1],
    "svd_u": lambda a: np.linalg.svd(a, full_matrices=False)[0],
    "svd_s": lambda a: np.linalg.svd(a, full_matrices=False)[1],
    "svd_vh": lambda a: np.linalg.svd(a, full_matrices=False)[2],
    "singular_values": lambda a: np.linalg.svd(a, compute_uv=False),
    "nuclear": lambda a: np.linalg.norm(a, "nuc", (-2, -1)),
    "polar": lambda a: np.matmul(*np.linalg.svd(a, full_matrices=False)[::2]),
    "eigh_values": lambda a: np.linalg.eigh(a)[0],
    "eigh_vectors": lambda a: np.linalg.eigh(a)[1],
    "expm": matrix_exponential,
}


def host(_, node, *inputs):
    options = {key: value for key, value in node["attrs"].items() if key not in ("name", "shape", "dtype")}
    options.pop("of", None)  # the name that an error has
    return HOST[node["attrs"]["name"]](*inputs, **options)


TABLE: dict[str, Callable] = {
    "neg": number(np.negative),
    "abs": number(np.abs),
    "sign": number(np.sign),
    "exp": elementwise(quiet(np.exp)),
    "log": elementwise(quiet(np.log)),
    "log1p": elementwise(quiet(np.log1p)),
    "expm1": elementwise(quiet(np.expm1)),
    "sqrt": elementwise(quiet(np.sqrt)),
    "sin": elementwise(quiet(np.sin)),
    "cos": elementwise(quiet(np.cos)),
    "arctan": elementwise(np.arctan),
    "erf": elementwise(erf),
    "floor": number(np.floor),
    "add": number(np.add),
    "sub": number(np.subtract),
    "mul": elementwise(np.multiply),
    "div": elementwise(divide),
    "pow": number(quiet(np.power)),
    "maximum": elementwise(np.maximum),
    "minimum": elementwise(np.minimum),
    "eq": elementwise(np.equal),
    "ne": elementwise(np.not_equal),
    "lt": elementwise(np.less),
    "le": elementwise(np.less_equal),
    "gt": elementwise(np.greater),
    "ge": elementwise(np.greater_equal),
    "where": elementwise(np.where),
    "clip": elementwise(lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi)),
    "cast": cast,
    "sum": reduction(np.sum),
    "max": reduction(np.max),
    "min": reduction(np.min),
    "argmax": index_of_extreme(np.argmax),
    "argmin": index_of_extreme(np.argmin),
    "softmax": elementwise(softmax),
    "log_softmax": elementwise(log_softmax),
    "logsumexp": elementwise(logsumexp),
    "matmul": elementwise(np.matmul),
    "row_outer": lambda _, node, *xs: sum(np.einsum("bi,bj->bij", a, b) for a, b in zip(xs[::2], xs[1::2], strict=True)),
    "row_outer_upper": row_outer_upper,
    "reshape": lambda context, node, x: np.reshape(x, context.shape(node["shape"])),
    "transpose": lambda _, node, x: np.transpose(x, node["attrs"]["axes"]),
    "broadcast_to": lambda context, node, x: np.broadcast_to(x, context.shape(node["shape"])),
    "slice": slice_,
    "pad": pad,
    "concatenate": lambda _, node, *xs: np.concatenate(xs, axis=node["attrs"]["axis"]),
    "take": lambda _, node, x, indices: np.take(x, indices, axis=node["attrs"]["axis"]),
    "scatter_add": scatter_add,
    "iota": iota,
    "constant": lambda _, node: widen(node["value"] if "value" in node else node["attrs"]["value"]),
    "fill": fill,
    "size": size,
    "random_uniform": random_uniform,
    "in_training": in_training,
    "stop_gradient": elementwise(lambda x: x),
    "contiguous": elementwise(lambda x: x),
    "one_hot": lambda _, node, labels: (labels == np.arange(node["attrs"]["classes"])).astype(np.float64),  # labels: (..., 1)
    "update_state": write_and_return(0),
    "variable": variable,
    "host": host,
    "assign": write_and_return(-1),
    "rule_constants": rule_constants,
    "rule_update": rule_update,
    **{name: activation_value(name) for name in ACTIVATIONS},
    **{f"{name}_backward": activation_backward(name) for name in ACTIVATIONS},
}
FED = {"input"}  # nodes whose value the caller gives


def widen(value) -> np.ndarray:
    value = np.asarray(value)
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def bind_dims(node: dict, value: np.ndarray, dims: dict[str, int]) -> None:
    for dim, n in zip(node["shape"], value.shape, strict=True):
        if not isinstance(dim, int):
            assert dims.setdefault(str(dim), n) == n, f"dim {dim} is {dims[str(dim)]} and {n}"


def evaluate(nodes: list[dict], feeds: dict[int, np.ndarray], context: Context | None = None) -> dict[int, np.ndarray]:
    """id -> value of every node, in float64. Shapes are held against the ones that the core inferred."""
    context = context or Context()
    context.variable_nodes = {n["id"]: n["variable"] for n in nodes if n.get("variable") is not None}
    values: dict[int, np.ndarray] = {}
    for node in nodes:
        if node["op"] in FED:
            bind_dims(node, feeds[node["id"]], context.dims)
    for node in nodes:
        if node["op"] in FED:
            value = widen(feeds[node["id"]])
        else:
            value = TABLE[node["op"]](context, node, *(values[i] for i in node["inputs"]))
        if not isinstance(value, dict):
            assert np.shape(value) == context.shape(node["shape"]), f"{node['op']}: {np.shape(value)} is not {node['shape']}"
        values[node["id"]] = value
    return values


def evaluate_tensor(tensor, arrays: dict[str, np.ndarray], *, training: bool = False) -> np.ndarray:
    """The value of one tensor for inputs given by their names."""
    nodes = core.dump([tensor.node], training)
    feeds = {n["id"]: arrays[n["attrs"]["name"]] for n in nodes if n["op"] == "input"}
    return evaluate(nodes, feeds, Context(training))[nodes[-1]["id"]]  # a root comes after all that it needs
