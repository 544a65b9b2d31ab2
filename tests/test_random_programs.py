"""Random programs of all operations, broadcasts and odd sizes: value and gradient equal the float64 evaluator.

A program is drawn from its seed, so a failure repeats by its number; Hypothesis draws further ones choice by choice, and makes
those that fail small. Divisions, roots and logarithms are kept away from their poles: the evaluator and the core round differently,
and what is compared is the arithmetic, not the conditioning.

    LAMINA_DEEP=5000 pytest tests/test_random_programs.py       so many programs of each kind
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lamina as lm
import reference
from lamina import _core as core
from test_isa import supported

DEEP = int(os.environ.get("LAMINA_DEEP", "0"))
PROGRAMS = DEEP or 150
SIZES = [0, 1, 2, 3, 5, 8, 17]
BATCHES = [1, 2, 7, 33, 0]
UNARY = ["negative", "abs", "sin", "cos", "arctan", "tanh", "sigmoid", "erf", "square", "relu", "floor", "sign", "stop_gradient"]
COMPARE = [lm.equal, lm.not_equal, lm.less, lm.less_equal, lm.greater, lm.greater_equal]
ACTIVATIONS = [n for n in core.activation_names() if n != "softplus"]
# Operations that no program here holds, and where they are tested instead.
ELSEWHERE = {
    "contiguous": "made by passes alone",
    "assign": "an effect: test_program.py",
    "rule_update": "an effect: test_optim.py",
    "rule_constants": "an effect: test_optim.py",
    "random_uniform": "draws its own numbers: test_program.py",
    "row_outer": "sums of squares: test_normal_matrix.py",
    "row_outer_upper": "as row_outer",
    "softplus": "its evaluator loses digits for large inputs: test_activations.py",
    "softplus_backward": "as softplus",
}


class Choices:
    """A random generator whose choices Hypothesis makes."""

    def __init__(self, data):
        self.data, self.numbers = data, np.random.default_rng(0)

    def integers(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        if size is not None:
            return np.array([self.integers(low, high) for _ in range(size)], np.int64)
        return self.data.draw(st.integers(low, high - 1))

    def random(self):
        return self.data.draw(st.integers(0, 9)) / 10

    def permutation(self, options):
        return self.data.draw(st.permutations(options))

    def normal(self, size=None):
        return self.numbers.normal(size=size)


class Program:
    """Inputs, and tensors made from them by random operations."""

    def __init__(self, rng):
        self.rng = rng
        self.inputs = [self.input(i) for i in range(self.rng.integers(1, 4))]
        parameter = lm.Parameter(self.rng.normal(size=(self.size(), self.size())), dtype="float64")
        self.others = [self.input(len(self.inputs) + i, dtype) for i, dtype in enumerate(["int64", "bool"])]  # not differentiated
        self.tensors = [*self.inputs, parameter]
        for _ in range(self.rng.integers(3, 14)):
            if self.rng.random() < 0.2:
                self.others.append(self.other_step())
            else:
                self.tensors.append(self.step())

    def pick(self, options):
        return options[self.rng.integers(len(options))]

    def size(self) -> int:
        return int(self.pick(SIZES))

    def input(self, i: int, dtype: str = "float64") -> lm.Tensor:
        rank = self.rng.integers(0, 4)
        shape = [self.size() for _ in range(rank)]
        if rank and self.rng.random() < 0.7:
            shape[0] = None
        return lm.placeholder(tuple(shape), dtype, name=f"x{i}")

    def array(self, x: lm.Tensor, batch: int) -> np.ndarray:
        values = self.rng.normal(size=[n if isinstance(n, int) else batch for n in x.shape])
        return (
            np.asarray(values * 4).astype(x.dtype)
            if x.dtype == "int64"
            else np.asarray(values > 0)
            if x.dtype == "bool"
            else values
        )

    @property
    def fed(self) -> list[lm.Tensor]:
        return [*self.inputs, *self.others[:2]]

    def known_axes(self, x: lm.Tensor) -> list[int]:
        return [a for a in range(x.ndim) if isinstance(x.shape[a], int) and x.shape[a] > 0]

    def known_axis(self, x: lm.Tensor) -> int | None:
        axes = self.known_axes(x)
        return self.pick(axes) if axes else None

    def step(self) -> lm.Tensor:
        x = self.pick(self.tensors)
        makers = [
            self.unary,
            self.unary,
            self.activation,
            self.binary,
            self.binary,
            self.reduction,
            self.row,
            self.matmul,
            self.shaper,
            self.shaper,
            self.mixed,
        ]
        return self.pick(makers)(x)

    def other_step(self) -> lm.Tensor:
        """Whole numbers and truths: exact, as long as the numbers stay small."""
        x = self.pick(self.others)
        y = self.pick([y for y in self.others if fits(x, y)])
        kind = self.rng.integers(8)
        if kind == 0:
            return self.pick(COMPARE)(x, y)
        if kind == 1:
            return self.pick([lm.logical_and, lm.logical_or])(x, y)
        if kind == 2:
            return lm.clip(x * y, -50, 50) if x.dtype == "int64" else lm.cast(x, "int64")
        if kind == 3:
            return self.shaper(x)
        if kind == 4 and x.ndim:
            return self.reduction(x) if x.dtype == "int64" else lm.sum(x, axis=self.rng.integers(x.ndim))
        if kind == 5:
            return self.pick([lm.abs, lm.sign, lm.negative, lm.floor])(x) if x.dtype == "int64" else lm.logical_not(x)
        if kind == 6:
            return lm.where(x > 0, x, y)
        return lm.clip(self.pick([lm.add, lm.subtract])(x, y), -50, 50)

    def mixed(self, x):
        """Where floats meet whole numbers, truths, and the marks that a program resolves."""
        kind = self.rng.integers(8)
        partners = [y for y in self.others if fits(x, y)]
        if kind == 0 and partners:
            return x * lm.tanh(lm.cast(self.pick(partners), "float64"))
        if kind == 1 and partners:
            return lm.where(self.pick(partners) > 0, x, lm.tanh(x))
        if kind == 2 and x.ndim:
            labels = lm.cast(lm.clip(lm.floor(lm.sum(lm.sin(x), axis=0) * 2 + 1.5), -1, 3), "int64")
            return lm.one_hot(labels, 3, "float64")
        if kind == 3:
            return lm.in_training(x * 2, lm.tanh(x))
        if kind == 4:
            state = lm.Parameter(np.zeros(()), dtype="float64", trainable=False)
            return lm.ops.update_state(lm.sin(x), state, lm.sum(x))
        if kind == 7:
            return x * lm.tanh(lm.cast(lm.size(x), "float64"))
        if kind == 5 and x.ndim:
            return x * lm.reshape(lm.cast(lm.arange(x.shape[0], "int64"), "float64") / 7, (-1, *[1] * (x.ndim - 1)))
        if kind == 6:
            small = lm.Parameter(self.rng.normal(size=(3, 3)) / 4 + np.eye(3), dtype="float64")
            return x * lm.tanh(lm.linalg.inv(small)[0, 0])
        return lm.power(x * x + 0.5, self.pick([0.3, 1.5, -0.7]))

    def unary(self, x):
        kind = self.rng.integers(8)
        if kind == 0:
            return lm.exp(lm.tanh(x))
        if kind == 1:
            return lm.log(1 + x * x)
        if kind == 3:
            return lm.expm1(lm.sin(x))
        if kind == 4:
            return lm.log1p(lm.abs(x))
        if kind == 2:
            return lm.sqrt(x * x + 0.5)
        return getattr(lm, self.pick(UNARY))(x)

    def activation(self, x):
        name = self.pick(ACTIVATIONS)
        defaults = core.activation_defaults(name)
        return lm.activation(name, x, *[p * self.pick([1, 0.75, 1.25]) for p in defaults])

    def binary(self, x):
        partners = [y for y in self.tensors if fits(x, y)]
        y = self.pick(partners)
        kind = self.rng.integers(8)
        if kind == 0:
            return x / (1 + y * y)
        if kind == 1:
            return lm.where(x > y, x, y * 2)
        if kind == 2:
            return lm.cast(x < y, "float64") * y
        if kind == 3:
            return lm.clip(x, -0.5, 0.7) * y
        return self.pick([lm.add, lm.subtract, lm.multiply, lm.maximum, lm.minimum])(x, y)

    def reduction(self, x):
        if x.ndim == 0:
            return -x
        name = self.pick(["sum", "sum", "mean", "max", "min", "var"] if x.dtype == "float64" else ["sum", "max", "min"])
        free = self.known_axes(x)  # of no elements there is no mean and no maximum
        axes = list(range(x.ndim)) if name == "sum" else free
        if not axes:
            return lm.sum(x)
        axis = None if len(axes) == x.ndim and self.rng.random() < 0.3 else int(self.pick(axes))
        return getattr(lm, name)(x, axis=axis, keepdims=bool(self.rng.random() < 0.5))

    def row(self, x):
        axis = self.known_axis(x)
        if axis is None:
            return lm.tanh(x)
        if self.rng.random() < 0.2:
            return lm.cast(self.pick([lm.argmax, lm.argmin])(x, axis=axis), "float64")
        return self.pick([lm.softmax, lm.log_softmax, lm.logsumexp])(x, axis=axis)

    def matmul(self, x):
        if x.ndim == 0 or not isinstance(x.shape[-1], int):
            return x * 0.5
        k, n = x.shape[-1], self.size()
        if x.ndim == 3 and self.rng.random() < 0.4:  # a stack by a stack
            return lm.tanh(x) @ lm.transpose(lm.sin(x), (0, 2, 1))
        w = lm.Parameter(self.rng.normal(size=(k, n)) / np.sqrt(max(k, 1)), dtype="float64")
        y = x @ w if self.rng.random() < 0.7 or x.ndim != 2 else self.by_itself(x)
        return y + self.rng.normal(size=n) if y.ndim and self.rng.random() < 0.5 and y.shape[-1] == n else y

    def by_itself(self, x):
        """A product with itself, alone, beside itself, and with what is made of it."""
        y = lm.tanh(x)
        square = self.pick([y @ y.T, y.T @ y])
        return self.pick([square, square + square, square * lm.tanh(square), square + lm.sum(square, axis=1, keepdims=True)])

    def shaper(self, x):
        kind, axis = self.rng.integers(8), self.known_axis(x)
        if kind == 0:
            return lm.transpose(x)
        if kind == 1 and sum(not isinstance(n, int) for n in x.shape) < 2:  # a size B * B has no name
            return lm.reshape(x, (-1,))
        if kind == 2:
            return lm.expand_dims(x, int(self.rng.integers(x.ndim + 1)))
        if axis is None:
            return lm.stack([x, x * 2], axis=0) if x.ndim < 4 else x + 1
        index = [slice(None)] * x.ndim
        if kind == 3:
            index[axis] = slice(None, None, int(self.pick([-1, 2, -2])))
            return x[tuple(index)]
        if kind == 4:
            index[axis] = slice(int(self.rng.integers(x.shape[axis])), None)
            return x[tuple(index)]
        if kind == 5:
            return lm.take(x, self.rng.integers(0, x.shape[axis], 3), axis=axis)
        if kind == 6:
            return lm.concatenate([x, lm.tanh(x) if x.dtype == "float64" else lm.flip(x, axis)], axis=axis)
        return lm.pad(x, [(1, 2) if a == axis else (0, 0) for a in range(x.ndim)])


def fits(x: lm.Tensor, y: lm.Tensor) -> bool:
    """NumPy's broadcasting, a symbol with itself or 1."""
    pairs = zip(reversed(x.shape), reversed(y.shape), strict=False)
    return all(str(a) == str(b) or str(a) == "1" or str(b) == "1" for a, b in pairs)


def outputs_of(program: Program) -> list[lm.Tensor]:
    """Some of the tensors, a scalar of all of them, and its gradients."""
    kept = [t for t in [*program.tensors[len(program.inputs) :], *program.others] if program.rng.random() < 0.3]
    total = lm.sum(lm.tanh(program.tensors[-1]))
    for t in program.tensors[len(program.inputs) :]:
        total = total + lm.sum(lm.sin(t))
    return [program.tensors[-1], total, *lm.grad(total, program.inputs), *kept]


SWITCHES = [{"fuse": False}, {"fuse_products": False}, {"fuse": False, "fuse_products": False}]


def seeded(seed: int) -> Program:
    return Program(np.random.default_rng(seed))


def check(program: Program) -> None:
    outputs = outputs_of(program)
    inputs, nodes = [t.node for t in program.fed], [t.node for t in outputs]
    planned = core.Program(inputs, nodes)
    others = [core.Program(inputs, nodes, **switches) for switches in SWITCHES]
    plain = core.Program(inputs, nodes, optimize=False)
    alone = [core.Program(inputs, [node]) for node in nodes]
    dumps = [core.dump([node], False) for node in nodes]
    for batch in program.rng.permutation(BATCHES):
        arrays = [program.array(x, int(batch)) for x in program.fed]
        got = planned.run(arrays)
        beside = {"alone": [one for p in alone for one in p.run(arrays)]}
        beside |= {str(switches): p.run(arrays) for switches, p in zip(SWITCHES, others, strict=True)}
        for how, values in beside.items():
            for a, b in zip(got, values, strict=True):
                assert np.array_equal(a, b, equal_nan=True), f"batch {batch}, {how}"
        for a, b in zip(got, plain.run(arrays), strict=True):  # constants folded, a sum of products in another order: a few eps
            scale = 1 + np.abs(a.astype(np.float64)).max(initial=0)
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * scale, err_msg=f"batch {batch}")
        by_name = {f"x{i}": a for i, a in enumerate(arrays)}
        for value, dump in zip(got, dumps, strict=True):
            want = evaluate(dump, by_name, int(batch))
            assert (value.shape, value.dtype) == (want.shape, np.dtype(dump[-1]["dtype"]))
            scale = 1 + np.abs(want.astype(np.float64)).max(initial=0)
            np.testing.assert_allclose(value, want, rtol=1e-9, atol=1e-10 * scale, err_msg=f"batch {batch}")


def evaluate(dump: list[dict], arrays: dict[str, np.ndarray], batch: int) -> np.ndarray:
    feeds = {n["id"]: arrays[n["attrs"]["name"]] for n in dump if n["op"] == "input"}
    return reference.evaluate(dump, feeds, reference.Context(dims={"B": batch}))[dump[-1]["id"]]


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_random_program(seed):
    check(seeded(seed))


@settings(max_examples=DEEP or 40, derandomize=not DEEP, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_program_of_hypothesis(data):
    check(Program(Choices(data)))


def slope(program: Program, total: lm.Tensor, arrays: list[np.ndarray], along: list[np.ndarray], h: float, batch: int) -> float:
    """d total / dt at x + t u by the evaluator alone."""
    dump = core.dump([total.node], False)

    def at(t: float) -> float:
        moved = [a + t * u for a, u in zip(arrays, along, strict=False)] + arrays[len(along) :]
        return float(evaluate(dump, {f"x{i}": a for i, a in enumerate(moved)}, batch))

    return (at(h) - at(-h)) / (2 * h)


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_gradient_is_the_slope_of_the_evaluator(seed):
    program = seeded(10_000 + seed)
    total = outputs_of(program)[1]
    if any(node.op == "stop_gradient" for node in core.topological([total.node])):
        return  # whose gradient is not the slope: see test_gradients.py
    arrays = [program.array(x, 3) for x in program.fed]
    along = [program.rng.normal(size=a.shape) for a in arrays[: len(program.inputs)]]
    grads = core.Program([t.node for t in program.fed], [t.node for t in lm.grad(total, program.inputs)]).run(arrays)
    got = sum(float((g * u).sum()) for g, u in zip(grads, along, strict=True))
    wide, narrow = (slope(program, total, arrays, along, h, 3) for h in (1e-5, 1e-6))
    if abs(wide - narrow) > 1e-5 * (1 + abs(wide)):
        return  # a kink within the step: there is no slope
    assert abs(got - narrow) < 1e-4 * (1 + abs(narrow)), f"{got}, by differences {narrow}"


def test_every_operation_is_among_them():
    found = set()
    for seed in range(500):
        program = seeded(seed)
        found |= {node.op for node in core.topological([t.node for t in outputs_of(program)])}
    assert sorted(set(core.op_names()) - found - set(ELSEWHERE)) == []


@pytest.mark.parametrize("seed", range(DEEP or 8))
def test_float32_is_close_and_threads_change_no_bit(seed, threads):
    program = seeded(20_000 + seed)
    kept = [program.tensors[-1], *program.tensors[len(program.inputs) :: 3]]
    narrow = [lm.placeholder(x.shape, "float32" if x.dtype == "float64" else x.dtype, x.name) for x in program.fed]
    made = {old.node.serial: new.node for old, new in zip(program.fed, narrow, strict=True)}
    for node in core.topological([t.node for t in kept]):
        if node.serial not in made:
            attrs = node.attrs | ({"dtype": "float32"} if node.attrs.get("dtype") == "float64" else {})
            below = [made[n.serial] for n in node.inputs]
            if node.op == "update_state":  # which wants a variable, and does nothing here
                made[node.serial] = below[0]
            elif node.op in ("variable", "constant") and node.dtype == "float64":
                made[node.serial] = core.make("cast", [node], {"dtype": "float32"})
            else:
                made[node.serial] = core.make(node.op, below, attrs)
    inputs, outputs = [t.node for t in narrow], [made[t.node.serial] for t in kept]
    plan, apart = core.Program(inputs, outputs), core.Program(inputs, outputs, optimize=False, fuse=False, fuse_products=False)
    for batch in (3, 600):  # the larger is worth several threads
        arrays = [program.array(x, batch) for x in program.fed]
        arrays = [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]
        threads(1)
        got = plan.run(arrays)
        for count in (2, 3, 4):
            threads(count)
            for a, b in zip(got, plan.run(arrays), strict=True):
                assert np.array_equal(a, b, equal_nan=True), f"{count} threads, batch {batch}"
        threads(1)
        for a, b in zip(got, apart.run(arrays), strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            scale = 1 + np.abs(a.astype(np.float64)).max(initial=0)
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * scale, err_msg=f"batch {batch}")


@pytest.mark.parametrize("isa", supported())
def test_every_instruction_set(isa):
    """The same programs against the same evaluator, in a process where the instruction set is forced."""
    script = (
        "import sys, test_random_programs as t\nfor seed in range(int(sys.argv[1])): t.check(t.seeded(seed))\nprint(t.lm.isa())"
    )
    folder = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", script, str(DEEP or 25)],
        capture_output=True,
        text=True,
        env=os.environ | {"LAMINA_ISA": isa, "PYTHONPATH": os.pathsep.join([folder, *sys.path])},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == isa


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 10, 17, 128, 300, 1100])
def test_sums_have_the_same_bits_beside_anything(n, dtype, rng, threads):
    """Behind products, beside rows and broadcasts, in tiles of other sizes, alone: a sum is cut by the shape of what it sums."""
    x, w = lm.placeholder((None, 6), dtype), lm.placeholder((6, n), dtype)
    y = lm.tanh(x @ w)
    rows = lm.logsumexp(y, axis=1)
    outputs = [lm.sum(y), lm.sum(y, axis=0), lm.mean(y * y), lm.sum(rows), lm.max(y, axis=0), lm.sum(y * rows[:, None], axis=0)]
    beside = [lm.softmax(y, axis=1), y * lm.sum(y, axis=1, keepdims=True), lm.exp(y) + y, lm.sum(lm.sin(y)), y.T @ y]
    inputs, nodes = [x.node, w.node], [t.node for t in outputs]
    programs = [core.Program(inputs, [node]) for node in nodes]
    whole = [core.Program(inputs, nodes + [t.node for t in beside[:k]]) for k in range(len(beside) + 1)]
    whole += [core.Program(inputs, nodes, **switches) for switches in SWITCHES]
    weights = rng.normal(size=(6, n)).astype(dtype)
    for batch in (1, 64, 97, 700):
        arrays = [rng.normal(size=(batch, 6)).astype(dtype), weights]
        threads(1)
        want = [p.run(arrays)[0] for p in programs]
        threads(3)
        for p in whole:
            for a, b in zip(want, p.run(arrays), strict=False):  # what is beside comes last
                assert np.array_equal(a, b), f"batch {batch}"


def test_the_largest_of_one():
    """A reduction over an axis of 1 changed the gradient of the program it was fused into."""
    x, y = lm.placeholder((None, 1, 1), "float64", name="x0"), lm.placeholder((None, 1), "float64", name="x1")
    largest = lm.max(lm.clip(x, -0.5, 0.7) * lm.erf(y), axis=2, keepdims=True)
    outputs = lm.grad(lm.sum(lm.sin(largest)), [x, y])
    arrays = [np.array([0.3, -0.2, 0.6]).reshape(3, 1, 1), np.array([[0.5], [0.7], [-0.9]])]
    got = core.Program([x.node, y.node], [t.node for t in outputs]).run(arrays)
    for value, t in zip(got, outputs, strict=True):
        want = evaluate(core.dump([t.node], False), {"x0": arrays[0], "x1": arrays[1]}, 3)
        np.testing.assert_allclose(value, want, rtol=1e-12)


def test_a_row_value_meets_an_operand_of_fewer_axes():
    """It was laid along the rows as if the row value had lost its last axis, where that axis was still there, of 1."""
    x, w, v = lm.placeholder((None, 2, 5), "float64"), lm.placeholder((2, 1), "float64"), lm.placeholder((2,), "float64")
    kept, dropped = lm.sum(lm.tanh(x), axis=2, keepdims=True) * w, lm.sum(lm.tanh(x), axis=2) * v
    arrays = [np.linspace(-1, 1, 30).reshape(3, 2, 5), np.array([[2.0], [3.0]]), np.array([5.0, 7.0])]
    program = core.Program([t.node for t in (x, w, v)], [kept.node, dropped.node])
    assert any(step.startswith("tanh+sum") and step.endswith("mul") for step in program.steps), program.steps
    sums = np.tanh(arrays[0]).sum(axis=2, keepdims=True)
    for got, want in zip(program.run(arrays), (sums * arrays[1], sums[..., 0] * arrays[2]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)


def test_a_row_value_meets_a_column_of_a_wider_matrix(rng):
    x, v = lm.placeholder((None, 5), "float64"), lm.placeholder((None, 3), "float64")
    arrays = [rng.normal(size=(6, 5)), rng.normal(size=(6, 3))]
    product = lm.sum(lm.tanh(x), axis=1, keepdims=True) * v[:, 1:2]
    (got,) = core.Program([x.node, v.node], [product.node]).run(arrays)
    np.testing.assert_allclose(got, np.tanh(arrays[0]).sum(axis=1, keepdims=True) * arrays[1][:, 1:2], rtol=1e-13)


def test_a_value_is_rounded_to_its_type_within_a_step_too(rng):
    x = lm.placeholder((None, 3), "float64")
    array = rng.normal(size=(4, 3))
    (got,) = core.Program([x.node], [(lm.cast(lm.cast(x, "float32"), "float64") * 1.5).node]).run([array])
    np.testing.assert_array_equal(got, array.astype("float32").astype("float64") * 1.5)


def test_the_sum_of_one_element_apart_from_its_neighbours():
    """A reduction over an axis of 1 is a view, and that wants its elements side by side."""
    x = lm.placeholder((None, 2), "float64")
    outputs = [lm.sum(x[:, ::-2], axis=1), lm.max(x[:, 1:], axis=1), lm.mean(x[:, :1], axis=1)]
    got = core.Program([x.node], [t.node for t in outputs]).run([np.arange(6.0).reshape(3, 2)])
    assert [values.tolist() for values in got] == [[1, 3, 5], [1, 3, 5], [0, 2, 4]]


@pytest.mark.parametrize("axes", [0, 1, 2, (0, 1), (1, 2), (0, 2)])
def test_reductions_beside_two_axes_of_the_batch(axes):
    """B * B has no name, so those two never become one."""
    x, y = lm.placeholder((2, None, 3), "float64"), lm.placeholder((2, 3, None), "float64")
    z = x @ y
    assert [str(n) for n in z.shape] == ["2", "B", "B"]
    a, b = np.arange(30.0).reshape(2, 5, 3), np.arange(30.0).reshape(2, 3, 5) - 7
    stacked = lm.stack([z, z * 2], axis=3)
    got = lm.function([x, y], [lm.sum(z, axis=axes), lm.max(stacked, axis=axes)])(a, b)
    assert np.array_equal(got[0], (a @ b).sum(axis=axes))
    assert np.array_equal(got[1], np.stack([a @ b, a @ b * 2], axis=3).max(axis=axes))


@pytest.mark.parametrize("after", [0, 1], ids=["then multiplied", "then a chain"])
@pytest.mark.parametrize("length", range(34, 52))
def test_a_chain_as_long_as_a_step_may_be(length, after):
    """The view of a row value stood in a step that had no more room for the value."""
    x = lm.placeholder((None, 5), "float64", name="x0")
    y = x
    for i in range(length):
        y = lm.tanh(y) if i % 2 else lm.sin(y)
    y = y * lm.expand_dims(lm.tanh(lm.sum(y, -1)) if after else lm.sum(y, -1), -1)
    gradient = lm.grad(lm.sum(y * y), x)
    values = np.linspace(-1, 1, 15).reshape(3, 5)
    (got,) = core.Program([x.node], [gradient.node]).run([values])
    np.testing.assert_allclose(got, evaluate(core.dump([gradient.node], False), {"x0": values}, 3), rtol=1e-10, atol=1e-14)


TYPES = {
    "minus minus bool": (lambda b, i: lm.negative(lm.negative(b)), "int64"),
    "a quotient by one": (lambda b, i: i / 1, "float32"),
    "a product of such": (lambda b, i: (i / 1) @ (i / 1), "float32"),
    "a power by a float": (lambda b, i: i ** lm.full((), 2.0), "float32"),
    "a power by several numbers": (lambda b, i: b ** lm.full((3, 2), 2), "float32"),
}


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("name", TYPES)
def test_folding_changes_no_type_and_no_shape(name, optimize):
    build, dtype = TYPES[name]
    b, i = lm.placeholder((2,), "bool"), lm.placeholder((2, 2), "int64")
    out = build(b, i)
    assert out.dtype == dtype
    (got,) = core.Program([b.node, i.node], [out.node], optimize=optimize).run([np.array([True, False]), np.eye(2, dtype=np.int64)])
    assert got.dtype == dtype and got.shape == out.shape


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize(("dtype", "value"), [("int64", -2.0), ("bool", 1.0), ("float32", float(np.float32(-2.7)))])
def test_a_known_number_is_cut_to_its_type(dtype, value, optimize):
    number = lm.cast(lm.cast(lm.full((2,), -2.7, "float64"), dtype), "float64")
    assert core.Program([], [number.node], optimize=optimize).run([])[0].tolist() == [value] * 2


@pytest.mark.parametrize("optimize", [True, False])
def test_one_number_for_all_elements_is_written_out_where_each_is_looked_at(optimize):
    i, threes = lm.placeholder((2,), "int64"), lm.full((2, 3), 3.0, "float64")
    outputs = [lm.take(threes, i, axis=1), lm.reshape(threes, (3, 2)), lm.linalg.norm(threes, 2) + 0 * lm.sum(i)]
    taken, shaped, largest = core.Program([i.node], [t.node for t in outputs], optimize=optimize).run([np.array([1, 2])])
    assert taken.tolist() == [[3, 3]] * 2 and shaped.tolist() == [[3, 3]] * 3
    assert largest == pytest.approx(3 * 6**0.5)


def test_a_users_zero_stays_a_number_beside_a_layer_with_two_modes():
    """0 times infinity is no number, whether a dropout stands before it among the outputs or not."""
    x = lm.placeholder((2,))
    z, other = lm.log(lm.full((2,), 0.0) * x) * 0.0, lm.Dropout(0.5)(x)
    for outputs in ([z], [other, z], [z, other]):
        values = lm.function([x], outputs, training=True)(np.ones(2, np.float32))
        assert np.isnan(values[1 if outputs[0] is other else 0]).all()
