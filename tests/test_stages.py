"""What several threads share, beside each other and row block by row block: as planned, and without a bit of difference."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from test_fusion import program
from test_random_programs import outputs_of, seeded

ROWS = 400  # enough for blocks of rows on each of the threads tried


def network(sizes, batch, optimizer="adam"):
    """A training program of a network, and its batch."""
    rng = np.random.default_rng(0)
    net = lm.Sequential(*(lm.Dense(n, "tanh") for n in sizes[1:-1]), lm.Dense(sizes[-1]), seed=0).build(sizes[0])
    net.compile("mse", optimizer)
    arrays = [rng.standard_normal((batch, n)).astype(np.float32) for n in (sizes[0], sizes[-1])]
    return net, program(net, "mse"), arrays


def lanes(planned, stage):
    return [[planned.steps[i] for i in lane] for lane in stage["lanes"]]


@pytest.mark.parametrize("batch", [64, 100, 128])
def test_a_training_step_of_small_layers_meets_twice(batch, threads):
    """Forward, loss, backward, gradients of groups of rows are one lane of row blocks; all updates follow, beside each other."""
    threads(2)
    _, planned, arrays = network((8, 64, 48, 3), batch)
    planned.run(arrays)
    shared = [s for s in planned.stages if s["parallel"]]
    assert len(shared) == 2
    (along,) = lanes(planned, shared[0])
    partial = [planned.steps[i] for i in shared[0]["partial"]]
    assert partial == ["matmul+rule_update"] * (3 if batch >= 96 else 0), "shorter batches are not worth groups"
    along = [step for step in along if step not in partial]
    assert len(along) == 5 and not any("rule_update" in step for step in along)
    assert along[0] == "matmul+add+tanh" and along[-1] == "matmul+tanh_backward+sum"
    assert shared[0]["tasks"] == 2
    updates = [lane for lane in lanes(planned, shared[1]) if lane != ["div"]]
    assert sorted(updates) == sorted([["matmul+rule_update"]] * 3 + [["rule_update+rule_update+rule_update"]])


def test_many_threads_are_not_asked_for_what_few_do_faster(threads):
    """A batch of 64 is two blocks of rows for 16 threads, too, which meet twice; large layers are for all of them, one by one."""
    threads(16)
    _, planned, arrays = network((8, 64, 48, 3), 64)
    planned.run(arrays)
    along = max((s for s in planned.stages), key=lambda s: max(len(lane) for lane in s["lanes"]))
    assert len(along["lanes"][0]) == 5 and along["tasks"] == 2
    _, planned, arrays = network((64, 180, 180, 3), 64)
    planned.run(arrays)
    first = planned.stages[0]
    assert first["lanes"] == [[0]] and first["tasks"] > 2


def test_every_step_runs_once(threads):
    """Those that sum over a batch in groups have two parts on several threads, one stage after the other."""
    for n in (1, 2, 5):
        threads(n)
        _, planned, arrays = network((8, 64, 48, 3), 128)
        planned.run(arrays)
        stages = [sorted(i for lane in s["lanes"] for i in lane) for s in planned.stages]
        assert all(len(set(steps)) == len(steps) for steps in stages)
        ran = sorted(i for steps in stages for i in steps)
        twice = sorted(i for s in planned.stages for i in s["partial"])
        assert sorted(set(ran)) == list(range(len(planned.steps))) and len(ran) == len(planned.steps) + len(twice)
        assert [planned.steps[i] for i in twice] == ([] if n == 1 else ["matmul+rule_update"] * 3)


def test_one_thread_and_little_work_meet_nobody(threads):
    for n, batch in ((1, 128), (4, 2)):
        threads(n)
        _, planned, arrays = network((8, 16, 3), batch)
        planned.run(arrays)
        assert not any(s["parallel"] for s in planned.stages)


def test_large_weights_are_not_read_once_a_block(threads):
    """Their products are shared out column by column."""
    threads(2)
    _, planned, arrays = network((64, 512, 512, 3), 128)
    planned.run(arrays)
    large = next(i for i, step in enumerate(planned.steps) if step == "matmul+add+tanh") + 1
    assert [large] in [lane for s in planned.stages for lane in s["lanes"]]


def test_updates_wait_for_the_loss(threads):
    """Where it is not finite they must not have begun."""
    threads(3)
    net, planned, arrays = network((8, 64, 48, 3), 128)
    before = {name: value.copy() for name, value in net.parameters.items()}
    arrays[0][77] = np.nan
    assert np.isnan(planned.run(arrays, guarded=True)[0])
    for name, value in net.parameters.items():
        np.testing.assert_array_equal(value, before[name])
    done = set()
    for stage in planned.stages:
        names = {planned.steps[i] for lane in stage["lanes"] for i in lane if i not in stage["partial"]}
        if any("rule_update" in name for name in names):
            assert any("matmul+add+sub" in name for name in done), "the loss comes first"
        done |= names


def test_values_that_only_a_lane_needs_take_little_memory(threads):
    """A deep network's activations, of which a prediction needs one at a time, do not all lie in memory together."""
    layer = lm.Dense(128, "tanh")
    inputs = out = lm.Input(128)
    for _ in range(60):
        out = layer(out)
    net = lm.Model(inputs, out, seed=0)
    sizes = []
    for n in (1, 2):
        threads(n)
        planned = net.programs.predict()
        planned.run([np.zeros((2000, 128), np.float32)])
        sizes.append(planned.arena_bytes)
    assert sizes[1] <= sizes[0] + 2 * 8e6


KINDS = {
    "dropout, norms": lambda: [
        *(lm.Dense(96, "relu"), lm.Dropout(0.3), lm.LayerNorm()),
        *(lm.Dense(40, "gelu"), lm.BatchNorm(), lm.Dense(3)),
    ],
    "one column": lambda: [lm.Dense(64, "tanh"), lm.Dense(1, "sigmoid"), lm.Dense(24), lm.Dense(3)],
    "deep": lambda: [*(lm.Dense(32, "silu") for _ in range(9)), lm.Dense(3)],
    "squares": lambda: [lm.Dense(ROWS // 4, "tanh"), lm.Dense(ROWS // 4, "tanh"), lm.Dense(3)],  # as wide as a batch is long
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes, rows", [((401, 67, 67, 3), 13), ((784, 128, 10), 32), ((600, 200, 200), 100), ((1000, 33), 31)])
def test_two_threads_relay_products_of_wide_inputs_without_a_bit_of_difference(sizes, rows, dtype, threads):
    """One multiplies the first half of k, the other one goes on; five steps, as nothing may be left for the next one."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((rows, sizes[0])), rng.standard_normal((rows, sizes[-1]))
    seen = []
    for n in (1, 2, 2, 3):
        threads(n)
        layers = [lm.Dense(n, "tanh") for n in sizes[1:]]
        net = lm.Sequential(*layers, seed=0, dtype=dtype).build(sizes[0]).compile("mse", "adam")
        losses = [net.train_step(x.astype(dtype), y.astype(dtype)) for _ in range(5)]
        seen.append([np.array(losses), *net.parameters.values()])
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [40, 95, 96, 97, 255, 300, 1025, 1100, 4100])
@pytest.mark.parametrize("sizes", [(3, 24, 3), (40, 70, 1), (2, 300, 7), (130, 130, 130)], ids=str)
def test_gradients_in_groups_of_rows(sizes, rows, dtype, threads):
    """However long the batch: right, also clipped by their norm (which needs them whole), and the same bits on any threads."""
    rng = np.random.default_rng(4)
    x, y = (rng.standard_normal((rows, n)).astype(dtype) for n in (sizes[0], sizes[-1]))
    seen = []
    for n in (1, 2, 3, 9):
        threads(n)
        net = lm.Sequential(*(lm.Dense(k, bias=False) for k in sizes[1:]), seed=0, dtype=dtype).build(sizes[0])
        first, second = (w.astype(np.float64) for w in net.parameters.values())
        net.compile("mse", lm.optim.Adam(1e-2, clip_norm=0.1))
        gradients = net.gradients(x, y)
        hidden = x.astype(np.float64) @ first
        slope = 2 * (hidden @ second - y) / (rows * sizes[-1])
        for got, right in zip(gradients.values(), (x.T @ (slope @ second.T), hidden.T @ slope), strict=True):
            np.testing.assert_allclose(got, right, rtol=0, atol=np.finfo(dtype).eps * 50 * np.abs(right).max())
        losses = [net.train_step(x, y) for _ in range(2)]
        seen.append([np.array(losses), *gradients.values(), *net.parameters.values()])
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


FACTORS = {
    "both whole": (slice(None), slice(None)),
    "columns of the left": (slice(5, 41), slice(None)),
    "columns of the right": (slice(None), slice(3, 37)),
    "columns of both": (slice(7, 60), slice(11, 40)),
    "the first columns": (slice(0, 33), slice(0, 30)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("made", [False, True], ids=["given", "made"])
@pytest.mark.parametrize("name", FACTORS)
def test_columns_of_wider_matrices_are_summed_over_a_batch_in_groups(name, made, dtype, threads):
    """Their rows begin within those of the wider matrix, and are as far apart as these."""
    rng = np.random.default_rng(5)
    a, b = lm.placeholder((None, 64), dtype), lm.placeholder((None, 48), dtype)
    left, right = FACTORS[name]
    wide = [lm.tanh(t) if made else t for t in (a, b)]
    out = lm.matmul(lm.transpose(wide[0][:, left]), wide[1][:, right])
    fed = [rng.standard_normal((700, t.shape[1])).astype(dtype) for t in (a, b)]
    x, y = (np.tanh(array.astype(np.float64)) if made else array.astype(np.float64) for array in fed)
    expected, seen = x[:, left].T @ y[:, right], []
    for n in (1, 2):
        threads(n)
        planned = core.Program([a.node, b.node], [out.node])
        seen += planned.run(fed)
        assert any(stage["partial"] for stage in planned.stages) == (n > 1)
        np.testing.assert_allclose(seen[-1], expected, rtol=0, atol=np.finfo(dtype).eps * 50 * np.abs(expected).max())
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize("optimizer", [lm.optim.SGD(10.0), lm.optim.Adam(0.1)], ids=["sgd", "adam"])
def test_weights_that_lie_far_are_updated_by_their_gradients(optimizer, threads):
    """More of them than caches hold: their gradient is handed to the update in parts."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((50, 2900)).astype(np.float32), rng.standard_normal((50, 2)).astype(np.float32)
    seen = []
    for n in (1, 2):
        threads(n)
        net = lm.Sequential(lm.Dense(2850, "tanh"), lm.Dense(2), seed=0).build(2900).compile("mse", copy.copy(optimizer))
        before, slopes = {name: value.copy() for name, value in net.parameters.items()}, net.gradients(x, y)
        net.train_step(x, y)
        for name, g in slopes.items():
            step = before[name] - net.parameters[name]
            right = optimizer.lr * (g / (np.abs(g) + 1e-8) if isinstance(optimizer, lm.optim.Adam) else g)
            np.testing.assert_allclose(step, right, rtol=0, atol=1e-5 * np.abs(right).max() + 2**-24)
        seen.append({name: value.copy() for name, value in net.parameters.items()})
    for name, value in seen[0].items():
        np.testing.assert_array_equal(value, seen[1][name])


@pytest.mark.parametrize("rows", [ROWS // 4, 131, ROWS])
@pytest.mark.parametrize("kind", KINDS)
def test_training_has_the_same_bits_on_any_number_of_threads(kind, rows, threads):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((rows, 20)).astype(np.float32), rng.standard_normal((rows, 3)).astype(np.float32)
    seen = []
    for n in (1, 2, 3, 7):
        threads(n)
        net = lm.Sequential(*KINDS[kind](), seed=0).build(20).compile("mse", "adam")
        losses = [net.train_step(x, y) for _ in range(3)]
        seen.append([np.array(losses), net.predict(x), *net.parameters.values()])
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "int16"], ids=["copied", "converted"])
def test_rows_are_gathered_alike_by_any_number_of_threads(dtype, threads):
    """Batches of more than a piece of 16 KB, the last one smaller."""
    rng = np.random.default_rng(3)
    x, y = (rng.standard_normal((250, 400)) * 10).astype(dtype), rng.standard_normal((250, 1)).astype(np.float32)
    seen = []
    for n in (1, 2, 5):
        threads(n)
        net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0).build(400)
        history = net.fit(x, y, loss="mse", optimizer="sgd", epochs=2, batch_size=64, verbose=0).history["loss"]
        seen.append([np.array(history), *net.parameters.values()])
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


READERS = {
    "rows": lambda h, w: h @ w,
    "columns": lambda h, w: h.T @ w,
    "rows backwards": lambda h, w: h[::-1] @ w,
    "part of each row": lambda h, w: h[:, : ROWS // 2] @ w[: ROWS // 2],
    "each row backwards": lambda h, w: h[:, ::-1] @ w,
    "as weights": lambda h, w: (h * 0.5) @ h[:, :32],
    "the rows after": lambda h, w: lm.concatenate([h[1:], h[:1]], 0) @ w,
    "a row for all": lambda h, w: lm.tanh(h + h[3]) @ w,
    "the first row for all": lambda h, w: lm.tanh(h + h[:1]) @ w,
    "the first number for all": lambda h, w: lm.tanh(h + h[:1, :1]) @ w,
    "half of the rows": lambda h, w: lm.tanh(h[: ROWS // 2]) @ w,
    "a row behind a product": lambda h, w: (h @ w) * h[:1, :64],
    "the first row as a factor": lambda h, w: lm.broadcast_to(h[:1], (ROWS, ROWS)) @ w,
    "a number of each row as a row": lambda h, w: h @ lm.broadcast_to(w[:, :1], (ROWS, ROWS)) + lm.sum(h, axis=1),
    "a sum of all": lambda h, w: lm.tanh(h - lm.mean(h, axis=0)) @ w,
}


@pytest.mark.parametrize("name", READERS)
def test_what_reads_other_rows_waits_for_all(name, threads):
    """A square, whose rows and columns are as many; only some readers may follow in the lane of its maker."""
    rng = np.random.default_rng(2)
    x = lm.placeholder((ROWS, 20), "float32")
    wide = lm.Parameter(rng.standard_normal((20, ROWS)).astype(np.float32) / 5)
    w = lm.Parameter(rng.standard_normal((ROWS, 64)).astype(np.float32) / 20)
    out = lm.tanh(READERS[name](lm.tanh(x @ wide), w))
    fed = rng.standard_normal((ROWS, 20)).astype(np.float32)
    seen, follows = [], []
    for n in (1, 2, 5):
        threads(n)
        planned = core.Program([x.node], [out.node])
        seen += planned.run([fed])
        ends = {0, len(planned.steps) - 1}
        follows.append(any(ends <= set(lane) for s in planned.stages for lane in s["lanes"]))
    assert follows == [False, *[name in ("rows", "part of each row", "each row backwards")] * 2]
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)


def test_random_programs_have_the_same_bits_on_any_number_of_threads(threads):
    """Views, sums, products with a transposed batch: what reads other rows than its own must not follow in a lane."""
    followed = 0
    for seed in range(150):
        drawn = seeded(seed)
        inputs, outputs = [t.node for t in drawn.fed], [t.node for t in outputs_of(drawn)]
        arrays = [drawn.array(x, ROWS) for x in drawn.fed]
        for switches in ({}, {"fuse": False}):
            seen = []
            for n in (1, 2, 5):
                threads(n)
                planned = core.Program(inputs, outputs, **switches)
                seen.append(planned.run(arrays))
                followed += sum(len(lane) > 1 for s in planned.stages for lane in s["lanes"])
            for other in seen[1:]:
                for a, b in zip(seen[0], other, strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=f"seed {seed}, {switches}")
    assert followed > 20, "lanes of several steps were tried"
