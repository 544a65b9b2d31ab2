"""Training resumed from a checkpoint has the bits of one that never stopped; a checkpoint that does not fit changes nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fuzz_files
import lamina as lm
from fitting import assert_same, net, two_that_leave_out


def test_a_net_that_was_frozen_and_thawed_goes_on_with_the_same_bits(data, tmp_path):
    """A callback freezes a layer for two epochs; going on asks for the same layers, and then has the same bits."""
    x, y = data

    def turn(model):
        return lm.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch: setattr(model.layers[0], "trainable", epoch not in (2, 3)) if epoch in (2, 4) else None
        )

    def run(model, epochs, **options):
        saver = lm.callbacks.Checkpoint(tmp_path / f"net-{epochs}")
        return model.fit(x, y, epochs=epochs, batch_size=20, callbacks=[turn(model), saver], verbose=0, **options)

    whole = net()
    history = run(whole, 7)
    for stopped in (3, 4, 5):
        run(net(), stopped)
        again = net()
        again.build(x.shape[1:])
        if stopped < 5:
            with pytest.raises(ValueError, match=r"expected dense_1.weight to be frozen as in the file, .* trainable to False"):
                run(again, 7, resume=tmp_path / f"net-{stopped}")
            again.layers[0].trainable = False
        resumed = run(again, 7, resume=tmp_path / f"net-{stopped}")
        assert np.array_equal(resumed["loss"], history["loss"])
        assert_same(again, whole)


def test_outputs_that_leave_out_go_on_within_an_epoch(tmp_path):
    def stop(batch, logs):
        if batch == 3 and not stopped:
            stopped.append(batch)
            raise RuntimeError("stopped")

    stopped = []
    whole, x, y = two_that_leave_out(0.1)
    expected = whole.fit(x, y, batch_size=3, metrics={"size": "mae"}, verbose=0).history
    saver = lm.callbacks.Checkpoint(tmp_path / "net", every_batches=2)
    options = {"batch_size": 3, "metrics": {"size": "mae"}, "callbacks": [lm.callbacks.LambdaCallback(on_batch_end=stop), saver]}
    with pytest.raises(RuntimeError, match="stopped"):
        two_that_leave_out(0.1)[0].fit(x, y, **options, verbose=0)
    again = two_that_leave_out(0.1)[0]
    header, description, body = fuzz_files.split((tmp_path / "net").read_bytes())
    name = next(name for name in header if name.endswith("part/terms"))
    for shape in ([4, 2], [2, 4]):  # instead of 2, 2 in float64
        damaged = header | {name: header[name] | {"shape": shape, "dtype": "F32"}}
        (tmp_path / "other").write_bytes(fuzz_files.join(damaged, description, body))
        with pytest.raises(ValueError, match="expected a loss for each batch, and for each output, got"):
            again.fit(x, y, **options, resume=tmp_path / "other", verbose=0)
    got = again.fit(x, y, **options, resume=saver.last, verbose=0).history
    assert all(np.array_equal(got[name], expected[name]) for name in expected)
    assert_same(again, whole)


@pytest.mark.parametrize("lr", [1e-2, lm.schedules.Cosine(1e-2, 40)])
def test_resumed_training_has_the_bits_of_one_that_never_stopped(data, tmp_path, lr):
    path = tmp_path / "net.safetensors"

    def train(epochs, resume=None):
        model = lm.Sequential(lm.Dense(16, "relu"), lm.Dropout(0.3), lm.BatchNorm(), lm.Dense(3), seed=0)
        stop = lm.callbacks.EarlyStopping("val_loss", patience=3)
        callbacks = [stop, lm.callbacks.Checkpoint(path)]
        keywords = {"validation_split": 0.2, "metrics": ["accuracy", "confusion_matrix"], "callbacks": callbacks, "resume": resume}
        optimizer = lm.optim.Adam(lr)
        history = model.fit(*data, loss="cross_entropy", optimizer=optimizer, epochs=epochs, verbose=0, **keywords)
        return model, history, stop

    whole, whole_history, whole_stop = train(8)
    path.unlink()
    train(3)
    parts, parts_history, parts_stop = train(8, resume=path)
    for name in whole_history.history:
        assert np.array_equal(whole_history.history[name], parts_history.history[name]), name
    assert_same(whole, parts)
    assert whole_stop.best == parts_stop.best and whole_stop.wait == parts_stop.wait
    assert whole.train_step(*data) == parts.train_step(*data)


def test_resume_with_a_loss_of_ones_own_that_has_parameters(data, tmp_path):
    x, y = data
    path = tmp_path / "net.safetensors"

    def train(epochs, resume=None):
        log_scale = lm.Parameter(np.zeros((), np.float32), name="log_scale")
        model = lm.Sequential(lm.Dense(1), seed=0)
        model.compile(lambda pred, t: lm.mean((pred - t) ** 2) * lm.exp(-log_scale) + log_scale, lm.optim.Adam(1e-2))
        model.fit(x, y.astype(np.float32), epochs=epochs, callbacks=lm.callbacks.Checkpoint(path), resume=resume, verbose=0)
        return model

    whole = train(4)
    train(2)
    assert_same(whole, train(4, resume=path))


def test_resume_with_a_reduced_rate(data, tmp_path):
    path = tmp_path / "net.safetensors"

    def train(epochs, resume=None):
        model = net(optimizer=lm.optim.SGD(1.0))
        reduce = lm.callbacks.ReduceLROnPlateau("loss", patience=0, threshold=0.5)
        return model, model.fit(*data, epochs=epochs, callbacks=[reduce, lm.callbacks.Checkpoint(path)], resume=resume, verbose=0)

    whole, _ = train(6)
    train(3)
    parts, _ = train(6, resume=path)
    assert_same(whole, parts)
    assert whole.optimizer.lr == parts.optimizer.lr < 1.0


def test_resume_refuses_what_does_not_fit(data, tmp_path):
    path = tmp_path / "net.safetensors"
    model = net()
    model.fit(*data, epochs=1, callbacks=lm.callbacks.Checkpoint(path), verbose=0)
    again = lm.callbacks.Checkpoint(tmp_path / "other.safetensors")
    told = r"\[resume\] expected the settings of the checkpoint, batch_size=32, got batch_size=7; pass the same$"
    with pytest.raises(ValueError, match=told):
        net().fit(*data, epochs=2, batch_size=7, callbacks=again, resume=path, verbose=0)
    told = r"\[resume\] expected the settings of the checkpoint, shuffle=True, samples=103, got shuffle=False, samples=50; pass"
    with pytest.raises(ValueError, match=told):
        net().fit(data[0][:50], data[1][:50], epochs=2, shuffle=False, callbacks=again, resume=path, verbose=0)
    with pytest.raises(
        ValueError, match=r"\[callbacks\] expected those of the checkpoint that have a state \(none\), got ReduceLROnPlateau"
    ):
        net().fit(*data, epochs=2, callbacks=lm.callbacks.ReduceLROnPlateau("loss"), resume=path, verbose=0)
    with pytest.raises(
        FileNotFoundError,
        match=r"\[resume .*none\] expected a file that can be read, got: (No such file|The system cannot find) .*; look at",
    ):
        net().fit(*data, epochs=2, resume=tmp_path / "none", verbose=0)
    for optimizer, got in (("adamw", "AdamW"), ("lbfgs", "LBFGS")):  # the one has a state of the same names
        with pytest.raises(ValueError, match=rf"\[resume .*\] expected the optimizer that the file is of, Adam, got {got}; pass"):
            net(optimizer=optimizer).fit(*data, epochs=2, callbacks=again, resume=path, verbose=0)
    for layers, match in (
        ([lm.Dense(5), lm.Dense(3)], r"this network, dense_1.weight of shape \(4, 5\), got dense_1.weight of shape \(4, 16\);"),
        ([lm.Dense(16), lm.Dense(3)], "this network, no batch_norm_1.weight, got batch_norm_1.weight of shape"),
        (
            [lm.Dense(16), lm.BatchNorm(), lm.Dense(3), lm.Dense(3)],
            r"this network, dense_3.weight of shape \(3, 3\), got no dense_3.weight;",
        ),
    ):
        other = lm.Sequential(*layers, seed=0).compile("cross_entropy", "adam")
        with pytest.raises(ValueError, match=rf"\[resume .*\] expected a file with the parameters of {match}"):
            other.fit(*data, epochs=2, callbacks=again, resume=path, verbose=0)
    model.save(path)
    with pytest.raises(ValueError, match=r"\[resume\] expected a file of lm.callbacks.Checkpoint, got a saved network"):
        net().fit(*data, epochs=2, resume=path, verbose=0)
    other = lm.Sequential(lm.Dense(5), lm.Dense(3), seed=0).compile("cross_entropy", "adam")
    with pytest.raises(
        ValueError, match=r"expected a file with the parameters of this network, dense_1.weight of shape \(4, 5\), got"
    ):
        other.fit(*data, epochs=2, resume=path, verbose=0)


def mixture(inner=None, last=None, rate=0.1, dtype="float32", scale=2.0):
    layers = [lm.Dense(5, inner or "tanh"), lm.Dropout(rate), lm.Lambda(lambda x: scale * x), lm.LayerNorm(), lm.Dense(3, last)]
    return lm.Sequential(*layers, seed=0, dtype=dtype).compile("cross_entropy", "adam")


@pytest.mark.parametrize(
    ("changed", "there", "here"),
    [
        ({"inner": "relu"}, "tanh in dense_1", "relu in dense_1"),
        ({"inner": lambda x: lm.tanh(x) * x}, "tanh in dense_1", "mul in dense_1"),
        ({"last": "softsign"}, "add in dense_2", "softsign in dense_2"),
        ({"rate": 0.2}, "the number 0.1 in dropout_1", "the number 0.2 in dropout_1"),
        ({"scale": 3.0}, "the number 2 in lambda_1", "the number 3 in lambda_1"),
    ],
)
def test_a_checkpoint_of_other_math_is_refused(changed, there, here, data, tmp_path):
    path = tmp_path / "net.safetensors"
    mixture().fit(*data, epochs=1, callbacks=lm.callbacks.Checkpoint(path), verbose=0)
    other = mixture(**changed)
    with pytest.raises(ValueError, match=rf"\[resume .*\] expected the math of the file, {there}, got {here}; make the network as"):
        other.fit(*data, epochs=2, callbacks=lm.callbacks.Checkpoint(path), resume=path, verbose=0)
    assert other.epochs_done == 0


def test_a_checkpoint_fits_whatever_a_free_length_is_called(tmp_path):
    """And no other number of outputs, no other name of one, and no other length."""
    path, x, y = tmp_path / "net.safetensors", np.ones((4, 3, 2)), np.ones((4, 1))

    def train(length, outputs, **options):
        sequence = lm.placeholder((None, length, 2))
        out = lm.Dense(1)(lm.mean(lm.Dense(3, "tanh")(sequence), axis=1))
        net = lm.Model(sequence, dict.fromkeys(outputs, out), seed=0).compile("mse", "sgd")
        net.fit(x, dict.fromkeys(outputs, y) if len(outputs) > 1 else y, callbacks=lm.callbacks.Checkpoint(path), **options)
        return net

    train("T", "a", epochs=1, verbose=0)
    assert train("S", "a", epochs=2, resume=path, verbose=0).epochs_done == 2
    with pytest.raises(ValueError, match=r"expected the math of the file, 1 output, got 2 outputs; make the network as"):
        train("T", "ab", epochs=3, resume=path, verbose=0)
    with pytest.raises(ValueError, match=r"expected the math of the file, the output a, got the output b; make the network as"):
        train("T", "b", epochs=3, resume=path, verbose=0)
    with pytest.raises(ValueError, match=r"the file, an input of float32 \(B, [TS], 2\), got an input of float32 \(B, 3, 2\); "):
        train(3, "a", epochs=3, resume=path, verbose=0)


def test_a_checkpoint_of_another_dtype_is_refused(data, tmp_path):
    path = tmp_path / "net.safetensors"
    mixture().fit(*data, epochs=1, callbacks=lm.callbacks.Checkpoint(path), verbose=0)
    with pytest.raises(ValueError, match="expected dense_1.weight of float32, as in the file, got float64; make the network with"):
        mixture(dtype="float64").fit(*data, epochs=2, callbacks=lm.callbacks.Checkpoint(path), resume=path, verbose=0)


def test_a_checkpoint_of_other_loss_weights_is_refused(data, tmp_path):
    path = tmp_path / "net.safetensors"
    x, y = data

    def train(weights, **keywords):
        given = lm.Input(4)
        one, two = (lm.Dense(3).named(name)(given) for name in ("one", "two"))
        model = lm.Model(given, {"one": one, "two": two}).compile("cross_entropy", "adam", loss_weights=weights)
        return model.fit(x, {"one": y, "two": y}, callbacks=lm.callbacks.Checkpoint(path), verbose=0, **keywords)

    train([1.0, 0.5])
    train([1.0, 0.5], epochs=2, resume=path)
    for other, got in ((None, "no loss_weights"), ([0.5, 1.0], r"loss_weights=\[0.5, 1.0\]")):
        told = rf"\[resume\] expected the settings of the checkpoint, loss_weights=\[1.0, 0.5\], got {got}; pass the same$"
        with pytest.raises(ValueError, match=told):
            train(other, epochs=3, resume=path)


def test_the_same_math_made_in_another_order_goes_on(data, tmp_path):
    path = tmp_path / "net.safetensors"

    def make(turned):
        given = lm.Input(4)
        branches = [lm.Dense(5, "tanh").named("left"), lm.Dense(5, "relu").named("right")]
        made = {layer.name: layer(given) for layer in (branches[::-1] if turned else branches)}
        out = lm.Dense(3).named("last")(made["left"] * made["right"])
        return lm.Model(given, out, seed=0).compile("cross_entropy", "adam")

    for model in (make(False), make(True)):
        model.fit(*data, epochs=2, callbacks=lm.callbacks.Checkpoint(path), resume=path if path.exists() else None, verbose=0)
    loaded = lm.load(path)
    loaded.fit(*data, epochs=4, callbacks=lm.callbacks.Checkpoint(path), resume=path, verbose=0)
    whole = make(False)
    whole.fit(*data, epochs=4, verbose=0)
    assert_same(whole, loaded)


def test_callbacks_that_look_on_come_and_go_between_a_checkpoint_and_what_goes_on(data, tmp_path):
    path, log = tmp_path / "net.safetensors", tmp_path / "log.csv"

    def checked(patience=9):
        return [lm.callbacks.EarlyStopping("loss", patience=patience), lm.callbacks.CSVLogger(log), lm.callbacks.Checkpoint(path)]

    whole, seen = net(), []
    whole.fit(*data, epochs=4, verbose=0)
    net().fit(*data, epochs=2, callbacks=checked(), verbose=0)
    one, other = net(), net()
    printing = lm.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    one.fit(*data, epochs=4, resume=path, callbacks=[printing, checked()[0]], verbose=0)
    other.fit(*data, epochs=4, resume=path, callbacks=[*reversed(checked()), printing], verbose=0)
    assert seen == [2, 3, 2, 3]
    assert_same(whole, one)
    assert_same(whole, other)
    assert [line.split(",")[0] for line in log.read_text().splitlines()] == ["epoch", "1", "2", "3", "4"]
    for callbacks in ([], [lm.callbacks.Checkpoint(path)]):  # EarlyStopping would stop at another epoch
        with pytest.raises(ValueError, match=r"that have a state \(EarlyStopping\), got none; pass the same"):
            net().fit(*data, epochs=4, resume=path, callbacks=callbacks, verbose=0)


def rewrite(path, *keys_and_value):
    """Puts another value into the file's description."""
    *keys, last, value = keys_and_value
    header, description, body = fuzz_files.split(path.read_bytes())
    inner = description
    for key in keys:
        inner = inner[key]
    inner[last] = value
    path.write_bytes(fuzz_files.join(header, description, body))


REFUSED = {  # (what the error says, other arguments of fit, what is changed in the file)
    "settings": ("batch_size", {"batch_size": 7}, None),
    "optimizer": ("expected the optimizer that the file is of, SGD, got Adam; pass", {"optimizer": lm.optim.Adam(0.2)}, None),
    "options of the optimizer": (
        r"expected momentum=0.9, which .*, got 0.0; pass optimizer=lm.optim.SGD\(0.1, momentum=0.9\), or .* lm.load",
        {"optimizer": lm.optim.SGD(0.2)},
        None,
    ),
    "an option without a state": ("expected clip_norm=None, ", {"optimizer": lm.optim.SGD(0.1, momentum=0.9, clip_norm=1.0)}, None),
    "callbacks": ("expected those of the checkpoint", {"callbacks": lm.callbacks.EarlyStopping("loss")}, None),
    "saved network": ("Checkpoint", {}, ("extra", {})),
    "seed": ("seed", {}, ("seed", "0")),
    "epochs_done": ("epochs_done", {}, ("epochs_done", -1)),
    "stopped": ("stopped", {}, ("extra", "stopped", "no")),
    "epochs": ("epochs", {}, ("extra", "epochs", "3")),
    "outputs": ("outputs", {}, ("extra", "outputs", None)),
    "history": ("damaged", {}, ("extra", "history", 3)),
    "state of callbacks": ("damaged", {}, ("extra", "callbacks", [{"class": "Checkpoint"}])),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_checkpoint_changes_nothing(name, data, tmp_path):
    match, keywords, change = REFUSED[name]
    path = tmp_path / "net.safetensors"
    net(optimizer=lm.optim.SGD(0.1, momentum=0.9)).fit(*data, epochs=3, callbacks=lm.callbacks.Checkpoint(path), verbose=0)
    if change:
        rewrite(path, *change)
    options = {"callbacks": lm.callbacks.Checkpoint(tmp_path / "other"), "epochs": 5, "verbose": 0, **keywords}
    optimizer = options.pop("optimizer", lm.optim.SGD(0.2, momentum=0.9))
    model, other = (net(optimizer=copy.deepcopy(optimizer)) for _ in range(2))
    history, _ = (one.fit(*data, epochs=1, verbose=0) for one in (model, other))
    with pytest.raises(ValueError, match=match):
        model.fit(*data, resume=path, **options)
    assert (model.seed, model.epochs_done, model.optimizer.steps) == (other.seed, 1, other.optimizer.steps)
    assert model.history is history and model.optimizer.lr == other.optimizer.lr
    assert_same(model, other)
    assert model.train_step(*data) == other.train_step(*data)
    assert_same(model, other)


STATES = {  # (a callback, what of its state is changed)
    "the best of EarlyStopping": (lambda path: lm.callbacks.EarlyStopping("loss"), ("best", "x")),
    "how long it waits": (lambda path: lm.callbacks.EarlyStopping("loss"), ("wait", "x")),
    "the weights that it keeps": (lambda path: lm.callbacks.EarlyStopping("loss"), ("weights", {"dict": {"dense_1.weight": "x"}})),
    "the best of ReduceLROnPlateau": (lambda path: lm.callbacks.ReduceLROnPlateau("loss"), ("best", [1])),
    "the best of a Checkpoint": (lambda path: lm.callbacks.Checkpoint(path, monitor="loss"), ("best", "x")),
}


@pytest.mark.parametrize("name", STATES)
def test_a_callback_whose_state_is_damaged_changes_nothing(name, data, tmp_path):
    make, (key, value) = STATES[name]
    path = tmp_path / "net.safetensors"
    net().fit(*data, epochs=2, callbacks=[make(tmp_path / "best"), lm.callbacks.Checkpoint(path)], verbose=0)
    rewrite(path, "extra", "callbacks", 0, "state", "dict", key, value)
    model, other = net(), net()
    model.fit(*data, epochs=1, verbose=0)
    other.fit(*data, epochs=1, verbose=0)
    with pytest.raises(ValueError, match=r"\[resume .*\] expected a saved network that fits together"):
        model.fit(*data, epochs=3, resume=path, callbacks=make(tmp_path / "best"), verbose=0)
    assert_same(model, other)


class Branch(lm.Layer):
    """A layer with another one in it, which was made before."""

    def __init__(self):
        self.inner = lm.Dense(6)

    def forward(self, x):
        return lm.concatenate([x, self.inner(x)], axis=1)


@pytest.mark.filterwarnings("ignore:.*expected no batch_size for batches")
@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_checkpoint_leaves_a_net_unbuilt(name, batches, data, tmp_path):
    match, keywords, change = REFUSED[name]
    path = tmp_path / "net.safetensors"

    def make():
        optimizer = copy.deepcopy(keywords.get("optimizer", lm.optim.SGD(0.2, momentum=0.9)))
        return lm.Sequential(Branch(), lm.Dense(3), seed=0).compile("cross_entropy", optimizer)

    x, y = data
    given = {"x": [(x, y)]} if batches else {"x": x, "y": y}
    lm.Sequential(Branch(), lm.Dense(3), seed=0).fit(
        **given, loss="cross_entropy", optimizer=lm.optim.SGD(0.1, momentum=0.9), callbacks=lm.callbacks.Checkpoint(path), verbose=0
    )
    if change:
        rewrite(path, *change)
    model, other = make(), make()
    before = [dict(vars(layer)) for layer in (*model.layers, model.layers[0].inner)]
    options = {"callbacks": lm.callbacks.Checkpoint(tmp_path / "other"), "epochs": 5, "verbose": 0, **keywords}
    options.pop("optimizer", None)
    with pytest.raises(ValueError, match=match):
        model.fit(**given, resume=path, **options)
    assert not model.built and model.inputs == model.outputs == () and model.history is None
    assert before == [dict(vars(layer)) for layer in (*model.layers, model.layers[0].inner)]
    for one in (model, other):
        one.fit(x[:, :3], y, epochs=2, verbose=0)  # another number of columns than the file's
    assert_same(model, other)


def test_a_refused_checkpoint_leaves_loss_and_optimizer(data, tmp_path):
    model = net(optimizer=lm.optim.SGD(0.1, momentum=0.9))
    other = copy.deepcopy(model)
    model.fit(*data, verbose=0)
    other.fit(*data, verbose=0)
    optimizer = model.optimizer
    with pytest.raises(FileNotFoundError, match=r"\[resume .*none\] expected a file that can be read"):
        model.fit(*data, loss=lm.losses.CrossEntropy(label_smoothing=0.1), optimizer="adam", resume=tmp_path / "none", verbose=0)
    assert model.optimizer is optimizer and model.loss == "cross_entropy"
    model.fit(*data, verbose=0)
    other.fit(*data, verbose=0)
    assert_same(model, other)
    fresh = lm.Sequential(lm.Dense(3), seed=0)
    with pytest.raises(FileNotFoundError, match=r"\[resume .*none\] expected a file that can be read"):
        fresh.fit(*data, loss="cross_entropy", optimizer="adam", resume=tmp_path / "none", verbose=0)
    assert not fresh.compiled and not fresh.built and fresh.optimizer is None


def test_resuming_within_an_epoch_with_metrics_that_were_not_there_is_refused(tmp_path, rng):
    x = rng.normal(size=(64, 4))

    def net():
        return lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")

    class Stop(lm.callbacks.Callback):
        def on_batch_end(self, batch, logs):
            if batch == 2:
                raise RuntimeError

    checkpoint = lm.callbacks.Checkpoint(tmp_path / "c.safetensors", every_batches=1)
    with pytest.raises(RuntimeError):
        net().fit(x, x[:, :1], batch_size=16, callbacks=[checkpoint, Stop()], verbose=0)
    with pytest.raises(ValueError, match=r"\[resume\] expected no metrics.*got mae"):
        net().fit(x, x[:, :1], batch_size=16, metrics=["mae"], resume=checkpoint.path, verbose=0)
    with pytest.raises(ValueError, match=r"\[resume\] expected the settings of the checkpoint"):
        net().compile("mae", "sgd").fit(x, x[:, :1], batch_size=16, resume=checkpoint.path, verbose=0)
