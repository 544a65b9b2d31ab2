"""fit: what an epoch is, how it stops, and that a fit that is refused or stopped loses nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import lamina as lm
from fitting import assert_same, net
from lamina.inputs.data import split_point


def test_fit_learns_and_logs(data):
    model = net(metrics=["accuracy"])
    history = model.fit(*data, epochs=30, batch_size=16, validation_split=0.2, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(v) == 30 for v in history.history.values())
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert model.evaluate(*data)["accuracy"] > 0.85
    assert not history.interrupted


def test_data_are_converted_once(data):
    """Also by the fit that builds the network: of a file of float16 each conversion is one more copy, twice its size."""
    read = []

    class Frame:
        def to_numpy(self):
            read.append(1)
            return data[0].astype(np.float16)

    net = lm.Sequential(lm.Dense(3), seed=0)
    for _ in range(2):
        net.fit(Frame(), data[1], loss="cross_entropy", optimizer="sgd", epochs=2, validation_split=0.2, verbose=0)
    assert len(read) == 2


def test_fit_compiles_and_the_same_words_keep_the_optimizer(data):
    model = lm.Sequential(lm.Dense(3), seed=0)
    model.fit(*data, loss="cross_entropy", optimizer="adam", epochs=1, verbose=0)
    optimizer = model.optimizer
    model.fit(*data, loss="cross_entropy", optimizer="adam", epochs=1, verbose=0)
    assert model.optimizer is optimizer and optimizer.steps == 8
    model.fit(*data, optimizer="sgd", epochs=1, verbose=0)
    assert model.optimizer is not optimizer and model.loss == "cross_entropy"


def test_a_batch_that_holds_all_rows_is_not_shuffled(data):
    one, other = net(), net()
    for model, shuffle in ((one, True), (other, False)):
        model.fit(*data, epochs=3, batch_size=len(data[0]), shuffle=shuffle, verbose=0)
    assert_same(one, other)


def assert_losses_of_steps(history, model, x, y, shuffle):
    """The logged losses are those of the steps, in batches of 32, by which `model` is trained here."""
    for epoch, loss in enumerate(history["loss"]):
        order = lm._core.permutation(len(x), model.seed, epoch) if shuffle else np.arange(len(x))
        rows = [order[i : i + 32] for i in range(0, len(x), 32)]
        losses = [model.train_step(x[r], y[r]) for r in rows]
        assert loss == pytest.approx(np.average(losses, weights=[len(r) for r in rows]), rel=1e-12)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("lr", [0.1, lm.schedules.Exponential(0.1, 0.9)])
def test_an_epoch_is_its_train_steps(data, shuffle, lr):
    x, y = data
    one, other = (net(optimizer=lm.optim.SGD(lr, momentum=0.9)) for _ in range(2))
    history = one.fit(x, y, epochs=2, batch_size=32, shuffle=shuffle, verbose=0)
    other.build(4)
    assert_losses_of_steps(history, other, x, y, shuffle)
    assert_same(one, other)


@pytest.mark.parametrize("many", [1, 2])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_smaller_last_batch_is_a_step_like_the_others(shuffle, many, rng, threads):
    """Also once it has a program of its own: the same bits, random numbers, running statistics, predictions and rates."""
    x, y = rng.normal(size=(151, 6)).astype(np.float32), rng.integers(0, 3, 151)
    threads(many)

    def made():
        layers = [lm.Dense(40, "tanh"), lm.Dropout(0.2), lm.BatchNorm(), lm.Dense(3)]
        optimizer = lm.optim.Adam(lm.schedules.Exponential(0.01, 0.99))
        return lm.Sequential(*layers, seed=0).compile("cross_entropy", optimizer, ["accuracy"]).build(6)

    one, other, held = made(), made(), []

    def look(epoch, logs):
        held.append(one.programs.trained.held_bytes)

    looking = lm.callbacks.LambdaCallback(on_epoch_end=look)
    history = one.fit(x, y, epochs=6, batch_size=32, shuffle=shuffle, verbose=0, callbacks=[looking])
    assert held[0] == held[1] < 0.6 * held[2] and held[2] == held[5]  # two programs from the third epoch on
    assert_losses_of_steps(history, other, x, y, shuffle)
    assert_same(one, other)
    assert one.predict(x).tobytes() == other.predict(x).tobytes()
    one.fit(x, y, epochs=2, batch_size=64, verbose=0)  # other sizes of both, and then others' again
    one.fit(x[:150], y[:150], epochs=1, batch_size=32, verbose=0)
    assert np.isfinite(one.evaluate(x, y)["loss"])


@pytest.mark.parametrize("n", [0, 1, 2, 511, 512, 513, 514, 1026, 5000])
def test_an_order_holds_each_row_once_and_follows_from_seed_and_epoch(n):
    order = lm._core.permutation(n, 3, 4)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(order, lm._core.permutation(n, 3, 4))
    for seed, epoch in ((3, 5), (4, 4)):
        assert n < 511 or np.mean(order == lm._core.permutation(n, seed, epoch)) < 0.05


def test_orders_are_even():
    """All 24 orders of four rows, in 24,000 epochs: chi squared of 23 degrees of freedom, beyond 60 once in 10^5 times."""
    counts = np.unique([lm._core.permutation(4, 0, e) for e in range(24_000)], axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert np.sum((counts - 1000) ** 2 / 1000) < 60


def test_two_fits_are_one_longer_fit(data):
    a, b = net(), net()
    whole = a.fit(*data, epochs=4, verbose=0).history["loss"]
    parts = [b.fit(*data, epochs=2, verbose=0).history["loss"] for _ in range(2)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert_same(a, b)


def test_fits_with_the_same_words_for_several_outputs_are_one_longer_fit():
    def two():
        x = lm.Input(3)
        return lm.Model(x, {"a": lm.Dense(2)(x), "b": lm.Dense(1)(x)}, seed=0)

    x = np.sin(np.arange(60.0)).reshape(20, 3)
    y = {"a": x[:, :2], "b": x[:, 2:]}

    def fit(model, epochs, weight=0.3):
        loss, weights = {"a": "mse", "b": "huber"}, {"a": 1.0, "b": weight}
        return model.fit(x, y, loss=loss, optimizer="adam", loss_weights=weights, epochs=epochs, verbose=0).history["loss"]

    whole, parted, compiled = two(), two(), two()
    compiled.compile({"a": "mse", "b": "huber"}, "adam", loss_weights={"a": 1.0, "b": 0.3})
    losses = fit(whole, 4)
    assert np.array_equal(losses, np.concatenate([fit(parted, 2), fit(parted, 2)]))
    assert np.array_equal(losses, compiled.fit(x, y, epochs=4, verbose=0).history["loss"])
    assert_same(whole, parted)
    assert fit(parted, 1, weight=3.0)[0] > fit(whole, 1)[0]
    fit(parted, 1, np.float32(0.5)), fit(parted, 1, np.float32(0.5))
    assert parted.optimizer.steps == 2
    parted.fit(x, y, loss_weights=[1.0, 2.0], verbose=0)
    assert parted.objective.loss_weights == [1.0, 2.0] and parted.optimizer.steps == 1
    for loss in ({"a": "mse", "b": "mae"}, ["mse", "mae"]):
        parted.fit(x, y, loss=loss, verbose=0)
        with pytest.raises(ValueError, match=r"\[loss\] expected"):
            parted.fit(x, y, loss={"a": "mse"} if isinstance(loss, dict) else ["mse"], verbose=0)


def test_losses_and_weights_that_change_in_their_dict_or_list_are_others():
    """The network kept the caller's own dict, and compared it with itself."""
    x = lm.Input(3)
    net = lm.Model(x, {"a": lm.Dense(2)(x), "b": lm.Dense(1)(x)}, seed=0)
    data, y = np.ones((4, 3)), {"a": np.ones((4, 2)), "b": np.ones((4, 1))}
    loss, weights = {"a": "mse", "b": "mse"}, [1.0, 1.0]
    for name, weight in (("mse", 1.0), ("mae", 1.0), ("mae", 0.5)):
        loss["b"], weights[1] = name, weight
        net.fit(data, y, loss=loss, optimizer="sgd", loss_weights=weights, verbose=0)
        assert repr(net.objective.losses[1]) == repr(lm.losses.get(name))
        assert net.objective.loss_weights == weights


def test_validation_data_and_split_agree(data):
    x, y = data
    a, b = net(), net()
    one = a.fit(x, y, validation_split=0.25, epochs=2, verbose=0)
    cut = split_point(len(x), 0.25)
    two = b.fit(x[:cut], y[:cut], validation_data=(x[cut:], y[cut:]), epochs=2, verbose=0)
    assert np.array_equal(one.history["val_loss"], two.history["val_loss"])
    with pytest.raises(ValueError, match=r"\[fit\] expected validation_data or validation_split, got both"):
        net().fit(x, y, validation_split=0.2, validation_data=(x, y), verbose=0)


def test_early_stopping_restores_the_best(data):
    x, y = data
    stop = lm.callbacks.EarlyStopping("val_loss", patience=2)
    model = net(optimizer=lm.optim.SGD(2.0))
    history = model.fit(x, y, validation_split=0.3, epochs=50, callbacks=stop, verbose=0)
    best = int(history["val_loss"].argmin())
    assert stop.best_epoch == best and len(history) == best + 3 < 50
    cut = split_point(len(x), 0.3)
    assert model.evaluate(x[cut:], y[cut:])["loss"] == history["val_loss"][best]


def test_stop_training_ends_after_the_epoch(data):
    model = net()
    stop = lm.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1))
    assert len(model.fit(*data, epochs=9, callbacks=[stop], verbose=0)) == 2


def test_batch_callbacks_change_no_bit(data):
    seen = []
    a, b = net(metrics=["accuracy"]), net(metrics=["accuracy"])
    watch = lm.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append((batch, logs["loss"])))
    one = a.fit(*data, epochs=2, callbacks=[watch], verbose=0)
    two = b.fit(*data, epochs=2, verbose=0)
    assert_same(a, b)
    assert np.array_equal(one.history["loss"], two.history["loss"]) and np.array_equal(
        one.history["accuracy"], two.history["accuracy"]
    )
    assert [batch for batch, _ in seen] == [0, 1, 2, 3] * 2


def test_a_loss_that_is_not_finite_stops_and_gives_the_weights_back(data):
    x, y = data
    model, other = (lm.Sequential(lm.Dense(16), lm.Dense(1), seed=0).compile("mse", lm.optim.Adam(1e25)) for _ in range(2))
    model.build(4)
    before = dict(model.parameters)
    with pytest.raises(FloatingPointError, match=r"batch \d of epoch 1.*(lr|learning rate)"):
        model.fit(x, y.astype(np.float32), epochs=3, verbose=0)
    assert all(np.array_equal(before[k], model.parameters[k]) for k in before)
    histories = []
    for each in (model, other):  # the optimizer's state is back as well: it trains like one that never failed
        each.optimizer.lr = 1e-3
        histories.append(each.fit(x, y.astype(np.float32), epochs=2, verbose=0).history["loss"])
    assert np.isfinite(histories[0]).all() and np.array_equal(*histories)


def test_masked_targets_may_be_nan(data):
    x, _ = data
    target = x[:, :2].copy()
    target[3, 1] = np.nan
    model = lm.Sequential(lm.Dense(2), seed=0)
    history = model.fit(x, target, loss=lm.losses.MSE(mask_nan=True), optimizer="sgd", epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_fit_that_is_refused_leaves_a_net_unbuilt(optimizer, data):
    x, y = data
    model = lm.Sequential(lm.Dense(3), seed=0)
    with pytest.raises(ValueError, match=r"\[EarlyStopping\] expected 'val_loss' among the logged figures, got loss"):
        model.fit(x[:, :2], y, loss="cross_entropy", optimizer=optimizer, callbacks=lm.callbacks.EarlyStopping(), verbose=0)
    assert not model.built and model.compiled
    other = lm.Sequential(lm.Dense(3), seed=0)
    for one in (model, other):
        one.fit(x, y, loss="cross_entropy", optimizer=optimizer, epochs=3, verbose=0)
    assert_same(model, other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": "mse"},
        {"loss": "mse", "optimizer": "adam"},
        {"loss_weights": [-1.0]},
        {"verbose": "no"},
        {"validation_data": type("Loader", (), {"__iter__": lambda self: iter(())})},  # a class whose objects are what is meant
    ],
)
def test_a_fit_that_is_refused_takes_nothing_from_a_net_that_has_trained(wrong, data):
    x, y = data
    nets = [lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", "adam") for _ in range(2)]
    for one in nets:
        one.fit(x, y, epochs=2, verbose=0)
    optimizer, history = nets[0].optimizer, nets[0].history
    with pytest.raises((ValueError, TypeError), match=r"expected .*got .*; "):
        nets[0].fit(x, y, **{"verbose": 0, **wrong})
    assert nets[0].optimizer is optimizer and nets[0].history is history and nets[0].loss == "cross_entropy"
    for one in nets:
        one.fit(x, y, epochs=2, verbose=0)
    assert_same(*nets)


@pytest.mark.parametrize("size", [2**31, 2**63 - 1, 2**70])
def test_a_batch_may_be_as_large_as_anyone_says(size, rng):
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))
    nets = [lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd", metrics=["mae"]) for _ in range(2)]
    histories = [net.fit(x, y, epochs=2, batch_size=n, verbose=0).history for net, n in zip(nets, (30, size), strict=True)]
    assert all(np.array_equal(histories[0][name], histories[1][name]) for name in ("loss", "mae"))
    assert nets[1].evaluate(x, y, batch_size=size)["loss"] == nets[0].evaluate(x, y)["loss"]
    assert nets[1].predict(x, batch_size=size).shape == (30, 1)


def test_sequences_of_several_lengths_train(rng):
    """A free length T beside the batch: each batch has its own, and the steps are those of a network built for that length."""
    shared = [lm.Dense(5, "tanh"), lm.Dense(3)]
    x = lm.placeholder((None, "T", 4))
    net = lm.Model(x, shared[1](shared[0](x)), seed=0).compile("cross_entropy", lm.optim.SGD(0.5))
    batches = [(rng.normal(size=(n, t, 4)), rng.integers(0, 3, (n, t))) for n, t in ((2, 3), (3, 7), (2, 1))]
    weights = {name: value.copy() for name, value in net.parameters.items()}
    history = net.fit(batches, epochs=2, verbose=0, metrics=["accuracy"])
    losses = []
    for _ in range(2):
        for inputs, labels in batches:
            fixed = lm.Input(*inputs.shape[1:])
            one = lm.Model(fixed, lm.Dense(3)(lm.Dense(5, "tanh")(fixed)), seed=0).compile("cross_entropy", lm.optim.SGD(0.5))
            one.parameters.update(dict(zip(one.parameters, weights.values(), strict=True)))
            losses.append(one.train_step(inputs, labels))
            weights = dict(zip(weights, one.parameters.values(), strict=True))
    positions = np.array([labels.size for _, labels in batches])
    np.testing.assert_allclose(history.history["loss"], np.array(losses).reshape(2, 3) @ positions / positions.sum(), rtol=1e-6)
    for name, value in net.parameters.items():
        np.testing.assert_allclose(value, weights[name], rtol=1e-6, atol=1e-8)
    assert 0 <= history.history["accuracy"][-1] <= 1  # over all positions
    assert net.predict(batches[1][0]).shape == (3, 7, 3)
    with pytest.raises(ValueError, match=r"\[target\] expected shape \(B, T\) with T = 6, got \(2, 5\)"):
        net.train_step(rng.normal(size=(2, 6, 4)), np.zeros((2, 5), int))


def test_a_last_row_alone_says_nothing_of_the_variance(rng):
    x = rng.normal(size=(33, 3))
    runs = []
    for n in (32, 33):
        net = lm.Sequential(lm.BatchNorm(), lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(0.0))
        net.fit(x[:n], x[:n, :1], epochs=60, verbose=0)
        runs.append(net.parameters["batch_norm_1.running_var"])
    np.testing.assert_allclose(runs[1], x.var(axis=0, ddof=1), rtol=0.1)
    np.testing.assert_allclose(runs[0], x[:32].var(axis=0, ddof=1), rtol=0.01)


def test_indices_without_an_embedding_are_found_before_the_first_step():
    x = np.zeros((100, 3), int)
    x[90, 1] = 10
    net = lm.Sequential(lm.Embedding(10, 2), lm.Flatten(), lm.Dense(1)).compile("mse", "adam")
    with pytest.raises(ValueError, match=r"\[x\] expected numbers from 0 to 9 for embedding_1, got 10 in row 90"):
        net.fit(x, np.ones(100), verbose=0)
    assert net.optimizer.steps == 0
    given = lm.Input(3, dtype="int64")  # of which those looked up are made
    lm.Model(given, lm.Dense(1)(lm.Embedding(10, 2)(given[:, 0]))).fit(x, np.ones(100), loss="mse", optimizer="sgd", verbose=0)


def test_a_layer_that_a_callback_freezes_rests_from_the_next_step_on(rng):
    x, seen = rng.normal(size=(96, 4)), []
    net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(2), seed=0).compile("mse", "adam")

    def freeze(batch, logs):
        seen.append(net.parameters["dense_1.weight"])
        net.layers[0].trainable = False

    net.fit(x, x[:, :2], epochs=2, verbose=0, callbacks=lm.callbacks.LambdaCallback(on_batch_end=freeze))
    assert len(seen) == 6
    assert all(np.array_equal(seen[0], w) for w in seen)


def test_weights_that_the_loss_does_not_reach_do_not_decay(rng):
    """As in PyTorch, where they have no gradient."""
    x, inputs = rng.normal(size=(12, 4)), lm.Input(4)
    hidden = lm.Dense(3, "tanh")(inputs)
    net = lm.Model(inputs, lm.Dense(1)(lm.stop_gradient(hidden)), seed=0).compile("mse", lm.optim.AdamW(0.1, weight_decay=0.1))
    before = net.parameters["dense_1.weight"]
    net.fit(x, x[:, :1], epochs=3, verbose=0)
    assert np.array_equal(net.parameters["dense_1.weight"], before)
    assert net.optimizer.steps == 3


def test_training_without_a_console(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    history = lm.Sequential(lm.Dense(1)).fit(np.ones((4, 2)), np.ones((4, 1)), loss="mse", optimizer="sgd")
    assert len(history) == 1


def test_a_bad_loss_says_which_parameters_are_kept(rng):
    """Those from before the epoch, streams of random numbers included; where the epoch has built it, those before the batch."""
    x = rng.normal(size=(48, 4))
    x[40] *= 1e30
    batches = [(x[i : i + 16], x[i : i + 16, :1]) for i in (0, 16, 32)]
    net = lm.Sequential(lm.Dropout(0.5), lm.Dense(1), seed=0)
    with pytest.raises(FloatingPointError, match="the parameters are those from before this step"):
        net.fit(batches, loss="mse", optimizer=lm.optim.SGD(0.1), verbose=0)
    assert net.optimizer.steps == 2
    twin = copy.deepcopy(net)
    with pytest.raises(FloatingPointError, match="from before this epoch are back"):
        net.fit(batches, verbose=0)
    for one in (net, twin):
        one.fit(batches[:2], epochs=2, verbose=0)
    assert_same(net, twin)
    net, twin = (lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(1e6)) for _ in range(2))
    twin.fit(batches[:2], verbose=0)
    with pytest.raises(FloatingPointError, match="batch 2 of epoch 2.*from before this epoch are back"):
        net.fit(batches[:2], epochs=2, verbose=0)
    assert_same(net, twin)


@pytest.mark.parametrize(("optimizer", "batches", "reached"), [("sgd", {"batch_size": 1}, [0]), ("lbfgs", {}, [])])
def test_a_loss_that_is_not_finite_reaches_no_callback_and_no_metric(optimizer, batches, reached):
    seen = []
    watch = lm.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(batch))
    net = lm.Sequential(lm.Lambda(lm.sqrt), lm.Dense(2), seed=0).compile("cross_entropy", optimizer, ["accuracy"])
    x = np.array([[1.0], [-1.0], [1.0]])
    with pytest.raises(FloatingPointError, match=f"at batch {len(reached) + 1} of epoch 1"):
        net.fit(x, [0, 1, 0], **batches, shuffle=False, callbacks=watch, verbose=0)
    assert seen == reached
