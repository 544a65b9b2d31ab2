"""fit and evaluate over an iterable of batches: lists, generators, loaders; what is wrong with them names them."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from fitting import assert_same, net, two_that_leave_out


def test_batches_without_weights_count_once_beside_those_with():
    x, y = np.linspace(-1, 1, 12).reshape(4, 3), np.arange(4.0)[:, None]
    weight = np.array([1.0, 5.0])
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(0.0), metrics="mae")
    logs = net.fit([(x[:2], y[:2], weight), (x[2:], y[2:])], verbose=0).last()
    expected = net.evaluate(x, y, sample_weight=np.array([1.0, 5.0, 1.0, 1.0]))
    np.testing.assert_allclose([logs["loss"], logs["mae"]], [expected["loss"], expected["mae"]], rtol=1e-6)


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
    with pytest.raises(ValueError, match=r"\[x\] expected an iterable of batches, nothing is left in it after the first epoch"):
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


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_logged_loss_of_several_outputs_counts_each_position_of_batches_of_several_lengths(weighted, rng):
    """One output has a target at each position, the other one a sample: each has a mean over its own, as `evaluate` gives it."""
    x = lm.placeholder((None, "T", 2), "float64")
    net = lm.Model(x, [lm.Dense(1)(x), lm.Dense(3)(lm.mean(x, axis=1))], seed=0, dtype="float64")
    net.compile(["mse", "cross_entropy"], lm.optim.SGD(0.0), loss_weights=[1.0, 0.5])
    batches = []
    for n, t in ((2, 3), (3, 5), (1, 1)):
        y = [rng.normal(size=(n, t, 1)), rng.integers(0, 3, n)]
        batches.append((rng.normal(size=(n, t, 2)), y, *([rng.uniform(0.5, 2, n)] if weighted else [])))
    positions, samples = [], []
    for a, y, *given in batches:
        weight = given[0] if given else np.ones(len(a))
        error, logits = (net.predict(a)[0] - y[0]) ** 2, net.predict(a)[1]
        lost = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(a)), y[1]]
        positions += zip(error.ravel(), np.repeat(weight, a.shape[1]), strict=True)
        samples += zip(lost, weight, strict=True)
    each = [np.average(values, weights=weights) for values, weights in (np.array(positions).T, np.array(samples).T)]
    for logged in (*net.fit(batches, epochs=2, verbose=0).history["loss"], net.evaluate(batches)["loss"]):
        assert logged == pytest.approx(each[0] + 0.5 * each[1], rel=1e-12)


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
    with pytest.warns(
        UserWarning, match="expected a target that counts for output 'output', got none"
    ):  # of what is to come, some may
        assert np.isnan(model.fit(Loader(x, y, 0 * weight), verbose=0)["loss"][0])


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
