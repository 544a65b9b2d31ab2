"""Callbacks on a network that is only a name: what they do to it, in which order, and what a checkpoint keeps of them."""

from __future__ import annotations

import csv
import doctest
import errno
import gc
import json
import math
import weakref

import numpy as np
import pytest

import lamina as lm
from lamina import callbacks
from lamina.callbacks import (
    CallbackList,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ReduceLROnPlateau,
    base,
    csv_logger,
    monitors,
)


class Parameters(dict):
    """Copies out, as a model's do."""

    def items(self):
        return [(name, value.copy()) for name, value in super().items()]


class Optimizer:
    def __init__(self, lr=1.0):
        self.lr = lr


class Net:
    def __init__(self, lr=1.0):
        self.parameters = Parameters(w=np.zeros(2))
        self.optimizer = Optimizer(lr)
        self.stop_training = False
        self.saved = []

    def save(self, path, *, optimizer=False):
        self.saved.append((path, optimizer))


def run(callback, values, name="val_loss", net=None, first=0):
    """Epochs with these figures, until it stops; the weights are the epoch's number. (net, epochs run, lr after each)"""
    net = net or Net()
    several = CallbackList(callback, net)
    several.on_fit_begin()
    rates = []
    for epoch, value in enumerate(values, first):
        several.on_epoch_begin(epoch)
        net.parameters["w"][:] = epoch
        several.on_epoch_end(epoch, {"loss": 1.0, name: value})
        rates.append(net.optimizer.lr)
        if net.stop_training:
            break
    several.on_fit_end()
    return net, len(rates), rates


# ---- EarlyStopping ----


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_early_stopping_counts_epochs_in_a_row(patience):
    stopping = EarlyStopping(patience=patience)
    net, epochs, _ = run(stopping, [5, 4, 4.5, 3, 3, 3, 3, 3])  # equal is no improvement
    if patience == 1:
        assert (epochs, stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (3, 4, 1, 2)
    else:
        assert (epochs, stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (4 + patience, 3, 3, 3 + patience)
    assert net.parameters["w"].tolist() == [stopping.best_epoch] * 2


def test_early_stopping_that_never_stops_restores_the_best_all_the_same():
    stopping = EarlyStopping(patience=10)
    net, epochs, _ = run(stopping, [3, 1, 2])
    assert (epochs, stopping.stopped_epoch) == (3, None)
    assert net.parameters["w"].tolist() == [1, 1]


def test_early_stopping_without_restoring():
    net, _, _ = run(EarlyStopping(patience=1, restore_best=False), [1, 2])
    assert net.parameters["w"].tolist() == [1, 1]


def test_early_stopping_says_why_in_epochs_from_1(capsys):
    """On a line of its own where progress is shown, nowhere else; a fit that ran to its end says nothing."""
    x, net = np.ones((8, 1)), lm.Sequential(lm.Dense(1), seed=0)
    for epochs, verbose in ((9, 1), (2, 1), (9, 0)):
        stop = EarlyStopping("loss", patience=2)
        net.fit(x, x, loss="mse", optimizer=lm.optim.SGD(0.0), epochs=epochs, callbacks=stop, verbose=verbose)
        lines = [line for line in capsys.readouterr().err.splitlines() if "stopped" in line]
        if epochs == 9:
            assert stop._said == f"stopped after epoch 3: loss was best in epoch 1, {stop.best:.4g}, whose weights are back"
        assert lines == [stop._said] * (epochs == 9 and verbose)
    run(stop := EarlyStopping(patience=1, restore_best=False), [math.nan, 1])
    assert stop._said == "stopped after epoch 1: val_loss was never a number"


def test_callbacks_are_shown_as_they_were_made():
    class Own(callbacks.Callback):
        def __init__(self, every, *, loud=False):
            self.on_start(every)

        def on_start(self, every):
            """What the constructor calls is its own."""

    CallbackList(Own(3), Net())
    shown = Own(3, loud=True), EarlyStopping("loss", patience=3), Checkpoint("x"), LambdaCallback(on_fit_end=print)
    assert list(map(repr, shown)) == [
        "Own(3, loud=True)",
        "EarlyStopping('loss', patience=3)",
        "Checkpoint('x')",
        "LambdaCallback(on_fit_end=print)",
    ]


def test_early_stopping_upwards_and_by_how_much():
    stopping = EarlyStopping("val_accuracy", patience=2, min_delta=0.1)
    _, epochs, _ = run(stopping, [0.5, 0.59, 0.61, 0.7, 0.71, 0.9], name="val_accuracy")
    assert (stopping.mode, epochs, stopping.best_epoch) == ("max", 5, 2)
    assert run(EarlyStopping("cost", mode="min", patience=1), [2, 1, 1], name="cost")[1] == 3


def test_nan_is_never_better():
    stopping = EarlyStopping(patience=2)
    net, epochs, _ = run(stopping, [math.nan, math.nan, 1.0])
    assert (epochs, stopping.best) == (2, None)
    assert net.parameters["w"].tolist() == [1, 1]  # nothing to restore
    assert run(EarlyStopping(patience=2), [1.0, math.nan, 0.5, math.nan, math.nan])[1] == 5


def test_a_second_fit_starts_anew():
    stopping = EarlyStopping(patience=2)
    run(stopping, [1, 2, 3])
    _, epochs, _ = run(stopping, [9, 8, 7])
    assert (epochs, stopping.best, stopping.stopped_epoch) == (3, 7, None)


def test_early_stopping_goes_on_from_its_state():
    values = [5, 4, 4.5, 4.4, 4.3, 1]
    whole = EarlyStopping(patience=3)
    net, epochs, _ = run(whole, values)
    assert epochs == 5
    first, second = EarlyStopping(patience=3), EarlyStopping(patience=3)
    run(first, values[:3])
    saved = CallbackList(first, Net()).state()
    resumed = CallbackList(second, Net())
    resumed.load_state(json.loads(json.dumps(saved[0])), saved[1])
    net2, more, _ = run(second, values[3:], first=3)
    assert more == 2
    assert (second.best, second.best_epoch, second.stopped_epoch) == (whole.best, whole.best_epoch, whole.stopped_epoch)
    assert np.array_equal(net2.parameters["w"], net.parameters["w"])


# ---- ReduceLROnPlateau ----


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({}, [1.0] * 30),
        ({"patience": 2, "factor": 0.5}, [3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1]),
        ({"patience": 0, "cooldown": 3}, [1.0] * 12),
        ({"patience": 1, "threshold": 0.1}, [1, 0.95, 0.91, 0.89, 0.85, 0.81, 0.80]),
        ({"patience": 1, "threshold": 0.1, "threshold_mode": "abs"}, [1, 0.95, 0.91, 0.89, 0.85, 0.79, 0.70]),
        ({"patience": 0, "min_lr": 0.05}, [1.0] * 6),
        ({"patience": 0, "eps": 0.2}, [1.0] * 6),
        ({"patience": 1, "mode": "max"}, [1, 2, 2, 2, 3, 3, 3, 3]),
        ({"patience": 1, "mode": "max", "threshold": 0.3, "threshold_mode": "abs"}, [1, 1.2, 1.4, 1.5, 1.6, 1.7, 1.71]),
        ({"patience": 1}, [1, math.nan, math.nan, math.nan, 0.5]),
        ({"patience": 1}, [-1, -2, -2, -2, -3, -2]),
        ({"patience": 1}, [math.nan, math.nan, 0.5, 0.5, 0.5]),
    ],
    ids=str,
)
def test_reduce_lr_as_torch_does(options, values):
    torch = pytest.importorskip("torch")
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, **options)
    expected = []
    for value in values:
        theirs.step(value)
        expected.append(sgd.param_groups[0]["lr"])
    assert run(ReduceLROnPlateau(**options), values)[2] == expected


def test_reduce_lr_by_hand():
    """patience 2: the third epoch in a row without an improvement reduces."""
    assert run(ReduceLROnPlateau(patience=2, factor=0.5), [1, 1, 1, 1, 1, 1, 1])[2] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert run(ReduceLROnPlateau(patience=0, factor=0.5, cooldown=2), [1] * 7)[2] == [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_reduce_lr_goes_on_from_its_state():
    values = [3, 2, 2, 2, 2, 2, 2, 2]
    options = {"patience": 1, "cooldown": 2, "factor": 0.5}
    whole = run(ReduceLROnPlateau(**options), values)[2]
    for cut in range(1, len(values)):
        first, second = ReduceLROnPlateau(**options), ReduceLROnPlateau(**options)
        before = run(first, values[:cut])[2]
        second.load_state(json.loads(json.dumps(first.state())))
        assert before + run(second, values[cut:], net=Net(before[-1]), first=cut)[2] == whole


def test_reduce_lr_refuses_a_schedule():
    with pytest.raises(ValueError, match=r"\[ReduceLROnPlateau\] expected an optimizer with a number as lr, got <object"):
        run(ReduceLROnPlateau(), [1], net=Net(object()))


# ---- Checkpoint ----


def test_checkpoint_every_few_epochs(tmp_path):
    checkpoint = Checkpoint(tmp_path / "deep" / "net-{epoch:02d}-{val_loss:.1f}.safetensors", every=2)
    net, _, _ = run(checkpoint, [5, 4, 3, 2, 1])
    assert [path for path, _ in net.saved] == [
        str(tmp_path / "deep" / name) for name in ("net-02-4.0.safetensors", "net-04-2.0.safetensors")
    ]
    assert all(optimizer for _, optimizer in net.saved)
    assert (tmp_path / "deep").is_dir()
    assert checkpoint.last == net.saved[-1][0]


def test_checkpoint_every_few_batches(tmp_path):
    net, saved = Net(), []
    several = CallbackList(Checkpoint(tmp_path / "net", every=2, every_batches=3), net)
    several.on_fit_begin()
    several.on_epoch_begin(0)
    for batch in range(7):
        several.on_batch_end(batch, {"loss": 1.0})
        saved.append(len(net.saved))
    several.on_epoch_end(0, {"loss": 1.0})
    assert saved == [0, 0, 1, 1, 1, 2, 2] and len(net.saved) == 2


def test_checkpoint_of_the_best_only(tmp_path):
    net, _, _ = run(Checkpoint(tmp_path / "{epoch}", monitor="val_loss"), [math.nan, 5, 6, math.nan, 4, 4, 3])
    assert [path for path, _ in net.saved] == [str(tmp_path / name) for name in "257"]


def test_patience_is_ten_epochs_unless_it_is_said():
    assert run(EarlyStopping(), [1.0] * 30)[1] == 11
    assert run(ReduceLROnPlateau(), [1.0] * 13)[2] == [1.0] * 11 + [0.1] * 2


def test_a_checkpoint_that_is_used_again_begins_with_no_best(tmp_path):
    checkpoint = Checkpoint(tmp_path / "{epoch}", monitor="val_loss")
    assert [len(run(checkpoint, values)[0].saved) for values in ([3, 2], [9, 8, 10])] == [2, 2]


def test_checkpoint_keeps_its_best_over_a_resumption(tmp_path):
    first, second = (Checkpoint(tmp_path / "{epoch}", monitor="val_loss") for _ in range(2))
    run(first, [5, 4])
    second.load_state(json.loads(json.dumps(first.state())))
    assert run(second, [4.5, 3], first=2)[0].saved == [(str(tmp_path / "4"), True)]


def test_checkpoint_comes_last_and_writes_as_it_is_told(tmp_path):
    order, net = [], Net()
    late = LambdaCallback(on_epoch_end=lambda epoch, logs: order.append("other"))
    several = CallbackList([Checkpoint(tmp_path / "net"), late], net)
    several.on_fit_begin(order.append)
    several.on_epoch_end(0, {"loss": 1.0})
    assert order == ["other", str(tmp_path / "net")]
    assert net.saved == []


def test_checkpoint_checks_its_path(tmp_path):
    logs = {"loss": 0.0, "val_loss": 0.0, "confusion_matrix": np.eye(2)}
    Checkpoint("a{epoch}{val_loss:.2f}{{x}}").check_logs(logs)
    with pytest.raises(ValueError, match=r"\[Checkpoint\] expected fields of epoch, loss, val_loss in the path, got acc;"):
        Checkpoint("a{acc}").check_logs(logs)
    with pytest.raises(ValueError, match="expected fields of epoch, loss, val_loss in the path, got confusion_matrix, an array;"):
        Checkpoint("a{confusion_matrix}").check_logs(logs)
    for broken in ("a{epoch", "a{}", "a{epoch:q}"):
        with pytest.raises(ValueError, match=r"\[Checkpoint\]"):
            Checkpoint(broken).check_logs(logs)


# ---- CSVLogger ----


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_logger(tmp_path):
    path = tmp_path / "logs" / "log.csv"
    run(CSVLogger(path), [0.5, np.float64(0.25)])
    assert rows(path) == [
        {"epoch": "1", "loss": "1.0", "val_loss": "0.5"},
        {"epoch": "2", "loss": "1.0", "val_loss": "0.25"},
    ]
    run(CSVLogger(path), [7])
    assert [row["val_loss"] for row in rows(path)] == ["7"]
    run(CSVLogger(path, append=True), [8], first=1)
    assert [(row["epoch"], row["val_loss"]) for row in rows(path)] == [("1", "7"), ("2", "8")]


def test_csv_logger_can_be_read_meanwhile_and_leaves_out_arrays(tmp_path):
    logger = CSVLogger(tmp_path / "log.csv")
    logger.on_fit_begin()
    logger.on_epoch_end(0, {"loss": 0.5, "confusion_matrix": np.eye(2)})
    assert rows(tmp_path / "log.csv") == [{"epoch": "1", "loss": "0.5"}]
    logger.on_epoch_end(1, {"other": 3.0})


def test_csv_logger_gives_a_new_figure_a_column(tmp_path):
    path = tmp_path / "log.csv"
    run(CSVLogger(path), [0.5])
    logger = CSVLogger(path, append=True)
    logger.on_fit_begin()
    logger.on_epoch_end(1, {"loss": 0.25, "accuracy": 0.75})
    logger.on_epoch_end(2, {"loss": 0.125, "lr": 0.1})
    empty = dict.fromkeys(("val_loss", "accuracy", "lr"), "")
    assert rows(path) == [
        {"epoch": "1", "loss": "1.0", **empty, "val_loss": "0.5"},
        {"epoch": "2", "loss": "0.25", **empty, "accuracy": "0.75"},
        {"epoch": "3", "loss": "0.125", **empty, "lr": "0.1"},
    ]


def test_csv_logger_leaves_another_file_alone(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(
        ValueError, match=r"\[CSVLogger\] expected 'epoch' as the first column of .*data.csv, got 'x'; pass another"
    ):
        CSVLogger(path, append=True).on_fit_begin()
    assert path.read_text() == "x,y\n1,2\n"


def test_csv_that_cannot_be_written_names_the_callback(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("lamina.base.files.os.replace", full)
    with pytest.raises(OSError, match=r"\[CSVLogger .*log.csv\] expected to write .*No space left"):
        CSVLogger(tmp_path / "log.csv").on_fit_begin()


def test_csv_logger_resumed_drops_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "log.csv"
    first, second = CSVLogger(path), CSVLogger(path)
    run(first, [5, 4])
    state = json.loads(json.dumps(first.state()))
    run(CSVLogger(path, append=True), [99], first=2)
    second.load_state(state)
    run(second, [3], first=2)
    assert [(row["epoch"], row["val_loss"]) for row in rows(path)] == [("1", "5"), ("2", "4"), ("3", "3")]


# ---- LambdaCallback, the list, one's own ----


def test_hooks_are_called_in_order():
    seen, net = [], Net()
    functions = {name: (lambda *args, name=name: seen.append((name, *args))) for name in base.HOOKS}
    several = CallbackList([LambdaCallback(**functions), LambdaCallback()], net)
    assert several.needs_batches
    several.on_fit_begin()
    several.on_epoch_begin(0)
    several.on_batch_end(3, {"loss": 1})
    several.on_epoch_end(0, {"loss": 2})
    several.on_fit_end()
    assert seen == [
        ("on_fit_begin",),
        ("on_epoch_begin", 0),
        ("on_batch_end", 3, {"loss": 1}),
        ("on_epoch_end", 0, {"loss": 2}),
        ("on_fit_end",),
    ]


def test_batches_are_only_for_those_that_want_them():
    class Wants(callbacks.Callback):
        def on_batch_end(self, batch, logs):
            self.batch = batch

    assert Wants().needs_batches
    assert LambdaCallback(on_batch_end=print).needs_batches
    for other in (callbacks.Callback(), LambdaCallback(), EarlyStopping(), CSVLogger("x"), Checkpoint("x"), ReduceLROnPlateau()):
        assert not other.needs_batches
        assert not CallbackList([other], Net()).needs_batches


def test_the_list_takes_one_or_several_or_none():
    one, net = EarlyStopping(), Net()
    assert CallbackList(one, net).callbacks == [one]
    assert one.net is net
    assert CallbackList(None, net).callbacks == CallbackList((), net).callbacks == []


def test_the_list_refuses_what_is_no_callback():
    with pytest.raises(TypeError, match=r"\[callbacks\] expected callbacks, got <class.*write EarlyStopping\(\) with parentheses"):
        CallbackList([EarlyStopping], Net())
    with pytest.raises(TypeError, match=r"pass LambdaCallback\(on_epoch_end=function\)"):
        CallbackList([lambda epoch, logs: None], Net())
    with pytest.raises(TypeError, match="of a class derived from Callback"):
        CallbackList([3], Net())


def test_state_keeps_arrays_apart():
    class Own(callbacks.Callback):
        def state(self):
            several = [np.ones(2), {"b": np.zeros(1)}, "text"]
            return {"n": np.int64(3), "deep": {"a": np.arange(3), "none": None}, "empty": {}, "several": several}

        def load_state(self, state):
            self.loaded = state

    own = Own()
    plain, arrays = CallbackList([LambdaCallback(), own], Net()).state()
    assert list(arrays) == ["1/deep/a", "1/several/0", "1/several/1/b"]
    again = CallbackList([LambdaCallback(), own], Net())
    again.load_state(json.loads(json.dumps(plain)), arrays)
    assert own.loaded["n"] == 3
    assert own.loaded["deep"]["a"].tolist() == [0, 1, 2]
    assert own.loaded["deep"]["none"] is None
    assert own.loaded["empty"] == {}
    ones, inner, text = own.loaded["several"]
    assert ones.tolist() == [1, 1] and inner["b"].tolist() == [0] and text == "text"
    with pytest.raises(ValueError, match=r"those of the checkpoint that have a state \(Own\), got EarlyStopping"):
        CallbackList([EarlyStopping()], Net()).load_state(plain, arrays)


def test_the_end_of_a_fit_is_told_in_order():
    seen = []
    run([LambdaCallback(on_fit_end=lambda i=i: seen.append(i)) for i in range(2)], [1.0])
    assert seen == [0, 1]


def test_callbacks_of_one_class_take_up_each_its_own_state():
    several, again = ([EarlyStopping("loss"), EarlyStopping("loss")] for _ in range(2))
    several[0].wait, several[1].wait = 1, 2
    CallbackList(again, Net()).load_state(*CallbackList(several, Net()).state())
    assert [callback.wait for callback in again] == [1, 2]


def test_arrays_of_a_state_that_have_one_name_stay_apart():
    class Own(callbacks.Callback):
        def state(self):
            return {"a/b": np.ones(2), "a": {"b": np.zeros(1)}, "l": [np.arange(3)], "l/0": np.arange(2), "l/0'": np.arange(1)}

        def load_state(self, state):
            self.loaded = state

    own = Own()
    plain, arrays = CallbackList([own], Net()).state()
    CallbackList([own], Net()).load_state(json.loads(json.dumps(plain)), arrays)
    assert own.loaded["a/b"].tolist() == [1, 1] and own.loaded["a"]["b"].tolist() == [0]
    assert own.loaded["l"][0].size == 3 and own.loaded["l/0"].size == 2 and own.loaded["l/0'"].size == 1


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ({"deep": [object()]}, "expected numbers, texts, arrays, lists and dicts in a state, got <object"),
        ({"names": np.array(["a"])}, "expected arrays of numbers in a state, got one of <U1"),
        ({"days": np.array(["2026-01-01"], "M8[D]")}, "expected arrays of numbers in a state, got one of datetime64"),
        ({1: 2}, "expected texts as the keys of a dict in a state, got 1"),
    ],
)
def test_state_that_no_file_can_hold_is_refused(state, match):
    class Own(callbacks.Callback):
        def state(self):
            return state

    with pytest.raises(TypeError, match=r"\[callbacks\] " + match):
        CallbackList([Own()], Net()).state()


@pytest.mark.parametrize(
    "callback", [EarlyStopping(), ReduceLROnPlateau(), Checkpoint("x", monitor="val_loss")], ids=lambda c: type(c).__name__
)
def test_a_figure_that_is_not_logged(callback):
    message = rf"\[{type(callback).__name__}\] expected 'val_loss' among the logged figures, got loss; give fit validation_data"
    with pytest.raises(ValueError, match=message):
        CallbackList(callback, Net()).check_logs({"loss": 0.0})
    with pytest.raises(ValueError, match=message):
        callback.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(ValueError, match="add it to the metrics"):
        EarlyStopping("f1").check_logs({"loss": 0.0})


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: EarlyStopping(patience=0), ValueError, r"\[EarlyStopping\] expected patience >= 1, got 0"),
        (lambda: EarlyStopping(patience=1.5), TypeError, r"\[EarlyStopping\] expected patience to be a whole number"),
        (lambda: EarlyStopping(min_delta=-1), ValueError, r"expected min_delta to be a number >= 0"),
        (lambda: EarlyStopping(mode="down"), ValueError, r"expected mode to be one of 'auto', 'min', 'max', got 'down'"),
        (lambda: EarlyStopping("cost"), ValueError, r"expected mode 'min' or 'max' for 'cost', got 'auto'"),
        (lambda: EarlyStopping(3), TypeError, r"expected the name of a figure as monitor, got 3"),
        (lambda: ReduceLROnPlateau(factor=1), ValueError, r"\[ReduceLROnPlateau\] expected factor to be a number in \(0, 1\)"),
        (lambda: ReduceLROnPlateau(threshold_mode="x"), ValueError, "expected threshold_mode to be one of"),
        (lambda: Checkpoint("x", every=0), ValueError, r"\[Checkpoint\] expected every >= 1"),
        (lambda: LambdaCallback(on_epoch_end=3), TypeError, r"\[LambdaCallback\] expected a function as on_epoch_end, got 3"),
    ],
)
def test_errors_at_once(make, error, match):
    with pytest.raises(error, match=match):
        make()


def hooked(name, function):
    return type("Mine", (callbacks.Callback,), {name: function})()


@pytest.mark.parametrize(
    ("callback", "match"),
    [
        (
            hooked("on_train_batch_end", lambda self, batch, logs=None: None),
            "got Mine.on_train_batch_end; did you mean on_batch_end",
        ),
        (hooked("on_train_batch_begin", lambda self, batch: None), "got Mine.on_train_batch_begin; it calls none before a batch"),
        (hooked("on_test_end", lambda self, logs=None: None), "got Mine.on_test_end; did you mean on_epoch_end"),
        (hooked("on_epochs_end", lambda self, epoch, logs: None), "got Mine.on_epochs_end; did you mean on_epoch_end"),
        (hooked("on_epoch_end", lambda self, epoch: None), r"Mine's on_epoch_end to take \(epoch, logs\), got .* \(epoch\)"),
        (hooked("on_epoch_end", None), r"Mine's on_epoch_end to be a function of \(epoch, logs\), got None; leave it out"),
        (LambdaCallback(on_epoch_begin=lambda: None), r"LambdaCallback's on_epoch_begin to take \(epoch\), got .* \(\)"),
    ],
)
def test_a_method_that_would_not_be_called_is_refused_before_the_first_epoch(callback, match):
    with pytest.raises(TypeError, match=match):
        CallbackList(callback, Net())


def test_methods_may_take_more_and_have_helpers():
    seen = []
    more = hooked("on_epoch_begin", lambda self, epoch, logs=None: seen.append(epoch))
    helper = hooked("on_improvement", lambda self: None)
    several = CallbackList([more, helper], Net())
    several.on_epoch_begin(3)
    assert seen == [3]


def test_methods_of_ones_own_may_be_called_like_hooks():
    """What starts with an underscore, is no method, is called by another one, or stands beside the hook of another library."""

    class Mine(callbacks.Callback):
        on_epoch_ended = 0

        def on_fit_begin(self):
            self.on_batch_begin()

        def on_batch_begin(self):
            self.begun = True

        def on_epoch_end(self, epoch, logs):
            self._on_epoch_end(logs)

        def _on_epoch_end(self, logs):
            self.on_epoch_ended += 1

        def on_train_epoch_end(self, trainer, module):
            raise AssertionError("of another library")

    mine = Mine()
    several = CallbackList(mine, Net())
    several.on_fit_begin()
    several.on_epoch_end(0, {})
    assert mine.begun and mine.on_epoch_ended == 1


@pytest.mark.parametrize("module", [base, monitors, csv_logger], ids=lambda m: m.__name__)
def test_examples(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    result = doctest.testmod(module, extraglobs={"lm": lm, "np": np})
    assert result.attempted > 0
    assert result.failed == 0


def test_names_with_commas_are_quoted(tmp_path):
    x = lm.Input(2)
    net = lm.Model(x, {"a,b": lm.Dense(1)(x), "c": lm.Dense(1)(x)}, seed=0)
    log = lm.callbacks.CSVLogger(tmp_path / "log.csv")
    given, y = np.ones((8, 2)), np.ones((8, 1))
    history = net.fit(given, {"a,b": y, "c": y}, loss="mse", optimizer="sgd", metrics="mae", epochs=2, callbacks=log, verbose=0)
    history.to_csv(tmp_path / "history.csv")
    for name in ("log.csv", "history.csv"):
        with open(tmp_path / name, newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["a,b_mae"]) for row in rows] == pytest.approx(history["a,b_mae"])
        assert set(rows[0]) == {"epoch", *history.history}


def test_auto_is_no_guess_about_a_metric_of_ones_own(rng):
    """neg_mse ends like one of ours, and is better where it is larger."""

    def neg_mse(y_true, y_pred, sample_weight=None):
        return -float(np.mean((y_true - y_pred) ** 2))

    x, y = rng.normal(size=(8, 2)), rng.normal(size=(8, 1))
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd", metrics=[neg_mse, "mse"])
    for monitor in ("neg_mse", "val_neg_mse"):
        with pytest.raises(ValueError, match=r"\[EarlyStopping\] expected mode 'min' or 'max' for 'neg_mse', a metric of your own"):
            net.fit(x, y, validation_data=(x, y), callbacks=EarlyStopping(monitor), verbose=0)
        net.fit(x, y, validation_data=(x, y), callbacks=EarlyStopping(monitor, mode="max"), epochs=2, verbose=0)
    net.fit(x, y, validation_data=(x, y), callbacks=EarlyStopping("val_mse"), epochs=2, verbose=0)
    given = lm.Input(2)
    net = lm.Model(given, {"a": lm.Dense(1)(given), "b": lm.Dense(1)(given)}).compile("mse", "sgd", metrics="mae")
    assert len(net.fit(x, (y, y), callbacks=EarlyStopping("a_mae"), epochs=2, verbose=0)) == 2  # one of ours


def test_a_second_fit_does_not_wait_for_the_cooldown_of_the_first():
    net, x = lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(0.1)), np.ones((4, 1))
    slower = ReduceLROnPlateau("loss", factor=0.5, patience=0, threshold=1.0, cooldown=5)
    for lr in (0.05, 0.025):
        net.fit(x, x, epochs=3, callbacks=slower, verbose=0)
        assert net.optimizer.lr == lr


def test_a_checkpoint_holds_no_data_once_the_fit_is_over(tmp_path, rng):
    x = rng.normal(size=(50, 3)).astype("float32")
    alive, kept = weakref.ref(x), Checkpoint(tmp_path / "net.safetensors")
    net = lm.Sequential(lm.Dense(1), seed=0)
    net.fit(x, x[:, :1].copy(), loss="mse", optimizer="adam", callbacks=kept, verbose=0)
    del x
    gc.collect()
    assert alive() is None and kept.last is not None and kept.write is None


@pytest.mark.parametrize("callback", [None, EarlyStopping("loss"), LambdaCallback(on_batch_end=lambda batch, logs: None)])
def test_a_fits_data_are_free_once_it_is_over(callback, rng):
    """No cycle holds them: Python looks for cycles once many objects were made, whatever their size."""
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "adam", metrics=["mae"])
    gc.disable()
    try:
        for options in ({}, {"validation_split": 0.2}, {"shuffle": False, "batch_size": 50}):
            x = rng.normal(size=(50, 3)).astype("float32")
            alive, y = weakref.ref(x), x[:, :1].copy()
            net.fit(x, y, callbacks=callback, verbose=0, **options)
            del x
            assert alive() is None
    finally:
        gc.enable()


def test_a_callback_serves_one_fit_at_a_time():
    """In threads that fit an ensemble a common EarlyStopping would count the epochs of all, and give one the weights of another."""
    x, stop, said = np.ones((4, 1)), EarlyStopping("loss", patience=2), []

    def fit(**options):
        net = lm.Sequential(lm.Dense(1), seed=0)
        return net.fit(x, x, loss="mse", optimizer="sgd", epochs=4, verbose=0, **options)

    def other(epoch, logs):
        with pytest.raises(ValueError, match="expected callbacks that no other fit calls meanwhile, got EarlyStopping"):
            fit(callbacks=stop)
        fit(callbacks=shared)
        said.append(stop.net)

    shared = LambdaCallback(on_epoch_begin=lambda epoch: None)
    history = fit(callbacks=[stop, shared, LambdaCallback(on_epoch_end=other)])
    assert len(history) == 4 and set(said) == {stop.net}
    for wrong in ({"validation_split": 2.0}, {"resume": "nowhere"}, {"callbacks": [stop, EarlyStopping("f1")]}):
        with pytest.raises((ValueError, OSError)) as error:
            fit(**{"callbacks": stop, **wrong})
    with pytest.raises(ZeroDivisionError):
        fit(callbacks=[stop, LambdaCallback(on_fit_begin=lambda: 1 / 0)])
    assert len(fit(callbacks=stop)) == 4 and error.value is not None  # which holds what its fit held


def test_a_checkpoint_that_does_not_begin_holds_nothing(tmp_path, rng):
    class Breaks(Checkpoint):
        def on_fit_begin(self):
            super().on_fit_begin()
            raise RuntimeError("no")

    kept = Breaks(tmp_path / "net.safetensors")
    with pytest.raises(RuntimeError, match="no"):
        lm.Sequential(lm.Dense(1), seed=0).fit(
            np.ones((4, 2)), np.ones((4, 1)), loss="mse", optimizer="sgd", callbacks=kept, verbose=0
        )
    assert kept.write is None
