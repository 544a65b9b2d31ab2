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


class Own(lm.losses.Loss):
    def __init__(self, math):
        self.math = math

    def elements(self, pred, target):
        return self.math(pred, target)


class Kept(Own):
    def keep(self, pred, target):
        return target > 0.1


@pytest.mark.parametrize("kind", [Own, Kept])
def test_elements_of_a_loss_of_ones_own_that_take_all_pairs_are_told(kind):
    def train(math):
        network().fit(X, np.abs(Y), loss=kind(math), optimizer="sgd", verbose=0)

    with pytest.warns(UserWarning, match=r"expected predictions and targets that meet in one shape, got \(B,\) and \(B, 1\)"):
        train(lambda p, t: (p[:, 0] - t) ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for math in (lambda p, t: (p - t) ** 2, lambda p, t: (p[:, 0] - t[:, 0]) ** 2):
            train(math)
        if kind is Own:
            train(lambda p, t: (lm.transpose(p) - t) ** 2)


def squared(y_true, y_pred):
    return np.mean((y_true - y_pred) ** 2)


def of_columns(y_true, y_pred):
    return np.mean(np.square(np.log(9.0 + y_true) - np.log(9.0 + y_pred[:, 0])))


def counted(y_true, y_pred):
    return float(np.count_nonzero(np.equal(y_true > 0, y_pred.reshape(-1) > 0)))


@pytest.mark.parametrize("metric", [of_columns, counted])
def test_a_metric_of_ones_own_that_takes_all_pairs_is_told(metric):
    """fit and evaluate give a target (n,) of predictions (n, 1) as (n, 1) where there is a loss."""
    net = network().compile("mse", "sgd")
    told = rf"\[metrics\] expected targets and predictions that meet in one shape in '{metric.__name__}', got \(8, 1\) and \(8,\)"
    for call in (
        lambda: net.evaluate(X, np.abs(Y), metrics=[metric]),
        lambda: net.fit(X, np.abs(Y), metrics=[metric], verbose=0),
        lambda: net.fit([(X, np.abs(Y))], metrics=[metric], verbose=0),
    ):
        with pytest.warns(UserWarning, match=told):
            call()
    with pytest.warns(UserWarning, match=r"in 'squared', got \(8,\) and \(8, 1\)"):
        network().evaluate(X, Y, metrics=[squared])


def concordance(y_true, y_pred):
    return np.mean((y_true[:, 0, None] > y_true[:, 0]) == (y_pred > y_pred.T))


def product(y_true, y_pred):
    return (y_true.T @ y_pred).item() + np.dot(y_true.ravel(), y_pred)[0]


def in_place(y_true, y_pred):
    error = y_true - y_pred
    error *= error
    np.sqrt(error, out=error)
    np.divide(error, y_pred, out=error, where=y_pred != 0)
    return error.mean(axis=0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", [squared, concordance, product, in_place, lambda t, p: np.corrcoef(t.ravel(), p.ravel())])
def test_a_metric_of_ones_own_has_the_bits_of_a_plain_call(metric):
    net = network().compile("mse", "sgd")
    found = net.evaluate(X, Y, metrics=[metric])
    value = found[[*found][1]]
    assert type(value) is type(metric(Y[:, None], net.predict(X)))
    assert np.array_equal(value, metric(Y[:, None], net.predict(X)))


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
    fit = {"loss": "mse", "optimizer": "sgd", "epochs": 3, "callbacks": [stop, lm.callbacks.Checkpoint(options["resume"])]}
    for resume in (None, options["resume"]):  # the same fit once more has what it had
        assert len(network().fit(X, Y, resume=resume, verbose=0, **fit)) == 2
    net = lm.load(options["resume"])
    assert len(net.fit(X, Y, epochs=9, callbacks=patient, verbose=0)) > 2


def test_an_optimizer_of_ones_own_of_another_class_takes_up_no_checkpoint(tmp_path):
    class Other(Momentum):
        pass

    _, options = trained(tmp_path, Momentum(0.01))
    with pytest.raises(ValueError, match=r"\[resume\] expected the optimizer that the file is of, 'Momentum', got Other;"):
        network().fit(X, Y, optimizer=Other(0.01), epochs=3, **options)
    network().fit(X, Y, optimizer=Momentum(0.01), epochs=3, **options)


def test_a_checkpoint_that_writes_nothing_says_so(tmp_path):
    def fit(epochs, **options):
        saver = lm.callbacks.Checkpoint(tmp_path / "net", **options)
        network().fit(X, Y, loss="mse", optimizer="sgd", epochs=epochs, callbacks=saver, metrics=[nothing], verbose=0)
        return saver

    def nothing(y_true, y_pred):
        return float("nan")

    for options in ({"every": 3}, {"monitor": "nothing", "mode": "max"}, {"every": 3, "every_batches": 9}):
        with pytest.warns(
            UserWarning, match=r"\[Checkpoint\] expected a file .*, got none in 2 epochs of Checkpoint\(.*\); lower"
        ) as told:
            assert fit(2, **options).last is None
        assert [one.filename for one in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({}, {"every": 2}, {"every": 3, "every_batches": 1}, {"monitor": "loss"}):
            fit(2, **options)
        fit(0, every=3)
        saver = fit(3, every=3)
        network().fit(X, Y, loss="mse", optimizer="sgd", epochs=4, resume=saver.last, callbacks=saver, verbose=0)


# ---- what is assigned ----


def test_switches_of_other_libraries_are_told():
    """Assigned, they would change nothing."""
    net, layer = network(), lm.Dense(3)
    for name, value, match in (
        ("requires_grad", False, "trainable = False freezes a layer"),
        ("frozen", True, "trainable = False freezes a layer"),
        ("training", False, "there is no mode to set"),
        ("trainabel", False, "did you mean 'trainable'"),
        ("learning_rate", 0.1, "it is the optimizer's: net.optimizer.lr = "),
    ):
        for owner in (net, net.layers[0], layer):
            with pytest.raises(AttributeError, match=rf"expected an attribute that changes something, got '{name}'; {match}"):
                setattr(owner, name, value)
            assert not hasattr(owner, name)
    net.training = "at night"  # an attribute of the user's own
    for owner in (net, net.layers[0], layer):
        owner.trained, owner.train_time, owner.train_loss, owner.trainer, owner.train_size = True, 1.5, 0.1, 3, 40

    class Switched(lm.Dense):
        frozen = False

    class Mine(lm.Sequential):
        lr = 0.1

    Switched(3).frozen = True
    Mine(lm.Dense(1)).lr = 0.2


def test_options_that_a_loss_does_not_have_are_told():
    for name, value, match in (
        ("reduction", "sum", "a loss is the mean over what counts"),
        ("mask_nann", True, "did you mean 'mask_nan'"),
        ("ignore_index", 0, "another loss takes it"),
    ):
        loss = lm.losses.MSE()
        with pytest.raises(AttributeError, match=rf"\[MSE\(\)\] expected one of its options, got '{name}'; {match}"):
            setattr(loss, name, value)
    loss.note = loss.name = loss.label = "of the user's own"
    lm.losses.Huber().data = "house prices"


def test_a_schedule_stays_as_it_was_made():
    """An optimizer has the rates of hundreds of steps to come."""
    schedule = lm.schedules.Cosine(0.1, 10)
    for name in ("lr", "steps", "flor"):
        with pytest.raises(AttributeError, match=r"expected a schedule to stay as it was made, got .*: net.optimizer.lr = lm.sch"):
            setattr(schedule, name, 3)
    schedule.lr, schedule.note = 0.1, "of the user's own"
    schedule.warm, schedule.lr0 = True, 0.1
    assert copy.deepcopy(schedule)(3) == schedule(3)

    class Own(lm.schedules.Schedule):
        def __init__(self, lr):
            self.lr = lr

        def rate(self, t):
            return self.lr + 0 * t

    own = Own(0.1)
    own.lr = 0.2
    assert own(3) == 0.2


@pytest.mark.parametrize("weights", [0, [0], {"output": 0.0}])
def test_weights_of_losses_are_not_all_0(weights):
    with pytest.raises(ValueError, match=r"\[compile\] expected loss_weights that are not all 0, got .*; raise one"):
        network().compile("mse", "sgd", loss_weights=weights)


# ---- what a graph was made with ----


def test_a_number_that_a_layer_of_ones_own_was_built_with_stays():
    class Scaled(lm.Layer):
        def __init__(self):
            self.by, self.count = 2.0, 0

        def forward(self, x):
            return self.by * x

    layer = Scaled()
    net = lm.Sequential(layer, lm.Dense(1), seed=0)
    layer.by = 1.0  # not built yet
    same = net.predict(X)
    with pytest.warns(UserWarning, match=r"\[scaled_1\] expected by to stay 1.0, .* got 5.0; .*self.parameter\('by', \(\), lm"):
        layer.by = 5.0
    assert np.array_equal(net.predict(X), same)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.by, layer.count, layer.note = float("5"), 3, 1.0
    with pytest.warns(UserWarning, match=r"expected by to stay 5.0, .* got array"):
        layer.by = np.ones(4)

    class Changing(lm.Layer):
        def build(self, shape):
            self.by = self.parameter("by", (), lm.initializers.constant(1.0), trainable=False)

        def forward(self, x):
            return self.by * x

    layer = Changing()
    net = lm.Sequential(layer, lm.Dense(1), seed=0)
    assert np.array_equal(net.predict(X), same)
    layer.by.value = 5.0
    assert not np.array_equal(net.predict(X), same)

    class Counting(lm.Layer):
        def __init__(self):
            self.calls, self.shape = 0, 3

        def forward(self, x):
            self.calls = self.calls + 1
            return x * x.shape[-1]

    layer = Counting()
    lm.Sequential(layer, lm.Dense(1), seed=0).predict(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.calls, layer.shape = 0, 5  # x.shape is another one


def test_a_number_around_a_loss_of_ones_own_stays():
    share = 0.0

    def loss(pred, target):
        return lm.mean((pred - target) ** 2) + share * lm.mean(pred**2)

    net = network().compile(loss, "sgd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            net.fit(X, Y, loss=loss, verbose=0)
        share = 0.5
        net.compile(loss, "sgd").fit(X, Y, verbose=0)
    share = 0.7
    with pytest.warns(UserWarning, match=r"\[FunctionLoss\(loss\)\] expected share to stay 0.5, .* got 0.7; compile anew, or make"):
        net.fit(X, Y, loss=loss, verbose=0)

    def counting(pred, target):
        nonlocal count
        count += 1
        return lm.where(target > unknown, lm.mean((pred - target) ** 2, axis=1, keepdims=True), 0.0)

    count, unknown = 0, float("nan")
    net = network().compile(counting, "sgd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (1.0, 2.0):
            globals()["mean"] = value  # lm.mean is another one
            net.fit(X, Y, verbose=0)
            count = 0
    del globals()["mean"]

    share = lm.Parameter(0.0, trainable=False)
    net = network().compile(loss, "sgd")
    low = net.evaluate(X, Y)["loss"]
    share.value = 1.0
    assert net.evaluate(X, Y)["loss"] > low
