"""fit: what an epoch is, what is logged, how it stops, and that a stop loses nothing."""

from __future__ import annotations

import _thread
import copy
import signal
import threading
from functools import partial

import numpy as np
import pytest

import fuzz_files
import lamina as lm
from lamina.inputs.data import split_point


@pytest.fixture
def data(rng):
    x = rng.normal(size=(103, 4)).astype(np.float32)
    return x, (x @ rng.normal(size=(4, 3))).argmax(axis=1)


def net(**keywords) -> lm.Sequential:
    made = lm.Sequential(lm.Dense(16, "relu"), lm.Dropout(0.1), lm.BatchNorm(), lm.Dense(3), seed=0)
    return made.compile("cross_entropy", keywords.pop("optimizer", lm.optim.Adam(1e-2)), **keywords)


def assert_same(a: lm.Model, b: lm.Model) -> None:
    assert list(a.parameters) == list(b.parameters)
    for name in a.parameters:
        assert np.array_equal(a.parameters[name], b.parameters[name]), name


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
        (planned,) = one.programs._planned.values()
        held.append(planned.program.held_bytes)

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


def test_training_metrics_are_those_of_the_batches(data):
    x, y = data
    model = net(optimizer=lm.optim.SGD(0.0))
    model = lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", lm.optim.SGD(0.0), metrics=["accuracy"])
    history = model.fit(x, y, epochs=1, batch_size=10, verbose=0)
    assert history.history["accuracy"][0] == model.evaluate(x, y)["accuracy"]
    assert history.history["loss"][0] == pytest.approx(model.evaluate(x, y)["loss"], rel=1e-6)
    weight = np.arange(1.0, 104)
    history = model.fit(x, y, sample_weight=weight, batch_size=10, verbose=0)
    assert history["accuracy"][0] == pytest.approx(model.evaluate(x, y, sample_weight=weight)["accuracy"], rel=1e-12)


def test_weights_of_samples_and_classes(data):
    x, y = data
    a, b, c = (lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", lm.optim.SGD(0.1)) for _ in range(3))
    table = {0: 1.0, 1: 3.0, 2: 0.5}
    a.fit(x, y, class_weight=table, epochs=2, verbose=0)
    b.fit(x, y, sample_weight=np.vectorize(table.get)(y), epochs=2, verbose=0)
    c.fit(x, y, epochs=2, verbose=0)
    assert_same(a, b)
    assert not np.array_equal(a.parameters["dense_1.bias"], c.parameters["dense_1.bias"])


@pytest.mark.parametrize("weight", [1e-320, 1e-39, 1e39])
def test_weights_that_the_loss_cannot_hold_are_an_error(weight, data):
    x, y = data
    weights, match = (
        np.full(len(x), weight),
        r"\[weights\] expected weights whose largest is from .* only their ratios",
    )
    model = net()
    for given in (
        {"x": x, "y": y, "sample_weight": weights},
        {"x": x, "y": y, "class_weight": {0: weight, 1: 0, 2: weight}},
        {"x": x, "y": y, "validation_data": (x, y, weights)},
        {"x": [(x, y, weights)]},
    ):
        with pytest.raises(ValueError, match=match):
            model.fit(**given, verbose=0)
    for call in (model.train_step, model.gradients):
        with pytest.raises(ValueError, match=match):
            call(x, y, weights)
    with pytest.raises(ValueError, match=match):
        model.evaluate(x, y, sample_weight=weights)
    assert model.optimizer.steps == 0
    model.fit(x, y, sample_weight=np.where(np.arange(len(x)) < 9, 1.0, weights if weight < 1 else 0.0), verbose=0)


def test_a_float64_network_takes_smaller_weights(data):
    x, y = data
    one, other = (lm.Sequential(lm.Dense(3), seed=0, dtype="float64").compile("cross_entropy", "sgd") for _ in range(2))
    one.fit(x, y, sample_weight=np.full(len(x), 2.0**-600), verbose=0)
    other.fit(x, y, sample_weight=np.ones(len(x)), verbose=0)
    assert_same(one, other)


def test_class_weights_that_leave_nothing_are_an_error_for_arrays_and_batches(data):
    x, y = data
    table, match = (
        {0: 0.0, 1: 0.0, 2: 0.0},
        r"\[class_weight\] expected a class with a weight above 0 among the samples, got \{0: 0",
    )
    for given in ({"x": x, "y": y}, {"x": [(x[:50], y[:50]), (x[50:], y[50:])]}):
        model = lm.Sequential(lm.Dense(3), seed=0).compile("cross_entropy", "sgd")
        with pytest.raises(ValueError, match=match):
            model.fit(**given, class_weight=table, verbose=0)
    order = np.argsort(y, kind="stable")  # a batch without any class that counts is none
    x, y = x[order], y[order]
    history = lm.Sequential(lm.Dense(3), seed=0).fit(
        [(x[y == k], y[y == k]) for k in range(3)], loss="cross_entropy", optimizer="sgd", class_weight={0: 0, 1: 0}, verbose=0
    )
    assert np.isfinite(history["loss"]).all()


def test_validation_data_and_split_agree(data):
    x, y = data
    a, b = net(), net()
    one = a.fit(x, y, validation_split=0.25, epochs=2, verbose=0)
    cut = split_point(len(x), 0.25)
    two = b.fit(x[:cut], y[:cut], validation_data=(x[cut:], y[cut:]), epochs=2, verbose=0)
    assert np.array_equal(one.history["val_loss"], two.history["val_loss"])
    with pytest.raises(ValueError, match="both"):
        net().fit(x, y, validation_split=0.2, validation_data=(x, y), verbose=0)


# ---- batches ---------------------------------------------------------------------------------------------------------------------


def test_batches_without_weights_count_once_beside_those_with():
    x, y = np.linspace(-1, 1, 12).reshape(4, 3), np.arange(4.0)[:, None]
    weight = np.array([1.0, 5.0])
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(0.0), metrics="mae")
    logs = net.fit([(x[:2], y[:2], weight), (x[2:], y[2:])], verbose=0).last()
    expected = net.evaluate(x, y, sample_weight=np.array([1.0, 5.0, 1.0, 1.0]))
    np.testing.assert_allclose([logs["loss"], logs["mae"]], [expected["loss"], expected["mae"]], rtol=1e-6)


MASKED = {
    "classes": lambda: (lm.losses.CrossEntropy(ignore_index=-1), np.repeat([-1, 0, 2, 1], [9, 3, 4, 4])),
    "values": lambda: (lm.losses.MSE(mask_nan=True), np.where(np.arange(60.0) < 25, np.nan, np.arange(60.0)).reshape(20, 3)),
    "classes of steps": lambda: (lm.losses.CrossEntropy(ignore_index=-1), np.triu(np.ones((20, 2), int) * 2, -9) - 1),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", MASKED)
def test_what_a_loss_leaves_out_counts_in_no_mean(kind, weighted):
    loss, y = MASKED[kind]()
    x = np.sin(np.arange(120.0)).reshape(20, 2, 3) if y.shape == (20, 2) else np.sin(np.arange(60.0)).reshape(20, 3)
    weight = np.linspace(0.5, 3, 20) if weighted else None
    net = lm.Sequential(lm.Dense(3), seed=0, dtype="float64").compile(loss, lm.optim.SGD(0.0))
    expected = float(loss(net.predict(x), y, weight))  # over all at once
    for size in (1, 3, 7, 20):
        np.testing.assert_allclose(net.evaluate(x, y, sample_weight=weight, batch_size=size)["loss"], expected, rtol=1e-12)
        arrays = net.fit(x, y, sample_weight=weight, batch_size=size, verbose=0)
        batches = net.fit(
            [(x[i : i + size], y[i : i + size], *([weight[i : i + size]] if weighted else [])) for i in range(0, 20, size)],
            verbose=0,
        )
        np.testing.assert_allclose([arrays["loss"][0], batches["loss"][0]], expected, rtol=1e-12)


def test_each_output_has_a_mean_over_what_its_loss_leaves():
    x, classes, values = np.sin(np.arange(60.0)).reshape(20, 3), MASKED["classes"]()[1], MASKED["values"]()[1]
    given = lm.Input(3, dtype="float64")
    net = lm.Model(given, {"kind": lm.Dense(3)(given), "size": lm.Dense(3)(given)}, seed=0)
    net.compile({"kind": MASKED["classes"]()[0], "size": MASKED["values"]()[0]}, "sgd", loss_weights={"kind": 1.0, "size": 0.3})
    kind, size = net.predict(x)
    expected = float(net.objective.losses[0](kind, classes)) + 0.3 * float(net.objective.losses[1](size, values))
    for rows in (None, 1, 3, 7):
        got = net.evaluate(x, {"kind": classes, "size": values}, batch_size=rows)["loss"]
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def two_that_leave_out(rate=0.0):
    """Two outputs whose losses leave out different samples, with data; the second has no target in the first five rows."""
    x, classes, values = np.sin(np.arange(60.0)).reshape(20, 3), MASKED["classes"]()[1], MASKED["values"]()[1].copy()
    values[:5] = np.nan
    given = lm.Input(3, dtype="float64")
    net = lm.Model(given, {"kind": lm.Dense(3)(given), "size": lm.Dense(3)(given)}, seed=0)
    losses = {"kind": MASKED["classes"]()[0], "size": MASKED["values"]()[0]}
    return net.compile(losses, lm.optim.SGD(rate), loss_weights={"kind": 1.0, "size": 0.3}), x, {"kind": classes, "size": values}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metrics", [(), {"size": "mae"}])
def test_the_logged_loss_of_several_outputs_is_the_mean_of_each(weighted, metrics):
    net, x, y = two_that_leave_out()
    weight = np.linspace(0.5, 3, 20) if weighted else None
    expected = net.evaluate(x, y, sample_weight=weight)["loss"]
    for size in (1, 3, 5, 20):
        arrays = net.fit(x, y, sample_weight=weight, batch_size=size, metrics=metrics, verbose=0)
        rows = [slice(i, i + size) for i in range(0, 20, size)]
        batches = [(x[r], {k: v[r] for k, v in y.items()}, *([] if weight is None else [weight[r]])) for r in rows]
        several = net.fit(batches, metrics=metrics, verbose=0)
        np.testing.assert_allclose([arrays["loss"][0], several["loss"][0]], expected, rtol=1e-12)


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


@pytest.mark.parametrize("end", ["sigmoid", "hard_sigmoid"])
def test_metrics_of_a_network_that_ends_in_a_sigmoid_take_one_half(end, rng):
    x = rng.normal(size=(50, 3))
    y = (x[:, 0] > 0).astype(int)
    net = lm.Sequential(lm.Dense(1, end), seed=0).compile("mse", lm.optim.SGD(0.0))
    chosen = partial(lm.metrics.recall, threshold=0.3)
    metrics = ["accuracy", "f1", "confusion_matrix", chosen, "mae"]
    p = net.predict(x)
    expected = {
        "accuracy": np.mean((p[:, 0] > 0.5) == y),
        "f1": lm.metrics.f1(y, p, threshold=0.5),
        "confusion_matrix": lm.metrics.confusion_matrix(y, p, threshold=0.5),
        "recall": chosen(y, p),
        "mae": lm.metrics.mae(y, p),
    }
    logged = net.fit(x, y, metrics=metrics, batch_size=20, verbose=0).last()
    for figures in (logged, net.evaluate(x, y, metrics=metrics), net.evaluate(x, y, metrics=metrics, sample_weight=np.ones(50))):
        assert all(np.allclose(figures[name], value) for name, value in expected.items())


def test_a_list_of_batches_is_an_epoch(data):
    x, y = data
    batches = [(x[i : i + 20], y[i : i + 20]) for i in range(0, len(x), 20)]
    a, b = net(metrics=["accuracy"]), net(metrics=["accuracy"])
    one = a.fit(batches, epochs=2, verbose=0)
    two = b.fit(x, y, batch_size=20, shuffle=False, epochs=2, verbose=0)
    assert_same(a, b)
    for name in two.history:
        np.testing.assert_allclose(one.history[name], two.history[name], rtol=1e-12)


def test_a_generator_serves_one_epoch(data):
    x, y = data
    model = net()
    model.fit(((x[i : i + 20], y[i : i + 20]) for i in range(0, 100, 20)), epochs=1, verbose=0)
    with pytest.raises(ValueError, match="batches"):
        net().fit(((x[i : i + 20], y[i : i + 20]) for i in range(0, 100, 20)), epochs=2, verbose=0)


class Loader:
    """Batches of 20 rows, anew at each iter."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __iter__(self):
        return (tuple(a[i : i + 20] for a in self.arrays) for i in range(0, len(self.arrays[0]), 20))


@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_takes_batches(data, rng, weighted):
    """Their loss and metrics are those of all rows; one more row in the last batch counts like any other."""
    given = (*data, rng.uniform(0.5, 2, 103)) if weighted else data
    model = net(metrics=["accuracy", "confusion_matrix"])
    model.fit(*data, epochs=2, verbose=0)
    whole = model.evaluate(*given[:2], sample_weight=given[2] if weighted else None)
    for batches in (Loader(*given), iter(Loader(*given)), list(Loader(*given))):
        found = model.evaluate(batches)
        assert list(found) == list(whole)
        for name, value in whole.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6)
    alone = lm.Sequential(*model.layers)  # without a loss
    figures = alone.evaluate(Loader(*given), metrics=["accuracy"])
    assert list(figures) == ["accuracy"] and figures["accuracy"] == pytest.approx(whole["accuracy"])


def test_a_source_of_batches_may_write_each_into_the_same_arrays(rng):
    arrays = [(rng.normal(size=(5, 4)), rng.normal(size=(5, 1)), rng.uniform(1, 2, 5)) for _ in range(3)]

    def in_place():
        room = tuple(map(np.empty_like, arrays[0]))
        for batch in arrays:
            for there, array in zip(room, batch, strict=True):
                there[:] = array
            yield room

    net = lm.Sequential(lm.Dense(1), seed=0).build(4).compile("mse", lm.optim.SGD(0.0), ["mae"])
    found = net.fit(in_place(), validation_data=list(arrays), verbose=0)
    assert found["mae"] == found["val_mae"]
    assert net.evaluate(in_place()) == net.evaluate(arrays)


@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_adds_up_batches_of_several_outputs_that_leave_out(weighted):
    net, x, y = two_that_leave_out()
    weight = np.linspace(0.5, 3, 20) if weighted else None
    expected = net.evaluate(x, y, sample_weight=weight, metrics={"size": "mae"})
    rows = [slice(i, i + 3) for i in range(0, 20, 3)]
    batches = [(x[r], {k: v[r] for k, v in y.items()}, *([] if weight is None else [weight[r]])) for r in rows]
    assert net.evaluate(batches, metrics={"size": "mae"}) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", ["mse", lm.losses.MSE(mask_nan=True), lambda p, t: lm.mean((p - t) ** 2)])
def test_evaluate_counts_each_position_of_batches_of_several_lengths(loss, rng):
    x = lm.placeholder((None, "T", 2))
    net = lm.Model(x, lm.Dense(1)(x), seed=0).compile(loss, "sgd", metrics=["mae"])
    batches = [(rng.normal(size=(n, t, 2)), rng.normal(size=(n, t, 1))) for n, t in ((2, 3), (3, 5), (1, 1))]
    each = [(net.predict(a) - b).ravel() for a, b in batches]
    errors = np.concatenate(each)
    expected = np.mean(errors**2)
    if callable(loss) and not isinstance(loss, lm.losses.Loss):  # which says nothing of positions: samples count
        expected = np.average([np.mean(e**2) for e in each], weights=[2, 3, 1])
    assert net.evaluate(batches) == pytest.approx({"loss": expected, "mae": np.abs(errors).mean()}, rel=1e-5)


@pytest.mark.parametrize("kind", [lambda loader: loader, list], ids=["loader", "list"])
def test_validation_data_may_be_batches(kind, data):
    """The network is built by the first batch, and the figures are those of arrays; a stop by them comes at the same epoch."""
    x, y = data
    a, b = net(metrics=["accuracy"]), net(metrics=["accuracy"])
    stop = {"callbacks": lm.callbacks.EarlyStopping(patience=1, min_delta=0.05), "epochs": 30, "verbose": 0}
    one = a.fit(Loader(x[:60], y[:60]), validation_data=kind(Loader(x[60:], y[60:])), **stop)
    two = b.fit(x[:60], y[:60], batch_size=20, shuffle=False, validation_data=(x[60:], y[60:]), **stop)
    assert_same(a, b)
    assert 2 < len(one) == len(two) < 30 and list(one.history) == list(two.history)
    for name in two.history:
        np.testing.assert_allclose(one.history[name], two.history[name], rtol=1e-6)


def test_a_list_of_batches_of_several_inputs_may_be_validation_data(rng):
    """What could be (x, y), with two arrays in each, is."""
    one, other = lm.Input(2, name="one"), lm.Input(3, name="other")
    net = lm.Model([one, other], lm.Dense(1)(lm.concatenate([one, other], axis=-1)), seed=0).compile("mse", lm.optim.SGD(0.0))
    x, y = (rng.normal(size=(8, 2)), rng.normal(size=(8, 3))), rng.normal(size=(8, 1))
    halves = [({"one": x[0][half], "other": x[1][half]}, y[half]) for half in (slice(4), slice(4, 8))]
    for given in (halves, [(tuple(batch.values()), target) for batch, target in halves], (x, y), [x, y]):
        found = net.fit(x, y, validation_data=given, verbose=0)["val_loss"][0]
        assert found == pytest.approx(net.evaluate(x, y)["loss"], rel=1e-6)
    net = lm.Model([one, other], [lm.Dense(1)(one), lm.Dense(1)(other)], seed=0).compile("mse", lm.optim.SGD(0.0))
    found = net.fit(x, (y, y), validation_data=[x, (y, y)], verbose=0)["val_loss"][0]
    assert found == pytest.approx(net.evaluate(x, (y, y))["loss"], rel=1e-6)


@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_the_arrays_of_several_inputs_are_no_targets(inputs, rng):
    """Three of them in a row would be x, y and weights."""
    names = "apnk"[:inputs]
    given = [lm.Input(2, name=name) for name in names]
    net = lm.Model(given, lm.Dense(1)(lm.concatenate(given, axis=-1)), seed=0).compile("mse", "sgd")
    x, y = [rng.normal(size=(8, 2)) for _ in names], np.zeros((8, 1))
    remedy = rf"got ndarray as x; pass \(\({', '.join(names)}\), y\): x is a dict by name, or a list or tuple in order"
    for flat in (list, tuple):
        with pytest.raises(ValueError, match=rf"^\[validation_data\] expected \(x, y\) .*, {remedy}"):
            net.fit(x, y, validation_data=flat(x), verbose=0)
        for call in (lambda batch: net.fit([batch], verbose=0), lambda batch: net.evaluate([batch])):
            with pytest.raises(ValueError, match=rf"^\[batch 0\] expected \(x, y\) .*, {remedy}"):
                call(flat(x))
    net.fit([(x, y)], validation_data=(dict(zip(names, x, strict=True)), y), verbose=0)


def test_a_batch_may_weigh_nothing(data):
    """As one of an array's may by chance; all batches of the validation together have to count."""
    x, y = data
    model, weight = net(metrics=["accuracy"]), np.repeat([0.0, 1.0, 0.0, 2.0, 0.0, 1.0], 20)[:103]
    want = model.fit(x, y, verbose=0) and model.evaluate(x, y, sample_weight=weight)
    assert model.evaluate(Loader(x, y, weight)) == pytest.approx(want, rel=1e-6)
    with pytest.raises(ValueError, match=r"\[validation_data\] expected a target that counts for output 'output', got none"):
        model.fit(x, y, validation_data=Loader(x, y, 0 * weight), verbose=0)
    assert np.isfinite(model.fit(x, y, validation_data=Loader(x, y, weight), verbose=0)["val_loss"]).all()
    a, b = net(), net()
    one = a.fit(Loader(x, y, weight), verbose=0)
    two = b.fit(x, y, sample_weight=weight, batch_size=20, shuffle=False, verbose=0)
    assert_same(a, b)
    assert one["loss"][0] == pytest.approx(two["loss"][0], rel=1e-6)
    assert np.isnan(model.fit(Loader(x, y, 0 * weight), verbose=0)["loss"][0])  # of what is to come, some may


def test_an_error_of_a_loader_is_its_own(data):
    class Broken(Loader):
        def __iter__(self):
            yield next(super().__iter__())
            int("no number")

    for call in (lambda: net().evaluate(Broken(*data)), lambda: net().fit(*data, validation_data=Broken(*data), verbose=0)):
        with pytest.raises(ValueError, match="^invalid literal") as caught:
            call()
        assert any(entry.name == "__iter__" for entry in caught.traceback)


def test_what_is_wrong_with_batches_names_them(data):
    x, y = data
    model = net()
    with pytest.raises(ValueError, match=r"\[validation_data\] expected an iterable of batches, nothing is left in it"):
        model.fit(x, y, validation_data=iter(Loader(x, y)), epochs=2, verbose=0)
    with pytest.raises(ValueError, match=r"\[validation_data\] expected an iterable of batches, it gave none"):
        model.fit(x, y, validation_data=iter([]), verbose=0)
    with pytest.raises(ValueError, match=r"\[validation batch 1\] \[y\] expected finite"):
        lm.Sequential(lm.Dense(1)).fit(
            x, y, loss="mse", optimizer="sgd", validation_data=Loader(x, np.where(np.arange(103) == 30, np.nan, 1.0)), verbose=0
        )
    with pytest.raises(ValueError, match=r"\[batch 0\] \[y\] expected targets, got none"):
        model.evaluate(Loader(x))
    with pytest.raises(ValueError, match=r"\[batch 1\] \[x\] expected shape"):
        model.evaluate([(x, y), (x[:, :3], y)])
    with pytest.raises(TypeError, match=r"\[batch 1\] \[x\] expected numbers"):
        model.evaluate([(x, y), (x.astype(str), y)])
    for option in ({"sample_weight": np.ones(103)}, {"validation_split": 0.2}):
        with pytest.raises(ValueError, match="without sample_weight and validation_split, got one; put weights into them"):
            model.fit(Loader(x, y), **option, verbose=0)
    for option in ({"sample_weight": np.ones(103)}, {"batch_size": 8}):
        with pytest.raises(ValueError, match=r"without sample_weight and batch_size, got one; put weights into them"):
            model.evaluate(Loader(x, y), **option)


# ---- stops -----------------------------------------------------------------------------------------------------------------------


def test_early_stopping_restores_the_best(data):
    x, y = data
    stop = lm.callbacks.EarlyStopping("val_loss", patience=2)
    model = net(optimizer=lm.optim.SGD(2.0))
    history = model.fit(x, y, validation_split=0.3, epochs=50, callbacks=stop, verbose=0)
    assert len(history) == stop.best_epoch + 3 or len(history) == 50
    cut = split_point(len(x), 0.3)
    assert model.evaluate(x[cut:], y[cut:])["loss"] == pytest.approx(history.history["val_loss"].min(), rel=1e-6)


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


def test_an_exception_in_a_callback_leaves_the_net_usable(data):
    def fail(epoch, logs):
        raise RuntimeError("mine")

    model, other = net(), net()
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(*data, epochs=3, callbacks=[lm.callbacks.LambdaCallback(on_epoch_end=fail)], verbose=0)
    other.fit(*data, epochs=1, verbose=0)
    assert_same(model, other)
    assert len(model.fit(*data, epochs=1, verbose=0)) == 1


def test_ctrl_c_stops_between_steps_and_keeps_the_history(rng):
    x, y = rng.normal(size=(20000, 64)).astype(np.float32), rng.integers(0, 3, 20000)
    model = lm.Sequential(lm.Dense(256, "relu"), lm.Dense(256, "relu"), lm.Dense(3), seed=0).compile("cross_entropy", "adam")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with SIGINT ignored
    try:
        timer = threading.Timer(1.0, _thread.interrupt_main)
        timer.start()
        history = model.fit(x, y, epochs=100, batch_size=16, verbose=0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.interrupted and len(history) < 100
    assert np.isfinite(model.evaluate(x, y)["loss"]) and np.isfinite(model.train_step(x[:10], y[:10]))


def test_a_loss_that_is_not_finite_stops_and_gives_the_weights_back(data):
    x, y = data
    model, other = (lm.Sequential(lm.Dense(16), lm.Dense(1), seed=0).compile("mse", lm.optim.Adam(1e25)) for _ in range(2))
    model.build(4)
    before = dict(model.parameters)
    with pytest.raises(FloatingPointError, match=r"batch \d of epoch 1.*lr|learning rate"):
        model.fit(x, y.astype(np.float32), epochs=3, verbose=0)
    assert all(np.array_equal(before[k], model.parameters[k]) for k in before)
    histories = []
    for net in (model, other):  # the optimizer's state is back as well: it trains like one that never failed
        net.optimizer.lr = 1e-3
        histories.append(net.fit(x, y.astype(np.float32), epochs=2, verbose=0).history["loss"])
    assert np.isfinite(histories[0]).all() and np.array_equal(*histories)


def test_nan_in_data_is_found_before_the_first_step(data):
    x, y = data
    x = x.copy()
    x[50, 2] = np.nan
    model = net()
    with pytest.raises(ValueError, match=r"row 50, column 2"):
        model.fit(x, y, verbose=0)
    assert not model.built


def test_masked_targets_may_be_nan(data):
    x, _ = data
    target = x[:, :2].copy()
    target[3, 1] = np.nan
    model = lm.Sequential(lm.Dense(2), seed=0)
    history = model.fit(x, target, loss=lm.losses.MSE(mask_nan=True), optimizer="sgd", epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# ---- resume ----------------------------------------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="batch_size"):
        net().fit(*data, epochs=2, batch_size=7, callbacks=again, resume=path, verbose=0)
    with pytest.raises(ValueError, match="callbacks"):
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
    with pytest.raises(ValueError, match="Checkpoint"):
        net().fit(*data, epochs=2, resume=path, verbose=0)
    other = lm.Sequential(lm.Dense(5), lm.Dense(3), seed=0).compile("cross_entropy", "adam")
    with pytest.raises(ValueError, match="parameters"):
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
    for other in (None, [0.5, 1.0]):
        with pytest.raises(ValueError, match=r"\[resume\] expected the settings of the checkpoint.*loss_weights"):
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
    with pytest.raises(FileNotFoundError):
        model.fit(*data, loss=lm.losses.CrossEntropy(label_smoothing=0.1), optimizer="adam", resume=tmp_path / "none", verbose=0)
    assert model.optimizer is optimizer and model.loss == "cross_entropy"
    model.fit(*data, verbose=0)
    other.fit(*data, verbose=0)
    assert_same(model, other)
    fresh = lm.Sequential(lm.Dense(3), seed=0)
    with pytest.raises(FileNotFoundError):
        fresh.fit(*data, loss="cross_entropy", optimizer="adam", resume=tmp_path / "none", verbose=0)
    assert not fresh.compiled and not fresh.built and fresh.optimizer is None


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_fit_that_is_refused_leaves_a_net_unbuilt(optimizer, data):
    x, y = data
    model = lm.Sequential(lm.Dense(3), seed=0)
    with pytest.raises(ValueError, match="val_loss"):
        model.fit(x[:, :2], y, loss="cross_entropy", optimizer=optimizer, callbacks=lm.callbacks.EarlyStopping(), verbose=0)
    assert not model.built and model.compiled
    other = lm.Sequential(lm.Dense(3), seed=0)
    for one in (model, other):
        one.fit(x, y, loss="cross_entropy", optimizer=optimizer, epochs=3, verbose=0)
    assert_same(model, other)


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
    np.testing.assert_allclose(history.history["loss"], np.array(losses).reshape(2, 3) @ positions / positions.sum(), rtol=1e-5)
    for name, value in net.parameters.items():
        np.testing.assert_allclose(value, weights[name], rtol=1e-4, atol=1e-6)
    assert 0 <= history.history["accuracy"][-1] <= 1  # over all positions
    assert net.predict(batches[1][0]).shape == (3, 7, 3)
    with pytest.raises(ValueError, match="T = 6"):
        net.train_step(rng.normal(size=(2, 6, 4)), np.zeros((2, 5), int))


def test_metrics_of_arrays_for_a_network_of_free_lengths(rng):
    """A loss that leaves positions out, and a metric: the outputs that are kept for it have the length of the data."""
    x = lm.placeholder((None, "T", 2))
    net = lm.Model(x, lm.Dense(3)(x), seed=0).compile(lm.losses.CrossEntropy(ignore_index=-1), lm.optim.SGD(0.0))
    inputs, labels = rng.normal(size=(7, 5, 2)), rng.integers(-1, 3, (7, 5))
    found = net.fit(inputs, labels, batch_size=3, verbose=0, metrics=["accuracy"]).history["accuracy"][0]
    right = net.predict(inputs).argmax(-1) == labels
    assert found == pytest.approx(right[labels >= 0].mean(), rel=1e-12)


def test_metrics_of_sequences_count_each_position(rng):
    x = lm.placeholder((None, "T", 2))
    net = lm.Model(x, lm.Dense(1)(x), seed=0).compile("mse", lm.optim.SGD(0.0))
    batches = [(rng.normal(size=(n, t, 2)), rng.normal(size=(n, t, 1)), rng.uniform(0.5, 2, n)) for n, t in ((2, 3), (3, 5))]
    found = net.fit(batches, epochs=1, verbose=0, metrics=["mae"]).history["mae"][0]
    errors, weights = zip(*((np.abs(net.predict(a) - b).ravel(), np.repeat(w, a.shape[1])) for a, b, w in batches), strict=True)
    assert found == pytest.approx(np.average(np.concatenate(errors), weights=np.concatenate(weights)), rel=1e-5)


def test_metrics_of_batches_whose_outputs_have_other_lengths(rng):
    """A sequence and its mean: a weight counts for each position of the one, and once for the other."""
    x = lm.placeholder((None, "T", 4))
    outputs = {"each": lm.Dense(2)(x), "all": lm.Dense(1)(lm.mean(x, axis=1))}
    net = lm.Model(x, outputs, seed=0).compile("mse", lm.optim.SGD(0.0), metrics="mae")
    data, weight = rng.normal(size=(2, 3, 4)), np.array([1.0, 3.0])
    y = {"each": np.zeros((2, 3, 2)), "all": np.zeros((2, 1))}
    apart = net.fit(
        [(data[i : i + 1], {name: a[i : i + 1] for name, a in y.items()}, weight[i : i + 1]) for i in (0, 1)], verbose=0
    )
    whole = net.evaluate(data, y, sample_weight=weight)
    assert {name: apart[name][0] for name in whole} == pytest.approx(whole, rel=1e-6)
    assert list(apart.history) == list(whole)


def test_class_weights_are_of_one_target():
    """The error is that of several targets, not of the classes that the first one has."""
    x = lm.Input(3)
    net = lm.Model(x, [lm.Dense(1)(x), lm.Dense(3)(x)], seed=0).compile(["mse", "cross_entropy"], "sgd")
    data, y = np.ones((6, 3)), [np.ones((6, 1)), np.arange(6) % 3]
    for given in ((data, y), ([(data, y)],)):
        with pytest.raises(ValueError, match="expected one target, got 2; pass sample_weight"):
            net.fit(*given, class_weight={0: 1.0, 1: 2.0, 2: 3.0}, verbose=0)


def test_classes_of_sequences_have_no_weights(rng):
    """A row of class numbers that looks one-hot, (n, T), is none: its 1 is a class, and not at a place."""
    x = lm.placeholder((None, "T", 4))
    net = lm.Model(x, lm.Dense(2)(x))
    given, y = rng.normal(size=(3, 5, 4)), np.eye(5, dtype=int)[:3]
    with pytest.raises(ValueError, match=r"\[class_weight\] expected a class for each sample.* shape \(3, 5\); pass sample_weight"):
        net.fit(given, y, loss="cross_entropy", optimizer="sgd", class_weight={0: 1.0, 1: 9.0}, verbose=0)


@pytest.mark.parametrize("left_out", [-1, 255])
@pytest.mark.parametrize("table", [{1: 5.0}, [1, 5, 1], "balanced"])
def test_class_weights_beside_a_class_that_is_left_out(left_out, table, rng):
    x, y = rng.normal(size=(8, 4)), np.array([0, 1, 2, -1, 1, -1, 1, 0])
    there, loss = y >= 0, lm.losses.CrossEntropy(ignore_index=left_out)
    options = {"optimizer": lm.optim.SGD(0.1), "class_weight": table, "verbose": 0, "shuffle": False}
    got = lm.Sequential(lm.Dense(3), seed=0).fit(x, np.where(there, y, left_out), loss=loss, **options)
    right = lm.Sequential(lm.Dense(3), seed=0).fit(x[there], y[there], loss="cross_entropy", **options)
    np.testing.assert_allclose(got.history["loss"], right.history["loss"], rtol=1e-6)


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


def test_probabilities_are_compared_with_a_half_behind_what_leaves_them_so(rng):
    x = rng.normal(size=(200, 2))
    y, inputs = (x[:, 0] > 0).astype(int), lm.Input(2)
    for tail in (lambda p: lm.reshape(p, (-1,)), lambda p: lm.clip(p, 1e-6, 1 - 1e-6)):
        net = lm.Model(inputs, tail(lm.Dense(1, "sigmoid")(inputs)), seed=0).compile("mse", "adam", metrics=["accuracy"])
        net.fit(x, y, verbose=0)
        assert net.evaluate(x, y)["accuracy"] == np.mean((net.predict(x).ravel() > 0.5) == y)


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


def test_training_without_a_console(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    lm.Sequential(lm.Dense(1)).fit(np.ones((4, 2)), np.ones((4, 1)), loss="mse", optimizer="sgd")


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


@pytest.mark.parametrize(("optimizer", "reached"), [("sgd", [0]), ("lbfgs", [])])
def test_a_loss_that_is_not_finite_reaches_no_callback_and_no_metric(optimizer, reached):
    seen = []
    watch = lm.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(batch))
    net = lm.Sequential(lm.Lambda(lm.sqrt), lm.Dense(2), seed=0).compile("cross_entropy", optimizer, ["accuracy"])
    x = np.array([[1.0], [-1.0], [1.0]])
    with pytest.raises(FloatingPointError, match=f"at batch {len(reached) + 1} of epoch 1"):
        net.fit(x, [0, 1, 0], batch_size=1, shuffle=False, callbacks=watch, verbose=0)
    assert seen == reached


def test_arrays_of_several_inputs_are_no_batches():
    a, b = lm.Input(4), lm.Input(4)
    u, v = (shared := lm.Dense(3))(a), shared(b)
    net = lm.Model([a, b], u, seed=0).compile(lambda pred, target: lm.mean((pred - v) ** 2), "sgd")
    x = [np.ones((8, 4)), np.zeros((8, 4))]
    for call in (net.fit, net.evaluate, net.train_step):
        with pytest.raises(ValueError, match=r"^\[y\] expected targets, got None; .*, of zeros where the loss takes none$"):
            call(x)
    assert np.isfinite(net.fit(x, np.zeros(8), verbose=0).last()["loss"])
    assert net.evaluate([(x, np.zeros(8))]) == net.evaluate(x, np.zeros(8))
