"""Nothing lost: a file is whole whatever happens while it is written; a training that was stopped goes on with the same bits."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import lamina as lm

SIZE = 170  # of the matrices in a file: 350 kB, so that a write takes long enough to be hit


def filled(value: float) -> lm.Sequential:
    net = lm.Sequential(lm.Dense(SIZE, bias=False), lm.Dense(SIZE, bias=False), lm.Dense(SIZE, bias=False), seed=0).build(SIZE)
    net.parameters.update({name: np.full((SIZE, SIZE), value) for name in net.parameters})
    return net


def value_in(path: Path) -> float:
    """The one value in all matrices of a file."""
    values = np.concatenate([array.ravel() for array in lm.load(path).parameters.values()])
    assert (values == values[0]).all()
    return float(values[0])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def in_a_child(work) -> int:
    """Runs `work` in a forked process; its number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    return child


# ---- files -----------------------------------------------------------------------------------------------------------------------


def test_killed_at_any_moment_the_file_is_whole_and_litter_does_not_grow(tmp_path):
    path = tmp_path / "net.safetensors"
    nets = [filled(1.0), filled(2.0)]
    start = time.perf_counter()
    nets[0].save(path)
    window = 2.5 * (time.perf_counter() - start)
    rng = np.random.default_rng(6)

    def save_without_end():
        while True:
            for net in nets:
                net.save(path)

    seen, kills = set[float](), 0
    while kills < 40 or (seen != {1.0, 2.0} and kills < 100):  # not before they were killed at different moments
        child = in_a_child(save_without_end)
        time.sleep(rng.uniform(0, window))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        seen.add(value_in(path))
        assert len(names_in(tmp_path)) <= 2  # the file, and what this one left behind
        if seen != {1.0, 2.0}:  # a disk may have become slower since the first save
            window = min(1.2 * window, 0.5)
    assert seen == {1.0, 2.0}
    nets[1].save(path)
    assert names_in(tmp_path) == [path.name] and value_in(path) == 2.0


def test_unfinished_files_of_living_processes_and_of_other_names_stay(tmp_path):
    living = in_a_child(signal.pause)
    others = [f".net.{living}.0123456789ab.tmp", ".other.999999999.0123456789ab.tmp", ".net.999999999.tmp", "net.tmp"]
    gone = [".net.999999999.0123456789ab.tmp", f".net.{os.getpid()}.0123456789ab.tmp"]
    for name in (*others, *gone):
        (tmp_path / name).touch()
    filled(1.0).save(tmp_path / "net")
    os.kill(living, signal.SIGKILL)
    os.waitpid(living, 0)
    assert names_in(tmp_path) == sorted([*others, "net"])


@contextlib.contextmanager
def full():
    """A limit of 100 kB for each file, as a disk that is full would have it. No fixture: pytest's report may go to such a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_the_earlier_file_is_whole(tmp_path):
    path = tmp_path / "net.safetensors"
    small = lm.Sequential(lm.Dense(3), seed=0).build(4)
    small.save(path)
    before = path.read_bytes()
    said = rf"\[save {path}\] expected to write \d+ bytes.*make room there, or choose another"
    with pytest.raises(OSError, match=said) as raised, full():
        filled(2.0).save(path)
    assert raised.value.errno == 27  # EFBIG, the limit's own
    assert path.read_bytes() == before and names_in(tmp_path) == [path.name]


def test_a_fit_whose_checkpoint_finds_no_room_ends_with_a_usable_net(tmp_path):
    x, y = np.ones((8, SIZE), np.float32), np.zeros((8, SIZE), np.float32)
    net = filled(1e-3).compile("mse", "sgd")
    with pytest.raises(OSError, match="make room"), full():
        net.fit(x, y, epochs=3, callbacks=lm.callbacks.Checkpoint(tmp_path / "net"), verbose=0)
    assert names_in(tmp_path) == [] and len(net.history) == 1
    assert len(net.fit(x, y, epochs=2, verbose=0)) == 2


def test_a_log_that_finds_no_room_says_which(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n" + "1,2\n" * 24_996)
    said = r"\[CSVLogger\] expected a path that can be written, got '.*log.csv': File too large"
    with pytest.raises(OSError, match=said), full():
        lm.Sequential(lm.Dense(1)).fit(
            np.ones((2, 1)),
            np.ones((2, 1)),
            loss="mse",
            optimizer="sgd",
            callbacks=lm.callbacks.CSVLogger(path, append=True),
            verbose=0,
        )


def test_a_folder_that_is_read_only(request):
    folder = Path(tempfile.mkdtemp())  # not tmp_path: another user may not look into that
    request.addfinalizer(lambda: shutil.rmtree(folder))
    path = folder / "net.safetensors"
    net = filled(1.0)
    net.save(path)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)  # root may write anywhere
        with pytest.raises(PermissionError, match="choose another folder"):
            filled(2.0).save(path)
        assert value_in(path) == 1.0 and names_in(folder) == [path.name]
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="expected an existing folder"):
        filled(1.0).save(tmp_path / "file" / "net.safetensors")


def test_the_order_is_write_sync_rename_sync(tmp_path, monkeypatch):
    """The bytes are on the disk before they have the name; then the name is."""
    done = []
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        done.append(("sync", "folder" if os.path.isdir(f"/proc/self/fd/{handle}") else os.fstat(handle).st_size))
        fsync(handle)

    def renamed(source, target):
        done.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    filled(1.0).save(tmp_path / "net")
    assert done == [("sync", (tmp_path / "net").stat().st_size), ("rename", "net"), ("sync", "folder")]


# ---- going on --------------------------------------------------------------------------------------------------------------------

OPTIMIZERS = ["SGD", "Adam", "AdamW", "RMSProp", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "Lion", "Muon"]
X = np.random.default_rng(1).normal(size=(103, 4)).astype(np.float32)
Y = (X @ np.random.default_rng(2).normal(size=(4, 3))).argmax(axis=1)
WEIGHT = np.random.default_rng(3).uniform(0.5, 2.0, 103)
BATCHES = 7  # of 12 rows, in the 83 that are trained on


class Stop(lm.callbacks.Callback):
    """Does something at one batch or epoch of all."""

    def __init__(self, at_batch=None, at_epoch=None, action=None):
        self.at_batch, self.at_epoch, self.action, self.count = at_batch, at_epoch, action, 0

    def on_batch_end(self, batch, logs):
        self.count += 1
        if self.count == self.at_batch:
            self.action()

    def on_epoch_end(self, epoch, logs):
        if epoch == self.at_epoch:
            self.action()


def interrupt():
    raise KeyboardInterrupt


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def train(path, optimizer, *, stop=None, resume=None, epochs=4, feed="arrays", early=3):
    net = lm.Sequential(lm.Dense(16, "relu"), lm.Dropout(0.3), lm.BatchNorm(), lm.Dense(3), seed=0)
    net.compile("cross_entropy", optimizer, metrics=["accuracy", "confusion_matrix"])
    callbacks = [
        lm.callbacks.EarlyStopping("loss", patience=early, restore_best=True),
        *([] if callable(optimizer.lr) else [lm.callbacks.ReduceLROnPlateau("loss", patience=0, threshold=0.3)]),
        stop or Stop(),
        lm.callbacks.CSVLogger(f"{path}.csv"),
        lm.callbacks.Checkpoint(path, every_batches=3),
    ]
    if feed == "arrays":
        given = {"x": X, "y": Y, "sample_weight": WEIGHT, "validation_split": 0.2, "batch_size": 12}
    else:
        given = {"x": [(X[i : i + 12], Y[i : i + 12], WEIGHT[i : i + 12]) for i in range(0, 83, 12)]}
        given["validation_data"] = (X[83:], Y[83:])
    history = net.fit(**given, epochs=epochs, callbacks=callbacks, resume=resume, verbose=0)
    return net, history, callbacks


def assert_the_same(one, other, path, other_path):
    (net, history, callbacks), (net2, history2, callbacks2) = one, other
    assert list(history.history) == list(history2.history)
    for name in history.history:
        assert np.array_equal(history.history[name], history2.history[name]), name
    for name in net.parameters:
        assert np.array_equal(net.parameters[name], net2.parameters[name]), name
    assert list(net.optimizer.state) == list(net2.optimizer.state)
    for name, slot in net.optimizer.state.items():
        assert np.array_equal(slot.value, net2.optimizer.state[name].value), name
    assert net.epochs_done == net2.epochs_done and net.optimizer.steps == net2.optimizer.steps
    for a, b in zip(callbacks, callbacks2, strict=True):
        plain, plain2 = ({k: v for k, v in c.state().items() if k != "weights"} for c in (a, b))
        assert plain == plain2
    assert Path(f"{path}.csv").read_text() == Path(f"{other_path}.csv").read_text()
    assert [net.train_step(X, Y) for _ in range(3)] == [net2.train_step(X, Y) for _ in range(3)]


def test_all_optimizers_are_here():
    from lamina import optim

    known = {
        name for name in dir(optim) if isinstance(getattr(optim, name), type) and issubclass(getattr(optim, name), optim.Optimizer)
    }
    assert known - {"Optimizer", "FullBatch", "LBFGS", "LevenbergMarquardt"} == set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_stopped_within_an_epoch_it_goes_on_with_the_same_bits(name, tmp_path):
    def make():
        return getattr(lm.optim, name)(1e-2)

    whole = train(tmp_path / "whole", make())
    _, history, _ = train(tmp_path / "parts", make(), stop=Stop(BATCHES + 4, None, interrupt))
    assert history.interrupted and len(history) == 1
    assert_the_same(whole, train(tmp_path / "parts", make(), resume=tmp_path / "parts"), tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("feed", ["arrays", "batches"])
@pytest.mark.parametrize("stop", [(5, None), (BATCHES + 3, None), (2 * BATCHES, None), (None, 1)], ids=str)
def test_killed_anywhere_it_goes_on_with_the_same_bits(feed, stop, tmp_path):
    def make():
        return lm.optim.Adam(lm.schedules.Cosine(1e-2, 40))

    whole = train(tmp_path / "whole", make(), feed=feed)
    child = in_a_child(lambda: train(tmp_path / "parts", make(), stop=Stop(*stop, die), feed=feed))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    parts = train(tmp_path / "parts", make(), resume=tmp_path / "parts", feed=feed)
    assert_the_same(whole, parts, tmp_path / "whole", tmp_path / "parts")


def test_a_training_that_had_come_to_its_end_stays_there(tmp_path):
    whole = train(tmp_path / "whole", lm.optim.SGD(5.0), epochs=30, early=1)
    assert len(whole[1]) < 30
    again = train(tmp_path / "whole", lm.optim.SGD(5.0), epochs=30, early=1, resume=tmp_path / "whole")
    assert len(again[1]) == len(whole[1]) and again[2][0].stopped_epoch == whole[2][0].stopped_epoch
    for name in whole[0].parameters:
        assert np.array_equal(whole[0].parameters[name], again[0].parameters[name])


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lambda: lm.optim.LBFGS(history=3)], ids=["lm", "lbfgs"])
def test_optimizers_of_all_data_go_on_with_the_same_bits(make, tmp_path):
    x = np.linspace(-3, 3, 60)[:, None]

    def run(path, resume=None, at=None):
        net = lm.Sequential(lm.Dense(5, "tanh"), lm.Dense(1), seed=0)
        callbacks = [Stop(at, None, interrupt), lm.callbacks.Checkpoint(path, every_batches=1)]
        return net, net.fit(x, np.sin(x), loss="mse", optimizer=make(), epochs=9, callbacks=callbacks, resume=resume, verbose=0)

    whole, history = run(tmp_path / "whole")
    _, interrupted = run(tmp_path / "parts", at=5)
    assert len(interrupted) == 4
    parts, resumed = run(tmp_path / "parts", resume=tmp_path / "parts")
    assert np.array_equal(history["loss"], resumed["loss"])
    for name in whole.parameters:
        assert np.array_equal(whole.parameters[name], parts.parameters[name])


def test_a_checkpoint_within_epochs_knows_no_figures_but_the_loss(tmp_path):
    with pytest.raises(ValueError, match=re.escape("[Checkpoint] expected monitor or every_batches, got both")):
        lm.callbacks.Checkpoint(tmp_path / "net", monitor="val_loss", every_batches=2)
    with pytest.raises(ValueError, match="expected fields of epoch, loss in the path, got val_loss"):
        lm.callbacks.Checkpoint("{val_loss}", every_batches=2).check_logs({"loss": 0.0, "val_loss": 0.0})
