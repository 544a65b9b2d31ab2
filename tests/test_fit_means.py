"""What fit logs and evaluate gives: means over what counts, with weights of samples and classes, and metrics."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import lamina as lm
from fitting import MASKED, assert_same, net, two_that_leave_out


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


def test_probabilities_are_compared_with_a_half_behind_what_leaves_them_so(rng):
    x = rng.normal(size=(200, 2))
    y, inputs = (x[:, 0] > 0).astype(int), lm.Input(2)
    for tail in (lambda p: lm.reshape(p, (-1,)), lambda p: lm.clip(p, 1e-6, 1 - 1e-6)):
        net = lm.Model(inputs, tail(lm.Dense(1, "sigmoid")(inputs)), seed=0).compile("mse", "adam", metrics=["accuracy"])
        net.fit(x, y, verbose=0)
        assert net.evaluate(x, y)["accuracy"] == np.mean((net.predict(x).ravel() > 0.5) == y)
