"""What Levenberg-Marquardt and L-BFGS share, as optimizers of all data at once: stops, freezing, checkpoints, what they refuse."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import lamina as lm
from fitting import sinc, small
from lamina.training import problems


@pytest.mark.parametrize("optimizer", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS])
def test_a_network_without_weights_is_at_its_minimum(optimizer):
    x = lm.Input(3)
    net = lm.Model(x, lm.tanh(x))
    history = net.fit(np.ones((4, 3)), np.ones((4, 3)), loss="mse", optimizer=optimizer(), epochs=5, verbose=0)
    assert net.optimizer.stop_reason == "gradient"
    np.testing.assert_allclose(history.history["loss"], [(1 - np.tanh(1)) ** 2], rtol=1e-6)


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS], ids=["lm", "lbfgs"])
def test_a_learning_rate_is_refused(make, tmp_path):
    x, y = sinc(60)
    net, optimizer = small(), make()
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=3, verbose=0)
    with pytest.raises(ValueError, match="expected no learning rate, got lr = 5; each step finds its own length"):
        optimizer.lr = 5
    net.save(tmp_path / "net", optimizer=True)
    loaded = lm.load(tmp_path / "net")
    np.testing.assert_array_equal(*(n.fit(x, y, epochs=3, verbose=0)["loss"] for n in (net, loaded)))
    with pytest.raises(ValueError, match="expected an optimizer with a learning rate"):
        net.fit(x, y, epochs=9, callbacks=lm.callbacks.ReduceLROnPlateau("loss", patience=0, threshold=1.0), verbose=0)


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS], ids=["lm", "lbfgs"])
def test_the_stop_by_validation_puts_the_best_weights_back(make, rng):
    x = rng.normal(size=(30, 3))
    y = rng.normal(size=30)  # noise: what is learned is of no use
    net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
    optimizer = make(max_fail=3)
    history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=100, validation_split=0.3, verbose=0)
    assert optimizer.stop_reason == "validation"
    losses = history.history["val_loss"]
    assert len(losses) == int(np.argmin(losses)) + 4
    assert net.evaluate(x, y)["loss"] >= history.history["loss"].min()


@pytest.mark.parametrize("goal", [1e-2, 0.0])
def test_a_fit_that_goes_on_after_its_stop_knows_why_it_stopped(goal, tmp_path, capsys):
    x = np.linspace(-1, 1, 30)[:, None]
    fit = {"loss": "mse", "epochs": 50, "callbacks": lm.callbacks.Checkpoint(tmp_path / "net")}
    for resume in (None, tmp_path / "net"):
        net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
        rule = lm.optim.LevenbergMarquardt(goal=goal, min_grad=1e-3)
        history = net.fit(x, x**2, optimizer=rule, resume=resume, verbose=resume is not None, **fit)
        assert rule.stop_reason == ("goal" if goal else "gradient") and len(history) < 50
    assert capsys.readouterr().err == f"stopped after epoch {len(history)}: {rule.stop_reason}\n"


def test_a_stop_of_ones_own_takes_the_place_of_that_by_validation_if_it_watches_the_same(rng):
    x, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    lengths = []
    for stop in (
        None,
        lm.callbacks.EarlyStopping("loss", patience=50),
        lm.callbacks.EarlyStopping("val_loss", patience=8),
    ):
        optimizer = lm.optim.LevenbergMarquardt(max_fail=3)
        net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), seed=0)
        net.fit(x, y, loss="mse", optimizer=optimizer, epochs=100, validation_split=0.3, callbacks=stop, verbose=0)
        assert optimizer.stop_reason == "validation"
        lengths.append(len(net.history))
    assert lengths[0] == lengths[1] < lengths[2]
    net.fit(x, y, epochs=50, callbacks=lm.callbacks.EarlyStopping("loss", patience=1, min_delta=1e3), verbose=0)
    assert len(net.history) == 2 and optimizer.stop_reason is None


@pytest.mark.parametrize("threads_used", [1, 2])
def test_bits_do_not_depend_on_threads(threads, threads_used):
    threads(threads_used)
    x, y = sinc(3000)
    net = small()
    net.fit(x, y, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=4, verbose=0)
    key = "weights"
    weights = np.concatenate([p.ravel() for p in net.parameters.values()])
    kept = test_bits_do_not_depend_on_threads.__dict__.setdefault(key, weights)
    np.testing.assert_array_equal(weights, kept)


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS], ids=["lm", "lbfgs"])
def test_without_a_target_there_is_no_fit(make, rng):
    x, y, one = rng.normal(size=(20, 3)), np.full(20, np.nan), np.arange(20) == 0
    loss = lm.losses.MSE(mask_nan=True)
    for targets, weight in ((y, None), (np.where(one, np.nan, 1.0), one.astype(float))):
        net = lm.Sequential(lm.Dense(1), seed=0)
        with pytest.raises(ValueError, match=r"\[fit\] expected a target that counts for output 'output', got none"):
            net.fit(x, targets, sample_weight=weight, loss=loss, optimizer=make(), verbose=0)


def test_options_that_are_assigned_are_checked_and_kept(tmp_path):
    x, y = sinc(60)
    bayesian = lm.optim.LevenbergMarquardt()
    bayesian.bayesian = True  # on which defaults hang
    assert (bayesian.mu, bayesian.max_fail) == (5e-3, 0)
    small().fit(x, y, loss="mse", optimizer=bayesian, verbose=0)
    assert "curvature" not in bayesian.state  # it knows nothing of the penalty
    for make, good, bad, kept in (
        (lm.optim.LevenbergMarquardt, {"goal": 0.01, "scaling": "identity", "mu": 0.02}, {"mu_inc": 0.5, "goall": 1}, "curvature"),
        (lm.optim.LBFGS, {"goal": 0.01, "max_evaluations": 7}, {"tol_grad": -1, "histori": 2}, "history"),
    ):
        net, optimizer = small(), make()
        changed = type(optimizer)(**{kept: 3 if kept == "history" else False})
        setattr(optimizer, kept, getattr(changed, kept))  # before the first step
        assert repr(optimizer) == repr(changed)
        net.fit(x, y, loss="mse", optimizer=optimizer, epochs=2, verbose=0)
        for name, value in good.items():
            setattr(optimizer, name, value)
        for name, value in bad.items():
            with pytest.raises((ValueError, AttributeError), match=r"\[optim\.\w+\] expected"):
                setattr(optimizer, name, value)
        with pytest.raises(ValueError, match=f"expected {kept} to stay .*; make a new optimizer"):
            setattr(optimizer, kept, 20 if kept == "history" else True)
        net.save(tmp_path / "net.safetensors", optimizer=True)
        for again in (lm.load(tmp_path / "net.safetensors"), copy.deepcopy(net)):
            assert repr(again.optimizer) == repr(optimizer) == repr(make(**good, **{kept: getattr(optimizer, kept)}))
            again.fit(x, y, epochs=1, verbose=0)
        net.fit(x, y, epochs=1, verbose=0)
        np.testing.assert_array_equal(net.predict(x), again.predict(x))


@pytest.mark.parametrize("way", ["weights", "mask_nan"])
def test_what_carries_no_weight_is_no_data(way, rng):
    """300 rows that are left out change neither how many weights the data determine nor the weights."""
    x, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    more, left_out = np.concatenate([x, rng.normal(size=(300, 2))]), np.repeat([False, True], [60, 300])
    targets = np.concatenate([y, rng.normal(size=300)])
    arguments = {"sample_weight": np.where(left_out, 0.0, 1.0)} if way == "weights" else {}
    targets[left_out] = np.nan if way == "mask_nan" else targets[left_out]
    found = []
    for data, options in (((x, y), {}), ((more, targets), arguments)):
        net = lm.Sequential(lm.Dense(5, "tanh"), lm.Dense(1), seed=0, dtype="float64")
        optimizer = lm.optim.LevenbergMarquardt(bayesian=True)
        net.fit(*data, loss=lm.losses.MSE(mask_nan=way == "mask_nan"), optimizer=optimizer, epochs=20, verbose=0, **options)
        found.append([optimizer.effective_parameters, *np.concatenate([p.ravel() for p in net.parameters.values()])])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS], ids=["lm", "lbfgs"])
@pytest.mark.parametrize("within", [False, True])
def test_layers_freeze_between_and_within_fits(make, within, tmp_path):
    x, y = sinc(60)
    net = small()
    frozen = {}

    def freeze(epoch, logs):
        if epoch == 2:
            net.layers[0].trainable = False
            frozen.update(net.parameters.items())

    callbacks = [lm.callbacks.LambdaCallback(on_epoch_end=freeze), lm.callbacks.Checkpoint(tmp_path / "net")]
    net.fit(x, y, loss="mse", optimizer=make(), epochs=6 if within else 3, callbacks=callbacks, verbose=0)
    if not within:
        net.fit(x, y, epochs=3, verbose=0)
    assert net.optimizer.steps == 6
    for name, value in net.parameters.items():
        assert np.array_equal(value, frozen[name]) == name.startswith("dense_1")
    fresh = lm.load(tmp_path / "net") if within else None
    net.layers[0].trainable = True
    before = net.history["loss"][-1]
    assert net.fit(x, y, epochs=3, verbose=0)["loss"][-1] < before
    assert fresh is None or fresh.optimizer.steps == 6


def test_after_freezing_the_state_is_that_of_a_first_fit():
    x, y = sinc(60)
    losses = []
    for first in (0, 3):
        net = small(dtype="float64").build(1).compile("mse", lm.optim.LevenbergMarquardt())
        start = dict(net.parameters.items())
        net.fit(x, y, epochs=first, verbose=0)
        net.parameters.update(start)
        net.layers[0].trainable = False
        losses.append(net.fit(x, y, epochs=3, verbose=0)["loss"])
    np.testing.assert_array_equal(*losses)


def test_more_weights_than_there_is_room_for_are_refused_before_anything_is_made():
    resource = pytest.importorskip("resource")
    net = lm.Sequential(lm.Dense(200, "tanh"), lm.Dense(200, "tanh"), lm.Dense(1), seed=0)
    x = np.ones((50_000, 1))
    with pytest.raises(ValueError, match=r"expected at most 32768 weights, got 40801: it keeps 4 times P\^2 numbers .* 53.3 GB"):
        net.fit(x, x, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), verbose=0)
    net = lm.Sequential(lm.Dense(100, "tanh"), lm.Dense(100, "tanh"), lm.Dense(1), seed=0).build(1)
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 31), before[1]))  # less than the 3.46 GB wanted
        with pytest.raises(MemoryError, match=r"\[optim.LevenbergMarquardt\] .* 3.46 GB, got none; use LBFGS or Adam"):
            net.fit(x, x, loss="mse", optimizer=lm.optim.LevenbergMarquardt(), verbose=0)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    history = net.fit(x[:50], x[:50], loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=2, verbose=0)
    assert len(history) == 2  # n < P: no matrix of P^2


def test_other_losses_and_batches_are_refused():
    x, y = sinc(20)
    with pytest.raises(ValueError, match="expected the loss 'mse'"):
        small().fit(x, y, loss="mae", optimizer=lm.optim.LevenbergMarquardt(), verbose=0)
    with pytest.raises(TypeError, match="expected all data at once"):
        small().compile("mse", lm.optim.LevenbergMarquardt()).train_step(x, y)


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenbergmarquardt"])
def test_what_shows_a_network_works_without_steps_by_batch(optimizer, tmp_path):
    x, y = np.linspace(-1, 1, 20).reshape(10, 2), np.linspace(0, 1, 10)[:, None]
    net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0).compile("mse", optimizer)
    for call in (lambda: net.train_step(x, y), lambda: net.fit([(x, y)], verbose=0)):
        with pytest.raises(
            TypeError, match=r"got a batch, which train_step and an iterable of batches give; call net.fit\(x, y, epochs=1\)"
        ):
            call()
    adam = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0).compile("mse", "adam")
    assert all(np.array_equal(g, adam.gradients(x, y)[name]) for name, g in net.gradients(x, y).items())
    assert net.evaluate(x, y) == adam.evaluate(x, y) and net.summary() == adam.build(2).summary()
    for level in ("shapes", "values", "derive"):
        assert "dW" in net.explain(x, y, level=level)
    net.draw(tmp_path / "net.svg", x, y)
    assert len(net.trace(x, y).backward) == len(adam.trace(x, y).backward) and "W1" in net.inspect(x, y)
    before = {name: net.parameters[name] for name in net.parameters}
    profile, forward = net.profile(x, y, repeats=2), net.profile(x, repeats=2)
    assert profile.about["program"] == "gradients" and profile.flops > 2 * forward.flops
    assert "gradients" in str(profile) and net.profile(x, y, np.ones(10), repeats=2).flops >= profile.flops
    assert all(np.array_equal(net.parameters[name], value) for name, value in before.items()) and net.optimizer.steps == 0
    net.fit(x, y, epochs=2, verbose=0)
    net.save(tmp_path / "net.safetensors", optimizer=True)
    assert lm.load(tmp_path / "net.safetensors").profile(x, y, repeats=2).about["program"] == "gradients"


def test_callbacks_metrics_and_an_interruption():
    x, y = sinc()
    seen = []

    def stop(epoch, logs):
        seen.append(logs)
        if epoch == 4:
            raise KeyboardInterrupt

    net = small()
    callback = lm.callbacks.LambdaCallback(on_epoch_end=stop)
    optimizer = lm.optim.LevenbergMarquardt()
    history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=50, metrics=["mae"], callbacks=[callback], verbose=0)
    assert history.interrupted
    assert {"loss", "mae"} <= set(seen[-1])
    np.testing.assert_allclose(net.evaluate(x, y)["loss"], history.history["loss"][-1], rtol=1e-6)
    before = history.history["loss"][-1]
    assert net.fit(x, y, epochs=3, verbose=0).history["loss"][-1] < before


@pytest.mark.parametrize(
    "make",
    [
        lm.optim.LevenbergMarquardt,
        lambda: lm.optim.LevenbergMarquardt(scaling="identity", curvature=False),
        lambda: lm.optim.LBFGS(history=4),
    ],
    ids=["lm", "trainlm", "lbfgs"],
)
def test_a_checkpoint_goes_on_with_the_same_bits(make, tmp_path):
    x, y = sinc()
    path = tmp_path / "at.safetensors"

    def train(epochs, within=None, **options):
        net = small()
        checkpoint = lm.callbacks.Checkpoint(path, every_batches=within, every=1 if within is None else 99)
        net.fit(x, y, loss="mse", optimizer=make(), epochs=epochs, verbose=0, callbacks=[checkpoint], **options)
        return dict(net.parameters.items())

    whole = train(12)
    for within in (None, 1):  # 1: between the step and the end of its epoch
        train(6, within)
        for name, value in train(12, resume=path).items():
            np.testing.assert_array_equal(value, whole[name])


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenbergmarquardt"])
def test_a_step_begins_at_the_weights_that_a_callback_wrote(optimizer, rng):
    x = rng.normal(size=(30, 1))

    def write(epoch, logs):
        if epoch == 1:
            net.parameters["dense_1.weight"] = [[7.0]]

    net = lm.Sequential(lm.Dense(1, "tanh"), lm.Dense(1), seed=0, dtype="float64")
    callback = lm.callbacks.LambdaCallback(on_epoch_end=write)
    losses = net.fit(x, np.tanh(x), loss="mse", optimizer=optimizer, epochs=60, callbacks=callback, verbose=0)["loss"]
    assert losses[2] > losses[1] > 1e3 * losses[-1]


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenbergmarquardt"])
def test_what_a_callback_compiles_is_for_the_next_fit(optimizer):
    x = np.linspace(-2, 2, 30)[:, None]

    def losses(*callbacks):
        net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(1), seed=0, dtype="float64")
        several = [make(net) for make in callbacks]
        return net.fit(x, np.sin(x), loss="mse", optimizer=optimizer, epochs=6, callbacks=several, verbose=0)["loss"]

    def compiling(net):
        return lm.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: net.compile("mse", "adam") if epoch == 2 else None)

    np.testing.assert_array_equal(losses(compiling), losses())


@pytest.mark.parametrize("samples", [3, 30])  # fewer than weights, and more
@pytest.mark.parametrize("optimizer", ["lbfgs", "levenbergmarquardt"])
def test_a_gradient_that_is_not_finite_where_the_loss_is(optimizer, samples, rng):
    x = lm.Input(3)
    net = lm.Model(x, lm.norm(lm.Dense(4, bias=False)(x), -1, keepdims=True), seed=0)
    data = rng.normal(size=(samples, 3))
    data[1] = 0
    with pytest.raises(FloatingPointError, match=r"one of the gradient, as a norm's at 0 \(the loss is finite\); the"):
        net.fit(data, np.ones((samples, 1)), loss="mse", optimizer=optimizer, epochs=5, verbose=0)


@pytest.mark.parametrize("samples", [20, 3000])
@pytest.mark.parametrize(
    "make",
    [
        lm.optim.LevenbergMarquardt,
        lambda: lm.optim.LevenbergMarquardt(1e-8, scaling="identity", acceleration=False),
        lm.optim.LBFGS,
    ],
)
def test_a_step_to_where_a_matrix_has_no_factor_is_too_long(make, samples, rng):
    x = lm.Input(1, dtype="float64")
    a = lm.Parameter(np.ones((1, 1)), name="a", dtype="float64")
    net = lm.Model(x, x @ lm.linalg.cholesky(a), dtype="float64")
    data = rng.normal(size=(samples, 1))
    losses = net.fit(data, 0.01 * data, loss="mse", optimizer=make(), epochs=50, verbose=0).history["loss"]
    assert losses[-1] < 1e-12
    np.testing.assert_allclose(net.parameters["a"], [[1e-4]], rtol=1e-6)
    net.parameters["a"] = [[-1.0]]  # not where the way begins
    with pytest.raises(lm.linalg.LinAlgError, match=r"\[cholesky\] expected a positive definite matrix"):
        net.fit(data, 0.01 * data, epochs=1, verbose=0)


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lm.optim.LBFGS])
@pytest.mark.filterwarnings("error")
def test_gradients_whose_squares_are_beyond_float64_pass_without_warnings(make, rng):
    x = lm.Input(1, dtype="float64")
    net = lm.Model(x, x * lm.Parameter(np.ones(1), name="a", dtype="float64") * 1e80, dtype="float64")
    history = net.fit(rng.normal(size=(20, 1)), np.zeros((20, 1)), loss="mse", optimizer=make(), epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_configurations_make_equal_optimizers():
    for optimizer in (
        lm.optim.LevenbergMarquardt(1e-2, bayesian=True),
        lm.optim.LBFGS(history=7),
        lm.optim.Muon(0.02, momentum=0.9),
    ):
        again = type(optimizer).from_config(optimizer.config())
        assert repr(again) == repr(optimizer)
        assert isinstance(lm.optim.get(type(optimizer).__name__.lower()), type(optimizer))


@pytest.mark.parametrize("make", [lm.optim.LevenbergMarquardt, lambda: lm.optim.LBFGS(history=4)], ids=["lm", "lbfgs"])
@pytest.mark.parametrize("ending", ["epochs", "interruption", "error"])
def test_after_a_fit_a_network_is_copied_and_goes_on_with_the_same_bits(make, ending):
    x, y = sinc(60)
    copies = []

    def end(epoch, logs):
        copies.append(copy.deepcopy(net))  # and within one
        if epoch == 4 and ending != "epochs":
            raise KeyboardInterrupt if ending == "interruption" else OSError

    net = small()
    with contextlib.suppress(OSError):
        callback = lm.callbacks.LambdaCallback(on_epoch_end=end)
        net.fit(x, y, loss="mse", optimizer=make(), epochs=5, callbacks=[callback], verbose=0)
    several = [net, pickle.loads(pickle.dumps(net)), copy.deepcopy(net), copies[-1]]
    assert len(copies) == 5
    losses = [n.fit(x, y, epochs=4, verbose=0)["loss"] for n in several]
    for other in losses[1:]:
        np.testing.assert_array_equal(other, losses[0])


@pytest.mark.parametrize("optimizer", [lm.optim.LevenbergMarquardt(), lm.optim.LBFGS()], ids=["lm", "lbfgs"])
def test_after_a_fit_nothing_holds_its_data(optimizer):
    x, y = sinc(60)
    net = small(dtype="float64")
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=2, verbose=0)
    data = weakref.ref(x)
    del x
    gc.collect()
    assert data() is None


def test_a_layer_frozen_by_another_thread_as_a_fit_begins(monkeypatch):
    """The state had room for all weights, the network's math for those of the other layer: "do not fill"."""
    net = lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(1), seed=0).build(2)
    build = problems.squared_errors
    freezes = threading.Thread(target=setattr, args=(net.layers[0], "trainable", False))

    def late(*of):
        if not freezes.ident:
            freezes.start()
            freezes.join(0.3)
        return build(*of)

    monkeypatch.setattr(problems, "squared_errors", late)
    x = np.linspace(-1, 1, 40).reshape(20, 2)
    losses = net.fit(x, x[:, :1], loss="mse", optimizer=lm.optim.LevenbergMarquardt(), epochs=3, verbose=0).history["loss"]
    freezes.join()
    assert losses[-1] < losses[0] and not net.layers[0].trainable
