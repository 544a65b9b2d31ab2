"""save and load: equal predictions bit for bit, nothing lost when writing fails, no trust in what is read."""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import os
import pickle
import subprocess
import sys
import warnings
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import lamina as lm
from lamina.base import files
from lamina.storage import io


class Mine(lm.Layer):
    """A layer that no other process knows."""

    def build(self, x):
        self.scale = self.parameter("scale", (x.shape[-1],), lm.initializers.normal(1.0, 0.5))

    def forward(self, x):
        return lm.exp(-self.scale * x) + lm.mean(x, axis=1, keepdims=True)


def functional() -> lm.Model:
    a = lm.Input(4, name="a")
    gain = lm.Parameter(np.full(3, 2.0, np.float32), name="gain")
    h = lm.Dense(6, "gelu")(a)
    skip = h + lm.Dense(6, lambda t: t * lm.sigmoid(t))(h)
    out = lm.Dense(3)(lm.concatenate([skip, a[:, 1:3]], axis=1)) * gain + np.array([1.0, np.inf, 3.0], np.float32)[::2].sum() * 0.0
    return lm.Model(a, {"logits": lm.maximum(out, -5.0), "norm": lm.norm(out, axis=1)}, seed=3)


NETS = {
    "mlp": lambda: lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0).build(4),
    "float64": lambda: lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(3), seed=0, dtype="float64").build(4),
    "norms": lambda: lm.Sequential(
        lm.Dense(8), lm.BatchNorm(), lm.LayerNorm(), lm.Dropout(0.3), lm.Flatten(), lm.Dense(3), seed=0
    ).build(4),
    "lambda": lambda: lm.Sequential(lm.Lambda(lambda t: lm.softmax(t) * 2), lm.Dense(3), seed=0).build(4),
    "own": lambda: lm.Sequential(Mine(), lm.Dense(3), seed=0).build(4),
    "functional": functional,
    "draws": lambda: lm.Sequential(lm.Lambda(lambda t: t + lm.random_uniform(t)), lm.Dense(3), seed=7).build(4),
}


def equal(a, b) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True)) if isinstance(a, list) else np.array_equal(a, b)


@pytest.mark.parametrize("name", NETS)
def test_a_loaded_net_predicts_the_same_bits(name, tmp_path, xy):
    net = NETS[name]()
    net.save(tmp_path / "net.safetensors")
    loaded = lm.load(tmp_path / "net.safetensors")
    assert type(loaded) is type(net) and loaded.seed == net.seed and loaded.dtype == net.dtype
    assert equal(net.predict(xy[0]), loaded.predict(xy[0]))
    assert list(net.parameters) == list(loaded.parameters)
    assert list(net.named_inputs) == list(loaded.named_inputs) and list(net.named_outputs) == list(loaded.named_outputs)
    assert net.summary() == loaded.summary()
    loaded.save(tmp_path / "again.safetensors")
    assert equal(lm.load(tmp_path / "again.safetensors").predict(xy[0]), net.predict(xy[0]))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_has_the_attributes_that_a_user_gave(copied):
    """And the history; but a layer that is one of them is a part of the first network: the copy has others."""
    x, y = np.ones((4, 3)), np.ones((4, 2))
    net = lm.Sequential(lm.Dense(2), seed=0)
    stop = lm.callbacks.EarlyStopping("loss")
    net.fit(x, y, loss="mse", optimizer="sgd", epochs=2, callbacks=stop, verbose=0)
    net.labels, net._mean, net.stop, net.head = ["cat", "dog"], x.mean(axis=0), stop, [net.layers[0]]  # whose net is this one
    other = copied(net)
    assert other.labels == ["cat", "dog"] and np.array_equal(other._mean, net._mean)
    assert len(other.history) == 2 and not hasattr(other, "head")
    assert other.stop.net is (net if copied is copy.copy else other)
    assert other.train_step(x, y) == net.train_step(x, y)


@pytest.mark.parametrize("name", ["mlp", "norms", "lambda", "own"])
@pytest.mark.parametrize("how", ["save", "pickle", "deepcopy"])
def test_training_goes_on_with_the_same_bits(name, how, tmp_path, xy):
    net = NETS[name]().compile("cross_entropy", lm.optim.Adam(1e-2), metrics=["accuracy"])
    net.fit(*xy, epochs=2, batch_size=7, verbose=0)
    if how == "save":
        net.save(tmp_path / "net.safetensors", optimizer=True)
        other = lm.load(tmp_path / "net.safetensors")
    else:
        other = copy.deepcopy(net) if how == "deepcopy" else pickle.loads(pickle.dumps(net))
    assert other.loss == "cross_entropy"
    one, two = (n.fit(*xy, epochs=3, batch_size=7, verbose=0) for n in (net, other))
    assert np.array_equal(one.history["loss"], two.history["loss"])
    assert all(np.array_equal(net.parameters[k], other.parameters[k]) for k in net.parameters)


def drawing(pred, target):
    return lm.mean((pred[:, 0] - lm.random_uniform(pred)[:, 0]) ** 2)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("how", ["save", "copy", "copy of a copy"])
def test_training_goes_on_with_what_a_loss_draws(how, trained, tmp_path, xy):
    """A file holds no loss of one's own, but the state of the numbers that it draws, for the loss to take up."""
    net = NETS["mlp"]().compile(drawing, "adam")
    if trained:
        net.fit(*xy, epochs=2, batch_size=7, verbose=0)
    if how == "save":
        net.save(tmp_path / "net.safetensors", optimizer=True)
        other = lm.load(tmp_path / "net.safetensors")
        other.compile(drawing, other.optimizer)
    else:
        other = pickle.loads(pickle.dumps(net))
        other = copy.deepcopy(other) if how == "copy of a copy" else other
    one, two = (n.fit(*xy, epochs=3, batch_size=7, verbose=0) for n in (net, other))
    assert np.array_equal(one.history["loss"], two.history["loss"])


def test_a_seed_that_is_assigned_before_the_network_is_built_is_that_of_its_weights(tmp_path, xy):
    net = lm.Sequential(lm.Dense(2), seed=0)
    net.seed = 3
    net.save(tmp_path / "net.safetensors")
    predictions = [n.predict(xy[0]) for n in (net, lm.load(tmp_path / "net.safetensors"), lm.Sequential(lm.Dense(2), seed=3))]
    assert all(np.array_equal(predictions[0], other) for other in predictions)


@pytest.mark.parametrize("batches", [False, True])
def test_a_fit_that_is_resumed_goes_on_with_what_its_loss_draws(batches, tmp_path, xy):
    """Also one on batches, whose loss is built with the first of them; another loss leaves alone what it does not draw."""
    path = str(tmp_path / "net.safetensors")
    data = {"x": [(xy[0], xy[1])] * 3} if batches else {"x": xy[0], "y": xy[1], "batch_size": 7}

    def fit(loss, epochs, **more):
        return NETS["mlp"]().fit(**data, loss=loss, optimizer="adam", epochs=epochs, verbose=0, **more)

    fit(drawing, 2, callbacks=[lm.callbacks.Checkpoint(path)])
    assert np.array_equal(fit(drawing, 4)["loss"], fit(drawing, 4, resume=path)["loss"])
    net = lm.load(path).compile("cross_entropy", "adam")
    net.fit(**data, epochs=1, verbose=0, callbacks=[lm.callbacks.Checkpoint(path)])
    assert len(fit("cross_entropy", 2, resume=path)) == 2


def test_a_fit_on_batches_is_resumed_once_its_loss_has_made_its_parameters(tmp_path, xy):
    path, batches = str(tmp_path / "net.safetensors"), [xy] * 3

    def compiled():
        scale = lm.Parameter((1,), init="normal", name="scale", dtype="float32")
        return NETS["mlp"]().compile(lambda pred, target: lm.mean((pred[:, 0] * scale - 1) ** 2), "adam")

    compiled().fit(batches, epochs=2, verbose=0, callbacks=[lm.callbacks.Checkpoint(path)])
    net = compiled()
    with pytest.raises(ValueError, match=r"no scale, got scale of shape \(1,\); .* at its first batch: net.evaluate\(x, y\)"):
        net.fit(batches, epochs=4, verbose=0, resume=path)
    net.evaluate(*batches[0])
    resumed, whole = net.fit(batches, epochs=4, verbose=0, resume=path), compiled().fit(batches, epochs=4, verbose=0)
    assert np.array_equal(resumed["loss"], whole["loss"])


def test_a_copy_is_apart(xy):
    net = NETS["mlp"]()
    other = copy.deepcopy(net)
    other.parameters["dense_2.bias"] = np.full(3, 9.0)
    assert not np.array_equal(net.predict(xy[0]), other.predict(xy[0]))


@pytest.mark.parametrize("begun", [False, True])
def test_a_network_whose_optimizer_trains_another_one_is_copied(begun, xy):
    """Its copy begins anew, and the other one goes on."""
    optimizer = lm.optim.Adam(1e-2)
    net, other = (NETS["mlp"]().compile("cross_entropy", optimizer) for _ in range(2))
    if begun:
        net.train_step(*xy)
    other.train_step(*xy)
    for one in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert equal(one.predict(xy[0]), net.predict(xy[0])) and one.optimizer.steps == 0
        one.train_step(*xy)
    other.train_step(*xy)
    assert optimizer.steps == 2


def test_a_loss_of_ones_own_is_copied_and_not_saved(tmp_path, xy):
    net = NETS["mlp"]().compile(lambda pred, y: lm.mean(pred**2), lm.optim.Adam(1e-2), metrics=[lambda y, pred: 0.0])
    net.train_step(*xy)
    other = copy.deepcopy(net)
    assert other.loss is net.loss
    assert [net.train_step(*xy) for _ in range(3)] == [other.train_step(*xy) for _ in range(3)]
    net.save(tmp_path / "net.safetensors", optimizer=True)
    assert lm.load(tmp_path / "net.safetensors").loss is None


class Shrinking(lm.Layer):
    def build(self, x):
        self.w = self.parameter("w", (x.shape[-1], 3), "glorot_uniform")

    def forward(self, x):
        self.cost = lm.sum(self.w**2)
        return x @ self.w


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("of", ["layer", "parameter"])
def test_the_loss_of_a_copy_does_not_train_the_first_network(of, copied, xy):
    """What a layer had left for the loss came with its layer, under another name, and a step of the copy changed the first one."""
    layer = Shrinking()
    net = lm.Sequential(layer, seed=0).build(4)

    def cost(pred, y):
        return lm.losses.cross_entropy(pred, y) + 0.1 * (layer.cost if of == "layer" else lm.sum(layer.w**2))

    net.compile(cost, "sgd").train_step(*xy)
    before = dict(net.parameters)
    other = copied(net)
    for call in (other.train_step, other.evaluate, lambda x, y: other.fit(x, y, verbose=0)):
        with pytest.raises(ValueError, match=r"own weights, got shrinking_1\.w of the one that it is a copy of; compile the copy"):
            call(*xy)
    assert list(other.parameters) == list(net.parameters)
    mine = other.layers[0]
    other.compile(lambda pred, y: lm.losses.cross_entropy(pred, y) + 0.1 * lm.sum(mine.w**2), "sgd")
    assert other.train_step(*xy) == net.train_step(*xy)
    assert equal(other.parameters["shrinking_1.w"], net.parameters["shrinking_1.w"])
    assert not equal(before["shrinking_1.w"], net.parameters["shrinking_1.w"])


@pytest.mark.parametrize("how", ["compile", "fit", "saved again"])
@pytest.mark.parametrize("optimizer", [lm.optim.Adam(1e-2), lm.optim.SGD(lm.schedules.Cosine(0.5, 20), momentum=0.9)], ids=repr)
def test_training_goes_on_with_a_loss_of_ones_own(optimizer, how, tmp_path, xy):
    """The file holds the optimizer and its state; the loss is given again."""

    def loss(pred, y):
        return lm.losses.cross_entropy(pred, y) + 0.01 * lm.mean(pred**2)

    net, path = NETS["norms"]().compile(loss, copy.deepcopy(optimizer)), tmp_path / "net.safetensors"
    net.fit(*xy, epochs=2, batch_size=7, verbose=0)
    net.optimizer.lr = net.optimizer.lr if callable(net.optimizer.lr) else 3e-3
    net.save(path, optimizer=True)
    other = lm.load(path)
    if how == "saved again":
        other.save(path, optimizer=True)
        other = lm.load(path)
    assert not other.compiled and other.optimizer.steps == 6
    if how != "fit":
        other.compile(loss, other.optimizer)
    one, two = (n.fit(*xy, loss=loss, epochs=3, batch_size=7, verbose=0) for n in (net, other))
    assert np.array_equal(one["loss"], two["loss"])
    assert all(np.array_equal(net.parameters[k], other.parameters[k]) for k in net.parameters)


def test_a_metric_of_ones_own_is_left_out_and_load_says_so(tmp_path, xy):
    net = NETS["mlp"]().compile(lm.losses.CrossEntropy(label_smoothing=0.1), "adam", metrics=["accuracy", lambda y, pred: 0.0])
    net.save(tmp_path / "net.safetensors")
    with pytest.warns(UserWarning, match=r"\[load .*net.safetensors\] the file has no <lambda>: .* give it to net.compile"):
        loaded = lm.load(tmp_path / "net.safetensors")
    assert loaded.loss.label_smoothing == 0.1 and list(loaded.evaluate(*xy)) == ["loss", "accuracy"]


def test_metrics_with_options_and_a_loss_given_as_a_class_are_kept(tmp_path, xy):
    second = partial(lm.metrics.top_k, k=2)
    net = NETS["mlp"]().compile(lm.losses.CrossEntropy, lm.optim.Adam, metrics=[second, lm.metrics.f1])
    net.save(tmp_path / "net.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = lm.load(tmp_path / "net.safetensors")
    assert loaded.evaluate(*xy) == net.evaluate(*xy) and list(net.evaluate(*xy)) == ["loss", "top_k", "f1"]
    assert net.evaluate(*xy)["top_k"] != lm.metrics.top_k(xy[1], net.predict(xy[0]))
    assert repr(loaded.optimizer) == repr(net.optimizer) == "Adam()"


def test_a_number_that_is_not_finite_is_kept(tmp_path):
    x = lm.Input(3)
    net = lm.Model(x, lm.concatenate([lm.minimum(x, value) for value in (np.inf, -np.inf, np.nan)], axis=1))
    net.save(tmp_path / "net.safetensors")
    data = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(lm.load(tmp_path / "net.safetensors").predict(data), net.predict(data))


@pytest.mark.parametrize("loss", [{"a": lm.losses.Huber(2.0), "b": "mae"}, [lm.losses.Huber(2.0), "mae"]])
def test_losses_and_metrics_of_several_outputs_are_kept(loss, tmp_path, rng):
    x = lm.Input(4)
    net = lm.Model(x, {"a": lm.Dense(2)(x), "b": lm.Dense(1)(x)}, seed=0)
    net.compile(loss, "sgd", {"a": "r2", "b": ["rmse", "mae"]}, loss_weights={"a": 1.0, "b": 0.5})
    net.save(tmp_path / "net.safetensors")
    data = rng.normal(size=(6, 4)), {"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(6, 1))}
    assert lm.load(tmp_path / "net.safetensors").evaluate(*data) == net.evaluate(*data)


def test_a_stack_is_what_it_was_given(tmp_path):
    """A layer twice, and one that calls another, which is no layer of the stack."""

    class Around(lm.Layer):
        def __init__(self):
            self.inner = lm.Dense(4)

        def forward(self, x):
            return x + self.inner(x)

    shared = lm.Dense(4, "tanh")
    net = lm.Sequential(shared, Around(), shared, seed=0).build(4)
    net.save(tmp_path / "net.safetensors")
    first, second, third = lm.load(tmp_path / "net.safetensors").layers
    assert first is third and "Around" in str(second)


def test_sizes_that_depend_on_the_batch(tmp_path, rng):
    x = lm.Input(4)
    twice = lm.concatenate([x, lm.reshape(x, (-1, 2, 2))[:, 1].sum(axis=1, keepdims=True) + x], axis=0)
    net = lm.Model(
        x, [lm.broadcast_to(lm.reshape(twice, (-1, 1, 4)), (*lm.reshape(twice, (-1, 1, 4)).shape[:1], 3, 4)), lm.ones_like(twice)]
    )
    net.save(tmp_path / "net.safetensors")
    data = rng.normal(size=(5, 4)).astype(np.float32)
    assert equal(net.predict(data), lm.load(tmp_path / "net.safetensors").predict(data))


def test_a_net_that_is_not_built(tmp_path, xy):
    net = lm.Sequential(lm.Dense(8, "relu", weight_init="he_normal"), lm.Dropout(0.2), lm.Dense(3), seed=5).compile(
        "cross_entropy", "adam"
    )
    net.save(tmp_path / "net.safetensors")
    loaded = lm.load(tmp_path / "net.safetensors")
    assert not loaded.built and loaded.seed == 5
    assert net.train_step(*xy) == loaded.train_step(*xy)
    with pytest.raises(ValueError, match=r"\[save\] expected built-in layers in a network that is not built, got Mine\(\)"):
        lm.Sequential(Mine()).save(tmp_path / "mine.safetensors")


class Root(lm.schedules.Schedule):
    """A schedule that no file can hold."""

    def rate(self, t):
        return 0.1 / np.sqrt(1 + t)


class Narrow(lm.initializers.Initializer):
    """An initializer that no file can hold."""

    def __call__(self, shape, rng, dtype):
        return rng.normal(size=shape) / 10


def test_what_a_built_in_one_was_made_with_may_be_ones_own(tmp_path, xy):
    """A schedule in an optimizer, an initializer in a layer: the network loads all the same, and goes on from a checkpoint."""

    def make():
        return (
            lm.Sequential(lm.Dense(4, "relu", weight_init=Narrow()), lm.Dense(3), seed=0)
            .build(4)
            .compile("cross_entropy", lm.optim.SGD(Root()))
        )

    saver = lm.callbacks.Checkpoint(tmp_path / "net.safetensors")
    net, whole = make(), make()
    net.fit(*xy, epochs=2, callbacks=saver, verbose=0)
    with pytest.warns(UserWarning, match="the file has no optimizer for the state that is in it"):
        loaded = lm.load(saver.last)
    assert equal(loaded.predict(xy[0]), net.predict(xy[0])) and equal(copy.deepcopy(net).predict(xy[0]), net.predict(xy[0]))
    assert not loaded.compiled and copy.deepcopy(net).train_step(*xy) == net.train_step(*xy)
    again = make().fit(*xy, epochs=4, callbacks=saver, resume=saver.last, verbose=0)
    assert np.array_equal(again["loss"], whole.fit(*xy, epochs=4, verbose=0)["loss"])


def test_a_schedule_and_its_step_are_kept(tmp_path, xy):
    net = NETS["mlp"]().compile("cross_entropy", lm.optim.SGD(lm.schedules.Cosine(0.5, 20)))
    net.fit(*xy, epochs=3, batch_size=7, verbose=0)
    net.save(tmp_path / "net.safetensors", optimizer=True)
    other = lm.load(tmp_path / "net.safetensors")
    assert other.optimizer.steps == 9
    assert [net.train_step(*xy) for _ in range(4)] == [other.train_step(*xy) for _ in range(4)]


def test_another_process_loads_what_it_never_saw(tmp_path, xy):
    net = NETS["own"]()
    net.save(tmp_path / "net.safetensors")
    np.save(tmp_path / "x.npy", xy[0])
    code = "import sys, numpy as np, lamina as lm; np.save(sys.argv[3], lm.load(sys.argv[1]).predict(np.load(sys.argv[2])))"
    files = [str(tmp_path / name) for name in ("net.safetensors", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", code, *files], check=True)
    assert np.array_equal(np.load(tmp_path / "y.npy"), net.predict(xy[0]))


def test_a_loaded_layer_without_code_is_part_of_its_graph_only(tmp_path, xy):
    net = NETS["own"]()
    net.save(tmp_path / "net.safetensors")
    loaded = lm.load(tmp_path / "net.safetensors")
    x = lm.Input(4)
    with pytest.raises(
        TypeError, match=r"\[mine_1\] expected a layer with code, got one that was loaded without it \(class Mine\)"
    ):
        loaded.layers[0](x)
    assert "Mine" in loaded.summary()
    other = lm.Model(x, loaded(x))
    assert np.array_equal(other.predict(xy[0]), net.predict(xy[0]))


def test_the_weights_are_plain_safetensors(tmp_path):
    net = NETS["mlp"]()
    net.save(tmp_path / "net.safetensors")
    tensors = load_file(tmp_path / "net.safetensors")
    assert set(tensors) == set(net.parameters)
    assert all(np.array_equal(tensors[k], net.parameters[k]) for k in tensors)


# ---- nothing lost ----------------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch, xy):
    path = tmp_path / "net.safetensors"
    net = NETS["mlp"]()
    net.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    net.parameters["dense_2.bias"] = np.ones(3)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"expected to write \d+ bytes, got 'No space left on device'; an earlier file is untouched"):
        net.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_missing_folder_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected an existing folder, got .*none; create it first"):
        NETS["mlp"]().save(tmp_path / "none" / "net.safetensors")


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real" / "net.safetensors", tmp_path / "link.safetensors")
    NETS["mlp"]().save(tmp_path / "link.safetensors")
    assert (tmp_path / "link.safetensors").is_symlink() and (tmp_path / "real" / "net.safetensors").exists()


# ---- foreign and damaged files ---------------------------------------------------------------------------------------------------


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"\[load .*none.safetensors\] expected a file that can be read, got: (No such file|The system cannot find)",
    ) as caught:
        lm.load(tmp_path / "none.safetensors")
    assert caught.value.errno == errno.ENOENT
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        NotADirectoryError, match=r"\[load .*expected a file that can be read, got: Not a directory; pass another path"
    ):
        lm.load(tmp_path / "file" / "net.safetensors")
    with pytest.raises(IsADirectoryError, match="expected a file, got a folder; name a file in it"):
        lm.load(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x00" * 8, b"\xff" * 64, b"PK\x03\x04" + b"0" * 100, (10**12).to_bytes(8, "little") + b"{}"]
)
def test_foreign_bytes(tmp_path, data):
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"\[load .*\] expected (a )?safetensors"):
        lm.load(path)


def test_foreign_safetensors(tmp_path):
    save_file({"w": np.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="another kind .*net.parameters.update"):
        lm.load(tmp_path / "other.safetensors")


def test_truncated_files(tmp_path):
    path = tmp_path / "net.safetensors"
    NETS["mlp"]().save(path)
    whole = path.read_bytes()
    for n in range(0, len(whole), 97):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"\[load .*\] expected a safetensors file"):
            lm.load(path)


def rewrite(path: Path, change) -> None:
    with safe_open(path, framework="numpy") as file:
        description = json.loads(file.metadata()["lamina"])
    tensors = load_file(path)
    change(description, tensors)
    save_file(tensors, path, metadata={"lamina": json.dumps(description)})


def set_in(*keys):
    *path, last, value = keys

    def change(description, tensors):
        for key in path:
            description = description[key]
        description[last] = value

    return change


DAMAGE = {
    "format": set_in("format", 99),
    "class": set_in("class", "os.system"),
    "no nodes": lambda d, t: d.pop("nodes") and d.pop("layers"),
    "unknown op": set_in("nodes", 3, "op", "system"),
    "op is no text": set_in("nodes", 3, "op", 7),
    "effect": set_in("nodes", 3, "op", "assign"),
    "forward reference": set_in("nodes", 2, "in", [3, 4]),
    "negative reference": set_in("nodes", 2, "in", [-1, 0]),
    "reference of text": set_in("nodes", 2, "in", ["0", "1"]),
    "a source with inputs": set_in("nodes", 3, "in", [0]),
    "too few inputs": set_in("nodes", 2, "in", [0]),
    "unknown parameter": set_in("nodes", 1, "parameter", "none"),
    "missing tensor": lambda d, t: t.pop("dense_1.bias"),
    "extra tensor": lambda d, t: t.update(extra=np.ones(2)),
    "other shape": lambda d, t: t.update({"dense_1.bias": np.ones(9, np.float32)}),
    "other dtype": lambda d, t: t.update({"dense_1.bias": np.ones(8, np.float64)}),
    "shape in the header": set_in("parameters", 0, "shape", [10**9, 10**9]),
    "layer class": set_in("layers", 0, "class", ["x"]),
    "layer config": set_in("layers", 0, "config", {"units": -3}),
    "layer config of other keys": set_in("layers", 0, "config", {"nits": 3}),
    "layer parameter": set_in("layers", 0, "parameters", {"weight": "none"}),
    "call": set_in("calls", 0, "layer", 17),
    "call within itself": set_in("calls", 0, "around", 0),
    "call within a later one": set_in("calls", 0, "around", 1),
    "calls within calls": lambda d, t: d["calls"].extend({**d["calls"][0], "around": i} for i in range(1, 300)),
    "output": set_in("outputs", {"output": 999}),
    "negative output": set_in("outputs", {"output": -1}),
    "no outputs": set_in("outputs", {}),
    "input that is none": set_in("inputs", {"input": 2}),
    "seed": set_in("seed", "x"),
    "dtype": set_in("dtype", "float16"),
    "nodes of another type": set_in("nodes", 5),
    "node of another type": set_in("nodes", 2, None),
    "huge input": set_in("nodes", 0, "shape", [2**62, 2**62, 2**62]),
    "negative input": set_in("nodes", 0, "shape", [-4, 4]),
    "loss": set_in("objective", {"loss": "nothing", "optimizer": "adam", "metrics": [], "loss_weights": None}),
    "optimizer": set_in(
        "objective", {"loss": "mse", "optimizer": {"class": "Popen", "config": {}}, "metrics": [], "loss_weights": None}
    ),
    "metric's option": set_in(
        "objective", {"loss": "mse", "optimizer": "adam", "metrics": [["mae", {"y_true": 1}]], "loss_weights": None}
    ),
    "metric's name": set_in("objective", {"loss": "mse", "optimizer": "adam", "metrics": [["eval", {}]], "loss_weights": None}),
    "columns": set_in("columns", {"x": "age"}),
    "optimizer state": set_in("optimizer_state", ["lr"]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_descriptions(name, tmp_path):
    path = tmp_path / "net.safetensors"
    NETS["mlp"]().save(path)
    rewrite(path, DAMAGE[name])
    with pytest.raises(ValueError, match="net.safetensors"):
        lm.load(path)


def test_metadata_that_is_no_json(tmp_path):
    for text in ("", "{", "[" * 100_000, "3", '"x"', "null"):
        save_file({"w": np.ones(3)}, tmp_path / "x.safetensors", metadata={"lamina": text})
        with pytest.raises(ValueError, match="expected (JSON|an object) in the metadata 'lamina', got .*; the file is damaged"):
            lm.load(tmp_path / "x.safetensors")


def test_mutated_files_never_crash(tmp_path, rng):
    """Single bytes changed anywhere: a ValueError, or a net. (The long run of mutations is elsewhere.)"""
    path = tmp_path / "net.safetensors"
    NETS["functional"]().save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    header = 8 + int.from_bytes(whole[:8].tobytes(), "little")
    for _ in range(300):
        changed = whole.copy()
        changed[rng.integers(0, header)] = rng.integers(0, 256)
        path.write_bytes(changed.tobytes())
        try:
            lm.load(path)
        except ValueError as error:
            assert "net.safetensors" in str(error)


def test_bytes_of_another_kind_in_a_pickle():
    with pytest.raises(ValueError, match="saved network"):
        lm.Sequential.__new__(lm.Sequential).__setstate__({"bytes": b"nothing", "given": None})


@pytest.mark.parametrize("optimizer", ["sgd", lm.optim.SGD, lm.optim.SGD(0.1), lm.optim.SGD(lm.schedules.Step(0.1, 2))])
def test_a_schedule_that_was_assigned_is_in_the_file(optimizer, tmp_path):
    x, y = np.ones((4, 2)), np.array([0, 1, 0, 1])
    net = lm.Sequential(lm.Dense(2), seed=0).compile("cross_entropy", optimizer)
    net.train_step(x, y)
    net.optimizer.lr = lm.schedules.Cosine(0.1, 9)
    net.save(tmp_path / "net.safetensors", optimizer=True)
    loaded = lm.load(tmp_path / "net.safetensors")
    assert repr(loaded.optimizer) == "SGD(Cosine(0.1, 9))"
    assert [loaded.train_step(x, y) for _ in range(5)] == [net.train_step(x, y) for _ in range(5)]


def test_numbers_of_any_kind_are_in_the_file(tmp_path):
    net = lm.Sequential(lm.Dropout(Fraction(1, 4)), lm.Dense(2), seed=0)
    net.compile("mse", lm.optim.Adam(Decimal("0.25"), weight_decay=Fraction(1, 2))).build(3)
    net.save(tmp_path / "net.safetensors", optimizer=True)
    loaded = lm.load(tmp_path / "net.safetensors")
    assert (loaded.optimizer.lr, loaded.optimizer.weight_decay, loaded.layers[0].p) == (0.25, 0.5, 0.25)


def test_lengths_that_multiply_are_read_again(tmp_path, rng):
    """A reshape to (B*T, 4): the file could be written, and not be read."""
    x = lm.placeholder((None, "T", 3))
    h = lm.Dense(4, "tanh")(x)
    net = lm.Model(x, lm.reshape(lm.reshape(h, (-1, 4)) @ np.ones((4, 4), np.float32), h.shape), seed=0)
    net.save(tmp_path / "net.safetensors")
    data = rng.normal(size=(5, 7, 3))
    assert np.array_equal(lm.load(tmp_path / "net.safetensors").predict(data), net.predict(data))


@pytest.mark.parametrize("kind", ["npz", "npy", "pickle", "HDF5"])
def test_another_kind_of_file_is_called_what_it_is(kind, tmp_path):
    path, arrays = tmp_path / "weights", {"a": np.ones((3, 2))}
    with open(path, "wb") as file:
        if kind == "npz":
            np.savez(file, **arrays)
        elif kind == "npy":
            np.save(file, arrays["a"])
        elif kind == "pickle":
            pickle.dump(arrays, file)
        else:
            file.write(b"\x89HDF\r\n\x1a\n" + bytes(100))
    said = {"npz": "a zip archive, as np.savez", "npy": "an array of np.save", "pickle": "a pickle;", "HDF5": "HDF5, as Keras"}[
        kind
    ]
    with pytest.raises(ValueError, match=rf"weights\] expected safetensors, .* got {said}.*net\.parameters\.update"):
        lm.load(path)


def test_a_network_too_large_for_a_file_is_not_called_a_pickle():
    for header in (0x950480, 0x1000280):
        with pytest.raises(ValueError, match=f"got one of {header};"):
            io._check_header("save", header.to_bytes(8, "little") + b"{")


@pytest.mark.parametrize("name", ["m.h5", "m.PT", "m.npz", "m.onnx"])
def test_a_name_of_another_kind_of_file_is_written_and_said(name, tmp_path):
    net = lm.Sequential(lm.Dense(2), seed=0).build(3)
    with pytest.warns(UserWarning, match=rf"{name}\] wrote safetensors, as always, .* call it \.safetensors"):
        net.save(tmp_path / name)
    np.testing.assert_array_equal(lm.load(tmp_path / name).predict(np.ones((1, 3))), net.predict(np.ones((1, 3))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for usual in ("m", "m.safetensors", "m.lamina", "m.2", "m.bin"):
            net.save(tmp_path / usual)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="got that of a device or a pipe"):
        lm.Sequential(lm.Dense(1), seed=0).build(2).save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(os.name == "nt", reason="no such modes")
def test_a_file_stays_as_private_as_it_was_and_may_have_a_long_name(tmp_path):
    path = tmp_path / ("w" * 240 + ".safetensors")
    net = lm.Sequential(lm.Dense(1), seed=0).build(2)
    net.save(path)
    path.chmod(0o600)
    net.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_an_unbuilt_network_cannot_keep_is_refused(tmp_path):
    base, shared, frozen = lm.Sequential(lm.Dense(4), seed=7).build(4), lm.Dense(4), lm.Dense(4)
    frozen.trainable = False
    for layers in ((base, lm.Dense(1)), (shared, lm.Activation("relu"), shared), (frozen, lm.Dense(1))):
        net = lm.Sequential(*layers, seed=0)
        for keep in (copy.deepcopy, lambda net: net.save(tmp_path / "net.safetensors")):
            with pytest.raises(ValueError, match=r"in a network that is not built.*net\.build"):
                keep(net)
        x = np.ones((2, 4))
        net.build(4)
        assert np.array_equal(copy.deepcopy(net).predict(x), net.predict(x))


def test_parameters_of_layers_of_ones_own_have_names_that_can_be_read_again(tmp_path):
    class Scale(lm.Layer):
        def build(self, x):
            self._w = lm.Parameter(np.full(4, 2.0, "f4"))

        def forward(self, x):
            return x * self._w

    class Wrong(lm.Layer):
        def __init__(self, name):
            self.wrong = name

        def build(self, x):
            self.w = self.parameter(self.wrong, (4,), "ones")

        def forward(self, x):
            return x * self.w

    net = lm.Sequential(Scale(), lm.Dense(1), seed=0).build(4)
    net.save(tmp_path / "net.safetensors")
    assert np.array_equal(lm.load(tmp_path / "net.safetensors").predict(np.ones((2, 4))), net.predict(np.ones((2, 4))))
    for name in ("w-1", "a.b", "forward", "__w", "parameters", "_trainable"):
        with pytest.raises(ValueError, match="expected a parameter name that is a word and no attribute"):
            lm.Sequential(Wrong(name), lm.Dense(1)).build(4)


def test_a_folder_that_is_not_there_has_the_systems_number(tmp_path):
    net = lm.Sequential(lm.Dense(1), seed=0).build(2)
    for write in (lambda path: net.save(path), lambda path: net.draw(path)):
        with pytest.raises(FileNotFoundError) as caught:
            write(tmp_path / "no" / "such.svg")
        assert caught.value.errno == errno.ENOENT


def test_on_windows_a_file_that_is_read_only_is_kept_and_nothing_else(tmp_path, monkeypatch):
    class Windows:  # where a file that is read-only is neither replaced nor removed
        name = "nt"

        def __getattr__(self, name):
            return getattr(os, name)

        def replace(self, source, target):
            refuse(target)

    def refuse(path):
        if not path.stat().st_mode & 0o200:
            raise PermissionError(errno.EACCES, "Access is denied")

    net, path, remove = lm.Sequential(lm.Dense(1), seed=0).build(2), tmp_path / "net.safetensors", Path.unlink
    net.save(path)
    path.chmod(0o400)
    monkeypatch.setattr(files, "os", Windows())
    monkeypatch.setattr(Path, "unlink", lambda path: (refuse(path), remove(path)))
    with pytest.raises(PermissionError, match="an earlier file is untouched"):
        net.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [lm.Lambda(lm.activations.relu), lm.Dense(1)],
        lambda: [lm.Dense(4, lm.Activation("relu")), lm.Dense(1)],
        lambda: [lm.Dense(4, lm.Dense(2)), lm.Dense(1)],
        lambda: [lm.Activation(lm.Activation("relu")), lm.Dense(1)],
        lambda: [lm.Lambda(lm.Dense(3)), lm.Dense(1)],
    ],
    ids=[
        "a function of ours",
        "a layer as an activation",
        "a layer with weights as one",
        "an activation of one",
        "a layer in a Lambda",
    ],
)
def test_layers_made_with_what_a_file_cannot_make_again_are_loaded_as_their_math(layers, tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    net = lm.Sequential(*layers(), seed=0)
    net.fit(x, x[:, :1], loss="mse", optimizer="adam", epochs=1, verbose=0)
    net.save(tmp_path / "net.safetensors")
    for other in (lm.load(tmp_path / "net.safetensors"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other.predict(x), net.predict(x))


@pytest.mark.parametrize(
    "options",
    [
        {"loss": lm.losses.FunctionLoss(lm.losses.huber), "optimizer": "adam"},
        {"loss": "mse", "optimizer": lm.optim.Adam(lm.schedules.Function(lm.schedules.Cosine(1e-3, 10)))},
    ],
    ids=["loss", "schedule"],
)
def test_what_compile_was_given_is_left_out_where_no_file_can_make_it_again(options, tmp_path):
    x = np.ones((8, 4), np.float32)
    net = lm.Sequential(lm.Dense(1))
    net.fit(x, x[:, :1], epochs=1, verbose=0, **options)
    net.save(tmp_path / "net.safetensors", optimizer=True)
    told = pytest.warns(UserWarning, match="the file has no optimizer for the state that is in it")
    with contextlib.nullcontext() if options["optimizer"] == "adam" else told:
        loaded = lm.load(tmp_path / "net.safetensors")
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))


def test_zero_and_minus_zero_are_two_numbers_to_a_checkpoint(tmp_path):
    x, path = np.ones((8, 3), np.float32), tmp_path / "net.safetensors"

    def fit(zero, epochs, **options):
        net = lm.Sequential(lm.Dense(2), lm.Lambda(lambda h: lm.maximum(h, zero)), lm.Dense(1), seed=0)
        net.fit(
            x, x[:, :1], loss="mse", optimizer="adam", epochs=epochs, callbacks=lm.callbacks.Checkpoint(path), verbose=0, **options
        )

    fit(-0.0, 1)
    with pytest.raises(ValueError, match=r"\[resume .*the number -?0"):
        fit(0.0, 2, resume=path)
