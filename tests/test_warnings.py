"""What may be meant but seldom is: `fit` trains on it and warns, once and with the remedy; what looks like it does not warn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import lamina as lm
from mistakes import CLASSES, N, X, Y


@pytest.mark.parametrize(
    ("activation", "loss", "y"),
    [
        ("softmax", "cross_entropy", Y),
        ("sigmoid", "cross_entropy", Y),
        ("relu", "cross_entropy", Y),
        ("tanh", "binary_cross_entropy", np.eye(3)[Y]),
        ("sigmoid", "binary_cross_entropy", np.eye(3)[Y]),
        ("softmax", "binary_cross_entropy", np.eye(3)[Y]),
        ("softmax", "focal", Y),
    ],
)
def test_a_loss_of_logits_warns_of_probabilities(activation, loss, y):
    own = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}.get(loss, activation)
    with pytest.warns(
        UserWarning, match=rf"expected logits, got the result of a {activation}, .* take lm.{own}\(net.predict"
    ) as warned:
        lm.Sequential(lm.Dense(CLASSES, activation)).fit(X, y, loss=loss, optimizer="sgd", verbose=0)
    assert [w.filename for w in warned] == [__file__]  # the line of the call, not one of ours


@pytest.mark.parametrize(
    ("activation", "log_input", "warns"), [("exponential", True, 1), ("exponential", False, 0), (None, True, 0)]
)
def test_a_loss_of_log_rates_warns_of_rates(activation, log_input, warns):
    net, loss = lm.Sequential(lm.Dense(1, activation), seed=0), lm.losses.PoissonNLL(log_input=log_input)
    with pytest.warns(UserWarning, match=r"expected logarithms of rates, got .* exp;") if warns else warnings.catch_warnings():
        warnings.simplefilter("always" if warns else "error")
        net.fit(X, Y, loss=loss, optimizer="sgd", verbose=0)


@pytest.mark.parametrize(("activation", "got"), [(None, "logits"), ("softmax", "probabilities"), ("log_softmax", None)])
def test_a_divergence_warns_of_what_are_no_log_probabilities(activation, got):
    """Of logits it falls without end."""
    net = lm.Sequential(lm.Dense(CLASSES, activation), seed=0)
    with pytest.warns(UserWarning, match=f"expected log-probabilities, got {got}") if got else warnings.catch_warnings():
        warnings.simplefilter("always" if got else "error")
        net.fit(X, np.eye(3)[Y], loss="kl_div", optimizer="sgd", verbose=0)


@pytest.mark.parametrize(
    ("activation", "units", "y", "told"),
    [
        ("sigmoid", 1, 2 + X[:, :1], "from 0 to 1, which is what the sigmoid at the end gives, got 92% beyond"),
        ("tanh", 4, 3 * X, r"from -1 to 1, which is what the tanh .* beyond; let the network end without it, or scale them"),
        ("relu", 1, -abs(X[:, 0]), "from 0 to inf, which is what the relu at the end gives"),
        ("softmax", 1, Y == 0, "from 1 to 1, which is what the softmax"),
        ("sigmoid", 1, Y == 0, None),
        ("relu", 1, np.arange(len(X)) - 0.5, None),  # one of twelve
        ("softmax", 3, np.eye(3)[Y], None),
        (None, 4, 3 * X, None),
    ],
)
def test_targets_that_the_last_activation_cannot_give_warn(activation, units, y, told):
    for loss in ("mse", "log_cosh"):
        net = lm.Sequential(lm.Dense(units, activation), seed=0)
        with pytest.warns(UserWarning, match=told) if told else warnings.catch_warnings():
            warnings.simplefilter("always" if told else "error")
            net.fit(X, y, loss=loss, optimizer="sgd", verbose=0)


def test_rows_sorted_by_class_warn_of_the_split():
    x, y = lm.datasets.iris()  # in the order of their classes

    def fit(order, share):
        net = lm.Sequential(lm.Dense(3), seed=0)
        net.fit(x[order], y[order], loss="cross_entropy", optimizer="adam", validation_split=share, verbose=0)

    sorted_rows = np.arange(len(y))
    for share, seen in ((0.2, r"\[0, 1, 2\]"), (0.4, r"\[0, 1\]")):
        with pytest.warns(UserWarning, match=rf"\[validation_split\] expected all .* and {seen} in the others: .* shuffle them"):
            fit(sorted_rows, share)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(np.random.default_rng(0).permutation(len(y)), 0.2)


@pytest.mark.parametrize(
    ("classes", "y"),
    [
        (2, np.arange(200) % 67 == 3),  # the last 20 are of class 0, as most are
        (100, np.random.default_rng(0).integers(0, 100, 200)),  # two rows of a class: some are both in the last
        (3, np.arange(30) == 29),
    ],
    ids=["one class in a hundred", "many classes", "one row"],
)
def test_rare_classes_in_one_part_alone_are_no_sign_of_sorted_rows(classes, y):
    x = np.random.default_rng(1).normal(size=(len(y), 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = lm.Sequential(lm.Dense(classes), seed=0)
        net.fit(x, y.astype(int), loss="cross_entropy", optimizer="adam", validation_split=0.1, verbose=0)


def test_labels_along_sequences_are_no_sign_of_sorted_rows():
    x = lm.Input(5, 2)
    y = np.repeat(np.arange(10) // 2 % 3, 5).reshape(10, 5)  # one label a sequence, that of the last two the same
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = lm.Model(x, lm.Dense(3)(x), seed=0)
        net.fit(np.ones((10, 5, 2)), y, loss="cross_entropy", optimizer="adam", validation_split=0.2, verbose=0)


@pytest.mark.parametrize("optimizer", [lm.optim.LevenbergMarquardt, lm.optim.Adam])
def test_inputs_in_the_hundreds_warn_of_flat_neurons(optimizer, rng):
    """MATLAB's fitnet scales them itself; here Levenberg-Marquardt ends at the mean of the targets, by a gradient of nothing."""
    x = 100 + 10 * rng.normal(size=(50, 3))
    y = np.sin(x[:, :1])

    def fit(net, x):
        net.fit(x, y, loss="mse", optimizer=optimizer(), epochs=3, verbose=0)
        return net

    def small(*layers):
        return lm.Sequential(*layers, lm.Dense(9, "tanh"), lm.Dense(1), seed=0)

    with pytest.warns(UserWarning, match=r"\[fit\] expected inputs .* for dense_1, got .* \d+% of its tanh is flat .*; scale"):
        trained = fit(small(), x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(trained, x)
        x[:, 2] = 100  # constant: the remedy takes it
        fit(small(), (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9))
        fit(small(lm.Lambda(lambda x: (x - 100) / 10)), x)
        fit(lm.Sequential(lm.Dense(9, "relu"), lm.Dense(1), seed=0), x)
        (rests := small()).layers[0].trainable = False
        fit(rests, x)


@pytest.mark.parametrize("optimizer", ["levenbergmarquardt", "lbfgs"])
def test_targets_in_the_hundreds_warn_before_steps_on_all_data(optimizer, rng):
    x = rng.normal(size=(100, 3))
    y = 800 + 100 * (np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:])

    def fit(net, optimizer=optimizer, y=y):
        net.fit(x, y, loss="mse", optimizer=optimizer, epochs=100, verbose=0)
        return net.evaluate(x, y)["loss"] / y.var()

    def small(*layers):
        return lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(1), *layers, seed=2, dtype="float64")

    with pytest.warns(UserWarning, match=r"\[fit\] expected targets of about one .*, got .* [78]\d\d, by which its tanh gets flat"):
        left = fit(small())
    solved = small().build(3)
    solved.fit_readout(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(solved) < 0.02 < 0.1 < left  # what the remedy is for
        fit(small(), y=(y - 800) / 100)
        fit(small(lm.Lambda(lambda z: 800 + 100 * z)))
        fit(small(), lm.optim.Adam(), y)


@pytest.mark.parametrize(("optimizer", "size", "more"), [("levenbergmarquardt", 1e-8, 1e-6), ("lbfgs", 3e-4, 3e-3)])
def test_targets_beside_which_any_gradient_is_flat_warn_before_steps_on_all_data(optimizer, size, more):
    x = np.linspace(-3, 3, 50)[:, None]

    def fit(y, optimizer=optimizer):
        lm.Sequential(lm.Dense(1), seed=0, dtype="float64").fit(x, y, loss="mse", optimizer=optimizer, verbose=0)

    with pytest.warns(UserWarning, match=r"\[fit\] expected targets of about one, got .*, whose gradients all look flat"):
        fit(size * np.sin(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(more * np.sin(x))
        fit(0 * x)
        fit(size * x, lm.optim.LevenbergMarquardt(scaling="diagonal"))


def test_one_feature_warns_of_layer_norm():
    with pytest.warns(UserWarning, match=r"\[LayerNorm\] expected several features, got one"):
        lm.Sequential(lm.LayerNorm(), lm.Dense(1), seed=0).fit(X[:, :1], X[:, 1], loss="mse", optimizer="sgd", verbose=0)


def test_a_loss_of_logits_warns_of_rows_of_probabilities():
    z = np.random.default_rng(0).normal(size=(N, CLASSES))
    p = lm.softmax(z)
    with pytest.warns(UserWarning, match=r"\[CrossEntropy\(\)\] expected logits, got rows of probabilities; .* or their np.log"):
        lm.losses.cross_entropy(p, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lm.losses.cross_entropy(z, Y) == pytest.approx(lm.losses.cross_entropy(np.log(p), Y))


def test_batches_of_one_row_warn_of_batch_norm():
    def fit(batch_size):
        lm.Sequential(lm.Dense(2), lm.BatchNorm(), lm.Dense(1), seed=0).fit(
            X, X[:, :1], loss="mse", optimizer="sgd", batch_size=batch_size, verbose=0
        )

    with pytest.warns(UserWarning, match=r"\[fit\] expected batches of several rows for BatchNorm, got batch_size=1: .* LayerNorm"):
        fit(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(N - 1)  # the last batch has one row, the others steady the statistics
        words = lm.Sequential(lm.Embedding(9, 2), lm.BatchNorm(), lm.Flatten(), lm.Dense(1), seed=0)  # a row has many words
        words.fit(np.arange(12).reshape(3, 4) % 9, np.ones(3), loss="mse", optimizer="sgd", batch_size=1, verbose=0)
        whole = lm.Sequential(lm.Dense(2), lm.BatchNorm(), lm.Dense(1), seed=0)
        whole.fit(X, X[:, :1], loss="mse", optimizer="lbfgs", batch_size=N, verbose=0)
    with pytest.warns(UserWarning) as said:
        whole.fit(X, X[:, :1], batch_size=1, verbose=0)
    assert [str(one.message) for one in said] == [
        "[fit] expected no batch_size for LBFGS, whose steps take all rows, got 1; leave it out"
    ]
