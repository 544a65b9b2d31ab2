"""Outer products of rows, products of a matrix and its own transpose, and J^T J made of both."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina.optim import normal_matrix
from lamina.optim.normal_matrix import Columns, NormalMatrix, columns_of
from running import jacobian_rows


def run(outputs, fed, effects=()):
    return core.Program([t.node for t in fed], [t.node for t in outputs], list(effects))


def node(op, tensors):
    return lm.Tensor(core.make(op, [t.node for t in tensors], {}))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pairs", [1, 2, 3, 5])
@pytest.mark.parametrize("n, m", [(1, 1), (3, 1), (1, 6), (4, 4), (5, 11), (20, 7)])
def test_outer_products_of_rows(n, m, pairs, dtype, rng, threads):
    shapes = [(n, m)[i % 2] for i in range(2 * pairs)]
    fed = [lm.placeholder((None, size), dtype) for size in shapes]
    arrays = [rng.normal(size=(300, size)).astype(dtype) for size in shapes]
    program = run([node("row_outer", fed), node("row_outer_upper", fed[::2])], fed)
    whole, upper = program.run(arrays)
    wide = [a.astype(np.float64) for a in arrays]
    want = sum(np.einsum("bi,bj->bij", a, b) for a, b in zip(wide[::2], wide[1::2], strict=True))
    own = sum(np.einsum("bi,bj->bij", a, a) for a in wide[::2])
    tolerance = 8 * np.finfo(dtype).eps * pairs
    np.testing.assert_allclose(whole, want, rtol=0, atol=tolerance * np.abs(want).max())
    np.testing.assert_allclose(upper, own[(slice(None), *np.triu_indices(n))], rtol=0, atol=tolerance * np.abs(own).max())
    threads(2)
    for again in (program.run(arrays), program.run([a[:7] for a in arrays])):  # a row's bits are its own
        np.testing.assert_array_equal(again[0], whole[: len(again[0])])
        np.testing.assert_array_equal(again[1], upper[: len(again[1])])


def test_outer_products_take_views_and_mixed_types(rng):
    x, y = lm.placeholder((None, 6), "float32"), lm.placeholder((None, 2), "float64")
    a, b = rng.normal(size=(9, 6)).astype(np.float32), rng.normal(size=(9, 2))
    (z,) = run([node("row_outer", [x[:, ::-2], y])], [x, y]).run([a, b])
    assert z.dtype == np.float64
    np.testing.assert_allclose(z, np.einsum("bi,bj->bij", a[:, ::-2], b), rtol=1e-15)


@pytest.mark.parametrize(
    "op, shapes, message",
    [
        ("row_outer", [(None, 3)], "pairs of matrices, got 1"),
        ("row_outer", [(None, 3), (5, 3)], "one number of rows"),
        ("row_outer", [(4, 3), (4, 2), (4, 2), (4, 3)], "all of one shape on each side"),
        ("row_outer_upper", [(4, 3), (4, 2)], "all of one shape"),
        ("row_outer_upper", [(3,)], "matrices"),
    ],
)
def test_outer_products_say_what_does_not_fit(op, shapes, message):
    with pytest.raises(ValueError, match=message):
        node(op, [lm.placeholder(shape, "float32") for shape in shapes])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(1, 9), (9, 1), (40, 3), (33, 8), (50, 31), (7, 130), (700, 61), (300, 290), (520, 1100), (2, 40, 33), (3, 1, 9)]
)
def test_a_symmetric_product_has_the_bits_of_the_whole_one(shape, dtype, rng, threads):
    x, other = lm.placeholder(shape, dtype), lm.placeholder(shape, dtype)
    turned = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    a = rng.normal(size=shape).astype(dtype)
    halves = run([lm.transpose(x, turned) @ x, x @ lm.transpose(x, turned)], [x])
    wholes = run([lm.transpose(x, turned) @ other, x @ lm.transpose(other, turned)], [x, other])
    want = wholes.run([a, a])
    for count in (1, 2):
        threads(count)
        for half, whole in zip(halves.run([a]), want, strict=True):
            np.testing.assert_array_equal(half, whole)


def test_a_symmetric_product_is_multiplied_by_halves(rng):
    x, other = lm.placeholder((60, 40), "float64"), lm.placeholder((60, 40), "float64")
    a = rng.normal(size=(60, 40))
    half = run([lm.exp(x.T @ x * 0.1)], [x])
    whole = run([lm.exp(x.T @ other * 0.1)], [x, other])
    np.testing.assert_array_equal(half.run([a])[0], whole.run([a, a])[0])
    flops = {step["name"]: step["flops"] for step in half.profile([a])}
    assert flops["matmul"] == 60 * 40 * 41
    assert "matmul" not in whole.steps  # what follows runs behind its blocks


NETS = {
    "one output": lambda x: lm.Dense(1)(lm.Dense(9, "tanh")(x)),
    "outputs": lambda x: lm.Dense(3)(lm.Dense(8, "tanh")(lm.Dense(7, "sigmoid")(x))),
    "no bias": lambda x: lm.Dense(2, bias=False)(lm.Dense(12, "tanh", bias=False)(x)),
    "norm": lambda x: lm.Dense(2)(lm.LayerNorm()(lm.Dense(10, "tanh")(x))),
    "skip": lambda x: lm.concatenate([lm.Dense(4)(x), lm.Dense(3, "tanh")(x)], 1),
}


def constant(value):
    return lambda left, right: value


@pytest.mark.parametrize("way", ["cheaper", "direct", "factored"])
@pytest.mark.parametrize("name", NETS)
def test_j_t_j(name, way, rng, monkeypatch):
    """However each block is made, over one chunk or several, it is the product of the whole Jacobian and its transpose."""
    for cost in ("direct_cost", "factored_cost"):
        if way != "cheaper":
            monkeypatch.setattr(normal_matrix, cost, constant(0.0 if cost.startswith(way) else 1.0))
    x = lm.Input(5, dtype="float64")
    net = lm.Model(x, NETS[name](x), seed=0, dtype="float64")
    y, weights = net.outputs[0], [p for p in net.wiring.parameters.values() if p.trainable]
    errors = [y[:, k] for k in range(y.shape[1])]
    rows = [jacobian_rows(e, weights) for e in errors]
    data = rng.normal(size=(50, 5))
    j = np.concatenate(run(rows, net.inputs).run([data]))
    columns = columns_of(errors, weights)
    sizes = [int(np.prod(c.shape)) for c in columns]
    assert sum(sizes) == j.shape[1]
    normal, h = NormalMatrix(columns), (j.T @ j)[np.triu_indices(j.shape[1])]
    program = run([lm.sum(y)], net.inputs, normal.effects)
    for chunk in (50, 16, 1):
        normal.clear()
        program.epoch([data], None, chunk)
        np.testing.assert_allclose(normal.matrix(normal.sums()), h, rtol=0, atol=1e-13 * np.abs(h).max())
    at_once = run(normal.terms, net.inputs).run([data])
    np.testing.assert_allclose(normal.matrix(at_once), h, rtol=0, atol=1e-13 * np.abs(h).max())


def test_a_bias_is_the_weight_of_a_one():
    x = lm.Input(5, dtype="float64")
    net = lm.Model(x, NETS["outputs"](x), seed=0, dtype="float64")
    y, weights = net.outputs[0], [p for p in net.wiring.parameters.values() if p.trainable]
    columns = columns_of([y[:, k] for k in range(3)], weights)
    assert [c.shape for c in columns] == [(6, 7), (8, 8), (9, 3)]
    assert all(isinstance(c, Columns) and len(c.d) == 3 for c in columns)
