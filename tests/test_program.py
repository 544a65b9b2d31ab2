"""What the program promises: passes change no bit, updates happen together, bits depend on neither threads nor neighbours."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core

THREADS = (1, 2, 4)


def build_net(kind: str, dtype: str = "float32") -> lm.Sequential:
    layers = {
        "mlp": [lm.Dense(64, "tanh"), lm.Dense(33, "relu"), lm.Dense(10)],
        "wide": [lm.Dense(300, "gelu_tanh"), lm.Dense(257, "silu"), lm.Dense(10)],
        "norms": [lm.Dense(48), lm.BatchNorm(), lm.Activation("relu"), lm.Dense(40), lm.LayerNorm(), lm.Dense(10)],
        "dropout": [lm.Dense(64, "relu"), lm.Dropout(0.5), lm.Dense(10)],
    }
    return lm.Sequential(*layers[kind], seed=3, dtype=dtype)


OPTIMIZERS = {
    "mlp": lambda: lm.optim.Adam(1e-3),
    "wide": lambda: lm.optim.SGD(1e-2, momentum=0.9, nesterov=True),
    "norms": lambda: lm.optim.AdamW(1e-3, clip_norm=1.0),
    "dropout": lambda: lm.optim.RMSProp(1e-3),
}


def train(kind: str, dtype: str, n: int, features: int, steps: int = 5) -> tuple[list[float], dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, features)).astype(dtype), rng.integers(0, 10, n)
    net = build_net(kind, dtype)
    net.compile("cross_entropy", OPTIMIZERS[kind]())
    losses = [net.train_step(x, y) for _ in range(steps)]
    return losses, dict(net.parameters)


def assert_same_bits(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), f"{name} differs by {np.abs(a[name] - b[name]).max()}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_same_bits_for_any_number_of_threads(kind, dtype, threads):
    """Batches large and odd enough that work is cut: 513 rows of 100 features."""
    runs = []
    for n in THREADS:
        threads(n)
        runs.append(train(kind, dtype, 513, 100))
    for losses, weights in runs[1:]:
        assert losses == runs[0][0]
        assert_same_bits(weights, runs[0][1])


def test_same_bits_for_any_number_of_threads_in_fit_and_predict(threads):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(700, 40)).astype(np.float32), rng.integers(0, 10, 700)
    runs = []
    for n in THREADS:
        threads(n)
        net = build_net("dropout")
        history = net.fit(x, y, loss="cross_entropy", optimizer="adam", epochs=2, batch_size=48, verbose=0)
        runs.append((history.history["loss"], net.predict(x), dict(net.parameters)))
    for loss, prediction, weights in runs[1:]:
        assert np.array_equal(loss, runs[0][0]) and np.array_equal(prediction, runs[0][1])
        assert_same_bits(weights, runs[0][2])


def test_same_bits_for_large_reductions_and_products(threads):
    """Sums over long axes are merged in index order, whoever computed the parts."""
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=(5000, 70)).astype(np.float32), rng.normal(size=(70, 90)).astype(np.float32)]
    a, b = lm.placeholder((5000, 70)), lm.placeholder((70, 90))
    c = a @ b
    outputs = [c, lm.sum(c), lm.sum(c, axis=0), lm.sum(c, axis=1), c.T @ c, lm.var(c, axis=0), lm.softmax(c), lm.norm(c)]
    run = lm.function([a, b], outputs)
    results = []
    for n in THREADS:
        threads(n)
        results.append(run(*arrays))
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            assert np.array_equal(x, y)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_row_does_not_depend_on_its_batch(kind):
    """predict of one row has the same bits alone, in the middle of a batch and at its end."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(67, 30)).astype(np.float32)
    net = build_net(kind).build((30,))
    whole = net.predict(x)
    for rows in (slice(0, 1), slice(5, 6), slice(66, 67), slice(3, 20), slice(40, 67), slice(0, 64)):
        assert np.array_equal(net.predict(x[rows]), whole[rows])
    assert np.array_equal(net.predict(x, batch_size=5), whole)


@pytest.mark.parametrize("columns", [1, 3, 8, 10, 40])
def test_a_column_of_a_batch_lying_on_its_side_does_not_depend_on_the_others(columns, rng):
    """The only row of a transposed batch looks as rows that lie side by side do."""
    x, w, row = lm.placeholder((256, None)), lm.placeholder((256, columns)), lm.placeholder((columns,))
    run = lm.function([x, w, row], [lm.transpose(x) @ w, lm.transpose(x) @ w + row])
    batch, weights, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((256, 70), (256, columns), columns))
    whole = run(batch, weights, bias)
    for n in (1, 2, 15, 16, 17, 69):
        for some, all_rows in zip(run(np.ascontiguousarray(batch[:, :n]), weights, bias), whole, strict=True):
            assert np.array_equal(some, all_rows[:n])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_by_a_transposed_matrix(dtype, rng, threads):
    """Where the graph has one row the product is dot products; in a batch of any size a row is summed as beside others."""
    for k, n in [(1, 40), (37, 61), (130, 300), (64, 4500)]:
        a, w, b = (rng.normal(size=shape).astype(dtype) for shape in ((5, k), (n, k), (n,)))
        want = a.astype(np.float64) @ w.T.astype(np.float64) + b
        tolerance = 4 * (k + 1) * np.finfo(dtype).eps
        row, batch, weights, bias = (lm.placeholder(s, dtype) for s in ((1, k), (None, k), (n, k), (n,)))
        alone, with_bias = row @ weights.T, lm.tanh(row @ weights.T + bias)
        of_row, of_batch = lm.function([row, weights, bias], [alone, with_bias]), lm.function([batch, weights], batch @ weights.T)
        whole = of_batch(a, w)
        results = []
        for count in THREADS:
            threads(count)
            results.append(of_row(a[:1], w, b))
            assert np.array_equal(of_batch(a[:1], w), whole[:1])
        for other in results[1:]:
            assert all(np.array_equal(x, y) for x, y in zip(results[0], other, strict=True))
        np.testing.assert_allclose(results[0][0], want[:1] - b, rtol=0, atol=tolerance)
        np.testing.assert_allclose(results[0][1], np.tanh(want[:1]), rtol=0, atol=tolerance)


def test_sums_of_a_stack_of_products_have_the_same_bits_on_any_number_of_threads(rng, threads):
    """Their parts do not end where the matrices of the stack do."""
    x, w = lm.placeholder((None, 7, 64), "float32"), lm.Parameter(rng.normal(size=(64, 64)).astype(np.float32) / 8)
    total = lm.sum(lm.tanh(lm.transpose(x, (1, 0, 2)) @ w), axis=(0, 1))
    array, seen = rng.normal(size=(100, 7, 64)).astype(np.float32), []
    for n in THREADS:
        threads(n)
        planned = core.Program([x.node], [total.node])
        seen += planned.run([array])
    assert planned.steps == ["matmul+tanh+sum"] and planned.stages[0]["parallel"]
    np.testing.assert_allclose(seen[0], np.tanh(array.astype(float) @ w.value).sum(axis=(0, 1)), atol=1e-4)
    for other in seen[1:]:
        assert np.array_equal(seen[0], other)


def test_a_stack_as_one_tall_product_beside_a_row_for_each_matrix(rng):
    x, c = lm.placeholder((3, None, 8), "float64"), lm.placeholder((3, 1, 20), "float64")
    w = lm.Parameter(rng.normal(size=(8, 20)), dtype="float64")
    arrays = [rng.normal(size=(3, 5, 8)), rng.normal(size=(3, 1, 20))]
    planned = core.Program([x.node, c.node], [lm.tanh((x @ w) * c).node])
    assert planned.steps == ["matmul+mul+tanh"]
    np.testing.assert_allclose(planned.run(arrays)[0], np.tanh(arrays[0] @ w.value * arrays[1]), rtol=1e-12)


def test_a_large_product_of_many_sums_is_whole_before_the_next_operation(rng):
    """Of fewer sums each part of it would be handed on at once."""
    x, w = lm.placeholder((None, 1100), "float32"), lm.Parameter(rng.normal(size=(1100, 1000)).astype(np.float32) / 33)
    array = rng.normal(size=(300, 1100)).astype(np.float32)
    (got,) = core.Program([x.node], [lm.tanh(x @ w).node]).run([array])
    np.testing.assert_allclose(got, np.tanh(array.astype(float) @ w.value), atol=1e-5)


def test_the_same_seed_gives_the_same_bits():
    for kind in OPTIMIZERS:
        first, second = train(kind, "float32", 65, 20), train(kind, "float32", 65, 20)
        assert first[0] == second[0]
        assert_same_bits(first[1], second[1])


# ---- passes ----------------------------------------------------------------------------------------------------------------------


def chain(x, w, b):
    """A net's forward and backward by hand; returns the outputs and every intermediate."""
    u = x @ w
    z = u + b
    h = lm.tanh(z)
    s = h * h + lm.exp(-h)
    p = lm.log_softmax(s)
    loss = -lm.mean(p[:, 0])
    gw, gb = lm.grad(loss, [w, b])
    return [loss, gw, gb], [u, z, h, h * h, lm.exp(-h), s, p, lm.grad(loss, z), lm.grad(loss, h), lm.grad(loss, s)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keeping_intermediates_changes_no_bit(dtype, rng):
    """An output keeps a tensor out of a fused step: fused and kept must agree in every bit."""
    shapes = [("B", 21), (21, 13), (13,)]
    inputs = [lm.placeholder(s, dtype) for s in shapes]
    outputs, intermediates = chain(*inputs)
    arrays = [rng.normal(size=(35, 21)).astype(dtype), rng.normal(size=(21, 13)).astype(dtype), rng.normal(size=13).astype(dtype)]
    fused = lm.function(inputs, outputs)(*arrays)
    everything = lm.function(inputs, outputs + intermediates)(*arrays)
    for a, b in zip(fused, everything, strict=False):
        assert np.array_equal(a, b)
    for i, tensor in enumerate(intermediates):
        one = lm.function(inputs, [*outputs, tensor])(*arrays)
        for a, b in zip(fused, one, strict=False):
            assert np.array_equal(a, b)
        assert np.array_equal(one[-1], everything[len(outputs) + i])


ROWS = {
    "dense": lambda b: lm.concatenate([b, b], 0)[: b.shape[0]],
    "a row of its own": lambda b: lm.reshape(b, (1, b.shape[0])),
    "every other one": lambda b: lm.reshape(lm.stack([b, -b], 1), (2 * b.shape[0],))[::2],
    "one number": lambda b: lm.broadcast_to(b[0], b.shape),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_begin_with_a_row_that_is_added(dtype, row, rng):
    """x w + b, whichever way the kernel goes, has the bits of b + x w, and of itself beside others that use x w."""
    close = {"rtol": 1e-5, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-13, "atol": 1e-12}
    for m, k, n in [
        (1, 3, 5),
        (7, 5, 1),
        (64, 4, 64),
        (33, 64, 130),
        (5, 0, 9),
        (300, 17, 3),
        (9, 1, 33),
        (2, 300, 70),
        (40, 600, 200),
    ]:
        x, w, b = (lm.placeholder(shape, dtype) for shape in (("B", k), (k, n), (n,)))
        arrays = [rng.normal(size=shape).astype(dtype) for shape in ((m, k), (k, n), (n,))]
        u, start = x @ w, ROWS[row](b)
        (y,) = lm.function([x, w, b], [u + start])(*arrays)
        added = lm.function([b], start)(arrays[2]).reshape(-1)
        np.testing.assert_allclose(y, arrays[0].astype(np.float64) @ arrays[1] + added, **close)
        beside = lm.function([x, w, b], [lm.tanh(start + u), u + 2 * start, u + start, u])(*arrays)
        assert np.array_equal(y, beside[2])
        assert np.array_equal(lm.function([x, w, b], lm.tanh(u + start))(*arrays), beside[0])
        assert np.array_equal(lm.function([x, w], u)(*arrays[:2]), beside[3])


def test_sums_of_a_stack_and_of_dense_columns_begin_with_a_row_too(rng):
    w, b = rng.normal(size=(6, 3)), rng.normal(size=3)
    for x, turn in [
        (rng.normal(size=(2, 5, 6)), (0, 1, 2)),
        (rng.normal(size=(6, 40)), (1, 0)),
        (rng.normal(size=(3, 6, 40)), (0, 2, 1)),
    ]:
        given = lm.placeholder(x.shape, "float64")
        y = lm.function([given], lm.transpose(given, turn) @ w + b)(x)
        np.testing.assert_allclose(y, x.transpose(turn) @ w + b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 3), (5, 3), (2, 1, 3)], ids=str)
def test_a_product_added_to_itself(shape, rng):
    """A row that a product's sums begin with is another value than the product."""
    x, w = lm.placeholder(shape, "float64"), lm.placeholder((3, 4), "float64")
    at, by = rng.normal(size=shape), rng.normal(size=(3, 4))
    c = x @ w
    for y in (c + c, (c + c) + c, c + (c + c), lm.exp(c + c) + c):
        got = lm.function([x, w], y)(at, by)
        k = at @ by
        want = np.exp(2 * k) + k if y.node.inputs[0].op == "exp" else 2 * k if y.node.inputs[0] == y.node.inputs[1] else 3 * k
        np.testing.assert_allclose(got, want, rtol=1e-13)


SWITCHES = [{"fuse": False}, {"fuse_products": False}, {"fuse_updates": False}, {"optimize": False}]


def trained(switches: dict, dtype: str, kind: str) -> list[np.ndarray]:
    """Losses and weights after four steps of a net's training program, built with these switches of the planner."""
    rng = np.random.default_rng(6)
    net = build_net(kind, dtype).build((21,))
    target = lm.placeholder(("B", 10), dtype)
    loss = lm.losses.CrossEntropy()(net.outputs[0], target)
    parameters = [net.parameters.tensor(name) for name in net.parameters if net.parameters.tensor(name).trainable]
    optimizer = OPTIMIZERS[kind]()
    optimizer.bind(parameters)
    effects = optimizer.effects(parameters, lm.grad(loss, parameters))
    inputs = [net.inputs[0].node, target.node]
    program = core.Program(inputs, [loss.node], [e.node for e in effects], True, **switches)
    x, y = rng.normal(size=(37, 21)).astype(dtype), lm.softmax(rng.normal(size=(37, 10)).astype(dtype))
    losses = [program.run([x, y])[0] for _ in range(4)]
    return [*losses, *dict(net.parameters).values()]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_fusing_changes_no_bit(kind, dtype, switches):
    for a, b in zip(trained({}, dtype, kind), trained(switches, dtype, kind), strict=True):
        assert np.array_equal(a, b)


def test_equal_nodes_and_constants_change_nothing(rng):
    x = lm.placeholder((4, 3), "float64")
    y = (lm.exp(x) + lm.exp(x)) * (np.full((3,), 2.0) * 3.0) + 0 * x + (x - x)
    at = rng.normal(size=(4, 3))
    np.testing.assert_allclose(lm.function([x], y)(at), 2 * np.exp(at) * 6, rtol=1e-15)


def test_folding_does_not_hide_nan():
    """0 * x is not 0 where x is infinite, and x - x is not 0."""
    x = lm.placeholder((3,), "float64")
    got = lm.function([x], [0 * x, x - x, x / x, x * 1 + 0])(np.array([np.inf, np.nan, 2.0]))
    assert np.array_equal(got[0], [np.nan, np.nan, 0], equal_nan=True)
    assert np.array_equal(got[1], [np.nan, np.nan, 0], equal_nan=True)
    assert np.array_equal(got[2], [np.nan, np.nan, 1], equal_nan=True)
    assert np.array_equal(got[3], [np.inf, np.nan, 2], equal_nan=True)


def test_zeros_of_either_sign_are_two_constants():
    x = lm.placeholder((2,), "float64")
    above, below = lm.function([x], [1 / (x * 0.0), 1 / (x * -0.0)])(np.ones(2))
    assert np.array_equal(above, [np.inf] * 2) and np.array_equal(below, [-np.inf] * 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_without_columns_behind_a_product_have_sums(dtype, rng):
    """What follows a product runs on its blocks, of which there is one although the product is empty."""
    x, w = lm.placeholder((None, 3), dtype), lm.placeholder((3, 0), dtype)
    h = x @ w
    f = lm.function([x, w], [lm.sum(h * h, axis=1), lm.sum(lm.exp(h), axis=0), lm.sum(h)])
    for rows in (1, 15, 200):
        for _ in range(3):  # of memory that others have left full of numbers
            np.full(rows, 7.0, dtype)
            by_row, by_column, total = f(rng.normal(size=(rows, 3)), np.zeros((3, 0)))
            assert np.array_equal(by_row, np.zeros(rows)) and by_column.shape == (0,) and total == 0


def test_more_values_than_one_step_holds(rng):
    """Many readers of one product, and long sums that meet, are several steps."""
    x, w = lm.placeholder((None, 4), "float64"), lm.placeholder((4, 5), "float64")
    at, by = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
    h = x @ w
    for c, y in enumerate(lm.function([x, w], [lm.exp(h - float(c)) for c in range(300)])(at, by)):
        np.testing.assert_allclose(y, np.exp(at @ by - c), rtol=1e-13)
    terms = [lm.placeholder((7,), "float64") for _ in range(141)]
    a, b, c = (sum(terms[k + 1 : k + 47], start=terms[k]) for k in (0, 47, 94))
    values = rng.normal(size=(141, 7))
    want = np.where(values[:47].sum(0) > 0, values[47:94].sum(0), values[94:].sum(0))
    np.testing.assert_allclose(lm.function(terms, lm.where(a > 0, b, c))(*values), want, rtol=1e-12)


def test_outputs_that_are_inputs_constants_or_repeated(rng):
    x = lm.placeholder((3,), "float64")
    at = rng.normal(size=3)
    a, b, c, d = lm.function([x], [x, x * 2, x, lm.zeros_like(x)])(at)
    assert np.array_equal(a, at) and np.array_equal(b, 2 * at) and np.array_equal(c, at) and np.array_equal(d, np.zeros(3))
    a[:] = 7  # outputs are the caller's own: neither the input nor another output moves
    assert not np.any(c == 7) and not np.any(at == 7)


def test_results_of_one_call_survive_the_next(rng):
    x = lm.placeholder(("B", 3), "float64")
    f = lm.function([x], lm.exp(x))
    first_at = rng.normal(size=(4, 3))
    first = f(first_at)
    f(rng.normal(size=(4, 3)))
    assert np.array_equal(first, lm.exp(first_at))


@pytest.mark.parametrize("dtype", ["bool", "int64", "float32", "float64"])
@pytest.mark.parametrize("elements", [1000, 1 << 16, 300_000, 5 << 20])
def test_results_of_some_size_begin_at_a_page_and_are_the_callers(elements, dtype):
    x = np.arange(elements).astype(dtype)
    y, z = lm.ops.where(lm.ops.greater_equal(x, 1), x, x), lm.ops.where(lm.ops.greater_equal(x, 1), x, x)
    assert y.dtype == dtype and np.array_equal(y, x) and y.flags.c_contiguous and y.flags.writeable and y.flags.aligned
    if 64 << 10 <= y.nbytes < 4 << 20:
        assert y.ctypes.data % 4096 == 0
    y[:] = 0
    assert np.array_equal(z, x)
    del z
    assert not y.any()  # its memory is its own


@pytest.mark.parametrize("columns", [1, 7, 16, 31, 33, 64, 100, 200])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bools_become_numbers_in_rows_of_any_length(columns, dtype, rng):
    mask = rng.random((9, 2 * columns)) < 0.5
    m, x = lm.placeholder((None, columns), "bool"), lm.placeholder((None, columns), dtype)
    f = lm.function([m, x], [lm.where(m, x, -x), m * x, lm.sum(lm.cast(m, "int64"))])
    at = rng.normal(size=(9, columns)).astype(dtype)
    for given in (mask[:, :columns], mask[::-1, ::2], np.broadcast_to(mask[:, :1], (9, columns)), mask[:, :columns].copy()):
        chosen, times, count = f(given, at)
        assert np.array_equal(chosen, np.where(given, at, -at)) and np.array_equal(times, given * at) and count == given.sum()


def test_inputs_of_any_layout_and_type(rng):
    x = lm.placeholder(("B", 4), "float32")
    f = lm.function([x], x * 2)
    base = rng.normal(size=(6, 8)).astype(np.float32)
    read_only = base[:, :4].copy()
    read_only.flags.writeable = False
    for at in (base[:, ::2], np.asfortranarray(base[:, :4]), base[::-1, 3::-1], read_only, base[:, :4].astype(np.float64)):
        assert np.array_equal(f(at), 2 * at.astype(np.float32))
    unaligned = np.zeros(97, np.uint8)[1:].view(np.float32).reshape(6, 4)
    unaligned[:] = base[:, :4]
    assert not unaligned.flags.aligned and np.array_equal(f(unaligned), 2 * base[:, :4])
    assert np.array_equal(f(np.arange(8).reshape(2, 4)), 2 * np.arange(8).reshape(2, 4))
    assert np.array_equal(f([[1, 2, 3, 4]]), [[2, 4, 6, 8]])


# ---- updates ---------------------------------------------------------------------------------------------------------------------


def test_numbers_in_the_other_byte_order_are_numbers(rng):
    x = rng.normal(size=(3, 4))
    for dtype, values in (("float64", x), ("float32", x.astype(np.float32)), ("int64", np.arange(12).reshape(3, 4))):
        given = lm.placeholder((None, 4), dtype)
        found = lm.function(given, given + given)(values.astype(values.dtype.newbyteorder()))
        assert found.dtype == dtype and np.array_equal(found, values + values)


def test_updates_see_the_values_before():
    """Two parameters swap: every update reads what was there before the step."""
    a, b = lm.Parameter(np.arange(3.0), dtype="float64"), lm.Parameter(np.arange(3.0) + 10, dtype="float64")
    swap = lm.function([], [a + b], updates=[(a, b), (b, a)])
    (total,) = swap()
    assert np.array_equal(total, np.arange(3.0) * 2 + 10)
    assert np.array_equal(a.value, np.arange(3.0) + 10) and np.array_equal(b.value, np.arange(3.0))
    swap()
    assert np.array_equal(a.value, np.arange(3.0)) and np.array_equal(b.value, np.arange(3.0) + 10)


def test_a_chain_of_updates():
    a, b, c = (lm.Parameter(np.full(40, float(i)), dtype="float64") for i in (1, 2, 3))
    rotate = lm.function([], [], updates=[(a, b), (b, c), (c, a + 0)])
    rotate()
    assert [p.value[0] for p in (a, b, c)] == [2, 3, 1]


def test_an_update_by_its_own_value_and_an_input():
    count = lm.Parameter(np.zeros(()), dtype="float64", trainable=False)
    x = lm.placeholder((), "float64")
    step = lm.function([x], [count * 1], updates=[(count, count + x)])
    assert [float(step(2.0)[0]) for _ in range(3)] == [0, 2, 4]
    assert count.value == 6


def test_nothing_is_written_where_an_index_is_none():
    count, to = (lm.Parameter(np.zeros(shape), dtype="float64") for shape in ((), 2))
    table, at = lm.Parameter(np.arange(3.0), dtype="float64"), lm.placeholder((2,), "int64")
    step = lm.function([at], [], updates=[(count, count + 1), (to, lm.take(table, at))])
    with pytest.raises(ValueError, match="expected indices from -3 to 2, got 5"):
        step([1, 5])
    assert count.value == 0 and not to.value.any()
    step([1, 2])
    assert count.value == 1 and to.value.tolist() == [1, 2]


# A loss of a layer's output p, its weights w and some numbers c; the gradient of the weights, for p = x @ w.
GRADIENTS = {
    "a number": (lambda p, w, c: lm.sum(w), lambda x, p, c: np.ones((5, 33))),
    "a number for each row": (lambda p, w, c: lm.sum(lm.sum(w, axis=1) * c[:5]), lambda x, p, c: np.outer(c[:5], np.ones(33))),
    "a product and a row": (
        lambda p, w, c: lm.sum(p**2) + lm.sum(lm.sum(w, axis=0) * c),
        lambda x, p, c: 2 * x.T @ p + c,
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("rows", [1, 3])
def test_an_update_by_a_gradient_that_is(name, rows, rng):
    loss, slope = GRADIENTS[name]
    c, x = rng.normal(size=33), rng.normal(size=(rows, 5))
    layer = lm.Dense(33, bias=False)
    net = lm.Sequential(layer, seed=0, dtype="float64").build(5)
    before = net.parameters["dense_1.weight"]
    net.compile(lambda p, _: loss(p, layer.weight, c), lm.optim.SGD(0.1))
    net.train_step(x, np.zeros((rows, 33)))
    np.testing.assert_allclose(net.parameters["dense_1.weight"], before - 0.1 * slope(x, x @ before, c), rtol=1e-12)


def test_gradient_descent_by_hand(rng):
    x = rng.normal(size=(50, 4))
    true = np.array([1.0, -2, 3, 0.5])
    w = lm.Parameter(np.zeros(4), dtype="float64")
    inputs = [lm.placeholder(("B", 4), "float64"), lm.placeholder(("B",), "float64")]
    loss = lm.mean((inputs[0] @ w - inputs[1]) ** 2)
    step = lm.function(inputs, loss, updates=[(w, w - 0.1 * lm.grad(loss, w))])
    losses = [float(step(x, x @ true)) for _ in range(300)]
    assert losses[-1] < 1e-10
    np.testing.assert_allclose(w.value, true, atol=1e-12)


def test_a_parameter_is_read_when_the_function_runs():
    w = lm.Parameter(np.ones(3), dtype="float64")
    f = lm.function([], w * 2)
    assert np.array_equal(f(), [2, 2, 2])
    w.value = np.arange(3.0)
    assert np.array_equal(f(), [0, 2, 4])
    with pytest.raises(ValueError, match=r"\[Parameter\] expected shape \(3,\), got \(4,\)"):
        w.value = np.zeros(4)
    assert np.array_equal(f(), [0, 2, 4])


@pytest.mark.parametrize("lay", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a.astype(">f8")])
def test_a_value_may_be_written_from_an_array_of_any_layout(lay):
    values, w = np.arange(6.0).reshape(2, 3), lm.Parameter(np.zeros((2, 3)), dtype="float64")
    w.value = lay(values)
    assert np.array_equal(w.value, values)


def test_a_value_read_is_a_copy():
    w = lm.Parameter(np.ones(3), dtype="float64")
    w.value[:] = 9
    assert np.array_equal(w.value, np.ones(3))


# ---- randomness and training -----------------------------------------------------------------------------------------------------


def test_dropout_keeps_its_share_and_changes_each_step():
    """Kept elements are scaled by 1 / (1 - p), masks are fresh at each step, the seed decides them; inference is the identity."""
    x = np.ones((100, 50), np.float32)

    def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
        source = lm.Input(50)
        target = lm.Dropout(0.25)(source)
        net = lm.Model(source, target, seed=seed)
        assert np.array_equal(net.predict(x), x)
        step = core.Program([source.node], [target.node], [], True)
        return step.run([x])[0], step.run([x])[0]

    first, second = masks(1)
    for mask in (first, second):
        np.testing.assert_allclose(np.unique(mask), [0, 4 / 3], rtol=1e-6)
        assert abs((mask == 0).mean() - 0.25) < 0.03  # 5 sigma of 5000 draws
    assert 0.5 < (first == second).mean() < 0.75  # independent: 1 - 2 p (1 - p) = .625
    again = masks(1)
    assert np.array_equal(first, again[0]) and np.array_equal(second, again[1])
    assert not np.array_equal(first, masks(2)[0])


def test_two_draws_from_one_state_are_one_step_of_it():
    x, state = lm.placeholder((None,), "float64"), lm.RandomState()
    draws = [lm.random_uniform(x, state), lm.random_uniform(2 * x, state)]
    step = core.Program([x.node], [t.node for t in draws], [], True)
    for done in (1, 2):
        a, b = step.run([np.zeros(4)])
        assert np.array_equal(a, b) and state.value[1] == done


def test_a_second_update_of_a_state_starts_from_what_the_first_one_left():
    """But what the first one passed on was made of the value before the step."""
    x, state = lm.placeholder((None,), "float64"), lm.Parameter(np.ones(()), trainable=False, dtype="float64")
    first = lm.update_state(x * state, state, state + 1)
    second = lm.update_state(first + state, state, state + lm.sum(first))
    (got,) = core.Program([x.node], [second.node], [], True).run([np.array([2.0, 3.0])])
    assert got.tolist() == [3, 4] and state.value == 2 + 5


def test_update_state_and_in_training():
    """Both halves in one graph: a step in training writes the statistics, inference reads them."""

    class Count(lm.Layer):
        def build(self, x):
            self.seen = self.parameter("seen", (), lm.initializers.zeros, trainable=False)
            self.weight = self.parameter("weight", (), lm.initializers.ones)

        def forward(self, x):
            y = lm.update_state(x * self.weight, self.seen, self.seen + lm.size(x, 0))
            return lm.in_training(y, y + self.seen)

    net = lm.Sequential(Count(), seed=0, dtype="float64")
    net.compile("mse", lm.optim.SGD(0.0))
    x = np.ones((4, 1))
    assert net.predict(x)[0, 0] == 1
    net.train_step(x, x)
    net.train_step(x[:3], x[:3])
    assert net.parameters["count_1.seen"] == 7
    assert net.predict(x)[0, 0] == 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 5, 17])
def test_products_with_factors_of_any_strides(n, dtype, rng):
    """Repeated rows and columns, every other column, turned round: on either side of a product."""
    a, b = rng.normal(size=(6, 9)), rng.normal(size=(9, 2 * n))
    x, y = lm.placeholder(a.shape, dtype), lm.placeholder(b.shape, dtype)
    row, column = lm.placeholder((1, 2 * n), dtype), lm.placeholder((9, 1), dtype)
    products = [
        x @ y[:, ::2],
        x @ y[::-1, ::-1],
        x @ lm.broadcast_to(row, b.shape),
        x @ lm.broadcast_to(column, b.shape),
        x @ lm.full(b.shape, 0.5, dtype),
        lm.transpose(y[:, ::2]) @ lm.transpose(x),
        lm.full((3, 6), 2.0, dtype) @ x,
    ]
    got = lm.function([x, y, row, column], products)(a, b, b[:1], b[:, :1])
    half, whole = b[:, ::2], np.ones_like(b)
    want = [a @ half, a @ b[::-1, ::-1], a @ (whole * b[:1]), a @ (whole * b[:, :1]), a @ (whole * 0.5), half.T @ a.T]
    want.append(np.full((3, 6), 2.0) @ a)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize(("dtype", "k"), [("float32", 3800), ("float64", 1900)])
def test_a_last_block_of_fewer_columns(dtype, k, rng):
    """B comes from memory, but for the last columns, which are so few that they do not: they are multiplied another way."""
    a, b = rng.normal(size=(48, k)).astype(dtype), rng.normal(size=(k, 1100)).astype(dtype)
    np.testing.assert_allclose(lm.matmul(a, b), a.astype(np.float64) @ b, atol=3e-3 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("n", [15361, 15375, 16390])
def test_the_last_columns_of_a_wide_product_are_finished_too(n, rng):
    """Cut into blocks of 1,024 columns they were fewer than a vector has lanes: multiplied, but no update came behind."""
    x, y = rng.normal(size=(32, 20)).astype(np.float32), rng.normal(size=(32, n)).astype(np.float32)
    net = lm.Sequential(lm.Dense(n, bias=False), seed=0).build(20).compile("mse", lm.optim.SGD(1.0))
    w = net.parameters["dense_1.weight"].astype(np.float64)
    net.train_step(x, y)
    step = 2 * x.T @ (x @ w - y) / y.size
    np.testing.assert_allclose(w - net.parameters["dense_1.weight"], step, atol=1e-3 * np.abs(step).max())
    np.testing.assert_allclose(lm.function([a := lm.Input(20)], lm.relu(a @ w))(x), np.maximum(x @ w, 0), atol=1e-5)


def test_whole_numbers_are_exact_to_2_to_the_53():
    i = lm.placeholder((None,), "int64")
    numbers = np.array([2**24 + 1, 2**53 - 3, -(2**52) - 1])
    for got in core.Program([i.node], [(i + 1).node, (lm.maximum(i, 0) + lm.minimum(i, 0) + 1).node]).run([numbers]):
        assert got.dtype == np.int64 and np.array_equal(got, numbers + 1)


def test_any_number_of_zeros_stands_between_one_row_and_none():
    """Of so many, the next row's place is beyond 2^63."""
    x = lm.placeholder((1, 8), "float64")
    padded = core.make("pad", [x.node], {"low": (1, 0), "high": (0, 0), "interior": [2**61, 0]})
    (got,) = core.Program([x.node], [padded]).run([np.arange(8.0)[None]])
    assert np.array_equal(got, [np.zeros(8), np.arange(8.0)])


def test_one_hot_of_one_class_in_a_stack():
    assert np.array_equal(lm.one_hot(np.zeros((2, 3), np.int64), 1), np.ones((2, 3, 1)))


def test_what_is_known_beforehand_is_turned_round_before_it_is_read():
    c = np.arange(9.0).reshape(3, 3)
    x = lm.placeholder((3, 3), "float64")
    half = lm.full((3, 3), 0.5, "float64") * c
    assert np.array_equal(lm.function([x], x * (half + half.T))(np.ones((3, 3))), (c + c.T) / 2)


EPOCHS = {  # what differs from a good call, and what the error holds
    "fewer arrays": ({"sources": 1}, "expected 2 sources, got 1"),
    "other rows": ({"rows": 4}, "different numbers of rows"),
    "a row behind the last": ({"order": [0, 3]}, "row 3 is not among the 3 rows"),
    "a row before the first": ({"order": [-1, 0]}, "row -1 is not among the 3 rows"),
    "no rows at once": ({"batch_size": 0}, "batch size of at least 1, got 0"),
    "few rates": ({"rates": np.zeros(1)}, "a learning rate for each of the 2 batches"),
    "a small place": ({"collect": np.zeros((2, 2))}, "dense writable array of float64 with 3 rows"),
    "a place of another type": ({"collect": np.zeros((3, 2), np.float32)}, "dense writable array of float64"),
    "a place in columns": ({"collect": np.zeros((2, 3)).T}, "dense writable array of float64"),
}


@pytest.mark.parametrize("name", [None, *EPOCHS])
def test_an_epoch_checks_what_it_is_given(name):
    x, y = (lm.placeholder((None, 2), "float64") for _ in range(2))
    change, message = EPOCHS.get(name, ({}, ""))
    good = {"sources": 2, "rows": 3, "order": [2, 0, 1], "batch_size": 2, "rates": np.zeros(2), "collect": np.zeros((3, 2))}
    given = good | change
    arrays = [np.arange(6.0).reshape(3, 2), np.ones((given["rows"], 2))][: given["sources"]]
    rate = core.Variable("rate", "float64", [])
    program = core.Program([x.node, y.node], [(x + y).node])
    run = functools.partial(program.epoch, arrays, np.array(given["order"]), given["batch_size"])
    options = {"rate": rate, "rates": given["rates"], "collect": [given["collect"]]}
    if name is None:
        assert run(**options).shape == (2, 0) and np.array_equal(given["collect"], arrays[0][good["order"]] + 1)
        return
    with pytest.raises(ValueError, match=re.escape(message)):
        run(**options)


def test_an_object_is_made_an_array_once():
    class Changing:  # into an array of another size each time
        def __init__(self, *sizes):
            self.sizes = list(sizes)

        def __array__(self, dtype=None, copy=None):
            return np.ones(self.sizes.pop(0), dtype or np.float32)

    variable = core.Variable("w", "float32", [50_000])
    variable.write(Changing(50_000, 1))
    assert np.array_equal(variable.read(), np.ones(50_000))
    assert core.constant(Changing(1, 50_000)).shape == (1,)


@pytest.mark.parametrize(
    "low, high, interior", [(2**61, -(2**61), 0), (-(2**61), 2**61, 0), (0, -(2**59), 2**59), (1 - 2**62, 2**62 - 1, 2**62 - 1)]
)
def test_widths_beyond_any_memory_leave_zeros(low, high, interior):
    x = lm.placeholder((2 if interior < 2**60 else 1, 3), "float32")
    attrs = {"low": [low, 0], "high": [high, 0], "interior": [interior, 0]}
    padded = core.Program([x.node], [core.make("pad", [x.node], attrs)])
    (got,) = padded.run([np.ones((x.shape[0], 3), np.float32)])
    assert not got[1:].any() and got.shape[1] == 3
