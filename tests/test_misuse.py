"""What people get wrong without a word: each is an error, or a warning, that says what to do."""

import copy
import warnings

import numpy as np
import pytest

import lamina as lm
from lamina.inputs.data import prepare

X = np.random.default_rng(0).standard_normal((8, 4))
Y = X.sum(axis=1)


def network(units=1):
    return lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(units), seed=0)


# ---- tables ----


DAYS = ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]
NAMES = {
    "numbers": lambda pandas: [3, 1, 0, 2],
    "years": lambda pandas: [2020, 2021, 2022, 2023],
    "fractions": lambda pandas: [0.5, 1.5, 2.5, 3.5],
    "days": lambda pandas: pandas.to_datetime(DAYS),
    "levels": lambda pandas: pandas.MultiIndex.from_product([["a", "b"], [1, 2]]),
    "names that stand twice": lambda pandas: ["a", "a", "b", "b"],
}


@pytest.mark.parametrize("case", NAMES)
def test_columns_whose_names_are_no_text_keep_their_order(case, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=NAMES[case](pandas))
    net = network()
    net.fit(frame, Y, loss="mse", optimizer="adam", verbose=0)
    net.save(tmp_path / "net")
    same = net.predict(frame)
    turned = frame.iloc[:, ::-1]
    for model in (net, lm.load(tmp_path / "net")):
        assert all(type(name) is str for name in model.columns["x"])
        with pytest.raises(ValueError, match=r"\[x\] expected column .* as number 0, as fit was given it, got it as") as error:
            model.predict(turned)
        remedy = str(error.value).partition("; ")[2]
        if case != "names that stand twice":
            assert np.array_equal(model.predict(eval(remedy.removeprefix("pass "), {"x": turned})), same)
        for other in (frame, frame.to_numpy(), frame.set_axis(list("wxyz"), axis=1), frame.set_axis(range(4), axis=1)):
            assert np.array_equal(model.predict(other), same)


@pytest.mark.filterwarnings("error")
def test_columns_of_other_days_are_other_columns():
    """Windows of a series: each table has names of its own, some of which stood elsewhere in the one before."""
    pandas = pytest.importorskip("pandas")
    net = network()
    net.fit(pandas.DataFrame(X, columns=[2020, 2021, 2022, 2023]), Y, loss="mse", optimizer="adam", verbose=0)
    net.predict(pandas.DataFrame(X, columns=[2021, 2022, 2023, 2024]))


def test_columns_of_texts_and_numbers_are_told_as_they_are_written():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", 1, "b", 2])
    net = network()
    net.fit(frame, Y, loss="mse", optimizer="adam", verbose=0)
    with pytest.raises(ValueError, match=r"pass x\[\['a', 1, 'b', 2\]\]"):
        net.predict(frame.iloc[:, ::-1])
    frame = frame.astype(object)
    frame.iloc[2, 1] = "3"
    with pytest.raises(TypeError, match=r"got '3' at row 2, column 1; read the text as numbers: pandas.to_numeric\(x\[1\]\)"):
        prepare(frame, Y)


# ---- arrays ----


HIDDEN = np.ma.masked_array([1.0, 2.0, 3.0, 4.0], [False, True, False, False])


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda rows: network().predict(rows), "x"),
        (lambda rows: network(4).fit(X[:2], tuple(rows), loss="mse", optimizer="sgd"), "y"),
        (lambda rows: lm.exp(rows), "exp"),
        (lambda rows: lm.metrics.mae(X[:2], rows), "mae"),
        (lambda rows: lm.losses.mse(X[:2], rows), r"MSE\(\)"),
    ],
)
def test_masks_of_rows_in_a_list_are_told(call, where):
    """NumPy makes an array of what is behind the masks, without a word."""
    with pytest.raises(ValueError, match=rf"\[{where}\] .* with a masked array; pass np.ma.stack\(.*\).filled\(value\)"):
        call([np.ma.masked_array(np.ones(4)), HIDDEN])
    call([np.ma.masked_array(np.ones(4)), HIDDEN.filled(0.0)])


# ---- what counts ----


NOTHING = {
    "weights of 0": ("mse", Y, np.zeros(8)),
    "targets that are NaN": (lm.losses.MSE(mask_nan=True), np.full(8, np.nan), None),
}


@pytest.mark.parametrize("case", NOTHING)
def test_batches_of_which_nothing_counts_are_told(case):
    """Their loss is NaN, and nothing is learned; of an array without a target that counts fit makes an error."""
    loss, y, weight = NOTHING[case]
    batch = (X, y) if weight is None else (X, y, weight)
    with pytest.warns(UserWarning, match=r"\[fit\] expected a target that counts for output 'output', got none"):
        network().fit([batch], loss=loss, optimizer="adam", verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(network().fit([batch, (X, Y)], loss=loss, optimizer="adam", verbose=0).history["loss"]).all()


# ---- files and checkpoints ----


class Momentum(lm.optim.Optimizer):
    slots = ("m",)

    def update(self, w, g, state, lr, t):
        m = 0.9 * state["m"] + g
        return w - lr * m, {"m": m}


@pytest.mark.parametrize("optimizer", [lambda: Momentum(0.01), lambda: lm.optim.Adam(lambda t: 0.01 / (1 + t))])
def test_load_says_that_the_state_of_an_optimizer_of_ones_own_is_left_out(optimizer, tmp_path):
    net, path = network(), tmp_path / "net.safetensors"
    checkpoint = lm.callbacks.Checkpoint(tmp_path / "checkpoint.safetensors")
    net.fit(X, Y, loss="mse", optimizer=optimizer(), epochs=2, callbacks=checkpoint, verbose=0)
    net.save(path, optimizer=True)
    with pytest.warns(UserWarning, match=r"\[load .*net.safetensors\] the file has no optimizer .*; given again, it begins anew"):
        assert lm.load(path).optimizer is None
    with pytest.warns(UserWarning, match=r"fit\(..., resume=path\) of a network with that optimizer"):
        lm.load(checkpoint.last)
    network().fit(X, Y, loss="mse", optimizer=optimizer(), epochs=3, resume=checkpoint.last, verbose=0)
    net.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lm.load(path)
        copy.deepcopy(net)


def trained(tmp_path, optimizer, **options):
    """A network of two epochs, and where it was saved."""
    saver = lm.callbacks.Checkpoint(tmp_path / "checkpoint.safetensors")
    callbacks = [*options.pop("callbacks", ()), saver]
    net = network()
    net.fit(X, Y, loss="mse", optimizer=optimizer, epochs=2, callbacks=callbacks, verbose=0, **options)
    return net, {"resume": saver.last, "loss": "mse", "verbose": 0}


def test_a_rate_that_a_checkpoint_does_not_have_is_told(tmp_path):
    """The rate of the file goes on, as a callback may have lowered it."""
    _, options = trained(tmp_path, lm.optim.SGD(0.01))
    net = network()
    with pytest.warns(UserWarning, match=r"\[resume\] expected the learning rate that the training began with, 0.01, got 0.5;"):
        net.fit(X, Y, optimizer=lm.optim.SGD(0.5), epochs=3, **options)
    assert net.optimizer.lr == 0.01
    callback = lm.callbacks.LambdaCallback(on_fit_begin=lambda: setattr(net.optimizer, "lr", 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = network()
        net.fit(X, Y, optimizer=lm.optim.SGD(0.01), epochs=3, callbacks=callback, **options)
    assert net.optimizer.lr == 0.5
    _, options = trained(tmp_path, lm.optim.SGD(lm.schedules.Cosine(0.01, 50)))
    with pytest.warns(UserWarning, match=r"began with, Cosine\(0.01, 50\), got 0.01;"):
        network().fit(X, Y, optimizer=lm.optim.SGD(0.01), epochs=3, **options)


@pytest.mark.filterwarnings("error")
def test_a_rate_that_was_lowered_goes_on_without_a_word(tmp_path):
    """Twice over: what it began with is in each checkpoint."""
    lower = lm.callbacks.ReduceLROnPlateau("loss", patience=0, threshold=1e9)
    net, options = trained(tmp_path, lm.optim.SGD(0.01), callbacks=[lower])
    assert net.optimizer.lr < 0.01
    net.fit(X, Y, epochs=3, callbacks=[lower], resume=options["resume"], verbose=0)  # whose rate is the lowered one
    for epochs in (3, 4):
        saver = lm.callbacks.Checkpoint(options["resume"])
        network().fit(X, Y, optimizer=lm.optim.SGD(0.01), epochs=epochs, callbacks=[lower, saver], **options)


def test_a_training_that_was_stopped_says_that_it_does_not_go_on(tmp_path):
    stop = lm.callbacks.EarlyStopping("loss", patience=1, min_delta=1e9)
    _, options = trained(tmp_path, "sgd", callbacks=[stop])
    patient = lm.callbacks.EarlyStopping("loss", patience=5)
    with pytest.warns(UserWarning, match=r"\[resume\] expected a training to go on with, got one .* stopped after epoch 2 of 9;"):
        assert len(network().fit(X, Y, optimizer="sgd", epochs=9, callbacks=patient, **options)) == 2
    net = lm.load(options["resume"])
    assert len(net.fit(X, Y, epochs=9, callbacks=patient, verbose=0)) > 2


def test_an_optimizer_of_ones_own_of_another_class_takes_up_no_checkpoint(tmp_path):
    class Other(Momentum):
        pass

    _, options = trained(tmp_path, Momentum(0.01))
    with pytest.raises(ValueError, match=r"\[resume\] expected the optimizer that the file is of, 'Momentum', got Other;"):
        network().fit(X, Y, optimizer=Other(0.01), epochs=3, **options)
    network().fit(X, Y, optimizer=Momentum(0.01), epochs=3, **options)
