"""NaN and infinity: in the data, an error before training; out of the math, an error that says where; the good weights stay."""

from __future__ import annotations

import re

import numpy as np
import pytest

import lamina as lm

N = 40


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, 4)).astype(np.float32), rng.normal(size=(N, 2)).astype(np.float32)


def net(**keywords) -> lm.Sequential:
    return lm.Sequential(lm.Dense(6, "tanh"), lm.Dense(2), seed=0, **keywords).build(4)


def values(model: lm.Model) -> dict[str, np.ndarray]:
    return dict(model.parameters.items())


def with_bad(array: np.ndarray, *index: int, value: float = np.nan) -> np.ndarray:
    out = array.copy()
    out[index] = value
    return out


def batches(x, y, weight=None) -> list:
    parts = [slice(i, i + 8) for i in range(0, N, 8)]
    return [(x[p], y[p]) if weight is None else (x[p], y[p], weight[p]) for p in parts]


# ---- data ------------------------------------------------------------------------------------------------------------------------

WEIGHT = np.ones(N)
DATA = {
    "x": (lambda x, y: {"x": with_bad(x, 17, 3), "y": y}, "[x] expected finite numbers, got nan at row 17, column 3"),
    "x infinite": (
        lambda x, y: {"x": with_bad(x, 17, 3, value=np.inf), "y": y},
        "[x] expected finite numbers, got inf at row 17, column 3",
    ),
    "y": (lambda x, y: {"x": x, "y": with_bad(y, 30, 1)}, "[y] expected finite numbers, got nan at row 30, column 1"),
    "y infinite": (
        lambda x, y: {"x": x, "y": with_bad(y, 0, 1, value=-np.inf)},
        "[y] expected finite numbers, got -inf at row 0, column 1",
    ),
    "weight": (
        lambda x, y: {"x": x, "y": y, "sample_weight": with_bad(WEIGHT, 5)},
        "[sample_weight] expected finite numbers, got nan at row 5",
    ),
    "validation x": (
        lambda x, y: {"x": x, "y": y, "validation_data": (with_bad(x, 2, 0), y)},
        "[x] expected finite numbers, got nan at row 2, column 0",
    ),
    "validation y": (
        lambda x, y: {"x": x, "y": y, "validation_data": (x, with_bad(y, 2, 0))},
        "[y] expected finite numbers, got nan at row 2, column 0",
    ),
    "validation weight": (
        lambda x, y: {"x": x, "y": y, "validation_data": (x, y, with_bad(WEIGHT, 2))},
        "[sample_weight] expected finite numbers, got nan at row 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", DATA)
def test_in_the_data_it_is_found_before_training(name, optimizer, data):
    make, message = DATA[name]
    model = net()
    before = values(model)
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(**make(*data), loss="mse", optimizer=optimizer, verbose=0)
    assert all(np.array_equal(before[k], v) for k, v in values(model).items()) and model.optimizer.steps == 0


def test_of_several_inputs_and_outputs_the_right_one_is_named(data):
    x, y = data
    a, b = lm.Input(4, name="left"), lm.Input(4, name="right")
    model = lm.Model({"left": a, "right": b}, {"sum": lm.Dense(2)(a + b), "product": lm.Dense(2)(a * b)}, seed=0)
    targets = {"sum": y, "product": y}
    model.compile("mse", "sgd")
    with pytest.raises(ValueError, match=re.escape("[x['right']] expected finite numbers, got nan at row 9, column 1")):
        model.fit({"left": x, "right": with_bad(x, 9, 1)}, targets, verbose=0)
    with pytest.raises(ValueError, match=re.escape("[y['product']] expected finite numbers, got nan at row 9, column 1")):
        model.fit({"left": x, "right": x}, {**targets, "product": with_bad(y, 9, 1)}, verbose=0)


BATCHES = {
    "x": (lambda x, y: batches(with_bad(x, 17, 3), y), "[batch 2] [x] expected finite numbers, got nan at row 1, column 3"),
    "y": (lambda x, y: batches(x, with_bad(y, 17, 0)), "[batch 2] [y] expected finite numbers, got nan at row 1, column 0"),
    "weight": (
        lambda x, y: batches(x, y, with_bad(WEIGHT, 17)),
        "[batch 2] [sample_weight] expected finite numbers, got nan at row 1",
    ),
}


@pytest.mark.parametrize("name", BATCHES)
def test_in_a_batch_it_is_found_before_that_batch_is_trained_on(name, data):
    make, message = BATCHES[name]
    model = net()
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(iter(make(*data)), loss="mse", optimizer="adam", verbose=0)
    assert model.optimizer.steps == 2 and all(np.isfinite(v).all() for v in values(model).values())


# ---- out of the math -------------------------------------------------------------------------------------------------------------


def log_of_negative(pred, target):
    return lm.mean(lm.log(pred * pred - 0.01) * target, axis=1)


def by_zero(pred, target):
    return lm.mean((pred - target) / (target - target), axis=1)


MATH = {
    "log": (log_of_negative, 1e-3, r"ln\(.*\), in L = .*: nan at row \d+, column \d+ of the batch"),
    "division": (by_zero, 1e-3, r"\(Z2 - Y\) / \(Y - Y\), in L = .*: -?inf at row 0, column 0 of the batch"),
    "explosion": ("mse", 1e30, r"(L = .*|Z2 = A1 W2 \+ 1 b2\^T \(dense_2\)): -?(inf|nan) at row"),
}
FEEDS = {
    "arrays": lambda x, y: {"x": x, "y": y, "batch_size": 8},
    "arrays with callbacks": lambda x, y: {
        "x": x, "y": y, "batch_size": 8, "callbacks": lm.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: None)
    },
    "in order": lambda x, y: {"x": x, "y": y, "batch_size": 8, "shuffle": False, "sample_weight": WEIGHT, "metrics": ["mae"]},
    "batches": lambda x, y: {"x": batches(x, y), "metrics": ["mae"]},
}  # fmt: skip


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", MATH)
def test_a_loss_that_is_not_finite_says_where_it_began(name, feed, data):
    loss, lr, bad = MATH[name]
    model = net().compile(loss, lm.optim.SGD(lr))
    before = values(model)
    with pytest.raises(
        FloatingPointError, match=rf"got -?(nan|inf) at batch \d of epoch 1, counted from 1; first bad value: .*{bad}"
    ) as raised:
        model.fit(**FEEDS[feed](*data), epochs=3, verbose=0)
    assert "the parameters from before this epoch are back" in str(raised.value)
    assert all(np.array_equal(before[k], v) for k, v in values(model).items()) and model.optimizer.steps == 0
    again = net().compile("mse", lm.optim.SGD(1e-3))
    histories = [m.compile("mse", lm.optim.SGD(1e-3)).fit(*data, epochs=2, verbose=0)["loss"] for m in (model, again)]
    assert np.array_equal(*histories)  # it trains like one that never failed


def test_the_epochs_before_are_kept(data):
    """A loss that turns bad in the third epoch: weights and history are those after the second."""
    x, y = data
    phase = lm.Parameter(np.ones((), np.float32), name="phase", trainable=False)

    def later(epoch):
        phase.value = 0.0 if epoch == 2 else 1.0

    def train(epochs):
        phase.value = 1.0
        model = net().compile(lambda pred, t: lm.mean((pred - t) ** 2 / phase), "adam")
        callback = lm.callbacks.LambdaCallback(on_epoch_begin=later)
        return model, lambda: model.fit(x, y, epochs=epochs, callbacks=callback, verbose=0)

    model, fit = train(5)
    with pytest.raises(FloatingPointError, match=r"at batch 1 of epoch 3, counted from 1; first bad value: .* / phase"):
        fit()
    other, fit = train(2)
    history = fit()
    phase.value = 0.0
    assert len(model.history) == 2 and np.array_equal(model.history["loss"], history["loss"])
    assert all(np.array_equal(v, other.parameters[k]) for k, v in values(model).items() if k != "phase")
    assert model.optimizer.steps == other.optimizer.steps


def test_a_weight_that_is_not_finite_is_named(data):
    model = net().compile("mse", "sgd")
    model.parameters["dense_2.weight"] = with_bad(np.ones((6, 2)), 3, 1)
    with pytest.raises(FloatingPointError, match=re.escape("first bad value: W2 (dense_2.weight): nan at row 3, column 1;")):
        model.fit(*data, verbose=0)


def test_a_bad_batch_among_good_ones_is_the_one_named(data):
    """Found in the shuffled order, by the values with the weights of that very step: dropout and batch statistics included."""
    x, y = data
    x = with_bad(x, 21, 0, value=3e20)  # finite, but its square is not
    model = lm.Sequential(lm.Dropout(0.5), lm.Lambda(lambda t: t * t), lm.Dense(2), seed=0)
    order = lm._core.permutation(N, 0, 0)
    batch, row = divmod(int(np.flatnonzero(order == 21)[0]), 8)
    with pytest.raises(FloatingPointError) as raised:
        model.fit(x, y, loss="mse", optimizer="adam", epochs=9, batch_size=8, verbose=0)
    if "epoch 0" in str(raised.value):  # unless dropout has left it out
        assert f"at batch {batch} " in str(raised.value) and f": inf at row {row}, column 0 of the batch" in str(raised.value)
    assert "(lambda_1)" in str(raised.value)


@pytest.mark.parametrize("make", [lm.optim.LBFGS, lm.optim.LevenbergMarquardt], ids=["lbfgs", "lm"])
def test_optimizers_of_all_data_say_it_too(make, data):
    x, y = data
    divide = lm.Sequential(lm.Dense(6, "tanh"), lm.Lambda(lambda t: t / (t - t)), lm.Dense(2), seed=0).build(4)
    before = values(divide)
    with pytest.raises(
        FloatingPointError, match=r"epoch 1, counted from 1; first bad value: .* / .* \(lambda_1\): -?inf at row 0, column 0"
    ) as raised:
        divide.fit(x, y, loss="mse", optimizer=make(), epochs=3, verbose=0)
    assert str(raised.value).endswith(
        "those from before this step. Look for extreme values in the data, scale inputs and targets to about one"
    )
    assert all(np.array_equal(before[k], v) for k, v in values(divide).items()) and divide.optimizer.steps == 0


def test_a_guarded_step_changes_nothing_and_an_open_one_goes_on():
    """`train_step` gives the loss as it is; `fit` ends before the update."""
    x, y = np.full((2, 4), 1e30, np.float32), np.zeros((2, 2), np.float32)
    model = net().compile("mse", "sgd")
    model.train_step(np.ones((2, 4)), y)
    before = values(model)
    with pytest.raises(FloatingPointError, match=r"got nan at batch 1 of epoch 1, counted from 1; first bad value: ln\(Z2"):
        model.compile(log_of_negative, "sgd").fit(x * 0, y, verbose=0)
    assert all(np.array_equal(before[k], v) for k, v in values(model).items())
    model = lm.Sequential(lm.Dense(2), seed=0).build(4).compile("mse", "sgd")
    assert not np.isfinite(model.train_step(x, y)) and model.optimizer.steps == 1
