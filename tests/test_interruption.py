"""Ctrl-C and exceptions: training stops at a step's boundary, at once; net, optimizer and history stay consistent and usable."""

from __future__ import annotations

import ast
import itertools
import os
import signal
import sys
import threading
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import lamina as lm
from lamina.base.turns import building

SOON = 2.0  # seconds of work on all threads after the signal, however long other processes make them last; 0.1 to 0.25 was measured


@pytest.fixture
def ctrl_c():
    """Sends this process SIGINT after some seconds; gives a function that tells how much the process has worked since."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with SIGINT ignored
    timers, sent = [], []

    def send():
        sent.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)

    def after(seconds: float):
        timers.append(threading.Timer(seconds, send))
        timers[-1].start()
        return lambda: time.process_time() - sent[0]

    yield after
    for timer in timers:
        timer.cancel()
    signal.signal(signal.SIGINT, before)


class Begin(lm.callbacks.Callback):
    """Calls a function when the first epoch begins: all before it has its own time."""

    def __init__(self, function):
        self.function = function

    def on_epoch_begin(self, epoch):
        if epoch == 0:
            self.late = self.function()


def values(model: lm.Model) -> dict[str, np.ndarray]:
    return dict(model.parameters.items())


def assert_equal(a: lm.Model, b: lm.Model) -> None:
    for name, value in values(a).items():
        assert np.array_equal(value, b.parameters[name]), name


def after_steps(model: lm.Model, x, y, batch: int, steps: int, shuffle: bool = True) -> lm.Model:
    """`model` after so many steps of a fit on x and y."""
    each = -(-len(x) // batch)
    for step in range(steps):
        epoch, i = divmod(step, each)
        order = lm._core.permutation(len(x), model.seed, epoch) if shuffle else np.arange(len(x))
        rows = order[i * batch : (i + 1) * batch]
        model.train_step(x[rows], y[rows])
    return model


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watched", [False, True], ids=["plain", "callbacks"])
def test_ctrl_c_stops_fit_soon_at_a_steps_boundary(watched, rng, ctrl_c):
    """What was trained is a whole number of steps: the bits are those of that many train_steps, and so is every count."""
    x, y = rng.normal(size=(4000, 64)).astype(np.float32), rng.integers(0, 3, 4000)

    def net():
        made = lm.Sequential(lm.Dense(128, "relu"), lm.Dropout(0.2), lm.BatchNorm(), lm.Dense(3), seed=0)
        return made.compile("cross_entropy", "adam").build(64)

    model = net()
    begin = Begin(lambda: ctrl_c(0.4))
    callbacks = [begin, lm.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: None)] if watched else begin
    history = model.fit(x, y, epochs=10**6, batch_size=512, callbacks=callbacks, verbose=0)
    assert begin.late() < SOON
    assert history.interrupted and model.history is history and len(history) == model.epochs_done
    assert 0 <= model.optimizer.steps - 8 * len(history) <= 8
    assert all(len(column) == len(history) for column in history.history.values())
    assert_equal(model, after_steps(net(), x, y, 512, model.optimizer.steps))
    assert len(model.fit(x, y, epochs=1, verbose=0)) == 1


@pytest.mark.parametrize("verbose", [0, 1])
def test_ctrl_c_is_told_unless_fit_is_to_be_silent(verbose, capsys):
    def interrupts(batch, logs):
        raise KeyboardInterrupt

    x = np.ones((8, 2), np.float32)
    stops = lm.callbacks.LambdaCallback(on_batch_end=interrupts)
    history = lm.Sequential(lm.Dense(1)).fit(x, x[:, :1], loss="mse", optimizer="sgd", epochs=3, callbacks=stops, verbose=verbose)
    assert history.interrupted
    assert ("interrupted after 0 epochs; the network can be used" in capsys.readouterr().err) == bool(verbose)


def test_ctrl_c_during_the_validation_keeps_the_epoch(rng, ctrl_c):
    x, y = rng.normal(size=(64, 128)).astype(np.float32), rng.integers(0, 3, 64)
    model = lm.Sequential(*(lm.Dense(128, "relu") for _ in range(8)), lm.Dense(3), seed=0)
    held_out = np.broadcast_to(np.float32(0), (2_000_000, 128)), np.zeros(2_000_000, np.int64)
    begin = Begin(lambda: ctrl_c(1.0))
    keywords = {"validation_data": held_out, "callbacks": begin, "epochs": 50, "verbose": 0}
    history = model.fit(x, y, loss="cross_entropy", optimizer="adam", **keywords)
    assert begin.late() < SOON and history.interrupted
    assert len(history) == model.epochs_done >= 1 and 0 <= model.optimizer.steps - 2 * len(history) <= 2


@pytest.mark.parametrize("how", ["in chunks", "at once"])
@pytest.mark.parametrize("what", ["predict", "evaluate"])
def test_ctrl_c_stops_what_looks_at_large_arrays(what, how, rng, ctrl_c):
    """Between chunks of rows and, where one call has all of them, between the steps of the program."""
    rows = 20_000
    x = y = np.broadcast_to(np.float32(0), (rows, 128))
    layer, out = lm.Dense(128), lm.Input(128)
    inputs = out
    for _ in range(1000):
        out = layer(out)
    model = lm.Model(inputs, out, seed=0).compile("mse", "sgd")
    model.predict(x[:2])
    model.evaluate(x[:2], y[:2])
    size = None if how == "in chunks" else rows
    late = ctrl_c(0.5)
    with pytest.raises(KeyboardInterrupt):
        while True:  # once is enough, but on a machine that is done before the signal
            model.predict(x, batch_size=size) if what == "predict" else model.evaluate(x, y, batch_size=size)
    assert late() < SOON
    assert np.isfinite(model.predict(x[:2])).all() and np.isfinite(model.evaluate(x[:2], y[:2])["loss"])


@pytest.mark.parametrize("make", [lm.optim.LBFGS, lm.optim.LevenbergMarquardt], ids=["lbfgs", "lm"])
def test_ctrl_c_stops_optimizers_of_all_data(make, rng, ctrl_c):
    x = rng.normal(size=(6000, 8))
    y = np.sin(x @ rng.normal(size=(8, 1))) + 0.1 * rng.normal(size=(6000, 1))
    model = lm.Sequential(lm.Dense(20, "tanh"), lm.Dense(10, "tanh"), lm.Dense(1), seed=0).build(8)
    begin = Begin(lambda: ctrl_c(0.7))
    history = model.fit(x, y, loss="mse", optimizer=make(), epochs=10**6, callbacks=begin, verbose=0)
    assert begin.late() < SOON and history.interrupted
    assert model.optimizer.steps - len(history) in (0, 1)  # 1: in the moment between a step and its entry
    loss = model.evaluate(x, y)["loss"]
    if len(history):
        np.testing.assert_allclose(loss, history["loss"][-1], rtol=0.3 if model.optimizer.steps > len(history) else 1e-3)
    again = model.fit(x, y, epochs=2, verbose=0)
    assert again["loss"][-1] <= loss * (1 + 1e-5)


def test_a_second_thread_cannot_be_interrupted_but_ends_with_its_net_whole(rng):
    """Signals go to the main thread; a fit elsewhere ends by stop_training."""
    x, y = rng.normal(size=(512, 8)).astype(np.float32), rng.integers(0, 3, 512)
    model = lm.Sequential(lm.Dense(16), lm.Dense(3), seed=0).compile("cross_entropy", "adam").build(8)
    thread = threading.Thread(target=lambda: model.fit(x, y, epochs=10**9, verbose=0))
    thread.start()
    while model.epochs_done == 0:
        time.sleep(0.001)
    model.stop_training = True
    thread.join(30)
    assert not thread.is_alive() and len(model.history) == model.epochs_done == model.optimizer.steps // 16


@pytest.mark.parametrize("threads_", [1, 2])
def test_a_step_whose_algebra_fails_writes_nothing(threads_, threads, rng):
    """The backward pass of qr finds the matrix singular: other layers' gradients are there by then, and must wait."""
    threads(threads_)
    singular = rng.normal(size=(40, 40)).astype(np.float32)
    singular[:, 3] = 0
    x, a = lm.Input(40), lm.Parameter(singular)
    h = lm.Dense(256, "tanh")(lm.Dense(256, "tanh")(x @ lm.linalg.qr(a).Q))
    model = lm.Model(x, lm.Dense(1)(h), seed=0).compile("mse", "adam")
    before = {name: value.copy() for name, value in values(model).items()}
    batch = rng.normal(size=(256, 40)).astype(np.float32), rng.normal(size=(256, 1)).astype(np.float32)
    for call in (model.train_step, lambda *xy: model.fit(*xy, batch_size=256, verbose=0)):
        with pytest.raises(lm.linalg.LinAlgError, match=r"\[qr\] the factor R is singular to working precision"):
            call(*batch)
        assert all(np.array_equal(value, before[name]) for name, value in values(model).items()) and model.optimizer.steps == 0


# ---- exceptions ------------------------------------------------------------------------------------------------------------------


class Mine(Exception):
    pass


def fail(*_):
    raise Mine


STEPS = 7  # the last of which is followed by the exception
N, BATCH = 50, 10


def failing(count: int):
    """A function that raises at its call number `count`."""
    calls = []

    def function(*_):
        calls.append(None)
        if len(calls) == count:
            raise Mine

    return function


def batches(x, y, last: int):
    for i in range(last):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        yield x[rows], y[rows]
    raise Mine


class Loader:
    """Five batches an epoch; it fails within the second one."""

    def __init__(self, x, y):
        self.x, self.y, self.epoch = x, y, 0

    def __iter__(self):
        self.epoch += 1
        yield from batches(self.x, self.y, 2) if self.epoch == 2 else list(batches_of(self.x, self.y))


def batches_of(x, y):
    return [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, N, BATCH)]


CALLBACKS = {
    "on_batch_end": (lambda: lm.callbacks.LambdaCallback(on_batch_end=failing(7)), 7, 1),
    "on_epoch_end": (lambda: lm.callbacks.LambdaCallback(on_epoch_end=failing(2)), 10, 2),
    "on_epoch_begin": (lambda: lm.callbacks.LambdaCallback(on_epoch_begin=failing(3)), 10, 2),
    "on_fit_begin": (lambda: lm.callbacks.LambdaCallback(on_fit_begin=fail), 0, 0),
    "on_fit_end": (lambda: lm.callbacks.LambdaCallback(on_fit_end=fail), 15, 3),
}


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, 4)).astype(np.float32), rng.normal(size=(N, 2)).astype(np.float32)


def net() -> lm.Sequential:
    made = lm.Sequential(lm.Dense(6, "tanh"), lm.Dropout(0.3), lm.Dense(2), seed=0)
    return made.compile("mse", lm.optim.Adam(lm.schedules.Exponential(1e-2, 0.9))).build(4)


def assert_stopped_after(model, x, y, steps, epochs, shuffle=True):
    assert model.optimizer.steps == steps and len(model.history) == model.epochs_done == epochs
    other = after_steps(net(), x, y, BATCH, steps, shuffle)
    assert_equal(model, other)
    other.epochs_done = model.epochs_done
    histories = [m.fit(x, y, epochs=2, batch_size=BATCH, verbose=0)["loss"] for m in (model, other)]
    assert np.array_equal(*histories)


@pytest.mark.parametrize("name", CALLBACKS)
def test_an_exception_in_a_callback(name, data):
    make, steps, epochs = CALLBACKS[name]
    model = net()
    with pytest.raises(Mine):
        model.fit(*data, epochs=3, batch_size=BATCH, callbacks=make(), verbose=0)
    assert_stopped_after(model, *data, steps, epochs)


@pytest.mark.parametrize("name", CALLBACKS)
def test_beside_a_callback_that_fails_the_others_end_as_ever(name, data):
    """Whoever began is told of the end: early stopping puts the best weights back, whatever another callback does."""
    make, steps, epochs = CALLBACKS[name]
    stop, ends, best = lm.callbacks.EarlyStopping("loss", mode="max"), [], []  # the first epoch is the "best" one
    keep = lm.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: best.append(values(model)), on_fit_end=lambda: ends.append(model.optimizer.steps)
    )
    model = net()
    with pytest.raises(Mine):
        model.fit(*data, epochs=3, batch_size=BATCH, callbacks=[keep, make(), stop], verbose=0)
    assert ends == [steps] and len(best) == epochs
    if epochs:
        assert all(np.array_equal(best[0][k], v) for k, v in values(model).items())


def test_an_exception_in_a_metric(data):
    model = net()
    with pytest.raises(Mine):
        model.fit(*data, epochs=3, batch_size=BATCH, metrics=[fail], verbose=0)
    assert_stopped_after(model, *data, 5, 0)


def test_an_exception_in_a_generator(data):
    model = net()
    with pytest.raises(Mine):
        model.fit(batches(*data, 3), epochs=3, verbose=0)
    assert_stopped_after(model, *data, 3, 0, shuffle=False)


def test_an_exception_in_a_loaders_second_epoch(data):
    model = net()
    with pytest.raises(Mine):
        model.fit(Loader(*data), epochs=3, verbose=0)
    assert_stopped_after(model, *data, 7, 1, shuffle=False)


def test_an_exception_in_a_schedule(data):
    def schedule(steps):
        if np.max(steps) >= 5:
            raise Mine
        return np.full(np.shape(steps), 1e-2)

    model = net()
    model.compile("mse", lm.optim.SGD(schedule))
    with pytest.raises(Mine):
        model.fit(*data, epochs=3, batch_size=BATCH, verbose=0)
    assert model.optimizer.steps == 5 and len(model.history) == 1
    model.optimizer.lr = 1e-2
    assert len(model.fit(*data, epochs=1, verbose=0)) == 1


def test_an_exception_in_a_loss_or_an_optimizer_of_ones_own_comes_before_anything_runs(data):
    class Own(lm.optim.Optimizer):
        def update(self, w, g, state, lr, t):
            raise Mine

    for loss, optimizer in ((fail, "adam"), ("mse", Own(0.1))):
        model = net()
        before = values(model)
        with pytest.raises(Mine):
            model.fit(*data, loss=loss, optimizer=optimizer, verbose=0)
        assert all(np.array_equal(before[k], v) for k, v in values(model).items())
        model.compile("mse", "adam")
        assert len(model.fit(*data, epochs=2, verbose=0)) == 2


def test_an_exception_of_lapack_within_a_step_changes_nothing(data):
    """A loss that solves a linear system: while the program runs, the matrix becomes singular."""
    x, y = data
    matrix = lm.Parameter(np.eye(2, dtype=np.float32), name="matrix", trainable=False)
    model = net().compile(lambda pred, t: lm.mean(((pred - t) @ lm.linalg.inv(matrix)) ** 2), "adam")
    model.train_step(x, y)
    matrix.value = np.zeros((2, 2))
    before = values(model)
    with pytest.raises(np.linalg.LinAlgError, match=r"\[inv\] the matrix is singular to working precision"):
        model.fit(x, y, verbose=0)
    assert all(np.array_equal(before[k], v) for k, v in values(model).items()) and model.optimizer.steps == 1
    matrix.value = np.eye(2)
    assert len(model.fit(x, y, epochs=2, verbose=0)) == 2


@cache
def ends_of_blocks(file):
    """Python looks for signals where functions begin and after calls: not between a block and what it does in the end, which for
    `with` counts as its first line.
    """
    nodes = list(ast.walk(ast.parse(Path(file).read_text())))
    with_finally = {node.finalbody[0].lineno for node in nodes if isinstance(node, ast.Try) and node.finalbody}
    return with_finally | {node.lineno for node in nodes if isinstance(node, ast.With)}


def at_each_line(call, function):
    """`call`, with function(file, line) before each line of the package that it runs, but for the ends of blocks."""

    def trace(frame, event, _):
        file = frame.f_code.co_filename
        if "lamina" not in file:
            return None
        if event == "line" and frame.f_lineno not in ends_of_blocks(file):
            function(file, frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)


def first_and_last(call):
    """Of the lines that `call` runs, counted over all of the package: when each runs first, and when last."""
    first, last, count = {}, {}, itertools.count(1)

    def seen(*line):
        last[line] = next(count)
        first.setdefault(line, last[line])

    at_each_line(call, seen)
    return sorted({*first.values(), *last.values()})


def interrupted_at(line, call):
    """Whether `call` was ended by Ctrl-C before its line of that number, counted over all lines of the package."""
    left = line

    def interrupt(*_):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    try:
        at_each_line(call, interrupt)
    except KeyboardInterrupt:
        return True
    return left <= 0


@pytest.mark.parametrize("what", ["build", "first step", "compile"])
def test_ctrl_c_between_any_two_lines_leaves_a_network_that_trains_and_is_saved(what, tmp_path):
    """Before each line, the first time and the last time that it runs."""
    x, y = np.ones((4, 3), np.float32), np.zeros((4, 1), np.float32)

    def made():
        net = lm.Sequential(lm.Dense(2), lm.Dense(1), seed=0)
        if what == "build":
            return net, lambda: net.build(3)
        net.build(3).compile("mse", "adam")
        if what == "first step":
            return net, lambda: net.train_step(x, y)
        net.train_step(x, y)
        return net, lambda: net.compile("mse", "rmsprop")

    made()[1]()  # what only the first call of all does, is done
    lines = first_and_last(made()[1])
    for line in lines:
        net, call = made()
        assert interrupted_at(line, call)
        net.build(3)
        if not net.compiled:
            net.compile("mse", "adam")
        net.train_step(x, y)
        net.train_step(x, y)
        net.save(tmp_path / "net.safetensors")
        np.testing.assert_array_equal(lm.load(tmp_path / "net.safetensors").predict(x), net.predict(x))
    assert len(lines) > 100
    assert not building._is_owned()


def test_ctrl_c_between_any_two_lines_freezes_all_or_nothing():
    """The next step trains what `trainable` says, and nothing else."""
    x, y = np.ones((4, 3), np.float32), np.zeros((4, 1), np.float32)
    line, seen = 1, set()
    while True:
        net = lm.Sequential(lm.Dense(2), lm.Dense(2), lm.Dense(1), seed=0).build(3).compile("mse", "adam")
        net.train_step(x, y)
        inner = lm.Sequential(*net.layers[:2])

        def freeze(inner=inner):
            inner.trainable = False

        if not interrupted_at(line, freeze):
            break
        before = values(net)
        net.train_step(x, y)
        moved = {name for name, value in values(net).items() if not np.array_equal(value, before[name])}
        assert moved == {name for name, value in before.items() if net.parameters.tensor(name).trainable}
        assert [layer.trainable for layer in net.layers] in ([True] * 3, [False, False, True])
        seen.add(tuple(sorted(moved)))
        line += 1
    assert seen == {("dense_3.bias", "dense_3.weight"), tuple(sorted(before))}
