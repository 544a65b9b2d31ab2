"""One call of a network: predict, train_step, gradients, evaluate; what they draw and which loss they give."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from fitting import mlp
from lamina.models import chunks
from lamina.models import steps as steps_of_models


def test_outputs_that_have_no_row_for_each_sample():
    """They are predicted at once, whatever the batch size, and no metric takes their rows."""
    x = lm.Input(3)
    data = np.arange(30.0, dtype=np.float32).reshape(10, 3)
    for out, want in ((lm.sum(x), data.sum()), (lm.sum(x, axis=0), data.sum(0)), (lm.concatenate([x, x]), np.tile(data, (2, 1)))):
        assert np.array_equal(lm.Model(x, out).predict(data, batch_size=4), want)
    fixed, many = lm.placeholder((10, 3)), np.tile(data, (500, 1))
    assert np.array_equal(lm.Model(fixed, fixed).predict(data, batch_size=4), data)
    several = lm.Model(x, [lm.max(x), x])
    for _ in range(2):  # the second time by the quick way
        assert [np.shape(out) for out in several.predict(many)] == [(), (5000, 3)]
    model = lm.Model(x, lm.Dense(2)(lm.concatenate([x, x]))).compile(lambda p, t: lm.mean(p) - lm.mean(t), "sgd", metrics=["mae"])
    with pytest.raises(ValueError, match=r"outputs with one row for each sample, got \(8, 2\) for 4 samples"):
        model.fit(data, np.ones((10, 2)), batch_size=4, verbose=0)


def test_predict_in_chunks_has_the_same_bits(xy):
    net = mlp()
    whole = net.predict(xy[0])
    for size in (1, 7, 19, 20, 100):
        assert np.array_equal(net.predict(xy[0], batch_size=size), whole)


def test_predict_takes_lists_and_other_types(xy):
    net = mlp()
    whole = net.predict(xy[0])
    assert np.array_equal(net.predict(xy[0].tolist()), whole)
    assert np.array_equal(net.predict(np.asfortranarray(xy[0])), whole)
    assert np.array_equal(net(xy[0]), whole)


def test_train_step_returns_the_loss_before_the_update(xy):
    net = mlp().compile("cross_entropy", lm.optim.SGD(0.5))
    net.build(4)
    before = net.evaluate(*xy)["loss"]
    assert net.train_step(*xy) == pytest.approx(before, rel=1e-6)
    assert net.evaluate(*xy)["loss"] < before


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_a_loss_that_makes_targets_of_its_own_makes_them_at_each_step(dtype, xy):
    class Signs(lm.losses.Loss):
        def check_target(self, y, pred_shape):
            return 2 * super().check_target(y, pred_shape) - 1

        def elements(self, pred, target):
            return (pred - target) ** 2

    x, y = xy[0], (xy[1] % 2).astype(dtype)
    own, plain = (lm.Sequential(lm.Dense(1), seed=0).compile(loss, "sgd") for loss in (Signs(), "mse"))
    for _ in range(3):
        assert own.train_step(x, y) == plain.train_step(x, 2 * y - 1)


def test_gradients_are_those_of_the_step_and_change_nothing(xy):
    x, y = xy
    net = lm.Sequential(lm.Dense(8), lm.BatchNorm(), lm.Dropout(0.3), lm.Dense(3), seed=0).compile(
        "cross_entropy", lm.optim.SGD(1.0)
    )
    net.build(4)
    before = dict(net.parameters)
    gradients = net.gradients(x, y)
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)
    assert set(gradients) == {k for k in before if "running" not in k}
    net.train_step(x, y)
    for name, g in gradients.items():
        np.testing.assert_allclose(before[name] - net.parameters[name], g, rtol=1e-4, atol=1e-6)


def test_gradients_against_finite_differences(rng):
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(2), seed=0, dtype="float64").compile("mse", "sgd")
    net.build(3)
    g = net.gradients(x, y)["dense_1.weight"]
    w, h = net.parameters["dense_1.weight"], 1e-6
    step = np.zeros_like(w)
    step[1, 2] = h
    losses = []
    for sign in (1, -1):
        net.parameters["dense_1.weight"] = w + sign * step
        losses.append(net.evaluate(x, y)["loss"])
    assert g[1, 2] == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-6)


def test_sample_weights_of_zero_leave_rows_out(xy):
    x, y = xy
    weight = np.r_[np.ones(12), np.zeros(8)]
    a, b = mlp().compile("cross_entropy", lm.optim.SGD(0.1)), mlp().compile("cross_entropy", lm.optim.SGD(0.1))
    assert a.train_step(x, y, weight) == pytest.approx(b.train_step(x[:12], y[:12]), rel=1e-6)
    for name in a.parameters:
        np.testing.assert_allclose(a.parameters[name], b.parameters[name], rtol=1e-5, atol=1e-7)
    assert a.evaluate(x, y, sample_weight=weight)["loss"] == pytest.approx(b.evaluate(x[:12], y[:12])["loss"], rel=1e-5)


def test_evaluate_in_parts_is_the_mean_over_all_rows(xy):
    net = mlp().compile("cross_entropy", "sgd", metrics=["accuracy"])
    net.build(4)
    whole, parts = net.evaluate(*xy), net.evaluate(*xy, batch_size=7)
    assert whole["accuracy"] == parts["accuracy"] and whole["loss"] == pytest.approx(parts["loss"], rel=1e-6)
    assert whole["accuracy"] == lm.metrics.accuracy(xy[1], net.predict(xy[0]))


MEANS = {
    "square": lambda p, t: lm.mean((p - t) ** 2),
    "scaled and shifted": lambda p, t: 1.0 + 2.0 * lm.mean(lm.sum(lm.abs(p - t), axis=1)) / 3.0,
    "by columns": lambda p, t: lm.mean(lm.mean((p - t) ** 2, axis=0)),
    "over the number of samples": lambda p, t: lm.sum((p - t) ** 2) / p.shape[0],
    "over twice their number": lambda p, t: lm.sum((p - t) ** 2) / (2 * p.shape[0]),
    "of samples": lambda p, t: (p - t) ** 2,
}
NO_MEANS = {
    "root": (lambda p, t: lm.sqrt(lm.mean((p - t) ** 2)), lambda p, t: np.sqrt(((p - t) ** 2).mean())),
    "sum": (lambda p, t: lm.sum((p - t) ** 2), lambda p, t: ((p - t) ** 2).sum()),
    "over a mean": (lambda p, t: 1.0 / lm.mean((p - t) ** 2), lambda p, t: 1 / ((p - t) ** 2).mean()),
    "largest": (lambda p, t: lm.max(lm.abs(p - t)), lambda p, t: abs(p - t).max()),
    "centred": (lambda p, t: (p - lm.mean(p, axis=0) - t) ** 2, lambda p, t: ((p - p.mean(0) - t) ** 2).mean()),
    "product of means": (lambda p, t: lm.mean(p) * lm.mean(t), lambda p, t: p.mean() * t.mean()),
    "over the square of the number": (
        lambda p, t: lm.sum((p - t) ** 2) / (p.shape[0] * p.shape[0]),
        lambda p, t: ((p - t) ** 2).sum() / len(p) ** 2,
    ),
    "over one less": (lambda p, t: lm.sum((p - t) ** 2) / (p.shape[0] - 1), lambda p, t: ((p - t) ** 2).sum() / (len(p) - 1)),
    "rounded": (
        lambda p, t: lm.cast(lm.cast(lm.mean((p - t) ** 2), "int64"), "float64") + 0.0 * lm.mean(p),
        lambda p, t: np.floor(((p - t) ** 2).mean()),
    ),
}


def test_a_batch_compared_with_itself(rng):
    """Its logits (B, B) have one-hot rows as targets; classes, and metrics over several batches, have no number of columns."""
    x = lm.Input(3)
    net = lm.Model(x, lm.matmul(lm.Dense(4)(x), lm.transpose(lm.Dense(4)(x))), seed=0, dtype="float32").compile(
        "cross_entropy", "sgd"
    )
    a = rng.normal(size=(6, 3)).astype("f")
    z = net.predict(a).astype(float)
    assert net.train_step(a, np.eye(6)) == pytest.approx(np.mean(np.log(np.exp(z).sum(axis=1)) - np.diagonal(z)), rel=1e-5)
    with pytest.raises(ValueError, match=r"known number of classes, got logits \(B, B\); pass one-hot rows: np\.eye\(n\)\[y\]"):
        net.train_step(a, np.arange(6))
    before = net.parameters["dense_1.weight"]
    with pytest.raises(ValueError, match=r"\[metrics\] expected rows of one length in all batches, got \(B, B\)"):
        net.fit(a, np.eye(6), batch_size=6, metrics="accuracy", verbose=0)
    assert (net.parameters["dense_1.weight"] == before).all()


@pytest.mark.parametrize("name", MEANS | NO_MEANS)
def test_evaluate_gives_the_loss_over_all_rows_also_of_ones_own(name, rng, monkeypatch):
    """Rows go through in parts where that changes nothing, and all at once where the loss is no mean of what each has by itself."""
    monkeypatch.setattr(chunks, "CHUNK", 8)
    parts = []
    x, y = rng.normal(size=(20, 3)) * np.arange(20)[:, None], rng.normal(size=(20, 2))
    loss, oracle = (MEANS[name], None) if name in MEANS else NO_MEANS[name]
    net = lm.Sequential(lm.Dense(2), seed=0, dtype="float64").build(3).compile(loss, "sgd")
    want = net.evaluate(x, y, batch_size=20)["loss"]
    if oracle is not None:
        assert want == pytest.approx(oracle(net.predict(x), y), rel=1e-12)
    monkeypatch.setattr(
        steps_of_models, "parts", lambda model, n, rows, cut=steps_of_models.parts: parts.append(rows) or cut(model, n, rows)
    )
    assert net.evaluate(x, y)["loss"] == pytest.approx(want, rel=1e-12)
    assert net.fit(x, y, validation_data=(x, y), verbose=0)["val_loss"][0] == pytest.approx(net.evaluate(x, y)["loss"], rel=1e-12)
    assert parts == [8 if name in MEANS else 20] * 3


def test_evaluate_without_a_loss_gives_metrics(xy):
    net = mlp().build(4)
    assert list(net.evaluate(*xy, metrics=["accuracy"])) == ["accuracy"]
    with pytest.raises(ValueError, match=r"\[evaluate\] expected a compiled model or metrics, got neither"):
        net.evaluate(*xy)


def test_a_changed_learning_rate_holds_at_once(xy):
    net = mlp().compile("cross_entropy", lm.optim.SGD(0.1))
    net.train_step(*xy)
    net.optimizer.lr = 0.0
    before = dict(net.parameters)
    net.train_step(*xy)
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)


def test_a_schedule_is_followed(xy):
    net = mlp().compile("cross_entropy", lm.optim.SGD(lambda t: np.where(t < 2, 0.1, 0.0)))
    for _ in range(2):
        net.train_step(*xy)
    before = dict(net.parameters)
    net.train_step(*xy)
    assert all(np.array_equal(before[k], net.parameters[k]) for k in before)


def test_compile_again_changes_the_loss(xy):
    net = mlp().compile("mse", "sgd")
    target = np.eye(3, dtype=np.float32)[xy[1]]
    a = net.train_step(xy[0], target)
    net.compile("mae", "adam")
    assert net.train_step(xy[0], target) != a and net.loss == "mae"


def test_rows_that_meet_in_a_network_go_through_it_together():
    x = lm.Input(1)
    net, v = lm.Model(x, x - lm.mean(x, axis=0)), np.arange(5000.0)[:, None]
    np.testing.assert_allclose(net.predict(v), v - 2499.5)
    assert net.evaluate(v, v - 2499.5, metrics=["mae"])["mae"] == 0
    assert net.predict(v, batch_size=1000)[0] == -499.5  # where a user wants it so


def test_no_row_of_a_prediction_repeats_the_numbers_that_another_one_drew():
    x = lm.Input(1, dtype="float64")
    net, rows = lm.Model(x, lm.random_uniform(x), seed=0), np.zeros((5000, 1))
    drawn = net.predict(rows)
    assert len(np.unique(drawn)) == 5000
    assert np.array_equal(drawn, net.predict(rows, batch_size=5000))  # what draws goes through together


def test_no_row_of_an_evaluation_repeats_what_the_loss_drew_for_another_one():
    net = lm.Sequential(lm.Dense(1), seed=0).compile(lambda pred, target: lm.mean(target * lm.random_uniform(pred)), "sgd")
    first, later = (net.evaluate(np.zeros((5000, 1)), 5000.0 * (np.arange(5000) == row))["loss"] for row in (0, 4096))
    assert abs(first - later) > 1e-3
    rows = np.ones((5000, 1))
    assert net.evaluate(rows, rows) == net.evaluate(rows, rows, batch_size=5000)


def test_no_batch_draws_the_numbers_that_another_one_drew():
    x = lm.Input(1, dtype="float64")
    noise, rows = lm.Model(x, lm.random_uniform(x), seed=0), np.zeros((9, 1))
    state = next(iter(noise.wiring.random.values())).variable
    kept = state.read().tolist()
    drawn = noise.predict(rows, batch_size=4)
    assert len(np.unique(drawn)) == 9 and (drawn == noise.predict(rows, batch_size=4)).all()
    batches = [(rows[i : i + 4], rows[i : i + 4]) for i in (0, 4, 8)]

    def seen(y_true, y_pred, sample_weight=None):
        return float(len(np.unique(y_pred)))

    assert noise.evaluate(batches, metrics=[seen]) == {"seen": 9}
    noise.compile("mse", "sgd")
    assert noise.evaluate(batches, metrics=[seen])["seen"] == noise.evaluate(rows, rows, metrics=[seen], batch_size=4)["seen"] == 9
    assert state.read().tolist() == kept


def test_no_batch_of_an_evaluation_repeats_what_the_loss_drew_for_another_one():
    net = lm.Sequential(lm.Dense(1), seed=0).compile(lambda pred, target: lm.mean(target * lm.random_uniform(pred)), "sgd")
    rows, ones = np.zeros((8, 1)), np.ones((8, 1))
    once = net.evaluate([(rows, ones)])["loss"]
    assert abs(net.evaluate([(rows, ones)] * 2)["loss"] - once) > 1e-3
    assert net.evaluate([(rows, ones)])["loss"] == once
