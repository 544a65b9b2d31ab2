"""Random programs of all operations, broadcasts and odd sizes: value and gradient equal the float64 evaluator.

A program is drawn from its seed, so a failure repeats by its number. Divisions, roots and logarithms are kept away from their
poles: the evaluator and the core round differently, and what is compared is the arithmetic, not the conditioning.
"""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
import reference
from lamina import _core as core

PROGRAMS = 150
SIZES = [1, 2, 3, 5, 8, 17]
BATCHES = [1, 2, 7, 33, 0]
UNARY = ["negative", "abs", "sin", "cos", "tanh", "sigmoid", "erf", "square", "relu", "floor", "sign"]
ACTIVATIONS = [n for n in core.activation_names() if n != "softplus"]


class Program:
    """Inputs, and tensors made from them by random operations."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.inputs = [self.input(i) for i in range(self.rng.integers(1, 4))]
        parameter = lm.Parameter(self.rng.normal(size=(self.size(), self.size())), dtype="float64")
        self.tensors = [*self.inputs, parameter]
        for _ in range(self.rng.integers(3, 14)):
            self.tensors.append(self.step())

    def pick(self, options):
        return options[self.rng.integers(len(options))]

    def size(self) -> int:
        return int(self.pick(SIZES))

    def input(self, i: int) -> lm.Tensor:
        rank = self.rng.integers(0, 4)
        shape = [self.size() for _ in range(rank)]
        if rank and self.rng.random() < 0.7:
            shape[0] = None
        return lm.placeholder(tuple(shape), "float64", name=f"x{i}")

    def array(self, x: lm.Tensor, batch: int) -> np.ndarray:
        return self.rng.normal(size=[n if isinstance(n, int) else batch for n in x.shape])

    def known_axis(self, x: lm.Tensor) -> int | None:
        axes = [a for a in range(x.ndim) if isinstance(x.shape[a], int)]
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
        ]
        return self.pick(makers)(x)

    def unary(self, x):
        kind = self.rng.integers(6)
        if kind == 0:
            return lm.exp(lm.tanh(x))
        if kind == 1:
            return lm.log(1 + x * x)
        if kind == 2:
            return lm.sqrt(x * x + 0.5)
        return getattr(lm, self.pick(UNARY))(x)

    def activation(self, x):
        return lm.activation(self.pick(ACTIVATIONS), x)

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
        name = self.pick(["sum", "sum", "mean", "max", "min", "var"])
        free = [a for a in range(x.ndim) if isinstance(x.shape[a], int)]  # of no elements there is no mean and no maximum
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
            return lm.cast(lm.argmax(x, axis=axis), "float64")
        return self.pick([lm.softmax, lm.log_softmax, lm.logsumexp])(x, axis=axis)

    def matmul(self, x):
        if x.ndim == 0 or not isinstance(x.shape[-1], int):
            return x * 0.5
        k, n = x.shape[-1], self.size()
        w = lm.Parameter(self.rng.normal(size=(k, n)) / np.sqrt(k), dtype="float64")
        y = x @ w if self.rng.random() < 0.7 or x.ndim != 2 else x @ x.T
        return y + self.rng.normal(size=n) if y.ndim and self.rng.random() < 0.5 and y.shape[-1] == n else y

    def shaper(self, x):
        kind, axis = self.rng.integers(8), self.known_axis(x)
        if kind == 0:
            return lm.transpose(x)
        if kind == 1:
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
            return lm.concatenate([x, lm.tanh(x)], axis=axis)
        return lm.pad(x, [(1, 2) if a == axis else (0, 0) for a in range(x.ndim)])


def fits(x: lm.Tensor, y: lm.Tensor) -> bool:
    """NumPy's broadcasting, a symbol with itself or 1."""
    pairs = zip(reversed(x.shape), reversed(y.shape), strict=False)
    return all(str(a) == str(b) or str(a) == "1" or str(b) == "1" for a, b in pairs)


def outputs_of(program: Program) -> list[lm.Tensor]:
    """Some of the tensors, a scalar of all of them, and its gradients."""
    kept = [t for t in program.tensors[len(program.inputs) :] if program.rng.random() < 0.3]
    total = lm.sum(lm.tanh(program.tensors[-1]))
    for t in program.tensors[len(program.inputs) :]:
        total = total + lm.sum(lm.sin(t))
    return [program.tensors[-1], total, *lm.grad(total, program.inputs), *kept]


def sums_everything(dump: list[dict]) -> bool:
    """Sums over a whole tensor follow the blocks of the step that they are fused into; nothing else does."""
    whole = [n for n in dump if n["op"] == "sum" and len(n["attrs"]["axes"]) == len(dump[n["inputs"][0]]["shape"]) > 1]
    return bool(whole)


SWITCHES = [{"fuse": False}, {"fuse_products": False}, {"optimize": False}]


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_random_program(seed):
    program = Program(seed)
    outputs = outputs_of(program)
    inputs, nodes = [t.node for t in program.inputs], [t.node for t in outputs]
    planned = core.Program(inputs, nodes)
    others = [core.Program(inputs, nodes, **switches) for switches in SWITCHES]
    alone = [core.Program(inputs, [node]) for node in nodes]
    dumps = [core.dump([node], False) for node in nodes]
    for batch in program.rng.permutation(BATCHES):
        arrays = [program.array(x, int(batch)) for x in program.inputs]
        got = planned.run(arrays)
        for a, b, dump in zip(got, [one for p in alone for one in p.run(arrays)], dumps, strict=True):
            few = 1e-14 if sums_everything(dump) else 0
            np.testing.assert_allclose(a, b, rtol=few, atol=few * np.abs(a).max(initial=0), err_msg=f"batch {batch}: beside others")
        for other in [p.run(arrays) for p in others]:
            for a, b in zip(got, other, strict=True):  # sums over everything follow the domain they are fused into: a few eps
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * (1 + np.abs(a).max(initial=0)), err_msg=f"batch {batch}")
        by_name = {f"x{i}": a for i, a in enumerate(arrays)}
        for value, dump in zip(got, dumps, strict=True):
            want = evaluate(dump, by_name, int(batch))
            assert value.shape == want.shape
            scale = 1 + np.abs(want).max(initial=0)
            np.testing.assert_allclose(value, want, rtol=1e-9, atol=1e-10 * scale, err_msg=f"batch {batch}")


def evaluate(dump: list[dict], arrays: dict[str, np.ndarray], batch: int) -> np.ndarray:
    feeds = {n["id"]: arrays[n["attrs"]["name"]] for n in dump if n["op"] == "input"}
    return reference.evaluate(dump, feeds, reference.Context(dims={"B": batch}))[dump[-1]["id"]]
